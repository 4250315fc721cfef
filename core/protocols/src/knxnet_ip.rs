//! KNXnet/IP: tunnels to and routing between the lines of a KNX building bus, over UDP and TCP.
//!
//! Sources: KNX Standard, 03/08/01 to 03/08/05 (also EN 13321-2, ISO 22510: header, host addresses,
//! description blocks, connections, tunnelling, routing), 03/06/03 (cEMI message codes, link layer
//! frames), 03/03/07 (application services and their codes), AN159 (secure services), as tshark 4.0
//! names them (`kip`, `cemi`). nDPI--knxip.pcapng frames 1 to 3.
//!
//! The code of an operation is the service type. What the bus carries is `knxnet-ip-cemi`, with the
//! code of the application service, or of the message for local properties. Group addresses are
//! objects in three levels, devices on the bus are children, `knx A.L.D` with their individual address.
//!
//! Rules broken on the wire:
//! * `knxnet-ip-length`: a frame is shorter than its length or its fields, or bytes inside a stream
//!   are no frame.
//!
//! Not decoded: secure wrappers (encrypted), the object server, datapoint types of values (they are
//! in the project), remote configuration.

use compact_str::{CompactString, format_compact};
use otic_wire::{Cursor, Mac, Short};

use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Item, Object, Operation, Out, Outcome, Value,
    Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// KNXnet/IP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "KNXnet/IP",
    roles: ("KNXnet/IP client", "KNXnet/IP server"),
    carriers: &[Carrier::Udp(&[PORT]), Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Knx::new()) },
    source: "KNX Standard 03/08/01 to 03/08/05, 03/06/03, 03/03/07",
};

const NAME: &str = "knxnet-ip";
const CEMI: &str = "knxnet-ip-cemi";
const CHILD: &str = "knx";
const PORT: u16 = 3671;

/// Header size and version 1.0.
const MAGIC: [u8; 2] = [0x06, 0x10];
const HEADER: usize = 6;
/// More than any frame holds.
const LARGEST: usize = 2048;

const SEARCH_REQUEST: u16 = 0x0201;
const SEARCH_RESPONSE: u16 = 0x0202;
const DESCRIPTION_RESPONSE: u16 = 0x0204;
const CONNECT_REQUEST: u16 = 0x0205;
const CONNECT_RESPONSE: u16 = 0x0206;
const SEARCH_RESPONSE_EXTENDED: u16 = 0x020c;
const CONFIGURATION_REQUEST: u16 = 0x0310;
const CONFIGURATION_ACK: u16 = 0x0311;
const TUNNELLING_REQUEST: u16 = 0x0420;
const TUNNELLING_ACK: u16 = 0x0421;
const FEATURE_GET: u16 = 0x0422;
const FEATURE_RESPONSE: u16 = 0x0423;
const FEATURE_SET: u16 = 0x0424;
const ROUTING_INDICATION: u16 = 0x0530;
const SYSTEM_BROADCAST: u16 = 0x0533;
const SECURE_WRAPPER: u16 = 0x0950;

/// Messages of the common external message interface.
const DATA_REQUEST: u8 = 0x11;
const DATA_INDICATION: u8 = 0x29;
const DATA_CONFIRMATION: u8 = 0x2e;

/// Application services of groups.
const GROUP_READ: u16 = 0x000;
const GROUP_RESPONSE: u16 = 0x040;
const GROUP_WRITE: u16 = 0x080;

/// Requests of one flow that may wait at once.
const WAITING: usize = 32;
/// Group values that are remembered.
const REMEMBERED: usize = 256;

/// What a service is, and which service it answers.
struct Service {
    name: &'static str,
    action: Action,
    /// The request that this one answers.
    answers: Option<u16>,
    /// An answer is due.
    asks: bool,
}

