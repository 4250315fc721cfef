//! EtherNet/IP encapsulation with CIP inside, over TCP and UDP port 44818.
//!
//! | module | subject |
//! |---|---|
//! | `cip` | CIP explicit messages |
//! | `path` | CIP paths |
//! | `pccc` | PCCC commands inside CIP |
//! | [`io`] | CIP class 0 and 1 I/O over UDP 2222 |
//!
//! Source: The CIP Networks Library Vol. 2 (EtherNet/IP Adaptation of CIP), 2-3 (header), 2-4
//! (commands), 2-6 (common packet format).
//!
//! Rules broken on the wire:
//! * `ethernet-ip-header`: bytes in the middle of a session are no encapsulation header.
//! * `ethernet-ip-length`: a datagram is shorter than its header says.
//! * `ethernet-ip-packet-format`: the items of a CIP message do not fit into it.
//!
//! Not decoded: CIP Security (TLS and DTLS), DTLS-wrapped UDP-only explicit messaging.

use otic_wire::{Cursor, Short};

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Item, Object, Operation, Out, Outcome, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

mod cip;
pub mod io;
mod path;
pub(crate) mod pccc;

/// EtherNet/IP encapsulation.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "EtherNet/IP",
    roles: ("originator", "target"),
    carriers: &[Carrier::Tcp(&[PORT]), Carrier::Udp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(EthernetIp::new()) },
    source: "The CIP Networks Library Vol. 1 and Vol. 2; Rockwell 1756-PM020, 1770-6.5.16",
};

const NAME: &str = "ethernet-ip";
const PORT: u16 = 44818;
const HEADER: usize = 24;
/// The header's length field is at most this (Vol. 2, 2-3.2).
const LONGEST: u16 = 65511;

const NOP: u16 = 0x00;
const LIST_SERVICES: u16 = 0x04;
const LIST_IDENTITY: u16 = 0x63;
const LIST_INTERFACES: u16 = 0x64;
const REGISTER_SESSION: u16 = 0x65;
const UNREGISTER_SESSION: u16 = 0x66;
const SEND_RR_DATA: u16 = 0x6f;
const SEND_UNIT_DATA: u16 = 0x70;

const ITEM_LIST_IDENTITY: u16 = 0x0c;
const ITEM_CONNECTED_ADDRESS: u16 = 0xa1;
const ITEM_CONNECTED_DATA: u16 = 0xb1;
const ITEM_UNCONNECTED_DATA: u16 = 0xb2;

/// Name and action of a command; none for a number the standard does not know.
const fn command(code: u16) -> Option<(&'static str, Action)> {
    Some(match code {
        NOP => ("nop", Action::Diagnostics),
        0x01 => ("list-targets", Action::Identify),
        LIST_SERVICES => ("list-services", Action::Identify),
        LIST_IDENTITY => ("list-identity", Action::Identify),
        LIST_INTERFACES => ("list-interfaces", Action::Identify),
        REGISTER_SESSION => ("register-session", Action::Session),
        UNREGISTER_SESSION => ("unregister-session", Action::Session),
        SEND_RR_DATA => ("send-rr-data", Action::Session),
        SEND_UNIT_DATA => ("send-unit-data", Action::Session),
        0x72 => ("indicate-status", Action::Diagnostics),
        0x73 => ("cancel", Action::Session),
        _ => return None,
    })
}

/// The encapsulation header.
#[derive(Debug, Clone, Copy)]
struct Header {
    command: u16,
    length: u16,
    session: u32,
    status: u32,
    context: u64,
    options: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Short> {
        let mut cursor = Cursor::new(bytes);
        Ok(Self {
            command: cursor.u16_le()?,
            length: cursor.u16_le()?,
            session: cursor.u32_le()?,
            status: cursor.u32_le()?,
            context: cursor.u64_le()?,
            options: cursor.u32_le()?,
        })
    }

    /// Whether these 24 bytes can be a header at all.
    fn is_plausible(&self) -> bool {
        command(self.command).is_some()
            && self.length <= LONGEST
            && matches!(self.status, 0..=3 | 0x64 | 0x65 | 0x69 | 0x6a)
            && self.options == 0
            && match self.command {
                REGISTER_SESSION => matches!(self.length, 0 | 4),
                UNREGISTER_SESSION => self.length == 0,
                SEND_RR_DATA | SEND_UNIT_DATA => self.length >= 6 || self.status != 0,
                _ => true,
            }
    }
}

