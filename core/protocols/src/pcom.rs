//! Unitronics PCOM: programming stations and panels talk to Vision, Samba and Jazz controllers, over TCP.
//!
//! Sources: Unitronics, "PCOM Protocol" (frames, commands, operands), as tshark 4.0 and later
//! Wireshark name them (`pcomtcp`, `pcomascii`, `pcombinary`), the enumeration `CommandCode` of
//! Unitronics' .NET driver (operands), and the public script pcom-discover of L. Rosa (checksum,
//! fields of the identification, model codes, unique id in SDW 9).
//!
//! Names of operands: MB memory bits, SB system bits, I inputs, O outputs, MI memory integers, SI
//! system integers, ML and SL longs, MDW and SDW double words, MF floats, T timers, C counters.
//!
//! The code of an ASCII operation is its letters as a number; those of the binary mode are
//! `pcom-binary`. Units behind a controller are children, `pcom-unit N`; unit 0 is the one asked.
//!
//! Rules broken on the wire:
//! * `pcom-frame`: bytes inside a session are no frame, or the start, checksum or end of a message
//!   in it is wrong.
//!
//! Not decoded: the requests of several operands at once and the data tables of the binary mode,
//! PCOM over serial lines without its TCP header.

use compact_str::CompactString;
use otic_wire::Cursor;

use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Item, Object, Operation, Out, Outcome, Value,
    Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// Unitronics PCOM over TCP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "Unitronics PCOM",
    roles: ("PCOM client", "PCOM server"),
    carriers: &[Carrier::Tcp(&[20256])],
    dissector: Dissector::Built { probe, session: || Box::new(Pcom::new()) },
    source: "Unitronics PCOM Protocol; Unitronics .NET driver",
};

const NAME: &str = "pcom";
const BINARY_NAME: &str = "pcom-binary";
const CHILD: &str = "pcom-unit";

/// Transaction, mode, reserved, length.
const HEADER: usize = 6;
const ASCII: u8 = 101;
const BINARY: u8 = 102;
/// More than any message holds.
const LARGEST: usize = 4096;

const BINARY_START: &[u8] = b"/_OPLC";
const BINARY_HEADER: usize = 24;
const BINARY_END: u8 = b'\\';
/// Bit of the command in a reply.
const REPLY: u8 = 0x80;
const GET_NAME: u8 = 0x0c;

/// Requests of one flow that may wait at once.
const WAITING: usize = 16;
/// Values that are remembered.
const REMEMBERED: usize = 64;

/// An ASCII command.
struct Command {
    letters: &'static str,
    name: &'static str,
    action: Action,
    /// Space of the operands that it reads or writes, and hexadecimal digits of each value.
    operand: Option<(&'static str, usize)>,
}

/// Reads before their longer neighbours: the first row whose letters fit is meant.
const COMMANDS: &[Command] = &{
    use Action::{Control, Identify, Read, Reset, Start, Stop, Write};
    const fn row(
        letters: &'static str,
        name: &'static str,
        action: Action,
        space: &'static str,
        digits: usize,
    ) -> Command {
        let operand = if digits == 0 { None } else { Some((space, digits)) };
        Command { letters, name, action, operand }
    }
    [
        row("ID", "identify", Identify, "", 0),
        row("CCR", "start", Start, "", 0),
        row("CCS", "stop", Stop, "", 0),
        row("CCE", "reset", Reset, "", 0),
        row("CCI", "initialise", Reset, "", 0),
        row("CC", "administration", Control, "", 0),
        row("UG", "get-unit-id", Read, "", 0),
        row("US", "set-unit-id", Action::Configuration, "", 0),
        row("RC", "get-clock", Read, "", 0),
        row("SC", "set-clock", Action::Configuration, "", 0),
        row("RE", "read-inputs", Read, "I", 1),
        row("RA", "read-outputs", Read, "O", 1),
        row("RB", "read-memory-bits", Read, "MB", 1),
        row("GS", "read-system-bits", Read, "SB", 1),
        row("RT", "read-timer-bits", Read, "T", 1),
        row("RM", "read-counter-bits", Read, "C", 1),
        row("RW", "read-memory-integers", Read, "MI", 4),
        row("GF", "read-system-integers", Read, "SI", 4),
        row("RNL", "read-memory-longs", Read, "ML", 8),
        row("RNH", "read-system-longs", Read, "SL", 8),
        row("RND", "read-memory-double-words", Read, "MDW", 8),
        row("RNJ", "read-system-double-words", Read, "SDW", 8),
        row("RNF", "read-memory-floats", Read, "MF", 8),
        row("RN", "read-longs", Read, "", 0),
        row("GT", "read-timer-values", Read, "T", 8),
        row("GP", "read-timer-presets", Read, "T", 8),
        row("GX", "read-counter-values", Read, "C", 4),
        row("GY", "read-counter-presets", Read, "C", 4),
        row("SA", "write-outputs", Write, "O", 1),
        row("SB", "write-memory-bits", Write, "MB", 1),
        row("SS", "write-system-bits", Write, "SB", 1),
        row("SD", "force-inputs", Control, "I", 1),
        row("SE", "force-outputs", Control, "O", 1),
        row("SW", "write-memory-integers", Write, "MI", 4),
        row("SF", "write-system-integers", Write, "SI", 4),
        row("SNL", "write-memory-longs", Write, "ML", 8),
        row("SNH", "write-system-longs", Write, "SL", 8),
        row("SND", "write-memory-double-words", Write, "MDW", 8),
        row("SNJ", "write-system-double-words", Write, "SDW", 8),
        row("SNF", "write-memory-floats", Write, "MF", 8),
        row("SNT", "write-timer-presets", Write, "T", 8),
        row("SNK", "write-timer-values", Write, "T", 8),
        row("SN", "write-longs", Write, "", 0),
        row("SJ", "write-counter-presets", Write, "C", 4),
        row("SK", "write-counter-values", Write, "C", 4),
    ]
};

fn command(bytes: &[u8]) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| bytes.starts_with(command.letters.as_bytes()))
}

