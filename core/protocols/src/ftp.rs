//! FTP: the control connection.
//!
//! Sources: RFC 959 §4.1 (commands), §4.2 (replies; §4.2 also multi-line replies), §5.4 (sequences
//! of replies); RFC 2228 (AUTH and protected commands), RFC 2389 (FEAT, OPTS), RFC 2428 (EPRT,
//! EPSV), RFC 3659 (MDTM, SIZE, MLST, MLSD), RFC 2640 (LANG), RFC 7151 (HOST).
//!
//! A command is an operation; files and folders are its object. A user's name is kept, passwords
//! and accounts never are. After AUTH is accepted the rest is encrypted. Data connections are not
//! followed.
//!
//! Violations: none; lines that are neither a command nor a reply are passed over.

use compact_str::CompactString;

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Event, Item, Object, Operation, Out, Outcome, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// File transfer protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "ftp",
    title: "FTP",
    roles: ("client", "server"),
    carriers: &[Carrier::Tcp(&[21])],
    probe,
    session: || Box::new(Ftp::default()),
    source: "RFC 959, RFC 2228, RFC 2389, RFC 2428, RFC 3659",
};

/// Longest line.
const LINE_BYTES: usize = 4096;
/// Longest object text.
const PATH_BYTES: usize = 512;

/// Verb, operation name, class, and whether its argument is an object (never a secret).
type Verb = (&'static str, &'static str, Action, bool);

const VERBS: &[Verb] = &[
    ("USER", "user", Action::Authenticate, true),
    ("PASS", "pass", Action::Authenticate, false),
    ("ACCT", "acct", Action::Authenticate, false),
    ("AUTH", "auth", Action::Authenticate, true),
    ("ADAT", "adat", Action::Authenticate, false),
    ("PBSZ", "pbsz", Action::Authenticate, false),
    ("PROT", "prot", Action::Authenticate, true),
    ("CCC", "ccc", Action::Authenticate, false),
    ("MIC", "mic", Action::Authenticate, false),
    ("CONF", "conf", Action::Authenticate, false),
    ("ENC", "enc", Action::Authenticate, false),
    ("CWD", "cwd", Action::Session, true),
    ("XCWD", "cwd", Action::Session, true),
    ("CDUP", "cdup", Action::Session, false),
    ("XCUP", "cdup", Action::Session, false),
    ("SMNT", "smnt", Action::Session, true),
    ("REIN", "rein", Action::Session, false),
    ("QUIT", "quit", Action::Session, false),
    ("PORT", "port", Action::Session, false),
    ("PASV", "pasv", Action::Session, false),
    ("EPRT", "eprt", Action::Session, false),
    ("EPSV", "epsv", Action::Session, false),
    ("TYPE", "type", Action::Session, false),
    ("STRU", "stru", Action::Session, false),
    ("MODE", "mode", Action::Session, false),
    ("RETR", "retr", Action::File, true),
    ("STOR", "stor", Action::File, true),
    ("STOU", "stou", Action::File, true),
    ("APPE", "appe", Action::File, true),
    ("ALLO", "allo", Action::File, false),
    ("REST", "rest", Action::File, false),
    ("RNFR", "rnfr", Action::File, true),
    ("RNTO", "rnto", Action::File, true),
    ("ABOR", "abor", Action::Session, false),
    ("DELE", "dele", Action::File, true),
    ("RMD", "rmd", Action::File, true),
    ("XRMD", "rmd", Action::File, true),
    ("MKD", "mkd", Action::File, true),
    ("XMKD", "mkd", Action::File, true),
    ("PWD", "pwd", Action::Read, false),
    ("XPWD", "pwd", Action::Read, false),
    ("LIST", "list", Action::Read, true),
    ("NLST", "nlst", Action::Read, true),
    ("MLST", "mlst", Action::Read, true),
    ("MLSD", "mlsd", Action::Read, true),
    ("SIZE", "size", Action::Read, true),
    ("MDTM", "mdtm", Action::Read, true),
    ("SITE", "site", Action::Control, false),
    ("SYST", "syst", Action::Identify, false),
    ("STAT", "stat", Action::Diagnostics, true),
    ("HELP", "help", Action::Diagnostics, false),
    ("FEAT", "feat", Action::Identify, false),
    ("OPTS", "opts", Action::Session, false),
    ("LANG", "lang", Action::Session, false),
    ("HOST", "host", Action::Session, true),
    ("CLNT", "clnt", Action::Session, true),
    ("NOOP", "noop", Action::Session, false),
];

