//! RTPS, the wire protocol of DDS, over UDP.
//!
//! Sources: OMG DDSI-RTPS 2.5 §8.3 and §9.4 (messages, submessages), §9.3.1.3 (entity ids), §9.6.3
//! (parameters); the OMG's register of vendor ids; captures nDPI `rtps.pcap` (2.1) and ICS-Pcaps
//! `rtps_cooked.pcap` (1.3), for the shorter header of version 1.
//!
//! The code of an operation is the submessage id. Participants, writers and readers that are announced
//! are operations with their topic as object; data is one with its writer, whose topic is announced on
//! another flow.
//!
//! Rules broken on the wire:
//! * `rtps-submessage`: a submessage is longer than its datagram.
//!
//! Not decoded: the contents of samples, DDS security, RTPS over TCP.

use compact_str::CompactString;
use otic_wire::Cursor;

use crate::fields::part_at;
use crate::out::{Action, Claim, Confidence, Decode, Object, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};
use crate::text;

/// RTPS.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "RTPS",
    roles: ("DDS participant", "DDS participant"),
    // Ports of the first participants of domain 0 (§9.6.2).
    carriers: &[Carrier::Udp(&[7400, 7401, 7410, 7411, 7412, 7413])],
    dissector: Dissector::Built { probe, session: || Box::new(Rtps) },
    source: "OMG DDSI-RTPS 2.5",
};

const NAME: &str = "rtps";
const MAGIC: &[u8] = b"RTPS";

const DATA: u8 = 0x15;
const DATA_FRAGMENT: u8 = 0x16;
/// A sample in version 1.
const ISSUE: u8 = 0x03;

const PARTICIPANT_WRITER: u32 = 0x0001_00c2;
const PUBLICATIONS_WRITER: u32 = 0x0000_03c2;
const SUBSCRIPTIONS_WRITER: u32 = 0x0000_04c2;

const END: u16 = 1;
const TOPIC_NAME: u16 = 0x0005;
const PROPERTIES: u16 = 0x0059;
const ENTITY_NAME: u16 = 0x0062;

/// Longest name that an object spells out.
const SPELLED: usize = 128;

/// Vendors with an id of the OMG's register.
const fn vendor(id: u16) -> Option<&'static str> {
    Some(match id {
        0x0101 | 0x010a => "Real-Time Innovations",
        0x0102 | 0x010b | 0x010d => "ADLINK",
        0x0103 => "Object Computing",
        0x0104 => "MilSoft",
        0x0105 => "Kongsberg",
        0x0106 => "TwinOaks Computing",
        0x0107 => "Lakota Technical Solutions",
        0x0108 => "ICOUP Consulting",
        0x0109 => "ETRI",
        0x010c => "PrismTech",
        0x010e => "Technicolor",
        0x010f => "eProsima",
        0x0110 => "Eclipse Foundation",
        0x0111 => "GurumNetworks",
        _ => return None,
    })
}

/// The header of a message.
struct Header<'a> {
    vendor: &'a [u8],
    /// What names the participant: 12 bytes, 8 in version 1.
    prefix: &'a [u8],
    submessages: &'a [u8],
}

fn header(bytes: &[u8]) -> Option<Header<'_>> {
    let mut cursor = Cursor::new(bytes.strip_prefix(MAGIC)?);
    let (major, minor) = (cursor.u8().ok()?, cursor.u8().ok()?);
    if !matches!((major, minor), (1 | 2, 0..=9)) {
        return None;
    }
    let vendor = cursor.take(2).ok()?;
    // Pings of RTI have nothing but a mark of 8 bytes behind the vendor.
    let length = if major == 1 || cursor.remaining() == 8 { 8 } else { 12 };
    let prefix = cursor.take(length).ok()?;
    Some(Header { vendor, prefix, submessages: cursor.rest() })
}

/// One submessage.
struct Submessage<'a> {
    id: u8,
    flags: u8,
    body: &'a [u8],
    all: &'a [u8],
}

/// The first submessage; none where it is longer than what is there.
fn submessage(bytes: &[u8]) -> Option<Submessage<'_>> {
    let mut cursor = Cursor::new(bytes);
    let (id, flags) = (cursor.u8().ok()?, cursor.u8().ok()?);
    let length = if flags & 1 == 1 { cursor.u16_le() } else { cursor.u16_be() }.ok()?;
    // The last one may say 0 and go to the end; padding and times may be empty.
    let length = match (length, id) {
        (0, 0x01 | 0x09) => 0,
        (0, _) => cursor.remaining(),
        (length, _) => usize::from(length),
    };
    let body = cursor.take(length).ok()?;
    let all = bytes.get(..cursor.position())?;
    Some(Submessage { id, flags, body, all })
}

fn probe(input: &Input<'_>) -> Probe {
    if header(input.bytes).is_some() { Probe::Certain } else { Probe::No }
}

