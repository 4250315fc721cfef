//! The headers of one frame: link, VLANs, tunnels, IP and transport.
//!
//! [`decode`] walks from the link header inwards and stops at the first thing that is not a header
//! it knows. It never fails: what cannot be read further is said in [`Packet::kind`].
//! Sources: IEEE 802.3, 802.1Q, 802.2; RFC 791, 8200, 2003, 2784, 2890, 4213, 2516, 3032, 7348, 4380, 8926;
//! draft-foschiano-erspan-03; tcpdump's link type registry; IEC 62439-3 (PRP, HSR); 3GPP TS 29.281
//! (GTP-U).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

use crate::address::{Address, AddressNumber, Bus, Mac};
use crate::cursor::{Cursor, Short};

/// How many headers are followed in one frame: a crafted frame cannot nest deeper.
const DEEPEST: u8 = 32;
/// EtherType of IPX.
const IPX: u16 = 0x8137;

/// A TCP header without options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpHeader {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number of the first payload byte (of the SYN, if set).
    pub sequence: u32,
    /// Acknowledgement number; meaningful with the ACK flag.
    pub acknowledgement: u32,
    /// Flag bits, RFC 9293 §3.1 (FIN 0x01, SYN 0x02, RST 0x04, PSH 0x08, ACK 0x10).
    pub flags: u8,
}

/// What follows the innermost header that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A protocol named by its EtherType.
    EtherType(u16),
    /// An LLC frame: DSAP and SSAP; the payload starts after the control field.
    Llc(u8, u8),
    /// A SNAP frame: organisation and protocol id.
    Snap(u32, u16),
    /// BACnet network layer on ARCNET or MS/TP.
    Link(&'static str),
    /// An IP protocol without ports (or one not read further).
    Ip(u8),
    /// A UDP datagram.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// A TCP segment.
    Tcp(TcpHeader),
    /// A part of an IP datagram: (offset of the part in the datagram's payload, whether more follow).
    Fragment(u32, bool),
    /// A header that ends too early or contradicts itself; the name says which.
    Broken(&'static str),
    /// A frame whose bytes carry no addresses, by design (a MAC control frame, a token).
    Nothing(&'static str),
    /// A link type that is not decoded.
    UnknownLink,
}

/// The innermost IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpHeader {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Identification; 0 without one (IPv6 without fragment header).
    pub id: u32,
    /// Protocol of the payload after extension headers.
    pub protocol: u8,
    /// Offset of the header in the buffer.
    pub offset: u32,
    /// Offset of the source address in the buffer.
    pub source_offset: u32,
}

/// A redundancy header or trailer of IEC 62439-3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redundancy {
    /// True for PRP, false for HSR.
    pub prp: bool,
    /// LAN id (PRP: 0xA or 0xB) or path id (HSR).
    pub lan: u8,
    /// Sequence number.
    pub sequence: u16,
}

/// The headers of one frame. Offsets are from the start of the buffer given to [`decode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Source MAC of the outermost link header, where it has one.
    pub source_mac: Option<Mac>,
    /// Destination MAC of the outermost link header, where it has one.
    pub destination_mac: Option<Mac>,
    /// Field bus stations (source, destination), instead of MACs.
    pub stations: Option<(Address, Address)>,
    /// Offset of the source MAC.
    pub mac_offset: u32,
    /// VLAN ids, outermost first; priority tags (id 0) left out.
    pub vlans: SmallVec<[u16; 4]>,
    /// Innermost tunnel: kind and its id (VXLAN VNI, GRE key, ERSPAN session, GTP TEID).
    pub tunnel: Option<(&'static str, u32)>,
    /// Innermost IP header.
    pub ip: Option<IpHeader>,
    /// PRP trailer or HSR tag.
    pub redundancy: Option<Redundancy>,
    /// What the payload is.
    pub kind: Kind,
    /// Payload start.
    pub start: u32,
    /// Payload end, padding cut off.
    pub end: u32,
    /// The payload is longer than what was captured.
    pub truncated: bool,
}

impl Default for Packet {
    fn default() -> Self {
        Self {
            source_mac: None,
            destination_mac: None,
            stations: None,
            mac_offset: 0,
            vlans: SmallVec::new(),
            tunnel: None,
            ip: None,
            redundancy: None,
            kind: Kind::UnknownLink,
            start: 0,
            end: 0,
            truncated: false,
        }
    }
}

impl Packet {
    /// Reads the headers of another frame into this packet, see [`decode`].
    pub fn decode(&mut self, link_type: u16, frame: &[u8]) {
        if link_type != 1 || common(frame, self).is_none() {
            *self = Self::default();
            walk(link_type, frame, self);
        }
    }

    /// Sender: innermost IP (unless it is "none yet"), else outermost MAC or station.
    #[must_use]
    pub fn source(&self) -> Option<Address> {
        self.ip.map(|ip| Address::Ip(ip.source)).filter(|address| !address.is_none()).or_else(
            || self.source_mac.map(Address::Mac).or(self.stations.map(|(source, _)| source)),
        )
    }

    /// Receiver: innermost IP (unless it is "none yet"), else outermost MAC or station.
    #[must_use]
    pub fn destination(&self) -> Option<Address> {
        self.ip.map(|ip| Address::Ip(ip.destination)).filter(|address| !address.is_none()).or_else(
            || {
                self.destination_mac
                    .map(Address::Mac)
                    .or(self.stations.map(|(_, destination)| destination))
            },
        )
    }

    /// The numbers of [`Self::source`] and [`Self::destination`].
    #[inline]
    #[must_use]
    pub fn ends(&self) -> Ends {
        match &self.ip {
            Some(ip) if !ip.source.is_unspecified() && !ip.destination.is_unspecified() => {
                (Some((&ip.source).into()), Some((&ip.destination).into()))
            }
            _ => (
                self.source().as_ref().map(AddressNumber::from),
                self.destination().as_ref().map(AddressNumber::from),
            ),
        }
    }
}

/// Sender and receiver of a packet, where it names them.
pub type Ends = (Option<AddressNumber>, Option<AddressNumber>);

