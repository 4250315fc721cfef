//! RADIUS, over UDP.
//!
//! Sources: RFC 2865 §3 (packets), §5 (attributes), RFC 2866 (accounting), RFC 5997 (Status-Server),
//! RFC 5176 (Disconnect and Change-of-Authorization), RFC 2548 (Microsoft's attributes, which any
//! maker sends).
//!
//! A request and its response are one operation, paired by identifier; its code is the request's. A
//! challenge is a positive answer that ends nothing. User names are in log-in events, passwords are
//! never read.
//!
//! Rules broken on the wire:
//! * `radius-attribute`: the attributes do not fill the packet.
//!
//! Not decoded: EAP, vendors' attributes other than whose they are.

use compact_str::CompactString;
use otic_wire::{Cursor, Spans};

use crate::fields::part_at;
use crate::out::{Action, Claim, Confidence, Decode, Event, Item, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// RADIUS.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "RADIUS",
    roles: ("RADIUS client", "RADIUS server"),
    carriers: &[Carrier::Udp(&[1812, 1813, 1645, 1646, 3799])],
    dissector: Dissector::Built { probe, session: || Box::new(Radius::new()) },
    source: "RFC 2865, RFC 2866, RFC 5176",
};

const NAME: &str = "radius";

const ACCESS_REQUEST: u8 = 1;
const ACCEPT: u8 = 2;
const REJECT: u8 = 3;

const USER_NAME: u8 = 1;
const NAS_IP_ADDRESS: u8 = 4;
const VENDOR_SPECIFIC: u8 = 26;
const NAS_IDENTIFIER: u8 = 32;

/// Code, identifier, length and authenticator.
const HEADER: usize = 20;
/// Longest packet.
const LONGEST: usize = 4096;
/// Private enterprise number of Microsoft.
const MICROSOFT: &[u8] = &[0, 0, 1, 0x37];
/// Requests of one flow that may wait at once.
const WAITING: usize = 64;

/// Name and action of a request.
const fn request(code: u8) -> Option<(&'static str, Action)> {
    Some(match code {
        ACCESS_REQUEST => ("access-request", Action::Authenticate),
        4 => ("accounting-request", Action::Session),
        12 => ("status-server", Action::Diagnostics),
        13 => ("status-client", Action::Diagnostics),
        40 => ("disconnect-request", Action::Control),
        43 => ("coa-request", Action::Configuration),
        _ => return None,
    })
}

/// What a response says of its request.
const fn response(code: u8) -> Option<Outcome> {
    Some(match code {
        ACCEPT | 5 | 11 | 41 | 44 => Outcome::Ok,
        REJECT | 42 | 45 => Outcome::Error,
        _ => return None,
    })
}

/// A packet up to the length it tells.
struct Packet<'a> {
    code: u8,
    identifier: u8,
    authenticator: &'a [u8],
    attributes: &'a [u8],
}

fn packet(bytes: &[u8]) -> Option<Packet<'_>> {
    let mut cursor = Cursor::new(bytes);
    let (code, identifier) = (cursor.u8().ok()?, cursor.u8().ok()?);
    let length = usize::from(cursor.u16_be().ok()?);
    let authenticator = cursor.take(16).ok()?;
    let fits = (HEADER..=LONGEST).contains(&length)
        && (request(code).is_some() || response(code).is_some());
    // What follows the length is padding.
    let attributes = bytes.get(HEADER..length)?;
    fits.then_some(Packet { code, identifier, authenticator, attributes })
}

/// Type and value of the attributes, and whether they fill the packet.
fn attributes(mut bytes: &[u8]) -> (Vec<(u8, &[u8])>, bool) {
    let mut all = Vec::new();
    while let [kind, length, ..] = bytes {
        let Some(value) = bytes.get(2..usize::from(*length)) else { return (all, false) };
        all.push((*kind, value));
        bytes = bytes.get(usize::from(*length)..).unwrap_or_default();
    }
    (all, bytes.is_empty())
}