/// Id and value of each parameter of a list.
fn parameters(list: &[u8], little: bool) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    let mut cursor = Cursor::new(list);
    let u16 = |cursor: &mut Cursor<'_>| if little { cursor.u16_le() } else { cursor.u16_be() };
    while let (Ok(id), Ok(length)) = (u16(&mut cursor), u16(&mut cursor))
        && id != END
        && let Ok(value) = cursor.take(usize::from(length))
    {
        all.push((id, value));
    }
    all
}

/// A text of CDR: its length with the NUL, then the text; and what follows it.
fn string(bytes: &[u8], little: bool) -> Option<(&[u8], &[u8])> {
    let mut cursor = Cursor::new(bytes);
    let length = if little { cursor.u32_le() } else { cursor.u32_be() }.ok()? as usize;
    let value = cursor.take(length).ok()?;
    // Texts are aligned to four bytes.
    let _ = cursor.skip(length.next_multiple_of(4) - length);
    Some((value.strip_suffix(b"\0").unwrap_or(value), cursor.rest()))
}

/// What a data submessage carries.
struct Sample<'a> {
    writer: u32,
    /// The writer's entity id.
    writer_at: &'a [u8],
    /// A parameter list, and whether it is little-endian.
    list: Option<(&'a [u8], bool)>,
}

fn sample<'a>(message: &Submessage<'a>) -> Option<Sample<'a>> {
    let little = message.flags & 1 == 1;
    let mut cursor = Cursor::new(message.body);
    let _extra = cursor.u16_be().ok()?;
    let to_qos = if little { cursor.u16_le() } else { cursor.u16_be() }.ok()?;
    let behind = cursor.rest();
    let _reader = cursor.u32_be().ok()?;
    let writer_at = cursor.take(4).ok()?;
    let writer = u32::from_be_bytes(*writer_at.as_array()?);
    let mut rest = behind.get(usize::from(to_qos)..)?;
    if message.flags & 2 != 0 {
        // Quality of service stands in front as a list of its own.
        let mut cursor = Cursor::new(rest);
        loop {
            let (id, length) = if little {
                (cursor.u16_le().ok()?, cursor.u16_le().ok()?)
            } else {
                (cursor.u16_be().ok()?, cursor.u16_be().ok()?)
            };
            if id == END {
                break;
            }
            cursor.skip(usize::from(length)).ok()?;
        }
        rest = cursor.rest();
    }
    let list = match rest {
        _ if message.id != DATA || message.flags & 4 == 0 => None,
        [0, 2, _, _, list @ ..] => Some((list, false)),
        [0, 3, _, _, list @ ..] => Some((list, true)),
        _ => None,
    };
    Some(Sample { writer, writer_at, list })
}

/// A flow that carries RTPS: every message stands for itself.
struct Rtps;

impl Rtps {
    fn vendor(input: &Input<'_>, header: &Header<'_>, out: &mut Out) {
        let Some(id) = header.vendor.as_array().map(|id| u16::from_be_bytes(*id)) else { return };
        let told_in = (NAME, "header");
        if let Some(name) = vendor(id) {
            // The maker of the software, not of the device.
            let decode = Decode::Derived;
            let claim = input.own_claim(told_in, "dds_vendor", name.into(), header.vendor, decode);
            out.claim(Claim { confidence: Confidence::Medium, ..claim });
        }
        if header.prefix.iter().any(|byte| *byte != 0) && header.prefix != b"NDDSPING" {
            let mut said = CompactString::with_capacity(24);
            for byte in header.prefix {
                said.push_str(&compact_str::format_compact!("{byte:02x}"));
            }
            let attribute = "dds_guid_prefix";
            out.claim(input.own_claim(told_in, attribute, said, header.prefix, Decode::Hex));
        }
    }

    fn sample(input: &Input<'_>, message: &Submessage<'_>, out: &mut Out) {
        let Some(sample) = sample(message) else { return };
        let words = match sample.writer {
            PARTICIPANT_WRITER => ("announce-participant", Action::Identify),
            PUBLICATIONS_WRITER => ("announce-writer", Action::Subscribe),
            SUBSCRIPTIONS_WRITER => ("announce-reader", Action::Subscribe),
            // Other entities of discovery.
            writer if writer & 0xc0 == 0xc0 => ("discovery", Action::Session),
            _ => ("data", Action::Write),
        };
        let mut operation = input.operation(NAME, input.side, words, sample.writer_at);
        operation.code = Some(u32::from(message.id));
        operation.outcome = Outcome::None;
        if words.0 == "data" {
            let writer = sample.writer;
            operation.object = Object::Text(compact_str::format_compact!("writer 0x{writer:08x}"));
        }
        if let Some((list, little)) = sample.list {
            for (id, value) in parameters(list, little) {
                match id {
                    TOPIC_NAME => {
                        if let Some((topic, _)) = string(value, little) {
                            let topic = text::utf8(part_at(topic, 0, SPELLED));
                            operation.object = Object::Text(topic);
                        }
                    }
                    ENTITY_NAME if sample.writer == PARTICIPANT_WRITER => {
                        if let Some((name, _)) = string(value, little) {
                            let told_in = (NAME, "announce-participant");
                            out.claim(input.own_text(told_in, "dds_participant", name));
                        }
                    }
                    PROPERTIES if sample.writer == PARTICIPANT_WRITER => {
                        properties(input, value, little, out);
                    }
                    _ => {}
                }
            }
        }
        out.operation(operation);
    }
}

