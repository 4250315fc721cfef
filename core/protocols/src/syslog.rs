//! Syslog over UDP and TCP.
//!
//! Sources: RFC 3164 §4.1 (PRI, HEADER, MSG of the BSD form), RFC 5424 §6 (the later form), §6.2.1
//! (facility and severity), RFC 6587 §3.4 (framing over TCP). Messages of Cisco devices have their
//! own `%FACILITY-SEVERITY-MNEMONIC` where others name a program (Cisco IOS System Message Guide).
//!
//! A message is an operation without response: code = severity, name = its keyword, object = the
//! program that wrote it. The host name of a message is a claim about its sender, of low confidence:
//! relays pass on what others said.
//!
//! Violations: `syslog-priority` (PRI above 191).
//!
//! Not decoded: times, structured data, the text itself, which may hold anything.

use otic_wire::Cursor;

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Item, Object, Operation, Out, Outcome, Who,
};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Transport};
use crate::text;

/// Syslog.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "Syslog",
    roles: ("sender", "collector"),
    carriers: &[Carrier::Udp(&[514]), Carrier::Tcp(&[514, 601])],
    dissector: Dissector::Built { probe, session: || Box::new(Syslog::default()) },
    source: "RFC 3164, RFC 5424, RFC 6587",
};

const NAME: &str = "syslog";
/// Largest priority: facility 23, severity 7.
const PRIORITIES: u16 = 191;
/// Longest message read; longest program name and host name (RFC 5424 §6).
const MESSAGE: usize = 8192;
const PROGRAM: usize = 48;
const HOST: usize = 255;

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Keywords of severities (RFC 5424 table 2).
const fn severity(number: u16) -> &'static str {
    match number & 7 {
        0 => "emergency",
        1 => "alert",
        2 => "critical",
        3 => "error",
        4 => "warning",
        5 => "notice",
        6 => "informational",
        _ => "debug",
    }
}

/// `<PRI>` at the front: its number and its length.
fn priority(bytes: &[u8]) -> Option<(u16, usize)> {
    let digits = bytes.strip_prefix(b"<")?;
    let end = memchr::memchr(b'>', digits.get(..digits.len().min(4))?)?;
    let digits = digits.get(..end).filter(|digits| !digits.is_empty())?;
    let mut number = 0;
    for digit in digits {
        number = number * 10 + u16::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    Some((number, end + 2))
}

/// The next word, after blanks.
fn word<'a>(cursor: &mut Cursor<'a>) -> &'a [u8] {
    let rest = cursor.rest();
    let start = rest.iter().position(|byte| *byte != b' ').unwrap_or(rest.len());
    let rest = rest.get(start..).unwrap_or_default();
    let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    let found = rest.get(..end).unwrap_or_default();
    let _ = cursor.skip(start + end);
    found
}

/// What is told of the origin of a message.
#[derive(Default)]
struct Origin<'a> {
    host: &'a [u8],
    program: &'a [u8],
}

/// The name in front of `[` or `:` (RFC 3164 §4.1.3).
fn tag(word: &[u8]) -> Option<&[u8]> {
    let end = word.iter().position(|byte| matches!(byte, b'[' | b':'))?;
    let name = word.get(..end)?;
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./%()".contains(byte);
    (name.iter().any(u8::is_ascii_alphabetic) && name.len() <= PROGRAM && name.iter().all(allowed))
        .then_some(name)
}

/// A Cisco message's mnemonic, anywhere in front of its text.
fn mnemonic(message: &[u8]) -> Option<&[u8]> {
    let at = memchr::memchr(b'%', message.get(..message.len().min(100))?)?;
    let rest = message.get(at..)?;
    let end = memchr::memchr(b':', rest.get(..rest.len().min(64))?)?;
    let name = rest.get(..end)?;
    let dashes = name.iter().filter(|byte| **byte == b'-').count();
    let allowed =
        |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_".contains(byte);
    (dashes >= 2 && name.iter().skip(1).all(allowed)).then_some(name)
}

/// A host name or an address: letters, digits, dots, dashes, colons inside.
fn is_host(word: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    !word.is_empty()
        && word.len() <= HOST
        && word.iter().all(allowed)
        && !word.ends_with(b":")
        && word.first().is_some_and(u8::is_ascii_alphanumeric)
}

