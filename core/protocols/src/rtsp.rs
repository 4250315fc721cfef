//! RTSP 1.0 and 2.0, over TCP.
//!
//! Sources: RFC 2326 §4 to §6 (messages), §10 (methods), §10.12 (interleaved data); RFC 7826 §13
//! (methods of version 2.0), §14 (interleaved data); RFC 2617 (Basic and Digest).
//!
//! A request and its response are one operation, paired by CSeq; its object is the address it names,
//! without user and query. Media between the messages is skipped, but named `rtp` where its packets
//! are numbered like those of RTP.
//!
//! Rules broken on the wire:
//! * `rtsp-head`: a message head of more than 16 KiB.
//!
//! Not decoded: bodies; RTSP tunnelled in HTTP.

use compact_str::CompactString;

use crate::fields::part_at;
use crate::out::{Action, Event, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// RTSP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "RTSP",
    roles: ("RTSP client", "RTSP server"),
    carriers: &[Carrier::Tcp(&[PORT, 8554])],
    dissector: Dissector::Built { probe, session: || Box::new(Rtsp::new()) },
    source: "RFC 2326, RFC 7826",
};

const NAME: &str = "rtsp";
const PORT: u16 = 554;

/// Longest message head.
const HEAD: usize = 16 * 1024;
/// Longest address that an object spells out.
const SPELLED: usize = 128;
/// Requests of one flow that may wait at once.
const WAITING: usize = 32;

/// Methods, their names and actions.
const METHODS: &[(&[u8], &str, Action)] = &[
    (b"OPTIONS", "options", Action::Identify),
    (b"DESCRIBE", "describe", Action::Read),
    (b"ANNOUNCE", "announce", Action::Write),
    (b"SETUP", "setup", Action::Session),
    (b"PLAY", "play", Action::Subscribe),
    (b"PLAY_NOTIFY", "play-notify", Action::Subscribe),
    (b"PAUSE", "pause", Action::Subscribe),
    (b"TEARDOWN", "teardown", Action::Session),
    (b"GET_PARAMETER", "get-parameter", Action::Read),
    (b"SET_PARAMETER", "set-parameter", Action::Write),
    (b"REDIRECT", "redirect", Action::Session),
    (b"RECORD", "record", Action::Write),
];

enum First<'a> {
    Request { words: (&'static str, Action), target: &'a [u8] },
    Response(u16),
}

fn is_version(word: &[u8]) -> bool {
    matches!(word, b"RTSP/1.0" | b"RTSP/2.0")
}

fn first_line(line: &[u8]) -> Option<First<'_>> {
    let mut words = line.split(|byte| *byte == b' ');
    let (first, second) = (words.next()?, words.next()?);
    if is_version(first) {
        let [a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9'] = second else { return None };
        let digit = |byte: &u8| u16::from(byte - b'0');
        return Some(First::Response(digit(a) * 100 + digit(b) * 10 + digit(c)));
    }
    let (_, name, action) = METHODS.iter().find(|(known, ..)| *known == first)?;
    if !is_version(words.next()?) {
        return None;
    }
    Some(First::Request { words: (name, *action), target: second })
}

fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'\n', bytes)?;
    let line = bytes.get(..end)?;
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// An address without the user and the query, which may hold a password.
fn address(target: &[u8]) -> CompactString {
    let end = memchr::memchr2(b'?', b';', target).unwrap_or(target.len());
    let target = part_at(target, 0, end.min(SPELLED));
    let host = memchr::memmem::find(target, b"://").map_or(0, |at| at + 3);
    let (scheme, rest) = target.split_at_checked(host).unwrap_or((&[], target));
    let path = memchr::memchr(b'/', rest).unwrap_or(rest.len());
    let user = memchr::memrchr(b'@', part_at(rest, 0, path)).map_or(0, |at| at + 1);
    let mut said = text::utf8(scheme);
    said.push_str(&text::utf8(rest.get(user..).unwrap_or_default()));
    said
}

/// The user of an Authorization field, and whether its password can be read.
fn user(value: &[u8]) -> Option<(CompactString, bool)> {
    if value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic ")) {
        return Some((text::basic_user(value.get(6..).unwrap_or_default()), true));
    }
    let at = memchr::memmem::find(value, b"username=\"")? + 10;
    let rest = value.get(at..)?;
    let name = rest.get(..memchr::memchr(b'"', rest)?)?;
    Some((text::utf8(part_at(name, 0, SPELLED)), false))
}

