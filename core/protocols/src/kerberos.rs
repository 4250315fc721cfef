//! Kerberos 5 between clients and key distribution centres, over UDP and TCP.
//!
//! Sources: RFC 4120 §5.4 (KDC requests and replies), §5.2.2 (principal names), §5.2.5 (host
//! addresses), §5.9.1 (errors), §7.2.1 (UDP), §7.2.2 (TCP: a length of four bytes), §7.5.9 (error
//! codes), §5.10 (application tags); X.690 ([`crate::ber_tags`]).
//!
//! The code is the message type; the object is the service a ticket is asked for. An AS-REP is the
//! event `login`, a KRB-ERROR to an AS-REQ `login-failed` with its reason, except the two that only
//! ask for the next step. The account of a machine (`WS1$`) names the machine.
//!
//! Violations: `kerberos-der` (an application tag of Kerberos around something else).
//!
//! Not decoded: what is encrypted (tickets, pre-authentication), which is never kept; changes of
//! passwords (port 464); AP, SAFE, PRIV and CRED messages beyond their type.

use compact_str::{CompactString, format_compact};
use otic_wire::Cursor;

use crate::ber_tags::{self as ber, INTEGER, SEQUENCE};
use crate::out::{
    Action, Child, Claim, Confidence, Decode, Event, Item, Object, Operation, Out, Outcome, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// Kerberos.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "Kerberos",
    roles: ("client", "key distribution centre"),
    carriers: &[Carrier::Tcp(&[88]), Carrier::Udp(&[88])],
    dissector: Dissector::Built { probe, session: || Box::new(Kerberos::default()) },
    source: "RFC 4120",
};

const NAME: &str = "kerberos";
/// Largest message read; tickets with many groups are large.
const MESSAGE: usize = 64 * 1024;

/// Longest part of a name that is written out.
const PART: usize = 256;

const AS_REQ: u8 = 10;
const AS_REP: u8 = 11;
const TGS_REQ: u8 = 12;
const TGS_REP: u8 = 13;
const KRB_ERROR: u8 = 30;

/// Error codes that ask for the next step of the same log-in: pre-authentication, TCP.
const PREAUTH_REQUIRED: i64 = 25;
const RESPONSE_TOO_BIG: i64 = 52;

/// Type of a NetBIOS address (§7.5.3).
const NETBIOS: i64 = 20;

const fn operation_of(kind: u8) -> (&'static str, Action) {
    match kind {
        AS_REQ => ("as-req", Action::Authenticate),
        TGS_REQ => ("tgs-req", Action::Authenticate),
        14 => ("ap-req", Action::Authenticate),
        _ => ("unknown", Action::Authenticate),
    }
}

/// Names of the errors that log-ins end with (§7.5.9).
fn reason(code: i64) -> CompactString {
    match code {
        6 => "client-principal-unknown",
        7 => "server-principal-unknown",
        9 => "null-key",
        12 => "policy",
        14 => "encryption-type-not-supported",
        18 => "client-revoked",
        23 => "key-expired",
        24 => "preauthentication-failed",
        31 => "bad-integrity",
        32 => "ticket-expired",
        34 => "replay",
        37 => "clock-skew",
        41 => "message-modified",
        60 => "generic",
        68 => "wrong-realm",
        _ => return format_compact!("{code}"),
    }
    .into()
}

/// The message at the front of a datagram: its type and the fields of its sequence. `cut` takes
/// what is left where the capture ended.
fn message(bytes: &[u8], cut: bool) -> Option<(u8, &[u8])> {
    let mut cursor = Cursor::new(bytes);
    let (tag, content) = ber::element(&mut cursor, cut)?;
    let kind = tag & 0x1f;
    if tag & 0xe0 != 0x60 || !matches!(kind, AS_REQ..=15 | 20..=22 | KRB_ERROR) {
        return None;
    }
    let fields = ber::expect(&mut Cursor::new(content), SEQUENCE, cut)?;
    // pvno 5 stands first: [1] in requests, [0] elsewhere.
    let (_, version) = ber::element(&mut Cursor::new(fields), cut)?;
    let version = ber::expect(&mut Cursor::new(version), INTEGER, cut).and_then(ber::integer);
    (version == Some(5)).then_some((kind, fields))
}

