//! Opens the Initial packets of QUIC, whose keys follow from what the packet itself says: anyone on the
//! path can read them.
//!
//! Sources: RFC 9001 §5 and appendix A, RFC 9369 §3.3 and appendix A (version 2), draft-ietf-quic-tls-29
//! §5.2 (salt of the drafts); RFC 5869 (HKDF), RFC 8446 §7.1 (labels), NIST SP 800-38D (GCM).

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use sha2::{Digest, Sha256};

/// A version whose Initial packets can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// RFC 9000.
    One,
    /// RFC 9369.
    Two,
    /// Drafts 29 to 32 of version 1, which have a salt of their own.
    Draft,
}

impl Version {
    /// The version with this number.
    pub const fn of(number: u32) -> Option<Self> {
        match number {
            // Drafts 33 and 34 have the salt of version 1.
            1 | 0xff00_0021 | 0xff00_0022 => Some(Self::One),
            0xff00_001d..=0xff00_0020 => Some(Self::Draft),
            0x6b33_43cf => Some(Self::Two),
            _ => None,
        }
    }

    const fn salt(self) -> [u8; 20] {
        match self {
            Self::One => [
                0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
                0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
            ],
            Self::Two => [
                0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26,
                0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
            ],
            Self::Draft => [
                0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61,
                0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99,
            ],
        }
    }