/// Whether frames of this link type are decoded.
#[must_use]
pub const fn is_decoded(link_type: u16) -> bool {
    matches!(
        link_type,
        0 | 1
            | 7
            | 9
            | 12
            | 50
            | 51
            | 101
            | 104
            | 108
            | 113
            | 129
            | 165
            | 166
            | 228
            | 229
            | 239
            | 276
    )
}

/// Reads the headers of `frame`, captured with this link type number.
#[must_use]
pub fn decode(link_type: u16, frame: &[u8]) -> Packet {
    let mut packet = Packet::default();
    packet.decode(link_type, frame);
    packet
}

/// Reads the commonest frames at once: Ethernet with at most one VLAN tag, IPv4 without options, TCP
/// or UDP outside tunnels, captured whole. Gives what [`walk`] gives; none for any other frame.
fn common(frame: &[u8], packet: &mut Packet) -> Option<()> {
    let (link, mut rest) = frame.split_first_chunk::<14>()?;
    let ([destination, source], [high, low]) = link.as_chunks::<6>() else { return None };
    let mut ether_type = [*high, *low];
    let mut vlan = 0;
    let mut offset = 14;
    if ether_type == [0x81, 0x00] {
        let (&[tag_high, tag_low, high, low], inner) = rest.split_first_chunk::<4>()?;
        vlan = u16::from_be_bytes([tag_high, tag_low]) & 0x0fff;
        ether_type = [high, low];
        rest = inner;
        offset = 18;
    }
    // A frame that ends like a PRP trailer is the walk's.
    if ether_type != [0x08, 0x00] || frame.ends_with(&[0x88, 0xfb]) {
        return None;
    }
    #[rustfmt::skip]
    let (
        &[0x45, _, total_high, total_low, id_high, id_low, fragment_high, fragment_low, hop_limit,
          protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3],
        rest,
    ) = rest.split_first_chunk::<20>()? else { return None };
    let length = usize::from(u16::from_be_bytes([total_high, total_low])).checked_sub(20)?;
    let fragment = u16::from_be_bytes([fragment_high, fragment_low]) & 0x3fff;
    if fragment != 0 {
        return None;
    }
    let payload = rest.get(..length)?;
    let start = offset + 20;
    let (header, length) = match protocol {
        6 => {
            #[rustfmt::skip]
            let (&[p0, p1, p2, p3, q0, q1, q2, q3, a0, a1, a2, a3, data_offset, flags, ..], _) =
                payload.split_first_chunk::<20>()?;
            let header = usize::from(data_offset >> 4) * 4;
            if header < 20 {
                return None;
            }
            packet.kind = Kind::Tcp(TcpHeader {
                source: u16::from_be_bytes([p0, p1]),
                destination: u16::from_be_bytes([p2, p3]),
                sequence: u32::from_be_bytes([q0, q1, q2, q3]),
                acknowledgement: u32::from_be_bytes([a0, a1, a2, a3]),
                flags,
            });
            (header, length)
        }
        17 => {
            let (&[p0, p1, p2, p3, l0, l1, ..], _) = payload.split_first_chunk::<8>()?;
            let source = u16::from_be_bytes([p0, p1]);
            let destination = u16::from_be_bytes([p2, p3]);
            if may_be_tunnel(source, destination) {
                return None;
            }
            let stated = usize::from(u16::from_be_bytes([l0, l1]));
            if stated < 8 {
                return None;
            }
            packet.kind = Kind::Udp { source, destination };
            (8, stated)
        }
        _ => return None,
    };
    if header > length || length > payload.len() {
        return None;
    }
    // Field by field: a new packet as a whole would be moved here.
    packet.source_mac = Some(Mac(*source));
    packet.destination_mac = Some(Mac(*destination));
    packet.stations = None;
    packet.mac_offset = 6;
    packet.vlans.clear();
    if vlan != 0 {
        packet.vlans.push(vlan);
    }
    packet.ip = Some(IpHeader {
        source: Ipv4Addr::new(s0, s1, s2, s3).into(),
        destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
        hop_limit,
        id: u32::from(u16::from_be_bytes([id_high, id_low])),
        protocol,
        offset,
        source_offset: offset + 12,
    });
    packet.tunnel = None;
    packet.redundancy = None;
    packet.start = start + header as u32;
    packet.end = start + length as u32;
    packet.truncated = false;
    Some(())
}

/// Reads any frame, header by header.
fn walk(link_type: u16, frame: &[u8], packet: &mut Packet) {
    packet.end = frame.len() as u32;
    let mut walk = Walk { packet, cursor: Cursor::new(frame), depth: 0 };
    if walk.link(link_type).is_err() {
        walk.stop(Kind::Broken("link-header"));
    }
}

/// Reads the transport header of a reassembled IP payload; the other fields are `outer`'s.
#[must_use]
pub fn decode_reassembled(outer: &Packet, payload: &[u8]) -> Packet {
    let mut packet = outer.clone();
    packet.start = 0;
    packet.end = payload.len() as u32;
    packet.truncated = false;
    let protocol = outer.ip.map_or(0, |ip| ip.protocol);
    let mut walk = Walk { packet: &mut packet, cursor: Cursor::new(payload), depth: 0 };
    if walk.transport(protocol).is_err() {
        walk.stop(Kind::Broken("transport-header"));
    }
    packet
}

struct Walk<'p, 'a> {
    packet: &'p mut Packet,
    cursor: Cursor<'a>,
    depth: u8,
}

impl Walk<'_, '_> {
    /// The payload starts here and is `kind`.
    fn stop(&mut self, kind: Kind) {
        self.packet.kind = kind;
        self.packet.start = (self.cursor.position() as u32).min(self.packet.end);
    }

    fn here(&self) -> u32 {
        self.cursor.position() as u32
    }

    /// Bytes left before the end that the headers gave so far.
    fn left(&self) -> u32 {
        self.packet.end.saturating_sub(self.here())
    }

    /// The headers say that `length` bytes follow here: the rest is padding, or was not captured.
    fn limit(&mut self, length: u32) {
        if length > self.left() {
            self.packet.truncated = true;
        } else {
            self.packet.end = self.here() + length;
        }
    }

