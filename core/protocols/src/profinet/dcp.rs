//! PROFINET DCP: how IO devices are found, named and given their addresses.
//!
//! Sources: IEC 61158-6-10 §4.3 (DCP: header, blocks, options, block errors) with §4.2.2.3 for the
//! frame ids 0xFEFC to 0xFEFF; the same tables in the PROFINET IO specification of PI.
//!
//! The code of an operation is the service id; what it asks for or sets is its object. The device
//! tells in one frame, sent from its own MAC, its name, its identity and its IP: that binds both.
//!
//! Rules broken on the wire:
//! * `profinet-dcp-length`: the data or a block is longer than the frame.
//!
//! Not decoded: DHCP blocks, RSI properties, blocks of manufacturers beyond their option number.

use std::net::Ipv4Addr;

use compact_str::{CompactString, ToCompactString, format_compact};
use otic_wire::{Address, Cursor, Short};

use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Evidence, Item, Object, Operation, Out,
    Outcome, Value, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Side};
use crate::text;

/// PROFINET DCP.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "PROFINET DCP",
    roles: ("IO supervisor", "IO device"),
    carriers: &[Carrier::EtherType(&[super::ETHER_TYPE])],
    dissector: Dissector::Built { probe, session: super::session },
    source: "IEC 61158-6-10 §4.3",
};

const NAME: &str = "profinet-dcp";

const HELLO_FRAME: u16 = 0xfefc;
const GET_SET_FRAME: u16 = 0xfefd;
const IDENTIFY_REQUEST_FRAME: u16 = 0xfefe;
const IDENTIFY_RESPONSE_FRAME: u16 = 0xfeff;

const GET: u8 = 3;
const SET: u8 = 4;
const IDENTIFY: u8 = 5;
const HELLO: u8 = 6;

/// Service type of a request; bit 0 is set in responses, bit 2 where the service is refused.
const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;
const NOT_SUPPORTED: u8 = 4;

/// Option and suboption of the blocks that are read further.
const IP_PARAMETER: (u8, u8) = (1, 2);
const IP_SUITE: (u8, u8) = (1, 3);
const TYPE_OF_STATION: (u8, u8) = (2, 1);
const NAME_OF_STATION: (u8, u8) = (2, 2);
const DEVICE_ID: (u8, u8) = (2, 3);
const DEVICE_ROLE: (u8, u8) = (2, 4);
const ALIAS_NAME: (u8, u8) = (2, 6);
const OEM_DEVICE_ID: (u8, u8) = (2, 8);
const START: (u8, u8) = (5, 1);
const STOP: (u8, u8) = (5, 2);
const SIGNAL: (u8, u8) = (5, 3);
const SET_RESPONSE: (u8, u8) = (5, 4);
const FACTORY_RESET: (u8, u8) = (5, 5);
const RESET_TO_FACTORY: (u8, u8) = (5, 6);

/// Most blocks of one frame that are read, and most that an object names.
const BLOCKS: usize = 64;
const SPELLED: usize = 8;
/// Requests of one flow that may wait at once.
const WAITING: usize = 32;

