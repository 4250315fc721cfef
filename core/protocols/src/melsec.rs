//! Mitsubishi MELSEC over TCP and UDP: SLMP (MC protocol, 3E and 4E frames, binary and ASCII), and
//! MELSOFT, which engineering stations speak.
//!
//! Sources:
//! * Frames, access route, commands, devices, type name, end codes: Mitsubishi SH(NA)-080008
//!   "MELSEC Communication Protocol Reference Manual", SH(NA)-080956 "SLMP Reference Manual", as
//!   public clients name them.
//! * MELSOFT (Mitsubishi publishes nothing): header with its length in bytes 19 and 20, length of the
//!   part before the command, command and its number, end code of a reply: all frames of
//!   ICS-Security-Tools melsoft_129_clean.pcap and melsoft_UDP_clean_1.pcap; the model of a CPU in the
//!   reply to 0x0121, file names (UTF-16) in 0x1859 to 0x187E: frames 14, 68, 70 and 270 of the
//!   latter, where 0x1002 (frame 256) stops the controller before its program is written. That the
//!   model is 16 letters: the public scan script melsecq-discover.
//!
//! The code of an operation is the command; those of MELSOFT are the station's own, and only what the
//! captures show of them has a name: 0x04xx reads, 0x14xx writes, 0x18xx works on files.
//!
//! Rules broken on the wire:
//! * `melsec-length`: inside a session, the length of a frame leaves no room for its command.
//!
//! Not decoded: random and block access beyond the first device, labels, monitoring lists, search
//! messages of MELSOFT (0x5A, 0xDA), contents of files, passwords (never stored).

use compact_str::{CompactString, format_compact};
use otic_wire::Cursor;

use crate::fields::part_at;
use crate::out::{
    Action, Change, Child, Decode, Event, Evidence, Item, Object, Operation, Out, Outcome, Value,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// Mitsubishi MELSEC.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "MELSEC",
    roles: ("SLMP client", "SLMP server"),
    carriers: &[Carrier::Tcp(&[5007, 5562]), Carrier::Udp(&[5006, 5560])],
    dissector: Dissector::Built { probe, session: || Box::new(Melsec::new()) },
    source: "Mitsubishi SH(NA)-080008, SH(NA)-080956; MELSOFT: observed in public captures",
};

const NAME: &str = "melsec";

/// Subheaders (first byte); the second one is 0, for MELSOFT also 1.
const REQUEST_3E: u8 = 0x50;
const REQUEST_4E: u8 = 0x54;
const MELSOFT: u8 = 0x57;
const RESPONSE: u8 = 0x80;

const READ_TYPE_NAME: u16 = 0x0101;
const MELSOFT_READ_MODEL: u16 = 0x0121;
const READ: u16 = 0x0401;
const WRITE: u16 = 0x1401;
const UNLOCK: u16 = 0x1630;

/// Length of MELSOFT's header, with its length field.
const MELSOFT_HEADER: usize = 21;
/// Requests of one flow that may wait at once.
const WAITING: usize = 64;
/// Values that are remembered to tell the old one, and the longest.
const REMEMBERED: usize = 64;
const LONGEST: usize = 512;
/// Longest frame.
const LARGEST: usize = 16 * 1024;

