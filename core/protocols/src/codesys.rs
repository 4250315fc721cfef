//! CODESYS V3: the services of controllers that run its run-time system, over UDP and TCP; and the
//! frames of its predecessor V2, over TCP.
//!
//! Sources, no vendor's document being public: microsoft/ics-forensics-tools, plug-in CodeSysV3
//! (block driver, datagram, name service, channel and service layers; the device information), Tenable
//! TRA-2020-04 and the public dissector codesys3.lua (components and their commands). V2: the
//! discovery script codesys-v2-discover of Digital Bond's Redpoint (question, places of the texts in
//! the answer).
//!
//! The code of an operation is the datagram's service, those of channels are `codesys-v3-channel`
//! with their type, those of components `codesys-v3-service` with component and command. A response
//! counts as positive: its result is inside tags that are not read.
//!
//! Rules broken on the wire:
//! * `codesys-v3-length`: a frame is shorter than its fields, or bytes inside a stream are no frame.
//!
//! Not decoded: tags of services, blocks after the first one of a message, secure services
//! (encrypted), network variables; of V2 all but the question for the target.

use compact_str::format_compact;
use otic_wire::{Cursor, Short};

use crate::fields::{part_at, u32_at};
use crate::out::{Action, Decode, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// CODESYS V3.
pub const V3: Protocol = Protocol {
    name: NAME,
    title: "CODESYS V3",
    roles: ("CODESYS client", "CODESYS server"),
    carriers: &[
        Carrier::Tcp(&[11740, 11741, 11742, 11743]),
        Carrier::Udp(&[1740, 1741, 1742, 1743]),
    ],
    dissector: Dissector::Built { probe: probe_v3, session: || Box::new(CodesysV3::new()) },
    source: "microsoft/ics-forensics-tools; Tenable TRA-2020-04",
};

/// CODESYS V2.
pub const V2: Protocol = Protocol {
    name: NAME_V2,
    title: "CODESYS V2",
    roles: ("CODESYS client", "CODESYS server"),
    carriers: &[Carrier::Tcp(&[1200, 2455])],
    dissector: Dissector::Built { probe: probe_v2, session: || Box::<CodesysV2>::default() },
    source: "Digital Bond Redpoint codesys-v2-discover",
};

const NAME: &str = "codesys-v3";
const CHANNEL_NAME: &str = "codesys-v3-channel";
const SERVICE_NAME: &str = "codesys-v3-service";
const NAME_V2: &str = "codesys-v2";

/// Magic of the block driver over TCP, as it stands on the wire.
const BLOCK_MAGIC: [u8; 4] = [0x00, 0x01, 0x17, 0xe8];
const BLOCK_HEADER: usize = 8;
/// More than any frame holds.
const LARGEST: usize = 16 * 1024;

const DATAGRAM_MAGIC: u8 = 0xc5;
const DATAGRAM_HEADER: usize = 6;
const NAME_SERVER: u8 = 3;
const NAME_CLIENT: u8 = 4;
const CHANNEL_MANAGER: u8 = 64;

const DEVICE_INFO: u16 = 0xc280;
const NAME_RESOLVE: u16 = 0xc202;
/// Device information up to its texts, whose offset counts from here.
const DEVICE_INFO_HEADER: usize = 48;

const BLOCK: u8 = 0x01;
const ACKNOWLEDGE: u8 = 0x02;
const KEEP_ALIVE: u8 = 0x03;
const OPEN_RESPONSE: u8 = 0x83;
const GET_INFO: u8 = 0xc2;
const OPEN_REQUEST: u8 = 0xc3;
const CLOSE: u8 = 0xc4;

const PLAIN_SERVICE: u16 = 0xcd55;
const SECURE_SERVICE: u16 = 0x7557;
/// Bit of the component in a response.
const RESPONSE: u16 = 0x80;

/// Requests of one flow that may wait at once.
const WAITING: usize = 64;

/// Name of a component.
const fn component(group: u16) -> &'static str {
    match group {
        0x01 => "CmpDevice",
        0x02 => "CmpApp",
        0x03 => "CmpMonitor",
        0x04 => "CmpVisuServer",
        0x05 => "CmpLog",
        0x06 => "CmpSettings",
        0x07 => "SysEthernet",
        0x08 => "CmpFileTransfer",
        0x09 => "CmpIecVarAccess",
        0x0b => "CmpIoMgr",
        0x0c => "CmpUserMgr",
        0x0f => "CmpTraceMgr",
        0x11 => "PlcShell",
        0x12 => "CmpAppBP",
        0x13 => "CmpAppForce",
        0x18 => "CmpAlarmManager",
        0x1b => "CmpMonitor2",
        0x1d => "CmpCodeMeter",
        0x1f => "CmpCoreDump",
        0x22 => "CmpOpenSSL",
        _ => "unknown",
    }
}