fn probe(input: &Input<'_>) -> Probe {
    let Ok(header) = Header::read(input.bytes) else {
        return if input.transport == Transport::Tcp { Probe::More } else { Probe::No };
    };
    if !header.is_plausible() {
        return Probe::No;
    }
    let data = input.bytes.get(HEADER..).unwrap_or_default();
    let exact = data.len() == usize::from(header.length);
    if input.transport == Transport::Udp && !exact && !input.truncated {
        return Probe::No;
    }
    match (header.command, data) {
        (SEND_RR_DATA | SEND_UNIT_DATA, [0, 0, 0, 0, _, _, count, 0, ..]) if *count <= 8 => {
            Probe::Certain
        }
        (SEND_RR_DATA | SEND_UNIT_DATA, [_, _, _, _, _, _, _, _, ..]) => Probe::No,
        (REGISTER_SESSION, [1, 0, 0, 0, ..]) => Probe::Certain,
        (LIST_IDENTITY, [_, 0, 0x0c, 0, ..]) | (LIST_SERVICES, [_, 0, 0, 1, ..]) => Probe::Certain,
        // 24 bytes that are mostly zero: in a TCP stream of another protocol nothing unusual.
        (LIST_IDENTITY, []) if header.session == 0 && header.status == 0 => {
            if input.transport == Transport::Udp { Probe::Likely } else { Probe::Weak }
        }
        (UNREGISTER_SESSION, []) if header.session != 0 => Probe::Likely,
        (LIST_SERVICES | LIST_INTERFACES | REGISTER_SESSION | UNREGISTER_SESSION, _) if exact => {
            Probe::Weak
        }
        (SEND_RR_DATA | SEND_UNIT_DATA, _) => Probe::Weak,
        (_, _) if exact => Probe::Weak,
        _ => Probe::No,
    }
}

/// What a reply says again of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    command: u16,
    sender: Side,
    /// Sender context, or connection and sequence count.
    context: u64,
}

struct Waiting {
    operation: Box<Operation>,
    cip: Option<cip::Request>,
}

struct EthernetIp {
    pending: Pending<Key, Waiting>,
    cip: cip::State,
    client_said: bool,
    /// A message of this side was read and no byte is missing since.
    synchronised: [bool; 2],
    violated: bool,
    /// CIP child of the last layer said in this call.
    said: Option<Child>,
}

impl EthernetIp {
    fn new() -> Self {
        Self {
            pending: Pending::new(128),
            cip: cip::State::default(),
            client_said: false,
            synchronised: [false; 2],
            violated: false,
            said: None,
        }
    }
}

impl Session for EthernetIp {
    fn context(&self) -> Option<Vec<u8>> {
        self.cip.context()
    }

    fn restore(&mut self, context: &[u8]) {
        self.cip.restore(context);
    }

    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        self.said = None;
        if input.transport != Transport::Tcp {
            self.datagram(input, out);
            return input.bytes.len();
        }
        let at = usize::from(input.side == Side::B);
        let mut synchronised = self.synchronised.get(at).copied().unwrap_or(false);
        if input.after_gap {
            synchronised = false;
        }
        let mut used = 0;
        let mut layer_said = false;
        while let Some(rest) = input.bytes.get(used..)
            && let Ok(header) = Header::read(rest)
        {
            // Zeros read as an empty NOP: never a reason to believe in a new start.
            if !header.is_plausible() || !synchronised && header.command == NOP {
                if synchronised {
                    self.violation(input, out, "ethernet-ip-header", rest.get(..HEADER));
                }
                synchronised = false;
                used = input.bytes.len();
                break;
            }
            let length = HEADER + usize::from(header.length);
            let Some(message) = rest.get(..length) else { break };
            if !layer_said {
                out.layer(NAME, input.side);
                layer_said = true;
            }
            synchronised = true;
            self.message(input, out, &header, message);
            used += length;
        }
        if let Some(known) = self.synchronised.get_mut(at) {
            *known = synchronised;
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        let waiting: Vec<_> = self.pending.drain().collect();
        for request in waiting {
            self.unseen(out, request);
        }
    }
}

