//! What stands between ISO transport and MMS: session, presentation, association control.
//!
//! Sources: ISO/IEC 8327-1 §8.2, §8.3 (SPDUs: type, length, parameters), ISO/IEC 8823-1 §8
//! (presentation PDUs, user data), ISO/IEC 8650-1 §9 (ACSE APDUs), as IEC 61850-8-1 annex A and
//! ISO 9506-2 use them.

use otic_wire::Cursor;

use crate::ber::{self, Class, Element, Elements};

/// Session PDU types (ISO/IEC 8327-1 §8.3).
const DATA: u8 = 1;
const FINISH: u8 = 9;
const DISCONNECT: u8 = 10;
const REFUSE: u8 = 12;
const CONNECT: u8 = 13;
const ACCEPT: u8 = 14;
const ABORT: u8 = 25;

/// Parameters that hold user data.
const USER_DATA: u8 = 0xc1;
const EXTENDED_USER_DATA: u8 = 0xc2;

/// The abstract syntax of MMS, 1.0.9506.2.1, as an element.
const MMS_SYNTAX: [u8; 7] = [0x06, 0x05, 0x28, 0xca, 0x22, 0x02, 0x01];

/// What a transport message carries in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried<'a> {
    /// An MMS PDU.
    Mms(Element<'a>),
    /// Association control or session alone; the password of an association where it is text.
    Association(Option<&'a [u8]>),
    /// Something else.
    Other,
}

/// Whether `bytes` name MMS as an abstract syntax.
#[must_use]
pub fn names_mms(bytes: &[u8]) -> bool {
    bytes.windows(MMS_SYNTAX.len()).any(|window| window == MMS_SYNTAX)
}

/// What the user data of a transport message is.
#[must_use]
pub fn carried(message: &[u8]) -> Carried<'_> {
    if let Some(pdu) = bare(message) {
        return Carried::Mms(pdu);
    }
    let Some((kind, presentation)) = session(message) else { return Carried::Other };
    let Some(presentation) = presentation else { return Carried::Association(None) };
    let Some(value) = user_data(presentation) else {
        return if kind == DATA { Carried::Other } else { Carried::Association(None) };
    };
    if let Some(pdu) = mms(value) {
        return Carried::Mms(pdu);
    }
    if value.class != Class::Application || value.number > 4 {
        return Carried::Other;
    }
    // user-information [30] of an APDU: EXTERNAL with the MMS PDU
    let external = value.part(30).and_then(|part| part.parts().next());
    let pdu = external
        .and_then(|external| external.parts().find(|part| part.is(0) || part.is(1)))
        .and_then(|part| part.parts().next())
        .and_then(mms);
    match pdu {
        Some(pdu) => Carried::Mms(pdu),
        None => Carried::Association(None),
    }
}

/// The MMS PDU that is the whole message: stacks without session and presentation send it so.
#[must_use]
pub fn bare(message: &[u8]) -> Option<Element<'_>> {
    let (element, rest) = ber::element(message)?;
    if rest.is_empty() { mms(element) } else { None }
}

/// The password of an association request (calling-authentication-value [12], charstring [0]).
#[must_use]
pub fn password(message: &[u8]) -> Option<&[u8]> {
    let (_, presentation) = session(message)?;
    let request = user_data(presentation?)?;
    if request.class != Class::Application || request.number != 0 {
        return None;
    }
    request.part(12)?.part(0).map(|value| value.content).filter(|value| !value.is_empty())
}

/// An element that can be an MMS PDU (ISO 9506-2 clause 7: context tags 0 to 13).
fn mms(element: Element<'_>) -> Option<Element<'_>> {
    (element.class == Class::Context && element.number <= 13).then_some(element)
}

/// The type of a session PDU and its user data.
fn session(message: &[u8]) -> Option<(u8, Option<&[u8]>)> {
    let mut cursor = Cursor::new(message);
    let kind = cursor.u8().ok()?;
    let length = length(&mut cursor)?;
    let mut parameters = cursor.sub(length).ok()?;
    match kind {
        // GIVE TOKENS has the same type and comes before each DATA TRANSFER (§7.37, §8.3.11).
        DATA => {
            if cursor.peek() == Some(DATA) {
                cursor.skip(1).ok()?;
                let length = self::length(&mut cursor)?;
                cursor.skip(length).ok()?;
            }
            Some((DATA, Some(cursor.rest())))
        }
        FINISH | DISCONNECT | REFUSE | CONNECT | ACCEPT | ABORT => {
            while let Ok(code) = parameters.u8() {
                let length = self::length(&mut parameters)?;
                let value = parameters.take(length).ok()?;
                if matches!(code, USER_DATA | EXTENDED_USER_DATA) {
                    return Some((kind, Some(value)));
                }
            }
            Some((kind, None))
        }
        _ => None,
    }
}

/// A length indicator: one byte, or 255 and two.
fn length(cursor: &mut Cursor<'_>) -> Option<usize> {
    match cursor.u8().ok()? {
        0xff => cursor.u16_be().ok().map(usize::from),
        short => Some(usize::from(short)),
    }
}

/// The first presentation data value in a presentation PDU.
fn user_data(presentation: &[u8]) -> Option<Element<'_>> {
    let (outer, _) = ber::element(presentation)?;
    let data = match (outer.class, outer.number) {
        // fully-encoded-data
        (Class::Application, 1) => outer,
        // CP and CPA: SET with normal-mode-parameters [2]; RELEASE and others have the data inside
        _ => find_data(outer, 0)?,
    };
    let list = data.parts().find(|part| part.is_universal(16))?;
    // single-ASN1-type [0], octet-aligned [1], arbitrary [2]
    let value = list.parts().find(|part| part.class == Class::Context && part.number <= 2)?;
    ber::element(value.content).map(|(element, _)| element)
}

/// The fully-encoded-data in a presentation PDU, at most three levels down.
fn find_data(outer: Element<'_>, depth: u8) -> Option<Element<'_>> {
    if depth > 3 || !outer.constructed {
        return None;
    }
    Elements(outer.content).find_map(|part| {
        if part.class == Class::Application && part.number == 1 {
            Some(part)
        } else {
            find_data(part, depth + 1)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pdu_is_found_under_session_and_presentation() {
        let message = [
            1, 0, 1, 0, // give tokens, data transfer
            0x61, 0x0d, 0x30, 0x0b, 0x02, 0x01, 0x03, // presentation, context 3
            0xa0, 0x06, 0xa0, 0x04, 0x02, 0x02, 0x01, 0x02, // confirmed request
        ];
        let Carried::Mms(pdu) = carried(&message) else { panic!("an MMS PDU") };
        assert_eq!([0x02, 0x02, 0x01, 0x02], *pdu.content);
        assert_eq!(Carried::Mms(pdu), carried(&message[13..]), "without the layers below");
        assert_eq!(Carried::Other, carried(&[0x32, 1, 0, 0]));
        assert_eq!(Carried::Association(None), carried(&[25, 0]));
    }
}
