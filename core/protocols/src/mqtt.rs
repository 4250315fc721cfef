//! MQTT: publish and subscribe through a broker, over TCP.
//!
//! Sources: OASIS MQTT 3.1.1 §2 (fixed header), §3 (packets); OASIS MQTT 5.0 §2.2.2 (properties),
//! §3 (packets, reason codes), §3.3.2.3.4 (topic alias); MQTT 3.1 (name `MQIsdp`, level 3).
//!
//! The code of an operation is the packet type. What a client publishes is written, what a broker
//! delivers is read. A subscription to several topics is one operation for each.
//!
//! A session joined after CONNECT has an unknown version: SUBSCRIBE and UNSUBSCRIBE are read as the
//! version whose fields fill the packet. Passwords are never kept, user names are in log-in events.
//!
//! Rules broken on the wire:
//! * `mqtt-packet`: bytes inside a session are no packet: type 0, wrong flags, a length of more than
//!   four bytes, or a packet shorter than its fields.
//!
//! Not decoded: payloads but those of [`sparkplug`](crate::sparkplug), wills, properties other than the topic alias, MQTT over WebSocket.

use compact_str::CompactString;
use otic_wire::{Cursor, Short, Spans};

use crate::fields::part_at;
use crate::out::{Action, Event, Item, Object, Operation, Out, Outcome};
use crate::pending::Pending;
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::sparkplug::Sparkplug;
use crate::text;

/// MQTT.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "MQTT",
    roles: ("MQTT client", "MQTT broker"),
    carriers: &[Carrier::Tcp(&[PORT])],
    dissector: Dissector::Built { probe, session: || Box::new(Mqtt::new()) },
    source: "OASIS MQTT 3.1.1, OASIS MQTT 5.0",
};

const NAME: &str = "mqtt";
const PORT: u16 = 1883;

const CONNECT: u8 = 1;
const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const SUBSCRIBE: u8 = 8;
const SUBACK: u8 = 9;
const UNSUBSCRIBE: u8 = 10;
const UNSUBACK: u8 = 11;
const PINGREQ: u8 = 12;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;
const AUTH: u8 = 15;

const VERSION_5: u8 = 5;
const TOPIC_ALIAS: u8 = 0x23;

/// Of a longer packet only the beginning is kept.
const LARGE: usize = 16 * 1024;
/// Longest topic that an object names.
const SPELLED: usize = 256;
/// Requests of one flow that may wait at once.
const WAITING: usize = 64;
/// Topic aliases of one side that are remembered.
const ALIASES: usize = 64;

/// Name and action of a packet type.
const fn packet(kind: u8) -> (&'static str, Action) {
    match kind {
        CONNECT => ("connect", Action::Session),
        PUBLISH => ("publish", Action::Write),
        SUBSCRIBE => ("subscribe", Action::Subscribe),
        UNSUBSCRIBE => ("unsubscribe", Action::Subscribe),
        PINGREQ => ("ping", Action::Session),
        DISCONNECT => ("disconnect", Action::Session),
        AUTH => ("auth", Action::Authenticate),
        _ => ("unknown", Action::Session),
    }
}

/// A packet, or the beginning of a large one.
struct Packet<'a> {
    kind: u8,
    flags: u8,
    body: &'a [u8],
    /// The type's byte.
    code: &'a [u8],
    /// Bytes of the whole packet.
    length: usize,
}

enum Front<'a> {
    Packet(Packet<'a>),
    Incomplete,
    Foreign,
}

/// Flags of all packets but PUBLISH are fixed (§2.2.2).
const fn flags_fit(kind: u8, flags: u8) -> bool {
    match kind {
        0 => false,
        PUBLISH => flags & 6 != 6,
        6 | SUBSCRIBE | UNSUBSCRIBE => flags == 2,
        _ => flags == 0,
    }
}

