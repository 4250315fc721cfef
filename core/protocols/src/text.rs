//! Text of the wire, without its padding.

use compact_str::CompactString;

/// `bytes` without leading and trailing blanks and NUL bytes, cut at the first NUL after that.
/// Still a sub-slice, so it can be cited as evidence.
#[must_use]
pub fn trim(bytes: &[u8]) -> &[u8] {
    let is_padding = |byte: &u8| matches!(byte, 0 | b' ' | b'\t' | b'\r' | b'\n');
    let start = bytes.iter().position(|byte| !is_padding(byte)).unwrap_or(bytes.len());
    let tail = bytes.get(start..).unwrap_or_default();
    let tail = tail.get(..memchr::memchr(0, tail).unwrap_or(tail.len())).unwrap_or_default();
    let end = tail.iter().rposition(|byte| !is_padding(byte)).map_or(0, |last| last + 1);
    tail.get(..end).unwrap_or_default()
}

/// `bytes` as UTF-8 text, bad sequences as U+FFFD: reads back with
/// [`Decode::Utf8`](crate::Decode::Utf8).
#[must_use]
pub fn utf8(bytes: &[u8]) -> CompactString {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        // Letter by letter: for bytes that are no text only.
        Err(_) => CompactString::from_utf8_lossy(bytes),
    }
}

/// `bytes` as little-endian UTF-16 text, up to a NUL, bad sequences as U+FFFD.
#[must_use]
pub fn utf16le(bytes: &[u8]) -> CompactString {
    let units =
        bytes.chunks_exact(2).filter_map(|unit| Some(u16::from_le_bytes(*unit.as_array()?)));
    char::decode_utf16(units.take_while(|unit| *unit != 0))
        .map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// The bytes of a UTF-16 text up to its first NUL, which reads back with
/// [`Decode::Utf16Le`](crate::Decode::Utf16Le).
#[must_use]
pub fn trim_utf16(bytes: &[u8]) -> &[u8] {
    let units = bytes.chunks_exact(2).take_while(|unit| *unit != [0, 0]).count();
    bytes.get(..2 * units).unwrap_or_default()
}

/// Whether all bytes are printable ASCII (blank to tilde) and there is at least one.
#[must_use]
pub fn is_printable(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| (0x20..0x7f).contains(byte))
}

/// The value of the first header field with this name in an HTTP-like message head (HTTP, SSDP),
/// without blanks around it.
#[must_use]
pub fn header_field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (known, value) = line.split_at(memchr::memchr(b':', line)?);
        let same = trim(known).eq_ignore_ascii_case(name.as_bytes());
        same.then(|| trim(value.get(1..).unwrap_or_default()))
    })
}

/// The bytes that a Base64 text (RFC 4648 §4) stands for, up to the first letter that is none of its.
pub fn base64(encoded: &[u8]) -> impl Iterator<Item = u8> {
    let (mut bits, mut count) = (0_u32, 0);
    let sixes = encoded.iter().map_while(|byte| {
        Some(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        })
    });
    sixes.filter_map(move |six| {
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count < 8 {
            return None;
        }
        count -= 8;
        Some((bits >> count & 0xff) as u8)
    })
}

/// The user of Basic credentials (RFC 7617 §2): never what follows the colon.
#[must_use]
pub fn basic_user(credentials: &[u8]) -> CompactString {
    let user = base64(trim(credentials)).take_while(|byte| *byte != b':').take(128);
    utf8(&user.collect::<Vec<u8>>())
}

/// Puts a text together from parts: for names that are made for every message, where Rust's
/// formatting would cost more than reading the message.
pub struct Builder {
    text: String,
}

impl Default for Builder {
    fn default() -> Self {
        Self { text: String::with_capacity(64) }
    }
}

impl Builder {
    /// Adds a text.
    #[inline]
    pub fn text(&mut self, part: &str) -> &mut Self {
        self.text.push_str(part);
        self
    }

    /// Adds a number in decimal.
    pub fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        let mut rest: u64 = number.into();
        let mut digits = [b'0'; 20];
        let mut first = digits.len();
        for digit in digits.iter_mut().rev() {
            first -= 1;
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        let digits = digits.get(first..).map(std::str::from_utf8);
        self.text.push_str(digits.and_then(Result::ok).unwrap_or_default());
        self
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text.
    #[must_use]
    pub fn build(&self) -> CompactString {
        self.text.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_goes_and_the_rest_stays_in_place() {
        assert_eq!(b"6ES7 315".as_slice(), trim(b"  6ES7 315 \0\0junk"));
        assert_eq!(b"".as_slice(), trim(b"\0\0 \0"));
        assert!(!is_printable(b"a\x01"));
    }

    #[test]
    fn a_text_is_put_together_like_rust_formats_it() {
        for number in [0, 7, 10, 99, 100, 65_535, u64::MAX] {
            let text = Builder::default().text("größe ").number(number).text("!").build();
            assert_eq!(format!("größe {number}!"), text);
        }
        assert_eq!("", Builder::default().build());
    }

    #[test]
    fn basic_credentials_give_the_user_alone() {
        assert_eq!("operator", basic_user(b" b3BlcmF0b3I6c2VjcmV0 "));
        assert_eq!("op", basic_user(b"b3A="));
        assert_eq!("", basic_user(b"?"));
    }

    #[test]
    fn utf_16_ends_at_its_nul() {
        let bytes = b"P\0C\0\0\0X\0";
        assert_eq!("PC", utf16le(bytes));
        assert_eq!(b"P\0C\0", trim_utf16(bytes));
        assert_eq!("\u{fffd}", utf16le(&[0, 0xd8]));
    }

    #[test]
    fn a_header_field_is_found_whatever_its_case() {
        let head = b"NOTIFY * HTTP/1.1\r\nHost: x\r\nSERVER:  a b \r\n\r\n";
        assert_eq!(Some(b"a b".as_slice()), header_field(head, "server"));
        assert_eq!(None, header_field(head, "notify * http/1.1"));
    }
}
