//! One virtual shard: all flows between the address pairs that hash to it (contracts.md §3).

use std::hash::BuildHasher;
use std::net::IpAddr;

use compact_str::{CompactString, ToCompactString, format_compact};
use hashbrown::hash_map::Entry;
use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};
use otic_protocols::registry::{self, Protocol};
use otic_protocols::{
    Child, Claim, Confidence, Counter, Decode, Event, Evidence, Holds, Input, Item, Numbered,
    Operation, Out, Side, Transport, Value, Violation, Who,
};
use otic_wire::defragment::Defragmenter;
use otic_wire::packet::{self, Ends, Kind, TcpHeader};
use otic_wire::stream::{Arrival, Chunk, Segment, Stream};
use otic_wire::{Address, FrameSpan, Mac, Packet, SpanMap};
use smallvec::SmallVec;

use crate::attempts::{Attempt, Attempts};
use crate::canary::{self, Canary};
use crate::contexts::{self, Context};
use crate::conversation::{Connection, ConnectionKey, Operations, push_tight, spans};
use crate::copies::{self, Copy, CopyCheck};
use crate::facts::{self, Id, Span};
use crate::flow::{CarrierId, Flow, FlowKey, Reader, Seen, Tap, Waiting};
use crate::holders::Holding;
use crate::keys;
use crate::lanes::Lanes;
use crate::lans::LanCounts;
use crate::output::{Fact, Output};
use crate::spaces::SpaceMap;
use crate::stack;
use crate::trace::Trace;

/// Flows of one shard at once.
const FLOWS: usize = 4096;
/// Flows looked at to find an old one when there are too many.
const CANDIDATES: usize = 16;
/// Connections of one shard.
const CONNECTIONS: usize = 8192;
/// Distinct claims, events, violations, payloads, changes, sightings of one shard, each.
const DISTINCT: usize = 16_384;
/// Stream bytes of one shard that are held because they are incomplete or out of order.
const HELD: usize = 4 << 20;
/// Silence after which a flow is over, ns: TCP without payload, UDP and others, TCP with payload.
const SILENCE_ATTEMPT_NS: i64 = 10_000_000_000;
const SILENCE_DATAGRAMS_NS: i64 = 120_000_000_000;
const SILENCE_STREAM_NS: i64 = 4 * 3_600_000_000_000;
/// Sessions of one shard that wait for an answer from another port.
const AWAITED: usize = 64;
/// Connections of one shard of which is remembered what they agreed.
const REMEMBERED: usize = 1024;
/// Services of one shard that are remembered.
const SERVICES: usize = 256;
/// Largest payload handed to Python, bytes.
const PAYLOAD: usize = 64 * 1024;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// One captured frame with what the reader knows of it.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Position in the merged stream, from 0.
    pub ordinal: u64,
    /// Ordinal of the file; live: number of the packet ring's segment.
    pub file: u32,
    /// Number in the file, from 1.
    pub number: u64,
    /// The clock (never runs back within an epoch), ns.
    pub clock_ns: i64,
    /// Link type number.
    pub link_type: u16,
    /// Index of the interface over all files.
    pub interface: u32,
    /// Length on the wire.
    pub original_length: u32,
    /// Bytes captured.
    pub bytes: &'a [u8],
}

impl Frame<'_> {
    fn span(&self, offset: u32, length: u32) -> FrameSpan {
        FrameSpan { file: self.file, frame: self.number, offset, length }
    }

    fn fact_span(&self, offset: u32, length: u32) -> Span {
        (self.file, self.number, offset, length)
    }
}

/// What all shards share.
pub struct Shared {
    /// Address spaces.
    pub spaces: SpaceMap,
    /// Interface names, by index.
    pub interfaces: Vec<CompactString>,
    /// The canaries of a live run.
    pub canary: Option<Canary>,
}

impl Shared {
    fn space(&self, frame: &Frame<'_>, packet: &Packet) -> u16 {
        if self.spaces.is_one() {
            return 0;
        }
        let interface = self.interfaces.get(frame.interface as usize);
        self.spaces.of(packet, interface.map_or("", CompactString::as_str))
    }
}

struct ChangeState {
    fact: facts::Change,
    dirty: bool,
}

/// A session whose answer may come from another port than the one that was asked.
struct Awaited {
    /// The flow that asked, and where it is.
    key: FlowKey,
    index: usize,
    asker: (Address, u16),
    answerer: Address,
}

/// All state of one shard.
pub struct Shard {
    hasher: DefaultHashBuilder,
    /// What one dissector says is collected, when somebody asked.
    pub trace: Option<Box<Trace>>,
    awaited: Vec<Awaited>,
    /// What ends were seen to serve, by address space, transport, address and port.
    services: HashMap<(u16, Transport, (Address, u16)), &'static Protocol>,
    /// What connections agreed that are not in `flows`.
    remembered: HashMap<contexts::Ends, Context>,
    /// Slots of flows, by key.
    flow_of: HashTable<u32>,
    /// Boxed: a flow leaves its slot while its frame is read.
    flows: Vec<Option<Box<Flow>>>,
    free: Vec<usize>,
    hand: usize,
    held: usize,
    /// Indices into the connections, by key.
    connection_of: HashTable<u32>,
    connections: Vec<Connection>,
    operations: Operations,
    dirty_connections: Vec<u32>,
    dirty_operations: Vec<u32>,
    endpoints: HashMap<(u16, Address), (Id, bool)>,
    children: HashSet<Id>,
    /// Hashes of what was sighted: the parts are long, and there are as many as pairs of machines.
    sightings: HashSet<u64>,
    known: HashSet<Id>,
    /// Hashes of claims made, to drop a repeated one before its id is computed.
    said: HashSet<u64>,
    occurrences: HashMap<Id, (u64, i64)>,
    changes: HashMap<Id, ChangeState>,
    dirty_changes: Vec<Id>,
    /// Hashes of bindings told.
    bindings: HashSet<u64>,
    copies: CopyCheck,
    lanes: Lanes,
    lans: LanCounts,
    defragmenter: Defragmenter,
    attempts: Attempts,
    out: Out,
    generation: u32,
    output: Output,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            trace: None,
            awaited: Vec::new(),
            services: HashMap::new(),
            remembered: HashMap::new(),
            flow_of: HashTable::new(),
            flows: Vec::new(),
            free: Vec::new(),
            hand: 0,
            held: 0,
            connection_of: HashTable::new(),
            connections: Vec::new(),
            operations: Operations::default(),
            dirty_connections: Vec::new(),
            dirty_operations: Vec::new(),
            endpoints: HashMap::new(),
            children: HashSet::new(),
            sightings: HashSet::new(),
            known: HashSet::new(),
            said: HashSet::new(),
            occurrences: HashMap::new(),
            changes: HashMap::new(),
            dirty_changes: Vec::new(),
            bindings: HashSet::new(),
            copies: CopyCheck::default(),
            lanes: Lanes::default(),
            lans: LanCounts::default(),
            defragmenter: Defragmenter::default(),
            attempts: Attempts::default(),
            out: Out::default(),
            generation: 0,
            output: Output::default(),
        }
    }
}

impl Shard {
    /// Reads one frame whose headers are `packet`, between these ends.
    pub fn frame(&mut self, frame: &Frame<'_>, packet: &Packet, ends: &Ends, shared: &Shared) {
        if frame.interface == canary::INTERFACE {
            return self.canary(frame, packet, shared);
        }
        let space = shared.space(frame, packet);
        let mut at = Place { frame, packet, ends, space, shared };
        if !self.lanes.frame(frame, packet) {
            self.output.cap("lanes");
        }
        if let (Some(tag), Some(mac)) = (packet.redundancy, packet.source_mac) {
            let span = frame.fact_span(packet.mac_offset, 6);
            if !self.lans.count(space, mac, tag, frame.clock_ns, span) {
                self.output.cap("redundant-nodes");
            }
        }
        if let Some(copy) =
            self.copies.check(packet, frame.bytes, frame.clock_ns, frame.interface, space)
        {
            *self.output.copies.entry(copy.name()).or_default() += 1;
            self.lane_copy(copy, packet);
            self.sight(&at);
            if let Copy::Routed { entered, left } = copy {
                self.router(&at, entered, left);
            }
            return;
        }
        let part = |packet: &Packet| (packet.start as usize, packet.end as usize);
        match packet.kind {
            Kind::Fragment(offset, more) => {
                self.sight(&at);
                let (start, end) = part(packet);
                let bytes = frame.bytes.get(start..end).unwrap_or_default();
                let Some(ip) = packet.ip else { return };
                let span = frame.span(packet.start, bytes.len() as u32);
                let whole =
                    self.defragmenter.push(&ip, (offset, more), bytes, span, frame.clock_ns);
                let lost = self.defragmenter.take_lost();
                if lost > 0 {
                    *self.output.by_cause.entry("fragments-lost".into()).or_default() += lost;
                }
                if let Some((payload, spans)) = whole {
                    let inner = packet::decode_reassembled(packet, &payload);
                    at.packet = &inner;
                    let (start, end) = part(&inner);
                    let mut spans = spans;
                    spans.consume(start);
                    self.payload(&at, payload.get(start..end).unwrap_or_default(), &spans);
                }
            }
            Kind::Broken(what) => {
                self.sight(&at);
                self.output.cause(format_compact!("broken {what}"));
            }
            Kind::Nothing(what) => {
                self.sight(&at);
                self.output.cause(what);
            }
            Kind::UnknownLink => {}
            _ => {
                let (start, end) = part(packet);
                let bytes = frame.bytes.get(start..end).unwrap_or_default();
                let spans = SpanMap::single(frame.span(packet.start, bytes.len() as u32));
                self.payload(&at, bytes, &spans);
            }
        }
    }

