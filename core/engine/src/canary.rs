//! The canary: a made frame that walks the way of captured ones, so that a dead stage is noticed.
//!
//! It enters behind the capture ring and never goes to the wire. What makes a frame the canary is the
//! [`INTERFACE`] it is said to come from, which only the engine can say: a captured frame, whatever its
//! bytes, comes from an interface that is read. The token in it only shows that the bytes arrived whole.
//!
//! Source: IEEE 802-2014 §9.2.4 (local experimental EtherType 1), IEEE 802c-2017 §4 (locally
//! administered addresses).

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use otic_wire::Packet;
use otic_wire::packet::Kind;

/// The interface of canaries: no capture has so many.
pub const INTERFACE: u32 = u32::MAX;
/// IEEE 802 local experimental EtherType 1.
const ETHER_TYPE: u16 = 0x88b5;
/// Locally administered, unicast.
const DESTINATION: [u8; 6] = [0x02, 0x00, 0x00, 0x00, 0x00, 0x01];
const SOURCE: [u8; 4] = [0x02, 0x00, 0x00, 0x01];
/// Shortest Ethernet frame without its check sequence, bytes.
const FRAME: usize = 60;

/// Makes the canaries of one run and knows them again.
#[derive(Debug, Clone)]
pub struct Canary {
    /// Names the run: its start, nanoseconds since 1970 UTC.
    pub run_ns: i64,
    token: [u8; 16],
}

impl Canary {
    /// Canaries with a random token, which stays in this process.
    #[must_use]
    pub fn new(run_ns: i64) -> Self {
        // Keyed by the system's random numbers.
        let random = || RandomState::new().build_hasher().finish();
        let mut token = [0; 16];
        for (place, number) in token.chunks_exact_mut(8).zip([random(), random()]) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        Self { run_ns, token }
    }

    /// The frame with this number. Its sender's address has the number in it, so that one after the
    /// other goes through other shards.
    #[must_use]
    pub fn frame(&self, sequence: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FRAME);
        bytes.extend_from_slice(&DESTINATION);
        bytes.extend_from_slice(&SOURCE);
        bytes.extend_from_slice(&(sequence as u16).to_be_bytes());
        bytes.extend_from_slice(&ETHER_TYPE.to_be_bytes());
        bytes.extend_from_slice(&self.token);
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.resize(FRAME, 0);
        bytes
    }

    /// The number in a decoded frame; none when it is not as it was made.
    #[must_use]
    pub fn sequence(&self, packet: &Packet, bytes: &[u8]) -> Option<u64> {
        if packet.kind != Kind::EtherType(ETHER_TYPE) {
            return None;
        }
        let told = bytes.get(packet.start as usize..)?.strip_prefix(&self.token)?;
        Some(u64::from_be_bytes(*told.first_chunk()?))
    }
}

#[cfg(test)]
mod tests {
    use otic_wire::packet;

    use super::*;

    #[test]
    fn only_the_run_that_made_it_knows_it_again() {
        let (one, other) = (Canary::new(1), Canary::new(1));
        let bytes = one.frame(259);
        let packet = packet::decode(1, &bytes);

        assert_eq!(Some(259), one.sequence(&packet, &bytes));
        assert_eq!(None, other.sequence(&packet, &bytes));
        // Changed anywhere before the padding, it is none or another one.
        for at in 12..38 {
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            let packet = packet::decode(1, &changed);
            assert_ne!(Some(259), one.sequence(&packet, &changed), "byte {at}");
        }
        let cut = &bytes[..30];
        assert_eq!(None, one.sequence(&packet::decode(1, cut), cut));
    }
}
