//! SMTP.
//!
//! Sources: RFC 5321 §4.1 (commands), §4.2 (replies), §4.1.1.4 (DATA); RFC 4954 (AUTH), RFC 4616 §2
//! (PLAIN), draft-murchison-sasl-login-00 (LOGIN); RFC 3207 (STARTTLS); RFC 3030 §3 (BDAT).
//!
//! A command and its reply are one operation. The objects of MAIL and RCPT are the addresses'
//! domains, never whole addresses; the text of a mail is skipped. What follows STARTTLS is TLS.
//!
//! Rules broken on the wire:
//! * `smtp-line-length`: a line of more than 8 KiB outside of a mail.
//!
//! Not decoded: mails; AUTH other than PLAIN and LOGIN, of which the user's name alone is read.

use compact_str::CompactString;
use otic_wire::Spans;

use crate::fields::part_at;
use crate::out::{Action, Event, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// SMTP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "SMTP",
    roles: ("mail client", "mail server"),
    carriers: &[Carrier::Tcp(&[PORT, 587])],
    dissector: Dissector::Built { probe, session: || Box::new(Smtp::new()) },
    source: "RFC 5321, RFC 4954, RFC 3207",
};

const NAME: &str = "smtp";
const PORT: u16 = 25;
const LINE_CAP: usize = 8192;

/// Commands, their names and actions.
const COMMANDS: &[(&[u8], &str, Action)] = &[
    (b"EHLO", "ehlo", Action::Session),
    (b"HELO", "helo", Action::Session),
    (b"MAIL", "mail", Action::Write),
    (b"RCPT", "rcpt", Action::Write),
    (b"DATA", "data", Action::Write),
    (b"BDAT", "bdat", Action::Write),
    (b"RSET", "rset", Action::Session),
    (b"NOOP", "noop", Action::Session),
    (b"QUIT", "quit", Action::Session),
    (b"VRFY", "vrfy", Action::Read),
    (b"EXPN", "expn", Action::Read),
    (b"HELP", "help", Action::Read),
    (b"AUTH", "auth", Action::Authenticate),
    (b"STARTTLS", "starttls", Action::Session),
    (b"ETRN", "etrn", Action::Control),
    (b"TURN", "turn", Action::Control),
];

/// Verb and argument of a command line.
fn command(line: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr2(b' ', b':', line).unwrap_or(line.len());
    let (verb, argument) = line.split_at_checked(end).unwrap_or((line, &[]));
    (verb, text::trim(argument))
}

/// Reply code, and whether the reply goes on.
fn reply(line: &[u8]) -> Option<(u16, bool)> {
    let [a @ b'2'..=b'5', b @ b'0'..=b'5', c @ b'0'..=b'9', rest @ ..] = line else {
        return None;
    };
    let digit = |byte: &u8| u16::from(byte - b'0');
    let more = match rest.first() {
        Some(b'-') => true,
        Some(b' ') | None => false,
        Some(_) => return None,
    };
    Some((digit(a) * 100 + digit(b) * 10 + digit(c), more))
}

/// The domain of the first address of a MAIL or RCPT argument; the null path has none.
fn domain(argument: &[u8]) -> Option<&[u8]> {
    let open = memchr::memchr(b'<', argument)? + 1;
    let rest = argument.get(open..)?;
    let path = rest.get(..memchr::memchr(b'>', rest)?)?;
    let domain = path.get(memchr::memrchr(b'@', path)? + 1..)?;
    text::is_printable(domain).then(|| part_at(domain, 0, 128))
}

fn contains(line: &[u8], word: &[u8]) -> bool {
    line.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

fn probe(input: &Input<'_>) -> Probe {
    let Some(end) = memchr::memchr(b'\n', input.bytes) else {
        let readable = input.bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e | b'\r' | b'\t'));
        return if readable && input.bytes.len() < 512 { Probe::More } else { Probe::No };
    };
    let line = part_at(input.bytes, 0, end);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some((code, _)) = reply(line) {
        return match code {
            220 if contains(line, b"smtp") => Probe::Certain,
            250 | 354 => Probe::Weak,
            220 | 221 | 251..=252 | 334 | 421 | 450..=455 | 500..=555 => Probe::Weak,
            _ => Probe::No,
        };
    }
    let (verb, argument) = command(line);
    let Some((_, name, _)) = COMMANDS.iter().find(|(known, ..)| verb.eq_ignore_ascii_case(known))
    else {
        return Probe::No;
    };
    match *name {
        "ehlo" | "helo" if !argument.is_empty() => Probe::Likely,
        "mail" if contains(part_at(argument, 0, 8), b"from:<") => Probe::Likely,
        "rcpt" if contains(part_at(argument, 0, 6), b"to:<") => Probe::Likely,
        _ => Probe::Weak,
    }
}

/// What a client's bytes are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Commands,
    /// Answers to challenges of AUTH: secrets.
    Proof,
    /// A mail, up to a line with a single dot.
    Mail,
    Encrypted,
}

