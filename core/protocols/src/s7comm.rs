//! S7comm, the protocol of Siemens S7-300/400 (and 1200/1500 with PUT/GET) on ISO transport.
//!
//! Sources (Siemens publishes no specification of the protocol):
//! * PDU header, read and write var, items, transport sizes: libnodave documentation (pdu.html);
//!   "The Siemens S7 Communication" parts 1 and 2, gymnasiumbotfp/gmiru.com; Snap7 reference.
//! * SZL (system status list) ids, records of 0x0011, 0x001C, 0x0132: Siemens manual "System
//!   Software for S7-300/400 System and Standard Functions", chapter "System Status Lists".
//! * Rack and slot in a TSAP: Siemens FAQ on S7 connections (TSAP: connection type, rack × 32 +
//!   slot).
//! * TSAPs by name: ICS-Security-Tools captures of TIA (frame 4 of S7-1200-Uploading-OB1-TIAV12), of
//!   panels and of OPC servers.
//! * User data groups and push messages: observed in s7comm captures of the ICS-Security-Tools
//!   collection (STEP 7, TIA and WinCC sessions), and the sources above.
//!
//! Rules broken on the wire:
//! * `s7comm-header`: parameter and data length do not fit the transport message, or the PDU type
//!   is unknown.
//! * `iso-transport-header`: bytes inside a session are no TPKT packet.
//!
//! Messages of S7comm-plus (protocol id 0x72) on the same transport are [`crate::s7comm_plus`]'s.
//!
//! Not decoded: variable tables, jobs and cyclic subscriptions
//! beyond their names, block contents, NCK variables, passwords (never stored).

use compact_str::{CompactString, format_compact};
use otic_wire::{Cursor, SpanMap, Spans};

use crate::fields::part_at;
use crate::iso_transport::{self, Front, Joined, Kind, Segments, Tpdu};
use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Event, Evidence, Item, Object, Operation,
    Out, Outcome, Value, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::s7comm_plus::{self, Plus};
use crate::session::{Input, Session, Side};
use crate::text;

/// S7comm.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "S7comm",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[iso_transport::PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(S7comm::new()) },
    source: "RFC 1006, ISO 8073; libnodave and Snap7 documentation; Siemens system status lists",
};

const NAME: &str = "s7comm";
const USER_DATA: &str = "s7comm-userdata";
const PUSH: &str = "s7comm-push";

const PROTOCOL_ID: u8 = 0x32;

const JOB: u8 = 1;
const ACK: u8 = 2;
const ACK_DATA: u8 = 3;
const USERDATA: u8 = 7;

const READ_VAR: u8 = 0x04;
const WRITE_VAR: u8 = 0x05;
const REQUEST_DOWNLOAD: u8 = 0x1a;
const DOWNLOAD_BLOCK: u8 = 0x1b;
const DOWNLOAD_ENDED: u8 = 0x1c;
const START_UPLOAD: u8 = 0x1d;
const UPLOAD: u8 = 0x1e;
const END_UPLOAD: u8 = 0x1f;
const PI_SERVICE: u8 = 0x28;

const RETURN_OK: u8 = 0xff;

const READ_SZL: u32 = 0x0401;
const PASSWORD: u32 = 0x0501;

