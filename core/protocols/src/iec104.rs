//! IEC 60870-5-104: telecontrol over TCP.
//!
//! Sources: IEC 60870-5-104:2006 §5 (APCI, U, S and I frames), §6, §8 (types 58-64, 107, 127);
//! IEC 60870-5-101:2003 §7.1 to §7.3 (ASDU header, type identifications, causes of transmission,
//! information elements); IEC TS 60870-5-7 and IEC 62351-5 (types 81-95, names only).
//!
//! ASDUs use the lengths that 60870-5-104 fixes: cause 2 octets, common address 2, object address 3.
//!
//! Rules broken on the wire:
//! * `iec104-start`: bytes inside a session do not start with 0x68 and a length of 4..=253.
//! * `iec104-control-field`: control octets of no I, S or U format.
//! * `iec104-asdu-length`: the ASDU is shorter or longer than its objects need.
//! * `iec104-cause`: cause of transmission 0.
//! * `iec104-type`: type identification 0.
//!
//! Not decoded: contents of file segments, private types (128-255), values in monitoring direction,
//! secure authentication.

use std::collections::VecDeque;

use compact_str::{CompactString, ToCompactString, format_compact};
use otic_wire::Cursor;

use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Decode, Event, Evidence, Item, Object, Operation, Out, Outcome, Value,
    Violation,
};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};

/// IEC 60870-5-104.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "IEC 60870-5-104",
    roles: ("controlling station", "controlled station"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Iec104::new()) },
    source: "IEC 60870-5-104:2006; IEC 60870-5-101:2003",
};

const NAME: &str = "iec-104";
const CONTROL: &str = "iec-104-control";
const CHILD: &str = "iec104-ca";
const PORT: u16 = 2404;
const START: u8 = 0x68;

const START_ACT: u8 = 0x07;
const START_CON: u8 = 0x0b;
const STOP_ACT: u8 = 0x13;
const STOP_CON: u8 = 0x23;
const TEST_ACT: u8 = 0x43;
const TEST_CON: u8 = 0x83;

pub(crate) const ACTIVATION: u8 = 6;
pub(crate) const ACTIVATION_CONFIRMATION: u8 = 7;
const DEACTIVATION: u8 = 8;
const REQUEST: u8 = 5;

/// One row of the type table: name, action in control direction, octets of the information
/// element without the object address (`None`: varies).
pub(crate) struct Type {
    pub(crate) name: &'static str,
    pub(crate) action: Action,
    size: Option<u8>,
}

const fn row(name: &'static str, action: Action, size: u8) -> Type {
    Type { name, action, size: Some(size) }
}

