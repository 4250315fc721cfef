//! PROFINET CM: how an IO controller sets up its IO devices and reads and writes their records.
//!
//! Sources: IEC 61158-6-10 §5.1 (RPC interfaces and operations), §5.2 (blocks: AR, IOD read and
//! write, control; records of identification and maintenance I&M0 to I&M3), §5.2.40 (PNIO status);
//! C706 "DCE 1.1: Remote Procedure Call" chapter 12 (connectionless PDU header).
//!
//! The code of an operation is the RPC operation number. The object UUID of a call names vendor
//! and device id of the station that is called (§4.10.2.4). Many stations answer from another port
//! than the one they were called at: their answers are in another flow and count as unpaired.
//!
//! Rules broken on the wire:
//! * `profinet-cm-length`: a call ends before its header or its blocks do.
//!
//! Not decoded: later fragments of a call, expected submodules, records other than I&M0 to I&M3,
//! the end point mapper.

use compact_str::{CompactString, ToCompactString, format_compact};
use otic_wire::{Cursor, Mac, Short};

use crate::fields::part_at;
use crate::out::{
    Action, Child, Claim, Confidence, Decode, Evidence, Item, Object, Operation, Out, Outcome, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// PROFINET CM over DCE/RPC.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "PROFINET CM",
    roles: ("IO controller", "IO device"),
    carriers: &[Carrier::Udp(&[34964])],
    dissector: Dissector::Built { probe, session: || Box::new(Cm::new()) },
    source: "IEC 61158-6-10 §5.1, §5.2; C706 chapter 12",
};

const NAME: &str = "profinet-cm";
/// The layer below, which other interfaces share.
const RPC: &str = "dcerpc";

/// Length of a connectionless PDU header.
const HEADER: usize = 80;

/// The part that the UUIDs of all PROFINET interfaces and objects share: DEA0000x-6C97-11D1-8271-…
/// in big-endian order, without the number x.
const FAMILY: [u8; 3] = [0xde, 0xa0, 0x00];
const FAMILY_REST: [u8; 6] = [0x6c, 0x97, 0x11, 0xd1, 0x82, 0x71];
/// The node of interface UUIDs; objects have instance, device id and vendor id there.
const INTERFACE_NODE: [u8; 6] = [0x00, 0xa0, 0x24, 0x42, 0xdf, 0x7d];
/// The interface of IO devices.
const DEVICE_INTERFACE: u8 = 1;

/// PDU types.
const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const FAULT: u8 = 3;
const REJECT: u8 = 6;
const LAST_TYPE: u8 = 10;

/// Block types.
const WRITE_REQUEST: u16 = 0x0008;
const READ_REQUEST: u16 = 0x0009;
const IM0: u16 = 0x0020;
const IM1: u16 = 0x0021;
const IM3: u16 = 0x0023;
const AR_REQUEST: u16 = 0x0101;
const AR_RESPONSE: u16 = 0x8101;
const READ_RESPONSE: u16 = 0x8009;

/// Index of a write that holds several writes.
const MULTIPLE_WRITE: u16 = 0xe040;

/// Requests of one flow that may wait at once.
const WAITING: usize = 32;
/// Most blocks of one call that are read, and most records an object names.
const BLOCKS: usize = 64;
const SPELLED: usize = 8;

