//! DNS, multicast DNS and LLMNR: one message format, three protocols.
//!
//! Sources: RFC 1035 §4.1 (header, question, record), §4.1.4 (compression), §4.2.2 (length before a
//! message on TCP); RFC 1996 (notify), RFC 2136 (update), RFC 2671/6891 (OPT); RFC 6762 (mDNS:
//! §5.4 and §10.2 give the top bit of the class another meaning), RFC 6763 (service discovery, TXT
//! strings); RFC 4795 (LLMNR). TXT keys: Bonjour Printing Specification 1.2 §9.2 (`ty`, `usb_MFG`,
//! `usb_MDL`, `note`), HomeKit Accessory Protocol (`md`), Apple's `_device-info._tcp` (`model`).
//!
//! A query is an operation `query` on the name asked for. What a host multicasts about itself
//! becomes claims. Records of unicast answers are not kept, and DNS over TLS or HTTPS is not seen.
//!
//! Violations: `dns-header` (fewer than 12 bytes), `dns-name` (a label type that does not exist, a
//! name over 255 bytes, a pointer that does not point back), `dns-record` (a record runs over the
//! end of the message).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use compact_str::CompactString;
use otic_wire::{Address, Cursor, Spans};
use smallvec::SmallVec;

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Evidence, Item, Object, Operation, Out, Outcome, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// DNS over UDP and TCP.
pub const DNS: Protocol = Protocol {
    name: "dns",
    title: "DNS",
    roles: ("resolver", "name server"),
    carriers: &[Carrier::Udp(&[53]), Carrier::Tcp(&[53])],
    dissector: Dissector::Built { probe: probe_dns, session: || Box::new(Names::new("dns")) },
    source: "RFC 1035",
};

/// Multicast DNS.
pub const MDNS: Protocol = Protocol {
    name: "mdns",
    title: "Multicast DNS",
    roles: ("querier", "responder"),
    carriers: &[Carrier::Udp(&[5353])],
    dissector: Dissector::Built {
        probe: |input| probe_multicast(input, 5353),
        session: || Box::new(Names::new("mdns")),
    },
    source: "RFC 6762, RFC 6763",
};

/// Link-local multicast name resolution.
pub const LLMNR: Protocol = Protocol {
    name: "llmnr",
    title: "LLMNR",
    roles: ("sender", "responder"),
    carriers: &[Carrier::Udp(&[5355])],
    dissector: Dissector::Built {
        probe: |input| probe_multicast(input, 5355),
        session: || Box::new(Names::new("llmnr")),
    },
    source: "RFC 4795",
};

const HEADER_BYTES: usize = 12;
/// Most questions and records read of one message.
const RECORDS: usize = 64;

const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_TXT: u16 = 16;
const TYPE_AAAA: u16 = 28;
const TYPE_SRV: u16 = 33;

/// The opcode's name and class (IANA, DNS OpCodes).
const fn operation_of(opcode: u8) -> (&'static str, Action) {
    match opcode {
        0 => ("query", Action::Read),
        1 => ("inverse-query", Action::Read),
        2 => ("status", Action::Diagnostics),
        4 => ("notify", Action::Session),
        5 => ("update", Action::Write),
        6 => ("stateful-operation", Action::Session),
        _ => ("unknown", Action::Read),
    }
}

/// A name as its labels, each with its length byte, wherever compression put them.
struct Name<'a> {
    labels: SmallVec<[&'a [u8]; 8]>,
}

impl<'a> Name<'a> {
    /// The name at `start` and the offset behind it.
    fn read(message: &'a [u8], start: usize) -> Option<(Self, usize)> {
        let mut labels = SmallVec::new();
        let (mut at, mut after, mut bytes) = (start, None, 0);
        loop {
            let first = *message.get(at)?;
            match first >> 6 {
                0 if first == 0 => break,
                0 => {
                    let label = message.get(at..at + 1 + usize::from(first))?;
                    bytes += label.len();
                    if bytes > 254 {
                        return None;
                    }
                    labels.push(label);
                    at += label.len();
                }
                3 => {
                    let low = *message.get(at + 1)?;
                    let target = usize::from(first & 0x3f) << 8 | usize::from(low);
                    // Only backwards, so every chain of pointers ends (RFC 1035 §4.1.4).
                    if target >= at {
                        return None;
                    }
                    after.get_or_insert(at + 2);
                    at = target;
                }
                _ => return None,
            }
        }
        Some((Self { labels }, after.unwrap_or(at + 1)))
    }

