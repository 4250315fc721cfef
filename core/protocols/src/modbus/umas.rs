//! UMAS, the engineering protocol of Schneider Electric controllers in Modbus function 90: a
//! session byte, a function, data (little-endian); a reply has 0xFE or 0xFD in the function's place.
//!
//! Sources:
//! * Function numbers and directions: "The Unity (UMAS) protocol" I to V, lirasenlared (its
//!   "upload" goes from the engineering station into the controller), and public lists of UMAS
//!   function codes that agree with it.
//! * Layout of 0x20, 0x22, 0x23 and the replies to 0x02 and 0x04: protocol description of Apache
//!   PLC4X (UMAS); blocks of 0x31: public notes on UMAS.
//! * Firmware and hardware in the reply to 0x02, project in that to 0x03, run state in that to
//!   0x04, the holder's name in 0x01 and 0x10: messages of a BME P58 1020 that a public UMAS client
//!   prints. Memory card: Digital Bond's Redpoint modicon-info.

use compact_str::format_compact;
use otic_wire::Cursor;
use smallvec::SmallVec;

use super::{Message, NAME, NewValue, Request, Write, claim, unit};
use crate::out::{
    Action, Claim, Confidence, Decode, Event, Evidence, Item, Object, Operation, Out, Who,
};
use crate::session::Input;
use crate::text;

/// Second byte of the data of a reply.
pub(super) const OK: u8 = 0xfe;
pub(super) const ERROR: u8 = 0xfd;

const INIT_COMM: u8 = 0x01;
const READ_ID: u8 = 0x02;
const READ_PROJECT_INFO: u8 = 0x03;
const READ_PLC_INFO: u8 = 0x04;
const READ_CARD_INFO: u8 = 0x06;
const TAKE_PLC_RESERVATION: u8 = 0x10;
const READ_MEMORY_BLOCK: u8 = 0x20;
const READ_VARIABLES: u8 = 0x22;
const WRITE_VARIABLES: u8 = 0x23;
const UPLOAD_BLOCK: u8 = 0x31;

/// Name and action of a function. UMAS calls the way into the controller "upload".
const fn words(function: u8) -> (&'static str, Action) {
    match function {
        INIT_COMM => ("umas-init-comm", Action::Session),
        READ_ID => ("umas-read-id", Action::Identify),
        READ_PROJECT_INFO => ("umas-read-project-info", Action::Identify),
        READ_PLC_INFO => ("umas-read-plc-info", Action::Diagnostics),
        0x05 => ("umas-get-loader-info", Action::Identify),
        READ_CARD_INFO => ("umas-read-card-info", Action::Identify),
        0x07 => ("umas-get-block-info", Action::Read),
        0x0a => ("umas-repeat", Action::Diagnostics),
        TAKE_PLC_RESERVATION => ("umas-take-plc-reservation", Action::Session),
        0x11 => ("umas-release-plc-reservation", Action::Session),
        0x12 => ("umas-keep-alive", Action::Session),
        READ_MEMORY_BLOCK => ("umas-read-memory-block", Action::Read),
        0x21 => ("umas-write-memory-block", Action::Write),
        READ_VARIABLES => ("umas-read-variables", Action::Read),
        WRITE_VARIABLES => ("umas-write-variables", Action::Write),
        0x24 => ("umas-read-coils-registers", Action::Read),
        0x25 => ("umas-write-coils-registers", Action::Write),
        0x26 => ("umas-data-dictionary", Action::Read),
        0x27 => ("umas-data-dictionary-preload", Action::Read),
        0x28 => ("umas-read-physical-address", Action::Read),
        0x29 => ("umas-write-physical-address", Action::Write),
        0x2a => ("umas-browse-events", Action::Diagnostics),
        0x30 => ("umas-initialize-upload", Action::ProgramDownload),
        UPLOAD_BLOCK => ("umas-upload-block", Action::ProgramDownload),
        0x32 => ("umas-end-strategy-upload", Action::ProgramDownload),
        0x33 => ("umas-initialize-download", Action::ProgramUpload),
        0x34 => ("umas-download-block", Action::ProgramUpload),
        0x35 => ("umas-end-strategy-download", Action::ProgramUpload),
        // Both ways; public descriptions do not tell which is which.
        0x36 => ("umas-backup-restore", Action::Configuration),
        0x37 => ("umas-preload-blocks", Action::Configuration),
        0x39 => ("umas-read-ethernet-master-data", Action::Read),
        0x40 => ("umas-start-plc", Action::Start),
        0x41 => ("umas-stop-plc", Action::Stop),
        0x42 => ("umas-initialize-plc", Action::Reset),
        // Reads mostly; one of its entries forces outputs, but how they are told apart is not known.
        0x50 => ("umas-monitor-plc", Action::Read),
        0x58 => ("umas-check-plc", Action::Diagnostics),
        0x60 => ("umas-set-breakpoint", Action::Control),
        0x61 => ("umas-delete-breakpoint", Action::Control),
        0x62 => ("umas-step-over", Action::Control),
        0x63 => ("umas-step-in", Action::Control),
        0x64 => ("umas-step-out", Action::Control),
        0x66 => ("umas-go-to", Action::Control),
        0x6d => ("umas-private-message", Action::Diagnostics),
        0x6e => ("umas-enhanced-reservation", Action::Session),
        0x70 => ("umas-read-io-object", Action::Read),
        0x71 => ("umas-write-io-object", Action::Write),
        0x72 => ("umas-read-rack", Action::Read),
        0x73 => ("umas-get-status-module", Action::Diagnostics),
        _ => ("umas", Action::Diagnostics),
    }
}

