//! BSAP, the Bristol Standard Asynchronous Protocol of Emerson's (Bristol Babcock's) controllers:
//! serial frames over UDP, and BSAP over IP.
//!
//! Sources:
//! * Headers of local and global serial messages and of BSAP over IP, application and data base
//!   function codes: the public implementation ICSNPP BSAP, which follows Emerson's "Network
//!   Communications Application Programmer's Reference" D4052.
//! * Frame (DLE STX, doubled DLE, DLE ETX), check (reflected CRC-CCITT from 0xFFFF over the message
//!   and ETX), signal names and their count, the value of a write: frames 1 to 929 of icsnpp-bsap
//!   bsap-serial_example.pcapng.
//! * BSAP over IP is read as the public implementation describes it; no capture was at hand.
//!
//! Rules broken on the wire:
//! * `bsap-crc`: inside a session, the check of a serial frame is wrong.
//!
//! Not decoded: values of reads, lists, logical signals, what other application functions carry, the
//! extensions of gas flow computers.

use compact_str::{CompactString, format_compact};
use otic_wire::Cursor;

use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Decode, Evidence, Item, Object, Operation, Out, Outcome, Value,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// BSAP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "BSAP",
    roles: ("BSAP master", "BSAP slave"),
    carriers: &[Carrier::Udp(&[1234, 1235])],
    dissector: Dissector::Built { probe, session: || Box::new(Bsap::new()) },
    source: "Emerson D4052 as ICSNPP BSAP names it; observed in public captures",
};

const NAME: &str = "bsap";
const UNIT: &str = "bsap";

const DLE: u8 = 0x10;
const STX: u8 = 0x02;
const ETX: u8 = 0x03;
/// Bit of the address: the message is global, with addresses of the whole network.
const GLOBAL: u8 = 0x80;

/// Application functions: the master's own, and the remote data base.
const MASTER: u8 = 0x03;
const DATA_BASE: u8 = 0xa0;

const READ_SIGNAL_BY_NAME: u8 = 0x04;
const WRITE_SIGNAL_BY_NAME: u8 = 0x84;
/// Descriptor of a written value that four bytes of a real number follow.
const REAL: u8 = 0x0b;

/// Requests of one flow that may wait at once.
const WAITING: usize = 64;
/// Most names that an object spells out.
const SPELLED: usize = 8;
/// Values that are remembered to tell the old one.
const REMEMBERED: usize = 64;
/// Longest message.
const LARGEST: usize = 4096;

/// Name and action of a data base function.
const fn data_base(code: u8) -> Option<(&'static str, Action)> {
    Some(match code {
        0x00 => ("read-signal-by-address", Action::Read),
        0x02 => ("read-logical-by-address", Action::Read),
        READ_SIGNAL_BY_NAME => ("read-signal-by-name", Action::Read),
        0x06 => ("read-logical-by-name", Action::Read),
        0x0c => ("read-signal-by-list-start", Action::Read),
        0x0d => ("read-signal-by-list-continue", Action::Read),
        0x0e => ("read-logical-by-list-start", Action::Read),
        0x0f => ("read-logical-by-list-continue", Action::Read),
        0x80 => ("write-signal-by-address", Action::Write),
        WRITE_SIGNAL_BY_NAME => ("write-signal-by-name", Action::Write),
        0x8c => ("write-signal-by-list-start", Action::Write),
        0x8d => ("write-signal-by-list-continue", Action::Write),
        _ => return None,
    })
}

