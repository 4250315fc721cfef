//! BACnet over UDP (Annex J), Ethernet, ARCNET and MS/TP.
//!
//! | module | subject |
//! |---|---|
//! | `names` | services, object types, properties |
//! | `tags` | the encoding of values |
//!
//! Source: ANSI/ASHRAE 135-2020: Annex J (BVLC), clause 6 (network layer), 20.1 (application layer),
//! 5.4 (segmentation), 13 to 17 (services), 9.3 (MS/TP frame). MS/TP frames in a SNAP header of
//! organisation 0x001090: observed only (BACnet-MSTP-SNAP-Mixed, frames 1-40): three bytes, then
//! the MS/TP frame from its type on.
//!
//! A child is `bacnet <network>:0x<address>`, the station behind a router.
//!
//! Rules broken on the wire:
//! * `bacnet-bvlc-length`: the length of the BVLC header is not the datagram's.
//! * `bacnet-npdu`: the network header does not fit or its version is not 1.
//! * `bacnet-apdu`: the application header does not fit or its type is reserved.
//!
//! Not decoded: BACnet/SC, network security (Annex H of 2012), contents of private transfers,
//! virtual terminals, file data, COV values of constructed types.

use std::fmt::Write;

use compact_str::{CompactString, format_compact};
use otic_wire::{Address, Cursor, Short, SpanMap, Spans};
use rustc_hash::FxHashMap;

use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Event, Evidence, Item, Object, Operation,
    Out, Outcome, Value, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;
use tags::Content;

mod names;
mod tags;

/// BACnet.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "BACnet",
    roles: ("client", "server"),
    carriers: &[
        Carrier::Udp(&[PORT]),
        Carrier::Llc(&[0x82]),
        Carrier::Link("bacnet-arcnet"),
        Carrier::Link("bacnet-mstp"),
        Carrier::Snap(&[(0x00_1090, 1)]),
    ],
    dissector: Dissector::Built { probe, session: || Box::new(Bacnet::new()) },
    source: "ANSI/ASHRAE 135-2020, clauses 5, 6, 13-17, 20, 21 and Annex J",
};

const NAME: &str = "bacnet";
const CONFIRMED: &str = "bacnet-confirmed";
/// BAC0, the port of BACnet/IP (J.1.2).
const PORT: u16 = 47808;
const UNCONFIRMED: &str = "bacnet-unconfirmed";
const NETWORK: &str = "bacnet-network";
const LINK: &str = "bacnet-bvlc";

const BVLC_IP: u8 = 0x81;
const BVLC_RESULT: u8 = 0x00;
const BVLC_WRITE_BDT: u8 = 0x01;
const BVLC_READ_BDT: u8 = 0x02;
const BVLC_READ_BDT_ACK: u8 = 0x03;
const BVLC_FORWARDED: u8 = 0x04;
const BVLC_REGISTER: u8 = 0x05;
const BVLC_READ_FDT: u8 = 0x06;
const BVLC_READ_FDT_ACK: u8 = 0x07;
const BVLC_DELETE_FDT: u8 = 0x08;
const BVLC_SECURE: u8 = 0x0c;

const CONFIRMED_REQUEST: u8 = 0;
const UNCONFIRMED_REQUEST: u8 = 1;
const SIMPLE_ACK: u8 = 2;
const COMPLEX_ACK: u8 = 3;
const SEGMENT_ACK: u8 = 4;
const ERROR: u8 = 5;
const REJECT: u8 = 6;
const ABORT: u8 = 7;

const SUBSCRIBE_COV: u8 = 5;
const READ_PROPERTY: u8 = 12;
const READ_PROPERTY_MULTIPLE: u8 = 14;
const WRITE_PROPERTY: u8 = 15;
const WRITE_PROPERTY_MULTIPLE: u8 = 16;
const DEVICE_COMMUNICATION_CONTROL: u8 = 17;
const PRIVATE_TRANSFER: u8 = 18;
const REINITIALIZE_DEVICE: u8 = 20;
const READ_RANGE: u8 = 26;

const I_AM: u8 = 0;
const WHO_AM_I: u8 = 13;

const DEVICE: u32 = 8;

/// Longest message put together from segments.
const LONGEST_MESSAGE: usize = 64 * 1024;
/// Messages in segments at the same time.
const MOST_PARTIAL: usize = 8;
const MOST_VALUES: usize = 2048;
/// Objects of one request are named up to this many characters.
const LONGEST_OBJECT: usize = 200;

/// Text of an object identifier.
fn object_text(kind: u32, instance: u32) -> CompactString {
    Reference { object: (kind, instance), property: None, index: None }.to_text()
}

/// An object, or a property of it, or one element of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Reference {
    /// Type and instance.
    object: (u32, u32),
    property: Option<u32>,
    index: Option<u64>,
}

impl Reference {
    /// `analog-input 3 present-value[2]`.
    fn to_text(self) -> CompactString {
        let mut text = text::Builder::default();
        let (kind, instance) = self.object;
        match names::object_type(kind) {
            Some(name) => text.text(name),
            None => text.text("object-type-").number(kind),
        };
        text.text(" ").number(instance);
        if let Some(property) = self.property {
            match names::property(property) {
                Some(name) => text.text(" ").text(name),
                None => text.text(" property-").number(property),
            };
        }
        if let Some(index) = self.index {
            text.text("[").number(index).text("]");
        }
        text.build()
    }
}

