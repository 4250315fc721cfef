//! Makes a plan of a definition file, or says what is wrong with it and where.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::Refused;
use super::file::{self, Counts, End, Entry, Field, File, Is, Kind, LengthCounts, Order};
use super::plan::{
    CHECKS, ChangePlan, ChildPlan, ClaimPlan, EventPlan, Extent, MessagePlan, ObjectPlan,
    OperationPlan, Plan, SlotIndex, SlotPlan, Step, Table, Test, TypedHead, What,
};
use crate::out::{Action, Confidence, Decode};
use crate::registry::{Carrier, Dissector, Protocol};

/// Fields of one definition.
const MOST_SLOTS: usize = 64;
/// How deep typed entries may nest.
const DEEPEST: usize = 4;
/// Bits a message must settle to be told from others by more than its port.
const FEWEST_BITS: u32 = 8;

/// Reads a definition.
///
/// What it keeps is never freed: a definition lives as long as the process, as built-in ones do.
pub fn protocol(name: &str, text: &str) -> Result<Protocol, Refused> {
    let refused = |place: &str, reason: String| Refused {
        file: name.to_owned(),
        place: place.to_owned(),
        reason,
    };
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().and_then(|span| text.get(..span.start));
        let line = line.map_or(1, |before| before.matches('\n').count() + 1);
        refused(&format!("line {line}"), error.message().trim().replace('\n', " "))
    })?;
    let mut compiler =
        Compiler { names: BTreeMap::new(), slots: Vec::new(), tables: BTreeMap::new() };
    compiler.protocol(file).map_err(|Wrong(place, reason)| refused(&place, reason))
}

/// Where something is wrong, and what.
struct Wrong(String, String);

type Checked<T> = Result<T, Wrong>;

fn wrong<T>(place: impl Display, reason: impl Into<String>) -> Checked<T> {
    Err(Wrong(place.to_string(), reason.into()))
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

fn leak_list<T>(list: Vec<T>) -> &'static [T] {
    Box::leak(list.into_boxed_slice())
}

/// Text of a definition as bytes: letters up to U+00FF stand for one byte each.
fn bytes_of(place: &str, text: &str) -> Checked<&'static [u8]> {
    let bytes: Option<Vec<u8>> = text.chars().map(|letter| u8::try_from(letter).ok()).collect();
    match bytes {
        Some(bytes) if !bytes.is_empty() => Ok(leak_list(bytes)),
        _ => wrong(place, "must be one or more letters up to U+00FF"),
    }
}

fn hex(place: &str, text: &str) -> Checked<Vec<u8>> {
    let digits: String = text.split_whitespace().collect();
    let pairs = digits.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    match pairs.collect::<Option<Vec<u8>>>() {
        Some(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => wrong(place, format!("`{text}` is not written in hexadecimal")),
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_lowercase())
        && text.chars().all(|l| l.is_ascii_lowercase() || l.is_ascii_digit() || "-_.".contains(l))
}

fn name(place: &str, text: &str) -> Checked<&'static str> {
    if is_name(text) {
        Ok(leak(text))
    } else {
        wrong(place, format!("`{text}`: a name is lower-case letters, digits and hyphens"))
    }
}

/// What a field's value is, as far as conditions care.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nature {
    Number(u32),
    Text,
    Bytes,
}

struct Compiler {
    names: BTreeMap<String, SlotIndex>,
    slots: Vec<(SlotPlan, Nature)>,
    tables: BTreeMap<String, &'static Table>,
}

