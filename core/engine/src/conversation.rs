//! Connections and operations of one shard: first seen once in full, then only counted.

use std::hash::BuildHasher;

use crate::facts::{self, Id, Span};
use crate::flow::Tap;
use crate::keys;
use compact_str::ToCompactString;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use otic_protocols::out::same_name;
use otic_protocols::{Action, Child, Object, Operation, Outcome, Side, Transport};
use otic_wire::{Address, FrameSpan};

/// Exact objects of one (connection, code) before the rest becomes patterns.
const OBJECTS: u32 = 64;
/// The same for guarded actions.
const GUARDED_OBJECTS: u32 = 16_384;
/// Distinct operations of one connection before the rest becomes `other`.
const OPERATIONS: usize = 1024;
/// Distinct operations of all connections of a shard; further ones are only counted as capped.
const ALL_OPERATIONS: usize = 32_768;
/// The same for guarded actions, which an attacker must not hide by many others.
const ALL_GUARDED_OPERATIONS: usize = 2 * ALL_OPERATIONS;
/// Distinct codes of one connection whose objects are counted; objects of further ones are patterns.
const CODES: usize = 4096;

/// What names a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    /// Address space.
    pub space: u16,
    /// Client and server.
    pub addresses: [Address; 2],
    /// Children behind them. Apart from the addresses, so that nothing is lost to alignment.
    pub children: [Child; 2],
    /// What carries it.
    pub transport: Transport,
    /// Server port; 0 without ports.
    pub port: u16,
    /// Protocol layer.
    pub protocol: &'static str,
}

/// One connection and its counts since the last batch.
pub struct Connection {
    /// Its id.
    pub id: Id,
    /// What names it; the fact is made of it when it is told.
    pub key: ConnectionKey,
    /// Journal generation the fact was sent in.
    pub generation: u32,
    /// Frames client → server and server → client, and bytes of both.
    pub packets: [u64; 2],
    /// Original lengths, bytes.
    pub bytes: u64,
    /// Of these frames: missing, cut short, seen in one direction only.
    pub unseen: [u32; 3],
    /// First frame.
    first_ns: i64,
    /// Its bytes of this layer.
    first_span: TightSpan,
    /// Last frame.
    pub last_ns: i64,
    /// Frame counted last, so a frame with several messages counts once.
    pub last_ordinal: u64,
    /// VLANs and interface observed last.
    observed: Option<Tap>,
    /// Exact objects of each code, once there are enough operations for a cap to be near.
    objects: Option<Box<HashMap<ObjectsKey, u32>>>,
    /// Number of its operations.
    operations: u32,
    /// Its newest operation; each leads to the one before.
    newest: u32,
    /// Operation looked up last: steady polling asks for the same again.
    recent: u32,
    /// Waits for the next batch.
    pub dirty: bool,
}

