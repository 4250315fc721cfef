//! DNP3 (IEEE 1815) over TCP, UDP and whatever carries its link layer.
//!
//! Sources: IEEE Std 1815-2012: §9 data link layer (frame, CRC, function codes), §8 transport
//! function, §4.2 and §5 application layer (header, function codes, IIN bits, qualifiers), Annex A
//! object library (groups 0, 12, 41, 50, 60, 70, 80), §7 secure authentication (group 120, names
//! only).
//!
//! Rules broken on the wire:
//! * `dnp3-start`: bytes inside a session are no frame start (0x05 0x64, length of at least 5).
//! * `dnp3-crc`: a CRC of the header or of a data block is wrong.
//! * `dnp3-function`: a reserved application function code.
//! * `dnp3-object`: object headers or control objects that end early.
//! * `dnp3-reserved-iin`: reserved IIN bits are set.
//!
//! Not decoded: measured values in responses, secure authentication, data sets, file contents.

use std::fmt::Write as _;

use compact_str::{CompactString, format_compact};
use otic_wire::{Cursor, SpanMap};

use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Event, Evidence, Item, Object, Operation,
    Out, Outcome, Value, Who,
};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side, Transport};
use crate::text;

/// DNP3.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "DNP3",
    roles: ("master", "outstation"),
    carriers: &[Carrier::Tcp(&[PORT]), Carrier::Udp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Dnp3::new()) },
    source: "IEEE Std 1815-2012",
};

const NAME: &str = "dnp3";
const UNSOLICITED: &str = "dnp3-unsolicited";
const LINK: &str = "dnp3-link";
const PORT: u16 = 20000;

const START: [u8; 2] = [0x05, 0x64];
/// Start, length, control, two addresses, CRC.
const HEADER: usize = 10;
const BLOCK: usize = 16;

const CONFIRM: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;
const SELECT: u8 = 3;
const OPERATE: u8 = 4;
const DIRECT_OPERATE: u8 = 5;
const DIRECT_OPERATE_NO_ACK: u8 = 6;
const OPEN_FILE: u8 = 25;
const AUTHENTICATION_REQUEST: u8 = 32;
const RESPONSE: u8 = 129;
const UNSOLICITED_RESPONSE: u8 = 130;
const AUTHENTICATION_RESPONSE: u8 = 131;

/// IIN2: function not supported, object unknown, parameter error.
const IIN_REFUSED: u16 = 0x0007;
/// Bits that refuse the request that a response answers (§4.5).
const IIN_REFUSALS: [(u16, &str); 3] =
    [(0x0001, "function-not-supported"), (0x0002, "object-unknown"), (0x0004, "parameter-error")];
/// Bits that say how the outstation is, told when they change: (mask of IIN1 << 8 | IIN2, name).
const IIN_STATES: [(u16, &str); 6] = [
    (0x8000, "device-restart"),
    (0x4000, "device-trouble"),
    (0x2000, "local-control"),
    (0x0008, "event-buffer-overflow"),
    (0x0010, "already-executing"),
    (0x0020, "configuration-corrupt"),
];
const IIN_RESERVED: u16 = 0x00c0;

/// Name and action of an application function code.
const fn function(code: u8) -> (&'static str, Action) {
    use Action::{Authenticate, Configuration, Control, Diagnostics, File, Reset, Subscribe};
    match code {
        0 => ("confirm", Action::Session),
        1 => ("read", Action::Read),
        2 => ("write", Action::Write),
        3 => ("select", Control),
        4 => ("operate", Control),
        5 => ("direct-operate", Control),
        6 => ("direct-operate-no-ack", Control),
        7 => ("immediate-freeze", Control),
        8 => ("immediate-freeze-no-ack", Control),
        9 => ("freeze-and-clear", Control),
        10 => ("freeze-and-clear-no-ack", Control),
        11 => ("freeze-at-time", Control),
        12 => ("freeze-at-time-no-ack", Control),
        13 => ("cold-restart", Reset),
        14 => ("warm-restart", Reset),
        15 => ("initialize-data", Configuration),
        16 => ("initialize-application", Configuration),
        17 => ("start-application", Action::Start),
        18 => ("stop-application", Action::Stop),
        19 => ("save-configuration", Configuration),
        20 => ("enable-unsolicited", Subscribe),
        21 => ("disable-unsolicited", Subscribe),
        22 => ("assign-class", Configuration),
        23 => ("delay-measurement", Diagnostics),
        24 => ("record-current-time", Configuration),
        25 => ("open-file", File),
        26 => ("close-file", File),
        27 => ("delete-file", File),
        28 => ("get-file-information", File),
        29 => ("authenticate-file", File),
        30 => ("abort-file", File),
        31 => ("activate-configuration", Configuration),
        32 => ("authentication-request", Authenticate),
        33 => ("authentication-request-no-ack", Authenticate),
        129 => ("response", Action::Read),
        130 => ("unsolicited-response", Action::Read),
        131 => ("authentication-response", Authenticate),
        _ => ("unknown", Diagnostics),
    }
}

/// Whether a function code is answered.
const fn is_answered(code: u8) -> bool {
    !matches!(code, 0 | 6 | 8 | 10 | 12 | 33)
}

/// Name and action of a primary link function.
const fn link_function(code: u8) -> (&'static str, Action) {
    match code {
        0 => ("reset-link-states", Action::Session),
        1 => ("reset-user-process", Action::Reset),
        2 => ("test-link-states", Action::Diagnostics),
        9 => ("request-link-status", Action::Diagnostics),
        _ => ("unknown", Action::Diagnostics),
    }
}

