//! IEEE C37.118: phasor measurements of a power grid, over TCP and UDP.
//!
//! Sources: IEEE Std C37.118.2-2011 §6.2 (message framework, Table 2), §6.3 (data frame), §6.4
//! (configuration frames 1 and 2, Table 8; frame 3, Tables 10 to 12), §6.5 (header frame), §6.6
//! (command frame, Table 15), Annex B (CRC-CCITT), Annex E and F (TCP, UDP, ports).
//!
//! The code of an operation is the frame type; a command is named by what it asks for. Data,
//! header and configuration frames are told as operations of the unit that sends them.
//!
//! Rules broken on the wire:
//! * `c37.118-start`: bytes inside a stream do not start with a synchronization word and a size.
//! * `c37.118-crc`: the check word of a frame is wrong; nothing else is read of it.
//! * `c37.118-length`: a command or configuration frame is shorter than its fields.
//!
//! Not decoded: measured values, names of digital channels, scale factors, extended frames,
//! configuration 3 in several frames.

use compact_str::{CompactString, format_compact};
use otic_wire::{Cursor, Short};

use crate::fields::part_at;
use crate::out::{
    Action, Child, Claim, Confidence, Decode, Item, Object, Operation, Out, Outcome, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// IEEE C37.118.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "IEEE C37.118",
    roles: ("phasor data concentrator", "phasor measurement unit"),
    carriers: &[Carrier::Tcp(&[TCP_PORT]), Carrier::Udp(&[UDP_PORT, TCP_PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(C37118::new()) },
    source: "IEEE Std C37.118.2-2011 §6, Annex B",
};

const NAME: &str = "c37.118";
const TCP_PORT: u16 = 4712;
const UDP_PORT: u16 = 4713;
/// A unit behind a concentrator, by its own IDCODE.
const CHILD: &str = "pmu";

/// First byte of the synchronization word.
const SYNC: u8 = 0xaa;
/// SYNC, FRAMESIZE, IDCODE, SOC, FRACSEC.
const HEADER: usize = 14;
const CHECK: usize = 2;

const DATA: u8 = 0;
const HEADER_FRAME: u8 = 1;
const CONFIGURATION_1: u8 = 2;
const CONFIGURATION_2: u8 = 3;
const COMMAND: u8 = 4;
const CONFIGURATION_3: u8 = 5;

/// So many bytes of a frame are believed without its check word, on the usual port.
const LONG: usize = 512;
/// Bytes of a name in configuration 1 and 2.
const NAME_BYTES: usize = 16;
/// Requests of one flow that may wait at once.
const WAITING: usize = 16;
/// Most stations and channels of one configuration that are told.
const STATIONS: usize = 64;
const CHANNELS: usize = 64;

/// Name, action, and the type of the frame that answers a command (Table 15).
const fn command(code: u16) -> (&'static str, Action, Option<u8>) {
    match code {
        1 => ("turn-off-data", Action::Subscribe, None),
        2 => ("turn-on-data", Action::Subscribe, None),
        3 => ("send-header", Action::Identify, Some(HEADER_FRAME)),
        4 => ("send-configuration-1", Action::Identify, Some(CONFIGURATION_1)),
        5 => ("send-configuration-2", Action::Identify, Some(CONFIGURATION_2)),
        6 => ("send-configuration-3", Action::Identify, Some(CONFIGURATION_3)),
        8 => ("extended-frame", Action::Control, None),
        0x0100..=0x0fff => ("user-command", Action::Control, None),
        _ => ("unknown", Action::Control, None),
    }
}

/// A frame whose check word is right.
struct Frame<'a> {
    kind: u8,
    idcode: u16,
    all: &'a [u8],
    /// What follows the header, without the check word.
    body: &'a [u8],
}

enum Front<'a> {
    Frame(Frame<'a>),
    /// The check word is wrong.
    Damaged(&'a [u8]),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let mut cursor = Cursor::new(bytes);
    if cursor.peek().is_some_and(|sync| sync != SYNC) {
        return Front::Foreign;
    }
    let Ok([_, kind]) = cursor.array() else { return Front::Incomplete };
    // reserved bit, frame type, version: 1 for 2005, 2 for 2011
    if kind & 0x80 != 0 || kind >> 4 > CONFIGURATION_3 || !matches!(kind & 0x0f, 1 | 2) {
        return Front::Foreign;
    }
    let Ok(size) = cursor.u16_be() else { return Front::Incomplete };
    let size = usize::from(size);
    if size < HEADER + CHECK {
        return Front::Foreign;
    }
    let (Some(all), Ok(idcode)) = (bytes.get(..size), cursor.u16_be()) else {
        return Front::Incomplete;
    };
    let Some((checked, check)) = all.split_last_chunk::<CHECK>() else { return Front::Incomplete };
    if crc(checked) != u16::from_be_bytes(*check) {
        return Front::Damaged(all);
    }
    let body = checked.get(HEADER..).unwrap_or_default();
    Front::Frame(Frame { kind: kind >> 4, idcode, all, body })
}

/// CRC-CCITT (Annex B): polynomial 0x1021, preset to ones.
fn crc(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let mut value = (at as u16) << 8;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 0x8000 == 0 { value << 1 } else { value << 1 ^ 0x1021 };
                bit += 1;
            }
            #[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
            {
                table[at] = value;
            }
            at += 1;
        }
        table
    };
    bytes.iter().fold(0xffff, |crc, byte| {
        let row = TABLE.get(usize::from(crc >> 8 ^ u16::from(*byte))).copied().unwrap_or(0);
        crc << 8 ^ row
    })
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Frame(_) => Probe::Certain,
        Front::Damaged(_) => Probe::Weak,
        // A long configuration does not fit into what a probe is shown.
        Front::Incomplete if input.bytes.len() >= LONG || input.truncated => Probe::Weak,
        Front::Incomplete if input.transport == Transport::Tcp => Probe::More,
        Front::Incomplete | Front::Foreign => Probe::No,
    }
}

