//! Telnet: option negotiation, the server's banner, log-ins as far as prompts show them, and serial
//! ports behind terminal servers.
//!
//! Sources: RFC 854 (commands), RFC 855 (options, subnegotiation), RFC 2217 (com port control: §2
//! settings, §3 control, §4 notifications, §5 flow control; servers answer with 100 more). The words of prompts and
//! refusals are those of common systems (`login:`, `Password:`, `Login incorrect`); they are a
//! convention, no standard, so log-in events are a reading, not a proof.
//!
//! Where a com port is negotiated, the bytes between the commands are the serial line's
//! (`serial_line`). The code of an operation is the client's command.
//!
//! Not decoded: other options, what is typed or shown after the log-in. What is typed at a password
//! prompt is never kept.

use compact_str::{CompactString, ToCompactString, format_compact};
use otic_wire::{SpanMap, Spans};

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Event, Evidence, Item, Object, Operation, Out,
    Outcome, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::serial_line::SerialLine;
use crate::session::{Input, Session, Side};
use crate::text;

/// Telnet.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "Telnet",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Telnet::default()) },
    source: "RFC 854, RFC 855, RFC 2217",
};

const NAME: &str = "telnet";
const PORT: u16 = 23;

const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;
const WILL: u8 = 251;
const DO: u8 = 253;
const DONT: u8 = 254;

/// RFC 2217 §1.
const COM_PORT: u8 = 44;
/// The server's commands are the client's plus this (§2).
const FROM_SERVER: u8 = 100;
/// Bytes of a subnegotiation kept.
const SUB_CAP: usize = 128;
/// Commands of one flow that may wait for their answer at once.
const WAITING: usize = 16;

/// Longest line and user name kept.
const LINE_CAP: usize = 256;
/// Lines of the server among which the banner is sought.
const BANNER_LINES: u8 = 8;

const USER_PROMPTS: &[&[u8]] = &[b"login:", b"username:", b"user name:", b"user:", b"login name:"];
const PASSWORD_PROMPTS: &[&[u8]] = &[b"password:", b"passwd:", b"passcode:"];
const REFUSALS: &[&[u8]] =
    &[b"incorrect", b"failed", b"denied", b"invalid", b"failure", b"bad password"];

fn probe(input: &Input<'_>) -> Probe {
    match input.bytes {
        // Two negotiations in a row, of options RFC 855 lists (0 to 50).
        [IAC, WILL..=DONT, 0..=50, IAC, SB..=DONT, 0..=50, ..] => Probe::Likely,
        [IAC, SB, COM_PORT, 0..=12 | 100..=112, ..] => Probe::Likely,
        [IAC, SB] | [IAC, SB, COM_PORT] => Probe::More,
        [IAC, WILL..=DONT, 0..=50, ..] => Probe::Weak,
        [IAC] | [IAC, WILL..=DONT] => Probe::More,
        bytes => {
            let readable = |byte: &u8| matches!(byte, 0x20..=0x7e | b'\r' | b'\n' | b'\t' | 8 | 0);
            let start = bytes.get(..bytes.len().min(64)).unwrap_or_default();
            let is_text = start.iter().all(readable) && start.iter().any(u8::is_ascii_graphic);
            let is_break = start.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
            if is_text || (is_break && start.iter().all(readable)) {
                Probe::Weak
            } else {
                Probe::No
            }
        }
    }
}

/// Where a direction is within commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Command {
    #[default]
    None,
    Escape,
    /// The option of this verb follows.
    Option(u8),
    Sub,
    SubEscape,
}

/// What the next byte of a direction is.
enum Read {
    Text(u8),
    /// WILL or DO of an option.
    Wanted(u8, u8),
    /// A byte within a subnegotiation.
    Sub(u8),
    SubEnd,
    Nothing,
}

/// A serial port behind the server, once it is negotiated.
struct ComPort {
    line: SerialLine,
    waiting: Pending<u8, Box<Operation>>,
}

