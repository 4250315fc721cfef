//! ONC RPC with the port mapper, mount and NFS, over UDP and TCP.
//!
//! Sources: RFC 5531 §9 (messages), §11 (record marking), appendix A (AUTH_SYS); RFC 1833 (port mapper,
//! rpcbind); RFC 1094 (NFS 2), RFC 1813 (NFS 3, mount), RFC 7530 (NFS 4); IANA's register of program
//! numbers; VXI-11 §B.6 for instruments.
//!
//! A call and its reply are one operation, paired by xid; its code is the procedure. NFS is a connection
//! of its own. The objects are paths and file names, programs that are asked for, and for other
//! programs the program and procedure.
//!
//! Rules broken on the wire:
//! * `onc-rpc-message`: a call or reply that ends within its header.
//!
//! Not decoded: compounds of NFS 4, file handles, security other than AUTH_SYS.

use compact_str::CompactString;
use otic_wire::{Cursor, Short};

use crate::fields::part_at;
use crate::out::{Action, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// ONC RPC.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "ONC RPC",
    roles: ("RPC client", "RPC server"),
    carriers: &[Carrier::Udp(&[111, 2049]), Carrier::Tcp(&[111, 2049])],
    dissector: Dissector::Built { probe, session: || Box::new(OncRpc::new()) },
    source: "RFC 5531, RFC 1833, RFC 1813",
};

const NAME: &str = "onc-rpc";
const NFS_NAME: &str = "nfs";

const CALL: u32 = 0;
const REPLY: u32 = 1;

const PORT_MAPPER: u32 = 100_000;
const NFS: u32 = 100_003;
const MOUNT: u32 = 100_005;

const AUTH_SYS: u32 = 1;
/// Longest credentials (§8.2).
const CREDENTIALS: usize = 400;

/// Of a longer message only the beginning is kept.
const LARGE: usize = 4096;
/// Longest record that is believed.
const LONGEST: usize = 1 << 24;
/// Longest name that an object spells out.
const SPELLED: usize = 256;
/// Calls of one flow that may wait at once.
const WAITING: usize = 128;

/// Names of programs.
const fn program_name(number: u32) -> Option<&'static str> {
    Some(match number {
        PORT_MAPPER => "portmapper",
        100_001 => "rstatd",
        100_002 => "rusersd",
        NFS => "nfs",
        100_004 => "ypserv",
        MOUNT => "mountd",
        100_007 => "ypbind",
        100_011 => "rquotad",
        100_021 => "nlockmgr",
        100_024 => "status",
        100_227 => "nfs_acl",
        100_232 => "sadmind",
        395_183 => "vxi-11 core",
        395_184 => "vxi-11 asynchronous",
        395_185 => "vxi-11 interrupt",
        _ => return None,
    })
}

/// Where the object of a procedure stands in its arguments.
#[derive(Clone, Copy)]
enum Target {
    Nothing,
    /// A file handle, then a name.
    Name,
    /// A path.
    Path,
    /// A program's number.
    Program,
}