/// Protocol, direction and code whose exact objects are counted.
type ObjectsKey = (&'static str, bool, Option<u32>);

/// What operations of many connections have in common.
#[derive(Debug, Clone)]
struct OperationKind {
    protocol: &'static str,
    name: &'static str,
    code: Option<u32>,
    action: Action,
    outcome: Outcome,
    reversed: bool,
}

impl OperationKind {
    const fn new(operation: &Operation, reversed: bool) -> Self {
        Self {
            protocol: operation.protocol,
            name: operation.name,
            code: operation.code,
            action: operation.action,
            outcome: operation.outcome,
            reversed,
        }
    }

    #[inline]
    fn fits(&self, operation: &Operation, reversed: bool) -> bool {
        self.code == operation.code
            && self.outcome == operation.outcome
            && self.action == operation.action
            && self.reversed == reversed
            && same_name(self.name, operation.name)
            && same_name(self.protocol, operation.protocol)
    }

    /// Names follow from the numbers, but for the rarest: they are left out.
    fn number(&self) -> u64 {
        kind_number(self.code, self.outcome, self.reversed)
    }
}

fn kind_number(code: Option<u32>, outcome: Outcome, reversed: bool) -> u64 {
    let code = code.map_or(0, |code| u64::from(code) + 1);
    code << 8 | (outcome as u64) << 1 | u64::from(reversed)
}

fn operation_hash(
    hasher: &DefaultHashBuilder,
    connection: u32,
    kind_number: u64,
    object: &Object,
) -> u64 {
    hasher.hash_one((connection, kind_number, object))
}

/// One operation and its counts since the last batch.
pub struct OperationState {
    /// An index into the shard's kinds.
    kind: u32,
    object: Object,
    /// Its id.
    pub id: Id,
    /// Its connection, an index into the shard's.
    pub connection: u32,
    /// The operation its connection had before.
    before: u32,
    /// First message.
    first_ns: i64,
    /// Bytes of the first request.
    evidence: TightSpans,
    /// Journal generation the fact was sent in.
    pub generation: u32,
    /// Requests and one-way messages.
    pub count: u32,
    /// Responses without request.
    pub unpaired: u32,
    /// Last message.
    pub last_ns: i64,
    /// Waits for the next batch.
    pub dirty: bool,
}

/// What a look-up of an operation found.
pub struct Found {
    /// Index into the shard's operations.
    pub index: u32,
    /// A cap made it a pattern or `other` and this message was the first to be.
    pub capped: Option<&'static str>,
}

impl Connection {
    /// A new connection.
    #[must_use]
    pub fn new(key: ConnectionKey, space: &str, ts_ns: i64, first_span: Span) -> Self {
        let [client, server] = key.addresses.map(|address| address.to_compact_string());
        let [client_child, server_child] = key.children.each_ref().map(Child::to_text);
        let id = keys::connection(
            space,
            (&client, &client_child),
            (&server, &server_child),
            key.transport_name(),
            key.known_port(),
            key.protocol,
        );
        Self {
            id,
            key,
            generation: u32::MAX,
            packets: [0; 2],
            bytes: 0,
            unseen: [0; 3],
            first_ns: ts_ns,
            first_span: first_span.into(),
            last_ns: ts_ns,
            last_ordinal: u64::MAX,
            observed: None,
            objects: None,
            operations: 0,
            newest: u32::MAX,
            recent: u32::MAX,
            dirty: false,
        }
    }

    /// Notes that it has counts for the next batch; true when that is news.
    #[inline]
    pub const fn touch(&mut self) -> bool {
        !std::mem::replace(&mut self.dirty, true)
    }

    /// The fact, as it is told once a journal generation.
    #[must_use]
    pub fn fact(&self, space: &str) -> facts::Connection {
        let key = &self.key;
        let [client, server] = key.addresses.map(|address| address.to_compact_string());
        let [client_child, server_child] = key.children.each_ref().map(Child::to_text);
        facts::Connection {
            id: self.id,
            client_id: keys::endpoint(space, &client, &client_child),
            server_id: keys::endpoint(space, &server, &server_child),
            space: space.into(),
            client,
            server,
            client_child,
            server_child,
            transport: key.transport_name(),
            port: key.known_port(),
            protocol: key.protocol.into(),
            ts_ns: self.first_ns,
            spans: vec![self.first_span.into()],
        }
    }

    /// The fact of one of its operations.
    #[must_use]
    pub fn operation_fact(
        &self,
        state: &OperationState,
        operations: &Operations,
    ) -> Option<facts::Operation> {
        let kind = operations.kind(state)?;
        let [client, server] = self.key.children.each_ref().map(Child::to_text);
        let (client_child, server_child) =
            if kind.reversed { (server, client) } else { (client, server) };
        Some(facts::Operation {
            id: state.id,
            connection: self.id,
            protocol: kind.protocol,
            reversed: kind.reversed,
            code: kind.code,
            name: kind.name,
            action: kind.action.name(),
            object: state.object.to_text(),
            outcome: kind.outcome.name(),
            client_child,
            server_child,
            ts_ns: state.first_ns,
            spans: state.evidence.spans(),
        })
    }

    /// Whether this is the row of `protocol` between these children.
    #[inline]
    #[must_use]
    pub fn fits(&self, protocol: &'static str, client: &Child, server: &Child) -> bool {
        let [own_client, own_server] = &self.key.children;
        same_name(self.key.protocol, protocol) && own_client == client && own_server == server
    }
}

impl ConnectionKey {
    const fn transport_name(&self) -> &'static str {
        match self.transport {
            Transport::Ethernet => "ethernet",
            Transport::Ip => "ip",
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }

    fn known_port(&self) -> Option<u16> {
        matches!(self.transport, Transport::Udp | Transport::Tcp).then_some(self.port)
    }
}

/// All operations of a shard.
#[derive(Default)]
pub struct Operations {
    hasher: DefaultHashBuilder,
    kinds: Vec<OperationKind>,
    /// Indices into `kinds`.
    kind_of: HashTable<u32>,
    all: Vec<OperationState>,
    /// Indices into `all`, by connection and key.
    index: HashTable<u32>,
}

impl Operations {
    /// The operation with this index.
    #[inline]
    #[must_use]
    pub fn get(&self, index: u32) -> Option<&OperationState> {
        self.all.get(index as usize)
    }

    /// The operation with this index.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut OperationState> {
        self.all.get_mut(index as usize)
    }

    fn kind(&self, state: &OperationState) -> Option<&OperationKind> {
        self.kinds.get(state.kind as usize)
    }

    /// Whether `operation` counts as `state` when its object is taken for `object`.
    #[inline]
    fn fits(
        &self,
        state: &OperationState,
        operation: &Operation,
        reversed: bool,
        object: &Object,
    ) -> bool {
        self.kind(state).is_some_and(|kind| kind.fits(operation, reversed))
            && state.object == *object
    }

    fn find(
        &self,
        connection: u32,
        operation: &Operation,
        reversed: bool,
        object: &Object,
    ) -> Option<u32> {
        let number = kind_number(operation.code, operation.outcome, reversed);
        let hash = operation_hash(&self.hasher, connection, number, object);
        let fits = |index: &u32| {
            self.get(*index).is_some_and(|state| {
                state.connection == connection && self.fits(state, operation, reversed, object)
            })
        };
        self.index.find(hash, fits).copied()
    }

    /// Index of the kind of this operation, which is new or known.
    fn kind_index(&mut self, operation: &Operation, reversed: bool) -> u32 {
        let Self { hasher, kinds, kind_of, .. } = self;
        let kind = OperationKind::new(operation, reversed);
        let hash = hasher.hash_one(kind.number());
        let fits = |index: &u32| {
            kinds.get(*index as usize).is_some_and(|known| known.fits(operation, reversed))
        };
        if let Some(index) = kind_of.find(hash, fits) {
            return *index;
        }
        let index = kinds.len() as u32;
        push_tight(kinds, kind);
        kind_of.insert_unique(hash, index, |index| {
            kinds.get(*index as usize).map_or(0, |known| hasher.hash_one(known.number()))
        });
        index
    }

    fn add(&mut self, state: OperationState) -> u32 {
        let Self { hasher, kinds, all, index, .. } = self;
        let number = all.len() as u32;
        let hash = |state: &OperationState| {
            let kind = kinds.get(state.kind as usize).map_or(0, OperationKind::number);
            operation_hash(hasher, state.connection, kind, &state.object)
        };
        let own = hash(&state);
        push_tight(all, state);
        index.insert_unique(own, number, |index| all.get(*index as usize).map_or(0, hash));
        number
    }
}

