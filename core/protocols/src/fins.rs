//! OMRON FINS: commands to controllers of the CS, CJ, CP, CV and NJ/NX series, over UDP and TCP.
//!
//! Sources: OMRON W342 "SYSMAC CS/CJ/CP/One NSJ Communications Commands" section 5 (header,
//! commands, memory areas, end codes); W227 "FINS Commands" (CV series: areas 0x00 to 0x81, commands
//! 0x08xx, 0x26xx); W421 "Ethernet Units, Construction of Applications" §7-4 (FINS/TCP).
//!
//! The code of an operation is the command, main and sub code. Commands that carry the bit
//! "response not required" end without one. FINS/TCP's own messages are `omron-fins-transport`.
//!
//! Rules broken on the wire:
//! * `fins-length`: a FINS/TCP header or a command is shorter than its fields.
//!
//! Not decoded: routes to other networks, file names, program contents, unit models of a connection
//! data read.

use compact_str::{CompactString, format_compact};
use otic_wire::{Cursor, Short};

use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Decode, Event, Evidence, Item, Object, Operation, Out, Outcome, Value,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// OMRON FINS.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "OMRON FINS",
    roles: ("FINS client", "FINS server"),
    carriers: &[Carrier::Udp(&[PORT]), Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Fins::new()) },
    source: "OMRON W342 section 5, W227, W421 §7-4",
};

const NAME: &str = "omron-fins";
const TRANSPORT: &str = "omron-fins-transport";
const PORT: u16 = 9600;

/// Information control field: the message is a response; a response is not required.
const RESPONSE: u8 = 0x40;
const NO_RESPONSE: u8 = 0x01;

const MEMORY_AREA_READ: u16 = 0x0101;
const MEMORY_AREA_WRITE: u16 = 0x0102;
const MEMORY_AREA_FILL: u16 = 0x0103;
const MULTIPLE_MEMORY_AREA_READ: u16 = 0x0104;
const MEMORY_AREA_TRANSFER: u16 = 0x0105;
const RUN: u16 = 0x0401;
const CONTROLLER_DATA_READ: u16 = 0x0501;
const CONTROLLER_STATUS_READ: u16 = 0x0601;

/// FINS/TCP: magic number, and commands.
const MAGIC: &[u8] = b"FINS";
const CONNECT: u32 = 0;
const CONNECTED: u32 = 1;
const SEND: u32 = 2;

/// Length of a FINS/TCP header and of a FINS header with its command.
const TCP_HEADER: usize = 16;
const HEADER: usize = 12;
/// Largest FINS message (W342 §3-1: 2,012 bytes with its header), with room for later ones.
const LARGEST: usize = 8192;

/// Requests of one flow that may wait at once.
const WAITING: usize = 64;
/// Values remembered to tell the old value of a write, and the longest.
const REMEMBERED: usize = 64;
const VALUE: usize = 512;
/// Most areas of a multiple read that an object names.
const SPELLED: usize = 8;

