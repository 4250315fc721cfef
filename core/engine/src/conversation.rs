//! Connections and operations of one shard: first seen once in full, then only counted.

use std::hash::BuildHasher;

use compact_str::CompactString;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use otic_protocols::out::same_name;
use otic_protocols::{Action, Child, Object, Operation, Outcome, Side, Transport};
use otic_wire::Address;
use smallvec::SmallVec;

use crate::facts::{self, Id, Span};
use crate::flow::same_vlans;
use crate::keys;

/// Exact objects of one (connection, code) before the rest becomes patterns.
const OBJECTS: u32 = 64;
/// The same for guarded actions.
const GUARDED_OBJECTS: u32 = 16_384;
/// Distinct operations of one connection before the rest becomes `other`.
const OPERATIONS: usize = 1024;

/// What names a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    /// Address space.
    pub space: u16,
    /// Client.
    pub client: (Address, Child),
    /// Server.
    pub server: (Address, Child),
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
    /// The fact, kept to be sent again when a journal segment starts; apart, so that what every
    /// frame touches is close together.
    pub fact: Box<facts::Connection>,
    /// Journal generation the fact was sent in.
    pub generation: u32,
    /// Frames client → server and server → client, and bytes of both.
    pub packets: [u64; 2],
    /// Original lengths, bytes.
    pub bytes: u64,
    /// Of these frames: missing, cut short, seen in one direction only.
    pub unseen: [u64; 3],
    /// Last frame.
    pub last_ns: i64,
    /// Waits for the next batch.
    pub dirty: bool,
    /// Frame counted last, so a frame with several messages counts once.
    pub last_ordinal: u64,
    /// VLANs and interface observed last.
    observed: Option<(SmallVec<[u16; 4]>, u32)>,
    /// Its operations, as indices into the shard's.
    operations: HashTable<u32>,
    objects: HashMap<(&'static str, bool, Option<u32>), u32>,
    /// Operation looked up last: steady polling asks for the same again.
    recent: u32,
}

/// What tells the operations of a connection apart.
#[derive(Debug, Clone)]
struct OperationKey {
    protocol: &'static str,
    reversed: bool,
    code: Option<u32>,
    name: &'static str,
    action: Action,
    object: Object,
    outcome: Outcome,
}

impl OperationKey {
    fn new(operation: &Operation, reversed: bool, object: Object) -> Self {
        Self {
            protocol: operation.protocol,
            reversed,
            code: operation.code,
            name: operation.name,
            action: operation.action,
            object,
            outcome: operation.outcome,
        }
    }

    /// Whether `operation` counts here when its object is taken for `object`.
    #[inline]
    fn fits(&self, operation: &Operation, reversed: bool, object: &Object) -> bool {
        self.code == operation.code
            && self.outcome == operation.outcome
            && self.action == operation.action
            && self.reversed == reversed
            && self.object == *object
            && same_name(self.name, operation.name)
            && same_name(self.protocol, operation.protocol)
    }
}

/// Names follow from the numbers, but for the rarest: they are left out.
fn operation_hash(
    hasher: &DefaultHashBuilder,
    code: Option<u32>,
    outcome: Outcome,
    reversed: bool,
    object: &Object,
) -> u64 {
    let code = code.map_or(0, |code| u64::from(code) + 1);
    hasher.hash_one((code << 8 | (outcome as u64) << 1 | u64::from(reversed), object))
}

/// One operation and its counts since the last batch.
pub struct OperationState {
    key: OperationKey,
    /// The fact, apart from what every message touches.
    pub fact: Box<facts::Operation>,
    /// Journal generation the fact was sent in.
    pub generation: u32,
    /// Requests and one-way messages.
    pub count: u64,
    /// Responses without request.
    pub unpaired: u64,
    /// Last message.
    pub last_ns: i64,
    /// Waits for the next batch.
    pub dirty: bool,
}

/// What a look-up of an operation found.
pub struct Found {
    /// Index into the shard's operations.
    pub index: u32,
    /// It is new.
    pub new: bool,
    /// A cap made it a pattern or `other` and this message was the first to be.
    pub capped: Option<&'static str>,
}