fn front(bytes: &[u8]) -> Front<'_> {
    let mut cursor = Cursor::new(bytes);
    let Ok(code) = cursor.take(1) else { return Front::Incomplete };
    let first = code.first().copied().unwrap_or_default();
    let (kind, flags) = (first >> 4, first & 0x0f);
    if !flags_fit(kind, flags) {
        return Front::Foreign;
    }
    let remaining = match variable(&mut cursor) {
        Ok(Some(number)) => number,
        Ok(None) => return Front::Foreign,
        Err(_) => return Front::Incomplete,
    };
    let head = cursor.position();
    let length = head + remaining;
    let held = if remaining > LARGE {
        if kind != PUBLISH {
            return Front::Foreign;
        }
        head + LARGE
    } else {
        length
    };
    match bytes.get(head..held) {
        Some(body) => Front::Packet(Packet { kind, flags, body, code, length }),
        None => Front::Incomplete,
    }
}

/// A variable byte integer of at most four bytes; none for a longer one.
fn variable(cursor: &mut Cursor<'_>) -> Result<Option<usize>, Short> {
    let mut number = 0;
    for shift in [0, 7, 14, 21] {
        let byte = cursor.u8()?;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// A string or binary data with its length before it.
fn string<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Short> {
    let length = cursor.u16_be()?;
    cursor.take(usize::from(length))
}

fn properties<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Short> {
    let length = variable(cursor)?.unwrap_or(usize::MAX);
    cursor.take(length)
}

/// What a CONNECT tells.
struct Connect<'a> {
    level: u8,
    client_id: &'a [u8],
    user: Option<&'a [u8]>,
}

fn connect(body: &[u8]) -> Result<Option<Connect<'_>>, Short> {
    let mut cursor = Cursor::new(body);
    let name = string(&mut cursor)?;
    // A bridge sets the top bit.
    let level = cursor.u8()? & 0x7f;
    if !matches!((name, level), (b"MQTT", 4 | 5) | (b"MQIsdp", 3)) {
        return Ok(None);
    }
    let flags = cursor.u8()?;
    let _keep_alive = cursor.u16_be()?;
    if level == VERSION_5 {
        properties(&mut cursor)?;
    }
    let client_id = string(&mut cursor)?;
    if flags & 4 != 0 {
        if level == VERSION_5 {
            properties(&mut cursor)?;
        }
        let (_topic, _payload) = (string(&mut cursor)?, string(&mut cursor)?);
    }
    let user = if flags & 0x80 == 0 { None } else { Some(string(&mut cursor)?) };
    Ok(Some(Connect { level, client_id, user }))
}

/// What a PUBLISH tells.
struct Publish<'a> {
    topic: &'a [u8],
    /// With quality of service 1 and 2.
    id: Option<u16>,
    alias: Option<u16>,
    payload: &'a [u8],
}

fn publish<'a>(packet: &Packet<'a>, level: Option<u8>) -> Result<Publish<'a>, Short> {
    let mut cursor = Cursor::new(packet.body);
    let topic = string(&mut cursor)?;
    let id = if packet.flags & 6 == 0 { None } else { Some(cursor.u16_be()?) };
    let mut alias = None;
    if level == Some(VERSION_5) {
        alias = match properties(&mut cursor)? {
            // Mostly it is the first property.
            [TOPIC_ALIAS, high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
            _ => None,
        };
    }
    Ok(Publish { topic, id, alias, payload: cursor.rest() })
}

/// Packet id and topic filters of SUBSCRIBE (`with_options`) or UNSUBSCRIBE; none where the fields
/// do not fill the packet.
fn filters(body: &[u8], with_options: bool, is_5: bool) -> Option<(u16, Vec<&[u8]>)> {
    let mut cursor = Cursor::new(body);
    let id = cursor.u16_be().ok()?;
    if is_5 {
        properties(&mut cursor).ok()?;
    }
    let mut topics = Vec::new();
    while !cursor.is_empty() {
        let topic = string(&mut cursor).ok()?;
        if topic.is_empty() {
            return None;
        }
        if with_options {
            cursor.u8().ok()?;
        }
        topics.push(topic);
    }
    Some((id, topics))
}

/// Return codes of version 3 and reason codes of version 5 (§2.4).
const fn is_reason(code: u8) -> bool {
    matches!(code, 0..=5 | 0x10 | 0x11 | 0x18 | 0x19 | 0x80..=0xa2)
}

