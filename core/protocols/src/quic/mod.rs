//! QUIC versions 1 and 2 and the last drafts, over UDP.
//!
//! Sources: RFC 8999 (what all versions share), RFC 9000 §12 and §17 (packets), §19 (frames), RFC 9369
//! §3 (version 2), RFC 9001 §4 and §5 (TLS in CRYPTO frames, Initial packets); FoxIO's JA4 for the
//! client's fingerprint.
//!
//! The client's first flight and the server's answer are one operation, its object the host that the
//! ClientHello asks for. Initial packets are opened with the keys that everyone on the path can make.
//!
//! Not decoded: what is encrypted with the keys of a session, drafts before 29, the server's
//! certificates. A flow whose packets with long header were missed is not recognised.

mod crypto;

use compact_str::CompactString;
use otic_wire::{Cursor, Spans};

use self::crypto::{Keys, Version};
use crate::fields::part_at;
use crate::out::{
    Action, Child, Claim, Confidence, Decode, Evidence, Item, Object, Operation, Out, Outcome, Who,
};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::tls;

/// QUIC.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "QUIC",
    roles: ("QUIC client", "QUIC server"),
    carriers: &[Carrier::Udp(&[443])],
    dissector: Dissector::Built { probe, session: || Box::new(Quic::default()) },
    source: "RFC 9000, RFC 9001, RFC 9369",
};

const NAME: &str = "quic";

/// Longest connection id of versions 1 and 2.
const ID: usize = 20;
/// Most bytes of a ClientHello, and most pieces of it that wait.
const HELLO: usize = 16 * 1024;
const PIECES: usize = 64;

const CLIENT_HELLO: u8 = 1;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
}

/// A packet with a long header.
struct Packet<'a> {
    version: Version,
    kind: Kind,
    destination: &'a [u8],
    /// The packet alone; datagrams may hold several.
    all: &'a [u8],
    /// Where its number starts; 0 for a retry.
    number_at: usize,
}

enum Front<'a> {
    Packet(Packet<'a>),
    /// A server lists the versions it speaks.
    Negotiation,
    Other,
}

/// A length in one, two, four or eight bytes (RFC 9000 §16).
fn variable(cursor: &mut Cursor<'_>) -> Option<usize> {
    let first = cursor.u8().ok()?;
    let mut value = u64::from(first & 0x3f);
    for _ in 1..1_u32 << (first >> 6) {
        value = value << 8 | u64::from(cursor.u8().ok()?);
    }
    usize::try_from(value).ok()
}

fn front(bytes: &[u8]) -> Option<Front<'_>> {
    let mut cursor = Cursor::new(bytes);
    let first = cursor.u8().ok()?;
    if first & 0x80 == 0 {
        return Some(Front::Other);
    }
    let number = cursor.u32_be().ok()?;
    let length = usize::from(cursor.u8().ok()?);
    let destination = cursor.take(length).ok()?;
    let length = usize::from(cursor.u8().ok()?);
    let source = cursor.take(length).ok()?;
    if destination.len() > ID || source.len() > ID {
        return None;
    }
    if number == 0 {
        let list = cursor.rest();
        return (!list.is_empty() && list.len().is_multiple_of(4)).then_some(Front::Negotiation);
    }
    let version = Version::of(number)?;
    if first & 0x40 == 0 {
        return None;
    }
    let kind = match (first >> 4 & 3, version) {
        (0, Version::One | Version::Draft) | (1, Version::Two) => Kind::Initial,
        (1, Version::One | Version::Draft) | (2, Version::Two) => Kind::ZeroRtt,
        (2, Version::One | Version::Draft) | (3, Version::Two) => Kind::Handshake,
        _ => Kind::Retry,
    };
    if kind == Kind::Retry {
        // A token and a tag go to the end.
        return (cursor.remaining() > 16).then_some(Front::Packet(Packet {
            version,
            kind,
            destination,
            all: bytes,
            number_at: 0,
        }));
    }
    if kind == Kind::Initial {
        let token = variable(&mut cursor)?;
        cursor.skip(token).ok()?;
    }
    let length = variable(&mut cursor)?;
    let number_at = cursor.position();
    // A number and a tag are the least.
    if length < 17 {
        return None;
    }
    let all = bytes.get(..number_at.checked_add(length)?)?;
    Some(Front::Packet(Packet { version, kind, destination, all, number_at }))
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Some(Front::Packet(packet)) if packet.kind == Kind::Initial => Probe::Certain,
        Some(Front::Packet(_)) => Probe::Likely,
        Some(Front::Negotiation) => Probe::Weak,
        _ => Probe::No,
    }
}

