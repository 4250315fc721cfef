//! Emerson ROC and ROC Plus: flow computers and remote terminal units of the ROC and FloBoss series,
//! over TCP and UDP.
//!
//! Sources:
//! * Frame, opcodes, lengths and fields of requests and responses: "ROC Plus Protocol
//!   Specifications Manual" (Emerson, October 2022), chapter 2, as the public implementation ICSNPP
//!   ROC Plus names them.
//! * Further opcodes of ROC (0, 2, 103, 117, 120 to 130, 165): "ROC Protocol Specifications Manual"
//!   (Emerson D301053X012), as a host program's documentation lists them (autosol ROC driver).
//! * Check: CRC-16 from 0xFFFF over the frame, low byte first, as in all frames of icsnpp-roc-plus
//!   all_opcodes_udp.pcap.
//!
//! Frames have no transaction number: a response belongs to the oldest request of its opcode, an
//! error indicator (opcode 255) to the oldest request at all.
//!
//! Rules broken on the wire:
//! * `roc-plus-crc`: inside a session, the check of a frame is wrong.
//!
//! Not decoded: the system configuration, data of history, alarms, events and transactions,
//! parameters whose length only their point type tells, peer-to-peer messages, what is stored and
//! forwarded.

use compact_str::{CompactString, format_compact};
use otic_wire::Cursor;

use crate::crc::crc16;
use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Decode, Event, Evidence, Item, Object, Operation, Out, Outcome, Value,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// Emerson ROC Plus.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "ROC Plus",
    roles: ("ROC host", "ROC device"),
    carriers: &[Carrier::Tcp(&[PORT]), Carrier::Udp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Roc::new()) },
    source: "Emerson ROC Plus Protocol Specifications Manual (2022), chapter 2; ROC opcodes of D301053X012",
};

const NAME: &str = "roc-plus";
const PORT: u16 = 4000;

/// Destination unit and group, source unit and group, opcode, length of the data.
const HEADER: usize = 6;
/// Header and check.
const AROUND: usize = HEADER + 2;

const SYSTEM_CONFIGURATION: u8 = 6;
const WRITE_CONFIGURABLE_OPCODE: u8 = 11;
const LOGIN: u8 = 17;
const SET_SINGLE_POINT: u8 = 166;
const READ_SINGLE_POINT: u8 = 167;
const READ_PARAMETERS: u8 = 180;
const WRITE_PARAMETERS: u8 = 181;
const FILE_TRANSFER: u8 = 203;
const ERROR_INDICATOR: u8 = 255;

/// Requests of one flow that may wait at once.
const WAITING: usize = 64;

/// Name and action of an opcode.
const fn opcode(code: u8) -> Option<(&'static str, Action)> {
    Some(match code {
        0 => ("general-update", Action::Read),
        2 => ("read-test-data", Action::Diagnostics),
        SYSTEM_CONFIGURATION => ("read-system-configuration", Action::Identify),
        7 => ("read-real-time-clock", Action::Read),
        8 => ("set-real-time-clock", Action::Configuration),
        10 => ("read-configurable-opcode-data", Action::Read),
        WRITE_CONFIGURABLE_OPCODE => ("write-configurable-opcode-data", Action::Write),
        LOGIN => ("login", Action::Authenticate),
        24 => ("store-and-forward", Action::Session),
        50 => ("request-io-point-position", Action::Read),
        100 => ("access-user-defined-information", Action::Read),
        103 => ("read-power-times", Action::Diagnostics),
        105 => ("request-minimum-maximum-values", Action::Read),
        108 => ("request-history-tag", Action::Read),
        117 => ("read-weights-and-measures-events", Action::Diagnostics),
        118 => ("request-alarm-data", Action::Diagnostics),
        119 => ("request-event-data", Action::Diagnostics),
        120 => ("read-log-pointers", Action::Diagnostics),
        121 => ("read-alarms", Action::Diagnostics),
        122 => ("read-events", Action::Diagnostics),
        126 => ("read-last-60-minutes", Action::Read),
        128 => ("read-history-of-day", Action::Read),
        130 => ("read-history-of-hours", Action::Read),
        135 => ("request-single-history-point-data", Action::Read),
        136 => ("request-multiple-history-point-data", Action::Read),
        137 => ("request-history-index", Action::Read),
        138 => ("request-daily-and-periodic-history", Action::Read),
        139 => ("history-information-data", Action::Read),
        165 => ("read-history-configuration", Action::Read),
        SET_SINGLE_POINT => ("set-single-point-parameters", Action::Write),
        READ_SINGLE_POINT => ("request-single-point-parameters", Action::Read),
        READ_PARAMETERS => ("request-parameters", Action::Read),
        WRITE_PARAMETERS => ("write-parameters", Action::Write),
        FILE_TRANSFER => ("general-file-transfer", Action::File),
        205 => ("peer-to-peer-network-message", Action::Session),
        206 => ("read-transaction-history-data", Action::Read),
        224 => ("report-by-exception", Action::Subscribe),
        225 => ("acknowledge-report-by-exception", Action::Subscribe),
        ERROR_INDICATOR => ("error-indicator", Action::Diagnostics),
        _ => return None,
    })
}

