//! DLMS/COSEM: head-end systems and data concentrators read and set meters, over TCP and UDP.
//!
//! Sources: DLMS UA 1000-2 (Green Book) §7.3.3 (wrapper), §9.3 to §9.5 (association, APDUs, results,
//! COSEM.asn), §9.4.2.2 (application contexts, authentication mechanisms), §4.3.4 (system title);
//! DLMS UA 1000-1 (Blue Book) §4 (interface classes and their methods), §6.2 (logical device name,
//! device ids, firmware identifiers); IEC 62056-47, IEC 62056-5-3.
//!
//! The code of an operation is the tag of the APDU. Objects are class, OBIS code and attribute or
//! method. Logical devices other than the management device are children, `dlms N` by their port. The
//! client's port is the user of a log-in; passwords are never kept.
//!
//! Rules broken on the wire:
//! * `dlms-length`: bytes inside a stream are no frame, or an APDU is shorter than its fields.
//!
//! Not decoded: ciphered APDUs (encrypted), lists of attributes, blocks after the first one, short
//! name referencing beyond the kind of service, data with structure, HDLC.

use compact_str::{CompactString, format_compact};
use otic_wire::{Cursor, Short};

use crate::ber::{self, Element};
use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Event, Evidence, Item, Object, Operation,
    Out, Outcome, Value, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// DLMS/COSEM in the wrapper of TCP and UDP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "DLMS/COSEM",
    roles: ("DLMS client", "DLMS server"),
    carriers: &[Carrier::Tcp(&[PORT]), Carrier::Udp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Dlms::new()) },
    source: "DLMS UA 1000-1 and 1000-2; IEC 62056-47, IEC 62056-5-3",
};

const NAME: &str = "dlms";
const CHILD: &str = "dlms";
const PORT: u16 = 4059;

/// Version, ports, length.
const HEADER: usize = 8;
/// More than any APDU holds.
const LARGEST: usize = 16 * 1024;
/// Port of the management logical device.
const MANAGEMENT: u16 = 1;

const AARQ: u8 = 0x60;
const AARE: u8 = 0x61;
const RLRQ: u8 = 0x62;
const RLRE: u8 = 0x63;
const GET_REQUEST: u8 = 0xc0;
const SET_REQUEST: u8 = 0xc1;
const EVENT: u8 = 0xc2;
const ACTION_REQUEST: u8 = 0xc3;
const GET_RESPONSE: u8 = 0xc4;
const SET_RESPONSE: u8 = 0xc5;
const ACTION_RESPONSE: u8 = 0xc7;
const EXCEPTION: u8 = 0xd8;
const NORMAL: u8 = 1;

/// Requests of one flow that may wait at once, and values that are remembered.
const WAITING: usize = 32;
const REMEMBERED: usize = 64;
/// Longest value that is kept.
const VALUE: usize = 256;

/// Name and action of an APDU; none for tags that there are not.
const fn apdu(tag: u8) -> Option<(&'static str, Action)> {
    Some(match tag {
        0x01 => ("initiate-request", Action::Session),
        0x08 => ("initiate-response", Action::Session),
        0x05 => ("read-request", Action::Read),
        0x06 => ("write-request", Action::Write),
        0x0c => ("read-response", Action::Read),
        0x0d => ("write-response", Action::Write),
        0x0e => ("confirmed-service-error", Action::Diagnostics),
        0x0f => ("data-notification", Action::Read),
        0x16 => ("unconfirmed-write-request", Action::Write),
        0x18 => ("information-report-request", Action::Read),
        AARQ | AARE => ("associate", Action::Session),
        RLRQ | RLRE => ("release", Action::Session),
        GET_REQUEST | GET_RESPONSE => ("get", Action::Read),
        SET_REQUEST | SET_RESPONSE => ("set", Action::Write),
        EVENT => ("event-notification", Action::Read),
        ACTION_REQUEST | ACTION_RESPONSE => ("action", Action::Control),
        0xc8 | 0xcc | 0xd0 | 0xd4 => ("get-ciphered", Action::Read),
        0xc9 | 0xcd | 0xd1 | 0xd5 => ("set-ciphered", Action::Write),
        0xca | 0xd2 => ("event-notification-ciphered", Action::Read),
        0xcb | 0xcf | 0xd3 | 0xd7 => ("action-ciphered", Action::Control),
        EXCEPTION => ("exception-response", Action::Diagnostics),
        0xd9 => ("access", Action::Control),
        0xda => ("access-response", Action::Control),
        0xdb..=0xdd | 0xdf => ("general-ciphering", Action::Control),
        0xe0 => ("general-block-transfer", Action::Session),
        _ => return None,
    })
}

