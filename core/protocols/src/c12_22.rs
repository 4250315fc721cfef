//! ANSI C12.22 (IEEE 1703), the messages of electricity meters over TCP and UDP: services on tables
//! (those of C12.18 among them), in the envelope EPSEM, in an ACSE message with the names of both
//! nodes.
//!
//! Sources:
//! * ACSE elements, EPSEM envelope and control byte, services and their parameters, response codes:
//!   IEEE Std 1703-2012 §5.3.2 to §5.3.4, as public implementations name them (ICSNPP C1222).
//! * Manufacturer, model, versions and serial number in table 1: ANSI C12.19-2008, GEN_MFG_ID_TBL.
//!
//! A response belongs to the request whose calling invocation id it names as the called one; where it
//! names none, to the one with its own (frame 5 of icsnpp-c1222 c1222_rw_service_tcp.pcap). Services
//! of one message are answered in their order.
//!
//! Rules broken on the wire:
//! * `c12-22-message`: inside a session, an element's length goes beyond its message.
//!
//! Not decoded: what is encrypted, segmented messages, contents of tables but table 1, parameters of
//! registration and tracing, nodes behind relays as devices of their own.

use compact_str::{CompactString, format_compact};
use otic_wire::Cursor;

use crate::ber::{self, Class, Element};
use crate::ber_tags;
use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Event, Evidence, Item, Object, Operation,
    Out, Outcome, Value, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// ANSI C12.22.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "ANSI C12.22",
    roles: ("C12.22 client", "C12.22 server"),
    carriers: &[Carrier::Tcp(&[PORT]), Carrier::Udp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(C1222::new()) },
    source: "IEEE Std 1703-2012 §5.3; ANSI C12.19-2008",
};

const NAME: &str = "ansi-c12.22";
const PORT: u16 = 1153;

/// Tag of a message: application 0, constructed.
const MESSAGE: u8 = 0x60;

/// Numbers of a message's elements.
const CALLED_TITLE: u32 = 2;
const CALLED_INVOCATION: u32 = 4;
const CALLING_TITLE: u32 = 6;
const CALLING_QUALIFIER: u32 = 7;
const CALLING_INVOCATION: u32 = 8;
const USER_INFORMATION: u32 = 30;
/// EXTERNAL, a universal type.
const EXTERNAL: u32 = 8;

/// Control byte of the envelope.
const RESERVED: u8 = 0x80;
const CLASS_INCLUDED: u8 = 0x10;
const SECURITY: u8 = 0x0c;
const CLEAR: u8 = 0;
const CLEAR_WITH_CODE: u8 = 0x04;
const RESPONSE_CONTROL: u8 = 0x03;
const NEVER_RESPOND: u8 = 2;

/// Bit of the qualifier: the message is a notification.
const NOTIFICATION: u8 = 4;

const OK: u8 = 0;
const IDENTIFY: u8 = 0x20;
const FULL_READ: u8 = 0x30;
const FULL_WRITE: u8 = 0x40;
const LOGON: u8 = 0x50;
const SECURITY_SERVICE: u8 = 0x51;

/// Table 1 names the device, table 7 starts procedures.
const MANUFACTURER: u16 = 1;
const PROCEDURE_INITIATE: u16 = 7;

/// Requests of one flow that may wait at once.
const WAITING: usize = 64;
/// Services of one message that are read.
const SERVICES: usize = 64;
/// Values that are kept of a write.
const LONGEST: usize = 256;
/// Largest message.
const LARGEST: usize = 64 * 1024;

/// Name and action of a request.
const fn service(code: u8) -> Option<(&'static str, Action)> {
    Some(match code {
        IDENTIFY => ("identification", Action::Identify),
        0x21 => ("terminate", Action::Session),
        0x22 => ("disconnect", Action::Session),
        0x24 => ("deregistration", Action::Configuration),
        0x25 => ("resolve", Action::Diagnostics),
        0x26 => ("trace", Action::Diagnostics),
        0x27 => ("registration", Action::Configuration),
        FULL_READ => ("full-read", Action::Read),
        0x31..=0x39 => ("partial-read-index", Action::Read),
        0x3e => ("default-read", Action::Read),
        0x3f => ("partial-read-offset", Action::Read),
        FULL_WRITE => ("full-write", Action::Write),
        0x41..=0x49 => ("partial-write-index", Action::Write),
        0x4f => ("partial-write-offset", Action::Write),
        LOGON => ("logon", Action::Authenticate),
        SECURITY_SERVICE => ("security", Action::Authenticate),
        0x52 => ("logoff", Action::Session),
        0x70 => ("wait", Action::Session),
        _ => return None,
    })
}

