//! SNMP versions 1, 2c and 3 over UDP.
//!
//! Sources: RFC 1157 §4 (version 1 and its trap), RFC 1901 and RFC 3416 §3 (PDUs), RFC 3412 §6
//! (version 3 message), RFC 3414 §2.4 (security parameters), RFC 3411 §5 (engine id), RFC 3584 §3.1
//! (trap object of a version 1 trap), X.690 §8 (BER). Objects that become claims: SNMPv2-MIB
//! (RFC 3418), ENTITY-MIB `entPhysicalTable` (RFC 6933), Printer-MIB `prtGeneralSerialNumber`
//! (RFC 3805).
//!
//! The code is the PDU's tag number; the object is the list of asked identifiers, shortened after
//! four. Communities and user names are secrets and never kept. Encrypted version 3 PDUs, party
//! based version 2 and private MIBs are not decoded.
//!
//! Violations: `snmp-ber` (a length that does not fit or a type that must not stand there).

use std::fmt::Write as _;

use compact_str::CompactString;
use otic_wire::Cursor;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::ber_tags::{dotted, element, expect, integer};
use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Evidence, Item, Object, Operation, Out,
    Outcome, Value, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// SNMP.
pub const PROTOCOL: Protocol = Protocol {
    name: "snmp",
    title: "SNMP",
    roles: ("manager", "agent"),
    carriers: &[Carrier::Udp(&[161, 162])],
    dissector: Dissector::Built { probe, session: || Box::new(Snmp::default()) },
    source: "RFC 3416, RFC 3412, RFC 1157",
};

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const IP_ADDRESS: u8 = 0x40;
const COUNTER64: u8 = 0x46;

const RESPONSE: u8 = 2;
const SET: u8 = 3;
const TRAP_V1: u8 = 4;
const INFORM: u8 = 6;
const TRAP_V2: u8 = 7;
const REPORT: u8 = 8;

/// Identifiers written out of one request.
const NAMED: usize = 4;
/// Bindings read of one message.
const BINDINGS: usize = 128;
/// Values remembered to tell what a write changed.
const REMEMBERED: usize = 256;

/// 1.3.6.1.2.1.1: the system group.
const SYSTEM: &[u8] = &[0x2b, 6, 1, 2, 1, 1];
/// 1.3.6.1.2.1.47.1.1.1.1: entPhysicalEntry.
const ENTITY: &[u8] = &[0x2b, 6, 1, 2, 1, 47, 1, 1, 1, 1];
/// 1.3.6.1.2.1.43.5.1.1.17: prtGeneralSerialNumber.
const PRINTER_SERIAL: &[u8] = &[0x2b, 6, 1, 2, 1, 43, 5, 1, 1, 17];
/// 1.3.6.1.6.3.1.1.4.1.0: snmpTrapOID.0.
const TRAP_OID: &[u8] = &[0x2b, 6, 1, 6, 3, 1, 1, 4, 1, 0];

/// The PDU's name and class (RFC 1157 §4.1, RFC 3416 §3).
const fn operation_of(tag: u8) -> Option<(&'static str, Action)> {
    Some(match tag {
        0 => ("get-request", Action::Read),
        1 => ("get-next-request", Action::Read),
        RESPONSE => ("response", Action::Read),
        SET => ("set-request", Action::Write),
        TRAP_V1 => ("trap", Action::Subscribe),
        5 => ("get-bulk-request", Action::Read),
        INFORM => ("inform-request", Action::Subscribe),
        TRAP_V2 => ("snmpv2-trap", Action::Subscribe),
        REPORT => ("report", Action::Read),
        _ => return None,
    })
}

/// One name and value.
#[derive(Clone, Copy)]
struct Binding<'a> {
    name: &'a [u8],
    tag: u8,
    value: &'a [u8],
}

