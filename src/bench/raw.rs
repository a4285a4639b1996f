//! The baselines: plain quinn with the same TLS, and plain `fdatasync`.
//!
//! The arrangement is the fastest found (docs/PERFORMANCE.md): one thread per process, requests
//! answered inside the accept loop where they have come whole, no framing beyond a header of fixed
//! size, received bytes counted and dropped.

mod bulk;
mod client;
mod disk;
mod pipelined;
mod prepare;
mod server;

use bulk::BulkLane;
use client::{EchoLane, Handshakes, RawClient};
use disk::SyncLane;
use pipelined::pipelined;
pub(super) use prepare::prepare;
pub(super) use server::RawListener;

use super::error::BenchError;
use super::work::RawShape;

/// The protocol's name in the handshake.
const ALPN: &[u8] = b"waypost-bench-raw/1";
/// Bytes of the header that opens every stream, inside of its first request.
pub(super) const HEADER_BYTES: usize = 16;
/// Chunks of bulk transfers, as Waypost's frames are.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that are taken from QUIC at once.
const CHUNKS_PER_READ: usize = 32;

/// What a stream is for: `u8 shape · 3 × 0 · u32 request · u64 reply`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    shape: RawShape,
    request: usize,
    reply: usize,
}

impl Header {
    fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.shape as u8;
        bytes[4..8].copy_from_slice(&(self.request as u32).to_le_bytes());
        bytes[8..].copy_from_slice(&(self.reply as u64).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Header, BenchError> {
        let short = || BenchError::raw("a stream without a header");
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or_else(short)?;
        let shapes = [
            RawShape::Echo,
            RawShape::Pipelined,
            RawShape::Download,
            RawShape::Upload,
        ];
        let shape = shapes.into_iter().find(|shape| *shape as u8 == bytes[0]);
        let (request, reply) = bytes[4..].split_at(4);
        Ok(Header {
            shape: shape.ok_or_else(|| BenchError::raw("a stream of unknown shape"))?,
            // The lengths are those of the split above.
            request: request
                .iter()
                .rev()
                .fold(0, |sum, b| sum << 8 | *b as usize),
            reply: reply.iter().rev().fold(0, |sum, b| sum << 8 | *b as usize),
        })
    }
}

#[cfg(test)]
mod tests;
