//! CoAP: requests to constrained devices over UDP.
//!
//! Sources: RFC 7252 §3 (message format), §5.3 (matching of requests and responses), §5.10 and §12
//! (options, codes); RFC 7641 §2 (Observe); RFC 8132 §2 (FETCH, PATCH, iPATCH).
//!
//! The code of an operation is the method's. A GET that observes is a subscription; the
//! notifications that follow are its responses and told once.
//!
//! Rules broken on the wire:
//! * `coap-format`: the options of a message cannot be read.
//!
//! Not decoded: payloads, block-wise transfer as one message, CoAP over TCP and DTLS, OSCORE. A
//! reset leaves its request without outcome.

use compact_str::CompactString;
use otic_wire::{Cursor, Short};

use crate::fields::part_at;
use crate::out::{Action, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// CoAP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "CoAP",
    roles: ("CoAP client", "CoAP server"),
    carriers: &[Carrier::Udp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Coap::new()) },
    source: "RFC 7252, RFC 7641, RFC 8132",
};

const NAME: &str = "coap";
const PORT: u16 = 5683;

const GET: u8 = 1;

/// Options (§12.2).
const OBSERVE: u32 = 6;
const URI_PATH: u32 = 11;
const URI_QUERY: u32 = 15;
/// Numbers of all options that are registered for a request up to Proxy-Scheme and Size1.
const KNOWN: &[u32] = &[
    1, 3, 4, 5, OBSERVE, 7, 8, 9, URI_PATH, 12, 14, URI_QUERY, 17, 20, 23, 27, 28, 35, 39, 60, 258,
];

/// Types of messages (§3), by number.
const CONFIRMABLE: u8 = 0;
const NON_CONFIRMABLE: u8 = 1;
const RESET: u8 = 3;

/// Letters of a path that say by themselves that it is one.
const PATH_BYTES: usize = 4;

/// Start of the payload.
const PAYLOAD: u8 = 0xff;

/// Longest path that an object names.
const SPELLED: usize = 256;
/// Requests of one flow that may wait at once.
const WAITING: usize = 64;

/// Name and action of a method.
const fn method(code: u8) -> Option<(&'static str, Action)> {
    Some(match code {
        GET => ("get", Action::Read),
        2 => ("post", Action::Write),
        3 => ("put", Action::Write),
        4 => ("delete", Action::Write),
        5 => ("fetch", Action::Read),
        6 => ("patch", Action::Write),
        7 => ("ipatch", Action::Write),
        _ => return None,
    })
}

/// A message without its payload.
struct Message<'a> {
    kind: u8,
    code: u8,
    /// The code's byte.
    proof: &'a [u8],
    id: u16,
    token: &'a [u8],
    options: &'a [u8],
}

/// None for what is no message of version 1.
fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let mut cursor = Cursor::new(bytes);
    let first = cursor.u8().ok()?;
    let proof = cursor.take(1).ok()?;
    let code = proof.first().copied()?;
    let id = cursor.u16_be().ok()?;
    let length = usize::from(first & 0x0f);
    let token = cursor.take(length).ok()?;
    let known = match code >> 5 {
        // An empty message is nothing but its header (§4.1).
        0 if code == 0 => bytes.len() == 4,
        0 => method(code).is_some(),
        2 | 4 | 5 => true,
        _ => false,
    };
    let fits = first >> 6 == 1 && length <= 8 && known;
    let kind = first >> 4 & 3;
    fits.then_some(Message { kind, code, proof, id, token, options: cursor.rest() })
}

impl<'a> Message<'a> {
    /// Numbers and values of the options (§3.1).
    fn options(&self) -> impl Iterator<Item = Result<(u32, &'a [u8]), Short>> {
        let mut cursor = Cursor::new(self.options);
        let mut number = 0;
        let mut broken = false;
        std::iter::from_fn(move || {
            if broken || cursor.peek().is_none_or(|byte| byte == PAYLOAD) {
                return None;
            }
            let option = option(&mut cursor, &mut number);
            broken = option.is_err();
            Some(option)
        })
    }