impl Binding<'_> {
    fn value(&self) -> Option<Value> {
        Some(match self.tag {
            INTEGER | 0x41..=0x43 | COUNTER64 => Value::Integer(integer(self.value)?),
            OCTETS if text::is_printable(self.value) => Value::Text(text::utf8(self.value)),
            OBJECT => Value::Text(dotted(self.value)?),
            IP_ADDRESS => {
                let [a, b, c, d] = *self.value.first_chunk::<4>()?;
                Value::Text(compact_str::format_compact!("{a}.{b}.{c}.{d}"))
            }
            OCTETS | 0x44 | 0x45 => {
                Value::Bytes(self.value.get(..self.value.len().min(256))?.into())
            }
            _ => return None,
        })
    }

    fn decode(&self) -> Decode {
        match self.tag {
            OCTETS if text::is_printable(self.value) => Decode::Utf8,
            OBJECT => Decode::Oid,
            IP_ADDRESS => Decode::Dotted,
            OCTETS | 0x44 | 0x45 => Decode::Hex,
            _ if matches!(self.value.len(), 1..=4 | 8)
                && self.value.first().is_some_and(|byte| byte & 0x80 == 0) =>
            {
                Decode::UnsignedBe
            }
            _ => Decode::Derived,
        }
    }
}

type Bindings<'a> = SmallVec<[Binding<'a>; 8]>;

/// Reads the list of bindings; what was read before an error stays.
fn bindings<'a>(list: &'a [u8], cut: bool) -> (Bindings<'a>, bool) {
    let mut bindings = Bindings::new();
    let mut cursor = Cursor::new(list);
    while !cursor.is_empty() && bindings.len() < BINDINGS {
        let Some(pair) = expect(&mut cursor, SEQUENCE, cut) else { return (bindings, false) };
        let mut pair = Cursor::new(pair);
        let name = expect(&mut pair, OBJECT, cut);
        let (Some(name), Some((tag, value))) = (name, element(&mut pair, cut)) else {
            return (bindings, false);
        };
        bindings.push(Binding { name, tag, value });
    }
    (bindings, true)
}

/// What stands around the PDU.
struct Envelope<'a> {
    /// Message id of version 3, which pairs where request ids differ.
    message_id: Option<i64>,
    engine: &'a [u8],
    /// Tag and content of the PDU; none when it is encrypted.
    pdu: Option<(u8, &'a [u8])>,
}

impl<'a> Envelope<'a> {
    fn read(bytes: &'a [u8], cut: bool) -> Option<Self> {
        let mut message = Cursor::new(expect(&mut Cursor::new(bytes), SEQUENCE, cut)?);
        match integer(expect(&mut message, INTEGER, cut)?)? {
            // User-based version 2 has the same envelope (RFC 1910 §3).
            0..=2 => {
                expect(&mut message, OCTETS, cut)?;
                let pdu = element(&mut message, cut)?;
                Some(Self { message_id: None, engine: &[], pdu: Some(pdu) })
            }
            3 => {
                let mut global = Cursor::new(expect(&mut message, SEQUENCE, cut)?);
                let message_id = integer(expect(&mut global, INTEGER, cut)?)?;
                expect(&mut global, INTEGER, cut)?; // largest message
                expect(&mut global, OCTETS, cut)?; // flags
                let model = integer(expect(&mut global, INTEGER, cut)?)?;
                let mut security = Cursor::new(expect(&mut message, OCTETS, cut)?);
                let mut engine: &[u8] = &[];
                if model == 3 {
                    let mut user = Cursor::new(expect(&mut security, SEQUENCE, cut)?);
                    engine = expect(&mut user, OCTETS, cut)?;
                }
                let (tag, content) = element(&mut message, cut)?;
                let pdu = match tag {
                    SEQUENCE => {
                        let mut scoped = Cursor::new(content);
                        expect(&mut scoped, OCTETS, cut)?; // context engine
                        expect(&mut scoped, OCTETS, cut)?; // context name
                        Some(element(&mut scoped, cut)?)
                    }
                    OCTETS => None,
                    _ => return None,
                };
                Some(Self { message_id: Some(message_id), engine, pdu })
            }
            _ => None,
        }
    }
}

fn probe(input: &Input<'_>) -> Probe {
    let mut cursor = Cursor::new(input.bytes);
    // A broken length is still told to be SNMP where SNMP is spoken.
    let Some(message) = expect(&mut cursor, SEQUENCE, true) else { return Probe::No };
    let is_whole = input.truncated
        || expect(&mut Cursor::new(input.bytes), SEQUENCE, false).is_some() && cursor.is_empty();
    match Envelope::read(input.bytes, input.truncated) {
        Some(Envelope { pdu: Some((0xa0..=0xa8, _)) | None, .. }) if is_whole => Probe::Certain,
        _ => {
            let mut message = Cursor::new(message);
            let version = expect(&mut message, INTEGER, false).and_then(integer);
            match (version, message.peek()) {
                (Some(0 | 1), Some(OCTETS)) | (Some(3), Some(SEQUENCE)) => Probe::Weak,
                _ => Probe::No,
            }
        }
    }
}

