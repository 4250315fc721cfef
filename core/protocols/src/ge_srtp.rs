//! GE SRTP, the Service Request Transport Protocol of GE Fanuc (GE Intelligent Platforms, Emerson)
//! controllers, series 90 and PACSystems.
//!
//! Sources:
//! * Header, service request codes, segment selectors: Denton, Karpisek, Breitinger, Baggili,
//!   "Leveraging the SRTP protocol for over-the-network memory acquisition of a GE Fanuc Series
//!   90-30" (DFRWS 2017), tables 1 to 4.
//! * Message types, status codes, PLC status word: GE GFK-0529 "Series 90 PLC SNP Communications",
//!   tables 3-8, 3-12 to 3-14, as the public implementation ICSNPP GE SRTP names them.
//! * Length of the text in bytes 4 and 5, zeros that open a connection, slot in the mailbox: public
//!   drivers checked on controllers (gesrtp-py, ge-ethernet-SRTP).
//!
//! No capture was at hand: the tests' frames are built on these descriptions.
//!
//! Rules broken on the wire:
//! * `ge-srtp-header`: inside a session, a message is none of the known types.
//!
//! Not decoded: what services return (controller type and id, names, fault tables), where a write has
//! its values and a request with a text buffer its service, programs.

use compact_str::format_compact;

use crate::fields::{part_at, u8_at, u16_at};
use crate::out::{Action, Event, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};

/// GE SRTP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "GE SRTP",
    roles: ("SRTP client", "SRTP server"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Srtp::new()) },
    source: "DFRWS 2017 paper on SRTP; GE GFK-0529; public drivers",
};

const NAME: &str = "ge-srtp";
const PORT: u16 = 18245;

const HEADER: usize = 56;

/// First byte of a message.
const CONNECT: u8 = 0;
const CONNECTED: u8 = 1;
const REQUEST: u8 = 2;
const REPLY: u8 = 3;

/// Byte 31: what the mailbox holds.
const SHORT_REQUEST: u8 = 0xc0;
const TEXT_REQUEST: u8 = 0x80;
const SHORT_REPLY: u8 = 0xd4;
const TEXT_REPLY: u8 = 0x94;
const REFUSED: u8 = 0xd1;

const SHORT_STATUS: u8 = 0x00;
const READ_SYSTEM_MEMORY: u8 = 0x04;
const WRITE_SYSTEM_MEMORY: u8 = 0x07;
const SET_RUN_STOP: u8 = 0x23;

/// Requests of one flow that may wait at once.
const WAITING: usize = 32;

/// Name and action of a service request.
const fn service(code: u8) -> Option<(&'static str, Action)> {
    Some(match code {
        SHORT_STATUS => ("plc-short-status", Action::Diagnostics),
        0x03 => ("return-control-program-names", Action::Identify),
        READ_SYSTEM_MEMORY => ("read-system-memory", Action::Read),
        0x05 => ("read-task-memory", Action::Read),
        0x06 => ("read-program-memory", Action::ProgramUpload),
        WRITE_SYSTEM_MEMORY => ("write-system-memory", Action::Write),
        0x08 => ("write-task-memory", Action::Write),
        0x09 => ("write-program-block-memory", Action::ProgramDownload),
        0x20 => ("programmer-logon", Action::Authenticate),
        0x21 => ("change-privilege-level", Action::Authenticate),
        0x22 => ("set-control-id", Action::Configuration),
        // Whether it runs or stops, the message's further bytes tell, which are not known.
        SET_RUN_STOP => ("set-run-stop", Action::Mode),
        0x24 => ("set-time-date", Action::Configuration),
        0x25 => ("return-time-date", Action::Read),
        0x38 => ("return-fault-table", Action::Diagnostics),
        0x39 => ("clear-fault-table", Action::Configuration),
        0x3f => ("program-store", Action::ProgramUpload),
        0x40 => ("program-load", Action::ProgramDownload),
        0x43 => ("return-controller-type-and-id", Action::Identify),
        0x44 => ("toggle-force-system-memory", Action::Control),
        _ => return None,
    })
}

