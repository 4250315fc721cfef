//! CIP class 0 and 1 I/O: cyclic data of an open connection over UDP.
//!
//! Source: The CIP Networks Library Vol. 2 (EtherNet/IP Adaptation of CIP), 2-6 (common packet
//! format) and 3-2.3 (I/O data: sequenced address item 0x8002, connected data item 0x00B1).
//!
//! Rule broken on the wire: `cip-io-length`: an item is longer than the datagram.
//!
//! Not decoded: the data itself (its meaning is in the device's EDS file or the project). The
//! assembly behind a connection id is told by the Forward_Open on another flow: event
//! `cip-io-connection` of `cip`.

use otic_wire::{Cursor, Short};

use crate::out::{Action, Child, Object, Operation, Out, Outcome};
use crate::registry::{Carrier, Dissector, Probe, Protocol};
use crate::sequence::{Counter, Numbered, Sequence};
use crate::session::{Input, Session};

/// CIP class 0 and 1 I/O.
pub const PROTOCOL: Protocol = Protocol {
    name: NAME,
    title: "CIP I/O",
    roles: ("originator", "target"),
    carriers: &[Carrier::Udp(&[2222])],
    dissector: Dissector::Built { probe, session: || Box::<CipIo>::default() },
    source: "The CIP Networks Library Vol. 2, 2-6 and 3-2.3",
};

const NAME: &str = "cip-io";
const SEQUENCED_ADDRESS: u16 = 0x8002;
const CONNECTED_ADDRESS: u16 = 0x00a1;
const CONNECTED_DATA: u16 = 0x00b1;

/// What one datagram says.
struct Datagram<'a> {
    connection: u32,
    address: &'a [u8],
    /// Bytes that the data item should have had more.
    missing: bool,
}

/// The datagram, or none when it is something else.
fn datagram(bytes: &[u8]) -> Result<Option<Datagram<'_>>, Short> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.u16_le()?;
    let (kind, length) = (cursor.u16_le()?, cursor.u16_le()?);
    if !(2..=4).contains(&count)
        || !matches!((kind, length), (SEQUENCED_ADDRESS, 8) | (CONNECTED_ADDRESS, 4))
    {
        return Ok(None);
    }
    let address = cursor.take(usize::from(length))?;
    let connection = Cursor::new(address).u32_le()?;
    if cursor.u16_le()? != CONNECTED_DATA {
        return Ok(None);
    }
    let length = usize::from(cursor.u16_le()?);
    let missing = cursor.remaining() < length;
    Ok(Some(Datagram { connection, address, missing }))
}

fn probe(input: &Input<'_>) -> Probe {
    match datagram(input.bytes) {
        Ok(Some(found)) if !found.missing || input.truncated => Probe::Certain,
        Ok(Some(_)) => Probe::Likely,
        _ => Probe::No,
    }
}

/// Connections whose sequence numbers one flow follows.
const FOLLOWED: usize = 16;

#[derive(Default)]
struct CipIo {
    violated: bool,
    /// By connection id.
    sequences: Vec<(u32, Sequence)>,
}

impl CipIo {
    /// What the sequence number of this address item says; none where it has none.
    fn number(&mut self, connection: u32, address: &[u8]) -> Option<Numbered> {
        let number = u32::from_le_bytes(*address.get(4..)?.first_chunk::<4>()?);
        let known = self.sequences.iter().position(|(id, _)| *id == connection);
        if known.is_none() && self.sequences.len() < FOLLOWED {
            self.sequences.push((connection, Sequence::default()));
        }
        let at = known.unwrap_or(self.sequences.len() - 1);
        let (id, sequence) = self.sequences.get_mut(at)?;
        (*id == connection).then(|| sequence.next(number))
    }
}

impl Session for CipIo {
    fn read(&mut self, input: &Input<'_>, out: &mut Out) -> usize {
        let Ok(Some(found)) = datagram(input.bytes) else { return input.bytes.len() };
        out.layer("ethernet-ip", input.side);
        out.layer(NAME, input.side);
        if let Some(numbered) = self.number(found.connection, found.address) {
            out.numbered(Counter::CipIo, numbered);
        }
        if found.missing && !input.truncated && !self.violated {
            self.violated = true;
            out.push(input.violation(NAME, "cip-io-length", input.bytes));
        }
        out.operation(Operation {
            protocol: NAME,
            connection: NAME,
            sender: input.side,
            code: None,
            name: "io-data",
            action: Action::Subscribe,
            object: Object::Number { kind: "io-connection", number: found.connection },
            outcome: Outcome::None,
            client_child: Child::None,
            server_child: Child::None,
            evidence: input.locate(found.address),
            ts_ns: input.ts_ns,
        });
        input.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out::Item;
    use crate::session::Side;
    use crate::testing;

    const DATA: &[u8] = &[
        0x02, 0x00, // two items
        0x02, 0x80, 0x08, 0x00, // sequenced address
        0x34, 0x12, 0x00, 0x00, // connection id
        0x01, 0x00, 0x00, 0x00, // sequence number
        0xb1, 0x00, 0x04, 0x00, // connected data
        0x01, 0x00, 0xaa, 0xbb,
    ];

    #[test]
    fn a_datagram_is_one_way_data_of_its_connection() {
        let items = testing::items(&PROTOCOL, &[(Side::A, DATA)]);
        let operation = items.iter().find_map(|item| match item {
            Item::Operation(operation) => Some(operation),
            _ => None,
        });
        assert_eq!("io-connection 4660", operation.unwrap().object.to_text());
    }

    #[test]
    fn what_is_missing_is_told_by_the_sequence_number() {
        let frames = [1, 2, 2, 5].map(|number| {
            let mut bytes = DATA.to_vec();
            bytes[10] = number;
            bytes
        });
        let messages: Vec<_> = frames.iter().map(|bytes| (Side::A, bytes.as_slice())).collect();
        let told = testing::numbered(&testing::items(&PROTOCOL, &messages));
        use Numbered::{Again, Next};
        assert_eq!(vec![Next(0), Next(0), Again, Next(2)], told);
    }

    #[test]
    fn it_survives_anything() {
        testing::survives(&PROTOCOL, &[(Side::A, DATA), (Side::B, DATA)]);
        assert_eq!(Probe::Certain, testing::probe(&PROTOCOL, (Side::A, DATA)));
        assert_eq!(Probe::No, testing::probe(&PROTOCOL, (Side::A, &DATA[2..])));
    }
}
