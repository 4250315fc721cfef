//! TLS and SSL 3.0, found on any port: what is said before encryption starts.
//!
//! Sources: RFC 5246 §6.2.1 (records), §7.2 (alerts), §7.4 (handshake messages), RFC 8446 §4 and
//! §5 (TLS 1.3: same records, hello retry request = a ServerHello with a fixed random), RFC 6066 §3
//! (server name), RFC 5246 appendix E.2 (SSL 2.0 hello), "The SSL Protocol" 1995 (its records). Certificates: RFC 5246 §7.4.2.
//!
//! What the client offers is its fingerprint, the claim `tls_client_ja4` ([`ja4`]).
//!
//! A ClientHello is the operation `client-hello` on the server name it asks for; a ServerHello
//! makes it ok, a fatal alert before makes it an error. Certificates are handed on when they are in
//! clear (up to TLS 1.2). What is encrypted is used up without being kept. Extensions other than
//! the server name, key exchange and session tickets are not decoded; DTLS is another protocol.
//!
//! Violations: `tls-record` (an impossible record header where a record must start, once a flow),
//! `tls-hello` (a ClientHello whose lengths do not fit).

use compact_str::{CompactString, ToCompactString};
use otic_wire::{Cursor, Short, Spans};

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Event, Evidence, Item, Object, Operation, Out,
    Outcome, Payload, Who,
};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

pub mod ja4;

/// TLS.
pub const PROTOCOL: Protocol = Protocol {
    name: "tls",
    title: "TLS",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[443, 8443, 4911, 802, 19998, 8883, 989, 990, 993, 995, 636])],
    dissector: Dissector::Built { probe, session: || Box::new(Tls::default()) },
    source: "RFC 5246, RFC 8446, RFC 6066",
};

const HEADER_BYTES: usize = 5;
/// Largest record: 2^14 and what encryption adds (RFC 5246 §6.2.3).
const RECORD_BYTES: usize = 0x4000 + 2048;
/// Largest handshake message that is put together from records.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Most certificates handed on of one chain, and of one flow.
const CERTIFICATES: usize = 4;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;

/// Alert descriptions (RFC 5246 §7.2, RFC 8446 §6, RFC 6066, RFC 7301).
const fn alert_name(description: u8) -> &'static str {
    match description {
        0 => "close-notify",
        10 => "unexpected-message",
        20 => "bad-record-mac",
        21 => "decryption-failed",
        22 => "record-overflow",
        30 => "decompression-failure",
        40 => "handshake-failure",
        41 => "no-certificate",
        42 => "bad-certificate",
        43 => "unsupported-certificate",
        44 => "certificate-revoked",
        45 => "certificate-expired",
        46 => "certificate-unknown",
        47 => "illegal-parameter",
        48 => "unknown-ca",
        49 => "access-denied",
        50 => "decode-error",
        51 => "decrypt-error",
        60 => "export-restriction",
        70 => "protocol-version",
        71 => "insufficient-security",
        80 => "internal-error",
        86 => "inappropriate-fallback",
        90 => "user-canceled",
        100 => "no-renegotiation",
        109 => "missing-extension",
        110 => "unsupported-extension",
        111 => "certificate-unobtainable",
        112 => "unrecognized-name",
        113 => "bad-certificate-status-response",
        114 => "bad-certificate-hash-value",
        115 => "unknown-psk-identity",
        116 => "certificate-required",
        120 => "no-application-protocol",
        _ => "unknown",
    }
}

/// Content type and length of a possible record header.
fn header(bytes: &[u8]) -> Option<(u8, usize)> {
    let &[kind, 3, minor, high, low] = bytes.first_chunk::<HEADER_BYTES>()? else { return None };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let fits = (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind)
        && minor <= 4
        && length <= RECORD_BYTES
        && match kind {
            CHANGE_CIPHER_SPEC => length == 1,
            ALERT => length >= 2,
            APPLICATION_DATA => true,
            _ => length > 0,
        };
    fits.then_some((kind, length))
}

