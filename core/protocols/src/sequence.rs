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

/// What a number says of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbered {
    /// It is the next one, after so many that are missing.
    Next(u32),
    /// It is the one before again.
    Again,
    /// It came late, or what is next is not known yet.
    Unclear,
}

/// A counter that goes up by one with every message and wraps around.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sequence {
    last: Option<u32>,
}

impl Sequence {
    /// Takes the next value of a counter of 32 bits.
    pub fn next(&mut self, value: u32) -> Numbered {
        let Some(last) = self.last.replace(value) else { return Numbered::Next(0) };
        let ahead = value.wrapping_sub(last);
        if ahead == 0 {
            return Numbered::Again;
        }
        if last.wrapping_sub(value) < LATE {
            self.last = Some(last);
            return Numbered::Unclear;
        }
        Numbered::Next(if ahead <= FAR { ahead - 1 } else { 0 })
    }

    /// The counter starts again at `value`, which `before` messages of the new count came before.
    pub const fn restart(&mut self, value: u32, before: u32) -> Numbered {
        self.last = Some(value);
        Numbered::Next(if before <= FAR { before } else { 0 })
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
    /// Takes the next value.
    pub fn next(&mut self, value: u16) -> Numbered {
        let Some(last) = self.last.replace(value) else { return Numbered::Unclear };
        let ahead = value.wrapping_sub(last);
        if ahead == 0 {
            return Numbered::Again;
        }
        if ahead == self.step {
            self.equal = self.equal.saturating_add(1);
            return if self.equal >= BELIEVED { Numbered::Next(0) } else { Numbered::Unclear };
        }
        if self.equal >= BELIEVED && ahead.is_multiple_of(self.step) {
            let missing = u32::from(ahead / self.step) - 1;
            // A message that came late looks like a turn of the whole counter.
            let believed = missing <= FAR && ahead < u16::MAX / 2;
            return Numbered::Next(if believed { missing } else { 0 });
        }
        self.step = ahead;
        self.equal = 1;
        Numbered::Unclear
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Numbered::{Again, Next, Unclear};

    #[test]
    fn what_is_missing_is_counted_and_doubles_are_not() {
        let mut sequence = Sequence::default();
        let taken = [5, 6, 6, 9, 8, 10].map(|value| sequence.next(value));
        assert_eq!([Next(0), Next(0), Again, Next(2), Unclear, Next(0)], taken);
    }

    #[test]
    fn a_counter_wraps_and_starts_again() {
        let mut sequence = Sequence::default();
        let taken = [u32::MAX - 1, u32::MAX, 1, 40_000].map(|value| sequence.next(value));
        assert_eq!([Next(0), Next(0), Next(1), Next(0)], taken);
        assert_eq!(Next(2), sequence.restart(2, 2));
        assert_eq!(Next(0), sequence.next(3));
    }

    #[test]
    fn a_step_is_learned_before_anything_is_missing() {
        let mut sequence = SteppedSequence::default();
        let values = [0, 64, 128, 192, 320, 384, 384, 448];
        let taken = values.map(|value| sequence.next(value));
        let expected = [Unclear, Unclear, Unclear, Next(0), Next(1), Next(0), Again, Next(0)];
        assert_eq!(expected, taken);
    }

    #[test]
    fn a_step_learned_over_a_gap_is_replaced_by_the_true_one() {
        let mut sequence = SteppedSequence::default();
        for value in [0, 128, 256, 384] {
            sequence.next(value);
        }
        let taken = [448, 512, 576, 640, 768].map(|value| sequence.next(value));
        assert_eq!([Unclear, Unclear, Next(0), Next(0), Next(1)], taken);
    }
}
