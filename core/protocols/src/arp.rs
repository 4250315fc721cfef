//! ARP: who has which IPv4 address (RFC 826; announcements and probes: RFC 5227).
//!
//! A sender's own two addresses are proof that both are of one machine; the target's are hearsay.
//! Rules broken on the wire: `arp-length`: address lengths are not 6 and 4, or the message is short.
//! A sender hardware address that is not the frame's is the event `arp-sender-mismatch`.
//! Not decoded: hardware types other than Ethernet, protocol types other than IPv4, InARP.

use std::net::Ipv4Addr;

use otic_wire::{Address, Cursor, Mac, Short};

use crate::out::{Action, Child, Event, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};

/// ARP on Ethernet.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "ARP",
    roles: ("requester", "responder"),
    carriers: &[Carrier::EtherType(&[0x0806])],
    // The EtherType names it; an operation of 0 has never been one.
    dissector: Dissector::Built {
        probe: |input| match input.bytes {
            [_, _, _, _, _, _, 0, 1..=25, ..] => Probe::Certain,
            _ => Probe::No,
        },
        session: || Box::new(Arp),
    },
    source: "RFC 826, RFC 5227",
};

const NAME: &str = "arp";

struct Arp;

enum Read {
    Message(Message),
    OtherNetwork,
    BadLengths,
}

struct Message {
    operation: u16,
    sender_mac: Mac,
    sender_ip: Ipv4Addr,
    target_ip: Ipv4Addr,
}

fn message(bytes: &[u8]) -> Result<Read, Short> {
    let mut cursor = Cursor::new(bytes);
    let hardware = cursor.u16_be()?;
    let protocol = cursor.u16_be()?;
    let lengths = cursor.u16_be()?;
    let operation = cursor.u16_be()?;
    // Ethernet (also as IEEE 802, type 6, on bridges from ATM and token ring) and IPv4.
    if !matches!(hardware, 1 | 6) || protocol != 0x0800 {
        return Ok(Read::OtherNetwork);
    }
    if lengths != 0x0604 {
        return Ok(Read::BadLengths);
    }
    let sender_mac = Mac(cursor.array()?);
    let sender_ip = Ipv4Addr::from(cursor.u32_be()?);
    cursor.skip(6)?;
    let target_ip = Ipv4Addr::from(cursor.u32_be()?);
    Ok(Read::Message(Message { operation, sender_mac, sender_ip, target_ip }))
}

impl Session for Arp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(NAME, input.side);
        let message = match message(input.bytes) {
            Ok(Read::Message(message)) => message,
            Ok(Read::OtherNetwork) => {
                out.push(Item::NotDecoded(NAME, "other-network"));
                return input.bytes.len();
            }
            Ok(Read::BadLengths) | Err(_) => {
                if !input.truncated {
                    out.push(input.violation(
                        NAME,
                        "arp-length",
                        input.bytes.get(..8).unwrap_or_default(),
                    ));
                }
                return input.bytes.len();
            }
        };
        let addresses = input.locate(input.bytes.get(8..18).unwrap_or_default());
        let announcement = message.sender_ip == message.target_ip;
        let name = match message.operation {
            1 | 2 if announcement => "announcement",
            1 => "request",
            2 => "reply",
            // Reverse and inverse ARP ask about other pairs of addresses.
            _ => "other",
        };
        out.operation(Operation {
            protocol: NAME,
            connection: NAME,
            sender: input.side,
            code: Some(u32::from(message.operation)),
            name,
            action: Action::Identify,
            object: Object::None,
            outcome: Outcome::None,
            client_child: Child::None,
            server_child: Child::None,
            evidence: input.locate(input.bytes.get(6..8).unwrap_or_default()),
            ts_ns: input.ts_ns,
        });
        if input.source_mac.is_some_and(|mac| mac != message.sender_mac) {
            // A bridge or proxy may do this; a spoofer must.
            out.push(Item::Event(Event {
                kind: "arp-sender-mismatch",
                protocol: NAME,
                sender: input.side,
                values: vec![
                    ("ip", compact_str::format_compact!("{}", message.sender_ip)),
                    ("mac", compact_str::format_compact!("{}", message.sender_mac)),
                ],
                evidence: addresses.clone(),
            }));
        }
        // 0.0.0.0 is a probe for an address nobody has yet (RFC 5227 §2.1.1).
        if matches!(message.operation, 1 | 2) && !message.sender_ip.is_unspecified() {
            out.push(Item::Binding {
                mac: message.sender_mac,
                ip: Address::from(message.sender_ip),
                protocol: NAME,
                message: name,
                evidence: addresses,
            });
        }
        input.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Side;
    use crate::testing;

    const WHO_HAS: &[u8] = &[
        0, 1, 8, 0, 6, 4, 0, 1, // Ethernet, IPv4, request
        2, 0, 0, 0, 0, 1, 192, 0, 2, 1, // sender
        0, 0, 0, 0, 0, 0, 192, 0, 2, 2, // target
    ];

    #[test]
    fn the_senders_own_addresses_are_proof() {
        let items = testing::items(&PROTOCOL, &[(Side::A, WHO_HAS)]);
        assert!(items.iter().any(|item| matches!(
            item,
            Item::Binding { mac: Mac([2, 0, 0, 0, 0, 1]), message: "request", .. }
        )));
        assert!(!items.iter().any(|item| matches!(item, Item::Event(_))));
    }

    #[test]
    fn a_probe_for_a_free_address_binds_nothing() {
        let mut probe = WHO_HAS.to_vec();
        probe[14..18].fill(0);
        let items = testing::items(&PROTOCOL, &[(Side::A, &probe)]);
        assert!(!items.iter().any(|item| matches!(item, Item::Binding { .. })));
    }

    #[test]
    fn survives_anything() {
        testing::survives(&PROTOCOL, &[(Side::A, WHO_HAS)]);
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[0; 28])));
    }
}