/// One frame.
struct Frame<'a> {
    to: [u8; 2],
    from: [u8; 2],
    opcode: u8,
    data: &'a [u8],
    all: &'a [u8],
}

/// What stands at the front of the bytes.
enum Front<'a> {
    Frame(Frame<'a>),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else {
        // An opcode that is not known is no frame.
        return match bytes.get(4) {
            Some(code) if opcode(*code).is_none() => Front::Foreign,
            _ => Front::Incomplete,
        };
    };
    let [to_unit, to_group, from_unit, from_group, code, length] = *header;
    if opcode(code).is_none() {
        return Front::Foreign;
    }
    let Some(all) = bytes.get(..AROUND + usize::from(length)) else { return Front::Incomplete };
    let [checked @ .., low, high] = all else { return Front::Foreign };
    if crc16(0xffff, checked) != u16::from_le_bytes([*low, *high]) {
        return Front::Foreign;
    }
    Front::Frame(Frame {
        to: [to_unit, to_group],
        from: [from_unit, from_group],
        opcode: code,
        data: checked.get(HEADER..).unwrap_or_default(),
        all,
    })
}

/// Whether the bytes are one frame.
#[must_use]
pub fn is_frame(bytes: &[u8]) -> bool {
    matches!(front(bytes), Front::Frame(frame) if frame.all.len() == bytes.len())
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        // A check of 16 bits alone is right by chance too often: on another port two frames, or one
        // that fills its segment, must fit.
        Front::Frame(frame) if input.on_port(PORT) || frame.all.len() == input.bytes.len() => {
            Probe::Likely
        }
        Front::Frame(frame) => {
            let rest = input.bytes.get(frame.all.len()..).unwrap_or_default();
            if matches!(front(rest), Front::Frame(_)) { Probe::Likely } else { Probe::No }
        }
        Front::Incomplete if input.transport == Transport::Tcp && input.on_port(PORT) => {
            Probe::More
        }
        Front::Incomplete | Front::Foreign => Probe::No,
    }
}

/// A request that waits for its response.
struct Request {
    operation: Box<Operation>,
    opcode: u8,
    written: Option<(Value, Evidence)>,
    login: Option<CompactString>,
}

struct Roc {
    client: Option<Side>,
    client_said: bool,
    pending: Pending<u8, Request>,
    synchronised: [bool; 2],
    reported: bool,
}

impl Roc {
    const fn new() -> Self {
        Self {
            client: None,
            client_said: false,
            pending: Pending::new(WAITING),
            synchronised: [false; 2],
            reported: false,
        }
    }

    /// Whether the frame is the host's: by the port, else by the length that only one of request
    /// and response has.
    fn is_request(&mut self, input: &Input<'_>, frame: &Frame<'_>) -> bool {
        if let Some(client) = self.client {
            return client == input.side;
        }
        let to_device = input.destination_port == PORT;
        let is_request = if to_device != (input.source_port == PORT) {
            to_device
        } else {
            match (frame.opcode, frame.data.len()) {
                (SYSTEM_CONFIGURATION | 7, length) => length == 0,
                (
                    8 | WRITE_CONFIGURABLE_OPCODE | 24 | SET_SINGLE_POINT | WRITE_PARAMETERS,
                    length,
                ) => length > 0,
                (LOGIN, length) => !matches!(length, 0 | 24 | 30),
                (READ_SINGLE_POINT, length) => length == 4,
                (ERROR_INDICATOR, _) => false,
                _ => true,
            }
        };
        self.client = Some(if is_request { input.side } else { input.side.other() });
        is_request
    }

