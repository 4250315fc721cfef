//! ASN.1 in basic encoding (ITU-T X.690): tag, length, content, with definite lengths.
//!
//! MMS, GOOSE and Sampled Values share it.

use otic_wire::Cursor;

/// What a tag's two top bits say (X.690 §8.1.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Types of the language itself.
    Universal,
    /// Types of the protocol.
    Application,
    /// Numbered by what they stand in.
    Context,
    /// Of a maker's own.
    Private,
}

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// The tag's class.
    pub class: Class,
    /// Whether the content is elements again.
    pub constructed: bool,
    /// The tag's number.
    pub number: u32,
    /// The content.
    pub content: &'a [u8],
}

impl<'a> Element<'a> {
    /// Whether this is the element with this context tag.
    #[must_use]
    pub fn is(&self, number: u32) -> bool {
        self.class == Class::Context && self.number == number
    }

    /// Whether this is the universal type with this number.
    #[must_use]
    pub fn is_universal(&self, number: u32) -> bool {
        self.class == Class::Universal && self.number == number
    }

    /// The elements in it.
    #[must_use]
    pub const fn parts(&self) -> Elements<'a> {
        Elements(self.content)
    }

    /// The first element in it with this context tag.
    #[must_use]
    pub fn part(&self, number: u32) -> Option<Element<'a>> {
        self.parts().find(|part| part.is(number))
    }
}

/// Elements one after the other; ends at the first that cannot be read.
#[derive(Debug, Clone, Copy)]
pub struct Elements<'a>(pub &'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (element, rest) = element(self.0)?;
        self.0 = rest;
        Some(element)
    }
}

/// The element at the front, and what follows it. None where bytes are missing, and for indefinite
/// lengths.
#[must_use]
pub fn element(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (class, constructed, number, length, mut cursor) = head(bytes)?;
    let content = cursor.take(length).ok()?;
    Some((Element { class, constructed, number, content }, cursor.rest()))
}

/// The element at the front, cut where the bytes end: for captures that cut frames.
#[must_use]
pub fn cut_element(bytes: &[u8]) -> Option<Element<'_>> {
    let (class, constructed, number, length, cursor) = head(bytes)?;
    let content = cursor.rest().get(..length).unwrap_or(cursor.rest());
    Some(Element { class, constructed, number, content })
}

type Head<'a> = (Class, bool, u32, usize, Cursor<'a>);

fn head(bytes: &[u8]) -> Option<Head<'_>> {
    let mut cursor = Cursor::new(bytes);
    let tag = cursor.u8().ok()?;
    let class = match tag >> 6 {
        0 => Class::Universal,
        1 => Class::Application,
        2 => Class::Context,
        _ => Class::Private,
    };
    let mut number = u32::from(tag & 0x1f);
    if number == 0x1f {
        // X.690 §8.1.2.4: 7 bits a byte; three bytes hold any number that is in use
        number = 0;
        for at in 0.. {
            let byte = cursor.u8().ok()?;
            number = number << 7 | u32::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
            if at == 2 {
                return None;
            }
        }
    }
    let length = length(&mut cursor)?;
    Some((class, tag & 0x20 != 0, number, length, cursor))
}

/// A definite length of at most four bytes (X.690 §8.1.3).
pub(crate) fn length(cursor: &mut Cursor<'_>) -> Option<usize> {
    let first = cursor.u8().ok()?;
    match first {
        0..=0x7f => Some(usize::from(first)),
        0x81..=0x84 => {
            let bytes = cursor.take(usize::from(first & 0x7f)).ok()?;
            Some(bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
        }
        _ => None,
    }
}

/// The value of INTEGER content of at most 8 bytes (X.690 §8.3).
#[must_use]
pub fn integer(content: &[u8]) -> Option<i64> {
    let first = *content.first()?;
    if content.len() > 8 {
        return None;
    }
    Some(signed(first, content))
}

/// The value of two's complement content that starts with `first`; of more than 8 bytes the last.
pub(crate) fn signed(first: u8, content: &[u8]) -> i64 {
    let start = if first & 0x80 != 0 { -1 } else { 0 };
    content.iter().fold(start, |value: i64, byte| value << 8 | i64::from(*byte))
}

/// The value of content that is an unsigned number of at most 4 bytes, with leading zeros allowed.
#[must_use]
pub fn unsigned(content: &[u8]) -> Option<u32> {
    let number = integer(content)?;
    // Some stacks send four bytes without the leading zero that keeps them positive.
    u32::try_from(if content.len() == 4 { number & 0xffff_ffff } else { number }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_lengths_are_read_in_all_forms() {
        let (short, rest) = element(&[0xa1, 0x03, 0x02, 0x01, 0x07, 0xff]).unwrap();
        assert!(short.is(1) && short.constructed);
        assert_eq!([0xff], *rest);
        let inner = short.parts().next().unwrap();
        assert!(inner.is_universal(2));
        assert_eq!(Some(7), integer(inner.content));
        let (high, _) = element(&[0xbf, 0x48, 0x81, 0x01, 0x00]).unwrap();
        assert!(high.is(72));
        assert_eq!([0], *high.content);
    }

    #[test]
    fn what_is_cut_or_indefinite_is_no_element() {
        assert_eq!(None, element(&[0x30, 0x05, 0x00]));
        assert_eq!(None, element(&[0x30, 0x80, 0x00, 0x00]));
        assert_eq!(None, element(&[0xbf, 0xff, 0xff, 0xff, 0x01, 0x00]));
        assert_eq!(None, element(&[0x30, 0x88, 0xff]));
        assert_eq!([0x00], *cut_element(&[0x30, 0x05, 0x00]).unwrap().content);
    }

    #[test]
    fn numbers_have_their_sign() {
        assert_eq!(Some(-1), integer(&[0xff]));
        assert_eq!(Some(0x80), integer(&[0, 0x80]));
        assert_eq!(Some(0x8000_0000), unsigned(&[0x80, 0, 0, 0]));
        assert_eq!(None, unsigned(&[0xff]));
        assert_eq!(None, integer(&[0; 9]));
        assert_eq!(None, integer(&[]));
    }
}
