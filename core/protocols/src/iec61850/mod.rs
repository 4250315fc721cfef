//! The frames that IEC 61850 publishes on Ethernet: GOOSE and Sampled Values share their header.
//!
//! Source: IEC 61850-8-1 annex C.2 and IEC 61850-9-2 §5.3.3 (APPID, length, two reserved words).
//!
//! | module | subject |
//! |---|---|
//! | [`goose`] | events of substations: GOOSE |
//! | [`sampled_values`] | measured values, sample by sample |

pub mod goose;
pub mod sampled_values;

use compact_str::{CompactString, format_compact};
use otic_wire::Cursor;

use crate::ber::{self, Class, Element};
use crate::out::{Action, Item, Object, Operation, Out, Outcome, Violation};
use crate::session::Input;
use crate::text;

/// Longest reference or id that is told, bytes (IEC 61850-7-2: 129 characters).
const NAME: usize = 160;
/// Publishers' streams remembered of one flow.
const STREAMS: usize = 64;

/// A frame's header, and the PDU after it.
#[derive(Debug, Clone, Copy)]
struct Frame<'a> {
    app_id: u16,
    pdu: Element<'a>,
    /// A length is larger than the frame: what is there was read.
    cut: bool,
}

/// Reads the header and the PDU with this application tag; none for anything else.
fn frame(bytes: &[u8], tag: u32) -> Option<Frame<'_>> {
    let mut cursor = Cursor::new(bytes);
    let (app_id, length) = (cursor.u16_be().ok()?, usize::from(cursor.u16_be().ok()?));
    // reserved: simulation bit and more
    cursor.skip(4).ok()?;
    let rest = cursor.rest();
    // The length counts the header; what follows is padding.
    let inside = length.checked_sub(8)?;
    let data = rest.get(..inside).unwrap_or(rest);
    let (pdu, cut) = match ber::element(data) {
        Some((pdu, _)) => (pdu, inside > rest.len()),
        None => (ber::cut_element(data)?, true),
    };
    let fits = pdu.class == Class::Application && pdu.number == tag && pdu.constructed;
    fits.then_some(Frame { app_id, pdu, cut })
}

/// A reference or id as text.
fn name(bytes: &[u8]) -> CompactString {
    text::utf8(text::trim(bytes.get(..NAME).unwrap_or(bytes)))
}

/// The number of a field as text; empty where it is missing.
fn number(field: Option<Element<'_>>) -> CompactString {
    field
        .and_then(|field| ber::unsigned(field.content))
        .map(|number| format_compact!("{number}"))
        .unwrap_or_default()
}

/// Remembers these bytes in `known`; says whether they are others than before. Streams are told by
/// the thousand a second with the same settings, which are put into words only once.
fn changed(known: &mut Vec<u8>, parts: &[&[u8]]) -> bool {
    let mut rest = known.as_slice();
    let same = parts.iter().all(|part| {
        let length = (part.len() as u32).to_be_bytes();
        let after = rest.strip_prefix(&length).and_then(|rest| rest.strip_prefix(*part));
        rest = after.unwrap_or_default();
        after.is_some()
    });
    if same && rest.is_empty() {
        return false;
    }
    known.clear();
    for part in parts {
        known.extend((part.len() as u32).to_be_bytes());
        known.extend_from_slice(part);
    }
    true
}

/// The content of a field; nothing where it is missing.
fn content<'a>(field: Option<Element<'a>>) -> &'a [u8] {
    field.map(|field| field.content).unwrap_or_default()
}

/// One published message.
fn publish(
    input: &Input<'_>,
    protocol: &'static str,
    name: &'static str,
    object: CompactString,
    evidence: &[u8],
    out: &mut Out,
) {
    out.operation(Operation {
        object: if object.is_empty() { Object::None } else { Object::Text(object) },
        outcome: Outcome::None,
        ..input.operation(protocol, input.side, (name, Action::Subscribe), evidence)
    });
}

fn violation(input: &Input<'_>, protocol: &'static str, rule: &'static str, out: &mut Out) {
    out.push(Item::Violation(Violation {
        rule,
        protocol,
        sender: input.side,
        values: Vec::new(),
        evidence: input.locate(input.bytes.get(..8).unwrap_or(input.bytes)),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_bytes_are_a_change() {
        let mut known = Vec::new();
        assert!(changed(&mut known, &[b"ab", b""]));
        assert!(!changed(&mut known, &[b"ab", b""]));
        assert!(changed(&mut known, &[b"a", b"b"]));
        assert!(changed(&mut known, &[b"a"]));
        assert!(!changed(&mut known, &[b"a"]));
    }
}