    fn frame(&mut self, input: &Input<'_>, frame: &Frame<'_>, out: &mut Out) {
        let words = opcode(frame.opcode).unwrap_or(("unknown", Action::Diagnostics));
        if self.is_request(input, frame) {
            if !std::mem::replace(&mut self.client_said, true) {
                out.push(Item::Client(input.side));
            }
            out.layer_between(NAME, input.side, Child::None, device(frame.to));
            let mut operation = Box::new(input.operation(NAME, input.side, words, frame.all));
            operation.code = Some(u32::from(frame.opcode));
            operation.server_child = device(frame.to);
            let opcode = frame.opcode;
            let mut request = Request { operation, opcode, written: None, login: None };
            describe(&mut request, input, frame.data, out);
            if let Some(evicted) = self.pending.insert(opcode, request) {
                complete(evicted, Outcome::Unseen, out);
            }
            return;
        }
        out.layer_between(NAME, input.side, device(frame.from), Child::None);
        let refused = frame.opcode == ERROR_INDICATOR;
        let outcome = if refused { Outcome::Error } else { Outcome::Ok };
        let client = input.side.other();
        if refused {
            errors(input, client, frame.data, out);
        }
        let request = if refused { self.oldest() } else { self.pending.take(&frame.opcode) };
        let Some(request) = request else {
            let mut operation = input.operation(NAME, client, words, part_at(frame.all, 0, HEADER));
            operation.code = Some(u32::from(frame.opcode));
            operation.server_child = device(frame.from);
            operation.outcome = outcome;
            out.unpaired(operation);
            return;
        };
        if let Some(user) = &request.login {
            out.push(Item::Event(Event {
                kind: if refused { "login-failed" } else { "login" },
                protocol: NAME,
                sender: client,
                values: vec![("user", user.clone())],
                evidence: input.locate(part_at(frame.all, 0, HEADER)),
            }));
        }
        complete(request, outcome, out);
    }

    /// The request that waits longest.
    fn oldest(&mut self) -> Option<Request> {
        let mut waiting: Vec<Request> = self.pending.drain().collect();
        if waiting.is_empty() {
            return None;
        }
        let oldest = waiting.remove(0);
        for request in waiting {
            // There was room for all of them.
            let _none = self.pending.insert(request.opcode, request);
        }
        Some(oldest)
    }
}

/// A device by group and unit.
fn device([unit, group]: [u8; 2]) -> Child {
    Child::Text(format_compact!("roc {group}.{unit}"))
}

fn complete(mut request: Request, outcome: Outcome, out: &mut Out) {
    request.operation.outcome = outcome;
    let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
    let object = request.operation.object.clone();
    let server_child = request.operation.server_child.clone();
    out.operation(request.operation);
    if outcome != Outcome::Error
        && let Some((new, evidence)) = request.written
    {
        out.push(Item::Change(Change {
            protocol: NAME,
            connection: NAME,
            sender,
            server_child,
            object,
            old: None,
            new,
            evidence,
            ts_ns,
        }));
    }
}

/// Object, written value and user of a request.
fn describe(request: &mut Request, input: &Input<'_>, data: &[u8], out: &mut Out) -> Option<()> {
    let mut cursor = Cursor::new(data);
    let written = |raw: &[u8]| {
        (!raw.is_empty()).then(|| (Value::Bytes(raw.to_vec()), input.evidence(raw, Decode::Hex)))
    };
    match request.opcode {
        10 | WRITE_CONFIGURABLE_OPCODE => {
            let [table, first, count] = cursor.array().ok()?;
            request.operation.object = Object::Area {
                area: "table",
                number: u32::from(table),
                first: u32::from(first),
                count: u32::from(count.max(1)),
            };
            if request.opcode == WRITE_CONFIGURABLE_OPCODE {
                request.written = written(cursor.rest());
            }
        }
        LOGIN => login(request, input, data, out)?,
        SET_SINGLE_POINT | READ_SINGLE_POINT => {
            let [kind, number, count, first] = cursor.array().ok()?;
            let last = u16::from(first) + u16::from(count.max(1)) - 1;
            request.operation.object = Object::Text(if last > u16::from(first) {
                format_compact!("point {kind}.{number}: {first}-{last}")
            } else {
                format_compact!("point {kind}.{number}: {first}")
            });
            if request.opcode == SET_SINGLE_POINT {
                request.written = written(cursor.rest());
            }
        }
        READ_PARAMETERS | WRITE_PARAMETERS => {
            let count = cursor.u8().ok()?;
            let [kind, number, parameter] = cursor.array().ok()?;
            let name = format_compact!("point {kind}.{number}: {parameter}");
            request.operation.object = Object::Text(match count {
                0 | 1 => name,
                _ => format_compact!("{name}, +{}", count - 1),
            });
            // Where one value ends and the next point starts, only the types of points tell.
            if request.opcode == WRITE_PARAMETERS && count == 1 {
                request.written = written(cursor.rest());
            }
        }
        FILE_TRANSFER => {
            let command = cursor.u8().ok()?;
            let (name, path, file) = match (command, data.len()) {
                // options, path of 100 letters, name of 25
                (1, 127) => ("open-file", part_at(data, 2, 100), part_at(data, 102, 25)),
                (6, 126) => ("delete-file", part_at(data, 1, 100), part_at(data, 101, 25)),
                (6, 102 | 103) => ("read-directory", part_at(data, 1, 100), data.get(..0)?),
                (2, _) => ("read-file", data.get(..0)?, data.get(..0)?),
                (3, _) => ("write-file", data.get(..0)?, data.get(..0)?),
                (4, _) => ("close-file", data.get(..0)?, data.get(..0)?),
                _ => return None,
            };
            request.operation.name = name;
            let path =
                format_compact!("{}{}", text::utf8(text::trim(path)), text::utf8(text::trim(file)));
            if !path.is_empty() {
                request.operation.object = Object::Text(format_compact!("file {path}"));
            }
        }
        _ => {}
    }
    Some(())
}

