//! GOOSE: the events that IEDs publish to each other.
//!
//! Sources: IEC 61850-8-1 §18 and annex A (goosePdu), annex C.2 (frame).
//!
//! Events, per control block:
//! * `goose-settings`: application id, configuration revision, data set with its number of entries,
//!   GOOSE id, time allowed to live: once, and whenever one of them changes;
//! * `goose-state-change`: the state number moved on, so the data changed;
//! * `goose-needs-commissioning`, `goose-simulation`: the flags are set.
//!
//! Rules broken on the wire:
//! * `goose-length`: a length is larger than the frame.
//!
//! Not decoded: the data (its meaning is in the project's SCL files), security extensions, GSE
//! management (EtherType 0x88B9).

use compact_str::{CompactString, format_compact};

use super::{STREAMS, changed, content, frame, name, number, publish, violation};
use crate::ber::{self, Element};
use crate::out::{Event, Item, Out};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::sequence::{Counter, Numbered, Sequence};
use crate::session::{Input, Session};

/// GOOSE on EtherType 0x88B8.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "GOOSE",
    roles: ("publisher", "subscriber"),
    carriers: &[Carrier::EtherType(&[0x88b8])],
    dissector: Dissector::Built {
        probe: |input| if frame(input.bytes, PDU).is_some() { Probe::Certain } else { Probe::No },
        session: || Box::<Goose>::default(),
    },
    source: "IEC 61850-8-1 §18, annex A, annex C",
};

const NAME: &str = "goose";
const MESSAGE: &str = "goose-message";

/// Application tag of goosePdu.
const PDU: u32 = 1;

/// What is remembered of a control block.
struct ControlBlock {
    reference: CompactString,
    /// The bytes of its settings; empty before they are known.
    settings: Vec<u8>,
    state: Option<u32>,
    sequence: Sequence,
    /// The sequence number was seen to start at 0 with a new state, as it must.
    restarts: bool,
    needs_commissioning: bool,
    simulation: bool,
}

impl ControlBlock {
    /// What these numbers say. The sequence number starts at 0 with each state; a publisher that goes
    /// on counting is believed, unless it was seen to start again.
    fn number(&mut self, state: u32, sequence: u32) -> Numbered {
        let Some(before) = self.state.filter(|before| *before != state) else {
            return self.sequence.next(sequence);
        };
        self.restarts |= sequence == 0;
        let goes_on = self.sequence.last().is_some_and(|last| last.wrapping_add(1) == sequence);
        if goes_on && !self.restarts {
            return self.sequence.next(sequence);
        }
        let skipped = state.wrapping_sub(before) - 1;
        self.sequence.restart(sequence, sequence.saturating_add(skipped))
    }
}

#[derive(Default)]
struct Goose {
    blocks: Vec<ControlBlock>,
    reported: bool,
}

impl Goose {
    fn block(&mut self, reference: &CompactString) -> Option<&mut ControlBlock> {
        if let Some(at) = self.blocks.iter().position(|block| block.reference == *reference) {
            return self.blocks.get_mut(at);
        }
        if self.blocks.len() >= STREAMS {
            return None;
        }
        self.blocks.push(ControlBlock {
            reference: reference.clone(),
            settings: Vec::new(),
            state: None,
            sequence: Sequence::default(),
            restarts: false,
            needs_commissioning: false,
            simulation: false,
        });
        self.blocks.last_mut()
    }
}

/// The fields of a goosePdu by their tags, 0 to 11.
fn fields(pdu: Element<'_>) -> [Option<Element<'_>>; 12] {
    let mut fields = [None; 12];
    for part in pdu.parts() {
        if part.class == ber::Class::Context
            && let Some(field) = fields.get_mut(part.number as usize)
        {
            *field = Some(part);
        }
    }
    fields
}