/// A flow that carries SMTP.
struct Smtp {
    client: Option<Side>,
    client_said: bool,
    pending: Pending<(), Operation>,
    mode: Mode,
    /// No byte of the mail was read yet: a dot would be the first of a line.
    fresh: bool,
    /// Bytes of a BDAT chunk that are still to come.
    chunk: usize,
    greeted: bool,
    method: CompactString,
    user: CompactString,
    /// The AUTH command of which the user's name is still to come.
    unnamed: Option<Spans>,
}

impl Smtp {
    fn new() -> Self {
        Self {
            client: None,
            client_said: false,
            pending: Pending::new(64),
            mode: Mode::Commands,
            fresh: false,
            chunk: 0,
            greeted: false,
            method: CompactString::const_new(""),
            user: CompactString::const_new(""),
            unnamed: None,
        }
    }

    fn is_client(&mut self, input: &Input<'_>) -> bool {
        let side = input.side;
        let client = *self.client.get_or_insert_with(|| {
            let server = |port| port == PORT || port == 587;
            let from_client = match (server(input.destination_port), server(input.source_port)) {
                (true, false) => true,
                (false, true) => false,
                _ => reply(input.bytes).is_none(),
            };
            if from_client { side } else { side.other() }
        });
        client == side
    }

    fn command(&mut self, input: &Input<'_>, line: &[u8], out: &mut Out) {
        if line.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(input.side));
        }
        let (verb, argument) = command(line);
        let row = COMMANDS.iter().find(|(known, ..)| verb.eq_ignore_ascii_case(known));
        let words = row.map_or(("unknown", Action::Session), |row| (row.1, row.2));
        let mut operation = input.operation(NAME, input.side, words, part_at(verb, 0, 16));
        match words.0 {
            "ehlo" | "helo" => {
                out.claim(input.own_text((NAME, words.0), "smtp_helo", part_at(argument, 0, 256)));
            }
            "mail" | "rcpt" => {
                if let Some(domain) = domain(argument) {
                    operation.object = Object::Text(text::utf8(domain));
                }
            }
            "auth" => {
                let end = memchr::memchr(b' ', argument).unwrap_or(argument.len());
                let method = text::utf8(part_at(argument, 0, end.min(32))).to_ascii_uppercase();
                operation.object = Object::Text(method.clone());
                // These two send the password itself, in base64.
                let in_clear = matches!(method.as_str(), "PLAIN" | "LOGIN");
                self.method = method;
                self.user.clear();
                self.unnamed = in_clear.then(|| input.locate(part_at(argument, 0, end)));
                self.mode = Mode::Proof;
                let proof = text::trim(part_at(argument, end, argument.len()));
                if !proof.is_empty() {
                    self.proof(input.side, proof, out);
                }
            }
            "bdat" => {
                let size = argument.split(|byte| *byte == b' ').next().unwrap_or_default();
                self.chunk = std::str::from_utf8(size)
                    .ok()
                    .and_then(|size| size.parse::<u32>().ok())
                    .unwrap_or_default() as usize;
            }
            _ => {}
        }
        if let Some(evicted) = self.pending.insert((), operation) {
            out.operation(evicted);
        }
    }

    /// The first answer to AUTH names the user; in PLAIN the password follows.
    fn proof(&mut self, client: Side, proof: &[u8], out: &mut Out) {
        let Some(evidence) = self.unnamed.take() else { return };
        let decoded = text::base64(proof);
        let user: Vec<u8> = if self.method == "PLAIN" {
            let behind = decoded.skip_while(|byte| *byte != 0).skip(1);
            behind.take_while(|byte| *byte != 0).take(128).collect()
        } else {
            decoded.take(128).collect()
        };
        self.user = text::utf8(&user);
        out.push(self.event("cleartext-credentials", client, evidence));
    }

    fn event(&self, kind: &'static str, client: Side, evidence: Spans) -> Item {
        let user = self.user.clone();
        Item::Event(Event {
            kind,
            protocol: NAME,
            sender: client,
            values: vec![("method", self.method.clone()), ("user", user)],
            evidence,
        })
    }

    fn reply(&mut self, input: &Input<'_>, line: &[u8], out: &mut Out) {
        let Some((code, more)) = reply(line) else { return };
        if code == 220 && self.pending.is_empty() {
            if !std::mem::replace(&mut self.greeted, true) {
                let banner = line.get(4..).unwrap_or_default();
                // Sendmail tells the time behind its name.
                let end = memchr::memchr(b';', banner).unwrap_or(banner.len());
                let banner = part_at(banner, 0, end);
                out.claim(input.own_text((NAME, "greeting"), "server_banner", banner));
            }
            return;
        }
        if more {
            return;
        }
        match code {
            334 => return,
            354 => {
                self.mode = Mode::Mail;
                self.fresh = true;
                return;
            }
            _ => {}
        }
        let Some(mut operation) = self.pending.take(&()) else { return };
        operation.outcome = if code >= 400 { Outcome::Error } else { Outcome::Ok };
        match (operation.name, code) {
            ("auth", _) => {
                self.mode = Mode::Commands;
                let kind = match code {
                    235 => Some("login"),
                    535 => Some("login-failed"),
                    _ => None,
                };
                if let Some(kind) = kind {
                    let evidence = input.locate(part_at(line, 0, 3));
                    out.push(self.event(kind, input.side.other(), evidence));
                }
            }
            ("starttls", 220) => self.mode = Mode::Encrypted,
            ("data", _) => self.mode = Mode::Commands,
            _ => {}
        }
        out.operation(operation);
    }
}