    /// Ends the current batch: hands over what was said and counted since the last one.
    pub fn take_output(&mut self) -> Output {
        for index in std::mem::take(&mut self.dirty_connections) {
            let Some(connection) = self.connections.get_mut(index as usize) else { continue };
            connection.dirty = false;
            let [forward, back] = std::mem::take(&mut connection.packets);
            let bytes = std::mem::take(&mut connection.bytes);
            let unseen = std::mem::take(&mut connection.unseen).map(u64::from);
            let tally = (connection.id, forward, back, bytes, connection.last_ns, unseen);
            self.output.connections.push(tally);
        }
        for index in std::mem::take(&mut self.dirty_operations) {
            let Some(state) = self.operations.get_mut(index) else { continue };
            state.dirty = false;
            let count = u64::from(std::mem::take(&mut state.count));
            let unpaired = u64::from(std::mem::take(&mut state.unpaired));
            self.output.operations.push((state.id, count, unpaired, state.last_ns));
        }
        for id in std::mem::take(&mut self.dirty_changes) {
            let Some(state) = self.changes.get_mut(&id) else { continue };
            state.dirty = false;
            self.output.facts.push((u64::MAX, Fact::Change(Box::new(state.fact.clone()))));
            state.fact.count = 0;
            (state.fact.min, state.fact.max) = (None, None);
        }
        let mut occurrences: Vec<_> =
            self.occurrences.drain().map(|(id, (count, last))| (id, count, last)).collect();
        occurrences.sort_unstable();
        self.output.occurrences = occurrences;
        self.output.lanes = self.lanes.take();
        self.output.lans = self.lans.take();
        std::mem::take(&mut self.output)
    }

    /// A new journal segment begins: what is counted from here on is sent in full again.
    pub fn next_generation(&mut self) {
        self.generation += 1;
        self.endpoints.clear();
        self.children.clear();
        self.known.clear();
        self.said.clear();
        self.bindings.clear();
        self.sightings.clear();
        for flow in self.flows.iter_mut().flatten() {
            flow.seen = Default::default();
        }
    }

    /// The input is over: reports everything that still waits.
    pub fn finish(&mut self, clock_ns: i64, ordinal: u64, shared: &Shared) {
        for index in 0..self.flows.len() {
            self.end_flow(index, clock_ns, ordinal, shared);
        }
        self.attempts.flush(i64::MAX, &mut self.output);
    }

    /// Time went on to `now_ns`: ends silent flows and hands over attempts. Called for every shard
    /// at the same points of the input, so that results do not depend on which shard got a frame.
    pub fn tick(&mut self, now_ns: i64, ordinal: u64, shared: &Shared) {
        for index in 0..self.flows.len() {
            let silent = self.flows.get(index).and_then(Option::as_ref).is_some_and(|flow| {
                let patience = match flow.transport {
                    Transport::Tcp if flow.payload => SILENCE_STREAM_NS,
                    Transport::Tcp => SILENCE_ATTEMPT_NS,
                    _ => SILENCE_DATAGRAMS_NS,
                };
                now_ns - flow.last_ns > patience
            });
            if silent {
                self.end_flow(index, now_ns, ordinal, shared);
            }
        }
        self.attempts.flush(now_ns, &mut self.output);
    }

    /// A canary came so far; it leaves no other trace.
    #[cold]
    fn canary(&mut self, frame: &Frame<'_>, packet: &Packet, shared: &Shared) {
        let Some(canary) = &shared.canary else { return };
        if let Some(sequence) = canary.sequence(packet, frame.bytes) {
            let fact = facts::Canary { run_ns: canary.run_ns, sequence };
            self.output.facts.push((frame.ordinal, Fact::Canary(fact)));
        }
    }

    fn payload(&mut self, at: &Place<'_>, bytes: &[u8], spans: &SpanMap) {
        let packet = at.packet;
        let carrier = match packet.kind {
            Kind::EtherType(number) => CarrierId::EtherType(number),
            Kind::Llc(dsap, ssap) => CarrierId::Llc(dsap, ssap),
            Kind::Snap(organisation, id) => CarrierId::Snap(organisation, id),
            Kind::Link(name) => CarrierId::Link(name),
            Kind::Ip(number) => CarrierId::Ip(number),
            Kind::Udp { .. } => CarrierId::Udp,
            Kind::Tcp(_) => CarrierId::Tcp,
            _ => return self.sight(at),
        };
        let (Some(source), Some(destination)) = *at.ends else {
            // A cooked capture shows only the sender's MAC: what the frame says of its sender is
            // still read, but there is no pair to make a connection of.
            self.sight(at);
            if let Some(source) = packet.source().or(packet.destination()) {
                self.half(at, carrier, source, bytes, spans);
            }
            return;
        };
        let (transport, source_port, destination_port) = match packet.kind {
            Kind::Udp { source, destination } => (Transport::Udp, source, destination),
            Kind::Tcp(tcp) => (Transport::Tcp, tcp.source, tcp.destination),
            Kind::Ip(_) => (Transport::Ip, 0, 0),
            _ => (Transport::Ethernet, 0, 0),
        };
        let (from, to) = ((source, source_port), (destination, destination_port));
        let side = if from <= to { Side::A } else { Side::B };
        let (a, b) = if side == Side::A { (from, to) } else { (to, from) };
        let key = FlowKey::new(a, b, transport, carrier, at.space);
        let found = self.flow_of.find(self.hasher.hash_one(key), |slot| {
            self.flows
                .get(*slot as usize)
                .is_some_and(|flow| flow.as_ref().is_some_and(|flow| flow.key == key))
        });
        let index = match found {
            Some(slot) => *slot as usize,
            None => self.new_flow(key, side, transport, (source_port, destination_port), at),
        };
        let Some(mut flow) = self.flows.get_mut(index).and_then(Option::take) else { return };
        self.sight_flow(&mut flow, side, at);
        let at_once = at.frame.clock_ns - flow.last_ns <= copies::WINDOW_NS;
        flow.last_ns = at.frame.clock_ns;
        flow.lane = self.lanes.at();
        match packet.kind {
            Kind::Tcp(tcp) => {
                let arrival = self.segment(&mut flow, side, at, tcp, bytes, spans);
                if let (true, Some(arrival), Some(lane)) =
                    (at.without_id(), arrival, self.lanes.now())
                {
                    // No sender repeats a segment so soon.
                    lane.check(arrival == Arrival::Retransmission && at_once);
                }
            }
            _ => {
                flow.payload = true;
                self.datagram(&mut flow, side, at, carrier, bytes, spans);
            }
        }
        if let Some(slot) = self.flows.get_mut(index) {
            *slot = Some(flow);
        }
    }

    /// Reads a frame of which only one end is known, for what it says of that end.
    fn half(
        &mut self,
        at: &Place<'_>,
        carrier: CarrierId,
        source: Address,
        bytes: &[u8],
        spans: &SpanMap,
    ) {
        let ends = [(source, 0); 2];
        let input = at.input(Side::A, &ends, Transport::Ethernet, bytes, spans);
        let mut reader = Reader::searching();
        let mut out = std::mem::take(&mut self.out);
        reader.read(&carrier, &input, bytes.len(), None, &mut out);
        for item in out.items.drain(..) {
            match item {
                Item::Claim(claim) => self.claim(at, &claim, source, source),
                Item::Binding { mac, ip, protocol, message, evidence } => {
                    self.binding(at, mac, ip, protocol, message, &evidence);
                }
                Item::Holds(holds) => self.holds(at, &holds, source),
                _ => {}
            }
        }
        self.out = out;
        if matches!(reader, Reader::Searching(..)) {
            self.undecoded(carrier);
        }
    }

    fn undecoded(&mut self, carrier: CarrierId) {
        let cause = match carrier {
            CarrierId::EtherType(number) => format_compact!("undecoded-ethertype 0x{number:04x}"),
            CarrierId::Llc(dsap, _) => format_compact!("undecoded-llc 0x{dsap:02x}"),
            CarrierId::Snap(organisation, id) => {
                format_compact!("undecoded-snap 0x{organisation:06x}/0x{id:04x}")
            }
            CarrierId::Link(name) => format_compact!("undecoded-link {name}"),
            CarrierId::Ip(number) => format_compact!("undecoded-ip-protocol {number}"),
            CarrierId::Tcp => CompactString::const_new("undecoded-tcp"),
            CarrierId::Udp => CompactString::const_new("undecoded-udp"),
        };
        self.output.cause(cause);
    }