impl Compiler {
    fn protocol(&mut self, file: File) -> Checked<Protocol> {
        let own = name("name", &file.name)?;
        for (place, text) in [("title", &file.title), ("source", &file.source)] {
            if text.trim().is_empty() {
                return wrong(place, "must say something");
            }
        }
        let carriers = carriers(&file.carriers)?;
        let has_stream = file.carriers.tcp.is_some();
        for (table, rows) in &file.tables {
            let compiled = table_of(table, rows)?;
            self.tables.insert(table.clone(), Box::leak(Box::new(compiled)));
        }
        let (header, header_bits) = self.steps("fields", &file.fields, file.order, 0)?;
        let counted =
            header.iter().any(|step| matches!(step.what, What::Number { counts: Some(_), .. }));
        let stream_end = match &file.stream {
            Some(stream) => Some(bytes_of("stream.ends", &stream.ends)?),
            None => None,
        };
        if has_stream && counted == stream_end.is_some() {
            return wrong(
                "stream",
                "over TCP either a field of `fields` has `counts`, or `stream.ends` says where a \
                 message ends",
            );
        }
        let messages: Vec<MessagePlan> = file
            .messages
            .iter()
            .map(|message| self.message(message, own, file.order))
            .collect::<Checked<_>>()?;
        let fewest = messages.iter().map(|message| message.bits).min().unwrap_or(0);
        let pair: Vec<SlotIndex> =
            file.pair.iter().map(|field| self.slot("pair", field)).collect::<Checked<_>>()?;
        let children = [
            self.child("client-child", file.client_child.as_ref())?,
            self.child("server-child", file.server_child.as_ref())?,
        ];
        // A counted length that is that of the datagram settles something too.
        let own_carrier = file.carriers.tcp.is_none() && file.carriers.udp.is_none();
        if !own_carrier
            && header_bits + fewest + if counted && !has_stream { 8 } else { 0 } < FEWEST_BITS
        {
            return wrong(
                "fields",
                format!(
                    "`is`, `min`, `max` and `when` settle {} bits of a message: at least \
                     {FEWEST_BITS} are needed to know it from others",
                    header_bits + fewest
                ),
            );
        }
        let plan = Plan {
            name: own,
            stream_end,
            others_are_data: file.others_are_data,
            header: leak_list(header),
            messages: leak_list(messages),
            slots: leak_list(self.slots.iter().map(|(plan, _)| *plan).collect()),
            pair: leak_list(pair),
            children,
            header_bits,
            length_rule: leak(&format!("{own}-length")),
        };
        Ok(Protocol {
            name: own,
            title: leak(&file.title),
            roles: (leak(&file.client), leak(&file.server)),
            carriers,
            dissector: Dissector::Defined(Box::leak(Box::new(plan))),
            source: leak(&file.source),
        })
    }

    fn slot(&self, place: &str, field: &str) -> Checked<SlotIndex> {
        match self.names.get(field) {
            Some(slot) => Ok(*slot),
            None => wrong(place, format!("there is no field `{field}` so far")),
        }
    }

    fn number_slot(&self, place: &str, field: &str) -> Checked<SlotIndex> {
        let slot = self.slot(place, field)?;
        match self.nature(slot) {
            Nature::Number(_) => Ok(slot),
            _ => wrong(place, format!("the field `{field}` is no number")),
        }
    }

    fn nature(&self, slot: SlotIndex) -> Nature {
        self.slots.get(usize::from(slot)).map_or(Nature::Bytes, |(_, nature)| *nature)
    }

    fn new_slot(
        &mut self,
        place: &str,
        field: &str,
        decode: Decode,
        nature: Nature,
    ) -> Checked<SlotIndex> {
        if !is_name(field) {
            return wrong(place, format!("`{field}`: a name is lower-case letters, digits and _"));
        }
        if let Some(slot) = self.names.get(field) {
            // Another message may use the name for the same kind of field.
            let known = self.slots.get(usize::from(*slot));
            if known.is_some_and(|(plan, known)| plan.decode == decode && *known == nature) {
                return Ok(*slot);
            }
            return wrong(place, format!("the field `{field}` is of another type elsewhere"));
        }
        if self.slots.len() >= MOST_SLOTS {
            return wrong(place, format!("more than {MOST_SLOTS} named fields"));
        }
        let slot = self.slots.len() as SlotIndex;
        self.slots.push((SlotPlan { decode }, nature));
        self.names.insert(field.to_owned(), slot);
        Ok(slot)
    }