const fn service(id: u8) -> (&'static str, Action) {
    match id {
        GET => ("get", Action::Read),
        SET => ("set", Action::Configuration),
        IDENTIFY => ("identify", Action::Identify),
        HELLO => ("hello", Action::Identify),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// The standard's name of a block.
fn block_name(kind: (u8, u8)) -> CompactString {
    let name = match kind {
        (1, 1) => "mac-address",
        IP_PARAMETER => "ip-parameter",
        IP_SUITE => "full-ip-suite",
        TYPE_OF_STATION => "type-of-station",
        NAME_OF_STATION => "name-of-station",
        DEVICE_ID => "device-id",
        DEVICE_ROLE => "device-role",
        (2, 5) => "device-options",
        ALIAS_NAME => "alias-name",
        (2, 7) => "device-instance",
        OEM_DEVICE_ID => "oem-device-id",
        (2, 9) => "standard-gateway",
        (2, 10) => "rsi-properties",
        (3, _) => "dhcp",
        START => "start-transaction",
        STOP => "end-transaction",
        SIGNAL => "signal",
        SET_RESPONSE => "response",
        FACTORY_RESET => "factory-reset",
        RESET_TO_FACTORY => "reset-to-factory",
        (6, 1) => "device-initiative",
        (0xff, 0xff) => "all",
        (option, suboption) => return format_compact!("option {option}/{suboption}"),
    };
    name.into()
}

/// Adds a block's name to a list, at most [`SPELLED`] of them.
fn spell(list: &mut CompactString, at: usize, name: &str) {
    if at < SPELLED {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(name);
    } else if at == SPELLED {
        list.push_str(", …");
    }
}

/// Whether this frame id is one of DCP's.
pub(super) const fn has_frame_id(id: u16) -> bool {
    matches!(id, HELLO_FRAME..=IDENTIFY_RESPONSE_FRAME)
}

fn probe(input: &Input<'_>) -> Probe {
    let [high, low, id, kind, ..] = *input.bytes else { return Probe::No };
    let fits = match u16::from_be_bytes([high, low]) {
        HELLO_FRAME => id == HELLO,
        GET_SET_FRAME => id == GET || id == SET,
        IDENTIFY_REQUEST_FRAME => id == IDENTIFY && kind == REQUEST,
        IDENTIFY_RESPONSE_FRAME => id == IDENTIFY && kind & RESPONSE != 0,
        _ => false,
    };
    if fits { Probe::Certain } else { Probe::No }
}

/// A frame's header; the blocks follow.
struct Header {
    service: u8,
    kind: u8,
    transaction: u32,
    length: u16,
}

fn header(cursor: &mut Cursor<'_>) -> Result<Header, Short> {
    let _frame_id = cursor.u16_be()?;
    let (service, kind, transaction) = (cursor.u8()?, cursor.u8()?, cursor.u32_be()?);
    let _response_delay = cursor.u16_be()?;
    Ok(Header { service, kind, transaction, length: cursor.u16_be()? })
}

/// One block: option and suboption, and its content.
type Block<'a> = ((u8, u8), &'a [u8]);

/// The next block; blocks of odd length are followed by a fill byte.
fn block<'a>(cursor: &mut Cursor<'a>) -> Result<Block<'a>, Short> {
    let kind = (cursor.u8()?, cursor.u8()?);
    let length = usize::from(cursor.u16_be()?);
    let content = cursor.take(length)?;
    if length % 2 == 1 && !cursor.is_empty() {
        cursor.skip(1)?;
    }
    Ok((kind, content))
}

/// A request that waits for its response, and what a set would change.
struct Request {
    operation: Box<Operation>,
    changes: Vec<((u8, u8), CompactString, Evidence)>,
}

/// The DCP frames between two stations.
pub(super) struct Dcp {
    /// Requests by sender, service and transaction.
    pending: Pending<(Side, u8, u32), Request>,
    client_said: bool,
}

impl Default for Dcp {
    fn default() -> Self {
        Self { pending: Pending::new(WAITING), client_said: false }
    }
}

impl Dcp {
    /// Reads one frame.
    pub(super) fn frame(&mut self, input: &Input<'_>, out: &mut Out) {
        let mut cursor = Cursor::new(input.bytes);
        let Ok(header) = header(&mut cursor) else {
            violation(input, input.bytes, out);
            return;
        };
        out.layer(NAME, input.side);
        let data = cursor.rest();
        let data = data.get(..usize::from(header.length)).unwrap_or_else(|| {
            violation(input, input.bytes, out);
            data
        });
        let mut blocks = Vec::new();
        let mut cursor = Cursor::new(data);
        let is_request = header.kind & RESPONSE == 0;
        while !cursor.is_empty() && blocks.len() < BLOCKS {
            // A get names its blocks without content.
            let next = if header.service == GET && is_request {
                cursor.array::<2>().map(|[option, suboption]| ((option, suboption), [].as_slice()))
            } else {
                block(&mut cursor)
            };
            let Ok(next) = next else {
                if usize::from(header.length) == data.len() {
                    violation(input, data, out);
                }
                break;
            };
            blocks.push(next);
        }
        if header.service == HELLO {
            for block in &blocks {
                claims(input, HELLO, *block, out);
            }
        }
        if is_request {
            self.request(input, &header, &blocks, out);
        } else {
            self.response(input, &header, &blocks, out);
        }
    }

    /// Reports what waits for a response as unseen.
    pub(super) fn finish(&mut self, out: &mut Out) {
        for request in self.pending.drain() {
            complete(request, Outcome::Unseen, out);
        }
    }