/// One station of a configuration.
struct Station<'a> {
    name: &'a [u8],
    idcode: &'a [u8],
    /// Identity of the unit, configuration 3 only.
    global_id: Option<&'a [u8]>,
    /// Names of phasors and analog values, as many as are told.
    channels: Vec<&'a [u8]>,
    nominal: &'a [u8],
}

impl<'a> Station<'a> {
    /// Table 8.
    fn fixed(cursor: &mut Cursor<'a>) -> Result<Self, Short> {
        let (name, idcode) = (cursor.take(NAME_BYTES)?, cursor.take(2)?);
        let _format = cursor.u16_be()?;
        let (phasors, analogs, digitals) = counts(cursor)?;
        let mut names = cursor.sub((phasors + analogs) * NAME_BYTES)?;
        let channels = std::iter::from_fn(|| names.take(NAME_BYTES).ok()).take(CHANNELS).collect();
        cursor.skip(digitals * 16 * NAME_BYTES)?;
        cursor.skip((phasors + analogs + digitals) * 4)?;
        let nominal = cursor.take(2)?;
        let _changes = cursor.u16_be()?;
        Ok(Self { name, idcode, global_id: None, channels, nominal })
    }

    /// Tables 10 to 12: names have a length before them.
    fn variable(cursor: &mut Cursor<'a>) -> Result<Self, Short> {
        fn name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Short> {
            let length = cursor.u8()?;
            cursor.take(usize::from(length))
        }
        let (station, idcode) = (name(cursor)?, cursor.take(2)?);
        let global_id = Some(cursor.take(16)?);
        let _format = cursor.u16_be()?;
        let (phasors, analogs, digitals) = counts(cursor)?;
        let mut channels = Vec::new();
        for _ in 0..phasors + analogs {
            let channel = name(cursor)?;
            if channels.len() < CHANNELS {
                channels.push(channel);
            }
        }
        for _ in 0..digitals * 16 {
            name(cursor)?;
        }
        cursor.skip(phasors * 12 + analogs * 8 + digitals * 4)?;
        // latitude, longitude, elevation, service class, window, group delay
        cursor.skip(3 * 4 + 1 + 2 * 4)?;
        let nominal = cursor.take(2)?;
        let _changes = cursor.u16_be()?;
        Ok(Self { name: station, idcode, global_id, channels, nominal })
    }
}

/// Numbers of phasors, analog values and digital status words.
fn counts(cursor: &mut Cursor<'_>) -> Result<(usize, usize, usize), Short> {
    let mut count = || cursor.u16_be().map(usize::from);
    Ok((count()?, count()?, count()?))
}

/// A configuration, with as many stations as are told.
struct Configuration<'a> {
    /// What the frame says there are.
    number: u16,
    stations: Vec<Station<'a>>,
    rate: &'a [u8],
}

