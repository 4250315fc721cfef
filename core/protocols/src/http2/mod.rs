//! HTTP/2 in cleartext, over TCP.
//!
//! Sources: RFC 9113 §3.4 (preface), §4 (frames, header blocks), §6 (frames), §8.3 (pseudo-header
//! fields); RFC 7541 for the compression.
//!
//! A request and its response are one operation; its object is the path without its query. Header
//! blocks refer to those before them: where one was missed, those that follow are not decoded.
//!
//! Rules broken on the wire:
//! * `http2-frame`: a frame of a length that its type cannot have, or a header block that cannot be
//!   decoded.
//!
//! Not decoded: bodies (also of gRPC), HTTP/2 that a request of HTTP/1.1 upgrades to, HTTP/2 in TLS.

mod hpack;

use compact_str::CompactString;
use otic_wire::{Cursor, Spans};

use self::hpack::{Decoder, Field};
use crate::fields::part_at;
use crate::out::{
    Action, Child, Claim, Confidence, Decode, Event, Evidence, Item, Object, Operation, Out,
    Outcome, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// HTTP/2.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "HTTP/2",
    roles: ("HTTP client", "HTTP server"),
    carriers: &[Carrier::Tcp(&[])],
    dissector: Dissector::Built { probe, session: || Box::new(Http2::new()) },
    source: "RFC 9113, RFC 7541",
};

const NAME: &str = "http2";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
const CONTINUATION: u8 = 9;

const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

const HEADER: usize = 9;
/// Longest header block that is put together, and longest frame that is believed.
const BLOCK: usize = 32 * 1024;
const LONGEST: usize = 1 << 20;
/// Longest path that an object spells out.
const SPELLED: usize = 256;
/// Requests of one flow that may wait at once.
const WAITING: usize = 128;

/// Methods, their names and actions.
const METHODS: &[(&[u8], &str, Action)] = &[
    (b"GET", "get", Action::Read),
    (b"HEAD", "head", Action::Read),
    (b"POST", "post", Action::Write),
    (b"PUT", "put", Action::Write),
    (b"DELETE", "delete", Action::Write),
    (b"PATCH", "patch", Action::Write),
    (b"OPTIONS", "options", Action::Read),
    (b"CONNECT", "connect", Action::Session),
];

/// The header of a frame.
struct Frame {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// None where too little is there; the frame may not fit its type.
fn frame(bytes: &[u8]) -> Option<Frame> {
    let mut cursor = Cursor::new(bytes);
    let length = cursor.u24_be().ok()? as usize;
    let (kind, flags) = (cursor.u8().ok()?, cursor.u8().ok()?);
    let stream = cursor.u32_be().ok()? & 0x7fff_ffff;
    Some(Frame { length, kind, flags, stream })
}

impl Frame {
    const fn fits(&self) -> bool {
        let on_connection = self.stream == 0;
        match self.kind {
            2 => self.length == 5 && !on_connection,
            RESET => self.length == 4 && !on_connection,
            SETTINGS => self.length.is_multiple_of(6) && on_connection && self.length < 600,
            6 => self.length == 8 && on_connection,
            7 => self.length >= 8 && on_connection,
            8 => self.length == 4,
            HEADERS | PUSH | CONTINUATION => !on_connection && self.length <= BLOCK,
            0 => !on_connection && self.length <= LONGEST,
            // Frames of extensions are ignored.
            _ => self.length <= LONGEST,
        }
    }
}

/// Whether these are the first bytes of a direction: the client's preface or the server's settings.
fn starts(bytes: &[u8]) -> bool {
    bytes.starts_with(PREFACE)
        || frame(bytes)
            .is_some_and(|first| first.kind == SETTINGS && first.flags == 0 && first.fits())
}

fn probe(input: &Input<'_>) -> Probe {
    let bytes = input.bytes;
    let known = bytes.len().min(PREFACE.len());
    if bytes.get(..known) == PREFACE.get(..known) {
        return if known < PREFACE.len() { Probe::More } else { Probe::Certain };
    }
    // A server starts with its settings.
    match frame(bytes) {
        Some(first) if first.kind == SETTINGS && first.fits() && first.flags <= 1 => {
            match bytes.get(HEADER + first.length..) {
                Some(rest) => match frame(rest) {
                    Some(second) if second.fits() && second.kind <= CONTINUATION => Probe::Likely,
                    Some(_) => Probe::No,
                    None => Probe::Weak,
                },
                None => Probe::More,
            }
        }
        _ => Probe::No,
    }
}

/// A header block in the making.
struct Block {
    stream: u32,
    bytes: Vec<u8>,
    evidence: Spans,
}

/// One direction.
struct Direction {
    decoder: Option<Decoder>,
    block: Option<Block>,
    started: bool,
    /// Bytes of a frame that are still to come.
    skip: usize,
}

/// A flow that carries HTTP/2.
struct Http2 {
    client: Option<Side>,
    directions: [Direction; 2],
    /// By stream.
    pending: Pending<u32, Operation>,
    agent: Option<Vec<u8>>,
    server: Option<Vec<u8>>,
}

impl Http2 {
    fn new() -> Self {
        let direction = || Direction { decoder: None, block: None, started: false, skip: 0 };
        Self {
            client: None,
            directions: [direction(), direction()],
            pending: Pending::new(WAITING),
            agent: None,
            server: None,
        }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if self.client.replace(side).is_none() {
            out.push(Item::Client(side));
        }
    }

