//! What every dissector must survive, in one place: call [`survives`] from each dissector's tests
//! with a conversation of hand-written messages.

use std::net::Ipv4Addr;

use otic_wire::{FrameSpan, SpanMap};

use crate::out::{Event, Item, Out, Outcome};
use crate::registry::{Carrier, Protocol};
use crate::sequence::Numbered;
use crate::session::{Input, Side, Transport};

/// One message: who sent it, and its bytes.
pub type Message<'a> = (Side, &'a [u8]);

/// What a new session says of these messages, each in a frame of its own, between port 40000 (side
/// A) and the protocol's first usual port (side B). The session is finished at the end.
pub fn items(protocol: &Protocol, messages: &[Message<'_>]) -> Vec<Item> {
    feed(protocol, messages, usize::MAX, false)
}

/// Attribute and value of each claim.
pub fn claims(items: &[Item]) -> Vec<(&'static str, String)> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Claim(claim) => Some((claim.attribute, claim.value.to_string())),
            _ => None,
        })
        .collect()
}

/// What the numbers of messages said.
pub fn numbered(items: &[Item]) -> Vec<Numbered> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Numbered(_, numbered) => Some(*numbered),
            _ => None,
        })
        .collect()
}

/// The events.
pub fn events(items: &[Item]) -> Vec<&Event> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Event(event) => Some(event),
            _ => None,
        })
        .collect()
}

/// Name, object and outcome of each operation.
pub fn operations(items: &[Item]) -> Vec<(&'static str, String, Outcome)> {
    let told = coded_operations(items).into_iter();
    told.map(|(name, _, object, outcome)| (name, object, outcome)).collect()
}

/// Name, code, object and outcome of each operation.
pub fn coded_operations(items: &[Item]) -> Vec<(&'static str, Option<u32>, String, Outcome)> {
    items
        .iter()
        .filter_map(|item| match item {
            Item::Operation(op) => Some((op.name, op.code, op.object.to_text().into(), op.outcome)),
            _ => None,
        })
        .collect()
}