/// An SSL 2.0 ClientHello: its whole length, and whether it offers nothing newer (RFC 5246 appendix
/// E.2: length, type, version, lengths of ciphers, session id and challenge).
fn ssl2_hello(bytes: &[u8]) -> Option<(usize, bool)> {
    let &[high @ 0x80..=0xff, low, 1, major, minor, ciphers @ .., a, b, c, d] =
        bytes.first_chunk::<11>()?
    else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([high & 0x7f, low]));
    let ciphers = usize::from(u16::from_be_bytes(ciphers));
    let session = usize::from(u16::from_be_bytes([a, b]));
    let challenge = usize::from(u16::from_be_bytes([c, d]));
    let fits = matches!((major, minor), (0, 2) | (3, 0..=4))
        && ciphers > 0
        && ciphers.is_multiple_of(3)
        && matches!(session, 0 | 16)
        && (16..=32).contains(&challenge)
        && length == 9 + ciphers + session + challenge;
    fits.then_some((length + 2, major == 0))
}

fn probe(input: &Input<'_>) -> Probe {
    let bytes = input.bytes;
    if bytes.len() < 11 {
        let may_be = match bytes {
            [] => true,
            [0x80..=0xff, ..] => bytes.len() < 3 || matches!(bytes, [_, _, 1, ..]),
            [CHANGE_CIPHER_SPEC..=HEARTBEAT] => true,
            [CHANGE_CIPHER_SPEC..=HEARTBEAT, 3, rest @ ..] => {
                rest.first().is_none_or(|minor| *minor <= 4)
            }
            _ => false,
        };
        if let Some((kind, length)) = header(bytes)
            && bytes.len() == HEADER_BYTES + length
            && kind != HANDSHAKE
        {
            return Probe::Likely;
        }
        return if may_be { Probe::More } else { Probe::No };
    }
    if ssl2_hello(bytes).is_some() {
        return Probe::Likely;
    }
    let Some((kind, length)) = header(bytes) else { return Probe::No };
    let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
    if let (HANDSHAKE, Some(&[message, high, middle, low])) = (kind, body.first_chunk::<4>()) {
        let inner = u32::from_be_bytes([0, high, middle, low]) as usize;
        if matches!(message, 0..=2 | 4 | 8 | 11..=16 | 20..=24) && inner < MESSAGE_BYTES {
            return if matches!(message, CLIENT_HELLO | SERVER_HELLO) {
                Probe::Certain
            } else {
                Probe::Likely
            };
        }
        // An encrypted handshake message, mid-stream.
        return Probe::Weak;
    }
    match body.get(length..) {
        // The next record follows where this one ends.
        Some([]) => Probe::Likely,
        Some(next) if next.len() < HEADER_BYTES => Probe::Likely,
        Some(next) => header(next).map_or(Probe::No, |_| Probe::Certain),
        None => Probe::Weak,
    }
}

#[derive(Default)]
struct Direction {
    /// Bytes of a record that are skipped.
    skip: usize,
    /// A record was read since the start or the last gap.
    synchronised: bool,
    /// The side has changed to encryption: its handshake messages cannot be read any more.
    encrypted: bool,
    /// Handshake bytes of records that did not end with a message.
    partial: Vec<u8>,
}

#[derive(Default)]
struct Tls {
    directions: [Direction; 2],
    hello: Option<Operation>,
    said_encrypted: bool,
    client_told: bool,
    violated: bool,
    /// The client offers SSL 2.0 only, whose records are others.
    ssl2: bool,
    certificates: usize,
}

impl Tls {
    fn direction(&mut self, side: Side) -> &mut Direction {
        side.of(&mut self.directions)
    }

    fn violation(&mut self, input: &Input<'_>, rule: &'static str, part: &[u8], out: &mut Out) {
        if !std::mem::replace(&mut self.violated, true) {
            out.push(input.violation(PROTOCOL.name, rule, part));
        }
    }

