//! IEC 61850 MMS: clients that read, write and control the objects of IEDs, and their reports.
//!
//! Sources: ISO 9506-2 clause 7 (PDUs and services) and the clauses of the services;
//! IEC 61850-8-1 (how the IEC 61850 model maps to MMS names, reports). The layers below are in
//! [`association`] (some stacks leave them out) and [`iso_transport`](crate::iso_transport). S7comm shares port 102: the first
//! byte of the transport's data tells them apart.
//!
//! The code of an operation is the service's tag; unconfirmed services have an operation protocol
//! of their own, and so have initiate, conclude and cancel, which are no services.
//!
//! Rules broken on the wire:
//! * `iso-transport-header`: bytes inside a session are no TPKT packet.
//! * `mms-length`: an MMS PDU is longer than the message that carries it.
//!
//! Not decoded: contents of domains and files, structures and arrays of written data, entries of
//! journals, presentation contexts other than the one that carries MMS.

mod association;
mod services;

use compact_str::{CompactString, format_compact};

use self::association::Carried;
use crate::ber::{self, Element};
use crate::fields::part_at;
use crate::iso_transport::{self, Front, Joined, Kind, Segments};
use crate::out::{
    Action, Change, Child, Event, Evidence, Item, Object, Operation, Out, Outcome, Value,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// IEC 61850 MMS.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "IEC 61850 MMS",
    roles: ("MMS client", "MMS server"),
    carriers: &[Carrier::Tcp(&[iso_transport::PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Mms::new()) },
    source: "ISO 9506-2; IEC 61850-8-1; ISO 8327-1, ISO 8823-1, ISO 8650-1",
};

const NAME: &str = "iec-61850-mms";
const UNCONFIRMED: &str = "iec-61850-mms-unconfirmed";
const ASSOCIATION: &str = "iec-61850-mms-association";

/// PDU tags (ISO 9506-2 clause 7).
const CONFIRMED_REQUEST: u32 = 0;
const CONFIRMED_RESPONSE: u32 = 1;
const CONFIRMED_ERROR: u32 = 2;
const UNCONFIRMED_PDU: u32 = 3;
const REJECT: u32 = 4;
const CANCEL_REQUEST: u32 = 5;
const CANCEL_RESPONSE: u32 = 6;
const CANCEL_ERROR: u32 = 7;
const INITIATE_REQUEST: u32 = 8;
const INITIATE_RESPONSE: u32 = 9;
const INITIATE_ERROR: u32 = 10;
const CONCLUDE_REQUEST: u32 = 11;
const CONCLUDE_RESPONSE: u32 = 12;
const CONCLUDE_ERROR: u32 = 13;

/// Requests of one flow that may wait at once.
const WAITING: usize = 64;
/// Values remembered to tell the old value of a write.
const REMEMBERED: usize = 64;
/// Logical devices told of one server.
const DEVICES: usize = 32;

fn probe(input: &Input<'_>) -> Probe {
    let mut rest = input.bytes;
    loop {
        match iso_transport::front(rest) {
            Front::Broken => return Probe::No,
            Front::Incomplete => return Probe::More,
            Front::Tpdu(tpdu) => {
                if tpdu.kind == Kind::Data && !tpdu.data.is_empty() {
                    return match association::carried(tpdu.data) {
                        Carried::Mms(pdu)
                            if fits(pdu) && association::bare(tpdu.data).is_none() =>
                        {
                            Probe::Certain
                        }
                        Carried::Mms(pdu) if fits(pdu) => Probe::Likely,
                        Carried::Mms(_) => Probe::Weak,
                        _ if association::names_mms(tpdu.data) => Probe::Certain,
                        // The end of a session of which nothing else was seen, or the first part of
                        // a message over several packets.
                        Carried::Association(_) => Probe::Weak,
                        Carried::Other if !tpdu.last && tpdu.data.starts_with(&[1, 0, 1, 0]) => {
                            Probe::Likely
                        }
                        Carried::Other => Probe::No,
                    };
                }
                rest = rest.get(tpdu.length..).unwrap_or_default();
            }
        }
    }
}

/// Whether the PDU looks as its tag says: confirmed ones start with an invoke id.
fn fits(pdu: Element<'_>) -> bool {
    match pdu.number {
        CONFIRMED_REQUEST | CONFIRMED_RESPONSE => {
            pdu.parts().next().is_some_and(|id| id.is_universal(2) && id.content.len() <= 5)
        }
        CONFIRMED_ERROR | UNCONFIRMED_PDU | INITIATE_REQUEST | INITIATE_RESPONSE => pdu.constructed,
        _ => false,
    }
}

/// What must be known of a request when its response comes.
enum Detail {
    Nothing,
    Read(Vec<CompactString>),
    Write(Vec<(CompactString, Option<(Value, Evidence)>)>),
    /// Names of the domains: the logical devices.
    Domains,
}

struct Request {
    operation: Box<Operation>,
    detail: Detail,
}

/// One side's stream.
#[derive(Default)]
struct Direction {
    segments: Segments,
    synchronised: bool,
}

struct Mms {
    directions: [Direction; 2],
    client_said: bool,
    /// Requests by sender, PDU tag and invoke id.
    pending: Pending<(Side, u32, u32), Request>,
    /// Values last read or written, oldest first.
    values: Vec<(CompactString, Value)>,
    devices: usize,
    reported: bool,
}

impl Mms {
    fn new() -> Self {
        Self {
            directions: Default::default(),
            client_said: false,
            pending: Pending::new(WAITING),
            values: Vec::new(),
            devices: 0,
            reported: false,
        }
    }

    const fn direction(&mut self, side: Side) -> &mut Direction {
        side.of(&mut self.directions)
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(side));
        }
    }

    /// One whole transport message; returns whether it carried MMS.
    fn message(&mut self, input: &Input<'_>, data: &[u8], out: &mut Out) -> bool {
        if let Some(password) = association::password(data) {
            out.push(Item::Event(Event {
                kind: "cleartext-credentials",
                protocol: NAME,
                sender: input.side,
                values: Vec::new(),
                evidence: input.locate(password),
            }));
        }
        let Carried::Mms(pdu) = association::carried(data) else {
            return false;
        };
        match pdu.number {
            CONFIRMED_REQUEST => self.request(input, pdu, out),
            CONFIRMED_RESPONSE => self.response(input, pdu, out),
            // invoke id [0]; a rejected PDU has one where it was a confirmed one
            CONFIRMED_ERROR | REJECT => {
                let id = pdu.part(0).and_then(|id| ber::unsigned(id.content));
                if let Some(id) = id {
                    self.answered(input, CONFIRMED_REQUEST, id, Outcome::Error, out);
                }
            }
            UNCONFIRMED_PDU => unconfirmed(input, pdu, out),
            INITIATE_REQUEST => {
                self.say_client(input.side, out);
                self.open(input, pdu, ("initiate", Action::Session), out);
            }
            CONCLUDE_REQUEST => self.open(input, pdu, ("conclude", Action::Session), out),
            CANCEL_REQUEST => self.open(input, pdu, ("cancel", Action::Session), out),
            INITIATE_RESPONSE => self.answered(input, INITIATE_REQUEST, 0, Outcome::Ok, out),
            INITIATE_ERROR => self.answered(input, INITIATE_REQUEST, 0, Outcome::Error, out),
            CONCLUDE_RESPONSE => self.answered(input, CONCLUDE_REQUEST, 0, Outcome::Ok, out),
            CONCLUDE_ERROR => self.answered(input, CONCLUDE_REQUEST, 0, Outcome::Error, out),
            CANCEL_RESPONSE => self.answered(input, CANCEL_REQUEST, 0, Outcome::Ok, out),
            CANCEL_ERROR => self.answered(input, CANCEL_REQUEST, 0, Outcome::Error, out),
            _ => return false,
        }
        true
    }

    /// A request that is no service: initiate, conclude, cancel.
    fn open(
        &mut self,
        input: &Input<'_>,
        pdu: Element<'_>,
        words: (&'static str, Action),
        out: &mut Out,
    ) {
        let mut operation = describe(input, input.side, words, pdu.content);
        operation.protocol = ASSOCIATION;
        operation.code = Some(pdu.number);
        let request = Request { operation, detail: Detail::Nothing };
        self.wait((input.side, pdu.number, 0), request, out);
    }

    /// Ends a request of which the response tells no more than how it ended.
    fn answered(&mut self, input: &Input<'_>, tag: u32, id: u32, outcome: Outcome, out: &mut Out) {
        if let Some(request) = self.pending.take(&(input.side.other(), tag, id)) {
            self.complete(request, outcome, &[], out);
        }
    }

    fn wait(&mut self, key: (Side, u32, u32), request: Request, out: &mut Out) {
        if let Some(evicted) = self.pending.insert(key, request) {
            self.complete(evicted, Outcome::Unseen, &[], out);
        }
    }

    fn request(&mut self, input: &Input<'_>, pdu: Element<'_>, out: &mut Out) {
        let Some((id, service)) = invoke(pdu) else {
            self.violation(input, "mms-length", pdu.content, out);
            return;
        };
        self.say_client(input.side, out);
        let tag = service.number;
        let mut operation = describe(input, input.side, services::service(tag), service.content);
        operation.code = Some(tag);
        let detail = match tag {
            services::READ => {
                let names = services::reads(service);
                operation.object = services::object(&names);
                Detail::Read(names)
            }
            services::WRITE => {
                let (names, data) = services::writes(service);
                operation.object = services::object(&names);
                operation.action = services::write_action(&names);
                let values = data.map(|data| {
                    let (value, decode) = services::value(data)?;
                    Some((value, input.evidence(data.content, decode)))
                });
                Detail::Write(names.into_iter().zip(values).collect())
            }
            services::GET_NAME_LIST => {
                operation.object = services::acts_on(tag, service);
                // objectClass [0] { basic [0] 9: domain }
                let class = service.part(0).and_then(|class| class.parts().next());
                match class.and_then(|class| ber::unsigned(class.content)) {
                    Some(9) => Detail::Domains,
                    _ => Detail::Nothing,
                }
            }
            _ => {
                operation.object = services::acts_on(tag, service);
                Detail::Nothing
            }
        };
        let request = Request { operation, detail };
        self.wait((input.side, CONFIRMED_REQUEST, id), request, out);
    }

    fn response(&mut self, input: &Input<'_>, pdu: Element<'_>, out: &mut Out) {
        let Some((id, service)) = invoke(pdu) else {
            self.violation(input, "mms-length", pdu.content, out);
            return;
        };
        let client = input.side.other();
        self.say_client(client, out);
        match service.number {
            services::IDENTIFY => identify(input, service, out),
            services::STATUS => status(input, service, out),
            _ => {}
        }
        let Some(request) = self.pending.take(&(client, CONFIRMED_REQUEST, id)) else {
            let tag = service.number;
            let mut operation = describe(input, client, services::service(tag), service.content);
            operation.code = Some(tag);
            operation.outcome = Outcome::Ok;
            out.unpaired(operation);
            return;
        };
        let mut outcome = Outcome::Ok;
        let mut refused = Vec::new();
        match (&request.detail, service.number) {
            (Detail::Read(names), services::READ) => {
                let results = service.part(1);
                let results: Vec<_> = results
                    .into_iter()
                    .flat_map(|list| list.parts())
                    .take(services::LISTED)
                    .collect();
                // failure [0] is the only choice with this tag
                if !results.is_empty() && results.iter().all(|result| result.is(0)) {
                    outcome = Outcome::Error;
                }
                // A list answers for each of its members, which are not named here.
                if results.len() == names.len() {
                    for (name, result) in names.iter().zip(results) {
                        self.read_value(input, name, result, out);
                    }
                }
            }
            (Detail::Write(_), services::WRITE) => {
                refused = service.parts().map(|result| result.is(0)).collect();
                if !refused.is_empty() && refused.iter().all(|refused| *refused) {
                    outcome = Outcome::Error;
                }
            }
            (Detail::Domains, services::GET_NAME_LIST) => {
                let names = service.part(0);
                for name in names.into_iter().flat_map(|list| list.parts()) {
                    if self.devices >= DEVICES {
                        break;
                    }
                    self.devices += 1;
                    let told_in = (NAME, "get-name-list");
                    out.claim(input.own_text(told_in, "logical_device", name.content));
                }
            }
            _ => {}
        }
        self.complete(request, outcome, &refused, out);
    }

    fn read_value(
        &mut self,
        input: &Input<'_>,
        name: &CompactString,
        data: Element<'_>,
        out: &mut Out,
    ) {
        let Some((value, _)) = services::value(data) else { return };
        if let (Some(attribute), Value::Text(_)) = (services::name_plate(name), &value) {
            out.claim(input.own_text((NAME, "read"), attribute, data.content));
        }
        self.remember(name, value);
    }

    fn remember(&mut self, name: &CompactString, value: Value) -> Option<Value> {
        let known = self.values.iter().position(|(known, _)| known == name);
        let old = known.map(|at| self.values.remove(at).1);
        if self.values.len() >= REMEMBERED {
            self.values.remove(0);
        }
        self.values.push((name.clone(), value));
        old
    }

    /// Pushes the operation and, unless refused, what it wrote.
    fn complete(
        &mut self,
        mut request: Request,
        outcome: Outcome,
        refused: &[bool],
        out: &mut Out,
    ) {
        request.operation.outcome = outcome;
        let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
        out.operation(request.operation);
        let Detail::Write(writes) = request.detail else { return };
        if outcome == Outcome::Error {
            return;
        }
        for (at, (name, written)) in writes.into_iter().enumerate() {
            let Some((new, evidence)) = written else { continue };
            if refused.get(at) == Some(&true) {
                continue;
            }
            let old = self.remember(&name, new.clone());
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender,
                server_child: Child::None,
                object: Object::Text(name),
                old,
                new,
                evidence,
                ts_ns,
            }));
        }
    }

    fn violation(&mut self, input: &Input<'_>, rule: &'static str, part: &[u8], out: &mut Out) {
        if !std::mem::replace(&mut self.reported, true) {
            out.push(input.violation(NAME, rule, part_at(part, 0, 32)));
        }
    }
}

