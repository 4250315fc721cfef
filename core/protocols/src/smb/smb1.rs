//! SMB 1 (CIFS): requests and responses.
//!
//! Sources: [MS-CIFS] §2.2.2.1 (command codes), §2.2.3.1 (header), §2.2.3.4 (AndX chains), §2.2.4
//! (each command), §2.2.4.33 (TRANSACTION), §2.2.6 (TRANSACTION2 subcommands); [MS-SMB] §2.2.4.5 and
//! §2.2.4.6 (negotiation and session set-up with extended security). Mailslots: [MS-MAIL] §2.2.1.
//!
//! TRANS2_SESSION_SETUP is reserved and no client sends it ([MS-CIFS] §2.2.6.15). A server that
//! answers it with another multiplex id than the request's, 0x10 higher, is not an SMB server any
//! more: the answer of the DoublePulsar implant, the event `smb-implant-reply`.

use compact_str::CompactString;

use super::{Asked, Key, Kind, NAME, Smb, browser, claim, operation, share};
use crate::fields::{part_at, u8_at, u16_at, u32_at};
use crate::ntlm::{self, Login};
use crate::out::{Action, Decode, Event, Item, Object, Operation, Out, Outcome};
use crate::session::{Input, Side};
use crate::text;

const PROTOCOL: &str = "smb1";
const HEADER: usize = 32;

const FLAG_REPLY: u8 = 0x80;
const FLAGS2_NT_STATUS: u16 = 0x4000;
const FLAGS2_UNICODE: u16 = 0x8000;

pub(super) const NEGOTIATE: u16 = 0x72;
const CLOSE: u8 = 0x04;
const DELETE: u8 = 0x06;
const TRANSACTION: u8 = 0x25;
const OPEN_ANDX: u8 = 0x2d;
const READ_ANDX: u8 = 0x2e;
const WRITE_ANDX: u8 = 0x2f;
const TRANSACTION2: u8 = 0x32;
const TREE_CONNECT: u8 = 0x70;
const SESSION_SETUP: u8 = 0x73;
const TREE_CONNECT_ANDX: u8 = 0x75;
const NT_CREATE: u8 = 0xa2;

const NO_ANDX: u8 = 0xff;
const TRANSACT_NAMED_PIPE: u16 = 0x26;
const TRANS2_SESSION_SETUP: &str = "session-setup";

const fn operation_of(command: u8) -> (&'static str, Action) {
    match command {
        0x00 => ("create-directory", Action::File),
        0x01 => ("delete-directory", Action::File),
        0x02 => ("open", Action::File),
        0x03 => ("create", Action::File),
        CLOSE => ("close", Action::Session),
        0x05 => ("flush", Action::Session),
        DELETE => ("delete", Action::File),
        0x07 => ("rename", Action::File),
        0x08 => ("query-information", Action::Read),
        0x09 => ("set-information", Action::File),
        0x0a => ("read", Action::File),
        0x0b => ("write", Action::File),
        0x10 => ("check-directory", Action::Read),
        0x22 => ("set-information2", Action::File),
        0x23 => ("query-information2", Action::Read),
        0x24 => ("locking-andx", Action::Session),
        TRANSACTION => ("transaction", Action::Control),
        0x26 => ("transaction-secondary", Action::Control),
        0x2b => ("echo", Action::Diagnostics),
        OPEN_ANDX => ("open-andx", Action::File),
        READ_ANDX => ("read-andx", Action::File),
        WRITE_ANDX => ("write-andx", Action::File),
        TRANSACTION2 => ("transaction2", Action::Read),
        0x33 => ("transaction2-secondary", Action::Read),
        0x34 => ("find-close2", Action::Session),
        TREE_CONNECT => ("tree-connect", Action::Session),
        0x71 => ("tree-disconnect", Action::Session),
        0x72 => ("negotiate", Action::Session),
        SESSION_SETUP => ("session-setup-andx", Action::Authenticate),
        0x74 => ("logoff-andx", Action::Session),
        TREE_CONNECT_ANDX => ("tree-connect-andx", Action::Session),
        0x80 => ("query-information-disk", Action::Read),
        0xa0 => ("nt-transact", Action::Control),
        0xa1 => ("nt-transact-secondary", Action::Control),
        NT_CREATE => ("nt-create-andx", Action::File),
        0xa4 => ("nt-cancel", Action::Session),
        0xa5 => ("nt-rename", Action::File),
        _ => ("unknown", Action::Session),
    }
}

