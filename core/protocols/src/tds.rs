//! TDS, the protocol of Microsoft SQL Server and Sybase.
//!
//! Sources: [MS-TDS] §2.2.3.1 (packet header), §2.2.5.3 (ALL_HEADERS), §2.2.6.4 (LOGIN7), §2.2.6.5
//! (PRELOGIN), §2.2.6.6 (RPC), §2.2.6.7 (SQL batch), §2.2.7 (tokens).
//!
//! The code of an operation is the packet type. A batch is named by its verb, its object is the
//! table; a procedure is the object of its call, and `sp_executesql` is named by the text it runs.
//! Only the first packet of a message is read. Values and passwords are never kept.
//!
//! Rules broken on the wire:
//! * `tds-packet`: inside a session a type that does not exist or a length that cannot be.
//!
//! Not decoded: rows, parameters, log-ins before version 7, several sessions in one (SMP). After an
//! agreed encryption, packets that hold TLS are skipped; the log-in may be among them.

use compact_str::CompactString;
use otic_wire::Cursor;

use crate::fields::{part_at, u16_at, u32_at};
use crate::out::{Action, Decode, Event, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::{ntlm, sql, text};

/// TDS.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "TDS",
    roles: ("database client", "database server"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Tds::new()) },
    source: "[MS-TDS]",
};

const NAME: &str = "tds";
const PORT: u16 = 1433;

const BATCH: u8 = 1;
const RPC: u8 = 3;
const RESULT: u8 = 4;
const ATTENTION: u8 = 6;
const LOGIN: u8 = 0x10;
const SSPI: u8 = 0x11;
const PRELOGIN: u8 = 0x12;

const TOKEN_ERROR: u8 = 0xaa;
const TOKEN_LOGINACK: u8 = 0xad;
const TOKEN_SSPI: u8 = 0xed;

/// Start of NTLM's second message ([MS-NLMP] §2.2.1.2).
const CHALLENGE: &[u8] = b"NTLMSSP\0\x02\0\0\0";

/// Error "login failed for user".
const LOGIN_FAILED: u32 = 18456;

const HEADER: usize = 8;
/// Longest packet that can be agreed on.
const LONGEST: usize = 32_767;
/// Longest name that an object spells out, in letters.
const SPELLED: usize = 128;

/// Name and action of a packet type that a client sends.
const fn message(kind: u8) -> Option<(&'static str, Action)> {
    Some(match kind {
        BATCH => ("batch", Action::Session),
        2 => ("login", Action::Authenticate),
        RPC => ("rpc", Action::Control),
        ATTENTION => ("attention", Action::Session),
        7 => ("bulk-load", Action::Write),
        8 => ("federated-authentication", Action::Authenticate),
        14 => ("transaction", Action::Session),
        LOGIN => ("login", Action::Authenticate),
        SSPI => ("sspi", Action::Authenticate),
        PRELOGIN => ("prelogin", Action::Session),
        _ => return None,
    })
}

/// Procedures that calls name by number.
const PROCEDURES: &[&str] = &[
    "sp_cursor",
    "sp_cursoropen",
    "sp_cursorprepare",
    "sp_cursorexecute",
    "sp_cursorprepexec",
    "sp_cursorunprepare",
    "sp_cursorfetch",
    "sp_cursoroption",
    "sp_cursorclose",
    "sp_executesql",
    "sp_prepare",
    "sp_execute",
    "sp_prepexec",
    "sp_prepexecrpc",
    "sp_unprepare",
];
const EXECUTE_SQL: u16 = 10;

/// One packet, whole.
struct Packet<'a> {
    kind: u8,
    /// The last one of its message.
    last: bool,
    body: &'a [u8],
    /// The type's byte.
    code: &'a [u8],
    length: usize,
}

enum Front<'a> {
    Packet(Packet<'a>),
    /// A record of TLS, and its length.
    Tls(usize),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        let known = |kind: &u8| message(*kind).is_some() || *kind == RESULT || is_tls(bytes);
        return match bytes.first() {
            Some(kind) if !known(kind) => Front::Foreign,
            _ => Front::Incomplete,
        };
    };
    if is_tls(bytes) {
        return Front::Tls(5 + usize::from(u16::from_be_bytes([header[3], header[4]])));
    }
    let [kind, status, high, low, ..] = *header;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let known = kind == RESULT || message(kind).is_some();
    if !known || status > 0x1f || !(HEADER..=LONGEST).contains(&length) {
        return Front::Foreign;
    }
    match bytes.get(HEADER..length) {
        Some(body) => {
            let code = part_at(bytes, 0, 1);
            Front::Packet(Packet { kind, last: status & 1 == 1, body, code, length })
        }
        None => Front::Incomplete,
    }
}