/// An ACSE message.
struct Message<'a> {
    called: Option<Element<'a>>,
    calling: Option<Element<'a>>,
    called_invocation: Option<&'a [u8]>,
    calling_invocation: Option<&'a [u8]>,
    notification: bool,
    epsem: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads the content of a message; none where it is not the elements of one, exactly.
    fn read(content: &'a [u8]) -> Option<Self> {
        let mut message = Self {
            called: None,
            calling: None,
            called_invocation: None,
            calling_invocation: None,
            notification: false,
            epsem: &[],
        };
        let integer = |element: &Element<'a>| {
            element.parts().next().filter(|part| part.is_universal(2)).map(|part| part.content)
        };
        let mut rest = content;
        while !rest.is_empty() {
            let (element, behind) = ber::element(rest)?;
            rest = behind;
            if element.class != Class::Context {
                return None;
            }
            match element.number {
                CALLED_TITLE => message.called = title(&element),
                CALLED_INVOCATION => message.called_invocation = integer(&element),
                CALLING_TITLE => message.calling = title(&element),
                CALLING_QUALIFIER => {
                    message.notification = integer(&element)
                        .and_then(<[u8]>::last)
                        .is_some_and(|bits| bits & NOTIFICATION != 0);
                }
                CALLING_INVOCATION => message.calling_invocation = integer(&element),
                USER_INFORMATION => {
                    let external =
                        element.parts().next().filter(|part| part.is_universal(EXTERNAL))?;
                    // Octets, aligned: an implicit octet string.
                    message.epsem = external.parts().find(|part| part.is(1))?.content;
                }
                // Application context, mechanism, authentication value.
                1 | 11 | 12 => {}
                _ => return None,
            }
        }
        // A message carries an envelope, if an empty one; its reserved bit is set.
        message.epsem.first().filter(|control| *control & RESERVED != 0)?;
        Some(message)
    }
}

/// The object identifier in an element with a node's name: absolute or relative.
fn title<'a>(element: &Element<'a>) -> Option<Element<'a>> {
    element.parts().next().filter(|part| part.is_universal(6) || part.is(0))
}

/// What stands at the front of a stream.
enum Front<'a> {
    Message(Message<'a>, usize),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let mut cursor = Cursor::new(bytes);
    match cursor.u8() {
        Err(_) => return Front::Incomplete,
        Ok(MESSAGE) => {}
        Ok(_) => return Front::Foreign,
    }
    let Some(first) = cursor.peek() else { return Front::Incomplete };
    // X.690 §8.1.3: a length of up to two bytes is enough.
    if !matches!(first, 0..=0x7f | 0x81 | 0x82) {
        return Front::Foreign;
    }
    let Some(length) = ber::length(&mut cursor) else { return Front::Incomplete };
    let Ok(content) = cursor.take(length) else {
        return if length > LARGEST { Front::Foreign } else { Front::Incomplete };
    };
    match Message::read(content) {
        Some(message) => Front::Message(message, cursor.position()),
        None => Front::Foreign,
    }
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Message(message, _) if message.calling.is_some() || message.called.is_some() => {
            Probe::Certain
        }
        Front::Message(..) => Probe::Likely,
        // LDAP's, Kerberos' and other messages start with the same tag: the first element decides.
        Front::Incomplete => match input.bytes.get(2..).and_then(|rest| match input.bytes.get(1) {
            Some(0x81) => rest.get(1),
            Some(0x82) => rest.get(2),
            _ => rest.first(),
        }) {
            Some(0xa1 | 0xa2 | 0xa4 | 0xa6 | 0xa7 | 0xa8 | 0x8b | 0xac | 0xbe) | None
                if input.transport == Transport::Tcp =>
            {
                Probe::More
            }
            _ => Probe::No,
        },
        Front::Foreign => Probe::No,
    }
}

/// A request that waits for its response.
struct Request {
    operation: Box<Operation>,
    code: u8,
    table: Option<u16>,
    written: Option<(Value, Evidence)>,
    user: Option<CompactString>,
}

struct C1222 {
    /// Requests by sender and invocation id.
    pending: Pending<(Side, Vec<u8>), Request>,
    /// Who logged on last, by side.
    users: [Option<CompactString>; 2],
    client_said: bool,
    encrypted_said: bool,
    synchronised: [bool; 2],
    reported: bool,
}

