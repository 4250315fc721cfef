//! RTU frames (unit, PDU, CRC) as terminal servers carry them over TCP and UDP. They have no length:
//! it follows from the function and a byte count, differently for requests and responses, and the
//! CRC says which of the two it is.

use crate::crc::crc16;
use crate::roc_plus;

use super::{
    DIAGNOSTICS, ENCAPSULATED, EXCEPTION, Front, MASK_WRITE_REGISTER, MEI_DEVICE_IDENTIFICATION,
    Message, READ_FIFO_QUEUE, READ_FILE_RECORD, READ_WRITE_MULTIPLE_REGISTERS, REPORT_SERVER_ID,
    WRITE_FILE_RECORD, WRITE_MULTIPLE_COILS, WRITE_MULTIPLE_REGISTERS, shapes,
};

/// Serial Line V1.02 §2.5.1: 256 bytes at most.
const LARGEST: usize = 256;

/// Highest address of a server on a serial line (§2.2); 0 is for all.
const HIGHEST_UNIT: u8 = 247;

/// Length of a frame, if it is a request and if it is a response.
enum Length {
    Known(usize),
    /// The byte that tells it is still to come.
    Later,
    None,
}

/// Whether the bytes start with a whole frame that is certain enough to start a session with.
pub(super) fn fits(bytes: &[u8]) -> bool {
    match front(bytes) {
        // An exception or a request of one byte has too little of its own beside the CRC. ROC has the
        // same CRC; what is a frame of both asks for very many coils of Modbus.
        Front::Message(message) => {
            message.pdu.len() > 2
                && shapes(message.pdu) != (false, false)
                && !roc_plus::is_frame(message.all)
        }
        _ => false,
    }
}

/// Reads the frame at the front.
pub(super) fn front(bytes: &[u8]) -> Front<'_> {
    match bytes.first() {
        None => return Front::Incomplete,
        Some(unit) if *unit > HIGHEST_UNIT => return Front::Broken("modbus-crc"),
        Some(_) => {}
    }
    let (request, response) = lengths(bytes);
    let mut lengths = [request, response];
    // A shorter frame must not wait for the end of a longer one that it is not.
    lengths.sort_by_key(|length| match length {
        Length::Known(length) => *length,
        Length::Later => LARGEST,
        Length::None => LARGEST + 1,
    });
    for length in lengths {
        let length = match length {
            Length::Known(length) if length <= LARGEST => length,
            Length::Later => return Front::Incomplete,
            Length::Known(_) | Length::None => continue,
        };
        let Some(frame) = bytes.get(..length) else { return Front::Incomplete };
        if let [unit, pdu @ .., low, high] = frame
            && crc16(0xffff, std::iter::once(unit).chain(pdu)) == u16::from_le_bytes([*low, *high])
        {
            return Front::Message(Message { transaction: 0, unit: *unit, pdu, all: frame });
        }
    }
    Front::Broken("modbus-crc")
}

/// The two lengths that a frame with this function can have, with unit and CRC.
fn lengths(bytes: &[u8]) -> (Length, Length) {
    use Length::{Known, Later, None};
    let counted = |at: usize, beside: usize| match bytes.get(at) {
        Some(count) => Known(beside + usize::from(*count)),
        Option::None => Later,
    };
    let Some(&code) = bytes.get(1) else { return (Later, Later) };
    match code {
        1..=4 => (Known(8), counted(2, 5)),
        5 | 6 | DIAGNOSTICS => (Known(8), None),
        7 => (Known(4), Known(5)),
        11 => (Known(4), Known(8)),
        12 | REPORT_SERVER_ID => (Known(4), counted(2, 5)),
        WRITE_MULTIPLE_COILS | WRITE_MULTIPLE_REGISTERS => (counted(6, 9), Known(8)),
        READ_FILE_RECORD | WRITE_FILE_RECORD => (counted(2, 5), None),
        MASK_WRITE_REGISTER => (Known(10), None),
        READ_WRITE_MULTIPLE_REGISTERS => (counted(10, 13), counted(2, 5)),
        READ_FIFO_QUEUE => (Known(6), counted(3, 6)),
        ENCAPSULATED if bytes.get(2) == Some(&MEI_DEVICE_IDENTIFICATION) => {
            (Known(7), identification(bytes))
        }
        ENCAPSULATED if bytes.len() == 2 => (Later, Later),
        _ if code & EXCEPTION != 0 => (None, Known(5)),
        _ => (None, None),
    }
}

/// Length of a response to read device identification: a head of 8 bytes, then counted objects.
fn identification(bytes: &[u8]) -> Length {
    let Some(&objects) = bytes.get(7) else { return Length::Later };
    let mut at = 8;
    for _ in 0..objects {
        match bytes.get(at + 1) {
            Some(length) => at += 2 + usize::from(*length),
            None => return Length::Later,
        }
    }
    Length::Known(at + 2)
}