fn probe(input: &Input<'_>) -> Probe {
    let bytes = input.bytes;
    if let [b'$', channel, high, low, version, _, ..] = bytes {
        // Media of a session that was joined in the middle: RTP or RTCP, version 2.
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let fits = *channel < 16 && length >= 8 && version >> 6 == 2;
        return if fits { Probe::Weak } else { Probe::No };
    }
    match line(bytes) {
        Some(line) if first_line(line).is_some() => Probe::Certain,
        Some(_) => Probe::No,
        None => {
            let begins = |word: &[u8]| {
                let known = bytes.len().min(word.len());
                bytes.get(..known) == word.get(..known)
            };
            let known = begins(b"RTSP/") || METHODS.iter().any(|(method, ..)| begins(method));
            if known && bytes.len() < 1024 { Probe::More } else { Probe::No }
        }
    }
}

/// A request that waits, and who logs in with it.
struct Request {
    operation: Operation,
    user: Option<CompactString>,
}

/// The last numbered packet of one channel of media.
#[derive(Clone, Copy, Default)]
struct Channel {
    source: u32,
    sequence: u16,
}

/// A flow that carries RTSP.
struct Rtsp {
    client_said: bool,
    /// By sender and CSeq.
    pending: Pending<(Side, CompactString), Request>,
    channels: [[Option<Channel>; 8]; 2],
    /// Bytes of a body or of media that are still to come.
    skip: [usize; 2],
}

impl Rtsp {
    const fn new() -> Self {
        Self {
            client_said: false,
            pending: Pending::new(WAITING),
            channels: [[None; 8]; 2],
            skip: [0; 2],
        }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        head: &[u8],
        (words, target): ((&'static str, Action), &[u8]),
        out: &mut Out,
    ) {
        // A server asks as well: PLAY_NOTIFY, OPTIONS to see whether the client is there.
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(input.side));
        }
        if let Some(agent) = text::header_field(head, "user-agent") {
            out.claim(input.own_text((NAME, "request"), "user_agent", agent));
        }
        let mut login = None;
        if let Some(value) = text::header_field(head, "authorization")
            && let Some((user, cleartext)) = user(value)
        {
            if cleartext {
                let evidence = input.locate(part_at(value, 0, 5));
                out.push(event("cleartext-credentials", input.side, user.clone(), evidence));
            }
            login = Some(user);
        }
        // Credentials in the address are not cited.
        let method = part_at(head, 0, memchr::memchr(b' ', head).unwrap_or_default());
        let mut operation = input.operation(NAME, input.side, words, method);
        operation.object = Object::Text(address(target));
        let key = (input.side, number(head));
        if let Some(evicted) = self.pending.insert(key, Request { operation, user: login }) {
            out.operation(evicted.operation);
        }
    }

    fn response(&mut self, input: &Input<'_>, head: &[u8], status: u16, out: &mut Out) {
        if let Some(server) = text::header_field(head, "server") {
            out.claim(input.own_text((NAME, "response"), "server_banner", server));
        }
        let Some(mut request) = self.pending.take(&(input.side.other(), number(head))) else {
            return;
        };
        request.operation.outcome = if status >= 400 { Outcome::Error } else { Outcome::Ok };
        if let Some(user) = request.user {
            let kind = match status {
                200 => Some("login"),
                401 | 403 => Some("login-failed"),
                _ => None,
            };
            if let Some(kind) = kind {
                let evidence = input.locate(part_at(head, 0, 12));
                out.push(event(kind, input.side.other(), user, evidence));
            }
        }
        out.operation(request.operation);
    }

    /// Whether a packet of media continues its channel as RTP does.
    fn is_rtp(&mut self, side: Side, channel: u8, packet: &[u8]) -> bool {
        let [flags, _, high, low, _, _, _, _, a, b, c, d, ..] = packet else { return false };
        if flags >> 6 != 2 || channel & 1 == 1 {
            return false;
        }
        let next = Channel {
            source: u32::from_be_bytes([*a, *b, *c, *d]),
            sequence: u16::from_be_bytes([*high, *low]),
        };
        let at = usize::from(channel / 2) % 8;
        let Some(known) = side.of(&mut self.channels).get_mut(at) else { return false };
        let last = known.replace(next);
        last.is_some_and(|last| {
            last.source == next.source && next.sequence.wrapping_sub(last.sequence) == 1
        })
    }
}

fn event(
    kind: &'static str,
    client: Side,
    user: CompactString,
    evidence: otic_wire::Spans,
) -> Item {
    Item::Event(Event {
        kind,
        protocol: NAME,
        sender: client,
        values: vec![("user", user)],
        evidence,
    })
}

/// The number that pairs a response with its request.
fn number(head: &[u8]) -> CompactString {
    text::utf8(part_at(text::header_field(head, "cseq").unwrap_or_default(), 0, 20))
}

