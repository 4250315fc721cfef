//! TPKT (RFC 1006) and the connection-oriented transport protocol in it (ISO/IEC 8073, class 0):
//! the framing that S7comm and MMS share.
//!
//! Sources: RFC 1006 §6 (packet format); ISO/IEC 8073 §13.3, §13.4, §13.7 (CR, CC, DT TPDU).

use otic_wire::{Cursor, SpanMap};

use crate::session::Input;

/// The usual TCP port, `iso-tsap`.
pub const PORT: u16 = 102;

/// Parameter code of the calling TSAP in CR and CC.
pub const CALLING_TSAP: u8 = 0xc1;
/// Parameter code of the called TSAP in CR and CC.
pub const CALLED_TSAP: u8 = 0xc2;

/// Most bytes of one message over several DT TPDUs.
const CAP: usize = 64 * 1024;

/// What a TPDU is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CR.
    ConnectionRequest,
    /// CC.
    ConnectionConfirm,
    /// DT.
    Data,
    /// DR, DC, ER, ED and the like.
    Other,
}

/// One TPDU.
#[derive(Debug, Clone, Copy)]
pub struct Tpdu<'a> {
    /// What it is for.
    pub kind: Kind,
    /// Variable part of the header: parameters of CR and CC.
    pub parameters: &'a [u8],
    /// User data.
    pub data: &'a [u8],
    /// DT: the user data ends a message.
    pub last: bool,
    /// Bytes of the whole TPKT packet.
    pub length: usize,
}

impl<'a> Tpdu<'a> {
    /// The value of a parameter of the header.
    #[must_use]
    pub fn parameter(&self, wanted: u8) -> Option<&'a [u8]> {
        let mut cursor = Cursor::new(self.parameters);
        loop {
            let (code, length) = (cursor.u8().ok()?, cursor.u8().ok()?);
            let value = cursor.take(usize::from(length)).ok()?;
            if code == wanted {
                return Some(value);
            }
        }
    }
}

/// What stands at the front of a stream.
#[derive(Debug, Clone, Copy)]
pub enum Front<'a> {
    /// A whole packet.
    Tpdu(Tpdu<'a>),
    /// The start of a packet.
    Incomplete,
    /// No TPKT packet.
    Broken,
}

/// Reads the packet at the front of `bytes`.
#[must_use]
pub fn front(bytes: &[u8]) -> Front<'_> {
    let mut cursor = Cursor::new(bytes);
    // RFC 1006 §6: version 3, reserved 0, length of the whole packet; 7 is the shortest DT.
    let Ok(version) = cursor.u8() else { return Front::Incomplete };
    if version != 3 {
        return Front::Broken;
    }
    let Ok(reserved) = cursor.u8() else { return Front::Incomplete };
    if reserved != 0 {
        return Front::Broken;
    }
    let Ok(length) = cursor.u16_be() else { return Front::Incomplete };
    if length < 7 {
        return Front::Broken;
    }
    let (Ok(header_length), Ok(code)) = (cursor.u8(), cursor.u8()) else {
        return Front::Incomplete;
    };
    let header_length = usize::from(header_length);
    let length = usize::from(length);
    if header_length < 2 || header_length == 255 || 5 + header_length > length {
        return Front::Broken;
    }
    let kind = match code & 0xf0 {
        0xe0 if header_length >= 6 => Kind::ConnectionRequest,
        0xd0 if header_length >= 6 => Kind::ConnectionConfirm,
        0xf0 => Kind::Data,
        0x10 | 0x20 | 0x50 | 0x60 | 0x70 | 0x80 | 0xc0 => Kind::Other,
        _ => return Front::Broken,
    };
    let Some(packet) = bytes.get(..length) else { return Front::Incomplete };
    let header = packet.get(6..5 + header_length).unwrap_or_default();
    Front::Tpdu(Tpdu {
        kind,
        // destination and source reference, class
        parameters: header.get(5..).unwrap_or_default(),
        data: packet.get(5 + header_length..).unwrap_or_default(),
        last: header.last().is_some_and(|end| end & 0x80 != 0),
        length,
    })
}

/// What a DT TPDU adds up to.
#[derive(Debug)]
pub enum Joined {
    /// The TPDU's own data is a whole message.
    Whole,
    /// A message over several TPDUs, with the frame bytes behind it.
    Buffer(Vec<u8>, SpanMap),
    /// More is to come.
    Wait,
}

/// Joins the user data of one direction's DT TPDUs; at most 64 KiB.
#[derive(Debug, Default)]
pub struct Segments {
    bytes: Vec<u8>,
    spans: SpanMap,
    overflow: bool,
}

impl Segments {
    /// Takes the data of the next DT TPDU, a sub-slice of `input.bytes`.
    pub fn add(&mut self, input: &Input<'_>, tpdu: &Tpdu<'_>) -> Joined {
        if tpdu.last && self.bytes.is_empty() && !self.overflow {
            return Joined::Whole;
        }
        if self.bytes.len() + tpdu.data.len() > CAP {
            self.clear();
            self.overflow = true;
        }
        if !self.overflow {
            self.bytes.extend_from_slice(tpdu.data);
            for span in input.locate(tpdu.data) {
                self.spans.push(span);
            }
        }
        if !tpdu.last {
            return Joined::Wait;
        }
        if std::mem::take(&mut self.overflow) {
            return Joined::Wait;
        }
        Joined::Buffer(std::mem::take(&mut self.bytes), std::mem::take(&mut self.spans))
    }

    /// Forgets what waits, after a gap.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.overflow = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_connection_request_with_its_tsaps() {
        let bytes = [
            3, 0, 0, 22, // TPKT, 22 bytes
            17, 0xe0, 0, 0, 0, 1, 0, // CR, references 0 and 1, class 0
            0xc0, 1, 10, // TPDU size 1024
            0xc1, 2, 1, 0, // calling TSAP
            0xc2, 2, 1, 2, // called TSAP
        ];
        let Front::Tpdu(tpdu) = front(&bytes) else { panic!("a packet") };
        assert_eq!(Kind::ConnectionRequest, tpdu.kind);
        assert_eq!(Some([1, 2].as_slice()), tpdu.parameter(CALLED_TSAP));
        assert_eq!(22, tpdu.length);
    }

    #[test]
    fn other_bytes_are_no_packet() {
        assert!(matches!(front(b"GET / HTTP"), Front::Broken));
        assert!(matches!(front(&[3, 0, 0, 11]), Front::Incomplete));
        assert!(matches!(front(&[3, 0, 0, 11, 200, 0xf0]), Front::Broken));
    }
}
