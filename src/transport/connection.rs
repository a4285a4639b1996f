//! One connection: requests, long streams, and what is known of the other side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;

use super::endpoint::Deadlines;
use super::error::{CallError, var_code};
use super::server::Admission;
use super::stream::{FrameReceiver, FrameSender};
use super::verify::fingerprint_of;
use crate::limits;
use crate::types::Fingerprint;
use crate::wire::{ErrorCode, Message as _, Request};

/// One connection; cheap to clone. It closes when the last clone is dropped.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

struct Inner {
    quinn: quinn::Connection,
    peer: Fingerprint,
    deadlines: Arc<Deadlines>,
    first_frame: FirstFrame,
    /// How much may be sent that is not acknowledged.
    send_window: AtomicU64,
    /// The account of an accepted connection; none on a dialled one.
    admission: Option<Arc<Admission>>,
}

impl Connection {
    /// `None` if the handshake left no certificate, which our verifiers do not let happen.
    pub(super) fn new(
        quinn: quinn::Connection,
        deadlines: Arc<Deadlines>,
        admission: Option<Arc<Admission>>,
    ) -> Option<Connection> {
        Some(Connection(Arc::new(Inner {
            peer: peer_of(&quinn)?,
            quinn,
            deadlines,
            first_frame: FirstFrame::default(),
            send_window: AtomicU64::new(limits::SEND_WINDOW_BYTES),
            admission,
        })))
    }

    /// The fingerprint of the key that the other side proved to hold.
    pub fn peer(&self) -> Fingerprint {
        self.0.peer
    }

    /// The other side's address as seen now.
    pub fn remote_addr(&self) -> SocketAddr {
        self.0.quinn.remote_address()
    }

    /// Whether it is gone, for whatever reason.
    pub fn is_closed(&self) -> bool {
        self.0.quinn.close_reason().is_some()
    }

    /// Waits until it is gone. Cancellation safe.
    pub async fn closed(&self) -> CallError {
        self.0.quinn.closed().await.into()
    }

    /// The round-trip time as QUIC estimates it.
    pub fn rtt(&self) -> Duration {
        self.0.quinn.rtt()
    }

    /// What lies below, for figures.
    pub fn quinn(&self) -> &quinn::Connection {
        &self.0.quinn
    }

    /// Sets an encoded frame that goes, once, before the request of the next stream opened here.
    pub fn set_first_frame(&self, frame: Bytes) {
        self.0.first_frame.set(frame);
    }

    /// Sends a request and waits for its reply, at most [`limits::REPLY_TIMEOUT`]. Cancelled, the
    /// other side may or may not have done what was asked.
    pub async fn request<R: Request>(&self, request: &R) -> Result<R::Reply, CallError> {
        self.request_with(request, &[], self.0.deadlines.reply)
            .await
    }

