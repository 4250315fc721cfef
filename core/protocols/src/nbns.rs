//! NetBIOS name service over UDP.
//!
//! Sources: RFC 1001 §14.1 (first-level encoding: each byte becomes two letters A to P), RFC 1002
//! §4.2 (packets, opcodes, flags), §4.2.2 (name registration), §4.2.18 (node status response). The
//! 16th byte of a name is its service type (Microsoft, [MS-NBTE] §2.2.1); names are written
//! `NAME<20>` with it in hexadecimal. Opcode 15 (multi-homed registration) is [MS-NBTE] §2.2.2;
//! opcode 9 is the refresh of implementations that misread RFC 1002.
//!
//! The address lists of positive query responses and the statistics of a node status are not read.
//!
//! Violations: `nbns-header` (fewer than 12 bytes), `nbns-name` (a name that is not 32 letters A to
//! P followed by a scope).

use std::net::{IpAddr, Ipv4Addr};

use otic_wire::{Address, Cursor};

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Evidence, Item, Object, Operation, Out, Outcome, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// NetBIOS name service.
pub const PROTOCOL: Protocol = Protocol {
    name: "nbns",
    title: "NetBIOS name service",
    roles: ("client", "name server"),
    carriers: &[Carrier::Udp(&[137])],
    dissector: Dissector::Built { probe, session: || Box::new(Nbns::default()) },
    source: "RFC 1001, RFC 1002, [MS-NBTE]",
};

const TYPE_NB: u16 = 0x20;
const TYPE_NBSTAT: u16 = 0x21;
const FLAG_RESPONSE: u16 = 0x8000;
const FLAG_BROADCAST: u16 = 0x0010;
/// NB_FLAGS and NAME_FLAGS: a group name (RFC 1002 §4.2.1.3).
const FLAG_GROUP: u16 = 0x8000;

/// The opcode's name and class (RFC 1002 §4.2.1.1).
const fn operation_of(opcode: u16) -> (&'static str, Action) {
    match opcode {
        0 => ("query", Action::Read),
        5 => ("registration", Action::Session),
        6 => ("release", Action::Session),
        7 => ("wait-for-acknowledgement", Action::Session),
        8 | 9 => ("refresh", Action::Session),
        15 => ("multi-homed-registration", Action::Session),
        _ => ("unknown", Action::Session),
    }
}

/// An encoded name: its 32 letters, decoded.
#[derive(Clone, Copy)]
struct Name<'a> {
    letters: &'a [u8],
    decoded: [u8; 16],
}

impl<'a> Name<'a> {
    /// Reads a name with its scope, or a pointer to the one at the start of the message.
    fn read(message: &'a [u8], cursor: &mut Cursor<'a>) -> Option<Self> {
        let first = cursor.u8().ok()?;
        if first >> 6 == 3 {
            // Only the name of the first entry is ever pointed at (RFC 1002 §4.2.2).
            let low = cursor.u8().ok()?;
            let at = usize::from(first & 0x3f) << 8 | usize::from(low);
            let mut there = Cursor::new(message.get(at..)?);
            return (there.peek()? == 32).then(|| Self::read(&[], &mut there))?;
        }
        if first != 32 {
            return None;
        }
        let letters = cursor.take(32).ok()?;
        let mut decoded = [0; 16];
        for (byte, pair) in decoded.iter_mut().zip(letters.chunks_exact(2)) {
            let &[high, low] = pair else { return None };
            if !(b'A'..=b'P').contains(&high) || !(b'A'..=b'P').contains(&low) {
                return None;
            }
            *byte = (high - b'A') << 4 | (low - b'A');
        }
        // The scope: labels up to an empty one, or a pointer.
        loop {
            match cursor.u8().ok()? {
                0 => break,
                length if length < 64 => cursor.skip(usize::from(length)).ok()?,
                _ => {
                    cursor.skip(1).ok()?;
                    break;
                }
            }
        }
        Some(Self { letters, decoded })
    }

    const fn suffix(&self) -> u8 {
        let [.., suffix] = self.decoded;
        suffix
    }

    /// The name without its suffix and padding.
    fn text(&self) -> &[u8] {
        unpadded(self.decoded.get(..15).unwrap_or_default())
    }

    fn object(&self) -> Object {
        let name = text::utf8(self.text());
        Object::Text(compact_str::format_compact!("{name}<{:02x}>", self.suffix()))
    }
}

/// Names are filled with blanks, the wildcard `*` with NUL bytes.
fn unpadded(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
    name.get(..end).unwrap_or_default()
}

fn probe(input: &Input<'_>) -> Probe {
    let mut cursor = Cursor::new(input.bytes);
    let mut field = || cursor.u16_be().ok();
    let (Some(_), Some(flags), Some(questions), Some(answers), Some(_), Some(_)) =
        (field(), field(), field(), field(), field(), field())
    else {
        return Probe::No;
    };
    if !matches!(flags >> 11 & 15, 0 | 5..=9 | 15) || questions > 1 || answers > 1 {
        return Probe::No;
    }
    let is_name = Name::read(input.bytes, &mut cursor).is_some();
    match (is_name, cursor.u16_be(), cursor.u16_be()) {
        (true, Ok(TYPE_NB | TYPE_NBSTAT | 0x0a), Ok(1)) => Probe::Certain,
        _ => Probe::No,
    }
}

