//! LDAP version 2 and 3 over TCP, and connectionless LDAP over UDP.
//!
//! Sources: RFC 4511 §4.1 (envelope, result), §4.2 (bind), §4.5 (search), §4.6 to §4.13 (the other
//! operations), §5.1 (BER), appendix A (result codes); RFC 4513 §5 (SASL), RFC 4752 §3.3 (what is
//! wrapped after it); RFC 4512 §5.1 and [MS-ADTS] §3.1.1.3.2 (root DSE); [MS-ADTS] §5.1.1.1.3
//! (NTLM binds), §6.3.3 (connectionless); X.690 ([`crate::ber_tags`]).
//!
//! The code is the request's application tag number; the object is the entry it is about. A bind is
//! the event `login` or `login-failed`; a simple bind with a password is `cleartext-credentials`,
//! too: the password is never kept.
//!
//! Violations: `ldap-ber` (something else where a message must start).
//!
//! Not decoded: filters, attributes other than those of the root DSE, what is wrapped after a SASL
//! bind (coverage).

use compact_str::{CompactString, format_compact};
use otic_wire::Cursor;

use crate::ber_tags::{self as ber, ENUMERATED, INTEGER, OCTETS, SEQUENCE};
use crate::ntlm;
use crate::out::{Action, Decode, Event, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// LDAP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "LDAP",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[389, 3268]), Carrier::Udp(&[389])],
    dissector: Dissector::Built { probe, session: || Box::new(Ldap::default()) },
    source: "RFC 4511, RFC 4513, [MS-ADTS]",
};

const NAME: &str = "ldap";
/// Messages up to this size are read whole; of larger ones this much.
const WHOLE: usize = 16 * 1024;
const HEAD: usize = 1024;
/// Longest name of an entry that is written out.
const ENTRY: usize = 256;

const BIND_REQUEST: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const UNBIND_REQUEST: u8 = 0x42;
const SEARCH_REQUEST: u8 = 0x63;
const SEARCH_ENTRY: u8 = 0x64;
const DELETE_REQUEST: u8 = 0x4a;
const ABANDON_REQUEST: u8 = 0x50;
const EXTENDED_REQUEST: u8 = 0x77;

const SIMPLE: u8 = 0x80;
const SASL: u8 = 0xa3;
const SERVER_CREDENTIALS: u8 = 0x87;

const SUCCESS: i64 = 0;
const SASL_BIND_IN_PROGRESS: i64 = 14;

/// Name and class of a request (RFC 4511 §4.2 to §4.12).
const fn operation_of(tag: u8) -> Option<(&'static str, Action)> {
    Some(match tag {
        BIND_REQUEST => ("bind", Action::Authenticate),
        UNBIND_REQUEST => ("unbind", Action::Session),
        SEARCH_REQUEST => ("search", Action::Read),
        0x66 => ("modify", Action::Configuration),
        0x68 => ("add", Action::Configuration),
        DELETE_REQUEST => ("delete", Action::Configuration),
        0x6c => ("modify-dn", Action::Configuration),
        0x6e => ("compare", Action::Read),
        ABANDON_REQUEST => ("abandon", Action::Session),
        EXTENDED_REQUEST => ("extended", Action::Session),
        _ => return None,
    })
}

/// The request that a response ends (none for those in between).
const fn ends(tag: u8) -> Option<u8> {
    Some(match tag {
        BIND_RESPONSE => BIND_REQUEST,
        0x65 => SEARCH_REQUEST,
        0x67 => 0x66,
        0x69 => 0x68,
        0x6b => DELETE_REQUEST,
        0x6d => 0x6c,
        0x6f => 0x6e,
        0x78 => EXTENDED_REQUEST,
        _ => return None,
    })
}

/// Why a bind was refused (RFC 4511 appendix A.2).
fn reason(code: i64) -> CompactString {
    match code {
        1 => "operations-error",
        2 => "protocol-error",
        7 => "auth-method-not-supported",
        8 => "stronger-auth-required",
        13 => "confidentiality-required",
        32 => "no-such-object",
        34 => "invalid-dn-syntax",
        48 => "inappropriate-authentication",
        49 => "invalid-credentials",
        50 => "insufficient-access-rights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwilling-to-perform",
        _ => return format_compact!("{code}"),
    }
    .into()
}