impl Session for Goose {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let Some(frame) = frame(input.bytes, PDU) else { return input.bytes.len() };
        out.layer(NAME, input.side);
        if frame.cut && !input.truncated && !std::mem::replace(&mut self.reported, true) {
            violation(input, NAME, "goose-length", out);
        }
        let [
            control_block,
            live,
            data_set,
            id,
            _time,
            state,
            sequence,
            simulation,
            revision,
            commissioning,
            entries,
            _data,
        ] = fields(frame.pdu);
        let Some(control_block) = control_block else {
            publish(input, NAME, MESSAGE, CompactString::default(), frame.pdu.content, out);
            return input.bytes.len();
        };
        let reference = name(control_block.content);
        let event = |kind, mut values: Vec<_>, evidence: &[u8]| {
            values.push(("control_block", reference.clone()));
            values.sort_unstable();
            Item::Event(Event {
                kind,
                protocol: NAME,
                sender: input.side,
                values,
                evidence: input.locate(evidence),
            })
        };
        if let Some(known) = self.block(&reference) {
            let text = |field: Option<Element<'_>>| {
                field.map(|field| name(field.content)).unwrap_or_default()
            };
            let app_id = frame.app_id.to_be_bytes();
            let settings = [
                app_id.as_slice(),
                content(revision),
                content(data_set),
                content(entries),
                content(id),
                content(live),
            ];
            let first = known.settings.is_empty();
            // A frame cut short does not say that fields are missing.
            if !frame.cut && changed(&mut known.settings, &settings) {
                if first {
                    let told_in = (NAME, MESSAGE);
                    if let Some(id) = id {
                        out.claim(input.own_text(told_in, "goose_id", id.content));
                    }
                    let mut parts = control_block.content.split(|byte| *byte == b'/');
                    if let (Some(device), Some(_)) = (parts.next(), parts.next()) {
                        out.claim(input.own_text(told_in, "logical_device", device));
                    }
                }
                let values = vec![
                    ("app_id", format_compact!("0x{:04x}", frame.app_id)),
                    ("conf_rev", number(revision)),
                    ("data_set", text(data_set)),
                    ("entries", number(entries)),
                    ("function", MESSAGE.into()),
                    ("goose_id", text(id)),
                    ("time_allowed_to_live_ms", number(live)),
                ];
                out.push(event("goose-settings", values, frame.pdu.content));
            }
            let number = |field: Option<Element<'_>>| ber::unsigned(field?.content);
            if let (Some(state), Some(sequence)) = (number(state), number(sequence)) {
                out.numbered(Counter::Goose, known.number(state, sequence));
            }
            if let Some(field) = state
                && let Some(number) = ber::unsigned(field.content)
                && known.state.replace(number).is_some_and(|before| before != number)
            {
                out.push(event("goose-state-change", Vec::new(), field.content));
            }
            let flags = [
                ("goose-needs-commissioning", commissioning, &mut known.needs_commissioning),
                ("goose-simulation", simulation, &mut known.simulation),
            ];
            for (kind, field, known) in flags {
                let is_set = field.is_some_and(|field| field.content.iter().any(|byte| *byte != 0));
                if !std::mem::replace(known, is_set)
                    && is_set
                    && let Some(field) = field
                {
                    out.push(event(kind, Vec::new(), field.content));
                }
            }
        }
        publish(input, NAME, MESSAGE, reference, control_block.content, out);
        input.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Side;
    use crate::testing;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }

    /// A frame with this state number, revision and flag for commissioning.
    fn message(state: u8, revision: u8, needs_commissioning: u8) -> Vec<u8> {
        numbered(state, 0, revision, needs_commissioning)
    }

    fn numbered(state: u8, sequence: u8, revision: u8, needs_commissioning: u8) -> Vec<u8> {
        let pdu = [
            tlv(0x80, b"IED1LD0/LLN0$GO$gcb1"),
            tlv(0x81, &[0x07, 0xd0]),
            tlv(0x82, b"IED1LD0/LLN0$DS1"),
            tlv(0x83, b"trip"),
            tlv(0x84, &[0; 8]),
            tlv(0x85, &[state]),
            tlv(0x86, &[sequence]),
            tlv(0x87, &[0]),
            tlv(0x88, &[revision]),
            tlv(0x89, &[needs_commissioning]),
            tlv(0x8a, &[1]),
            tlv(0xab, &tlv(0x83, &[1])),
        ]
        .concat();
        let pdu = tlv(0x61, &pdu);
        let mut bytes = vec![0x10, 0x01, 0, 8 + pdu.len() as u8, 0, 0, 0, 0];
        bytes.extend(pdu);
        bytes.extend([0; 4]); // padding
        bytes
    }

    #[test]
    fn what_is_missing_is_told_by_state_and_sequence_number() {
        // (state, sequence): in turn, one lost, twice, a state lost whole, the start of one lost
        let told = [(1, 5), (1, 6), (1, 8), (1, 8), (3, 0), (3, 1), (4, 2)];
        let frames: Vec<_> =
            told.iter().map(|(state, sequence)| numbered(*state, *sequence, 1, 0)).collect();
        let messages: Vec<_> = frames.iter().map(|bytes| (Side::A, bytes.as_slice())).collect();
        use Numbered::{Again, Next};
        let expected = [Next(0), Next(0), Next(1), Again, Next(1), Next(0), Next(2)];
        assert_eq!(expected.to_vec(), testing::numbered(&testing::items(&PROTOCOL, &messages)));
    }

    #[test]
    fn a_publisher_that_goes_on_counting_over_states_is_believed() {
        let frames = [numbered(1, 5, 1, 0), numbered(2, 6, 1, 0), numbered(3, 7, 1, 0)];
        let messages: Vec<_> = frames.iter().map(|bytes| (Side::A, bytes.as_slice())).collect();
        let told = testing::numbered(&testing::items(&PROTOCOL, &messages));
        assert_eq!(vec![Numbered::Next(0); 3], told);
    }

    fn events(items: &[Item]) -> Vec<(&'static str, String)> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Event(event) => {
                    let value = |name| {
                        event.values.iter().find(|(known, _)| *known == name).map(|(_, v)| v)
                    };
                    let told = value("conf_rev").or_else(|| value("control_block"));
                    Some((event.kind, told.unwrap().to_string()))
                }
                _ => None,
            })
            .collect()
    }

    #[test]
    fn settings_and_states_are_told_when_they_change() {
        let frames = [message(1, 1, 0), message(1, 1, 0), message(2, 1, 0), message(2, 2, 1)];
        let frames: Vec<_> = frames.iter().map(|bytes| (Side::A, bytes.as_slice())).collect();
        let items = testing::items(&PROTOCOL, &frames);
        let block = "IED1LD0/LLN0$GO$gcb1".to_owned();
        assert_eq!(
            vec![
                ("goose-settings", "1".to_owned()),
                ("goose-state-change", block.clone()),
                ("goose-settings", "2".to_owned()),
                ("goose-needs-commissioning", block),
            ],
            events(&items)
        );
        let published = items
            .iter()
            .filter(|item| {
                matches!(item, Item::Operation(operation)
                    if operation.object.to_text() == "IED1LD0/LLN0$GO$gcb1")
            })
            .count();
        assert_eq!(4, published);
        let claims: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Claim(claim) => Some((claim.attribute, claim.value.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(vec![("goose_id", "trip"), ("logical_device", "IED1LD0")], claims);
    }

    #[test]
    fn a_length_beyond_the_frame_is_a_violation() {
        let mut long = message(1, 1, 0);
        long[3] += 40;
        let items = testing::items(&PROTOCOL, &[(Side::A, &long)]);
        assert!(items.iter().any(
            |item| matches!(item, Item::Violation(violation) if violation.rule == "goose-length")
        ));
    }

    #[test]
    fn survives_anything() {
        let bytes = message(1, 1, 0);
        testing::survives(&PROTOCOL, &[(Side::A, &bytes), (Side::B, &bytes)]);
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"no frame at all")));
    }
}