impl Session for Mms {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *self.direction(input.side) = Direction::default();
        }
        let (mut used, mut layered) = (0, false);
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match iso_transport::front(rest) {
                Front::Tpdu(tpdu) => {
                    used += tpdu.length;
                    let direction = self.direction(input.side);
                    direction.synchronised = true;
                    let is_mms = match tpdu.kind {
                        Kind::ConnectionRequest => {
                            self.say_client(input.side, out);
                            false
                        }
                        Kind::Data => match direction.segments.add(input, &tpdu) {
                            Joined::Whole => self.message(input, tpdu.data, out),
                            Joined::Buffer(bytes, spans) => {
                                let whole = input.with_bytes(&bytes, &spans);
                                self.message(&whole, whole.bytes, out)
                            }
                            // A part belongs to the layer, too.
                            Joined::Wait => true,
                        },
                        _ => false,
                    };
                    if is_mms && !std::mem::replace(&mut layered, true) {
                        out.layer(NAME, input.side);
                    }
                }
                Front::Incomplete => break,
                Front::Broken => {
                    if std::mem::take(&mut self.direction(input.side).synchronised) {
                        self.violation(input, "iso-transport-header", rest, out);
                    }
                    return input.bytes.len();
                }
            }
        }
        if used > 0 && !layered {
            // The transport or the association alone.
            out.layer("cotp", input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        let waiting: Vec<Request> = self.pending.drain().collect();
        for request in waiting {
            self.complete(request, Outcome::Unseen, &[], out);
        }
    }
}

