//! HTTP/1.x, found on any port.
//!
//! Sources: RFC 9112 §2-§3 (start lines), §5 (fields), §6 (body length: chunked, Content-Length,
//! until close), §7.1 (chunks); RFC 9110 §9.3 (methods), §15 (status); RFC 7617 (Basic: base64 of
//! `user:password`); RFC 4918, RFC 3253, RFC 5789 (further methods).
//!
//! A request is an operation named by its method on the path without query. Bodies are skipped
//! without being kept, except XML of at most 64 KiB, which is handed on (device descriptions).
//! After CONNECT or a change of protocol the rest of the connection is not read. HTTP/2 and bodies
//! that are compressed are not decoded.
//!
//! Violations: `http-start-line` (a message that starts with something else, once a flow),
//! `http-content-length` (not a number), `http-chunk` (a chunk without size).

use compact_str::CompactString;

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Event, Item, Object, Operation, Out, Outcome,
    Payload, Violation, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// HTTP/1.x.
pub const PROTOCOL: Protocol = Protocol {
    name: "http",
    title: "HTTP",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[80, 8080, 8000, 8888, 3128])],
    probe,
    session: || Box::new(Http::default()),
    source: "RFC 9110, RFC 9112",
};

/// Most bytes of a start line and its fields.
const HEAD_BYTES: usize = 32 * 1024;
/// Most bytes of an XML body that is kept.
const XML_BYTES: usize = 64 * 1024;
/// Longest method known.
const METHOD_BYTES: usize = 20;
/// Longest object text.
const PATH_BYTES: usize = 512;

/// Methods on the wire, their operation names and classes (IANA, HTTP Method Registry; `M-SEARCH`
/// and `NOTIFY` of UPnP, `SUBSCRIBE` of GENA).
const METHODS: &[(&str, &str, Action)] = &[
    ("GET", "get", Action::Read),
    ("HEAD", "head", Action::Read),
    ("OPTIONS", "options", Action::Read),
    ("TRACE", "trace", Action::Diagnostics),
    ("POST", "post", Action::Write),
    ("PUT", "put", Action::Write),
    ("PATCH", "patch", Action::Write),
    ("DELETE", "delete", Action::Write),
    ("CONNECT", "connect", Action::Session),
    ("PROPFIND", "propfind", Action::Read),
    ("PROPPATCH", "proppatch", Action::Write),
    ("MKCOL", "mkcol", Action::Write),
    ("COPY", "copy", Action::Write),
    ("MOVE", "move", Action::Write),
    ("LOCK", "lock", Action::Write),
    ("UNLOCK", "unlock", Action::Write),
    ("SEARCH", "search", Action::Read),
    ("REPORT", "report", Action::Read),
    ("SUBSCRIBE", "subscribe", Action::Subscribe),
    ("UNSUBSCRIBE", "unsubscribe", Action::Subscribe),
    ("NOTIFY", "notify", Action::Write),
    ("M-SEARCH", "m-search", Action::Read),
    ("VERSION-CONTROL", "version-control", Action::Write),
    ("CHECKOUT", "checkout", Action::Write),
    ("CHECKIN", "checkin", Action::Write),
    ("UNCHECKOUT", "uncheckout", Action::Write),
    ("MKWORKSPACE", "mkworkspace", Action::Write),
    ("UPDATE", "update", Action::Write),
    ("LABEL", "label", Action::Write),
    ("MERGE", "merge", Action::Write),
    ("BASELINE-CONTROL", "baseline-control", Action::Write),
    ("MKACTIVITY", "mkactivity", Action::Write),
    ("ORDERPATCH", "orderpatch", Action::Write),
    ("ACL", "acl", Action::Write),
    ("BIND", "bind", Action::Write),
    ("UNBIND", "unbind", Action::Write),
    ("REBIND", "rebind", Action::Write),
    ("LINK", "link", Action::Write),
    ("UNLINK", "unlink", Action::Write),
    ("MKCALENDAR", "mkcalendar", Action::Write),
    ("QUERY", "query", Action::Read),
    ("PURGE", "purge", Action::Write),
    ("RPC_IN_DATA", "rpc-in-data", Action::Write),
    ("RPC_OUT_DATA", "rpc-out-data", Action::Read),
];

