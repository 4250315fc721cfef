//! OPC UA in its binary form over TCP: who serves what, and who reads, writes and calls it.
//!
//! Sources: OPC 10000-6 §5.2 (binary encoding), §6.7 (secure conversation), §7.1 (connection
//! protocol), annex A (ids of encodings); OPC 10000-4 §5 (services), §7 (their types);
//! OPC 10000-5 §12.4, §12.10 (BuildInfo, ServerStatus) and its node ids.
//!
//! The code of an operation is the request's node id in OPC UA's own namespace. Hello and
//! acknowledge have no node id: they are `opc-ua-transport`. A service is refused when its result
//! is bad, or all results of a read, a write or a call are.
//!
//! Rules broken on the wire:
//! * `opc-ua-header`: bytes inside a session are no message, or its size leaves no room for its
//!   header.
//!
//! Not decoded: encrypted messages (said so), XML encodings, fields of events and of
//! notifications, history, results of a browse, passwords (never stored).

mod binary;
mod services;

use compact_str::{CompactString, format_compact};
use otic_wire::SpanMap;

use self::binary::{Reader, Variant};
use self::services::Target;
use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Event, Evidence, Item, Object, Operation,
    Out, Outcome, Payload, Value, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// OPC UA over TCP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "OPC UA",
    roles: ("OPC UA client", "OPC UA server"),
    carriers: &[Carrier::Tcp(&[4840])],
    dissector: Dissector::Built { probe, session: || Box::new(OpcUa::new()) },
    source: "OPC 10000-4, OPC 10000-5, OPC 10000-6",
};

const NAME: &str = "opc-ua";
const TRANSPORT: &str = "opc-ua-transport";

/// Length of a message header.
const HEADER: usize = 8;
/// Largest message that is believed (limits are agreed on per connection; servers keep below).
const LARGEST: u32 = 1 << 24;
/// Most bytes of one chunk, and of a message over several.
const CHUNK_CAP: usize = 128 * 1024;
const MESSAGE_CAP: usize = 256 * 1024;
/// Requests of one flow that may wait at once: a client may have many publishes out.
const WAITING: usize = 128;
/// Values remembered to tell the old value of a write.
const REMEMBERED: usize = 64;
/// Certificates told of one flow, and the longest.
const CERTIFICATES: u8 = 8;
const CERTIFICATE_CAP: usize = 64 * 1024;

/// Nodes of the server's own description (OPC 10000-6 annex A, NodeIds).
const SERVER_STATUS: u32 = 2256;
const BUILD_INFO: u32 = 2260;
/// Ids of the binary encodings of ServerStatusDataType and BuildInfo.
const SERVER_STATUS_ENCODING: u32 = 864;
const BUILD_INFO_ENCODING: u32 = 340;

/// Status codes that refuse a user (OPC 10000-6 annex A, StatusCode).
const REFUSED_USER: [u32; 3] = [0x801f_0000, 0x8020_0000, 0x8021_0000];

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hello,
    Acknowledge,
    Error,
    ReverseHello,
    Open,
    Close,
    Message,
}

/// What stands at the front of a stream.
enum Front<'a> {
    /// A whole message or chunk: its type, `F`, `C` or `A`, and what follows the header.
    Chunk(Kind, u8, &'a [u8]),
    Incomplete,
    Broken,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else {
        let fits = bytes.is_empty()
            || KINDS.iter().any(|(name, _)| {
                let length = bytes.len().min(3);
                name.get(..length) == bytes.get(..length)
            });
        return if fits { Front::Incomplete } else { Front::Broken };
    };
    let [a, b, c, chunk, size @ ..] = *header;
    let size = u32::from_le_bytes(size);
    let Some((_, kind)) = KINDS.iter().find(|(name, _)| **name == [a, b, c]) else {
        return Front::Broken;
    };
    let chunked = matches!(kind, Kind::Open | Kind::Close | Kind::Message);
    if !(chunk == b'F' || chunked && matches!(chunk, b'C' | b'A'))
        || !(HEADER as u32..=LARGEST).contains(&size)
    {
        return Front::Broken;
    }
    match bytes.get(HEADER..size as usize) {
        Some(rest) => Front::Chunk(*kind, chunk, rest),
        None => Front::Incomplete,
    }
}

const KINDS: [(&[u8; 3], Kind); 7] = [
    (b"HEL", Kind::Hello),
    (b"ACK", Kind::Acknowledge),
    (b"ERR", Kind::Error),
    (b"RHE", Kind::ReverseHello),
    (b"OPN", Kind::Open),
    (b"CLO", Kind::Close),
    (b"MSG", Kind::Message),
];

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Broken => Probe::No,
        Front::Incomplete if input.bytes.len() < HEADER => Probe::More,
        _ => Probe::Certain,
    }
}