/// Offset and bytes of the CRYPTO frames of an opened packet.
fn crypto_frames(payload: &[u8]) -> Vec<(usize, &[u8])> {
    let mut frames = Vec::new();
    let mut cursor = Cursor::new(payload);
    while let Ok(kind) = cursor.u8() {
        let read = match kind {
            // Padding, ping.
            0 | 1 => Some(()),
            2 | 3 => acknowledgement(&mut cursor, kind == 3),
            6 => variable(&mut cursor).zip(variable(&mut cursor)).and_then(|(offset, length)| {
                frames.push((offset, cursor.take(length).ok()?));
                Some(())
            }),
            _ => None,
        };
        if read.is_none() {
            break;
        }
    }
    frames
}

fn acknowledgement(cursor: &mut Cursor<'_>, with_counts: bool) -> Option<()> {
    let _largest = variable(cursor)?;
    let _delay = variable(cursor)?;
    let ranges = variable(cursor)?;
    let _first = variable(cursor)?;
    for _ in 0..ranges.min(256) {
        let _gap = variable(cursor)?;
        let _length = variable(cursor)?;
    }
    if with_counts {
        for _ in 0..3 {
            variable(cursor)?;
        }
    }
    Some(())
}

/// A ClientHello in the making.
#[derive(Default)]
struct Hello {
    pieces: Vec<(usize, Vec<u8>)>,
    evidence: Spans,
}

impl Hello {
    fn add(&mut self, offset: usize, bytes: &[u8]) {
        if self.pieces.len() < PIECES && offset.saturating_add(bytes.len()) <= HELLO {
            self.pieces.push((offset, bytes.to_vec()));
        }
    }

    /// The message without its header, once it is whole.
    fn whole(&mut self) -> Option<Vec<u8>> {
        self.pieces.sort_unstable_by_key(|(offset, _)| *offset);
        let mut whole = Vec::new();
        for (offset, bytes) in &self.pieces {
            let known = whole.len().checked_sub(*offset)?;
            whole.extend_from_slice(part_at(bytes, known, bytes.len()));
        }
        let [kind, a, b, c, ..] = whole.as_slice() else { return None };
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        (*kind == CLIENT_HELLO).then(|| whole.get(4..4 + length).map(<[u8]>::to_vec))?
    }
}

/// A flow that carries QUIC.
#[derive(Default)]
struct Quic {
    /// Keys of the client and of the server.
    keys: Option<[Keys; 2]>,
    client: Option<Side>,
    hello: Option<Hello>,
    /// The first flight that waits for an answer.
    asked: Option<Operation>,
    /// The hello was read, or will not be.
    told: bool,
}

impl Quic {
    fn packet(&mut self, input: &Input<'_>, packet: &Packet<'_>, out: &mut Out) {
        let from_server = self.client.is_some_and(|client| client != input.side);
        if from_server {
            if packet.kind != Kind::Retry {
                self.answer(Outcome::Ok, out);
            }
            return;
        }
        if packet.kind != Kind::Initial || self.told {
            return;
        }
        let open = |keys: &[Keys; 2]| {
            let [client, _] = keys;
            client.open(packet.all, packet.number_at)
        };
        let mut payload = self.keys.as_ref().and_then(open);
        if payload.is_none() {
            // The first packet, or the first behind a retry.
            let keys = Keys::initial(packet.version, packet.destination);
            payload = open(&keys);
            if payload.is_some() {
                self.keys = Some(keys);
            }
        }
        let Some(payload) = payload else { return };
        if self.client.replace(input.side).is_none() {
            out.push(Item::Client(input.side));
        }
        if self.asked.is_none() {
            let words = ("client-hello", Action::Session);
            self.asked = Some(input.operation(NAME, input.side, words, part_at(packet.all, 0, 7)));
        }
        let hello = self.hello.get_or_insert_default();
        for (offset, bytes) in crypto_frames(&payload) {
            hello.add(offset, bytes);
        }
        if hello.evidence.len() < 8 {
            hello.evidence.extend(input.locate(packet.all));
        }
        if let Some(message) = hello.whole() {
            self.told = true;
            let evidence = std::mem::take(&mut hello.evidence);
            self.hello = None;
            self.hello(&message, evidence, out);
        }
    }

    fn hello(&mut self, message: &[u8], evidence: Spans, out: &mut Out) {
        let name: CompactString = tls::server_name(message).unwrap_or_default();
        if let Some(asked) = &mut self.asked
            && !name.is_empty()
        {
            asked.object = Object::Text(name);
        }
        if let Ok(value) = tls::ja4::fingerprint(message, 'q') {
            out.claim(Claim {
                who: Who::Sender(Child::None),
                attribute: "tls_client_ja4",
                value,
                protocol: NAME,
                message: "client-hello",
                confidence: Confidence::Medium,
                evidence: Evidence { spans: evidence, decode: Decode::Derived },
            });
        }
    }