/// The field lines of a message head: (name, value) without blanks around the value.
pub(crate) fn fields(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let (name, value) = line.split_at(memchr::memchr(b':', line)?);
        Some((text::trim(name), text::trim(value.get(1..)?)))
    })
}

/// The value of the first field with this name.
pub(crate) fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    fields(head)
        .find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value)
}

/// The first line without its end, and the bytes up to and with the empty line that ends a head.
/// Nothing while the empty line is not there; bare LF ends lines too (RFC 9112 §2.2).
fn head(bytes: &[u8]) -> Option<&[u8]> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr(b'\n', bytes.get(from..)?)?;
        let length = match bytes.get(at + 1..)? {
            [b'\n', ..] => at + 2,
            [b'\r', b'\n', ..] => at + 3,
            _ => {
                from = at + 1;
                continue;
            }
        };
        return bytes.get(..length);
    }
}

fn first_line(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    text::trim(bytes.get(..end).unwrap_or_default())
}

/// What the bytes at a message start are.
enum Start<'a> {
    Request { method: &'a [u8], target: &'a [u8] },
    Status(u16),
    More,
    No,
}

/// Whether `bytes` may start an HTTP/1.x message; decided by the first line alone.
fn start(bytes: &[u8]) -> Start<'_> {
    const VERSION: &[u8] = b"HTTP/1.";
    let line_end = memchr::memchr(b'\n', bytes);
    let common = bytes.len().min(VERSION.len());
    if bytes.get(..common) == VERSION.get(..common) {
        let Some(line_end) = line_end else {
            return if bytes.len() < 64 { Start::More } else { Start::No };
        };
        let digits = bytes.get(9..12).filter(|_| bytes.get(8) == Some(&b' ') && line_end >= 12);
        let status = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_digit))
            .map(|digits| digits.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0')));
        return status.map_or(Start::No, Start::Status);
    }
    let is_token = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    let method_length = bytes.iter().position(|byte| !is_token(byte));
    let method_length = match method_length {
        Some(length) if (2..=METHOD_BYTES).contains(&length) => length,
        None if bytes.len() <= METHOD_BYTES => return Start::More,
        _ => return Start::No,
    };
    let (method, rest) = bytes.split_at(method_length);
    let Some((b' ', rest)) = rest.split_first() else { return Start::No };
    match (rest.first(), line_end) {
        (None, _) => return Start::More,
        (Some(first), _) if !first.is_ascii_graphic() => return Start::No,
        (_, None) if bytes.len() >= HEAD_BYTES => return Start::No,
        // Binary bytes cannot be in a target.
        (_, None) if rest.iter().any(|byte| *byte < b' ' && *byte != b'\r') => return Start::No,
        (_, None) => return Start::More,
        _ => {}
    }
    let line = first_line(bytes);
    let tail = line.len().checked_sub(VERSION.len() + 2).and_then(|at| line.get(at..));
    let Some([b' ', version @ .., _]) = tail else { return Start::No };
    if version != VERSION {
        return Start::No;
    }
    let target = line.get(method_length + 1..line.len() - VERSION.len() - 2).unwrap_or_default();
    Start::Request { method, target }
}

fn probe(input: &Input<'_>) -> Probe {
    match start(input.bytes) {
        Start::Request { method, .. } if METHODS.iter().any(|row| row.0.as_bytes() == method) => {
            Probe::Certain
        }
        Start::Request { .. } => Probe::Likely,
        Start::Status(_) => Probe::Certain,
        Start::More => Probe::More,
        Start::No => Probe::No,
    }
}

/// The path of a request target: no query, no scheme and host, no more than a bound.
fn path(target: &[u8]) -> CompactString {
    let end = memchr::memchr2(b'?', b'#', target).unwrap_or(target.len());
    let target = target.get(..end).unwrap_or_default();
    let path = match memchr::memmem::find(target, b"://") {
        Some(at) => {
            let rest = target.get(at + 3..).unwrap_or_default();
            memchr::memchr(b'/', rest).map_or(b"/".as_slice(), |at| rest.get(at..).unwrap_or(rest))
        }
        None => target,
    };
    text::utf8(path.get(..path.len().min(PATH_BYTES)).unwrap_or_default())
}

/// What follows in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// A message.
    #[default]
    Start,
    /// So many body bytes.
    Body(u64),
    /// An XML body of so many bytes that is kept.
    Xml(usize),
    /// A chunk's size line.
    ChunkSize,
    /// So many bytes of a chunk and its line end.
    Chunk(u64),
    /// The fields after the last chunk.
    Trailer,
    /// A body that ends with the connection, another protocol, or bytes that could not be followed.
    Rest,
}

