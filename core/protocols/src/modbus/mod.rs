//! Modbus/TCP, Modbus over UDP, RTU and ASCII frames over both, with Schneider's UMAS (function 90) inside.
//!
//! Sources:
//! * MBAP header, unit ids: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, §3.1.
//! * Functions, quantities, exceptions, diagnostics sub-functions, file records, device
//!   identification: MODBUS Application Protocol Specification V1.1b3, §5 to §7.
//! * Functions 9, 10, 13, 14, 18, 19: Modicon Modbus Protocol Reference Guide PI-MBUS-300 Rev. J.
//! * UMAS: in [`umas`].
//! * RTU framing and its CRC, here over TCP or UDP as terminal servers carry it: MODBUS over Serial
//!   Line V1.02, §2.5.1 and §6.2.2.
//!
//! Rules broken on the wire:
//! * `modbus-protocol-id`: the protocol identifier of the MBAP header is not 0.
//! * `modbus-length`: the MBAP length is not 2..=254.
//! * `modbus-function-zero`: a request with function 0.
//! * `modbus-exception-from-client`: a client sent a function code with the top bit set.
//! * `modbus-pdu-length`: a request is shorter than its function needs, or a byte count lies.
//! * `modbus-crc`: the check of an RTU frame is wrong.
//! * `modbus-lrc`: an ASCII frame is none, or its check is wrong.
//! * `modbus-quantity`: a request asks for more items than its function allows, or for none.
//!
//! Not decoded: the log of function 12, CANopen references (0x2B/0x0D), the
//! data of UMAS transfers.

mod ascii;
mod rtu;
mod umas;

use otic_wire::Cursor;
use smallvec::SmallVec;

use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Event, Evidence, Item, Object, Operation,
    Out, Outcome, Value, Violation, Who, same_name,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// Modbus/TCP and Modbus over UDP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "Modbus",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[PORT]), Carrier::Udp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Modbus::new()) },
    source: "MODBUS Application Protocol V1.1b3; MODBUS Messaging on TCP/IP V1.0b; UMAS: public \
             descriptions",
};

const NAME: &str = "modbus";
const PORT: u16 = 502;
const UNIT: &str = "modbus-unit";

const COIL: &str = "coil";
const DISCRETE_INPUT: &str = "discrete-input";
const HOLDING_REGISTER: &str = "holding-register";
const INPUT_REGISTER: &str = "input-register";

const READ_COILS: u8 = 1;
const READ_DISCRETE_INPUTS: u8 = 2;
const READ_HOLDING_REGISTERS: u8 = 3;
const READ_INPUT_REGISTERS: u8 = 4;
const WRITE_SINGLE_COIL: u8 = 5;
const WRITE_SINGLE_REGISTER: u8 = 6;
const DIAGNOSTICS: u8 = 8;
const WRITE_MULTIPLE_COILS: u8 = 15;
const WRITE_MULTIPLE_REGISTERS: u8 = 16;
const REPORT_SERVER_ID: u8 = 17;
const READ_FILE_RECORD: u8 = 20;
const WRITE_FILE_RECORD: u8 = 21;
const MASK_WRITE_REGISTER: u8 = 22;
const READ_WRITE_MULTIPLE_REGISTERS: u8 = 23;
const READ_FIFO_QUEUE: u8 = 24;
const ENCAPSULATED: u8 = 0x2b;
const UMAS: u8 = 0x5a;
const EXCEPTION: u8 = 0x80;

const MEI_DEVICE_IDENTIFICATION: u8 = 0x0e;

/// A client that always uses transaction id 0 and lost a response must not be paired one off for
/// ever: a request older than this gives way to a new one with the same id.
const PATIENCE_NS: i64 = 5_000_000_000;