/// What must be known of a request when its response comes.
enum Detail {
    Nothing,
    Read(Vec<Target>),
    Write(Vec<(Target, Value, Evidence)>),
    LogIn(CompactString),
}

struct Request {
    operation: Box<Operation>,
    detail: Detail,
}

/// The chunks of a message of one side.
#[derive(Default)]
struct Join {
    bytes: Vec<u8>,
    spans: SpanMap,
    overflow: bool,
}

/// What is known of one side's stream.
#[derive(Default)]
struct Direction {
    join: Join,
    /// A message was read where it had to begin.
    synchronised: bool,
}

struct OpcUa {
    client: Option<Side>,
    directions: [Direction; 2],
    hello: Option<Box<Operation>>,
    /// Requests by request id.
    pending: Pending<u32, Request>,
    /// Values last read or written, oldest first.
    values: Vec<(CompactString, Value)>,
    certificates: u8,
    endpoints_told: bool,
    encrypted_said: bool,
    reported: bool,
}

impl OpcUa {
    fn new() -> Self {
        Self {
            client: None,
            directions: Default::default(),
            hello: None,
            pending: Pending::new(WAITING),
            values: Vec::new(),
            certificates: 0,
            endpoints_told: false,
            encrypted_said: false,
            reported: false,
        }
    }

    const fn direction(&mut self, side: Side) -> &mut Direction {
        side.of(&mut self.directions)
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if self.client.is_none() {
            self.client = Some(side);
            out.push(Item::Client(side));
        }
    }

    fn chunk(&mut self, input: &Input<'_>, kind: Kind, chunk: u8, data: &[u8], out: &mut Out) {
        match kind {
            Kind::Hello => self.hello(input, data, out),
            Kind::Acknowledge => self.hello_answered(Outcome::Ok, out),
            Kind::Error => {
                self.hello_answered(Outcome::Error, out);
                if let Some(status) = data.get(..4) {
                    let code =
                        status.iter().rev().fold(0u32, |code, byte| code << 8 | u32::from(*byte));
                    out.push(Item::Event(Event {
                        kind: "opc-ua-error",
                        protocol: NAME,
                        sender: input.side,
                        values: vec![("status", format_compact!("0x{code:08x}"))],
                        evidence: input.locate(status),
                    }));
                }
            }
            // The server asks a client to connect.
            Kind::ReverseHello => {
                if let Some(uri) = Reader::new(data).string() {
                    self.say_client(input.side.other(), out);
                    out.claim(input.own_text((NAME, "reverse-hello"), "application_uri", uri));
                }
            }
            Kind::Open | Kind::Close | Kind::Message => {
                self.secured(input, kind, chunk, data, out);
            }
        }
    }

    fn hello(&mut self, input: &Input<'_>, data: &[u8], out: &mut Out) {
        self.say_client(input.side, out);
        let mut reader = Reader::new(data);
        // version, two buffer sizes, largest message, most chunks
        let url = reader.skip(20).and_then(|()| reader.string()).unwrap_or_default();
        out.claim(Claim {
            who: Who::Receiver(Child::None),
            attribute: "endpoint_url",
            value: text::utf8(url),
            protocol: NAME,
            message: "hello",
            confidence: Confidence::Medium,
            evidence: input.evidence(url, Decode::Utf8),
        });
        let mut operation = describe(input, input.side, ("hello", Action::Session), data);
        operation.protocol = TRANSPORT;
        if let Some(before) = self.hello.replace(operation) {
            out.operation(before);
        }
    }

    fn hello_answered(&mut self, outcome: Outcome, out: &mut Out) {
        if let Some(mut hello) = self.hello.take() {
            hello.outcome = outcome;
            out.operation(hello);
        }
    }

