//! Fetching what a host remembers of a topic's producers.

use crate::journal::DedupeRange;
use crate::limits;
use crate::transport::{CallError, Connection};
use crate::types::ProducerId;
use crate::wire::peer::replication::{DedupeTable, FetchDedupe};

/// What is remembered, in the order of the host's frames, which is that of the appends.
pub(super) async fn fetch(
    connection: &Connection,
    request: &FetchDedupe,
) -> Result<Vec<(ProducerId, DedupeRange)>, CallError> {
    let (_sender, mut receiver) = connection.open(request).await?;
    receiver.set_max(limits::FRAME_BYTES);
    let mut all = Vec::new();
    loop {
        let table: DedupeTable = receiver.expect().await?;
        let ranges = table.ranges.into_iter().map(|range| {
            let known = DedupeRange {
                sequence: range.sequence,
                offset: range.offset,
                count: range.count,
            };
            (range.producer, known)
        });
        // A host must not fill our memory: it remembers so much at most.
        let most = limits::PRODUCERS_PER_TOPIC * limits::RANGES_PER_PRODUCER;
        all.extend(ranges.take(most.saturating_sub(all.len())));
        if !table.more {
            return Ok(all);
        }
    }
}