pub(crate) const fn kind(code: u8) -> Type {
    use Action::{Configuration, Control, Diagnostics, File, Read, Reset, Write};
    match code {
        1 => row("single-point-information", Read, 1),
        2 => row("single-point-information-time-24", Read, 4),
        3 => row("double-point-information", Read, 1),
        4 => row("double-point-information-time-24", Read, 4),
        5 => row("step-position-information", Read, 2),
        6 => row("step-position-information-time-24", Read, 5),
        7 => row("bitstring-32", Read, 5),
        8 => row("bitstring-32-time-24", Read, 8),
        9 => row("measured-value-normalized", Read, 3),
        10 => row("measured-value-normalized-time-24", Read, 6),
        11 => row("measured-value-scaled", Read, 3),
        12 => row("measured-value-scaled-time-24", Read, 6),
        13 => row("measured-value-short-float", Read, 5),
        14 => row("measured-value-short-float-time-24", Read, 8),
        15 => row("integrated-totals", Read, 5),
        16 => row("integrated-totals-time-24", Read, 8),
        17 => row("protection-event-time-24", Read, 6),
        18 => row("protection-start-events-time-24", Read, 7),
        19 => row("protection-output-circuit-time-24", Read, 7),
        20 => row("packed-single-point-information", Read, 5),
        21 => row("measured-value-normalized-without-quality", Read, 2),
        30 => row("single-point-information-time-56", Read, 8),
        31 => row("double-point-information-time-56", Read, 8),
        32 => row("step-position-information-time-56", Read, 9),
        33 => row("bitstring-32-time-56", Read, 12),
        34 => row("measured-value-normalized-time-56", Read, 10),
        35 => row("measured-value-scaled-time-56", Read, 10),
        36 => row("measured-value-short-float-time-56", Read, 12),
        37 => row("integrated-totals-time-56", Read, 12),
        38 => row("protection-event-time-56", Read, 10),
        39 => row("protection-start-events-time-56", Read, 11),
        40 => row("protection-output-circuit-time-56", Read, 11),
        45 => row("single-command", Control, 1),
        46 => row("double-command", Control, 1),
        47 => row("regulating-step-command", Control, 1),
        48 => row("set-point-command-normalized", Write, 3),
        49 => row("set-point-command-scaled", Write, 3),
        50 => row("set-point-command-short-float", Write, 5),
        51 => row("bitstring-32-command", Write, 4),
        58 => row("single-command-time-56", Control, 8),
        59 => row("double-command-time-56", Control, 8),
        60 => row("regulating-step-command-time-56", Control, 8),
        61 => row("set-point-command-normalized-time-56", Write, 10),
        62 => row("set-point-command-scaled-time-56", Write, 10),
        63 => row("set-point-command-short-float-time-56", Write, 12),
        64 => row("bitstring-32-command-time-56", Write, 11),
        70 => row("end-of-initialization", Diagnostics, 1),
        81..=95 => Type { name: "secure-authentication", action: Action::Authenticate, size: None },
        100 => row("interrogation-command", Read, 1),
        101 => row("counter-interrogation-command", Read, 1),
        102 => row("read-command", Read, 0),
        103 => row("clock-synchronization-command", Configuration, 7),
        104 => row("test-command", Diagnostics, 2),
        105 => row("reset-process-command", Reset, 1),
        106 => row("delay-acquisition-command", Diagnostics, 2),
        107 => row("test-command-time-56", Diagnostics, 9),
        110 => row("parameter-measured-value-normalized", Configuration, 3),
        111 => row("parameter-measured-value-scaled", Configuration, 3),
        112 => row("parameter-measured-value-short-float", Configuration, 5),
        113 => row("parameter-activation", Configuration, 1),
        120 => row("file-ready", File, 6),
        121 => row("section-ready", File, 7),
        122 => row("call-directory-select-file-call-file-call-section", File, 4),
        123 => row("last-section-last-segment", File, 5),
        124 => row("acknowledge-file-acknowledge-section", File, 4),
        125 => Type { name: "segment", action: File, size: None },
        126 => row("directory", File, 13),
        127 => row("query-log", File, 16),
        _ => Type { name: "unknown", action: Diagnostics, size: None },
    }
}

const fn control_name(octet: u8) -> Option<&'static str> {
    match octet {
        START_ACT | START_CON => Some("start-data-transfer"),
        STOP_ACT | STOP_CON => Some("stop-data-transfer"),
        TEST_ACT | TEST_CON => Some("test-frame"),
        _ => None,
    }
}

/// What stands at the front of a stream.
enum Front<'a> {
    Frame(Frame<'a>),
    Incomplete,
    Broken(&'static str),
}

struct Frame<'a> {
    all: &'a [u8],
    format: Format<'a>,
}

enum Format<'a> {
    /// I: the ASDU.
    Information(&'a [u8]),
    /// S.
    Supervisory,
    /// U: the function octet.
    Unnumbered(u8),
}

fn front(bytes: &[u8]) -> Front<'_> {
    let mut cursor = Cursor::new(bytes);
    let Ok(start) = cursor.u8() else { return Front::Incomplete };
    if start != START {
        return Front::Broken("iec104-start");
    }
    let Ok(length) = cursor.u8() else { return Front::Incomplete };
    if !(4..=253).contains(&length) {
        return Front::Broken("iec104-start");
    }
    let Ok(body) = cursor.take(usize::from(length)) else { return Front::Incomplete };
    let all = bytes.get(..2 + body.len()).unwrap_or(bytes);
    let Some((control, asdu)) = body.split_first_chunk::<4>() else { return Front::Incomplete };
    let format = match control {
        // §5.1: bit 0 of the first and third octet is 0 in I format.
        [first, _, third, _] if first & 1 == 0 && third & 1 == 0 && !asdu.is_empty() => {
            Format::Information(asdu)
        }
        [0x01, _, third, _] if third & 1 == 0 && asdu.is_empty() => Format::Supervisory,
        [octet, 0, 0, 0] if control_name(*octet).is_some() && asdu.is_empty() => {
            Format::Unnumbered(*octet)
        }
        _ => return Front::Broken("iec104-control-field"),
    };
    Front::Frame(Frame { all, format })
}

