//! Requests on one long stream of raw QUIC, many unanswered.

use std::collections::VecDeque;

use bytes::Bytes;

use super::client::open;
use super::{CHUNKS_PER_READ, HEADER_BYTES};
use crate::bench::error::BenchError;
use crate::bench::lanes::{Until, nanos};
use crate::bench::measure::{Sample, histogram, note};
use crate::bench::work::RawShape;
use crate::clock;
use std::time::Duration;

/// Keeps `in_flight` requests unanswered. As many as were answered together are sent together.
pub async fn pipelined(
    connection: &quinn::Connection,
    in_flight: usize,
    request: usize,
    reply: usize,
    until: Until,
) -> Result<Sample, BenchError> {
    let request = request.max(HEADER_BYTES);
    let began = clock::mono_now();
    let (mut send, mut recv) = open(connection, RawShape::Pipelined, request, reply).await?;
    let more = Bytes::from(vec![0; request * in_flight.max(1)]);
    let mut sent = VecDeque::from([began]);
    let mut times = histogram();
    let (mut begun, mut done, mut received) = (1u64, 0u64, 0usize);
    let mut chunks = [const { Bytes::new() }; CHUNKS_PER_READ];
    loop {
        let now = clock::mono_now();
        let wanted = match until {
            Until::Each(count) => count.saturating_sub(begun),
            Until::ElapsedMs(limit) if now.since(began) < Duration::from_millis(limit) => u64::MAX,
            Until::ElapsedMs(_) => 0,
        };
        let new = wanted.min((in_flight - sent.len()) as u64) as usize;
        if new > 0 {
            let bytes = more.slice(..new * request);
            send.write_chunk(bytes).await.map_err(BenchError::raw)?;
            sent.extend(std::iter::repeat_n(now, new));
            begun += new as u64;
        }
        if sent.is_empty() {
            break;
        }
        let count = recv
            .read_chunks(&mut chunks)
            .await
            .map_err(BenchError::raw)?;
        let count = count.ok_or_else(|| BenchError::raw("the server ended a stream"))?;
        received += chunks[..count].iter().map(Bytes::len).sum::<usize>();
        let now = clock::mono_now();
        for sent in sent.drain(..(received / reply).min(sent.len())) {
            note(&mut times, nanos(now.since(sent)), 1);
            done += 1;
        }
        received %= reply;
    }
    Ok(Sample {
        ops: done,
        bytes: done * request as u64,
        elapsed: clock::mono_now().since(began),
        times,
        cpu: Duration::ZERO,
    })
}