/// Whether an APDU is ciphered.
const fn is_ciphered(tag: u8) -> bool {
    matches!(tag, 0xc8..=0xcf | 0xd0..=0xd7 | 0xdb..=0xdf)
}

/// Whether an APDU answers another one; unknown for the general ones.
const fn is_answer(tag: u8) -> Option<bool> {
    Some(match tag {
        0x01 | 0x05 | 0x06 | 0x16 | AARQ | RLRQ | GET_REQUEST | SET_REQUEST | ACTION_REQUEST
        | 0xc8 | 0xc9 | 0xcb | 0xd0 | 0xd1 | 0xd3 | 0xd9 => false,
        0x08
        | 0x0c..=0x0f
        | 0x18
        | AARE
        | RLRE
        | EVENT
        | GET_RESPONSE
        | SET_RESPONSE
        | ACTION_RESPONSE
        | 0xca
        | 0xcc
        | 0xcd
        | 0xcf
        | 0xd2
        | 0xd4
        | 0xd5
        | 0xd7
        | EXCEPTION
        | 0xda => true,
        _ => return None,
    })
}

/// What an attribute that is set or a method that is called does to the meter, by interface class.
const fn acts(tag: u8, class: u16) -> Action {
    match (tag, class) {
        (GET_REQUEST, _) => Action::Read,
        // image transfer
        (_, 18) => Action::Firmware,
        // associations: proof of the client, secrets, lists of objects
        (ACTION_REQUEST, 12 | 15) => Action::Authenticate,
        // security setup, clock, communication set-ups
        (_, 12 | 15 | 64 | 8 | 19..=29 | 40..=48) => Action::Configuration,
        // disconnect control, scripts, limiter
        (_, 70 | 9 | 71) => Action::Control,
        (SET_REQUEST, _) => Action::Write,
        _ => Action::Control,
    }
}

/// A frame with its APDU.
struct Frame<'a> {
    source: u16,
    destination: u16,
    tag: u8,
    body: &'a [u8],
    all: &'a [u8],
}

enum Front<'a> {
    Frame(Frame<'a>),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let mut cursor = Cursor::new(bytes);
    match bytes {
        [0, 1, ..] | [0] | [] => {}
        _ => return Front::Foreign,
    }
    let (Ok(_), Ok(source), Ok(destination), Ok(length)) =
        (cursor.u16_be(), cursor.u16_be(), cursor.u16_be(), cursor.u16_be())
    else {
        return Front::Incomplete;
    };
    let length = usize::from(length);
    if !(2..=LARGEST).contains(&length) {
        return Front::Foreign;
    }
    let Ok(tag) = cursor.u8() else { return Front::Incomplete };
    if apdu(tag).is_none() {
        return Front::Foreign;
    }
    match (cursor.take(length - 1), bytes.get(..HEADER + length)) {
        (Ok(body), Some(all)) => Front::Frame(Frame { source, destination, tag, body, all }),
        _ => Front::Incomplete,
    }
}