/// Name and action of a command.
const fn command(code: u16) -> Option<(&'static str, Action)> {
    Some(match code {
        MEMORY_AREA_READ => ("memory-area-read", Action::Read),
        MEMORY_AREA_WRITE => ("memory-area-write", Action::Write),
        MEMORY_AREA_FILL => ("memory-area-fill", Action::Write),
        MULTIPLE_MEMORY_AREA_READ => ("multiple-memory-area-read", Action::Read),
        MEMORY_AREA_TRANSFER => ("memory-area-transfer", Action::Write),
        0x0201 => ("parameter-area-read", Action::Read),
        0x0202 => ("parameter-area-write", Action::Configuration),
        0x0203 => ("parameter-area-clear", Action::Configuration),
        0x0220 => ("data-link-table-read", Action::Read),
        0x0221 => ("data-link-table-write", Action::Configuration),
        0x0304 => ("program-area-protect", Action::Configuration),
        0x0305 => ("program-area-protect-clear", Action::Configuration),
        0x0306 => ("program-area-read", Action::ProgramUpload),
        0x0307 => ("program-area-write", Action::ProgramDownload),
        0x0308 => ("program-area-clear", Action::ProgramDownload),
        RUN => ("run", Action::Start),
        0x0402 => ("stop", Action::Stop),
        0x0403 => ("reset", Action::Reset),
        CONTROLLER_DATA_READ => ("controller-data-read", Action::Identify),
        0x0502 => ("connection-data-read", Action::Identify),
        CONTROLLER_STATUS_READ => ("controller-status-read", Action::Diagnostics),
        0x0602 => ("network-status-read", Action::Diagnostics),
        0x0603 => ("data-link-status-read", Action::Diagnostics),
        0x0620 => ("cycle-time-read", Action::Diagnostics),
        0x0701 => ("clock-read", Action::Read),
        0x0702 => ("clock-write", Action::Configuration),
        0x0801 => ("loop-back-test", Action::Diagnostics),
        0x0802 => ("broadcast-test-results-read", Action::Diagnostics),
        0x0803 => ("broadcast-test-data-send", Action::Diagnostics),
        0x0920 => ("message-read-clear", Action::Diagnostics),
        0x0c01 => ("access-right-acquire", Action::Session),
        0x0c02 => ("access-right-forced-acquire", Action::Session),
        0x0c03 => ("access-right-release", Action::Session),
        0x2101 => ("error-clear", Action::Control),
        0x2102 => ("error-log-read", Action::Diagnostics),
        0x2103 => ("error-log-clear", Action::Configuration),
        0x2140 => ("fins-write-access-log-read", Action::Diagnostics),
        0x2141 => ("fins-write-access-log-clear", Action::Configuration),
        0x2201 => ("file-name-read", Action::File),
        0x2202 => ("single-file-read", Action::File),
        0x2203 => ("single-file-write", Action::File),
        0x2204 => ("memory-card-format", Action::File),
        0x2205 => ("file-delete", Action::File),
        0x2206 => ("volume-label-create-delete", Action::File),
        0x2207 => ("file-copy", Action::File),
        0x2208 => ("file-name-change", Action::File),
        0x2209 => ("file-data-check", Action::File),
        0x220a => ("memory-area-file-transfer", Action::File),
        0x220b => ("parameter-area-file-transfer", Action::Configuration),
        0x220c => ("program-area-file-transfer", Action::ProgramDownload),
        0x220f => ("file-memory-index-read", Action::File),
        0x2210 => ("file-memory-read", Action::File),
        0x2211 => ("file-memory-write", Action::File),
        0x2215 => ("create-delete-directory", Action::File),
        0x2220 => ("memory-cassette-transfer", Action::ProgramDownload),
        0x2301 => ("forced-set-reset", Action::Control),
        0x2302 => ("forced-set-reset-cancel", Action::Control),
        0x230a => ("multiple-forced-status-read", Action::Read),
        0x2601 => ("name-set", Action::Configuration),
        0x2602 => ("name-delete", Action::Configuration),
        0x2603 => ("name-read", Action::Read),
        _ => return None,
    })
}

/// A memory area (W342 §5-2-2): its name, and whether it is addressed by bits.
fn area(code: u8) -> (&'static str, bool) {
    match code {
        0x00 | 0x30 | 0x40 | 0x70 => ("CIO", true),
        0x80 | 0xb0 | 0xc0 | 0xf0 => ("CIO", false),
        0x31 | 0x71 => ("W", true),
        0xb1 | 0xf1 => ("W", false),
        0x32 | 0x72 => ("H", true),
        0xb2 | 0xf2 => ("H", false),
        0x33 | 0x73 => ("A", true),
        0xb3 | 0xf3 => ("A", false),
        // Flags are one for each timer or counter: no bits.
        0x01 | 0x09 | 0x41 | 0x49 => ("T/C-flag", false),
        0x81 | 0x89 => ("T/C", false),
        0x02 | 0x42 => ("D", true),
        0x82 => ("D", false),
        0x0a => ("EM", true),
        0x98 => ("EM", false),
        0x20..=0x2c => (bank(code - 0x20), true),
        0x90..=0x97 => (bank(code - 0x90), false),
        0xa0..=0xac => (bank(code - 0xa0), false),
        0x06 | 0x46 => ("task-flag", false),
        0xdc => ("IR", false),
        0xbc => ("DR", false),
        _ => ("area", false),
    }
}

