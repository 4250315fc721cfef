//! Beckhoff ADS: the services of TwinCAT systems, in AMS messages over TCP, and their discovery
//! over UDP.
//!
//! Sources: Beckhoff Information System, "TwinCAT ADS specification": AMS/TCP header, AMS header,
//! ADS commands 1 to 9, index groups of the system services (0xF003 to 0xF009), ADS states
//! (`ADSSTATE_*`); `TcAdsDef.h` (system service: index groups 100 to 139, 200, 500, 600);
//! `ST_DeviceIdentification` (what the system service tells of the target, group 700). Discovery:
//! apache/plc4x ads-discovery.mspec and captures beckoffaddroute.pcapng (frames 43, 44, 58, 59) and
//! beckoffiplinktc3.pcapng of ICS-Security-Tools.
//!
//! The code of an operation is the command id; those of the discovery are `ads-discovery`. The object
//! of a read or write is the symbol, where its name was seen when the handle was asked for, else
//! AMS port, index group and offset.
//!
//! AMS NetIds that a server answers for are its children, `ams N.N.N.N.N.N`.
//!
//! Rules broken on the wire:
//! * `ads-length`: the lengths of an AMS message contradict each other inside a stream, or a
//!   command is shorter than its fields.
//!
//! Not decoded: samples of notifications, the parts of sum commands, values' types, certificates
//! and fingerprints of the discovery. Passwords for new routes are never kept.

use compact_str::{CompactString, format_compact};
use otic_wire::{Cursor, Short};

use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Claim, Decode, Evidence, Item, Object, Operation, Out, Outcome, Value,
    Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// Beckhoff ADS.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "ADS",
    roles: ("ADS client", "ADS server"),
    carriers: &[Carrier::Tcp(&[TCP_PORT]), Carrier::Udp(&[UDP_PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Ads::new()) },
    source: "Beckhoff Information System, TwinCAT ADS specification; plc4x ads-discovery.mspec",
};

const NAME: &str = "ads";
const DISCOVERY: &str = "ads-discovery";
const CHILD: &str = "ams";
const TCP_PORT: u16 = 48898;
const UDP_PORT: u16 = 48899;

/// AMS/TCP header and AMS header.
const TCP_HEADER: usize = 6;
const HEADER: usize = 32;

const READ_DEVICE_INFO: u16 = 1;
const READ: u16 = 2;
const WRITE: u16 = 3;
const WRITE_CONTROL: u16 = 5;
const ADD_NOTIFICATION: u16 = 6;
const NOTIFICATION: u16 = 8;
const READ_WRITE: u16 = 9;

/// State flags: response, no response wanted, ADS command.
const RESPONSE: u16 = 0x0001;
const NO_RETURN: u16 = 0x0002;
const ADS_COMMAND: u16 = 0x0004;

/// AMS port of TwinCAT's system service, and the group that tells the target.
const SYSTEM_SERVICE: u16 = 10000;
const TARGET_GROUP: u32 = 700;

const HANDLE_BY_NAME: u32 = 0xf003;
const VALUE_BY_NAME: u32 = 0xf004;
const VALUE_BY_HANDLE: u32 = 0xf005;
const RELEASE_HANDLE: u32 = 0xf006;
const INFO_BY_NAME: u32 = 0xf007;
const INFO_BY_NAME_EX: u32 = 0xf009;
const SUM_WRITE: u32 = 0xf081;

const MAGIC: [u8; 4] = [0x03, 0x66, 0x14, 0x71];
const ANSWER: u32 = 0x8000_0000;
const DISCOVER: u32 = 1;
const ADD_ROUTE: u32 = 6;
const TAG_STATUS: u16 = 1;
const TAG_VERSION: u16 = 3;
const TAG_SYSTEM: u16 = 4;
const TAG_NAME: u16 = 5;
const TAG_ROUTE: u16 = 12;

/// Requests of one flow that may wait at once.
const WAITING: usize = 64;
/// Symbols and values remembered, and the longest value and name.
const REMEMBERED: usize = 64;
const VALUE: usize = 512;
const SYMBOL: usize = 256;