fn service(code: u16) -> Option<Service> {
    let asks = |name, action| Some(Service { name, action, answers: None, asks: true });
    let answers = |name, request| {
        Some(Service { name, action: Action::Session, answers: Some(request), asks: false })
    };
    let tells = |name, action| Some(Service { name, action, answers: None, asks: false });
    match code {
        SEARCH_REQUEST => asks("search", Action::Identify),
        SEARCH_RESPONSE => answers("search", SEARCH_REQUEST),
        0x0203 => asks("description", Action::Identify),
        DESCRIPTION_RESPONSE => answers("description", 0x0203),
        CONNECT_REQUEST => asks("connect", Action::Session),
        CONNECT_RESPONSE => answers("connect", CONNECT_REQUEST),
        0x0207 => asks("connection-state", Action::Session),
        0x0208 => answers("connection-state", 0x0207),
        0x0209 => asks("disconnect", Action::Session),
        0x020a => answers("disconnect", 0x0209),
        0x020b => asks("search-extended", Action::Identify),
        SEARCH_RESPONSE_EXTENDED => answers("search-extended", 0x020b),
        CONFIGURATION_REQUEST => asks("device-configuration", Action::Session),
        CONFIGURATION_ACK => answers("device-configuration", CONFIGURATION_REQUEST),
        TUNNELLING_REQUEST => asks("tunnelling", Action::Session),
        TUNNELLING_ACK => answers("tunnelling", TUNNELLING_REQUEST),
        FEATURE_GET => asks("tunnelling-feature-get", Action::Read),
        FEATURE_RESPONSE => answers("tunnelling-feature", FEATURE_GET),
        FEATURE_SET => asks("tunnelling-feature-set", Action::Configuration),
        0x0425 => tells("tunnelling-feature-info", Action::Read),
        ROUTING_INDICATION => tells("routing-indication", Action::Session),
        0x0531 => tells("routing-lost-message", Action::Diagnostics),
        0x0532 => tells("routing-busy", Action::Diagnostics),
        SYSTEM_BROADCAST => tells("routing-system-broadcast", Action::Session),
        0x0740 => asks("remote-diagnostic", Action::Diagnostics),
        0x0741 => answers("remote-diagnostic", 0x0740),
        0x0742 => tells("remote-basic-configuration", Action::Configuration),
        0x0743 => tells("remote-reset", Action::Reset),
        SECURE_WRAPPER => tells("secure-wrapper", Action::Session),
        0x0951 => asks("session-request", Action::Authenticate),
        0x0952 => answers("session-request", 0x0951),
        0x0953 => asks("session-authenticate", Action::Authenticate),
        0x0954 => answers("session-authenticate", 0x0953),
        0x0955 => tells("timer-notify", Action::Session),
        _ => None,
    }
}

