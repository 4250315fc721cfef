//! MySQL's client/server protocol, also spoken by MariaDB.
//!
//! Sources: MySQL 8.0 internals manual "Client/Server Protocol" (packets, protocol handshake V10,
//! `HandshakeResponse41`, capability flags, command phase, generic responses, query attributes,
//! binary values); MySQL 8.0 error message reference (1044, 1045, 1130, 1698).
//!
//! The code of an operation is the command's byte. A query is named by its verb, its object is the
//! table it names; a prepared statement is one when it is executed. Values, parameters and passwords
//! are never kept.
//!
//! Rules broken on the wire:
//! * `mysql-packet`: a packet shorter than its fields, or a command that does not exist.
//!
//! Not decoded: rows; results behind the first of several statements in one text; the compressed
//! protocol; what follows a request for SSL is TLS.

use compact_str::CompactString;
use otic_wire::{Cursor, Short, Spans};

use crate::fields::part_at;
use crate::out::{Action, Event, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::{sql, text};

/// MySQL.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "MySQL",
    roles: ("database client", "database server"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Mysql::new()) },
    source: "MySQL 8.0 internals manual, Client/Server Protocol",
};

const NAME: &str = "mysql";
const PORT: u16 = 3306;

const QUIT: u8 = 0x01;
const INIT_DB: u8 = 0x02;
const QUERY: u8 = 0x03;
const CHANGE_USER: u8 = 0x11;
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;
const LONG_DATA: u8 = 0x18;
const CLOSE: u8 = 0x19;

const OK: u8 = 0x00;
const SWITCH: u8 = 0xfe;
const ERR: u8 = 0xff;

const WITH_DATABASE: u32 = 1 << 3;
const COMPRESS: u32 = 1 << 5;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN: u32 = 1 << 19;
const ATTRIBUTES: u32 = 1 << 20;
const LENGTH_ENCODED: u32 = 1 << 21;
const ZSTD: u32 = 1 << 26;
const QUERY_ATTRIBUTES: u32 = 1 << 27;

/// Of a longer packet only the beginning is kept.
const LARGE: usize = 16 * 1024;
/// Prepared statements of one flow that are remembered.
const PREPARED: usize = 64;

/// Name and action of a command.
const fn command(code: u8) -> Option<(&'static str, Action)> {
    Some(match code {
        0x00 => ("sleep", Action::Session),
        QUIT => ("quit", Action::Session),
        INIT_DB => ("init-db", Action::Session),
        QUERY => ("query", Action::Session),
        0x04 => ("field-list", Action::Read),
        0x05 => ("create-db", Action::Configuration),
        0x06 => ("drop-db", Action::Configuration),
        0x07 => ("refresh", Action::Configuration),
        0x08 => ("shutdown", Action::Stop),
        0x09 => ("statistics", Action::Diagnostics),
        0x0a => ("process-info", Action::Diagnostics),
        0x0b => ("connect", Action::Session),
        0x0c => ("process-kill", Action::Stop),
        0x0d => ("debug", Action::Diagnostics),
        0x0e => ("ping", Action::Session),
        0x0f => ("time", Action::Session),
        0x10 => ("delayed-insert", Action::Session),
        CHANGE_USER => ("change-user", Action::Authenticate),
        0x12 => ("binlog-dump", Action::Read),
        0x13 => ("table-dump", Action::Read),
        0x14 => ("connect-out", Action::Session),
        0x15 => ("register-slave", Action::Session),
        PREPARE => ("prepare", Action::Session),
        EXECUTE => ("execute", Action::Session),
        LONG_DATA => ("send-long-data", Action::Session),
        CLOSE => ("close", Action::Session),
        0x1a => ("reset-statement", Action::Session),
        0x1b => ("set-option", Action::Session),
        0x1c => ("fetch", Action::Read),
        0x1d => ("daemon", Action::Session),
        0x1e => ("binlog-dump-gtid", Action::Read),
        0x1f => ("reset-connection", Action::Session),
        _ => return None,
    })
}

