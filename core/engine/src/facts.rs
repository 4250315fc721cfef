//! The facts that cross into Python and into the journal.
//!
//! Every type is written as a MessagePack array of its fields in the order they stand here
//! (`rmp-serde`'s default); `src/otic/facts.py` holds the same types and a test keeps both equal.
//! Ids are the first 16 bytes of BLAKE3 over a canonical key (contracts.md §1, [`crate::keys`]).

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Serialize;
use smallvec::SmallVec;

pub use crate::lanes::Lane;

/// Version of this schema; a reader refuses a newer one.
pub const SCHEMA: u8 = 1;

/// A fact's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(pub [u8; 16]);

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

/// A run of bytes of one captured frame: (file ordinal, frame number from 1, offset, length).
pub type Span = (u32, u64, u32, u32);

/// Writes spans as one byte string, 20 bytes a span, each number big-endian: bytes compare like the
/// spans themselves, and a reader that never looks at them keeps one small object.
///
/// # Errors
/// What the serializer reports.
#[allow(clippy::ptr_arg, reason = "serde hands over the field itself")]
pub fn packed<S: serde::Serializer>(spans: &Vec<Span>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = SmallVec::<[u8; 64]>::new();
    for (file, frame, offset, length) in spans {
        bytes.extend_from_slice(&file.to_be_bytes());
        bytes.extend_from_slice(&frame.to_be_bytes());
        bytes.extend_from_slice(&offset.to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
    }
    serializer.serialize_bytes(&bytes)
}

/// Frame bytes and how they give a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// Runs of bytes in reading order.
    #[serde(serialize_with = "packed")]
    pub spans: Vec<Span>,
    /// Name of the decoding (contracts.md §8, `otic.evidence`).
    pub decode: &'static str,
}

/// An address that speaks or is spoken to, or a child address behind it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Endpoint {
    /// Id over (space, address, child).
    pub id: Id,
    /// Address space, "default" unless mapped.
    pub space: CompactString,
    /// MAC or IP in text.
    pub address: CompactString,
    /// Child address; empty for the address itself.
    pub child: CompactString,
    /// Whether it was seen to send; false for one that was only addressed.
    pub spoke: bool,
    /// First seen, nanoseconds since 1970 UTC.
    pub ts_ns: i64,
    /// Where the address stood.
    #[serde(serialize_with = "packed")]
    pub spans: Vec<Span>,
}

/// Frame headers showed that a MAC sends an IP (or, with `ip` nil, layer-2 frames). Proves nothing
/// about whose IP it is. Repeated when the VLANs, interface or hop limit are new.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sighting {
    /// Endpoint of the MAC.
    pub mac: Id,
    /// Endpoint of the IP.
    pub ip: Option<Id>,
    /// VLAN ids, outermost first.
    pub vlans: Vec<u16>,
    /// Interface name, empty where the file names none.
    pub interface: CompactString,
    /// IPv4 TTL or IPv6 hop limit; 0 without IP.
    pub hop_limit: u8,
    /// When.
    pub ts_ns: i64,
    /// Both source addresses.
    #[serde(serialize_with = "packed")]
    pub spans: Vec<Span>,
}

/// Proof that two endpoints are interfaces of one machine: a message about the sender's own
/// addresses, or the MACs on both sides of a router (`protocol` "routed-copy").
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Binding {
    /// One endpoint (the MAC).
    pub first: Id,
    /// The other (the IP, or the router's other MAC).
    pub second: Id,
    /// Protocol of the proof.
    pub protocol: &'static str,
    /// Message of the proof.
    pub message: &'static str,
    /// When.
    pub ts_ns: i64,
    /// The bytes of both addresses.
    #[serde(serialize_with = "packed")]
    pub spans: Vec<Span>,
}

/// A long-lived relation client endpoint → server endpoint over transport, port and protocol.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Connection {
    /// Id over (space, client, client child, server, server child, transport, port, protocol).
    pub id: Id,
    /// Client endpoint.
    pub client_id: Id,
    /// Server endpoint.
    pub server_id: Id,
    /// Address space.
    pub space: CompactString,
    /// Client address.
    pub client: CompactString,
    /// Server address.
    pub server: CompactString,
    /// Child address at the client.
    pub client_child: CompactString,
    /// Child address at the server.
    pub server_child: CompactString,
    /// "ethernet", "ip", "udp" or "tcp".
    pub transport: &'static str,
    /// Server port; nil without ports.
    pub port: Option<u16>,
    /// Protocol name; "unknown" where no dissector recognised the payload.
    pub protocol: CompactString,
    /// First frame.
    pub ts_ns: i64,
    /// First frame's bytes of this layer.
    #[serde(serialize_with = "packed")]
    pub spans: Vec<Span>,
}