/// Name and action of an application service (03/03/07 §2): 4 bits, or all 10 for those from 0x2c0.
const fn application(code: u16) -> (u16, &'static str, Action) {
    let short = code & 0x3c0;
    match code {
        0x1c8 => (code, "system-network-parameter-read", Action::Read),
        0x1c9 => (code, "system-network-parameter-response", Action::Read),
        0x1ca => (code, "system-network-parameter-write", Action::Configuration),
        0x1cc => (code, "property-extended-value-read", Action::Read),
        0x1cd => (code, "property-extended-value-response", Action::Read),
        0x1ce | 0x1d0 => (code, "property-extended-value-write", Action::Configuration),
        0x1fb => (code, "memory-extended-write", Action::Configuration),
        0x1fd => (code, "memory-extended-read", Action::Read),
        0x2c0 => (code, "user-memory-read", Action::Read),
        0x2c1 => (code, "user-memory-response", Action::Read),
        0x2c2 => (code, "user-memory-write", Action::Configuration),
        0x2c5 => (code, "user-manufacturer-info-read", Action::Identify),
        0x2c6 => (code, "user-manufacturer-info-response", Action::Identify),
        0x2c7 => (code, "function-property-command", Action::Control),
        0x2c8 => (code, "function-property-state-read", Action::Read),
        0x2c9 => (code, "function-property-state-response", Action::Read),
        0x380..=0x39f => (0x380, "restart", Action::Reset),
        0x3a0..=0x3bf => (0x3a0, "restart-response", Action::Reset),
        0x3d0 => (code, "memory-bit-write", Action::Configuration),
        0x3d1 => (code, "authorize-request", Action::Authenticate),
        0x3d2 => (code, "authorize-response", Action::Authenticate),
        0x3d3 => (code, "key-write", Action::Configuration),
        0x3d4 => (code, "key-response", Action::Configuration),
        0x3d5 => (code, "property-value-read", Action::Read),
        0x3d6 => (code, "property-value-response", Action::Read),
        0x3d7 => (code, "property-value-write", Action::Configuration),
        0x3d8 => (code, "property-description-read", Action::Identify),
        0x3d9 => (code, "property-description-response", Action::Identify),
        0x3dc => (code, "individual-address-serial-number-read", Action::Identify),
        0x3dd => (code, "individual-address-serial-number-response", Action::Identify),
        0x3de => (code, "individual-address-serial-number-write", Action::Configuration),
        0x3e0 => (code, "domain-address-write", Action::Configuration),
        0x3e7 => (code, "link-write", Action::Configuration),
        0x3f1 => (code, "secure", Action::Session),
        _ => match short {
            GROUP_READ => (short, "group-value-read", Action::Read),
            GROUP_RESPONSE => (short, "group-value-response", Action::Read),
            GROUP_WRITE => (short, "group-value-write", Action::Write),
            0x0c0 => (short, "individual-address-write", Action::Configuration),
            0x100 => (short, "individual-address-read", Action::Identify),
            0x140 => (short, "individual-address-response", Action::Identify),
            0x180 => (short, "adc-read", Action::Read),
            0x1c0 => (short, "adc-response", Action::Read),
            0x200 => (short, "memory-read", Action::Read),
            0x240 => (short, "memory-response", Action::Read),
            0x280 => (short, "memory-write", Action::Configuration),
            0x300 => (short, "device-descriptor-read", Action::Identify),
            0x340 => (short, "device-descriptor-response", Action::Identify),
            _ => (code, "unknown", Action::Control),
        },
    }
}

/// Name and action of a message about local properties (03/06/03 §4.1.7).
const fn local(code: u8) -> Option<(&'static str, Action)> {
    Some(match code {
        0xfc => ("m-prop-read", Action::Read),
        0xf6 => ("m-prop-write", Action::Configuration),
        0xf8 => ("m-func-prop-command", Action::Control),
        0xf9 => ("m-func-prop-state-read", Action::Read),
        0xf1 => ("m-reset", Action::Reset),
        _ => return None,
    })
}

/// A frame.
struct Frame<'a> {
    code: u16,
    body: &'a [u8],
    all: &'a [u8],
}

enum Front<'a> {
    Frame(Frame<'a>),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let known = bytes.len().min(MAGIC.len());
    if bytes.get(..known) != MAGIC.get(..known) {
        return Front::Foreign;
    }
    let mut cursor = Cursor::new(bytes);
    let (Ok(_), Ok(code), Ok(length)) = (cursor.u16_be(), cursor.u16_be(), cursor.u16_be()) else {
        return Front::Incomplete;
    };
    let length = usize::from(length);
    if service(code).is_none() || !(HEADER..=LARGEST).contains(&length) {
        return Front::Foreign;
    }
    match bytes.get(..length) {
        Some(all) => Front::Frame(Frame { code, body: all.get(HEADER..).unwrap_or_default(), all }),
        None => Front::Incomplete,
    }
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Frame(frame) if input.transport == Transport::Udp => {
            if frame.all.len() == input.bytes.len() { Probe::Certain } else { Probe::No }
        }
        Front::Frame(_) => Probe::Likely,
        Front::Incomplete if input.transport == Transport::Tcp => Probe::More,
        Front::Incomplete if input.truncated => Probe::Weak,
        Front::Incomplete | Front::Foreign => Probe::No,
    }
}