/// Name and action of a command of the client (§2 to §5).
const fn com_port_command(code: u8, asks: bool) -> (&'static str, Action) {
    let set = if asks { Action::Read } else { Action::Configuration };
    match code {
        0 => ("signature", Action::Identify),
        1 => ("set-baud-rate", set),
        2 => ("set-data-size", set),
        3 => ("set-parity", set),
        4 => ("set-stop-size", set),
        5 => ("set-control", Action::Control),
        6 => ("notify-line-state", Action::Diagnostics),
        7 => ("notify-modem-state", Action::Diagnostics),
        8 => ("flow-control-suspend", Action::Control),
        9 => ("flow-control-resume", Action::Control),
        10 => ("set-line-state-mask", Action::Configuration),
        11 => ("set-modem-state-mask", Action::Configuration),
        12 => ("purge-data", Action::Control),
        _ => ("unknown", Action::Control),
    }
}

/// A setting's attribute and its value as people write it; none for 0, which asks for it.
fn setting(code: u8, value: &[u8]) -> Option<(&'static str, CompactString)> {
    match (code, value) {
        (1, [a, b, c, d]) => {
            let rate = u32::from_be_bytes([*a, *b, *c, *d]);
            (rate > 0).then(|| ("baud_rate", rate.to_compact_string()))
        }
        (2, [size @ 5..=8]) => Some(("data_bits", size.to_compact_string())),
        (3, [kind]) => {
            let names =
                [None, Some("none"), Some("odd"), Some("even"), Some("mark"), Some("space")];
            let name = names.get(usize::from(*kind)).copied().flatten()?;
            Some(("parity", name.into()))
        }
        (4, [kind]) => {
            let names = [None, Some("1"), Some("2"), Some("1.5")];
            let name = names.get(usize::from(*kind)).copied().flatten()?;
            Some(("stop_bits", name.into()))
        }
        _ => None,
    }
}

/// Where the log-in is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Login {
    #[default]
    Before,
    User,
    /// The name is typed, no password prompt yet.
    Named,
    Password,
    /// The password is typed: the next lines tell.
    Asked,
}

/// A flow that carries Telnet.
#[derive(Default)]
struct Telnet {
    commands: [Command; 2],
    server: Option<Side>,
    started: bool,
    login: Login,
    user: Vec<u8>,
    /// The server's current line and where it stood.
    line: Vec<u8>,
    spans: Spans,
    lines: u8,
    banner_said: bool,
    answers: u8,
    com_port: Option<Box<ComPort>>,
    /// Subnegotiations that are being read, and where they stood.
    subs: [(Vec<u8>, SpanMap); 2],
}

impl Telnet {
    fn command(&mut self, side: Side) -> &mut Command {
        side.of(&mut self.commands)
    }

    /// What the next byte is, once commands are taken out.
    fn next(&mut self, side: Side, byte: u8) -> Read {
        let command = self.command(side);
        let (next, read) = match (*command, byte) {
            (Command::None, IAC) => (Command::Escape, Read::Nothing),
            (Command::None, byte) => (Command::None, Read::Text(byte)),
            (Command::Escape, IAC) => (Command::None, Read::Text(IAC)),
            (Command::Escape, SB) => (Command::Sub, Read::Nothing),
            (Command::Escape, WILL..=DONT) => (Command::Option(byte), Read::Nothing),
            (Command::Option(verb @ (WILL | DO)), option) => {
                (Command::None, Read::Wanted(verb, option))
            }
            (Command::Escape | Command::Option(_), _) => (Command::None, Read::Nothing),
            (Command::Sub, IAC) => (Command::SubEscape, Read::Nothing),
            (Command::SubEscape, SE) => (Command::None, Read::SubEnd),
            (Command::Sub | Command::SubEscape, byte) => (Command::Sub, Read::Sub(byte)),
        };
        *command = next;
        read
    }

    fn sub_byte(&mut self, input: &Input<'_>, byte: u8, part: &[u8]) {
        let (bytes, spans) = input.side.of(&mut self.subs);
        if bytes.len() < SUB_CAP {
            bytes.push(byte);
            for span in input.locate(part) {
                spans.push(span);
            }
        }
    }

