//! Sparkplug B: names, values and commands of edge nodes and their devices, in messages of MQTT.
//!
//! Sources: Eclipse Sparkplug 3.0.0 §4 (topics, message types), §6.4 (payloads, data types, aliases,
//! metrics of nodes and of their control); `sparkplug_b.proto` of Eclipse Tahu (field numbers);
//! Protocol Buffers, "Encoding". Metrics under `Properties/` are those of the specification's examples.
//!
//! A message is an operation `mqtt-sparkplug` beside the one of MQTT; a command is one for each metric
//! that it writes. Nodes and devices are children of the client that publishes for them,
//! `sparkplug GROUP/NODE/DEVICE`.
//!
//! Events: `sparkplug-birth`, `sparkplug-death`.
//!
//! Not decoded: templates, data sets, properties of metrics, compressed payloads.

use compact_str::{CompactString, format_compact};
use otic_wire::{Cursor, Short};

use crate::out::{
    Action, Change, Child, Claim, Confidence, Decode, Event, Evidence, Item, Object, Operation,
    Out, Outcome, Value, Who,
};
use crate::session::Input;
use crate::text;

const NAME: &str = "mqtt-sparkplug";
const CONNECTION: &str = "mqtt";
const CHILD: &str = "sparkplug";

const NAMESPACE: &str = "spBv1.0";
const STATE: &str = "STATE";

/// Aliases and values of one flow that are remembered, and metrics of one message that are read.
const REMEMBERED: usize = 256;
const METRICS: usize = 256;
/// Longest value that is kept.
const VALUE: usize = 256;

/// Fields of a payload and of a metric.
const METRIC_FIELD: u64 = 2;
const NAME_FIELD: u64 = 1;
const ALIAS_FIELD: u64 = 2;
const TYPE_FIELD: u64 = 4;

/// What a topic says.
struct Topic<'a> {
    /// Group, node and device, where there is one.
    path: CompactString,
    kind: Kind,
    /// Node or device.
    id: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Birth(&'static str),
    Death(&'static str),
    Data(&'static str),
    Command(&'static str),
    State,
}

fn topic(topic: &str) -> Option<Topic<'_>> {
    let mut parts = topic.split('/');
    let first = parts.next()?;
    let second = parts.next()?;
    if first == STATE || first == NAMESPACE && second == STATE {
        let host = if first == STATE { second } else { parts.next()? };
        return Some(Topic { path: host.into(), kind: Kind::State, id: host });
    }
    if first != NAMESPACE {
        return None;
    }
    let kind = match parts.next()? {
        "NBIRTH" => Kind::Birth("nbirth"),
        "DBIRTH" => Kind::Birth("dbirth"),
        "NDEATH" => Kind::Death("ndeath"),
        "DDEATH" => Kind::Death("ddeath"),
        "NDATA" => Kind::Data("ndata"),
        "DDATA" => Kind::Data("ddata"),
        "NCMD" => Kind::Command("ncmd"),
        "DCMD" => Kind::Command("dcmd"),
        _ => return None,
    };
    let node = parts.next().filter(|node| !node.is_empty())?;
    let (path, id) = match parts.next() {
        Some(device) => (format_compact!("{second}/{node}/{device}"), device),
        None => (format_compact!("{second}/{node}"), node),
    };
    Some(Topic { path, kind, id })
}

/// A field of a message: its number, and its number or bytes.
enum Field<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
}

fn varint(cursor: &mut Cursor<'_>) -> Result<u64, Short> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = cursor.u8()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Short { wanted: 1, got: 0, offset: cursor.position() })
}

/// The fields up to the first that cannot be read.
fn fields(bytes: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut cursor = Cursor::new(bytes);
    std::iter::from_fn(move || {
        let tag = varint(&mut cursor).ok()?;
        let number = tag >> 3;
        Some(match tag & 7 {
            0 => Field::Number(number, varint(&mut cursor).ok()?),
            1 => Field::Bytes(number, cursor.take(8).ok()?),
            2 => {
                let length = usize::try_from(varint(&mut cursor).ok()?).ok()?;
                Field::Bytes(number, cursor.take(length).ok()?)
            }
            5 => Field::Bytes(number, cursor.take(4).ok()?),
            _ => return None,
        })
    })
}

/// A metric, its name perhaps told by an alias only.
#[derive(Default)]
struct Metric<'a> {
    name: Option<&'a [u8]>,
    alias: Option<u64>,
    kind: u64,
    value: Option<Value>,
    /// The bytes of a text.
    text: &'a [u8],
}