/// Name and action of a command.
pub(crate) const fn command(id: u16) -> (&'static str, Action) {
    match id {
        READ_DEVICE_INFO => ("read-device-info", Action::Identify),
        READ => ("read", Action::Read),
        WRITE => ("write", Action::Write),
        4 => ("read-state", Action::Diagnostics),
        WRITE_CONTROL => ("write-control", Action::Mode),
        ADD_NOTIFICATION => ("add-device-notification", Action::Subscribe),
        7 => ("delete-device-notification", Action::Subscribe),
        NOTIFICATION => ("device-notification", Action::Read),
        READ_WRITE => ("read-write", Action::Read),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// What a state that is written does to the system.
const fn state(number: u16) -> (&'static str, Action) {
    match number {
        1 => ("idle", Action::Mode),
        2 => ("reset", Action::Reset),
        3 => ("init", Action::Mode),
        4 => ("start", Action::Start),
        5 => ("run", Action::Start),
        6 => ("stop", Action::Stop),
        7 => ("save-configuration", Action::Configuration),
        8 => ("load-configuration", Action::Configuration),
        9 => ("power-failure", Action::Mode),
        10 => ("power-good", Action::Mode),
        11 => ("error", Action::Mode),
        12 => ("shutdown", Action::Stop),
        13 => ("suspend", Action::Mode),
        14 => ("resume", Action::Mode),
        15 => ("config", Action::Mode),
        16 => ("reconfig", Action::Mode),
        _ => ("unknown", Action::Mode),
    }
}

/// What a group of the system service is for.
const fn system_service(group: u32, wrote: bool) -> Option<(&'static str, Action)> {
    Some(match group {
        100..=102 | 110 | 120 => ("file-open", Action::File),
        111 | 121 => ("file-close", Action::File),
        122 | 126 => ("file-read", Action::File),
        123 | 127 => ("file-write", Action::File),
        131 => ("file-delete", Action::File),
        132 => ("file-rename", Action::File),
        133 => ("file-find", Action::File),
        138 => ("make-directory", Action::File),
        139 => ("remove-directory", Action::File),
        200 if wrote => ("registry-write", Action::Configuration),
        200 => ("registry-read", Action::Read),
        500 => ("start-process", Action::Control),
        600 => ("change-net-id", Action::Configuration),
        TARGET_GROUP if !wrote => ("read-target-description", Action::Identify),
        _ => return None,
    })
}

/// An AMS message.
struct Message<'a> {
    target: [u8; 6],
    target_port: u16,
    source: &'a [u8],
    command: u16,
    /// The command's bytes.
    code: &'a [u8],
    flags: u16,
    error: u32,
    invoke: u32,
    data: &'a [u8],
}

impl Message<'_> {
    /// Whether the client of the flow sent it: notifications are sent by the server.
    const fn by_client(&self) -> bool {
        (self.command == NOTIFICATION) == (self.flags & RESPONSE != 0)
    }

    /// Child addresses of sender and receiver: the server's NetId stands for what it answers for.
    fn children(&self) -> (Child, Child) {
        if self.by_client() {
            (Child::None, child(&self.target))
        } else {
            (child(self.source), Child::None)
        }
    }
}

enum Front<'a> {
    /// With all its bytes.
    Message(Message<'a>, &'a [u8]),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8]) -> Front<'_> {
    let start = bytes.get(..bytes.len().min(2)).unwrap_or_default();
    if !start.iter().all(|byte| *byte == 0) {
        return Front::Foreign;
    }
    let Some(header) = bytes.get(..TCP_HEADER + HEADER) else { return Front::Incomplete };
    let Ok((message, length)) = header_of(header) else { return Front::Incomplete };
    let known = message.command <= READ_WRITE
        && message.flags & ADS_COMMAND != 0
        && message.flags & 0xfe00 == 0;
    let whole = header.get(2..6).and_then(|size| size.first_chunk::<4>());
    let whole = whole.map_or(0, |size| u32::from_le_bytes(*size) as usize);
    if !known || whole != HEADER + length {
        return Front::Foreign;
    }
    let Some(all) = bytes.get(..TCP_HEADER + whole) else { return Front::Incomplete };
    let data = all.get(TCP_HEADER + HEADER..).unwrap_or_default();
    Front::Message(Message { data, ..message }, all)
}

/// The AMS header after that of AMS/TCP, and the length of the data it tells.
fn header_of(bytes: &[u8]) -> Result<(Message<'_>, usize), Short> {
    let mut cursor = Cursor::new(bytes);
    cursor.skip(TCP_HEADER)?;
    let (target, target_port) = (cursor.array()?, cursor.u16_le()?);
    let source = cursor.take(6)?;
    let _source_port = cursor.u16_le()?;
    let code = cursor.take(2)?;
    let command = code.iter().rev().fold(0, |id, byte| id << 8 | u16::from(*byte));
    let flags = cursor.u16_le()?;
    let length = cursor.u32_le()? as usize;
    let (error, invoke) = (cursor.u32_le()?, cursor.u32_le()?);
    let message =
        Message { target, target_port, source, command, code, flags, error, invoke, data: &[] };
    Ok((message, length))
}

