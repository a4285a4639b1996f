//! Batches on their way into the index's store and out of it.

use bytes::Bytes;

use crate::index::record::{Table, held_key};
use crate::index::store::{Store, StoreError};
use crate::replication::held::Incoming;
use crate::types::TopicId;
use crate::wire::batch;
use crate::wire::index::copies::HeldBatch;
use crate::wire::{ErrorCode, ErrorReply};

/// What a batch brings, once it is verified: a host must be able to append it long after its publisher
/// is gone.
pub(super) fn checked(topic: TopicId, bytes: &Bytes) -> Result<Incoming, ErrorReply> {
    let header = batch::verify(bytes)
        .map_err(|error| ErrorReply::new(ErrorCode::CorruptBatch, error.to_string()))?;
    if header.topic != topic {
        let made_for = header.topic;
        return Err(ErrorReply::new(
            ErrorCode::CorruptBatch,
            format!("a batch made for topic {made_for} came for topic {topic}"),
        ));
    }
    Ok(Incoming {
        producer: header.producer,
        sequence: header.sequence,
        count: u64::from(header.count),
        bytes: bytes.len() as u64,
    })
}

/// The batches under these held sequences, which ascend. What was settled meanwhile is left out.
pub(super) fn read(
    store: &dyn Store,
    topic: TopicId,
    page: &[u64],
) -> Result<Vec<HeldBatch>, StoreError> {
    let (Some(&first), Some(&last)) = (page.first(), page.last()) else {
        return Ok(vec![]);
    };
    let before = first.checked_sub(1).map(|held| held_key(topic, held));
    let rows = store.scan(Table::HeldBatches, &topic.0, before.as_deref(), page.len())?;
    let batches = rows.into_iter().filter_map(|(key, batch)| {
        let held = u64::from_be_bytes(*key.last_chunk()?);
        (held <= last).then_some(HeldBatch { held, batch })
    });
    Ok(batches.collect())
}
