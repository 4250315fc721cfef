//! IPMI over LAN: RMCP with ASF pings, IPMI 1.5 and RMCP+ sessions, over UDP.
//!
//! Sources: IPMI 2.0 revision 1.1 §13.1 (RMCP, ASF), §13.6 to §13.8 (session headers, messages), §13.17
//! to §13.24 (open session, RAKP), §13.24 table 13-15 (status codes), §20.1 (Get Device ID), §22.13 (Get
//! Channel Authentication Capabilities), §28 (chassis); DMTF DSP0136 §3.2 (ASF messages).
//!
//! A request and its response are one operation; its code is the network function times 256 plus the
//! command. A power command is named by what it does.
//!
//! Rules broken on the wire:
//! * `ipmi-message`: a message that ends within its header or has a wrong checksum.
//!
//! Not decoded: encrypted payloads, serial over LAN, vendors' payloads. No sample capture holds IPMI:
//! tested with messages built on the specification.

use compact_str::CompactString;
use otic_wire::{Cursor, Spans};

use crate::fields::part_at;
use crate::out::{Action, Decode, Event, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// IPMI.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "IPMI",
    roles: ("IPMI console", "management controller"),
    carriers: &[Carrier::Udp(&[623])],
    dissector: Dissector::Built { probe, session: || Box::new(Ipmi::new()) },
    source: "IPMI 2.0 revision 1.1; DMTF DSP0136",
};

const NAME: &str = "ipmi";

/// Version of RMCP.
const RMCP: u8 = 6;
const ASF: u8 = 6;
const IPMI: u8 = 7;
/// Enterprise number in ASF messages.
const ASF_NUMBER: u32 = 4542;
const PING: u8 = 0x80;
const PONG: u8 = 0x40;

/// Authentication type that announces the longer header of RMCP+.
const RMCP_PLUS: u8 = 6;

const APP: u8 = 0x06;
const CHASSIS: u8 = 0x00;
const GET_DEVICE_ID: u8 = 0x01;
const CHASSIS_CONTROL: u8 = 0x02;

const RAKP_1: u8 = 0x12;
const RAKP_2: u8 = 0x13;
const RAKP_3: u8 = 0x14;
const RAKP_4: u8 = 0x15;

/// Requests of one flow that may wait at once.
const WAITING: usize = 64;