/// Invoke id and service of a confirmed PDU; modifiers may stand between.
fn invoke(pdu: Element<'_>) -> Option<(u32, Element<'_>)> {
    let mut parts = pdu.parts();
    let id = parts.next().filter(|id| id.is_universal(2))?;
    let service = parts.find(|part| part.class == ber::Class::Context)?;
    Some((ber::unsigned(id.content)?, service))
}

/// A service that needs no response (ISO 9506-2 §7.3).
fn unconfirmed(input: &Input<'_>, pdu: Element<'_>, out: &mut Out) {
    let Some(service) = pdu.parts().next() else { return };
    let (name, object) = match service.number {
        0 => ("information-report", report(service)),
        1 => {
            status(input, service, out);
            ("unsolicited-status", Object::None)
        }
        2 => ("event-notification", Object::None),
        _ => ("unknown", Object::None),
    };
    let mut operation = describe(input, input.side, (name, Action::Subscribe), service.content);
    operation.protocol = UNCONFIRMED;
    operation.code = Some(service.number);
    operation.object = object;
    operation.outcome = Outcome::None;
    out.operation(operation);
}

/// What an information report is about. Reports of IEC 61850 are all the list `RPT` and begin with
/// their report id (IEC 61850-8-1 §17.2).
fn report(service: Element<'_>) -> Object {
    let mut parts = service.parts();
    let names = parts.next().map(services::variables).unwrap_or_default();
    if names.first().is_some_and(|name| name == "RPT")
        && let Some(id) = parts
            .next()
            .and_then(|results| results.parts().next())
            .filter(|id| id.is(10) && !id.content.is_empty())
    {
        let id = id.content.get(..id.content.len().min(160)).unwrap_or_default();
        return Object::Text(format_compact!("RPT {}", text::utf8(id)));
    }
    services::object(&names)
}

