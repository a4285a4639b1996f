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

use std::future::{Future, poll_fn};
use std::net::UdpSocket;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use quinn::{ReadError, RecvStream};
use rustix::net::sockopt;

use super::error::BenchError;
use super::work::RawShape;
use crate::limits;

/// The protocol's name in the handshake.
const ALPN: &[u8] = b"waypost-bench-raw/1";
/// Bytes of the header that opens every stream, inside of its first request.
pub(super) const HEADER_BYTES: usize = 16;
/// Chunks of bulk transfers, as Waypost's frames are.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that are taken from QUIC at once.
const CHUNKS_PER_READ: usize = 32;
/// So many where all that comes fits a packet: one, and a place to see that nothing follows. Each place takes
/// time.
const CHUNKS_PER_SHORT_READ: usize = 2;
/// What surely fits a packet.
const SHORT_BYTES: usize = 1_000;

/// A socket on loopback with the receive buffer that Waypost asks for: without it bursts are lost,
/// and a baseline must not be slow for that.
fn endpoint(server: Option<quinn::ServerConfig>) -> Result<quinn::Endpoint, BenchError> {
    let doing = || BenchError::io("opening a raw socket");
    let socket = UdpSocket::bind(("127.0.0.1", 0)).map_err(doing())?;
    // The system gives what it allows.
    let _ = sockopt::set_socket_recv_buffer_size(&socket, limits::SOCKET_BUFFER_BYTES);
    let runtime = Arc::new(quinn::TokioRuntime);
    quinn::Endpoint::new(quinn::EndpointConfig::default(), server, socket, runtime).map_err(doing())
}

/// Reads to the end of a stream on which some `expected` bytes come; answers how many came.
async fn read_all(recv: RecvStream, expected: usize) -> Result<usize, ReadError> {
    if expected <= SHORT_BYTES {
        read_by::<CHUNKS_PER_SHORT_READ>(recv).await
    } else {
        read_by::<CHUNKS_PER_READ>(recv).await
    }
}

async fn read_by<const N: usize>(mut recv: RecvStream) -> Result<usize, ReadError> {
    let mut bytes = 0;
    // The places are on the stack: as a part of the future they would be moved and allocated with it.
    let mut read = |context: &mut Context<'_>| {
        let mut chunks = [const { Bytes::new() }; N];
        let count = ready!(pin!(recv.read_chunks(&mut chunks)).poll(context));
        let sum = |count| chunks[..count].iter().map(Bytes::len).sum::<usize>();
        Poll::Ready(count.map(|count| count.map(sum)))
    };
    while let Some(came) = poll_fn(&mut read).await? {
        bytes += came;
    }
    Ok(bytes)
}

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