/// Name and action of a binary command.
const fn binary_command(code: u8) -> (&'static str, Action) {
    match code {
        4 => ("read-data-table", Action::Read),
        GET_NAME => ("get-name", Action::Identify),
        68 => ("write-data-table", Action::Write),
        77 => ("read-operands", Action::Read),
        80 => ("read-write-operands", Action::Write),
        _ => ("unknown", Action::Control),
    }
}

/// Models by the code that a controller tells.
fn model(code: &[u8]) -> Option<&'static str> {
    Some(match code {
        b"2320" => "V230-13-B20",
        b"2620" => "V260-16-B20",
        b"2820" => "V280-18-B20",
        b"2920" => "V290-19-B20",
        b"5320" => "V530-53-B20B",
        b"VR1" => "V120-12-R1",
        b"VR2C" => "V120-12-R2C",
        b"VT1" => "V120-12-T1",
        b"VT2C" => "V120-12-T2C",
        b"VT38" => "V120-12-T38",
        b"VT40" => "V120-12-T40",
        b"VUA2" => "V120-12-UA2",
        b"VUN2" => "V120-12-UN2",
        b"WR1" => "V120-22-R1",
        b"WR2C" => "V120-22-R2C",
        b"WR34" => "V120-22-R34",
        b"WR6C" => "V120-22-R6C",
        b"WT1" => "V120-22-T1",
        b"WT2C" => "V120-22-T2C",
        b"WT38" => "V120-22-T38",
        b"WT40" => "V120-22-T40",
        b"WUA2" => "V120-22-UA2",
        b"WUN2" => "V120-22-UN2",
        b"WA19" => "V120-22-RA19",
        b"WA22" => "V120-22-RA22",
        b"13B1" => "V130-33-B1",
        b"13R2" => "V130-33-R2",
        b"13R34" => "V130-33-R34",
        b"13R6" => "V130-33-R6",
        b"13RA22" => "V130-33-RA22",
        b"13T2" => "V130-33-T2",
        b"13T38" => "V130-33-T38",
        b"13T40" => "V130-33-T40",
        b"13TA24" => "V130-33-TA24",
        b"13TR20" => "V130-33-TR20",
        b"13TR22" => "V130-33-TRA22",
        b"13TR34" => "V130-33-TR34",
        b"13TR6" => "V130-33-TR6",
        b"13TU24" => "V130-33-TU24",
        b"35B1" => "V350-35-B1",
        b"35R2" => "V350-35-R2",
        b"35R34" => "V350-35-R34",
        b"35R6" => "V350-35-R6",
        b"35RA22" => "V350-35-RA22",
        b"35T2" => "V350-35-T2",
        b"35T38" => "V350-35-T38",
        b"35T40" => "V350-35-T40",
        b"35TA24" => "V350-35-TA24",
        b"35TR20" => "V350-35-TR20",
        b"35TR22" => "V350-35-TRA22",
        b"35TR34" => "V350-35-TR34",
        b"35TR6" => "V350-35-TR6",
        b"35TU24" => "V350-35-TU24",
        b"56C3" => "V560-56-C30",
        b"56T2" => "V560-56-T25B",
        b"56T3" => "V560-56-T34",
        b"56T4" => "V560-56-T40",
        b"49C3" | b"57C3" => "V570-57-C30 / V290-19-C30",
        b"49T2" | b"57T2" => "V570-57-T20 / V290-19-T20",
        b"49T3" | b"57T3" => "V570-57-T34 / V290-19-T34",
        b"49T4" | b"57T4" => "V570-57-T40 / V290-19-T40",
        b"70T2" => "V700-T20BJ",
        b"10T2" => "V1040",
        b"12T2" => "V1210",
        b"S3R20" | b"S3TA2" => "SM35-J-R20",
        b"S3T20" => "SM35-J-T20",
        b"S4R20" | b"S4TA2" => "SM43-J-R20",
        b"S4T20" => "SM43-J-T20",
        b"JR10" => "JZ10-11-R10",
        b"JR16" => "JZ10-11-R16",
        b"JR31" => "JZ10-11-R31",
        b"JT10" => "JZ10-11-T10",
        b"JT17" => "JZ10-11-T17",
        b"JT40" => "JZ10-11-T40",
        b"ERC1" => "EX-RC1",
        b"EC15" => "EXF-RC15",
        _ => return None,
    })
}

