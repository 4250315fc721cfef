//! SSH: version exchange and the clear part of the key exchange.
//!
//! Sources: RFC 4253 §4.2 (version exchange), §6 (binary packet), §7 (key exchange), §12 (message
//! numbers).
//!
//! Rule broken on the wire: `ssh-packet`, a packet length of the key exchange beyond 35,000 bytes.
//!
//! The server's host key goes to Python whole (RFC 4253 §8, RFC 5656 §4, RFC 4419 §3).
//!
//! Not decoded: what follows NEWKEYS (encrypted; whether a log-in succeeded is not visible).

use otic_wire::Cursor;

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Item, Operation, Out, Outcome, Payload, Who,
};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// SSH.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "SSH",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Ssh::default()) },
    source: "RFC 4253, RFC 5656, RFC 4419",
};

const NAME: &str = "ssh";
const PORT: u16 = 22;
const BANNER: &[u8] = b"SSH-";
/// RFC 4253 §6.1: packets a reader must be able to take.
const PACKET_CAP: u32 = 35_000;
const LINE_CAP: usize = 4096;
const LINES_BEFORE_BANNER: u8 = 64;

const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;

/// Name of a message of the key exchange; none of other messages.
const fn message(code: u8) -> Option<&'static str> {
    match code {
        1 => Some("disconnect"),
        2 => Some("ignore"),
        3 => Some("unimplemented"),
        4 => Some("debug"),
        KEXINIT => Some("key-exchange-init"),
        NEWKEYS => Some("new-keys"),
        30..=49 => Some("key-exchange"),
        _ => None,
    }
}

/// Names of host key formats start so (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4).
const KEY_FORMATS: &[&[u8]] = &[b"ssh-", b"ecdsa-sha2-"];
const KEY_CAP: usize = 4096;

/// A host key, where a reply to a key exchange starts with one.
enum HostKey<'a> {
    Whole(&'a [u8]),
    Incomplete,
    None,
}

/// The host key of a reply (RFC 4253 §8, RFC 5656 §4: code 31; RFC 4419 §3: code 33); what the
/// exchange of groups sends under code 31 starts with a number instead.
fn host_key(code: u8, body: &[u8]) -> HostKey<'_> {
    if !matches!(code, 31 | 33) {
        return HostKey::None;
    }
    let mut cursor = Cursor::new(body);
    let Ok(length) = cursor.u32_be() else { return HostKey::Incomplete };
    if length as usize > KEY_CAP {
        return HostKey::None;
    }
    let Ok(key) = cursor.take(length as usize) else { return HostKey::Incomplete };
    let mut inside = Cursor::new(key);
    let name = inside.u32_be().ok().and_then(|length| inside.take(length as usize).ok());
    let known = |name: &[u8]| KEY_FORMATS.iter().any(|format| name.starts_with(format));
    if name.is_some_and(known) { HostKey::Whole(key) } else { HostKey::None }
}

fn probe(input: &Input<'_>) -> Probe {
    let start = input.bytes.get(..input.bytes.len().min(BANNER.len())).unwrap_or_default();
    if BANNER.starts_with(start) {
        return match input.bytes {
            [b'S', b'S', b'H', b'-', b'1' | b'2', b'.', ..] => Probe::Certain,
            [_, _, _, _, b'1' | b'2'] | [_, _, _, _] | [] | [_] | [_, _] | [_, _, _] => Probe::More,
            _ => Probe::No,
        };
    }
    let mut cursor = Cursor::new(input.bytes);
    let (Ok(length), Ok(padding), Ok(code)) = (cursor.u32_be(), cursor.u8(), cursor.u8()) else {
        return Probe::No;
    };
    // A key exchange whose version exchange was missed.
    let fits = (64..=PACKET_CAP).contains(&length) && (length + 4) % 8 == 0;
    if code == KEXINIT && fits && padding >= 4 { Probe::Likely } else { Probe::No }
}

/// What one direction reads next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    /// The banner, or lines before it.
    #[default]
    Banner,
    Packet,
    /// Bytes of a packet left.
    Inside(u32),
    Encrypted,
}

#[derive(Default)]
struct Direction {
    next: Next,
    lines: u8,
    /// The packet being read is NEWKEYS.
    last: bool,
}

/// A flow that carries SSH.
#[derive(Default)]
struct Ssh {
    directions: [Direction; 2],
    client: Option<Side>,
    client_said: bool,
    encrypted_said: bool,
}

impl Ssh {
    fn direction(&mut self, side: Side) -> &mut Direction {
        side.of(&mut self.directions)
    }

    fn client(&mut self, input: &Input<'_>) -> Option<Side> {
        let to_server = input.destination_port == PORT;
        if self.client.is_none() && to_server != (input.source_port == PORT) {
            self.client = Some(if to_server { input.side } else { input.side.other() });
        }
        self.client
    }