    /// The steps of these fields and how many bits they settle.
    fn steps(
        &mut self,
        place: &str,
        fields: &[Field],
        order: Order,
        depth: usize,
    ) -> Checked<(Vec<Step>, u32)> {
        if depth > DEEPEST {
            return wrong(place, "entries nest too deep");
        }
        let mut steps = Vec::new();
        let mut bits = 0;
        for (number, field) in fields.iter().enumerate() {
            let label = match &field.name {
                Some(name) => format!("{place}.{name}"),
                None => format!("{place}[{}]", number + 1),
            };
            let (step, settled) = self.step(&label, field, order, depth)?;
            bits += if step.optional { 0 } else { settled };
            steps.push(step);
        }
        Ok((steps, bits))
    }

    fn step(
        &mut self,
        place: &str,
        field: &Field,
        order: Order,
        depth: usize,
    ) -> Checked<(Step, u32)> {
        let little = field.order.unwrap_or(order) == Order::Little;
        if field.counts.is_some() && (depth > 0 || place.starts_with("messages")) {
            return wrong(place, "`counts` belongs to the fields of every message");
        }
        let kind = field.kind.as_str();
        let (what, decode, nature) = match kind {
            "u8" | "u16" | "u24" | "u32" | "u64" => number(place, field, little)?,
            "bits" => {
                let of = self.number_slot(place, required(place, "of", field.of.as_ref())?)?;
                let mask = *required(place, "mask", field.mask.as_ref())?;
                if mask == 0 {
                    return wrong(place, "`mask` is 0");
                }
                let nature = Nature::Number(mask.count_ones());
                (What::Bits { of, mask }, Decode::Derived, nature)
            }
            "text" | "utf-16le" | "bytes" | "skip" | "mac" | "ip4" | "ip6" | "dotted"
            | "dns-name" => self.bytes(place, field)?,
            "digits" => {
                let base = field.base.unwrap_or(10);
                if base != 10 && base != 16 {
                    return wrong(place, "`base` is 10 or 16");
                }
                let what = What::Digits { extent: self.extent(place, field, None)?, base };
                (what, Decode::Derived, Nature::Number(32))
            }
            "check" => check(place, field, little)?,
            "typed" | "pairs" | "columns" => self.entries(place, field, order, depth)?,
            "" => return wrong(place, "has no `type`"),
            _ => return wrong(place, format!("there is no type `{kind}`")),
        };
        let test = condition(place, field, nature)?;
        let mut bits = test.as_ref().map_or(0, |test| settled(test, nature));
        bits += match what {
            // The lengths of the entries must add up.
            What::Typed { .. } => 8,
            What::Check { size, .. } => 8 * size as u32,
            _ => 0,
        };
        let slot = match &field.name {
            Some(_) if kind == "skip" => return wrong(place, "what is skipped has no name"),
            Some(name) => Some(self.new_slot(place, name, decode, nature)?),
            None => None,
        };
        Ok((Step { slot, what, test, optional: field.optional }, bits))
    }

    fn bytes(&self, place: &str, field: &Field) -> Checked<(What, Decode, Nature)> {
        let (fixed, decode, nature) = match field.kind.as_str() {
            "text" => (None, Decode::Utf8, Nature::Text),
            "utf-16le" => (None, Decode::Utf16Le, Nature::Bytes),
            "mac" => (Some(6), Decode::Mac, Nature::Bytes),
            "ip4" => (Some(4), Decode::Ip, Nature::Bytes),
            "ip6" => (Some(16), Decode::Ip, Nature::Bytes),
            "dotted" => (None, Decode::Dotted, Nature::Bytes),
            "dns-name" => (None, Decode::DnsName, Nature::Bytes),
            _ => (None, Decode::Hex, Nature::Bytes),
        };
        // What must be said says how long it is.
        let constant = match (&field.is, nature) {
            (Some(Is::Text(text)), Nature::Text) => Some(text.chars().count()),
            (Some(Is::Text(text)), Nature::Bytes) => Some(hex(place, text)?.len()),
            _ => None,
        };
        let extent = self.extent(place, field, fixed.or(constant))?;
        Ok((What::Bytes { extent, is_text: nature == Nature::Text }, decode, nature))
    }

