//! SMB 1, 2 and 3 over TCP, SMB 1 over NetBEUI, and the browser protocol in NetBIOS datagrams, over
//! IPX too.
//!
//! Sources: [MS-SMB2] §2.1 and RFC 1002 §4.3 (framing), RFC 1002 §4.4 (datagrams); each version of
//! the protocol: [`smb2`], [`smb1`]; announcements of the browser: [`browser`]; log-ins:
//! [`crate::ntlm`]; RPC in named pipes: [`crate::dcerpc`].
//!
//! Commands are operations of `smb1` or `smb2` on the connection `smb`, code = command; the object
//! is a share, or a file as `share\path`. A session that is set up is the event `login`, a refused
//! one `login-failed`, with the reason its status gives; a deleted file is `file-deleted`.
//!
//! Violations: `smb-frame` (something else where a message must start), `smb-header` (a header that
//! contradicts its own standard).
//!
//! Not decoded: encrypted and compressed SMB 3 messages (coverage), contents of files and
//! directories. Passwords and what could be used to guess them are never kept.

use compact_str::{CompactString, format_compact};
use rustc_hash::FxHashMap;

use crate::dcerpc::Association;
use crate::fields::{array_at, part_at};
use crate::ntlm::Login;
use crate::out::{Action, Decode, Event, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};

mod browser;
mod smb1;
mod smb2;

/// SMB.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "SMB",
    roles: ("client", "server"),
    carriers: &[
        Carrier::Tcp(&[445, 139]),
        Carrier::Udp(&[138]),
        Carrier::Llc(&[0xf0]),
        Carrier::EtherType(&[0x8137]),
    ],
    dissector: Dissector::Built { probe, session: || Box::new(Smb::default()) },
    source: "[MS-SMB2], [MS-CIFS], [MS-SMB], [MS-NLMP], [MS-BRWS], RFC 1002",
};

const NAME: &str = "smb";

/// Bytes in front of each message.
const FRAME: usize = 4;
/// Messages up to this size are read whole; of larger ones (file contents) this much.
const WHOLE: usize = 16 * 1024;
const HEAD: usize = 2 * 1024;

const MESSAGE: u8 = 0x00;
const SESSION_REQUEST: u8 = 0x81;
const POSITIVE_RESPONSE: u8 = 0x82;
const NEGATIVE_RESPONSE: u8 = 0x83;
const RETARGET_RESPONSE: u8 = 0x84;
const KEEP_ALIVE: u8 = 0x85;

/// Requests that may wait, names of shares and files that are remembered, open pipes.
const WAITING: usize = 128;
const NAMES: usize = 512;
/// Bytes of a path that are read.
const PATH: usize = 1024;
const PIPES: usize = 16;

/// Which protocol a message speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Smb1,
    Smb2,
    /// SMB2 TRANSFORM_HEADER ([MS-SMB2] §2.2.41).
    Encrypted,
    /// SMB2 COMPRESSION_TRANSFORM_HEADER ([MS-SMB2] §2.2.42).
    Compressed,
}

const fn kind(magic: [u8; 4]) -> Option<Kind> {
    match magic {
        [0xff, b'S', b'M', b'B'] => Some(Kind::Smb1),
        [0xfe, b'S', b'M', b'B'] => Some(Kind::Smb2),
        [0xfd, b'S', b'M', b'B'] => Some(Kind::Encrypted),
        [0xfc, b'S', b'M', b'B'] => Some(Kind::Compressed),
        _ => None,
    }
}