impl<'a> Metric<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let mut metric = Self::default();
        for field in fields(bytes) {
            match field {
                Field::Bytes(NAME_FIELD, name) => metric.name = Some(name),
                Field::Number(ALIAS_FIELD, alias) => metric.alias = Some(alias),
                Field::Number(TYPE_FIELD, kind) => metric.kind = kind,
                // int, long and boolean value
                Field::Number(10 | 11 | 14, number) => {
                    metric.value = Some(Value::Integer(signed(number, metric.kind)));
                }
                Field::Bytes(12, float) => {
                    let float = float.try_into().map(f32::from_le_bytes);
                    metric.value = float.ok().map(|float| Value::Real(f64::from(float)));
                }
                Field::Bytes(13, double) => {
                    metric.value = double.try_into().map(f64::from_le_bytes).ok().map(Value::Real);
                }
                Field::Bytes(15, text) if text.len() <= VALUE => {
                    metric.value = Some(Value::Text(text::utf8(text)));
                    metric.text = text;
                }
                Field::Bytes(16, bytes) if bytes.len() <= VALUE => {
                    metric.value = Some(Value::Bytes(bytes.to_vec()));
                }
                _ => {}
            }
        }
        metric
    }
}

/// A number of this data type: Int8 to Int64 are signed, in two's complement.
const fn signed(number: u64, kind: u64) -> i64 {
    match kind {
        1 => number as u8 as i8 as i64,
        2 => number as u16 as i16 as i64,
        3 => number as u32 as i32 as i64,
        _ => number as i64,
    }
}

/// What a metric of the specification's own does to its node when it is written.
fn acts(name: &str) -> Action {
    match name {
        "Node Control/Reboot" | "Device Control/Reboot" => Action::Reset,
        "Node Control/Rebirth" | "Device Control/Rebirth" => Action::Control,
        "Node Control/Next Server" | "Node Control/Scan Rate" | "Device Control/Scan Rate" => {
            Action::Configuration
        }
        _ => Action::Write,
    }
}

/// What a flow of MQTT has shown of Sparkplug.
#[derive(Default)]
pub(crate) struct Sparkplug {
    /// Names of metrics by node or device and alias.
    aliases: Vec<(CompactString, u64, CompactString)>,
    /// Values by node or device and metric.
    values: Vec<(CompactString, Value)>,
}

impl Sparkplug {
    /// Reads a published message; `published` by a client, not delivered by the broker.
    pub(crate) fn message(
        &mut self,
        input: &Input<'_>,
        name: &str,
        (payload, proof): (&[u8], &[u8]),
        published: bool,
        out: &mut Out,
    ) {
        let Some(topic) = topic(name) else { return };
        let child = Child::Text(format_compact!("{CHILD} {}", topic.path));
        let told = |name, action, object| Operation {
            connection: CONNECTION,
            object: Object::Text(object),
            outcome: Outcome::None,
            ..input.operation(NAME, input.side, (name, action), proof)
        };
        let own = |operation: Operation| Operation {
            client_child: if published { child.clone() } else { Child::None },
            ..operation
        };
        match topic.kind {
            Kind::State => {
                out.operation(told("state", Action::Session, topic.path));
                return;
            }
            Kind::Birth(name) | Kind::Death(name) => {
                out.operation(own(told(name, Action::Session, topic.path.clone())));
                let is_birth = matches!(topic.kind, Kind::Birth(_));
                out.push(Item::Event(Event {
                    kind: if is_birth { "sparkplug-birth" } else { "sparkplug-death" },
                    protocol: NAME,
                    sender: input.side,
                    values: vec![("node", topic.path.clone())],
                    evidence: input.locate(proof),
                }));
            }
            Kind::Data(name) => {
                out.operation(own(told(name, Action::Read, topic.path.clone())));
            }
            Kind::Command(_) => {}
        }
        let metrics = fields(payload).filter_map(|field| match field {
            Field::Bytes(METRIC_FIELD, metric) => Some(Metric::read(metric)),
            _ => None,
        });
        for metric in metrics.take(METRICS) {
            let Some(name) = self.name(&topic, &metric) else { continue };
            let object = format_compact!("{} {name}", topic.path);
            if let Kind::Command(kind) = topic.kind {
                out.operation(told(kind, acts(&name), object.clone()));
            }
            let Some(new) = metric.value.clone() else { continue };
            let old = self.remember(&object, new.clone());
            match topic.kind {
                Kind::Command(_) => out.push(Item::Change(Change {
                    protocol: NAME,
                    connection: CONNECTION,
                    sender: input.side,
                    server_child: Child::None,
                    object: Object::Text(object),
                    old,
                    new,
                    evidence: Evidence { spans: input.locate(proof), decode: Decode::Derived },
                    ts_ns: input.ts_ns,
                })),
                Kind::Birth(_) if published => identity(input, &child, &name, &metric, out),
                _ => {}
            }
        }
        if published && matches!(topic.kind, Kind::Birth(_)) {
            out.claim(Claim {
                who: Who::Sender(child.clone()),
                attribute: "name",
                value: topic.id.into(),
                protocol: NAME,
                message: "birth",
                confidence: Confidence::High,
                evidence: input.evidence(proof, Decode::Derived),
            });
        }
    }

