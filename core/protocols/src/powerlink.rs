//! Ethernet POWERLINK: a managing node polls its controlled nodes in turn, on Ethernet; its SDO also
//! over UDP.
//!
//! Sources: EPSG DS 301 V1.3 §4.6.1 (frames: SoC, PReq, PRes, SoA, ASnd), §7.3.3 (ASnd services:
//! ident response, status response, NMT request and command), §7.1.3 (states), §6.3.2 (SDO: sequence
//! layer, command layer, commands), as tshark 4.0 names them (`epl`). Seen in ICS-Pcaps--eplexample.pcap
//! frames 6 (ident response), 8 (NMT command), 25 (SoA), 30 (PReq) and ICS-Pcaps--epl.pcap frames 12,
//! 13, 31, 42, 53 (SDO: read, response, abort, text, write).
//!
//! The code of an operation is the message type, for asynchronous frames `0x0600` and the service;
//! NMT commands are `powerlink-nmt` and SDO commands `powerlink-sdo`, with their own codes. A frame
//! that asks a node and the group address it answers to are two flows: only SDO is paired.
//!
//! Event: `powerlink-state`, a node's NMT state changed.
//!
//! Rules broken on the wire:
//! * `powerlink-length`: a frame is shorter than its fields.
//!
//! Not decoded: process data (its mapping is in the project) and so openSAFETY, which is part of it;
//! error entries, segments of SDO transfers, commands for several objects at once, ring redundancy.

use compact_str::{CompactString, format_compact};
use otic_wire::{Address, Cursor, Short};

use crate::fields::{part_at, u8_at, u16_at, u32_at};
use crate::out::{
    Action, Change, Child, Decode, Event, Item, Object, Operation, Out, Outcome, Value,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};

/// POWERLINK on its EtherType and over UDP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "POWERLINK",
    roles: ("POWERLINK managing node", "POWERLINK controlled node"),
    carriers: &[Carrier::EtherType(&[0x88ab]), Carrier::Udp(&[3819])],
    dissector: Dissector::Built { probe, session: || Box::new(Powerlink::new()) },
    source: "EPSG DS 301 V1.3 §4.6.1, §6.3.2, §7.1.3, §7.3.3",
};

const NAME: &str = "powerlink";
const NMT: &str = "powerlink-nmt";
const SDO: &str = "powerlink-sdo";

const SOC: u8 = 1;
const PREQ: u8 = 3;
const PRES: u8 = 4;
const SOA: u8 = 5;
const ASND: u8 = 6;

const IDENT_RESPONSE: u8 = 1;
const STATUS_RESPONSE: u8 = 2;
const NMT_REQUEST: u8 = 3;
const NMT_COMMAND: u8 = 4;
const SDO_SERVICE: u8 = 5;

const MANAGING_NODE: u8 = 240;

const WRITE_BY_INDEX: u8 = 1;
const READ_BY_INDEX: u8 = 2;
/// Flags of an SDO command.
const RESPONSE: u8 = 0x80;
const ABORT: u8 = 0x40;
const SEGMENTS: u8 = 0x30;
const INITIATE: u8 = 0x10;

/// SDO commands of one flow that may wait at once.
const WAITING: usize = 16;
/// Nodes and values that are remembered, and the longest value.
const REMEMBERED: usize = 64;
const VALUE: usize = 256;

/// Name and action of a message type.
const fn message(kind: u8) -> Option<(&'static str, Action)> {
    Some(match kind {
        SOC => ("soc", Action::Session),
        PREQ => ("preq", Action::Subscribe),
        PRES => ("pres", Action::Subscribe),
        SOA => ("soa", Action::Session),
        ASND => ("asnd", Action::Session),
        7 => ("amni", Action::Session),
        13 => ("ainv", Action::Session),
        _ => return None,
    })
}

