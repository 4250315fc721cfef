//! IEC 60870-5-101: telecontrol over serial lines, here as terminal servers and radios carry it over
//! TCP.
//!
//! Sources: IEC 60870-5-1 §6.2.4.2 (format class FT 1.2), IEC 60870-5-2 §5 to §6 (link layer: control
//! field, functions of primary and secondary stations), IEC 60870-5-101:2003 §6, §7.1 to §7.3; the
//! ASDU is read as in [`iec104`](crate::iec104).
//!
//! How long link addresses, causes, common and object addresses are, is a parameter of the system that
//! no message tells: the sizes that fit all ASDUs so far are used, and a message that fits none is not
//! read. The code of an operation is the type identification; what the link layer does by itself is
//! `iec-101-link` with its function. Stations on the line are children, `iec101-link N`, with their
//! common address behind a slash where it differs.
//!
//! Rules broken on the wire:
//! * `iec101-frame`: bytes inside a session are no frame, or its checksum is wrong.
//!
//! Not decoded: values in monitoring direction, contents of files, private types.

use compact_str::format_compact;

use crate::fields::part_at;
use crate::iec104::{
    ACTIVATION, ACTIVATION_CONFIRMATION, Asdu, Sizes, asdu_of, command_value, kind,
};
use crate::out::{Action, Change, Child, Evidence, Item, Object, Operation, Out, Outcome, Value};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};

/// IEC 60870-5-101 over TCP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "IEC 60870-5-101",
    roles: ("controlling station", "controlled station"),
    carriers: &[Carrier::Tcp(&[])],
    dissector: Dissector::Built { probe, session: || Box::new(Iec101::new()) },
    source: "IEC 60870-5-1, IEC 60870-5-2, IEC 60870-5-101:2003",
};

const NAME: &str = "iec-101";
const LINK: &str = "iec-101-link";
const CHILD: &str = "iec101-link";

const START_FIXED: u8 = 0x10;
const START_VARIABLE: u8 = 0x68;
const SINGLE: u8 = 0xe5;
const END: u8 = 0x16;
/// Bit of the control field in frames of the primary station.
const PRIMARY: u8 = 0x40;

/// Commanded values that are remembered, and commands that wait.
const REMEMBERED: usize = 64;

/// Sizes of all fields, with that of the link address.
type Layout = (usize, Sizes);

/// All layouts that the standard allows, the usual ones first.
fn layouts() -> impl Iterator<Item = Layout> {
    let sizes = |link: usize| {
        [(1, 1, 2), (1, 2, 2), (2, 2, 3), (2, 2, 2), (1, 1, 1), (1, 2, 3), (2, 1, 2), (1, 1, 3)]
            .map(|(cause, common, object)| (link, Sizes { cause, common, object }))
    };
    [1, 2, 0].into_iter().flat_map(sizes)
}

