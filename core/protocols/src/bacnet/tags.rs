//! Tags of the BACnet encoding.
//!
//! Source: ANSI/ASHRAE 135-2020, clause 20.2.

use compact_str::CompactString;
use otic_wire::{Cursor, Short};

use crate::out::{Decode, Value};

/// What follows a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// Octets of a value.
    Value(&'a [u8]),
    /// Start of a constructed value.
    Opening,
    /// End of a constructed value.
    Closing,
}

/// One tag with its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    pub number: u8,
    pub is_context: bool,
    pub content: Content<'a>,
    /// Length field: the value itself of an application boolean.
    pub length: u32,
}

/// Reads the next tag.
pub(super) fn next<'a>(cursor: &mut Cursor<'a>) -> Result<Tag<'a>, Short> {
    let head = cursor.u8()?;
    let number = match head >> 4 {
        0x0f => cursor.u8()?,
        small => small,
    };
    let is_context = head & 0x08 != 0;
    let tag = |content, length| Tag { number, is_context, content, length };
    let length = match head & 0x07 {
        6 if is_context => return Ok(tag(Content::Opening, 0)),
        7 if is_context => return Ok(tag(Content::Closing, 0)),
        5 => match cursor.u8()? {
            254 => u32::from(cursor.u16_be()?),
            255 => cursor.u32_be()?,
            small => u32::from(small),
        },
        small => u32::from(small),
    };
    if !is_context && number == BOOLEAN {
        return Ok(tag(Content::Value(&[]), length));
    }
    Ok(tag(Content::Value(cursor.take(length as usize)?), length))
}

/// The octets of context tag `number`, if it comes next.
pub(super) fn context<'a>(cursor: &mut Cursor<'a>, number: u8) -> Option<&'a [u8]> {
    let mut ahead = *cursor;
    match next(&mut ahead) {
        Ok(Tag { number: found, is_context: true, content: Content::Value(value), .. })
            if found == number =>
        {
            *cursor = ahead;
            Some(value)
        }
        _ => None,
    }
}

/// Steps over opening tag `number`, if it comes next.
pub(super) fn opens(cursor: &mut Cursor<'_>, number: u8) -> bool {
    let mut ahead = *cursor;
    let found = matches!(
        next(&mut ahead),
        Ok(Tag { number: found, content: Content::Opening, .. }) if found == number
    );
    if found {
        *cursor = ahead;
    }
    found
}

/// Steps over closing tag `number`, if it comes next.
pub(super) fn closes(cursor: &mut Cursor<'_>, number: u8) -> bool {
    let mut ahead = *cursor;
    let found = matches!(
        next(&mut ahead),
        Ok(Tag { number: found, content: Content::Closing, .. }) if found == number
    );
    if found {
        *cursor = ahead;
    }
    found
}

/// The bytes inside opening tag `number`, which comes next; steps over its closing tag.
pub(super) fn inside<'a>(cursor: &mut Cursor<'a>, number: u8) -> Result<Option<&'a [u8]>, Short> {
    if !opens(cursor, number) {
        return Ok(None);
    }
    let all = cursor.rest();
    let start = cursor.position();
    let mut depth = 0_u32;
    loop {
        let end = cursor.position() - start;
        match next(cursor)?.content {
            Content::Opening => depth += 1,
            Content::Closing if depth == 0 => return Ok(all.get(..end)),
            Content::Closing => depth -= 1,
            Content::Value(_) => {}
        }
    }
}

/// A number of up to 8 octets.
pub(super) fn unsigned(octets: &[u8]) -> u64 {
    octets.iter().take(8).fold(0, |number, octet| number << 8 | u64::from(*octet))
}

/// Type and instance of an object identifier.
pub(super) fn object_identifier(octets: &[u8]) -> Option<(u32, u32)> {
    let number = Cursor::new(octets).u32_be().ok()?;
    (octets.len() == 4).then_some((number >> 22, number & 0x3f_ffff))
}

