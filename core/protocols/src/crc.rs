//! The check of 16 bits that serial protocols carry over to TCP and UDP (CRC-16 with the reflected
//! polynomial 0xA001).
//!
//! Source: MODBUS over Serial Line V1.02, §6.2.2.

/// The check of these bytes, from `start` on.
#[must_use]
pub fn crc16<'a>(start: u16, bytes: impl IntoIterator<Item = &'a u8>) -> u16 {
    bytes.into_iter().fold(start, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte),
            |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_known_check_of_nine_digits() {
        assert_eq!(0x4b37, crc16(0xffff, b"123456789"));
        assert_eq!(0xbb3d, crc16(0, b"123456789"));
    }
}
