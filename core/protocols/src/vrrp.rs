//! VRRP: routers (and some controllers) that share an address; the master says so every second.
//!
//! Sources: RFC 3768 §5 (version 2), RFC 5798 and RFC 9568 §5 (version 3), §7.3 (virtual MAC: the
//! virtual router's number under 00-00-5E-00-01 for IPv4, 00-00-5E-00-02 for IPv6). Only a master
//! sends; priority 0 says that it stops being master, 255 that the addresses are its own.
//! CARP has the same protocol number, version and type: see [`crate::carp`] for how it is told apart.
//!
//! Rules broken on the wire: `vrrp-length`: fewer bytes than the addresses need.
//! Not decoded: authentication data of version 2 (RFC 3768 has none any more); the checksum.

use std::net::{Ipv4Addr, Ipv6Addr};

use compact_str::{ToCompactString, format_compact};
use otic_wire::{Address, Cursor, Mac, Short};

use crate::carp;
use crate::out::{Action, Child, Decode, Holds, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};

/// VRRP over IPv4 and IPv6.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "VRRP",
    roles: ("virtual router", "group"),
    carriers: &[Carrier::Ip(&[112])],
    dissector: Dissector::Built {
        probe: |input| match input.bytes {
            [0x21 | 0x31, 1..=255, _, 1..=255, ..] if !carp::is_carp(input.bytes) => Probe::Certain,
            _ => Probe::No,
        },
        session: || Box::new(Vrrp),
    },
    source: "RFC 3768 §5; RFC 5798 §5; RFC 9568 §5, §7.3",
};

const NAME: &str = "vrrp";
const MESSAGE: &str = "advertisement";
const TOLD_IN: (&str, &str) = (NAME, MESSAGE);
/// Priority of a master that stops.
const RESIGNED: u8 = 0;
/// Virtual addresses read of one advertisement.
const ADDRESSES: usize = 32;
/// A backup takes over after three intervals without advertisement, and a part of one (RFC 3768 §6.1).
const INTERVALS: i64 = 4;

struct Vrrp;

impl Session for Vrrp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(NAME, input.side);
        if advertisement(input, out).is_err() && !input.truncated {
            out.push(input.violation(NAME, "vrrp-length", input.bytes));
        }
        input.bytes.len()
    }
}