/// Name and action of a component's command.
const fn command(group: u16, id: u16) -> (&'static str, Action) {
    use Action::{
        Authenticate, Configuration, Control, Diagnostics, File, Identify, Mode, ProgramDownload,
        ProgramUpload, Read, Reset, Start, Stop, Write,
    };
    match (group, id) {
        (0x01, 0x01) => ("get-target-ident", Identify),
        (0x01, 0x02) => ("device-login", Authenticate),
        (0x01, 0x03) => ("device-logout", Action::Session),
        (0x01, 0x04) => ("reset-origin", Reset),
        (0x01, 0x05) => ("echo", Diagnostics),
        (0x01, 0x06) => ("set-operating-mode", Mode),
        (0x01, 0x07) => ("get-operating-mode", Read),
        (0x01, 0x08) => ("interactive-login", Authenticate),
        (0x01, 0x09) => ("rename-node", Configuration),
        (0x01, 0x0a) => ("session-create", Action::Session),
        (0x01, 0x0b) => ("reset-origin-get-config", Read),
        (0x02, 0x01) => ("application-login", Action::Session),
        (0x02, 0x02) => ("application-logout", Action::Session),
        (0x02, 0x03) => ("create-application", ProgramDownload),
        (0x02, 0x04) => ("delete-application", ProgramDownload),
        (0x02, 0x05) => ("download", ProgramDownload),
        (0x02, 0x06) => ("online-change", ProgramDownload),
        (0x02, 0x07) => ("device-download", ProgramDownload),
        (0x02, 0x08) => ("create-device-application", ProgramDownload),
        (0x02, 0x10) => ("start", Start),
        (0x02, 0x11) => ("stop", Stop),
        (0x02, 0x12) => ("reset", Reset),
        (0x02, 0x13) => ("set-breakpoint", Control),
        (0x02, 0x14) => ("read-status", Diagnostics),
        (0x02, 0x15) => ("delete-breakpoint", Control),
        (0x02, 0x16) => ("read-call-stack", Diagnostics),
        (0x02, 0x17) => ("get-area-offset", Read),
        (0x02, 0x18) => ("read-application-list", Identify),
        (0x02, 0x19) => ("set-next-statement", Control),
        (0x02, 0x20) => ("release-force-list", Control),
        (0x02, 0x21) => ("upload-force-list", Read),
        (0x02, 0x22) => ("single-cycle", Control),
        (0x02, 0x23) => ("create-boot-project", ProgramDownload),
        (0x02, 0x24) => ("reinitialise-application", Reset),
        (0x02, 0x25) => ("read-application-state-list", Diagnostics),
        (0x02, 0x26) => ("load-boot-application", ProgramDownload),
        (0x02, 0x27) => ("register-boot-application", ProgramDownload),
        (0x02, 0x28) => ("check-file-consistency", Diagnostics),
        (0x02, 0x29) => ("read-application-info", Identify),
        (0x02, 0x30) => ("download-compact", ProgramDownload),
        (0x02, 0x31) => ("read-project-info", Identify),
        (0x02, 0x32) => ("define-flow", Control),
        (0x02, 0x33) => ("read-flow-values", Read),
        (0x02, 0x34) => ("download-encrypted", ProgramDownload),
        (0x02, 0x35) => ("read-application-content", ProgramUpload),
        (0x02, 0x36) => ("save-retains", Control),
        (0x02, 0x37) => ("restore-retains", Write),
        (0x02, 0x38) => ("get-area-address", Read),
        (0x02, 0x39) => ("leave-execution-points-active", Control),
        (0x02, 0x40) => ("claim-execution-points", Control),
        (0x05, 0x01) => ("get-log-entries", Diagnostics),
        (0x05, 0x02) => ("get-component-names", Identify),
        (0x05, 0x03) => ("get-logger-list", Diagnostics),
        (0x08, 0x01) => ("get-file-info", File),
        (0x08, 0x02) => ("start-file-download", File),
        (0x08, 0x03) => ("restart-file-download", File),
        (0x08, 0x04) => ("file-download", File),
        (0x08, 0x05) => ("start-file-upload", File),
        (0x08, 0x06) => ("restart-file-upload", File),
        (0x08, 0x07) => ("file-upload", File),
        (0x08, 0x08) => ("end-file-transfer", File),
        (0x08, 0x09) => ("cancel-file-transfer", File),
        (0x08, 0x0a) => ("safe-signature", File),
        (0x08, 0x0b) => ("get-safe-signature", File),
        (0x08, 0x0c) => ("get-directory-info", File),
        (0x08, 0x0d) => ("cancel-get-directory-info", File),
        (0x08, 0x0e) => ("delete-file", File),
        (0x08, 0x0f) => ("rename-file", File),
        (0x08, 0x10) => ("create-directory", File),
        (0x08, 0x11) => ("delete-directory", File),
        (0x08, 0x12) => ("rename-directory", File),
        (0x08, 0x14) => ("synchronise-file-transfer", File),
        (0x09, 0x01) => ("register-variable-list", Action::Subscribe),
        (0x09, 0x02) => ("unregister-variable-list", Action::Subscribe),
        (0x09, 0x03) => ("read-variable-list", Read),
        (0x09, 0x04) => ("write-variable-list", Write),
        (0x09, 0x05) => ("read-variables", Read),
        (0x09, 0x06) => ("write-variables", Write),
        (0x09, 0x07) => ("get-root-nodes", Identify),
        (0x09, 0x08) => ("get-children-nodes", Identify),
        (0x09, 0x09) => ("get-types", Identify),
        (0x09, 0x0a) => ("get-address-info", Read),
        (0x09, 0x0b) => ("remove-variables-from-list", Action::Subscribe),
        (0x1b, 0x01) => ("monitor-read", Read),
        (0x1b, 0x02) => ("monitor-write", Write),
        (0x0f, _) => ("trace", Diagnostics),
        (0x11, _) => ("shell-command", Control),
        (0x0c, _) => ("user-management", Configuration),
        (0x06, _) => ("settings", Configuration),
        (0x13, _) => ("force", Control),
        (0x05, _) => ("log", Diagnostics),
        _ => ("unknown", Control),
    }
}

