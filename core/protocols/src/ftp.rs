//! FTP control connections.
//!
//! Sources: RFC 959 §4 and §5 (commands, replies), RFC 2228 and RFC 4217 (AUTH TLS), RFC 2428
//! (EPRT, EPSV), RFC 3659 (MLST, MLSD, SIZE, MDTM).
//!
//! Rule broken on the wire: `ftp-line-length`, a line of more than 8 KiB.
//!
//! Not decoded: data connections; what follows AUTH TLS. Passwords are never kept.

use compact_str::CompactString;
use otic_wire::Spans;

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Event, Item, Object, Operation, Out, Outcome, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// FTP, control connection.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "FTP",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Ftp::new()) },
    source: "RFC 959, RFC 3659, RFC 4217",
};

const NAME: &str = "ftp";
const PORT: u16 = 21;
const LINE_CAP: usize = 8192;
const ARGUMENT_CAP: usize = 256;

/// Commands: verb, name, action, whether the argument is a path.
const COMMANDS: &[(&[u8], &str, Action, bool)] = &[
    (b"USER", "user", Action::Authenticate, false),
    (b"PASS", "pass", Action::Authenticate, false),
    (b"ACCT", "acct", Action::Authenticate, false),
    (b"AUTH", "auth", Action::Session, false),
    (b"ADAT", "adat", Action::Authenticate, false),
    (b"PBSZ", "pbsz", Action::Session, false),
    (b"PROT", "prot", Action::Session, false),
    (b"CCC", "ccc", Action::Session, false),
    (b"RETR", "retr", Action::File, true),
    (b"STOR", "stor", Action::File, true),
    (b"STOU", "stou", Action::File, true),
    (b"APPE", "appe", Action::File, true),
    (b"DELE", "dele", Action::File, true),
    (b"RNFR", "rnfr", Action::File, true),
    (b"RNTO", "rnto", Action::File, true),
    (b"MKD", "mkd", Action::File, true),
    (b"XMKD", "mkd", Action::File, true),
    (b"RMD", "rmd", Action::File, true),
    (b"XRMD", "rmd", Action::File, true),
    (b"LIST", "list", Action::Read, true),
    (b"NLST", "nlst", Action::Read, true),
    (b"MLSD", "mlsd", Action::Read, true),
    (b"MLST", "mlst", Action::Read, true),
    (b"SIZE", "size", Action::Read, true),
    (b"MDTM", "mdtm", Action::Read, true),
    (b"STAT", "stat", Action::Read, true),
    (b"CWD", "cwd", Action::Session, true),
    (b"XCWD", "cwd", Action::Session, true),
    (b"CDUP", "cdup", Action::Session, false),
    (b"PWD", "pwd", Action::Read, false),
    (b"XPWD", "pwd", Action::Read, false),
    (b"PORT", "port", Action::Session, false),
    (b"PASV", "pasv", Action::Session, false),
    (b"EPRT", "eprt", Action::Session, false),
    (b"EPSV", "epsv", Action::Session, false),
    (b"TYPE", "type", Action::Session, false),
    (b"STRU", "stru", Action::Session, false),
    (b"MODE", "mode", Action::Session, false),
    (b"ALLO", "allo", Action::Session, false),
    (b"REST", "rest", Action::Session, false),
    (b"ABOR", "abor", Action::Session, false),
    (b"NOOP", "noop", Action::Session, false),
    (b"QUIT", "quit", Action::Session, false),
    (b"REIN", "rein", Action::Session, false),
    (b"SMNT", "smnt", Action::Session, false),
    (b"SITE", "site", Action::Configuration, true),
    (b"SYST", "syst", Action::Identify, false),
    (b"FEAT", "feat", Action::Identify, false),
    (b"OPTS", "opts", Action::Session, false),
    (b"HELP", "help", Action::Read, false),
    (b"CLNT", "clnt", Action::Session, false),
];

/// Verbs that no other line protocol has.
const OWN: &[&[u8]] =
    &[b"PASV", b"EPSV", b"SYST", b"RETR", b"STOR", b"MLSD", b"CWD", b"PWD", b"PORT", b"TYPE"];