/// CRC-16/DNP (§9.2.4.3): polynomial 0x3D65 reflected, complemented.
fn crc(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let mut value = at as u16;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0xa6bc } else { value >> 1 };
                bit += 1;
            }
            #[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
            {
                table[at] = value;
            }
            at += 1;
        }
        table
    };
    let step = |crc: u16, byte: &u8| {
        let row = TABLE.get(usize::from((crc ^ u16::from(*byte)) & 0xff)).copied().unwrap_or(0);
        crc >> 8 ^ row
    };
    !bytes.iter().fold(0, step)
}

fn crc_fits(bytes: &[u8], expected: [u8; 2]) -> bool {
    crc(bytes) == u16::from_le_bytes(expected)
}

/// A link frame.
struct Frame<'a> {
    control: u8,
    destination: u16,
    source: u16,
    /// Data blocks with their CRCs.
    blocks: &'a [u8],
    /// Bytes of the whole frame.
    all: &'a [u8],
}

enum Front<'a> {
    Frame(Frame<'a>),
    Incomplete,
    Broken(&'static str),
}

fn front(bytes: &[u8]) -> Front<'_> {
    let start = bytes.get(..bytes.len().min(2)).unwrap_or_default();
    if !START.starts_with(start) {
        return Front::Broken("dnp3-start");
    }
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
        return if bytes.get(2).is_some_and(|length| *length < 5) {
            Front::Broken("dnp3-start")
        } else {
            Front::Incomplete
        };
    };
    let [_, _, length, control, d0, d1, s0, s1, crc0, crc1] = *header;
    if length < 5 {
        return Front::Broken("dnp3-start");
    }
    if !crc_fits(header.get(..8).unwrap_or_default(), [crc0, crc1]) {
        return Front::Broken("dnp3-crc");
    }
    let data = usize::from(length) - 5;
    let wanted = data + 2 * data.div_ceil(BLOCK);
    let Some(blocks) = rest.get(..wanted) else { return Front::Incomplete };
    Front::Frame(Frame {
        control,
        destination: u16::from_le_bytes([d0, d1]),
        source: u16::from_le_bytes([s0, s1]),
        blocks,
        all: bytes.get(..HEADER + wanted).unwrap_or(bytes),
    })
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Frame(_) => Probe::Certain,
        Front::Broken(_) => Probe::No,
        // A good header CRC over eight bytes is no accident.
        Front::Incomplete if input.bytes.len() >= HEADER => Probe::Certain,
        Front::Incomplete if input.transport == Transport::Tcp => Probe::More,
        Front::Incomplete => Probe::No,
    }
}

/// An application fragment in the making.
#[derive(Default)]
struct Assembly {
    source: u16,
    destination: u16,
    from_a: bool,
    next: u8,
    bytes: Vec<u8>,
    spans: SpanMap,
}

/// Most link frames' data joined to one fragment, and most fragments in the making.
const FRAGMENT_CAP: usize = 64 * 1024;
const ASSEMBLIES: usize = 8;

/// Size of an object's data.
enum Size {
    Bytes(usize),
    Bits(usize),
    /// A device attribute: type, length, data (Annex A.1).
    Attribute,
    Unknown,
}

/// Sizes of the objects that requests carry (and control responses repeat).
const fn size(group: u8, variation: u8) -> Size {
    match (group, variation) {
        (0, 1..=253) => Size::Attribute,
        (1 | 10 | 80, 1) => Size::Bits(1),
        (10, 2) => Size::Bytes(1),
        (12, 1 | 2) => Size::Bytes(11),
        (12, 3) => Size::Bits(1),
        (34, 1) => Size::Bytes(2),
        (34, 2 | 3) => Size::Bytes(4),
        (41, 1 | 3) => Size::Bytes(5),
        (41, 2) => Size::Bytes(3),
        (41, 4) => Size::Bytes(9),
        (50, 1 | 3) => Size::Bytes(6),
        (50, 2) => Size::Bytes(10),
        (50, 4) => Size::Bytes(11),
        (51, 1 | 2) => Size::Bytes(6),
        (52, 1 | 2) => Size::Bytes(2),
        (60, _) => Size::Bytes(0),
        _ => Size::Unknown,
    }
}

/// What an object header selects (§4.2.2.7.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Range {
    All,
    /// First index, number.
    Run(u32, u32),
    /// Number of objects, indices in front of each or none.
    Count(u32),
}

#[derive(Clone, Copy)]
struct Header {
    group: u8,
    variation: u8,
    prefix: u8,
    range: Range,
}

impl Header {
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let [group, variation, qualifier] = cursor.array().ok()?;
        let run = |first: u32, last: u32| {
            let count = last.checked_sub(first)?.checked_add(1)?;
            Some(Range::Run(first, count))
        };
        let range = match qualifier & 0x0f {
            0 | 3 => run(cursor.u8().ok()?.into(), cursor.u8().ok()?.into())?,
            1 | 4 => run(cursor.u16_le().ok()?.into(), cursor.u16_le().ok()?.into())?,
            2 | 5 => run(cursor.u32_le().ok()?, cursor.u32_le().ok()?)?,
            6 => Range::All,
            7 | 0x0b => Range::Count(cursor.u8().ok()?.into()),
            8 => Range::Count(cursor.u16_le().ok()?.into()),
            9 => Range::Count(cursor.u32_le().ok()?),
            _ => return None,
        };
        Some(Self { group, variation, prefix: qualifier >> 4 & 7, range })
    }

    const fn count(&self) -> u32 {
        match self.range {
            Range::All => 0,
            Range::Run(_, count) | Range::Count(count) => count,
        }
    }
}

/// How reading the objects ended.
#[derive(PartialEq, Eq)]
enum End {
    /// All read.
    Done,
    /// An object of a size not known here.
    Unknown,
    /// Bytes are missing.
    Short,
}