/// Name and action of a job function.
const fn job(function: u8) -> (&'static str, Action) {
    match function {
        0x00 => ("cpu-services", Action::Diagnostics),
        READ_VAR => ("read-var", Action::Read),
        WRITE_VAR => ("write-var", Action::Write),
        REQUEST_DOWNLOAD => ("request-download", Action::ProgramDownload),
        DOWNLOAD_BLOCK => ("download-block", Action::ProgramDownload),
        DOWNLOAD_ENDED => ("download-ended", Action::ProgramDownload),
        START_UPLOAD => ("start-upload", Action::ProgramUpload),
        UPLOAD => ("upload", Action::ProgramUpload),
        END_UPLOAD => ("end-upload", Action::ProgramUpload),
        PI_SERVICE => ("pi-service", Action::Control),
        0x29 => ("plc-stop", Action::Stop),
        0xf0 => ("setup-communication", Action::Session),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// Name and action of a program invocation service.
fn program_invocation(service: &[u8]) -> (&'static str, Action) {
    match service {
        b"P_PROGRAM" => ("pi-service-start", Action::Start),
        b"_INSE" => ("pi-service-insert-block", Action::ProgramDownload),
        b"_INS2" => ("pi-service-insert-block-2", Action::ProgramDownload),
        b"_DELE" => ("pi-service-delete-block", Action::ProgramDownload),
        b"_GARB" => ("pi-service-compress-memory", Action::Configuration),
        b"_MODU" => ("pi-service-copy-ram-to-rom", Action::Configuration),
        b"_OVER" => ("pi-service-firmware-update", Action::Firmware),
        _ if service.starts_with(b"_N_") => ("pi-service-nc", Action::Control),
        _ => ("pi-service", Action::Control),
    }
}

/// Name and action of a user data function, by group × 256 + subfunction.
const fn user_data(code: u32) -> (&'static str, Action) {
    match code {
        0x0101 => ("request-diagnostic-data", Action::Diagnostics),
        0x0102 => ("variable-table", Action::Read),
        0x010c => ("erase", Action::Configuration),
        0x010e => ("read-diagnostic-data", Action::Diagnostics),
        0x010f => ("remove-diagnostic-data", Action::Diagnostics),
        // A question: stations send it every few seconds while they only look (see the sources).
        0x0110 => ("read-job-list", Action::Diagnostics),
        0x0113 => ("request-diagnostic-data-2", Action::Diagnostics),
        0x0100..=0x01ff => ("programmer-commands", Action::Diagnostics),
        0x0201 => ("cyclic-transfer", Action::Subscribe),
        0x0204 => ("cyclic-unsubscribe", Action::Subscribe),
        0x0205 => ("cyclic-change-driven", Action::Subscribe),
        0x0207 => ("cyclic-change-driven-modify", Action::Subscribe),
        0x0208 => ("cyclic-read-record", Action::Subscribe),
        0x0200..=0x02ff => ("cyclic-services", Action::Subscribe),
        0x0301 => ("list-blocks", Action::Read),
        0x0302 => ("list-blocks-of-type", Action::Read),
        0x0303 => ("get-block-info", Action::Read),
        0x0300..=0x03ff => ("block-functions", Action::Read),
        READ_SZL => ("read-szl", Action::Diagnostics),
        0x0402 => ("message-service", Action::Subscribe),
        0x0403 => ("diagnostic-message", Action::Diagnostics),
        0x0405 => ("alarm-8-indication", Action::Diagnostics),
        0x0406 => ("notify-indication", Action::Diagnostics),
        0x0407 => ("alarm-8-lock", Action::Configuration),
        0x0408 => ("alarm-8-unlock", Action::Configuration),
        0x0409 => ("scan-indication", Action::Diagnostics),
        0x040b => ("alarm-acknowledge", Action::Control),
        0x040c => ("alarm-acknowledge-indication", Action::Diagnostics),
        0x040d => ("alarm-8-lock-indication", Action::Diagnostics),
        0x040e => ("alarm-8-unlock-indication", Action::Diagnostics),
        0x0411 => ("alarm-sq-indication", Action::Diagnostics),
        0x0412 => ("alarm-s-indication", Action::Diagnostics),
        0x0413 => ("alarm-query", Action::Diagnostics),
        0x0416 => ("notify-8-indication", Action::Diagnostics),
        0x0400..=0x04ff => ("cpu-functions", Action::Diagnostics),
        PASSWORD => ("enter-password", Action::Authenticate),
        0x0502 => ("clear-password", Action::Authenticate),
        0x0500..=0x05ff => ("security", Action::Authenticate),
        0x0600..=0x06ff => ("pbc-bsend-brecv", Action::Write),
        0x0701 | 0x0703 => ("read-clock", Action::Read),
        0x0702 | 0x0704 => ("set-clock", Action::Configuration),
        0x0700..=0x07ff => ("time-functions", Action::Read),
        0x0000..=0x00ff => ("mode-transition", Action::Mode),
        0x0f00..=0x0fff => ("nc-programming", Action::ProgramDownload),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// An S7 PDU, split into its parts.
struct Pdu<'a> {
    kind: u8,
    reference: u16,
    parameters: &'a [u8],
    data: &'a [u8],
    /// Error class and code of acknowledgements; 0 is success.
    error: u16,
    all: &'a [u8],
}

fn pdu(bytes: &[u8]) -> Option<Pdu<'_>> {
    let mut cursor = Cursor::new(bytes);
    if cursor.u8().ok()? != PROTOCOL_ID {
        return None;
    }
    let kind = cursor.u8().ok()?;
    let _redundancy = cursor.u16_be().ok()?;
    let reference = cursor.u16_be().ok()?;
    let (parameters, data) = (cursor.u16_be().ok()?, cursor.u16_be().ok()?);
    let error = match kind {
        JOB | USERDATA => 0,
        ACK | ACK_DATA => cursor.u16_be().ok()?,
        _ => return None,
    };
    let parameters = cursor.take(usize::from(parameters)).ok()?;
    let data = cursor.take(usize::from(data)).ok()?;
    Some(Pdu { kind, reference, parameters, data, error, all: bytes })
}

fn probe(input: &Input<'_>) -> Probe {
    let mut rest = input.bytes;
    loop {
        match iso_transport::front(rest) {
            Front::Broken => return Probe::No,
            Front::Incomplete => return Probe::More,
            Front::Tpdu(tpdu) => {
                if tpdu.kind == Kind::Data {
                    match tpdu.data.first() {
                        Some(&PROTOCOL_ID) => {
                            return match tpdu.data.get(1) {
                                Some(&(JOB | ACK | ACK_DATA | USERDATA)) => Probe::Certain,
                                _ => Probe::No,
                            };
                        }
                        Some(_) => return Probe::No,
                        None => {}
                    }
                }
                rest = rest.get(tpdu.length..).unwrap_or_default();
            }
        }
    }
}

/// A variable of read var and write var.
#[derive(Clone, Copy)]
struct Variable {
    area: u8,
    db: u16,
    transport_size: u8,
    count: u16,
    /// Bit address, or the number of a timer or counter.
    address: u32,
}

impl Variable {
    const fn is_bit(self) -> bool {
        self.transport_size == 1
    }

    const fn is_counted(self) -> bool {
        matches!(self.area, 0x1c..=0x1f)
    }

    /// Size of one item in bytes.
    const fn size(self) -> u32 {
        match self.transport_size {
            4 | 5 | 9 | 12 | 28 | 29 => 2,
            6 | 7 | 8 | 10 | 11 => 4,
            15 => 8,
            _ => 1,
        }
    }

    fn bytes(self) -> u32 {
        u32::from(self.count) * self.size()
    }

    fn object(self) -> Object {
        let area = match self.area {
            0x03 => "system-info",
            0x05 => "SM",
            0x06 => "AI",
            0x07 => "AQ",
            0x1c | 0x1e => "C",
            0x1d | 0x1f => "T",
            0x80 => "P",
            0x81 => "I",
            0x82 => "Q",
            0x83 => "M",
            0x84 => "DB",
            0x85 => "DI",
            0x86 => "L",
            0x87 => "V",
            _ => "area",
        };
        let numbered = matches!(self.area, 0x84 | 0x85);
        if self.is_counted() {
            let count = u32::from(self.count.max(1));
            return Object::Range { space: area, first: self.address, count };
        }
        let (byte, bit) = (self.address / 8, self.address % 8);
        match (self.is_bit(), numbered) {
            (true, true) => Object::Text(format_compact!("{area} {}: {byte}.{bit}", self.db)),
            (true, false) => Object::Text(format_compact!("{area} {byte}.{bit}")),
            (false, true) => Object::Area {
                area,
                number: u32::from(self.db),
                first: byte,
                count: self.bytes().max(1),
            },
            (false, false) => {
                Object::Range { space: area, first: byte, count: self.bytes().max(1) }
            }
        }
    }

    /// The value of `raw` by the item's type, and how the bytes give it.
    fn value(self, raw: &[u8]) -> (Value, Decode) {
        let signed = |number: i64| {
            let decode = if number < 0 { Decode::Derived } else { Decode::UnsignedBe };
            (Value::Integer(number), decode)
        };
        match (self.transport_size, raw) {
            (1..=3, [byte]) => (Value::Integer(i64::from(*byte)), Decode::UnsignedBe),
            (4, [a, b]) => {
                (Value::Integer(i64::from(u16::from_be_bytes([*a, *b]))), Decode::UnsignedBe)
            }
            (5, [a, b]) => signed(i64::from(i16::from_be_bytes([*a, *b]))),
            (6, [a, b, c, d]) => (
                Value::Integer(i64::from(u32::from_be_bytes([*a, *b, *c, *d]))),
                Decode::UnsignedBe,
            ),
            (7, [a, b, c, d]) => signed(i64::from(i32::from_be_bytes([*a, *b, *c, *d]))),
            (8, [a, b, c, d]) => {
                let real = f32::from_be_bytes([*a, *b, *c, *d]);
                (Value::Real(f64::from(real)), Decode::Derived)
            }
            _ => (Value::Bytes(raw.to_vec()), Decode::Hex),
        }
    }
}

/// One item of the parameters: a variable, or what else it names.
enum Named {
    Variable(Variable),
    Other(&'static str),
}

/// The items of read var and write var; stops at the first that cannot be read.
struct Items<'a> {
    cursor: Cursor<'a>,
    left: u8,
}

impl Iterator for Items<'_> {
    type Item = Named;

    fn next(&mut self) -> Option<Named> {
        self.left = self.left.checked_sub(1)?;
        // Items of odd length are followed by a fill byte.
        if self.cursor.peek() == Some(0) && self.cursor.rest().get(1) == Some(&0x12) {
            self.cursor.skip(1).ok()?;
        }
        let (_specification, length) = (self.cursor.u8().ok()?, self.cursor.u8().ok()?);
        let mut item = self.cursor.sub(usize::from(length)).ok()?;
        match item.u8().ok()? {
            0x10 => Some(Named::Variable(Variable {
                transport_size: item.u8().ok()?,
                count: item.u16_be().ok()?,
                db: item.u16_be().ok()?,
                area: item.u8().ok()?,
                address: item.u24_be().ok()?,
            })),
            // Several byte runs of data blocks; the first names the item.
            0xb0 => {
                let _runs = item.u8().ok()?;
                let (count, db, first) =
                    (item.u8().ok()?, item.u16_be().ok()?, item.u16_be().ok()?);
                Some(Named::Variable(Variable {
                    transport_size: 2,
                    count: u16::from(count),
                    db,
                    area: 0x84,
                    address: u32::from(first) * 8,
                }))
            }
            0xb2 => Some(Named::Other("symbol")),
            0x82..=0x84 => Some(Named::Other("nck")),
            0xa2 => Some(Named::Other("drive")),
            _ => Some(Named::Other("unknown")),
        }
    }
}

fn items(parameters: &[u8]) -> Items<'_> {
    Items {
        left: parameters.get(1).copied().unwrap_or(0),
        cursor: Cursor::new(parameters.get(2..).unwrap_or_default()),
    }
}

