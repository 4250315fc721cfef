//! The one reader of wire bytes.

use thiserror::Error;

/// Fewer bytes were left than a field needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{wanted} bytes wanted at offset {offset}, {got} left")]
pub struct Short {
    /// Bytes the field needs.
    pub wanted: usize,
    /// Bytes that were left.
    pub got: usize,
    /// Offset of the field from the start of the cursor's bytes.
    pub offset: usize,
}

/// Reads fields from a byte slice front to back; a read past the end is an error, never a panic.
///
/// Sub-slices it hands out point into the original bytes, so
/// [`SpanMap::locate`](crate::SpanMap::locate) can say which frame bytes they are.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

macro_rules! integers {
    ($($name:ident $type:ty, $from:ident;)*) => {$(
        #[doc = concat!("The next `", stringify!($type), "`, byte order as named.")]
        ///
        /// # Errors
        /// [`Short`] when fewer bytes are left.
        #[inline]
        pub fn $name(&mut self) -> Result<$type, Short> {
            Ok(<$type>::$from(self.array()?))
        }
    )*};
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`.
    #[inline]
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    integers! {
        u8 u8, from_be_bytes;
        u16_be u16, from_be_bytes;
        u16_le u16, from_le_bytes;
        u32_be u32, from_be_bytes;
        u32_le u32, from_le_bytes;
        u64_be u64, from_be_bytes;
        u64_le u64, from_le_bytes;
        i16_be i16, from_be_bytes;
        i32_be i32, from_be_bytes;
        f32_be f32, from_be_bytes;
        f32_le f32, from_le_bytes;
    }

    /// The next three bytes as a big-endian number.
    ///
    /// # Errors
    /// [`Short`] when fewer than three bytes are left.
    #[inline]
    pub fn u24_be(&mut self) -> Result<u32, Short> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    /// The next three bytes as a little-endian number.
    ///
    /// # Errors
    /// [`Short`] when fewer than three bytes are left.
    #[inline]
    pub fn u24_le(&mut self) -> Result<u32, Short> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_be_bytes([0, c, b, a]))
    }

    /// The next `N` bytes by value.
    ///
    /// # Errors
    /// [`Short`] when fewer are left.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (head, _) = self.rest().split_first_chunk::<N>().ok_or_else(|| self.short(N))?;
        self.position += N;
        Ok(*head)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// [`Short`] when fewer are left; nothing is consumed then.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Short> {
        let head = self.rest().get(..length).ok_or_else(|| self.short(length))?;
        self.position += length;
        Ok(head)
    }

    /// A cursor over the next `length` bytes, which are consumed here: an inner parser cannot read
    /// beyond its own length.
    ///
    /// # Errors
    /// [`Short`] when fewer are left.
    #[inline]
    pub fn sub(&mut self, length: usize) -> Result<Cursor<'a>, Short> {
        self.take(length).map(Cursor::new)
    }

    /// Skips `length` bytes.
    ///
    /// # Errors
    /// [`Short`] when fewer are left.
    #[inline]
    pub fn skip(&mut self, length: usize) -> Result<(), Short> {
        self.take(length).map(|_| ())
    }

    /// The next byte without consuming it.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// All bytes not yet read.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    /// Number of bytes not yet read.
    #[inline]
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest().len()
    }

    /// Whether every byte was read.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// Bytes read so far.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    #[cold]
    fn short(&self, wanted: usize) -> Short {
        Short { wanted, got: self.remaining(), offset: self.position }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_integers_in_both_orders() {
        let mut cursor = Cursor::new(&[0x01, 0x02, 0x03, 0x04, 0x05, 0x06]);
        assert_eq!(Ok(0x0102), cursor.u16_be());
        assert_eq!(Ok(0x0403), cursor.u16_le());
        assert_eq!(2, cursor.remaining());
        assert_eq!(Err(Short { wanted: 4, got: 2, offset: 4 }), cursor.u32_be());
        assert_eq!(&[0x05, 0x06], cursor.rest());
    }

    #[test]
    fn a_sub_cursor_ends_where_its_length_ends() {
        let mut cursor = Cursor::new(&[0x01, 0x02, 0x03]);
        let mut inner = cursor.sub(2).unwrap_or(Cursor::new(&[]));
        assert_eq!(Ok(0x0102), inner.u16_be());
        assert!(inner.u8().is_err());
        assert_eq!(Ok(0x03), cursor.u8());
    }
}