/// Name and action of a command of SLMP.
const fn command(code: u16) -> Option<(&'static str, Action)> {
    Some(match code {
        READ_TYPE_NAME => ("read-type-name", Action::Identify),
        0x0201 => ("read-file-information", Action::File),
        0x0202 => ("read-file-information-with-title", Action::File),
        0x0203 => ("file-search", Action::File),
        0x0204 => ("read-file-number-information", Action::File),
        0x0205 => ("read-disk-state", Action::Diagnostics),
        0x0206 => ("file-read", Action::File),
        READ => ("device-read", Action::Read),
        0x0403 => ("device-read-random", Action::Read),
        0x0406 => ("device-read-block", Action::Read),
        0x041a => ("array-label-read", Action::Read),
        0x041c => ("label-read-random", Action::Read),
        0x0601 => ("extend-unit-read", Action::Read),
        0x0613 => ("memory-read", Action::Read),
        0x0619 => ("self-test", Action::Diagnostics),
        0x0801 => ("entry-monitor-device", Action::Subscribe),
        0x0802 => ("execute-monitor", Action::Read),
        0x0808 => ("file-lock", Action::File),
        0x1001 => ("remote-run", Action::Start),
        0x1002 => ("remote-stop", Action::Stop),
        0x1003 => ("remote-pause", Action::Stop),
        0x1005 => ("remote-latch-clear", Action::Control),
        0x1006 => ("remote-reset", Action::Reset),
        0x1202 => ("create-file", Action::File),
        0x1203 => ("file-write", Action::File),
        0x1204 => ("change-file-information", Action::File),
        0x1205 => ("file-delete", Action::File),
        0x1206 => ("file-copy", Action::File),
        0x1207 => ("defragment", Action::Configuration),
        WRITE => ("device-write", Action::Write),
        0x1402 => ("device-write-random", Action::Write),
        0x1406 => ("device-write-block", Action::Write),
        0x141a => ("array-label-write", Action::Write),
        0x141b => ("label-write-random", Action::Write),
        0x1601 => ("extend-unit-write", Action::Write),
        0x1613 => ("memory-write", Action::Write),
        0x1617 => ("clear-error", Action::Control),
        UNLOCK => ("remote-password-unlock", Action::Authenticate),
        0x1631 => ("remote-password-lock", Action::Authenticate),
        0x1810 => ("read-directory", Action::File),
        0x1811 => ("search-directory", Action::File),
        0x1820 => ("new-file", Action::File),
        0x1822 => ("delete-file", Action::File),
        0x1824 => ("copy-file", Action::File),
        0x1825 => ("change-file-state", Action::File),
        0x1826 => ("change-file-date", Action::File),
        0x1827 => ("open-file", Action::File),
        0x1828 => ("read-file", Action::File),
        0x1829 => ("write-file", Action::File),
        0x182a => ("close-file", Action::File),
        _ => return None,
    })
}

/// Name and action of a command of MELSOFT.
const fn melsoft(code: u16) -> (&'static str, Action) {
    match code {
        READ_TYPE_NAME | MELSOFT_READ_MODEL => ("melsoft-read-model", Action::Identify),
        0x1001 => ("melsoft-remote-run", Action::Start),
        0x1002 => ("melsoft-remote-stop", Action::Stop),
        0x1003 => ("melsoft-remote-pause", Action::Stop),
        0x1006 => ("melsoft-remote-reset", Action::Reset),
        0x0400..=0x04ff => ("melsoft-read", Action::Read),
        0x1400..=0x14ff => ("melsoft-write", Action::Write),
        0x1800..=0x18ff => ("melsoft-file", Action::File),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// A device by its binary code: its name, and whether its numbers are hexadecimal.
const fn device(code: u16) -> Option<(&'static str, bool)> {
    Some(match code {
        0x91 => ("SM", false),
        0xa9 => ("SD", false),
        0x9c => ("X", true),
        0x9d => ("Y", true),
        0x90 => ("M", false),
        0x92 => ("L", false),
        0x93 => ("F", false),
        0x94 => ("V", false),
        0xa0 => ("B", true),
        0xa8 => ("D", false),
        0xb4 => ("W", true),
        0xc1 => ("TS", false),
        0xc0 => ("TC", false),
        0xc2 => ("TN", false),
        0xc7 => ("STS", false),
        0xc6 => ("STC", false),
        0xc8 => ("STN", false),
        0xc4 => ("CS", false),
        0xc3 => ("CC", false),
        0xc5 => ("CN", false),
        0xa1 => ("SB", true),
        0xb5 => ("SW", true),
        0x98 => ("S", false),
        0xa2 => ("DX", true),
        0xa3 => ("DY", true),
        0xcc => ("Z", false),
        0xaf => ("R", false),
        0xb0 => ("ZR", false),
        _ => return None,
    })
}

/// The form of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Binary,
    Ascii,
    Melsoft,
}

/// One frame.
struct Frame<'a> {
    form: Form,
    response: bool,
    /// What answers carry back: the serial number of 4E, the command of MELSOFT.
    key: u32,
    /// The command; of a response of SLMP none.
    command: Option<u16>,
    subcommand: u16,
    end_code: u16,
    data: &'a [u8],
    all: &'a [u8],
}

/// What stands at the front of the bytes.
enum Front<'a> {
    Frame(Frame<'a>),
    Incomplete,
    Foreign,
    /// The length leaves no room.
    Short,
}

