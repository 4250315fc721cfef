//! Where bytes came from: file, frame and offset.
//!
//! Payloads reach dissectors as one contiguous slice, even when reassembled from several frames. A
//! [`SpanMap`] beside the slice remembers the frame bytes behind each part, so any sub-slice can be
//! cited as evidence.

use smallvec::SmallVec;

/// A run of bytes of one captured frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameSpan {
    /// Ordinal of the capture among the files (or interfaces) given together, from 0.
    pub file: u32,
    /// Number of the frame in that file, from 1.
    pub frame: u64,
    /// Offset of the first byte from byte 0 of the frame as captured.
    pub offset: u32,
    /// Number of bytes.
    pub length: u32,
}

/// Frame bytes that, joined in order, are one value.
pub type Spans = SmallVec<[FrameSpan; 1]>;

/// The frame bytes behind a contiguous buffer: pieces in buffer order, without holes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpanMap {
    pieces: SmallVec<[FrameSpan; 2]>,
}

impl SpanMap {
    /// The map of a buffer that is one run of one frame.
    #[must_use]
    pub fn single(span: FrameSpan) -> Self {
        let mut pieces = SmallVec::new();
        pieces.push(span);
        Self { pieces }
    }

    /// Says that the next `span.length` bytes of the buffer are `span`.
    pub fn push(&mut self, span: FrameSpan) {
        if span.length > 0 {
            self.pieces.push(span);
        }
    }

    /// Says that the next bytes of the buffer are those of `other`.
    pub fn extend(&mut self, other: &Self) {
        self.pieces.extend_from_slice(&other.pieces);
    }

    /// Forgets the first `length` bytes of the buffer.
    pub fn consume(&mut self, length: usize) {
        let mut left = length as u64;
        let mut gone = 0;
        for piece in &mut self.pieces {
            if left == 0 {
                break;
            }
            let taken = left.min(u64::from(piece.length)) as u32;
            piece.offset += taken;
            piece.length -= taken;
            left -= u64::from(taken);
            if piece.length == 0 {
                gone += 1;
            }
        }
        self.pieces.drain(..gone);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.pieces.clear();
    }

    /// The frame bytes of `length` buffer bytes from `start` on; shorter where the map ends.
    #[must_use]
    pub fn range(&self, start: usize, length: usize) -> Spans {
        if let [piece] = self.pieces.as_slice()
            && length > 0
            && start.saturating_add(length) <= piece.length as usize
        {
            let (offset, length) = (piece.offset + start as u32, length as u32);
            return Spans::from_buf([FrameSpan { offset, length, ..*piece }]);
        }
        let (mut skip, mut left) = (start as u64, length as u64);
        let mut spans = Spans::new();
        for piece in &self.pieces {
            let size = u64::from(piece.length);
            if skip >= size {
                skip -= size;
                continue;
            }
            if left == 0 {
                break;
            }
            let taken = (size - skip).min(left);
            spans.push(FrameSpan {
                offset: piece.offset + skip as u32,
                length: taken as u32,
                ..*piece
            });
            left -= taken;
            skip = 0;
        }
        spans
    }

    /// The frame bytes behind `part`, a sub-slice of `buffer` (the buffer this map is of); none
    /// when `part` is not inside `buffer`.
    #[must_use]
    pub fn locate(&self, buffer: &[u8], part: &[u8]) -> Spans {
        let base = buffer.as_ptr().addr();
        let start = part.as_ptr().addr();
        if part.is_empty() || start < base || start + part.len() > base + buffer.len() {
            return Spans::new();
        }
        self.range(start - base, part.len())
    }

    /// All pieces in buffer order.
    #[must_use]
    pub fn pieces(&self) -> &[FrameSpan] {
        &self.pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(frame: u64, offset: u32, length: u32) -> FrameSpan {
        FrameSpan { file: 0, frame, offset, length }
    }

    #[test]
    fn a_part_over_two_frames_has_two_spans() {
        let buffer = [0_u8; 20];
        let mut map = SpanMap::single(span(1, 54, 10));
        map.push(span(3, 60, 10));
        let found = map.locate(&buffer, &buffer[8..12]);
        assert_eq!(&[span(1, 62, 2), span(3, 60, 2)], found.as_slice());
    }

    #[test]
    fn consumed_bytes_leave_the_map() {
        let mut map = SpanMap::single(span(1, 54, 10));
        map.push(span(3, 60, 10));
        map.consume(12);
        assert_eq!(&[span(3, 62, 8)], map.pieces());
        assert_eq!(&[span(3, 64, 1)], map.range(2, 1).as_slice());
    }

    #[test]
    fn a_foreign_slice_has_no_evidence() {
        let map = SpanMap::single(span(1, 0, 4));
        let (buffer, foreign) = (vec![0_u8; 4], vec![0_u8; 4]);
        assert!(map.locate(&buffer, &foreign).is_empty());
    }
}