/// One message: its id, the tag and content of its operation.
struct Message<'a> {
    id: i64,
    tag: u8,
    content: &'a [u8],
}

/// Reads a message; of one that is not whole, what is there.
fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let mut envelope = Cursor::new(ber::expect(&mut Cursor::new(bytes), SEQUENCE, true)?);
    let id = ber::expect(&mut envelope, INTEGER, false).filter(|id| id.len() <= 4)?;
    let (tag, content) = ber::element(&mut envelope, true)?;
    let known = operation_of(tag).is_some()
        || ends(tag).is_some()
        || matches!(tag, SEARCH_ENTRY | 0x73 | 0x79);
    let id = ber::integer(id).filter(|id| *id >= 0)?;
    known.then_some(Message { id, tag, content })
}

/// How sure it is that this is LDAP: requests with a shape of their own are certain.
fn certainty(message: &Message<'_>) -> Probe {
    let mut cursor = Cursor::new(message.content);
    let first = ber::element(&mut cursor, true).map(|(tag, _)| tag);
    let second = ber::element(&mut cursor, true).map(|(tag, _)| tag);
    match (message.tag, first, second) {
        (BIND_REQUEST, Some(INTEGER), Some(OCTETS))
        | (SEARCH_REQUEST, Some(OCTETS), Some(ENUMERATED)) => Probe::Certain,
        (SEARCH_ENTRY, Some(OCTETS), Some(SEQUENCE)) => Probe::Certain,
        (tag, Some(ENUMERATED), Some(OCTETS)) if ends(tag).is_some() => Probe::Certain,
        (0x66 | 0x68 | 0x6c | 0x6e, Some(OCTETS), _) => Probe::Likely,
        (UNBIND_REQUEST | DELETE_REQUEST | ABANDON_REQUEST, ..) => Probe::Weak,
        (0x73, Some(OCTETS), _) | (0x79 | EXTENDED_REQUEST, Some(0x80), _) => Probe::Likely,
        _ => Probe::No,
    }
}

fn probe(input: &Input<'_>) -> Probe {
    let bytes = input.bytes;
    if bytes.first().is_some_and(|tag| *tag != SEQUENCE) {
        return Probe::No;
    }
    let Some(length) = ber::whole_length(bytes) else {
        let waits = input.transport == Transport::Tcp && bytes.len() < 6;
        return if waits { Probe::More } else { Probe::No };
    };
    let content = ber::expect(&mut Cursor::new(bytes), SEQUENCE, true).unwrap_or_default();
    // An id, an operation.
    if length < 7 || content.first().is_some_and(|tag| *tag != INTEGER) {
        return Probe::No;
    }
    if bytes.len() < length.min(40) {
        return if input.transport == Transport::Tcp { Probe::More } else { Probe::No };
    }
    message(bytes.get(..length).unwrap_or(bytes)).map_or(Probe::No, |message| certainty(&message))
}

/// A bind as an event's values.
#[derive(Debug, Clone, Default)]
struct Bind {
    mechanism: CompactString,
    values: Vec<(&'static str, CompactString)>,
}

struct Waiting {
    operation: Box<Operation>,
    bind: Option<Bind>,
}

#[derive(Debug, Default)]
struct Direction {
    /// Bytes of a message that are skipped.
    skip: usize,
    synchronised: bool,
}

/// A flow that carries LDAP.
struct Ldap {
    pending: Pending<(i64, Side), Waiting>,
    directions: [Direction; 2],
    client_told: bool,
    /// A SASL bind succeeded: what follows may be wrapped.
    may_be_wrapped: bool,
    said_encrypted: bool,
}

impl Default for Ldap {
    fn default() -> Self {
        Self {
            pending: Pending::new(64),
            directions: Default::default(),
            client_told: false,
            may_be_wrapped: false,
            said_encrypted: false,
        }
    }
}

impl Ldap {
    fn direction(&mut self, side: Side) -> &mut Direction {
        side.of(&mut self.directions)
    }

    fn read_message(
        &mut self,
        input: &Input<'_>,
        all: &[u8],
        message: &Message<'_>,
        out: &mut Out,
    ) {
        if let Some((name, action)) = operation_of(message.tag) {
            self.client(input.side, out);
            self.request(input, all, message, (name, action), out);
        } else {
            self.client(input.side.other(), out);
            self.response(input, all, message, out);
        }
    }

