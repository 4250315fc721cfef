//! RTP and RTCP, over UDP.
//!
//! Sources: RFC 3550 §5.1 (RTP header), §6 (RTCP packets, SDES items), appendix A.1 and A.2 (checks of
//! validity); RFC 3551 §6 (payload types); RFC 5761 §4 (both on one port).
//!
//! One packet of RTP is told from nothing: a flow is RTP once three packets of a side in a row have the
//! same source, numbers that follow one another and times that do not go back. RTCP is known by the
//! lengths of the packets of one datagram, which must fill it.
//!
//! Not decoded: media; encrypted RTCP. RTP inside RTSP is named by that dissector.

use compact_str::CompactString;
use otic_wire::Cursor;

use crate::out::{Action, Object, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};
use crate::text;

/// RTP.
pub const PROTOCOL: Protocol = Protocol {
    name: RTP,
    title: "RTP",
    roles: ("RTP receiver", "RTP sender"),
    carriers: &[Carrier::Udp(&[])],
    dissector: Dissector::Built { probe: probe_rtp, session: || Box::new(Rtp::default()) },
    source: "RFC 3550, RFC 3551",
};

/// RTCP.
pub const CONTROL: Protocol = Protocol {
    name: RTCP,
    title: "RTCP",
    roles: ("RTP receiver", "RTP sender"),
    carriers: &[Carrier::Udp(&[])],
    dissector: Dissector::Built { probe: probe_rtcp, session: || Box::new(Rtp::default()) },
    source: "RFC 3550",
};

const RTP: &str = "rtp";
const RTCP: &str = "rtcp";

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const LAST_CONTROL: u8 = 207;

/// Packets in a row that prove a flow.
const ENOUGH: u8 = 3;
/// Streams of one flow that are named.
const STREAMS: usize = 8;

/// Name of a static payload type; none for one that is not assigned.
const fn payload_type(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "PCMU",
        3 => "GSM",
        4 => "G723",
        5 | 6 | 16 | 17 => "DVI4",
        7 => "LPC",
        8 => "PCMA",
        9 => "G722",
        10 | 11 => "L16",
        12 => "QCELP",
        13 => "CN",
        14 => "MPA",
        15 => "G728",
        18 => "G729",
        25 => "CelB",
        26 => "JPEG",
        28 => "nv",
        31 => "H261",
        32 => "MPV",
        33 => "MP2T",
        34 => "H263",
        96..=127 => "dynamic",
        _ => return None,
    })
}

/// The fixed header of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Header {
    kind: u8,
    sequence: u16,
    time: u32,
    source: u32,
}

fn header(bytes: &[u8]) -> Option<Header> {
    let mut cursor = Cursor::new(bytes);
    let (flags, kind) = (cursor.u8().ok()?, cursor.u8().ok()? & 0x7f);
    if flags >> 6 != 2 || payload_type(kind).is_none() {
        return None;
    }
    let sequence = cursor.u16_be().ok()?;
    let (time, source) = (cursor.u32_be().ok()?, cursor.u32_be().ok()?);
    cursor.skip(4 * usize::from(flags & 0x0f)).ok()?;
    if flags & 0x10 != 0 {
        let (_profile, words) = (cursor.u16_be().ok()?, cursor.u16_be().ok()?);
        cursor.skip(4 * usize::from(words)).ok()?;
    }
    if flags & 0x20 != 0 {
        let padding = usize::from(*bytes.last()?);
        if padding == 0 || padding > cursor.remaining() {
            return None;
        }
    }
    Some(Header { kind, sequence, time, source })
}

/// Type and body of each packet of a compound RTCP datagram; none where they do not fill it.
fn control(bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut cursor = Cursor::new(bytes);
    let mut packets = Vec::new();
    while !cursor.is_empty() {
        let (flags, kind) = (cursor.u8().ok()?, cursor.u8().ok()?);
        let words = cursor.u16_be().ok()?;
        let body = cursor.take(4 * usize::from(words)).ok()?;
        let count = usize::from(flags & 0x1f);
        let least = match kind {
            SENDER_REPORT => 24 + 24 * count,
            RECEIVER_REPORT => 4 + 24 * count,
            DESCRIPTION..=LAST_CONTROL => 0,
            _ => return None,
        };
        let starts_well = !packets.is_empty() || matches!(kind, SENDER_REPORT | RECEIVER_REPORT);
        if flags >> 6 != 2 || body.len() < least || !starts_well {
            return None;
        }
        packets.push((kind, body));
    }
    (!packets.is_empty()).then_some(packets)
}

fn probe_rtp(input: &Input<'_>) -> Probe {
    if header(input.bytes).is_some() { Probe::More } else { Probe::No }
}

fn probe_rtcp(input: &Input<'_>) -> Probe {
    match control(input.bytes) {
        Some(packets) if packets.len() > 1 => Probe::Certain,
        Some(_) => Probe::Likely,
        None => Probe::No,
    }
}

