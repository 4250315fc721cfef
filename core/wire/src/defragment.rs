//! IP fragments into datagrams (RFC 791 §3.2, RFC 8200 §4.5).

use std::collections::VecDeque;
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::packet::IpHeader;
use crate::span::{FrameSpan, SpanMap};

/// Datagrams under reassembly at once.
const DATAGRAMS: usize = 256;
/// Memory of their fragments, bytes.
const HELD: usize = 1 << 20;
/// Largest datagram, bytes.
const LARGEST: usize = 65_535;
/// Fragments of one datagram: 64 KiB in pieces of 8 bytes is an attack, not a network.
const PIECES: usize = 1024;
/// How long a datagram may wait for its missing parts, ns.
const PATIENCE_NS: i64 = 30_000_000_000;

type Key = (IpAddr, IpAddr, u8, u32);

struct Piece {
    offset: usize,
    bytes: Vec<u8>,
    span: FrameSpan,
}

struct Datagram {
    pieces: Vec<Piece>,
    /// Length, once the last fragment was seen.
    total: Option<usize>,
    since_ns: i64,
}

/// Memory that a fragment with these bytes takes.
const fn cost(bytes: usize) -> usize {
    bytes + size_of::<Piece>()
}

/// Puts fragments together. Memory is bounded: at most [`DATAGRAMS`], at most [`HELD`] bytes.
#[derive(Default)]
pub struct Defragmenter {
    waiting: HashMap<Key, Datagram>,
    order: VecDeque<(i64, Key)>,
    held: usize,
    lost: u64,
}

impl Defragmenter {
    /// Adds a fragment that starts at `offset` of its datagram's payload; `more` says that it is
    /// not the last. Returns the payload and where it came from once it is whole. Where fragments
    /// overlap the first one's bytes count.
    pub fn push(
        &mut self,
        ip: &IpHeader,
        (offset, more): (u32, bool),
        bytes: &[u8],
        span: FrameSpan,
        now_ns: i64,
    ) -> Option<(Vec<u8>, SpanMap)> {
        self.expire(now_ns);
        let key = (ip.source, ip.destination, ip.protocol, ip.id);
        let offset = offset as usize;
        if self.order.len() > 2 * DATAGRAMS {
            // Most of what once waited is whole by now.
            self.order.retain(|(since_ns, key)| {
                self.waiting.get(key).is_some_and(|datagram| datagram.since_ns == *since_ns)
            });
        }
        if offset + bytes.len() > LARGEST {
            self.lost += 1;
            return None;
        }
        if !self.waiting.contains_key(&key) {
            if self.waiting.len() >= DATAGRAMS {
                self.drop_oldest();
            }
            self.order.push_back((now_ns, key));
        }
        let datagram = self.waiting.entry(key).or_insert_with(|| Datagram {
            pieces: Vec::new(),
            total: None,
            since_ns: now_ns,
        });
        if datagram.pieces.len() < PIECES {
            self.held += cost(bytes.len());
            datagram.pieces.push(Piece { offset, bytes: bytes.to_vec(), span });
        }
        if !more {
            datagram.total = Some(offset + bytes.len());
        }
        let whole = datagram.assemble();
        if whole.is_some() {
            self.forget(&key);
        }
        while self.held > HELD && !self.order.is_empty() {
            self.drop_oldest();
        }
        whole
    }

    fn forget(&mut self, key: &Key) {
        if let Some(datagram) = self.waiting.remove(key) {
            let held: usize = datagram.pieces.iter().map(|piece| cost(piece.bytes.len())).sum();
            self.held -= held;
        }
    }

    /// Datagrams given up since the last call.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    fn expire(&mut self, now_ns: i64) {
        while self.order.front().is_some_and(|(since, _)| now_ns - since > PATIENCE_NS) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((since_ns, key)) = self.order.pop_front() {
            // The same key may have been completed and started again since.
            if self.waiting.get(&key).is_some_and(|datagram| datagram.since_ns == since_ns) {
                self.forget(&key);
                self.lost += 1;
            }
        }
    }
}

impl Datagram {
    fn assemble(&mut self) -> Option<(Vec<u8>, SpanMap)> {
        let total = self.total?;
        if self.pieces.iter().map(|piece| piece.bytes.len()).sum::<usize>() < total {
            return None;
        }
        // Stable: of two pieces with one offset the first that came counts.
        self.pieces.sort_by_key(|piece| piece.offset);
        let mut payload = Vec::with_capacity(total);
        let mut spans = SpanMap::default();
        for piece in &self.pieces {
            let known = payload.len().checked_sub(piece.offset)?;
            let fresh = piece.bytes.get(known..).unwrap_or_default();
            let fresh = fresh.get(..(total - payload.len()).min(fresh.len())).unwrap_or_default();
            payload.extend_from_slice(fresh);
            spans.push(FrameSpan {
                offset: piece.span.offset + known as u32,
                length: fresh.len() as u32,
                ..piece.span
            });
        }
        (payload.len() == total).then_some((payload, spans))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn header() -> IpHeader {
        IpHeader {
            source: Ipv4Addr::new(192, 0, 2, 1).into(),
            destination: Ipv4Addr::new(192, 0, 2, 2).into(),
            hop_limit: 64,
            id: 7,
            protocol: 17,
            offset: 14,
            source_offset: 26,
        }
    }

    fn span(frame: u64) -> FrameSpan {
        FrameSpan { file: 0, frame, offset: 34, length: 8 }
    }

    #[test]
    fn parts_in_any_order_and_twice_give_the_datagram() {
        let mut defragmenter = Defragmenter::default();
        let ip = header();
        assert!(defragmenter.push(&ip, (8, false), &[3, 4], span(1), 0).is_none());
        assert!(defragmenter.push(&ip, (8, false), &[9, 9], span(2), 0).is_none());
        let (payload, spans) =
            defragmenter.push(&ip, (0, true), &[1, 1, 1, 1, 2, 2, 2, 2], span(3), 1).unwrap();
        assert_eq!(&[1, 1, 1, 1, 2, 2, 2, 2, 3, 4], payload.as_slice());
        assert_eq!(3, spans.range(0, 8).first().unwrap().frame);
        assert_eq!(1, spans.range(8, 2).first().unwrap().frame);
    }

    #[test]
    fn a_hole_is_waited_for_and_given_up_after_a_while() {
        let mut defragmenter = Defragmenter::default();
        let ip = header();
        assert!(defragmenter.push(&ip, (16, false), &[1; 16], span(1), 0).is_none());
        assert!(defragmenter.push(&ip, (0, true), &[2; 8], span(2), PATIENCE_NS + 1).is_none());
        assert_eq!(1, defragmenter.take_lost());
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let mut defragmenter = Defragmenter::default();
        for id in 0..10_000 {
            let ip = IpHeader { id, ..header() };
            assert!(defragmenter.push(&ip, (0, true), &[0; 8], span(1), 0).is_none());
        }
        assert!(
            defragmenter.waiting.len() <= DATAGRAMS && defragmenter.order.len() <= 2 * DATAGRAMS
        );
        assert!(defragmenter.push(&header(), (65_528, false), &[0; 16], span(1), 0).is_none());
        for id in 0..100 {
            let ip = IpHeader { id, ..header() };
            assert!(defragmenter.push(&ip, (8, true), &[0; 60_000], span(1), 0).is_none());
            assert!(defragmenter.held <= HELD);
        }
    }
}