/// A link layer frame of the bus.
struct Telegram<'a> {
    source: u16,
    destination: u16,
    is_group: bool,
    /// The confirmation says that the frame was not sent.
    failed: bool,
    /// Application service; none in frames of the transport layer alone.
    code: Option<u16>,
    /// Value of a group.
    value: &'a [u8],
    proof: &'a [u8],
}

/// Reads a link layer frame, after its message code (03/06/03 §4.1.5.3).
fn telegram<'a>(cursor: &mut Cursor<'a>) -> Result<Telegram<'a>, Short> {
    let proof = cursor.rest();
    let additional = cursor.u8()?;
    cursor.skip(usize::from(additional))?;
    let (control, extended) = (cursor.u8()?, cursor.u8()?);
    let (source, destination) = (cursor.u16_be()?, cursor.u16_be()?);
    let length = usize::from(cursor.u8()?);
    let unit = cursor.take(length + 1)?;
    let (code, value) = match unit {
        [first, second, rest @ ..] if first & 0x80 == 0 => {
            let code = u16::from(first & 3) << 8 | u16::from(*second);
            // A value of up to 6 bits stands in the code's own byte.
            let value = if rest.is_empty() { unit.get(1..2).unwrap_or_default() } else { rest };
            (Some(code), value)
        }
        _ => (None, unit),
    };
    let is_group = extended & 0x80 != 0;
    let failed = control & 1 != 0;
    Ok(Telegram { source, destination, is_group, failed, code, value, proof })
}

fn individual(address: u16) -> CompactString {
    format_compact!("{}.{}.{}", address >> 12, address >> 8 & 0x0f, address & 0xff)
}

/// What kind of connection is asked for, or which feature.
fn object(frame: &Frame<'_>, cursor: &Cursor<'_>) -> Object {
    match frame.code {
        CONNECT_REQUEST => {
            // two host addresses, length
            let kind = match frame.body.get(17) {
                Some(3) => "device-management",
                Some(4) => "tunnel",
                Some(6) => "remote-logging",
                Some(7) => "remote-configuration",
                Some(8) => "object-server",
                _ => return Object::None,
            };
            Object::Text(kind.into())
        }
        FEATURE_GET | FEATURE_SET | 0x0425 => {
            let name = match cursor.peek() {
                Some(1) => "supported-emi-type",
                Some(2) => "device-descriptor-type-0",
                Some(3) => "bus-connection-status",
                Some(4) => "manufacturer-code",
                Some(5) => "active-emi-type",
                Some(6) => "individual-address",
                Some(7) => "maximum-apdu-length",
                Some(8) => "info-service-enable",
                _ => return Object::None,
            };
            Object::Text(name.into())
        }
        _ => Object::None,
    }
}

/// A device on the bus; none for the address of a tunnel that was not told yet.
fn child(address: u16) -> Child {
    if address == 0 {
        Child::None
    } else {
        Child::Text(format_compact!("{CHILD} {}", individual(address)))
    }
}

fn group(address: u16) -> Object {
    Object::Text(format_compact!("group {}/{}/{}", address >> 11, address >> 8 & 7, address & 0xff))
}

/// A flow that carries KNXnet/IP.
struct Knx {
    /// Requests by sender, service, and channel with sequence number.
    pending: Pending<(Side, u16, u16), Operation>,
    /// Telegrams that a client asked to send, by sender, destination and service.
    telegrams: Pending<(Side, u16, u16), Operation>,
    /// Group values seen last.
    values: Vec<(u16, Value)>,
    synchronised: [bool; 2],
    client_said: bool,
}

