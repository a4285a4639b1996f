//! The serving side of a peer: which request goes where, and who may ask.
//!
//! A connection's first stream shows the caller's pass; streams that come earlier wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::replication::{Replication, serving};
use super::traffic::{Direction, TrafficLog};
use super::{append, becomes_true, follow, position, pull, tips::Tips};
use crate::clock;
use crate::journal::{Journal, TopicStat};
use crate::limits;
use crate::transport::{
    self, CallError, Connection, FrameReceiver, FrameSender, RequestStream, Service,
};
use crate::types::{
    BootId, Epoch, Fingerprint, Incarnation, MonoNs, Offset, PeerName, SessionId, TopicId,
    UnixMicros,
};
use crate::wire::peer::{PeerRequest, PeerStatusReply, Present};
use crate::wire::{ErrorCode, ErrorReply, Frame, Message, WireRequest};

/// What all request streams of a hosting peer share.
pub(super) struct Host {
    pub(super) journal: Journal,
    pub(super) tips: Arc<Tips>,
    pub(super) replication: Arc<Replication>,
    pub(super) traffic: Mutex<TrafficLog>,
    /// The pinned index, whose passes count.
    pub(super) index: Fingerprint,
    pub(super) boot: BootId,
    pub(super) started: UnixMicros,
    pub(super) state: Arc<HostState>,
    /// Becomes true when the peer stops: long streams end then.
    pub(super) stopping: watch::Receiver<bool>,
}

/// What the control thread tells the serving side.
#[derive(Default)]
pub(super) struct HostState {
    incarnation: AtomicU32,
    lease_until: AtomicU64,
    session: Mutex<Option<SessionId>>,
}

impl HostState {
    pub(super) fn set_incarnation(&self, incarnation: Incarnation) {
        self.incarnation.store(incarnation, Ordering::Release);
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        self.incarnation.load(Ordering::Acquire)
    }

    pub(super) fn set_session(&self, session: SessionId) {
        *self.session.lock() = Some(session);
    }

    /// The last session with the index, which may have ended.
    pub(super) fn session(&self) -> Option<SessionId> {
        *self.session.lock()
    }

    /// Until when the index counts this peer as alive; `None`: no session.
    pub(super) fn set_lease(&self, until: Option<MonoNs>) {
        let until = until.unwrap_or_default();
        self.lease_until.store(until.0, Ordering::Release);
    }

    pub(super) fn holds_lease(&self, now: MonoNs) -> bool {
        self.lease_until.load(Ordering::Acquire) > now.0
    }
}

/// Who is at the other end, once its pass was verified.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) fingerprint: Fingerprint,
    pub(super) name: PeerName,
    /// When the pass ends that it has shown.
    expires: UnixMicros,
}

/// The state of one accepted connection.
pub(super) struct PeerConnection {
    caller: watch::Sender<Option<Caller>>,
}

impl Host {
    /// The topic as readers may see it, if it is hosted here.
    pub(super) fn topic(&self, id: TopicId) -> Result<TopicStat, ErrorReply> {
        let stat = self.journal.topic(id);
        self.replication
            .readable(stat.ok_or_else(|| self.replication.not_host(id))?)
    }

    /// The epoch under which this peer appends to the topic.
    pub(super) fn epoch(&self, topic: &TopicStat) -> Epoch {
        Epoch {
            grant: topic.grant,
            incarnation: self.state.incarnation(),
        }
    }

    /// Logs messages that a caller sent or retrieved.
    pub(super) fn record_traffic(
        &self,
        direction: Direction,
        caller: &Caller,
        topic: &TopicStat,
        first: Offset,
        count: u64,
    ) {
        let now = clock::mono_now();
        let line =
            self.traffic
                .lock()
                .record(direction, &caller.name, &topic.name, first, count, now);
        if let Some(line) = line {
            line.log();
        }
    }

    /// Logs what has been added up; called about once a second.
    pub(super) fn flush_traffic(&self) {
        let lines = self.traffic.lock().flush(clock::mono_now());
        lines.iter().for_each(super::traffic::Line::log);
    }

