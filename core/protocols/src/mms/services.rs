//! The confirmed services of MMS and the objects they act on (ISO 9506-2 clauses 7 to 24).

use compact_str::{CompactString, format_compact};

use crate::ber::{self, Class, Element, Elements};
use crate::out::{Action, Decode, Object, Value};
use crate::text;

/// Service tags that are read further.
pub const STATUS: u32 = 0;
/// getNameList.
pub const GET_NAME_LIST: u32 = 1;
/// identify.
pub const IDENTIFY: u32 = 2;
/// read.
pub const READ: u32 = 4;
/// write.
pub const WRITE: u32 = 5;

/// Most names an object spells out; the others are counted.
const SPELLED: usize = 8;
/// Most variables of one request that are read.
pub const LISTED: usize = 64;
/// Longest name, bytes (identifiers have at most 32, IEC 61850 references at most 129).
const NAME: usize = 160;

/// Name and action of a confirmed service by its tag (ISO 9506-2 §7.2).
#[must_use]
pub const fn service(tag: u32) -> (&'static str, Action) {
    match tag {
        STATUS => ("status", Action::Diagnostics),
        GET_NAME_LIST => ("get-name-list", Action::Read),
        IDENTIFY => ("identify", Action::Identify),
        3 => ("rename", Action::Configuration),
        READ => ("read", Action::Read),
        WRITE => ("write", Action::Write),
        6 => ("get-variable-access-attributes", Action::Read),
        7 => ("define-named-variable", Action::Configuration),
        8 => ("define-scattered-access", Action::Configuration),
        9 => ("get-scattered-access-attributes", Action::Read),
        10 => ("delete-variable-access", Action::Configuration),
        11 => ("define-named-variable-list", Action::Configuration),
        12 => ("get-named-variable-list-attributes", Action::Read),
        13 => ("delete-named-variable-list", Action::Configuration),
        14 => ("define-named-type", Action::Configuration),
        15 => ("get-named-type-attributes", Action::Read),
        16 => ("delete-named-type", Action::Configuration),
        17 => ("input", Action::Read),
        18 => ("output", Action::Write),
        19 => ("take-control", Action::Control),
        20 => ("relinquish-control", Action::Control),
        21 => ("define-semaphore", Action::Configuration),
        22 => ("delete-semaphore", Action::Configuration),
        23 => ("report-semaphore-status", Action::Read),
        24 => ("report-pool-semaphore-status", Action::Read),
        25 => ("report-semaphore-entry-status", Action::Read),
        26 => ("initiate-download-sequence", Action::ProgramDownload),
        27 => ("download-segment", Action::ProgramDownload),
        28 => ("terminate-download-sequence", Action::ProgramDownload),
        29 => ("initiate-upload-sequence", Action::ProgramUpload),
        30 => ("upload-segment", Action::ProgramUpload),
        31 => ("terminate-upload-sequence", Action::ProgramUpload),
        32 => ("request-domain-download", Action::ProgramDownload),
        33 => ("request-domain-upload", Action::ProgramUpload),
        34 => ("load-domain-content", Action::ProgramDownload),
        35 => ("store-domain-content", Action::ProgramUpload),
        36 => ("delete-domain", Action::ProgramDownload),
        37 => ("get-domain-attributes", Action::Read),
        38 => ("create-program-invocation", Action::ProgramDownload),
        39 => ("delete-program-invocation", Action::ProgramDownload),
        40 => ("start", Action::Start),
        41 => ("stop", Action::Stop),
        42 => ("resume", Action::Start),
        43 => ("reset", Action::Reset),
        44 => ("kill", Action::Stop),
        45 => ("get-program-invocation-attributes", Action::Read),
        46 => ("obtain-file", Action::File),
        47 => ("define-event-condition", Action::Configuration),
        48 => ("delete-event-condition", Action::Configuration),
        49 => ("get-event-condition-attributes", Action::Read),
        50 => ("report-event-condition-status", Action::Read),
        51 => ("alter-event-condition-monitoring", Action::Configuration),
        52 => ("trigger-event", Action::Control),
        53 => ("define-event-action", Action::Configuration),
        54 => ("delete-event-action", Action::Configuration),
        55 => ("get-event-action-attributes", Action::Read),
        56 => ("report-event-action-status", Action::Read),
        57 => ("define-event-enrollment", Action::Subscribe),
        58 => ("delete-event-enrollment", Action::Subscribe),
        59 => ("alter-event-enrollment", Action::Subscribe),
        60 => ("report-event-enrollment-status", Action::Read),
        61 => ("get-event-enrollment-attributes", Action::Read),
        62 => ("acknowledge-event-notification", Action::Control),
        63 => ("get-alarm-summary", Action::Diagnostics),
        64 => ("get-alarm-enrollment-summary", Action::Diagnostics),
        65 => ("read-journal", Action::Read),
        66 => ("write-journal", Action::Write),
        67 => ("initialize-journal", Action::Configuration),
        68 => ("report-journal-status", Action::Read),
        69 => ("create-journal", Action::Configuration),
        70 => ("delete-journal", Action::Configuration),
        71 => ("get-capability-list", Action::Identify),
        72 => ("file-open", Action::File),
        73 => ("file-read", Action::File),
        74 => ("file-close", Action::File),
        75 => ("file-rename", Action::File),
        76 => ("file-delete", Action::File),
        77 => ("file-directory", Action::File),
        78 => ("additional-service", Action::Diagnostics),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// Text of an identifier as it stands in the message.
fn identifier(bytes: &[u8]) -> CompactString {
    text::utf8(bytes.get(..NAME).unwrap_or(bytes))
}

/// An ObjectName (§7.5.1): `domain/item`, or the item alone.
#[must_use]
pub fn object_name(name: Element<'_>) -> Option<CompactString> {
    match (name.class, name.number) {
        // domain-specific
        (Class::Context, 1) => {
            let mut parts = name.parts();
            let (domain, item) = (parts.next()?, parts.next()?);
            Some(format_compact!("{}/{}", identifier(domain.content), identifier(item.content)))
        }
        // vmd-specific, aa-specific
        (Class::Context, 0 | 2) if !name.constructed => Some(identifier(name.content)),
        _ => None,
    }
}

/// A VariableAccessSpecification (§14.5.1): the names of its variables, or of its list.
#[must_use]
pub fn variables(specification: Element<'_>) -> Vec<CompactString> {
    match specification.number {
        // listOfVariable: each a variableSpecification, its name [0]
        0 => specification
            .parts()
            .take(LISTED)
            .map(|variable| {
                let named = variable
                    .parts()
                    .next()
                    .filter(|choice| choice.is(0))
                    .and_then(|choice| choice.parts().next())
                    .and_then(object_name);
                named.unwrap_or_else(|| "address".into())
            })
            .collect(),
        // variableListName
        1 => specification.parts().next().and_then(object_name).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The variables of a read request.
#[must_use]
pub fn reads(service: Element<'_>) -> Vec<CompactString> {
    let specification = service.part(1).and_then(|part| part.parts().next());
    specification.map(variables).unwrap_or_default()
}

/// The variables of a write request, and the data for them.
#[must_use]
pub fn writes(service: Element<'_>) -> (Vec<CompactString>, Elements<'_>) {
    let mut parts = service.parts();
    let names = parts.next().map(variables).unwrap_or_default();
    let data = parts.find(|part| part.is(0)).map_or(Elements(&[]), |list| list.parts());
    (names, data)
}

/// The action of a write of these variables. IEC 61850-8-1 §7.3 puts the functional constraint into
/// the name: CO is control, CF configuration, SG and SE are setting groups.
#[must_use]
pub fn write_action(names: &[CompactString]) -> Action {
    if names.iter().any(|name| name.contains("$CO$")) {
        Action::Control
    } else if names.iter().any(|name| name.contains("$CF$")) {
        Action::Configuration
    } else {
        Action::Write
    }
}

/// What a service other than read and write acts on: the first name in it.
#[must_use]
pub fn acts_on(tag: u32, service: Element<'_>) -> Object {
    let name = match tag {
        GET_NAME_LIST => service
            .part(1)
            .and_then(|scope| scope.part(1))
            .map(|domain| format_compact!("domain {}", identifier(domain.content))),
        6 | 10 | 15 => service
            .part(0)
            .and_then(|name| name.parts().next())
            .and_then(object_name)
            .or_else(|| object_name(service)),
        9 | 11 | 12 | 14 => service.parts().next().and_then(object_name),
        13 => service.part(1).and_then(|list| list.parts().next()).and_then(object_name),
        46 | 72 | 75 | 76 | 77 => file(tag, service),
        73 | 74 => None,
        _ => first_identifier(service),
    };
    name.map_or(Object::None, Object::Text)
}

/// The file of a file service (ISO 9506-2 annex D): FileName is a list of texts.
fn file(tag: u32, service: Element<'_>) -> Option<CompactString> {
    let name = match tag {
        76 => Some(service),
        46 => service.part(1),
        _ => service.part(0),
    }?;
    let part = name.parts().next()?;
    let part = if part.constructed { part.parts().next()? } else { part };
    Some(format_compact!("file {}", identifier(part.content)))
}

/// The identifier that a service is, or that stands first in it.
fn first_identifier(service: Element<'_>) -> Option<CompactString> {
    let content = if service.constructed {
        let first = service.parts().next()?;
        if first.constructed { first.parts().next()?.content } else { first.content }
    } else {
        service.content
    };
    text::is_printable(content).then(|| identifier(content))
}

/// The names as one object: one name, or a list that counts what it does not spell out.
#[must_use]
pub fn object(names: &[CompactString]) -> Object {
    let mut text = CompactString::default();
    for name in names.iter().take(SPELLED) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name);
    }
    if names.len() > SPELLED {
        text.push_str(&format_compact!(", +{}", names.len() - SPELLED));
    }
    if text.is_empty() { Object::None } else { Object::Text(text) }
}

/// The value of a Data element (§14.4.2), and how its content gives it; none for what is nested.
#[must_use]
pub fn value(data: Element<'_>) -> Option<(Value, Decode)> {
    if data.class != Class::Context || data.constructed {
        return None;
    }
    let content = data.content;
    Some(match data.number {
        3 => (Value::Integer(i64::from(*content.first()? != 0)), Decode::Derived),
        5 | 6 => {
            let number = ber::integer(content)?;
            let plain = number >= 0 && matches!(content.len(), 1..=4 | 8);
            (Value::Integer(number), if plain { Decode::UnsignedBe } else { Decode::Derived })
        }
        // width of the exponent, then IEEE 754
        7 => match *content {
            [8, a, b, c, d] => {
                (Value::Real(f64::from(f32::from_be_bytes([a, b, c, d]))), Decode::Derived)
            }
            [11, a, b, c, d, e, f, g, h] => {
                (Value::Real(f64::from_be_bytes([a, b, c, d, e, f, g, h])), Decode::Derived)
            }
            _ => return None,
        },
        10 | 16 => (Value::Text(text::utf8(content)), Decode::Utf8),
        _ if content.len() <= 256 => (Value::Bytes(content.to_vec()), Decode::Hex),
        _ => return None,
    })
}

/// The attribute that an IEC 61850 name plate item is (IEC 61850-7-3 §7.8: DPL and LPL).
#[must_use]
pub fn name_plate(name: &str) -> Option<&'static str> {
    let (path, item) = name.rsplit_once('$')?;
    let physical = path.ends_with("$DC$PhyNam");
    if !physical && !path.ends_with("LLN0$DC$NamPlt") {
        return None;
    }
    Some(match item {
        "vendor" => "vendor",
        "swRev" if physical => "firmware",
        "hwRev" => "hardware",
        "serNum" => "serial",
        "model" => "model",
        "location" => "location",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_name_plates_are_known_by_their_names() {
        assert_eq!(Action::Control, write_action(&["LD0/CSWI1$CO$Pos$Oper".into()]));
        assert_eq!(Action::Write, write_action(&["LD0/LLN0$SP$Mod".into()]));
        assert_eq!(Some("serial"), name_plate("LD0/LPHD1$DC$PhyNam$serNum"));
        assert_eq!(None, name_plate("LD0/MMXU1$DC$NamPlt$swRev"));
    }

    #[test]
    fn data_is_read_by_its_type() {
        let data = |bytes: &[u8]| value(ber::element(bytes)?.0).map(|(value, _)| value);
        assert_eq!(Some(Value::Integer(1)), data(&[0x83, 1, 0xff]));
        assert_eq!(Some(Value::Integer(-2)), data(&[0x85, 1, 0xfe]));
        assert_eq!(Some(Value::Real(1.5)), data(&[0x87, 5, 8, 0x3f, 0xc0, 0, 0]));
        assert_eq!(Some(Value::Text("on".into())), data(&[0x8a, 2, b'o', b'n']));
        assert_eq!(None, data(&[0xa2, 3, 0x83, 1, 1]));
    }
}