/// Name and action of a function code.
const fn function(code: u8) -> (&'static str, Action) {
    match code {
        1 => ("read-coils", Action::Read),
        2 => ("read-discrete-inputs", Action::Read),
        3 => ("read-holding-registers", Action::Read),
        4 => ("read-input-registers", Action::Read),
        5 => ("write-single-coil", Action::Write),
        6 => ("write-single-register", Action::Write),
        7 => ("read-exception-status", Action::Diagnostics),
        8 => ("diagnostics", Action::Diagnostics),
        9 => ("program-484", Action::ProgramDownload),
        10 => ("poll-484", Action::Diagnostics),
        11 => ("get-comm-event-counter", Action::Diagnostics),
        12 => ("get-comm-event-log", Action::Diagnostics),
        13 => ("program-controller", Action::ProgramDownload),
        14 => ("poll-controller", Action::Diagnostics),
        15 => ("write-multiple-coils", Action::Write),
        16 => ("write-multiple-registers", Action::Write),
        17 => ("report-server-id", Action::Identify),
        18 => ("program-884-m84", Action::ProgramDownload),
        19 => ("reset-communications-link", Action::Reset),
        20 => ("read-file-record", Action::Read),
        21 => ("write-file-record", Action::Write),
        22 => ("mask-write-register", Action::Write),
        23 => ("read-write-multiple-registers", Action::Write),
        24 => ("read-fifo-queue", Action::Read),
        0x2b => ("encapsulated-interface-transport", Action::Diagnostics),
        0x5a => ("umas", Action::Diagnostics),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// Name and action of a sub-function of function 8 (V1.1b3 §6.8).
const fn diagnostics(sub_function: u16) -> (&'static str, Action) {
    match sub_function {
        0 => ("diagnostics-return-query-data", Action::Diagnostics),
        1 => ("diagnostics-restart-communications-option", Action::Reset),
        2 => ("diagnostics-return-diagnostic-register", Action::Diagnostics),
        3 => ("diagnostics-change-ascii-input-delimiter", Action::Configuration),
        4 => ("diagnostics-force-listen-only-mode", Action::Mode),
        10 => ("diagnostics-clear-counters-and-diagnostic-register", Action::Diagnostics),
        11 => ("diagnostics-return-bus-message-count", Action::Diagnostics),
        12 => ("diagnostics-return-bus-communication-error-count", Action::Diagnostics),
        13 => ("diagnostics-return-bus-exception-error-count", Action::Diagnostics),
        14 => ("diagnostics-return-server-message-count", Action::Diagnostics),
        15 => ("diagnostics-return-server-no-response-count", Action::Diagnostics),
        16 => ("diagnostics-return-server-nak-count", Action::Diagnostics),
        17 => ("diagnostics-return-server-busy-count", Action::Diagnostics),
        18 => ("diagnostics-return-bus-character-overrun-count", Action::Diagnostics),
        20 => ("diagnostics-clear-overrun-counter-and-flag", Action::Diagnostics),
        _ => ("diagnostics", Action::Diagnostics),
    }
}

/// One MBAP message, whole or as far as the datagram was captured.
struct Message<'a> {
    transaction: u16,
    unit: u8,
    /// Function code and data.
    pdu: &'a [u8],
    /// Header and PDU.
    all: &'a [u8],
}

/// What stands at the front of the bytes.
enum Front<'a> {
    Message(Message<'a>),
    Incomplete,
    Broken(&'static str),
}

fn front(bytes: &[u8], cut_off: bool) -> Front<'_> {
    let mut cursor = Cursor::new(bytes);
    let (Ok(transaction), Ok(protocol)) = (cursor.u16_be(), cursor.u16_be()) else {
        return Front::Incomplete;
    };
    if protocol != 0 {
        return Front::Broken("modbus-protocol-id");
    }
    let Ok(length) = cursor.u16_be() else { return Front::Incomplete };
    if !(2..=254).contains(&length) {
        return Front::Broken("modbus-length");
    }
    let Ok(unit) = cursor.u8() else { return Front::Incomplete };
    let wanted = usize::from(length) - 1;
    let pdu = match cursor.take(wanted) {
        Ok(pdu) => pdu,
        Err(_) if cut_off && cursor.remaining() > 0 => cursor.rest(),
        Err(_) => return Front::Incomplete,
    };
    let all = bytes.get(..7 + pdu.len()).unwrap_or(bytes);
    Front::Message(Message { transaction, unit, pdu, all })
}

/// Whether a PDU can be a request, and whether it can be a response, by its length and counts.
fn shapes(pdu: &[u8]) -> (bool, bool) {
    let length = pdu.len();
    let byte = |at: usize| usize::from(pdu.get(at).copied().unwrap_or(0));
    let word = |at: usize| byte(at) << 8 | byte(at + 1);
    let counted = length >= 2 && length == 2 + byte(1);
    match byte(0) as u8 {
        READ_COILS | READ_DISCRETE_INPUTS => {
            (length == 5 && (1..=2000).contains(&word(3)), counted && byte(1) > 0)
        }
        READ_HOLDING_REGISTERS | READ_INPUT_REGISTERS => (
            length == 5 && (1..=125).contains(&word(3)),
            counted && byte(1) > 0 && byte(1) % 2 == 0,
        ),
        WRITE_SINGLE_COIL => {
            let fits = length == 5 && matches!(word(3), 0 | 0xff00);
            (fits, fits)
        }
        WRITE_SINGLE_REGISTER => (length == 5, length == 5),
        DIAGNOSTICS => (length >= 3 && word(1) <= 20, length >= 3 && word(1) <= 20),
        7 | 11 | 12 | REPORT_SERVER_ID => (
            length == 1,
            match byte(0) {
                7 => length == 2,
                11 => length == 5,
                _ => counted,
            },
        ),
        WRITE_MULTIPLE_COILS => {
            (length >= 7 && length == 6 + byte(5) && byte(5) == word(3).div_ceil(8), length == 5)
        }
        WRITE_MULTIPLE_REGISTERS => {
            (length >= 8 && length == 6 + byte(5) && byte(5) == 2 * word(3), length == 5)
        }
        READ_FILE_RECORD => {
            let request = counted && byte(1) % 7 == 0 && byte(1) > 0 && byte(2) == 6;
            (request, counted && byte(3) == 6)
        }
        WRITE_FILE_RECORD => (counted && byte(2) == 6, counted && byte(2) == 6),
        MASK_WRITE_REGISTER => (length == 7, length == 7),
        READ_WRITE_MULTIPLE_REGISTERS => (
            length >= 12 && length == 10 + byte(9) && byte(9) == 2 * word(7),
            counted && byte(1) > 0 && byte(1) % 2 == 0,
        ),
        READ_FIFO_QUEUE => (length == 3, length >= 5 && length == 3 + word(1)),
        ENCAPSULATED if byte(1) == 0x0e => {
            (length == 4 && (1..=4).contains(&byte(2)), length >= 7 && (1..=4).contains(&byte(2)))
        }
        UMAS => {
            let reply = length >= 3 && matches!(byte(2) as u8, umas::OK | umas::ERROR);
            (length >= 3 && !reply, reply)
        }
        code if code & EXCEPTION != 0 => (false, length == 2 && (1..=11).contains(&byte(1))),
        _ => (false, false),
    }
}

fn probe(input: &Input<'_>) -> Probe {
    if input.bytes.first() == Some(&b':') {
        match ascii::front(input, input.bytes) {
            Ok(frame) if frame.bytes.get(1..).is_some_and(|pdu| shapes(pdu) != (false, false)) => {
                return Probe::Likely;
            }
            Err(Front::Incomplete) if input.bytes.len() > 1 => return Probe::More,
            _ => {}
        }
    }
    let datagram = input.transport != crate::Transport::Tcp;
    match front(input.bytes, datagram && input.truncated) {
        Front::Broken(_) | Front::Incomplete if rtu::fits(input.bytes) => Probe::Likely,
        Front::Broken(_) => Probe::No,
        Front::Incomplete if datagram => Probe::No,
        Front::Incomplete => Probe::More,
        Front::Message(message) => match shapes(message.pdu) {
            (false, false) => Probe::Weak,
            // The header alone is mostly zeroes, which other protocols have too: an exception or a
            // one-byte request does not outweigh that; a check that fits does.
            _ if message.pdu.len() < 3 && rtu::fits(input.bytes) => Probe::Likely,
            _ if message.pdu.len() < 3 => Probe::Weak,
            _ => Probe::Likely,
        },
    }
}

/// A request that waits for its response.
struct Request {
    /// What it will be reported as; its outcome is not known yet.
    operation: Box<Operation>,
    unit: u8,
    code: u8,
    /// What a positive response holds: space, first item, number of items.
    reads: Option<(&'static str, u16, u16)>,
    writes: Vec<Write>,
    /// Sub-function of UMAS, else 0.
    sub_function: u8,
}

/// Values a request writes.
struct Write {
    object: Object,
    /// Space, first item, number of items; none for file records.
    run: Option<(&'static str, u16, u16)>,
    new: NewValue,
    evidence: Evidence,
}

enum NewValue {
    /// Registers as on the wire, or coils packed as on the wire.
    Items(SmallVec<[u8; 8]>),
    /// AND mask and OR mask of function 22.
    Mask(u16, u16),
}

/// A block of coils or registers that the session saw, as packed on the wire.
struct Block {
    unit: u8,
    space: &'static str,
    first: u16,
    count: u16,
    data: SmallVec<[u8; 16]>,
    seen: u64,
}

/// What the session knows of coils and holding registers, at most [`Memory::BLOCKS`] blocks.
#[derive(Default)]
struct Memory {
    blocks: Vec<Block>,
    clock: u64,
}

impl Memory {
    const BLOCKS: usize = 64;

    fn remember(&mut self, unit: u8, run: (&'static str, u16, u16), data: &[u8]) {
        let (space, first, count) = run;
        self.clock += 1;
        let same = |block: &&mut Block| {
            (block.unit, block.first, block.count) == (unit, first, count)
                && same_name(block.space, space)
        };
        if let Some(block) = self.blocks.iter_mut().find(same) {
            block.seen = self.clock;
            if block.data.len() == data.len() {
                block.data.copy_from_slice(data);
            } else {
                block.data = SmallVec::from_slice(data);
            }
            return;
        }
        let data = SmallVec::from_slice(data);
        let block = Block { unit, space, first, count, data, seen: self.clock };
        if self.blocks.len() < Self::BLOCKS {
            if self.blocks.capacity() == 0 {
                // Most clients ask for one run of values again and again.
                self.blocks.reserve_exact(1);
            }
            self.blocks.push(block);
        } else if let Some(oldest) = self.blocks.iter_mut().min_by_key(|block| block.seen) {
            *oldest = block;
        }
    }

    /// The values last seen of a run, each item in one `u16`; none when one is unknown.
    fn recall(
        &self,
        unit: u8,
        (space, first, count): (&'static str, u16, u16),
    ) -> Option<Vec<u16>> {
        let item = |address: u16| {
            self.blocks
                .iter()
                .filter(|block| {
                    block.unit == unit
                        && block.space == space
                        && block.first <= address
                        && address - block.first < block.count
                })
                .max_by_key(|block| block.seen)
                .and_then(|block| item(space, &block.data, usize::from(address - block.first)))
        };
        (0..count).map(|offset| item(first.checked_add(offset)?)).collect()
    }
}

/// One coil or register of a block packed as on the wire.
fn item(space: &str, data: &[u8], index: usize) -> Option<u16> {
    if space == COIL {
        data.get(index / 8).map(|byte| u16::from(byte >> (index % 8) & 1))
    } else {
        let [high, low] = *data.get(2 * index..2 * index + 2)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes([high, low]))
    }
}

/// A value for JSON: one item is a number, more are the bytes as on the wire.
fn value(space: &str, items: &[u16]) -> Value {
    if let [single] = items {
        return Value::Integer(i64::from(*single));
    }
    if space == COIL {
        let pack = |chunk: &[u16]| {
            chunk.iter().rev().fold(0_u8, |byte, coil| byte << 1 | u8::from(*coil != 0))
        };
        Value::Bytes(items.chunks(8).map(pack).collect())
    } else {
        Value::Bytes(items.iter().flat_map(|register| register.to_be_bytes()).collect())
    }
}

/// How frames begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Tcp,
    Rtu,
    Ascii,
}

/// A flow that carries Modbus.
struct Modbus {
    client: Option<Side>,
    client_said: bool,
    /// Not known before the first frame.
    framing: Option<Framing>,
    /// Units that were told to be on a serial line.
    on_a_line: SmallVec<[u8; 8]>,
    synchronised: [bool; 2],
    reported: bool,
    pending: Pending<(u16, u8, u8), Request>,
    memory: Memory,
}

impl Modbus {
    fn new() -> Self {
        Self {
            client: None,
            client_said: false,
            framing: None,
            on_a_line: SmallVec::new(),
            synchronised: [false; 2],
            reported: false,
            pending: Pending::new(128),
            memory: Memory::default(),
        }
    }

    fn is_request(&mut self, input: &Input<'_>, message: &Message<'_>) -> bool {
        if let Some(client) = self.client {
            return client == input.side;
        }
        let to_server = input.destination_port == PORT;
        let (request, response) = shapes(message.pdu);
        let is_request = if to_server != (input.source_port == PORT) {
            to_server
        } else if request != response {
            request
        } else {
            // Echoes (functions 5, 6, 8, 21, 22) fit both: the first sender asks.
            message.pdu.first().is_some_and(|code| code & EXCEPTION == 0)
        };
        self.client = Some(if is_request { input.side } else { input.side.other() });
        is_request
    }

    fn message(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        let Some((&code, data)) = message.pdu.split_first() else { return };
        if self.is_request(input, message) {
            if !self.client_said {
                self.client_said = true;
                out.push(Item::Client(input.side));
            }
            self.request(input, message, code, data, out);
        } else {
            self.response(input, message, code, data, out);
        }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        message: &Message<'_>,
        code: u8,
        data: &[u8],
        out: &mut Out,
    ) {
        if code == 0 {
            violation(input, message, "modbus-function-zero", code, out);
        } else if code & EXCEPTION != 0 {
            violation(input, message, "modbus-exception-from-client", code, out);
        }
        let (name, action) = function(code);
        let operation = Operation {
            protocol: NAME,
            connection: NAME,
            sender: input.side,
            code: Some(u32::from(code)),
            name,
            action,
            object: Object::None,
            outcome: Outcome::Unseen,
            client_child: Child::None,
            server_child: unit(message.unit),
            evidence: input.locate(message.all),
            ts_ns: input.ts_ns,
        };
        let mut request = Request {
            operation: Box::new(operation),
            unit: message.unit,
            code,
            reads: None,
            writes: Vec::new(),
            sub_function: 0,
        };
        match describe(&mut request, input, data) {
            Some(()) => {
                if !quantity_allowed(&request) {
                    violation(input, message, "modbus-quantity", code, out);
                }
            }
            None if input.truncated => {}
            None => violation(input, message, "modbus-pdu-length", code, out),
        }
        if code == UMAS {
            umas::requested(input, &request.operation, data, out);
        }
        // A server in listen-only mode does not answer (V1.1b3 §6.8, sub-function 4).
        if request.operation.action == Action::Mode && code == DIAGNOSTICS {
            self.complete(request, Outcome::None, out);
            return;
        }
        let key = (message.transaction, message.unit, code);
        if self
            .pending
            .get_mut(&key)
            .is_some_and(|old| input.ts_ns - old.operation.ts_ns > PATIENCE_NS)
            && let Some(old) = self.pending.take(&key)
        {
            self.complete(old, Outcome::Unseen, out);
        }
        if let Some(evicted) = self.pending.insert(key, request) {
            self.complete(evicted, Outcome::Unseen, out);
        }
    }

    fn response(
        &mut self,
        input: &Input<'_>,
        message: &Message<'_>,
        code: u8,
        data: &[u8],
        out: &mut Out,
    ) {
        let function_code = code & !EXCEPTION;
        let umas_error = function_code == UMAS && data.get(1) == Some(&umas::ERROR);
        let refused = code & EXCEPTION != 0 || umas_error;
        if refused {
            let exception = if umas_error { data.get(2) } else { data.first() };
            out.push(Item::Event(Event {
                kind: "exception",
                protocol: NAME,
                sender: input.side.other(),
                values: vec![
                    ("code", number(exception.copied().unwrap_or(0))),
                    ("function", number(function_code)),
                ],
                evidence: input.locate(message.pdu),
            }));
        }
        let outcome = if refused { Outcome::Error } else { Outcome::Ok };
        let Some(request) = self.pending.take(&(message.transaction, message.unit, function_code))
        else {
            let (name, action) = function(function_code);
            let object = Object::None;
            out.unpaired(Operation {
                protocol: NAME,
                connection: NAME,
                sender: input.side.other(),
                code: Some(u32::from(function_code)),
                name,
                action,
                object,
                outcome,
                client_child: Child::None,
                server_child: unit(message.unit),
                evidence: input.locate(message.pdu),
                ts_ns: input.ts_ns,
            });
            if !refused {
                identity(input, message, function_code, 0, data, out);
            }
            return;
        };
        if !refused {
            self.learn(&request, data);
            identity(input, message, function_code, request.sub_function, data, out);
        }
        self.complete(request, outcome, out);
    }

    /// Remembers coils and holding registers that a response shows.
    fn learn(&mut self, request: &Request, data: &[u8]) {
        let Some((space, first, count)) = request.reads else { return };
        let (Some(&bytes), Some(values)) = (data.first(), data.get(1..)) else { return };
        let wanted =
            if space == COIL { usize::from(count).div_ceil(8) } else { usize::from(count) * 2 };
        if usize::from(bytes) == wanted
            && let Some(values) = values.get(..wanted)
        {
            self.memory.remember(request.unit, (space, first, count), values);
        }
    }

    fn complete(&mut self, mut request: Request, outcome: Outcome, out: &mut Out) {
        let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
        let unit_id = request.unit;
        request.operation.outcome = outcome;
        out.operation(request.operation);
        if outcome == Outcome::Error {
            return;
        }
        for write in request.writes {
            let old = write.run.and_then(|run| self.memory.recall(unit_id, run));
            let new = match (&write.new, write.run) {
                (NewValue::Items(bytes), Some(run @ (space, _, count))) => {
                    self.memory.remember(unit_id, run, bytes);
                    let items: Vec<u16> = (0..usize::from(count))
                        .map_while(|index| item(space, bytes, index))
                        .collect();
                    value(space, &items)
                }
                (NewValue::Items(bytes), None) => Value::Bytes(bytes.to_vec()),
                (NewValue::Mask(and, or), run) => match (old.as_deref(), run) {
                    // V1.1b3 §6.16: result = (current AND and-mask) OR (or-mask AND NOT and-mask)
                    (Some([old]), Some(run)) => {
                        let result = old & and | or & !and;
                        self.memory.remember(unit_id, run, &result.to_be_bytes());
                        Value::Integer(i64::from(result))
                    }
                    _ => Value::Text(compact_str::format_compact!("and 0x{and:04x} or 0x{or:04x}")),
                },
            };
            let space = write.run.map_or("", |(space, ..)| space);
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender,
                server_child: unit(unit_id),
                object: write.object,
                old: old.map(|items| value(space, &items)),
                new,
                evidence: write.evidence,
                ts_ns,
            }));
        }
    }
}

