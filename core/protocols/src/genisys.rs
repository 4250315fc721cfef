//! Genisys, by Union Switch & Signal: an office polls field units of railway signalling, over TCP.
//!
//! Sources:
//! * Headers, escapes, addresses and pairs of byte number and value: the public implementation ICSNPP
//!   Genisys, which names what is known of the protocol.
//! * Check: CRC-16 from 0xFFFF over header and body without escapes, low byte first, as in frames 4
//!   to 20 of icsnpp-genisys genisys.pcap; an acknowledgement and a poll may have none.
//!
//! A message is a header (0xF1 to 0xFE), the unit's address, pairs, the check and 0xF6; bytes of
//! address and pairs from 0xF0 on are sent as 0xF0 and their low half, those of the check are not.
//! The master waits for each answer, so an answer belongs to the last question to its unit. What a
//! unit answers is no function of its own: it tells how the question ended.
//!
//! Rules broken on the wire:
//! * `genisys-crc`: inside a session, the check of a message is wrong.
//!
//! Not decoded: what the bytes mean, which the design of each unit tells.

use compact_str::{CompactString, format_compact};

use crate::crc::crc16;
use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Decode, Evidence, Item, Object, Operation, Out, Outcome, Value,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};

/// Genisys.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "Genisys",
    roles: ("Genisys office", "Genisys field unit"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Genisys::new()) },
    source: "ICSNPP Genisys; observed in public captures",
};

const NAME: &str = "genisys";
const PORT: u16 = 10001;
const UNIT: &str = "genisys-unit";

const ESCAPE: u8 = 0xf0;
const END: u8 = 0xf6;

const ACKNOWLEDGE: u8 = 0xf1;
const INDICATION: u8 = 0xf2;
const CHECKBACK: u8 = 0xf3;
const POLL: u8 = 0xfb;
const CONTROL: u8 = 0xfc;

/// Longest message, with escapes: all byte numbers twice.
const LARGEST: usize = 2048;
/// Questions of one flow that may wait at once.
const WAITING: usize = 32;
/// Values that are remembered to tell the old one.
const REMEMBERED: usize = 256;

/// Name and action of what the office sends.
const fn question(header: u8) -> Option<(&'static str, Action)> {
    Some(match header {
        0xf9 => ("common-control-data", Action::Control),
        0xfa => ("acknowledge-indication-and-poll", Action::Read),
        POLL => ("poll", Action::Read),
        CONTROL => ("control-data", Action::Control),
        0xfd => ("recall", Action::Read),
        0xfe => ("execute-controls", Action::Control),
        _ => return None,
    })
}

/// One message.
struct Message<'a> {
    header: u8,
    unit: u8,
    /// Pairs of byte number and value, without escapes.
    pairs: Vec<[u8; 2]>,
    /// The message with its end.
    all: &'a [u8],
    /// It has a check, which is right.
    checked: bool,
}

/// What stands at the front of the bytes.
enum Front<'a> {
    Message(Message<'a>),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let Some(&header) = bytes.first() else { return Front::Incomplete };
    if question(header).is_none() && !matches!(header, ACKNOWLEDGE..=CHECKBACK) {
        return Front::Foreign;
    }
    let limit = bytes.get(..bytes.len().min(LARGEST)).unwrap_or_default();
    let Some(first) = memchr::memchr(END, limit) else {
        return if bytes.len() > LARGEST { Front::Foreign } else { Front::Incomplete };
    };
    // Only the check may hold the byte that ends a message.
    for end in first..=first + 2 {
        match bytes.get(end) {
            None => return Front::Incomplete,
            Some(&END) => {}
            Some(_) => continue,
        }
        if let Some(message) = bytes.get(..=end).and_then(|all| whole(header, all)) {
            return Front::Message(message);
        }
    }
    Front::Foreign
}

/// The message that `all` is, from its header to its end.
fn whole(header: u8, all: &[u8]) -> Option<Message<'_>> {
    let inner = all.get(1..all.len().checked_sub(1)?)?;
    if matches!(header, ACKNOWLEDGE | POLL)
        && let [unit] = *unescaped(inner)?
    {
        return Some(Message { header, unit, pairs: Vec::new(), all, checked: false });
    }
    let (escaped, check) = inner.split_last_chunk::<2>()?;
    let body = unescaped(escaped)?;
    if crc16(0xffff, std::iter::once(&header).chain(&body)) != u16::from_le_bytes(*check) {
        return None;
    }
    let (&unit, rest) = body.split_first()?;
    let (pairs, odd) = rest.as_chunks::<2>();
    let pairs = pairs.to_vec();
    odd.is_empty().then_some(Message { header, unit, pairs, all, checked: true })
}

