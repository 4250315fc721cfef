//! PostgreSQL's frontend/backend protocol, version 3.
//!
//! Sources: PostgreSQL 16 documentation §55.2 (message flow), §55.7 (message formats), §55.8 (error
//! fields), appendix A (SQLSTATE classes); `src/interfaces/libpq/fe-protocol3.c` and
//! `src/include/libpq/libpq.h` of PostgreSQL (which messages may be long).
//!
//! A statement is one operation, ended by its own CommandComplete or by the error that stops it;
//! its object is the table it names. A prepared statement is an operation when it is executed.
//! Values, parameters and passwords are never kept.
//!
//! Rules broken on the wire:
//! * `postgresql-message`: inside a session a type that does not exist or a length that cannot be.
//!
//! Not decoded: rows, parameters and copied data; what follows a granted GSSAPI encryption; version
//! 2 of the protocol. What follows a granted SSLRequest is TLS.

use compact_str::CompactString;
use otic_wire::{Cursor, Spans};

use crate::fields::part_at;
use crate::out::{Action, Event, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::{sql, text};

/// PostgreSQL.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "PostgreSQL",
    roles: ("database client", "database server"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Postgresql::new()) },
    source: "PostgreSQL 16 documentation §55, appendix A",
};

const NAME: &str = "postgresql";
const PORT: u16 = 5432;

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// Major version 3 in the upper half.
const VERSION_3: u32 = 3 << 16;

/// Of a longer message only the beginning is kept.
const LARGE: usize = 16 * 1024;
/// A startup packet is at most this long (`MAX_STARTUP_PACKET_LENGTH`).
const STARTUP_CAP: usize = 10_000;
/// Other than rows, data and texts, messages of a server are at most this long.
const SHORT_CAP: usize = 30_000;
/// Longest message there can be.
const LONG_CAP: usize = 1 << 30;
/// Statements of one flow that may wait at once.
const WAITING: usize = 64;
/// Prepared statements and portals of one flow that are remembered.
const PREPARED: usize = 64;

/// What an untyped packet of a client asks for.
enum Opening<'a> {
    Startup(&'a [u8]),
    Cancel,
    Encryption,
}

/// A message, or the beginning of a long one.
struct Message<'a> {
    kind: u8,
    body: &'a [u8],
    /// The type's byte.
    code: &'a [u8],
    /// Bytes of the whole message.
    length: usize,
}