/// Octets of the fields whose length 60870-5-101 leaves to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Cause of transmission, 1 or 2.
    pub(crate) cause: usize,
    /// Common address, 1 or 2.
    pub(crate) common: usize,
    /// Object address, 1 to 3.
    pub(crate) object: usize,
}

/// What 60870-5-104 fixes.
const SIZES: Sizes = Sizes { cause: 2, common: 2, object: 3 };

/// The header of an ASDU and its objects.
pub(crate) struct Asdu<'a> {
    pub(crate) code: u8,
    sequence: bool,
    pub(crate) count: u8,
    pub(crate) cause: u8,
    pub(crate) negative: bool,
    pub(crate) common_address: u16,
    objects: &'a [u8],
    /// Octets of an object address.
    object_size: usize,
}

fn asdu(bytes: &[u8]) -> Option<Asdu<'_>> {
    asdu_of(bytes, SIZES)
}

/// Reads an ASDU whose fields have these sizes.
pub(crate) fn asdu_of(bytes: &[u8], sizes: Sizes) -> Option<Asdu<'_>> {
    let mut cursor = Cursor::new(bytes);
    let [code, qualifier, cause] = cursor.array().ok()?;
    // originator
    cursor.skip(sizes.cause - 1).ok()?;
    let common_address = match sizes.common {
        1 => cursor.u8().ok()?.into(),
        _ => cursor.u16_le().ok()?,
    };
    Some(Asdu {
        code,
        sequence: qualifier & 0x80 != 0,
        count: qualifier & 0x7f,
        cause: cause & 0x3f,
        negative: cause & 0x40 != 0,
        common_address,
        objects: cursor.rest(),
        object_size: sizes.object,
    })
}

impl Asdu<'_> {
    /// Whether the objects fill the ASDU exactly; unknown for types of variable length.
    pub(crate) fn fits(&self) -> Option<bool> {
        let size = usize::from(kind(self.code).size?);
        let count = usize::from(self.count);
        let address = self.object_size;
        let wanted = if self.sequence { address + count * size } else { count * (address + size) };
        Some(self.objects.len() == wanted)
    }

    /// Whether the sender is the controlled station; unknown for files.
    pub(crate) const fn sent_by_controlled(&self) -> Option<bool> {
        match self.code {
            1..=44 | 70 => Some(true),
            45..=69 | 100..=113 => Some(!matches!(self.cause, ACTIVATION | DEACTIVATION | REQUEST)),
            _ => None,
        }
    }

    /// The elements of the objects with their addresses, in order, as far as they are whole.
    pub(crate) fn elements(&self) -> impl Iterator<Item = (u32, &[u8])> + '_ {
        let size = usize::from(kind(self.code).size.unwrap_or(0));
        let mut cursor = Cursor::new(self.objects);
        let mut next = None;
        (0..self.count).map_while(move |_| {
            let at = match next {
                Some(at) => at,
                None => address(cursor.take(self.object_size).ok()?),
            };
            if self.sequence {
                next = Some(at.wrapping_add(1));
            }
            Some((at, cursor.take(size).ok()?))
        })
    }

    /// The object addresses, in order.
    fn addresses(&self) -> impl Iterator<Item = u32> + '_ {
        let size = usize::from(kind(self.code).size.unwrap_or(0));
        let mut cursor = Cursor::new(self.objects);
        let mut next = None;
        (0..self.count).map_while(move |_| {
            let address = match next {
                Some(address) => address,
                None => address(cursor.take(self.object_size).ok()?),
            };
            if self.sequence {
                next = Some(address.wrapping_add(1));
            } else {
                // The last element may be missing or cut; its address counts.
                let _ = cursor.skip(size);
            }
            Some(address)
        })
    }

    pub(crate) fn object(&self) -> Object {
        let range = |first, count| match count {
            1 => Object::Number { kind: "ioa", number: first },
            _ => Object::Range { space: "ioa", first, count },
        };
        let mut addresses = self.addresses();
        let Some(first) = addresses.next() else { return Object::None };
        if self.sequence {
            return range(first, u32::from(self.count.max(1)));
        }
        if kind(self.code).size.is_none() {
            return range(first, 1);
        }
        let mut count = 1;
        for address in addresses {
            if address != first + count {
                return self.list();
            }
            count += 1;
        }
        range(first, count)
    }

    /// The first eight addresses of an ASDU whose addresses have holes.
    fn list(&self) -> Object {
        let mut text = CompactString::with_capacity(48);
        for (at, address) in self.addresses().take(8).enumerate() {
            text.push_str(if at == 0 { "ioa " } else { "," });
            text.push_str(&address.to_compact_string());
        }
        if self.count > 8 {
            text.push_str(&format_compact!(" +{}", self.count - 8));
        }
        Object::Text(text)
    }
}