impl<'a> Configuration<'a> {
    /// None for a frame that is one of several.
    fn read(frame: &Frame<'a>) -> Result<Option<Self>, Short> {
        let mut cursor = Cursor::new(frame.body);
        if frame.kind == CONFIGURATION_3 && cursor.u16_be()? != 0 {
            return Ok(None);
        }
        let _time_base = cursor.u32_be()?;
        let number = cursor.u16_be()?;
        let mut stations = Vec::new();
        for _ in 0..number {
            let station = match frame.kind {
                CONFIGURATION_3 => Station::variable(&mut cursor)?,
                _ => Station::fixed(&mut cursor)?,
            };
            if stations.len() < STATIONS {
                stations.push(station);
            }
        }
        Ok(Some(Self { number, stations, rate: cursor.take(2)? }))
    }

    fn claims(&self, input: &Input<'_>, message: &'static str, out: &mut Out) {
        for station in &self.stations {
            // One station is the sender; of several, it is the concentrator.
            let id = station.idcode.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
            let child = if self.number == 1 { Child::None } else { Child::Number(CHILD, id) };
            let mut claim = |attribute, value: CompactString, part, decode| {
                out.claim(Claim {
                    who: Who::Sender(child.clone()),
                    attribute,
                    value,
                    protocol: NAME,
                    message,
                    confidence: Confidence::High,
                    evidence: input.evidence(part, decode),
                });
            };
            let name = text::trim(station.name);
            claim("name", text::utf8(name), name, Decode::Utf8);
            claim("pmu_idcode", format_compact!("{id}"), station.idcode, Decode::UnsignedBe);
            if let Some(id) = station.global_id
                && id.iter().any(|byte| *byte != 0)
            {
                let digits = id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                claim("pmu_global_id", digits.into(), id, Decode::Hex);
            }
            for channel in &station.channels {
                let channel = text::trim(channel);
                claim("channel", text::utf8(channel), channel, Decode::Utf8);
            }
            let is_50 = station.nominal.last().is_some_and(|flags| flags & 1 != 0);
            let frequency = if is_50 { "50" } else { "60" };
            claim("nominal_frequency_hz", frequency.into(), station.nominal, Decode::Derived);
        }
        // A negative rate counts seconds per frame.
        let (attribute, rate, decode) = match self.rate {
            [high, low] => match i16::from_be_bytes([*high, *low]) {
                rate @ 1.. => ("frames_per_second", rate, Decode::UnsignedBe),
                rate => ("seconds_per_frame", rate.saturating_neg(), Decode::Derived),
            },
            _ => return,
        };
        if rate != 0 {
            let value = format_compact!("{rate}");
            out.claim(input.own_claim((NAME, message), attribute, value, self.rate, decode));
        }
    }
}

/// A flow that carries C37.118.
struct C37118 {
    /// Commands by sender and the type of the frame that answers them.
    pending: Pending<(Side, u8), Operation>,
    client_said: bool,
    synchronised: [bool; 2],
}

impl C37118 {
    const fn new() -> Self {
        Self { pending: Pending::new(WAITING), client_said: false, synchronised: [false; 2] }
    }

    const fn synchronised(&mut self, side: Side) -> &mut bool {
        side.of(&mut self.synchronised)
    }

    fn frame(&mut self, input: &Input<'_>, frame: &Frame<'_>, out: &mut Out) {
        let client = if frame.kind == COMMAND { input.side } else { input.side.other() };
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(client));
        }
        let message = match frame.kind {
            COMMAND => return self.command(input, frame, out),
            HEADER_FRAME => "header",
            CONFIGURATION_1 => "configuration-1",
            CONFIGURATION_2 => "configuration-2",
            CONFIGURATION_3 => "configuration-3",
            _ => "data",
        };
        if let Some(mut asked) = self.pending.take(&(client, frame.kind)) {
            asked.outcome = Outcome::Ok;
            out.operation(asked);
        }
        out.operation(operation(input, frame, (message, Action::Read), Outcome::None));
        match frame.kind {
            DATA => {}
            HEADER_FRAME => out.claim(input.own_text((NAME, message), "description", frame.body)),
            _ => match Configuration::read(frame) {
                Ok(Some(configuration)) => configuration.claims(input, message, out),
                Ok(None) => out.push(Item::NotDecoded(NAME, "configuration-in-several-frames")),
                Err(_) => violation(input, "c37.118-length", frame.all, out),
            },
        }
    }

    fn command(&mut self, input: &Input<'_>, frame: &Frame<'_>, out: &mut Out) {
        let Some((code, _)) = frame.body.split_first_chunk::<2>() else {
            violation(input, "c37.118-length", frame.all, out);
            return;
        };
        let (name, action, answer) = command(u16::from_be_bytes(*code));
        let outcome = if answer.is_some() { Outcome::Unseen } else { Outcome::None };
        let asked = operation(input, frame, (name, action), outcome);
        let unseen = match answer {
            Some(kind) => self.pending.insert((input.side, kind), asked),
            None => Some(asked),
        };
        if let Some(operation) = unseen {
            out.operation(operation);
        }
    }
}