/// A frame of format class FT 1.2.
enum Frame<'a> {
    /// The single control character.
    Single,
    /// Control field and address.
    Fixed { control: u8, address: &'a [u8] },
    /// Control field, and address with ASDU.
    Variable { control: u8, data: &'a [u8] },
}

enum Front<'a> {
    Frame(Frame<'a>, usize),
    Incomplete,
    Foreign,
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Control field and the rest of checked bytes, where checksum and end are right.
fn checked(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [body @ .., checksum, END] = bytes else { return None };
    let (control, rest) = body.split_first()?;
    (sum(body) == *checksum).then_some((*control, rest))
}

fn front(bytes: &[u8]) -> Front<'_> {
    match bytes {
        [SINGLE, ..] => Front::Frame(Frame::Single, 1),
        [START_FIXED, rest @ ..] => {
            // With an address of one, two or no octets.
            for length in [4, 5, 3] {
                if let Some((control, address)) = rest.get(..length).and_then(checked) {
                    return Front::Frame(Frame::Fixed { control, address }, 1 + length);
                }
            }
            if rest.len() < 5 { Front::Incomplete } else { Front::Foreign }
        }
        [START_VARIABLE, first, second, START_VARIABLE, rest @ ..] if first == second => {
            let length = usize::from(*first);
            if length < 2 {
                return Front::Foreign;
            }
            match rest.get(..length + 2) {
                Some(whole) => match checked(whole) {
                    Some((control, data)) => {
                        Front::Frame(Frame::Variable { control, data }, 4 + length + 2)
                    }
                    None => Front::Foreign,
                },
                None => Front::Incomplete,
            }
        }
        [START_VARIABLE] | [START_VARIABLE, _] => Front::Incomplete,
        [START_VARIABLE, first, second] if first == second => Front::Incomplete,
        _ => Front::Foreign,
    }
}

/// Name and action of a function of the primary station (60870-5-2 §5.1.2).
const fn primary(function: u8) -> Option<(&'static str, Action)> {
    Some(match function {
        0 => ("reset-remote-link", Action::Session),
        1 => ("reset-user-process", Action::Reset),
        2 => ("test-function", Action::Diagnostics),
        8 => ("request-access-demand", Action::Session),
        9 => ("request-status-of-link", Action::Session),
        10 => ("request-class-1", Action::Read),
        11 => ("request-class-2", Action::Read),
        _ => return None,
    })
}

/// The ASDU after a link address of this length, where all its fields fit.
fn fitting(data: &[u8], (link, sizes): Layout) -> Option<Asdu<'_>> {
    let asdu = asdu_of(data.get(link..)?, sizes)?;
    let is_possible = asdu.count > 0 && (1..=47).contains(&asdu.cause) && asdu.code < 128;
    (is_possible && asdu.fits() == Some(true)).then_some(asdu)
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Frame(Frame::Variable { data, .. }, _) => {
            if layouts().any(|layout| fitting(data, layout).is_some()) {
                Probe::Likely
            } else {
                Probe::No
            }
        }
        Front::Frame(Frame::Fixed { control, .. }, length) => {
            let rest = input.bytes.get(length..).unwrap_or_default();
            let is_known = control & PRIMARY == 0 || primary(control & 0x0f).is_some();
            // Short frames are those of other protocols on serial lines too: what follows decides.
            match (is_known, front(rest)) {
                (true, Front::Frame(Frame::Variable { data, .. }, _))
                    if layouts().any(|layout| fitting(data, layout).is_some()) =>
                {
                    Probe::Likely
                }
                _ => Probe::No,
            }
        }
        Front::Incomplete if input.bytes.first() == Some(&START_VARIABLE) => Probe::More,
        _ => Probe::No,
    }
}

/// A command that waits for its confirmation.
struct Command {
    sender: Side,
    place: Place,
    value: Value,
    evidence: Evidence,
    ts_ns: i64,
}

/// Type, link address, common address, object address.
type Place = (u8, u32, u16, u32);

/// A flow that carries IEC 101.
struct Iec101 {
    /// Layouts that fit all ASDUs so far.
    layouts: Vec<Layout>,
    /// The link request that waits for its answer.
    asked: Option<(Side, Operation)>,
    commands: Vec<Command>,
    values: Vec<(Place, Value)>,
    client_said: bool,
    synchronised: [bool; 2],
}

impl Iec101 {
    fn new() -> Self {
        Self {
            layouts: layouts().collect(),
            asked: None,
            commands: Vec::new(),
            values: Vec::new(),
            client_said: false,
            synchronised: [false; 2],
        }
    }