    fn request(&mut self, input: &Input<'_>, header: &Header, blocks: &[Block<'_>], out: &mut Out) {
        let (name, mut action) = service(header.service);
        let mut object = CompactString::default();
        let mut changes = Vec::new();
        for (at, (kind, content)) in blocks.iter().enumerate() {
            match (header.service, *kind) {
                (SET, RESET_TO_FACTORY | FACTORY_RESET) => action = Action::Reset,
                (SET, SIGNAL) if action != Action::Reset => action = Action::Control,
                _ => {}
            }
            let value = match header.service {
                // What a device must have to answer.
                IDENTIFY => Some(*content),
                // The qualifier says only whether the value is kept.
                SET => content.get(2..),
                _ => None,
            };
            let mut name = block_name(*kind);
            if header.service == IDENTIFY && matches!(*kind, NAME_OF_STATION | ALIAS_NAME) {
                name = format_compact!("{name} {}", text::utf8(text::trim(content)));
            }
            spell(&mut object, at, &name);
            if header.service == SET
                && let Some((value, part, decode)) = value.and_then(|value| setting(*kind, value))
            {
                changes.push((*kind, value, input.evidence(part, decode)));
            }
        }
        if header.service != HELLO && !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(input.side));
        }
        let mut operation = describe(input, input.side, header.service, name, action);
        operation.object = if object.is_empty() { Object::None } else { Object::Text(object) };
        // Devices answer an identify from their own addresses: other flows.
        if input.destination.is_group() || header.service == HELLO {
            operation.outcome = Outcome::None;
            out.operation(operation);
            return;
        }
        let key = (input.side, header.service, header.transaction);
        let request = Request { operation: Box::new(operation), changes };
        if let Some(evicted) = self.pending.insert(key, request) {
            complete(evicted, Outcome::Unseen, out);
        }
    }

    fn response(
        &mut self,
        input: &Input<'_>,
        header: &Header,
        blocks: &[Block<'_>],
        out: &mut Out,
    ) {
        let client = input.side.other();
        // What could not be got or set answers with a block error (§4.3.1.4.8).
        let refused = header.kind & NOT_SUPPORTED != 0
            || blocks.iter().any(|(kind, content)| {
                *kind == SET_RESPONSE && content.get(2).is_some_and(|error| *error != 0)
            });
        let outcome = if refused { Outcome::Error } else { Outcome::Ok };
        if header.service != SET {
            for block in blocks {
                claims(input, header.service, *block, out);
            }
        }
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(client));
        }
        match self.pending.take(&(client, header.service, header.transaction)) {
            Some(request) => complete(request, outcome, out),
            None => {
                let (name, action) = service(header.service);
                let mut operation = describe(input, client, header.service, name, action);
                operation.outcome = outcome;
                out.unpaired(operation);
            }
        }
    }
}

fn describe(
    input: &Input<'_>,
    sender: Side,
    id: u8,
    name: &'static str,
    action: Action,
) -> Operation {
    Operation {
        code: Some(u32::from(id)),
        ..input.operation(NAME, sender, (name, action), input.bytes.get(2..10).unwrap_or_default())
    }
}

/// Pushes the operation and, unless refused, what it set.
fn complete(mut request: Request, outcome: Outcome, out: &mut Out) {
    request.operation.outcome = outcome;
    let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
    out.operation(request.operation);
    if outcome == Outcome::Error {
        return;
    }
    for (kind, value, evidence) in request.changes {
        out.push(Item::Change(Change {
            protocol: NAME,
            connection: NAME,
            sender,
            server_child: Child::None,
            object: Object::Text(block_name(kind)),
            old: None,
            new: Value::Text(value),
            evidence,
            ts_ns,
        }));
    }
}

/// What a set writes, where it is a name or an address: value, bytes, and how they give it.
fn setting(kind: (u8, u8), content: &[u8]) -> Option<(CompactString, &[u8], Decode)> {
    match kind {
        NAME_OF_STATION | ALIAS_NAME => {
            let name = text::trim(content);
            Some((text::utf8(name), name, Decode::Utf8))
        }
        IP_PARAMETER | IP_SUITE => {
            let address = content.get(..4)?;
            Some((ipv4(address)?.to_compact_string(), address, Decode::Ip))
        }
        _ => None,
    }
}

fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