    /// The labels from the `skip`th on, joined by dots.
    fn text(&self, skip: usize) -> CompactString {
        let mut text = text::Builder::default();
        for (at, label) in self.labels.iter().skip(skip).enumerate() {
            if at > 0 {
                text.text(".");
            }
            text.text(&String::from_utf8_lossy(label.get(1..).unwrap_or_default()));
        }
        text.build()
    }

    /// The label at `at` without its length byte.
    fn label(&self, at: usize) -> &'a [u8] {
        self.labels.get(at).and_then(|label| label.get(1..)).unwrap_or_default()
    }

    /// The bytes of the labels from the `skip`th on, neighbours as one span.
    fn evidence(&self, input: &Input<'_>, skip: usize) -> Evidence {
        let mut spans = Spans::new();
        for span in self.labels.iter().skip(skip).flat_map(|label| input.locate(label)) {
            match spans.last_mut() {
                Some(last)
                    if (last.file, last.frame) == (span.file, span.frame)
                        && last.offset + last.length == span.offset =>
                {
                    last.length += span.length;
                }
                _ => spans.push(span),
            }
        }
        Evidence { spans, decode: Decode::DnsName }
    }
}

struct Header {
    id: u16,
    flags: u16,
    counts: [u16; 4],
}

impl Header {
    fn read(message: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(message);
        let mut next = || cursor.u16_be().ok();
        Some(Self { id: next()?, flags: next()?, counts: [next()?, next()?, next()?, next()?] })
    }

    const fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    const fn opcode(&self) -> u8 {
        (self.flags >> 11) as u8 & 15
    }

    const fn rcode(&self) -> u8 {
        self.flags as u8 & 15
    }
}

/// How well `message` fits the format: whether the header is possible, and whether its questions
/// and all of its records fit exactly.
fn shape(message: &[u8], multicast: bool) -> Probe {
    let Some(header) = Header::read(message) else { return Probe::No };
    let [questions, answers, authorities, additional] = header.counts;
    let records = u32::from(answers) + u32::from(authorities) + u32::from(additional);
    if !matches!(header.opcode(), 0 | 1 | 2 | 4 | 5 | 6)
        || questions > 64
        || records > 512
        || (!multicast && header.flags & 0x0040 != 0)
        || (u32::from(questions) + records) == 0
    {
        return Probe::No;
    }
    let mut at = HEADER_BYTES;
    for _ in 0..questions {
        let Some((name, after)) = Name::read(message, at) else { return Probe::Weak };
        let mut cursor = Cursor::new(message.get(after..).unwrap_or_default());
        let (Ok(kind), Ok(class)) = (cursor.u16_be(), cursor.u16_be()) else { return Probe::Weak };
        // A NetBIOS name question has the same shape.
        if name.label(0).len() == 32 && matches!(kind, 0x20 | 0x21) && !multicast {
            return Probe::No;
        }
        if !matches!(class & 0x7fff, 1 | 3 | 4 | 254 | 255) || kind == 0 {
            return Probe::Weak;
        }
        at = after + 4;
    }
    for _ in 0..records {
        match Record::read(message, at) {
            Some((_, after)) => at = after,
            None => return Probe::Weak,
        }
    }
    if at == message.len() { Probe::Likely } else { Probe::Weak }
}

fn probe_dns(input: &Input<'_>) -> Probe {
    if input.transport == Transport::Tcp {
        let mut cursor = Cursor::new(input.bytes);
        let Ok(length) = cursor.u16_be() else { return Probe::More };
        let length = usize::from(length);
        if length < HEADER_BYTES + 5 {
            return Probe::No;
        }
        let got = cursor.rest();
        return match got.get(..length) {
            Some(message) => shape(message, false),
            None if got.len() < HEADER_BYTES => Probe::More,
            None => shape(got, false).min(Probe::Weak),
        };
    }
    // A resolver's own port is a matter of chance, so 53 decides.
    let is_other = [5353, 5355, 137].into_iter().any(|port| input.on_port(port));
    if is_other && !input.on_port(53) {
        return Probe::No;
    }
    shape(input.bytes, false)
}