/// Name and action of another application function, or of one of the link (bit 7 and bit 0).
const fn application(code: u8) -> Option<(&'static str, Action)> {
    Some(match code {
        0x40 => ("pei-rtu", Action::Diagnostics),
        0x48 => ("diagnostics", Action::Diagnostics),
        0x50 => ("transmitter-request", Action::Read),
        0x51 => ("transmitter-response", Action::Read),
        0x68 => ("flash-download", Action::ProgramDownload),
        0x6a => ("flash-configuration", Action::Configuration),
        0x70 => ("command-handler-request", Action::Control),
        0x71 => ("command-handler-response", Action::Control),
        0x78 => ("download-request", Action::ProgramDownload),
        0x81 => ("dial-up-acknowledge", Action::Session),
        0x83 => ("message-discarded", Action::Session),
        0x85 => ("poll", Action::Read),
        0x86 => ("down-transmit-acknowledge", Action::Session),
        0x87 => ("acknowledge-no-data", Action::Session),
        0x88 => ("time-synchronisation", Action::Configuration),
        0x89 => ("time-synchronisation-request", Action::Read),
        0x8a => ("up-acknowledge-with-poll", Action::Session),
        0x8b => ("up-acknowledge", Action::Session),
        0x95 => ("no-buffer", Action::Session),
        0xa1 => ("data-base-extension", Action::Diagnostics),
        0xa2 => ("report-by-exception", Action::Subscribe),
        0xa3 => ("report-by-exception-manager", Action::Subscribe),
        0xa8 => ("alarm-acknowledge", Action::Control),
        0xa9 => ("alarm-initialisation", Action::Diagnostics),
        0xaa => ("alarm-report", Action::Diagnostics),
        0xb0 => ("peer-to-peer-master", Action::Session),
        0xb1 => ("peer-to-peer-slave", Action::Session),
        _ => return None,
    })
}

/// One message, of either form.
struct Message<'a> {
    /// Where the addressed slave is; 0 is the master.
    address: u16,
    sequence: u32,
    kind: Kind<'a>,
}

enum Kind<'a> {
    /// A data base function and its data.
    Request(u8, &'a [u8]),
    /// The error byte of a response.
    Response(u8),
    /// Another application function.
    Other(u8),
}

/// The message between DLE STX and DLE ETX, with single DLEs; none where its check is wrong or it is
/// no frame that fills the bytes.
fn unframed(bytes: &[u8]) -> Option<Vec<u8>> {
    let [DLE, STX, body @ .., DLE, ETX, low, high] = bytes else { return None };
    let mut message = Vec::with_capacity(body.len() + 1);
    let mut rest = body.iter();
    while let Some(byte) = rest.next() {
        if *byte == DLE && rest.next() != Some(&DLE) {
            return None;
        }
        message.push(*byte);
    }
    message.push(ETX);
    let check =
        message.iter().fold(0xffff_u16, |crc, byte| {
            (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 }
            })
        });
    message.pop();
    (check == u16::from_le_bytes([*low, *high])).then_some(message)
}

/// A serial message, unframed.
fn serial(bytes: &[u8]) -> Option<Message<'_>> {
    let mut cursor = Cursor::new(bytes);
    let address = cursor.u8().ok()?;
    let _number = cursor.u8().ok()?;
    let mut to = u16::from(address);
    if address & GLOBAL != 0 {
        to = cursor.u16_le().ok()?;
        let (_from, _control) = (cursor.u16_le().ok()?, cursor.u8().ok()?);
    }
    let function = cursor.u8().ok()?;
    let message = |sequence, kind| Message { address: to, sequence, kind };
    // Functions of the link end here.
    let Ok(sequence) = cursor.u16_le() else {
        return application(function).map(|_| message(0, Kind::Other(function)));
    };
    let sequence = u32::from(sequence);
    let (from, _status) = (cursor.u8().ok()?, cursor.u8().ok()?);
    let kind = match (function, from) {
        (DATA_BASE, _) => {
            let code = cursor.u8().ok()?;
            data_base(code)?;
            Kind::Request(code, cursor.rest())
        }
        (MASTER, DATA_BASE) => Kind::Response(cursor.u8().ok()?),
        _ => {
            application(function)?;
            Kind::Other(function)
        }
    };
    Some(message(sequence, kind))
}

