//! Numbers at known offsets of a fixed layout, little-endian: for headers whose standard lists
//! fields by offset. What follows one another is read with [`Cursor`](otic_wire::Cursor).

/// The `N` bytes from `at` on.
#[must_use]
pub fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// The byte at `at`.
#[must_use]
pub fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// Two bytes from `at` on.
#[must_use]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

/// Four bytes from `at` on.
#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

/// Eight bytes from `at` on.
#[must_use]
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

/// `length` bytes from `at` on; fewer where `bytes` end before.
#[must_use]
pub fn part_at(bytes: &[u8], at: usize, length: usize) -> &[u8] {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.get(..length.min(rest.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_little_endian_and_never_read_beyond_the_end() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(Some(0x0302), u16_at(&bytes, 1));
        assert_eq!(Some(0x0908_0706_0504_0302), u64_at(&bytes, 1));
        assert_eq!(None, u32_at(&bytes, 6));
        assert_eq!(None, u8_at(&bytes, usize::MAX));
        assert_eq!(&[8, 9], part_at(&bytes, 7, 100));
        assert!(part_at(&bytes, 10, 1).is_empty());
    }
}
