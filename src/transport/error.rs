//! What can go wrong with binding, dialling and calling.

use std::net::SocketAddr;
use std::time::Duration;

use quinn::VarInt;

use crate::types::Fingerprint;
use crate::wire::{DecodeError, ErrorCode, ErrorReply, Retry};

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
        match self {
            CallError::Remote(reply) => reply.retry,
            CallError::Timeout { .. } | CallError::ConnectionLost { .. } | CallError::Cancelled => {
                Retry::Later
            }
            CallError::Decode(_) | CallError::StreamClosed => Retry::Never,
        }
    }

    /// Whether the connection is gone without a reason given, so that a retry needs a new one. A
    /// connection closed *with* a reason is [`CallError::Remote`];
    /// [`super::Connection::is_closed`] covers both.
    pub fn is_connection_lost(&self) -> bool {
        matches!(self, CallError::ConnectionLost { .. })
    }

    /// The other side's code on a stream or connection; 0 is what QUIC sends when a handle was
    /// simply dropped, and no code of ours.
    fn from_code(code: VarInt, detail: &str) -> Option<CallError> {
        let number = u16::try_from(code.into_inner()).ok().filter(|n| *n != 0)?;
        let code = ErrorCode::from_number(number);
        let detail = match detail {
            "" => code.text(),
            detail => detail,
        };
        Some(CallError::Remote(ErrorReply {
            code: number,
            retry: code.retry(),
            detail: detail.to_owned(),
        }))
    }
}

impl From<quinn::ConnectionError> for CallError {
    fn from(source: quinn::ConnectionError) -> Self {
        if let quinn::ConnectionError::ApplicationClosed(close) = &source {
            let reason = String::from_utf8_lossy(&close.reason);
            if let Some(error) = CallError::from_code(close.error_code, &reason) {
                return error;
            }
        }
        CallError::ConnectionLost { source }
    }
}

impl From<quinn::ReadError> for CallError {
    fn from(error: quinn::ReadError) -> Self {
        match error {
            quinn::ReadError::Reset(code) => {
                CallError::from_code(code, "").unwrap_or(CallError::Cancelled)
            }
            quinn::ReadError::ConnectionLost(source) => source.into(),
            _ => CallError::StreamClosed,
        }
    }
}

impl From<quinn::WriteError> for CallError {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::Stopped(code) => {
                CallError::from_code(code, "").unwrap_or(CallError::Cancelled)
            }
            quinn::WriteError::ConnectionLost(source) => source.into(),
            _ => CallError::StreamClosed,
        }
    }
}

impl From<quinn::StoppedError> for CallError {
    fn from(error: quinn::StoppedError) -> Self {
        match error {
            quinn::StoppedError::ConnectionLost(source) => source.into(),
            _ => CallError::StreamClosed,
        }
    }
}

/// The number of a code as QUIC carries it.
pub(super) fn var_code(code: ErrorCode) -> VarInt {
    VarInt::from_u32(u32::from(code.number()))
}

impl ConnectError {
    /// What a retry is good for. A wrong key at an address asks for a fresh route first.
    pub fn retry(&self) -> Retry {
        match self {
            ConnectError::KeyMismatch { .. } | ConnectError::NoAddress { .. } => Retry::FreshRoute,
            ConnectError::Refused { reply, .. } => reply.retry,
            ConnectError::WrongProtocol { .. } | ConnectError::Local { .. } => Retry::Never,
            ConnectError::Timeout { .. } | ConnectError::Handshake { .. } => Retry::Later,
        }
    }

    /// How much an error tells beside those of a peer's other addresses; the highest is reported.
    pub(super) fn weight(&self) -> u8 {
        match self {
            ConnectError::NoAddress { .. } => 0,
            ConnectError::Local { .. } => 1,
            ConnectError::Timeout { .. } => 2,
            ConnectError::Handshake { .. } => 3,
            ConnectError::WrongProtocol { .. } => 4,
            ConnectError::KeyMismatch { .. } => 5,
            // The right key answered.
            ConnectError::Refused { .. } => 6,
        }
    }
}
