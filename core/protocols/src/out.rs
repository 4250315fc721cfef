//! What a dissector can say: the items it pushes into [`Out`].

use std::hash::{Hash, Hasher};

use compact_str::{CompactString, ToCompactString};
use otic_wire::{Address, Mac, Spans};

use crate::sequence::{Counter, Numbered};
use crate::session::{Input, Side};

/// Message of a binding of a redundancy group's MAC with the own IP of one of its members.
pub const MEMBER: &str = "member";

/// How evidence bytes are read to give the value again (contracts.md §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decode {
    /// ASCII (or Latin-1) text.
    Ascii,
    /// UTF-8 text; bytes that are none become U+FFFD.
    Utf8,
    /// UTF-16, little-endian.
    Utf16Le,
    /// UTF-16, big-endian.
    Utf16Be,
    /// Unsigned integer of 1, 2, 3, 4 or 8 bytes (the length of the spans), big-endian, decimal.
    UnsignedBe,
    /// The same, little-endian.
    UnsignedLe,
    /// A 4-byte big-endian number written `0x%08x`.
    Hex32Be,
    /// A 4-byte little-endian number written `0x%08x`.
    Hex32Le,
    /// The bytes in lower-case hexadecimal without separator.
    Hex,
    /// Each byte in decimal, joined by dots (`20.11`).
    Dotted,
    /// Packed decimal digits, high nibble first.
    Bcd,
    /// 6 bytes, `aa:bb:cc:dd:ee:ff`.
    Mac,
    /// 4 or 16 bytes of an IP address.
    Ip,
    /// Length-prefixed DNS labels joined by dots (RFC 1035 §3.1), compression already followed.
    DnsName,
    /// A NetBIOS name in first-level encoding (RFC 1001 §14.1), padding removed.
    NbnsName,
    /// An ASN.1 object identifier's content bytes (X.690 §8.19), dotted decimal.
    Oid,
    /// The value follows from the cited bytes by a rule or a table row named in the docs.
    Derived,
}

impl Decode {
    /// The name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ascii => "ascii",
            Self::Utf8 => "utf-8",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
            Self::UnsignedBe => "unsigned-be",
            Self::UnsignedLe => "unsigned-le",
            Self::Hex32Be => "hex32be",
            Self::Hex32Le => "hex32le",
            Self::Hex => "hex",
            Self::Dotted => "dotted",
            Self::Bcd => "bcd",
            Self::Mac => "mac",
            Self::Ip => "ip",
            Self::DnsName => "dns-name",
            Self::NbnsName => "nbns-name",
            Self::Oid => "oid",
            Self::Derived => "derived",
        }
    }
}

/// The frame bytes a statement was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Frame bytes in reading order.
    pub spans: Spans,
    /// How they give the value.
    pub decode: Decode,
}

/// What kind of act an operation is (design.md §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are the field's own words")]
pub enum Action {
    Read,
    Write,
    Control,
    Start,
    Stop,
    Reset,
    Mode,
    ProgramUpload,
    ProgramDownload,
    Firmware,
    Configuration,
    Diagnostics,
    Identify,
    Authenticate,
    File,
    Subscribe,
    Session,
}

impl Action {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Read,
        Self::Write,
        Self::Control,
        Self::Start,
        Self::Stop,
        Self::Reset,
        Self::Mode,
        Self::ProgramUpload,
        Self::ProgramDownload,
        Self::Firmware,
        Self::Configuration,
        Self::Diagnostics,
        Self::Identify,
        Self::Authenticate,
        Self::File,
        Self::Subscribe,
        Self::Session,
    ];

    /// The name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Control => "control",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Reset => "reset",
            Self::Mode => "mode",
            Self::ProgramUpload => "program-upload",
            Self::ProgramDownload => "program-download",
            Self::Firmware => "firmware",
            Self::Configuration => "configuration",
            Self::Diagnostics => "diagnostics",
            Self::Identify => "identify",
            Self::Authenticate => "authenticate",
            Self::File => "file",
            Self::Subscribe => "subscribe",
            Self::Session => "session",
        }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A positive response was seen.
    Ok,
    /// A negative response was seen (exception, error class, abort, reject).
    Error,
    /// A response was due but not seen.
    Unseen,
    /// The message needs no response.
    None,
}