fn probe(input: &Input<'_>) -> Probe {
    if input.transport == Transport::Udp {
        return if Discovery::read(input.bytes).is_ok_and(|known| known.is_some()) {
            Probe::Certain
        } else {
            Probe::No
        };
    }
    match front(input.bytes) {
        Front::Message(..) => Probe::Certain,
        // A long message does not fit into what a probe is shown.
        Front::Incomplete if input.bytes.len() >= TCP_HEADER + HEADER => Probe::Likely,
        Front::Incomplete => Probe::More,
        Front::Foreign => Probe::No,
    }
}

/// Where data stands: AMS port, index group and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    net: [u8; 6],
    port: u16,
    group: u32,
    offset: u32,
}

/// What a request acts on.
#[derive(Default)]
struct Target<'a> {
    place: Option<(u32, u32)>,
    /// Bytes written.
    written: Option<&'a [u8]>,
}

fn target<'a>(message: &Message<'a>) -> Result<Target<'a>, Short> {
    let mut cursor = Cursor::new(message.data);
    Ok(match message.command {
        READ | ADD_NOTIFICATION => {
            let place = Some((cursor.u32_le()?, cursor.u32_le()?));
            let _length = cursor.u32_le()?;
            Target { place, written: None }
        }
        WRITE => {
            let place = Some((cursor.u32_le()?, cursor.u32_le()?));
            let length = cursor.u32_le()? as usize;
            Target { place, written: Some(cursor.take(length)?) }
        }
        READ_WRITE => {
            let place = Some((cursor.u32_le()?, cursor.u32_le()?));
            let (_read, length) = (cursor.u32_le()?, cursor.u32_le()? as usize);
            Target { place, written: Some(cursor.take(length)?) }
        }
        _ => Target::default(),
    })
}

/// A request that waits for its response.
struct Request {
    operation: Operation,
    place: Option<Place>,
    /// The symbol whose handle is asked for.
    symbol: Option<CompactString>,
    written: Option<(Value, Evidence)>,
}

/// A flow that carries ADS.
struct Ads {
    /// By client, command and invoke id.
    pending: Pending<(Side, u16, u32), Request>,
    discovery: Pending<(Side, u32, u32), Operation>,
    /// Handles and the symbols they stand for, oldest first.
    symbols: Vec<(Place, CompactString)>,
    /// Values last read or written, oldest first.
    values: Vec<(Place, Value)>,
    /// AMS NetIds that the sides told last.
    told: [Option<[u8; 6]>; 2],
    client_said: bool,
    synchronised: [bool; 2],
}