enum Front<'a> {
    Opening(Opening<'a>, usize),
    Message(Message<'a>),
    Incomplete,
    Foreign,
}

/// Longest message of this type from a client and from a server; none where it sends none.
const fn caps(kind: u8) -> (Option<usize>, Option<usize>) {
    let client = match kind {
        b'Q' | b'P' | b'B' | b'F' | b'd' => Some(LONG_CAP),
        b'p' => Some(65_535),
        b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f' => Some(STARTUP_CAP),
        _ => None,
    };
    let server = match kind {
        b'T' | b'D' | b'd' | b'V' | b'E' | b'N' | b'A' => Some(LONG_CAP),
        b'R' | b'K' | b'1' | b'2' | b'3' | b'C' | b'c' | b'G' | b'H' | b'W' | b'I' | b'v'
        | b'n' | b't' | b'S' | b's' | b'Z' => Some(SHORT_CAP),
        _ => None,
    };
    (client, server)
}

/// Whether only one end sends this type: the client's side of it.
const fn client_of(kind: u8, side: Side) -> Option<Side> {
    match caps(kind) {
        (Some(_), None) => Some(side),
        (None, Some(_)) => Some(side.other()),
        _ => None,
    }
}

/// Name and value of the first startup parameter, and what follows.
fn parameter(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = terminated(bytes)?;
    let (value, rest) = terminated(rest)?;
    (!name.is_empty()).then_some((name, value, rest))
}

/// A text up to its NUL, and what follows.
fn terminated(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

fn opening(bytes: &[u8]) -> Front<'_> {
    let mut cursor = Cursor::new(bytes);
    let Ok(length) = cursor.u32_be() else { return Front::Incomplete };
    let length = length as usize;
    if !(8..=STARTUP_CAP).contains(&length) {
        return Front::Foreign;
    }
    let Ok(code) = cursor.u32_be() else { return Front::Incomplete };
    match (code, length) {
        (SSL | GSS, 8) => Front::Opening(Opening::Encryption, length),
        (CANCEL, 16..=272) if bytes.len() >= length => Front::Opening(Opening::Cancel, length),
        (CANCEL, 16..=272) => Front::Incomplete,
        _ if code & 0xffff_0000 == VERSION_3 => match bytes.get(8..length) {
            Some(parameters) if parameters.first().is_some_and(u8::is_ascii_alphabetic) => {
                Front::Opening(Opening::Startup(parameters), length)
            }
            Some(_) => Front::Foreign,
            None => Front::Incomplete,
        },
        _ => Front::Foreign,
    }
}

/// What stands at the front; `is_client` where it is known who sent it.
fn front(bytes: &[u8], is_client: Option<bool>) -> Front<'_> {
    let mut cursor = Cursor::new(bytes);
    let Ok(code) = cursor.take(1) else { return Front::Incomplete };
    let kind = code.first().copied().unwrap_or_default();
    if kind == 0 && is_client != Some(false) {
        return opening(bytes);
    }
    let cap = match (caps(kind), is_client) {
        ((client, _), Some(true)) => client,
        ((_, server), Some(false)) => server,
        ((client, server), None) => client.max(server),
    };
    let Some(cap) = cap else { return Front::Foreign };
    let Ok(length) = cursor.u32_be() else { return Front::Incomplete };
    let length = length as usize;
    let fixed = match kind {
        b'Z' => length == 5,
        b'X' | b'1' | b'2' | b'3' | b'I' | b'n' | b's' | b'c' => length == 4,
        _ => true,
    };
    if !(4..=cap).contains(&length) || !fixed {
        return Front::Foreign;
    }
    match bytes.get(5..(length + 1).min(LARGE)) {
        Some(body) => Front::Message(Message { kind, body, code, length: length + 1 }),
        None => Front::Incomplete,
    }
}

/// Number of whole messages at the front, and whether nothing foreign follows them.
fn chain(bytes: &[u8], is_client: Option<bool>) -> (usize, bool) {
    let (mut at, mut count) = (0, 0);
    while let Some(rest) = bytes.get(at..)
        && !rest.is_empty()
        && count < 8
    {
        match front(rest, is_client) {
            Front::Message(message) if message.length <= rest.len() => {
                at += message.length;
                count += 1;
            }
            Front::Message(_) | Front::Incomplete => return (count, true),
            _ => return (count, false),
        }
    }
    (count, true)
}

fn is_startup(bytes: &[u8]) -> bool {
    bytes.get(4..).is_some_and(|rest| rest.starts_with(b"\x00\x03\x00\x00user\0"))
}

fn probe(input: &Input<'_>) -> Probe {
    let bytes = input.bytes;
    // Even where its length is wrong.
    if is_startup(bytes) {
        return Probe::Certain;
    }
    match front(bytes, None) {
        Front::Opening(Opening::Startup(parameters), _) => {
            let mut rest = parameters;
            let mut user = false;
            while let Some((name, _, tail)) = parameter(rest) {
                user |= name == b"user";
                rest = tail;
            }
            if user { Probe::Certain } else { Probe::No }
        }
        Front::Opening(..) => Probe::Certain,
        Front::Message(Message { kind: b'Q', body, length, .. })
            if length == bytes.len() && body.last() == Some(&0) && sql::starts_statement(body) =>
        {
            Probe::Likely
        }
        Front::Message(_) => match (chain(bytes, Some(true)), chain(bytes, Some(false))) {
            ((2.., true), _) | (_, (2.., true)) => Probe::Likely,
            ((_, true), _) | (_, (_, true)) => Probe::Weak,
            _ => Probe::No,
        },
        Front::Incomplete if bytes.len() < 8 || bytes.first() == Some(&0) => Probe::More,
        Front::Incomplete if input.on_port(PORT) => Probe::More,
        Front::Incomplete | Front::Foreign => Probe::No,
    }
}