    #[cold]
    fn new_flow(
        &mut self,
        key: FlowKey,
        sender: Side,
        transport: Transport,
        (source_port, destination_port): (u16, u16),
        at: &Place<'_>,
    ) -> usize {
        if self.flow_of.len() >= FLOWS {
            // A hand goes round: the cost stays small however many flows an attacker opens.
            let size = self.flows.len().max(1);
            let oldest = (0..size)
                .map(|step| (self.hand + step) % size)
                .filter_map(|index| Some((self.flows.get(index)?.as_ref()?.last_ns, index)))
                .take(CANDIDATES)
                .min();
            if let Some((_, index)) = oldest {
                self.hand = (self.hand + CANDIDATES) % size;
                self.output.cap("flows");
                self.end_flow(index, at.frame.clock_ns, at.frame.ordinal, at.shared);
            }
        }
        // Both addresses are known: the key was made of them.
        let (nobody, packet) = (Address::Mac(Mac::default()), at.packet);
        let from = (packet.source().unwrap_or(nobody), source_port);
        let to = (packet.destination().unwrap_or(nobody), destination_port);
        let ends = if sender == Side::A { [from, to] } else { [to, from] };
        let now_ns = at.frame.clock_ns;
        let flow = Flow::new(key, ends, transport, at.space, sender, now_ns, at.said());
        let mut flow = Box::new(flow);
        if transport == Transport::Udp && !self.awaited.is_empty() {
            self.follow(&mut flow, from.0, to);
        }
        if transport == Transport::Tcp && !self.remembered.is_empty() {
            self.resume(&mut flow, at);
        }
        let index = self.free.pop().unwrap_or(self.flows.len());
        flow.slot = index as u32;
        match self.flows.get_mut(index) {
            Some(slot) => *slot = Some(flow),
            None => push_tight(&mut self.flows, Some(flow)),
        }
        let Self { flow_of, flows, hasher, .. } = self;
        flow_of.insert_unique(hasher.hash_one(key), index as u32, |slot| {
            let flow = flows.get(*slot as usize).and_then(Option::as_ref);
            flow.map_or(0, |flow| hasher.hash_one(flow.key))
        });
        index
    }

    /// A connection of which was remembered what it agreed goes on there, unless it begins anew.
    #[cold]
    fn resume(&mut self, flow: &mut Flow, at: &Place<'_>) {
        let Some(ends) = ip_ends(flow) else { return };
        let Some(context) = self.remembered.remove(&ends) else { return };
        let begins = matches!(at.packet.kind, Kind::Tcp(tcp) if tcp.flags & SYN != 0);
        let named = |protocol: &&Protocol| protocol.name == context.protocol;
        if let Some(protocol) = registry::protocols().find(named)
            && !begins
            && at.shared.spaces.name(flow.space) == context.space
        {
            let mut session = protocol.session();
            session.restore(&context.bytes);
            flow.reader = Reader::Found(protocol, session);
            flow.client = Some(if context.client_is_second { Side::B } else { Side::A });
        }
    }

    /// What flows agreed, and what was remembered of those that are not seen yet.
    pub fn contexts<'a>(&'a self, shared: &'a Shared) -> impl Iterator<Item = Context> + 'a {
        let running = self.flows.iter().flatten().filter_map(|flow| context_of(flow, shared));
        running.chain(self.remembered.values().cloned())
    }

    /// Remembers what a connection agreed, until it is seen again.
    pub fn remember(&mut self, context: Context) {
        if self.remembered.len() < REMEMBERED {
            self.remembered.insert(context.ends, context);
        }
    }

    /// Remembers that the other end may answer `side` from any port. Between two ports of one
    /// address nobody could tell which end is meant.
    fn awaits(&mut self, flow: &Flow, side: Side) {
        let (asker, (answerer, _)) = (flow.end(side), flow.end(side.other()));
        let index = flow.slot as usize;
        self.awaited.retain(|known| known.key != flow.key);
        if asker.0 != answerer && flow.transport == Transport::Udp {
            if self.awaited.len() >= AWAITED {
                self.awaited.remove(0);
            }
            self.awaited.push(Awaited { key: flow.key, index, asker, answerer });
        }
    }

    /// Hands the session that waits for an answer from `answerer` to `asker` to the new flow that
    /// brings it; the flow counts as part of the one that asked.
    fn follow(&mut self, flow: &mut Flow, answerer: Address, asker: (Address, u16)) {
        let fits = |known: &Awaited| known.asker == asker && known.answerer == answerer;
        let Some(at) = self.awaited.iter().position(fits) else { return };
        let known = self.awaited.remove(at);
        let Some(Some(before)) = self.flows.get_mut(known.index) else { return };
        if before.key == known.key && before.space == flow.space {
            flow.reader = std::mem::replace(&mut before.reader, Reader::searching());
            flow.ends = before.ends;
            flow.client = before.client;
            flow.connections.clone_from(&before.connections);
        }
    }

    fn datagram(
        &mut self,
        flow: &mut Flow,
        side: Side,
        at: &Place<'_>,
        carrier: CarrierId,
        bytes: &[u8],
        spans: &SpanMap,
    ) {
        let input = at.input(side, &flow.ends, flow.transport, bytes, spans);
        let mut out = std::mem::take(&mut self.out);
        let on_trial = flow.reader.on_trial();
        let searching = flow.reader.is_searching();
        let served = if searching { self.served(flow) } else { None };
        flow.reader.read(&carrier, &input, bytes.len(), served, &mut out);
        let attempt = attempt_of(&out, &carrier, bytes);
        self.drain(flow, side, at, &mut out);
        self.out = out;
        if searching {
            self.serves(flow);
        }
        if let Some(name) = on_trial
            && flow.waiting.is_some()
            && flow.reader.protocol().is_some_and(|protocol| protocol.name == name)
        {
            // The frames that were looked at on trial are of this protocol as well.
            self.waiting_frames(flow, name, at);
        }
        if let Some((name, host)) = attempt {
            let (source, destination) = (flow.end(side).0, flow.end(side.other()).0);
            let source = match (name, at.packet.source_mac) {
                ("arp", Some(mac)) => self.endpoint(at, Address::Mac(mac)),
                _ => self.endpoint(at, source),
            };
            let host = host.unwrap_or(destination).to_compact_string();
            self.attempt(source, name, host, 0, false, at.frame.clock_ns, flow.first_span.into());
        }
        if flow.reader.protocol().is_none() {
            self.unrecognised(flow, side, at, carrier);
        }
    }