    fn link(&mut self, link_type: u16) -> Result<(), Short> {
        match link_type {
            1 => self.ethernet(true),
            0 | 108 => self.loopback(link_type == 108),
            7 | 129 => self.arcnet(link_type == 129),
            9 | 50 | 166 => self.ppp(),
            10 => self.fddi(),
            12 | 101 | 228 | 229 => self.ip_by_version(),
            51 => self.pppoe(),
            104 => {
                self.cursor.skip(2)?;
                let ether_type = self.cursor.u16_be()?;
                self.ether_type(ether_type)
            }
            113 => self.linux_cooked(),
            165 => self.mstp(),
            239 => self.nflog(),
            276 => self.linux_cooked_2(),
            _ => {
                self.stop(Kind::UnknownLink);
                Ok(())
            }
        }
    }

    fn ethernet(&mut self, outermost: bool) -> Result<(), Short> {
        let base = self.here();
        let destination = Mac(self.cursor.array()?);
        let source = Mac(self.cursor.array()?);
        if outermost {
            self.packet.destination_mac = Some(destination);
            self.packet.source_mac = Some(source);
            self.packet.mac_offset = base + 6;
            self.prp_trailer();
        }
        let ether_type = self.cursor.u16_be()?;
        self.ether_type(ether_type)
    }

    /// Redundancy control trailer: sequence, LAN id and size, suffix 0x88FB (IEC 62439-3 §4.1.10).
    /// Proven by the LAN id and by the size, which counts from after the MAC addresses and the
    /// EtherType or VLAN tag to the end of the trailer.
    fn prp_trailer(&mut self) {
        let rest = self.cursor.rest();
        let Some((_, trailer)) = rest.split_last_chunk::<6>() else { return };
        let [sequence_high, sequence_low, lan_size, size_low, 0x88, 0xfb] = *trailer else {
            return;
        };
        let lan = lan_size >> 4;
        let size = usize::from(lan_size & 0x0f) << 8 | usize::from(size_low);
        let untagged = rest.len().saturating_sub(2);
        if matches!(lan, 0xa | 0xb) && (size == untagged || size + 4 == untagged) {
            self.packet.redundancy = Some(Redundancy {
                prp: true,
                lan,
                sequence: u16::from_be_bytes([sequence_high, sequence_low]),
            });
            self.packet.end -= 6;
        }
    }

    fn ether_type(&mut self, ether_type: u16) -> Result<(), Short> {
        self.depth += 1;
        if self.depth > DEEPEST {
            self.stop(Kind::Broken("nested-too-deep"));
            return Ok(());
        }
        match ether_type {
            0x0800 => self.ipv4(),
            0x86dd => self.ipv6(),
            0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => {
                let id = self.cursor.u16_be()? & 0x0fff;
                if id != 0 {
                    self.packet.vlans.push(id);
                }
                let inner = self.cursor.u16_be()?;
                self.ether_type(inner)
            }
            0x8847 | 0x8848 => self.mpls(),
            0x8864 => self.pppoe(),
            0x892f => {
                // HSR tag: path id and size, sequence, EtherType (IEC 62439-3 §5.8).
                let path = self.cursor.u16_be()?;
                let sequence = self.cursor.u16_be()?;
                self.packet.redundancy =
                    Some(Redundancy { prp: false, lan: (path >> 12) as u8, sequence });
                let inner = self.cursor.u16_be()?;
                self.ether_type(inner)
            }
            0x0000..=0x05dc => {
                self.limit(u32::from(ether_type));
                self.llc()
            }
            _ => {
                self.stop(Kind::EtherType(ether_type));
                Ok(())
            }
        }
    }

    fn llc(&mut self) -> Result<(), Short> {
        if self.left() < 3 {
            self.stop(Kind::Nothing("llc-empty"));
            return Ok(());
        }
        // IPX straight behind the length, by its checksum that is never made, or with an LLC header
        // of its own: told like IPX in Ethernet II.
        if self.cursor.rest().starts_with(&[0xff, 0xff]) {
            self.stop(Kind::EtherType(IPX));
            return Ok(());
        }
        let (dsap, ssap, control) = (self.cursor.u8()?, self.cursor.u8()?, self.cursor.u8()?);
        if (dsap, ssap, control) == (0xe0, 0xe0, 0x03) {
            self.stop(Kind::EtherType(IPX));
            return Ok(());
        }
        // Numbered and supervisory frames have a control field of two bytes (IEEE 802.2 §5.2).
        if control & 0x03 != 0x03 {
            let _ = self.cursor.skip(1);
        }
        if (dsap, ssap, control) == (0xaa, 0xaa, 0x03) {
            let organisation = self.cursor.u24_be()?;
            let protocol = self.cursor.u16_be()?;
            if organisation == 0 {
                return self.ether_type(protocol.max(0x0600));
            }
            self.stop(Kind::Snap(organisation, protocol));
            return Ok(());
        }
        self.stop(Kind::Llc(dsap, ssap));
        Ok(())
    }

    /// Address family in the byte order of the capturing machine (null) or of the network (loop).
    fn loopback(&mut self, network_order: bool) -> Result<(), Short> {
        let bytes = self.cursor.array()?;
        let (big, little) = (u32::from_be_bytes(bytes), u32::from_le_bytes(bytes));
        let family = if network_order || big < 0x100 { big } else { little };
        match family {
            2 => self.ipv4(),
            10 | 24 | 28 | 30 => self.ipv6(),
            _ => {
                self.stop(Kind::Nothing("loopback-family"));
                Ok(())
            }
        }
    }

    /// Frame control, addresses, LLC (RFC 1390); frames that are no LLC frames carry no data.
    fn fddi(&mut self) -> Result<(), Short> {
        let control = self.cursor.u8()?;
        let destination = Mac(self.cursor.array()?);
        let source = Mac(self.cursor.array()?);
        self.packet.destination_mac = Some(destination);
        self.packet.source_mac = Some(source);
        self.packet.mac_offset = 7;
        if control & 0x30 == 0x10 {
            return self.llc();
        }
        self.stop(Kind::Nothing("fddi-control"));
        Ok(())
    }

