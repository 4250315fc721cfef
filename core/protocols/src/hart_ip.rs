//! HART-IP: HART commands to field devices, their gateways and I/O systems, over UDP and TCP.
//!
//! Sources: FieldComm Group TS20085 "Network Management" §10.3.2 (header, message types and ids,
//! session initiate, direct PDU), TS20081 "Token-Passing Data Link Layer" (delimiter, addresses,
//! check byte), TS20127 "Universal Commands" §6, TS20151 "Common Practice Commands" §7; their
//! layouts and response codes as published in cisagov/icsnpp-hart-ip and FieldCommGroup/hipserver
//! (hartdefs.h); captures hart_ip.pcap of ICS-Pcaps (frames 28 to 64) and those of icsnpp-hart-ip.
//!
//! The code of an operation is the command number of a token-passing PDU; command 31 is named by the
//! 16-bit number in its data, which is its object. Sessions, keep-alive and audit log are
//! `hart-ip-session`, commands of direct PDUs `hart-ip-direct`, burst messages `hart-ip-publish`.
//!
//! Short address 0 is the server itself. Devices that are addressed by their unique address are
//! its children, `hart TTTT:DDDDDD` (device type and id), but for the one that the server told as
//! its own in the same session.
//!
//! A response with a code but without data is an error, with data it is a warning.
//!
//! Rules broken on the wire:
//! * `hart-ip-header`: bytes inside a session do not start with a header.
//! * `hart-ip-pdu`: a token-passing PDU is shorter or longer than it says.
//! * `hart-ip-check-byte`: its check byte is wrong; nothing else is read of it.
//!
//! Not decoded: values that are read, device-specific commands, security of version 2, the message
//! inside command 77.

use compact_str::{CompactString, format_compact};
use otic_wire::Cursor;

use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Evidence, Item, Object, Operation, Out,
    Outcome, Value, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// HART-IP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "HART-IP",
    roles: ("HART-IP client", "HART-IP server"),
    carriers: &[Carrier::Udp(&[PORT]), Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(HartIp::new()) },
    source: "FieldComm Group TS20085 §10.3.2, TS20081, TS20127, TS20151",
};

const NAME: &str = "hart-ip";
const SESSION: &str = "hart-ip-session";
const DIRECT: &str = "hart-ip-direct";
const PUBLISH: &str = "hart-ip-publish";
const CHILD: &str = "hart";
const PORT: u16 = 5094;

const HEADER: usize = 8;

const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;
const PUBLISHED: u8 = 2;
const NAK: u8 = 15;

const INITIATE: u8 = 0;
const TOKEN_PASSING: u8 = 3;
const DIRECT_PDU: u8 = 4;
const READ_AUDIT_LOG: u8 = 5;

const IDENTITY: u8 = 0;
const WRITE_POLLING_ADDRESS: u8 = 6;
const READ_DEVICE_VARIABLES: u8 = 9;
const IDENTITY_BY_TAG: u8 = 11;
const READ_TAG: u8 = 13;
const WRITE_MESSAGE: u8 = 17;
const WRITE_TAG: u8 = 18;
const WRITE_ASSEMBLY_NUMBER: u8 = 19;
const READ_LONG_TAG: u8 = 20;
const IDENTITY_BY_LONG_TAG: u8 = 21;
const WRITE_LONG_TAG: u8 = 22;
const EXTENDED: u8 = 31;
const SUB_DEVICE: u8 = 84;

/// Requests of one flow that may wait at once.
const WAITING: usize = 64;
/// Values remembered to tell the old value of a write.
const REMEMBERED: usize = 64;

/// Name and action of a message id.
const fn message(id: u8) -> Option<(&'static str, Action)> {
    Some(match id {
        INITIATE => ("session-initiate", Action::Session),
        1 => ("session-close", Action::Session),
        2 => ("keep-alive", Action::Session),
        TOKEN_PASSING => ("token-passing-pdu", Action::Session),
        DIRECT_PDU => ("direct-pdu", Action::Session),
        READ_AUDIT_LOG => ("read-audit-log", Action::Diagnostics),
        _ => return None,
    })
}