/// What a statement or portal does when it is executed.
#[derive(Clone)]
struct Prepared {
    words: (&'static str, Action),
    object: Object,
}

/// Names of statements or portals; the oldest is forgotten.
#[derive(Default)]
struct Names(Vec<(CompactString, Prepared)>);

impl Names {
    fn set(&mut self, name: &[u8], prepared: Prepared) {
        let name = text::utf8(part_at(name, 0, 64));
        self.0.retain(|(known, _)| *known != name);
        if self.0.len() >= PREPARED {
            self.0.remove(0);
        }
        self.0.push((name, prepared));
    }

    fn get(&self, name: &[u8]) -> Option<Prepared> {
        let name = text::utf8(part_at(name, 0, 64));
        self.0.iter().find(|(known, _)| *known == name).map(|(_, prepared)| prepared.clone())
    }
}

/// A flow that carries PostgreSQL.
struct Postgresql {
    client: Option<Side>,
    client_said: bool,
    /// A request for encryption waits for its answer of one byte.
    asked_encryption: bool,
    encrypted: bool,
    user: CompactString,
    /// Where the user's name stands.
    user_at: Spans,
    method: &'static str,
    startup: Option<Operation>,
    accepted: bool,
    statements: Names,
    portals: Names,
    start_missed: bool,
    /// By the number of the request cycle, which ends with ReadyForQuery.
    pending: Pending<u32, Operation>,
    asked: u32,
    answered: u32,
    /// Bytes of a long message that are still to come.
    skip: [usize; 2],
    synchronised: [bool; 2],
}

impl Postgresql {
    fn new() -> Self {
        Self {
            client: None,
            client_said: false,
            asked_encryption: false,
            encrypted: false,
            user: CompactString::const_new(""),
            user_at: Spans::new(),
            method: "trust",
            startup: None,
            accepted: false,
            statements: Names::default(),
            portals: Names::default(),
            start_missed: false,
            pending: Pending::new(WAITING),
            asked: 0,
            answered: 0,
            skip: [0; 2],
            synchronised: [false; 2],
        }
    }