    fn extent(&self, place: &str, field: &Field, fixed: Option<usize>) -> Checked<Extent> {
        let given = [
            field.size.is_some(),
            field.ends.is_some(),
            field.until.is_some(),
            field.leave.is_some(),
        ];
        if given.iter().filter(|given| **given).count() > 1 {
            return wrong(
                place,
                "only one of `size`, `ends`, `until` and `leave` can say where it ends",
            );
        }
        if let Some(rest) = field.leave {
            return Ok(Extent::Leave(rest));
        }
        if let Some(ends) = &field.ends {
            return Ok(Extent::Ends(bytes_of(place, ends)?));
        }
        if let Some(until) = &field.until {
            return Ok(Extent::Until(bytes_of(place, until)?));
        }
        Ok(match (&field.size, fixed) {
            (Some(file::Size::Bytes(size)), Some(fixed)) if *size != fixed => {
                return wrong(place, format!("is {fixed} bytes long"));
            }
            (Some(file::Size::Bytes(size)), _) => Extent::Fixed(*size),
            (Some(file::Size::Field(told)), _) => Extent::Told {
                slot: self.number_slot(place, told)?,
                unit: u64::from(field.unit.unwrap_or(1)),
                plus: field.plus,
            },
            (None, Some(fixed)) => Extent::Fixed(fixed),
            (None, None) => Extent::Rest,
        })
    }

    fn entries(
        &mut self,
        place: &str,
        field: &Field,
        order: Order,
        depth: usize,
    ) -> Checked<(What, Decode, Nature)> {
        let extent = self.extent(place, field, None)?;
        let what = match field.kind.as_str() {
            "typed" => {
                let head = typed_head(place, field, order)?;
                let mut entries = Vec::new();
                for (key, entry) in &field.entries {
                    let Some(kind) = code(key) else {
                        return wrong(place, format!("`{key}` is no number"));
                    };
                    let place = format!("{place}.entries.{key}");
                    let (steps, _) = match entry {
                        Entry::Name(name) => {
                            let text = Field {
                                name: Some(name.clone()),
                                kind: "text".to_owned(),
                                ..Field::default()
                            };
                            self.steps(&place, &[text], order, depth + 1)?
                        }
                        Entry::Field(one) => {
                            self.steps(&place, std::slice::from_ref(one), order, depth + 1)?
                        }
                        Entry::Fields(fields) => self.steps(&place, fields, order, depth + 1)?,
                    };
                    entries.push((kind, leak_list(steps)));
                }
                What::Typed { extent, head, entries: leak_list(entries) }
            }
            kind => {
                let separator = required(place, "separator", field.separator.as_ref())?;
                let separator = bytes_of(place, separator)?;
                let mut named = Vec::new();
                for (key, entry) in &field.entries {
                    let Entry::Name(name) = entry else {
                        return wrong(place, format!("`{key}` stands for a text with a name"));
                    };
                    named.push((key, self.new_slot(place, name, Decode::Utf8, Nature::Text)?));
                }
                if kind == "pairs" {
                    let equals = required(place, "equals", field.equals.as_ref())?;
                    let entries = named.into_iter().map(|(key, slot)| (leak(key), slot)).collect();
                    let equals = bytes_of(place, equals)?;
                    What::Pairs { extent, separator, equals, entries: leak_list(entries) }
                } else {
                    let mut entries = Vec::new();
                    for (key, slot) in named {
                        match key.parse::<usize>() {
                            Ok(column) if column > 0 => entries.push((column, slot)),
                            _ => return wrong(place, format!("`{key}`: columns count from 1")),
                        }
                    }
                    What::Columns { extent, separator, entries: leak_list(entries) }
                }
            }
        };
        Ok((what, Decode::Hex, Nature::Bytes))
    }

