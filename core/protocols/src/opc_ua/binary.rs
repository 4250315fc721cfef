//! The binary encoding of OPC UA's built-in types (OPC 10000-6 §5.2).

use compact_str::{CompactString, format_compact};
use otic_wire::Cursor;

use crate::out::{Decode, Value};
use crate::text;

/// Depth of nested values (variants, diagnostic information) that is followed.
const DEPTH: u8 = 8;
/// Longest identifier of a node that is spelled out, bytes.
const NAME: usize = 256;
/// Largest value that is told, bytes.
const VALUE: usize = 1024;

/// Type id of a UInt32 in a variant; the others are named where they are read.
const BOOLEAN: u8 = 1;
const STRING: u8 = 12;
const EXTENSION_OBJECT: u8 = 22;

/// A node id (§5.2.2.9), as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeId<'a> {
    /// Index of the namespace; 0 is OPC UA's own.
    pub namespace: u16,
    /// The identifier in it.
    pub identifier: Identifier<'a>,
}

/// The identifier of a node in its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identifier<'a> {
    /// A number.
    Numeric(u32),
    /// A name.
    String(&'a [u8]),
    /// A GUID, as it stands in the message.
    Guid([u8; 16]),
    /// Bytes of the server's own.
    Opaque(&'a [u8]),
}

impl NodeId<'_> {
    /// The number of a node in OPC UA's own namespace.
    #[must_use]
    pub const fn standard(&self) -> Option<u32> {
        match (self.namespace, self.identifier) {
            (0, Identifier::Numeric(number)) => Some(number),
            _ => None,
        }
    }

    /// The id in the standard's text form (§5.3.1.10): `i=2256`, `ns=2;s=Motor.Speed`.
    #[must_use]
    pub fn to_text(self) -> CompactString {
        let mut name = text::Builder::default();
        if self.namespace != 0 {
            name.text("ns=").number(self.namespace).text(";");
        }
        match self.identifier {
            Identifier::Numeric(number) => name.text("i=").number(number),
            Identifier::String(bytes) => {
                name.text("s=").text(&text::utf8(bytes.get(..NAME).unwrap_or(bytes)))
            }
            Identifier::Guid(bytes) => name.text("g=").text(&guid(bytes)),
            Identifier::Opaque(bytes) => {
                let bytes = bytes.get(..NAME / 2).unwrap_or(bytes);
                name.text("b=").text(
                    &bytes.iter().fold(CompactString::default(), |hex, byte| {
                        format_compact!("{hex}{byte:02x}")
                    }),
                )
            }
        };
        name.build()
    }
}

/// A GUID as people write it (§5.1.3).
fn guid(bytes: [u8; 16]) -> CompactString {
    let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
    let [i, j, k, l, m, n, o, p] = rest;
    format_compact!(
        "{:08x}-{:04x}-{:04x}-{i:02x}{j:02x}-{k:02x}{l:02x}{m:02x}{n:02x}{o:02x}{p:02x}",
        u32::from_le_bytes([a, b, c, d]),
        u16::from_le_bytes([e, f]),
        u16::from_le_bytes([g, h]),
    )
}

/// A variant (§5.2.2.16): its type, whether it is an array, and its bytes after the encoding byte.
#[derive(Debug, Clone, Copy)]
pub struct Variant<'a> {
    kind: u8,
    is_array: bool,
    raw: &'a [u8],
}