fn unit(unit: u8) -> Child {
    Child::Number(UNIT, u32::from(unit))
}

fn number(number: impl Into<u32>) -> compact_str::CompactString {
    use compact_str::ToCompactString;
    number.into().to_compact_string()
}

fn violation(
    input: &Input<'_>,
    message: &Message<'_>,
    rule: &'static str,
    code: u8,
    out: &mut Out,
) {
    out.push(Item::Violation(Violation {
        rule,
        protocol: NAME,
        sender: input.side,
        values: vec![("function", number(code))],
        evidence: input.locate(message.all),
    }));
}

/// Limits of V1.1b3 §6 on the number of items.
fn quantity_allowed(request: &Request) -> bool {
    let limit = match request.code {
        READ_COILS | READ_DISCRETE_INPUTS => 2000,
        READ_HOLDING_REGISTERS | READ_INPUT_REGISTERS => 125,
        WRITE_MULTIPLE_COILS => 1968,
        WRITE_MULTIPLE_REGISTERS => 123,
        READ_WRITE_MULTIPLE_REGISTERS => {
            return request.reads.is_none_or(|(_, _, count)| (1..=125).contains(&count))
                && matches!(request.operation.object, Object::Range { count: 1..=121, .. });
        }
        _ => return true,
    };
    matches!(request.operation.object, Object::Range { count, .. } if (1..=limit).contains(&count))
}