    /// Whether type and code go together (§4.3) and the code has a meaning (IANA, CoAP Codes).
    fn can_be(&self) -> bool {
        let request = matches!(self.kind, CONFIRMABLE | NON_CONFIRMABLE);
        let response = self.kind != RESET;
        match (self.code >> 5, self.code & 0x1f) {
            (0, 0) => self.kind != NON_CONFIRMABLE,
            (0, _) => request,
            (2, 1..=5 | 31) | (4, 0..=6 | 8 | 9 | 12 | 13 | 15 | 22 | 29) | (5, 0..=5 | 8) => {
                response
            }
            _ => false,
        }
    }

    fn is_response(&self) -> bool {
        self.code >> 5 != 0
    }
}

fn option<'a>(cursor: &mut Cursor<'a>, number: &mut u32) -> Result<(u32, &'a [u8]), Short> {
    let first = cursor.u8()?;
    let delta = extended(cursor, first >> 4)?;
    let length = extended(cursor, first & 0x0f)?;
    *number += delta;
    Ok((*number, cursor.take(length as usize)?))
}

/// A number of four bits, or its extension; 15 is reserved and reads as too long.
fn extended(cursor: &mut Cursor<'_>, nibble: u8) -> Result<u32, Short> {
    Ok(match nibble {
        13 => 13 + u32::from(cursor.u8()?),
        14 => 269 + u32::from(cursor.u16_be()?),
        15 => 1 << 17,
        _ => u32::from(nibble),
    })
}

fn probe(input: &Input<'_>) -> Probe {
    let Some(message) = message(input.bytes) else { return Probe::No };
    if !message.can_be() {
        return Probe::No;
    }
    let mut path = 0;
    for option in message.options() {
        match option {
            Ok((URI_PATH, name)) if text::is_printable(name) => path += name.len(),
            Ok((number, _)) if KNOWN.contains(&number) => {}
            // A request with broken options is still told to be CoAP where CoAP is spoken: drafts
            // had other ones.
            Ok(_) | Err(_) if message.is_response() => return Probe::No,
            Ok(_) | Err(_) => return Probe::Weak,
        }
    }
    // A letter or two may be chance.
    if path >= PATH_BYTES && !message.is_response() { Probe::Likely } else { Probe::Weak }
}

/// A flow that carries CoAP.
struct Coap {
    /// By client and token.
    pending: Pending<(Side, CompactToken), Operation>,
    /// The last request of each side, by message id: it is repeated until acknowledged.
    last: [Option<u16>; 2],
    client_said: bool,
}

/// A token of at most eight bytes, filled up, and its length.
type CompactToken = ([u8; 8], usize);

fn compact(token: &[u8]) -> CompactToken {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(token) {
        *to = *from;
    }
    (bytes, token.len())
}

