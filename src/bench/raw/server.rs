//! The server of the raw QUIC baselines.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use quinn::{RecvStream, SendStream};

use super::{ALPN, CHUNK_BYTES, CHUNKS_PER_READ, HEADER_BYTES, Header, endpoint, read_all};
use crate::bench::error::BenchError;
use crate::bench::work::{RawServer, RawShape};
use crate::transport::{Identity, raw_tls};

/// What is sent back, sliced as needed.
static ZEROS: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];

/// A listening server.
pub struct RawListener {
    endpoint: quinn::Endpoint,
    /// Where, under which key.
    pub at: RawServer,
}

impl RawListener {
    /// Listens on loopback, with a key of its own.
    pub fn bind() -> Result<RawListener, BenchError> {
        let identity = Identity::ephemeral();
        let fingerprint = identity.fingerprint();
        let (tls, _) = raw_tls(&identity, ALPN).map_err(BenchError::raw)?;
        let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls);
        let mut config =
            quinn::ServerConfig::with_crypto(Arc::new(crypto.map_err(BenchError::raw)?));
        let mut transport = quinn::TransportConfig::default();
        transport.max_concurrent_bidi_streams(4096u32.into());
        config.transport_config(Arc::new(transport));
        let endpoint = endpoint(Some(config))?;
        let address = endpoint
            .local_addr()
            .map_err(BenchError::io("binding the raw server"))?;
        Ok(RawListener {
            endpoint,
            at: RawServer {
                address,
                fingerprint,
            },
        })
    }

    /// Serves until dropped.
    pub async fn serve(self) {
        while let Some(incoming) = self.endpoint.accept().await {
            tokio::spawn(async move {
                if let Ok(connection) = incoming.await {
                    serve_connection(connection).await;
                }
            });
        }
    }
}

async fn serve_connection(connection: quinn::Connection) {
    while let Ok((send, recv)) = connection.accept_bi().await {
        let mut stream = Box::pin(serve_stream(send, recv));
        // Most requests came with the packet that opened the stream: no task for those.
        let mut context = Context::from_waker(Waker::noop());
        if stream.as_mut().poll(&mut context).is_pending() {
            tokio::spawn(stream);
        }
    }
}

/// Errors end the stream: the client notices.
async fn serve_stream(send: SendStream, mut recv: RecvStream) {
    let Ok(Some(first)) = recv.read_chunk(usize::MAX, true).await else {
        return;
    };
    let Ok(header) = Header::decode(&first.bytes) else {
        return;
    };
    let received = first.bytes.len();
    let _ = match header.shape {
        RawShape::Echo => echo(send, recv, header).await,
        // Apart, for each of the many requests that are echoes allocates what this future takes.
        RawShape::Pipelined => Box::pin(pipelined(send, recv, header, received)).await,
        RawShape::Download => Box::pin(download(send, header)).await,
        RawShape::Upload => Box::pin(upload(send, recv)).await,
    };
}

async fn echo(
    mut send: SendStream,
    recv: RecvStream,
    header: Header,
) -> Result<(), quinn::WriteError> {
    // A caller that is gone wants no answer either.
    let _ = read_all(recv, header.request).await;
    send_zeros(&mut send, header.reply).await?;
    let _ = send.finish();
    Ok(())
}

async fn send_zeros(send: &mut SendStream, bytes: usize) -> Result<(), quinn::WriteError> {
    let mut left = bytes;
    while left > 0 {
        let chunk = left.min(CHUNK_BYTES);
        send.write_chunk(Bytes::from_static(&ZEROS[..chunk]))
            .await?;
        left -= chunk;
    }
    Ok(())
}

async fn pipelined(
    mut send: SendStream,
    mut recv: RecvStream,
    header: Header,
    first: usize,
) -> Result<(), quinn::WriteError> {
    let request = header.request.max(1);
    let mut received = first;
    let mut chunks = [const { Bytes::new() }; CHUNKS_PER_READ];
    loop {
        send_zeros(&mut send, received / request * header.reply).await?;
        received %= request;
        let Ok(Some(count)) = recv.read_chunks(&mut chunks).await else {
            return Ok(());
        };
        received += chunks[..count].iter().map(Bytes::len).sum::<usize>();
    }
}

/// Framed as Waypost's data: a short header, then a chunk.
async fn download(mut send: SendStream, header: Header) -> Result<(), quinn::WriteError> {
    let mut left = header.reply;
    while left > 0 {
        let chunk = left.min(CHUNK_BYTES);
        let mut frame = [
            Bytes::from_static(&ZEROS[..HEADER_BYTES.min(chunk)]),
            Bytes::from_static(&ZEROS[..chunk.saturating_sub(HEADER_BYTES)]),
        ];
        send.write_all_chunks(&mut frame).await?;
        left -= chunk;
    }
    let _ = send.finish();
    Ok(())
}

async fn upload(mut send: SendStream, recv: RecvStream) -> Result<(), quinn::WriteError> {
    let _ = read_all(recv, usize::MAX).await;
    send_zeros(&mut send, 8).await?;
    let _ = send.finish();
    Ok(())
}
