//! The line printer daemon protocol, over TCP.
//!
//! Sources: RFC 1179 §3 (messages), §5 (daemon commands), §6 (receive job subcommands), §7 (control
//! file lines).
//!
//! A command and the octet that answers it are one operation; its code is the command's octet, its
//! object the queue or the file.
//!
//! Rules broken on the wire:
//! * `lpd-command`: an octet that is no command, or a command that is longer than 1 KiB.
//!
//! Not decoded: print data. No sample capture holds LPD: tested with messages built on the standard.

use crate::fields::part_at;
use crate::out::{Action, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// LPD.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "LPD",
    roles: ("print client", "printer"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Lpd::new()) },
    source: "RFC 1179",
};

const NAME: &str = "lpd";
const PORT: u16 = 515;

const RECEIVE_JOB: u8 = 2;
const CONTROL_FILE: u8 = 2;
const DATA_FILE: u8 = 3;

const LINE_CAP: usize = 1024;
/// Longest control file that is read.
const CONTROL_CAP: usize = 8192;

/// Name and action of a daemon command.
const fn command(code: u8) -> Option<(&'static str, Action)> {
    Some(match code {
        1 => ("print-waiting-jobs", Action::Start),
        RECEIVE_JOB => ("receive-job", Action::Write),
        3 => ("send-queue-state-short", Action::Read),
        4 => ("send-queue-state-long", Action::Read),
        5 => ("remove-jobs", Action::Write),
        _ => return None,
    })
}

/// Name and action of a subcommand while a job is received.
const fn subcommand(code: u8) -> Option<(&'static str, Action)> {
    Some(match code {
        1 => ("abort-job", Action::Write),
        CONTROL_FILE => ("receive-control-file", Action::File),
        DATA_FILE => ("receive-data-file", Action::File),
        _ => return None,
    })
}

fn probe(input: &Input<'_>) -> Probe {
    let [code, rest @ ..] = input.bytes else { return Probe::More };
    if command(*code).is_none() {
        // The octets that answer tell nothing.
        return Probe::No;
    }
    match memchr::memchr(b'\n', rest) {
        Some(end) if end + 2 == input.bytes.len() && text::is_printable(part_at(rest, 0, end)) => {
            Probe::Weak
        }
        None if rest.len() < 64 && (rest.is_empty() || text::is_printable(rest)) => Probe::More,
        _ => Probe::No,
    }
}

/// A file that is being received.
struct Receiving {
    is_control: bool,
    /// Bytes that are still to come, with the octet that ends the file.
    left: usize,
}

/// A flow that carries LPD.
struct Lpd {
    client: Option<Side>,
    in_job: bool,
    receiving: Option<Receiving>,
    waiting: Option<Operation>,
    /// Nothing more can be told from this flow.
    lost: bool,
}

impl Lpd {
    const fn new() -> Self {
        Self { client: None, in_job: false, receiving: None, waiting: None, lost: false }
    }

    fn command(&mut self, input: &Input<'_>, line: &[u8], out: &mut Out) {
        let Some((&code, operands)) = line.split_first() else { return };
        let found = if self.in_job { subcommand(code) } else { command(code) };
        let Some(words) = found else {
            if !input.truncated {
                out.push(input.violation(NAME, "lpd-command", part_at(line, 0, 1)));
            }
            self.lost = true;
            return;
        };
        let mut operation = input.operation(NAME, input.side, words, part_at(line, 0, 1));
        operation.code = Some(u32::from(code));
        if self.in_job && code != 1 {
            // Count of bytes, then the file's name.
            let mut words = operands.split(|byte| *byte == b' ');
            let count = words.next().and_then(|count| std::str::from_utf8(count).ok());
            let count = count.and_then(|count| count.parse::<u32>().ok()).unwrap_or_default();
            let name = words.next().unwrap_or_default();
            operation.object = Object::Text(text::utf8(part_at(name, 0, 128)));
            let left = count as usize + 1;
            self.receiving = Some(Receiving { is_control: code == CONTROL_FILE, left });
        } else {
            let queue = operands.split(|byte| *byte == b' ').next().unwrap_or_default();
            if !queue.is_empty() {
                operation.object = Object::Text(text::utf8(part_at(queue, 0, 128)));
            }
            self.in_job |= code == RECEIVE_JOB;
        }
        if let Some(unanswered) = self.waiting.replace(operation) {
            out.operation(unanswered);
        }
    }
}