/// What a connection does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Operation {
    /// Id over (connection, protocol, reversed, code, name, action, object, outcome).
    pub id: Id,
    /// Its connection.
    pub connection: Id,
    /// Operation protocol (contracts.md §10).
    pub protocol: &'static str,
    /// True when the connection's server sent it: the operation's client is the connection's server.
    pub reversed: bool,
    /// Numeric code.
    pub code: Option<u32>,
    /// Name of the code.
    pub name: &'static str,
    /// Action class.
    pub action: &'static str,
    /// Exact object, or its pattern once the connection used more than 64 with this code.
    pub object: CompactString,
    /// "ok", "error", "unseen" or "none".
    pub outcome: &'static str,
    /// Child address at the operation's client.
    pub client_child: CompactString,
    /// Child address at the operation's server.
    pub server_child: CompactString,
    /// First seen.
    pub ts_ns: i64,
    /// Bytes of the first request.
    #[serde(serialize_with = "packed")]
    pub spans: Vec<Span>,
}

/// An attribute of an endpoint told by one message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claim {
    /// Id over (endpoint, attribute, value, protocol, message).
    pub id: Id,
    /// Whom it is about.
    pub endpoint: Id,
    /// Attribute name.
    pub attribute: &'static str,
    /// Value as text.
    pub value: CompactString,
    /// Protocol of the message.
    pub protocol: &'static str,
    /// Name of the message.
    pub message: &'static str,
    /// "low", "medium" or "high".
    pub confidence: &'static str,
    /// First seen.
    pub ts_ns: i64,
    /// Decoding it gives the value.
    pub evidence: Evidence,
}

/// A value in a change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// A real number.
    Real(f64),
    /// Text; bytes of unknown type in hexadecimal.
    Text(CompactString),
}

/// Writes of one connection to one object since the last batch: the last one with its old and new
/// value, how many, and the range of new values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Id over (connection, reversed, protocol, object).
    pub id: Id,
    /// Its connection.
    pub connection: Id,
    /// Operation protocol.
    pub protocol: &'static str,
    /// True when the connection's server wrote.
    pub reversed: bool,
    /// What was written.
    pub object: CompactString,
    /// Value before the last write, as far as seen.
    pub old: Option<Value>,
    /// Value of the last write.
    pub new: Value,
    /// Smallest new value of this batch; nil for text.
    pub min: Option<f64>,
    /// Largest new value of this batch; nil for text.
    pub max: Option<f64>,
    /// Writes in this batch.
    pub count: u64,
    /// Time of the last write.
    pub ts_ns: i64,
    /// Bytes of the last new value.
    pub evidence: Evidence,
}

/// Something that happened between two endpoints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Id over (kind, client, server, protocol, values).
    pub id: Id,
    /// What happened.
    pub kind: CompactString,
    /// Address space.
    pub space: CompactString,
    /// Who caused it.
    pub client_id: Id,
    /// The other party.
    pub server_id: Id,
    /// Address of the client.
    pub client: CompactString,
    /// Address of the server.
    pub server: CompactString,
    /// Protocol that showed it.
    pub protocol: CompactString,
    /// Distinguishing values.
    pub values: BTreeMap<&'static str, CompactString>,
    /// First time.
    pub ts_ns: i64,
    /// Bytes of the first time.
    #[serde(serialize_with = "packed")]
    pub spans: Vec<Span>,
}

/// Bytes or order that break the protocol's specification.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Violation {
    /// Id over (connection, reversed, rule, values).
    pub id: Id,
    /// Its connection.
    pub connection: Id,
    /// True when the connection's server sent the bytes.
    pub reversed: bool,
    /// Rule broken.
    pub rule: &'static str,
    /// Protocol.
    pub protocol: &'static str,
    /// Distinguishing values.
    pub values: BTreeMap<&'static str, CompactString>,
    /// First time.
    pub ts_ns: i64,
    /// The offending bytes.
    #[serde(serialize_with = "packed")]
    pub spans: Vec<Span>,
}

/// Bytes of a rare, rich message that Python reads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Payload {
    /// Id over (connection, reversed, kind, bytes).
    pub id: Id,
    /// Its connection.
    pub connection: Id,
    /// True when the connection's server sent the bytes.
    pub reversed: bool,
    /// Protocol.
    pub protocol: &'static str,
    /// What the bytes are.
    pub kind: &'static str,
    /// At most 64 KiB.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
    /// First time.
    pub ts_ns: i64,
    /// Where they stood.
    #[serde(serialize_with = "packed")]
    pub spans: Vec<Span>,
}

