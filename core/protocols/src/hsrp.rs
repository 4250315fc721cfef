//! HSRP: Cisco routers that share an address.
//!
//! Sources: RFC 2281 §5 (version 1: one record of 20 bytes; opcodes and states), §6 (virtual MAC
//! 00-00-0C-07-AC and the group). Version 2 is published only in parts; observed in hsrp2.pcap frames 1
//! and 2 and hsrp2_ipv6.pcapng: type-length-value parts, of which 1 is the group state (version, opcode,
//! state, IP version, group, the sender's own MAC, priority, hello and hold time in ms, address of 4
//! or 16 bytes), 2 the counts of active and passive groups, 3 and 4 authentication. Its virtual MACs
//! are 00-00-0C-9F-F and twelve bits of group (IPv4), 00-05-73-A0-0 and twelve bits (IPv6), as Cisco's
//! configuration guides for HSRP say.
//!
//! Rules broken on the wire: `hsrp-length`: the record or a part of version 2 ends too early.
//! Not decoded: the advertisement of opcode 3 (counts of groups), authentication.

use std::net::{Ipv4Addr, Ipv6Addr};

use compact_str::{ToCompactString, format_compact};
use otic_wire::{Address, Cursor, Mac, Short};

use crate::out::{Action, Child, Decode, Holds, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};

/// HSRP over UDP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "HSRP",
    roles: ("router", "group"),
    carriers: &[Carrier::Udp(&[1985, 2029])],
    dissector: Dissector::Built { probe, session: || Box::new(Hsrp) },
    source: "RFC 2281 §5, §6; version 2 as observed in public captures",
};

const NAME: &str = "hsrp";
const HELLO: u8 = 0;
const RESIGN: u8 = 2;
const ADVERTISE: u8 = 3;
/// States in which a router forwards for the group.
const ACTIVE_1: u8 = 16;
const ACTIVE_2: u8 = 6;
/// Kind of the group state part of version 2, and its length.
const GROUP_STATE: u8 = 1;
const GROUP_STATE_LENGTH: u8 = 40;

fn probe(input: &Input<'_>) -> Probe {
    let ports =
        [1985, 2029].contains(&input.source_port) && input.source_port == input.destination_port;
    match input.bytes {
        // Versions, opcode, state; a multicast message between equal ports.
        [0, 0..=2, 0 | 1 | 2 | 4 | 8 | 16, _, _, _, _, _, ..]
            if ports && input.bytes.len() >= 20 =>
        {
            Probe::Certain
        }
        [0, ADVERTISE, 0, 1 | 2, ..] if ports => Probe::Certain,
        [GROUP_STATE, GROUP_STATE_LENGTH, 2, 0..=2, 1..=6, 4 | 6, ..] if ports => Probe::Certain,
        [2, 4, _, _, _, _, ..] if ports => Probe::Certain,
        _ => Probe::No,
    }
}

struct Hsrp;

impl Session for Hsrp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(NAME, input.side);
        let read = match input.bytes.first() {
            Some(0) => version_1(input, out),
            _ => version_2(input, out),
        };
        if read.is_err() && !input.truncated {
            out.push(input.violation(NAME, "hsrp-length", input.bytes));
        }
        input.bytes.len()
    }
}

/// What a router says of itself in one group.
struct Said<'a> {
    opcode: u8,
    state: &'static str,
    active: bool,
    group: u16,
    priority: u32,
    mac: Mac,
    hold_ns: i64,
    address: Address,
    /// Bytes of state, group, priority and address.
    parts: [&'a [u8]; 4],
    all: &'a [u8],
}

fn version_1(input: &Input<'_>, out: &mut Out) -> Result<(), Short> {
    let mut cursor = Cursor::new(input.bytes);
    let (_, opcode) = (cursor.u8()?, cursor.u8()?);
    if opcode == ADVERTISE {
        operation(input, opcode, Object::None, input.bytes, out);
        return Ok(());
    }
    let state = cursor.take(1)?;
    let (_, hold, priority, group) = (cursor.u8()?, cursor.u8()?, cursor.take(1)?, cursor.take(1)?);
    cursor.skip(9)?;
    let bytes = cursor.take(4)?;
    let address = Ipv4Addr::from(<[u8; 4]>::try_from(bytes).unwrap_or_default());
    let one = |bytes: &[u8]| bytes.first().copied().unwrap_or_default();
    say(
        input,
        &Said {
            opcode,
            state: match one(state) {
                0 => "initial",
                1 => "learn",
                2 => "listen",
                4 => "speak",
                8 => "standby",
                ACTIVE_1 => "active",
                _ => "unknown",
            },
            active: one(state) == ACTIVE_1,
            group: u16::from(one(group)),
            priority: u32::from(one(priority)),
            mac: Mac([0, 0, 0x0c, 0x07, 0xac, one(group)]),
            hold_ns: i64::from(hold) * 1_000_000_000,
            address: address.into(),
            parts: [state, group, priority, bytes],
            all: input.bytes.get(..20).unwrap_or_default(),
        },
        out,
    );
    Ok(())
}

