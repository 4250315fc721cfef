//! Definitions that exist nowhere else, one for each way a message can be built.

use super::*;
use crate::out::{Item, Outcome, Value};
use crate::registry::{Probe, Protocol};
use crate::session::Side;
use crate::testing;

/// Counted messages over TCP: magic, length, transaction, unit, function, data.
const BINARY: &str = r#"
name = "bin"
title = "Binary"
source = "this test"
client = "asker"
server = "answerer"
carriers = { tcp = [62000], udp = [62000] }
pair = ["transaction"]
server-child = { kind = "unit", field = "unit" }
fields = [
  { type = "bytes", is = "4f 54" },
  { name = "length", type = "u16", counts = "rest" },
  { name = "transaction", type = "u8" },
  { name = "unit", type = "u8" },
  { name = "function", type = "u8" },
  { name = "code", type = "bits", of = "function", mask = 0x3f },
  { name = "is-answer", type = "bits", of = "function", mask = 0x80 },
  { name = "refused", type = "bits", of = "function", mask = 0x40 },
]

[[messages]]
name = "write"
kind = "request"
when = { function = 3 }
fields = [
  { name = "first", type = "u16" },
  { name = "value", type = "u16", order = "little" },
]
operation = { code = "code", table = "functions", object = { space = "register", first = "first" } }
change = { new = "value" }

[[messages]]
name = "request"
kind = "request"
when = { is-answer = 0, code = [1, 2, 5] }
operation = { code = "code", table = "functions" }

[[messages]]
name = "identity"
kind = "response"
when = { function = 0x81 }
fields = [
  { name = "options", type = "typed", type-size = 1, length-size = 1, pad = 0, stop = 255, entries = { 1 = "model", 2 = { name = "serial", type = "u32", show = "hex" }, 3 = { name = "firmware", type = "dotted" } } },
]
claims = { model = "model", serial = "serial", firmware = "firmware" }
operation = { code = "code", table = "functions" }

[[messages]]
name = "response"
kind = "response"
when = { is-answer = 1 }
refused = { refused = 1 }
operation = { code = "code", table = "functions" }

[tables.functions]
1 = { name = "identify", action = "identify" }
2 = { name = "read", action = "read" }
0x03 = { name = "write", action = "write" }
"#;

/// Lines over TCP.
const LINES: &str = r#"
name = "lines"
title = "Lines"
source = "this test"
client = "reader"
server = "box"
carriers = { tcp = [62001] }
stream = { ends = "\r\n" }
fields = [
  { name = "verb", type = "text", until = " " },
  { name = "rest", type = "text" },
]

[[messages]]
name = "greeting"
kind = "response"
when = { verb = ["+OK", "-ERR"] }
refused = { verb = "-ERR" }
claims = { banner = { field = "rest", confidence = "medium" } }

[[messages]]
name = "user"
kind = "request"
when = { verb = "USER" }
operation = { code = "verb", table = "verbs", object = { text = ["rest"] } }
event = { kind = "login", values = { user = "rest" } }

[[messages]]
name = "command"
kind = "request"
when = { verb = ["LIST", "QUIT"] }
operation = { code = "verb", table = "verbs" }

[tables.verbs]
USER = { name = "user", action = "authenticate" }
LIST = { name = "list", action = "read" }
"#;

/// A text of pairs and one of columns, in datagrams.
const TEXT: &str = r#"
name = "text"
title = "Text"
source = "this test"
client = "scanner"
server = "module"
carriers = { udp = [62002] }

[[messages]]
name = "answer"
from = "server"
fields = [
  { type = "text", is = "PAIRS:" },
  { type = "pairs", separator = ";", equals = "=", entries = { "Module" = "model", "S/N" = "serial" } },
]
claims = { model = "model", serial = "serial" }

[[messages]]
name = "row"
from = "server"
fields = [
  { type = "text", is = "ROW|" },
  { type = "columns", separator = "|", entries = { 2 = "firmware" } },
]
claims = { firmware = "firmware" }
payload = { kind = "text-row", field = "firmware" }
"#;

