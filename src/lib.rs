//! Waypost: durable publish/subscribe over QUIC without a broker in the data path.
//!
//! A small **index** knows which peer hosts which topic; **peers** keep the messages of the topics that
//! they host in a journal and serve them to each other directly.
//!
//! ```text
//!   publish:   client::Publisher ──append──► peer::append ──► journal ──fdatasync──► acknowledged
//!   read:      client::pull/follow ◄──Data── peer::pull/follow ◄── journal (tail cache, else disk)
//!   who, where: client::IndexLink ──lookup──► index::server (from memory)
//!   changes:   index::server ──► index::decide (pure) ──► index::store ──► answered
//!   hosting:   peer::control ◄──assignments── index, and ──reports──► index
//!   copies:    peer::replication at the host ──what is written──► peer::replication at each replica
//! ```
//!
//! From the bottom up; each module knows only what stands above it in this table:
//!
//! | module | subject |
//! |---|---|
//! | [`types`], [`limits`], [`clock`], [`memory`], [`lock`], [`text`] | words, bounds, time, what the allocator is told, one process per folder, safe text |
//! | [`replication`] | copies, in-sync sets, elections: pure; hosts, replicas and the index call it |
//! | [`wire`] | what travels: frames, messages, batches, errors; a codec only |
//! | [`transport`] | QUIC with pinned keys: identities, endpoints, requests, streams |
//! | [`journal`] | what a peer keeps: one log for all topics, group commit, recovery |
//! | [`index`] | who exists, who hosts, who subscribes: pure decisions, a store, a server |
//! | [`client`] | the library: publish, pull, follow, topics, subscriptions |
//! | [`peer`] | a hosting peer: serves a journal, keeps a session with the index |
//! | [`bench`](mod@bench) | load generation, baselines, the report |
//! | [`config`], [`telemetry`], [`cli`] | what people type, read and configure |
//!
//! To embed: [`client::Client`], [`peer::run`], [`index::server::run`]. docs/ has ARCHITECTURE, WIRE,
//! JOURNAL, REPLICATION and SAFETY.
#![deny(missing_docs)]

pub mod bench;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
#[doc(hidden)]
pub mod fuzzing;
pub mod index;
pub mod journal;
pub mod limits;
pub mod lock;
pub mod memory;
pub mod peer;
pub mod replication;
mod scratch;
pub mod telemetry;
pub mod text;
pub mod transport;
pub mod types;
pub mod wire;
