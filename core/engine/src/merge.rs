//! Outputs of all shards into batches, the same for any number of threads.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use compact_str::CompactString;
use hashbrown::{DefaultHashBuilder, HashSet};

use crate::facts::{Attempts, Batch, Event, SCHEMA, Tallies};
use crate::holders::Holders;
use crate::input::Cut;
use crate::lanes::Lane;
use crate::lans::Lans;
use crate::output::{
    AttemptKey, AttemptPart, ConnectionTally, Fact, OccurrenceTally, OperationTally, Output,
};

/// Facts remembered to drop what several shards say alike; forgotten when full, which only repeats
/// some.
const KNOWN: usize = 1_800_000;
/// Sample targets of one attempts fact.
const SAMPLES: usize = 1024;
/// Target addresses of one attempts fact.
const ADDRESSES: usize = 4096;

/// Builds batches.
#[derive(Default)]
pub struct Merger {
    hasher: DefaultHashBuilder,
    known: HashSet<u64>,
    number: u64,
    holders: Holders,
    lans: Lans,
}

impl Merger {
    /// Whether the sensor does not see everything now (a monitored link is down).
    pub fn blind(&mut self, blind: bool) {
        self.lans.blind(blind);
    }

    /// The batch of one cut from the outputs of the shards, in shard order; frames give interfaces
    /// by their index.
    pub fn batch(
        &mut self,
        cut: &Cut,
        outputs: Vec<Output>,
        interfaces: &[CompactString],
        space: impl Fn(u16) -> CompactString,
    ) -> Batch {
        let mut batch = Batch {
            schema: SCHEMA,
            number: self.number,
            start_ns: cut.start_ns,
            end_ns: cut.end_ns,
            epochs: cut.epochs.clone(),
            coverage: cut.coverage.clone(),
            ..Batch::default()
        };
        self.number += 1;
        let mut facts = Vec::new();
        let mut attempts: BTreeMap<AttemptKey, AttemptPart> = BTreeMap::new();
        let mut lanes: BTreeMap<(CompactString, Vec<u16>), Lane> = BTreeMap::new();
        let mut lans = Vec::new();
        for output in outputs {
            lans.extend(output.lans);
            facts.extend(output.facts);
            tally(&mut batch.tallies, &output.connections, &output.operations, &output.occurrences);
            for (key, part) in output.attempts {
                let sum = attempts.entry(key).or_default();
                sum.targets.extend(part.targets);
                sum.attempts += part.attempts;
                sum.failed += part.failed;
                sum.more |= part.more;
                sum.spans.extend(part.spans);
            }
            for (cause, count) in output.by_cause {
                *batch.coverage.by_cause.entry(cause).or_default() += count;
            }
            for (kind, count) in output.copies {
                *batch.coverage.copies.entry(kind).or_default() += count;
            }
            for ((interface, vlans), lane) in output.lanes {
                let name = interfaces.get(interface as usize).cloned().unwrap_or_default();
                lanes.entry((name, vlans.to_vec())).or_default().add(&lane);
            }
            for (what, count) in output.capped {
                *batch.coverage.capped.entry(what).or_default() += count;
            }
        }
        batch.lanes = (lanes.into_iter())
            .map(|((interface, vlans), lane)| Lane { interface, vlans, ..lane })
            .collect();
        // Stable: facts of one frame are of one shard and stay in its order.
        facts.sort_by_key(|(ordinal, _)| *ordinal);
        for (_, fact) in facts {
            self.push(&mut batch, fact);
        }
        if !cut.epochs.is_empty() {
            self.lans.restart();
        }
        let (events, capped) = self.lans.batch(lans, space);
        for event in events {
            self.event(&mut batch, event);
        }
        if capped > 0 {
            *batch.coverage.capped.entry("redundant-nodes").or_default() += capped;
        }
        batch.attempts = attempts.into_iter().map(summary).collect();
        batch
    }

    /// Adds an event that only the whole shows, in full where it is new, and counts it.
    fn event(&mut self, batch: &mut Batch, event: Event) {
        tally(&mut batch.tallies, &[], &[], &[(event.id, 1, event.ts_ns)]);
        if self.is_new(&("event", event.id)) {
            batch.events.push(event);
        }
    }

    /// A new journal segment begins.
    pub fn next_generation(&mut self) {
        self.known.clear();
    }