/// Whether an APDU has the form of its tag.
fn has_form(frame: &Frame<'_>) -> bool {
    match frame.tag {
        AARQ..=RLRE => frame.body.first().is_some_and(|length| {
            usize::from(*length) + 1 == frame.body.len() || *length & 0x80 != 0
        }),
        GET_REQUEST | SET_REQUEST | ACTION_REQUEST => match Call::read(frame) {
            Ok(Some(_)) => true,
            Ok(None) => matches!(frame.body, [2..=6, _, _, ..]),
            Err(_) => false,
        },
        GET_RESPONSE | SET_RESPONSE | ACTION_RESPONSE => matches!(frame.body, [1..=5, _, _, ..]),
        _ => false,
    }
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Frame(frame) => {
            let is_whole = frame.all.len() == input.bytes.len();
            if !is_whole && input.transport == Transport::Udp {
                Probe::No
            } else if has_form(&frame) {
                Probe::Likely
            } else {
                Probe::Weak
            }
        }
        Front::Incomplete if input.transport == Transport::Tcp => Probe::More,
        _ => Probe::No,
    }
}

/// A request about one attribute or method.
struct Call<'a> {
    invoke: u8,
    class: u16,
    obis: &'a [u8],
    /// Attribute or method.
    member: u8,
    /// Written data or parameters, with their type.
    data: &'a [u8],
}

impl<'a> Call<'a> {
    /// None where the request is about several or goes on with another one.
    fn read(frame: &Frame<'a>) -> Result<Option<Self>, Short> {
        let mut cursor = Cursor::new(frame.body);
        let (kind, invoke) = (cursor.u8()?, cursor.u8()? & 0x0f);
        if kind != NORMAL {
            return Ok(None);
        }
        let (class, obis, member) = (cursor.u16_be()?, cursor.take(6)?, cursor.u8()?);
        let option = cursor.peek().unwrap_or_default();
        if option > 1 {
            return Err(Short { wanted: 1, got: 0, offset: cursor.position() });
        }
        // Selective access goes before the data of a SET; parameters follow a 1 in an ACTION.
        let data = match (frame.tag, option) {
            (SET_REQUEST, 0) | (ACTION_REQUEST, 1) => cursor.rest().get(1..).unwrap_or_default(),
            _ => &[],
        };
        Ok(Some(Self { invoke, class, obis, member, data }))
    }

    fn place(&self) -> Place {
        let obis = <[u8; 6]>::try_from(self.obis).unwrap_or_default();
        (self.class, obis, self.member)
    }

    fn object(&self) -> Object {
        let [a, b, c, d, e, f] = self.place().1;
        let (class, member) = (self.class, self.member);
        Object::Text(format_compact!("class {class} {a}-{b}:{c}.{d}.{e}.{f}/{member}"))
    }
}

/// Class, OBIS code, attribute.
type Place = (u16, [u8; 6], u8);

/// A value with the bytes it stands in, where it is a simple one (COSEM.asn, Data).
fn value(data: &[u8]) -> Option<(Value, &[u8], Decode)> {
    let mut cursor = Cursor::new(data);
    let kind = cursor.u8().ok()?;
    let size = match kind {
        // boolean, integer, unsigned, enumeration
        3 | 15 | 17 | 22 => 1,
        16 | 18 => 2,
        5 | 6 => 4,
        20 | 21 => 8,
        // octet string, visible string, UTF-8 string
        9 | 10 | 12 => usize::from(cursor.u8().ok().filter(|length| *length < 0x80)?),
        _ => return None,
    };
    let part = cursor.take(size).ok()?;
    if size > VALUE {
        return None;
    }
    let unsigned = part.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let signed = match kind {
        15 => i64::from(unsigned as u8 as i8),
        16 => i64::from(unsigned as u16 as i16),
        5 => i64::from(unsigned as u32 as i32),
        _ => i64::try_from(unsigned).unwrap_or(i64::MAX),
    };
    Some(match kind {
        9 => (Value::Bytes(part.to_vec()), part, Decode::Hex),
        10 | 12 => (Value::Text(text::utf8(text::trim(part))), part, Decode::Utf8),
        5 | 15 | 16 | 20 => (Value::Integer(signed), part, Decode::Derived),
        _ => (Value::Integer(signed), part, Decode::UnsignedBe),
    })
}

