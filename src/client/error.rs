//! What can go wrong for a client.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::transport::{BindError, CallError, ConnectError, KnownIndexError};
use crate::types::{PeerName, TopicName};
use crate::wire::batch::BatchError;
use crate::wire::{ErrorCode, ErrorReply};

/// An operation of the client that failed. A clone is cheap: all messages of a batch share its
/// failure.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No socket could be bound.
    #[error("cannot open a UDP socket")]
    Bind(#[from] BindError),
    /// The index's host name does not resolve.
    #[error("cannot resolve the index's host name {host:?}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// No index answers.
    #[error("cannot reach the index at {address}")]
    IndexUnreachable {
        /// Where it was sought.
        address: String,
        /// Why.
        #[source]
        source: ConnectError,
    },
    /// The index's key is not the one recorded before.
    #[error(transparent)]
    KnownIndex(Arc<KnownIndexError>),
    /// The host of a topic does not answer.
    #[error("cannot reach peer {peer}, the host of topic '{topic}'")]
    HostUnreachable {
        /// The topic.
        topic: TopicName,
        /// Its host.
        peer: PeerName,
        /// Where it was sought.
        addresses: Vec<SocketAddr>,
        /// Why.
        #[source]
        source: ConnectError,
    },
    /// A peer does not answer.
    #[error("cannot reach peer {peer}")]
    PeerUnreachable {
        /// The peer.
        peer: PeerName,
        /// Why.
        #[source]
        source: ConnectError,
    },
    /// The other side answered with an error.
    #[error("{doing}: {reply}")]
    Refused {
        /// What was being done.
        doing: String,
        /// The answer.
        reply: ErrorReply,
    },
    /// The conversation broke.
    #[error("{doing}")]
    Broken {
        /// What was being done.
        doing: String,
        /// How.
        #[source]
        source: CallError,
    },
    /// It took too long; the last failure says why.
    #[error("{doing}: gave up after {after:?}")]
    TimedOut {
        /// What was being done.
        doing: String,
        /// How long it was tried.
        after: Duration,
        /// The last failure.
        #[source]
        last: Option<Box<ClientError>>,
    },
    /// The host cannot tell whether it has the messages; they were not sent again.
    #[error("topic '{topic}': it is unknown whether the messages were appended; {why}")]
    OutcomeUnknown {
        /// The topic.
        topic: TopicName,
        /// Why.
        why: String,
    },
    /// A message over the bound.
    #[error(
        "a message of {found} bytes; a message has at most {max} bytes with its key and headers"
    )]
    MessageTooLarge {
        /// Its size.
        found: usize,
        /// The bound.
        max: usize,
    },
    /// What a host served is not a batch.
    #[error("topic '{topic}': the host served data that does not verify")]
    BadData {
        /// The topic.
        topic: TopicName,
        /// What is wrong with it.
        #[source]
        source: BatchError,
    },
    /// A file of the client's cache cannot be written.
    #[error("cannot write {path}")]
    State {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The client, publisher or follower was closed.
    #[error("the client was closed")]
    Closed,
}

impl From<KnownIndexError> for ClientError {
    fn from(error: KnownIndexError) -> Self {
        ClientError::KnownIndex(Arc::new(error))
    }
}

impl ClientError {
    pub(crate) fn refused(doing: impl Into<String>, reply: ErrorReply) -> Self {
        ClientError::Refused {
            doing: doing.into(),
            reply,
        }
    }

    pub(crate) fn call(doing: impl Into<String>, error: CallError) -> Self {
        let doing = doing.into();
        match error {
            CallError::Remote(reply) => ClientError::Refused { doing, reply },
            source => ClientError::Broken { doing, source },
        }
    }

    /// The same, said of something more exact.
    pub(crate) fn while_doing(mut self, exact: String) -> Self {
        if let ClientError::Refused { doing, .. }
        | ClientError::Broken { doing, .. }
        | ClientError::TimedOut { doing, .. } = &mut self
        {
            *doing = exact;
        }
        self
    }

    /// The code of the other side's answer, if that is what failed.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Refused { reply, .. } => Some(reply.code()),
            ClientError::IndexUnreachable {
                source: ConnectError::Refused { reply, .. },
                ..
            }
            | ClientError::HostUnreachable {
                source: ConnectError::Refused { reply, .. },
                ..
            } => Some(reply.code()),
            _ => None,
        }
    }
}

/// An error with what lies beneath it, in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
