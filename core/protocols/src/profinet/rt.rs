//! PROFINET RT: cyclic data of IO controllers and devices, alarms, time synchronisation.
//!
//! Sources: IEC 61158-6-10 §4.2.2.3 (ranges of the frame id), §4.7 (RTC-PDU: cycle counter, data
//! status, transfer status at the end of the frame), §4.8 (RTA-PDU), §5.2.5 (alarm notification),
//! §4.4 (PTCP).
//!
//! The code of an operation is the frame id. What a station provides it provides all the time; the
//! event `profinet-provider-state` says when its data status changes between run and stop. An alarm
//! is the event `profinet-alarm` with its type, slot and subslot.
//!
//! Rules broken on the wire:
//! * `profinet-rt-length`: an alarm frame is shorter than its header or than its own length.
//!
//! Not decoded: the data (its meaning is in the device's GSDML file and the project), fragments,
//! diagnosis records of alarms, times of PTCP.

use compact_str::{ToCompactString, format_compact};
use otic_wire::{Cursor, Short};

use crate::fields::part_at;
use crate::out::{Action, Event, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::sequence::{Counter, SteppedSequence};
use crate::session::{Input, Side};

/// PROFINET RT.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "PROFINET RT",
    roles: ("IO controller", "IO device"),
    carriers: &[Carrier::EtherType(&[super::ETHER_TYPE])],
    dissector: Dissector::Built { probe, session: super::session },
    source: "IEC 61158-6-10 §4.2.2.3, §4.4, §4.7, §4.8",
};

const NAME: &str = "profinet-rt";

/// Relations whose cycle counters one flow follows.
const FOLLOWED: usize = 16;

const ALARM_HIGH: u16 = 0xfc01;
const ALARM_LOW: u16 = 0xfe01;

/// Data status: the provider runs (§4.7.2.1.3).
const PROVIDER_RUNS: u8 = 0x10;

/// Name and action of a frame id; none for reserved ones.
const fn kind(frame_id: u16) -> Option<(&'static str, Action)> {
    Some(match frame_id {
        0x0020 | 0x0021 | 0x0080 | 0x0081 => ("ptcp-sync", Action::Session),
        0x0100..=0x0fff => ("cyclic-data-class-3", Action::Subscribe),
        0x8000..=0xbbff => ("cyclic-data", Action::Subscribe),
        0xbc00..=0xbfff => ("cyclic-data-multicast", Action::Subscribe),
        0xc000..=0xf7ff => ("cyclic-data-class-1", Action::Subscribe),
        0xf800..=0xfbff => ("cyclic-data-class-1-multicast", Action::Subscribe),
        ALARM_HIGH => ("alarm-high", Action::Diagnostics),
        ALARM_LOW => ("alarm-low", Action::Diagnostics),
        0xff00 | 0xff01 => ("ptcp-announce", Action::Session),
        0xff20 | 0xff21 => ("ptcp-follow-up", Action::Session),
        0xff40 => ("ptcp-delay-request", Action::Session),
        0xff41..=0xff43 => ("ptcp-delay-response", Action::Session),
        _ => return None,
    })
}

fn probe(input: &Input<'_>) -> Probe {
    let [high, low, rest @ ..] = input.bytes else { return Probe::No };
    match kind(u16::from_be_bytes([*high, *low])) {
        Some(_) if !rest.is_empty() => Probe::Certain,
        _ => Probe::No,
    }
}

/// The frames of cyclic data, alarms and time between two stations.
#[derive(Default)]
pub(super) struct Rt {
    /// Whether each side's provider runs, where its data said so.
    runs: [Option<bool>; 2],
    reported: bool,
    /// Cycle counters by side and frame id.
    cycles: Vec<(Side, u16, SteppedSequence)>,
}

impl Rt {
    /// Reads one frame.
    pub(super) fn frame(&mut self, input: &Input<'_>, out: &mut Out) {
        let Some((id, data)) = input.bytes.split_first_chunk::<2>() else { return };
        let frame_id = u16::from_be_bytes(*id);
        let Some((name, action)) = kind(frame_id) else { return };
        out.layer(NAME, input.side);
        let object = match frame_id {
            ALARM_HIGH | ALARM_LOW => self.alarm(input, data, out),
            0x0100..=0xfbff => {
                self.cycle(input, frame_id, data, out);
                self.status(input, data, out);
                Object::None
            }
            _ => Object::None,
        };
        out.operation(Operation {
            code: Some(u32::from(frame_id)),
            object,
            outcome: Outcome::None,
            ..input.operation(NAME, input.side, (name, action), id)
        });
    }

