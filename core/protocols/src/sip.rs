//! SIP, over UDP and TCP.
//!
//! Sources: RFC 3261 §7 (messages), §7.3.3 (compact header names), §8.1.1.5 (CSeq), §17 (transactions),
//! §18.3 (framing), §22 (authentication); RFC 3262, 3311, 3428, 3515, 3903, 6086, 6665 (further
//! methods).
//!
//! A request and its final response are one operation; retransmissions count once. Its object is the
//! request's target, in a registration the address that is registered. `User-Agent` tells of the
//! sender only in a request that no proxy handed on; in responses it is told with less confidence.
//!
//! Rules broken on the wire:
//! * `sip-head`: a message head of more than 16 KiB.
//! * `sip-content-length`: a Content-Length that is no number or longer than the datagram.
//!
//! Not decoded: bodies, but for the kinds of media that SDP offers in datagrams (RFC 8866 §5.14): RTP is
//! recognised by itself.

use std::collections::VecDeque;

use compact_str::CompactString;

use crate::fields::part_at;
use crate::out::{Action, Claim, Confidence, Event, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// SIP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "SIP",
    roles: ("SIP client", "SIP server"),
    carriers: &[Carrier::Udp(&[PORT]), Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Sip::new()) },
    source: "RFC 3261",
};

const NAME: &str = "sip";
const PORT: u16 = 5060;

const VERSION: &[u8] = b"SIP/2.0";
/// Longest message head.
const HEAD: usize = 16 * 1024;
/// Longest target that an object spells out.
const SPELLED: usize = 128;
/// Requests of one flow that may wait at once.
const WAITING: usize = 32;
/// Answered requests whose retransmissions are known.
const ANSWERED: usize = 16;
/// Kinds of media that are told of one side.
const OFFERED: usize = 8;

/// Methods, their names and actions.
const METHODS: &[(&[u8], &str, Action)] = &[
    (b"INVITE", "invite", Action::Session),
    (b"ACK", "ack", Action::Session),
    (b"BYE", "bye", Action::Session),
    (b"CANCEL", "cancel", Action::Session),
    (b"REGISTER", "register", Action::Authenticate),
    (b"OPTIONS", "options", Action::Identify),
    (b"PRACK", "prack", Action::Session),
    (b"UPDATE", "update", Action::Session),
    (b"INFO", "info", Action::Session),
    (b"REFER", "refer", Action::Control),
    (b"MESSAGE", "message", Action::Write),
    (b"SUBSCRIBE", "subscribe", Action::Subscribe),
    (b"NOTIFY", "notify", Action::Subscribe),
    (b"PUBLISH", "publish", Action::Write),
];

enum First<'a> {
    Request { words: (&'static str, Action), target: &'a [u8] },
    Response(u16),
}

/// The first line of a message.
fn first_line(line: &[u8]) -> Option<First<'_>> {
    if let Some(rest) = line.strip_prefix(VERSION) {
        let [b' ', a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] = rest else {
            return None;
        };
        let digit = |byte: &u8| u16::from(byte - b'0');
        return Some(First::Response(digit(a) * 100 + digit(b) * 10 + digit(c)));
    }
    let rest = line.strip_suffix(VERSION)?.strip_suffix(b" ")?;
    let (method, target) = rest.split_at_checked(memchr::memchr(b' ', rest)?)?;
    let target = target.get(1..)?;
    let known = METHODS.iter().find(|(known, ..)| *known == method);
    let words = match known {
        Some((_, name, action)) => (*name, *action),
        None if method.iter().all(u8::is_ascii_uppercase) => ("unknown", Action::Session),
        None => return None,
    };
    (text::is_printable(target) && memchr::memchr(b':', target).is_some())
        .then_some(First::Request { words, target })
}

fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'\n', bytes)?;
    let line = bytes.get(..end)?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Where a message starts: keep-alives, and on UDP anything else that is no text, may precede it.
fn start(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| byte.is_ascii_uppercase()).unwrap_or(bytes.len())
}