/// What a block of an identify or get response or a hello says of its sender. All but the block
/// information (2 bytes, how the value came about) is content.
fn claims(input: &Input<'_>, id: u8, (kind, content): Block<'_>, out: &mut Out) {
    let told_in = (NAME, service(id).0);
    let content = content.get(2..).unwrap_or_default();
    match (kind, content) {
        (TYPE_OF_STATION, _) => out.claim(input.own_text(told_in, "model", content)),
        (NAME_OF_STATION, _) => out.claim(input.own_text(told_in, "name", content)),
        (ALIAS_NAME, _) => out.claim(input.own_text(told_in, "alias_name", content)),
        (DEVICE_ID, [_, _, _, _]) => {
            identifiers(input, told_in, "vendor_id", "device_id", content, out)
        }
        (OEM_DEVICE_ID, [_, _, _, _]) => {
            identifiers(input, told_in, "oem_vendor_id", "oem_device_id", content, out);
        }
        (DEVICE_ROLE, [bits, ..]) => {
            let names: Vec<&str> = ROLES
                .iter()
                .enumerate()
                .filter(|(bit, _)| bits >> bit & 1 == 1)
                .map(|(_, name)| *name)
                .collect();
            let part = content.get(..1).unwrap_or_default();
            let value = names.join(" ").into();
            out.claim(input.own_claim(told_in, "profinet_role", value, part, Decode::Derived));
        }
        (IP_PARAMETER | IP_SUITE, _) => addresses(input, told_in, content, out),
        _ => {}
    }
}

/// Device roles, bit 0 first (§4.3.1.4.7.5).
const ROLES: [&str; 4] = ["io-device", "io-controller", "io-multidevice", "io-supervisor"];

/// A vendor and a device id, 2 bytes each.
fn identifiers(
    input: &Input<'_>,
    told_in: (&'static str, &'static str),
    vendor: &'static str,
    device: &'static str,
    content: &[u8],
    out: &mut Out,
) {
    for (attribute, part) in [vendor, device].into_iter().zip(content.chunks_exact(2)) {
        let value = part.iter().fold(0u16, |value, byte| value << 8 | u16::from(*byte));
        let value = value.to_compact_string();
        out.claim(input.own_claim(told_in, attribute, value, part, Decode::UnsignedBe));
    }
}

/// IP address, subnet mask and gateway. The frame is sent by the MAC whose IP it tells.
fn addresses(
    input: &Input<'_>,
    (protocol, message): (&'static str, &'static str),
    content: &[u8],
    out: &mut Out,
) {
    let mut parts = content.chunks_exact(4);
    let mut next = || {
        let part = parts.next()?;
        ipv4(part).filter(|address| !address.is_unspecified()).map(|address| (address, part))
    };
    let Some((address, part)) = next() else { return };
    if let Some(mac) = input.source_mac {
        out.push(Item::Binding {
            mac,
            ip: Address::from(address),
            protocol,
            message,
            evidence: input.locate(part),
        });
    }
    for attribute in ["subnet_mask", "gateway"] {
        let Some((value, part)) = next() else { continue };
        out.claim(Claim {
            who: Who::Sender(Child::None),
            attribute,
            value: value.to_compact_string(),
            protocol,
            message,
            confidence: Confidence::High,
            evidence: input.evidence(part, Decode::Ip),
        });
    }
}

