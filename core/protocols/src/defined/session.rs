//! A flow that carries a defined protocol.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use super::file::{End, Kind};
use super::plan::{HEAD, MessagePlan, Miss, ObjectPlan, Plan, Reading, SlotIndex};
use crate::out::{
    Change, Child, Claim, Decode, Event, Evidence, Item, Operation, Out, Outcome, Payload, Value,
    Violation, Who,
};
use crate::pending::Pending;
use crate::registry::Probe;
use crate::session::{Input, Session, Side, Transport};

/// Requests of one flow that may wait at once.
const WAITING: usize = 64;
/// Settled bits from which a message is believed on any port.
const LIKELY_BITS: u32 = 24;
/// Settled bits from which it could hardly be anything else.
const CERTAIN_BITS: u32 = 64;
/// Bits that a length settles which is that of the datagram.
const LENGTH_BITS: u32 = 8;
/// Most bytes of a payload for a plug-in.
const PAYLOAD: usize = 64 * 1024;

/// What stands at the front of the bytes.
#[allow(
    clippy::large_enum_variant,
    reason = "it is on the stack; a box would be an allocation for every message"
)]
enum Front<'a> {
    /// A message with its plan, if one fits.
    Message {
        reading: Reading<'a>,
        message: Option<&'static MessagePlan>,
        length: usize,
    },
    /// The start of a message.
    Incomplete,
    /// A known message whose fields do not fit in it.
    Broken {
        length: usize,
    },
    Foreign,
}

/// Reads the message in front; `whole` says that no bytes can follow (a datagram).
fn front<'a>(plan: &'static Plan, bytes: &'a [u8], whole: bool, truncated: bool) -> Front<'a> {
    let mut reading;
    let (region, length) = match plan.stream_end.filter(|_| !whole) {
        Some(end) => match memchr::memmem::find(bytes, end) {
            Some(at) => (at, at + end.len()),
            None if bytes.len() < HEAD => return Front::Incomplete,
            None => return Front::Foreign,
        },
        None => (bytes.len(), bytes.len()),
    };
    reading = Reading::new(bytes.get(..region).unwrap_or(bytes), plan);
    let at = match reading.run(plan.header, 0, region, truncated) {
        Ok(at) => at,
        Err(Miss::Short) if !whole && plan.stream_end.is_none() => return Front::Incomplete,
        Err(_) => return Front::Foreign,
    };
    let (region, length) = match reading.told_length {
        None => (region, length),
        Some(told) if told <= bytes.len() => (told, told),
        Some(_) if whole && !truncated => return Front::Foreign,
        Some(told) if whole => (bytes.len(), told),
        Some(told) if bytes.len() < HEAD.min(told) => return Front::Incomplete,
        Some(told) => (HEAD, told),
    };
    if at > region {
        return Front::Foreign;
    }
    reading.bytes = bytes.get(..region).unwrap_or(bytes);
    let is_cut = truncated || region < length && plan.stream_end.is_none();
    let mut is_broken = false;
    for message in plan.messages {
        if !message.when.iter().all(|(slot, test)| reading.holds(*slot, test)) {
            continue;
        }
        match reading.run(message.steps, at, region, is_cut) {
            Ok(next) if message.exact && next < region && !is_cut => {}
            Ok(_) => return Front::Message { reading, message: Some(message), length },
            Err(Miss::Short) => is_broken |= !message.when.is_empty(),
            Err(Miss::Differs) => {}
        }
    }
    if is_broken && !is_cut {
        Front::Broken { length }
    } else {
        Front::Message { reading, message: None, length }
    }
}

