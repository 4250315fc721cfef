//! VNC (the RFB protocol) over TCP, up to where the screen is shown.
//!
//! Sources: RFC 6143 §7.1 (handshake: version, security type, result), §7.2 (security types), §7.3
//! (ClientInit, ServerInit), §8.1.2 and the RFB registry (numbers of other security types).
//!
//! A log-in is the event `login` (mechanism `none` where the server asks for nothing) or
//! `login-failed`. The challenge and its response are never kept.
//!
//! Violations: `vnc-version` (a first line that is no version).
//!
//! Not decoded: other security types than none and VNC authentication, and what follows the
//! initialisation.

use compact_str::CompactString;

use crate::fields::part_at;
use crate::out::{Action, Decode, Event, Item, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// VNC.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "VNC",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[5900, 5901, 5902])],
    dissector: Dissector::Built { probe, session: || Box::new(Vnc::default()) },
    source: "RFC 6143",
};

const NAME: &str = "vnc";
const VERSION: usize = 12;
const AUTHENTICATION: usize = 16;
/// Longest desktop name and longest reason that is waited for.
const TEXT: usize = 1024;

const NONE: u8 = 1;
const VNC_AUTHENTICATION: u8 = 2;

/// Security types (RFC 6143 §8.1.2).
const fn security(number: u8) -> &'static str {
    match number {
        NONE => "none",
        VNC_AUTHENTICATION => "vnc-authentication",
        5 => "ra2",
        6 => "ra2ne",
        16 => "tight",
        17 => "ultra",
        18 => "tls",
        19 => "vencrypt",
        20 => "sasl",
        21 => "md5",
        22 => "xvp",
        30 => "apple",
        _ => "unknown",
    }
}

/// Minor version of a `RFB 003.008` line; later major versions shake hands as 3.8 does.
fn version(line: &[u8]) -> Option<u16> {
    let [b'R', b'F', b'B', b' ', major @ .., b'.', a, b, c, b'\n'] = line else { return None };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let fits = major.len() == 3 && major.iter().all(u8::is_ascii_digit);
    fits.then_some(())?;
    let minor = digit(a)? * 100 + digit(b)? * 10 + digit(c)?;
    Some(if major > b"003".as_slice() { minor.max(8) } else { minor })
}

fn probe(input: &Input<'_>) -> Probe {
    let head = part_at(input.bytes, 0, VERSION);
    if head.len() == VERSION {
        return if version(head).is_some() { Probe::Certain } else { Probe::No };
    }
    let known = head.len().min(4);
    if part_at(head, 0, known) == part_at(b"RFB ", 0, known) { Probe::More } else { Probe::No }
}

/// What a side sends next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Next {
    #[default]
    Version,
    /// Server: the types it offers. Client: the one it takes.
    Security,
    /// Server: challenge. Client: response.
    Authentication,
    /// Server: how the log-in ended.
    Result,
    /// ClientInit and ServerInit.
    Init,
    /// Something that is not read.
    Rest,
}

/// A flow that carries VNC.
#[derive(Default)]
struct Vnc {
    server: Option<Side>,
    next: [Next; 2],
    /// Minor version of the server, then of both.
    minor: u16,
    taken: u8,
    offered: Vec<u8>,
}

impl Vnc {
    const fn is_old(&self) -> bool {
        self.minor < 7
    }

    fn slot(&mut self, side: Side) -> &mut Next {
        side.of(&mut self.next)
    }

    /// One message at the front of `bytes`; how long it is, none when it is not whole.
    fn step(&mut self, input: &Input<'_>, bytes: &[u8], out: &mut Out) -> Option<usize> {
        let next = *self.slot(input.side);
        if next == Next::Version {
            return self.version(input, bytes, out);
        }
        if self.server == Some(input.side) {
            self.server(input, bytes, next, out)
        } else {
            self.client(input, bytes, next, out)
        }
    }

    fn version(&mut self, input: &Input<'_>, bytes: &[u8], out: &mut Out) -> Option<usize> {
        let line = bytes.get(..VERSION)?;
        let Some(minor) = version(line) else {
            out.push(input.violation(NAME, "vnc-version", line));
            *self.slot(input.side) = Next::Rest;
            return Some(bytes.len());
        };
        // Versions that were never published are to be treated as 3.3 (§7.1.1).
        let minor = if minor >= 8 || minor == 7 { minor } else { 3 };
        *self.slot(input.side) = Next::Security;
        if self.server.is_none() {
            // The server speaks first.
            self.server = Some(input.side);
            self.minor = minor;
            out.push(Item::Client(input.side.other()));
            let number = part_at(line, 4, 7);
            let value = text::utf8(number);
            let told_in = (NAME, "protocol-version");
            out.claim(input.own_claim(told_in, "vnc_version", value, number, Decode::Ascii));
        } else {
            self.minor = self.minor.min(minor);
            if self.is_old() {
                // The server decides.
                *self.slot(input.side) = Next::Init;
            }
            out.operation(operation(input, input.side, "protocol-version", line));
        }
        Some(VERSION)
    }