/// Most objects an operation spells out; the others are counted.
const SPELLED: usize = 8;

/// The object of a request for these items: the item's own, or a list.
fn objects(parameters: &[u8]) -> Object {
    let one = |named: Named| match named {
        Named::Variable(variable) => variable.object(),
        Named::Other(kind) => Object::Text(kind.into()),
    };
    let mut all = items(parameters);
    let Some(first) = all.next() else { return Object::None };
    let first = one(first);
    let Some(second) = all.next() else { return first };
    let mut list = CompactString::with_capacity(64);
    list.push_str(&first.to_text());
    let mut others = 0;
    for (at, named) in std::iter::once(second).chain(all).enumerate() {
        if at + 1 < SPELLED {
            list.push_str(", ");
            list.push_str(&one(named).to_text());
        } else {
            others += 1;
        }
    }
    if others > 0 {
        list.push_str(&format_compact!(", +{others}"));
    }
    Object::Text(list)
}

/// One data item: return code, and the bytes.
struct Datum<'a> {
    code: u8,
    bytes: &'a [u8],
}

/// The next data item of a read response or write request.
fn datum<'a>(cursor: &mut Cursor<'a>) -> Option<Datum<'a>> {
    let code = cursor.u8().ok()?;
    let (transport_size, length) = (cursor.u8().ok()?, usize::from(cursor.u16_be().ok()?));
    // Sizes 3 (bit), 4 (byte, word, dword) and 5 (integer) count bits, the others bytes.
    let length = if matches!(transport_size, 3..=5) { length.div_ceil(8) } else { length };
    let bytes = cursor.take(length).ok()?;
    if length % 2 == 1 && !cursor.is_empty() {
        cursor.skip(1).ok()?;
    }
    Some(Datum { code, bytes })
}

/// Block type, number and file system of a name like `_0800001P` (or without the underscore).
fn block(name: &[u8]) -> Option<Object> {
    let name = name.strip_prefix(b"_").or_else(|| name.strip_prefix(b"$")).unwrap_or(name);
    let (kind, rest) = name.split_first_chunk::<2>()?;
    let (digits, system) = rest.split_first_chunk::<5>()?;
    let number = std::str::from_utf8(digits).ok()?.parse::<u32>().ok()?;
    let kind = block_type(*kind);
    Some(Object::Text(match system.first() {
        Some(b'P') => format_compact!("{kind} {number} passive"),
        Some(b'A') => format_compact!("{kind} {number} active"),
        Some(b'B') => format_compact!("{kind} {number} both"),
        _ => format_compact!("{kind} {number}"),
    }))
}

const fn block_type(code: [u8; 2]) -> &'static str {
    match &code {
        b"08" => "OB",
        b"0A" => "DB",
        b"0B" => "SDB",
        b"0C" => "FC",
        b"0D" => "SFC",
        b"0E" => "FB",
        b"0F" => "SFB",
        _ => "block",
    }
}

/// A request that waits for its response.
struct Request {
    operation: Box<Operation>,
    /// Variables read: kept to remember their values.
    reads: Vec<Variable>,
    /// Variables written, with the value.
    writes: Vec<(Variable, Vec<u8>, Evidence)>,
}

/// Pairing key: who asked, whether user data, PDU reference.
type Key = (Side, bool, u16);

/// Bytes of one area last seen, at most [`Memory::BLOCKS`] runs.
#[derive(Default)]
struct Memory {
    blocks: Vec<Block>,
    clock: u64,
}

struct Block {
    area: u8,
    db: u16,
    bit: bool,
    address: u32,
    data: Vec<u8>,
    seen: u64,
}

impl Memory {
    const BLOCKS: usize = 64;
    const LARGEST: usize = 1024;

