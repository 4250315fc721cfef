//! Sampled Values: what merging units measure, sample by sample.
//!
//! Sources: IEC 61850-9-2 §8.5 (savPdu), §5.3.3 (frame); IEC 61869-9 (profiles).
//!
//! Events, per stream:
//! * `sampled-values-settings`: application id, configuration revision, data set, sample rate:
//!   once, and whenever one of them changes;
//! * `sampled-values-synchronisation`: the clock that the samples follow changed.
//!
//! Rules broken on the wire:
//! * `sampled-values-length`: a length is larger than the frame.
//!
//! Not decoded: the samples (their meaning is in the project's SCL files), security extensions.

use compact_str::{CompactString, format_compact};

use super::{STREAMS, changed, content, frame, name, number, publish, violation};
use crate::ber::{self, Element};
use crate::out::{Event, Item, Out};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::sequence::{Counter, Numbered, Sequence};
use crate::session::{Input, Session};

/// Sampled Values on EtherType 0x88BA.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "Sampled Values",
    roles: ("publisher", "subscriber"),
    carriers: &[Carrier::EtherType(&[0x88ba])],
    dissector: Dissector::Built {
        probe: |input| if frame(input.bytes, PDU).is_some() { Probe::Certain } else { Probe::No },
        session: || Box::<SampledValues>::default(),
    },
    source: "IEC 61850-9-2 §5.3.3, §8.5",
};

const NAME: &str = "sampled-values";
const MESSAGE: &str = "samples";

/// Application tag of savPdu.
const PDU: u32 = 0;

/// Most ASDUs of one frame that are read (IEC 61869-9 uses up to 8).
const ASDUS: usize = 16;

/// A count that falls by so much has started again; one that falls by less came late.
const TURN: u32 = 64;

/// What is remembered of a stream.
struct Stream {
    id: CompactString,
    /// The bytes of its settings; empty before they are known.
    settings: Vec<u8>,
    synchronisation: Option<u8>,
    count: Sequence,
    /// Highest count seen: it starts again at 0 every second.
    highest: u32,
}

impl Stream {
    /// What the count of a sample says.
    fn number(&mut self, count: u32) -> Numbered {
        self.highest = self.highest.max(count);
        match self.count.last() {
            Some(last) if last > count && last - count >= TURN => {
                self.count.restart(count, self.highest - last + count)
            }
            _ => self.count.next(count),
        }
    }
}

#[derive(Default)]
struct SampledValues {
    streams: Vec<Stream>,
    reported: bool,
}

impl SampledValues {
    fn stream(&mut self, id: &CompactString) -> Option<&mut Stream> {
        if let Some(at) = self.streams.iter().position(|stream| stream.id == *id) {
            return self.streams.get_mut(at);
        }
        if self.streams.len() >= STREAMS {
            return None;
        }
        self.streams.push(Stream {
            id: id.clone(),
            settings: Vec::new(),
            synchronisation: None,
            count: Sequence::default(),
            highest: 0,
        });
        self.streams.last_mut()
    }

    fn asdu(&mut self, input: &Input<'_>, app_id: u16, asdu: Element<'_>, out: &mut Out) {
        let Some(id) = asdu.part(0) else { return };
        let sv_id = name(id.content);
        let Some(known) = self.stream(&sv_id) else { return };
        if let Some(count) = asdu.part(2).and_then(|field| ber::unsigned(field.content)) {
            out.numbered(Counter::SampledValues, known.number(count));
        }
        let [data_set, revision, rate] = [1, 3, 6].map(|number| asdu.part(number));
        let application = app_id.to_be_bytes();
        let settings =
            [application.as_slice(), content(data_set), content(revision), content(rate)];
        let first = known.settings.is_empty();
        if changed(&mut known.settings, &settings) {
            if first {
                out.claim(input.own_text((NAME, MESSAGE), "sv_id", id.content));
            }
            out.push(Item::Event(Event {
                kind: "sampled-values-settings",
                protocol: NAME,
                sender: input.side,
                values: vec![
                    ("app_id", format_compact!("0x{app_id:04x}")),
                    ("conf_rev", number(revision)),
                    ("data_set", name(content(data_set))),
                    ("function", MESSAGE.into()),
                    ("sample_rate", number(rate)),
                    ("sv_id", sv_id.clone()),
                ],
                evidence: input.locate(asdu.content.get(..64).unwrap_or(asdu.content)),
            }));
        }
        if let Some(field) = asdu.part(5)
            && let [state] = *field.content
            && known.synchronisation.replace(state).is_some_and(|before| before != state)
        {
            let state = match state {
                0 => "none",
                1 => "local",
                2 => "global",
                _ => "other",
            };
            out.push(Item::Event(Event {
                kind: "sampled-values-synchronisation",
                protocol: NAME,
                sender: input.side,
                values: vec![("clock", state.into()), ("sv_id", sv_id)],
                evidence: input.locate(field.content),
            }));
        }
    }
}

