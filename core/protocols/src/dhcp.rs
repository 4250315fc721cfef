//! DHCP for IPv4, and BOOTP that it grew from.
//!
//! Sources: RFC 951 and RFC 2131 §2 (message format), RFC 2132 (options; §9.3 option overload, §9.6
//! message types, §9.14 client identifier), RFC 3396 (long options in several parts), RFC 3046
//! (relay agent), RFC 4702 (full name), RFC 3203/4388/6926/7724 (message types above 8). Option 55, the list of options a client asks for, is taken as its fingerprint in
//! decimal as the client sent it.
//!
//! Violations: `dhcp-header` (fewer than 236 bytes, operation not 1 or 2, hardware address longer
//! than 16), `dhcp-option` (an option runs over its field).

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use compact_str::{CompactString, format_compact};
use otic_wire::{Address, Cursor, Mac};

use crate::out::{
    Action, Child, Claim, Confidence, Decode, Item, Object, Operation, Out, Outcome, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session};
use crate::text;

/// DHCP for IPv4 and BOOTP.
pub const PROTOCOL: Protocol = Protocol {
    name: "dhcp",
    title: "DHCP",
    roles: ("client", "server"),
    carriers: &[Carrier::Udp(&[67, 68])],
    dissector: Dissector::Built { probe, session: || Box::new(Dhcp::default()) },
    source: "RFC 2131, RFC 2132",
};

const MAGIC: [u8; 4] = [0x63, 0x82, 0x53, 0x63];

const OPTION_HOST_NAME: u8 = 12;
const OPTION_OVERLOAD: u8 = 52;
const OPTION_MESSAGE_TYPE: u8 = 53;
const OPTION_PARAMETERS: u8 = 55;
const OPTION_VENDOR_CLASS: u8 = 60;
const OPTION_CLIENT_ID: u8 = 61;
const OPTION_FULL_NAME: u8 = 81;
const OPTION_RELAY: u8 = 82;

/// Flag E of option 81: the name is in DNS's form, not text.
const FULL_NAME_ENCODED: u8 = 4;

/// The message type's name, its class, and whether the client sends it (RFC 2132 §9.6 and later).
const fn operation_of(kind: u8) -> (&'static str, Action, bool) {
    match kind {
        1 => ("discover", Action::Session, true),
        2 => ("offer", Action::Session, false),
        3 => ("request", Action::Session, true),
        4 => ("decline", Action::Session, true),
        5 => ("ack", Action::Session, false),
        6 => ("nak", Action::Session, false),
        7 => ("release", Action::Session, true),
        8 => ("inform", Action::Session, true),
        9 => ("force-renew", Action::Session, false),
        10 => ("lease-query", Action::Read, true),
        11 => ("lease-unassigned", Action::Read, false),
        12 => ("lease-unknown", Action::Read, false),
        13 => ("lease-active", Action::Read, false),
        14 => ("bulk-lease-query", Action::Read, true),
        15 => ("lease-query-done", Action::Read, false),
        16 => ("active-lease-query", Action::Read, true),
        17 => ("lease-query-status", Action::Read, false),
        18 => ("tls", Action::Session, true),
        _ => ("unknown", Action::Session, true),
    }
}

struct Message<'a> {
    from_client: bool,
    id: u32,
    hardware: Option<(Mac, &'a [u8])>,
    ciaddr: &'a [u8],
    yiaddr: &'a [u8],
    sname: &'a [u8],
    file: &'a [u8],
    options: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let operation = cursor.u8().ok()?;
        let (hardware_type, hardware_length) = (cursor.u8().ok()?, cursor.u8().ok()?);
        if !matches!(operation, 1 | 2) || hardware_length > 16 {
            return None;
        }
        cursor.skip(1).ok()?; // hops
        let id = cursor.u32_be().ok()?;
        cursor.skip(4).ok()?; // secs, flags
        let ciaddr = cursor.take(4).ok()?;
        let yiaddr = cursor.take(4).ok()?;
        cursor.skip(8).ok()?; // siaddr, giaddr
        let chaddr = cursor.take(16).ok()?;
        let sname = cursor.take(64).ok()?;
        let file = cursor.take(128).ok()?;
        let options = match cursor.array() {
            Ok(MAGIC) => Some(cursor.rest()),
            _ => None,
        };
        let hardware = chaddr.first_chunk::<6>().copied().map(Mac).filter(|mac| {
            // Hardware type 1 is Ethernet; a group address is nobody's own.
            hardware_type == 1 && hardware_length == 6 && !mac.is_group() && !mac.is_zero()
        });
        let hardware = hardware.zip(chaddr.get(..6));
        Some(Self {
            from_client: operation == 1,
            id,
            hardware,
            ciaddr,
            yiaddr,
            sname,
            file,
            options,
        })
    }
}

