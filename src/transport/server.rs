//! stub
use std::sync::Arc;

use bytes::Bytes;

use super::{CallError, Connection, Endpoint, FrameReceiver, FrameSender};
use crate::wire::{ErrorReply, Frame, Message};

/// What a role does with its connections.
pub trait Service: Send + Sync + 'static {
    /// Per-connection state.
    type Conn: Send + Sync + 'static;
    /// After the handshake.
    fn connected(&self, connection: &Connection, alpn: &[u8]) -> Result<Self::Conn, ErrorReply>;
    /// One request stream.
    fn stream(
        self: Arc<Self>,
        conn: Arc<Self::Conn>,
        connection: Connection,
        request: RequestStream,
    ) -> impl Future<Output = ()> + Send;
    /// The connection is gone.
    fn disconnected(&self, conn: &Self::Conn);
    /// Whether the key alone decides about the limits.
    fn known_at_once(&self) -> bool;
}

/// One request, to be read and answered.
pub struct RequestStream {}

impl RequestStream {
    /// The first (or next) frame within the deadlines.
    pub async fn first(&mut self) -> Result<Frame, CallError> {
        todo!()
    }
    /// Raises the bound of frames.
    pub fn set_max(&mut self, _bytes: usize) {
        todo!()
    }
    /// Answers and finishes.
    pub async fn reply<M: Message>(self, _m: &M) {
        todo!()
    }
    /// Answers with payload and finishes.
    pub async fn reply_with<M: Message>(self, _m: &M, _payload: &[Bytes]) {
        todo!()
    }
    /// Answers with an error and finishes.
    pub async fn reply_error(self, _e: &ErrorReply) {
        todo!()
    }
    /// For long streams.
    pub fn into_parts(self) -> (FrameSender, FrameReceiver) {
        todo!()
    }
}

/// Accepts connections until `shutdown`.
pub async fn serve<S: Service>(
    _endpoint: Endpoint,
    _service: Arc<S>,
    _shutdown: impl Future<Output = ()>,
) {
    todo!()
}