    /// A frame whose body is there as far as it is wanted.
    fn frame(&mut self, input: &Input<'_>, frame: &Frame, body: &[u8], out: &mut Out) {
        match frame.kind {
            HEADERS | PUSH => {
                let padding = if frame.flags & PADDED != 0 {
                    usize::from(body.first().copied().unwrap_or_default()) + 1
                } else {
                    0
                };
                let start = usize::from(padding > 0)
                    + match frame.kind {
                        PUSH => 4,
                        _ if frame.flags & PRIORITY != 0 => 5,
                        _ => 0,
                    };
                let end = body.len().saturating_sub(padding.saturating_sub(1));
                let fragment = body.get(start..end).unwrap_or_default();
                let stream = match (frame.kind, part_at(body, start.wrapping_sub(4), 4).as_array())
                {
                    // A promised request is answered on a stream of its own.
                    (PUSH, Some(number)) => u32::from_be_bytes(*number) & 0x7fff_ffff,
                    _ => frame.stream,
                };
                let block =
                    Block { stream, bytes: fragment.to_vec(), evidence: input.locate(fragment) };
                self.block(input, block, frame.flags & END_HEADERS != 0, out);
            }
            CONTINUATION => {
                let direction = input.side.of(&mut self.directions);
                match direction.block.take() {
                    Some(mut block) if block.bytes.len() + body.len() <= BLOCK => {
                        block.bytes.extend_from_slice(body);
                        block.evidence.extend(input.locate(body));
                        self.block(input, block, frame.flags & END_HEADERS != 0, out);
                    }
                    // What is not read is missing in the table of fields.
                    _ => direction.decoder = None,
                }
            }
            RESET => {
                if let Some(mut operation) = self.pending.take(&frame.stream) {
                    operation.outcome = Outcome::Error;
                    out.operation(operation);
                }
            }
            _ => {}
        }
    }

    fn block(&mut self, input: &Input<'_>, block: Block, is_whole: bool, out: &mut Out) {
        let direction = input.side.of(&mut self.directions);
        if !is_whole {
            direction.block = Some(block);
            return;
        }
        let Some(decoder) = &mut direction.decoder else { return };
        match decoder.decode(&block.bytes) {
            Some(fields) => self.message(input, &block, &fields, out),
            None => {
                direction.decoder = None;
                if !input.truncated {
                    let part = part_at(input.bytes, 0, HEADER);
                    out.push(input.violation(NAME, "http2-frame", part));
                }
            }
        }
    }

