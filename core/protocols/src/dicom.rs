//! DICOM's upper layer and its commands, over TCP.
//!
//! Sources: DICOM PS3.8 §9.3 (PDUs, items), annex D (user information); PS3.7 §9.3 and annex E
//! (commands, status); PS3.5 §7.1 (elements, implicit VR little endian); PS3.6 annex A for the UIDs.
//!
//! An association and its answer are one operation, as is a command with its last response; its code
//! is the command field, its object the SOP class. Patients' data is never read.
//!
//! Rules broken on the wire:
//! * `dicom-pdu`: inside a session a type that does not exist or a length that cannot be.
//!
//! Not decoded: data sets, presentation contexts, DICOM over TLS, DICOMweb.

use compact_str::CompactString;
use otic_wire::Cursor;

use crate::fields::{part_at, u16_at, u32_at};
use crate::out::{Action, Child, Claim, Confidence, Item, Object, Operation, Out, Outcome, Who};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// DICOM.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "DICOM",
    roles: ("DICOM requestor", "DICOM acceptor"),
    carriers: &[Carrier::Tcp(&[104, 11112])],
    dissector: Dissector::Built { probe, session: || Box::new(Dicom::new()) },
    source: "DICOM PS3.8, PS3.7",
};

const NAME: &str = "dicom";

const REQUEST: u8 = 1;
const ACCEPT: u8 = 2;
const REJECT: u8 = 3;
const DATA: u8 = 4;
const RELEASE: u8 = 5;
const RELEASED: u8 = 6;
const ABORT: u8 = 7;

const HEADER: usize = 6;
/// Of a longer association only the beginning is kept: modalities offer over a hundred contexts.
const LARGE: usize = 32 * 1024;
/// Of a longer data PDU only the beginning is kept: commands are short.
const COMMAND: usize = 1024;
/// Longest PDU that is believed.
const LONGEST: usize = 1 << 26;
/// Commands of one flow that may wait at once.
const WAITING: usize = 32;

/// Name and action of a command field, without its response bit.
const fn command(field: u16) -> (&'static str, Action) {
    match field {
        0x0001 => ("c-store", Action::Write),
        0x0010 => ("c-get", Action::Read),
        0x0020 => ("c-find", Action::Read),
        0x0021 => ("c-move", Action::Read),
        0x0030 => ("c-echo", Action::Diagnostics),
        0x0100 => ("n-event-report", Action::Subscribe),
        0x0110 => ("n-get", Action::Read),
        0x0120 => ("n-set", Action::Write),
        0x0130 => ("n-action", Action::Control),
        0x0140 => ("n-create", Action::Write),
        0x0150 => ("n-delete", Action::Write),
        0x0fff => ("c-cancel", Action::Control),
        _ => ("unknown", Action::Session),
    }
}

/// A PDU, or the beginning of a long one.
struct Pdu<'a> {
    kind: u8,
    body: &'a [u8],
    /// The type's byte.
    code: &'a [u8],
    /// Bytes of the whole PDU.
    length: usize,
}

enum Front<'a> {
    Pdu(Pdu<'a>),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let [kind, reserved, rest @ ..] = bytes else { return Front::Incomplete };
    if !(REQUEST..=ABORT).contains(kind) || *reserved != 0 {
        return Front::Foreign;
    }
    let Some(length) = rest.first_chunk::<4>() else { return Front::Incomplete };
    let length = u32::from_be_bytes(*length) as usize;
    let fits = match *kind {
        REQUEST | ACCEPT => (68..=1 << 20).contains(&length),
        DATA => (6..=LONGEST).contains(&length),
        _ => length == 4,
    };
    if !fits {
        return Front::Foreign;
    }
    let held = if *kind == DATA { COMMAND } else { LARGE };
    match bytes.get(HEADER..HEADER + length.min(held)) {
        Some(body) => Front::Pdu(Pdu {
            kind: *kind,
            body,
            code: part_at(bytes, 0, 1),
            length: HEADER + length,
        }),
        None => Front::Incomplete,
    }
}

