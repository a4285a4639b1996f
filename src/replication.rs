//! Replication and failover: who keeps copies of a topic, who may acknowledge, who is host next. Pure.
//!
//! Every machine here is `handle(event, now) -> effects`, or a plain function of plain data: the model
//! checker (`tests/replication_model.rs`), the simulator (`tests/replication_sim.rs`) and production run
//! the same code. docs/REPLICATION.md has the protocol, its ten rules, and who is to call what.
//!
//! | module | subject |
//! |---|---|
//! | [`members`], [`epochs`] | sets of peers; which epoch wrote which stretch of a log |
//! | [`configuration`] | a topic's record as far as it concerns copies, and proposals to change it |
//! | [`host`] | one topic at its host: the in-sync set, the high watermark |
//! | [`replica`], [`acks`] | one topic at a replica: reconcile, accept in order, acknowledge after the sync |
//! | [`hosting`], [`following`] | all topics of a pair of peers on one stream, at both ends |
//! | [`manager`] | the index's side: changes of the set, elections, hand-over, repair, recovery |
//! | [`held`] | messages that the index keeps while no host is live |
//! | [`rules`] | the ten rules, each of which tests may switch off to see it missed |
//!
//! Guarantees: acknowledgements never depend on clocks; nothing is acknowledged, nor visible, that is
//! not durable at every peer that could be elected. Must not know files, sockets, clocks or random
//! numbers, nor anything but [`crate::types`] and [`crate::limits`].

pub mod acks;
pub mod configuration;
pub mod epochs;
pub mod following;
pub mod held;
pub mod host;
pub mod hosting;
pub mod manager;
pub mod members;
pub mod replica;
pub mod rules;

#[cfg(test)]
mod tests;
