//! EtherCAT: one frame passes through all SubDevices of a segment and comes back.
//!
//! Sources: ETG.1000.4 (frame and datagram headers, commands, registers, EEPROM interface, mailbox
//! header), ETG.1000.6 (CoE, FoE, EoE, SoE), ETG.1000.6 §5.7 with CiA 301 (objects 0x1008 to 0x100A
//! and 0x1018), ETG.2010 table 2 (words of the EEPROM: vendor id 8, product code 10, revision 12,
//! serial number 14), as tshark 4.0 names them (`ecatf`, `ecat`, `ecat_mailbox`) and
//! OpenEtherCATsociety/SOEM uses them. ICS-Pcaps--ethercat.pcap frames 1 and 2: the first SubDevice
//! sets the local bit in the source MAC, and each SubDevice adds 1 to the position or broadcast
//! address and to the working counter.
//!
//! The code of an operation is the command of a datagram; those of mailboxes are `ethercat-mailbox`
//! and their code is mailbox type and service. A frame on its way back has another source MAC, so it
//! is another flow: what it says is counted as responses, with outcomes by working counter, and is no act
//! of its own (diagnostics). SubDevices are children of the MainDevice, `ethercat N` with the configured
//! station address.
//!
//! Rules broken on the wire:
//! * `ethercat-length`: the datagrams of a frame do not fill the length of its header.
//!
//! Not decoded: process data (its meaning is in the project) and so FSoE, which is part of it;
//! network variables, frames of other types than commands, fragments of EoE, the data of AoE, segments of
//! SDO transfers.

use compact_str::{CompactString, format_compact};
use otic_wire::{Address, Cursor, Mac, Short};

use crate::ads;
use crate::fields::{part_at, u16_at, u32_at};
use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Item, Object, Operation, Out, Outcome, Value,
    Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Transport};
use crate::text;

/// EtherCAT on its EtherType and over UDP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "EtherCAT",
    roles: ("EtherCAT MainDevice", "EtherCAT SubDevice"),
    carriers: &[Carrier::EtherType(&[0x88a4]), Carrier::Udp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Ethercat::new()) },
    source: "ETG.1000.4, ETG.1000.6, ETG.2010; CiA 301",
};

const NAME: &str = "ethercat";
const MAILBOX: &str = "ethercat-mailbox";
const CHILD: &str = "ethercat";
const PORT: u16 = 34980;

/// Type of a frame that holds datagrams.
const COMMANDS: u16 = 1;
const DATAGRAM_HEADER: usize = 10;
/// Flag of a datagram that is not the last.
const MORE: u16 = 0x8000;
const LENGTH: u16 = 0x07ff;
/// Bit of a MAC that the first SubDevice sets.
const LOCAL: u8 = 2;

const POSITION_WRITE: u8 = 2;
const STATION_READ: u8 = 4;
const STATION_WRITE: u8 = 5;
const BROADCAST_READ: u8 = 7;
const BROADCAST_WRITE: u8 = 8;
const BROADCAST_READ_WRITE: u8 = 9;

/// Memory from here on is process data and mailboxes (ETG.1000.4 §6).
const MEMORY: u16 = 0x1000;
const AL_CONTROL: u16 = 0x0120;
const EEPROM_CONTROL: u16 = 0x0502;
const EEPROM_DATA: u16 = 0x0508;
/// The EEPROM interface has not finished.
const BUSY: u16 = 0x8000;

const AOE: u8 = 1;
const COE: u8 = 3;
const SDO_REQUEST: u8 = 2;
const SDO_RESPONSE: u8 = 3;
const SDO_INFORMATION: u8 = 8;
const IDENTITY: u16 = 0x1018;

/// Requests in mailboxes that may wait, and stations and values that are remembered.
const WAITING: usize = 64;
const REMEMBERED: usize = 64;
/// Longest value that is kept.
const VALUE: usize = 256;

/// Name and action of a command (ETG.1000.4 table 5).
const fn command(code: u8) -> Option<(&'static str, Action)> {
    Some(match code {
        0 => ("nop", Action::Session),
        1 => ("aprd", Action::Read),
        POSITION_WRITE => ("apwr", Action::Write),
        3 => ("aprw", Action::Write),
        STATION_READ => ("fprd", Action::Read),
        STATION_WRITE => ("fpwr", Action::Write),
        6 => ("fprw", Action::Write),
        BROADCAST_READ => ("brd", Action::Read),
        BROADCAST_WRITE => ("bwr", Action::Write),
        BROADCAST_READ_WRITE => ("brw", Action::Write),
        // Logical memory is the cyclic process data.
        10 => ("lrd", Action::Subscribe),
        11 => ("lwr", Action::Subscribe),
        12 => ("lrw", Action::Subscribe),
        13 => ("armw", Action::Session),
        14 => ("frmw", Action::Session),
        _ => return None,
    })
}