    fn message(&mut self, input: &Input<'_>, block: &Block, fields: &[Field], out: &mut Out) {
        let field = |name: &[u8]| {
            fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
        };
        if let Some(method) = field(b":method") {
            // What a server pushes is a request of the client that nobody sent.
            let client = self.client.unwrap_or(input.side);
            let row = METHODS.iter().find(|(known, ..)| *known == method);
            let words = row.map_or(("unknown", Action::Write), |row| (row.1, row.2));
            let mut operation = input.operation(NAME, client, words, &[]);
            operation.evidence = block.evidence.clone();
            if let Some(path) = field(b":path").or_else(|| field(b":authority")) {
                let end = memchr::memchr(b'?', path).unwrap_or(path.len());
                operation.object = Object::Text(text::utf8(part_at(path, 0, end.min(SPELLED))));
            }
            if let Some(agent) = field(b"user-agent")
                && client == input.side
                && self.agent.as_deref() != Some(agent)
            {
                self.agent = Some(agent.to_vec());
                claim(("user_agent", "request"), agent, &block.evidence, out);
            }
            let basic = field(b"authorization").and_then(|value| {
                let (scheme, credentials) = value.split_at_checked(6)?;
                scheme.eq_ignore_ascii_case(b"basic ").then_some(credentials)
            });
            if let Some(credentials) = basic {
                out.push(Item::Event(Event {
                    kind: "cleartext-credentials",
                    protocol: NAME,
                    sender: client,
                    values: vec![("user", text::basic_user(credentials))],
                    evidence: block.evidence.clone(),
                }));
            }
            if let Some(evicted) = self.pending.insert(block.stream, operation) {
                out.operation(evicted);
            }
            return;
        }
        let Some(status) = field(b":status") else { return };
        if let Some(server) = field(b"server")
            && self.server.as_deref() != Some(server)
        {
            self.server = Some(server.to_vec());
            claim(("server_banner", "response"), server, &block.evidence, out);
        }
        // 1xx comes before the response.
        if status.first() != Some(&b'1')
            && let Some(mut operation) = self.pending.take(&block.stream)
        {
            let failed = matches!(status.first(), Some(b'4' | b'5'));
            operation.outcome = if failed { Outcome::Error } else { Outcome::Ok };
            out.operation(operation);
        }
    }
}

/// The bytes of a value are mostly compressed: they are cited with the whole block.
fn claim(
    (attribute, message): (&'static str, &'static str),
    value: &[u8],
    evidence: &Spans,
    out: &mut Out,
) {
    let value: CompactString = text::utf8(text::trim(part_at(value, 0, 512)));
    out.claim(Claim {
        who: Who::Sender(Child::None),
        attribute,
        value,
        protocol: NAME,
        message,
        confidence: Confidence::High,
        evidence: Evidence { spans: evidence.clone(), decode: Decode::Derived },
    });
}

impl Session for Http2 {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let direction = input.side.of(&mut self.directions);
        if input.after_gap {
            // The table of fields is not known any more.
            direction.decoder = None;
            direction.block = None;
            direction.skip = 0;
            // Without its SYN a direction may still be seen from its first byte on.
            direction.started |= !starts(input.bytes);
        }
        let mut used = input.bytes.len().min(direction.skip);
        direction.skip -= used;
        if !std::mem::replace(&mut direction.started, true) {
            direction.decoder = Some(Decoder::new());
        }
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            if rest.starts_with(PREFACE) {
                self.say_client(input.side, out);
                used += PREFACE.len();
                continue;
            }
            if PREFACE.starts_with(rest) {
                break;
            }
            let Some(frame) = frame(rest) else { break };
            if !frame.fits() {
                let direction = input.side.of(&mut self.directions);
                if direction.decoder.take().is_some() && !input.truncated {
                    out.push(input.violation(NAME, "http2-frame", part_at(rest, 0, HEADER)));
                }
                used = input.bytes.len();
                break;
            }
            let is_wanted = matches!(frame.kind, HEADERS | PUSH | CONTINUATION);
            let wanted = if is_wanted { frame.length } else { 0 };
            let Some(body) = rest.get(HEADER..HEADER + wanted) else { break };
            self.frame(input, &frame, body, out);
            let length = HEADER + frame.length;
            let here = length.min(rest.len());
            input.side.of(&mut self.directions).skip = length - here;
            used += here;
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for operation in self.pending.drain() {
            out.operation(operation);
        }
    }

