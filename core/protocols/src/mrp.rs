//! MRP: a ring of switches and devices whose manager keeps one port blocked while the ring is closed.
//!
//! Source: IEC 62439-2:2016 §8 (frame layout), as the public header `linux/mrp_bridge.h` gives it and
//! tshark 4.0 reads it (`pn_mrp`): version 1, then parts of type and length, each padded to 4 bytes:
//! 2 test (priority, the manager's MAC, port role, ring state 0 open or 1 closed, transitions, time),
//! 3 topology change (priority, MAC, interval), 4 link down and 5 link up (MAC, port role, interval,
//! blocked), 1 common (sequence number, domain), 0 end. Types 6 to 10 concern rings that are coupled.
//!
//! A manager that no longer gets its own test frames back calls the ring open: the next break parts the
//! network. That is the event `ring-open`; `ring-closed` when it is whole again, `ring-link-down` when
//! a client lost a link.
//!
//! Rules broken on the wire: `mrp-length`: a part ends too early.
//! Not decoded: the parts of coupled rings and of makers (127), by name.

use compact_str::{CompactString, ToCompactString, format_compact};
use otic_wire::{Cursor, Mac, Short};

use crate::out::{Action, Child, Decode, Event, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};

/// MRP on its EtherType.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "MRP",
    roles: ("ring node", "group"),
    carriers: &[Carrier::EtherType(&[0x88e3])],
    dissector: Dissector::Built {
        probe: |input| match input.bytes {
            [0, 1, 1..=10 | 127, _, ..] => Probe::Certain,
            _ => Probe::No,
        },
        session: || Box::new(Mrp::default()),
    },
    source: "IEC 62439-2:2016 §8; linux/mrp_bridge.h",
};

const NAME: &str = "mrp";
const COMMON: u8 = 1;
const TEST: u8 = 2;
const TOPOLOGY_CHANGE: u8 = 3;
const LINK_DOWN: u8 = 4;
const LINK_UP: u8 = 5;
const CLOSED: u16 = 1;

const fn name_of(kind: u8) -> &'static str {
    match kind {
        TEST => "test",
        TOPOLOGY_CHANGE => "topology-change",
        LINK_DOWN => "link-down",
        LINK_UP => "link-up",
        6 => "interconnection-test",
        7 => "interconnection-topology-change",
        8 => "interconnection-link-down",
        9 => "interconnection-link-up",
        10 => "interconnection-link-status-poll",
        127 => "option",
        _ => "unknown",
    }
}

#[derive(Default)]
struct Mrp {
    /// The ring as this manager called it last.
    closed: Option<bool>,
}

impl Session for Mrp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(NAME, input.side);
        if self.frame(input, out).is_err() && !input.truncated {
            out.push(input.violation(NAME, "mrp-length", input.bytes));
        }
        input.bytes.len()
    }
}

impl Mrp {
    fn frame(&mut self, input: &Input<'_>, out: &mut Out) -> Result<(), Short> {
        let mut cursor = Cursor::new(input.bytes);
        cursor.skip(2)?;
        let mut first: Option<(u8, &[u8])> = None;
        let mut domain = None;
        loop {
            let kind = cursor.u8()?;
            if kind == 0 {
                break;
            }
            let length = usize::from(cursor.u8()?);
            let value = cursor.take(length)?;
            cursor.skip((2 + length).next_multiple_of(4) - 2 - length)?;
            match kind {
                COMMON => domain = value.get(2..18),
                _ => first = first.or(Some((kind, value))),
            }
        }
        let Some((kind, value)) = first else { return Ok(()) };
        let name = name_of(kind);
        out.operation(Operation {
            protocol: NAME,
            connection: NAME,
            sender: input.side,
            code: Some(u32::from(kind)),
            name,
            action: Action::Diagnostics,
            object: Object::None,
            outcome: Outcome::None,
            client_child: Child::None,
            server_child: Child::None,
            evidence: input.locate(value),
            ts_ns: input.ts_ns,
        });
        let told_in = (NAME, name);
        let mut written = CompactString::default();
        if let Some(bytes) = domain {
            for byte in bytes {
                written.push_str(&format_compact!("{byte:02x}"));
            }
            let claim =
                input.own_claim(told_in, "ring_domain", written.clone(), bytes, Decode::Hex);
            out.claim(claim);
        }
        match kind {
            TEST => self.test(input, told_in, written, value, out),
            LINK_DOWN => {
                out.claim(input.own_claim(
                    told_in,
                    "ring_role",
                    "client".into(),
                    value.get(..6).unwrap_or_default(),
                    Decode::Derived,
                ));
                event("ring-link-down", input, written, value, out);
            }
            _ => {}
        }
        Ok(())
    }