/// Host and program of what stands behind the priority.
fn origin(message: &[u8]) -> Origin<'_> {
    let mut cursor = Cursor::new(message);
    if let Some(name) = mnemonic(message) {
        return Origin { host: &[], program: name };
    }
    if message.starts_with(b"1 ") {
        // VERSION TIMESTAMP HOSTNAME APP-NAME; `-` stands for none.
        word(&mut cursor);
        word(&mut cursor);
        let known = |word| if word == b"-".as_slice() { &[][..] } else { word };
        let (host, program) = (known(word(&mut cursor)), known(word(&mut cursor)));
        let host = if is_host(host) { host } else { &[] };
        let fits = program.len() <= PROGRAM && (program.is_empty() || text::is_printable(program));
        return Origin { host, program: if fits { program } else { &[] } };
    }
    let mut first = word(&mut cursor);
    if first.strip_suffix(b":").is_some_and(|count| count.iter().all(u8::is_ascii_digit)) {
        // Cisco devices may number their messages.
        first = word(&mut cursor);
    }
    let first = first.strip_prefix(b"*").unwrap_or(first);
    if MONTHS.contains(&first) {
        word(&mut cursor); // day
        word(&mut cursor); // time
    } else if !first.starts_with(b"2") || first.len() < 19 {
        // No time: some programs send their tag at once. A time as in RFC 3339 is common.
        return Origin { host: &[], program: tag(first).unwrap_or_default() };
    }
    let next = word(&mut cursor);
    if let Some(program) = tag(next) {
        return Origin { host: &[], program };
    }
    let program = tag(word(&mut cursor)).unwrap_or_default();
    // Without a tag behind it, a word may be the start of the text.
    let host = if is_host(next) && !program.is_empty() { next } else { &[] };
    Origin { host, program }
}

/// How much the head looks like one of the two forms.
fn certainty(bytes: &[u8]) -> Probe {
    let Some((number, length)) = priority(bytes) else { return Probe::No };
    let rest = bytes.get(length..).unwrap_or_default();
    if number > PRIORITIES {
        return Probe::Weak;
    }
    let starts = rest.get(..rest.len().min(3)).unwrap_or_default();
    if rest.starts_with(b"1 2") || rest.starts_with(b"1 - ") || MONTHS.contains(&starts) {
        Probe::Certain
    } else if rest.first().is_some_and(|byte| (0x20..0x7f).contains(byte)) {
        // `<` and a number may start a text in angle brackets.
        Probe::Weak
    } else {
        Probe::No
    }
}