impl Outcome {
    /// The name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Unseen => "unseen",
            Self::None => "none",
        }
    }
}

/// Whether two names of the program are equal. They mostly are the same text in memory, which is
/// cheaper to see than that all letters are equal, and names are compared for every message.
#[inline]
#[must_use]
pub fn same_name(a: &'static str, b: &'static str) -> bool {
    std::ptr::eq(a, b) || same_letters(a, b)
}

#[cold]
fn same_letters(a: &str, b: &str) -> bool {
    a == b
}

/// A child address behind an endpoint; grammar `<kind> <value>`, nested by `/` (contracts.md §7).
#[derive(Debug, Clone, Eq, Default)]
pub enum Child {
    /// The endpoint itself.
    #[default]
    None,
    /// A kind and a number: `modbus-unit 3`, `dnp3 10`.
    Number(&'static str, u32),
    /// Anything else, whole: `cip-slot 1/4`, `bacnet 26001:0x0b`.
    Text(CompactString),
}

impl Child {
    /// The child address as text; empty for the endpoint itself.
    #[must_use]
    pub fn to_text(&self) -> CompactString {
        match self {
            Self::None => CompactString::const_new(""),
            Self::Number(kind, number) => compact_str::format_compact!("{kind} {number}"),
            Self::Text(text) => text.clone(),
        }
    }
}

impl PartialEq for Child {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Number(kind, number), Self::Number(other_kind, other)) => {
                number == other && same_name(kind, other_kind)
            }
            (Self::Text(text), Self::Text(other)) => same_letters(text, other),
            _ => false,
        }
    }
}

/// Numbers tell children apart well enough: kinds are left out.
impl Hash for Child {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::None => state.write_u64(u64::MAX),
            Self::Number(_, number) => state.write_u64(u64::from(*number)),
            Self::Text(text) => text.hash(state),
        }
    }
}

/// What an operation acts on. Cheap to build for every message; turned into text only once.
#[derive(Debug, Clone, Eq, Default)]
pub enum Object {
    /// The function has no object.
    #[default]
    None,
    /// A run of numbered items: `holding-register 100-109`; one item: `coil 7`.
    Range {
        /// The items' space.
        space: &'static str,
        /// First item.
        first: u32,
        /// Number of items, at least 1.
        count: u32,
    },
    /// A kind and its parts, joined as `kind p0/p1/p2`; parts a kind does not have are left out.
    /// `class 0x01/1` style spellings use [`Object::Text`].
    Number {
        /// What the number counts.
        kind: &'static str,
        /// The number.
        number: u32,
    },
    /// A run of numbered items in a numbered area: `DB10 dbx 0-9` is area "DB" 10, unit "byte".
    Area {
        /// The area's kind.
        area: &'static str,
        /// The area's number.
        number: u32,
        /// First item.
        first: u32,
        /// Number of items, at least 1.
        count: u32,
    },
    /// A name: tag, file, point, object identifier.
    Text(CompactString),
}

impl PartialEq for Object {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (
                Self::Range { space, first, count },
                Self::Range { space: other_space, first: other_first, count: other_count },
            ) => (first, count) == (other_first, other_count) && same_name(space, other_space),
            (
                Self::Number { kind, number },
                Self::Number { kind: other_kind, number: other_number },
            ) => number == other_number && same_name(kind, other_kind),
            (
                Self::Area { area, number, first, count },
                Self::Area {
                    area: other_area,
                    number: other_number,
                    first: other_first,
                    count: other_count,
                },
            ) => {
                (number, first, count) == (other_number, other_first, other_count)
                    && same_name(area, other_area)
            }
            (Self::Text(text), Self::Text(other)) => same_letters(text, other),
            _ => false,
        }
    }
}

/// Numbers tell objects apart well enough: the names of spaces, kinds and areas are left out.
impl Hash for Object {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        match self {
            Self::None => state.write_u64(u64::MAX),
            Self::Range { first, count, .. } => state.write_u64(pair(*first, *count)),
            Self::Number { number, .. } => state.write_u64(u64::from(*number)),
            Self::Area { number, first, count, .. } => {
                state.write_u64(pair(*first, *count));
                state.write_u64(u64::from(*number));
            }
            Self::Text(text) => text.hash(state),
        }
    }
}