    fn client(&mut self, client: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_told, true) {
            out.push(Item::Client(client));
        }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        all: &[u8],
        message: &Message<'_>,
        named: (&'static str, Action),
        out: &mut Out,
    ) {
        let mut operation = operation(input, input.side, message.tag, named, all);
        let mut bind = None;
        match message.tag {
            BIND_REQUEST => {
                let (name, asked) = self.bind(input, message.content, out);
                operation.object = entry(name);
                bind = asked;
            }
            DELETE_REQUEST => operation.object = entry(message.content),
            UNBIND_REQUEST | ABANDON_REQUEST => {
                operation.outcome = Outcome::None;
                out.operation(operation);
                return;
            }
            EXTENDED_REQUEST => {
                // The request's name: an object identifier as text.
                operation.object = ber::find(message.content, 0x80).map_or(Object::None, entry);
            }
            _ => {
                let mut cursor = Cursor::new(message.content);
                operation.object =
                    ber::expect(&mut cursor, OCTETS, true).map_or(Object::None, entry);
            }
        }
        let waiting = Waiting { operation: Box::new(operation), bind };
        if let Some(oldest) = self.pending.insert((message.id, input.side), waiting) {
            out.operation(oldest.operation);
        }
    }

    /// BindRequest (§4.2): version, name, then how to authenticate.
    fn bind<'a>(
        &self,
        input: &Input<'_>,
        content: &'a [u8],
        out: &mut Out,
    ) -> (&'a [u8], Option<Bind>) {
        let mut cursor = Cursor::new(content);
        ber::expect(&mut cursor, INTEGER, true);
        let name = ber::expect(&mut cursor, OCTETS, true).unwrap_or_default();
        let user = entry(name).to_text();
        let Some((tag, secret)) = ber::element(&mut cursor, true) else { return (name, None) };
        let mut bind = Bind::default();
        match tag {
            SIMPLE if secret.is_empty() => {
                // Without a password nobody is authenticated, whatever the name (RFC 4513 §5.1.2).
                bind.mechanism = "anonymous".into();
                bind.values.push(("user", if user.is_empty() { "anonymous".into() } else { user }));
            }
            SIMPLE => {
                bind.mechanism = "simple".into();
                bind.values.push(("user", user.clone()));
                out.push(Item::Event(Event {
                    kind: "cleartext-credentials",
                    protocol: NAME,
                    sender: input.side,
                    values: vec![("user", user)],
                    evidence: input.locate(name),
                }));
            }
            SASL => {
                let mut sasl = Cursor::new(secret);
                let mechanism = ber::expect(&mut sasl, OCTETS, true).unwrap_or_default();
                bind.mechanism = entry(mechanism).to_text();
                let token = ber::expect(&mut sasl, OCTETS, true).unwrap_or_default();
                if let Some(login) = ntlm::read(input, token, NAME, out) {
                    bind.values = login.values();
                    bind.values.retain(|(name, _)| *name != "mechanism");
                }
            }
            // Package discovery and negotiate are steps on the way ([MS-ADTS] §5.1.1.1.3).
            0x89 | 0x8a => {
                ntlm::read(input, secret, NAME, out);
                return (name, None);
            }
            0x8b => {
                bind.mechanism = "sicily".into();
                if let Some(login) = ntlm::read(input, secret, NAME, out) {
                    bind.values = login.values();
                    bind.values.retain(|(name, _)| *name != "mechanism");
                }
            }
            _ => return (name, None),
        }
        (name, Some(bind))
    }