/// The name of a bank of the extended data memory.
fn bank(number: u8) -> &'static str {
    BANKS.get(usize::from(number)).copied().unwrap_or("EM")
}

const BANKS: [&str; 13] =
    ["E0", "E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8", "E9", "EA", "EB", "EC"];

/// A FINS message.
struct Message<'a> {
    control: u8,
    service_id: u8,
    command: u16,
    /// The command's bytes.
    code: &'a [u8],
    /// What follows the command.
    data: &'a [u8],
}

/// Reads a message; none for what is none.
fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let (header, data) = bytes.split_first_chunk::<HEADER>()?;
    let [control, reserved, gateways, dna, _da1, _da2, sna, _sa1, _sa2, service_id, mrc, src] =
        *header;
    let fits = control & 0x3e == 0 && reserved == 0 && gateways <= 7 && dna < 0x80 && sna < 0x80;
    let code = bytes.get(10..HEADER)?;
    let command = u16::from_be_bytes([mrc, src]);
    fits.then_some(Message { control, service_id, command, code, data })
}

fn probe(input: &Input<'_>) -> Probe {
    if input.transport == Transport::Tcp {
        let start = input.bytes.get(..MAGIC.len().min(input.bytes.len())).unwrap_or_default();
        return match input.bytes.get(4..12) {
            _ if !MAGIC.starts_with(start) => Probe::No,
            None => Probe::More,
            // length, command
            Some([0, 0, 0..=0x20, _, 0, 0, 0, 0..=6]) => Probe::Certain,
            Some(_) => Probe::No,
        };
    }
    let Some(message) = message(input.bytes) else { return Probe::No };
    if command(message.command).is_none()
        || message.control & RESPONSE != 0 && message.data.len() < 2
        || input.bytes.len() > LARGEST
    {
        return Probe::No;
    }
    // The gateway bit is set by all that do not stay within one network.
    if message.control & 0x80 != 0 { Probe::Likely } else { Probe::Weak }
}

/// Words or bits of a memory area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    code: u8,
    word: u16,
    bit: u8,
    count: u16,
}