/// A hexadecimal number in ASCII.
fn hex(cursor: &mut Cursor<'_>, digits: usize) -> Option<u32> {
    let text = std::str::from_utf8(cursor.take(digits).ok()?).ok()?;
    let upper = text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
    upper.then(|| u32::from_str_radix(text, 16).ok())?
}

fn front(bytes: &[u8]) -> Front<'_> {
    match bytes {
        [] => Front::Incomplete,
        [b'5' | b'D', rest @ ..] => match rest {
            [b'0' | b'4', b'0', b'0', ..] => ascii(bytes).unwrap_or(Front::Incomplete),
            [b'0' | b'4', b'0'] | [b'0' | b'4'] | [] => Front::Incomplete,
            // 'D' and '5' are no subheader of a binary frame.
            _ => Front::Foreign,
        },
        [first, rest @ ..] => match (first & !RESPONSE, rest.first()) {
            (REQUEST_3E | REQUEST_4E | MELSOFT, None) => Front::Incomplete,
            (REQUEST_3E | REQUEST_4E, Some(0)) => binary(bytes).unwrap_or(Front::Incomplete),
            (MELSOFT, Some(0 | 1)) => engineering(bytes).unwrap_or(Front::Incomplete),
            _ => Front::Foreign,
        },
    }
}

/// Network and station of an access route that SLMP knows: networks 0 to 239, stations 1 to 120 and
/// four special ones.
const fn is_route(network: u32, station: u32) -> bool {
    network <= 239 && matches!(station, 0..=120 | 0x7d | 0x7e | 0xff)
}

/// A module I/O number: a CPU, or the place of another module.
const fn is_module(number: u32) -> bool {
    matches!(number, 0..=0x1ff | 0x3d0..=0x3d3 | 0x3e0..=0x3e3 | 0x3ff)
}

fn binary(bytes: &[u8]) -> Option<Front<'_>> {
    let mut cursor = Cursor::new(bytes);
    let subheader = cursor.u8().ok()?;
    let _zero = cursor.u8().ok()?;
    let mut serial = 0;
    if subheader & !RESPONSE == REQUEST_4E {
        serial = cursor.u16_le().ok()?;
        if cursor.u16_le().ok()? != 0 {
            return Some(Front::Foreign);
        }
    }
    let (network, station) = (cursor.u8().ok()?, cursor.u8().ok()?);
    let (module, _drop) = (cursor.u16_le().ok()?, cursor.u8().ok()?);
    if !is_route(u32::from(network), u32::from(station)) || !is_module(u32::from(module)) {
        return Some(Front::Foreign);
    }
    let response = subheader & RESPONSE != 0;
    let length = usize::from(cursor.u16_le().ok()?);
    if length < if response { 2 } else { 6 } {
        return Some(Front::Short);
    }
    let content = cursor.take(length).ok()?;
    let all = bytes.get(..cursor.position())?;
    let mut content = Cursor::new(content);
    let (mut command, mut subcommand, mut end_code) = (None, 0, 0);
    if response {
        end_code = content.u16_le().ok()?;
    } else {
        let _timer = content.u16_le().ok()?;
        command = Some(content.u16_le().ok()?);
        subcommand = content.u16_le().ok()?;
    }
    let key = u32::from(serial);
    let data = content.rest();
    let form = Form::Binary;
    Some(Front::Frame(Frame { form, response, key, command, subcommand, end_code, data, all }))
}

fn ascii(bytes: &[u8]) -> Option<Front<'_>> {
    let mut cursor = Cursor::new(bytes);
    let subheader = cursor.take(4).ok()?;
    let response = subheader.first() == Some(&b'D');
    let mut serial = 0;
    if subheader.get(1) == Some(&b'4') {
        let number = cursor.take(4).ok()?;
        let Some(number) = hex(&mut Cursor::new(number), 4) else { return Some(Front::Foreign) };
        serial = number;
        if cursor.take(4).ok()? != b"0000" {
            return Some(Front::Foreign);
        }
    }
    let route = cursor.take(14).ok()?;
    let mut route = Cursor::new(route);
    let numbers = [2, 2, 4, 2, 4].map(|digits| hex(&mut route, digits));
    let [Some(network), Some(station), Some(module), Some(_), Some(length)] = numbers else {
        return Some(Front::Foreign);
    };
    if !is_route(network, station) || !is_module(module) {
        return Some(Front::Foreign);
    }
    let length = usize::try_from(length).ok()?;
    if length < if response { 4 } else { 12 } {
        return Some(Front::Short);
    }
    let content = cursor.take(length).ok()?;
    let all = bytes.get(..cursor.position())?;
    let mut content = Cursor::new(content);
    let mut word = || hex(&mut content, 4).and_then(|number| u16::try_from(number).ok());
    let (mut command, mut subcommand, mut end_code) = (None, 0, 0);
    if response {
        let Some(code) = word() else { return Some(Front::Foreign) };
        end_code = code;
    } else {
        let (Some(_timer), Some(code), Some(sub)) = (word(), word(), word()) else {
            return Some(Front::Foreign);
        };
        command = Some(code);
        subcommand = sub;
    }
    let (form, key, data) = (Form::Ascii, serial, content.rest());
    Some(Front::Frame(Frame { form, response, key, command, subcommand, end_code, data, all }))
}