/// A packet, or the beginning of a long one.
struct Packet<'a> {
    sequence: u8,
    body: &'a [u8],
    /// Bytes of the whole packet.
    length: usize,
}

fn front(bytes: &[u8]) -> Option<Packet<'_>> {
    let mut cursor = Cursor::new(bytes);
    let payload = cursor.u24_le().ok()? as usize;
    let sequence = cursor.u8().ok()?;
    let body = bytes.get(4..4 + payload.min(LARGE))?;
    Some(Packet { sequence, body, length: 4 + payload })
}

/// A length-encoded integer; none for the marks that are no number.
fn variable(cursor: &mut Cursor<'_>) -> Result<Option<u64>, Short> {
    Ok(match cursor.u8()? {
        number @ 0..=250 => Some(u64::from(number)),
        252 => Some(u64::from(cursor.u16_le()?)),
        253 => Some(u64::from(cursor.u24_le()?)),
        254 => Some(cursor.u64_le()?),
        _ => None,
    })
}

/// A length-encoded text.
fn string<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Short> {
    let length = variable(cursor)?.and_then(|length| usize::try_from(length).ok());
    cursor.take(length.unwrap_or(usize::MAX))
}

/// A text up to its NUL; the last one of a packet may go without.
fn terminated<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Short> {
    let rest = cursor.rest();
    let end = memchr::memchr(0, rest);
    let text = cursor.take(end.unwrap_or(rest.len()))?;
    if end.is_some() {
        cursor.skip(1)?;
    }
    Ok(text)
}

/// What a server's greeting tells.
struct Greeting<'a> {
    version: &'a [u8],
    capabilities: u32,
}

fn greeting(body: &[u8]) -> Option<Greeting<'_>> {
    let mut cursor = Cursor::new(body);
    if cursor.u8().ok()? != 10 {
        return None;
    }
    memchr::memchr(0, cursor.rest())?;
    let version = terminated(&mut cursor).ok()?;
    let (_thread, _scramble) = (cursor.u32_le().ok()?, cursor.take(8).ok()?);
    if cursor.u8().ok()? != 0 || !text::is_printable(version) {
        return None;
    }
    let low = u32::from(cursor.u16_le().ok()?);
    // Servers before 4.1 say no more.
    let high = match (cursor.take(3), cursor.u16_le()) {
        (Ok(_), Ok(high)) => u32::from(high),
        _ => 0,
    };
    Some(Greeting { version, capabilities: high << 16 | low })
}

/// What a client's answer to the greeting tells.
#[derive(Default)]
struct Login<'a> {
    capabilities: u32,
    user: &'a [u8],
    database: &'a [u8],
    plugin: &'a [u8],
    /// Name and value of the attributes.
    attributes: Vec<(&'a [u8], &'a [u8])>,
}

/// Whether a packet of a client has the fixed part of the answer to a greeting.
fn is_login(body: &[u8]) -> bool {
    // Filler: MariaDB has further capabilities in the last four bytes.
    matches!(body, [_, low, _, _, ..] if low & (PROTOCOL_41 >> 8) as u8 != 0)
        && body.get(9..28).is_some_and(|filler| filler.iter().all(|byte| *byte == 0))
        && body.len() >= 32
}