/// Appends to a table that stays: it grows by an eighth, not to the double.
pub fn push_tight<T>(table: &mut Vec<T>, item: T) {
    if table.len() == table.capacity() {
        table.reserve_exact(table.len() / 8 + 4);
    }
    table.push(item);
}

impl Connection {
    /// Finds or adds the operation in `all`; `own` is the index of this connection. None when there
    /// is no room for another.
    pub fn operation(
        &mut self,
        own: u32,
        operation: &Operation,
        client: Side,
        all: &mut Operations,
        space: &str,
    ) -> Option<Found> {
        let reversed = operation.sender != client;
        let object = &operation.object;
        if let Some(recent) = all.get(self.recent)
            && all.fits(recent, operation, reversed, object)
        {
            return Some(Found { index: self.recent, capped: None });
        }
        if let Some(index) = all.find(own, operation, reversed, object) {
            self.recent = index;
            return Some(Found { index, capped: None });
        }
        let (object, capped) = self.cap(own, operation, reversed, all);
        if let Some(index) = all.find(own, operation, reversed, &object) {
            return Some(Found { index, capped: None });
        }
        let guarded = is_guarded(operation.action);
        if all.all.len() >= if guarded { ALL_GUARDED_OPERATIONS } else { ALL_OPERATIONS } {
            return None;
        }
        let id = keys::operation(
            space,
            self.id,
            operation.protocol,
            reversed,
            operation.code,
            operation.name,
            operation.action.name(),
            &object.to_text(),
            operation.outcome.name(),
        );
        let kind = all.kind_index(operation, reversed);
        let index = all.add(OperationState {
            kind,
            object,
            id,
            connection: own,
            before: self.newest,
            first_ns: operation.ts_ns,
            evidence: operation.evidence.as_slice().into(),
            generation: u32::MAX,
            count: 0,
            unpaired: 0,
            last_ns: operation.ts_ns,
            dirty: false,
        });
        self.operations += 1;
        self.newest = index;
        self.recent = index;
        Some(Found { index, capped })
    }