    /// Labels of key, vector and header protection.
    const fn labels(self) -> [&'static str; 3] {
        match self {
            Self::One | Self::Draft => ["quic key", "quic iv", "quic hp"],
            Self::Two => ["quicv2 key", "quicv2 iv", "quicv2 hp"],
        }
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    for (byte, key) in block.iter_mut().zip(key) {
        *byte = *key;
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message);
    let outer = Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

/// HKDF-Expand-Label for at most 32 bytes.
fn expand<const N: usize>(secret: &[u8; 32], label: &str) -> [u8; N] {
    let mut info = vec![0, N as u8, label.len() as u8 + 6];
    info.extend_from_slice(b"tls13 ");
    info.extend_from_slice(label.as_bytes());
    // No context; the number of the block.
    info.extend_from_slice(&[0, 1]);
    let mut key = [0; N];
    for (byte, made) in key.iter_mut().zip(hmac(secret, &info)) {
        *byte = made;
    }
    key
}

/// What protects one direction's Initial packets.
#[derive(Clone)]
pub struct Keys {
    key: Aes128,
    header: Aes128,
    vector: [u8; 12],
}

impl Keys {
    /// The keys of the client's and of the server's packets, from the first destination id.
    pub fn initial(version: Version, destination: &[u8]) -> [Self; 2] {
        let secret = hmac(&version.salt(), destination);
        ["client in", "server in"].map(|label| {
            let secret: [u8; 32] = expand(&secret, label);
            let [key, vector, header] = version.labels();
            Self {
                key: Aes128::new(&expand::<16>(&secret, key).into()),
                header: Aes128::new(&expand::<16>(&secret, header).into()),
                vector: expand(&secret, vector),
            }
        })
    }

    /// Opens a packet whose number starts at `at`; none where its tag does not fit.
    pub fn open(&self, packet: &[u8], at: usize) -> Option<Vec<u8>> {
        let sample: [u8; 16] = *packet.get(at + 4..)?.first_chunk()?;
        let mask = encrypt(&self.header, sample);
        let mut header = packet.get(..at + 4)?.to_vec();
        let first = header.first_mut()?;
        *first ^= mask.first()? & 0x0f;
        let length = usize::from(*first & 3) + 1;
        header.truncate(at + length);
        let mut nonce = self.vector;
        let number = header.get_mut(at..)?;
        for (byte, mask) in number.iter_mut().zip(mask.iter().skip(1)) {
            *byte ^= mask;
        }
        for (byte, number) in nonce.iter_mut().rev().zip(number.iter().rev()) {
            *byte ^= number;
        }
        let (sealed, tag) = packet.get(at + length..)?.split_last_chunk::<16>()?;
        if self.tag(nonce, &header, sealed) != *tag {
            return None;
        }
        let mut open = sealed.to_vec();
        for (counter, block) in (2..).zip(open.chunks_mut(16)) {
            for (byte, key) in block.iter_mut().zip(self.stream(nonce, counter)) {
                *byte ^= key;
            }
        }
        Some(open)
    }

    fn stream(&self, nonce: [u8; 12], counter: u32) -> [u8; 16] {
        let mut block = [0; 16];
        for (byte, part) in block.iter_mut().zip(nonce.into_iter().chain(counter.to_be_bytes())) {
            *byte = part;
        }
        encrypt(&self.key, block)
    }

    fn tag(&self, nonce: [u8; 12], header: &[u8], sealed: &[u8]) -> [u8; 16] {
        let point = u128::from_be_bytes(encrypt(&self.key, [0; 16]));
        let lengths = ((header.len() as u128 * 8) << 64) | (sealed.len() as u128 * 8);
        let mut hash = 0;
        for block in header.chunks(16).chain(sealed.chunks(16)) {
            hash = multiply(hash ^ padded(block), point);
        }
        hash = multiply(hash ^ lengths, point);
        (hash ^ u128::from_be_bytes(self.stream(nonce, 1))).to_be_bytes()
    }
}

fn encrypt(key: &Aes128, block: [u8; 16]) -> [u8; 16] {
    let mut block = block.into();
    key.encrypt_block(&mut block);
    block.into()
}

fn padded(block: &[u8]) -> u128 {
    let mut whole = [0; 16];
    for (byte, part) in whole.iter_mut().zip(block) {
        *byte = *part;
    }
    u128::from_be_bytes(whole)
}

/// Multiplication in the field of GCM, whose first bit is the lowest power.
fn multiply(mut a: u128, b: u128) -> u128 {
    let mut product = 0;
    for bit in (0..128).rev() {
        if b >> bit & 1 == 1 {
            product ^= a;
        }
        let carry = a & 1;
        a >>= 1;
        if carry == 1 {
            a ^= 0xe1 << 120;
        }
    }
    product
}

/// Seals packets as a client or a server would.
#[cfg(test)]
pub mod tests {
    use super::*;

    const DESTINATION: &[u8] = &[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

    /// The packet with its payload sealed: `header` ends with a packet number of four bytes.
    pub fn seal(keys: &Keys, header: &[u8], payload: &[u8]) -> Vec<u8> {
        let at = header.len() - 4;
        let mut nonce = keys.vector;
        for (byte, number) in nonce.iter_mut().rev().zip(header.iter().rev().take(4)) {
            *byte ^= number;
        }
        let mut sealed = payload.to_vec();
        for (counter, block) in (2..).zip(sealed.chunks_mut(16)) {
            for (byte, key) in block.iter_mut().zip(keys.stream(nonce, counter)) {
                *byte ^= key;
            }
        }
        let tag = keys.tag(nonce, header, &sealed);
        let mut packet = [header, &sealed, &tag].concat();
        let sample: [u8; 16] = packet[at + 4..at + 20].try_into().unwrap();
        let mask = encrypt(&keys.header, sample);
        packet[0] ^= mask[0] & 0x0f;
        for (byte, mask) in packet[at..at + 4].iter_mut().zip(&mask[1..]) {
            *byte ^= mask;
        }
        packet
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_keys_are_those_of_both_standards() {
        for (version, key, vector) in [
            (Version::One, "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c"),
            (Version::Two, "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f"),
        ] {
            let secret: [u8; 32] = expand(&hmac(&version.salt(), DESTINATION), "client in");
            let [label, ..] = version.labels();
            assert_eq!(key, hex(&expand::<16>(&secret, label)));
            let [client, _] = Keys::initial(version, DESTINATION);
            assert_eq!(vector, hex(&client.vector));
        }
    }

    /// NIST's test case 4 of GCM with AES-128.
    #[test]
    fn the_tag_is_that_of_gcm() {
        let key = [
            0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30,
            0x83, 0x08,
        ];
        let keys = Keys {
            key: Aes128::new(&key.into()),
            header: Aes128::new(&key.into()),
            vector: [0; 12],
        };
        let nonce = [0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88];
        // Test case 3 without text and header: the tag of nothing is the first block of the stream.
        assert_eq!(keys.tag(nonce, &[], &[]), keys.stream(nonce, 1));
        assert_eq!("3247184b3c4f69a44dbcd22887bbb418", hex(&keys.stream(nonce, 1)));
    }

    #[test]
    fn what_was_sealed_is_opened_and_nothing_else() {
        let [client, server] = Keys::initial(Version::One, DESTINATION);
        let header = [0xc3, 0, 0, 0, 1, 0, 0, 0, 40, 0, 0, 0, 9];
        let mut packet = seal(&client, &header, b"twenty letters or so");
        assert_eq!(Some(b"twenty letters or so".to_vec()), client.open(&packet, 9));
        assert_eq!(None, server.open(&packet, 9));
        *packet.last_mut().unwrap() ^= 1;
        assert_eq!(None, client.open(&packet, 9));
    }
}
