//! The control side of a peer: it keeps the session with the index, on a thread, runtime and socket
//! of its own, so that heartbeats go out whatever the data path is doing.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::host::HostState;
use super::replication::Replication;
use super::replication::roles::Frame;
use super::reports::Changed;
use super::session::{Effect, Event, Session};
use super::{assignments, reports};
use crate::client::{ClientError, IndexLink, describe};
use crate::clock;
use crate::journal::{Command, Done, Journal, Outcome};
use crate::limits;
use crate::transport::{CallError, FrameReceiver, FrameSender};
use crate::types::{BootId, Fingerprint, MonoNs, PeerName};
use crate::wire::index::{Heartbeat, HeartbeatAck, SessionEnd, SessionOpen, SessionOpened};
use crate::wire::{DecodeError, ErrorCode, ErrorReply, Message, Retry};

/// What the control side works with.
pub(super) struct Control {
    pub(super) name: PeerName,
    pub(super) link: IndexLink,
    pub(super) journal: Journal,
    pub(super) boot: BootId,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) keeps_copies: bool,
    pub(super) state: Arc<HostState>,
    pub(super) replication: Arc<Replication>,
    /// Takes what the index assigns.
    pub(super) roles: mpsc::Sender<Frame>,
    pub(super) changed: Arc<Changed>,
    /// Told the index's key once it is known, so that the serving side can start.
    pub(super) index_key: watch::Sender<Option<Fingerprint>>,
}

/// Why the control side ended by itself.
#[derive(Debug)]
pub(super) enum ControlEnd {
    /// The index ended the session for good.
    Session(SessionEnd),
    /// The index does not take this peer, and trying again will not help.
    Refused(ClientError),
}

/// An open session: its heartbeat stream and a task's end for the other two streams.
struct Streams {
    sender: FrameSender,
    receiver: FrameReceiver,
    others: tokio::task::JoinHandle<()>,
    /// Until when to wait for the index's last word, once the other streams have ended.
    last_word_by: Option<MonoNs>,
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.others.abort();
    }
}

/// How long the index's reason for ending a session may take after the session's other streams have
/// ended; both were sent together.
const LAST_WORD_WITHIN: Duration = Duration::from_millis(500);

impl Control {
    /// Keeps the session until the index ends it for good.
    pub(super) async fn run(self) -> ControlEnd {
        let mut session = Session::new(clock::mono_now());
        let mut streams: Option<Streams> = None;
        loop {
            let event = self.next_event(&session, &mut streams).await;
            let now = clock::mono_now();
            let mut effects = session.handle(event, now, rand::random());
            self.state.set_lease(session.lease_until());
            while !effects.is_empty() {
                let effect = effects.remove(0);
                match self.perform(effect, &session, &mut streams).await {
                    Ok(Some(event)) => {
                        let now = clock::mono_now();
                        effects.extend(session.handle(event, now, rand::random()));
                    }
                    Ok(None) => {}
                    Err(end) => return end,
                }
            }
        }
    }

    async fn next_event(&self, session: &Session, streams: &mut Option<Streams>) -> Event {
        let tick = async {
            match session.wake_at() {
                Some(at) => tokio::time::sleep(at.since(clock::mono_now())).await,
                None => pending().await,
            }
        };
        let frame = async {
            match streams {
                Some(streams) => next_frame(streams).await,
                None => pending().await,
            }
        };
        tokio::select! {
            event = frame => event,
            () = tick => Event::Tick { sync_since: self.journal.sync_outstanding_since() },
        }
    }

