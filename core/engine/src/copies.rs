//! Copies of frames that a mirror, a router or a redundant network makes (contracts.md §4).

use std::hash::{BuildHasher, Hash, Hasher};

use otic_wire::packet::Redundancy;
use otic_wire::{AddressNumber, Mac, Packet};
use rustc_hash::FxBuildHasher;

/// How far apart a frame and its copy may be, ns.
pub const WINDOW_NS: i64 = 5_000_000;
/// How far apart the two frames of a redundant network may be, ns (IEC 62439-3 drops after 400 ms).
const REDUNDANCY_WINDOW_NS: i64 = 400_000_000;
/// Recent frames remembered per shard and kind; a power of two, small enough for the caches.
const SLOTS: usize = 128;

/// Bytes after the IP header (or of the whole layer-2 frame) that are compared, beside the length.
const COMPARED: usize = 128;

/// What a frame is a copy of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    /// The same packet again: one mirror port saw it twice.
    Mirror,
    /// The same packet on the other side of a router.
    Routed {
        /// Where the router received it.
        entered: Mac,
        /// Where the router sent it from.
        left: Mac,
    },
    /// The other LAN of a PRP pair.
    Prp,
    /// The other direction of an HSR ring.
    Hsr,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    hash: u64,
    ts_ns: i64,
    interface: u32,
    source_mac: Mac,
    destination_mac: Mac,
    hop_limit: u8,
    lan: u8,
}

/// Remembers recent frames of one shard.
pub struct CopyCheck {
    recent: Box<[Slot]>,
    redundant: Box<[Slot]>,
}

impl Default for CopyCheck {
    fn default() -> Self {
        Self {
            recent: vec![Slot::default(); SLOTS].into(),
            redundant: vec![Slot::default(); SLOTS].into(),
        }
    }
}

impl CopyCheck {
    /// Whether this frame is a copy of one seen shortly before.
    pub fn check(
        &mut self,
        packet: &Packet,
        frame: &[u8],
        ts_ns: i64,
        interface: u32,
        space: u16,
    ) -> Option<Copy> {
        if let Some(copy) = packet.redundancy.and_then(|tag| self.redundant(packet, tag, ts_ns)) {
            return Some(copy);
        }
        let (start, id, hop_limit) = match &packet.ip {
            Some(ip) => {
                let fixed = if ip.source.is_ipv4() { 20 } else { 40 };
                (ip.offset as usize + fixed, ip.id, ip.hop_limit)
            }
            None => (packet.mac_offset as usize, 0, 0),
        };
        let bytes = frame.get(start..packet.end as usize)?;
        // Identifications count up: frames of one sender in a row fall into slots of their own. The
        // slot is fetched before the bytes are hashed, which takes as long as memory does.
        let slot_of = |number: usize| number & (SLOTS - 1);
        let mut place = slot_of(id as usize);
        let mut hash_before = self.recent.get(place)?.hash;
        let mut hasher = FxBuildHasher.build_hasher();
        if let Some(ip) = &packet.ip {
            AddressNumber::from(&ip.source).hash(&mut hasher);
            AddressNumber::from(&ip.destination).hash(&mut hasher);
            hasher.write_u64(u64::from(id) << 8 | u64::from(ip.protocol));
        }
        // Equal packets of two address spaces are two machines' packets.
        hasher.write_u16(space);
        hasher.write_usize(bytes.len());
        // The transport checksum is among the first bytes: it tells the rest apart.
        hasher.write(bytes.get(..COMPARED).unwrap_or(bytes));
        let hash = hasher.finish() | 1;
        if id == 0 {
            place = slot_of((hash >> 20) as usize);
            hash_before = self.recent.get(place)?.hash;
        }
        let now = Slot {
            hash,
            ts_ns,
            interface,
            hop_limit,
            lan: 0,
            source_mac: packet.source_mac.unwrap_or_default(),
            destination_mac: packet.destination_mac.unwrap_or_default(),
        };
        let slot = self.recent.get_mut(place)?;
        if hash_before != hash {
            *slot = now;
            return None;
        }
        let before = std::mem::replace(slot, now);
        if (ts_ns - before.ts_ns).abs() > WINDOW_NS {
            return None;
        }
        // Without an IP id two equal frames may be two messages, unless two interfaces saw them.
        if id == 0 && interface == before.interface {
            return None;
        }
        let hops = before.hop_limit.abs_diff(hop_limit);
        let elsewhere =
            before.source_mac != now.source_mac && before.destination_mac != now.destination_mac;
        if hops == 1 && elsewhere {
            let (first, second) =
                if before.hop_limit > hop_limit { (before, now) } else { (now, before) };
            let (entered, left) = (first.destination_mac, second.source_mac);
            if !entered.is_group() && !entered.is_zero() && !left.is_zero() {
                return Some(Copy::Routed { entered, left });
            }
        }
        Some(Copy::Mirror)
    }

    fn redundant(&mut self, packet: &Packet, tag: Redundancy, ts_ns: i64) -> Option<Copy> {
        let mac = packet.source_mac?;
        let hash = FxBuildHasher.hash_one((mac, tag.sequence, tag.prp)) | 1;
        let slot = self.redundant.get_mut(hash as usize >> 20 & (SLOTS - 1))?;
        let before = *slot;
        *slot = Slot { hash, ts_ns, lan: tag.lan, ..Slot::default() };
        let same = before.hash == hash && (ts_ns - before.ts_ns).abs() <= REDUNDANCY_WINDOW_NS;
        let other_way = !tag.prp || before.lan != tag.lan;
        (same && other_way).then_some(if tag.prp { Copy::Prp } else { Copy::Hsr })
    }
}

impl Copy {
    /// The kind's name in coverage.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Routed { .. } => "routed",
            Self::Prp => "prp",
            Self::Hsr => "hsr",
        }
    }
}
