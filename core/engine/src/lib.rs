//! Frames in, batches of facts out: shards, roles, counting, copies, journal.
//!
//! | module | subject |
//! |---|---|
//! | [`run`] | blocks of frames in, batches out: threads and shards |
//! | [`replay`] | a run over capture files |
//! | [`live`] | a run over interfaces: ticks, blind times, journal, packet ring |
//! | [`canary`] | the made frame that shows that the way works |
//! | [`input`] | frames with a clock, in blocks |
//! | [`shard`] | one virtual shard: flows, connections, operations |
//! | [`flow`] | one 5-tuple: its streams, its dissector, its roles |
//! | [`conversation`] | counting of connections and operations |
//! | [`stack`] | what a TCP stack says of itself |
//! | [`copies`], [`attempts`] | what counts once, what became no connection |
//! | [`holders`], [`lans`] | addresses that move, networks that are there twice |
//! | [`contexts`] | what long-lived connections agreed, over a restart |
//! | [`merge`] | outputs of shards into batches |
//! | [`facts`], [`keys`] | what crosses into Python, and ids |
//! | [`journal`] | segments on disk |
//! | [`spaces`] | address spaces |
//! | [`trace`] | what a dissector says, frame by frame |
//! | [`slice`] | wanted frames out of the packet ring |

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod attempts;
pub mod canary;
pub mod contexts;
pub mod conversation;
pub mod copies;
pub mod facts;
pub mod flow;
pub mod holders;
pub mod input;
pub mod journal;
pub mod keys;
pub mod lanes;
pub mod lans;
pub mod live;
pub mod merge;
pub mod output;
#[cfg(feature = "python")]
mod python;
pub mod replay;
pub mod run;
pub mod shard;
pub mod slice;
pub mod spaces;
pub mod stack;
pub mod trace;
