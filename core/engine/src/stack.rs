//! What a TCP stack says of itself in a SYN: the same machine, the same system, the same words.
//!
//! Fields of IPv4 (RFC 791 §3.1), IPv6 (RFC 8200 §3) and TCP (RFC 9293 §3.1); options by IANA's
//! registry of TCP option kinds: MSS (RFC 9293 §3.2), window scale and timestamps (RFC 7323),
//! selective acknowledgement (RFC 2018).

use std::fmt::Write as _;

use compact_str::CompactString;
use otic_wire::packet::{Kind, Packet};

/// Hop limits that senders start with; routers on the way count down from them.
const INITIAL: [u8; 4] = [32, 64, 128, 255];
/// Options read: a header has room for no more than 40 bytes of them.
const MOST_OPTIONS: usize = 40;

/// The stack's words, and where in the frame the IP and TCP headers stand that say them.
///
/// None where the headers are not whole, or others stand between them.
#[must_use]
pub fn read(frame: &[u8], packet: &Packet) -> Option<(CompactString, u32, u32)> {
    let (Kind::Tcp(_), Some(ip), false) = (packet.kind, packet.ip, packet.truncated) else {
        return None;
    };
    let at = ip.offset as usize;
    let (version, length, whole) = match frame.get(at..)? {
        [first, _, _, _, _, _, flags, ..] if first >> 4 == 4 => {
            let whole = if flags & 0x40 != 0 { " df" } else { "" };
            (4, usize::from(first & 0x0f) * 4, whole)
        }
        [first, _, _, _, _, _, 6, ..] if first >> 4 == 6 => (6, 40, ""),
        _ => return None,
    };
    let header = frame.get(at + length..packet.start as usize)?;
    let (fixed, options) = header.split_at_checked(20)?;
    let window = u16::from_be_bytes(*fixed.get(14..16)?.first_chunk()?);
    let hops = INITIAL.into_iter().find(|initial| *initial >= ip.hop_limit)?;
    let mut text = CompactString::default();
    let _ = write!(text, "ipv{version} ttl {hops}{whole} window {window}");
    let mut rest = options.get(..options.len().min(MOST_OPTIONS))?;
    while let [kind, after @ ..] = rest {
        rest = match (kind, after) {
            (0, _) => {
                text.push_str(" end");
                break;
            }
            (1, _) => {
                text.push_str(" nop");
                after
            }
            (2, [4, high, low, next @ ..]) => {
                let _ = write!(text, " mss {}", u16::from_be_bytes([*high, *low]));
                next
            }
            (3, [3, shift, next @ ..]) => {
                let _ = write!(text, " scale {shift}");
                next
            }
            (4, [2, next @ ..]) => {
                text.push_str(" sack");
                next
            }
            (8, [10, next @ ..]) => {
                text.push_str(" timestamps");
                next.get(8..)?
            }
            (other, [length, ..]) => {
                let _ = write!(text, " option-{other}");
                after.get(usize::from(*length).checked_sub(1)?.max(1)..)?
            }
            (_, []) => return None,
        };
    }
    Some((text, ip.offset, packet.start - ip.offset))
}

#[cfg(test)]
mod tests {
    use otic_wire::packet::decode;

    use super::*;

    const ETHERNET: u16 = 1;

    /// A frame with a SYN of these options.
    fn syn(hops: u8, df: bool, options: &[u8]) -> Vec<u8> {
        let length = 40 + options.len() as u8;
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend([0x45, 0, 0, length, 0, 1, if df { 0x40 } else { 0 }, 0, hops, 6, 0, 0]);
        frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0xc0, 0, 0, 102, 0, 0, 0, 1, 0, 0, 0, 0]);
        frame.extend([(5 + options.len() as u8 / 4) << 4, 2, 0x72, 0x10, 0, 0, 0, 0]);
        frame.extend(options);
        frame
    }

    fn said(frame: &[u8]) -> Option<(CompactString, u32, u32)> {
        read(frame, &decode(ETHERNET, frame))
    }

    #[test]
    fn a_syn_says_its_stack() {
        let options = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
        let frame = syn(61, true, &options);
        let text = "ipv4 ttl 64 df window 29200 mss 1460 sack timestamps nop scale 7";
        assert_eq!(Some((text.into(), 14, 60)), said(&frame));
        assert_eq!(Some(("ipv4 ttl 128 window 29200".into(), 14, 40)), said(&syn(128, false, &[])));
    }

    #[test]
    fn options_that_nobody_knows_keep_their_number() {
        let frame = syn(255, false, &[30, 4, 1, 2, 0, 0, 0, 0]);
        assert_eq!(Some(("ipv4 ttl 255 window 29200 option-30 end".into(), 14, 48)), said(&frame));
    }

    #[test]
    fn broken_options_say_nothing() {
        for options in
            [[2, 4, 5, 0xb4, 8, 10, 0, 0], [1, 1, 1, 5, 1, 1, 1, 77], [9, 0, 9, 0, 9, 0, 1, 2]]
        {
            if let Some((text, ..)) = said(&syn(64, true, &options)) {
                assert!(!text.contains("timestamps"), "{text}");
            }
        }
        let whole = syn(64, true, &[2, 4, 5, 0xb4]);
        for end in 0..whole.len() {
            let cut = whole.get(..end).unwrap_or_default();
            assert_eq!(None, read(cut, &decode(ETHERNET, cut)));
        }
    }
}