fn range(space: &'static str, first: u16, count: u16) -> Object {
    Object::Range { space, first: u32::from(first), count: u32::from(count) }
}

/// Reads the data of a request; none when it is too short or a count lies.
fn describe(request: &mut Request, input: &Input<'_>, data: &[u8]) -> Option<()> {
    let mut cursor = Cursor::new(data);
    match request.code {
        READ_COILS | READ_DISCRETE_INPUTS | READ_HOLDING_REGISTERS | READ_INPUT_REGISTERS => {
            let (first, count) = (cursor.u16_be().ok()?, cursor.u16_be().ok()?);
            let space = match request.code {
                READ_COILS => COIL,
                READ_DISCRETE_INPUTS => DISCRETE_INPUT,
                READ_HOLDING_REGISTERS => HOLDING_REGISTER,
                _ => INPUT_REGISTER,
            };
            request.operation.object = range(space, first, count);
            // Inputs cannot be written, so nobody will ask for their old value.
            if matches!(request.code, READ_COILS | READ_HOLDING_REGISTERS) {
                request.reads = Some((space, first, count));
            }
        }
        WRITE_SINGLE_COIL | WRITE_SINGLE_REGISTER => {
            let first = cursor.u16_be().ok()?;
            let coil = request.code == WRITE_SINGLE_COIL;
            let space = if coil { COIL } else { HOLDING_REGISTER };
            request.operation.object = range(space, first, 1);
            let raw = cursor.take(2).ok()?;
            let mut new = SmallVec::from_slice(raw);
            if coil {
                // 0xFF00 is on, 0x0000 off (§6.5).
                new = SmallVec::from_slice(&[u8::from(raw.first() == Some(&0xff))]);
            }
            request.writes.push(Write {
                object: request.operation.object.clone(),
                run: Some((space, first, 1)),
                new: NewValue::Items(new),
                evidence: input
                    .evidence(raw, if coil { Decode::Derived } else { Decode::UnsignedBe }),
            });
        }
        DIAGNOSTICS => {
            let sub_function = cursor.u16_be().ok()?;
            (request.operation.name, request.operation.action) = diagnostics(sub_function);
            request.operation.object =
                Object::Number { kind: "sub-function", number: u32::from(sub_function) };
        }
        WRITE_MULTIPLE_COILS | WRITE_MULTIPLE_REGISTERS => {
            let (first, count) = (cursor.u16_be().ok()?, cursor.u16_be().ok()?);
            let coils = request.code == WRITE_MULTIPLE_COILS;
            request.operation.object =
                range(if coils { COIL } else { HOLDING_REGISTER }, first, count);
            block_write(request, input, &mut cursor, (first, count))?;
        }
        READ_FILE_RECORD | WRITE_FILE_RECORD => file_records(request, input, &mut cursor)?,
        MASK_WRITE_REGISTER => {
            let first = cursor.u16_be().ok()?;
            request.operation.object = range(HOLDING_REGISTER, first, 1);
            let raw = cursor.take(4).ok()?;
            let mut masks = Cursor::new(raw);
            let (and, or) = (masks.u16_be().ok()?, masks.u16_be().ok()?);
            request.writes.push(Write {
                object: request.operation.object.clone(),
                run: Some((HOLDING_REGISTER, first, 1)),
                new: NewValue::Mask(and, or),
                evidence: input.evidence(raw, Decode::Derived),
            });
        }
        READ_WRITE_MULTIPLE_REGISTERS => {
            let (first, count) = (cursor.u16_be().ok()?, cursor.u16_be().ok()?);
            request.reads = Some((HOLDING_REGISTER, first, count));
            let (first, count) = (cursor.u16_be().ok()?, cursor.u16_be().ok()?);
            request.operation.object = range(HOLDING_REGISTER, first, count);
            block_write(request, input, &mut cursor, (first, count))?;
        }
        READ_FIFO_QUEUE => {
            let number = u32::from(cursor.u16_be().ok()?);
            request.operation.object = Object::Number { kind: "fifo", number };
        }
        ENCAPSULATED => {
            let mei = cursor.u8().ok()?;
            match mei {
                MEI_DEVICE_IDENTIFICATION => {
                    request.operation.name = "read-device-identification";
                    request.operation.action = Action::Identify;
                    let number = u32::from(cursor.u8().ok()?);
                    request.operation.object =
                        Object::Number { kind: "device-identification", number };
                }
                0x0d => request.operation.name = "canopen-general-reference",
                _ => {}
            }
        }
        UMAS => umas::describe(request, input, &mut cursor)?,
        _ => {}
    }
    Some(())
}