    fn stream_cap(&self) -> usize {
        BLOCK + HEADER
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn frame_of(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
        let length = &(body.len() as u32).to_be_bytes()[1..];
        [length, &[kind, flags], &stream.to_be_bytes(), body].concat()
    }

    /// A field that is not indexed, its name and value in plain letters.
    fn literal(name: &str, value: &str) -> Vec<u8> {
        let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
        [vec![0], text(name), text(value)].concat()
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        let settings = frame_of(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
        let request = [
            vec![0x82],
            literal(":path", "/api/state?key=secret"),
            literal("user-agent", "Panel 3"),
            literal("authorization", "Basic b3A6c2VjcmV0"),
        ]
        .concat();
        let (head, tail) = request.split_at(9);
        let padded = [&[2, 0, 0, 0, 0, 9][..], head, &[0, 0]].concat();
        let asked = [
            PREFACE.to_vec(),
            settings.clone(),
            frame_of(HEADERS, PADDED | PRIORITY, 1, &padded),
            frame_of(CONTINUATION, END_HEADERS, 1, tail),
            frame_of(HEADERS, END_HEADERS | 1, 3, &[0x83, 0x85]),
        ];
        let told = [
            settings.clone(),
            frame_of(SETTINGS, 1, 0, &[]),
            frame_of(HEADERS, END_HEADERS, 1, &[vec![0x88], literal("server", "Gate 5")].concat()),
            frame_of(0, 1, 1, &[b'x'; 300]),
            frame_of(RESET, 0, 3, &[0, 0, 0, 2]),
        ];
        vec![(Side::A, asked.concat()), (Side::B, told.concat())]
    }

    fn messages(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    #[test]
    fn requests_are_operations_with_their_path() {
        let items = messages(&conversation());
        assert_eq!(
            vec![
                ("get", "/api/state".to_owned(), Outcome::Ok),
                ("post", "/index.html".to_owned(), Outcome::Error),
            ],
            testing::operations(&items)
        );
        let events = testing::events(&items);
        assert_eq!(
            ("cleartext-credentials", "op"),
            (events[0].kind, events[0].values[0].1.as_str())
        );
        assert!(!format!("{items:?}").contains("secret"));
    }

    #[test]
    fn both_ends_name_their_software() {
        assert_eq!(
            vec![("user_agent", "Panel 3".to_owned()), ("server_banner", "Gate 5".to_owned())],
            testing::claims(&messages(&conversation()))
        );
    }

    #[test]
    fn a_frame_that_does_not_fit_is_a_violation() {
        let mut all = conversation();
        all.push((Side::A, frame_of(RESET, 0, 5, &[0; 5])));
        assert!(messages(&all).iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "http2-frame")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let all = conversation();
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &all[0].1)));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::B, &all[1].1)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &all[0].1[..10])));
        for bytes in [&b"PRINT / HTTP/1.1\r\n\r\n"[..], b"\0\x01\0\0\0\x06\x01\x03\0\0\0\x01"] {
            assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, bytes)));
        }
    }

    #[test]
    fn survives_hostile_bytes() {
        let all = conversation();
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &parts);
    }
}
