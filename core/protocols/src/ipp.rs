//! IPP, in the bodies of HTTP.
//!
//! Sources: RFC 8010 §3 (encoding), RFC 8011 §4 (operations), §5.4 (printer attributes), §B (status
//! codes); PWG 5100.13 (printer-device-id); RFC 3998 and the CUPS implementation notes (further
//! operations).
//!
//! An operation and its response are one operation, paired by request id; its code is the operation id,
//! its object the printer or the job. Only the beginning of a body is read: never what is printed.
//!
//! Not decoded: collections, subscriptions.

use otic_wire::Cursor;

use crate::fields::part_at;
use crate::out::{Action, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::session::{Input, Side};
use crate::text;

/// Name of the protocol.
pub const NAME: &str = "ipp";
/// Bytes of a body that are looked at.
pub const BODY_CAP: usize = 16 * 1024;

/// Requests of one flow that may wait at once.
const WAITING: usize = 16;

const JOB: u8 = 2;
const END: u8 = 3;
const PRINTER: u8 = 4;

/// Name and action of an operation id.
const fn operation(id: u16) -> (&'static str, Action) {
    match id {
        0x0002 => ("print-job", Action::Write),
        0x0003 => ("print-uri", Action::Write),
        0x0004 => ("validate-job", Action::Read),
        0x0005 => ("create-job", Action::Write),
        0x0006 => ("send-document", Action::Write),
        0x0007 => ("send-uri", Action::Write),
        0x0008 => ("cancel-job", Action::Control),
        0x0009 => ("get-job-attributes", Action::Read),
        0x000a => ("get-jobs", Action::Read),
        0x000b => ("get-printer-attributes", Action::Identify),
        0x000c => ("hold-job", Action::Control),
        0x000d => ("release-job", Action::Control),
        0x000e => ("restart-job", Action::Control),
        0x0010 => ("pause-printer", Action::Stop),
        0x0011 => ("resume-printer", Action::Start),
        0x0012 => ("purge-jobs", Action::Write),
        0x0013 => ("set-printer-attributes", Action::Configuration),
        0x0014 => ("set-job-attributes", Action::Write),
        0x4001 => ("cups-get-default", Action::Read),
        0x4002 => ("cups-get-printers", Action::Identify),
        0x4003 => ("cups-add-modify-printer", Action::Configuration),
        0x4004 => ("cups-delete-printer", Action::Configuration),
        0x4005 => ("cups-get-classes", Action::Read),
        _ => ("unknown", Action::Read),
    }
}

/// Group, name and value of an attribute.
type Attribute<'a> = (u8, &'a [u8], &'a [u8]);

/// The attributes up to their end, or up to where the kept bytes end.
fn attributes(bytes: &[u8]) -> Vec<Attribute<'_>> {
    let mut all = Vec::new();
    let mut cursor = Cursor::new(bytes);
    let mut group = 0;
    while let Ok(tag) = cursor.u8() {
        match tag {
            END => break,
            0..=0x0f => {
                group = tag;
                continue;
            }
            _ => {}
        }
        let Ok(length) = cursor.u16_be() else { break };
        let Ok(name) = cursor.take(usize::from(length)) else { break };
        let Ok(length) = cursor.u16_be() else { break };
        let Ok(value) = cursor.take(usize::from(length)) else { break };
        all.push((group, name, value));
    }
    all
}

/// A printer's address without its user and query.
fn printer(uri: &[u8]) -> Object {
    let end = memchr::memchr(b'?', uri).unwrap_or(uri.len());
    let uri = part_at(uri, 0, end.min(128));
    let hides = memchr::memchr(b'@', uri).is_some();
    if hides { Object::None } else { Object::Text(text::utf8(uri)) }
}

/// The requests of a flow.
pub struct Ipp {
    /// By sender and request id.
    pending: Pending<(Side, u32), Operation>,
}

impl Ipp {
    /// A flow's first message is still to come.
    #[must_use]
    pub const fn new() -> Self {
        Self { pending: Pending::new(WAITING) }
    }

    /// Reads the body `input.bytes`, or its beginning.
    pub fn message(&mut self, input: &Input<'_>, is_request: bool, out: &mut Out) {
        let mut cursor = Cursor::new(input.bytes);
        let (Ok(major), Ok(_minor), Ok(code), Ok(id)) =
            (cursor.u8(), cursor.u8(), cursor.u16_be(), cursor.u32_be())
        else {
            return;
        };
        if !(1..=2).contains(&major) {
            return;
        }
        out.layer(NAME, input.side);
        if is_request {
            let code_at = part_at(input.bytes, 2, 2);
            let mut asked = input.operation(NAME, input.side, operation(code), code_at);
            asked.code = Some(u32::from(code));
            for (_, name, value) in attributes(cursor.rest()) {
                match (name, value.as_array::<4>()) {
                    (b"printer-uri" | b"job-uri", _) => asked.object = printer(value),
                    (b"job-id", Some(number)) => {
                        let number = u32::from_be_bytes(*number);
                        asked.object = Object::Number { kind: "job", number };
                    }
                    _ => {}
                }
            }
            if let Some(evicted) = self.pending.insert((input.side, id), asked) {
                out.operation(evicted);
            }
            return;
        }
        for (group, name, value) in attributes(cursor.rest()) {
            let attribute = match (group, name) {
                (PRINTER, b"printer-make-and-model") => "model",
                (PRINTER, b"printer-name") => "name",
                (PRINTER, b"printer-location") => "location",
                (PRINTER, b"printer-info") => "description",
                (PRINTER, b"printer-firmware-string-version") => "firmware",
                (PRINTER, b"printer-device-id") => "printer_device_id",
                (PRINTER, b"printer-uuid") => "printer_uuid",
                (JOB, _) => break,
                _ => continue,
            };
            out.claim(input.own_text((NAME, "printer-attributes"), attribute, value));
        }
        if let Some(mut asked) = self.pending.take(&(input.side.other(), id)) {
            // Successful codes are below 0x0100.
            asked.outcome = if code < 0x0100 { Outcome::Ok } else { Outcome::Error };
            out.operation(asked);
        }
    }

    /// Reports what still waits.
    pub fn finish(&mut self, out: &mut Out) {
        for operation in self.pending.drain() {
            out.operation(operation);
        }
    }
}

impl Default for Ipp {
    fn default() -> Self {
        Self::new()
    }
}
