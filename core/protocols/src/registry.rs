//! The table of all protocols. A new protocol is one file and one row here, or a definition.

use std::sync::{PoisonError, RwLock};

use crate::defined::session::Defined;
use crate::defined::{self, Plan, Refused};
use crate::session::{Input, Session};

/// Where a protocol is carried, and the numbers that hint at it.
#[derive(Debug, Clone, Copy)]
pub enum Carrier {
    /// EtherType values.
    EtherType(&'static [u16]),
    /// LLC DSAP values (SSAP equal).
    Llc(&'static [u8]),
    /// SNAP organisation and protocol ids.
    Snap(&'static [(u32, u16)]),
    /// BACnet over ARCNET and MS/TP link types, and whatever the link layer names by itself.
    Link(&'static str),
    /// IP protocol numbers.
    Ip(&'static [u8]),
    /// TCP; usual server ports (a hint only, may be empty).
    Tcp(&'static [u16]),
    /// UDP; usual server ports (a hint only, may be empty).
    Udp(&'static [u16]),
}

impl Carrier {
    /// The carrier in words, for the documents: `TCP 502`, `EtherType 0x88cc`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let list = |kind: &str, numbers: Vec<String>| {
            if numbers.is_empty() {
                kind.to_owned()
            } else {
                format!("{kind} {}", numbers.join(" "))
            }
        };
        match self {
            Self::EtherType(types) => {
                list("EtherType", types.iter().map(|number| format!("0x{number:04x}")).collect())
            }
            Self::Llc(saps) => {
                list("LLC", saps.iter().map(|number| format!("0x{number:02x}")).collect())
            }
            Self::Snap(ids) => list(
                "SNAP",
                ids.iter().map(|(owner, id)| format!("{owner:06x}:{id:04x}")).collect(),
            ),
            Self::Link(name) => format!("link {name}"),
            Self::Ip(numbers) => list("IP", numbers.iter().map(ToString::to_string).collect()),
            Self::Tcp(ports) => list("TCP", ports.iter().map(ToString::to_string).collect()),
            Self::Udp(ports) => list("UDP", ports.iter().map(ToString::to_string).collect()),
        }
    }
}

/// What a probe says of the first bytes of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// Not this protocol.
    No,
    /// Too few bytes to tell: ask again with more (TCP), or let a session look at what follows
    /// (UDP, see [`Session::is_proven`]).
    More,
    /// Fits, but so would other bytes: believed on the usual port only.
    Weak,
    /// Fits in several independent fields: believed on any port unless another is certain.
    Likely,
    /// Could hardly be anything else.
    Certain,
}

/// One protocol Otic reads.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// Name used in facts and JSON, lower case with hyphens.
    pub name: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// The protocol's own words for (client, server).
    pub roles: (&'static str, &'static str),
    /// Where it is carried.
    pub carriers: &'static [Carrier],
    /// What reads it.
    pub dissector: Dissector,
    /// Where the wire facts come from: standards with clauses, manuals, captures.
    pub source: &'static str,
}

/// What reads a protocol.
#[derive(Debug, Clone, Copy)]
pub enum Dissector {
    /// A file of this crate.
    Built {
        /// Recognises it by structure; must be cheap and total. Called with the first bytes of a
        /// side; for carriers without ports it is called for every frame of the right EtherType,
        /// SAP or IP protocol number.
        probe: fn(&Input<'_>) -> Probe,
        /// A new session for one flow.
        session: fn() -> Box<dyn Session>,
    },
    /// A definition.
    Defined(&'static Plan),
}

impl Protocol {
    /// What the probe says of the first bytes of a side.
    #[must_use]
    pub fn probe(&self, input: &Input<'_>) -> Probe {
        match self.dissector {
            Dissector::Built { probe, .. } => probe(input),
            Dissector::Defined(plan) => defined::session::probe(plan, input),
        }
    }

    /// A new session for one flow.
    #[must_use]
    pub fn session(&self) -> Box<dyn Session> {
        match self.dissector {
            Dissector::Built { session, .. } => session(),
            Dissector::Defined(plan) => Box::new(Defined::new(plan)),
        }
    }
}

/// The protocols of this crate, in the order in which they are tried on ports that hint at none.
#[rustfmt::skip]
pub const BUILT: &[Protocol] = &[
    crate::modbus::PROTOCOL,
    crate::s7comm::PROTOCOL,
    crate::s7comm_plus::PROTOCOL,
    crate::mms::PROTOCOL,
    crate::arp::PROTOCOL,
    crate::lldp::PROTOCOL,
    crate::cdp::PROTOCOL,
    crate::stp::PROTOCOL,
    crate::mrp::PROTOCOL,
    crate::hsr_prp::PROTOCOL,
    crate::profinet::dcp::PROTOCOL,
    crate::profinet::rt::PROTOCOL,
    crate::profinet::cm::PROTOCOL,
    crate::icmp::ICMP,
    crate::icmp::ICMPV6,
    crate::icmp::IGMP,
    crate::vrrp::PROTOCOL,
    crate::carp::PROTOCOL,
    crate::iec104::PROTOCOL,
    crate::iec101::PROTOCOL,
    crate::iec61850::goose::PROTOCOL,
    crate::iec61850::sampled_values::PROTOCOL,
    crate::ethernet_ip::PROTOCOL,
    crate::ethernet_ip::io::PROTOCOL,
    crate::ethercat::PROTOCOL,
    crate::powerlink::PROTOCOL,
    crate::ptp::PROTOCOL,
    crate::bacnet::PROTOCOL,
    crate::dnp3::PROTOCOL,
    crate::opc_ua::PROTOCOL,
    crate::fins::PROTOCOL,
    crate::c37_118::PROTOCOL,
    crate::c12_22::PROTOCOL,
    crate::roc_plus::PROTOCOL,
    crate::bsap::PROTOCOL,
    crate::genisys::PROTOCOL,
    crate::melsec::PROTOCOL,
    crate::ge_srtp::PROTOCOL,
    crate::hart_ip::PROTOCOL,
    crate::ads::PROTOCOL,
    crate::mqtt::PROTOCOL,
    crate::knxnet_ip::PROTOCOL,
    crate::niagara_fox::PROTOCOL,
    crate::pcom::PROTOCOL,
    crate::tristation::PROTOCOL,
    crate::codesys::V3,
    crate::codesys::V2,
    crate::dlms::PROTOCOL,
    crate::df1::PROTOCOL,
    crate::uadp::PROTOCOL,
    crate::postgresql::PROTOCOL,
    crate::mysql::PROTOCOL,
    crate::tds::PROTOCOL,
    crate::tns::PROTOCOL,
    crate::onc_rpc::PROTOCOL,
    crate::dicom::PROTOCOL,
    crate::hl7::PROTOCOL,
    crate::pjl::PROTOCOL,
    crate::lpd::PROTOCOL,
    crate::http::PROTOCOL,
    crate::http2::PROTOCOL,
    crate::sip::PROTOCOL,
    crate::rtsp::PROTOCOL,
    crate::smtp::PROTOCOL,
    crate::ssh::PROTOCOL,
    crate::ftp::PROTOCOL,
    crate::telnet::PROTOCOL,
    crate::tls::PROTOCOL,
    crate::smb::PROTOCOL,
    crate::dcerpc::PROTOCOL,
    crate::rdp::PROTOCOL,
    crate::vnc::PROTOCOL,
    crate::kerberos::PROTOCOL,
    crate::ldap::PROTOCOL,
    crate::syslog::PROTOCOL,
    crate::tftp::PROTOCOL,
    crate::ssdp::PROTOCOL,
    crate::ws_discovery::PROTOCOL,
    crate::dhcp::PROTOCOL,
    crate::nbns::PROTOCOL,
    crate::dns::DNS,
    crate::dns::MDNS,
    crate::dns::LLMNR,
    crate::snmp::PROTOCOL,
    crate::coap::PROTOCOL,
    crate::ntp::PROTOCOL,
    crate::hsrp::PROTOCOL,
    crate::quic::PROTOCOL,
    crate::radius::PROTOCOL,
    crate::ipmi::PROTOCOL,
    crate::rtps::PROTOCOL,
    crate::sctp::PROTOCOL,
    crate::rtp::PROTOCOL,
    crate::rtp::CONTROL,
];

/// The definitions in force, tried after the protocols of this crate.
static DEFINED: RwLock<Definitions> = RwLock::new(Definitions { rows: &[], generation: 0 });

/// Definitions that were taken together.
#[derive(Debug, Clone, Copy)]
struct Definitions {
    rows: &'static [Protocol],
    generation: u32,
}

fn definitions() -> Definitions {
    *DEFINED.read().unwrap_or_else(PoisonError::into_inner)
}

/// All protocols: those of this crate and those that are defined, in the order in which they are
/// tried.
pub fn protocols() -> impl Iterator<Item = &'static Protocol> {
    BUILT.iter().chain(definitions().rows)
}

/// Grows whenever definitions are taken: what was unknown before may be known now.
#[must_use]
pub fn generation() -> u32 {
    definitions().generation
}

/// Takes these definitions, (file name, text), instead of those before. Flows already recognised
/// keep their dissector.
///
/// # Errors
/// What is wrong with the first bad one; nothing is taken then.
pub fn define(files: &[(String, String)]) -> Result<(), Refused> {
    let mut rows: Vec<Protocol> = Vec::new();
    for (file, text) in files {
        let row = defined::protocol(file, text)?;
        if BUILT.iter().chain(&rows).any(|known| known.name == row.name) {
            let reason = format!("there is another protocol `{}`", row.name);
            return Err(Refused { file: file.clone(), place: "name".to_owned(), reason });
        }
        rows.push(row);
    }
    let mut taken = DEFINED.write().unwrap_or_else(PoisonError::into_inner);
    let generation = taken.generation.wrapping_add(1);
    *taken = Definitions { rows: Box::leak(rows.into_boxed_slice()), generation };
    Ok(())
}

/// The row of the protocol with this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Protocol> {
    protocols().find(|protocol| protocol.name == name)
}