/// The forms of opcode 17 differ in length: an operator of 3 letters with a number, or one of 30 with
/// a password of 40; a log-out repeats both before the word.
fn login(request: &mut Request, input: &Input<'_>, data: &[u8], out: &mut Out) -> Option<()> {
    let (user, leaves) = match data.len() {
        6 => (data.get(..3)?, false),
        11 => (data.get(..3)?, true),
        71 => (data.get(..30)?, false),
        76 => (data.get(..30)?, true),
        13 => {
            request.operation.name = "request-session-key";
            return Some(());
        }
        _ => return None,
    };
    let user = text::trim(user);
    if !text::is_printable(user) {
        return None;
    }
    request.operation.object = Object::Text(format_compact!("user {}", text::utf8(user)));
    if leaves {
        request.operation.name = "logout";
        request.operation.action = Action::Session;
        return Some(());
    }
    request.login = Some(text::utf8(user));
    out.push(Item::Event(Event {
        kind: "cleartext-credentials",
        protocol: NAME,
        sender: input.side,
        values: vec![("user", text::utf8(user))],
        evidence: input.locate(user),
    }));
    Some(())
}

/// Pairs of error code and the offset that it is about.
fn errors(input: &Input<'_>, client: Side, data: &[u8], out: &mut Out) {
    if let [code, _, ..] = data {
        out.push(Item::Event(Event {
            kind: "exception",
            protocol: NAME,
            sender: client,
            values: vec![("code", format_compact!("{code}"))],
            evidence: input.locate(part_at(data, 0, 2)),
        }));
    }
}

