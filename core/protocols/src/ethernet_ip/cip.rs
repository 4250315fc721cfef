//! CIP explicit messages: services, objects, identity, tags, connections.
//!
//! Sources: The CIP Networks Library Vol. 1: 2-4 (message router request and response), Appendix A
//! (services), Appendix B (general status), 3-5 (connection manager), 5A-2 (identity object), 5A-42
//! (file object); Vol. 2: 5-4 (TCP/IP interface object), 5-5 (Ethernet link object); Vol. 5 (services of
//! the safety supervisor and the safety validator, as tshark 4.0 names them, `cipsafety`). Rockwell
//! 1756-PM020 "Logix 5000 Controllers Data Access" (tag services, data types, classes 0x68, 0x6B,
//! 0x6C). Class 0xA1 as the object that takes new firmware: observed only
//! (EIP-FirmwareChangeFailure, frames 8-12), as described by public analyses of the update.
//!
//! Rule broken on the wire:
//! * `cip-multiple-service-offsets`: an offset of a Multiple Service Packet points outside it.
//!
//! Not decoded: vendor-private classes and services (named `unknown`), structures of user-defined
//! types, data of CIP Safety, Motion and Security.

use std::collections::VecDeque;

use compact_str::{CompactString, ToCompactString};
use otic_wire::{Cursor, Short};
use rustc_hash::FxHashMap;

use super::path::{self, Path};
use super::pccc;
use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Event, Evidence, Item, Object, Operation,
    Out, Outcome, Value, Who,
};
use crate::session::Input;
use crate::text;

pub(super) const NAME: &str = "cip";

const REPLY: u8 = 0x80;
const GET_ATTRIBUTES_ALL: u8 = 0x01;
const GET_ATTRIBUTE_LIST: u8 = 0x03;
const MULTIPLE_SERVICE_PACKET: u8 = 0x0a;
const GET_ATTRIBUTE_SINGLE: u8 = 0x0e;
const SET_ATTRIBUTE_SINGLE: u8 = 0x10;
const EXECUTE_PCCC: u8 = 0x4b;
const READ_TAG: u8 = 0x4c;
const WRITE_TAG: u8 = 0x4d;
const UNCONNECTED_SEND: u8 = 0x52;
const WRITE_TAG_FRAGMENTED: u8 = 0x53;
const FORWARD_OPEN: u8 = 0x54;
const LARGE_FORWARD_OPEN: u8 = 0x5b;

const IDENTITY: u32 = 0x01;
const CONNECTION_MANAGER: u32 = 0x06;
const SYMBOL: u32 = 0x6b;
const SAFETY_SUPERVISOR: u32 = 0x39;
const SAFETY_VALIDATOR: u32 = 0x3a;
const PCCC: u32 = 0x67;
const TCP_IP: u32 = 0xf5;
const ETHERNET_LINK: u32 = 0xf6;

const STATUS_PARTIAL_TRANSFER: u8 = 0x06;
const STATUS_EMBEDDED_ERROR: u8 = 0x1e;

/// Envelopes in envelopes: Unconnected_Send of a Multiple Service Packet is usual, more is not.
const DEEPEST: u8 = 4;
/// Most services of one Multiple Service Packet that are read.
const MOST_EMBEDDED: usize = 512;
const MOST_CONNECTIONS: usize = 128;
const MOST_VALUES: usize = 1024;
const LONGEST_VALUE: usize = 256;