/// What a control file tells of the client: its host and its user's name.
fn control_file(input: &Input<'_>, file: &[u8], out: &mut Out) {
    for line in file.split(|byte| *byte == b'\n') {
        let attribute = match line.first() {
            Some(b'H') => "name",
            Some(b'P') => "user",
            _ => continue,
        };
        let value = part_at(line, 1, 131);
        if text::is_printable(text::trim(value)) {
            out.claim(input.own_text((NAME, "control-file"), attribute, value));
        }
    }
}

impl Session for Lpd {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let side = input.side;
        let client = *self.client.get_or_insert_with(|| {
            let from_client = input.source_port != PORT || input.destination_port == PORT;
            let client = if from_client { side } else { side.other() };
            out.push(Item::Client(client));
            client
        });
        self.lost |= input.after_gap;
        if self.lost {
            out.layer(NAME, side);
            return input.bytes.len();
        }
        if side != client {
            // One octet answers; states of queues are texts.
            if let Some(mut operation) = self.waiting.take() {
                let is_text = operation.name.starts_with("send-queue");
                let ok = is_text || input.bytes.first() == Some(&0);
                operation.outcome = if ok { Outcome::Ok } else { Outcome::Error };
                out.operation(operation);
            }
            out.layer(NAME, side);
            return input.bytes.len();
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
            && !self.lost
        {
            if let Some(file) = &mut self.receiving {
                if file.is_control && file.left <= CONTROL_CAP {
                    let Some(whole) = rest.get(..file.left) else { break };
                    control_file(input, whole, out);
                    used += whole.len();
                    self.receiving = None;
                    continue;
                }
                let here = file.left.min(rest.len());
                file.left -= here;
                used += here;
                if file.left == 0 {
                    self.receiving = None;
                }
                continue;
            }
            match memchr::memchr(b'\n', rest) {
                Some(end) => {
                    self.command(input, part_at(rest, 0, end), out);
                    used += end + 1;
                }
                None if rest.len() < LINE_CAP => break,
                None => {
                    out.push(input.violation(NAME, "lpd-command", part_at(rest, 0, 1)));
                    self.lost = true;
                }
            }
        }
        if self.lost {
            used = input.bytes.len();
        }
        if used > 0 {
            out.layer(NAME, side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some(operation) = self.waiting.take() {
            out.operation(operation);
        }
    }

    fn stream_cap(&self) -> usize {
        2 * CONTROL_CAP
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const CONVERSATION: &[(Side, &[u8])] = &[
        (Side::A, b"\x02labels\n"),
        (Side::B, b"\0"),
        (Side::A, b"\x0219 cfA001press7\n"),
        (Side::B, b"\0"),
        (Side::A, b"Hpress7\nPop\nldfA01\n\0"),
        (Side::B, b"\0"),
        (Side::A, b"\x037 dfA001press7\n"),
        (Side::B, b"\x01"),
        (Side::A, b"\x02hidden\0"),
    ];

    #[test]
    fn commands_are_operations_with_their_answer() {
        let expected = [
            ("receive-job", Some(2), "labels", Outcome::Ok),
            ("receive-control-file", Some(2), "cfA001press7", Outcome::Ok),
            ("receive-data-file", Some(3), "dfA001press7", Outcome::Error),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(a, b, c, outcome)| (a, b, c.to_owned(), outcome)).collect();
        let items = testing::items(&PROTOCOL, CONVERSATION);
        assert_eq!(expected, testing::coded_operations(&items));
        assert!(!items.iter().any(|item| matches!(item, Item::Violation(_))));
    }

    #[test]
    fn the_control_file_names_the_client() {
        let items = testing::items(&PROTOCOL, CONVERSATION);
        assert_eq!(
            vec![("name", "press7".to_owned()), ("user", "op".to_owned())],
            testing::claims(&items)
        );
    }

    #[test]
    fn an_octet_that_is_no_command_is_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::A, b"\x09queue\n")]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "lpd-command")));
    }

    #[test]
    fn the_probe_believes_the_usual_port_only() {
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, CONVERSATION[0]));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, b"\x02lab")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"\x02\x00\x01\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1\n")));
    }

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(&PROTOCOL, CONVERSATION);
    }
}