    /// Only a manager tests the ring.
    fn test(
        &mut self,
        input: &Input<'_>,
        told_in: (&'static str, &'static str),
        domain: CompactString,
        value: &[u8],
        out: &mut Out,
    ) {
        let mut cursor = Cursor::new(value);
        let (Ok(()), Ok(mac), Ok(()), Ok(state)) =
            (cursor.skip(2), cursor.take(6), cursor.skip(2), cursor.u16_be())
        else {
            return;
        };
        let Ok(octets) = <[u8; 6]>::try_from(mac) else { return };
        let manager = Mac(octets).to_compact_string();
        out.claim(input.own_claim(told_in, "ring_role", "manager".into(), mac, Decode::Derived));
        out.claim(input.own_claim(told_in, "ring_manager", manager, mac, Decode::Mac));
        let closed = state == CLOSED;
        let before = self.closed.replace(closed);
        if before != Some(closed) && (before.is_some() || !closed) {
            let kind = if closed { "ring-closed" } else { "ring-open" };
            event(kind, input, domain, value, out);
        }
    }
}

fn event(kind: &'static str, input: &Input<'_>, domain: CompactString, part: &[u8], out: &mut Out) {
    out.push(Item::Event(Event {
        kind,
        protocol: NAME,
        sender: input.side,
        values: vec![("domain", domain)],
        evidence: input.locate(part),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Side;
    use crate::testing;

    fn frame(part: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1];
        bytes.extend(part);
        bytes.resize(2 + part.len().next_multiple_of(4), 0);
        bytes.extend([1, 18, 0, 5]);
        bytes.extend([0xff; 16]);
        bytes.extend([0, 0]);
        bytes
    }

    /// Priority, the manager's MAC, primary port, state, transitions, time.
    fn test(state: u8) -> Vec<u8> {
        frame(&[2, 18, 0x80, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, state, 0, 3, 0, 0, 0, 9])
    }

    fn kinds(messages: &[Vec<u8>]) -> Vec<&'static str> {
        let messages: Vec<_> = messages.iter().map(|one| (Side::A, one.as_slice())).collect();
        let items = testing::items(&PROTOCOL, &messages);
        testing::events(&items).iter().map(|event| event.kind).collect()
    }

    #[test]
    fn a_manager_names_its_ring() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &test(1))]);
        let claims = testing::claims(&items);
        assert!(claims.contains(&("ring_role", "manager".to_owned())));
        assert!(claims.contains(&("ring_manager", "02:00:00:00:00:01".to_owned())));
        assert!(claims.contains(&("ring_domain", "f".repeat(32))));
        assert_eq!("test", testing::operations(&items)[0].0);
    }

    #[test]
    fn a_ring_that_opens_and_closes_is_two_events() {
        let seen = [test(1), test(1), test(0), test(0), test(1)];
        assert_eq!(vec!["ring-open", "ring-closed"], kinds(&seen));
        assert_eq!(vec!["ring-open"], kinds(&[test(0), test(0)]));
        assert!(kinds(&[test(1), test(1)]).is_empty());
    }

    #[test]
    fn a_client_that_lost_a_link_is_an_event_and_its_padding_is_skipped() {
        let down = frame(&[4, 12, 2, 0, 0, 0, 0, 2, 0, 0, 0, 20, 0, 1]);
        assert_eq!(vec!["ring-link-down"], kinds(std::slice::from_ref(&down)));
        let items = testing::items(&PROTOCOL, &[(Side::A, &down)]);
        assert!(testing::claims(&items).contains(&("ring_domain", "f".repeat(32))));
        assert!(!items.iter().any(|item| matches!(item, Item::Violation(_))));
    }

    #[test]
    fn a_part_that_ends_too_early_breaks_the_rules() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &test(1)[..12])]);
        assert!(matches!(items.last(), Some(Item::Violation(found)) if found.rule == "mrp-length"));
    }

    #[test]
    fn survives_anything() {
        testing::survives(&PROTOCOL, &[(Side::A, &test(1)), (Side::A, &test(0))]);
    }
}
