//! PCCC commands of PLC-5, SLC 500 and MicroLogix inside CIP's Execute PCCC service.
//!
//! Source: Rockwell (Allen-Bradley) 1770-6.5.16 "DF1 Protocol and Command Set", chapters 7 (message
//! packets, commands), 10 (diagnostic status) and 13 (addressing).
//! Not decoded: PLC-5 logical binary addressing, data of replies other than diagnostic status.

use std::fmt::Write;

use compact_str::CompactString;
use otic_wire::{Cursor, Short};

use crate::out::{Action, Object};

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub name: &'static str,
    pub action: Action,
    pub object: Object,
    /// The reply of a diagnostic status carries the processor's name.
    pub is_diagnostic_status: bool,
}

/// Reads the data of an Execute PCCC request: requestor id, then the PCCC command.
pub(super) fn command(data: &[u8]) -> Result<Command, Short> {
    command_of(after_requestor(data)?.rest())
}

/// Reads a PCCC command.
pub(crate) fn command_of(packet: &[u8]) -> Result<Command, Short> {
    let mut cursor = Cursor::new(packet);
    let code = cursor.u8()?;
    cursor.skip(3)?; // status, transaction number
    let unknown = ("pccc-unknown", Action::Diagnostics);
    let (mut object, mut is_diagnostic_status) = (Object::None, false);
    let (name, action) = match code {
        0x00 => ("pccc-protected-write", Action::Write),
        0x01 => ("pccc-unprotected-read", Action::Read),
        0x02 => ("pccc-protected-bit-write", Action::Write),
        0x05 => ("pccc-unprotected-bit-write", Action::Write),
        0x08 => ("pccc-unprotected-write", Action::Write),
        0x06 => match cursor.u8()? {
            0x00 => ("pccc-echo", Action::Diagnostics),
            0x01 => ("pccc-read-diagnostic-counters", Action::Diagnostics),
            0x02 => ("pccc-set-variables", Action::Configuration),
            0x03 => {
                is_diagnostic_status = true;
                ("pccc-diagnostic-status", Action::Identify)
            }
            0x04 => ("pccc-set-timeout", Action::Configuration),
            0x05 => ("pccc-set-naks", Action::Configuration),
            0x06 => ("pccc-set-enqs", Action::Configuration),
            0x07 => ("pccc-reset-diagnostic-counters", Action::Reset),
            0x08 => ("pccc-set-data-table-size", Action::Configuration),
            0x09 => ("pccc-read-link-parameters", Action::Diagnostics),
            0x0a => ("pccc-set-link-parameters", Action::Configuration),
            _ => unknown,
        },
        0x07 => match cursor.u8()? {
            0x00 => ("pccc-disable-outputs", Action::Mode),
            0x01 => ("pccc-enable-program", Action::Mode),
            0x03 => ("pccc-enable-scan", Action::Mode),
            0x04 => ("pccc-enter-download-mode", Action::ProgramDownload),
            0x05 => ("pccc-exit-download-mode", Action::ProgramDownload),
            0x06 => ("pccc-enter-upload-mode", Action::ProgramUpload),
            _ => unknown,
        },
        0x0f => {
            let function = cursor.u8()?;
            if matches!(function, 0xa1 | 0xa2 | 0xa7 | 0xa9 | 0xaa | 0xab | 0xaf) {
                let three = matches!(function, 0xa2 | 0xaa | 0xab);
                object = address(cursor, three).unwrap_or_default();
            }
            extended(function)
        }
        _ => unknown,
    };
    Ok(Command { name, action, object, is_diagnostic_status })
}