    fn sub_end(&mut self, input: &Input<'_>, out: &mut Out) {
        let (bytes, spans) = std::mem::take(input.side.of(&mut self.subs));
        let [COM_PORT, code, value @ ..] = bytes.as_slice() else { return };
        let inner = input.with_bytes(&bytes, &spans);
        let from_server = *code >= FROM_SERVER;
        let code = if from_server { code - FROM_SERVER } else { *code };
        let server = if from_server { input.side } else { input.side.other() };
        self.server = Some(server);
        let port = self.port();
        if from_server {
            if let Some((attribute, said)) = setting(code, value) {
                let decode =
                    if matches!(code, 1 | 2) { Decode::UnsignedBe } else { Decode::Derived };
                let told_in = (NAME, com_port_command(code, false).0);
                out.claim(inner.own_claim(told_in, attribute, said, value, decode));
            } else if code == 0 && text::is_printable(value) {
                out.claim(inner.own_text((NAME, "signature"), "server_banner", value));
            }
        }
        let asked = port.waiting.take(&code);
        match (from_server, asked) {
            (true, Some(asked)) => {
                out.operation(Box::new(Operation { outcome: Outcome::Ok, ..*asked }));
                return;
            }
            // What the server tells unasked; an answer alone says nothing of who asked what.
            (true, None) if !matches!(code, 6..=9) => return,
            (_, asked) => {
                if let Some(asked) = asked {
                    out.operation(asked);
                }
            }
        }
        let asks = value.iter().all(|byte| *byte == 0);
        let set = setting(code, value);
        let operation = Operation {
            code: Some(code.into()),
            object: set.map_or(Object::None, |(attribute, said)| {
                Object::Text(format_compact!("{attribute} {said}"))
            }),
            outcome: if from_server || matches!(code, 8 | 9) {
                Outcome::None
            } else {
                Outcome::Unseen
            },
            ..inner.operation(NAME, input.side, com_port_command(code, asks), &bytes)
        };
        if operation.outcome == Outcome::None {
            out.operation(operation);
        } else if let Some(evicted) = port.waiting.insert(code, Box::new(operation)) {
            out.operation(evicted);
        }
    }

    /// The serial port, which there is from now on.
    fn port(&mut self) -> &mut ComPort {
        self.com_port.get_or_insert_with(|| {
            Box::new(ComPort { line: SerialLine::default(), waiting: Pending::new(WAITING) })
        })
    }

    fn event(&self, kind: &'static str, input: &Input<'_>, part: &[u8]) -> Item {
        Item::Event(Event {
            kind,
            protocol: NAME,
            sender: self.server.map_or(input.side, Side::other),
            values: vec![("user", text::utf8(text::trim(&self.user)))],
            evidence: input.locate(part),
        })
    }

    fn shown(&mut self, input: &Input<'_>, byte: u8, part: &[u8], out: &mut Out) {
        if matches!(byte, b'\r' | b'\n') {
            self.line_shown(input, part, out);
            return;
        }
        if self.line.len() < LINE_CAP {
            self.line.push(byte);
            let span = input.locate(part);
            match (self.spans.last_mut(), span.first()) {
                (Some(last), Some(next))
                    if (last.file, last.frame, last.offset + last.length)
                        == (next.file, next.frame, next.offset) =>
                {
                    last.length += next.length;
                }
                _ => self.spans.extend(span),
            }
        }
        let line = self.line.to_ascii_lowercase();
        let ends = |prompts: &[&[u8]]| prompts.iter().any(|prompt| line.ends_with(prompt));
        if byte == b':' {
            if ends(PASSWORD_PROMPTS) {
                if self.login != Login::Password {
                    self.login = Login::Password;
                }
            } else if ends(USER_PROMPTS) && !line.starts_with(b"last login") {
                if self.login == Login::Asked {
                    out.push(self.event("login-failed", input, part));
                }
                self.login = Login::User;
                self.user.clear();
            }
        } else if self.login == Login::Asked
            && self.answers > 0
            && matches!(byte, b'$' | b'#' | b'>' | b'%')
        {
            // A shell prompt after the password.
            out.push(self.event("login", input, part));
            self.login = Login::Before;
        }
    }