/// Reads a request's session byte, function and data; none where the function is missing.
pub(super) fn describe(
    request: &mut Request,
    input: &Input<'_>,
    cursor: &mut Cursor<'_>,
) -> Option<()> {
    let (_session, function) = (cursor.u8().ok()?, cursor.u8().ok()?);
    (request.operation.name, request.operation.action) = words(function);
    request.sub_function = function;
    request.operation.object =
        Object::Number { kind: "umas-function", number: u32::from(function) };
    // The layouts are not the maker's word: where they do not fit, only the function is told.
    if let Some(object) = object(request, input, function, cursor) {
        request.operation.object = object;
    }
    Some(())
}

fn object(
    request: &mut Request,
    input: &Input<'_>,
    function: u8,
    cursor: &mut Cursor<'_>,
) -> Option<Object> {
    match function {
        TAKE_PLC_RESERVATION => {
            cursor.skip(4).ok()?;
            let length = usize::from(cursor.u8().ok()?);
            let owner = text::trim(cursor.take(length).ok()?);
            let text = format_compact!("owner {}", text::utf8(owner));
            text::is_printable(owner).then_some(Object::Text(text))
        }
        READ_MEMORY_BLOCK => {
            let _range = cursor.u8().ok()?;
            let (number, first) = (cursor.u16_le().ok()?, cursor.u16_le().ok()?);
            let _unknown = cursor.u16_le().ok()?;
            let count = cursor.u16_le().ok()?;
            Some(Object::Area {
                area: "memory-block",
                number: u32::from(number),
                first: u32::from(first),
                count: u32::from(count.max(1)),
            })
        }
        READ_VARIABLES => {
            let _crc = cursor.u32_le().ok()?;
            let count = cursor.u8().ok()?;
            let _kind = cursor.u8().ok()?;
            let block = cursor.u16_le().ok()?;
            let _one = cursor.u8().ok()?;
            let base = cursor.u16_le().ok()?;
            let offset = cursor.u8().ok()?;
            Some(listed(variable(block, base, u16::from(offset)), count))
        }
        WRITE_VARIABLES => {
            let _crc = cursor.u32_le().ok()?;
            let count = cursor.u8().ok()?;
            let mut first = None;
            for left in (0..count).rev() {
                let kind = cursor.u8().ok()?;
                let (block, base) = (cursor.u16_le().ok()?, cursor.u16_le().ok()?);
                let offset = cursor.u16_le().ok()?;
                let object = variable(block, base, offset);
                first.get_or_insert_with(|| object.clone());
                // Where one variable's value ends is certain for those of one or two bytes, and for
                // the last one.
                let raw = match kind {
                    _ if left == 0 => cursor.rest(),
                    1 | 2 => cursor.take(usize::from(kind)).ok()?,
                    _ => break,
                };
                if kind >> 4 == 0 && !raw.is_empty() {
                    request.writes.push(Write {
                        object,
                        run: None,
                        new: NewValue::Items(SmallVec::from_slice(raw)),
                        evidence: input.evidence(raw, Decode::Hex),
                    });
                }
            }
            first.map(|object| listed(object, count))
        }
        UPLOAD_BLOCK => {
            let _unknown = cursor.u16_le().ok()?;
            let number = u32::from(cursor.u16_le().ok()?);
            Some(Object::Number { kind: "strategy-block", number })
        }
        _ => None,
    }
}

fn variable(block: u16, base: u16, offset: u16) -> Object {
    let first = u32::from(base) + u32::from(offset);
    Object::Area { area: "block", number: u32::from(block), first, count: 1 }
}

