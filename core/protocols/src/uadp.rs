//! OPC UA PubSub: data sets that publishers send without being asked, over UDP and on Ethernet.
//!
//! Source: OPC 10000-14 (PubSub) v1.05 §7.2.4.4 (UADP network message: flags, publisher id, group
//! header, payload header, extended and security header), §7.2.4.6 (discovery), §7.3.2 (UDP port 4840),
//! §7.3.3 (EtherType 0xB62C).
//!
//! The code of an operation is the type of the network message: data sets, discovery request,
//! discovery response. Its object is publisher, writer group and data set writers, as far as the
//! message names them.
//!
//! Rules broken on the wire:
//! * `opc-ua-pubsub-length`: a message is shorter than the headers that its flags announce.
//!
//! Not decoded: data sets (their fields are in the metadata), chunks, what discovery tells, encrypted
//! payloads, JSON messages (they are MQTT's).

use compact_str::{CompactString, format_compact};
use otic_wire::{Cursor, Short};

use crate::fields::part_at;
use crate::out::{Action, Decode, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Transport};
use crate::text;

/// OPC UA PubSub in UADP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "OPC UA PubSub",
    roles: ("publisher", "subscriber"),
    carriers: &[Carrier::Udp(&[4840]), Carrier::EtherType(&[0xb62c])],
    dissector: Dissector::Built { probe, session: || Box::new(Uadp::default()) },
    source: "OPC 10000-14 v1.05 §7.2.4, §7.3",
};

const NAME: &str = "opc-ua-pubsub";

/// Flags of the first byte, whose lower half is the version.
const VERSION: u8 = 1;
const PUBLISHER: u8 = 0x10;
const GROUP: u8 = 0x20;
const PAYLOAD: u8 = 0x40;
const EXTENDED_1: u8 = 0x80;
/// Flags of the second byte, whose lowest three bits are the type of the publisher id.
const CLASS_ID: u8 = 0x08;
const SECURITY: u8 = 0x10;
const TIMESTAMP: u8 = 0x20;
const PICOSECONDS: u8 = 0x40;
const EXTENDED_2: u8 = 0x80;

/// Data set writers that an object names.
const WRITERS: usize = 8;

const fn kind_words(kind: u8) -> Option<(&'static str, Action)> {
    Some(match kind {
        0 => ("data-set-messages", Action::Subscribe),
        1 => ("discovery-request", Action::Identify),
        2 => ("discovery-response", Action::Identify),
        _ => return None,
    })
}

/// The headers of a network message.
struct Headers<'a> {
    kind: u8,
    publisher: Option<(CompactString, &'a [u8], Decode)>,
    group: Option<u16>,
    /// Of how many messages the header tells; 0 without it.
    messages: u8,
    writers: Vec<u16>,
    is_secured: bool,
    is_encrypted: bool,
    /// What follows the headers.
    rest: usize,
}

/// None where the flags are none of this version.
fn read(bytes: &[u8]) -> Result<Option<Headers<'_>>, Short> {
    let mut cursor = Cursor::new(bytes);
    let flags = cursor.u8()?;
    let extended_1 = if flags & EXTENDED_1 == 0 { 0 } else { cursor.u8()? };
    let extended_2 = if extended_1 & EXTENDED_2 == 0 { 0 } else { cursor.u8()? };
    let kind = extended_2 >> 2 & 7;
    if flags & 0x0f != VERSION || extended_1 & 7 > 4 || kind_words(kind).is_none() {
        return Ok(None);
    }
    if extended_2 & 0xe0 != 0 {
        return Ok(None);
    }
    let publisher = if flags & PUBLISHER == 0 {
        None
    } else {
        Some(match extended_1 & 7 {
            4 => {
                let length = usize::try_from(cursor.u32_le()?).unwrap_or(usize::MAX);
                let name = cursor.take(length)?;
                (text::utf8(name), name, Decode::Utf8)
            }
            size => {
                let part = cursor.take(1 << size)?;
                let number = part.iter().rev().fold(0, |id, byte| id << 8 | u64::from(*byte));
                (format_compact!("{number}"), part, Decode::UnsignedLe)
            }
        })
    };
    if extended_1 & CLASS_ID != 0 {
        cursor.skip(16)?;
    }
    let mut group = None;
    if flags & GROUP != 0 {
        let has = cursor.u8()?;
        if has & 0xf0 != 0 {
            return Ok(None);
        }
        group = if has & 1 == 0 { None } else { Some(cursor.u16_le()?) };
        // version of the group, number of the message, sequence number
        cursor.skip(usize::from(has >> 1 & 1) * 4)?;
        cursor.skip(usize::from(has >> 2 & 1) * 2)?;
        cursor.skip(usize::from(has >> 3 & 1) * 2)?;
    }
    let mut writers = Vec::new();
    let mut messages = 0;
    if flags & PAYLOAD != 0 && kind == 0 {
        messages = cursor.u8()?;
        for _ in 0..messages {
            let writer = cursor.u16_le()?;
            if writers.len() < WRITERS {
                writers.push(writer);
            }
        }
    }
    cursor.skip(usize::from(extended_1 & TIMESTAMP != 0) * 8)?;
    cursor.skip(usize::from(extended_1 & PICOSECONDS != 0) * 2)?;
    // promoted fields
    if extended_2 & 2 != 0 {
        let size = cursor.u16_le()?;
        cursor.skip(usize::from(size))?;
    }
    let is_secured = extended_1 & SECURITY != 0;
    let is_encrypted = is_secured && cursor.u8()? & 2 != 0;
    let rest = cursor.remaining();
    Ok(Some(Headers { kind, publisher, group, messages, writers, is_secured, is_encrypted, rest }))
}