    fn response(&mut self, input: &Input<'_>, all: &[u8], message: &Message<'_>, out: &mut Out) {
        if message.tag == SEARCH_ENTRY {
            root_dse(input, message.content, out);
        }
        let Some(request) = ends(message.tag) else { return };
        let asker = input.side.other();
        let mut cursor = Cursor::new(message.content);
        let code_part = ber::expect(&mut cursor, ENUMERATED, true).unwrap_or_default();
        let code = ber::integer(code_part).unwrap_or_default();
        if request == BIND_REQUEST {
            let token = ber::find(message.content, SERVER_CREDENTIALS).unwrap_or_default();
            ntlm::read(input, token, NAME, out);
            // In NTLM binds the challenge stands where an entry's name should.
            let matched = ber::expect(&mut cursor, OCTETS, true).unwrap_or_default();
            ntlm::read(input, matched, NAME, out);
        }
        let goes_well = matches!(code, SUCCESS | SASL_BIND_IN_PROGRESS | 5 | 6 | 10);
        let outcome = if goes_well { Outcome::Ok } else { Outcome::Error };
        let Some(mut waiting) = self.pending.take(&(message.id, asker)) else {
            let named = operation_of(request).unwrap_or(("unknown", Action::Session));
            let mut unseen = operation(input, asker, request, named, all);
            unseen.outcome = outcome;
            out.unpaired(unseen);
            return;
        };
        waiting.operation.outcome = outcome;
        out.operation(waiting.operation);
        if let Some(bind) = waiting.bind.filter(|_| code != SASL_BIND_IN_PROGRESS) {
            self.may_be_wrapped |=
                code == SUCCESS && !matches!(bind.mechanism.as_str(), "simple" | "anonymous");
            let mut values = bind.values;
            values.push(("mechanism", bind.mechanism));
            if code != SUCCESS {
                values.push(("reason", reason(code)));
            }
            values.retain(|(_, value)| !value.is_empty());
            values.sort_unstable();
            out.push(Item::Event(Event {
                kind: if code == SUCCESS { "login" } else { "login-failed" },
                protocol: NAME,
                sender: asker,
                values,
                evidence: input.locate(code_part),
            }));
        }
    }

    fn encrypted(&mut self, out: &mut Out) {
        if !std::mem::replace(&mut self.said_encrypted, true) {
            out.push(Item::NotDecoded(NAME, "encrypted"));
        }
    }
}

/// An entry's name as the object; the root has none.
fn entry(name: &[u8]) -> Object {
    let name = text::trim(name);
    if name.is_empty() {
        return Object::None;
    }
    Object::Text(text::utf8(name.get(..name.len().min(ENTRY)).unwrap_or(name)))
}

/// What a server says of itself in the entry without a name.
fn root_dse(input: &Input<'_>, content: &[u8], out: &mut Out) {
    let mut cursor = Cursor::new(content);
    if ber::expect(&mut cursor, OCTETS, true) != Some(&[]) {
        return;
    }
    let mut attributes = Cursor::new(ber::expect(&mut cursor, SEQUENCE, true).unwrap_or_default());
    for _ in 0..64 {
        let Some(attribute) = ber::expect(&mut attributes, SEQUENCE, true) else { return };
        let mut parts = Cursor::new(attribute);
        let (Some(name), Some((_, values))) =
            (ber::expect(&mut parts, OCTETS, true), ber::element(&mut parts, true))
        else {
            return;
        };
        let attribute = match name.to_ascii_lowercase().as_slice() {
            b"dnshostname" => "dns_name",
            b"defaultnamingcontext" => "ldap_naming_context",
            b"vendorname" => "ldap_vendor",
            b"vendorversion" => "ldap_version",
            _ => continue,
        };
        if let Some(value) = ber::expect(&mut Cursor::new(values), OCTETS, true) {
            let value = text::trim(value.get(..value.len().min(ENTRY)).unwrap_or(value));
            let told_in = (NAME, "root-dse");
            out.claim(input.own_claim(told_in, attribute, text::utf8(value), value, Decode::Utf8));
        }
    }
}

