//! Telnet: option negotiation, and log-ins where their text is plain.
//!
//! Sources: RFC 854 (commands, IAC), RFC 855 (options, subnegotiation); the numbers of options are
//! IANA's. Log-in prompts and refusals are the words of common systems, compared without case:
//! they are a heuristic, not a standard.
//!
//! The user's name is kept, what is typed after a password prompt never is. Options' meaning,
//! encryption and the commands typed in a session are not decoded.

use compact_str::CompactString;
use otic_wire::Spans;

use crate::out::{Event, Item, Out};
use crate::registry::{Carrier, Probe, Protocol};
use crate::session::{Input, Session, Side};

/// Telnet.
pub const PROTOCOL: Protocol = Protocol {
    name: "telnet",
    title: "Telnet",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[23, 2323])],
    probe,
    session: || Box::new(Telnet::default()),
    source: "RFC 854, RFC 855",
};

const IAC: u8 = 255;
const SUBNEGOTIATION: u8 = 250;
const SUBNEGOTIATION_END: u8 = 240;
/// Longest user name kept.
const USER_BYTES: usize = 64;
/// How far back prompts are looked for.
const TAIL_BYTES: usize = 32;

const USER_PROMPTS: &[&[u8]] = &[b"login:", b"username:", b"user name:", b"user:", b"user id:"];
const PASSWORD_PROMPTS: &[&[u8]] = &[b"password:", b"passwd:", b"passcode:"];
const REFUSALS: &[&[u8]] = &[
    b"login incorrect",
    b"login failed",
    b"logon failed",
    b"authentication failed",
    b"access denied",
    b"bad password",
    b"invalid password",
    b"incorrect password",
    b"password incorrect",
    b"login invalid",
    b"invalid login",
];

fn probe(input: &Input<'_>) -> Probe {
    match input.bytes {
        [] => Probe::No,
        [IAC] | [IAC, 250..=254] => Probe::More,
        // WILL, WON'T, DO, DON'T and a known option, then a command again or plain text.
        [IAC, 251..=254, 0..=49 | 128..=140 | 255, rest @ ..] => match rest {
            [] => Probe::Likely,
            [IAC, 240..=255, ..] => Probe::Certain,
            [IAC] => Probe::Likely,
            _ => Probe::Weak,
        },
        [IAC, SUBNEGOTIATION, 0..=49, ..] => Probe::Likely,
        [IAC, 241..=249, ..] => Probe::Weak,
        bytes => {
            let is_text = bytes
                .iter()
                .take(64)
                .all(|byte| (b' '..0x7f).contains(byte) || matches!(byte, 0 | 7..=13 | 27));
            if is_text { Probe::Weak } else { Probe::No }
        }
    }
}

/// Where a direction stands within a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Command {
    #[default]
    Text,
    Iac,
    Option,
    Subnegotiation,
    SubnegotiationIac,
}

/// What the server asked for last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Asked {
    #[default]
    Nothing,
    User,
    Password,
    /// The password was sent: what follows is the verdict.
    Verdict,
}

#[derive(Default)]
struct Telnet {
    commands: [Command; 2],
    server: Option<Side>,
    asked: Asked,
    user: Vec<u8>,
    tail: Vec<u8>,
    user_spans: Spans,
}

impl Telnet {
    fn byte(&mut self, input: &Input<'_>, at: usize, byte: u8, out: &mut Out) {
        match self.server {
            Some(server) if server != input.side => self.typed(input, at, byte, out),
            _ => self.shown(input, at, byte, out),
        }
    }

    /// A byte the server shows (or, before any prompt, either end).
    fn shown(&mut self, input: &Input<'_>, at: usize, byte: u8, out: &mut Out) {
        if self.tail.len() >= 2 * TAIL_BYTES {
            self.tail.drain(..TAIL_BYTES);
        }
        self.tail.push(byte.to_ascii_lowercase());
        let ends_with = |words: &[&[u8]]| words.iter().any(|word| self.tail.ends_with(word));
        if byte == b':' {
            if ends_with(PASSWORD_PROMPTS) {
                self.asked = Asked::Password;
            } else if ends_with(USER_PROMPTS) && !self.tail.ends_with(b"last login:") {
                self.asked = Asked::User;
                self.user.clear();
                self.user_spans.clear();
            } else {
                return;
            }
            if self.server.is_none() {
                self.server = Some(input.side);
                out.push(Item::Client(input.side.other()));
            }
        } else if self.asked == Asked::Verdict && ends_with(REFUSALS) {
            self.asked = Asked::Nothing;
            let part = input.bytes.get(at..=at).unwrap_or_default();
            self.event(input.side.other(), "login-failed", input.locate(part), out);
        }
    }