impl Coap {
    const fn new() -> Self {
        Self { pending: Pending::new(WAITING), last: [None; 2], client_said: false }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        message: &Message<'_>,
        words: (&'static str, Action),
        out: &mut Out,
    ) {
        let last = input.side.of(&mut self.last);
        if last.replace(message.id) == Some(message.id) {
            return;
        }
        let mut operation = input.operation(NAME, input.side, words, message.proof);
        operation.code = Some(u32::from(message.code));
        let mut path = CompactString::default();
        for option in message.options() {
            match option {
                Ok((number @ (URI_PATH | URI_QUERY), part)) if path.len() < SPELLED => {
                    let is_first = !path.contains('?');
                    path.push(match number {
                        URI_PATH => '/',
                        _ if is_first => '?',
                        _ => '&',
                    });
                    path.push_str(&text::utf8(part));
                }
                // 0 or no value: register.
                Ok((OBSERVE, [] | [0])) if message.code == GET => {
                    operation.action = Action::Subscribe;
                }
                Ok(_) => {}
                Err(_) => {
                    violation(input, out);
                    break;
                }
            }
        }
        operation.object =
            Object::Text(if path.is_empty() { CompactString::const_new("/") } else { path });
        let key = (input.side, compact(message.token));
        if let Some(evicted) = self.pending.insert(key, operation) {
            out.operation(evicted);
        }
    }
}

fn violation(input: &Input<'_>, out: &mut Out) {
    if !input.truncated {
        out.push(input.violation(NAME, "coap-format", part_at(input.bytes, 0, 32)));
    }
}

impl Session for Coap {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let Some(message) = message(input.bytes) else { return input.bytes.len() };
        out.layer(NAME, input.side);
        let words = method(message.code);
        if message.code != 0 && !std::mem::replace(&mut self.client_said, true) {
            let client = if words.is_some() { input.side } else { input.side.other() };
            out.push(Item::Client(client));
        }
        if let Some(words) = words {
            self.request(input, &message, words, out);
        } else if message.is_response()
            && let Some(mut asked) =
                self.pending.take(&(input.side.other(), compact(message.token)))
        {
            asked.outcome = if message.code >> 5 == 2 { Outcome::Ok } else { Outcome::Error };
            out.operation(asked);
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        for operation in self.pending.drain() {
            out.operation(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn coap(kind: u8, code: u8, id: u8, token: &[u8], rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x40 | kind << 4 | token.len() as u8, code, 0, id];
        bytes.extend_from_slice(token);
        bytes.extend_from_slice(rest);
        bytes
    }

    /// Uri-Path "sensors", Uri-Path "temp", Uri-Query "u=C"
    const PATH: &[u8] = b"\xb7sensors\x04temp\x43u=C";

    #[test]
    fn requests_are_paired_by_their_token() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &coap(0, GET, 1, b"ab", PATH)),
                // again: the acknowledgement was late
                (Side::A, &coap(0, GET, 1, b"ab", PATH)),
                (Side::B, &coap(2, 0x45, 1, b"ab", b"\xff21.5")),
                (Side::A, &coap(0, 3, 2, b"cd", b"\xb3led\xff1")),
                (Side::B, &coap(2, 0x84, 2, b"cd", b"")),
                (Side::A, &coap(1, 4, 3, b"ef", b"")),
            ],
        );
        assert_eq!(
            vec![
                ("get", Some(1), "/sensors/temp?u=C".to_owned(), Outcome::Ok),
                ("put", Some(3), "/led".to_owned(), Outcome::Error),
                ("delete", Some(4), "/".to_owned(), Outcome::Unseen),
            ],
            testing::coded_operations(&items)
        );
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn an_answer_may_come_after_an_empty_acknowledgement() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &coap(0, GET, 1, b"ab", PATH)),
                (Side::B, &coap(2, 0, 1, b"", b"")),
                (Side::B, &coap(0, 0x45, 9, b"ab", b"\xff21.5")),
                (Side::A, &coap(2, 0, 9, b"", b"")),
            ],
        );
        assert_eq!(Outcome::Ok, testing::operations(&items)[0].2);
    }

    #[test]
    fn an_observation_is_a_subscription() {
        // Observe without value, Uri-Path
        let observe = coap(0, GET, 1, b"ab", b"\x60\x54temp");
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &observe),
                (Side::B, &coap(2, 0x45, 1, b"ab", b"\x61\x01\xff20")),
                (Side::B, &coap(1, 0x45, 7, b"ab", b"\x61\x02\xff21")),
            ],
        );
        assert!(items.iter().any(|item| matches!(item, Item::Operation(operation)
            if operation.action == Action::Subscribe && operation.outcome == Outcome::Ok)));
        assert_eq!(1, testing::operations(&items).len());
    }

    #[test]
    fn options_that_cannot_be_read_are_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &coap(0, GET, 1, b"ab", b"\xb9short"))]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "coap-format")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let get = coap(0, GET, 1, b"ab", PATH);
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &get)));
        assert_eq!(
            Probe::Weak,
            testing::probe(&PROTOCOL, (Side::B, &coap(2, 0x45, 1, b"ab", b"\xff21.5")))
        );
        let broken = coap(0, GET, 1, b"ab", b"\xb9short");
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, &broken)));
        let strange = coap(2, 0x45, 1, b"ab", b"\xb9short");
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, &strange)));
        // An acknowledgement asks for nothing, and 2.30 means nothing.
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &coap(2, GET, 1, b"ab", PATH))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &coap(2, 0x5e, 1, b"ab", b""))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &coap(0, 8, 1, b"", b""))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"\x80\x60\x00\x01rtp")));
    }

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(
            &PROTOCOL,
            &[
                (Side::A, &coap(0, GET, 1, b"ab", PATH)),
                (Side::B, &coap(2, 0x45, 1, b"ab", b"\x61\x01\xff21.5")),
                // delta and length of two bytes
                (Side::A, &coap(0, 2, 2, b"", b"\xee\x01\x00\x00\x00")),
            ],
        );
    }
}
