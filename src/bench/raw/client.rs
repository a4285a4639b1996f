//! The client of the raw QUIC baselines.

use std::sync::Arc;

use quinn::{RecvStream, SendStream};

use super::{ALPN, HEADER_BYTES, Header, endpoint, read_all};
use crate::bench::error::BenchError;
use crate::bench::lanes::{Did, Lane};
use crate::bench::work::{RawServer, RawShape};
use crate::transport::{Identity, raw_tls};

/// A socket that dials raw servers.
#[derive(Clone)]
pub struct RawClient {
    endpoint: quinn::Endpoint,
    server: RawServer,
}

impl RawClient {
    /// Opens a socket with a key of its own.
    pub fn new(server: RawServer) -> Result<RawClient, BenchError> {
        let (_, tls) = raw_tls(&Identity::ephemeral(), ALPN).map_err(BenchError::raw)?;
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls);
        let config = quinn::ClientConfig::new(Arc::new(crypto.map_err(BenchError::raw)?));
        let mut endpoint = endpoint(None)?;
        endpoint.set_default_client_config(config);
        Ok(RawClient { endpoint, server })
    }

    /// Dials.
    pub async fn connect(&self) -> Result<quinn::Connection, BenchError> {
        let connecting = self.endpoint.connect(self.server.address, "waypost");
        connecting
            .map_err(BenchError::raw)?
            .await
            .map_err(BenchError::raw)
    }
}

/// Opens a stream and writes its header and the rest of the first request.
pub(super) async fn open(
    connection: &quinn::Connection,
    shape: RawShape,
    request: usize,
    reply: usize,
) -> Result<(SendStream, RecvStream), BenchError> {
    let (mut send, recv) = connection.open_bi().await.map_err(BenchError::raw)?;
    let header = Header {
        shape,
        request,
        reply,
    };
    let mut first = vec![0; request.max(HEADER_BYTES)];
    first[..HEADER_BYTES].copy_from_slice(&header.encode());
    send.write_all(&first).await.map_err(BenchError::raw)?;
    Ok((send, recv))
}

/// Reads a reply to its end; its length is checked.
pub(super) async fn receive(recv: RecvStream, expected: usize) -> Result<(), BenchError> {
    let found = read_all(recv, expected).await.map_err(BenchError::raw)?;
    if expected == found {
        return Ok(());
    }
    Err(BenchError::Wrong {
        what: "bytes of a raw reply",
        expected: expected.to_string(),
        found: found.to_string(),
    })
}

/// Requests, one stream each.
pub struct EchoLane {
    /// Over which connection.
    pub connection: quinn::Connection,
    /// Bytes out.
    pub request: usize,
    /// Bytes back.
    pub reply: usize,
    /// What one counts for.
    pub ops: u64,
}

impl Lane for EchoLane {
    async fn once(&mut self, _: u64) -> Result<Did, BenchError> {
        let (mut send, recv) =
            open(&self.connection, RawShape::Echo, self.request, self.reply).await?;
        let _ = send.finish();
        receive(recv, self.reply).await?;
        Ok(Did {
            ops: self.ops,
            bytes: 0,
        })
    }
}

/// Handshakes, each with a first small request and a close.
pub struct Handshakes(pub RawClient);

impl Lane for Handshakes {
    async fn once(&mut self, _: u64) -> Result<Did, BenchError> {
        let connection = self.0.connect().await?;
        let (mut send, recv) = open(&connection, RawShape::Echo, HEADER_BYTES, 64).await?;
        let _ = send.finish();
        receive(recv, 64).await?;
        connection.close(0u32.into(), b"");
        Ok(Did { ops: 1, bytes: 0 })
    }
}
