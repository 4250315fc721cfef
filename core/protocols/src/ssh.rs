//! SSH: who speaks it, and with what software.
//!
//! Sources: RFC 4253 §4.2 (identification string, at most 255 bytes, other lines may precede the
//! server's), §6 (binary packets), §7.1 (SSH_MSG_KEXINIT), §12 (message numbers), RFC 4253 §5.1
//! (version 1.99).
//!
//! Everything after the identification is used up without being read: only the key exchange is in
//! clear. A stream joined in the middle shows nothing but its port.

use otic_wire::Cursor;

use crate::out::{Child, Claim, Confidence, Decode, Item, Out, Who};
use crate::registry::{Carrier, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// Secure shell.
pub const PROTOCOL: Protocol = Protocol {
    name: "ssh",
    title: "SSH",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[22])],
    probe,
    session: || Box::new(Ssh::default()),
    source: "RFC 4253",
};

/// Most bytes before the identification and in it.
const GREETING_BYTES: usize = 4096;
const PREFIX: &[u8] = b"SSH-";
const KEXINIT: u8 = 20;

/// A packet in clear: length, padding length and message number agree (RFC 4253 §6).
fn is_clear_packet(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes);
    let (Ok(length), Ok(padding), Ok(message)) = (cursor.u32_be(), cursor.u8(), cursor.u8()) else {
        return false;
    };
    length <= 35_000
        && (length + 4) % 8 == 0
        && padding >= 4
        && u32::from(padding) + 2 <= length
        && matches!(message, KEXINIT | 21 | 30..=34)
}

fn probe(input: &Input<'_>) -> Probe {
    let bytes = input.bytes;
    let common = bytes.len().min(PREFIX.len());
    if bytes.get(..common) == PREFIX.get(..common) {
        return match bytes.get(4) {
            Some(digit) if digit.is_ascii_digit() => Probe::Certain,
            Some(_) => Probe::No,
            None => Probe::More,
        };
    }
    if is_clear_packet(bytes) {
        return if bytes.get(5) == Some(&KEXINIT) { Probe::Likely } else { Probe::Weak };
    }
    // Encrypted bytes have no shape; from its start a stream would have shown the identification.
    if input.stream_start { Probe::No } else { Probe::Weak }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Start,
    /// Text before the identification.
    Greeting,
    Packets,
}

#[derive(Default)]
struct Ssh {
    states: [State; 2],
    said_encrypted: bool,
}

impl Session for Ssh {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let [a, b] = &mut self.states;
        let state = if input.side == Side::A { a } else { b };
        if input.after_gap && *state == State::Greeting {
            *state = State::Packets;
        }
        let mut used = 0;
        while *state != State::Packets {
            let rest = input.bytes.get(used..).unwrap_or_default();
            let common = rest.len().min(PREFIX.len());
            let is_text =
                rest.iter().take(64).all(|byte| *byte >= b' ' || b"\r\n\t".contains(byte));
            if rest.get(..common) != PREFIX.get(..common) && !is_text {
                *state = State::Packets;
                break;
            }
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if rest.len() > GREETING_BYTES {
                    *state = State::Packets;
                    break;
                }
                if used > 0 {
                    out.layer(PROTOCOL.name, input.side);
                }
                return used;
            };
            let line = rest.get(..end).unwrap_or_default();
            used += end + 1;
            *state = State::Greeting;
            if line.starts_with(PREFIX) {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                out.claim(Claim {
                    who: Who::Sender(Child::None),
                    attribute: "ssh_banner",
                    value: text::utf8(line),
                    protocol: PROTOCOL.name,
                    message: "identification",
                    confidence: Confidence::High,
                    evidence: input.evidence(line, Decode::Utf8),
                });
                *state = State::Packets;
            }
        }
        if input.bytes.len() > used && !std::mem::replace(&mut self.said_encrypted, true) {
            out.push(Item::NotDecoded(PROTOCOL.name, "encrypted"));
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

    const SERVER: &[u8] = b"Authorised use only\r\nSSH-2.0-dropbear_2019.78\r\n";
    const CLIENT: &[u8] = b"SSH-2.0-PuTTY_Release_0.70\r\n";
    /// Length 12, padding 4, KEXINIT.
    const PACKET: &[u8] = &[0, 0, 0, 12, 4, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

    #[test]
    fn both_ends_tell_their_software() {
        let talk = [(Side::B, SERVER), (Side::A, CLIENT), (Side::A, PACKET)];
        let items = testing::items(&PROTOCOL, &talk);
        let claims: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Claim(c) => Some(c.value.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(vec!["SSH-2.0-dropbear_2019.78", "SSH-2.0-PuTTY_Release_0.70"], claims);
        assert!(items.contains(&Item::NotDecoded("ssh", "encrypted")));
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn the_identification_makes_it_certain() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, CLIENT)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, b"SS")));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, PACKET)));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, &[0x5a; 48])));
    }
}