/// Bytes without escapes: what is escaped is a low half, and no other byte is so high.
fn unescaped(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        plain.push(match *byte {
            ESCAPE => ESCAPE | rest.next().filter(|low| **low < 0x10)?,
            0..ESCAPE => *byte,
            _ => return None,
        });
    }
    Some(plain)
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Message(message) if message.checked => Probe::Likely,
        // Three bytes without a check.
        Front::Message(_) => Probe::Weak,
        Front::Incomplete if input.on_port(PORT) => Probe::More,
        Front::Incomplete | Front::Foreign => Probe::No,
    }
}

struct Request {
    operation: Box<Operation>,
    unit: u8,
    writes: Vec<([u8; 2], Evidence)>,
}

struct Genisys {
    /// Questions by unit.
    pending: Pending<u8, Request>,
    /// Values by unit and byte number, as controls set them.
    values: Vec<([u8; 2], u8)>,
    client_said: bool,
    synchronised: [bool; 2],
    reported: bool,
}

impl Genisys {
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

    fn message(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        let child = Child::Number(UNIT, u32::from(message.unit));
        let Some(words) = question(message.header) else {
            self.say_client(input.side.other(), out);
            out.layer_between(NAME, input.side, child.clone(), Child::None);
            match self.pending.take(&message.unit) {
                Some(request) => self.complete(request, Outcome::Ok, out),
                None => {
                    let words = match message.header {
                        ACKNOWLEDGE => ("acknowledge", Action::Read),
                        INDICATION => ("indication-data", Action::Read),
                        _ => ("control-data-checkback", Action::Control),
                    };
                    let mut operation =
                        input.operation(NAME, input.side.other(), words, message.all);
                    operation.code = Some(u32::from(message.header));
                    operation.outcome = Outcome::Ok;
                    operation.server_child = child;
                    out.unpaired(operation);
                }
            }
            return;
        };
        self.say_client(input.side, out);
        out.layer_between(NAME, input.side, Child::None, child.clone());
        // The office asks one thing after the other: what waited so far was not answered.
        if let Some(before) = self.pending.take(&message.unit) {
            self.complete(before, Outcome::Unseen, out);
        }
        let mut operation = Box::new(input.operation(NAME, input.side, words, message.all));
        operation.code = Some(u32::from(message.header));
        operation.server_child = child;
        let mut request = Request { operation, unit: message.unit, writes: Vec::new() };
        if !message.pairs.is_empty() {
            request.operation.object = Object::Text(bytes(&message.pairs));
            if matches!(message.header, 0xf9 | CONTROL) {
                let evidence = input.evidence(message.all, Decode::Derived);
                request.writes =
                    message.pairs.iter().map(|pair| (*pair, evidence.clone())).collect();
            }
        }
        if let Some(evicted) = self.pending.insert(message.unit, request) {
            self.complete(evicted, Outcome::Unseen, out);
        }
    }

    fn complete(&mut self, mut request: Request, outcome: Outcome, out: &mut Out) {
        request.operation.outcome = outcome;
        let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
        let server_child = request.operation.server_child.clone();
        out.operation(request.operation);
        for ([number, value], evidence) in request.writes {
            let key = [request.unit, number];
            let known = self.values.iter().position(|(known, _)| *known == key);
            let old = known.map(|at| self.values.remove(at).1);
            if self.values.len() >= REMEMBERED {
                self.values.remove(0);
            }
            self.values.push((key, value));
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender,
                server_child: server_child.clone(),
                object: Object::Number { kind: "byte", number: u32::from(number) },
                old: old.map(|old| Value::Integer(i64::from(old))),
                new: Value::Integer(i64::from(value)),
                evidence,
                ts_ns,
            }));
        }
    }
}

/// The numbers of the bytes that pairs name.
fn bytes(pairs: &[[u8; 2]]) -> CompactString {
    match pairs {
        [[number, _]] => format_compact!("byte {number}"),
        [[number, _], others @ ..] => format_compact!("byte {number}, +{}", others.len()),
        [] => CompactString::default(),
    }
}

