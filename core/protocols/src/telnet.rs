//! Telnet: option negotiation, the server's banner, and log-ins as far as prompts show them.
//!
//! Sources: RFC 854 (commands), RFC 855 (options, subnegotiation). The words of prompts and
//! refusals are those of common systems (`login:`, `Password:`, `Login incorrect`); they are a
//! convention, no standard, so log-in events are a reading, not a proof.
//!
//! Not decoded: options, what is typed or shown after the log-in. What is typed at a password
//! prompt is never kept.

use otic_wire::Spans;

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Event, Evidence, Item, Operation, Out, Outcome, Who,
};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// Telnet.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "Telnet",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Telnet::default()) },
    source: "RFC 854, RFC 855",
};

const NAME: &str = "telnet";
const PORT: u16 = 23;

const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;
const WILL: u8 = 251;
const DONT: u8 = 254;

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
    Option,
    Sub,
    SubEscape,
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
}

impl Telnet {
    fn command(&mut self, side: Side) -> &mut Command {
        side.of(&mut self.commands)
    }

    /// The next byte of text, once commands are taken out.
    fn text_byte(&mut self, side: Side, byte: u8) -> Option<u8> {
        let command = self.command(side);
        let (next, text) = match (*command, byte) {
            (Command::None, IAC) => (Command::Escape, None),
            (Command::None, byte) => (Command::None, Some(byte)),
            (Command::Escape, IAC) => (Command::None, Some(IAC)),
            (Command::Escape, SB) => (Command::Sub, None),
            (Command::Escape, WILL..=DONT) => (Command::Option, None),
            (Command::Escape | Command::Option, _) => (Command::None, None),
            (Command::Sub, IAC) => (Command::SubEscape, None),
            (Command::SubEscape, SE) => (Command::None, None),
            (Command::Sub | Command::SubEscape, _) => (Command::Sub, None),
        };
        *command = next;
        text
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
            let Some(byte) = self.text_byte(input.side, byte) else { continue };
            if input.side == server {
                self.shown(input, byte, part, out);
            } else {
                self.typed(input, byte, part, out);
            }
        }
        if !input.bytes.is_empty() {
            out.layer(NAME, input.side);
        }
        input.bytes.len()
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

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(&PROTOCOL, SESSION);
    }
}