/// Name and action of a service of a class; `symbolic` says that the path is a tag name.
fn service(code: u8, class: Option<u32>, symbolic: bool) -> (&'static str, Action) {
    if symbolic || class == Some(SYMBOL) {
        match code {
            READ_TAG => return ("read-tag", Action::Read),
            WRITE_TAG => return ("write-tag", Action::Write),
            0x4e => return ("read-modify-write-tag", Action::Write),
            0x52 => return ("read-tag-fragmented", Action::Read),
            WRITE_TAG_FRAGMENTED => return ("write-tag-fragmented", Action::Write),
            0x55 => return ("get-instance-attribute-list", Action::Read),
            _ => {}
        }
    }
    match (code, class) {
        (GET_ATTRIBUTES_ALL, Some(IDENTITY)) => ("get-attributes-all", Action::Identify),
        (GET_ATTRIBUTES_ALL, _) => ("get-attributes-all", Action::Read),
        (0x02, _) => ("set-attributes-all", Action::Configuration),
        (GET_ATTRIBUTE_LIST, Some(IDENTITY)) => ("get-attribute-list", Action::Identify),
        (GET_ATTRIBUTE_LIST, _) => ("get-attribute-list", Action::Read),
        (0x04, _) => ("set-attribute-list", Action::Configuration),
        (0x05, _) => ("reset", Action::Reset),
        (0x06, _) => ("start", Action::Start),
        (0x07, _) => ("stop", Action::Stop),
        // Programs, symbols and templates of a Logix controller are its program.
        (0x08, Some(0x68 | SYMBOL | 0x6c)) => ("create", Action::ProgramDownload),
        (0x08, _) => ("create", Action::Configuration),
        (0x09, Some(0x68 | SYMBOL | 0x6c)) => ("delete", Action::ProgramDownload),
        (0x09, _) => ("delete", Action::Configuration),
        (MULTIPLE_SERVICE_PACKET, _) => ("multiple-service-packet", Action::Session),
        (0x0d, _) => ("apply-attributes", Action::Configuration),
        (GET_ATTRIBUTE_SINGLE, Some(IDENTITY)) => ("get-attribute-single", Action::Identify),
        (GET_ATTRIBUTE_SINGLE, _) => ("get-attribute-single", Action::Read),
        (SET_ATTRIBUTE_SINGLE, Some(0x04)) => ("set-attribute-single", Action::Write),
        (SET_ATTRIBUTE_SINGLE, _) => ("set-attribute-single", Action::Configuration),
        (0x11, _) => ("find-next-object-instance", Action::Read),
        (0x15, _) => ("restore", Action::Configuration),
        (0x16, _) => ("save", Action::Configuration),
        (0x17, _) => ("no-operation", Action::Diagnostics),
        (0x18, _) => ("get-member", Action::Read),
        (0x19, _) => ("set-member", Action::Configuration),
        (0x1a, _) => ("insert-member", Action::Configuration),
        (0x1b, _) => ("remove-member", Action::Configuration),
        (0x1c, _) => ("group-sync", Action::Diagnostics),
        (0x1d, _) => ("get-connection-point-member-list", Action::Read),
        (0x4b, Some(IDENTITY)) => ("flash-leds", Action::Diagnostics),
        (0x4b, Some(0x02)) => ("symbolic-translation", Action::Read),
        (0x4b, Some(0x05)) => ("connection-bind", Action::Session),
        (0x4c, Some(0x05)) => ("producing-application-lookup", Action::Session),
        (0x4e, Some(CONNECTION_MANAGER)) => ("forward-close", Action::Session),
        (UNCONNECTED_SEND, Some(CONNECTION_MANAGER)) => ("unconnected-send", Action::Session),
        (FORWARD_OPEN, Some(CONNECTION_MANAGER)) => ("forward-open", Action::Session),
        (0x56, Some(CONNECTION_MANAGER)) => ("get-connection-data", Action::Diagnostics),
        (0x57, Some(CONNECTION_MANAGER)) => ("search-connection-data", Action::Diagnostics),
        (0x5a, Some(CONNECTION_MANAGER)) => ("get-connection-owner", Action::Diagnostics),
        (LARGE_FORWARD_OPEN, Some(CONNECTION_MANAGER)) => ("large-forward-open", Action::Session),
        (0x4b, Some(0x37)) => ("initiate-upload", Action::File),
        (0x4c, Some(0x37)) => ("initiate-download", Action::File),
        (0x4d, Some(0x37)) => ("initiate-partial-read", Action::File),
        (0x4e, Some(0x37)) => ("initiate-partial-write", Action::File),
        (0x4f, Some(0x37)) => ("upload-transfer", Action::File),
        (0x50, Some(0x37)) => ("download-transfer", Action::File),
        (0x51, Some(0x37)) => ("clear-file", Action::File),
        (EXECUTE_PCCC, Some(PCCC)) => ("execute-pccc", Action::Diagnostics),
        (0x4c, Some(PCCC)) => ("execute-dh-plus", Action::Diagnostics),
        (0x4d, Some(PCCC)) => ("execute-local-pccc", Action::Diagnostics),
        (0x4c, Some(SAFETY_SUPERVISOR)) => ("safety-recover", Action::Control),
        (0x4e, Some(SAFETY_SUPERVISOR)) => ("safety-perform-diagnostics", Action::Diagnostics),
        (0x4f, Some(SAFETY_SUPERVISOR)) => ("safety-configure-request", Action::Configuration),
        (0x50, Some(SAFETY_SUPERVISOR)) => ("safety-validate-configuration", Action::Configuration),
        (0x51, Some(SAFETY_SUPERVISOR)) => ("safety-set-password", Action::Configuration),
        (0x52, Some(SAFETY_SUPERVISOR)) => ("safety-configuration-lock", Action::Configuration),
        (0x53, Some(SAFETY_SUPERVISOR)) => ("safety-mode-change", Action::Mode),
        (0x54, Some(SAFETY_SUPERVISOR)) => ("safety-reset", Action::Reset),
        (0x55, Some(SAFETY_SUPERVISOR)) => ("safety-reset-password", Action::Configuration),
        (0x56, Some(SAFETY_SUPERVISOR)) => ("safety-propose-tunid", Action::Configuration),
        (0x57, Some(SAFETY_SUPERVISOR)) => ("safety-apply-tunid", Action::Configuration),
        (0x58, Some(SAFETY_SUPERVISOR)) => ("safety-propose-tunid-list", Action::Configuration),
        (0x59, Some(SAFETY_SUPERVISOR)) => ("safety-apply-tunid-list", Action::Configuration),
        (0x4b, Some(SAFETY_VALIDATOR)) => ("safety-reset-error", Action::Diagnostics),
        (0x55, Some(SYMBOL)) => ("get-instance-attribute-list", Action::Read),
        (0x4c, Some(0x6c)) => ("read-template", Action::Read),
        (0x4b, Some(0xa1)) => ("nvs-update", Action::Firmware),
        (0x4d, Some(0xa1)) => ("nvs-transfer", Action::Firmware),
        (_, Some(0xa1)) => ("unknown", Action::Firmware),
        (0x4c, Some(TCP_IP | ETHERNET_LINK)) => ("get-and-clear", Action::Diagnostics),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// What must be known of a request to understand its reply.
enum Detail {
    Plain,
    /// Carries other requests: Multiple Service Packet.
    Multiple,
    /// Carries one request whose reply comes bare.
    UnconnectedSend,
    /// Class and attribute whose value comes.
    Attribute(u32, u32),
    AttributesAll(u32),
    AttributeList(u32),
    ReadTag,
    Write(Value, Evidence),
    ForwardOpen {
        child: Child,
        path: CompactString,
        io: bool,
    },
    Pccc {
        is_diagnostic_status: bool,
    },
}

/// A request that waits for its reply.
pub(super) struct Request {
    operation: Box<Operation>,
    detail: Detail,
    embedded: Vec<Request>,
}

struct Connection {
    originator_to_target: u32,
    target_to_originator: u32,
    child: Child,
}

/// What one TCP connection has taught about CIP.
#[derive(Default)]
pub(super) struct State {
    connections: VecDeque<Connection>,
    /// Last value seen of a tag.
    values: FxHashMap<(Child, CompactString), Value>,
}

/// Whether a message is a reply; none when it is empty.
pub(super) fn is_reply(message: &[u8]) -> Option<bool> {
    message.first().map(|service| service & REPLY != 0)
}

impl State {
    /// The connections: both ids, length of the child's address, address.
    pub fn context(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for known in &self.connections {
            let child = known.child.to_text();
            if let Ok(length) = u8::try_from(child.len()) {
                bytes.extend_from_slice(&known.originator_to_target.to_le_bytes());
                bytes.extend_from_slice(&known.target_to_originator.to_le_bytes());
                bytes.push(length);
                bytes.extend_from_slice(child.as_bytes());
            }
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Takes over what [`Self::context`] gave.
    pub fn restore(&mut self, mut bytes: &[u8]) {
        while let Some((head, rest)) = bytes.split_first_chunk::<9>()
            && let &[a, b, c, d, e, f, g, h, length] = head
            && let Some((child, rest)) = rest.split_at_checked(usize::from(length))
            && let Ok(child) = std::str::from_utf8(child)
            && self.connections.len() < MOST_CONNECTIONS
        {
            self.connections.push_back(Connection {
                originator_to_target: u32::from_le_bytes([a, b, c, d]),
                target_to_originator: u32::from_le_bytes([e, f, g, h]),
                child: if child.is_empty() { Child::None } else { Child::Text(child.into()) },
            });
            bytes = rest;
        }
    }

    /// The child behind a connection and one name for both of its ids.
    pub fn connection(&self, id: u32) -> (Child, u32) {
        self.connections
            .iter()
            .rev()
            .find(|known| known.originator_to_target == id || known.target_to_originator == id)
            .map_or((Child::None, 0), |known| (known.child.clone(), known.originator_to_target))
    }

    /// Reads a request to `child`; what is no request gives none.
    pub fn request(
        &self,
        input: &Input<'_>,
        out: &mut Out,
        message: &[u8],
        child: &Child,
        depth: u8,
    ) -> Result<Request, Short> {
        let mut cursor = Cursor::new(message);
        let code = cursor.u8()?;
        let words = usize::from(cursor.u8()?);
        let path = path::read(cursor.take(words * 2)?);
        let head = message.get(..cursor.position()).unwrap_or_default();
        let data = cursor.rest();
        let (name, action) = service(code, path.class, path.symbolic);
        let mut request = Request {
            operation: Box::new(Operation {
                protocol: NAME,
                connection: NAME,
                sender: input.side,
                code: Some(u32::from(code)),
                name,
                action,
                object: Object::None,
                outcome: Outcome::Unseen,
                client_child: Child::None,
                server_child: child.clone(),
                evidence: input.locate(head),
                ts_ns: input.ts_ns,
            }),
            detail: Detail::Plain,
            embedded: Vec::new(),
        };
        // What cannot be read of the data leaves the request as it is.
        let _ = self.detail(input, out, &mut request, code, &path, data, depth);
        if request.operation.object == Object::None {
            request.operation.object = path.object();
        }
        Ok(request)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request")]
    fn detail(
        &self,
        input: &Input<'_>,
        out: &mut Out,
        request: &mut Request,
        code: u8,
        path: &Path<'_>,
        data: &[u8],
        depth: u8,
    ) -> Result<(), Short> {
        let mut cursor = Cursor::new(data);
        let child = request.operation.server_child.clone();
        request.detail = match (code, path.class) {
            (MULTIPLE_SERVICE_PACKET, _) if depth < DEEPEST => {
                for part in parts(input, out, data) {
                    if let Ok(inner) = self.request(input, out, part, &child, depth + 1) {
                        request.embedded.push(inner);
                    }
                }
                Detail::Multiple
            }
            (UNCONNECTED_SEND, Some(CONNECTION_MANAGER)) if depth < DEEPEST => {
                cursor.skip(2)?;
                let length = usize::from(cursor.u16_le()?);
                let message = cursor.take(length)?;
                if length % 2 == 1 {
                    cursor.skip(1)?;
                }
                let words = usize::from(cursor.u8()?);
                cursor.skip(1)?;
                let route = path::read(cursor.take(words * 2)?);
                let child = behind(&child, route.child());
                let inner = self.request(input, out, message, &child, depth + 1)?;
                request.embedded.push(inner);
                Detail::UnconnectedSend
            }
            (FORWARD_OPEN | LARGE_FORWARD_OPEN, Some(CONNECTION_MANAGER)) => {
                cursor.skip(2 + 4 + 4 + 2 + 2 + 4 + 1 + 3)?;
                let parameters = if code == FORWARD_OPEN { 2 } else { 4 };
                cursor.skip(2 * (4 + parameters))?;
                let transport = cursor.u8()?;
                let words = usize::from(cursor.u8()?);
                let target = path::read(cursor.take(words * 2)?);
                let child = behind(&child, target.child());
                if let Some(key) = target.key {
                    electronic_key(input, out, key, &child);
                }
                let path = target.text;
                Detail::ForwardOpen { child, path, io: transport & 0x0f <= 1 }
            }
            (GET_ATTRIBUTES_ALL, Some(class)) if path.instance == Some(1) => {
                Detail::AttributesAll(class)
            }
            (GET_ATTRIBUTE_LIST, Some(IDENTITY)) => Detail::AttributeList(IDENTITY),
            (GET_ATTRIBUTE_SINGLE, Some(class)) => match path.attribute {
                Some(attribute) => Detail::Attribute(class, attribute),
                None => Detail::Plain,
            },
            (SET_ATTRIBUTE_SINGLE, Some(_)) => {
                let value = data.get(..data.len().min(LONGEST_VALUE)).unwrap_or_default();
                Detail::Write(Value::Bytes(value.to_vec()), input.evidence(value, Decode::Hex))
            }
            (EXECUTE_PCCC, Some(PCCC)) => {
                let command = pccc::command(data)?;
                request.operation.name = command.name;
                request.operation.action = command.action;
                request.operation.object = command.object;
                Detail::Pccc { is_diagnostic_status: command.is_diagnostic_status }
            }
            (READ_TAG, _) if request.operation.name == "read-tag" => Detail::ReadTag,
            (WRITE_TAG, _) if request.operation.name == "write-tag" => {
                let kind = tag_type(&mut cursor)?;
                let count = cursor.u16_le()?;
                let (value, evidence) = tag_value(input, kind, count, cursor.rest());
                Detail::Write(value, evidence)
            }
            (WRITE_TAG_FRAGMENTED, _) if request.operation.name == "write-tag-fragmented" => {
                let kind = tag_type(&mut cursor)?;
                let count = cursor.u16_le()?;
                cursor.skip(4)?;
                let (value, evidence) = tag_value(input, kind, count.max(2), cursor.rest());
                Detail::Write(value, evidence)
            }
            _ => Detail::Plain,
        };
        Ok(())
    }

    /// Tells how a request ended. `message` is the reply, whose sender is `input.side`.
    pub fn reply(&mut self, input: &Input<'_>, out: &mut Out, request: Request, message: &[u8]) {
        let Request { mut operation, detail, embedded } = request;
        let Ok(reply) = Reply::read(message) else {
            operation.outcome = Outcome::Error;
            out.operation(operation);
            return;
        };
        operation.outcome = reply.outcome();
        let child = operation.server_child.clone();
        match detail {
            Detail::UnconnectedSend => {
                // The router answers itself only when it could not pass the request on.
                if reply.service == UNCONNECTED_SEND
                    && embedded.first().is_none_or(|r| r.operation.code != Some(0x52))
                {
                    operation.outcome = Outcome::Error;
                    out.operation(operation);
                    embedded.into_iter().for_each(|inner| self.unseen(out, inner, Outcome::Error));
                } else {
                    operation.outcome = Outcome::Ok;
                    out.operation(operation);
                    for inner in embedded {
                        self.reply(input, out, inner, message);
                    }
                }
                return;
            }
            Detail::Multiple => {
                out.operation(operation);
                let mut replies = parts(input, out, reply.data).into_iter();
                for inner in embedded {
                    match replies.next() {
                        Some(part) => self.reply(input, out, inner, part),
                        None => self.unseen(out, inner, reply.outcome()),
                    }
                }
                return;
            }
            Detail::Write(value, evidence) if operation.outcome == Outcome::Ok => {
                out.operation(operation.clone());
                self.change(out, &operation, value, evidence);
                return;
            }
            _ if operation.outcome != Outcome::Ok => {}
            Detail::Attribute(class, attribute) => {
                let mut cursor = Cursor::new(reply.data);
                let who = Who::Sender(child);
                let _ = claims(input, out, class, attribute, &mut cursor, &who, operation.name);
            }
            Detail::AttributesAll(class) if class == IDENTITY => {
                let mut cursor = Cursor::new(reply.data);
                let who = Who::Sender(child);
                for attribute in 1..=8 {
                    let name = operation.name;
                    if claims(input, out, class, attribute, &mut cursor, &who, name).is_err() {
                        break;
                    }
                }
            }
            Detail::AttributeList(class) => {
                let _ = attribute_list(input, out, class, reply.data, child, operation.name);
            }
            Detail::ReadTag => {
                let mut cursor = Cursor::new(reply.data);
                if let (Ok(kind), Object::Text(tag)) = (tag_type(&mut cursor), &operation.object)
                    && let Some((value, _)) = scalar(kind, cursor.rest())
                {
                    self.remember(child, tag, value);
                }
            }
            Detail::ForwardOpen { child, path, io } => {
                let mut cursor = Cursor::new(reply.data);
                if let (Ok(there), Ok(back)) = (cursor.u32_le(), cursor.u32_le()) {
                    if io {
                        out.push(Item::Event(io_connection(input, &operation, path, there, back)));
                    }
                    if self.connections.len() >= MOST_CONNECTIONS {
                        self.connections.pop_front();
                    }
                    self.connections.push_back(Connection {
                        originator_to_target: there,
                        target_to_originator: back,
                        child,
                    });
                }
            }
            Detail::Pccc { is_diagnostic_status } => {
                if !pccc::succeeded(reply.data) {
                    operation.outcome = Outcome::Error;
                } else if is_diagnostic_status
                    && let Ok(name) = pccc::processor_name(reply.data)
                    && text::is_printable(name)
                {
                    out.claim(Claim {
                        who: Who::Sender(child),
                        attribute: "model",
                        value: text::utf8(name),
                        protocol: NAME,
                        message: "pccc-diagnostic-status",
                        confidence: Confidence::High,
                        evidence: input.evidence(name, Decode::Ascii),
                    });
                }
            }
            Detail::Plain | Detail::Write(..) | Detail::AttributesAll(_) => {}
        }
        out.operation(operation);
    }

    /// Reports a request whose reply did not come, or came without this part.
    pub fn unseen(&mut self, out: &mut Out, request: Request, outcome: Outcome) {
        let Request { mut operation, detail, embedded } = request;
        operation.outcome = outcome;
        out.operation(operation.clone());
        if let Detail::Write(value, evidence) = detail
            && outcome == Outcome::Unseen
        {
            self.change(out, &operation, value, evidence);
        }
        for inner in embedded {
            self.unseen(out, inner, outcome);
        }
    }

    fn change(&mut self, out: &mut Out, operation: &Operation, new: Value, evidence: Evidence) {
        let child = operation.server_child.clone();
        let old = match &operation.object {
            Object::Text(tag) => self.remember(child.clone(), tag, new.clone()),
            _ => None,
        };
        out.push(Item::Change(Change {
            protocol: NAME,
            connection: NAME,
            sender: operation.sender,
            server_child: child,
            object: operation.object.clone(),
            old,
            new,
            evidence,
            ts_ns: operation.ts_ns,
        }));
    }

    /// Keeps the value of a tag; returns the one before.
    fn remember(&mut self, child: Child, tag: &CompactString, value: Value) -> Option<Value> {
        let key = (child, tag.clone());
        match self.values.get_mut(&key) {
            Some(known) => Some(std::mem::replace(known, value)),
            None => {
                if self.values.len() < MOST_VALUES {
                    self.values.insert(key, value);
                }
                None
            }
        }
    }
}

/// Reports a reply whose request was not seen, with what it holds of other replies.
pub(super) fn unpaired(input: &Input<'_>, out: &mut Out, message: &[u8], child: &Child) {
    let Ok(reply) = Reply::read(message) else { return };
    let (name, action) = service(reply.service, None, false);
    out.unpaired(Operation {
        protocol: NAME,
        connection: NAME,
        sender: input.side.other(),
        code: Some(u32::from(reply.service)),
        name,
        action,
        object: Object::None,
        outcome: reply.outcome(),
        client_child: Child::None,
        server_child: child.clone(),
        evidence: input.locate(message.get(..4).unwrap_or_default()),
        ts_ns: input.ts_ns,
    });
    if reply.service == MULTIPLE_SERVICE_PACKET {
        for part in parts(input, out, reply.data) {
            if let Ok(inner) = Reply::read(part)
                && inner.service != MULTIPLE_SERVICE_PACKET
            {
                unpaired(input, out, part, child);
            }
        }
    }
}

/// A message router response.
struct Reply<'a> {
    service: u8,
    status: u8,
    data: &'a [u8],
}

impl<'a> Reply<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Short> {
        let mut cursor = Cursor::new(message);
        let service = cursor.u8()? & !REPLY;
        cursor.skip(1)?;
        let status = cursor.u8()?;
        let words = usize::from(cursor.u8()?);
        cursor.skip(words * 2)?;
        Ok(Self { service, status, data: cursor.rest() })
    }

    /// A partial transfer succeeded so far; an envelope with an embedded error was itself accepted.
    fn outcome(&self) -> Outcome {
        match self.status {
            0 | STATUS_PARTIAL_TRANSFER => Outcome::Ok,
            STATUS_EMBEDDED_ERROR if self.service == MULTIPLE_SERVICE_PACKET => Outcome::Ok,
            _ => Outcome::Error,
        }
    }
}

/// The service of a reply without its reply bit.
pub(super) fn reply_service(message: &[u8]) -> Option<u8> {
    message.first().map(|service| service & !REPLY)
}

impl Request {
    /// Whether a reply with this service can belong to the request.
    pub fn fits(&self, reply_service: u8) -> bool {
        self.operation.code == Some(u32::from(reply_service))
            || matches!(self.detail, Detail::UnconnectedSend)
                && self.embedded.iter().any(|inner| inner.fits(reply_service))
    }

    /// Child address the innermost request goes to.
    pub fn child(&self) -> &Child {
        match (&self.detail, self.embedded.first()) {
            (Detail::UnconnectedSend, Some(inner)) => &inner.operation.server_child,
            _ => &self.operation.server_child,
        }
    }
}

/// The child reached from `outer` by `inner`.
fn behind(outer: &Child, inner: Child) -> Child {
    match (outer, inner) {
        (Child::Text(outer), Child::Text(inner)) => {
            let mut text = outer.clone();
            text.push('/');
            text.push_str(inner.strip_prefix("cip-slot ").unwrap_or(&inner));
            Child::Text(text)
        }
        (outer, Child::None) => outer.clone(),
        (_, inner) => inner,
    }
}

/// The embedded messages of a Multiple Service Packet's data: count, offsets from the count.
fn parts<'a>(input: &Input<'_>, out: &mut Out, data: &'a [u8]) -> Vec<&'a [u8]> {
    let mut cursor = Cursor::new(data);
    let count = usize::from(cursor.u16_le().unwrap_or(0));
    let mut offsets = Vec::new();
    for _ in 0..count.min(MOST_EMBEDDED) {
        match cursor.u16_le() {
            Ok(offset) => offsets.push(usize::from(offset)),
            Err(_) => break,
        }
    }
    let ends = offsets.iter().skip(1).copied().chain([data.len()]);
    let mut bad = offsets.len() < count.min(MOST_EMBEDDED);
    let parts = offsets
        .iter()
        .zip(ends)
        .filter_map(|(&start, end)| {
            let part = data.get(start..end).filter(|part| !part.is_empty() && start >= 2);
            bad |= part.is_none();
            part
        })
        .collect();
    if bad && !input.truncated {
        out.push(input.violation(NAME, "cip-multiple-service-offsets", part_at(data, 0, 64)));
    }
    parts
}

/// What the originator expects of the target (Vol. 1 C-1.4.2); zeros mean "any".
fn electronic_key(input: &Input<'_>, out: &mut Out, key: &[u8], child: &Child) {
    let mut cursor = Cursor::new(key);
    let mut claim = |attribute, value: CompactString, part, decode| {
        out.claim(Claim {
            who: Who::Receiver(child.clone()),
            attribute,
            value,
            protocol: NAME,
            message: "forward-open-electronic-key",
            confidence: Confidence::Medium,
            evidence: input.evidence(part, decode),
        });
    };
    for attribute in ["vendor_id", "device_type_id", "product_code"] {
        let Ok(part) = cursor.take(2) else { return };
        let number = Cursor::new(part).u16_le().unwrap_or(0);
        // A device type of 0 is "generic" and as good as none.
        if number != 0 {
            claim(attribute, compact_str::format_compact!("{number}"), part, Decode::UnsignedLe);
        }
    }
    if let Ok(part) = cursor.take(2)
        && let [major, minor] = *part
    {
        // The top bit says "or a compatible one" and is no part of the revision.
        let exact = major & 0x80 == 0;
        let match_by = if exact { "exact" } else { "compatible" };
        claim("electronic_key", match_by.into(), part, Decode::Derived);
        if major & 0x7f == 0 || minor == 0 {
            return;
        }
        let decode = if exact { Decode::Dotted } else { Decode::Derived };
        let value = compact_str::format_compact!("{}.{minor}", major & 0x7f);
        claim("firmware", value, part, decode);
    }
}

fn io_connection(
    input: &Input<'_>,
    operation: &Operation,
    path: CompactString,
    there: u32,
    back: u32,
) -> Event {
    Event {
        kind: "cip-io-connection",
        protocol: NAME,
        sender: input.side.other(),
        values: vec![
            ("originator_to_target", compact_str::format_compact!("{there}")),
            ("path", path),
            ("target_to_originator", compact_str::format_compact!("{back}")),
        ],
        evidence: operation.evidence.clone(),
    }
}

/// Claims what attribute `attribute` of `class` says, and steps over it.
pub(super) fn claims(
    input: &Input<'_>,
    out: &mut Out,
    class: u32,
    attribute: u32,
    cursor: &mut Cursor<'_>,
    who: &Who,
    message: &'static str,
) -> Result<(), Short> {
    claims_as(NAME, input, out, class, attribute, cursor, who, message)
}

/// The same for another protocol that carries the identity object's attributes.
#[expect(clippy::too_many_arguments, reason = "one claim has as many parts")]
pub(super) fn claims_as(
    protocol: &'static str,
    input: &Input<'_>,
    out: &mut Out,
    class: u32,
    attribute: u32,
    cursor: &mut Cursor<'_>,
    who: &Who,
    message: &'static str,
) -> Result<(), Short> {
    let mut claim = |attribute, value: CompactString, part: &[u8], decode| {
        out.claim(Claim {
            who: who.clone(),
            attribute,
            value,
            protocol,
            message,
            confidence: Confidence::High,
            evidence: input.evidence(part, decode),
        });
    };
    match (class, attribute) {
        (IDENTITY, 1..=3) => {
            let part = cursor.take(2)?;
            let number = Cursor::new(part).u16_le()?;
            let name = match attribute {
                1 => "vendor_id",
                2 => "device_type_id",
                _ => "product_code",
            };
            claim(name, number.to_compact_string(), part, Decode::UnsignedLe);
        }
        (IDENTITY, 4) => {
            let part = cursor.take(2)?;
            if let [major, minor] = *part {
                let value = text::Builder::default().number(major).text(".").number(minor).build();
                claim("firmware", value, part, Decode::Dotted);
            }
        }
        (IDENTITY, 5) => cursor.skip(2)?,
        (IDENTITY, 6) => {
            let part = cursor.take(4)?;
            let value = compact_str::format_compact!("0x{:08x}", Cursor::new(part).u32_le()?);
            claim("serial", value, part, Decode::Hex32Le);
        }
        (IDENTITY, 7) => {
            let length = usize::from(cursor.u8()?);
            let name = text::trim(cursor.take(length)?);
            claim("model", text::utf8(name), name, Decode::Utf8);
        }
        (IDENTITY, 8) => cursor.skip(1)?,
        // Host name of the TCP/IP interface: STRING with a 16-bit length.
        (TCP_IP, 6) => {
            let length = usize::from(cursor.u16_le()?);
            let name = text::trim(cursor.take(length)?);
            claim("name", text::utf8(name), name, Decode::Utf8);
        }
        (ETHERNET_LINK, 3) => {
            let part = cursor.take(6)?;
            let value =
                compact_str::format_compact!("{}", otic_wire::Mac(Cursor::new(part).array()?));
            claim("mac_address", value, part, Decode::Mac);
        }
        // The length of anything else is not known here: nothing after it can be read.
        _ => return Err(Short { wanted: 1, got: 0, offset: cursor.position() }),
    }
    Ok(())
}

/// The reply of Get_Attribute_List: count, then attribute id, status and value each.
fn attribute_list(
    input: &Input<'_>,
    out: &mut Out,
    class: u32,
    data: &[u8],
    child: Child,
    message: &'static str,
) -> Result<(), Short> {
    let mut cursor = Cursor::new(data);
    let who = Who::Sender(child);
    for _ in 0..cursor.u16_le()?.min(16) {
        let attribute = u32::from(cursor.u16_le()?);
        if cursor.u16_le()? == 0 {
            claims(input, out, class, attribute, &mut cursor, &who, message)?;
        }
    }
    Ok(())
}

/// A tag's data type; a structure's handle is stepped over.
fn tag_type(cursor: &mut Cursor<'_>) -> Result<u16, Short> {
    let kind = cursor.u16_le()?;
    if kind == 0x02a0 {
        cursor.skip(2)?;
    }
    Ok(kind)
}

/// The written value of a tag and how its bytes read.
fn tag_value(input: &Input<'_>, kind: u16, count: u16, data: &[u8]) -> (Value, Evidence) {
    if count == 1
        && let Some((value, part)) = scalar(kind, data)
    {
        let decode = match value {
            // A BOOL may be written as 0xFF: its value does not spell its byte.
            Value::Integer(number) if number >= 0 && kind & 0xff != 0xc1 => Decode::UnsignedLe,
            _ => Decode::Derived,
        };
        return (value, input.evidence(part, decode));
    }
    let part = data.get(..data.len().min(LONGEST_VALUE)).unwrap_or_default();
    (Value::Bytes(part.to_vec()), input.evidence(part, Decode::Hex))
}

/// One value of an elementary type (Vol. 1 Appendix C-6.1), when the data is exactly that (BOOL and
/// SINT may be padded to even length).
fn scalar(kind: u16, data: &[u8]) -> Option<(Value, &[u8])> {
    let size = match kind & 0x00ff {
        0xc1 | 0xc2 | 0xc6 | 0xd1 => 1,
        0xc3 | 0xc7 | 0xd2 => 2,
        0xc4 | 0xc8 | 0xca | 0xd3 => 4,
        0xc5 | 0xc9 | 0xcb | 0xd4 => 8,
        _ => return None,
    };
    if kind >> 8 != 0 && kind & 0xff != 0xc1 || data.len() > size + size % 2 {
        return None;
    }
    let part = data.get(..size)?;
    let mut cursor = Cursor::new(part);
    let value = match kind & 0x00ff {
        0xc1 => Value::Integer(i64::from(cursor.u8().ok()? != 0)),
        0xc2 => Value::Integer(i64::from(i8::from_le_bytes(cursor.array().ok()?))),
        0xc6 | 0xd1 => Value::Integer(i64::from(cursor.u8().ok()?)),
        0xc3 => Value::Integer(i64::from(i16::from_le_bytes(cursor.array().ok()?))),
        0xc7 | 0xd2 => Value::Integer(i64::from(cursor.u16_le().ok()?)),
        0xc4 => Value::Integer(i64::from(i32::from_le_bytes(cursor.array().ok()?))),
        0xc8 | 0xd3 => Value::Integer(i64::from(cursor.u32_le().ok()?)),
        0xca => Value::Real(f64::from(cursor.f32_le().ok()?)),
        0xc5 => Value::Integer(i64::from_le_bytes(cursor.array().ok()?)),
        0xc9 | 0xd4 => Value::Integer(i64::try_from(cursor.u64_le().ok()?).ok()?),
        _ => Value::Real(f64::from_le_bytes(cursor.array().ok()?)),
    };
    Some((value, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connections_of_a_session_can_be_restored() {
        let mut known = State::default();
        for (id, child) in [(1, Child::Text("cip-slot 1/4".into())), (0xffff_ffff, Child::None)] {
            known.connections.push_back(Connection {
                originator_to_target: id,
                target_to_originator: 9,
                child,
            });
        }
        let bytes = known.context().unwrap();
        let mut restored = State::default();
        restored.restore(&bytes);
        assert_eq!((Child::Text("cip-slot 1/4".into()), 1), restored.connection(1));
        assert_eq!((Child::None, u32::MAX), restored.connection(9));
        for cut in 0..bytes.len() {
            State::default().restore(&bytes[..cut]);
        }
        assert_eq!(None, State::default().context());
    }
}