    /// A chunk of the secure conversation (OPC 10000-6 §6.7.2): security header, sequence header,
    /// body.
    fn secured(&mut self, input: &Input<'_>, kind: Kind, chunk: u8, data: &[u8], out: &mut Out) {
        let mut reader = Reader::new(data);
        let mut policy = None;
        let read = || {
            // secure channel
            reader.skip(4)?;
            if kind == Kind::Open {
                policy = Some((reader.string()?, reader.string()?));
                reader.string()?;
            } else {
                // token
                reader.skip(4)?;
            }
            // sequence number
            reader.skip(4)?;
            reader.u32()
        };
        let Some(request) = { read }() else {
            self.violation(input, data, out);
            return;
        };
        let body = reader.cursor.rest();
        if let Some((uri, certificate)) = policy {
            self.certificate(input, certificate, out);
            if services::policy(uri) != "None" {
                self.open_encrypted(input, request, uri, out);
                return;
            }
        }
        let join = &mut self.direction(input.side).join;
        match chunk {
            b'F' if join.bytes.is_empty() && !join.overflow => {
                self.body(input, request, body, policy.map(|(uri, _)| uri), out);
            }
            b'A' => {
                *join = Join::default();
                if self.client != Some(input.side)
                    && let Some(request) = self.pending.take(&request)
                {
                    self.complete(request, Outcome::Error, &[], out);
                }
            }
            _ => {
                if join.bytes.len() + body.len() > MESSAGE_CAP {
                    *join = Join { overflow: true, ..Join::default() };
                } else if !join.overflow {
                    join.bytes.extend_from_slice(body);
                    for span in input.locate(body) {
                        join.spans.push(span);
                    }
                }
                if chunk == b'F' {
                    let whole = std::mem::take(join);
                    if !whole.overflow {
                        let input = input.with_bytes(&whole.bytes, &whole.spans);
                        self.body(&input, request, &whole.bytes, None, out);
                    }
                }
            }
        }
    }

    /// A channel that is opened under a policy: the body is encrypted, but what it is, is not.
    fn open_encrypted(&mut self, input: &Input<'_>, request: u32, uri: &[u8], out: &mut Out) {
        self.encrypted(out);
        let Some(client) = self.client else { return };
        if client == input.side {
            self.channel(input, uri, None, out);
            let words = ("open-secure-channel", Action::Session);
            let mut operation = describe(input, client, words, uri);
            operation.code = Some(services::OPEN_SECURE_CHANNEL);
            self.wait(request, Request { operation, detail: Detail::Nothing }, out);
        } else if let Some(waiting) = self.pending.take(&request) {
            self.complete(waiting, Outcome::Ok, &[], out);
        }
    }

    /// Says how a channel is protected.
    fn channel(&self, input: &Input<'_>, uri: &[u8], mode: Option<u32>, out: &mut Out) {
        let mut values = vec![("policy", services::policy(uri))];
        if let Some(mode) = mode {
            values.insert(0, ("mode", services::mode(mode).into()));
        }
        out.push(Item::Event(Event {
            kind: "opc-ua-secure-channel",
            protocol: NAME,
            sender: input.side,
            values,
            evidence: input.locate(uri),
        }));
    }

    fn encrypted(&mut self, out: &mut Out) {
        if !std::mem::replace(&mut self.encrypted_said, true) {
            out.push(Item::NotDecoded(NAME, "encrypted"));
        }
    }

    /// A whole message: the node id of its encoding, then its header and fields.
    fn body(
        &mut self,
        input: &Input<'_>,
        request: u32,
        body: &[u8],
        policy: Option<&[u8]>,
        out: &mut Out,
    ) {
        let mut reader = Reader::new(body);
        let Some(kind) = reader.node_id().and_then(|node| node.standard()) else {
            self.encrypted(out);
            return;
        };
        let id = body.get(..body.len() - reader.cursor.remaining()).unwrap_or_default();
        if let Some(words) = services::service(kind) {
            self.say_client(input.side, out);
            let mut operation = describe(input, input.side, words, id);
            operation.code = Some(kind);
            let detail = match services::request_header(&mut reader) {
                Some(()) => {
                    if let Some(uri) = policy {
                        // protocol version, issue or renew, mode
                        let mode = reader.skip(8).and_then(|()| reader.u32());
                        self.channel(input, uri, mode, out);
                    }
                    self.request(input, &mut operation, reader, out)
                }
                None => Detail::Nothing,
            };
            self.wait(request, Request { operation, detail }, out);
        } else if kind == services::SERVICE_FAULT || services::request_of(kind).is_some() {
            self.response(input, request, (kind, id), reader, out);
        } else {
            self.encrypted(out);
        }
    }

    fn wait(&mut self, id: u32, request: Request, out: &mut Out) {
        if let Some(evicted) = self.pending.insert(id, request) {
            self.complete(evicted, Outcome::Unseen, &[], out);
        }
    }