fn probe(input: &Input<'_>) -> Probe {
    let Some(packet) = packet(input.bytes) else { return Probe::No };
    let whole = HEADER + packet.attributes.len() == input.bytes.len();
    match attributes(packet.attributes) {
        // An attribute without a value is left out (RFC 2865 §5).
        (all, _) if all.iter().any(|(_, value)| value.is_empty()) => Probe::No,
        (all, true) if whole && !all.is_empty() => Probe::Likely,
        (_, true) => Probe::Weak,
        _ => Probe::No,
    }
}

/// A request that waits.
struct Request {
    operation: Operation,
    authenticator: [u8; 16],
    user: CompactString,
    user_at: Spans,
}

/// A flow that carries RADIUS.
struct Radius {
    client_said: bool,
    /// By sender and identifier.
    pending: Pending<(Side, u8), Request>,
}

impl Radius {
    const fn new() -> Self {
        Self { client_said: false, pending: Pending::new(WAITING) }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        packet: &Packet<'_>,
        words: (&'static str, Action),
        out: &mut Out,
    ) {
        let authenticator = packet.authenticator.as_array().copied().unwrap_or_default();
        let key = (input.side, packet.identifier);
        // Sent again because no response came.
        if self.pending.get_mut(&key).is_some_and(|known| known.authenticator == authenticator) {
            return;
        }
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(input.side));
        }
        let mut operation = input.operation(NAME, input.side, words, part_at(input.bytes, 0, 1));
        operation.code = Some(u32::from(packet.code));
        let mut asked = Request {
            operation,
            authenticator,
            user: CompactString::const_new(""),
            user_at: Spans::new(),
        };
        let told_in = (NAME, words.0);
        for (kind, value) in attributes(packet.attributes).0 {
            match kind {
                USER_NAME => {
                    asked.user = text::utf8(text::trim(value));
                    asked.user_at = input.locate(value);
                }
                NAS_IDENTIFIER if text::is_printable(text::trim(value)) => {
                    out.claim(input.own_text(told_in, "nas_identifier", value));
                }
                NAS_IP_ADDRESS => {
                    if let Some(address) = value.as_array::<4>() {
                        let address = std::net::Ipv4Addr::from(*address);
                        let said = compact_str::format_compact!("{address}");
                        let attribute = "nas_ip_address";
                        out.claim(input.own_claim(told_in, attribute, said, value, Decode::Ip));
                    }
                }
                VENDOR_SPECIFIC => {
                    if let Some(number) = value.first_chunk::<4>()
                        && number != MICROSOFT
                    {
                        let said = compact_str::format_compact!("{}", u32::from_be_bytes(*number));
                        // A proxy adds its own.
                        let claim = input.own_claim(
                            told_in,
                            "radius_vendor_id",
                            said,
                            number,
                            Decode::UnsignedBe,
                        );
                        out.claim(Claim { confidence: Confidence::Low, ..claim });
                    }
                }
                _ => {}
            }
        }
        if let Some(evicted) = self.pending.insert(key, asked) {
            out.operation(evicted.operation);
        }
    }

    fn response(
        &mut self,
        input: &Input<'_>,
        packet: &Packet<'_>,
        outcome: Outcome,
        out: &mut Out,
    ) {
        let client = input.side.other();
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(client));
        }
        let Some(mut asked) = self.pending.take(&(client, packet.identifier)) else {
            let code = match packet.code {
                ACCEPT | REJECT | 11 => ACCESS_REQUEST,
                5 => 4,
                41 | 42 => 40,
                _ => 43,
            };
            let words = request(code).unwrap_or(("unknown", Action::Session));
            let mut operation = input.operation(NAME, client, words, part_at(input.bytes, 0, 1));
            operation.code = Some(u32::from(code));
            operation.outcome = outcome;
            out.unpaired(operation);
            return;
        };
        asked.operation.outcome = outcome;
        let kind = match packet.code {
            ACCEPT => Some("login"),
            REJECT => Some("login-failed"),
            _ => None,
        };
        if let Some(kind) = kind
            && asked.operation.code == Some(u32::from(ACCESS_REQUEST))
            && !asked.user.is_empty()
        {
            out.push(Item::Event(Event {
                kind,
                protocol: NAME,
                sender: client,
                values: vec![("user", asked.user)],
                evidence: asked.user_at,
            }));
        }
        out.operation(asked.operation);
    }
}