/// What stands at the front of a stream.
enum Front {
    /// Type and length of what follows the four bytes.
    Frame(u8, usize),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front {
    let fits = match *bytes {
        [] => true,
        [MESSAGE, _, _, _, ref rest @ ..] => {
            let magic = [[0xff, 0xfe, 0xfd, 0xfc].as_slice(), b"S", b"M", b"B"];
            rest.iter().zip(magic).all(|(byte, allowed)| allowed.contains(byte))
        }
        [MESSAGE, ..] => true,
        [SESSION_REQUEST, ref rest @ ..] => {
            rest.iter().zip([0, 0, 68, 32]).all(|(byte, wanted)| *byte == wanted)
        }
        [POSITIVE_RESPONSE | KEEP_ALIVE, ref rest @ ..] => {
            rest.iter().take(3).all(|byte| *byte == 0)
        }
        [NEGATIVE_RESPONSE, ref rest @ ..] => {
            rest.iter().zip([0, 0, 1]).all(|(byte, wanted)| *byte == wanted)
        }
        [RETARGET_RESPONSE, ref rest @ ..] => {
            rest.iter().zip([0, 0, 6]).all(|(byte, wanted)| *byte == wanted)
        }
        _ => false,
    };
    if !fits {
        return Front::Foreign;
    }
    let Some([kind, high, middle, low]) = array_at::<FRAME>(bytes, 0) else {
        return Front::Incomplete;
    };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    match (kind, length) {
        (MESSAGE, 0..32) => Front::Foreign,
        (MESSAGE, _) if bytes.len() < FRAME + 4 => Front::Incomplete,
        _ => Front::Frame(kind, length),
    }
}

fn probe(input: &Input<'_>) -> Probe {
    if input.transport == Transport::Ethernet {
        let known = browser::netbeui(input.bytes).is_some() || browser::ipx(input.bytes).is_some();
        return if known { Probe::Certain } else { Probe::No };
    }
    if input.transport == Transport::Udp {
        return match browser::datagram(input.bytes) {
            Some(datagram) if !datagram.message.is_empty() => Probe::Certain,
            Some(_) => Probe::Weak,
            None => Probe::No,
        };
    }
    match front(input.bytes) {
        Front::Frame(MESSAGE, _) => Probe::Certain,
        Front::Frame(SESSION_REQUEST, _) if input.bytes.len() > FRAME => Probe::Certain,
        Front::Frame(..) => Probe::Weak,
        Front::Incomplete => Probe::More,
        Front::Foreign => Probe::No,
    }
}

/// What a request asked for, beyond its operation.
#[derive(Debug, Default)]
enum Asked {
    #[default]
    Nothing,
    /// To be let in.
    Login(Login),
    /// To use a share; its path.
    Tree(CompactString),
    /// To open a file or pipe; `share\path`.
    Open(CompactString),
    /// To read from this pipe, or to write to it and read.
    Pipe(u64),
    /// The same, and to delete it when it is closed.
    OpenToDelete(CompactString),
    /// To delete a file.
    Delete(CompactString),
    /// To speak one of these dialects (SMB 1).
    Dialects(Vec<CompactString>),
}

/// A request that waits for its response.
#[derive(Debug)]
struct Waiting {
    operation: Box<Operation>,
    asked: Asked,
}

/// Pairing: version, message or multiplex id, command, who asked.
type Key = (Kind, u64, u16, Side);

/// Names by id; forgets all when it holds too many.
#[derive(Debug, Default)]
struct Names(FxHashMap<u64, CompactString>);

impl Names {
    fn insert(&mut self, id: u64, name: CompactString) {
        if self.0.len() >= NAMES {
            self.0.clear();
        }
        self.0.insert(id, name);
    }

    fn get(&self, id: u64) -> Option<&CompactString> {
        self.0.get(&id)
    }

    fn object(&self, id: u64) -> Object {
        self.get(id).map_or(Object::None, |name| Object::Text(name.clone()))
    }
}

#[derive(Debug, Default)]
struct Direction {
    /// Bytes of a message that are skipped.
    skip: usize,
    /// A message was read since the start or the last gap.
    synchronised: bool,
}

/// A flow that carries SMB.
struct Smb {
    directions: [Direction; 2],
    pending: Pending<Key, Waiting>,
    trees: Names,
    files: Names,
    pipes: Vec<(u64, Association)>,
    client_told: bool,
    /// Said once a flow: encrypted, compressed.
    said: [bool; 2],
    /// The server wants passwords in clear (SMB 1).
    plain_passwords: bool,
}

impl Default for Smb {
    fn default() -> Self {
        Self {
            directions: Default::default(),
            pending: Pending::new(WAITING),
            trees: Names::default(),
            files: Names::default(),
            pipes: Vec::new(),
            client_told: false,
            said: [false; 2],
            plain_passwords: false,
        }
    }
}

impl Smb {
    fn direction(&mut self, side: Side) -> &mut Direction {
        side.of(&mut self.directions)
    }

