//! Connections and operations of one shard: first seen once in full, then only counted.

use std::hash::BuildHasher;

use compact_str::CompactString;
use hashbrown::{DefaultHashBuilder, HashMap};
use otic_protocols::{Action, Child, Object, Operation, Outcome, Side, Transport};
use otic_wire::Address;

use crate::facts::{self, Id, Span};
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
    /// The fact, kept to be sent again when a journal segment starts.
    pub fact: facts::Connection,
    /// Journal generation the fact was sent in.
    pub generation: u32,
    /// Frames client → server and server → client, and bytes of both.
    pub packets: [u64; 2],
    /// Original lengths, bytes.
    pub bytes: u64,
    /// Last frame.
    pub last_ns: i64,
    /// Waits for the next batch.
    pub dirty: bool,
    /// Frame counted last, so a frame with several messages counts once.
    pub last_ordinal: u64,
    /// VLANs and interface observed last.
    pub observed: Option<u64>,
    operations: HashMap<OperationKey, u32>,
    objects: HashMap<(&'static str, bool, Option<u32>), u32>,
    /// Operation looked up last: steady polling asks for the same again.
    recent: Option<(OperationKey, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct OperationKey {
    protocol: &'static str,
    reversed: bool,
    code: Option<u32>,
    name: &'static str,
    action: Action,
    object: Object,
    outcome: Outcome,
}

/// One operation and its counts since the last batch.
pub struct OperationState {
    /// The fact.
    pub fact: facts::Operation,
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
            fact,
            generation: u32::MAX,
            packets: [0; 2],
            bytes: 0,
            last_ns: ts_ns,
            dirty: false,
            last_ordinal: u64::MAX,
            observed: None,
            operations: HashMap::new(),
            objects: HashMap::new(),
            recent: None,
        }
    }

    /// Finds or adds the operation in `all`.
    pub fn operation(
        &mut self,
        operation: &Operation,
        client: Side,
        all: &mut Vec<OperationState>,
    ) -> Found {
        let mut key = OperationKey {
            protocol: operation.protocol,
            reversed: operation.sender != client,
            code: operation.code,
            name: operation.name,
            action: operation.action,
            object: operation.object.clone(),
            outcome: operation.outcome,
        };
        if let Some((recent, index)) = &self.recent
            && *recent == key
        {
            return Found { index: *index, new: false, capped: None };
        }
        let mut capped = None;
        let index = match self.operations.get(&key) {
            Some(index) => Some(*index),
            None => {
                capped = self.cap(&mut key, operation);
                self.operations.get(&key).copied()
            }
        };
        let (index, new) = match index {
            Some(index) => (index, false),
            None => {
                let index = all.len() as u32;
                all.push(self.state(&key, operation));
                self.operations.insert(key.clone(), index);
                (index, true)
            }
        };
        self.recent = Some((key, index));
        Found { index, new, capped: capped.filter(|_| new) }
    }

    /// Makes a key that is one too many a pattern, or `other`.
    fn cap(&mut self, key: &mut OperationKey, operation: &Operation) -> Option<&'static str> {
        let guarded = is_guarded(operation.action);
        let mut capped = None;
        if key.object != Object::None {
            let seen = self.objects.entry((key.protocol, key.reversed, key.code)).or_default();
            if *seen >= if guarded { GUARDED_OBJECTS } else { OBJECTS } {
                key.object = key.object.pattern();
                capped = Some("objects");
            } else {
                *seen += 1;
            }
        }
        if self.operations.len() >= OPERATIONS && !guarded && !self.operations.contains_key(key) {
            key.object = Object::Text("other".into());
            capped = Some("operations");
        }
        capped
    }

    fn state(&self, key: &OperationKey, operation: &Operation) -> OperationState {
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
            fact: facts::Operation {
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
            },
            generation: u32::MAX,
            count: 0,
            unpaired: 0,
            last_ns: operation.ts_ns,
            dirty: false,
        }
    }

    /// Whether this VLAN stack and interface were not the last ones observed.
    pub fn observe(&mut self, vlans: &[u16], interface: u32, hasher: &DefaultHashBuilder) -> bool {
        let hash = hasher.hash_one((vlans, interface));
        self.observed.replace(hash) != Some(hash)
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
    evidence.iter().map(|span| (u32::from(span.file), span.frame, span.offset, span.length)).collect()
}