impl Session for Radius {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let Some(packet) = packet(input.bytes) else { return input.bytes.len() };
        out.layer(NAME, input.side);
        if !attributes(packet.attributes).1 && !input.truncated {
            out.push(input.violation(NAME, "radius-attribute", part_at(input.bytes, 0, HEADER)));
        }
        if let Some(words) = request(packet.code) {
            self.request(input, &packet, words, out);
        } else if let Some(outcome) = response(packet.code) {
            self.response(input, &packet, outcome, out);
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        for asked in self.pending.drain() {
            out.operation(asked.operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn packet(code: u8, identifier: u8, attributes: &[u8]) -> Vec<u8> {
        let length = (HEADER + attributes.len()) as u16;
        let mut bytes = vec![code, identifier];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&[code; 16]);
        bytes.extend_from_slice(attributes);
        bytes
    }

    /// User, hidden password, NAS address and identifier, attributes of Microsoft and of Cisco (9).
    const ASKED: &[u8] = b"\x01\x06hans\x02\x08secret\x04\x06\xc0\0\x02\x01\x20\x05SW7\
        \x1a\x08\0\0\x01\x37\x01\x02\x1a\x08\0\0\0\x09\x01\x02";

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        vec![
            (Side::A, packet(1, 5, ASKED)),
            (Side::A, packet(1, 5, ASKED)),
            (Side::B, packet(11, 5, b"\x18\x04ab")),
            (Side::A, packet(1, 6, ASKED)),
            (Side::B, packet(3, 6, b"\x12\x04no")),
            (Side::A, packet(4, 7, b"\x28\x06\0\0\0\x01")),
            (Side::B, packet(5, 7, b"")),
            (Side::A, packet(40, 8, b"\x01\x06hans")),
        ]
    }

    fn messages(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    #[test]
    fn requests_count_once_with_their_response() {
        let told: Vec<_> = testing::coded_operations(&messages(&conversation()))
            .into_iter()
            .map(|(name, code, _, outcome)| (name, code, outcome))
            .collect();
        assert_eq!(
            vec![
                ("access-request", Some(1), Outcome::Ok),
                ("access-request", Some(1), Outcome::Error),
                ("accounting-request", Some(4), Outcome::Ok),
                ("disconnect-request", Some(40), Outcome::Unseen),
            ],
            told
        );
    }

    #[test]
    fn clients_and_users_are_told_and_no_password() {
        let items = messages(&conversation());
        let claims = testing::claims(&items);
        assert_eq!(
            vec![
                ("nas_ip_address", "192.0.2.1".to_owned()),
                ("nas_identifier", "SW7".to_owned()),
                ("radius_vendor_id", "9".to_owned()),
            ],
            claims[..3]
        );
        let events = testing::events(&items);
        assert_eq!(1, events.len());
        assert_eq!(("login-failed", "hans"), (events[0].kind, events[0].values[0].1.as_str()));
        assert!(!format!("{items:?}").contains("secret"));
    }

    #[test]
    fn attributes_that_do_not_fill_the_packet_are_a_violation() {
        let items = messages(&[(Side::A, packet(1, 1, b"\x01\x09hans"))]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "radius-attribute")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let all = conversation();
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &all[0].1)));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::B, &all[6].1)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &all[0].1[..40])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[1; 60])));
    }

    #[test]
    fn survives_hostile_bytes() {
        let all = conversation();
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &parts);
    }
}
