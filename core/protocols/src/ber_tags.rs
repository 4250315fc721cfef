//! ASN.1 in basic encoding, read front to back by tag byte: for SNMP, Kerberos and LDAP, whose tags
//! are one byte each. Protocols that look elements up by number use [`crate::ber`].
//!
//! Source: X.690 §8.1 (identifier, length, contents), §8.3 (integers), §8.19 (object identifiers).

use compact_str::CompactString;
use otic_wire::Cursor;

use crate::ber::{length, signed};
use crate::text;

/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// OCTET STRING.
pub const OCTETS: u8 = 0x04;
/// ENUMERATED.
pub const ENUMERATED: u8 = 0x0a;
/// SEQUENCE and SEQUENCE OF.
pub const SEQUENCE: u8 = 0x30;

/// How many bytes the element at the front of `bytes` has in all, once its length is there.
#[must_use]
pub fn whole_length(bytes: &[u8]) -> Option<usize> {
    let mut cursor = Cursor::new(bytes);
    cursor.u8().ok()?;
    let content = length(&mut cursor)?;
    Some(cursor.position() + content)
}

/// The next element: its tag and content. `cut` takes what is left where the capture ended.
pub fn element<'a>(cursor: &mut Cursor<'a>, cut: bool) -> Option<(u8, &'a [u8])> {
    let tag = cursor.u8().ok()?;
    // No identifier of the protocols read here needs more than one byte.
    if tag & 0x1f == 0x1f {
        return None;
    }
    let length = length(cursor)?;
    match cursor.take(length) {
        Ok(content) => Some((tag, content)),
        Err(_) if cut => cursor.take(cursor.remaining()).ok().map(|content| (tag, content)),
        Err(_) => None,
    }
}

/// The content of the next element, if it has the wanted tag.
pub fn expect<'a>(cursor: &mut Cursor<'a>, wanted: u8, cut: bool) -> Option<&'a [u8]> {
    element(cursor, cut).filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
}

/// A signed integer of up to 8 bytes, or an unsigned one that fits (X.690 §8.3).
#[must_use]
pub fn integer(content: &[u8]) -> Option<i64> {
    let first = *content.first()?;
    (content.len() <= 9).then(|| signed(first, content))
}

/// An object identifier's content, dotted (X.690 §8.19).
#[must_use]
pub fn dotted(content: &[u8]) -> Option<CompactString> {
    let mut text = text::Builder::default();
    let mut arc = 0_u64;
    for (at, byte) in content.iter().enumerate() {
        arc = arc.checked_mul(128)? | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            if at + 1 == content.len() {
                return None;
            }
            continue;
        }
        if text.is_empty() {
            let first = (arc / 40).min(2);
            text.number(first);
            arc -= first * 40;
        }
        text.text(".").number(arc);
        arc = 0;
    }
    (!text.is_empty()).then(|| text.build())
}

/// The content of the first of the following elements with this tag; none of them may come twice.
#[must_use]
pub fn find(content: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut cursor = Cursor::new(content);
    while let Some((tag, content)) = element(&mut cursor, true) {
        if tag == wanted {
            return Some(content);
        }
    }
    None
}

/// One element, for tests.
#[cfg(test)]
#[must_use]
pub fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len() as u16;
    let mut bytes = vec![tag];
    match length {
        0..=0x7f => bytes.push(length as u8),
        _ => bytes.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    bytes.extend(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_end_where_their_length_says() {
        let bytes = [encode(OCTETS, b"abc"), encode(INTEGER, &[0xff, 0x38])].concat();
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(Some((OCTETS, b"abc".as_slice())), element(&mut cursor, false));
        assert_eq!(Some(-200), expect(&mut cursor, INTEGER, false).and_then(integer));
        assert_eq!(None, element(&mut cursor, true));
        assert_eq!(Some(5), whole_length(&bytes));
        assert_eq!(Some(304), whole_length(&encode(OCTETS, &[0; 300])));
        assert_eq!(None, whole_length(&[0x30, 0x82, 1]));
    }

    #[test]
    fn a_cut_element_gives_what_is_left_only_when_asked() {
        let bytes = &encode(OCTETS, b"abc")[..4];
        assert_eq!(None, element(&mut Cursor::new(bytes), false));
        assert_eq!(Some((OCTETS, b"ab".as_slice())), element(&mut Cursor::new(bytes), true));
    }

    #[test]
    fn identifiers_are_dotted() {
        assert_eq!(Some("1.3.6.1.4.1.311".into()), dotted(&[0x2b, 6, 1, 4, 1, 0x82, 0x37]));
        assert_eq!(None, dotted(&[0x2b, 0x82]));
    }

    #[test]
    fn one_of_many_is_found_by_its_tag() {
        let bytes = [encode(0xa0, b"x"), encode(0xa1, b"yz")].concat();
        assert_eq!(Some(b"yz".as_slice()), find(&bytes, 0xa1));
        assert_eq!(None, find(&bytes, 0xa2));
    }
}
