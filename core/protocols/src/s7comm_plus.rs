//! S7comm-plus, the protocol of Siemens S7-1200 and S7-1500 on ISO transport, as far as it is in
//! clear: from TIA V17 on, sessions are inside TLS.
//!
//! Sources (Siemens publishes no specification of the protocol):
//! * Versions, opcodes, functions, header fields, element and data types, addresses, object and
//!   attribute ids, the error flag of a return value: S7CommPlusDriver (Thomas Wiens).
//! * Digest in front of messages of version 3, trailer, ids of objects that a session makes, transport
//!   flag 0x40 (no response follows): frames 198 to 261 of icsnpp-s7comm s7comm_plus.pcap.
//! * Order number and firmware in attribute 319 of a session's version: frame 12 of nDPI
//!   s7comm-plus.pcap; there, too, what the client says of itself (frame 9).
//!
//! An object is named as the driver's access strings are: area, then ids; `DB 10.11` is id 11 in
//! data block 10.
//!
//! Rules broken on the wire:
//! * `s7comm-plus-header`: the version is unknown, or the length does not fit the transport message.
//!
//! Not decoded: what objects contain (blocks, comments, alarms), continuations of long messages,
//! integrity ids and digests, items of notifications.

use compact_str::{CompactString, format_compact};
use otic_wire::Cursor;

use crate::fields::part_at;
use crate::iso_transport::{self, Front, Kind};
use crate::out::{
    Action, Change, Child, Decode, Evidence, Item, Object, Operation, Out, Outcome, Value,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Side};
use crate::text;

/// S7comm-plus. The session is that of S7comm, which has the same transport, since one connection
/// may carry both.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "S7comm-plus",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[iso_transport::PORT])],
    dissector: Dissector::Built { probe, session: || crate::s7comm::PROTOCOL.session() },
    source: "RFC 1006, ISO 8073; S7CommPlusDriver; observed in public captures",
};

/// The protocol's name.
pub const NAME: &str = "s7comm-plus";

/// First byte of each message.
pub const PROTOCOL_ID: u8 = 0x72;

/// Version with a digest in front, and that of system events.
const VERSION_3: u8 = 3;
const SYSTEM_EVENT: u8 = 0xfe;

const REQUEST: u8 = 0x31;
const RESPONSE: u8 = 0x32;
const NOTIFICATION: u8 = 0x33;

/// Transport flag: nothing answers.
const NO_RESPONSE: u8 = 0x40;
/// Return values: the bit that tells an error.
const FAILED: u64 = 1 << 62;

const ERROR: u16 = 0x04b1;
const EXPLORE: u16 = 0x04bb;
const CREATE_OBJECT: u16 = 0x04ca;
const DELETE_OBJECT: u16 = 0x04d4;
const SET_VARIABLE: u16 = 0x04f2;
const GET_VARIABLE: u16 = 0x04fc;
const SET_MULTI_VARIABLES: u16 = 0x0542;
const GET_MULTI_VARIABLES: u16 = 0x054c;
const SET_VAR_SUBSTREAMED: u16 = 0x057c;
const GET_VAR_SUBSTREAMED: u16 = 0x0586;
const INIT_SSL: u16 = 0x05b3;

/// Ids of objects and attributes.
const PLC_PROGRAM: u32 = 3;
const CPU_EXEC_UNIT: u32 = 52;
const NAME_OF_OBJECT: u32 = 233;
const CLASS_SERVER_SESSION: u32 = 287;
const OBJECT_SERVER_SESSION_CONTAINER: u32 = 285;
const SERVER_SESSION_VERSION: u32 = 306;
const VERSION_OF_SESSION: &str = ".306";
const ORDER_NUMBER_AND_FIRMWARE: u32 = 319;
const SUBSCRIPTION: std::ops::RangeInclusive<u32> = 1001..=1082;
const OPERATING_STATE_REQUEST: u32 = 2167;
const DATA_BLOCKS: u32 = 0x8a0e_0000;

/// Data types and flags of a value.
const STRUCT: u8 = 0x17;
const WSTRING: u8 = 0x15;
const ARRAY: u8 = 0x10;
const ADDRESS_ARRAY: u8 = 0x20;

const START_OF_OBJECT: u8 = 0xa1;
const END_OF_OBJECT: u8 = 0xa2;
const ATTRIBUTE: u8 = 0xa3;

/// Requests of one flow that may wait at once.
const WAITING: usize = 64;
/// Most addresses that an object spells out.
const SPELLED: usize = 8;
/// Values of one type remembered to tell the old value of a write, and the longest.
const REMEMBERED: usize = 64;
const LONGEST: usize = 256;
/// How deep structures and objects are followed.
const DEPTH: u8 = 8;