    /// As [`Connection::request`], with a payload and a deadline for the whole exchange.
    pub async fn request_with<R: Request>(
        &self,
        request: &R,
        payload: &[Bytes],
        timeout: Duration,
    ) -> Result<R::Reply, CallError> {
        match tokio::time::timeout(timeout, self.exchange(request, payload)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Timeout {
                what: R::Reply::NAME,
                after: timeout,
            }),
        }
    }

    /// Opens a long stream: sends the request and returns without waiting for the reply, which the
    /// caller reads with `receiver.expect::<R::Reply>()`. Waits while the other side allows no
    /// further stream. Cancelled, the stream is given up.
    pub async fn open<R: Request>(
        &self,
        request: &R,
    ) -> Result<(FrameSender, FrameReceiver), CallError> {
        let (sender, receiver, written) = self.start(request, &[], limits::FRAME_BYTES).await?;
        written?;
        Ok((sender, receiver))
    }

    /// Closes at once; what was not yet sent is lost. The other side's calls fail with this code
    /// and reason.
    pub fn close(&self, code: ErrorCode, reason: &str) {
        self.0.quinn.close(var_code(code), close_reason(reason));
    }

    /// Gives an accepted connection more streams and a larger window, out of the server's budget.
    /// The peer host calls it once a pass was verified.
    pub fn raise_limits(&self) {
        if let Some(admission) = &self.0.admission {
            admission.raise(&self.0.quinn, limits::CONNECTION_WINDOW_BYTES);
            self.0
                .quinn
                .set_max_concurrent_bi_streams(limits::STREAMS_PER_CONNECTION.into());
        }
    }

    /// Lets no more be under way than fills the path: called with each stream, for the first round trips are
    /// measured while both sides are busy with the handshake.
    pub(super) fn fit_send_window(&self) {
        let held = self.0.send_window.load(Ordering::Relaxed);
        if held == limits::SEND_WINDOW_MIN_BYTES {
            return;
        }
        let fitting = send_window(self.rtt());
        if fitting < held {
            self.0.send_window.store(fitting, Ordering::Relaxed);
            self.0.quinn.set_send_window(fitting);
        }
    }

    /// One write with request and end, then the reply.
    async fn exchange<R: Request>(
        &self,
        request: &R,
        payload: &[Bytes],
    ) -> Result<R::Reply, CallError> {
        let (mut sender, mut receiver, written) = self
            .start(request, payload, limits::METADATA_REPLY_BYTES)
            .await?;
        if written.is_ok() {
            sender.finish();
        }
        let reply = receiver.expect::<R::Reply>().await;
        receiver.poll_end();
        match (written, reply) {
            (_, Ok(reply)) => Ok(reply),
            // A server that stops a request early says why on the other half.
            (_, Err(CallError::Remote(error))) => Err(CallError::Remote(error)),
            (Err(error), Err(_)) => Err(error),
            (Ok(()), Err(error)) => Err(error),
        }
    }

    /// Opens a stream and writes the request; the outcome of the write stands apart, for the
    /// stream's other half may explain it.
    async fn start<R: Request>(
        &self,
        request: &R,
        payload: &[Bytes],
        max_reply: usize,
    ) -> Result<(FrameSender, FrameReceiver, Result<(), CallError>), CallError> {
        let (send, recv) = self.0.quinn.open_bi().await?;
        self.fit_send_window();
        let mut sender = FrameSender::new(send, None);
        let receiver = FrameReceiver::new(recv, max_reply);
        let first = self.0.first_frame.take();
        if let Some(first) = &first {
            sender.buffer_encoded(first.frame.clone());
        }
        sender.buffer_with(request, payload);
        let written = sender.flush().await;
        if written.is_ok()
            && let Some(first) = first
        {
            first.sent();
        }
        Ok((sender, receiver, written))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({} at {})", self.peer(), self.remote_addr())
    }
}

/// What a path of this round trip takes until the first of it can be acknowledged.
fn send_window(rtt: Duration) -> u64 {
    let micros = u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX);
    let fills = limits::PATH_BYTES_PER_S.saturating_mul(micros) / 1_000_000;
    fills.clamp(limits::SEND_WINDOW_MIN_BYTES, limits::SEND_WINDOW_BYTES)
}

/// The fingerprint of the certificate that the handshake was made with.
pub(super) fn peer_of(quinn: &quinn::Connection) -> Option<Fingerprint> {
    let identity = quinn.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    fingerprint_of(chain.first()?).ok()
}

/// The reason cut to what fits a packet, at a character's border.
pub(super) fn close_reason(reason: &str) -> &[u8] {
    let mut end = reason.len().min(limits::CLOSE_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason.as_bytes()[..end]
}

/// The frame that waits for the first stream. The flag spares every later request the lock.
#[derive(Default)]
struct FirstFrame {
    waiting: AtomicBool,
    frame: Mutex<Option<Bytes>>,
}

impl FirstFrame {
    fn set(&self, frame: Bytes) {
        *self.frame.lock() = Some(frame);
        self.waiting.store(true, Ordering::Release);
    }

    fn take(&self) -> Option<TakenFrame<'_>> {
        if !self.waiting.load(Ordering::Acquire) {
            return None;
        }
        let frame = self.frame.lock().take()?;
        self.waiting.store(false, Ordering::Release);
        Some(TakenFrame {
            frame,
            from: Some(self),
        })
    }
}

/// Puts the frame back unless it was sent, so that a cancelled first request does not lose it.
struct TakenFrame<'a> {
    frame: Bytes,
    from: Option<&'a FirstFrame>,
}

impl TakenFrame<'_> {
    fn sent(mut self) {
        self.from = None;
    }
}

impl Drop for TakenFrame<'_> {
    fn drop(&mut self) {
        if let Some(from) = self.from {
            from.set(std::mem::take(&mut self.frame));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_fills_the_path_and_no_more() {
        let of = |micros| send_window(Duration::from_micros(micros));
        assert_eq!(of(0), limits::SEND_WINDOW_MIN_BYTES);
        assert_eq!(of(1_000), limits::SEND_WINDOW_MIN_BYTES);
        assert_eq!(of(8_000), 10_000_000);
        assert_eq!(of(50_000), limits::SEND_WINDOW_BYTES);
        assert_eq!(send_window(Duration::MAX), limits::SEND_WINDOW_BYTES);
    }
}