/// Attempts of one source in one 10 s bucket that became no connection: TCP without payload, UDP
/// that nobody answered and no dissector knows, ARP requests without reply.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attempts {
    /// Endpoint that tried.
    pub source: Id,
    /// "tcp", "udp", "icmp" or "arp".
    pub transport: &'static str,
    /// Start of the bucket, a multiple of 10 s.
    pub start_ns: i64,
    /// Distinct target hosts.
    pub hosts: u32,
    /// Distinct (host, port) targets.
    pub targets: u32,
    /// Largest number of distinct ports tried on one host.
    pub ports: u32,
    /// Attempts in all.
    pub attempts: u64,
    /// Of them refused (RST, ICMP unreachable) or unanswered.
    pub failed: u64,
    /// True when a cap was hit: the numbers are lower bounds.
    pub more: bool,
    /// Up to 1,024 of the targets, (address, port), of all hosts alike, smallest first.
    pub samples: Vec<(CompactString, u16)>,
    /// All target hosts up to 4,096, as address texts, sorted: windows are sums of buckets.
    pub addresses: Vec<CompactString>,
    /// Bytes of the first attempt.
    #[serde(serialize_with = "packed")]
    pub spans: Vec<Span>,
}

/// A connection's roles were decided wrongly at first: counts of the old id belong to the new one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Correction {
    /// The connection with wrong roles.
    pub old: Id,
    /// The same connection with roles exchanged.
    pub new: Id,
    /// When it was noticed.
    pub ts_ns: i64,
}

/// The clock jumped: windows restart, only observed time counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Epoch {
    /// Clock before.
    pub before_ns: i64,
    /// Clock after.
    pub after_ns: i64,
    /// "gap" or "backward" between two frames, "step" when the machine's clock was set.
    pub cause: &'static str,
    /// The frame that showed it, if one did.
    #[serde(serialize_with = "packed")]
    pub spans: Vec<Span>,
}

/// A VLAN stack or interface seen on a connection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Observation {
    /// The connection.
    pub connection: Id,
    /// VLAN ids, outermost first.
    pub vlans: Vec<u16>,
    /// Interface name.
    pub interface: CompactString,
}

/// One second of one monitored interface; files have none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tick {
    /// Interface name.
    pub interface: CompactString,
    /// Wall clock, nanoseconds since 1970 UTC.
    pub wall_ns: i64,
    /// Monotonic clock of the machine, ns.
    pub monotonic_ns: i64,
    /// Whether the link was up.
    pub up: bool,
    /// Frames read since the tick before.
    pub frames: u64,
    /// Their original lengths, bytes.
    pub bytes: u64,
    /// Frames that were not read since then, by cause: `ring`, `nic`, `queue`, `filter`.
    pub drops: BTreeMap<CompactString, u64>,
}

/// A time in which frames could not be seen at all; windows, learning and ageing stand still in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Blind {
    /// Interface name; empty for all of them.
    pub interface: CompactString,
    /// Last moment that was seen, nanoseconds since 1970 UTC.
    pub start_ns: i64,
    /// First moment seen again.
    pub end_ns: i64,
    /// `restart`, `link-down`, `interface-gone`.
    pub cause: CompactString,
}

/// A made frame that a live sensor lets walk the way of captured ones, once it came so far: it shows that
/// the way works, and counts nowhere.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Canary {
    /// The run of capture that made it: its start, nanoseconds since 1970 UTC.
    pub run_ns: i64,
    /// Number in that run, from 1.
    pub sequence: u64,
}

