//! What a definition is compiled to, and how it reads one message.

use otic_wire::{Address, Mac};

use compact_str::{CompactString, ToCompactString};
use crc::Crc;
use smallvec::SmallVec;

use crate::out::{Action, Confidence, Decode, Object};
use crate::text;

/// Most bytes of a message that are looked at; what follows is passed over.
pub const HEAD: usize = 4096;

/// Index of a field's value.
pub type SlotIndex = u16;

/// A compiled definition.
#[derive(Debug)]
pub struct Plan {
    pub(crate) name: &'static str,
    /// Every message of a stream ends with this; none when a field counts its length.
    pub(crate) stream_end: Option<&'static [u8]>,
    /// What fits no kind of message belongs to the one before it.
    pub(crate) others_are_data: bool,
    pub(crate) header: &'static [Step],
    pub(crate) messages: &'static [MessagePlan],
    pub(crate) slots: &'static [SlotPlan],
    pub(crate) pair: &'static [SlotIndex],
    /// Children behind client and server.
    pub(crate) children: [Option<ChildPlan>; 2],
    /// Bits that the header settles.
    pub(crate) header_bits: u32,
    /// Rule that a message breaks whose fields do not fit in it.
    pub(crate) length_rule: &'static str,
}

/// How the value of a field is told.
#[derive(Debug, Clone, Copy)]
pub struct SlotPlan {
    pub decode: Decode,
}

#[derive(Debug)]
pub struct ChildPlan {
    pub kind: &'static str,
    pub slot: SlotIndex,
}

/// One field to read.
#[derive(Debug)]
pub struct Step {
    pub slot: Option<SlotIndex>,
    pub what: What,
    pub test: Option<Test>,
    pub optional: bool,
}

#[derive(Debug)]
pub enum What {
    Number {
        size: usize,
        little: bool,
        counts: Option<Counts>,
    },
    Bits {
        of: SlotIndex,
        mask: u64,
    },
    /// Text must be free of control characters.
    Bytes {
        extent: Extent,
        is_text: bool,
    },
    Digits {
        extent: Extent,
        base: u32,
    },
    /// A check over the message from `start` up to here.
    Check {
        size: usize,
        little: bool,
        algorithm: &'static Check,
        start: usize,
    },
    Typed {
        extent: Extent,
        head: TypedHead,
        entries: &'static [(u64, &'static [Step])],
    },
    Pairs {
        extent: Extent,
        separator: &'static [u8],
        equals: &'static [u8],
        entries: Named,
    },
    Columns {
        extent: Extent,
        separator: &'static [u8],
        entries: &'static [(usize, SlotIndex)],
    },
}

/// Fields by the name that stands before them.
pub type Named = &'static [(&'static str, SlotIndex)];

/// Where a field ends.
#[derive(Debug)]
pub enum Extent {
    Fixed(usize),
    /// As a number told, times a unit, plus so many.
    Told {
        slot: SlotIndex,
        unit: u64,
        plus: i64,
    },
    /// With these bytes, which must be there.
    Ends(&'static [u8]),
    /// With these bytes, or the end.
    Until(&'static [u8]),
    /// So many bytes before the end.
    Leave(usize),
    Rest,
}

/// A check sequence: its size in bytes and how it is computed.
pub struct Check {
    pub name: &'static str,
    pub size: usize,
    pub of: fn(&[u8]) -> u64,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

const XMODEM: Crc<u16> = Crc::<u16>::new(&crc::CRC_16_XMODEM);
const CCITT_FALSE: Crc<u16> = Crc::<u16>::new(&crc::CRC_16_IBM_3740);
const X25: Crc<u16> = Crc::<u16>::new(&crc::CRC_16_IBM_SDLC);
const MODBUS: Crc<u16> = Crc::<u16>::new(&crc::CRC_16_MODBUS);
const ARC: Crc<u16> = Crc::<u16>::new(&crc::CRC_16_ARC);
const CRC32: Crc<u32> = Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);

/// The check sequences there are, named as in the CRC catalogue (reveng).
pub const CHECKS: &[Check] = &[
    Check { name: "crc-16/xmodem", size: 2, of: |bytes| u64::from(XMODEM.checksum(bytes)) },
    Check { name: "crc-16/ibm-3740", size: 2, of: |bytes| u64::from(CCITT_FALSE.checksum(bytes)) },
    Check { name: "crc-16/ibm-sdlc", size: 2, of: |bytes| u64::from(X25.checksum(bytes)) },
    Check { name: "crc-16/modbus", size: 2, of: |bytes| u64::from(MODBUS.checksum(bytes)) },
    Check { name: "crc-16/arc", size: 2, of: |bytes| u64::from(ARC.checksum(bytes)) },
    Check { name: "crc-32/iso-hdlc", size: 4, of: |bytes| u64::from(CRC32.checksum(bytes)) },
    Check {
        name: "sum-8",
        size: 1,
        of: |bytes| u64::from(bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte))),
    },
    Check {
        name: "xor-8",
        size: 1,
        of: |bytes| u64::from(bytes.iter().fold(0_u8, |sum, byte| sum ^ byte)),
    },
];