    fn ppp(&mut self) -> Result<(), Short> {
        // Cisco HDLC is captured under the PPP link types too: address 0x0F or 0x8F, then an
        // EtherType (observed in BGP_Cisco_hdlc_slarp.pcap, frame 1).
        if let [0x0f | 0x8f, 0x00, high, low, ..] = *self.cursor.rest() {
            self.cursor.skip(4)?;
            return self.ether_type(u16::from_be_bytes([high, low]).max(0x0600));
        }
        if self.cursor.rest().starts_with(&[0xff, 0x03]) {
            self.cursor.skip(2)?;
        }
        // A protocol field whose first byte is odd is compressed to one byte (RFC 1661 §2).
        let first = self.cursor.u8()?;
        let protocol = if first & 1 == 1 {
            u16::from(first)
        } else {
            u16::from(first) << 8 | u16::from(self.cursor.u8()?)
        };
        match protocol {
            0x0021 => self.ipv4(),
            0x0057 => self.ipv6(),
            _ => {
                self.stop(Kind::Nothing("ppp-control"));
                Ok(())
            }
        }
    }

    fn pppoe(&mut self) -> Result<(), Short> {
        self.cursor.skip(4)?;
        let length = self.cursor.u16_be()?;
        self.limit(u32::from(length));
        self.ppp()
    }

    fn mpls(&mut self) -> Result<(), Short> {
        for _ in 0..DEEPEST {
            let entry = self.cursor.u32_be()?;
            if entry & 0x100 != 0 {
                return match self.cursor.peek().unwrap_or_default() >> 4 {
                    4 => self.ipv4(),
                    6 => self.ipv6(),
                    0 => {
                        // Pseudowire control word before an Ethernet frame (RFC 4448 §4.6).
                        self.cursor.skip(4)?;
                        self.ethernet(false)
                    }
                    _ => {
                        self.stop(Kind::Nothing("mpls-payload"));
                        Ok(())
                    }
                };
            }
        }
        self.stop(Kind::Broken("nested-too-deep"));
        Ok(())
    }

    fn linux_cooked(&mut self) -> Result<(), Short> {
        self.cursor.skip(4)?;
        let length = self.cursor.u16_be()?;
        let address: [u8; 8] = self.cursor.array()?;
        self.cooked_source(length == 6, address, 6);
        let protocol = self.cursor.u16_be()?;
        self.cooked_payload(protocol)
    }

    fn linux_cooked_2(&mut self) -> Result<(), Short> {
        let protocol = self.cursor.u16_be()?;
        self.cursor.skip(9)?;
        let length = self.cursor.u8()?;
        let address: [u8; 8] = self.cursor.array()?;
        self.cooked_source(length == 6, address, 12);
        self.cooked_payload(protocol)
    }

    fn cooked_source(&mut self, is_mac: bool, address: [u8; 8], offset: u32) {
        let [a, b, c, d, e, f, ..] = address;
        let mac = Mac([a, b, c, d, e, f]);
        if is_mac && !mac.is_zero() {
            self.packet.source_mac = Some(mac);
            self.packet.mac_offset = offset;
        }
    }

    /// 0x0004 marks an LLC frame in a cooked capture.
    fn cooked_payload(&mut self, protocol: u16) -> Result<(), Short> {
        if protocol == 0x0004 { self.llc() } else { self.ether_type(protocol.max(0x0600)) }
    }

    /// NFLOG: family, version, resource id, then TLVs in the capturing machine's byte order
    /// (little-endian here), 9 = packet payload (tcpdump's NFLOG page).
    fn nflog(&mut self) -> Result<(), Short> {
        let family = self.cursor.u8()?;
        self.cursor.skip(3)?;
        while self.cursor.remaining() >= 4 {
            let length = self.cursor.u16_le()?;
            let kind = self.cursor.u16_le()? & 0x7fff;
            let size = u32::from(length).saturating_sub(4);
            if kind == 9 {
                self.limit(size);
                return match family {
                    2 => self.ipv4(),
                    10 => self.ipv6(),
                    _ => self.ip_by_version(),
                };
            }
            self.cursor.skip((size as usize).next_multiple_of(4))?;
        }
        self.stop(Kind::Nothing("nflog-without-packet"));
        Ok(())
    }

    /// ARCNET: source, destination, protocol id; Linux puts a two-byte offset before the protocol
    /// id. BACnet is 0xCD with an LLC header 0x82 0x82 0x03 (ASHRAE 135 clause 8).
    fn arcnet(&mut self, linux: bool) -> Result<(), Short> {
        let source = self.cursor.u8()?;
        let destination = self.cursor.u8()?;
        let station = |number| Address::Station(Bus::Arcnet, number);
        self.packet.stations = Some((station(source), station(destination)));
        if linux {
            self.cursor.skip(2)?;
        }
        let protocol = self.cursor.u8()?;
        if protocol == 0xcd && self.cursor.rest().starts_with(&[0x82, 0x82, 0x03]) {
            self.cursor.skip(3)?;
            self.stop(Kind::Link("bacnet-arcnet"));
        } else {
            self.stop(Kind::Nothing("arcnet-protocol"));
        }
        Ok(())
    }

    /// MS/TP: preamble 55 FF, type, destination, source, length, header CRC (ASHRAE 135 §9.3).
    fn mstp(&mut self) -> Result<(), Short> {
        if self.cursor.u16_be()? != 0x55ff {
            self.stop(Kind::Broken("mstp-preamble"));
            return Ok(());
        }
        let kind = self.cursor.u8()?;
        let destination = self.cursor.u8()?;
        let source = self.cursor.u8()?;
        let station = |number| Address::Station(Bus::Mstp, number);
        self.packet.stations = Some((station(source), station(destination)));
        let length = self.cursor.u16_be()?;
        self.cursor.skip(1)?;
        self.limit(u32::from(length));
        // 5 and 6: BACnet data, expecting a reply or not; 7: reply postponed; others: token, polls.
        self.stop(match kind {
            5 | 6 => Kind::Link("bacnet-mstp"),
            _ => Kind::Nothing("mstp-control"),
        });
        Ok(())
    }