fn operation(
    input: &Input<'_>,
    sender: Side,
    tag: u8,
    (name, action): (&'static str, Action),
    all: &[u8],
) -> Operation {
    Operation {
        code: Some(u32::from(tag & 0x1f)),
        // A bind's password stands behind its head.
        ..input.operation(NAME, sender, (name, action), all.get(..all.len().min(9)).unwrap_or(all))
    }
}

impl Session for Ldap {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.transport == Transport::Udp {
            let mut rest = input.bytes;
            while let Some(length) = ber::whole_length(rest).filter(|length| *length > 2) {
                let all = rest.get(..length).unwrap_or(rest);
                let Some(message) = message(all) else { break };
                out.layer(NAME, input.side);
                self.read_message(input, all, &message, out);
                rest = rest.get(length..).unwrap_or_default();
            }
            return input.bytes.len();
        }
        if input.after_gap {
            *self.direction(input.side) = Direction::default();
        }
        let mut used = self.direction(input.side).skip.min(input.bytes.len());
        self.direction(input.side).skip -= used;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            let wrapped = rest.first() == Some(&0) && self.may_be_wrapped;
            let length = if wrapped {
                // SASL: four bytes of length, then what is signed or encrypted.
                let Some(length) = rest.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
                else {
                    break;
                };
                4 + length as usize
            } else if rest.first() == Some(&SEQUENCE) {
                match ber::whole_length(rest) {
                    Some(length) => length,
                    None if rest.len() < 6 => break,
                    None => 0,
                }
            } else {
                0
            };
            let read = if length > WHOLE { HEAD } else { length };
            if wrapped {
                self.encrypted(out);
            } else {
                if length > 0 && rest.len() < read {
                    break;
                }
                let all = rest.get(..read).unwrap_or_default();
                let Some(message) = message(all) else {
                    if std::mem::take(&mut self.direction(input.side).synchronised) {
                        out.push(input.violation(NAME, "ldap-ber", rest.get(..8).unwrap_or(rest)));
                    }
                    used = input.bytes.len();
                    break;
                };
                self.direction(input.side).synchronised = true;
                self.read_message(input, all, &message, out);
            }
            let there = length.min(rest.len());
            self.direction(input.side).skip = length - there;
            used += there;
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for waiting in self.pending.drain() {
            out.operation(waiting.operation);
        }
    }

    fn stream_cap(&self) -> usize {
        WHOLE + 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ber_tags::encode;
    use crate::ntlm::messages::{authenticate, challenge};
    use crate::testing::{self, events};

    fn envelope(id: u8, operation: Vec<u8>) -> Vec<u8> {
        encode(SEQUENCE, &[encode(INTEGER, &[id]), operation].concat())
    }

    fn bind(id: u8, name: &str, authentication: Vec<u8>) -> Vec<u8> {
        let parts = [encode(INTEGER, &[3]), encode(OCTETS, name.as_bytes()), authentication];
        envelope(id, encode(BIND_REQUEST, &parts.concat()))
    }

    fn sasl(token: &[u8]) -> Vec<u8> {
        encode(SASL, &[encode(OCTETS, b"GSS-SPNEGO"), encode(OCTETS, token)].concat())
    }

    fn result(id: u8, tag: u8, code: u8, token: &[u8]) -> Vec<u8> {
        let mut parts =
            [encode(ENUMERATED, &[code]), encode(OCTETS, b""), encode(OCTETS, b"")].concat();
        if !token.is_empty() {
            parts.extend(encode(SERVER_CREDENTIALS, token));
        }
        envelope(id, encode(tag, &parts))
    }

    fn search(id: u8, base: &str) -> Vec<u8> {
        let parts = [
            encode(OCTETS, base.as_bytes()),
            encode(ENUMERATED, &[2]),
            encode(ENUMERATED, &[0]),
            encode(INTEGER, &[0]),
            encode(INTEGER, &[0]),
            encode(1, &[0]),
            encode(0x87, b"objectClass"),
            encode(SEQUENCE, b""),
        ];
        envelope(id, encode(SEARCH_REQUEST, &parts.concat()))
    }

    fn root() -> Vec<u8> {
        let host = encode(0x31, &encode(OCTETS, b"dc1.plant.example"));
        let attribute = encode(SEQUENCE, &[encode(OCTETS, b"dnsHostName"), host].concat());
        let parts = [encode(OCTETS, b""), encode(SEQUENCE, &attribute)].concat();
        envelope(2, encode(SEARCH_ENTRY, &parts))
    }

    fn items(talk: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &talk)
    }

    #[test]
    fn a_simple_bind_shows_a_password_that_is_not_kept() {
        let talk = [
            (Side::A, bind(1, "cn=eve", encode(SIMPLE, b"secret"))),
            (Side::B, result(1, BIND_RESPONSE, 49, b"")),
        ];
        let said = items(&talk);
        let kinds: Vec<_> = events(&said).iter().map(|event| event.kind).collect();
        assert_eq!(vec!["cleartext-credentials", "login-failed"], kinds);
        assert_eq!(
            vec![
                ("mechanism", "simple".into()),
                ("reason", "invalid-credentials".into()),
                ("user", "cn=eve".into()),
            ],
            events(&said)[1].values
        );
        assert!(!format!("{said:?}").contains("secret"));
        for item in &said {
            if let Item::Operation(operation) = item {
                assert!(operation.evidence.iter().all(|span| span.length < 10));
            }
        }
    }

    #[test]
    fn searches_name_their_base_and_the_root_names_the_server() {
        let talk = [
            (Side::A, bind(1, "", encode(SIMPLE, b""))),
            (Side::B, result(1, BIND_RESPONSE, 0, b"")),
            (Side::A, search(2, "")),
            (Side::B, root()),
            (Side::B, result(2, 0x65, 0, b"")),
            (Side::A, search(3, "dc=plant")),
            (Side::B, result(3, 0x65, 32, b"")),
            (Side::A, envelope(4, encode(DELETE_REQUEST, b"cn=x"))),
            (Side::A, envelope(5, encode(UNBIND_REQUEST, b""))),
        ];
        let said = items(&talk);
        let operations: Vec<_> = said
            .iter()
            .filter_map(|item| match item {
                Item::Operation(op) => Some((op.name, op.code, op.object.to_text(), op.outcome)),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![
                ("bind", Some(0), "".into(), Outcome::Ok),
                ("search", Some(3), "".into(), Outcome::Ok),
                ("search", Some(3), "dc=plant".into(), Outcome::Error),
                ("unbind", Some(2), "".into(), Outcome::None),
                ("delete", Some(10), "cn=x".into(), Outcome::Unseen),
            ],
            operations
        );
        assert_eq!(("mechanism", "anonymous".into()), events(&said)[0].values[0]);
        assert!(said.iter().any(|item| matches!(item, Item::Claim(claim)
            if claim.attribute == "dns_name" && claim.value == "dc1.plant.example")));
        let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn a_sasl_bind_names_both_and_what_follows_is_wrapped() {
        let talk = [
            (Side::A, bind(1, "", sasl(b"NTLMSSP\0\x01\0\0\0\x01\0\0\0"))),
            (Side::B, result(1, BIND_RESPONSE, 14, &challenge("DC1", "PLANT"))),
            (Side::A, bind(2, "", sasl(&authenticate("eve", "PLANT", "ES1")))),
            (Side::B, result(2, BIND_RESPONSE, 0, b"")),
            (Side::A, vec![0, 0, 0, 3, 7, 7, 7]),
            (Side::B, vec![0, 0, 0, 3, 7, 7, 7]),
        ];
        let said = items(&talk);
        let [login] = events(&said)[..] else { panic!("one event") };
        assert!(login.values.contains(&("user", "eve".into())));
        assert!(login.values.contains(&("mechanism", "GSS-SPNEGO".into())));
        assert!(said.contains(&Item::NotDecoded(NAME, "encrypted")));
        assert!(said.iter().any(|item| matches!(item, Item::Claim(claim)
            if claim.attribute == "name" && claim.value == "DC1")));
        let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn something_else_where_a_message_must_start_is_a_violation() {
        let talk = [(Side::A, search(2, "dc=plant")), (Side::A, b"GET / HTTP/1.1\r\n".to_vec())];
        assert!(items(&talk).iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "ldap-ber")));
    }

    #[test]
    fn large_messages_are_read_at_their_head_and_skipped() {
        let entry = [encode(OCTETS, b"cn=photo"), encode(SEQUENCE, &[7; 40_000])].concat();
        let talk = [
            (Side::A, search(2, "dc=plant")),
            (Side::B, envelope(2, encode(SEARCH_ENTRY, &entry))),
            (Side::B, result(2, 0x65, 0, b"")),
        ];
        assert!(items(&talk).iter().any(|item| matches!(item, Item::Operation(op)
            if op.name == "search" && op.outcome == Outcome::Ok)));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let ask = search(2, "dc=plant");
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &ask)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &ask[..5])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"0 is a digit")));
        // SNMP version 2c: an octet string where an operation must stand.
        let snmp = [0x30, 11, 2, 1, 1, 4, 1, b'p', 0xa0, 3, 2, 1, 1];
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &snmp)));
    }
}