    /// The protocol that an end of this flow was seen to serve at its port.
    #[cold]
    fn served(&self, flow: &Flow) -> Option<&'static Protocol> {
        let known = |end| self.services.get(&(flow.space, flow.transport, end)).copied();
        flow.ends.into_iter().find_map(known)
    }

    /// Remembers what the server of this flow speaks at its port: other clients of it may begin
    /// with messages that prove less.
    #[cold]
    fn serves(&mut self, flow: &Flow) {
        if !matches!(flow.transport, Transport::Tcp | Transport::Udp) {
            return;
        }
        if let (Some(protocol), Some(client)) = (flow.reader.protocol(), flow.client)
            && self.services.len() < SERVICES
        {
            let end = flow.end(client.other());
            self.services.entry((flow.space, flow.transport, end)).or_insert(protocol);
        }
    }

    /// Counts a datagram no dissector knows: a connection once both ends have sent.
    fn unrecognised(&mut self, flow: &mut Flow, side: Side, at: &Place<'_>, carrier: CarrierId) {
        if carrier != CarrierId::Udp {
            self.undecoded(carrier);
            return;
        }
        flow.wait(side, at.frame.original_length);
        if flow.attempt.is_none() && flow.first_sender == side {
            flow.attempt = Some(side);
        }
        if flow.waiting.as_deref().is_some_and(both_sent) && flow.reader.on_trial().is_none() {
            flow.attempt = None;
            self.output.cause("undecoded-udp");
            self.waiting_frames(flow, "unknown", at);
        }
    }

    /// Counts the frames that waited for the flow's protocol to be known.
    fn waiting_frames(&mut self, flow: &mut Flow, protocol: &'static str, at: &Place<'_>) {
        let client = flow.decide_client(None);
        let index = self.connection(flow, protocol, &Child::None, &Child::None, at);
        let waiting = flow.waiting.take().map(|waiting| *waiting).unwrap_or_default();
        if let (Some(connection), Some(index)) =
            (index.and_then(|index| self.connections.get_mut(index as usize)), index)
        {
            for (side, (frames, bytes)) in [Side::A, Side::B].into_iter().zip(waiting) {
                if let Some(packets) = connection.packets.get_mut(usize::from(side != client)) {
                    *packets += frames;
                }
                connection.bytes += bytes;
            }
            connection.last_ns = at.frame.clock_ns;
            if connection.touch() {
                self.dirty_connections.push(index);
            }
        }
    }

    fn segment(
        &mut self,
        flow: &mut Flow,
        side: Side,
        at: &Place<'_>,
        tcp: TcpHeader,
        bytes: &[u8],
        spans: &SpanMap,
    ) -> Option<Arrival> {
        let mut streams = flow.streams.take()?;
        if tcp.flags & SYN != 0 {
            self.syn(flow, &mut streams, side, at, tcp);
        }
        if tcp.flags & ACK != 0 {
            if let Some(slot) = flow.acknowledged.get_mut(side as usize) {
                *slot = Some(tcp.acknowledgement);
            }
            let waits = streams.get(side.other() as usize).is_some_and(Stream::has_late);
            if waits {
                let step = Step::Acknowledged(tcp.acknowledgement);
                self.stream_read(flow, &mut streams, side.other(), at, step);
            }
        }
        // Bytes on the wire that the capture cut off.
        let missing = if at.packet.truncated { at.missing() } else { 0 };
        let mut arrived = None;
        if !bytes.is_empty() || missing > 0 {
            flow.payload = true;
            self.stacks(flow, at);
            flow.attempt = None;
            if let Some(lane) = self.lanes.now() {
                lane.tcp += 1;
                lane.tcp_one_way += u64::from(!flow.two_way);
            }
            let sequence = tcp.sequence.wrapping_add(u32::from(tcp.flags & SYN != 0));
            let segment = Segment { sequence, bytes, spans, missing, ts_ns: at.frame.clock_ns };
            let peer = flow.acknowledged.get(side.other() as usize).copied().flatten();
            let arrival =
                self.stream_read(flow, &mut streams, side, at, Step::Segment(segment, peer));
            arrived = Some(arrival);
            match arrival {
                Arrival::Retransmission => {
                    *self.output.copies.entry("tcp-retransmission").or_default() += 1;
                }
                _ => {
                    if let Some(lane) = self.lanes.now() {
                        lane.numbered(Counter::Tcp, 1, 0);
                    }
                    self.count_unread(flow, side, at);
                }
            }
        }
        if tcp.flags & RST != 0 {
            flow.refused = flow.refused || !flow.payload;
            self.finish_session(flow, at);
            self.attempt_ended(flow, at);
        } else if tcp.flags & FIN != 0 && !flow.payload {
            flow.attempt = flow.attempt.or(flow.client);
        }
        flow.streams = Some(streams);
        arrived
    }

    fn syn(
        &mut self,
        flow: &mut Flow,
        streams: &mut [Stream; 2],
        side: Side,
        at: &Place<'_>,
        tcp: TcpHeader,
    ) {
        let Some(stream) = streams.get_mut(side as usize) else { return };
        let repeated = stream.next() == Some(tcp.sequence.wrapping_add(1));
        let answer = tcp.flags & ACK != 0;
        if !repeated {
            if !answer && (flow.payload || stream.next().is_some()) {
                // The same ports again: a new connection in time.
                for side in [Side::A, Side::B] {
                    self.end_stream(flow, streams, side);
                }
                self.finish_session(flow, at);
                self.attempt_ended(flow, at);
                flow.reader = Reader::searching();
                flow.own_reader = None;
                flow.heard = [false; 2];
                flow.payload = false;
                flow.refused = false;
                flow.client = None;
                flow.acknowledged = [None; 2];
                flow.first_ns = at.frame.clock_ns;
                for stream in streams.iter_mut() {
                    self.held -= stream.held();
                    *stream = Stream::default();
                }
            }
            if let Some(stream) = streams.get_mut(side as usize) {
                self.held -= stream.held();
                stream.start(tcp.sequence);
            }
        }
        if !flow.payload
            && let Some(slot) = flow.stacks.get_mut(side as usize)
        {
            *slot = stack_claim(at, if answer { "syn-ack" } else { "syn" });
        }
        let client = if answer { side.other() } else { side };
        if flow.client.is_none() {
            flow.client = Some(client);
            flow.client_by_syn = true;
        }
        if !answer && !flow.payload {
            flow.attempt = Some(side);
        }
    }

    /// Tells what the SYNs said of both stacks, once bytes prove that they were no forgeries.
    fn stacks(&mut self, flow: &mut Flow, at: &Place<'_>) {
        for side in [Side::A, Side::B] {
            let claim = flow.stacks.get_mut(side as usize).and_then(Option::take);
            if let Some(claim) = claim {
                self.claim(at, &claim, flow.end(side).0, flow.end(side.other()).0);
            }
        }
    }

    /// Runs one step of a stream with the flow's dissector as reader, then takes what it said.
    fn stream_read(
        &mut self,
        flow: &mut Flow,
        streams: &mut [Stream; 2],
        side: Side,
        at: &Place<'_>,
        step: Step<'_>,
    ) -> Arrival {
        let [a, b] = streams;
        let (stream, other) = if side == Side::A { (a, b) } else { (b, a) };
        let searching = matches!(flow.reader, Reader::Searching(..));
        let served = if searching { self.served(flow) } else { None };
        let mut out = std::mem::take(&mut self.out);
        let Flow { reader, own_reader, heard, ends, first_sender, .. } = &mut *flow;
        let is_first = *first_sender == side;
        let Some(heard) = heard.get_mut(side as usize) else { return Arrival::InOrder };
        let cap = own_of(own_reader, side).map_or_else(|| reader.cap(), |own| own.cap());
        let held_before = stream.held() + other.held();
        let mut read = |chunk: Chunk<'_>| {
            let input = Input {
                stream_start: chunk.stream_start,
                after_gap: chunk.after_gap,
                truncated: chunk.truncated,
                ..at.input(side, ends, Transport::Tcp, chunk.bytes, chunk.spans)
            };
            let first = !std::mem::replace(heard, true);
            let own = own_of(own_reader, side);
            let none = own.is_none();
            match own.unwrap_or(&mut *reader).other(&CarrierId::Tcp, &input, first) {
                Some(other) if none && !first => *reader = other,
                Some(other) => {
                    if let Some(own) = own_reader.get_or_insert_default().get_mut(side as usize) {
                        *own = Some(other);
                    }
                }
                None => {}
            }
            if searching && own_of(own_reader, side).is_none() && other.kept().is_some() {
                reader.recognise(&input, served);
                if reader.protocol().is_some() {
                    // What was kept came before: of the side that spoke first, then of the other.
                    let kept = if is_first { chunk.bytes.len() - chunk.fresh } else { 0 };
                    let own = chunk.bytes.get(..kept).unwrap_or_default();
                    let used = read_earlier(reader, &Input { bytes: own, ..input }, &mut out);
                    read_kept(reader, other, &input, &mut out);
                    let mut spans = chunk.spans.clone();
                    spans.consume(used);
                    let bytes = chunk.bytes.get(used..).unwrap_or_default();
                    let rest = Input {
                        bytes,
                        spans: &spans,
                        stream_start: input.stream_start && used == 0,
                        after_gap: input.after_gap && used == 0,
                        ..input
                    };
                    return used + reader.read(&CarrierId::Tcp, &rest, chunk.fresh, None, &mut out);
                }
            }
            let known = own_of(own_reader, side).unwrap_or(&mut *reader);
            known.read(&CarrierId::Tcp, &input, chunk.fresh, served, &mut out)
        };
        let arrival = match step {
            Step::Segment(segment, peer) => stream.push(segment, peer, cap, &mut read),
            Step::Acknowledged(number) => {
                stream.acknowledged(number, cap, &mut read);
                Arrival::InOrder
            }
            Step::Finish => {
                stream.finish(cap, &mut read);
                Arrival::InOrder
            }
        };
        if searching && reader.protocol().is_some() && other.kept().is_some() {
            // It was a later part of what was kept that told the protocol.
            let nothing = SpanMap::default();
            let now = at.input(side, ends, Transport::Tcp, &[], &nothing);
            read_kept(reader, other, &now, &mut out);
        }
        self.held = self.held + stream.held() + other.held() - held_before;
        if self.held > HELD {
            self.held -= stream.held();
            stream.drop_held();
            self.held += stream.held();
            self.output.cap("stream-bytes");
        }
        let missing = stream.take_missing();
        let gaps = stream.take_gaps();
        if gaps > 0 {
            *self.output.by_cause.entry("tcp-gap".into()).or_default() += gaps;
        }
        self.drain(flow, side, at, &mut out);
        self.out = out;
        if searching {
            self.serves(flow);
        }
        if missing != 0 {
            self.missing(flow, Counter::Tcp, i64::from(missing), 0);
        }
        arrival
    }

    /// Counts a payload frame for which the dissector named no layer.
    fn count_unread(&mut self, flow: &mut Flow, side: Side, at: &Place<'_>) {
        match &flow.reader {
            Reader::Unknown(_) => {
                if flow.waiting.is_some() {
                    self.output.cause("undecoded-tcp");
                    self.waiting_frames(flow, "unknown", at);
                }
                self.layer(flow, "unknown", side, &Child::None, &Child::None, at);
            }
            Reader::Searching(..) => {
                flow.wait(side, at.frame.original_length);
            }
            Reader::Found(protocol, _) => {
                let protocol = protocol.name;
                flow.waiting = None;
                let last = flow.connections.get(flow.last_connection as usize).copied();
                if let Some(index) = last {
                    // Mostly the dissector named the layer, and the frame is counted.
                    let known = self.connections.get(index as usize);
                    if known.is_some_and(|known| known.last_ordinal != at.frame.ordinal) {
                        self.count(index, flow, side, at);
                    }
                } else {
                    self.layer(flow, protocol, side, &Child::None, &Child::None, at);
                }
            }
        }
    }

    /// Takes what a dissector said in one call.
    fn drain(&mut self, flow: &mut Flow, side: Side, at: &Place<'_>, out: &mut Out) {
        if out.items.is_empty() && out.earlier.is_empty() {
            return;
        }
        let earlier = out.earlier.iter().map(|(_, item)| item);
        let told = earlier.chain(&out.items).find_map(|item| match item {
            Item::Client(side) => Some(*side),
            _ => None,
        });
        let client = flow.decide_client(told);
        let contradicts =
            |told: &Side| *told != client && !flow.client_by_syn && !flow.end(*told).0.is_group();
        if let Some(told) = told.filter(contradicts) {
            self.correct(flow, told, at);
        }
        if let Some(trace) = &mut self.trace {
            trace.note(flow, side, (at.frame.file, at.frame.number), &out.items);
        }
        for (side, item) in std::mem::take(&mut out.earlier) {
            // This frame is not one of those that carried it.
            if !matches!(item, Item::Layer { .. }) {
                self.item(flow, side, at, &item);
            }
        }
        for item in &out.items {
            self.item(flow, side, at, item);
        }
        out.items.clear();
    }

    fn item(&mut self, flow: &mut Flow, side: Side, at: &Place<'_>, item: &Item) {
        match item {
            Item::Layer { protocol, sender, source_child, destination_child } => {
                self.layer(flow, protocol, *sender, source_child, destination_child, at);
            }
            Item::Client(_) => {}
            Item::AnswerFromAnyPort => self.awaits(flow, side),
            Item::Operation(operation) => self.operation(flow, operation, true, at),
            Item::Unpaired(operation) => self.operation(flow, operation, false, at),
            Item::Claim(claim) => {
                let (source, destination) = (flow.end(side).0, flow.end(side.other()).0);
                self.claim(at, claim, source, destination);
            }
            Item::Binding { mac, ip, protocol, message, evidence } => {
                self.binding(at, *mac, *ip, protocol, message, evidence);
            }
            Item::Holds(holds) => self.holds(at, holds, flow.end(side).0),
            Item::Change(change) => self.change(flow, change.clone(), at),
            Item::Event(event) => self.event(flow, event, at),
            Item::Violation(violation) => self.violation(flow, violation, at),
            Item::Payload(payload) => self.rich_payload(flow, payload.clone(), at),
            Item::StartNotSeen(protocol) => {
                self.output.cause(format_compact!("session-start-not-seen {protocol}"));
            }
            Item::Numbered(counter, numbered) => {
                if let (true, Some(lane)) = (at.without_id(), self.lanes.now()) {
                    lane.check(*numbered == Numbered::Again);
                }
                if let Numbered::Next(missing) = numbered {
                    self.missing(flow, *counter, i64::from(*missing), 1);
                }
            }
            Item::NotDecoded(protocol, cause) => {
                self.output.cause(format_compact!("{cause} {protocol}"));
            }
        }
    }

    fn layer(
        &mut self,
        flow: &mut Flow,
        protocol: &'static str,
        sender: Side,
        source_child: &Child,
        destination_child: &Child,
        at: &Place<'_>,
    ) {
        let client = flow.decide_client(None);
        let (client_child, server_child) = if sender == client {
            (source_child, destination_child)
        } else {
            (destination_child, source_child)
        };
        if let Some(index) = self.connection(flow, protocol, client_child, server_child, at) {
            self.count(index, flow, sender, at);
        }
    }

    fn count(&mut self, index: u32, flow: &Flow, sender: Side, at: &Place<'_>) {
        let Some(connection) = self.connections.get_mut(index as usize) else { return };
        if connection.last_ordinal == at.frame.ordinal {
            return;
        }
        connection.last_ordinal = at.frame.ordinal;
        let reverse = usize::from(Some(sender) != flow.client);
        if let Some(packets) = connection.packets.get_mut(reverse) {
            *packets += 1;
        }
        connection.bytes += u64::from(at.frame.original_length);
        let [_, truncated, one_way] = &mut connection.unseen;
        *truncated += u32::from(at.packet.truncated);
        *one_way += u32::from(!flow.two_way && flow.transport == Transport::Tcp);
        connection.last_ns = at.frame.clock_ns;
        if connection.touch() {
            self.dirty_connections.push(index);
        }
        if connection.observe(Tap::new(at.frame.interface, &at.packet.vlans, &self.hasher)) {
            let id = connection.id;
            self.observed(id, at);
        }
    }

    #[cold]
    fn observed(&mut self, connection: Id, at: &Place<'_>) {
        let vlans = at.packet.vlans.to_vec();
        let fact = facts::Observation { connection, vlans, interface: at.interface() };
        self.output.facts.push((at.frame.ordinal, Fact::Observation(fact)));
    }

    /// The connection row of this layer; none when the shard's cap is reached.
    fn connection(
        &mut self,
        flow: &mut Flow,
        protocol: &'static str,
        client_child: &Child,
        server_child: &Child,
        at: &Place<'_>,
    ) -> Option<u32> {
        let last = flow.connections.get(flow.last_connection as usize).copied();
        let index = match last {
            Some(last) if self.fits(last, protocol, client_child, server_child) => last,
            _ => self.other_connection(flow, protocol, client_child, server_child, at)?,
        };
        let connection = self.connections.get(index as usize)?;
        if connection.generation != self.generation {
            self.announce_connection(index, at);
        }
        Some(index)
    }

    /// A connection row that is not the one the flow used last.
    fn other_connection(
        &mut self,
        flow: &mut Flow,
        protocol: &'static str,
        client_child: &Child,
        server_child: &Child,
        at: &Place<'_>,
    ) -> Option<u32> {
        let fits = |known: &u32| self.fits(*known, protocol, client_child, server_child);
        match flow.connections.iter().position(fits) {
            Some(position) => {
                flow.last_connection = position as u32;
                flow.connections.get(position).copied()
            }
            None => self.new_connection(flow, protocol, client_child, server_child, at),
        }
    }

    /// Whether this row of a flow is the one of `protocol` between these children.
    #[inline]
    fn fits(&self, row: u32, protocol: &'static str, client: &Child, server: &Child) -> bool {
        let row = self.connections.get(row as usize);
        row.is_some_and(|row| row.fits(protocol, client, server))
    }

    /// Adds a connection row to the flow, known to the shard or not; none when the cap is reached.
    fn new_connection(
        &mut self,
        flow: &mut Flow,
        protocol: &'static str,
        client_child: &Child,
        server_child: &Child,
        at: &Place<'_>,
    ) -> Option<u32> {
        let client = flow.decide_client(None);
        let ((client_address, _), (server_address, port)) =
            (flow.end(client), flow.end(client.other()));
        let key = ConnectionKey {
            space: flow.space,
            addresses: [client_address, server_address],
            children: [client_child.clone(), server_child.clone()],
            transport: flow.transport,
            port,
            protocol,
        };
        let hash = self.hasher.hash_one(&key);
        let known = self.connection_of.find(hash, |index| {
            self.connections.get(*index as usize).is_some_and(|known| known.key == key)
        });
        let index = match known {
            Some(index) => *index,
            None => {
                if self.connections.len() >= CONNECTIONS {
                    self.output.cap("connections");
                    return None;
                }
                self.endpoint(at, client_address);
                self.endpoint(at, server_address);
                let space = at.shared.spaces.name(flow.space);
                // A flow that is named only when it ends cites its first frame.
                let span = match at.frame.number {
                    0 => flow.first_span.into(),
                    _ => at.said(),
                };
                let first_ns = flow.first_ns.min(at.frame.clock_ns);
                for (address, child) in key.addresses.iter().zip(&key.children) {
                    self.child(at, *address, child);
                }
                let index = self.connections.len() as u32;
                push_tight(&mut self.connections, Connection::new(key, space, first_ns, span));
                let Self { connection_of, connections, hasher, .. } = self;
                connection_of.insert_unique(hash, index, |index| {
                    let known = connections.get(*index as usize);
                    known.map_or(0, |known| hasher.hash_one(&known.key))
                });
                index
            }
        };
        flow.connections.push(index);
        flow.last_connection = flow.connections.len() as u32 - 1;
        Some(index)
    }

    /// Tells the connection in full, once a journal generation.
    #[cold]
    fn announce_connection(&mut self, index: u32, at: &Place<'_>) {
        if let Some(connection) = self.connections.get_mut(index as usize) {
            connection.generation = self.generation;
            let fact = connection.fact(at.shared.spaces.name(connection.key.space));
            self.output.facts.push((at.frame.ordinal, Fact::Connection(Box::new(fact))));
        }
    }

    /// The connection an operation, change, event or violation belongs to.
    fn party(
        &mut self,
        flow: &mut Flow,
        protocol: &'static str,
        sender: Side,
        client_child: &Child,
        server_child: &Child,
        at: &Place<'_>,
    ) -> Option<(u32, Id, bool)> {
        let reversed = flow.decide_client(None) != sender;
        let (client_child, server_child) =
            if reversed { (server_child, client_child) } else { (client_child, server_child) };
        let index = self.connection(flow, protocol, client_child, server_child, at)?;
        let id = self.connections.get(index as usize)?.id;
        Some((index, id, reversed))
    }

    fn operation(&mut self, flow: &mut Flow, operation: &Operation, paired: bool, at: &Place<'_>) {
        let Some((index, _, _)) = self.party(
            flow,
            operation.connection,
            operation.sender,
            &operation.client_child,
            &operation.server_child,
            at,
        ) else {
            return;
        };
        let client = flow.decide_client(None);
        let Some(connection) = self.connections.get_mut(index as usize) else { return };
        let space = at.shared.spaces.name(flow.space);
        let Some(found) =
            connection.operation(index, operation, client, &mut self.operations, space)
        else {
            self.output.cap("operations");
            return;
        };
        if let Some(what) = found.capped {
            self.output.cap(what);
        }
        let Some(state) = self.operations.get_mut(found.index) else { return };
        // A batch has few enough frames for these counts.
        if paired {
            state.count = state.count.saturating_add(1);
        } else {
            state.unpaired = state.unpaired.saturating_add(1);
        }
        state.last_ns = state.last_ns.max(operation.ts_ns);
        let announced = state.generation == self.generation;
        if !state.dirty {
            state.dirty = true;
            self.dirty_operations.push(found.index);
        }
        if !announced {
            self.announce_operation(found.index, at.frame.ordinal);
        }
    }

    /// Tells the operation in full, once a journal generation.
    #[cold]
    fn announce_operation(&mut self, index: u32, ordinal: u64) {
        let Some(state) = self.operations.get_mut(index) else { return };
        state.generation = self.generation;
        let Some(state) = self.operations.get(index) else { return };
        let connection = self.connections.get(state.connection as usize);
        let fact = connection.and_then(|known| known.operation_fact(state, &self.operations));
        if let Some(fact) = fact {
            self.output.facts.push((ordinal, Fact::Operation(Box::new(fact))));
        }
    }

    fn claim(&mut self, at: &Place<'_>, claim: &Claim, source: Address, destination: Address) {
        let (address, child) = match &claim.who {
            Who::Sender(child) => (source, child),
            Who::Receiver(child) => (destination, child),
            Who::Address(address, child) => (*address, child),
        };
        if address.is_group() || matches!(address, Address::Ip(ip) if ip.is_unspecified()) {
            return;
        }
        let key = (
            (at.space, address, child),
            (claim.attribute, &claim.value, claim.protocol, claim.message),
        );
        if self.said.len() >= DISTINCT {
            self.said.clear();
        }
        if !self.said.insert(self.hasher.hash_one(key)) {
            return;
        }
        // A frame on a loopback interface has an all-zero MAC: what it tells of its sender is all
        // that is known of that machine.
        self.address(at, address, address.is_none(), (at.packet.mac_offset, 6));
        let endpoint = self.child(at, address, child);
        let id =
            keys::claim(endpoint, claim.attribute, &claim.value, claim.protocol, claim.message);
        if !self.is_new(id) {
            return;
        }
        let fact = facts::Claim {
            id,
            endpoint,
            attribute: claim.attribute,
            value: claim.value.clone(),
            protocol: claim.protocol,
            message: claim.message,
            confidence: claim.confidence.name(),
            ts_ns: at.frame.clock_ns,
            evidence: facts::Evidence {
                spans: spans(&claim.evidence.spans),
                decode: claim.evidence.decode.name(),
            },
        };
        self.output.facts.push((at.frame.ordinal, Fact::Claim(Box::new(fact))));
    }

    fn is_new(&mut self, id: Id) -> bool {
        if self.known.contains(&id) {
            return false;
        }
        if self.known.len() >= DISTINCT {
            self.output.cap("facts");
            return false;
        }
        self.known.insert(id)
    }

    fn binding(
        &mut self,
        at: &Place<'_>,
        mac: Mac,
        ip: Address,
        protocol: &'static str,
        message: &'static str,
        evidence: &[FrameSpan],
    ) {
        if mac.is_group() || mac.is_zero() || ip.is_group() || ip.is_none() {
            return;
        }
        let first = self.endpoint(at, Address::Mac(mac));
        let second = self.endpoint(at, ip);
        if self.bindings.len() < DISTINCT
            && self.bindings.insert(self.hasher.hash_one((first, second, protocol, message)))
        {
            let fact = facts::Binding {
                first,
                second,
                protocol,
                message,
                ts_ns: at.frame.clock_ns,
                spans: spans(evidence),
            };
            self.output.facts.push((at.frame.ordinal, Fact::Binding(fact)));
        }
        if matches!(protocol, "arp" | "icmpv6") {
            let said = Holding {
                space: (at.space, at.shared.spaces.name(at.space).into()),
                vlan: at.packet.vlans.last().copied(),
                protocol,
                message,
                group: None,
                what: ip,
                address: None,
                holder: mac.into(),
                holder_id: first,
                leaving: false,
                valid_ns: None,
                ts_ns: at.frame.clock_ns,
                spans: spans(evidence),
            };
            self.output.facts.push((at.frame.ordinal, Fact::Holding(Box::new(said))));
        }
    }

    /// The sender holds a redundancy group's addresses, or gives them up.
    fn holds(&mut self, at: &Place<'_>, holds: &Holds, holder: Address) {
        let said = Holding {
            space: (at.space, at.shared.spaces.name(at.space).into()),
            vlan: at.packet.vlans.last().copied(),
            protocol: holds.protocol,
            message: "",
            group: Some(holds.group.clone()),
            what: holds.mac.into(),
            address: holds.address,
            holder,
            holder_id: self.endpoint(at, holder),
            leaving: holds.leaving,
            valid_ns: Some(holds.valid_ns),
            ts_ns: at.frame.clock_ns,
            spans: spans(&holds.evidence),
        };
        self.output.facts.push((at.frame.ordinal, Fact::Holding(Box::new(said))));
    }

    /// A frame and its routed copy: the MAC it went to and the MAC it left from are one router's.
    fn router(&mut self, at: &Place<'_>, entered: Mac, left: Mac) {
        if entered == left {
            return;
        }
        let first = self.endpoint(at, Address::Mac(entered.min(left)));
        let second = self.endpoint(at, Address::Mac(entered.max(left)));
        let key = (first, second, "routed-copy", "forwarded-packet");
        if self.bindings.len() < DISTINCT && self.bindings.insert(self.hasher.hash_one(key)) {
            let fact = facts::Binding {
                first,
                second,
                protocol: "routed-copy",
                message: "forwarded-packet",
                ts_ns: at.frame.clock_ns,
                spans: vec![at.frame.fact_span(at.packet.mac_offset, 6)],
            };
            self.output.facts.push((at.frame.ordinal, Fact::Binding(fact)));
        }
    }

    fn change(&mut self, flow: &mut Flow, change: otic_protocols::Change, at: &Place<'_>) {
        let Some((_, connection, reversed)) = self.party(
            flow,
            change.connection,
            change.sender,
            &Child::None,
            &change.server_child,
            at,
        ) else {
            return;
        };
        let object = change.object.to_text();
        let id = keys::change(connection, reversed, change.protocol, &object);
        let number = match &change.new {
            Value::Integer(number) => Some(*number as f64),
            Value::Real(number) if number.is_finite() => Some(*number),
            _ => None,
        };
        let new = value(change.new);
        let evidence = facts::Evidence {
            spans: spans(&change.evidence.spans),
            decode: change.evidence.decode.name(),
        };
        let full = self.changes.len() >= DISTINCT;
        if full && !self.changes.contains_key(&id) {
            self.output.cap("changes");
            return;
        }
        let old = change.old.map(value);
        let state = match self.changes.entry(id) {
            Entry::Occupied(entry) => {
                let state = entry.into_mut();
                let before = std::mem::replace(&mut state.fact.new, new);
                state.fact.old = old.or(Some(before));
                state.fact.count += 1;
                state.fact.ts_ns = change.ts_ns;
                state.fact.evidence = evidence;
                state
            }
            Entry::Vacant(entry) => entry.insert(ChangeState {
                fact: facts::Change {
                    id,
                    connection,
                    protocol: change.protocol,
                    reversed,
                    object,
                    old,
                    new,
                    min: None,
                    max: None,
                    count: 1,
                    ts_ns: change.ts_ns,
                    evidence,
                },
                dirty: false,
            }),
        };
        if let Some(number) = number {
            state.fact.min = Some(state.fact.min.map_or(number, |min| min.min(number)));
            state.fact.max = Some(state.fact.max.map_or(number, |max| max.max(number)));
        }
        if !state.dirty {
            state.dirty = true;
            self.dirty_changes.push(id);
        }
    }

    fn event(&mut self, flow: &mut Flow, event: &Event, at: &Place<'_>) {
        let (client, server) = (flow.end(event.sender).0, flow.end(event.sender.other()).0);
        let (client_id, server_id) = (self.endpoint(at, client), self.endpoint(at, server));
        let id = keys::event(event.kind, client_id, server_id, event.protocol, &event.values);
        if self.occurred(id, at) {
            let fact = facts::Event {
                id,
                kind: event.kind.into(),
                space: at.shared.spaces.name(at.space).into(),
                client_id,
                server_id,
                client: client.to_compact_string(),
                server: server.to_compact_string(),
                protocol: event.protocol.into(),
                values: event.values.iter().cloned().collect(),
                ts_ns: at.frame.clock_ns,
                spans: spans(&event.evidence),
            };
            self.output.facts.push((at.frame.ordinal, Fact::Event(Box::new(fact))));
        }
    }

    fn violation(&mut self, flow: &mut Flow, violation: &Violation, at: &Place<'_>) {
        let Some((_, connection, reversed)) =
            self.party(flow, violation.protocol, violation.sender, &Child::None, &Child::None, at)
        else {
            return;
        };
        let id = keys::violation(connection, reversed, violation.rule, &violation.values);
        if self.occurred(id, at) {
            let fact = facts::Violation {
                id,
                connection,
                reversed,
                rule: violation.rule,
                protocol: violation.protocol,
                values: violation.values.iter().cloned().collect(),
                ts_ns: at.frame.clock_ns,
                spans: spans(&violation.evidence),
            };
            self.output.facts.push((at.frame.ordinal, Fact::Violation(Box::new(fact))));
        }
    }

    /// Counts an occurrence; true when its fact must be sent.
    fn occurred(&mut self, id: Id, at: &Place<'_>) -> bool {
        let new = self.is_new(id);
        if new || self.known.contains(&id) {
            let entry = self.occurrences.entry(id).or_default();
            entry.0 += 1;
            entry.1 = at.frame.clock_ns;
        }
        new
    }

    fn rich_payload(&mut self, flow: &mut Flow, payload: otic_protocols::Payload, at: &Place<'_>) {
        let Some((_, connection, reversed)) =
            self.party(flow, payload.protocol, payload.sender, &Child::None, &Child::None, at)
        else {
            return;
        };
        let mut bytes = payload.bytes;
        bytes.truncate(PAYLOAD);
        let id = keys::payload(connection, reversed, payload.kind, &bytes);
        if self.is_new(id) {
            let fact = facts::Payload {
                id,
                connection,
                reversed,
                protocol: payload.protocol,
                kind: payload.kind,
                bytes,
                ts_ns: at.frame.clock_ns,
                spans: spans(&payload.evidence),
            };
            self.output.facts.push((at.frame.ordinal, Fact::Payload(Box::new(fact))));
        }
    }

    /// The roles were wrong: exchanges them and says which rows move.
    fn correct(&mut self, flow: &mut Flow, client: Side, at: &Place<'_>) {
        flow.client = Some(client);
        let old = std::mem::take(&mut flow.connections);
        flow.last_connection = 0;
        for row in old {
            let Some(known) = self.connections.get(row as usize) else { continue };
            let (before, key) = (known.id, known.key.clone());
            let [client_child, server_child] = &key.children;
            let new = self.connection(flow, key.protocol, server_child, client_child, at);
            let after =
                new.and_then(|index| self.connections.get(index as usize)).map(|known| known.id);
            if let Some(after) = after.filter(|after| *after != before) {
                let fact = facts::Correction { old: before, new: after, ts_ns: at.frame.clock_ns };
                self.output.facts.push((at.frame.ordinal, Fact::Correction(fact)));
            }
        }
    }

    /// Id of an address, announced once per journal generation (as speaker: again, once it spoke).
    fn endpoint(&mut self, at: &Place<'_>, address: Address) -> Id {
        self.address(at, address, false, (0, 0))
    }

    fn address(
        &mut self,
        at: &Place<'_>,
        address: Address,
        spoke: bool,
        (offset, length): (u32, u32),
    ) -> Id {
        let known = self.endpoints.get(&(at.space, address)).copied();
        if let Some((id, spoken)) = known
            && (spoken || !spoke)
        {
            return id;
        }
        let space = at.shared.spaces.name(at.space);
        let text = address.to_compact_string();
        let id = known.map_or_else(|| keys::endpoint(space, &text, ""), |(id, _)| id);
        if self.endpoints.len() >= DISTINCT && known.is_none() {
            self.output.cap("endpoints");
            return id;
        }
        self.endpoints.insert((at.space, address), (id, spoke));
        let fact = facts::Endpoint {
            id,
            space: space.into(),
            address: text,
            child: CompactString::default(),
            spoke,
            ts_ns: at.frame.clock_ns,
            spans: match length {
                0 => Vec::new(),
                _ => vec![at.frame.fact_span(offset, length)],
            },
        };
        self.output.facts.push((at.frame.ordinal, Fact::Endpoint(fact)));
        id
    }

    /// Id of a child behind an address (of the address itself for [`Child::None`]).
    fn child(&mut self, at: &Place<'_>, address: Address, child: &Child) -> Id {
        if *child == Child::None {
            return self.endpoint(at, address);
        }
        let space = at.shared.spaces.name(at.space);
        let (text, child) = (address.to_compact_string(), child.to_text());
        let id = keys::endpoint(space, &text, &child);
        if self.children.len() < DISTINCT && self.children.insert(id) {
            let fact = facts::Endpoint {
                id,
                space: space.into(),
                address: text,
                child,
                spoke: false,
                ts_ns: at.frame.clock_ns,
                spans: Vec::new(),
            };
            self.output.facts.push((at.frame.ordinal, Fact::Endpoint(fact)));
        }
        id
    }

    /// Notes who sent a frame, where no flow remembers it.
    fn sight(&mut self, at: &Place<'_>) {
        let packet = at.packet;
        let seen = at.seen(&self.hasher);
        let ip = packet.ip.map(|ip| Address::Ip(ip.source));
        self.sender(at, seen, ip.filter(|ip| !ip.is_none() && !ip.is_group()));
    }

    fn sight_flow(&mut self, flow: &mut Flow, side: Side, at: &Place<'_>) {
        let Some(known) = flow.seen.get_mut(side as usize) else { return };
        let (packet, seen) = (at.packet, at.seen(&self.hasher));
        if known.replace(seen) != Some(seen) {
            flow.two_way = flow.two_way || flow.seen.iter().all(Option::is_some);
            let [untagged, tagged] = &mut flow.tags;
            *untagged |= packet.vlans.is_empty();
            *tagged |= !packet.vlans.is_empty();
            self.sight(at);
        }
        if flow.tags == [true; 2]
            && let Some(lane) = self.lanes.now()
        {
            match packet.vlans.is_empty() {
                true => lane.mixed_untagged += 1,
                false => lane.mixed_tagged += 1,
            }
        }
    }

    /// Counts a copy in its lane; without an IP identification it may be another message.
    fn lane_copy(&mut self, copy: Copy, packet: &Packet) {
        let Some(lane) = self.lanes.now() else { return };
        match copy {
            Copy::Mirror => lane.mirror_copies += u64::from(packet.ip.is_some_and(|ip| ip.id != 0)),
            Copy::Routed { .. } => lane.routed_copies += 1,
            Copy::Prp | Copy::Hsr => {}
        }
    }

    /// Counts numbered messages of a flow that were seen and that are missing.
    fn missing(&mut self, flow: &Flow, counter: Counter, missing: i64, seen: u64) {
        if let Some(lane) = self.lanes.now() {
            lane.numbered(counter, seen, missing);
        }
        if missing <= 0 {
            return;
        }
        // Each layer misses them; of rows between several children, one of the layer's.
        let mut layers = SmallVec::<[&'static str; 4]>::new();
        for index in &flow.connections {
            let Some(connection) = self.connections.get_mut(*index as usize) else { continue };
            if layers.contains(&connection.key.protocol) {
                continue;
            }
            layers.push(connection.key.protocol);
            let [sum, ..] = &mut connection.unseen;
            *sum = sum.saturating_add(missing as u32);
            if connection.touch() {
                self.dirty_connections.push(*index);
            }
        }
    }

    fn sender(&mut self, at: &Place<'_>, seen: Seen, ip: Option<Address>) {
        let packet = at.packet;
        let ip_id = match (ip, packet.ip) {
            (Some(address), Some(header)) => {
                let length = if header.source.is_ipv4() { 4 } else { 16 };
                Some(self.address(at, address, true, (header.source_offset, length)))
            }
            _ => None,
        };
        if let Some((station, _)) = packet.stations {
            self.address(at, station, true, (0, 1));
        }
        let Some(mac) = packet.source_mac.filter(|mac| !mac.is_group() && !mac.is_zero()) else {
            return;
        };
        let mac_id = self.address(at, Address::Mac(mac), true, (packet.mac_offset, 6));
        if self.sightings.len() >= DISTINCT {
            self.output.cap("sightings");
            return;
        }
        if self.sightings.insert(self.hasher.hash_one((mac, at.space, ip, seen))) {
            let mut spans = vec![at.frame.fact_span(packet.mac_offset, 6)];
            if let Some(header) = packet.ip {
                let length = if header.source.is_ipv4() { 4 } else { 16 };
                spans.push(at.frame.fact_span(header.source_offset, length));
            }
            let fact = facts::Sighting {
                mac: mac_id,
                ip: ip_id,
                vlans: packet.vlans.to_vec(),
                interface: at.interface(),
                hop_limit: seen.hop_limit,
                ts_ns: at.frame.clock_ns,
                spans,
            };
            self.output.facts.push((at.frame.ordinal, Fact::Sighting(fact)));
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one attempt")]
    fn attempt(
        &mut self,
        source: Id,
        transport: &'static str,
        host: CompactString,
        port: u16,
        failed: bool,
        ts_ns: i64,
        span: Span,
    ) {
        let attempt = Attempt { source, transport, host, port, failed, ts_ns, span };
        self.attempts.add(attempt, &mut self.output);
    }

    /// A flow without payload ended: counts it as an attempt.
    fn attempt_ended(&mut self, flow: &mut Flow, at: &Place<'_>) {
        let Some(side) = flow.attempt.take() else { return };
        let transport = match flow.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            _ => return,
        };
        let (target, port) = flow.end(side.other());
        if target.is_group() {
            return;
        }
        let source = self.endpoint(at, flow.end(side).0);
        let answered = flow.streams.as_ref().is_none_or(|streams| {
            streams.get(side.other() as usize).is_some_and(|stream| stream.next().is_some())
        });
        let failed = flow.refused || transport == "udp" || !answered;
        let host = target.to_compact_string();
        self.attempt(source, transport, host, port, failed, flow.first_ns, flow.first_span.into());
    }

    /// Lets the flow's dissector report what it waits for.
    fn finish_session(&mut self, flow: &mut Flow, at: &Place<'_>) {
        let mut out = std::mem::take(&mut self.out);
        let own = flow.own_reader.iter_mut().flat_map(|own| own.iter_mut().flatten());
        for reader in std::iter::once(&mut flow.reader).chain(own) {
            if let Reader::Found(_, session) = reader {
                session.finish(&mut out);
            }
        }
        self.drain(flow, Side::A, at, &mut out);
        self.out = out;
    }

    /// What the other side acknowledged and nobody saw is missing.
    fn end_stream(&mut self, flow: &Flow, streams: &mut [Stream; 2], side: Side) {
        let acknowledged = flow.acknowledged.get(side.other() as usize).copied().flatten();
        let heard = flow.heard.get(side as usize).is_some_and(|heard| *heard);
        if let (Some(number), Some(stream), true) =
            (acknowledged, streams.get_mut(side as usize), heard)
        {
            stream.end(number);
            let missing = stream.take_missing();
            self.missing(flow, Counter::Tcp, i64::from(missing), 0);
        }
    }

    /// Takes a flow out of the table and reports what it still holds.
    fn end_flow(&mut self, index: usize, clock_ns: i64, ordinal: u64, shared: &Shared) {
        let Some(mut flow) = self.flows.get_mut(index).and_then(Option::take) else { return };
        let entry =
            self.flow_of.find_entry(self.hasher.hash_one(flow.key), |slot| *slot == flow.slot);
        if let Ok(entry) = entry {
            entry.remove();
        }
        self.free.push(index);
        let frame = Frame {
            ordinal,
            file: 0,
            number: 0,
            clock_ns,
            link_type: 0,
            interface: u32::MAX,
            original_length: 0,
            bytes: &[],
        };
        let packet = packet::decode(u16::MAX, &[]);
        let ends = (None, None);
        let at = Place { frame: &frame, packet: &packet, ends: &ends, space: flow.space, shared };
        self.lanes.go_to(flow.lane);
        if let Some(mut streams) = flow.streams.take() {
            for side in [Side::A, Side::B] {
                if streams.get(side as usize).is_some_and(Stream::has_late) {
                    self.stream_read(&mut flow, &mut streams, side, &at, Step::Finish);
                }
                self.end_stream(&flow, &mut streams, side);
            }
            self.held -= streams.iter().map(Stream::held).sum::<usize>();
            flow.streams = Some(streams);
        }
        if let Some(context) = context_of(&flow, shared).filter(|_| !flow.refused) {
            self.remember(context);
        }
        self.finish_session(&mut flow, &at);
        let waits = flow.waiting.is_some();
        match (&flow.reader, flow.transport) {
            (Reader::Found(protocol, _), _) if flow.connections.is_empty() && flow.payload => {
                let name = protocol.name;
                self.waiting_frames(&mut flow, name, &at);
            }
            (Reader::Searching(..) | Reader::Unknown(_), Transport::Tcp) if waits => {
                self.output.cause("undecoded-tcp");
                self.waiting_frames(&mut flow, "unknown", &at);
            }
            (Reader::Searching(_, Some(_)), _)
                if flow.waiting.as_deref().is_some_and(both_sent) =>
            {
                // The trial came to no end.
                flow.attempt = None;
                self.output.cause("undecoded-udp");
                self.waiting_frames(&mut flow, "unknown", &at);
            }
            _ => {}
        }
        self.attempt_ended(&mut flow, &at);
    }
}

/// Whether frames of both ends wait.
fn both_sent(waiting: &Waiting) -> bool {
    waiting.iter().all(|(frames, _)| *frames > 0)
}

/// Both ends of a flow between IP addresses.
fn ip_ends(flow: &Flow) -> Option<contexts::Ends> {
    match flow.ends {
        [(Address::Ip(a), a_port), (Address::Ip(b), b_port)] => Some([(a, a_port), (b, b_port)]),
        _ => None,
    }
}

/// What the session of a TCP flow agreed, if later messages depend on it.
fn context_of(flow: &Flow, shared: &Shared) -> Option<Context> {
    let (Reader::Found(protocol, session), Transport::Tcp) = (&flow.reader, flow.transport) else {
        return None;
    };
    Some(Context {
        bytes: session.context()?,
        ends: ip_ends(flow)?,
        space: shared.spaces.name(flow.space).into(),
        protocol: protocol.name.into(),
        client_is_second: flow.client? == Side::B,
        last_ns: flow.last_ns,
    })
}

/// Reads what `stream` keeps since before the protocol was known; what it cannot be is a greeting
/// before it.
fn read_kept(reader: &mut Reader, stream: &mut Stream, now: &Input<'_>, out: &mut Out) {
    let cap = reader.cap();
    stream.again(cap, &mut |chunk| {
        let input = Input {
            bytes: chunk.bytes,
            spans: chunk.spans,
            side: now.side.other(),
            source: now.destination,
            source_port: now.destination_port,
            source_mac: None,
            destination: now.source,
            destination_port: now.source_port,
            stream_start: chunk.stream_start,
            after_gap: chunk.after_gap,
            truncated: false,
            ..*now
        };
        if reader.fits(&input) { read_earlier(reader, &input, out) } else { chunk.bytes.len() }
    });
}

/// Reads bytes that came before those at hand; gives how many were used up.
fn read_earlier(reader: &mut Reader, input: &Input<'_>, out: &mut Out) -> usize {
    if input.bytes.is_empty() {
        return 0;
    }
    let mut before = Out::default();
    let used = reader.read(&CarrierId::Tcp, input, 0, None, &mut before);
    out.earlier.extend(before.items.into_iter().map(|item| (input.side, item)));
    used
}

/// The dissector that one side has of its own.
#[inline]
fn own_of(own: &mut Option<Box<[Option<Reader>; 2]>>, side: Side) -> Option<&mut Reader> {
    own.as_deref_mut()?.get_mut(side as usize)?.as_mut()
}

/// What happens to a stream.
enum Step<'a> {
    /// A segment comes, and what the peer acknowledged last.
    Segment(Segment<'a>, Option<u32>),
    /// The peer acknowledges bytes up to this sequence number.
    Acknowledged(u32),
    /// It ends.
    Finish,
}

/// Where the shard is: one frame, its headers, its address space.
struct Place<'a> {
    frame: &'a Frame<'a>,
    packet: &'a Packet,
    ends: &'a Ends,
    space: u16,
    shared: &'a Shared,
}

