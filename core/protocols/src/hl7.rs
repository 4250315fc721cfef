//! HL7 version 2 in MLLP blocks, over TCP.
//!
//! Sources: HL7 2.5.1 §2.5 (delimiters), §2.15.9 (MSH), §2.15.8 (MSA), table 0008 (acknowledgement
//! codes), table 0076 (message types); HL7 transport specification, MLLP release 2.
//!
//! A message and its acknowledgement are one operation, paired by control id; its object is type and
//! trigger. Only MSH and MSA are read: no patient's data.
//!
//! Rules broken on the wire:
//! * `hl7-block`: inside a session a block does not start with its mark and MSH.
//!
//! Not decoded: other segments, HL7 version 3, FHIR.

use compact_str::CompactString;

use crate::fields::part_at;
use crate::out::{Action, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// HL7.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "HL7 version 2",
    roles: ("HL7 sender", "HL7 receiver"),
    carriers: &[Carrier::Tcp(&[2575])],
    dissector: Dissector::Built { probe, session: || Box::new(Hl7::new()) },
    source: "HL7 2.5.1 §2; MLLP release 2",
};

const NAME: &str = "hl7";

const START: u8 = 0x0b;
const END: &[u8] = b"\x1c\r";

/// Longest part of a block in which MSH and MSA are looked for.
const LARGE: usize = 4096;
/// Messages of one flow that may wait at once.
const WAITING: usize = 32;

/// Message types, their names and actions.
const TYPES: &[(&[u8], &str, Action)] = &[
    (b"ADT", "adt", Action::Write),
    (b"ORM", "orm", Action::Write),
    (b"OMG", "omg", Action::Write),
    (b"OML", "oml", Action::Write),
    (b"OMP", "omp", Action::Write),
    (b"RDE", "rde", Action::Write),
    (b"ORU", "oru", Action::Write),
    (b"OUL", "oul", Action::Write),
    (b"MDM", "mdm", Action::Write),
    (b"SIU", "siu", Action::Write),
    (b"DFT", "dft", Action::Write),
    (b"BAR", "bar", Action::Write),
    (b"MFN", "mfn", Action::Configuration),
    (b"VXU", "vxu", Action::Write),
    (b"QRY", "qry", Action::Read),
    (b"QBP", "qbp", Action::Read),
];

/// What the head of a message tells.
struct Head<'a> {
    application: &'a [u8],
    facility: &'a [u8],
    kind: &'a [u8],
    id: &'a [u8],
    version: &'a [u8],
    /// Code and id of an acknowledgement.
    acknowledges: Option<(&'a [u8], &'a [u8])>,
}

fn head(block: &[u8]) -> Option<Head<'_>> {
    let rest = block.strip_prefix(b"MSH")?;
    let separator = *rest.first()?;
    if !separator.is_ascii_punctuation() {
        return None;
    }
    let mut segments = block.split(|byte| *byte == b'\r');
    let mut fields = segments.next()?.split(|byte| *byte == separator).skip(2);
    let mut field = || fields.next().unwrap_or_default();
    let (application, facility) = (field(), field());
    let _receiver = (field(), field());
    let _time = field();
    let _security = field();
    let (kind, id) = (field(), field());
    let _processing = field();
    let version = field();
    let acknowledges = segments.find_map(|segment| {
        let rest = segment.strip_prefix(b"MSA")?.strip_prefix(&[separator])?;
        let mut fields = rest.split(|byte| *byte == separator);
        Some((fields.next()?, fields.next().unwrap_or_default()))
    });
    Some(Head { application, facility, kind, id, version, acknowledges })
}

fn probe(input: &Input<'_>) -> Probe {
    match input.bytes {
        [START, b'M', b'S', b'H', separator, encoding, ..]
            if separator.is_ascii_punctuation() && encoding.is_ascii_punctuation() =>
        {
            Probe::Certain
        }
        []
        | [START]
        | [START, b'M']
        | [START, b'M', b'S']
        | [START, b'M', b'S', b'H']
        | [START, b'M', b'S', b'H', _] => Probe::More,
        _ => Probe::No,
    }
}

/// A flow that carries HL7.
struct Hl7 {
    client_said: bool,
    /// By sender and control id.
    pending: Pending<(Side, CompactString), Operation>,
    /// A block whose end is still to come.
    inside: [bool; 2],
    synchronised: [bool; 2],
}

impl Hl7 {
    const fn new() -> Self {
        Self {
            client_said: false,
            pending: Pending::new(WAITING),
            inside: [false; 2],
            synchronised: [false; 2],
        }
    }