/// Text of a character string's octets, the bytes of that text, and how they read.
pub(super) fn character_string(octets: &[u8]) -> Option<(CompactString, &[u8], Decode)> {
    let (encoding, text) = octets.split_first()?;
    let text = match encoding {
        // UCS-2: a NUL byte is half a character, no padding.
        4 => text,
        _ => crate::text::trim(text),
    };
    match encoding {
        0 => Some((crate::text::utf8(text), text, Decode::Utf8)),
        4 => {
            let units = text.chunks_exact(2).map(|pair| match pair {
                [high, low] => u16::from_be_bytes([*high, *low]),
                _ => 0,
            });
            let read = char::decode_utf16(units)
                .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect();
            Some((read, text, Decode::Utf16Be))
        }
        5 => Some((text.iter().map(|byte| char::from(*byte)).collect(), text, Decode::Ascii)),
        _ => None,
    }
}

const NULL: u8 = 0;
const BOOLEAN: u8 = 1;
const UNSIGNED: u8 = 2;
const SIGNED: u8 = 3;
const REAL: u8 = 4;
const DOUBLE: u8 = 5;
/// Application tag of a character string.
pub(super) const CHARACTER_STRING: u8 = 7;
const ENUMERATED: u8 = 9;
const OBJECT_IDENTIFIER: u8 = 12;

/// A property's value: one primitive as what it is, anything else as bytes. With it the cited bytes
/// and how they read.
pub(super) fn value(bytes: &[u8]) -> (Value, &[u8], Decode) {
    let whole = bytes.get(..bytes.len().min(256)).unwrap_or_default();
    single(bytes).unwrap_or_else(|| (Value::Bytes(whole.to_vec()), whole, Decode::Hex))
}

/// A property's value, if it is one primitive.
pub(super) fn single(bytes: &[u8]) -> Option<(Value, &[u8], Decode)> {
    let mut cursor = Cursor::new(bytes);
    let tag = next(&mut cursor).ok()?;
    let Content::Value(octets) = tag.content else { return None };
    if tag.is_context || !cursor.is_empty() {
        return None;
    }
    Some(match tag.number {
        NULL => (Value::Text("null".into()), bytes, Decode::Derived),
        BOOLEAN => (Value::Integer(i64::from(tag.length != 0)), bytes, Decode::Derived),
        UNSIGNED | ENUMERATED => {
            let number = i64::try_from(unsigned(octets)).ok()?;
            (Value::Integer(number), octets, Decode::UnsignedBe)
        }
        SIGNED => {
            let sign = if octets.first().is_some_and(|octet| octet & 0x80 != 0) { -1 } else { 0 };
            let number =
                octets.iter().take(8).fold(sign, |number, octet| number << 8 | i64::from(*octet));
            (Value::Integer(number), octets, Decode::Derived)
        }
        REAL => {
            (Value::Real(f64::from(Cursor::new(octets).f32_be().ok()?)), octets, Decode::Derived)
        }
        DOUBLE => {
            let bits = Cursor::new(octets).u64_be().ok()?;
            (Value::Real(f64::from_bits(bits)), octets, Decode::Derived)
        }
        CHARACTER_STRING => {
            let (text, octets, decode) = character_string(octets)?;
            (Value::Text(text), octets, decode)
        }
        OBJECT_IDENTIFIER => {
            let (kind, instance) = object_identifier(octets)?;
            (Value::Text(super::object_text(kind, instance)), octets, Decode::Derived)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_with_long_numbers_and_lengths_are_read() {
        // extended tag number 200, context, extended length 6
        let mut cursor = Cursor::new(&[0xfd, 200, 6, 1, 2, 3, 4, 5, 6]);
        let tag = next(&mut cursor).unwrap();
        assert_eq!((200, true), (tag.number, tag.is_context));
        assert_eq!(Content::Value(&[1, 2, 3, 4, 5, 6]), tag.content);
    }

    #[test]
    fn primitives_become_values() {
        assert_eq!(Value::Real(1.5), value(&[0x44, 0x3f, 0xc0, 0, 0]).0);
        assert_eq!(Value::Integer(-2), value(&[0x31, 0xfe]).0);
        assert_eq!(Value::Integer(1), value(&[0x11]).0);
        assert_eq!(Value::Text("Hi".into()), value(&[0x73, 0, b'H', b'i']).0);
        assert_eq!(Value::Text("device 5".into()), value(&[0xc4, 2, 0, 0, 5]).0);
        assert_eq!(Value::Bytes(vec![0x21, 1, 0x21, 2]), value(&[0x21, 1, 0x21, 2]).0);
    }
}