/// Memory of a segment selector, as programs name it.
const fn memory(selector: u8) -> Option<&'static str> {
    Some(match selector {
        0x46 => "%I",
        0x10 => "%I byte",
        0x48 => "%Q",
        0x12 => "%Q byte",
        0x4c => "%M",
        0x16 => "%M byte",
        0x4a => "%T",
        0x14 => "%T byte",
        0x4e => "%SA",
        0x18 => "%SA byte",
        0x50 => "%SB",
        0x1a => "%SB byte",
        0x52 => "%SC",
        0x1c => "%SC byte",
        0x54 => "%S",
        0x1e => "%S byte",
        0x56 => "%G",
        0x38 => "%G byte",
        0x0a => "%AI",
        0x0c => "%AQ",
        0x08 => "%R",
        _ => return None,
    })
}

/// State of the controller (bits 12 to 15 of the status word).
const fn state(number: u16) -> &'static str {
    match number {
        0 => "run-io-enabled",
        1 => "run-io-disabled",
        2 => "stop-io-disabled",
        3 => "stop-faulted",
        4 => "halted",
        5 => "suspended",
        6 => "stop-io-enabled",
        _ => "other",
    }
}

/// What stands at the front of a stream.
enum Front<'a> {
    /// A whole message: header and text.
    Message(&'a [u8]),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    // The second byte of all known messages is 0, and so is the fourth.
    let known = matches!(bytes.first(), None | Some(CONNECT..=REPLY))
        && matches!(bytes.get(1), None | Some(0))
        && matches!(bytes.get(3), None | Some(0));
    if !known {
        return Front::Foreign;
    }
    let Some(header) = bytes.get(..HEADER) else { return Front::Incomplete };
    let fits = match (u8_at(header, 0), u8_at(header, 31)) {
        (Some(CONNECT), _) => header.iter().all(|byte| *byte == 0),
        (Some(CONNECTED), Some(0)) => part_at(header, 1, 7) == [0; 7],
        (Some(REQUEST), Some(SHORT_REQUEST | TEXT_REQUEST)) => true,
        (Some(REPLY), Some(SHORT_REPLY | TEXT_REPLY | REFUSED)) => true,
        _ => false,
    };
    if !fits {
        return Front::Foreign;
    }
    let text = match u8_at(header, 0) {
        Some(REQUEST | REPLY) => usize::from(u16_at(header, 4).unwrap_or(0)),
        _ => 0,
    };
    bytes.get(..HEADER + text).map_or(Front::Incomplete, Front::Message)
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Message(message) => match message.first() {
            // Zeros may be anything.
            Some(&(CONNECT | CONNECTED)) => Probe::Weak,
            // Mailboxes end with two zeros; packet number and total are there.
            _ if matches!(message.get(34..36), Some([0, 0]))
                && matches!(message.get(38..40), Some([0, 0]))
                && matches!(message.get(40..42), Some([number, total]) if (1..=*total).contains(number)) =>
            {
                Probe::Likely
            }
            _ => Probe::Weak,
        },
        Front::Incomplete if input.on_port(PORT) => Probe::More,
        Front::Incomplete | Front::Foreign => Probe::No,
    }
}

struct Srtp {
    /// Requests by sequence number.
    pending: Pending<u8, Box<Operation>>,
    connect: Option<Box<Operation>>,
    client_said: bool,
    synchronised: [bool; 2],
    reported: bool,
}

impl Srtp {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
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

    fn message(&mut self, input: &Input<'_>, message: &[u8], out: &mut Out) {
        match message.first() {
            Some(&CONNECT) => {
                self.say_client(input.side, out);
                let words = ("connect", Action::Session);
                let operation = input.operation(NAME, input.side, words, part_at(message, 0, 1));
                if let Some(before) = self.connect.replace(Box::new(operation)) {
                    out.operation(before);
                }
            }
            Some(&CONNECTED) => {
                if let Some(mut operation) = self.connect.take() {
                    operation.outcome = Outcome::Ok;
                    out.operation(operation);
                }
            }
            Some(&REQUEST) => self.request(input, message, out),
            _ => self.reply(input, message, out),
        }
    }