fn login(body: &[u8]) -> Result<Login<'_>, Short> {
    let mut cursor = Cursor::new(body);
    let mut login = Login::default();
    if !is_login(body) {
        // The answer of clients before 4.1.
        let (low, _size) = (cursor.u16_le()?, cursor.u24_le()?);
        login.capabilities = u32::from(low);
        login.user = terminated(&mut cursor)?;
        return Ok(login);
    }
    login.capabilities = cursor.u32_le()?;
    let has = |flag| login.capabilities & flag != 0;
    cursor.skip(28)?;
    if has(SSL) && cursor.is_empty() {
        return Ok(login);
    }
    login.user = terminated(&mut cursor)?;
    if has(LENGTH_ENCODED) {
        string(&mut cursor)?;
    } else if has(SECURE_CONNECTION) {
        let length = cursor.u8()?;
        cursor.skip(usize::from(length))?;
    } else {
        terminated(&mut cursor)?;
    }
    if has(WITH_DATABASE) {
        login.database = terminated(&mut cursor)?;
    }
    if has(PLUGIN) {
        login.plugin = terminated(&mut cursor)?;
    }
    if has(ATTRIBUTES)
        && let Ok(all) = string(&mut cursor)
    {
        let mut cursor = Cursor::new(all);
        while let (Ok(name), Ok(value)) = (string(&mut cursor), string(&mut cursor))
            && login.attributes.len() < 32
        {
            login.attributes.push((name, value));
        }
    }
    Ok(login)
}

/// Skips the attributes in front of a query's text.
fn skip_query_attributes(cursor: &mut Cursor<'_>) -> Result<(), Short> {
    let count = variable(cursor)?.unwrap_or_default().min(256) as usize;
    let _sets = variable(cursor)?;
    if count == 0 {
        return Ok(());
    }
    let nulls = cursor.take(count.div_ceil(8))?;
    let is_null = |at: usize| nulls.get(at / 8).is_some_and(|bits| bits >> (at % 8) & 1 == 1);
    let _bound = cursor.u8()?;
    let mut kinds = Vec::with_capacity(count);
    for _ in 0..count {
        kinds.push(cursor.u16_le()?.to_le_bytes()[0]);
        string(cursor)?;
    }
    for (at, kind) in kinds.into_iter().enumerate() {
        if is_null(at) {
            continue;
        }
        let length = match kind {
            6 => 0,
            1 => 1,
            2 | 13 => 2,
            3 | 4 | 9 => 4,
            5 | 8 => 8,
            7 | 10 | 11 | 12 => usize::from(cursor.u8()?),
            _ => {
                string(cursor)?;
                0
            }
        };
        cursor.skip(length)?;
    }
    Ok(())
}

/// Code and state of an error.
fn error(body: &[u8]) -> Option<(u16, &[u8])> {
    let mut cursor = Cursor::new(body);
    if cursor.u8().ok()? != ERR {
        return None;
    }
    let code = cursor.u16_le().ok()?;
    let rest = cursor.rest();
    match rest {
        [b'#', ..] => Some((code, rest.get(1..6)?)),
        _ => Some((code, &[])),
    }
}

/// Whether whole packets with numbers that follow one another fill the bytes.
fn chain(bytes: &[u8]) -> bool {
    let Some(first) = front(bytes) else { return false };
    let mut expected = first.sequence;
    let mut rest = bytes;
    while let Some(packet) = front(rest) {
        if packet.sequence != expected {
            return false;
        }
        expected = expected.wrapping_add(1);
        rest = rest.get(packet.length..).unwrap_or_default();
    }
    rest.is_empty() || rest.len() < bytes.len() / 2
}

/// The text of a query, behind its attributes where the flow may have them.
fn query(body: &[u8], with_attributes: Option<bool>) -> Result<&[u8], Short> {
    let body = body.get(1..).unwrap_or_default();
    let has = with_attributes.unwrap_or(matches!(body, [0, 1, ..]));
    let mut cursor = Cursor::new(body);
    if has {
        skip_query_attributes(&mut cursor)?;
    }
    Ok(cursor.rest())
}