fn violation(input: &Input<'_>, part: &[u8], out: &mut Out) {
    if !input.truncated {
        out.push(input.violation(NAME, "profinet-dcp-length", part_at(part, 0, 32)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, claims};

    /// A frame from frame id to the end, with these blocks (option, suboption, content).
    fn frame(id: u16, service: u8, kind: u8, blocks: &[(u8, u8, &[u8])]) -> Vec<u8> {
        let mut data = Vec::new();
        for (option, suboption, content) in blocks {
            data.extend([*option, *suboption, 0, content.len() as u8]);
            data.extend_from_slice(content);
            if content.len() % 2 == 1 {
                data.push(0);
            }
        }
        raw(id, service, kind, &data)
    }

    fn raw(id: u16, service: u8, kind: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = id.to_be_bytes().to_vec();
        bytes.extend([service, kind, 0, 0, 0, 7, 0, 0, 0, data.len() as u8]);
        bytes.extend_from_slice(data);
        bytes
    }

    fn operations(items: Vec<Item>) -> Vec<Operation> {
        items
            .into_iter()
            .filter_map(|item| match item {
                Item::Operation(operation) | Item::Unpaired(operation) => Some(*operation),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_device_that_is_found_tells_who_it_is() {
        let response = frame(
            IDENTIFY_RESPONSE_FRAME,
            IDENTIFY,
            RESPONSE,
            &[
                (2, 1, b"\0\0ET200SP"),
                (2, 2, b"\0\0valve-7"),
                (2, 3, &[0, 0, 0x00, 0x2a, 0x03, 0x13]),
                (2, 4, &[0, 0, 0x03, 0]),
                (1, 2, &[0, 1, 192, 0, 2, 9, 255, 255, 255, 0, 0, 0, 0, 0]),
            ],
        );
        let items = testing::items(&PROTOCOL, &[(Side::B, &response)]);
        let expected = [
            ("model", "ET200SP"),
            ("name", "valve-7"),
            ("vendor_id", "42"),
            ("device_id", "787"),
            ("profinet_role", "io-device io-controller"),
            ("subnet_mask", "255.255.255.0"),
        ];
        assert_eq!(expected.map(|(a, v)| (a, v.to_owned())).to_vec(), claims(&items));
        assert!(items.iter().any(|item| matches!(
            item,
            Item::Binding { ip, .. } if *ip == Address::from(Ipv4Addr::new(192, 0, 2, 9))
        )));
        assert!(matches!(items.last(), Some(Item::Unpaired(_))));
    }

    #[test]
    fn a_set_is_a_change_unless_the_device_refuses_it() {
        let set = frame(GET_SET_FRAME, SET, REQUEST, &[(2, 2, b"\0\x01pump-1")]);
        let accepted = frame(GET_SET_FRAME, SET, RESPONSE, &[(5, 4, &[2, 2, 0])]);
        let refused = frame(GET_SET_FRAME, SET, RESPONSE, &[(5, 4, &[2, 2, 6])]);

        let items = testing::items(&PROTOCOL, &[(Side::A, &set), (Side::B, &accepted)]);
        assert!(items.iter().any(|item| matches!(
            item,
            Item::Change(change) if change.new == Value::Text("pump-1".into())
        )));
        let [operation] = &*operations(items) else { panic!("one operation") };
        assert_eq!((Outcome::Ok, Action::Configuration), (operation.outcome, operation.action));
        assert_eq!("name-of-station", operation.object.to_text());

        let items = testing::items(&PROTOCOL, &[(Side::A, &set), (Side::B, &refused)]);
        assert!(!items.iter().any(|item| matches!(item, Item::Change(_))));
        assert_eq!(Outcome::Error, operations(items)[0].outcome);
    }

    #[test]
    fn a_reset_to_factory_is_a_reset_and_blinking_is_control() {
        let reset = frame(GET_SET_FRAME, SET, REQUEST, &[(5, 6, &[0, 4])]);
        let blink = frame(GET_SET_FRAME, SET, REQUEST, &[(5, 3, &[0, 0, 1, 0])]);
        let found = operations(testing::items(&PROTOCOL, &[(Side::A, &reset), (Side::A, &blink)]));
        assert_eq!(
            vec![
                (Action::Reset, "reset-to-factory".into(), Outcome::Unseen),
                (Action::Control, CompactString::from("signal"), Outcome::Unseen),
            ],
            found
                .iter()
                .map(|operation| (operation.action, operation.object.to_text(), operation.outcome))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn requests_name_what_they_ask_for() {
        let identify = frame(IDENTIFY_REQUEST_FRAME, IDENTIFY, REQUEST, &[(2, 2, b"switch3")]);
        let get = raw(GET_SET_FRAME, GET, REQUEST, &[2, 2, 1, 2]);
        let objects: Vec<_> =
            operations(testing::items(&PROTOCOL, &[(Side::A, &identify), (Side::A, &get)]))
                .iter()
                .map(|operation| operation.object.to_text())
                .collect();
        assert_eq!(["name-of-station switch3", "name-of-station, ip-parameter"], *objects);
    }

    #[test]
    fn a_block_longer_than_the_data_is_a_violation() {
        let broken = raw(GET_SET_FRAME, SET, REQUEST, &[2, 2, 0, 9, 0, 0]);
        let items = testing::items(&PROTOCOL, &[(Side::A, &broken)]);
        assert!(items.iter().any(
            |item| matches!(item, Item::Violation(violation) if violation.rule == "profinet-dcp-length")
        ));
    }

    #[test]
    fn other_frames_of_profinet_are_not_taken() {
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[0x80, 0x00, 5, 0])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[0xfe, 0xff, 5, 0])));
    }

    #[test]
    fn survives_anything() {
        let set = frame(GET_SET_FRAME, SET, REQUEST, &[(2, 2, b"\0\x01pump-1")]);
        let response = frame(GET_SET_FRAME, SET, RESPONSE, &[(5, 4, &[2, 2, 0])]);
        let found = frame(
            IDENTIFY_RESPONSE_FRAME,
            IDENTIFY,
            RESPONSE,
            &[(2, 2, b"\0\0a"), (1, 2, &[0, 1, 192, 0, 2, 9, 255, 0, 0, 0, 0, 0, 0, 0])],
        );
        testing::survives(&PROTOCOL, &[(Side::A, &set), (Side::B, &response), (Side::B, &found)]);
    }
}