impl EthernetIp {
    fn datagram(&mut self, input: &Input<'_>, out: &mut Out) {
        let Ok(header) = Header::read(input.bytes) else { return };
        if !header.is_plausible() {
            return;
        }
        out.layer(NAME, input.side);
        let length = HEADER + usize::from(header.length);
        let message = input.bytes.get(..length).unwrap_or(input.bytes);
        if message.len() < length && !input.truncated {
            self.violation(input, out, "ethernet-ip-length", Some(message));
        }
        self.message(input, out, &header, message);
    }

    fn message(&mut self, input: &Input<'_>, out: &mut Out, header: &Header, message: &[u8]) {
        let data = message.get(HEADER..).unwrap_or_default();
        let packet = match header.command {
            SEND_RR_DATA | SEND_UNIT_DATA => match Packet::read(data) {
                Ok(packet) => packet,
                Err(Short { .. }) => {
                    if header.status == 0 && !input.truncated {
                        self.violation(input, out, "ethernet-ip-packet-format", Some(message));
                    }
                    Packet::default()
                }
            },
            _ => Packet::default(),
        };
        let by_header = match (input.source_port == PORT, input.destination_port == PORT) {
            (true, false) => true,
            (false, true) => false,
            // The layout tells, where the ports do not.
            _ => match header.command {
                LIST_SERVICES | LIST_IDENTITY | LIST_INTERFACES => header.length != 0,
                REGISTER_SESSION => header.session != 0 || header.status != 0,
                _ => header.status != 0,
            },
        };
        let is_reply = packet.message.and_then(cip::is_reply).unwrap_or(by_header);
        // A target may end a session or send a NOP as well: nobody answers.
        let one_way = matches!(header.command, NOP | UNREGISTER_SESSION | 0x72 | 0x73);
        if is_reply && !one_way {
            self.reply(input, out, header, &packet, message);
        } else {
            self.request(input, out, header, &packet, message, one_way);
        }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        out: &mut Out,
        header: &Header,
        packet: &Packet<'_>,
        message: &[u8],
        one_way: bool,
    ) {
        if !self.client_said && !one_way {
            self.client_said = true;
            out.push(Item::Client(input.side));
        }
        let (name, action) = command(header.command).unwrap_or(("unknown", Action::Diagnostics));
        let operation = Operation {
            protocol: NAME,
            connection: NAME,
            sender: input.side,
            code: Some(u32::from(header.command)),
            name,
            action,
            object: Object::None,
            outcome: if one_way { Outcome::None } else { Outcome::Unseen },
            client_child: Child::None,
            server_child: Child::None,
            evidence: input.locate(message.get(..HEADER).unwrap_or(message)),
            ts_ns: input.ts_ns,
        };
        if one_way {
            out.operation(operation);
            return;
        }
        let (child, connection) = self.connection(packet);
        let request = packet
            .message
            .and_then(|message| self.cip.request(input, out, message, &child, 0).ok());
        if packet.message.is_some() {
            let child = request.as_ref().map_or(child, |request| request.child().clone());
            self.layer(input.side, Child::None, child, out);
        }
        let key = Key {
            command: header.command,
            sender: input.side,
            context: packet.context(header, connection),
        };
        if let Some(oldest) =
            self.pending.insert(key, Waiting { operation: Box::new(operation), cip: request })
        {
            self.unseen(out, oldest);
        }
    }

