//! Names of link types (the LINKTYPE_ registry of the pcap format, tcpdump.org/linktypes.html).

use std::fmt;

/// A link type number of a capture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

macro_rules! link_types {
    ($($constant:ident $number:literal $name:literal;)*) => {
        impl LinkType {
            $(#[doc = $name] pub const $constant: Self = Self($number);)*

            /// The registered name in lower case, or none.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)*
                    _ => None,
                }
            }

            /// The link type of this name (as [`fmt::Display`] writes it).
            #[must_use]
            pub fn by_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self($number)),)*
                    _ => name.strip_prefix("linktype-")?.parse().ok().map(Self),
                }
            }
        }
    };
}

link_types! {
    NULL 0 "null";
    ETHERNET 1 "ethernet";
    AX25 3 "ax25";
    TOKEN_RING 6 "token-ring";
    ARCNET_BSD 7 "arcnet-bsd";
    SLIP 8 "slip";
    PPP 9 "ppp";
    FDDI 10 "fddi";
    RAW_BSD 12 "raw-bsd";
    PPP_HDLC 50 "ppp-hdlc";
    PPP_ETHER 51 "ppp-ether";
    ATM_RFC1483 100 "atm-rfc1483";
    RAW 101 "raw";
    C_HDLC 104 "c-hdlc";
    IEEE802_11 105 "ieee802-11";
    FRELAY 107 "frelay";
    LOOP 108 "loop";
    LINUX_SLL 113 "linux-sll";
    PFLOG 117 "pflog";
    PRISM 119 "prism";
    SUNATM 123 "sunatm";
    RADIOTAP 127 "ieee802-11-radiotap";
    ARCNET_LINUX 129 "arcnet-linux";
    MTP2 140 "mtp2";
    MTP3 141 "mtp3";
    USER0 147 "user0";
    IEEE802_11_AVS 163 "ieee802-11-avs";
    BACNET_MS_TP 165 "bacnet-ms-tp";
    PPP_PPPD 166 "ppp-pppd";
    GPRS_LLC 169 "gprs-llc";
    LINUX_LAPD 177 "linux-lapd";
    USB_LINUX 189 "usb-linux";
    PPI 192 "ppi";
    IEEE802_15_4_WITHFCS 195 "ieee802-15-4-withfcs";
    SITA 196 "sita";
    BLUETOOTH_HCI_H4_WITH_PHDR 201 "bluetooth-hci-h4-with-phdr";
    USB_LINUX_MMAPPED 220 "usb-linux-mmapped";
    IPNET 226 "ipnet";
    CAN_SOCKETCAN 227 "can-socketcan";
    IPV4 228 "ipv4";
    IPV6 229 "ipv6";
    IEEE802_15_4_NOFCS 230 "ieee802-15-4-nofcs";
    NFLOG 239 "nflog";
    USBPCAP 249 "usbpcap";
    BLUETOOTH_LE_LL 251 "bluetooth-le-ll";
    UPPER_PDU 252 "upper-pdu";
    NETLINK 253 "netlink";
    LINUX_SLL2 276 "linux-sll2";
    DOCSIS 143 "docsis";
    IEEE802_15_4_TAP 283 "ieee802-15-4-tap";
    ETHERNET_MPACKET 274 "ethernet-mpacket";
    PKTAP 258 "pktap";
    EPON 259 "epon";
    ERF 197 "erf";
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "linktype-{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for number in 0..300 {
            let link = LinkType(number);
            assert_eq!(Some(link), LinkType::by_name(&link.to_string()));
        }
        assert_eq!(None, LinkType::by_name("linktype-x"));
    }
}
