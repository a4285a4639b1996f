//! Copies of topics at this peer: those that it hosts for others, those that it keeps of others' topics.
//!
//! | module | subject |
//! |---|---|
//! | `peers` | numbers for keys, for the machines |
//! | `frames` | frames between replica and host |
//!
//! The decisions are [`crate::replication`]'s; here is what carries them out.
#![allow(dead_code)] // until both halves are wired

pub(in crate::peer) mod frames;
pub(in crate::peer) mod peers;