/// Name and action of an RPC operation.
const fn operation(number: u16) -> (&'static str, Action) {
    match number {
        0 => ("connect", Action::Session),
        1 => ("release", Action::Session),
        2 => ("read", Action::Read),
        3 => ("write", Action::Configuration),
        4 => ("control", Action::Session),
        5 => ("read-implicit", Action::Read),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// A UUID with its bytes in big-endian order.
type Uuid = [u8; 16];

/// A PDU of the connectionless protocol.
struct Pdu<'a> {
    kind: u8,
    little: bool,
    object: Uuid,
    object_bytes: &'a [u8],
    interface: u8,
    activity: Uuid,
    sequence: u32,
    number: u16,
    number_bytes: &'a [u8],
    fragment: u16,
    /// The stub data; shorter than the header says where bytes are missing.
    stub: &'a [u8],
    missing: bool,
}

fn uuid(cursor: &mut Cursor<'_>, little: bool) -> Result<Uuid, Short> {
    let mut uuid: Uuid = cursor.array()?;
    if little {
        let [a, b, c, d, e, f, g, h, ..] = &mut uuid;
        std::mem::swap(a, d);
        std::mem::swap(b, c);
        std::mem::swap(e, f);
        std::mem::swap(g, h);
    }
    Ok(uuid)
}

/// The number x of a UUID of the family, and its node.
fn family(uuid: &Uuid) -> Option<(u8, [u8; 6])> {
    let [a, b, c, number, rest @ ..] = uuid;
    let (shared, node) = rest.split_first_chunk::<6>()?;
    let fits = [*a, *b, *c] == FAMILY && *shared == FAMILY_REST;
    fits.then_some((*number, <[u8; 6]>::try_from(node).ok()?))
}

/// Reads a PDU of one of PROFINET's interfaces; none for anything else.
fn pdu(bytes: &[u8]) -> Option<Pdu<'_>> {
    let mut cursor = Cursor::new(bytes);
    let (version, kind) = (cursor.u8().ok()?, cursor.u8().ok()?);
    let _flags = cursor.u16_be().ok()?;
    let representation = cursor.u24_be().ok()?;
    let _serial = cursor.u8().ok()?;
    if version != 4 || kind > LAST_TYPE {
        return None;
    }
    let little = representation >> 16 & 0xf0 == 0x10;
    let u16 = |cursor: &mut Cursor<'_>| if little { cursor.u16_le() } else { cursor.u16_be() };
    let u32 = |cursor: &mut Cursor<'_>| if little { cursor.u32_le() } else { cursor.u32_be() };
    let object = uuid(&mut cursor, little).ok()?;
    let (interface, node) = family(&uuid(&mut cursor, little).ok()?)?;
    if node != INTERFACE_NODE {
        return None;
    }
    let activity = uuid(&mut cursor, little).ok()?;
    // server boot time, interface version
    cursor.skip(8).ok()?;
    let sequence = u32(&mut cursor).ok()?;
    let number = u16(&mut cursor).ok()?;
    // hints
    cursor.skip(4).ok()?;
    let length = usize::from(u16(&mut cursor).ok()?);
    let fragment = u16(&mut cursor).ok()?;
    cursor.skip(2).ok()?;
    let rest = cursor.rest();
    Some(Pdu {
        kind,
        little,
        object,
        object_bytes: bytes.get(8..24)?,
        interface,
        activity,
        sequence,
        number,
        number_bytes: bytes.get(68..70)?,
        fragment,
        stub: rest.get(..length).unwrap_or(rest),
        missing: rest.len() < length,
    })
}

fn probe(input: &Input<'_>) -> Probe {
    if input.bytes.len() >= HEADER && pdu(input.bytes).is_some() {
        Probe::Certain
    } else {
        Probe::No
    }
}

/// What stands before the blocks of a call: the first word (status of a response), and the blocks.
fn arguments<'a>(pdu: &Pdu<'a>) -> Result<(u32, &'a [u8]), Short> {
    let mut cursor = Cursor::new(pdu.stub);
    let first = if pdu.little { cursor.u32_le()? } else { cursor.u32_be()? };
    // length; array: most, offset, count
    cursor.skip(16)?;
    Ok((first, cursor.rest()))
}

/// Blocks one after the other; stops where bytes are missing.
struct Blocks<'a> {
    cursor: Cursor<'a>,
    left: usize,
    /// A block was longer than what is there.
    cut: bool,
}

impl<'a> Blocks<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(bytes), left: BLOCKS, cut: false }
    }

    fn block(&mut self) -> Result<(u16, &'a [u8]), Short> {
        let (kind, length) = (self.cursor.u16_be()?, usize::from(self.cursor.u16_be()?));
        let mut content = self.cursor.sub(length)?;
        let _version = content.u16_be()?;
        Ok((kind, content.rest()))
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        self.left = self.left.checked_sub(1)?;
        if self.cursor.remaining() < 6 {
            return None;
        }
        self.block().inspect_err(|_| self.cut = true).ok()
    }
}