/// A request that waits, with what it would change.
struct Waiting {
    operation: Box<Operation>,
    changes: Vec<Change>,
}

type Key = (bool, i64, Side);

struct Snmp {
    pending: Pending<Key, Waiting>,
    answered: Option<Key>,
    values: FxHashMap<SmallVec<[u8; 24]>, Value>,
    /// Smallest entity index told so far, by column: the chassis comes first.
    entities: [Option<u32>; 14],
    client_told: bool,
}

impl Default for Snmp {
    fn default() -> Self {
        Self {
            pending: Pending::new(128),
            answered: None,
            values: FxHashMap::default(),
            entities: [None; 14],
            client_told: false,
        }
    }
}

impl Snmp {
    fn message(&mut self, input: &Input<'_>, out: &mut Out) -> Option<()> {
        let cut = input.truncated;
        let envelope = Envelope::read(input.bytes, cut)?;
        let Some((tag, content)) = envelope.pdu else {
            out.push(Item::NotDecoded(PROTOCOL.name, "encrypted"));
            return Some(());
        };
        if tag & 0xe0 != 0xa0 {
            return None;
        }
        let tag = tag & 0x1f;
        let (name, action) = operation_of(tag)?;
        let mut cursor = Cursor::new(content);
        if tag == TRAP_V1 {
            self.trap_v1(input, &mut cursor, out)?;
            return Some(());
        }
        let request_id = integer(expect(&mut cursor, INTEGER, cut)?)?;
        let error_status = integer(expect(&mut cursor, INTEGER, cut)?)?;
        expect(&mut cursor, INTEGER, cut)?; // error index or repetitions
        let (list, complete) = match expect(&mut cursor, SEQUENCE, cut) {
            Some(list) => bindings(list, cut),
            None => (Bindings::new(), false),
        };
        let is_reply = matches!(tag, RESPONSE | REPORT);
        let asker = if is_reply { input.side.other() } else { input.side };
        let id = envelope.message_id.unwrap_or(request_id);
        let key = (envelope.message_id.is_some(), id, asker);
        if !std::mem::replace(&mut self.client_told, true) {
            out.push(Item::Client(asker));
        }
        if is_reply || tag == TRAP_V2 {
            engine(input, &envelope, name, out);
        }
        if is_reply {
            let failed = tag == REPORT || error_status != 0;
            let outcome = if failed { Outcome::Error } else { Outcome::Ok };
            let mut kind = None;
            while let Some(mut waiting) = self.pending.take(&key) {
                kind = Some(waiting.operation.code);
                waiting.operation.outcome = outcome;
                self.report(waiting, out);
            }
            if kind.is_none() && self.answered != Some(key) {
                let mut operation = describe(input, tag, name, action, asker, objects(&list));
                operation.outcome = outcome;
                out.unpaired(operation);
            }
            self.answered = Some(key);
            if !failed && kind != Some(Some(u32::from(INFORM))) {
                self.values(input, name, &list, out);
            }
        } else if tag == TRAP_V2 {
            let mut operation = describe(input, tag, name, action, asker, trap_object(&list));
            operation.outcome = Outcome::None;
            out.operation(operation);
        } else {
            let object = if tag == INFORM { trap_object(&list) } else { objects(&list) };
            let operation = describe(input, tag, name, action, asker, object);
            let changes = if tag == SET { self.changes(input, &list) } else { Vec::new() };
            self.answered = self.answered.filter(|answered| *answered != key);
            if let Some(evicted) =
                self.pending.insert(key, Waiting { operation: Box::new(operation), changes })
            {
                self.report(evicted, out);
            }
        }
        (complete || cut).then_some(())
    }