fn probe_multicast(input: &Input<'_>, port: u16) -> Probe {
    // The three protocols differ in nothing but the port.
    if !input.on_port(port) || input.on_port(53) {
        return Probe::No;
    }
    shape(input.bytes, true)
}

struct Record<'a> {
    name: Name<'a>,
    kind: u16,
    data: &'a [u8],
    /// Offset of `data` in the message, for names in it.
    data_at: usize,
}

impl<'a> Record<'a> {
    /// The record at `at` and the offset behind it (RFC 1035 §4.1.3).
    fn read(message: &'a [u8], at: usize) -> Option<(Self, usize)> {
        let (name, after) = Name::read(message, at)?;
        let mut cursor = Cursor::new(message.get(after..)?);
        let kind = cursor.u16_be().ok()?;
        cursor.skip(6).ok()?;
        let length = usize::from(cursor.u16_be().ok()?);
        let data_at = after + cursor.position();
        let data = cursor.take(length).ok()?;
        Some((Self { name, kind, data, data_at }, data_at + length))
    }
}

struct Names {
    protocol: &'static str,
    pending: Pending<(u16, Side), Box<Operation>>,
    /// The request answered last: its response may come twice.
    answered: Option<(u16, Side)>,
    client_told: bool,
    lost_sync: bool,
}

impl Names {
    const fn new(protocol: &'static str) -> Self {
        Self {
            protocol,
            pending: Pending::new(128),
            answered: None,
            client_told: false,
            lost_sync: false,
        }
    }

    fn violation(&self, input: &Input<'_>, rule: &'static str, part: &[u8], out: &mut Out) {
        if !input.truncated {
            out.push(input.violation(self.protocol, rule, part));
        }
    }

    fn message(&mut self, input: &Input<'_>, message: &[u8], out: &mut Out) {
        let Some(header) = Header::read(message) else {
            self.violation(input, "dns-header", message, out);
            return;
        };
        let [questions, answers, authorities, additional] = header.counts;
        let mut at = HEADER_BYTES;
        let mut asked: SmallVec<[Object; 2]> = SmallVec::new();
        for _ in 0..usize::from(questions).min(RECORDS) {
            let Some((name, after)) = Name::read(message, at) else {
                self.violation(input, "dns-name", message.get(at..).unwrap_or_default(), out);
                break;
            };
            let text = name.text(0);
            asked.push(Object::Text(if text.is_empty() { ".".into() } else { text }));
            at = after + 4;
        }
        let complete = asked.len() == usize::from(questions);
        if header.is_response() {
            self.response(input, message, &header, asked, out);
            if complete {
                let records = [answers, authorities, additional].map(usize::from);
                self.records(input, message, at, records.iter().sum(), out);
            }
        } else {
            self.request(input, message, &header, asked, out);
        }
    }

    fn describe(
        &self,
        input: &Input<'_>,
        message: &[u8],
        header: &Header,
        object: Object,
        sender: Side,
    ) -> Operation {
        let (name, action) = operation_of(header.opcode());
        Operation {
            object,
            outcome: Outcome::None,
            ..input.operation(self.protocol, sender, (name, action), message)
        }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        message: &[u8],
        header: &Header,
        asked: SmallVec<[Object; 2]>,
        out: &mut Out,
    ) {
        let to_all = input.destination.is_group();
        if !self.client_told && !to_all {
            self.client_told = true;
            out.push(Item::Client(input.side));
        }
        let objects = if asked.is_empty() { smallvec::smallvec![Object::None] } else { asked };
        for object in objects {
            let mut operation = self.describe(input, message, header, object, input.side);
            if to_all {
                // Whoever knows the name may answer, from an address of its own.
                out.operation(operation);
            } else if let Some(mut evicted) = {
                operation.outcome = Outcome::Unseen;
                self.pending.insert((header.id, input.side), Box::new(operation))
            } {
                evicted.outcome = Outcome::Unseen;
                out.operation(evicted);
            }
        }
        if self.answered == Some((header.id, input.side)) {
            self.answered = None;
        }
    }