    fn accept_pass(&self, connection: &Connection, frame: &Frame) -> Result<Caller, ErrorReply> {
        let present: Present = frame.decode()?;
        let body = transport::verify_pass(
            &present.pass,
            self.index,
            connection.peer(),
            clock::wall_now(),
        )
        .map_err(|error| ErrorReply::new(ErrorCode::BadPass, error.to_string()))?;
        connection.raise_limits();
        Ok(Caller {
            fingerprint: body.fingerprint,
            name: body.name,
            expires: body.expires,
        })
    }

    /// Reads the request frame and knows its sender: verifies the pass if the stream starts with
    /// one, else waits until another stream of the connection has shown it.
    async fn identify(
        &self,
        state: &PeerConnection,
        connection: &Connection,
        first: Frame,
        receiver: &mut FrameReceiver,
    ) -> Result<(Caller, Frame), ErrorReply> {
        if first.kind == Present::KIND {
            let caller = self.accept_pass(connection, &first)?;
            state.caller.send_replace(Some(caller.clone()));
            receiver.set_max(limits::FRAME_BYTES);
            let frame = receiver
                .next_within(limits::REQUEST_BODY_TIMEOUT)
                .await
                .map_err(call_error)?
                .ok_or_else(|| {
                    ErrorReply::new(ErrorCode::Malformed, "the stream ended after the pass")
                })?;
            return Ok((caller, frame));
        }
        let known = state.caller.borrow().clone();
        let caller = match known {
            Some(caller) => caller,
            None => shown_elsewhere(state).await.ok_or_else(no_pass)?,
        };
        if caller.expires.plus(limits::PASS_GRACE) < clock::wall_now() {
            let detail = "the pass shown on this connection has ended; register again";
            return Err(ErrorReply::new(ErrorCode::BadPass, detail));
        }
        Ok((caller, first))
    }

    /// Long streams have futures of their own: what short requests need is allocated for each of them.
    async fn dispatch(
        self: Arc<Self>,
        caller: Caller,
        frame: Frame,
        stream: (FrameSender, FrameReceiver),
    ) {
        let (mut sender, mut receiver) = stream;
        let (request, payload) = match decode(&frame) {
            Ok(decoded) => decoded,
            Err(error) => return finish(sender, Err::<PeerStatusReply, _>(error)).await,
        };
        tracing::trace!(peer = %caller.name, request = request.name(), "request");
        match request {
            PeerRequest::Append(request) => {
                let reply = append::single(&self, &caller, request, payload).await;
                finish(sender, reply).await;
            }
            PeerRequest::AppendStream(_) => {
                let served = Box::pin(append::stream(&self, &caller, &mut sender, &mut receiver));
                let stopped = self.unless_stopping(served).await;
                end_long_stream(sender, stopped);
            }
            PeerRequest::Pull(request) => {
                let outcome = tokio::select! {
                    outcome = pull::serve(&self, &caller, &request, &mut sender) => outcome,
                    () = becomes_true(self.stopping.clone()) => Err(pull::stopping()),
                };
                pull::finish(sender, outcome).await;
            }
            PeerRequest::Follow(_) => {
                let served = Box::pin(follow::serve(&self, &caller, &mut sender, &mut receiver));
                let stopped = self.unless_stopping(served).await;
                end_long_stream(sender, stopped);
            }
            PeerRequest::Commit(request) => {
                finish(sender, position::commit(&self, &caller, request).await).await;
            }
            PeerRequest::TopicStatus(request) => {
                finish(sender, Ok(position::statuses(&self, &caller, &request))).await;
            }
            PeerRequest::PeerStatus(_) => finish(sender, Ok(self.status())).await,
            PeerRequest::Replicate(request) => {
                let served = Box::pin(serving::serve(
                    &self,
                    &caller,
                    &request,
                    &mut sender,
                    &mut receiver,
                ));
                self.unless_stopping(served).await;
                // A replica opens another one; what was half sent is of no use.
                sender.reset(ErrorCode::ShuttingDown);
            }
            PeerRequest::FetchDedupe(request) => {
                if serving::fetch_dedupe(&self, &request, &mut sender)
                    .await
                    .is_ok()
                {
                    sender.finish();
                }
            }
        }
    }