/// An object address, lowest octet first.
fn address(octets: &[u8]) -> u32 {
    octets.iter().rev().fold(0, |address, octet| address << 8 | u32::from(*octet))
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Broken(_) => Probe::No,
        Front::Incomplete => match (input.bytes.get(1), input.bytes.get(2)) {
            // S and U frames are 4 octets long.
            (Some(length), Some(octet)) if octet & 1 != 0 && *length != 4 => Probe::No,
            _ => match input.bytes.get(6..).and_then(asdu) {
                Some(asdu) if asdu.count == 0 || !(1..=47).contains(&asdu.cause) => Probe::No,
                _ => Probe::More,
            },
        },
        Front::Frame(frame) => match frame.format {
            Format::Supervisory | Format::Unnumbered(_) => Probe::Likely,
            Format::Information(bytes) => match asdu(bytes) {
                Some(asdu) if asdu.count > 0 && (1..=47).contains(&asdu.cause) => match asdu.fits()
                {
                    Some(true) => Probe::Likely,
                    Some(false) => Probe::No,
                    // The standard's own range has no such type; above are private ones.
                    None if asdu.code < 128 && kind(asdu.code).name == "unknown" => Probe::No,
                    None => Probe::Weak,
                },
                _ => Probe::No,
            },
        },
    }
}

/// A command that waits for its confirmation.
struct Command {
    sender: Side,
    code: u8,
    common_address: u16,
    address: u32,
    value: Value,
    evidence: Evidence,
    ts_ns: i64,
}

/// Commands kept until confirmed, and values commanded before.
const COMMANDS: usize = 256;

/// A flow that carries IEC 104.
struct Iec104 {
    client: Option<Side>,
    synchronised: [bool; 2],
    reported: bool,
    /// The U function octet each side waits to be confirmed.
    unnumbered: [Option<Operation>; 2],
    commands: VecDeque<Command>,
    /// The last commanded values by (common address, object address).
    known: VecDeque<(u16, u32, Value)>,
}

impl Iec104 {
    const fn new() -> Self {
        Self {
            client: None,
            synchronised: [false; 2],
            reported: false,
            unnumbered: [None, None],
            commands: VecDeque::new(),
            known: VecDeque::new(),
        }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if self.client.is_none() {
            self.client = Some(side);
            out.push(Item::Client(side));
        }
    }