    fn child(&self, place: &str, child: Option<&file::Child>) -> Checked<Option<ChildPlan>> {
        let Some(child) = child else { return Ok(None) };
        let kind = name(place, &child.kind)?;
        Ok(Some(ChildPlan { kind, slot: self.slot(place, &child.field)? }))
    }

    fn message(
        &mut self,
        message: &file::Message,
        protocol: &str,
        order: Order,
    ) -> Checked<MessagePlan> {
        let own = name("messages.name", &message.name)?;
        let place = format!("messages.{own}");
        let mut bits = 0;
        let mut when = Vec::new();
        for (field, is) in &message.when {
            let place = format!("{place}.when.{field}");
            let (slot, test) = self.test(&place, field, is)?;
            bits += settled(&test, self.nature(slot));
            when.push((slot, test));
        }
        let (steps, settled) = self.steps(&place, &message.fields, order, 0)?;
        let refused = message.refused.iter();
        let refused = refused
            .map(|(field, is)| self.test(&format!("{place}.refused.{field}"), field, is))
            .collect::<Checked<_>>()?;
        let from = match (message.kind, message.from) {
            (Kind::Request, None | Some(End::Client)) => Some(End::Client),
            (Kind::Response, None | Some(End::Server)) => Some(End::Server),
            (Kind::OneWay, from) => from,
            _ => {
                return wrong(place, "a request comes from the client, a response from the server");
            }
        };
        if message.kind == Kind::Request && message.operation.is_none() {
            return wrong(place, "a request has an `operation`");
        }
        let operation = match &message.operation {
            Some(operation) => Some(self.operation(&format!("{place}.operation"), operation)?),
            None => None,
        };
        let mut claims = Vec::new();
        for (attribute, claim) in &message.claims {
            claims.push(self.claim(&format!("{place}.claims.{attribute}"), attribute, claim)?);
        }
        let change = match &message.change {
            Some(change) if operation.is_some() => {
                let place = format!("{place}.change");
                let object = change.object.as_ref();
                Some(ChangePlan {
                    new: self.slot(&place, &change.new)?,
                    old: change.old.as_ref().map(|old| self.slot(&place, old)).transpose()?,
                    object: object.map(|object| self.object(&place, object)).transpose()?,
                })
            }
            Some(_) => return wrong(place, "a change belongs to an `operation`"),
            None => None,
        };
        let event = match &message.event {
            Some(event) => {
                let place = format!("{place}.event");
                let values = event.values.iter();
                let values = values
                    .map(|(key, field)| Ok((name(&place, key)?, self.slot(&place, field)?)))
                    .collect::<Checked<_>>()?;
                Some(EventPlan { kind: name(&place, &event.kind)?, values })
            }
            None => None,
        };
        let payload = match &message.payload {
            Some(payload) => {
                let place = format!("{place}.payload");
                Some((name(&place, &payload.kind)?, self.slot(&place, &payload.field)?))
            }
            None => None,
        };
        let breaks = match &message.breaks {
            Some(rule) => {
                let rule = name(&format!("{place}.breaks"), rule)?;
                if !rule.starts_with(&format!("{protocol}-")) {
                    return wrong(place, format!("a rule's name starts with `{protocol}-`"));
                }
                Some(rule)
            }
            None => None,
        };
        Ok(MessagePlan {
            name: own,
            kind: message.kind,
            from,
            when,
            steps: leak_list(steps),
            exact: message.exact,
            operation,
            refused,
            claims,
            change,
            event,
            payload,
            breaks,
            bits: bits + settled + if message.exact { 8 } else { 0 },
        })
    }