/// Length of the head with its empty line.
fn head_length(bytes: &[u8]) -> Option<usize> {
    if let Some(at) = memchr::memmem::find(bytes, b"\r\n\r\n") {
        return Some(at + 4);
    }
    memchr::memmem::find(bytes, b"\n\n").map(|at| at + 2)
}

fn field<'a>(head: &'a [u8], name: &str, compact: &str) -> Option<&'a [u8]> {
    text::header_field(head, name)
        .or_else(|| if compact.is_empty() { None } else { text::header_field(head, compact) })
}

/// The address within a From, To or Contact field: without its display name and parameters.
fn address(value: &[u8]) -> &[u8] {
    let uri = match memchr::memchr(b'<', value) {
        Some(open) => {
            let rest = value.get(open + 1..).unwrap_or_default();
            rest.get(..memchr::memchr(b'>', rest).unwrap_or(rest.len())).unwrap_or_default()
        }
        None => value,
    };
    let end = uri.iter().position(|byte| matches!(byte, b';' | b'?')).unwrap_or(uri.len());
    text::trim(part_at(uri, 0, end.min(SPELLED)))
}

/// Kinds of media (audio, video, image) that the description in a body offers.
fn media(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let description = if body.starts_with(b"v=0") { body } else { &[] };
    description.split(|byte| *byte == b'\n').filter_map(|line| {
        let kind = line.strip_prefix(b"m=")?;
        let kind = kind.get(..memchr::memchr(b' ', kind)?)?;
        kind.iter().all(u8::is_ascii_lowercase).then_some(kind)
    })
}

/// A quoted parameter of an authentication field.
fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = memchr::memmem::find(value, name)? + name.len();
    let rest = value.get(at..)?.strip_prefix(b"=\"")?;
    rest.get(..memchr::memchr(b'"', rest)?)
}

fn probe(input: &Input<'_>) -> Probe {
    let bytes = input.bytes;
    let bytes = bytes.get(start(bytes)..).unwrap_or_default();
    match line(bytes) {
        Some(line) => match first_line(line) {
            Some(_) => Probe::Certain,
            None => Probe::No,
        },
        None if input.transport == Transport::Tcp && bytes.len() < 512 => {
            let begins = |word: &[u8]| {
                let known = bytes.len().min(word.len());
                bytes.get(..known) == word.get(..known)
            };
            if begins(VERSION) || METHODS.iter().any(|(method, ..)| begins(method)) {
                Probe::More
            } else {
                Probe::No
            }
        }
        None => Probe::No,
    }
}

/// Whether a proxy handed a request on: each hop adds a Via field.
fn is_handed_on(head: &[u8]) -> bool {
    let vias = head.split(|byte| *byte == b'\n').filter(|line| {
        let end = memchr::memchr(b':', line).unwrap_or_default();
        let name = text::trim(part_at(line, 0, end));
        name.eq_ignore_ascii_case(b"via") || name.eq_ignore_ascii_case(b"v")
    });
    vias.count() > 1
}

/// A request that waits, and who logs in with it.
struct Request {
    operation: Operation,
    user: Option<CompactString>,
}

/// A flow that carries SIP.
struct Sip {
    client_said: bool,
    /// By sender, number with method, and call.
    pending: Pending<(Side, CompactString, CompactString), Request>,
    answered: VecDeque<(Side, CompactString, CompactString)>,
    /// Bytes of a body in a stream that are still to come.
    skip: [usize; 2],
    /// Kinds of media that each side offered.
    offered: [Vec<CompactString>; 2],
}

impl Sip {
    const fn new() -> Self {
        Self {
            client_said: false,
            pending: Pending::new(WAITING),
            answered: VecDeque::new(),
            skip: [0; 2],
            offered: [Vec::new(), Vec::new()],
        }
    }