/// Type and value of the items of an association, with those of the user information.
fn items(body: &[u8]) -> Vec<(u8, &[u8])> {
    let mut all = Vec::new();
    let mut cursor = Cursor::new(part_at(body, 68, body.len()));
    while let (Ok(kind), Ok(_), Ok(length)) = (cursor.u8(), cursor.u8(), cursor.u16_be())
        && all.len() < 1024
    {
        // What is inside the user information follows as items of their own.
        if kind != 0x50 {
            let Ok(value) = cursor.take(usize::from(length)) else { break };
            all.push((kind, value));
        }
    }
    all
}

/// Titles of the called and of the calling end.
fn titles(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let version = u16::from_be_bytes(*body.first_chunk::<2>()?);
    let (called, calling) = (body.get(4..20)?, body.get(20..36)?);
    let fits = version & 1 == 1 && text::is_printable(called) && text::is_printable(calling);
    fits.then_some((called, calling))
}

/// What a command set tells.
#[derive(Default)]
struct Command<'a> {
    field: u16,
    field_at: &'a [u8],
    class: &'a [u8],
    number: u16,
    status: u16,
}

/// The command set of a data PDU; none where the first value holds none.
fn command_set(body: &[u8]) -> Option<Command<'_>> {
    let length = u32::from_be_bytes(*body.first_chunk::<4>()?) as usize;
    let control = *body.get(5)?;
    if control & 1 == 0 {
        return None;
    }
    let mut command = Command::default();
    let mut set = part_at(body, 6, length.checked_sub(2)?);
    while let (Some(group), Some(element), Some(length)) =
        (u16_at(set, 0), u16_at(set, 2), u32_at(set, 4))
    {
        let value = part_at(set, 8, length as usize);
        let number = u16_at(value, 0).unwrap_or_default();
        match (group, element) {
            (0, 0x0002 | 0x0003) => command.class = text::trim(value),
            (0, 0x0100) => (command.field, command.field_at) = (number, value),
            (0, 0x0110 | 0x0120) => command.number = number,
            (0, 0x0900) => command.status = number,
            (0, _) => {}
            _ => break,
        }
        set = part_at(set, 8 + length as usize, set.len());
    }
    (command.field != 0).then_some(command)
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Pdu(pdu) => match pdu.kind {
            REQUEST | ACCEPT if titles(pdu.body).is_some() => Probe::Certain,
            DATA if command_set(pdu.body).is_some() => Probe::Likely,
            REJECT | RELEASE..=ABORT if pdu.length == input.bytes.len() => Probe::Weak,
            _ => Probe::No,
        },
        Front::Incomplete => match input.bytes {
            [REQUEST | ACCEPT, 0, 0, 0, _, _, body @ ..] if body.len() >= 36 => {
                if titles(body).is_some() { Probe::Certain } else { Probe::No }
            }
            [REQUEST | ACCEPT, 0, 0, 0, ..] => Probe::More,
            [] | [REQUEST | ACCEPT] | [REQUEST | ACCEPT, 0] | [REQUEST | ACCEPT, 0, 0] => {
                Probe::More
            }
            _ if input.on_port(104) || input.on_port(11112) => Probe::More,
            _ => Probe::No,
        },
        Front::Foreign => Probe::No,
    }
}

/// A flow that carries DICOM.
struct Dicom {
    client_said: bool,
    /// An association or its release that waits.
    association: Option<Operation>,
    /// By sender and message id.
    pending: Pending<(Side, u16), Operation>,
    /// Bytes of a long PDU that are still to come.
    skip: [usize; 2],
    synchronised: [bool; 2],
}