/// Name and action of an asynchronous service.
const fn service(id: u8) -> (&'static str, Action) {
    match id {
        IDENT_RESPONSE => ("ident-response", Action::Identify),
        STATUS_RESPONSE => ("status-response", Action::Diagnostics),
        NMT_REQUEST => ("nmt-request", Action::Control),
        NMT_COMMAND => ("nmt-command", Action::Control),
        SDO_SERVICE => ("sdo", Action::Session),
        6 => ("sync-response", Action::Session),
        0xa0..=0xfe => ("manufacturer-specific", Action::Control),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// Name and action of what a start of asynchronous invites to.
const fn invited(id: u8) -> (&'static str, Action) {
    match id {
        0 => ("soa", Action::Session),
        1 => ("ident-request", Action::Identify),
        2 => ("status-request", Action::Diagnostics),
        3 => ("nmt-request-invite", Action::Session),
        6 => ("sync-request", Action::Session),
        0xff => ("unspecified-invite", Action::Session),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// Name and action of an NMT command (§7.3.1.2.1).
const fn nmt(id: u8) -> (&'static str, Action) {
    match id {
        0x21 => ("start-node", Action::Start),
        0x22 => ("stop-node", Action::Stop),
        0x23 => ("enter-pre-operational-2", Action::Mode),
        0x24 => ("enable-ready-to-operate", Action::Mode),
        0x28 => ("reset-node", Action::Reset),
        0x29 => ("reset-communication", Action::Reset),
        0x2a => ("reset-configuration", Action::Reset),
        0x2b => ("software-reset", Action::Reset),
        0x2d => ("dynamic-node-allocation", Action::Configuration),
        0x41 => ("start-node-extended", Action::Start),
        0x42 => ("stop-node-extended", Action::Stop),
        0x43 => ("enter-pre-operational-2-extended", Action::Mode),
        0x44 => ("enable-ready-to-operate-extended", Action::Mode),
        0x48 => ("reset-node-extended", Action::Reset),
        0x49 => ("reset-communication-extended", Action::Reset),
        0x4a => ("reset-configuration-extended", Action::Reset),
        0x4b => ("software-reset-extended", Action::Reset),
        0x62 => ("net-host-name-set", Action::Configuration),
        0x63 => ("flush-arp-entry", Action::Session),
        0x80 => ("publish-configured-nodes", Action::Diagnostics),
        0x90 => ("publish-active-nodes", Action::Diagnostics),
        0x91 => ("publish-pre-operational-1", Action::Diagnostics),
        0x92 => ("publish-pre-operational-2", Action::Diagnostics),
        0x93 => ("publish-ready-to-operate", Action::Diagnostics),
        0x94 => ("publish-operational", Action::Diagnostics),
        0x95 => ("publish-stopped", Action::Diagnostics),
        0xa0 => ("publish-emergency-new", Action::Diagnostics),
        0xb0 => ("publish-time", Action::Session),
        0xff => ("invalid-service", Action::Diagnostics),
        _ => ("unknown", Action::Control),
    }
}

/// Name and action of an SDO command (§6.3.2.4.2).
const fn sdo(id: u8) -> Option<(&'static str, Action)> {
    Some(match id {
        0 => ("none", Action::Session),
        WRITE_BY_INDEX => ("write-by-index", Action::Write),
        READ_BY_INDEX => ("read-by-index", Action::Read),
        3 => ("write-all-by-index", Action::Write),
        4 => ("read-all-by-index", Action::Read),
        5 => ("write-by-name", Action::Write),
        6 => ("read-by-name", Action::Read),
        0x20 => ("file-write", Action::File),
        0x21 => ("file-read", Action::File),
        0x31 => ("write-multiple-by-index", Action::Write),
        0x32 => ("read-multiple-by-index", Action::Read),
        0x70 => ("maximum-segment-size", Action::Session),
        0x71 => ("link-name-to-index", Action::Configuration),
        _ => return None,
    })
}

/// The standard's name of an NMT state, common to managing and controlled nodes (§7.1.4).
const fn state(number: u8) -> &'static str {
    match number {
        0x19 => "initialising",
        0x29 => "reset-application",
        0x39 => "reset-communication",
        0x1c => "not-active",
        0x1d => "pre-operational-1",
        0x5d => "pre-operational-2",
        0x6d => "ready-to-operate",
        0xfd => "operational",
        0x4d => "stopped",
        0x1e => "basic-ethernet",
        0 => "off",
        _ => "unknown",
    }
}

/// The part of a frame that all types have.
struct Head {
    kind: u8,
    destination: u8,
    source: u8,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [kind, destination, source, ..] = *bytes else { return None };
        message(kind)?;
        Some(Self { kind, destination, source })
    }
}

/// A command of the SDO's command layer.
struct Command<'a> {
    transaction: u8,
    flags: u8,
    id: u8,
    /// Without the size that starts a transfer in segments.
    data: &'a [u8],
    all: &'a [u8],
}

impl<'a> Command<'a> {
    /// None where the frame has a sequence layer only.
    fn read(bytes: &'a [u8]) -> Result<Option<Self>, Short> {
        let mut cursor = Cursor::new(bytes);
        // header, sequence numbers, reserved
        cursor.skip(8)?;
        let start = cursor.rest();
        // Ethernet pads short frames with zeros.
        if start.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let (_reserved, transaction, flags, id) =
            (cursor.u8()?, cursor.u8()?, cursor.u8()?, cursor.u8()?);
        let size = usize::from(cursor.u16_le()?);
        cursor.skip(2)?;
        if flags & SEGMENTS == INITIATE {
            cursor.skip(4)?;
        }
        let data = cursor.take(size)?;
        let all = part_at(start, 0, 8 + size);
        Ok(Some(Self { transaction, flags, id, data, all }))
    }

    fn object(&self) -> Object {
        match (self.id, self.data) {
            (1..=4, [low, high, subindex, ..]) => {
                let index = u16::from_le_bytes([*low, *high]);
                Object::Text(format_compact!("0x{index:04x}/{subindex}"))
            }
            _ => Object::None,
        }
    }
}

fn probe(input: &Input<'_>) -> Probe {
    let Some(head) = Head::read(input.bytes) else { return Probe::No };
    if input.transport == Transport::Ethernet {
        let fits = match head.kind {
            SOC | SOA => head.source == MANAGING_NODE && head.destination == 0xff,
            PREQ => head.source == MANAGING_NODE && head.destination != 0,
            PRES => head.source != 0 && head.destination == 0xff,
            _ => true,
        };
        return if fits { Probe::Certain } else { Probe::Weak };
    }
    // message type, service, receive and send connection, reserved
    let [ASND, _, _, SDO_SERVICE, _, _, 0, 0, rest @ ..] = input.bytes else { return Probe::No };
    match Command::read(input.bytes) {
        Ok(None) => Probe::Weak,
        Ok(Some(command)) => {
            let fits = sdo(command.id).is_some() && rest.first() == Some(&0);
            match fits && command.all.len() == rest.len() {
                true if command.id != 0 => Probe::Likely,
                true => Probe::Weak,
                false => Probe::No,
            }
        }
        Err(_) => Probe::No,
    }
}

/// An SDO command that waits for its response.
struct Request {
    operation: Operation,
    /// Index and subindex, where it reads or writes one object.
    place: Option<(u16, u8)>,
    written: Option<(Value, crate::out::Evidence)>,
}

/// The frames between two addresses.
struct Powerlink {
    pending: Pending<(Side, u8), Request>,
    /// NMT states by node.
    states: Vec<(u8, u8)>,
    /// Values by object.
    values: Vec<((u16, u8), Value)>,
    client_said: bool,
}

impl Powerlink {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            states: Vec::new(),
            values: Vec::new(),
            client_said: false,
        }
    }

    fn say_client(&mut self, client: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(client));
        }
    }

    fn frame(&mut self, input: &Input<'_>, head: &Head, out: &mut Out) -> Result<(), Short> {
        let mut cursor = Cursor::new(input.bytes);
        let code = cursor.take(1)?;
        cursor.skip(2)?;
        let words = message(head.kind).unwrap_or(("unknown", Action::Diagnostics));
        let kind = u32::from(head.kind);
        match head.kind {
            PREQ => {
                self.say_client(input.side, out);
                out.operation(operation(input, words, kind, node(head.destination), code));
            }
            PRES => {
                let at = cursor.take(1)?;
                self.state(input, head.source, at, out);
                out.operation(operation(input, words, kind, node(head.source), code));
            }
            SOA => {
                let at = cursor.take(1)?;
                self.state(input, head.source, at, out);
                cursor.skip(2)?;
                let (id, target) = (cursor.u8()?, cursor.u8()?);
                let object = if id == 0 { Object::None } else { node(target) };
                out.operation(operation(input, invited(id), kind, object, code));
            }
            ASND => self.service(input, head, out)?,
            _ => out.operation(operation(input, words, kind, Object::None, code)),
        }
        Ok(())
    }

    fn service(&mut self, input: &Input<'_>, head: &Head, out: &mut Out) -> Result<(), Short> {
        let mut cursor = Cursor::new(input.bytes);
        cursor.skip(3)?;
        let code = cursor.take(1)?;
        let id = code.first().copied().unwrap_or_default();
        match id {
            SDO_SERVICE => return self.sdo(input, out),
            NMT_COMMAND => {
                self.say_client(input.side, out);
                let command = cursor.take(1)?;
                let id = command.first().copied().unwrap_or_default();
                out.operation(Operation {
                    protocol: NMT,
                    ..operation(input, nmt(id), id.into(), node(head.destination), command)
                });
                return Ok(());
            }
            NMT_REQUEST => {
                let command = cursor.take(1)?;
                let target = cursor.u8()?;
                let id = command.first().copied().unwrap_or_default();
                let object = Object::Text(format_compact!("node {target} {}", nmt(id).0));
                let code_number = 0x0600 | u32::from(NMT_REQUEST);
                out.operation(operation(input, service(NMT_REQUEST), code_number, object, command));
                return Ok(());
            }
            IDENT_RESPONSE | STATUS_RESPONSE => {
                let at = input.bytes.get(6..7).unwrap_or_default();
                self.state(input, head.source, at, out);
            }
            _ => {}
        }
        let object = node(head.source);
        out.operation(operation(input, service(id), 0x0600 | u32::from(id), object, code));
        if id == IDENT_RESPONSE {
            identity(input, head.source, out);
        }
        Ok(())
    }

    /// Tells a changed state of a node.
    fn state(&mut self, input: &Input<'_>, node: u8, at: &[u8], out: &mut Out) {
        let Some(now) = at.first().copied() else { return };
        let before = match self.states.iter_mut().find(|(known, _)| *known == node) {
            Some((_, state)) => Some(std::mem::replace(state, now)),
            None => {
                if self.states.len() < REMEMBERED {
                    self.states.push((node, now));
                }
                None
            }
        };
        if before.is_some_and(|before| before != now) {
            out.push(Item::Event(Event {
                kind: "powerlink-state",
                protocol: NAME,
                sender: input.side,
                values: vec![("node", format_compact!("{node}")), ("state", state(now).into())],
                evidence: input.locate(at),
            }));
        }
    }

    fn sdo(&mut self, input: &Input<'_>, out: &mut Out) -> Result<(), Short> {
        let Some(command) = Command::read(input.bytes)? else { return Ok(()) };
        let is_response = command.flags & RESPONSE != 0;
        let client = if is_response { input.side.other() } else { input.side };
        self.say_client(client, out);
        if !is_response {
            // What follows the first segment belongs to its command.
            if command.id == 0 || matches!(command.flags & SEGMENTS, 0x20 | 0x30) {
                return Ok(());
            }
            let request = self.request(input, &command);
            if let Some(unseen) = self.pending.insert((client, command.transaction), request) {
                out.operation(unseen.operation);
            }
            return Ok(());
        }
        let is_error = command.flags & ABORT != 0;
        let outcome = if is_error { Outcome::Error } else { Outcome::Ok };
        let Some(mut request) = self.pending.take(&(client, command.transaction)) else {
            if let Some(words) = sdo(command.id)
                && command.id != 0
            {
                let mut told =
                    operation(input, words, command.id.into(), Object::None, command.all);
                told = Operation { protocol: SDO, sender: client, outcome, ..told };
                out.unpaired(told);
            }
            return Ok(());
        };
        request.operation.outcome = outcome;
        let (object, ts_ns) = (request.operation.object.clone(), request.operation.ts_ns);
        out.operation(request.operation);
        let Some(place) = request.place else { return Ok(()) };
        if is_error {
            return Ok(());
        }
        match request.written {
            Some((new, evidence)) => {
                let old = self.remember(place, new.clone());
                out.push(Item::Change(Change {
                    protocol: SDO,
                    connection: NAME,
                    sender: client,
                    server_child: Child::None,
                    object,
                    old,
                    new,
                    evidence,
                    ts_ns,
                }));
            }
            None if command.flags & SEGMENTS == 0 => {
                if (1..=VALUE).contains(&command.data.len()) {
                    self.remember(place, value(command.data).0);
                }
                object_told(input, place, command.data, out);
            }
            None => {}
        }
        Ok(())
    }

    fn request(&self, input: &Input<'_>, command: &Command<'_>) -> Request {
        let words = sdo(command.id).unwrap_or(("unknown", Action::Diagnostics));
        let told = operation(input, words, command.id.into(), command.object(), command.all);
        let operation = Operation { protocol: SDO, outcome: Outcome::Unseen, ..told };
        let place = match (command.id, command.data) {
            (WRITE_BY_INDEX | READ_BY_INDEX, [low, high, subindex, ..]) => {
                Some((u16::from_le_bytes([*low, *high]), *subindex))
            }
            _ => None,
        };
        let data = command.data.get(4..).unwrap_or_default();
        let is_whole = command.id == WRITE_BY_INDEX && command.flags & SEGMENTS == 0;
        let written = (is_whole && (1..=VALUE).contains(&data.len())).then(|| {
            let (value, decode) = value(data);
            (value, input.evidence(data, decode))
        });
        Request { operation, place, written }
    }

    /// Keeps the value of an object; gives the one before.
    fn remember(&mut self, place: (u16, u8), value: Value) -> Option<Value> {
        if let Some((_, known)) = self.values.iter_mut().find(|(known, _)| *known == place) {
            return Some(std::mem::replace(known, value));
        }
        if self.values.len() >= REMEMBERED {
            self.values.remove(0);
        }
        self.values.push((place, value));
        None
    }
}