    async fn perform(
        &self,
        effect: Effect,
        session: &Session,
        streams: &mut Option<Streams>,
    ) -> Result<Option<Event>, ControlEnd> {
        match effect {
            Effect::Open => match self.open().await {
                Ok((opened, event)) => {
                    *streams = Some(opened);
                    Ok(Some(event))
                }
                Err(error) if self.is_final(&error) => Err(ControlEnd::Refused(error)),
                Err(error) => {
                    self.log_failed_open(session, &error);
                    self.renew_pass_if_asked(&error).await;
                    Ok(Some(Event::Lost))
                }
            },
            Effect::Heartbeat { serial } => {
                let Some(streams) = streams else {
                    return Ok(Some(Event::Lost));
                };
                let sent = streams.sender.send(&Heartbeat { serial }).await;
                Ok(sent.is_err().then_some(Event::Lost))
            }
            Effect::Close => {
                if let Some(mut streams) = streams.take() {
                    // Not finished in order, which would say that this peer stops.
                    streams.sender.reset(ErrorCode::TimedOut);
                    tracing::warn!(peer = %self.name, "lost the session with the index; trying again");
                }
                Ok(None)
            }
            Effect::Stop(end) => Err(ControlEnd::Session(end)),
        }
    }

    /// Whether opening a session will never succeed: this key, name or pin is refused. An index with
    /// another key is so only at the start, where it is a mistake to be told at once; later it may be
    /// anybody who took the port, and must not end a peer that serves.
    fn is_final(&self, error: &ClientError) -> bool {
        match error {
            ClientError::Refused { reply, .. } => reply.retry == Retry::Never,
            ClientError::KnownIndex(_) => self.state.incarnation() == 0,
            _ => error
                .code()
                .is_some_and(|code| code.retry() == Retry::Never),
        }
    }

    /// The index does not know this key (any more): registering again helps, or says what does not.
    async fn renew_pass_if_asked(&self, error: &ClientError) {
        if let ClientError::Refused { reply, .. } = error
            && reply.retry == Retry::FreshPass
            && let Err(error) = self.link.renew_pass().await
        {
            tracing::warn!(peer = %self.name, error = %describe(&error), "cannot register again");
        }
    }

    fn log_failed_open(&self, session: &Session, error: &ClientError) {
        // Once at first, then now and then, not at each of many tries.
        if session.tries().is_power_of_two() || session.tries() == 0 {
            let error = describe(error);
            tracing::warn!(index = %self.link.address(), %error, "no session with the index yet; trying again");
        }
    }

    /// Dials the index, opens the session and makes the incarnation durable, before anything is
    /// appended under it.
    async fn open(&self) -> Result<(Streams, Event), ClientError> {
        let doing = "opening the session with the index";
        let connection = self.link.connection().await?;
        self.index_key.send_replace(Some(connection.peer()));
        let request = SessionOpen {
            boot: self.boot,
            storage: self.journal.storage_id(),
            incarnation: self.journal.last_incarnation(),
            addresses: self.addresses.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            keeps_copies: self.keeps_copies,
        };
        let broken = |error| ClientError::call(doing, error);
        let (sender, mut receiver) = connection.open(&request).await.map_err(broken)?;
        let answered = tokio::time::timeout(limits::REPLY_TIMEOUT, receiver.expect());
        let opened: SessionOpened = answered
            .await
            .unwrap_or(Err(CallError::Timeout {
                what: "the answer to the opened session",
                after: limits::REPLY_TIMEOUT,
            }))
            .map_err(broken)?;
        self.make_durable(opened.incarnation).await?;
        self.state.set_session(opened.session);
        tracing::info!(
            peer = %self.name, incarnation = opened.incarnation, addresses = ?opened.advertised,
            "session with the index at {} is open", self.link.address()
        );
        self.warn_of_loopback(&connection, &opened);
        let event = Event::Opened {
            heartbeat: Duration::from_millis(u64::from(opened.heartbeat_ms)),
            lease: Duration::from_millis(u64::from(opened.lease_ms)),
        };
        let others = self.spawn_others(connection, opened);
        let streams = Streams {
            sender,
            receiver,
            others,
            last_word_by: None,
        };
        Ok((streams, event))
    }