/// Reads object headers, and objects where `with_data`; calls `each` with every header (no index,
/// no data) and every object in it.
fn walk<'a>(
    bytes: &'a [u8],
    with_data: bool,
    mut each: impl FnMut(&Header, Option<(u32, &'a [u8])>),
) -> End {
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_empty() {
        let Some(header) = Header::read(&mut cursor) else { return End::Short };
        each(&header, None);
        let size = size(header.group, header.variation);
        if let (Size::Bits(bits), true, 0) = (&size, with_data, header.prefix) {
            let length = (header.count() as usize).saturating_mul(*bits).div_ceil(8);
            if cursor.skip(length).is_err() {
                return End::Short;
            }
            continue;
        }
        if header.prefix == 0 && !with_data {
            continue;
        }
        let first = if let Range::Run(first, _) = header.range { first } else { 0 };
        for at in 0..header.count() {
            // Every round uses up bytes or ends, whatever the count says.
            let before = cursor.position();
            let prefix = match header.prefix {
                1 | 4 => cursor.u8().map(u32::from),
                2 | 5 => cursor.u16_le().map(u32::from),
                3 | 6 => cursor.u32_le(),
                _ => Ok(first.wrapping_add(at)),
            };
            let Ok(prefix) = prefix else { return End::Short };
            let length = match (header.prefix, with_data, &size) {
                (4..=6, ..) => prefix as usize,
                (_, false, _) => 0,
                (_, _, Size::Bytes(length)) => *length,
                (_, _, Size::Attribute) => {
                    2 + usize::from(cursor.rest().get(1).copied().unwrap_or(0))
                }
                (_, _, Size::Bits(bits)) => bits.div_ceil(8),
                (_, _, Size::Unknown) => return End::Unknown,
            };
            let Ok(data) = cursor.take(length) else { return End::Short };
            each(&header, Some((prefix, data)));
            if cursor.position() == before {
                break;
            }
        }
    }
    End::Done
}

/// Most headers and indices an operation's object spells out.
const SPELLED: usize = 8;

/// The objects of a request as text: `g12v1 3`, `g60v2 g60v3`, `g30v0 0-9`.
fn objects(bytes: &[u8], with_data: bool) -> (CompactString, End) {
    let mut text = CompactString::default();
    let (mut headers, mut indices) = (0, 0);
    let end = walk(bytes, with_data, |header, object| match object {
        None => {
            headers += 1;
            indices = 0;
            if headers > SPELLED {
                return;
            }
            if headers > 1 {
                text.push(' ');
            }
            let _ = write!(text, "g{}v{}", header.group, header.variation);
            if let Range::Run(first, count) = header.range {
                let _ = write!(text, " {first}");
                if count > 1 {
                    let _ = write!(text, "-{}", first.saturating_add(count - 1));
                }
            }
        }
        Some((index, _)) if matches!(header.prefix, 1..=3) => {
            indices += 1;
            if headers <= SPELLED && indices <= SPELLED {
                text.push(if indices == 1 { ' ' } else { ',' });
                let _ = write!(text, "{index}");
            }
        }
        Some(_) => {}
    });
    if headers > SPELLED {
        let _ = write!(text, " +{}", headers - SPELLED);
    }
    (text, end)
}

/// A control of groups 12 and 41: point, value, how its bytes give it.
struct Control<'a> {
    object: Object,
    value: Value,
    decode: Decode,
    raw: &'a [u8],
    status: u8,
}

fn control<'a>(header: &Header, index: u32, data: &'a [u8]) -> Option<Control<'a>> {
    let status = data.last().copied()?;
    let (object, value, decode, raw) = match (header.group, header.variation) {
        (12, 1) => {
            let code = *data.first()?;
            let operation = match code & 0x0f {
                0 => "nul",
                1 => "pulse-on",
                2 => "pulse-off",
                3 => "latch-on",
                4 => "latch-off",
                _ => "reserved",
            };
            let value = match code >> 6 {
                1 => format_compact!("{operation} close"),
                2 => format_compact!("{operation} trip"),
                _ => operation.into(),
            };
            let object = Object::Range { space: "binary-output", first: index, count: 1 };
            (object, Value::Text(value), Decode::Derived, data.get(..1)?)
        }
        (41, variation) => {
            let raw = data.get(..data.len() - 1)?;
            let (value, decode) = match (variation, raw) {
                (1, [a, b, c, d]) => integer(i64::from(i32::from_le_bytes([*a, *b, *c, *d]))),
                (2, [a, b]) => integer(i64::from(i16::from_le_bytes([*a, *b]))),
                (3, [a, b, c, d]) => {
                    let real = f64::from(f32::from_le_bytes([*a, *b, *c, *d]));
                    (Value::Real(real), Decode::Derived)
                }
                (4, _) => {
                    let real = f64::from_le_bytes(*raw.first_chunk::<8>()?);
                    (Value::Real(real), Decode::Derived)
                }
                _ => return None,
            };
            let object = Object::Range { space: "analog-output", first: index, count: 1 };
            (object, value, decode, raw)
        }
        _ => return None,
    };
    Some(Control { object, value, decode, raw, status })
}

fn integer(number: i64) -> (Value, Decode) {
    (Value::Integer(number), if number < 0 { Decode::Derived } else { Decode::UnsignedLe })
}

/// A request that waits for its response.
struct Request {
    operation: Operation,
    writes: Vec<(Object, Value, Evidence)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    master: Side,
    source: u16,
    destination: u16,
    sequence: u8,
    authentication: bool,
}

/// Addresses a message went between.
#[derive(Clone, Copy)]
struct Ends {
    source: u16,
    destination: u16,
}

impl Ends {
    const fn children(self) -> (Child, Child) {
        (Child::Number(NAME, self.source as u32), Child::Number(NAME, self.destination as u32))
    }
}

