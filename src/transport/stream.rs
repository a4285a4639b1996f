//! stub
use std::time::Duration;

use bytes::Bytes;

use super::CallError;
use crate::wire::{ErrorCode, Frame, Message};

/// Frames out. Dropped without `finish`: finished on the dialling side, reset on the serving side.
pub struct FrameSender {}

impl FrameSender {
    /// Sends what is buffered and the message.
    pub async fn send<M: Message>(&mut self, _m: &M) -> Result<(), CallError> {
        todo!()
    }
    /// With payload.
    pub async fn send_with<M: Message>(
        &mut self,
        _m: &M,
        _payload: &[Bytes],
    ) -> Result<(), CallError> {
        todo!()
    }
    /// Adds to what the next flush sends.
    pub fn buffer<M: Message>(&mut self, _m: &M) {
        todo!()
    }
    /// With payload.
    pub fn buffer_with<M: Message>(&mut self, _m: &M, _payload: &[Bytes]) {
        todo!()
    }
    /// Bytes buffered.
    pub fn buffered(&self) -> usize {
        todo!()
    }
    /// Sends what is buffered. Cancelled, it may be called again and goes on where it was.
    pub async fn flush(&mut self) -> Result<(), CallError> {
        todo!()
    }
    /// FIN; what is buffered must have been flushed.
    pub fn finish(&mut self) {
        todo!()
    }
    /// Resets.
    pub fn reset(&mut self, _code: ErrorCode) {
        todo!()
    }
    /// Waits until the other side stops reading (an error), or has acknowledged everything after `finish` (Ok).
    pub async fn stopped(&mut self) -> Result<(), CallError> {
        todo!()
    }
    /// Higher goes first.
    pub fn set_priority(&self, _priority: i32) {
        todo!()
    }
}

/// Frames in.
pub struct FrameReceiver {}

impl FrameReceiver {
    /// Next frame; None: FIN between frames. Cancellation safe.
    pub async fn next(&mut self) -> Result<Option<Frame>, CallError> {
        todo!()
    }
    /// Next frame as a message.
    pub async fn expect<M: Message>(&mut self) -> Result<M, CallError> {
        todo!()
    }
    /// Next frame as a message with payload.
    pub async fn expect_with<M: Message>(&mut self) -> Result<(M, Bytes), CallError> {
        todo!()
    }
    /// With deadline.
    pub async fn next_within(&mut self, _timeout: Duration) -> Result<Option<Frame>, CallError> {
        todo!()
    }
    /// Bound of frames to come.
    pub fn set_max(&mut self, _bytes: usize) {
        todo!()
    }
    /// Tells the other side to stop.
    pub fn stop(&mut self, _code: ErrorCode) {
        todo!()
    }
}