impl Ads {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            discovery: Pending::new(WAITING),
            symbols: Vec::new(),
            values: Vec::new(),
            told: [None; 2],
            client_said: false,
            synchronised: [false; 2],
        }
    }

    const fn synchronised(&mut self, side: Side) -> &mut bool {
        side.of(&mut self.synchronised)
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(side));
        }
    }

    fn message(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        self.say_client(if message.by_client() { input.side } else { input.side.other() }, out);
        if message.flags & RESPONSE == 0 {
            self.request(input, message, out);
        } else {
            self.response(input, message, out);
        }
    }

    fn request(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        let words = command(message.command);
        let mut operation = input.operation(NAME, input.side, words, message.code);
        operation.code = Some(u32::from(message.command));
        if message.command == NOTIFICATION {
            operation.client_child = child(message.source);
            operation.outcome = Outcome::None;
            out.operation(operation);
            return;
        }
        operation.server_child = child(&message.target);
        self.net_id(input, message, words.0, out);
        let mut request = Request { operation, place: None, symbol: None, written: None };
        match target(message) {
            Ok(target) => self.describe(input, message, &target, &mut request),
            Err(_) => violation(input, message.code, out),
        }
        if let (WRITE_CONTROL, Some(number)) = (message.command, message.data.first_chunk::<2>()) {
            let (name, action) = state(u16::from_le_bytes(*number));
            request.operation.action = action;
            request.operation.object =
                Object::Text(format_compact!("port {} {name}", message.target_port));
        }
        if message.flags & NO_RETURN != 0 {
            self.complete(request, Outcome::None, out);
            return;
        }
        let key = (input.side, message.command, message.invoke);
        if let Some(evicted) = self.pending.insert(key, request) {
            self.complete(evicted, Outcome::Unseen, out);
        }
    }

    /// The sender's AMS NetId, when it is another than before.
    fn net_id(
        &mut self,
        input: &Input<'_>,
        message: &Message<'_>,
        told_in: &'static str,
        out: &mut Out,
    ) {
        let told = input.side.of(&mut self.told);
        if *told != message.source.first_chunk().copied() {
            *told = message.source.first_chunk().copied();
            let (part, told_in) = (message.source, (NAME, told_in));
            out.claim(input.own_claim(told_in, "ams_net_id", net_id(part), part, Decode::Dotted));
        }
    }

    /// Fills in object, place and value of a request.
    fn describe(
        &self,
        input: &Input<'_>,
        message: &Message<'_>,
        target: &Target<'_>,
        request: &mut Request,
    ) {
        let Some((group, offset)) = target.place else { return };
        let place = Place { net: message.target, port: message.target_port, group, offset };
        let operation = &mut request.operation;
        let is_symbol =
            matches!(group, HANDLE_BY_NAME | VALUE_BY_NAME | INFO_BY_NAME | INFO_BY_NAME_EX);
        let name = match target.written {
            Some(name) if is_symbol && message.command == READ_WRITE => Some(text::trim(name))
                .filter(|name| name.len() <= SYMBOL && text::is_printable(name)),
            _ => None,
        };
        if message.target_port == SYSTEM_SERVICE {
            let wrote = message.command == WRITE;
            if let Some(words) = system_service(group, wrote) {
                (operation.name, operation.action) = words;
            }
        } else if group == SUM_WRITE {
            operation.action = Action::Write;
        } else if group == RELEASE_HANDLE {
            operation.action = Action::Session;
        }
        let symbol = name.map(text::utf8).or_else(|| {
            let known = self.symbols.iter().find(|(known, _)| *known == place)?;
            Some(known.1.clone())
        });
        operation.object = Object::Text(match &symbol {
            Some(name) => format_compact!("port {} {name}", place.port),
            None => format_compact!("port {} group 0x{group:x} offset 0x{offset:x}", place.port),
        });
        if group == HANDLE_BY_NAME {
            request.symbol = symbol;
        }
        request.place = Some(place);
        if message.command == WRITE && operation.action == Action::Write {
            request.written = target
                .written
                .and_then(|bytes| Some((bytes, value(bytes)?)))
                .map(|(bytes, (value, decode))| (value, input.evidence(bytes, decode)));
        }
    }

    fn response(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        let client = input.side.other();
        // Refused by a router, or by the server itself.
        let result = message.data.first_chunk::<4>();
        let refused = message.error != 0 || result.is_none_or(|result| *result != [0; 4]);
        let outcome = if refused { Outcome::Error } else { Outcome::Ok };
        let words = command(message.command);
        if message.error == 0 {
            self.net_id(input, message, words.0, out);
        }
        let data = message.data.get(4..).unwrap_or_default();
        let Some(request) = self.pending.take(&(client, message.command, message.invoke)) else {
            let mut operation = input.operation(NAME, client, words, message.code);
            operation.code = Some(u32::from(message.command));
            operation.server_child = child(message.source);
            operation.outcome = outcome;
            if operation.outcome == Outcome::Ok && message.command == READ_DEVICE_INFO {
                device_info(input, message, data, out);
            }
            out.unpaired(operation);
            return;
        };
        if !refused {
            // Read data have their length before them.
            let read = data.get(4..).unwrap_or_default();
            match (message.command, request.place) {
                (READ_DEVICE_INFO, _) => device_info(input, message, data, out),
                (READ, Some(Place { port: SYSTEM_SERVICE, group: TARGET_GROUP, .. })) => {
                    target_description(input, message, read, out);
                }
                (READ, Some(place)) => {
                    if let Some((value, _)) = value(read) {
                        self.remember(place, value);
                    }
                }
                (READ_WRITE, Some(place)) => {
                    if let (Some(symbol), Some(handle)) = (&request.symbol, read.first_chunk()) {
                        let offset = u32::from_le_bytes(*handle);
                        let place = Place { group: VALUE_BY_HANDLE, offset, ..place };
                        self.symbols.retain(|(known, _)| *known != place);
                        if self.symbols.len() >= REMEMBERED {
                            self.symbols.remove(0);
                        }
                        self.symbols.push((place, symbol.clone()));
                    }
                }
                _ => {}
            }
        }
        self.complete(request, outcome, out);
    }

    fn remember(&mut self, place: Place, value: Value) -> Option<Value> {
        let known = self.values.iter().position(|(known, _)| *known == place);
        let old = known.map(|at| self.values.remove(at).1);
        if self.values.len() >= REMEMBERED {
            self.values.remove(0);
        }
        self.values.push((place, value));
        old
    }

    fn complete(&mut self, mut request: Request, outcome: Outcome, out: &mut Out) {
        request.operation.outcome = outcome;
        let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
        let server_child = request.operation.server_child.clone();
        let object = request.operation.object.clone();
        out.operation(request.operation);
        if let (Some(place), Some((new, evidence))) = (request.place, request.written)
            && outcome != Outcome::Error
        {
            let old = self.remember(place, new.clone());
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender,
                server_child,
                object,
                old,
                new,
                evidence,
                ts_ns,
            }));
        }
    }

    fn datagram(&mut self, input: &Input<'_>, out: &mut Out) -> Result<(), Short> {
        let Some(message) = Discovery::read(input.bytes)? else { return Ok(()) };
        out.layer(NAME, input.side);
        let answers = message.service & ANSWER != 0;
        let service = message.service & !ANSWER;
        let client = if answers { input.side.other() } else { input.side };
        self.say_client(client, out);
        let words = match service {
            DISCOVER => ("discover", Action::Identify),
            ADD_ROUTE => ("add-route", Action::Configuration),
            _ => ("unknown", Action::Diagnostics),
        };
        out.claim(input.own_claim(
            (DISCOVERY, words.0),
            "ams_net_id",
            net_id(message.net),
            message.net,
            Decode::Dotted,
        ));
        let mut operation = input.operation(DISCOVERY, client, words, message.code);
        operation.connection = NAME;
        operation.code = Some(service);
        let mut outcome = Outcome::Ok;
        for (tag, data) in message.tags() {
            match tag {
                TAG_STATUS if data.iter().any(|byte| *byte != 0) => outcome = Outcome::Error,
                TAG_ROUTE if !answers => {
                    let name = text::utf8(text::trim(data));
                    operation.object = Object::Text(format_compact!("route {name}"));
                }
                TAG_NAME if answers => {
                    out.claim(input.own_text((DISCOVERY, words.0), "name", data));
                }
                TAG_VERSION if answers => {
                    out.claim(input.own_claim(
                        (DISCOVERY, words.0),
                        "firmware",
                        version(data),
                        data,
                        Decode::Derived,
                    ));
                }
                TAG_SYSTEM if answers => {
                    let told = data.get(..20).unwrap_or_default();
                    let value = operating_system(told);
                    let told_in = (DISCOVERY, words.0);
                    out.claim(input.own_claim(told_in, "os", value, told, Decode::Derived));
                }
                _ => {}
            }
        }
        let key = (client, service, message.invoke);
        if !answers {
            if let Some(evicted) = self.discovery.insert(key, operation) {
                out.operation(evicted);
            }
            return Ok(());
        }
        match self.discovery.take(&key) {
            Some(mut asked) => {
                asked.outcome = outcome;
                out.operation(asked);
            }
            None => {
                operation.outcome = outcome;
                out.unpaired(operation);
            }
        }
        Ok(())
    }
}