/// Verb and argument of a command line.
fn command(line: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (verb, argument) = line.split_at_checked(end).unwrap_or((line, &[]));
    (verb, text::trim(argument))
}

/// Reply code, and whether the reply goes on (RFC 959 §4.2).
fn reply(line: &[u8]) -> Option<(u16, bool)> {
    let [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = line else {
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

fn probe(input: &Input<'_>) -> Probe {
    let Some(end) = memchr::memchr(b'\n', input.bytes) else {
        let readable = input.bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e | b'\r' | b'\t'));
        return if readable && input.bytes.len() < 512 { Probe::More } else { Probe::No };
    };
    let line = input.bytes.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some((code, _)) = reply(line) {
        let is_ftp = line.windows(3).any(|window| window.eq_ignore_ascii_case(b"ftp"));
        return match code {
            220 if is_ftp && !line.windows(4).any(|w| w.eq_ignore_ascii_case(b"smtp")) => {
                Probe::Likely
            }
            227 | 229 => Probe::Likely,
            _ => Probe::Weak,
        };
    }
    let (verb, _) = command(line);
    if OWN.iter().any(|own| verb.eq_ignore_ascii_case(own)) {
        Probe::Likely
    } else if COMMANDS.iter().any(|(known, ..)| verb.eq_ignore_ascii_case(known)) {
        Probe::Weak
    } else {
        Probe::No
    }
}

/// A flow that carries FTP commands and replies.
struct Ftp {
    client: Option<Side>,
    client_said: bool,
    pending: Pending<(), Operation>,
    user: CompactString,
    /// Code of a reply over several lines.
    multi_line: Option<u16>,
    greeted: bool,
    encrypted: bool,
}

impl Ftp {
    fn new() -> Self {
        Self {
            client: None,
            client_said: false,
            pending: Pending::new(32),
            user: CompactString::const_new(""),
            multi_line: None,
            greeted: false,
            encrypted: false,
        }
    }

    fn is_client(&mut self, input: &Input<'_>, line: &[u8]) -> bool {
        let side = input.side;
        let client = *self.client.get_or_insert_with(|| {
            let to_server = input.destination_port == PORT;
            let from_client = if to_server == (input.source_port == PORT) {
                reply(line).is_none()
            } else {
                to_server
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
        let (name, action, is_path) =
            row.map_or(("unknown", Action::Session, false), |row| (row.1, row.2, row.3));
        let argument = argument.get(..argument.len().min(ARGUMENT_CAP)).unwrap_or(argument);
        match name {
            "user" => self.user = text::utf8(argument),
            "pass" => out.push(self.event("cleartext-credentials", input.side, input.locate(verb))),
            _ => {}
        }
        let object = if is_path && !argument.is_empty() {
            Object::Text(text::utf8(argument))
        } else {
            Object::None
        };
        let operation = Operation {
            object,
            // The argument of PASS is a secret, so the verb alone is cited.
            ..input.operation(NAME, input.side, (name, action), verb)
        };
        if let Some(evicted) = self.pending.insert((), operation) {
            out.operation(evicted);
        }
    }

    fn event(&self, kind: &'static str, client: Side, evidence: Spans) -> Item {
        Item::Event(Event {
            kind,
            protocol: NAME,
            sender: client,
            values: vec![("user", self.user.clone())],
            evidence,
        })
    }

    fn reply(&mut self, input: &Input<'_>, line: &[u8], out: &mut Out) {
        let parsed = reply(line);
        if parsed.is_some_and(|(code, _)| code == 220)
            && self.pending.is_empty()
            && !std::mem::replace(&mut self.greeted, true)
        {
            let raw = text::trim(line.get(4..).unwrap_or_default());
            out.claim(Claim {
                who: Who::Sender(Child::None),
                attribute: "server_banner",
                value: text::utf8(raw),
                protocol: NAME,
                message: "greeting",
                confidence: Confidence::High,
                evidence: input.evidence(raw, Decode::Utf8),
            });
        }
        match (self.multi_line, parsed) {
            // Lines between the first and the last of a long reply may start with anything.
            (Some(first), Some((code, false))) if first == code => self.multi_line = None,
            (Some(_), _) | (None, None) => return,
            (None, Some((code, true))) => {
                self.multi_line = Some(code);
                return;
            }
            (None, Some((_, false))) => {}
        }
        let Some((code, _)) = parsed else { return };
        // 1xx comes before the reply that ends the command; 220 and 421 answer nothing.
        if code < 200 || (code == 220 && self.pending.is_empty()) {
            return;
        }
        let client = input.side.other();
        if let Some(mut operation) = self.pending.take(&()) {
            operation.outcome = if code >= 400 { Outcome::Error } else { Outcome::Ok };
            let evidence = || input.locate(line);
            match (operation.name, code) {
                ("user" | "pass" | "acct", 230 | 232) => {
                    out.push(self.event("login", client, evidence()));
                }
                ("pass" | "acct", 400..) | ("user", 530) => {
                    out.push(self.event("login-failed", client, evidence()));
                }
                ("auth", 234) => {
                    self.encrypted = true;
                    out.push(Item::NotDecoded(NAME, "tls"));
                }
                _ => {}
            }
            out.operation(operation);
        }
    }
}

impl Session for Ftp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if self.encrypted {
            return input.bytes.len();
        }
        let mut used = 0;
        while !self.encrypted
            && let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if rest.len() < LINE_CAP {
                    break;
                }
                out.push(input.violation(NAME, "ftp-line-length", rest.get(..64).unwrap_or(rest)));
                used = input.bytes.len();
                break;
            };
            let line = rest.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            used += end + 1;
            // Telnet commands may precede ABOR (RFC 959 §4.1.3).
            let line = line
                .get(line.iter().take_while(|byte| **byte >= 0xf0).count()..)
                .unwrap_or_default();
            if self.is_client(input, line) {
                self.command(input, line, out);
            } else {
                self.reply(input, line, out);
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
        (Side::B, b"220-Welcome\r\n220 box FTP server 1.2 ready\r\n"),
        (Side::A, b"USER operator\r\n"),
        (Side::B, b"331 Password\r\n"),
        (Side::A, b"PASS secret\r\n"),
        (Side::B, b"530 no\r\n"),
        (Side::A, b"PASS better\r\n"),
        (Side::B, b"230 in\r\n"),
        (Side::A, b"STOR firmware.bin\r\n"),
        (Side::B, b"150 go\r\n226 done\r\n"),
        (Side::A, b"QUIT\r\n"),
    ];

    #[test]
    fn commands_are_operations_with_the_reply_as_outcome() {
        let items = testing::items(&PROTOCOL, SESSION);
        let operations: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(op) => Some((op.name, op.object.to_text(), op.outcome)),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![
                ("user", "".into(), Outcome::Ok),
                ("pass", "".into(), Outcome::Error),
                ("pass", "".into(), Outcome::Ok),
                ("stor", "firmware.bin".into(), Outcome::Ok),
                ("quit", "".into(), Outcome::Unseen),
            ],
            operations
        );
    }

    #[test]
    fn log_ins_tell_the_user_and_never_the_password() {
        let items = testing::items(&PROTOCOL, SESSION);
        let events: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Event(event) => Some((event.kind, event.values[0].1.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![
                ("cleartext-credentials", "operator"),
                ("login-failed", "operator"),
                ("cleartext-credentials", "operator"),
                ("login", "operator"),
            ],
            events
        );
        assert!(!format!("{items:?}").contains("secret"));
    }

    #[test]
    fn the_greeting_is_the_banner() {
        let items = testing::items(&PROTOCOL, &SESSION[..1]);
        assert!(items.iter().any(|item| matches!(item, Item::Claim(claim)
            if claim.attribute == "server_banner" && claim.value == "Welcome")));
    }

    #[test]
    fn the_probe_tells_ftp_from_mail() {
        let ftp = b"220 (vsFTPd 3.0.3)\r\n";
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::B, ftp)));
        let mail = b"220 mail.example ESMTP\r\n";
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::B, mail)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"\x00\x01\x00\x00")));
    }

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(&PROTOCOL, SESSION);
    }
}