impl Area {
    /// Reads area, address and bit; the number of items stands elsewhere.
    fn start(cursor: &mut Cursor<'_>) -> Result<Self, Short> {
        Ok(Self { code: cursor.u8()?, word: cursor.u16_be()?, bit: cursor.u8()?, count: 1 })
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Short> {
        let start = Self::start(cursor)?;
        Ok(Self { count: cursor.u16_be()?, ..start })
    }

    fn object(self) -> Object {
        match area(self.code) {
            ("area", _) => Object::Text(format_compact!(
                "area 0x{:02x} {} ×{}",
                self.code,
                self.word,
                self.count
            )),
            (name, true) if self.count <= 1 => {
                Object::Text(format_compact!("{name} {}.{:02}", self.word, self.bit))
            }
            (name, true) => Object::Text(format_compact!(
                "{name} {}.{:02} ×{}",
                self.word,
                self.bit,
                self.count
            )),
            (space, false) => Object::Range {
                space,
                first: u32::from(self.word),
                count: u32::from(self.count.max(1)),
            },
        }
    }
}

/// A value of a memory area, and how the bytes give it.
fn value(bytes: &[u8]) -> Option<(Value, Decode)> {
    match bytes {
        [] => None,
        [byte] => Some((Value::Integer(i64::from(*byte)), Decode::UnsignedBe)),
        [high, low] => {
            Some((Value::Integer(i64::from(u16::from_be_bytes([*high, *low]))), Decode::UnsignedBe))
        }
        _ if bytes.len() <= VALUE => Some((Value::Bytes(bytes.to_vec()), Decode::Hex)),
        _ => None,
    }
}

struct Request {
    operation: Box<Operation>,
    /// What is read or written, and what is written to it.
    area: Option<Area>,
    written: Option<(Value, Evidence)>,
}

struct Fins {
    /// Requests by sender, service id and command.
    pending: Pending<(Side, u8, u16), Request>,
    /// Values last read or written, oldest first.
    values: Vec<(Area, Value)>,
    connect: Option<Box<Operation>>,
    client_said: bool,
    synchronised: [bool; 2],
    reported: bool,
}

impl Fins {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            values: Vec::new(),
            connect: None,
            client_said: false,
            synchronised: [false; 2],
            reported: false,
        }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(side));
        }
    }

    const fn synchronised(&mut self, side: Side) -> &mut bool {
        side.of(&mut self.synchronised)
    }

    fn violation(&mut self, input: &Input<'_>, part: &[u8], out: &mut Out) {
        if !input.truncated && !std::mem::replace(&mut self.reported, true) {
            out.push(input.violation(NAME, "fins-length", part_at(part, 0, 32)));
        }
    }

    fn message(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        let words = command(message.command).unwrap_or(("unknown", Action::Diagnostics));
        if message.control & RESPONSE != 0 {
            self.response(input, message, words, out);
        } else {
            self.request(input, message, words, out);
        }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        message: &Message<'_>,
        words: (&'static str, Action),
        out: &mut Out,
    ) {
        self.say_client(input.side, out);
        let mut operation = describe(input, input.side, words, message.code);
        operation.code = Some(u32::from(message.command));
        let (mut area, mut written) = (None, None);
        match target(message) {
            Ok(target) => {
                operation.object = target.object;
                area = target.area;
                written = target
                    .written
                    .and_then(|bytes| Some((bytes, value(bytes)?)))
                    .map(|(bytes, (value, decode))| (value, input.evidence(bytes, decode)));
            }
            Err(_) => self.violation(input, message.code, out),
        }
        let request = Request { operation, area, written };
        if message.control & NO_RESPONSE != 0 {
            self.complete(request, Outcome::None, out);
            return;
        }
        let key = (input.side, message.service_id, message.command);
        if let Some(evicted) = self.pending.insert(key, request) {
            self.complete(evicted, Outcome::Unseen, out);
        }
    }

    fn response(
        &mut self,
        input: &Input<'_>,
        message: &Message<'_>,
        words: (&'static str, Action),
        out: &mut Out,
    ) {
        let client = input.side.other();
        self.say_client(client, out);
        let Some((end, data)) = message.data.split_first_chunk::<2>() else {
            self.violation(input, message.code, out);
            return;
        };
        // Relay errors and errors of the CPU are flags beside the end code (W342 §5-1-3).
        let refused = end.first().is_some_and(|main| main & 0x7f != 0)
            || end.last().is_some_and(|sub| sub & 0x3f != 0);
        let outcome = if refused { Outcome::Error } else { Outcome::Ok };
        if !refused {
            match message.command {
                CONTROLLER_DATA_READ => controller_data(input, data, out),
                CONTROLLER_STATUS_READ => controller_status(input, data, out),
                _ => {}
            }
        }
        let key = (client, message.service_id, message.command);
        match self.pending.take(&key) {
            Some(request) => {
                if !refused
                    && message.command == MEMORY_AREA_READ
                    && let Some(area) = request.area
                    && let Some((value, _)) = value(data)
                {
                    self.remember(area, value);
                }
                self.complete(request, outcome, out);
            }
            None => {
                let mut operation = describe(input, client, words, message.code);
                operation.code = Some(u32::from(message.command));
                operation.outcome = outcome;
                out.unpaired(operation);
            }
        }
    }

    fn remember(&mut self, area: Area, value: Value) -> Option<Value> {
        let known = self.values.iter().position(|(known, _)| *known == area);
        let old = known.map(|at| self.values.remove(at).1);
        if self.values.len() >= REMEMBERED {
            self.values.remove(0);
        }
        self.values.push((area, value));
        old
    }

    /// Pushes the operation and, unless refused, what it wrote.
    fn complete(&mut self, mut request: Request, outcome: Outcome, out: &mut Out) {
        request.operation.outcome = outcome;
        let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
        let object = request.operation.object.clone();
        out.operation(request.operation);
        if outcome == Outcome::Error {
            return;
        }
        if let (Some(area), Some((new, evidence))) = (request.area, request.written) {
            let old = self.remember(area, new.clone());
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender,
                server_child: Child::None,
                object,
                old,
                new,
                evidence,
                ts_ns,
            }));
        }
    }

    /// A FINS/TCP message, header and all.
    fn framed(&mut self, input: &Input<'_>, frame: &[u8], out: &mut Out) {
        let command = frame
            .get(8..12)
            .map_or(SEND, |bytes| bytes.iter().fold(0, |code, byte| code << 8 | u32::from(*byte)));
        let data = frame.get(TCP_HEADER..).unwrap_or_default();
        match command {
            SEND => match message(data) {
                Some(message) => self.message(input, &message, out),
                None => self.violation(input, frame, out),
            },
            CONNECT => {
                self.say_client(input.side, out);
                let mut operation =
                    describe(input, input.side, ("connect", Action::Session), frame);
                operation.protocol = TRANSPORT;
                operation.code = Some(CONNECT);
                if let Some(before) = self.connect.replace(operation) {
                    out.operation(before);
                }
            }
            CONNECTED => {
                let refused = frame.get(12..16).is_some_and(|error| *error != [0; 4]);
                if let Some(mut operation) = self.connect.take() {
                    operation.outcome = if refused { Outcome::Error } else { Outcome::Ok };
                    out.operation(operation);
                }
                // nodes of the client and of the server
                if let (false, Some([0, 0, 0, node])) = (refused, data.get(4..8)) {
                    out.claim(input.own_claim(
                        (NAME, "connect"),
                        "fins_node",
                        format_compact!("{node}"),
                        data.get(7..8).unwrap_or_default(),
                        Decode::UnsignedBe,
                    ));
                }
            }
            _ => {}
        }
    }
}