/// A flow that carries DNP3.
struct Dnp3 {
    client_said: bool,
    synchronised: [bool; 2],
    reported: bool,
    assemblies: Vec<Assembly>,
    pending: Pending<Key, Request>,
    /// A primary link service each side waits to be answered.
    links: [Option<Operation>; 2],
    /// IIN bits last told of an outstation.
    told: Vec<(u16, u16)>,
    /// Values last commanded of a point of an outstation.
    known: Vec<(u16, Object, Value)>,
    /// Names of open files by handle.
    files: Vec<(u32, Object)>,
}

const KNOWN: usize = 256;

impl Dnp3 {
    fn new() -> Self {
        Self {
            client_said: false,
            synchronised: [false; 2],
            reported: false,
            assemblies: Vec::new(),
            pending: Pending::new(64),
            links: [None, None],
            told: Vec::new(),
            known: Vec::new(),
            files: Vec::new(),
        }
    }

    fn broken(&mut self, input: &Input<'_>, rule: &'static str, part: &[u8], out: &mut Out) {
        if !std::mem::replace(&mut self.reported, true) {
            violation(input, rule, part.get(..part.len().min(32)).unwrap_or(part), out);
        }
    }

    fn frame(&mut self, input: &Input<'_>, frame: &Frame<'_>, out: &mut Out) {
        let ends = Ends { source: frame.source, destination: frame.destination };
        let primary = frame.control & 0x40 != 0;
        match (primary, frame.control & 0x0f) {
            // Confirmed and unconfirmed user data.
            (true, 3 | 4) => self.user_data(input, ends, frame, out),
            (true, code) => {
                let (name, action) = link_function(code);
                let mut operation =
                    operation(input, ends, LINK, u32::from(code), (name, action), frame.all);
                operation.outcome = Outcome::Unseen;
                let slot = self.links.get_mut(usize::from(input.side == Side::B));
                if let Some(old) = slot.and_then(|slot| slot.replace(operation)) {
                    out.operation(old);
                }
            }
            (false, code) => {
                let slot = self.links.get_mut(usize::from(input.side == Side::A));
                if let Some(mut waiting) = slot.and_then(Option::take) {
                    // 1 is NACK, 15 not supported
                    let refused = matches!(code, 1 | 15);
                    waiting.outcome = if refused { Outcome::Error } else { Outcome::Ok };
                    out.operation(waiting);
                }
            }
        }
    }

    /// Joins the blocks of a frame, and frames to a fragment (§8).
    fn user_data(&mut self, input: &Input<'_>, ends: Ends, frame: &Frame<'_>, out: &mut Out) {
        let Some(&header) = frame.blocks.first() else { return };
        let (fin, fir, sequence) = (header & 0x80 != 0, header & 0x40 != 0, header & 0x3f);
        let from_a = input.side == Side::A;
        let same = |assembly: &Assembly| {
            (assembly.from_a, assembly.source, assembly.destination)
                == (from_a, ends.source, ends.destination)
        };
        let at = self.assemblies.iter().position(same);
        let mut assembly = match (at, fir) {
            (Some(at), _) => self.assemblies.swap_remove(at),
            (None, true) => Assembly {
                source: ends.source,
                destination: ends.destination,
                from_a,
                ..Assembly::default()
            },
            (None, false) => {
                out.push(Item::NotDecoded(NAME, "fragment-start-not-seen"));
                return;
            }
        };
        if fir {
            assembly.bytes.clear();
            assembly.spans.clear();
        } else if assembly.next != sequence || assembly.bytes.is_empty() {
            assembly.bytes.clear();
            out.push(Item::NotDecoded(NAME, "fragment-lost"));
            self.keep(assembly);
            return;
        }
        assembly.next = (sequence + 1) & 0x3f;
        let mut skip = 1;
        for block in frame.blocks.chunks(BLOCK + 2) {
            let Some((data, crc)) = block.split_last_chunk::<2>() else { break };
            if !crc_fits(data, *crc) {
                violation(input, "dnp3-crc", block, out);
                assembly.bytes.clear();
                self.keep(assembly);
                return;
            }
            let data = data.get(skip..).unwrap_or_default();
            skip = 0;
            assembly.bytes.extend_from_slice(data);
            for span in input.locate(data) {
                assembly.spans.push(span);
            }
        }
        if assembly.bytes.len() > FRAGMENT_CAP {
            assembly.bytes.clear();
        }
        if fin {
            let whole = input.with_bytes(&assembly.bytes, &assembly.spans);
            self.fragment(&whole, ends, out);
            assembly.bytes.clear();
            assembly.spans.clear();
        }
        self.keep(assembly);
    }

    fn keep(&mut self, assembly: Assembly) {
        if self.assemblies.len() >= ASSEMBLIES {
            self.assemblies.remove(0);
        }
        self.assemblies.push(assembly);
    }

    /// One application fragment.
    fn fragment(&mut self, input: &Input<'_>, ends: Ends, out: &mut Out) {
        let mut cursor = Cursor::new(input.bytes);
        let (Ok(control), Ok(code)) = (cursor.u8(), cursor.u8()) else { return };
        match code {
            RESPONSE | UNSOLICITED_RESPONSE | AUTHENTICATION_RESPONSE => {
                let Ok(iin) = cursor.u16_be() else {
                    violation(input, "dnp3-object", input.bytes, out);
                    return;
                };
                self.response(input, ends, (control, code, iin), cursor.rest(), out);
            }
            _ => self.request(input, ends, (control, code), cursor.rest(), out),
        }
    }