impl C1222 {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            users: [None, None],
            client_said: false,
            encrypted_said: false,
            synchronised: [false; 2],
            reported: false,
        }
    }

    fn message(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        titles(input, message, out);
        let Some((&control, mut epsem)) = message.epsem.split_first() else { return };
        if control & CLASS_INCLUDED != 0 {
            epsem = epsem.get(4..).unwrap_or_default();
        }
        match control & SECURITY {
            CLEAR => {}
            CLEAR_WITH_CODE => {
                epsem = epsem.get(..epsem.len().saturating_sub(4)).unwrap_or_default();
            }
            _ => {
                // Only a response names the invocation that it answers.
                let client = match message.called_invocation {
                    Some(_) => input.side.other(),
                    None => input.side,
                };
                if !message.notification {
                    self.say_client(client, out);
                }
                if !std::mem::replace(&mut self.encrypted_said, true) {
                    out.push(Item::NotDecoded(NAME, "encrypted"));
                }
                return;
            }
        }
        let mut cursor = Cursor::new(epsem);
        for _ in 0..SERVICES {
            let Some(length) = ber::length(&mut cursor).filter(|length| *length > 0) else { break };
            let Ok(service) = cursor.take(length) else {
                self.violation(input, epsem, out);
                break;
            };
            match service.split_first() {
                Some((&code, data)) if code >= IDENTIFY => {
                    self.request(input, message, control, (code, data), service, out);
                }
                Some((&code, data)) => self.response(input, message, (code, data), service, out),
                None => {}
            }
        }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(side));
        }
    }

    fn violation(&mut self, input: &Input<'_>, part: &[u8], out: &mut Out) {
        if !input.truncated && !std::mem::replace(&mut self.reported, true) {
            out.push(input.violation(NAME, "c12-22-message", part_at(part, 0, 32)));
        }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        message: &Message<'_>,
        control: u8,
        (code, data): (u8, &[u8]),
        all: &[u8],
        out: &mut Out,
    ) {
        if !message.notification {
            self.say_client(input.side, out);
        }
        let words = service(code).unwrap_or(("unknown", Action::Diagnostics));
        let mut operation = Box::new(input.operation(NAME, input.side, words, part_at(all, 0, 3)));
        operation.code = Some(u32::from(code));
        let mut request = Request { operation, code, table: None, written: None, user: None };
        match code {
            0x30..=0x4f => drop(table_service(&mut request, input, data)),
            LOGON => {
                // user id, then a name of ten letters
                let user = text::trim(part_at(data, 2, 10));
                if text::is_printable(user) {
                    let user = text::utf8(user);
                    request.operation.object = Object::Text(format_compact!("user {user}"));
                    request.user = Some(user);
                }
                input.side.of(&mut self.users).clone_from(&request.user);
            }
            SECURITY_SERVICE => {
                request.user.clone_from(input.side.of(&mut self.users));
                out.push(event(input, "cleartext-credentials", request.user.clone(), all));
            }
            _ => {}
        }
        if control & RESPONSE_CONTROL == NEVER_RESPOND {
            complete(request, Outcome::None, out);
            return;
        }
        let key = (input.side, message.calling_invocation.unwrap_or_default().to_vec());
        if let Some(evicted) = self.pending.insert(key, request) {
            complete(evicted, Outcome::Unseen, out);
        }
    }

    fn response(
        &mut self,
        input: &Input<'_>,
        message: &Message<'_>,
        (code, data): (u8, &[u8]),
        all: &[u8],
        out: &mut Out,
    ) {
        let client = input.side.other();
        let outcome = if code == OK { Outcome::Ok } else { Outcome::Error };
        let id = message.called_invocation.or(message.calling_invocation).unwrap_or_default();
        let Some(request) = self.pending.take(&(client, id.to_vec())) else {
            // What was asked is not known.
            self.say_client(client, out);
            let words = ("response", Action::Diagnostics);
            let mut operation = input.operation(NAME, client, words, part_at(all, 0, 1));
            operation.outcome = outcome;
            out.unpaired(operation);
            return;
        };
        match (request.code, outcome) {
            (IDENTIFY, Outcome::Ok) => drop(identification(input, data, out)),
            (FULL_READ | 0x3e, Outcome::Ok) if request.table == Some(MANUFACTURER) => {
                let _ = manufacturer(input, data, out);
            }
            (LOGON, Outcome::Error) | (SECURITY_SERVICE, Outcome::Error) => {
                let failed = event(input, "login-failed", request.user.clone(), all);
                out.push(by(client, failed));
            }
            (SECURITY_SERVICE, Outcome::Ok) => {
                out.push(by(client, event(input, "login", request.user.clone(), all)));
            }
            _ => {}
        }
        complete(request, outcome, out);
    }
}