    fn request(&mut self, input: &Input<'_>, message: &[u8], out: &mut Out) {
        self.say_client(input.side, out);
        // Where a request with a text has its service is not publicly told.
        let short = u8_at(message, 31) == Some(SHORT_REQUEST);
        let code = if short { u8_at(message, 42) } else { None };
        let words = match code {
            Some(code) => service(code).unwrap_or(("unknown", Action::Diagnostics)),
            None => ("request-with-text", Action::Diagnostics),
        };
        let mut operation =
            Box::new(input.operation(NAME, input.side, words, part_at(message, 0, HEADER)));
        operation.code = code.map(u32::from);
        if matches!(code, Some(READ_SYSTEM_MEMORY | WRITE_SYSTEM_MEMORY)) {
            operation.object = target(message).unwrap_or_default();
        }
        let key = u8_at(message, 2).unwrap_or(0);
        if let Some(evicted) = self.pending.insert(key, operation) {
            out.operation(evicted);
        }
    }

    fn reply(&mut self, input: &Input<'_>, message: &[u8], out: &mut Out) {
        let client = input.side.other();
        self.say_client(client, out);
        let refused = u8_at(message, 31) == Some(REFUSED) || u8_at(message, 42) != Some(0);
        let outcome = if refused { Outcome::Error } else { Outcome::Ok };
        if refused {
            let status = part_at(message, 42, 2);
            if let [major, minor] = status {
                out.push(Item::Event(Event {
                    kind: "exception",
                    protocol: NAME,
                    sender: client,
                    values: vec![("code", format_compact!("{major}.{minor}"))],
                    evidence: input.locate(status),
                }));
            }
        } else if u8_at(message, 31) == Some(SHORT_REPLY) {
            // The status word; what has a text ends before it on some controllers.
            let word = part_at(message, 54, 2);
            if let (Some(status), false) = (u16_at(word, 0), part_at(message, 50, 6) == [0; 6]) {
                out.push(Item::Event(Event {
                    kind: "controller-status",
                    protocol: NAME,
                    sender: input.side,
                    values: vec![("status", state(status >> 12).into())],
                    evidence: input.locate(word),
                }));
            }
        }
        let Some(mut operation) = self.pending.take(&u8_at(message, 2).unwrap_or(0)) else {
            let words = ("reply", Action::Diagnostics);
            let mut operation = input.operation(NAME, client, words, part_at(message, 0, HEADER));
            operation.outcome = outcome;
            out.unpaired(operation);
            return;
        };
        operation.outcome = outcome;
        out.operation(operation);
    }
}

/// Memory, place (0 is the first) and length of a read or write.
fn target(message: &[u8]) -> Option<Object> {
    let selector = u8_at(message, 43)?;
    let (offset, length) = (u16_at(message, 44)?, u16_at(message, 46)?);
    Some(match memory(selector) {
        Some(space) => {
            Object::Range { space, first: u32::from(offset) + 1, count: u32::from(length.max(1)) }
        }
        None => Object::Text(format_compact!("selector 0x{selector:02x} {offset}")),
    })
}

impl Session for Srtp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *input.side.of(&mut self.synchronised) = false;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Message(message) => {
                    if used == 0 {
                        out.layer(NAME, input.side);
                    }
                    *input.side.of(&mut self.synchronised) = true;
                    self.message(input, message, out);
                    used += message.len();
                }
                Front::Incomplete => break,
                Front::Foreign => {
                    let known = std::mem::take(input.side.of(&mut self.synchronised));
                    if known && !std::mem::replace(&mut self.reported, true) {
                        out.push(input.violation(NAME, "ge-srtp-header", part_at(rest, 0, HEADER)));
                    }
                    return input.bytes.len();
                }
            }
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some(connect) = self.connect.take() {
            out.operation(connect);
        }
        for operation in self.pending.drain() {
            out.operation(operation);
        }
    }

    fn stream_cap(&self) -> usize {
        HEADER + 0x1_0000
    }
}

