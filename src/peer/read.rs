//! What pull and follow share: where to start, reading without blocking the runtime, sending.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::host::{Caller, Host};
use crate::client::describe;
use crate::journal::{CachedRead, Journal, Position, PositionKey, ReadError, Slice, TopicStat};
use crate::limits;
use crate::transport::{CallError, FrameSender};
use crate::types::{Epoch, Group, Offset, TopicId};
use crate::wire::batch;
use crate::wire::peer::{Data, PositionValue, ReadFrom};
use crate::wire::{ErrorCode, ErrorReply};

/// The caller's position in a topic.
pub(super) fn position(
    host: &Host,
    caller: &Caller,
    topic: TopicId,
    group: &Group,
) -> Option<PositionValue> {
    let key = PositionKey {
        subscriber: caller.fingerprint,
        group: group.clone(),
    };
    host.journal.position(topic, &key).map(position_value)
}

/// A position as it travels.
pub(super) fn position_value(position: Position) -> PositionValue {
    PositionValue {
        next: position.next,
        sequence: position.sequence,
    }
}

/// The offset that `from` means now. A start below what is kept is moved up to it, for that is
/// what retention does to a reader; a start beyond the end is an error.
pub(super) fn resolve(
    host: &Host,
    caller: &Caller,
    topic: &TopicStat,
    from: &ReadFrom,
) -> Result<Offset, ErrorReply> {
    let wanted = match from {
        ReadFrom::Start => topic.start,
        ReadFrom::End => topic.end,
        ReadFrom::Offset(offset) => *offset,
        ReadFrom::Last(count) => Offset(topic.end.0.saturating_sub(*count)),
        ReadFrom::Position(group) => {
            position(host, caller, topic.id, group).map_or(topic.start, |position| position.next)
        }
    };
    if wanted > topic.end {
        // A new host does not know yet how far what it has is committed: the reader may have had it of
        // the host before.
        let durable = host.journal.topic(topic.id).map(|topic| topic.end);
        if durable.is_some_and(|durable| wanted <= durable) {
            return Err(ErrorReply::new(
                ErrorCode::NotYetVisible,
                format!(
                    "offset {wanted} of topic '{}' is not known to be at all copies yet, which end at \
                     {} so far; try again",
                    topic.name, topic.end
                ),
            ));
        }
        if let ReadFrom::Position(group) = from {
            return Err(ErrorReply::new(
                ErrorCode::Diverged,
                format!(
                    "the position {wanted} of group '{group}' in topic '{}' lies beyond its end {}: messages \
                     were given up since it was set (topic recover); to go on, read from there: --from {}",
                    topic.name, topic.end, topic.end
                ),
            ));
        }
        return Err(ErrorReply::new(
            ErrorCode::OffsetOutOfRange,
            format!(
                "offset {wanted} of topic '{}' lies beyond its end; it holds {} to {}",
                topic.name,
                topic.start,
                topic.end.0.saturating_sub(1)
            ),
        ));
    }
    Ok(wanted.max(topic.start))
}

/// Whether the log here goes on where a reader stands: `after` is the epoch of the message before
/// `from`, as it was read at whatever host. What a reader has read was committed, so that another epoch
/// there means that messages were given up.
pub(super) fn continues(
    host: &Host,
    topic: &TopicStat,
    from: &ReadFrom,
    after: Option<Epoch>,
) -> Result<(), ErrorReply> {
    let (ReadFrom::Offset(from), Some(after)) = (from, after) else {
        return Ok(());
    };
    if after.grant > topic.grant {
        return Err(ErrorReply::new(
            ErrorCode::StaleEpoch,
            format!(
                "topic '{}' was read under epoch {after}, which this peer does not know; another one hosts it",
                topic.name
            ),
        ));
    }
    let Some(copy) = host.journal.copy(topic.id) else {
        return Ok(());
    };
    let before = Offset(from.0.saturating_sub(1));
    // What retention has dropped cannot be compared.
    if before < copy.log.start()
        || before < copy.log.end() && copy.log.epochs().at(before) == Some(after)
    {
        return Ok(());
    }
    let common = copy.log.common(Some(after));
    let parts = common.map_or(copy.log.start(), |(_, end)| end.min(before));
    Err(ErrorReply::new(
        ErrorCode::Diverged,
        format!(
            "topic '{}' is not what was read of it before: from offset {parts} on messages were given up \
             (topic recover); to go on with what there is now: --from {parts}",
            topic.name
        ),
    ))
}