    fn request(
        &mut self,
        input: &Input<'_>,
        ends: Ends,
        (application_control, code): (u8, u8),
        data: &[u8],
        out: &mut Out,
    ) {
        if !std::mem::replace(&mut self.client_said, true) {
            out.push(Item::Client(input.side));
        }
        if code > 33 {
            violation(input, "dnp3-function", input.bytes, out);
        }
        let (name, action) = function(code);
        let mut operation =
            operation(input, ends, NAME, u32::from(code), (name, action), input.bytes);
        let mut writes = Vec::new();
        if code != CONFIRM {
            let with_data = matches!(code, WRITE..=DIRECT_OPERATE_NO_ACK | 24..=33);
            let (object, end) = objects(data, with_data);
            operation.object = self.file(data).unwrap_or(Object::Text(object));
            if operation.object == Object::Text(CompactString::default()) {
                operation.object = Object::None;
            }
            operation.action = refine(code, action, data.first().copied());
            if end == End::Short && !input.truncated {
                violation(input, "dnp3-object", input.bytes, out);
            }
            credentials(input, data, out);
            if matches!(code, OPERATE | DIRECT_OPERATE | DIRECT_OPERATE_NO_ACK) {
                walk(data, true, |header, object| {
                    if let Some((index, data)) = object
                        && let Some(control) = control(header, index, data)
                    {
                        let evidence = input.evidence(control.raw, control.decode);
                        writes.push((control.object, control.value, evidence));
                    }
                });
            }
        }
        let request = Request { operation, writes };
        // 0xFFFD to 0xFFFF are broadcasts, which nobody answers (§9.2.4.1.3).
        if !is_answered(code) || ends.destination >= 0xfffd {
            self.complete(request, Outcome::None, &[], out);
            return;
        }
        let key = Key {
            master: input.side,
            source: ends.source,
            destination: ends.destination,
            sequence: application_control & 0x0f,
            authentication: code == AUTHENTICATION_REQUEST,
        };
        if let Some(old) = self.pending.take(&key) {
            self.complete(old, Outcome::Unseen, &[], out);
        }
        if let Some(evicted) = self.pending.insert(key, request) {
            self.complete(evicted, Outcome::Unseen, &[], out);
        }
    }

    fn response(
        &mut self,
        input: &Input<'_>,
        ends: Ends,
        (application_control, code, iin): (u8, u8, u16),
        data: &[u8],
        out: &mut Out,
    ) {
        attributes(input, ends, data, out);
        let (name, action) = function(code);
        if code == UNSOLICITED_RESPONSE {
            self.indications(input, ends, iin, None, out);
            let mut push =
                operation(input, ends, UNSOLICITED, u32::from(code), (name, action), input.bytes);
            push.outcome = Outcome::None;
            let mut cursor = Cursor::new(data);
            if let Some(header) = Header::read(&mut cursor) {
                push.object =
                    Object::Text(format_compact!("g{}v{}", header.group, header.variation));
            }
            out.operation(push);
            return;
        }
        let authentication = code == AUTHENTICATION_RESPONSE;
        let mut key = Key {
            master: input.side.other(),
            source: ends.destination,
            destination: ends.source,
            sequence: application_control & 0x0f,
            authentication,
        };
        let asked = self.pending.get_mut(&key).map(|request| request.operation.name);
        self.indications(input, ends, iin, asked, out);
        let refused = iin & IIN_REFUSED != 0;
        // Group 120 variation 7 is an authentication error.
        let failed = authentication && data.starts_with(&[120, 7]);
        let outcome = if refused || failed { Outcome::Error } else { Outcome::Ok };
        let waiting = self.pending.take(&key);
        let found = waiting.is_some();
        if let Some(request) = waiting {
            let mut refusals = Vec::new();
            if matches!(request.operation.code, Some(3..=5)) {
                walk(data, true, |header, object| {
                    if let Some((index, data)) = object
                        && let Some(control) = control(header, index, data)
                        && control.status != 0
                    {
                        refusals.push(control.object);
                    }
                });
            }
            if request.operation.code == Some(u32::from(OPEN_FILE)) {
                self.opened(&request.operation.object, data);
            }
            let outcome = if refusals.is_empty() { outcome } else { Outcome::Error };
            self.complete(request, outcome, &refusals, out);
        }
        if !authentication {
            // The answer to a challenged request answers the authentication as well.
            key.authentication = true;
            if let Some(request) = self.pending.take(&key) {
                self.complete(request, outcome, &[], out);
            }
        }
        // Later fragments of a response (FIR not set) and challenges belong to no request.
        if !found && !authentication && application_control & 0x80 != 0 {
            let mut unpaired =
                operation(input, ends, NAME, u32::from(code), (name, action), input.bytes);
            unpaired.sender = input.side.other();
            std::mem::swap(&mut unpaired.client_child, &mut unpaired.server_child);
            unpaired.code = None;
            unpaired.outcome = outcome;
            out.unpaired(unpaired);
        }
    }

    /// Pushes the operation and what it commanded, without the refused points.
    fn complete(
        &mut self,
        mut request: Request,
        outcome: Outcome,
        refusals: &[Object],
        out: &mut Out,
    ) {
        request.operation.outcome = outcome;
        let (sender, ts_ns) = (request.operation.sender, request.operation.ts_ns);
        let server_child = request.operation.server_child.clone();
        let address = match server_child {
            Child::Number(_, address) => address as u16,
            _ => 0,
        };
        out.operation(request.operation);
        if outcome == Outcome::Error && refusals.is_empty() {
            return;
        }
        for (object, new, evidence) in request.writes {
            if refusals.contains(&object) {
                continue;
            }
            let at = self
                .known
                .iter()
                .position(|(outstation, known, _)| *outstation == address && *known == object);
            let old = at.map(|at| self.known.swap_remove(at).2);
            if self.known.len() >= KNOWN {
                self.known.remove(0);
            }
            self.known.push((address, object.clone(), new.clone()));
            out.push(Item::Change(Change {
                protocol: NAME,
                connection: NAME,
                sender,
                server_child: server_child.clone(),
                object,
                old,
                new,
                evidence,
                ts_ns,
            }));
        }
    }