    /// Runs the service of a long stream; answers whether it was cut short by the peer's stopping.
    async fn unless_stopping(&self, service: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = service => false,
            () = becomes_true(self.stopping.clone()) => true,
        }
    }

    fn status(&self) -> PeerStatusReply {
        let stats = self.journal.stats();
        PeerStatusReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot: self.boot,
            storage: self.journal.storage_id(),
            incarnation: self.state.incarnation(),
            started: self.started,
            topics: stats.topics,
            journal_bytes: stats.bytes,
            storage_full: self.journal.is_full(),
            session: self.state.holds_lease(clock::mono_now()),
        }
    }
}

/// Ends a long stream; a stopping host says so, and the caller comes back later.
fn end_long_stream(mut sender: FrameSender, stopped: bool) {
    if stopped {
        sender.reset(ErrorCode::ShuttingDown);
    } else {
        sender.finish();
    }
}

/// Who shows a pass on another stream of the connection, if somebody does in time.
async fn shown_elsewhere(state: &PeerConnection) -> Option<Caller> {
    let mut caller = state.caller.subscribe();
    let shown = caller.wait_for(Option::is_some);
    let shown = tokio::time::timeout(limits::REQUEST_HEADER_TIMEOUT, shown).await;
    shown.ok()?.ok()?.clone()
}

fn no_pass() -> ErrorReply {
    ErrorReply::new(
        ErrorCode::BadPass,
        "no pass was shown on this connection; its first stream must start with one",
    )
}

fn decode(frame: &Frame) -> Result<(PeerRequest, Bytes), ErrorReply> {
    let (request, payload) = PeerRequest::decode(frame)?;
    if !payload.is_empty() && !matches!(request, PeerRequest::Append(_)) {
        return Err(ErrorReply::new(
            ErrorCode::Malformed,
            format!(
                "{} bytes follow the request {}",
                payload.len(),
                request.name()
            ),
        ));
    }
    Ok((request, payload))
}

/// What a failed read of a request tells its sender.
pub(super) fn call_error(error: CallError) -> ErrorReply {
    match error {
        CallError::Remote(reply) => reply,
        CallError::Decode(error) => error.into(),
        other => ErrorReply::new(ErrorCode::TimedOut, other.to_string()),
    }
}

/// What a stopped journal tells callers: the process is about to end.
pub(super) fn journal_stopped() -> ErrorReply {
    ErrorReply::new(
        ErrorCode::ShuttingDown,
        "the host's journal has stopped; nothing was acknowledged",
    )
}

async fn finish<M: Message>(mut sender: FrameSender, reply: Result<M, ErrorReply>) {
    // An error here means that the caller has gone, which needs no answer.
    let _ = match reply {
        Ok(reply) => sender.send(&reply).await,
        Err(error) => sender.send(&error).await,
    };
    sender.finish();
}

impl Service for Host {
    type Conn = PeerConnection;

    fn connected(
        &self,
        connection: &Connection,
        _alpn: &[u8],
    ) -> Result<PeerConnection, ErrorReply> {
        tracing::debug!(from = %connection.remote_addr(), key = %connection.peer(), "connection");
        Ok(PeerConnection {
            caller: watch::Sender::new(None),
        })
    }

    async fn stream(
        self: Arc<Self>,
        state: Arc<PeerConnection>,
        connection: Connection,
        mut request: RequestStream,
    ) {
        if state.caller.borrow().is_some() {
            request.set_max(limits::FRAME_BYTES);
        }
        let first = match request.first().await {
            Ok(frame) => frame,
            Err(CallError::ConnectionLost { .. }) => return,
            Err(error) => return request.reply_error(&call_error(error)).await,
        };
        let (sender, mut receiver) = request.into_parts();
        match self
            .identify(&state, &connection, first, &mut receiver)
            .await
        {
            Ok((caller, frame)) => {
                self.dispatch(caller, frame, (sender, receiver)).await;
            }
            Err(error) => finish(sender, Err::<PeerStatusReply, _>(error)).await,
        }
    }

    fn disconnected(&self, _state: &PeerConnection) {}

    fn known_at_once(&self) -> bool {
        false
    }
}