struct Http {
    states: [State; 2],
    pending: Pending<(), (Operation, bool)>,
    client: Option<Side>,
    violated: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self { states: [State::Start; 2], pending: Pending::new(64), client: None, violated: false }
    }
}

impl Http {
    fn state(&mut self, side: Side) -> &mut State {
        let [a, b] = &mut self.states;
        if side == Side::A { a } else { b }
    }

    /// One step; how many bytes it used, nothing when it needs more.
    fn step(&mut self, input: &Input<'_>, bytes: &[u8], out: &mut Out) -> Option<usize> {
        let (used, next) = match *self.state(input.side) {
            State::Start => return self.start(input, bytes, out),
            State::Rest => (bytes.len(), State::Rest),
            State::Body(left) => {
                let used = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - used as u64;
                (used, if left == 0 { State::Start } else { State::Body(left) })
            }
            State::Xml(length) => {
                let body = bytes.get(..length)?;
                out.push(Item::Payload(Payload {
                    protocol: PROTOCOL.name,
                    kind: "http-body",
                    sender: input.side,
                    bytes: body.to_vec(),
                    evidence: input.locate(body),
                }));
                (length, State::Start)
            }
            State::ChunkSize => {
                let end = memchr::memchr(b'\n', bytes);
                if end.is_none() && bytes.len() < 1024 {
                    return None;
                }
                let line = bytes.get(..end.unwrap_or(0)).unwrap_or_default();
                let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                let digits = line.get(..digits).and_then(|hex| std::str::from_utf8(hex).ok());
                match digits.and_then(|hex| u64::from_str_radix(hex, 16).ok()) {
                    Some(0) => (line.len() + 1, State::Trailer),
                    Some(size) => (line.len() + 1, State::Chunk(size.saturating_add(2))),
                    None => {
                        self.violation(input, "http-chunk", line, out);
                        (bytes.len(), State::Rest)
                    }
                }
            }
            State::Chunk(left) => {
                let used = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - used as u64;
                (used, if left == 0 { State::ChunkSize } else { State::Chunk(left) })
            }
            State::Trailer => {
                let used = memchr::memchr(b'\n', bytes)? + 1;
                let is_last = used <= 2;
                (used, if is_last { State::Start } else { State::Trailer })
            }
        };
        *self.state(input.side) = next;
        Some(used)
    }

    fn violation(&mut self, input: &Input<'_>, rule: &'static str, part: &[u8], out: &mut Out) {
        if !std::mem::replace(&mut self.violated, true) {
            out.push(Item::Violation(Violation {
                rule,
                protocol: PROTOCOL.name,
                sender: input.side,
                values: Vec::new(),
                evidence: input.locate(part.get(..part.len().min(64)).unwrap_or_default()),
            }));
        }
    }

    fn start(&mut self, input: &Input<'_>, bytes: &[u8], out: &mut Out) -> Option<usize> {
        // Empty lines before a message are tolerated (RFC 9112 §2.2).
        match bytes {
            [b'\r'] => return None,
            [b'\r', b'\n', ..] => return Some(2),
            _ => {}
        }
        let message = start(bytes);
        match message {
            Start::More => return None,
            Start::No => {
                // Mid-stream these are the rest of a body; a later segment may start a message.
                if input.stream_start {
                    let line = first_line(bytes.get(..bytes.len().min(64)).unwrap_or_default());
                    self.violation(input, "http-start-line", line, out);
                }
                return Some(bytes.len());
            }
            Start::Request { .. } | Start::Status(_) => {}
        }
        let Some(head) = head(bytes) else {
            if bytes.len() > HEAD_BYTES {
                *self.state(input.side) = State::Rest;
                return Some(bytes.len());
            }
            return None;
        };
        match message {
            Start::Request { method, target } => self.request(input, head, method, target, out),
            Start::Status(status) => self.status(input, head, status, out),
            Start::More | Start::No => {}
        }
        Some(head.len())
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        head: &[u8],
        method: &[u8],
        target: &[u8],
        out: &mut Out,
    ) {
        if self.client.is_none() {
            self.client = Some(input.side);
            out.push(Item::Client(input.side));
        }
        let (name, action) = METHODS
            .iter()
            .find(|row| row.0.as_bytes() == method)
            .map_or(("unknown", Action::Write), |row| (row.1, row.2));
        let object = if name == "connect" { text::utf8(target) } else { path(target) };
        let operation = describe(input, name, action, object, input.side, first_line(head));
        if let Some((evicted, _)) = self.pending.insert((), (operation, name == "head")) {
            out.operation(evicted);
        }
        if let Some(agent) = field(head, "user-agent") {
            claim(input, "user_agent", "request", agent, out);
        }
        if let Some(user) = field(head, "authorization").and_then(basic_user) {
            out.push(Item::Event(Event {
                kind: "cleartext-credentials",
                protocol: PROTOCOL.name,
                sender: input.side,
                values: vec![("user", user)],
                evidence: input.locate(first_line(head)),
            }));
        }
        let upgrades = name == "connect";
        *self.state(input.side) =
            if upgrades { State::Rest } else { self.body(input, head, false, out) };
    }

