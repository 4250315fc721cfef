//! Headers, fragments, reassembly and flows.
//!
//! Hostile bytes are read here through [`Cursor`] only; nothing in this crate does I/O, knows a
//! clock or allocates without a cap.
//!
//! | module | subject |
//! |---|---|
//! | [`cursor`] | the one reader of wire bytes |
//! | [`address`] | MAC and IP addresses as facts name them |
//! | [`span`] | where bytes came from: file, frame, offset |

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod address;
pub mod cursor;
pub mod span;

pub use address::{Address, Mac};
pub use cursor::{Cursor, Short};
pub use span::{FrameSpan, SpanMap, Spans};
