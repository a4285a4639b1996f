//! stub
use std::net::SocketAddr;
use std::time::Duration;

use super::{BindError, ConnectError, Connection, Identity};
use crate::types::Fingerprint;
use crate::wire::ErrorCode;

/// How to bind.
pub struct EndpointOptions {
    /// Our key.
    pub identity: Identity,
    /// Where to bind; port 0: any.
    pub bind: SocketAddr,
    /// Accepted protocols; empty: dial only.
    pub alpns: Vec<&'static [u8]>,
}

/// Time limits; the defaults are those of `limits`, tests set shorter ones.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// Handshake, either side.
    pub handshake: Duration,
    /// First bytes of a request.
    pub request_header: Duration,
    /// The whole first frame of a request.
    pub request_body: Duration,
    /// Reply to `Connection::request`.
    pub reply: Duration,
    /// Silence after which a connection is given up.
    pub idle: Duration,
    /// Streams in flight at shutdown.
    pub drain: Duration,
}
impl Default for Deadlines {
    fn default() -> Self {
        todo!()
    }
}

/// Whom a dial expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// This key.
    Key(Fingerprint),
    /// Any key: trust on first use; the caller records `Connection::peer`.
    AnyKey,
}

/// One UDP socket that serves and dials; cheap to clone.
#[derive(Clone)]
pub struct Endpoint {}

impl Endpoint {
    /// Binds exclusively. Needs a tokio runtime.
    pub fn bind(_options: EndpointOptions) -> Result<Endpoint, BindError> {
        todo!()
    }
    /// As bind, with time limits of its own.
    pub fn bind_with(
        _options: EndpointOptions,
        _deadlines: Deadlines,
    ) -> Result<Endpoint, BindError> {
        todo!()
    }
    /// Probes ports from options.bind.port() up.
    pub fn bind_first_free(_options: EndpointOptions) -> Result<Endpoint, BindError> {
        todo!()
    }
    /// A further endpoint (another I/O runtime) that shares caps and budgets with this one.
    pub fn bind_beside(&self, _bind: SocketAddr) -> Result<Endpoint, BindError> {
        todo!()
    }
    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        todo!()
    }
    /// Our key.
    pub fn identity(&self) -> &Identity {
        todo!()
    }
    /// Dials.
    pub async fn connect(
        &self,
        _addr: SocketAddr,
        _alpn: &'static [u8],
        _expect: Expect,
    ) -> Result<Connection, ConnectError> {
        todo!()
    }
    /// Closes all connections and waits, bounded, until peers have been told.
    pub async fn close(&self, _code: ErrorCode, _reason: &str) {
        todo!()
    }
}
