//! HTTP/1.0 and HTTP/1.1 over TCP.
//!
//! Sources: RFC 9110 (methods, status codes, fields), RFC 9112 (start lines, header section, body
//! length, chunked coding), RFC 7617 (Basic authentication), UPnP Device Architecture 2.0 §4 (GENA
//! methods), RFC 4918 (WebDAV methods).
//!
//! Rules broken on the wire:
//! * `http-start-line`: after a complete message comes something that starts no message.
//! * `http-chunk`: a chunk size that is no hexadecimal number.
//!
//! Not decoded: bodies (skipped without keeping them, except IPP and XML up to 64 KiB, which goes to
//! Python as payload `http-body`), tunnels after CONNECT or 101, HTTP/2, SSDP (UDP).

use compact_str::CompactString;
use otic_wire::{SpanMap, Spans};

use crate::fields::part_at;
use crate::ipp::{self, Ipp};
use crate::out::{
    Action, Child, Claim, Confidence, Decode, Event, Item, Object, Operation, Out, Outcome,
    Payload, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// HTTP/1.x.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "HTTP",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[80, 8080, 8000, 8008, 8081, 8088, 8888, 3128, 5357, 5985, 631])],
    dissector: Dissector::Built { probe, session: || Box::new(Http::new()) },
    source: "RFC 9110, RFC 9112, RFC 7617",
};

const NAME: &str = "http";
const VERSION: &[u8] = b"HTTP/1.";

/// Largest header section; larger ones are skipped by the engine.
const HEADER_CAP: usize = 32 * 1024;
/// Largest XML body handed to Python, and how many a flow may hand over.
const XML_CAP: usize = 64 * 1024;
const XML_BODIES: usize = 16;
/// Longest path kept as an object.
const PATH_CAP: usize = 256;

/// Methods: token, name, action.
const METHODS: &[(&[u8], &str, Action)] = &[
    (b"GET", "get", Action::Read),
    (b"HEAD", "head", Action::Read),
    (b"POST", "post", Action::Write),
    (b"PUT", "put", Action::Write),
    (b"DELETE", "delete", Action::Write),
    (b"PATCH", "patch", Action::Write),
    (b"OPTIONS", "options", Action::Read),
    (b"TRACE", "trace", Action::Diagnostics),
    (b"CONNECT", "connect", Action::Session),
    (b"PROPFIND", "propfind", Action::Read),
    (b"PROPPATCH", "proppatch", Action::Write),
    (b"MKCOL", "mkcol", Action::Write),
    (b"COPY", "copy", Action::Write),
    (b"MOVE", "move", Action::Write),
    (b"LOCK", "lock", Action::Write),
    (b"UNLOCK", "unlock", Action::Write),
    (b"REPORT", "report", Action::Read),
    (b"SEARCH", "search", Action::Read),
    (b"SUBSCRIBE", "subscribe", Action::Subscribe),
    (b"UNSUBSCRIBE", "unsubscribe", Action::Subscribe),
    (b"NOTIFY", "notify", Action::Subscribe),
    (b"RPC_IN_DATA", "rpc-in-data", Action::Session),
    (b"RPC_OUT_DATA", "rpc-out-data", Action::Session),
    (b"CCM_POST", "ccm-post", Action::Write),
    (b"BITS_POST", "bits-post", Action::Write),
    (b"SSTP_DUPLEX_POST", "sstp-duplex-post", Action::Session),
];

/// A start line.
enum Start<'a> {
    Request { name: &'static str, action: Action, target: &'a [u8] },
    Response { status: u16 },
}

/// A line without its end: `\r\n` or, as RFC 9112 §2.2 lets a reader accept, `\n`.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..)?))
}

fn start(line: &[u8]) -> Option<Start<'_>> {
    if let Some(rest) = line.strip_prefix(VERSION) {
        let [b'0'..=b'9', b' ', a, b, c, ..] = rest else { return None };
        let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
        return Some(Start::Response { status: digit(a)? * 100 + digit(b)? * 10 + digit(c)? });
    }
    let method_end = memchr::memchr(b' ', line)?;
    let (method, rest) = line.split_at_checked(method_end)?;
    let target_end = memchr::memrchr(b' ', rest)?;
    let (target, version) = rest.split_at_checked(target_end)?;
    if !version.strip_prefix(b" ").is_some_and(|version| version.starts_with(VERSION)) {
        return None;
    }
    let token = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    if method.is_empty() || method.len() > 24 || !method.iter().all(token) {
        return None;
    }
    let (name, action) = METHODS
        .iter()
        .find(|(known, ..)| *known == method)
        .map_or(("unknown", Action::Read), |(_, name, action)| (*name, *action));
    Some(Start::Request { name, action, target: text::trim(target) })
}