/// A frame with its message.
struct Frame<'a> {
    transaction: u16,
    mode: u8,
    message: &'a [u8],
    all: &'a [u8],
}

enum Front<'a> {
    Frame(Frame<'a>),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let mut cursor = Cursor::new(bytes);
    let (Ok(transaction), Ok([mode, reserved]), Ok(length)) =
        (cursor.u16_le(), cursor.array(), cursor.u16_le())
    else {
        let is_other = bytes.get(2).is_some_and(|mode| !matches!(*mode, ASCII | BINARY));
        return if is_other { Front::Foreign } else { Front::Incomplete };
    };
    let length = usize::from(length);
    if !matches!(mode, ASCII | BINARY) || reserved != 0 || !(4..=LARGEST).contains(&length) {
        return Front::Foreign;
    }
    if cursor.peek().is_some_and(|start| start != b'/') {
        return Front::Foreign;
    }
    match (cursor.take(length), bytes.get(..HEADER + length)) {
        (Ok(message), Some(all)) => Front::Frame(Frame { transaction, mode, message, all }),
        _ => Front::Incomplete,
    }
}

/// An ASCII message without start, checksum and end.
struct Text<'a> {
    is_reply: bool,
    unit: u32,
    /// Command letters and what follows them.
    content: &'a [u8],
}

fn ascii(message: &[u8]) -> Option<Text<'_>> {
    let (is_reply, rest) = match message {
        [b'/', b'A', rest @ ..] => (true, rest),
        [b'/', rest @ ..] => (false, rest),
        _ => return None,
    };
    let [checked @ .., high, low, b'\r'] = rest else { return None };
    let sum = checked.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let (unit, content) = checked.split_at_checked(2)?;
    if !is_reply && number(&[*high, *low])? != i64::from(sum) {
        return None;
    }
    Some(Text { is_reply, unit: u32::try_from(number(unit)?).ok()?, content })
}

/// A number in hexadecimal digits.
fn number(digits: &[u8]) -> Option<i64> {
    i64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().filter(|number| *number >= 0)
}

/// A binary message.
struct Packet<'a> {
    command: u8,
    unit: u32,
    data: &'a [u8],
}

fn binary(message: &[u8]) -> Option<Packet<'_>> {
    let mut cursor = Cursor::new(message);
    if cursor.take(BINARY_START.len()).ok()? != BINARY_START || message.last() != Some(&BINARY_END)
    {
        return None;
    }
    let [first, second] = cursor.array().ok()?;
    cursor.skip(4).ok()?;
    let command = cursor.u8().ok()?;
    cursor.skip(7).ok()?;
    let length = usize::from(cursor.u16_le().ok()?);
    let checksum = cursor.u16_le().ok()?;
    let header = message.get(..BINARY_HEADER - 2)?;
    let sum = header.iter().fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
    if sum.wrapping_add(checksum) != 0 || message.len() != BINARY_HEADER + length + 3 {
        return None;
    }
    let unit = if command & REPLY == 0 { first } else { second };
    Some(Packet { command, unit: unit.into(), data: cursor.take(length).ok()? })
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Frame(frame) => {
            let fits = match frame.mode {
                ASCII => ascii(frame.message).is_some_and(|text| command(text.content).is_some()),
                _ => binary(frame.message).is_some(),
            };
            if fits { Probe::Certain } else { Probe::No }
        }
        Front::Incomplete => Probe::More,
        Front::Foreign => Probe::No,
    }
}