impl<'a> Variant<'a> {
    /// The value, the bytes that give it, and how; none for nothing and for what is too large.
    #[must_use]
    pub fn value(&self) -> Option<(Value, &'a [u8], Decode)> {
        let raw = self.raw;
        if raw.len() > VALUE {
            return None;
        }
        let bytes = || Some((Value::Bytes(raw.to_vec()), raw, Decode::Hex));
        if self.is_array {
            return bytes();
        }
        let mut reader = Reader::new(raw);
        let unsigned = |number: u64| match i64::try_from(number) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Text(format_compact!("{number}")),
        };
        let signed = |number: i64| {
            let decode = if number < 0 { Decode::Derived } else { Decode::UnsignedLe };
            Some((Value::Integer(number), raw, decode))
        };
        match (self.kind, raw) {
            (0, _) => None,
            (BOOLEAN | 3, [byte]) => {
                Some((Value::Integer(i64::from(*byte)), raw, Decode::UnsignedLe))
            }
            (2, [byte]) => signed(i64::from(byte.cast_signed())),
            (4, [a, b]) => signed(i64::from(i16::from_le_bytes([*a, *b]))),
            (6, _) => signed(i64::from(reader.cursor.u32_le().ok()?.cast_signed())),
            (8, _) => signed(reader.cursor.u64_le().ok()?.cast_signed()),
            (5, [a, b]) => {
                Some((unsigned(u64::from(u16::from_le_bytes([*a, *b]))), raw, Decode::UnsignedLe))
            }
            (7 | 19, _) => {
                let number = reader.cursor.u32_le().ok()?;
                Some((unsigned(u64::from(number)), raw, Decode::UnsignedLe))
            }
            (9, _) => Some((unsigned(reader.cursor.u64_le().ok()?), raw, Decode::UnsignedLe)),
            (10, _) => {
                let real = f64::from(reader.cursor.f32_le().ok()?);
                Some((Value::Real(real), raw, Decode::Derived))
            }
            (11, _) => {
                let real = f64::from_bits(reader.cursor.u64_le().ok()?);
                Some((Value::Real(real), raw, Decode::Derived))
            }
            (STRING | 16, _) => {
                let part = reader.string()?;
                Some((Value::Text(text::utf8(part)), part, Decode::Utf8))
            }
            (15, _) => {
                let part = reader.string()?;
                Some((Value::Bytes(part.to_vec()), part, Decode::Hex))
            }
            (21, _) => {
                let part = reader.localized_text()?;
                Some((Value::Text(text::utf8(part)), part, Decode::Utf8))
            }
            _ => bytes(),
        }
    }

    /// The bytes of a String, or of the text of a LocalizedText.
    #[must_use]
    pub fn text(&self) -> Option<&'a [u8]> {
        let mut reader = Reader::new(self.raw);
        match (self.is_array, self.kind) {
            (false, STRING) => reader.string(),
            (false, 21) => reader.localized_text(),
            _ => None,
        }
    }

    /// Type and body of a structure.
    #[must_use]
    pub fn structure(&self) -> Option<(u32, &'a [u8])> {
        if self.is_array || self.kind != EXTENSION_OBJECT {
            return None;
        }
        let (kind, body) = Reader::new(self.raw).extension_object()?;
        Some((kind.standard()?, body))
    }
}

