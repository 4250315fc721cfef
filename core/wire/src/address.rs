//! MAC and IP addresses as facts name them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A 48-bit IEEE 802 address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Whether the address names a group (multicast or broadcast): bit 0 of the first octet,
    /// IEEE 802-2014 clause 8.2.2.
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Whether the address was given by an administrator and names no vendor: bit 1 of the first
    /// octet, IEEE 802-2014 clause 8.2.2.
    #[must_use]
    pub const fn is_locally_administered(self) -> bool {
        self.0[0] & 2 == 2
    }

    /// Whether all octets are zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address that can speak or be spoken to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// A MAC address.
    Mac(Mac),
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A station of a field bus whose frames were captured as they are.
    Station(Bus, u8),
}

/// A field bus with one-byte station addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bus {
    /// ARCNET (ANSI/ATA 878.1).
    Arcnet,
    /// BACnet MS/TP (ASHRAE 135 clause 9).
    Mstp,
}

impl Bus {
    const fn name(self) -> &'static str {
        match self {
            Self::Arcnet => "arcnet",
            Self::Mstp => "mstp",
        }
    }

    /// The station address that means everybody.
    const fn broadcast(self) -> u8 {
        match self {
            Self::Arcnet => 0,
            Self::Mstp => 0xff,
        }
    }
}

impl Address {
    /// Whether the address names a group: a multicast MAC or IP, or the limited broadcast
    /// 255.255.255.255. A subnet's own broadcast address cannot be told without its mask.
    #[must_use]
    pub fn is_group(&self) -> bool {
        match self {
            Self::Mac(mac) => mac.is_group(),
            Self::Ip(IpAddr::V4(ip)) => ip.is_multicast() || ip.is_broadcast(),
            Self::Ip(IpAddr::V6(ip)) => ip.is_multicast(),
            Self::Station(bus, number) => *number == bus.broadcast(),
        }
    }

    /// Whether the address says "no address yet": 0.0.0.0, ::, 00:00:00:00:00:00.
    #[must_use]
    pub fn is_none(&self) -> bool {
        match self {
            Self::Mac(mac) => mac.is_zero(),
            Self::Ip(ip) => ip.is_unspecified(),
            Self::Station(..) => false,
        }
    }

    /// The IP address or MAC (six hexadecimal pairs with colons) that this text is.
    #[must_use]
    pub fn by_text(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Some(Self::Ip(ip));
        }
        let mut mac = [0; 6];
        let mut pairs = text.split(':');
        for byte in &mut mac {
            *byte = u8::from_str_radix(pairs.next().filter(|pair| pair.len() == 2)?, 16).ok()?;
        }
        pairs.next().is_none().then_some(Self::Mac(Mac(mac)))
    }
}

/// An address in numbers, for tables and comparisons that every frame needs. Orders like
/// [`Address`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressNumber {
    /// 0 MAC, 1 IPv4, 2 IPv6, 3 field bus station.
    pub kind: u8,
    /// The address, in network byte order.
    pub value: u128,
}

impl From<&Mac> for AddressNumber {
    #[inline]
    fn from(mac: &Mac) -> Self {
        let [a, b, c, d, e, f] = mac.0;
        Self { kind: 0, value: u128::from(u64::from_be_bytes([0, 0, a, b, c, d, e, f])) }
    }
}

impl From<&IpAddr> for AddressNumber {
    #[inline]
    fn from(ip: &IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self { kind: 1, value: u128::from(ip.to_bits()) },
            IpAddr::V6(ip) => Self { kind: 2, value: ip.to_bits() },
        }
    }
}

impl From<&Address> for AddressNumber {
    #[inline]
    fn from(address: &Address) -> Self {
        match address {
            Address::Mac(mac) => mac.into(),
            Address::Ip(ip) => ip.into(),
            Address::Station(bus, number) => {
                Self { kind: 3, value: (*bus as u128) << 8 | u128::from(*number) }
            }
        }
    }
}

/// One word, for IPv6 two: addresses are hashed several times for every frame.
impl Hash for AddressNumber {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let low = self.value as u64;
        match self.kind {
            0 => state.write_u64(1 << 56 | low),
            1 => state.write_u64(2 << 56 | low),
            2 => {
                state.write_u64((self.value >> 64) as u64);
                state.write_u64(low);
            }
            _ => state.write_u64(3 << 56 | low),
        }
    }
}

impl Hash for Address {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        AddressNumber::from(self).hash(state);
    }
}

impl From<Mac> for Address {
    fn from(mac: Mac) -> Self {
        Self::Mac(mac)
    }
}

impl From<Ipv4Addr> for Address {
    fn from(ip: Ipv4Addr) -> Self {
        Self::Ip(IpAddr::V4(ip))
    }
}

impl From<Ipv6Addr> for Address {
    fn from(ip: Ipv6Addr) -> Self {
        Self::Ip(IpAddr::V6(ip))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
            Self::Station(bus, number) => write!(f, "{}:{number}", bus.name()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_known_by_their_bits() {
        assert!(Mac([0x01, 0x80, 0xc2, 0, 0, 0]).is_group());
        assert!(!Mac([0x02, 0, 0, 0, 0, 1]).is_group());
        assert!(Address::from(Ipv4Addr::new(224, 0, 0, 1)).is_group());
        assert!(Address::from(Ipv4Addr::UNSPECIFIED).is_none());
        assert_eq!("02:00:00:00:00:01", Mac([2, 0, 0, 0, 0, 1]).to_string());
    }

    #[test]
    fn numbers_order_like_their_addresses() {
        let mut addresses: Vec<Address> = vec![
            Address::Station(Bus::Mstp, 1),
            Address::Station(Bus::Arcnet, 9),
            Address::from("2001:db8::1".parse::<Ipv6Addr>().unwrap()),
            Address::from("::".parse::<Ipv6Addr>().unwrap()),
            Address::from(Ipv4Addr::new(192, 0, 2, 1)),
            Address::from(Ipv4Addr::new(1, 255, 2, 1)),
            Address::from(Mac([2, 0, 0, 0, 0, 1])),
            Address::from(Mac([1, 0xff, 0, 0, 0, 1])),
        ];
        addresses.sort();
        let numbers: Vec<AddressNumber> = addresses.iter().map(AddressNumber::from).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    }
}