/// A message of the discovery.
struct Discovery<'a> {
    invoke: u32,
    service: u32,
    /// The service's bytes.
    code: &'a [u8],
    net: &'a [u8],
    count: u32,
    rest: &'a [u8],
}

impl<'a> Discovery<'a> {
    /// None where the bytes are something else.
    fn read(bytes: &'a [u8]) -> Result<Option<Self>, Short> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != MAGIC {
            return Ok(None);
        }
        let invoke = cursor.u32_le()?;
        let code = cursor.take(4)?;
        let service = code.iter().rev().fold(0, |id, byte| id << 8 | u32::from(*byte));
        let net = cursor.take(6)?;
        let _port = cursor.u16_le()?;
        let count = cursor.u32_le()?;
        Ok(Some(Self { invoke, service, code, net, count, rest: cursor.rest() }))
    }

    fn tags(&self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut cursor = Cursor::new(self.rest);
        (0..self.count).map_while(move |_| {
            let (tag, length) = (cursor.u16_le().ok()?, cursor.u16_le().ok()?);
            Some((tag, cursor.take(usize::from(length)).ok()?))
        })
    }
}

fn net_id(bytes: &[u8]) -> CompactString {
    let mut text = text::Builder::default();
    for (at, byte) in bytes.iter().enumerate() {
        text.text(if at == 0 { "" } else { "." }).number(*byte);
    }
    text.build()
}

fn child(net: &[u8]) -> Child {
    Child::Text(format_compact!("{CHILD} {}", net_id(net)))
}

/// Version, revision, build.
fn version(bytes: &[u8]) -> CompactString {
    match bytes {
        [major, minor, low, high, ..] => {
            format_compact!("{major}.{minor}.{}", u16::from_le_bytes([*low, *high]))
        }
        _ => CompactString::default(),
    }
}

/// Size, major and minor version, build and platform of Windows' `OSVERSIONINFO`.
fn operating_system(bytes: &[u8]) -> CompactString {
    let mut cursor = Cursor::new(bytes);
    let mut number = || cursor.u32_le().unwrap_or_default();
    let (_size, major, minor, _build, platform) =
        (number(), number(), number(), number(), number());
    match platform {
        2 => format_compact!("Windows NT {major}.{minor}"),
        3 => format_compact!("Windows CE {major}.{minor}"),
        _ => CompactString::default(),
    }
}