impl Session for Rtsp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let skip = input.side.of(&mut self.skip);
        if input.after_gap {
            *skip = 0;
            *input.side.of(&mut self.channels) = [None; 8];
        }
        let mut used = input.bytes.len().min(*skip);
        *skip -= used;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            if let [b'$', tail @ ..] = rest {
                let [channel, high, low, media @ ..] = tail else { break };
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                // The fixed header of RTP tells what it is.
                if media.len() < length.min(12) {
                    break;
                }
                if self.is_rtp(input.side, *channel, part_at(media, 0, length)) {
                    out.layer("rtp", input.side);
                }
                let here = media.len().min(length);
                *input.side.of(&mut self.skip) = length - here;
                used += 4 + here;
                continue;
            }
            let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if blank > 0 {
                used += blank;
                continue;
            }
            match line(rest) {
                Some(line) if first_line(line).is_none() => {
                    return input.bytes.len();
                }
                None if rest.len() < HEAD => break,
                _ => {}
            }
            let Some(length) = memchr::memmem::find(rest, b"\r\n\r\n").map(|at| at + 4) else {
                if rest.len() < HEAD {
                    break;
                }
                out.push(input.violation(NAME, "rtsp-head", part_at(rest, 0, 64)));
                return input.bytes.len();
            };
            let head = part_at(rest, 0, length);
            match line(head).and_then(first_line) {
                Some(First::Request { words, target }) => {
                    self.request(input, head, (words, target), out);
                }
                Some(First::Response(status)) => self.response(input, head, status, out),
                None => {}
            }
            let body = text::header_field(head, "content-length")
                .and_then(|value| std::str::from_utf8(value).ok()?.parse::<u32>().ok())
                .unwrap_or_default() as usize;
            let here = body.min(rest.len() - length);
            *input.side.of(&mut self.skip) = body - here;
            used += length + here;
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for request in self.pending.drain() {
            out.operation(request.operation);
        }
    }

    fn stream_cap(&self) -> usize {
        HEAD + 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const CONVERSATION: &[(Side, &[u8])] = &[
        (
            Side::A,
            b"OPTIONS rtsp://op:secret@cam/live?key=secret RTSP/1.0\r\nCSeq: 1\r\n\
              User-Agent: Recorder 4\r\n\r\n",
        ),
        (Side::B, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nServer: Camera 7.1\r\n\r\n"),
        (
            Side::A,
            b"DESCRIBE rtsp://cam/live RTSP/1.0\r\nCSeq: 2\r\n\
              Authorization: Digest username=\"op\", response=\"secret\"\r\n\r\n",
        ),
        (Side::B, b"RTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\nContent-Length: 4\r\n\r\nbody"),
        (
            Side::A,
            b"PLAY rtsp://cam/live RTSP/1.0\r\nCSeq: 3\r\nAuthorization: Basic b3A6c2VjcmV0\r\n\r\n",
        ),
        (Side::B, b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n"),
        (Side::B, b"$\0\0\x0e\x80\x60\0\x01\0\0\0\x09\0\0\0\x07ab"),
        (Side::B, b"$\0\0\x0e\x80\x60\0\x02\0\0\0\x09\0\0\0\x07ab"),
    ];

    #[test]
    fn requests_are_operations_with_their_address() {
        let told = testing::operations(&testing::items(&PROTOCOL, CONVERSATION));
        let address = "rtsp://cam/live".to_owned();
        assert_eq!(
            vec![
                ("options", address.clone(), Outcome::Ok),
                ("describe", address.clone(), Outcome::Error),
                ("play", address, Outcome::Ok),
            ],
            told
        );
    }

    #[test]
    fn identities_and_log_ins_are_told_without_passwords() {
        let items = testing::items(&PROTOCOL, CONVERSATION);
        assert_eq!(
            vec![
                ("user_agent", "Recorder 4".to_owned()),
                ("server_banner", "Camera 7.1".to_owned())
            ],
            testing::claims(&items)
        );
        let events: Vec<_> =
            testing::events(&items).iter().map(|e| (e.kind, e.values[0].1.to_string())).collect();
        assert_eq!(
            vec![
                ("login-failed", "op".to_owned()),
                ("cleartext-credentials", "op".to_owned()),
                ("login", "op".to_owned()),
            ],
            events
        );
        assert!(!format!("{items:?}").contains("secret"));
    }

    #[test]
    fn media_between_the_messages_is_rtp_where_it_is_numbered() {
        let layers = |parts| {
            testing::items(&PROTOCOL, parts)
                .iter()
                .filter(|item| matches!(item, Item::Layer { protocol: "rtp", .. }))
                .count()
        };
        assert_eq!(1, layers(CONVERSATION));
        assert_eq!(0, layers(&CONVERSATION[..7]));
    }

    #[test]
    fn the_probe_knows_its_own() {
        for at in [0, 1, 3] {
            assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, CONVERSATION[at]));
        }
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, CONVERSATION[6]));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, b"DESCRIBE rtsp://")));
        for bytes in [&b"OPTIONS sip:a@b SIP/2.0\r\n\r\n"[..], b"OPTIONS * HTTP/1.1\r\n\r\n"] {
            assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, bytes)));
        }
    }

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(&PROTOCOL, CONVERSATION);
    }
}