/// Name and action of a command; universal commands first, then common practice.
const fn command(number: u16) -> (&'static str, Action) {
    use Action::{Configuration, Control, Diagnostics, Identify, Read, Reset, Write};
    match number {
        0 => ("read-unique-identifier", Identify),
        1 => ("read-primary-variable", Read),
        2 => ("read-loop-current", Read),
        3 => ("read-dynamic-variables", Read),
        6 => ("write-polling-address", Configuration),
        7 => ("read-loop-configuration", Read),
        8 => ("read-dynamic-variable-classifications", Read),
        9 => ("read-device-variables-with-status", Read),
        11 => ("read-unique-identifier-by-tag", Identify),
        12 => ("read-message", Read),
        13 => ("read-tag-descriptor-date", Identify),
        14 => ("read-primary-variable-transducer-information", Read),
        15 => ("read-device-information", Read),
        16 => ("read-final-assembly-number", Read),
        17 => ("write-message", Configuration),
        18 => ("write-tag-descriptor-date", Configuration),
        19 => ("write-final-assembly-number", Configuration),
        20 => ("read-long-tag", Identify),
        21 => ("read-unique-identifier-by-long-tag", Identify),
        22 => ("write-long-tag", Configuration),
        31 => ("extended-command", Diagnostics),
        33 => ("read-device-variables", Read),
        34 => ("write-primary-variable-damping", Configuration),
        35 => ("write-primary-variable-range", Configuration),
        36 => ("set-primary-variable-upper-range", Configuration),
        37 => ("set-primary-variable-lower-range", Configuration),
        38 => ("reset-configuration-changed-flag", Configuration),
        39 => ("eeprom-control", Configuration),
        40 => ("enter-exit-fixed-current-mode", Control),
        41 => ("perform-self-test", Diagnostics),
        42 => ("perform-device-reset", Reset),
        43 => ("set-primary-variable-zero", Configuration),
        44 => ("write-primary-variable-units", Configuration),
        45 => ("trim-loop-current-zero", Configuration),
        46 => ("trim-loop-current-gain", Configuration),
        47 => ("write-primary-variable-transfer-function", Configuration),
        48 => ("read-additional-device-status", Diagnostics),
        49 => ("write-primary-variable-transducer-serial-number", Configuration),
        50 => ("read-dynamic-variable-assignments", Read),
        51 => ("write-dynamic-variable-assignments", Configuration),
        52 => ("set-device-variable-zero", Configuration),
        53 => ("write-device-variable-units", Configuration),
        54 => ("read-device-variable-information", Read),
        55 => ("write-device-variable-damping", Configuration),
        56 => ("write-device-variable-transducer-serial-number", Configuration),
        57 => ("read-unit-tag-descriptor-date", Read),
        58 => ("write-unit-tag-descriptor-date", Configuration),
        59 => ("write-number-of-response-preambles", Configuration),
        60 => ("read-analog-channel", Read),
        61 => ("read-dynamic-variables-and-analog-channel", Read),
        62 => ("read-analog-channels", Read),
        63 => ("read-analog-channel-information", Read),
        64 => ("write-analog-channel-damping", Configuration),
        65 => ("write-analog-channel-range", Configuration),
        66 => ("enter-exit-fixed-analog-channel-mode", Control),
        67 => ("trim-analog-channel-zero", Configuration),
        68 => ("trim-analog-channel-gain", Configuration),
        69 => ("write-analog-channel-transfer-function", Configuration),
        70 => ("read-analog-channel-endpoints", Read),
        71 => ("lock-device", Configuration),
        72 => ("squawk", Diagnostics),
        73 => ("find-device", Diagnostics),
        74 => ("read-io-system-capabilities", Read),
        75 => ("poll-sub-device", Identify),
        76 => ("read-lock-device-state", Read),
        77 => ("send-command-to-sub-device", Control),
        78 => ("read-aggregated-commands", Read),
        79 => ("write-device-variable", Write),
        80 => ("read-device-variable-trim-points", Read),
        81 => ("read-device-variable-trim-guidelines", Read),
        82 => ("write-device-variable-trim-point", Configuration),
        83 => ("reset-device-variable-trim", Configuration),
        84 => ("read-sub-device-identity-summary", Identify),
        85 => ("read-io-channel-statistics", Diagnostics),
        86 => ("read-sub-device-statistics", Diagnostics),
        87 => ("write-io-system-master-mode", Configuration),
        88 => ("write-io-system-retry-count", Configuration),
        89 => ("set-real-time-clock", Configuration),
        // What they do is known to the device's maker.
        _ => ("unknown", Diagnostics),
    }
}

/// What a command reads or writes of a device's own settings, so that a write can be told with
/// the value read before.
const fn setting(command: u8) -> Option<&'static str> {
    Some(match command {
        WRITE_POLLING_ADDRESS | 7 => "polling-address",
        12 | WRITE_MESSAGE => "message",
        READ_TAG | WRITE_TAG => "tag",
        16 | WRITE_ASSEMBLY_NUMBER => "final-assembly-number",
        READ_LONG_TAG | WRITE_LONG_TAG => "long-tag",
        34 => "primary-variable-damping",
        _ => return None,
    })
}

/// A message: header and body.
struct Message<'a> {
    kind: u8,
    id: u8,
    status: u8,
    sequence: u16,
    all: &'a [u8],
    body: &'a [u8],
}

enum Front<'a> {
    Message(Message<'a>),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let mut cursor = Cursor::new(bytes);
    if cursor.peek().is_some_and(|version| !matches!(version, 1 | 2)) {
        return Front::Foreign;
    }
    let Ok([_, kind, id, status]) = cursor.array() else { return Front::Incomplete };
    if !matches!(kind, REQUEST | RESPONSE | PUBLISHED | NAK) || message(id).is_none() {
        return Front::Foreign;
    }
    let (Ok(sequence), Ok(length)) = (cursor.u16_be(), cursor.u16_be()) else {
        return Front::Incomplete;
    };
    let length = usize::from(length);
    // Session messages have a fixed body.
    let fits = match id {
        INITIATE => length == HEADER + 5 || kind == NAK || status != 0,
        TOKEN_PASSING => length >= HEADER + 5 || kind != REQUEST,
        _ => true,
    };
    if length < HEADER || !fits {
        return Front::Foreign;
    }
    let Some(all) = bytes.get(..length) else { return Front::Incomplete };
    let body = all.get(HEADER..).unwrap_or_default();
    Front::Message(Message { kind, id, status, sequence, all, body })
}