fn engineering(bytes: &[u8]) -> Option<Front<'_>> {
    let header = bytes.get(..MELSOFT_HEADER)?;
    let [subheader, _, _, _, _, 0x11, 0x11, ..] = *header else { return Some(Front::Foreign) };
    let length = usize::from(u16::from_le_bytes(*header.get(19..)?.first_chunk::<2>()?));
    let response = subheader & RESPONSE != 0;
    if length < 4 {
        return Some(Front::Short);
    }
    let all = bytes.get(..MELSOFT_HEADER + length)?;
    let content = all.get(MELSOFT_HEADER..)?;
    let [0x1c | 0x9c, _, before, ..] = *content else { return Some(Front::Foreign) };
    let mut content = Cursor::new(content.get(2..)?);
    if content.skip(usize::from(before)).is_err() {
        return Some(Front::Short);
    }
    let (Ok(command), Ok(_number)) = (content.u16_be(), content.u16_le()) else {
        return Some(Front::Short);
    };
    let mut end_code = 0;
    if response {
        let Ok(code) = content.u16_le() else { return Some(Front::Short) };
        end_code = code;
    }
    Some(Front::Frame(Frame {
        form: Form::Melsoft,
        response,
        key: u32::from(command) | 1 << 16,
        command: Some(command),
        subcommand: 0,
        end_code,
        data: content.rest(),
        all,
    }))
}

fn probe(input: &Input<'_>) -> Probe {
    let datagram = input.transport != Transport::Tcp;
    match front(input.bytes) {
        Front::Frame(frame) if datagram && frame.all.len() != input.bytes.len() => Probe::No,
        Front::Frame(frame) => match (frame.form, frame.command) {
            (Form::Melsoft, _) => Probe::Certain,
            (_, Some(code)) if command(code).is_some() && frame.subcommand & 0xff3c == 0 => {
                Probe::Likely
            }
            (_, Some(_)) => Probe::No,
            // A response has little of its own: one of a CPU, for the frame's usual station.
            (Form::Ascii, None) => Probe::Likely,
            (_, None) if matches!(frame.all.get(2..7), Some([0, 0xff, 0xff, 3, 0])) => {
                Probe::Likely
            }
            (_, None) if matches!(frame.all.get(6..11), Some([0, 0xff, 0xff, 3, 0])) => {
                Probe::Likely
            }
            (_, None) => Probe::Weak,
        },
        Front::Incomplete if datagram => Probe::No,
        Front::Incomplete => Probe::More,
        Front::Foreign | Front::Short => Probe::No,
    }
}

/// A request that waits for its response.
struct Request {
    operation: Box<Operation>,
    code: u16,
    /// A read of whole devices, whose values the response holds.
    reads: bool,
    written: Option<(Value, Evidence)>,
}

struct Melsec {
    pending: Pending<(Side, u32), Request>,
    /// Values last read or written, oldest first.
    values: Vec<(Object, Value)>,
    client_said: bool,
    synchronised: [bool; 2],
    reported: bool,
}

