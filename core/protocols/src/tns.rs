//! Oracle's Transparent Network Substrate, over TCP.
//!
//! Oracle publishes no wire format. Sources: Oracle Net Services Reference (connect descriptors, their
//! keywords, error codes of refusals); capture nDPI `oracle12.pcapng`, frames 4 (connect), 6 (resend),
//! 10 (accept), 11 (data with lengths of four bytes), 14 and 16 (platforms); Wireshark's
//! `packet-tns.c` (packet types, places of the fields of a refusal).
//!
//! A connect and its answer are one operation, its object the service or SID that is asked for. The
//! code is the packet type.
//!
//! Rules broken on the wire:
//! * `tns-packet`: inside a session a type that does not exist or a length that cannot be.
//!
//! Not decoded: what data packets carry (log-ins, statements), but for the platforms that both ends
//! name to each other.

use compact_str::CompactString;
use otic_wire::Cursor;

use crate::fields::part_at;
use crate::out::{Action, Decode, Event, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// Oracle TNS.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "TNS",
    roles: ("database client", "database server"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Tns::new()) },
    source: "Oracle Net Services Reference; nDPI oracle12.pcapng",
};

const NAME: &str = "tns";
const PORT: u16 = 1521;

const CONNECT: u8 = 1;
const ACCEPT: u8 = 2;
const REFUSE: u8 = 4;
const REDIRECT: u8 = 5;
const DATA: u8 = 6;
const RESEND: u8 = 11;

const HEADER: usize = 8;
/// Of a longer packet only the beginning is kept.
const LARGE: usize = 4096;
/// Longest packet that is believed.
const LONGEST: usize = 1 << 21;
/// Longest name that an object spells out.
const SPELLED: usize = 128;

const fn is_type(kind: u8) -> bool {
    matches!(kind, CONNECT..=7 | 9 | RESEND..=15)
}

/// A packet, or the beginning of a long one.
struct Packet<'a> {
    kind: u8,
    body: &'a [u8],
    /// The type's byte.
    code: &'a [u8],
    /// Bytes of the whole packet.
    length: usize,
}

enum Front<'a> {
    Packet(Packet<'a>),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let Some([a, b, c, d, kind, _, _, _]) = bytes.first_chunk::<HEADER>() else {
        return Front::Incomplete;
    };
    // Since version 315 lengths have four bytes behind the accept.
    let length = match u16::from_be_bytes([*a, *b]) {
        0 => u32::from_be_bytes([*a, *b, *c, *d]) as usize,
        length => usize::from(length),
    };
    if !is_type(*kind) || !(HEADER..=LONGEST).contains(&length) {
        return Front::Foreign;
    }
    match bytes.get(HEADER..length.min(LARGE)) {
        Some(body) => {
            Front::Packet(Packet { kind: *kind, body, code: part_at(bytes, 4, 1), length })
        }
        None => Front::Incomplete,
    }
}

/// The descriptor within a connect packet.
fn descriptor(body: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(body);
    cursor.skip(16).ok()?;
    let (length, offset) = (cursor.u16_be().ok()?, cursor.u16_be().ok()?);
    let data = part_at(body, usize::from(offset).checked_sub(HEADER)?, usize::from(length));
    data.starts_with(b"(").then_some(data)
}

/// The value of a keyword of a descriptor, in the first place it stands.
fn value<'a>(descriptor: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    let mut rest = descriptor;
    while let Some(open) = memchr::memchr(b'(', rest) {
        rest = rest.get(open + 1..)?;
        let end = memchr::memchr(b'=', rest)?;
        if text::trim(part_at(rest, 0, end)).eq_ignore_ascii_case(keyword) {
            let tail = rest.get(end + 1..)?;
            let value = tail.get(..memchr::memchr2(b'(', b')', tail)?)?;
            let value = text::trim(value);
            return (!value.is_empty()).then_some(value);
        }
    }
    None
}

/// The client's own part of a descriptor.
fn client_part(descriptor: &[u8]) -> &[u8] {
    let upper = descriptor.to_ascii_uppercase();
    let at = memchr::memmem::find(&upper, b"(CID=").unwrap_or(descriptor.len());
    part_at(descriptor, at, descriptor.len())
}

fn probe(input: &Input<'_>) -> Probe {
    let packet = match front(input.bytes) {
        Front::Packet(packet) => packet,
        Front::Incomplete if input.bytes.len() < HEADER => return Probe::More,
        Front::Incomplete => {
            let connect = input.bytes.get(4) == Some(&CONNECT);
            return if connect || input.on_port(PORT) { Probe::More } else { Probe::No };
        }
        Front::Foreign => return Probe::No,
    };
    let whole = packet.length == input.bytes.len();
    let quiet = matches!(input.bytes, [_, _, _, _, _, 0..=0x20, 0, 0, ..]);
    match packet.kind {
        CONNECT if descriptor(packet.body).is_some() => Probe::Certain,
        REFUSE | REDIRECT
            if memchr::memmem::find(packet.body, b"(DESCRIPTION=").is_some() && whole =>
        {
            Probe::Likely
        }
        _ if whole && quiet => Probe::Weak,
        _ => Probe::No,
    }
}

