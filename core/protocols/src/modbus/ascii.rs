//! ASCII frames (colon, unit and PDU in hexadecimal, LRC, CR LF) as terminal servers carry them.
//! Source: MODBUS over Serial Line V1.02 §2.5.2 (frame of at most 513 characters, LRC).

use otic_wire::SpanMap;

use crate::out::{Decode, Item};
use crate::session::Input;

use super::Front;

/// Characters of the longest frame (§2.5.2.1).
const LARGEST: usize = 513;
const VIOLATION: &str = "modbus-lrc";

/// A frame in binary: unit and PDU, without the LRC, and the characters it stood in.
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) spans: SpanMap,
    pub(super) length: usize,
}

/// What stands at the front of `bytes`, which are part of the input's.
pub(super) fn front(input: &Input<'_>, bytes: &[u8]) -> Result<Frame, Front<'static>> {
    match bytes.first() {
        None => return Err(Front::Incomplete),
        Some(b':') => {}
        Some(_) => return Err(Front::Broken(VIOLATION)),
    }
    let line = bytes.get(..bytes.len().min(LARGEST)).unwrap_or_default();
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        let whole = line.len() == LARGEST || line.iter().skip(1).any(|&byte| !is_part(byte));
        return Err(if whole { Front::Broken(VIOLATION) } else { Front::Incomplete });
    };
    let digits = line.get(1..end).unwrap_or_default();
    let mut frame = Frame { bytes: Vec::new(), spans: SpanMap::default(), length: end + 2 };
    for pair in digits.chunks(2) {
        let Some(byte) = byte(pair) else { return Err(Front::Broken(VIOLATION)) };
        frame.bytes.push(byte);
        // The map needs a byte for a byte: the first digit stands for both, see `widen`.
        for span in input.locate(pair.get(..1).unwrap_or_default()) {
            frame.spans.push(span);
        }
    }
    // The sum of all, with the LRC, is zero (§6.2.1). Unit, function and LRC are the least.
    let sum = frame.bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    if sum != 0 || frame.bytes.len() < 3 {
        return Err(Front::Broken(VIOLATION));
    }
    frame.bytes.pop();
    Ok(frame)
}

const fn is_part(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'F' | b'\r')
}

fn byte(pair: &[u8]) -> Option<u8> {
    let [high, low] = pair else { return None };
    Some(digit(*high)? << 4 | digit(*low)?)
}

const fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

/// Makes evidence of first digits that of both.
pub(super) fn widen(items: &mut [Item]) {
    for item in items {
        let spans = match item {
            Item::Operation(operation) | Item::Unpaired(operation) => &mut operation.evidence,
            Item::Claim(claim) => {
                claim.evidence.decode = Decode::Derived;
                &mut claim.evidence.spans
            }
            Item::Change(change) => {
                change.evidence.decode = Decode::Derived;
                &mut change.evidence.spans
            }
            Item::Event(event) => &mut event.evidence,
            Item::Violation(violation) => &mut violation.evidence,
            _ => continue,
        };
        let mut wide = otic_wire::Spans::new();
        for span in spans.iter() {
            match wide.last_mut() {
                Some(last)
                    if (last.file, last.frame, last.offset + last.length)
                        == (span.file, span.frame, span.offset) =>
                {
                    last.length += 2;
                }
                _ => wide.push(otic_wire::FrameSpan { length: 2, ..*span }),
            }
        }
        *spans = wide;
    }
}
