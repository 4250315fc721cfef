//! Counters that senders raise with every message, and what is missing between two of them.

/// A longer jump is another stream or a restart of the sender, not loss.
const FAR: u32 = 1024;
/// So far behind, a message came late or twice.
const LATE: u32 = 64;
/// Equal steps in a row after which a step is believed.
const BELIEVED: u8 = 3;

/// Counters by which frames that a mirror lost are noticed; names are those of coverage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    /// Sequence numbers of TCP, in segments (RFC 9293 §3.4).
    Tcp,
    /// `sqNum` of GOOSE (IEC 61850-8-1 §18.1.2.5).
    Goose,
    /// `smpCnt` of sampled values (IEC 61850-9-2 §8.5).
    SampledValues,
    /// Sequence number of the sequenced address item (CIP Networks Library Vol. 2, 2-6.2.3).
    CipIo,
    /// Cycle counter of cyclic data (IEC 61158-6-10 §4.7).
    ProfinetRt,
}

impl Counter {
    /// All of them, by their numbers.
    pub const ALL: [Self; 5] =
        [Self::Tcp, Self::Goose, Self::SampledValues, Self::CipIo, Self::ProfinetRt];

    /// Name of the protocol it is of.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Goose => "goose",
            Self::SampledValues => "sampled-values",
            Self::CipIo => "cip-io",
            Self::ProfinetRt => "profinet-rt",
        }
    }
}

/// A counter that goes up by one with every message and wraps around.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sequence {
    last: Option<u32>,
}

impl Sequence {
    /// Takes the next value of a counter with `bits` bits. Gives how many messages are missing before
    /// it; none for one that came twice or late.
    pub fn next(&mut self, value: u32, bits: u32) -> Option<u32> {
        let mask = u32::MAX >> 32_u32.saturating_sub(bits).min(31);
        let Some(last) = self.last else {
            self.last = Some(value);
            return Some(0);
        };
        let ahead = value.wrapping_sub(last) & mask;
        let behind = last.wrapping_sub(value) & mask;
        if behind < LATE {
            return None;
        }
        self.last = Some(value);
        Some(if ahead <= FAR { ahead - 1 } else { 0 })
    }

    /// The counter starts again at `value`, which `before` messages of the new count came before.
    pub fn restart(&mut self, value: u32, before: u32) -> Option<u32> {
        self.last = Some(value);
        Some(if before <= FAR { before } else { 0 })
    }

    /// The value taken last.
    #[must_use]
    pub const fn last(&self) -> Option<u32> {
        self.last
    }
}

/// A counter of 16 bits that goes up by the same step with every message, a step that has to be
/// learned.
#[derive(Debug, Clone, Copy, Default)]
pub struct SteppedSequence {
    last: Option<u16>,
    step: u16,
    equal: u8,
}

impl SteppedSequence {
    /// Takes the next value. Gives how many messages are missing before it; none for one that came
    /// twice, and while the step is not known.
    pub fn next(&mut self, value: u16) -> Option<u32> {
        let last = self.last.replace(value)?;
        let ahead = value.wrapping_sub(last);
        if ahead == 0 {
            return None;
        }
        if ahead == self.step {
            self.equal = self.equal.saturating_add(1);
            return (self.equal >= BELIEVED).then_some(0);
        }
        if self.equal >= BELIEVED && ahead.is_multiple_of(self.step) {
            let missing = u32::from(ahead / self.step) - 1;
            // A message that came late looks like a turn of the whole counter.
            return Some(if missing <= FAR && ahead < u16::MAX / 2 { missing } else { 0 });
        }
        self.step = ahead;
        self.equal = 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_counted_and_doubles_are_not() {
        let mut sequence = Sequence::default();
        let taken = [5, 6, 6, 9, 8, 10].map(|value| sequence.next(value, 32));
        assert_eq!([Some(0), Some(0), None, Some(2), None, Some(0)], taken);
    }

    #[test]
    fn a_counter_wraps_and_starts_again() {
        let mut sequence = Sequence::default();
        let taken = [65_534, 65_535, 1, 40_000].map(|value| sequence.next(value, 16));
        assert_eq!([Some(0), Some(0), Some(1), Some(0)], taken);
        assert_eq!(Some(2), sequence.restart(2, 2));
        assert_eq!(Some(0), sequence.next(3, 16));
    }

    #[test]
    fn a_step_is_learned_before_anything_is_missing() {
        let mut sequence = SteppedSequence::default();
        let values = [0, 64, 128, 192, 320, 384, 384, 448];
        let taken = values.map(|value| sequence.next(value));
        assert_eq!([None, None, None, Some(0), Some(1), Some(0), None, Some(0)], taken);
    }

    #[test]
    fn a_step_learned_over_a_gap_is_replaced_by_the_true_one() {
        let mut sequence = SteppedSequence::default();
        for value in [0, 128, 256, 384] {
            sequence.next(value);
        }
        let taken = [448, 512, 576, 640, 768].map(|value| sequence.next(value));
        assert_eq!([None, None, Some(0), Some(0), Some(1)], taken);
    }
}