/// Which record of which submodule is read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    slot: u16,
    subslot: u16,
    index: u16,
    /// Bytes of the record's data that follow.
    length: u32,
}

impl Record {
    /// Reads the header of a read or a write after its version (§5.2.3.2, §5.2.3.3).
    fn read(content: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(content);
        // sequence number, AR, API
        cursor.skip(22).ok()?;
        let (slot, subslot) = (cursor.u16_be().ok()?, cursor.u16_be().ok()?);
        cursor.skip(2).ok()?;
        Some(Self { slot, subslot, index: cursor.u16_be().ok()?, length: cursor.u32_be().ok()? })
    }

    fn name(self) -> CompactString {
        let Self { slot, subslot, index, .. } = self;
        format_compact!("profinet-slot {slot}/{subslot} index 0x{index:04x}")
    }

    /// Whom the record is about: slot 0 is the station itself.
    fn who(self) -> Who {
        Who::Sender(if self.slot == 0 {
            Child::None
        } else {
            Child::Text(format_compact!("profinet-slot {}/{}", self.slot, self.subslot))
        })
    }
}

struct Cm {
    /// Requests by sender, activity and sequence number.
    pending: Pending<(Side, Uuid, u32), Box<Operation>>,
    /// The request last seen of each side: repeated calls count once.
    last: [Option<(Uuid, u32)>; 2],
    client_said: bool,
    reported: bool,
}

impl Cm {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            last: [None; 2],
            client_said: false,
            reported: false,
        }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(side));
        }
    }

    fn violation(&mut self, input: &Input<'_>, part: &[u8], out: &mut Out) {
        if !input.truncated && !std::mem::replace(&mut self.reported, true) {
            out.push(input.violation(NAME, "profinet-cm-length", part_at(part, 0, 32)));
        }
    }

    fn request(&mut self, input: &Input<'_>, pdu: &Pdu<'_>, out: &mut Out) {
        let call = (pdu.activity, pdu.sequence);
        let last = input.side.of(&mut self.last);
        // The end of a long call, or a call that is sent again.
        if pdu.fragment != 0 || last.replace(call) == Some(call) {
            return;
        }
        if pdu.interface == DEVICE_INTERFACE {
            self.say_client(input.side, out);
        }
        station(input, pdu, Who::Receiver(Child::None), Confidence::Medium, out);
        let mut request = describe(input, input.side, pdu);
        match arguments(pdu) {
            Ok((_, bytes)) => {
                let mut blocks = Blocks::new(bytes);
                let mut names = Vec::new();
                let mut written = None;
                for (kind, content) in blocks.by_ref() {
                    if kind == AR_REQUEST {
                        connect(input, content, out);
                    } else if matches!(kind, READ_REQUEST | WRITE_REQUEST)
                        && let Some(record) = Record::read(content)
                    {
                        if record.index != MULTIPLE_WRITE {
                            names.push(record.name());
                        }
                        if matches!(record.index, 0xaff0..=0xafff) && kind == READ_REQUEST {
                            request.action = Action::Identify;
                        }
                        if kind == WRITE_REQUEST {
                            written = Some(record);
                            break;
                        }
                    } else if let Some(name) = control(kind, content) {
                        names.push(name.into());
                    }
                }
                if let Some(record) = written {
                    writes(record, blocks.cursor.rest(), &mut names);
                } else if blocks.cut && !pdu.missing {
                    self.violation(input, bytes, out);
                }
                request.object = object(&names);
            }
            Err(_) => self.violation(input, pdu.stub, out),
        }
        let key = (input.side, pdu.activity, pdu.sequence);
        if let Some(evicted) = self.pending.insert(key, request) {
            out.operation(evicted);
        }
    }

    fn response(&mut self, input: &Input<'_>, pdu: &Pdu<'_>, out: &mut Out) {
        if pdu.fragment != 0 {
            return;
        }
        let client = input.side.other();
        if pdu.interface == DEVICE_INTERFACE {
            self.say_client(client, out);
        }
        let mut outcome = Outcome::Error;
        if pdu.kind == RESPONSE {
            station(input, pdu, Who::Sender(Child::None), Confidence::High, out);
            match arguments(pdu) {
                Ok((status, bytes)) => {
                    if status == 0 {
                        outcome = Outcome::Ok;
                    }
                    records(input, bytes, out);
                }
                Err(_) => self.violation(input, pdu.stub, out),
            }
        }
        match self.pending.take(&(client, pdu.activity, pdu.sequence)) {
            Some(mut request) => {
                request.outcome = outcome;
                out.operation(request);
            }
            None => {
                let mut request = describe(input, client, pdu);
                request.outcome = outcome;
                out.unpaired(request);
            }
        }
    }
}