fn probe(input: &Input<'_>) -> Probe {
    if input.transport == Transport::Udp {
        return match bvlc(input.bytes) {
            Ok((function, length, body)) => {
                let right = length == input.bytes.len() || input.truncated;
                match (right, function) {
                    // A wrong length is a fault (or a test of one): an answer to a request, or the
                    // usual port, makes it believable.
                    (false, 0x00..=0x0b) if Npdu::read(body).is_ok() => Probe::More,
                    (false, _) => Probe::No,
                    (true, 0x04 | 0x09..=0x0b) => {
                        let body =
                            if function == BVLC_FORWARDED { body.get(6..) } else { Some(body) };
                        match body.map(Npdu::read) {
                            Some(Ok(_)) => Probe::Certain,
                            _ if input.truncated => Probe::Weak,
                            _ => Probe::No,
                        }
                    }
                    (true, 0x00..=0x08) => Probe::Likely,
                    (true, _) => Probe::Weak,
                }
            }
            Err(Short { .. }) => Probe::No,
        };
    }
    match link_payload(input.bytes) {
        Some(payload) if Npdu::read(payload).is_ok() => Probe::Likely,
        Some(_) => Probe::No,
        // MS/TP token passing inside SNAP.
        None => Probe::No,
    }
}

/// The NPDU of a frame without BVLC: the frame itself, or the data of an MS/TP frame.
fn link_payload(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [1, ..] => Some(bytes),
        // type 5 or 6 (data), destination, source, length, header check sequence
        [0, _, 0x80, 5 | 6, _, _, high, low, _, data @ ..] => {
            data.get(..usize::from(u16::from_be_bytes([*high, *low])))
        }
        _ => None,
    }
}

/// Function, length and body of a BVLC message.
fn bvlc(bytes: &[u8]) -> Result<(u8, usize, &[u8]), Short> {
    let mut cursor = Cursor::new(bytes);
    let kind = cursor.u8()?;
    let function = cursor.u8()?;
    let length = usize::from(cursor.u16_be()?);
    if kind != BVLC_IP || function > BVLC_SECURE || length < 4 {
        return Err(Short { wanted: 4, got: 0, offset: 0 });
    }
    let body = bytes.get(4..length).unwrap_or(cursor.rest());
    Ok((function, length, body))
}

/// A network header and what it carries.
struct Npdu<'a> {
    source: Child,
    destination: Child,
    is_network_message: bool,
    payload: &'a [u8],
}

impl<'a> Npdu<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Short> {
        let mut cursor = Cursor::new(bytes);
        let version = cursor.u8()?;
        let control = cursor.u8()?;
        // Bits 6 and 4 of the control octet are reserved and zero (6.2.2).
        if version != 1 || control & 0x50 != 0 {
            return Err(Short { wanted: 1, got: 0, offset: 0 });
        }
        let (mut source, mut destination) = (Child::None, Child::None);
        if control & 0x20 != 0 {
            destination = station(&mut cursor)?;
        }
        if control & 0x08 != 0 {
            source = station(&mut cursor)?;
        }
        if control & 0x20 != 0 {
            cursor.skip(1)?;
        }
        let is_network_message = control & 0x80 != 0;
        let payload = cursor.rest();
        if payload.is_empty() {
            return Err(Short { wanted: 1, got: 0, offset: cursor.position() });
        }
        Ok(Self { source, destination, is_network_message, payload })
    }
}

/// Network number and station address; broadcasts are no child.
fn station(cursor: &mut Cursor<'_>) -> Result<Child, Short> {
    let network = cursor.u16_be()?;
    let length = usize::from(cursor.u8()?);
    let address = cursor.take(length)?;
    if address.is_empty() {
        return Ok(Child::None);
    }
    let mut text = format_compact!("bacnet {network}:0x");
    for octet in address {
        let _ = write!(text, "{octet:02x}");
    }
    Ok(Child::Text(text))
}

/// Who exchanges a message, in the direction of its bytes.
#[derive(Clone)]
struct Path {
    source: Child,
    destination: Child,
    /// The machine whose message this is, where another one forwarded it.
    originator: Option<Address>,
}

impl Path {
    fn sender(&self) -> Who {
        match self.originator {
            Some(address) => Who::Address(address, self.source.clone()),
            None => Who::Sender(self.source.clone()),
        }
    }
}

#[derive(Clone, PartialEq)]
struct Key {
    sender: Side,
    client: Child,
    server: Child,
    invoke: u8,
}

struct Waiting {
    operation: Box<Operation>,
    writes: Vec<(Reference, Value, Evidence)>,
}

/// A message that comes in segments.
struct Partial {
    sender: Side,
    key: Key,
    kind: u8,
    next: u8,
    bytes: Vec<u8>,
    spans: SpanMap,
}

struct Bacnet {
    pending: Pending<Key, Waiting>,
    link_pending: Pending<(Side, u8), Operation>,
    partial: Vec<Partial>,
    values: FxHashMap<(Child, Reference), Value>,
    client_said: bool,
    violated: bool,
    is_proven: bool,
}

impl Bacnet {
    fn new() -> Self {
        Self {
            pending: Pending::new(128),
            link_pending: Pending::new(16),
            partial: Vec::new(),
            values: FxHashMap::default(),
            client_said: false,
            violated: false,
            is_proven: false,
        }
    }
}