/// What writing a register does (ETG.1000.4 §6).
const fn written(register: u16, data: &[u8]) -> Action {
    match register {
        // Reset of the controller: the letters R, E, S one after another.
        0x0040 | 0x0041 => Action::Reset,
        AL_CONTROL => Action::Mode,
        // Station address and alias, ports, watchdogs, FMMUs, SyncManagers.
        0x0010..=0x0013 | 0x0100..=0x0103 | 0x0400..=0x0421 | 0x0600..=0x08ff => {
            Action::Configuration
        }
        EEPROM_CONTROL => match data {
            // Control register: bit 8 read, bit 9 write, bit 10 reload.
            [_, control, ..] if *control & 2 != 0 => Action::Configuration,
            _ => Action::Read,
        },
        0x0300..=0x0313 => Action::Diagnostics,
        // Distributed clocks.
        0x0900..=0x09ff => Action::Session,
        _ => Action::Write,
    }
}

/// Name and action of what a mailbox carries, by type and service.
const fn service(kind: u8, service: u8) -> Option<(&'static str, Action)> {
    Some(match (kind, service) {
        (2, 0) => ("eoe-fragment", Action::Session),
        (2, 1) => ("eoe-timestamp", Action::Session),
        (2, 2) => ("eoe-set-ip", Action::Configuration),
        (2, 4) => ("eoe-set-address-filter", Action::Configuration),
        (COE, 1) => ("coe-emergency", Action::Diagnostics),
        (COE, 4) => ("coe-tx-pdo", Action::Read),
        (COE, 5) => ("coe-rx-pdo", Action::Write),
        (COE, 6 | 7) => ("coe-pdo-remote-request", Action::Read),
        (4, 1) => ("foe-read", Action::File),
        (4, 2) => ("foe-write", Action::File),
        (5, 1) => ("soe-read", Action::Read),
        (5, 3) => ("soe-write", Action::Write),
        (5, 5) => ("soe-notification", Action::Read),
        (5, 6) => ("soe-emergency", Action::Diagnostics),
        _ => return None,
    })
}

/// One command of a frame.
#[derive(Clone, Copy)]
struct Datagram<'a> {
    command: u8,
    /// Position, station or broadcast address; the low half of a logical one.
    station: u16,
    /// Register or memory; the high half of a logical one.
    offset: u16,
    data: &'a [u8],
    counter: u16,
    header: &'a [u8],
}

impl Datagram<'_> {
    /// What the sender put where the datagrams' SubDevices look at; `devices` have seen it.
    fn object(&self, devices: Option<u16>) -> Object {
        let place = match self.command {
            0 => return Object::None,
            10..=12 => {
                let address = u32::from(self.offset) << 16 | u32::from(self.station);
                return Object::Text(format_compact!("logical 0x{address:08x}"));
            }
            1..=3 | 13 => match devices {
                // Each SubDevice has added 1; the one that found 0 was meant.
                Some(devices) => {
                    let position = devices.wrapping_sub(self.station);
                    format_compact!("position {position} ")
                }
                None => CompactString::const_new(""),
            },
            4..=6 | 14 => format_compact!("{CHILD} {} ", self.station),
            _ => CompactString::const_new(""),
        };
        let offset = self.offset;
        let kind = if offset < MEMORY { "register" } else { "memory" };
        Object::Text(format_compact!("{place}{kind} 0x{offset:04x}"))
    }

    const fn writes(&self) -> bool {
        matches!(self.command, 2 | 3 | 5 | 6 | 8 | 9)
    }

    const fn is_broadcast(&self) -> bool {
        matches!(self.command, BROADCAST_READ | BROADCAST_WRITE | BROADCAST_READ_WRITE)
    }

    /// The message, where these are the bytes of a mailbox.
    fn mailbox(&self) -> Option<Message<'_>> {
        let is_whole = matches!(self.command, 1 | 2 | 4 | 5) && self.offset >= MEMORY;
        if is_whole { Message::read(self.data).ok().flatten() } else { None }
    }
}

/// Reads the datagrams of a frame; whether they fill it.
fn datagrams(bytes: &[u8]) -> Result<(Vec<Datagram<'_>>, bool), Short> {
    let mut cursor = Cursor::new(bytes);
    let header = cursor.u16_le()?;
    let length = usize::from(header & LENGTH);
    let mut rest = cursor.sub(length)?;
    let mut found = Vec::new();
    loop {
        let start = rest.rest();
        let (command, _index) = (rest.u8()?, rest.u8()?);
        let (station, offset) = (rest.u16_le()?, rest.u16_le()?);
        let flags = rest.u16_le()?;
        let _interrupt = rest.u16_le()?;
        let data = rest.take(usize::from(flags & LENGTH))?;
        let counter = rest.u16_le()?;
        let header = part_at(start, 0, DATAGRAM_HEADER);
        found.push(Datagram { command, station, offset, data, counter, header });
        if flags & MORE == 0 {
            return Ok((found, rest.is_empty()));
        }
    }
}

/// A message in a mailbox (ETG.1000.4 §5.6).
struct Message<'a> {
    kind: u8,
    /// Of the type's own protocol.
    service: u8,
    body: &'a [u8],
    all: &'a [u8],
}

