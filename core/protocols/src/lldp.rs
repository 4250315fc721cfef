//! LLDP: what a device says of itself and of its ports to its neighbour.
//!
//! Sources: IEEE 802.1AB-2016 clause 8 (TLVs), ANSI/TIA-1057 (LLDP-MED inventory), PROFINET
//! (IEC 61158-6-10, organisation 00-0E-CF: subtype 5 chassis MAC), IEEE 802.1Q-2018 annex D (VLAN
//! name).
//! Not decoded: other 802.1 and 802.3 organisational TLVs, PROFINET delays and port states.

use std::net::{Ipv4Addr, Ipv6Addr};

use compact_str::{CompactString, ToCompactString};
use otic_wire::{Cursor, Mac, Short};

use crate::out::{Action, Child, Decode, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};
use crate::text;

/// LLDP on EtherType 0x88CC.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "LLDP",
    roles: ("sender", "receiver"),
    carriers: &[Carrier::EtherType(&[0x88cc])],
    // The first TLV is the chassis id (type 1).
    dissector: Dissector::Built {
        probe: |input| match input.bytes {
            [0x02 | 0x03, length, ..] if *length > 0 => Probe::Certain,
            _ => Probe::No,
        },
        session: || Box::new(Lldp),
    },
    source: "IEEE 802.1AB-2016; ANSI/TIA-1057",
};

const NAME: &str = "lldp";
const MESSAGE: &str = "advertisement";
const TOLD_IN: (&str, &str) = (NAME, MESSAGE);

struct Lldp;

impl Session for Lldp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(NAME, input.side);
        out.operation(Operation {
            protocol: NAME,
            connection: NAME,
            sender: input.side,
            code: None,
            name: MESSAGE,
            action: Action::Identify,
            object: Object::None,
            outcome: Outcome::None,
            client_child: Child::None,
            server_child: Child::None,
            evidence: input.locate(input.bytes),
            ts_ns: input.ts_ns,
        });
        let mut cursor = Cursor::new(input.bytes);
        while !cursor.is_empty() {
            match tlv(&mut cursor) {
                Ok((0, _)) => break,
                Ok((kind, value)) => claims(input, kind, value, out),
                Err(short) => {
                    if !input.truncated {
                        out.push(input.violation(
                            NAME,
                            "lldp-tlv-length",
                            input.bytes.get(short.offset..).unwrap_or_default(),
                        ));
                    }
                    break;
                }
            }
        }
        input.bytes.len()
    }
}

/// The next TLV: 7 bits type, 9 bits length, value (§8.4).
fn tlv<'a>(cursor: &mut Cursor<'a>) -> Result<(u8, &'a [u8]), Short> {
    let header = cursor.u16_be()?;
    Ok(((header >> 9) as u8, cursor.take(usize::from(header & 0x01ff))?))
}

fn claims(input: &Input<'_>, kind: u8, value: &[u8], out: &mut Out) {
    match (kind, value) {
        (1, [subtype, id @ ..]) => identifier(input, "chassis_id", *subtype == 4, id, out),
        (2, [subtype, id @ ..]) => identifier(input, "port_id", *subtype == 3, id, out),
        (4, _) => out.claim(input.own_text(TOLD_IN, "port_description", value)),
        (5, _) => out.claim(input.own_text(TOLD_IN, "name", value)),
        (6, _) => out.claim(input.own_text(TOLD_IN, "description", value)),
        // System capabilities, then those enabled (§8.5.8).
        (7, [_, _, enabled @ ..]) => {
            let [high, low] = *enabled else { return };
            let bits = u16::from_be_bytes([high, low]);
            let names: Vec<&str> = CAPABILITIES
                .iter()
                .enumerate()
                .filter(|(bit, _)| bits >> bit & 1 == 1)
                .map(|(_, name)| *name)
                .collect();
            out.claim(input.own_claim(
                TOLD_IN,
                "capabilities",
                names.join(" ").into(),
                enabled,
                Decode::Derived,
            ));
        }
        // Management address: length (with subtype), subtype, address (§8.5.9).
        (8, [5, 1, a, b, c, d, ..]) => {
            let address = Ipv4Addr::new(*a, *b, *c, *d);
            let bytes = value.get(2..6).unwrap_or_default();
            out.claim(input.own_claim(
                TOLD_IN,
                "management_address",
                address.to_compact_string(),
                bytes,
                Decode::Ip,
            ));
        }
        (8, [17, 2, rest @ ..]) => {
            if let Some((address, _)) = rest.split_first_chunk::<16>() {
                let text = Ipv6Addr::from(*address).to_compact_string();
                let bytes = rest.get(..16).unwrap_or_default();
                out.claim(input.own_claim(TOLD_IN, "management_address", text, bytes, Decode::Ip));
            }
        }
        // LLDP-MED inventory (TIA-1057 §10.2.6).
        (127, [0x00, 0x12, 0xbb, subtype, text @ ..]) => {
            let attribute = match subtype {
                5 => "hardware",
                6 => "boot_firmware",
                7 => "firmware",
                8 => "serial",
                9 => "vendor",
                10 => "model",
                11 => "asset_id",
                _ => return,
            };
            out.claim(input.own_text(TOLD_IN, attribute, text));
        }
        // VLAN name: id, length, name (IEEE 802.1Q-2018 §D.2.3).
        (127, [0x00, 0x80, 0xc2, 3, high, low, ..]) => {
            let id = value.get(4..6).unwrap_or_default();
            let number = u16::from_be_bytes([*high, *low]).to_compact_string();
            out.claim(input.own_claim(TOLD_IN, "vlan_id", number, id, Decode::UnsignedBe));
        }
        // PROFINET chassis MAC.
        (127, [0x00, 0x0e, 0xcf, 5, mac @ ..]) if mac.len() == 6 => {
            identifier(input, "profinet_chassis_mac", true, mac, out);
        }
        _ => {}
    }
}