/// A request that waits for its reply.
struct Request {
    operation: Operation,
    /// Values that it writes, with their digits' place.
    written: Vec<(Object, Value, crate::out::Evidence)>,
}

/// A flow that carries PCOM.
struct Pcom {
    pending: Pending<(Side, u16), Request>,
    /// Values written last, by operand.
    values: Vec<(Object, Value)>,
    client_said: bool,
    synchronised: [bool; 2],
}

impl Pcom {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            values: Vec::new(),
            client_said: false,
            synchronised: [false; 2],
        }
    }

    /// Whether the message in the frame could be read.
    fn frame(&mut self, input: &Input<'_>, frame: &Frame<'_>, out: &mut Out) -> bool {
        let (is_reply, request) = if frame.mode == ASCII {
            let Some(told) = ascii(frame.message) else { return false };
            let Some(command) = command(told.content) else {
                out.push(Item::NotDecoded(NAME, "unknown-command"));
                return true;
            };
            if told.is_reply && command.letters == "ID" {
                identity(input, &told, out);
            }
            if told.is_reply && command.letters == "RN" {
                self.unique_id(input, frame, &told, out);
            }
            (told.is_reply, ascii_request(input, frame, &told, command))
        } else {
            let Some(told) = binary(frame.message) else { return false };
            let is_reply = told.command & REPLY != 0;
            if told.command == GET_NAME | REPLY {
                claim(input, told.unit, ("name", "get-name"), told.data, None, out);
            }
            let code = told.command & !REPLY;
            let operation = Operation {
                connection: NAME,
                code: Some(code.into()),
                server_child: child(told.unit),
                ..input.operation(BINARY_NAME, input.side, binary_command(code), frame.all)
            };
            (is_reply, Request { operation, written: Vec::new() })
        };
        let client = if is_reply { input.side.other() } else { input.side };
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(client));
        }
        let key = (client, frame.transaction);
        if !is_reply {
            if let Some(unseen) = self.pending.insert(key, request) {
                out.operation(unseen.operation);
            }
            return true;
        }
        match self.pending.take(&key) {
            Some(asked) => self.answered(asked, input, out),
            None => out.unpaired(Operation {
                sender: client,
                outcome: Outcome::Ok,
                ..request.operation
            }),
        }
        true
    }

    fn answered(&mut self, mut asked: Request, input: &Input<'_>, out: &mut Out) {
        asked.operation.outcome = Outcome::Ok;
        let (sender, server_child) = (asked.operation.sender, asked.operation.server_child.clone());
        let ts_ns = asked.operation.ts_ns.min(input.ts_ns);
        out.operation(asked.operation);
        for (object, new, evidence) in asked.written {
            let known = self.values.iter().position(|(known, _)| *known == object);
            let old = known.map(|at| self.values.remove(at).1);
            if self.values.len() >= REMEMBERED {
                self.values.remove(0);
            }
            self.values.push((object.clone(), new.clone()));
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender,
                server_child: server_child.clone(),
                object,
                old,
                new,
                evidence,
                ts_ns,
            }));
        }
    }

    /// System double word 9 is the controller's unique id.
    fn unique_id(&mut self, input: &Input<'_>, frame: &Frame<'_>, told: &Text<'_>, out: &mut Out) {
        let key = (input.side.other(), frame.transaction);
        let is_id = self.pending.get_mut(&key).is_some_and(|asked| {
            asked.operation.object == Object::Range { space: "SDW", first: 9, count: 1 }
        });
        let digits = told.content.get(2..).unwrap_or_default();
        if is_id && let Some(id) = number(digits) {
            let value = compact_str::format_compact!("0x{id:08x}");
            let told_in = ("serial", "read-system-double-words");
            claim(input, told.unit, told_in, digits, Some(value), out);
        }
    }
}

