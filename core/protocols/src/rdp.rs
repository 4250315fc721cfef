//! RDP over TCP, up to where encryption starts.
//!
//! Sources: [MS-RDPBCGR] §2.2.1.1 (X.224 connection request: cookie, RDP_NEG_REQ), §2.2.1.2
//! (connection confirm: RDP_NEG_RSP, RDP_NEG_FAILURE), §2.2.1.3 and §2.2.1.4 (MCS connect with the
//! client's and server's data blocks), §2.2.1.11 (client info), §2.2.8.1.1.2.1 (security header),
//! §2.2.9.1.2 (fast-path); T.125 §11 (MCS); RFC 1006 and X.224 ([`crate::iso_transport`]).
//!
//! The connection request is an operation; its answer is the event `remote-session` with the user of
//! the cookie and the security that was chosen. With TLS the TLS dissector takes the flow over.
//!
//! Not decoded: what follows the connection sequence; RDP over UDP. A client info in clear is
//! reported with its user; its password is never kept.

use compact_str::{CompactString, ToCompactString};

use crate::fields::{array_at, part_at, u8_at, u16_at, u32_at};
use crate::iso_transport::{self, Front, Kind, Tpdu};
use crate::out::{Action, Decode, Event, Item, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// RDP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "RDP",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[3389])],
    dissector: Dissector::Built { probe, session: || Box::new(Rdp::default()) },
    source: "[MS-RDPBCGR], T.125, RFC 1006",
};

const NAME: &str = "rdp";

const COOKIE: &[u8] = b"Cookie: ";
const USER: &[u8] = b"mstshash=";

const NEGOTIATION_REQUEST: u8 = 1;
const NEGOTIATION_RESPONSE: u8 = 2;
const NEGOTIATION_FAILURE: u8 = 3;

/// Key of the GCC user data that clients send, and that servers send (T.124, "Duca" and "McDn").
const CLIENT_DATA: &[u8] = b"Duca";
const SERVER_DATA: &[u8] = b"McDn";
const CS_CORE: u16 = 0xc001;
const SC_SECURITY: u16 = 0x0c02;

/// MCS Connect-Initial and Connect-Response are BER (T.125 §11.1), the rest is PER.
const CONNECT_INITIAL: [u8; 2] = [0x7f, 0x65];
const CONNECT_RESPONSE: [u8; 2] = [0x7f, 0x66];
const SEND_DATA_REQUEST: u8 = 0x64;
const SEC_INFO_PACKET: u16 = 0x40;
const INFO_UNICODE: u32 = 0x10;

/// Security protocols of the negotiation (§2.2.1.2.1).
const fn security(selected: u32) -> &'static str {
    match selected {
        0 => "rdp",
        1 => "tls",
        2 => "credssp",
        4 => "rdstls",
        8 => "credssp-extended",
        16 => "rdsaad",
        _ => "unknown",
    }
}

/// Failure codes (§2.2.1.2.2).
const fn failure(code: u32) -> &'static str {
    match code {
        1 => "ssl-required-by-server",
        2 => "ssl-not-allowed-by-server",
        3 => "ssl-cert-not-on-server",
        4 => "inconsistent-flags",
        5 => "hybrid-required-by-server",
        6 => "ssl-with-user-auth-required-by-server",
        _ => "unknown",
    }
}

/// Encryption methods of standard security (§2.2.1.4.3).
const fn encryption(method: u32) -> &'static str {
    match method {
        0 => "none",
        1 => "40-bit",
        2 => "128-bit",
        8 => "56-bit",
        16 => "fips",
        _ => "unknown",
    }
}

/// The user a cookie names; empty for a routing token or none.
fn cookie(parameters: &[u8]) -> &[u8] {
    let Some(rest) = parameters.strip_prefix(COOKIE) else { return &[] };
    let line = rest.split(|byte| *byte == b'\r').next().unwrap_or_default();
    line.strip_prefix(USER).map(text::trim).unwrap_or_default()
}

/// Type and value of a negotiation structure at the end of the header: type, flags, length 8, value.
fn negotiation(parameters: &[u8]) -> Option<(u8, u32)> {
    let tail = parameters.len().checked_sub(8).and_then(|at| parameters.get(at..))?;
    match *tail.first_chunk::<4>()? {
        [kind @ NEGOTIATION_REQUEST..=NEGOTIATION_FAILURE, _, 8, 0] => {
            Some((kind, u32_at(tail, 4)?))
        }
        _ => None,
    }
}