/// Whether a record of TLS starts here: no packet type of TDS has these numbers with this status.
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x14..=0x17, 3, 0..=4, ..])
}

/// Token and value of a PRELOGIN message; none where it is none.
fn prelogin(body: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut options = Vec::new();
    let mut cursor = Cursor::new(body);
    loop {
        let token = cursor.u8().ok()?;
        if token == 0xff {
            break;
        }
        let (offset, length) = (cursor.u16_be().ok()?, cursor.u16_be().ok()?);
        let value = body.get(usize::from(offset)..)?.get(..usize::from(length))?;
        if token > 0x20 || options.len() > 16 {
            return None;
        }
        options.push((token, value));
    }
    // The version is always the first.
    matches!(options.first(), Some((0, [_, _, _, _, _, _]))).then_some(options)
}

/// What follows the headers that versions since 7.2 put in front.
fn behind_headers(body: &[u8]) -> &[u8] {
    let total = u32_at(body, 0).unwrap_or_default() as usize;
    let first = u32_at(body, 4).unwrap_or_default() as usize;
    let kind = u16_at(body, 8).unwrap_or_default();
    let fits = (1..=3).contains(&kind) && first >= 6 && first + 4 <= total && total <= body.len();
    if fits { body.get(total..).unwrap_or_default() } else { body }
}

/// A text of LOGIN7 that an offset and a length in letters name.
fn login_text(body: &[u8], at: usize) -> &[u8] {
    let offset = usize::from(u16_at(body, at).unwrap_or_default());
    let letters = usize::from(u16_at(body, at + 2).unwrap_or_default());
    part_at(body, offset, 2 * letters.min(SPELLED))
}

fn is_login(body: &[u8]) -> bool {
    body.len() >= 94 && u32_at(body, 0).is_some_and(|length| length as usize == body.len())
}

fn is_utf16_statement(bytes: &[u8]) -> bool {
    sql::starts_statement(text::utf16le(part_at(bytes, 0, 512)).as_bytes())
}

fn probe(input: &Input<'_>) -> Probe {
    let packet = match front(input.bytes) {
        Front::Packet(packet) => packet,
        // TPKT starts like the first packet of a long call, which is never so short.
        Front::Incomplete if matches!(input.bytes, [RPC, 0, 0 | 1, ..]) => return Probe::No,
        Front::Incomplete => return Probe::More,
        Front::Tls(_) | Front::Foreign => return Probe::No,
    };
    let whole = packet.length == input.bytes.len();
    match packet.kind {
        PRELOGIN if prelogin(packet.body).is_some() => Probe::Certain,
        PRELOGIN if is_tls(packet.body) && whole => Probe::Likely,
        LOGIN if is_login(packet.body) => Probe::Certain,
        SSPI if packet.body.starts_with(b"NTLMSSP\0") => Probe::Certain,
        BATCH if is_utf16_statement(behind_headers(packet.body)) => Probe::Likely,
        RESULT if prelogin(packet.body).is_some() && whole => Probe::Likely,
        RESULT => match packet.body.first() {
            Some(0x79 | 0x81 | 0xa5 | 0xaa | 0xab | 0xad | 0xe3 | 0xed | 0xfd..=0xff) if whole => {
                Probe::Weak
            }
            _ => Probe::No,
        },
        BATCH | RPC | ATTENTION | 7 | 14
            if (whole && packet.last) || (!packet.last && packet.length >= 512) =>
        {
            Probe::Weak
        }
        _ => Probe::No,
    }
}

/// A flow that carries TDS.
struct Tds {
    client: Option<Side>,
    /// The request that waits: one at a time.
    waiting: Option<Operation>,
    user: CompactString,
    /// The log-in that Windows proves.
    login: Option<ntlm::Login>,
    /// What comes next of each side continues a message.
    continues: [bool; 2],
    synchronised: [bool; 2],
    hidden_said: bool,
    /// Bytes of a TLS record that are still to come.
    skip: [usize; 2],
}

