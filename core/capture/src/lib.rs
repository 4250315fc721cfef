//! Where frames come from: capture files, read up to the break, and live interfaces.
//!
//! | module | subject |
//! |---|---|
//! | [`file`] | one pcap or pcapng file, plain or compressed |
//! | [`merge`] | several files as one stream in time order |
//! | [`link_type`] | names of link types |
//! | [`write`] | frames back into a pcapng file |
//! | [`filter`] | which frames are wanted: classic BPF programs |
//! | `ring` | frames of a live interface (Linux) |
//! | `nic` | what is known of an interface (Linux) |
//! | `sandbox` | giving up every right that capture does not need (Linux) |

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod file;
pub mod filter;
pub mod link_type;
pub mod merge;
#[cfg(target_os = "linux")]
pub mod nic;
#[cfg(target_os = "linux")]
pub mod ring;
#[cfg(target_os = "linux")]
pub mod sandbox;
pub mod write;

pub use file::{CaptureFile, Error, FrameHeader};
pub use link_type::LinkType;
pub use merge::Merged;