/// A field of a sequence by its context tag: the element inside, its content.
fn field(fields: &[u8], number: u8) -> Option<&[u8]> {
    let inner = ber::find(fields, 0xa0 | number)?;
    ber::element(&mut Cursor::new(inner), true).map(|(_, content)| content)
}

fn number(fields: &[u8], wanted: u8) -> Option<i64> {
    field(fields, wanted).and_then(ber::integer)
}

/// The parts of a PrincipalName (§5.2.2).
fn principal(content: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let Some(names) = field(content, 1) else { return parts };
    let mut cursor = Cursor::new(names);
    while parts.len() < 8
        && let Some((_, part)) = ber::element(&mut cursor, true)
    {
        parts.push(part);
    }
    parts
}

/// A realm, or a part of a name.
fn text(part: &[u8]) -> CompactString {
    let part = text::trim(part);
    text::utf8(part.get(..part.len().min(PART)).unwrap_or(part))
}

fn joined(parts: &[&[u8]]) -> CompactString {
    let mut name = CompactString::default();
    for part in parts {
        if !name.is_empty() {
            name.push('/');
        }
        name.push_str(&text(part));
    }
    name
}

/// Length of the message and where it starts: four bytes of length in front with TCP.
fn framed(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    // The top bit is reserved (§7.2.2).
    (16..=MESSAGE).contains(&length).then_some(length)
}

fn probe(input: &Input<'_>) -> Probe {
    if input.transport == Transport::Udp {
        return match message(input.bytes, input.truncated) {
            Some(_) => Probe::Certain,
            None => Probe::No,
        };
    }
    if input.bytes.len() < 4 {
        return if input.bytes.iter().take(2).all(|byte| *byte == 0) {
            Probe::More
        } else {
            Probe::No
        };
    }
    let Some(length) = framed(input.bytes) else { return Probe::No };
    let body = input.bytes.get(4..).unwrap_or_default();
    let tag = body.first().copied();
    match tag {
        None => Probe::More,
        Some(0x6a..=0x6f | 0x74..=0x76 | 0x7e) => match ber::whole_length(body) {
            None if body.len() < 6 => Probe::More,
            Some(whole) if whole == length => {
                if message(body, true).is_some() {
                    Probe::Certain
                } else if body.len() < 24 {
                    Probe::More
                } else {
                    Probe::No
                }
            }
            _ => Probe::No,
        },
        Some(_) => Probe::No,
    }
}

/// A request that waits: its operation, who asks and of which realm.
struct Waiting {
    operation: Box<Operation>,
    user: CompactString,
    realm: CompactString,
}

/// A flow that carries Kerberos.
struct Kerberos {
    pending: Pending<(u8, Side), Waiting>,
    client_told: bool,
}

impl Default for Kerberos {
    fn default() -> Self {
        Self { pending: Pending::new(32), client_told: false }
    }
}

impl Kerberos {
    fn read_message(&mut self, input: &Input<'_>, bytes: &[u8], out: &mut Out) {
        let Some((kind, fields)) = message(bytes, input.truncated) else {
            if !input.truncated {
                out.push(input.violation(NAME, "kerberos-der", bytes));
            }
            return;
        };
        let is_request = matches!(kind, AS_REQ | TGS_REQ);
        let is_reply = matches!(kind, AS_REP | TGS_REP | KRB_ERROR);
        if is_request || is_reply {
            let client = if is_request { input.side } else { input.side.other() };
            if !std::mem::replace(&mut self.client_told, true) {
                out.push(Item::Client(client));
            }
        }
        match kind {
            AS_REQ | TGS_REQ => self.request(input, kind, fields, bytes, out),
            AS_REP | TGS_REP => self.reply(input, kind - 1, fields, bytes, out),
            KRB_ERROR => self.error(input, fields, bytes, out),
            _ => {}
        }
    }

