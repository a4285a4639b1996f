//! The index: who exists, who hosts what, who subscribes to what, and where.
//!
//! | module | subject |
//! |---|---|
//! | `record` | durable records, their bytes, and changes made of them |
//! | `directory` | everything in memory; pure |
//! | `decide` | what an event does; pure |
//! | `session` | who is live, by heartbeats; pure |
//! | `assign` | what one host is told, in which frames; pure |
//! | `store` | where changes become durable: redb, memory |
//! | `decider` | the thread that decides, commits, applies |
//!
//! Guarantees: whatever was answered is durable; readers see committed state only; a name belongs to
//! one key, an epoch to one process.

pub mod admission;
pub mod assign;
pub mod decide;
pub mod decider;
pub mod directory;
pub mod listing;
pub mod load;
mod log;
pub mod record;
pub mod server;
pub mod session;
pub mod store;
pub mod waiters;