fn child(unit: u32) -> Child {
    if unit == 0 { Child::None } else { Child::Number(CHILD, unit) }
}

fn ascii_request(
    input: &Input<'_>,
    frame: &Frame<'_>,
    told: &Text<'_>,
    command: &'static Command,
) -> Request {
    let letters = command.letters.as_bytes();
    let code = letters.iter().fold(0, |code, letter| code << 8 | u32::from(*letter));
    let mut operation = Operation {
        code: Some(code),
        server_child: child(told.unit),
        ..input.operation(NAME, input.side, (command.name, command.action), frame.all)
    };
    let mut written = Vec::new();
    // Address and number of operands, then values.
    let rest = told.content.get(letters.len()..).unwrap_or_default();
    if let (false, Some((space, digits))) = (told.is_reply, command.operand)
        && let Some(first) = number(part_at(rest, 0, 4)).and_then(|at| u32::try_from(at).ok())
        && let Some(count) = number(part_at(rest, 4, 2)).and_then(|at| u32::try_from(at).ok())
    {
        operation.object = Object::Range { space, first, count: count.max(1) };
        let values = rest.get(6..).unwrap_or_default();
        for (at, value) in (first..).zip(values.chunks_exact(digits)).take(count as usize) {
            if let Some(number) = number(value) {
                let object = Object::Range { space, first: at, count: 1 };
                let evidence = input.evidence(value, Decode::Derived);
                written.push((object, Value::Integer(number), evidence));
            }
        }
    }
    Request { operation, written }
}

/// What a controller says of itself: model code, hardware, version, build.
fn identity(input: &Input<'_>, told: &Text<'_>, out: &mut Out) {
    let Some(([b'I', b'D', rest @ ..], _)) = told.content.split_at_checked(17) else { return };
    let (code, hardware) = (text::trim(part_at(rest, 0, 6)), part_at(rest, 6, 1));
    let mut say = |attribute, part: &[u8], value: Option<CompactString>| {
        claim(input, told.unit, (attribute, "identify"), part, value, out);
    };
    say("vendor", code, Some("Unitronics".into()));
    say("pcom_model_code", code, None);
    if let Some(name) = model(code) {
        say("model", code, Some(name.into()));
    }
    say("hardware", hardware, None);
    let version = part_at(rest, 7, 8);
    let part = |at, length| {
        std::str::from_utf8(part_at(version, at, length)).ok()?.trim().parse::<u16>().ok()
    };
    if let (Some(major), Some(minor), Some(build)) = (part(0, 3), part(3, 3), part(6, 2)) {
        let value = compact_str::format_compact!("{major}.{minor} build {build}");
        say("firmware", version, Some(value));
    }
}

/// What a unit says of itself: text as it stands, or a value derived from it.
fn claim(
    input: &Input<'_>,
    unit: u32,
    (attribute, message): (&'static str, &'static str),
    part: &[u8],
    value: Option<CompactString>,
    out: &mut Out,
) {
    let part = text::trim(part);
    let decode = if value.is_some() { Decode::Derived } else { Decode::Utf8 };
    out.claim(Claim {
        who: Who::Sender(child(unit)),
        attribute,
        value: value.unwrap_or_else(|| text::utf8(part)),
        protocol: NAME,
        message,
        confidence: Confidence::High,
        evidence: input.evidence(part, decode),
    });
}