impl Place<'_> {
    #[inline]
    fn seen(&self, hasher: &DefaultHashBuilder) -> Seen {
        Seen {
            tap: Tap::new(self.frame.interface, &self.packet.vlans, hasher),
            mac: self.packet.source_mac,
            hop_limit: self.packet.ip.as_ref().map_or(0, |ip| ip.hop_limit),
        }
    }

    fn interface(&self) -> CompactString {
        self.shared.interfaces.get(self.frame.interface as usize).cloned().unwrap_or_default()
    }

    /// What the packet carries; where that is nothing, who sends it to whom and to which port.
    fn said(&self) -> Span {
        let packet = self.packet;
        let from = match packet.ip {
            Some(ip) if packet.start >= packet.end => ip.source_offset,
            _ => packet.start,
        };
        let until = packet.end.max(packet.start);
        self.frame.fact_span(from, until.saturating_sub(from))
    }

    /// Whether no IP identification tells copies of the frame apart.
    fn without_id(&self) -> bool {
        self.packet.ip.is_none_or(|ip| ip.id == 0)
    }

    /// Bytes of the frame that were on the wire but not captured.
    fn missing(&self) -> u32 {
        self.frame.original_length.saturating_sub(self.frame.bytes.len() as u32)
    }

    #[inline]
    fn input<'b>(
        &self,
        side: Side,
        [a, b]: &[(Address, u16); 2],
        transport: Transport,
        bytes: &'b [u8],
        spans: &'b SpanMap,
    ) -> Input<'b> {
        let (from, to) = if side == Side::A { (a, b) } else { (b, a) };
        Input {
            bytes,
            spans,
            side,
            transport,
            source_port: from.1,
            destination_port: to.1,
            source: from.0,
            destination: to.0,
            source_mac: self.packet.source_mac,
            ts_ns: self.frame.clock_ns,
            stream_start: false,
            after_gap: false,
            truncated: self.packet.truncated,
        }
    }
}

