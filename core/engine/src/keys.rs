//! Ids of facts: the first 16 bytes of BLAKE3 over the canonical MessagePack array
//! `[kind, address space, …key…]` (contracts.md §1).
//!
//! Canonical: shortest integer forms, texts as `str`, 16-byte ids as `bin`, nothing as `nil`.

use compact_str::CompactString;
use otic_wire::AddressNumber;
use otic_wire::packet::Ends;
use serde::Serialize;

use crate::facts::Id;

/// The id of the fact with this key. A key that cannot be written (there is none) is all zero.
fn id(key: &impl Serialize) -> Id {
    let bytes = rmp_serde::to_vec(key).unwrap_or_default();
    let mut id = [0; 16];
    blake3::Hasher::new().update(&bytes).finalize_xof().fill(&mut id);
    Id(id)
}

/// Names an unordered pair of addresses in the packet ring's index; two pairs may share a name.
#[must_use]
pub fn pair((a, b): &Ends) -> u32 {
    let one = |address: &Option<AddressNumber>| {
        address.map_or(0, |address| {
            crc32c::crc32c_append(u32::from(address.kind), &address.value.to_be_bytes())
        })
    };
    // A sum does not know the order of the pair.
    one(a).wrapping_add(one(b))
}

/// Id of an endpoint: an address in its space, or a child behind it.
#[must_use]
pub fn endpoint(space: &str, address: &str, child: &str) -> Id {
    id(&("endpoint", space, address, child))
}

/// Id of a connection between two endpoints.
#[must_use]
pub fn connection(
    space: &str,
    client: (&str, &str),
    server: (&str, &str),
    transport: &str,
    port: Option<u16>,
    protocol: &str,
) -> Id {
    id(&("connection", space, client, server, transport, port, protocol))
}

/// Id of an operation of a connection.
#[must_use]
#[allow(clippy::too_many_arguments, reason = "these are the parts of the key")]
pub fn operation(
    space: &str,
    connection: Id,
    protocol: &str,
    reversed: bool,
    code: Option<u32>,
    name: &str,
    action: &str,
    object: &str,
    outcome: &str,
) -> Id {
    id(&("operation", space, connection, protocol, reversed, code, name, action, object, outcome))
}

/// Id of a claim about an endpoint.
#[must_use]
pub fn claim(endpoint: Id, attribute: &str, value: &str, protocol: &str, message: &str) -> Id {
    id(&("claim", endpoint, attribute, value, protocol, message))
}

/// Id of the changes of one object over one connection.
#[must_use]
pub fn change(connection: Id, reversed: bool, protocol: &str, object: &str) -> Id {
    id(&("change", connection, reversed, protocol, object))
}

/// Id of an event between two endpoints.
#[must_use]
pub fn event(
    kind: &str,
    client: Id,
    server: Id,
    protocol: &str,
    values: &[(&'static str, CompactString)],
) -> Id {
    id(&("event", kind, client, server, protocol, values))
}

/// Id of a violation on a connection.
#[must_use]
pub fn violation(
    connection: Id,
    reversed: bool,
    rule: &str,
    values: &[(&'static str, CompactString)],
) -> Id {
    id(&("violation", connection, reversed, rule, values))
}

/// Id of payload bytes sent over a connection.
#[must_use]
pub fn payload(connection: Id, reversed: bool, kind: &str, bytes: &[u8]) -> Id {
    id(&("payload", connection, reversed, kind, blake3::hash(bytes).as_bytes().as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_depends_on_the_key_alone() {
        let a = endpoint("default", "192.0.2.1", "");
        assert_eq!(a, endpoint("default", "192.0.2.1", ""));
        assert_ne!(a, endpoint("cell-2", "192.0.2.1", ""));
        assert_ne!(a, endpoint("default", "192.0.2.1", "modbus-unit 1"));
    }
}