/// Counts of this batch for facts known before or in it, as packed columns: `*_ids` are 16 bytes an
/// entry, numbers are 8 bytes little-endian an entry (times signed).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tallies {
    /// Connections that had frames.
    #[serde(with = "serde_bytes")]
    pub connection_ids: Vec<u8>,
    /// Frames from client to server.
    #[serde(with = "serde_bytes")]
    pub forward_packets: Vec<u8>,
    /// Frames from server to client.
    #[serde(with = "serde_bytes")]
    pub reverse_packets: Vec<u8>,
    /// Original lengths of these frames, bytes.
    #[serde(with = "serde_bytes")]
    pub connection_bytes: Vec<u8>,
    /// Last frame, ns.
    #[serde(with = "serde_bytes")]
    pub connection_last: Vec<u8>,
    /// Operations that happened.
    #[serde(with = "serde_bytes")]
    pub operation_ids: Vec<u8>,
    /// Requests and one-way messages.
    #[serde(with = "serde_bytes")]
    pub operation_counts: Vec<u8>,
    /// Responses without request.
    #[serde(with = "serde_bytes")]
    pub operation_unpaired: Vec<u8>,
    /// Last message, ns.
    #[serde(with = "serde_bytes")]
    pub operation_last: Vec<u8>,
    /// Events and violations that happened.
    #[serde(with = "serde_bytes")]
    pub occurrence_ids: Vec<u8>,
    /// How often.
    #[serde(with = "serde_bytes")]
    pub occurrence_counts: Vec<u8>,
    /// Last time, ns.
    #[serde(with = "serde_bytes")]
    pub occurrence_last: Vec<u8>,
    /// Frames of each connection that the capture does not hold: between its sequence numbers.
    #[serde(with = "serde_bytes")]
    pub connection_missing: Vec<u8>,
    /// Its frames that the capture cut short.
    #[serde(with = "serde_bytes")]
    pub connection_truncated: Vec<u8>,
    /// Its frames while only one direction of the TCP connection had been seen.
    #[serde(with = "serde_bytes")]
    pub connection_one_way: Vec<u8>,
}

/// What this batch could not see, or saw twice; all counts are of this batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// Frames read.
    pub frames: u64,
    /// Their original lengths, bytes.
    pub bytes: u64,
    /// Frames the capture cut short.
    pub truncated: u64,
    /// Frames more than 1 s earlier than the clock.
    pub out_of_order: u64,
    /// Frames of link types nobody decodes, by name.
    pub undecoded_link_types: BTreeMap<CompactString, u64>,
    /// Copies by kind: mirror, routed, prp, hsr, tcp-retransmission.
    pub copies: BTreeMap<&'static str, u64>,
    /// Everything else by cause, e.g. `undecoded-ethertype 0x8870`, `tcp-gap`, `encrypted tls`,
    /// `session-start-not-seen s7comm`.
    pub by_cause: BTreeMap<CompactString, u64>,
    /// What was capped, e.g. `objects`, `operations`, `flows`, `fragments`.
    pub capped: BTreeMap<&'static str, u64>,
}

/// Everything new of one batch, in data-time order within each list, and the counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Batch {
    /// [`SCHEMA`].
    pub schema: u8,
    /// Number of the batch, from 0.
    pub number: u64,
    /// Clock at the first frame.
    pub start_ns: i64,
    /// Clock at the last frame.
    pub end_ns: i64,
    /// New endpoints.
    pub endpoints: Vec<Endpoint>,
    /// New sightings.
    pub sightings: Vec<Sighting>,
    /// New proofs.
    pub bindings: Vec<Binding>,
    /// New connections.
    pub connections: Vec<Connection>,
    /// New operations.
    pub operations: Vec<Operation>,
    /// New claims.
    pub claims: Vec<Claim>,
    /// Changes of this batch.
    pub changes: Vec<Change>,
    /// New events.
    pub events: Vec<Event>,
    /// New violations.
    pub violations: Vec<Violation>,
    /// New payloads.
    pub payloads: Vec<Payload>,
    /// Attempts of buckets that ended.
    pub attempts: Vec<Attempts>,
    /// Corrected roles.
    pub corrections: Vec<Correction>,
    /// Clock jumps.
    pub epochs: Vec<Epoch>,
    /// New VLANs and interfaces of connections.
    pub observations: Vec<Observation>,
    /// Seconds of interfaces.
    pub ticks: Vec<Tick>,
    /// Times without sight that ended.
    pub blinds: Vec<Blind>,
    /// Counts.
    pub tallies: Tallies,
    /// What was not seen.
    pub coverage: Coverage,
    /// Frames of each lane.
    pub lanes: Vec<Lane>,
    /// Canaries that came by.
    pub canaries: Vec<Canary>,
}

/// One capture file after reading it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Capture {
    /// Base name, with the ordinal in front where two are equal (`2:a.pcap`).
    pub file: CompactString,
    /// Frames read.
    pub frames: u64,
    /// Sum of their original lengths, bytes.
    pub bytes: u64,
    /// Link types present.
    pub link_types: Vec<CompactString>,
    /// Earliest and latest timestamp; nil without frames.
    pub first_seen: Option<i64>,
    /// Latest timestamp.
    pub last_seen: Option<i64>,
    /// Why reading stopped before the end: nil when it did not.
    pub cut_off: Option<CompactString>,
}