impl Session for Fins {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.transport != Transport::Tcp {
            if let Some(message) = message(input.bytes) {
                out.layer(NAME, input.side);
                self.message(input, &message, out);
            }
            return input.bytes.len();
        }
        if input.after_gap {
            *self.synchronised(input.side) = false;
        }
        let (mut used, mut layered) = (0, false);
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            let Some((header, _)) = rest.split_first_chunk::<8>() else { break };
            let [a, b, c, d, length @ ..] = *header;
            let length = u32::from_be_bytes(length) as usize;
            if [a, b, c, d] != *MAGIC || !(8..=LARGEST).contains(&length) {
                if std::mem::take(self.synchronised(input.side)) {
                    self.violation(input, rest, out);
                }
                return input.bytes.len();
            }
            let Some(frame) = rest.get(..8 + length) else { break };
            *self.synchronised(input.side) = true;
            if !std::mem::replace(&mut layered, true) {
                out.layer(NAME, input.side);
            }
            self.framed(input, frame, out);
            used += frame.len();
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some(connect) = self.connect.take() {
            out.operation(connect);
        }
        let waiting: Vec<Request> = self.pending.drain().collect();
        for request in waiting {
            self.complete(request, Outcome::Unseen, out);
        }
    }
}

/// What a command acts on.
#[derive(Default)]
struct Target<'a> {
    object: Object,
    area: Option<Area>,
    written: Option<&'a [u8]>,
}

