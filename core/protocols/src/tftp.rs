//! TFTP.
//!
//! Sources: RFC 1350 §5 (packets), §4 (the answer comes from a port that the server chooses), RFC
//! 2347 (options and their acknowledgement), RFC 2348, 2349 and 7440 (names of options).
//!
//! A request is an operation on its file. Once the other end takes part in the transfer, the
//! request went well and is the event `file-read` or `file-written`; an error packet refuses it.
//!
//! Violations: `tftp-request` (a request without the two texts it consists of).
//!
//! Not decoded: contents of files.

use compact_str::CompactString;

use crate::out::{Action, Event, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};
use crate::text;

/// TFTP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "TFTP",
    roles: ("client", "server"),
    carriers: &[Carrier::Udp(&[69])],
    dissector: Dissector::Built { probe, session: || Box::new(Tftp::default()) },
    source: "RFC 1350, RFC 2347",
};

const NAME: &str = "tftp";

const READ_REQUEST: u16 = 1;
const WRITE_REQUEST: u16 = 2;
const DATA: u16 = 3;
const ACKNOWLEDGEMENT: u16 = 4;
const ERROR: u16 = 5;
const OPTION_ACKNOWLEDGEMENT: u16 = 6;

/// Longest file name that is written out.
const FILE: usize = 256;

fn opcode(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// File and mode of a request: two texts, each ended by a NUL.
fn request(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let texts = bytes.get(2..)?;
    let (file, rest) = texts.split_at_checked(memchr::memchr(0, texts)?)?;
    let rest = rest.get(1..)?;
    let mode = rest.get(..memchr::memchr(0, rest)?)?;
    let known = [b"octet".as_slice(), b"netascii", b"mail"];
    known.iter().any(|known| mode.eq_ignore_ascii_case(known)).then_some((file, mode))
}

fn probe(input: &Input<'_>) -> Probe {
    match opcode(input.bytes) {
        Some(READ_REQUEST | WRITE_REQUEST) => match request(input.bytes) {
            Some((file, _)) if text::is_printable(file) => Probe::Certain,
            _ => Probe::Weak,
        },
        Some(DATA) => Probe::Weak,
        Some(ACKNOWLEDGEMENT) if input.bytes.len() == 4 => Probe::Weak,
        Some(ERROR) if input.bytes.ends_with(&[0]) => Probe::Weak,
        Some(OPTION_ACKNOWLEDGEMENT) => {
            let options = [b"blksize\0".as_slice(), b"tsize\0", b"timeout\0", b"windowsize\0"];
            let rest = input.bytes.get(2..).unwrap_or_default();
            let known = options.iter().any(|option| {
                rest.get(..option.len()).is_some_and(|name| name.eq_ignore_ascii_case(option))
            });
            if known && rest.ends_with(&[0]) { Probe::Likely } else { Probe::No }
        }
        _ => Probe::No,
    }
}

/// A transfer, or the flow in which it is asked for.
#[derive(Default)]
struct Tftp {
    request: Option<Box<Operation>>,
    client_told: bool,
}

impl Tftp {
    fn asked(&mut self, input: &Input<'_>, code: u16, out: &mut Out) {
        if !std::mem::replace(&mut self.client_told, true) {
            out.push(Item::Client(input.side));
        }
        out.push(Item::AnswerFromAnyPort);
        let file = match request(input.bytes) {
            Some((file, _)) => text::utf8(file.get(..file.len().min(FILE)).unwrap_or(file)),
            None => {
                if !input.truncated {
                    out.push(input.violation(NAME, "tftp-request", input.bytes));
                }
                CompactString::default()
            }
        };
        let operation = Operation {
            code: Some(u32::from(code)),
            object: if file.is_empty() { Object::None } else { Object::Text(file) },
            ..input.operation(
                NAME,
                input.side,
                (if code == READ_REQUEST { "read-request" } else { "write-request" }, Action::File),
                input.bytes,
            )
        };
        if let Some(unseen) = self.request.replace(Box::new(operation)) {
            out.operation(unseen);
        }
    }

    /// The first packet of the side that was asked tells how the request went.
    fn answered(&mut self, input: &Input<'_>, code: u16, out: &mut Out) {
        let Some(mut operation) = self.request.take_if(|asked| asked.sender != input.side) else {
            return;
        };
        if code == ERROR {
            operation.outcome = Outcome::Error;
            out.operation(operation);
            return;
        }
        operation.outcome = Outcome::Ok;
        let is_read = operation.code == Some(u32::from(READ_REQUEST));
        out.push(Item::Event(Event {
            kind: if is_read { "file-read" } else { "file-written" },
            protocol: NAME,
            sender: operation.sender,
            values: vec![("file", operation.object.to_text())],
            evidence: operation.evidence.clone(),
        }));
        out.operation(operation);
    }
}

impl Session for Tftp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        match opcode(input.bytes) {
            Some(code @ (READ_REQUEST | WRITE_REQUEST)) => {
                out.layer(NAME, input.side);
                self.asked(input, code, out);
            }
            Some(code @ DATA..=OPTION_ACKNOWLEDGEMENT) => {
                out.layer(NAME, input.side);
                self.answered(input, code, out);
            }
            _ => {}
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some(request) = self.request.take() {
            out.operation(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Side;
    use crate::testing;

    const READ: &[u8] = b"\0\x01plant.s7p\0octet\0blksize\x001400\0";

    fn said(talk: &[(Side, &[u8])]) -> (Vec<(&'static str, CompactString, Outcome)>, Vec<Event>) {
        let mut operations = Vec::new();
        let mut events = Vec::new();
        for item in testing::items(&PROTOCOL, talk) {
            match item {
                Item::Operation(op) => operations.push((op.name, op.object.to_text(), op.outcome)),
                Item::Event(event) => events.push(event),
                _ => {}
            }
        }
        (operations, events)
    }

    #[test]
    fn a_request_goes_well_when_its_transfer_starts() {
        let talk: &[(Side, &[u8])] = &[
            (Side::A, READ),
            (Side::B, b"\0\x06blksize\x001400\0"),
            (Side::A, b"\0\x04\0\0"),
            (Side::B, b"\0\x03\0\x01data"),
        ];
        let (operations, events) = said(talk);
        assert_eq!(vec![("read-request", "plant.s7p".into(), Outcome::Ok)], operations);
        assert_eq!("file-read", events[0].kind);
        assert_eq!(vec![("file", "plant.s7p".into())], events[0].values);
        testing::survives(&PROTOCOL, talk);
    }

    #[test]
    fn an_error_refuses_the_request() {
        let write = b"\0\x02config\0NetASCII\0";
        let (operations, events) =
            said(&[(Side::A, write), (Side::B, b"\0\x05\0\x02Access violation\0")]);
        assert_eq!(vec![("write-request", "config".into(), Outcome::Error)], operations);
        assert!(events.is_empty());
    }

    #[test]
    fn an_acknowledged_write_is_told() {
        let (_, events) = said(&[(Side::A, b"\0\x02config\0octet\0"), (Side::B, b"\0\x04\0\0")]);
        assert_eq!("file-written", events[0].kind);
    }

    #[test]
    fn a_request_without_its_texts_is_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::A, b"\0\x01plant")]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "tftp-request")));
    }

    #[test]
    fn the_probe_knows_requests_and_takes_the_rest_on_its_port_only() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, READ)));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, b"\0\x03\0\x01data")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"\0\x09\0\x01data")));
    }
}