    /// Reads the fields of a request after its header; fills in the object.
    fn request(
        &mut self,
        input: &Input<'_>,
        operation: &mut Operation,
        mut reader: Reader<'_>,
        out: &mut Out,
    ) -> Detail {
        match operation.code {
            Some(services::READ) => {
                let targets = services::reads(reader);
                operation.object = services::object(targets.iter().map(Target::name));
                return Detail::Read(targets);
            }
            Some(services::WRITE) => {
                let writes = services::writes(reader);
                operation.object = services::object(writes.iter().map(|(target, _)| target.name()));
                return Detail::Write(
                    writes
                        .into_iter()
                        .filter_map(|(target, value)| {
                            let (value, part, decode) = value?.value()?;
                            Some((target, value, input.evidence(part, decode)))
                        })
                        .collect(),
                );
            }
            Some(services::CALL) => {
                operation.object = services::object(services::calls(reader).into_iter());
            }
            Some(services::BROWSE) => {
                operation.object = services::object(services::browses(reader).into_iter());
            }
            Some(services::CREATE_MONITORED_ITEMS) => {
                operation.object = services::object(services::monitors(reader).into_iter());
            }
            Some(services::CREATE_SESSION) => {
                let told_in = (NAME, "create-session");
                if let Some(application) = services::application(&mut reader) {
                    application_claims(input, told_in, &application, out);
                }
                // server's URI, URL, session name, nonce, certificate
                let certificate = (0..4)
                    .try_for_each(|_| reader.string().map(drop))
                    .and_then(|()| reader.string());
                self.certificate(input, certificate.unwrap_or_default(), out);
            }
            Some(services::ACTIVATE_SESSION) => {
                if let Some((name, in_clear)) = services::user(reader) {
                    let user = text::utf8(name.get(..256).unwrap_or(name));
                    if in_clear {
                        out.push(Item::Event(Event {
                            kind: "cleartext-credentials",
                            protocol: NAME,
                            sender: input.side,
                            values: vec![("user", user.clone())],
                            evidence: input.locate(name),
                        }));
                    }
                    return Detail::LogIn(user);
                }
            }
            _ => {}
        }
        Detail::Nothing
    }

    fn response(
        &mut self,
        input: &Input<'_>,
        request: u32,
        (kind, id): (u32, &[u8]),
        mut reader: Reader<'_>,
        out: &mut Out,
    ) {
        let client = input.side.other();
        self.say_client(client, out);
        let status = services::response_header(&mut reader);
        let mut outcome = match status {
            Some(status) if services::is_bad(status) => Outcome::Error,
            _ if kind == services::SERVICE_FAULT => Outcome::Error,
            _ => Outcome::Ok,
        };
        let waiting = self.pending.take(&request);
        let code = match &waiting {
            Some(waiting) => waiting.operation.code,
            None => services::request_of(kind),
        };
        let answered = outcome == Outcome::Ok && status.is_some();
        let mut results = Vec::new();
        if answered && services::request_of(kind) == code {
            match code {
                Some(services::READ) => {
                    let values = services::read_results(reader);
                    if let Some(Request { detail: Detail::Read(targets), .. }) = &waiting {
                        for (target, (value, _)) in targets.iter().zip(&values) {
                            self.read_value(input, target, value.as_ref(), out);
                        }
                    }
                    results = values.iter().map(|(_, status)| *status).collect();
                }
                Some(services::WRITE) => results = services::write_results(reader),
                Some(services::CALL) => results = services::call_results(reader),
                _ => self.answer(input, code, reader, out),
            }
        }
        if !results.is_empty() && results.iter().all(|status| services::is_bad(*status)) {
            outcome = Outcome::Error;
        }
        match waiting {
            Some(waiting) => {
                let refused = status.is_some_and(|status| REFUSED_USER.contains(&status));
                if let Detail::LogIn(user) = &waiting.detail
                    && (refused || outcome == Outcome::Ok)
                {
                    out.push(Item::Event(Event {
                        kind: if refused { "login-failed" } else { "login" },
                        protocol: NAME,
                        sender: client,
                        values: vec![("user", user.clone())],
                        evidence: input.locate(id),
                    }));
                }
                self.complete(waiting, outcome, &results, out);
            }
            None => {
                let Some(words) = code.and_then(services::service) else { return };
                let mut operation = describe(input, client, words, id);
                operation.code = code;
                operation.outcome = outcome;
                out.unpaired(operation);
            }
        }
    }

    /// What a response tells of the server, after its header.
    fn answer(
        &mut self,
        input: &Input<'_>,
        code: Option<u32>,
        mut reader: Reader<'_>,
        out: &mut Out,
    ) {
        match code {
            Some(services::FIND_SERVERS) => {
                // Several are those a discovery server knows of: not about the sender.
                if let [application] = &*services::applications(&mut reader) {
                    application_claims(input, (NAME, "find-servers"), application, out);
                }
            }
            Some(services::GET_ENDPOINTS) => {
                let endpoints = services::endpoints(&mut reader);
                self.endpoints(input, "get-endpoints", &endpoints, out);
            }
            Some(services::CREATE_SESSION) => {
                // session, token, time-out, nonce, certificate
                let read = || {
                    reader.node_id()?;
                    reader.node_id()?;
                    reader.skip(8)?;
                    reader.string()?;
                    let certificate = reader.string()?;
                    Some((certificate, services::endpoints(&mut reader)))
                };
                if let Some((certificate, endpoints)) = { read }() {
                    self.certificate(input, certificate, out);
                    self.endpoints(input, "create-session", &endpoints, out);
                }
            }
            _ => {}
        }
    }