/// What the SYN in this frame says of its sender's stack.
fn stack_claim(at: &Place<'_>, message: &'static str) -> Option<Box<Claim>> {
    let (value, offset, length) = stack::read(at.frame.bytes, at.packet)?;
    let spans = SpanMap::single(at.frame.span(offset, length)).range(0, length as usize);
    Some(Box::new(Claim {
        who: Who::Sender(Child::None),
        attribute: "tcp_stack",
        value,
        protocol: "tcp",
        message,
        confidence: Confidence::Medium,
        evidence: Evidence { spans, decode: Decode::Derived },
    }))
}

/// An ARP request or ICMP echo request is an attempt to find a host: (transport, ARP's target).
fn attempt_of(
    out: &Out,
    carrier: &CarrierId,
    bytes: &[u8],
) -> Option<(&'static str, Option<Address>)> {
    match (carrier, bytes) {
        // ARP request for IPv4 over Ethernet: target protocol address at offset 24 (RFC 826).
        (
            CarrierId::EtherType(0x0806),
            [
                0,
                1,
                8,
                0,
                6,
                4,
                0,
                1,
                _,
                _,
                _,
                _,
                _,
                _,
                s0,
                s1,
                s2,
                s3,
                _,
                _,
                _,
                _,
                _,
                _,
                a,
                b,
                c,
                d,
                ..,
            ],
        ) if [s0, s1, s2, s3] != [a, b, c, d] => {
            let target = IpAddr::from([*a, *b, *c, *d]);
            (!out.items.is_empty()).then_some(("arp", Some(Address::Ip(target))))
        }
        (CarrierId::Ip(1), [8, ..]) | (CarrierId::Ip(58), [128, ..]) => Some(("icmp", None)),
        _ => None,
    }
}

fn value(value: Value) -> facts::Value {
    match value {
        Value::Integer(number) => facts::Value::Integer(number),
        Value::Real(number) => facts::Value::Real(number),
        Value::Text(text) => facts::Value::Text(text),
        Value::Bytes(bytes) => {
            let mut text = CompactString::default();
            for byte in bytes.iter().take(256) {
                let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
            }
            facts::Value::Text(text)
        }
    }
}