/// What the probe says of these bytes.
pub fn probe(plan: &'static Plan, input: &Input<'_>) -> Probe {
    let is_stream = input.transport == Transport::Tcp;
    match front(plan, input.bytes, !is_stream, input.truncated) {
        Front::Incomplete => Probe::More,
        Front::Foreign | Front::Broken { .. } => Probe::No,
        Front::Message { message: None, .. } if !plan.messages.is_empty() => Probe::No,
        Front::Message { reading, message, length } => {
            let fits = reading.told_length.is_some() && length == input.bytes.len();
            let rest = input.bytes.get(length..).unwrap_or_default();
            if !is_stream && !rest.is_empty() && !follows(plan, rest, input) {
                return Probe::No;
            }
            let bits = plan.header_bits
                + message.map_or(0, |message| message.bits)
                + if fits { LENGTH_BITS } else { 0 };
            match bits {
                CERTAIN_BITS.. => Probe::Certain,
                LIKELY_BITS.. => Probe::Likely,
                _ => Probe::Weak,
            }
        }
    }
}

/// Whether this may follow a message in its datagram: another one, or the padding of a short frame.
fn follows(plan: &'static Plan, rest: &[u8], input: &Input<'_>) -> bool {
    let has_padding = !matches!(input.transport, Transport::Udp | Transport::Tcp);
    has_padding || matches!(front(plan, rest, true, input.truncated), Front::Message { .. })
}

/// A flow that carries the protocol.
pub struct Defined {
    plan: &'static Plan,
    pending: Pending<u64, Operation>,
    client: Option<Side>,
    /// Bytes of a long message that are passed over, of each side.
    rest: [usize; 2],
}

impl Defined {
    pub const fn new(plan: &'static Plan) -> Self {
        Self { plan, pending: Pending::new(WAITING), client: None, rest: [0; 2] }
    }

    fn message(
        &mut self,
        input: &Input<'_>,
        reading: &Reading<'_>,
        message: Option<&'static MessagePlan>,
        out: &mut Out,
    ) {
        let plan = self.plan;
        let from = message.and_then(|message| message.from);
        let client = match from {
            Some(End::Client) => input.side,
            Some(End::Server) => input.side.other(),
            None => self.client.unwrap_or(input.side),
        };
        if from.is_some() && self.client != Some(client) {
            self.client = Some(client);
            out.push(Item::Client(client));
        }
        let children = plan.children.each_ref().map(|child| {
            child.as_ref().map_or(Child::None, |child| self.child(reading, child.slot, child.kind))
        });
        let [client_child, server_child] = children;
        let is_client = input.side == client;
        let (own, other) =
            if is_client { (client_child, server_child) } else { (server_child, client_child) };
        out.layer_between(plan.name, input.side, own.clone(), other.clone());
        let Some(message) = message else {
            if !plan.messages.is_empty() && !plan.others_are_data {
                out.push(Item::NotDecoded(plan.name, "unknown message"));
            }
            return;
        };
        self.operation(input, reading, message, (&own, &other), out);
        self.statements(input, reading, message, (&own, &other), out);
    }

    fn child(&self, reading: &Reading<'_>, slot: SlotIndex, kind: &'static str) -> Child {
        let is_number = self.plan.slots.get(usize::from(slot)).is_some_and(|slot| {
            matches!(slot.decode, Decode::UnsignedBe | Decode::UnsignedLe | Decode::Derived)
        });
        match reading.number(slot) {
            None => Child::None,
            Some(number) if is_number => {
                Child::Number(kind, u32::try_from(number).unwrap_or(u32::MAX))
            }
            Some(_) => match reading.value(self.plan, slot) {
                Some(text) if !text.is_empty() => {
                    Child::Text(compact_str::format_compact!("{kind} {text}"))
                }
                _ => Child::None,
            },
        }
    }