/// A token-passing PDU.
struct Pdu<'a> {
    address: Unit,
    command: u8,
    /// The command's byte.
    code: &'a [u8],
    data: &'a [u8],
}

/// Whom a PDU is for or from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Polled(u8),
    /// 14 bits of the device type and the device id.
    Unique([u8; 5]),
}

enum PduError {
    Length,
    CheckByte,
}

fn pdu(bytes: &[u8]) -> Result<Pdu<'_>, PduError> {
    let mut cursor = Cursor::new(bytes);
    let delimiter = cursor.u8().map_err(|_| PduError::Length)?;
    // Masters' and burst bits stand before both kinds of address.
    let address = if delimiter & 0x80 == 0 {
        Unit::Polled(cursor.u8().map_err(|_| PduError::Length)? & 0x3f)
    } else {
        let [first, rest @ ..]: [u8; 5] = cursor.array().map_err(|_| PduError::Length)?;
        let [b, c, d, e] = rest;
        Unit::Unique([first & 0x3f, b, c, d, e])
    };
    cursor.skip(usize::from(delimiter >> 5 & 3)).map_err(|_| PduError::Length)?;
    let code = cursor.take(1).map_err(|_| PduError::Length)?;
    let length = cursor.u8().map_err(|_| PduError::Length)?;
    let data = cursor.take(usize::from(length)).map_err(|_| PduError::Length)?;
    if cursor.remaining() != 1 {
        return Err(PduError::Length);
    }
    if bytes.iter().fold(0, |sum, byte| sum ^ byte) != 0 {
        return Err(PduError::CheckByte);
    }
    let command = code.first().copied().unwrap_or_default();
    Ok(Pdu { address, command, code, data })
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        // A datagram is one message.
        Front::Message(message)
            if input.transport == Transport::Udp && message.all.len() != input.bytes.len() =>
        {
            Probe::No
        }
        Front::Message(message) => match message.id {
            TOKEN_PASSING if pdu(message.body).is_ok() => Probe::Certain,
            INITIATE if message.kind != NAK && message.body.first() == Some(&1) => Probe::Likely,
            _ => Probe::Weak,
        },
        Front::Incomplete if input.transport == Transport::Tcp => Probe::More,
        Front::Incomplete | Front::Foreign => Probe::No,
    }
}

/// A request that waits for its response.
struct Request {
    operation: Operation,
    /// The device's setting that is read or written, and what is written to it.
    setting: Option<&'static str>,
    written: Option<(Value, Evidence)>,
}