    fn is_client(&self, input: &Input<'_>) -> Option<bool> {
        match self.client {
            Some(client) => Some(client == input.side),
            None => match (input.destination_port == PORT, input.source_port == PORT) {
                (true, false) => Some(true),
                (false, true) => Some(false),
                _ => None,
            },
        }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        self.client = Some(side);
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(side));
        }
    }

    fn event(&self, kind: &'static str, client: Side, evidence: Spans) -> Item {
        Item::Event(Event {
            kind,
            protocol: NAME,
            sender: client,
            values: vec![("method", self.method.into()), ("user", self.user.clone())],
            evidence,
        })
    }

    fn opening(&mut self, input: &Input<'_>, opening: &Opening<'_>, out: &mut Out) {
        self.say_client(input.side, out);
        match opening {
            Opening::Encryption => self.asked_encryption = true,
            Opening::Cancel => {
                let words = ("cancel-request", Action::Control);
                let mut operation =
                    input.operation(NAME, input.side, words, part_at(input.bytes, 0, 8));
                operation.outcome = Outcome::None;
                out.operation(operation);
            }
            Opening::Startup(parameters) => self.startup(input, parameters, out),
        }
    }

    fn startup(&mut self, input: &Input<'_>, parameters: &[u8], out: &mut Out) {
        let mut database: &[u8] = &[];
        let mut rest = parameters;
        while let Some((name, value, tail)) = parameter(rest) {
            match name {
                b"user" => {
                    self.user = text::utf8(part_at(text::trim(value), 0, 128));
                    self.user_at = input.locate(value);
                }
                b"database" => database = part_at(value, 0, 128),
                b"application_name" => {
                    out.claim(input.own_text((NAME, "startup"), "application_name", value));
                }
                _ => {}
            }
            rest = tail;
        }
        let words = ("startup", Action::Authenticate);
        let mut operation = input.operation(NAME, input.side, words, part_at(parameters, 0, 64));
        // Without a name the database is the user's.
        let database = if database.is_empty() { self.user.clone() } else { text::utf8(database) };
        operation.object = Object::Text(database);
        self.startup = Some(operation);
        self.asked = self.answered + 1;
    }

    fn wait(&mut self, operation: Operation, out: &mut Out) {
        if let Some(evicted) = self.pending.insert(self.asked, operation) {
            out.operation(evicted);
        }
    }

    fn execute(&mut self, input: &Input<'_>, code: &[u8], prepared: Prepared, out: &mut Out) {
        let mut operation = input.operation(NAME, input.side, prepared.words, code);
        operation.object = prepared.object;
        self.wait(operation, out);
    }

    fn request(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) -> Option<()> {
        let body = message.body;
        match message.kind {
            b'Q' => {
                for statement in sql::statements(body) {
                    let words = (statement.name, statement.action);
                    let prepared = Prepared { words, object: statement.object };
                    self.execute(input, statement.verb, prepared, out);
                }
                self.asked = self.asked.wrapping_add(1);
            }
            b'P' => {
                let (name, rest) = terminated(body)?;
                let (query, _) = terminated(rest).unwrap_or((rest, &[]));
                let mut statements = sql::statements(query).into_iter();
                let (words, object, verb) = statements
                    .next()
                    .map_or((("unknown", Action::Session), Object::None, message.code), |first| {
                        ((first.name, first.action), first.object, first.verb)
                    });
                self.statements.set(name, Prepared { words, object: object.clone() });
                let prepare = Prepared { words: ("parse", Action::Session), object };
                self.execute(input, verb, prepare, out);
            }
            b'B' => {
                let (portal, rest) = terminated(body)?;
                let (statement, _) = terminated(rest)?;
                if let Some(prepared) = self.statements.get(statement) {
                    self.portals.set(portal, prepared);
                }
            }
            b'E' => {
                let (portal, _) = terminated(body)?;
                let prepared = self.portals.get(portal).unwrap_or_else(|| {
                    if !std::mem::replace(&mut self.start_missed, true) {
                        out.push(Item::StartNotSeen(NAME));
                    }
                    Prepared { words: ("unknown", Action::Session), object: Object::None }
                });
                self.execute(input, message.code, prepared, out);
            }
            b'F' => {
                let number = Cursor::new(body).u32_be().ok()?;
                let object = Object::Number { kind: "function", number };
                let words = ("function-call", Action::Control);
                self.execute(input, message.code, Prepared { words, object }, out);
                self.asked = self.asked.wrapping_add(1);
            }
            b'S' => self.asked = self.asked.wrapping_add(1),
            b'p' if self.method == "password" => {
                let evidence = input.locate(message.code);
                out.push(self.event("cleartext-credentials", input.side, evidence));
            }
            b'p' if self.method == "sasl" => match terminated(body)?.0 {
                b"SCRAM-SHA-256" => self.method = "scram-sha-256",
                b"SCRAM-SHA-256-PLUS" => self.method = "scram-sha-256-plus",
                _ => {}
            },
            b'X' => {
                let words = ("terminate", Action::Session);
                let mut operation = input.operation(NAME, input.side, words, message.code);
                operation.outcome = Outcome::None;
                out.operation(operation);
            }
            _ => {}
        }
        Some(())
    }

    /// Ends the oldest statement that waits; an answer to Parse ends no other one.
    fn answer(&mut self, outcome: Outcome, to_parse: bool, out: &mut Out) {
        let key = self.answered;
        let fits = |operation: &&mut Operation| {
            outcome == Outcome::Error || (operation.name == "parse") == to_parse
        };
        if self.pending.get_mut(&key).as_ref().is_some_and(fits)
            && let Some(mut operation) = self.pending.take(&key)
        {
            operation.outcome = outcome;
            out.operation(operation);
        }
    }

    fn response(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) -> Option<()> {
        let mut cursor = Cursor::new(message.body);
        if matches!(message.kind, b'S' | b'K' | b'Z') {
            self.logged_in(input, out);
        }
        match message.kind {
            b'R' => {
                self.method = match cursor.u32_be().ok()? {
                    0 => {
                        self.accepted = true;
                        return Some(());
                    }
                    2 => "kerberos",
                    3 => "password",
                    5 => "md5",
                    7 => "gssapi",
                    9 => "sspi",
                    10 => "sasl",
                    _ => return Some(()),
                };
            }
            b'S' => {
                let (name, rest) = terminated(message.body)?;
                let (value, _) = terminated(rest)?;
                if name == b"server_version" {
                    let told_in = (NAME, "parameter-status");
                    out.claim(input.own_text(told_in, "database_version", value));
                }
            }
            b'1' => self.answer(Outcome::Ok, true, out),
            b'C' | b'I' | b's' | b'V' => self.answer(Outcome::Ok, false, out),
            b'E' => self.error(input, message.body, out),
            b'Z' => {
                // What an error stopped was never run.
                while let Some(operation) = self.pending.take(&self.answered) {
                    out.operation(operation);
                }
                if self.answered != self.asked {
                    self.answered = self.answered.wrapping_add(1);
                }
            }
            _ => {}
        }
        Some(())
    }

    /// A user whose proof was accepted may still be refused, until the server tells its settings.
    fn logged_in(&mut self, input: &Input<'_>, out: &mut Out) {
        if self.accepted
            && let Some(mut operation) = self.startup.take()
        {
            operation.outcome = Outcome::Ok;
            out.operation(operation);
            let evidence = std::mem::take(&mut self.user_at);
            out.push(self.event("login", input.side.other(), evidence));
        }
    }

    fn error(&mut self, input: &Input<'_>, body: &[u8], out: &mut Out) {
        let mut state: &[u8] = &[];
        let mut rest = body;
        while let [field, tail @ ..] = rest
            && let Some((value, tail)) = terminated(tail)
        {
            if *field == b'C' {
                state = value;
            }
            rest = tail;
        }
        let client = input.side.other();
        if text::is_printable(state) && state.len() == 5 {
            out.push(Item::Event(Event {
                kind: "database-error",
                protocol: NAME,
                sender: client,
                values: vec![("sqlstate", text::utf8(state))],
                evidence: input.locate(state),
            }));
        }
        match self.startup.take() {
            Some(mut operation) => {
                operation.outcome = Outcome::Error;
                out.operation(operation);
                // Class 28: invalid authorization specification.
                if state.starts_with(b"28") {
                    out.push(self.event("login-failed", client, input.locate(state)));
                }
            }
            None => self.answer(Outcome::Error, false, out),
        }
    }

    fn lost(&mut self, side: Side, out: &mut Out) {
        *side.of(&mut self.skip) = 0;
        *side.of(&mut self.synchronised) = false;
        for operation in self.pending.drain() {
            out.operation(operation);
        }
        self.answered = self.asked;
    }

    /// The answer to a request for encryption, which has no length.
    fn encryption(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        match input.bytes.first() {
            Some(b'S') => self.encrypted = true,
            Some(b'G') => {
                self.encrypted = true;
                out.push(Item::NotDecoded(NAME, "gssapi"));
            }
            Some(b'N') => {}
            // A server that does not know the request answers with an error.
            _ => {
                self.asked_encryption = false;
                return 0;
            }
        }
        self.asked_encryption = false;
        out.layer(NAME, input.side);
        1
    }
}