fn target<'a>(message: &Message<'a>) -> Result<Target<'a>, Short> {
    let mut cursor = Cursor::new(message.data);
    Ok(match message.command {
        MEMORY_AREA_READ => {
            let area = Area::read(&mut cursor)?;
            Target { object: area.object(), area: Some(area), written: None }
        }
        // A fill has one word for the whole area.
        MEMORY_AREA_WRITE | MEMORY_AREA_FILL => {
            let area = Area::read(&mut cursor)?;
            Target { object: area.object(), area: Some(area), written: Some(cursor.rest()) }
        }
        MULTIPLE_MEMORY_AREA_READ => {
            let mut list = CompactString::default();
            let mut count = 0;
            while !cursor.is_empty() {
                let area = Area::start(&mut cursor)?;
                if count < SPELLED {
                    if count > 0 {
                        list.push_str(", ");
                    }
                    list.push_str(&area.object().to_text());
                }
                count += 1;
            }
            if count > SPELLED {
                list.push_str(&format_compact!(", +{}", count - SPELLED));
            }
            let object = if list.is_empty() { Object::None } else { Object::Text(list) };
            Target { object, ..Target::default() }
        }
        MEMORY_AREA_TRANSFER => {
            let (from, to) = (Area::start(&mut cursor)?, Area::start(&mut cursor)?);
            let count = cursor.u16_be()?;
            let (from, to) = (Area { count, ..from }, Area { count, ..to });
            let text = format_compact!("{} to {}", from.object().to_text(), to.object().to_text());
            Target { object: Object::Text(text), ..Target::default() }
        }
        0x0201..=0x0203 => {
            let parameter = cursor.u16_be()?;
            let object = Object::Text(format_compact!("parameter-area 0x{parameter:04x}"));
            Target { object, ..Target::default() }
        }
        RUN => {
            // program number, mode: both may be left out
            let mode = match cursor.u16_be().and_then(|_| cursor.u8()) {
                Ok(2) => Object::Text("monitor".into()),
                Ok(4) => Object::Text("run".into()),
                _ => Object::None,
            };
            Target { object: mode, ..Target::default() }
        }
        _ => Target::default(),
    })
}

/// Model and version of the controller, 20 characters each (W342 §5-3-15). A command with parameter
/// 1 asks for the second part of the data, which has none.
fn controller_data(input: &Input<'_>, data: &[u8], out: &mut Out) {
    let told_in = (NAME, "controller-data-read");
    if let (Some(model), Some(version)) = (data.get(..20), data.get(20..40))
        && text::is_printable(text::trim(model))
        && text::is_printable(text::trim(version))
    {
        out.claim(input.own_text(told_in, "model", model));
        out.claim(input.own_text(told_in, "firmware", version));
    }
}

/// Whether the controller runs, and in which mode (W342 §5-3-17).
fn controller_status(input: &Input<'_>, data: &[u8], out: &mut Out) {
    let [status, mode, ..] = *data else { return };
    let status = match status {
        0x00 => "stop",
        0x01 => "run",
        0x80 => "standby",
        _ => "other",
    };
    let mode = match mode {
        0 => "program",
        1 => "debug",
        2 => "monitor",
        4 => "run",
        _ => "other",
    };
    out.push(Item::Event(Event {
        kind: "controller-status",
        protocol: NAME,
        sender: input.side,
        values: vec![("mode", mode.into()), ("status", status.into())],
        evidence: input.locate(data.get(..2).unwrap_or(data)),
    }));
}