/// A request that waits for its response.
struct Request {
    operation: Operation,
    place: Option<Place>,
    written: Option<(Value, Evidence)>,
}

/// A flow that carries DLMS.
struct Dlms {
    /// Requests by client, server's port, and kind of service with invoke id.
    pending: Pending<(Side, u16, u8), Request>,
    /// Values read and written last, by server's port.
    values: Vec<(u16, Place, Value)>,
    client_said: bool,
    synchronised: [bool; 2],
}

/// Services whose invoke ids are apart from those of associations.
const ASSOCIATION: u8 = 0x80;

impl Dlms {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            values: Vec::new(),
            client_said: false,
            synchronised: [false; 2],
        }
    }

    fn frame(&mut self, input: &Input<'_>, frame: &Frame<'_>, out: &mut Out) -> Result<(), Short> {
        let Some(words) = apdu(frame.tag) else { return Ok(()) };
        let is_answer = is_answer(frame.tag).unwrap_or(frame.source == MANAGEMENT);
        let client = if is_answer { input.side.other() } else { input.side };
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(client));
        }
        let server = if is_answer { frame.source } else { frame.destination };
        let told = Operation {
            code: Some(frame.tag.into()),
            server_child: child(server),
            ..input.operation(NAME, client, words, part_at(frame.all, 0, HEADER + 1))
        };
        match frame.tag {
            GET_REQUEST | SET_REQUEST | ACTION_REQUEST => {
                self.call(input, frame, told, server, out)?;
            }
            GET_RESPONSE | SET_RESPONSE | ACTION_RESPONSE => {
                self.response(input, frame, told, server, out)?;
            }
            AARQ | RLRQ => self.wait((client, server, ASSOCIATION | frame.tag), told, out),
            AARE | RLRE => self.associated(input, frame, told, server, out),
            EXCEPTION => {
                let unseen: Vec<_> = self.pending.drain().collect();
                for mut request in unseen {
                    request.operation.outcome = Outcome::Error;
                    out.operation(request.operation);
                }
            }
            _ => {
                if is_ciphered(frame.tag) {
                    out.push(Item::NotDecoded(NAME, "encrypted"));
                }
                self.other(frame, told, is_answer, server, out);
            }
        }
        Ok(())
    }

    /// Ciphered and other services: paired by their kind alone.
    fn other(
        &mut self,
        frame: &Frame<'_>,
        told: Operation,
        is_answer: bool,
        server: u16,
        out: &mut Out,
    ) {
        let answers = match frame.tag {
            0x08 => 0x01,
            0x0c => 0x05,
            0x0d => 0x06,
            0xcc | 0xcd | 0xcf | 0xd4 | 0xd5 | 0xd7 => frame.tag - 4,
            _ => frame.tag,
        };
        let client = told.sender;
        let is_request =
            matches!(frame.tag, 0x01 | 0x05 | 0x06 | 0xc8 | 0xc9 | 0xcb | 0xd0 | 0xd1 | 0xd3);
        if is_request {
            self.wait((client, server, answers), told, out);
        } else if answers != frame.tag {
            match self.pending.take(&(client, server, answers)) {
                Some(mut request) => {
                    request.operation.outcome = Outcome::Ok;
                    out.operation(request.operation);
                }
                None => out.unpaired(Operation {
                    code: Some(answers.into()),
                    outcome: Outcome::Ok,
                    ..told
                }),
            }
        } else {
            // What a meter tells without being asked is its own message.
            let sender = if is_answer { client.other() } else { client };
            let child = told.server_child.clone();
            let (client_child, server_child) =
                if is_answer { (child, Child::None) } else { (Child::None, child) };
            let outcome = Outcome::None;
            out.operation(Operation { sender, client_child, server_child, outcome, ..told });
        }
    }

    fn wait(&mut self, key: (Side, u16, u8), operation: Operation, out: &mut Out) {
        let request = Request { operation, place: None, written: None };
        if let Some(unseen) = self.pending.insert(key, request) {
            out.operation(unseen.operation);
        }
    }

    fn call(
        &mut self,
        input: &Input<'_>,
        frame: &Frame<'_>,
        mut told: Operation,
        server: u16,
        out: &mut Out,
    ) -> Result<(), Short> {
        let client = input.side;
        let Some(call) = Call::read(frame)? else {
            let invoke = frame.body.get(1).copied().unwrap_or_default() & 0x0f;
            self.wait((client, server, invoke), told, out);
            return Ok(());
        };
        told.object = call.object();
        told.action = acts(frame.tag, call.class);
        let written = match value(call.data) {
            Some((value, part, decode)) if frame.tag == SET_REQUEST => {
                Some((value, input.evidence(part, decode)))
            }
            _ => None,
        };
        let place = (frame.tag != ACTION_REQUEST).then(|| call.place());
        let request = Request { operation: told, place, written };
        if let Some(unseen) = self.pending.insert((client, server, call.invoke), request) {
            out.operation(unseen.operation);
        }
        Ok(())
    }

    fn response(
        &mut self,
        input: &Input<'_>,
        frame: &Frame<'_>,
        told: Operation,
        server: u16,
        out: &mut Out,
    ) -> Result<(), Short> {
        let mut cursor = Cursor::new(frame.body);
        let (kind, invoke) = (cursor.u8()?, cursor.u8()? & 0x0f);
        // Normal responses start with their result; of a GET, 0 is data and 1 a refusal.
        let result = if kind == NORMAL { cursor.u8()? } else { 0 };
        let outcome = if result == 0 { Outcome::Ok } else { Outcome::Error };
        let client = told.sender;
        let Some(mut request) = self.pending.take(&(client, server, invoke)) else {
            let code = Some(u32::from(match frame.tag {
                GET_RESPONSE => GET_REQUEST,
                SET_RESPONSE => SET_REQUEST,
                _ => ACTION_REQUEST,
            }));
            out.unpaired(Operation { code, outcome, ..told });
            return Ok(());
        };
        request.operation.outcome = outcome;
        let (object, server_child) =
            (request.operation.object.clone(), request.operation.server_child.clone());
        let ts_ns = request.operation.ts_ns;
        out.operation(request.operation);
        let (Some(place), Outcome::Ok) = (request.place, outcome) else { return Ok(()) };
        if let Some((new, evidence)) = request.written {
            let old = self.remember(server, place, new.clone());
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender: client,
                server_child,
                object,
                old,
                new,
                evidence,
                ts_ns,
            }));
        } else if frame.tag == GET_RESPONSE
            && kind == NORMAL
            && let Some((value, part, _)) = value(cursor.rest())
        {
            identity(input, server, place, part, out);
            self.remember(server, place, value);
        }
        Ok(())
    }

    fn remember(&mut self, server: u16, place: Place, value: Value) -> Option<Value> {
        let is_known = |known: &&mut (u16, Place, Value)| known.0 == server && known.1 == place;
        if let Some((_, _, known)) = self.values.iter_mut().find(is_known) {
            return Some(std::mem::replace(known, value));
        }
        if self.values.len() >= REMEMBERED {
            self.values.remove(0);
        }
        self.values.push((server, place, value));
        None
    }

    /// The answer to an association or its release.
    fn associated(
        &mut self,
        input: &Input<'_>,
        frame: &Frame<'_>,
        told: Operation,
        server: u16,
        out: &mut Out,
    ) {
        let client = told.sender;
        let mut outcome = Outcome::Ok;
        if frame.tag == AARE {
            let is_accepted = |element: &Element<'_>| {
                let inner = ber::element(element.content);
                inner.and_then(|(inner, _)| ber::unsigned(inner.content)) == Some(0)
            };
            for element in parts(frame) {
                match element.number {
                    2 if !is_accepted(&element) => outcome = Outcome::Error,
                    4 => system_title(input, server, element.content, out),
                    _ => {}
                }
            }
            let kind = if outcome == Outcome::Ok { "login" } else { "login-failed" };
            out.push(Item::Event(Event {
                kind,
                protocol: NAME,
                sender: client,
                values: vec![("user", format_compact!("client {}", frame.destination))],
                evidence: input.locate(part_at(frame.all, 0, HEADER)),
            }));
        }
        let asked = if frame.tag == AARE { AARQ } else { RLRQ };
        match self.pending.take(&(client, server, ASSOCIATION | asked)) {
            Some(mut request) => {
                request.operation.outcome = outcome;
                out.operation(request.operation);
            }
            None => out.unpaired(Operation { code: Some(asked.into()), outcome, ..told }),
        }
    }
}