/// The first of several objects, and how many there are more.
fn listed(first: Object, count: u8) -> Object {
    if count <= 1 {
        return first;
    }
    Object::Text(format_compact!("{}, +{}", first.to_text(), count - 1))
}

/// What a request says of its sender: the name under which an engineering station reserves.
pub(super) fn requested(input: &Input<'_>, operation: &Operation, data: &[u8], out: &mut Out) {
    if data.get(1) == Some(&TAKE_PLC_RESERVATION)
        && matches!(operation.object, Object::Text(_))
        && let Some(owner) = data.get(7..)
    {
        let owner = text::trim(owner);
        out.claim(Claim {
            confidence: Confidence::Medium,
            ..input.own_text((NAME, "umas-take-plc-reservation"), "name", owner)
        });
    }
}

/// What a positive reply says of the controller; none where it is shorter than the layout.
pub(super) fn replied(
    input: &Input<'_>,
    message: &Message<'_>,
    function: u8,
    data: &[u8],
    out: &mut Out,
) -> Option<()> {
    // after the session byte and 0xFE
    let data = data.get(2..)?;
    match function {
        INIT_COMM => {
            let owner = text::trim(counted(data, 12)?);
            if text::is_printable(owner) {
                out.push(event(input, "reservation-held", ("owner", text::utf8(owner)), owner));
            }
        }
        READ_ID => {
            let model = counted(data, 22)?;
            if !text::is_printable(text::trim(model)) {
                return None;
            }
            claim(input, message, ("model", "umas-read-id", Confidence::High), model, out);
            // binary-coded decimal: 20 02 is 2.20
            let firmware = data.get(8..10)?;
            if let [minor, major] = firmware
                && firmware != [0, 0]
            {
                let value = format_compact!("{major:x}.{minor:02x}");
                let evidence = input.evidence(firmware, Decode::Derived);
                out.claim(told(message, "firmware", "umas-read-id", value, evidence));
            }
            let hardware = data.get(14..16)?;
            let value = hardware.iter().map(|byte| format!("{byte:02x}")).collect();
            let evidence = input.evidence(hardware, Decode::Hex);
            out.claim(told(message, "umas_hardware_id", "umas-read-id", value, evidence));
        }
        READ_PROJECT_INFO => {
            let name = text::trim(counted(data, 38)?);
            let version = data.get(34..38)?;
            if !text::is_printable(name) {
                return None;
            }
            let message_name = "umas-read-project-info";
            claim(input, message, ("project", message_name, Confidence::High), name, out);
            if let [low, high, minor, major] = version
                && version != [0; 4]
            {
                let build = u16::from_le_bytes([*low, *high]);
                let value = format_compact!("{major}.{minor}.{build}");
                let evidence = input.evidence(version, Decode::Derived);
                out.claim(told(message, "project_revision", message_name, value, evidence));
            }
        }
        // Only in the length in which it was seen is the state's place known.
        READ_PLC_INFO if data.len() == 66 && data.get(3) == Some(&6) => {
            let raw = data.get(60..61)?;
            let status = match raw {
                [1] => "stop",
                [2] => "run",
                _ => "other",
            };
            out.push(event(input, "controller-status", ("status", status.into()), raw));
        }
        READ_CARD_INFO => {
            let card = text::trim(counted(data, 6)?);
            if text::is_printable(card) {
                let what = ("memory_card", "umas-read-card-info", Confidence::High);
                claim(input, message, what, card, out);
            }
        }
        _ => {}
    }
    Some(())
}

/// A text behind `skip` bytes, counted by one byte.
fn counted(data: &[u8], skip: usize) -> Option<&[u8]> {
    let mut cursor = Cursor::new(data);
    cursor.skip(skip).ok()?;
    let length = usize::from(cursor.u8().ok()?);
    cursor.take(length).ok()
}

fn told(
    message: &Message<'_>,
    attribute: &'static str,
    name: &'static str,
    value: compact_str::CompactString,
    evidence: Evidence,
) -> Claim {
    Claim {
        who: Who::Sender(unit(message.unit)),
        attribute,
        value,
        protocol: NAME,
        message: name,
        confidence: Confidence::High,
        evidence,
    }
}

fn event(
    input: &Input<'_>,
    kind: &'static str,
    value: (&'static str, compact_str::CompactString),
    part: &[u8],
) -> Item {
    Item::Event(Event {
        kind,
        protocol: NAME,
        sender: input.side,
        values: vec![value],
        evidence: input.locate(part),
    })
}
