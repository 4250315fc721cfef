//! JA4: a fingerprint of a TLS client, from what its ClientHello offers.
//!
//! Source: FoxIO, "JA4: TLS Client Fingerprinting", technical details (BSD 3-Clause; the other
//! fingerprints of the JA4+ family have other licences and are not made here); RFC 8446 §4.1.2 and
//! §4.2 (ClientHello and its extensions), RFC 7301 §3.1 (ALPN), RFC 8701 §2 (GREASE values).

use compact_str::{CompactString, format_compact};
use otic_wire::{Cursor, Short};
use sha2::{Digest, Sha256};

const SERVER_NAME: u16 = 0x0000;
const SIGNATURE_ALGORITHMS: u16 = 0x000d;
const ALPN: u16 = 0x0010;
const SUPPORTED_VERSIONS: u16 = 0x002b;

/// Ciphers and extensions read; more is no hello of a real client.
const MOST: usize = 512;

/// Values that clients mix in at random, so that servers learn to ignore what they do not know:
/// both bytes equal, low nibbles 0xa.
const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// The fingerprint of a ClientHello, the message without its four bytes of header; `carrier` is `t` for
/// TCP and `q` for QUIC.
///
/// # Errors
/// [`Short`] when a length in the hello does not fit.
pub fn fingerprint(hello: &[u8], carrier: char) -> Result<CompactString, Short> {
    let mut cursor = Cursor::new(hello);
    let mut version = cursor.u16_be()?;
    cursor.skip(32)?;
    let session = cursor.u8()?;
    cursor.skip(usize::from(session))?;
    let length = cursor.u16_be()?;
    let mut ciphers = numbers(&mut cursor.sub(usize::from(length))?);
    let compressions = cursor.u8()?;
    cursor.skip(usize::from(compressions))?;
    let mut extensions = Vec::new();
    let mut signatures = Vec::new();
    let mut protocol = CompactString::const_new("00");
    if !cursor.is_empty() {
        let length = cursor.u16_be()?;
        let mut list = cursor.sub(usize::from(length))?;
        while !list.is_empty() && extensions.len() < MOST {
            let kind = list.u16_be()?;
            let length = list.u16_be()?;
            let mut data = list.sub(usize::from(length))?;
            if is_grease(kind) {
                continue;
            }
            extensions.push(kind);
            match kind {
                SIGNATURE_ALGORITHMS if data.remaining() > 2 => {
                    data.skip(2)?;
                    signatures = numbers(&mut data);
                }
                ALPN if data.remaining() > 3 => {
                    data.skip(2)?;
                    let length = data.u8()?;
                    protocol = ends(data.take(usize::from(length))?);
                }
                SUPPORTED_VERSIONS if data.remaining() > 1 => {
                    data.skip(1)?;
                    version = numbers(&mut data).into_iter().max().unwrap_or(version);
                }
                _ => {}
            }
        }
    }
    let named = if extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
    let count = |list: &[u16]| list.len().min(99);
    let first = format_compact!(
        "{carrier}{}{named}{:02}{:02}{protocol}",
        version_name(version),
        count(&ciphers),
        count(&extensions)
    );
    ciphers.sort_unstable();
    extensions.retain(|kind| !matches!(*kind, SERVER_NAME | ALPN));
    extensions.sort_unstable();
    let second = hash(&joined(&ciphers));
    let mut offered = joined(&extensions);
    if !signatures.is_empty() {
        offered.push('_');
        offered.push_str(&joined(&signatures));
    }
    Ok(format_compact!("{first}_{second}_{}", hash(&offered)))
}

/// Two-byte numbers up to the end, without GREASE.
fn numbers(cursor: &mut Cursor<'_>) -> Vec<u16> {
    let mut found = Vec::new();
    while let Ok(number) = cursor.u16_be()
        && found.len() < MOST
    {
        if !is_grease(number) {
            found.push(number);
        }
    }
    found
}

const fn version_name(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last letter of the first protocol; where one is no letter or digit, the first and last
/// digit of the name in hexadecimal.
fn ends(name: &[u8]) -> CompactString {
    let (Some(first), Some(last)) = (name.first(), name.last()) else {
        return CompactString::const_new("00");
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return format_compact!("{}{}", char::from(*first), char::from(*last));
    }
    format_compact!("{:x}{:x}", first >> 4, last & 0x0f)
}

fn joined(list: &[u16]) -> CompactString {
    let mut text = CompactString::default();
    for number in list {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&format_compact!("{number:04x}"));
    }
    text
}

/// The first twelve hexadecimal digits of the SHA-256 of a text; zeroes for none.
fn hash(text: &str) -> CompactString {
    if text.is_empty() {
        return CompactString::const_new("000000000000");
    }
    let digest = Sha256::digest(text);
    digest
        .iter()
        .take(6)
        .fold(CompactString::default(), |text, byte| format_compact!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(ciphers: &[u16], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let list = |numbers: &[u16]| -> Vec<u8> {
            numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
        };
        let mut bytes = vec![3, 3];
        bytes.extend([0x11; 32]);
        bytes.push(0);
        bytes.extend((2 * ciphers.len() as u16).to_be_bytes());
        bytes.extend(list(ciphers));
        bytes.extend([1, 0]);
        let mut all = Vec::new();
        for (kind, data) in extensions {
            all.extend(kind.to_be_bytes());
            all.extend((data.len() as u16).to_be_bytes());
            all.extend(data);
        }
        if !extensions.is_empty() {
            bytes.extend((all.len() as u16).to_be_bytes());
            bytes.extend(all);
        }
        bytes
    }

    /// The lists of the example in the technical details, in another order and with GREASE.
    #[test]
    fn the_example_of_the_specification() {
        let ciphers = [
            0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
            0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
        ];
        let signatures = [0, 16, 4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1].to_vec();
        let mut extensions = vec![
            (0x2a2a, vec![]),
            (0x000d, signatures),
            (0x0010, b"\0\x0c\x02h2\x08http/1.1".to_vec()),
            (0x002b, vec![6, 0x3a, 0x3a, 3, 4, 3, 3]),
        ];
        let others = [
            0x0000, 0x0005, 0x000a, 0x000b, 0x0012, 0x0015, 0x0017, 0x001b, 0x0023, 0x002d, 0x0033,
            0x4469, 0xff01,
        ];
        extensions.extend(others.map(|kind| (kind, vec![])));
        assert_eq!(
            Ok("t13d1516h2_8daaf6152771_e5627efa2ab1".into()),
            fingerprint(&hello(&ciphers, &extensions), 't')
        );
    }

    #[test]
    fn a_hello_without_extensions_has_zeroes() {
        let found = fingerprint(&hello(&[0x002f], &[]), 't').unwrap();
        assert!(found.starts_with("t12i010000_"), "{found}");
        assert!(found.ends_with("_000000000000"), "{found}");
    }

    #[test]
    fn protocols_that_are_no_text_are_told_by_their_digits() {
        assert_eq!("00", ends(b""));
        assert_eq!("h1", ends(b"http/1.1"));
        assert_eq!("ad", ends(&[0xab, 0xcd]));
    }

    #[test]
    fn a_length_that_does_not_fit_gives_none() {
        let whole = hello(&[0x002f], &[(0x000a, vec![1, 2, 3])]);
        for cut in 0..whole.len() {
            let _ = fingerprint(&whole[..cut], 't');
        }
        assert!(fingerprint(&whole[..whole.len() - 1], 't').is_err());
    }
}