fn version_2(input: &Input<'_>, out: &mut Out) -> Result<(), Short> {
    let mut cursor = Cursor::new(input.bytes);
    while !cursor.is_empty() {
        let (kind, length) = (cursor.u8()?, usize::from(cursor.u8()?));
        let value = cursor.take(length)?;
        match kind {
            GROUP_STATE => group_state(input, value, out)?,
            2 => operation(input, ADVERTISE, Object::None, value, out),
            _ => {}
        }
    }
    Ok(())
}

fn group_state(input: &Input<'_>, all: &[u8], out: &mut Out) -> Result<(), Short> {
    let mut cursor = Cursor::new(all);
    cursor.skip(1)?;
    let opcode = cursor.u8()?;
    let state = cursor.take(1)?;
    let version = cursor.u8()?;
    let group_bytes = cursor.take(2)?;
    let group = u16::from_be_bytes(<[u8; 2]>::try_from(group_bytes).unwrap_or_default()) & 0x0fff;
    cursor.skip(6)?;
    let priority = cursor.take(4)?;
    cursor.skip(4)?;
    let hold_ms = cursor.u32_be()?;
    let (high, low) = ((group >> 8) as u8, group as u8);
    let (address, bytes, mac) = if version == 6 {
        let bytes = cursor.take(16)?;
        let octets = <[u8; 16]>::try_from(bytes).unwrap_or_default();
        (Ipv6Addr::from(octets).into(), bytes, Mac([0, 5, 0x73, 0xa0, high, low]))
    } else {
        let bytes = cursor.take(4)?;
        let octets = <[u8; 4]>::try_from(bytes).unwrap_or_default();
        (Ipv4Addr::from(octets).into(), bytes, Mac([0, 0, 0x0c, 0x9f, 0xf0 | high, low]))
    };
    let state_number = state.first().copied().unwrap_or_default();
    say(
        input,
        &Said {
            opcode,
            state: match state_number {
                1 => "initial",
                2 => "learn",
                3 => "listen",
                4 => "speak",
                5 => "standby",
                ACTIVE_2 => "active",
                _ => "unknown",
            },
            active: state_number == ACTIVE_2,
            group,
            priority: u32::from_be_bytes(<[u8; 4]>::try_from(priority).unwrap_or_default()),
            mac,
            hold_ns: i64::from(hold_ms) * 1_000_000,
            address,
            parts: [state, group_bytes, priority, bytes],
            all,
        },
        out,
    );
    Ok(())
}

fn operation(input: &Input<'_>, opcode: u8, object: Object, part: &[u8], out: &mut Out) {
    out.operation(Operation {
        protocol: NAME,
        connection: NAME,
        sender: input.side,
        code: Some(u32::from(opcode)),
        name: name_of(opcode),
        action: Action::Session,
        object,
        outcome: Outcome::None,
        client_child: Child::None,
        server_child: Child::None,
        evidence: input.locate(part),
        ts_ns: input.ts_ns,
    });
}

const fn name_of(opcode: u8) -> &'static str {
    match opcode {
        HELLO => "hello",
        1 => "coup",
        RESIGN => "resign",
        ADVERTISE => "advertise",
        _ => "unknown",
    }
}

fn say(input: &Input<'_>, said: &Said<'_>, out: &mut Out) {
    let group = u32::from(said.group);
    operation(
        input,
        said.opcode,
        Object::Number { kind: "standby-group", number: group },
        said.all.get(..3).unwrap_or_default(),
        out,
    );
    let told_in = (NAME, name_of(said.opcode));
    let name = format_compact!("{NAME} {group}");
    let [state, group_bytes, priority, address] = said.parts;
    let mut claim = |attribute, value, bytes, decode| {
        out.claim(input.own_claim(told_in, attribute, value, bytes, decode));
    };
    claim("redundancy_group", name.clone(), group_bytes, Decode::Derived);
    claim("redundancy_state", said.state.into(), state, Decode::Derived);
    let value = said.priority.to_compact_string();
    claim("redundancy_priority", value, priority, Decode::UnsignedBe);
    let evidence = input.locate(said.all);
    out.member(input, NAME, said.mac, evidence.clone());
    // A router that learns the group's address from others has none to tell yet (RFC 2281 §5.1).
    if !said.address.is_none() {
        out.push(Item::Binding {
            mac: said.mac,
            ip: said.address,
            protocol: NAME,
            message: name_of(said.opcode),
            evidence: input.locate(address),
        });
    }
    let leaving = said.opcode == RESIGN;
    if said.active || leaving {
        out.push(Item::Holds(Holds {
            protocol: NAME,
            group: name,
            mac: said.mac,
            address: (!said.address.is_none()).then_some(said.address),
            leaving,
            valid_ns: said.hold_ns,
            evidence,
        }));
    }
}

