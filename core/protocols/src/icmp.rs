//! ICMP, ICMPv6 and IGMP: reachability, neighbours, group membership.
//!
//! Sources: RFC 792, RFC 4443 (ICMPv6), RFC 4861 (neighbour discovery), RFC 3376 (IGMP).
//! The packet quoted in an error is nobody's traffic and is not read. A neighbour message that
//! carries its sender's link-layer address (option 1 or 2) is proof that both are of one machine.

use std::net::Ipv6Addr;

use otic_wire::{Address, Cursor, Mac};

use crate::out::{Action, Child, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};

/// ICMP (IPv4).
pub const ICMP: Protocol = Protocol {
    name: "icmp",
    title: "ICMP",
    roles: ("sender", "receiver"),
    carriers: &[Carrier::Ip(&[1])],
    dissector: Dissector::Built {
        probe: at_least::<4>,
        session: || Box::new(Messages::new("icmp", icmp_name)),
    },
    source: "RFC 792",
};

/// ICMPv6 with neighbour discovery.
pub const ICMPV6: Protocol = Protocol {
    name: "icmpv6",
    title: "ICMPv6",
    roles: ("sender", "receiver"),
    carriers: &[Carrier::Ip(&[58])],
    dissector: Dissector::Built {
        probe: at_least::<4>,
        session: || Box::new(Messages::new("icmpv6", icmpv6_name)),
    },
    source: "RFC 4443, RFC 4861",
};

/// IGMP.
pub const IGMP: Protocol = Protocol {
    name: "igmp",
    title: "IGMP",
    roles: ("member", "group"),
    carriers: &[Carrier::Ip(&[2])],
    dissector: Dissector::Built {
        probe: at_least::<8>,
        session: || Box::new(Messages::new("igmp", igmp_name)),
    },
    source: "RFC 3376",
};

fn at_least<const N: usize>(input: &Input<'_>) -> Probe {
    if input.bytes.len() >= N { Probe::Certain } else { Probe::No }
}

struct Messages {
    protocol: &'static str,
    names: fn(u8) -> &'static str,
    client_said: bool,
}

impl Messages {
    const fn new(protocol: &'static str, names: fn(u8) -> &'static str) -> Self {
        Self { protocol, names, client_said: false }
    }
}

impl Session for Messages {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let Some(kind) = input.bytes.first().copied() else { return 0 };
        if !self.client_said
            && !input.destination.is_group()
            && let Some(asks) = asks(self.protocol, kind)
        {
            self.client_said = true;
            out.push(Item::Client(if asks { input.side } else { input.side.other() }));
        }
        out.layer(self.protocol, input.side);
        out.operation(Operation {
            protocol: self.protocol,
            connection: self.protocol,
            sender: input.side,
            code: Some(u32::from(kind)),
            name: (self.names)(kind),
            action: Action::Diagnostics,
            object: Object::None,
            outcome: Outcome::None,
            client_child: Child::None,
            server_child: Child::None,
            evidence: input.locate(input.bytes.get(..2).unwrap_or_default()),
            ts_ns: input.ts_ns,
        });
        if self.protocol == "icmpv6" {
            neighbour(input, kind, out);
        }
        input.bytes.len()
    }
}

/// Neighbour solicitation (135) and router advertisement (134) carry the sender's link-layer
/// address as option 1; a neighbour advertisement (136) the target's own as option 2.
fn neighbour(input: &Input<'_>, kind: u8, out: &mut Out) {
    let (skip, wanted) = match kind {
        133 => (8, 1),
        134 => (16, 1),
        135 => (24, 1),
        136 => (24, 2),
        _ => return,
    };
    let ip = if kind == 136 {
        let target = input.bytes.get(8..24).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        target.map(|bytes| Address::from(Ipv6Addr::from(bytes)))
    } else {
        Some(input.source)
    };
    let Some(ip) = ip.filter(|ip| matches!(ip, Address::Ip(_))) else { return };
    let mut options = Cursor::new(input.bytes.get(skip..).unwrap_or_default());
    while let (Ok(option), Ok(length)) = (options.u8(), options.u8()) {
        // Length in units of 8 bytes, with the two of the header; 0 is invalid (RFC 4861 §4.6).
        let Some(size) = (usize::from(length) * 8).checked_sub(2) else { return };
        let Ok(value) = options.take(size) else { return };
        if let (true, Ok(mac)) = (option == wanted, <[u8; 6]>::try_from(value)) {
            out.push(Item::Binding {
                mac: Mac(mac),
                ip,
                protocol: "icmpv6",
                message: icmpv6_name(kind),
                evidence: input.locate(value),
            });
        }
    }
}