    /// The cycle counter of cyclic data: the two bytes before data status and transfer status.
    fn cycle(&mut self, input: &Input<'_>, frame_id: u16, data: &[u8], out: &mut Out) {
        if input.truncated || data.len() < 44 {
            return;
        }
        let [.., high, low, _, 0] = data else { return };
        let known =
            |(side, id, _): &(Side, u16, SteppedSequence)| (*side, *id) == (input.side, frame_id);
        if !self.cycles.iter().any(known) && self.cycles.len() < FOLLOWED {
            self.cycles.push((input.side, frame_id, SteppedSequence::default()));
        }
        if let Some((_, _, counter)) = self.cycles.iter_mut().find(|cycle| known(cycle)) {
            out.numbered(Counter::ProfinetRt, counter.next(u16::from_be_bytes([*high, *low])));
        }
    }

    /// The data status of cyclic data: third from the end, before a transfer status of 0.
    fn status(&mut self, input: &Input<'_>, data: &[u8], out: &mut Out) {
        if input.truncated || data.len() < 44 {
            return;
        }
        let [.., status, 0] = data else { return };
        let runs = status & PROVIDER_RUNS != 0;
        let known = input.side.of(&mut self.runs);
        if known.replace(runs).is_some_and(|before| before != runs) {
            let state = if runs { "run" } else { "stop" };
            out.push(Item::Event(Event {
                kind: "profinet-provider-state",
                protocol: NAME,
                sender: input.side,
                values: vec![("state", state.into())],
                evidence: input.locate(data.get(data.len() - 2..data.len() - 1).unwrap_or(data)),
            }));
        }
    }

    /// Tells an alarm; gives what it is about.
    fn alarm(&mut self, input: &Input<'_>, data: &[u8], out: &mut Out) -> Object {
        match alarm(data) {
            Ok(Some(alarm)) => {
                let place = format_compact!("profinet-slot {}/{}", alarm.slot, alarm.subslot);
                out.push(Item::Event(Event {
                    kind: "profinet-alarm",
                    protocol: NAME,
                    sender: input.side,
                    values: vec![("alarm", alarm_name(alarm.kind)), ("place", place.clone())],
                    evidence: input.locate(alarm.bytes),
                }));
                Object::Text(place)
            }
            Ok(None) => Object::None,
            Err(_) if input.truncated || std::mem::replace(&mut self.reported, true) => {
                Object::None
            }
            Err(_) => {
                out.push(input.violation(NAME, "profinet-rt-length", part_at(data, 0, 32)));
                Object::None
            }
        }
    }
}

/// An alarm notification.
struct Alarm<'a> {
    kind: u16,
    slot: u16,
    subslot: u16,
    bytes: &'a [u8],
}

/// The notification in an RTA-PDU; none in acknowledgements and errors.
fn alarm(data: &[u8]) -> Result<Option<Alarm<'_>>, Short> {
    let mut cursor = Cursor::new(data);
    let _endpoints = cursor.u32_be()?;
    let kind = cursor.u8()? & 0x0f;
    // flags, send and acknowledge sequence numbers
    cursor.skip(5)?;
    let length = usize::from(cursor.u16_be()?);
    let bytes = cursor.take(length)?;
    if kind != 1 {
        return Ok(None);
    }
    let mut cursor = Cursor::new(bytes);
    let block = cursor.u16_be()?;
    // length, version
    cursor.skip(4)?;
    // 1 and 2 are notifications, with the top bit set their acknowledgements.
    if !matches!(block, 1 | 2) {
        return Ok(None);
    }
    let kind = cursor.u16_be()?;
    let _api = cursor.u32_be()?;
    Ok(Some(Alarm { kind, slot: cursor.u16_be()?, subslot: cursor.u16_be()?, bytes }))
}