/// Byte count and values of functions 15, 16 and 23.
fn block_write(
    request: &mut Request,
    input: &Input<'_>,
    cursor: &mut Cursor<'_>,
    (first, count): (u16, u16),
) -> Option<()> {
    let bytes = usize::from(cursor.u8().ok()?);
    let raw = cursor.take(bytes).ok()?;
    let (space, wanted) = if request.code == WRITE_MULTIPLE_COILS {
        (COIL, usize::from(count).div_ceil(8))
    } else {
        (HOLDING_REGISTER, usize::from(count) * 2)
    };
    if bytes != wanted {
        return None;
    }
    if count == 0 {
        return Some(());
    }
    let decode = match (space, count) {
        (COIL, 1) => Decode::Derived,
        (HOLDING_REGISTER, 1) => Decode::UnsignedBe,
        _ => Decode::Hex,
    };
    request.writes.push(Write {
        object: request.operation.object.clone(),
        run: Some((space, first, count)),
        new: NewValue::Items(SmallVec::from_slice(raw)),
        evidence: input.evidence(raw, decode),
    });
    Some(())
}

/// The sub-requests of functions 20 and 21 (§6.14, §6.15); the first one names the operation.
fn file_records(request: &mut Request, input: &Input<'_>, cursor: &mut Cursor<'_>) -> Option<()> {
    let bytes = usize::from(cursor.u8().ok()?);
    let mut records = cursor.sub(bytes).ok()?;
    while !records.is_empty() {
        let _reference_type = records.u8().ok()?;
        let (file, record, length) =
            (records.u16_be().ok()?, records.u16_be().ok()?, records.u16_be().ok()?);
        let object = Object::Area {
            area: "file",
            number: u32::from(file),
            first: u32::from(record),
            count: u32::from(length),
        };
        if request.operation.object == Object::None {
            request.operation.object = object.clone();
        }
        if request.code == WRITE_FILE_RECORD {
            let raw = records.take(usize::from(length) * 2).ok()?;
            request.writes.push(Write {
                object,
                run: None,
                new: NewValue::Items(SmallVec::from_slice(raw)),
                evidence: input.evidence(raw, Decode::Hex),
            });
        }
    }
    Some(())
}

/// Claims of the responses to device identification, report server id and UMAS.
fn identity(
    input: &Input<'_>,
    message: &Message<'_>,
    code: u8,
    sub_function: u8,
    data: &[u8],
    out: &mut Out,
) {
    match code {
        ENCAPSULATED => drop(device_identification(input, message, data, out)),
        REPORT_SERVER_ID => server_id(input, message, data, out),
        UMAS => drop(umas::replied(input, message, sub_function, data, out)),
        _ => {}
    }
}

fn claim(
    input: &Input<'_>,
    message: &Message<'_>,
    (attribute, name, confidence): (&'static str, &'static str, Confidence),
    raw: &[u8],
    out: &mut Out,
) {
    let raw = text::trim(raw);
    out.claim(Claim {
        who: Who::Sender(unit(message.unit)),
        attribute,
        value: text::utf8(raw),
        protocol: NAME,
        message: name,
        confidence,
        evidence: input.evidence(raw, Decode::Utf8),
    });
}

/// §6.21: each object is whole in one response, so responses with "more follows" need no memory.
fn device_identification(
    input: &Input<'_>,
    message: &Message<'_>,
    data: &[u8],
    out: &mut Out,
) -> Option<()> {
    let mut cursor = Cursor::new(data);
    if cursor.u8().ok()? != MEI_DEVICE_IDENTIFICATION {
        return None;
    }
    let [_read_code, _conformity, _more_follows, _next_object, objects] = cursor.array().ok()?;
    for _ in 0..objects {
        let (id, length) = (cursor.u8().ok()?, cursor.u8().ok()?);
        let raw = cursor.take(usize::from(length)).ok()?;
        let attribute = match id {
            0x00 => "vendor",
            0x01 | 0x05 => "model",
            0x02 => "firmware",
            0x03 => "vendor_url",
            0x04 => "product_name",
            0x06 => "application_name",
            _ => continue,
        };
        // People may change the application name; the rest is the maker's.
        let confidence = if id == 0x06 { Confidence::Medium } else { Confidence::High };
        claim(input, message, (attribute, "read-device-identification", confidence), raw, out);
    }
    Some(())
}

/// §6.13: the layout is the maker's own, so only a readable text is told, as a description.
fn server_id(input: &Input<'_>, message: &Message<'_>, data: &[u8], out: &mut Out) {
    let Some(raw) = data.first().and_then(|count| data.get(1..1 + usize::from(*count))) else {
        return;
    };
    let readable = |raw: &&[u8]| raw.len() >= 3 && text::is_printable(raw);
    let candidates = [raw, raw.get(2..).unwrap_or_default(), raw.get(1..).unwrap_or_default()];
    if let Some(found) = candidates.into_iter().map(text::trim).find(readable) {
        let what = ("description", "report-server-id", Confidence::Medium);
        claim(input, message, what, found, out);
    }
}