    /// The operation that the message asks for, or how the one it answers ended.
    fn operation(
        &mut self,
        input: &Input<'_>,
        reading: &Reading<'_>,
        message: &'static MessagePlan,
        (own, other): (&Child, &Child),
        out: &mut Out,
    ) {
        let plan = self.plan;
        let is_response = message.kind == Kind::Response;
        let described = message.operation.as_ref().map(|spec| {
            let meaning = match (spec.table, spec.code) {
                (Some(table), Some(code)) => table.meaning(reading, code),
                _ => None,
            };
            let (name, action) = meaning.map_or(spec.otherwise, |(name, action)| {
                (name, action.unwrap_or(spec.otherwise.1))
            });
            let part =
                spec.code.and_then(|code| reading.part(code)).filter(|part| !part.is_empty());
            let part = part.unwrap_or_else(|| reading.bytes.get(..16).unwrap_or(reading.bytes));
            let sender = if is_response { input.side.other() } else { input.side };
            let (client_child, server_child) =
                if is_response { (other, own) } else { (own, other) };
            let code = spec.code.filter(|code| self.is_number(*code));
            let code = code.and_then(|code| u32::try_from(reading.number(code)?).ok());
            Operation {
                code,
                object: reading.object(plan, &spec.object),
                client_child: client_child.clone(),
                server_child: server_child.clone(),
                ..input.operation(plan.name, sender, (name, action), part)
            }
        });
        match (message.kind, described) {
            (Kind::OneWay, Some(operation)) => {
                out.operation(Operation { outcome: Outcome::None, ..operation });
            }
            (Kind::Request, Some(operation)) => {
                let key = self.key(reading, input.side);
                if let Some(oldest) = self.pending.insert(key, operation) {
                    out.operation(oldest);
                }
            }
            (Kind::Response, described) => {
                let refused = message.refused.iter().any(|(slot, test)| reading.holds(*slot, test));
                let outcome = if refused { Outcome::Error } else { Outcome::Ok };
                let key = self.key(reading, input.side.other());
                match (self.pending.take(&key), described) {
                    (Some(request), _) => out.operation(Operation { outcome, ..request }),
                    (None, Some(operation)) => out.unpaired(Operation { outcome, ..operation }),
                    (None, None) => {}
                }
            }
            (Kind::OneWay | Kind::Request, None) => {}
        }
    }