/// Functions of command 0x0F.
const fn extended(function: u8) -> (&'static str, Action) {
    match function {
        0x00 => ("pccc-word-range-write", Action::Write),
        0x01 => ("pccc-word-range-read", Action::Read),
        0x02 => ("pccc-bit-write", Action::Write),
        0x03 => ("pccc-file-write", Action::Write),
        0x04 => ("pccc-file-read", Action::Read),
        0x05 => ("pccc-download-request", Action::ProgramDownload),
        0x06 => ("pccc-upload", Action::ProgramUpload),
        0x07 => ("pccc-shutdown", Action::Stop),
        0x08 => ("pccc-physical-write", Action::ProgramDownload),
        0x09 => ("pccc-physical-read", Action::ProgramUpload),
        0x0a => ("pccc-restart-request", Action::Start),
        0x11 => ("pccc-get-edit-resource", Action::Session),
        0x12 => ("pccc-return-edit-resource", Action::Session),
        0x17 => ("pccc-read-bytes-physical", Action::ProgramUpload),
        0x18 => ("pccc-write-bytes-physical", Action::ProgramDownload),
        0x26 => ("pccc-read-modify-write", Action::Write),
        0x29 => ("pccc-read-section-size", Action::Diagnostics),
        0x3a => ("pccc-set-cpu-mode", Action::Mode),
        0x41 => ("pccc-disable-forces", Action::Control),
        0x50 => ("pccc-download-all-request", Action::ProgramDownload),
        0x52 => ("pccc-download-completed", Action::ProgramDownload),
        0x53 => ("pccc-upload-all-request", Action::ProgramUpload),
        0x55 => ("pccc-upload-completed", Action::ProgramUpload),
        0x57 => ("pccc-initialize-memory", Action::Reset),
        0x5e => ("pccc-modify-plc-2-compatibility-file", Action::Configuration),
        0x67 => ("pccc-typed-write", Action::Write),
        0x68 => ("pccc-typed-read", Action::Read),
        0x79 => ("pccc-read-modify-write-n", Action::Write),
        0x80 => ("pccc-change-mode", Action::Mode),
        0x81 => ("pccc-open-file", Action::File),
        0x82 => ("pccc-close-file", Action::File),
        0x88 => ("pccc-execute-multiple-command", Action::Configuration),
        0x8f => ("pccc-apply-port-configuration", Action::Configuration),
        0xa1 => ("pccc-protected-typed-logical-read-2", Action::Read),
        0xa2 => ("pccc-protected-typed-logical-read", Action::Read),
        0xa7 => ("pccc-protected-typed-file-read", Action::Read),
        0xa9 => ("pccc-protected-typed-logical-write-2", Action::Write),
        0xaa => ("pccc-protected-typed-logical-write", Action::Write),
        0xab => ("pccc-protected-typed-logical-write-masked", Action::Write),
        0xaf => ("pccc-protected-typed-file-write", Action::Write),
        _ => ("pccc-unknown", Action::Diagnostics),
    }
}

/// The name of the processor in a diagnostic status reply's data: 11 bytes from offset 5.
pub(super) fn processor_name(reply: &[u8]) -> Result<&[u8], Short> {
    let mut cursor = after_requestor(reply)?;
    cursor.skip(4 + 5)?;
    Ok(crate::text::trim(cursor.take(11)?))
}

/// Whether the PCCC status of a reply says that the command was done.
pub(super) fn succeeded(reply: &[u8]) -> bool {
    after_requestor(reply).is_ok_and(|mut cursor| {
        let _ = cursor.u8();
        cursor.u8() == Ok(0)
    })
}

/// Requestor id: its length (with the length byte), vendor, serial number.
fn after_requestor(data: &[u8]) -> Result<Cursor<'_>, Short> {
    let mut cursor = Cursor::new(data);
    let length = usize::from(cursor.u8()?);
    cursor.skip(length.saturating_sub(1))?;
    Ok(cursor)
}

/// `N7:0`: byte size, file number, file type, element, sub-element (1770-6.5.16, 7-17).
fn address(mut cursor: Cursor<'_>, three: bool) -> Result<Object, Short> {
    cursor.skip(1)?;
    let file = number(&mut cursor)?;
    let letter = match cursor.u8()? {
        0x84 => "S",
        0x85 => "B",
        0x86 => "T",
        0x87 => "C",
        0x88 => "R",
        0x89 => "N",
        0x8a => "F",
        0x8b => "O",
        0x8c => "I",
        0x8d => "ST",
        0x8e => "A",
        0x8f => "D",
        _ => "file ",
    };
    let element = number(&mut cursor)?;
    let mut text = CompactString::default();
    let _ = write!(text, "{letter}{file}:{element}");
    if three {
        let sub_element = number(&mut cursor)?;
        if sub_element != 0 {
            let _ = write!(text, ".{sub_element}");
        }
    }
    Ok(Object::Text(text))
}

/// One byte, or 0xFF and two.
fn number(cursor: &mut Cursor<'_>) -> Result<u16, Short> {
    match cursor.u8()? {
        0xff => cursor.u16_le(),
        small => Ok(u16::from(small)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_logical_read_names_its_address() {
        // requestor id (7 bytes, vendor 1, serial 1), CMD 0F, STS 0, TNS 1, FNC A2, size 4,
        // file 7, type integer, element 300, sub-element 0
        let data = [7, 1, 0, 1, 0, 0, 0, 0x0f, 0, 1, 0, 0xa2, 4, 7, 0x89, 0xff, 0x2c, 0x01, 0x00];
        let command = command(&data).unwrap();
        assert_eq!("pccc-protected-typed-logical-read", command.name);
        assert_eq!("N7:300", command.object.to_text());
    }
}