fn defined(text: &str) -> &'static Protocol {
    Box::leak(Box::new(protocol("test.toml", text).unwrap()))
}

fn refusal(text: &str) -> String {
    protocol("test.toml", text).unwrap_err().to_string()
}

const BINARY_TALK: &[(Side, &[u8])] = &[
    // magic, length 3, transaction 7, unit 4, identify
    (Side::A, &[b'O', b'T', 0, 3, 7, 4, 1]),
    // model "M-3", padding, serial 0x0a0b0c0d, firmware 1.2, the end, what is not read
    (
        Side::B,
        &[
            b'O', b'T', 0, 21, 7, 4, 0x81, 1, 3, b'M', b'-', b'3', 0, 2, 4, 10, 11, 12, 13, 3, 2,
            1, 2, 255, 9,
        ],
    ),
    // transaction 8, unit 4, write register 100: 0x0102
    (Side::A, &[b'O', b'T', 0, 7, 8, 4, 3, 0, 100, 2, 1]),
    // refused
    (Side::B, &[b'O', b'T', 0, 3, 8, 4, 0xc3]),
    // unknown function 5, never answered
    (Side::A, &[b'O', b'T', 0, 3, 9, 4, 5]),
];

#[test]
fn counted_messages_are_paired_by_their_fields() {
    let items = testing::items(defined(BINARY), BINARY_TALK);
    assert_eq!(
        vec![
            ("identify", Some(1), String::new(), Outcome::Ok),
            ("write", Some(3), "register 100".to_owned(), Outcome::Error),
            ("unknown", Some(5), String::new(), Outcome::Unseen),
        ],
        testing::coded_operations(&items)
    );
    assert_eq!(
        vec![
            ("firmware", "1.2".to_owned()),
            ("model", "M-3".to_owned()),
            ("serial", "0x0a0b0c0d".to_owned())
        ],
        testing::claims(&items)
    );
    assert!(items.iter().any(|item| matches!(item, Item::Change(change)
        if change.new == Value::Integer(0x0102) && change.object.to_text() == "register 100")));
    assert!(items.iter().any(|item| matches!(item, Item::Operation(operation)
        if operation.server_child.to_text() == "unit 4")));
}

#[test]
fn a_claim_cites_the_bytes_it_was_read_from() {
    let items = testing::items(defined(BINARY), BINARY_TALK);
    assert!(items.iter().any(|item| matches!(item, Item::Claim(claim)
        if claim.attribute == "model" && claim.evidence.spans[0].length == 3)));
}

#[test]
fn a_response_whose_request_was_not_seen_is_told_apart() {
    let items = testing::items(defined(BINARY), &BINARY_TALK[3..4]);
    assert!(items.iter().any(|item| matches!(item, Item::Unpaired(operation)
        if operation.name == "write" && operation.outcome == Outcome::Error
            && operation.sender == Side::A)));
}

#[test]
fn a_known_message_too_short_for_its_fields_breaks_the_protocol() {
    let short = [(Side::A, [b'O', b'T', 0, 4, 8, 4, 3, 0].as_slice())];
    let items = testing::items(defined(BINARY), &short);
    assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
        if violation.rule == "bin-length")));
}

#[test]
fn the_probe_goes_by_what_the_fields_settle() {
    let binary = defined(BINARY);
    assert_eq!(Probe::Likely, testing::probe(binary, BINARY_TALK[0]));
    assert_eq!(Probe::More, testing::probe(binary, (Side::A, b"OT\0")));
    assert_eq!(Probe::No, testing::probe(binary, (Side::A, b"GET / HTTP/1.1\r\n\r\n")));
    let lines = defined(LINES);
    assert_eq!(Probe::Weak, testing::probe(lines, (Side::B, b"+OK ready\r\n")));
    assert_eq!(Probe::No, testing::probe(lines, (Side::B, b"HELO there\r\n")));
}