    fn status(&mut self, input: &Input<'_>, head: &[u8], status: u16, out: &mut Out) {
        let asker = input.side.other();
        if let Some(server) = field(head, "server") {
            claim(input, "server_banner", "response", server, out);
        }
        // 1xx are interim (RFC 9110 §15.2), except the change of protocol.
        if (100..200).contains(&status) && status != 101 {
            return;
        }
        let outcome = if status < 400 { Outcome::Ok } else { Outcome::Error };
        let (mut to_head, mut to_connect) = (false, false);
        if let Some((mut operation, is_head)) = self.pending.take(&()) {
            to_head = is_head;
            to_connect = operation.name == "connect";
            operation.outcome = outcome;
            out.operation(operation);
        } else {
            if self.client.is_none() {
                self.client = Some(asker);
                out.push(Item::Client(asker));
            }
            let line = first_line(head);
            let mut operation =
                describe(input, "unknown", Action::Read, CompactString::default(), asker, line);
            operation.object = Object::None;
            operation.outcome = outcome;
            out.unpaired(operation);
        }
        if status == 101 || (to_connect && outcome == Outcome::Ok) {
            out.push(Item::NotDecoded(PROTOCOL.name, "other-protocol"));
            self.states = [State::Rest; 2];
            return;
        }
        if to_connect {
            // Refused: the client may send further requests.
            *self.state(asker) = State::Start;
        }
        let empty = to_head || matches!(status, 204 | 304);
        *self.state(input.side) =
            if empty { State::Start } else { self.body(input, head, true, out) };
    }

    /// How the body is delimited (RFC 9112 §6.3).
    fn body(&mut self, input: &Input<'_>, head: &[u8], is_response: bool, out: &mut Out) -> State {
        let ends_with = |value: &[u8], word: &[u8]| {
            value
                .len()
                .checked_sub(word.len())
                .and_then(|at| value.get(at..))
                .is_some_and(|tail| tail.eq_ignore_ascii_case(word))
        };
        if field(head, "transfer-encoding").is_some_and(|value| ends_with(value, b"chunked")) {
            return State::ChunkSize;
        }
        let Some(value) = field(head, "content-length") else {
            return if is_response { State::Rest } else { State::Start };
        };
        let length = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
        let Some(length) = length else {
            self.violation(input, "http-content-length", value, out);
            return State::Rest;
        };
        let is_xml = field(head, "content-type").is_some_and(|kind| {
            memchr::memmem::find(kind, b"/xml").or(memchr::memmem::find(kind, b"+xml")).is_some()
        }) && field(head, "content-encoding").is_none();
        match usize::try_from(length) {
            Ok(0) => State::Start,
            Ok(length) if is_xml && length <= XML_BYTES => State::Xml(length),
            _ => State::Body(length),
        }
    }
}

fn describe(
    input: &Input<'_>,
    name: &'static str,
    action: Action,
    object: CompactString,
    sender: Side,
    line: &[u8],
) -> Operation {
    Operation {
        protocol: PROTOCOL.name,
        connection: PROTOCOL.name,
        sender,
        code: None,
        name,
        action,
        object: Object::Text(object),
        outcome: Outcome::Unseen,
        client_child: Child::None,
        server_child: Child::None,
        evidence: input.locate(line),
        ts_ns: input.ts_ns,
    }
}