fn probe(input: &Input<'_>) -> Probe {
    match iso_transport::front(input.bytes) {
        Front::Broken => Probe::No,
        Front::Incomplete => Probe::More,
        Front::Tpdu(tpdu) => match tpdu.kind {
            Kind::ConnectionRequest | Kind::ConnectionConfirm => {
                if tpdu.parameters.starts_with(COOKIE) || negotiation(tpdu.parameters).is_some() {
                    Probe::Certain
                } else if tpdu.parameters.is_empty() {
                    Probe::Weak
                } else {
                    Probe::No
                }
            }
            Kind::Data if tpdu.data.starts_with(&CONNECT_INITIAL) => Probe::Likely,
            Kind::Data if tpdu.data.starts_with(&CONNECT_RESPONSE) => Probe::Likely,
            Kind::Data | Kind::Other => Probe::No,
        },
    }
}

/// Length of the fast-path PDU at the front (§2.2.9.1.2): action 0 in the low bits, then one or two
/// bytes of length.
fn fast_path(bytes: &[u8]) -> Option<usize> {
    let (header, first) = (u8_at(bytes, 0)?, u8_at(bytes, 1)?);
    if header & 3 != 0 {
        return Some(0);
    }
    Some(if first & 0x80 == 0 {
        usize::from(first)
    } else {
        usize::from(first & 0x7f) << 8 | usize::from(u8_at(bytes, 2)?)
    })
}

/// A flow that carries RDP.
#[derive(Default)]
struct Rdp {
    request: Option<Operation>,
    user: CompactString,
    client_told: bool,
    /// Security the server chose: what follows is in clear with `rdp` only.
    selected: Option<u32>,
    /// Standard security without encryption.
    in_clear: bool,
    said_encrypted: bool,
}

impl Rdp {
    fn tpdu(&mut self, input: &Input<'_>, tpdu: &Tpdu<'_>, out: &mut Out) {
        match tpdu.kind {
            Kind::ConnectionRequest => self.request(input, tpdu, out),
            Kind::ConnectionConfirm => self.confirm(input, tpdu, out),
            Kind::Data if tpdu.data.starts_with(&CONNECT_INITIAL) => {
                self.client(input.side, out);
                out.operation(operation(input, input.side, "connect-initial", tpdu.data));
                client_data(input, tpdu.data, out);
            }
            Kind::Data if tpdu.data.starts_with(&CONNECT_RESPONSE) => {
                self.client(input.side.other(), out);
                self.server_data(input, tpdu.data, out);
            }
            Kind::Data if tpdu.data.first() == Some(&SEND_DATA_REQUEST) => {
                self.client_info(input, tpdu.data, out);
            }
            Kind::Data | Kind::Other => {}
        }
    }

    fn client(&mut self, client: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_told, true) {
            out.push(Item::Client(client));
        }
    }

    fn request(&mut self, input: &Input<'_>, tpdu: &Tpdu<'_>, out: &mut Out) {
        self.client(input.side, out);
        self.user = text::utf8(cookie(tpdu.parameters));
        let part = if tpdu.parameters.is_empty() { input.bytes } else { tpdu.parameters };
        let mut request = operation(input, input.side, "connection-request", part);
        request.outcome = Outcome::Unseen;
        if let Some(unseen) = self.request.replace(request) {
            out.operation(unseen);
        }
    }

    fn confirm(&mut self, input: &Input<'_>, tpdu: &Tpdu<'_>, out: &mut Out) {
        let asker = input.side.other();
        self.client(asker, out);
        let (kind, value) = negotiation(tpdu.parameters).unwrap_or((NEGOTIATION_RESPONSE, 0));
        let refused = kind == NEGOTIATION_FAILURE;
        let part = if tpdu.parameters.is_empty() { input.bytes } else { tpdu.parameters };
        let outcome = if refused { Outcome::Error } else { Outcome::Ok };
        match self.request.take() {
            Some(mut request) => {
                request.outcome = outcome;
                out.operation(request);
            }
            None => {
                let mut request = operation(input, asker, "connection-request", part);
                request.outcome = outcome;
                out.unpaired(request);
            }
        }
        let (name, told) =
            if refused { ("reason", failure(value)) } else { ("security", security(value)) };
        let mut values = vec![(name, told.into())];
        if !self.user.is_empty() {
            values.push(("user", self.user.clone()));
        }
        out.push(Item::Event(Event {
            kind: if refused { "remote-session-refused" } else { "remote-session" },
            protocol: NAME,
            sender: asker,
            values,
            evidence: input.locate(part),
        }));
        self.selected = (!refused).then_some(value);
    }

    /// The server's security block: method, level.
    fn server_data(&mut self, input: &Input<'_>, data: &[u8], out: &mut Out) {
        let Some(block) = block(data, SERVER_DATA, SC_SECURITY) else { return };
        let Some(method) = u32_at(block, 4) else { return };
        // With TLS outside, the inner security is always none.
        if self.selected.unwrap_or_default() != 0 {
            return;
        }
        self.in_clear = method == 0;
        out.claim(input.own_claim(
            (NAME, "connect-response"),
            "rdp_encryption",
            encryption(method).into(),
            part_at(block, 4, 4),
            Decode::Derived,
        ));
        if !self.in_clear && !std::mem::replace(&mut self.said_encrypted, true) {
            out.push(Item::NotDecoded(NAME, "encrypted"));
        }
    }

    /// Client info in clear: MCS header, then flags, code page, flags, lengths, domain, user.
    fn client_info(&mut self, input: &Input<'_>, data: &[u8], out: &mut Out) {
        if !self.in_clear {
            return;
        }
        // choice, initiator, channel, priority, length in one or two bytes (T.125 PER)
        let at = if u8_at(data, 6).unwrap_or_default() & 0x80 == 0 { 7 } else { 8 };
        let info = data.get(at..).unwrap_or_default();
        let (Some(security), Some(flags)) = (u16_at(info, 0), u32_at(info, 8)) else { return };
        if security & SEC_INFO_PACKET == 0 || flags & INFO_UNICODE == 0 {
            return;
        }
        let length = |index: usize| usize::from(u16_at(info, 12 + 2 * index).unwrap_or_default());
        let (domain, user, password) = (length(0), length(1), length(2));
        let part = part_at(info, 22 + domain + 2, user);
        if user == 0 || password == 0 {
            return;
        }
        out.push(Item::Event(Event {
            kind: "cleartext-credentials",
            protocol: NAME,
            sender: input.side,
            values: vec![("user", text::utf16le(part))],
            evidence: input.locate(part),
        }));
    }
}