    fn not_decoded(&mut self, out: &mut Out) {
        if !std::mem::replace(&mut self.said_encrypted, true) {
            out.push(Item::NotDecoded(PROTOCOL.name, "encrypted"));
        }
    }

    /// One record or part of one; the bytes used, nothing when it needs more.
    fn step(&mut self, input: &Input<'_>, bytes: &[u8], out: &mut Out) -> Option<usize> {
        let skip = self.direction(input.side).skip.min(bytes.len());
        if skip > 0 {
            self.direction(input.side).skip -= skip;
            return Some(skip);
        }
        if bytes.len() >= 11 || !matches!(bytes, [0x80..=0xff, ..]) {
            if let Some((length, is_last)) = ssl2_hello(bytes) {
                let message = bytes.get(..length)?;
                self.ssl2 |= is_last;
                self.direction(input.side).synchronised = true;
                self.client_hello(input, message, CompactString::default(), out);
                return Some(length);
            }
        } else {
            return None;
        }
        if self.ssl2 {
            return self.ssl2_record(input, bytes, out);
        }
        if bytes.len() < HEADER_BYTES {
            return None;
        }
        let Some((kind, length)) = header(bytes) else {
            // Another protocol may have led here: what starts otherwise never was a record.
            if self.direction(input.side).synchronised {
                self.violation(input, "tls-record", bytes.get(..HEADER_BYTES)?, out);
            }
            return Some(bytes.len());
        };
        self.direction(input.side).synchronised = true;
        let encrypted = self.direction(input.side).encrypted;
        match kind {
            HANDSHAKE if !encrypted => {
                let body = bytes.get(HEADER_BYTES..HEADER_BYTES + length)?;
                self.handshake(input, body, out);
            }
            ALERT if length == 2 && !encrypted => {
                let body = bytes.get(HEADER_BYTES..HEADER_BYTES + length)?;
                self.alert(input, body, out);
            }
            CHANGE_CIPHER_SPEC => {
                bytes.get(..HEADER_BYTES + length)?;
                self.direction(input.side).encrypted = true;
                return Some(HEADER_BYTES + length);
            }
            _ => {
                self.not_decoded(out);
                self.direction(input.side).encrypted |= kind == APPLICATION_DATA;
                self.direction(input.side).skip = length;
                return Some(HEADER_BYTES);
            }
        }
        Some(HEADER_BYTES + length)
    }

    /// Two or three bytes of length, then for the server's first one type 4, SERVER-HELLO
    /// ("The SSL Protocol", Hickman 1995, §1.1 and §2.6). The rest is encrypted.
    fn ssl2_record(&mut self, input: &Input<'_>, bytes: &[u8], out: &mut Out) -> Option<usize> {
        let &[high, low, kind] = bytes.first_chunk::<3>()?;
        let (mask, header) = if high & 0x80 == 0 { (0x3f, 3) } else { (0x7f, 2) };
        let length = usize::from(u16::from_be_bytes([high & mask, low]));
        if header == 2 && kind == 4 {
            self.server_hello(input, bytes.get(..3)?, out);
        } else {
            self.not_decoded(out);
        }
        self.direction(input.side).skip = length;
        Some(header)
    }

    fn alert(&mut self, input: &Input<'_>, body: &[u8], out: &mut Out) {
        let &[level, description] = body else { return };
        if !matches!(level, 1 | 2) {
            // Not in clear after all.
            return;
        }
        if level == 2
            && let Some(mut hello) = self.hello.take()
        {
            hello.outcome = Outcome::Error;
            out.operation(hello);
        }
        if description == 0 {
            return;
        }
        out.push(Item::Event(Event {
            kind: "tls-alert",
            protocol: PROTOCOL.name,
            sender: input.side,
            values: vec![
                (
                    "description",
                    match alert_name(description) {
                        "unknown" => description.to_compact_string(),
                        name => name.into(),
                    },
                ),
                ("level", if level == 2 { "fatal" } else { "warning" }.into()),
            ],
            evidence: input.locate(body),
        }));
    }