    fn ip_by_version(&mut self) -> Result<(), Short> {
        match self.cursor.peek().unwrap_or_default() >> 4 {
            4 => self.ipv4(),
            6 => self.ipv6(),
            _ => {
                self.stop(Kind::Broken("ip-version"));
                Ok(())
            }
        }
    }

    fn ipv4(&mut self) -> Result<(), Short> {
        let offset = self.here();
        let first = self.cursor.u8()?;
        let header_length = u32::from(first & 0x0f) * 4;
        if first >> 4 != 4 || header_length < 20 {
            self.stop(Kind::Broken("ipv4-header"));
            return Ok(());
        }
        self.cursor.skip(1)?;
        let total = u32::from(self.cursor.u16_be()?);
        let id = self.cursor.u16_be()?;
        let fragment = self.cursor.u16_be()?;
        let hop_limit = self.cursor.u8()?;
        let protocol = self.cursor.u8()?;
        self.cursor.skip(2)?;
        let source = Ipv4Addr::from(self.cursor.u32_be()?);
        let destination = Ipv4Addr::from(self.cursor.u32_be()?);
        self.packet.ip = Some(IpHeader {
            source: source.into(),
            destination: destination.into(),
            hop_limit,
            id: u32::from(id),
            protocol,
            offset,
            source_offset: offset + 12,
        });
        self.cursor.skip((header_length - 20) as usize)?;
        // A total length of 0 is left by segmentation offload in the capturing machine.
        if total != 0 {
            self.limit(total.saturating_sub(header_length));
        }
        let part = u32::from(fragment & 0x1fff) * 8;
        if fragment & 0x3fff != 0 {
            self.stop(Kind::Fragment(part, fragment & 0x2000 != 0));
            return Ok(());
        }
        self.transport(protocol)
    }

    fn ipv6(&mut self) -> Result<(), Short> {
        let offset = self.here();
        let first = self.cursor.u32_be()?;
        if first >> 28 != 6 {
            self.stop(Kind::Broken("ipv6-header"));
            return Ok(());
        }
        let length = u32::from(self.cursor.u16_be()?);
        let mut next = self.cursor.u8()?;
        let hop_limit = self.cursor.u8()?;
        let source = Ipv6Addr::from(self.cursor.array::<16>()?);
        let destination = Ipv6Addr::from(self.cursor.array::<16>()?);
        let mut ip = IpHeader {
            source: source.into(),
            destination: destination.into(),
            hop_limit,
            id: 0,
            protocol: next,
            offset,
            source_offset: offset + 8,
        };
        self.packet.ip = Some(ip);
        if length != 0 {
            self.limit(length);
        }
        for _ in 0..DEEPEST {
            let mut fragment = None;
            match next {
                // Hop-by-hop, routing, destination options: length in units of 8 bytes.
                0 | 43 | 60 => {
                    next = self.cursor.u8()?;
                    let size = usize::from(self.cursor.u8()?) * 8 + 6;
                    self.cursor.skip(size)?;
                }
                44 => {
                    next = self.cursor.u8()?;
                    self.cursor.skip(1)?;
                    let field = self.cursor.u16_be()?;
                    ip.id = self.cursor.u32_be()?;
                    // An "atomic" fragment is a whole datagram (RFC 6946).
                    if field & 0xfff9 != 0 {
                        fragment = Some((u32::from(field & 0xfff8), field & 1 != 0));
                    }
                }
                // Authentication header: length in units of 4 bytes.
                51 => {
                    next = self.cursor.u8()?;
                    let size = usize::from(self.cursor.u8()?) * 4 + 6;
                    self.cursor.skip(size)?;
                }
                _ => return self.transport(next),
            }
            ip.protocol = next;
            self.packet.ip = Some(ip);
            if let Some((part, more)) = fragment {
                self.stop(Kind::Fragment(part, more));
                return Ok(());
            }
        }
        self.stop(Kind::Broken("nested-too-deep"));
        Ok(())
    }

    fn transport(&mut self, protocol: u8) -> Result<(), Short> {
        self.depth += 1;
        if self.depth > DEEPEST {
            self.stop(Kind::Broken("nested-too-deep"));
            return Ok(());
        }
        match protocol {
            4 => {
                self.packet.tunnel = Some(("ip-in-ip", 0));
                self.ipv4()
            }
            6 => self.tcp(),
            17 => self.udp(),
            41 => {
                self.packet.tunnel = Some(("ip-in-ip", 0));
                self.ipv6()
            }
            47 => self.gre(),
            _ => {
                self.stop(Kind::Ip(protocol));
                Ok(())
            }
        }
    }