    fn warn_of_loopback(&self, connection: &crate::transport::Connection, opened: &SessionOpened) {
        let remote = connection.remote_addr().ip().to_canonical();
        let only_here = opened
            .advertised
            .iter()
            .all(|address| address.ip().to_canonical().is_loopback());
        if only_here && !remote.is_loopback() {
            tracing::warn!(
                addresses = ?opened.advertised,
                "other machines cannot reach this peer; set peer_node.ip or peer_node.advertise_ip"
            );
        }
    }

    async fn make_durable(&self, incarnation: u32) -> Result<(), ClientError> {
        if self.state.incarnation() == incarnation {
            return Ok(());
        }
        let (done, outcome) = oneshot::channel();
        let boot = Command::Boot {
            incarnation,
            boot: self.boot,
        };
        let stopped = |_| ClientError::Closed;
        self.journal
            .submit(boot, Done::Oneshot(done))
            .await
            .map_err(|_| ClientError::Closed)?;
        match outcome.await.map_err(stopped)? {
            Outcome::Stopped => Err(ClientError::Closed),
            Outcome::Refused(refusal) => {
                let reply = ErrorReply::new(ErrorCode::Internal, refusal.to_string());
                Err(ClientError::refused(
                    "making the incarnation durable",
                    reply,
                ))
            }
            _ => {
                self.state.set_incarnation(incarnation);
                Ok(())
            }
        }
    }

    /// Starts the assignments' and the reports' streams. The task ends when either breaks.
    fn spawn_others(
        &self,
        connection: crate::transport::Connection,
        opened: SessionOpened,
    ) -> tokio::task::JoinHandle<()> {
        let (journal, replication) = (self.journal.clone(), Arc::clone(&self.replication));
        let (roles, changed) = (self.roles.clone(), Arc::clone(&self.changed));
        let (session, incarnation) = (opened.session, opened.incarnation);
        tokio::spawn(async move {
            let assignments = assignments::run(connection.clone(), session, incarnation, roles);
            let reports = reports::run(connection, session, journal, &replication, &changed);
            let ended = tokio::select! {
                ended = assignments => ended,
                ended = reports => ended,
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a stream of the session ended");
            }
        })
    }
}

async fn next_frame(streams: &mut Streams) -> Event {
    // A task that was joined must not be joined again, and a tick may have ended this function
    // while it waited for the last word.
    if streams.others.is_finished() {
        return last_word(streams).await;
    }
    tokio::select! {
        frame = streams.receiver.next() => match read(frame) {
            Ok(event) => event,
            Err(error) => {
                tracing::debug!(%error, "the session's stream ended");
                Event::Lost
            }
        },
        _ = &mut streams.others => last_word(streams).await,
    }
}

/// Why the other streams ended, if the index says so: its word travels on a stream of its own and
/// may come after their ends. Missing it would make a deregistered peer knock for ever.
async fn last_word(streams: &mut Streams) -> Event {
    let now = clock::mono_now();
    let by = *streams
        .last_word_by
        .get_or_insert_with(|| now.plus(LAST_WORD_WITHIN));
    let word = async {
        loop {
            match read(streams.receiver.next().await) {
                Ok(Event::Ended(end)) => return Event::Ended(end),
                Ok(_) => {}
                Err(_) => return Event::Lost,
            }
        }
    };
    // One deadline for all calls: heartbeats are due more often than this wait is long, and each
    // ends the function.
    let waited = tokio::time::timeout(by.since(now), word).await;
    waited.unwrap_or(Event::Lost)
}

fn read(frame: Result<Option<crate::wire::Frame>, CallError>) -> Result<Event, CallError> {
    let expected = "a heartbeat's answer";
    let frame = frame?.ok_or(DecodeError::Ended { expected })?;
    match frame.kind {
        HeartbeatAck::KIND => {
            let serial = frame.decode::<HeartbeatAck>()?.serial;
            Ok(Event::Acked { serial })
        }
        SessionEnd::KIND => Ok(Event::Ended(frame.decode()?)),
        found => Err(DecodeError::UnknownKind { found, expected }.into()),
    }
}