/// The options that matter here.
#[derive(Default)]
struct Options<'a> {
    kind: Option<u8>,
    overload: u8,
    host_name: &'a [u8],
    vendor_class: &'a [u8],
    parameters: &'a [u8],
    full_name: &'a [u8],
    client_id: &'a [u8],
    relay: &'a [u8],
}

impl<'a> Options<'a> {
    /// Reads one options field; an option that runs over its end is an error.
    fn read(&mut self, field: &'a [u8]) -> Result<(), ()> {
        let mut cursor = Cursor::new(field);
        while let Ok(code) = cursor.u8() {
            if code == 0 {
                continue;
            }
            if code == 255 {
                break;
            }
            let length = cursor.u8().map_err(|_| ())?;
            let value = cursor.take(usize::from(length)).map_err(|_| ())?;
            match code {
                OPTION_MESSAGE_TYPE => self.kind = value.first().copied(),
                OPTION_OVERLOAD => self.overload |= value.first().copied().unwrap_or_default(),
                OPTION_HOST_NAME => self.host_name = value,
                OPTION_VENDOR_CLASS => self.vendor_class = value,
                OPTION_PARAMETERS => self.parameters = value,
                OPTION_FULL_NAME => self.full_name = value,
                OPTION_CLIENT_ID => self.client_id = value,
                OPTION_RELAY => self.relay = value,
                _ => {}
            }
        }
        Ok(())
    }
}

fn probe(input: &Input<'_>) -> Probe {
    match Message::read(input.bytes) {
        Some(message) if message.options.is_some() => Probe::Certain,
        // BOOTP without a vendor field is little more than its first byte.
        Some(_) => Probe::Weak,
        None => Probe::No,
    }
}

struct Dhcp {
    pending: Pending<u32, Operation>,
    answered: Option<u32>,
    client_told: bool,
}

impl Default for Dhcp {
    fn default() -> Self {
        Self { pending: Pending::new(128), answered: None, client_told: false }
    }
}

impl Dhcp {
    fn operate(
        &mut self,
        input: &Input<'_>,
        message: &Message<'_>,
        options: &Options<'_>,
        out: &mut Out,
    ) -> &'static str {
        let (name, action, from_client) = match options.kind {
            Some(kind) => operation_of(kind),
            None if message.from_client => ("bootp-request", Action::Session, true),
            None => ("bootp-reply", Action::Session, false),
        };
        let operation = |name, action, sender, outcome| Operation {
            protocol: PROTOCOL.name,
            connection: PROTOCOL.name,
            sender,
            code: None,
            name,
            action,
            object: Object::None,
            outcome,
            client_child: Child::None,
            server_child: Child::None,
            evidence: input.locate(input.bytes),
            ts_ns: input.ts_ns,
        };
        if !self.client_told && name != "force-renew" {
            self.client_told = true;
            out.push(Item::Client(if message.from_client {
                input.side
            } else {
                input.side.other()
            }));
        }
        if message.from_client && from_client {
            let to_all = input.destination.is_group() || input.source.is_none();
            // A reply to a broadcast goes to another address: nothing to wait for in this flow.
            // Release and decline are never answered (RFC 2131 §4.4.4, §4.3.3).
            if to_all || matches!(name, "release" | "decline") {
                out.operation(operation(name, action, input.side, Outcome::None));
            } else {
                if self.answered == Some(message.id) {
                    self.answered = None;
                }
                let waiting = operation(name, action, input.side, Outcome::Unseen);
                if let Some(evicted) = self.pending.insert(message.id, waiting) {
                    out.operation(evicted);
                }
            }
            return name;
        }
        if name == "force-renew" {
            out.operation(operation(name, action, input.side, Outcome::None));
            return name;
        }
        let outcome = if matches!(name, "nak") { Outcome::Error } else { Outcome::Ok };
        let mut paired = false;
        while let Some(mut asked) = self.pending.take(&message.id) {
            paired = true;
            asked.outcome = outcome;
            out.operation(asked);
        }
        if !paired && self.answered != Some(message.id) {
            let asked = match name {
                "offer" => "discover",
                "ack" | "nak" => "request",
                "bootp-reply" => "bootp-request",
                "lease-unassigned" | "lease-unknown" | "lease-active" => "lease-query",
                "lease-query-done" | "lease-query-status" => "bulk-lease-query",
                other => other,
            };
            out.unpaired(operation(asked, action, input.side.other(), outcome));
        }
        self.answered = Some(message.id);
        name
    }
}

