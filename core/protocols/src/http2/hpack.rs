//! HPACK: header compression of HTTP/2.
//!
//! Source: RFC 7541 §4 (dynamic table), §5 (integers, strings), §6 (representations), appendix A (static
//! table), appendix B (lengths of the Huffman code, which is canonical).

use std::collections::VecDeque;

/// Name and value of a field.
pub type Field = (Vec<u8>, Vec<u8>);

/// What a decoder starts with and may be told to keep (RFC 9113 §6.5.2).
const TABLE: usize = 4096;
/// Most bytes that one block may give, and most fields.
const BLOCK: usize = 64 * 1024;
const FIELDS: usize = 256;

const STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// Bits of the code of each byte, and of the end mark.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11,
    10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8,
    15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5,
    6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
    23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21,
    23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25,
    26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26,
    28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// The shortest and the longest code.
const SHORTEST: u8 = 5;
const LONGEST: u8 = 30;

/// The code made of its lengths: symbols in order of length and value, and for each length its first
/// code and where its symbols start.
struct Huffman {
    symbols: Vec<u16>,
    first: Vec<(u32, u32)>,
}

impl Huffman {
    fn new() -> Self {
        let mut symbols = Vec::with_capacity(LENGTHS.len());
        let mut first = Vec::new();
        let mut code = 0_u32;
        for length in SHORTEST..=LONGEST {
            first.push((code, symbols.len() as u32));
            for (symbol, bits) in (0..).zip(LENGTHS) {
                if bits == length {
                    symbols.push(symbol);
                    code += 1;
                }
            }
            code <<= 1;
        }
        Self { symbols, first }
    }

    /// The symbol of a code with so many bits.
    fn symbol(&self, code: u32, length: u8) -> Option<u16> {
        let at = usize::from(length.checked_sub(SHORTEST)?);
        let (first, start) = self.first.get(at)?;
        let end = self.first.get(at + 1).map_or(self.symbols.len(), |(_, end)| *end as usize);
        let place = (start + code.checked_sub(*first)?) as usize;
        if place < end { self.symbols.get(place).copied() } else { None }
    }

    fn decode(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::with_capacity(bytes.len() * 2);
        let (mut code, mut length) = (0_u32, 0_u8);
        for byte in bytes {
            for bit in (0..8).rev() {
                code = code << 1 | u32::from(byte >> bit & 1);
                length += 1;
                if let Some(symbol) = self.symbol(code, length) {
                    // The end mark is never sent.
                    text.push(u8::try_from(symbol).ok()?);
                    (code, length) = (0, 0);
                } else if length > LONGEST {
                    return None;
                }
            }
        }
        // The rest of the last byte is the beginning of the end mark: ones.
        (length < 8 && code + 1 == 1 << length).then_some(text)
    }
}

/// The fields of one direction.
pub struct Decoder {
    huffman: Huffman,
    dynamic: VecDeque<Field>,
    size: usize,
    limit: usize,
}

impl Decoder {
    /// A direction's first block is still to come.
    pub fn new() -> Self {
        Self { huffman: Huffman::new(), dynamic: VecDeque::new(), size: 0, limit: TABLE }
    }

    /// The fields of a header block; none where it breaks the rules, after which nothing that follows
    /// can be read.
    pub fn decode(&mut self, mut block: &[u8]) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        let mut total = 0;
        while let Some(first) = block.first() {
            let field = match first {
                0x80.. => self.entry(integer(&mut block, 7)?)?,
                0x40.. => {
                    let field = self.literal(&mut block, 6)?;
                    self.keep(field.clone());
                    field
                }
                0x20.. => {
                    let limit = integer(&mut block, 5)?;
                    if limit > 16 * TABLE {
                        return None;
                    }
                    self.limit = limit;
                    self.evict(0);
                    continue;
                }
                _ => self.literal(&mut block, 4)?,
            };
            total += field.0.len() + field.1.len();
            if total > BLOCK || fields.len() >= FIELDS {
                return None;
            }
            fields.push(field);
        }
        Some(fields)
    }

    fn entry(&self, index: usize) -> Option<Field> {
        let index = index.checked_sub(1)?;
        match STATIC.get(index) {
            Some((name, value)) => Some((name.to_vec(), value.to_vec())),
            None => self.dynamic.get(index - STATIC.len()).cloned(),
        }
    }

    fn literal(&self, block: &mut &[u8], bits: u8) -> Option<Field> {
        let name = match integer(block, bits)? {
            0 => self.string(block)?,
            index => self.entry(index)?.0,
        };
        Some((name, self.string(block)?))
    }

    fn string(&self, block: &mut &[u8]) -> Option<Vec<u8>> {
        let coded = block.first()? & 0x80 != 0;
        let length = integer(block, 7)?;
        let (text, rest) = block.split_at_checked(length)?;
        *block = rest;
        if coded { self.huffman.decode(text) } else { Some(text.to_vec()) }
    }

    fn keep(&mut self, field: Field) {
        let size = field.0.len() + field.1.len() + 32;
        self.evict(size);
        if size <= self.limit {
            self.size += size;
            self.dynamic.push_front(field);
        }
    }

    /// Makes room for so many bytes.
    fn evict(&mut self, room: usize) {
        while self.size + room > self.limit
            && let Some((name, value)) = self.dynamic.pop_back()
        {
            self.size -= name.len() + value.len() + 32;
        }
    }
}

/// A number whose first byte has so many bits for it.
fn integer(block: &mut &[u8], bits: u8) -> Option<usize> {
    let (first, mut rest) = block.split_first()?;
    let most = (1_usize << bits) - 1;
    let mut number = usize::from(*first) & most;
    if number == most {
        let mut shift = 0;
        loop {
            let (byte, tail) = rest.split_first()?;
            rest = tail;
            number = number.checked_add(usize::from(byte & 0x7f) << shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 21 {
                return None;
            }
        }
    }
    *block = rest;
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn text(fields: &[Field]) -> Vec<String> {
        fields
            .iter()
            .map(|(name, value)| {
                format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
            })
            .collect()
    }

    /// RFC 7541, appendix C.4: three requests with Huffman coding.
    #[test]
    fn the_requests_of_the_standard() {
        let mut decoder = Decoder::new();
        let first = decoder.decode(&bytes("828684418cf1e3c2e5f23a6ba0ab90f4ff")).unwrap();
        assert_eq!(
            vec![":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
            text(&first)
        );
        let second = decoder.decode(&bytes("828684be5886a8eb10649cbf")).unwrap();
        assert_eq!(Some("cache-control: no-cache".to_owned()), text(&second).pop());
        let third = bytes("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf");
        let third = decoder.decode(&third).unwrap();
        assert_eq!(
            vec![
                ":method: GET",
                ":scheme: https",
                ":path: /index.html",
                ":authority: www.example.com",
                "custom-key: custom-value"
            ],
            text(&third)
        );
    }

    #[test]
    fn what_breaks_the_rules_gives_none() {
        for block in ["80", "c0ff", "ffffffffffff", "4085ff", "3fffffff7f", "0082ffff0161"] {
            assert!(Decoder::new().decode(&bytes(block)).is_none(), "{block}");
        }
    }

    #[test]
    fn the_oldest_fields_leave_a_full_table() {
        let mut decoder = Decoder::new();
        for _ in 0..200 {
            decoder.decode(&bytes("400a637573746f6d2d6b65790d637573746f6d2d686561646572")).unwrap();
        }
        assert!(decoder.size <= TABLE && decoder.dynamic.len() > 50);
    }
}