/// Checks the promises of [`crate::Session`] on this conversation and on broken forms of it:
/// any TCP split gives the same items; cut at every byte, with bits flipped, with random bytes,
/// in the middle of the stream, it neither panics nor cites bytes that are not there.
pub fn survives(protocol: &Protocol, messages: &[Message<'_>]) {
    let whole = feed(protocol, messages, usize::MAX, false);
    if transport(protocol) == Transport::Tcp {
        for step in [1, 2, 3, 7, 61] {
            let split = feed(protocol, messages, step, false);
            assert_eq!(strip(&whole), strip(&split), "{} in pieces of {step}", protocol.name);
        }
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (at, (side, bytes)) in messages.iter().enumerate() {
        for cut in 0..bytes.len() {
            let mut broken = messages.to_vec();
            broken[at] = (*side, &bytes[..cut]);
            feed(protocol, &broken, usize::MAX, true);
            broken[at] = (*side, &bytes[cut..]);
            feed(protocol, &broken, usize::MAX, true);
        }
        for _ in 0..400 {
            let mut flipped = bytes.to_vec();
            for _ in 0..=random.below(4) {
                if !flipped.is_empty() {
                    let position = random.below(flipped.len());
                    flipped[position] ^= 1 << random.below(8);
                }
            }
            let mut broken = messages.to_vec();
            broken[at] = (*side, &flipped);
            feed(protocol, &broken, usize::MAX, false);
        }
    }
    for _ in 0..400 {
        let noise: Vec<Vec<u8>> = (0..3)
            .map(|_| (0..random.below(300)).map(|_| random.below(256) as u8).collect())
            .collect();
        let sides = [Side::A, Side::B, Side::A];
        let noise: Vec<Message<'_>> =
            sides.into_iter().zip(noise.iter().map(Vec::as_slice)).collect();
        feed(protocol, &noise, usize::MAX, false);
    }
}

/// What the probe says of the first message.
pub fn probe(protocol: &Protocol, message: Message<'_>) -> crate::Probe {
    let spans =
        SpanMap::single(FrameSpan { file: 0, frame: 1, offset: 0, length: message.1.len() as u32 });
    protocol.probe(&input(protocol, message.0, message.1, &spans))
}

fn transport(protocol: &Protocol) -> Transport {
    match protocol.carriers.first() {
        Some(Carrier::Tcp(_)) => Transport::Tcp,
        Some(Carrier::Udp(_)) => Transport::Udp,
        Some(Carrier::Ip(_)) => Transport::Ip,
        _ => Transport::Ethernet,
    }
}

fn input<'a>(protocol: &Protocol, side: Side, bytes: &'a [u8], spans: &'a SpanMap) -> Input<'a> {
    let server_port = match protocol.carriers.first() {
        Some(Carrier::Tcp(ports) | Carrier::Udp(ports)) => ports.first().copied().unwrap_or(50000),
        _ => 0,
    };
    let client_port = if server_port == 0 { 0 } else { 40000 };
    let (a, b) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let (source, destination, source_port, destination_port) = match side {
        Side::A => (a, b, client_port, server_port),
        Side::B => (b, a, server_port, client_port),
    };
    Input {
        bytes,
        spans,
        side,
        transport: transport(protocol),
        source_port,
        destination_port,
        source: source.into(),
        destination: destination.into(),
        source_mac: Some(otic_wire::Mac([2, 0, 0, 0, 0, if side == Side::A { 1 } else { 2 }])),
        ts_ns: 1_700_000_000_000_000_000,
        stream_start: false,
        after_gap: false,
        truncated: false,
    }
}

/// Feeds messages in pieces of at most `step` bytes; `gap` says that bytes were lost before each.
fn feed(protocol: &Protocol, messages: &[Message<'_>], step: usize, gap: bool) -> Vec<Item> {
    let mut session = protocol.session();
    let mut out = Out::default();
    let mut frame = 0;
    let mut buffers = [(Vec::new(), SpanMap::default()), (Vec::new(), SpanMap::default())];
    for (side, message) in messages {
        for piece in message.chunks(step.clamp(1, message.len().max(1))) {
            frame += 1;
            let (buffer, spans) = &mut buffers[usize::from(*side == Side::B)];
            let span = FrameSpan { file: 0, frame, offset: 54, length: piece.len() as u32 };
            if transport(protocol) == Transport::Tcp {
                if gap {
                    buffer.clear();
                    spans.clear();
                }
                buffer.extend_from_slice(piece);
                spans.push(span);
                let mut input = input(protocol, *side, buffer, spans);
                input.after_gap = gap;
                let used = session.read(&input, &mut out);
                assert!(used <= buffer.len(), "{} used more than it was given", protocol.name);
                buffer.drain(..used);
                spans.consume(used);
                if buffer.len() > session.stream_cap() {
                    buffer.clear();
                    spans.clear();
                }
            } else {
                let spans = SpanMap::single(span);
                session.read(&input(protocol, *side, piece, &spans), &mut out);
            }
        }
    }
    session.finish(&mut out);
    let total: usize = messages.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(out.items.len() <= 64 + 8 * total, "{} floods its caller", protocol.name);
    for item in &out.items {
        if let Item::Claim(claim) = item {
            assert!(
                claim
                    .evidence
                    .spans
                    .iter()
                    .all(|span| span.offset >= 54 || transport(protocol) != Transport::Tcp),
                "{} cites bytes that are not there",
                protocol.name
            );
        }
    }
    out.items
}

/// The items without evidence (which names other frames in another split) and without layers
/// (which are said per frame).
fn strip(items: &[Item]) -> Vec<Item> {
    let mut items = items.to_vec();
    items.retain(|item| !matches!(item, Item::Layer { .. } | Item::Client(_)));
    for item in &mut items {
        match item {
            Item::Operation(operation) | Item::Unpaired(operation) => operation.evidence.clear(),
            Item::Claim(claim) => claim.evidence.spans.clear(),
            Item::Binding { evidence, .. } => evidence.clear(),
            Item::Change(change) => change.evidence.spans.clear(),
            Item::Event(event) => event.evidence.clear(),
            Item::Violation(violation) => violation.evidence.clear(),
            Item::Payload(payload) => payload.evidence.clear(),
            _ => {}
        }
    }
    items
}

/// xorshift64*: the same broken bytes in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}