/// A flow that carries TNS.
struct Tns {
    client: Option<Side>,
    waiting: Option<Operation>,
    /// Bytes of a long packet that are still to come.
    skip: [usize; 2],
    synchronised: [bool; 2],
}

impl Tns {
    const fn new() -> Self {
        Self { client: None, waiting: None, skip: [0; 2], synchronised: [false; 2] }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if self.client.replace(side).is_none() {
            out.push(Item::Client(side));
        }
    }

    fn packet(&mut self, input: &Input<'_>, packet: &Packet<'_>, out: &mut Out) {
        match packet.kind {
            CONNECT => self.connect(input, packet, out),
            ACCEPT | REFUSE | REDIRECT | RESEND => {
                self.say_client(input.side.other(), out);
                match packet.kind {
                    ACCEPT | REDIRECT => self.answer(Outcome::Ok, out),
                    REFUSE => self.refuse(input, packet.body, out),
                    // The client sends its connect once more.
                    _ => {}
                }
            }
            DATA => platform(input, packet.body, out),
            _ => {}
        }
    }

    fn answer(&mut self, outcome: Outcome, out: &mut Out) {
        if let Some(mut operation) = self.waiting.take() {
            operation.outcome = outcome;
            out.operation(operation);
        }
    }

    fn connect(&mut self, input: &Input<'_>, packet: &Packet<'_>, out: &mut Out) {
        self.say_client(input.side, out);
        if self.waiting.is_some() {
            return;
        }
        let words = ("connect", Action::Session);
        let mut operation = input.operation(NAME, input.side, words, packet.code);
        operation.code = Some(u32::from(CONNECT));
        if let Some(descriptor) = descriptor(packet.body) {
            let own = client_part(descriptor);
            let told_in = (NAME, "connect");
            for (keyword, attribute) in
                [(&b"PROGRAM"[..], "application_name"), (b"HOST", "name"), (b"USER", "user")]
            {
                if let Some(value) = value(own, keyword) {
                    out.claim(input.own_text(told_in, attribute, value));
                }
            }
            let asked = value(descriptor, b"SERVICE_NAME").or_else(|| value(descriptor, b"SID"));
            if let Some(service) = asked {
                operation.object = Object::Text(text::utf8(part_at(service, 0, SPELLED)));
            }
        }
        self.waiting = Some(operation);
    }

    fn refuse(&mut self, input: &Input<'_>, body: &[u8], out: &mut Out) {
        // Two reasons and a length, then a descriptor.
        let descriptor = part_at(body, 4, body.len());
        if let Some(number) = value(descriptor, b"VSNNUM")
            && let Some(version) = version(number)
        {
            let told_in = (NAME, "refuse");
            let attribute = "database_version";
            out.claim(input.own_claim(told_in, attribute, version, number, Decode::Derived));
        }
        if let Some(code) = value(descriptor, b"ERR") {
            out.push(Item::Event(Event {
                kind: "database-error",
                protocol: NAME,
                sender: input.side.other(),
                values: vec![("code", text::utf8(part_at(code, 0, 10)))],
                evidence: input.locate(code),
            }));
        }
        self.answer(Outcome::Error, out);
    }
}

/// `186647552` is 11.2.0.4.0: 8, 4, 8, 4 and 8 bits.
fn version(number: &[u8]) -> Option<CompactString> {
    let number: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
    if number == 0 {
        return None;
    }
    let [major, minor, update, patch, port] =
        [number >> 24, number >> 20 & 0x0f, number >> 12 & 0xff, number >> 8 & 0x0f, number & 0xff];
    Some(compact_str::format_compact!("{major}.{minor}.{update}.{patch}.{port}"))
}

/// The platform that an end names while both agree on a protocol: behind the flags the number of the
/// message, the versions offered or taken, a zero, and a text.
fn platform(input: &Input<'_>, body: &[u8], out: &mut Out) {
    let [_, _, 1, versions @ ..] = body else { return };
    let at = versions.iter().take(16).position(|byte| *byte == 0);
    let Some(rest) = at.and_then(|at| versions.get(at + 1..)) else { return };
    let Some(end) = memchr::memchr(0, part_at(rest, 0, 64)) else { return };
    let name = part_at(rest, 0, end);
    if name.len() >= 4 && text::is_printable(name) {
        out.claim(input.own_text((NAME, "protocol-negotiation"), "tns_platform", name));
    }
}

