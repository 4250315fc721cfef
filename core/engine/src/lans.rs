//! The two LANs of PRP and the two directions of an HSR ring: who fell silent on one of them.
//!
//! Shards count the frames of each sender and lane; here they are joined. A node that was seen on both
//! and then goes on speaking on one alone has lost its redundancy: the event `redundancy-lost`, and
//! `redundancy-restored` when it is back. Nothing is judged while the sensor does not see everything.

use std::collections::BTreeMap;

use compact_str::{CompactString, ToCompactString};
use hashbrown::HashMap;
use otic_wire::Mac;
use otic_wire::packet::Redundancy;

use crate::facts::{Event, Span};
use crate::keys;

/// A node speaks alone on one lane for so long before it counts as lost on the other, ns: five times
/// the LifeCheckInterval of 2 s (IEC 62439-3:2016 table 8).
pub const SILENCE_NS: i64 = 10_000_000_000;
/// Nodes remembered, per shard and in all.
const NODES: usize = 16_384;

/// Frames of one sender on one lane in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Frames.
    pub frames: u64,
    /// Time of the first.
    pub first_ns: i64,
    /// Time of the last.
    pub last_ns: i64,
    /// Source address of the last one.
    pub span: Span,
}

/// Names a sender: index of its address space, PRP (else HSR), MAC.
pub type Sender = (u16, bool, Mac);

/// Frames of each sender by lane in one batch, as one shard saw them.
#[derive(Debug, Default)]
pub struct LanCounts {
    of: HashMap<Sender, [Option<Heard>; 2]>,
}

impl LanCounts {
    /// Counts one frame; false when there are too many senders.
    pub fn count(&mut self, space: u16, mac: Mac, tag: Redundancy, ts_ns: i64, span: Span) -> bool {
        let sender = (space, tag.prp, mac);
        if self.of.len() >= NODES && !self.of.contains_key(&sender) {
            return false;
        }
        let lanes = self.of.entry(sender).or_default();
        if let Some(lane) = lanes.get_mut(lane_of(tag)) {
            let lane =
                lane.get_or_insert(Heard { frames: 0, first_ns: ts_ns, last_ns: ts_ns, span });
            lane.frames += 1;
            lane.last_ns = ts_ns;
            lane.span = span;
        }
        true
    }

    /// The counts since the last call, sorted.
    pub fn take(&mut self) -> Vec<(Sender, [Option<Heard>; 2])> {
        if self.of.is_empty() {
            return Vec::new();
        }
        let mut counts: Vec<_> = self.of.drain().collect();
        counts.sort_unstable_by_key(|(sender, _)| *sender);
        counts
    }
}

/// The lowest bit tells LAN A (0xA) from B (0xB), and the two directions of a ring (IEC 62439-3:2016
/// §4.1.10, §5.8).
const fn lane_of(tag: Redundancy) -> usize {
    (tag.lan & 1) as usize
}

#[derive(Default)]
struct Node {
    last: [Option<(i64, Span)>; 2],
    /// Since when only the other lane has been heard.
    alone_ns: [Option<i64>; 2],
    lost: [bool; 2],
}

/// All nodes of redundant networks.
#[derive(Default)]
pub struct Lans {
    nodes: BTreeMap<Sender, Node>,
    blind: bool,
}

impl Lans {
    /// The sensor does not see everything now, or sees again: what was heard before says nothing of
    /// who is silent.
    pub fn blind(&mut self, blind: bool) {
        if self.blind || blind {
            self.restart();
        }
        self.blind = blind;
    }

    /// The clock jumped: windows restart.
    pub fn restart(&mut self) {
        for node in self.nodes.values_mut() {
            node.last = [None; 2];
            node.alone_ns = [None; 2];
        }
    }

    /// Takes one batch's counts of all shards; gives what they show, and how many nodes are too many.
    pub fn batch(
        &mut self,
        counts: Vec<(Sender, [Option<Heard>; 2])>,
        space: impl Fn(u16) -> CompactString,
    ) -> (Vec<Event>, u64) {
        let mut joined: BTreeMap<Sender, [Option<Heard>; 2]> = BTreeMap::new();
        for (sender, lanes) in counts {
            let sums = joined.entry(sender).or_default();
            for (sum, lane) in sums.iter_mut().zip(lanes) {
                *sum = match (*sum, lane) {
                    (Some(one), Some(other)) => Some(join(one, other)),
                    (one, other) => one.or(other),
                };
            }
        }
        let (mut events, mut capped) = (Vec::new(), 0);
        for (sender, lanes) in joined {
            if self.nodes.len() >= NODES && !self.nodes.contains_key(&sender) {
                capped += 1;
                continue;
            }
            let node = self.nodes.entry(sender).or_default();
            for (kind, lane, ts_ns, spans) in node.hears(lanes, self.blind) {
                events.push(event(kind, sender, lane, &space(sender.0), ts_ns, spans));
            }
        }
        events.sort_by_key(|event| event.ts_ns);
        (events, capped)
    }
}