    /// Internal indications that matter: refusals each time, of the function that was `asked` for;
    /// states when they change.
    fn indications(
        &mut self,
        input: &Input<'_>,
        ends: Ends,
        iin: u16,
        asked: Option<&'static str>,
        out: &mut Out,
    ) {
        let evidence = input.bytes.get(2..4).unwrap_or_default();
        let outstation = || ("outstation", format_compact!("{}", ends.source));
        for (bit, name) in IIN_REFUSALS {
            if iin & bit != 0 {
                let mut values = vec![("bit", CompactString::const_new(name))];
                values.extend(asked.map(|asked| ("function", CompactString::const_new(asked))));
                values.push(outstation());
                out.push(Item::Event(Event {
                    kind: "iin",
                    protocol: NAME,
                    sender: input.side.other(),
                    values,
                    evidence: input.locate(evidence),
                }));
            }
        }
        let mask = IIN_STATES.iter().fold(IIN_RESERVED, |mask, (bit, _)| mask | bit);
        let bits = iin & mask;
        match self.told.iter_mut().find(|(address, _)| *address == ends.source) {
            Some((_, told)) if *told == bits => return,
            Some((_, told)) => *told = bits,
            None if bits == 0 => return,
            None => {
                if self.told.len() >= 64 {
                    self.told.remove(0);
                }
                self.told.push((ends.source, bits));
            }
        }
        for (bit, name) in IIN_STATES {
            if bits & bit != 0 {
                out.push(Item::Event(Event {
                    kind: "iin",
                    protocol: NAME,
                    sender: input.side,
                    values: vec![("bit", CompactString::const_new(name)), outstation()],
                    evidence: input.locate(evidence),
                }));
            }
        }
        if bits & IIN_RESERVED != 0 {
            violation(input, "dnp3-reserved-iin", evidence, out);
        }
    }

    /// The file a request of group 70 is about.
    fn file(&self, data: &[u8]) -> Option<Object> {
        let (variation, object) = file_object(data)?;
        let mut cursor = Cursor::new(object);
        match variation {
            // name offset (always 26 or 20), name size
            3 | 7 => {
                let _offset = cursor.u16_le().ok()?;
                let length = usize::from(cursor.u16_le().ok()?);
                cursor.skip(if variation == 3 { 22 } else { 16 }).ok()?;
                let name = text::utf8(text::trim(cursor.take(length).ok()?));
                Some(Object::Text(format_compact!("file {name}")))
            }
            4..=6 => {
                let handle = cursor.u32_le().ok()?;
                let known = self.files.iter().find(|(known, _)| *known == handle);
                Some(known.map_or_else(
                    || Object::Number { kind: "file-handle", number: handle },
                    |(_, object)| object.clone(),
                ))
            }
            _ => None,
        }
    }

    /// Remembers the handle of a file just opened (group 70 variation 4).
    fn opened(&mut self, object: &Object, data: &[u8]) {
        if let Some((4, status)) = file_object(data)
            && let Ok(handle) = Cursor::new(status).u32_le()
            && handle != 0
        {
            self.files.retain(|(known, _)| *known != handle);
            if self.files.len() >= 8 {
                self.files.remove(0);
            }
            self.files.push((handle, object.clone()));
        }
    }

    fn set_synchronised(&mut self, direction: usize, synchronised: bool) {
        if let Some(slot) = self.synchronised.get_mut(direction) {
            *slot = synchronised;
        }
    }
}

/// Variation and data of the first object, if of group 70.
fn file_object(data: &[u8]) -> Option<(u8, &[u8])> {
    if data.first() != Some(&70) {
        return None;
    }
    let mut found = None;
    walk(data, true, |header, object| {
        if let (None, Some((_, data))) = (&found, object) {
            found = Some((header.variation, data));
        }
    });
    found
}

/// Group 70 variation 2: the name of a user and a password in clear text; the password stays out.
fn credentials(input: &Input<'_>, data: &[u8], out: &mut Out) -> Option<()> {
    let (2, object) = file_object(data)? else { return None };
    let mut cursor = Cursor::new(object);
    let _offset = cursor.u16_le().ok()?;
    let length = usize::from(cursor.u16_le().ok()?);
    // password offset and size, authentication key
    cursor.skip(8).ok()?;
    let user = cursor.take(length).ok()?;
    if length > 0 {
        out.push(Item::Event(Event {
            kind: "cleartext-credentials",
            protocol: NAME,
            sender: input.side,
            values: vec![("user", text::utf8(text::trim(user)))],
            evidence: input.locate(user),
        }));
    }
    Some(())
}

/// What a read or write is for, by its first group.
const fn refine(code: u8, action: Action, group: Option<u8>) -> Action {
    match (code, group) {
        (READ, Some(0)) => Action::Identify,
        (READ | WRITE, Some(70)) => Action::File,
        (WRITE, Some(0 | 50)) => Action::Configuration,
        // Clearing the restart bit is part of every start-up.
        (WRITE, Some(80)) => Action::Diagnostics,
        (READ | WRITE | SELECT, Some(120)) => Action::Authenticate,
        _ => action,
    }
}

/// Device attributes (group 0) that name the outstation.
fn attributes(input: &Input<'_>, ends: Ends, data: &[u8], out: &mut Out) {
    if data.first() != Some(&0) {
        return;
    }
    walk(data, true, |header, object| {
        let Some((_, data)) = object else { return };
        let attribute = match (header.group, header.variation) {
            (0, 242) => "firmware",
            (0, 243) => "hardware",
            (0, 245) => "location",
            (0, 246) => "id_code",
            (0, 247) => "name",
            (0, 248) => "serial",
            (0, 250) => "model",
            (0, 252) => "vendor",
            _ => return,
        };
        // type 1 is a text (VSTR), then its length
        let [1, _, value @ ..] = data else { return };
        let value = text::trim(value);
        out.claim(Claim {
            who: Who::Sender(Child::Number(NAME, u32::from(ends.source))),
            attribute,
            value: text::utf8(value),
            protocol: NAME,
            message: "device-attribute",
            confidence: Confidence::High,
            evidence: input.evidence(value, Decode::Utf8),
        });
    });
}