/// TRANSACTION2 subcommands (§2.2.6).
const fn transaction2(subcommand: u16) -> &'static str {
    match subcommand {
        0x00 => "open2",
        0x01 => "find-first2",
        0x02 => "find-next2",
        0x03 => "query-fs-information",
        0x04 => "set-fs-information",
        0x05 => "query-path-information",
        0x06 => "set-path-information",
        0x07 => "query-file-information",
        0x08 => "set-file-information",
        0x0d => "create-directory",
        0x0e => TRANS2_SESSION_SETUP,
        0x10 => "get-dfs-referral",
        _ => "unknown",
    }
}

/// Parameter words and data bytes of one command, with what is needed to read them.
struct Block<'a> {
    message: &'a [u8],
    words: &'a [u8],
    data: &'a [u8],
    unicode: bool,
}

impl<'a> Block<'a> {
    fn read(message: &'a [u8], at: usize, unicode: bool) -> Option<Self> {
        let count = 2 * usize::from(u8_at(message, at)?);
        let words = message.get(at + 1..at + 1 + count)?;
        let bytes = usize::from(u16_at(message, at + 1 + count)?);
        let data = part_at(message, at + 3 + count, bytes);
        Some(Self { message, words, data, unicode })
    }

    fn word(&self, index: usize) -> u16 {
        u16_at(self.words, 2 * index).unwrap_or_default()
    }

    /// The text that starts at `rest`, and what follows it. UTF-16 starts at an even offset from
    /// the header (§2.2.1.1).
    fn text(&self, rest: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        if !self.unicode {
            let end = memchr::memchr(0, rest).unwrap_or(rest.len());
            return (part_at(rest, 0, end), rest.get(end + 1..).unwrap_or_default());
        }
        let offset = rest.as_ptr().addr().wrapping_sub(self.message.as_ptr().addr());
        let rest = rest.get(offset % 2..).unwrap_or_default();
        let part = text::trim_utf16(rest);
        (part, rest.get(part.len() + 2..).unwrap_or_default())
    }

    fn decode(&self, part: &[u8]) -> CompactString {
        let part = part_at(part, 0, super::PATH);
        if self.unicode { text::utf16le(part) } else { text::utf8(text::trim(part)) }
    }

    /// The text at `rest`, decoded.
    fn name(&self, rest: &'a [u8]) -> CompactString {
        self.decode(self.text(rest).0)
    }

    fn claim(
        &self,
        input: &Input<'_>,
        message: &'static str,
        attribute: &'static str,
        part: &[u8],
        out: &mut Out,
    ) {
        let decode = if self.unicode { Decode::Utf16Le } else { Decode::Utf8 };
        let part = if self.unicode { part } else { text::trim(part) };
        let part = part_at(part, 0, super::PATH);
        claim(input, message, attribute, self.decode(part), part, decode, out);
    }

    /// A transaction's part, by the words of its count and offset from the header.
    fn transaction_part(&self, count: usize, offset: usize) -> &'a [u8] {
        part_at(self.message, usize::from(self.word(offset)), usize::from(self.word(count)))
    }
}

/// A mailslot in a datagram: a TRANSACTION that nobody answers.
pub(super) fn mailslot(input: &Input<'_>, message: &[u8], out: &mut Out) {
    let (Some(header), Some(&TRANSACTION)) = (message.get(..HEADER), message.get(4)) else {
        return;
    };
    let Some(block) = Block::read(message, HEADER, false) else { return };
    let (name, _) = block.text(block.data);
    let command = u16::from(TRANSACTION);
    let mut request =
        operation(input, PROTOCOL, input.side, command, operation_of(TRANSACTION), header);
    request.object = Object::Text(text::utf8(part_at(name, 0, super::PATH)));
    request.outcome = Outcome::None;
    request.action = Action::Identify;
    out.operation(request);
    if name.eq_ignore_ascii_case(b"\\MAILSLOT\\BROWSE") {
        browser::announcement(input, block.transaction_part(11, 12), out);
    }
}