    fn client(&mut self, client: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_told, true) {
            out.push(Item::Client(client));
        }
    }

    fn not_decoded(&mut self, kind: Kind, out: &mut Out) {
        let [encrypted, compressed] = &mut self.said;
        let (said, cause) = match kind {
            Kind::Encrypted => (encrypted, "encrypted"),
            _ => (compressed, "compressed"),
        };
        if !std::mem::replace(said, true) {
            out.push(Item::NotDecoded(NAME, cause));
        }
    }

    /// Reads one frame, of which `body` may be the start only.
    fn frame(&mut self, input: &Input<'_>, frame_kind: u8, body: &[u8], out: &mut Out) {
        match (frame_kind, array_at(body, 0).and_then(kind)) {
            (MESSAGE, Some(Kind::Smb1)) => self.smb1(input, body, out),
            (MESSAGE, Some(Kind::Smb2)) => self.smb2(input, body, out),
            (MESSAGE, Some(other)) => self.not_decoded(other, out),
            (SESSION_REQUEST, _) => {
                self.client(input.side, out);
                browser::session_request(input, body, out);
            }
            _ => {}
        }
    }

    /// Adds a request that waits.
    fn ask(&mut self, key: Key, operation: Operation, asked: Asked, out: &mut Out) {
        let operation = Box::new(operation);
        if let Some(oldest) = self.pending.insert(key, Waiting { operation, asked }) {
            out.operation(oldest.operation);
        }
    }

    /// Ends a request with the status of its response: says how it went and what it changed, and
    /// hands back what was asked where the response's body is needed for it.
    fn answer(
        &mut self,
        input: &Input<'_>,
        waiting: Waiting,
        status: u32,
        header: &[u8],
        out: &mut Out,
    ) -> Option<Asked> {
        let Waiting { mut operation, asked } = waiting;
        let ok = is_success(status);
        operation.outcome = if ok { Outcome::Ok } else { Outcome::Error };
        out.operation(operation);
        match asked {
            Asked::Login(_) if status == MORE_PROCESSING_REQUIRED => None,
            Asked::Login(login) => {
                let mut values = login.values();
                if !ok {
                    values.push(("reason", reason(status)));
                    values.sort_unstable();
                }
                out.push(Item::Event(Event {
                    kind: if ok { "login" } else { "login-failed" },
                    protocol: NAME,
                    sender: input.side.other(),
                    values,
                    evidence: input.locate(header),
                }));
                None
            }
            Asked::Delete(file) if ok => {
                out.push(deleted(input, file, header));
                None
            }
            Asked::OpenToDelete(file) if ok => {
                out.push(deleted(input, file.clone(), header));
                Some(Asked::Open(file))
            }
            asked => ok.then_some(asked),
        }
    }

    /// Reads RPC that is written to or read from a pipe.
    fn pipe(&mut self, input: &Input<'_>, file: u64, data: &[u8], out: &mut Out) {
        if !data.starts_with(&[5, 0]) {
            return;
        }
        if !self.pipes.iter().any(|(known, _)| *known == file) {
            if self.pipes.len() >= PIPES {
                let (_, mut oldest) = self.pipes.remove(0);
                oldest.finish(out);
            }
            self.pipes.push((file, Association::default()));
        }
        let pipe = self.pipes.iter_mut().find(|(known, _)| *known == file);
        if let Some((_, association)) = pipe {
            association.pipe(input, data, out);
        }
    }

    fn close_pipe(&mut self, file: u64, out: &mut Out) {
        if let Some(at) = self.pipes.iter().position(|(known, _)| *known == file) {
            self.pipes.remove(at).1.finish(out);
        }
    }
}

/// NTSTATUS of a log-in that needs one more step ([MS-ERREF] §2.3.1).
const MORE_PROCESSING_REQUIRED: u32 = 0xc000_0016;

/// Successes, informations and warnings are no errors; neither is the next step of a log-in.
const fn is_success(status: u32) -> bool {
    status >> 30 != 3 || status == MORE_PROCESSING_REQUIRED
}

