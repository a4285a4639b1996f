//! stub
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::{CallError, FrameReceiver, FrameSender};
use crate::types::Fingerprint;
use crate::wire::{ErrorCode, Request};

/// One connection; cheap to clone.
#[derive(Clone)]
pub struct Connection {}

impl Connection {
    /// The peer's key.
    pub fn peer(&self) -> Fingerprint {
        todo!()
    }
    /// Its address.
    pub fn remote_addr(&self) -> SocketAddr {
        todo!()
    }
    /// Whether it is gone.
    pub fn is_closed(&self) -> bool {
        todo!()
    }
    /// Waits until it is gone.
    pub async fn closed(&self) -> CallError {
        todo!()
    }
    /// Round-trip time.
    pub fn rtt(&self) -> Duration {
        todo!()
    }
    /// For figures.
    pub fn quinn(&self) -> &quinn::Connection {
        todo!()
    }
    /// First frame.
    pub fn set_first_frame(&self, _frame: Bytes) {
        todo!()
    }
    /// Request and reply.
    pub async fn request<R: Request>(&self, _request: &R) -> Result<R::Reply, CallError> {
        todo!()
    }
    /// With payload.
    pub async fn request_with<R: Request>(
        &self,
        _request: &R,
        _payload: &[Bytes],
        _timeout: Duration,
    ) -> Result<R::Reply, CallError> {
        todo!()
    }
    /// Long stream. Dropping the sender finishes it.
    pub async fn open<R: Request>(
        &self,
        _request: &R,
    ) -> Result<(FrameSender, FrameReceiver), CallError> {
        todo!()
    }
    /// Closes.
    pub fn close(&self, _code: ErrorCode, _reason: &str) {
        todo!()
    }
    /// Raises limits once a pass was verified.
    pub fn raise_limits(&self) {
        todo!()
    }
}