/// A message of BSAP over IP: a header of 14 or 22 bytes with number and kind of what follows.
fn over_ip(bytes: &[u8]) -> Option<Message<'_>> {
    let mut cursor = Cursor::new(bytes);
    let header = cursor.u16_le().ok()?;
    let (messages, kind) = (cursor.u16_le().ok()?, cursor.u16_le().ok()?);
    if !matches!(header, 14 | 22) || !matches!(kind, 0 | 1 | 5 | 6 | 0x84 | 0x86) {
        return None;
    }
    cursor.skip(usize::from(header) - 6).ok()?;
    let message = |sequence, kind| Some(Message { address: 0, sequence, kind });
    if messages == 0 {
        return message(0, Kind::Other(0x85)).filter(|_| cursor.is_empty());
    }
    let length = cursor.u32_le().ok()?;
    let (_header, sequence) = (cursor.u8().ok()?, cursor.u32_le().ok()?);
    if usize::try_from(length).ok()? > bytes.len() {
        return None;
    }
    match kind {
        5 => message(sequence, Kind::Response(cursor.u8().ok()?)),
        6 | 0x84 | 0x86 => match cursor.u8().ok()? {
            DATA_BASE => {
                let _status = cursor.u8().ok()?;
                let code = cursor.u8().ok()?;
                data_base(code)?;
                message(sequence, Kind::Request(code, cursor.rest()))
            }
            function => {
                application(function)?;
                message(sequence, Kind::Other(function))
            }
        },
        _ => None,
    }
}

fn probe(input: &Input<'_>) -> Probe {
    if input.bytes.len() > LARGEST {
        return Probe::No;
    }
    match input.bytes {
        [DLE, STX, ..] => match unframed(input.bytes) {
            Some(message) if serial(&message).is_some() => Probe::Likely,
            _ => Probe::No,
        },
        bytes if over_ip(bytes).is_some() => Probe::Weak,
        _ => Probe::No,
    }
}

/// A request that waits for its response.
struct Request {
    operation: Box<Operation>,
    written: Option<(CompactString, Value, Evidence)>,
}

struct Bsap {
    pending: Pending<(Side, u32), Request>,
    /// Values last written, by slave and name.
    values: Vec<((Child, CompactString), Value)>,
    client_said: bool,
    synchronised: [bool; 2],
    reported: bool,
}

impl Bsap {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            values: Vec::new(),
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

    /// One message; `whole` is the frame behind it, for the evidence.
    fn message(&mut self, input: &Input<'_>, message: &Message<'_>, whole: &[u8], out: &mut Out) {
        match message.kind {
            Kind::Request(code, data) => {
                self.say_client(input.side, out);
                let words = data_base(code).unwrap_or(("unknown", Action::Diagnostics));
                let child = slave(message.address);
                out.layer_between(NAME, input.side, Child::None, child.clone());
                let mut operation = Box::new(input.operation(NAME, input.side, words, whole));
                operation.code = Some(u32::from(code));
                operation.server_child = child;
                let mut request = Request { operation, written: None };
                describe(&mut request, code, data, || input.evidence(whole, Decode::Derived));
                let key = (input.side, message.sequence);
                if let Some(evicted) = self.pending.insert(key, request) {
                    self.complete(evicted, Outcome::Unseen, out);
                }
            }
            Kind::Response(error) => {
                let client = input.side.other();
                self.say_client(client, out);
                let outcome = if error == 0 { Outcome::Ok } else { Outcome::Error };
                if let Some(request) = self.pending.take(&(client, message.sequence)) {
                    let child = request.operation.server_child.clone();
                    out.layer_between(NAME, input.side, child, Child::None);
                    self.complete(request, outcome, out);
                    return;
                }
                out.layer(NAME, input.side);
                let words = ("response", Action::Diagnostics);
                let mut operation = input.operation(NAME, client, words, whole);
                operation.outcome = outcome;
                out.unpaired(operation);
            }
            Kind::Other(function) => {
                out.layer(NAME, input.side);
                let words = application(function).unwrap_or(("unknown", Action::Diagnostics));
                let mut operation = input.operation(NAME, input.side, words, whole);
                operation.code = Some(u32::from(function));
                operation.outcome = Outcome::None;
                out.operation(operation);
            }
        }
    }

    fn complete(&mut self, mut request: Request, outcome: Outcome, out: &mut Out) {
        request.operation.outcome = outcome;
        let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
        let server_child = request.operation.server_child.clone();
        out.operation(request.operation);
        let Some((name, new, evidence)) = request.written else { return };
        if outcome == Outcome::Error {
            return;
        }
        let key = (server_child.clone(), name.clone());
        let known = self.values.iter().position(|(known, _)| *known == key);
        let old = known.map(|at| self.values.remove(at).1);
        if self.values.len() >= REMEMBERED {
            self.values.remove(0);
        }
        self.values.push((key, new.clone()));
        out.push(Item::Change(Change {
            protocol: NAME,
            connection: NAME,
            sender,
            server_child,
            object: Object::Text(name),
            old,
            new,
            evidence,
            ts_ns,
        }));
    }
}