/// Whether the first bytes may be the start of a start line that has not ended yet.
fn may_start(bytes: &[u8]) -> bool {
    let begins = |known: &[u8], with: u8| {
        let length = known.len().min(bytes.len());
        bytes.get(..length) == known.get(..length)
            && bytes.get(known.len()).is_none_or(|byte| *byte == with)
    };
    begins(VERSION, b'1')
        || begins(VERSION, b'0')
        || METHODS.iter().any(|(method, ..)| begins(method, b' '))
}

fn probe(input: &Input<'_>) -> Probe {
    match line(input.bytes) {
        Some((first, _)) if start(first).is_some() => Probe::Certain,
        None if may_start(input.bytes) && input.bytes.len() < 8192 => Probe::More,
        _ => Probe::No,
    }
}

/// What the header section says of its message.
#[derive(Default)]
struct Fields<'a> {
    content_length: Option<u64>,
    chunked: bool,
    ipp: bool,
    xml: bool,
    encoded: bool,
    user_agent: Option<&'a [u8]>,
    server: Option<&'a [u8]>,
    realm: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
}

fn contains(value: &[u8], needle: &[u8]) -> bool {
    value.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}

fn fields(mut section: &[u8]) -> Fields<'_> {
    let mut fields = Fields::default();
    let mut in_coding = false;
    while let Some((header, rest)) = line(section) {
        section = rest;
        // A folded line (RFC 9112 §5.2) matters where it decides on the body.
        if matches!(header.first(), Some(b' ' | b'\t')) {
            fields.chunked |= in_coding && contains(header, b"chunked");
            continue;
        }
        in_coding = false;
        let Some(colon) = memchr::memchr(b':', header) else { continue };
        let Some((name, value)) = header.split_at_checked(colon) else { continue };
        let value = text::trim(value.get(1..).unwrap_or_default());
        let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
        if is(b"content-length") {
            fields.content_length =
                std::str::from_utf8(value).ok().and_then(|number| number.parse().ok());
        } else if is(b"transfer-encoding") {
            fields.chunked |= contains(value, b"chunked");
            in_coding = true;
        } else if is(b"content-type") {
            fields.xml = contains(value, b"xml") && !contains(value, b"html");
            fields.ipp = value.eq_ignore_ascii_case(b"application/ipp");
        } else if is(b"content-encoding") {
            fields.encoded = !contains(value, b"identity");
        } else if is(b"user-agent") {
            fields.user_agent = Some(value);
        } else if is(b"server") {
            fields.server = Some(value);
        } else if is(b"www-authenticate") {
            fields.realm = parameter(value, b"realm=\"").or(fields.realm);
        } else if is(b"authorization") || is(b"proxy-authorization") {
            fields.authorization = Some(value);
        }
    }
    fields
}

/// The quoted value after `name="`.
fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = value.windows(name.len()).position(|window| window.eq_ignore_ascii_case(name))?;
    let rest = value.get(at + name.len()..)?;
    rest.get(..memchr::memchr(b'"', rest)?)
}

/// Scheme and user name of an Authorization field; a password is never kept.
fn user(authorization: &[u8]) -> Option<(&'static str, CompactString)> {
    let blank = memchr::memchr(b' ', authorization)?;
    let (scheme, rest) = authorization.split_at_checked(blank)?;
    if scheme.eq_ignore_ascii_case(b"basic") {
        return Some(("basic", text::basic_user(rest)));
    }
    if scheme.eq_ignore_ascii_case(b"digest") {
        return Some(("digest", text::utf8(parameter(rest, b"username=\"")?)));
    }
    None
}

/// What one direction reads next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Start,
    /// Body bytes left.
    Body(u64),
    UntilClose,
    ChunkSize,
    /// Chunk bytes left, with the line end after them.
    Chunk(u64),
    Trailer,
}

struct Direction {
    next: Next,
    synchronised: bool,
    /// An XML body in the making.
    xml: Option<(Vec<u8>, Spans)>,
    /// The beginning of an IPP body, and whether it is a request's.
    ipp: Option<(Vec<u8>, SpanMap, bool)>,
}

struct Request {
    operation: Operation,
    user: Option<CompactString>,
}