    /// RFC 1157 §4.1.6: enterprise, agent address, generic and specific trap, time, bindings.
    fn trap_v1(&mut self, input: &Input<'_>, cursor: &mut Cursor<'_>, out: &mut Out) -> Option<()> {
        let cut = input.truncated;
        let enterprise = dotted(expect(cursor, OBJECT, cut)?)?;
        expect(cursor, IP_ADDRESS, cut)?;
        let generic = integer(expect(cursor, INTEGER, cut)?)?;
        let specific = integer(expect(cursor, INTEGER, cut)?)?;
        // The same notification under version 2 (RFC 3584 §3.1).
        let object = match generic {
            0..=5 => compact_str::format_compact!("1.3.6.1.6.3.1.1.5.{}", generic + 1),
            _ => compact_str::format_compact!("{enterprise}.0.{specific}"),
        };
        if !std::mem::replace(&mut self.client_told, true) {
            out.push(Item::Client(input.side));
        }
        let (name, action) = operation_of(TRAP_V1)?;
        let object = Object::Text(object);
        let mut operation = describe(input, TRAP_V1, name, action, input.side, object);
        operation.outcome = Outcome::None;
        out.operation(operation);
        Some(())
    }

    fn report(&mut self, waiting: Waiting, out: &mut Out) {
        let refused = waiting.operation.outcome == Outcome::Error;
        out.operation(waiting.operation);
        if !refused {
            waiting.changes.into_iter().for_each(|change| out.push(Item::Change(change)));
        }
    }

    fn changes(&mut self, input: &Input<'_>, list: &Bindings<'_>) -> Vec<Change> {
        let mut changes = Vec::new();
        for binding in list.iter().take(16) {
            let (Some(name), Some(new)) = (dotted(binding.name), binding.value()) else { continue };
            let old = self.remember(binding.name, new.clone());
            changes.push(Change {
                protocol: PROTOCOL.name,
                connection: PROTOCOL.name,
                sender: input.side,
                server_child: Child::None,
                object: Object::Text(name),
                old,
                new,
                evidence: input.evidence(binding.value, binding.decode()),
                ts_ns: input.ts_ns,
            });
        }
        changes
    }

    /// Remembers a value while there is room; the one before.
    fn remember(&mut self, name: &[u8], value: Value) -> Option<Value> {
        if let Some(known) = self.values.get_mut(name) {
            return Some(std::mem::replace(known, value));
        }
        if self.values.len() < REMEMBERED {
            self.values.insert(SmallVec::from_slice(name), value);
        }
        None
    }

    /// Values an agent gave: remembered, and claims where they name the device.
    fn values(
        &mut self,
        input: &Input<'_>,
        message: &'static str,
        list: &Bindings<'_>,
        out: &mut Out,
    ) {
        for binding in list {
            if let Some(value) = binding.value() {
                self.remember(binding.name, value);
            }
            let Some((attribute, confidence)) = self.attribute(binding) else { continue };
            let (value, evidence) = match binding.tag {
                OCTETS => {
                    let part = text::trim(binding.value);
                    (text::utf8(part), input.evidence(part, Decode::Utf8))
                }
                OBJECT => (
                    dotted(binding.value).unwrap_or_default(),
                    input.evidence(binding.value, Decode::Oid),
                ),
                _ => continue,
            };
            claim(message, attribute, value, confidence, evidence, out);
        }
    }

    fn attribute(&mut self, binding: &Binding<'_>) -> Option<(&'static str, Confidence)> {
        let is_empty = text::trim(binding.value).is_empty();
        if let Some([column, 0]) = binding.name.strip_prefix(SYSTEM) {
            return Some(match column {
                1 => ("description", Confidence::High),
                2 => ("sys_object_id", Confidence::High),
                4 => ("contact", Confidence::Medium),
                5 => ("name", Confidence::High),
                6 => ("location", Confidence::Medium),
                _ => return None,
            });
        }
        if binding.name.starts_with(PRINTER_SERIAL) {
            return Some(("serial", Confidence::High));
        }
        let [column, index @ ..] = binding.name.strip_prefix(ENTITY)? else { return None };
        let attribute = match column {
            8 => "hardware",
            // Revision of the firmware, else of the software: what vendors call firmware.
            9 | 10 => "firmware",
            11 => "serial",
            12 => "vendor",
            13 => "model",
            _ => return None,
        };
        // Modules have entries of their own; the first one with a value is the device.
        let index = index.iter().try_fold(0_u32, |arc, byte| {
            arc.checked_mul(128).map(|arc| arc | u32::from(byte & 0x7f))
        })?;
        let known = self.entities.get_mut(usize::from(*column))?;
        if is_empty || known.is_some_and(|known| known < index) {
            return None;
        }
        *known = Some(index);
        Some((attribute, Confidence::Medium))
    }
}