type Procedure = (&'static str, Action, Target);

const NFS_3: &[Procedure] = &[
    ("null", Action::Session, Target::Nothing),
    ("getattr", Action::Read, Target::Nothing),
    ("setattr", Action::Write, Target::Nothing),
    ("lookup", Action::Read, Target::Name),
    ("access", Action::Read, Target::Nothing),
    ("readlink", Action::Read, Target::Nothing),
    ("read", Action::File, Target::Nothing),
    ("write", Action::File, Target::Nothing),
    ("create", Action::File, Target::Name),
    ("mkdir", Action::File, Target::Name),
    ("symlink", Action::File, Target::Name),
    ("mknod", Action::File, Target::Name),
    ("remove", Action::File, Target::Name),
    ("rmdir", Action::File, Target::Name),
    ("rename", Action::File, Target::Name),
    ("link", Action::File, Target::Nothing),
    ("readdir", Action::Read, Target::Nothing),
    ("readdirplus", Action::Read, Target::Nothing),
    ("fsstat", Action::Read, Target::Nothing),
    ("fsinfo", Action::Read, Target::Nothing),
    ("pathconf", Action::Read, Target::Nothing),
    ("commit", Action::File, Target::Nothing),
];
const NFS_2: &[Procedure] = &[
    ("null", Action::Session, Target::Nothing),
    ("getattr", Action::Read, Target::Nothing),
    ("setattr", Action::Write, Target::Nothing),
    ("root", Action::Read, Target::Nothing),
    ("lookup", Action::Read, Target::Name),
    ("readlink", Action::Read, Target::Nothing),
    ("read", Action::File, Target::Nothing),
    ("writecache", Action::File, Target::Nothing),
    ("write", Action::File, Target::Nothing),
    ("create", Action::File, Target::Name),
    ("remove", Action::File, Target::Name),
    ("rename", Action::File, Target::Name),
    ("link", Action::File, Target::Nothing),
    ("symlink", Action::File, Target::Name),
    ("mkdir", Action::File, Target::Name),
    ("rmdir", Action::File, Target::Name),
    ("readdir", Action::Read, Target::Nothing),
    ("statfs", Action::Read, Target::Nothing),
];
const NFS_4: &[Procedure] =
    &[("null", Action::Session, Target::Nothing), ("compound", Action::File, Target::Nothing)];
const MOUNT_ANY: &[Procedure] = &[
    ("null", Action::Session, Target::Nothing),
    ("mnt", Action::Session, Target::Path),
    ("dump", Action::Read, Target::Nothing),
    ("umnt", Action::Session, Target::Path),
    ("umntall", Action::Session, Target::Nothing),
    ("export", Action::Read, Target::Nothing),
];
const PORT_MAPPER_2: &[Procedure] = &[
    ("null", Action::Session, Target::Nothing),
    ("set", Action::Configuration, Target::Program),
    ("unset", Action::Configuration, Target::Program),
    ("getport", Action::Identify, Target::Program),
    ("dump", Action::Identify, Target::Nothing),
    ("callit", Action::Control, Target::Program),
];
const RPCBIND: &[Procedure] = &[
    ("null", Action::Session, Target::Nothing),
    ("set", Action::Configuration, Target::Program),
    ("unset", Action::Configuration, Target::Program),
    ("getaddr", Action::Identify, Target::Program),
    ("dump", Action::Identify, Target::Nothing),
    ("callit", Action::Control, Target::Program),
    ("gettime", Action::Read, Target::Nothing),
    ("uaddr2taddr", Action::Read, Target::Nothing),
    ("taddr2uaddr", Action::Read, Target::Nothing),
    ("getversaddr", Action::Identify, Target::Program),
    ("indirect", Action::Control, Target::Program),
    ("getaddrlist", Action::Identify, Target::Program),
    ("getstat", Action::Read, Target::Nothing),
];

fn procedures(program: u32, version: u32) -> &'static [Procedure] {
    match (program, version) {
        (NFS, 2) => NFS_2,
        (NFS, 3) => NFS_3,
        (NFS, 4) => NFS_4,
        (MOUNT, _) => MOUNT_ANY,
        (PORT_MAPPER, 2) => PORT_MAPPER_2,
        (PORT_MAPPER, 3 | 4) => RPCBIND,
        _ => &[],
    }
}

/// A call's header and arguments.
struct Call<'a> {
    program: u32,
    version: u32,
    procedure: u32,
    /// The procedure's number.
    code: &'a [u8],
    /// Name of the machine, of AUTH_SYS.
    machine: &'a [u8],
    arguments: &'a [u8],
}

/// Bytes with their length before them, padded to four.
fn opaque<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Short> {
    let length = cursor.u32_be()? as usize;
    let value = cursor.take(length)?;
    // The last ones of a datagram may go without padding.
    let padding = length.next_multiple_of(4) - length;
    cursor.skip(padding.min(cursor.remaining()))?;
    Ok(value)
}

/// Reads what follows the message type of a call; none where it is none.
fn call(body: &[u8]) -> Result<Option<Call<'_>>, Short> {
    let mut cursor = Cursor::new(body);
    if cursor.u32_be()? != 2 {
        return Ok(None);
    }
    let (program, version) = (cursor.u32_be()?, cursor.u32_be()?);
    let code = cursor.take(4)?;
    let procedure = code.as_array().copied().map_or(0, u32::from_be_bytes);
    let flavor = cursor.u32_be()?;
    let credentials = opaque(&mut cursor)?;
    let _verifier = cursor.u32_be()?;
    let verifier = opaque(&mut cursor)?;
    let plausible = program != 0 && version < 0x1_0000 && procedure < 0x1_0000;
    if !plausible || credentials.len() > CREDENTIALS || verifier.len() > CREDENTIALS {
        return Ok(None);
    }
    let mut machine: &[u8] = &[];
    if flavor == AUTH_SYS {
        let mut cursor = Cursor::new(credentials);
        if cursor.skip(4).is_ok() {
            machine = opaque(&mut cursor).unwrap_or_default();
        }
    }
    Ok(Some(Call { program, version, procedure, code, machine, arguments: cursor.rest() }))
}