impl Session for Bacnet {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let length = input.bytes.len();
        if input.transport != Transport::Udp {
            if let Some(payload) = link_payload(input.bytes) {
                self.npdu(input, out, payload, None);
            }
            return length;
        }
        let Ok((function, declared, body)) = bvlc(input.bytes) else { return length };
        self.is_proven |=
            declared == length || [input.source_port, input.destination_port].contains(&PORT);
        if declared != length && !input.truncated {
            self.violation(input, out, "bacnet-bvlc-length", input.bytes);
        }
        match function {
            BVLC_FORWARDED => {
                let mut cursor = Cursor::new(body);
                if let (Ok(ip), Ok(_)) = (cursor.array::<4>(), cursor.u16_be()) {
                    let originator = Address::from(std::net::Ipv4Addr::from(ip));
                    let originator = Some(originator).filter(|found| *found != input.source);
                    self.npdu(input, out, cursor.rest(), originator);
                } else {
                    out.layer(NAME, input.side);
                }
            }
            0x09..=0x0b => self.npdu(input, out, body, None),
            BVLC_SECURE => {
                out.layer(NAME, input.side);
                out.push(Item::NotDecoded(NAME, "encrypted"));
            }
            _ => {
                out.layer(NAME, input.side);
                self.link(input, out, function, body);
            }
        }
        length
    }

    fn is_proven(&self) -> bool {
        self.is_proven
    }

    fn finish(&mut self, out: &mut Out) {
        let waiting: Vec<_> = self.pending.drain().collect();
        for request in waiting {
            self.close(out, request, Outcome::Unseen);
        }
        self.link_pending.drain().for_each(|operation| out.operation(operation));
    }
}

impl Bacnet {
    /// A BVLC message that manages the link itself.
    fn link(&mut self, input: &Input<'_>, out: &mut Out, function: u8, body: &[u8]) {
        let request = match function {
            BVLC_WRITE_BDT | BVLC_READ_BDT | BVLC_REGISTER | BVLC_READ_FDT | BVLC_DELETE_FDT => {
                let operation = operation(input, LINK, function, names::link(function));
                let key = (input.side, function);
                if let Some(oldest) = self.link_pending.insert(key, operation) {
                    out.operation(oldest);
                }
                return;
            }
            BVLC_READ_BDT_ACK => BVLC_READ_BDT,
            BVLC_READ_FDT_ACK => BVLC_READ_FDT,
            // The first digit of a result code names the request it refuses (J.2.1.1).
            _ => match Cursor::new(body).u16_be() {
                Ok(0x0010) => BVLC_WRITE_BDT,
                Ok(0x0020) => BVLC_READ_BDT,
                Ok(0x0030) => BVLC_REGISTER,
                Ok(0x0040) => BVLC_READ_FDT,
                Ok(0x0050) => BVLC_DELETE_FDT,
                Ok(0) => {
                    let side = input.side.other();
                    [BVLC_REGISTER, BVLC_WRITE_BDT, BVLC_DELETE_FDT]
                        .into_iter()
                        .find(|request| self.link_pending.get_mut(&(side, *request)).is_some())
                        .unwrap_or(BVLC_REGISTER)
                }
                _ => return,
            },
        };
        let is_result = function == BVLC_RESULT;
        let outcome = match Cursor::new(body).u16_be() {
            Ok(code) if is_result && code != 0 => Outcome::Error,
            _ => Outcome::Ok,
        };
        match self.link_pending.take(&(input.side.other(), request)) {
            Some(operation) => out.operation(Operation { outcome, ..operation }),
            None => {
                let answered = operation(input, LINK, request, names::link(request));
                out.unpaired(Operation { sender: input.side.other(), outcome, ..answered });
            }
        }
    }

    fn npdu(
        &mut self,
        input: &Input<'_>,
        out: &mut Out,
        bytes: &[u8],
        originator: Option<Address>,
    ) {
        let Ok(npdu) = Npdu::read(bytes) else {
            out.layer(NAME, input.side);
            if !input.truncated {
                self.violation(input, out, "bacnet-npdu", bytes);
            }
            return;
        };
        let path = Path { source: npdu.source, destination: npdu.destination, originator };
        out.layer_between(NAME, input.side, path.source.clone(), path.destination.clone());
        if npdu.is_network_message {
            self.network_message(input, out, npdu.payload, &path);
        } else if self.apdu(input, out, npdu.payload, &path).is_err() && !input.truncated {
            self.violation(input, out, "bacnet-apdu", npdu.payload);
        }
    }

    fn network_message(&self, input: &Input<'_>, out: &mut Out, payload: &[u8], path: &Path) {
        let mut cursor = Cursor::new(payload);
        let Ok(message) = cursor.u8() else { return };
        let mut operation = operation(input, NETWORK, message, names::network(message));
        operation.outcome = Outcome::None;
        operation.client_child = path.source.clone();
        operation.server_child = path.destination.clone();
        if let (0x00 | 0x03..=0x05 | 0x12 | 0x13, Ok(network)) = (message, {
            if message == 0x03 {
                let _ = cursor.u8();
            }
            cursor.u16_be()
        }) {
            operation.object = Object::Number { kind: "network", number: u32::from(network) };
        }
        // Networks that a router reaches.
        if message == 0x01 {
            let mut networks = Cursor::new(payload.get(1..).unwrap_or_default());
            while let Ok(part) = networks.take(2) {
                let number = Cursor::new(part).u16_be().unwrap_or(0);
                out.claim(Claim {
                    who: path.sender(),
                    attribute: "bacnet_network",
                    value: format_compact!("{number}"),
                    protocol: NAME,
                    message: operation.name,
                    confidence: Confidence::High,
                    evidence: input.evidence(part, Decode::UnsignedBe),
                });
            }
        }
        if message >= 0x80 {
            out.push(Item::NotDecoded(NAME, "vendor-private"));
        } else if (0x0a..=0x11).contains(&message) {
            out.push(Item::NotDecoded(NAME, "encrypted"));
        }
        out.operation(operation);
    }

