//! DF1: commands to PLC-5, SLC 500 and MicroLogix controllers over serial lines, here as terminal
//! servers carry them over TCP.
//!
//! Source: Rockwell (Allen-Bradley) 1770-6.5.16 "DF1 Protocol and Command Set", chapters 2 and 3
//! (full-duplex: DLE STX, DLE ETX, doubled DLE, DLE ACK and NAK), 5 (block check character, CRC-16),
//! 6 and 7 (message packets: destination, source, command, status, transaction); commands as
//! [`pccc`](crate::ethernet_ip::pccc) reads them.
//!
//! The code of an operation is the command, for commands with functions `0x100` times the command and
//! the function. Nodes are children, `df1 N`.
//!
//! Rules broken on the wire:
//! * `df1-check`: the check of a message is wrong; nothing else is read of it.
//!
//! Not decoded: half-duplex polling, data of commands and replies other than diagnostic status.

use crate::ethernet_ip::pccc;
use crate::fields::{part_at, u16_at};
use crate::out::{Action, Child, Claim, Confidence, Decode, Item, Operation, Out, Outcome, Who};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// DF1 over TCP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "DF1",
    roles: ("DF1 initiator", "DF1 target"),
    carriers: &[Carrier::Tcp(&[])],
    dissector: Dissector::Built { probe, session: || Box::new(Df1::new()) },
    source: "Rockwell 1770-6.5.16",
};

const NAME: &str = "df1";
const CHILD: &str = "df1";

const DLE: u8 = 0x10;
const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
const NAK: u8 = 0x15;
/// Bit of the command in a reply.
const REPLY: u8 = 0x40;
/// Destination, source, command, status, transaction.
const HEADER: usize = 6;
/// More than any message holds.
const LARGEST: usize = 600;

/// Requests of one flow that may wait at once.
const WAITING: usize = 32;

/// Which of the two checks a line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Two's complement of the sum.
    Sum,
    Crc,
}

enum Front {
    /// A message without its doubled DLE, its length on the wire, and what its check is; none where
    /// it is wrong.
    Message(Vec<u8>, usize, Option<Check>),
    /// An answer of the line: so many bytes.
    Line(usize),
    Incomplete,
    Foreign,
}

/// What stands at the front; `known` is the check of the messages before.
fn front(bytes: &[u8], known: Option<Check>) -> Front {
    match bytes {
        [DLE, ACK | NAK | ENQ, ..] => return Front::Line(2),
        [DLE, STX, ..] => {}
        [DLE] | [] => return Front::Incomplete,
        _ => return Front::Foreign,
    }
    let mut data = Vec::new();
    let mut at = 2;
    loop {
        match bytes.get(at..).unwrap_or_default() {
            [DLE, DLE, ..] => {
                data.push(DLE);
                at += 2;
            }
            [DLE, ETX, rest @ ..] => {
                let Some(first) = rest.first() else { return Front::Incomplete };
                let sum = data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
                // Never by what is there already: the same bytes may come in other pieces.
                if known != Some(Check::Crc) && *first == 0_u8.wrapping_sub(sum) {
                    return Front::Message(data, at + 3, Some(Check::Sum));
                }
                let Some(word) = u16_at(rest, 0) else { return Front::Incomplete };
                let check = (word == crc(&data)).then_some(Check::Crc);
                return Front::Message(data, at + 4, check);
            }
            [DLE, _, ..] => return Front::Foreign,
            [byte, ..] if *byte != DLE => {
                data.push(*byte);
                at += 1;
            }
            _ => return Front::Incomplete,
        }
        if data.len() > LARGEST {
            return Front::Foreign;
        }
    }
}

/// CRC-16 of the data and its end (chapter 5): polynomial 0x8005, reflected, preset to zeros.
fn crc(data: &[u8]) -> u16 {
    data.iter().chain(&[ETX]).fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte),
            |crc, _| {
                if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xa001 }
            },
        )
    })
}