/// The context-specific parts of an association APDU.
fn parts<'a>(frame: &Frame<'a>) -> impl Iterator<Item = Element<'a>> {
    // The tag belongs to the element.
    let whole = ber::element(frame.all.get(HEADER..).unwrap_or_default());
    let parts = whole.map(|(element, _)| element.parts());
    parts.into_iter().flatten().filter(|part| part.class == ber::Class::Context)
}

fn child(port: u16) -> Child {
    if port == MANAGEMENT { Child::None } else { Child::Number(CHILD, port.into()) }
}

/// A system title: three letters of the maker and a number that it gave (Green Book §4.3.4).
fn system_title(input: &Input<'_>, server: u16, content: &[u8], out: &mut Out) {
    let title = ber::element(content).map_or(content, |(inner, _)| inner.content);
    if title.len() != 8 {
        return;
    }
    let digits = title.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    claim(input, server, "dlms_system_title", digits.into(), (title, Decode::Hex), out);
    maker(input, server, title, out);
}

/// The letters that FLAG gave to the maker, at the start of `part`.
fn maker(input: &Input<'_>, server: u16, part: &[u8], out: &mut Out) {
    let letters = part_at(part, 0, 3);
    if letters.len() == 3 && letters.iter().all(u8::is_ascii_uppercase) {
        let decode = (letters, Decode::Utf8);
        claim(input, server, "dlms_manufacturer", text::utf8(letters), decode, out);
    }
}