/// Bytes up to the end of a mail, which a line with a single dot marks; none where it does not end
/// here, and then how many bytes may be dropped.
fn mail_end(bytes: &[u8], fresh: bool) -> Result<usize, usize> {
    if fresh && bytes.starts_with(b".\r\n") {
        return Ok(3);
    }
    match memchr::memmem::find(bytes, b"\r\n.\r\n") {
        // The line end before the dot stays, so that the dot is found again.
        Some(at) => Ok(at + 5),
        None => Err(bytes.len().saturating_sub(4)),
    }
}

impl Session for Smtp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            self.chunk = 0;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            let from_client = self.is_client(input);
            if self.mode == Mode::Encrypted {
                used = input.bytes.len();
                break;
            }
            if from_client && self.chunk > 0 {
                let here = self.chunk.min(rest.len());
                self.chunk -= here;
                used += here;
                continue;
            }
            if from_client && self.mode == Mode::Mail {
                match mail_end(rest, self.fresh) {
                    Ok(length) => {
                        used += length;
                        self.mode = Mode::Commands;
                        continue;
                    }
                    Err(0) => break,
                    Err(dropped) => {
                        self.fresh = false;
                        used += dropped;
                        break;
                    }
                }
            }
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if rest.len() < LINE_CAP {
                    break;
                }
                out.push(input.violation(NAME, "smtp-line-length", part_at(rest, 0, 16)));
                used = input.bytes.len();
                break;
            };
            let line = part_at(rest, 0, end);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            used += end + 1;
            match (from_client, self.mode) {
                (true, Mode::Proof) => self.proof(input.side, line, out),
                (true, _) => self.command(input, line, out),
                (false, _) => self.reply(input, line, out),
            }
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for operation in self.pending.drain() {
            out.operation(operation);
        }
    }

    fn stream_cap(&self) -> usize {
        2 * LINE_CAP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const SESSION: &[(Side, &[u8])] = &[
        (Side::B, b"220 mail.example ESMTP Postfix; Mon, 1 Jan\r\n"),
        (Side::A, b"EHLO press7.example\r\n"),
        (Side::B, b"250-mail.example\r\n250 AUTH PLAIN\r\n"),
        (Side::A, b"AUTH PLAIN\r\n"),
        (Side::B, b"334 \r\n"),
        // An empty identity to act for, `op`, the password.
        (Side::A, b"AG9wAHNlY3JldA==\r\n"),
        (Side::B, b"535 5.7.8 no\r\n"),
        (Side::A, b"MAIL FROM:<press7@plant.example> SIZE=9\r\n"),
        (Side::B, b"250 ok\r\n"),
        (Side::A, b"RCPT TO:<chief@office.example>\r\n"),
        (Side::B, b"550 no\r\n"),
        (Side::A, b"DATA\r\n"),
        (Side::B, b"354 go\r\n"),
        (Side::A, b"Subject: secret\r\n\r\nQUIT\r\n.\r\n"),
        (Side::B, b"250 queued\r\n"),
        (Side::A, b"STARTTLS\r\n"),
        (Side::B, b"220 go\r\n"),
        (Side::A, b"\x16\x03\x01\x00\x05"),
    ];

    #[test]
    fn commands_are_operations_with_domains_only() {
        let told = testing::operations(&testing::items(&PROTOCOL, SESSION));
        let expected = [
            ("ehlo", "", Outcome::Ok),
            ("auth", "PLAIN", Outcome::Error),
            ("mail", "plant.example", Outcome::Ok),
            ("rcpt", "office.example", Outcome::Error),
            ("data", "", Outcome::Ok),
            ("starttls", "", Outcome::Ok),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(a, b, outcome)| (a, b.to_owned(), outcome)).collect();
        assert_eq!(expected, told);
    }

    #[test]
    fn names_and_log_ins_are_told_without_secrets() {
        let items = testing::items(&PROTOCOL, SESSION);
        assert_eq!(
            vec![
                ("server_banner", "mail.example ESMTP Postfix".to_owned()),
                ("smtp_helo", "press7.example".to_owned()),
            ],
            testing::claims(&items)
        );
        let events: Vec<_> = testing::events(&items)
            .into_iter()
            .map(|event| (event.kind, event.values[1].1.as_str()))
            .collect();
        assert_eq!(vec![("cleartext-credentials", "op"), ("login-failed", "op")], events);
        let said = format!("{items:?}");
        assert!(!said.contains("secret") && !said.contains("chief"));
    }

    #[test]
    fn the_probe_tells_mail_from_ftp() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, SESSION[0]));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, SESSION[1]));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, SESSION[7]));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::B, b"220 FTP ready\r\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"\x16\x03\x01\0\x05\x01")));
    }

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(&PROTOCOL, SESSION);
    }
}
