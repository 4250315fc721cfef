//! What a mirror port shows of each lane, a VLAN on an interface: the numbers from which coverage
//! says how good the mirror is.

use compact_str::CompactString;
use otic_protocols::Counter;
use otic_wire::Packet;
use otic_wire::packet::Kind;
use serde::Serialize;
use smallvec::SmallVec;

use crate::shard::Frame;

/// Lanes of one shard.
const LANES: usize = 4096;

/// Shortest Ethernet frame without its checksum, bytes (IEEE 802.3 §3.2.8); a sender fills up to it.
const SHORTEST: u32 = 60;
/// Longer than any frame of an Ethernet without jumbo frames, whatever tags and labels it carries.
const LONGEST: u32 = 1600;

/// Frames of one lane in one batch, by what they say of the mirror.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Lane {
    /// Interface name; empty where the capture names none.
    pub interface: CompactString,
    /// VLAN ids, outermost first.
    pub vlans: Vec<u16>,
    /// All frames.
    pub frames: u64,
    /// Their original lengths, bytes.
    pub bytes: u64,
    /// Frames to one receiver.
    pub unicast: u64,
    /// Frames that a switch floods: broadcast, IP and discovery multicast. Process data that is
    /// multicast by its nature (GOOSE, sampled values, PROFINET, EtherCAT, POWERLINK) is neither.
    pub flooded: u64,
    /// Frames the capture cut short.
    pub truncated: u64,
    /// Frames longer than Ethernet's that carry TCP.
    pub joined: u64,
    /// Frames longer than Ethernet's that carry anything else: jumbo frames.
    pub jumbo: u64,
    /// Untagged frames filled up to the shortest length.
    pub filled: u64,
    /// Untagged frames filled up and yet shorter than that: a tag was taken out.
    pub filled_short: u64,
    /// Messages whose copies can be told for sure: frames with an IP identification, without one
    /// those with a number or TCP payload.
    pub checkable: u64,
    /// Copies that the mirror made, among these.
    pub mirror_copies: u64,
    /// Copies on the other side of a router.
    pub routed_copies: u64,
    /// Untagged frames of flows that were seen tagged too.
    pub mixed_untagged: u64,
    /// Tagged frames of flows that were seen untagged too.
    pub mixed_tagged: u64,
    /// TCP frames with payload.
    pub tcp: u64,
    /// Those of flows of which only one direction was seen.
    pub tcp_one_way: u64,
    /// Numbered messages, by [`Counter`].
    pub numbered: [u64; Counter::ALL.len()],
    /// Messages missing between them; fewer than none where they came after they were given up.
    pub missing: [i64; Counter::ALL.len()],
}

impl Lane {
    /// Counts a frame by its headers.
    #[inline]
    fn frame(&mut self, frame: &Frame<'_>, packet: &Packet) {
        self.frames += 1;
        self.bytes += u64::from(frame.original_length);
        self.truncated += u64::from((frame.bytes.len() as u32) < frame.original_length);
        let group = packet.destination_mac.is_some_and(|mac| mac.is_group());
        if !group {
            self.unicast += 1;
        } else if is_flooded(packet.kind) {
            self.flooded += 1;
        }
        if frame.original_length > LONGEST {
            match packet.kind {
                Kind::Tcp(_) => self.joined += 1,
                _ => self.jumbo += 1,
            }
        }
        let Some(ip) = &packet.ip else { return };
        self.checkable += u64::from(ip.id != 0);
        // Filled: bytes follow the packet (IEEE 802.3 §3.2.7), right after an untagged link header.
        if frame.original_length <= SHORTEST + 4
            && ip.offset == 14
            && frame.link_type == 1
            && (packet.end as usize) < frame.bytes.len()
        {
            match frame.original_length < SHORTEST {
                true => self.filled_short += 1,
                false => self.filled += 1,
            }
        }
    }