/// Name and action of a function.
const fn function(code: u16) -> Option<(&'static str, Action)> {
    Some(match code {
        ERROR => ("error", Action::Diagnostics),
        EXPLORE => ("explore", Action::Read),
        CREATE_OBJECT => ("create-object", Action::Configuration),
        DELETE_OBJECT => ("delete-object", Action::Configuration),
        SET_VARIABLE => ("set-variable", Action::Write),
        GET_VARIABLE => ("get-variable", Action::Read),
        0x0506 => ("add-link", Action::Configuration),
        0x051a => ("remove-link", Action::Configuration),
        0x0524 => ("get-link", Action::Read),
        SET_MULTI_VARIABLES => ("set-multi-variables", Action::Write),
        GET_MULTI_VARIABLES => ("get-multi-variables", Action::Read),
        0x0556 => ("begin-sequence", Action::Session),
        0x0560 => ("end-sequence", Action::Session),
        0x056b => ("invoke", Action::Control),
        SET_VAR_SUBSTREAMED => ("set-var-substreamed", Action::Write),
        GET_VAR_SUBSTREAMED => ("get-var-substreamed", Action::Read),
        0x0590 => ("get-variables-address", Action::Read),
        0x059a => ("abort", Action::Session),
        0x05a9 => ("error-2", Action::Diagnostics),
        INIT_SSL => ("init-ssl", Action::Session),
        _ => return None,
    })
}

fn probe(input: &Input<'_>) -> Probe {
    let mut rest = input.bytes;
    loop {
        match iso_transport::front(rest) {
            Front::Broken => return Probe::No,
            Front::Incomplete => return Probe::More,
            Front::Tpdu(tpdu) => {
                if tpdu.kind == Kind::Data && !tpdu.data.is_empty() {
                    return match tpdu.data {
                        [PROTOCOL_ID, 1..=3 | SYSTEM_EVENT, high, low, ..]
                            if usize::from(u16::from_be_bytes([*high, *low])) + 4
                                <= tpdu.data.len() =>
                        {
                            Probe::Certain
                        }
                        _ => Probe::No,
                    };
                }
                rest = rest.get(tpdu.length..).unwrap_or_default();
            }
        }
    }
}

/// The header of a request or response, and what follows it.
struct Header<'a> {
    opcode: u8,
    function: u16,
    sequence: u16,
    /// Of a request; 0 in a response.
    session: u32,
    flags: u8,
    body: Cursor<'a>,
}

impl<'a> Header<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let mut body = Cursor::new(data);
        let opcode = body.u8().ok()?;
        if !matches!(opcode, REQUEST | RESPONSE) {
            return None;
        }
        let _reserved = body.u16_be().ok()?;
        let function = body.u16_be().ok()?;
        let _reserved = body.u16_be().ok()?;
        let sequence = body.u16_be().ok()?;
        let session = if opcode == REQUEST { body.u32_be().ok()? } else { 0 };
        let flags = body.u8().ok()?;
        Some(Self { opcode, function, sequence, session, flags, body })
    }
}

/// A number of 7 bits a byte, high ones first; the top bit says that more follow.
fn variable_length(cursor: &mut Cursor<'_>, bytes: usize) -> Option<u64> {
    let mut number = 0_u64;
    for at in 0..bytes {
        let byte = cursor.u8().ok()?;
        // The ninth byte of the longest is whole.
        if at == 8 {
            return Some(number << 8 | u64::from(byte));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The same, at most 32 bits.
fn id(cursor: &mut Cursor<'_>) -> Option<u32> {
    variable_length(cursor, 5).and_then(|number| u32::try_from(number).ok())
}

/// What reads a structure's or object's text: path of the last two ids, and the text.
type Texts<'a, 'f> = &'f mut dyn FnMut(u32, u32, &'a [u8]);

/// A value: its type, and its bytes without flags, type and length.
struct Typed<'a> {
    flags: u8,
    kind: u8,
    raw: &'a [u8],
}

/// Reads past a value; none for one that is not known or goes beyond the end. `path` is the
/// attribute that it belongs to.
fn value<'a>(
    cursor: &mut Cursor<'a>,
    path: u32,
    depth: u8,
    texts: Texts<'a, '_>,
) -> Option<Typed<'a>> {
    let (flags, kind) = (cursor.u8().ok()?, cursor.u8().ok()?);
    let start = cursor.rest();
    match flags {
        0 => single(cursor, kind, path, depth, texts)?,
        ARRAY | ADDRESS_ARRAY => {
            for _ in 0..id(cursor)? {
                single(cursor, kind, path, depth, &mut *texts)?;
            }
        }
        _ => return None,
    }
    let raw = start.get(..start.len() - cursor.remaining())?;
    let raw = match (flags, kind) {
        // without its length
        (0, WSTRING) => {
            let mut text = Cursor::new(raw);
            id(&mut text)?;
            text.rest()
        }
        _ => raw,
    };
    Some(Typed { flags, kind, raw })
}

