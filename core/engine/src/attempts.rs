//! Attempts that became no connection, per source and 10 s (contracts.md §4).

use std::collections::BTreeMap;

use compact_str::CompactString;

use crate::facts::{Id, Span};
use crate::output::{AttemptKey, AttemptPart, Output};

/// Length of a bucket, ns.
pub const BUCKET_NS: i64 = 10_000_000_000;
/// Targets remembered per source and bucket.
const TARGETS: usize = 4096;
/// Sources remembered per shard and bucket: 65,536 of a sensor in 10 s.
const SOURCES: usize = 1024;

/// Collects the attempts of one shard until their bucket ends.
#[derive(Default)]
pub struct Attempts {
    buckets: BTreeMap<i64, BTreeMap<(Id, &'static str), AttemptPart>>,
}

/// One attempt.
pub struct Attempt {
    /// Endpoint that tried.
    pub source: Id,
    /// "tcp", "udp", "icmp" or "arp".
    pub transport: &'static str,
    /// Target host.
    pub host: CompactString,
    /// Target port, 0 without ports.
    pub port: u16,
    /// Refused or unanswered.
    pub failed: bool,
    /// When it was tried.
    pub ts_ns: i64,
    /// The frame.
    pub span: Span,
}

impl Attempts {
    /// Adds one attempt.
    pub fn add(&mut self, attempt: Attempt, output: &mut Output) {
        let start = attempt.ts_ns.div_euclid(BUCKET_NS) * BUCKET_NS;
        let sources = self.buckets.entry(start).or_default();
        let key = (attempt.source, attempt.transport);
        if sources.len() >= SOURCES && !sources.contains_key(&key) {
            output.cap("attempt-sources");
            return;
        }
        let part = sources.entry(key).or_default();
        if part.attempts == 0 {
            part.spans.push(attempt.span);
        }
        part.attempts += 1;
        part.failed += u64::from(attempt.failed);
        let target = (attempt.host, attempt.port);
        if part.targets.len() < TARGETS {
            part.targets.insert(target);
        } else if !part.targets.contains(&target) {
            part.more = true;
        }
    }

    /// Hands over the buckets that ended at least one bucket's length before `now_ns`: what was
    /// tried in them is answered or refused by now.
    pub fn flush(&mut self, now_ns: i64, output: &mut Output) {
        while let Some(entry) = self.buckets.first_entry() {
            if *entry.key() > now_ns.saturating_sub(2 * BUCKET_NS) {
                break;
            }
            let start = *entry.key();
            for ((source, transport), part) in entry.remove() {
                let key: AttemptKey = (source, transport, start);
                output.attempts.push((key, part));
            }
        }
    }
}
