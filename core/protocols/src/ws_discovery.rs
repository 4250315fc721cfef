//! WS-Discovery with the scopes of ONVIF, over UDP.
//!
//! Sources: OASIS WS-Discovery 1.1 §4 to §6 (Hello, Bye, Probe, Resolve and their matches), the
//! submission of 2005 (`schemas.xmlsoap.org/ws/2005/04/discovery`) with the same words; ONVIF Core
//! Specification §7.3 (scopes name, hardware, location; type NetworkVideoTransmitter).
//!
//! Messages are read by the local names of their elements. A probe to the group is answered in flows of
//! their own, whose matches count as unpaired.
//!
//! Not decoded: DPWS metadata over HTTP, security.

use compact_str::CompactString;

use crate::fields::part_at;
use crate::out::{Action, Decode, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};
use crate::text;

/// WS-Discovery.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "WS-Discovery",
    roles: ("discovery client", "discovery target"),
    carriers: &[Carrier::Udp(&[3702])],
    dissector: Dissector::Built { probe, session: || Box::new(Discovery::default()) },
    source: "OASIS WS-Discovery 1.1; ONVIF Core Specification §7.3",
};

const NAME: &str = "ws-discovery";

/// Names of the namespaces of both versions.
const NAMESPACES: &[&[u8]] =
    &[b"schemas.xmlsoap.org/ws/2005/04/discovery", b"docs.oasis-open.org/ws-dd/ns/discovery"];

/// Scopes of ONVIF, and what they tell.
const SCOPES: &[(&[u8], &str)] = &[
    (b"onvif://www.onvif.org/hardware/", "model"),
    (b"onvif://www.onvif.org/name/", "name"),
    (b"onvif://www.onvif.org/location/", "location"),
];

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Announces,
    Asks,
    Answers,
}

/// The last part of an action, its name, and what it is.
const ACTIONS: &[(&[u8], &str, Kind)] = &[
    (b"/Hello", "hello", Kind::Announces),
    (b"/Bye", "bye", Kind::Announces),
    (b"/ProbeMatches", "probe", Kind::Answers),
    (b"/ResolveMatches", "resolve", Kind::Answers),
    (b"/Probe", "probe", Kind::Asks),
    (b"/Resolve", "resolve", Kind::Asks),
];

/// The text of the first element with this local name; none where it holds elements or is missing.
fn element<'a>(document: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = document;
    while let Some(open) = memchr::memchr(b'<', rest) {
        rest = rest.get(open + 1..)?;
        let end = memchr::memchr(b'>', rest)?;
        let tag = rest.get(..end)?;
        rest = rest.get(end + 1..)?;
        let stop = tag.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'/');
        let full = tag.get(..stop.unwrap_or(tag.len()))?;
        let local = memchr::memchr(b':', full).map_or(full, |at| part_at(full, at + 1, full.len()));
        if local == name && !tag.ends_with(b"/") {
            let close = memchr::memchr(b'<', rest)?;
            return Some(text::trim(rest.get(..close)?));
        }
    }
    None
}

fn action(document: &[u8]) -> Option<(&'static str, Kind, &[u8])> {
    let said = element(document, b"Action")?;
    let known = ACTIONS.iter().find(|(end, ..)| said.ends_with(end));
    known.map(|(_, name, kind)| (*name, *kind, said))
}

fn probe(input: &Input<'_>) -> Probe {
    let bytes = text::trim(part_at(input.bytes, 0, 4096));
    let is_xml = bytes.first() == Some(&b'<');
    let known = |name: &&[u8]| memchr::memmem::find(bytes, name).is_some();
    if is_xml && NAMESPACES.iter().any(known) { Probe::Certain } else { Probe::No }
}

/// The text of a scope without its percent coding; the decoding that gives it again.
fn unescaped(value: &[u8]) -> (CompactString, Decode) {
    if memchr::memchr(b'%', value).is_none() {
        return (text::utf8(value), Decode::Utf8);
    }
    let mut said = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let digit = |at: usize| tail.get(at).and_then(|byte| (*byte as char).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                said.push((high << 4 | low) as u8);
                rest = part_at(tail, 2, tail.len());
            }
            _ => said.push(*first),
        }
    }
    (text::utf8(text::trim(&said)), Decode::Derived)
}

/// A flow that carries WS-Discovery.
#[derive(Default)]
struct Discovery {
    client_said: bool,
    /// A probe or resolve to one device that waits.
    asked: Option<Operation>,
}