impl<'a> Message<'a> {
    fn read(data: &'a [u8]) -> Result<Option<Self>, Short> {
        let mut cursor = Cursor::new(data);
        let length = usize::from(cursor.u16_le()?);
        let _station = cursor.u16_le()?;
        let (channel, kind) = (cursor.u8()?, cursor.u8()?);
        // The channel is reserved, and so is the top bit.
        if length < 2 || channel & 0x3f != 0 || !matches!(kind, 0x01..=0x7f) {
            return Ok(None);
        }
        let body = cursor.take(length)?;
        let kind = kind & 0x0f;
        let mut head = Cursor::new(body);
        let service = match kind {
            AOE => 0,
            2 => head.u8()? & 0x0f,
            COE => {
                let header = head.u16_le()?;
                // number, reserved, service
                if header & 0x0e00 != 0 || !matches!(header >> 12, 1..=8) {
                    return Ok(None);
                }
                (header >> 12) as u8
            }
            4 => match head.array()? {
                [service @ 1..=6, 0] => service,
                _ => return Ok(None),
            },
            5 => match head.u8()? & 7 {
                0 => return Ok(None),
                service => service,
            },
            _ => return Ok(None),
        };
        Ok(Some(Self { kind, service, body, all: part_at(data, 0, 6 + length) }))
    }

    const fn code(&self) -> u32 {
        (self.kind as u32) << 8 | self.service as u32
    }
}

/// What an SDO request or response says (ETG.1000.6 §5.6.2).
struct Sdo<'a> {
    command: u8,
    index: u16,
    subindex: u8,
    /// The value, where the message holds it whole.
    value: Option<&'a [u8]>,
}

impl<'a> Sdo<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Short> {
        let mut cursor = Cursor::new(body);
        cursor.skip(2)?;
        let (command, index, subindex) = (cursor.u8()?, cursor.u16_le()?, cursor.u8()?);
        let rest = cursor.rest();
        let value = match command & 3 {
            // expedited, with and without a size
            3 => rest.get(..4 - usize::from(command >> 2 & 3)),
            2 => rest.get(..4),
            _ => u32_at(rest, 0).and_then(|size| rest.get(4..)?.get(..size as usize)),
        };
        Ok(Self { command: command >> 5, index, subindex, value })
    }

    fn object(&self) -> CompactString {
        format_compact!("0x{:04x}:{}", self.index, self.subindex)
    }
}

/// What a mailbox message does, and the value it writes; none for a response.
struct Asked<'a> {
    words: (&'static str, Action),
    object: CompactString,
    value: Option<&'a [u8]>,
    is_answered: bool,
}

fn asked<'a>(message: &Message<'a>) -> Option<Asked<'a>> {
    let told = |words, object| Some(Asked { words, object, value: None, is_answered: false });
    let nothing = CompactString::const_new("");
    match (message.kind, message.service) {
        (AOE, _) => {
            // target NetId and port, source NetId and port, command, state flags: bit 0 answers
            let mut cursor = Cursor::new(message.body);
            let [a, b, c, d, e, f] = cursor.array().ok()?;
            let port = cursor.u16_le().ok()?;
            cursor.skip(6 + 2).ok()?;
            let (command, flags) = (cursor.u16_le().ok()?, cursor.u16_le().ok()?);
            if flags & 1 != 0 {
                return None;
            }
            told(ads::command(command), format_compact!("ams {a}.{b}.{c}.{d}.{e}.{f}:{port}"))
        }
        (COE, SDO_REQUEST) => {
            let sdo = Sdo::read(message.body).ok()?;
            let words = match sdo.command {
                1 => ("coe-sdo-download", Action::Write),
                2 => ("coe-sdo-upload", Action::Read),
                0 => return told(("coe-sdo-download-segment", Action::Write), nothing),
                3 => return told(("coe-sdo-upload-segment", Action::Read), nothing),
                4 => ("coe-sdo-abort", Action::Control),
                _ => return None,
            };
            let value = if sdo.command == 1 { sdo.value } else { None };
            Some(Asked { words, object: sdo.object(), value, is_answered: sdo.command != 4 })
        }
        (COE, SDO_INFORMATION) => {
            let mut cursor = Cursor::new(message.body);
            cursor.skip(2).ok()?;
            let operation = cursor.u8().ok()? & 0x7f;
            // reserved, fragments left
            cursor.skip(3).ok()?;
            let words = match operation {
                1 => return told(("coe-list-objects", Action::Identify), nothing),
                3 => ("coe-describe-object", Action::Identify),
                5 => ("coe-describe-entry", Action::Identify),
                _ => return None,
            };
            told(words, format_compact!("0x{:04x}", cursor.u16_le().ok()?))
        }
        (4, service_code @ (1 | 2)) => {
            // operation, reserved, password
            let name = text::trim(message.body.get(6..).unwrap_or_default());
            told(service(4, service_code)?, text::utf8(name))
        }
        (5, service_code @ (1 | 3)) => {
            let mut cursor = Cursor::new(message.body);
            let (drive, _elements) = (cursor.u8().ok()? >> 5, cursor.u8().ok()?);
            let number = cursor.u16_le().ok()?;
            // IDN: standard or product-specific, parameter set, data block
            let family = if number & 0x8000 == 0 { 'S' } else { 'P' };
            let (set, block) = (number >> 12 & 7, number & 0x0fff);
            told(
                service(5, service_code)?,
                format_compact!("drive {drive} {family}-{set}-{block:04}"),
            )
        }
        (kind, service_code) => told(service(kind, service_code)?, nothing),
    }
}