/// Nothing, a reason, or a reason with properties, to the end.
fn reason_fits(body: &[u8]) -> bool {
    let Some((reason, rest)) = body.split_first() else { return true };
    let mut cursor = Cursor::new(rest);
    let fills = rest.is_empty() || (properties(&mut cursor).is_ok() && cursor.is_empty());
    is_reason(*reason) && fills
}

/// A packet id, properties perhaps, and a reason for each topic.
fn grants(body: &[u8]) -> bool {
    let [high, low, rest @ ..] = body else { return false };
    let mut cursor = Cursor::new(rest);
    let after = properties(&mut cursor).map_or(rest, |_| cursor.rest());
    let all = |codes: &[u8]| codes.iter().copied().all(is_reason);
    (*high, *low) != (0, 0) && (all(rest) || all(after))
}

/// A packet id and topics that can be read.
fn has_filters(packet: &Packet<'_>) -> bool {
    [false, true].into_iter().any(|is_5| {
        filters(packet.body, packet.kind == SUBSCRIBE, is_5).is_some_and(|(id, topics)| {
            id != 0 && !topics.is_empty() && topics.iter().all(|topic| text::is_printable(topic))
        })
    })
}

fn probe(input: &Input<'_>) -> Probe {
    match front(input.bytes) {
        Front::Packet(packet) => match packet.kind {
            CONNECT => match connect(packet.body) {
                Ok(Some(_)) => Probe::Certain,
                _ => Probe::No,
            },
            PUBLISH => match publish(&packet, None) {
                Ok(publish) if text::is_printable(publish.topic) => Probe::Weak,
                _ => Probe::No,
            },
            SUBSCRIBE | UNSUBSCRIBE if has_filters(&packet) => Probe::Weak,
            CONNACK if matches!(packet.body, [0 | 1, rest @ ..] if !rest.is_empty() && reason_fits(rest)) => {
                Probe::Weak
            }
            SUBACK | UNSUBACK if grants(packet.body) => Probe::Weak,
            PUBACK..=7 if packet.body.get(2..).is_some_and(reason_fits) => Probe::Weak,
            PINGREQ | PINGRESP if packet.body.is_empty() => Probe::Weak,
            DISCONNECT | AUTH if reason_fits(packet.body) => Probe::Weak,
            _ => Probe::No,
        },
        // The name is within the first bytes.
        Front::Incomplete => match input.bytes {
            [] => Probe::More,
            [0x10, rest @ ..] if rest.len() < 8 || memchr::memmem::find(rest, b"MQ").is_some() => {
                Probe::More
            }
            _ if input.on_port(PORT) => Probe::More,
            _ => Probe::No,
        },
        Front::Foreign => Probe::No,
    }
}

/// A flow that carries MQTT.
struct Mqtt {
    /// By sender, packet type and packet id.
    pending: Pending<(Side, u8, u16), Operation>,
    /// The user name of a CONNECT that waits, and where it stands.
    user: Option<(CompactString, Spans)>,
    level: Option<u8>,
    aliases: [Vec<(u16, CompactString)>; 2],
    /// Bytes of a large packet that are still to come.
    skip: [usize; 2],
    client: Option<Side>,
    synchronised: [bool; 2],
    sparkplug: Sparkplug,
}

fn topic(bytes: &[u8]) -> CompactString {
    text::utf8(bytes.get(..bytes.len().min(SPELLED)).unwrap_or_default())
}

impl Mqtt {
    fn new() -> Self {
        Self {
            pending: Pending::new(WAITING),
            user: None,
            level: None,
            aliases: [Vec::new(), Vec::new()],
            skip: [0; 2],
            client: None,
            synchronised: [false; 2],
            sparkplug: Sparkplug::default(),
        }
    }

    fn say_client(&mut self, side: Side, out: &mut Out) {
        if self.client.is_none() {
            self.client = Some(side);
            out.push(Item::Client(side));
        }
    }

    fn operation(input: &Input<'_>, packet: &Packet<'_>, object: Object) -> Operation {
        let words = self::packet(packet.kind);
        let mut operation = input.operation(NAME, input.side, words, packet.code);
        operation.code = Some(u32::from(packet.kind));
        operation.object = object;
        operation
    }