impl Dicom {
    const fn new() -> Self {
        Self {
            client_said: false,
            association: None,
            pending: Pending::new(WAITING),
            skip: [0; 2],
            synchronised: [false; 2],
        }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(side));
        }
    }

    fn ask(&mut self, operation: Operation, out: &mut Out) {
        if let Some(unanswered) = self.association.replace(operation) {
            out.operation(unanswered);
        }
    }

    fn answer(&mut self, outcome: Outcome, out: &mut Out) {
        if let Some(mut operation) = self.association.take() {
            operation.outcome = outcome;
            out.operation(operation);
        }
    }

    fn pdu(&mut self, input: &Input<'_>, pdu: &Pdu<'_>, out: &mut Out) {
        match pdu.kind {
            REQUEST => {
                self.say_client(input.side, out);
                let words = ("associate", Action::Session);
                let mut operation = input.operation(NAME, input.side, words, pdu.code);
                if let Some((called, calling)) = titles(pdu.body) {
                    operation.object = Object::Text(text::utf8(text::trim(called)));
                    let told_in = (NAME, "a-associate-rq");
                    out.claim(input.own_text(told_in, "dicom_ae_title", calling));
                    out.claim(Claim {
                        who: Who::Receiver(Child::None),
                        confidence: Confidence::Medium,
                        ..input.own_text(told_in, "dicom_ae_title", called)
                    });
                }
                implementation(input, "a-associate-rq", pdu.body, out);
                self.ask(operation, out);
            }
            ACCEPT => {
                self.say_client(input.side.other(), out);
                implementation(input, "a-associate-ac", pdu.body, out);
                self.answer(Outcome::Ok, out);
            }
            REJECT => {
                self.say_client(input.side.other(), out);
                self.answer(Outcome::Error, out);
            }
            RELEASE => {
                let words = ("release", Action::Session);
                let operation = input.operation(NAME, input.side, words, pdu.code);
                self.ask(operation, out);
            }
            RELEASED => self.answer(Outcome::Ok, out),
            ABORT => {
                self.answer(Outcome::Error, out);
                let words = ("abort", Action::Session);
                let mut operation = input.operation(NAME, input.side, words, pdu.code);
                operation.outcome = Outcome::None;
                out.operation(operation);
            }
            _ => {
                if let Some(command) = command_set(pdu.body) {
                    self.command(input, &command, out);
                }
            }
        }
    }

    fn command(&mut self, input: &Input<'_>, told: &Command<'_>, out: &mut Out) {
        let is_response = told.field & 0x8000 != 0;
        if !is_response {
            let words = command(told.field);
            let mut operation = input.operation(NAME, input.side, words, told.field_at);
            operation.code = Some(u32::from(told.field));
            if !told.class.is_empty() {
                let class: CompactString = text::utf8(part_at(told.class, 0, 64));
                operation.object = Object::Text(class);
            }
            if words.0 == "c-cancel" {
                operation.outcome = Outcome::None;
                out.operation(operation);
            } else if let Some(evicted) = self.pending.insert((input.side, told.number), operation)
            {
                out.operation(evicted);
            }
            return;
        }
        // More responses follow a pending one.
        if matches!(told.status, 0xff00 | 0xff01) {
            return;
        }
        if let Some(mut operation) = self.pending.take(&(input.side.other(), told.number)) {
            let is_warning = matches!(told.status, 0x0001 | 0x0107 | 0x0116 | 0xb000..=0xbfff);
            operation.outcome =
                if told.status == 0 || is_warning { Outcome::Ok } else { Outcome::Error };
            out.operation(operation);
        }
    }
}

/// Who made the software of an end.
fn implementation(input: &Input<'_>, message: &'static str, body: &[u8], out: &mut Out) {
    for (kind, value) in items(body) {
        let attribute = match kind {
            0x52 => "dicom_implementation_uid",
            0x55 => "dicom_implementation",
            _ => continue,
        };
        out.claim(input.own_text((NAME, message), attribute, value));
    }
}

impl Session for Dicom {
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
                Front::Pdu(pdu) => {
                    *input.side.of(&mut self.synchronised) = true;
                    self.pdu(input, &pdu, out);
                    let here = pdu.length.min(rest.len());
                    *input.side.of(&mut self.skip) = pdu.length - here;
                    used += here;
                }
                Front::Incomplete => break,
                Front::Foreign => {
                    if std::mem::take(input.side.of(&mut self.synchronised)) && !input.truncated {
                        out.push(input.violation(NAME, "dicom-pdu", part_at(rest, 0, HEADER)));
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
        for operation in self.association.take().into_iter().chain(self.pending.drain()) {
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

    fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 0][..], &(body.len() as u32).to_be_bytes(), body].concat()
    }