const LINES_TALK: &[(Side, &[u8])] = &[
    (Side::B, b"+OK box 1.0 ready\r\n"),
    (Side::A, b"user anna\r\n"),
    (Side::B, b"-ERR no such user\r\n"),
    (Side::A, b"LIST\r\n"),
    (Side::B, b"+OK\r\n"),
];

#[test]
fn lines_are_paired_in_their_order() {
    let items = testing::items(defined(LINES), LINES_TALK);
    assert_eq!(
        vec![("user", "anna".to_owned(), Outcome::Error), ("list", String::new(), Outcome::Ok),],
        testing::operations(&items)
    );
    assert_eq!(("banner", "box 1.0 ready".to_owned()), testing::claims(&items)[0]);
    assert_eq!("login", testing::events(&items)[0].kind);
}

const TEXT_TALK: &[(Side, &[u8])] =
    &[(Side::B, b"PAIRS:module = NETX 50 ; s/n=77; ; x"), (Side::B, b"ROW|a|2.1|c")];

#[test]
fn pairs_and_columns_are_found_by_name_and_place() {
    let items = testing::items(defined(TEXT), TEXT_TALK);
    assert_eq!(
        vec![
            ("model", "NETX 50".to_owned()),
            ("serial", "77".to_owned()),
            ("firmware", "2.1".to_owned())
        ],
        testing::claims(&items)
    );
    assert!(items.iter().any(|item| matches!(item, Item::Payload(payload)
        if payload.kind == "text-row" && payload.bytes == b"2.1")));
}

#[test]
fn what_is_longer_than_the_head_is_passed_over() {
    let mut long = vec![b'O', b'T', 0xff, 0xf0, 1, 4, 2];
    long.resize(4 + 0xfff0, 0xaa);
    let talk: &[(Side, &[u8])] = &[(Side::A, &long), BINARY_TALK[0]];
    let names = testing::operations(&testing::items(defined(BINARY), talk));
    assert_eq!(vec!["read", "identify"], names.iter().map(|row| row.0).collect::<Vec<_>>());
}

#[test]
fn survives_hostile_bytes() {
    testing::survives(defined(BINARY), BINARY_TALK);
    testing::survives(defined(LINES), LINES_TALK);
    testing::survives(defined(TEXT), TEXT_TALK);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (wrong, right, said) in [
        ("is = \"4f 54\"", "isnt = \"4f 54\"", "line 11: unknown field `isnt`"),
        (
            "type = \"u16\", counts",
            "type = \"u17\", counts",
            "fields.length: there is no type `u17`",
        ),
        ("of = \"function\", mask = 0x3f", "of = \"length\", mask = 0", "fields.code: `mask` is 0"),
        ("pair = [\"transaction\"]", "pair = [\"x\"]", "pair: there is no field `x` so far"),
        ("function = 3 }", "function = \"x\" }", "messages.write.when.function: is a number"),
        (
            "action = \"write\"",
            "action = \"wrote\"",
            "tables.functions.0x03: `wrote` is no action: read, write,",
        ),
        ("0x03 = {", "0x02 = {", "tables.functions: has 2 twice"),
        (", counts = \"rest\"", "", "stream: over TCP either a field"),
        ("is = \"4f 54\"", "size = 2", "at least 8 are needed to know it from others"),
        ("kind = \"request\"\nwhen = { function = 3 }", "kind = \"x\"", "unknown variant `x`"),
        ("table = \"functions\", object", "table = \"f\", object", "there is no table `f`"),
    ] {
        assert!(BINARY.contains(wrong), "{wrong}");
        let message = refusal(&BINARY.replacen(wrong, right, 1));
        assert!(message.starts_with("test.toml: "), "{message}");
        assert!(message.contains(said), "{said}: {message}");
    }
}

#[test]
fn the_definitions_that_come_with_otic_compile() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../src/otic/protocols");
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&file).unwrap();
            names.push(protocol(&file.display().to_string(), &text).map(|row| row.name));
        }
    }
    let wrong: Vec<_> = names.iter().filter_map(|name| name.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(names.len() >= 20);
}
