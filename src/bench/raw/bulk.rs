//! Bulk transfers over raw QUIC: one stream, chunks of 64 KiB, either way.

use bytes::Bytes;

use super::client::{open, receive};
use super::{CHUNK_BYTES, HEADER_BYTES};
use crate::bench::error::BenchError;
use crate::bench::lanes::{Did, Lane};
use crate::bench::work::RawShape;

/// Transfers of `bytes`, one after the other.
pub struct BulkLane {
    /// Over which connection.
    pub connection: quinn::Connection,
    /// Which way.
    pub shape: RawShape,
    /// Bytes of a transfer.
    pub bytes: usize,
    /// What a transfer counts for.
    pub ops: u64,
}

impl Lane for BulkLane {
    async fn once(&mut self, _: u64) -> Result<Did, BenchError> {
        match self.shape {
            RawShape::Upload => self.upload().await?,
            _ => self.download().await?,
        }
        Ok(Did {
            ops: self.ops,
            bytes: self.bytes as u64,
        })
    }
}

impl BulkLane {
    async fn download(&self) -> Result<(), BenchError> {
        let (mut send, recv) = open(
            &self.connection,
            RawShape::Download,
            HEADER_BYTES,
            self.bytes,
        )
        .await?;
        let _ = send.finish();
        receive(recv, self.bytes).await
    }

    async fn upload(&self) -> Result<(), BenchError> {
        let (mut send, recv) = open(&self.connection, RawShape::Upload, HEADER_BYTES, 8).await?;
        let chunk = Bytes::from(vec![0; CHUNK_BYTES.min(self.bytes)]);
        let mut left = self.bytes;
        while left > 0 {
            let part = chunk.slice(..left.min(chunk.len()));
            left -= part.len();
            send.write_chunk(part).await.map_err(BenchError::raw)?;
        }
        let _ = send.finish();
        receive(recv, 8).await
    }
}
