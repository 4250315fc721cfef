//! Address spaces: where an IP address is unique.

use std::net::IpAddr;

use compact_str::CompactString;
use otic_wire::Packet;

/// What puts a frame into an address space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The frame carries this VLAN id.
    Vlan(u16),
    /// The frame came from the interface of this name.
    Interface(CompactString),
    /// The frame came through a tunnel with this id.
    Tunnel(u32),
    /// Sender or receiver is in this subnet (address, prefix length).
    Subnet(IpAddr, u8),
}

/// Rules that map frames to address spaces; the first that fits wins, else the default space.
#[derive(Debug, Clone)]
pub struct SpaceMap {
    rules: Vec<(Match, u16)>,
    names: Vec<CompactString>,
}

impl Default for SpaceMap {
    fn default() -> Self {
        Self { rules: Vec::new(), names: vec!["default".into()] }
    }
}

impl SpaceMap {
    /// Reads rules of (kind, match, name): kind `vlan`, `interface`, `tunnel` or `subnet`.
    ///
    /// # Errors
    /// A sentence that names the rule that cannot be read.
    pub fn new(rules: &[(String, String, String)]) -> Result<Self, String> {
        let mut map = Self::default();
        for (kind, text, name) in rules {
            let refused = || format!("address space rule {kind} = {text:?}: cannot be read");
            let what = match kind.as_str() {
                "vlan" => Match::Vlan(text.parse().map_err(|_| refused())?),
                "interface" => Match::Interface(text.into()),
                "tunnel" => Match::Tunnel(text.parse().map_err(|_| refused())?),
                "subnet" => {
                    let (address, length) = text.split_once('/').ok_or_else(refused)?;
                    let address: IpAddr = address.parse().map_err(|_| refused())?;
                    let length: u8 = length.parse().map_err(|_| refused())?;
                    let longest = if address.is_ipv4() { 32 } else { 128 };
                    if length > longest {
                        return Err(refused());
                    }
                    Match::Subnet(address, length)
                }
                _ => return Err(refused()),
            };
            let index = match map.names.iter().position(|known| known == name) {
                Some(index) => index,
                None => {
                    map.names.push(name.into());
                    map.names.len() - 1
                }
            };
            map.rules.push((what, u16::try_from(index).map_err(|_| refused())?));
        }
        Ok(map)
    }

    /// Whether there are no rules: every frame is in the default space.
    #[inline]
    #[must_use]
    pub fn is_one(&self) -> bool {
        self.rules.is_empty()
    }

    /// The space of a frame, as an index for [`Self::name`].
    #[must_use]
    pub fn of(&self, packet: &Packet, interface: &str) -> u16 {
        let fits = |what: &Match| match what {
            Match::Vlan(id) => packet.vlans.contains(id),
            Match::Interface(name) => name == interface,
            Match::Tunnel(id) => packet.tunnel.is_some_and(|(_, seen)| seen == *id),
            Match::Subnet(subnet, length) => packet.ip.is_some_and(|ip| {
                in_subnet(ip.source, *subnet, *length)
                    || in_subnet(ip.destination, *subnet, *length)
            }),
        };
        self.rules.iter().find(|(what, _)| fits(what)).map_or(0, |(_, index)| *index)
    }

    /// The name of a space.
    #[must_use]
    pub fn name(&self, index: u16) -> &str {
        self.names.get(usize::from(index)).map_or("default", CompactString::as_str)
    }
}

fn in_subnet(address: IpAddr, subnet: IpAddr, length: u8) -> bool {
    match (address, subnet) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let differing = u32::from(a) ^ u32::from(b);
            differing.leading_zeros() >= u32::from(length)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let differing = u128::from(a) ^ u128::from(b);
            differing.leading_zeros() >= u32::from(length)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_match_by_prefix() {
        let subnet = "10.1.0.0".parse().unwrap();
        assert!(in_subnet("10.1.255.1".parse().unwrap(), subnet, 16));
        assert!(!in_subnet("10.2.0.1".parse().unwrap(), subnet, 16));
        assert!(in_subnet("10.2.0.1".parse().unwrap(), subnet, 0));
    }

    #[test]
    fn a_rule_that_cannot_be_read_is_named() {
        let rule = ("vlan".to_owned(), "ten".to_owned(), "cell".to_owned());
        assert!(SpaceMap::new(&[rule]).unwrap_err().contains("ten"));
    }
}
