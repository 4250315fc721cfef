//! DCE/RPC over TCP, over UDP and inside SMB named pipes ([`crate::smb`]).
//!
//! Sources: C706 (DCE 1.1 Remote Procedure Call) §12.6 (connection-oriented PDUs), §12.5
//! (connectionless PDUs), §14.1 and appendix O (endpoint mapper), appendix L (protocol towers);
//! [MS-RPCE] §2.2.2.11 (auth verifier), §2.2.1.1.7 (authentication types), §2.2.1.1.8 (levels);
//! names of interfaces and methods: [`names`].
//!
//! A request is the operation of its method: code = operation number, object = interface. Binding
//! an interface is an operation of `dcerpc-association`, code = PDU type. The answer of the endpoint
//! mapper is the event `rpc-endpoint`; a service that is made on another machine is the event
//! `service-created`. NTLM in auth verifiers is read by [`crate::ntlm`].
//!
//! Violations: `dcerpc-length` (a fragment shorter than its own header).
//!
//! Not decoded: parameters of other methods, encrypted ones in particular (coverage), RPC over HTTP.

use compact_str::{CompactString, format_compact};
use otic_wire::{Address, Spans};
use smallvec::SmallVec;

use crate::fields::{array_at, part_at, u8_at};
use crate::ntlm::{self, Login};
use crate::out::{Action, Event, Item, Object, Operation, Out, Outcome, Violation};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

mod names;

/// DCE/RPC.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "DCE/RPC",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[135]), Carrier::Udp(&[135])],
    dissector: Dissector::Built { probe, session: || Box::new(Dcerpc::default()) },
    source: "C706 (DCE 1.1 RPC), [MS-RPCE]",
};

const NAME: &str = "dcerpc";
const ASSOCIATION: &str = "dcerpc-association";

/// Bytes of the common header (§12.6.3.1) and of a connectionless PDU's (§12.5.1).
const HEADER: usize = 16;
const DATAGRAM_HEADER: usize = 80;
/// Bytes of a fragment that are kept; more are skipped.
const WHOLE: usize = 8 * 1024;

const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const FAULT: u8 = 3;
const BIND: u8 = 11;
const BIND_ACK: u8 = 12;
const BIND_NAK: u8 = 13;
const ALTER_CONTEXT: u8 = 14;
const ALTER_CONTEXT_RESPONSE: u8 = 15;
const AUTH3: u8 = 16;

const FIRST_FRAGMENT: u8 = 0x01;
const MAYBE: u8 = 0x40;
const OBJECT_UUID: u8 = 0x80;
/// Stub data is encrypted (RPC_C_AUTHN_LEVEL_PKT_PRIVACY).
const PRIVACY: u8 = 6;
/// nca_s_fault_access_denied, as Windows sends it (ERROR_ACCESS_DENIED).
const ACCESS_DENIED: u32 = 5;

/// Calls of one association that may wait, and presentation contexts that are remembered.
const WAITING: usize = 64;
const CONTEXTS: usize = 64;

/// A number at `at` in the byte order of the sender.
#[derive(Debug, Clone, Copy)]
struct Order {
    little: bool,
}

impl Order {
    /// Data representation: the high nibble of its first byte is the integers' byte order
    /// (C706 §14.1).
    const fn of(representation: u8) -> Self {
        Self { little: representation & 0xf0 == 0x10 }
    }

    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let raw = array_at(bytes, at)?;
        Some(if self.little { u16::from_le_bytes(raw) } else { u16::from_be_bytes(raw) })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let raw = array_at(bytes, at)?;
        Some(if self.little { u32::from_le_bytes(raw) } else { u32::from_be_bytes(raw) })
    }

    /// A UUID as text (C706 appendix A).
    fn uuid(self, bytes: &[u8], at: usize) -> Option<CompactString> {
        let (a, b, c) = (self.u32(bytes, at)?, self.u16(bytes, at + 4)?, self.u16(bytes, at + 6)?);
        let [d, e, f @ ..] = array_at::<8>(bytes, at + 8)?;
        let mut text = format_compact!("{a:08x}-{b:04x}-{c:04x}-{d:02x}{e:02x}-");
        for byte in f {
            text.push_str(&format_compact!("{byte:02x}"));
        }
        Some(text)
    }
}