fn describe(
    input: &Input<'_>,
    sender: Side,
    (name, action): (&'static str, Action),
    evidence: &[u8],
) -> Box<Operation> {
    Box::new(input.operation(NAME, sender, (name, action), evidence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// FINS over TCP only: for the checks that cut streams.
    const OVER_TCP: Protocol = Protocol { carriers: &[Carrier::Tcp(&[PORT])], ..PROTOCOL };

    fn fins(control: u8, service_id: u8, command: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![control, 0, 2, 0, 1, 0, 0, 9, 0, service_id];
        bytes.extend(command.to_be_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    fn request(service_id: u8, command: u16, data: &[u8]) -> Vec<u8> {
        fins(0x80, service_id, command, data)
    }

    fn response(service_id: u8, command: u16, data: &[u8]) -> Vec<u8> {
        fins(0xc0, service_id, command, data)
    }

    fn framed(command: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([0, 0, 0, 8 + data.len() as u8, 0, 0, 0, command, 0, 0, 0, 0]);
        bytes.extend_from_slice(data);
        bytes
    }

    type Told = (&'static str, Option<u32>, String, Outcome);

    fn operations(items: &[Item]) -> Vec<Told> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(operation) => Some((
                    operation.name,
                    operation.code,
                    operation.object.to_text().to_string(),
                    operation.outcome,
                )),
                _ => None,
            })
            .collect()
    }

    fn changes(items: &[Item]) -> Vec<(Option<Value>, Value)> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Change(change) => Some((change.old.clone(), change.new.clone())),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_word_that_is_written_tells_its_old_value() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(1, 0x0101, &[0x82, 0, 100, 0, 0, 1])),
                (Side::B, &response(1, 0x0101, &[0, 0, 0, 7])),
                (Side::A, &request(2, 0x0102, &[0x82, 0, 100, 0, 0, 1, 0, 9])),
                (Side::B, &response(2, 0x0102, &[0, 0])),
                (Side::A, &request(3, 0x0102, &[0x82, 0, 100, 0, 0, 1, 0, 8])),
                (Side::B, &response(3, 0x0102, &[0x21, 0x08])),
            ],
        );
        let object = "D 100".to_owned();
        assert_eq!(
            vec![
                ("memory-area-read", Some(0x0101), object.clone(), Outcome::Ok),
                ("memory-area-write", Some(0x0102), object.clone(), Outcome::Ok),
                ("memory-area-write", Some(0x0102), object, Outcome::Error),
            ],
            operations(&items)
        );
        assert_eq!(vec![(Some(Value::Integer(7)), Value::Integer(9))], changes(&items));
    }

    #[test]
    fn a_fill_tells_its_word() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(1, 0x0103, &[0x82, 0, 30, 0, 0, 4, 0, 7])),
                (Side::B, &response(1, 0x0103, &[0, 0])),
            ],
        );
        let object = "D 30-33".to_owned();
        assert_eq!(
            vec![("memory-area-fill", Some(0x0103), object, Outcome::Ok)],
            operations(&items)
        );
        assert_eq!(vec![(None, Value::Integer(7))], changes(&items));
    }

    #[test]
    fn bits_ranges_and_transfers_are_named() {
        let objects: Vec<_> = operations(&testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(1, 0x0101, &[0x30, 0, 10, 3, 0, 1])),
                (Side::A, &request(2, 0x0101, &[0xb1, 0, 0, 0, 0, 4])),
                (Side::A, &request(3, 0x0104, &[0x82, 0, 1, 0, 0xa1, 0, 2, 0])),
                (Side::A, &request(4, 0x0105, &[0x82, 0, 1, 0, 0x82, 0, 9, 0, 0, 2])),
                (Side::A, &request(5, 0x0401, &[0xff, 0xff, 2])),
            ],
        ))
        .into_iter()
        .map(|(_, _, object, _)| object)
        .collect();
        assert_eq!(["CIO 10.03", "W 0-3", "D 1, E1 2", "D 1-2 to D 9-10", "monitor"], *objects);
    }

    #[test]
    fn a_controller_says_what_it_is_and_whether_it_runs() {
        let mut data = vec![0, 0];
        data.extend(b"CJ2M-CPU33          ");
        data.extend(b"02.01               ");
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(1, 0x0501, &[0])),
                (Side::B, &response(1, 0x0501, &data)),
                (Side::A, &request(2, 0x0601, &[])),
                (Side::B, &response(2, 0x0601, &[0, 0x40, 1, 4])),
            ],
        );
        let claims: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Claim(claim) => Some((claim.attribute, claim.value.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(vec![("model", "CJ2M-CPU33"), ("firmware", "02.01")], claims);
        assert!(items.iter().any(|item| matches!(
            item,
            Item::Event(event) if event.values == [("mode", "run".into()), ("status", "run".into())]
        )));
        let outcomes: Vec<_> = operations(&items).into_iter().map(|(.., end)| end).collect();
        assert_eq!(vec![Outcome::Ok, Outcome::Ok], outcomes);
    }

    #[test]
    fn the_second_part_of_controller_data_is_no_identity() {
        let mut data = vec![0, 0, 1, 11];
        data.extend([0; 60]);
        let items = testing::items(
            &PROTOCOL,
            &[(Side::A, &request(1, 0x0501, &[1])), (Side::B, &response(1, 0x0501, &data))],
        );
        assert!(!items.iter().any(|item| matches!(item, Item::Claim(_))));
    }

    #[test]
    fn a_command_without_response_ends_at_once() {
        let quiet = fins(0x81, 1, 0x0402, &[]);
        let items = testing::items(&PROTOCOL, &[(Side::A, &quiet)]);
        assert_eq!(vec![("stop", Some(0x0402), String::new(), Outcome::None)], operations(&items));
    }

    #[test]
    fn over_tcp_the_connection_has_its_own_messages() {
        let items = testing::items(
            &OVER_TCP,
            &[
                (Side::A, &framed(0, &[0; 4])),
                (Side::B, &framed(1, &[0, 0, 0, 9, 0, 0, 0, 1])),
                (Side::A, &framed(2, &request(1, 0x0701, &[]))),
                (Side::B, &framed(2, &response(1, 0x0701, &[0, 0, 0x26, 1]))),
            ],
        );
        assert_eq!(
            vec![
                ("connect", Some(0), String::new(), Outcome::Ok),
                ("clock-read", Some(0x0701), String::new(), Outcome::Ok),
            ],
            operations(&items)
        );
        assert!(items.iter().any(
            |item| matches!(item, Item::Claim(claim) if claim.attribute == "fins_node" && claim.value == "1")
        ));
    }

    #[test]
    fn a_command_cut_short_is_a_violation_and_other_bytes_are_not_taken() {
        let short = request(1, 0x0101, &[0x82, 0]);
        let items = testing::items(&PROTOCOL, &[(Side::A, &short)]);
        assert!(items.iter().any(
            |item| matches!(item, Item::Violation(violation) if violation.rule == "fins-length")
        ));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &short)));
        // RTP: version 2, payload type 0, a sequence number, a source
        let rtp = [0x80, 0, 0x40, 0x12, 0, 0, 0, 0xa0, 0x12, 0x34, 0x56, 0x78, 1, 2];
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &rtp)));
        assert_eq!(Probe::No, testing::probe(&OVER_TCP, (Side::A, b"FIN? no")));
        assert_eq!(Probe::More, testing::probe(&OVER_TCP, (Side::A, b"FINS")));
    }

    #[test]
    fn survives_anything() {
        let read = request(1, 0x0101, &[0x82, 0, 100, 0, 0, 1]);
        let told = response(1, 0x0101, &[0, 0, 0, 7]);
        let write = request(2, 0x0102, &[0x82, 0, 100, 0, 0, 1, 0, 9]);
        let done = response(2, 0x0102, &[0, 0]);
        let sides = [Side::A, Side::B, Side::A, Side::B];
        let messages = [&read, &told, &write, &done];
        let plain: Vec<_> =
            sides.into_iter().zip(messages.iter().map(|bytes| bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &plain);
        let streams = messages.map(|bytes| framed(2, bytes));
        let streams: Vec<_> = sides.into_iter().zip(streams.iter().map(Vec::as_slice)).collect();
        testing::survives(&OVER_TCP, &streams);
    }
}