/// Length of the octet count in front of a message (RFC 6587 §3.4.1), and of the message.
fn counted(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = bytes.iter().take(6).position(|byte| *byte == b' ')?;
    let digits =
        bytes.get(..end).filter(|digits| digits.first().is_some_and(|byte| *byte != b'0'))?;
    let mut number: usize = 0;
    for digit in digits {
        number = number * 10 + usize::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    (number > 3).then_some((end + 1, number))
}

fn probe(input: &Input<'_>) -> Probe {
    let bytes = input.bytes;
    if input.transport == Transport::Udp {
        return match certainty(bytes) {
            Probe::No if input.destination_port == 514 && !bytes.is_empty() => {
                // RFC 3164 §4.3.3: without PRI it still is a message, where messages are sent.
                if bytes.iter().take(32).all(|byte| (0x09..0x7f).contains(byte)) {
                    Probe::Weak
                } else {
                    Probe::No
                }
            }
            probe => probe,
        };
    }
    let start = counted(bytes).map_or(0, |(length, _)| length);
    let message = bytes.get(start..).unwrap_or_default();
    let could_go_on = bytes.len() < 12
        && bytes.first().is_some_and(|byte| *byte == b'<' || byte.is_ascii_digit())
        && bytes.iter().all(|byte| (0x20..0x7f).contains(byte));
    match certainty(message) {
        Probe::Certain => Probe::Certain,
        _ if could_go_on => Probe::More,
        probe => probe,
    }
}

/// A flow that carries syslog.
#[derive(Default)]
struct Syslog {
    client_told: bool,
}

impl Syslog {
    fn message(&mut self, input: &Input<'_>, message: &[u8], out: &mut Out) {
        if !std::mem::replace(&mut self.client_told, true) {
            out.push(Item::Client(input.side));
        }
        // Without PRI a message counts as user-level notice (RFC 3164 §4.3.3).
        let (number, length) = priority(message).unwrap_or((13, 0));
        if number > PRIORITIES {
            out.push(input.violation(
                NAME,
                "syslog-priority",
                message.get(..length).unwrap_or_default(),
            ));
        }
        let origin = origin(message.get(length..).unwrap_or_default());
        let head = message.get(..message.len().min(128)).unwrap_or(message);
        out.operation(Operation {
            code: Some(u32::from(number & 7)),
            object: if origin.program.is_empty() {
                Object::None
            } else {
                Object::Text(text::utf8(origin.program))
            },
            outcome: Outcome::None,
            ..input.operation(NAME, input.side, (severity(number), Action::Diagnostics), head)
        });
        out.claim(Claim {
            who: Who::Sender(Child::None),
            attribute: "name",
            value: text::utf8(origin.host),
            protocol: NAME,
            message: "message",
            confidence: Confidence::Low,
            evidence: input.evidence(origin.host, Decode::Utf8),
        });
    }
}

impl Session for Syslog {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.transport == Transport::Udp {
            out.layer(NAME, input.side);
            self.message(input, input.bytes, out);
            return input.bytes.len();
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            if let Some((start, length)) = counted(rest) {
                let wanted = start + length;
                if wanted > MESSAGE {
                    used = input.bytes.len();
                    break;
                }
                let Some(message) = rest.get(start..wanted) else { break };
                if priority(message).is_some() {
                    self.message(input, message, out);
                }
                used += wanted;
                continue;
            }
            // Not counted: a line each (RFC 6587 §3.4.2), or ended by a NUL.
            let Some(end) = memchr::memchr2(b'\n', 0, rest) else {
                if rest.len() >= MESSAGE {
                    used = input.bytes.len();
                }
                break;
            };
            let line = rest.get(..end).unwrap_or_default();
            if priority(line).is_some() {
                self.message(input, line, out);
            }
            used += end + 1;
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn stream_cap(&self) -> usize {
        MESSAGE + 16
    }
}

#[cfg(test)]
mod tests {
    use compact_str::CompactString;

    use super::*;
    use crate::session::Side;
    use crate::testing;

    fn said(protocol: &Protocol, talk: &[&[u8]]) -> Vec<(&'static str, CompactString)> {
        let talk: Vec<_> = talk.iter().map(|message| (Side::A, *message)).collect();
        testing::survives(protocol, &talk);
        let items = testing::items(protocol, &talk).into_iter();
        items
            .filter_map(|item| match item {
                Item::Operation(op) => Some((op.name, op.object.to_text())),
                Item::Claim(claim) => Some((claim.attribute, claim.value)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn both_forms_name_host_and_program() {
        let talk: &[&[u8]] = &[
            b"<34>Oct 11 22:14:15 hmi7 sshd[212]: refused",
            b"<165>1 2003-10-11T22:14:15.003Z plc1.plant evntslog - ID47 - started",
        ];
        assert_eq!(
            vec![
                ("critical", "sshd".into()),
                ("name", "hmi7".into()),
                ("notice", "evntslog".into()),
                ("name", "plc1.plant".into()),
            ],
            said(&PROTOCOL, talk)
        );
    }

    #[test]
    fn what_is_not_told_is_not_guessed() {
        let talk: &[&[u8]] = &[
            b"<189>30: *Sep 22 13:34:49.195: %SYS-5-CONFIG_I: Configured from console",
            b"<13>Oct  1 22:14:15 su: failed",
            b"<13>Oct 11 22:14:15 link is down",
            b"<13>1 - - - - - -",
            b"<13>backup: done",
        ];
        assert_eq!(
            vec![
                ("notice", "%SYS-5-CONFIG_I".into()),
                ("notice", "su".into()),
                ("notice", "".into()),
                ("notice", "".into()),
                ("notice", "backup".into()),
            ],
            said(&PROTOCOL, talk)
        );
    }

    #[test]
    fn streams_have_counts_or_lines() {
        let tcp = Protocol { carriers: &[Carrier::Tcp(&[601])], ..PROTOCOL };
        let lines: &[&[u8]] = &[b"<11>Oct 11 22:14:15 a cron: x\n<12>Oct 11 22:14:15 a cron: y\n"];
        let expected = vec![
            ("error", "cron".into()),
            ("name", "a".into()),
            ("warning", "cron".into()),
            ("name", "a".into()),
        ];
        assert_eq!(expected, said(&tcp, lines));
        let counted: &[&[u8]] =
            &[b"29 <11>Oct 11 22:14:15 a cron: x29 <12>Oct 11 22:14:15 a cron: y"];
        assert_eq!(expected, said(&tcp, counted));
        assert_eq!(Probe::Certain, testing::probe(&tcp, (Side::A, counted[0])));
        assert_eq!(Probe::More, testing::probe(&tcp, (Side::A, b"29 <1")));
        assert_eq!(Probe::No, testing::probe(&tcp, (Side::A, b"GET / HTTP/1.1\r\n")));
    }

    #[test]
    fn a_priority_that_cannot_be_is_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::A, b"<192>Oct 11 22:14:15 a b: c")]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "syslog-priority")));
    }

    #[test]
    fn the_probe_knows_the_forms() {
        let probe = |bytes| testing::probe(&PROTOCOL, (Side::A, bytes));
        assert_eq!(Probe::Certain, probe(b"<34>Oct 11 22:14:15 a b: c"));
        assert_eq!(Probe::Weak, probe(b"<34>hello"));
        assert_eq!(Probe::No, probe(b"<html>\xff\xff"));
        assert_eq!(Probe::No, probe(&[0x30, 0x82]));
    }
}