/// One connection-oriented fragment, as far as it is there.
#[derive(Debug, Clone, Copy)]
struct Pdu<'a> {
    kind: u8,
    flags: u8,
    order: Order,
    length: usize,
    auth_length: usize,
    call: u32,
    bytes: &'a [u8],
}

enum Front<'a> {
    Pdu(Pdu<'a>),
    Incomplete,
    Short,
    Foreign,
}

/// What stands at the front of the bytes; a fragment's end may be missing.
fn front(bytes: &[u8]) -> Front<'_> {
    let fits = match *bytes {
        [] => true,
        [5] => true,
        // Minor version 1 is that of DCE's own run-time, which nobody speaks; SOCKS starts so.
        [5, 0] => true,
        [5, 0, kind] => kind <= 19,
        [5, 0, kind, _, ref rest @ ..] => {
            let representation = part_at(rest, 0, 4);
            kind <= 19
                && !matches!(kind, 1 | 4..=10)
                && rest.first().is_none_or(|byte| matches!(byte, 0x00 | 0x10))
                && representation.get(1..).is_none_or(|floats| floats.iter().all(|byte| *byte <= 3))
        }
        _ => false,
    };
    if !fits {
        return Front::Foreign;
    }
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Front::Incomplete };
    let &[_, _, kind, flags, representation, ..] = header;
    let order = Order::of(representation);
    let number = |at| usize::from(order.u16(header, at).unwrap_or_default());
    let (length, auth_length) = (number(8), number(10));
    if length < HEADER || auth_length > length - HEADER {
        return Front::Short;
    }
    Front::Pdu(Pdu {
        kind,
        flags,
        order,
        length,
        auth_length,
        call: order.u32(header, 12).unwrap_or_default(),
        bytes: part_at(bytes, 0, length),
    })
}

/// Whether the bytes are a connectionless PDU (C706 §12.5.1): version 4, a type, a body that fits.
fn is_datagram(bytes: &[u8]) -> bool {
    let Some(&[4, kind, _, _, representation, floats, ..]) = bytes.first_chunk::<DATAGRAM_HEADER>()
    else {
        return false;
    };
    let order = Order::of(representation);
    let length = order.u16(bytes, 74).map_or(usize::MAX, usize::from);
    kind <= 10
        && matches!(representation, 0x00 | 0x10)
        && floats <= 3
        && u8_at(bytes, 6) == Some(0)
        && DATAGRAM_HEADER + length <= bytes.len()
}

fn probe(input: &Input<'_>) -> Probe {
    if input.transport == Transport::Udp {
        return if is_datagram(input.bytes) { Probe::Certain } else { Probe::No };
    }
    match front(input.bytes) {
        Front::Pdu(pdu) if pdu.length >= 20 => Probe::Certain,
        Front::Incomplete => Probe::More,
        Front::Short => Probe::Weak,
        Front::Pdu(_) | Front::Foreign => Probe::No,
    }
}

/// A call or a binding that waits.
#[derive(Debug)]
struct Waiting {
    operations: SmallVec<[Box<Operation>; 1]>,
    /// It asks the endpoint mapper where an interface is.
    maps: bool,
}

/// One association: the interfaces that were bound, the calls that wait.
#[derive(Debug)]
pub struct Association {
    contexts: Vec<(u16, CompactString)>,
    pending: Pending<(bool, u32, Side), Waiting>,
    /// A log-in whose success the next answer shows.
    login: Option<(Login, Side)>,
    client_told: bool,
    encrypted: bool,
}

impl Default for Association {
    fn default() -> Self {
        Self {
            contexts: Vec::new(),
            pending: Pending::new(WAITING),
            login: None,
            client_told: false,
            encrypted: false,
        }
    }
}

