//! Raw printing (JetDirect) with HP's Printer Job Language, over TCP.
//!
//! Sources: HP Printer Job Language Technical Reference Manual (UEL, kernel commands, INFO, USTATUS,
//! file system commands and their answers).
//!
//! A command is one operation; its object is the variable or the file that it names, never a value.
//! Print data between the commands is skipped.
//!
//! Not decoded: print data and its languages, answers other than INFO ID; a flow that starts without
//! PJL is not recognised. No sample capture holds PJL: tested with messages built on the manual.

use crate::fields::part_at;
use crate::out::{Action, Item, Object, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// PJL.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "PJL (JetDirect)",
    roles: ("print client", "printer"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Pjl::new()) },
    source: "HP Printer Job Language Technical Reference Manual",
};

const NAME: &str = "pjl";
const PORT: u16 = 9100;

/// Universal Exit Language: ends whatever was printed.
const UEL: &[u8] = b"\x1b%-12345X";
const PREFIX: &[u8] = b"@PJL";

const LINE_CAP: usize = 2048;
/// Longest name that an object spells out.
const SPELLED: usize = 128;

/// Commands, their names and actions.
const COMMANDS: &[(&[u8], &str, Action)] = &[
    (b"COMMENT", "comment", Action::Session),
    (b"ENTER", "enter", Action::Session),
    (b"JOB", "job", Action::Write),
    (b"EOJ", "eoj", Action::Session),
    (b"DEFAULT", "default", Action::Configuration),
    (b"INITIALIZE", "initialize", Action::Reset),
    (b"RESET", "reset", Action::Session),
    (b"SET", "set", Action::Write),
    (b"INQUIRE", "inquire", Action::Read),
    (b"DINQUIRE", "dinquire", Action::Read),
    (b"ECHO", "echo", Action::Session),
    (b"INFO", "info", Action::Identify),
    (b"USTATUS", "ustatus", Action::Subscribe),
    (b"USTATUSOFF", "ustatusoff", Action::Subscribe),
    (b"RDYMSG", "rdymsg", Action::Write),
    (b"OPMSG", "opmsg", Action::Stop),
    (b"STMSG", "stmsg", Action::Stop),
    (b"FSAPPEND", "fsappend", Action::File),
    (b"FSDELETE", "fsdelete", Action::File),
    (b"FSDIRLIST", "fsdirlist", Action::File),
    (b"FSDOWNLOAD", "fsdownload", Action::File),
    (b"FSINIT", "fsinit", Action::File),
    (b"FSMKDIR", "fsmkdir", Action::File),
    (b"FSQUERY", "fsquery", Action::File),
    (b"FSUPLOAD", "fsupload", Action::File),
    (b"DMINFO", "dminfo", Action::Read),
    (b"DMCMD", "dmcmd", Action::Control),
];

fn probe(input: &Input<'_>) -> Probe {
    let bytes = input.bytes;
    let known = bytes.len().min(UEL.len());
    if bytes.get(..known) == UEL.get(..known) {
        return if known < UEL.len() { Probe::More } else { Probe::Certain };
    }
    let known = bytes.len().min(PREFIX.len() + 1);
    if bytes.get(..known) == b"@PJL ".get(..known) {
        return if known < 5 { Probe::More } else { Probe::Certain };
    }
    Probe::No
}

/// Verb and argument of a command line; none for another line.
fn command(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = text::trim(line.get(..4)?);
    if !rest.eq_ignore_ascii_case(PREFIX) {
        return None;
    }
    let rest = text::trim(line.get(4..)?);
    let end = memchr::memchr2(b' ', b'\t', rest).unwrap_or(rest.len());
    let (verb, argument) = rest.split_at_checked(end)?;
    Some((verb, text::trim(argument)))
}

/// What a command acts on: the name of a file, the variable in front of its value.
fn object(name: &str, argument: &[u8]) -> Object {
    let named = memchr::memmem::find(argument, b"NAME").and_then(|at| {
        let rest = text::trim(argument.get(at + 4..)?).strip_prefix(b"=")?;
        let rest = text::trim(rest).strip_prefix(b"\"")?;
        rest.get(..memchr::memchr(b'"', rest)?)
    });
    let spelled = match (name, named) {
        // Messages and comments may say anything.
        ("comment" | "echo" | "rdymsg" | "opmsg" | "stmsg" | "dmcmd", _) => return Object::None,
        (_, Some(named)) => named,
        _ => part_at(argument, 0, memchr::memchr(b'=', argument).unwrap_or(argument.len())),
    };
    let spelled = text::trim(part_at(spelled, 0, SPELLED));
    if spelled.is_empty() { Object::None } else { Object::Text(text::utf8(spelled)) }
}