impl Session for Pcom {
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
                    if !self.frame(input, &frame, out) && !input.truncated {
                        let part = part_at(frame.all, 0, 32);
                        out.push(input.violation(NAME, "pcom-frame", part));
                    }
                    *input.side.of(&mut self.synchronised) = true;
                    used += frame.all.len();
                }
                Front::Incomplete => break,
                Front::Foreign => {
                    if std::mem::take(input.side.of(&mut self.synchronised)) && !input.truncated {
                        out.push(input.violation(NAME, "pcom-frame", part_at(rest, 0, 32)));
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

    fn whole(transaction: u8, mode: u8, message: &[u8]) -> Vec<u8> {
        let mut bytes = vec![transaction, 0, mode, 0];
        bytes.extend((message.len() as u16).to_le_bytes());
        bytes.extend_from_slice(message);
        bytes
    }

    fn ask(transaction: u8, content: &str) -> Vec<u8> {
        text_frame(transaction, "/", content)
    }

    fn reply(transaction: u8, content: &str) -> Vec<u8> {
        text_frame(transaction, "/A", content)
    }

    fn text_frame(transaction: u8, start: &str, content: &str) -> Vec<u8> {
        let sum = content.bytes().fold(0_u8, u8::wrapping_add);
        whole(transaction, ASCII, format!("{start}{content}{sum:02X}\r").as_bytes())
    }

    fn binary_frame(transaction: u8, command: u8, data: &[u8]) -> Vec<u8> {
        let mut message = BINARY_START.to_vec();
        message.extend(if command & REPLY == 0 { [0, 0xfe] } else { [0xfe, 0] });
        message.extend([1, 0, 0, 0, command, 0, 0, 0, 0, 0, 0, 0]);
        message.extend((data.len() as u16).to_le_bytes());
        let sum = message.iter().fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
        message.extend(0_u16.wrapping_sub(sum).to_le_bytes());
        message.extend_from_slice(data);
        message.extend([0, 0, BINARY_END]);
        whole(transaction, BINARY, &message)
    }

    #[test]
    fn the_checksum_is_that_of_the_public_script() {
        // ID of unit 0: the letters 0, 0, I, D add up to 0xed.
        assert_eq!(b"/00IDED\r", &ask(1, "00ID")[HEADER..]);
    }

    #[test]
    fn a_controller_identifies_itself() {
        let name = b"Press 4\0";
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &ask(1, "00ID")),
                (Side::B, &reply(1, "00ID13T38 A00300941B000")),
                (Side::A, &binary_frame(2, GET_NAME, &[])),
                (Side::B, &binary_frame(2, GET_NAME | REPLY, name)),
                (Side::A, &ask(3, "00RNJ000901")),
                (Side::B, &reply(3, "00RN0012D687")),
            ],
        );
        let told = testing::claims(&items);
        let told: Vec<_> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(
            vec![
                ("vendor", "Unitronics"),
                ("pcom_model_code", "13T38"),
                ("model", "V130-33-T38"),
                ("hardware", "A"),
                ("firmware", "3.9 build 41"),
                ("name", "Press 4"),
                ("serial", "0x0012d687"),
            ],
            told
        );
        assert_eq!(
            vec![
                ("identify", String::new(), Outcome::Ok),
                ("get-name", String::new(), Outcome::Ok),
                ("read-system-double-words", "SDW 9".to_owned(), Outcome::Ok),
            ],
            testing::operations(&items)
        );
    }

    #[test]
    fn written_values_are_changes() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &ask(1, "03SW000A0200640065")),
                (Side::B, &reply(1, "03SW")),
                (Side::A, &ask(2, "03SW000A010001")),
                (Side::B, &reply(2, "03SW")),
                (Side::A, &ask(3, "00CCS")),
            ],
        );
        let changes: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Change(change) => Some((
                    change.object.to_text().to_string(),
                    change.old.clone(),
                    change.new.clone(),
                    change.server_child.to_text().to_string(),
                )),
                _ => None,
            })
            .collect();
        let unit = "pcom-unit 3".to_owned();
        let integer = Value::Integer;
        assert_eq!(
            vec![
                ("MI 10".to_owned(), None, integer(100), unit.clone()),
                ("MI 11".to_owned(), None, integer(101), unit.clone()),
                ("MI 10".to_owned(), Some(integer(100)), integer(1), unit),
            ],
            changes
        );
        let told = testing::operations(&items);
        assert_eq!(Some(&("stop", String::new(), Outcome::Unseen)), told.last());
    }

    #[test]
    fn a_wrong_checksum_is_a_violation() {
        let mut wrong = ask(1, "00CCS");
        let at = wrong.len() - 2;
        wrong[at] = b'0';
        let items = testing::items(&PROTOCOL, &[(Side::A, &ask(1, "00ID")), (Side::A, &wrong)]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "pcom-frame")));
        assert_eq!(1, testing::operations(&items).len());
    }

    #[test]
    fn the_probe_knows_its_own() {
        let good = ask(1, "00ID");
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &good)));
        let name = binary_frame(2, GET_NAME, &[]);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &name)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &good[..9])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &ask(1, "00ZZ"))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let messages = [
            (Side::A, ask(1, "00ID")),
            (Side::B, reply(1, "00ID13T38 A00300941B000")),
            (Side::A, ask(2, "03SW000A0200640065")),
            (Side::B, reply(2, "03SW")),
            (Side::B, binary_frame(3, GET_NAME | REPLY, b"Press 4")),
        ];
        let messages: Vec<_> =
            messages.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