fn probe(input: &Input<'_>) -> Probe {
    let [low, high, ..] = input.bytes else { return Probe::No };
    let header = u16::from_le_bytes([*low, *high]);
    // reserved
    if header & 0x0800 != 0 {
        return Probe::No;
    }
    let by_type = input.transport == Transport::Ethernet;
    match header >> 12 {
        COMMANDS => match datagrams(input.bytes) {
            Ok((found, true)) if found.iter().all(|one| command(one.command).is_some()) => {
                let is_whole = input.bytes.len() == 2 + usize::from(header & LENGTH);
                match (by_type, is_whole) {
                    (true, _) => Probe::Certain,
                    (false, true) => Probe::Likely,
                    (false, false) => Probe::Weak,
                }
            }
            Err(_) if by_type => Probe::Weak,
            _ => Probe::No,
        },
        2..=5 if by_type => Probe::Weak,
        _ => Probe::No,
    }
}

/// The frames from or to one MAC.
struct Ethercat {
    /// SubDevices on the segment, as the last broadcast that came back counted them.
    devices: Option<u16>,
    /// SDO requests on their way back, by station.
    pending: Pending<u16, Operation>,
    /// Word of the EEPROM that a station was asked for.
    words: Vec<(u16, u32)>,
    /// Values written last, by station and object.
    values: Vec<(CompactString, Value)>,
    /// The source MAC is the MainDevice's own although it has the local bit: its first frame was
    /// touched by no SubDevice. None before the first frame.
    is_own: Option<bool>,
}

impl Ethercat {
    const fn new() -> Self {
        Self {
            devices: None,
            pending: Pending::new(WAITING),
            words: Vec::new(),
            values: Vec::new(),
            is_own: None,
        }
    }

    /// The marked MAC and the MainDevice's are one machine's.
    fn bind(&self, input: &Input<'_>, marked: Option<Mac>, out: &mut Out) {
        if let (Some(mac), Some(main)) = (marked, self.main_device(input)) {
            out.push(Item::Binding {
                mac,
                ip: main.into(),
                protocol: NAME,
                message: "frame-on-its-way-back",
                evidence: input.locate(part_at(input.bytes, 0, 2)),
            });
        }
    }

    /// The MAC that the MainDevice sends with, where the first SubDevice has marked the source.
    fn main_device(&self, input: &Input<'_>) -> Option<Mac> {
        let Mac([first, b, c, d, e, f]) = input.source_mac?;
        let is_marked = self.is_own == Some(false) && input.transport == Transport::Ethernet;
        is_marked.then_some(Mac([first & !LOCAL, b, c, d, e, f]))
    }

    /// A datagram on its way out.
    fn request(&mut self, input: &Input<'_>, datagram: &Datagram<'_>, out: &mut Out) {
        out.operation(operation(input, datagram, Some(0), Outcome::None));
        if datagram.writes() && datagram.offset == AL_CONTROL {
            let value = part_at(datagram.data, 0, 2);
            self.change(input, NAME, datagram.object(Some(0)), value, out);
        }
        if datagram.writes()
            && let Some(message) = datagram.mailbox()
            && let Some(asked) = asked(&message)
        {
            let object = object_at(datagram, &asked.object);
            let outcome = if asked.is_answered { Outcome::Unseen } else { Outcome::None };
            out.operation(mailbox_operation(input, &message, asked.words, object.clone(), outcome));
            if let Some(value) = asked.value {
                self.change(input, MAILBOX, object, value, out);
            }
        }
    }

    /// A datagram that has passed the SubDevices.
    fn response(&mut self, input: &Input<'_>, datagram: &Datagram<'_>, out: &mut Out) {
        if datagram.is_broadcast() && datagram.counter > 0 {
            self.devices = Some(datagram.station);
        }
        let outcome = if datagram.counter > 0 { Outcome::Ok } else { Outcome::Error };
        out.unpaired(returned(operation(input, datagram, self.devices, outcome)));
        if datagram.counter == 0 || !matches!(datagram.command, STATION_READ | STATION_WRITE) {
            return;
        }
        self.eeprom(input, datagram, out);
        self.controller(input, datagram, out);
        let Some(message) = datagram.mailbox() else { return };
        if datagram.command == STATION_WRITE {
            let Some(asked) = asked(&message) else { return };
            let object = object_at(datagram, &asked.object);
            let outcome = if asked.is_answered { Outcome::Unseen } else { Outcome::None };
            let told = mailbox_operation(input, &message, asked.words, object, outcome);
            let operation = returned(told);
            if asked.is_answered
                && let Some(unseen) = self.pending.insert(datagram.station, operation)
            {
                out.unpaired(unseen);
            }
        } else if (message.kind, message.service) == (COE, SDO_RESPONSE)
            || (message.kind, message.service) == (COE, SDO_REQUEST)
        {
            self.sdo_answer(input, datagram, &message, out);
        } else if let Some(asked) = asked(&message) {
            let object = object_at(datagram, &asked.object);
            out.unpaired(mailbox_operation(input, &message, asked.words, object, Outcome::None));
        }
    }