    fn item(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[kind, 0][..], &(value.len() as u16).to_be_bytes(), value].concat()
    }

    fn associate(kind: u8, version: &[u8]) -> Vec<u8> {
        let mut body = vec![0, 1, 0, 0];
        body.extend(b"ARCHIVE         MODALITY7       ");
        body.extend([0; 32]);
        body.extend(item(0x10, b"1.2.840.10008.3.1.1.1"));
        let own = [item(0x51, &[0, 0, 64, 0]), item(0x52, b"1.2.3.4"), item(0x55, version)];
        body.extend(item(0x50, &own.concat()));
        pdu(kind, &body)
    }

    fn element(number: u16, value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u32).to_le_bytes();
        [&[0, 0][..], &number.to_le_bytes(), &length, value].concat()
    }

    fn command_of(field: u16, status: Option<u16>) -> Vec<u8> {
        let id = if field & 0x8000 == 0 { 0x0110 } else { 0x0120 };
        let mut set = element(0x0002, b"1.2.840.10008.1.1\0");
        set.extend(element(0x0100, &field.to_le_bytes()));
        set.extend(element(id, &[7, 0]));
        if let Some(status) = status {
            set.extend(element(0x0900, &status.to_le_bytes()));
        }
        let mut body = (set.len() as u32 + 2).to_be_bytes().to_vec();
        body.extend([1, 3]);
        body.extend(set);
        pdu(DATA, &body)
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        vec![
            (Side::A, associate(REQUEST, b"SCAN_12")),
            (Side::B, associate(ACCEPT, b"PACS_3")),
            (Side::A, command_of(0x0030, None)),
            (Side::B, command_of(0x8030, Some(0))),
            (Side::A, command_of(0x0020, None)),
            (Side::B, command_of(0x8020, Some(0xff00))),
            (Side::B, command_of(0x8020, Some(0xa700))),
            (Side::A, pdu(RELEASE, &[0; 4])),
            (Side::B, pdu(RELEASED, &[0; 4])),
        ]
    }

    fn messages(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    #[test]
    fn associations_and_commands_are_operations() {
        let expected = [
            ("associate", None, "ARCHIVE", Outcome::Ok),
            ("c-echo", Some(0x30), "1.2.840.10008.1.1", Outcome::Ok),
            ("c-find", Some(0x20), "1.2.840.10008.1.1", Outcome::Error),
            ("release", None, "", Outcome::Ok),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(a, b, c, outcome)| (a, b, c.to_owned(), outcome)).collect();
        assert_eq!(expected, testing::coded_operations(&messages(&conversation())));
    }

    #[test]
    fn both_ends_tell_their_software() {
        let claims = testing::claims(&messages(&conversation()));
        assert_eq!(
            vec![
                ("dicom_ae_title", "MODALITY7".to_owned()),
                ("dicom_ae_title", "ARCHIVE".to_owned()),
                ("dicom_implementation_uid", "1.2.3.4".to_owned()),
                ("dicom_implementation", "SCAN_12".to_owned()),
                ("dicom_implementation_uid", "1.2.3.4".to_owned()),
                ("dicom_implementation", "PACS_3".to_owned()),
            ],
            claims
        );
    }

    #[test]
    fn a_type_that_does_not_exist_is_a_violation() {
        let mut all = conversation();
        all.push((Side::A, vec![9, 0, 0, 0, 0, 4, 0, 0, 0, 0]));
        assert!(messages(&all).iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "dicom-pdu")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let all = conversation();
        for (at, expected) in [(0, Probe::Certain), (2, Probe::Likely), (7, Probe::Weak)] {
            assert_eq!(expected, testing::probe(&PROTOCOL, (Side::A, &all[at].1)), "message {at}");
        }
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &all[0].1[..30])));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &all[0].1[..60])));
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