    fn test(&self, place: &str, field: &str, is: &Is) -> Checked<(SlotIndex, Test)> {
        let slot = self.slot(place, field)?;
        Ok((slot, test(place, is, self.nature(slot))?))
    }

    fn operation(&self, place: &str, operation: &file::Operation) -> Checked<OperationPlan> {
        let code = operation.code.as_ref().map(|code| self.slot(place, code)).transpose()?;
        let table = operation.table.as_ref().map(|table| self.table(place, table)).transpose()?;
        if table.is_some() && code.is_none() {
            return wrong(place, "`table` needs a `code`");
        }
        if table.is_none() && operation.name.is_none() {
            return wrong(place, "has neither `table` nor `name`");
        }
        let otherwise = (
            operation.name.as_ref().map_or(Ok("unknown"), |text| name(place, text))?,
            operation
                .action
                .as_ref()
                .map_or(Ok(Action::Diagnostics), |text| action(place, text))?,
        );
        let object = match &operation.object {
            Some(object) => self.object(&format!("{place}.object"), object)?,
            None => ObjectPlan::None,
        };
        Ok(OperationPlan { code, table, otherwise, object })
    }

    fn object(&self, place: &str, object: &file::Object) -> Checked<ObjectPlan> {
        let file::Object { text, join, kind, number, space, first, count } = object;
        match (text, kind, number, space, first) {
            (Some(fields), None, None, None, None) => {
                let slots = fields.iter().map(|field| self.slot(place, field));
                let join = join.as_ref().map_or("/", |join| leak(join));
                Ok(ObjectPlan::Text(slots.collect::<Checked<_>>()?, join))
            }
            (None, Some(kind), Some(number), None, None) => {
                Ok(ObjectPlan::Number(name(place, kind)?, self.number_slot(place, number)?))
            }
            (None, None, None, Some(space), Some(first)) => {
                let count = count.as_ref().map(|count| self.number_slot(place, count));
                let first = self.number_slot(place, first)?;
                Ok(ObjectPlan::Range(name(place, space)?, first, count.transpose()?))
            }
            _ => wrong(place, "is `text`, or `kind` and `number`, or `space`, `first` and `count`"),
        }
    }

    fn table(&self, place: &str, table: &str) -> Checked<&'static Table> {
        match self.tables.get(table) {
            Some(table) => Ok(table),
            None => wrong(place, format!("there is no table `{table}`")),
        }
    }

    fn claim(&self, place: &str, attribute: &str, claim: &file::Claim) -> Checked<ClaimPlan> {
        let plain;
        let claim = match claim {
            file::Claim::Full(claim) => claim,
            file::Claim::Field(field) => {
                plain = file::FullClaim {
                    field: field.clone(),
                    table: None,
                    confidence: None,
                    about: None,
                };
                &plain
            }
        };
        Ok(ClaimPlan {
            attribute: name(place, attribute)?,
            slot: self.slot(place, &claim.field)?,
            table: claim.table.as_ref().map(|table| self.table(place, table)).transpose()?,
            confidence: match claim.confidence {
                Some(file::Confidence::Low) => Confidence::Low,
                Some(file::Confidence::Medium) => Confidence::Medium,
                Some(file::Confidence::High) | None => Confidence::High,
            },
            about_sender: claim.about != Some(file::About::Receiver),
        })
    }
}

fn required<'a, T>(place: &str, key: &str, value: Option<&'a T>) -> Checked<&'a T> {
    value.map_or_else(|| wrong(place, format!("has no `{key}`")), Ok)
}