    fn sdo_answer(
        &mut self,
        input: &Input<'_>,
        datagram: &Datagram<'_>,
        message: &Message<'_>,
        out: &mut Out,
    ) {
        let Ok(sdo) = Sdo::read(message.body) else { return };
        let is_abort = sdo.command == 4;
        if let Some(mut asked) = self.pending.take(&datagram.station) {
            asked.outcome = if is_abort { Outcome::Error } else { Outcome::Ok };
            out.unpaired(asked);
        }
        if sdo.command != 2 {
            return;
        }
        let Some(value) = sdo.value else { return };
        let number = matches!(value.len(), 1 | 2 | 4);
        match (sdo.index, sdo.subindex) {
            (IDENTITY, 1) if number => self.number(input, datagram, "vendor_id", value, out),
            (IDENTITY, 2) if number => self.number(input, datagram, "product_code", value, out),
            (IDENTITY, 3) if number => self.number(input, datagram, "revision", value, out),
            (IDENTITY, 4) if value.len() == 4 => self.number(input, datagram, "serial", value, out),
            (0x1008, 0) => self.text(input, datagram, "model", value, out),
            (0x1009, 0) => self.text(input, datagram, "hardware", value, out),
            (0x100a, 0) => self.text(input, datagram, "firmware", value, out),
            _ => {}
        }
    }

    /// What the EtherCAT controller of a SubDevice says of itself (ETG.1000.4 §6.1.1): type, revision,
    /// build.
    fn controller(&self, input: &Input<'_>, datagram: &Datagram<'_>, out: &mut Out) {
        if (datagram.command, datagram.offset) != (STATION_READ, 0) || datagram.data.len() < 4 {
            return;
        }
        for (attribute, at, length) in [
            ("ethercat_controller_type", 0, 1),
            ("ethercat_controller_revision", 1, 1),
            ("ethercat_controller_build", 2, 2),
        ] {
            self.number(input, datagram, attribute, part_at(datagram.data, at, length), out);
        }
    }

    /// What the EEPROM says of its SubDevice.
    fn eeprom(&mut self, input: &Input<'_>, datagram: &Datagram<'_>, out: &mut Out) {
        let control = u16_at(datagram.data, 0).unwrap_or(BUSY);
        let word = match (datagram.command, datagram.offset) {
            (STATION_WRITE, EEPROM_CONTROL) => {
                if let Some(word) = u32_at(datagram.data, 2) {
                    self.words.retain(|(station, _)| *station != datagram.station);
                    if self.words.len() >= REMEMBERED {
                        self.words.remove(0);
                    }
                    self.words.push((datagram.station, word));
                }
                return;
            }
            (STATION_READ, EEPROM_CONTROL) if control & BUSY == 0 => u32_at(datagram.data, 2),
            (STATION_READ, EEPROM_DATA) => {
                let known = self.words.iter().find(|(station, _)| *station == datagram.station);
                known.map(|(_, word)| *word)
            }
            _ => return,
        };
        let data = if datagram.offset == EEPROM_CONTROL {
            datagram.data.get(6..).unwrap_or_default()
        } else {
            datagram.data
        };
        let Some(word) = word else { return };
        let attributes = ["vendor_id", "product_code", "revision", "serial"];
        for (attribute, at) in attributes.into_iter().zip((8..).step_by(2)) {
            // Two words at once, or four.
            let offset = match (at - i64::from(word), data.len()) {
                (0, 4..) => 0,
                (2, 8..) => 4,
                _ => continue,
            };
            self.number(input, datagram, attribute, part_at(data, offset, 4), out);
        }
    }

    fn number(
        &self,
        input: &Input<'_>,
        datagram: &Datagram<'_>,
        attribute: &'static str,
        value: &[u8],
        out: &mut Out,
    ) {
        let number = value.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        if number != 0 {
            let told = if attribute == "serial" {
                (format_compact!("0x{number:08x}"), value, Decode::Hex32Le)
            } else {
                (format_compact!("{number}"), value, Decode::UnsignedLe)
            };
            self.claim(input, datagram, attribute, told, out);
        }
    }

    fn text(
        &self,
        input: &Input<'_>,
        datagram: &Datagram<'_>,
        attribute: &'static str,
        value: &[u8],
        out: &mut Out,
    ) {
        let value = text::trim(value);
        self.claim(input, datagram, attribute, (text::utf8(value), value, Decode::Utf8), out);
    }

    /// What a SubDevice says of itself.
    fn claim(
        &self,
        input: &Input<'_>,
        datagram: &Datagram<'_>,
        attribute: &'static str,
        (value, part, decode): (CompactString, &[u8], Decode),
        out: &mut Out,
    ) {
        let child = Child::Number(CHILD, datagram.station.into());
        let who = match self.main_device(input) {
            Some(mac) => Who::Address(Address::Mac(mac), child),
            None => Who::Sender(child),
        };
        out.claim(Claim {
            who,
            attribute,
            value,
            protocol: NAME,
            message: match datagram.offset {
                0 => "controller-information",
                1..MEMORY => "eeprom",
                _ => "sdo-response",
            },
            confidence: Confidence::High,
            evidence: input.evidence(part, decode),
        });
    }