fn complete(mut request: Request, outcome: Outcome, out: &mut Out) {
    request.operation.outcome = outcome;
    let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
    let object = request.operation.object.clone();
    out.operation(request.operation);
    if outcome != Outcome::Error
        && let Some((new, evidence)) = request.written
    {
        out.push(Item::Change(Change {
            protocol: NAME,
            connection: NAME,
            sender,
            server_child: Child::None,
            object,
            old: None,
            new,
            evidence,
            ts_ns,
        }));
    }
}

fn event(input: &Input<'_>, kind: &'static str, user: Option<CompactString>, part: &[u8]) -> Item {
    Item::Event(Event {
        kind,
        protocol: NAME,
        sender: input.side,
        values: user.map(|user| ("user", user)).into_iter().collect(),
        // the service's code: a password is never cited
        evidence: input.locate(part_at(part, 0, 1)),
    })
}

fn by(side: Side, item: Item) -> Item {
    match item {
        Item::Event(event) => Item::Event(Event { sender: side, ..event }),
        item => item,
    }
}

/// What both nodes are called: absolute object identifiers, or ones relative to a known root.
fn titles(input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
    let mut tell = |who: Who, confidence: Confidence, title: Option<Element<'_>>| {
        let Some(title) = title else { return };
        let absolute = title.is_universal(6);
        let dotted =
            if absolute { ber_tags::dotted(title.content) } else { relative(title.content) };
        let Some(value) = dotted else { return };
        out.claim(Claim {
            who,
            attribute: "ap_title",
            value,
            protocol: NAME,
            message: "acse",
            confidence,
            evidence: input
                .evidence(title.content, if absolute { Decode::Oid } else { Decode::Derived }),
        });
    };
    tell(Who::Sender(Child::None), Confidence::High, message.calling);
    tell(Who::Receiver(Child::None), Confidence::Medium, message.called);
}

/// The arcs of a relative identifier, each behind a dot.
fn relative(content: &[u8]) -> Option<CompactString> {
    let mut value = CompactString::default();
    let mut arc = 0_u64;
    let mut open = false;
    for byte in content {
        arc = arc.checked_mul(128)?.checked_add(u64::from(byte & 0x7f))?;
        open = byte & 0x80 != 0;
        if !open {
            value.push_str(&format_compact!(".{arc}"));
            arc = 0;
        }
    }
    (!open).then_some(value)
}

/// A table's number, which says whose it is and whether it is pending (C12.19: bits 0 to 10, 11, 12).
fn table_name(id: u16) -> CompactString {
    let pending = if id & 0x1000 == 0 { "" } else { "pending-" };
    let maker = if id & 0x0800 == 0 { "" } else { "manufacturer-" };
    format_compact!("{pending}{maker}table {}", id & 0x07ff)
}

/// Table, place in it and written value of a read or write.
fn table_service(request: &mut Request, input: &Input<'_>, data: &[u8]) -> Option<()> {
    let mut cursor = Cursor::new(data);
    if request.code == 0x3e {
        return None;
    }
    let table = cursor.u16_be().ok()?;
    request.table = Some(table);
    let mut name = table_name(table);
    match request.code {
        0x31..=0x39 | 0x41..=0x49 => {
            for level in 0..request.code & 0x0f {
                let index = cursor.u16_be().ok()?;
                name.push_str(&format_compact!("{}{index}", if level == 0 { ": " } else { "." }));
            }
        }
        0x3f | 0x4f => {
            let offset = cursor.u24_be().ok()?;
            name.push_str(&format_compact!(": offset {offset}"));
        }
        _ => {}
    }
    request.operation.object = Object::Text(name);
    if request.code >= FULL_WRITE {
        if table & 0x07ff == PROCEDURE_INITIATE && table & 0x0800 == 0 {
            request.operation.action = Action::Control;
        }
        let length = usize::from(cursor.u16_be().ok()?);
        let written = cursor.take(length).ok()?;
        if (1..=LONGEST).contains(&length) {
            let value = Value::Bytes(written.to_vec());
            request.written = Some((value, input.evidence(written, Decode::Hex)));
        }
    }
    Some(())
}

