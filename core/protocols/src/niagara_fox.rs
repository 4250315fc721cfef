//! Niagara Fox: stations and workbenches of the Niagara Framework, over TCP.
//!
//! Sources: ICS-Security-Tools--fox_info.pcap frames 4, 6 and 9 (hello of a workbench, hello of a
//! station, challenge: the frame `fox KIND SEQUENCE REPLY CHANNEL COMMAND`, lines `key=type:value`
//! between `{` and `};;`, bytes and objects with their length in front), and the public script
//! fox-info of nmap (S. Hilt), which asks with the same hello and names the same fields.
//!
//! A hello answers a hello. Other messages are told by their channel and command.
//!
//! Rules broken on the wire:
//! * `niagara-fox-message`: bytes inside a session are no message.
//!
//! Not decoded: the content of other messages (no public description), Fox over TLS (port 4911).

use compact_str::format_compact;

use crate::fields::part_at;
use crate::out::{Action, Item, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::text;

/// Niagara Fox.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "Niagara Fox",
    roles: ("Fox client", "Fox server"),
    carriers: &[Carrier::Tcp(&[1911])],
    dissector: Dissector::Built { probe, session: || Box::new(Fox::default()) },
    source: "ICS-Security-Tools fox_info.pcap; nmap fox-info",
};

const NAME: &str = "niagara-fox";

const MAGIC: &[u8] = b"fox ";
/// Longest first line, and longest message that is read.
const LINE: usize = 128;
const LARGEST: usize = 64 * 1024;
const END: &[u8] = b"};;\n";

/// A message: its first line, and the lines of its body.
struct Message<'a> {
    channel: &'a [u8],
    command: &'a [u8],
    head: &'a [u8],
    fields: Vec<Field<'a>>,
    length: usize,
}

enum Front<'a> {
    Message(Message<'a>),
    Incomplete,
    Foreign,
}

/// The words of a first line: channel and command, after a letter and two numbers.
fn head(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut words = line.split(|byte| *byte == b' ');
    let [Some(b"fox"), Some([_]), Some(sequence), Some(reply), Some(channel), Some(command), None] =
        std::array::from_fn(|_| words.next())
    else {
        return None;
    };
    let is_number = |word: &[u8]| {
        let digits = word.strip_prefix(b"-").unwrap_or(word);
        !digits.is_empty() && digits.len() <= 10 && digits.iter().all(u8::is_ascii_digit)
    };
    let is_word = |word: &[u8]| text::is_printable(word);
    let fits = is_number(sequence) && is_number(reply) && is_word(channel) && is_word(command);
    fits.then_some((channel, command))
}

fn front(bytes: &[u8]) -> Front<'_> {
    let known = bytes.len().min(MAGIC.len());
    if bytes.get(..known) != MAGIC.get(..known) {
        return Front::Foreign;
    }
    let Some(line_length) = memchr::memchr(b'\n', part_at(bytes, 0, LINE)) else {
        return if bytes.len() < LINE { Front::Incomplete } else { Front::Foreign };
    };
    let line = part_at(bytes, 0, line_length);
    let Some((channel, command)) = head(line) else { return Front::Foreign };
    let mut at = line_length + 1;
    match bytes.get(at..at + 2) {
        Some(b"{\n") => at += 2,
        Some(_) => return Front::Foreign,
        None => return Front::Incomplete,
    }
    let mut fields = Vec::new();
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.starts_with(END) {
            let length = at + END.len();
            return Front::Message(Message { channel, command, head: line, fields, length });
        }
        let Some((field, length)) = field(rest) else {
            return if bytes.len() < LARGEST { Front::Incomplete } else { Front::Foreign };
        };
        fields.extend(field);
        at += length;
    }
}

/// Key and text of a line.
type Field<'a> = (&'a [u8], &'a [u8]);

/// A line of a body, where it is text, and its length.
fn field(bytes: &[u8]) -> Option<(Option<Field<'_>>, usize)> {
    let line_length = memchr::memchr(b'\n', bytes)?;
    let line = part_at(bytes, 0, line_length);
    let mut parts = line.splitn(2, |byte| *byte == b'=');
    let (key, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let told = match value {
        [b's', b':', text @ ..] => Some((key, text)),
        // Bytes `b:44[...]` and objects `o:bog 61[...]` may hold line ends.
        [b'b' | b'o', b':', rest @ ..] => {
            let Some(open) = memchr::memchr(b'[', rest) else {
                return Some((None, line_length + 1));
            };
            let digits = part_at(rest, 0, open);
            let digits = digits.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            let size = std::str::from_utf8(digits).ok().and_then(|size| size.parse::<u16>().ok());
            let Some(size) = size else { return Some((None, line_length + 1)) };
            let start = key.len() + 1 + 2 + open + 1;
            let end = start + usize::from(size);
            return match bytes.get(end..end + 2)? {
                b"]\n" => Some((None, end + 2)),
                _ => Some((None, line_length + 1)),
            };
        }
        _ => None,
    };
    Some((told, line_length + 1))
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Message(_) => Probe::Certain,
        Front::Incomplete if memchr::memchr(b'\n', input.bytes).is_some() => Probe::Likely,
        Front::Incomplete => Probe::More,
        Front::Foreign => Probe::No,
    }
}

/// A flow that carries Fox.
#[derive(Default)]
struct Fox {
    /// A hello that waits for the other side's.
    hello: Option<(Side, Operation)>,
    greeted: bool,
    synchronised: [bool; 2],
}

impl Fox {
    fn message(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        match message.command {
            b"hello" => self.hello(input, message, out),
            command => {
                let words = match command {
                    b"challenge" => ("challenge", Action::Authenticate),
                    _ => ("message", Action::Control),
                };
                let [channel, command] = [message.channel, command].map(text::utf8);
                out.operation(Operation {
                    object: Object::Text(format_compact!("{channel} {command}")),
                    outcome: Outcome::None,
                    ..input.operation(NAME, input.side, words, message.head)
                });
            }
        }
    }