/// The agent's engine id, where the sender must be the authoritative one (RFC 3412 §7.1).
fn engine(input: &Input<'_>, envelope: &Envelope<'_>, message: &'static str, out: &mut Out) {
    // 5 to 32 bytes (RFC 3411, SnmpEngineID).
    if (5..=32).contains(&envelope.engine.len()) {
        let mut value = CompactString::default();
        for byte in envelope.engine {
            let _ = write!(value, "{byte:02x}");
        }
        let evidence = input.evidence(envelope.engine, Decode::Hex);
        claim(message, "snmp_engine_id", value, Confidence::High, evidence, out);
    }
}

fn claim(
    message: &'static str,
    attribute: &'static str,
    value: CompactString,
    confidence: Confidence,
    evidence: Evidence,
    out: &mut Out,
) {
    out.claim(Claim {
        who: Who::Sender(Child::None),
        attribute,
        value,
        protocol: PROTOCOL.name,
        message,
        confidence,
        evidence,
    });
}

fn describe(
    input: &Input<'_>,
    tag: u8,
    name: &'static str,
    action: Action,
    sender: Side,
    object: Object,
) -> Operation {
    Operation {
        code: Some(u32::from(tag)),
        object,
        ..input.operation(PROTOCOL.name, sender, (name, action), input.bytes)
    }
}

/// The identifiers asked for, the first few of many.
fn objects(list: &Bindings<'_>) -> Object {
    let mut names = list.iter().take(NAMED).filter_map(|one| dotted(one.name));
    let mut text = names.next().unwrap_or_default();
    for name in names {
        text.push_str(", ");
        text.push_str(&name);
    }
    if list.len() > NAMED {
        let _ = write!(text, " +{}", list.len() - NAMED);
    }
    if text.is_empty() { Object::None } else { Object::Text(text) }
}

/// What a notification is about: the value of snmpTrapOID.0 (RFC 3416 §4.2.6).
fn trap_object(list: &Bindings<'_>) -> Object {
    list.iter()
        .find(|binding| binding.name == TRAP_OID && binding.tag == OBJECT)
        .and_then(|binding| dotted(binding.value))
        .map_or(Object::None, Object::Text)
}