struct Nbns {
    pending: Pending<(u16, Side), Operation>,
    answered: Option<(u16, Side)>,
    client_told: bool,
}

impl Default for Nbns {
    fn default() -> Self {
        Self { pending: Pending::new(64), answered: None, client_told: false }
    }
}

impl Nbns {
    fn message<'a>(&mut self, input: &Input<'a>, out: &mut Out) -> Result<(), &'static str> {
        let message = input.bytes;
        let mut cursor = Cursor::new(message);
        let mut field = || cursor.u16_be().map_err(|_| "nbns-header");
        let (id, flags) = (field()?, field()?);
        let (questions, answers, authorities, additional) =
            (field()?, field()?, field()?, field()?);
        let is_response = flags & FLAG_RESPONSE != 0;
        let mut object = Object::None;
        let mut kind = TYPE_NB;
        if questions > 0 {
            let name = Name::read(message, &mut cursor).ok_or("nbns-name")?;
            kind = cursor.u16_be().map_err(|_| "nbns-name")?;
            cursor.skip(2).map_err(|_| "nbns-name")?;
            object = name.object();
        }
        let opcode = flags >> 11 & 15;
        let mut owned = None;
        if answers > 0 || authorities > 0 || additional > 0 {
            let name = Name::read(message, &mut cursor).ok_or("nbns-name")?;
            kind = cursor.u16_be().map_err(|_| "nbns-name")?;
            cursor.skip(6).map_err(|_| "nbns-name")?;
            let length = cursor.u16_be().map_err(|_| "nbns-name")?;
            let data = cursor.take(usize::from(length)).unwrap_or_default();
            if is_response {
                object = name.object();
            }
            owned = Some((name, data));
        }
        let (mut label, action) = operation_of(opcode);
        if label == "query" && kind == TYPE_NBSTAT {
            label = "node-status-query";
        }
        let asker = if is_response { input.side.other() } else { input.side };
        let mut operation = Operation {
            object,
            outcome: Outcome::None,
            ..input.operation(PROTOCOL.name, asker, (label, action), message)
        };
        let key = (id, asker);
        if is_response && opcode == 7 {
            // "Wait for acknowledgement" only buys the name server time.
        } else if is_response {
            let outcome = if flags & 15 == 0 { Outcome::Ok } else { Outcome::Error };
            let mut paired = false;
            while let Some(mut asked) = self.pending.take(&key) {
                paired = true;
                asked.outcome = outcome;
                out.operation(asked);
            }
            if !paired && self.answered != Some(key) {
                operation.outcome = outcome;
                out.unpaired(operation);
            }
            self.answered = Some(key);
        } else if flags & FLAG_BROADCAST != 0 || input.destination.is_group() {
            // Asked of everybody: who answers does so from an address of its own, or not at all.
            out.operation(operation);
        } else {
            if !self.client_told {
                self.client_told = true;
                out.push(Item::Client(input.side));
            }
            self.answered = self.answered.filter(|answered| *answered != key);
            operation.outcome = Outcome::Unseen;
            if let Some(evicted) = self.pending.insert(key, operation) {
                out.operation(evicted);
            }
        }
        match owned {
            Some((name, data)) if !is_response && matches!(opcode, 5 | 8 | 9 | 15) => {
                registered(input, label, &name, data, out);
            }
            Some((_, data)) if is_response && kind == TYPE_NBSTAT => node_status(input, data, out),
            _ => {}
        }
        Ok(())
    }
}

/// A host registers or refreshes a name of its own: NB_FLAGS and NB_ADDRESS (RFC 1002 §4.2.2).
fn registered(
    input: &Input<'_>,
    message: &'static str,
    name: &Name<'_>,
    data: &[u8],
    out: &mut Out,
) {
    let mut cursor = Cursor::new(data);
    let (Ok(flags), Ok(address)) = (cursor.u16_be(), cursor.array::<4>()) else { return };
    let address = Address::Ip(IpAddr::V4(Ipv4Addr::from(address)));
    let attribute = match (flags & FLAG_GROUP != 0, name.suffix()) {
        (false, 0x00 | 0x20) => "name",
        (true, 0x00 | 0x1e) => "workgroup",
        _ => return,
    };
    let text = name.text();
    if !text::is_printable(text) {
        return;
    }
    let own = input.source == address || address.is_none();
    out.claim(Claim {
        who: if own { Who::Sender(Child::None) } else { Who::Address(address, Child::None) },
        attribute,
        value: text::utf8(text),
        protocol: PROTOCOL.name,
        message,
        confidence: if own { Confidence::High } else { Confidence::Medium },
        evidence: Evidence {
            spans: input.locate(name.letters.get(..text.len() * 2).unwrap_or_default()),
            decode: Decode::NbnsName,
        },
    });
}