    fn line_shown(&mut self, input: &Input<'_>, part: &[u8], out: &mut Out) {
        let line = std::mem::take(&mut self.line);
        let spans = std::mem::take(&mut self.spans);
        if self.login == Login::Asked {
            self.answers = self.answers.saturating_add(1);
            let lower = line.to_ascii_lowercase();
            let has = |word: &&[u8]| lower.windows(word.len()).any(|window| window == *word);
            if REFUSALS.iter().any(has) {
                out.push(self.event("login-failed", input, part));
                self.login = Login::Before;
            }
        }
        let banner = text::trim(&line);
        if !self.banner_said
            && self.login == Login::Before
            && self.lines < BANNER_LINES
            && banner.len() >= 4
            && text::is_printable(&line)
        {
            self.banner_said = true;
            // Only a line without blanks at its ends can be cited by the spans of the whole line.
            if banner.len() == line.len() {
                out.claim(Claim {
                    who: Who::Sender(Child::None),
                    attribute: "server_banner",
                    value: text::utf8(banner),
                    protocol: NAME,
                    message: "banner",
                    confidence: Confidence::Medium,
                    evidence: Evidence { spans, decode: Decode::Utf8 },
                });
            }
        }
        self.lines = self.lines.saturating_add(u8::from(!banner.is_empty()));
    }

    fn typed(&mut self, input: &Input<'_>, byte: u8, part: &[u8], out: &mut Out) {
        let is_end = matches!(byte, b'\r' | b'\n');
        match self.login {
            Login::User if is_end => self.login = Login::Named,
            // Backspace and delete
            Login::User if matches!(byte, 8 | 127) => drop(self.user.pop()),
            Login::User if self.user.len() < LINE_CAP => self.user.push(byte),
            Login::Password if is_end => {
                out.push(self.event("cleartext-credentials", input, part));
                self.login = Login::Asked;
                self.answers = 0;
            }
            _ => {}
        }
    }
}