/// What the sources of a datagram say of themselves.
fn descriptions(input: &Input<'_>, packets: &[(u8, &[u8])], out: &mut Out) {
    for (kind, body) in packets {
        if *kind != DESCRIPTION {
            continue;
        }
        let mut cursor = Cursor::new(body);
        // Mixers describe several sources: only the first is surely the sender's.
        if cursor.skip(4).is_err() {
            continue;
        }
        while let (Ok(item @ 1..), Ok(length)) = (cursor.u8(), cursor.u8())
            && let Ok(value) = cursor.take(usize::from(length))
        {
            let attribute = match item {
                1 => "rtp_cname",
                2 => "rtp_name",
                6 => "rtp_tool",
                _ => continue,
            };
            if text::is_printable(text::trim(value)) {
                out.claim(input.own_text((RTCP, "source-description"), attribute, value));
            }
        }
    }
}

/// A flow that carries RTP, RTCP or both.
#[derive(Default)]
struct Rtp {
    last: [Option<Header>; 2],
    /// Packets in a row.
    run: [u8; 2],
    proven: bool,
    named: Vec<(u32, u8)>,
}

impl Session for Rtp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if let Some(packets) = control(input.bytes) {
            descriptions(input, &packets, out);
            out.layer(RTCP, input.side);
            return input.bytes.len();
        }
        let Some(next) = header(input.bytes) else { return input.bytes.len() };
        let last = input.side.of(&mut self.last).replace(next);
        let follows = last.is_some_and(|last| {
            last.source == next.source
                && next.sequence == last.sequence.wrapping_add(1)
                && next.time.wrapping_sub(last.time) < 1 << 31
        });
        let run = input.side.of(&mut self.run);
        *run = if follows { run.saturating_add(1) } else { 1 };
        self.proven |= *run >= ENOUGH;
        if !self.proven {
            return input.bytes.len();
        }
        out.layer(RTP, input.side);
        let stream = (next.source, next.kind);
        if follows && self.named.len() < STREAMS && !self.named.contains(&stream) {
            self.named.push(stream);
            let words = ("stream", Action::Session);
            let kind = input.bytes.get(1..2).unwrap_or_default();
            let mut operation = input.operation(RTP, input.side, words, kind);
            let name = payload_type(next.kind).unwrap_or_default();
            let mut object = CompactString::from(name);
            object.push_str(" (payload type ");
            object.push_str(&compact_str::format_compact!("{})", next.kind));
            operation.object = Object::Text(object);
            operation.outcome = Outcome::None;
            out.operation(operation);
        }
        input.bytes.len()
    }

    fn is_proven(&self) -> bool {
        self.proven
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out::Item;
    use crate::session::Side;
    use crate::testing;

    fn packet(sequence: u16, source: u32) -> Vec<u8> {
        let mut bytes = vec![0x80, 8];
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
        bytes.extend_from_slice(&source.to_be_bytes());
        bytes.extend_from_slice(b"media");
        bytes
    }

    /// Receiver report without blocks, description with a name and a tool.
    const REPORT: &[u8] =
        b"\x80\xc9\0\x01\0\0\0\x07\x81\xca\0\x05\0\0\0\x07\x01\x05cam@7\x06\x04Enc1\0\0\0";

    fn items(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    fn layers(items: &[Item]) -> usize {
        items.iter().filter(|item| matches!(item, Item::Layer { .. })).count()
    }

    #[test]
    fn three_numbered_packets_of_one_source_prove_a_flow() {
        let run = |numbers: &[(u16, u32)]| {
            let parts: Vec<_> = numbers
                .iter()
                .map(|(number, source)| (Side::B, packet(*number, *source)))
                .collect();
            items(&parts)
        };
        let told = run(&[(65_534, 7), (65_535, 7), (0, 7), (1, 7)]);
        assert_eq!(0, layers(&run(&[(1, 7), (2, 7)])));
        assert_eq!(0, layers(&run(&[(1, 7), (2, 8), (3, 7), (5, 7)])));
        assert_eq!(2, layers(&run(&[(1, 7), (2, 7), (3, 7), (4, 7)])));
        // The time goes back with the number here.
        assert_eq!(0, layers(&told));
    }

    #[test]
    fn a_stream_is_named_once() {
        let parts: Vec<_> = (1..9).map(|number| (Side::B, packet(number, 7))).collect();
        assert_eq!(
            vec![("stream", "PCMA (payload type 8)".to_owned(), Outcome::None)],
            testing::operations(&items(&parts))
        );
    }

    #[test]
    fn control_packets_name_their_source() {
        let told = testing::items(&CONTROL, &[(Side::B, REPORT)]);
        assert_eq!(
            vec![("rtp_cname", "cam@7".to_owned()), ("rtp_tool", "Enc1".to_owned())],
            testing::claims(&told)
        );
    }

    #[test]
    fn the_probes_know_their_own() {
        let media = packet(1, 7);
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::B, &media)));
        assert_eq!(Probe::No, testing::probe(&CONTROL, (Side::B, &media)));
        assert_eq!(Probe::Certain, testing::probe(&CONTROL, (Side::B, REPORT)));
        assert_eq!(Probe::No, testing::probe(&CONTROL, (Side::B, &REPORT[..20])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, REPORT)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, b"SIP/2.0 200 OK\r\n\r\n")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let (first, second, third) = (packet(1, 7), packet(2, 7), packet(3, 7));
        let parts =
            [(Side::B, &first[..]), (Side::B, &second), (Side::B, &third), (Side::A, REPORT)];
        testing::survives(&PROTOCOL, &parts);
        testing::survives(&CONTROL, &parts);
    }
}
