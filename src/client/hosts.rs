//! Calls to the host of a topic: find it, show the pass, and on trouble do what the answer's retry
//! class says, within the client's patience.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::backoff::Backoff;
use super::error::ClientError;
use super::{Client, Inner};
use crate::clock;
use crate::transport::{CallError, ConnectError, Connection};
use crate::types::{Fingerprint, TopicName};
use crate::wire::index::{HostAddress, Route};
use crate::wire::peer::Present;
use crate::wire::{ALPN_PEER, ErrorCode, Retry, frame};

impl Client {
    /// The route of a topic, from the cache unless `fresh` or doubted. While the index cannot be
    /// reached, a doubted route is better than none.
    pub async fn route(&self, topic: &TopicName, fresh: bool) -> Result<Route, ClientError> {
        if !fresh && let Some(cached) = self.inner.routes.lock().undoubted(topic) {
            return Ok(cached.clone());
        }
        let error = match self.lookup(topic).await {
            Ok(route) => {
                self.learn_route(topic, &route);
                return Ok(route);
            }
            Err(error) => error,
        };
        if error.code() == Some(ErrorCode::TopicNotFound) {
            self.inner.routes.lock().forget(topic);
            self.save_routes(false);
        }
        match self.inner.routes.lock().get(topic) {
            Some(cached) if is_silent(&error) => Ok(cached.route.clone()),
            _ => Err(error),
        }
    }

    /// Remembers a route that the index gave.
    pub(crate) fn learn_route(&self, topic: &TopicName, route: &Route) {
        let unsaved = self.inner.routes.lock().learn(topic, route);
        if unsaved {
            self.save_routes(false);
        }
    }

    /// Something spoke against the cached route.
    pub(crate) fn doubt_route(&self, topic: &TopicName) {
        self.inner.routes.lock().doubt(topic);
    }

    /// A connection to a host that shows it our pass.
    pub(crate) async fn host_connection(
        &self,
        topic: &TopicName,
        host: &HostAddress,
    ) -> Result<Connection, ClientError> {
        let connection = self.shown_pass(host).await?;
        connection.map_err(|source| ClientError::HostUnreachable {
            topic: topic.clone(),
            peer: host.name.clone(),
            addresses: host.addresses.clone(),
            source,
        })
    }

    /// A connection to a peer that has been, or will be, shown our pass. `Err`: there is no valid pass, nor can one be
    /// had.
    pub(super) async fn shown_pass(
        &self,
        peer: &HostAddress,
    ) -> Result<Result<Connection, ConnectError>, ClientError> {
        let Inner { pool, index, .. } = &*self.inner;
        // An old pass is renewed while the index is there, not when the peer takes it no longer.
        if index.has_pass()
            && let Some(connection) = pool.alive(peer.fingerprint, ALPN_PEER)
        {
            return Ok(Ok(connection));
        }
        let pass = match index.pass() {
            Some(pass) => pass,
            None => index.renew_pass().await?,
        };
        let present = frame::encode(&Present { pass });
        let (key, addresses) = (peer.fingerprint, &peer.addresses);
        Ok(pool.get(key, addresses, ALPN_PEER, Some(present)).await)
    }