impl Session for Tns {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *input.side.of(&mut self.skip) = 0;
            *input.side.of(&mut self.synchronised) = false;
        }
        let skip = input.side.of(&mut self.skip);
        let mut used = input.bytes.len().min(*skip);
        *skip -= used;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Packet(packet) => {
                    *input.side.of(&mut self.synchronised) = true;
                    self.packet(input, &packet, out);
                    let here = packet.length.min(rest.len());
                    *input.side.of(&mut self.skip) = packet.length - here;
                    used += here;
                }
                Front::Incomplete => break,
                Front::Foreign => {
                    if std::mem::take(input.side.of(&mut self.synchronised)) && !input.truncated {
                        out.push(input.violation(NAME, "tns-packet", part_at(rest, 0, HEADER)));
                    }
                    used = input.bytes.len();
                }
            }
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some(operation) = self.waiting.take() {
            out.operation(operation);
        }
    }

    fn stream_cap(&self) -> usize {
        LARGE + HEADER
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (HEADER + body.len()) as u16;
        [&length.to_be_bytes()[..], &[0, 0, kind, 0, 0, 0], body].concat()
    }

    fn connect() -> Vec<u8> {
        let text = b"(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=plant)(CID=(PROGRAM=hist.exe)\
            (HOST=PRESS7)(USER=op)))(ADDRESS=(PROTOCOL=TCP)(HOST=192.0.2.9)(PORT=1521)))";
        let mut body = vec![1, 0x3b, 1, 0x2c, 0, 0, 0x20, 0, 0xff, 0xff, 0x7f, 8, 0, 0, 1, 0];
        body.extend((text.len() as u16).to_be_bytes());
        body.extend(28_u16.to_be_bytes());
        body.extend(text);
        packet(CONNECT, &body)
    }

    fn refusal() -> Vec<u8> {
        let text =
            b"(DESCRIPTION=(TMP=)(VSNNUM=186647552)(ERR=12514)(ERROR_STACK=(ERROR=(CODE=1))))";
        packet(REFUSE, &[&[0x22, 0, 0, text.len() as u8], &text[..]].concat())
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        vec![
            (Side::A, connect()),
            (Side::B, packet(RESEND, b"")),
            (Side::A, connect()),
            (Side::B, packet(ACCEPT, &[1, 0x3b, 0, 0])),
            (Side::A, b"\0\0\0\x18\x06\0\0\0\0\0\x01\x06\x05\0Linux 2.4\0".to_vec()),
        ]
    }

    fn messages(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    #[test]
    fn a_connect_is_one_operation_with_its_service() {
        assert_eq!(
            vec![("connect", Some(1), "plant".to_owned(), Outcome::Ok)],
            testing::coded_operations(&messages(&conversation()))
        );
    }

    #[test]
    fn the_client_names_itself() {
        let claims = testing::claims(&messages(&conversation()));
        assert!(claims.contains(&("application_name", "hist.exe".to_owned())));
        // Not the host of the address, which is the server's.
        assert!(claims.contains(&("name", "PRESS7".to_owned())));
        assert!(claims.contains(&("user", "op".to_owned())));
    }

    #[test]
    fn a_refusal_tells_the_version() {
        let items = messages(&[(Side::A, connect()), (Side::B, refusal())]);
        assert!(testing::claims(&items).contains(&("database_version", "11.2.0.4.0".to_owned())));
        assert_eq!(Outcome::Error, testing::operations(&items)[0].2);
        assert_eq!(vec![("code", "12514".into())], testing::events(&items)[0].values);
    }

    #[test]
    fn platforms_are_told_in_packets_with_long_lengths() {
        let mut body = b"\0\0\x01\x06\x05\x04\0Linux 2.4\0".to_vec();
        let length = (HEADER + body.len()) as u32;
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend([DATA, 0, 0, 0]);
        bytes.append(&mut body);
        let items = messages(&[(Side::A, connect()), (Side::A, bytes)]);
        assert!(testing::claims(&items).contains(&("tns_platform", "Linux 2.4".to_owned())));
    }

    #[test]
    fn a_type_that_does_not_exist_is_a_violation() {
        let items = messages(&[(Side::A, connect()), (Side::A, packet(99, b"ab"))]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "tns-packet")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &connect())));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::B, &refusal())));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::B, &packet(RESEND, b""))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n\r\n")));
        assert_eq!(
            Probe::No,
            testing::probe(&PROTOCOL, (Side::A, b"\0\x01\0\0\0\x06\x01\x03\0\0\0\x01"))
        );
    }

    #[test]
    fn survives_hostile_bytes() {
        let all = conversation();
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &parts);
    }
}