impl Session for Cm {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let Some(pdu) = pdu(input.bytes) else { return input.bytes.len() };
        out.layer(RPC, input.side);
        out.layer(NAME, input.side);
        if pdu.missing {
            self.violation(input, input.bytes, out);
        }
        match pdu.kind {
            REQUEST => self.request(input, &pdu, out),
            RESPONSE | FAULT | REJECT => self.response(input, &pdu, out),
            // pings, acknowledgements, and that a call is being worked on
            _ => {}
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        for request in self.pending.drain() {
            out.operation(request);
        }
    }
}

fn describe(input: &Input<'_>, sender: Side, pdu: &Pdu<'_>) -> Box<Operation> {
    let (name, action) = operation(pdu.number);
    Box::new(Operation {
        code: Some(u32::from(pdu.number)),
        ..input.operation(NAME, sender, (name, action), pdu.number_bytes)
    })
}

/// Vendor and device id in the object UUID of a call.
fn station(input: &Input<'_>, pdu: &Pdu<'_>, who: Who, confidence: Confidence, out: &mut Out) {
    if let Some((0, [_, _, node @ ..])) = family(&pdu.object)
        && let (Some(device), Some(vendor)) =
            (pdu.object_bytes.get(12..14), pdu.object_bytes.get(14..16))
    {
        ids(input, "object-uuid", (who, confidence), node, (device, vendor), out);
    }
}

/// Claims of a device and a vendor id.
fn ids(
    input: &Input<'_>,
    message: &'static str,
    (who, confidence): (Who, Confidence),
    [a, b, c, d]: [u8; 4],
    (device, vendor): (&[u8], &[u8]),
    out: &mut Out,
) {
    for (attribute, value, part) in [
        ("device_id", u16::from_be_bytes([a, b]), device),
        ("vendor_id", u16::from_be_bytes([c, d]), vendor),
    ] {
        out.claim(Claim {
            who: who.clone(),
            attribute,
            value: value.to_compact_string(),
            protocol: NAME,
            message,
            confidence,
            evidence: input.evidence(part, Decode::UnsignedBe),
        });
    }
}

/// Who connects: its MAC, its ids, its name (ARBlockReq, §5.2.4.1).
fn connect(input: &Input<'_>, content: &[u8], out: &mut Out) {
    let mut cursor = Cursor::new(content);
    // type, AR, session key
    let mut read = || {
        cursor.skip(20)?;
        let (mac, object) = (cursor.take(6)?, cursor.take(16)?);
        // properties, time-out, port
        cursor.skip(8)?;
        let length = usize::from(cursor.u16_be()?);
        Ok::<_, Short>((mac, object, cursor.take(length)?))
    };
    let Ok((mac, object, name)) = read() else { return };
    binding(input, mac, "connect", out);
    if let Ok(uuid) = Uuid::try_from(object)
        && let Some((0, [_, _, node @ ..])) = family(&uuid)
        && let (Some(device), Some(vendor)) = (object.get(12..14), object.get(14..16))
    {
        let about = (Who::Sender(Child::None), Confidence::High);
        ids(input, "connect", about, node, (device, vendor), out);
    }
    out.claim(input.own_text((NAME, "connect"), "name", name));
}

/// The MAC with which the sender of this IP packet will send its cyclic data.
fn binding(input: &Input<'_>, mac: &[u8], message: &'static str, out: &mut Out) {
    let Ok(bytes) = <[u8; 6]>::try_from(mac) else { return };
    let own = Mac(bytes);
    if own.is_zero() || own.is_group() {
        return;
    }
    out.push(Item::Binding {
        mac: own,
        ip: input.source,
        protocol: NAME,
        message,
        evidence: input.locate(mac),
    });
}