    /// Messages of one record, and those that go over several (RFC 5246 §6.2.1).
    fn handshake(&mut self, input: &Input<'_>, body: &[u8], out: &mut Out) {
        let mut partial = std::mem::take(&mut self.direction(input.side).partial);
        if partial.is_empty() {
            let left = self.messages(input, body, out);
            partial.extend_from_slice(body.get(body.len() - left..).unwrap_or_default());
        } else {
            partial.extend_from_slice(body);
            let left = self.messages(input, &partial, out);
            partial.drain(..partial.len() - left);
        }
        if partial.len() <= MESSAGE_BYTES {
            self.direction(input.side).partial = partial;
        }
    }

    /// Reads the whole messages in `bytes`; how many bytes are left of an incomplete one.
    fn messages(&mut self, input: &Input<'_>, bytes: &[u8], out: &mut Out) -> usize {
        let mut cursor = Cursor::new(bytes);
        loop {
            let left = cursor.remaining();
            let (Ok(kind), Ok(length)) = (cursor.u8(), cursor.u24_be()) else { return left };
            let length = length as usize;
            if length > MESSAGE_BYTES || !matches!(kind, 0..=6 | 8 | 11..=16 | 20..=25 | 67) {
                // Encrypted: mid-stream the change to encryption was not seen.
                self.not_decoded(out);
                self.direction(input.side).encrypted = true;
                return 0;
            }
            let Ok(message) = cursor.take(length) else { return left };
            match kind {
                CLIENT_HELLO => match server_name(message) {
                    Ok(name) => {
                        self.client_hello(input, message, name, out);
                        client_claim(input, message, out);
                    }
                    Err(_) => self.violation(input, "tls-hello", message, out),
                },
                SERVER_HELLO => self.server_hello(input, message, out),
                CERTIFICATE => self.certificates(input, message, out),
                _ => {}
            }
        }
    }

    fn client_hello(&mut self, input: &Input<'_>, part: &[u8], name: CompactString, out: &mut Out) {
        if !std::mem::replace(&mut self.client_told, true) {
            out.push(Item::Client(input.side));
        }
        let mut hello = describe(input, input.side, part);
        if !name.is_empty() {
            hello.object = Object::Text(name);
        }
        if let Some(unseen) = self.hello.replace(hello) {
            out.operation(unseen);
        }
    }

    fn server_hello(&mut self, input: &Input<'_>, part: &[u8], out: &mut Out) {
        if let Some(mut hello) = self.hello.take_if(|hello| hello.sender != input.side) {
            hello.outcome = Outcome::Ok;
            out.operation(hello);
        } else {
            if !std::mem::replace(&mut self.client_told, true) {
                out.push(Item::Client(input.side.other()));
            }
            let mut hello = describe(input, input.side.other(), part);
            hello.outcome = Outcome::Ok;
            out.unpaired(hello);
        }
    }

    fn certificates(&mut self, input: &Input<'_>, message: &[u8], out: &mut Out) {
        let mut cursor = Cursor::new(message);
        let Ok(mut list) = cursor.u24_be().and_then(|length| cursor.sub(length as usize)) else {
            return;
        };
        while let Ok(certificate) = list.u24_be().and_then(|length| list.take(length as usize)) {
            // A DER sequence; anything else is a raw key or an OpenPGP one.
            if self.certificates >= 2 * CERTIFICATES || certificate.first() != Some(&0x30) {
                return;
            }
            self.certificates += 1;
            out.push(Item::Payload(Payload {
                protocol: PROTOCOL.name,
                kind: "x509-certificate",
                sender: input.side,
                bytes: certificate.to_vec(),
                evidence: cite(input, certificate),
            }));
        }
    }
}

/// What made the hello, by what it offers.
fn client_claim(input: &Input<'_>, message: &[u8], out: &mut Out) {
    let Ok(value) = ja4::fingerprint(message, 't') else { return };
    out.claim(Claim {
        who: Who::Sender(Child::None),
        attribute: "tls_client_ja4",
        value,
        protocol: PROTOCOL.name,
        message: "client-hello",
        confidence: Confidence::Medium,
        evidence: Evidence { spans: cite(input, message), decode: Decode::Derived },
    });
}