impl Connection {
    /// A new connection.
    #[must_use]
    pub fn new(key: &ConnectionKey, space: &str, ts_ns: i64, spans: Vec<Span>) -> Self {
        let text = |address: &Address| {
            let mut text = CompactString::default();
            let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{address}"));
            text
        };
        let (client, server) = (text(&key.client.0), text(&key.server.0));
        let (client_child, server_child) = (key.client.1.to_text(), key.server.1.to_text());
        let transport = match key.transport {
            Transport::Ethernet => "ethernet",
            Transport::Ip => "ip",
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        let has_ports = matches!(key.transport, Transport::Udp | Transport::Tcp);
        let port = has_ports.then_some(key.port);
        let id = keys::connection(
            space,
            (&client, &client_child),
            (&server, &server_child),
            transport,
            port,
            key.protocol,
        );
        let fact = facts::Connection {
            id,
            client_id: keys::endpoint(space, &client, &client_child),
            server_id: keys::endpoint(space, &server, &server_child),
            space: space.into(),
            client,
            server,
            client_child,
            server_child,
            transport,
            port,
            protocol: key.protocol.into(),
            ts_ns,
            spans,
        };
        Self {
            id,
            fact: Box::new(fact),
            generation: u32::MAX,
            packets: [0; 2],
            bytes: 0,
            unseen: [0; 3],
            last_ns: ts_ns,
            dirty: false,
            last_ordinal: u64::MAX,
            observed: None,
            operations: HashTable::new(),
            objects: HashMap::new(),
            recent: u32::MAX,
        }
    }

    /// Finds or adds the operation in `all`.
    pub fn operation(
        &mut self,
        operation: &Operation,
        client: Side,
        all: &mut Vec<OperationState>,
        hasher: &DefaultHashBuilder,
    ) -> Found {
        let reversed = operation.sender != client;
        let object = &operation.object;
        if let Some(recent) = all.get(self.recent as usize)
            && recent.key.fits(operation, reversed, object)
        {
            return Found { index: self.recent, new: false, capped: None };
        }
        if let Some(index) = self.find(operation, reversed, object, all, hasher) {
            self.recent = index;
            return Found { index, new: false, capped: None };
        }
        let (object, capped) = self.cap(operation, reversed, all, hasher);
        if let Some(index) = self.find(operation, reversed, &object, all, hasher) {
            return Found { index, new: false, capped: None };
        }
        let index = all.len() as u32;
        let hash = operation_hash(hasher, operation.code, operation.outcome, reversed, &object);
        all.push(self.state(OperationKey::new(operation, reversed, object), operation));
        self.operations.insert_unique(hash, index, |index| {
            all.get(*index as usize).map_or(0, |OperationState { key, .. }| {
                operation_hash(hasher, key.code, key.outcome, key.reversed, &key.object)
            })
        });
        self.recent = index;
        Found { index, new: true, capped }
    }

    fn find(
        &self,
        operation: &Operation,
        reversed: bool,
        object: &Object,
        all: &[OperationState],
        hasher: &DefaultHashBuilder,
    ) -> Option<u32> {
        let hash = operation_hash(hasher, operation.code, operation.outcome, reversed, object);
        let fits = |index: &u32| {
            all.get(*index as usize)
                .is_some_and(|state| state.key.fits(operation, reversed, object))
        };
        self.operations.find(hash, fits).copied()
    }

    /// What to take the object of a new operation for: one that is too many is a pattern, or
    /// `other`.
    fn cap(
        &mut self,
        operation: &Operation,
        reversed: bool,
        all: &[OperationState],
        hasher: &DefaultHashBuilder,
    ) -> (Object, Option<&'static str>) {
        let guarded = is_guarded(operation.action);
        let mut object = operation.object.clone();
        let mut capped = None;
        if object != Object::None {
            let key = (operation.protocol, reversed, operation.code);
            let seen = self.objects.entry(key).or_default();
            if *seen >= if guarded { GUARDED_OBJECTS } else { OBJECTS } {
                object = object.pattern();
                capped = Some("objects");
            } else {
                *seen += 1;
            }
        }
        if self.operations.len() >= OPERATIONS
            && !guarded
            && self.find(operation, reversed, &object, all, hasher).is_none()
        {
            object = Object::Text("other".into());
            capped = Some("operations");
        }
        (object, capped)
    }

    fn state(&self, key: OperationKey, operation: &Operation) -> OperationState {
        let object = key.object.to_text();
        let id = keys::operation(
            &self.fact.space,
            self.id,
            key.protocol,
            key.reversed,
            key.code,
            key.name,
            key.action.name(),
            &object,
            key.outcome.name(),
        );
        OperationState {
            fact: Box::new(facts::Operation {
                id,
                connection: self.id,
                protocol: key.protocol,
                reversed: key.reversed,
                code: key.code,
                name: key.name,
                action: key.action.name(),
                object,
                outcome: key.outcome.name(),
                client_child: operation.client_child.to_text(),
                server_child: operation.server_child.to_text(),
                ts_ns: operation.ts_ns,
                spans: spans(&operation.evidence),
            }),
            key,
            generation: u32::MAX,
            count: 0,
            unpaired: 0,
            last_ns: operation.ts_ns,
            dirty: false,
        }
    }

    /// Whether this VLAN stack and interface were not the last ones observed.
    #[inline]
    pub fn observe(&mut self, vlans: &[u16], interface: u32) -> bool {
        let same = self.observed.as_ref().is_some_and(|(last_vlans, last_interface)| {
            *last_interface == interface && same_vlans(last_vlans, vlans)
        });
        if !same {
            self.observed = Some((vlans.into(), interface));
        }
        !same
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
    evidence.iter().map(|span| (span.file, span.frame, span.offset, span.length)).collect()
}
