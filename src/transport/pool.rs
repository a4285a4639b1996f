//! stub
use std::net::SocketAddr;

use bytes::Bytes;

use super::{ConnectError, Connection, Endpoint};
use crate::types::Fingerprint;

/// Connections of one endpoint, one per (key, protocol).
#[derive(Clone)]
pub struct Pool {}

impl Pool {
    /// An empty pool.
    pub fn new(_endpoint: Endpoint) -> Pool {
        todo!()
    }
    /// The connection, dialled if there is none alive.
    pub async fn get(
        &self,
        _peer: Fingerprint,
        _addrs: &[SocketAddr],
        _alpn: &'static [u8],
        _first_frame: Option<Bytes>,
    ) -> Result<Connection, ConnectError> {
        todo!()
    }
    /// Drops the pool's connections to a peer.
    pub fn forget(&self, _peer: Fingerprint) {
        todo!()
    }
}
