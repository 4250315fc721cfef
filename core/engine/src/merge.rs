//! Outputs of all shards into batches, the same for any number of threads.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use compact_str::CompactString;
use hashbrown::{DefaultHashBuilder, HashSet};

use crate::facts::{Attempts, Batch, Id, SCHEMA, Tallies};
use crate::input::Cut;
use crate::output::{AttemptKey, AttemptPart, Fact, Output};

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
}

impl Merger {
    /// The batch of one cut from the outputs of the shards, in shard order.
    pub fn batch(&mut self, cut: &Cut, outputs: Vec<Output>) -> Batch {
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
        for output in outputs {
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
            for (what, count) in output.capped {
                *batch.coverage.capped.entry(what).or_default() += count;
            }
        }
        // Stable: facts of one frame are of one shard and stay in its order.
        facts.sort_by_key(|(ordinal, _)| *ordinal);
        for (_, fact) in facts {
            self.push(&mut batch, fact);
        }
        batch.attempts = attempts.into_iter().map(summary).collect();
        batch
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
                    batch.claims.push(fact);
                }
            }
            Fact::Connection(fact) => batch.connections.push(fact),
            Fact::Operation(fact) => batch.operations.push(fact),
            Fact::Change(fact) => batch.changes.push(fact),
            Fact::Event(fact) => batch.events.push(fact),
            Fact::Violation(fact) => batch.violations.push(fact),
            Fact::Payload(fact) => batch.payloads.push(fact),
            Fact::Correction(fact) => batch.corrections.push(fact),
            Fact::Observation(fact) => batch.observations.push(fact),
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
    connections: &[(Id, u64, u64, u64, i64)],
    operations: &[(Id, u64, u64, i64)],
    occurrences: &[(Id, u64, i64)],
) {
    for (id, forward, back, bytes, last) in connections {
        tallies.connection_ids.extend_from_slice(&id.0);
        tallies.forward_packets.extend_from_slice(&forward.to_le_bytes());
        tallies.reverse_packets.extend_from_slice(&back.to_le_bytes());
        tallies.connection_bytes.extend_from_slice(&bytes.to_le_bytes());
        tallies.connection_last.extend_from_slice(&last.to_le_bytes());
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