impl Object {
    /// The object as text; empty for none.
    #[must_use]
    pub fn to_text(&self) -> CompactString {
        let run = |first: &u32, count: &u32| {
            if *count > 1 {
                compact_str::format_compact!(
                    "{first}-{}",
                    u64::from(*first) + u64::from(*count) - 1
                )
            } else {
                first.to_compact_string()
            }
        };
        match self {
            Self::None => CompactString::const_new(""),
            Self::Range { space, first, count } => {
                compact_str::format_compact!("{space} {}", run(first, count))
            }
            Self::Number { kind, number } => compact_str::format_compact!("{kind} {number}"),
            Self::Area { area, number, first, count } => {
                compact_str::format_compact!("{area} {number}: {}", run(first, count))
            }
            Self::Text(text) => text.clone(),
        }
    }

    /// The pattern that stands for this object and its like once a connection has used more than
    /// 64 objects with one code (contracts.md §4): thousands of a range, `[*]` for digits in a name.
    #[must_use]
    pub fn pattern(&self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Range { space, first, count } => {
                let (low, high) = thousands(*first, *count);
                Self::Range { space, first: low, count: high }
            }
            Self::Number { kind, .. } => Self::Text(compact_str::format_compact!("{kind} [*]")),
            Self::Area { area, number, .. } => {
                Self::Text(compact_str::format_compact!("{area} {number}: [*]"))
            }
            Self::Text(text) => {
                let mut pattern = CompactString::default();
                let mut in_digits = false;
                for letter in text.chars() {
                    if letter.is_ascii_digit() {
                        if !in_digits {
                            pattern.push_str("[*]");
                        }
                        in_digits = true;
                    } else {
                        in_digits = false;
                        pattern.push(letter);
                    }
                }
                Self::Text(pattern)
            }
        }
    }
}

/// The run of whole thousands that holds `first..first+count`: (first, count).
fn thousands(first: u32, count: u32) -> (u32, u32) {
    let low = first / 1000 * 1000;
    let last = first.saturating_add(count.saturating_sub(1));
    (low, (last / 1000 + 1).saturating_mul(1000).saturating_sub(low))
}

/// One request with its outcome, or one message that needs no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Operation protocol name (contracts.md §10), mostly the connection's protocol.
    pub protocol: &'static str,
    /// Connection protocol it belongs to, where its name differs (`s7comm-userdata` → `s7comm`).
    pub connection: &'static str,
    /// Who sent the request or one-way message.
    pub sender: Side,
    /// The protocol's own numeric code; none where the protocol has none.
    pub code: Option<u32>,
    /// The standard's name of the code; unknown codes are `unknown`.
    pub name: &'static str,
    /// What kind of act it is.
    pub action: Action,
    /// What it acts on.
    pub object: Object,
    /// How it ended.
    pub outcome: Outcome,
    /// Child address of the sender.
    pub client_child: Child,
    /// Child address of the receiver.
    pub server_child: Child,
    /// The bytes of the request (its function code, or the whole message where that is clearer).
    pub evidence: Spans,
    /// Time of the request, nanoseconds since 1970 UTC.
    pub ts_ns: i64,
}

/// Whom a claim is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The sender of the message, or a child behind it.
    Sender(Child),
    /// The receiver of the message, or a child behind it.
    Receiver(Child),
    /// Another address the message names as its own, or a child behind it.
    Address(Address, Child),
}

/// How much a claim proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Guessed from behaviour or a weak hint.
    Low,
    /// Said by another device, or by a text that users can change.
    Medium,
    /// Said by the device about itself in a field made for it.
    High,
}

impl Confidence {
    /// The name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// An attribute of an endpoint, told by one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whom it is about.
    pub who: Who,
    /// Attribute name (contracts.md §10): name, vendor, model, firmware, … or a raw one.
    pub attribute: &'static str,
    /// The value as text, without padding.
    pub value: CompactString,
    /// Protocol of the message.
    pub protocol: &'static str,
    /// Name of the message within the protocol, e.g. `read-device-identification`.
    pub message: &'static str,
    /// How much it proves.
    pub confidence: Confidence,
    /// Decoding these bytes gives [`Self::value`].
    pub evidence: Evidence,
}