    fn hello(&mut self, input: &Input<'_>, message: &Message<'_>, out: &mut Out) {
        let told = |wanted: &[u8]| message.fields.iter().find(|(key, _)| *key == wanted);
        match self.hello.take() {
            Some((client, mut asked)) if client != input.side => {
                asked.outcome = Outcome::Ok;
                out.operation(asked);
            }
            before => {
                if let Some((_, unseen)) = before {
                    out.operation(unseen);
                }
                let asked =
                    input.operation(NAME, input.side, ("hello", Action::Identify), message.head);
                // Only stations have a name, and only they are asked.
                if self.greeted || told(b"station.name").is_some() {
                    let sender = input.side.other();
                    out.unpaired(Operation { sender, outcome: Outcome::Ok, ..asked });
                } else {
                    out.push(Item::Client(input.side));
                    self.hello = Some((input.side, asked));
                }
            }
        }
        self.greeted = true;
        let fields: [(&[u8], &'static str); 11] = [
            (b"hostName", "name"),
            (b"station.name", "fox_station"),
            (b"hostAddress", "fox_host_address"),
            (b"hostId", "fox_host_id"),
            (b"app.name", "fox_application"),
            (b"app.version", "firmware"),
            (b"os.name", "os"),
            (b"os.version", "os_version"),
            (b"vm.name", "fox_vm"),
            (b"vm.version", "fox_vm_version"),
            (b"brandId", "fox_brand"),
        ];
        // A workbench is a program on a computer: its version is not the computer's firmware.
        let is_station = told(b"app.name").is_none_or(|(_, name)| *name == b"Station");
        for (key, attribute) in fields {
            let Some((_, value)) = told(key) else { continue };
            let attribute = match attribute {
                "firmware" if !is_station => "application_version",
                // A host without a name tells its address.
                "name" if is_address(value) => "fox_host_name",
                attribute => attribute,
            };
            out.claim(input.own_text((NAME, "hello"), attribute, value));
        }
    }
}

fn is_address(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<std::net::IpAddr>().is_ok())
}

impl Session for Fox {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *input.side.of(&mut self.synchronised) = false;
        }
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Message(message) => {
                    *input.side.of(&mut self.synchronised) = true;
                    self.message(input, &message, out);
                    used += message.length;
                }
                Front::Incomplete => break,
                Front::Foreign => {
                    if std::mem::take(input.side.of(&mut self.synchronised)) && !input.truncated {
                        let part = part_at(rest, 0, 32);
                        out.push(input.violation(NAME, "niagara-fox-message", part));
                    }
                    used = input.bytes.len();
                }
            }
        }
        if used > 0 {
            out.layer(NAME, input.side);
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        if let Some((_, unseen)) = self.hello.take() {
            out.operation(unseen);
        }
    }

    fn stream_cap(&self) -> usize {
        LARGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const ASK: &[u8] = b"fox a 1 -1 fox hello\n{\nfox.version=s:1.0\nid=i:1\nhostName=s:eng-7\n\
        app.name=s:Workbench\napp.version=s:3.7.44\nos.name=s:Windows XP\n};;\n";
    const ANSWER: &[u8] = b"fox a 0 -1 fox hello\n{\nfox.version=s:1.0\nid=i:2\n\
        hostName=s:192.0.2.15\napp.name=s:Station\napp.version=s:3.5.41.1\nstation.name=s:Hall_4\n\
        os.name=s:QNX\nhostId=s:Qnx-1\nsysInfo=o:bog 13[<bog>\n};;\n</>]\n};;\n";
    const CHALLENGE: &[u8] =
        b"fox a 1 -1 fox challenge\n{\nmethod=s:digest-md5\nnonce=b:4[\n};;]\n};;\n";

    #[test]
    fn both_ends_introduce_themselves() {
        let items =
            testing::items(&PROTOCOL, &[(Side::A, ASK), (Side::B, ANSWER), (Side::B, CHALLENGE)]);
        assert_eq!(
            vec![
                ("hello", String::new(), Outcome::Ok),
                ("challenge", "fox challenge".to_owned(), Outcome::None)
            ],
            testing::operations(&items)
        );
        let told = testing::claims(&items);
        let told: Vec<_> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(
            vec![
                ("name", "eng-7"),
                ("fox_application", "Workbench"),
                ("application_version", "3.7.44"),
                ("os", "Windows XP"),
                ("fox_host_name", "192.0.2.15"),
                ("fox_station", "Hall_4"),
                ("fox_host_id", "Qnx-1"),
                ("fox_application", "Station"),
                ("firmware", "3.5.41.1"),
                ("os", "QNX"),
            ],
            told
        );
        assert!(items.contains(&Item::Client(Side::A)));
    }

    #[test]
    fn a_hello_alone_is_a_response_where_a_station_sends_it() {
        let items = testing::items(&PROTOCOL, &[(Side::B, ANSWER)]);
        assert!(items.iter().any(|item| matches!(item, Item::Unpaired(told)
            if told.sender == Side::A && told.outcome == Outcome::Ok)));
    }

    #[test]
    fn what_is_no_message_is_a_violation() {
        let items = testing::items(&PROTOCOL, &[(Side::A, ASK), (Side::A, b"wolf")]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "niagara-fox-message")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, ASK)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &ASK[..9])));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"fox jumps over\n")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
    }

    #[test]
    fn survives_hostile_bytes() {
        testing::survives(&PROTOCOL, &[(Side::A, ASK), (Side::B, ANSWER), (Side::B, CHALLENGE)]);
    }
}