/// Built on the public descriptions: no capture was at hand.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, coded_operations, events};

    fn header(kind: u8, sequence: u8, mailbox: u8) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[0] = kind;
        bytes[2] = sequence;
        bytes[31] = mailbox;
        bytes[36] = 0x10;
        bytes[37] = 0x0e;
        bytes[40] = 1;
        bytes[41] = 1;
        bytes
    }

    fn request(sequence: u8, code: u8, data: &[u8]) -> (Side, Vec<u8>) {
        let mut bytes = header(REQUEST, sequence, SHORT_REQUEST);
        bytes[42] = code;
        bytes[43..43 + data.len()].copy_from_slice(data);
        (Side::A, bytes)
    }

    fn reply(sequence: u8, mailbox: u8, status: &[u8], text: &[u8]) -> (Side, Vec<u8>) {
        let mut bytes = header(REPLY, sequence, mailbox);
        bytes[4] = text.len() as u8;
        bytes[42..42 + status.len()].copy_from_slice(status);
        bytes.extend_from_slice(text);
        (Side::B, bytes)
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        let mut running = reply(3, SHORT_REPLY, &[0, 0], &[]);
        // program, privilege, sweep time, status: stopped with I/O disabled
        running.1[50..56].copy_from_slice(&[0, 2, 10, 0, 0, 0x20]);
        vec![
            (Side::A, vec![0; HEADER]),
            (Side::B, [vec![1], vec![0; HEADER - 1]].concat()),
            // register 100, one word
            request(1, READ_SYSTEM_MEMORY, &[0x08, 99, 0, 1, 0]),
            reply(1, SHORT_REPLY, &[0, 0, 7, 0], &[]),
            request(2, WRITE_SYSTEM_MEMORY, &[0x08, 99, 0, 1, 0]),
            reply(2, SHORT_REPLY, &[0, 0], &[]),
            request(3, SHORT_STATUS, &[]),
            running,
            request(4, READ_SYSTEM_MEMORY, &[0x08, 0, 0, 4, 0]),
            reply(4, TEXT_REPLY, &[0, 0], &[1, 0, 2, 0, 3, 0, 4, 0]),
            request(5, SET_RUN_STOP, &[1]),
            reply(5, REFUSED, &[2, 0xfe], &[]),
        ]
    }

    fn items(messages: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::items(&PROTOCOL, &messages)
    }

    #[test]
    fn services_name_their_memory_and_end() {
        assert_eq!(
            vec![
                ("connect", None, String::new(), Outcome::Ok),
                ("read-system-memory", Some(4), "%R 100".to_owned(), Outcome::Ok),
                ("write-system-memory", Some(7), "%R 100".to_owned(), Outcome::Ok),
                ("plc-short-status", Some(0), String::new(), Outcome::Ok),
                ("read-system-memory", Some(4), "%R 1-4".to_owned(), Outcome::Ok),
                ("set-run-stop", Some(0x23), String::new(), Outcome::Error),
            ],
            coded_operations(&items(&conversation()))
        );
    }

    #[test]
    fn a_status_tells_the_state_and_a_refusal_its_code() {
        let items = items(&conversation());
        let told: Vec<_> = events(&items)
            .iter()
            .map(|event| (event.kind, event.values[0].1.to_string()))
            .collect();
        assert_eq!(
            vec![
                ("controller-status", "stop-io-disabled".to_owned()),
                ("exception", "2.254".to_owned())
            ],
            told
        );
    }

    #[test]
    fn the_probe_wants_mailboxes_and_packet_numbers() {
        let (_, read) = request(1, READ_SYSTEM_MEMORY, &[0x08, 99, 0, 1, 0]);
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &read)));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, &[0; HEADER])));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &read[..20])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[2, 0, 1, 1])));
        let wrong = [REQUEST; HEADER].to_vec();
        let broken = items(&[(Side::A, read), (Side::A, wrong)]);
        assert!(broken.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "ge-srtp-header")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let conversation = conversation();
        let messages: Vec<_> = conversation.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