    /// One step from the front of `rest`: bytes used up, or none to wait for more.
    fn step(&mut self, input: &Input<'_>, rest: &[u8], out: &mut Out) -> Option<usize> {
        match self.direction(input.side).next {
            Next::Banner => {
                let line = match memchr::memchr(b'\n', rest) {
                    Some(end) => rest.get(..end).unwrap_or_default(),
                    None if rest.len() < LINE_CAP => return None,
                    None => {
                        self.direction(input.side).next = Next::Encrypted;
                        return Some(rest.len());
                    }
                };
                let used = line.len() + 1;
                if line.starts_with(BANNER) {
                    let banner = text::trim(line);
                    out.claim(Claim {
                        who: Who::Sender(Child::None),
                        attribute: "ssh_banner",
                        value: text::utf8(banner),
                        protocol: NAME,
                        message: "version-exchange",
                        confidence: Confidence::High,
                        evidence: input.evidence(banner, Decode::Utf8),
                    });
                    self.direction(input.side).next = Next::Packet;
                } else {
                    let direction = self.direction(input.side);
                    direction.lines += 1;
                    if direction.lines >= LINES_BEFORE_BANNER {
                        direction.next = Next::Encrypted;
                    }
                }
                Some(used)
            }
            Next::Packet => {
                let mut cursor = Cursor::new(rest);
                let (length, _padding, code) =
                    (cursor.u32_be().ok()?, cursor.u8().ok()?, cursor.u8().ok()?);
                // A server tells a client it does not understand so in plain text.
                if rest.starts_with(b"Proto") {
                    self.direction(input.side).next = Next::Encrypted;
                    return Some(rest.len());
                }
                if !(6..=PACKET_CAP).contains(&length) {
                    out.push(input.violation(NAME, "ssh-packet", rest.get(..6).unwrap_or(rest)));
                    self.direction(input.side).next = Next::Encrypted;
                    return Some(rest.len());
                }
                let Some(name) = message(code) else {
                    self.direction(input.side).next = Next::Encrypted;
                    return Some(rest.len());
                };
                match host_key(code, rest.get(6..).unwrap_or_default()) {
                    HostKey::Whole(key) => out.push(Item::Payload(Payload {
                        protocol: NAME,
                        kind: "ssh-host-key",
                        sender: input.side,
                        bytes: key.to_vec(),
                        evidence: input.locate(key),
                    })),
                    HostKey::Incomplete if !input.truncated && rest.len() < KEY_CAP => return None,
                    HostKey::Incomplete | HostKey::None => {}
                }
                if self.client(input) == Some(input.side)
                    && !std::mem::replace(&mut self.client_said, true)
                {
                    out.push(Item::Client(input.side));
                }
                out.operation(Operation {
                    outcome: Outcome::None,
                    ..input.operation(
                        NAME,
                        input.side,
                        (name, Action::Session),
                        rest.get(..6).unwrap_or(rest),
                    )
                });
                let direction = self.direction(input.side);
                direction.next = Next::Inside(length - 2);
                direction.last = code == NEWKEYS;
                Some(6)
            }
            Next::Inside(left) => {
                let part = rest.len().min(left as usize);
                let left = left - part as u32;
                let direction = self.direction(input.side);
                direction.next = match (left, direction.last) {
                    (0, true) => Next::Encrypted,
                    (0, false) => Next::Packet,
                    _ => Next::Inside(left),
                };
                Some(part)
            }
            Next::Encrypted => {
                if !std::mem::replace(&mut self.encrypted_said, true) {
                    out.push(Item::NotDecoded(NAME, "encrypted"));
                }
                Some(rest.len())
            }
        }
    }
}

impl Session for Ssh {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap && !input.bytes.starts_with(BANNER) {
            let next = match probe(input) {
                Probe::Likely => Next::Packet,
                _ => Next::Encrypted,
            };
            self.direction(input.side).next = next;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            let Some(length) = self.step(input, rest, out) else { break };
            used += length;
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn stream_cap(&self) -> usize {
        2 * LINE_CAP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// A packet: length, padding 4, message, 64 bytes of contents and padding.
    fn packet(code: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 68, 4, code];
        bytes.extend_from_slice(&[7; 66]);
        bytes
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        vec![
            (Side::B, b"be careful\r\nSSH-2.0-box_1.2\r\n".to_vec()),
            (Side::A, b"SSH-2.0-client_3\r\n".to_vec()),
            (Side::A, packet(KEXINIT)),
            (Side::B, [packet(KEXINIT), packet(31), packet(NEWKEYS)].concat()),
            (Side::A, [packet(30), packet(NEWKEYS)].concat()),
            (Side::A, vec![0xaa; 50]),
        ]
    }

    fn talk() -> Vec<Item> {
        let messages = conversation();
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::items(&PROTOCOL, &messages)
    }

    #[test]
    fn both_sides_tell_their_banner() {
        let banners: Vec<_> = talk()
            .iter()
            .filter_map(|item| match item {
                Item::Claim(claim) => Some(claim.value.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(vec!["SSH-2.0-box_1.2", "SSH-2.0-client_3"], banners);
    }

    #[test]
    fn the_key_exchange_is_read_until_it_is_encrypted() {
        let items = talk();
        let names: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(op) => Some(op.name),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![
                "key-exchange-init",
                "key-exchange-init",
                "key-exchange",
                "new-keys",
                "key-exchange",
                "new-keys"
            ],
            names
        );
        assert!(items.contains(&Item::NotDecoded("ssh", "encrypted")));
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn the_probe_knows_banner_and_key_exchange() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, b"SSH-2.0-a\r\n")));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, b"SS")));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &packet(KEXINIT))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"SSTP")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"220 ftp\r\n")));
    }

    #[test]
    fn the_server_s_host_key_is_handed_on() {
        let key = [&[0, 0, 0, 11][..], b"ssh-ed25519", &[0, 0, 0, 4, 1, 2, 3, 4]].concat();
        let mut reply = vec![0, 0, 0, 0, 6, 31, 0, 0, 0, key.len() as u8];
        reply.extend(&key);
        reply.extend([0; 20]);
        reply[3] = reply.len() as u8 - 4;
        let talk = [
            (Side::A, b"SSH-2.0-x\r\n".to_vec()),
            (Side::B, [b"SSH-2.0-y\r\n".to_vec(), packet(KEXINIT), reply].concat()),
        ];
        let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        let items = testing::items(&PROTOCOL, &talk);
        assert!(items.iter().any(|item| matches!(item, Item::Payload(payload)
            if payload.kind == "ssh-host-key" && payload.bytes == key)));
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn survives_hostile_bytes() {
        let messages = conversation();
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