impl Smb {
    /// Reads a message with its chain of commands.
    pub(super) fn smb1(&mut self, input: &Input<'_>, message: &[u8], out: &mut Out) {
        let Some(header) = message.get(..HEADER) else { return };
        let number = |at| u16_at(header, at).unwrap_or_default();
        let is_reply = u8_at(header, 9).unwrap_or_default() & FLAG_REPLY != 0;
        let flags2 = number(10);
        let tree = u64::from(number(24));
        let mut status = u32_at(header, 5).unwrap_or_default();
        if flags2 & FLAGS2_NT_STATUS == 0 && status != 0 {
            // A DOS error class and code (§2.2.2.4): an error, whatever its number.
            status |= 0xc000_0000;
        }
        let asker = if is_reply { input.side.other() } else { input.side };
        self.client(asker, out);
        let mut command = u8_at(header, 4).unwrap_or_default();
        let mut at = HEADER;
        let id = if command == 0x72 { 0 } else { u64::from(number(30)) };
        for _ in 0..8 {
            let block = Block::read(message, at, flags2 & FLAGS2_UNICODE != 0);
            let key = (Kind::Smb1, id, u16::from(command), asker);
            if is_reply {
                self.smb1_response(input, header, block.as_ref(), key, status, out);
            } else {
                self.smb1_request(input, header, block.as_ref(), key, tree, out);
            }
            let Some(block) = block else { return };
            // The next command stands in front of what is chained (§2.2.3.4).
            let chains =
                matches!(command, 0x24 | 0x2d | 0x2e | 0x2f | 0x73 | 0x74 | 0x75 | NT_CREATE);
            let (Some(next), Some(offset)) = (u8_at(block.words, 0), u16_at(block.words, 2)) else {
                return;
            };
            if !chains || next == NO_ANDX || usize::from(offset) <= at {
                return;
            }
            command = next;
            at = usize::from(offset);
        }
    }

    fn smb1_request(
        &mut self,
        input: &Input<'_>,
        header: &[u8],
        block: Option<&Block<'_>>,
        key: Key,
        tree: u64,
        out: &mut Out,
    ) {
        let command = key.2 as u8;
        let mut request =
            operation(input, PROTOCOL, input.side, key.2, operation_of(command), header);
        if command == 0xa4 {
            request.outcome = Outcome::None;
            out.operation(request);
            return;
        }
        let mut asked = Asked::Nothing;
        if let Some(block) = block {
            (request.object, asked) = self.smb1_asked(input, block, command, tree, out);
        }
        self.ask(key, request, asked, out);
    }

    fn smb1_path(&self, tree: u64, path: &str) -> CompactString {
        let mut name = CompactString::default();
        if let Some(known) = self.trees.get(tree) {
            name.push_str(share(known));
            if !path.starts_with('\\') {
                name.push('\\');
            }
        }
        name.push_str(path);
        name
    }

    fn smb1_asked(
        &mut self,
        input: &Input<'_>,
        block: &Block<'_>,
        command: u8,
        tree: u64,
        out: &mut Out,
    ) -> (Object, Asked) {
        let nothing = (Object::None, Asked::Nothing);
        match command {
            0x72 => {
                let dialects = block.data.split(|byte| *byte == 0);
                let dialects = dialects.filter_map(|name| name.strip_prefix(&[2])).take(32);
                (
                    Object::None,
                    Asked::Dialects(
                        dialects.map(|name| text::utf8(part_at(name, 0, 64))).collect(),
                    ),
                )
            }
            SESSION_SETUP => {
                let login = self.smb1_login(input, block, out);
                (Object::None, login.map_or(Asked::Nothing, Asked::Login))
            }
            TREE_CONNECT_ANDX => {
                let password = usize::from(block.word(3));
                let path = block.name(block.data.get(password..).unwrap_or_default());
                (Object::Text(path.clone()), Asked::Tree(path))
            }
            TREE_CONNECT => {
                let path = block.name(block.data.get(1..).unwrap_or_default());
                (Object::Text(path.clone()), Asked::Tree(path))
            }
            NT_CREATE | OPEN_ANDX => {
                let name = self.smb1_path(tree, &block.name(block.data));
                (Object::Text(name.clone()), Asked::Open(name))
            }
            // A buffer format byte stands in front of names (§2.2.1.2).
            0x00 | 0x01 | 0x02 | 0x03 | 0x07 | 0x08 | 0x09 | 0x10 => {
                let name = block.name(block.data.get(1..).unwrap_or_default());
                (Object::Text(self.smb1_path(tree, &name)), Asked::Nothing)
            }
            DELETE => {
                let name = block.name(block.data.get(1..).unwrap_or_default());
                let name = self.smb1_path(tree, &name);
                (Object::Text(name.clone()), Asked::Delete(name))
            }
            READ_ANDX => {
                let file = u64::from(block.word(2));
                (self.files.object(file), Asked::Pipe(file))
            }
            WRITE_ANDX => {
                let file = u64::from(block.word(2));
                self.pipe(input, file, block.transaction_part(10, 11), out);
                (self.files.object(file), Asked::Nothing)
            }
            CLOSE => {
                self.close_pipe(u64::from(block.word(0)), out);
                nothing
            }
            TRANSACTION => {
                let name = block.name(block.data);
                if block.word(13) & 0xff >= 2 && block.word(14) == TRANSACT_NAMED_PIPE {
                    let file = u64::from(block.word(15));
                    self.pipe(input, file, block.transaction_part(11, 12), out);
                    let object = match self.files.object(file) {
                        Object::None => Object::Text(name),
                        object => object,
                    };
                    return (object, Asked::Pipe(file));
                }
                (Object::Text(name), Asked::Nothing)
            }
            TRANSACTION2 => (Object::Text(transaction2(block.word(14)).into()), Asked::Nothing),
            _ => nothing,
        }
    }