    /// Calls `call` with a connection to the topic's host until it succeeds, the answer says that
    /// trying again will not help, or the patience is used up. `call` may therefore run several
    /// times; it must be repeatable.
    ///
    /// The patience counts from when `waits` is over: how long the host may take to answer because it is
    /// asked to wait for something. A host that is found gone meanwhile is left (`silence`).
    ///
    /// A function that answers a future, not an `AsyncFn`: with that, callers could not spawn what
    /// they make of it.
    pub(crate) async fn on_host<T, F>(
        &self,
        topic: &TopicName,
        doing: impl fmt::Display,
        waits: Duration,
        call: impl Fn(Connection, Route) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let started = clock::mono_now();
        let patience = self.inner.host_patience.saturating_add(waits);
        let mut backoff = Backoff::default();
        loop {
            let failed = match self.try_on_host(topic, &doing, &call).await {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(error)) => error,
            };
            let pause = backoff.next(rand::random());
            let now = clock::mono_now();
            if now.plus(pause) > started.plus(patience) {
                return Err(ClientError::TimedOut {
                    doing: doing.to_string(),
                    after: now.since(started),
                    last: Some(Box::new(failed)),
                });
            }
            tracing::debug!(%topic, error = %failed, ?pause, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn try_on_host<T, F>(
        &self,
        topic: &TopicName,
        doing: &impl fmt::Display,
        call: &impl Fn(Connection, Route) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let route = self.route(topic, false).await.map_err(Failure::Final)?;
        let connection = match self.host_connection(topic, &route.host).await {
            Ok(connection) => connection,
            Err(error @ ClientError::HostUnreachable { .. }) => {
                self.doubt_route(topic);
                return Err(unreachable(error));
            }
            Err(error) => return Err(Failure::Final(error)),
        };
        // What comes in a call's course is not counted: to ask the index costs little.
        let heard = AtomicU64::new(0);
        let called = tokio::select! {
            called = call(connection, route.clone()) => called,
            after = self.lost_silently(topic, &route.host, &heard) => {
                return Err(Failure::Again(ClientError::TimedOut {
                    doing: doing.to_string(),
                    after,
                    last: None,
                }));
            }
        };
        match called {
            Ok(value) => Ok(value),
            Err(error) => Err(self.judge(topic, doing, &route, error).await),
        }
    }

    /// Whether to ask anew after an answer broke off that had begun; does what that takes.
    pub(crate) async fn may_go_on(
        &self,
        topic: &TopicName,
        doing: &impl fmt::Display,
        route: &Route,
        error: CallError,
    ) -> Result<(), ClientError> {
        match self.judge(topic, doing, route, error).await {
            Failure::Again(_) => Ok(()),
            Failure::Final(error) => Err(error),
        }
    }

    /// Does what the failed call's retry class demands before a next try.
    async fn judge(
        &self,
        topic: &TopicName,
        doing: &impl fmt::Display,
        route: &Route,
        error: CallError,
    ) -> Failure {
        let retry = error.retry();
        let error = ClientError::call(doing.to_string(), error);
        match retry {
            Retry::Never => return Failure::Final(error),
            Retry::Later => {}
            Retry::FreshRoute => self.doubt_route(topic),
            Retry::FreshPass => {
                if let Err(error) = self.show_fresh_pass(route.host.fingerprint).await {
                    return Failure::Final(error);
                }
            }
        }
        Failure::Again(error)
    }

    /// A peer does not take our pass: the next connection to it shows a fresh one. The one there is has shown the old
    /// one, and shows no other.
    pub(crate) async fn show_fresh_pass(&self, peer: Fingerprint) -> Result<(), ClientError> {
        self.inner.pool.forget(peer);
        self.inner.index.renew_pass().await.map(drop)
    }
}

/// What is done with a topic, as errors say it: put into words only when there is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doing<'a> {
    pub(crate) what: &'static str,
    pub(crate) topic: &'a TopicName,
}

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} topic '{}'", self.what, self.topic)
    }
}

enum Failure {
    /// Trying again will not help.
    Final(ClientError),
    /// Worth another try.
    Again(ClientError),
}

/// Whether the index has said nothing: it cannot be found or reached, or the conversation broke.
fn is_silent(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::IndexUnreachable { .. }
            | ClientError::Resolve { .. }
            | ClientError::Broken { .. }
    )
}

/// A host that refuses us for good is final; one that is away may come back.
fn unreachable(error: ClientError) -> Failure {
    match &error {
        ClientError::HostUnreachable {
            source: ConnectError::Refused { reply, .. },
            ..
        } if reply.retry == Retry::Never => Failure::Final(error),
        _ => Failure::Again(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{DecodeError, ErrorReply};

    #[test]
    fn a_cached_route_stands_in_for_an_index_that_says_nothing_only() {
        let expected = "a route";
        let broken = CallError::Decode(DecodeError::Ended { expected });
        assert!(is_silent(&ClientError::call("asking", broken)));
        let reply = ErrorReply::new(ErrorCode::NotAdmitted, "");
        assert!(!is_silent(&ClientError::refused("asking", reply)));
    }
}