    fn wait(&mut self, id: u16, operation: Operation, kind: u8, out: &mut Out) {
        let key = (operation.sender, kind, id);
        if let Some(evicted) = self.pending.insert(key, operation) {
            out.operation(evicted);
        }
    }

    fn answer(&mut self, input: &Input<'_>, kind: u8, id: u16, outcome: Outcome, out: &mut Out) {
        if let Some(mut operation) = self.pending.take(&(input.side.other(), kind, id)) {
            operation.outcome = outcome;
            out.operation(operation);
        }
    }

    fn packet(
        &mut self,
        input: &Input<'_>,
        packet: &Packet<'_>,
        out: &mut Out,
    ) -> Result<(), Short> {
        match packet.kind {
            CONNECT | SUBSCRIBE | UNSUBSCRIBE | PINGREQ => self.say_client(input.side, out),
            CONNACK | SUBACK | UNSUBACK | PINGRESP => self.say_client(input.side.other(), out),
            _ => {}
        }
        let mut cursor = Cursor::new(packet.body);
        match packet.kind {
            CONNECT => {
                let Some(told) = connect(packet.body)? else { return Ok(()) };
                self.level = Some(told.level);
                self.user =
                    told.user.map(|name| (text::utf8(text::trim(name)), input.locate(name)));
                out.claim(input.own_text((NAME, "connect"), "mqtt_client_id", told.client_id));
                let operation = Self::operation(input, packet, Object::None);
                self.wait(0, operation, CONNECT, out);
            }
            CONNACK => {
                let (_flags, code) = (cursor.u8()?, cursor.u8()?);
                self.connected(input, code, out);
            }
            PUBLISH => self.publish(input, packet, out)?,
            PUBACK | PUBREC => {
                let id = cursor.u16_be()?;
                // Reason codes from 0x80 are errors; version 3 has none.
                let refused = cursor.peek().is_some_and(|reason| reason >= 0x80);
                self.answer(input, PUBLISH, id, outcome(refused), out);
            }
            SUBSCRIBE | UNSUBSCRIBE => {
                let with_options = packet.kind == SUBSCRIBE;
                let read = |is_5| filters(packet.body, with_options, is_5);
                let told = match self.level {
                    Some(level) => read(level == VERSION_5),
                    None => read(false).or_else(|| read(true)),
                };
                let Some((id, topics)) = told else {
                    violation(input, packet.code, out);
                    return Ok(());
                };
                for filter in topics {
                    let operation = Self::operation(input, packet, Object::Text(topic(filter)));
                    self.wait(id, operation, packet.kind, out);
                }
            }
            SUBACK | UNSUBACK => {
                let id = cursor.u16_be()?;
                if self.level == Some(VERSION_5) {
                    properties(&mut cursor)?;
                }
                let asked = packet.kind - 1;
                let codes = cursor.rest();
                for code in codes {
                    self.answer(input, asked, id, outcome(*code >= 0x80), out);
                }
                // Version 3 confirms the end of subscriptions without codes.
                while codes.is_empty()
                    && self.pending.get_mut(&(input.side.other(), asked, id)).is_some()
                {
                    self.answer(input, asked, id, Outcome::Ok, out);
                }
            }
            PINGREQ => {
                let operation = Self::operation(input, packet, Object::None);
                self.wait(0, operation, PINGREQ, out);
            }
            PINGRESP => self.answer(input, PINGREQ, 0, Outcome::Ok, out),
            DISCONNECT | AUTH => {
                let mut operation = Self::operation(input, packet, Object::None);
                operation.outcome = Outcome::None;
                out.operation(operation);
            }
            _ => {}
        }
        Ok(())
    }

    fn connected(&mut self, input: &Input<'_>, code: u8, out: &mut Out) {
        // Bad user name or password, not authorized: of version 3 and of version 5.
        let denied = matches!(code, 4 | 5 | 0x86 | 0x87);
        if let Some((user, evidence)) = self.user.take()
            && (code == 0 || denied)
        {
            out.push(Item::Event(Event {
                kind: if denied { "login-failed" } else { "login" },
                protocol: NAME,
                sender: input.side.other(),
                values: vec![("user", user)],
                evidence,
            }));
        }
        self.answer(input, CONNECT, 0, outcome(code != 0), out);
    }