impl Association {
    /// The presentation contexts: number, length of the interface's name, name.
    fn context(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for (context, name) in &self.contexts {
            if let Ok(length) = u8::try_from(name.len()) {
                bytes.extend_from_slice(&context.to_le_bytes());
                bytes.push(length);
                bytes.extend_from_slice(name.as_bytes());
            }
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    fn restore(&mut self, mut bytes: &[u8]) {
        while let Some((&[low, high, length], rest)) = bytes.split_first_chunk()
            && let Some((name, rest)) = rest.split_at_checked(usize::from(length))
            && let Ok(name) = std::str::from_utf8(name)
            && self.contexts.len() < CONTEXTS
        {
            self.contexts.push((u16::from_le_bytes([low, high]), name.into()));
            bytes = rest;
        }
    }

    /// Reads the fragments in `bytes`, a sub-slice of `input.bytes` that holds what was written to
    /// or read from a pipe. A fragment that goes on elsewhere is read as far as it is there.
    pub fn pipe(&mut self, input: &Input<'_>, bytes: &[u8], out: &mut Out) {
        let mut rest = bytes;
        while let Front::Pdu(pdu) = front(rest) {
            out.layer(NAME, input.side);
            // The client of a pipe is that of SMB.
            self.client_told = true;
            self.pdu(input, &pdu, out);
            rest = rest.get(pdu.length..).unwrap_or_default();
        }
    }

    /// Reports what still waits.
    pub fn finish(&mut self, out: &mut Out) {
        for waiting in self.pending.drain() {
            for operation in waiting.operations {
                out.operation(operation);
            }
        }
    }

    fn client(&mut self, client: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_told, true) {
            out.push(Item::Client(client));
        }
    }

    fn pdu(&mut self, input: &Input<'_>, pdu: &Pdu<'_>, out: &mut Out) {
        match pdu.kind {
            REQUEST => self.request(input, pdu, out),
            RESPONSE | FAULT if pdu.flags & FIRST_FRAGMENT != 0 => self.response(input, pdu, out),
            BIND | ALTER_CONTEXT => self.bind(input, pdu, out),
            BIND_ACK | BIND_NAK | ALTER_CONTEXT_RESPONSE => self.bound(input, pdu, out),
            _ => {}
        }
        self.verifier(input, pdu, out);
    }

    /// What authenticates the fragment stands at its end (§13.2.6.1): 8 bytes, then the token.
    fn verifier(&mut self, input: &Input<'_>, pdu: &Pdu<'_>, out: &mut Out) {
        if pdu.auth_length == 0 || !matches!(pdu.kind, BIND..=AUTH3) {
            return;
        }
        let Some(start) = pdu.length.checked_sub(pdu.auth_length) else { return };
        let token = part_at(pdu.bytes, start, pdu.auth_length);
        if let Some(login) = ntlm::read(input, token, NAME, out)
            && login.mechanism == "ntlm"
        {
            self.login = Some((login, input.side));
        }
    }

    fn operation(
        &self,
        input: &Input<'_>,
        pdu: &Pdu<'_>,
        sender: Side,
        context: u16,
        opnum: Option<u16>,
    ) -> Operation {
        let bound = self.contexts.iter().find(|(id, _)| *id == context);
        let interface = bound.map_or("", |(_, name)| name);
        let (name, action) = match opnum {
            Some(opnum) => names::method(interface, opnum),
            None => ("unknown", Action::Diagnostics),
        };
        Operation {
            code: opnum.map(u32::from),
            object: if interface.is_empty() {
                Object::None
            } else {
                Object::Text(interface.into())
            },
            ..input.operation(NAME, sender, (name, action), part_at(pdu.bytes, 0, 24))
        }
    }

    fn insert(&mut self, key: (bool, u32, Side), waiting: Waiting, out: &mut Out) {
        if let Some(oldest) = self.pending.insert(key, waiting) {
            for operation in oldest.operations {
                out.operation(operation);
            }
        }
    }

    /// §12.6.4.9: allocation hint, context, operation number, perhaps an object.
    fn request(&mut self, input: &Input<'_>, pdu: &Pdu<'_>, out: &mut Out) {
        if pdu.flags & FIRST_FRAGMENT == 0 {
            return;
        }
        let (Some(context), Some(opnum)) =
            (pdu.order.u16(pdu.bytes, 20), pdu.order.u16(pdu.bytes, 22))
        else {
            return;
        };
        self.client(input.side, out);
        let mut operation = self.operation(input, pdu, input.side, context, Some(opnum));
        if operation.object == Object::None {
            out.push(Item::StartNotSeen(NAME));
        }
        let stub_at = if pdu.flags & OBJECT_UUID == 0 { 24 } else { 40 };
        let encrypted = pdu.auth_length > 0
            && pdu.length.checked_sub(pdu.auth_length + 8).and_then(|at| u8_at(pdu.bytes, at + 1))
                == Some(PRIVACY);
        if encrypted && !std::mem::replace(&mut self.encrypted, true) {
            out.push(Item::NotDecoded(NAME, "encrypted"));
        }
        let stub = pdu.bytes.get(stub_at..).unwrap_or_default();
        if !encrypted && matches!(operation.name, "RCreateServiceW" | "RCreateServiceWOW64W") {
            service_created(input, stub, pdu.order, out);
        }
        if pdu.flags & MAYBE != 0 {
            operation.outcome = Outcome::None;
            out.operation(operation);
            return;
        }
        let maps = operation.name == "ept_map";
        let operations = SmallVec::from_buf([Box::new(operation)]);
        self.insert((false, pdu.call, input.side), Waiting { operations, maps }, out);
    }

    fn response(&mut self, input: &Input<'_>, pdu: &Pdu<'_>, out: &mut Out) {
        let asker = input.side.other();
        self.client(asker, out);
        let outcome = if pdu.kind == RESPONSE { Outcome::Ok } else { Outcome::Error };
        if let Some((login, _)) = self.login.take_if(|(_, side)| *side == asker) {
            let refused = pdu.kind == FAULT && pdu.order.u32(pdu.bytes, 24) == Some(ACCESS_DENIED);
            out.push(Item::Event(Event {
                kind: if refused { "login-failed" } else { "login" },
                protocol: NAME,
                sender: asker,
                values: login.values(),
                evidence: input.locate(part_at(pdu.bytes, 0, 28)),
            }));
        }
        let Some(waiting) = self.pending.take(&(false, pdu.call, asker)) else {
            let context = pdu.order.u16(pdu.bytes, 20).unwrap_or_default();
            let mut operation = self.operation(input, pdu, asker, context, None);
            operation.outcome = outcome;
            out.unpaired(operation);
            return;
        };
        if waiting.maps && pdu.kind == RESPONSE {
            mapped(input, pdu.bytes.get(24..).unwrap_or_default(), pdu.order, out);
        }
        for mut operation in waiting.operations {
            operation.outcome = outcome;
            out.operation(operation);
        }
    }

    /// §12.6.4.3: sizes, group, then the presentation contexts: id, interface, transfer syntaxes.
    fn bind(&mut self, input: &Input<'_>, pdu: &Pdu<'_>, out: &mut Out) {
        self.client(input.side, out);
        let count = u8_at(pdu.bytes, 24).unwrap_or_default();
        let mut at = 28;
        let mut operations: SmallVec<[Box<Operation>; 1]> = SmallVec::new();
        for _ in 0..count {
            let (Some(context), Some(transfers), Some(uuid)) = (
                pdu.order.u16(pdu.bytes, at),
                u8_at(pdu.bytes, at + 2),
                pdu.order.uuid(pdu.bytes, at + 4),
            ) else {
                break;
            };
            let interface = CompactString::from(names::interface(&uuid));
            if let Some((_, name)) = self.contexts.iter_mut().find(|(id, _)| *id == context) {
                *name = interface;
            } else if self.contexts.len() < CONTEXTS {
                self.contexts.push((context, interface));
            }
            let mut operation = self.operation(input, pdu, input.side, context, None);
            // Another transfer syntax of an interface is a context of its own.
            if !operations.iter().any(|known| known.object == operation.object) {
                operation.protocol = ASSOCIATION;
                operation.code = Some(u32::from(pdu.kind));
                operation.name = if pdu.kind == BIND { "bind" } else { "alter_context" };
                operation.action = Action::Session;
                operation.evidence = input.locate(part_at(pdu.bytes, at, 24));
                operations.push(Box::new(operation));
            }
            at += 24 + 20 * usize::from(transfers);
        }
        if !operations.is_empty() {
            let waiting = Waiting { operations, maps: false };
            self.insert((true, pdu.call, input.side), waiting, out);
        }
    }

    /// §12.6.4.4 and §12.6.4.5: the results stand behind the secondary address.
    fn bound(&mut self, input: &Input<'_>, pdu: &Pdu<'_>, out: &mut Out) {
        let asker = input.side.other();
        self.client(asker, out);
        let accepted = pdu.kind != BIND_NAK && {
            let address = usize::from(pdu.order.u16(pdu.bytes, 24).unwrap_or_default());
            let at = (26 + address).next_multiple_of(4);
            let count = usize::from(u8_at(pdu.bytes, at).unwrap_or_default());
            let result = |index| pdu.order.u16(pdu.bytes, at + 4 + 24 * index);
            count == 0 || (0..count).any(|index| result(index) == Some(0))
        };
        let Some(waiting) = self.pending.take(&(true, pdu.call, asker)) else { return };
        for mut operation in waiting.operations {
            operation.outcome = if accepted { Outcome::Ok } else { Outcome::Error };
            out.operation(operation);
        }
    }
}

/// The service's name in RCreateServiceW ([MS-SCMR] §3.1.4.12): a handle of 20 bytes, then a
/// conformant varying string (C706 §14.3.4.2: size, offset, length, letters).
fn service_created(input: &Input<'_>, stub: &[u8], order: Order, out: &mut Out) {
    let Some(letters) = order.u32(stub, 28).filter(|letters| *letters <= 257) else { return };
    let part = text::trim_utf16(part_at(stub, 32, 2 * letters as usize));
    if part.is_empty() {
        return;
    }
    out.push(Item::Event(Event {
        kind: "service-created",
        protocol: NAME,
        sender: input.side,
        values: vec![("service", text::utf16le(part))],
        evidence: input.locate(part),
    }));
}

/// The towers in the answer of ept_map (C706 appendix O; NDR): a handle of 20 bytes, their number,
/// an array of pointers (size, offset, length), then each: length twice, and its floors.
fn mapped(input: &Input<'_>, stub: &[u8], order: Order, out: &mut Out) {
    let Some(count) = order.u32(stub, 20).filter(|count| (1..=16).contains(count)) else { return };
    let mut at = 36 + 4 * count as usize;
    for _ in 0..count {
        let Some(length) = order.u32(stub, at + 4).filter(|length| *length < 1024) else { return };
        let tower = part_at(stub, at + 8, length as usize);
        if let Some(values) = tower_values(tower) {
            out.push(Item::Event(Event {
                kind: "rpc-endpoint",
                protocol: NAME,
                sender: input.side,
                values,
                evidence: input.locate(tower),
            }));
        }
        at = (at + 8 + length as usize).next_multiple_of(4);
    }
}

/// Interface, address and port of a protocol tower (C706 appendix L; always little-endian, ports
/// and addresses big-endian).
fn tower_values(tower: &[u8]) -> Option<Vec<(&'static str, CompactString)>> {
    const LITTLE: Order = Order { little: true };
    let floors = LITTLE.u16(tower, 0)?;
    let mut at = 2;
    let mut values = Vec::new();
    for floor in 0..floors.min(8) {
        let left = usize::from(LITTLE.u16(tower, at)?);
        let right_at = at + 2 + left;
        let right = usize::from(LITTLE.u16(tower, right_at)?);
        let value = part_at(tower, right_at + 2, right);
        match (u8_at(tower, at + 2)?, floor) {
            (0x0d, 0) => {
                let uuid = LITTLE.uuid(tower, at + 3)?;
                values.push(("interface", names::interface(&uuid).into()));
            }
            (0x07 | 0x08, _) => {
                let port = u16::from_be_bytes(array_at(value, 0)?);
                values.push(("port", format_compact!("{port}")));
            }
            (0x0f | 0x10, _) => values.push(("pipe", text::utf8(text::trim(value)))),
            (0x09, _) => {
                let address = Address::from(std::net::Ipv4Addr::from(array_at::<4>(value, 0)?));
                values.push(("address", format_compact!("{address}")));
            }
            _ => {}
        }
        at = right_at + 2 + right;
    }
    values.sort_unstable();
    (values.len() > 1).then_some(values)
}

#[derive(Debug, Default)]
struct Direction {
    /// Bytes of a fragment that are skipped.
    skip: usize,
    /// A fragment was read since the start or the last gap.
    synchronised: bool,
}

/// What pairs connectionless PDUs: activity, sequence number, who asked.
type Call = ([u8; 16], u32, Side);

/// A flow that carries DCE/RPC.
#[derive(Default)]
struct Dcerpc {
    association: Association,
    directions: [Direction; 2],
    datagrams: Option<Pending<Call, Box<Operation>>>,
}

impl Dcerpc {
    /// §12.5.1: type at 1, flags at 2, interface at 24, activity at 40, sequence at 64, operation
    /// at 68, fragment at 76.
    fn datagram(&mut self, input: &Input<'_>, out: &mut Out) -> Option<()> {
        let bytes = input.bytes;
        if !is_datagram(bytes) {
            return None;
        }
        out.layer(NAME, input.side);
        let &[_, kind, flags, _, representation, ..] = bytes.first_chunk::<DATAGRAM_HEADER>()?;
        let order = Order::of(representation);
        let (activity, sequence) = (array_at::<16>(bytes, 40)?, order.u32(bytes, 64)?);
        let is_reply = matches!(kind, RESPONSE | FAULT | 6);
        // Fragments after the first, and pings, working notes and acknowledgements.
        if order.u16(bytes, 76)? != 0 || !(kind == REQUEST || is_reply) {
            return Some(());
        }
        let sender = if is_reply { input.side.other() } else { input.side };
        self.association.client(sender, out);
        let opnum = order.u16(bytes, 68)?;
        let uuid = order.uuid(bytes, 24)?;
        let interface = names::interface(&uuid);
        let (name, action) = names::method(interface, opnum);
        let mut operation = Box::new(Operation {
            code: Some(u32::from(opnum)),
            object: Object::Text(interface.into()),
            ..input.operation(NAME, sender, (name, action), part_at(bytes, 0, DATAGRAM_HEADER))
        });
        let pending = self.datagrams.get_or_insert_with(|| Pending::new(WAITING));
        let key = (activity, sequence, sender);
        if kind == REQUEST {
            if pending.get_mut(&key).is_some() {
                return Some(()); // sent again
            }
            if flags & 0x10 != 0 {
                operation.outcome = Outcome::None;
                out.operation(operation);
            } else if let Some(oldest) = pending.insert(key, operation) {
                out.operation(oldest);
            }
            return Some(());
        }
        let outcome = if kind == RESPONSE { Outcome::Ok } else { Outcome::Error };
        match pending.take(&key) {
            Some(mut request) => {
                request.outcome = outcome;
                out.operation(request);
            }
            None => {
                operation.outcome = outcome;
                out.unpaired(operation);
            }
        }
        Some(())
    }
}

fn violation(input: &Input<'_>, evidence: Spans) -> Item {
    Item::Violation(Violation {
        rule: "dcerpc-length",
        protocol: NAME,
        sender: input.side,
        values: Vec::new(),
        evidence,
    })
}

impl Session for Dcerpc {
    fn context(&self) -> Option<Vec<u8>> {
        self.association.context()
    }

