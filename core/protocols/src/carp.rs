//! CARP: hosts and firewalls of the BSD family that share an address.
//!
//! Source: OpenBSD `sys/netinet/ip_carp.h` (`struct carp_header`): version and type, virtual host id,
//! advertisement skew, length of counter and hash in 4-byte words (always 7), demotion, base interval
//! in seconds, checksum, counter (8 bytes), hash (20 bytes). The virtual MAC is 00-00-5E-00-01 and the
//! virtual host id (carp(4)). Only the master sends; the shared addresses are in the hash alone, so
//! ARP tells them. An interval and a skew of 255 say that the master stops (`carp_send_ad` in
//! `sys/netinet/ip_carp.c`).
//!
//! CARP uses VRRP's protocol number (112), version 2 and type 1. It is told apart by its length: 36
//! bytes with 7 in the fourth. A VRRP version 2 advertisement of seven addresses has 44 bytes (RFC
//! 3768 §5.1).
//!
//! Not decoded: counter and hash (they prove a common secret, nothing about the machine).

use compact_str::{ToCompactString, format_compact};
use otic_wire::Mac;

use crate::out::{Action, Child, Decode, Holds, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};

/// CARP over IPv4 and IPv6.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "CARP",
    roles: ("virtual host", "group"),
    carriers: &[Carrier::Ip(&[112])],
    dissector: Dissector::Built {
        probe: |input| if is_carp(input.bytes) { Probe::Certain } else { Probe::No },
        session: || Box::new(Carp),
    },
    source: "OpenBSD sys/netinet/ip_carp.h, carp(4)",
};

const NAME: &str = "carp";
const MESSAGE: &str = "advertisement";
const TOLD_IN: (&str, &str) = (NAME, MESSAGE);
/// Bytes of an advertisement.
const LENGTH: usize = 36;
/// Words of counter and hash.
const WORDS: u8 = 7;
/// Interval and skew of a master that stops.
const RESIGNED: u8 = 255;

/// Whether these bytes of IP protocol 112 are CARP and not VRRP.
pub(crate) const fn is_carp(bytes: &[u8]) -> bool {
    bytes.len() == LENGTH && matches!(bytes, [0x21, 1..=255, _, WORDS, ..])
}

struct Carp;

impl Session for Carp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let [0x21, group, skew, WORDS, demotion, base, ..] = *input.bytes else {
            return input.bytes.len();
        };
        out.layer(NAME, input.side);
        let part = |range: std::ops::Range<usize>| input.bytes.get(range).unwrap_or_default();
        let evidence = input.locate(part(0..6));
        let leaving = base == RESIGNED && skew == RESIGNED;
        out.operation(Operation {
            protocol: NAME,
            connection: NAME,
            sender: input.side,
            code: Some(1),
            name: if leaving { "resignation" } else { MESSAGE },
            action: Action::Session,
            object: Object::Number { kind: "virtual-host", number: u32::from(group) },
            outcome: Outcome::None,
            client_child: Child::None,
            server_child: Child::None,
            evidence: evidence.clone(),
            ts_ns: input.ts_ns,
        });
        let name = format_compact!("{NAME} {group}");
        let derived = Decode::Derived;
        out.claim(input.own_claim(TOLD_IN, "redundancy_group", name.clone(), part(1..2), derived));
        for (attribute, value, place) in
            [("carp_skew", skew, 2..3), ("carp_demotion", demotion, 4..5)]
        {
            let value = value.to_compact_string();
            out.claim(input.own_claim(TOLD_IN, attribute, value, part(place), Decode::UnsignedBe));
        }
        let mac = Mac([0, 0, 0x5e, 0, 1, group]);
        out.member(input, NAME, mac, evidence.clone());
        out.push(Item::Holds(Holds {
            protocol: NAME,
            group: name,
            mac,
            address: None,
            leaving,
            // A backup waits three base intervals and its skew in 1/256 s (carp(4)).
            valid_ns: (i64::from(base) * 3 + 1) * 1_000_000_000,
            evidence,
        }));
        input.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Side;
    use crate::{testing, vrrp};

    fn advertisement(skew: u8, base: u8) -> Vec<u8> {
        // Version 2 type 1, group 10, skew, 7 words, no demotion, interval, checksum, counter.
        let mut bytes = vec![0x21, 10, skew, 7, 0, base, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        bytes.extend([0xaa; 20]);
        bytes
    }

    #[test]
    fn a_master_tells_its_group() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &advertisement(100, 1))]);
        let claims = testing::claims(&items);
        assert!(claims.contains(&("redundancy_group", "carp 10".to_owned())));
        assert!(claims.contains(&("carp_skew", "100".to_owned())));
        assert!(items.iter().any(|item| matches!(item, Item::Holds(holds)
            if holds.mac == Mac([0, 0, 0x5e, 0, 1, 10]) && !holds.leaving)));
    }

    #[test]
    fn it_is_not_taken_for_vrrp_nor_vrrp_for_it() {
        let carp = advertisement(0, 1);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &carp)));
        assert_eq!(Probe::No, testing::probe(&vrrp::PROTOCOL, (Side::A, &carp)));
        // Seven addresses and authentication data.
        let mut seven = vec![0x21, 10, 100, 7, 0, 1, 0, 0];
        seven.extend([10; 36]);
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &seven)));
        assert_eq!(Probe::Certain, testing::probe(&vrrp::PROTOCOL, (Side::A, &seven)));
    }

    #[test]
    fn an_interval_and_a_skew_of_255_resign() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &advertisement(255, 255))]);
        assert!(items.iter().any(|item| matches!(item, Item::Holds(holds) if holds.leaving)));
    }

    #[test]
    fn survives_anything() {
        testing::survives(&PROTOCOL, &[(Side::A, &advertisement(1, 1))]);
    }
}