/// The verb a line starts with, and its argument.
fn verb(line: &[u8]) -> Option<(&'static Verb, &[u8])> {
    let end = line.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    let row = VERBS.iter().find(|row| row.0.as_bytes().eq_ignore_ascii_case(word))?;
    match rest {
        [] => Some((row, rest)),
        [b' ', argument @ ..] => Some((row, text::trim(argument))),
        _ => None,
    }
}

/// Code of a reply line, whether more lines of the reply follow, and its text.
fn reply(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let &[first @ b'1'..=b'6', second @ b'0'..=b'9', third @ b'0'..=b'9'] =
        line.first_chunk::<3>()?
    else {
        return None;
    };
    let code =
        [first, second, third].iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match line.get(3..) {
        Some([]) => Some((code, false, &[])),
        Some([b' ', text @ ..]) => Some((code, false, text)),
        Some([b'-', text @ ..]) => Some((code, true, text)),
        _ => None,
    }
}

fn probe(input: &Input<'_>) -> Probe {
    let bytes = input.bytes;
    let is_text = |byte: &u8| *byte >= b' ' || matches!(byte, b'\r' | b'\n' | b'\t');
    if !bytes.iter().take(128).all(is_text) {
        return Probe::No;
    }
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        let starts = bytes.first().is_some_and(|byte| byte.is_ascii_alphanumeric());
        return if starts && bytes.len() < 256 { Probe::More } else { Probe::No };
    };
    let line = text::trim(bytes.get(..end).unwrap_or_default());
    if let Some((code, _, text)) = reply(line) {
        let upper = text.to_ascii_uppercase();
        let names_ftp = memchr::memmem::find(&upper, b"FTP").is_some();
        // Mail greets with 220 too.
        let is_mail = memchr::memmem::find(&upper, b"SMTP").is_some();
        return match code {
            220 if names_ftp && !is_mail => Probe::Certain,
            227 | 229 | 230 | 331 | 226 => Probe::Likely,
            _ if is_mail => Probe::No,
            _ => Probe::Weak,
        };
    }
    match verb(line) {
        // Words other protocols use as well.
        Some((row, _))
            if matches!(
                row.0,
                "USER"
                    | "PASS"
                    | "QUIT"
                    | "NOOP"
                    | "HELP"
                    | "AUTH"
                    | "STAT"
                    | "LIST"
                    | "MODE"
                    | "HOST"
                    | "SIZE"
            ) =>
        {
            Probe::Weak
        }
        Some(_) => Probe::Likely,
        None => Probe::No,
    }
}

struct Ftp {
    pending: Pending<(), Operation>,
    server: Option<Side>,
    user: CompactString,
    /// Code of a reply whose last line has not come yet.
    multi: Option<u16>,
    banner_told: bool,
    encrypted: bool,
    /// A line too long to be one is passed over.
    skipping: [bool; 2],
}

impl Default for Ftp {
    fn default() -> Self {
        Self {
            pending: Pending::new(64),
            server: None,
            user: CompactString::default(),
            multi: None,
            banner_told: false,
            encrypted: false,
            skipping: [false; 2],
        }
    }
}