/// Vendor, model and revision (ISO 9506-2 §10.2).
fn identify(input: &Input<'_>, service: Element<'_>, out: &mut Out) {
    for (number, attribute) in ["vendor", "model", "firmware"].into_iter().enumerate() {
        if let Some(part) = service.part(number as u32) {
            out.claim(input.own_text((NAME, "identify"), attribute, part.content));
        }
    }
}

/// The state of the virtual device, where it is not as it should be (ISO 9506-2 §10.1).
fn status(input: &Input<'_>, service: Element<'_>, out: &mut Out) {
    let state = |number| service.part(number).and_then(|part| ber::unsigned(part.content));
    let (Some(logical), Some(physical)) = (state(0), state(1)) else { return };
    if (logical, physical) == (0, 0) {
        return;
    }
    let logical = match logical {
        0 => "state-changes-allowed",
        1 => "no-state-changes-allowed",
        2 => "limited-services-permitted",
        3 => "support-services-allowed",
        _ => "unknown",
    };
    let physical = match physical {
        0 => "operational",
        1 => "partially-operational",
        2 => "inoperable",
        3 => "needs-commissioning",
        _ => "unknown",
    };
    out.push(Item::Event(Event {
        kind: "mms-device-state",
        protocol: NAME,
        sender: input.side,
        values: vec![("logical", logical.into()), ("physical", physical.into())],
        evidence: input.locate(service.content),
    }));
}