/// The data block of this type behind the GCC key: type, length, content.
fn block<'a>(data: &'a [u8], key: &[u8], wanted: u16) -> Option<&'a [u8]> {
    let at = memchr::memmem::find(data, key)? + key.len();
    // The length of the user data in one or two bytes (PER).
    let wide = usize::from(u8_at(data, at)? & 0x80 != 0);
    let mut rest = data.get(at + 1 + wide..)?;
    for _ in 0..16 {
        let (kind, length) = (u16_at(rest, 0)?, usize::from(u16_at(rest, 2)?));
        if kind == wanted {
            return Some(part_at(rest, 0, length));
        }
        rest = rest.get(length.max(4)..)?;
    }
    None
}

/// What the client says of itself (§2.2.1.3.2): build at 20, name in 32 bytes at 24.
fn client_data(input: &Input<'_>, data: &[u8], out: &mut Out) {
    const TOLD_IN: (&str, &str) = (NAME, "connect-initial");
    let Some(core) = block(data, CLIENT_DATA, CS_CORE) else { return };
    if let Some(build) = array_at::<4>(core, 20).map(u32::from_le_bytes) {
        let value = build.to_compact_string();
        let part = part_at(core, 20, 4);
        out.claim(input.own_claim(TOLD_IN, "rdp_client_build", value, part, Decode::UnsignedLe));
    }
    let name = text::trim_utf16(part_at(core, 24, 32));
    out.claim(input.own_claim(TOLD_IN, "name", text::utf16le(name), name, Decode::Utf16Le));
}

fn operation(input: &Input<'_>, sender: Side, name: &'static str, part: &[u8]) -> Operation {
    Operation {
        outcome: Outcome::None,
        ..input.operation(NAME, sender, (name, Action::Session), part)
    }
}