fn claim(
    input: &Input<'_>,
    attribute: &'static str,
    message: &'static str,
    value: &[u8],
    out: &mut Out,
) {
    out.claim(Claim {
        who: Who::Sender(Child::None),
        attribute,
        value: text::utf8(value),
        protocol: PROTOCOL.name,
        message,
        confidence: Confidence::Medium,
        evidence: input.evidence(value, Decode::Utf8),
    });
}

/// The user of a Basic authorization; the password is never decoded into anything kept.
fn basic_user(value: &[u8]) -> Option<CompactString> {
    let (scheme, rest) = value.split_first_chunk::<6>()?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text::trim(rest).iter().take(512) {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            let letter = (bits >> count) as u8;
            if letter == b':' {
                return Some(text::utf8(&user));
            }
            user.push(letter);
        }
    }
    None
}

impl Session for Http {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *self.state(input.side) = State::Start;
        }
        let mut used = 0;
        while let Some(bytes) = input.bytes.get(used..).filter(|bytes| !bytes.is_empty()) {
            match self.step(input, bytes, out) {
                Some(step) if step > 0 => used += step,
                _ => break,
            }
        }
        if used > 0 {
            out.layer(PROTOCOL.name, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for (operation, _) in self.pending.drain() {
            out.operation(operation);
        }
    }

    fn stream_cap(&self) -> usize {
        XML_BYTES + HEAD_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const GET: &[u8] =
        b"GET /status.cgi?session=1 HTTP/1.1\r\nHost: plc\r\nUser-Agent: Panel/2.1\r\n\
        Authorization: Basic b3BlcmF0b3I6c2VjcmV0\r\n\r\n";
    const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: GoAhead/2.5\r\nContent-Type: text/xml\r\n\
        Content-Length: 4\r\n\r\n<a/>";
    const POST: &[u8] = b"POST /set HTTP/1.0\r\nContent-Length: 3\r\n\r\na=1";
    const REFUSED: &[u8] = b"HTTP/1.0 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n0\r\nX: y\r\n\r\n";
    const TALK: &[(Side, &[u8])] =
        &[(Side::A, GET), (Side::B, PAGE), (Side::A, POST), (Side::B, REFUSED)];

    #[test]
    fn requests_pair_with_responses_in_order() {
        let items = testing::items(&PROTOCOL, TALK);
        let operations: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(o) => Some((o.name, o.object.to_text(), o.action, o.outcome)),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![
                ("get", "/status.cgi".into(), Action::Read, Outcome::Ok),
                ("post", "/set".into(), Action::Write, Outcome::Error)
            ],
            operations
        );
        assert!(items.contains(&Item::Client(Side::A)));
        assert!(!items.iter().any(|item| matches!(item, Item::Violation(_))));
        testing::survives(&PROTOCOL, TALK);
    }

    #[test]
    fn both_ends_tell_their_software_and_xml_is_handed_on() {
        let items = testing::items(&PROTOCOL, TALK);
        let claims: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Claim(c) => Some((c.attribute, c.value.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(vec![("user_agent", "Panel/2.1"), ("server_banner", "GoAhead/2.5")], claims);
        assert!(items.iter().any(|i| matches!(i, Item::Payload(p) if p.bytes == b"<a/>")));
    }

    #[test]
    fn of_basic_credentials_only_the_user_is_told() {
        let items = testing::items(&PROTOCOL, TALK);
        assert!(items.iter().any(|item| matches!(item, Item::Event(event)
            if event.kind == "cleartext-credentials"
            && event.values == [("user", "operator".into())])));
        assert!(!format!("{items:?}").contains("secret"));
    }

    #[test]
    fn after_connect_nothing_more_is_read() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, b"CONNECT hmi:502 HTTP/1.1\r\n\r\n"),
                (Side::B, b"HTTP/1.1 200 Connection established\r\n\r\n"),
                (Side::A, b"GET / HTTP/1.1\r\n\r\n"),
            ],
        );
        let operations = items.iter().filter(|item| matches!(item, Item::Operation(_))).count();
        assert_eq!(1, operations);
        assert!(items.contains(&Item::NotDecoded("http", "other-protocol")));
    }

    #[test]
    fn the_first_line_makes_it_certain() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, GET)));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::B, PAGE)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, b"GE")));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, b"GET /a")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"USER plant\r\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"OPTIONS * RTSP/1.0\r\n\r\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"\x16\x03\x01\x00\x05")));
    }
}