    fn remember(&mut self, variable: Variable, data: &[u8]) {
        if data.len() > Self::LARGEST {
            return;
        }
        self.clock += 1;
        let bit = variable.is_bit();
        let same = |block: &&mut Block| {
            (block.area, block.db, block.bit, block.address, block.data.len())
                == (variable.area, variable.db, bit, variable.address, data.len())
        };
        if let Some(block) = self.blocks.iter_mut().find(same) {
            block.seen = self.clock;
            block.data.clear();
            block.data.extend_from_slice(data);
            return;
        }
        let block = Block {
            area: variable.area,
            db: variable.db,
            bit,
            address: variable.address,
            data: data.to_vec(),
            seen: self.clock,
        };
        if self.blocks.len() < Self::BLOCKS {
            self.blocks.push(block);
        } else if let Some(oldest) = self.blocks.iter_mut().min_by_key(|block| block.seen) {
            *oldest = block;
        }
    }

    /// The bytes last seen of a variable, from the newest run that holds all of it.
    fn recall(&self, variable: Variable, length: usize) -> Option<Vec<u8>> {
        let wanted = |block: &&Block| {
            (block.area, block.db) == (variable.area, variable.db)
                && if block.bit || variable.is_bit() || variable.is_counted() {
                    (block.bit, block.address, block.data.len())
                        == (variable.is_bit(), variable.address, length)
                } else {
                    block.address <= variable.address
                        && (variable.address - block.address) as usize / 8 + length
                            <= block.data.len()
                }
        };
        let block = self.blocks.iter().filter(wanted).max_by_key(|block| block.seen)?;
        let start = if variable.is_bit() || variable.is_counted() {
            0
        } else {
            (variable.address - block.address) as usize / 8
        };
        block.data.get(start..start + length).map(<[u8]>::to_vec)
    }
}

/// A user data response over several PDUs.
struct Fragments {
    side: Side,
    code: u32,
    sequence: u8,
    bytes: Vec<u8>,
    spans: SpanMap,
}

/// Most bytes of one user data response.
const FRAGMENTS_CAP: usize = 64 * 1024;

/// A flow that carries S7comm.
struct S7comm {
    segments: [Segments; 2],
    synchronised: [bool; 2],
    reported: bool,
    plus: Option<Box<Plus>>,
    client_said: bool,
    pending: Pending<Key, Request>,
    memory: Memory,
    /// Blocks being uploaded, by upload id; at most 8.
    uploads: Vec<(u32, Object)>,
    /// The block being downloaded.
    download: Object,
    fragments: Option<Fragments>,
}

impl S7comm {
    fn new() -> Self {
        Self {
            segments: Default::default(),
            synchronised: [false; 2],
            reported: false,
            plus: None,
            client_said: false,
            pending: Pending::new(64),
            memory: Memory::default(),
            uploads: Vec::new(),
            download: Object::None,
            fragments: None,
        }
    }

    fn violation(&mut self, input: &Input<'_>, rule: &'static str, part: &[u8], out: &mut Out) {
        if !std::mem::replace(&mut self.reported, true) {
            out.push(input.violation(NAME, rule, part_at(part, 0, 32)));
        }
    }