    /// Session set-up: 12 words with extended security, 13 without, 10 before NT LM 0.12.
    fn smb1_login(&self, input: &Input<'_>, block: &Block<'_>, out: &mut Out) -> Option<Login> {
        const MESSAGE: &str = "session-setup-request";
        let (login, rest) = match block.words.len() {
            24 => {
                let (blob, rest) = block.data.split_at_checked(usize::from(block.word(7)))?;
                (ntlm::read(input, blob, NAME, out), rest)
            }
            26 | 20 => {
                let lengths = usize::from(block.word(7))
                    + if block.words.len() == 26 { usize::from(block.word(8)) } else { 0 };
                let rest = block.data.get(lengths..)?;
                let (user_part, rest) = block.text(rest);
                let (domain, rest) = block.text(rest);
                let mut user = block.decode(user_part);
                if user.is_empty() {
                    user = "anonymous".into();
                } else if self.plain_passwords && lengths > 1 {
                    out.push(Item::Event(Event {
                        kind: "cleartext-credentials",
                        protocol: NAME,
                        sender: input.side,
                        values: vec![("user", user.clone())],
                        evidence: input.locate(user_part),
                    }));
                }
                let domain = block.decode(domain);
                let login = Login { mechanism: "ntlm", user, domain, ..Login::default() };
                (Some(login), rest)
            }
            _ => return None,
        };
        let (system, rest) = block.text(rest);
        let (manager, _) = block.text(rest);
        block.claim(input, MESSAGE, "os", system, out);
        block.claim(input, MESSAGE, "smb_native_lan_manager", manager, out);
        login
    }

    fn smb1_response(
        &mut self,
        input: &Input<'_>,
        header: &[u8],
        block: Option<&Block<'_>>,
        key: Key,
        status: u32,
        out: &mut Out,
    ) {
        let (_, id, command, asker) = key;
        let command = command as u8;
        if let Some(block) = block {
            match command {
                SESSION_SETUP => session_answer(input, block, out),
                0x72 => self.smb1_negotiated(input, block, out),
                _ => {}
            }
        }
        let waiting = self.pending.take(&key);
        let Some(waiting) = waiting else {
            if self.is_implant_reply(command, id, asker) {
                out.push(Item::Event(Event {
                    kind: "smb-implant-reply",
                    protocol: NAME,
                    sender: asker,
                    values: vec![("function", operation_of(command).0.into())],
                    evidence: input.locate(header),
                }));
                return;
            }
            let mut answered =
                operation(input, PROTOCOL, asker, key.2, operation_of(command), header);
            answered.outcome = if super::is_success(status) { Outcome::Ok } else { Outcome::Error };
            out.unpaired(answered);
            return;
        };
        if let (Asked::Dialects(offered), Some(block)) = (&waiting.asked, block) {
            let chosen = offered.get(usize::from(block.word(0)));
            let part = part_at(block.words, 0, 2);
            let value = chosen.cloned().unwrap_or_default();
            claim(input, NEGOTIATED, "smb_dialect", value, part, Decode::Derived, out);
        }
        let Some(asked) = self.answer(input, waiting, status, header, out) else { return };
        match (asked, block) {
            (Asked::Tree(path), _) => {
                let tree = u16_at(header, 24).unwrap_or_default();
                self.trees.insert(u64::from(tree), path);
            }
            (Asked::Open(name), Some(block)) => {
                // NT_CREATE_ANDX has the file id after a byte of oplock level.
                let at = if command == NT_CREATE { 5 } else { 4 };
                if let Some(file) = u16_at(block.words, at) {
                    self.files.insert(u64::from(file), name);
                }
            }
            (Asked::Pipe(file), Some(block)) => {
                let data = if command == READ_ANDX {
                    block.transaction_part(5, 6)
                } else {
                    block.transaction_part(6, 7)
                };
                self.pipe(input, file, data, out);
            }
            _ => {}
        }
    }