/// Answer to the identification service: standard, version, revision, then features.
fn identification(input: &Input<'_>, data: &[u8], out: &mut Out) -> Option<()> {
    let mut cursor = Cursor::new(data.get(3..)?);
    loop {
        match cursor.u8().ok()? {
            // security mechanism and device class: an object identifier
            tag @ (4 | 6) => {
                let (element, rest) = ber::element(cursor.rest())?;
                cursor = Cursor::new(rest);
                if tag == 6 {
                    let absolute = element.is_universal(6);
                    let value = if absolute {
                        ber_tags::dotted(element.content)
                    } else {
                        relative(element.content)
                    }?;
                    let decode = if absolute { Decode::Oid } else { Decode::Derived };
                    out.claim(input.own_claim(
                        (NAME, "identification"),
                        "device_class",
                        value,
                        element.content,
                        decode,
                    ));
                }
            }
            5 => drop(cursor.u8().ok()?),
            7 => {
                let length = usize::from(cursor.u8().ok()?);
                let identity = cursor.take(length).ok()?.get(1..)?;
                if text::is_printable(text::trim(identity)) {
                    let told_in = (NAME, "identification");
                    out.claim(input.own_text(told_in, "device_identity", identity));
                }
            }
            _ => return Some(()),
        }
    }
}

/// Table 1: manufacturer (4), model (8), hardware and firmware version and revision, serial number
/// (16 letters, or 8 bytes of decimal digits).
fn manufacturer(input: &Input<'_>, data: &[u8], out: &mut Out) -> Option<()> {
    let mut cursor = Cursor::new(data);
    let length = usize::from(cursor.u16_be().ok()?);
    let table = cursor.take(length).ok()?;
    let told_in = (NAME, "table-1");
    let mut fields = Cursor::new(table);
    let (vendor, model) = (fields.take(4).ok()?, fields.take(8).ok()?);
    let (hardware, firmware) = (fields.take(2).ok()?, fields.take(2).ok()?);
    let serial = fields.rest();
    if !text::is_printable(text::trim(vendor)) || !matches!(serial.len(), 8 | 16) {
        return None;
    }
    out.claim(input.own_text(told_in, "vendor", vendor));
    if text::is_printable(text::trim(model)) {
        out.claim(input.own_text(told_in, "model", model));
    }
    for (attribute, version) in [("hardware", hardware), ("firmware", firmware)] {
        if let [number, revision] = version {
            let value = format_compact!("{number}.{revision}");
            out.claim(input.own_claim(told_in, attribute, value, version, Decode::Dotted));
        }
    }
    if serial.len() == 16 && text::is_printable(text::trim(serial)) {
        out.claim(input.own_text(told_in, "serial", serial));
    }
    Some(())
}