    fn answer(&mut self, outcome: Outcome, out: &mut Out) {
        if let Some(mut asked) = self.asked.take() {
            asked.outcome = outcome;
            out.operation(asked);
        }
    }
}

impl Session for Quic {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let mut rest = input.bytes;
        out.layer(NAME, input.side);
        // The packets of one datagram; what has a short header goes to its end.
        while let Some(front) = front(rest) {
            match front {
                Front::Packet(packet) => {
                    self.packet(input, &packet, out);
                    rest = part_at(rest, packet.all.len(), rest.len());
                }
                Front::Negotiation => {
                    self.answer(Outcome::Error, out);
                    break;
                }
                Front::Other => break,
            }
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some(asked) = self.asked.take() {
            out.operation(asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::crypto::tests::seal;
    use super::*;
    use crate::testing;

    const DESTINATION: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8];

    /// A ClientHello that asks for `plant.example`, with its header.
    fn hello() -> Vec<u8> {
        let name = b"plant.example";
        let mut extension = vec![0, 0, 0, name.len() as u8 + 5, 0, name.len() as u8 + 3, 0, 0];
        extension.push(name.len() as u8);
        extension.extend(name);
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0, 0, extension.len() as u8]);
        body.extend(extension);
        [&[CLIENT_HELLO, 0, 0, body.len() as u8][..], &body].concat()
    }

    fn frame(offset: usize, bytes: &[u8]) -> Vec<u8> {
        [&[6, offset as u8, 0x40, bytes.len() as u8][..], bytes].concat()
    }

    /// A packet with a long header, its payload padded to 64 bytes at least.
    fn long(version: u32, first: u8, keys: &Keys, token: bool, mut payload: Vec<u8>) -> Vec<u8> {
        payload.resize(payload.len().max(64), 0);
        let mut header = vec![first | 3];
        header.extend(version.to_be_bytes());
        header.push(DESTINATION.len() as u8);
        header.extend(DESTINATION);
        header.push(0);
        if token {
            header.push(0);
        }
        header.extend((0x4000 | (payload.len() as u16 + 20)).to_be_bytes());
        header.extend([0, 0, 0, 0]);
        seal(keys, &header, &payload)
    }

    fn conversation(version: u32, first: u8) -> Vec<(Side, Vec<u8>)> {
        let [client, server] = Keys::initial(Version::of(version).unwrap(), DESTINATION);
        let hello = hello();
        let (head, tail) = hello.split_at(30);
        let one = long(version, first, &client, true, [frame(30, tail), vec![1, 0]].concat());
        let two = long(version, first, &client, true, frame(0, head));
        vec![
            (Side::A, one),
            (Side::A, two),
            (Side::B, long(version, first, &server, true, vec![2, 0, 0, 0, 0])),
            (Side::B, vec![0x40; 30]),
        ]
    }

    fn messages(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    #[test]
    fn the_hello_names_the_server_in_all_versions() {
        for (version, first) in [(1, 0xc0), (0x6b33_43cf, 0xd0), (0xff00_001d, 0xc0)] {
            let items = messages(&conversation(version, first));
            assert_eq!(
                vec![("client-hello", "plant.example".to_owned(), Outcome::Ok)],
                testing::operations(&items)
            );
            let claims = testing::claims(&items);
            assert!(claims[0].1.starts_with("q12d0101"), "{claims:?}");
        }
    }

    #[test]
    fn a_server_that_lists_versions_refuses() {
        let mut all = conversation(1, 0xc0);
        all.truncate(2);
        all.push((Side::B, vec![0x80, 0, 0, 0, 0, 0, 0, 0x6b, 0x33, 0x43, 0xcf]));
        assert_eq!(Outcome::Error, testing::operations(&messages(&all))[0].2);
    }

    #[test]
    fn a_packet_that_does_not_open_tells_nothing() {
        let mut all = conversation(1, 0xc0);
        for (_, bytes) in &mut all {
            *bytes.last_mut().unwrap() ^= 1;
        }
        let items = messages(&all);
        assert!(testing::operations(&items).is_empty() && testing::claims(&items).is_empty());
    }

    #[test]
    fn the_probe_knows_its_own() {
        let all = conversation(1, 0xc0);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &all[0].1)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, &all[3].1)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &all[0].1[..60])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[0xc0; 60])));
    }

    #[test]
    fn survives_hostile_bytes() {
        let all = conversation(1, 0xc0);
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &parts);
    }
}
