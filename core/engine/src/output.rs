//! What shards hand to the merger.

use std::collections::BTreeMap;

use compact_str::CompactString;

use crate::facts;
use crate::holders::Holding;
use crate::lanes::{Lane, LaneKey};
use crate::lans::{Heard, Sender};

/// One fact of any kind; the long ones have a place of their own.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant is the fact of its name")]
pub enum Fact {
    Endpoint(facts::Endpoint),
    Sighting(facts::Sighting),
    Binding(facts::Binding),
    Connection(Box<facts::Connection>),
    Operation(Box<facts::Operation>),
    Claim(Box<facts::Claim>),
    Change(Box<facts::Change>),
    Event(Box<facts::Event>),
    Violation(Box<facts::Violation>),
    Payload(Box<facts::Payload>),
    Correction(facts::Correction),
    Observation(facts::Observation),
    /// Not a fact yet: the merger makes one of it where the holder is another than before.
    Holding(Box<Holding>),
    Canary(facts::Canary),
}

/// Counts of one connection: id, frames forward, frames back, bytes, last frame; and of these frames
/// what is missing, cut short, seen in one direction only.
pub type ConnectionTally = (facts::Id, u64, u64, u64, i64, [u64; 3]);
/// Counts of one operation: id, requests, unpaired responses, last message.
pub type OperationTally = (facts::Id, u64, u64, i64);
/// Counts of one event or violation: id, times, last time.
pub type OccurrenceTally = (facts::Id, u64, i64);

/// Attempts of one source in one bucket, as one shard saw them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AttemptPart {
    /// Target hosts and ports.
    pub targets: std::collections::BTreeSet<(CompactString, u16)>,
    /// Attempts in all.
    pub attempts: u64,
    /// Refused or unanswered ones.
    pub failed: u64,
    /// The set of targets was capped.
    pub more: bool,
    /// First attempt.
    pub spans: Vec<facts::Span>,
}

/// Names a part: source endpoint, transport, bucket start.
pub type AttemptKey = (facts::Id, &'static str, i64);

/// Everything one shard says of one batch.
#[derive(Debug, Default)]
pub struct Output {
    /// Facts with the ordinal of their frame, in order.
    pub facts: Vec<(u64, Fact)>,
    /// Counts of connections.
    pub connections: Vec<ConnectionTally>,
    /// Counts of operations.
    pub operations: Vec<OperationTally>,
    /// Counts of events and violations.
    pub occurrences: Vec<OccurrenceTally>,
    /// Attempts whose bucket ended.
    pub attempts: Vec<(AttemptKey, AttemptPart)>,
    /// Frames of redundant networks by sender and lane.
    pub lans: Vec<(Sender, [Option<Heard>; 2])>,
    /// What was not seen, by cause.
    pub by_cause: BTreeMap<CompactString, u64>,
    /// Copies by kind.
    pub copies: BTreeMap<&'static str, u64>,
    /// What was capped.
    pub capped: BTreeMap<&'static str, u64>,
    /// Counts of lanes.
    pub lanes: Vec<(LaneKey, Lane)>,
}

impl Output {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
            && self.connections.is_empty()
            && self.operations.is_empty()
            && self.occurrences.is_empty()
            && self.attempts.is_empty()
            && self.lans.is_empty()
            && self.by_cause.is_empty()
            && self.copies.is_empty()
            && self.capped.is_empty()
            && self.lanes.is_empty()
    }

    /// Counts something that was not seen.
    pub fn cause(&mut self, cause: impl Into<CompactString>) {
        *self.by_cause.entry(cause.into()).or_default() += 1;
    }

    /// Counts something that was capped.
    pub fn cap(&mut self, what: &'static str) {
        *self.capped.entry(what).or_default() += 1;
    }
}