    fn tcp(&mut self) -> Result<(), Short> {
        let start = self.here();
        let mut header = self.cursor.sub(20.min(self.left() as usize))?;
        let (Ok(source), Ok(destination)) = (header.u16_be(), header.u16_be()) else {
            self.stop(Kind::Broken("tcp-header"));
            return Ok(());
        };
        let read = |mut header: Cursor<'_>| -> Result<(TcpHeader, u32), Short> {
            let sequence = header.u32_be()?;
            let acknowledgement = header.u32_be()?;
            let length = u32::from(header.u8()? >> 4) * 4;
            let flags = header.u8()?;
            header.skip(6)?;
            Ok((TcpHeader { source, destination, sequence, acknowledgement, flags }, length))
        };
        match read(header) {
            Ok((tcp, length)) if length >= 20 => {
                let data = (start + length).min(self.packet.end);
                if start + length > self.packet.end {
                    self.packet.truncated = true;
                }
                self.packet.kind = Kind::Tcp(tcp);
                self.packet.start = data;
            }
            _ => self.stop(Kind::Broken("tcp-header")),
        }
        Ok(())
    }

    fn udp(&mut self) -> Result<(), Short> {
        if self.left() < 8 {
            self.stop(Kind::Broken("udp-header"));
            return Ok(());
        }
        let source = self.cursor.u16_be()?;
        let destination = self.cursor.u16_be()?;
        let length = u32::from(self.cursor.u16_be()?);
        self.cursor.skip(2)?;
        // A length of 0 is left by segmentation offload; one beyond the IP payload is believed
        // only as far as the bytes go.
        if (8..=self.left() + 8).contains(&length) {
            self.packet.end = self.here() + length - 8;
        }
        let kind = Kind::Udp { source, destination };
        let outer = (self.packet.start, self.packet.end, self.packet.ip, self.packet.tunnel);
        let vlans = self.packet.vlans.len();
        let inner = match destination {
            _ if !may_be_tunnel(source, destination) => None,
            4789 | 4790 => self.vxlan(),
            6081 => self.geneve(),
            2152 => self.gtp_user(),
            _ => self.teredo(),
        };
        let understood = inner.is_some() && !matches!(self.packet.kind, Kind::Broken(_));
        if !understood {
            // Not a tunnel after all: the datagram itself is the innermost packet.
            (self.packet.start, self.packet.end, self.packet.ip, self.packet.tunnel) = outer;
            self.packet.vlans.truncate(vlans);
            self.stop(kind);
        }
        Ok(())
    }

    /// Runs `walk` on the payload from `skip` bytes on, inside the same packet.
    fn inside(
        &mut self,
        skip: usize,
        walk: impl FnOnce(&mut Self) -> Result<(), Short>,
    ) -> Option<()> {
        let saved = self.cursor;
        let result = self.cursor.skip(skip).and_then(|()| walk(self));
        self.cursor = saved;
        result.ok()
    }

    /// Flags with the I bit, VNI (RFC 7348 §5); with the P bit the fourth byte names the payload,
    /// 1 IPv4, 2 IPv6, 3 Ethernet (draft-ietf-nvo3-vxlan-gpe §3.1).
    fn vxlan(&mut self) -> Option<()> {
        let [flags, _, _, next, a, b, c, 0, ..] = *self.cursor.rest() else { return None };
        if flags & 0x08 == 0 {
            return None;
        }
        self.packet.tunnel = Some(("vxlan", u32::from_be_bytes([0, a, b, c])));
        match if flags & 0x04 == 0 { 3 } else { next } {
            1 => self.inside(8, Self::ipv4),
            2 => self.inside(8, Self::ipv6),
            3 => self.inside(8, |walk| walk.ethernet(false)),
            _ => None,
        }
    }

    /// Geneve version 0: options in units of 4 bytes, then the frame or packet that its protocol type
    /// names (RFC 8926 §3.4).
    fn geneve(&mut self) -> Option<()> {
        let [first, _, high, low, a, b, c, _, ..] = *self.cursor.rest() else { return None };
        if first >> 6 != 0 {
            return None;
        }
        self.packet.tunnel = Some(("geneve", u32::from_be_bytes([0, a, b, c])));
        let header = 8 + usize::from(first & 0x3f) * 4;
        match u16::from_be_bytes([high, low]) {
            0x6558 => self.inside(header, |walk| walk.ethernet(false)),
            0x0800 => self.inside(header, Self::ipv4),
            0x86dd => self.inside(header, Self::ipv6),
            _ => None,
        }
    }

    /// GTP-U version 1, G-PDU; optional fields when any of E, S, PN is set (3GPP TS 29.281 §5.1).
    fn gtp_user(&mut self) -> Option<()> {
        let [flags, 0xff, _, _, a, b, c, d, rest @ ..] = self.cursor.rest() else { return None };
        if flags & 0xf0 != 0x30 {
            return None;
        }
        self.packet.tunnel = Some(("gtp", u32::from_be_bytes([*a, *b, *c, *d])));
        let mut skip = 8;
        if flags & 0x07 != 0 {
            let [_, _, _, next, extensions @ ..] = rest else { return None };
            skip += 4;
            let (mut next, mut extensions) = (*next, extensions);
            while next != 0 {
                let size = usize::from(*extensions.first()?) * 4;
                next = *extensions.get(size.checked_sub(1)?)?;
                extensions = extensions.get(size..)?;
                skip += size;
            }
        }
        self.inside(skip, Self::ip_by_version)
    }

    /// IPv6 in UDP, perhaps behind an authentication or origin header (RFC 4380 §5.1.1).
    fn teredo(&mut self) -> Option<()> {
        let mut skip = 0;
        let mut rest = self.cursor.rest();
        if let [0, 1, client, secret, ..] = *rest {
            skip += 13 + usize::from(client) + usize::from(secret);
            rest = self.cursor.rest().get(skip..)?;
        }
        if rest.starts_with(&[0, 0]) {
            skip += 8;
            rest = self.cursor.rest().get(skip..)?;
        }
        if rest.first()? >> 4 != 6 {
            return None;
        }
        self.packet.tunnel = Some(("teredo", 0));
        self.inside(skip, Self::ipv6)
    }

    fn gre(&mut self) -> Result<(), Short> {
        let base = self.here();
        let flags = self.cursor.u16_be()?;
        let protocol = self.cursor.u16_be()?;
        let version = flags & 0x0007;
        let mut key = 0;
        if flags & 0xc000 != 0 {
            self.cursor.skip(4)?;
        }
        if flags & 0x2000 != 0 {
            key = self.cursor.u32_be()?;
        }
        if flags & 0x1000 != 0 {
            self.cursor.skip(4)?;
        }
        if version == 1 && flags & 0x0080 != 0 {
            self.cursor.skip(4)?;
        }
        if version > 1 || self.here() < base {
            self.stop(Kind::Ip(47));
            return Ok(());
        }
        self.packet.tunnel = Some(("gre", key));
        match protocol {
            0x0800 => self.ipv4(),
            0x86dd => self.ipv6(),
            0x6558 => self.ethernet(false),
            0x8847 | 0x8848 => self.mpls(),
            0x880b => self.ppp(),
            // ERSPAN type I has no header and GRE without sequence number; type II has both.
            0x88be if flags & 0x1000 == 0 => {
                self.packet.tunnel = Some(("erspan", 0));
                self.ethernet(false)
            }
            0x88be => self.erspan_2(),
            0x22eb => self.erspan_3(),
            _ => {
                self.stop(Kind::Ip(47));
                Ok(())
            }
        }
    }

    /// Version 1, VLAN; class, encapsulation, T (frame cut by the mirror), session; index
    /// (draft-foschiano-erspan-03 §4.2).
    fn erspan_2(&mut self) -> Result<(), Short> {
        let [version, _, flags, session, ..] = self.cursor.array::<8>()?;
        if version >> 4 != 1 {
            self.stop(Kind::Broken("erspan-header"));
            return Ok(());
        }
        self.erspan_session(flags, session);
        self.ethernet(false)
    }

    /// Version 2 and the fields of type II, time stamp, group tag; P, frame type, hardware; direction,
    /// granularity, O: 8 more bytes follow (draft-foschiano-erspan-03 §4.3). Frame type 2 is an IP
    /// packet without link header.
    fn erspan_3(&mut self) -> Result<(), Short> {
        let [version, _, flags, session, _, _, _, _, _, _, kind, options] = self.cursor.array()?;
        if version >> 4 != 2 {
            self.stop(Kind::Broken("erspan-header"));
            return Ok(());
        }
        self.erspan_session(flags, session);
        if options & 1 == 1 {
            self.cursor.skip(8)?;
        }
        match kind >> 2 & 0x1f {
            0 => self.ethernet(false),
            2 => self.ip_by_version(),
            _ => {
                self.stop(Kind::Nothing("erspan-frame-type"));
                Ok(())
            }
        }
    }

    fn erspan_session(&mut self, flags: u8, session: u8) {
        let id = u32::from(flags & 0x03) << 8 | u32::from(session);
        self.packet.tunnel = Some(("erspan", id));
        self.packet.truncated |= flags & 0x04 != 0;
    }
}