impl Knx {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            telegrams: Pending::new(WAITING),
            values: Vec::new(),
            synchronised: [false; 2],
            client_said: false,
        }
    }

    fn say_client(&mut self, client: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(client));
        }
    }

    fn frame(&mut self, input: &Input<'_>, frame: &Frame<'_>, out: &mut Out) -> Result<(), Short> {
        let Some(service) = service(frame.code) else { return Ok(()) };
        let mut cursor = Cursor::new(frame.body);
        let is_bus = matches!(
            frame.code,
            TUNNELLING_REQUEST | CONFIGURATION_REQUEST | TUNNELLING_ACK | CONFIGURATION_ACK
        );
        if !is_bus && service.asks {
            self.say_client(input.side, out);
        } else if !is_bus && service.answers.is_some() {
            self.say_client(input.side.other(), out);
        }
        let mut key = 0;
        let mut status = 0;
        match frame.code {
            // structure length, channel, sequence number, status or reserved
            CONFIGURATION_REQUEST..=CONFIGURATION_ACK | TUNNELLING_REQUEST..=0x0425 => {
                let (_length, channel, sequence) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
                key = u16::from_be_bytes([channel, sequence]);
                let last = cursor.u8()?;
                if service.answers.is_some() && frame.code != FEATURE_RESPONSE {
                    status = last;
                }
            }
            CONNECT_RESPONSE | 0x0208 | 0x020a => {
                let (channel, told) = (cursor.u8()?, cursor.u8()?);
                key = if frame.code == CONNECT_RESPONSE { 0 } else { channel.into() };
                status = told;
            }
            0x0207 | 0x0209 => key = cursor.u8()?.into(),
            0x0954 => status = cursor.u8()?,
            _ => {}
        }
        let object = object(frame, &cursor);
        let code = u32::from(frame.code);
        let words = (service.name, service.action);
        if let Some(request) = service.answers {
            let outcome = if status == 0 { Outcome::Ok } else { Outcome::Error };
            let client = input.side.other();
            let mut found = self.pending.take(&(client, request, key));
            if frame.code == FEATURE_RESPONSE {
                found = found.or_else(|| self.pending.take(&(client, FEATURE_SET, key)));
            }
            match found {
                Some(mut asked) => {
                    asked.outcome = outcome;
                    out.operation(asked);
                }
                None => out.unpaired(Operation {
                    sender: client,
                    code: Some(request.into()),
                    outcome,
                    ..input.operation(NAME, client, words, part_at(frame.all, 0, HEADER))
                }),
            }
        } else {
            let told = Operation {
                code: Some(code),
                object,
                ..input.operation(NAME, input.side, words, part_at(frame.all, 0, HEADER))
            };
            // TCP acknowledges by itself.
            let is_acknowledged = input.transport == Transport::Tcp && is_bus;
            if service.asks && !is_acknowledged {
                if let Some(unseen) = self.pending.insert((input.side, frame.code, key), told) {
                    out.operation(unseen);
                }
            } else {
                out.operation(Operation { outcome: Outcome::None, ..told });
            }
        }
        match frame.code {
            SEARCH_RESPONSE | SEARCH_RESPONSE_EXTENDED => {
                // host address
                cursor.skip(8)?;
                description(input, service.name, cursor, out)?;
            }
            DESCRIPTION_RESPONSE => description(input, service.name, cursor, out)?,
            TUNNELLING_REQUEST | CONFIGURATION_REQUEST | ROUTING_INDICATION | SYSTEM_BROADCAST => {
                self.cemi(input, frame.code, cursor, out)?;
            }
            SECURE_WRAPPER => out.push(Item::NotDecoded(NAME, "encrypted")),
            _ => {}
        }
        Ok(())
    }

    fn cemi(
        &mut self,
        input: &Input<'_>,
        carrier: u16,
        mut cursor: Cursor<'_>,
        out: &mut Out,
    ) -> Result<(), Short> {
        let start = cursor.rest();
        let message = cursor.u8()?;
        if let Some(words) = local(message) {
            self.say_client(input.side, out);
            let object = if message == 0xf1 {
                Object::None
            } else {
                let (kind, instance, property) = (cursor.u16_be()?, cursor.u8()?, cursor.u8()?);
                Object::Text(format_compact!("object {kind}/{instance} property {property}"))
            };
            out.operation(Operation {
                connection: NAME,
                code: Some(message.into()),
                object,
                outcome: Outcome::None,
                ..input.operation(CEMI, input.side, words, part_at(start, 0, 8))
            });
            return Ok(());
        }
        if !matches!(message, DATA_REQUEST | DATA_INDICATION | DATA_CONFIRMATION) {
            return Ok(());
        }
        let told = telegram(&mut cursor)?;
        let is_tunnel = carrier == TUNNELLING_REQUEST;
        if is_tunnel {
            let client = if message == DATA_REQUEST { input.side } else { input.side.other() };
            self.say_client(client, out);
        }
        let Some(code) = told.code else { return Ok(()) };
        let (code, name, action) = application(code);
        let words = (name, action);
        if message == DATA_CONFIRMATION {
            let client = input.side.other();
            if let Some(mut asked) = self.telegrams.take(&(client, told.destination, code)) {
                asked.outcome = if told.failed { Outcome::Error } else { Outcome::Ok };
                out.operation(asked);
            }
            return Ok(());
        }
        let mut operation = Operation {
            connection: NAME,
            code: Some(code.into()),
            client_child: child(told.source),
            outcome: Outcome::None,
            ..input.operation(CEMI, input.side, words, told.proof)
        };
        if told.is_group {
            operation.object =
                if told.destination == 0 { Object::None } else { group(told.destination) };
        } else {
            operation.server_child = child(told.destination);
        }
        if told.is_group && matches!(code, GROUP_RESPONSE | GROUP_WRITE) {
            self.group_value(input, &told, code == GROUP_WRITE, out);
        }
        if is_tunnel && message == DATA_REQUEST {
            operation.outcome = Outcome::Unseen;
            let key = (input.side, told.destination, code);
            if let Some(unseen) = self.telegrams.insert(key, operation) {
                out.operation(unseen);
            }
        } else {
            out.operation(operation);
        }
        Ok(())
    }

    /// Keeps the value of a group; tells it when it was written.
    fn group_value(
        &mut self,
        input: &Input<'_>,
        told: &Telegram<'_>,
        is_written: bool,
        out: &mut Out,
    ) {
        let (new, decode) = match told.value {
            // The upper bits are the service's.
            [one] if told.proof.last() == Some(one) && told.is_short() => {
                (Value::Integer(i64::from(one & 0x3f)), Decode::Derived)
            }
            [one] => (Value::Integer(i64::from(*one)), Decode::UnsignedBe),
            more => (Value::Bytes(more.to_vec()), Decode::Hex),
        };
        let known = self.values.iter().position(|(group, _)| *group == told.destination);
        let old = known.map(|at| self.values.remove(at).1);
        if self.values.len() >= REMEMBERED {
            self.values.remove(0);
        }
        self.values.push((told.destination, new.clone()));
        if is_written {
            out.push(Item::Change(Change {
                protocol: CEMI,
                connection: NAME,
                sender: input.side,
                server_child: Child::None,
                object: group(told.destination),
                old,
                new,
                evidence: input.evidence(told.value, decode),
                ts_ns: input.ts_ns,
            }));
        }
    }
}

