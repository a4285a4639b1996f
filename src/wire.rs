//! The formats on the wire: a codec only. docs/WIRE.md draws them.
//!
//! Guarantees: bytes from the network become values that are valid and bounded, or a typed error;
//! nothing here panics on any input. Must not know quinn, tasks or disks.

pub mod batch;
pub mod error;
pub mod frame;
pub mod index;
mod message;
pub mod pass;
pub mod peer;

pub use error::{ErrorCode, ErrorReply, Retry};
pub use frame::{DecodeError, Frame, FrameDecoder};
pub use message::{Message, Request, WireRequest};

/// The protocol of the index, current version.
pub const ALPN_INDEX: &[u8] = b"waypost-index/1";
/// The protocol of a peer, current version.
pub const ALPN_PEER: &[u8] = b"waypost-peer/1";