impl Session for Modbus {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let datagram = input.transport != crate::Transport::Tcp;
        let direction = usize::from(input.side == Side::B);
        if input.after_gap {
            self.set_synchronised(direction, false);
        }
        if self.is_ascii(input) {
            return self.read_ascii(input, out);
        }
        let mut used = 0;
        let mut units = SmallVec::<[u8; 8]>::new();
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match self.front(rest, datagram && input.truncated) {
                Front::Message(message) => {
                    // Joined in the middle: off the usual port, only a known shape is a start.
                    if input.after_gap
                        && used == 0
                        && !input.on_port(PORT)
                        && shapes(message.pdu) == (false, false)
                    {
                        return input.bytes.len();
                    }
                    self.set_synchronised(direction, true);
                    used += message.all.len();
                    let is_request = self.is_request(input, &message);
                    if !units.contains(&message.unit) {
                        units.push(message.unit);
                        let child = unit(message.unit);
                        let (source, destination) =
                            if is_request { (Child::None, child) } else { (child, Child::None) };
                        out.layer_between(NAME, input.side, source, destination);
                    }
                    self.message(input, &message, out);
                    if self.framing == Some(Framing::Rtu) && !is_request {
                        self.say_line(&message, "rtu", input.locate(message.all), out);
                    }
                }
                Front::Incomplete => return used,
                Front::Broken(rule) => {
                    if self.synchronised.get(direction) == Some(&true) && !self.reported {
                        self.reported = true;
                        out.push(input.violation(NAME, rule, part_at(rest, 0, 6)));
                    }
                    self.set_synchronised(direction, false);
                    return input.bytes.len();
                }
            }
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        let waiting: Vec<Request> = self.pending.drain().collect();
        let from = out.items.len();
        for request in waiting {
            self.complete(request, Outcome::Unseen, out);
        }
        if self.framing == Some(Framing::Ascii) {
            ascii::widen(out.items.get_mut(from..).unwrap_or_default());
        }
    }

    fn stream_cap(&self) -> usize {
        4096
    }
}