/// The word for a control block's command (§5.2.5.4).
fn control(kind: u16, content: &[u8]) -> Option<&'static str> {
    if !matches!(kind, 0x0110..=0x0118) {
        return None;
    }
    // reserved, AR, session key, padding
    let bits = content.get(22..24)?.iter().fold(0u16, |bits, byte| bits << 8 | u16::from(*byte));
    Some(match bits {
        0x0001 => "parameter-end",
        0x0002 => "application-ready",
        0x0004 => "release",
        0x0008 => "done",
        0x0010 => "ready-for-companion",
        0x0020 => "ready-for-rt-class-3",
        0x0040 => "parameter-begin",
        _ => "other",
    })
}

/// The records of a multiple write; each header is followed by its data, filled up to 4 bytes.
fn writes(first: Record, data: &[u8], names: &mut Vec<CompactString>) {
    if first.index != MULTIPLE_WRITE {
        return;
    }
    let mut blocks = Blocks::new(data);
    while let Some((kind, content)) = blocks.next() {
        let Some(record) = Record::read(content).filter(|_| kind == WRITE_REQUEST) else { return };
        names.push(record.name());
        let length = record.length as usize;
        if blocks.cursor.skip(length.next_multiple_of(4)).is_err() {
            return;
        }
    }
}

/// What the blocks of a response tell: the responder's MAC, and its identification.
fn records(input: &Input<'_>, bytes: &[u8], out: &mut Out) {
    let mut record = None;
    for (kind, content) in Blocks::new(bytes) {
        match kind {
            AR_RESPONSE => {
                // type, AR, session key
                if let Some(mac) = content.get(20..26) {
                    binding(input, mac, "connect", out);
                }
            }
            READ_RESPONSE => record = Record::read(content),
            IM0 => {
                if let Some(record) = record {
                    identification(input, record, content, out);
                }
            }
            IM1 => {
                if let Some(record) = record {
                    told(input, record, "im1", "function_tag", content.get(..32), out);
                    told(input, record, "im1", "location", content.get(32..54), out);
                }
            }
            IM3 => {
                if let Some(record) = record {
                    told(input, record, "im3", "description", content.get(..54), out);
                }
            }
            _ => {}
        }
    }
}

/// A text of an I&M record.
fn told(
    input: &Input<'_>,
    record: Record,
    message: &'static str,
    attribute: &'static str,
    part: Option<&[u8]>,
    out: &mut Out,
) {
    let part = text::trim(part.unwrap_or_default());
    claim(input, record, (message, attribute), text::utf8(part), (part, Decode::Utf8), out);
}

fn claim(
    input: &Input<'_>,
    record: Record,
    (message, attribute): (&'static str, &'static str),
    value: CompactString,
    (part, decode): (&[u8], Decode),
    out: &mut Out,
) {
    out.claim(Claim {
        who: record.who(),
        attribute,
        value,
        protocol: NAME,
        message,
        confidence: Confidence::High,
        evidence: Evidence { spans: input.locate(part), decode },
    });
}

/// I&M0 (§5.2.29.1): vendor id, order number, serial number, hardware and software revision.
fn identification(input: &Input<'_>, record: Record, content: &[u8], out: &mut Out) {
    let unsigned = |attribute, range: std::ops::Range<usize>, out: &mut Out| {
        let Some(part) = content.get(range) else { return };
        let value = part.iter().fold(0u16, |value, byte| value << 8 | u16::from(*byte));
        let read = (part, Decode::UnsignedBe);
        claim(input, record, ("im0", attribute), value.to_compact_string(), read, out);
    };
    unsigned("vendor_id", 0..2, out);
    told(input, record, "im0", "order_number", content.get(2..22), out);
    told(input, record, "im0", "serial", content.get(22..38), out);
    unsigned("hardware", 38..40, out);
    // a letter (V: released) and three numbers
    if let Some(part) = content.get(40..44)
        && let [letter, major, minor, build] = *part
        && letter.is_ascii_graphic()
    {
        let letter = char::from(letter);
        let value = format_compact!("{letter}{major}.{minor}.{build}");
        claim(input, record, ("im0", "firmware"), value, (part, Decode::Derived), out);
    }
}