fn single<'a>(
    cursor: &mut Cursor<'a>,
    kind: u8,
    path: u32,
    depth: u8,
    texts: Texts<'a, '_>,
) -> Option<()> {
    let fixed = match kind {
        0x00 => 0,
        // bool, unsigned and signed bytes, byte
        0x01 | 0x02 | 0x06 | 0x0a => 1,
        // words
        0x03 | 0x07 | 0x0b => 2,
        // dword, real, id of a relation
        0x0c | 0x0e | 0x12 => 4,
        // lword, lreal, timestamp
        0x0d | 0x0f | 0x10 => 8,
        // numbers of variable length: udint, dint, id of an attribute
        0x04 | 0x08 | 0x13 => return id_bytes(cursor, 5),
        // ulint, lint, timespan
        0x05 | 0x09 | 0x11 => return id_bytes(cursor, 9),
        WSTRING => {
            let length = id(cursor)?;
            let text = cursor.take(usize::try_from(length).ok()?).ok()?;
            texts(path, 0, text);
            return Some(());
        }
        STRUCT => return structure(cursor, path, depth.checked_sub(1)?, texts),
        _ => return None,
    };
    cursor.skip(fixed).ok()
}

fn id_bytes(cursor: &mut Cursor<'_>, bytes: usize) -> Option<()> {
    variable_length(cursor, bytes).map(|_| ())
}

/// A structure: its id, then members by id up to a zero.
fn structure<'a>(
    cursor: &mut Cursor<'a>,
    path: u32,
    depth: u8,
    texts: Texts<'a, '_>,
) -> Option<()> {
    let kind = cursor.u32_be().ok()?;
    // Packed structures are laid out as their type says, which the traffic does not tell.
    if matches!(kind, 0x9000_0000..=0x9fff_ffff | 0x0200_0000..=0x02ff_ffff) {
        return None;
    }
    loop {
        match id(cursor)? {
            0 => return Some(()),
            member => {
                value(cursor, member, depth, &mut |inner, _, text| texts(path, inner, text))?;
            }
        }
    }
}

/// Reads an object's attributes up to its end; the class of the outermost one.
fn object<'a>(cursor: &mut Cursor<'a>, texts: Texts<'a, '_>) -> Option<u32> {
    let mut class = None;
    let mut depth = 0_u8;
    loop {
        match cursor.u8().ok()? {
            START_OF_OBJECT => {
                let _relation = cursor.u32_be().ok()?;
                let this = id(cursor)?;
                let (_flags, _attribute) = (id(cursor)?, id(cursor)?);
                class.get_or_insert(this);
                depth = depth.checked_add(1)?;
            }
            END_OF_OBJECT => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return class;
                }
            }
            ATTRIBUTE => {
                let attribute = id(cursor)?;
                if depth == 1 {
                    value(cursor, attribute, DEPTH, texts)?;
                } else {
                    value(cursor, attribute, DEPTH, &mut |_, _, _| {})?;
                }
            }
            // What else an object may hold is not needed.
            _ => return class,
        }
    }
}

/// Name of an area of the controller.
fn area(id: u32) -> CompactString {
    match id {
        80 => "I".into(),
        81 => "Q".into(),
        82 => "M".into(),
        83 => "C".into(),
        84 => "T".into(),
        PLC_PROGRAM => "program".into(),
        CPU_EXEC_UNIT => "CPU".into(),
        DATA_BLOCKS..=0x8a0e_ffff => format_compact!("DB {}", id - DATA_BLOCKS),
        // Made for a session, with another number in the next one.
        0x7000_0000..=0x7fff_ffff => "dynamic-object".into(),
        _ => format_compact!("object {id}"),
    }
}

/// The next address of a list: check of the symbol, area, number of ids, kind of value, ids.
fn address(cursor: &mut Cursor<'_>) -> Option<CompactString> {
    let _check = id(cursor)?;
    let mut name = area(id(cursor)?);
    let ids = id(cursor)?;
    let _kind = id(cursor)?;
    for at in 1..ids {
        let id = id(cursor)?;
        if at as usize <= SPELLED {
            name.push_str(&format_compact!(".{id}"));
        }
    }
    Some(name)
}