fn operation(
    input: &Input<'_>,
    frame: &Frame<'_>,
    words: (&'static str, Action),
    outcome: Outcome,
) -> Operation {
    let proof = if frame.kind == COMMAND {
        frame.all
    } else {
        frame.all.get(..HEADER).unwrap_or(frame.all)
    };
    Operation {
        code: Some(u32::from(frame.kind)),
        object: Object::Number { kind: "idcode", number: u32::from(frame.idcode) },
        outcome,
        ..input.operation(NAME, input.side, words, proof)
    }
}

fn violation(input: &Input<'_>, rule: &'static str, part: &[u8], out: &mut Out) {
    if !input.truncated {
        out.push(input.violation(NAME, rule, part_at(part, 0, 32)));
    }
}

impl Session for C37118 {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *self.synchronised(input.side) = false;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Frame(frame) => {
                    self.frame(input, &frame, out);
                    *self.synchronised(input.side) = true;
                    used += frame.all.len();
                }
                // Without a frame before it, this may be the middle of one.
                Front::Damaged(frame) if *self.synchronised(input.side) => {
                    violation(input, "c37.118-crc", frame, out);
                    used += frame.len();
                }
                Front::Incomplete => break,
                Front::Damaged(_) | Front::Foreign => {
                    if std::mem::take(self.synchronised(input.side)) {
                        violation(input, "c37.118-start", rest, out);
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
        for operation in self.pending.drain() {
            out.operation(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// A frame of stream 7 around this body, its check word right.
    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![SYNC, kind << 4 | 1, 0, 0, 0, 7, 0x65, 0x53, 0xf1, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(body);
        let size = (bytes.len() + CHECK) as u16;
        bytes[2..4].copy_from_slice(&size.to_be_bytes());
        let check = crc(&bytes);
        bytes.extend_from_slice(&check.to_be_bytes());
        bytes
    }

    fn padded(name: &str) -> Vec<u8> {
        format!("{name:16}").into_bytes()
    }

    /// Stations with one phasor, one analog value and one digital word each.
    fn configuration_2(stations: &[(&str, u16)], rate: i16) -> Vec<u8> {
        let mut body = vec![0, 0x0f, 0x42, 0x40];
        body.extend_from_slice(&(stations.len() as u16).to_be_bytes());
        for (name, id) in stations {
            body.extend_from_slice(&padded(name));
            body.extend_from_slice(&id.to_be_bytes());
            // format, numbers
            body.extend_from_slice(&[0, 3, 0, 1, 0, 1, 0, 1]);
            body.extend_from_slice(&padded("VA"));
            body.extend_from_slice(&padded("POWER"));
            body.extend_from_slice(&padded("BREAKER").repeat(16));
            // units, 50 Hz, changes
            body.extend_from_slice(&[0; 12]);
            body.extend_from_slice(&[0, 1, 0, 9]);
        }
        body.extend_from_slice(&rate.to_be_bytes());
        frame(CONFIGURATION_2, &body)
    }

    fn configuration_3(index: u16) -> Vec<u8> {
        let mut body = index.to_be_bytes().to_vec();
        body.extend_from_slice(&[0, 0x0f, 0x42, 0x40, 0, 1]);
        body.extend_from_slice(b"\x06Harbor\0\x2a");
        body.extend_from_slice(&[0xab; 16]);
        body.extend_from_slice(&[0, 3, 0, 1, 0, 0, 0, 0]);
        body.extend_from_slice(b"\x05V1LPM");
        body.extend_from_slice(&[0; 12]);
        body.extend_from_slice(&[0; 21]);
        // 60 Hz, changes; one frame in five seconds
        body.extend_from_slice(&[0, 0, 0, 1]);
        body.extend_from_slice(&(-5_i16).to_be_bytes());
        frame(CONFIGURATION_3, &body)
    }

    #[test]
    fn the_check_word_is_that_of_the_standard() {
        // CRC-16/CCITT-FALSE of the digits 1 to 9.
        assert_eq!(0x29b1, crc(b"123456789"));
    }

    #[test]
    fn commands_are_paired_with_the_frames_they_ask_for() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &frame(COMMAND, &[0, 5])),
                (Side::B, &configuration_2(&[("Station A", 61)], 50)),
                (Side::A, &frame(COMMAND, &[0, 2])),
                (Side::B, &frame(DATA, &[0; 20])),
                (Side::A, &frame(COMMAND, &[0, 3])),
            ],
        );
        let told = testing::coded_operations(&items);
        let told: Vec<_> = told
            .iter()
            .map(|(name, code, object, outcome)| (*name, *code, object.as_str(), *outcome))
            .collect();
        assert_eq!(
            vec![
                ("send-configuration-2", Some(4), "idcode 7", Outcome::Ok),
                ("configuration-2", Some(3), "idcode 7", Outcome::None),
                ("turn-on-data", Some(4), "idcode 7", Outcome::None),
                ("data", Some(0), "idcode 7", Outcome::None),
                ("send-header", Some(4), "idcode 7", Outcome::Unseen),
            ],
            told
        );
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn a_configuration_names_its_station_and_channels() {
        let items =
            testing::items(&PROTOCOL, &[(Side::B, &configuration_2(&[("Station A", 61)], 50))]);
        let told = testing::claims(&items);
        let told: Vec<_> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(
            vec![
                ("name", "Station A"),
                ("pmu_idcode", "61"),
                ("channel", "VA"),
                ("channel", "POWER"),
                ("nominal_frequency_hz", "50"),
                ("frames_per_second", "50"),
            ],
            told
        );
        let own = |item: &Item| matches!(item, Item::Claim(claim) if claim.who == Who::Sender(Child::None));
        assert_eq!(told.len(), items.iter().filter(|item| own(item)).count());
    }

    #[test]
    fn stations_of_a_concentrator_are_its_children() {
        let frame = configuration_2(&[("Station A", 61), ("Station B", 62)], 50);
        let items = testing::items(&PROTOCOL, &[(Side::B, &frame)]);
        assert!(items.iter().any(|item| matches!(item, Item::Claim(claim)
            if claim.value == "Station B" && claim.who == Who::Sender(Child::Number(CHILD, 62)))));
    }

    #[test]
    fn configuration_3_has_names_of_any_length() {
        let items = testing::items(&PROTOCOL, &[(Side::B, &configuration_3(0))]);
        let told = testing::claims(&items);
        let told: Vec<_> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(
            vec![
                ("name", "Harbor"),
                ("pmu_idcode", "42"),
                ("pmu_global_id", "abababababababababababababababab"),
                ("channel", "V1LPM"),
                ("nominal_frequency_hz", "60"),
                ("seconds_per_frame", "5"),
            ],
            told
        );
        let items = testing::items(&PROTOCOL, &[(Side::B, &configuration_3(1))]);
        assert!(items.contains(&Item::NotDecoded(NAME, "configuration-in-several-frames")));
    }

    #[test]
    fn a_header_describes_its_sender() {
        let items = testing::items(&PROTOCOL, &[(Side::B, &frame(HEADER_FRAME, b"PMU model 5 "))]);
        assert_eq!(vec![("description", "PMU model 5".to_owned())], testing::claims(&items));
    }

    #[test]
    fn a_wrong_check_word_is_a_violation_and_says_nothing() {
        let mut wrong = frame(COMMAND, &[0, 1]);
        wrong[15] = 2;
        let good = frame(COMMAND, &[0, 2]);
        let items =
            testing::items(&PROTOCOL, &[(Side::A, &good), (Side::A, &wrong), (Side::A, &good)]);
        assert_eq!(2, testing::operations(&items).len());
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "c37.118-crc")));
    }

    #[test]
    fn a_configuration_that_is_too_short_is_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::B, &frame(CONFIGURATION_2, &[0; 6]))]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "c37.118-length")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let good = frame(COMMAND, &[0, 2]);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &good)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &good[..9])));
        let mut wrong = good.clone();
        wrong[15] = 9;
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, &wrong)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[0xaa, 0x61, 0, 20, 0, 1])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
        let long = configuration_2(&[("Station A", 61), ("Station B", 62)], 50);
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::B, &long[..600])));
    }

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(
            &PROTOCOL,
            &[
                (Side::A, &frame(COMMAND, &[0, 5])),
                (Side::B, &configuration_2(&[("Station A", 61)], 50)),
                (Side::B, &configuration_3(0)),
                (Side::B, &frame(HEADER_FRAME, b"PMU model 5")),
                (Side::B, &frame(DATA, &[0; 20])),
            ],
        );
    }
}