/// A flow that carries HTTP.
struct Http {
    directions: [Direction; 2],
    pending: Pending<(), Request>,
    client_said: bool,
    reported: bool,
    tunnel: bool,
    xml_bodies: usize,
    ipp: Ipp,
}

impl Http {
    fn new() -> Self {
        let direction =
            || Direction { next: Next::Start, synchronised: false, xml: None, ipp: None };
        Self {
            directions: [direction(), direction()],
            pending: Pending::new(64),
            client_said: false,
            reported: false,
            tunnel: false,
            xml_bodies: 0,
            ipp: Ipp::new(),
        }
    }

    fn direction(&mut self, side: Side) -> &mut Direction {
        side.of(&mut self.directions)
    }

    fn violation(&mut self, input: &Input<'_>, rule: &'static str, part: &[u8], out: &mut Out) {
        if !std::mem::replace(&mut self.reported, true) {
            out.push(input.violation(NAME, rule, part_at(part, 0, 64)));
        }
    }

    /// One header section; returns what follows it.
    fn message(
        &mut self,
        input: &Input<'_>,
        (first, start, section): (&[u8], Start<'_>, &[u8]),
        out: &mut Out,
    ) -> Next {
        let fields = fields(section);
        match start {
            Start::Request { name, action, target } => {
                self.request(input, (first, name, action, target), &fields, out);
                if fields.ipp && !fields.encoded {
                    self.direction(input.side).ipp = Some((Vec::new(), SpanMap::default(), true));
                }
                match (fields.chunked, fields.content_length) {
                    (true, _) => Next::ChunkSize,
                    (false, Some(length)) if length > 0 => Next::Body(length),
                    _ => Next::Start,
                }
            }
            Start::Response { status } => {
                let method = self.response(input, (first, status), &fields, out);
                // RFC 9112 §6.3
                let bodiless = status < 200 || matches!(status, 204 | 304) || method == "head";
                if status == 101 || (method == "connect" && (200..300).contains(&status)) {
                    self.tunnel = true;
                }
                let next = match (fields.chunked, fields.content_length) {
                    _ if bodiless || self.tunnel => Next::Start,
                    (true, _) => Next::ChunkSize,
                    (false, Some(0)) => Next::Start,
                    (false, Some(length)) => Next::Body(length),
                    (false, None) => Next::UntilClose,
                };
                let fits = fields.content_length.is_none_or(|length| length <= XML_CAP as u64);
                let wanted = fields.xml && !fields.encoded && fits && status == 200;
                if wanted && next != Next::Start && self.xml_bodies < XML_BODIES {
                    self.xml_bodies += 1;
                    self.direction(input.side).xml = Some((Vec::new(), Spans::new()));
                }
                if fields.ipp && !fields.encoded && next != Next::Start {
                    self.direction(input.side).ipp = Some((Vec::new(), SpanMap::default(), false));
                }
                next
            }
        }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        (first, name, action, target): (&[u8], &'static str, Action, &[u8]),
        fields: &Fields<'_>,
        out: &mut Out,
    ) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(input.side));
        }
        if let Some(agent) = fields.user_agent {
            claim(input, ("user_agent", "request", Confidence::Medium), agent, out);
        }
        let mut who = None;
        if let Some(authorization) = fields.authorization
            && let Some((scheme, user)) = user(authorization)
        {
            if scheme == "basic" {
                out.push(Item::Event(Event {
                    kind: "cleartext-credentials",
                    protocol: NAME,
                    sender: input.side,
                    values: vec![("scheme", scheme.into()), ("user", user.clone())],
                    evidence: input.locate(authorization),
                }));
            }
            who = Some(user);
        }
        let path = target.get(..memchr::memchr(b'?', target).unwrap_or(target.len()));
        let path = path.unwrap_or(target);
        let path = path.get(..path.len().min(PATH_CAP)).unwrap_or(path);
        let operation = Operation {
            protocol: NAME,
            connection: NAME,
            sender: input.side,
            code: None,
            name,
            action,
            object: if path.is_empty() { Object::None } else { Object::Text(text::utf8(path)) },
            outcome: Outcome::Unseen,
            client_child: Child::None,
            server_child: Child::None,
            evidence: input.locate(first),
            ts_ns: input.ts_ns,
        };
        if let Some(evicted) = self.pending.insert((), Request { operation, user: who }) {
            out.operation(evicted.operation);
        }
    }

    /// Returns the method of the request it answers.
    fn response(
        &mut self,
        input: &Input<'_>,
        (first, status): (&[u8], u16),
        fields: &Fields<'_>,
        out: &mut Out,
    ) -> &'static str {
        if let Some(server) = fields.server {
            claim(input, ("server_banner", "response", Confidence::High), server, out);
        }
        if let Some(realm) = fields.realm {
            claim(input, ("http_realm", "response", Confidence::Medium), realm, out);
        }
        if (100..200).contains(&status) && status != 101 {
            return "";
        }
        let outcome = if status >= 400 { Outcome::Error } else { Outcome::Ok };
        let client = input.side.other();
        if let Some(mut request) = self.pending.take(&()) {
            if let Some(user) = request.user
                && matches!(status, 401 | 407)
            {
                out.push(Item::Event(Event {
                    kind: "login-failed",
                    protocol: NAME,
                    sender: client,
                    values: vec![("user", user)],
                    evidence: input.locate(first),
                }));
            }
            request.operation.outcome = outcome;
            let name = request.operation.name;
            out.operation(request.operation);
            return name;
        }
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(client));
        }
        out.unpaired(Operation {
            protocol: NAME,
            connection: NAME,
            sender: client,
            code: None,
            name: "unknown",
            action: Action::Read,
            object: Object::None,
            outcome,
            client_child: Child::None,
            server_child: Child::None,
            evidence: input.locate(first),
            ts_ns: input.ts_ns,
        });
        ""
    }

    /// Keeps the bytes of an XML body and the beginning of an IPP body.
    fn body(&mut self, input: &Input<'_>, part: &[u8], out: &mut Out) {
        let direction = self.direction(input.side);
        if let Some((bytes, spans, _)) = &mut direction.ipp {
            let part = part_at(part, 0, ipp::BODY_CAP - bytes.len());
            bytes.extend_from_slice(part);
            for span in input.locate(part) {
                spans.push(span);
            }
            if bytes.len() == ipp::BODY_CAP {
                self.end_of_ipp(input, out);
            }
            return;
        }
        let Some((bytes, spans)) = &mut direction.xml else { return };
        if bytes.len() + part.len() > XML_CAP {
            direction.xml = None;
            return;
        }
        bytes.extend_from_slice(part);
        spans.extend(input.locate(part));
    }

    fn end_of_ipp(&mut self, input: &Input<'_>, out: &mut Out) {
        if let Some((bytes, spans, is_request)) = self.direction(input.side).ipp.take() {
            self.ipp.message(&input.with_bytes(&bytes, &spans), is_request, out);
        }
    }

    /// Hands over the XML body of a message that is complete.
    fn end_of_body(&mut self, side: Side, out: &mut Out) {
        if let Some((bytes, evidence)) = self.direction(side).xml.take()
            && !bytes.is_empty()
        {
            out.push(Item::Payload(Payload {
                protocol: NAME,
                kind: "http-body",
                sender: side,
                bytes,
                evidence,
            }));
        }
    }

    /// One step from the front of `rest`: bytes used up and what is next; none to wait for more.
    fn step(
        &mut self,
        input: &Input<'_>,
        rest: &[u8],
        next: Next,
        out: &mut Out,
    ) -> Option<(usize, Next)> {
        let part = |left: u64| {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            rest.get(..length).unwrap_or(rest)
        };
        match next {
            Next::Start => {
                // RFC 9112 §2.2: ignore empty lines before a request.
                let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                if blank > 0 {
                    return Some((blank, Next::Start));
                }
                let Some((first, section)) = line(rest) else {
                    if may_start(rest) && rest.len() < HEADER_CAP {
                        return None;
                    }
                    return Some(self.lost(input, rest, out));
                };
                let Some(start) = start(first) else {
                    return Some(self.lost(input, rest, out));
                };
                let mut end = section;
                loop {
                    let (header, after) = line(end)?;
                    end = after;
                    if header.is_empty() {
                        break;
                    }
                }
                let section = section.get(..section.len() - end.len())?;
                self.direction(input.side).synchronised = true;
                let next = self.message(input, (first, start, section), out);
                Some((rest.len() - end.len(), next))
            }
            Next::Body(left) => {
                let part = part(left);
                self.body(input, part, out);
                let left = left - part.len() as u64;
                if left > 0 {
                    return Some((part.len(), Next::Body(left)));
                }
                self.end_of_ipp(input, out);
                self.end_of_body(input.side, out);
                Some((part.len(), Next::Start))
            }
            Next::UntilClose => {
                self.body(input, rest, out);
                Some((rest.len(), Next::UntilClose))
            }
            Next::ChunkSize => {
                let (size, after) = match line(rest) {
                    Some(found) => found,
                    None if rest.len() < 1024 => return None,
                    None => (rest, rest),
                };
                let digits = size.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                let size = size.get(..digits).and_then(|digits| {
                    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
                });
                let used = rest.len() - after.len();
                match size {
                    Some(0) => Some((used, Next::Trailer)),
                    Some(size) if size < u64::MAX - 2 => Some((used, Next::Chunk(size))),
                    _ => {
                        self.violation(input, "http-chunk", rest, out);
                        self.direction(input.side).synchronised = false;
                        Some((rest.len(), Next::Start))
                    }
                }
            }
            Next::Chunk(0) => {
                // the line end after a chunk
                match rest {
                    [b'\r', b'\n', ..] => Some((2, Next::ChunkSize)),
                    [b'\r'] => None,
                    [b'\n', ..] => Some((1, Next::ChunkSize)),
                    _ => Some((0, Next::ChunkSize)),
                }
            }
            Next::Chunk(left) => {
                let part = part(left);
                self.body(input, part, out);
                Some((part.len(), Next::Chunk(left - part.len() as u64)))
            }
            Next::Trailer => {
                let (trailer, after) = line(rest)?;
                let used = rest.len() - after.len();
                if trailer.is_empty() {
                    self.end_of_ipp(input, out);
                    self.end_of_body(input.side, out);
                    return Some((used, Next::Start));
                }
                Some((used, Next::Trailer))
            }
        }
    }

    /// Bytes that start no message.
    fn lost(&mut self, input: &Input<'_>, rest: &[u8], out: &mut Out) -> (usize, Next) {
        if std::mem::take(&mut self.direction(input.side).synchronised) && !self.tunnel {
            self.violation(input, "http-start-line", rest, out);
        }
        (rest.len(), Next::Start)
    }
}