impl Session for Rdp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match iso_transport::front(rest) {
                Front::Tpdu(tpdu) => {
                    self.tpdu(input, &tpdu, out);
                    used += tpdu.length;
                }
                Front::Incomplete => break,
                Front::Broken => match fast_path(rest) {
                    None => break,
                    Some(length @ 3..) if length <= rest.len() => used += length,
                    Some(3..) => break,
                    // Not a start of anything: the next segment may be one.
                    Some(_) => used = input.bytes.len(),
                },
            }
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some(request) = self.request.take() {
            out.operation(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntlm::messages::utf16;
    use crate::testing::{self, events};

    /// TPKT, then CR (0xe0) or CC (0xd0) with its variable part.
    fn connect(code: u8, parameters: &[u8]) -> Vec<u8> {
        let length = parameters.len() as u8;
        let mut bytes = vec![3, 0, 0, 11 + length, 6 + length, code, 0, 0, 0, 0, 0];
        bytes.extend(parameters);
        bytes
    }

    fn request() -> Vec<u8> {
        connect(0xe0, b"Cookie: mstshash=eve\r\n\x01\0\x08\0\x03\0\0\0")
    }

    /// TPKT and DT around data.
    fn dt(data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![3, 0, 0, 0, 2, 0xf0, 0x80];
        bytes.extend(data);
        let length = (bytes.len() as u16).to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
        bytes
    }

    fn client_core() -> Vec<u8> {
        let mut core = vec![1, 0xc0, 216, 0];
        core.extend([0; 16]);
        core.extend(2600_u32.to_le_bytes());
        let mut name = utf16("ES1");
        name.resize(32, 0);
        core.extend(name);
        core.resize(216, 0);
        let mut data = vec![0x7f, 0x65, 0x82, 1, 0x90];
        data.extend(b"\0\x05\0\x14\x7c\0\x01Duca\x80\xd8");
        data.extend(core);
        dt(&data)
    }

    fn server_security(method: u8) -> Vec<u8> {
        let mut data = vec![0x7f, 0x66, 0x40];
        data.extend(b"McDn\x14");
        data.extend([1, 0x0c, 8, 0, 4, 0, 8, 0]);
        data.extend([2, 0x0c, 12, 0, method, 0, 0, 0, 0, 0, 0, 0]);
        dt(&data)
    }

    fn info() -> Vec<u8> {
        let mut data = vec![0x64, 0, 6, 3, 0xeb, 0x70, 0x40, 0x40, 0, 0, 0];
        data.extend([0, 0, 0, 0]); // code page
        data.extend([0x10, 0, 0, 0]); // Unicode
        data.extend([10, 0, 6, 0, 12, 0, 0, 0, 0, 0]);
        for text in ["PLANT", "eve", "secret", "", ""] {
            data.extend(utf16(text));
            data.extend([0, 0]);
        }
        data[6] = (data.len() - 7) as u8;
        dt(&data)
    }

    #[test]
    fn a_session_names_its_user_and_its_security() {
        let (ask, answer) = (request(), connect(0xd0, b"\x02\x1f\x08\0\x02\0\0\0"));
        let talk = [(Side::A, ask.as_slice()), (Side::B, answer.as_slice())];
        let items = testing::items(&PROTOCOL, &talk);
        let [event] = events(&items)[..] else { panic!("one event") };
        assert_eq!("remote-session", event.kind);
        assert_eq!(vec![("security", "credssp".into()), ("user", "eve".into())], event.values);
        assert!(items.iter().any(|item| matches!(item, Item::Operation(op)
            if op.name == "connection-request" && op.outcome == Outcome::Ok)));
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn a_refusal_is_no_session() {
        let (ask, answer) = (request(), connect(0xd0, b"\x03\0\x08\0\x05\0\0\0"));
        let items = testing::items(&PROTOCOL, &[(Side::A, &ask), (Side::B, &answer)]);
        let [event] = events(&items)[..] else { panic!("one event") };
        assert_eq!("remote-session-refused", event.kind);
        assert_eq!(("reason", "hybrid-required-by-server".into()), event.values[0]);
    }

    #[test]
    fn standard_security_shows_the_client_and_what_is_sent_in_clear() {
        let talk = [
            (Side::A, connect(0xe0, &[])),
            (Side::B, connect(0xd0, &[])),
            (Side::A, client_core()),
            (Side::B, server_security(0)),
            (Side::A, info()),
            (Side::B, vec![0, 5, 1, 2, 3]), // fast-path
        ];
        let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        let items = testing::items(&PROTOCOL, &talk);
        let claim = |attribute, value: &str| {
            items.iter().any(|item| {
                matches!(item, Item::Claim(claim)
                if claim.attribute == attribute && claim.value == value)
            })
        };
        assert!(claim("name", "ES1"));
        assert!(claim("rdp_client_build", "2600"));
        assert!(claim("rdp_encryption", "none"));
        let [session, clear] = events(&items)[..] else { panic!("two events") };
        assert_eq!(vec![("security", "rdp".into())], session.values);
        assert_eq!(("cleartext-credentials", "eve"), (clear.kind, clear.values[0].1.as_str()));
        assert!(!format!("{items:?}").contains("secret"));
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn encrypted_sessions_are_coverage() {
        let talk = [(Side::A, client_core()), (Side::B, server_security(2)), (Side::A, info())];
        let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        let items = testing::items(&PROTOCOL, &talk);
        assert!(items.contains(&Item::NotDecoded(NAME, "encrypted")));
        assert!(events(&items).is_empty());
    }

    #[test]
    fn the_probe_tells_rdp_from_the_other_users_of_the_transport() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &request())));
        // A call of S7comm, with TSAPs.
        let s7 = connect(0xe0, &[0xc0, 1, 10, 0xc1, 2, 1, 0, 0xc2, 2, 1, 2]);
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &s7)));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, &connect(0xe0, &[]))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n")));
    }
}