/// Whether a message asks, or answers: an echo, or with an error what the other end sent before.
fn asks(protocol: &str, kind: u8) -> Option<bool> {
    match (protocol, kind) {
        ("icmp", 8 | 10 | 13 | 15 | 17) | ("icmpv6", 128 | 133 | 135) => Some(true),
        ("icmp", 0 | 3..=5 | 11 | 12 | 14 | 16 | 18) | ("icmpv6", 1..=4 | 129 | 137) => Some(false),
        _ => None,
    }
}

const fn icmp_name(kind: u8) -> &'static str {
    match kind {
        0 => "echo-reply",
        3 => "destination-unreachable",
        4 => "source-quench",
        5 => "redirect",
        8 => "echo-request",
        9 => "router-advertisement",
        10 => "router-solicitation",
        11 => "time-exceeded",
        12 => "parameter-problem",
        13 => "timestamp-request",
        14 => "timestamp-reply",
        15 => "information-request",
        16 => "information-reply",
        17 => "address-mask-request",
        18 => "address-mask-reply",
        _ => "unknown",
    }
}

const fn icmpv6_name(kind: u8) -> &'static str {
    match kind {
        1 => "destination-unreachable",
        2 => "packet-too-big",
        3 => "time-exceeded",
        4 => "parameter-problem",
        128 => "echo-request",
        129 => "echo-reply",
        130 => "listener-query",
        131 => "listener-report",
        132 => "listener-done",
        133 => "router-solicitation",
        134 => "router-advertisement",
        135 => "neighbour-solicitation",
        136 => "neighbour-advertisement",
        137 => "redirect",
        143 => "listener-report-2",
        _ => "unknown",
    }
}

const fn igmp_name(kind: u8) -> &'static str {
    match kind {
        0x11 => "membership-query",
        0x12 => "membership-report-1",
        0x13 => "dvmrp",
        0x16 => "membership-report-2",
        0x17 => "leave-group",
        0x22 => "membership-report-3",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Side;
    use crate::testing;

    fn advertisement() -> Vec<u8> {
        let mut bytes = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
        bytes.extend_from_slice(&Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).octets());
        bytes.extend_from_slice(&[2, 1, 2, 0, 0, 0, 0, 9]);
        bytes
    }

    #[test]
    fn a_neighbour_advertisement_is_proof_of_its_target() {
        let items = testing::items(&ICMPV6, &[(Side::A, &advertisement())]);
        assert!(items.iter().any(|item| matches!(
            item,
            Item::Binding { mac: Mac([2, 0, 0, 0, 0, 9]), message: "neighbour-advertisement", .. }
        )));
    }

    #[test]
    fn an_error_says_nothing_of_the_packet_it_quotes() {
        let unreachable = [3, 1, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
        let items = testing::items(&ICMP, &[(Side::A, &unreachable)]);
        assert_eq!(2, items.iter().filter(|item| !matches!(item, Item::Client(_))).count());
    }

    #[test]
    fn an_error_answers_what_the_other_end_sent() {
        let unreachable = [3, 1, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
        let items = testing::items(&ICMP, &[(Side::A, &unreachable)]);
        assert!(items.contains(&Item::Client(Side::B)));
        let items = testing::items(&ICMP, &[(Side::A, &[8, 0, 0, 0, 0, 1, 0, 1])]);
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn survives_anything() {
        testing::survives(&ICMPV6, &[(Side::A, &advertisement())]);
        testing::survives(&ICMP, &[(Side::A, &[8, 0, 0, 0, 0, 1, 0, 1])]);
        testing::survives(&IGMP, &[(Side::A, &[0x16, 0, 0, 0, 224, 0, 0, 5])]);
    }
}