impl Telegram<'_> {
    /// The value stands in the byte of the application service.
    fn is_short(&self) -> bool {
        let at = self.proof.len().checked_sub(3);
        at.and_then(|at| self.proof.get(at)) == Some(&1)
    }
}

/// The description blocks of a device (03/08/02 §7.5.4).
fn description(
    input: &Input<'_>,
    message: &'static str,
    mut cursor: Cursor<'_>,
    out: &mut Out,
) -> Result<(), Short> {
    while !cursor.is_empty() {
        let length = usize::from(cursor.u8()?);
        let mut block = cursor.sub(length.saturating_sub(1))?;
        if block.u8() != Ok(1) {
            continue;
        }
        // medium, status
        block.skip(2)?;
        let address = block.take(2)?;
        let _project = block.u16_be()?;
        let serial = block.take(6)?;
        let _multicast = block.u32_be()?;
        let (mac, name) = (block.take(6)?, block.take(30)?);
        let told_in = (NAME, message);
        if let [high, low] = *address {
            let told = individual(u16::from_be_bytes([high, low]));
            out.claim(input.own_claim(told_in, "knx_address", told, address, Decode::Derived));
        }
        if serial.iter().any(|byte| *byte != 0) {
            let digits = serial.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            out.claim(input.own_claim(told_in, "serial", digits.into(), serial, Decode::Hex));
        }
        let name = text::trim(name);
        let latin_1: CompactString = name.iter().map(|byte| char::from(*byte)).collect();
        out.claim(Claim {
            who: Who::Sender(Child::None),
            attribute: "name",
            value: latin_1,
            protocol: NAME,
            message,
            confidence: Confidence::High,
            evidence: input.evidence(name, Decode::Ascii),
        });
        if let Ok(bytes) = <[u8; 6]>::try_from(mac)
            && bytes != [0; 6]
        {
            out.push(Item::Binding {
                mac: Mac(bytes),
                ip: input.source,
                protocol: NAME,
                message,
                evidence: input.locate(mac),
            });
        }
    }
    Ok(())
}