/// Whether a reply was accepted and carried out, and its results; none where it is no reply.
fn reply(body: &[u8]) -> Result<Option<(bool, &[u8])>, Short> {
    let mut cursor = Cursor::new(body);
    match cursor.u32_be()? {
        0 => {}
        1 => return Ok((cursor.u32_be()? <= 1).then_some((false, &[]))),
        _ => return Ok(None),
    }
    let _flavor = cursor.u32_be()?;
    let verifier = opaque(&mut cursor)?;
    let state = cursor.u32_be()?;
    let fits = verifier.len() <= CREDENTIALS && state <= 5;
    Ok(fits.then_some((state == 0, cursor.rest())))
}

/// The object of a call.
fn object(call: &Call<'_>, target: Target) -> Object {
    let mut cursor = Cursor::new(call.arguments);
    let name = match target {
        Target::Nothing => return Object::None,
        Target::Program => {
            let Ok(number) = cursor.u32_be() else { return Object::None };
            return match program_name(number) {
                Some(name) => Object::Text(name.into()),
                None => Object::Number { kind: "program", number },
            };
        }
        Target::Path => opaque(&mut cursor),
        Target::Name => {
            // Handles of version 2 have one length.
            let handle = if call.version == 2 { cursor.take(32) } else { opaque(&mut cursor) };
            handle.and_then(|_| opaque(&mut cursor))
        }
    };
    match name {
        Ok(name) if !name.is_empty() => Object::Text(text::utf8(part_at(name, 0, SPELLED))),
        _ => Object::None,
    }
}

/// A message without the mark of its record: xid, type and body.
fn message(bytes: &[u8]) -> Result<(u32, u32, &[u8]), Short> {
    let mut cursor = Cursor::new(bytes);
    Ok((cursor.u32_be()?, cursor.u32_be()?, cursor.rest()))
}

fn probe_message(bytes: &[u8]) -> Probe {
    match message(bytes) {
        Ok((_, CALL, body)) => match call(body) {
            Ok(Some(_)) => Probe::Certain,
            _ => Probe::No,
        },
        Ok((_, REPLY, body)) => match reply(body) {
            Ok(Some(_)) => Probe::Weak,
            _ => Probe::No,
        },
        _ => Probe::No,
    }
}

/// Length of a fragment, and whether it is the last of its record.
fn mark(bytes: &[u8]) -> Option<(usize, bool)> {
    let mark = u32::from_be_bytes(*bytes.first_chunk::<4>()?);
    Some(((mark & 0x7fff_ffff) as usize, mark >> 31 == 1))
}

fn probe(input: &Input<'_>) -> Probe {
    if input.transport == Transport::Udp {
        return probe_message(input.bytes);
    }
    let Some((length, _)) = mark(input.bytes) else { return Probe::More };
    if !(24..=LONGEST).contains(&length) {
        return Probe::No;
    }
    let held = length.min(LARGE);
    match input.bytes.get(4..4 + held) {
        Some(record) => probe_message(record),
        None => match (input.bytes.get(8..12), input.bytes.get(12..16)) {
            (Some([0, 0, 0, 0]), Some([0, 0, 0, 2])) => Probe::More,
            (Some([0, 0, 0, 0 | 1]) | None, None) => Probe::More,
            _ => Probe::No,
        },
    }
}

/// A call that waits, and whether its result starts with a status.
struct Asked {
    operation: Operation,
    program: u32,
}

/// A flow that carries ONC RPC.
struct OncRpc {
    client_said: bool,
    /// By sender and xid.
    pending: Pending<(Side, u32), Asked>,
    /// Bytes of a record that are still to come.
    skip: [usize; 2],
    /// The next fragment continues a record.
    continues: [bool; 2],
    synchronised: [bool; 2],
}

impl OncRpc {
    const fn new() -> Self {
        Self {
            client_said: false,
            pending: Pending::new(WAITING),
            skip: [0; 2],
            continues: [false; 2],
            synchronised: [false; 2],
        }
    }