impl Melsec {
    const fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            values: Vec::new(),
            client_said: false,
            synchronised: [false; 2],
            reported: false,
        }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(side));
        }
    }

    fn frame(&mut self, input: &Input<'_>, frame: &Frame<'_>, out: &mut Out) {
        if frame.response {
            self.response(input, frame, out);
            return;
        }
        self.say_client(input.side, out);
        let code = frame.command.unwrap_or(0);
        let words = match frame.form {
            Form::Melsoft => melsoft(code),
            _ => command(code).unwrap_or(("unknown", Action::Diagnostics)),
        };
        let evidence = part_at(frame.all, 0, 64);
        let mut operation = Box::new(input.operation(NAME, input.side, words, evidence));
        operation.code = Some(u32::from(code));
        let mut request = Request { operation, code, reads: false, written: None };
        match frame.form {
            Form::Melsoft => {
                if code & 0xff00 == 0x1800
                    && let Some(name) = file_name(frame.data)
                {
                    request.operation.object = Object::Text(format_compact!("file {name}"));
                }
            }
            Form::Binary => drop(binary_target(&mut request, input, frame)),
            Form::Ascii => drop(ascii_target(&mut request, frame)),
        }
        if code == UNLOCK && frame.form != Form::Melsoft {
            out.push(event(input, "cleartext-credentials", input.side, frame));
        }
        if let Some(evicted) = self.pending.insert((input.side, frame.key), request) {
            self.complete(evicted, Outcome::Unseen, out);
        }
    }

    fn response(&mut self, input: &Input<'_>, frame: &Frame<'_>, out: &mut Out) {
        let client = input.side.other();
        self.say_client(client, out);
        let refused = frame.end_code != 0;
        let outcome = if refused { Outcome::Error } else { Outcome::Ok };
        let request = self.pending.take(&(client, frame.key));
        let code = request.as_ref().map(|request| request.code).or(frame.command);
        match code {
            Some(READ_TYPE_NAME | MELSOFT_READ_MODEL) if !refused => model(input, frame, out),
            Some(UNLOCK) if frame.form != Form::Melsoft => {
                let kind = if refused { "login-failed" } else { "login" };
                out.push(event(input, kind, client, frame));
            }
            _ => {}
        }
        let Some(request) = request else {
            let words = match frame.command {
                Some(code) => melsoft(code),
                None => ("response", Action::Diagnostics),
            };
            let mut operation = input.operation(NAME, client, words, part_at(frame.all, 0, 64));
            operation.code = frame.command.map(u32::from);
            operation.outcome = outcome;
            out.unpaired(operation);
            return;
        };
        if request.reads
            && !refused
            && frame.form == Form::Binary
            && let Some((value, _)) = value(frame.data)
        {
            self.remember(request.operation.object.clone(), value);
        }
        self.complete(request, outcome, out);
    }

    fn remember(&mut self, object: Object, value: Value) -> Option<Value> {
        let known = self.values.iter().position(|(known, _)| *known == object);
        let old = known.map(|at| self.values.remove(at).1);
        if self.values.len() >= REMEMBERED {
            self.values.remove(0);
        }
        self.values.push((object, value));
        old
    }

    fn complete(&mut self, mut request: Request, outcome: Outcome, out: &mut Out) {
        request.operation.outcome = outcome;
        let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
        let object = request.operation.object.clone();
        out.operation(request.operation);
        if outcome == Outcome::Error {
            return;
        }
        if let Some((new, evidence)) = request.written {
            let old = self.remember(object.clone(), new.clone());
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender,
                server_child: Child::None,
                object,
                old,
                new,
                evidence,
                ts_ns,
            }));
        }
    }
}

fn event(input: &Input<'_>, kind: &'static str, sender: Side, frame: &Frame<'_>) -> Item {
    Item::Event(Event {
        kind,
        protocol: NAME,
        sender,
        values: Vec::new(),
        // the header: a password is never cited
        evidence: input.locate(part_at(frame.all, 0, 9)),
    })
}

/// A value of devices, and how the bytes give it.
fn value(data: &[u8]) -> Option<(Value, Decode)> {
    match data {
        [] => None,
        [low, high] => {
            Some((Value::Integer(i64::from(u16::from_le_bytes([*low, *high]))), Decode::UnsignedLe))
        }
        _ if data.len() <= LONGEST => Some((Value::Bytes(data.to_vec()), Decode::Hex)),
        _ => None,
    }
}

/// Devices by name and numbers.
fn devices(name: &'static str, hexadecimal: bool, first: u32, count: u32) -> Object {
    let count = count.max(1);
    if !hexadecimal {
        return Object::Range { space: name, first, count };
    }
    let last = first.saturating_add(count - 1);
    Object::Text(if count == 1 {
        format_compact!("{name} {first:X}")
    } else {
        format_compact!("{name} {first:X}-{last:X}")
    })
}

