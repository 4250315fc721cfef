//! Where frames come from and where they stay: capture files, live sources, the packet ring.
//!
//! | module | subject |
//! |---|---|
//! | [`file`] | one pcap or pcapng file, plain or compressed |
//! | [`merge`] | several files as one stream in time order |
//! | [`link_type`] | names of link types |
//! | [`write`] | frames back into a pcapng file |
//! | [`source`] | live sources, and a pipe as one |
//! | [`packet_ring`] | the latest frames on disk, with an index |
//! | [`filter`] | which frames are wanted: classic BPF programs |
//! | `ring` | frames of a live interface (Linux) |
//! | `interface` | a live interface as a source (Linux) |
//! | `nic` | what is known of an interface (Linux) |
//! | `sandbox` | giving up every right that capture does not need (Linux) |

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod file;
pub mod filter;
#[cfg(target_os = "linux")]
pub mod interface;
pub mod link_type;
pub mod merge;
#[cfg(target_os = "linux")]
pub mod nic;
pub mod packet_ring;
#[cfg(target_os = "linux")]
pub mod ring;
#[cfg(target_os = "linux")]
pub mod sandbox;
pub mod source;
pub mod write;

pub use file::{CaptureFile, Error, FrameHeader};
pub use link_type::LinkType;
pub use merge::Merged;