    /// Reads a message; false where it is none.
    fn message(&mut self, input: &Input<'_>, bytes: &[u8], out: &mut Out) -> bool {
        let read = match message(bytes) {
            Ok((xid, CALL, body)) => match call(body) {
                Ok(Some(call)) => {
                    self.call(input, xid, &call, out);
                    return true;
                }
                other => other.map(|_| ()),
            },
            Ok((xid, REPLY, body)) => match reply(body) {
                Ok(Some((accepted, results))) => {
                    self.reply(input, xid, accepted, results, out);
                    return true;
                }
                other => other.map(|_| ()),
            },
            other => other.map(|_| ()),
        };
        // Of a long message only the beginning is here.
        if read.is_err() && bytes.len() < LARGE && !input.truncated {
            out.push(input.violation(NAME, "onc-rpc-message", part_at(bytes, 0, 16)));
        }
        false
    }

    fn call(&mut self, input: &Input<'_>, xid: u32, call: &Call<'_>, out: &mut Out) {
        // A call sent again.
        if self.pending.get_mut(&(input.side, xid)).is_some() {
            out.layer(NAME, input.side);
            return;
        }
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(input.side));
        }
        out.layer(NAME, input.side);
        if !call.machine.is_empty() {
            out.claim(input.own_text((NAME, "call"), "name", call.machine));
        }
        let known = procedures(call.program, call.version).get(call.procedure as usize);
        let protocol = if call.program == NFS { NFS_NAME } else { NAME };
        if call.program == NFS {
            out.layer(NFS_NAME, input.side);
        }
        let words = known.map_or(("call", Action::Session), |known| (known.0, known.1));
        let mut operation = input.operation(protocol, input.side, words, call.code);
        operation.code = Some(call.procedure);
        operation.object = match known {
            Some((_, _, target)) => object(call, *target),
            None => {
                let program = program_name(call.program).map_or_else(
                    || compact_str::format_compact!("program {}", call.program),
                    CompactString::const_new,
                );
                let procedure = call.procedure;
                Object::Text(compact_str::format_compact!("{program} procedure {procedure}"))
            }
        };
        let asked = Asked { operation, program: call.program };
        if let Some(evicted) = self.pending.insert((input.side, xid), asked) {
            out.operation(evicted.operation);
        }
    }

    fn reply(
        &mut self,
        input: &Input<'_>,
        xid: u32,
        accepted: bool,
        results: &[u8],
        out: &mut Out,
    ) {
        out.layer(NAME, input.side);
        let Some(mut asked) = self.pending.take(&(input.side.other(), xid)) else { return };
        if asked.program == NFS {
            out.layer(NFS_NAME, input.side);
        }
        let first = Cursor::new(results).u32_be().ok();
        let failed = match (asked.program, asked.operation.name) {
            (_, "null" | "dump" | "umnt" | "umntall" | "export") => false,
            (NFS | MOUNT, _) => first.is_some_and(|status| status != 0),
            // No port, no address: the program is not there.
            (PORT_MAPPER, "getport" | "getaddr") => first == Some(0),
            _ => false,
        };
        asked.operation.outcome = if accepted && !failed { Outcome::Ok } else { Outcome::Error };
        out.operation(asked.operation);
    }
}

impl Session for OncRpc {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.transport == Transport::Udp {
            self.message(input, input.bytes, out);
            return input.bytes.len();
        }
        if input.after_gap {
            *input.side.of(&mut self.skip) = 0;
            *input.side.of(&mut self.continues) = false;
            *input.side.of(&mut self.synchronised) = false;
        }
        let skip = input.side.of(&mut self.skip);
        let mut used = input.bytes.len().min(*skip);
        *skip -= used;
        if used > 0 {
            out.layer(NAME, input.side);
        }
        while let Some(rest) = input.bytes.get(used..)
            && let Some((length, last)) = mark(rest)
        {
            let continues = *input.side.of(&mut self.continues);
            if length > LONGEST || (length < 12 && !continues) {
                return input.bytes.len();
            }
            let Some(record) = rest.get(4..4 + length.min(LARGE)) else { break };
            if !continues
                && !self.message(input, record, out)
                && !*input.side.of(&mut self.synchronised)
            {
                return input.bytes.len();
            }
            *input.side.of(&mut self.synchronised) = true;
            *input.side.of(&mut self.continues) = !last;
            let here = (4 + length).min(rest.len());
            *input.side.of(&mut self.skip) = 4 + length - here;
            used += here;
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for asked in self.pending.drain() {
            out.operation(asked.operation);
        }
    }