fn claim(
    input: &Input<'_>,
    (attribute, message, confidence): (&'static str, &'static str, Confidence),
    raw: &[u8],
    out: &mut Out,
) {
    let raw = raw.get(..raw.len().min(512)).unwrap_or(raw);
    out.claim(Claim {
        who: Who::Sender(Child::None),
        attribute,
        value: text::utf8(raw),
        protocol: NAME,
        message,
        confidence,
        evidence: input.evidence(raw, Decode::Utf8),
    });
}

impl Session for Http {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            let direction = self.direction(input.side);
            direction.synchronised = false;
            direction.xml = None;
            direction.ipp = None;
            if direction.next != Next::UntilClose {
                direction.next = Next::Start;
            }
        }
        let (mut used, mut understood) = (0, false);
        while !self.tunnel
            && let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            let next = self.direction(input.side).next;
            let Some((length, following)) = self.step(input, rest, next, out) else { break };
            let direction = self.direction(input.side);
            direction.next = following;
            understood |= direction.synchronised && length > 0;
            used += length;
        }
        if understood {
            out.layer(NAME, input.side);
        }
        if self.tunnel { input.bytes.len() } else { used }
    }

    fn finish(&mut self, out: &mut Out) {
        for side in [Side::A, Side::B] {
            if self.direction(side).next == Next::UntilClose {
                self.end_of_body(side, out);
            }
        }
        for request in self.pending.drain() {
            out.operation(request.operation);
        }
        self.ipp.finish(out);
    }

    fn stream_cap(&self) -> usize {
        HEADER_CAP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, claims, operations};

    const GET: &[u8] =
        b"GET /status.xml?user=me HTTP/1.1\r\nHost: a\r\nUser-Agent: probe/1\r\n\r\n";
    const FOUND: &[u8] =
        b"HTTP/1.1 200 OK\r\nServer: box/2\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n<a/>";

    #[test]
    fn a_request_and_its_response_are_one_operation() {
        let items = testing::items(&PROTOCOL, &[(Side::A, GET), (Side::B, FOUND)]);
        assert_eq!(vec![("get", "/status.xml".into(), Outcome::Ok)], operations(&items));
        assert_eq!(
            vec![("user_agent", "probe/1".into()), ("server_banner", "box/2".into())],
            claims(&items)
        );
        assert!(items.iter().any(|item| matches!(item, Item::Payload(payload)
            if payload.bytes == b"<a/>")));
    }

    #[test]
    fn bodies_are_skipped_and_pipelined_requests_keep_their_order() {
        let requests = b"POST /a HTTP/1.1\r\nContent-Length: 19\r\n\r\nGET /no HTTP/1.1\r\n\r\
            GET /b HTTP/1.1\r\n\r\n";
        let responses = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\
            Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n\
            HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        let items = testing::items(&PROTOCOL, &[(Side::A, requests), (Side::B, responses)]);
        assert_eq!(
            vec![("post", "/a".into(), Outcome::Ok), ("get", "/b".into(), Outcome::Error)],
            operations(&items)
        );
        assert!(!items.iter().any(|item| matches!(item, Item::Violation(_))));
    }

    #[test]
    fn basic_authentication_tells_the_user_and_never_the_password() {
        // operator:secret
        let request = b"GET / HTTP/1.0\r\nAuthorization: Basic b3BlcmF0b3I6c2VjcmV0\r\n\r\n";
        let refusal = b"HTTP/1.0 401 No\r\nWWW-Authenticate: Basic realm=\"PLC\"\r\n\r\n";
        let items = testing::items(&PROTOCOL, &[(Side::A, request), (Side::B, refusal)]);
        let events: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Event(event) => Some((event.kind, event.values.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![
                (
                    "cleartext-credentials",
                    vec![("scheme", "basic".into()), ("user", "operator".into())]
                ),
                ("login-failed", vec![("user", "operator".into())]),
            ],
            events
        );
        assert!(claims(&items).contains(&("http_realm", "PLC".into())));
    }

    #[test]
    fn a_tunnel_is_not_read() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, b"CONNECT a.example:443 HTTP/1.1\r\n\r\n"),
                (Side::B, b"HTTP/1.1 200 Connection established\r\n\r\n"),
                (Side::A, b"\x16\x03\x01\x00\x05hello"),
            ],
        );
        assert_eq!(vec![("connect", "a.example:443".into(), Outcome::Ok)], operations(&items));
        assert!(!items.iter().any(|item| matches!(item, Item::Violation(_))));
    }

    #[test]
    fn the_probe_knows_start_lines() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, GET)));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::B, FOUND)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, b"GET /long")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"OPTIONS * RTSP/1.0\r\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"\x03\x00\x00\x16\x11\xe0")));
    }

    fn ipp_body(code: u16, groups: &[u8]) -> Vec<u8> {
        [&[2, 0][..], &code.to_be_bytes(), &[0, 0, 0, 7], groups, &[3]].concat()
    }

    fn attribute(name: &str, value: &str) -> Vec<u8> {
        let text = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
        [vec![0x41], text(name), text(value)].concat()
    }

    fn printing() -> [Vec<u8>; 2] {
        let asked = [vec![1], attribute("printer-uri", "ipp://192.0.2.2/print")].concat();
        let asked = ipp_body(0x000b, &asked);
        let told = [vec![4], attribute("printer-make-and-model", "Labeler 7")].concat();
        let told = ipp_body(0, &told);
        let request = format!(
            "POST /print HTTP/1.1\r\nContent-Type: application/ipp\r\nContent-Length: {}\r\n\r\n",
            asked.len()
        );
        let response = "HTTP/1.1 200 OK\r\nContent-Type: application/ipp\r\n\
            Transfer-Encoding: chunked\r\n\r\n5\r\n";
        let rest = format!("\r\n{:x}\r\n", told.len() - 5);
        let (first, second) = told.split_at(5);
        [
            [request.as_bytes(), &asked].concat(),
            [response.as_bytes(), first, rest.as_bytes(), second, b"\r\n0\r\n\r\n"].concat(),
        ]
    }

    #[test]
    fn a_printer_tells_its_model_in_a_body() {
        let [asked, told] = printing();
        let items = testing::items(&PROTOCOL, &[(Side::A, &asked), (Side::B, &told)]);
        assert!(testing::claims(&items).contains(&("model", "Labeler 7".to_owned())));
        assert!(testing::coded_operations(&items).contains(&(
            "get-printer-attributes",
            Some(0x000b),
            "ipp://192.0.2.2/print".to_owned(),
            Outcome::Ok
        )));
        testing::survives(&PROTOCOL, &[(Side::A, &asked), (Side::B, &told)]);
    }

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(
            &PROTOCOL,
            &[
                (Side::A, GET),
                (Side::B, FOUND),
                (
                    Side::A,
                    b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                ),
                (Side::B, b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n\r\n<root/>"),
            ],
        );
    }
}