/// What a meter tells of itself (Blue Book §6.2).
fn identity(input: &Input<'_>, server: u16, (_, obis, member): Place, part: &[u8], out: &mut Out) {
    let attribute = match (obis, member) {
        // logical device name
        ([0, 0, 42, 0, 0, 255], 2) => "name",
        // device id 1: the number that the maker gave
        ([0, 0, 96, 1, 0, 255], 2) => "serial",
        // active firmware identifier
        ([1, 0, 0, 2, 0, 255], 2) => "firmware",
        _ => return,
    };
    let told = text::trim(part);
    if !text::is_printable(told) {
        return;
    }
    claim(input, server, attribute, text::utf8(told), (told, Decode::Utf8), out);
    if attribute == "name" {
        maker(input, server, told, out);
    }
}

fn claim(
    input: &Input<'_>,
    server: u16,
    attribute: &'static str,
    value: CompactString,
    (part, decode): (&[u8], Decode),
    out: &mut Out,
) {
    out.claim(Claim {
        who: Who::Sender(child(server)),
        attribute,
        value,
        protocol: NAME,
        message: if attribute == "dlms_system_title" { "associate" } else { "get" },
        confidence: Confidence::High,
        evidence: input.evidence(part, decode),
    });
}

fn violation(input: &Input<'_>, part: &[u8], out: &mut Out) {
    if !input.truncated {
        out.push(input.violation(NAME, "dlms-length", part_at(part, 0, 32)));
    }
}