/// A value that was written or read.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number (also booleans as 0 and 1).
    Integer(i64),
    /// A real number.
    Real(f64),
    /// Text.
    Text(CompactString),
    /// Bytes whose type the traffic does not tell, in hexadecimal in JSON.
    Bytes(Vec<u8>),
}

/// A write with the old and new value, as far as the traffic showed them.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Operation protocol.
    pub protocol: &'static str,
    /// Connection protocol.
    pub connection: &'static str,
    /// Who wrote.
    pub sender: Side,
    /// Child address of the receiver.
    pub server_child: Child,
    /// What was written, exact.
    pub object: Object,
    /// Value before, where the session saw it read or written.
    pub old: Option<Value>,
    /// Value written.
    pub new: Value,
    /// Bytes of the new value.
    pub evidence: Evidence,
    /// Time of the write.
    pub ts_ns: i64,
}

/// Something that happened once: a failed log-in, a name query, a file transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened, e.g. `login-failed`.
    pub kind: &'static str,
    /// Protocol that showed it.
    pub protocol: &'static str,
    /// Who caused it (the client of the event).
    pub sender: Side,
    /// Distinguishing values, sorted by name; part of the event's key.
    pub values: Vec<(&'static str, CompactString)>,
    /// The bytes it was read from.
    pub evidence: Spans,
}

/// Bytes or order that break the protocol's specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule broken, e.g. `modbus-length`; documented in the dissector.
    pub rule: &'static str,
    /// Protocol.
    pub protocol: &'static str,
    /// Who sent the bytes.
    pub sender: Side,
    /// Distinguishing values, sorted by name; part of the violation's key.
    pub values: Vec<(&'static str, CompactString)>,
    /// The offending bytes.
    pub evidence: Spans,
}

/// Bytes of a rare, rich message that Python reads (certificates, XML, banners).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Protocol.
    pub protocol: &'static str,
    /// What the bytes are, e.g. `x509-certificate`.
    pub kind: &'static str,
    /// Who sent them.
    pub sender: Side,
    /// The bytes, at most 64 KiB.
    pub bytes: Vec<u8>,
    /// Where they stood.
    pub evidence: Spans,
}

/// The sender says that it holds a redundancy group's addresses now, or that it stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holds {
    /// Protocol that keeps the group.
    pub protocol: &'static str,
    /// The group's name: protocol and number.
    pub group: CompactString,
    /// The MAC that the group's members share.
    pub mac: Mac,
    /// The first of the shared IPs, where the message names them: groups of equal number on
    /// different links differ in it.
    pub address: Option<Address>,
    /// The sender gives the addresses up.
    pub leaving: bool,
    /// Without another such message for so long, others may take the addresses, ns.
    pub valid_ns: i64,
    /// The bytes that say so.
    pub evidence: Spans,
}

/// One thing a dissector understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// The bytes read carry this protocol layer (once per frame and protocol; layers nest).
    Layer {
        /// Connection protocol.
        protocol: &'static str,
        /// Who sent the bytes.
        sender: Side,
        /// Child address of the sender.
        source_child: Child,
        /// Child address of the receiver.
        destination_child: Child,
    },
    /// The messages prove who is the client of the flow.
    Client(Side),
    /// The other end may answer the sender of these bytes from a port of its own choice (UDP): the
    /// next flow from it to the sender's port belongs to this session.
    AnswerFromAnyPort,
    /// A request with its outcome, or a one-way message. Boxed, because a request is handed on
    /// several times before its response is seen.
    Operation(Box<Operation>),
    /// A response whose request was not seen; described like the request it answers (`sender` is
    /// the side that would have sent the request). Counted apart.
    Unpaired(Box<Operation>),
    /// An attribute of an endpoint.
    Claim(Claim),
    /// A message proves that a MAC and an IP are interfaces of one machine (the sender's own
    /// addresses in ARP, DHCP, ND) or of one redundancy group; with the message [`MEMBER`], that the
    /// IP's machine is a member of the group that shares the MAC.
    Binding {
        /// The machine's MAC.
        mac: Mac,
        /// The machine's IP.
        ip: Address,
        /// Protocol of the message.
        protocol: &'static str,
        /// Name of the message.
        message: &'static str,
        /// The bytes of both addresses.
        evidence: Spans,
    },
    /// The sender holds a redundancy group's addresses.
    Holds(Holds),
    /// A write with values.
    Change(Change),
    /// Something that happened once.
    Event(Event),
    /// Broken bytes.
    Violation(Violation),
    /// Bytes for Python.
    Payload(Payload),
    /// The session's start was missed and something needed it (coverage, never a violation).
    StartNotSeen(&'static str),
    /// The bytes are of this protocol but could not be read further: encrypted, vendor-private,
    /// fragment lost (coverage); (protocol, cause).
    NotDecoded(&'static str, &'static str),
    /// A numbered message, and what its number says (coverage).
    Numbered(Counter, Numbered),
}