/// The names as one object: one name, or a list that counts what it does not spell out.
fn object(names: &[CompactString]) -> Object {
    let mut text = CompactString::default();
    for name in names.iter().take(SPELLED) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name);
    }
    if names.len() > SPELLED {
        text.push_str(&format_compact!(", +{}", names.len() - SPELLED));
    }
    if text.is_empty() { Object::None } else { Object::Text(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// A block with version 1.0.
    fn block(kind: u16, content: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend((content.len() as u16 + 2).to_be_bytes());
        bytes.extend([1, 0]);
        bytes.extend_from_slice(content);
        bytes
    }

    /// A call of the device interface of vendor 0x002a, device 0x0301.
    fn call(kind: u8, sequence: u8, number: u8, first: u32, blocks: &[u8]) -> Vec<u8> {
        let length = blocks.len() as u32;
        let mut bytes = vec![4, kind, 0x20, 0, 0, 0, 0, 0];
        let shared = [[0x6c, 0x97, 0x11, 0xd1].as_slice(), &[0x82, 0x71]].concat();
        bytes.extend([0xde, 0xa0, 0, 0]);
        bytes.extend(&shared);
        bytes.extend([0, 1, 0x03, 0x01, 0, 0x2a]);
        bytes.extend([0xde, 0xa0, 0, 1]);
        bytes.extend(&shared);
        bytes.extend(INTERFACE_NODE);
        bytes.extend([7; 16]); // activity
        bytes.extend([0; 4]);
        bytes.extend([0, 0, 0, 1]);
        bytes.extend([0, 0, 0, sequence]);
        bytes.extend([0, number]);
        bytes.extend([0xff; 4]);
        bytes.extend((20 + blocks.len() as u16).to_be_bytes());
        bytes.extend([0; 4]);
        for word in [first, length, 4096, 0, length] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend_from_slice(blocks);
        bytes
    }

    /// A read or write header for this slot and index.
    fn header(kind: u16, slot: u8, index: u16, length: u8) -> Vec<u8> {
        let mut content = vec![0, 4];
        content.extend([9; 16]);
        content.extend([0; 4]);
        content.extend([0, slot, 0, 1, 0, 0]);
        content.extend(index.to_be_bytes());
        content.extend([0, 0, 0, length]);
        content.extend([0; 24]);
        block(kind, &content)
    }

    fn im0() -> Vec<u8> {
        let mut content = vec![0, 0x2a];
        content.extend(b"6ES7 155-6AU01-0BN0 ");
        content.extend(b"S C-J4U812345678");
        content.extend([0, 3, b'V', 4, 2, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0x0e]);
        block(IM0, &content)
    }

    fn operations(items: &[Item]) -> Vec<(&'static str, String, Action, Outcome)> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(operation) => Some((
                    operation.name,
                    operation.object.to_text().to_string(),
                    operation.action,
                    operation.outcome,
                )),
                _ => None,
            })
            .collect()
    }

    fn claims(items: &[Item], message: &str) -> Vec<(&'static str, String)> {
        items
            .iter()
            .filter_map(|item| match item {
                Item::Claim(claim) if claim.message == message => {
                    Some((claim.attribute, claim.value.to_string()))
                }
                _ => None,
            })
            .collect()
    }

    #[test]
    fn an_identification_record_names_the_device() {
        let ask = call(REQUEST, 1, 2, 4096, &header(READ_REQUEST, 0, 0xaff0, 64));
        let told = [header(READ_RESPONSE, 0, 0xaff0, 60), im0()].concat();
        let items = testing::items(
            &PROTOCOL,
            &[(Side::A, &ask), (Side::B, &call(RESPONSE, 1, 2, 0, &told))],
        );
        assert_eq!(
            vec![("read", "profinet-slot 0/1 index 0xaff0".into(), Action::Identify, Outcome::Ok)],
            operations(&items)
        );
        let expected = [
            ("vendor_id", "42"),
            ("order_number", "6ES7 155-6AU01-0BN0"),
            ("serial", "S C-J4U812345678"),
            ("hardware", "3"),
            ("firmware", "V4.2.1"),
        ];
        assert_eq!(expected.map(|(a, v)| (a, v.to_owned())).to_vec(), claims(&items, "im0"));
    }

    #[test]
    fn a_module_is_a_child_of_its_station() {
        let told = [header(READ_RESPONSE, 3, 0xaff0, 60), im0()].concat();
        let items = testing::items(&PROTOCOL, &[(Side::B, &call(RESPONSE, 1, 2, 0, &told))]);
        assert!(items.iter().any(|item| matches!(
            item,
            Item::Claim(claim)
                if claim.attribute == "serial"
                    && claim.who == Who::Sender(Child::Text("profinet-slot 3/1".into()))
        )));
    }

    #[test]
    fn who_connects_tells_its_name_its_ids_and_its_mac() {
        let mut content = vec![0, 1];
        content.extend([9; 16]);
        content.extend([0, 1]);
        content.extend([2, 0, 0, 0, 0, 9]);
        content.extend([0xde, 0xa0, 0, 0, 0x6c, 0x97, 0x11, 0xd1, 0x82, 0x71]);
        content.extend([0, 1, 0, 0x3c, 0, 0xb0]);
        content.extend([0; 8]);
        content.extend([0, 5]);
        content.extend(b"plc-1");
        let connect = call(REQUEST, 1, 0, 4096, &block(AR_REQUEST, &content));
        let items = testing::items(&PROTOCOL, &[(Side::A, &connect)]);
        let expected = [("device_id", "60"), ("vendor_id", "176"), ("name", "plc-1")];
        assert_eq!(expected.map(|(a, v)| (a, v.to_owned())).to_vec(), claims(&items, "connect"));
        assert!(items.iter().any(
            |item| matches!(item, Item::Binding { mac, .. } if *mac == Mac([2, 0, 0, 0, 0, 9]))
        ));
        assert!(items.contains(&Item::Client(Side::A)));
        let expected = [("device_id", "769"), ("vendor_id", "42")];
        assert_eq!(
            expected.map(|(a, v)| (a, v.to_owned())).to_vec(),
            claims(&items, "object-uuid")
        );
    }

    #[test]
    fn a_multiple_write_names_its_records_and_a_status_refuses_it() {
        let parts = [
            header(WRITE_REQUEST, 0, MULTIPLE_WRITE, 140),
            header(WRITE_REQUEST, 1, 0x01f4, 3),
            vec![1, 2, 3, 0],
            header(WRITE_REQUEST, 2, 0x01f5, 4),
            vec![1, 2, 3, 4],
        ];
        let write = call(REQUEST, 1, 3, 4096, &parts.concat());
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &write),
                (Side::A, &write), // sent again
                (Side::B, &call(RESPONSE, 1, 3, 0xdf80_b000, &[])),
            ],
        );
        assert_eq!(
            vec![(
                "write",
                "profinet-slot 1/1 index 0x01f4, profinet-slot 2/1 index 0x01f5".into(),
                Action::Configuration,
                Outcome::Error
            )],
            operations(&items)
        );
    }

    #[test]
    fn other_interfaces_are_not_taken_and_a_call_cut_short_is_a_violation() {
        let read = call(REQUEST, 1, 2, 4096, &header(READ_REQUEST, 0, 0xaff0, 64));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &read)));
        let mut other = read.clone();
        other[39] = 0;
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &other)));
        let items = testing::items(&PROTOCOL, &[(Side::A, &read[..read.len() - 8])]);
        assert!(items.iter().any(
            |item| matches!(item, Item::Violation(violation) if violation.rule == "profinet-cm-length")
        ));
    }

    #[test]
    fn survives_anything() {
        let ask = call(REQUEST, 1, 2, 4096, &header(READ_REQUEST, 0, 0xaff0, 64));
        let told = [header(READ_RESPONSE, 0, 0xaff0, 60), im0()].concat();
        let told = call(RESPONSE, 1, 2, 0, &told);
        testing::survives(&PROTOCOL, &[(Side::A, &ask), (Side::B, &told)]);
    }
}