    fn unnumbered(&mut self, input: &Input<'_>, frame: &Frame<'_>, octet: u8, out: &mut Out) {
        let name = control_name(octet).unwrap_or("unknown");
        let action = if octet == TEST_ACT { Action::Diagnostics } else { Action::Session };
        if matches!(octet, START_ACT | STOP_ACT | TEST_ACT) {
            if octet == START_ACT {
                self.say_client(input.side, out);
            }
            let mut operation = control(input, u32::from(octet), (name, action), frame);
            operation.outcome = Outcome::Unseen;
            let slot = self.unnumbered.get_mut(usize::from(input.side == Side::B));
            if let Some(slot) = slot
                && let Some(old) = slot.replace(operation)
            {
                out.operation(old);
            }
            return;
        }
        // A confirmation has the bit after that of its activation.
        let asked = match octet {
            START_CON => START_ACT,
            STOP_CON => STOP_ACT,
            _ => TEST_ACT,
        };
        let slot = self.unnumbered.get_mut(usize::from(input.side == Side::A));
        if let Some(slot) = slot
            && let Some(mut waiting) =
                slot.take_if(|waiting| waiting.code == Some(u32::from(asked)))
        {
            waiting.outcome = Outcome::Ok;
            out.operation(waiting);
        } else {
            let mut unpaired = control(input, u32::from(asked), (name, action), frame);
            unpaired.sender = input.side.other();
            unpaired.outcome = Outcome::Ok;
            out.unpaired(unpaired);
        }
    }

    fn information(
        &mut self,
        input: &Input<'_>,
        frame: &Frame<'_>,
        asdu: &Asdu<'_>,
        out: &mut Out,
    ) {
        let kind = kind(asdu.code);
        let from_controlled = asdu.sent_by_controlled();
        if from_controlled == Some(false) {
            self.say_client(input.side, out);
        }
        let (client_child, server_child) = self.children(input, asdu);
        // A confirmation or termination of a command is no command.
        let action = match (from_controlled, kind.action) {
            (
                Some(true),
                Action::Control | Action::Write | Action::Reset | Action::Configuration,
            ) => Action::Read,
            (_, action) => action,
        };
        out.operation(Operation {
            protocol: NAME,
            connection: NAME,
            sender: input.side,
            code: Some(u32::from(asdu.code)),
            name: kind.name,
            action,
            object: asdu.object(),
            outcome: Outcome::None,
            client_child,
            server_child,
            evidence: input.locate(frame.all),
            ts_ns: input.ts_ns,
        });
        self.check(input, frame, asdu, out);
        self.commands(input, asdu, out);
    }

    /// The common address as child of the controlled station: (sender's, receiver's).
    fn children(&self, input: &Input<'_>, asdu: &Asdu<'_>) -> (Child, Child) {
        let child = Child::Number(CHILD, u32::from(asdu.common_address));
        let from_controlled = asdu.sent_by_controlled().unwrap_or_else(|| match self.client {
            Some(client) => client != input.side,
            None => input.source_port == PORT,
        });
        if from_controlled { (child, Child::None) } else { (Child::None, child) }
    }

    fn check(&self, input: &Input<'_>, frame: &Frame<'_>, asdu: &Asdu<'_>, out: &mut Out) {
        let mut violation = |rule| {
            out.push(Item::Violation(Violation {
                rule,
                protocol: NAME,
                sender: input.side,
                values: vec![("type", asdu.code.to_compact_string())],
                evidence: input.locate(frame.all),
            }));
        };
        if asdu.code == 0 {
            violation("iec104-type");
        }
        if asdu.cause == 0 {
            violation("iec104-cause");
        }
        if asdu.fits() == Some(false) {
            violation("iec104-asdu-length");
        }
        if asdu.code >= 128 {
            out.push(Item::NotDecoded(NAME, "private-type"));
        }
        if asdu.negative || matches!(asdu.cause, 44..=47) {
            out.push(Item::Event(Event {
                kind: "iec104-negative",
                protocol: NAME,
                sender: input.side.other(),
                values: vec![
                    ("cause", asdu.cause.to_compact_string()),
                    ("common_address", asdu.common_address.to_compact_string()),
                    ("type", asdu.code.to_compact_string()),
                ],
                evidence: input.locate(frame.all),
            }));
        }
    }