    /// Who the server is and how its endpoints are protected.
    fn endpoints(
        &mut self,
        input: &Input<'_>,
        message: &'static str,
        endpoints: &[services::Endpoint<'_>],
        out: &mut Out,
    ) {
        let told_in = (NAME, message);
        if let Some(first) = endpoints.first() {
            application_claims(input, told_in, &first.server, out);
            self.certificate(input, first.certificate, out);
        }
        if std::mem::replace(&mut self.endpoints_told, !endpoints.is_empty()) {
            return;
        }
        for endpoint in endpoints.iter().take(16) {
            out.claim(input.own_text(told_in, "endpoint_url", endpoint.url));
            let value = format_compact!(
                "{} {}: {}",
                services::policy(endpoint.policy),
                services::mode(endpoint.mode),
                services::tokens(&endpoint.tokens)
            );
            out.claim(input.own_claim(
                told_in,
                "security_policy",
                value,
                endpoint.policy,
                Decode::Derived,
            ));
        }
    }

    fn certificate(&mut self, input: &Input<'_>, bytes: &[u8], out: &mut Out) {
        // A DER sequence; a chain is several, one after the other.
        if bytes.first() == Some(&0x30)
            && bytes.len() <= CERTIFICATE_CAP
            && self.certificates < CERTIFICATES
        {
            self.certificates += 1;
            out.push(Item::Payload(Payload {
                protocol: NAME,
                kind: "x509-certificate",
                sender: input.side,
                bytes: bytes.to_vec(),
                evidence: input.locate(bytes),
            }));
        }
    }

    /// A value that was read: remembered, and told where it is the server's own description.
    fn read_value(
        &mut self,
        input: &Input<'_>,
        target: &Target,
        value: Option<&Variant<'_>>,
        out: &mut Out,
    ) {
        let Some(variant) = value else { return };
        if target.attribute != services::VALUE {
            return;
        }
        let told_in = (NAME, "read");
        match (target.standard, variant.structure()) {
            (Some(SERVER_STATUS), Some((SERVER_STATUS_ENCODING, body))) => {
                let mut reader = Reader::new(body);
                // two times, state
                if reader.skip(20).is_some() {
                    build_info(input, told_in, reader, out);
                }
            }
            (Some(BUILD_INFO), Some((BUILD_INFO_ENCODING, body))) => {
                build_info(input, told_in, Reader::new(body), out);
            }
            (Some(number @ 2261..=2265), _) => {
                if let (Some(part), Some(attribute)) = (variant.text(), build_attribute(number)) {
                    out.claim(input.own_text(told_in, attribute, part));
                }
            }
            _ => {
                if let Some((value, _, _)) = variant.value() {
                    self.remember(target.name(), value);
                }
            }
        }
    }

    fn remember(&mut self, name: CompactString, value: Value) -> Option<Value> {
        let known = self.values.iter().position(|(known, _)| *known == name);
        let old = known.map(|at| self.values.remove(at).1);
        if self.values.len() >= REMEMBERED {
            self.values.remove(0);
        }
        self.values.push((name, value));
        old
    }

    /// Pushes the operation and, unless refused, what it wrote.
    fn complete(&mut self, mut request: Request, outcome: Outcome, results: &[u32], out: &mut Out) {
        request.operation.outcome = outcome;
        let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
        out.operation(request.operation);
        let Detail::Write(writes) = request.detail else { return };
        if outcome == Outcome::Error {
            return;
        }
        for (at, (target, new, evidence)) in writes.into_iter().enumerate() {
            if results.get(at).is_some_and(|status| services::is_bad(*status)) {
                continue;
            }
            let old = self.remember(target.name(), new.clone());
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender,
                server_child: Child::None,
                object: Object::Text(target.name()),
                old,
                new,
                evidence,
                ts_ns,
            }));
        }
    }

    fn violation(&mut self, input: &Input<'_>, part: &[u8], out: &mut Out) {
        if !std::mem::replace(&mut self.reported, true) {
            out.push(input.violation(NAME, "opc-ua-header", part_at(part, 0, 32)));
        }
    }
}