    fn publish(
        &mut self,
        input: &Input<'_>,
        packet: &Packet<'_>,
        out: &mut Out,
    ) -> Result<(), Short> {
        let told = publish(packet, self.level)?;
        let aliases = input.side.of(&mut self.aliases);
        let known =
            told.alias.and_then(|alias| aliases.iter().position(|(number, _)| *number == alias));
        let name = match (told.topic, told.alias, known) {
            ([], _, Some(at)) => aliases.get(at).map(|(_, name)| name.clone()),
            ([], _, None) => None,
            (name, Some(alias), _) => {
                if let Some(at) = known {
                    aliases.remove(at);
                } else if aliases.len() >= ALIASES {
                    aliases.remove(0);
                }
                aliases.push((alias, topic(name)));
                Some(topic(name))
            }
            (name, None, _) => Some(topic(name)),
        };
        let delivered = self.client.is_some_and(|client| client != input.side);
        if let Some(name) = &name {
            let payload = (told.payload, packet.body);
            self.sparkplug.message(input, name, payload, !delivered, out);
        }
        let mut operation = Self::operation(input, packet, name.map_or(Object::None, Object::Text));
        if delivered {
            operation.action = Action::Read;
        }
        match told.id {
            Some(id) => self.wait(id, operation, PUBLISH, out),
            None => {
                operation.outcome = Outcome::None;
                out.operation(operation);
            }
        }
        Ok(())
    }
}

const fn outcome(refused: bool) -> Outcome {
    if refused { Outcome::Error } else { Outcome::Ok }
}

fn violation(input: &Input<'_>, part: &[u8], out: &mut Out) {
    if !input.truncated {
        out.push(input.violation(NAME, "mqtt-packet", part_at(part, 0, 32)));
    }
}