/// A datagram of the routing layer.
struct Datagram<'a> {
    service: u8,
    content: &'a [u8],
    all: &'a [u8],
}

/// Reads a datagram that starts `before` bytes after a multiple of 4; none where it is none.
fn datagram(bytes: &[u8], before: usize) -> Result<Option<Datagram<'_>>, Short> {
    let mut cursor = Cursor::new(bytes);
    let [magic, hops, _, service, _message, lengths] = cursor.array()?;
    // The length of this header stands in the lower 3 bits, in words.
    let is_header = magic == DATAGRAM_MAGIC && usize::from(hops & 7) * 2 == DATAGRAM_HEADER;
    if !is_header || !matches!(service, 1..=4 | CHANNEL_MANAGER) {
        return Ok(None);
    }
    let addresses = 2 * (usize::from(lengths & 0x0f) + usize::from(lengths >> 4));
    cursor.skip(addresses)?;
    cursor.skip((before + DATAGRAM_HEADER + addresses) % 4)?;
    Ok(Some(Datagram { service, content: cursor.rest(), all: bytes }))
}

/// A frame, whole.
enum Front<'a> {
    Datagram(Datagram<'a>, usize),
    Incomplete,
    Foreign,
}

fn front(bytes: &[u8], transport: Transport) -> Front<'_> {
    if transport == Transport::Udp {
        return match datagram(bytes, 0) {
            Ok(Some(datagram)) => Front::Datagram(datagram, bytes.len()),
            _ => Front::Foreign,
        };
    }
    let known = bytes.len().min(BLOCK_MAGIC.len());
    if bytes.get(..known) != BLOCK_MAGIC.get(..known) {
        return Front::Foreign;
    }
    let Some(length) = u32_at(bytes, 4) else { return Front::Incomplete };
    let length = length as usize;
    if !(BLOCK_HEADER + DATAGRAM_HEADER..=LARGEST).contains(&length) {
        return Front::Foreign;
    }
    let Some(content) = bytes.get(BLOCK_HEADER..length) else { return Front::Incomplete };
    match datagram(content, BLOCK_HEADER) {
        Ok(Some(datagram)) => Front::Datagram(datagram, length),
        _ => Front::Foreign,
    }
}