    fn response(
        &mut self,
        input: &Input<'_>,
        message: &[u8],
        header: &Header,
        asked: SmallVec<[Object; 2]>,
        out: &mut Out,
    ) {
        let asker = input.side.other();
        if !self.client_told && !input.destination.is_group() {
            self.client_told = true;
            out.push(Item::Client(asker));
        }
        let key = (header.id, asker);
        let outcome = if header.rcode() == 0 { Outcome::Ok } else { Outcome::Error };
        let mut paired = false;
        while let Some(mut operation) = self.pending.take(&key) {
            paired = true;
            operation.outcome = outcome;
            out.operation(operation);
        }
        // An mDNS response answers no one in particular (RFC 6762 §6).
        if !paired && self.answered != Some(key) && self.protocol != "mdns" {
            let object = asked.into_iter().next().unwrap_or_default();
            let mut operation = self.describe(input, message, header, object, asker);
            operation.outcome = outcome;
            out.unpaired(operation);
        }
        self.answered = Some(key);
    }

    /// What a responder tells about itself and its services.
    fn records(
        &self,
        input: &Input<'_>,
        message: &[u8],
        mut at: usize,
        count: usize,
        out: &mut Out,
    ) {
        for _ in 0..count.min(RECORDS) {
            let Some((record, after)) = Record::read(message, at) else {
                self.violation(input, "dns-record", message.get(at..).unwrap_or_default(), out);
                return;
            };
            at = after;
            if self.protocol != "dns" {
                self.record(input, message, &record, out);
            }
        }
    }

    fn record(&self, input: &Input<'_>, message: &[u8], record: &Record<'_>, out: &mut Out) {
        match record.kind {
            TYPE_A => {
                let address = <[u8; 4]>::try_from(record.data).map(Ipv4Addr::from);
                self.host_name(input, record, address.ok().map(IpAddr::V4), out);
            }
            TYPE_AAAA => {
                let address = <[u8; 16]>::try_from(record.data).map(Ipv6Addr::from);
                self.host_name(input, record, address.ok().map(IpAddr::V6), out);
            }
            TYPE_SRV if self.protocol == "mdns" => self.service(input, &record.name, 1, out),
            TYPE_PTR if self.protocol == "mdns" => {
                if record.name.label(0) == b"_services" {
                    // RFC 6763 §9: the data is a service type.
                    if let Some((service, _)) = Name::read(message, record.data_at) {
                        self.service(input, &service, 0, out);
                    }
                } else {
                    self.service(input, &record.name, 0, out);
                }
            }
            TYPE_TXT if self.protocol == "mdns" => self.text_record(input, record, out),
            _ => {}
        }
    }

    fn host_name(
        &self,
        input: &Input<'_>,
        record: &Record<'_>,
        address: Option<IpAddr>,
        out: &mut Out,
    ) {
        let Some(ip) = address else { return };
        if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() {
            return;
        }
        // Sleep proxies and reflectors also speak for others.
        let own = input.source == Address::Ip(ip);
        let who =
            if own { Who::Sender(Child::None) } else { Who::Address(Address::Ip(ip), Child::None) };
        self.claim(input, who, own, "name", &record.name, 0, out);
    }

