//! SCTP associations.
//!
//! Sources: RFC 9260 §3 (packets, chunks, parameters), RFC 3758 (FORWARD-TSN), RFC 5061 (ASCONF), RFC
//! 6525 (RE-CONFIG), RFC 8260 (I-DATA), RFC 4820 (PAD), RFC 4895 (AUTH); IANA's register of payload
//! protocol identifiers.
//!
//! An INIT and its answer are one operation, as is a heartbeat. Data is one for each payload protocol
//! and port. The code is the chunk type.
//!
//! Rules broken on the wire:
//! * `sctp-chunk`: chunks do not fill the packet.
//!
//! Not decoded: what data chunks carry.

use compact_str::CompactString;
use otic_wire::Cursor;

use crate::fields::part_at;
use crate::out::{Action, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};

/// SCTP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "SCTP",
    roles: ("SCTP endpoint", "SCTP endpoint"),
    carriers: &[Carrier::Ip(&[132])],
    dissector: Dissector::Built { probe, session: || Box::new(Sctp::new()) },
    source: "RFC 9260",
};

const NAME: &str = "sctp";

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const HEARTBEAT: u8 = 4;
const HEARTBEAT_ACK: u8 = 5;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const I_DATA: u8 = 64;

/// Ports, verification tag, checksum.
const HEADER: usize = 12;
/// Requests between two addresses that may wait at once.
const WAITING: usize = 32;

/// Name of a payload protocol.
const fn payload(id: u32) -> Option<&'static str> {
    Some(match id {
        0 => "unspecified",
        1 => "IUA",
        2 => "M2UA",
        3 => "M3UA",
        4 => "SUA",
        5 => "M2PA",
        6 => "V5UA",
        7 => "H.248",
        8 => "BICC/Q.2150.3",
        9 => "TALI",
        10 => "DUA",
        11 => "ASAP",
        12 => "ENRP",
        13 => "H.323",
        18 => "S1AP",
        19 => "RUA",
        20 => "HNBAP",
        24 => "SBc-AP",
        25 => "NBAP",
        27 => "X2AP",
        46 => "Diameter",
        47 => "Diameter over DTLS",
        50 => "WebRTC DCEP",
        51 => "WebRTC string",
        53 => "WebRTC binary",
        60 => "NGAP",
        61 => "XnAP",
        62 => "F1AP",
        _ => return None,
    })
}

const fn is_type(kind: u8) -> bool {
    matches!(kind, DATA..=15 | I_DATA | 0x80..=0x84 | 0xc0..=0xc2)
}

/// One chunk.
struct Chunk<'a> {
    kind: u8,
    value: &'a [u8],
    /// The type's byte.
    code: &'a [u8],
}

/// The chunks of a packet, and whether they fill it.
fn chunks(bytes: &[u8]) -> (Vec<Chunk<'_>>, bool) {
    let mut all = Vec::new();
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    while let [kind, _, high, low, ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(value) = rest.get(4..length) else { return (all, false) };
        all.push(Chunk { kind: *kind, value, code: part_at(rest, 0, 1) });
        // The padding of the last one may be left out.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    (all, rest.is_empty())
}

fn ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let mut cursor = Cursor::new(bytes);
    Some((cursor.u16_be().ok()?, cursor.u16_be().ok()?))
}

fn probe(input: &Input<'_>) -> Probe {
    let (all, _) = chunks(input.bytes);
    match all.first() {
        Some(chunk) if is_type(chunk.kind) => Probe::Likely,
        _ => Probe::No,
    }
}

/// What goes on under SCTP between two addresses.
struct Sctp {
    client_said: bool,
    /// By sender, its port and chunk type.
    pending: Pending<(Side, u16, u8), Operation>,
}