    /// The name of a metric; births tell names with their aliases.
    fn name(&mut self, topic: &Topic<'_>, metric: &Metric<'_>) -> Option<CompactString> {
        let name = metric.name.map(text::utf8).filter(|name| !name.is_empty());
        let Some(alias) = metric.alias else { return name };
        let known =
            self.aliases.iter().position(|(path, known, _)| *known == alias && *path == topic.path);
        let Some(name) = name else {
            return known.and_then(|at| self.aliases.get(at)).map(|(_, _, name)| name.clone());
        };
        if let Some(at) = known {
            self.aliases.remove(at);
        } else if self.aliases.len() >= REMEMBERED {
            self.aliases.remove(0);
        }
        self.aliases.push((topic.path.clone(), alias, name.clone()));
        Some(name)
    }

    fn remember(&mut self, object: &CompactString, value: Value) -> Option<Value> {
        if let Some((_, known)) = self.values.iter_mut().find(|(known, _)| known == object) {
            return Some(std::mem::replace(known, value));
        }
        if self.values.len() >= REMEMBERED {
            self.values.remove(0);
        }
        self.values.push((object.clone(), value));
        None
    }
}

/// What a node or device says of its machine.
fn identity(input: &Input<'_>, child: &Child, name: &str, metric: &Metric<'_>, out: &mut Out) {
    let attribute = match name {
        "Properties/Hardware Make" => "vendor",
        "Properties/Hardware Model" => "model",
        "Properties/OS" => "os",
        "Properties/OS Version" => "os_version",
        "Properties/FW" => "firmware",
        _ => return,
    };
    let part = text::trim(metric.text);
    out.claim(Claim {
        who: Who::Sender(child.clone()),
        attribute,
        value: text::utf8(part),
        protocol: NAME,
        message: "birth",
        confidence: Confidence::High,
        evidence: input.evidence(part, Decode::Utf8),
    });
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
        [&[field << 3 | 2, content.len() as u8], content].concat()
    }

    /// A metric with alias and text.
    pub(crate) fn text_metric(name: &str, alias: u8, text: &str) -> Vec<u8> {
        let mut metric = bytes(1, name.as_bytes());
        metric.extend([2 << 3, alias, 4 << 3, 12]);
        metric.extend(bytes(15, text.as_bytes()));
        bytes(2, &metric)
    }

    /// A metric of Int32, perhaps without its name.
    pub(crate) fn number_metric(name: &str, alias: u8, number: i32) -> Vec<u8> {
        let mut metric = if name.is_empty() { Vec::new() } else { bytes(1, name.as_bytes()) };
        metric.extend([2 << 3, alias, 4 << 3, 3, 10 << 3]);
        let mut rest = number as u32;
        loop {
            let more = if rest > 0x7f { 0x80 } else { 0 };
            metric.push((rest & 0x7f) as u8 | more);
            rest >>= 7;
            if rest == 0 {
                break;
            }
        }
        bytes(2, &metric)
    }

    #[test]
    fn numbers_are_signed_by_their_type() {
        let payload = number_metric("Temperature", 1, -7);
        let metric = fields(&payload).find_map(|field| match field {
            Field::Bytes(METRIC_FIELD, metric) => Some(Metric::read(metric).value),
            _ => None,
        });
        assert_eq!(Some(Some(Value::Integer(-7))), metric);
        assert_eq!(7, signed(7, 8));
    }

    #[test]
    fn topics_name_nodes_and_devices() {
        let told = topic("spBv1.0/Hall/DDATA/Gateway/Press").map(|topic| topic.path);
        assert_eq!(Some("Hall/Gateway/Press".into()), told);
        assert!(topic("spBv1.0/STATE/scada").is_some_and(|topic| topic.kind == Kind::State));
        assert!(topic("line/1/speed").is_none());
        assert!(topic("spBv1.0/Hall/NOTHING/Gateway").is_none());
    }
}
