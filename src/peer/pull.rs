//! Pull: read what is there, once.

use std::sync::Arc;
use std::time::Duration;

use super::host::{Caller, Host, call_error};
use super::read;
use super::tips::Watcher;
use super::traffic::Direction;
use crate::journal::{Slice, TopicStat};
use crate::limits;
use crate::transport::{CallError, FrameSender};
use crate::types::Offset;
use crate::wire::peer::{Pull, PullStarted};
use crate::wire::{ErrorCode, ErrorReply};

/// Bytes read from the disk at first: little enough that sending begins soon.
const FIRST_READ_BYTES: usize = 256 << 10;
/// Bytes read from the disk at a time, once as much has been sent.
const READ_BYTES: usize = 1 << 20;

/// How a pull ended early.
pub(super) enum PullError {
    /// The caller is told.
    Answer(ErrorReply),
    /// The caller has gone.
    Gone(CallError),
}

impl From<ErrorReply> for PullError {
    fn from(error: ErrorReply) -> Self {
        PullError::Answer(error)
    }
}

/// What a pull hears from a host that stops in the middle of it.
pub(super) fn stopping() -> PullError {
    PullError::Answer(ErrorReply::new(
        ErrorCode::ShuttingDown,
        "the host is stopping",
    ))
}

/// Ends the stream as the outcome demands. An error in the middle of the data is a frame too.
pub(super) async fn finish(mut sender: FrameSender, outcome: Result<(), PullError>) {
    match outcome {
        Ok(()) => {}
        Err(PullError::Answer(error)) => {
            let _ = sender.send(&error).await;
        }
        Err(PullError::Gone(error)) => {
            tracing::debug!(error = %call_error(error), "the caller of a pull has gone");
        }
    }
    sender.finish();
}

/// Serves one pull.
pub(super) async fn serve(
    host: &Host,
    caller: &Caller,
    request: &Pull,
    sender: &mut FrameSender,
) -> Result<(), PullError> {
    let Start { topic, from, first } = start(host, caller, request).await?;
    sender.buffer(&PullStarted {
        from,
        start: topic.start,
        end: topic.end,
        position: read::position(host, caller, topic.id, &request.group),
    });
    let sent = send_all(host, request, from, topic.end, first, sender).await?;
    sender.flush().await.map_err(PullError::Gone)?;
    if sent > from {
        let count = sent.0 - from.0;
        host.record_traffic(Direction::Retrieved, caller, &topic, from, count);
    }
    Ok(())
}

/// What is known before the answer starts. The first slice is read before, so that a pull of little
/// goes out in one write.
struct Start {
    topic: TopicStat,
    from: Offset,
    first: Slice,
}

async fn start(host: &Host, caller: &Caller, request: &Pull) -> Result<Start, ErrorReply> {
    loop {
        let topic = host.topic(request.topic)?;
        let from = read::resolve(host, caller, &topic, &request.from)?;
        let topic = wait_for_message(host, topic, from, request.wait_ms).await?;
        match read::visible(host, topic.id, from, budget(request.max_bytes, 0)).await {
            Ok(first) => return Ok(Start { topic, from, first }),
            // Retention was faster: resolve anew, which moves up to what is kept.
            Err(error) if error.code() == ErrorCode::OffsetOutOfRange => {
                if host.topic(request.topic)?.start <= from {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// How much to read next, of the bytes that may be sent yet and after those that have been: the next read
/// overlaps with sending, so that a reader of much gets large reads and one of little does not wait for them.
fn budget(left: u64, sent: u64) -> usize {
    let sent = usize::try_from(sent).unwrap_or(usize::MAX);
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    left.clamp(1, sent.clamp(FIRST_READ_BYTES, READ_BYTES))
}

/// Sends `first` and what follows it, up to the end as it was at the start and the request's
/// bounds. Returns the offset after the last message sent.
async fn send_all(
    host: &Host,
    request: &Pull,
    from: Offset,
    end: Offset,
    first: Slice,
    sender: &mut FrameSender,
) -> Result<Offset, PullError> {
    let mut slice = first;
    let mut next = from;
    let mut bytes_left = request.max_bytes;
    let mut bytes_sent = 0;
    let last = from.plus(request.max_messages);
    loop {
        keep_messages_below(&mut slice, last);
        let Some(bytes) = slice
            .batches
            .iter()
            .map(|b| b.len() as u64)
            .reduce(|a, b| a + b)
        else {
            return Ok(next);
        };
        let messages = read::messages_from(&slice.batches, next);
        next = next.plus(messages);
        bytes_left = bytes_left.saturating_sub(bytes);
        bytes_sent += bytes;
        let more = bytes_left > 0 && next < end && next < last;
        if !more {
            read::send_slice(sender, 0, &slice)
                .await
                .map_err(PullError::Gone)?;
            return Ok(next);
        }
        // The next read overlaps with sending.
        let (sent, read) = tokio::join!(
            read::send_slice(sender, 0, &slice),
            read::visible(host, request.topic, next, budget(bytes_left, bytes_sent)),
        );
        sent.map_err(PullError::Gone)?;
        slice = match read {
            // Retention has overtaken this pull; the next one starts at what is kept.
            Err(error) if error.code() == ErrorCode::OffsetOutOfRange => return Ok(next),
            read => read?,
        };
    }
}

/// Drops whole batches that begin at or after `last`.
fn keep_messages_below(slice: &mut Slice, last: Offset) {
    slice.batches.retain(|bytes| {
        crate::wire::batch::read_header(bytes).is_ok_and(|header| header.base < last)
    });
}

/// Waits until there is a message at `from`, at most `wait_ms`; answers the topic as it is then.
async fn wait_for_message(
    host: &Host,
    topic: TopicStat,
    from: Offset,
    wait_ms: u32,
) -> Result<TopicStat, ErrorReply> {
    if topic.end > from || wait_ms == 0 {
        return Ok(topic);
    }
    let wait = Duration::from_millis(u64::from(wait_ms)).min(limits::PULL_WAIT);
    let watcher = Arc::new(Watcher::default());
    let _watch = Watching::new(host, topic.id, &watcher);
    let moved = async {
        // The end may have moved before the watch stood.
        loop {
            let topic = host.topic(topic.id)?;
            if topic.end > from {
                return Ok(topic);
            }
            watcher.wait().await;
        }
    };
    match tokio::time::timeout(wait, moved).await {
        Ok(moved) => moved,
        Err(_) => host.topic(topic.id),
    }
}

/// A watch that ends with its owner, also when the pull is cancelled.
struct Watching<'a> {
    host: &'a Host,
    topic: crate::types::TopicId,
    watcher: Arc<Watcher>,
}

impl<'a> Watching<'a> {
    fn new(host: &'a Host, topic: crate::types::TopicId, watcher: &Arc<Watcher>) -> Self {
        host.tips.watch(topic, watcher, 0);
        Watching {
            host,
            topic,
            watcher: Arc::clone(watcher),
        }
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.host.tips.unwatch(self.topic, &self.watcher, 0);
    }
}