impl Sctp {
    const fn new() -> Self {
        Self { client_said: false, pending: Pending::new(WAITING) }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(side));
        }
    }

    fn chunk(&mut self, input: &Input<'_>, chunk: &Chunk<'_>, ports: (u16, u16), out: &mut Out) {
        let operation = |words| {
            let mut operation = input.operation(NAME, input.side, words, chunk.code);
            operation.code = Some(u32::from(chunk.kind));
            operation.outcome = Outcome::None;
            operation
        };
        let port = |number: u16| Object::Number { kind: "port", number: u32::from(number) };
        match chunk.kind {
            INIT | HEARTBEAT => {
                let words = if chunk.kind == INIT {
                    self.say_client(input.side, out);
                    ("init", Action::Session)
                } else {
                    ("heartbeat", Action::Session)
                };
                let mut operation = operation(words);
                operation.outcome = Outcome::Unseen;
                operation.object = port(ports.1);
                let key = (input.side, ports.0, chunk.kind);
                if let Some(evicted) = self.pending.insert(key, operation) {
                    out.operation(evicted);
                }
            }
            INIT_ACK | HEARTBEAT_ACK => {
                let key = (input.side.other(), ports.1, chunk.kind - 1);
                self.answer(&key, Outcome::Ok, out);
            }
            ABORT => {
                let key = (input.side.other(), ports.1, INIT);
                if self.pending.get_mut(&key).is_some() {
                    self.answer(&key, Outcome::Error, out);
                } else {
                    out.operation(operation(("abort", Action::Session)));
                }
            }
            SHUTDOWN => out.operation(operation(("shutdown", Action::Session))),
            DATA | I_DATA => {
                // I-DATA has a longer number of the message in front of the identifier.
                let at = if chunk.kind == DATA { 8 } else { 12 };
                let Some(id) = part_at(chunk.value, at, 4).as_array::<4>() else { return };
                let id = u32::from_be_bytes(*id);
                let mut operation = operation(("data", Action::Write));
                let name = payload(id).map_or_else(
                    || compact_str::format_compact!("payload protocol {id}"),
                    CompactString::const_new,
                );
                operation.object = Object::Text(compact_str::format_compact!(
                    "{name} port {}",
                    ports.0.min(ports.1)
                ));
                out.operation(operation);
            }
            _ => {}
        }
    }

    fn answer(&mut self, key: &(Side, u16, u8), outcome: Outcome, out: &mut Out) {
        if let Some(mut operation) = self.pending.take(key) {
            operation.outcome = outcome;
            out.operation(operation);
        }
    }
}

impl Session for Sctp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let Some(ports) = ports(input.bytes) else { return input.bytes.len() };
        let (all, whole) = chunks(input.bytes);
        out.layer(NAME, input.side);
        for chunk in &all {
            self.chunk(input, chunk, ports, out);
        }
        if !whole && !input.truncated {
            out.push(input.violation(NAME, "sctp-chunk", part_at(input.bytes, 0, HEADER)));
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        for operation in self.pending.drain() {
            out.operation(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn packet(ports: (u16, u16), chunks: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = ports.0.to_be_bytes().to_vec();
        bytes.extend(ports.1.to_be_bytes());
        bytes.extend([0; 8]);
        for (kind, value) in chunks {
            bytes.extend([*kind, 3]);
            bytes.extend((value.len() as u16 + 4).to_be_bytes());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        vec![
            (Side::A, packet((49_152, 2905), &[(INIT, &[0; 16])])),
            (Side::B, packet((2905, 49_152), &[(INIT_ACK, &[0; 16])])),
            (Side::A, packet((49_152, 2905), &[(DATA, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 9])])),
            (Side::A, packet((49_152, 2905), &[(HEARTBEAT, &[0; 8])])),
            (Side::B, packet((2905, 49_152), &[(3, &[0; 12]), (HEARTBEAT_ACK, &[0; 8])])),
            (Side::A, packet((49_152, 38_412), &[(INIT, &[0; 16])])),
            (Side::B, packet((38_412, 49_152), &[(ABORT, &[])])),
        ]
    }

    fn messages(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    #[test]
    fn associations_and_payloads_are_operations() {
        let expected = [
            ("init", Some(1), "port 2905", Outcome::Ok),
            ("data", Some(0), "M3UA port 2905", Outcome::None),
            ("heartbeat", Some(4), "port 2905", Outcome::Ok),
            ("init", Some(1), "port 38412", Outcome::Error),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(a, b, c, outcome)| (a, b, c.to_owned(), outcome)).collect();
        assert_eq!(expected, testing::coded_operations(&messages(&conversation())));
    }

    #[test]
    fn a_chunk_that_is_too_long_is_a_violation() {
        let mut broken = packet((1, 2), &[(DATA, &[0; 13])]);
        broken[15] = 200;
        let items = messages(&[(Side::A, broken)]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "sctp-chunk")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        for (_, bytes) in conversation() {
            assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &bytes)));
        }
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[0x55; 30])));
    }

    #[test]
    fn survives_hostile_bytes() {
        let all = conversation();
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &parts);
    }
}