fn probe(input: &Input<'_>) -> Probe {
    let bytes = input.bytes;
    let Some(packet) = front(bytes) else {
        let length_fits = match bytes {
            [low, high, 0, 0 | 1, kind, ..] => {
                let length = u16::from_le_bytes([*low, *high]);
                (*kind == 10 && length < 512) || (*kind == QUERY && input.on_port(PORT))
            }
            [_, _, 0, 0 | 1] | [_, _, 0] | [_, _] | [_] | [] => true,
            _ => false,
        };
        return if length_fits { Probe::More } else { Probe::No };
    };
    let whole = packet.length == bytes.len();
    match (packet.sequence, packet.body) {
        (0, [10, digit, ..]) if digit.is_ascii_digit() && greeting(packet.body).is_some() => {
            Probe::Certain
        }
        (1, body) if is_login(body) => Probe::Certain,
        (0, [ERR, ..]) if whole => match error(packet.body) {
            Some((1000..=4999, _)) if packet.body.get(3..).is_some_and(text::is_printable) => {
                Probe::Likely
            }
            _ => Probe::No,
        },
        (0, [QUERY, ..]) if whole => match query(packet.body, None) {
            Ok(text) if sql::starts_statement(text) => Probe::Likely,
            _ => Probe::Weak,
        },
        (0, [code, ..]) if whole && command(*code).is_some() => Probe::Weak,
        (1, [_, ..]) if chain(bytes) => Probe::Weak,
        _ => Probe::No,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The start was not seen (yet).
    Unknown,
    Greeted,
    /// The user's proof is exchanged.
    Authentication,
    Commands,
    /// TLS or compressed.
    Hidden,
}

/// What a prepared statement does when it is executed.
#[derive(Clone)]
struct Prepared {
    words: (&'static str, Action),
    object: Object,
}

/// A flow that carries MySQL.
struct Mysql {
    client: Option<Side>,
    phase: Phase,
    server_capabilities: u32,
    client_capabilities: u32,
    start_missed: bool,
    user: CompactString,
    plugin: CompactString,
    /// Where the user's name stands.
    user_at: Spans,
    /// The command that waits: one at a time.
    waiting: Option<Operation>,
    /// What the statement does whose number is not known yet.
    preparing: Option<Prepared>,
    statements: Vec<(u32, Prepared)>,
    /// Bytes of a long packet that are still to come.
    skip: [usize; 2],
    synchronised: [bool; 2],
}

impl Mysql {
    fn new() -> Self {
        Self {
            client: None,
            phase: Phase::Unknown,
            server_capabilities: 0,
            client_capabilities: 0,
            start_missed: false,
            user: CompactString::const_new(""),
            plugin: CompactString::const_new(""),
            user_at: Spans::new(),
            waiting: None,
            preparing: None,
            statements: Vec::new(),
            skip: [0; 2],
            synchronised: [false; 2],
        }
    }

    fn is_client(&mut self, input: &Input<'_>, packet: &Packet<'_>, out: &mut Out) -> bool {
        let side = input.side;
        let client = *self.client.get_or_insert_with(|| {
            let to_server = input.destination_port == PORT;
            let from_client = if to_server == (input.source_port == PORT) {
                // A client starts each exchange but the first, in which it answers a greeting.
                match packet.sequence {
                    0 => !matches!(packet.body.first(), Some(10 | &ERR)),
                    _ => is_login(packet.body),
                }
            } else {
                to_server
            };
            let client = if from_client { side } else { side.other() };
            out.push(Item::Client(client));
            client
        });
        client == side
    }

    fn wait(&mut self, operation: Operation, out: &mut Out) {
        if let Some(unanswered) = self.waiting.replace(operation) {
            out.operation(unanswered);
        }
    }

    fn answer(&mut self, outcome: Outcome, out: &mut Out) {
        if let Some(mut operation) = self.waiting.take() {
            operation.outcome = outcome;
            out.operation(operation);
        }
    }

    fn event(&self, kind: &'static str, client: Side, evidence: Spans) -> Item {
        Item::Event(Event {
            kind,
            protocol: NAME,
            sender: client,
            values: vec![("method", self.plugin.clone()), ("user", self.user.clone())],
            evidence,
        })
    }

    /// Announces a log-in whose outcome the server will tell.
    fn log_in(&mut self, input: &Input<'_>, login: &Login<'_>, code: Option<u8>, out: &mut Out) {
        self.user = text::utf8(part_at(login.user, 0, 128));
        self.user_at = input.locate(login.user);
        self.plugin = text::utf8(part_at(login.plugin, 0, 64));
        self.phase = Phase::Authentication;
        let words = (if code.is_some() { "change-user" } else { "login" }, Action::Authenticate);
        let mut operation = input.operation(NAME, input.side, words, login.user);
        operation.code = code.map(u32::from);
        if !login.database.is_empty() {
            operation.object = Object::Text(text::utf8(part_at(login.database, 0, 128)));
        }
        for (name, value) in &login.attributes {
            let attribute = match *name {
                b"program_name" => "application_name",
                b"_client_name" => "client_library",
                b"_os" => "client_os",
                _ => continue,
            };
            out.claim(input.own_text((NAME, "login"), attribute, value));
        }
        self.wait(operation, out);
        if self.plugin == "mysql_clear_password" {
            let evidence = input.locate(login.user);
            out.push(self.event("cleartext-credentials", input.side, evidence));
        }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        packet: &Packet<'_>,
        out: &mut Out,
    ) -> Result<(), Short> {
        let starts = matches!(self.phase, Phase::Greeted | Phase::Unknown);
        if packet.sequence == 1 && starts && (self.phase == Phase::Greeted || is_login(packet.body))
        {
            let told = login(packet.body)?;
            self.client_capabilities = told.capabilities;
            if told.capabilities & SSL != 0 && told.user.is_empty() && packet.body.len() <= 36 {
                let words = ("ssl-request", Action::Session);
                let mut operation = input.operation(NAME, input.side, words, packet.body);
                operation.outcome = Outcome::None;
                out.operation(operation);
                self.phase = Phase::Hidden;
            } else {
                self.log_in(input, &told, None, out);
            }
            return Ok(());
        }
        if packet.sequence != 0 {
            if self.phase == Phase::Authentication && self.plugin == "mysql_clear_password" {
                let evidence = std::mem::take(&mut self.user_at);
                out.push(self.event("cleartext-credentials", input.side, evidence));
            }
            return Ok(());
        }
        self.phase = Phase::Commands;
        let code_at = packet.body.get(..1).unwrap_or_default();
        let Some(&[code]) = code_at.as_array() else { return Ok(()) };
        let Some(words) = command(code) else {
            violation(input, packet.body, out);
            return Ok(());
        };
        let mut operation = input.operation(NAME, input.side, words, code_at);
        operation.code = Some(u32::from(code));
        let mut cursor = Cursor::new(packet.body);
        cursor.skip(1)?;
        match code {
            QUERY | PREPARE => {
                let attributes = match (code, self.client_capabilities) {
                    (PREPARE, _) => Some(false),
                    (_, 0) => None,
                    (_, told) => Some(told & self.server_capabilities & QUERY_ATTRIBUTES != 0),
                };
                let mut statements = sql::statements(query(packet.body, attributes)?).into_iter();
                let first = statements.next().map_or(
                    Prepared { words: ("unknown", Action::Session), object: Object::None },
                    |first| {
                        operation.evidence = input.locate(first.verb);
                        Prepared { words: (first.name, first.action), object: first.object }
                    },
                );
                operation.object = first.object.clone();
                if code == PREPARE {
                    self.preparing = Some(first);
                } else {
                    (operation.name, operation.action) = first.words;
                    for further in statements {
                        let words = (further.name, further.action);
                        let mut unseen = input.operation(NAME, input.side, words, further.verb);
                        unseen.code = Some(u32::from(code));
                        unseen.object = further.object;
                        out.operation(unseen);
                    }
                }
            }
            EXECUTE => {
                let number = cursor.u32_le()?;
                match self.statements.iter().find(|(known, _)| *known == number) {
                    Some((_, prepared)) => {
                        (operation.name, operation.action) = prepared.words;
                        operation.object = prepared.object.clone();
                    }
                    None => {
                        if !std::mem::replace(&mut self.start_missed, true) {
                            out.push(Item::StartNotSeen(NAME));
                        }
                    }
                }
            }
            CHANGE_USER => {
                let user = terminated(&mut cursor)?;
                let length = cursor.u8()?;
                cursor.skip(usize::from(length))?;
                let database = terminated(&mut cursor)?;
                let told = Login { user, database, ..Login::default() };
                self.log_in(input, &told, Some(code), out);
                return Ok(());
            }
            CLOSE => {
                let number = cursor.u32_le()?;
                self.statements.retain(|(known, _)| *known != number);
            }
            INIT_DB | 0x05 | 0x06 => {
                operation.object = Object::Text(text::utf8(part_at(cursor.rest(), 0, 128)));
            }
            0x0c => {
                operation.object = Object::Number { kind: "thread", number: cursor.u32_le()? };
            }
            _ => {}
        }
        if matches!(code, QUIT | CLOSE | LONG_DATA) {
            operation.outcome = Outcome::None;
            out.operation(operation);
        } else {
            self.wait(operation, out);
        }
        Ok(())
    }

    fn response(&mut self, input: &Input<'_>, packet: &Packet<'_>, out: &mut Out) {
        let body = packet.body;
        let client = input.side.other();
        if packet.sequence == 0
            && self.phase == Phase::Unknown
            && let Some(told) = greeting(body)
        {
            self.server_capabilities = told.capabilities;
            self.phase = Phase::Greeted;
            out.claim(input.own_text((NAME, "greeting"), "database_version", told.version));
            return;
        }
        let refused = error(body);
        if let Some((code, state)) = refused
            && (self.waiting.is_some() || packet.sequence == 0)
        {
            let mut values = vec![("code", compact_str::format_compact!("{code}"))];
            if text::is_printable(state) {
                values.push(("sqlstate", text::utf8(state)));
            }
            out.push(Item::Event(Event {
                kind: "database-error",
                protocol: NAME,
                sender: client,
                values,
                evidence: input.locate(part_at(body, 1, 2)),
            }));
        }
        let outcome = if refused.is_some() { Outcome::Error } else { Outcome::Ok };
        if self.phase == Phase::Authentication {
            match (body.first(), refused) {
                (Some(&SWITCH), _) if body.len() > 1 => {
                    let mut cursor = Cursor::new(body);
                    if cursor.skip(1).is_ok()
                        && let Ok(plugin) = terminated(&mut cursor)
                    {
                        self.plugin = text::utf8(part_at(plugin, 0, 64));
                    }
                    return;
                }
                (Some(&OK), _) => {
                    let evidence = std::mem::take(&mut self.user_at);
                    out.push(self.event("login", client, evidence));
                }
                (_, Some((code, state))) => {
                    if state == b"28000" || matches!(code, 1044 | 1045 | 1698) {
                        let evidence = input.locate(part_at(body, 1, 2));
                        out.push(self.event("login-failed", client, evidence));
                    }
                }
                // More data of the exchange.
                _ => return,
            }
            self.phase = Phase::Commands;
            self.answer(outcome, out);
            let both = self.client_capabilities & self.server_capabilities;
            if refused.is_none() && both & (COMPRESS | ZSTD) != 0 {
                out.push(Item::NotDecoded(NAME, "compressed"));
                self.phase = Phase::Hidden;
            }
            return;
        }
        if let Some(prepared) = self.preparing.take()
            && body.first() == Some(&OK)
            && let Ok(number) = Cursor::new(part_at(body, 1, 4)).u32_le()
        {
            if self.statements.len() >= PREPARED {
                self.statements.remove(0);
            }
            self.statements.push((number, prepared));
        }
        self.answer(outcome, out);
    }

    fn lost(&mut self, side: Side, out: &mut Out) {
        *side.of(&mut self.skip) = 0;
        *side.of(&mut self.synchronised) = false;
        if let Some(operation) = self.waiting.take() {
            out.operation(operation);
        }
    }
}

fn violation(input: &Input<'_>, part: &[u8], out: &mut Out) {
    if !input.truncated {
        out.push(input.violation(NAME, "mysql-packet", part_at(part, 0, 32)));
    }
}

impl Session for Mysql {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if self.phase == Phase::Hidden {
            return input.bytes.len();
        }
        if input.after_gap {
            self.lost(input.side, out);
        }
        let skip = input.side.of(&mut self.skip);
        let mut used = input.bytes.len().min(*skip);
        *skip -= used;
        while self.phase != Phase::Hidden
            && let Some(rest) = input.bytes.get(used..)
            && let Some(packet) = front(rest)
        {
            let joined = !*input.side.of(&mut self.synchronised);
            if joined && input.after_gap && !chain(rest) {
                return input.bytes.len();
            }
            *input.side.of(&mut self.synchronised) = true;
            if self.is_client(input, &packet, out) {
                if self.request(input, &packet, out).is_err() && packet.length <= LARGE {
                    violation(input, packet.body, out);
                }
            } else {
                self.response(input, &packet, out);
            }
            let here = packet.length.min(rest.len());
            *input.side.of(&mut self.skip) = packet.length - here;
            used += here;
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some(operation) = self.waiting.take() {
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

    fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_le_bytes()[..3], &[sequence], body].concat()
    }

    fn hello() -> Vec<u8> {
        let mut body = b"\x0a8.0.32-debug\0".to_vec();
        body.extend_from_slice(&[7, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0xff, 0xff, 0xff, 2, 0]);
        body.extend_from_slice(&[0xff, 0x0b, 21]);
        body.extend_from_slice(&[0; 10]);
        body.extend_from_slice(b"123456789012\0mysql_native_password\0");
        packet(0, &body)
    }

    fn log_in(capabilities: u32) -> Vec<u8> {
        let mut body = capabilities.to_le_bytes().to_vec();
        body.extend_from_slice(&[0, 0, 0, 1, 33]);
        body.extend_from_slice(&[0; 23]);
        body.extend_from_slice(b"operator\0\x04hashplant\0mysql_native_password\0");
        body.extend_from_slice(b"\x1e\x0cprogram_name\x06scada2\x03_os\x05Linux");
        packet(1, &body)
    }

    const FLAGS: u32 = PROTOCOL_41 | SECURE_CONNECTION | WITH_DATABASE | PLUGIN | ATTRIBUTES;
    const DONE: &[u8] = &[OK, 0, 0, 2, 0, 0, 0];

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        vec![
            (Side::B, hello()),
            (Side::A, log_in(FLAGS)),
            (Side::B, packet(2, DONE)),
            (Side::A, packet(0, b"\x03INSERT INTO tags VALUES ('secret')")),
            (Side::B, packet(1, b"\xff\x7a\x04#42S02Table 'plant.tags' doesn't exist")),
            (Side::A, packet(0, b"\x16SELECT v FROM tags WHERE k = ?")),
            (Side::B, packet(1, &[OK, 9, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0])),
            (Side::A, packet(0, &[EXECUTE, 9, 0, 0, 0, 0, 1, 0, 0, 0])),
            (Side::B, [packet(1, &[1]), packet(2, b"\x03def"), packet(3, &[SWITCH])].concat()),
            (Side::A, packet(0, &[0x0e])),
            (Side::B, packet(1, DONE)),
            (Side::A, packet(0, &[QUIT])),
        ]
    }

    fn messages(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    #[test]
    fn commands_are_operations_with_their_tables() {
        let told: Vec<_> = testing::coded_operations(&messages(&conversation()));
        let expected = [
            ("login", None, "plant", Outcome::Ok),
            ("insert", Some(3), "tags", Outcome::Error),
            ("prepare", Some(0x16), "tags", Outcome::Ok),
            ("select", Some(0x17), "tags", Outcome::Ok),
            ("ping", Some(0x0e), "", Outcome::Ok),
            ("quit", Some(1), "", Outcome::None),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, code, object, outcome)| (name, code, object.to_owned(), outcome))
            .collect();
        assert_eq!(expected, told);
    }

    #[test]
    fn versions_log_ins_and_errors_are_told_without_secrets() {
        let items = messages(&conversation());
        assert_eq!(
            vec![
                ("database_version", "8.0.32-debug".to_owned()),
                ("application_name", "scada2".to_owned()),
                ("client_os", "Linux".to_owned()),
            ],
            testing::claims(&items)
        );
        let events = testing::events(&items);
        assert_eq!(("login", "operator"), (events[0].kind, events[0].values[1].1.as_str()));
        assert_eq!(vec![("code", "1146".into()), ("sqlstate", "42S02".into())], events[1].values);
        let said = format!("{items:?}");
        assert!(!said.contains("secret") && !said.contains("hash"));
    }

    #[test]
    fn a_refused_log_in_names_its_user() {
        let items = messages(&[
            (Side::B, hello()),
            (Side::A, log_in(FLAGS)),
            (Side::B, packet(2, b"\xfemysql_clear_password\0")),
            (Side::A, packet(3, b"hidden\0")),
            (Side::B, packet(4, b"\xff\x15\x04#28000Access denied")),
        ]);
        let kinds: Vec<_> = testing::events(&items).iter().map(|event| event.kind).collect();
        assert_eq!(vec!["cleartext-credentials", "database-error", "login-failed"], kinds);
        assert!(!format!("{items:?}").contains("hidden"));
    }

    #[test]
    fn attributes_in_front_of_a_query_are_skipped() {
        let items = messages(&[
            (Side::B, hello()),
            (Side::A, log_in(FLAGS | QUERY_ATTRIBUTES)),
            (Side::B, packet(2, DONE)),
            (
                Side::A,
                packet(0, b"\x03\x02\x01\x00\x01\xfe\x00\x02n1\x03\x00\x02n2\x02v1\x01\x02\x03\x04select now()"),
            ),
        ]);
        let told = testing::operations(&items);
        assert_eq!(("select", String::new(), Outcome::Unseen), told[1]);
    }

    #[test]
    fn a_request_for_ssl_leaves_the_flow_to_tls() {
        let mut request = log_in(FLAGS | SSL);
        request.truncate(36);
        request[0] = 32;
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &request)));
        let hello_of_tls = vec![0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &hello_of_tls)));
        let items = messages(&[(Side::B, hello()), (Side::A, request), (Side::A, hello_of_tls)]);
        assert_eq!(
            vec![("ssl-request", String::new(), Outcome::None)],
            testing::operations(&items)
        );
        assert!(!items.iter().any(|item| matches!(item, Item::Violation(_))));
    }

    #[test]
    fn a_session_joined_in_the_middle_gives_its_commands() {
        let items = messages(&conversation()[7..]);
        assert_eq!(
            vec![
                ("execute", String::new(), Outcome::Ok),
                ("ping", String::new(), Outcome::Ok),
                ("quit", String::new(), Outcome::None),
            ],
            testing::operations(&items)
        );
        assert!(items.contains(&Item::StartNotSeen(NAME)));
    }

    #[test]
    fn a_command_that_does_not_exist_is_a_violation() {
        let items = messages(&[(Side::A, packet(0, &[0x77, 1]))]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "mysql-packet")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let all = conversation();
        for (at, expected) in
            [(0, Probe::Certain), (1, Probe::Certain), (3, Probe::Likely), (9, Probe::Weak)]
        {
            assert_eq!(expected, testing::probe(&PROTOCOL, (Side::A, &all[at].1)), "message {at}");
        }
        let refusal = packet(0, b"\xff\x6a\x04Host 'x' is not allowed to connect");
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::B, &refusal)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::B, &hello()[..20])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n\r\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[3, 0, 0, 22, 17, 224])));
    }

    #[test]
    fn survives_hostile_bytes() {
        let all = conversation();
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &parts);
    }
}