/// A flow that carries HART-IP.
struct HartIp {
    /// By client, message id and sequence number.
    pending: Pending<(Side, u8, u16), Request>,
    /// Settings last read or written, oldest first.
    values: Vec<(Child, &'static str, Value)>,
    /// The server's own unique address, once it told it.
    own: Option<[u8; 5]>,
    client_said: bool,
    synchronised: [bool; 2],
}

impl HartIp {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            values: Vec::new(),
            own: None,
            client_said: false,
            synchronised: [false; 2],
        }
    }

    const fn synchronised(&mut self, side: Side) -> &mut bool {
        side.of(&mut self.synchronised)
    }

    fn child(&self, unit: Unit) -> Child {
        match unit {
            Unit::Polled(0) => Child::None,
            Unit::Polled(number) => Child::Text(format_compact!("{CHILD} poll {number}")),
            Unit::Unique(address) if self.own == Some(address) => Child::None,
            Unit::Unique([a, b, c, d, e]) => {
                Child::Text(format_compact!("{CHILD} {a:02x}{b:02x}:{c:02x}{d:02x}{e:02x}"))
            }
        }
    }

    fn message(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        let client = if message.kind == REQUEST { input.side } else { input.side.other() };
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(client));
        }
        if message.kind == REQUEST {
            self.request(input, message, out);
        } else if message.kind == PUBLISHED {
            self.published(input, message, out);
        } else {
            self.response(input, message, client, out);
        }
    }

    /// What a message asks for, sent by `client`; its children are not told yet.
    fn operation(input: &Input<'_>, message: &Message<'_>, client: Side) -> Operation {
        let words = self::message(message.id).unwrap_or(("unknown", Action::Session));
        let mut operation =
            input.operation(SESSION, client, words, message.all.get(..HEADER).unwrap_or_default());
        operation.connection = NAME;
        operation.code = Some(u32::from(message.id));
        operation
    }

    /// The operation of a token-passing PDU.
    fn pdu(&self, input: &Input<'_>, pdu: &Pdu<'_>, client: Side, data: &[u8]) -> Operation {
        let mut operation =
            input.operation(NAME, client, command(u16::from(pdu.command)), pdu.code);
        operation.code = Some(u32::from(pdu.command));
        operation.server_child = self.child(pdu.address);
        operation.object = match (pdu.command, data) {
            (EXTENDED, [high, low, ..]) => Object::Number {
                kind: "command",
                number: u32::from(u16::from_be_bytes([*high, *low])),
            },
            (SUB_DEVICE, [high, low, ..]) => Object::Number {
                kind: "sub-device",
                number: u32::from(u16::from_be_bytes([*high, *low])),
            },
            _ => setting(pdu.command).map_or(Object::None, |name| Object::Text(name.into())),
        };
        operation
    }

    fn request(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        let mut operation = Self::operation(input, message, input.side);
        let (mut read, mut written) = (None, None);
        match message.id {
            TOKEN_PASSING => match pdu(message.body) {
                Ok(pdu) => {
                    operation = self.pdu(input, &pdu, input.side, pdu.data);
                    match pdu.command {
                        READ_DEVICE_VARIABLES | 33 => operation.object = variables(pdu.data),
                        54 | 79 => {
                            if let Some(number) = pdu.data.first() {
                                let number = u32::from(*number);
                                operation.object =
                                    Object::Number { kind: "device-variable", number };
                            }
                        }
                        _ => {}
                    }
                    read = setting(pdu.command);
                    if operation.action == Action::Configuration {
                        written = value(input, pdu.command, pdu.data);
                    }
                }
                Err(error) => violation(input, message.body, &error, out),
            },
            DIRECT_PDU => {
                for (code, _) in direct(message.body) {
                    let operation = direct_operation(input, code, input.side);
                    self.wait(message, input.side, operation, out);
                }
                return;
            }
            _ => {}
        }
        let key = (input.side, message.id, message.sequence);
        let request = Request { operation, setting: read, written };
        if let Some(evicted) = self.pending.insert(key, request) {
            self.complete(evicted, Outcome::Unseen, out);
        }
    }

    fn wait(&mut self, message: &Message<'_>, client: Side, operation: Operation, out: &mut Out) {
        let request = Request { operation, setting: None, written: None };
        let key = (client, message.id, message.sequence);
        if let Some(evicted) = self.pending.insert(key, request) {
            self.complete(evicted, Outcome::Unseen, out);
        }
    }

    /// The commands of a direct PDU are answered in their order.
    fn direct_response(
        &mut self,
        input: &Input<'_>,
        message: &Message<'_>,
        client: Side,
        out: &mut Out,
    ) {
        for (code, data) in direct(message.body) {
            let outcome = match data {
                [0, ..] | [1..0x80, _, ..] => Outcome::Ok,
                _ => Outcome::Error,
            };
            match self.pending.take(&(client, message.id, message.sequence)) {
                Some(request) => self.complete(request, outcome, out),
                None => {
                    let mut operation = direct_operation(input, code, client);
                    operation.outcome = outcome;
                    out.unpaired(operation);
                }
            }
        }
    }

    fn published(&self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        match pdu(message.body) {
            Ok(pdu) => {
                let data = pdu.data.get(2..).unwrap_or_default();
                let mut operation = self.pdu(input, &pdu, input.side, data);
                operation.protocol = PUBLISH;
                operation.connection = NAME;
                operation.outcome = Outcome::None;
                operation.client_child = std::mem::take(&mut operation.server_child);
                out.operation(operation);
            }
            Err(error) => violation(input, message.body, &error, out),
        }
    }

    fn response(&mut self, input: &Input<'_>, message: &Message<'_>, client: Side, out: &mut Out) {
        let refused = message.kind == NAK || message.status != 0;
        if message.id == DIRECT_PDU && !refused {
            self.direct_response(input, message, client, out);
            return;
        }
        let mut outcome = if refused { Outcome::Error } else { Outcome::Ok };
        let mut unpaired = Self::operation(input, message, client);
        let mut told = None;
        if message.id == TOKEN_PASSING && !message.body.is_empty() {
            match pdu(message.body) {
                Ok(pdu) => {
                    let (answer, data) = answer(&pdu);
                    outcome = answer;
                    unpaired = self.pdu(input, &pdu, client, data);
                    if answer == Outcome::Ok {
                        let child = unpaired.server_child.clone();
                        self.identity(input, &pdu, data, &child, out);
                        told = value(input, pdu.command, data).map(|(value, _)| (child, value));
                    }
                }
                Err(error) => {
                    violation(input, message.body, &error, out);
                    return;
                }
            }
        }
        match self.pending.take(&(client, message.id, message.sequence)) {
            Some(request) => {
                if let (Some(setting), Some((child, value)), None) =
                    (request.setting, told, &request.written)
                {
                    self.remember(child, setting, value);
                }
                self.complete(request, outcome, out);
            }
            None => {
                unpaired.outcome = outcome;
                out.unpaired(unpaired);
            }
        }
    }

    fn remember(&mut self, child: Child, setting: &'static str, value: Value) -> Option<Value> {
        let known =
            self.values.iter().position(|(unit, name, _)| *unit == child && *name == setting);
        let old = known.map(|at| self.values.remove(at).2);
        if self.values.len() >= REMEMBERED {
            self.values.remove(0);
        }
        self.values.push((child, setting, value));
        old
    }

    fn complete(&mut self, mut request: Request, outcome: Outcome, out: &mut Out) {
        request.operation.outcome = outcome;
        let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
        let child = request.operation.server_child.clone();
        let object = request.operation.object.clone();
        out.operation(request.operation);
        if let (Some(setting), Some((new, evidence))) = (request.setting, request.written)
            && outcome != Outcome::Error
        {
            let old = self.remember(child.clone(), setting, new.clone());
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender,
                server_child: child,
                object,
                old,
                new,
                evidence,
                ts_ns,
            }));
        }
    }

    /// Claims of the identity, tags and sub-devices in a response.
    fn identity(
        &mut self,
        input: &Input<'_>,
        pdu: &Pdu<'_>,
        data: &[u8],
        child: &Child,
        out: &mut Out,
    ) {
        match pdu.command {
            IDENTITY | IDENTITY_BY_TAG | IDENTITY_BY_LONG_TAG => {
                if pdu.address == Unit::Polled(0)
                    && let (Some([a, b]), Some([c, d, e])) = (data.get(1..3), data.get(9..12))
                {
                    self.own = Some([a & 0x3f, *b, *c, *d, *e]);
                }
                identity(input, command(u16::from(pdu.command)).0, data, child, out);
            }
            READ_TAG => {
                let told_in = "read-tag-descriptor-date";
                for (attribute, range) in [("name", 0..6), ("description", 6..18)] {
                    let part = data.get(range).unwrap_or_default();
                    let value = packed(part);
                    let confidence = Confidence::Medium;
                    let claim =
                        claim(input, told_in, child, attribute, value, part, Decode::Derived);
                    out.claim(Claim { confidence, ..claim });
                }
            }
            READ_LONG_TAG => {
                let tag = text::trim(data);
                let value = latin1(tag);
                out.claim(claim(input, "read-long-tag", child, "name", value, tag, Decode::Ascii));
            }
            SUB_DEVICE => sub_device(input, data, out),
            _ => {}
        }
    }
}