    /// Tells a written value, with the one written before.
    fn change(
        &mut self,
        input: &Input<'_>,
        protocol: &'static str,
        object: Object,
        bytes: &[u8],
        out: &mut Out,
    ) {
        if bytes.is_empty() || bytes.len() > VALUE {
            return;
        }
        let (new, decode) = match bytes {
            [a] => (Value::Integer(i64::from(*a)), Decode::UnsignedLe),
            [a, b] => (Value::Integer(i64::from(u16::from_le_bytes([*a, *b]))), Decode::UnsignedLe),
            _ => (Value::Bytes(bytes.to_vec()), Decode::Hex),
        };
        let name = object.to_text();
        let known = self.values.iter().position(|(known, _)| *known == name);
        let old = known.map(|at| self.values.remove(at).1);
        if self.values.len() >= REMEMBERED {
            self.values.remove(0);
        }
        self.values.push((name, new.clone()));
        // Masters write the same again and again.
        if old.as_ref() != Some(&new) {
            out.push(Item::Change(Change {
                protocol,
                connection: NAME,
                sender: input.side,
                server_child: Child::None,
                object,
                old,
                new,
                evidence: input.evidence(bytes, decode),
                ts_ns: input.ts_ns,
            }));
        }
    }
}

fn operation(
    input: &Input<'_>,
    datagram: &Datagram<'_>,
    devices: Option<u16>,
    outcome: Outcome,
) -> Operation {
    let (name, mut action) = command(datagram.command).unwrap_or(("unknown", Action::Diagnostics));
    if datagram.writes() && datagram.offset < MEMORY {
        action = written(datagram.offset, datagram.data);
    }
    Operation {
        code: Some(u32::from(datagram.command)),
        object: datagram.object(devices),
        outcome,
        ..input.operation(NAME, input.side, (name, action), datagram.header)
    }
}