    fn restore(&mut self, context: &[u8]) {
        self.association.restore(context);
    }

    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.transport == Transport::Udp {
            self.datagram(input, out);
            return input.bytes.len();
        }
        let direction = input.side.of(&mut self.directions);
        if input.after_gap {
            *direction = Direction::default();
        }
        let mut used = direction.skip.min(input.bytes.len());
        direction.skip -= used;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Pdu(pdu) => {
                    if pdu.bytes.len() < pdu.length.min(WHOLE) {
                        break;
                    }
                    direction.synchronised = true;
                    let there = part_at(pdu.bytes, 0, WHOLE);
                    self.association.pdu(input, &Pdu { bytes: there, ..pdu }, out);
                    let taken = pdu.length.min(rest.len());
                    direction.skip = pdu.length - taken;
                    used += taken;
                }
                Front::Incomplete => break,
                Front::Short => {
                    if direction.synchronised {
                        out.push(violation(input, input.locate(part_at(rest, 0, HEADER))));
                    }
                    direction.synchronised = false;
                    used = input.bytes.len();
                }
                Front::Foreign => {
                    direction.synchronised = false;
                    used = input.bytes.len();
                }
            }
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        self.association.finish(out);
        if let Some(mut datagrams) = self.datagrams.take() {
            for operation in datagrams.drain() {
                out.operation(operation);
            }
        }
    }

    fn stream_cap(&self) -> usize {
        WHOLE + 1024
    }
}

