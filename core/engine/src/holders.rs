//! Who holds each address that can move from one machine to another, joined over all shards.
//!
//! ARP and neighbour discovery tell which MAC has an IP; VRRP, CARP and HSRP which router has a
//! group's addresses. Only a change of holder is told, as an event: `address-moved` for an IP that
//! another MAC claims than before, `switch-over` for a redundancy group. Whether a moved address is a
//! switch-over too, or a machine that takes what is not its own, only the whole inventory can say.

use std::collections::BTreeMap;

use compact_str::{CompactString, ToCompactString};
use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};
use otic_wire::Address;

use crate::facts::{Endpoint, Event, Id, Span};
use crate::keys;

/// Addresses whose holder is remembered.
const ADDRESSES: usize = 1 << 16;
/// Different changes that are told; who claims an address under ever new MACs ends there.
const CHANGES: usize = 1 << 16;

/// One message in which a machine says that it holds an address, or gives it up.
#[derive(Debug, Clone, PartialEq)]
pub struct Holding {
    /// Address space, by index and name.
    pub space: (u16, CompactString),
    /// The link: innermost VLAN, where the frame has one. Equal addresses of two VLANs do not meet.
    pub vlan: Option<u16>,
    /// Protocol of the message.
    pub protocol: &'static str,
    /// Name of the message.
    pub message: &'static str,
    /// The redundancy group's name; none where the message is about one IP alone.
    pub group: Option<CompactString>,
    /// The IP that is held, or the MAC that the group shares.
    pub what: Address,
    /// First of a group's IPs, where the message names them.
    pub address: Option<Address>,
    /// Who holds it: the MAC of an IP, the own IP of a group's member.
    pub holder: Address,
    /// Endpoint of the holder.
    pub holder_id: Id,
    /// The sender gives the address up.
    pub leaving: bool,
    /// Others may take the address without another message in this time, ns; none: at any time.
    pub valid_ns: Option<i64>,
    /// When.
    pub ts_ns: i64,
    /// The bytes that say so.
    pub spans: Vec<Span>,
}

type Key = (u16, Option<u16>, &'static str, Address, Option<Address>);

struct Held {
    last: Holding,
    /// Who said last that it holds the address, while the holder may still do so.
    candidate: Option<Address>,
}

/// What a change of holder is told as.
pub struct Taken {
    /// The event.
    pub event: Event,
    /// The one that held the address before: it may not have spoken in this journal segment.
    pub before: Endpoint,
}

/// No more addresses are remembered, or no more changes told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// The holders of all addresses.
#[derive(Default)]
pub struct Holders {
    held: HashMap<Key, Held>,
    told: HashSet<Id>,
}

impl Holders {
    /// Notes one message; what it changed.
    ///
    /// # Errors
    /// Too many addresses to remember this one, or too many changes to tell this one.
    pub fn note(&mut self, said: Holding) -> Result<Option<Taken>, TooMany> {
        let key = (said.space.0, said.vlan, said.protocol, said.what, said.address);
        let full = self.held.len() >= ADDRESSES;
        let held = match self.held.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if full => return Err(TooMany),
            Entry::Vacant(entry) => {
                if !said.leaving {
                    entry.insert(Held { last: said, candidate: None });
                }
                return Ok(None);
            }
        };
        if held.last.holder == said.holder {
            *held = Held { last: said, candidate: None };
            return Ok(None);
        }
        if said.leaving {
            return Ok(None);
        }
        let over = match held.last.valid_ns {
            Some(valid_ns) => held.last.leaving || said.ts_ns - held.last.ts_ns > valid_ns,
            None => true,
        };
        // Two masters may overlap for a message: the new one is believed when it says so again
        // before the old one does.
        if !over && held.candidate.replace(said.holder) != Some(said.holder) {
            return Ok(None);
        }
        let before = std::mem::replace(&mut held.last, said);
        held.candidate = None;
        let taken = taken(&before, &held.last);
        if self.told.len() >= CHANGES && !self.told.contains(&taken.event.id) {
            return Err(TooMany);
        }
        self.told.insert(taken.event.id);
        Ok(Some(taken))
    }
}