/// Whether datagrams between these ports may hold a packet: VXLAN and its generic extension,
/// Geneve, GTP-U, Teredo.
const fn may_be_tunnel(source: u16, destination: u16) -> bool {
    matches!(destination, 4789 | 4790 | 6081 | 2152 | 3544) || source == 3544
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UDP_FRAME: &[u8] = &[
        0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, // destination, source
        0x81, 0x00, 0x00, 0x0a, 0x08, 0x00, // VLAN 10, IPv4
        0x45, 0, 0, 30, 0x12, 0x34, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, // IPv4
        0x13, 0x88, 0xba, 0xc0, 0, 10, 0, 0, 0xca, 0xfe, // UDP 5000 > 47808, 2 bytes
        0, 0, 0, 0, // padding
    ];

    #[test]
    fn a_tagged_udp_datagram_without_its_padding() {
        let packet = decode(1, UDP_FRAME);
        assert_eq!(Kind::Udp { source: 5000, destination: 47808 }, packet.kind);
        assert_eq!(&[10], packet.vlans.as_slice());
        assert_eq!(&[0xca, 0xfe], &UDP_FRAME[packet.start as usize..packet.end as usize]);
        assert_eq!("192.0.2.1", packet.source().unwrap().to_string());
        assert!(!packet.truncated);
    }

    #[test]
    fn ipx_is_the_same_in_each_kind_of_frame() {
        let ipx = [0xff, 0xff, 0, 30, 0, 20];
        let headers: [&[u8]; 4] = [
            &[0x81, 0x37],
            &[0, 6],
            &[0, 9, 0xe0, 0xe0, 3],
            &[0, 14, 0xaa, 0xaa, 3, 0, 0, 0, 0x81, 0x37],
        ];
        for header in headers {
            let frame = [&UDP_FRAME[..12], header, &ipx].concat();
            let packet = decode(1, &frame);
            assert_eq!(Kind::EtherType(0x8137), packet.kind, "{header:x?}");
            assert_eq!(ipx, frame[packet.start as usize..packet.end as usize]);
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_decoded_as_far_as_it_goes() {
        for length in 0..UDP_FRAME.len() {
            let packet = decode(1, &UDP_FRAME[..length]);
            assert!(packet.end as usize <= length && packet.start <= packet.end, "{packet:?}");
            if (42..48).contains(&length) {
                assert!(packet.truncated || matches!(packet.kind, Kind::Broken(_)));
            }
        }
    }

    #[test]
    fn a_datagram_in_gre_has_the_inner_addresses_and_the_outer_macs() {
        let mut frame = UDP_FRAME[..14].to_vec();
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame.extend_from_slice(&[
            0x45, 0, 0, 54, 0, 1, 0, 0, 64, 47, 0, 0, 198, 51, 100, 1, 198, 51, 100, 2,
        ]);
        frame.extend_from_slice(&[0, 0, 0x08, 0]);
        frame.extend_from_slice(&UDP_FRAME[18..48]);
        let packet = decode(1, &frame);
        assert_eq!("192.0.2.1", packet.source().unwrap().to_string());
        assert_eq!(Some(("gre", 0)), packet.tunnel);
        assert_eq!(Some(Mac([2, 0, 0, 0, 0, 1])), packet.source_mac);
    }

    /// The frame of [`UDP_FRAME`] behind these bytes of a tunnel in GRE, and its VLAN.
    fn mirrored(gre: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 8, 2, 0, 0, 0, 0, 9, 0x08, 0x00];
        let length = (20 + gre.len() + UDP_FRAME.len()) as u16;
        frame.extend([0x45, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([0, 1, 0, 0, 64, 47, 0, 0, 198, 51, 100, 1, 198, 51, 100, 2]);
        frame.extend(gre);
        frame.extend(UDP_FRAME);
        frame
    }

    #[test]
    fn a_frame_mirrored_by_each_type_of_erspan_is_read() {
        let one: &[u8] = &[0, 0, 0x88, 0xbe];
        // Sequence number 7; version 1, VLAN 10, session 0x101, index 5.
        let two: &[u8] = &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 7, 0x10, 0x0a, 0x01, 0x01, 0, 0, 0, 5];
        // The same with version 2, time stamp, group tag, frame type 0, no options.
        let three: &[u8] =
            &[0x10, 0, 0x22, 0xeb, 0, 0, 0, 7, 0x20, 0x0a, 0x01, 0x01, 1, 2, 3, 4, 0, 0, 0, 0];
        let with_options: &[u8] = &[
            0x10, 0, 0x22, 0xeb, 0, 0, 0, 7, 0x20, 0x0a, 0x01, 0x01, 1, 2, 3, 4, 0, 0, 0,
            1, // O
            0x0c, 0, 0, 1, 0, 0, 0, 2,
        ];
        for (gre, session) in [(one, 0), (two, 0x101), (three, 0x101), (with_options, 0x101)] {
            let packet = decode(1, &mirrored(gre));
            assert_eq!(Kind::Udp { source: 5000, destination: 47808 }, packet.kind, "{gre:x?}");
            assert_eq!(Some(("erspan", session)), packet.tunnel);
            assert_eq!(&[10], packet.vlans.as_slice());
            assert_eq!("192.0.2.1", packet.source().unwrap().to_string());
        }
    }

    #[test]
    fn an_erspan_header_of_another_version_is_broken_and_a_cut_frame_says_so() {
        let other = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 7, 0x30, 0x0a, 0x01, 0x01, 0, 0, 0, 5];
        assert_eq!(Kind::Broken("erspan-header"), decode(1, &mirrored(&other)).kind);
        let cut = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 7, 0x10, 0x0a, 0x05, 0x01, 0, 0, 0, 5];
        assert!(decode(1, &mirrored(&cut)).truncated);
    }

    #[test]
    fn any_bytes_of_any_link_type_give_a_packet_inside_the_frame() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        };
        for round in 0..20_000_u32 {
            let mut frame: Vec<u8> = (0..random() % 120).map(|_| random()).collect();
            if frame.len() > 20 && round % 2 == 0 {
                let types: [[u8; 2]; 6] =
                    [[8, 0], [0x86, 0xdd], [0x81, 0], [0x88, 0x47], [0x88, 0x64], [0, 40]];
                frame[12..14].copy_from_slice(&types[usize::from(random()) % 6]);
                frame[14] = if random() % 2 == 0 { 0x45 } else { 0x60 };
            }
            for link in [0, 1, 7, 9, 12, 50, 101, 104, 108, 113, 129, 165, 239, 276, 999] {
                let packet = decode(link, &frame);
                assert!(packet.start <= packet.end && packet.end as usize <= frame.len());
            }
        }
    }

    /// A frame of the common kind, with fields that make it just so or not quite.
    fn nearly_common() -> impl Strategy<Value = Vec<u8>> {
        let tag = prop_oneof![
            3 => Just(vec![]),
            3 => any::<[u8; 2]>().prop_map(|[high, low]| vec![0x81, 0x00, high, low]),
            1 => Just(vec![0x81, 0x00, 0, 0]),
            1 => Just(vec![0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 7]),
        ];
        let header = (
            prop_oneof![9 => Just(0x45_u8), 1 => any::<u8>()],
            prop_oneof![9 => Just([0x40_u8, 0]), 2 => Just([0, 0]), 1 => any::<[u8; 2]>()],
            prop_oneof![5 => Just(6_u8), 5 => Just(17), 1 => any::<u8>()],
            prop_oneof![9 => Just(0_i32), 1 => -60..60_i32],
        );
        let port = prop_oneof![
            4 => any::<u16>(),
            1 => prop::sample::select(vec![502_u16, 3544, 4789, 4790, 6081, 2152]),
        ];
        let transport = (port.clone(), port, prop_oneof![4 => 5..7_u8, 1 => 0..16_u8], -9..3_i32);
        let payload = prop::collection::vec(any::<u8>(), 0..40);
        let end = prop_oneof![
            6 => Just(vec![]),
            2 => prop::collection::vec(any::<u8>(), 0..8),
            1 => Just(vec![0, 1, 0xa0, 40, 0x88, 0xfb]),
        ];
        let parts = (tag, header, transport, payload, end, 0..30_usize);
        parts.prop_map(|(tag, header, transport, payload, end, cut)| {
            let (first, fragment, protocol, off) = header;
            let (source, destination, words, udp_off) = transport;
            let mut segment = [source.to_be_bytes(), destination.to_be_bytes()].concat();
            if protocol == 17 {
                // The stated length fits when the random part says 0.
                let stated = (8 + payload.len() as i32 + udp_off.max(-8)) as u16;
                segment.extend(stated.to_be_bytes());
                segment.extend([0, 0]);
            } else {
                segment.extend([1, 2, 3, 4, 5, 6, 7, 8, words << 4, 0x18, 0, 0, 0, 0, 0, 0]);
            }
            segment.extend(payload);
            let total = (20 + segment.len() as i32 + off).max(0) as u16;
            let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
            frame.extend(tag);
            frame.extend([0x08, 0x00, first, 0]);
            frame.extend(total.to_be_bytes());
            frame.extend([0x12, 0x34, fragment[0], fragment[1], 64, protocol, 0, 0]);
            frame.extend([192, 0, 2, 1, 192, 0, 2, 2]);
            frame.extend(segment);
            frame.extend(end);
            // Most frames are whole, some are cut anywhere.
            if cut < 3 {
                frame.truncate(frame.len() * cut / 3);
            }
            frame
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_common_frame_reads_as_the_walk_reads_it(frame in nearly_common()) {
            let mut walked = Packet::default();
            walk(1, &frame, &mut walked);
            // Whatever frame was read before leaves nothing behind.
            let mut at_once = Packet {
                stations: Some((Mac::default().into(), Mac::default().into())),
                vlans: [7, 8, 9, 10, 11].as_slice().into(),
                tunnel: Some(("gre", 1)),
                redundancy: Some(Redundancy { prp: true, lan: 0xa, sequence: 1 }),
                truncated: true,
                ..Packet::default()
            };
            if common(&frame, &mut at_once).is_some() {
                prop_assert_eq!(walked, at_once);
            }
        }
    }

    #[test]
    fn the_common_frame_is_read_at_once() {
        assert!(common(UDP_FRAME, &mut Packet::default()).is_some());
    }
}
