//! TCP segments into a byte stream, one direction at a time (RFC 9293).
//!
//! Made for mirror ports: the start may be missing, segments may be lost, doubled or out of order,
//! and one direction may never be seen. What is in order is handed on without a copy.

use crate::span::SpanMap;

/// Segments kept while earlier ones are missing.
const LATE_SEGMENTS: usize = 32;
/// Their bytes.
const LATE_BYTES: usize = 256 * 1024;
/// How long an earlier segment is waited for, ns of capture time.
const PATIENCE_NS: i64 = 1_000_000_000;
/// A sequence number further away than this belongs to another stream on the same ports.
const FAR: i32 = 1 << 24;
/// Skipped holes remembered, in case their bytes were captured late.
const HOLES: usize = 4;

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Its bytes were handed on (now, or with the segments it completed).
    InOrder,
    /// All its bytes were known already.
    Retransmission,
    /// It waits for earlier ones.
    Late,
}

/// Bytes handed to the reader of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// All bytes not used up so far.
    pub bytes: &'a [u8],
    /// Where they came from.
    pub spans: &'a SpanMap,
    /// How many of them, at the end, came with the last segment.
    pub fresh: usize,
    /// They start where the stream starts.
    pub stream_start: bool,
    /// Bytes are missing before them.
    pub after_gap: bool,
    /// The frame of the last of them was cut by the capture.
    pub truncated: bool,
}

/// One segment's payload.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// Sequence number of the first byte.
    pub sequence: u32,
    /// The bytes captured.
    pub bytes: &'a [u8],
    /// Where they are (several frames when the segment came in IP fragments).
    pub spans: &'a SpanMap,
    /// Bytes of the payload that were on the wire but not captured.
    pub missing: u32,
    /// Capture time, ns.
    pub ts_ns: i64,
}

struct Late {
    sequence: u32,
    bytes: Vec<u8>,
    spans: SpanMap,
    missing: u32,
    ts_ns: i64,
}

/// One direction of a TCP connection. Most directions are in order and wait for nothing: what is
/// kept has a place of its own, which exists only while something is in it.
#[derive(Default)]
pub struct Stream {
    next: Option<u32>,
    from_start: bool,
    after_gap: bool,
    gaps: u32,
    /// Longest payload of a segment.
    longest: u32,
    /// Segments missing since they were last asked for; fewer than none when they came late.
    missing: i32,
    kept: Option<Box<Kept>>,
}

/// What a direction keeps: bytes nobody used up yet, and segments that wait for earlier ones.
#[derive(Default)]
struct Kept {
    buffer: Vec<u8>,
    spans: SpanMap,
    late: Vec<Late>,
    late_bytes: usize,
    holes: Vec<(u32, u32)>,
}

impl Kept {
    fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.late.is_empty() && self.holes.is_empty()
    }
}

impl Stream {
    /// A SYN with this sequence number starts the stream.
    pub fn start(&mut self, sequence: u32) {
        *self = Self {
            next: Some(sequence.wrapping_add(1)),
            from_start: true,
            gaps: self.gaps,
            missing: self.missing,
            ..Self::default()
        };
    }

    /// Sequence number expected next, if any byte or the SYN was seen.
    #[must_use]
    pub const fn next(&self) -> Option<u32> {
        self.next
    }

    /// Segments that are missing since the last call: holes that were given up, less those filled late,
    /// each as many segments as its bytes need.
    pub fn take_missing(&mut self) -> i32 {
        std::mem::take(&mut self.missing)
    }

    /// The receiver acknowledged bytes up to `sequence` and the stream is over: counts what was never
    /// seen of it. One number more is the FIN.
    pub fn end(&mut self, sequence: u32) {
        if let Some(next) = self.next
            && (2..FAR).contains(&(sequence.wrapping_sub(next) as i32))
        {
            self.missing += self.segments(sequence.wrapping_sub(next));
        }
    }

    /// How many segments so many bytes were.
    fn segments(&self, bytes: u32) -> i32 {
        bytes.div_ceil(self.longest.max(1)).clamp(1, 1 << 16) as i32
    }