/// Whether what the datagram carries looks like its service.
fn is_service(datagram: &Datagram<'_>) -> bool {
    let content = datagram.content;
    match datagram.service {
        NAME_SERVER | NAME_CLIENT => {
            let [_, kind, low, high, ..] = *content else { return false };
            kind == 0xc2 && matches!(u16::from_le_bytes([low, high]), 0x0103 | 0x0400)
        }
        CHANNEL_MANAGER => match *content {
            [BLOCK | ACKNOWLEDGE | KEEP_ALIVE, flags, ..] => flags & 0x7e == 0,
            [OPEN_REQUEST | OPEN_RESPONSE | CLOSE, _, low, high, ..] => {
                u16::from_le_bytes([low, high]) == 0x0101
            }
            [GET_INFO, ..] => true,
            _ => false,
        },
        _ => !content.is_empty(),
    }
}

fn probe_v3(input: &Input<'_>) -> Probe {
    match front(input.bytes, input.transport) {
        Front::Datagram(..) if input.transport == Transport::Tcp => Probe::Certain,
        Front::Datagram(datagram, _) if !is_service(&datagram) => Probe::No,
        Front::Datagram(datagram, _) if datagram.service < NAME_SERVER => Probe::Weak,
        Front::Datagram(..) => Probe::Likely,
        Front::Incomplete => Probe::More,
        Front::Foreign => Probe::No,
    }
}

/// What pairs a request with its response.
#[derive(PartialEq)]
enum Key {
    /// Message id of the name service.
    Name(u32),
    /// Message id of a channel that is opened.
    Open(u32),
    /// Channel, component and command.
    Service(u16, u16, u16),
}

/// A flow that carries CODESYS V3.
struct CodesysV3 {
    pending: Pending<(Side, Key), Operation>,
    client_said: bool,
    synchronised: [bool; 2],
}

impl CodesysV3 {
    const fn new() -> Self {
        Self { pending: Pending::new(WAITING), client_said: false, synchronised: [false; 2] }
    }