fn carriers(file: &file::Carriers) -> Checked<&'static [Carrier]> {
    let mut carriers = Vec::new();
    if let Some(ports) = &file.tcp {
        carriers.push(Carrier::Tcp(leak_list(ports.clone())));
    }
    if let Some(ports) = &file.udp {
        carriers.push(Carrier::Udp(leak_list(ports.clone())));
    }
    if let Some(types) = &file.ethertype {
        carriers.push(Carrier::EtherType(leak_list(types.clone())));
    }
    if let Some(saps) = &file.llc {
        carriers.push(Carrier::Llc(leak_list(saps.clone())));
    }
    if let Some(ids) = &file.snap {
        carriers.push(Carrier::Snap(leak_list(ids.clone())));
    }
    if let Some(numbers) = &file.ip {
        carriers.push(Carrier::Ip(leak_list(numbers.clone())));
    }
    if carriers.is_empty() {
        return wrong("carriers", "names none");
    }
    Ok(leak_list(carriers))
}

fn number(place: &str, field: &Field, little: bool) -> Checked<(What, Decode, Nature)> {
    let size = match field.kind.as_str() {
        "u8" => 1,
        "u16" => 2,
        "u24" => 3,
        "u32" => 4,
        _ => 8,
    };
    let counts = field.counts.map(|counts| super::plan::Counts {
        whole_message: counts == Counts::Message,
        unit: u64::from(field.unit.unwrap_or(1)),
        plus: field.plus,
    });
    let decode = match (field.show, size, little) {
        (Some(_), 4, true) => Decode::Hex32Le,
        (Some(_), 4, false) => Decode::Hex32Be,
        (Some(_), ..) => return wrong(place, "`show = \"hex\"` is for `u32`"),
        (None, _, true) => Decode::UnsignedLe,
        (None, _, false) => Decode::UnsignedBe,
    };
    Ok((What::Number { size, little, counts }, decode, Nature::Number(8 * size as u32)))
}

fn check(place: &str, field: &Field, little: bool) -> Checked<(What, Decode, Nature)> {
    let wanted = required(place, "check", field.check.as_ref())?;
    let Some(algorithm) = CHECKS.iter().find(|check| check.name == wanted) else {
        let known: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        return wrong(place, format!("there is no check `{wanted}`: {}", known.join(", ")));
    };
    let start = field.start.unwrap_or(0);
    let what = What::Check { size: algorithm.size, little, algorithm, start };
    Ok((what, Decode::Hex, Nature::Bytes))
}

fn typed_head(place: &str, field: &Field, order: Order) -> Checked<TypedHead> {
    let type_size = field.type_size.unwrap_or(1);
    let length_size = field.length_size.unwrap_or(1);
    if !(1..=4).contains(&type_size) || !(1..=4).contains(&length_size) {
        return wrong(place, "`type-size` and `length-size` are 1 to 4 bytes");
    }
    let align = field.align.unwrap_or(1);
    if !(1..=8).contains(&align) {
        return wrong(place, "`align` is 1 to 8 bytes");
    }
    Ok(TypedHead {
        type_size,
        length_size,
        little: field.order.unwrap_or(order) == Order::Little,
        length_counts_head: field.length_counts == Some(LengthCounts::Entry),
        unit: u64::from(field.unit.unwrap_or(1)),
        align,
        pad: field.pad,
        stop: field.stop,
    })
}

/// What `is`, `min` and `max` ask of a field.
fn condition(place: &str, field: &Field, nature: Nature) -> Checked<Option<Test>> {
    match (&field.is, field.min, field.max) {
        (None, None, None) => Ok(None),
        (Some(is), None, None) => test(place, is, nature).map(Some),
        (None, min, max) => {
            let is = Is::Range { min: min.unwrap_or(0), max: max.unwrap_or(u64::MAX) };
            test(place, &is, nature).map(Some)
        }
        _ => wrong(place, "`is` goes without `min` and `max`"),
    }
}

