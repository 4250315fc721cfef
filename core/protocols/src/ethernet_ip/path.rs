//! CIP paths: what a request is for, and over which ports it gets there.
//!
//! Source: The CIP Networks Library Vol. 1, Appendix C-1 (padded EPATH); element and symbol
//! spelling as in Rockwell 1756-PM020 "Logix 5000 Controllers Data Access".

use std::fmt::Write;

use compact_str::CompactString;
use otic_wire::{Cursor, Short};

use crate::out::{Child, Object};

/// A path, read whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Path<'a> {
    /// Last class named.
    pub class: Option<u32>,
    /// Last instance named.
    pub instance: Option<u32>,
    /// Attribute.
    pub attribute: Option<u32>,
    /// Whether a symbolic name stands in it.
    pub symbolic: bool,
    /// The object as text: `class 0x01/1/7`, `Tag[3].Member`.
    pub text: CompactString,
    /// Ports and link addresses, `1/4`, joined by `/`; empty where the path does not leave the
    /// device.
    pub route: CompactString,
    /// The 8 bytes of an electronic key: vendor, device type, product code, revision.
    pub key: Option<&'a [u8]>,
}

impl Path<'_> {
    /// The child address that the route leads to.
    pub fn child(&self) -> Child {
        if self.route.is_empty() {
            return Child::None;
        }
        let mut text = CompactString::const_new("cip-slot ");
        text.push_str(&self.route);
        Child::Text(text)
    }

    /// The object the path names.
    pub fn object(self) -> Object {
        if self.text.is_empty() { Object::None } else { Object::Text(self.text) }
    }
}

/// Paths with more text than this are cut: a hostile path repeats segments without end.
const LONGEST: usize = 256;

/// Reads a path to its end or to the first segment that cannot be read.
pub(super) fn read(bytes: &[u8]) -> Path<'_> {
    let mut path = Path::default();
    let mut cursor = Cursor::new(bytes);
    let mut in_element = false;
    while !cursor.is_empty() && path.text.len() < LONGEST && path.route.len() < LONGEST {
        match segment(&mut cursor, &mut path, &mut in_element) {
            Ok(true) => {}
            Ok(false) | Err(Short { .. }) => break,
        }
    }
    if in_element {
        path.text.push(']');
    }
    path
}

/// Reads one segment; false where the rest cannot be understood.
fn segment<'a>(
    cursor: &mut Cursor<'a>,
    path: &mut Path<'a>,
    in_element: &mut bool,
) -> Result<bool, Short> {
    let head = cursor.u8()?;
    match head >> 5 {
        0 => port(head, cursor, path)?,
        1 => return logical(head, cursor, path, in_element),
        // Network segment: bit 4 says that a length in words follows (C-1.4.3).
        2 => {
            let length = cursor.u8()?;
            if head & 0x10 != 0 {
                cursor.skip(usize::from(length) * 2)?;
            }
        }
        // Symbolic segment, length in the low five bits; 0 is the extended form.
        3 => {
            let length = usize::from(head & 0x1f);
            if length == 0 {
                return Ok(false);
            }
            symbol(cursor.take(length)?, path, in_element);
            if length % 2 == 0 && cursor.peek() == Some(0) {
                cursor.skip(1)?;
            }
        }
        4 if head == 0x91 => {
            let length = usize::from(cursor.u8()?);
            symbol(cursor.take(length)?, path, in_element);
            if length % 2 == 1 {
                let _ = cursor.skip(1);
            }
        }
        4 if head == 0x80 => {
            let words = usize::from(cursor.u8()?);
            cursor.skip(words * 2)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn port(head: u8, cursor: &mut Cursor<'_>, path: &mut Path<'_>) -> Result<(), Short> {
    let size = if head & 0x10 == 0 { 1 } else { usize::from(cursor.u8()?) };
    let number = match head & 0x0f {
        0x0f => cursor.u16_le()?,
        small => u16::from(small),
    };
    let link = cursor.take(size)?;
    if !path.route.is_empty() {
        path.route.push('/');
    }
    let _ = write!(path.route, "{number}/");
    match link {
        [slot] => {
            let _ = write!(path.route, "{slot}");
        }
        // A longer link address is text, mostly an IP address.
        text => {
            path.route.extend(text.iter().filter(|b| b.is_ascii_graphic()).map(|b| char::from(*b)));
            // Extended link addresses are padded to even length.
            if size % 2 == 1 {
                let _ = cursor.skip(1);
            }
        }
    }
    Ok(())
}

fn logical<'a>(
    head: u8,
    cursor: &mut Cursor<'a>,
    path: &mut Path<'a>,
    in_element: &mut bool,
) -> Result<bool, Short> {
    let kind = head >> 2 & 7;
    if kind == 5 {
        // Electronic key, format 4 (C-1.4.2).
        if head != 0x34 || cursor.u8()? != 4 {
            return Ok(false);
        }
        path.key = Some(cursor.take(8)?);
        return Ok(true);
    }
    let number = match head & 3 {
        0 => u32::from(cursor.u8()?),
        1 => {
            cursor.skip(1)?;
            u32::from(cursor.u16_le()?)
        }
        2 => {
            cursor.skip(1)?;
            cursor.u32_le()?
        }
        _ => return Ok(false),
    };
    let text = &mut path.text;
    if kind != 2 && *in_element {
        text.push(']');
        *in_element = false;
    }
    let _ = match kind {
        0 => {
            if !text.is_empty() {
                text.push(' ');
            }
            path.class = Some(number);
            path.instance = None;
            write!(text, "class 0x{number:02x}")
        }
        1 => {
            path.instance = Some(number);
            write!(text, "/{number}")
        }
        2 => {
            text.push(if *in_element { ',' } else { '[' });
            *in_element = true;
            write!(text, "{number}")
        }
        3 => write!(text, "/point {number}"),
        4 => {
            path.attribute = Some(number);
            write!(text, "/{number}")
        }
        _ => Ok(()),
    };
    Ok(true)
}

fn symbol(name: &[u8], path: &mut Path<'_>, in_element: &mut bool) {
    if *in_element {
        path.text.push(']');
        *in_element = false;
    }
    if !path.text.is_empty() {
        path.text.push('.');
    }
    path.symbolic = true;
    path.text.push_str(&crate::text::utf8(name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logical_segments_read_as_class_instance_attribute() {
        let path = read(&[0x20, 0x01, 0x25, 0x00, 0x05, 0x01, 0x30, 0x07]);
        assert_eq!("class 0x01/261/7", path.text);
        assert_eq!((Some(1), Some(261), Some(7)), (path.class, path.instance, path.attribute));
    }

    #[test]
    fn symbols_read_like_the_programmer_writes_them() {
        let mut bytes = vec![0x91, 3];
        bytes.extend_from_slice(b"Tag\0");
        bytes.extend_from_slice(&[0x28, 3, 0x29, 0, 1, 0, 0x91, 2]);
        bytes.extend_from_slice(b"Me");
        assert_eq!("Tag[3,1].Me", read(&bytes).text);
        assert_eq!("Tag[3", &read(&bytes[..8]).text.as_str()[..5]);
    }

    #[test]
    fn ports_give_the_child_behind_the_device() {
        let path = read(&[0x01, 0x04, 0x12, 0x03, b'1', b'.', b'2', 0x00, 0x20, 0x02, 0x24, 0x01]);
        assert_eq!("cip-slot 1/4/2/1.2", path.child().to_text());
        assert_eq!("class 0x02/1", path.text);
    }
}
