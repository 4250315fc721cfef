//! CDP: what a Cisco device (and others that speak CDP) says of itself to its neighbour.
//!
//! Source: "Cisco Discovery Protocol" frame formats as published by Cisco (TLV types 0x0001 to
//! 0x001a); the address TLV's layout as observed in cdp-BCM1100.pcap, frame 1.
//! Not decoded: the checksum (one vendor's implementations disagree on odd lengths), power and
//! VLAN query TLVs.

use std::net::Ipv4Addr;

use compact_str::ToCompactString;
use otic_wire::{Cursor, Short};

use crate::out::{Action, Child, Decode, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};

/// CDP on SNAP 00-00-0C / 0x2000.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "CDP",
    roles: ("sender", "receiver"),
    carriers: &[Carrier::Snap(&[(0x00_000c, 0x2000)])],
    dissector: Dissector::Built {
        probe: |input| match input.bytes {
            [1 | 2, _, _, _, ..] => Probe::Certain,
            _ => Probe::No,
        },
        session: || Box::new(Cdp),
    },
    source: "Cisco Discovery Protocol, published frame formats",
};

const NAME: &str = "cdp";
const MESSAGE: &str = "advertisement";
const TOLD_IN: (&str, &str) = (NAME, MESSAGE);

struct Cdp;

impl Session for Cdp {
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
        // Version, time to live, checksum.
        if cursor.skip(4).is_err() {
            return input.bytes.len();
        }
        while !cursor.is_empty() {
            let start = cursor.position();
            match tlv(&mut cursor) {
                Ok((kind, value)) => claims(input, kind, value, out),
                Err(_) => {
                    if !input.truncated {
                        out.push(input.violation(
                            NAME,
                            "cdp-tlv-length",
                            input.bytes.get(start..).unwrap_or_default(),
                        ));
                    }
                    break;
                }
            }
        }
        input.bytes.len()
    }
}

/// The next TLV; its length counts the four bytes of type and length.
fn tlv<'a>(cursor: &mut Cursor<'a>) -> Result<(u16, &'a [u8]), Short> {
    let kind = cursor.u16_be()?;
    let length = usize::from(cursor.u16_be()?);
    let value =
        length.checked_sub(4).ok_or(Short { wanted: 4, got: length, offset: cursor.position() })?;
    Ok((kind, cursor.take(value)?))
}

fn claims(input: &Input<'_>, kind: u16, value: &[u8], out: &mut Out) {
    match kind {
        0x0001 => out.claim(input.own_text(TOLD_IN, "name", value)),
        0x0002 => addresses(input, "management_address", value, out),
        0x0003 => out.claim(input.own_text(TOLD_IN, "port_id", value)),
        0x0004 => {
            let Some((bits, _)) = value.split_first_chunk::<4>() else { return };
            let bits = u32::from_be_bytes(*bits);
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
                value,
                Decode::Derived,
            ));
        }
        0x0005 => out.claim(input.own_text(TOLD_IN, "firmware", value)),
        0x0006 => out.claim(input.own_text(TOLD_IN, "model", value)),
        0x0009 => out.claim(input.own_text(TOLD_IN, "vtp_domain", value)),
        0x000a => {
            if let Ok(vlan) = <[u8; 2]>::try_from(value) {
                let vlan = u16::from_be_bytes(vlan).to_compact_string();
                out.claim(input.own_claim(TOLD_IN, "native_vlan", vlan, value, Decode::UnsignedBe));
            }
        }
        0x0014 => out.claim(input.own_text(TOLD_IN, "system_name", value)),
        0x0016 => addresses(input, "management_address", value, out),
        0x0017 => {
            out.claim(input.own_text(TOLD_IN, "location", value.get(1..).unwrap_or_default()))
        }
        _ => {}
    }
}

/// Bit 0 first.
const CAPABILITIES: [&str; 10] = [
    "router",
    "transparent-bridge",
    "source-route-bridge",
    "switch",
    "host",
    "igmp-capable",
    "repeater",
    "telephone",
    "remotely-managed-device",
    "cvta",
];

/// Count, then per address: protocol type, protocol length and bytes, address length and bytes;
/// IPv4 is NLPID 0xCC.
fn addresses(input: &Input<'_>, attribute: &'static str, value: &[u8], out: &mut Out) {
    let mut cursor = Cursor::new(value);
    let Ok(count) = cursor.u32_be() else { return };
    for _ in 0..count.min(64) {
        let mut next = || -> Result<(&[u8], &[u8]), Short> {
            cursor.skip(1)?;
            let length = usize::from(cursor.u8()?);
            let protocol = cursor.take(length)?;
            let length = usize::from(cursor.u16_be()?);
            Ok((protocol, cursor.take(length)?))
        };
        match next() {
            Ok(([0xcc], bytes @ [a, b, c, d])) => {
                let text = Ipv4Addr::new(*a, *b, *c, *d).to_compact_string();
                out.claim(input.own_claim(TOLD_IN, attribute, text, bytes, Decode::Ip));
            }
            Ok(_) => {}
            Err(_) => return,
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
        0x02, 0xb4, 0x00, 0x00, // version 2, 180 s, checksum
        0x00, 0x01, 0x00, 0x07, b's', b'w', b'1', // device id
        0x00, 0x02, 0x00, 0x11, 0, 0, 0, 1, 1, 1, 0xcc, 0, 4, 192, 0, 2, 7, // address
        0x00, 0x04, 0x00, 0x08, 0, 0, 0, 0x28, // capabilities: switch, IGMP
        0x00, 0x05, 0x00, 0x08, b'I', b'O', b'S', b'1', // version
        0x00, 0x06, 0x00, 0x07, b'W', b'S', b'C', // platform
        0x00, 0x0a, 0x00, 0x06, 0x00, 0x01, // native VLAN
    ];

    #[test]
    fn an_advertisement_names_its_sender() {
        let claims: Vec<(&str, String)> = testing::items(&PROTOCOL, &[(Side::A, ADVERTISEMENT)])
            .into_iter()
            .filter_map(|item| match item {
                Item::Claim(claim) => Some((claim.attribute, claim.value.to_string())),
                _ => None,
            })
            .collect();
        let expected = [
            ("name", "sw1"),
            ("management_address", "192.0.2.7"),
            ("capabilities", "switch igmp-capable"),
            ("firmware", "IOS1"),
            ("model", "WSC"),
            ("native_vlan", "1"),
        ];
        assert_eq!(expected.map(|(a, v)| (a, v.to_owned())).to_vec(), claims);
    }

    #[test]
    fn a_length_below_its_own_header_is_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &[2, 180, 0, 0, 0, 1, 0, 3, 0])]);
        assert!(matches!(items.last(), Some(Item::Violation(_))));
    }

    #[test]
    fn survives_anything() {
        testing::survives(&PROTOCOL, &[(Side::A, ADVERTISEMENT)]);
    }
}