#[derive(Debug, Clone, Copy)]
pub struct Counts {
    pub whole_message: bool,
    pub unit: u64,
    pub plus: i64,
}

/// Type and length in front of an entry.
#[derive(Debug)]
pub struct TypedHead {
    pub type_size: usize,
    pub length_size: usize,
    pub little: bool,
    pub length_counts_head: bool,
    pub unit: u64,
    pub align: usize,
    /// A type without length and value.
    pub pad: Option<u64>,
    /// The type after which nothing follows.
    pub stop: Option<u64>,
}

/// What a value must be.
#[derive(Debug)]
pub enum Test {
    Numbers(Vec<u64>),
    Range(u64, u64),
    /// One of these texts, whatever their case.
    Texts(Vec<Vec<u8>>),
    /// One of these runs of bytes.
    Bytes(Vec<Vec<u8>>),
}

#[derive(Debug)]
pub struct MessagePlan {
    pub name: &'static str,
    pub kind: super::file::Kind,
    pub from: Option<super::file::End>,
    pub when: Vec<(SlotIndex, Test)>,
    pub steps: &'static [Step],
    pub exact: bool,
    pub operation: Option<OperationPlan>,
    /// Any of them holds: the response refuses.
    pub refused: Vec<(SlotIndex, Test)>,
    pub claims: Vec<ClaimPlan>,
    pub change: Option<ChangePlan>,
    pub event: Option<EventPlan>,
    pub payload: Option<(&'static str, SlotIndex)>,
    pub breaks: Option<&'static str>,
    /// Bits that condition and fields settle.
    pub bits: u32,
}

/// Codes and what they mean.
#[derive(Debug)]
pub enum Table {
    Numbers(Vec<(u64, Meaning)>),
    /// In upper case.
    Texts(Vec<(String, Meaning)>),
}

pub type Meaning = (&'static str, Option<Action>);

#[derive(Debug)]
pub struct OperationPlan {
    pub code: Option<SlotIndex>,
    pub table: Option<&'static Table>,
    pub otherwise: (&'static str, Action),
    pub object: ObjectPlan,
}

#[derive(Debug)]
pub enum ObjectPlan {
    None,
    Text(Vec<SlotIndex>, &'static str),
    Number(&'static str, SlotIndex),
    Range(&'static str, SlotIndex, Option<SlotIndex>),
}

#[derive(Debug)]
pub struct ClaimPlan {
    pub attribute: &'static str,
    pub slot: SlotIndex,
    pub table: Option<&'static Table>,
    pub confidence: Confidence,
    pub about_sender: bool,
}

#[derive(Debug)]
pub struct ChangePlan {
    pub new: SlotIndex,
    pub old: Option<SlotIndex>,
    pub object: Option<ObjectPlan>,
}

#[derive(Debug)]
pub struct EventPlan {
    pub kind: &'static str,
    pub values: Vec<(&'static str, SlotIndex)>,
}

/// Why a message cannot be read as planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// It ends too early.
    Short,
    /// It says something else.
    Differs,
}

/// Where a field stood and what it said.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    start: u32,
    end: u32,
    number: u64,
    is_set: bool,
}

/// A message as far as it is read.
pub struct Reading<'a> {
    /// The message, or its head.
    pub bytes: &'a [u8],
    /// Its length by its own words, once read.
    pub told_length: Option<usize>,
    slots: SmallVec<[Slot; 16]>,
}

impl<'a> Reading<'a> {
    pub fn new(bytes: &'a [u8], plan: &Plan) -> Self {
        let mut slots = SmallVec::new();
        slots.resize(plan.slots.len(), Slot::default());
        Self { bytes, told_length: None, slots }
    }

    /// The bytes of a field, if it was there.
    pub fn part(&self, slot: SlotIndex) -> Option<&'a [u8]> {
        let slot = self.slots.get(usize::from(slot)).filter(|slot| slot.is_set)?;
        self.bytes.get(slot.start as usize..slot.end as usize)
    }

    pub fn number(&self, slot: SlotIndex) -> Option<u64> {
        self.slots.get(usize::from(slot)).filter(|slot| slot.is_set).map(|slot| slot.number)
    }

    /// The value as text: what [`Decode`] makes of the bytes.
    pub fn value(&self, plan: &Plan, slot: SlotIndex) -> Option<CompactString> {
        let part = self.part(slot)?;
        let number = self.number(slot)?;
        let decode = plan.slots.get(usize::from(slot))?.decode;
        Some(match decode {
            Decode::Utf8 => text::utf8(text::trim(part)),
            Decode::Utf16Le => text::utf16le(part),
            Decode::Hex => part.iter().fold(CompactString::default(), |text, byte| {
                compact_str::format_compact!("{text}{byte:02x}")
            }),
            Decode::Dotted => {
                let bytes: Vec<String> = part.iter().map(ToString::to_string).collect();
                bytes.join(".").into()
            }
            Decode::Hex32Be | Decode::Hex32Le => compact_str::format_compact!("0x{number:08x}"),
            Decode::Mac => Mac(*part.first_chunk()?).to_compact_string(),
            Decode::Ip => address(part)?.to_compact_string(),
            Decode::DnsName => labels(part)?,
            _ => number.to_compact_string(),
        })
    }

    /// The bytes that read back as [`Self::value`].
    pub fn cited(&self, plan: &Plan, slot: SlotIndex) -> Option<&'a [u8]> {
        let part = self.part(slot)?;
        Some(match plan.slots.get(usize::from(slot))?.decode {
            Decode::Utf8 => text::trim(part),
            Decode::Utf16Le => text::trim_utf16(part),
            _ => part,
        })
    }

    pub fn holds(&self, slot: SlotIndex, test: &Test) -> bool {
        let Some(part) = self.part(slot) else { return false };
        self.number(slot).is_some_and(|number| test.holds(number, part))
    }

    pub fn object(&self, plan: &Plan, object: &ObjectPlan) -> Object {
        let short = |slot: SlotIndex| Some(self.number(slot)?.min(u64::from(u32::MAX)) as u32);
        let found = match object {
            ObjectPlan::None => None,
            ObjectPlan::Text(slots, join) => {
                let texts: Vec<CompactString> = slots
                    .iter()
                    .filter_map(|slot| self.value(plan, *slot))
                    .filter(|text| !text.is_empty())
                    .collect();
                (!texts.is_empty()).then(|| Object::Text(texts.join(join).into()))
            }
            ObjectPlan::Number(kind, slot) => {
                short(*slot).map(|number| Object::Number { kind, number })
            }
            ObjectPlan::Range(space, first, count) => short(*first).map(|first| {
                let count = count.and_then(short).unwrap_or(1).max(1);
                Object::Range { space, first, count }
            }),
        };
        found.unwrap_or_default()
    }

    /// Reads `steps` from `at` on up to `end`; gives where they end. A field counted by the message
    /// itself moves the end for the steps after it.
    pub fn run(
        &mut self,
        steps: &[Step],
        mut at: usize,
        mut end: usize,
        truncated: bool,
    ) -> Result<usize, Miss> {
        for step in steps {
            match self.step(step, at, end) {
                Ok(next) => at = next,
                Err(Miss::Short) if step.optional => continue,
                Err(Miss::Short) if truncated => return Ok(end),
                Err(miss) => return Err(miss),
            }
            if let Some(length) = self.told_length {
                end = end.min(length);
            }
        }
        Ok(at)
    }

    fn step(&mut self, step: &Step, at: usize, end: usize) -> Result<usize, Miss> {
        let region = self.bytes.get(at..end).ok_or(Miss::Short)?;
        let (length, next, number) = match &step.what {
            What::Number { size, little, counts } => {
                let part = region.get(..*size).ok_or(Miss::Short)?;
                let number = number(part, *little);
                if let Some(counts) = counts {
                    self.told_length = Some(counts.length(number, at + size)?);
                }
                (*size, *size, number)
            }
            What::Bits { of, mask } => {
                let whole = *self.slots.get(usize::from(*of)).ok_or(Miss::Short)?;
                if !whole.is_set {
                    return Err(Miss::Short);
                }
                let number = (whole.number & mask) >> mask.trailing_zeros();
                self.settle(step, Slot { number, ..whole })?;
                return Ok(at);
            }
            What::Bytes { extent, is_text } => {
                let (length, next) = self.extent(extent, region)?;
                let part = region.get(..length).ok_or(Miss::Short)?;
                if *is_text && !is_plain(part) {
                    return Err(Miss::Differs);
                }
                (length, next, length as u64)
            }
            What::Digits { extent, base } => {
                let (length, next) = self.extent(extent, region)?;
                let part = text::trim(region.get(..length).ok_or(Miss::Short)?);
                let digits = std::str::from_utf8(part).map_err(|_| Miss::Differs)?;
                let number = u64::from_str_radix(digits, *base).map_err(|_| Miss::Differs)?;
                (length, next, number)
            }
            What::Check { size, little, algorithm, start } => {
                let part = region.get(..*size).ok_or(Miss::Short)?;
                let told = number(part, *little);
                let covered = self.bytes.get(*start..at).ok_or(Miss::Differs)?;
                if (algorithm.of)(covered) != told {
                    return Err(Miss::Differs);
                }
                (*size, *size, told)
            }
            What::Typed { extent, head, entries } => {
                let (length, next) = self.extent(extent, region)?;
                self.typed(head, entries, at, at + length)?;
                (length, next, length as u64)
            }
            What::Pairs { extent, separator, equals, entries } => {
                let (length, next) = self.extent(extent, region)?;
                self.pairs(separator, equals, entries, at, at + length);
                (length, next, length as u64)
            }
            What::Columns { extent, separator, entries } => {
                let (length, next) = self.extent(extent, region)?;
                self.columns(separator, entries, at, at + length);
                (length, next, length as u64)
            }
        };
        self.settle(step, Slot::of(at, at + length, number))?;
        Ok(at + next)
    }

    /// Keeps a value that is what it must be.
    fn settle(&mut self, step: &Step, slot: Slot) -> Result<(), Miss> {
        if let Some(test) = &step.test {
            let part = self.bytes.get(slot.start as usize..slot.end as usize).unwrap_or_default();
            if !test.holds(slot.number, part) {
                return Err(Miss::Differs);
            }
        }
        if let Some(kept) = step.slot.and_then(|index| self.slots.get_mut(usize::from(index))) {
            *kept = slot;
        }
        Ok(())
    }

    /// Length of a field in this region, and where the next one starts.
    fn extent(&self, extent: &Extent, region: &[u8]) -> Result<(usize, usize), Miss> {
        let length = match extent {
            Extent::Fixed(length) => *length,
            Extent::Rest => region.len(),
            Extent::Leave(rest) => region.len().checked_sub(*rest).ok_or(Miss::Short)?,
            Extent::Told { slot, unit, plus } => {
                let told = self.number(*slot).ok_or(Miss::Short)?;
                let length =
                    told.checked_mul(*unit).and_then(|told| told.checked_add_signed(*plus));
                usize::try_from(length.ok_or(Miss::Differs)?).map_err(|_| Miss::Differs)?
            }
            Extent::Ends(end) => {
                let length = memchr::memmem::find(region, end).ok_or(Miss::Short)?;
                return Ok((length, length + end.len()));
            }
            Extent::Until(end) => match memchr::memmem::find(region, end) {
                Some(length) => return Ok((length, length + end.len())),
                None => region.len(),
            },
        };
        if length > region.len() { Err(Miss::Short) } else { Ok((length, length)) }
    }

    fn typed(
        &mut self,
        head: &TypedHead,
        entries: &[(u64, &[Step])],
        start: usize,
        end: usize,
    ) -> Result<(), Miss> {
        let mut at = start;
        if at >= end {
            return Err(Miss::Short);
        }
        while let Some(kind) = self.bytes.get(at..end).and_then(|rest| rest.get(..head.type_size)) {
            let kind = number(kind, head.little);
            at += head.type_size;
            if head.stop == Some(kind) {
                break;
            }
            if head.pad == Some(kind) {
                continue;
            }
            let length = self.bytes.get(at..at + head.length_size).ok_or(Miss::Short)?;
            at += head.length_size;
            let mut length = number(length, head.little).saturating_mul(head.unit);
            if head.length_counts_head {
                let own = (head.type_size + head.length_size) as u64;
                length = length.checked_sub(own).ok_or(Miss::Differs)?;
            }
            let length = usize::try_from(length).map_err(|_| Miss::Differs)?;
            let value_end = at.checked_add(length).filter(|value| *value <= end);
            let value_end = value_end.ok_or(Miss::Short)?;
            if let Some((_, steps)) = entries.iter().find(|(known, _)| *known == kind) {
                match self.run(steps, at, value_end, false) {
                    // An entry of another length than known is not decoded.
                    Ok(_) | Err(Miss::Short) => {}
                    Err(miss) => return Err(miss),
                }
            }
            at = start + (value_end - start).next_multiple_of(head.align.max(1));
        }
        Ok(())
    }

    fn pairs(&mut self, separator: &[u8], equals: &[u8], entries: Named, at: usize, end: usize) {
        let mut rest = at;
        while rest < end {
            let region = self.bytes.get(rest..end).unwrap_or_default();
            let length = memchr::memmem::find(region, separator).unwrap_or(region.len());
            let pair = region.get(..length).unwrap_or_default();
            if let Some(middle) = memchr::memmem::find(pair, equals) {
                let (name, value) = pair.split_at(middle);
                let name = text::trim(name);
                let known =
                    entries.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
                if let Some((_, slot)) = known {
                    let start = rest + middle + equals.len();
                    self.keep_text(*slot, start, rest + middle + value.len());
                }
            }
            rest += length + separator.len();
        }
    }

    fn columns(&mut self, separator: &[u8], entries: &[(usize, SlotIndex)], at: usize, end: usize) {
        let mut rest = at;
        let mut column = 1;
        while rest <= end {
            let region = self.bytes.get(rest..end).unwrap_or_default();
            let length = memchr::memmem::find(region, separator).unwrap_or(region.len());
            if let Some((_, slot)) = entries.iter().find(|(known, _)| *known == column) {
                self.keep_text(*slot, rest, rest + length);
            }
            rest += length + separator.len();
            column += 1;
        }
    }

    fn keep_text(&mut self, slot: SlotIndex, start: usize, end: usize) {
        let length = end.saturating_sub(start) as u64;
        if let Some(kept) = self.slots.get_mut(usize::from(slot)) {
            *kept = Slot::of(start, end, length);
        }
    }
}

impl Slot {
    const fn of(start: usize, end: usize, number: u64) -> Self {
        Self { start: start as u32, end: end as u32, number, is_set: true }
    }
}

impl Counts {
    /// Length of the message, told by a field that ends at `after`.
    fn length(self, number: u64, after: usize) -> Result<usize, Miss> {
        let counted = number.checked_mul(self.unit).and_then(|n| n.checked_add_signed(self.plus));
        let counted = usize::try_from(counted.ok_or(Miss::Differs)?).map_err(|_| Miss::Differs)?;
        let length = if self.whole_message { counted } else { counted.saturating_add(after) };
        if length < after { Err(Miss::Differs) } else { Ok(length) }
    }
}

impl Test {
    fn holds(&self, number: u64, part: &[u8]) -> bool {
        match self {
            Self::Numbers(known) => known.contains(&number),
            Self::Range(min, max) => (*min..=*max).contains(&number),
            Self::Texts(known) => {
                let part = text::trim(part);
                known.iter().any(|text| text.eq_ignore_ascii_case(part))
            }
            Self::Bytes(known) => known.iter().any(|bytes| bytes == part),
        }
    }
}

impl Table {
    /// What the value means.
    pub fn meaning(&self, reading: &Reading<'_>, slot: SlotIndex) -> Option<Meaning> {
        match self {
            Self::Numbers(rows) => {
                let number = reading.number(slot)?;
                let at = rows.binary_search_by_key(&number, |(code, _)| *code).ok()?;
                rows.get(at).map(|(_, meaning)| *meaning)
            }
            Self::Texts(rows) => {
                let part = text::trim(reading.part(slot)?);
                let row = rows.iter().find(|(code, _)| part.eq_ignore_ascii_case(code.as_bytes()));
                row.map(|(_, meaning)| *meaning)
            }
        }
    }
}

fn number(bytes: &[u8], little: bool) -> u64 {
    let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    if little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
}

fn address(bytes: &[u8]) -> Option<Address> {
    match bytes.len() {
        4 => Some(std::net::Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
        16 => Some(std::net::Ipv6Addr::from(*bytes.first_chunk::<16>()?).into()),
        _ => None,
    }
}

/// Length-prefixed labels up to an empty one or the end, joined by dots (RFC 1035 §3.1).
fn labels(mut bytes: &[u8]) -> Option<CompactString> {
    let mut name = CompactString::default();
    while let [length @ 1..=63, rest @ ..] = bytes {
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&text::utf8(label));
        bytes = rest;
    }
    Some(name)
}

/// Whether there is no control character but white space and padding.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| !matches!(byte, 1..=8 | 11 | 12 | 14..=31 | 127))
}