    /// Takes a segment; hands what is in order to `read`, which returns how many bytes it used up.
    /// At most `cap` bytes not used up are kept.
    #[inline]
    pub fn push(
        &mut self,
        segment: Segment<'_>,
        peer_acknowledged: Option<u32>,
        cap: usize,
        read: &mut impl FnMut(Chunk<'_>) -> usize,
    ) -> Arrival {
        let length = segment.bytes.len() as u32 + segment.missing;
        self.longest = self.longest.max(length);
        let Some(next) = self.next else {
            // Joined in the middle: the first segment may start inside a message.
            self.after_gap = true;
            if length == 1 {
                // A keep-alive repeats the last byte before the next one (RFC 9293 §3.8.4).
                self.next = Some(segment.sequence.wrapping_add(1));
                return Arrival::Retransmission;
            }
            self.deliver(segment, cap, read);
            return Arrival::InOrder;
        };
        let ahead = segment.sequence.wrapping_sub(next) as i32;
        if ahead.unsigned_abs() > FAR as u32 {
            self.drop_late();
            self.skip();
            self.deliver(segment, cap, read);
            return Arrival::InOrder;
        }
        if ahead > 0 {
            let known = self.late().iter().any(|late| late.sequence == segment.sequence);
            if !known {
                self.keep_late(segment);
            }
            let late = self.late();
            let waited = late.first().is_some_and(|late| segment.ts_ns - late.ts_ns > PATIENCE_NS);
            let bytes = self.kept.as_ref().map_or(0, |kept| kept.late_bytes);
            let full = late.len() >= LATE_SEGMENTS || bytes >= LATE_BYTES;
            if waited || full {
                self.skip_hole(cap, read);
            } else if let Some(acknowledged) = peer_acknowledged {
                self.acknowledged(acknowledged, cap, read);
            }
            return match (known, self.late().is_empty()) {
                (true, _) => Arrival::Retransmission,
                (false, true) => Arrival::InOrder,
                (false, false) => Arrival::Late,
            };
        }
        let known = ahead.unsigned_abs();
        if known >= length {
            return self.fill_hole(segment, read);
        }
        if known == 0 {
            self.deliver(segment, cap, read);
        } else {
            let fresh = segment.bytes.get(known as usize..).unwrap_or_default();
            let mut spans = segment.spans.clone();
            spans.consume(segment.bytes.len() - fresh.len());
            let rest = Segment { sequence: next, bytes: fresh, spans: &spans, ..segment };
            self.deliver(rest, cap, read);
        }
        self.deliver_late(cap, read);
        Arrival::InOrder
    }

    /// The receiver acknowledged bytes up to `sequence`: what is missing before it will not come.
    pub fn acknowledged(
        &mut self,
        sequence: u32,
        cap: usize,
        read: &mut impl FnMut(Chunk<'_>) -> usize,
    ) {
        while let Some(first) = self.late().first() {
            if (sequence.wrapping_sub(first.sequence) as i32) < 0 {
                break;
            }
            self.skip_hole(cap, read);
        }
    }

    /// Memory that what is kept takes, bytes: not read yet, or waiting for earlier ones.
    #[must_use]
    #[inline]
    pub fn held(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| {
            kept.buffer.capacity() + kept.late_bytes + kept.late.len() * size_of::<Late>()
        })
    }

    /// Gives all held bytes up, as if they had been lost.
    pub fn drop_held(&mut self) {
        self.drop_late();
        self.skip();
    }

    /// Bytes kept because no reader wanted them yet, and where they came from.
    #[must_use]
    pub fn kept(&self) -> Option<(&[u8], &SpanMap)> {
        let kept = self.kept.as_ref()?;
        (!kept.buffer.is_empty()).then_some((&kept.buffer, &kept.spans))
    }

    /// Hands the bytes kept to the reader once more: it may know now what they are.
    pub fn again(&mut self, cap: usize, read: &mut impl FnMut(Chunk<'_>) -> usize) {
        if let (Some(next), true) = (self.next, self.kept().is_some()) {
            let spans = SpanMap::default();
            let nothing =
                Segment { sequence: next, bytes: &[], spans: &spans, missing: 0, ts_ns: 0 };
            self.deliver(nothing, cap, read);
        }
    }

    /// Whether segments wait for earlier ones.
    #[must_use]
    pub fn has_late(&self) -> bool {
        !self.late().is_empty()
    }

    fn late(&self) -> &[Late] {
        self.kept.as_ref().map_or(&[], |kept| kept.late.as_slice())
    }

    /// The stream ends: hands on what still waited.
    pub fn finish(&mut self, cap: usize, read: &mut impl FnMut(Chunk<'_>) -> usize) {
        while self.has_late() {
            self.skip_hole(cap, read);
        }
    }

    /// Gaps since the last call: holes skipped, cut frames, messages beyond the cap.
    pub fn take_gaps(&mut self) -> u64 {
        u64::from(std::mem::take(&mut self.gaps))
    }

    #[inline]
    fn deliver(
        &mut self,
        segment: Segment<'_>,
        cap: usize,
        read: &mut impl FnMut(Chunk<'_>) -> usize,
    ) {
        let length = segment.bytes.len() as u32 + segment.missing;
        self.next = Some(segment.sequence.wrapping_add(length));
        let truncated = segment.missing > 0;
        let chunk = Chunk {
            bytes: segment.bytes,
            spans: segment.spans,
            fresh: segment.bytes.len(),
            stream_start: self.from_start,
            after_gap: self.after_gap,
            truncated,
        };
        let kept = match &mut self.kept {
            Some(kept) if !kept.buffer.is_empty() => {
                kept.buffer.extend_from_slice(segment.bytes);
                kept.spans.extend(segment.spans);
                let chunk = Chunk { bytes: &kept.buffer, spans: &kept.spans, ..chunk };
                let used = read(chunk).min(kept.buffer.len());
                kept.spans.consume(used);
                if used == kept.buffer.len() {
                    kept.buffer = Vec::new();
                } else {
                    kept.buffer.drain(..used);
                }
                let left = kept.buffer.len();
                self.used(used);
                self.tidy();
                left
            }
            _ => {
                let used = read(chunk).min(segment.bytes.len());
                if used < segment.bytes.len() {
                    self.keep(segment, used);
                }
                self.used(used);
                segment.bytes.len() - used
            }
        };
        if truncated || kept > cap {
            self.skip();
        }
    }

    /// Keeps what was not used up of a segment that came while nothing was kept.
    #[cold]
    fn keep(&mut self, segment: Segment<'_>, used: usize) {
        let kept = self.kept.get_or_insert_default();
        kept.buffer = segment.bytes.get(used..).unwrap_or_default().to_vec();
        kept.spans.clone_from(segment.spans);
        kept.spans.consume(used);
    }

    /// Gives the place of what is kept back once nothing is.
    fn tidy(&mut self) {
        if self.kept.as_ref().is_some_and(|kept| kept.is_empty()) {
            self.kept = None;
        }
    }

    fn used(&mut self, used: usize) {
        if used > 0 {
            self.from_start = false;
            self.after_gap = false;
        }
    }

    /// Bytes are missing from here on: what waited for them is dropped.
    fn skip(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.buffer = Vec::new();
            kept.spans.clear();
            self.tidy();
        }
        self.after_gap = true;
        self.from_start = false;
        self.gaps += 1;
    }

    fn keep_late(&mut self, segment: Segment<'_>) {
        let next = self.next.unwrap_or(segment.sequence);
        let distance = segment.sequence.wrapping_sub(next);
        let kept = self.kept.get_or_insert_default();
        let at = kept.late.partition_point(|late| late.sequence.wrapping_sub(next) <= distance);
        kept.late_bytes += segment.bytes.len();
        kept.late.insert(
            at,
            Late {
                sequence: segment.sequence,
                bytes: segment.bytes.to_vec(),
                spans: segment.spans.clone(),
                missing: segment.missing,
                ts_ns: segment.ts_ns,
            },
        );
    }

    fn drop_late(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.late = Vec::new();
            kept.late_bytes = 0;
            self.tidy();
        }
    }

    /// Gives up the bytes before the first late segment and goes on with it.
    fn skip_hole(&mut self, cap: usize, read: &mut impl FnMut(Chunk<'_>) -> usize) {
        if let (Some(next), Some(kept)) = (self.next, &mut self.kept)
            && let Some(first) = kept.late.first()
        {
            if kept.holes.len() == HOLES {
                kept.holes.remove(0);
            }
            let sequence = first.sequence;
            kept.holes.push((next, sequence));
            self.missing += self.segments(sequence.wrapping_sub(next));
            self.next = Some(sequence);
            self.skip();
        }
        self.deliver_late(cap, read);
    }

    fn deliver_late(&mut self, cap: usize, read: &mut impl FnMut(Chunk<'_>) -> usize) {
        while let (Some(next), Some(kept)) = (self.next, &mut self.kept)
            && let Some(first) = kept.late.first()
        {
            let known = next.wrapping_sub(first.sequence) as i32;
            if known < 0 {
                break;
            }
            let late = kept.late.remove(0);
            kept.late_bytes -= late.bytes.len();
            if kept.late.is_empty() {
                kept.late = Vec::new();
                self.tidy();
            }
            let known = known as usize;
            if known >= late.bytes.len() + late.missing as usize {
                continue;
            }
            let cut = known.min(late.bytes.len());
            let mut spans = late.spans;
            spans.consume(cut);
            let segment = Segment {
                sequence: next,
                bytes: late.bytes.get(cut..).unwrap_or_default(),
                spans: &spans,
                missing: late.missing,
                ts_ns: late.ts_ns,
            };
            self.deliver(segment, cap, read);
        }
    }

    /// A segment of bytes that were given up: read by itself when it fills a hole from its start.
    fn fill_hole(
        &mut self,
        segment: Segment<'_>,
        read: &mut impl FnMut(Chunk<'_>) -> usize,
    ) -> Arrival {
        let end = segment.sequence.wrapping_add(segment.bytes.len() as u32);
        let holes = self.kept.iter_mut().flat_map(|kept| &mut kept.holes);
        let Some(hole) = holes.into_iter().find(|(start, stop)| {
            *start == segment.sequence && (stop.wrapping_sub(end) as i32) >= 0
        }) else {
            return Arrival::Retransmission;
        };
        hole.0 = end;
        self.missing -= self.segments(segment.bytes.len() as u32);
        read(Chunk {
            bytes: segment.bytes,
            spans: segment.spans,
            fresh: segment.bytes.len(),
            stream_start: false,
            after_gap: true,
            truncated: segment.missing > 0,
        });
        Arrival::InOrder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::FrameSpan;
    use proptest::prelude::*;

    /// Reads messages of a length byte and that many bytes; after a gap believes the segment start.
    #[derive(Default)]
    struct Reader {
        messages: Vec<Vec<u8>>,
        gaps: usize,
    }

    impl Reader {
        fn read(&mut self, chunk: Chunk<'_>) -> usize {
            if chunk.after_gap {
                self.gaps += 1;
            }
            let mut used = 0;
            while let Some(length) = chunk.bytes.get(used) {
                let Some(message) = chunk.bytes.get(used + 1..used + 1 + usize::from(*length))
                else {
                    break;
                };
                self.messages.push(message.to_vec());
                used += 1 + message.len();
            }
            used
        }
    }

    fn segment(sequence: u32, bytes: &[u8], ts_ns: i64) -> Segment<'_> {
        let span = FrameSpan { file: 0, frame: 1, offset: 54, length: bytes.len() as u32 };
        let spans = Box::leak(Box::new(SpanMap::single(span)));
        Segment { sequence, bytes, spans, missing: 0, ts_ns }
    }

    fn run(stream: &mut Stream, reader: &mut Reader, segment: Segment<'_>) -> Arrival {
        stream.push(segment, None, 1000, &mut |chunk| reader.read(chunk))
    }

    #[test]
    fn order_overlap_and_doubles_do_not_show() {
        let (mut stream, mut reader) = (Stream::default(), Reader::default());
        stream.start(u32::MAX - 2);
        let bytes = [2, b'a', b'b', 1, b'c', 3, b'd', b'e', b'f'];
        let base = u32::MAX - 1;
        assert_eq!(Arrival::InOrder, run(&mut stream, &mut reader, segment(base, &bytes[..2], 0)));
        let late = segment(base.wrapping_add(4), &bytes[4..7], 0);
        assert_eq!(Arrival::Late, run(&mut stream, &mut reader, late));
        assert_eq!(
            Arrival::Retransmission,
            run(&mut stream, &mut reader, segment(base, &bytes[..2], 0))
        );
        let overlap = segment(base.wrapping_add(1), &bytes[1..6], 0);
        assert_eq!(Arrival::InOrder, run(&mut stream, &mut reader, overlap));
        run(&mut stream, &mut reader, segment(base.wrapping_add(7), &bytes[7..], 0));
        assert_eq!(vec![b"ab".to_vec(), b"c".to_vec(), b"def".to_vec()], reader.messages);
        assert_eq!(0, reader.gaps);
    }

    #[test]
    fn a_hole_the_peer_acknowledged_is_skipped_and_filled_if_it_comes_late() {
        let (mut stream, mut reader) = (Stream::default(), Reader::default());
        stream.start(0);
        run(&mut stream, &mut reader, segment(1, &[1, b'a'], 0));
        let after_hole = segment(5, &[1, b'c'], 0);
        stream.push(after_hole, Some(5), 1000, &mut |chunk| reader.read(chunk));
        assert_eq!(Arrival::InOrder, run(&mut stream, &mut reader, segment(3, &[1, b'b'], 0)));
        assert_eq!(
            Arrival::Retransmission,
            run(&mut stream, &mut reader, segment(3, &[1, b'b'], 0))
        );
        assert_eq!(vec![b"a".to_vec(), b"c".to_vec(), b"b".to_vec()], reader.messages);
        assert_eq!(1, stream.take_gaps());
    }

    #[test]
    fn a_message_beyond_the_cap_is_dropped_and_named_a_gap() {
        let (mut stream, mut reader) = (Stream::default(), Reader::default());
        stream.start(0);
        let mut read = |chunk: Chunk<'_>| reader.read(chunk);
        stream.push(segment(1, &[200, 1, 2, 3], 0), None, 2, &mut read);
        stream.push(segment(5, &[1, b'x'], 0), None, 2, &mut read);
        assert_eq!((vec![b"x".to_vec()], 1), (reader.messages, reader.gaps));
    }

    proptest! {
        #[test]
        fn any_split_and_order_gives_the_same_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20),
            cuts in prop::collection::vec(1_usize..30, 1..60),
            swaps in prop::collection::vec(any::<bool>(), 60),
            start in any::<u32>(),
        ) {
            let wire: Vec<u8> = messages.iter()
                .flat_map(|message| std::iter::once(message.len() as u8).chain(message.iter().copied()))
                .collect();
            let mut pieces = Vec::new();
            let mut at = 0;
            for cut in cuts.iter().cycle() {
                if at >= wire.len() { break; }
                let end = (at + cut).min(wire.len());
                pieces.push((start.wrapping_add(1 + at as u32), &wire[at..end]));
                at = end;
            }
            for (index, swap) in swaps.iter().enumerate() {
                if *swap && index + 1 < pieces.len() {
                    pieces.swap(index, index + 1);
                }
            }
            let (mut stream, mut reader) = (Stream::default(), Reader::default());
            stream.start(start);
            for (sequence, bytes) in pieces {
                run(&mut stream, &mut reader, segment(sequence, bytes, 0));
            }
            // More than LATE_SEGMENTS late ones cannot come from swaps of neighbours.
            prop_assert_eq!(messages, reader.messages);
        }

        #[test]
        fn any_segments_keep_memory_bounded(
            segments in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..300)), 0..200),
        ) {
            let mut stream = Stream::default();
            for (sequence, bytes) in &segments {
                stream.push(segment(*sequence % 100_000, bytes, 0), None, 100, &mut |_| 0);
                let kept = stream.kept().map_or(0, |(bytes, _)| bytes.len());
                prop_assert!(kept <= 100 && stream.late().len() <= LATE_SEGMENTS);
            }
        }
    }
}