    /// KDC-REQ-BODY (§5.4.1): cname [1], realm [2], sname [3], addresses [9].
    fn request(&mut self, input: &Input<'_>, kind: u8, fields: &[u8], all: &[u8], out: &mut Out) {
        let body = field(fields, 4).unwrap_or_default();
        let realm = field(body, 2).map(text).unwrap_or_default();
        let user = field(body, 1).map(principal).unwrap_or_default();
        let service = field(body, 3).map(principal).unwrap_or_default();
        if let Some(account) = user.first().filter(|_| kind == AS_REQ) {
            machine(input, account, "as-req", out);
        }
        netbios(input, field(body, 9).unwrap_or_default(), out);
        let service = joined(&service);
        let operation = Operation {
            object: if service.is_empty() { Object::None } else { Object::Text(service) },
            ..operation(input, kind, input.side, all)
        };
        let waiting = Waiting { operation: Box::new(operation), user: joined(&user), realm };
        if let Some(oldest) = self.pending.insert((kind, input.side), waiting) {
            out.operation(oldest.operation);
        }
    }

    /// KDC-REP (§5.4.2): crealm [3], cname [4].
    fn reply(&mut self, input: &Input<'_>, asked: u8, fields: &[u8], all: &[u8], out: &mut Out) {
        let client = input.side.other();
        match self.pending.take(&(asked, client)) {
            Some(mut waiting) => {
                waiting.operation.outcome = Outcome::Ok;
                out.operation(waiting.operation);
            }
            None => {
                let mut unseen = operation(input, asked, client, all);
                unseen.outcome = Outcome::Ok;
                out.unpaired(unseen);
            }
        }
        if asked == AS_REQ {
            let user = field(fields, 4).map(principal).unwrap_or_default();
            let realm = field(fields, 3).map(text).unwrap_or_default();
            let part = user.first().copied().unwrap_or(all);
            out.push(event("login", client, joined(&user), realm, None, input, part));
        }
    }

    /// KRB-ERROR (§5.9.1): error-code [6], crealm [7], cname [8], realm [9], sname [10].
    fn error(&mut self, input: &Input<'_>, fields: &[u8], all: &[u8], out: &mut Out) {
        let client = input.side.other();
        let Some(code) = number(fields, 6) else { return };
        let goes_on = matches!(code, PREAUTH_REQUIRED | RESPONSE_TOO_BIG);
        // An error does not say which request it answers: mostly there is one.
        let waiting = [AS_REQ, TGS_REQ]
            .into_iter()
            .find_map(|kind| Some((kind, self.pending.take(&(kind, client))?)));
        let Some((kind, mut waiting)) = waiting else { return };
        waiting.operation.outcome = if goes_on { Outcome::Ok } else { Outcome::Error };
        out.operation(waiting.operation);
        if kind != AS_REQ || goes_on {
            return;
        }
        let part = field(fields, 6).unwrap_or(all);
        let reason = Some(reason(code));
        let (user, realm) = (waiting.user, waiting.realm);
        out.push(event("login-failed", client, user, realm, reason, input, part));
    }
}

fn event(
    kind: &'static str,
    sender: Side,
    user: CompactString,
    realm: CompactString,
    reason: Option<CompactString>,
    input: &Input<'_>,
    part: &[u8],
) -> Item {
    let mut values = vec![
        ("domain", realm),
        ("mechanism", "kerberos".into()),
        ("reason", reason.unwrap_or_default()),
        ("user", user),
    ];
    values.retain(|(_, value)| !value.is_empty());
    let evidence = input.locate(part);
    Item::Event(Event { kind, protocol: NAME, sender, values, evidence })
}