    fn apdu(
        &mut self,
        input: &Input<'_>,
        out: &mut Out,
        bytes: &[u8],
        path: &Path,
    ) -> Result<(), Short> {
        let mut cursor = Cursor::new(bytes);
        let head = cursor.u8()?;
        let is_segmented = head & 0x08 != 0;
        let request_key = |invoke| Key {
            sender: input.side,
            client: path.source.clone(),
            server: path.destination.clone(),
            invoke,
        };
        let answer_key = |invoke| Key {
            sender: input.side.other(),
            client: path.destination.clone(),
            server: path.source.clone(),
            invoke,
        };
        match head >> 4 {
            CONFIRMED_REQUEST => {
                cursor.skip(1)?;
                let key = request_key(cursor.u8()?);
                if is_segmented {
                    let sequence = cursor.u8()?;
                    cursor.skip(1)?;
                    let service = cursor.u8()?;
                    let more = head & 0x04 != 0;
                    self.segment(input, out, key, service, sequence, more, cursor.rest(), path);
                } else {
                    let service = cursor.u8()?;
                    self.request(input, out, key, service, cursor.rest(), path);
                }
            }
            UNCONFIRMED_REQUEST => {
                let service = cursor.u8()?;
                self.unconfirmed(input, out, service, cursor.rest(), path);
            }
            SIMPLE_ACK => {
                let key = answer_key(cursor.u8()?);
                let service = cursor.u8()?;
                self.answer(input, out, &key, Some(service), &[], Outcome::Ok, path);
            }
            COMPLEX_ACK => {
                let key = answer_key(cursor.u8()?);
                if is_segmented {
                    let sequence = cursor.u8()?;
                    cursor.skip(1)?;
                    let service = cursor.u8()?;
                    let more = head & 0x04 != 0;
                    self.segment(input, out, key, service, sequence, more, cursor.rest(), path);
                } else {
                    let service = cursor.u8()?;
                    self.answer(input, out, &key, Some(service), cursor.rest(), Outcome::Ok, path);
                }
            }
            SEGMENT_ACK => cursor.skip(3)?,
            ERROR => {
                let key = answer_key(cursor.u8()?);
                let service = cursor.u8()?;
                self.answer(input, out, &key, Some(service), &[], Outcome::Error, path);
            }
            REJECT => {
                let key = answer_key(cursor.u8()?);
                cursor.skip(1)?;
                self.answer(input, out, &key, None, &[], Outcome::Error, path);
            }
            ABORT => {
                let invoke = cursor.u8()?;
                cursor.skip(1)?;
                // Either end may abort; the SRV bit says that the server did.
                let key = if head & 1 != 0 { answer_key(invoke) } else { request_key(invoke) };
                self.answer(input, out, &key, None, &[], Outcome::Error, path);
            }
            _ => return Err(Short { wanted: 1, got: 0, offset: 0 }),
        }
        Ok(())
    }