/// What a response says of its command, and its data after code and status. A communication error
/// has the top bit set.
fn answer<'a>(pdu: &Pdu<'a>) -> (Outcome, &'a [u8]) {
    let Some(([code, _status], data)) = pdu.data.split_first_chunk::<2>() else {
        return (Outcome::Error, &[]);
    };
    let outcome = match *code {
        0 => Outcome::Ok,
        // Delayed response: begun or still running.
        33 | 34 => Outcome::Unseen,
        1..0x80 if !data.is_empty() => Outcome::Ok,
        _ => Outcome::Error,
    };
    (outcome, data)
}

fn claim(
    input: &Input<'_>,
    message: &'static str,
    child: &Child,
    attribute: &'static str,
    value: CompactString,
    part: &[u8],
    decode: Decode,
) -> Claim {
    Claim {
        who: Who::Sender(child.clone()),
        ..input.own_claim((NAME, message), attribute, value, part, decode)
    }
}

/// TS20127 §6.1.
fn identity(input: &Input<'_>, message: &'static str, data: &[u8], child: &Child, out: &mut Out) {
    let mut say = |attribute, value, part: &[u8], decode| {
        out.claim(claim(input, message, child, attribute, value, part, decode));
    };
    let [expansion, kind_high, kind_low, _, revision, device, software, hardware, ..] = data else {
        return;
    };
    if *expansion != 254 {
        return;
    }
    let field = |range: std::ops::Range<usize>| data.get(range).unwrap_or_default();
    let kind = u16::from_be_bytes([*kind_high, *kind_low]);
    say("hart_device_type", format_compact!("0x{kind:04x}"), field(1..3), Decode::Derived);
    say("hart_revision", format_compact!("{revision}"), field(4..5), Decode::UnsignedBe);
    say("device_revision", format_compact!("{device}"), field(5..6), Decode::UnsignedBe);
    say("firmware", format_compact!("{software}"), field(6..7), Decode::UnsignedBe);
    say("hardware", format_compact!("{}", hardware >> 3), field(7..8), Decode::Derived);
    if let [a, b, c] = field(9..12) {
        let id = u32::from_be_bytes([0, *a, *b, *c]);
        say("serial", format_compact!("{id}"), field(9..12), Decode::UnsignedBe);
    }
    // Since revision 7 the maker has a field of its own, before it was the first byte of the type.
    match (*revision, field(17..19)) {
        (7.., [high, low]) => {
            let vendor = u16::from_be_bytes([*high, *low]);
            say("vendor_id", format_compact!("{vendor}"), field(17..19), Decode::UnsignedBe);
        }
        (5 | 6, _) => {
            say("vendor_id", format_compact!("{kind_high}"), field(1..2), Decode::UnsignedBe);
        }
        _ => {}
    }
}