    fn say_client(&mut self, client: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(client));
        }
    }

    /// The primary station asked nothing that was answered.
    fn unseen(&mut self, out: &mut Out) {
        if let Some((_, asked)) = self.asked.take() {
            out.operation(asked);
        }
    }

    /// The secondary station answers, with this function of its own.
    fn answered(&mut self, input: &Input<'_>, function: u8, out: &mut Out) {
        match self.asked.take() {
            Some((client, mut asked)) if client != input.side => {
                // negative confirmation, service not functioning, not used
                let refused = matches!(function, 1 | 14 | 15);
                asked.outcome = if refused { Outcome::Error } else { Outcome::Ok };
                out.operation(asked);
            }
            before => self.asked = before,
        }
    }

    fn frame(&mut self, input: &Input<'_>, frame: &Frame<'_>, all: &[u8], out: &mut Out) {
        match frame {
            Frame::Single => self.answered(input, 0, out),
            Frame::Fixed { control, .. } if control & PRIMARY == 0 => {
                self.answered(input, control & 0x0f, out);
            }
            Frame::Fixed { control, address } => {
                self.unseen(out);
                let Some(words) = primary(control & 0x0f) else { return };
                let is_possible = |layout: &Layout| layout.0 == address.len();
                if self.layouts.iter().any(is_possible) {
                    self.layouts.retain(is_possible);
                }
                let station = number(address);
                let operation = Operation {
                    connection: NAME,
                    code: Some(u32::from(control & 0x0f)),
                    server_child: Child::Number(CHILD, station),
                    ..input.operation(LINK, input.side, words, all)
                };
                self.asked = Some((input.side, operation));
            }
            Frame::Variable { control, data } => {
                if control & PRIMARY == 0 {
                    self.answered(input, control & 0x0f, out);
                }
                let fits: Vec<_> = self
                    .layouts
                    .iter()
                    .copied()
                    .filter(|layout| fitting(data, *layout).is_some())
                    .collect();
                if !fits.is_empty() {
                    self.layouts = fits;
                }
                let layout = self.layouts.first().copied();
                match layout.and_then(|layout| Some((layout, fitting(data, layout)?))) {
                    Some(((link, _), asdu)) => {
                        let station = number(part_at(data, 0, link));
                        self.information(input, station, &asdu, all, out);
                    }
                    None => out.push(Item::NotDecoded(NAME, "sizes-of-fields-not-known")),
                }
            }
        }
    }

    fn information(
        &mut self,
        input: &Input<'_>,
        station: u32,
        asdu: &Asdu<'_>,
        all: &[u8],
        out: &mut Out,
    ) {
        let from_controlled = asdu.sent_by_controlled();
        match from_controlled {
            Some(true) => self.say_client(input.side.other(), out),
            Some(false) => self.say_client(input.side, out),
            None => {}
        }
        let common = asdu.common_address;
        let child = if station == u32::from(common) {
            Child::Number(CHILD, station)
        } else {
            Child::Text(format_compact!("{CHILD} {station}/{common}"))
        };
        let row = kind(asdu.code);
        let (client_child, server_child, action) = if from_controlled == Some(true) {
            // A confirmation of a command is no command.
            let action = match row.action {
                Action::Control | Action::Write | Action::Reset | Action::Configuration => {
                    Action::Read
                }
                action => action,
            };
            (child.clone(), Child::None, action)
        } else {
            (Child::None, child.clone(), row.action)
        };
        out.operation(Operation {
            code: Some(asdu.code.into()),
            object: asdu.object(),
            outcome: Outcome::None,
            client_child,
            server_child,
            ..input.operation(NAME, input.side, (row.name, action), all)
        });
        self.values(input, station, asdu, &child, out);
    }

    /// Keeps commanded values until they are confirmed.
    fn values(
        &mut self,
        input: &Input<'_>,
        station: u32,
        asdu: &Asdu<'_>,
        child: &Child,
        out: &mut Out,
    ) {
        for (address, element) in asdu.elements() {
            let place = (asdu.code, station, asdu.common_address, address);
            let Some((value, part, decode)) = command_value(asdu.code, element) else { continue };
            if asdu.cause == ACTIVATION {
                if self.commands.len() >= REMEMBERED {
                    self.commands.remove(0);
                }
                let evidence = input.evidence(part, decode);
                let (sender, ts_ns) = (input.side, input.ts_ns);
                self.commands.push(Command { sender, place, value, evidence, ts_ns });
                continue;
            }
            let waits = |command: &Command| command.place == place && command.sender != input.side;
            let Some(at) = self.commands.iter().position(waits) else { continue };
            let command = self.commands.remove(at);
            if asdu.cause != ACTIVATION_CONFIRMATION || asdu.negative {
                continue;
            }
            let known = self.values.iter().position(|(known, _)| *known == place);
            let old = known.map(|at| self.values.remove(at).1);
            if self.values.len() >= REMEMBERED {
                self.values.remove(0);
            }
            self.values.push((place, command.value.clone()));
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender: command.sender,
                server_child: child.clone(),
                object: Object::Number { kind: "ioa", number: address },
                old,
                new: command.value,
                evidence: command.evidence,
                ts_ns: command.ts_ns,
            }));
        }
    }
}

/// An address, lowest octet first.
fn number(octets: &[u8]) -> u32 {
    octets.iter().rev().fold(0, |number, octet| number << 8 | u32::from(*octet))
}