/// Name and action of a command.
const fn command(function: u8, code: u8) -> (&'static str, Action) {
    match (function, code) {
        (CHASSIS, 0x00) => ("get-chassis-capabilities", Action::Read),
        (CHASSIS, 0x01) => ("get-chassis-status", Action::Read),
        (CHASSIS, CHASSIS_CONTROL) => ("chassis-control", Action::Control),
        (CHASSIS, 0x03) => ("chassis-reset", Action::Reset),
        (CHASSIS, 0x04) => ("chassis-identify", Action::Control),
        (CHASSIS, 0x05) => ("set-chassis-capabilities", Action::Configuration),
        (CHASSIS, 0x06) => ("set-power-restore-policy", Action::Configuration),
        (CHASSIS, 0x07) => ("get-system-restart-cause", Action::Read),
        (CHASSIS, 0x08) => ("set-system-boot-options", Action::Configuration),
        (CHASSIS, 0x09) => ("get-system-boot-options", Action::Read),
        (0x04, 0x2d) => ("get-sensor-reading", Action::Read),
        (APP, GET_DEVICE_ID) => ("get-device-id", Action::Identify),
        (APP, 0x02) => ("cold-reset", Action::Reset),
        (APP, 0x03) => ("warm-reset", Action::Reset),
        (APP, 0x04) => ("get-self-test-results", Action::Diagnostics),
        (APP, 0x08) => ("get-device-guid", Action::Identify),
        (APP, 0x22) => ("reset-watchdog-timer", Action::Control),
        (APP, 0x24) => ("set-watchdog-timer", Action::Configuration),
        (APP, 0x25) => ("get-watchdog-timer", Action::Read),
        (APP, 0x37) => ("get-system-guid", Action::Identify),
        (APP, 0x38) => ("get-channel-authentication-capabilities", Action::Identify),
        (APP, 0x39) => ("get-session-challenge", Action::Authenticate),
        (APP, 0x3a) => ("activate-session", Action::Authenticate),
        (APP, 0x3b) => ("set-session-privilege-level", Action::Session),
        (APP, 0x3c) => ("close-session", Action::Session),
        (APP, 0x3d) => ("get-session-info", Action::Read),
        (APP, 0x40) => ("set-channel-access", Action::Configuration),
        (APP, 0x41) => ("get-channel-access", Action::Read),
        (APP, 0x42) => ("get-channel-info", Action::Read),
        (APP, 0x43) => ("set-user-access", Action::Configuration),
        (APP, 0x44) => ("get-user-access", Action::Read),
        (APP, 0x45) => ("set-user-name", Action::Configuration),
        (APP, 0x46) => ("get-user-name", Action::Read),
        (APP, 0x47) => ("set-user-password", Action::Configuration),
        (APP, 0x48) => ("activate-payload", Action::Session),
        (APP, 0x49) => ("deactivate-payload", Action::Session),
        (APP, 0x54) => ("get-channel-cipher-suites", Action::Identify),
        (0x0a, 0x10) => ("get-fru-inventory-area-info", Action::Identify),
        (0x0a, 0x11) => ("read-fru-data", Action::Identify),
        (0x0a, 0x12) => ("write-fru-data", Action::Write),
        (0x0a, 0x20) => ("get-sdr-repository-info", Action::Read),
        (0x0a, 0x23) => ("get-sdr", Action::Read),
        (0x0a, 0x40) => ("get-sel-info", Action::Read),
        (0x0a, 0x43) => ("get-sel-entry", Action::Read),
        (0x0a, 0x47) => ("clear-sel", Action::Write),
        (0x0c, 0x01) => ("set-lan-configuration-parameters", Action::Configuration),
        (0x0c, 0x02) => ("get-lan-configuration-parameters", Action::Read),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// What a chassis control does.
const fn chassis_control(code: u8) -> Option<(&'static str, Action)> {
    Some(match code & 0x0f {
        0 => ("power-down", Action::Stop),
        1 => ("power-up", Action::Start),
        2 => ("power-cycle", Action::Reset),
        3 => ("hard-reset", Action::Reset),
        4 => ("diagnostic-interrupt", Action::Control),
        5 => ("soft-shutdown", Action::Stop),
        _ => return None,
    })
}

/// A message between console and controller.
struct Message<'a> {
    function: u8,
    number: u8,
    command: u8,
    /// Network function and command.
    code: &'a [u8],
    data: &'a [u8],
}

fn checksum_fits(bytes: &[u8]) -> bool {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

fn message(payload: &[u8]) -> Option<Message<'_>> {
    let (head, rest) = payload.split_at_checked(3)?;
    if !checksum_fits(head) || !checksum_fits(rest) {
        return None;
    }
    let [_address, function, _] = head else { return None };
    let [_from, number, command, ..] = rest else { return None };
    let data = rest.get(3..rest.len().checked_sub(1)?)?;
    Some(Message {
        function: function >> 2,
        number: *number,
        command: *command,
        code: part_at(payload, 1, 5),
        data,
    })
}

/// What an RMCP datagram holds.
enum Content<'a> {
    Ping,
    Pong(&'a [u8]),
    /// Type of the payload, and the payload; none where it is encrypted.
    Payload(u8, Option<&'a [u8]>),
    /// The header of a session that does not fit.
    Broken,
}

fn content(bytes: &[u8]) -> Option<Content<'_>> {
    let mut cursor = Cursor::new(bytes);
    let (version, reserved) = (cursor.u8().ok()?, cursor.u8().ok()?);
    let _sequence = cursor.u8().ok()?;
    let class = cursor.u8().ok()?;
    if version != RMCP || reserved != 0 {
        return None;
    }
    match class {
        ASF => {
            let (number, kind) = (cursor.u32_be().ok()?, cursor.u8().ok()?);
            let _tag = cursor.u8().ok()?;
            let _reserved = cursor.u8().ok()?;
            let length = cursor.u8().ok()?;
            if number != ASF_NUMBER {
                return None;
            }
            let data = cursor.take(usize::from(length)).ok()?;
            match kind {
                PING => Some(Content::Ping),
                PONG => Some(Content::Pong(data)),
                _ => None,
            }
        }
        IPMI => Some(session(&mut cursor).unwrap_or(Content::Broken)),
        _ => None,
    }
}

fn session<'a>(cursor: &mut Cursor<'a>) -> Option<Content<'a>> {
    let kind = cursor.u8().ok()?;
    if kind == RMCP_PLUS {
        let flags = cursor.u8().ok()?;
        if flags & 0x3f == 2 {
            cursor.skip(6).ok()?;
        }
        cursor.skip(8).ok()?;
        let length = cursor.u16_le().ok()?;
        let payload = cursor.take(usize::from(length)).ok()?;
        let is_open = flags & 0x80 == 0;
        return Some(Content::Payload(flags & 0x3f, is_open.then_some(payload)));
    }
    if !matches!(kind, 0 | 1 | 2 | 4 | 5) {
        return None;
    }
    cursor.skip(8).ok()?;
    if kind != 0 {
        cursor.skip(16).ok()?;
    }
    let length = cursor.u8().ok()?;
    let payload = cursor.take(usize::from(length)).ok()?;
    Some(Content::Payload(0, Some(payload)))
}