    fn reply(
        &mut self,
        input: &Input<'_>,
        out: &mut Out,
        header: &Header,
        packet: &Packet<'_>,
        message: &[u8],
    ) {
        if header.command == LIST_IDENTITY && header.status == 0 {
            let _ = identities(input, out, message.get(HEADER..).unwrap_or_default());
        } else if header.command == LIST_SERVICES && header.status == 0 {
            let _ = services(input, out, message.get(HEADER..).unwrap_or_default());
        }
        let (child, connection) = self.connection(packet);
        let key = Key {
            command: header.command,
            sender: input.side.other(),
            context: packet.context(header, connection),
        };
        let service = packet.message.and_then(cip::reply_service);
        while let Some(mut waiting) = self.pending.take(&key) {
            // With one context for all requests a lost reply must not shift all pairs for ever.
            if let (Some(request), Some(service)) = (&waiting.cip, service)
                && !request.fits(service)
            {
                self.unseen(out, waiting);
                continue;
            }
            waiting.operation.outcome =
                if header.status == 0 { Outcome::Ok } else { Outcome::Error };
            out.operation(waiting.operation);
            match (waiting.cip, packet.message) {
                (Some(request), Some(message)) => {
                    self.layer(input.side, request.child().clone(), Child::None, out);
                    self.cip.reply(input, out, request, message);
                }
                (Some(request), None) => self.cip.unseen(out, request, Outcome::Error),
                (None, Some(_)) => self.layer(input.side, child, Child::None, out),
                (None, None) => {}
            }
            return;
        }
        let (name, action) = command(header.command).unwrap_or(("unknown", Action::Diagnostics));
        out.unpaired(Operation {
            protocol: NAME,
            connection: NAME,
            sender: input.side.other(),
            code: Some(u32::from(header.command)),
            name,
            action,
            object: Object::None,
            outcome: if header.status == 0 { Outcome::Ok } else { Outcome::Error },
            client_child: Child::None,
            server_child: Child::None,
            evidence: input.locate(message.get(..HEADER).unwrap_or(message)),
            ts_ns: input.ts_ns,
        });
        if let Some(message) = packet.message {
            self.layer(input.side, child.clone(), Child::None, out);
            cip::unpaired(input, out, message, &child);
        }
    }

    /// The child behind a connected message's connection and a name of the connection.
    fn connection(&self, packet: &Packet<'_>) -> (Child, u32) {
        packet.connection.map_or((Child::None, 0), |id| self.cip.connection(id))
    }

    fn layer(&mut self, side: Side, source: Child, destination: Child, out: &mut Out) {
        let child = if source == Child::None { &destination } else { &source };
        if self.said.as_ref() != Some(child) {
            self.said = Some(child.clone());
            out.layer_between(cip::NAME, side, source, destination);
        }
    }

    fn unseen(&mut self, out: &mut Out, waiting: Waiting) {
        out.operation(waiting.operation);
        if let Some(request) = waiting.cip {
            self.cip.unseen(out, request, Outcome::Unseen);
        }
    }

    fn violation(
        &mut self,
        input: &Input<'_>,
        out: &mut Out,
        rule: &'static str,
        bytes: Option<&[u8]>,
    ) {
        if !self.violated {
            self.violated = true;
            out.push(input.violation(NAME, rule, bytes.unwrap_or(input.bytes)));
        }
    }
}

/// The common packet format of SendRRData and SendUnitData.
#[derive(Debug, Default)]
struct Packet<'a> {
    connection: Option<u32>,
    sequence: u16,
    /// The CIP message.
    message: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    fn read(data: &'a [u8]) -> Result<Self, Short> {
        let mut cursor = Cursor::new(data);
        let mut packet = Self::default();
        cursor.skip(6)?; // interface handle, timeout
        for _ in 0..cursor.u16_le()?.min(8) {
            let kind = cursor.u16_le()?;
            let length = usize::from(cursor.u16_le()?);
            let mut item = cursor.sub(length)?;
            match kind {
                ITEM_CONNECTED_ADDRESS => packet.connection = Some(item.u32_le()?),
                ITEM_CONNECTED_DATA => {
                    packet.sequence = item.u16_le()?;
                    packet.message = Some(item.rest()).filter(|message| !message.is_empty());
                }
                ITEM_UNCONNECTED_DATA => {
                    packet.message = Some(item.rest()).filter(|message| !message.is_empty());
                }
                _ => {}
            }
        }
        Ok(packet)
    }

    /// What pairs a request with its reply. Both ids of a connection are known only where its
    /// Forward_Open was seen (`connection` not 0); else the sequence count has to do.
    fn context(&self, header: &Header, connection: u32) -> u64 {
        match self.connection {
            Some(_) => u64::from(connection) << 16 | u64::from(self.sequence),
            None => header.context,
        }
    }
}

