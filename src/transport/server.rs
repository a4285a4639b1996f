//! The accept loop: who gets in, with how much, and how it ends.
//!
//! Guarantees: handshakes, connections, streams and received bytes are bounded whatever strangers
//! send; a request that comes too slowly is given up; a handler that panics resets its own stream
//! and nothing else; at shutdown streams in flight may finish, and every peer is told.

use std::future::Future;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use quinn::crypto::rustls::HandshakeData;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::budget::{Budget, CapReached};
use super::connection::{Connection, close_reason, peer_of};
use super::endpoint::Endpoint;
use super::error::var_code;
use super::request::RequestStream;
use crate::limits;
use crate::types::Fingerprint;
use crate::wire::{ErrorCode, ErrorReply};

/// What a role does with its connections and their requests.
pub trait Service: Send + Sync + 'static {
    /// What the role keeps per connection.
    type Conn: Send + Sync + 'static;

    /// Called after the handshake. An error closes the connection; the dialling side sees it as
    /// [`super::CallError::Remote`].
    fn connected(&self, connection: &Connection, alpn: &[u8]) -> Result<Self::Conn, ErrorReply>;

    /// Serves one stream. Runs in a task of its own, unless it is done when first polled: a handler
    /// that waits for nothing is answered from within the accept loop, without a task. So it must
    /// not block. Long streams should end when the role shuts down.
    fn stream(
        self: Arc<Self>,
        conn: Arc<Self::Conn>,
        connection: Connection,
        request: RequestStream,
    ) -> impl Future<Output = ()> + Send;

    /// Called once for each connection that [`Service::connected`] took, when it is gone.
    fn disconnected(&self, conn: &Self::Conn);

    /// Whether the key alone says who it is (index), so that a connection starts with its full
    /// limits; else (peer) it gets them by [`Connection::raise_limits`] once a pass was verified.
    fn known_at_once(&self) -> bool;
}