fn advertisement(input: &Input<'_>, out: &mut Out) -> Result<(), Short> {
    let mut cursor = Cursor::new(input.bytes);
    let version = cursor.u8()? >> 4;
    let group = cursor.u8()?;
    let priority = cursor.u8()?;
    let count = usize::from(cursor.u8()?);
    let six = matches!(input.source, Address::Ip(std::net::IpAddr::V6(_)));
    // Version 2: authentication type, seconds. Version 3: 4 bits reserved, 12 bits of 1/100 s.
    let interval = cursor.u16_be()?;
    let interval_ns = match version {
        2 => i64::from(interval & 0x00ff) * 1_000_000_000,
        _ => i64::from(interval & 0x0fff) * 10_000_000,
    };
    cursor.skip(2)?;
    let name = if priority == RESIGNED { "resignation" } else { MESSAGE };
    let evidence = input.locate(input.bytes.get(..4).unwrap_or_default());
    out.operation(Operation {
        protocol: NAME,
        connection: NAME,
        sender: input.side,
        code: Some(1),
        name,
        action: Action::Session,
        object: Object::Number { kind: "virtual-router", number: u32::from(group) },
        outcome: Outcome::None,
        client_child: Child::None,
        server_child: Child::None,
        evidence: evidence.clone(),
        ts_ns: input.ts_ns,
    });
    let part = |range: std::ops::Range<usize>| input.bytes.get(range).unwrap_or_default();
    out.claim(input.own_claim(
        TOLD_IN,
        "redundancy_group",
        format_compact!("{NAME} {group}"),
        part(1..2),
        Decode::Derived,
    ));
    if priority != RESIGNED {
        let value = priority.to_compact_string();
        let attribute = "redundancy_priority";
        out.claim(input.own_claim(TOLD_IN, attribute, value, part(2..3), Decode::UnsignedBe));
    }
    let mac = Mac([0, 0, 0x5e, 0, if six { 2 } else { 1 }, group]);
    out.member(input, NAME, mac, evidence.clone());
    let mut first = None;
    for _ in 0..count.min(ADDRESSES) {
        let (address, bytes) = if six {
            let bytes = cursor.take(16)?;
            let octets = <[u8; 16]>::try_from(bytes).unwrap_or_default();
            (Address::from(Ipv6Addr::from(octets)), bytes)
        } else {
            let bytes = cursor.take(4)?;
            let octets = <[u8; 4]>::try_from(bytes).unwrap_or_default();
            (Address::from(Ipv4Addr::from(octets)), bytes)
        };
        if address.is_none() {
            continue;
        }
        first = first.or(Some(address));
        let evidence = input.locate(bytes);
        out.push(Item::Binding { mac, ip: address, protocol: NAME, message: MESSAGE, evidence });
    }
    out.push(Item::Holds(Holds {
        protocol: NAME,
        group: format_compact!("{NAME} {group}"),
        mac,
        address: first,
        leaving: priority == RESIGNED,
        valid_ns: interval_ns * INTERVALS,
        evidence,
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Side;
    use crate::testing;

    /// Version 2, virtual router 10, priority 100, two addresses, no authentication, 1 s.
    pub const ADVERTISEMENT: &[u8] = &[
        0x21, 10, 100, 2, 0, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 5, // addresses
        0, 0, 0, 0, 0, 0, 0, 0, // authentication data
    ];

    #[test]
    fn a_master_tells_its_group_and_the_addresses_it_holds() {
        let items = testing::items(&PROTOCOL, &[(Side::A, ADVERTISEMENT)]);
        let claims = testing::claims(&items);
        assert!(claims.contains(&("redundancy_group", "vrrp 10".to_owned())));
        assert!(claims.contains(&("redundancy_priority", "100".to_owned())));
        let mac = Mac([0, 0, 0x5e, 0, 1, 10]);
        let bound: Vec<String> = items
            .iter()
            .filter_map(|item| match item {
                Item::Binding { mac: of, ip, message: MESSAGE, .. } if *of == mac => {
                    Some(ip.to_string())
                }
                _ => None,
            })
            .collect();
        assert_eq!(vec!["10.0.0.1", "10.0.0.5"], bound);
        assert!(items.iter().any(|item| matches!(item, Item::Binding { message: "member", .. })));
        assert!(items.iter().any(|item| matches!(item, Item::Holds(holds)
            if holds.mac == mac && !holds.leaving && holds.valid_ns == 4_000_000_000)));
    }

    #[test]
    fn version_3_counts_in_hundredths_and_priority_0_resigns() {
        let bytes = [0x31, 10, 0, 1, 0, 50, 0, 0, 10, 0, 0, 1];
        let items = testing::items(&PROTOCOL, &[(Side::A, &bytes)]);
        assert!(items.iter().any(|item| matches!(item, Item::Holds(holds)
            if holds.leaving && holds.valid_ns == 2_000_000_000)));
        assert_eq!("resignation", testing::operations(&items)[0].0);
        assert!(!testing::claims(&items).iter().any(|(name, _)| *name == "redundancy_priority"));
    }

    #[test]
    fn fewer_addresses_than_counted_break_the_rules() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &[0x31, 1, 9, 3, 0, 1, 0, 0, 10, 0])]);
        assert!(
            matches!(items.last(), Some(Item::Violation(found)) if found.rule == "vrrp-length")
        );
    }

    #[test]
    fn survives_anything() {
        testing::survives(&PROTOCOL, &[(Side::A, ADVERTISEMENT)]);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, ADVERTISEMENT)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[0x22, 10, 100, 1])));
    }
}