fn mailbox_operation(
    input: &Input<'_>,
    message: &Message<'_>,
    words: (&'static str, Action),
    object: Object,
    outcome: Outcome,
) -> Operation {
    Operation {
        connection: NAME,
        code: Some(message.code()),
        object,
        outcome,
        ..input.operation(MAILBOX, input.side, words, message.all)
    }
}

/// An operation that comes back: its frame on the way out was the act.
fn returned(operation: Operation) -> Operation {
    Operation { action: Action::Diagnostics, ..operation }
}

/// An object of the SubDevice whose mailbox this is.
fn object_at(datagram: &Datagram<'_>, name: &str) -> Object {
    let station = datagram.station;
    match (datagram.command, name) {
        (STATION_READ | STATION_WRITE, "") => {
            Object::Number { kind: CHILD, number: station.into() }
        }
        (STATION_READ | STATION_WRITE, name) => {
            Object::Text(format_compact!("{CHILD} {station} {name}"))
        }
        (_, "") => Object::None,
        (_, name) => Object::Text(name.into()),
    }
}

impl Session for Ethercat {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(NAME, input.side);
        let kind = u16_at(input.bytes, 0).unwrap_or_default() >> 12;
        if kind != COMMANDS {
            out.push(Item::NotDecoded(NAME, if kind == 4 { "network-variables" } else { "type" }));
            return input.bytes.len();
        }
        let Ok((found, true)) = datagrams(input.bytes) else {
            if !input.truncated {
                let part = part_at(input.bytes, 0, 32);
                out.push(input.violation(NAME, "ethercat-length", part));
            }
            return input.bytes.len();
        };
        let is_untouched = found.iter().all(|datagram| datagram.counter == 0);
        let marked = input.source_mac.filter(|Mac([first, ..])| first & LOCAL != 0);
        if self.is_own.is_none() {
            self.is_own = Some(marked.is_none() || is_untouched);
            out.push(Item::Client(input.side));
            self.bind(input, marked, out);
        }
        let is_back = marked.is_some() && !(is_untouched && self.is_own == Some(true));
        for datagram in &found {
            if is_back {
                self.response(input, datagram, out);
            } else {
                self.request(input, datagram, out);
            }
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        for operation in self.pending.drain() {
            out.unpaired(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use otic_wire::{FrameSpan, SpanMap};

    use super::*;
    use crate::session::Side;
    use crate::testing;

    /// A frame of datagrams: command, station, offset, data, working counter.
    fn frame(datagrams: &[(u8, u16, u16, &[u8], u16)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (at, (command, station, offset, data, counter)) in datagrams.iter().enumerate() {
            let more = if at + 1 < datagrams.len() { MORE } else { 0 };
            body.extend([*command, at as u8]);
            body.extend(station.to_le_bytes());
            body.extend(offset.to_le_bytes());
            body.extend((data.len() as u16 | more).to_le_bytes());
            body.extend([0, 0]);
            body.extend_from_slice(data);
            body.extend(counter.to_le_bytes());
        }
        let mut bytes = (body.len() as u16 | COMMANDS << 12).to_le_bytes().to_vec();
        bytes.extend(body);
        bytes
    }

    /// A mailbox of 32 bytes with this message of CoE.
    fn coe(service: u8, sdo: &[u8]) -> Vec<u8> {
        let mut bytes = (2 + sdo.len() as u16).to_le_bytes().to_vec();
        bytes.extend([0, 0, 0, 0x10 | COE, 0, service << 4]);
        bytes.extend_from_slice(sdo);
        bytes.resize(32, 0);
        bytes
    }

    /// What is said of frames on their way out, or back.
    fn items(is_back: bool, frames: &[Vec<u8>]) -> Vec<Item> {
        let first = if is_back { LOCAL } else { 0 };
        let mac = Mac([first, 1, 5, 0, 0, 9]);
        let mut session = PROTOCOL.session();
        let mut out = Out::default();
        for bytes in frames {
            let length = bytes.len() as u32;
            let spans = SpanMap::single(FrameSpan { file: 0, frame: 1, offset: 14, length });
            let input = Input {
                bytes,
                spans: &spans,
                side: Side::A,
                transport: Transport::Ethernet,
                source_port: 0,
                destination_port: 0,
                source: mac.into(),
                destination: Mac([0xff; 6]).into(),
                source_mac: Some(mac),
                ts_ns: 0,
                stream_start: false,
                after_gap: false,
                truncated: false,
            };
            session.read(&input, &mut out);
        }
        session.finish(&mut out);
        out.items
    }

    fn unpaired(items: &[Item]) -> Vec<(&'static str, String, Outcome)> {
        let told = items.iter().filter_map(|item| match item {
            Item::Unpaired(told) => {
                Some((told.name, told.object.to_text().to_string(), told.outcome))
            }
            _ => None,
        });
        told.collect()
    }

    #[test]
    fn each_datagram_is_a_command() {
        let out = frame(&[
            (BROADCAST_READ, 0, 0x0130, &[0, 0], 0),
            (POSITION_WRITE, 0xffff, 0x0010, &[0xe9, 3], 0),
            (STATION_WRITE, 1001, AL_CONTROL, &[8, 0], 0),
            (12, 0x1234, 1, &[0; 4], 0),
        ]);
        let items = items(false, &[out]);
        let told: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(told) => {
                    Some((told.name, told.action, told.object.to_text().to_string()))
                }
                _ => None,
            })
            .collect();
        let expected = [
            ("brd", Action::Read, "register 0x0130"),
            ("apwr", Action::Configuration, "position 1 register 0x0010"),
            ("fpwr", Action::Mode, "ethercat 1001 register 0x0120"),
            ("lrw", Action::Subscribe, "logical 0x00011234"),
        ];
        assert_eq!(expected.map(|(name, action, object)| (name, action, object.to_owned())), *told);
        assert!(items.iter().any(|item| matches!(item, Item::Change(change)
            if change.new == Value::Integer(8) && change.old.is_none())));
    }

    #[test]
    fn what_comes_back_has_its_outcome() {
        let back = frame(&[
            (BROADCAST_READ, 5, 0x0130, &[8, 0], 5),
            (1, 4, 0x0130, &[2, 0], 1),
            (STATION_READ, 1009, 0x0130, &[0, 0], 0),
        ]);
        assert_eq!(
            vec![
                ("brd", "register 0x0130".to_owned(), Outcome::Ok),
                ("aprd", "position 1 register 0x0130".to_owned(), Outcome::Ok),
                ("fprd", "ethercat 1009 register 0x0130".to_owned(), Outcome::Error),
            ],
            unpaired(&items(true, &[back]))
        );
    }

    #[test]
    fn mailboxes_hold_requests_and_written_values() {
        let download = coe(SDO_REQUEST, &[0x2f, 0x12, 0x1c, 0, 2, 0, 0, 0]);
        let items = items(false, &[frame(&[(STATION_WRITE, 1004, 0x1800, &download, 0)])]);
        let told = testing::coded_operations(&items);
        let object = "ethercat 1004 0x1c12:0".to_owned();
        assert_eq!(("coe-sdo-download", Some(0x0302), object, Outcome::Unseen), told[1]);
        assert!(items.iter().any(|item| matches!(item, Item::Change(change)
            if change.new == Value::Integer(2))));
    }

    #[test]
    fn objects_that_are_read_identify_a_sub_device() {
        let ask = |index: u8, sub| {
            let request = coe(SDO_REQUEST, &[0x40, index, 0x10, sub, 0, 0, 0, 0]);
            frame(&[(STATION_WRITE, 1004, 0x1000, &request, 1)])
        };
        let tell = |sdo: &[u8]| frame(&[(STATION_READ, 1004, 0x1400, &coe(SDO_RESPONSE, sdo), 1)]);
        let items = items(
            true,
            &[
                ask(0x18, 1),
                tell(&[0x43, 0x18, 0x10, 1, 2, 0, 0, 0]),
                ask(0x08, 0),
                tell(&[0x41, 0x08, 0x10, 0, 6, 0, 0, 0, b'E', b'L', b'6', b'6', b'0', b'1']),
                ask(0x18, 9),
                tell(&[0x80, 0x18, 0x10, 9, 0x11, 0, 9, 6]),
            ],
        );
        assert_eq!(
            vec![("vendor_id", "2".to_owned()), ("model", "EL6601".to_owned())],
            testing::claims(&items)
        );
        let main = Address::Mac(Mac([0, 1, 5, 0, 0, 9]));
        let who = Who::Address(main, Child::Number(CHILD, 1004));
        assert!(items.iter().any(|item| matches!(item, Item::Claim(claim) if claim.who == who)));
        let told: Vec<_> =
            unpaired(&items).into_iter().filter(|(name, ..)| name.starts_with("coe")).collect();
        assert_eq!(
            vec![
                ("coe-sdo-upload", "ethercat 1004 0x1018:1".to_owned(), Outcome::Ok),
                ("coe-sdo-upload", "ethercat 1004 0x1008:0".to_owned(), Outcome::Ok),
                ("coe-sdo-upload", "ethercat 1004 0x1018:9".to_owned(), Outcome::Error),
            ],
            told
        );
    }

    #[test]
    fn the_eeprom_identifies_a_sub_device() {
        let ask = [0, 1, 8, 0, 0, 0];
        let told = [0x40, 0, 8, 0, 0, 0, 2, 0, 0, 0, 0x52, 0x30, 0xd4, 0x03];
        let serial = [0, 1, 14, 0, 0, 0];
        let items = items(
            true,
            &[
                frame(&[(STATION_WRITE, 1001, EEPROM_CONTROL, &ask, 1)]),
                frame(&[(STATION_READ, 1001, EEPROM_CONTROL, &told, 1)]),
                frame(&[(STATION_WRITE, 1001, EEPROM_CONTROL, &serial, 1)]),
                frame(&[(STATION_READ, 1001, EEPROM_DATA, &[7, 0, 0, 0], 1)]),
                frame(&[(STATION_READ, 1001, 0, &[0x11, 2, 3, 0, 8, 8], 1)]),
            ],
        );
        assert_eq!(
            vec![
                ("vendor_id", "2".to_owned()),
                ("product_code", "64237650".to_owned()),
                ("serial", "0x00000007".to_owned()),
                ("ethercat_controller_type", "17".to_owned()),
                ("ethercat_controller_revision", "2".to_owned()),
                ("ethercat_controller_build", "3".to_owned()),
            ],
            testing::claims(&items)
        );
    }

    #[test]
    fn ads_in_a_mailbox_names_its_command() {
        // length, address, channel, type; AMS header: to port 301, read, request
        let mut mailbox = vec![32, 0, 0, 0, 0, 0x10 | AOE];
        mailbox.extend([5, 1, 2, 3, 1, 1, 0x2d, 1, 5, 1, 2, 3, 2, 1, 0x10, 0x80]);
        mailbox.extend([2, 0, 4, 0]);
        mailbox.resize(38, 0);
        let items = items(false, &[frame(&[(STATION_WRITE, 1001, 0x1000, &mailbox, 0)])]);
        let object = "ethercat 1001 ams 5.1.2.3.1.1:301".to_owned();
        assert_eq!(("read", object, Outcome::None), testing::operations(&items)[1]);
    }

    #[test]
    fn files_are_named() {
        let mut mailbox = vec![14, 0, 0, 0, 0, 0x14, 2, 0, 0, 0, 0, 0];
        mailbox.extend_from_slice(b"fw_v2.bi");
        mailbox.resize(40, 0);
        let items = items(false, &[frame(&[(STATION_WRITE, 1001, 0x1000, &mailbox, 0)])]);
        let object = "ethercat 1001 fw_v2.bi".to_owned();
        assert_eq!(("foe-write", object, Outcome::None), testing::operations(&items)[1]);
    }

    #[test]
    fn a_length_that_cannot_be_is_a_violation() {
        let mut bytes = frame(&[(BROADCAST_READ, 0, 0x0130, &[0, 0], 0)]);
        bytes[0] -= 1;
        let items = items(false, &[bytes]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "ethercat-length")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let mut good = frame(&[(BROADCAST_READ, 0, 0x0130, &[0, 0], 0)]);
        good.resize(46, 0);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &good)));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, &good[..9])));
        good[2] = 77;
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &good)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"\x05\x08 / HTTP")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let request = coe(SDO_REQUEST, &[0x40, 0x18, 0x10, 1, 0, 0, 0, 0]);
        let response = coe(SDO_RESPONSE, &[0x43, 0x18, 0x10, 1, 2, 0, 0, 0]);
        let frames = [
            frame(&[
                (BROADCAST_READ, 5, 0x0130, &[8, 0], 5),
                (STATION_WRITE, 1004, 0x1000, &request, 1),
            ]),
            frame(&[(STATION_READ, 1004, 0x1400, &response, 1)]),
            frame(&[(STATION_READ, 1001, EEPROM_CONTROL, &[0, 0, 8, 0, 0, 0, 2, 0, 0, 0], 1)]),
        ];
        let messages: Vec<_> = frames.iter().map(|bytes| (Side::A, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