impl Session for Snmp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(PROTOCOL.name, input.side);
        if self.message(input, out).is_none() && !input.truncated {
            out.push(input.violation(PROTOCOL.name, "snmp-ber", input.bytes));
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        let waiting: Vec<Waiting> = self.pending.drain().collect();
        waiting.into_iter().for_each(|waiting| self.report(waiting, out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        if content.len() < 128 {
            bytes.push(content.len() as u8);
        } else {
            bytes.extend([0x82, (content.len() >> 8) as u8, content.len() as u8]);
        }
        bytes.extend(content);
        bytes
    }

    const SYS_NAME: &[u8] = &[0x2b, 6, 1, 2, 1, 1, 5, 0];

    fn pdu(tag: u8, error: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
        let binding = tlv(SEQUENCE, &[tlv(OBJECT, name), value.to_vec()].concat());
        tlv(
            0xa0 | tag,
            &[
                vec![2, 2, 0x12, 0x34], // request id
                vec![2, 1, error],      // error status
                vec![2, 1, 0],          // error index
                tlv(SEQUENCE, &binding),
            ]
            .concat(),
        )
    }

    /// A version 2c message.
    fn message(pdu: &[u8]) -> Vec<u8> {
        tlv(SEQUENCE, &[vec![2, 1, 1], tlv(OCTETS, b"secret"), pdu.to_vec()].concat())
    }

    #[test]
    fn a_get_of_the_name_is_one_operation_and_a_claim() {
        let get = message(&pdu(0, 0, SYS_NAME, &[5, 0])); // NULL
        let response = message(&pdu(RESPONSE, 0, SYS_NAME, &tlv(OCTETS, b"switch-3")));
        let talk = [(Side::A, get.as_slice()), (Side::B, &response), (Side::B, &response)];
        let items = testing::items(&PROTOCOL, &talk);
        let operations: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(o) | Item::Unpaired(o) => {
                    Some((o.code, o.name, o.object.to_text(), o.outcome))
                }
                _ => None,
            })
            .collect();
        let object = "1.3.6.1.2.1.1.5.0".into();
        assert_eq!(vec![(Some(0), "get-request", object, Outcome::Ok)], operations);
        assert!(items.iter().any(|item| matches!(item, Item::Claim(c)
            if c.attribute == "name" && c.value == "switch-3" && c.evidence.decode == Decode::Utf8)));
        assert!(!format!("{items:?}").contains("secret"));
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn a_set_is_a_change_from_the_value_seen_before() {
        let old = message(&pdu(RESPONSE, 0, SYS_NAME, &tlv(OCTETS, b"old")));
        let set = message(&pdu(SET, 0, SYS_NAME, &tlv(OCTETS, b"new")));
        let refused = message(&pdu(RESPONSE, 5, SYS_NAME, &tlv(OCTETS, b"new")));
        let items = testing::items(&PROTOCOL, &[(Side::B, &old), (Side::A, &set)]);
        assert!(items.iter().any(|item| matches!(item, Item::Change(change)
            if change.old == Some(Value::Text("old".into()))
            && change.new == Value::Text("new".into()))));
        let items = testing::items(&PROTOCOL, &[(Side::A, &set), (Side::B, &refused)]);
        assert!(!items.iter().any(|item| matches!(item, Item::Change(_))));
        assert!(
            items.iter().any(|i| matches!(i, Item::Operation(o) if o.outcome == Outcome::Error))
        );
    }

    #[test]
    fn traps_of_both_versions_name_what_happened() {
        let v1 = tlv(
            0xa4,
            &[
                tlv(OBJECT, &[0x2b, 6, 1, 4, 1, 9]), // enterprise 9
                vec![0x40, 4, 192, 0, 2, 1],         // agent
                vec![2, 1, 3],                       // link up
                vec![2, 1, 0],
                vec![0x43, 1, 9], // time
                tlv(SEQUENCE, &[]),
            ]
            .concat(),
        );
        let cold_start = tlv(OBJECT, &[0x2b, 6, 1, 6, 3, 1, 1, 5, 1]);
        let v2 = message(&pdu(TRAP_V2, 0, TRAP_OID, &cold_start));
        let v1 = message(&v1);
        let items = testing::items(&PROTOCOL, &[(Side::A, &v1), (Side::A, &v2)]);
        let traps: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(o) => Some((o.code, o.object.to_text(), o.outcome)),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![
                (Some(4), "1.3.6.1.6.3.1.1.5.4".into(), Outcome::None),
                (Some(7), "1.3.6.1.6.3.1.1.5.1".into(), Outcome::None)
            ],
            traps
        );
        testing::survives(&PROTOCOL, &[(Side::A, &v1), (Side::A, &v2)]);
    }

    #[test]
    fn an_encrypted_message_is_known_but_not_decoded() {
        let global = [vec![2, 1, 7], vec![2, 2, 5, 0xdc], vec![4, 1, 7], vec![2, 1, 3]].concat();
        let user = [
            tlv(OCTETS, &[0x80, 0, 0x1f, 0x88, 1]), // engine id
            vec![2, 1, 1, 2, 1, 1],                 // boots, time
            tlv(OCTETS, b"user"),
            tlv(OCTETS, &[0; 12]),
            tlv(OCTETS, &[0; 8]),
        ]
        .concat();
        let v3 = tlv(
            SEQUENCE,
            &[
                vec![2, 1, 3],
                tlv(SEQUENCE, &global),
                tlv(OCTETS, &tlv(SEQUENCE, &user)),
                tlv(OCTETS, &[0x99; 40]),
            ]
            .concat(),
        );
        let items = testing::items(&PROTOCOL, &[(Side::A, &v3)]);
        assert!(items.contains(&Item::NotDecoded("snmp", "encrypted")));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &v3)));
        testing::survives(&PROTOCOL, &[(Side::A, &v3)]);
    }

    #[test]
    fn the_probe_wants_nested_lengths_that_fit() {
        let get = message(&pdu(0, 0, SYS_NAME, &[5, 0]));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &get)));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, &get[..20])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[0x30, 0x82, 1, 1])));
    }
}
