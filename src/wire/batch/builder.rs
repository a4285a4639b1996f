//! Building a batch.

use bytes::{BufMut, Bytes, BytesMut};

use super::checksum;
use super::record::{HAS_HEADERS, HAS_KEY, Record};
use super::{CHECKSUMMED_FROM, HEADER_BYTES, MAGIC};
use crate::limits;
use crate::types::{ProducerId, TopicId, UnixMicros};

/// Records are added to the checksum once there are so many bytes of them, and not each small one by itself;
/// a body of as many is read where it comes from.
const SUMMED_AT_ONCE: usize = 1024;

/// Builds one batch.
#[derive(Debug)]
pub struct BatchBuilder {
    buffer: BytesMut,
    pub(super) count: u32,
    /// The checksum of the records up to `summed_to`.
    sum: u32,
    /// An offset in the buffer.
    summed_to: usize,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::with_capacity(1024)
    }

    /// As [`BatchBuilder::new`], with room for a batch of so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self::in_buffer(BytesMut::with_capacity(bytes.max(HEADER_BYTES)))
    }

    /// As [`BatchBuilder::with_capacity`], in memory cut off the front of `block`, which must be empty.
    pub fn cut_from(block: &mut BytesMut, bytes: usize) -> Self {
        debug_assert!(block.is_empty());
        let bytes = bytes.max(HEADER_BYTES);
        block.reserve(bytes);
        let rest = block.split_off(bytes);
        Self::in_buffer(std::mem::replace(block, rest))
    }

    fn in_buffer(mut buffer: BytesMut) -> Self {
        buffer.put_bytes(0, HEADER_BYTES);
        BatchBuilder {
            buffer,
            count: 0,
            sum: 0,
            summed_to: HEADER_BYTES,
        }
    }

    /// Bytes of a batch of this message alone, or a few more.
    pub fn bytes_with(record: &Record<'_>) -> usize {
        HEADER_BYTES + Self::most_bytes(record)
    }

    /// Never less than what is written: twenty bytes for flags and lengths, ten more a header.
    fn most_bytes(record: &Record<'_>) -> usize {
        record.size() + 20 + 10 * record.headers.len()
    }

    /// Messages so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes so far, header included.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether there is no message yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether `record` still fits within the bounds of a batch and within `target_bytes`; the
    /// first message always fits.
    pub fn fits(&self, record: &Record<'_>, target_bytes: usize) -> bool {
        let after = self.len() + Self::most_bytes(record);
        self.is_empty()
            || (after <= target_bytes.min(limits::BATCH_BYTES)
                && self.count < limits::BATCH_MESSAGES)
    }

    /// Adds a message. Callers check [`limits::MESSAGE_BYTES`] and [`BatchBuilder::fits`] before.
    pub fn push(&mut self, record: &Record<'_>) {
        let mut flags = 0;
        if record.key.is_some() {
            flags |= HAS_KEY;
        }
        if !record.headers.is_empty() {
            flags |= HAS_HEADERS;
        }
        self.buffer.put_u8(flags);
        self.put_varint(record.body.len());
        if let Some(key) = record.key {
            self.put_sized(key);
        }
        if !record.headers.is_empty() {
            self.put_varint(record.headers.len());
            for (name, value) in &record.headers {
                self.put_sized(name.as_bytes());
                self.put_sized(value);
            }
        }
        self.put_body(record.body);
        self.count += 1;
    }

    /// Adds to the checksum what caches hold now, and may not any more when the batch is sealed. Of a large body
    /// they hold the source: to read the copy would be to wait until it is written.
    fn put_body(&mut self, body: &[u8]) {
        let is_large = body.len() >= SUMMED_AT_ONCE;
        if is_large || self.buffer.len() - self.summed_to >= SUMMED_AT_ONCE {
            self.sum_up();
        }
        self.buffer.put_slice(body);
        if is_large {
            self.sum = crc32c::crc32c_append(self.sum, body);
            self.summed_to = self.buffer.len();
        }
    }

    fn sum_up(&mut self) {
        self.sum = crc32c::crc32c_append(self.sum, &self.buffer[self.summed_to..]);
        self.summed_to = self.buffer.len();
    }

    /// Of header and records.
    fn checksum(&mut self) -> u32 {
        if self.summed_to == HEADER_BYTES {
            return crc32c::crc32c(&self.buffer[CHECKSUMMED_FROM..]);
        }
        self.sum_up();
        let header = crc32c::crc32c(&self.buffer[CHECKSUMMED_FROM..HEADER_BYTES]);
        checksum::join(header, self.sum, self.summed_to - HEADER_BYTES)
    }

    fn put_sized(&mut self, bytes: &[u8]) {
        self.put_varint(bytes.len());
        self.buffer.put_slice(bytes);
    }

    fn put_varint(&mut self, value: usize) {
        let mut rest = value;
        while rest >= 0x80 {
            self.buffer.put_u8(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.buffer.put_u8(rest as u8);
    }

    /// Seals the batch: header and checksum. Host fields stay zero.
    pub fn seal(
        mut self,
        topic: TopicId,
        producer: ProducerId,
        sequence: u64,
        produced: UnixMicros,
    ) -> Bytes {
        let length = self.buffer.len() as u32;
        let unpacked = length - HEADER_BYTES as u32;
        let header = &mut self.buffer[..HEADER_BYTES];
        header[0..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&length.to_le_bytes());
        header[40..56].copy_from_slice(&topic.0);
        header[56..72].copy_from_slice(&producer.0);
        header[72..80].copy_from_slice(&sequence.to_le_bytes());
        header[80..88].copy_from_slice(&produced.0.to_le_bytes());
        header[88..92].copy_from_slice(&self.count.to_le_bytes());
        header[92..96].copy_from_slice(&unpacked.to_le_bytes());
        let crc = self.checksum();
        self.buffer[32..36].copy_from_slice(&crc.to_le_bytes());
        self.buffer.freeze()
    }
}
