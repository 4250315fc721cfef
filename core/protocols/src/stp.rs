//! Spanning tree: STP, RSTP, MSTP and Cisco's per-VLAN form.
//!
//! Sources: IEEE 802.1D-2004 clause 9 (BPDUs of version 0 and 2), 802.1Q-2018 clause 14 (version
//! 3); Cisco's PVST+ uses the same BPDU on SNAP 00-00-0C / 0x010B, where
//! after one byte of padding it names its VLAN as type 0, length 2, value (as tshark reads
//! `stp.pvst.origvlan`).
//! Not decoded: the MSTI records of version 3.

use compact_str::ToCompactString;
use otic_wire::{Cursor, Mac, Short};

use crate::out::{Action, Child, Decode, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};

/// Bridge protocol data units.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "Spanning Tree",
    roles: ("bridge", "group"),
    carriers: &[Carrier::Llc(&[0x42]), Carrier::Snap(&[(0x00_000c, 0x010b)])],
    // Protocol identifier 0, a known version and BPDU type.
    dissector: Dissector::Built {
        probe: |input| match input.bytes {
            [0, 0, 0 | 2 | 3 | 4, 0x00 | 0x02 | 0x80, ..] => Probe::Certain,
            _ => Probe::No,
        },
        session: || Box::new(SpanningTree),
    },
    source: "IEEE 802.1D-2004 clause 9; IEEE 802.1Q-2018 clause 14",
};

const NAME: &str = "stp";
const TOPOLOGY_CHANGE: u8 = 0x80;

struct SpanningTree;

impl Session for SpanningTree {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(NAME, input.side);
        if bpdu(input, out).is_err() && !input.truncated {
            out.push(input.violation(NAME, "stp-bpdu-length", input.bytes));
        }
        input.bytes.len()
    }
}

fn bpdu(input: &Input<'_>, out: &mut Out) -> Result<(), Short> {
    let mut cursor = Cursor::new(input.bytes);
    cursor.skip(2)?;
    let version = cursor.u8()?;
    let kind = cursor.u8()?;
    let name = match (kind, version) {
        (TOPOLOGY_CHANGE, _) => "topology-change",
        (_, 0) => "configuration",
        (_, 2) => "rapid",
        _ => "multiple",
    };
    out.operation(Operation {
        protocol: NAME,
        connection: NAME,
        sender: input.side,
        code: Some(u32::from(kind)),
        name,
        action: Action::Configuration,
        object: Object::None,
        outcome: Outcome::None,
        client_child: Child::None,
        server_child: Child::None,
        evidence: input.locate(input.bytes.get(2..4).unwrap_or_default()),
        ts_ns: input.ts_ns,
    });
    if kind == TOPOLOGY_CHANGE {
        return Ok(());
    }
    // Flags, then root bridge: priority and MAC, path cost, the sender's bridge id, port id.
    cursor.skip(1)?;
    let mut bridge = |attribute, out: &mut Out| -> Result<(), Short> {
        cursor.skip(2)?;
        let bytes = cursor.take(6)?;
        if let Ok(mac) = <[u8; 6]>::try_from(bytes) {
            let value = Mac(mac).to_compact_string();
            out.claim(input.own_claim((NAME, name), attribute, value, bytes, Decode::Mac));
        }
        if attribute == "stp_root" { cursor.skip(4) } else { Ok(()) }
    };
    bridge("stp_root", out)?;
    bridge("stp_bridge", out)?;
    if let (0 | 2, Some([0, 0, 0, 2, vlan @ ..])) = (version, input.bytes.get(36..42)) {
        let [high, low] = *vlan else { return Ok(()) };
        let value = u16::from_be_bytes([high, low]).to_compact_string();
        out.claim(input.own_claim((NAME, name), "stp_vlan", value, vlan, Decode::UnsignedBe));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out::Item;
    use crate::session::Side;
    use crate::testing;

    const CONFIGURATION: &[u8] = &[
        0, 0, 0, 0, 0, // protocol, version, type, flags
        0x80, 0x01, 2, 0, 0, 0, 0, 1, // root
        0, 0, 0, 4, // path cost
        0x80, 0x01, 2, 0, 0, 0, 0, 2, // bridge
        0x80, 0x04, // port
        1, 0, 20, 0, 2, 0, 15, 0, // ages in 1/256 s
    ];

    #[test]
    fn a_bridge_names_itself_and_its_root() {
        let claims: Vec<(&str, String)> = testing::items(&PROTOCOL, &[(Side::A, CONFIGURATION)])
            .into_iter()
            .filter_map(|item| match item {
                Item::Claim(claim) => Some((claim.attribute, claim.value.to_string())),
                _ => None,
            })
            .collect();
        let expected = [("stp_root", "02:00:00:00:00:01"), ("stp_bridge", "02:00:00:00:00:02")];
        assert_eq!(expected.map(|(a, v)| (a, v.to_owned())).to_vec(), claims);
    }

    #[test]
    fn a_bridge_names_the_vlan_of_its_tree() {
        let bpdu = [CONFIGURATION, &[0, 0, 0, 0, 2, 0, 20]].concat();
        assert!(
            testing::claims(&testing::items(&PROTOCOL, &[(Side::A, &bpdu)]))
                .contains(&("stp_vlan", "20".into()))
        );
    }

    #[test]
    fn survives_anything() {
        testing::survives(&PROTOCOL, &[(Side::A, CONFIGURATION)]);
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[1; 35])));
    }
}