    fn say_client(&mut self, client: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(client));
        }
    }

    fn datagram(
        &mut self,
        input: &Input<'_>,
        told: &Datagram<'_>,
        out: &mut Out,
    ) -> Result<(), Short> {
        match told.service {
            NAME_SERVER | NAME_CLIENT => self.name_service(input, told, out),
            CHANNEL_MANAGER => self.channel(input, told, out),
            service => {
                let name = if service == 1 {
                    "address-notification"
                } else {
                    "address-notification-response"
                };
                let words = (name, Action::Session);
                let proof = part_at(told.all, 0, DATAGRAM_HEADER);
                out.operation(Operation {
                    code: Some(service.into()),
                    outcome: Outcome::None,
                    ..input.operation(NAME, input.side, words, proof)
                });
                Ok(())
            }
        }
    }

    fn name_service(
        &mut self,
        input: &Input<'_>,
        told: &Datagram<'_>,
        out: &mut Out,
    ) -> Result<(), Short> {
        let mut cursor = Cursor::new(told.content);
        let proof = part_at(told.content, 0, 8);
        let (kind, _version, id) = (cursor.u16_le()?, cursor.u16_le()?, cursor.u32_le()?);
        let is_answer = told.service == NAME_CLIENT;
        let client = if is_answer { input.side.other() } else { input.side };
        self.say_client(client, out);
        let words = match kind {
            NAME_RESOLVE | DEVICE_INFO => ("resolve-name", Action::Identify),
            0xc201 => ("resolve-address", Action::Identify),
            _ => ("unknown", Action::Diagnostics),
        };
        let operation = Operation {
            code: Some(NAME_SERVER.into()),
            ..input.operation(NAME, client, words, proof)
        };
        if !is_answer {
            if let Some(unseen) = self.pending.insert((client, Key::Name(id)), operation) {
                out.operation(unseen);
            }
            return Ok(());
        }
        self.answer((client, Key::Name(id)), operation, Outcome::Ok, out);
        if kind == DEVICE_INFO { device_info(input, told.content, out) } else { Ok(()) }
    }

    fn channel(
        &mut self,
        input: &Input<'_>,
        told: &Datagram<'_>,
        out: &mut Out,
    ) -> Result<(), Short> {
        let mut cursor = Cursor::new(told.content);
        let (kind, flags) = (cursor.u8()?, cursor.u8()?);
        let proof = part_at(told.content, 0, 12);
        let operation = |client, words| Operation {
            connection: NAME,
            code: Some(kind.into()),
            outcome: Outcome::None,
            ..input.operation(CHANNEL_NAME, client, words, proof)
        };
        match kind {
            OPEN_REQUEST => {
                self.say_client(input.side, out);
                // version, checksum
                cursor.skip(2 + 4)?;
                let key = (input.side, Key::Open(cursor.u32_le()?));
                let mut asked = operation(input.side, ("open-channel", Action::Session));
                asked.outcome = Outcome::Unseen;
                if let Some(unseen) = self.pending.insert(key, asked) {
                    out.operation(unseen);
                }
            }
            OPEN_RESPONSE => {
                let client = input.side.other();
                self.say_client(client, out);
                cursor.skip(2 + 4)?;
                let (id, reason) = (cursor.u32_le()?, cursor.u16_le()?);
                let mut asked = operation(client, ("open-channel", Action::Session));
                asked.code = Some(OPEN_REQUEST.into());
                let outcome = if reason == 0 { Outcome::Ok } else { Outcome::Error };
                self.answer((client, Key::Open(id)), asked, outcome, out);
            }
            CLOSE => {
                out.operation(operation(input.side, ("close-channel", Action::Session)));
            }
            GET_INFO => {
                out.operation(operation(input.side, ("get-channel-info", Action::Diagnostics)));
            }
            KEEP_ALIVE => {
                out.operation(operation(input.side, ("keep-alive", Action::Session)));
            }
            BLOCK if flags & 1 != 0 => {
                let channel = cursor.u16_le()?;
                // block, acknowledged block, remaining size, checksum
                cursor.skip(4 * 4)?;
                self.service(input, channel, cursor.rest(), out)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn service(
        &mut self,
        input: &Input<'_>,
        channel: u16,
        message: &[u8],
        out: &mut Out,
    ) -> Result<(), Short> {
        let mut cursor = Cursor::new(message);
        let (protocol, _header) = (cursor.u16_le()?, cursor.u16_le()?);
        if protocol == SECURE_SERVICE {
            out.push(Item::NotDecoded(NAME, "encrypted"));
            return Ok(());
        }
        if protocol != PLAIN_SERVICE {
            out.push(Item::NotDecoded(NAME, "unknown-service-protocol"));
            return Ok(());
        }
        let (group, id) = (cursor.u16_le()?, cursor.u16_le()?);
        let is_response = group & RESPONSE != 0;
        let group = group & !RESPONSE;
        let client = if is_response { input.side.other() } else { input.side };
        self.say_client(client, out);
        let operation = Operation {
            connection: NAME,
            code: Some(u32::from(group) << 16 | u32::from(id)),
            object: Object::Text(format_compact!("{}", component(group))),
            ..input.operation(SERVICE_NAME, client, command(group, id), part_at(message, 0, 16))
        };
        let key = (client, Key::Service(channel, group, id));
        if is_response {
            self.answer(key, operation, Outcome::Ok, out);
        } else if let Some(unseen) = self.pending.insert(key, operation) {
            out.operation(unseen);
        }
        Ok(())
    }

    /// Tells the request that waits, or that its answer came alone.
    fn answer(&mut self, key: (Side, Key), alone: Operation, outcome: Outcome, out: &mut Out) {
        match self.pending.take(&key) {
            Some(mut asked) => {
                asked.outcome = outcome;
                out.operation(asked);
            }
            None => out.unpaired(Operation { outcome, ..alone }),
        }
    }
}

/// What a node says of itself.
fn device_info(input: &Input<'_>, content: &[u8], out: &mut Out) -> Result<(), Short> {
    let mut cursor = Cursor::new(content);
    // header, channels, byte order, unknown
    cursor.skip(8 + 4)?;
    let offset = usize::from(cursor.u16_le()?);
    let mut length = || cursor.u16_le().map(usize::from);
    let lengths = [length()?, length()?, length()?];
    // target type and id
    cursor.skip(8)?;
    let version = cursor.take(4)?;
    cursor.skip(4)?;
    let serial = usize::from(cursor.u8()?);
    let message = (NAME, "device-info");
    let mut texts = Cursor::new(content);
    texts.skip(DEVICE_INFO_HEADER + offset)?;
    for (attribute, length) in ["name", "model", "vendor"].into_iter().zip(lengths) {
        let part = text::trim_utf16(texts.take(2 * length)?);
        texts.skip(2)?;
        let value = text::utf16le(part);
        out.claim(input.own_claim(message, attribute, value, part, Decode::Utf16Le));
    }
    if let [d, c, b, a] = *version {
        let value = format_compact!("{a}.{b}.{c}.{d}");
        out.claim(input.own_claim(message, "firmware", value, version, Decode::Derived));
    }
    if serial > 0 {
        out.claim(input.own_text(message, "serial", texts.take(serial)?));
    }
    Ok(())
}

fn violation(input: &Input<'_>, part: &[u8], out: &mut Out) {
    if !input.truncated {
        out.push(input.violation(NAME, "codesys-v3-length", part_at(part, 0, 32)));
    }
}

impl Session for CodesysV3 {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *input.side.of(&mut self.synchronised) = false;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest, input.transport) {
                Front::Datagram(datagram, length) => {
                    *input.side.of(&mut self.synchronised) = true;
                    if self.datagram(input, &datagram, out).is_err() {
                        violation(input, datagram.all, out);
                    }
                    used += length;
                }
                Front::Incomplete => break,
                Front::Foreign => {
                    if std::mem::take(input.side.of(&mut self.synchronised)) {
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
        for operation in self.pending.drain() {
            out.operation(operation);
        }
    }

    fn stream_cap(&self) -> usize {
        LARGEST
    }
}

/// Start of a frame of V2.
const START_V2: [u8; 2] = [0xbb, 0xbb];
/// Start, length.
const HEADER_V2: usize = 6;
const IDENTIFY_V2: u8 = 1;
/// Where the texts of the answer stand, and most bytes of each.
const TEXTS_V2: [(&str, usize); 3] = [("os", 64), ("os_version", 96), ("model", 128)];
const TEXT_V2: usize = 32;

/// A frame of V2 whose length is in little-endian order: its content, and its length.
fn front_v2(bytes: &[u8]) -> Option<(&[u8], usize)> {
    if !bytes.starts_with(&START_V2) {
        return None;
    }
    let length = u32_at(bytes, 2)? as usize;
    let content = bytes.get(HEADER_V2..)?.get(..length)?;
    (length > 0).then_some((content, HEADER_V2 + length))
}

fn probe_v2(input: &Input<'_>) -> Probe {
    match front_v2(input.bytes) {
        Some((_, length)) if length == input.bytes.len() => Probe::Likely,
        Some(_) => Probe::Weak,
        None => Probe::No,
    }
}

/// A flow that carries CODESYS V2.
#[derive(Default)]
struct CodesysV2 {
    /// The question for the target that waits.
    asked: Option<(Side, Operation)>,
}

impl Session for CodesysV2 {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if !input.bytes.starts_with(&START_V2) {
            return input.bytes.len();
        }
        out.layer(NAME_V2, input.side);
        match self.asked.take() {
            Some((client, mut asked)) if client != input.side => {
                asked.outcome = Outcome::Ok;
                out.operation(asked);
                for (attribute, at) in TEXTS_V2 {
                    let part = text::trim(part_at(input.bytes, at, TEXT_V2));
                    if text::is_printable(part) {
                        out.claim(input.own_text((NAME_V2, "identify"), attribute, part));
                    }
                }
                return input.bytes.len();
            }
            before => self.asked = before,
        }
        match front_v2(input.bytes) {
            Some(([IDENTIFY_V2], length)) => {
                out.push(Item::Client(input.side));
                let words = ("identify", Action::Identify);
                let asked = Operation {
                    code: Some(IDENTIFY_V2.into()),
                    ..input.operation(NAME_V2, input.side, words, part_at(input.bytes, 0, length))
                };
                if let Some((_, unseen)) = self.asked.replace((input.side, asked)) {
                    out.operation(unseen);
                }
                length
            }
            _ => {
                out.push(Item::NotDecoded(NAME_V2, "service"));
                input.bytes.len()
            }
        }
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some((_, unseen)) = self.asked.take() {
            out.operation(unseen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// A frame of this service over TCP, between addresses of three words.
    fn whole(service: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = BLOCK_MAGIC.to_vec();
        bytes.extend([0; 4]);
        bytes.extend([DATAGRAM_MAGIC, 0x6b, 0x40, service, 0, 0x33]);
        bytes.extend([0; 12]);
        // to a multiple of 4
        bytes.extend([0; 2]);
        bytes.extend_from_slice(content);
        let length = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    }

    fn resolve(id: u8) -> Vec<u8> {
        whole(NAME_SERVER, &[0x02, 0xc2, 0, 4, id, 0, 0, 0])
    }

    fn info(id: u8) -> Vec<u8> {
        let mut content = vec![0x80, 0xc2, 3, 1, id, 0, 0, 0, 4, 0, 1, 0, 0, 0];
        for text in ["Press7", "Control Win V3", "3S"] {
            content.extend((text.len() as u16).to_le_bytes());
        }
        content.extend([0, 0x10, 0, 0, 1, 0, 0, 0, 40, 15, 5, 3, 0, 0, 0, 0, 4]);
        content.resize(DEVICE_INFO_HEADER, 0);
        for text in ["Press7", "Control Win V3", "3S"] {
            content.extend(utf16(text));
        }
        content.extend_from_slice(b"S-77");
        whole(NAME_CLIENT, &content)
    }

    fn channel(kind: u8, rest: &[u8]) -> Vec<u8> {
        whole(CHANNEL_MANAGER, &[&[kind, 0, 1, 1, 0, 0, 0, 0], rest].concat())
    }

    /// A command to a component on channel 7, or its response.
    fn service(group: u16, id: u16) -> Vec<u8> {
        let flags = if group & RESPONSE == 0 { 0x81 } else { 0x01 };
        let mut content = vec![BLOCK, flags, 7, 0];
        content.extend([0; 16]);
        content.extend(PLAIN_SERVICE.to_le_bytes());
        content.extend([12, 0]);
        content.extend(group.to_le_bytes());
        content.extend(id.to_le_bytes());
        content.extend([0; 8]);
        whole(CHANNEL_MANAGER, &content)
    }

    #[test]
    fn a_node_introduces_itself() {
        let items = testing::items(&V3, &[(Side::A, &resolve(9)), (Side::B, &info(9))]);
        assert_eq!(vec![("resolve-name", String::new(), Outcome::Ok)], testing::operations(&items));
        let told = testing::claims(&items);
        let told: Vec<_> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(
            vec![
                ("name", "Press7"),
                ("model", "Control Win V3"),
                ("vendor", "3S"),
                ("firmware", "3.5.15.40"),
                ("serial", "S-77"),
            ],
            told
        );
    }

    #[test]
    fn services_are_paired_in_their_channel() {
        let items = testing::items(
            &V3,
            &[
                (Side::A, &channel(OPEN_REQUEST, &[5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
                (Side::B, &channel(OPEN_RESPONSE, &[5, 0, 0, 0, 0, 0, 7, 0])),
                (Side::A, &service(0x02, 0x11)),
                (Side::B, &service(0x82, 0x11)),
                (Side::A, &service(0x02, 0x05)),
            ],
        );
        assert_eq!(
            vec![
                ("open-channel", String::new(), Outcome::Ok),
                ("stop", "CmpApp".to_owned(), Outcome::Ok),
                ("download", "CmpApp".to_owned(), Outcome::Unseen),
            ],
            testing::operations(&items)
        );
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn what_is_no_frame_is_a_violation() {
        let items = testing::items(&V3, &[(Side::A, &resolve(9)), (Side::A, &[1, 2, 3, 4, 5])]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "codesys-v3-length")));
    }

    #[test]
    fn version_2_tells_its_target() {
        let mut answer = vec![0xbb, 0xbb, 1, 0, 0, 0];
        answer.resize(160, 0);
        answer[64..71].copy_from_slice(b"Nucleus");
        answer[128..135].copy_from_slice(b"750-841");
        let items =
            testing::items(&V2, &[(Side::A, &[0xbb, 0xbb, 1, 0, 0, 0, 1]), (Side::B, &answer)]);
        assert_eq!(
            vec![("os", "Nucleus".to_owned()), ("model", "750-841".to_owned())],
            testing::claims(&items)
        );
        assert_eq!(vec![("identify", String::new(), Outcome::Ok)], testing::operations(&items));
    }

    #[test]
    fn the_probes_know_their_own() {
        let good = resolve(9);
        assert_eq!(Probe::Certain, testing::probe(&V3, (Side::A, &good)));
        assert_eq!(Probe::More, testing::probe(&V3, (Side::A, &good[..9])));
        assert_eq!(Probe::No, testing::probe(&V3, (Side::A, b"GET / HTTP/1.1")));
        let ask: &[u8] = &[0xbb, 0xbb, 1, 0, 0, 0, 1];
        assert_eq!(Probe::Likely, testing::probe(&V2, (Side::A, ask)));
        assert_eq!(Probe::No, testing::probe(&V2, (Side::A, &ask[..6])));
    }

    #[test]
    fn survives_hostile_bytes() {
        let messages = [
            (Side::A, resolve(9)),
            (Side::B, info(9)),
            (Side::A, channel(OPEN_REQUEST, &[5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
            (Side::A, service(0x02, 0x11)),
            (Side::B, service(0x82, 0x11)),
        ];
        let messages: Vec<_> =
            messages.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&V3, &messages);
    }
}