    /// What follows once the type is known.
    fn take(&mut self, input: &Input<'_>, number: u8, part: &[u8], client: Side, out: &mut Out) {
        self.taken = number;
        let (for_server, for_client) = match number {
            NONE if self.minor >= 8 => (Next::Result, Next::Init),
            NONE => (Next::Init, Next::Init),
            VNC_AUTHENTICATION => (Next::Authentication, Next::Authentication),
            _ => (Next::Rest, Next::Rest),
        };
        *self.slot(client.other()) = for_server;
        *self.slot(client) = for_client;
        if for_server == Next::Rest {
            out.push(Item::NotDecoded(NAME, "undecoded-security-type"));
        }
        if for_server == Next::Init {
            self.logged_in(input, "login", "", part, client, out);
        }
    }

    fn logged_in(
        &self,
        input: &Input<'_>,
        kind: &'static str,
        reason: &str,
        part: &[u8],
        client: Side,
        out: &mut Out,
    ) {
        let mut values = vec![("mechanism", security(self.taken).into())];
        if !reason.is_empty() {
            values.push(("reason", CompactString::from(reason)));
        }
        let evidence = input.locate(part);
        out.push(Item::Event(Event { kind, protocol: NAME, sender: client, values, evidence }));
    }

    fn offers(&mut self, input: &Input<'_>, types: &[u8], message: &'static str, out: &mut Out) {
        self.offered = types.to_vec();
        for number in types.chunks(1).take(16) {
            let [one] = *number else { continue };
            let value = match security(one) {
                "unknown" => compact_str::format_compact!("type {one}"),
                name => name.into(),
            };
            let told_in = (NAME, message);
            out.claim(input.own_claim(told_in, "vnc_security", value, number, Decode::Derived));
        }
    }

    fn server(
        &mut self,
        input: &Input<'_>,
        bytes: &[u8],
        next: Next,
        out: &mut Out,
    ) -> Option<usize> {
        let client = input.side.other();
        match next {
            Next::Security if self.is_old() => {
                let word = bytes.get(..4)?;
                let number = part_at(word, 3, 1);
                if let [one] = *number
                    && one != 0
                {
                    self.offers(input, number, "security", out);
                    self.take(input, one, number, client, out);
                } else {
                    *self.slot(input.side) = Next::Rest;
                }
                Some(4)
            }
            Next::Security => {
                let count = usize::from(*bytes.first()?);
                let types = bytes.get(1..1 + count)?;
                if count == 0 {
                    // Refused before any log-in; the reason follows.
                    *self.slot(input.side) = Next::Rest;
                }
                self.offers(input, types, "security", out);
                // Waits for the client's choice; what comes first is read when that is known.
                if count > 0 {
                    *self.slot(input.side) = Next::Authentication;
                }
                Some(1 + count)
            }
            Next::Authentication if self.taken == 0 && self.offered.len() > 1 => {
                // The choice was not seen: what this is cannot be told.
                *self.slot(input.side) = Next::Rest;
                out.push(Item::StartNotSeen(NAME));
                Some(bytes.len())
            }
            Next::Authentication => {
                if self.taken == 0 {
                    let only = self.offered.first().copied().unwrap_or_default();
                    self.take(input, only, part_at(bytes, 0, 1), client, out);
                    return Some(0);
                }
                bytes.get(..AUTHENTICATION)?;
                *self.slot(input.side) = Next::Result;
                Some(AUTHENTICATION)
            }
            Next::Result => self.result(input, bytes, client, out),
            Next::Init => {
                let length = u32::from_be_bytes(*bytes.get(20..24)?.as_array()?) as usize;
                let name = bytes.get(24..24 + length.min(TEXT))?;
                out.claim(input.own_text((NAME, "server-init"), "vnc_desktop", name));
                *self.slot(input.side) = Next::Rest;
                Some(24 + name.len())
            }
            Next::Version | Next::Rest => Some(bytes.len()),
        }
    }

    /// §7.1.3: 0 is a success; since 3.8 the reason of a failure follows.
    fn result(
        &mut self,
        input: &Input<'_>,
        bytes: &[u8],
        client: Side,
        out: &mut Out,
    ) -> Option<usize> {
        let word = bytes.get(..4)?;
        let failed = word != [0; 4];
        if !failed {
            self.logged_in(input, "login", "", word, client, out);
            *self.slot(input.side) = Next::Init;
            return Some(4);
        }
        let mut used = 4;
        let mut reason = CompactString::default();
        if self.minor >= 8 {
            let length = u32::from_be_bytes(*bytes.get(4..8)?.as_array()?) as usize;
            let part = bytes.get(8..8 + length.min(TEXT))?;
            reason = text::utf8(text::trim(part));
            used = 8 + part.len();
        }
        self.logged_in(input, "login-failed", &reason, word, client, out);
        *self.slot(input.side) = Next::Rest;
        Some(used)
    }