/// The addresses of a read or write of several variables.
fn addresses(cursor: &mut Cursor<'_>, of: u32, count: u32) -> Option<Vec<CompactString>> {
    let _fields = id(cursor)?;
    (0..count.min(0xffff))
        .map(|_| match of {
            0 => address(cursor),
            _ => id(cursor).map(|attribute| format_compact!("{}.{attribute}", area(of))),
        })
        .collect()
}

/// One object for several names.
fn listed(names: &[CompactString]) -> Object {
    let Some((first, others)) = names.split_first() else { return Object::None };
    let mut text = first.clone();
    for name in others.iter().take(SPELLED - 1) {
        text.push_str(", ");
        text.push_str(name);
    }
    if names.len() > SPELLED {
        text.push_str(&format_compact!(", +{}", names.len() - SPELLED));
    }
    Object::Text(text)
}

/// The value for JSON, and how the bytes give it.
fn told(typed: &Typed<'_>) -> Option<(Value, Decode)> {
    if typed.raw.is_empty() || typed.raw.len() > LONGEST {
        return None;
    }
    let unsigned =
        |raw: &[u8]| raw.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    Some(match (typed.flags, typed.kind, typed.raw) {
        (0, 0x01 | 0x02 | 0x03 | 0x0a | 0x0b | 0x0c, raw) => {
            (Value::Integer(unsigned(raw)), Decode::UnsignedBe)
        }
        (0, 0x06, [byte]) => (Value::Integer(i64::from(byte.cast_signed())), Decode::Derived),
        (0, 0x07, [high, low]) => {
            (Value::Integer(i64::from(i16::from_be_bytes([*high, *low]))), Decode::Derived)
        }
        (0, 0x04, raw) => {
            let number = variable_length(&mut Cursor::new(raw), 5)?;
            (Value::Integer(i64::try_from(number).ok()?), Decode::Derived)
        }
        (0, 0x08, raw) => (Value::Integer(signed(raw)?), Decode::Derived),
        (0, 0x0e, [a, b, c, d]) => {
            (Value::Real(f64::from(f32::from_be_bytes([*a, *b, *c, *d]))), Decode::Derived)
        }
        (0, WSTRING, raw) => (Value::Text(text::utf8(raw)), Decode::Utf8),
        (_, _, raw) => (Value::Bytes(raw.to_vec()), Decode::Hex),
    })
}

/// A signed number of variable length: the second bit of its first byte is the sign.
fn signed(raw: &[u8]) -> Option<i64> {
    let first = *raw.first()?;
    let start = if first & 0x40 == 0 { 0 } else { -1_i64 };
    Some(raw.iter().fold(start, |number, byte| number << 7 | i64::from(byte & 0x7f)))
}

/// A request that waits for its response.
struct Request {
    operation: Box<Operation>,
    writes: Vec<(CompactString, Value, Evidence)>,
}

/// What one connection says in this protocol; the transport is [`crate::s7comm`]'s.
pub struct Plus {
    pending: Pending<(Side, u16), Request>,
    /// Last values written, oldest first.
    values: Vec<(CompactString, Value)>,
    /// The last message of a side goes on in its next one.
    goes_on: [bool; 2],
    /// Both sides may speak TLS from here on.
    secured: bool,
    encrypted_said: bool,
    reported: bool,
    client_said: bool,
}

impl Default for Plus {
    fn default() -> Self {
        Self {
            pending: Pending::new(WAITING),
            values: Vec::new(),
            goes_on: [false; 2],
            secured: false,
            encrypted_said: false,
            reported: false,
            client_said: false,
        }
    }
}

impl Plus {
    /// Whether what a transport message holds is TLS that this protocol started.
    #[must_use]
    pub fn is_secured(&self, data: &[u8]) -> bool {
        self.secured && matches!(data, [0x14..=0x17, 3, ..])
    }

    /// TLS records were seen.
    pub fn secured(&mut self, out: &mut Out) {
        if !std::mem::replace(&mut self.encrypted_said, true) {
            out.push(Item::NotDecoded(NAME, "encrypted"));
        }
    }

    /// Bytes were missed: what goes on is not known.
    pub const fn gap(&mut self, side: Side) {
        *side.of(&mut self.goes_on) = false;
    }

