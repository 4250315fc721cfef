//! What a dissector says of each frame, for people who write one: every message, not only what is
//! new.

use otic_protocols::{Item, Object, Operation, Side, Value};
use otic_wire::FrameSpan;

use crate::flow::Flow;

/// Most lines kept; a capture that gives more is shown up to there.
const MOST_LINES: usize = 100_000;

/// Something a dissector said.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Ordinal of the file and number of the frame that proves it.
    pub frame: (u32, u64),
    /// Who sent that frame, with its port where there is one.
    pub sender: String,
    /// To whom.
    pub receiver: String,
    /// What kind of statement it is: `message`, `operation`, `claim`, …
    pub kind: &'static str,
    /// The statement.
    pub text: String,
}

/// Collects what the dissector of one protocol says.
#[derive(Debug)]
pub struct Trace {
    protocol: String,
    lines: Vec<Line>,
}

impl Trace {
    /// For the protocol of this name.
    #[must_use]
    pub fn new(protocol: &str) -> Self {
        Self { protocol: protocol.to_owned(), lines: Vec::new() }
    }

    /// What was said.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Notes what was said at this frame.
    pub fn note(&mut self, flow: &Flow, side: Side, frame: (u32, u64), items: &[Item]) {
        for item in items {
            let (protocol, sender, evidence, kind, text): (_, _, &[FrameSpan], _, _) = match item {
                Item::Layer { protocol, sender, source_child, destination_child } => {
                    let children = [source_child, destination_child].map(|child| child.to_text());
                    (*protocol, *sender, &[], "message", children.join(" ").trim().to_owned())
                }
                Item::Operation(operation) => operation_line(operation, "operation"),
                Item::Unpaired(operation) => operation_line(operation, "response"),
                Item::Claim(claim) => {
                    let text = format!("{} = {}", claim.attribute, claim.value);
                    (claim.protocol, side, &*claim.evidence.spans, "claim", text)
                }
                Item::Change(change) => {
                    let old = change.old.as_ref().map_or("?".to_owned(), value);
                    let text =
                        format!("{}: {old} → {}", change.object.to_text(), value(&change.new));
                    (change.protocol, change.sender, &*change.evidence.spans, "change", text)
                }
                Item::Event(event) => {
                    let values = event.values.iter().map(|(name, text)| format!(" {name}={text}"));
                    let text = format!("{}{}", event.kind, values.collect::<String>());
                    (event.protocol, event.sender, &*event.evidence, "event", text)
                }
                Item::Violation(broken) => {
                    let text = broken.rule.to_owned();
                    (broken.protocol, broken.sender, &*broken.evidence, "violation", text)
                }
                Item::Payload(payload) => {
                    let text = format!("{}, {} bytes", payload.kind, payload.bytes.len());
                    (payload.protocol, payload.sender, &*payload.evidence, "payload", text)
                }
                Item::NotDecoded(protocol, cause) => {
                    (*protocol, side, &[], "not decoded", (*cause).to_owned())
                }
                _ => continue,
            };
            if protocol != self.protocol || self.lines.len() >= MOST_LINES {
                continue;
            }
            let end = |side: Side| match flow.end(side) {
                (address, 0) => address.to_string(),
                (address, port) => format!("{address} port {port}"),
            };
            self.lines.push(Line {
                frame: evidence.first().map_or(frame, |span| (span.file, span.frame)),
                sender: end(sender),
                receiver: end(sender.other()),
                kind,
                text,
            });
        }
    }
}

fn operation_line<'a>(
    operation: &'a Operation,
    kind: &'static str,
) -> (&'static str, Side, &'a [FrameSpan], &'static str, String) {
    let code = operation.code.map_or_else(String::new, |code| format!(" ({code})"));
    let object = match &operation.object {
        Object::None => String::new(),
        object => format!(" {}", object.to_text()),
    };
    let text = format!(
        "{}{code}{object}, {}, outcome {}",
        operation.name,
        operation.action.name(),
        operation.outcome.name()
    );
    (operation.connection, operation.sender, &*operation.evidence, kind, text)
}

fn value(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