    /// Keeps commanded values until the controlled station confirmed or refused them.
    fn commands(&mut self, input: &Input<'_>, asdu: &Asdu<'_>, out: &mut Out) {
        if !matches!(asdu.code, 45..=51 | 58..=64 | 110..=112) {
            return;
        }
        let refused = asdu.negative || matches!(asdu.cause, 44..=47);
        if asdu.cause != ACTIVATION {
            if asdu.cause == ACTIVATION_CONFIRMATION || refused {
                for address in asdu.addresses() {
                    let waits = |command: &Command| {
                        (command.sender, command.code, command.common_address, command.address)
                            == (input.side.other(), asdu.code, asdu.common_address, address)
                    };
                    if let Some(at) = self.commands.iter().position(waits)
                        && let Some(command) = self.commands.remove(at)
                        && !refused
                    {
                        self.changed(command, out);
                    }
                }
            }
            return;
        }
        for (address, element) in asdu.elements() {
            let Some((value, raw, decode)) = command_value(asdu.code, element) else { continue };
            let command = Command {
                sender: input.side,
                code: asdu.code,
                common_address: asdu.common_address,
                address,
                value,
                evidence: input.evidence(raw, decode),
                ts_ns: input.ts_ns,
            };
            if self.commands.len() >= COMMANDS
                && let Some(oldest) = self.commands.pop_front()
            {
                self.changed(oldest, out);
            }
            self.commands.push_back(command);
        }
    }

    fn changed(&mut self, command: Command, out: &mut Out) {
        let key = (command.common_address, command.address);
        let at = self.known.iter().position(|(ca, address, _)| (*ca, *address) == key);
        let old = at.and_then(|at| self.known.remove(at)).map(|(_, _, value)| value);
        if self.known.len() >= COMMANDS {
            self.known.pop_front();
        }
        self.known.push_back((key.0, key.1, command.value.clone()));
        out.push(Item::Change(Change {
            protocol: NAME,
            connection: NAME,
            sender: command.sender,
            server_child: Child::Number(CHILD, u32::from(command.common_address)),
            object: Object::Number { kind: "ioa", number: command.address },
            old,
            new: command.value,
            evidence: command.evidence,
            ts_ns: command.ts_ns,
        }));
    }

    fn set_synchronised(&mut self, direction: usize, synchronised: bool) {
        if let Some(slot) = self.synchronised.get_mut(direction) {
            *slot = synchronised;
        }
    }
}

/// The value of an executed command; none for a selection (S/E bit, 60870-5-101 §7.2.6.26, 39).
pub(crate) fn command_value(code: u8, element: &[u8]) -> Option<(Value, &[u8], Decode)> {
    let select = |qualifier: Option<&u8>| qualifier.is_some_and(|octet| octet & 0x80 != 0);
    let integer = |number: i64| {
        let decode = if number < 0 { Decode::Derived } else { Decode::UnsignedLe };
        (Value::Integer(number), decode)
    };
    match code {
        45 | 58 | 46 | 59 | 47 | 60 => {
            let (raw, octet) = (element.get(..1)?, element.first()?);
            let mask = if matches!(code, 45 | 58) { 1 } else { 3 };
            if select(element.first()) {
                return None;
            }
            Some((Value::Integer(i64::from(octet & mask)), raw, Decode::Derived))
        }
        48 | 61 | 49 | 62 | 110 | 111 => {
            let raw = element.first_chunk::<2>()?;
            // QPM of parameters has no S/E bit.
            if code < 100 && select(element.get(2)) {
                return None;
            }
            let number = i16::from_le_bytes(*raw);
            if matches!(code, 48 | 61 | 110) {
                let real = f64::from(number) / 32768.0;
                return Some((Value::Real(real), raw.as_slice(), Decode::Derived));
            }
            let (value, decode) = integer(i64::from(number));
            Some((value, raw.as_slice(), decode))
        }
        50 | 63 | 112 => {
            let raw = element.first_chunk::<4>()?;
            if code < 100 && select(element.get(4)) {
                return None;
            }
            let real = f64::from(f32::from_le_bytes(*raw));
            Some((Value::Real(real), raw.as_slice(), Decode::Derived))
        }
        51 | 64 => {
            let raw = element.first_chunk::<4>()?;
            let (value, decode) = integer(i64::from(u32::from_le_bytes(*raw)));
            Some((value, raw.as_slice(), decode))
        }
        _ => None,
    }
}