/// Properties of a participant, of which RTI tells the machine's name.
fn properties(input: &Input<'_>, list: &[u8], little: bool, out: &mut Out) {
    let mut rest = part_at(list, 4, list.len());
    while let Some((name, tail)) = string(rest, little)
        && let Some((value, tail)) = string(tail, little)
        && !name.is_empty()
    {
        let attribute = match name {
            b"dds.sys_info.hostname" => Some("name"),
            b"dds.sys_info.executable_filepath" => Some("dds_executable"),
            _ => None,
        };
        if let Some(attribute) = attribute {
            out.claim(input.own_text((NAME, "announce-participant"), attribute, value));
        }
        rest = tail;
    }
}

impl Session for Rtps {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let Some(header) = header(input.bytes) else { return input.bytes.len() };
        out.layer(NAME, input.side);
        Self::vendor(input, &header, out);
        let is_version_1 = header.prefix.len() == 8;
        let mut rest = header.submessages;
        while !rest.is_empty() {
            let Some(message) = submessage(rest) else {
                if !input.truncated {
                    out.push(input.violation(NAME, "rtps-submessage", part_at(rest, 0, 4)));
                }
                break;
            };
            match (message.id, is_version_1) {
                (DATA | DATA_FRAGMENT, false) => Self::sample(input, &message, out),
                (ISSUE, true) => {
                    let words = ("issue", Action::Write);
                    let code = part_at(message.all, 0, 1);
                    let mut operation = input.operation(NAME, input.side, words, code);
                    operation.code = Some(u32::from(ISSUE));
                    operation.outcome = Outcome::None;
                    out.operation(operation);
                }
                _ => {}
            }
            rest = rest.get(message.all.len()..).unwrap_or_default();
        }
        input.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out::Item;
    use crate::session::Side;
    use crate::testing;

    fn message(submessages: &[u8]) -> Vec<u8> {
        let head = b"RTPS\x02\x01\x01\x01\xc0\xa8\x7a\x01\0\0\x3a\x4c\0\0\0\x01";
        [&head[..], submessages].concat()
    }

    fn cdr(text: &str) -> Vec<u8> {
        let mut bytes = (text.len() as u32 + 1).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn parameter(id: u16, value: &[u8]) -> Vec<u8> {
        [&id.to_le_bytes()[..], &(value.len() as u16).to_le_bytes(), value].concat()
    }

    fn data(writer: u32, list: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![0, 0, 16, 0, 0, 0, 0, 0];
        body.extend(writer.to_be_bytes());
        body.extend([0, 0, 0, 0, 1, 0, 0, 0, 0, 3, 0, 0]);
        body.extend(list.concat());
        body.extend(parameter(END, b""));
        [&[DATA, 5][..], &(body.len() as u16).to_le_bytes(), &body].concat()
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        let mut properties = 1_u32.to_le_bytes().to_vec();
        properties.extend(cdr("dds.sys_info.hostname"));
        properties.extend(cdr("PRESS7"));
        let participant =
            [parameter(ENTITY_NAME, &cdr("Shapes")), parameter(PROPERTIES, &properties)];
        let time = [9, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        vec![
            (Side::A, b"RTPS\x02\x01\x01\x01NDDSPING".to_vec()),
            (Side::A, message(&[&time[..], &data(PARTICIPANT_WRITER, &participant)].concat())),
            (
                Side::A,
                message(&data(PUBLICATIONS_WRITER, &[parameter(TOPIC_NAME, &cdr("Square"))])),
            ),
            (Side::B, message(&data(0x0000_0102, &[]))),
        ]
    }

    fn messages(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    #[test]
    fn announcements_and_samples_are_operations() {
        let expected = [
            ("announce-participant", ""),
            ("announce-writer", "Square"),
            ("data", "writer 0x00000102"),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, object)| (name, object.to_owned(), Outcome::None))
            .collect();
        assert_eq!(expected, testing::operations(&messages(&conversation())));
    }

    #[test]
    fn participants_tell_their_names() {
        let claims = testing::claims(&messages(&conversation()[..2]));
        for expected in [
            ("dds_vendor", "Real-Time Innovations"),
            ("dds_guid_prefix", "c0a87a0100003a4c00000001"),
            ("dds_participant", "Shapes"),
            ("name", "PRESS7"),
        ] {
            assert!(claims.contains(&(expected.0, expected.1.to_owned())), "{expected:?}");
        }
    }

    #[test]
    fn a_submessage_that_is_too_long_is_a_violation() {
        let items = messages(&[(Side::A, message(&[DATA, 5, 200, 0, 1]))]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "rtps-submessage")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        for (_, bytes) in conversation() {
            assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &bytes)));
        }
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"RTPSP/1.0 200 OK\r\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"RTPS")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let all = conversation();
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &parts);
    }
}
