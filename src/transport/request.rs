//! One request at the serving side: read within deadlines, answered once.

use std::sync::Arc;

use bytes::Bytes;

use super::endpoint::Deadlines;
use super::error::CallError;
use super::stream::{FrameReceiver, FrameSender, within};
use crate::limits;
use crate::wire::{DecodeError, ErrorCode, ErrorReply, Frame, Message};

/// One request, to be read and answered. Dropped without an answer, the stream is reset.
#[derive(Debug)]
pub struct RequestStream {
    sender: FrameSender,
    receiver: FrameReceiver,
    deadlines: Arc<Deadlines>,
}

impl RequestStream {
    pub(super) fn new(
        send: quinn::SendStream,
        recv: quinn::RecvStream,
        deadlines: &Arc<Deadlines>,
    ) -> Self {
        RequestStream {
            sender: FrameSender::new(send, Some(ErrorCode::Internal)),
            receiver: FrameReceiver::new(recv, limits::METADATA_REQUEST_BYTES),
            deadlines: deadlines.clone(),
        }
    }

    /// The first frame, and called again the next one: its first byte must come within
    /// [`limits::REQUEST_HEADER_TIMEOUT`], all of it within [`limits::REQUEST_BODY_TIMEOUT`], and
    /// it may have [`limits::METADATA_REQUEST_BYTES`] until [`RequestStream::set_max`] says
    /// otherwise. After an error the other side is told to stop; an error reply may still be sent.
    /// Cancellation safe, except that the deadlines start anew.
    pub async fn first(&mut self) -> Result<Frame, CallError> {
        let result = match self.frame_in_time().await {
            Ok(Some(frame)) => return Ok(frame),
            Ok(None) => Err(DecodeError::Ended {
                expected: "a request",
            }
            .into()),
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            self.give_up(code_of(error));
        }
        result
    }

    /// Raises the bound of frames to come, for requests with a payload.
    pub fn set_max(&mut self, bytes: usize) {
        self.receiver.set_max(bytes);
    }

    /// Answers and ends the stream; waits at most [`limits::REQUEST_BODY_TIMEOUT`] for a reader
    /// that takes nothing. A caller that is gone is no error here. Cancelled, the stream is reset.
    pub async fn reply<M: Message>(self, message: &M) {
        self.reply_with(message, &[]).await;
    }

    /// As [`RequestStream::reply`], with a payload.
    pub async fn reply_with<M: Message>(mut self, message: &M, payload: &[Bytes]) {
        self.put(message, payload);
        self.send().await;
    }

    /// Answers with an error, tells the other side to stop sending, and ends the stream.
    pub async fn reply_error(mut self, error: &ErrorReply) {
        self.put_error(error);
        self.send().await;
    }

    /// Makes the answer, which [`RequestStream::send`] sends.
    pub fn put_result<M: Message>(&mut self, result: &Result<M, ErrorReply>) {
        match result {
            Ok(reply) => self.put(reply, &[]),
            Err(why) => self.put_error(why),
        }
    }

    /// Sends the answer that was made, as [`RequestStream::reply`] does.
    pub async fn send(&mut self) {
        let limit = self.deadlines.request_body;
        match within(limit, self.sender.flush()).await {
            Ok(Ok(())) => self.sender.finish(),
            Ok(Err(error)) => tracing::trace!(%error, "nobody takes a reply"),
            Err(_) => self.sender.reset(ErrorCode::TimedOut),
        }
    }

    fn put<M: Message>(&mut self, message: &M, payload: &[Bytes]) {
        self.receiver.poll_end();
        self.sender.buffer_with(message, payload);
    }

    /// Makes an error the answer, and tells the other side to stop sending.
    pub fn put_error(&mut self, error: &ErrorReply) {
        if !self.receiver.poll_end() {
            self.receiver.stop(error.code());
        }
        self.sender.buffer(error);
    }

    /// Both halves, for long streams. The sender, dropped unfinished, resets the stream.
    pub fn into_parts(self) -> (FrameSender, FrameReceiver) {
        (self.sender, self.receiver)
    }

    async fn frame_in_time(&mut self) -> Result<Option<Frame>, CallError> {
        let header = self.deadlines.request_header;
        let body = self.deadlines.request_body;
        if let Ok(result) = within(header, self.receiver.next()).await {
            return result;
        }
        if !self.receiver.has_begun() {
            return Err(CallError::Timeout {
                what: "the first byte of a request",
                after: header,
            });
        }
        let left = body.saturating_sub(header);
        match tokio::time::timeout(left, self.receiver.next()).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Timeout {
                what: "the rest of a request",
                after: body,
            }),
        }
    }

    /// Stops the other side, and makes the reset of an unanswered stream say why.
    fn give_up(&mut self, code: ErrorCode) {
        self.receiver.stop(code);
        self.sender.reset_on_drop(code);
    }
}

/// The code that tells the other side what was wrong with its request.
fn code_of(error: &CallError) -> ErrorCode {
    match error {
        CallError::Remote(reply) => reply.code(),
        CallError::Decode(error) => ErrorReply::from(error.clone()).code(),
        CallError::Timeout { .. } => ErrorCode::TimedOut,
        _ => ErrorCode::Internal,
    }
}