impl Session for OpcUa {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let mut used = 0;
        if input.after_gap {
            *self.direction(input.side) = Direction::default();
        }
        let mut said = false;
        loop {
            let rest = input.bytes.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return used;
            }
            match front(rest) {
                Front::Incomplete => return used,
                Front::Broken => {
                    if std::mem::take(&mut self.direction(input.side).synchronised) {
                        self.violation(input, rest, out);
                    }
                    return input.bytes.len();
                }
                Front::Chunk(kind, chunk, data) => {
                    self.direction(input.side).synchronised = true;
                    if !std::mem::replace(&mut said, true) {
                        out.layer(NAME, input.side);
                    }
                    self.chunk(input, kind, chunk, data, out);
                    used += HEADER + data.len();
                }
            }
        }
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some(hello) = self.hello.take() {
            out.operation(hello);
        }
        let waiting: Vec<Request> = self.pending.drain().collect();
        for request in waiting {
            self.complete(request, Outcome::Unseen, &[], out);
        }
    }

    fn stream_cap(&self) -> usize {
        CHUNK_CAP
    }
}

fn describe(
    input: &Input<'_>,
    sender: Side,
    (name, action): (&'static str, Action),
    evidence: &[u8],
) -> Box<Operation> {
    Box::new(input.operation(NAME, sender, (name, action), evidence))
}

fn application_claims(
    input: &Input<'_>,
    told_in: (&'static str, &'static str),
    application: &services::Application<'_>,
    out: &mut Out,
) {
    out.claim(input.own_text(told_in, "application_uri", application.uri));
    out.claim(input.own_text(told_in, "product_uri", application.product));
    out.claim(input.own_text(told_in, "application_name", application.name));
}

/// BuildInfo (OPC 10000-5 §12.4), field by field.
fn build_info(
    input: &Input<'_>,
    told_in: (&'static str, &'static str),
    mut reader: Reader<'_>,
    out: &mut Out,
) {
    for attribute in ["product_uri", "vendor", "model", "firmware", "build_number"] {
        let Some(part) = reader.string() else { return };
        out.claim(input.own_text(told_in, attribute, part));
    }
}

/// The attribute that a part of BuildInfo is, by its node.
const fn build_attribute(node: u32) -> Option<&'static str> {
    Some(match node {
        2261 => "model",
        2262 => "product_uri",
        2263 => "vendor",
        2264 => "firmware",
        2265 => "build_number",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, claims, coded_operations as operations};

    fn string(text: &[u8]) -> Vec<u8> {
        let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(text);
        bytes
    }

    /// A message or chunk.
    fn message(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_vec();
        bytes.extend(((HEADER + content.len()) as u32).to_le_bytes());
        bytes.extend_from_slice(content);
        bytes
    }

    /// A chunk of the conversation with this request id.
    fn chunk(kind: &[u8; 4], request: u32, body: &[u8]) -> Vec<u8> {
        let mut content = [[1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0]].concat();
        content.extend(request.to_le_bytes());
        content.extend_from_slice(body);
        message(kind, &content)
    }

    fn encoding(id: u32) -> Vec<u8> {
        let [low, high, ..] = id.to_le_bytes();
        vec![1, 0, low, high]
    }

    fn request_body(id: u32, fields: &[u8]) -> Vec<u8> {
        let mut body = encoding(id);
        body.extend([0, 0]); // token
        body.extend([0; 16]); // time, handle, diagnostics
        body.extend([0xff; 4]); // no audit entry
        body.extend([0; 4]); // time-out
        body.extend([0, 0, 0]); // no additional header
        body.extend_from_slice(fields);
        body
    }

    fn response_body(id: u32, status: u32, fields: &[u8]) -> Vec<u8> {
        let mut body = encoding(id);
        body.extend([0; 12]); // time, handle
        body.extend(status.to_le_bytes());
        body.push(0); // no diagnostics
        body.extend([0xff; 4]); // no strings
        body.extend([0, 0, 0]); // no additional header
        body.extend_from_slice(fields);
        body
    }

    fn request(number: u32, id: u32, fields: &[u8]) -> Vec<u8> {
        chunk(b"MSGF", number, &request_body(id, fields))
    }

    fn response(number: u32, id: u32, status: u32, fields: &[u8]) -> Vec<u8> {
        chunk(b"MSGF", number, &response_body(id, status, fields))
    }

    fn hello() -> Vec<u8> {
        let mut content = vec![0; 20];
        content.extend(string(b"opc.tcp://plc:4840"));
        message(b"HELF", &content)
    }

    /// A read of the value of one node of OPC UA's own.
    fn read_of(node: u16) -> Vec<u8> {
        let mut fields = vec![0; 12];
        fields.extend([1, 0, 0, 0, 1, 0]);
        fields.extend(node.to_le_bytes());
        fields.extend([13, 0, 0, 0]);
        fields.extend([0xff; 4]);
        fields.extend([0, 0, 0xff, 0xff, 0xff, 0xff]);
        fields
    }

    /// A write of this variant to `ns=2;s=Speed`.
    fn write_of(variant: &[u8]) -> Vec<u8> {
        let mut fields = vec![1, 0, 0, 0, 3, 2, 0];
        fields.extend(string(b"Speed"));
        fields.extend([13, 0, 0, 0]);
        fields.extend([0xff; 4]);
        fields.push(1);
        fields.extend_from_slice(variant);
        fields
    }

    #[test]
    fn hello_and_acknowledge_are_the_transport() {
        let items = testing::items(
            &PROTOCOL,
            &[(Side::A, &hello()), (Side::B, &message(b"ACKF", &[0; 20]))],
        );
        assert_eq!(vec![("hello", None, String::new(), Outcome::Ok)], operations(&items));
        assert!(items.contains(&Item::Client(Side::A)));
        assert_eq!(vec![("endpoint_url", "opc.tcp://plc:4840".to_owned())], claims(&items));
    }

    #[test]
    fn the_build_information_says_who_the_server_is() {
        let mut info = Vec::new();
        for part in [b"urn:p".as_slice(), b"Maker", b"Model 7", b"1.2.3", b"55"] {
            info.extend(string(part));
        }
        info.extend([0; 8]);
        let mut fields = vec![1, 0, 0, 0, 1, 22, 1, 0, 0x54, 0x01, 1];
        fields.extend(string(&info));
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(5, 631, &read_of(2260))),
                (Side::B, &response(5, 634, 0, &fields)),
            ],
        );
        assert_eq!(vec![("read", Some(631), "i=2260".to_owned(), Outcome::Ok)], operations(&items));
        let expected = [
            ("product_uri", "urn:p"),
            ("vendor", "Maker"),
            ("model", "Model 7"),
            ("firmware", "1.2.3"),
            ("build_number", "55"),
        ];
        assert_eq!(expected.map(|(a, v)| (a, v.to_owned())).to_vec(), claims(&items));
    }

    #[test]
    fn a_write_changes_a_node_unless_it_is_refused() {
        let good = [1, 0, 0, 0, 0, 0, 0, 0];
        let bad = [1, 0, 0, 0, 0, 0, 0x1f, 0x80];
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(1, 673, &write_of(&[4, 7, 0]))),
                (Side::B, &response(1, 676, 0, &good)),
                (Side::A, &request(2, 673, &write_of(&[4, 9, 0]))),
                (Side::B, &response(2, 676, 0, &good)),
                (Side::A, &request(3, 673, &write_of(&[4, 11, 0]))),
                (Side::B, &response(3, 676, 0, &bad)),
            ],
        );
        let outcomes: Vec<_> = operations(&items).into_iter().map(|(.., end)| end).collect();
        assert_eq!(vec![Outcome::Ok, Outcome::Ok, Outcome::Error], outcomes);
        let changes: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Change(change) => Some((change.old.clone(), change.new.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![(None, Value::Integer(7)), (Some(Value::Integer(7)), Value::Integer(9))],
            changes
        );
        assert!(
            matches!(&items[1], Item::Client(Side::A)),
            "who asks is the client: {:?}",
            items[1]
        );
    }

    #[test]
    fn a_message_over_several_chunks_is_one() {
        let body = request_body(631, &read_of(2259));
        let (first, rest) = body.split_at(20);
        let items = testing::items(
            &PROTOCOL,
            &[(Side::A, &chunk(b"MSGC", 9, first)), (Side::A, &chunk(b"MSGF", 9, rest))],
        );
        assert_eq!(
            vec![("read", Some(631), "i=2259".to_owned(), Outcome::Unseen)],
            operations(&items)
        );
    }

    #[test]
    fn a_fault_refuses_and_a_password_in_clear_is_told_without_it() {
        let mut token = string(b"policy");
        token.extend(string(b"operator"));
        token.extend(string(b"secret"));
        token.extend([0xff; 4]);
        let mut fields = vec![0xff; 8]; // no signature
        fields.extend([0xff; 8]); // no certificates, no locales
        fields.extend([1, 0, 0x44, 0x01, 1]);
        fields.extend(string(&token));
        let items = testing::items(
            &PROTOCOL,
            &[(Side::A, &request(4, 467, &fields)), (Side::B, &response(4, 397, 0x801f_0000, &[]))],
        );
        assert_eq!(
            vec![("activate-session", Some(467), String::new(), Outcome::Error)],
            operations(&items)
        );
        let events: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Event(event) => Some((event.kind, event.values.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![
                ("cleartext-credentials", vec![("user", "operator".into())]),
                ("login-failed", vec![("user", "operator".into())]),
            ],
            events
        );
        assert!(!format!("{items:?}").contains("secret"));
    }

    #[test]
    fn a_log_in_is_told() {
        let mut token = string(b"policy");
        token.extend(string(b"operator"));
        token.extend(string(b"secret"));
        token.extend(string(b"http://www.w3.org/2001/04/xmlenc#rsa-oaep"));
        let mut fields = vec![0xff; 16]; // no signature, no certificates, no locales
        fields.extend([1, 0, 0x44, 0x01, 1]);
        fields.extend(string(&token));
        let items = testing::items(
            &PROTOCOL,
            &[(Side::A, &request(4, 467, &fields)), (Side::B, &response(4, 470, 0, &[]))],
        );
        let events: Vec<_> = testing::events(&items)
            .into_iter()
            .map(|event| (event.kind, event.values.clone()))
            .collect();
        assert_eq!(vec![("login", vec![("user", "operator".into())])], events);
    }

    #[test]
    fn endpoints_name_the_server_and_how_it_is_protected() {
        let mut endpoint = string(b"opc.tcp://plc:4840");
        endpoint.extend(string(b"urn:plc"));
        endpoint.extend(string(b"urn:maker:plc"));
        endpoint.push(2);
        endpoint.extend(string(b"PLC server"));
        endpoint.extend([0; 4]);
        endpoint.extend([0xff; 12]);
        endpoint.extend([0xff; 4]); // no certificate
        endpoint.extend([1, 0, 0, 0]);
        endpoint.extend(string(b"http://opcfoundation.org/UA/SecurityPolicy#None"));
        endpoint.extend([1, 0, 0, 0]);
        endpoint.extend([0xff; 4]);
        endpoint.extend([0; 4]);
        endpoint.extend([0xff; 12]);
        endpoint.extend([0xff; 4]);
        endpoint.push(0);
        let mut fields = vec![1, 0, 0, 0];
        fields.extend(endpoint);
        let items = testing::items(&PROTOCOL, &[(Side::B, &response(1, 431, 0, &fields))]);
        let expected = [
            ("application_uri", "urn:plc"),
            ("product_uri", "urn:maker:plc"),
            ("application_name", "PLC server"),
            ("endpoint_url", "opc.tcp://plc:4840"),
            ("security_policy", "None none: anonymous"),
        ];
        assert_eq!(expected.map(|(a, v)| (a, v.to_owned())).to_vec(), claims(&items));
    }

    #[test]
    fn encrypted_messages_are_said_once_and_the_channel_names_its_policy() {
        let mut content = vec![0; 4];
        content.extend(string(b"http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"));
        content.extend([0xff; 8]);
        content.extend([0; 4]);
        content.extend([7, 0, 0, 0]);
        content.extend([0xa5; 64]);
        let open = message(b"OPNF", &content);
        let secret = chunk(b"MSGF", 99, &[0xa5; 40]);
        let items = testing::items(
            &PROTOCOL,
            &[(Side::A, &hello()), (Side::A, &open), (Side::B, &open), (Side::A, &secret)],
        );
        assert!(operations(&items).contains(&(
            "open-secure-channel",
            Some(446),
            String::new(),
            Outcome::Ok
        )));
        let hidden = items.iter().filter(|item| matches!(item, Item::NotDecoded(..))).count();
        assert_eq!(1, hidden);
        assert!(items.iter().any(|item| matches!(
            item,
            Item::Event(event) if event.values == [("policy", "Basic256Sha256".into())]
        )));
    }

    #[test]
    fn other_bytes_are_not_taken_and_broken_ones_told() {
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"HELO mail.example")));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, b"MSGF")));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &hello())));
        let items =
            testing::items(&PROTOCOL, &[(Side::A, &hello()), (Side::A, b"what is this, now?")]);
        assert!(items.iter().any(
            |item| matches!(item, Item::Violation(violation) if violation.rule == "opc-ua-header")
        ));
    }

    #[test]
    fn survives_anything() {
        let messages = [
            hello(),
            message(b"ACKF", &[0; 20]),
            request(1, 673, &write_of(&[4, 7, 0])),
            response(1, 676, 0, &[1, 0, 0, 0, 0, 0, 0, 0]),
            request(5, 631, &read_of(2260)),
            response(5, 634, 0, &[1, 0, 0, 0, 1, 12, 1, 0, 0, 0, b'x']),
        ];
        let sides = [Side::A, Side::B, Side::A, Side::B, Side::A, Side::B];
        let messages: Vec<_> = sides.into_iter().zip(messages.iter().map(Vec::as_slice)).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