    /// One transport message.
    pub fn message(&mut self, input: &Input<'_>, message: &[u8], out: &mut Out) {
        let header = message.first_chunk::<4>().copied();
        let Some([_, version @ (1..=3 | SYSTEM_EVENT), high, low]) = header else {
            self.violation(input, message, out);
            return;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(data) = message.get(4..4 + length) else {
            self.violation(input, message, out);
            return;
        };
        // A message ends with its header, once more, and length 0.
        let ends = message.len() > 4 + length || version == SYSTEM_EVENT;
        if std::mem::replace(input.side.of(&mut self.goes_on), !ends) {
            return;
        }
        let data = match (version, data.first()) {
            (VERSION_3, Some(&digest)) => data.get(1 + usize::from(digest)..).unwrap_or_default(),
            _ => data,
        };
        if version == SYSTEM_EVENT {
            return;
        }
        match data.first() {
            Some(&NOTIFICATION) => self.notification(input, data, out),
            _ => match Header::read(data) {
                Some(header) if header.opcode == REQUEST => self.request(input, header, data, out),
                Some(header) => self.response(input, header, data, out),
                None => {}
            },
        }
    }

    /// The flow is over.
    pub fn finish(&mut self, out: &mut Out) {
        let waiting: Vec<Request> = self.pending.drain().collect();
        for request in waiting {
            self.complete(request, Outcome::Unseen, out);
        }
    }

    fn violation(&mut self, input: &Input<'_>, part: &[u8], out: &mut Out) {
        if !std::mem::replace(&mut self.reported, true) {
            out.push(input.violation(NAME, "s7comm-plus-header", part_at(part, 0, 32)));
        }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(side));
        }
    }

    fn notification(&mut self, input: &Input<'_>, data: &[u8], out: &mut Out) {
        self.say_client(input.side.other(), out);
        let words = ("notification", Action::Subscribe);
        let mut operation = input.operation(NAME, input.side, words, part_at(data, 0, 5));
        operation.code = Some(u32::from(NOTIFICATION));
        operation.outcome = Outcome::None;
        out.operation(operation);
    }

    fn request(&mut self, input: &Input<'_>, header: Header<'_>, data: &[u8], out: &mut Out) {
        self.say_client(input.side, out);
        let words = function(header.function).unwrap_or(("unknown", Action::Diagnostics));
        let mut operation =
            Box::new(input.operation(NAME, input.side, words, part_at(data, 0, 14)));
        operation.code = Some(u32::from(header.function));
        let mut request = Request { operation, writes: Vec::new() };
        // Layouts are observed ones: where they do not fit, the function alone is told.
        describe(&mut request, input, &header, out);
        if header.function == INIT_SSL {
            self.secured = true;
        }
        if header.flags & NO_RESPONSE != 0 {
            self.complete(request, Outcome::None, out);
        } else if let Some(evicted) = self.pending.insert((input.side, header.sequence), request) {
            self.complete(evicted, Outcome::Unseen, out);
        }
    }

    fn response(&mut self, input: &Input<'_>, mut header: Header<'_>, data: &[u8], out: &mut Out) {
        let client = input.side.other();
        self.say_client(client, out);
        let result = variable_length(&mut header.body, 9);
        let failed = matches!(header.function, ERROR | 0x05a9)
            || result.is_some_and(|result| result & FAILED != 0);
        let outcome = if failed { Outcome::Error } else { Outcome::Ok };
        if header.function == CREATE_OBJECT && !failed {
            created(input, &mut header.body, out);
        }
        if let Some(request) = self.pending.take(&(client, header.sequence)) {
            self.complete(request, outcome, out);
            return;
        }
        let words = function(header.function).unwrap_or(("unknown", Action::Diagnostics));
        let mut operation = input.operation(NAME, client, words, part_at(data, 0, 10));
        operation.code = Some(u32::from(header.function));
        operation.outcome = outcome;
        out.unpaired(operation);
    }

    fn complete(&mut self, mut request: Request, outcome: Outcome, out: &mut Out) {
        request.operation.outcome = outcome;
        let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
        out.operation(request.operation);
        if outcome == Outcome::Error {
            return;
        }
        for (name, new, evidence) in request.writes {
            let known = self.values.iter().position(|(known, _)| *known == name);
            let old = known.map(|at| self.values.remove(at).1);
            if self.values.len() >= REMEMBERED {
                self.values.remove(0);
            }
            self.values.push((name.clone(), new.clone()));
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender,
                server_child: Child::None,
                object: Object::Text(name),
                old,
                new,
                evidence,
                ts_ns,
            }));
        }
    }
}