/// A flow that carries PJL.
struct Pjl {
    client: Option<Side>,
    /// Print data flows until the next UEL.
    printing: bool,
    /// The next line of the printer is its name.
    names_itself: bool,
}

impl Pjl {
    const fn new() -> Self {
        Self { client: None, printing: false, names_itself: false }
    }

    fn line(&mut self, input: &Input<'_>, line: &[u8], out: &mut Out) {
        let Some((verb, argument)) = command(line) else { return };
        let row = COMMANDS.iter().find(|(known, ..)| verb.eq_ignore_ascii_case(known));
        let words = row.map_or(("unknown", Action::Session), |row| (row.1, row.2));
        if verb.is_empty() {
            return;
        }
        let mut operation = input.operation(NAME, input.side, words, verb);
        operation.object = object(words.0, argument);
        operation.outcome = Outcome::None;
        out.operation(operation);
        self.printing |= words.0 == "enter";
    }

    fn answer(&mut self, input: &Input<'_>, line: &[u8], out: &mut Out) {
        if std::mem::take(&mut self.names_itself) {
            let name = text::trim(line);
            let name = name.strip_prefix(b"\"").unwrap_or(name);
            let name = name.strip_suffix(b"\"").unwrap_or(name);
            if text::is_printable(name) {
                out.claim(input.own_text((NAME, "info-id"), "model", name));
            }
            return;
        }
        if let Some((verb, argument)) = command(line) {
            self.names_itself =
                verb.eq_ignore_ascii_case(b"INFO") && argument.eq_ignore_ascii_case(b"ID");
        }
    }
}

impl Session for Pjl {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let side = input.side;
        let client = *self.client.get_or_insert_with(|| {
            // Only a client ends the language that was printed.
            let from_client = input.bytes.starts_with(UEL) || input.destination_port == PORT;
            let client = if from_client { side } else { side.other() };
            out.push(Item::Client(client));
            client
        });
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            if client == side && self.printing {
                match memchr::memmem::find(rest, UEL) {
                    Some(at) => {
                        self.printing = false;
                        used += at;
                        continue;
                    }
                    None => {
                        // The mark may be cut in two.
                        used += rest.len().saturating_sub(UEL.len() - 1);
                        break;
                    }
                }
            }
            if rest.starts_with(UEL) {
                used += UEL.len();
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if rest.len() < LINE_CAP {
                    break;
                }
                // No line is so long: data of a language that was not announced.
                self.printing = client == side;
                used += if self.printing { 0 } else { rest.len() };
                continue;
            };
            let line = part_at(rest, 0, end);
            used += end + 1;
            if client != side {
                self.answer(input, line, out);
            } else if command(line).is_some() {
                self.line(input, line, out);
            } else if !text::trim(line).is_empty() {
                self.printing = true;
            }
        }
        if used > 0 {
            out.layer(NAME, side);
        }
        used
    }

    fn stream_cap(&self) -> usize {
        2 * LINE_CAP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const CONVERSATION: &[(Side, &[u8])] = &[
        (Side::A, b"\x1b%-12345X@PJL INFO ID\r\n"),
        (Side::B, b"@PJL INFO ID\r\n\"HP LaserJet 4200\"\r\n\x0c"),
        (Side::A, b"@PJL SET PASSWORD=secret\r\n@PJL FSDOWNLOAD NAME = \"0:\\a.bin\" SIZE=3\r\n"),
        (Side::A, b"@PJL ENTER LANGUAGE=PCL\r\nprinted\n@PJL INFO STATUS\n\x1b%-12345X"),
        (Side::A, b"@PJL INFO STATUS\r\n\x1b%-12345X"),
    ];

    #[test]
    fn commands_are_operations_and_print_data_is_none() {
        let expected = [
            ("info", "ID"),
            ("set", "PASSWORD"),
            ("fsdownload", "0:\\a.bin"),
            ("enter", "LANGUAGE"),
            ("info", "STATUS"),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, object)| (name, object.to_owned(), Outcome::None))
            .collect();
        let items = testing::items(&PROTOCOL, CONVERSATION);
        assert_eq!(expected, testing::operations(&items));
        assert!(!format!("{items:?}").contains("secret"));
    }

    #[test]
    fn the_printer_names_its_model() {
        let items = testing::items(&PROTOCOL, CONVERSATION);
        assert_eq!(vec![("model", "HP LaserJet 4200".to_owned())], testing::claims(&items));
    }

    #[test]
    fn the_probe_knows_its_own() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, CONVERSATION[0]));
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, CONVERSATION[1]));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, b"\x1b%-1")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"%!PS-Adobe-3.0\n")));
    }

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(&PROTOCOL, CONVERSATION);
    }
}