impl Ftp {
    fn line(&mut self, input: &Input<'_>, line: &[u8], out: &mut Out) {
        // Telnet commands may precede an ABOR (RFC 959 §4.1.3).
        let start = line.iter().position(|byte| *byte < 0xf0).unwrap_or(line.len());
        let line = text::trim(line.get(start..).unwrap_or_default());
        if self.server != Some(input.side)
            && let Some((row, argument)) = verb(line)
        {
            if self.server.is_none() {
                self.server = Some(input.side.other());
                out.push(Item::Client(input.side));
            }
            self.command(input, line, row, argument, out);
            return;
        }
        if self.server == Some(input.side.other()) {
            return;
        }
        match (self.multi, reply(line)) {
            // Inside a reply of several lines only its own code and a blank end it (RFC 959 §4.2).
            (Some(code), Some((end, false, _))) if end == code => {
                self.multi = None;
                self.reply(input, code, line, out);
            }
            (Some(_), _) | (None, None) => {}
            (None, Some((code, more, text))) => {
                if self.server.is_none() {
                    self.server = Some(input.side);
                    out.push(Item::Client(input.side.other()));
                }
                if code == 220 && !std::mem::replace(&mut self.banner_told, true) {
                    banner(input, text, out);
                }
                if more {
                    self.multi = Some(code);
                } else {
                    self.reply(input, code, line, out);
                }
            }
        }
    }

    fn command(
        &mut self,
        input: &Input<'_>,
        line: &[u8],
        row: &Verb,
        argument: &[u8],
        out: &mut Out,
    ) {
        let (_, name, action, is_object) = *row;
        let argument = argument.get(..argument.len().min(PATH_BYTES)).unwrap_or_default();
        if name == "user" {
            self.user = text::utf8(argument);
        }
        if name == "pass" {
            self.event(input, "cleartext-credentials", input.side, line.get(..4), out);
        }
        let object = if is_object && !argument.is_empty() {
            Object::Text(text::utf8(argument))
        } else {
            Object::None
        };
        let shown = if is_object { line } else { line.get(..4).unwrap_or(line) };
        let operation = Operation {
            protocol: PROTOCOL.name,
            connection: PROTOCOL.name,
            sender: input.side,
            code: None,
            name,
            action,
            object,
            outcome: Outcome::Unseen,
            client_child: Child::None,
            server_child: Child::None,
            evidence: input.locate(shown),
            ts_ns: input.ts_ns,
        };
        if let Some(evicted) = self.pending.insert((), operation) {
            out.operation(evicted);
        }
    }

    /// A whole reply: preliminary ones (1yz) and the greeting answer nothing (RFC 959 §4.2.1).
    fn reply(&mut self, input: &Input<'_>, code: u16, line: &[u8], out: &mut Out) {
        if code < 200 || matches!(code, 220 | 421) && self.pending.is_empty() {
            return;
        }
        let failed = matches!(code, 400..=599);
        let Some(mut operation) = self.pending.take(&()) else { return };
        operation.outcome = if failed { Outcome::Error } else { Outcome::Ok };
        let client = input.side.other();
        match (operation.name, code) {
            ("user" | "pass" | "acct", 230..=232) => {
                self.event(input, "login", client, Some(line), out);
            }
            ("pass" | "acct" | "user", 430 | 530 | 532) => {
                self.event(input, "login-failed", client, Some(line), out);
            }
            ("auth", 234) => {
                self.encrypted = true;
                out.push(Item::NotDecoded(PROTOCOL.name, "encrypted"));
            }
            _ => {}
        }
        out.operation(operation);
    }

    fn event(
        &self,
        input: &Input<'_>,
        kind: &'static str,
        sender: Side,
        part: Option<&[u8]>,
        out: &mut Out,
    ) {
        let values =
            if self.user.is_empty() { Vec::new() } else { vec![("user", self.user.clone())] };
        out.push(Item::Event(Event {
            kind,
            protocol: PROTOCOL.name,
            sender,
            values,
            evidence: input.locate(part.unwrap_or_default()),
        }));
    }
}

