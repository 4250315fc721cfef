//! SMB 2 and 3: requests and responses.
//!
//! Source: [MS-SMB2] §2.2.1 (header; command codes), §2.2.3 to §2.2.40 (each message, in the order
//! of its code), §3.2.4.1.4 (compounds), §2.2.31 (FSCTL codes); [MS-FSCC] §2.4 (file information
//! classes).

use compact_str::CompactString;

use super::{Asked, Key, Kind, NAME, Smb, claim, operation, share, violation};
use crate::fields::{array_at, part_at, u8_at, u16_at, u32_at, u64_at};
use crate::ntlm;
use crate::out::{Action, Decode, Object, Out, Outcome};
use crate::session::Input;
use crate::text;

const PROTOCOL: &str = "smb2";
const HEADER: usize = 64;

const FLAG_RESPONSE: u32 = 0x1;
const STATUS_PENDING: u32 = 0x103;

const NEGOTIATE: u16 = 0;
const SESSION_SETUP: u16 = 1;
const TREE_CONNECT: u16 = 3;
const CREATE: u16 = 5;
const CLOSE: u16 = 6;
const READ: u16 = 8;
const WRITE: u16 = 9;
const IOCTL: u16 = 11;
const CANCEL: u16 = 12;
const QUERY_DIRECTORY: u16 = 14;
const CHANGE_NOTIFY: u16 = 15;
const SET_INFO: u16 = 17;
const OPLOCK_BREAK: u16 = 18;

const FSCTL_PIPE_TRANSCEIVE: u32 = 0x0011_c017;
const FILE_DELETE_ON_CLOSE: u32 = 0x1000;
const FILE_DISPOSITION_INFORMATION: u8 = 13;

const fn operation_of(command: u16) -> (&'static str, Action) {
    match command {
        NEGOTIATE => ("negotiate", Action::Session),
        SESSION_SETUP => ("session-setup", Action::Authenticate),
        2 => ("logoff", Action::Session),
        TREE_CONNECT => ("tree-connect", Action::Session),
        4 => ("tree-disconnect", Action::Session),
        CREATE => ("create", Action::File),
        CLOSE => ("close", Action::Session),
        7 => ("flush", Action::Session),
        READ => ("read", Action::File),
        WRITE => ("write", Action::File),
        10 => ("lock", Action::Session),
        IOCTL => ("ioctl", Action::Control),
        CANCEL => ("cancel", Action::Session),
        13 => ("echo", Action::Diagnostics),
        QUERY_DIRECTORY => ("query-directory", Action::Read),
        CHANGE_NOTIFY => ("change-notify", Action::Subscribe),
        16 => ("query-info", Action::Read),
        SET_INFO => ("set-info", Action::File),
        OPLOCK_BREAK => ("oplock-break", Action::Session),
        _ => ("unknown", Action::Session),
    }
}

/// Dialect revision numbers (§2.2.4).
const fn dialect(number: u16) -> &'static str {
    match number {
        0x0202 => "2.0.2",
        0x0210 => "2.1",
        0x0300 => "3.0",
        0x0302 => "3.0.2",
        0x0311 => "3.1.1",
        _ => "",
    }
}

/// What is remembered from one message of a compound to the next.
#[derive(Default)]
struct Compound {
    tree: u64,
    file: u64,
    name: Option<CompactString>,
}

impl Smb {
    /// Reads a message: one request or response, or a compound of several.
    pub(super) fn smb2(&mut self, input: &Input<'_>, message: &[u8], out: &mut Out) {
        let mut rest = message;
        let mut compound = Compound::default();
        for _ in 0..32 {
            let (Some(size), Some(next)) = (u16_at(rest, 4), u32_at(rest, 20)) else { return };
            if size as usize != HEADER || !rest.starts_with(b"\xfeSMB") {
                out.push(violation(input, "smb-header", part_at(rest, 0, HEADER)));
                return;
            }
            let next = next as usize;
            let one = if next == 0 { rest } else { part_at(rest, 0, next) };
            if self.smb2_message(input, one, &mut compound, out).is_none() {
                return;
            }
            if next < HEADER || !next.is_multiple_of(8) {
                return;
            }
            rest = rest.get(next..).unwrap_or_default();
            if rest.is_empty() {
                return;
            }
        }
    }