/// ListIdentity reply (Vol. 2, 2-4.3): items of type 0x0C.
fn identities(input: &Input<'_>, out: &mut Out, data: &[u8]) -> Result<(), Short> {
    let mut cursor = Cursor::new(data);
    for _ in 0..cursor.u16_le()?.min(8) {
        let kind = cursor.u16_le()?;
        let length = usize::from(cursor.u16_le()?);
        let mut item = cursor.sub(length)?;
        if kind != ITEM_LIST_IDENTITY {
            continue;
        }
        item.skip(2 + 16)?; // protocol version, socket address
        let who = Who::Sender(Child::None);
        for attribute in 1..=7 {
            cip::claims_as(NAME, input, out, 1, attribute, &mut item, &who, "list-identity")?;
        }
    }
    Ok(())
}

/// ListServices reply (Vol. 2, 2-4.6): items of type 0x0100 with a name of 16 bytes.
fn services(input: &Input<'_>, out: &mut Out, data: &[u8]) -> Result<(), Short> {
    let mut cursor = Cursor::new(data);
    for _ in 0..cursor.u16_le()?.min(8) {
        let kind = cursor.u16_le()?;
        let length = usize::from(cursor.u16_le()?);
        let mut item = cursor.sub(length)?;
        if kind == 0x0100 {
            item.skip(4)?;
            let name = text::trim(item.take(16)?);
            out.claim(Claim {
                who: Who::Sender(Child::None),
                attribute: "ethernet_ip_service",
                value: text::utf8(name),
                protocol: NAME,
                message: "list-services",
                confidence: Confidence::High,
                evidence: input.evidence(name, Decode::Utf8),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out::Value;
    use crate::testing;

    fn encapsulate(command: u16, session: u32, context: u8, data: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        message.extend_from_slice(&command.to_le_bytes());
        message.extend_from_slice(&(data.len() as u16).to_le_bytes());
        message.extend_from_slice(&session.to_le_bytes());
        message.extend_from_slice(&[0; 4]); // status
        message.extend_from_slice(&[context, 0, 0, 0, 0, 0, 0, 0]);
        message.extend_from_slice(&[0; 4]); // options
        message.extend_from_slice(data);
        message
    }

    fn unconnected(context: u8, message: &[u8]) -> Vec<u8> {
        let mut data = vec![0, 0, 0, 0, 10, 0, 2, 0, 0, 0, 0, 0, 0xb2, 0];
        data.extend_from_slice(&(message.len() as u16).to_le_bytes());
        data.extend_from_slice(message);
        encapsulate(SEND_RR_DATA, 1, context, &data)
    }

    fn connected(id: u32, sequence: u16, message: &[u8]) -> Vec<u8> {
        let mut data = vec![0, 0, 0, 0, 0, 0, 2, 0, 0xa1, 0, 4, 0];
        data.extend_from_slice(&id.to_le_bytes());
        data.extend_from_slice(&[0xb1, 0]);
        data.extend_from_slice(&(message.len() as u16 + 2).to_le_bytes());
        data.extend_from_slice(&sequence.to_le_bytes());
        data.extend_from_slice(message);
        encapsulate(SEND_UNIT_DATA, 1, 0, &data)
    }

    /// Identity: vendor 1, device type 14, product code 54, revision 20.11, status, serial.
    fn identity() -> Vec<u8> {
        let mut data = vec![1, 0, 14, 0, 54, 0, 20, 11, 0x60, 0x31, 0x8a, 0xcd, 0x14, 0x00, 4];
        data.extend_from_slice(b"Test");
        data
    }

    fn operations(items: &[Item]) -> Vec<(&str, &str, String, Outcome, String)> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(o) => Some((
                    o.protocol,
                    o.name,
                    o.object.to_text().to_string(),
                    o.outcome,
                    o.server_child.to_text().to_string(),
                )),
                _ => None,
            })
            .collect()
    }

    fn claim(items: &[Item], attribute: &str) -> (String, Who) {
        items
            .iter()
            .find_map(|item| match item {
                Item::Claim(c) if c.attribute == attribute => {
                    Some((c.value.to_string(), c.who.clone()))
                }
                _ => None,
            })
            .unwrap()
    }

    #[test]
    fn list_identity_tells_what_the_device_is() {
        let mut item = vec![1, 0]; // protocol version
        item.extend_from_slice(&[0; 16]); // socket address
        item.extend_from_slice(&identity());
        item.push(3); // state
        let mut data = vec![1, 0, 0x0c, 0, item.len() as u8, 0];
        data.extend_from_slice(&item);
        let (ask, answer) = (encapsulate(0x63, 0, 0, &[]), encapsulate(0x63, 0, 0, &data));
        let items = testing::items(&PROTOCOL, &[(Side::A, &ask), (Side::B, &answer)]);
        assert_eq!("0x0014cd8a", claim(&items, "serial").0);
        assert_eq!("20.11", claim(&items, "firmware").0);
        assert_eq!("Test", claim(&items, "model").0);
        assert_eq!(1, operations(&items).len());
        assert_eq!(Outcome::Ok, operations(&items)[0].3);
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, &ask)));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::B, &answer)));
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        // Unconnected_Send: priority, ticks, length 6, Get_Attributes_All of identity 1, route 1/4
        let ask =
            [0x52, 2, 0x20, 6, 0x24, 1, 7, 0xe8, 6, 0, 0x01, 2, 0x20, 1, 0x24, 1, 1, 0, 0x01, 0x04];
        let mut told = vec![0x81, 0, 0, 0];
        told.extend_from_slice(&identity());
        // Forward_Open to slot 0 with an electronic key, transport class 3
        let mut open = vec![0x54, 2, 0x20, 6, 0x24, 1, 7, 0xe8];
        open.extend_from_slice(&[0, 0, 0, 0, 0x22, 0, 0, 0, 1, 0, 1, 0, 9, 9, 9, 9, 2, 0, 0, 0]);
        open.extend_from_slice(&[0, 0, 0, 0, 0xf4, 0x43, 0, 0, 0, 0, 0xf4, 0x43, 0xa3, 8]);
        open.extend_from_slice(&[0x34, 4, 1, 0, 14, 0, 55, 0, 0x94, 3]);
        open.extend_from_slice(&[1, 0, 0x20, 2, 0x24, 1]);
        let mut opened = vec![0xd4, 0, 0, 0, 0x11, 0, 0, 0, 0x22, 0, 0, 0, 1, 0, 1, 0, 9, 9, 9, 9];
        opened.extend_from_slice(&[0; 10]);
        // Read, then write the tag "Speed" of type INT
        let tag = [4, 0x91, 5, b'S', b'p', b'e', b'e', b'd', 0];
        let read = [&[0x4c][..], &tag, &[1, 0]].concat();
        let write = [&[0x4d][..], &tag, &[0xc3, 0, 1, 0, 42, 0]].concat();
        // Multiple Service Packet: two reads of the identity's serial number
        let many = [
            0x0a, 2, 0x20, 2, 0x24, 1, 2, 0, 6, 0, 14, 0, 0x0e, 3, 0x20, 1, 0x24, 1, 0x30, 6, 0x0e,
            3, 0x20, 1, 0x24, 1, 0x30, 6,
        ];
        let each = [0x8e, 0, 0, 0, 0x8a, 0xcd, 0x14, 0];
        let replies = [&[0x8a, 0, 0, 0, 2, 0, 6, 0, 14, 0][..], &each, &[0x8e, 0, 8, 0]].concat();
        vec![
            (Side::A, encapsulate(REGISTER_SESSION, 0, 0, &[1, 0, 0, 0])),
            (Side::B, encapsulate(REGISTER_SESSION, 1, 0, &[1, 0, 0, 0])),
            (Side::A, unconnected(1, &ask)),
            (Side::B, unconnected(1, &told)),
            (Side::A, unconnected(2, &open)),
            (Side::B, unconnected(2, &opened)),
            (Side::A, connected(0x11, 1, &read)),
            (Side::B, connected(0x22, 1, &[0xcc, 0, 0, 0, 0xc3, 0, 41, 0])),
            (Side::A, connected(0x11, 2, &write)),
            (Side::B, connected(0x22, 2, &[0xcd, 0, 0, 0])),
            (Side::A, connected(0x11, 3, &many)),
            (Side::B, connected(0x22, 3, &replies)),
            (Side::A, encapsulate(UNREGISTER_SESSION, 1, 0, &[])),
        ]
    }

    #[test]
    fn services_of_the_safety_supervisor_have_names() {
        let ask = |service| unconnected(service, &[service, 2, 0x20, 0x39, 0x24, 1]);
        let messages = [(Side::A, ask(0x53)), (Side::A, ask(0x54))];
        let items = testing::items(&PROTOCOL, &borrowed(&messages));
        let told: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(o) if o.protocol == "cip" => Some((o.name, o.action)),
                _ => None,
            })
            .collect();
        let mode = ("safety-mode-change", crate::out::Action::Mode);
        assert_eq!(vec![mode, ("safety-reset", crate::out::Action::Reset)], told);
    }

    fn borrowed(conversation: &[(Side, Vec<u8>)]) -> Vec<(Side, &[u8])> {
        conversation.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect()
    }

    #[test]
    fn services_are_counted_with_their_envelopes_and_reach_their_slot() {
        let conversation = conversation();
        let items = testing::items(&PROTOCOL, &borrowed(&conversation));
        let cip: Vec<_> =
            operations(&items).into_iter().filter(|operation| operation.0 == "cip").collect();
        let expected = [
            ("unconnected-send", "class 0x06/1", Outcome::Ok, ""),
            ("get-attributes-all", "class 0x01/1", Outcome::Ok, "cip-slot 1/4"),
            ("forward-open", "class 0x06/1", Outcome::Ok, ""),
            ("read-tag", "Speed", Outcome::Ok, "cip-slot 1/0"),
            ("write-tag", "Speed", Outcome::Ok, "cip-slot 1/0"),
            ("multiple-service-packet", "class 0x02/1", Outcome::Ok, "cip-slot 1/0"),
            ("get-attribute-single", "class 0x01/1/6", Outcome::Ok, "cip-slot 1/0"),
            ("get-attribute-single", "class 0x01/1/6", Outcome::Error, "cip-slot 1/0"),
        ];
        let seen: Vec<_> = cip.iter().map(|o| (o.1, o.2.as_str(), o.3, o.4.as_str())).collect();
        assert_eq!(expected.as_slice(), seen);
        assert_eq!(8 - 2, operations(&items).iter().filter(|o| o.0 == NAME).count() - 1);
    }

    #[test]
    fn the_slot_says_its_identity_and_the_key_what_is_expected() {
        let conversation = conversation();
        let items = testing::items(&PROTOCOL, &borrowed(&conversation));
        let slot = Child::Text("cip-slot 1/4".into());
        assert_eq!(("0x0014cd8a".to_owned(), Who::Sender(slot)), claim(&items, "serial"));
        let expected = items
            .iter()
            .filter_map(|item| match item {
                Item::Claim(claim) if claim.message == "forward-open-electronic-key" => {
                    Some((claim.attribute, claim.value.as_str()))
                }
                _ => None,
            })
            .collect::<Vec<_>>();
        assert_eq!(
            vec![
                ("vendor_id", "1"),
                ("device_type_id", "14"),
                ("product_code", "55"),
                ("electronic_key", "compatible"),
                ("firmware", "20.3")
            ],
            expected
        );
    }

    #[test]
    fn a_written_tag_changes_from_what_was_read() {
        let conversation = conversation();
        let items = testing::items(&PROTOCOL, &borrowed(&conversation));
        let change = items
            .iter()
            .find_map(|item| match item {
                Item::Change(change) => Some(change),
                _ => None,
            })
            .unwrap();
        assert_eq!(Some(Value::Integer(41)), change.old);
        assert_eq!(Value::Integer(42), change.new);
    }

    #[test]
    fn it_survives_anything() {
        let conversation = conversation();
        testing::survives(&PROTOCOL, &borrowed(&conversation));
    }

    #[test]
    fn other_bytes_are_not_taken_for_it() {
        assert_eq!(
            Probe::No,
            testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\r\nHost: a\r\n"))
        );
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &[0x65, 0, 4, 0])));
    }
}
