//! NTP versions 1 to 4, with its control and private messages.
//!
//! Sources: RFC 5905 §7.3 (header, modes), §9.2 (a server repeats the client's transmit time as
//! origin); RFC 9327 (mode 6, control messages; version 3: RFC 1305 appendix B). Mode 7 is private
//! to the reference implementation: `ntp_request.h` of ntpd gives the header and request 42,
//! `mon-getlist`. Its data, extension fields and authentication are not decoded.
//!
//! Violations: `ntp-header` (fewer bytes than the mode's header, version or mode 0).

use otic_wire::Cursor;

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Item, Object, Operation, Out, Outcome, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// Network time protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "ntp",
    title: "NTP",
    roles: ("client", "server"),
    carriers: &[Carrier::Udp(&[123])],
    dissector: Dissector::Built { probe, session: || Box::new(Ntp::default()) },
    source: "RFC 5905, RFC 9327",
};

const TIME_BYTES: usize = 48;
const CONTROL_BYTES: usize = 12;
const PRIVATE_BYTES: usize = 8;

/// Key and digest at the end of an authenticated message, at most.
const DIGEST_BYTES: usize = 36;

/// Control operation codes (RFC 9327 §2).
const fn control_name(opcode: u8) -> (&'static str, Action) {
    match opcode {
        1 => ("read-status", Action::Diagnostics),
        2 => ("read-variables", Action::Read),
        3 => ("write-variables", Action::Configuration),
        4 => ("read-clock-variables", Action::Read),
        5 => ("write-clock-variables", Action::Configuration),
        6 => ("set-trap", Action::Subscribe),
        7 => ("trap-response", Action::Subscribe),
        8 => ("runtime-configuration", Action::Configuration),
        9 => ("export-configuration", Action::Configuration),
        10 => ("retrieve-remote-address-statistics", Action::Diagnostics),
        11 => ("retrieve-ordered-list", Action::Diagnostics),
        12 => ("request-client-specific-nonce", Action::Authenticate),
        31 => ("unset-trap", Action::Subscribe),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// Mode 1 to 7 and version, from the first byte.
const fn first_byte(byte: u8) -> Option<(u8, u8)> {
    let (version, mode) = (byte >> 3 & 7, byte & 7);
    if version >= 1 && version <= 4 && mode != 0 { Some((mode, version)) } else { None }
}

/// Whether stratum, poll interval and precision of a time message can be (RFC 5905 §7.3): the two
/// are powers of two in seconds, a clock is not coarser than a second, and extensions and message
/// digests keep to whole words.
fn time_fits(bytes: &[u8]) -> bool {
    let [_, stratum, poll, precision, ..] = bytes else { return false };
    let fits = |power: u8, range: std::ops::RangeInclusive<i8>| range.contains(&(power as i8));
    *stratum <= 16
        && fits(*poll, -7..=17)
        && fits(*precision, -64..=0)
        && bytes.len().is_multiple_of(4)
}

/// Whether a control message (RFC 9327 §2) has a known operation and its data fill it, up to a
/// message digest.
fn control_fits(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<CONTROL_BYTES>() else { return false };
    let [_, operation, .., high, low] = head;
    let data = usize::from(u16::from_be_bytes([*high, *low])).next_multiple_of(4);
    let rest = bytes.len() - CONTROL_BYTES;
    control_name(operation & 0x1f).0 != "unknown" && data <= rest && rest - data <= DIGEST_BYTES
}

/// Whether a private message (ntp_request.h of the reference implementation) is of a known
/// implementation and holds as many items as it says.
fn private_fits(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<PRIVATE_BYTES>() else { return false };
    let [_, _, implementation, _, items, more_items, size, more_size] = head;
    let twelve = |high: &u8, low: &u8| usize::from(u16::from_be_bytes([high & 0x0f, *low]));
    matches!(implementation, 0 | 2 | 3)
        && size & 0xf0 == 0
        && PRIVATE_BYTES + twelve(items, more_items) * twelve(size, more_size) <= bytes.len()
}

fn probe(input: &Input<'_>) -> Probe {
    let mut cursor = Cursor::new(input.bytes);
    let Some((mode, _)) = cursor.u8().ok().and_then(first_byte) else { return Probe::No };
    let length = input.bytes.len();
    match mode {
        6 if control_fits(input.bytes) => Probe::Weak,
        7 if private_fits(input.bytes) => Probe::Weak,
        1..=5 if length >= TIME_BYTES && time_fits(input.bytes) => {
            cursor.skip(15).unwrap_or_default();
            let mut seconds = [0; 4];
            for second in &mut seconds {
                *second = cursor.u64_be().map_or(0, |time| time >> 32);
            }
            let [reference, _, receive, transmit] = seconds;
            // A server that answers: three times of one clock, close to each other, after 1990.
            let is_answer = mode == 4
                && transmit > 2_840_140_800
                && transmit.abs_diff(receive) <= 60
                && (reference == 0 || transmit.abs_diff(reference) < 1 << 24);
            if is_answer { Probe::Likely } else { Probe::Weak }
        }
        _ => Probe::No,
    }
}

/// What pairs a request with its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// Transmit time of the request.
    Time(Side, u64),
    /// Sequence number of a control message.
    Control(Side, u16),
    /// Request code of a private message.
    Private(Side, u8),
}

struct Ntp {
    pending: Pending<Key, Operation>,
    answered: Option<Key>,
    client_told: bool,
}

impl Default for Ntp {
    fn default() -> Self {
        Self { pending: Pending::new(64), answered: None, client_told: false }
    }
}

fn describe(input: &Input<'_>, name: &'static str, action: Action, sender: Side) -> Operation {
    input.operation(PROTOCOL.name, sender, (name, action), input.bytes)
}

impl Ntp {
    fn request(&mut self, input: &Input<'_>, key: Key, mut operation: Operation, out: &mut Out) {
        if input.destination.is_group() {
            operation.outcome = Outcome::None;
            out.operation(operation);
            return;
        }
        if !std::mem::replace(&mut self.client_told, true) {
            out.push(Item::Client(input.side));
        }
        self.answered = self.answered.filter(|answered| *answered != key);
        if let Some(evicted) = self.pending.insert(key, operation) {
            out.operation(evicted);
        }
    }

    fn response(&mut self, key: Key, mut operation: Operation, outcome: Outcome, out: &mut Out) {
        let mut paired = false;
        while let Some(mut asked) = self.pending.take(&key) {
            paired = true;
            asked.outcome = outcome;
            out.operation(asked);
        }
        if !paired && self.answered != Some(key) {
            if !std::mem::replace(&mut self.client_told, true) {
                out.push(Item::Client(operation.sender));
            }
            operation.outcome = outcome;
            out.unpaired(operation);
        }
        self.answered = Some(key);
    }

    fn message(&mut self, input: &Input<'_>, out: &mut Out) -> Option<()> {
        let mut cursor = Cursor::new(input.bytes);
        let (mode, _) = first_byte(cursor.u8().ok()?)?;
        let asker = input.side.other();
        match mode {
            6 => self.control(input, cursor, out),
            7 => {
                let first = input.bytes.first()?;
                cursor.skip(2).ok()?; // sequence, implementation
                let request = cursor.u8().ok()?;
                cursor.skip(4).ok()?;
                let is_response = first & 0x80 != 0;
                let sender = if is_response { asker } else { input.side };
                let name = if request == 42 { "mon-getlist" } else { "private" };
                let mut operation = describe(input, name, Action::Diagnostics, sender);
                operation.object = Object::Number { kind: "request", number: u32::from(request) };
                let key = Key::Private(sender, request);
                if is_response {
                    self.response(key, operation, Outcome::Ok, out);
                } else {
                    self.request(input, key, operation, out);
                }
                Some(())
            }
            _ => {
                cursor.skip(23).ok()?;
                let origin = cursor.u64_be().ok()?;
                cursor.skip(8).ok()?;
                let transmit = cursor.u64_be().ok()?;
                match mode {
                    3 => {
                        let operation = describe(input, "client", Action::Read, input.side);
                        self.request(input, Key::Time(input.side, transmit), operation, out);
                    }
                    4 => {
                        let operation = describe(input, "client", Action::Read, asker);
                        // Stratum 0 refuses: a kiss-o'-death (RFC 5905 §7.4).
                        let refused = input.bytes.get(1) == Some(&0);
                        let outcome = if refused { Outcome::Error } else { Outcome::Ok };
                        self.response(Key::Time(asker, origin), operation, outcome, out);
                    }
                    _ => {
                        // Peers and broadcasters speak without being asked.
                        let name = match mode {
                            1 => "symmetric-active",
                            2 => "symmetric-passive",
                            _ => "broadcast",
                        };
                        let mut operation = describe(input, name, Action::Session, input.side);
                        operation.outcome = Outcome::None;
                        out.operation(operation);
                    }
                }
                Some(())
            }
        }
    }

    /// RFC 9327 §2: response, error, more, opcode, sequence, status, association, offset, count.
    fn control(&mut self, input: &Input<'_>, mut cursor: Cursor<'_>, out: &mut Out) -> Option<()> {
        let bits = cursor.u8().ok()?;
        let sequence = cursor.u16_be().ok()?;
        cursor.skip(6).ok()?;
        let count = cursor.u16_be().ok()?;
        let data = cursor.take(usize::from(count).min(cursor.remaining())).ok()?;
        let is_response = bits & 0x80 != 0;
        let sender = if is_response { input.side.other() } else { input.side };
        let (name, action) = control_name(bits & 0x1f);
        let operation = describe(input, name, action, sender);
        let key = Key::Control(sender, sequence);
        if is_response {
            let outcome = if bits & 0x40 == 0 { Outcome::Ok } else { Outcome::Error };
            self.response(key, operation, outcome, out);
            if name == "read-variables" {
                variables(input, data, out);
            }
        } else {
            self.request(input, key, operation, out);
        }
        Some(())
    }
}

/// System variables `name="value"` (RFC 9327 §3): the daemon and what it runs on.
fn variables(input: &Input<'_>, data: &[u8], out: &mut Out) {
    for variable in data.split(|byte| *byte == b',') {
        let Some(at) = memchr::memchr(b'=', variable) else { continue };
        let (name, value) = variable.split_at(at);
        let attribute = match text::trim(name) {
            b"version" => "ntp_version",
            b"system" => "os",
            b"processor" => "processor",
            _ => continue,
        };
        let value = text::trim(value.get(1..).unwrap_or_default());
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        out.claim(Claim {
            who: Who::Sender(Child::None),
            attribute,
            value: text::utf8(value),
            protocol: PROTOCOL.name,
            message: "read-variables",
            confidence: Confidence::High,
            evidence: input.evidence(value, Decode::Utf8),
        });
    }
}

impl Session for Ntp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(PROTOCOL.name, input.side);
        if self.message(input, out).is_none() && !input.truncated {
            out.push(input.violation(PROTOCOL.name, "ntp-header", input.bytes));
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        for operation in self.pending.drain() {
            out.operation(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn time(first: u8, stratum: u8, times: [u64; 4]) -> Vec<u8> {
        let mut bytes = vec![first, stratum, 6, 0xec]; // poll 64 s, precision 2^-20
        bytes.extend([0; 8]); // root delay and dispersion
        bytes.extend([192, 0, 2, 9]); // reference id
        for time in times {
            bytes.extend((time << 32).to_be_bytes()); // reference, origin, receive, transmit
        }
        bytes
    }

    const NOW: u64 = 3_900_000_000;

    #[test]
    fn a_client_and_its_server_are_one_operation() {
        let ask = time(0x23, 0, [0, 0, 0, NOW]); // version 4, client
        let tell = time(0x24, 2, [NOW - 9, NOW, NOW, NOW]); // version 4, server
        let talk = [(Side::A, ask.as_slice()), (Side::B, &tell), (Side::B, &tell)];
        let items = testing::items(&PROTOCOL, &talk);
        let operations: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(o) | Item::Unpaired(o) => Some((o.name, o.outcome)),
                _ => None,
            })
            .collect();
        assert_eq!(vec![("client", Outcome::Ok)], operations);
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, &ask)));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::B, &tell)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, &[0xff; 48])));
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn control_variables_tell_the_system() {
        let data = b"version=\"ntpd 4.2\", system=\"QNX/6.5\"";
        let mut tell = vec![0x16, 0x82, 0, 1, 0, 0, 0, 0, 0, 0, 0, data.len() as u8];
        tell.extend(data);
        let ask = [0x16, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let talk = [(Side::A, ask.as_slice()), (Side::B, &tell)];
        let items = testing::items(&PROTOCOL, &talk);
        assert!(items.iter().any(|item| matches!(item, Item::Operation(o)
            if o.name == "read-variables" && o.outcome == Outcome::Ok)));
        assert!(items.iter().any(|item| matches!(item, Item::Claim(c)
            if c.attribute == "os" && c.value == "QNX/6.5")));
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn a_list_of_clients_is_asked_for_by_name() {
        let ask = [0x17, 0, 3, 42, 0, 0, 0, 0];
        let items = testing::items(&PROTOCOL, &[(Side::A, &ask)]);
        assert!(items.iter().any(|item| matches!(item, Item::Operation(o)
            if o.name == "mon-getlist" && o.outcome == Outcome::Unseen)));
        testing::survives(&PROTOCOL, &[(Side::A, &ask)]);
    }
}