/// The standard's name of an alarm type (§5.2.5).
fn alarm_name(kind: u16) -> compact_str::CompactString {
    let name = match kind {
        0x01 => "diagnosis",
        0x02 => "process",
        0x03 => "pull",
        0x04 => "plug",
        0x05 => "status",
        0x06 => "update",
        0x07 => "redundancy",
        0x08 => "controlled-by-supervisor",
        0x09 => "released",
        0x0a => "plug-wrong-submodule",
        0x0b => "return-of-submodule",
        0x0c => "diagnosis-disappears",
        0x0d => "multicast-communication-mismatch",
        0x0e => "port-data-change",
        0x0f => "sync-data-change",
        0x10 => "isochronous-mode-problem",
        0x11 => "network-component-problem",
        0x12 => "time-data-change",
        0x1e => "upload-and-retrieval",
        0x1f => "pull-module",
        number => return number.to_compact_string(),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// Cyclic data of 40 bytes with this data status.
    fn cyclic(status: u8) -> Vec<u8> {
        counted(0x1200, status)
    }

    /// The same, with this cycle counter.
    fn counted(cycle: u16, status: u8) -> Vec<u8> {
        let mut bytes = vec![0x80, 0x01];
        bytes.extend([0x80; 40]);
        bytes.extend(cycle.to_be_bytes());
        bytes.extend([status, 0x00]);
        bytes
    }

    const PULL: &[u8] = &[
        0xfc, 0x01, // frame id: alarm high
        0x00, 0x01, 0x00, 0x02, // alarm end points
        0x11, 0x01, 0xff, 0xff, 0xff, 0xfe, // data, flags, sequence numbers
        0x00, 0x10, // length
        0x00, 0x01, 0x00, 0x0c, 0x01, 0x00, // alarm notification high, length, version
        0x00, 0x03, 0, 0, 0, 0, 0x00, 0x04, 0x00, 0x01, // pull, API 0, slot 4, subslot 1
    ];

    fn events(items: &[Item]) -> Vec<(&'static str, Vec<String>)> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Event(event) => Some((
                    event.kind,
                    event.values.iter().map(|(_, value)| value.to_string()).collect(),
                )),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_is_missing_is_told_by_the_cycle_counter() {
        let frames = [0, 64, 128, 192, 320].map(|cycle| counted(cycle, 0x35));
        let messages: Vec<_> = frames.iter().map(|bytes| (Side::A, bytes.as_slice())).collect();
        let told = testing::numbered(&testing::items(&PROTOCOL, &messages));
        use crate::sequence::Numbered::{Next, Unclear};
        assert_eq!(vec![Unclear, Unclear, Unclear, Next(0), Next(1)], told);
    }

    #[test]
    fn a_provider_that_stops_is_told_once() {
        let (run, stop) = (cyclic(0x35), cyclic(0x25));
        let messages: Vec<_> =
            [&run, &run, &stop, &stop].map(|bytes| (Side::A, bytes.as_slice())).to_vec();
        let items = testing::items(&PROTOCOL, &messages);
        assert_eq!(vec![("profinet-provider-state", vec!["stop".to_owned()])], events(&items));
        let operations = items
            .iter()
            .filter(
                |item| matches!(item, Item::Operation(operation) if operation.code == Some(0x8001)),
            )
            .count();
        assert_eq!(4, operations);
    }

    #[test]
    fn an_alarm_names_its_type_and_place() {
        let items = testing::items(&PROTOCOL, &[(Side::B, PULL)]);
        assert_eq!(
            vec![("profinet-alarm", vec!["pull".to_owned(), "profinet-slot 4/1".to_owned()])],
            events(&items)
        );
    }

    #[test]
    fn an_alarm_cut_short_is_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::B, &PULL[..20])]);
        assert!(items.iter().any(
            |item| matches!(item, Item::Violation(violation) if violation.rule == "profinet-rt-length")
        ));
    }

    #[test]
    fn names_and_data_between_the_same_stations_are_told_apart() {
        let get = [0xfe, 0xfd, 3, 0, 0, 0, 0, 7, 0, 0, 0, 2, 2, 2];
        let items = testing::items(&PROTOCOL, &[(Side::A, &cyclic(0x35)), (Side::A, &get)]);
        let protocols: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(operation) => Some(operation.protocol),
                _ => None,
            })
            .collect();
        assert_eq!(vec![NAME, "profinet-dcp"], protocols);
    }

    #[test]
    fn survives_anything() {
        let data = cyclic(0x35);
        testing::survives(&PROTOCOL, &[(Side::A, &data), (Side::B, PULL)]);
    }
}