/// Bit 0 first (table 8-4).
const CAPABILITIES: [&str; 11] = [
    "other",
    "repeater",
    "bridge",
    "wlan-access-point",
    "router",
    "telephone",
    "docsis-cable-device",
    "station-only",
    "c-vlan-component",
    "s-vlan-component",
    "two-port-mac-relay",
];

/// An id that is a MAC, or text where it is printable, else hexadecimal.
fn identifier(input: &Input<'_>, attribute: &'static str, is_mac: bool, id: &[u8], out: &mut Out) {
    match <[u8; 6]>::try_from(id) {
        Ok(mac) if is_mac => {
            out.claim(input.own_claim(
                TOLD_IN,
                attribute,
                Mac(mac).to_compact_string(),
                id,
                Decode::Mac,
            ));
        }
        _ if text::is_printable(id) => out.claim(input.own_text(TOLD_IN, attribute, id)),
        _ => {
            let mut hex = CompactString::default();
            for byte in id {
                let _ = std::fmt::Write::write_fmt(&mut hex, format_args!("{byte:02x}"));
            }
            out.claim(input.own_claim(TOLD_IN, attribute, hex, id, Decode::Hex));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out::Item;
    use crate::session::Side;
    use crate::testing;

    const ADVERTISEMENT: &[u8] = &[
        0x02, 0x07, 0x04, 2, 0, 0, 0, 0, 1, // chassis id: MAC
        0x04, 0x03, 0x07, b'p', b'1', // port id: locally assigned
        0x06, 0x02, 0x00, 0x14, // time to live
        0x0a, 0x03, b's', b'w', b'1', // system name
        0x0c, 0x04, b'F', b'W', b' ', b'2', // system description
        0x0e, 0x04, 0x00, 0x14, 0x00, 0x04, // capabilities: bridge router, enabled: bridge
        0x10, 0x0c, 0x05, 0x01, 192, 0, 2, 9, 0x02, 0, 0, 0, 1, 0, // management address
        0xfe, 0x07, 0x00, 0x12, 0xbb, 0x08, b'S', b'N', b'7', // MED serial number
        0xfe, 0x09, 0x00, 0x80, 0xc2, 0x03, 0, 10, 2, b'v', b'1', // VLAN name
        0x00, 0x00, // end
    ];

    fn claimed(bytes: &[u8]) -> Vec<(&'static str, String)> {
        testing::items(&PROTOCOL, &[(Side::A, bytes)])
            .into_iter()
            .filter_map(|item| match item {
                Item::Claim(claim) => Some((claim.attribute, claim.value.to_string())),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn an_advertisement_names_its_sender() {
        let expected = [
            ("chassis_id", "02:00:00:00:00:01"),
            ("port_id", "p1"),
            ("name", "sw1"),
            ("description", "FW 2"),
            ("capabilities", "bridge"),
            ("management_address", "192.0.2.9"),
            ("serial", "SN7"),
            ("vlan_id", "10"),
        ];
        assert_eq!(expected.map(|(a, v)| (a, v.to_owned())).to_vec(), claimed(ADVERTISEMENT));
    }

    #[test]
    fn a_tlv_longer_than_the_frame_is_a_violation_after_what_was_read() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &ADVERTISEMENT[..20])]);
        assert!(
            matches!(items.last(), Some(Item::Violation(violation)) if violation.rule == "lldp-tlv-length")
        );
    }

    #[test]
    fn survives_anything() {
        testing::survives(&PROTOCOL, &[(Side::A, ADVERTISEMENT)]);
    }
}