/// Accepts and serves connections until `shutdown` is done. Then it refuses new connections and
/// streams, gives those in flight [`limits::DRAIN_TIMEOUT`], closes every connection with
/// [`ErrorCode::ShuttingDown`] and returns; the caller closes the endpoint. Cancelled, it closes
/// the connections at once.
pub async fn serve<S: Service>(
    endpoint: Endpoint,
    service: Arc<S>,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = watch::channel(false);
    let handshakes = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            incoming = endpoint.quinn().accept() => {
                let Some(incoming) = incoming else { break };
                let in_flight = handshakes.load(Ordering::Relaxed);
                let cap = endpoint.budget().lock().check_address(incoming.remote_address().ip());
                match screen(in_flight, incoming.remote_address_validated(), cap) {
                    Verdict::Refuse => incoming.refuse(),
                    // Fails only for a validated address, which `screen` does not send here.
                    Verdict::Retry => drop(incoming.retry()),
                    Verdict::Accept => {
                        let visit = Visit {
                            endpoint: endpoint.clone(),
                            service: service.clone(),
                            stopping: stopping.clone(),
                        };
                        let slot = Handshake::begin(&handshakes);
                        connections.spawn(visit.run(incoming, slot));
                    }
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
    // Received by the connections' tasks; if there are none, nobody needs it.
    let _ = stop.send(true);
    loop {
        tokio::select! {
            joined = connections.join_next() => if joined.is_none() { break },
            Some(incoming) = endpoint.quinn().accept() => incoming.refuse(),
        }
    }
    endpoint.quinn().set_server_config(None);
}

/// What to do with a caller before any signature is computed for it.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Accept,
    /// Make it prove its address.
    Retry,
    Refuse,
}

fn screen(in_flight: usize, validated: bool, cap: Result<(), CapReached>) -> Verdict {
    if cap.is_err() || in_flight >= limits::HANDSHAKES {
        Verdict::Refuse
    } else if in_flight >= limits::HANDSHAKES_BEFORE_RETRY && !validated {
        Verdict::Retry
    } else {
        Verdict::Accept
    }
}

/// Counts one handshake in flight for as long as it lives.
struct Handshake(Arc<AtomicUsize>);

impl Handshake {
    fn begin(count: &Arc<AtomicUsize>) -> Handshake {
        count.fetch_add(1, Ordering::Relaxed);
        Handshake(count.clone())
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One caller, from its first packet to its last stream.
struct Visit<S: Service> {
    endpoint: Endpoint,
    service: Arc<S>,
    stopping: watch::Receiver<bool>,
}

impl<S: Service> Visit<S> {
    async fn run(mut self, incoming: quinn::Incoming, slot: Handshake) {
        let address = incoming.remote_address();
        let Some((quinn, peer)) = self.handshake(incoming).await else {
            return;
        };
        drop(slot);
        let admission = match Admission::open(self.endpoint.budget(), address.ip(), peer) {
            Ok(admission) => admission,
            Err(cap) => {
                tracing::warn!(%address, %peer, %cap, "connection refused");
                let reason = cap.to_string();
                quinn.close(var_code(ErrorCode::Overloaded), close_reason(&reason));
                return;
            }
        };
        let alpn = alpn_of(&quinn);
        let deadlines = self.endpoint.deadlines().clone();
        let Some(connection) = Connection::new(quinn, deadlines, Some(admission.clone())) else {
            return;
        };
        let conn = match self.service.connected(&connection, &alpn) {
            Ok(conn) => Arc::new(conn),
            Err(reply) => {
                tracing::debug!(%address, %peer, %reply, "connection refused");
                connection.close(reply.code(), &reply.detail);
                return;
            }
        };
        if self.service.known_at_once() {
            connection.raise_limits();
        } else {
            admission.raise(connection.quinn(), limits::WINDOW_BEFORE_PASS_BYTES);
        }
        let stay = Stay {
            service: self.service.clone(),
            conn,
            connection,
            admission,
            in_flight: Arc::default(),
        };
        self.streams(&stay).await;
    }

    async fn handshake(
        &self,
        incoming: quinn::Incoming,
    ) -> Option<(quinn::Connection, Fingerprint)> {
        let address = incoming.remote_address();
        let limit = self.endpoint.deadlines().handshake;
        let connecting = match incoming.accept() {
            Ok(connecting) => connecting,
            Err(error) => {
                tracing::debug!(%address, %error, "handshake failed");
                return None;
            }
        };
        match tokio::time::timeout(limit, connecting).await {
            Ok(Ok(quinn)) => peer_of(&quinn).map(|peer| (quinn, peer)),
            Ok(Err(error)) => {
                let spoken = self.endpoint.spoken();
                tracing::debug!(%address, %error, %spoken, "handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!(%address, ?limit, "handshake took too long");
                None
            }
        }
    }

    async fn streams(&mut self, stay: &Stay<S>) {
        let deadlines = self.endpoint.deadlines().clone();
        {
            let mut stopped = pin!(self.stopping.wait_for(|stop| *stop));
            loop {
                tokio::select! {
                    biased;
                    _ = &mut stopped => break,
                    accepted = stay.connection.quinn().accept_bi() => match accepted {
                        Ok((send, recv)) => stay.start(RequestStream::new(send, recv, &deadlines)),
                        Err(error) => {
                            let peer = stay.connection.peer();
                            tracing::debug!(%peer, %error, "connection ended");
                            return;
                        }
                    },
                }
            }
        }
        // Late or not, the connection is closed next.
        let _ = tokio::time::timeout(deadlines.drain, stay.drained()).await;
    }
}

/// The protocol that the handshake agreed on; ours always agree on one.
fn alpn_of(quinn: &quinn::Connection) -> Vec<u8> {
    quinn
        .handshake_data()
        .and_then(|data| data.downcast::<HandshakeData>().ok())
        .and_then(|data| data.protocol)
        .unwrap_or_default()
}

/// An accepted connection. Dropped, it closes the connection and gives everything back.
struct Stay<S: Service> {
    service: Arc<S>,
    conn: Arc<S::Conn>,
    connection: Connection,
    admission: Arc<Admission>,
    in_flight: Arc<InFlight>,
}

impl<S: Service> Stay<S> {
    fn start(&self, request: RequestStream) {
        self.connection.fit_send_window();
        let service = self.service.clone();
        let mut stream =
            Box::pin(service.stream(self.conn.clone(), self.connection.clone(), request));
        // The request usually came with the packet that opened the stream, so that one poll
        // suffices for a handler that waits for nothing. A pending one is polled again, with a
        // waker, by its own task; until then nothing can be missed.
        let mut context = Context::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => {
                let counted = InFlight::enter(&self.in_flight);
                tokio::spawn(async move {
                    stream.await;
                    drop(counted);
                });
            }
            // The panic's message was printed by the hook; its stream is reset by its drop.
            Err(_) => tracing::error!(peer = %self.connection.peer(), "a request handler panicked"),
        }
    }

    /// Waits until no stream is in flight and the last replies had time to leave.
    async fn drained(&self) {
        self.in_flight.empty().await;
        let linger = limits::LINGER.max(3 * self.connection.rtt());
        tokio::time::sleep(linger).await;
    }
}

impl<S: Service> Drop for Stay<S> {
    fn drop(&mut self) {
        // Nothing happens if it is closed already.
        self.connection
            .close(ErrorCode::ShuttingDown, "the other side is stopping");
        self.admission.close();
        self.service.disconnected(&self.conn);
    }
}

/// Counts the stream tasks of one connection.
#[derive(Default)]
struct InFlight {
    count: AtomicUsize,
    emptied: Notify,
}

impl InFlight {
    fn enter(this: &Arc<InFlight>) -> InFlightStream {
        this.count.fetch_add(1, Ordering::AcqRel);
        InFlightStream(this.clone())
    }

    async fn empty(&self) {
        while self.count.load(Ordering::Acquire) > 0 {
            self.emptied.notified().await;
        }
    }
}

struct InFlightStream(Arc<InFlight>);

impl Drop for InFlightStream {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Leaves a permit, so that a waiter that comes a moment later sees it too.
            self.0.emptied.notify_one();
        }
    }
}

/// The account of one accepted connection in the server's budget.
pub(super) struct Admission {
    budget: Arc<Mutex<Budget>>,
    address: IpAddr,
    key: Fingerprint,
    /// The window held; `None` once the account is closed.
    held: Mutex<Option<u32>>,
}

impl Admission {
    fn open(
        budget: &Arc<Mutex<Budget>>,
        address: IpAddr,
        key: Fingerprint,
    ) -> Result<Arc<Admission>, CapReached> {
        budget.lock().admit(address, key)?;
        Ok(Arc::new(Admission {
            budget: budget.clone(),
            address,
            key,
            held: Mutex::new(Some(limits::CONNECTION_WINDOW_MIN_BYTES)),
        }))
    }

    /// Raises the connection's window towards `wanted`, as far as the budget goes.
    pub(super) fn raise(&self, quinn: &quinn::Connection, wanted: u32) {
        if let Some(held) = &mut *self.held.lock() {
            *held = self.budget.lock().raise(self.key, *held, wanted);
            quinn.set_receive_window((*held).into());
        }
    }

    fn close(&self) {
        if let Some(held) = self.held.lock().take() {
            self.budget.lock().release(self.address, self.key, held);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_screened_by_load() {
        let (retry, max) = (limits::HANDSHAKES_BEFORE_RETRY, limits::HANDSHAKES);
        assert_eq!(screen(0, false, Ok(())), Verdict::Accept);
        assert_eq!(screen(retry, false, Ok(())), Verdict::Retry);
        assert_eq!(screen(retry, true, Ok(())), Verdict::Accept);
        assert_eq!(screen(max, true, Ok(())), Verdict::Refuse);
        assert_eq!(screen(0, true, Err(CapReached::Total)), Verdict::Refuse);
    }
}