impl Session for SampledValues {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let Some(frame) = frame(input.bytes, PDU) else { return input.bytes.len() };
        out.layer(NAME, input.side);
        let list = frame.pdu.parts().find(|part| part.is(2)).or_else(|| cut_list(frame.pdu));
        let mut id: Option<Element<'_>> = None;
        let mut cut = frame.cut || list.is_none();
        if let Some(list) = list {
            let mut rest = list.content;
            for _ in 0..ASDUS {
                if rest.is_empty() {
                    break;
                }
                let (asdu, left) = match ber::element(rest) {
                    Some(whole) => whole,
                    None => {
                        cut = true;
                        let Some(asdu) = ber::cut_element(rest) else { break };
                        (asdu, [].as_slice())
                    }
                };
                id = id.or_else(|| asdu.part(0));
                self.asdu(input, frame.app_id, asdu, out);
                rest = left;
            }
        }
        if cut && !input.truncated && !std::mem::replace(&mut self.reported, true) {
            violation(input, NAME, "sampled-values-length", out);
        }
        let cited = id.map_or(frame.pdu.content.get(..8).unwrap_or_default(), |id| id.content);
        let object = id.map(|id| name(id.content)).unwrap_or_default();
        publish(input, NAME, MESSAGE, object, cited, out);
        input.bytes.len()
    }
}

/// The list of ASDUs where it is longer than the frame.
fn cut_list(pdu: Element<'_>) -> Option<Element<'_>> {
    let mut rest = pdu.content;
    while let Some((_, left)) = ber::element(rest) {
        rest = left;
    }
    ber::cut_element(rest).filter(|list| list.is(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Side;
    use crate::testing;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }

    /// A frame with two samples of one stream, of this revision and clock.
    fn message(revision: u8, clock: u8) -> Vec<u8> {
        counted(7, revision, clock)
    }

    /// The same, with this sample count.
    fn counted(count: u16, revision: u8, clock: u8) -> Vec<u8> {
        let asdu = tlv(
            0x30,
            &[
                tlv(0x80, b"MU01"),
                tlv(0x82, &count.to_be_bytes()),
                tlv(0x83, &[0, 0, 0, revision]),
                tlv(0x85, &[clock]),
                tlv(0x87, &[0; 16]),
            ]
            .concat(),
        );
        let list = tlv(0xa2, &[asdu.clone(), asdu].concat());
        let pdu = tlv(0x60, &[tlv(0x80, &[2]), list].concat());
        let mut bytes = vec![0x40, 0, 0, 8 + pdu.len() as u8, 0, 0, 0, 0];
        bytes.extend(pdu);
        bytes
    }

    #[test]
    fn what_is_missing_is_told_by_the_sample_count_which_starts_again_every_second() {
        let frames = [3997, 3999, 0, 2, 3998, 1].map(|count| counted(count, 1, 2));
        let messages: Vec<_> = frames.iter().map(|bytes| (Side::A, bytes.as_slice())).collect();
        let told = testing::numbered(&testing::items(&PROTOCOL, &messages));
        // Both samples of a frame of these tests have one count.
        let first_of_each: Vec<_> = told.iter().step_by(2).copied().collect();
        use Numbered::Next;
        let expected = [Next(0), Next(1), Next(0), Next(1), Next(0), Next(2)];
        assert_eq!(expected.to_vec(), first_of_each);
    }

    fn kinds(items: &[Item]) -> Vec<&'static str> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Event(event) => Some(event.kind),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_stream_is_one_operation_a_frame_and_its_settings_are_told_once() {
        let frames = [message(1, 2), message(1, 2), message(1, 0), message(3, 0)];
        let frames: Vec<_> = frames.iter().map(|bytes| (Side::A, bytes.as_slice())).collect();
        let items = testing::items(&PROTOCOL, &frames);
        assert_eq!(
            vec![
                "sampled-values-settings",
                "sampled-values-synchronisation",
                "sampled-values-settings"
            ],
            kinds(&items)
        );
        let published = items
            .iter()
            .filter(|item| {
                matches!(item, Item::Operation(operation) if operation.object.to_text() == "MU01")
            })
            .count();
        assert_eq!(4, published);
    }

    #[test]
    fn a_sample_longer_than_the_frame_is_a_violation_after_what_was_read() {
        let whole = message(1, 2);
        let items = testing::items(&PROTOCOL, &[(Side::A, &whole[..whole.len() - 6])]);
        assert!(items.iter().any(|item| matches!(
            item,
            Item::Violation(violation) if violation.rule == "sampled-values-length"
        )));
        assert_eq!(vec!["sampled-values-settings"], kinds(&items));
    }

    #[test]
    fn survives_anything() {
        let bytes = message(1, 2);
        testing::survives(&PROTOCOL, &[(Side::A, &bytes), (Side::B, &bytes)]);
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"no frame at all")));
    }
}
