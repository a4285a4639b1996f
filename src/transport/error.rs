//! What can go wrong with binding, dialling and calling.

use std::net::SocketAddr;
use std::time::Duration;

use crate::types::Fingerprint;
use crate::wire::{DecodeError, ErrorReply, Retry};

/// Why an endpoint has no socket.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BindError {
    /// Another process has the port.
    #[error("UDP port {addr} is in use by another process")]
    InUse {
        /// The address.
        addr: SocketAddr,
    },
    /// Every port that was probed is taken.
    #[error("UDP ports {first} to {last} are all in use")]
    AllInUse {
        /// First address probed.
        first: SocketAddr,
        /// Last port probed.
        last: u16,
    },
    /// The system refused for another reason.
    #[error("cannot bind UDP {addr}: {detail}")]
    Io {
        /// The address.
        addr: SocketAddr,
        /// The system's reason.
        detail: String,
    },
    /// rustls refuses our own key or certificate.
    #[error("cannot set up TLS: {detail}")]
    Tls {
        /// rustls' reason.
        detail: String,
    },
}

/// Why a dial gave no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered, or not in time.
    #[error("no answer from {addr} within {after:?}")]
    Timeout {
        /// Who was dialled.
        addr: SocketAddr,
        /// How long was waited.
        after: Duration,
    },
    /// The other side has another key than the pinned one.
    #[error("{addr} answers with another key: expected {expected}, found {found}")]
    KeyMismatch {
        /// Who was dialled.
        addr: SocketAddr,
        /// The pinned key.
        expected: Fingerprint,
        /// The key that answered.
        found: Fingerprint,
    },
    /// The other side does not speak the protocol.
    #[error("{addr} does not speak {spoken}; it serves another role or another version of Waypost")]
    WrongProtocol {
        /// Who was dialled.
        addr: SocketAddr,
        /// What we speak.
        spoken: String,
    },
    /// The other side answered, and does not want us.
    #[error("{addr} refuses the connection: {reply}")]
    Refused {
        /// Who was dialled.
        addr: SocketAddr,
        /// Its reason.
        reply: ErrorReply,
    },
    /// The handshake failed in another way.
    #[error("the handshake with {addr} failed")]
    Handshake {
        /// Who was dialled.
        addr: SocketAddr,
        /// quinn's reason.
        source: quinn::ConnectionError,
    },
    /// The dial could not even start.
    #[error("cannot dial {addr}: {detail}")]
    Local {
        /// Who was to be dialled.
        addr: SocketAddr,
        /// Why not.
        detail: String,
    },
    /// There was no address to dial.
    #[error("no address is known for {peer}")]
    NoAddress {
        /// Who was to be dialled.
        peer: Fingerprint,
    },
}

/// Why a request or stream failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The other side says so: an error frame, a reset stream or a closed connection with a code.
    #[error("{0}")]
    Remote(ErrorReply),
    /// What came is not what should have come.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// A deadline passed.
    #[error("{what} did not come within {after:?}")]
    Timeout {
        /// What was awaited.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// The connection is gone.
    #[error("the connection is lost")]
    ConnectionLost {
        /// quinn's reason.
        source: quinn::ConnectionError,
    },
    /// The other side gave the stream up without a reason.
    #[error("the other side gave the stream up")]
    Cancelled,
    /// The stream was used after it had been finished or reset on this side.
    #[error("the stream was closed on this side")]
    StreamClosed,
}

impl CallError {
    /// What a retry is good for.
    pub fn retry(&self) -> Retry {
        todo!()
    }

    /// Whether the connection is gone, so that a retry needs a new one.
    pub fn is_connection_lost(&self) -> bool {
        todo!()
    }
}