fn is_packet(data: &[u8]) -> bool {
    let [_, _, command, status, _, _, ..] = data else { return false };
    let is_known = matches!(command & !(REPLY | 0x20), 0..=2 | 5..=8 | 0x0f);
    is_known && command & 0x90 == 0 && (command & REPLY != 0 || *status == 0)
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes, None) {
        Front::Message(data, _, Some(_)) if is_packet(&data) => Probe::Likely,
        Front::Message(..) | Front::Foreign => Probe::No,
        Front::Line(length) => match front(input.bytes.get(length..).unwrap_or_default(), None) {
            Front::Message(data, _, Some(_)) if is_packet(&data) => Probe::Likely,
            Front::Incomplete if input.bytes.len() > length => Probe::More,
            _ => Probe::No,
        },
        Front::Incomplete if input.bytes.len() > 1 => Probe::More,
        Front::Incomplete => Probe::No,
    }
}

/// A command that waits for its reply.
struct Request {
    operation: Operation,
    is_diagnostic_status: bool,
}

/// A flow that carries DF1.
struct Df1 {
    /// Commands by sender, target node and transaction.
    pending: Pending<(Side, u8, u16), Request>,
    /// Transaction of each side's message before: senders repeat what is not acknowledged.
    last: [Option<(u8, u16)>; 2],
    check: Option<Check>,
    client_said: bool,
    synchronised: [bool; 2],
}

impl Df1 {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            last: [None; 2],
            check: None,
            client_said: false,
            synchronised: [false; 2],
        }
    }

    fn message(&mut self, input: &Input<'_>, data: &[u8], all: &[u8], out: &mut Out) {
        let [destination, source, command, status, low, high, ..] = *data else { return };
        let transaction = u16::from_le_bytes([low, high]);
        let last = input.side.of(&mut self.last).replace((command, transaction));
        if last == Some((command, transaction)) {
            return;
        }
        let is_reply = command & REPLY != 0;
        let client = if is_reply { input.side.other() } else { input.side };
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(client));
        }
        let packet = data.get(2..).unwrap_or_default();
        let target = if is_reply { source } else { destination };
        let code = command & !REPLY;
        let function = data.get(HEADER).copied().unwrap_or_default();
        let has_function = !is_reply && matches!(code, 0x06 | 0x07 | 0x0f);
        let told = Operation {
            code: Some(if has_function {
                u32::from(code) << 8 | u32::from(function)
            } else {
                code.into()
            }),
            server_child: Child::Number(CHILD, target.into()),
            ..input.operation(NAME, client, ("unknown", Action::Diagnostics), all)
        };
        if !is_reply {
            let Ok(command) = pccc::command_of(packet) else {
                out.push(Item::NotDecoded(NAME, "command-without-function"));
                return;
            };
            let operation = Operation {
                name: command.name,
                action: command.action,
                object: command.object,
                ..told
            };
            let is_diagnostic_status = command.is_diagnostic_status;
            let request = Request { operation, is_diagnostic_status };
            if let Some(unseen) = self.pending.insert((client, target, transaction), request) {
                out.operation(unseen.operation);
            }
            return;
        }
        let outcome = if status == 0 { Outcome::Ok } else { Outcome::Error };
        let Some(mut request) = self.pending.take(&(client, target, transaction)) else {
            out.unpaired(Operation { name: "reply", outcome, ..told });
            return;
        };
        request.operation.outcome = outcome;
        out.operation(request.operation);
        if request.is_diagnostic_status && outcome == Outcome::Ok {
            // The processor's name: 11 bytes from offset 5 of the data.
            let name = text::trim(part_at(data, HEADER + 5, 11));
            if text::is_printable(name) {
                out.claim(Claim {
                    who: Who::Sender(Child::Number(CHILD, target.into())),
                    attribute: "model",
                    value: text::utf8(name),
                    protocol: NAME,
                    message: "pccc-diagnostic-status",
                    confidence: Confidence::High,
                    evidence: input.evidence(all, Decode::Derived),
                });
            }
        }
    }
}

