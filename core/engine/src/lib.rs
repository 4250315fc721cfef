//! Frames in, batches of facts out: shards, roles, counting, copies, journal.

pub mod facts;