impl Tds {
    const fn new() -> Self {
        Self {
            client: None,
            waiting: None,
            user: CompactString::const_new(""),
            login: None,
            continues: [false; 2],
            synchronised: [false; 2],
            hidden_said: false,
            skip: [0; 2],
        }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if self.client.replace(side).is_none() {
            out.push(Item::Client(side));
        }
    }

    fn wait(&mut self, operation: Operation, out: &mut Out) {
        if let Some(unanswered) = self.waiting.replace(operation) {
            out.operation(unanswered);
        }
    }

    fn hidden(&mut self, out: &mut Out) {
        if !std::mem::replace(&mut self.hidden_said, true) {
            out.push(Item::NotDecoded(NAME, "tls"));
        }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        packet: &Packet<'_>,
        words: (&'static str, Action),
        out: &mut Out,
    ) {
        let body = packet.body;
        let mut operation = input.operation(NAME, input.side, words, packet.code);
        operation.code = Some(u32::from(packet.kind));
        match packet.kind {
            BATCH => {
                let text = text::utf16le(behind_headers(body));
                let mut statements = sql::statements(text.as_bytes()).into_iter();
                if let Some(first) = statements.next() {
                    (operation.name, operation.action) = (first.name, first.action);
                    operation.object = first.object;
                }
                // One result ends them all: further statements count as not seen.
                for further in statements {
                    let words = (further.name, further.action);
                    let mut unseen = input.operation(NAME, input.side, words, packet.code);
                    unseen.code = operation.code;
                    unseen.object = further.object;
                    out.operation(unseen);
                }
            }
            RPC => call(behind_headers(body), &mut operation),
            LOGIN => self.log_in(input, body, &mut operation, out),
            SSPI => {
                if let Some(login) = ntlm::read(input, body, NAME, out) {
                    self.login = Some(login);
                }
            }
            PRELOGIN if is_tls(body) => {
                self.hidden(out);
                return;
            }
            ATTENTION => {
                operation.outcome = Outcome::None;
                out.operation(operation);
                return;
            }
            _ => {}
        }
        self.wait(operation, out);
    }

    fn log_in(&mut self, input: &Input<'_>, body: &[u8], operation: &mut Operation, out: &mut Out) {
        if !is_login(body) {
            return;
        }
        for (at, attribute) in [(36, "name"), (48, "application_name"), (60, "client_library")] {
            let value = text::trim_utf16(login_text(body, at));
            let told_in = (NAME, "login");
            let said = text::utf16le(value);
            out.claim(input.own_claim(told_in, attribute, said, value, Decode::Utf16Le));
        }
        let database = text::utf16le(login_text(body, 68));
        if !database.is_empty() {
            operation.object = Object::Text(database);
        }
        let user = login_text(body, 40);
        self.user = text::utf16le(user);
        let offset = usize::from(u16_at(body, 78).unwrap_or_default());
        let length = usize::from(u16_at(body, 80).unwrap_or_default());
        let blob = part_at(body, offset, length);
        if !blob.is_empty() {
            self.login = ntlm::read(input, blob, NAME, out);
        } else if !self.user.is_empty() {
            // The password is only scrambled.
            out.push(Item::Event(Event {
                kind: "cleartext-credentials",
                protocol: NAME,
                sender: input.side,
                values: vec![("user", self.user.clone())],
                evidence: input.locate(user),
            }));
        }
    }

    fn response(&mut self, input: &Input<'_>, packet: &Packet<'_>, out: &mut Out) {
        let client = input.side.other();
        let is_prelogin =
            self.waiting.as_ref().is_none_or(|operation| operation.name == "prelogin");
        if is_prelogin && let Some(options) = prelogin(packet.body) {
            if let Some((_, version)) = options.first()
                && let [major, minor, high, low, ..] = version
            {
                let build = u16::from_be_bytes([*high, *low]);
                let said = compact_str::format_compact!("{major}.{minor}.{build}");
                let told_in = (NAME, "prelogin");
                let attribute = "database_version";
                out.claim(input.own_claim(told_in, attribute, said, version, Decode::Derived));
            }
            self.answer(Outcome::Ok, out);
            return;
        }
        let result = self.tokens(input, packet.body, client, out);
        self.answer(result, out);
    }

    fn answer(&mut self, outcome: Outcome, out: &mut Out) {
        if let Some(mut operation) = self.waiting.take() {
            operation.outcome = outcome;
            out.operation(operation);
        }
    }

    /// Reads the tokens in front of rows, and tells how the request ended.
    fn tokens(&mut self, input: &Input<'_>, body: &[u8], client: Side, out: &mut Out) -> Outcome {
        let mut cursor = Cursor::new(body);
        let mut outcome = Outcome::Ok;
        while let Ok(token) = cursor.u8() {
            match token {
                0x79 if cursor.skip(4).is_ok() => continue,
                0xfd..=0xff => {
                    if cursor.u16_le().is_ok_and(|status| status & 2 != 0) {
                        outcome = Outcome::Error;
                    }
                    break;
                }
                0xa4 | 0xa5 | 0xa9..=0xab | TOKEN_LOGINACK | 0xe3 | TOKEN_SSPI => {}
                _ => break,
            }
            let Ok(length) = cursor.u16_le() else { break };
            let Ok(value) = cursor.take(usize::from(length)) else { break };
            match token {
                TOKEN_ERROR => {
                    outcome = Outcome::Error;
                    self.error(input, value, client, out);
                }
                TOKEN_LOGINACK => self.accepted(input, value, client, out),
                TOKEN_SSPI => {
                    ntlm::read(input, value, NAME, out);
                }
                _ => {}
            }
        }
        outcome
    }

    fn log_in_values(&mut self) -> Vec<(&'static str, CompactString)> {
        match self.login.take() {
            Some(login) => login.values(),
            None => vec![("user", std::mem::take(&mut self.user))],
        }
    }

    fn error(&mut self, input: &Input<'_>, value: &[u8], client: Side, out: &mut Out) {
        let Some(number) = u32_at(value, 0) else { return };
        let evidence = || input.locate(part_at(value, 0, 4));
        let event = |kind, values| {
            let evidence = evidence();
            Item::Event(Event { kind, protocol: NAME, sender: client, values, evidence })
        };
        let said = compact_str::format_compact!("{number}");
        out.push(event("database-error", vec![("code", said)]));
        if number == LOGIN_FAILED {
            let values = self.log_in_values();
            out.push(event("login-failed", values));
        }
    }

    fn accepted(&mut self, input: &Input<'_>, value: &[u8], client: Side, out: &mut Out) {
        // Interface, version of TDS, name of the program with its length, version of the program.
        let letters = usize::from(value.get(5).copied().unwrap_or_default());
        let name = part_at(value, 6, 2 * letters);
        let told_in = (NAME, "loginack");
        let product = text::trim_utf16(name);
        let said = text::utf16le(product);
        out.claim(input.own_claim(told_in, "database_product", said, product, Decode::Utf16Le));
        if let [major, minor, high, low] = part_at(value, 6 + 2 * letters, 4) {
            let build = u16::from_be_bytes([*high, *low]);
            let said = compact_str::format_compact!("{major}.{minor}.{build}");
            let version = part_at(value, 6 + 2 * letters, 4);
            let attribute = "database_version";
            out.claim(input.own_claim(told_in, attribute, said, version, Decode::Derived));
        }
        out.push(Item::Event(Event {
            kind: "login",
            protocol: NAME,
            sender: client,
            values: self.log_in_values(),
            evidence: input.locate(part_at(value, 0, 5)),
        }));
    }
}

/// What a remote call does.
fn call(body: &[u8], operation: &mut Operation) {
    let Some(letters) = u16_at(body, 0) else { return };
    if letters != 0xffff {
        let name = part_at(body, 2, 2 * usize::from(letters).min(SPELLED));
        operation.object = Object::Text(text::utf16le(name));
        return;
    }
    let number = u16_at(body, 2).unwrap_or_default();
    let known = PROCEDURES.get(usize::from(number).wrapping_sub(1));
    operation.object = match known {
        Some(name) => Object::Text((*name).into()),
        None => Object::Number { kind: "procedure", number: u32::from(number) },
    };
    if number == EXECUTE_SQL
        && let Some(statement) = first_text(part_at(body, 6, body.len()))
        && let Some(first) = sql::statements(text::utf16le(statement).as_bytes()).first()
    {
        (operation.name, operation.action) = (first.name, first.action);
        operation.object = first.object.clone();
    }
}

/// The value of the first parameter of a call, where that is an NVARCHAR or NTEXT.
fn first_text(parameters: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(parameters);
    let name = cursor.u8().ok()?;
    cursor.skip(2 * usize::from(name) + 1).ok()?;
    match cursor.u8().ok()? {
        // Longest length, collation, length.
        0xe7 => {
            let longest = cursor.u16_le().ok()?;
            cursor.skip(5).ok()?;
            if longest == 0xffff {
                // In chunks: the whole length, then the length of the first.
                cursor.skip(8).ok()?;
                let chunk = cursor.u32_le().ok()? as usize;
                return Some(part_at(cursor.rest(), 0, chunk));
            }
            let length = cursor.u16_le().ok()?;
            Some(part_at(cursor.rest(), 0, usize::from(length)))
        }
        0x63 => {
            cursor.skip(9).ok()?;
            let length = cursor.u32_le().ok()? as usize;
            Some(part_at(cursor.rest(), 0, length))
        }
        _ => None,
    }
}

impl Session for Tds {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *input.side.of(&mut self.skip) = 0;
            *input.side.of(&mut self.synchronised) = false;
            *input.side.of(&mut self.continues) = false;
            if let Some(operation) = self.waiting.take() {
                out.operation(operation);
            }
        }
        let skip = input.side.of(&mut self.skip);
        let mut used = input.bytes.len().min(*skip);
        *skip -= used;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Packet(packet) => {
                    *input.side.of(&mut self.synchronised) = true;
                    let continues = input.side.of(&mut self.continues);
                    let first = !std::mem::replace(continues, !packet.last);
                    match message(packet.kind) {
                        // A challenge is the server's.
                        Some(_) if packet.body.starts_with(CHALLENGE) => {
                            self.say_client(input.side.other(), out);
                            ntlm::read(input, packet.body, NAME, out);
                            self.answer(Outcome::Ok, out);
                        }
                        Some(words) => {
                            self.say_client(input.side, out);
                            if first {
                                self.request(input, &packet, words, out);
                            }
                        }
                        None => {
                            self.say_client(input.side.other(), out);
                            if first {
                                self.response(input, &packet, out);
                            }
                        }
                    }
                    used += packet.length;
                }
                Front::Tls(length) => {
                    self.hidden(out);
                    let here = length.min(rest.len());
                    *input.side.of(&mut self.skip) = length - here;
                    used += here;
                }
                Front::Incomplete => break,
                Front::Foreign => {
                    if std::mem::take(input.side.of(&mut self.synchronised)) && !input.truncated {
                        out.push(input.violation(NAME, "tds-packet", part_at(rest, 0, HEADER)));
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
        if let Some(operation) = self.waiting.take() {
            out.operation(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (HEADER + body.len()) as u16;
        [&[kind, 1][..], &length.to_be_bytes(), &[0, 0, 1, 0], body].concat()
    }

    const OPTIONS: &[u8] = &[0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 15, 0, 0x10, 0x10, 0, 0, 2];

    fn login() -> Vec<u8> {
        let texts = ["PRESS7", "sa", "secret", "Scada", "SQL1", "", "ODBC", "", "plant"];
        let mut body = vec![0; 94];
        let mut data = Vec::new();
        for (at, value) in texts.iter().enumerate() {
            let offset = (94 + data.len()) as u16;
            body[36 + 4 * at..38 + 4 * at].copy_from_slice(&offset.to_le_bytes());
            body[38 + 4 * at..40 + 4 * at].copy_from_slice(&(value.len() as u16).to_le_bytes());
            data.extend(utf16(value));
        }
        body.extend(data);
        let length = body.len() as u32;
        body[..4].copy_from_slice(&length.to_le_bytes());
        packet(LOGIN, &body)
    }

    fn acknowledged() -> Vec<u8> {
        let mut value = vec![1, 0x74, 0, 0, 4, 9];
        value.extend(utf16("SQL Serve"));
        value.extend([15, 0, 0x10, 0x10]);
        let mut body = vec![TOKEN_LOGINACK];
        body.extend((value.len() as u16).to_le_bytes());
        body.extend(value);
        body.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        packet(RESULT, &body)
    }

    fn refused(number: u32) -> Vec<u8> {
        let mut body = vec![TOKEN_ERROR, 6, 0];
        body.extend(number.to_le_bytes());
        body.extend([1, 14, 0xfd, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        packet(RESULT, &body)
    }

    fn batch(text: &str) -> Vec<u8> {
        let headers = [22, 0, 0, 0, 18, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        packet(BATCH, &[&headers[..], &utf16(text)].concat())
    }

    fn execute_sql(text: &str) -> Vec<u8> {
        let text = utf16(text);
        let mut body = vec![0xff, 0xff, 10, 0, 0, 0, 0, 0, 0xe7, 0x40, 0x1f, 9, 4, 0xd0, 0, 0x34];
        body.extend((text.len() as u16).to_le_bytes());
        body.extend(text);
        packet(RPC, &body)
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        let done = packet(RESULT, &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut named = vec![6, 0];
        named.extend(utf16("sp_who"));
        named.extend([0, 0]);
        vec![
            (Side::A, packet(PRELOGIN, OPTIONS)),
            (Side::B, packet(RESULT, OPTIONS)),
            (Side::A, login()),
            (Side::B, acknowledged()),
            (Side::A, batch("UPDATE dbo.tags SET v = 'hidden'")),
            (Side::B, refused(208)),
            (Side::A, execute_sql("SELECT v FROM tags WHERE k = @p1")),
            (Side::B, done),
            (Side::A, packet(RPC, &named)),
        ]
    }

    fn messages(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    #[test]
    fn batches_and_calls_are_operations() {
        let expected = [
            ("prelogin", Some(0x12), "", Outcome::Ok),
            ("login", Some(0x10), "plant", Outcome::Ok),
            ("update", Some(1), "dbo.tags", Outcome::Error),
            ("select", Some(3), "tags", Outcome::Ok),
            ("rpc", Some(3), "sp_who", Outcome::Unseen),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(a, b, c, outcome)| (a, b, c.to_owned(), outcome)).collect();
        assert_eq!(expected, testing::coded_operations(&messages(&conversation())));
    }

    #[test]
    fn identities_and_log_ins_are_told_without_secrets() {
        let items = messages(&conversation());
        assert_eq!(
            vec![
                ("database_version", "15.0.4112".to_owned()),
                ("name", "PRESS7".to_owned()),
                ("application_name", "Scada".to_owned()),
                ("client_library", "ODBC".to_owned()),
                ("database_product", "SQL Serve".to_owned()),
                ("database_version", "15.0.4112".to_owned()),
            ],
            testing::claims(&items)
        );
        let events: Vec<_> =
            testing::events(&items).iter().map(|e| (e.kind, e.values[0].1.to_string())).collect();
        assert_eq!(
            vec![
                ("cleartext-credentials", "sa".to_owned()),
                ("login", "sa".to_owned()),
                ("database-error", "208".to_owned()),
            ],
            events
        );
        let said = format!("{items:?}");
        assert!(!said.contains("hidden") && !said.contains("secret"));
    }

    #[test]
    fn a_refused_log_in_names_its_user() {
        let items = messages(&[(Side::A, login()), (Side::B, refused(LOGIN_FAILED))]);
        let events = testing::events(&items);
        assert_eq!(("login-failed", "sa"), (events[2].kind, events[2].values[0].1.as_str()));
    }

    #[test]
    fn tls_inside_the_session_is_skipped() {
        let items = messages(&[
            (Side::A, packet(PRELOGIN, OPTIONS)),
            (Side::B, packet(RESULT, OPTIONS)),
            (Side::A, packet(PRELOGIN, b"\x16\x03\x03\0\x01\x01")),
            (Side::A, b"\x17\x03\x03\0\x04abcd".to_vec()),
            (Side::A, batch("SELECT 1")),
        ]);
        assert_eq!(2, testing::operations(&items).len());
        assert!(items.contains(&Item::NotDecoded(NAME, "tls")));
    }

    #[test]
    fn a_type_that_does_not_exist_is_a_violation() {
        let mut broken = batch("SELECT 1");
        broken[0] = 0x55;
        let items = messages(&[(Side::A, batch("SELECT 1")), (Side::A, broken)]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "tds-packet")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let all = conversation();
        for (at, expected) in [
            (0, Probe::Certain),
            (1, Probe::Likely),
            (2, Probe::Certain),
            (3, Probe::Weak),
            (4, Probe::Likely),
            (6, Probe::Weak),
        ] {
            assert_eq!(expected, testing::probe(&PROTOCOL, (Side::A, &all[at].1)), "message {at}");
        }
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\n\r\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"\x16\x03\x01\0\x05\x01\0\0")));
        assert_eq!(
            Probe::No,
            testing::probe(&PROTOCOL, (Side::A, b"\x03\0\0\x16\x11\xe0\0\0\0\x01\0\xc1"))
        );
    }

    #[test]
    fn survives_hostile_bytes() {
        let all = conversation();
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &parts);
    }
}