fn describe(
    input: &Input<'_>,
    sender: Side,
    (name, action): (&'static str, Action),
    evidence: &[u8],
) -> Box<Operation> {
    Box::new(input.operation(NAME, sender, (name, action), evidence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, claims, coded_operations as operations};

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag, content.len() as u8];
        bytes.extend_from_slice(content);
        bytes
    }

    fn tpkt(data: &[u8], last: bool) -> Vec<u8> {
        let mut bytes = vec![3, 0, 0, 7 + data.len() as u8, 2, 0xf0, if last { 0x80 } else { 0 }];
        bytes.extend_from_slice(data);
        bytes
    }

    /// An MMS PDU in session and presentation data.
    fn carried(pdu: &[u8]) -> Vec<u8> {
        let list = [vec![2, 1, 3], tlv(0xa0, pdu)].concat();
        [vec![1, 0, 1, 0], tlv(0x61, &tlv(0x30, &list))].concat()
    }

    fn dt(pdu: &[u8]) -> Vec<u8> {
        tpkt(&carried(pdu), true)
    }

    fn request(id: u8, service: &[u8]) -> Vec<u8> {
        dt(&tlv(0xa0, &[&[2, 1, id], service].concat()))
    }

    fn response(id: u8, service: &[u8]) -> Vec<u8> {
        dt(&tlv(0xa1, &[&[2, 1, id], service].concat()))
    }

    /// The specification of one variable of the domain LD0.
    fn variable(item: &[u8]) -> Vec<u8> {
        let name = [tlv(0x1a, b"LD0"), tlv(0x1a, item)].concat();
        tlv(0xa0, &tlv(0x30, &tlv(0xa0, &tlv(0xa1, &name))))
    }

    fn read(id: u8, item: &[u8]) -> Vec<u8> {
        request(id, &tlv(0xa4, &tlv(0xa1, &variable(item))))
    }

    fn write(id: u8, item: &[u8], data: &[u8]) -> Vec<u8> {
        request(id, &tlv(0xa5, &[variable(item), tlv(0xa0, data)].concat()))
    }

    #[test]
    fn a_server_that_is_asked_says_who_it_is() {
        let told = [tlv(0x80, b"Maker"), tlv(0x81, b"IED 7"), tlv(0x82, b"1.2")].concat();
        let items = testing::items(
            &PROTOCOL,
            &[(Side::A, &request(1, &[0x82, 0])), (Side::B, &response(1, &tlv(0xa2, &told)))],
        );
        assert_eq!(vec![("identify", Some(2), String::new(), Outcome::Ok)], operations(&items));
        let expected = [("vendor", "Maker"), ("model", "IED 7"), ("firmware", "1.2")];
        assert_eq!(expected.map(|(a, v)| (a, v.to_owned())).to_vec(), claims(&items));
    }

    #[test]
    fn a_name_plate_that_is_read_is_an_identity() {
        let result = tlv(0xa1, &tlv(0x8a, b"SN-0815"));
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &read(2, b"LPHD1$DC$PhyNam$serNum")),
                (Side::B, &response(2, &tlv(0xa4, &result))),
            ],
        );
        assert_eq!(vec![("serial", "SN-0815".to_owned())], claims(&items));
        assert_eq!("LD0/LPHD1$DC$PhyNam$serNum", operations(&items)[0].2);
    }

    #[test]
    fn an_operate_is_control_and_a_refused_write_changes_nothing() {
        let ok = tlv(0xa5, &[0x81, 0]);
        let refused = tlv(0xa5, &[0x80, 1, 3]);
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &write(3, b"CSWI1$CO$Pos$Oper$ctlVal", &[0x83, 1, 1])),
                (Side::B, &response(3, &ok)),
                (Side::A, &write(4, b"LLN0$SP$Mod", &[0x85, 1, 5])),
                (Side::B, &response(4, &refused)),
            ],
        );
        let outcomes: Vec<_> = operations(&items).into_iter().map(|(.., end)| end).collect();
        assert_eq!(vec![Outcome::Ok, Outcome::Error], outcomes);
        let actions: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(operation) => Some(operation.action),
                _ => None,
            })
            .collect();
        assert_eq!(vec![Action::Control, Action::Write], actions);
        let changes: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Change(change) => Some((change.object.to_text(), change.new.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(vec![("LD0/CSWI1$CO$Pos$Oper$ctlVal".into(), Value::Integer(1))], changes);
    }

    #[test]
    fn a_report_is_one_way_and_names_its_id() {
        let list = tlv(0xa1, &tlv(0x80, b"RPT"));
        let results = tlv(0xa0, &tlv(0x8a, b"brcbMX01"));
        let report = dt(&tlv(0xa3, &tlv(0xa0, &[list, results].concat())));
        let items = testing::items(&PROTOCOL, &[(Side::B, &report)]);
        assert_eq!(
            vec![("information-report", Some(0), "RPT brcbMX01".to_owned(), Outcome::None)],
            operations(&items)
        );
    }

    #[test]
    fn errors_refuse_and_states_are_told() {
        let error = dt(&tlv(0xa2, &[0x80, 1, 5]));
        let status = tlv(0xa0, &[0x80, 1, 0, 0x81, 1, 2]);
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(5, &tlv(0xa8, &tlv(0x1a, b"P1")))),
                (Side::B, &error),
                (Side::A, &request(6, &[0x80, 1, 0])),
                (Side::B, &response(6, &status)),
            ],
        );
        assert_eq!(Outcome::Error, operations(&items)[0].3);
        assert!(items.iter().any(|item| matches!(
            item,
            Item::Event(event) if event.values.contains(&("physical", "inoperable".into()))
        )));
    }

    #[test]
    fn programs_and_files_are_named() {
        let name = tlv(0x80, b"Prog1");
        let start = request(7, &[[0xbf, 0x28, name.len() as u8].as_slice(), &name].concat());
        let items = testing::items(&PROTOCOL, &[(Side::A, &start)]);
        assert_eq!(
            vec![("start", Some(40), "Prog1".to_owned(), Outcome::Unseen)],
            operations(&items)
        );
        let name = tlv(0xa0, &tlv(0x19, b"/COMTRADE/1.dat"));
        let open = request(8, &[[0xbf, 0x48, name.len() as u8].as_slice(), &name].concat());
        let items = testing::items(&PROTOCOL, &[(Side::A, &open)]);
        assert_eq!("file /COMTRADE/1.dat", operations(&items)[0].2);
    }

    #[test]
    fn a_message_over_several_packets_is_one() {
        let pdu = tlv(0xa0, &[&[2, 1, 8], &*tlv(0xa4, &tlv(0xa1, &variable(b"LLN0$ST")))].concat());
        let message = carried(&pdu);
        let (first, rest) = message.split_at(20);
        let items = testing::items(
            &PROTOCOL,
            &[(Side::A, &tpkt(first, false)), (Side::A, &tpkt(rest, true))],
        );
        assert_eq!("LD0/LLN0$ST", operations(&items)[0].2);
    }

    #[test]
    fn s7comm_and_other_uses_of_the_port_are_not_taken() {
        let s7 = tpkt(&[0x32, 1, 0, 0, 0, 1, 0, 2, 0, 0, 4, 1], true);
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &s7)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n")));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &read(1, b"LLN0"))));
        assert_eq!(Probe::No, testing::probe(&crate::s7comm::PROTOCOL, (Side::A, &read(1, b"X"))));
    }

    #[test]
    fn survives_anything() {
        let told = [tlv(0x80, b"Maker"), tlv(0x81, b"IED 7")].concat();
        let messages = [
            request(1, &[0x82, 0]),
            response(1, &tlv(0xa2, &told)),
            write(3, b"CSWI1$CO$Pos$Oper$ctlVal", &[0x83, 1, 1]),
            response(3, &tlv(0xa5, &[0x81, 0])),
            read(4, b"LPHD1$DC$PhyNam$serNum"),
            response(4, &tlv(0xa4, &tlv(0xa1, &tlv(0x8a, b"SN")))),
        ];
        let sides = [Side::A, Side::B, Side::A, Side::B, Side::A, Side::B];
        let messages: Vec<_> = sides.into_iter().zip(messages.iter().map(Vec::as_slice)).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