/// A value without type, and how the bytes give it.
fn value(bytes: &[u8]) -> Option<(Value, Decode)> {
    let number = |bytes: &[u8]| {
        bytes.iter().rev().fold(0, |number: i64, byte| number << 8 | i64::from(*byte))
    };
    match bytes.len() {
        1 | 2 | 4 => Some((Value::Integer(number(bytes)), Decode::UnsignedLe)),
        3 | 5..=VALUE => Some((Value::Bytes(bytes.to_vec()), Decode::Hex)),
        _ => None,
    }
}

/// Version and name of the ADS server behind an AMS port. The system service's version is
/// that of TwinCAT.
fn device_info(input: &Input<'_>, message: &Message<'_>, data: &[u8], out: &mut Out) {
    let (Some(numbers), Some(name)) = (data.get(..4), data.get(4..20)) else {
        violation(input, message.code, out);
        return;
    };
    let mut say = |attribute, value, part: &[u8], decode| {
        let claim = input.own_claim((NAME, "read-device-info"), attribute, value, part, decode);
        out.claim(Claim { who: Who::Sender(child(message.source)), ..claim });
    };
    let name = text::trim(name);
    say("ads_server", text::utf8(name), name, Decode::Utf8);
    say("ads_server_version", version(numbers), numbers, Decode::Derived);
}

/// What the system service tells of the target: a text in XML.
fn target_description(input: &Input<'_>, message: &Message<'_>, xml: &[u8], out: &mut Out) {
    let message_child = child(message.source);
    let mut say = |attribute, part: &[u8]| {
        let claim = input.own_text((NAME, "read-target-description"), attribute, part);
        out.claim(Claim { who: Who::Sender(message_child.clone()), ..claim });
    };
    if let Some(kind) = element(xml, "TargetType") {
        say("model", kind);
    }
    if let Some(hardware) = element(xml, "Hardware") {
        if let Some(serial) = element(hardware, "SerialNo") {
            say("serial", serial);
        }
        if let Some(version) = element(hardware, "CPUVersion") {
            say("hardware", version);
        }
    }
    if let Some(image) = element(xml, "OsImage")
        && let Some(version) = element(image, "ImageVersion")
    {
        say("image_version", version);
    }
}

/// The content of the first element with this name.
fn element<'a>(xml: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let start = memchr::memmem::find(xml, open.as_bytes())? + open.len();
    let rest = xml.get(start..)?;
    rest.get(..memchr::memmem::find(rest, close.as_bytes())?)
}

fn violation(input: &Input<'_>, part: &[u8], out: &mut Out) {
    if !input.truncated {
        out.push(input.violation(NAME, "ads-length", part_at(part, 0, 32)));
    }
}