fn probe(input: &Input<'_>) -> Probe {
    match content(input.bytes) {
        Some(Content::Ping | Content::Pong(_)) => Probe::Certain,
        Some(Content::Payload(0, Some(payload))) if message(payload).is_some() => Probe::Certain,
        Some(Content::Payload(0, Some(_)) | Content::Broken) | None => Probe::No,
        Some(Content::Payload(..)) => Probe::Likely,
    }
}

/// A flow that carries IPMI.
struct Ipmi {
    client_said: bool,
    /// By sender, sequence number with responder's LUN, and command.
    pending: Pending<(Side, u8, u8), Operation>,
    /// An open session or RAKP message that waits.
    handshake: Option<Operation>,
    user: CompactString,
    user_at: Spans,
}

impl Ipmi {
    fn new() -> Self {
        Self {
            client_said: false,
            pending: Pending::new(WAITING),
            handshake: None,
            user: CompactString::const_new(""),
            user_at: Spans::new(),
        }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(side));
        }
    }

    fn request(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        self.say_client(input.side, out);
        let key = (input.side, message.number, message.command);
        // Consoles send again what is not answered.
        if self.pending.get_mut(&key).is_some() {
            return;
        }
        let mut words = command(message.function, message.command);
        if (message.function, message.command) == (CHASSIS, CHASSIS_CONTROL)
            && let Some(control) = message.data.first().copied().and_then(chassis_control)
        {
            words = control;
        }
        let mut operation = input.operation(NAME, input.side, words, message.code);
        operation.code = Some(u32::from(message.function) << 8 | u32::from(message.command));
        if let Some(evicted) = self.pending.insert(key, operation) {
            out.operation(evicted);
        }
    }

    fn response(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        let Some((&completion, data)) = message.data.split_first() else { return };
        self.say_client(input.side.other(), out);
        if completion == 0 && (message.function, message.command) == (APP | 1, GET_DEVICE_ID) {
            device(input, data, out);
        }
        let key = (input.side.other(), message.number, message.command);
        if let Some(mut operation) = self.pending.take(&key) {
            operation.outcome = if completion == 0 { Outcome::Ok } else { Outcome::Error };
            out.operation(operation);
        }
    }

    /// Messages that agree on a session.
    fn agreement(&mut self, input: &Input<'_>, kind: u8, payload: &[u8], out: &mut Out) {
        let words = match kind {
            0x10 => ("open-session", Action::Session),
            RAKP_1 => ("rakp-1", Action::Authenticate),
            RAKP_3 => ("rakp-3", Action::Authenticate),
            0x11 | RAKP_2 | RAKP_4 => {
                let status = payload.get(1).copied().unwrap_or_default();
                let outcome = if status == 0 { Outcome::Ok } else { Outcome::Error };
                if let Some(mut operation) = self.handshake.take() {
                    operation.outcome = outcome;
                    out.operation(operation);
                }
                let event = match (kind, status) {
                    (RAKP_4, 0) => Some("login"),
                    // Unauthorized name; invalid integrity check value.
                    (RAKP_2 | RAKP_4, 0x0d | 0x0f) => Some("login-failed"),
                    _ => None,
                };
                if let Some(event) = event {
                    out.push(Item::Event(Event {
                        kind: event,
                        protocol: NAME,
                        sender: input.side.other(),
                        values: vec![("user", self.user.clone())],
                        evidence: std::mem::take(&mut self.user_at),
                    }));
                }
                return;
            }
            _ => return,
        };
        self.say_client(input.side, out);
        if kind == RAKP_1 {
            // Tag, reserved, session id, random number, role, reserved, then the name.
            let length = usize::from(payload.get(27).copied().unwrap_or_default());
            let name = part_at(payload, 28, length.min(16));
            self.user = text::utf8(text::trim(name));
            self.user_at = input.locate(name);
        }
        let operation = input.operation(NAME, input.side, words, part_at(payload, 0, 1));
        if let Some(unanswered) = self.handshake.replace(operation) {
            out.operation(unanswered);
        }
    }
}