impl Headers<'_> {
    fn object(&self) -> Object {
        let mut text = CompactString::default();
        if let Some((publisher, ..)) = &self.publisher {
            text.push_str(&format_compact!("publisher {publisher}"));
        }
        if let Some(group) = self.group {
            text.push_str(&format_compact!(" group {group}"));
        }
        for (at, writer) in self.writers.iter().enumerate() {
            let before = if at == 0 { " writer " } else { "," };
            text.push_str(&format_compact!("{before}{writer}"));
        }
        let text = text.trim();
        if text.is_empty() { Object::None } else { Object::Text(text.into()) }
    }
}

/// Whether a message that is not secured goes on with a valid DataSetMessage (flags and type in its
/// header).
fn has_data(headers: &Headers<'_>, bytes: &[u8]) -> bool {
    let start = bytes.len() - headers.rest.min(bytes.len());
    // Several messages have their sizes before them.
    let sizes = if headers.messages > 1 { 2 * usize::from(headers.messages) } else { 0 };
    if headers.is_secured || headers.kind != 0 {
        return headers.rest > 0;
    }
    match bytes.get(start + sizes..) {
        Some([flags, more, ..]) => {
            let kind = if flags & 0x80 == 0 { 0 } else { more & 0x0f };
            flags & 1 != 0 && flags & 6 != 6 && kind <= 3
        }
        Some([flags]) => flags & 0x81 == 1 && flags & 6 != 6,
        _ => false,
    }
}

fn probe(input: &Input<'_>) -> Probe {
    let by_type = input.transport == Transport::Ethernet;
    match read(input.bytes) {
        Ok(Some(_)) if by_type => Probe::Certain,
        // Few bits are fixed: believed where it is spoken, and where a message says who sends it.
        Ok(Some(headers)) if headers.publisher.is_some() && has_data(&headers, input.bytes) => {
            Probe::Weak
        }
        Err(_) if by_type => Probe::Weak,
        _ => Probe::No,
    }
}

/// The messages of a publisher to an address.
#[derive(Default)]
struct Uadp {
    client_said: bool,
}

impl Session for Uadp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(NAME, input.side);
        let headers = match read(input.bytes) {
            Ok(Some(headers)) => headers,
            Ok(None) => return input.bytes.len(),
            Err(_) => {
                if !input.truncated {
                    let part = part_at(input.bytes, 0, 32);
                    out.push(input.violation(NAME, "opc-ua-pubsub-length", part));
                }
                return input.bytes.len();
            }
        };
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(input.side));
        }
        if headers.is_encrypted {
            out.push(Item::NotDecoded(NAME, "encrypted"));
        }
        let words = kind_words(headers.kind).unwrap_or(("unknown", Action::Diagnostics));
        let length = input.bytes.len() - headers.rest.min(input.bytes.len());
        out.operation(Operation {
            code: Some(headers.kind.into()),
            object: headers.object(),
            outcome: Outcome::None,
            ..input.operation(NAME, input.side, words, part_at(input.bytes, 0, length))
        });
        if headers.kind != 1
            && let Some((publisher, part, decode)) = headers.publisher
        {
            let told_in = (NAME, words.0);
            out.claim(input.own_claim(told_in, "opc_ua_publisher_id", publisher, part, decode));
        }
        input.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Side;
    use crate::testing;

    /// Publisher 2234 (16 bits), group 100, writers 1 and 2 with a byte of data each.
    const DATA: &[u8] = &[
        VERSION | PUBLISHER | GROUP | PAYLOAD | EXTENDED_1,
        1,
        0xba,
        0x08,
        0x09,
        100,
        0,
        7,
        0,
        2,
        1,
        0,
        2,
        0,
        2,
        0,
        2,
        0,
        1,
        7,
        1,
        7,
    ];
    /// Publisher `line`, discovery response.
    const RESPONSE: &[u8] = &[
        VERSION | PUBLISHER | EXTENDED_1,
        4 | EXTENDED_2,
        2 << 2,
        4,
        0,
        0,
        0,
        b'l',
        b'i',
        b'n',
        b'e',
        2,
    ];

    #[test]
    fn a_message_names_publisher_group_and_writers() {
        let items = testing::items(&PROTOCOL, &[(Side::A, DATA), (Side::A, RESPONSE)]);
        let object = "publisher 2234 group 100 writer 1,2".to_owned();
        assert_eq!(
            vec![
                ("data-set-messages", Some(0), object, Outcome::None),
                ("discovery-response", Some(2), "publisher line".to_owned(), Outcome::None),
            ],
            testing::coded_operations(&items)
        );
        assert_eq!(
            vec![
                ("opc_ua_publisher_id", "2234".to_owned()),
                ("opc_ua_publisher_id", "line".to_owned())
            ],
            testing::claims(&items)
        );
    }

    #[test]
    fn a_message_shorter_than_its_headers_is_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &DATA[..11])]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "opc-ua-pubsub-length")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, DATA)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &DATA[..11])));
        let mut invalid = DATA.to_vec();
        invalid[18] = 0;
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &invalid)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
    }

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(&PROTOCOL, &[(Side::A, DATA), (Side::A, RESPONSE)]);
    }
}