impl Session for Dlms {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *input.side.of(&mut self.synchronised) = false;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Frame(frame) => {
                    *input.side.of(&mut self.synchronised) = true;
                    if self.frame(input, &frame, out).is_err() {
                        violation(input, frame.all, out);
                    }
                    used += frame.all.len();
                }
                Front::Incomplete if input.transport == Transport::Tcp => break,
                Front::Incomplete | Front::Foreign => {
                    if std::mem::take(input.side.of(&mut self.synchronised)) {
                        violation(input, rest, out);
                    }
                    if used > 0 {
                        out.layer(NAME, input.side);
                    }
                    return input.bytes.len();
                }
            }
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for request in self.pending.drain() {
            out.operation(request.operation);
        }
    }

    fn stream_cap(&self) -> usize {
        HEADER + LARGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const CLOCK: &[u8] = &[0, 8, 0, 0, 1, 0, 0, 255];
    const NAME_OBJECT: &[u8] = &[0, 1, 0, 0, 42, 0, 0, 255];

    /// A frame between client 16 and this server.
    fn ask(server: u8, apdu: &[u8]) -> Vec<u8> {
        whole([0, 16, 0, server], apdu)
    }

    fn answer(server: u8, apdu: &[u8]) -> Vec<u8> {
        whole([0, server, 0, 16], apdu)
    }

    fn whole(ports: [u8; 4], apdu: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1];
        bytes.extend(ports);
        bytes.extend((apdu.len() as u16).to_be_bytes());
        bytes.extend_from_slice(apdu);
        bytes
    }

    fn associate() -> Vec<u8> {
        let mut apdu = vec![AARQ, 0];
        apdu.extend([0xa1, 9, 6, 7, 0x60, 0x85, 0x74, 5, 8, 1, 1]);
        apdu.extend([0x8b, 7, 0x60, 0x85, 0x74, 5, 8, 2, 1, 0xac, 8, 0x80, 6]);
        apdu.extend_from_slice(b"hidden");
        apdu[1] = (apdu.len() - 2) as u8;
        ask(1, &apdu)
    }

    fn associated(result: u8) -> Vec<u8> {
        let mut apdu = vec![AARE, 0];
        apdu.extend([0xa1, 9, 6, 7, 0x60, 0x85, 0x74, 5, 8, 1, 1]);
        apdu.extend([0xa2, 3, 2, 1, result, 0xa3, 5, 0xa1, 3, 2, 1, 0]);
        apdu.extend([0xa4, 10, 4, 8]);
        apdu.extend_from_slice(b"LGZ\x10\x20\x30\x40\x50");
        apdu[1] = (apdu.len() - 2) as u8;
        answer(1, &apdu)
    }

    fn get(object: &[u8], attribute: u8) -> Vec<u8> {
        ask(1, &[&[GET_REQUEST, NORMAL, 0xc1], object, &[attribute, 0]].concat())
    }

    fn set(object: &[u8], attribute: u8, data: &[u8]) -> Vec<u8> {
        ask(17, &[&[SET_REQUEST, NORMAL, 0xc2], object, &[attribute, 0], data].concat())
    }

    #[test]
    fn a_client_logs_in_and_its_password_is_not_kept() {
        let items =
            testing::items(&PROTOCOL, &[(Side::A, &associate()), (Side::B, &associated(0))]);
        assert_eq!(vec![("associate", String::new(), Outcome::Ok)], testing::operations(&items));
        let events = testing::events(&items);
        assert_eq!("login", events[0].kind);
        assert_eq!(vec![("user", "client 16".into())], events[0].values);
        assert_eq!(
            vec![
                ("dlms_system_title", "4c475a1020304050".to_owned()),
                ("dlms_manufacturer", "LGZ".to_owned())
            ],
            testing::claims(&items)
        );
        assert!(!format!("{items:?}").contains("hidden"));
        let items =
            testing::items(&PROTOCOL, &[(Side::A, &associate()), (Side::B, &associated(1))]);
        assert_eq!("login-failed", testing::events(&items)[0].kind);
        assert_eq!(Outcome::Error, testing::operations(&items)[0].2);
    }

    #[test]
    fn objects_have_their_obis_code_and_names_are_claims() {
        let name = [&[GET_RESPONSE, NORMAL, 0xc1, 0, 9, 9][..], b"LGZ123456"].concat();
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &get(NAME_OBJECT, 2)),
                (Side::B, &answer(1, &name)),
                (Side::A, &get(CLOCK, 2)),
                (Side::B, &answer(1, &[GET_RESPONSE, NORMAL, 0xc1, 1, 3])),
            ],
        );
        assert_eq!(
            vec![
                ("get", "class 1 0-0:42.0.0.255/2".to_owned(), Outcome::Ok),
                ("get", "class 8 0-0:1.0.0.255/2".to_owned(), Outcome::Error),
            ],
            testing::operations(&items)
        );
        assert_eq!(
            vec![("name", "LGZ123456".to_owned()), ("dlms_manufacturer", "LGZ".to_owned())],
            testing::claims(&items)
        );
    }

    #[test]
    fn set_values_and_methods_have_their_action() {
        let disconnect =
            [&[ACTION_REQUEST, NORMAL, 0xc3, 0, 70][..], &[0, 0, 96, 3, 10, 255, 1, 0]];
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &set(CLOCK, 3, &[16, 0xff, 0xc4])),
                (Side::B, &answer(17, &[SET_RESPONSE, NORMAL, 0xc2, 0])),
                (Side::A, &set(CLOCK, 3, &[16, 0, 60])),
                (Side::B, &answer(17, &[SET_RESPONSE, NORMAL, 0xc2, 0])),
                (Side::A, &ask(1, &disconnect.concat())),
            ],
        );
        let changes: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Change(change) => Some((
                    change.old.clone(),
                    change.new.clone(),
                    change.server_child.to_text().to_string(),
                )),
                _ => None,
            })
            .collect();
        let device = "dlms 17".to_owned();
        assert_eq!(
            vec![
                (None, Value::Integer(-60), device.clone()),
                (Some(Value::Integer(-60)), Value::Integer(60), device),
            ],
            changes
        );
        let actions: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(told) => Some((told.name, told.action)),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![
                ("set", Action::Configuration),
                ("set", Action::Configuration),
                ("action", Action::Control)
            ],
            actions
        );
    }

    #[test]
    fn ciphered_services_are_paired_by_their_kind() {
        let items = testing::items(
            &PROTOCOL,
            &[(Side::A, &ask(1, &[0xc8, 3, 1, 2, 3])), (Side::B, &answer(1, &[0xcc, 3, 1, 2, 3]))],
        );
        assert_eq!(vec![("get-ciphered", String::new(), Outcome::Ok)], testing::operations(&items));
        assert!(items.contains(&Item::NotDecoded(NAME, "encrypted")));
    }

    #[test]
    fn what_is_no_frame_is_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &get(CLOCK, 2)), (Side::A, &[9, 9, 9])]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "dlms-length")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &associate())));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &get(CLOCK, 2))));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &get(CLOCK, 2)[..12])));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, &ask(1, &[0xc8, 3, 1, 2]))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &ask(1, &[0x55, 3, 1, 2]))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let messages = [
            (Side::A, associate()),
            (Side::B, associated(0)),
            (Side::A, get(NAME_OBJECT, 2)),
            (Side::B, answer(1, &[GET_RESPONSE, NORMAL, 0xc1, 0, 9, 2, b'a', b'b'])),
            (Side::A, set(CLOCK, 3, &[16, 0xff, 0xc4])),
            (Side::B, answer(17, &[SET_RESPONSE, NORMAL, 0xc2, 0])),
        ];
        let messages: Vec<_> =
            messages.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