/// Collects what a dissector understood; drained by the engine after each call.
#[derive(Debug, Default)]
pub struct Out {
    /// The items in reading order.
    pub items: Vec<Item>,
    /// What was said of earlier messages, and by which side they were sent: the engine believes it
    /// only now.
    pub earlier: Vec<(Side, Item)>,
}

impl Out {
    /// Says that the bytes read carry `protocol` between the endpoints themselves.
    pub fn layer(&mut self, protocol: &'static str, sender: Side) {
        self.layer_between(protocol, sender, Child::None, Child::None);
    }

    /// Says that the bytes read carry `protocol` between children of the endpoints.
    #[inline]
    pub fn layer_between(
        &mut self,
        protocol: &'static str,
        sender: Side,
        source_child: Child,
        destination_child: Child,
    ) {
        self.make_room();
        if self.items.len() < self.items.capacity() {
            self.items.push(Item::Layer { protocol, sender, source_child, destination_child });
        }
    }

    /// Adds one operation.
    #[inline]
    pub fn operation(&mut self, operation: impl Into<Box<Operation>>) {
        let operation = operation.into();
        self.make_room();
        if self.items.len() < self.items.capacity() {
            self.items.push(Item::Operation(operation));
        }
    }

    /// Adds a response without its request.
    pub fn unpaired(&mut self, operation: impl Into<Box<Operation>>) {
        self.items.push(Item::Unpaired(operation.into()));
    }

    /// Room for one more item. Where the compiler sees that there is room it writes an item in
    /// place, else it moves it there.
    #[inline]
    fn make_room(&mut self) {
        if self.items.len() == self.items.capacity() {
            self.items.reserve(8);
        }
    }

    /// Adds what the number of a message says.
    pub fn numbered(&mut self, counter: Counter, numbered: Numbered) {
        self.items.push(Item::Numbered(counter, numbered));
    }

    /// Adds one claim, unless its value is empty.
    pub fn claim(&mut self, claim: Claim) {
        if !claim.value.is_empty() {
            self.items.push(Item::Claim(claim));
        }
    }

    /// Says that the sender is a member of the redundancy group whose members share this MAC.
    pub fn member(&mut self, input: &Input<'_>, protocol: &'static str, mac: Mac, evidence: Spans) {
        if matches!(input.source, Address::Ip(_)) {
            let ip = input.source;
            self.items.push(Item::Binding { mac, ip, protocol, message: MEMBER, evidence });
        }
    }

    /// Adds any other item.
    pub fn push(&mut self, item: Item) {
        self.items.push(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_read_like_the_field_writes_them() {
        let range = Object::Range { space: "holding-register", first: 100, count: 10 };
        assert_eq!("holding-register 100-109", range.to_text());
        assert_eq!("holding-register 0-999", range.pattern().to_text());
        let tag = Object::Text("Line12.Motor[3]".into());
        assert_eq!("Line[*].Motor[[*]]", tag.pattern().to_text());
        assert_eq!("modbus-unit 3", Child::Number("modbus-unit", 3).to_text());
    }

    #[test]
    fn a_pattern_near_the_top_of_the_number_range_does_not_overflow() {
        let range = Object::Range { space: "register", first: u32::MAX, count: u32::MAX };
        assert!(!range.pattern().to_text().is_empty());
        assert!(!range.to_text().is_empty());
    }
}