/// Reads as [`slice`] does what a reader may see: messages that all copies have.
pub(super) async fn visible(
    host: &Host,
    topic: TopicId,
    from: Offset,
    max_bytes: usize,
) -> Result<Slice, ErrorReply> {
    let Some(end) = host.replication.visible(topic)? else {
        return slice(&host.journal, topic, from, max_bytes).await;
    };
    if from >= end {
        return Ok(nothing_yet(from, end));
    }
    let read = slice(&host.journal, topic, from, max_bytes).await;
    let mut slice = read.inspect_err(|error| {
        if error.code() == ErrorCode::Damaged {
            host.replication.damaged(topic);
        }
    })?;
    // It lies between two batches.
    slice
        .batches
        .retain(|bytes| batch::read_header(bytes).is_ok_and(|header| header.base < end));
    slice.next = slice.next.min(end);
    slice.end = end;
    Ok(slice)
}

/// Reads up to `max_bytes` from the tail cache, else from the disk on a thread for blocking work.
/// An empty slice means that there is nothing at or after `from` yet.
pub(super) async fn slice(
    journal: &Journal,
    topic: TopicId,
    from: Offset,
    max_bytes: usize,
) -> Result<Slice, ErrorReply> {
    match journal.read_cached(topic, from, max_bytes) {
        CachedRead::Hit(slice) => return Ok(slice),
        CachedRead::End { end } => return Ok(nothing_yet(from, end)),
        // The disk's reader says in full what is wrong.
        CachedRead::Miss
        | CachedRead::Gone { .. }
        | CachedRead::OutOfRange { .. }
        | CachedRead::Unknown => {}
    }
    let journal = journal.clone();
    let read = tokio::task::spawn_blocking(move || journal.read(topic, from, max_bytes));
    match read.await {
        Ok(read) => read.map_err(|error| read_error(topic, &error)),
        Err(_) => Err(ErrorReply::new(
            ErrorCode::ShuttingDown,
            "the host is stopping",
        )),
    }
}

fn nothing_yet(from: Offset, end: Offset) -> Slice {
    Slice {
        batches: vec![],
        next: from,
        end,
    }
}

fn read_error(topic: TopicId, error: &ReadError) -> ErrorReply {
    let code = match error {
        ReadError::UnknownTopic(_) => ErrorCode::NotHost,
        ReadError::Gone { .. } | ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Damaged { .. } => ErrorCode::Damaged,
        ReadError::Io { .. } => ErrorCode::Internal,
    };
    if matches!(code, ErrorCode::Internal | ErrorCode::Damaged) {
        let error = describe(error);
        tracing::error!(%topic, %error, "reading the journal failed");
    }
    ErrorReply::new(code, error.to_string())
}

/// Messages in `batches` at or after `from`, and the first such offset.
pub(super) fn messages_from(batches: &[Bytes], from: Offset) -> u64 {
    let end = batches
        .last()
        .and_then(|last| batch::read_header(last).ok())
        .map_or(from, |header| header.end());
    end.0.saturating_sub(from.0)
}

/// Sends a slice as Data frames of about [`limits::DATA_FRAME_BYTES`], without copying batches.
pub(super) async fn send_slice(
    sender: &mut FrameSender,
    slot: u32,
    slice: &Slice,
) -> Result<(), CallError> {
    let mut rest = slice.batches.as_slice();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(frame_worth(rest));
        sender
            .send_with(
                &Data {
                    slot,
                    end: slice.end,
                },
                now,
            )
            .await?;
        rest = later;
    }
    Ok(())
}

/// How many of `batches` go into one frame: at least one.
fn frame_worth(batches: &[Bytes]) -> usize {
    let counted = batches.iter().try_fold((0, 0), |(count, bytes), batch| {
        let after = bytes + batch.len();
        if count > 0 && after > limits::DATA_FRAME_BYTES {
            ControlFlow::Break(count)
        } else {
            ControlFlow::Continue((count + 1, after))
        }
    });
    match counted {
        ControlFlow::Break(count) | ControlFlow::Continue((count, _)) => count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_take_what_fits_and_at_least_one_batch() {
        let of = |sizes: &[usize]| {
            let batches: Vec<Bytes> = sizes.iter().map(|&n| Bytes::from(vec![0; n])).collect();
            frame_worth(&batches)
        };
        assert_eq!(of(&[10, 10, 10]), 3);
        assert_eq!(of(&[limits::DATA_FRAME_BYTES + 1, 10]), 1);
        assert_eq!(of(&[limits::DATA_FRAME_BYTES, 1]), 1);
        assert_eq!(of(&[limits::DATA_FRAME_BYTES - 1, 1, 1]), 2);
    }
}