impl Node {
    /// Takes what was heard of the node; the kind, lane, time and proof of each change.
    fn hears(
        &mut self,
        lanes: [Option<Heard>; 2],
        blind: bool,
    ) -> Vec<(&'static str, usize, i64, Vec<Span>)> {
        let mut changes = Vec::new();
        for (last, lane) in self.last.iter_mut().zip(lanes) {
            *last = lane.map(|lane| (lane.last_ns, lane.span)).or(*last);
        }
        for (index, (own, other)) in
            [(lanes[0], lanes[1]), (lanes[1], lanes[0])].into_iter().enumerate()
        {
            let (Some(alone_ns), Some(lost)) =
                (self.alone_ns.get_mut(index), self.lost.get_mut(index))
            else {
                continue;
            };
            match (own, other) {
                (Some(own), other) => {
                    *alone_ns = other.filter(|o| o.last_ns > own.last_ns).map(|o| o.last_ns);
                    if std::mem::take(lost) {
                        changes.push(("redundancy-restored", index, own.last_ns, vec![own.span]));
                    }
                }
                (None, Some(other)) => {
                    let since_ns = *alone_ns.get_or_insert(other.first_ns);
                    let heard = self.last.get(index).copied().flatten();
                    if let (Some((_, span)), false, false) = (heard, blind, *lost)
                        && other.last_ns - since_ns >= SILENCE_NS
                    {
                        *lost = true;
                        let spans = vec![span, other.span];
                        changes.push(("redundancy-lost", index, other.last_ns, spans));
                    }
                }
                (None, None) => {}
            }
        }
        changes
    }
}

fn join(one: Heard, other: Heard) -> Heard {
    let last = if one.last_ns >= other.last_ns { one } else { other };
    Heard { frames: one.frames + other.frames, first_ns: one.first_ns.min(other.first_ns), ..last }
}

fn event(
    kind: &'static str,
    (_, prp, mac): Sender,
    lane: usize,
    space: &str,
    ts_ns: i64,
    spans: Vec<Span>,
) -> Event {
    let protocol = if prp { "prp" } else { "hsr" };
    let address = mac.to_compact_string();
    let endpoint = keys::endpoint(space, &address, "");
    let values = [("lan", CompactString::const_new(if lane == 0 { "A" } else { "B" }))];
    Event {
        id: keys::event(kind, endpoint, endpoint, protocol, &values),
        kind: kind.into(),
        space: space.into(),
        client_id: endpoint,
        server_id: endpoint,
        client: address.clone(),
        server: address,
        protocol: protocol.into(),
        values: values.into_iter().collect(),
        ts_ns,
        spans,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// One batch a second in which a node speaks on these LANs; the kinds, LANs and seconds told.
    fn told(seconds: &[&str], blind: std::ops::Range<usize>) -> Vec<(String, String, i64)> {
        let mut lans = Lans::default();
        let mut found = Vec::new();
        for (second, heard) in seconds.iter().enumerate() {
            lans.blind(blind.contains(&second));
            let mut counts = LanCounts::default();
            for lan in heard.chars() {
                let tag =
                    Redundancy { prp: true, lan: lan.to_digit(16).unwrap() as u8, sequence: 0 };
                let span = (0, second as u64 + 1, 6, 6);
                assert!(counts.count(0, Mac([2; 6]), tag, second as i64 * SECOND, span));
            }
            let (events, _) = lans.batch(counts.take(), |_| "default".into());
            found.extend(events.into_iter().map(|event| {
                let lan = event.values["lan"].to_string();
                (event.kind.to_string(), lan, event.ts_ns / SECOND)
            }));
        }
        found
    }

    #[test]
    fn a_node_that_speaks_on_one_lan_alone_lost_its_redundancy_once() {
        let seconds: Vec<&str> =
            (0..40).map(|second| if (5..30).contains(&second) { "a" } else { "ab" }).collect();
        let expected = vec![
            ("redundancy-lost".to_owned(), "B".to_owned(), 15),
            ("redundancy-restored".to_owned(), "B".to_owned(), 30),
        ];
        assert_eq!(expected, told(&seconds, 0..0));
    }

    #[test]
    fn a_node_seen_on_one_lan_only_and_one_that_is_silent_on_both_are_no_loss() {
        assert!(told(&["a"; 60], 0..0).is_empty());
        let mut seconds = vec!["ab"; 3];
        seconds.extend([""; 60]);
        // The two frames of a pair may fall into two batches.
        seconds.extend(["a", "b", "ab"]);
        assert!(told(&seconds, 0..0).is_empty());
    }

    #[test]
    fn nothing_is_judged_while_the_sensor_is_blind() {
        let mut seconds = vec!["ab"; 3];
        seconds.extend(["a"; 30]);
        seconds.extend(["ab"; 3]);
        assert!(told(&seconds, 4..33).is_empty());
    }
}