    /// Labels `_service._proto.local` from the `skip`th on.
    fn service(&self, input: &Input<'_>, name: &Name<'_>, skip: usize, out: &mut Out) {
        if name.label(skip).first() == Some(&b'_') && name.label(skip + 1).first() == Some(&b'_') {
            let who = Who::Sender(Child::None);
            self.claim(input, who, true, "mdns_services", name, skip, out);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one place where name claims are made")]
    fn claim(
        &self,
        input: &Input<'_>,
        who: Who,
        own: bool,
        attribute: &'static str,
        name: &Name<'_>,
        skip: usize,
        out: &mut Out,
    ) {
        if name.labels.iter().any(|label| std::str::from_utf8(label).is_err()) {
            return;
        }
        out.claim(Claim {
            who,
            attribute,
            value: name.text(skip),
            protocol: self.protocol,
            message: "response",
            confidence: if own { Confidence::High } else { Confidence::Medium },
            evidence: name.evidence(input, skip),
        });
    }

    /// TXT strings `key=value` whose key the service's specification defines.
    fn text_record(&self, input: &Input<'_>, record: &Record<'_>, out: &mut Out) {
        let service = record
            .name
            .labels
            .iter()
            .filter_map(|label| label.get(1..))
            .find(|label| label.first() == Some(&b'_'))
            .unwrap_or_default();
        let mut cursor = Cursor::new(record.data);
        while let Some(text) =
            cursor.u8().ok().and_then(|length| cursor.take(usize::from(length)).ok())
        {
            let Some(at) = memchr::memchr(b'=', text) else { continue };
            let (key, value) = text.split_at(at);
            let value = value.get(1..).unwrap_or_default();
            let attribute = match (service, key) {
                (b"_device-info", b"model") | (b"_hap" | b"_googlecast", b"md") => "model",
                (
                    b"_ipp" | b"_ipps" | b"_printer" | b"_pdl-datastream" | b"_uscan" | b"_scanner",
                    key,
                ) => match key {
                    b"ty" => "model",
                    b"usb_MFG" => "vendor",
                    b"usb_MDL" => "model",
                    b"note" => "location",
                    _ => continue,
                },
                _ => continue,
            };
            let value = text::trim(value);
            out.claim(Claim {
                who: Who::Sender(Child::None),
                attribute,
                value: text::utf8(value),
                protocol: self.protocol,
                message: "response",
                confidence: Confidence::High,
                evidence: input.evidence(value, Decode::Utf8),
            });
        }
    }

    /// Messages with their length in front (RFC 1035 §4.2.2).
    fn stream(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let mut used = 0;
        loop {
            let rest = input.bytes.get(used..).unwrap_or_default();
            let mut cursor = Cursor::new(rest);
            let Ok(length) = cursor.u16_be() else { break };
            let length = usize::from(length);
            let body = cursor.rest();
            // The header decides, so every split of the stream is judged by the same bytes.
            let possible = length >= HEADER_BYTES
                && (body.len() < HEADER_BYTES || shape(body, false) != Probe::No);
            if !possible {
                if !self.lost_sync && !input.after_gap {
                    self.violation(input, "dns-header", rest.get(..2).unwrap_or_default(), out);
                }
                self.lost_sync = true;
                used = input.bytes.len();
                break;
            }
            let Ok(message) = cursor.take(length) else { break };
            self.message(input, message, out);
            used += 2 + length;
        }
        if used > 0 {
            out.layer(self.protocol, input.side);
        }
        used
    }
}

impl Session for Names {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.transport == Transport::Tcp {
            return self.stream(input, out);
        }
        out.layer(self.protocol, input.side);
        self.message(input, input.bytes, out);
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

    const QUERY: &[u8] = &[
        0x12, 0x34, // id
        0x01, 0x00, // recursion desired
        0, 1, 0, 0, 0, 0, 0, 0, // one question
        3, b'p', b'l', b'c', 4, b'l', b'i', b'n', b'e', 0, // plc.line
        0, 1, 0, 1, // A, IN
    ];

    const ANSWER: &[u8] = &[
        0x12, 0x34, // id
        0x81, 0x80, // response, no error
        0, 1, 0, 1, 0, 0, 0, 0, // one question, one answer
        3, b'p', b'l', b'c', 4, b'l', b'i', b'n', b'e', 0, 0, 1, 0, 1, // question
        0xc0, 12, // name: offset 12
        0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 9, // A, IN, 60 s, 4 bytes
    ];

    /// An mDNS announcement of side B (192.0.2.2): its address, a service and its model.
    const ANNOUNCE: &[u8] = &[
        0, 0, 0x84, 0, // id 0, authoritative response
        0, 0, 0, 3, 0, 0, 0, 0, // three answers
        3, b'h', b'm', b'i', 5, b'l', b'o', b'c', b'a', b'l', 0, // 12: hmi.local
        0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4, 192, 0, 2, 2, // A, cache flush
        4, b'_', b'i', b'p', b'p', 4, b'_', b't', b'c', b'p', 0xc0, 16, // 37: _ipp._tcp.local
        0, 12, 0, 1, 0, 0, 0, 120, 0, 4, 1, b'P', 0xc0, 37, // PTR P._ipp._tcp.local
        1, b'P', 0xc0, 37, // owner of the TXT
        0, 16, 0x80, 1, 0, 0, 0, 120, 0, 9, 8, b't', b'y', b'=', b'X', b'J', b' ', b'2', b'0',
    ];

    fn operations(items: &[Item]) -> Vec<(&'static str, CompactString, Outcome)> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(o) => Some((o.name, o.object.to_text(), o.outcome)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_query_and_its_answer_are_one_operation() {
        let items = testing::items(&DNS, &[(Side::A, QUERY), (Side::B, ANSWER), (Side::B, ANSWER)]);
        assert_eq!(vec![("query", "plc.line".into(), Outcome::Ok)], operations(&items));
        assert!(items.contains(&Item::Client(Side::A)));
        assert!(!items.iter().any(|item| matches!(item, Item::Unpaired(_) | Item::Violation(_))));
        testing::survives(&DNS, &[(Side::A, QUERY), (Side::B, ANSWER)]);
    }

    #[test]
    fn a_refused_name_is_an_error_and_silence_is_unseen() {
        let mut refused = ANSWER.to_vec();
        refused[3] = 0x83;
        let items = testing::items(&DNS, &[(Side::A, QUERY), (Side::B, &refused)]);
        assert_eq!(Outcome::Error, operations(&items)[0].2);
        let items = testing::items(&DNS, &[(Side::A, QUERY)]);
        assert_eq!(Outcome::Unseen, operations(&items)[0].2);
    }

    #[test]
    fn an_announcement_names_the_host_its_services_and_its_model() {
        let items = testing::items(&MDNS, &[(Side::B, ANNOUNCE)]);
        let claims: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Claim(c) => Some((c.attribute, c.value.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![("name", "hmi.local"), ("mdns_services", "_ipp._tcp.local"), ("model", "XJ 20")],
            claims
        );
        let spans = items.iter().find_map(|item| match item {
            Item::Claim(c) if c.attribute == "mdns_services" => Some(c.evidence.spans.clone()),
            _ => None,
        });
        // `_ipp._tcp` where it stands, `local` where the pointer leads.
        let spans = spans.unwrap();
        assert_eq!(
            [(91, 10), (70, 6)],
            [(spans[0].offset, spans[0].length), (spans[1].offset, spans[1].length)]
        );
        testing::survives(&MDNS, &[(Side::B, ANNOUNCE)]);
        testing::survives(&LLMNR, &[(Side::A, QUERY), (Side::B, ANSWER)]);
    }

    #[test]
    fn a_pointer_to_itself_is_a_broken_name() {
        let mut looping = QUERY[..12].to_vec();
        looping.extend([0xc0, 12, 0, 1, 0, 1]);
        let items = testing::items(&DNS, &[(Side::A, &looping)]);
        assert!(items.iter().any(|i| matches!(i, Item::Violation(v) if v.rule == "dns-name")));
    }

    #[test]
    fn the_probe_wants_questions_and_records_that_fit() {
        assert_eq!(Probe::Likely, testing::probe(&DNS, (Side::A, QUERY)));
        assert_eq!(Probe::Likely, testing::probe(&DNS, (Side::B, ANSWER)));
        assert_eq!(Probe::Likely, testing::probe(&MDNS, (Side::B, ANNOUNCE)));
        assert_eq!(Probe::No, testing::probe(&DNS, (Side::A, b"GET / HTTP/1.1\r\n\r\n")));
        assert_eq!(Probe::No, testing::probe(&DNS, (Side::A, &[0; 40])));
    }
}