    /// What a request of this side and its response have in common.
    fn key(&self, reading: &Reading<'_>, sender: Side) -> u64 {
        let mut hasher = FxHasher::default();
        sender.hash(&mut hasher);
        for slot in self.plan.pair {
            reading.part(*slot).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn is_number(&self, slot: SlotIndex) -> bool {
        self.plan.slots.get(usize::from(slot)).is_some_and(|slot| {
            !matches!(
                slot.decode,
                Decode::Utf8
                    | Decode::Utf16Le
                    | Decode::Hex
                    | Decode::Dotted
                    | Decode::DnsName
                    | Decode::Mac
                    | Decode::Ip
            )
        })
    }

    /// Claims, changes, events, payloads and violations.
    fn statements(
        &self,
        input: &Input<'_>,
        reading: &Reading<'_>,
        message: &'static MessagePlan,
        (own, other): (&Child, &Child),
        out: &mut Out,
    ) {
        let plan = self.plan;
        for claim in &message.claims {
            let (Some(part), Some(value)) =
                (reading.cited(plan, claim.slot), reading.value(plan, claim.slot))
            else {
                continue;
            };
            let decode = plan.slots.get(usize::from(claim.slot)).map(|slot| slot.decode);
            let (value, decode) = match claim.table {
                None => (value, decode.unwrap_or(Decode::Derived)),
                Some(table) => match table.meaning(reading, claim.slot) {
                    Some((name, _)) => (name.into(), Decode::Derived),
                    None => continue,
                },
            };
            let who = if claim.about_sender {
                Who::Sender(own.clone())
            } else {
                Who::Receiver(other.clone())
            };
            out.claim(Claim {
                who,
                attribute: claim.attribute,
                value,
                protocol: plan.name,
                message: message.name,
                confidence: claim.confidence,
                evidence: input.evidence(part, decode),
            });
        }
        if let (Some(change), Some(spec)) = (&message.change, &message.operation) {
            let object = change.object.as_ref().unwrap_or(&spec.object);
            self.change(input, reading, change.new, change.old, object, other, out);
        }
        if let Some(event) = &message.event {
            let values = event.values.iter();
            let values = values
                .filter_map(|(name, slot)| Some((*name, reading.value(plan, *slot)?)))
                .collect();
            out.push(Item::Event(Event {
                kind: event.kind,
                protocol: plan.name,
                sender: input.side,
                values,
                evidence: input.locate(reading.bytes),
            }));
        }
        if let Some((kind, slot)) = message.payload
            && let Some(part) = reading.part(slot)
        {
            let part = part.get(..PAYLOAD).unwrap_or(part);
            out.push(Item::Payload(Payload {
                protocol: plan.name,
                kind,
                sender: input.side,
                bytes: part.to_vec(),
                evidence: input.locate(part),
            }));
        }
        if let Some(rule) = message.breaks {
            let part = reading.bytes.get(..16).unwrap_or(reading.bytes);
            out.push(input.violation(plan.name, rule, part));
        }
    }

    #[allow(clippy::too_many_arguments, reason = "they are one statement")]
    fn change(
        &self,
        input: &Input<'_>,
        reading: &Reading<'_>,
        new: SlotIndex,
        old: Option<SlotIndex>,
        object: &ObjectPlan,
        child: &Child,
        out: &mut Out,
    ) {
        let (Some(part), Some(value)) = (reading.cited(self.plan, new), self.typed(reading, new))
        else {
            return;
        };
        let decode = self.plan.slots.get(usize::from(new)).map(|slot| slot.decode);
        out.push(Item::Change(Change {
            protocol: self.plan.name,
            connection: self.plan.name,
            sender: input.side,
            server_child: child.clone(),
            object: reading.object(self.plan, object),
            old: old.and_then(|old| self.typed(reading, old)),
            new: value,
            evidence: Evidence {
                spans: input.locate(part),
                decode: decode.unwrap_or(Decode::Derived),
            },
            ts_ns: input.ts_ns,
        }));
    }

    fn typed(&self, reading: &Reading<'_>, slot: SlotIndex) -> Option<Value> {
        match self.plan.slots.get(usize::from(slot))?.decode {
            Decode::Hex => reading.part(slot).map(|part| Value::Bytes(part.to_vec())),
            _ if self.is_number(slot) => {
                Some(Value::Integer(i64::try_from(reading.number(slot)?).unwrap_or(i64::MAX)))
            }
            _ => reading.value(self.plan, slot).map(Value::Text),
        }
    }

    fn datagram(&mut self, input: &Input<'_>, out: &mut Out) {
        let mut rest = input.bytes;
        while !rest.is_empty() {
            match front(self.plan, rest, true, input.truncated) {
                Front::Message { reading, message, length } => {
                    self.message(input, &reading, message, out);
                    rest = rest.get(length.max(1)..).unwrap_or_default();
                }
                Front::Broken { length } => {
                    self.broken(input, rest, out);
                    rest = rest.get(length.max(1)..).unwrap_or_default();
                }
                Front::Incomplete | Front::Foreign => return,
            }
        }
    }

    fn broken(&self, input: &Input<'_>, bytes: &[u8], out: &mut Out) {
        out.layer(self.plan.name, input.side);
        let part = bytes.get(..16).unwrap_or(bytes);
        out.push(Item::Violation(Violation {
            rule: self.plan.length_rule,
            protocol: self.plan.name,
            sender: input.side,
            values: Vec::new(),
            evidence: input.locate(part),
        }));
    }
}

impl Session for Defined {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.transport != Transport::Tcp {
            self.datagram(input, out);
            return input.bytes.len();
        }
        if input.after_gap {
            *input.side.of(&mut self.rest) = 0;
        }
        let mut used = (*input.side.of(&mut self.rest)).min(input.bytes.len());
        *input.side.of(&mut self.rest) -= used;
        while let Some(rest) = input.bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let length = match front(self.plan, rest, false, false) {
                Front::Message { reading, message, length } => {
                    self.message(input, &reading, message, out);
                    length
                }
                Front::Broken { length } => {
                    self.broken(input, rest, out);
                    length
                }
                Front::Incomplete => return used,
                // Joined in the middle of a message: the next segment may start one.
                Front::Foreign => return input.bytes.len(),
            };
            let here = length.clamp(1, rest.len());
            *input.side.of(&mut self.rest) = length.saturating_sub(here);
            used += here;
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for request in self.pending.drain() {
            out.operation(request);
        }
    }

    fn stream_cap(&self) -> usize {
        2 * HEAD
    }
}