    /// Adds another lane's numbers.
    pub fn add(&mut self, more: &Self) {
        for (sum, count) in [
            (&mut self.frames, more.frames),
            (&mut self.bytes, more.bytes),
            (&mut self.unicast, more.unicast),
            (&mut self.flooded, more.flooded),
            (&mut self.truncated, more.truncated),
            (&mut self.joined, more.joined),
            (&mut self.jumbo, more.jumbo),
            (&mut self.filled, more.filled),
            (&mut self.filled_short, more.filled_short),
            (&mut self.checkable, more.checkable),
            (&mut self.mirror_copies, more.mirror_copies),
            (&mut self.routed_copies, more.routed_copies),
            (&mut self.mixed_untagged, more.mixed_untagged),
            (&mut self.mixed_tagged, more.mixed_tagged),
            (&mut self.tcp, more.tcp),
            (&mut self.tcp_one_way, more.tcp_one_way),
        ] {
            *sum += count;
        }
        for (sum, count) in self.numbered.iter_mut().zip(more.numbered) {
            *sum += count;
        }
        for (sum, count) in self.missing.iter_mut().zip(more.missing) {
            *sum += count;
        }
    }

    /// Counts a message without IP identification whose copies can be told.
    #[inline]
    pub fn check(&mut self, copy: bool) {
        self.checkable += 1;
        self.mirror_copies += u64::from(copy);
    }

    /// Counts numbered messages and what is missing before them.
    #[inline]
    pub fn numbered(&mut self, counter: Counter, seen: u64, missing: i64) {
        if let Some(sum) = self.numbered.get_mut(counter as usize) {
            *sum += seen;
        }
        if let Some(sum) = self.missing.get_mut(counter as usize) {
            *sum += missing;
        }
    }
}

/// Whether a switch sends a group frame of this kind to all ports: everything but process data.
const fn is_flooded(kind: Kind) -> bool {
    !matches!(kind, Kind::EtherType(0x8892 | 0x88a4 | 0x88ab | 0x88b8 | 0x88ba | 0x88cd))
}

/// What names a lane: index of the interface, VLAN ids.
pub type LaneKey = (u32, SmallVec<[u16; 4]>);

/// The lanes of one shard since the last batch.
#[derive(Default)]
pub struct Lanes {
    known: Vec<(LaneKey, Lane)>,
    /// The lane of the frame at hand.
    at: usize,
}

impl Lanes {
    /// Counts a frame in its lane; what is counted from here on until the next is about that lane.
    /// False when there are too many lanes.
    #[inline]
    pub fn frame(&mut self, frame: &Frame<'_>, packet: &Packet) -> bool {
        let fits = |((interface, vlans), _): &(LaneKey, Lane)| {
            *interface == frame.interface && *vlans == packet.vlans
        };
        if !self.known.get(self.at).is_some_and(fits) {
            match self.known.iter().position(fits) {
                Some(at) => self.at = at,
                None if self.known.len() >= LANES => return false,
                None => {
                    self.at = self.known.len();
                    self.known.push(((frame.interface, packet.vlans.clone()), Lane::default()));
                }
            }
        }
        if let Some(lane) = self.now() {
            lane.frame(frame, packet);
        }
        true
    }

    /// The lane of the frame at hand.
    #[inline]
    pub fn now(&mut self) -> Option<&mut Lane> {
        self.known.get_mut(self.at).map(|(_, lane)| lane)
    }

    /// Number of the lane at hand, for [`Self::go_to`].
    #[inline]
    pub const fn at(&self) -> u32 {
        self.at as u32
    }

    /// What is counted from here on is about that lane.
    pub const fn go_to(&mut self, lane: u32) {
        self.at = lane as usize;
    }

    /// Hands over what was counted.
    pub fn take(&mut self) -> Vec<(LaneKey, Lane)> {
        let counted = |(_, lane): &&mut (LaneKey, Lane)| *lane != Lane::default();
        let known = self.known.iter_mut().filter(counted);
        known.map(|(key, lane)| (key.clone(), std::mem::take(lane))).collect()
    }
}