/// A value whose type the traffic does not tell: a number where its size is one of a number.
fn value(data: &[u8]) -> (Value, Decode) {
    if matches!(data.len(), 1 | 2 | 4) {
        let number = data.iter().rev().fold(0, |number, byte| number << 8 | i64::from(*byte));
        (Value::Integer(number), Decode::UnsignedLe)
    } else {
        (Value::Bytes(data.to_vec()), Decode::Hex)
    }
}

const fn node(number: u8) -> Object {
    Object::Number { kind: "node", number: number as u32 }
}

fn operation(
    input: &Input<'_>,
    words: (&'static str, Action),
    code: u32,
    object: Object,
    part: &[u8],
) -> Operation {
    Operation {
        code: Some(code),
        object,
        outcome: Outcome::None,
        ..input.operation(NAME, input.side, words, part)
    }
}

/// What a node says of itself (§7.3.3.2.1).
fn identity(input: &Input<'_>, source: u8, out: &mut Out) {
    let message = (NAME, "ident-response");
    let bytes = input.bytes;
    let own_number = part_at(bytes, 2, 1);
    let number_text = format_compact!("{source}");
    out.claim(input.own_claim(
        message,
        "powerlink_node",
        number_text,
        own_number,
        Decode::UnsignedLe,
    ));
    for (attribute, at) in
        [("vendor_id", 30), ("product_code", 34), ("revision", 38), ("serial", 42)]
    {
        number(input, message, attribute, part_at(bytes, at, 4), out);
    }
    // The low half of the device type is the profile.
    number(input, message, "device_profile", part_at(bytes, 26, 2), out);
    out.claim(input.own_text(message, "name", part_at(bytes, 82, 32)));
    let ip = part_at(bytes, 70, 4);
    if let (Some(mac), Some(number)) = (input.source_mac, u32_at(bytes, 70))
        && number != 0
    {
        out.push(Item::Binding {
            mac,
            ip: Address::from(std::net::Ipv4Addr::from_bits(number)),
            protocol: NAME,
            message: "ident-response",
            evidence: input.locate(ip),
        });
    }
}

/// An object that was read and identifies its node (CiA 301).
fn object_told(input: &Input<'_>, place: (u16, u8), data: &[u8], out: &mut Out) {
    let message = (NAME, "sdo-response");
    match place {
        (0x1008, 0) => out.claim(input.own_text(message, "model", data)),
        (0x1009, 0) => out.claim(input.own_text(message, "hardware", data)),
        (0x100a, 0) => out.claim(input.own_text(message, "firmware", data)),
        (0x1018, 1) => number(input, message, "vendor_id", data, out),
        (0x1018, 2) => number(input, message, "product_code", data, out),
        (0x1018, 3) => number(input, message, "revision", data, out),
        (0x1018, 4) if data.len() == 4 => number(input, message, "serial", data, out),
        (0x1f9a, 0) => out.claim(input.own_text(message, "name", data)),
        (0x1000, 0) => number(input, message, "device_profile", part_at(data, 0, 2), out),
        _ => {}
    }
}

/// A number that a node tells; all zeros or all ones say nothing.
fn number(
    input: &Input<'_>,
    message: (&'static str, &'static str),
    attribute: &'static str,
    part: &[u8],
    out: &mut Out,
) {
    let number: Option<u32> = match part.len() {
        2 => u16_at(part, 0).map(u32::from),
        4 => u32_at(part, 0),
        1 => u8_at(part, 0).map(u32::from),
        _ => None,
    };
    if let Some(number) = number.filter(|number| !matches!(*number, 0 | u32::MAX)) {
        let (text, decode): (CompactString, _) = match attribute {
            "serial" => (format_compact!("0x{number:08x}"), Decode::Hex32Le),
            _ => (format_compact!("{number}"), Decode::UnsignedLe),
        };
        out.claim(input.own_claim(message, attribute, text, part, decode));
    }
}

impl Session for Powerlink {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(NAME, input.side);
        if let Some(head) = Head::read(input.bytes)
            && self.frame(input, &head, out).is_err()
            && !input.truncated
        {
            let part = part_at(input.bytes, 0, 32);
            out.push(input.violation(NAME, "powerlink-length", part));
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        for request in self.pending.drain() {
            out.operation(request.operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn ident(state: u8) -> Vec<u8> {
        let mut bytes = vec![0; 162];
        bytes[..7].copy_from_slice(&[ASND, 0xff, 17, IDENT_RESPONSE, 8, 0, state]);
        bytes[26..28].copy_from_slice(&401_u16.to_le_bytes());
        bytes[30..34].copy_from_slice(&0x0100_006c_u32.to_le_bytes());
        bytes[34..38].copy_from_slice(&7735_u32.to_le_bytes());
        bytes[42..46].copy_from_slice(&[9, 0, 0, 0]);
        bytes[70..74].copy_from_slice(&[17, 100, 168, 192]);
        bytes[82..87].copy_from_slice(b"EPL_3");
        bytes
    }

    /// An SDO frame: transaction, flags, command, data.
    fn sdo_frame(transaction: u8, flags: u8, command: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![ASND, 0, 0, SDO_SERVICE, 2, 6, 0, 0, 0, transaction, flags, command];
        bytes.extend((data.len() as u16).to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn cyclic_frames_name_their_nodes() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &[SOC, 0xff, 240, 0, 0, 0]),
                (Side::A, &[PREQ, 17, 240, 0, 0, 0, 0, 0, 0, 0]),
                (Side::A, &[SOA, 0xff, 240, 0x1d, 0, 0, 1, 17, 2]),
            ],
        );
        assert_eq!(
            vec![
                ("soc", Some(1), String::new(), Outcome::None),
                ("preq", Some(3), "node 17".to_owned(), Outcome::None),
                ("ident-request", Some(5), "node 17".to_owned(), Outcome::None),
            ],
            testing::coded_operations(&items)
        );
    }

    #[test]
    fn a_node_introduces_itself() {
        let items = testing::items(&PROTOCOL, &[(Side::B, &ident(0x1d))]);
        let told = testing::claims(&items);
        let told: Vec<_> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(
            vec![
                ("powerlink_node", "17"),
                ("vendor_id", "16777324"),
                ("product_code", "7735"),
                ("serial", "0x00000009"),
                ("device_profile", "401"),
                ("name", "EPL_3"),
            ],
            told
        );
        let ip = Address::from(std::net::Ipv4Addr::new(192, 168, 100, 17));
        assert!(
            items.iter().any(|item| matches!(item, Item::Binding { ip: told, .. } if *told == ip))
        );
    }

    #[test]
    fn commands_to_nodes_are_operations() {
        let items =
            testing::items(&PROTOCOL, &[(Side::A, &[ASND, 17, 240, NMT_COMMAND, 0x22, 0, 0, 0])]);
        let told = items.iter().find_map(|item| match item {
            Item::Operation(told) => Some((told.protocol, told.name, told.action)),
            _ => None,
        });
        assert_eq!(Some((NMT, "stop-node", Action::Stop)), told);
    }

    #[test]
    fn a_changed_state_is_told_once() {
        let frames = [0x1d, 0x1d, 0xfd].map(ident);
        let messages: Vec<_> = frames.iter().map(|bytes| (Side::B, bytes.as_slice())).collect();
        let items = testing::items(&PROTOCOL, &messages);
        let events = testing::events(&items);
        assert_eq!(1, events.len());
        assert_eq!(vec![("node", "17".into()), ("state", "operational".into())], events[0].values);
    }

    #[test]
    fn sdo_commands_are_paired_and_written_values_kept() {
        let messages = [
            (Side::A, sdo_frame(1, 0, READ_BY_INDEX, &[0x06, 0x10, 0, 0])),
            (Side::B, sdo_frame(1, RESPONSE, READ_BY_INDEX, &[0xe8, 3, 0, 0])),
            (Side::A, sdo_frame(2, 0, WRITE_BY_INDEX, &[0x06, 0x10, 0, 0, 0xd0, 7, 0, 0])),
            (Side::B, sdo_frame(2, RESPONSE, WRITE_BY_INDEX, &[])),
            (Side::A, sdo_frame(3, 0, WRITE_BY_INDEX, &[0x00, 0x10, 0, 0, 1, 0, 0, 0])),
            (Side::B, sdo_frame(3, RESPONSE | ABORT, WRITE_BY_INDEX, &[2, 0, 1, 6])),
            (Side::A, sdo_frame(4, 0, READ_BY_INDEX, &[0x08, 0x10, 0, 0])),
            (Side::B, sdo_frame(4, RESPONSE, READ_BY_INDEX, b"Stack V2\0")),
        ];
        let messages: Vec<_> =
            messages.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        let items = testing::items(&PROTOCOL, &messages);
        assert_eq!(
            vec![
                ("read-by-index", "0x1006/0".to_owned(), Outcome::Ok),
                ("write-by-index", "0x1006/0".to_owned(), Outcome::Ok),
                ("write-by-index", "0x1000/0".to_owned(), Outcome::Error),
                ("read-by-index", "0x1008/0".to_owned(), Outcome::Ok),
            ],
            testing::operations(&items)
        );
        let changes: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Change(change) => Some((change.old.clone(), change.new.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(vec![(Some(Value::Integer(1000)), Value::Integer(2000))], changes);
        assert_eq!(vec![("model", "Stack V2".to_owned())], testing::claims(&items));
    }

    #[test]
    fn a_frame_cut_short_is_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::A, &[SOA, 0xff, 240, 0x1d])]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "powerlink-length")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::B, &ident(0x1d))));
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, &[SOC, 1, 2, 0])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let messages = [
            (Side::B, ident(0x1d)),
            (Side::A, sdo_frame(2, 0, WRITE_BY_INDEX, &[0x06, 0x10, 0, 0, 0xd0, 7, 0, 0])),
            (Side::B, sdo_frame(2, RESPONSE, WRITE_BY_INDEX, &[])),
            (Side::A, vec![SOA, 0xff, 240, 0x1d, 0, 0, 1, 17, 2]),
        ];
        let messages: Vec<_> =
            messages.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