impl Session for Ads {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.transport == Transport::Udp {
            // Shorter than its header: not of the discovery.
            let _ = self.datagram(input, out);
            return input.bytes.len();
        }
        if input.after_gap {
            *self.synchronised(input.side) = false;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Message(message, all) => {
                    if used == 0 {
                        let (from, to) = message.children();
                        out.layer_between(NAME, input.side, from, to);
                    }
                    self.message(input, &message, out);
                    *self.synchronised(input.side) = true;
                    used += all.len();
                }
                Front::Incomplete => break,
                Front::Foreign => {
                    if std::mem::take(self.synchronised(input.side)) {
                        violation(input, rest, out);
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
        for operation in self.discovery.drain() {
            out.operation(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// The discovery alone.
    const OVER_UDP: Protocol = Protocol { carriers: &[Carrier::Udp(&[UDP_PORT])], ..PROTOCOL };

    const SERVER: [u8; 6] = [5, 13, 117, 96, 1, 1];
    const CLIENT: [u8; 6] = [192, 0, 2, 1, 1, 1];
    const PLC: u16 = 801;

    fn ams(response: bool, port: u16, command: u16, invoke: u32, data: &[u8]) -> Vec<u8> {
        let (target, source) = if response { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let (target_port, source_port) = if response { (32768, port) } else { (port, 32768) };
        let flags = ADS_COMMAND | if response { RESPONSE } else { 0 };
        let mut bytes = vec![0, 0];
        bytes.extend_from_slice(&((HEADER + data.len()) as u32).to_le_bytes());
        bytes.extend_from_slice(&target);
        bytes.extend_from_slice(&target_port.to_le_bytes());
        bytes.extend_from_slice(&source);
        bytes.extend_from_slice(&source_port.to_le_bytes());
        bytes.extend_from_slice(&command.to_le_bytes());
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        bytes.extend_from_slice(&invoke.to_le_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    fn request(port: u16, command: u16, invoke: u32, data: &[u8]) -> Vec<u8> {
        ams(false, port, command, invoke, data)
    }

    /// A response with the result 0.
    fn response(port: u16, command: u16, invoke: u32, data: &[u8]) -> Vec<u8> {
        ams(true, port, command, invoke, &[&[0, 0, 0, 0], data].concat())
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn with_length(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_le_bytes(), bytes].concat()
    }

    fn discovery(service: u32, tags: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&words(&[0, service]));
        bytes.extend_from_slice(&SERVER);
        bytes.extend_from_slice(&SYSTEM_SERVICE.to_le_bytes());
        bytes.extend_from_slice(&words(&[tags.len() as u32]));
        for (tag, data) in tags {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&(data.len() as u16).to_le_bytes());
            bytes.extend_from_slice(data);
        }
        bytes
    }

    fn told<'a>(claims: &'a [(&'static str, String)], name: &str) -> Vec<&'a str> {
        claims.iter().filter(|(known, _)| *known == name).map(|(_, value)| value.as_str()).collect()
    }

    #[test]
    fn a_server_tells_its_name_and_version() {
        let mut info = vec![2, 11, 0xb4, 8];
        info.extend_from_slice(b"PLC Server\0\0\0\0\0\0");
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(PLC, READ_DEVICE_INFO, 1, &[])),
                (Side::B, &response(PLC, READ_DEVICE_INFO, 1, &info)),
            ],
        );
        let claims = testing::claims(&items);
        assert_eq!(vec!["PLC Server"], told(&claims, "ads_server"));
        assert_eq!(vec!["2.11.2228"], told(&claims, "ads_server_version"));
        assert_eq!(vec!["192.0.2.1.1.1", "5.13.117.96.1.1"], told(&claims, "ams_net_id"));
        assert!(items.iter().any(|item| matches!(item, Item::Operation(operation)
            if operation.server_child == Child::Text("ams 5.13.117.96.1.1".into())
                && operation.outcome == Outcome::Ok)));
    }

    #[test]
    fn a_handle_stands_for_its_symbol() {
        let name = b"MAIN.Speed\0";
        let ask = [words(&[HANDLE_BY_NAME, 0, 4, name.len() as u32]), name.to_vec()].concat();
        let write = [words(&[VALUE_BY_HANDLE, 77, 2]), vec![0xe8, 3]].concat();
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(PLC, READ_WRITE, 1, &ask)),
                (Side::B, &response(PLC, READ_WRITE, 1, &with_length(&[77, 0, 0, 0]))),
                (Side::A, &request(PLC, READ, 2, &words(&[VALUE_BY_HANDLE, 77, 2]))),
                (Side::B, &response(PLC, READ, 2, &with_length(&[5, 0]))),
                (Side::A, &request(PLC, WRITE, 3, &write)),
                (Side::B, &response(PLC, WRITE, 3, &[])),
            ],
        );
        let object = "port 801 MAIN.Speed".to_owned();
        assert_eq!(
            vec![
                ("read-write", Some(9), object.clone(), Outcome::Ok),
                ("read", Some(2), object.clone(), Outcome::Ok),
                ("write", Some(3), object, Outcome::Ok),
            ],
            testing::coded_operations(&items)
        );
        assert!(items.iter().any(|item| matches!(item, Item::Change(change)
            if change.old == Some(Value::Integer(5)) && change.new == Value::Integer(1000))));
    }

    #[test]
    fn a_written_state_stops_the_controller() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(PLC, WRITE_CONTROL, 1, &[6, 0, 0, 0, 0, 0, 0, 0])),
                // refused: service not supported
                (Side::B, &ams(true, PLC, WRITE_CONTROL, 1, &words(&[0x701]))),
            ],
        );
        assert!(items.iter().any(|item| matches!(item, Item::Operation(operation)
            if operation.action == Action::Stop
                && operation.object.to_text() == "port 801 stop"
                && operation.outcome == Outcome::Error)));
    }

    #[test]
    fn the_target_is_described_by_its_system_service() {
        let xml = b"<TcTargetDesc><TargetType>CX1-CE</TargetType><Hardware><SerialNo>12</SerialNo>\
            <CPUVersion>6.9</CPUVersion></Hardware></TcTargetDesc>\0";
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &request(SYSTEM_SERVICE, READ, 1, &words(&[TARGET_GROUP, 1, 600]))),
                (Side::B, &response(SYSTEM_SERVICE, READ, 1, &with_length(xml))),
            ],
        );
        let claims = testing::claims(&items);
        assert_eq!(vec!["CX1-CE"], told(&claims, "model"));
        assert_eq!(vec!["12"], told(&claims, "serial"));
        assert_eq!(vec!["6.9"], told(&claims, "hardware"));
        assert_eq!("read-target-description", testing::operations(&items)[0].0);
    }

    #[test]
    fn notifications_are_sent_by_the_server() {
        let items =
            testing::items(&PROTOCOL, &[(Side::A, &request(PLC, NOTIFICATION, 0, &[0; 8]))]);
        assert!(items.contains(&Item::Client(Side::B)));
        assert_eq!(Outcome::None, testing::operations(&items)[0].2);
    }

    #[test]
    fn the_discovery_tells_name_version_and_system() {
        let mut system = words(&[0x114, 6, 0, 0, 3]);
        system.resize(0x114, 0);
        let answer = discovery(
            DISCOVER | ANSWER,
            &[(TAG_NAME, b"CX-1\0"), (TAG_SYSTEM, &system), (TAG_VERSION, &[2, 11, 0xb4, 8])],
        );
        let items =
            testing::items(&OVER_UDP, &[(Side::A, &discovery(DISCOVER, &[])), (Side::B, &answer)]);
        let claims = testing::claims(&items);
        assert_eq!(vec!["CX-1"], told(&claims, "name"));
        assert_eq!(vec!["2.11.2228"], told(&claims, "firmware"));
        assert_eq!(vec!["Windows CE 6.0"], told(&claims, "os"));
        assert_eq!(
            vec![("discover", Some(1), String::new(), Outcome::Ok)],
            testing::coded_operations(&items)
        );
    }

    #[test]
    fn a_new_route_is_told_without_its_password() {
        let ask =
            discovery(ADD_ROUTE, &[(TAG_ROUTE, b"HMI\0"), (13, b"admin\0"), (2, b"hidden\0")]);
        let items = testing::items(
            &OVER_UDP,
            &[
                (Side::A, &ask),
                (Side::B, &discovery(ADD_ROUTE | ANSWER, &[(TAG_STATUS, &[4, 7, 0, 0])])),
            ],
        );
        assert_eq!(
            vec![("add-route", "route HMI".to_owned(), Outcome::Error)],
            testing::operations(&items)
        );
        assert!(!format!("{items:?}").contains("hidden"));
    }

    #[test]
    fn lengths_that_contradict_are_a_violation() {
        let good = request(PLC, 4, 1, &[]);
        let mut wrong = request(PLC, 4, 2, &[]);
        wrong[2] = 99;
        let items = testing::items(&PROTOCOL, &[(Side::A, &good), (Side::A, &wrong)]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "ads-length")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let read = request(PLC, READ, 2, &words(&[0x4020, 0, 2]));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &read)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &read[..20])));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &read[..40])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[0; 60])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
        let search = discovery(DISCOVER, &[]);
        assert_eq!(Probe::Certain, testing::probe(&OVER_UDP, (Side::A, &search)));
        assert_eq!(Probe::No, testing::probe(&OVER_UDP, (Side::A, &search[..20])));
    }

    #[test]
    fn survives_hostile_bytes() {
        let name = b"MAIN.Speed\0";
        let ask = [words(&[HANDLE_BY_NAME, 0, 4, name.len() as u32]), name.to_vec()].concat();
        let write = [words(&[VALUE_BY_HANDLE, 77, 2]), vec![0xe8, 3]].concat();
        let conversation = [
            (Side::A, request(PLC, READ_WRITE, 1, &ask)),
            (Side::B, response(PLC, READ_WRITE, 1, &with_length(&[77, 0, 0, 0]))),
            (Side::A, request(PLC, WRITE, 3, &write)),
            (Side::B, response(PLC, WRITE, 3, &[])),
            (Side::A, request(PLC, READ_DEVICE_INFO, 4, &[])),
            (Side::B, response(PLC, READ_DEVICE_INFO, 4, &[b'x'; 20])),
            (Side::A, request(SYSTEM_SERVICE, READ, 5, &words(&[TARGET_GROUP, 1, 600]))),
            (
                Side::B,
                response(SYSTEM_SERVICE, READ, 5, &with_length(b"<TargetType>CX</TargetType>")),
            ),
        ];
        let conversation: Vec<_> =
            conversation.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &conversation);
        let answer =
            discovery(DISCOVER | ANSWER, &[(TAG_NAME, b"CX-1\0"), (TAG_VERSION, &[2, 11, 0, 8])]);
        testing::survives(
            &OVER_UDP,
            &[(Side::A, &discovery(ADD_ROUTE, &[(TAG_ROUTE, b"HMI\0")])), (Side::B, &answer)],
        );
    }
}