/// First device of a binary request, and what is written.
fn binary_target(request: &mut Request, input: &Input<'_>, frame: &Frame<'_>) -> Option<()> {
    let mut cursor = Cursor::new(frame.data);
    let wide = frame.subcommand & 2 != 0;
    let place = |cursor: &mut Cursor<'_>| {
        // Of iQ-R: 4 bytes of number and 2 of device; else 3 and 1.
        let (number, code) = if wide {
            (cursor.u32_le().ok()?, cursor.u16_le().ok()?)
        } else {
            (cursor.u24_le().ok()?, u16::from(cursor.u8().ok()?))
        };
        device(code).map(|device| (device, number))
    };
    match request.code {
        READ | WRITE => {
            let ((name, hexadecimal), first) = place(&mut cursor)?;
            let count = u32::from(cursor.u16_le().ok()?);
            request.operation.object = devices(name, hexadecimal, first, count);
            request.reads = request.code == READ;
            if request.code == WRITE {
                let raw = cursor.rest();
                request.written =
                    value(raw).map(|(value, decode)| (value, input.evidence(raw, decode)));
            }
        }
        0x0403 | 0x0406 | 0x1402 | 0x1406 => {
            // numbers of words and of double words, of word blocks and of bit blocks
            let (words, others) = (cursor.u8().ok()?, cursor.u8().ok()?);
            let ((name, hexadecimal), first) = place(&mut cursor)?;
            let first = devices(name, hexadecimal, first, 1).to_text();
            let more = u16::from(words) + u16::from(others);
            request.operation.object = Object::Text(match more {
                0 | 1 => first,
                _ => format_compact!("{first}, +{}", more - 1),
            });
        }
        _ => {}
    }
    Some(())
}

/// Devices of an ASCII request for a run of them: a code of two letters, six digits, four of count.
fn ascii_target(request: &mut Request, frame: &Frame<'_>) -> Option<()> {
    if !matches!(request.code, READ | WRITE) || frame.subcommand & 2 != 0 {
        return None;
    }
    let mut cursor = Cursor::new(frame.data);
    let code = text::utf8(cursor.take(2).ok()?);
    let code = code.trim_end_matches('*');
    let (name, hexadecimal) = (0x90..=0xcc).filter_map(device).find(|(name, _)| *name == code)?;
    let first = if hexadecimal {
        hex(&mut cursor, 6)?
    } else {
        std::str::from_utf8(cursor.take(6).ok()?).ok()?.parse().ok()?
    };
    let count = hex(&mut cursor, 4)?;
    request.operation.object = devices(name, hexadecimal, first, count);
    Some(())
}

/// A file's name in a request of MELSOFT: the number of bytes, then UTF-16 that starts with `$`.
fn file_name(data: &[u8]) -> Option<CompactString> {
    (0..data.len().min(32)).find_map(|at| {
        let mut cursor = Cursor::new(data.get(at..)?);
        let length = usize::from(cursor.u16_le().ok()?);
        let name = cursor.take(length).ok()?;
        (length % 2 == 0 && name.starts_with(b"$\0")).then(|| text::utf16le(name))
    })
}

/// The model: 16 letters, then the type code.
fn model(input: &Input<'_>, frame: &Frame<'_>, out: &mut Out) {
    let name = part_at(frame.data, 0, 16);
    if !text::is_printable(text::trim(name)) {
        return;
    }
    let message = if frame.form == Form::Melsoft { "melsoft-read-model" } else { "read-type-name" };
    out.claim(input.own_text((NAME, message), "model", name));
    if frame.form == Form::Binary {
        let code = part_at(frame.data, 16, 2);
        if let [low, high] = code {
            let value = format_compact!("{}", u16::from_le_bytes([*low, *high]));
            let told_in = (NAME, message);
            out.claim(input.own_claim(told_in, "type_code", value, code, Decode::UnsignedLe));
        }
    }
}