    fn push(&mut self, batch: &mut Batch, fact: Fact) {
        match fact {
            Fact::Endpoint(fact) => {
                if self.is_new(&("endpoint", fact.id, fact.spoke)) {
                    batch.endpoints.push(fact);
                }
            }
            Fact::Sighting(fact) => {
                let key = (&fact.mac, &fact.ip, &fact.vlans, &fact.interface, fact.hop_limit);
                if self.is_new(&key) {
                    batch.sightings.push(fact);
                }
            }
            Fact::Binding(fact) => {
                if self.is_new(&(fact.first, fact.second, fact.protocol, fact.message)) {
                    batch.bindings.push(fact);
                }
            }
            Fact::Claim(fact) => {
                if self.is_new(&("claim", fact.id)) {
                    batch.claims.push(*fact);
                }
            }
            Fact::Connection(fact) => batch.connections.push(*fact),
            Fact::Operation(fact) => batch.operations.push(*fact),
            Fact::Change(fact) => batch.changes.push(*fact),
            Fact::Event(fact) => batch.events.push(*fact),
            Fact::Violation(fact) => batch.violations.push(*fact),
            Fact::Payload(fact) => batch.payloads.push(*fact),
            Fact::Correction(fact) => batch.corrections.push(fact),
            Fact::Observation(fact) => batch.observations.push(fact),
            Fact::Holding(said) => match self.holders.note(*said) {
                Ok(Some(taken)) => {
                    if self.is_new(&("endpoint", taken.before.id, true)) {
                        batch.endpoints.push(taken.before);
                    }
                    self.event(batch, taken.event);
                }
                Ok(None) => {}
                Err(_) => *batch.coverage.capped.entry("held-addresses").or_default() += 1,
            },
            Fact::Canary(fact) => batch.canaries.push(fact),
        }
    }

    fn is_new(&mut self, key: &impl std::hash::Hash) -> bool {
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        self.known.insert(self.hasher.hash_one(key))
    }
}

fn tally(
    tallies: &mut Tallies,
    connections: &[ConnectionTally],
    operations: &[OperationTally],
    occurrences: &[OccurrenceTally],
) {
    for (id, forward, back, bytes, last, [missing, truncated, one_way]) in connections {
        tallies.connection_ids.extend_from_slice(&id.0);
        tallies.forward_packets.extend_from_slice(&forward.to_le_bytes());
        tallies.reverse_packets.extend_from_slice(&back.to_le_bytes());
        tallies.connection_bytes.extend_from_slice(&bytes.to_le_bytes());
        tallies.connection_last.extend_from_slice(&last.to_le_bytes());
        tallies.connection_missing.extend_from_slice(&missing.to_le_bytes());
        tallies.connection_truncated.extend_from_slice(&truncated.to_le_bytes());
        tallies.connection_one_way.extend_from_slice(&one_way.to_le_bytes());
    }
    for (id, count, unpaired, last) in operations {
        tallies.operation_ids.extend_from_slice(&id.0);
        tallies.operation_counts.extend_from_slice(&count.to_le_bytes());
        tallies.operation_unpaired.extend_from_slice(&unpaired.to_le_bytes());
        tallies.operation_last.extend_from_slice(&last.to_le_bytes());
    }
    for (id, count, last) in occurrences {
        tallies.occurrence_ids.extend_from_slice(&id.0);
        tallies.occurrence_counts.extend_from_slice(&count.to_le_bytes());
        tallies.occurrence_last.extend_from_slice(&last.to_le_bytes());
    }
}

fn summary((key, part): (AttemptKey, AttemptPart)) -> Attempts {
    let (source, transport, start_ns) = key;
    let mut ports_of: BTreeMap<&CompactString, Vec<u16>> = BTreeMap::new();
    for (host, port) in &part.targets {
        ports_of.entry(host).or_default().push(*port);
    }
    let mut spans = part.spans;
    spans.sort_unstable();
    spans.truncate(1);
    Attempts {
        source,
        transport,
        start_ns,
        hosts: ports_of.len() as u32,
        targets: part.targets.len() as u32,
        ports: ports_of.values().map(Vec::len).max().unwrap_or_default() as u32,
        attempts: part.attempts,
        failed: part.failed,
        more: part.more || ports_of.len() > ADDRESSES,
        samples: samples(&ports_of),
        addresses: ports_of.into_keys().take(ADDRESSES).cloned().collect(),
        spans,
    }
}

/// Targets of all hosts alike: the first port of each, then the second of each, as many as fit.
fn samples(ports_of: &BTreeMap<&CompactString, Vec<u16>>) -> Vec<(CompactString, u16)> {
    let mut found = Vec::new();
    let most = ports_of.values().map(Vec::len).max().unwrap_or_default();
    for at in 0..most {
        for (host, ports) in ports_of {
            if found.len() >= SAMPLES {
                break;
            }
            found.extend(ports.get(at).map(|port| ((*host).clone(), *port)));
        }
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use compact_str::format_compact;

    use super::*;

    #[test]
    fn samples_are_of_all_hosts_alike() {
        let busy = CompactString::const_new("10.0.0.9");
        let quiet: Vec<CompactString> = (0..300).map(|n| format_compact!("10.0.1.{n}")).collect();
        let mut ports_of: BTreeMap<&CompactString, Vec<u16>> =
            quiet.iter().map(|host| (host, vec![502])).collect();
        ports_of.insert(&busy, (1..=2000).collect());

        let found = samples(&ports_of);

        assert_eq!(SAMPLES, found.len());
        assert_eq!(300, found.iter().filter(|(host, _)| *host != busy).count());
    }
}