/// TS20151 §7.52: an I/O system or gateway tells what is behind it.
fn sub_device(input: &Input<'_>, data: &[u8], out: &mut Out) {
    let field = |range: std::ops::Range<usize>| data.get(range).unwrap_or_default();
    let (&[a, b], &[c, d, e]) = (field(6..8), field(8..11)) else { return };
    let child =
        Child::Text(format_compact!("{CHILD} {:02x}{b:02x}:{c:02x}{d:02x}{e:02x}", a & 0x3f));
    let mut say = |attribute, value, part: &[u8], decode| {
        let claim = claim(
            input,
            "read-sub-device-identity-summary",
            &child,
            attribute,
            value,
            part,
            decode,
        );
        out.claim(Claim { confidence: Confidence::Medium, ..claim });
    };
    if let &[high, low] = field(4..6) {
        let vendor = u16::from_be_bytes([high, low]);
        say("vendor_id", format_compact!("{vendor}"), field(4..6), Decode::UnsignedBe);
    }
    let kind = u16::from_be_bytes([a, b]);
    say("hart_device_type", format_compact!("0x{kind:04x}"), field(6..8), Decode::Derived);
    let id = u32::from_be_bytes([0, c, d, e]);
    say("serial", format_compact!("{id}"), field(8..11), Decode::UnsignedBe);
    let tag = text::trim(field(12..44));
    say("name", latin1(tag), tag, Decode::Ascii);
}

/// The value of a setting in a request or response, without response code and status.
fn value(input: &Input<'_>, command: u8, data: &[u8]) -> Option<(Value, Evidence)> {
    let (value, part, decode) = match command {
        WRITE_POLLING_ADDRESS | 7 => {
            let number = i64::from(*data.first()?);
            (Value::Integer(number), data.get(..1)?, Decode::UnsignedBe)
        }
        12 | WRITE_MESSAGE => {
            (Value::Text(packed(data.get(..24)?)), data.get(..24)?, Decode::Derived)
        }
        READ_TAG | WRITE_TAG => {
            (Value::Text(packed(data.get(..6)?)), data.get(..6)?, Decode::Derived)
        }
        16 | WRITE_ASSEMBLY_NUMBER => {
            let [a, b, c] = *data.first_chunk()?;
            let number = i64::from(u32::from_be_bytes([0, a, b, c]));
            (Value::Integer(number), data.get(..3)?, Decode::UnsignedBe)
        }
        READ_LONG_TAG | WRITE_LONG_TAG => {
            let tag = text::trim(data);
            (Value::Text(latin1(tag)), tag, Decode::Ascii)
        }
        34 => {
            let seconds = f32::from_be_bytes(*data.first_chunk()?);
            (Value::Real(f64::from(seconds)), data.get(..4)?, Decode::Derived)
        }
        _ => return None,
    };
    Some((value, input.evidence(part, decode)))
}

/// Device variables by their codes.
fn variables(codes: &[u8]) -> Object {
    let list: Vec<String> = codes.iter().take(8).map(ToString::to_string).collect();
    if list.is_empty() {
        Object::None
    } else {
        Object::Text(format_compact!("device-variable {}", list.join(",")))
    }
}

/// Packed ASCII: four characters of six bits in three bytes, blanks at the end.
/// Empty where nothing was ever written.
fn packed(bytes: &[u8]) -> CompactString {
    if bytes.iter().all(|byte| *byte == 0) {
        return CompactString::default();
    }
    let mut text = CompactString::with_capacity(bytes.len() / 3 * 4);
    for group in bytes.chunks_exact(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        for shift in [18, 12, 6, 0] {
            let six = (bits >> shift & 0x3f) as u8;
            text.push(char::from(if six < 0x20 { six | 0x40 } else { six }));
        }
    }
    text.trim_end().into()
}