impl Session for Melsec {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *input.side.of(&mut self.synchronised) = false;
        }
        let stream = input.transport == Transport::Tcp;
        let mut used = 0;
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            let front = front(rest);
            match front {
                Front::Frame(frame) => {
                    if used == 0 {
                        out.layer(NAME, input.side);
                    }
                    *input.side.of(&mut self.synchronised) = true;
                    self.frame(input, &frame, out);
                    used += frame.all.len();
                }
                Front::Incomplete if stream => break,
                _ => {
                    let known = std::mem::take(input.side.of(&mut self.synchronised));
                    if known
                        && matches!(front, Front::Short)
                        && !std::mem::replace(&mut self.reported, true)
                    {
                        out.push(input.violation(NAME, "melsec-length", part_at(rest, 0, 32)));
                    }
                    return input.bytes.len();
                }
            }
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        let waiting: Vec<Request> = self.pending.drain().collect();
        for request in waiting {
            self.complete(request, Outcome::Unseen, out);
        }
    }

    fn stream_cap(&self) -> usize {
        LARGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, claims, coded_operations, events};

    const ROUTE: &[u8] = &[0, 0xff, 0xff, 3, 0];

    fn request(command: u16, subcommand: u8, data: &[u8]) -> (Side, Vec<u8>) {
        let mut bytes = vec![REQUEST_3E, 0];
        bytes.extend_from_slice(ROUTE);
        bytes.extend((6 + data.len() as u16).to_le_bytes());
        bytes.extend([16, 0]);
        bytes.extend(command.to_le_bytes());
        bytes.extend([subcommand, 0]);
        bytes.extend_from_slice(data);
        (Side::A, bytes)
    }

    fn response(end_code: u16, data: &[u8]) -> (Side, Vec<u8>) {
        let mut bytes = vec![REQUEST_3E | RESPONSE, 0];
        bytes.extend_from_slice(ROUTE);
        bytes.extend((2 + data.len() as u16).to_le_bytes());
        bytes.extend(end_code.to_le_bytes());
        bytes.extend_from_slice(data);
        (Side::B, bytes)
    }

    /// A message of MELSOFT: header, 22 or 24 bytes before the command, data.
    fn engineer(side: Side, command: u16, data: &[u8]) -> (Side, Vec<u8>) {
        let (first, kind, before) = match side {
            Side::A => (MELSOFT, 0x1c, 22),
            Side::B => (MELSOFT | RESPONSE, 0x9c, 24),
        };
        let mut bytes = vec![first, 1, 0, 0, 0, 0x11, 0x11, 7];
        bytes.resize(19, 0);
        bytes.extend((2 + u16::from(before) + 4 + data.len() as u16).to_le_bytes());
        bytes.extend([kind, 0x0a, before]);
        bytes.resize(MELSOFT_HEADER + 2 + usize::from(before), 0);
        bytes.extend(command.to_be_bytes());
        bytes.extend([1, 0]);
        bytes.extend_from_slice(data);
        (side, bytes)
    }

    fn conversation() -> Vec<(Side, Vec<u8>)> {
        vec![
            request(READ_TYPE_NAME, 0, &[]),
            response(0, b"Q03UDECPU       \x68\x02"),
            // D 100, one word; then the same written
            request(READ, 0, &[100, 0, 0, 0xa8, 1, 0]),
            response(0, &[7, 0]),
            request(WRITE, 0, &[100, 0, 0, 0xa8, 1, 0, 9, 0]),
            response(0, &[]),
            // X 1F-20 as of iQ-R
            request(READ, 3, &[0x1f, 0, 0, 0, 0x9c, 0, 2, 0]),
            response(0xc056, &[]),
            request(0x0403, 0, &[2, 1, 1, 0, 0, 0x90]),
            request(0x1002, 0, &[1, 0]),
        ]
    }

    fn items(messages: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::items(&PROTOCOL, &messages)
    }

    #[test]
    fn commands_name_their_devices_and_end() {
        let object = |text: &str| text.to_owned();
        assert_eq!(
            vec![
                ("read-type-name", Some(0x0101), object(""), Outcome::Ok),
                ("device-read", Some(0x0401), object("D 100"), Outcome::Ok),
                ("device-write", Some(0x1401), object("D 100"), Outcome::Ok),
                ("device-read", Some(0x0401), object("X 1F-20"), Outcome::Error),
                ("device-read-random", Some(0x0403), object("M 1, +2"), Outcome::Unseen),
                ("remote-stop", Some(0x1002), object(""), Outcome::Unseen),
            ],
            coded_operations(&items(&conversation()))
        );
    }

    #[test]
    fn the_type_name_is_the_model_and_a_write_tells_the_old_value() {
        let items = items(&conversation());
        let want = [("model", "Q03UDECPU"), ("type_code", "616")];
        assert_eq!(want.map(|(name, value)| (name, value.to_owned())).as_slice(), claims(&items));
        assert!(items.iter().any(|item| matches!(item, Item::Change(change)
            if change.old == Some(Value::Integer(7)) && change.new == Value::Integer(9))));
    }

    #[test]
    fn ascii_and_4e_frames_are_read() {
        let mut serial = vec![REQUEST_4E, 0, 0x34, 0x12, 0, 0];
        serial.extend_from_slice(ROUTE);
        serial.extend([6, 0, 16, 0, 0x01, 0x10, 0, 0]);
        let told = items(&[
            (Side::A, b"500000FF03FF000018001004010000D*0001000002".to_vec()),
            (Side::B, b"D00000FF03FF00000C000000070008".to_vec()),
            (Side::A, b"500000FF03FF00000C001001010000".to_vec()),
            (Side::B, b"D00000FF03FF0000180000FX5U-32MT/ES    4A29".to_vec()),
            (Side::A, serial),
        ]);
        assert_eq!(
            vec![
                ("device-read", Some(0x0401), "D 100-101".to_owned(), Outcome::Ok),
                ("read-type-name", Some(0x0101), String::new(), Outcome::Ok),
                ("remote-run", Some(0x1001), String::new(), Outcome::Unseen),
            ],
            coded_operations(&told)
        );
        assert_eq!(vec![("model", "FX5U-32MT/ES".to_owned())], claims(&told));
    }

    #[test]
    fn melsoft_names_the_model_files_and_stops() {
        let mut open = vec![0, 0, 0, 0, 0, 0, 4, 0, 14, 0];
        open.extend("$A.PRG\0".encode_utf16().flat_map(u16::to_le_bytes));
        let told = items(&[
            engineer(Side::A, MELSOFT_READ_MODEL, &[0, 0, 0, 1]),
            engineer(Side::B, MELSOFT_READ_MODEL, b"\0\0FX5U-32MT/ES\0\0\0\0\x29\x4a\0\x08"),
            engineer(Side::A, 0x1867, &open),
            engineer(Side::B, 0x1867, &[0, 0, 0x92, 0]),
            engineer(Side::A, 0x1002, &[1, 0]),
            engineer(Side::B, 0x1002, &[0x10, 0x40]),
        ]);
        assert_eq!(
            vec![
                ("melsoft-read-model", Some(0x0121), String::new(), Outcome::Ok),
                ("melsoft-file", Some(0x1867), "file $A.PRG".to_owned(), Outcome::Ok),
                ("melsoft-remote-stop", Some(0x1002), String::new(), Outcome::Error),
            ],
            coded_operations(&told)
        );
        assert_eq!(vec![("model", "FX5U-32MT/ES".to_owned())], claims(&told));
    }

    #[test]
    fn a_password_is_told_and_never_kept() {
        let told = items(&[request(UNLOCK, 0, b"\x04\0xxxx"), response(0, &[])]);
        let kinds: Vec<_> = events(&told).iter().map(|event| event.kind).collect();
        assert_eq!(vec!["cleartext-credentials", "login"], kinds);
        assert!(!format!("{told:?}").contains("120, 120"));
    }

    #[test]
    fn the_probe_wants_a_route_a_length_and_a_command() {
        let (_, read) = request(READ, 0, &[100, 0, 0, 0xa8, 1, 0]);
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::A, &read)));
        assert_eq!(Probe::Likely, testing::probe(&PROTOCOL, (Side::B, &response(0, &[]).1)));
        let (_, model) = engineer(Side::A, MELSOFT_READ_MODEL, &[]);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &model)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &read[..9])));
        let mut wrong = read.clone();
        wrong[4] = 0x77;
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &wrong)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"PUT / HTTP/1.1")));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"DATA 500 more")));
        let (_, mut short) = request(READ, 0, &[]);
        short[7] = 2;
        let items = items(&[(Side::A, read), (Side::A, short)]);
        assert!(items.iter().any(
            |item| matches!(item, Item::Violation(violation) if violation.rule == "melsec-length")
        ));
    }

    #[test]
    fn survives_hostile_bytes() {
        let mut conversation = conversation();
        conversation.push((Side::A, b"500000FF03FF000018001004010000D*0001000002".to_vec()));
        conversation.push(engineer(Side::A, 0x1867, &[14, 0, b'$', 0, b'A', 0]));
        let messages: Vec<_> = conversation.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::survives(&PROTOCOL, &messages);
    }
}
