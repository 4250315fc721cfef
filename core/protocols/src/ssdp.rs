//! SSDP: how UPnP devices find each other over UDP.
//!
//! Sources: UPnP Device Architecture 2.0 §1.2 (NOTIFY: NT, NTS, USN, SERVER), §1.3 (M-SEARCH: ST,
//! MAN, MX; response). Messages are one HTTP-like head in one datagram.
//!
//! The object is the notification or search target. LOCATION and USN are not kept.

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Item, Object, Operation, Out, Outcome, Who,
};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// Simple service discovery protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "ssdp",
    title: "SSDP",
    roles: ("control point", "device"),
    carriers: &[Carrier::Udp(&[1900])],
    dissector: Dissector::Built { probe, session: || Box::new(Ssdp::default()) },
    source: "UPnP Device Architecture 2.0",
};

const SEARCH: &[u8] = b"M-SEARCH * HTTP/1.";
const NOTIFY: &[u8] = b"NOTIFY * HTTP/1.";
const RESPONSE: &[u8] = b"HTTP/1.";
/// Longest object text.
const TARGET_BYTES: usize = 256;

fn probe(input: &Input<'_>) -> Probe {
    let bytes = input.bytes;
    if bytes.starts_with(SEARCH) || bytes.starts_with(NOTIFY) {
        Probe::Certain
    } else if bytes.starts_with(RESPONSE) {
        let told =
            text::header_field(bytes, "st").is_some() || text::header_field(bytes, "usn").is_some();
        if told { Probe::Certain } else { Probe::Weak }
    } else {
        Probe::No
    }
}

#[derive(Default)]
struct Ssdp {
    /// A search sent to one device, until it answers.
    search: Option<Operation>,
    answered: bool,
    client_told: bool,
}

fn describe(
    input: &Input<'_>,
    name: &'static str,
    action: Action,
    target: Option<&[u8]>,
    sender: Side,
    outcome: Outcome,
) -> Operation {
    let object = target.map_or(Object::None, |target| {
        let target = target.get(..target.len().min(TARGET_BYTES)).unwrap_or_default();
        Object::Text(text::utf8(target))
    });
    Operation {
        object,
        outcome,
        ..input.operation(PROTOCOL.name, sender, (name, action), input.bytes)
    }
}

fn claim(
    input: &Input<'_>,
    attribute: &'static str,
    message: &'static str,
    value: Option<&[u8]>,
    out: &mut Out,
) {
    let value = value.unwrap_or_default();
    out.claim(Claim {
        who: Who::Sender(Child::None),
        attribute,
        value: text::utf8(value),
        protocol: PROTOCOL.name,
        message,
        confidence: Confidence::Medium,
        evidence: input.evidence(value, Decode::Utf8),
    });
}

impl Session for Ssdp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let head = input.bytes;
        out.layer(PROTOCOL.name, input.side);
        if head.starts_with(SEARCH) {
            let target = text::header_field(head, "st");
            let to_all = input.destination.is_group();
            let outcome = if to_all { Outcome::None } else { Outcome::Unseen };
            let search = describe(input, "m-search", Action::Identify, target, input.side, outcome);
            if to_all {
                out.operation(search);
            } else {
                if !std::mem::replace(&mut self.client_told, true) {
                    out.push(Item::Client(input.side));
                }
                self.answered = false;
                if let Some(unseen) = self.search.replace(search) {
                    out.operation(unseen);
                }
            }
            claim(input, "user_agent", "m-search", text::header_field(head, "user-agent"), out);
        } else if head.starts_with(NOTIFY) {
            let target = text::header_field(head, "nt");
            let sender = input.side;
            let action = Action::Identify;
            out.operation(describe(input, "notify", action, target, sender, Outcome::None));
            claim(input, "ssdp_server", "notify", text::header_field(head, "server"), out);
        } else if head.starts_with(RESPONSE) {
            if let Some(mut search) = self.search.take() {
                search.outcome = Outcome::Ok;
                out.operation(search);
            } else if !self.answered {
                // The search went to the group, so its answers come in a flow of their own; one
                // device answers once for each of its services.
                let target = text::header_field(head, "st");
                let asker = input.side.other();
                let action = Action::Identify;
                out.unpaired(describe(input, "m-search", action, target, asker, Outcome::Ok));
            }
            self.answered = true;
            claim(input, "ssdp_server", "m-search", text::header_field(head, "server"), out);
        } else {
            out.push(Item::NotDecoded(PROTOCOL.name, "unknown-message"));
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some(unseen) = self.search.take() {
            out.operation(unseen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const SEARCH: &[u8] = b"M-SEARCH * HTTP/1.1\r\nHOST: 192.0.2.2:1900\r\n\
        MAN: \"ssdp:discover\"\r\nST: upnp:rootdevice\r\n\r\n";
    const FOUND: &[u8] = b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n\
        USN: uuid:1::upnp:rootdevice\r\nSERVER: Linux/3.1 UPnP/1.0 Gateway/7\r\n\r\n";
    const ALIVE: &[u8] = b"NOTIFY * HTTP/1.1\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\n\
        Server:  VxWorks/6.9 UPnP/1.0 Drive/2 \r\n\r\n";

    #[test]
    fn a_search_of_one_device_is_answered_once() {
        let talk = [(Side::A, SEARCH), (Side::B, FOUND), (Side::B, FOUND)];
        let items = testing::items(&PROTOCOL, &talk);
        let operations: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(o) | Item::Unpaired(o) => {
                    Some((o.name, o.object.to_text(), o.outcome))
                }
                _ => None,
            })
            .collect();
        assert_eq!(vec![("m-search", "upnp:rootdevice".into(), Outcome::Ok)], operations);
        testing::survives(&PROTOCOL, &[talk[0], talk[1], (Side::B, ALIVE)]);
    }

    #[test]
    fn the_server_field_is_told_whole() {
        let items = testing::items(&PROTOCOL, &[(Side::B, ALIVE)]);
        assert!(items.iter().any(|item| matches!(item, Item::Claim(c)
            if c.attribute == "ssdp_server" && c.value == "VxWorks/6.9 UPnP/1.0 Drive/2")));
    }

    #[test]
    fn start_lines_make_it_certain() {
        for message in [SEARCH, FOUND, ALIVE] {
            assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, message)));
        }
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n\r\n")));
    }
}