    /// What to take the object of a new operation for: one that is too many is a pattern, or
    /// `other`.
    fn cap(
        &mut self,
        own: u32,
        operation: &Operation,
        reversed: bool,
        all: &Operations,
    ) -> (Object, Option<&'static str>) {
        let guarded = is_guarded(operation.action);
        let mut object = operation.object.clone();
        let mut capped = None;
        if object != Object::None && self.operations >= OBJECTS {
            let objects = match self.objects.take() {
                Some(objects) => objects,
                None => Box::new(self.count_objects(all)),
            };
            let objects = self.objects.insert(objects);
            let key = (operation.protocol, reversed, operation.code);
            let most = if guarded { GUARDED_OBJECTS } else { OBJECTS };
            let room = objects.len() < CODES;
            match objects.get_mut(&key) {
                Some(seen) if *seen < most => *seen += 1,
                None if room => {
                    objects.insert(key, 1);
                }
                _ => {
                    object = object.pattern();
                    capped = Some("objects");
                }
            }
        }
        if self.operations as usize >= OPERATIONS
            && !guarded
            && all.find(own, operation, reversed, &object).is_none()
        {
            object = Object::Text("other".into());
            capped = Some("operations");
        }
        (object, capped)
    }

    /// Exact objects of each code among the operations so far, none of which is a pattern yet.
    fn count_objects(&self, all: &Operations) -> HashMap<ObjectsKey, u32> {
        let mut objects = HashMap::new();
        let mut next = self.newest;
        while let Some(state) = all.get(next) {
            if let (Some(kind), true) = (all.kind(state), state.object != Object::None) {
                *objects.entry((kind.protocol, kind.reversed, kind.code)).or_default() += 1;
            }
            next = state.before;
        }
        objects
    }

    /// Whether this VLAN stack and interface were not the last ones observed.
    #[inline]
    pub fn observe(&mut self, tap: Tap) -> bool {
        self.observed.replace(tap) != Some(tap)
    }
}

/// Actions that are never learned silently (design.md §3, guarded).
const fn is_guarded(action: Action) -> bool {
    matches!(
        action,
        Action::ProgramDownload
            | Action::Firmware
            | Action::Start
            | Action::Stop
            | Action::Reset
            | Action::Mode
    )
}

/// Evidence as it crosses into facts.
#[must_use]
pub fn spans(evidence: &[otic_wire::FrameSpan]) -> Vec<Span> {
    evidence.iter().map(fact_span).collect()
}

const fn fact_span(span: &FrameSpan) -> Span {
    (span.file, span.frame, span.offset, span.length)
}

/// A span as it is kept for long, without holes for alignment: file, both halves of the frame number,
/// offset and length.
#[derive(Debug, Clone, Copy)]
pub struct TightSpan([u32; 5]);

impl From<Span> for TightSpan {
    fn from((file, frame, offset, length): Span) -> Self {
        Self([file, (frame >> 32) as u32, frame as u32, offset, length])
    }
}

impl From<TightSpan> for Span {
    fn from(TightSpan([file, high, low, offset, length]): TightSpan) -> Self {
        (file, u64::from(high) << 32 | u64::from(low), offset, length)
    }
}

/// Evidence as it is kept for long: mostly one span.
#[derive(Debug)]
enum TightSpans {
    One(TightSpan),
    Others(Box<[FrameSpan]>),
}

impl From<&[FrameSpan]> for TightSpans {
    fn from(evidence: &[FrameSpan]) -> Self {
        match evidence {
            [one] => Self::One(fact_span(one).into()),
            others => Self::Others(others.into()),
        }
    }
}

impl TightSpans {
    fn spans(&self) -> Vec<Span> {
        match self {
            Self::One(one) => vec![(*one).into()],
            Self::Others(others) => spans(others),
        }
    }
}