/// The names a node says it has (RFC 1002 §4.2.18): 15 bytes, suffix, flags each.
fn node_status(input: &Input<'_>, data: &[u8], out: &mut Out) {
    let mut cursor = Cursor::new(data);
    let count = cursor.u8().unwrap_or_default();
    let mut named = false;
    for _ in 0..count {
        let (Ok(name), Ok(suffix), Ok(flags)) = (cursor.take(15), cursor.u8(), cursor.u16_be())
        else {
            return;
        };
        let name = unpadded(name);
        let attribute = match (flags & FLAG_GROUP != 0, suffix) {
            (false, 0x00) if !named => "name",
            (true, 0x00) => "workgroup",
            _ => continue,
        };
        named |= attribute == "name";
        if text::is_printable(name) {
            out.claim(Claim {
                who: Who::Sender(Child::None),
                attribute,
                value: text::utf8(name),
                protocol: PROTOCOL.name,
                message: "node-status-response",
                confidence: Confidence::High,
                evidence: input.evidence(name, Decode::Ascii),
            });
        }
    }
}

impl Session for Nbns {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(PROTOCOL.name, input.side);
        if let Err(rule) = self.message(input, out)
            && !input.truncated
        {
            out.push(input.violation(PROTOCOL.name, rule, input.bytes));
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

    /// First-level encoding of a name and its suffix, with length byte and empty scope.
    fn encoded(name: &str, suffix: u8) -> Vec<u8> {
        let mut plain = format!("{name:<15}").into_bytes();
        plain.push(suffix);
        let mut bytes = vec![32];
        bytes.extend(plain.iter().flat_map(|byte| [b'A' + (byte >> 4), b'A' + (byte & 15)]));
        bytes.push(0);
        bytes
    }

    fn registration() -> Vec<u8> {
        let mut bytes = vec![0x80, 0x01]; // id
        bytes.extend([0x29, 0x10]); // registration, recursion desired, broadcast
        bytes.extend([0, 1, 0, 0, 0, 0, 0, 1]); // a question and an additional record
        bytes.extend(encoded("SCADA1", 0x00));
        bytes.extend([0, 0x20, 0, 1]); // NB, IN
        bytes.extend([0xc0, 12]); // pointer to the question's name
        bytes.extend([0, 0x20, 0, 1, 0, 0, 0, 0, 0, 6]); // NB, IN, TTL 0, 6 bytes
        bytes.extend([0x00, 0x00, 192, 0, 2, 1]); // unique, B node, address
        bytes
    }

    fn status_query() -> Vec<u8> {
        let mut bytes = vec![0x00, 0x07, 0x00, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.push(32);
        bytes.extend(b"CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"); // `*` and 15 NUL bytes
        bytes.push(0);
        bytes.extend([0, 0x21, 0, 1]); // NBSTAT, IN
        bytes
    }

    fn status_response() -> Vec<u8> {
        let mut bytes = vec![0x00, 0x07, 0x84, 0x00, 0, 0, 0, 1, 0, 0, 0, 0];
        bytes.push(32);
        bytes.extend(b"CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        bytes.push(0);
        bytes.extend([0, 0x21, 0, 1, 0, 0, 0, 0, 0, 43]); // NBSTAT, IN, TTL 0, 43 bytes
        bytes.push(2); // two names
        bytes.extend(b"HMI-7          \x00\x04\x00"); // unique, active
        bytes.extend(b"PLANT          \x00\x84\x00"); // group, active
        bytes.extend([2, 0, 0, 0, 0, 2]); // unit id
        bytes
    }

    #[test]
    fn a_registration_names_its_sender() {
        let message = registration();
        let items = testing::items(&PROTOCOL, &[(Side::A, &message)]);
        let claim = items.iter().find_map(|item| match item {
            Item::Claim(claim) => Some(claim),
            _ => None,
        });
        let claim = claim.unwrap();
        assert_eq!(("name", "SCADA1"), (claim.attribute, claim.value.as_str()));
        assert_eq!((54 + 13, 12), (claim.evidence.spans[0].offset, claim.evidence.spans[0].length));
        assert!(items.iter().any(|item| matches!(item, Item::Operation(o)
            if o.name == "registration" && o.object.to_text() == "SCADA1<00>"
            && o.outcome == Outcome::None)));
    }

    #[test]
    fn a_node_status_response_answers_its_query_and_names_the_node() {
        let (query, response) = (status_query(), status_response());
        let talk = [(Side::A, query.as_slice()), (Side::B, response.as_slice())];
        let items = testing::items(&PROTOCOL, &talk);
        assert!(items.iter().any(|item| matches!(item, Item::Operation(o)
            if o.name == "node-status-query" && o.object.to_text() == "*<00>"
            && o.outcome == Outcome::Ok)));
        let claims: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Claim(c) => Some((c.attribute, c.value.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(vec![("name", "HMI-7"), ("workgroup", "PLANT")], claims);
        let registration = registration();
        testing::survives(&PROTOCOL, &[talk[0], talk[1], (Side::A, &registration)]);
    }

    #[test]
    fn only_encoded_names_are_recognised() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &registration())));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::B, &status_response())));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[0; 60])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"short")));
    }
}
