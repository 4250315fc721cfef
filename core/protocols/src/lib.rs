//! Dissectors: one file a protocol, bytes in, messages out. No I/O, no clock.
//!
//! A protocol is one row of [`registry::BUILT`] or a definition ([`defined`]): its names, where it is found, a `probe` that
//! recognises it by structure, and a constructor of its [`Session`], which reads the bytes of one
//! flow. What a session understood it pushes into [`Out`]; keys, counting, addresses and roles are
//! the engine's.
//!
//! | module | subject |
//! |---|---|
//! | [`session`] | what a dissector is given and must provide |
//! | [`out`] | what a dissector can say |
//! | [`pending`] | requests that wait for their response |
//! | [`ber`], [`ber_tags`] | ASN.1 of several protocols |
//! | [`crc`] | the check of serial protocols |
//! | [`fields`] | numbers at known offsets |
//! | [`ntlm`] | log-ins that other protocols carry |
//! | [`sparkplug`] | what messages of MQTT carry by its rules |
//! | [`sql`] | statements of database protocols |
//! | [`text`] | text of the wire, without its padding |
//! | [`defined`] | protocols that a file defines |
//! | [`registry`] | the table of all protocols |

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod ads;
pub mod arp;
pub mod bacnet;
pub mod ber;
pub mod ber_tags;
pub mod bsap;
pub mod c12_22;
pub mod c37_118;
pub mod carp;
pub mod cdp;
pub mod coap;
pub mod codesys;
pub mod crc;
pub mod dcerpc;
pub mod defined;
pub mod df1;
pub mod dhcp;
pub mod dicom;
pub mod dlms;
pub mod dnp3;
pub mod dns;
pub mod ethercat;
pub mod ethernet_ip;
pub mod fields;
pub mod fins;
pub mod ftp;
pub mod ge_srtp;
pub mod genisys;
pub mod hart_ip;
pub mod hl7;
pub mod hsr_prp;
pub mod hsrp;
pub mod http;
pub mod http2;
pub mod icmp;
pub mod iec101;
pub mod iec104;
pub mod iec61850;
pub mod ipmi;
pub mod ipp;
pub mod iso_transport;
pub mod kerberos;
pub mod knxnet_ip;
pub mod ldap;
pub mod lldp;
pub mod lpd;
pub mod melsec;
pub mod mms;
pub mod modbus;
pub mod mqtt;
pub mod mrp;
pub mod mysql;
pub mod nbns;
pub mod niagara_fox;
pub mod ntlm;
pub mod ntp;
pub mod onc_rpc;
pub mod opc_ua;
pub mod out;
pub mod pcom;
pub mod pending;
pub mod pjl;
pub mod postgresql;
pub mod powerlink;
pub mod profinet;
pub mod ptp;
pub mod quic;
pub mod radius;
pub mod rdp;
pub mod registry;
pub mod roc_plus;
pub mod rtp;
pub mod rtps;
pub mod rtsp;
pub mod s7comm;
pub mod s7comm_plus;
pub mod sctp;
pub mod sequence;
mod serial_line;
pub mod session;
pub mod sip;
pub mod smb;
pub mod smtp;
pub mod snmp;
pub mod sparkplug;
pub mod sql;
pub mod ssdp;
pub mod ssh;
pub mod stp;
pub mod syslog;
pub mod tds;
pub mod telnet;
#[cfg(test)]
mod template;
#[cfg(test)]
mod testing;
pub mod text;
pub mod tftp;
pub mod tls;
pub mod tns;
pub mod tristation;
pub mod uadp;
pub mod vnc;
pub mod vrrp;
pub mod ws_discovery;

pub use out::{
    Action, Change, Child, Claim, Confidence, Decode, Event, Evidence, Holds, Item, Object,
    Operation, Out, Outcome, Payload, Value, Violation, Who,
};
pub use pending::Pending;
pub use registry::{Carrier, Dissector, Probe, Protocol};
pub use sequence::{Counter, Numbered};
pub use session::{Input, Session, Side, Transport};
