//! Waypost: durable publish/subscribe over QUIC without a broker in the data path.
#![deny(missing_docs)]

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
pub mod peer;
pub mod telemetry;
pub mod text;
pub mod transport;
pub mod types;
pub mod wire;