    fn client(
        &mut self,
        input: &Input<'_>,
        bytes: &[u8],
        next: Next,
        out: &mut Out,
    ) -> Option<usize> {
        match next {
            Next::Security => {
                let choice = bytes.get(..1)?;
                out.operation(operation(input, input.side, "security", choice));
                if let [number] = *choice {
                    self.take(input, number, choice, input.side, out);
                }
                Some(1)
            }
            Next::Authentication => {
                bytes.get(..AUTHENTICATION)?;
                *self.slot(input.side) = Next::Init;
                Some(AUTHENTICATION)
            }
            Next::Init => {
                out.operation(operation(input, input.side, "client-init", bytes.get(..1)?));
                *self.slot(input.side) = Next::Rest;
                Some(1)
            }
            Next::Version | Next::Result | Next::Rest => Some(bytes.len()),
        }
    }
}

fn operation(input: &Input<'_>, sender: Side, name: &'static str, part: &[u8]) -> Operation {
    Operation {
        outcome: Outcome::None,
        ..input.operation(NAME, sender, (name, Action::Session), part)
    }
}

impl Session for Vnc {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap && *self.slot(input.side) != Next::Version {
            *self.slot(input.side) = Next::Rest;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            let before = *self.slot(input.side);
            let Some(taken) = self.step(input, rest, out) else { break };
            if taken == 0 && *self.slot(input.side) == before {
                break;
            }
            used += taken;
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn stream_cap(&self) -> usize {
        2 * TEXT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn init() -> Vec<u8> {
        let mut init = vec![4, 0, 3, 0];
        init.extend([0; 16]); // pixel format
        init.extend([0, 0, 0, 4]);
        init.extend(b"HMI7");
        init
    }

    fn talk(result: &[u8]) -> Vec<(Side, Vec<u8>)> {
        vec![
            (Side::B, b"RFB 003.008\n".to_vec()),
            (Side::A, b"RFB 003.008\n".to_vec()),
            (Side::B, vec![2, 2, 19]),
            (Side::A, vec![2]),
            (Side::B, vec![0xaa; 16]),
            (Side::A, vec![0xbb; 16]),
            (Side::B, result.to_vec()),
            (Side::A, vec![1]),
            (Side::B, init()),
            (Side::B, vec![0; 40]),
        ]
    }

    fn items(talk: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &talk)
    }

    fn events(items: &[Item]) -> Vec<(&'static str, Vec<CompactString>)> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Event(event) => {
                    Some((event.kind, event.values.iter().map(|(_, v)| v.clone()).collect()))
                }
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_log_in_is_told_and_its_answer_never_kept() {
        let said = items(&talk(&[0; 4]));
        assert_eq!(vec![("login", vec!["vnc-authentication".into()])], events(&said));
        let claims: Vec<_> = said
            .iter()
            .filter_map(|item| match item {
                Item::Claim(claim) => Some((claim.attribute, claim.value.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![
                ("vnc_version", "003.008"),
                ("vnc_security", "vnc-authentication"),
                ("vnc_security", "vencrypt"),
                ("vnc_desktop", "HMI7"),
            ],
            claims
        );
        assert!(!format!("{said:?}").contains("187, 187"));
        let talk = talk(&[0; 4]);
        let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn a_refused_log_in_says_why() {
        let mut talk = talk(b"\0\0\0\x01\0\0\0\x08too many");
        talk.truncate(7);
        assert_eq!(
            vec![("login-failed", vec!["vnc-authentication".into(), "too many".into()])],
            events(&items(&talk))
        );
    }

    #[test]
    fn a_server_without_password_is_told() {
        let talk = [
            (Side::B, b"RFB 003.007\n".to_vec()),
            (Side::A, b"RFB 003.007\n".to_vec()),
            (Side::B, vec![1, 1]),
            (Side::A, vec![1, 1]), // choice and ClientInit
            (Side::B, init()),
        ];
        let said = items(&talk);
        assert_eq!(vec![("login", vec!["none".into()])], events(&said));
        assert!(said.iter().any(|item| matches!(item, Item::Claim(claim)
            if claim.attribute == "vnc_desktop")));
    }

    #[test]
    fn in_version_3_3_the_server_decides() {
        let talk = [
            (Side::B, b"RFB 003.003\n".to_vec()),
            (Side::A, b"RFB 003.003\n".to_vec()),
            (Side::B, [&[0, 0, 0, 2][..], &[0xaa; 16]].concat()),
            (Side::A, vec![0xbb; 16]),
            (Side::B, vec![0, 0, 0, 1]),
        ];
        let said = items(&talk);
        assert_eq!(vec![("login-failed", vec!["vnc-authentication".into()])], events(&said));
        let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn a_client_that_answers_otherwise_breaks_the_protocol() {
        let talk =
            [(Side::B, b"RFB 003.008\n".to_vec()), (Side::A, b"GET / HTTP/1.1\r\n".to_vec())];
        assert!(items(&talk).iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "vnc-version")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::B, b"RFB 003.889\n")));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::B, b"RF")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, b"RFC 003.008\n")));
    }
}
