//! What the kernel and the driver say of an interface; what they do not say stays unknown.
//!
//! Source: the kernel's `Documentation/ABI/testing/sysfs-class-net` and
//! `sysfs-class-net-statistics`, `linux/ethtool.h`, `netdevice(7)`.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::str::FromStr;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use serde::Serialize;

use crate::ring::{ethtool_value, has_ipv4, interface_flags, interface_index};

// Commands of `linux/ethtool.h` that answer with one number.
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_GGRO: u32 = 0x2b;
/// Bits of the answer to `ETHTOOL_GFLAGS`.
const ETH_FLAG_RXVLAN: u32 = 1 << 8;
const ETH_FLAG_LRO: u32 = 1 << 15;

/// Facts of one interface. Counters run since the interface was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NicFacts {
    /// Name of the interface.
    pub interface: String,
    /// Whether there is one of this name.
    pub exists: bool,
    /// Whether it is switched on.
    pub up: Option<bool>,
    /// Whether the other end is there; unknown while it is switched off.
    pub carrier: Option<bool>,
    /// Largest packet that it sends, bytes.
    pub mtu: Option<u32>,
    /// Speed, Mbit/s; unknown without a carrier and on virtual interfaces.
    pub speed_mbit_per_s: Option<u32>,
    /// Whether it takes frames to other stations.
    pub promiscuous: Option<bool>,
    /// Whether it has an IP address of its own, beside a link-local IPv6 one.
    pub has_address: Option<bool>,
    /// Whether it has a link-local IPv6 address, by which the kernel speaks unasked.
    pub has_link_local: bool,
    /// Whether the kernel answers ARP requests here, also those for the machine's other addresses.
    pub arp: Option<bool>,
    /// Frames received.
    pub rx_packets: Option<u64>,
    /// Frames received but dropped on the way to the kernel.
    pub rx_dropped: Option<u64>,
    /// Frames that the card had no room for.
    pub rx_missed: Option<u64>,
    /// Frames lost in the card's queue.
    pub rx_fifo: Option<u64>,
    /// Frames sent: stays as it is on an interface that only listens.
    pub tx_packets: Option<u64>,
    /// Whether the kernel joins frames (generic receive offload).
    pub gro: Option<bool>,
    /// Whether the card joins frames (large receive offload).
    pub lro: Option<bool>,
    /// Whether the card takes VLAN tags off.
    pub rx_vlan: Option<bool>,
}

impl NicFacts {
    /// Asks by a socket of its own, which is bound to nothing. Needs no right.
    ///
    /// # Errors
    /// No socket can be made, as in the sandbox: use [`NicFacts::read_by`] there.
    pub fn read(interface: &str) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
        Ok(Self::read_by(socket.as_fd(), interface))
    }

    /// Asks by a socket that is open already, such as a ring's.
    #[must_use]
    pub fn read_by(socket: BorrowedFd<'_>, interface: &str) -> Self {
        let Ok(index) = interface_index(socket, interface) else {
            return Self { interface: interface.to_owned(), ..Self::default() };
        };
        let flags = interface_flags(socket, interface).ok();
        let up = flags.map(|flags| flags & libc::IFF_UP != 0);
        let files = Files { interface, index };
        let ethtool = ethtool_value(socket, interface, ETHTOOL_GFLAGS).ok();
        Self {
            interface: interface.to_owned(),
            exists: true,
            up,
            carrier: flags.filter(|_| up == Some(true)).map(|flags| flags & libc::IFF_RUNNING != 0),
            mtu: files.number("mtu"),
            speed_mbit_per_s: files.number("speed"),
            // The flags of `SIOCGIFFLAGS` leave out what packet sockets asked for.
            promiscuous: files
                .hexadecimal("flags")
                .map(|flags| flags & libc::IFF_PROMISC as u32 != 0),
            has_address: has_ipv4(socket, interface)
                .ok()
                .map(|ipv4| ipv4 || has_ipv6(interface, false)),
            has_link_local: has_ipv6(interface, true),
            arp: flags.map(|flags| flags & libc::IFF_NOARP == 0),
            rx_packets: files.number("statistics/rx_packets"),
            rx_dropped: files.number("statistics/rx_dropped"),
            rx_missed: files.number("statistics/rx_missed_errors"),
            rx_fifo: files.number("statistics/rx_fifo_errors"),
            tx_packets: files.number("statistics/tx_packets"),
            gro: ethtool_value(socket, interface, ETHTOOL_GGRO).ok().map(|value| value != 0),
            lro: ethtool.map(|flags| flags & ETH_FLAG_LRO != 0),
            rx_vlan: ethtool.map(|flags| flags & ETH_FLAG_RXVLAN != 0),
        }
    }
}

/// The interface's folder of `/sys/class/net`.
struct Files<'a> {
    interface: &'a str,
    index: i32,
}

impl Files<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let folder = format!("/sys/class/net/{}", self.interface);
        // The mounted /sys may show another network namespace's interface of this name.
        let index = fs::read_to_string(format!("{folder}/ifindex")).ok()?;
        if index.trim().parse() != Ok(self.index) {
            return None;
        }
        fs::read_to_string(format!("{folder}/{name}")).ok()
    }

    /// The number in a file; an unknown speed reads as -1 or as an error.
    fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.trim().parse().ok()
    }

    fn hexadecimal(&self, name: &str) -> Option<u32> {
        u32::from_str_radix(self.text(name)?.trim().strip_prefix("0x")?, 16).ok()
    }
}

/// Whether the interface has an IPv6 address that is (or is not) link-local; the file is missing
/// where IPv6 is switched off.
fn has_ipv6(interface: &str, link_local: bool) -> bool {
    let table = fs::read_to_string("/proc/self/net/if_inet6").unwrap_or_default();
    table.lines().any(|line| {
        let mut fields = line.split_whitespace();
        let address = fields.next().unwrap_or_default();
        fields.next_back() == Some(interface) && address.starts_with("fe80") == link_local
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_there_and_nonsense_is_not() {
        let loopback = NicFacts::read("lo").unwrap();
        assert!(loopback.exists);
        assert!(loopback.up.is_some() && loopback.has_address.is_some());

        for name in ["otic-no-such", "../lo", "a name that is longer than fits", "n\0l", ""] {
            let absent = NicFacts { interface: name.to_owned(), ..NicFacts::default() };
            assert_eq!(absent, NicFacts::read(name).unwrap());
        }
    }
}