    /// Whether a TRANS2_SESSION_SETUP with a multiplex id 0x10 lower waits.
    fn is_implant_reply(&mut self, command: u8, id: u64, asker: Side) -> bool {
        let Some(asked) = id.checked_sub(0x10) else { return false };
        let key = (Kind::Smb1, asked, u16::from(TRANSACTION2), asker);
        command == TRANSACTION2
            && self
                .pending
                .get_mut(&key)
                .is_some_and(|waiting| is_session_setup(&waiting.operation))
    }

    /// §2.2.4.52.2 and [MS-SMB] §2.2.4.5.2: 17 words.
    fn smb1_negotiated(&mut self, input: &Input<'_>, block: &Block<'_>, out: &mut Out) {
        if block.words.len() != 34 {
            return;
        }
        let security = u8_at(block.words, 2).unwrap_or_default();
        let capabilities = u32_at(block.words, 19).unwrap_or_default();
        self.plain_passwords = security & 2 == 0;
        let signing = match security >> 2 & 3 {
            0 => "disabled",
            1 => "enabled",
            _ => "required",
        };
        let part = part_at(block.words, 2, 1);
        claim(input, NEGOTIATED, "smb_signing", signing.into(), part, Decode::Derived, out);
        if capabilities & 0x8000_0000 != 0 {
            ntlm::read(input, block.data.get(16..).unwrap_or_default(), NAME, out);
            return;
        }
        // The challenge, then domain and server name, always in UTF-16 when they are there.
        let challenge = usize::from(u8_at(block.words, 33).unwrap_or_default());
        let names = Block { unicode: true, ..*block };
        let (domain, rest) = utf16_unaligned(names.data.get(challenge..).unwrap_or_default());
        let (server, _) = utf16_unaligned(rest);
        names.claim(input, NEGOTIATED, "domain", domain, out);
        names.claim(input, NEGOTIATED, "name", server, out);
    }
}

const NEGOTIATED: &str = "negotiate-response";

fn is_session_setup(operation: &Operation) -> bool {
    matches!(&operation.object, Object::Text(name) if name == TRANS2_SESSION_SETUP)
}

/// A UTF-16 text that is not aligned, up to its NUL, and what follows it.
fn utf16_unaligned(bytes: &[u8]) -> (&[u8], &[u8]) {
    let part = text::trim_utf16(bytes);
    (part, bytes.get(part.len() + 2..).unwrap_or_default())
}

/// Session set-up's response: the server's system; 4 words with extended security, else 3.
fn session_answer(input: &Input<'_>, block: &Block<'_>, out: &mut Out) {
    const MESSAGE: &str = "session-setup-response";
    let rest = match block.words.len() {
        8 => {
            let Some((blob, rest)) = block.data.split_at_checked(usize::from(block.word(3))) else {
                return;
            };
            ntlm::read(input, blob, NAME, out);
            rest
        }
        6 => block.data,
        _ => return,
    };
    let (system, rest) = block.text(rest);
    let (manager, rest) = block.text(rest);
    let (domain, _) = block.text(rest);
    block.claim(input, MESSAGE, "os", system, out);
    block.claim(input, MESSAGE, "smb_native_lan_manager", manager, out);
    block.claim(input, MESSAGE, "domain", domain, out);
}
