//! HSR and PRP supervision: each node with two network ports says every two seconds that it lives.
//!
//! Source: IEC 62439-3:2016 §4.2.7 and §4.3 (PRP_Supervision frame, table 6), §5.7 (HSR): 4 bits path,
//! 12 bits version, sequence number, then type-length-value parts: 20 a node that discards duplicates,
//! 21 one that accepts them, 23 an HSR node, each with the node's MAC; 30 the MAC of the redundancy box
//! that speaks for it, 31 a node without own ports behind a redundancy box; 0 ends. Layout as
//! tshark 4.0 reads it (`hsr_prp_supervision`).
//!
//! The LAN on which a frame came is in its trailer or tag ([`otic_wire::packet::Redundancy`]); who is
//! silent on one LAN is the engine's to say.
//!
//! Rules broken on the wire: `hsr-prp-length`: a part ends too early.
//! Not decoded: other versions than 1 (that of PRP's first edition has another layout).

use compact_str::ToCompactString;
use otic_wire::{Cursor, Mac, Short};

use crate::out::{Action, Child, Decode, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};

/// Supervision frames of both.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "HSR/PRP supervision",
    roles: ("node", "group"),
    carriers: &[Carrier::EtherType(&[0x88fb])],
    dissector: Dissector::Built {
        probe: |input| if input.bytes.len() >= 6 { Probe::Certain } else { Probe::No },
        session: || Box::new(Supervision),
    },
    source: "IEC 62439-3:2016 §4.3 table 6, §5.7",
};

const NAME: &str = "hsr-prp";
const VERSION: u16 = 1;

struct Supervision;

impl Session for Supervision {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(NAME, input.side);
        if frame(input, out).is_err() && !input.truncated {
            out.push(input.violation(NAME, "hsr-prp-length", input.bytes));
        }
        input.bytes.len()
    }
}

fn frame(input: &Input<'_>, out: &mut Out) -> Result<(), Short> {
    let mut cursor = Cursor::new(input.bytes);
    if cursor.u16_be()? & 0x0fff != VERSION {
        out.push(Item::NotDecoded(NAME, "other-version"));
        return Ok(());
    }
    cursor.skip(2)?;
    let mut told = None;
    while !cursor.is_empty() {
        let kind = cursor.u8()?;
        if kind == 0 {
            break;
        }
        let length = usize::from(cursor.u8()?);
        let value = cursor.take(length)?;
        let Ok(mac) = <[u8; 6]>::try_from(value) else { continue };
        let message = *told.get_or_insert(match kind {
            20 => "prp-duplicate-discard",
            21 => "prp-duplicate-accept",
            23 => "hsr-node",
            _ => "unknown",
        });
        let attribute = match kind {
            20 | 21 | 23 => "redundancy_node",
            30 => "redundancy_box",
            31 => "redundancy_box_node",
            _ => continue,
        };
        let value = Mac(mac).to_compact_string();
        let bytes = input.bytes.get(cursor.position() - 6..cursor.position()).unwrap_or_default();
        out.claim(input.own_claim((NAME, message), attribute, value, bytes, Decode::Mac));
    }
    out.operation(Operation {
        protocol: NAME,
        connection: NAME,
        sender: input.side,
        code: input.bytes.get(4).copied().map(u32::from),
        name: told.unwrap_or("unknown"),
        action: Action::Diagnostics,
        object: Object::None,
        outcome: Outcome::None,
        client_child: Child::None,
        server_child: Child::None,
        evidence: input.locate(input.bytes.get(..5).unwrap_or_default()),
        ts_ns: input.ts_ns,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Side;
    use crate::testing;

    /// Path 0, version 1, sequence 7; a node behind a redundancy box; end.
    const NODE: &[u8] = &[
        0, 1, 0, 7, 20, 6, 2, 0, 0, 0, 0, 1, // node
        30, 6, 2, 0, 0, 0, 0, 9, // redundancy box
        0, 0,
    ];

    #[test]
    fn a_node_names_itself_and_its_redundancy_box() {
        let items = testing::items(&PROTOCOL, &[(Side::A, NODE)]);
        let expected = [
            ("redundancy_node", "02:00:00:00:00:01".to_owned()),
            ("redundancy_box", "02:00:00:00:00:09".to_owned()),
        ];
        assert_eq!(expected.to_vec(), testing::claims(&items));
        assert_eq!("prp-duplicate-discard", testing::operations(&items)[0].0);
    }

    #[test]
    fn an_hsr_node_says_so_and_another_version_is_named() {
        let hsr = [0, 1, 0, 7, 23, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        let items = testing::items(&PROTOCOL, &[(Side::A, &hsr)]);
        assert_eq!("hsr-node", testing::operations(&items)[0].0);
        let items = testing::items(&PROTOCOL, &[(Side::A, &[0, 0, 20, 12, 0, 0, 0])]);
        assert!(items.contains(&Item::NotDecoded(NAME, "other-version")));
    }

    #[test]
    fn a_part_that_ends_too_early_breaks_the_rules() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &NODE[..9])]);
        assert!(
            matches!(items.last(), Some(Item::Violation(found)) if found.rule == "hsr-prp-length")
        );
    }

    #[test]
    fn survives_anything() {
        testing::survives(&PROTOCOL, &[(Side::A, NODE)]);
    }
}
