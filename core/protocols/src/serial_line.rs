//! What a serial line behind a Telnet com port carries: the bytes between the commands, given to the
//! protocol of serial lines that recognises them.

use otic_wire::SpanMap;

use crate::out::{Child, Claim, Confidence, Decode, Evidence, Item, Out, Who};
use crate::registry::{Probe, Protocol};
use crate::session::{Input, Session, Side};
use crate::{df1, dnp3, iec101, modbus};

const PROTOCOLS: [&Protocol; 4] =
    [&modbus::PROTOCOL, &dnp3::PROTOCOL, &iec101::PROTOCOL, &df1::PROTOCOL];

/// Bytes of one direction kept while nobody knows them, or while a message is incomplete.
const KEPT: usize = 4096;

/// More than the stations of any line.
const STATIONS: usize = 256;

/// The bytes of both directions of one line.
#[derive(Default)]
pub struct SerialLine {
    buffers: [(Vec<u8>, SpanMap); 2],
    inside: Option<(&'static str, Box<dyn Session>)>,
    /// Children that were told to be on a line.
    told: Vec<Child>,
}

impl SerialLine {
    /// Takes the bytes `part` of the input, which are the line's, and reads what they complete.
    pub fn add(&mut self, input: &Input<'_>, part: &[u8]) {
        let (bytes, spans) = input.side.of(&mut self.buffers);
        bytes.extend_from_slice(part);
        for span in input.locate(part) {
            spans.push(span);
        }
    }

    /// Reads what the bytes of this side complete.
    pub fn read(&mut self, input: &Input<'_>, out: &mut Out) {
        let (bytes, spans) = input.side.of(&mut self.buffers);
        if bytes.is_empty() {
            return;
        }
        let inner = input.with_bytes(bytes, spans);
        if self.inside.is_none() {
            let found = PROTOCOLS
                .iter()
                .find(|one| matches!(one.probe(&inner), Probe::Likely | Probe::Certain));
            self.inside = found.map(|one| (one.name, one.session()));
        }
        let Some((name, session)) = &mut self.inside else {
            if bytes.len() > KEPT {
                bytes.clear();
                spans.clear();
            }
            return;
        };
        let mut said = Out::default();
        let used = session.read(&inner, &mut said).min(bytes.len());
        let used = if bytes.len() - used > KEPT { bytes.len() } else { used };
        let name = *name;
        bytes.drain(..used);
        spans.consume(used);
        for item in said.items {
            let station = match &item {
                // Who asks on the line is not told by who opened the port.
                Item::Client(_) => continue,
                Item::Operation(operation) => {
                    Some((operation.server_child.clone(), operation.sender.other()))
                }
                _ => None,
            };
            out.push(item);
            if let Some((child, side)) = station {
                self.tell(input, name, child, side, out);
            }
        }
    }

    /// A station was asked on the line.
    fn tell(
        &mut self,
        input: &Input<'_>,
        name: &'static str,
        child: Child,
        side: Side,
        out: &mut Out,
    ) {
        if child == Child::None || self.told.contains(&child) || self.told.len() >= STATIONS {
            return;
        }
        self.told.push(child.clone());
        let who = if side == input.side { Who::Sender(child) } else { Who::Receiver(child) };
        out.claim(Claim {
            who,
            attribute: "serial_framing",
            value: name.into(),
            protocol: name,
            message: "com-port",
            confidence: Confidence::High,
            evidence: Evidence { spans: input.locate(input.bytes), decode: Decode::Derived },
        });
    }

    /// The flow is over.
    pub fn finish(&mut self, out: &mut Out) {
        if let Some((_, session)) = &mut self.inside {
            session.finish(out);
        }
    }
}