    /// One segment of a request or complex acknowledgement.
    #[expect(clippy::too_many_arguments, reason = "the fields of one segment")]
    fn segment(
        &mut self,
        input: &Input<'_>,
        out: &mut Out,
        key: Key,
        service: u8,
        sequence: u8,
        more: bool,
        data: &[u8],
        path: &Path,
    ) {
        let is_request = key.sender == input.side;
        if sequence == 0 {
            self.partial.retain(|partial| partial.key != key || partial.sender != input.side);
            if self.partial.len() >= MOST_PARTIAL {
                self.partial.remove(0);
            }
            self.partial.push(Partial {
                sender: input.side,
                key: key.clone(),
                kind: service,
                next: 0,
                bytes: Vec::new(),
                spans: SpanMap::default(),
            });
        }
        let found = self
            .partial
            .iter()
            .position(|partial| partial.key == key && partial.sender == input.side);
        let Some(at) = found else {
            // The first segment was missed; the last one still closes the exchange.
            out.push(Item::NotDecoded(NAME, "fragment-lost"));
            if !is_request && !more {
                self.answer(input, out, &key, Some(service), &[], Outcome::Ok, path);
            }
            return;
        };
        let Some(partial) = self.partial.get_mut(at) else { return };
        // A repeated segment is known already.
        if sequence.wrapping_add(1) == partial.next {
            return;
        }
        let fits = sequence == partial.next
            && service == partial.kind
            && partial.bytes.len() + data.len() <= LONGEST_MESSAGE;
        if fits {
            partial.next = sequence.wrapping_add(1);
            partial.bytes.extend_from_slice(data);
            for span in input.locate(data) {
                partial.spans.push(span);
            }
            if more {
                return;
            }
        }
        let partial = self.partial.remove(at);
        if !fits {
            out.push(Item::NotDecoded(NAME, "fragment-lost"));
        }
        let whole = input.with_bytes(&partial.bytes, &partial.spans);
        let data: &[u8] = if fits { &partial.bytes } else { &[] };
        if is_request {
            self.request(&whole, out, key, service, data, path);
        } else {
            self.answer(&whole, out, &key, Some(service), data, Outcome::Ok, path);
        }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        out: &mut Out,
        key: Key,
        service: u8,
        data: &[u8],
        path: &Path,
    ) {
        if !self.client_said {
            self.client_said = true;
            out.push(Item::Client(input.side));
        }
        let mut operation = operation(input, CONFIRMED, service, names::confirmed(service));
        operation.client_child = path.source.clone();
        operation.server_child = path.destination.clone();
        let mut writes = Vec::new();
        // What cannot be read of the arguments leaves the object empty.
        let _ = arguments(input, out, service, data, path, &mut operation, &mut writes);
        if let Some(oldest) =
            self.pending.insert(key, Waiting { operation: Box::new(operation), writes })
        {
            self.close(out, oldest, Outcome::Unseen);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one answer")]
    fn answer(
        &mut self,
        input: &Input<'_>,
        out: &mut Out,
        key: &Key,
        service: Option<u8>,
        data: &[u8],
        outcome: Outcome,
        path: &Path,
    ) {
        if let Some(service @ (READ_PROPERTY | READ_PROPERTY_MULTIPLE)) = service {
            let _ = self.read_result(input, out, service, data, path);
        }
        while let Some(waiting) = self.pending.take(key) {
            // Invoke ids come round: an older request with this id was never answered.
            if service.is_some_and(|service| waiting.operation.code != Some(u32::from(service))) {
                self.close(out, waiting, Outcome::Unseen);
                continue;
            }
            self.is_proven = true;
            self.close(out, waiting, outcome);
            return;
        }
        if let Some(service) = service {
            let mut answered = operation(input, CONFIRMED, service, names::confirmed(service));
            answered.sender = key.sender;
            answered.client_child = key.client.clone();
            answered.server_child = key.server.clone();
            answered.outcome = outcome;
            out.unpaired(answered);
        }
    }

    /// Reports a request with its outcome, and what it wrote unless it was refused.
    fn close(&mut self, out: &mut Out, waiting: Waiting, outcome: Outcome) {
        let Waiting { mut operation, writes } = waiting;
        operation.outcome = outcome;
        let (sender, ts_ns) = (operation.sender, operation.ts_ns);
        let child = operation.server_child.clone();
        out.operation(operation);
        if outcome == Outcome::Error {
            return;
        }
        for (object, new, evidence) in writes {
            let old = self.remember(child.clone(), object, new.clone());
            out.push(Item::Change(Change {
                protocol: CONFIRMED,
                connection: NAME,
                sender,
                server_child: child.clone(),
                object: Object::Text(object.to_text()),
                old,
                new,
                evidence,
                ts_ns,
            }));
        }
    }

    /// Values that a read brought: identity of the device object, and what later writes change.
    fn read_result(
        &mut self,
        input: &Input<'_>,
        out: &mut Out,
        service: u8,
        data: &[u8],
        path: &Path,
    ) -> Result<(), Short> {
        let mut cursor = Cursor::new(data);
        let multiple = service == READ_PROPERTY_MULTIPLE;
        while let Some(object) = tags::context(&mut cursor, 0).and_then(tags::object_identifier) {
            if multiple && !tags::opens(&mut cursor, 1) {
                break;
            }
            let (first, value) = if multiple { (2, 4) } else { (1, 3) };
            while let Some(property) = tags::context(&mut cursor, first) {
                let property = tags::unsigned(property) as u32;
                let index = tags::context(&mut cursor, first + 1).map(tags::unsigned);
                if let Some(value) = tags::inside(&mut cursor, value)? {
                    self.value_read(input, out, object, property, index, value, path);
                } else {
                    tags::inside(&mut cursor, 5)?;
                }
            }
            if !multiple || !tags::closes(&mut cursor, 1) {
                break;
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one value with its place")]
    fn value_read(
        &mut self,
        input: &Input<'_>,
        out: &mut Out,
        object: (u32, u32),
        property: u32,
        index: Option<u64>,
        value: &[u8],
        path: &Path,
    ) {
        if object.0 == DEVICE {
            let attribute = match property {
                12 => "application_version",
                28 => "description",
                44 => "firmware",
                58 => "location",
                70 => "model",
                77 => "name",
                120 => "vendor_id",
                121 => "vendor",
                372 => "serial",
                _ => "",
            };
            if !attribute.is_empty()
                && let Some((read, part, decode)) = tags::single(value)
            {
                let text = match read {
                    Value::Text(text) => text,
                    Value::Integer(number) => format_compact!("{number}"),
                    _ => return,
                };
                let decode = if part.len() > 4 && decode == Decode::UnsignedBe {
                    Decode::Derived
                } else {
                    decode
                };
                out.claim(Claim {
                    who: path.sender(),
                    attribute,
                    value: text,
                    protocol: NAME,
                    message: "read-property",
                    confidence: match attribute {
                        "name" | "location" | "description" => Confidence::Medium,
                        _ => Confidence::High,
                    },
                    evidence: input.evidence(part, decode),
                });
            }
            return;
        }
        // Only present values are written again and again; the rest is not worth keeping.
        if property == 85
            && let Some((read, ..)) = tags::single(value)
        {
            let read_of = Reference { object, property: Some(property), index };
            self.remember(path.source.clone(), read_of, read);
        }
    }

    fn remember(&mut self, child: Child, object: Reference, value: Value) -> Option<Value> {
        let key = (child, object);
        if let Some(known) = self.values.get_mut(&key) {
            return Some(std::mem::replace(known, value));
        }
        if self.values.len() < MOST_VALUES {
            self.values.insert(key, value);
        }
        None
    }

    fn unconfirmed(&self, input: &Input<'_>, out: &mut Out, service: u8, data: &[u8], path: &Path) {
        let mut operation = operation(input, UNCONFIRMED, service, names::unconfirmed(service));
        operation.outcome = Outcome::None;
        operation.client_child = path.source.clone();
        operation.server_child = path.destination.clone();
        let _ = announcements(input, out, service, data, path, &mut operation);
        out.operation(operation);
    }

    fn violation(&mut self, input: &Input<'_>, out: &mut Out, rule: &'static str, bytes: &[u8]) {
        if !self.violated {
            self.violated = true;
            out.push(input.violation(NAME, rule, bytes));
        }
    }
}

/// An operation without its object and children.
fn operation(
    input: &Input<'_>,
    protocol: &'static str,
    code: u8,
    (name, action): (&'static str, Action),
) -> Operation {
    Operation {
        protocol,
        connection: NAME,
        sender: input.side,
        code: Some(u32::from(code)),
        name,
        action,
        object: Object::None,
        outcome: Outcome::Unseen,
        client_child: Child::None,
        server_child: Child::None,
        evidence: whole(input),
        ts_ns: input.ts_ns,
    }
}

/// The bytes of a message; of a long one its start.
fn whole(input: &Input<'_>) -> Spans {
    input.locate(input.bytes.get(..input.bytes.len().min(64)).unwrap_or(input.bytes))
}

/// Adds a reference to a list of them.
fn list(text: &mut CompactString, reference: &str) {
    if text.len() + reference.len() > LONGEST_OBJECT {
        if !text.ends_with('…') {
            text.push_str(", …");
        }
        return;
    }
    if !text.is_empty() {
        text.push_str(", ");
    }
    text.push_str(reference);
}

/// Reads what a confirmed request acts on (clauses 13 to 17).
fn arguments(
    input: &Input<'_>,
    out: &mut Out,
    service: u8,
    data: &[u8],
    path: &Path,
    operation: &mut Operation,
    writes: &mut Vec<(Reference, Value, Evidence)>,
) -> Result<(), Short> {
    let mut cursor = Cursor::new(data);
    let cursor = &mut cursor;
    let object = |octets: Option<&[u8]>| octets.and_then(tags::object_identifier);
    let text = match service {
        READ_PROPERTY | WRITE_PROPERTY | READ_RANGE | 8 | 9 => {
            let found = object(tags::context(cursor, 0));
            let property = tags::context(cursor, 1).map(|octets| tags::unsigned(octets) as u32);
            let index = tags::context(cursor, 2).map(tags::unsigned);
            let reference = found.map(|object| Reference { object, property, index });
            if service == WRITE_PROPERTY
                && let (Some(reference), Some(bytes)) = (reference, tags::inside(cursor, 3)?)
            {
                let (value, part, decode) = tags::value(bytes);
                writes.push((reference, value, input.evidence(part, decode)));
            }
            reference.map(Reference::to_text)
        }
        READ_PROPERTY_MULTIPLE | WRITE_PROPERTY_MULTIPLE => {
            let mut text = CompactString::default();
            while let Some(found) = object(tags::context(cursor, 0)) {
                if !tags::opens(cursor, 1) {
                    break;
                }
                while let Some(property) = tags::context(cursor, 0) {
                    let property = tags::unsigned(property) as u32;
                    let index = tags::context(cursor, 1).map(tags::unsigned);
                    let reference = Reference { object: found, property: Some(property), index };
                    list(&mut text, &reference.to_text());
                    if service == WRITE_PROPERTY_MULTIPLE {
                        if let Some(bytes) = tags::inside(cursor, 2)?
                            && writes.len() < 256
                        {
                            let (value, part, decode) = tags::value(bytes);
                            writes.push((reference, value, input.evidence(part, decode)));
                        }
                        tags::context(cursor, 3);
                    }
                }
                if !tags::closes(cursor, 1) {
                    break;
                }
            }
            Some(text)
        }
        // Process identifier, then the object.
        0 | SUBSCRIBE_COV | 28 => {
            tags::context(cursor, 0);
            object(tags::context(cursor, 1)).map(|(kind, instance)| object_text(kind, instance))
        }
        1 | 2 => notified(cursor),
        6 | 7 | 11 => first_object(cursor),
        10 => {
            tags::opens(cursor, 0);
            match tags::context(cursor, 0) {
                Some(kind) => {
                    let kind = tags::unsigned(kind) as u32;
                    Some(names::object_type(kind).unwrap_or("vendor-private").into())
                }
                None => object(tags::context(cursor, 1))
                    .map(|(kind, instance)| object_text(kind, instance)),
            }
        }
        DEVICE_COMMUNICATION_CONTROL => {
            tags::context(cursor, 0);
            let state = tags::context(cursor, 1).map(tags::unsigned);
            password(input, out, tags::context(cursor, 2));
            state.map(|state| {
                CompactString::const_new(match state {
                    0 => "enable",
                    1 => "disable",
                    2 => "disable-initiation",
                    _ => "unknown",
                })
            })
        }
        REINITIALIZE_DEVICE => {
            let state = tags::context(cursor, 0).map(tags::unsigned);
            password(input, out, tags::context(cursor, 1));
            state.map(|state| {
                let (name, action) = names::reinitialized_state(state);
                operation.action = action;
                CompactString::const_new(name)
            })
        }
        PRIVATE_TRANSFER => private_transfer(input, cursor, path, out),
        27 => {
            for number in 0..3 {
                tags::context(cursor, number);
            }
            object(tags::context(cursor, 3)).map(|(kind, instance)| object_text(kind, instance))
        }
        _ => None,
    };
    operation.object = text.filter(|text| !text.is_empty()).map_or(Object::None, Object::Text);
    Ok(())
}

/// A password on the wire is worth an event, but is never kept.
fn password(input: &Input<'_>, out: &mut Out, octets: Option<&[u8]>) {
    if let Some(octets) = octets {
        out.push(Item::Event(Event {
            kind: "cleartext-credentials",
            protocol: NAME,
            sender: input.side,
            values: Vec::new(),
            evidence: input.locate(octets),
        }));
    }
}

/// The object of a change-of-value or event notification: process, device, object.
fn notified(cursor: &mut Cursor<'_>) -> Option<CompactString> {
    tags::context(cursor, 0);
    tags::context(cursor, 1);
    let (kind, instance) = tags::context(cursor, 2).and_then(tags::object_identifier)?;
    Some(object_text(kind, instance))
}

/// The object identifier that comes first, in an application tag.
fn first_object(cursor: &mut Cursor<'_>) -> Option<CompactString> {
    let Content::Value(octets) = tags::next(cursor).ok()?.content else { return None };
    let (kind, instance) = tags::object_identifier(octets)?;
    Some(object_text(kind, instance))
}

/// A private service names the vendor that defined it: a weak hint at the sender's own maker.
fn private_transfer(
    input: &Input<'_>,
    cursor: &mut Cursor<'_>,
    path: &Path,
    out: &mut Out,
) -> Option<CompactString> {
    out.push(Item::NotDecoded(NAME, "vendor-private"));
    let octets = tags::context(cursor, 0)?;
    let vendor = tags::unsigned(octets);
    if octets.len() <= 4 {
        out.claim(Claim {
            who: path.sender(),
            attribute: "vendor_id",
            value: format_compact!("{vendor}"),
            protocol: NAME,
            message: "private-transfer",
            confidence: Confidence::Low,
            evidence: input.evidence(octets, Decode::UnsignedBe),
        });
    }
    let service = tags::unsigned(tags::context(cursor, 1)?);
    Some(format_compact!("vendor {vendor} service {service}"))
}

/// Reads what an unconfirmed message says (clauses 13 and 16).
fn announcements(
    input: &Input<'_>,
    out: &mut Out,
    service: u8,
    data: &[u8],
    path: &Path,
    operation: &mut Operation,
) -> Result<(), Short> {
    let mut cursor = Cursor::new(data);
    let cursor = &mut cursor;
    let mut claim = |message, attribute, value: CompactString, part: &[u8], decode| {
        out.claim(Claim {
            who: path.sender(),
            attribute,
            value,
            protocol: NAME,
            message,
            confidence: Confidence::High,
            evidence: input.evidence(part, decode),
        });
    };
    let text = match service {
        I_AM => {
            let Content::Value(octets) = tags::next(cursor)?.content else { return Ok(()) };
            let Some((kind, instance)) = tags::object_identifier(octets) else { return Ok(()) };
            if kind == DEVICE {
                let number = format_compact!("{instance}");
                claim("i-am", "bacnet_device_instance", number, octets, Decode::Derived);
            }
            tags::next(cursor)?;
            tags::next(cursor)?;
            if let Content::Value(vendor) = tags::next(cursor)?.content {
                let number = format_compact!("{}", tags::unsigned(vendor));
                let decode = if vendor.len() <= 4 { Decode::UnsignedBe } else { Decode::Derived };
                claim("i-am", "vendor_id", number, vendor, decode);
            }
            Some(object_text(kind, instance))
        }
        // i-have: device, object, name
        1 => {
            first_object(cursor);
            first_object(cursor)
        }
        2 | 3 => notified(cursor),
        4 => private_transfer(input, cursor, path, out),
        // who-has: limits, then object or name
        7 => {
            tags::context(cursor, 0);
            tags::context(cursor, 1);
            match tags::context(cursor, 2).and_then(tags::object_identifier) {
                Some((kind, instance)) => Some(object_text(kind, instance)),
                None => {
                    tags::context(cursor, 3).and_then(tags::character_string).map(|(name, ..)| name)
                }
            }
        }
        8 => match (tags::context(cursor, 0), tags::context(cursor, 1)) {
            (Some(low), Some(high)) => {
                Some(format_compact!("device {}-{}", tags::unsigned(low), tags::unsigned(high)))
            }
            _ => None,
        },
        WHO_AM_I => {
            if let Content::Value(vendor) = tags::next(cursor)?.content
                && vendor.len() <= 4
            {
                let number = format_compact!("{}", tags::unsigned(vendor));
                claim("who-am-i", "vendor_id", number, vendor, Decode::UnsignedBe);
            }
            for attribute in ["model", "serial"] {
                let tag = tags::next(cursor)?;
                if let (tags::CHARACTER_STRING, Content::Value(octets)) = (tag.number, tag.content)
                    && let Some((text, part, decode)) = tags::character_string(octets)
                {
                    claim("who-am-i", attribute, text, part, decode);
                }
            }
            None
        }
        _ => None,
    };
    operation.object = text.map_or(Object::None, Object::Text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// BVLC original unicast, NPDU without addresses.
    fn local(apdu: &[u8]) -> Vec<u8> {
        routed(&[0x01, 0x00], apdu)
    }

    fn routed(npdu: &[u8], apdu: &[u8]) -> Vec<u8> {
        let mut message = vec![0x81, 0x0a, 0x00, (4 + npdu.len() + apdu.len()) as u8];
        message.extend_from_slice(npdu);
        message.extend_from_slice(apdu);
        message
    }

    fn operations(items: &[Item]) -> Vec<(&str, String, Outcome)> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(o) => Some((o.name, o.object.to_text().to_string(), o.outcome)),
                _ => None,
            })
            .collect()
    }

    fn claims(items: &[Item]) -> Vec<(&str, String, Who)> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Claim(c) => Some((c.attribute, c.value.to_string(), c.who.clone())),
                _ => None,
            })
            .collect()
    }

    /// unconfirmed, i-am, device 1234, max APDU 480, segmentation 3, vendor 260
    const I_AM_1234: &[u8] =
        &[0x10, 0x00, 0xc4, 0x02, 0x00, 0x04, 0xd2, 0x22, 0x01, 0xe0, 0x91, 0x03, 0x22, 0x01, 0x04];

    #[test]
    fn i_am_from_behind_a_router_is_about_the_station() {
        // version, control with SNET, network 26001, one octet 0x0b
        let message = routed(&[0x01, 0x08, 0x65, 0x91, 0x01, 0x0b], I_AM_1234);
        let items = testing::items(&PROTOCOL, &[(Side::A, &message)]);
        let station = Who::Sender(Child::Text("bacnet 26001:0x0b".into()));
        assert_eq!(
            vec![
                ("bacnet_device_instance", "1234".to_owned(), station.clone()),
                ("vendor_id", "260".to_owned(), station)
            ],
            claims(&items)
        );
        assert_eq!(vec![("i-am", "device 1234".to_owned(), Outcome::None)], operations(&items));
    }

    #[test]
    fn a_forwarded_message_is_about_its_originator() {
        let mut message = vec![0x81, 0x04, 0x00, 0x1b, 192, 0, 2, 99, 0xba, 0xc0, 0x01, 0x00];
        message.extend_from_slice(I_AM_1234);
        let items = testing::items(&PROTOCOL, &[(Side::A, &message)]);
        let originator = Address::from(std::net::Ipv4Addr::new(192, 0, 2, 99));
        assert_eq!(Who::Address(originator, Child::None), claims(&items)[1].2);
    }

    /// read analog-value 1 present-value, invoke id 1: 7.0; write 9.5, invoke id 2; accepted
    fn conversation() -> Vec<(Side, Vec<u8>)> {
        let object = [0x0c, 0x00, 0x80, 0x00, 0x01, 0x19, 85];
        let value = |value: f32| [&[0x3e, 0x44][..], &value.to_be_bytes(), &[0x3f]].concat();
        vec![
            (Side::A, local(&[&[0x00, 0x05, 1, 12][..], &object].concat())),
            (Side::B, local(&[&[0x30, 1, 12][..], &object, &value(7.0)].concat())),
            (Side::A, local(&[&[0x00, 0x05, 2, 15][..], &object, &value(9.5)].concat())),
            (Side::B, local(&[0x20, 2, 15])),
            // reinitialize-device coldstart with password "x", refused
            (Side::A, local(&[0x00, 0x05, 3, 20, 0x09, 0x00, 0x1a, 0x00, b'x'])),
            (Side::B, local(&[0x50, 3, 20, 0x91, 4, 0x91, 26])),
        ]
    }

    fn borrowed(conversation: &[(Side, Vec<u8>)]) -> Vec<(Side, &[u8])> {
        conversation.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect()
    }

    #[test]
    fn a_write_changes_from_what_was_read() {
        let conversation = conversation();
        let items = testing::items(&PROTOCOL, &borrowed(&conversation));
        assert_eq!(
            vec![
                ("read-property", "analog-value 1 present-value".to_owned(), Outcome::Ok),
                ("write-property", "analog-value 1 present-value".to_owned(), Outcome::Ok),
                ("reinitialize-device", "coldstart".to_owned(), Outcome::Error),
            ],
            operations(&items)
        );
        let change = items.iter().find_map(|item| match item {
            Item::Change(change) => Some((change.old.clone(), change.new.clone())),
            _ => None,
        });
        assert_eq!(Some((Some(Value::Real(7.0)), Value::Real(9.5))), change);
        assert!(items.iter().any(|item| {
            matches!(item, Item::Event(event) if event.kind == "cleartext-credentials")
        }));
    }

    #[test]
    fn a_segmented_answer_is_put_together() {
        // read-property-multiple of device 1: model-name
        let ask = local(&[0x02, 0x75, 9, 14, 0x0c, 0x02, 0x00, 0x00, 0x01, 0x1e, 0x09, 70, 0x1f]);
        let answer = [
            0x0c, 0x02, 0x00, 0x00, 0x01, 0x1e, 0x29, 70, 0x4e, 0x74, 0x00, b'T', b'-', b'1', 0x4f,
            0x1f,
        ];
        let (head, tail) = answer.split_at(11);
        let first = local(&[&[0x3c, 9, 0, 4, 14][..], head].concat());
        let second = local(&[&[0x38, 9, 1, 4, 14][..], tail].concat());
        let items = testing::items(
            &PROTOCOL,
            &[(Side::A, &ask), (Side::B, &first), (Side::B, &first), (Side::B, &second)],
        );
        assert_eq!(vec![("model", "T-1".to_owned(), Who::Sender(Child::None))], claims(&items));
        let expected = ("read-property-multiple", "device 1 model-name".to_owned(), Outcome::Ok);
        assert_eq!(vec![expected], operations(&items));
    }

    #[test]
    fn it_survives_anything() {
        let mut conversation = conversation();
        conversation.push((Side::A, vec![0x81, 0x05, 0x00, 0x06, 0x00, 0x3c]));
        conversation.push((Side::B, vec![0x81, 0x00, 0x00, 0x06, 0x00, 0x00]));
        testing::survives(&PROTOCOL, &borrowed(&conversation));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &local(I_AM_1234))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[0x81, 0x0a, 0, 9, 1, 0])));
    }
}