fn violation(input: &Input<'_>, rule: &'static str, part: &[u8], out: &mut Out) {
    out.push(input.violation(NAME, rule, part));
}

fn operation(
    input: &Input<'_>,
    ends: Ends,
    protocol: &'static str,
    code: u32,
    (name, action): (&'static str, Action),
    evidence: &[u8],
) -> Operation {
    let (client_child, server_child) = ends.children();
    Operation {
        protocol,
        connection: NAME,
        sender: input.side,
        code: Some(code),
        name,
        action,
        object: Object::None,
        outcome: Outcome::None,
        client_child,
        server_child,
        evidence: input.locate(evidence),
        ts_ns: input.ts_ns,
    }
}

impl Session for Dnp3 {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let direction = usize::from(input.side == Side::B);
        if input.after_gap {
            self.set_synchronised(direction, false);
            let from_a = input.side == Side::A;
            self.assemblies.retain(|assembly| assembly.from_a != from_a);
        }
        let mut used = 0;
        let mut layers: smallvec::SmallVec<[(u16, u16); 4]> = smallvec::SmallVec::new();
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Frame(frame) => {
                    self.set_synchronised(direction, true);
                    used += frame.all.len();
                    let pair = (frame.source, frame.destination);
                    if !layers.contains(&pair) && layers.len() < 16 {
                        layers.push(pair);
                        let ends = Ends { source: frame.source, destination: frame.destination };
                        let (source, destination) = ends.children();
                        out.layer_between(NAME, input.side, source, destination);
                    }
                    self.frame(input, &frame, out);
                }
                Front::Incomplete => return used,
                Front::Broken(rule) => {
                    if self.synchronised.get(direction) == Some(&true) {
                        self.broken(input, rule, rest, out);
                    }
                    // The link layer is made to find its next start octets (§9.2.4).
                    let next = rest.get(1..).and_then(|rest| memchr::memmem::find(rest, &START));
                    match next {
                        Some(at) => used += 1 + at,
                        None => {
                            self.set_synchronised(direction, false);
                            return input.bytes.len();
                        }
                    }
                }
            }
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for slot in &mut self.links {
            if let Some(operation) = slot.take() {
                out.operation(operation);
            }
        }
        let waiting: Vec<Request> = self.pending.drain().collect();
        for request in waiting {
            self.complete(request, Outcome::Unseen, &[], out);
        }
    }

    fn stream_cap(&self) -> usize {
        4096
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, operations};

    /// A link frame from `source` to `destination` with user data, CRCs computed.
    fn link(control: u8, destination: u8, source: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![5, 0x64, 5 + data.len() as u8, control, destination, 0, source, 0];
        bytes.extend_from_slice(&crc(&bytes).to_le_bytes());
        for block in data.chunks(BLOCK) {
            bytes.extend_from_slice(block);
            bytes.extend_from_slice(&crc(block).to_le_bytes());
        }
        bytes
    }

    /// Master 1 to outstation 10: transport FIR FIN, application FIR FIN sequence 2.
    fn request(code: u8, objects: &[u8]) -> Vec<u8> {
        link(0xc4, 10, 1, &[&[0xc0, 0xc2, code], objects].concat())
    }

    /// The answer, with both IIN octets.
    fn response(iin: [u8; 2], objects: &[u8]) -> Vec<u8> {
        link(0x44, 1, 10, &[&[0xc0, 0xc2, RESPONSE, iin[0], iin[1]], objects].concat())
    }

    /// Group 12 variation 1, one index of one octet: point 3, latch on, once, status.
    fn latch_on(status: u8) -> Vec<u8> {
        vec![12, 1, 0x17, 1, 3, 3, 1, 100, 0, 0, 0, 100, 0, 0, 0, status]
    }

    fn talk(messages: &[(Side, Vec<u8>)]) -> Vec<Item> {
        let messages: Vec<_> = messages.iter().map(|(side, m)| (*side, m.as_slice())).collect();
        testing::items(&PROTOCOL, &messages)
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // the check value of CRC-16/DNP in the catalogue of CRC algorithms
        assert_eq!(0xea82, crc(b"123456789"));
    }

    #[test]
    fn a_class_poll_is_one_operation_between_the_link_addresses() {
        let poll = request(READ, &[60, 2, 6, 60, 3, 6, 60, 4, 6]);
        let items = talk(&[(Side::A, poll), (Side::B, response([0, 0], &[]))]);
        assert_eq!(vec![("read", "g60v2 g60v3 g60v4".into(), Outcome::Ok)], operations(&items));
        assert!(items.iter().any(|item| matches!(item, Item::Operation(op)
            if op.client_child == Child::Number("dnp3", 1)
                && op.server_child == Child::Number("dnp3", 10) && op.code == Some(1))));
    }

    #[test]
    fn an_operated_point_is_a_change() {
        let items = talk(&[
            (Side::A, request(DIRECT_OPERATE, &latch_on(0))),
            (Side::B, response([0, 0], &latch_on(0))),
        ]);
        assert_eq!(vec![("direct-operate", "g12v1 3".into(), Outcome::Ok)], operations(&items));
        assert!(items.iter().any(|item| matches!(item, Item::Change(change)
            if change.object.to_text() == "binary-output 3"
                && change.new == Value::Text("latch-on".into()))));
    }

    #[test]
    fn a_refused_point_is_no_change() {
        for answer in [response([0, 0], &latch_on(4)), response([0, 4], &[])] {
            let items = talk(&[(Side::A, request(OPERATE, &latch_on(0))), (Side::B, answer)]);
            assert_eq!(Outcome::Error, operations(&items)[0].2);
            assert!(!items.iter().any(|item| matches!(item, Item::Change(_))));
        }
    }

    #[test]
    fn device_attributes_name_the_outstation() {
        // g0v252 range 0-0: text, 4 octets; g0v250: text, 2 octets
        let attributes =
            [0, 252, 0, 0, 0, 1, 4, b'A', b'c', b'm', b'e', 0, 250, 0, 0, 0, 1, 2, b'X', b'1'];
        let items = talk(&[
            (Side::A, request(READ, &[0, 254, 0, 0, 0])),
            (Side::B, response([0x80, 0], &attributes)),
        ]);
        let claims: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Claim(claim) => Some((claim.attribute, claim.value.to_string())),
                _ => None,
            })
            .collect();
        assert_eq!(vec![("vendor", "Acme".to_owned()), ("model", "X1".to_owned())], claims);
        assert!(items.iter().any(|item| matches!(item, Item::Event(event)
            if event.kind == "iin" && event.values[0].1 == "device-restart")));
    }

    #[test]
    fn each_refusal_names_what_was_asked_for() {
        let refused = || (Side::B, response([0, 4], &[]));
        let items = talk(&[
            (Side::A, request(OPERATE, &latch_on(0))),
            refused(),
            (Side::A, request(READ, &[60, 2, 6])),
            refused(),
            refused(),
        ]);
        let told: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Event(event) if event.kind == "iin" => Some((event.sender, &event.values)),
                _ => None,
            })
            .collect();
        let bit = || ("bit", CompactString::const_new("parameter-error"));
        let outstation = || ("outstation", CompactString::const_new("10"));
        let of = |name| ("function", CompactString::const_new(name));
        assert_eq!(
            vec![
                (Side::A, &vec![bit(), of("operate"), outstation()]),
                (Side::A, &vec![bit(), of("read"), outstation()]),
                (Side::A, &vec![bit(), outstation()]),
            ],
            told
        );
    }

    #[test]
    fn a_state_is_told_when_it_changes() {
        let items = talk(&[
            (Side::B, response([0x80, 0], &[])),
            (Side::B, response([0x80, 0], &[])),
            (Side::B, response([0, 0], &[])),
            (Side::B, response([0x80, 0], &[])),
        ]);
        let told = items.iter().filter(|item| {
            matches!(item, Item::Event(event) if event.sender == Side::B
                && event.values[0].1 == "device-restart")
        });
        assert_eq!(2, told.count());
    }

    #[test]
    fn a_fragment_over_two_frames_is_joined() {
        let objects = [60, 2, 6, 60, 3, 6, 60, 4, 6];
        let first = link(0xc4, 10, 1, &[&[0x40, 0xc2, READ], &objects[..3]].concat());
        let second = link(0xc4, 10, 1, &[&[0x81], &objects[3..]].concat());
        let items = talk(&[(Side::A, [first, second].concat())]);
        assert_eq!(vec![("read", "g60v2 g60v3 g60v4".into(), Outcome::Unseen)], operations(&items));
    }

    #[test]
    fn files_are_named() {
        // g70v3, free format: offset 26, size 4, time, permissions, key, size, mode, block, id
        let mut file = vec![70, 3, 0x5b, 1, 30, 0, 26, 0, 4, 0];
        file.extend_from_slice(&[0; 22]);
        file.extend_from_slice(b"a.tx");
        let items = talk(&[(Side::A, request(OPEN_FILE, &file))]);
        assert_eq!("file a.tx", operations(&items)[0].1);
    }

    #[test]
    fn unsolicited_responses_and_confirms_are_one_way() {
        let push = link(0x44, 1, 10, &[0xc0, 0xf0, UNSOLICITED_RESPONSE, 0, 0, 2, 1, 0x17, 0]);
        let items = talk(&[(Side::B, push), (Side::A, request(CONFIRM, &[]))]);
        assert_eq!(
            vec![
                ("unsolicited-response", "g2v1".into(), Outcome::None),
                ("confirm", "".into(), Outcome::None)
            ],
            operations(&items)
        );
    }

    #[test]
    fn a_wrong_checksum_is_a_violation() {
        let mut bad = request(READ, &[60, 2, 6]);
        let last = bad.len() - 1;
        bad[last] ^= 1;
        let items = talk(&[(Side::A, bad)]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "dnp3-crc")));
        assert!(operations(&items).is_empty());
    }

    #[test]
    fn the_probe_trusts_the_checksum() {
        let good = request(READ, &[60, 2, 6]);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &good)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &good[..5])));
        let mut bad = good;
        bad[4] ^= 1;
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &bad)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"SSH-2.0-x\r\n")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let conversation = [
            (Side::A, link(0xc9, 10, 1, &[])),
            (Side::B, link(0x0b, 1, 10, &[])),
            (Side::A, request(READ, &[60, 2, 6, 60, 3, 6, 60, 4, 6, 30, 0, 1, 0, 0, 9, 0])),
            (Side::B, response([0x80, 0], &[30, 1, 0, 0, 0, 1, 2, 3, 4, 5])),
            (Side::A, request(DIRECT_OPERATE, &latch_on(0))),
            (Side::B, response([0, 0], &latch_on(0))),
            (Side::A, request(WRITE, &[80, 1, 0, 7, 7, 0])),
            (Side::A, request(WRITE, &[50, 1, 7, 1, 1, 2, 3, 4, 5, 6])),
        ];
        let conversation: Vec<_> =
            conversation.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &conversation);
    }
}