    /// A byte the client types.
    fn typed(&mut self, input: &Input<'_>, at: usize, byte: u8, out: &mut Out) {
        let is_end = matches!(byte, b'\r' | b'\n');
        match self.asked {
            Asked::User if is_end && !self.user.is_empty() => {
                self.asked = Asked::Nothing;
            }
            Asked::User if matches!(byte, 8 | 0x7f) => {
                self.user.pop();
            }
            Asked::User if (b' '..0x7f).contains(&byte) && self.user.len() < USER_BYTES => {
                self.user.push(byte);
                self.user_spans.extend(input.locate(input.bytes.get(at..=at).unwrap_or_default()));
            }
            Asked::Password if is_end => {
                self.asked = Asked::Verdict;
                self.tail.clear();
                self.event(input.side, "cleartext-credentials", self.user_spans.clone(), out);
            }
            _ => {}
        }
    }

    fn event(&self, sender: Side, kind: &'static str, evidence: Spans, out: &mut Out) {
        let user = CompactString::from_utf8_lossy(&self.user);
        let values = if user.is_empty() { Vec::new() } else { vec![("user", user)] };
        let event = Event { kind, protocol: PROTOCOL.name, sender, values, evidence };
        out.push(Item::Event(event));
    }
}

impl Session for Telnet {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let of = usize::from(input.side == Side::B);
        let mut command = self.commands.get(of).copied().unwrap_or_default();
        if input.after_gap {
            command = Command::Text;
        }
        for (at, byte) in input.bytes.iter().copied().enumerate() {
            command = match (command, byte) {
                (Command::Text, IAC) => Command::Iac,
                (Command::Text, byte) => {
                    self.byte(input, at, byte, out);
                    Command::Text
                }
                (Command::Iac, SUBNEGOTIATION) => Command::Subnegotiation,
                (Command::Iac, 251..=254) => Command::Option,
                (Command::Iac | Command::Option, _) => Command::Text,
                (Command::Subnegotiation, IAC) => Command::SubnegotiationIac,
                (Command::SubnegotiationIac, SUBNEGOTIATION_END) => Command::Text,
                (Command::Subnegotiation | Command::SubnegotiationIac, _) => {
                    Command::Subnegotiation
                }
            };
        }
        if let Some(kept) = self.commands.get_mut(of) {
            *kept = command;
        }
        if !input.bytes.is_empty() {
            out.layer(PROTOCOL.name, input.side);
        }
        input.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const TALK: &[(Side, &[u8])] = &[
        (Side::B, &[IAC, 253, 24, IAC, 251, 1]), // DO terminal type, WILL echo
        (Side::A, &[IAC, 251, 24, IAC, 250, 24, 0, b'x', b't', IAC, 240]), // WILL, its type
        (Side::B, b"drive login: "),
        (Side::A, b"root\r\n"),
        (Side::B, b"root\r\nPassword: "),
        (Side::A, b"hunter2\r\n"),
        (Side::B, b"\r\nLogin incorrect\r\n"),
    ];

    #[test]
    fn a_refused_log_in_is_told_without_the_password() {
        let items = testing::items(&PROTOCOL, TALK);
        let events: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Event(e) => Some((e.kind, e.sender, e.values.clone())),
                _ => None,
            })
            .collect();
        let user = vec![("user", CompactString::from("root"))];
        assert_eq!(
            vec![("cleartext-credentials", Side::A, user.clone()), ("login-failed", Side::A, user)],
            events
        );
        assert!(items.contains(&Item::Client(Side::A)));
        assert!(!format!("{items:?}").contains("hunter2"));
        testing::survives(&PROTOCOL, TALK);
    }

    #[test]
    fn negotiation_is_recognised_and_text_only_on_the_port() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, TALK[0]));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, TALK[2]));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::B, &[IAC, 253])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, &[0x16, 3, 1, 0, 0x80, 1])));
    }
}