/// PDUs for the tests of protocols that carry them.
#[cfg(test)]
pub mod messages {
    /// A little-endian fragment, first and last, of `kind` and `call`.
    pub fn pdu(kind: u8, call: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![5, 0, kind, 3, 0x10, 0, 0, 0];
        bytes.extend((16 + body.len() as u16).to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(call.to_le_bytes());
        bytes.extend(body);
        bytes
    }

    /// svcctl, 367abb81-9844-35f1-ad32-98f038001003.
    pub const SVCCTL: [u8; 16] =
        [0x81, 0xbb, 0x7a, 0x36, 0x44, 0x98, 0xf1, 0x35, 0xad, 0x32, 0x98, 0xf0, 0x38, 0, 0x10, 3];

    /// A bind of context 0 to `uuid`, version 2.
    pub fn bind(call: u32, uuid: &[u8; 16]) -> Vec<u8> {
        let mut body = vec![0xb8, 0x10, 0xb8, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0];
        body.extend(uuid);
        body.extend([2, 0, 0, 0]);
        body.extend([4; 20]); // transfer syntax
        pdu(11, call, &body)
    }

    /// The acceptance of one context.
    pub fn bind_ack(call: u32) -> Vec<u8> {
        let mut body = vec![0xb8, 0x10, 0xb8, 0x10, 1, 0, 0, 0, 4, 0];
        body.extend(b"135\0"); // secondary address, then padding to four
        body.extend([0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        body.extend([4; 20]);
        pdu(12, call, &body)
    }

    /// A request of operation `opnum` in context 0.
    pub fn request(call: u32, opnum: u16, stub: &[u8]) -> Vec<u8> {
        let mut body = vec![0, 0, 0, 0, 0, 0];
        body.extend(opnum.to_le_bytes());
        body.extend(stub);
        pdu(0, call, &body)
    }

    /// RCreateServiceW's parameters as far as the service's name.
    pub fn create_service(name: &str) -> Vec<u8> {
        let letters = name.len() as u32 + 1;
        let mut stub = vec![7; 20];
        for number in [letters, 0, letters] {
            stub.extend(number.to_le_bytes());
        }
        stub.extend(crate::ntlm::messages::utf16(name));
        stub.extend([0, 0]);
        stub
    }
}

#[cfg(test)]
mod tests {
    use super::messages::*;
    use super::*;
    use crate::testing;

    fn operations(items: &[Item]) -> Vec<(&'static str, Option<u32>, CompactString, Outcome)> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(op) => Some((op.name, op.code, op.object.to_text(), op.outcome)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn methods_have_the_name_of_the_interface_that_was_bound() {
        let fault = pdu(3, 3, &[0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        let talk = [
            (Side::A, bind(1, &SVCCTL)),
            (Side::B, bind_ack(1)),
            (Side::A, request(2, 12, &create_service("PSEXESVC"))),
            (Side::B, pdu(2, 2, &[0; 32])),
            (Side::A, request(3, 19, &[])),
            (Side::B, fault),
            (Side::A, request(4, 200, &[])),
        ];
        let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        let items = testing::items(&PROTOCOL, &talk);
        assert_eq!(
            vec![
                ("bind", Some(11), "svcctl".into(), Outcome::Ok),
                ("RCreateServiceW", Some(12), "svcctl".into(), Outcome::Ok),
                ("RStartServiceW", Some(19), "svcctl".into(), Outcome::Error),
                ("unknown", Some(200), "svcctl".into(), Outcome::Unseen),
            ],
            operations(&items)
        );
        assert!(items.iter().any(|item| matches!(item, Item::Event(event)
            if event.kind == "service-created" && event.values == [("service", "PSEXESVC".into())])));
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn the_contexts_of_a_session_can_be_restored() {
        let contexts = vec![(0, "svcctl".into()), (7, "".into()), (300, "epm".into())];
        let known = Association { contexts, ..Association::default() };
        let bytes = known.context().unwrap();
        let mut restored = Association::default();
        restored.restore(&bytes);
        assert_eq!(known.contexts, restored.contexts);
        for cut in 0..bytes.len() {
            Association::default().restore(&bytes[..cut]);
        }
        assert_eq!(None, Association::default().context());
    }

    #[test]
    fn the_endpoint_mapper_tells_where_an_interface_is() {
        let epm =
            [8, 0x83, 0xaf, 0xe1, 0x1f, 0x5d, 0xc9, 0x11, 0x91, 0xa4, 8, 0, 0x2b, 0x14, 0xa0, 0xfa];
        let mut tower = vec![3, 0, 19, 0, 0x0d];
        tower.extend(SVCCTL);
        tower.extend([2, 0, 2, 0, 0, 0]);
        tower.extend([1, 0, 0x07, 2, 0, 0xc0, 0x03]); // TCP port 49155
        tower.extend([1, 0, 0x09, 4, 0, 192, 0, 2, 2]);
        let mut stub = vec![0; 24]; // response header without its first 16 bytes, then the handle
        stub.extend([0; 4]);
        for number in [1_u32, 1, 0, 1, 3, tower.len() as u32, tower.len() as u32] {
            stub.extend(number.to_le_bytes());
        }
        stub.extend(&tower);
        let talk = [
            (Side::A, bind(1, &epm)),
            (Side::B, bind_ack(1)),
            (Side::A, request(2, 3, &[])),
            (Side::B, pdu(2, 2, &stub)),
        ];
        let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        let items = testing::items(&PROTOCOL, &talk);
        let event = items.iter().find_map(|item| match item {
            Item::Event(event) => Some(event),
            _ => None,
        });
        assert_eq!(
            vec![
                ("address", "192.0.2.2".into()),
                ("interface", "svcctl".into()),
                ("port", "49155".into()),
            ],
            event.unwrap().values
        );
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn a_fragment_without_its_own_header_is_a_violation() {
        let mut short = request(2, 3, &[]);
        short[8..10].copy_from_slice(&[4, 0]);
        let good = bind(1, &SVCCTL);
        let items = testing::items(&PROTOCOL, &[(Side::A, &good), (Side::A, &short)]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "dcerpc-length")));
    }

    #[test]
    fn the_probe_knows_both_forms() {
        let good = bind(1, &SVCCTL);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &good)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &good[..9])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"\x05\x01\x00")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n")));
        let mut datagram = vec![4, 0, 0x20, 0, 0x10, 0, 0];
        datagram.resize(80, 0);
        assert!(is_datagram(&datagram));
        datagram[74] = 1;
        assert!(!is_datagram(&datagram));
    }
}