fn banner(input: &Input<'_>, line: &[u8], out: &mut Out) {
    let value = text::trim(line);
    out.claim(Claim {
        who: Who::Sender(Child::None),
        attribute: "ftp_banner",
        value: text::utf8(value),
        protocol: PROTOCOL.name,
        message: "greeting",
        confidence: Confidence::Medium,
        evidence: input.evidence(value, Decode::Utf8),
    });
}

impl Session for Ftp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let of = usize::from(input.side == Side::B);
        if input.after_gap {
            self.multi = None;
            if let Some(skipping) = self.skipping.get_mut(of) {
                *skipping = false;
            }
        }
        let mut used = 0;
        while !self.encrypted {
            let rest = input.bytes.get(used..).unwrap_or_default();
            let skipping = self.skipping.get(of).copied().unwrap_or_default();
            match memchr::memchr(b'\n', rest) {
                Some(end) => {
                    used += end + 1;
                    let line = rest.get(..end).unwrap_or_default();
                    if !skipping && line.len() <= LINE_BYTES {
                        self.line(input, line, out);
                    }
                    if let Some(skipping) = self.skipping.get_mut(of) {
                        *skipping = false;
                    }
                }
                None => {
                    if rest.len() > LINE_BYTES || skipping {
                        used = input.bytes.len();
                        if let Some(skipping) = self.skipping.get_mut(of) {
                            *skipping = true;
                        }
                    }
                    break;
                }
            }
        }
        if self.encrypted {
            used = input.bytes.len();
        }
        if used > 0 {
            out.layer(PROTOCOL.name, input.side);
        }
        used
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

    const TALK: &[(Side, &[u8])] = &[
        (Side::B, b"220-Welcome\r\n220 VxWorks FTP server ready\r\n"),
        (Side::A, b"USER loader\r\n"),
        (Side::B, b"331 Password required\r\n"),
        (Side::A, b"PASS hunter2\r\n"),
        (Side::B, b"230 Logged in\r\n"),
        (Side::A, b"STOR firmware.bin\r\n"),
        (Side::B, b"150 Opening\r\n226 Done\r\n"),
        (Side::A, b"DELE /x\r\nQUIT\r\n"),
        (Side::B, b"550 No such file\r\n221 Bye\r\n"),
    ];

    #[test]
    fn commands_pair_with_their_final_replies() {
        let items = testing::items(&PROTOCOL, TALK);
        let operations: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(o) => Some((o.name, o.object.to_text().to_string(), o.outcome)),
                _ => None,
            })
            .collect();
        let wanted = [
            ("user", "loader", Outcome::Ok),
            ("pass", "", Outcome::Ok),
            ("stor", "firmware.bin", Outcome::Ok),
            ("dele", "/x", Outcome::Error),
            ("quit", "", Outcome::Ok),
        ];
        assert_eq!(
            wanted.map(|(name, object, end)| (name, object.to_string(), end)).to_vec(),
            operations
        );
        testing::survives(&PROTOCOL, TALK);
    }

    #[test]
    fn a_log_in_names_the_user_and_never_the_password() {
        let mut refused = TALK[..5].to_vec();
        refused[4] = (Side::B, b"530 Login incorrect\r\n");
        for (talk, kind) in [(TALK[..5].to_vec(), "login"), (refused, "login-failed")] {
            let items = testing::items(&PROTOCOL, &talk);
            assert!(items.iter().any(|item| matches!(item, Item::Event(event)
                if event.kind == kind && event.sender == Side::A
                && event.values == [("user", "loader".into())])));
            assert!(!format!("{items:?}").contains("hunter2"));
        }
    }

    #[test]
    fn the_greeting_must_name_ftp_to_be_certain() {
        assert_eq!(
            Probe::Certain,
            testing::probe(&PROTOCOL, (Side::B, b"220 NET+OS FTP server\r\n"))
        );
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::B, b"220 ready\r\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, b"220 mx ESMTP\r\n")));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, b"PASV\r\n")));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, b"US")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n")));
    }
}