    /// One whole transport message; returns the protocol it was of.
    fn message(&mut self, input: &Input<'_>, data: &[u8], out: &mut Out) -> Option<&'static str> {
        match *data.first()? {
            s7comm_plus::PROTOCOL_ID => {
                self.plus.get_or_insert_default().message(input, data, out);
                return Some(s7comm_plus::NAME);
            }
            PROTOCOL_ID => {}
            _ => {
                let plus = self.plus.as_mut().filter(|plus| plus.is_secured(data))?;
                plus.secured(out);
                return Some(s7comm_plus::NAME);
            }
        }
        let Some(pdu) = pdu(data) else {
            self.violation(input, "s7comm-header", data, out);
            return Some(NAME);
        };
        match pdu.kind {
            JOB => self.job(input, &pdu, out),
            USERDATA => drop(self.user_data(input, &pdu, out)),
            _ => self.acknowledge(input, &pdu, out),
        }
        Some(NAME)
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(side));
        }
    }

    fn wait(&mut self, key: Key, request: Request, out: &mut Out) {
        if let Some(evicted) = self.pending.insert(key, request) {
            self.complete(evicted, Outcome::Unseen, |_| true, out);
        }
    }

    fn job(&mut self, input: &Input<'_>, pdu: &Pdu<'_>, out: &mut Out) {
        let Some(&function) = pdu.parameters.first() else { return };
        let (mut name, mut action) = job(function);
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        let object = match function {
            READ_VAR => {
                reads.extend(items(pdu.parameters).map_while(|named| match named {
                    Named::Variable(variable) => Some(variable),
                    Named::Other(_) => None,
                }));
                objects(pdu.parameters)
            }
            WRITE_VAR => {
                let mut cursor = Cursor::new(pdu.data);
                for named in items(pdu.parameters) {
                    let Some(datum) = datum(&mut cursor) else { break };
                    let Named::Variable(variable) = named else { continue };
                    let (_, decode) = variable.value(datum.bytes);
                    let evidence = input.evidence(datum.bytes, decode);
                    writes.push((variable, datum.bytes.to_vec(), evidence));
                }
                objects(pdu.parameters)
            }
            REQUEST_DOWNLOAD | DOWNLOAD_BLOCK | DOWNLOAD_ENDED => {
                // function, status, 2 unknown, 4 upload id, counted file name
                if let Some(found) = counted(pdu.parameters, 8).and_then(block) {
                    self.download = found;
                }
                self.download.clone()
            }
            START_UPLOAD => counted(pdu.parameters, 8).and_then(block).unwrap_or(Object::None),
            UPLOAD | END_UPLOAD => upload_id(pdu.parameters)
                .and_then(|id| self.uploads.iter().find(|(known, _)| *known == id))
                .map_or(Object::None, |(_, object)| object.clone()),
            PI_SERVICE => {
                let (service, object) = invocation(pdu.parameters).unwrap_or_default();
                (name, action) = program_invocation(service);
                object
            }
            _ => Object::None,
        };
        // Blocks are fetched by the controller, which is no client for that.
        if !matches!(function, DOWNLOAD_BLOCK | DOWNLOAD_ENDED) {
            self.say_client(input.side, out);
        }
        let code = u32::from(function);
        let operation = operation(input, NAME, input.side, code, (name, action), object, pdu.all);
        self.wait((input.side, false, pdu.reference), Request { operation, reads, writes }, out);
    }

    fn acknowledge(&mut self, input: &Input<'_>, pdu: &Pdu<'_>, out: &mut Out) {
        let client = input.side.other();
        let mut outcome = if pdu.error == 0 { Outcome::Ok } else { Outcome::Error };
        let Some(request) = self.pending.take(&(client, false, pdu.reference)) else {
            let function = pdu.parameters.first().copied().unwrap_or(0);
            let (name, action) = job(function);
            let code = u32::from(function);
            let mut unpaired =
                operation(input, NAME, client, code, (name, action), Object::None, pdu.all);
            unpaired.outcome = outcome;
            out.unpaired(unpaired);
            return;
        };
        match request.operation.code {
            Some(0x04) if outcome == Outcome::Ok => {
                let mut cursor = Cursor::new(pdu.data);
                let (mut good, mut bad) = (0, 0);
                let count = pdu.parameters.get(1).copied().unwrap_or(0);
                for at in 0..usize::from(count) {
                    let Some(datum) = datum(&mut cursor) else { break };
                    if datum.code == RETURN_OK {
                        good += 1;
                        if let Some(variable) = request.reads.get(at) {
                            self.memory.remember(*variable, datum.bytes);
                        }
                    } else {
                        bad += 1;
                    }
                }
                if good == 0 && bad > 0 {
                    outcome = Outcome::Error;
                }
                self.complete(request, outcome, |_| true, out);
            }
            Some(0x05) if outcome == Outcome::Ok => {
                let accepted = |at: usize| pdu.data.get(at).is_none_or(|code| *code == RETURN_OK);
                if !pdu.data.is_empty() && !pdu.data.contains(&RETURN_OK) {
                    outcome = Outcome::Error;
                }
                self.complete(request, outcome, accepted, out);
            }
            Some(0x1d) if outcome == Outcome::Ok => {
                if let Some(id) = upload_id(pdu.parameters) {
                    self.uploads.retain(|(known, _)| *known != id);
                    if self.uploads.len() >= 8 {
                        self.uploads.remove(0);
                    }
                    self.uploads.push((id, request.operation.object.clone()));
                }
                self.complete(request, outcome, |_| true, out);
            }
            _ => self.complete(request, outcome, |_| true, out),
        }
    }

    /// Pushes the operation and, unless refused, what it wrote.
    fn complete(
        &mut self,
        mut request: Request,
        outcome: Outcome,
        accepted: impl Fn(usize) -> bool,
        out: &mut Out,
    ) {
        request.operation.outcome = outcome;
        let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
        out.operation(request.operation);
        if outcome == Outcome::Error {
            return;
        }
        for (at, (variable, raw, evidence)) in request.writes.into_iter().enumerate() {
            if !accepted(at) {
                continue;
            }
            let old = self.memory.recall(variable, raw.len());
            self.memory.remember(variable, &raw);
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender,
                server_child: Child::None,
                object: variable.object(),
                old: old.map(|old| variable.value(&old).0),
                new: variable.value(&raw).0,
                evidence,
                ts_ns,
            }));
        }
    }

    fn user_data(&mut self, input: &Input<'_>, pdu: &Pdu<'_>, out: &mut Out) -> Option<()> {
        let mut cursor = Cursor::new(pdu.parameters);
        let _head = cursor.u24_be().ok()?;
        let length = cursor.u8().ok()?;
        let [_method, kind, function, sequence] = cursor.array().ok()?;
        let code = u32::from(kind & 0x0f) << 8 | u32::from(function);
        let (name, action) = user_data(code);
        match kind >> 4 {
            0 => {
                let mut push =
                    operation(input, PUSH, input.side, code, (name, action), Object::None, pdu.all);
                push.outcome = Outcome::None;
                out.operation(push);
            }
            4 => {
                self.say_client(input.side, out);
                let object = user_data_object(code, pdu.data).unwrap_or(Object::None);
                let what = (name, action);
                let operation =
                    operation(input, USER_DATA, input.side, code, what, object, pdu.all);
                let request = Request { operation, reads: Vec::new(), writes: Vec::new() };
                self.wait((input.side, true, pdu.reference), request, out);
            }
            8 => {
                let (mut more, mut error) = (false, 0);
                if length >= 8 {
                    let _unit_reference = cursor.u8().ok()?;
                    more = cursor.u8().ok()? != 0;
                    error = cursor.u16_be().ok()?;
                }
                let outcome = if error == 0 { Outcome::Ok } else { Outcome::Error };
                let client = input.side.other();
                if let Some(request) = self.pending.take(&(client, true, pdu.reference)) {
                    if code == PASSWORD {
                        out.push(Item::Event(Event {
                            kind: if error == 0 { "login" } else { "login-failed" },
                            protocol: NAME,
                            sender: client,
                            values: Vec::new(),
                            evidence: input.locate(pdu.parameters),
                        }));
                    }
                    self.complete(request, outcome, |_| true, out);
                } else {
                    let what = (name, action);
                    let mut unpaired =
                        operation(input, USER_DATA, client, code, what, Object::None, pdu.all);
                    unpaired.outcome = outcome;
                    out.unpaired(unpaired);
                }
                if outcome == Outcome::Ok && code == READ_SZL {
                    self.fragment(input, (code, sequence, more), pdu.data, out);
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Joins a response over several PDUs and reads the system status list in it.
    fn fragment(
        &mut self,
        input: &Input<'_>,
        (code, sequence, more): (u32, u8, bool),
        data: &[u8],
        out: &mut Out,
    ) {
        // return code, transport size, length
        let Some(payload) = data.get(4..) else { return };
        let continues = self.fragments.as_ref().is_some_and(|waiting| {
            (waiting.side, waiting.code, waiting.sequence) == (input.side, code, sequence)
        });
        if !continues {
            self.fragments = None;
            if !more {
                system_status_list(input, payload, out);
                return;
            }
        }
        let mut fragments = self.fragments.take().unwrap_or_else(|| Fragments {
            side: input.side,
            code,
            sequence,
            bytes: Vec::new(),
            spans: SpanMap::default(),
        });
        if fragments.bytes.len() + payload.len() > FRAGMENTS_CAP {
            return;
        }
        fragments.bytes.extend_from_slice(payload);
        for span in input.locate(payload) {
            fragments.spans.push(span);
        }
        if more {
            self.fragments = Some(fragments);
        } else {
            let whole = input.with_bytes(&fragments.bytes, &fragments.spans);
            system_status_list(&whole, whole.bytes, out);
        }
    }
}

/// A text counted by one byte, after `skip` bytes.
fn counted(parameters: &[u8], skip: usize) -> Option<&[u8]> {
    let mut cursor = Cursor::new(parameters);
    cursor.skip(skip).ok()?;
    let length = usize::from(cursor.u8().ok()?);
    cursor.take(length).ok()
}

/// The upload id of start upload's response, upload and end upload.
fn upload_id(parameters: &[u8]) -> Option<u32> {
    let mut cursor = Cursor::new(parameters);
    cursor.skip(4).ok()?;
    cursor.u32_be().ok()
}

/// Service name and object of a program invocation: function, 7 bytes, counted (2 bytes) argument,
/// counted (1 byte) name.
fn invocation(parameters: &[u8]) -> Option<(&[u8], Object)> {
    let mut cursor = Cursor::new(parameters);
    cursor.skip(8).ok()?;
    let length = usize::from(cursor.u16_be().ok()?);
    let argument = cursor.take(length).ok()?;
    let length = usize::from(cursor.u8().ok()?);
    let service = cursor.take(length).ok()?;
    let object = match service {
        // number of blocks, a zero, then 8 bytes a block
        b"_INSE" | b"_INS2" | b"_DELE" => {
            argument.get(2..10).and_then(block).unwrap_or(Object::None)
        }
        _ => {
            let argument = text::trim(argument);
            let service = text::utf8(text::trim(service));
            if text::is_printable(argument) {
                Object::Text(format_compact!("{service} {}", text::utf8(argument)))
            } else {
                Object::Text(service)
            }
        }
    };
    Some((service, object))
}

/// The object of a user data request.
fn user_data_object(code: u32, data: &[u8]) -> Option<Object> {
    let mut cursor = Cursor::new(data);
    cursor.skip(4).ok()?;
    match code {
        READ_SZL => {
            let (id, index) = (cursor.u16_be().ok()?, cursor.u16_be().ok()?);
            Some(Object::Text(format_compact!("szl 0x{id:04x}/0x{index:04x}")))
        }
        0x0302 => Some(Object::Text(block_type(cursor.array().ok()?).into())),
        0x0303 => block(cursor.rest()),
        _ => None,
    }
}

fn operation(
    input: &Input<'_>,
    protocol: &'static str,
    sender: Side,
    code: u32,
    (name, action): (&'static str, Action),
    object: Object,
    evidence: &[u8],
) -> Box<Operation> {
    let evidence: Spans = input.locate(evidence);
    Box::new(Operation {
        protocol,
        connection: NAME,
        sender,
        code: Some(code),
        name,
        action,
        object,
        outcome: Outcome::Unseen,
        client_child: Child::None,
        server_child: Child::None,
        evidence,
        ts_ns: input.ts_ns,
    })
}

/// Claims of the system status lists that name the device.
fn system_status_list(input: &Input<'_>, payload: &[u8], out: &mut Out) -> Option<()> {
    let mut cursor = Cursor::new(payload);
    let (id, _index) = (cursor.u16_be().ok()?, cursor.u16_be().ok()?);
    let (size, count) = (usize::from(cursor.u16_be().ok()?), cursor.u16_be().ok()?);
    for _ in 0..count {
        let mut record = cursor.sub(size).ok()?;
        // The high byte of an id selects an extract of the list in the low byte.
        let read = match id & 0x00ff {
            0x11 => module_identification(input, &mut record, out),
            0x1c => component_identification(input, &mut record, out),
            0x32 => protection(input, &mut record, out),
            _ => return None,
        };
        read?;
    }
    Some(())
}

fn claim(
    attribute: &'static str,
    value: CompactString,
    evidence: Evidence,
    message: &'static str,
    out: &mut Out,
) {
    out.claim(Claim {
        who: Who::Sender(Child::None),
        attribute,
        value,
        protocol: NAME,
        message,
        confidence: Confidence::High,
        evidence,
    });
}

/// List 0x11: index, order number (20), module type, two version words.
fn module_identification(input: &Input<'_>, record: &mut Cursor<'_>, out: &mut Out) -> Option<()> {
    const MESSAGE: &str = "read-szl-0x0011";
    let index = record.u16_be().ok()?;
    let order = text::trim(record.take(20).ok()?);
    // Some stacks send shorter records: the order number is there all the same.
    let _module_type = record.u16_be();
    let version = record.take(4).unwrap_or_default();
    let text_claim = |attribute, out: &mut Out| {
        let evidence = input.evidence(order, Decode::Utf8);
        claim(attribute, text::utf8(order), evidence, MESSAGE, out);
    };
    // A version is a letter (`V`) and three numbers.
    let release = |attribute, out: &mut Out| {
        if let [letter, numbers @ ..] = version
            && let [major, minor, patch] = numbers
            && letter.is_ascii_alphabetic()
        {
            let value = format_compact!("{major}.{minor}.{patch}");
            let evidence = input.evidence(numbers, Decode::Dotted);
            claim(attribute, value, evidence, MESSAGE, out);
        }
    };
    match index {
        1 => text_claim("order_number", out),
        6 => {
            // The basic hardware: its order number and its version word.
            text_claim("order_number", out);
            if let Some(word) = version.first_chunk::<2>() {
                let number = u16::from_be_bytes(*word);
                if number != 0 {
                    let value = format_compact!("{number}");
                    let evidence = input.evidence(word, Decode::UnsignedBe);
                    claim("hardware", value, evidence, MESSAGE, out);
                }
            }
        }
        7 => release("firmware", out),
        0x81 => release("boot_loader", out),
        _ => {}
    }
    Some(())
}

/// List 0x1C: index, then a text of up to 32 bytes.
fn component_identification(
    input: &Input<'_>,
    record: &mut Cursor<'_>,
    out: &mut Out,
) -> Option<()> {
    const MESSAGE: &str = "read-szl-0x001c";
    // The high byte counts the racks of redundant (H) systems.
    let index = record.u16_be().ok()? & 0x00ff;
    let raw = record.rest();
    let attribute = match index {
        1 => "name",
        2 => "module_name",
        3 => "plant",
        4 => "copyright",
        5 => "serial",
        7 => "model",
        8 => "memory_card_serial",
        9 => {
            let manufacturer = raw.first_chunk::<2>()?;
            let number = u16::from_be_bytes(*manufacturer);
            if number != 0 {
                let evidence = input.evidence(manufacturer, Decode::UnsignedBe);
                claim("vendor_id", format_compact!("{number}"), evidence, MESSAGE, out);
            }
            return Some(());
        }
        11 => "location",
        _ => return Some(()),
    };
    let raw = text::trim(raw);
    let evidence = input.evidence(raw, Decode::Utf8);
    claim(attribute, text::utf8(raw), evidence, MESSAGE, out);
    Some(())
}

/// List 0x32, index 4: protection by key switch, by parameter, and as it holds (third word).
fn protection(input: &Input<'_>, record: &mut Cursor<'_>, out: &mut Out) -> Option<()> {
    let index = record.u16_be().ok()?;
    let _by_switch = record.u16_be().ok()?;
    let _by_parameter = record.u16_be().ok()?;
    let raw = record.take(2).ok()?;
    if index == 4
        && let [0, level @ 1..=3] = raw
    {
        let evidence = input.evidence(raw, Decode::UnsignedBe);
        let value = format_compact!("{level}");
        claim("protection_level", value, evidence, "read-szl-0x0032", out);
    }
    Some(())
}

impl Session for S7comm {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let direction = usize::from(input.side == Side::B);
        if input.after_gap {
            if let Some(segments) = self.segments.get_mut(direction) {
                segments.clear();
            }
            if let Some(plus) = &mut self.plus {
                plus.gap(input.side);
            }
            self.set_synchronised(direction, false);
        }
        let (mut used, mut layered) = (0, [None; 2]);
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match iso_transport::front(rest) {
                Front::Tpdu(tpdu) => {
                    self.set_synchronised(direction, true);
                    used += tpdu.length;
                    if let Some(protocol) = self.tpdu(input, direction, &tpdu, out)
                        && !layered.contains(&Some(protocol))
                    {
                        out.layer(protocol, input.side);
                        layered.rotate_right(1);
                        layered[0] = Some(protocol);
                    }
                }
                Front::Incomplete => break,
                Front::Broken => {
                    if self.synchronised.get(direction) == Some(&true) {
                        self.violation(input, "iso-transport-header", rest, out);
                    }
                    self.set_synchronised(direction, false);
                    return input.bytes.len();
                }
            }
        }
        if used > 0 && layered == [None; 2] {
            // The transport alone is not S7comm; it is counted with the later protocol.
            out.layer(if self.plus.is_some() { s7comm_plus::NAME } else { "cotp" }, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        let waiting: Vec<Request> = self.pending.drain().collect();
        for request in waiting {
            self.complete(request, Outcome::Unseen, |_| true, out);
        }
        if let Some(plus) = &mut self.plus {
            plus.finish(out);
        }
    }
}

impl S7comm {
    fn set_synchronised(&mut self, direction: usize, synchronised: bool) {
        if let Some(slot) = self.synchronised.get_mut(direction) {
            *slot = synchronised;
        }
    }

    fn tpdu(
        &mut self,
        input: &Input<'_>,
        direction: usize,
        tpdu: &Tpdu<'_>,
        out: &mut Out,
    ) -> Option<&'static str> {
        match tpdu.kind {
            Kind::ConnectionRequest => {
                self.say_client(input.side, out);
                if let Some(tsap) = tpdu.parameter(iso_transport::CALLED_TSAP) {
                    let hex = tsap.iter().take(32).fold(CompactString::default(), |text, byte| {
                        format_compact!("{text}{byte:02x}")
                    });
                    out.claim(Claim {
                        who: Who::Receiver(Child::None),
                        attribute: "tsap",
                        value: hex,
                        protocol: NAME,
                        message: "cotp-connection-request",
                        // The client names the rack and slot it expects the controller in.
                        confidence: Confidence::Medium,
                        evidence: input
                            .evidence(tsap.get(..tsap.len().min(32)).unwrap_or(tsap), Decode::Hex),
                    });
                    // To S7-1200 and S7-1500, clients name what they are: SIMATIC-ROOT-ES is an
                    // engineering station, -HMI a panel, -OTH another program.
                    if tsap.starts_with(b"SIMATIC-ROOT-") && text::is_printable(tsap) {
                        out.claim(Claim {
                            confidence: Confidence::Medium,
                            ..input.own_text((NAME, "cotp-connection-request"), "s7_role", tsap)
                        });
                    }
                }
                None
            }
            Kind::Data => {
                let segments = self.segments.get_mut(direction)?;
                match segments.add(input, tpdu) {
                    Joined::Whole => self.message(input, tpdu.data, out),
                    Joined::Buffer(bytes, spans) => {
                        let whole = input.with_bytes(&bytes, &spans);
                        self.message(&whole, whole.bytes, out)
                    }
                    // A fragment belongs to the layer, too.
                    Joined::Wait => match tpdu.data.first() {
                        Some(&PROTOCOL_ID) => Some(NAME),
                        Some(&s7comm_plus::PROTOCOL_ID) => Some(s7comm_plus::NAME),
                        _ => None,
                    },
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, claims, operations};

    /// TPKT and COTP DT around an S7 PDU.
    fn dt(pdu: &[u8]) -> Vec<u8> {
        let mut bytes = vec![3, 0, 0, 7 + pdu.len() as u8, 2, 0xf0, 0x80];
        bytes.extend_from_slice(pdu);
        bytes
    }

    /// An S7 PDU with reference 1.
    fn s7(kind: u8, parameters: &[u8], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x32, kind, 0, 0, 0, 1];
        bytes.extend_from_slice(&[0, parameters.len() as u8, 0, data.len() as u8]);
        if kind == ACK_DATA {
            bytes.extend_from_slice(&[0, 0]); // no error
        }
        bytes.extend_from_slice(parameters);
        bytes.extend_from_slice(data);
        dt(&bytes)
    }

    fn talk(messages: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::items(&PROTOCOL, &messages)
    }

    /// One item: DB 10, byte 4, WORD × 1.
    const WORD: [u8; 12] = [0x12, 0x0a, 0x10, 4, 0, 1, 0, 10, 0x84, 0, 0, 32];

    fn read_word() -> Vec<u8> {
        s7(JOB, &[&[READ_VAR, 1], WORD.as_slice()].concat(), &[])
    }

    fn word_is_7() -> Vec<u8> {
        // return code ok, bits, 16 bits, 7
        s7(ACK_DATA, &[READ_VAR, 1], &[0xff, 4, 0, 16, 0, 7])
    }

    fn write_9() -> Vec<u8> {
        s7(JOB, &[&[WRITE_VAR, 1], WORD.as_slice()].concat(), &[0, 4, 0, 16, 0, 9])
    }

    #[test]
    fn a_written_variable_tells_old_and_new_value() {
        let items = talk(&[
            (Side::A, read_word()),
            (Side::B, word_is_7()),
            (Side::A, write_9()),
            (Side::B, s7(ACK_DATA, &[WRITE_VAR, 1], &[0xff])),
        ]);
        assert_eq!(
            vec![
                ("read-var", "DB 10: 4-5".into(), Outcome::Ok),
                ("write-var", "DB 10: 4-5".into(), Outcome::Ok)
            ],
            operations(&items)
        );
        assert!(items.iter().any(|item| matches!(item, Item::Change(change)
            if change.old == Some(Value::Integer(7)) && change.new == Value::Integer(9))));
    }

    #[test]
    fn a_refused_write_changes_nothing() {
        let items =
            talk(&[(Side::A, write_9()), (Side::B, s7(ACK_DATA, &[WRITE_VAR, 1], &[0x0a]))]);
        assert_eq!(Outcome::Error, operations(&items)[0].2);
        assert!(!items.iter().any(|item| matches!(item, Item::Change(_))));
    }

    /// User data response: read SZL, sequence 1, last unit flag, no error; data header; list.
    fn szl(more: u8, list: &[u8]) -> Vec<u8> {
        let parameters = [0, 1, 0x12, 8, 0x12, 0x84, 1, 1, 0, more, 0, 0];
        let mut data = vec![0xff, 9, 0, list.len() as u8];
        data.extend_from_slice(list);
        s7(USERDATA, &parameters, &data)
    }

    fn szl_request() -> Vec<u8> {
        s7(USERDATA, &[0, 1, 0x12, 4, 0x11, 0x44, 1, 0], &[0xff, 9, 0, 4, 0x00, 0x11, 0x00, 0x00])
    }

    fn module_list() -> Vec<u8> {
        let mut list = vec![0x00, 0x11, 0, 0, 0, 28, 0, 2]; // id, index, 28 bytes a record, 2
        list.extend_from_slice(&[0, 1]); // module
        list.extend_from_slice(b"6ES7 999-9AA99-0AB0 "); // order number
        list.extend_from_slice(&[0, 0xc0, 0, 4, 0, 1]);
        list.extend_from_slice(&[0, 7]); // firmware
        list.extend_from_slice(&[b' '; 20]);
        list.extend_from_slice(&[0, 0xc0, b'V', 3, 2, 6]);
        list
    }

    #[test]
    fn the_module_list_gives_order_number_and_firmware() {
        let items = talk(&[(Side::A, szl_request()), (Side::B, szl(0, &module_list()))]);
        assert_eq!(
            vec![("order_number", "6ES7 999-9AA99-0AB0".into()), ("firmware", "3.2.6".into())],
            claims(&items)
        );
        assert_eq!(vec![("read-szl", "szl 0x0011/0x0000".into(), Outcome::Ok)], operations(&items));
    }

    #[test]
    fn a_short_record_still_gives_its_order_number() {
        let mut list = vec![0x00, 0x11, 0, 0, 0, 26, 0, 1, 0, 1];
        list.extend_from_slice(b"6ES7 999-9AA99-0AB0 ");
        list.extend_from_slice(&[0, 3, 3, 0]);
        let items = talk(&[(Side::A, szl_request()), (Side::B, szl(0, &list))]);
        assert_eq!(vec![("order_number", "6ES7 999-9AA99-0AB0".into())], claims(&items));
    }

    #[test]
    fn a_list_over_two_responses_is_joined() {
        let list = module_list();
        let items = talk(&[
            (Side::A, szl_request()),
            (Side::B, szl(1, &list[..20])),
            (Side::A, szl_request()),
            (Side::B, szl(0, &list[20..])),
        ]);
        assert_eq!(2, claims(&items).len());
        assert!(items.iter().any(|item| matches!(item, Item::Claim(claim)
            if claim.attribute == "order_number" && claim.evidence.spans.len() == 2)));
    }

    #[test]
    fn starting_stopping_and_blocks_are_told() {
        let mut start = vec![PI_SERVICE, 0, 0, 0, 0, 0, 0, 0xfd, 0, 0, 9];
        start.extend_from_slice(b"P_PROGRAM");
        let mut stop = vec![0x29, 0, 0, 0, 0, 0, 9];
        stop.extend_from_slice(b"P_PROGRAM");
        let mut download = vec![REQUEST_DOWNLOAD, 0, 1, 0, 0, 0, 0, 0, 9];
        download.extend_from_slice(b"_0800001P");
        let items = talk(&[
            (Side::A, s7(JOB, &start, &[])),
            (Side::A, s7(JOB, &stop, &[])),
            (Side::A, s7(JOB, &download, &[])),
        ]);
        assert_eq!(
            vec![
                ("pi-service-start", "P_PROGRAM".into(), Outcome::Unseen),
                ("plc-stop", "".into(), Outcome::Unseen),
                ("request-download", "OB 1 passive".into(), Outcome::Unseen),
            ],
            operations(&items)
        );
    }

    #[test]
    fn the_called_tsap_is_an_attribute_of_the_server() {
        let request = [3, 0, 0, 15, 10, 0xe0, 0, 0, 0, 1, 0, 0xc2, 2, 1, 2];
        let items = talk(&[(Side::A, request.to_vec()), (Side::A, read_word())]);
        assert_eq!(vec![("tsap", "0102".into())], claims(&items));
    }

    #[test]
    fn the_probe_waits_for_the_first_data() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &read_word())));
        let request = [3, 0, 0, 11, 6, 0xe0, 0, 0, 0, 1, 0];
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &request)));
        // MMS: presentation data in a session SPDU
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &dt(&[1, 0, 1, 0]))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"\x16\x03\x01\x02\x00")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let conversation = [
            (Side::A, [3, 0, 0, 15, 10, 0xe0, 0, 0, 0, 1, 0, 0xc2, 2, 1, 2].to_vec()),
            (Side::A, read_word()),
            (Side::B, word_is_7()),
            (Side::A, write_9()),
            (Side::B, s7(ACK_DATA, &[WRITE_VAR, 1], &[0xff])),
            (Side::A, szl_request()),
            (Side::B, szl(1, &module_list()[..20])),
            (Side::A, szl_request()),
            (Side::B, szl(0, &module_list()[20..])),
        ];
        let conversation: Vec<_> =
            conversation.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &conversation);
    }
}