impl Discovery {
    fn identity(input: &Input<'_>, document: &[u8], message: &'static str, out: &mut Out) {
        let told_in = (NAME, message);
        let types = element(document, b"Types").unwrap_or_default();
        out.claim(input.own_text(told_in, "ws_discovery_types", part_at(types, 0, 256)));
        let address = element(document, b"Address").unwrap_or_default();
        if address.starts_with(b"urn:uuid:") || address.starts_with(b"uuid:") {
            out.claim(input.own_text(told_in, "ws_discovery_address", part_at(address, 0, 128)));
        }
        let scopes = element(document, b"Scopes").unwrap_or_default();
        for scope in scopes.split(u8::is_ascii_whitespace) {
            for (start, attribute) in SCOPES {
                if let Some(value) = scope.strip_prefix(*start) {
                    let value = part_at(value, 0, 128);
                    let (said, decode) = unescaped(value);
                    out.claim(input.own_claim(told_in, attribute, said, value, decode));
                }
            }
        }
    }
}

impl Session for Discovery {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(NAME, input.side);
        let Some((name, kind, said)) = action(input.bytes) else { return input.bytes.len() };
        let to_group = input.destination.is_group();
        let words = (name, Action::Identify);
        let mut operation = input.operation(NAME, input.side, words, said);
        match kind {
            Kind::Announces => {
                Self::identity(input, input.bytes, name, out);
                operation.outcome = Outcome::None;
                out.operation(operation);
            }
            Kind::Asks => {
                if !std::mem::replace(&mut self.client_said, true) {
                    out.push(Item::Client(input.side));
                }
                if let Some(types) = element(input.bytes, b"Types")
                    && !types.is_empty()
                {
                    operation.object = Object::Text(text::utf8(part_at(types, 0, 128)));
                }
                if to_group {
                    operation.outcome = Outcome::None;
                    out.operation(operation);
                } else if let Some(unseen) = self.asked.replace(operation) {
                    out.operation(unseen);
                }
            }
            Kind::Answers => {
                Self::identity(input, input.bytes, name, out);
                match self.asked.take() {
                    Some(mut asked) => {
                        asked.outcome = Outcome::Ok;
                        out.operation(asked);
                    }
                    None => {
                        if !std::mem::replace(&mut self.client_said, true) {
                            out.push(Item::Client(input.side.other()));
                        }
                        operation.sender = input.side.other();
                        operation.outcome = Outcome::Ok;
                        out.unpaired(operation);
                    }
                }
            }
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some(unseen) = self.asked.take() {
            out.operation(unseen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Side;
    use crate::testing;

    fn envelope(action: &str, body: &str) -> Vec<u8> {
        format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/\
             discovery\"><s:Header><a:Action s:mustUnderstand=\"1\">http://schemas.xmlsoap.org/ws/\
             2005/04/discovery/{action}</a:Action></s:Header><s:Body>{body}</s:Body></s:Envelope>"
        )
        .into_bytes()
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        let matched = "<d:ProbeMatches><a:EndpointReference><a:Address>urn:uuid:7</a:Address>\
            </a:EndpointReference><d:Types>dn:NetworkVideoTransmitter</d:Types><d:Scopes>\
            onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/hardware/CAM-7 \
            onvif://www.onvif.org/name/Gate%20North</d:Scopes></d:ProbeMatches>";
        vec![
            (Side::A, envelope("Probe", "<d:Probe><d:Types>dn:Device</d:Types></d:Probe>")),
            (Side::B, envelope("ProbeMatches", matched)),
            (Side::B, envelope("Hello", "<d:Hello/>")),
            (Side::B, envelope("ResolveMatches", "")),
        ]
    }

    fn messages(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    #[test]
    fn a_probe_is_answered_by_its_match() {
        let items = messages(&conversation());
        assert_eq!(
            vec![
                ("probe", "dn:Device".to_owned(), Outcome::Ok),
                ("hello", String::new(), Outcome::None),
            ],
            testing::operations(&items)
        );
        assert!(items.iter().any(|item| matches!(item, Item::Unpaired(operation)
            if operation.name == "resolve" && operation.sender == Side::A)));
    }

    #[test]
    fn the_scopes_of_a_camera_tell_what_it_is() {
        assert_eq!(
            vec![
                ("ws_discovery_types", "dn:NetworkVideoTransmitter".to_owned()),
                ("ws_discovery_address", "urn:uuid:7".to_owned()),
                ("model", "CAM-7".to_owned()),
                ("name", "Gate North".to_owned()),
            ],
            testing::claims(&messages(&conversation()))
        );
    }

    #[test]
    fn the_probe_knows_its_own() {
        let all = conversation();
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &all[0].1)));
        for bytes in [&b"<?xml version=\"1.0\"?><a/>"[..], b"M-SEARCH * HTTP/1.1\r\n\r\n", b""] {
            assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, bytes)));
        }
    }

    #[test]
    fn survives_hostile_bytes() {
        let all = conversation();
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &parts);
    }
}