/// Object, action and written values of a request, as far as its layout is known.
fn describe(
    request: &mut Request,
    input: &Input<'_>,
    header: &Header<'_>,
    out: &mut Out,
) -> Option<()> {
    let (function, mut body) = (header.function, header.body);
    match function {
        CREATE_OBJECT => {
            let container = body.u32_be().ok()?;
            request.operation.object = Object::Text(area(container));
            // A block of the program is made anew by each download.
            if container == PLC_PROGRAM {
                request.operation.action = Action::ProgramDownload;
            }
            let session = container == OBJECT_SERVER_SESSION_CONTAINER;
            if session {
                request.operation.action = Action::Session;
                request.operation.object = Object::Text("session".into());
            }
            let _value = value(&mut body, 0, DEPTH, &mut |_, _, _| {})?;
            let _unknown = body.u32_be().ok()?;
            let mut said = Vec::new();
            object(&mut body, &mut |attribute, _, text| said.push((attribute, text)));
            if session {
                client(input, &said, out);
            } else if let Some((_, name)) = said
                .iter()
                .find(|(attribute, name)| *attribute == NAME_OF_OBJECT && !name.is_empty())
            {
                let name = format_compact!("{} {}", area(container), text::utf8(name));
                request.operation.object = Object::Text(name);
            }
        }
        DELETE_OBJECT | EXPLORE => {
            let object = body.u32_be().ok()?;
            request.operation.object = Object::Text(area(object));
            if function == DELETE_OBJECT && object == header.session {
                request.operation.action = Action::Session;
                request.operation.object = Object::Text("session".into());
            }
        }
        SET_VARIABLE | GET_VARIABLE => {
            let of = body.u32_be().ok()?;
            let _one = id(&mut body)?;
            let attribute = id(&mut body)?;
            let name = format_compact!("{}.{attribute}", area(of));
            request.operation.object = Object::Text(name.clone());
            if function == SET_VARIABLE {
                // Upkeep of a subscription: nothing of the process is written.
                if SUBSCRIPTION.contains(&attribute) {
                    request.operation.action = Action::Subscribe;
                    return Some(());
                }
                let typed = value(&mut body, 0, DEPTH, &mut |_, _, _| {})?;
                let (new, decode) = told(&typed)?;
                if (of, attribute) == (CPU_EXEC_UNIT, OPERATING_STATE_REQUEST) {
                    let (name, action) = match new {
                        Value::Integer(1) => ("set-operating-state-stop", Action::Stop),
                        Value::Integer(3) => ("set-operating-state-run", Action::Start),
                        _ => ("set-operating-state", Action::Mode),
                    };
                    request.operation.name = name;
                    request.operation.action = action;
                }
                request.writes.push((name, new, input.evidence(typed.raw, decode)));
            }
        }
        GET_MULTI_VARIABLES => {
            let link = body.u32_be().ok()?;
            let count = id(&mut body)?;
            let names = addresses(&mut body, link, count)?;
            request.operation.object = listed(&names);
        }
        SET_MULTI_VARIABLES => {
            let of = body.u32_be().ok()?;
            let count = id(&mut body)?;
            let names = addresses(&mut body, of, count)?;
            request.operation.object = listed(&names);
            // The version of a session is written back as it was read: no value of the process.
            if of != 0 && names.iter().any(|name| name.ends_with(VERSION_OF_SESSION)) {
                request.operation.action = Action::Session;
                request.operation.object = Object::Text("session".into());
                return Some(());
            }
            for name in names {
                let _number = id(&mut body)?;
                let typed = value(&mut body, 0, DEPTH, &mut |_, _, _| {})?;
                if let Some((new, decode)) = told(&typed) {
                    request.writes.push((name, new, input.evidence(typed.raw, decode)));
                }
            }
        }
        GET_VAR_SUBSTREAMED | SET_VAR_SUBSTREAMED => {
            request.operation.object = Object::Text(area(body.u32_be().ok()?));
        }
        _ => {}
    }
    Some(())
}

/// What a client says of itself when it opens a session: its programs' and stations' names.
fn client(input: &Input<'_>, said: &[(u32, &[u8])], out: &mut Out) {
    for (attribute, text) in said {
        let name = match attribute {
            // of the program that opens the session (frame 9: "OMS+ for SMART Runtime")
            301 => "s7_client_software",
            // of the station (frame 9: "HMI HOST")
            298 => "s7_client_host",
            _ => continue,
        };
        // Some clients write a number there.
        if text::is_printable(text::trim(text)) && text.len() > 2 {
            out.claim(input.own_text((NAME, "create-object"), name, text));
        }
    }
}