/// What a controller tells of itself.
fn device(input: &Input<'_>, data: &[u8], out: &mut Out) {
    let told_in = (NAME, "get-device-id");
    let [_id, _revision, major, minor, _version, _support, a, b, c, d, e, ..] = data else {
        return;
    };
    let version = part_at(data, 2, 2);
    let said = compact_str::format_compact!("{}.{:02x}", major & 0x7f, minor);
    out.claim(input.own_claim(told_in, "firmware", said, version, Decode::Derived));
    let number = u32::from_le_bytes([*a, *b, *c, 0]) & 0x000f_ffff;
    let said = compact_str::format_compact!("{number}");
    let evidence = part_at(data, 6, 3);
    out.claim(input.own_claim(told_in, "vendor_id", said, evidence, Decode::Derived));
    let product = u16::from_le_bytes([*d, *e]);
    let said = compact_str::format_compact!("{product}");
    let evidence = part_at(data, 9, 2);
    out.claim(input.own_claim(told_in, "ipmi_product_id", said, evidence, Decode::UnsignedLe));
}

impl Session for Ipmi {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let Some(content) = content(input.bytes) else { return input.bytes.len() };
        out.layer(NAME, input.side);
        match content {
            Content::Ping => {
                self.say_client(input.side, out);
                let words = ("presence-ping", Action::Identify);
                let mut operation =
                    input.operation(NAME, input.side, words, part_at(input.bytes, 8, 1));
                operation.object = Object::None;
                operation.outcome = Outcome::None;
                out.operation(operation);
            }
            Content::Pong(data) => {
                let number = part_at(data, 0, 4);
                if let Some(bytes) = number.as_array::<4>()
                    && *bytes != ASF_NUMBER.to_be_bytes()
                {
                    let said = compact_str::format_compact!("{}", u32::from_be_bytes(*bytes));
                    let (told_in, decode) = ((NAME, "presence-pong"), Decode::UnsignedBe);
                    out.claim(input.own_claim(told_in, "vendor_id", said, number, decode));
                }
            }
            Content::Payload(0, Some(payload)) => match message(payload) {
                Some(message) if message.function & 1 == 0 => self.request(input, &message, out),
                Some(message) => self.response(input, &message, out),
                None if !input.truncated => {
                    out.push(input.violation(NAME, "ipmi-message", part_at(payload, 0, 8)));
                }
                None => {}
            },
            Content::Payload(kind, Some(payload)) => self.agreement(input, kind, payload, out),
            Content::Payload(_, None) => out.push(Item::NotDecoded(NAME, "encrypted")),
            Content::Broken if !input.truncated => {
                out.push(input.violation(NAME, "ipmi-message", part_at(input.bytes, 0, 8)));
            }
            Content::Broken => {}
        }
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        for operation in self.handshake.take().into_iter().chain(self.pending.drain()) {
            out.operation(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
    }

    /// A message of IPMI 1.5 without authentication.
    fn message(function: u8, number: u8, command: u8, data: &[u8]) -> Vec<u8> {
        let head = [0x20, function << 2];
        let tail = [&[0x81, number, command][..], data].concat();
        let payload = [&head[..], &[sum(&head)], &tail, &[sum(&tail)]].concat();
        let mut bytes = vec![6, 0, 0xff, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.push(payload.len() as u8);
        bytes.extend(payload);
        bytes
    }

    fn plus(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![6, 0, 0xff, 7, 6, kind, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend((payload.len() as u16).to_le_bytes());
        bytes.extend(payload);
        bytes
    }

    fn rakp_1(user: &str) -> Vec<u8> {
        let mut payload = vec![0; 27];
        payload.push(user.len() as u8);
        payload.extend(user.as_bytes());
        plus(RAKP_1, &payload)
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        // Completion, id, revision, firmware 2.45, IPMI 2.0, support, maker 674, product 0x0100.
        let id = [0, 0x20, 0x81, 2, 0x45, 2, 0xdf, 0xa2, 2, 0, 0, 1, 0, 0, 0, 0];
        vec![
            (Side::A, vec![6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, PING, 0, 0, 0]),
            (Side::A, message(APP, 4, GET_DEVICE_ID, &[])),
            (Side::A, message(APP, 4, GET_DEVICE_ID, &[])),
            (Side::B, message(APP | 1, 4, GET_DEVICE_ID, &id)),
            (Side::A, rakp_1("admin")),
            (Side::B, plus(RAKP_2, &[0, 0x0d, 0, 0])),
            (Side::A, message(CHASSIS, 8, CHASSIS_CONTROL, &[0])),
            (Side::B, message(CHASSIS | 1, 8, CHASSIS_CONTROL, &[0xd4])),
            (Side::A, plus(0xc0, &[1; 16])),
        ]
    }

    fn messages(parts: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let parts: Vec<_> = parts.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::items(&PROTOCOL, &parts)
    }

    #[test]
    fn commands_are_operations_with_their_completion() {
        let told: Vec<_> = testing::coded_operations(&messages(&conversation()))
            .into_iter()
            .map(|(name, code, _, outcome)| (name, code, outcome))
            .collect();
        assert_eq!(
            vec![
                ("presence-ping", None, Outcome::None),
                ("get-device-id", Some(0x0601), Outcome::Ok),
                ("rakp-1", None, Outcome::Error),
                ("power-down", Some(2), Outcome::Error),
            ],
            told
        );
    }

    #[test]
    fn the_controller_tells_what_it_is() {
        let claims = testing::claims(&messages(&conversation()));
        assert_eq!(
            vec![
                ("firmware", "2.45".to_owned()),
                ("vendor_id", "674".to_owned()),
                ("ipmi_product_id", "256".to_owned()),
            ],
            claims
        );
    }

    #[test]
    fn a_refused_log_in_names_its_user() {
        let items = messages(&conversation());
        let events = testing::events(&items);
        assert_eq!(("login-failed", "admin"), (events[0].kind, events[0].values[0].1.as_str()));
        assert!(items.contains(&Item::NotDecoded(NAME, "encrypted")));
    }

    #[test]
    fn a_wrong_checksum_is_a_violation() {
        let mut broken = message(APP, 4, GET_DEVICE_ID, &[]);
        *broken.last_mut().unwrap() ^= 1;
        let items = messages(&[(Side::A, broken)]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "ipmi-message")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let all = conversation();
        for (at, expected) in [(0, Probe::Certain), (1, Probe::Certain), (4, Probe::Likely)] {
            assert_eq!(expected, testing::probe(&PROTOCOL, (Side::A, &all[at].1)), "message {at}");
        }
        for bytes in [&b"\x06\0\x01\x02abcdefgh"[..], &[6; 40], b"\x06\0\xff\x07"] {
            assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, bytes)));
        }
    }

    #[test]
    fn survives_hostile_bytes() {
        let all = conversation();
        let parts: Vec<_> = all.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &parts);
    }
}