fn control(
    input: &Input<'_>,
    code: u32,
    (name, action): (&'static str, Action),
    frame: &Frame<'_>,
) -> Operation {
    Operation {
        protocol: CONTROL,
        connection: NAME,
        sender: input.side,
        code: Some(code),
        name,
        action,
        object: Object::None,
        outcome: Outcome::None,
        client_child: Child::None,
        server_child: Child::None,
        evidence: input.locate(frame.all),
        ts_ns: input.ts_ns,
    }
}

impl Session for Iec104 {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let direction = usize::from(input.side == Side::B);
        if input.after_gap {
            self.set_synchronised(direction, false);
        }
        let mut used = 0;
        let mut layers: smallvec::SmallVec<[Option<u16>; 4]> = smallvec::SmallVec::new();
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            let frame = match front(rest) {
                Front::Frame(frame) => frame,
                Front::Incomplete => return used,
                Front::Broken(rule) => {
                    if self.synchronised.get(direction) == Some(&true) && !self.reported {
                        self.reported = true;
                        out.push(input.violation(NAME, rule, part_at(rest, 0, 6)));
                    }
                    self.set_synchronised(direction, false);
                    // The next start octet that begins a whole frame; the bytes before are lost.
                    let next = memchr::memchr_iter(START, rest)
                        .find(|at| matches!(rest.get(*at..).map(front), Some(Front::Frame(_))));
                    match next {
                        Some(at) => used += at,
                        None => return input.bytes.len(),
                    }
                    continue;
                }
            };
            self.set_synchronised(direction, true);
            used += frame.all.len();
            let parsed = match frame.format {
                Format::Information(bytes) => asdu(bytes),
                _ => None,
            };
            let address = parsed.as_ref().map(|asdu| asdu.common_address);
            if !layers.contains(&address) && layers.len() < 16 {
                layers.push(address);
                let (source, destination) = parsed
                    .as_ref()
                    .map_or((Child::None, Child::None), |asdu| self.children(input, asdu));
                out.layer_between(NAME, input.side, source, destination);
            }
            match (&frame.format, parsed) {
                (Format::Information(_), Some(asdu)) => {
                    self.information(input, &frame, &asdu, out);
                }
                (Format::Information(bytes), None) => {
                    // Its type can be read, what it is about cannot.
                    if let Some(code) = bytes.first() {
                        let what = (kind(*code).name, kind(*code).action);
                        let operation = control(input, u32::from(*code), what, &frame);
                        out.operation(Operation { protocol: NAME, ..operation });
                    }
                    out.push(input.violation(NAME, "iec104-asdu-length", frame.all));
                }
                (Format::Supervisory, _) => {
                    let what = ("supervisory", Action::Session);
                    out.operation(control(input, 1, what, &frame));
                }
                (Format::Unnumbered(octet), _) => {
                    self.unnumbered(input, &frame, *octet, out);
                }
            }
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for slot in &mut self.unnumbered {
            if let Some(operation) = slot.take() {
                out.operation(operation);
            }
        }
        while let Some(command) = self.commands.pop_front() {
            self.changed(command, out);
        }
    }

    fn stream_cap(&self) -> usize {
        4096
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const STARTDT_ACT: [u8; 6] = [0x68, 4, START_ACT, 0, 0, 0];
    const STARTDT_CON: [u8; 6] = [0x68, 4, START_CON, 0, 0, 0];

    /// An I frame: type, qualifier, cause, originator 0, common address 3, objects.
    fn frame(code: u8, qualifier: u8, cause: u8, objects: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x68, 10 + objects.len() as u8, 0, 0, 0, 0];
        bytes.extend_from_slice(&[code, qualifier, cause, 0, 3, 0]);
        bytes.extend_from_slice(objects);
        bytes
    }

    /// Single command, object 5001, on, executed.
    fn command(cause: u8) -> Vec<u8> {
        frame(45, 1, cause, &[0x89, 0x13, 0, 0x01])
    }

    fn talk(messages: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::items(&PROTOCOL, &messages)
    }

    fn operations(items: &[Item]) -> Vec<(&'static str, String, Outcome, Action)> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(op) => {
                    Some((op.name, op.object.to_text().into(), op.outcome, op.action))
                }
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_confirmed_command_is_a_change_on_the_station() {
        let items = talk(&[(Side::A, command(6)), (Side::B, command(7))]);
        assert_eq!(
            vec![
                ("single-command", "ioa 5001".into(), Outcome::None, Action::Control),
                ("single-command", "ioa 5001".into(), Outcome::None, Action::Read),
            ],
            operations(&items)
        );
        assert!(items.iter().any(|item| matches!(item, Item::Change(change)
            if change.new == Value::Integer(1)
                && change.server_child == Child::Number("iec104-ca", 3))));
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn a_refused_command_is_an_event_and_no_change() {
        let items = talk(&[(Side::A, command(6)), (Side::B, command(0x40 | 7))]);
        assert!(!items.iter().any(|item| matches!(item, Item::Change(_))));
        assert!(items.iter().any(|item| matches!(item, Item::Event(event)
            if event.kind == "iec104-negative")));
    }

    #[test]
    fn a_selection_changes_nothing() {
        let select = frame(45, 1, 6, &[0x89, 0x13, 0, 0x81]);
        let items = talk(&[(Side::A, select)]);
        assert!(!items.iter().any(|item| matches!(item, Item::Change(_))));
    }

    #[test]
    fn set_points_are_read_by_their_type() {
        // short float 1.5 to object 10, qualifier 0
        let float = frame(50, 1, 6, &[10, 0, 0, 0, 0, 0xc0, 0x3f, 0]);
        // scaled -2 to object 11
        let scaled = frame(49, 1, 6, &[11, 0, 0, 0xfe, 0xff, 0]);
        let items = talk(&[(Side::A, float), (Side::A, scaled)]);
        let values: Vec<Value> = items
            .iter()
            .filter_map(|item| match item {
                Item::Change(change) => Some(change.new.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(vec![Value::Real(1.5), Value::Integer(-2)], values);
    }

    #[test]
    fn objects_in_sequence_are_a_range_and_others_a_list() {
        let sequence = frame(1, 0x83, 20, &[1, 0, 0, 0, 1, 0]);
        let scattered = frame(1, 2, 3, &[1, 0, 0, 1, 9, 0, 0, 0]);
        let items = talk(&[(Side::B, [sequence, scattered].concat())]);
        let objects: Vec<String> = operations(&items).into_iter().map(|op| op.1).collect();
        assert_eq!(vec!["ioa 1-3".to_owned(), "ioa 1,9".to_owned()], objects);
    }

    #[test]
    fn control_frames_are_paired_apart_from_asdus() {
        let items = talk(&[(Side::A, STARTDT_ACT.into()), (Side::B, STARTDT_CON.into())]);
        assert!(items.iter().any(|item| matches!(item, Item::Operation(op)
            if op.protocol == "iec-104-control" && op.code == Some(7)
                && op.outcome == Outcome::Ok)));
    }

    #[test]
    fn wrong_lengths_and_causes_are_violations() {
        let items = talk(&[(Side::A, frame(45, 1, 0, &[1, 0, 0]))]);
        let rules: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Violation(violation) => Some(violation.rule),
                _ => None,
            })
            .collect();
        assert_eq!(vec!["iec104-cause", "iec104-asdu-length"], rules);
    }

    #[test]
    fn the_probe_knows_frames_from_noise() {
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &STARTDT_ACT)));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &command(6))));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &[0x68, 4])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"hello world, hello")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let conversation = [
            (Side::A, STARTDT_ACT.to_vec()),
            (Side::B, STARTDT_CON.to_vec()),
            (Side::A, [command(6), frame(100, 1, 6, &[0, 0, 0, 20])].concat()),
            (Side::B, [command(7), frame(1, 0x83, 20, &[1, 0, 0, 0, 1, 0])].concat()),
            (Side::B, vec![0x68, 4, 1, 0, 2, 0]),
            (Side::A, frame(50, 1, 6, &[10, 0, 0, 0, 0, 0xc0, 0x3f, 0])),
        ];
        let conversation: Vec<_> =
            conversation.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &conversation);
    }
}