impl Session for Roc {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let stream = input.transport == Transport::Tcp;
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
                    self.frame(input, &frame, out);
                    used += frame.all.len();
                }
                Front::Incomplete if stream => break,
                Front::Incomplete | Front::Foreign => {
                    let known = std::mem::take(input.side.of(&mut self.synchronised));
                    if known && !input.truncated && !std::mem::replace(&mut self.reported, true) {
                        out.push(input.violation(NAME, "roc-plus-crc", part_at(rest, 0, 32)));
                    }
                    return input.bytes.len();
                }
            }
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        let waiting: Vec<Request> = self.pending.drain().collect();
        for request in waiting {
            complete(request, Outcome::Unseen, out);
        }
    }

    fn stream_cap(&self) -> usize {
        1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, coded_operations, events};

    /// Between host 3 of group 1 and device 7 of group 2.
    fn frame(side: Side, opcode: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = match side {
            Side::A => vec![7, 2, 3, 1],
            Side::B => vec![3, 1, 7, 2],
        };
        bytes.extend([opcode, data.len() as u8]);
        bytes.extend_from_slice(data);
        bytes.extend(crc16(0xffff, &bytes).to_le_bytes());
        bytes
    }

    fn talk(messages: &[(Side, u8, &[u8])]) -> Vec<Item> {
        let messages: Vec<_> = messages
            .iter()
            .map(|(side, opcode, data)| (*side, frame(*side, *opcode, data)))
            .collect();
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::items(&PROTOCOL, &messages)
    }

    #[test]
    fn requests_name_their_points_and_devices() {
        let items = talk(&[
            (Side::A, READ_SINGLE_POINT, &[10, 1, 3, 2]),
            (Side::B, READ_SINGLE_POINT, &[10, 1, 3, 2, 5, 6, 7]),
            (Side::A, WRITE_PARAMETERS, &[1, 10, 1, 4, 0x42]),
            (Side::B, WRITE_PARAMETERS, &[]),
            (Side::A, READ_PARAMETERS, &[2, 10, 1, 4, 11, 0, 1]),
            (Side::B, ERROR_INDICATOR, &[6, 2]),
            (Side::A, 7, &[]),
        ]);
        assert_eq!(
            vec![
                (
                    "request-single-point-parameters",
                    Some(167),
                    "point 10.1: 2-4".to_owned(),
                    Outcome::Ok
                ),
                ("write-parameters", Some(181), "point 10.1: 4".to_owned(), Outcome::Ok),
                ("request-parameters", Some(180), "point 10.1: 4, +1".to_owned(), Outcome::Error),
                ("read-real-time-clock", Some(7), String::new(), Outcome::Unseen),
            ],
            coded_operations(&items)
        );
        assert!(items.iter().any(|item| matches!(item, Item::Operation(op)
            if op.server_child == Child::Text("roc 2.7".into()))));
        assert!(items.iter().any(|item| matches!(item, Item::Change(change)
            if change.new == Value::Bytes(vec![0x42]))));
        assert!(events(&items).iter().any(|event| event.values == [("code", "6".into())]));
    }

    #[test]
    fn a_log_in_names_the_operator_and_never_the_password() {
        let mut long = b"OPERATOR                      ".to_vec();
        long.extend([b'x'; 41]);
        let items = talk(&[
            (Side::A, LOGIN, &[b'L', b'O', b'I', 0xe8, 0x03, 1]),
            (Side::B, LOGIN, &[]),
            (Side::A, LOGIN, &long),
            (Side::B, ERROR_INDICATOR, &[20, 0]),
        ]);
        let told: Vec<_> = events(&items)
            .iter()
            .map(|event| (event.kind, event.values.first().map(|(_, value)| value.to_string())))
            .collect();
        let want = [
            ("cleartext-credentials", "LOI"),
            ("login", "LOI"),
            ("cleartext-credentials", "OPERATOR"),
            ("exception", "20"),
            ("login-failed", "OPERATOR"),
        ];
        assert_eq!(want.map(|(kind, value)| (kind, Some(value.to_owned()))).as_slice(), told);
        assert!(!format!("{items:?}").contains("xxx"));
    }

    #[test]
    fn files_are_named() {
        let mut open = vec![1, 0];
        open.extend(b"/flash/data/");
        open.resize(102, 0);
        open.extend(b"config.ini");
        open.resize(127, 0);
        let items =
            talk(&[(Side::A, FILE_TRANSFER, &open), (Side::B, FILE_TRANSFER, &[1, 0, 0, 0, 1])]);
        assert_eq!(
            vec![("open-file", Some(203), "file /flash/data/config.ini".to_owned(), Outcome::Ok)],
            coded_operations(&items)
        );
    }

    #[test]
    fn the_probe_wants_a_right_check() {
        let read = frame(Side::A, 7, &[]);
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &read)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &read[..6])));
        let mut wrong = read.clone();
        wrong[7] ^= 1;
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &wrong)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
        let items = testing::items(&PROTOCOL, &[(Side::A, &read), (Side::A, &wrong)]);
        assert!(items.iter().any(
            |item| matches!(item, Item::Violation(violation) if violation.rule == "roc-plus-crc")
        ));
    }

    #[test]
    fn survives_hostile_bytes() {
        let messages = [
            (Side::A, frame(Side::A, READ_SINGLE_POINT, &[10, 1, 3, 2])),
            (Side::B, frame(Side::B, READ_SINGLE_POINT, &[10, 1, 3, 2, 5, 6, 7])),
            (Side::A, frame(Side::A, LOGIN, &[b'L', b'O', b'I', 0xe8, 0x03, 1])),
            (Side::B, frame(Side::B, ERROR_INDICATOR, &[6, 2])),
            (Side::A, frame(Side::A, FILE_TRANSFER, &[0; 127])),
        ];
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