/// Reads built-in types front to back; nothing where bytes are missing.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// The bytes not read yet.
    pub cursor: Cursor<'a>,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(bytes) }
    }

    /// A number.
    pub fn u32(&mut self) -> Option<u32> {
        self.cursor.u32_le().ok()
    }

    /// Skips what is of no interest.
    pub fn skip(&mut self, bytes: usize) -> Option<()> {
        self.cursor.skip(bytes).ok()
    }

    /// String, ByteString, XmlElement (§5.2.2.4); a null one is empty.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        if length == u32::MAX {
            return Some(&[]);
        }
        self.cursor.take(length as usize).ok()
    }

    /// Number of elements of an array (§5.2.5), at most one for each byte that is left.
    pub fn array(&mut self) -> Option<usize> {
        let length = self.u32()?;
        if length == u32::MAX {
            return Some(0);
        }
        Some((length as usize).min(self.cursor.remaining()))
    }

    /// An array of strings, skipped.
    pub fn strings(&mut self) -> Option<()> {
        for _ in 0..self.array()? {
            self.string()?;
        }
        Some(())
    }

    /// NodeId (§5.2.2.9).
    pub fn node_id(&mut self) -> Option<NodeId<'a>> {
        let encoding = self.cursor.u8().ok()?;
        self.identifier(encoding)
    }

    fn identifier(&mut self, encoding: u8) -> Option<NodeId<'a>> {
        let cursor = &mut self.cursor;
        let (namespace, identifier) = match encoding {
            0 => (0, Identifier::Numeric(u32::from(cursor.u8().ok()?))),
            1 => {
                let namespace = u16::from(cursor.u8().ok()?);
                (namespace, Identifier::Numeric(u32::from(cursor.u16_le().ok()?)))
            }
            2 => (cursor.u16_le().ok()?, Identifier::Numeric(cursor.u32_le().ok()?)),
            3 => (cursor.u16_le().ok()?, Identifier::String(self.string()?)),
            4 => (cursor.u16_le().ok()?, Identifier::Guid(cursor.array().ok()?)),
            5 => (cursor.u16_le().ok()?, Identifier::Opaque(self.string()?)),
            _ => return None,
        };
        Some(NodeId { namespace, identifier })
    }

    /// ExpandedNodeId (§5.2.2.10), without its server and namespace URI.
    pub fn expanded_node_id(&mut self) -> Option<NodeId<'a>> {
        let encoding = self.cursor.u8().ok()?;
        let node = self.identifier(encoding & 0x3f)?;
        if encoding & 0x80 != 0 {
            self.string()?;
        }
        if encoding & 0x40 != 0 {
            self.u32()?;
        }
        Some(node)
    }

    /// QualifiedName (§5.2.2.13): the name.
    pub fn qualified_name(&mut self) -> Option<&'a [u8]> {
        self.skip(2)?;
        self.string()
    }

    /// LocalizedText (§5.2.2.14): the text.
    pub fn localized_text(&mut self) -> Option<&'a [u8]> {
        let mask = self.cursor.u8().ok()?;
        if mask & 1 != 0 {
            self.string()?;
        }
        if mask & 2 != 0 { self.string() } else { Some(&[]) }
    }

    /// ExtensionObject (§5.2.2.15): type and body; a body that is not binary counts as empty.
    pub fn extension_object(&mut self) -> Option<(NodeId<'a>, &'a [u8])> {
        let kind = self.node_id()?;
        let body: &[u8] = match self.cursor.u8().ok()? {
            0 => &[],
            1 => self.string()?,
            2 => {
                self.string()?;
                &[]
            }
            _ => return None,
        };
        Some((kind, body))
    }

    /// DiagnosticInfo (§5.2.2.12), skipped.
    pub fn diagnostic_info(&mut self) -> Option<()> {
        for _ in 0..DEPTH {
            let mask = self.cursor.u8().ok()?;
            self.skip(4 * (mask & 0x0f).count_ones() as usize)?;
            if mask & 0x10 != 0 {
                self.string()?;
            }
            if mask & 0x20 != 0 {
                self.u32()?;
            }
            if mask & 0x40 == 0 {
                return Some(());
            }
        }
        None
    }

    /// DataValue (§5.2.2.17): the value and the status code.
    pub fn data_value(&mut self) -> Option<(Option<Variant<'a>>, u32)> {
        self.data_value_at(0)
    }

    fn data_value_at(&mut self, depth: u8) -> Option<(Option<Variant<'a>>, u32)> {
        let mask = self.cursor.u8().ok()?;
        let value = if mask & 1 != 0 { Some(self.variant_at(depth)?) } else { None };
        let status = if mask & 2 != 0 { self.u32()? } else { 0 };
        for (bit, size) in [(0x04, 8), (0x10, 2), (0x08, 8), (0x20, 2)] {
            if mask & bit != 0 {
                self.skip(size)?;
            }
        }
        Some((value, status))
    }

    /// Variant (§5.2.2.16).
    pub fn variant(&mut self) -> Option<Variant<'a>> {
        self.variant_at(0)
    }

    fn variant_at(&mut self, depth: u8) -> Option<Variant<'a>> {
        if depth >= DEPTH {
            return None;
        }
        let encoding = self.cursor.u8().ok()?;
        let (kind, is_array) = (encoding & 0x3f, encoding & 0x80 != 0);
        let whole = self.cursor.rest();
        if is_array {
            for _ in 0..self.array()? {
                self.element(kind, depth)?;
            }
            if encoding & 0x40 != 0 {
                let dimensions = self.array()?;
                self.skip(4 * dimensions)?;
            }
        } else {
            self.element(kind, depth)?;
        }
        let raw = whole.get(..whole.len() - self.cursor.remaining())?;
        Some(Variant { kind, is_array, raw })
    }

    /// Skips one value of a built-in type (§5.1.2, table 1).
    fn element(&mut self, kind: u8, depth: u8) -> Option<()> {
        match kind {
            0 => Some(()),
            1..=3 => self.skip(1),
            4 | 5 => self.skip(2),
            6 | 7 | 10 | 19 => self.skip(4),
            8 | 9 | 11 | 13 => self.skip(8),
            // Unreserved ids up to 31 are read as byte strings.
            12 | 15 | 16 | 26..=31 => self.string().map(drop),
            14 => self.skip(16),
            17 => self.node_id().map(drop),
            18 => self.expanded_node_id().map(drop),
            20 => self.qualified_name().map(drop),
            21 => self.localized_text().map(drop),
            22 => self.extension_object().map(drop),
            23 => self.data_value_at(depth + 1).map(drop),
            24 => self.variant_at(depth + 1).map(drop),
            25 => self.diagnostic_info(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_read_like_the_standard_writes_them() {
        let text = |bytes: &[u8]| Reader::new(bytes).node_id().map(NodeId::to_text);
        // OPC 10000-6 §5.2.2.9, the examples of figures 4 to 6
        assert_eq!(Some("i=114".into()), text(&[0x00, 0x72]));
        assert_eq!(Some("ns=5;i=1025".into()), text(&[0x01, 5, 0x01, 0x04]));
        let hot = [3, 1, 0, 6, 0, 0, 0, b'H', b'o', b't', 0xe6, 0xb0, 0xb4];
        assert_eq!(Some("ns=1;s=Hot水".into()), text(&hot));
        let guid = [
            4, 0, 0, 0x91, 0x2b, 0x96, 0x72, 0x75, 0xfa, 0xe6, 0x4a, 0x8d, 0x28, 0xb4, 0x04, 0xdc,
            0x7d, 0xaf, 0x63,
        ];
        assert_eq!(Some("g=72962b91-fa75-4ae6-8d28-b404dc7daf63".into()), text(&guid));
        assert_eq!(Some("b=ff01".into()), text(&[5, 0, 0, 2, 0, 0, 0, 0xff, 1]));
        assert_eq!(None, text(&[9, 0]));
    }

    fn value(bytes: &[u8]) -> Option<Value> {
        Reader::new(bytes).variant()?.value().map(|(value, _, _)| value)
    }

    #[test]
    fn variants_are_read_by_their_type() {
        assert_eq!(Some(Value::Integer(1)), value(&[1, 1]));
        assert_eq!(Some(Value::Integer(-2)), value(&[4, 0xfe, 0xff]));
        assert_eq!(Some(Value::Integer(7)), value(&[7, 7, 0, 0, 0]));
        assert_eq!(
            Some(Value::Text("18446744073709551615".into())),
            value(&[[9].as_slice(), &[255; 8]].concat())
        );
        assert_eq!(Some(Value::Real(1.5)), value(&[10, 0, 0, 0xc0, 0x3f]));
        assert_eq!(Some(Value::Text("on".into())), value(&[12, 2, 0, 0, 0, b'o', b'n']));
        assert_eq!(Some(Value::Text("on".into())), value(&[21, 2, 2, 0, 0, 0, b'o', b'n']));
        // two bytes in an array, with one dimension
        let array = [0xc3, 2, 0, 0, 0, 8, 9, 1, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(Some(Value::Bytes(array[1..].to_vec())), value(&array));
        assert_eq!(None, value(&[0]));
        assert_eq!(None, value(&[12, 200, 0, 0, 0, b'x']));
    }

    #[test]
    fn nested_values_end() {
        assert!(Reader::new(&[24; 64]).variant().is_none());
        assert!(Reader::new(&[0x40; 64]).diagnostic_info().is_none());
        // additional information "x", then an inner one that says nothing
        let info = [0x51, 1, 0, 0, 0, 1, 0, 0, 0, b'x', 0, 9];
        let mut reader = Reader::new(&info);
        assert_eq!(Some(()), reader.diagnostic_info());
        assert_eq!(1, reader.cursor.remaining());
    }
}