/// The account `WS1$` is that of the machine WS1 ([MS-KILE] §3.3.5.1.1); some send it with a realm.
fn machine(input: &Input<'_>, account: &[u8], message: &'static str, out: &mut Out) {
    let Some(at) = memchr::memchr(b'$', account) else { return };
    let name = account.get(..at.min(PART)).unwrap_or_default();
    out.claim(Claim {
        who: Who::Sender(Child::None),
        attribute: "name",
        value: text::utf8(name),
        protocol: NAME,
        message,
        confidence: Confidence::Medium,
        evidence: input.evidence(name, Decode::Utf8),
    });
}

/// HostAddresses: a NetBIOS name of 16 bytes is the client's own.
fn netbios(input: &Input<'_>, addresses: &[u8], out: &mut Out) {
    let mut cursor = Cursor::new(addresses);
    for _ in 0..8 {
        let Some(address) = ber::expect(&mut cursor, SEQUENCE, true) else { return };
        if number(address, 0) == Some(NETBIOS)
            && let Some(name) = field(address, 1)
        {
            let name = text::trim(name.get(..name.len().min(15)).unwrap_or_default());
            out.claim(input.own_text((NAME, "host-address"), "name", name));
        }
    }
}

fn operation(input: &Input<'_>, kind: u8, sender: Side, all: &[u8]) -> Operation {
    let (name, action) = operation_of(kind);
    Operation {
        code: Some(u32::from(kind)),
        // Behind the head stands what is encrypted.
        ..input.operation(NAME, sender, (name, action), all.get(..all.len().min(16)).unwrap_or(all))
    }
}

impl Session for Kerberos {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.transport == Transport::Udp {
            if message(input.bytes, input.truncated).is_some() {
                out.layer(NAME, input.side);
            }
            self.read_message(input, input.bytes, out);
            return input.bytes.len();
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            if rest.len() < 4 {
                break;
            }
            let Some(length) = framed(rest) else {
                used = input.bytes.len();
                break;
            };
            let Some(body) = rest.get(4..4 + length) else { break };
            self.read_message(input, body, out);
            used += 4 + length;
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
        MESSAGE + 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ber_tags::encode;
    use crate::testing::{self, events};

    fn context(number: u8, content: &[u8]) -> Vec<u8> {
        encode(0xa0 | number, content)
    }

    fn int(value: u8) -> Vec<u8> {
        encode(INTEGER, &[value])
    }

    fn text(value: &str) -> Vec<u8> {
        encode(0x1b, value.as_bytes())
    }

    fn name(parts: &[&str]) -> Vec<u8> {
        let parts: Vec<u8> = parts.iter().flat_map(|part| text(part)).collect();
        let fields = [context(0, &int(1)), context(1, &encode(SEQUENCE, &parts))].concat();
        encode(SEQUENCE, &fields)
    }

    fn framed(message: Vec<u8>) -> Vec<u8> {
        [&(message.len() as u32).to_be_bytes()[..], &message].concat()
    }

    fn request(kind: u8, user: &str, service: &[&str]) -> Vec<u8> {
        let mut address = b"WS1".to_vec();
        address.resize(16, b' ');
        let address = [context(0, &int(20)), context(1, &encode(4, &address))].concat();
        let body = [
            context(0, &encode(3, &[0, 0x40, 0, 0, 0])),
            context(1, &name(&[user])),
            context(2, &text("PLANT")),
            context(3, &name(service)),
            context(9, &encode(SEQUENCE, &encode(SEQUENCE, &address))),
        ]
        .concat();
        let fields =
            [context(1, &int(5)), context(2, &int(kind)), context(4, &encode(SEQUENCE, &body))];
        framed(encode(0x60 | kind, &encode(SEQUENCE, &fields.concat())))
    }