/// The bytes of `part`; when it was put together from several records, what the last one is in.
fn cite(input: &Input<'_>, part: &[u8]) -> Spans {
    let spans = input.locate(part);
    if spans.is_empty() { input.locate(input.bytes) } else { spans }
}

fn describe(input: &Input<'_>, sender: Side, part: &[u8]) -> Operation {
    Operation {
        protocol: PROTOCOL.name,
        connection: PROTOCOL.name,
        sender,
        code: None,
        name: "client-hello",
        action: Action::Session,
        object: Object::None,
        outcome: Outcome::Unseen,
        client_child: Child::None,
        server_child: Child::None,
        evidence: cite(input, part),
        ts_ns: input.ts_ns,
    }
}

/// The host name a ClientHello asks for; empty when it names none.
///
/// # Errors
/// [`Short`] when a length in the hello does not fit.
pub fn server_name(message: &[u8]) -> Result<CompactString, Short> {
    let mut cursor = Cursor::new(message);
    cursor.skip(2 + 32)?; // version, random
    let session = cursor.u8()?;
    cursor.skip(usize::from(session))?;
    let ciphers = cursor.u16_be()?;
    cursor.skip(usize::from(ciphers))?;
    let compressions = cursor.u8()?;
    cursor.skip(usize::from(compressions))?;
    if cursor.is_empty() {
        return Ok(CompactString::default());
    }
    let length = cursor.u16_be()?;
    let mut extensions = cursor.sub(usize::from(length))?;
    while !extensions.is_empty() {
        let kind = extensions.u16_be()?;
        let length = extensions.u16_be()?;
        let mut data = extensions.sub(usize::from(length))?;
        if kind != 0 || data.is_empty() {
            continue;
        }
        data.skip(2)?; // list length
        let name_type = data.u8()?;
        let length = data.u16_be()?;
        let name = data.take(usize::from(length))?;
        if name_type == 0 && text::is_printable(name) && name.len() < 256 {
            return Ok(text::utf8(name));
        }
    }
    Ok(CompactString::default())
}