/// What a client says of itself, for relayed messages too: there the sender is the relay, so the
/// hardware address in the message is named.
fn claims(
    input: &Input<'_>,
    message: &Message<'_>,
    options: &Options<'_>,
    name: &'static str,
    out: &mut Out,
) {
    let relayed = input.source_port == 67;
    let who = match message.hardware {
        Some((mac, _)) if relayed => Who::Address(Address::Mac(mac), Child::None),
        None if relayed => return,
        _ => Who::Sender(Child::None),
    };
    let mut claim = |attribute, value: CompactString, part: &[u8], decode| {
        out.claim(Claim {
            who: who.clone(),
            attribute,
            value,
            protocol: PROTOCOL.name,
            message: name,
            confidence: Confidence::High,
            evidence: input.evidence(part, decode),
        });
    };
    let host = text::trim(options.host_name);
    claim("name", text::utf8(host), host, Decode::Utf8);
    let class = text::trim(options.vendor_class);
    claim("dhcp_vendor_class", text::utf8(class), class, Decode::Utf8);
    let mut dotted = CompactString::default();
    for (at, parameter) in options.parameters.iter().enumerate() {
        if at > 0 {
            dotted.push('.');
        }
        dotted.push_str(&format_compact!("{parameter}"));
    }
    claim("dhcp_fingerprint", dotted, options.parameters, Decode::Dotted);
    // Flags and two codes of old, then the name as text or, with flag E, in DNS's form (RFC 4702 §2).
    if let [flags, _, _, full_name @ ..] = options.full_name
        && flags & FULL_NAME_ENCODED == 0
    {
        let full_name = text::trim(full_name);
        claim("dns_name", text::utf8(full_name), full_name, Decode::Utf8);
    }
    claim("dhcp_client_id", hex(options.client_id), options.client_id, Decode::Hex);
    // What a relay adds: the port that the client is at, and the relay's name for it (RFC 3046 §2.0).
    let mut relay = Cursor::new(options.relay);
    while let (Ok(code), Ok(length)) = (relay.u8(), relay.u8()) {
        let Ok(value) = relay.take(usize::from(length)) else { break };
        let attribute = match code {
            1 => "dhcp_circuit_id",
            2 => "dhcp_remote_id",
            _ => continue,
        };
        if text::is_printable(value) {
            claim(attribute, text::utf8(value), value, Decode::Utf8);
        } else {
            claim(attribute, hex(value), value, Decode::Hex);
        }
    }
}