impl Session for Knx {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *input.side.of(&mut self.synchronised) = false;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Frame(frame) => {
                    *input.side.of(&mut self.synchronised) = true;
                    if self.frame(input, &frame, out).is_err() {
                        violation(input, frame.all, out);
                    }
                    used += frame.all.len();
                }
                Front::Incomplete if input.transport == Transport::Tcp => break,
                Front::Incomplete | Front::Foreign => {
                    let is_datagram = input.transport != Transport::Tcp;
                    if is_datagram || std::mem::take(input.side.of(&mut self.synchronised)) {
                        violation(input, rest, out);
                    }
                    if used > 0 {
                        out.layer(NAME, input.side);
                    }
                    return input.bytes.len();
                }
            }
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for operation in self.pending.drain().chain(self.telegrams.drain()) {
            out.operation(operation);
        }
    }

    fn stream_cap(&self) -> usize {
        LARGEST
    }
}

fn violation(input: &Input<'_>, part: &[u8], out: &mut Out) {
    if !input.truncated {
        out.push(input.violation(NAME, "knxnet-ip-length", part_at(part, 0, 32)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn whole(code: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(code.to_be_bytes());
        bytes.extend(((HEADER + body.len()) as u16).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    /// A telegram to group 1/2/3 with this service and value.
    fn data(message: u8, code: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![message, 0, 0xbc, 0xe0, 0x11, 0x05, 0x0a, 0x03];
        bytes.push(1 + value.len() as u8);
        bytes.extend(code.to_be_bytes());
        bytes.extend_from_slice(value);
        bytes
    }

    fn tunnel(sequence: u8, cemi: &[u8]) -> Vec<u8> {
        whole(TUNNELLING_REQUEST, &[&[4, 1, sequence, 0], cemi].concat())
    }

    fn description_response() -> Vec<u8> {
        let mut block = vec![54, 1, 2, 0, 0x11, 0x0a, 0, 0, 0, 0xc5, 1, 2, 3, 4];
        block.extend([224, 0, 23, 12, 0, 0x24, 0x6d, 1, 2, 3]);
        block.extend_from_slice(b"IP Router Hall 4");
        block.resize(54, 0);
        block.extend([4, 2, 2, 1]);
        whole(DESCRIPTION_RESPONSE, &block)
    }

    #[test]
    fn a_device_describes_itself() {
        let ask = whole(0x0203, &[8, 1, 192, 0, 2, 1, 0x0e, 0x57]);
        let items =
            testing::items(&PROTOCOL, &[(Side::A, &ask), (Side::B, &description_response())]);
        assert_eq!(vec![("description", String::new(), Outcome::Ok)], testing::operations(&items));
        assert_eq!(
            vec![
                ("knx_address", "1.1.10".to_owned()),
                ("serial", "00c501020304".to_owned()),
                ("name", "IP Router Hall 4".to_owned()),
            ],
            testing::claims(&items)
        );
        let mac = Mac([0, 0x24, 0x6d, 1, 2, 3]);
        assert!(
            items
                .iter()
                .any(|item| matches!(item, Item::Binding { mac: told, .. } if *told == mac))
        );
    }

    #[test]
    fn groups_are_objects_and_written_values_are_kept() {
        let write =
            |sequence, value: &[u8]| tunnel(sequence, &data(DATA_REQUEST, GROUP_WRITE, value));
        let (first, second) = (write(0, &[0x0c, 0x33]), tunnel(1, &data(DATA_REQUEST, 0x081, &[])));
        let confirm = tunnel(0, &data(DATA_CONFIRMATION, GROUP_WRITE, &[0x0c, 0x33]));
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &first),
                (Side::B, &whole(TUNNELLING_ACK, &[4, 1, 0, 0])),
                (Side::B, &confirm),
                (Side::A, &second),
            ],
        );
        let told = testing::operations(&items);
        let group = "group 1/2/3".to_owned();
        assert!(told.contains(&("group-value-write", group.clone(), Outcome::Ok)), "{told:?}");
        assert!(told.contains(&("group-value-write", group, Outcome::Unseen)));
        assert!(told.contains(&("tunnelling", String::new(), Outcome::Ok)));
        let changes: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Change(change) => Some((change.old.clone(), change.new.clone())),
                _ => None,
            })
            .collect();
        let bytes = Value::Bytes(vec![0x0c, 0x33]);
        assert_eq!(vec![(None, bytes.clone()), (Some(bytes), Value::Integer(1))], changes);
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn devices_on_the_bus_are_children() {
        let mut restart = vec![DATA_INDICATION, 0, 0xbc, 0x60, 0x11, 0x05, 0x11, 0x07];
        restart.extend([1, 0x43, 0x80]);
        let items = testing::items(&PROTOCOL, &[(Side::B, &whole(ROUTING_INDICATION, &restart))]);
        let told = items.iter().find_map(|item| match item {
            Item::Operation(told) if told.protocol == CEMI => {
                Some((told.action, told.client_child.to_text(), told.server_child.to_text()))
            }
            _ => None,
        });
        assert_eq!(Some((Action::Reset, "knx 1.1.5".into(), "knx 1.1.7".into())), told);
    }

    #[test]
    fn a_refused_connection_is_an_error() {
        let mut ask = vec![8, 1, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0, 0, 0, 0];
        ask.extend([4, 4, 2, 0]);
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &whole(CONNECT_REQUEST, &ask)),
                (Side::B, &whole(CONNECT_RESPONSE, &[0, 0x24])),
            ],
        );
        assert_eq!(
            vec![("connect", "tunnel".to_owned(), Outcome::Error)],
            testing::operations(&items)
        );
    }

    #[test]
    fn a_frame_shorter_than_its_fields_is_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &tunnel(0, &[DATA_REQUEST, 0]))]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "knxnet-ip-length")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let good = description_response();
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::B, &good)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, &good[..20])));
        let longer = [good.as_slice(), &[0]].concat();
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::B, &longer)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &whole(0x0299, &[]))));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let messages = [
            (Side::A, whole(0x0203, &[8, 1, 192, 0, 2, 1, 0x0e, 0x57])),
            (Side::B, description_response()),
            (Side::A, tunnel(0, &data(DATA_REQUEST, GROUP_WRITE, &[0x0c, 0x33]))),
            (Side::B, whole(TUNNELLING_ACK, &[4, 1, 0, 0])),
            (Side::B, tunnel(0, &data(DATA_CONFIRMATION, GROUP_WRITE, &[0x0c, 0x33]))),
            (Side::A, whole(CONFIGURATION_REQUEST, &[4, 1, 0, 0, 0xfc, 0, 0, 1, 11, 0x10, 1])),
        ];
        let messages: Vec<_> =
            messages.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
