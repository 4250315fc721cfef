//! Headers, fragments, reassembly and flows.
//!
//! Hostile bytes are read here through [`Cursor`] only; nothing in this crate does I/O, knows a
//! clock or allocates without a cap.
//!
//! | module | subject |
//! |---|---|
//! | [`cursor`] | the one reader of wire bytes |
//! | [`address`] | MAC and IP addresses as facts name them |
//! | [`packet`] | link, VLAN, tunnel, IP and transport headers of a frame |
//! | [`defragment`] | IP fragments into datagrams |
//! | [`stream`] | TCP segments into a byte stream |
//! | [`span`] | where bytes came from: file, frame, offset |

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod address;
pub mod cursor;
pub mod defragment;
pub mod packet;
pub mod span;
pub mod stream;

pub use address::{Address, AddressNumber, Bus, Mac};
pub use cursor::{Cursor, Short};
pub use packet::{Kind, Packet, TcpHeader};
pub use span::{FrameSpan, SpanMap, Spans};