/// The response to the request for a session: ids of objects, then the session's object.
fn created(input: &Input<'_>, body: &mut Cursor<'_>, out: &mut Out) -> Option<()> {
    for _ in 0..body.u8().ok()? {
        id(body)?;
    }
    let mut version = None;
    let class = object(body, &mut |attribute, member, text| {
        if (attribute, member) == (SERVER_SESSION_VERSION, ORDER_NUMBER_AND_FIRMWARE) {
            version = Some(text);
        }
    });
    if class != Some(CLASS_SERVER_SESSION) {
        return None;
    }
    // `1;order number ;Vx.y`
    let mut parts = version?.split(|byte| *byte == b';');
    let (_number, order, firmware) = (parts.next()?, parts.next()?, parts.next()?);
    let told_in = (NAME, "create-object");
    if text::is_printable(order) {
        out.claim(input.own_text(told_in, "order_number", order));
    }
    if text::is_printable(firmware) {
        out.claim(input.own_text(told_in, "firmware", firmware));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, claims, operations};

    /// TPKT, DT TPDU, header, data, trailer.
    fn message(version: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![3, 0, 0, 15 + data.len() as u8, 2, 0xf0, 0x80, 0x72, version, 0];
        bytes.push(data.len() as u8);
        bytes.extend_from_slice(data);
        bytes.extend([0x72, version, 0, 0]);
        bytes
    }

    fn request(function: u16, sequence: u8, flags: u8, body: &[u8]) -> Vec<u8> {
        let [high, low] = function.to_be_bytes();
        let mut data = vec![0x31, 0, 0, high, low, 0, 0, 0, sequence, 0, 0, 3, 0xbe, flags];
        data.extend_from_slice(body);
        message(2, &data)
    }

    fn response(function: u16, sequence: u8, body: &[u8]) -> Vec<u8> {
        let [high, low] = function.to_be_bytes();
        let mut data = vec![0x32, 0, 0, high, low, 0, 0, 0, sequence, 0x34];
        data.extend_from_slice(body);
        message(2, &data)
    }

    fn text(attribute: &[u8], text: &str) -> Vec<u8> {
        let mut bytes = attribute.to_vec();
        bytes.extend([0, 0x15, text.len() as u8]);
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    fn open_session() -> Vec<u8> {
        // in the session container, value 0, four bytes; an object of class 287
        let mut body =
            vec![0, 0, 1, 0x1d, 0, 4, 0, 0, 0, 0, 0, 0xa1, 0, 0, 0, 0xd3, 0x82, 0x1f, 0, 0];
        body.push(0xa3);
        body.extend(text(&[0x82, 0x2a], "STATION-1"));
        body.push(0xa3);
        body.extend(text(&[0x82, 0x2d], "A program"));
        // an object inside
        body.extend([0xa1, 0, 0, 0, 0xd3, 0x81, 0x7f, 0, 0, 0xa2, 0xa2]);
        request(CREATE_OBJECT, 1, 0x36, &body)
    }

    fn session_opened() -> Vec<u8> {
        // two ids, an object of class 287, structure 306 with number 315 and text 319
        let mut body = vec![0x11, 2, 0x87, 0x3e, 0x87, 0x23, 0xa1, 0, 0, 1, 0x20, 0x82, 0x1f, 0, 0];
        body.extend([0xa3, 0x82, 0x32, 0, 0x17, 0, 0, 1, 0x3a, 0x82, 0x3b, 0, 4, 0x82, 0]);
        body.extend(text(&[0x82, 0x3f], "1;6ES7 000-0AA00-0XB0 ;V4.2"));
        body.extend([0, 0xa2, 0, 0, 0, 0]);
        response(CREATE_OBJECT, 1, &body)
    }

    /// Data block 10 (0x8a0e000a), value 2550, id 11.
    const DB_10_11: &[u8] = &[0, 0x88, 0xd0, 0xb8, 0x80, 0x0a, 2, 0x93, 0x76, 11];

    fn read() -> Vec<u8> {
        let body = [&[0, 0, 0, 0, 1, 5], DB_10_11, &[0; 4]].concat();
        request(GET_MULTI_VARIABLES, 2, 0x34, &body)
    }

    fn write(sequence: u8, value: &[u8]) -> Vec<u8> {
        let body = [&[0, 0, 0, 0, 1, 5], DB_10_11, &[1], value, &[0; 8]].concat();
        request(SET_MULTI_VARIABLES, sequence, 0x34, &body)
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        vec![
            (Side::A, open_session()),
            (Side::B, session_opened()),
            (Side::A, read()),
            (Side::B, response(GET_MULTI_VARIABLES, 2, &[0, 1, 0, 7, 0, 5, 0, 0])),
            (Side::A, write(3, &[0, 7, 0xff, 0xfe])),
            (Side::B, response(SET_MULTI_VARIABLES, 3, &[0, 0, 0])),
            (Side::A, write(4, &[0, 7, 0, 9])),
            // a return value of nine bytes with the error bit
            (
                Side::B,
                response(
                    SET_MULTI_VARIABLES,
                    4,
                    &[0xa0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
                ),
            ),
        ]
    }

    fn items(messages: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::items(&PROTOCOL, &messages)
    }

    #[test]
    fn a_session_names_controller_and_client() {
        let items = items(&conversation());
        let want = [
            ("s7_client_host", "STATION-1"),
            ("s7_client_software", "A program"),
            ("order_number", "6ES7 000-0AA00-0XB0"),
            ("firmware", "V4.2"),
        ];
        assert_eq!(want.map(|(name, value)| (name, value.to_owned())).as_slice(), claims(&items));
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn variables_are_named_and_written_values_told() {
        let items = items(&conversation());
        let variable = || "DB 10.11".to_owned();
        assert_eq!(
            vec![
                ("create-object", "session".to_owned(), Outcome::Ok),
                ("get-multi-variables", variable(), Outcome::Ok),
                ("set-multi-variables", variable(), Outcome::Ok),
                ("set-multi-variables", variable(), Outcome::Error),
            ],
            operations(&items)
        );
        let changes: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Change(change) => Some((change.object.to_text(), change.new.clone())),
                _ => None,
            })
            .collect();
        assert_eq!([("DB 10.11".into(), Value::Integer(-2))], *changes);
    }

    #[test]
    fn a_block_that_is_made_in_the_program_is_a_download() {
        // in the program, value 0, four bytes; an object of class 2573 with its name
        let mut body = vec![0, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0xa1, 0, 0, 0, 0xd3, 0x94, 0x0d, 0, 0];
        body.push(0xa3);
        body.extend(text(&[0x81, 0x69], "Main"));
        body.push(0xa2);
        let items = items(&[(Side::A, request(CREATE_OBJECT, 7, 0x34, &body))]);
        assert!(items.iter().any(|item| matches!(item, Item::Operation(op)
            if op.action == Action::ProgramDownload && op.object.to_text() == "program Main")));
    }

    #[test]
    fn a_session_that_is_deleted_is_no_configuration() {
        let items =
            items(&[(Side::A, request(DELETE_OBJECT, 8, 0x34, &[0, 0, 3, 0xbe, 0, 0, 0, 0]))]);
        assert!(items.iter().any(|item| matches!(item, Item::Operation(op)
            if op.action == Action::Session && op.object.to_text() == "session")));
    }

    #[test]
    fn a_stop_is_named_and_no_answer_is_awaited_where_none_comes() {
        // object 52, one, attribute 2167, dint 1
        let stop =
            request(SET_VARIABLE, 5, 0x74, &[0, 0, 0, 52, 1, 0x90, 0x77, 0, 8, 1, 0, 0, 0, 0]);
        let items = items(&[(Side::A, stop)]);
        assert!(items.iter().any(|item| matches!(item, Item::Operation(op)
            if op.name == "set-operating-state-stop" && op.action == Action::Stop
                && op.outcome == Outcome::None)));
    }

    #[test]
    fn version_3_has_a_digest_and_notifications_need_no_answer() {
        let digest = [&[32], [7; 32].as_slice()].concat();
        let read = [0x31, 0, 0, 5, 0x86, 0, 0, 0, 9, 0, 0, 3, 0xbe, 0x34, 0, 0, 0, 52];
        let asked = [digest.as_slice(), &read].concat();
        let pushed = [digest.as_slice(), &[0x33, 0x70, 0, 0x0e, 0x51, 4, 0, 0, 0]].concat();
        let items = items(&[(Side::A, message(3, &asked)), (Side::B, message(3, &pushed))]);
        let mut told = operations(&items);
        told.sort_unstable_by_key(|(name, ..)| *name);
        assert_eq!(
            vec![
                ("get-var-substreamed", "CPU".to_owned(), Outcome::Unseen),
                ("notification", String::new(), Outcome::None),
            ],
            told
        );
    }

    #[test]
    fn a_session_that_goes_over_to_tls_is_not_read_further() {
        let start = request(INIT_SSL, 1, 0x34, &[0; 4]);
        let hello =
            [&[3, 0, 0, 15, 2, 0xf0, 0x80], [0x16, 3, 1, 0, 3, 1, 2, 3].as_slice()].concat();
        let items = items(&[(Side::A, start), (Side::A, hello)]);
        assert!(items.contains(&Item::NotDecoded(NAME, "encrypted")));
    }

    #[test]
    fn the_probe_wants_its_header_and_a_length_that_fits() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &read())));
        let mut wrong = read();
        wrong[9] = 1;
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &wrong)));
        let s7comm = [3, 0, 0, 9, 2, 0xf0, 0x80, 0x32, 1];
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &s7comm)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &read()[..9])));
        let broken = items(&[(Side::A, read()), (Side::A, wrong)]);
        assert!(broken.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "s7comm-plus-header")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let conversation = conversation();
        let messages: Vec<_> = conversation.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