    fn message(&mut self, input: &Input<'_>, head: &[u8], body: &[u8], out: &mut Out) {
        let Some(first_text) = line(head) else { return };
        let Some(first) = first_line(first_text) else { return };
        let call = field(head, "call-id", "i").unwrap_or_default();
        let number = field(head, "cseq", "").unwrap_or_default();
        let key =
            |side| (side, text::utf8(part_at(number, 0, 40)), text::utf8(part_at(call, 0, 128)));
        match first {
            First::Request { words, target } => {
                if !is_handed_on(head) {
                    self.offers(input, (body, "request", Confidence::High), out);
                }
                self.request(input, head, (words, target), key(input.side), out);
            }
            First::Response(status) => {
                self.offers(input, (body, "response", Confidence::Medium), out);
                self.response(input, head, status, key(input.side.other()), out);
            }
        }
    }

    /// What kinds of media a body offers is told once.
    fn offers(
        &mut self,
        input: &Input<'_>,
        (body, message, confidence): (&[u8], &'static str, Confidence),
        out: &mut Out,
    ) {
        for kind in media(body) {
            let name = text::utf8(part_at(kind, 0, 16));
            let known = input.side.of(&mut self.offered);
            if known.len() < OFFERED && !known.contains(&name) {
                known.push(name);
                let claim = input.own_text((NAME, message), "sip_media", part_at(kind, 0, 16));
                out.claim(Claim { confidence, ..claim });
            }
        }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        head: &[u8],
        ((name, action), target): ((&'static str, Action), &[u8]),
        key: (Side, CompactString, CompactString),
        out: &mut Out,
    ) {
        if self.pending.get_mut(&key).is_some() || self.answered.contains(&key) {
            return;
        }
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(input.side));
        }
        let to = address(field(head, "to", "t").unwrap_or_default());
        if !is_handed_on(head) {
            if let Some(agent) = field(head, "user-agent", "") {
                out.claim(input.own_text((NAME, "request"), "user_agent", agent));
            }
            if name == "register" {
                out.claim(input.own_text((NAME, "register"), "sip_address", to));
            }
        }
        let user = field(head, "authorization", "")
            .or_else(|| field(head, "proxy-authorization", ""))
            .and_then(|value| parameter(value, b"username"))
            .map(|user| text::utf8(part_at(user, 0, 128)));
        let object = if name == "register" { to } else { address(target) };
        let mut operation = input.operation(NAME, input.side, (name, action), target);
        if !object.is_empty() {
            operation.object = Object::Text(text::utf8(object));
        }
        if name == "ack" {
            operation.outcome = Outcome::None;
            self.remember(key);
            out.operation(operation);
        } else if let Some(evicted) = self.pending.insert(key, Request { operation, user }) {
            out.operation(evicted.operation);
        }
    }

    fn response(
        &mut self,
        input: &Input<'_>,
        head: &[u8],
        status: u16,
        key: (Side, CompactString, CompactString),
        out: &mut Out,
    ) {
        for (name, attribute) in [("server", "server_banner"), ("user-agent", "user_agent")] {
            if let Some(value) = field(head, name, "") {
                // A proxy hands on what the far end wrote.
                let confidence = Confidence::Medium;
                let claim = input.own_text((NAME, "response"), attribute, value);
                out.claim(Claim { confidence, ..claim });
            }
        }
        if status < 200 {
            return;
        }
        let Some(Request { mut operation, user }) = self.pending.take(&key) else {
            if !self.answered.contains(&key) {
                self.unpaired(input, head, status, key, out);
            }
            return;
        };
        operation.outcome = outcome(status);
        if let Some(user) = user {
            let stale =
                [field(head, "www-authenticate", ""), field(head, "proxy-authenticate", "")]
                    .into_iter()
                    .flatten()
                    .any(|value| {
                        memchr::memmem::find(&value.to_ascii_lowercase(), b"stale=true").is_some()
                    });
            let kind = match status {
                200 => Some("login"),
                401 | 403 | 407 if !stale => Some("login-failed"),
                _ => None,
            };
            if let Some(kind) = kind {
                out.push(Item::Event(Event {
                    kind,
                    protocol: NAME,
                    sender: operation.sender,
                    values: vec![("user", user)],
                    evidence: input.locate(part_at(head, 0, VERSION.len() + 4)),
                }));
            }
        }
        self.remember(key);
        out.operation(operation);
    }

    /// A response whose request was not seen: CSeq names its method.
    fn unpaired(
        &mut self,
        input: &Input<'_>,
        head: &[u8],
        status: u16,
        key: (Side, CompactString, CompactString),
        out: &mut Out,
    ) {
        let method = key.1.rsplit(' ').next().unwrap_or_default().as_bytes();
        let row = METHODS.iter().find(|(known, ..)| *known == method);
        let words = row.map_or(("unknown", Action::Session), |row| (row.1, row.2));
        let mut operation =
            input.operation(NAME, input.side.other(), words, part_at(head, 0, VERSION.len() + 4));
        operation.outcome = outcome(status);
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(input.side.other()));
        }
        self.remember(key);
        out.unpaired(operation);
    }

    fn remember(&mut self, key: (Side, CompactString, CompactString)) {
        if self.answered.len() >= ANSWERED {
            self.answered.pop_front();
        }
        self.answered.push_back(key);
    }
}