    fn smb2_message(
        &mut self,
        input: &Input<'_>,
        message: &[u8],
        compound: &mut Compound,
        out: &mut Out,
    ) -> Option<()> {
        let header = message.get(..HEADER)?;
        let body = message.get(HEADER..)?;
        let (status, command) = (u32_at(header, 8)?, u16_at(header, 12)?);
        let (flags, id) = (u32_at(header, 16)?, u64_at(header, 24)?);
        if flags & FLAG_RESPONSE != 0 {
            let key = (Kind::Smb2, id, command, input.side.other());
            return self.smb2_response(input, message, key, status, out);
        }
        self.client(input.side, out);
        let mut request =
            operation(input, PROTOCOL, input.side, command, operation_of(command), header);
        if command == CANCEL {
            request.outcome = Outcome::None;
            out.operation(request);
            return Some(());
        }
        let tree = match u32_at(header, 36)? {
            u32::MAX => compound.tree,
            tree => u64::from(tree),
        };
        compound.tree = tree;
        let (object, asked) = self.smb2_request(input, message, body, command, compound, out);
        request.object = object;
        self.ask((Kind::Smb2, id, command, input.side), request, asked, out);
        Some(())
    }

    /// What a request acts on, and what its response is needed for.
    fn smb2_request(
        &mut self,
        input: &Input<'_>,
        message: &[u8],
        body: &[u8],
        command: u16,
        compound: &mut Compound,
        out: &mut Out,
    ) -> (Object, Asked) {
        // Offset from the header, and length, of a part of the message.
        let part = |at: usize| {
            let start = u16_at(body, at).unwrap_or_default();
            let length = u16_at(body, at + 2).unwrap_or_default();
            part_at(message, usize::from(start), usize::from(length))
        };
        let path = |at: usize| text::utf16le(part_at(part(at), 0, super::PATH));
        match command {
            SESSION_SETUP => {
                let login = ntlm::read(input, part(12), NAME, out);
                (Object::None, login.map_or(Asked::Nothing, Asked::Login))
            }
            TREE_CONNECT => {
                let path = path(4);
                (Object::Text(path.clone()), Asked::Tree(path))
            }
            CREATE => {
                let mut name = CompactString::default();
                if let Some(tree) = self.trees.get(compound.tree) {
                    name.push_str(share(tree));
                    name.push('\\');
                }
                name.push_str(&path(44));
                compound.name = Some(name.clone());
                compound.file = u64::MAX;
                let options = u32_at(body, 40).unwrap_or_default();
                let asked = if options & FILE_DELETE_ON_CLOSE != 0 {
                    Asked::OpenToDelete(name.clone())
                } else {
                    Asked::Open(name.clone())
                };
                (Object::Text(name), asked)
            }
            _ => {
                let at = match command {
                    CLOSE | 7 | 10 | CHANGE_NOTIFY | QUERY_DIRECTORY | IOCTL => 8,
                    READ | WRITE | SET_INFO => 16,
                    16 => 24,
                    _ => return (Object::None, Asked::Nothing),
                };
                let Some(file) = file_id(body, at) else { return (Object::None, Asked::Nothing) };
                let named = file == u64::MAX && compound.file == u64::MAX;
                let object = match &compound.name {
                    Some(name) if named => Object::Text(name.clone()),
                    _ => self.files.object(file),
                };
                self.smb2_file(input, message, body, command, file, object, out)
            }
        }
    }

    /// A request about an open file.
    #[allow(clippy::too_many_arguments, reason = "the parts of one request")]
    fn smb2_file(
        &mut self,
        input: &Input<'_>,
        message: &[u8],
        body: &[u8],
        command: u16,
        file: u64,
        object: Object,
        out: &mut Out,
    ) -> (Object, Asked) {
        match command {
            CLOSE => {
                self.close_pipe(file, out);
                (Object::None, Asked::Nothing)
            }
            READ => (object, Asked::Pipe(file)),
            WRITE => {
                let start = u16_at(body, 2).unwrap_or_default();
                let length = u32_at(body, 4).unwrap_or_default();
                let data = part_at(message, usize::from(start), length as usize);
                self.pipe(input, file, data, out);
                (object, Asked::Nothing)
            }
            IOCTL => {
                if u32_at(body, 4) == Some(FSCTL_PIPE_TRANSCEIVE) {
                    let start = u32_at(body, 24).unwrap_or_default();
                    let length = u32_at(body, 28).unwrap_or_default();
                    let data = part_at(message, start as usize, length as usize);
                    self.pipe(input, file, data, out);
                    return (object, Asked::Pipe(file));
                }
                (object, Asked::Nothing)
            }
            SET_INFO => {
                let start = u16_at(body, 8).map(usize::from).unwrap_or_default();
                let deletes = u8_at(body, 2) == Some(1)
                    && u8_at(body, 3) == Some(FILE_DISPOSITION_INFORMATION)
                    && u8_at(message, start) == Some(1);
                match &object {
                    Object::Text(name) if deletes => {
                        let asked = Asked::Delete(name.clone());
                        (object, asked)
                    }
                    _ => (object, Asked::Nothing),
                }
            }
            QUERY_DIRECTORY | CHANGE_NOTIFY => (object, Asked::Nothing),
            _ => (Object::None, Asked::Nothing),
        }
    }