impl Session for Df1 {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *input.side.of(&mut self.synchronised) = false;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest, self.check) {
                Front::Message(data, length, check @ Some(_)) => {
                    self.check = check;
                    *input.side.of(&mut self.synchronised) = true;
                    self.message(input, &data, part_at(rest, 0, length), out);
                    used += length;
                }
                Front::Line(length) => used += length,
                Front::Incomplete => break,
                Front::Message(..) | Front::Foreign => {
                    if std::mem::take(input.side.of(&mut self.synchronised)) && !input.truncated {
                        out.push(input.violation(NAME, "df1-check", part_at(rest, 0, 32)));
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
        2 * LARGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn frame(data: &[u8], with_crc: bool) -> Vec<u8> {
        let mut bytes = vec![DLE, STX];
        for byte in data {
            bytes.push(*byte);
            if *byte == DLE {
                bytes.push(DLE);
            }
        }
        bytes.extend([DLE, ETX]);
        if with_crc {
            bytes.extend(crc(data).to_le_bytes());
        } else {
            let sum = data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
            bytes.push(0_u8.wrapping_sub(sum));
        }
        bytes
    }

    /// A typed logical read of N7:16 by node 2 from node 9.
    const READ: &[u8] = &[9, 2, 0x0f, 0, 1, 0, 0xa2, 4, 7, 0x89, DLE, 0];

    fn status_reply() -> Vec<u8> {
        let mut data = vec![2, 9, 0x46, 0, 2, 0, 0, 0xee, 0x31, 0x49, 0x21];
        data.extend_from_slice(b"5/04       ");
        data
    }

    #[test]
    fn commands_are_paired_with_their_replies() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &frame(READ, true)),
                (Side::B, &[DLE, ACK]),
                (Side::B, &frame(&[2, 9, 0x4f, 0, 1, 0, 7, 0], true)),
                (Side::A, &[DLE, ACK]),
                (Side::A, &frame(&[9, 2, 6, 0, 2, 0, 3], true)),
                (Side::B, &frame(&status_reply(), true)),
                (Side::A, &frame(&[9, 2, 0x0f, 0, 3, 0, 0x80, 1], true)),
                (Side::A, &frame(&[9, 2, 0x0f, 0, 3, 0, 0x80, 1], true)),
                (Side::B, &frame(&[2, 9, 0x4f, 0xf0, 3, 0], true)),
            ],
        );
        assert_eq!(
            vec![
                ("pccc-protected-typed-logical-read", "N7:16".to_owned(), Outcome::Ok),
                ("pccc-diagnostic-status", String::new(), Outcome::Ok),
                ("pccc-change-mode", String::new(), Outcome::Error),
            ],
            testing::operations(&items)
        );
        assert_eq!(vec![("model", "5/04".to_owned())], testing::claims(&items));
        let node = Child::Number(CHILD, 9);
        assert!(items.iter().any(|item| matches!(item, Item::Operation(told)
            if told.server_child == node)));
    }

    #[test]
    fn lines_with_a_check_character_are_read_too() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &frame(READ, false))]);
        assert_eq!(1, testing::operations(&items).len());
    }

    #[test]
    fn a_wrong_check_is_a_violation_and_says_nothing() {
        let mut wrong = frame(READ, true);
        let at = wrong.len() - 1;
        wrong[at] ^= 0x55;
        let items = testing::items(&PROTOCOL, &[(Side::A, &frame(READ, true)), (Side::A, &wrong)]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "df1-check")));
        assert_eq!(1, testing::operations(&items).len());
    }

    #[test]
    fn the_probe_knows_its_own() {
        let good = frame(READ, true);
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &good)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &good[..9])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &frame(&[1, 2, 0x99], true))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let messages = [
            (Side::A, frame(READ, true)),
            (Side::B, vec![DLE, ACK]),
            (Side::A, frame(&[9, 2, 6, 0, 2, 0, 3], true)),
            (Side::B, frame(&status_reply(), true)),
        ];
        let messages: Vec<_> =
            messages.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
