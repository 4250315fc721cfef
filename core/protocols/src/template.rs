//! The smallest dissector there can be, to copy: `make new-protocol NAME=my-protocol`.
//!
//! It reads an example protocol that exists nowhere else: over TCP port 62000, each message is the
//! two letters `OT`, a length of what follows (1 byte), a transaction number (1 byte), a function
//! (1 byte, top bit set in a response, next bit set when it is refused), and data.
//!
//! Sources: name here the standard and clause of each fact, or the capture and frame in which it
//! was observed. This example has none but the text above.
//!
//! Rules broken on the wire:
//! * `template-length`: the length leaves no room for transaction and function.
//!
//! Not decoded: the data of functions other than identify.

use otic_wire::{Cursor, Spans};

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Item, Object, Operation, Out, Outcome, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// The example protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "Template",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Template::new()) },
    source: "the module's own description",
};

const NAME: &str = "template";
const PORT: u16 = 62000;

const MAGIC: &[u8] = b"OT";
const RESPONSE: u8 = 0x80;
const REFUSED: u8 = 0x40;
const IDENTIFY: u8 = 1;

/// Requests of one flow that may wait at once.
const WAITING: usize = 64;

/// Name and action of a function code.
const fn function(code: u8) -> (&'static str, Action) {
    match code {
        IDENTIFY => ("identify", Action::Identify),
        2 => ("read", Action::Read),
        3 => ("write", Action::Write),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// One message, whole.
struct Message<'a> {
    transaction: u8,
    function: u8,
    data: &'a [u8],
    all: &'a [u8],
}

/// What stands at the front of the bytes.
enum Front<'a> {
    Message(Message<'a>),
    Incomplete,
    Broken,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let known = bytes.len().min(MAGIC.len());
    if bytes.get(..known) != MAGIC.get(..known) {
        return Front::Foreign;
    }
    let mut cursor = Cursor::new(bytes);
    let (Ok(_), Ok(length)) = (cursor.take(MAGIC.len()), cursor.u8()) else {
        return Front::Incomplete;
    };
    if length < 2 {
        return Front::Broken;
    }
    let (Ok(transaction), Ok(function)) = (cursor.u8(), cursor.u8()) else {
        return Front::Incomplete;
    };
    let Ok(data) = cursor.take(usize::from(length) - 2) else { return Front::Incomplete };
    let all = bytes.get(..MAGIC.len() + 1 + usize::from(length)).unwrap_or(bytes);
    Front::Message(Message { transaction, function, data, all })
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Message(_) => Probe::Likely,
        Front::Incomplete => Probe::More,
        Front::Broken | Front::Foreign => Probe::No,
    }
}

/// A request that waits for its response.
struct Request {
    sender: Side,
    function: u8,
    evidence: Spans,
    ts_ns: i64,
}

/// A flow that carries the protocol.
struct Template {
    pending: Pending<u8, Request>,
    client_said: bool,
}

impl Template {
    const fn new() -> Self {
        Self { pending: Pending::new(WAITING), client_said: false }
    }

    fn message(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        if message.function & RESPONSE != 0 {
            self.response(input, message, out);
            return;
        }
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(input.side));
        }
        let request = Request {
            sender: input.side,
            function: message.function,
            evidence: input.locate(message.all),
            ts_ns: input.ts_ns,
        };
        if let Some(oldest) = self.pending.insert(message.transaction, request) {
            out.operation(operation(oldest, Outcome::Unseen));
        }
    }

    fn response(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        let outcome = if message.function & REFUSED == 0 { Outcome::Ok } else { Outcome::Error };
        let Some(request) = self.pending.take(&message.transaction) else {
            let request = Request {
                sender: input.side.other(),
                function: message.function & !(RESPONSE | REFUSED),
                evidence: input.locate(message.all),
                ts_ns: input.ts_ns,
            };
            out.unpaired(operation(request, outcome));
            return;
        };
        let name = text::trim(message.data);
        if request.function == IDENTIFY && outcome == Outcome::Ok && !name.is_empty() {
            out.claim(Claim {
                who: Who::Sender(Child::None),
                attribute: "model",
                value: text::utf8(name),
                protocol: NAME,
                message: "identify",
                confidence: Confidence::High,
                evidence: input.evidence(name, Decode::Utf8),
            });
        }
        out.operation(operation(request, outcome));
    }
}

fn operation(request: Request, outcome: Outcome) -> Operation {
    let (name, action) = function(request.function);
    Operation {
        protocol: NAME,
        connection: NAME,
        sender: request.sender,
        code: Some(u32::from(request.function)),
        name,
        action,
        object: Object::None,
        outcome,
        client_child: Child::None,
        server_child: Child::None,
        evidence: request.evidence,
        ts_ns: request.ts_ns,
    }
}

impl Session for Template {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let mut used = 0;
        loop {
            match front(input.bytes.get(used..).unwrap_or_default()) {
                Front::Message(message) => {
                    self.message(input, &message, out);
                    used += message.all.len();
                }
                Front::Incomplete => break,
                Front::Broken => {
                    let bytes = input.bytes.get(used..).unwrap_or_default();
                    out.push(input.violation(
                        NAME,
                        "template-length",
                        bytes.get(..3).unwrap_or(bytes),
                    ));
                    return input.bytes.len();
                }
                // Joined in the middle of a message: the next segment may start one.
                Front::Foreign => return input.bytes.len(),
            }
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for request in self.pending.drain() {
            out.operation(operation(request, Outcome::Unseen));
        }
    }

    fn stream_cap(&self) -> usize {
        512
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const CONVERSATION: &[(Side, &[u8])] = &[
        // magic, length 2, transaction 7, identify
        (Side::A, &[b'O', b'T', 2, 7, 1]),
        // magic, length 5, transaction 7, response to identify, name
        (Side::B, &[b'O', b'T', 5, 7, 0x81, b'M', b'-', b'3']),
        // magic, length 3, transaction 8, write, one byte
        (Side::A, &[b'O', b'T', 3, 8, 3, 55]),
        // magic, length 2, transaction 8, write refused
        (Side::B, &[b'O', b'T', 2, 8, 0xc3]),
        // magic, length 2, transaction 9, read: never answered
        (Side::A, &[b'O', b'T', 2, 9, 2]),
    ];

    #[test]
    fn requests_are_paired_with_their_responses() {
        let items = testing::items(&PROTOCOL, CONVERSATION);
        let operations: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(operation) => Some((operation.name, operation.outcome)),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![("identify", Outcome::Ok), ("write", Outcome::Error), ("read", Outcome::Unseen),],
            operations
        );
    }

    #[test]
    fn the_model_is_cited() {
        let items = testing::items(&PROTOCOL, CONVERSATION);
        assert!(items.iter().any(|item| matches!(item, Item::Claim(claim)
            if claim.value == "M-3" && claim.evidence.spans[0].length == 3)));
    }

    #[test]
    fn a_length_that_cannot_be_is_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &[b'O', b'T', 1, 7])]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "template-length")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, CONVERSATION[0]));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, b"O")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
    }

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(&PROTOCOL, CONVERSATION);
    }
}