impl Session for Genisys {
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
                    *input.side.of(&mut self.synchronised) = true;
                    self.message(input, &message, out);
                    used += message.all.len();
                }
                Front::Incomplete => break,
                Front::Foreign => {
                    let known = std::mem::take(input.side.of(&mut self.synchronised));
                    if known && !std::mem::replace(&mut self.reported, true) {
                        out.push(input.violation(NAME, "genisys-crc", part_at(rest, 0, 32)));
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
            self.complete(request, Outcome::Unseen, out);
        }
    }

    fn stream_cap(&self) -> usize {
        LARGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, coded_operations};

    fn message(header: u8, body: &[u8]) -> Vec<u8> {
        let check = crc16(0xffff, std::iter::once(&header).chain(body)).to_le_bytes();
        let mut bytes = vec![header];
        for byte in body {
            match byte {
                ESCAPE.. => bytes.extend([ESCAPE, byte & 0x0f]),
                _ => bytes.push(*byte),
            }
        }
        bytes.extend(check);
        bytes.push(END);
        bytes
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        vec![
            (Side::A, message(POLL, &[1])),
            (Side::B, vec![ACKNOWLEDGE, 1, END]),
            (Side::A, message(CONTROL, &[1, 0, 0xff, 1, 4])),
            (Side::B, message(CHECKBACK, &[1, 0, 0xff, 1, 4])),
            (Side::A, message(CONTROL, &[1, 1, 5])),
            (Side::B, message(CHECKBACK, &[1, 1, 5])),
            (Side::A, message(0xfd, &[2])),
            (Side::A, message(0xfd, &[2])),
            (Side::B, message(INDICATION, &[2, 0, 5])),
        ]
    }

    fn items(messages: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::items(&PROTOCOL, &messages)
    }

    #[test]
    fn questions_to_each_unit_end_with_its_answer() {
        let items = items(&conversation());
        assert_eq!(
            vec![
                ("poll", Some(0xfb), String::new(), Outcome::Ok),
                ("control-data", Some(0xfc), "byte 0, +1".to_owned(), Outcome::Ok),
                ("control-data", Some(0xfc), "byte 1".to_owned(), Outcome::Ok),
                ("recall", Some(0xfd), String::new(), Outcome::Unseen),
                ("recall", Some(0xfd), String::new(), Outcome::Ok),
            ],
            coded_operations(&items)
        );
        assert!(items.contains(&Item::Client(Side::A)));
        assert!(items.iter().any(|item| matches!(item, Item::Operation(op)
            if op.server_child == Child::Number("genisys-unit", 2))));
    }

    #[test]
    fn controls_tell_old_and_new_values() {
        let changes: Vec<_> = items(&conversation())
            .iter()
            .filter_map(|item| match item {
                Item::Change(change) => Some((
                    change.object.to_text().to_string(),
                    change.old.clone(),
                    change.new.clone(),
                )),
                _ => None,
            })
            .collect();
        let byte = |number: i64, old: Option<i64>, new| {
            (format!("byte {number}"), old.map(Value::Integer), Value::Integer(new))
        };
        assert_eq!(vec![byte(0, None, 255), byte(1, None, 4), byte(1, Some(4), 5)], changes);
    }

    #[test]
    fn a_check_may_hold_the_byte_that_ends_a_message() {
        for value in 0..=u16::MAX {
            let [a, b] = value.to_be_bytes();
            let bytes = message(INDICATION, &[1, a, b]);
            if bytes.iter().filter(|byte| **byte == END).count() > 1 {
                assert!(matches!(front(&bytes), Front::Message(found) if found.all == bytes));
            }
        }
    }

    #[test]
    fn the_probe_wants_a_right_check_and_knows_its_port() {
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &message(POLL, &[1]))));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::B, &[ACKNOWLEDGE, 1, END])));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &[POLL, 1])));
        let wrong = [POLL, 1, 0x83, 0x41, END, POLL, 1];
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &wrong)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"SSH-2.0")));
        let wrong = (Side::A, wrong.to_vec());
        let items = items(&[(Side::A, message(POLL, &[1])), wrong]);
        assert!(items.iter().any(
            |item| matches!(item, Item::Violation(violation) if violation.rule == "genisys-crc")
        ));
    }

    #[test]
    fn survives_hostile_bytes() {
        let conversation = conversation();
        let messages: Vec<_> = conversation.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