/// Why a log-in was refused ([MS-ERREF] §2.3.1).
fn reason(status: u32) -> CompactString {
    match status {
        0xc000_0022 => "access-denied",
        0xc000_005e => "no-logon-servers",
        0xc000_0064 => "no-such-user",
        0xc000_006a => "wrong-password",
        0xc000_006d => "logon-failure",
        0xc000_006e => "account-restriction",
        0xc000_006f => "invalid-logon-hours",
        0xc000_0070 => "invalid-workstation",
        0xc000_0071 => "password-expired",
        0xc000_0072 => "account-disabled",
        0xc000_015b => "logon-type-not-granted",
        0xc000_018d => "trusted-relationship-failure",
        0xc000_0193 => "account-expired",
        0xc000_0224 => "password-must-change",
        0xc000_0234 => "account-locked-out",
        _ => return format_compact!("0x{status:08x}"),
    }
    .into()
}

/// `share` of `\\server\share`.
fn share(path: &str) -> &str {
    path.rsplit('\\').next().unwrap_or(path)
}

/// A claim of the sender about itself.
fn claim(
    input: &Input<'_>,
    message: &'static str,
    attribute: &'static str,
    value: CompactString,
    part: &[u8],
    decode: Decode,
    out: &mut Out,
) {
    out.claim(input.own_claim((NAME, message), attribute, value, part, decode));
}

/// The response in `header` says that a file is deleted, now or when it is closed.
fn deleted(input: &Input<'_>, file: CompactString, header: &[u8]) -> Item {
    Item::Event(Event {
        kind: "file-deleted",
        protocol: NAME,
        sender: input.side.other(),
        values: vec![("file", file)],
        evidence: input.locate(header),
    })
}

/// An operation without object and outcome.
fn operation(
    input: &Input<'_>,
    protocol: &'static str,
    sender: Side,
    code: u16,
    (name, action): (&'static str, Action),
    header: &[u8],
) -> Operation {
    Operation {
        connection: NAME,
        code: Some(u32::from(code)),
        ..input.operation(protocol, sender, (name, action), header)
    }
}

fn violation(input: &Input<'_>, rule: &'static str, part: &[u8]) -> Item {
    input.violation(NAME, rule, part)
}

impl Session for Smb {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.transport == Transport::Udp {
            if let Some(datagram) = browser::datagram(input.bytes) {
                out.layer(NAME, input.side);
                smb1::mailslot(input, datagram.message, out);
            }
            return input.bytes.len();
        }
        if input.transport == Transport::Ethernet {
            if let Some((command, message)) = browser::netbeui(input.bytes) {
                out.layer(NAME, input.side);
                match command {
                    browser::DATA_ONLY_LAST => self.smb1(input, message, out),
                    _ => smb1::mailslot(input, message, out),
                }
            } else if let Some(message) = browser::ipx(input.bytes) {
                out.layer(NAME, input.side);
                smb1::mailslot(input, message, out);
            }
            return input.bytes.len();
        }
        if input.after_gap {
            *self.direction(input.side) = Direction::default();
        }
        let mut used = self.direction(input.side).skip.min(input.bytes.len());
        self.direction(input.side).skip -= used;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Frame(frame_kind, length) => {
                    let read = if length > WHOLE { HEAD } else { length };
                    let Some(body) = rest.get(FRAME..FRAME + read) else { break };
                    self.direction(input.side).synchronised = true;
                    self.frame(input, frame_kind, body, out);
                    let there = (FRAME + length).min(rest.len());
                    self.direction(input.side).skip = FRAME + length - there;
                    used += there;
                }
                Front::Incomplete => break,
                Front::Foreign => {
                    if std::mem::take(&mut self.direction(input.side).synchronised) {
                        out.push(violation(input, "smb-frame", part_at(rest, 0, 8)));
                    }
                    used = input.bytes.len();
                }
            }
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
        for (_, mut association) in self.pipes.drain(..) {
            association.finish(out);
        }
    }

    fn stream_cap(&self) -> usize {
        WHOLE + FRAME + 1024
    }
}

#[cfg(test)]
mod tests;