impl Session for Telnet {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *self.command(input.side) = Command::None;
        }
        let server = *self.server.get_or_insert_with(|| {
            let to_server = input.destination_port == PORT;
            // Away from the usual port: servers open with DO or text, and are seen first.
            if to_server { input.side.other() } else { input.side }
        });
        if !std::mem::replace(&mut self.started, true) {
            out.push(Item::Client(server.other()));
            out.operation(Operation {
                outcome: Outcome::None,
                ..input.operation(
                    NAME,
                    server.other(),
                    ("session", Action::Session),
                    input.bytes.get(..1).unwrap_or_default(),
                )
            });
        }
        for part in input.bytes.chunks(1) {
            let Some(&byte) = part.first() else { continue };
            let byte = match self.next(input.side, byte) {
                Read::Text(byte) => byte,
                Read::Sub(byte) => {
                    self.sub_byte(input, byte, part);
                    continue;
                }
                Read::SubEnd => {
                    self.sub_end(input, out);
                    continue;
                }
                Read::Wanted(verb, COM_PORT) => {
                    // The client offers to send commands, the server agrees (§1).
                    let client = if verb == WILL { input.side } else { input.side.other() };
                    self.server = Some(client.other());
                    self.port();
                    continue;
                }
                Read::Wanted(..) | Read::Nothing => continue,
            };
            if let Some(port) = &mut self.com_port {
                port.line.add(input, part);
            } else if input.side == server {
                self.shown(input, byte, part, out);
            } else {
                self.typed(input, byte, part, out);
            }
        }
        if let Some(port) = &mut self.com_port {
            port.line.read(input, out);
        }
        if !input.bytes.is_empty() {
            out.layer(NAME, input.side);
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some(port) = &mut self.com_port {
            for operation in port.waiting.drain() {
                out.operation(operation);
            }
            port.line.finish(out);
        }
    }

    fn stream_cap(&self) -> usize {
        4096
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const SESSION: &[(Side, &[u8])] = &[
        // DO terminal type, WILL echo
        (Side::B, &[IAC, 253, 24, IAC, WILL, 1]),
        // terminal type is "vt"
        (Side::A, &[IAC, WILL, 24, IAC, SB, 24, 0, b'v', b't', IAC, SE]),
        (Side::B, b"Box OS 1.2\r\n\r\nlogin: "),
        (Side::A, b"opx\x08erator\r\0"),
        (Side::B, b"operator\r\nPassword: "),
        (Side::A, b"wrong\r\0"),
        (Side::B, b"\r\nLogin incorrect\r\nlogin: "),
        (Side::A, b"operator\r\0"),
        (Side::B, b"operator\r\nPassword: "),
        (Side::A, b"right\r\0"),
        (Side::B, b"\r\nLast login: today\r\nbox# "),
    ];

    #[test]
    fn log_ins_tell_the_user_and_never_the_password() {
        let items = testing::items(&PROTOCOL, SESSION);
        let events: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Event(event) => Some((event.kind, event.values[0].1.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![
                ("cleartext-credentials", "operator"),
                ("login-failed", "operator"),
                ("cleartext-credentials", "operator"),
                ("login", "operator"),
            ],
            events
        );
        assert!(!format!("{items:?}").contains("wrong"));
    }

    #[test]
    fn the_first_line_is_the_banner() {
        let items = testing::items(&PROTOCOL, SESSION);
        assert!(items.iter().any(|item| matches!(item, Item::Claim(claim)
            if claim.value == "Box OS 1.2" && claim.evidence.spans.len() == 1)));
    }

    #[test]
    fn the_probe_knows_negotiations() {
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, SESSION[0]));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::B, b"login: ")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, &[0x16, 3, 1, 0, 5])));
    }

    /// A terminal server's port: 9600 baud, even parity, then Modbus RTU with an escaped 255.
    const PORT_SESSION: &[(Side, &[u8])] = &[
        (Side::A, &[IAC, WILL, COM_PORT, IAC, WILL, 0]),
        (Side::B, &[IAC, DO, COM_PORT, IAC, DO, 0]),
        (Side::A, &[IAC, SB, COM_PORT, 1, 0, 0, 0x25, 0x80, IAC, SE]),
        (Side::B, &[IAC, SB, COM_PORT, 101, 0, 0, 0x25, 0x80, IAC, SE]),
        (Side::A, &[IAC, SB, COM_PORT, 3, 3, IAC, SE]),
        (Side::B, &[IAC, SB, COM_PORT, 103, 3, IAC, SE]),
        (Side::A, &[IAC, SB, COM_PORT, 2, 0, IAC, SE]),
        (Side::B, &[IAC, SB, COM_PORT, 107, 0x30, IAC, SE]),
        (Side::A, &[1, 3, 0, 0, 0, 2, 0xc4, 0x0b]),
        (Side::B, &[1, 3, 4, 0, 7, IAC, IAC, 8, 0x0b, 0xc4]),
    ];

    #[test]
    fn a_com_port_tells_its_settings_and_what_the_line_carries() {
        let items = testing::items(&PROTOCOL, PORT_SESSION);
        let claims = testing::claims(&items);
        for expected in [("baud_rate", "9600"), ("parity", "even"), ("serial_framing", "modbus")] {
            assert!(claims.contains(&(expected.0, expected.1.into())), "{expected:?} {claims:?}");
        }
        assert_eq!(
            vec![
                ("session", String::new(), Outcome::None),
                ("set-baud-rate", "baud_rate 9600".into(), Outcome::Ok),
                ("set-parity", "parity even".into(), Outcome::Ok),
                ("notify-modem-state", String::new(), Outcome::None),
                ("read-holding-registers", "holding-register 0-1".into(), Outcome::Ok),
                ("set-data-size", String::new(), Outcome::Unseen),
            ],
            testing::operations(&items)
        );
        assert!(items.iter().any(|item| matches!(item, Item::Operation(op)
            if op.protocol == "modbus" && op.server_child == Child::Number("modbus-unit", 1))));
    }

    #[test]
    fn a_com_port_is_known_in_the_middle() {
        let middle = (Side::B, [IAC, SB, COM_PORT, 107, 0x30, IAC, SE].as_slice());
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, middle));
    }

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(&PROTOCOL, PORT_SESSION);
        testing::survives(&PROTOCOL, SESSION);
    }
}