    fn smb2_response(
        &mut self,
        input: &Input<'_>,
        message: &[u8],
        key: Key,
        status: u32,
        out: &mut Out,
    ) -> Option<()> {
        let (_, id, command, asker) = key;
        let header = message.get(..HEADER)?;
        let body = message.get(HEADER..)?;
        if status == STATUS_PENDING {
            return Some(());
        }
        self.client(asker, out);
        if command == NEGOTIATE {
            negotiated(input, message, body, out);
        }
        if command == SESSION_SETUP {
            let start = u16_at(body, 4).map(usize::from).unwrap_or_default();
            let length = u16_at(body, 6).map(usize::from).unwrap_or_default();
            ntlm::read(input, part_at(message, start, length), NAME, out);
        }
        let waiting = self.pending.take(&key).or_else(|| {
            // SMB 1's negotiation may lead here (§3.3.5.3).
            let smb1 = |side| (Kind::Smb1, 0, super::smb1::NEGOTIATE, side);
            (command == NEGOTIATE).then(|| self.pending.take(&smb1(asker)))?
        });
        let Some(waiting) = waiting else {
            let mut answered =
                operation(input, PROTOCOL, asker, command, operation_of(command), header);
            if command == OPLOCK_BREAK && id == u64::MAX {
                // The server's own notification (§2.2.23.1).
                answered.sender = input.side;
                answered.outcome = Outcome::None;
                out.operation(answered);
            } else {
                let ok = super::is_success(status);
                answered.outcome = if ok { Outcome::Ok } else { Outcome::Error };
                out.unpaired(answered);
            }
            return Some(());
        };
        match self.answer(input, waiting, status, header, out)? {
            Asked::Tree(path) => self.trees.insert(u64::from(u32_at(header, 36)?), path),
            Asked::Open(name) => self.files.insert(file_id(body, 64)?, name),
            Asked::Pipe(file) => {
                let data = if command == READ {
                    let start = u8_at(body, 2).map(usize::from)?;
                    part_at(message, start, u32_at(body, 4)? as usize)
                } else {
                    part_at(message, u32_at(body, 32)? as usize, u32_at(body, 36)? as usize)
                };
                self.pipe(input, file, data, out);
            }
            _ => {}
        }
        Some(())
    }
}

/// A file id in one number: its volatile half is what tells open files apart, and a persistent one
/// is mixed in (§2.2.14.1). All ones is the file of the message before in a compound.
fn file_id(body: &[u8], at: usize) -> Option<u64> {
    let (persistent, volatile) = (u64_at(body, at)?, u64_at(body, at + 8)?);
    if persistent == u64::MAX {
        return Some(u64::MAX);
    }
    Some(volatile ^ persistent.rotate_left(32))
}

/// What a server says of itself when the dialect is agreed (§2.2.4).
fn negotiated(input: &Input<'_>, message: &[u8], body: &[u8], out: &mut Out) {
    const MESSAGE: &str = "negotiate-response";
    let (Some(security), Some(number)) = (u16_at(body, 2), u16_at(body, 4)) else { return };
    let value = dialect(number);
    claim(input, MESSAGE, "smb_dialect", value.into(), part_at(body, 4, 2), Decode::Derived, out);
    let signing = if security & 2 != 0 { "required" } else { "enabled" };
    let part = part_at(body, 2, 2);
    claim(input, MESSAGE, "smb_signing", signing.into(), part, Decode::Derived, out);
    let start = u16_at(body, 56).map(usize::from).unwrap_or_default();
    let length = u16_at(body, 58).map(usize::from).unwrap_or_default();
    ntlm::read(input, part_at(message, start, length), NAME, out);
    if let Some(guid) = array_at::<16>(body, 8).filter(|guid| *guid != [0; 16]) {
        let mut value = CompactString::default();
        for byte in guid {
            value.push_str(&compact_str::format_compact!("{byte:02x}"));
        }
        let part = part_at(body, 8, 16);
        claim(input, MESSAGE, "smb_server_guid", value, part, Decode::Hex, out);
    }
}