    fn stream_cap(&self) -> usize {
        LARGE + 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn words(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    fn string(text: &[u8]) -> Vec<u8> {
        let mut bytes = words(&[text.len() as u32]);
        bytes.extend(text);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn call_of(xid: u32, program: u32, version: u32, procedure: u32, arguments: &[u8]) -> Vec<u8> {
        let credentials = [words(&[7]), string(b"press7"), words(&[0, 0, 0])].concat();
        let mut bytes = words(&[xid, CALL, 2, program, version, procedure, AUTH_SYS]);
        bytes.extend(string(&credentials));
        bytes.extend(words(&[0, 0]));
        bytes.extend(arguments);
        bytes
    }

    fn reply_of(xid: u32, results: &[u32]) -> Vec<u8> {
        [words(&[xid, REPLY, 0, 0, 0, 0]), words(results)].concat()
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        let lookup = [string(&[9; 32]), string(b"recipe.csv")].concat();
        vec![
            (Side::A, call_of(1, PORT_MAPPER, 2, 3, &words(&[100_232, 10, 17, 0]))),
            (Side::B, reply_of(1, &[0])),
            (Side::A, call_of(2, MOUNT, 3, 1, &string(b"/export"))),
            (Side::B, reply_of(2, &[0, 4, 1])),
            (Side::A, call_of(3, NFS, 3, 3, &lookup)),
            (Side::A, call_of(3, NFS, 3, 3, &lookup)),
            (Side::B, reply_of(3, &[2])),
            (Side::A, call_of(4, 100_232, 10, 1, &[])),
            (Side::B, words(&[4, REPLY, 1, 1, 5])),
        ]
    }

    fn recorded() -> Vec<(Side, Vec<u8>)> {
        let mark = |bytes: &[u8]| words(&[0x8000_0000 | bytes.len() as u32]);
        conversation()
            .into_iter()
            .map(|(side, bytes)| (side, [mark(&bytes), bytes].concat()))
            .collect()
    }

    const STREAM: Protocol = Protocol { carriers: &[Carrier::Tcp(&[2049])], ..PROTOCOL };

    fn messages(protocol: &Protocol, parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(protocol, &parts)
    }

    #[test]
    fn calls_are_operations_over_both_transports() {
        let expected = [
            ("getport", Some(3), "sadmind", Outcome::Error),
            ("mnt", Some(1), "/export", Outcome::Ok),
            ("lookup", Some(3), "recipe.csv", Outcome::Error),
            ("call", Some(1), "sadmind procedure 1", Outcome::Error),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(a, b, c, outcome)| (a, b, c.to_owned(), outcome)).collect();
        let datagrams = messages(&PROTOCOL, &conversation());
        assert_eq!(expected, testing::coded_operations(&datagrams));
        assert_eq!(expected, testing::coded_operations(&messages(&STREAM, &recorded())));
        assert!(datagrams.iter().any(|item| matches!(item, Item::Layer { protocol: "nfs", .. })));
    }

    #[test]
    fn the_client_names_its_machine() {
        let claims = testing::claims(&messages(&PROTOCOL, &conversation()));
        assert_eq!(("name", "press7".to_owned()), claims[0]);
    }

    #[test]
    fn a_call_that_ends_in_its_header_is_a_violation() {
        let items = messages(
            &PROTOCOL,
            &[(Side::A, call_of(1, NFS, 3, 0, &[])), (Side::A, words(&[2, CALL, 2, NFS]))],
        );
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "onc-rpc-message")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let all = conversation();
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &all[0].1)));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::B, &all[1].1)));
        let stream = recorded();
        assert_eq!(Probe::Certain, testing::probe(&STREAM, (Side::A, &stream[4].1)));
        assert_eq!(Probe::More, testing::probe(&STREAM, (Side::A, &stream[4].1[..30])));
        for protocol in [&PROTOCOL, &STREAM] {
            for bytes in [&b"GET / HTTP/1.1\r\nHost: abcdefgh\r\n\r\n"[..], &[0x80; 60]] {
                assert_eq!(Probe::No, testing::probe(protocol, (Side::A, bytes)));
            }
        }
    }

    #[test]
    fn survives_hostile_bytes() {
        let all = conversation();
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &parts);
        let all = recorded();
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&STREAM, &parts);
    }
}