impl Session for Mqtt {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        if input.after_gap {
            *input.side.of(&mut self.skip) = 0;
            *input.side.of(&mut self.synchronised) = false;
        }
        let skip = input.side.of(&mut self.skip);
        let mut used = input.bytes.len().min(*skip);
        *skip -= used;
        if used > 0 {
            out.layer(NAME, input.side);
        }
        while let Some(rest) = input.bytes.get(used..)
            && !rest.is_empty()
        {
            match front(rest) {
                Front::Packet(packet) => {
                    if used == 0 {
                        out.layer(NAME, input.side);
                    }
                    *input.side.of(&mut self.synchronised) = true;
                    if self.packet(input, &packet, out).is_err() {
                        violation(input, packet.code, out);
                    }
                    // What follows a large packet's beginning is its payload.
                    let here = packet.length.min(rest.len());
                    *input.side.of(&mut self.skip) = packet.length - here;
                    used += here;
                }
                Front::Incomplete => break,
                Front::Foreign => {
                    if std::mem::take(input.side.of(&mut self.synchronised)) {
                        violation(input, rest, out);
                    }
                    return input.bytes.len();
                }
            }
        }
        used
    }

    fn finish(&mut self, out: &mut Out) {
        for operation in self.pending.drain() {
            out.operation(operation);
        }
    }

    fn stream_cap(&self) -> usize {
        LARGE + 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out::Value;
    use crate::testing;

    fn text_of(text: &str) -> Vec<u8> {
        [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
    }

    fn whole(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind << 4 | flags];
        let mut rest = body.len();
        loop {
            let more = if rest > 127 { 0x80 } else { 0 };
            bytes.push((rest & 0x7f) as u8 | more);
            rest >>= 7;
            if rest == 0 {
                break;
            }
        }
        bytes.extend_from_slice(body);
        bytes
    }

    fn connect(level: u8, user: bool) -> Vec<u8> {
        let mut body = text_of("MQTT");
        body.extend_from_slice(&[level, if user { 0xc2 } else { 2 }, 0, 60]);
        if level == VERSION_5 {
            body.push(0);
        }
        body.extend(text_of("press-7"));
        if user {
            body.extend(text_of("operator"));
            body.extend(text_of("hidden"));
        }
        whole(CONNECT, 0, &body)
    }

    fn subscribe(id: u8, topics: &[&str]) -> Vec<u8> {
        let mut body = vec![0, id];
        for topic in topics {
            body.extend(text_of(topic));
            body.push(1);
        }
        whole(SUBSCRIBE, 2, &body)
    }

    #[test]
    fn a_client_logs_in_and_its_password_is_not_kept() {
        let items = testing::items(
            &PROTOCOL,
            &[(Side::A, &connect(4, true)), (Side::B, &whole(CONNACK, 0, &[0, 0]))],
        );
        assert_eq!(
            vec![("connect", Some(1), String::new(), Outcome::Ok)],
            testing::coded_operations(&items)
        );
        assert_eq!(vec![("mqtt_client_id", "press-7".to_owned())], testing::claims(&items));
        let events = testing::events(&items);
        assert_eq!("login", events[0].kind);
        assert_eq!(vec![("user", "operator".into())], events[0].values);
        assert!(!format!("{items:?}").contains("hidden"));
    }

    #[test]
    fn a_refused_log_in_has_failed() {
        for code in [5, 0x87] {
            let items = testing::items(
                &PROTOCOL,
                &[(Side::A, &connect(4, true)), (Side::B, &whole(CONNACK, 0, &[0, code]))],
            );
            assert_eq!("login-failed", testing::events(&items)[0].kind);
            assert_eq!(Outcome::Error, testing::operations(&items)[0].2);
        }
    }

    #[test]
    fn topics_are_objects() {
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &connect(4, false)),
                (Side::A, &subscribe(1, &["line/+/state", "line/1/x"])),
                (Side::B, &whole(SUBACK, 0, &[0, 1, 1, 0x80])),
                (
                    Side::A,
                    &whole(PUBLISH, 2, &[text_of("line/1/speed"), vec![0, 2, b'5']].concat()),
                ),
                (Side::B, &whole(PUBACK, 0, &[0, 2])),
                (Side::B, &whole(PUBLISH, 0, &[text_of("line/1/state"), vec![b'1']].concat())),
            ],
        );
        let told: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Operation(operation) => Some((
                    operation.name,
                    operation.action,
                    operation.object.to_text().to_string(),
                    operation.outcome,
                )),
                _ => None,
            })
            .collect();
        let line = |text: &str| text.to_owned();
        assert_eq!(
            vec![
                ("subscribe", Action::Subscribe, line("line/+/state"), Outcome::Ok),
                ("subscribe", Action::Subscribe, line("line/1/x"), Outcome::Error),
                ("publish", Action::Write, line("line/1/speed"), Outcome::Ok),
                ("publish", Action::Read, line("line/1/state"), Outcome::None),
                ("connect", Action::Session, line(""), Outcome::Unseen),
            ],
            told
        );
    }

    #[test]
    fn version_5_names_a_topic_once() {
        let named = [text_of("line/1/speed"), vec![3, TOPIC_ALIAS, 0, 1, b'5']].concat();
        let alias = [text_of(""), vec![3, TOPIC_ALIAS, 0, 1, b'6']].concat();
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &connect(5, false)),
                (Side::A, &whole(PUBLISH, 0, &named)),
                (Side::A, &whole(PUBLISH, 0, &alias)),
            ],
        );
        let told = testing::operations(&items);
        assert_eq!(("publish", "line/1/speed".to_owned(), Outcome::None), told[1]);
    }

    #[test]
    fn sparkplug_names_what_a_topic_carries() {
        use crate::sparkplug::tests::{number_metric, text_metric};
        let publish = |topic: &str, metrics: &[Vec<u8>]| {
            whole(PUBLISH, 0, &[text_of(topic), metrics.concat()].concat())
        };
        let birth = publish(
            "spBv1.0/Hall/NBIRTH/Gateway",
            &[text_metric("Properties/Hardware Make", 1, "Maker"), number_metric("Speed", 2, 50)],
        );
        let items = testing::items(
            &PROTOCOL,
            &[
                (Side::A, &connect(4, false)),
                (Side::A, &birth),
                (Side::B, &publish("spBv1.0/Hall/NCMD/Gateway", &[number_metric("", 2, -7)])),
                (Side::B, &publish("spBv1.0/Hall/NDEATH/Other", &[])),
            ],
        );
        let told = testing::operations(&items);
        let own: Vec<_> = told.iter().filter(|(name, ..)| name.starts_with('n')).collect();
        let names: Vec<_> = own.iter().map(|(name, object, _)| (*name, object.as_str())).collect();
        assert_eq!(
            vec![
                ("nbirth", "Hall/Gateway"),
                ("ncmd", "Hall/Gateway Speed"),
                ("ndeath", "Hall/Other")
            ],
            names
        );
        assert!(items.iter().any(|item| matches!(item, Item::Change(change)
            if change.old == Some(Value::Integer(50)) && change.new == Value::Integer(-7))));
        let claims = testing::claims(&items);
        assert!(claims.contains(&("vendor", "Maker".to_owned())), "{claims:?}");
        assert!(claims.contains(&("name", "Gateway".to_owned())));
    }

    #[test]
    fn a_session_joined_later_is_read_as_the_version_that_fits() {
        let mut body = vec![0, 1, 0];
        body.extend(text_of("line/1/x"));
        body.push(0);
        let items = testing::items(&PROTOCOL, &[(Side::A, &whole(SUBSCRIBE, 2, &body))]);
        assert_eq!("line/1/x", testing::operations(&items)[0].1);
        let mut body = vec![0, 1];
        body.extend(text_of("line/1/x"));
        let gone =
            [(Side::A, whole(UNSUBSCRIBE, 2, &body)), (Side::B, whole(UNSUBACK, 0, &[0, 1]))];
        let gone: Vec<_> = gone.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        let items = testing::items(&PROTOCOL, &gone);
        assert_eq!(
            vec![("unsubscribe", "line/1/x".to_owned(), Outcome::Ok)],
            testing::operations(&items)
        );
    }

    #[test]
    fn of_a_large_packet_the_topic_is_read() {
        let mut body = text_of("camera/1");
        body.resize(3 * LARGE, 0xff);
        let large = whole(PUBLISH, 0, &body);
        let conversation: &[(Side, &[u8])] =
            &[(Side::A, &large), (Side::A, &whole(PINGREQ, 0, &[]))];
        let items = testing::items(&PROTOCOL, conversation);
        assert_eq!(
            vec![
                ("publish", "camera/1".to_owned(), Outcome::None),
                ("ping", String::new(), Outcome::Unseen),
            ],
            testing::operations(&items)
        );
    }

    #[test]
    fn what_is_no_packet_is_a_violation() {
        let ping = whole(PINGREQ, 0, &[]);
        let items = testing::items(&PROTOCOL, &[(Side::A, &ping), (Side::A, &[0, 9, 9])]);
        assert!(items.iter().any(|item| matches!(item, Item::Violation(violation)
            if violation.rule == "mqtt-packet")));
    }

    #[test]
    fn the_probe_knows_its_own() {
        let hello = connect(4, true);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, &hello)));
        assert_eq!(Probe::More, testing::probe(&PROTOCOL, (Side::A, &hello[..12])));
        let wrong = whole(CONNECT, 0, &[text_of("HTTP"), vec![4, 2, 0, 60, 0, 0]].concat());
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &wrong)));
        let ping = whole(PINGREQ, 0, &[]);
        assert_eq!(Probe::Weak, testing::probe(&PROTOCOL, (Side::A, &ping)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, b"GET / HTTP/1.1")));
    }

    #[test]
    fn survives_hostile_bytes() {
        let named = [text_of("line/1/speed"), vec![3, TOPIC_ALIAS, 0, 1, b'5']].concat();
        let conversation = [
            (Side::A, connect(5, true)),
            (Side::B, whole(CONNACK, 0, &[0, 0, 0])),
            (Side::A, whole(PUBLISH, 0, &named)),
            (Side::A, subscribe(1, &["a/b"])),
            (Side::B, whole(SUBACK, 0, &[0, 1, 0, 1])),
            (Side::A, whole(PINGREQ, 0, &[])),
            (Side::B, whole(PINGRESP, 0, &[])),
        ];
        let conversation: Vec<_> =
            conversation.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        testing::survives(&PROTOCOL, &conversation);
    }
}