fn latin1(bytes: &[u8]) -> CompactString {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Commands of a direct PDU (TS20085 §10.3.2.5) after device status and extended status: the 16-bit
/// number's bytes and the data.
fn direct(body: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut cursor = Cursor::new(body.get(2..).unwrap_or_default());
    std::iter::from_fn(move || {
        let code = cursor.take(2).ok()?;
        let length = cursor.u8().ok()?;
        Some((code, cursor.take(usize::from(length)).ok()?))
    })
}

fn direct_operation(input: &Input<'_>, code: &[u8], client: Side) -> Operation {
    let number = code.iter().fold(0, |number, byte| number << 8 | u16::from(*byte));
    let mut operation = input.operation(DIRECT, client, command(number), code);
    operation.connection = NAME;
    operation.code = Some(u32::from(number));
    operation
}

fn violation(input: &Input<'_>, part: &[u8], error: &PduError, out: &mut Out) {
    let rule = match error {
        PduError::Length => "hart-ip-pdu",
        PduError::CheckByte => "hart-ip-check-byte",
    };
    break_rule(input, rule, part, out);
}

fn break_rule(input: &Input<'_>, rule: &'static str, part: &[u8], out: &mut Out) {
    if !input.truncated {
        out.push(input.violation(NAME, rule, part_at(part, 0, 32)));
    }
}

impl Session for HartIp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *self.synchronised(input.side) = false;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Message(message) => {
                    if used == 0 {
                        out.layer(NAME, input.side);
                    }
                    self.message(input, &message, out);
                    *self.synchronised(input.side) = true;
                    used += message.all.len();
                }
                Front::Incomplete => break,
                Front::Foreign => {
                    if std::mem::take(self.synchronised(input.side)) {
                        break_rule(input, "hart-ip-header", rest, out);
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
            self.complete(request, Outcome::Unseen, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// HART-IP over TCP only: for the checks that cut streams.
    const OVER_TCP: Protocol = Protocol { carriers: &[Carrier::Tcp(&[PORT])], ..PROTOCOL };

    const POLLED: &[u8] = &[0x80];
    const OWN: &[u8] = &[0xa6, 0x4e, 0, 0, 0xd2];
    const BEHIND: &[u8] = &[0x91, 0x22, 0, 1, 2];

    fn ip(kind: u8, id: u8, sequence: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1, kind, id, 0, 0, sequence];
        bytes.extend_from_slice(&((HEADER + body.len()) as u16).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    fn passed(
        kind: u8,
        sequence: u8,
        delimiter: u8,
        address: &[u8],
        command: u8,
        data: &[u8],
    ) -> Vec<u8> {
        let mut body = vec![delimiter | if address.len() == 5 { 0x80 } else { 0 }];
        body.extend_from_slice(address);
        body.extend_from_slice(&[command, data.len() as u8]);
        body.extend_from_slice(data);
        body.push(body.iter().fold(0, |sum, byte| sum ^ byte));
        ip(kind, TOKEN_PASSING, sequence, &body)
    }

    fn request(sequence: u8, address: &[u8], command: u8, data: &[u8]) -> Vec<u8> {
        passed(REQUEST, sequence, 2, address, command, data)
    }

    /// A response without response code and with a device status.
    fn response(sequence: u8, address: &[u8], command: u8, data: &[u8]) -> Vec<u8> {
        passed(RESPONSE, sequence, 6, address, command, &[&[0, 0x40], data].concat())
    }

    /// Expanded device type 0x264e, revisions, device id 210, maker 0x0026.
    fn unique_identifier() -> Vec<u8> {
        let mut data = vec![254, 0x26, 0x4e, 5, 7, 4, 1, 0x0e, 0x0c, 0, 0, 0xd2];
        data.extend_from_slice(&[5, 2, 0, 2, 0, 0, 0x26, 0, 0x26, 0x84]);
        data
    }

    fn told(items: &[Item]) -> Vec<(&'static str, String)> {
        testing::claims(items)
    }

    #[test]
    fn a_refusal_shorter_than_its_header_is_no_message() {
        let message = [1, NAK, INITIATE, 0, 0, 0, 0, 0, 0x38, 0x2c];
        assert!(testing::items(&PROTOCOL, &[(Side::B, &message)]).is_empty());
    }

    #[test]
    fn a_session_is_its_own_operation_protocol() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &ip(REQUEST, INITIATE, 1, &[1, 0, 0, 0xea, 0x60])),
                (Side::B, &ip(RESPONSE, INITIATE, 1, &[1, 0, 0, 0xea, 0x60])),
                (Side::A, &ip(REQUEST, 2, 2, &[])),
            ],
        );
        assert_eq!(
            vec![
                ("session-initiate", Some(0), String::new(), Outcome::Ok),
                ("keep-alive", Some(2), String::new(), Outcome::Unseen),
            ],
            testing::coded_operations(&items)
        );
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn command_0_identifies_the_server() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(1, POLLED, IDENTITY, &[])),
                (Side::B, &response(1, POLLED, IDENTITY, &unique_identifier())),
            ],
        );
        let expected = [
            ("hart_device_type", "0x264e"),
            ("hart_revision", "7"),
            ("device_revision", "4"),
            ("firmware", "1"),
            ("hardware", "1"),
            ("serial", "210"),
            ("vendor_id", "38"),
        ];
        assert_eq!(expected.map(|(name, value)| (name, value.to_owned())).to_vec(), told(&items));
    }

    #[test]
    fn devices_behind_the_server_are_its_children() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(1, POLLED, IDENTITY, &[])),
                (Side::B, &response(1, POLLED, IDENTITY, &unique_identifier())),
                (Side::A, &request(2, OWN, READ_LONG_TAG, &[])),
                (Side::B, &response(2, OWN, READ_LONG_TAG, b"gateway\0\0")),
                (Side::A, &request(3, BEHIND, READ_LONG_TAG, &[])),
                (Side::B, &response(3, BEHIND, READ_LONG_TAG, b"FT-101\0\0")),
            ],
        );
        let names: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Claim(claim) if claim.attribute == "name" => {
                    Some((claim.value.as_str(), claim.who.clone()))
                }
                _ => None,
            })
            .collect();
        let child = Child::Text("hart 1122:000102".into());
        assert_eq!(
            vec![("gateway", Who::Sender(Child::None)), ("FT-101", Who::Sender(child)),],
            names
        );
    }

    #[test]
    fn an_io_system_tells_its_sub_devices() {
        // index, card, channel, maker, type, id, revision, long tag
        let mut data = vec![0, 1, 0, 3, 0, 0x11, 0x11, 0x22, 0, 1, 2, 7];
        data.extend_from_slice(b"LT-7");
        data.resize(44, 0);
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(1, OWN, SUB_DEVICE, &[0, 1])),
                (Side::B, &response(1, OWN, SUB_DEVICE, &data)),
            ],
        );
        assert!(items.iter().any(|item| matches!(item, Item::Claim(claim)
            if claim.value == "LT-7" && claim.who == Who::Sender(Child::Text("hart 1122:000102".into())))));
        assert_eq!("sub-device 1", testing::operations(&items)[0].1);
    }

    #[test]
    fn a_write_is_told_with_the_value_read_before() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(1, OWN, READ_LONG_TAG, &[])),
                (Side::B, &response(1, OWN, READ_LONG_TAG, b"FT-101")),
                (Side::A, &request(2, OWN, WRITE_LONG_TAG, b"FT-102")),
                (Side::B, &response(2, OWN, WRITE_LONG_TAG, b"FT-102")),
            ],
        );
        let change = items.iter().find_map(|item| match item {
            Item::Change(change) => Some(change),
            _ => None,
        });
        let change = change.unwrap();
        assert_eq!("long-tag", change.object.to_text());
        assert_eq!(Some(Value::Text("FT-101".into())), change.old);
        assert_eq!(Value::Text("FT-102".into()), change.new);
    }

    #[test]
    fn a_refused_write_changes_nothing() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(1, OWN, WRITE_POLLING_ADDRESS, &[3])),
                // write protected, no data
                (Side::B, &passed(RESPONSE, 1, 6, OWN, WRITE_POLLING_ADDRESS, &[7, 0])),
            ],
        );
        assert_eq!(
            vec![("write-polling-address", "polling-address".to_owned(), Outcome::Error)],
            testing::operations(&items)
        );
        assert!(!items.iter().any(|item| matches!(item, Item::Change(_))));
    }

    #[test]
    fn packed_text_has_four_letters_in_three_bytes() {
        // P U M P, - 1 blank blank
        let bits = [0x10, 0x15, 0x0d, 0x10, 0x2d, 0x31, 0x20, 0x20];
        let bytes: Vec<u8> = bits
            .chunks(4)
            .flat_map(|four| {
                let bits = four.iter().fold(0_u32, |bits, six| bits << 6 | six);
                bits.to_be_bytes()[1..].to_vec()
            })
            .collect();
        assert_eq!("PUMP-1", packed(&bytes));
        assert_eq!("", packed(&[0; 6]));
    }

    #[test]
    fn extended_commands_have_their_number_as_object() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &request(1, OWN, EXTENDED, &[2, 0x15]))]);
        assert_eq!(
            vec![("extended-command", Some(31), "command 533".to_owned(), Outcome::Unseen)],
            testing::coded_operations(&items)
        );
    }

    #[test]
    fn commands_of_a_direct_pdu_are_answered_in_their_order() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &ip(REQUEST, DIRECT_PDU, 4, &[0, 0, 0, 54, 1, 0, 2, 0x15, 1, 1])),
                (Side::B, &ip(RESPONSE, DIRECT_PDU, 4, &[0, 0, 0, 54, 2, 0, 9, 2, 0x15, 1, 64])),
            ],
        );
        assert_eq!(
            vec![
                ("read-device-variable-information", Some(54), String::new(), Outcome::Ok),
                ("unknown", Some(533), String::new(), Outcome::Error),
            ],
            testing::coded_operations(&items)
        );
    }

    #[test]
    fn burst_messages_are_sent_by_the_device() {
        let burst = passed(PUBLISHED, 3, 1, OWN, 9, &[0, 0x10, 0, 0, 0, 75, 0, 0, 0, 0, 0]);
        let items = testing::items(&PROTOCOL, &[(Side::B, &burst)]);
        assert!(items.iter().any(|item| matches!(item, Item::Operation(operation)
            if operation.protocol == PUBLISH && operation.sender == Side::B)));
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn a_wrong_check_byte_is_a_violation() {
        let mut wrong = request(1, OWN, READ_LONG_TAG, &[]);
        *wrong.last_mut().unwrap() ^= 1;
        let items = testing::items(&PROTOCOL, &[(Side::A, &wrong)]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "hart-ip-check-byte")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let read = request(1, OWN, READ_LONG_TAG, &[]);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &read)));
        assert_eq!(Probe::More, testing::probe(&OVER_TCP, (Side::A, &read[..12])));
        let initiate = ip(REQUEST, INITIATE, 1, &[1, 0, 0, 0xea, 0x60]);
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &initiate)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[initiate, vec![0]].concat())));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, &ip(REQUEST, 2, 2, &[]))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[1, 0, 9, 0, 0, 1, 0, 8])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let conversation = [
            (Side::A, ip(REQUEST, INITIATE, 1, &[1, 0, 0, 0xea, 0x60])),
            (Side::A, request(1, POLLED, IDENTITY, &[])),
            (Side::B, response(1, POLLED, IDENTITY, &unique_identifier())),
            (Side::A, request(2, OWN, WRITE_LONG_TAG, b"FT-102")),
            (Side::B, response(2, OWN, WRITE_LONG_TAG, b"FT-102")),
            (Side::A, ip(REQUEST, DIRECT_PDU, 4, &[0, 0, 0, 54, 1, 0])),
            (Side::B, ip(RESPONSE, DIRECT_PDU, 4, &[0, 0, 0, 54, 2, 0, 9])),
        ];
        let conversation: Vec<_> =
            conversation.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &conversation);
        testing::survives(&OVER_TCP, &conversation);
    }
}