impl Modbus {
    fn front<'a>(&mut self, bytes: &'a [u8], cut_off: bool) -> Front<'a> {
        let framed = match self.framing {
            Some(Framing::Rtu) => return rtu::front(bytes),
            _ => front(bytes, cut_off),
        };
        if self.framing.is_none() {
            match framed {
                Front::Message(ref message) if message.pdu.len() >= 3 || !rtu::fits(bytes) => {
                    self.framing = Some(Framing::Tcp);
                }
                _ if rtu::fits(bytes) => {
                    self.framing = Some(Framing::Rtu);
                    return rtu::front(bytes);
                }
                Front::Broken(_) if matches!(rtu::front(bytes), Front::Incomplete) => {
                    return Front::Incomplete;
                }
                _ => {}
            }
        }
        framed
    }

    fn is_ascii(&self, input: &Input<'_>) -> bool {
        match self.framing {
            Some(framing) => framing == Framing::Ascii,
            None => {
                input.bytes.first() == Some(&b':')
                    && !matches!(ascii::front(input, input.bytes), Err(Front::Broken(_)))
            }
        }
    }

    fn read_ascii(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let direction = usize::from(input.side == Side::B);
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            let frame = match ascii::front(input, rest) {
                Ok(frame) => frame,
                Err(Front::Incomplete) => return used,
                Err(_) => {
                    if self.synchronised.get(direction) == Some(&true) && !self.reported {
                        self.reported = true;
                        out.push(input.violation(NAME, "modbus-lrc", part_at(rest, 0, 6)));
                    }
                    self.set_synchronised(direction, false);
                    return input.bytes.len();
                }
            };
            self.framing = Some(Framing::Ascii);
            self.set_synchronised(direction, true);
            let line = rest.get(..frame.length).unwrap_or_default();
            used += frame.length;
            let [unit_id, pdu @ ..] = frame.bytes.as_slice() else { continue };
            let message = Message { transaction: 0, unit: *unit_id, pdu, all: &frame.bytes };
            let inner = input.with_bytes(&frame.bytes, &frame.spans);
            let is_request = self.is_request(&inner, &message);
            let child = unit(message.unit);
            let (source, destination) =
                if is_request { (Child::None, child) } else { (child, Child::None) };
            out.layer_between(NAME, input.side, source, destination);
            let from = out.items.len();
            self.message(&inner, &message, out);
            ascii::widen(out.items.get_mut(from..).unwrap_or_default());
            if !is_request {
                self.say_line(&message, "ascii", input.locate(line), out);
            }
        }
        used
    }

    /// A response in frames of a serial line: whose it is stands on that line.
    fn say_line(
        &mut self,
        message: &Message<'_>,
        framing: &'static str,
        spans: otic_wire::Spans,
        out: &mut Out,
    ) {
        if self.on_a_line.contains(&message.unit) {
            return;
        }
        self.on_a_line.push(message.unit);
        out.claim(Claim {
            who: Who::Sender(unit(message.unit)),
            attribute: "serial_framing",
            value: framing.into(),
            protocol: NAME,
            message: "response",
            confidence: Confidence::High,
            evidence: Evidence { spans, decode: Decode::Derived },
        });
    }

    fn set_synchronised(&mut self, direction: usize, synchronised: bool) {
        if let Some(slot) = self.synchronised.get_mut(direction) {
            *slot = synchronised;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, operations};

    /// MBAP header for transaction 1 and unit 3, then the PDU.
    fn adu(pdu: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 0, 0, pdu.len() as u8 + 1, 3];
        bytes.extend_from_slice(pdu);
        bytes
    }

    fn talk(pdus: &[(Side, &[u8])]) -> Vec<Item> {
        let messages: Vec<(Side, Vec<u8>)> =
            pdus.iter().map(|(side, pdu)| (*side, adu(pdu))).collect();
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::items(&PROTOCOL, &messages)
    }

    /// Read holding registers 100 and 101.
    const READ: &[u8] = &[0x03, 0x00, 100, 0x00, 2];
    /// They hold 7 and 8.
    const VALUES: &[u8] = &[0x03, 4, 0x00, 7, 0x00, 8];
    /// Write 9 to register 101, and its echo.
    const WRITE: &[u8] = &[0x06, 0x00, 101, 0x00, 9];

    #[test]
    fn a_read_is_one_operation_on_the_unit() {
        let items = talk(&[(Side::A, READ), (Side::B, VALUES)]);
        assert_eq!(
            vec![("read-holding-registers", "holding-register 100-101".into(), Outcome::Ok)],
            operations(&items)
        );
        assert!(items.contains(&Item::Client(Side::A)));
        assert!(items.iter().any(|item| matches!(item,
            Item::Operation(op) if op.server_child == Child::Number("modbus-unit", 3)
                && op.code == Some(3) && op.action == Action::Read)));
    }

    #[test]
    fn a_write_tells_the_old_value_the_session_saw() {
        let items = talk(&[(Side::A, READ), (Side::B, VALUES), (Side::A, WRITE), (Side::B, WRITE)]);
        let change = items.iter().find_map(|item| match item {
            Item::Change(change) => Some(change),
            _ => None,
        });
        let change = change.unwrap();
        assert_eq!("holding-register 101", change.object.to_text());
        assert_eq!(
            (Some(Value::Integer(8)), Value::Integer(9)),
            (change.old.clone(), change.new.clone())
        );
    }

    #[test]
    fn coils_are_packed_low_bit_first() {
        // coils 8-17 read as 0b01_1000_0001, then coils 9-10 written 1, 1
        let items = talk(&[
            (Side::A, &[0x01, 0, 8, 0, 10]),
            (Side::B, &[0x01, 2, 0b1000_0001, 0b01]),
            (Side::A, &[0x0f, 0, 15, 0, 2, 1, 0b10]),
            (Side::B, &[0x0f, 0, 15, 0, 2]),
        ]);
        assert!(items.iter().any(|item| matches!(item,
            Item::Change(Change { old: Some(Value::Bytes(old)), new: Value::Bytes(new), .. })
                if old == &[0b11] && new == &[0b10])));
    }

    #[test]
    fn a_masked_write_is_computed_from_the_old_value() {
        // register 101 holds 8; and-mask 0xfffe, or-mask 1 sets bit 0
        let mask: &[u8] = &[0x16, 0, 101, 0xff, 0xfe, 0, 1];
        let items = talk(&[(Side::A, READ), (Side::B, VALUES), (Side::A, mask), (Side::B, mask)]);
        assert!(
            items.iter().any(
                |item| matches!(item, Item::Change(change) if change.new == Value::Integer(9))
            )
        );
    }

    #[test]
    fn a_refused_write_changes_nothing_and_tells_the_exception() {
        let items = talk(&[(Side::A, WRITE), (Side::B, &[0x86, 0x02])]);
        assert_eq!(
            vec![("write-single-register", "holding-register 101".into(), Outcome::Error)],
            operations(&items)
        );
        assert!(!items.iter().any(|item| matches!(item, Item::Change(_))));
        assert!(items.iter().any(|item| matches!(item, Item::Event(event)
            if event.kind == "exception"
                && event.values == [("code", "2".into()), ("function", "6".into())])));
    }

    #[test]
    fn device_identification_names_the_unit() {
        let items = talk(&[
            (Side::A, &[0x2b, 0x0e, 0x01, 0x00]),
            (
                Side::B,
                // basic, conformity 0x81, more follows, next object 2, two objects
                &[
                    0x2b, 0x0e, 0x01, 0x81, 0xff, 0x02, 2, 0, 4, b'A', b'c', b'm', b'e', 1, 3,
                    b'X', b'1', b' ',
                ],
            ),
            (Side::A, &[0x2b, 0x0e, 0x01, 0x02]),
            (Side::B, &[0x2b, 0x0e, 0x01, 0x81, 0, 0, 1, 2, 4, b'V', b'2', b'.', b'1']),
        ]);
        let claims: Vec<(&str, String)> = items
            .iter()
            .filter_map(|item| match item {
                Item::Claim(claim) => Some((claim.attribute, claim.value.to_string())),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![("vendor", "Acme".into()), ("model", "X1".into()), ("firmware", "V2.1".into())],
            claims
        );
        assert_eq!("read-device-identification", operations(&items)[0].0);
    }

    /// Replies of a BME P58 1020 to UMAS functions, after the session byte: see [`umas`].
    const PLC_ID: &[u8] = b"\x0e\x30\x0b\x01\0\0\0\0\x20\x02\0\0\x09\0\x0e\x0b\x01\x02\0\0\0\0\x0c\
        BME P58 1020\x01\x01\x01\0\0\0\0J\0";
    const PROJECT: &[u8] =
        b"\x03\r\0\0\xa2\x9b\x02\0\0\x03\r\0\0\xa2\x9b\x02\0\0\x04\x22\x33\x0b\x0c\x03\
        \xe4\x07\x04\x22\x33\x0b\x0c\x03\xe4\x07\x13\0\0\0\x08Project\0";
    const PLC_INFO: &[u8] = b"\x02\x8a\x8c\x06zs\x98\n\xda\xb8S\x14\0\0\0\0\xbe|'\x22\xbe|'\x22\x03\0\0\0\
        \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\x01\0\0\0\0\0\0\0\0\0\0\0\x01\x08\x04\0\x01\x01\0\0\xfa\0";

    fn umas_reply(data: &[u8]) -> Vec<u8> {
        [&[0x5a, 0, 0xfe], data].concat()
    }

    #[test]
    fn umas_tells_controller_project_and_run_state() {
        let items = talk(&[
            (Side::A, &[0x5a, 0, 2]),
            (Side::B, &umas_reply(PLC_ID)),
            (Side::A, &[0x5a, 0, 3, 0]),
            (Side::B, &umas_reply(PROJECT)),
            (Side::A, &[0x5a, 0, 4]),
            (Side::B, &umas_reply(PLC_INFO)),
        ]);
        let told = testing::claims(&items);
        let want = [
            ("model", "BME P58 1020"),
            ("firmware", "2.20"),
            ("umas_hardware_id", "0e0b"),
            ("project", "Project"),
            ("project_revision", "0.0.19"),
        ];
        assert_eq!(want.map(|(name, value)| (name, value.to_owned())).as_slice(), told);
        let events = testing::events(&items);
        assert_eq!("controller-status", events[0].kind);
        assert_eq!([("status", "stop".into())], *events[0].values);
    }

    #[test]
    fn umas_names_who_reserves_and_what_is_read_and_written() {
        let items = talk(&[
            (Side::A, b"\x5a\0\x01\0"),
            (Side::B, &umas_reply(b"\xfd\x03\0\x06\0\x002\0\n\x03\0\0\x07JOHN-PC")),
            (Side::A, b"\x5a\0\x10\x16*\0\0\x07STATION"),
            (Side::B, &umas_reply(&[0xba])),
            (Side::A, &[0x5a, 0xba, 0x20, 0, 0x13, 0, 0x64, 0, 0, 0, 0x9c, 0]),
            (Side::B, &umas_reply(&[0, 0])),
            // check word, two variables: one byte in block 5 at 256 + 4, two bytes in block 6 at 8
            (
                Side::A,
                &[
                    0x5a, 0xba, 0x23, 1, 2, 3, 4, 2, 1, 5, 0, 0, 1, 4, 0, 7, 2, 6, 0, 0, 0, 8, 0,
                    9, 0,
                ],
            ),
            (Side::B, &umas_reply(&[])),
        ]);
        let objects: Vec<_> = operations(&items).into_iter().map(|(_, object, _)| object).collect();
        let want =
            ["umas-function 1", "owner STATION", "memory-block 19: 100-255", "block 5: 260, +1"];
        assert_eq!(want.as_slice(), objects);
        assert_eq!(vec![("name", "STATION".to_owned())], testing::claims(&items));
        assert!(testing::events(&items).iter().any(|event| event.kind == "reservation-held"
            && event.values == [("owner", "JOHN-PC".into())]));
        let changes: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Change(change) => {
                    Some((change.object.to_text().to_string(), change.new.clone()))
                }
                _ => None,
            })
            .collect();
        let want = [
            ("block 5: 260".to_owned(), Value::Bytes(vec![7])),
            ("block 6: 8".to_owned(), Value::Bytes(vec![9, 0])),
        ];
        assert_eq!(want.as_slice(), changes);
    }

    /// Read holding registers 0-9 of unit 1, as printed in many manuals, and a response.
    const RTU_READ: &[u8] = &[1, 3, 0, 0, 0, 10, 0xc5, 0xcd];
    const RTU_VALUES: &[u8] = &[1, 3, 4, 0, 7, 0, 8, 0x4a, 0x34];

    /// `RTU_READ` and `RTU_VALUES` in ASCII frames.
    const ASCII_READ: &[u8] = b":01030000000AF2\r\n";
    const ASCII_VALUES: &[u8] = b":01030400070008E9\r\n";

    #[test]
    fn ascii_frames_are_read_by_their_check() {
        let talk = [(Side::A, ASCII_READ), (Side::B, ASCII_VALUES)];
        let items = testing::items(&PROTOCOL, &talk);
        assert_eq!(
            vec![("read-holding-registers", "holding-register 0-9".into(), Outcome::Ok)],
            operations(&items)
        );
        assert!(items.iter().any(|item| matches!(item,
            Item::Operation(op) if op.server_child == Child::Number("modbus-unit", 1))));
        assert!(testing::claims(&items).contains(&("serial_framing", "ascii".into())));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, ASCII_READ)));
        assert_eq!(
            Probe::No,
            testing::probe(&PROTOCOL, (Side::A, b":01030000000AF3\r\n".as_slice()))
        );
        let wrong = b":01030400070008E8\r\n".as_slice();
        let broken = [(Side::A, ASCII_READ), (Side::B, ASCII_VALUES), (Side::B, wrong)];
        let items = testing::items(&PROTOCOL, &broken);
        assert!(items.iter().any(|item| matches!(item,
            Item::Violation(violation) if violation.rule == "modbus-lrc")));
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn rtu_frames_are_read_by_their_check() {
        let items = testing::items(&PROTOCOL, &[(Side::A, RTU_READ), (Side::B, RTU_VALUES)]);
        assert_eq!(
            vec![("read-holding-registers", "holding-register 0-9".into(), Outcome::Ok)],
            operations(&items)
        );
        assert!(items.iter().any(|item| matches!(item,
            Item::Operation(op) if op.server_child == Child::Number("modbus-unit", 1))));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, RTU_READ)));
        let mut wrong = RTU_READ.to_vec();
        wrong[7] ^= 1;
        assert_ne!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &wrong)));
        let items = testing::items(&PROTOCOL, &[(Side::A, RTU_READ), (Side::A, &wrong)]);
        assert!(items.iter().any(
            |item| matches!(item, Item::Violation(violation) if violation.rule == "modbus-crc")
        ));
        testing::survives(&PROTOCOL, &[(Side::A, RTU_READ), (Side::B, RTU_VALUES)]);
    }

    #[test]
    fn umas_names_its_functions_and_the_cpu() {
        let mut reply = vec![0x5a, 0x00, 0xfe];
        reply.extend_from_slice(&[0; 22]);
        reply.extend_from_slice(&[5, b'B', b'M', b'X', b'P', b'3', 0]);
        let items = talk(&[
            (Side::A, &[0x5a, 0x00, 0x02]),
            (Side::B, &reply),
            (Side::A, &[0x5a, 0x00, 0x41, 0xff, 0x00]),
            (Side::B, &[0x5a, 0x00, 0xfd, 0x01]),
        ]);
        assert!(items.iter().any(|item| matches!(item, Item::Claim(claim)
            if claim.attribute == "model" && claim.value == "BMXP3")));
        let last = operations(&items)[1].clone();
        assert_eq!(("umas-stop-plc", "umas-function 65".into(), Outcome::Error), last);
    }

    #[test]
    fn broken_requests_are_violations() {
        let rules = |pdu: &[u8]| {
            talk(&[(Side::A, pdu)])
                .iter()
                .filter_map(|item| match item {
                    Item::Violation(violation) => Some(violation.rule),
                    _ => None,
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(vec!["modbus-function-zero"], rules(&[0x00, 1]));
        assert_eq!(vec!["modbus-exception-from-client"], rules(&[0x83, 1]));
        assert_eq!(vec!["modbus-pdu-length"], rules(&[0x03, 0, 1]));
        assert_eq!(vec!["modbus-quantity"], rules(&[0x03, 0, 1, 0, 126]));
    }

    #[test]
    fn the_probe_knows_messages_from_noise() {
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &adu(READ))));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::B, &adu(VALUES))));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &adu(READ)[..9])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n\r\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[0; 40])));
    }

    #[test]
    fn survives_hostile_bytes() {
        let conversation = [
            (Side::A, adu(READ)),
            (Side::B, adu(VALUES)),
            (Side::A, adu(&[0x10, 0, 100, 0, 2, 4, 0, 1, 0, 2])),
            (Side::B, adu(&[0x10, 0, 100, 0, 2])),
            (Side::A, adu(&[0x17, 0, 1, 0, 1, 0, 100, 0, 1, 2, 0, 5])),
            (Side::B, adu(&[0x17, 2, 0, 1])),
            (Side::A, adu(&[0x15, 9, 6, 0, 4, 0, 7, 0, 1, 0xab, 0xcd])),
            (Side::A, adu(&[0x08, 0, 4, 0, 0])),
            (Side::A, adu(&[0x11])),
            (Side::B, adu(&[0x11, 6, 1, 0xff, b'P', b'L', b'C', b'1'])),
            (Side::A, adu(&[0x5a, 0, 2])),
            (Side::B, adu(&umas_reply(PLC_ID))),
            (Side::A, adu(&[0x5a, 0, 0x23, 1, 2, 3, 4, 1, 1, 5, 0, 0, 1, 4, 0, 7])),
            (Side::B, adu(&umas_reply(&[]))),
            (Side::A, adu(&[0x2b, 0x0e, 1, 0])),
            (Side::B, adu(&[0x2b, 0x0e, 1, 1, 0, 0, 1, 0, 2, b'A', b'B'])),
        ];
        let conversation: Vec<_> =
            conversation.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &conversation);
    }
}