fn slave(address: u16) -> Child {
    match address {
        0 => Child::None,
        _ => Child::Number(UNIT, u32::from(address)),
    }
}

/// Signal names and the written value of a request.
fn describe(request: &mut Request, code: u8, data: &[u8], evidence: impl Fn() -> Evidence) {
    match code {
        READ_SIGNAL_BY_NAME | 0x06 => {
            // The fields that are wanted have a length of their own: the names start where a count
            // and as many names fill the rest.
            let names = (1..=8).find_map(|start| {
                let count = usize::from(*data.get(start - 1)?);
                names(data.get(start..)?).filter(|names| count > 0 && names.len() == count)
            });
            request.operation.object = listed(&names.unwrap_or_default());
        }
        WRITE_SIGNAL_BY_NAME => {
            // security level, count, name, descriptor and value
            let (Some(&count), Some(rest)) = (data.get(1), data.get(2..)) else { return };
            let Some(end) = memchr::memchr(0, rest) else { return };
            let (name, value) = rest.split_at(end);
            if !text::is_printable(name) {
                return;
            }
            let name = text::utf8(name);
            request.operation.object = match count {
                0 | 1 => Object::Text(name.clone()),
                _ => Object::Text(format_compact!("{name}, +{}", count - 1)),
            };
            let new = match value {
                // Without a value a signal is set by its descriptor alone.
                [0, REAL, a, b, c, d] => {
                    Value::Real(f64::from(f32::from_le_bytes([*a, *b, *c, *d])))
                }
                [0, rest @ ..] if !rest.is_empty() => Value::Bytes(rest.to_vec()),
                _ => return,
            };
            if count == 1 {
                request.written = Some((name, new, evidence()));
            }
        }
        _ => {}
    }
}

/// Names that end with NUL and fill the bytes.
fn names(bytes: &[u8]) -> Option<Vec<CompactString>> {
    let bytes = bytes.strip_suffix(&[0])?;
    let parts = bytes.split(|byte| *byte == 0);
    parts.map(|name| text::is_printable(name).then(|| text::utf8(name))).collect()
}

fn listed(names: &[CompactString]) -> Object {
    let Some((first, others)) = names.split_first() else { return Object::None };
    let mut list = first.clone();
    for name in others.iter().take(SPELLED - 1) {
        list.push_str(", ");
        list.push_str(name);
    }
    if names.len() > SPELLED {
        list.push_str(&format_compact!(", +{}", names.len() - SPELLED));
    }
    Object::Text(list)
}

impl Session for Bsap {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.bytes.len() > LARGEST {
            return input.bytes.len();
        }
        let unframed = unframed(input.bytes);
        let message = match &unframed {
            Some(bytes) => serial(bytes),
            None => over_ip(input.bytes),
        };
        match message {
            Some(message) => {
                *input.side.of(&mut self.synchronised) = unframed.is_some();
                self.message(input, &message, input.bytes, out);
            }
            None => {
                let known = std::mem::take(input.side.of(&mut self.synchronised));
                if known
                    && unframed.is_none()
                    && input.bytes.starts_with(&[DLE, STX])
                    && !input.truncated
                    && !std::mem::replace(&mut self.reported, true)
                {
                    out.push(input.violation(NAME, "bsap-crc", part_at(input.bytes, 0, 32)));
                }
            }
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        let waiting: Vec<Request> = self.pending.drain().collect();
        for request in waiting {
            self.complete(request, Outcome::Unseen, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, coded_operations};

    fn frame(message: &[u8]) -> Vec<u8> {
        let mut bytes = vec![DLE, STX];
        for byte in message {
            if *byte == DLE {
                bytes.push(DLE);
            }
            bytes.push(*byte);
        }
        let crc = message.iter().chain(&[ETX]).fold(0xffff_u16, |crc, byte| {
            (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 }
            })
        });
        bytes.extend([DLE, ETX]);
        bytes.extend(crc.to_le_bytes());
        bytes
    }

