//! Waypost: durable publish/subscribe over QUIC without a broker in the data path.
#![deny(missing_docs)]

pub mod clock;
pub mod index;
pub mod limits;
pub mod transport;
pub mod types;
pub mod wire;