fn violation(input: &Input<'_>, part: &[u8], out: &mut Out) {
    if !input.truncated {
        out.push(input.violation(NAME, "postgresql-message", part_at(part, 0, 32)));
    }
}

impl Session for Postgresql {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if self.encrypted || input.bytes.is_empty() {
            return input.bytes.len();
        }
        if input.after_gap {
            self.lost(input.side, out);
        }
        if self.asked_encryption && self.is_client(input) == Some(false) {
            let used = self.encryption(input, out);
            if used > 0 {
                return if self.encrypted { input.bytes.len() } else { used };
            }
        }
        let skip = input.side.of(&mut self.skip);
        let mut used = input.bytes.len().min(*skip);
        *skip -= used;
        let mut said = used > 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            let mut length = 0;
            let is_client = self.is_client(input);
            let mut read = Some(());
            match front(rest, is_client) {
                Front::Opening(opening, whole) => {
                    self.opening(input, &opening, out);
                    length = whole;
                }
                Front::Message(message) => {
                    if let Some(client) =
                        client_of(message.kind, input.side).or(self.client).or_else(|| {
                            is_client.map(|is| if is { input.side } else { input.side.other() })
                        })
                    {
                        self.say_client(client, out);
                        read = if client == input.side {
                            self.request(input, &message, out)
                        } else {
                            self.response(input, &message, out)
                        };
                        // Fields that end behind what is kept of a long message are no fault.
                        if read.is_none() && message.length <= LARGE {
                            violation(input, message.code, out);
                        }
                    }
                    length = message.length;
                }
                Front::Incomplete => {}
                Front::Foreign => {
                    let known = std::mem::take(input.side.of(&mut self.synchronised));
                    // The first message of either end tells its type as well.
                    if known || is_startup(rest) || self.startup.is_some() {
                        if !said {
                            out.layer(NAME, input.side);
                        }
                        violation(input, rest, out);
                    }
                    if is_startup(rest) {
                        self.say_client(input.side, out);
                        self.startup(input, rest.get(8..).unwrap_or_default(), out);
                    }
                    return input.bytes.len();
                }
            }
            if length == 0 {
                break;
            }
            *input.side.of(&mut self.synchronised) = true;
            let here = length.min(rest.len());
            *input.side.of(&mut self.skip) = length - here;
            used += here;
            if !std::mem::replace(&mut said, true) {
                out.layer(NAME, input.side);
            }
            if self.asked_encryption && read.is_some() && self.client == Some(input.side) {
                break;
            }
        }
        if used > 0 && !said {
            out.layer(NAME, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for operation in self.startup.take().into_iter().chain(self.pending.drain()) {
            out.operation(operation);
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

    fn typed(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
    }

    fn startup(parameters: &[u8]) -> Vec<u8> {
        [&(parameters.len() as u32 + 8).to_be_bytes(), &VERSION_3.to_be_bytes()[..], parameters]
            .concat()
    }

    fn error(state: &str) -> Vec<u8> {
        typed(b'E', format!("SFATAL\0C{state}\0Mno\0\0").as_bytes())
    }

    const READY: &[u8] = b"Z\0\0\0\x05I";

    fn messages(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        let welcome = [
            typed(b'R', &[0, 0, 0, 0]),
            typed(b'S', b"server_version\x0014.3 (Debian 14.3-1)\0"),
            READY.to_vec(),
        ];
        let prepared = [
            typed(b'P', b"s1\0SELECT v FROM tags WHERE k = $1\0\0\0"),
            typed(b'B', b"\0s1\0\0\0\0\0\0\0"),
            typed(b'E', b"\0\0\0\0\0"),
            typed(b'S', b""),
        ];
        let rows = [
            typed(b'1', b""),
            typed(b'2', b""),
            typed(b'D', b"\0\x01\0\0\0\x01x"),
            typed(b'C', b"SELECT 1\0"),
            READY.to_vec(),
        ];
        vec![
            (Side::A, b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec()),
            (Side::B, b"N".to_vec()),
            (Side::A, startup(b"user\0hmi\0database\0plant\0application_name\0scada\0\0")),
            (Side::B, typed(b'R', &[0, 0, 0, 3])),
            (Side::A, typed(b'p', b"hidden\0")),
            (Side::B, welcome.concat()),
            (Side::A, typed(b'Q', b"BEGIN; UPDATE tags SET v = 'secret'; COMMIT\0")),
            (Side::B, [typed(b'C', b"BEGIN\0"), error("42P01"), READY.to_vec()].concat()),
            (Side::A, prepared.concat()),
            (Side::B, rows.concat()),
            (Side::A, typed(b'X', b"")),
        ]
    }

    fn check(
        text: &'static str,
        object: &str,
        outcome: Outcome,
    ) -> (&'static str, String, Outcome) {
        (text, object.to_owned(), outcome)
    }

    #[test]
    fn statements_are_operations_with_their_tables() {
        assert_eq!(
            vec![
                check("startup", "plant", Outcome::Ok),
                check("begin", "", Outcome::Ok),
                check("update", "tags", Outcome::Error),
                check("commit", "", Outcome::Unseen),
                check("parse", "tags", Outcome::Ok),
                check("select", "tags", Outcome::Ok),
                check("terminate", "", Outcome::None),
            ],
            testing::operations(&messages(&conversation()))
        );
    }

    #[test]
    fn log_ins_versions_and_errors_are_told_without_secrets() {
        let items = messages(&conversation());
        let events: Vec<_> = testing::events(&items)
            .into_iter()
            .map(|event| (event.kind, event.values.last().unwrap().1.to_string()))
            .collect();
        assert_eq!(
            vec![
                ("cleartext-credentials", "hmi".to_owned()),
                ("login", "hmi".to_owned()),
                ("database-error", "42P01".to_owned()),
            ],
            events
        );
        assert_eq!(
            vec![
                ("application_name", "scada".to_owned()),
                ("database_version", "14.3 (Debian 14.3-1)".to_owned()),
            ],
            testing::claims(&items)
        );
        let said = format!("{items:?}");
        assert!(!said.contains("hidden") && !said.contains("secret"));
    }

    #[test]
    fn a_refused_log_in_names_its_user() {
        let items = messages(&[
            (Side::A, startup(b"user\0guest\0\0")),
            (Side::B, typed(b'R', &[0, 0, 0, 5, 1, 2, 3, 4])),
            (Side::A, typed(b'p', b"md5ab\0")),
            (Side::B, error("28P01")),
        ]);
        assert_eq!(vec![check("startup", "guest", Outcome::Error)], testing::operations(&items));
        let events = testing::events(&items);
        assert_eq!("login-failed", events[1].kind);
        assert_eq!(vec![("method", "md5".into()), ("user", "guest".into())], events[1].values);
    }

    #[test]
    fn a_user_without_a_role_is_refused_behind_its_proof() {
        let items = messages(&[
            (Side::A, startup(b"user\0guest\0\0")),
            (Side::B, [typed(b'R', &[0, 0, 0, 0]), error("28000")].concat()),
        ]);
        let kinds: Vec<_> = testing::events(&items).iter().map(|event| event.kind).collect();
        assert_eq!(vec!["database-error", "login-failed"], kinds);
    }

    #[test]
    fn a_session_joined_in_the_middle_still_gives_its_statements() {
        let all = conversation();
        let items = messages(&all[6..]);
        assert_eq!(6, testing::operations(&items).len());
        let items = messages(&[
            (Side::A, [typed(b'B', b"\0s9\0\0\0\0\0\0\0"), typed(b'E', b"\0\0\0\0\0")].concat()),
            (Side::A, typed(b'S', b"")),
            (Side::B, [typed(b'2', b""), typed(b'C', b"SELECT 1\0"), READY.to_vec()].concat()),
        ]);
        assert_eq!(vec![check("unknown", "", Outcome::Ok)], testing::operations(&items));
        assert!(items.contains(&Item::StartNotSeen(NAME)));
    }

    #[test]
    fn wrong_lengths_are_violations() {
        let items = messages(&[
            (Side::A, startup(b"user\0hmi\0\0")),
            (Side::B, b"Z\0\0\0\x01\0\0".to_vec()),
        ]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "postgresql-message" && violation.sender == Side::B)));
    }

    #[test]
    fn a_granted_encryption_leaves_the_flow_to_tls() {
        let hello = [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &hello)));
        let items = messages(&[
            (Side::A, b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec()),
            (Side::B, b"S".to_vec()),
            (Side::A, hello.to_vec()),
        ]);
        assert!(!items.iter().any(|item| matches!(item, Item::Violation(_))));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let all = conversation();
        for (at, expected) in [
            (0, Probe::Certain),
            (2, Probe::Certain),
            (5, Probe::Likely),
            (6, Probe::Likely),
            (9, Probe::Likely),
        ] {
            assert_eq!(expected, testing::probe(&PROTOCOL, (Side::A, &all[at].1)), "message {at}");
        }
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n\r\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"SSH-2.0-OpenSSH_9\r\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, b"\x4a\0\0\0\x0a5.7.1\0")));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, b"\0\0\0")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let all = conversation();
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &parts);
    }
}