fn test(place: &str, is: &Is, nature: Nature) -> Checked<Test> {
    let texts = |texts: &[String]| match nature {
        Nature::Number(_) => wrong(place, "is a number"),
        Nature::Text => {
            let texts = texts.iter().map(|text| Ok(bytes_of(place, text)?.trim_ascii().to_vec()));
            texts.collect::<Checked<_>>().map(Test::Texts)
        }
        Nature::Bytes => {
            texts.iter().map(|text| hex(place, text)).collect::<Checked<_>>().map(Test::Bytes)
        }
    };
    let is_number = matches!(nature, Nature::Number(_));
    match is {
        Is::Number(_) | Is::Numbers(_) | Is::Range { .. } if !is_number => {
            wrong(place, "is no number")
        }
        Is::Number(number) => Ok(Test::Numbers(vec![*number])),
        Is::Numbers(numbers) if numbers.is_empty() => wrong(place, "can have no value"),
        Is::Numbers(numbers) => Ok(Test::Numbers(numbers.clone())),
        Is::Range { min, max } if min > max => wrong(place, "`min` is above `max`"),
        Is::Range { min, max } => Ok(Test::Range(*min, *max)),
        Is::Text(text) => texts(std::slice::from_ref(text)),
        Is::Texts(list) if list.is_empty() => wrong(place, "can have no value"),
        Is::Texts(list) => texts(list),
    }
}

/// How many bits of a message a condition settles. Zero bytes and the leading zeroes of a range are
/// everywhere: they count a quarter. Words are shared by protocols: a letter counts five.
fn settled(test: &Test, nature: Nature) -> u32 {
    let ways = |count: u64| count.next_power_of_two().trailing_zeros();
    match (test, nature) {
        (Test::Numbers(list), Nature::Number(bits)) => {
            let own = |number: &u64| {
                let zeroes = number.to_be_bytes().iter().filter(|byte| **byte == 0).count() as u32;
                let bytes = bits.div_ceil(8);
                let zeroes = zeroes.saturating_sub(8 - bytes);
                bits.saturating_sub(6 * zeroes)
            };
            list.iter().map(own).min().unwrap_or(0).saturating_sub(ways(list.len() as u64))
        }
        (Test::Range(min, max), Nature::Number(bits)) => {
            let used = 64 - max.leading_zeros();
            let free = ways((max - min).saturating_add(1));
            bits.saturating_sub(used) / 4 + used.min(bits).saturating_sub(free)
        }
        (Test::Texts(list) | Test::Bytes(list), _) => {
            let shortest = list.iter().map(Vec::len).min().unwrap_or(0) as u32;
            let of_byte = if nature == Nature::Text { 5 } else { 8 };
            (of_byte * shortest).saturating_sub(ways(list.len() as u64))
        }
        _ => 0,
    }
}

fn code(key: &str) -> Option<u64> {
    match key.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => key.parse().ok(),
    }
}

fn table_of(table: &str, rows: &BTreeMap<String, file::Row>) -> Checked<Table> {
    let place = format!("tables.{table}");
    let mut meanings = Vec::new();
    for (key, row) in rows {
        let place = format!("{place}.{key}");
        let meaning = match row {
            file::Row::Name(text) => (leak(text), None),
            file::Row::Function(function) => {
                let own = name(&place, &function.name)?;
                (own, Some(action(&place, &function.action)?))
            }
        };
        meanings.push((key, meaning));
    }
    let numbers: Option<Vec<_>> =
        meanings.iter().map(|(key, meaning)| Some((code(key)?, *meaning))).collect();
    let Some(mut numbers) = numbers else {
        let rows = meanings.into_iter().map(|(key, meaning)| (key.to_uppercase(), meaning));
        return Ok(Table::Texts(rows.collect()));
    };
    numbers.sort_by_key(|(code, _)| *code);
    if let Some(pair) = numbers.windows(2).find(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
        let twice = pair.first().map_or(0, |(code, _)| *code);
        return wrong(place, format!("has {twice} twice"));
    }
    Ok(Table::Numbers(numbers))
}

fn action(place: &str, text: &str) -> Checked<Action> {
    match Action::ALL.iter().find(|action| action.name() == text) {
        Some(action) => Ok(*action),
        None => {
            let known: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
            wrong(place, format!("`{text}` is no action: {}", known.join(", ")))
        }
    }
}
