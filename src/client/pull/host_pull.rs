//! One pull at one host: how the answer begins, and then what comes, verified while the processor still has
//! it at hand.

use std::time::Duration;

use bytes::Bytes;

use super::PullOptions;
use crate::client::message::Delivery;
use crate::limits;
use crate::transport::{CallError, Connection, FrameReceiver};
use crate::types::{Offset, TopicName};
use crate::wire::batch::{self, BatchError};
use crate::wire::index::Route;
use crate::wire::peer::{Data, Pull, PullStarted};
use crate::wire::{DecodeError, ErrorCode, ErrorReply, Frame, Message};

/// Data of a pull must keep coming; this long without any is a failure.
const DATA_TIMEOUT: Duration = Duration::from_secs(15);

/// The answer to a pull, as it comes.
#[derive(Debug)]
pub(super) struct HostPull {
    pub(super) started: PullStarted,
    receiver: FrameReceiver,
    topic: TopicName,
    next: Offset,
    end: Offset,
}

/// What came, or why it is no messages: a batch that does not verify is the host's fault, and no reason to
/// ask again.
pub(super) type Verified = Result<Delivery, BatchError>;

impl HostPull {
    /// Asks, and waits until the answer begins.
    pub(super) async fn open(
        connection: &Connection,
        route: &Route,
        topic: &TopicName,
        options: &PullOptions,
    ) -> Result<HostPull, CallError> {
        let request = Pull {
            topic: route.topic,
            epoch: route.epoch,
            from: options.from.clone(),
            max_bytes: options.max_bytes,
            max_messages: options.max_messages,
            wait_ms: u32::try_from(options.wait.as_millis()).unwrap_or(u32::MAX),
            group: options.group.clone(),
        };
        let (mut sender, mut receiver) = connection.open(&request).await?;
        sender.finish();
        receiver.set_max(limits::FRAME_BYTES);
        let patience = options.wait + DATA_TIMEOUT;
        let started: PullStarted = match receiver.next_within(patience).await? {
            Some(frame) if frame.kind == ErrorReply::KIND => return Err(remote(&frame)?),
            Some(frame) => frame.decode()?,
            None => {
                let expected = PullStarted::NAME;
                return Err(DecodeError::Ended { expected }.into());
            }
        };
        Ok(HostPull {
            topic: topic.clone(),
            next: started.from,
            end: started.end,
            started,
            receiver,
        })
    }

    /// The messages that come next; `None` at the end. Cancellation safe.
    pub(super) async fn next(&mut self) -> Result<Option<Verified>, CallError> {
        let frame = self.receiver.next_within(DATA_TIMEOUT).await?;
        frame.map(|frame| self.verify(&frame)).transpose()
    }

    /// As [`HostPull::next`] if something is here already: nothing is waited for.
    pub(super) fn next_here(&mut self) -> Result<Option<Verified>, CallError> {
        let frame = self.receiver.next_here()?;
        frame.map(|frame| self.verify(&frame)).transpose()
    }

    fn verify(&mut self, frame: &Frame) -> Result<Verified, CallError> {
        if frame.kind == ErrorReply::KIND {
            return Err(remote(frame)?);
        }
        let (data, payload) = frame.decode_with_payload::<Data>()?;
        self.end = self.end.max(data.end);
        let batches = split_batches(payload)?;
        let delivery = Delivery::verified(&self.topic, self.next, self.end, batches);
        Ok(delivery.inspect(|delivery| self.next = delivery.next))
    }
}

/// Cuts a Data frame's payload into batches.
pub(in crate::client) fn split_batches(payload: Bytes) -> Result<Vec<Bytes>, CallError> {
    let (mut batches, mut rest) = (vec![], payload);
    while let Some((first, after)) = batch::split_first(&rest).map_err(bad_batch)? {
        batches.push(first);
        rest = after;
    }
    Ok(batches)
}

fn bad_batch(error: BatchError) -> CallError {
    CallError::Remote(ErrorReply::new(ErrorCode::CorruptBatch, error.to_string()))
}

fn remote(frame: &Frame) -> Result<CallError, CallError> {
    Ok(CallError::Remote(frame.decode::<ErrorReply>()?))
}