fn hex(bytes: &[u8]) -> CompactString {
    bytes.iter().fold(CompactString::default(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The hardware address and the IP it was given, or says it holds.
fn binding(input: &Input<'_>, message: &Message<'_>, name: &'static str, out: &mut Out) {
    let Some((mac, mac_bytes)) = message.hardware else { return };
    let held = match name {
        "ack" | "bootp-reply" if message.yiaddr != [0; 4] => message.yiaddr,
        // An ACK to INFORM leaves yiaddr empty and repeats the client's own address.
        "ack" | "request" | "inform" => message.ciaddr,
        _ => return,
    };
    let Ok(ip) = <[u8; 4]>::try_from(held).map(Ipv4Addr::from) else { return };
    if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
        return;
    }
    let mut evidence = input.locate(mac_bytes);
    evidence.extend(input.locate(held));
    out.push(Item::Binding {
        mac,
        ip: Address::from(ip),
        protocol: PROTOCOL.name,
        message: name,
        evidence,
    });
}

impl Session for Dhcp {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        out.layer(PROTOCOL.name, input.side);
        let violation = |rule, part| input.violation(PROTOCOL.name, rule, part);
        let Some(message) = Message::read(input.bytes) else {
            if !input.truncated {
                out.push(violation("dhcp-header", input.bytes));
            }
            return input.bytes.len();
        };
        let mut options = Options::default();
        let field = message.options.unwrap_or_default();
        let mut read = options.read(field);
        // Option 52: 1 the file field, 2 the server name, 3 both hold options (RFC 2132 §9.3).
        if options.overload & 1 != 0 {
            read = read.and(options.read(message.file));
        }
        if options.overload & 2 != 0 {
            read = read.and(options.read(message.sname));
        }
        if read.is_err() && !input.truncated {
            out.push(violation("dhcp-option", field));
        }
        let name = self.operate(input, &message, &options, out);
        if message.from_client {
            claims(input, &message, &options, name, out);
        }
        binding(input, &message, name, out);
        input.bytes.len()
    }

    fn finish(&mut self, out: &mut Out) {
        for operation in self.pending.drain() {
            out.operation(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Side;
    use crate::testing;

    fn message(operation: u8, ciaddr: [u8; 4], yiaddr: [u8; 4], options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![operation, 1, 6, 0]; // Ethernet, 6-byte address, no hops
        bytes.extend([0xde, 0xad, 0, 1]); // transaction id
        bytes.extend([0, 0, 0, 0]); // secs, flags
        bytes.extend(ciaddr);
        bytes.extend(yiaddr);
        bytes.extend([0; 8]); // siaddr, giaddr
        bytes.extend([2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // chaddr
        bytes.extend([0; 64]); // sname
        bytes.extend([0; 128]); // file
        bytes.extend(MAGIC);
        bytes.extend(options);
        bytes
    }

    fn request() -> Vec<u8> {
        let mut options = vec![53, 1, 3]; // request
        options.extend([12, 5]);
        options.extend(b"plc-7"); // host name
        options.extend([60, 8]);
        options.extend(b"udhcp 1\0"); // vendor class
        options.extend([55, 3, 1, 3, 6]); // asks for mask, router, name server
        options.extend([61, 7, 1, 2, 0, 0, 0, 0, 1]); // client id
        options.extend([81, 14, 0, 0, 0]); // full name
        options.extend(b"plc-7.plant");
        options.extend([82, 12, 1, 5]); // relay: circuit, remote
        options.extend(b"Gi0/5");
        options.extend([2, 3, 0, 6, 2, 255]);
        message(1, [192, 0, 2, 1], [0; 4], &options)
    }

    fn ack() -> Vec<u8> {
        message(2, [0; 4], [192, 0, 2, 1], &[53, 1, 5, 255])
    }

    #[test]
    fn a_renewal_is_one_operation_that_names_and_binds_the_client() {
        let (request, ack) = (request(), ack());
        let talk = [(Side::A, request.as_slice()), (Side::B, ack.as_slice())];
        let items = testing::items(&PROTOCOL, &talk);
        let operations: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(o) => Some((o.name, o.sender, o.outcome)),
                _ => None,
            })
            .collect();
        assert_eq!(vec![("request", Side::A, Outcome::Ok)], operations);
        let claims: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Claim(c) => Some((c.attribute, c.value.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(
            vec![
                ("name", "plc-7"),
                ("dhcp_vendor_class", "udhcp 1"),
                ("dhcp_fingerprint", "1.3.6"),
                ("dns_name", "plc-7.plant"),
                ("dhcp_client_id", "01020000000001"),
                ("dhcp_circuit_id", "Gi0/5"),
                ("dhcp_remote_id", "000602")
            ],
            claims
        );
        let bindings: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Binding { message, evidence, .. } => Some((*message, evidence.len())),
                _ => None,
            })
            .collect();
        assert_eq!(vec![("request", 2), ("ack", 2)], bindings);
        testing::survives(&PROTOCOL, &talk);
    }

    #[test]
    fn options_may_continue_in_the_file_field() {
        let mut bytes = message(1, [0; 4], [0; 4], &[53, 1, 1, 52, 1, 1, 255]); // overload: file
        bytes[108..116].copy_from_slice(&[12, 4, b'd', b'r', b'v', b'1', 255, 0]);
        let items = testing::items(&PROTOCOL, &[(Side::A, &bytes)]);
        assert!(items.iter().any(|item| matches!(item, Item::Claim(c) if c.value == "drv1")));
    }

    #[test]
    fn an_option_over_the_end_is_a_violation() {
        let bytes = message(1, [0; 4], [0; 4], &[53, 1, 1, 12, 200, b'x']);
        let items = testing::items(&PROTOCOL, &[(Side::A, &bytes)]);
        assert!(items.iter().any(|i| matches!(i, Item::Violation(v) if v.rule == "dhcp-option")));
    }

    #[test]
    fn the_magic_cookie_makes_it_certain() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &request())));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &[7; 300])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &request()[..100])));
    }
}