impl Session for Tls {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            let direction = self.direction(input.side);
            direction.skip = 0;
            direction.synchronised = false;
            direction.partial.clear();
        }
        let mut used = 0;
        while let Some(bytes) = input.bytes.get(used..).filter(|bytes| !bytes.is_empty()) {
            match self.step(input, bytes, out) {
                Some(step) if step > 0 => used += step,
                _ => break,
            }
        }
        if used > 0 {
            out.layer(PROTOCOL.name, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some(unseen) = self.hello.take() {
            out.operation(unseen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 3, 1]; // content type, TLS 1.0 record
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(&(body.len() as u32).to_be_bytes()[1..]);
        bytes.extend(body);
        bytes
    }

    fn client_hello() -> Vec<u8> {
        let mut body = vec![3, 3]; // TLS 1.2
        body.extend([0x11; 32]); // random
        body.push(0); // session id
        body.extend([0, 2, 0x00, 0x2f]); // one cipher
        body.extend([1, 0]); // no compression
        body.extend([0, 16]); // extensions
        body.extend([0, 0, 0, 12]); // server name, 12 bytes
        body.extend([0, 10, 0, 0, 7]); // list, host name, 7 bytes
        body.extend(b"hmi.lan");
        record(HANDSHAKE, &message(CLIENT_HELLO, &body))
    }

    fn server_flight() -> Vec<u8> {
        let mut hello = vec![3, 3];
        hello.extend([0x22; 32]);
        hello.extend([0, 0x00, 0x2f, 0]); // no session id, cipher, no compression
        let certificate = [0x30, 3, 2, 1, 5];
        let mut list = vec![0, 0, 8, 0, 0, 5];
        list.extend(certificate);
        // The certificate message starts in the first record and ends in the second.
        let mut both = message(SERVER_HELLO, &hello);
        both.extend(message(CERTIFICATE, &list));
        let (first, second) = both.split_at(both.len() - 3);
        [record(HANDSHAKE, first), record(HANDSHAKE, second)].concat()
    }

    fn secret() -> Vec<u8> {
        [record(CHANGE_CIPHER_SPEC, &[1]), record(APPLICATION_DATA, &[0x99; 40])].concat()
    }

    #[test]
    fn a_hello_names_the_server_and_is_answered() {
        let (hello, flight, secret) = (client_hello(), server_flight(), secret());
        let talk = [(Side::A, hello.as_slice()), (Side::B, &flight), (Side::A, &secret)];
        let items = testing::items(&PROTOCOL, &talk);
        assert!(items.iter().any(|item| matches!(item, Item::Operation(o)
            if o.name == "client-hello" && o.object.to_text() == "hmi.lan"
            && o.outcome == Outcome::Ok)));
        assert!(items.iter().any(|item| matches!(item, Item::Payload(p)
            if p.kind == "x509-certificate" && p.bytes == [0x30, 3, 2, 1, 5])));
        assert!(items.iter().any(|item| matches!(item, Item::Claim(claim)
            if claim.attribute == "tls_client_ja4" && claim.value.starts_with("t12d010100_"))));
        assert!(items.contains(&Item::NotDecoded("tls", "encrypted")));
        assert!(!items.iter().any(|item| matches!(item, Item::Violation(_))));
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn a_fatal_alert_is_an_event_and_fails_the_hello() {
        let (hello, alert) = (client_hello(), record(ALERT, &[2, 40]));
        let items = testing::items(&PROTOCOL, &[(Side::A, &hello), (Side::B, &alert)]);
        assert!(
            items.iter().any(|i| matches!(i, Item::Operation(o) if o.outcome == Outcome::Error))
        );
        assert!(items.iter().any(|item| matches!(item, Item::Event(event)
            if event.values == [("description", "handshake-failure".into()), ("level", "fatal".into())])));
    }

    #[test]
    fn an_ssl_2_hello_is_a_hello() {
        let mut hello = vec![0x80, 28, 1, 3, 1]; // 28 bytes, ClientHello, TLS 1.0
        hello.extend([0, 3, 0, 0, 0, 16]); // one cipher, no session, 16 bytes of challenge
        hello.extend([0, 0, 0x2f]);
        hello.extend([7; 16]);
        let items = testing::items(&PROTOCOL, &[(Side::A, &hello)]);
        assert!(items.iter().any(|i| matches!(i, Item::Operation(o) if o.name == "client-hello")));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &hello)));
        testing::survives(&PROTOCOL, &[(Side::A, &hello)]);
    }

    #[test]
    fn a_session_of_ssl_2_alone_is_followed_by_its_lengths() {
        let mut hello = vec![0x80, 28, 1, 0, 2, 0, 3, 0, 0, 0, 16, 7, 0, 0xc0];
        hello.extend([9; 16]);
        let server = [0x80, 3, 4, 0, 1]; // SERVER-HELLO, cut short
        let secret = [0x00, 8, 7, 1, 2, 3, 4, 5, 6, 7, 8]; // padded record
        let talk = [(Side::A, hello.as_slice()), (Side::B, &server), (Side::B, &secret)];
        let items = testing::items(&PROTOCOL, &talk);
        assert!(items.iter().any(|i| matches!(i, Item::Operation(o) if o.outcome == Outcome::Ok)));
        assert!(items.contains(&Item::NotDecoded("tls", "encrypted")));
        assert!(!items.iter().any(|item| matches!(item, Item::Violation(_))));
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn records_are_recognised_at_the_start_and_in_the_middle() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &client_hello())));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &secret())));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &client_hello()[..3])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n")));
        assert_eq!(
            Probe::No,
            testing::probe(&PROTOCOL, (Side::A, &[3, 0, 0, 22, 0x11, 0xe0, 0, 0, 0, 1]))
        );
    }
}