fn taken(before: &Holding, now: &Holding) -> Taken {
    let mut values: Vec<(&'static str, CompactString)> = Vec::new();
    let kind = if let Some(group) = &now.group {
        let ip = now.address.map(|ip| ip.to_compact_string());
        values.push(("addresses", ip.unwrap_or_default()));
        values.push(("group", group.clone()));
        values.push(("mac", now.what.to_compact_string()));
        "switch-over"
    } else {
        values.push(("address", now.what.to_compact_string()));
        values.push(("message", now.message.into()));
        "address-moved"
    };
    let space = &now.space.1;
    let mut spans = before.spans.clone();
    spans.extend_from_slice(&now.spans);
    let (client, server) = (now.holder.to_compact_string(), before.holder.to_compact_string());
    let event = Event {
        id: keys::event(kind, now.holder_id, before.holder_id, now.protocol, &values),
        kind: kind.into(),
        space: space.clone(),
        client_id: now.holder_id,
        server_id: before.holder_id,
        client,
        server: server.clone(),
        protocol: now.protocol.into(),
        values: values.into_iter().collect::<BTreeMap<_, _>>(),
        ts_ns: now.ts_ns,
        spans,
    };
    let before = Endpoint {
        id: before.holder_id,
        space: space.clone(),
        address: server,
        child: CompactString::default(),
        spoke: true,
        ts_ns: before.ts_ns,
        spans: before.spans.clone(),
    };
    Taken { event, before }
}

#[cfg(test)]
mod tests {
    use otic_wire::Mac;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn says(holder: u8, second: i64, group: bool) -> Holding {
        let address = Address::from(std::net::Ipv4Addr::new(10, 0, 0, holder));
        Holding {
            space: (0, "default".into()),
            vlan: None,
            protocol: if group { "vrrp" } else { "arp" },
            message: "advertisement",
            group: group.then(|| "vrrp 10".into()),
            what: Mac([0, 0, 0x5e, 0, 1, 10]).into(),
            address: None,
            holder: address,
            holder_id: keys::endpoint("default", &address.to_compact_string(), ""),
            leaving: false,
            valid_ns: group.then_some(4 * SECOND),
            ts_ns: second * SECOND,
            spans: vec![(0, second as u64 + 1, 0, 4)],
        }
    }

    /// Kind, new and old holder of each change.
    fn changes(messages: impl IntoIterator<Item = Holding>) -> Vec<(String, String, String)> {
        let mut holders = Holders::default();
        messages
            .into_iter()
            .filter_map(|said| holders.note(said).unwrap())
            .map(|taken| {
                let event = taken.event;
                (event.kind.into(), event.client.into(), event.server.into())
            })
            .collect()
    }

    fn switch_over(to: &str, from: &str) -> (String, String, String) {
        ("switch-over".into(), to.into(), from.into())
    }

    #[test]
    fn a_group_changes_its_holder_once_even_where_both_overlap() {
        let seen = [says(2, 0, true), says(2, 1, true), says(3, 2, true), says(2, 2, true)]
            .into_iter()
            .chain([says(3, 3, true), says(3, 4, true), says(3, 5, true)]);
        assert_eq!(vec![switch_over("10.0.0.3", "10.0.0.2")], changes(seen));
    }

    #[test]
    fn two_masters_that_do_not_see_each_other_are_no_switch_over() {
        assert!(changes((0..20).map(|at| says(2 + (at % 2) as u8, at, true))).is_empty());
    }

    #[test]
    fn a_holder_that_leaves_or_falls_silent_is_followed_at_once() {
        let resigns = Holding { leaving: true, ..says(2, 1, true) };
        let expected = vec![switch_over("10.0.0.3", "10.0.0.2")];
        assert_eq!(expected, changes([says(2, 0, true), resigns, says(3, 2, true)]));
        assert_eq!(expected, changes([says(2, 0, true), says(3, 9, true)]));
    }

    #[test]
    fn a_machine_with_ever_new_macs_ends_at_a_cap() {
        let mut holders = Holders::default();
        let mut refused = 0;
        for number in 0..CHANGES as u32 + 100 {
            let [_, b, c, d] = number.to_be_bytes();
            let mac = Address::from(Mac([2, 0, 0, b, c, d]));
            let holder_id = keys::endpoint("default", &mac.to_compact_string(), "");
            let said = Holding { holder: mac, holder_id, ..says(1, i64::from(number), false) };
            refused += u32::from(holders.note(said).is_err());
        }
        assert_eq!(99, refused);
    }

    #[test]
    fn an_ip_moves_with_each_claim() {
        let kinds = changes([says(2, 0, false), says(3, 1, false), says(2, 2, false)]);
        assert_eq!(2, kinds.len());
        assert_eq!("address-moved", kinds[0].0);
        let other_link = Holding { vlan: Some(7), ..says(3, 1, false) };
        assert!(changes([says(2, 0, false), other_link]).is_empty());
    }
}