    fn reply(kind: u8, user: &str) -> Vec<u8> {
        let fields = [
            context(0, &int(5)),
            context(1, &int(kind)),
            context(3, &text("PLANT")),
            context(4, &name(&[user])),
            context(5, &[0xee; 200]),
        ];
        framed(encode(0x60 | kind, &encode(SEQUENCE, &fields.concat())))
    }

    fn error(code: u8) -> Vec<u8> {
        let fields = [context(0, &int(5)), context(1, &int(30)), context(6, &int(code))];
        framed(encode(0x7e, &encode(SEQUENCE, &fields.concat())))
    }

    fn items(talk: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &talk)
    }

    #[test]
    fn a_log_in_names_user_and_realm() {
        let talk = [
            (Side::A, request(AS_REQ, "eve", &["krbtgt", "PLANT"])),
            (Side::B, error(25)),
            (Side::A, request(AS_REQ, "eve", &["krbtgt", "PLANT"])),
            (Side::B, reply(AS_REP, "eve")),
            (Side::A, request(TGS_REQ, "eve", &["cifs", "srv.plant"])),
            (Side::B, reply(TGS_REP, "eve")),
        ];
        let said = items(&talk);
        let [login] = events(&said)[..] else { panic!("one event") };
        assert_eq!("login", login.kind);
        assert_eq!(
            vec![
                ("domain", "PLANT".into()),
                ("mechanism", "kerberos".into()),
                ("user", "eve".into())
            ],
            login.values
        );
        let operations: Vec<_> = said
            .iter()
            .filter_map(|item| match item {
                Item::Operation(op) => Some((op.name, op.object.to_text(), op.outcome)),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![
                ("as-req", "krbtgt/PLANT".into(), Outcome::Ok),
                ("as-req", "krbtgt/PLANT".into(), Outcome::Ok),
                ("tgs-req", "cifs/srv.plant".into(), Outcome::Ok),
            ],
            operations
        );
        let talk: Vec<_> = talk.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn a_refused_log_in_says_why() {
        let talk = [(Side::A, request(AS_REQ, "eve", &["krbtgt", "PLANT"])), (Side::B, error(24))];
        let said = items(&talk);
        let [login] = events(&said)[..] else { panic!("one event") };
        assert_eq!("login-failed", login.kind);
        assert!(login.values.contains(&("reason", "preauthentication-failed".into())));
        assert!(login.values.contains(&("user", "eve".into())));
    }

    #[test]
    fn a_machine_account_names_the_machine() {
        let said = items(&[(Side::A, request(AS_REQ, "WS7$", &["krbtgt", "PLANT"]))]);
        let names: Vec<_> = said
            .iter()
            .filter_map(|item| match item {
                Item::Claim(claim) => Some((claim.message, claim.value.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(vec![("as-req", "WS7"), ("host-address", "WS1")], names);
    }

    #[test]
    fn datagrams_have_no_length_in_front() {
        let udp = Protocol { carriers: &[Carrier::Udp(&[88])], ..PROTOCOL };
        let ask = request(AS_REQ, "eve", &["krbtgt", "PLANT"]);
        let answer = error(6);
        let talk = [(Side::A, &ask[4..]), (Side::B, &answer[4..])];
        let said = testing::items(&udp, &talk);
        assert_eq!("login-failed", events(&said)[0].kind);
        assert_eq!(Probe::Certain, testing::probe(&udp, talk[0]));
        testing::survives(&udp, &talk);
    }

    #[test]
    fn something_else_in_a_message_is_a_violation() {
        let broken =
            framed(encode(0x6a, &encode(SEQUENCE, &context(1, &[int(4), vec![0; 40]].concat()))));
        assert!(items(&[(Side::A, broken)]).iter().any(|item| matches!(item, Item::Violation(v)
            if v.rule == "kerberos-der")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let ask = request(AS_REQ, "eve", &["krbtgt", "PLANT"]);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &ask)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &ask[..4])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n")));
        let modbus = [0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &modbus)));
    }
}