    fn block(&mut self, input: &Input<'_>, block: &[u8], out: &mut Out) {
        let Some(head) = head(block) else {
            if !input.truncated {
                out.push(input.violation(NAME, "hl7-block", part_at(block, 0, 4)));
            }
            return;
        };
        let told_in = (NAME, "msh");
        for (attribute, value) in [
            ("hl7_application", head.application),
            ("hl7_facility", head.facility),
            ("hl7_version", head.version),
        ] {
            out.claim(input.own_text(told_in, attribute, part_at(value, 0, 128)));
        }
        if let Some((code, id)) = head.acknowledges {
            let key = (input.side.other(), text::utf8(part_at(id, 0, 64)));
            if let Some(mut operation) = self.pending.take(&key) {
                operation.outcome = match code {
                    b"AA" | b"CA" => Outcome::Ok,
                    _ => Outcome::Error,
                };
                out.operation(operation);
            }
            return;
        }
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(input.side));
        }
        let row = TYPES.iter().find(|(kind, ..)| head.kind.starts_with(kind));
        let words = row.map_or(("message", Action::Write), |row| (row.1, row.2));
        let mut operation = input.operation(NAME, input.side, words, head.kind);
        operation.object = Object::Text(text::utf8(part_at(head.kind, 0, 32)));
        let key = (input.side, text::utf8(part_at(head.id, 0, 64)));
        if let Some(evicted) = self.pending.insert(key, operation) {
            out.operation(evicted);
        }
    }
}

impl Session for Hl7 {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *input.side.of(&mut self.inside) = false;
            *input.side.of(&mut self.synchronised) = false;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            let end = memchr::memmem::find(rest, END);
            if *input.side.of(&mut self.inside) {
                // The rest of a block of which the beginning was read.
                match end {
                    Some(end) => {
                        *input.side.of(&mut self.inside) = false;
                        used += end + END.len();
                    }
                    None => {
                        // The end mark may be cut in two.
                        let last = usize::from(rest.ends_with(b"\x1c"));
                        used += rest.len() - last;
                        break;
                    }
                }
                continue;
            }
            if rest.first() != Some(&START) {
                if std::mem::take(input.side.of(&mut self.synchronised)) && !input.truncated {
                    out.push(input.violation(NAME, "hl7-block", part_at(rest, 0, 4)));
                }
                used = input.bytes.len();
                break;
            }
            *input.side.of(&mut self.synchronised) = true;
            match end {
                Some(end) if end + END.len() <= LARGE => {
                    self.block(input, rest.get(1..end).unwrap_or_default(), out);
                    used += end + END.len();
                }
                None if rest.len() < LARGE => break,
                _ => {
                    self.block(input, part_at(rest, 1, LARGE - 2), out);
                    *input.side.of(&mut self.inside) = true;
                    // The end mark may be cut in two here.
                    used += LARGE - 1;
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

    fn stream_cap(&self) -> usize {
        2 * LARGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const CONVERSATION: &[(Side, &[u8])] = &[
        (
            Side::A,
            b"\x0bMSH|^~\\&|MONITOR|ICU|HIS|CLINIC|20240101||ORU^R01|77|P|2.5.1\r\
              PID|1||12345||SECRET^PATIENT\r\x1c\r",
        ),
        (
            Side::B,
            b"\x0bMSH|^~\\&|HIS|CLINIC|MONITOR|ICU|20240101||ACK^R01|9|P|2.5.1\rMSA|AA|77\r\x1c\r",
        ),
        (Side::A, b"\x0bMSH|^~\\&|MONITOR|ICU|HIS|CLINIC|20240101||ADT^A01|78|P|2.5.1\r\x1c\r"),
        (Side::B, b"\x0bMSH|^~\\&|HIS|CLINIC|||20240101||ACK|10|P|2.5.1\rMSA|AE|78\r\x1c\r"),
    ];

    #[test]
    fn messages_are_operations_with_their_acknowledgement() {
        assert_eq!(
            vec![
                ("oru", "ORU^R01".to_owned(), Outcome::Ok),
                ("adt", "ADT^A01".to_owned(), Outcome::Error),
            ],
            testing::operations(&testing::items(&PROTOCOL, CONVERSATION))
        );
    }

    #[test]
    fn applications_are_told_and_no_patient() {
        let items = testing::items(&PROTOCOL, CONVERSATION);
        let claims = testing::claims(&items);
        for expected in
            [("hl7_application", "MONITOR"), ("hl7_facility", "CLINIC"), ("hl7_version", "2.5.1")]
        {
            assert!(claims.contains(&(expected.0, expected.1.to_owned())), "{expected:?}");
        }
        assert!(!format!("{items:?}").contains("SECRET"));
    }

    #[test]
    fn a_long_block_is_read_at_its_beginning() {
        let mut long = CONVERSATION[0].1.to_vec();
        let end = long.len() - 2;
        long.splice(end..end, std::iter::repeat_n(b'x', 3 * LARGE));
        let parts = [(Side::A, &long[..]), CONVERSATION[1], CONVERSATION[2]];
        assert_eq!(2, testing::operations(&testing::items(&PROTOCOL, &parts)).len());
        testing::survives(&PROTOCOL, &[(Side::A, &long[long.len() - 300..])]);
    }

    #[test]
    fn a_block_without_its_mark_is_a_violation() {
        let parts = [CONVERSATION[0], (Side::A, &b"MSH|^~\\&|\x1c\r"[..])];
        let items = testing::items(&PROTOCOL, &parts);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "hl7-block")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, CONVERSATION[0]));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, b"\x0bMS")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"MSH|^~\\&|")));
    }

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(&PROTOCOL, CONVERSATION);
    }
}