impl Session for Iec101 {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *input.side.of(&mut self.synchronised) = false;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Frame(frame, length) => {
                    *input.side.of(&mut self.synchronised) = true;
                    self.frame(input, &frame, part_at(rest, 0, length), out);
                    used += length;
                }
                Front::Incomplete => break,
                Front::Foreign => {
                    let part = part_at(rest, 0, 32);
                    if std::mem::take(input.side.of(&mut self.synchronised)) && !input.truncated {
                        out.push(input.violation(NAME, "iec101-frame", part));
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
        self.unseen(out);
    }

    fn stream_cap(&self) -> usize {
        512
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn fixed(control: u8, address: u8) -> Vec<u8> {
        vec![START_FIXED, control, address, control.wrapping_add(address), END]
    }

    /// A frame of station 3 with this ASDU.
    fn variable(control: u8, asdu: &[u8]) -> Vec<u8> {
        let body = [&[control, 3], asdu].concat();
        let length = body.len() as u8;
        let mut bytes = vec![START_VARIABLE, length, length, START_VARIABLE];
        bytes.extend(&body);
        bytes.extend([sum(&body), END]);
        bytes
    }

    /// Type, cause, object address 0x0102 and its element, of common address 3.
    fn object(code: u8, cause: u8, element: &[u8]) -> Vec<u8> {
        [&[code, 1, cause, 3, 2, 1], element].concat()
    }

    #[test]
    fn a_line_is_polled() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &fixed(0x40, 3)),
                (Side::B, &[SINGLE]),
                (Side::A, &fixed(0x5b, 3)),
                (Side::B, &variable(0x08, &object(1, 3, &[1]))),
                (Side::A, &fixed(0x7b, 4)),
                (Side::B, &fixed(0x0f, 4)),
                (Side::A, &fixed(0x5b, 5)),
            ],
        );
        assert_eq!(
            vec![
                ("reset-remote-link", Some(0), String::new(), Outcome::Ok),
                ("request-class-2", Some(11), String::new(), Outcome::Ok),
                ("single-point-information", Some(1), "ioa 258".to_owned(), Outcome::None),
                ("request-class-2", Some(11), String::new(), Outcome::Error),
                ("request-class-2", Some(11), String::new(), Outcome::Unseen),
            ],
            testing::coded_operations(&items)
        );
        let station = Child::Number(CHILD, 3);
        assert!(items.iter().any(|item| matches!(item, Item::Operation(told)
            if told.protocol == NAME && told.client_child == station)));
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn commanded_values_are_changes_once_confirmed() {
        let command = |on: u8| variable(0x53, &object(45, ACTIVATION, &[on]));
        let confirm = |on: u8| variable(0x08, &object(45, ACTIVATION_CONFIRMATION, &[on]));
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &command(1)),
                (Side::B, &confirm(1)),
                (Side::A, &command(0)),
                (Side::B, &confirm(0)),
                (Side::A, &command(1)),
            ],
        );
        let changes: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Change(change) => Some((change.old.clone(), change.new.clone())),
                _ => None,
            })
            .collect();
        let (off, on) = (Value::Integer(0), Value::Integer(1));
        assert_eq!(vec![(None, on.clone()), (Some(on), off)], changes);
    }

    #[test]
    fn sizes_of_fields_follow_from_what_fits() {
        // Cause 2 octets, common address 2, object address 3.
        let long = variable(0x08, &[13, 1, 3, 0, 9, 0, 1, 0, 0, 0, 0, 0x80, 0x3f, 0]);
        let items = testing::items(&PROTOCOL, &[(Side::B, &long)]);
        let told = items.iter().find_map(|item| match item {
            Item::Operation(told) => Some((told.object.to_text(), told.client_child.to_text())),
            _ => None,
        });
        assert_eq!(Some(("ioa 1".into(), "iec101-link 3/9".into())), told);
    }

    #[test]
    fn a_wrong_checksum_is_a_violation() {
        let good = variable(0x08, &object(1, 3, &[1]));
        let mut wrong = good.clone();
        wrong[8] ^= 1;
        let items = testing::items(&PROTOCOL, &[(Side::B, &good), (Side::B, &wrong)]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "iec101-frame")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let good = variable(0x08, &object(1, 3, &[1]));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::B, &good)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::B, &good[..7])));
        // M-Bus has the same frames: its type of data is no type of this protocol.
        let other = variable(0x08, &[0x72, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, &other)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &fixed(0x40, 3))));
        // IEC 104 starts with the same octet.
        let start = [0x68, 4, 7, 0, 0, 0];
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &start)));
    }

    #[test]
    fn survives_hostile_bytes() {
        let messages = [
            (Side::A, fixed(0x5b, 3)),
            (Side::B, variable(0x08, &object(1, 3, &[1]))),
            (Side::A, variable(0x53, &object(45, ACTIVATION, &[1]))),
            (Side::B, variable(0x08, &object(45, ACTIVATION_CONFIRMATION, &[1]))),
        ];
        let messages: Vec<_> =
            messages.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