impl Session for C1222 {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *input.side.of(&mut self.synchronised) = false;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Message(message, length) => {
                    if used == 0 {
                        out.layer(NAME, input.side);
                    }
                    *input.side.of(&mut self.synchronised) = true;
                    self.message(input, &message, out);
                    used += length;
                }
                Front::Incomplete if input.transport == Transport::Tcp => break,
                Front::Incomplete | Front::Foreign => {
                    if std::mem::take(input.side.of(&mut self.synchronised)) {
                        self.violation(input, rest, out);
                    }
                    return input.bytes.len();
                }
            }
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        let waiting: Vec<Request> = self.pending.drain().collect();
        for request in waiting {
            complete(request, Outcome::Unseen, out);
        }
    }

    fn stream_cap(&self) -> usize {
        LARGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, claims, events, operations};

    const CLIENT: &[u8] = &[0x06, 5, 0x2b, 6, 1, 4, 1];
    const METER: &[u8] = &[0x80, 2, 0x7b, 4];

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag, content.len() as u8];
        bytes.extend_from_slice(content);
        bytes
    }

    /// A message with an invocation id; `answers` is the id it answers.
    fn message(from: &[u8], to: &[u8], id: u8, answers: Option<u8>, epsem: &[u8]) -> Vec<u8> {
        let mut content = element(0xa2, to);
        if let Some(answers) = answers {
            content.extend(element(0xa4, &[2, 1, answers]));
        }
        content.extend(element(0xa6, from));
        content.extend(element(0xa8, &[2, 1, id]));
        content.extend(element(0xbe, &element(0x28, &element(0x81, epsem))));
        element(MESSAGE, &content)
    }

    fn asks(id: u8, service: &[u8]) -> Vec<u8> {
        message(CLIENT, METER, id, None, &[&[0x80, service.len() as u8], service].concat())
    }

    fn answers(id: u8, service: &[u8]) -> Vec<u8> {
        let epsem = [&[0x80, service.len() as u8], service, &[0]].concat();
        message(METER, CLIENT, 0x7f, Some(id), &epsem)
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        let mut table = vec![OK, 0, 32];
        table.extend(b"ACMEMETER-7 ");
        table.extend([2, 1, 4, 9]);
        table.extend(b"SN 0000000000042");
        table.push(0);
        vec![
            (Side::A, asks(1, &[&[LOGON, 0, 2], b"reader    ".as_slice(), &[0, 60]].concat())),
            (Side::B, answers(1, &[OK, 0, 60])),
            (Side::A, asks(2, &[&[SECURITY_SERVICE], [b'x'; 20].as_slice()].concat())),
            (Side::B, answers(2, &[OK])),
            (Side::A, asks(3, &[FULL_READ, 0, 1])),
            (Side::B, answers(3, &table)),
            // table 7 of the standard, then index 2 of the maker's table 5
            (Side::A, asks(4, &[FULL_WRITE, 0, 7, 0, 3, 0, 0, 9, 0xf7])),
            (Side::B, answers(4, &[OK])),
            (Side::A, asks(5, &[0x41, 0x08, 5, 0, 2, 0, 1, 9, 0xf7])),
            (Side::B, answers(5, &[3])),
        ]
    }

    fn items(messages: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::items(&PROTOCOL, &messages)
    }

    #[test]
    fn services_are_paired_and_name_their_tables() {
        assert_eq!(
            vec![
                ("logon", "user reader".to_owned(), Outcome::Ok),
                ("security", String::new(), Outcome::Ok),
                ("full-read", "table 1".to_owned(), Outcome::Ok),
                ("full-write", "table 7".to_owned(), Outcome::Ok),
                ("partial-write-index", "manufacturer-table 5: 2".to_owned(), Outcome::Error),
            ],
            operations(&items(&conversation()))
        );
    }

    #[test]
    fn table_1_and_titles_name_the_nodes() {
        let mut told = claims(&items(&conversation()));
        told.retain(|(name, _)| *name != "ap_title");
        let want = [
            ("vendor", "ACME"),
            ("model", "METER-7"),
            ("hardware", "2.1"),
            ("firmware", "4.9"),
            ("serial", "SN 0000000000042"),
        ];
        assert_eq!(want.map(|(name, value)| (name, value.to_owned())).as_slice(), told);
        let titles = claims(&items(&conversation()));
        assert_eq!(("ap_title", "1.3.6.1.4.1".to_owned()), titles[0]);
        assert_eq!(("ap_title", ".123.4".to_owned()), titles[1]);
    }

    #[test]
    fn a_log_in_names_the_user_and_never_the_password() {
        let items = items(&conversation());
        let kinds: Vec<_> =
            events(&items).iter().map(|event| (event.kind, event.values.clone())).collect();
        let user = vec![("user", "reader".into())];
        assert_eq!(vec![("cleartext-credentials", user.clone()), ("login", user)], kinds);
        assert!(!format!("{items:?}").contains("xxxx"));
    }

    #[test]
    fn a_write_tells_its_value_and_a_procedure_is_control() {
        let items = items(&conversation());
        assert!(items.iter().any(|item| matches!(item, Item::Change(change)
            if change.new == Value::Bytes(vec![0, 0, 9]))));
        assert!(items.iter().any(|item| matches!(item, Item::Operation(op)
            if op.action == Action::Control)));
    }

    #[test]
    fn what_is_encrypted_is_named_so() {
        let items = items(&[(Side::A, message(CLIENT, METER, 1, None, &[0x88, 1, 2, 3, 4, 5]))]);
        assert!(items.contains(&Item::NotDecoded(NAME, "encrypted")));
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn the_probe_wants_the_elements_of_a_message() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &asks(1, &[IDENTIFY]))));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &asks(1, &[IDENTIFY])[..9])));
        // an AARQ of DLMS: application context, user information in an octet string
        let dlms = [0x60, 9, 0xa1, 3, 6, 1, 0x60, 0xbe, 2, 4, 0];
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &dlms)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[0x60, 0x80, 1, 2])));
        let broken = items(&[(Side::A, asks(1, &[IDENTIFY])), (Side::A, vec![1, 2, 3])]);
        assert!(broken.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "c12-22-message")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let conversation = conversation();
        let messages: Vec<_> = conversation.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