const fn outcome(status: u16) -> Outcome {
    if status >= 400 { Outcome::Error } else { Outcome::Ok }
}

/// Length of the body, as the head tells it; an error where that is no number.
fn body_length(head: &[u8]) -> Result<Option<usize>, &[u8]> {
    match field(head, "content-length", "l") {
        None => Ok(None),
        Some(value) => {
            let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            number.map(Some).ok_or(value)
        }
    }
}

impl Session for Sip {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let skip = input.side.of(&mut self.skip);
        if input.after_gap {
            *skip = 0;
        }
        let mut used = input.bytes.len().min(*skip);
        *skip -= used;
        let is_stream = input.transport == Transport::Tcp;
        if used > 0 {
            out.layer(NAME, input.side);
        }
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            let junk = start(rest);
            let message = rest.get(junk..).unwrap_or_default();
            used += junk;
            if message.is_empty() {
                break;
            }
            match line(message) {
                Some(line) if first_line(line).is_none() => {
                    // What follows a body of unknown length.
                    used = input.bytes.len();
                    break;
                }
                Some(_) => {}
                None if is_stream && message.len() < HEAD => break,
                None => {
                    used = input.bytes.len();
                    break;
                }
            }
            let length = match head_length(message) {
                Some(length) => length,
                None if is_stream && message.len() < HEAD => break,
                // The capture may have cut the datagram.
                None if !is_stream => message.len(),
                None => {
                    out.push(input.violation(NAME, "sip-head", part_at(message, 0, 64)));
                    used = input.bytes.len();
                    break;
                }
            };
            let head = message.get(..length).unwrap_or_default();
            // In a stream a body may come later than its head.
            let body = if is_stream { &[] } else { part_at(message, length, message.len()) };
            self.message(input, head, body, out);
            out.layer(NAME, input.side);
            let body = message.len() - length;
            used += length;
            match body_length(head) {
                Ok(Some(told)) if is_stream => {
                    *input.side.of(&mut self.skip) = told - told.min(body);
                    used += told.min(body);
                }
                Ok(Some(told)) => {
                    if told > body && !input.truncated {
                        let value = field(head, "content-length", "l").unwrap_or_default();
                        out.push(input.violation(NAME, "sip-content-length", value));
                    }
                    used = input.bytes.len();
                }
                Ok(None) if is_stream => {}
                Ok(None) => used = input.bytes.len(),
                Err(value) => {
                    out.push(input.violation(NAME, "sip-content-length", value));
                    used = input.bytes.len();
                }
            }
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for request in self.pending.drain() {
            out.operation(request.operation);
        }
    }

    fn stream_cap(&self) -> usize {
        HEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const REGISTER: &str = "REGISTER sip:pbx.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n\
        From: <sip:42@pbx.example>;tag=1\r\nTo: \"Gate\" <sip:42@pbx.example>\r\nCall-ID: c1\r\n\
        User-Agent: Door Station 2.1\r\n";
    const REFUSED: &[u8] = b"SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n\
        Call-ID: c1\r\nCSeq: 1 REGISTER\r\nServer: Switch 9\r\nContent-Length: 0\r\n\r\n";
    const ACCEPTED: &[u8] = b"SIP/2.0 200 OK\r\nCall-ID: c1\r\nCSeq: 2 REGISTER\r\n\r\n";
    const INVITE: &[u8] = b"INVITE sip:43@pbx.example;user=phone SIP/2.0\r\nv: SIP/2.0/UDP a\r\n\
        v: SIP/2.0/UDP b\r\ni: c2\r\nCSeq: 7 INVITE\r\nUser-Agent: Far 1\r\nl: 4\r\n\r\nv=0\n";

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        let first = format!("{REGISTER}CSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n").into_bytes();
        let second = format!(
            "{REGISTER}CSeq: 2 REGISTER\r\nAuthorization: Digest username=\"gate\", \
             response=\"secret\"\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes();
        vec![
            (Side::A, first.clone()),
            (Side::A, first),
            (Side::B, REFUSED.to_vec()),
            (Side::A, second),
            (Side::B, ACCEPTED.to_vec()),
            (Side::B, ACCEPTED.to_vec()),
            (Side::A, b"\r\n\r\n".to_vec()),
            (Side::A, INVITE.to_vec()),
        ]
    }

    fn messages(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    #[test]
    fn requests_count_once_with_their_final_response() {
        let told = testing::operations(&messages(&conversation()));
        let expected = [
            ("register", "sip:42@pbx.example", Outcome::Error),
            ("register", "sip:42@pbx.example", Outcome::Ok),
            ("invite", "sip:43@pbx.example", Outcome::Unseen),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(a, b, outcome)| (a, b.to_owned(), outcome)).collect();
        assert_eq!(expected, told);
    }

    #[test]
    fn identities_and_log_ins_are_told() {
        let items = messages(&conversation());
        let mut claims = testing::claims(&items);
        claims.dedup();
        assert!(claims.contains(&("user_agent", "Door Station 2.1".to_owned())));
        assert!(claims.contains(&("sip_address", "sip:42@pbx.example".to_owned())));
        assert!(claims.contains(&("server_banner", "Switch 9".to_owned())));
        // Another machine's, handed on by a proxy.
        assert!(!claims.contains(&("user_agent", "Far 1".to_owned())));
        let events = testing::events(&items);
        assert_eq!(1, events.len());
        assert_eq!(("login", "gate"), (events[0].kind, events[0].values[0].1.as_str()));
        assert!(!format!("{items:?}").contains("secret"));
    }

    #[test]
    fn a_caller_tells_the_media_it_offers_once() {
        let offer = b"INVITE sip:1@b SIP/2.0\r\nVia: a\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n\
            v=0\r\nm=audio 4000 RTP/AVP 8\r\nm=video 4002 RTP/AVP 96\r\n";
        let items = messages(&[(Side::A, offer.to_vec()), (Side::A, offer.to_vec())]);
        assert_eq!(
            vec![("sip_media", "audio".to_owned()), ("sip_media", "video".to_owned())],
            testing::claims(&items)
        );
    }

    #[test]
    fn a_response_without_its_request_is_unpaired() {
        let items = messages(&[(Side::B, ACCEPTED.to_vec())]);
        assert!(items.iter().any(|item| matches!(item, Item::Unpaired(operation)
            if operation.name == "register" && operation.outcome == Outcome::Ok)));
    }

    #[test]
    fn a_body_length_that_is_no_number_is_a_violation() {
        let items = messages(&[(
            Side::A,
            b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 10x\r\n\r\n".to_vec(),
        )]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "sip-content-length")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        for bytes in [REFUSED, INVITE, b"\x00\xd6\xa9REGISTER sip:a SIP/2.0\r\n\r\n"] {
            assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, bytes)));
        }
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"OPTIONS rtsp://a RTSP/1.0\r\n\r\n", b"\0"] {
            assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, bytes)));
        }
    }

    #[test]
    fn survives_hostile_bytes() {
        let all = conversation();
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &parts);
        let stream = Protocol { carriers: &[Carrier::Tcp(&[PORT])], ..PROTOCOL };
        testing::survives(&stream, &parts);
    }
}