#[cfg(test)]
mod tests {
    use otic_wire::{FrameSpan, SpanMap};

    use super::*;
    use crate::session::{Side, Transport};
    use crate::testing;

    /// Version 1 hello of an active router, hello 3 s, hold 10 s, priority 90, group 10.
    const ACTIVE: &[u8] =
        &[0, 0, 16, 3, 10, 90, 10, 0, b'c', b'i', b's', b'c', b'o', 0, 0, 0, 10, 0, 0, 1];

    /// Version 2 hello of a standby router, group 103, its MAC, priority 110.
    fn standby() -> Vec<u8> {
        let mut bytes = vec![1, 40, 2, 0, 5, 4, 0, 103, 2, 0, 0, 0, 0, 1, 0, 0, 0, 110];
        bytes.extend([0, 0, 0x0b, 0xb8, 0, 0, 0x27, 0x10, 10, 0, 0, 1]);
        bytes.extend([0; 12]);
        bytes.extend([3, 8, b'c', b'i', b's', b'c', b'o', 0, 0, 0]);
        bytes
    }

    #[test]
    fn an_active_router_of_version_1_holds_the_groups_addresses() {
        let items = testing::items(&PROTOCOL, &[(Side::A, ACTIVE)]);
        let claims = testing::claims(&items);
        assert!(claims.contains(&("redundancy_group", "hsrp 10".to_owned())));
        assert!(claims.contains(&("redundancy_state", "active".to_owned())));
        assert!(claims.contains(&("redundancy_priority", "90".to_owned())));
        assert!(items.iter().any(|item| matches!(item, Item::Holds(holds)
            if holds.mac == Mac([0, 0, 0x0c, 7, 0xac, 10]) && holds.valid_ns == 10_000_000_000)));
    }

    #[test]
    fn a_standby_router_of_version_2_is_a_member_and_holds_nothing() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &standby())]);
        let mac = Mac([0, 0, 0x0c, 0x9f, 0xf0, 103]);
        assert!(items.iter().any(|item| matches!(item, Item::Binding { mac: of, ip, .. }
            if *of == mac && ip.to_string() == "10.0.0.1")));
        assert!(items.iter().any(|item| matches!(item, Item::Binding { message: "member", .. })));
        assert!(!items.iter().any(|item| matches!(item, Item::Holds(_))));
        assert!(testing::claims(&items).contains(&("redundancy_priority", "110".to_owned())));
    }

    #[test]
    fn a_router_that_resigns_leaves() {
        let mut resign = ACTIVE.to_vec();
        resign[1] = RESIGN;
        let items = testing::items(&PROTOCOL, &[(Side::A, &resign)]);
        assert!(items.iter().any(|item| matches!(item, Item::Holds(holds) if holds.leaving)));
    }

    #[test]
    fn a_part_that_ends_too_early_breaks_the_rules() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &[1, 40, 2, 0, 5, 4])]);
        assert!(
            matches!(items.last(), Some(Item::Violation(found)) if found.rule == "hsrp-length")
        );
    }

    #[test]
    fn survives_anything() {
        testing::survives(&PROTOCOL, &[(Side::A, ACTIVE), (Side::A, &standby())]);
    }

    #[test]
    fn it_is_known_between_its_own_ports_only() {
        let span = FrameSpan { file: 0, frame: 1, offset: 0, length: ACTIVE.len() as u32 };
        let spans = SpanMap::single(span);
        let between = |source_port, destination_port| {
            probe(&Input {
                bytes: ACTIVE,
                spans: &spans,
                side: Side::A,
                transport: Transport::Udp,
                source_port,
                destination_port,
                source: Ipv4Addr::new(10, 0, 0, 2).into(),
                destination: Ipv4Addr::new(224, 0, 0, 2).into(),
                source_mac: None,
                ts_ns: 0,
                stream_start: false,
                after_gap: false,
                truncated: false,
            })
        };
        assert_eq!(Probe::Certain, between(1985, 1985));
        assert_eq!(Probe::No, between(40000, 1985));
    }
}