    /// From the master to slave 1, and back.
    fn request(sequence: u8, data: &[u8]) -> (Side, Vec<u8>) {
        (Side::A, frame(&[&[1, sequence, DATA_BASE, sequence, 8, MASTER, 0], data].concat()))
    }

    fn response(sequence: u8, data: &[u8]) -> (Side, Vec<u8>) {
        (Side::B, frame(&[&[0, sequence, MASTER, sequence, 8, DATA_BASE, 0], data].concat()))
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        vec![
            // message number 16 is doubled on the wire
            request(16, b"\x04\x01\x40\x0f\x02@GV.A.\0@GV.B.\0"),
            response(16, &[0, 2, 0, 0, 0x8c, 0x42, 0]),
            request(17, b"\x84\x0f\x01@GV.A.\0\x0b\0\0\x70\x42"),
            response(17, &[0]),
            request(18, b"\x84\x0f\x01@GV.A.\0\x0b\0\0\0\0"),
            response(18, &[0x80]),
            request(19, &[0x0c, 1]),
        ]
    }

    fn items(messages: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::items(&PROTOCOL, &messages)
    }

    #[test]
    fn functions_name_their_signals_and_slave() {
        let items = items(&conversation());
        let name = || "@GV.A.".to_owned();
        assert_eq!(
            vec![
                ("read-signal-by-name", Some(4), "@GV.A., @GV.B.".to_owned(), Outcome::Ok),
                ("write-signal-by-name", Some(0x84), name(), Outcome::Ok),
                ("write-signal-by-name", Some(0x84), name(), Outcome::Error),
                ("read-signal-by-list-start", Some(0x0c), String::new(), Outcome::Unseen),
            ],
            coded_operations(&items)
        );
        assert!(items.iter().any(|item| matches!(item, Item::Operation(op)
            if op.server_child == Child::Number("bsap", 1))));
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn a_write_tells_its_value() {
        let changes: Vec<_> = items(&conversation())
            .iter()
            .filter_map(|item| match item {
                Item::Change(change) => Some((change.object.to_text(), change.new.clone())),
                _ => None,
            })
            .collect();
        assert_eq!([("@GV.A.".into(), Value::Real(60.0))], *changes);
    }

    #[test]
    fn global_messages_and_those_of_the_link_are_read() {
        let global = [0x85, 1, 5, 1, 0, 0, 0, DATA_BASE, 1, 0, MASTER, 0, 0, 0];
        let told =
            coded_operations(&items(&[(Side::A, frame(&global)), (Side::A, frame(&[1, 2, 0x85]))]));
        assert_eq!(
            vec![
                ("poll", Some(0x85), String::new(), Outcome::None),
                ("read-signal-by-address", Some(0), String::new(), Outcome::Unseen),
            ],
            told
        );
    }

    /// Built on the public description: no capture of BSAP over IP was at hand.
    #[test]
    fn requests_over_ip_are_read_as_publicly_described() {
        let message = |kind: u8, tail: &[u8]| {
            let mut bytes = vec![14, 0, 1, 0, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            bytes.extend([tail.len() as u8 + 9, 0, 0, 0, 9, 7, 0, 0, 0]);
            bytes.extend_from_slice(tail);
            bytes
        };
        let told = coded_operations(&items(&[
            (Side::A, message(6, b"\xa0\0\x04\x01\x40\x0f\x01@GV.A.\0")),
            (Side::B, message(5, &[0, 1, 0])),
        ]));
        assert_eq!(vec![("read-signal-by-name", Some(4), "@GV.A.".to_owned(), Outcome::Ok)], told);
    }

    #[test]
    fn the_probe_wants_a_right_check() {
        let (_, read) = request(1, b"\x04\x01\x40\x0f\x01@GV.A.\0");
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &read)));
        let mut wrong = read.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &wrong)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[DLE, STX])));
        let items = items(&[(Side::A, read), (Side::A, wrong)]);
        assert!(items.iter().any(
            |item| matches!(item, Item::Violation(violation) if violation.rule == "bsap-crc")
        ));
    }

    #[test]
    fn survives_hostile_bytes() {
        let conversation = conversation();
        let messages: Vec<_> = conversation.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
