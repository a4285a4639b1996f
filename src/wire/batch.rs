//! The batch: the same bytes from producer to disk to subscriber.
//!
//! The producer builds it and seals it with a checksum; the host fills in base offset, epoch and
//! append time, which lie before the checksummed part. All integers are little-endian.
//!
//! ```text
//!   0  u32   magic      "WPB1"                                  set by producer
//!   4  u32   length     bytes of the whole batch                set by producer
//!   8  u64   base       offset of the first message             set by host
//!  16  u64   epoch      grant << 32 | incarnation               set by host
//!  24  i64   appended   host's wall time, µs, non-decreasing    set by host
//!  32  u32   crc32c     of bytes 36 .. length                   set by producer
//!  36  u16   flags      bits 0-3 compression, 4 encryption (0)
//!  38  u16   zero
//!  40  [16]  topic id
//!  56  [16]  producer id: the start of its key's fingerprint, then random
//!  72  u64   sequence   of the first message, per (producer, topic)
//!  80  i64   produced   producer's wall time, µs
//!  88  u32   count      messages
//!  92  u32   unpacked   bytes of the records region before compression
//!  96  ...   records
//! ```
//!
//! A record is `u8 flags (1 = key, 2 = headers) · varint body bytes · [varint key bytes · key] ·
//! [varint header count · (varint · name · varint · value)*] · body`; varints are LEB128 of u32.

mod builder;
mod checksum;
mod record;
#[cfg(test)]
mod tests;

pub use builder::BatchBuilder;
pub use record::{Record, records};

use bytes::{Bytes, BytesMut};

use crate::limits;
use crate::types::{Epoch, Offset, ProducerId, TopicId, UnixMicros};

/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 96;
const MAGIC: [u8; 4] = *b"WPB1";
const CHECKSUMMED_FROM: usize = 36;

/// The fixed header of a batch, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Bytes of the whole batch, header included.
    pub length: u32,
    /// Offset of the first message; 0 until the host has set it.
    pub base: Offset,
    /// The host's epoch when it appended the batch.
    pub epoch: Epoch,
    /// The host's wall time at the append.
    pub appended: UnixMicros,
    /// crc32c over everything from the flags on.
    pub crc: u32,
    /// Compression and encryption; 0 is neither.
    pub flags: u16,
    /// The topic that the batch was made for.
    pub topic: TopicId,
    /// Who made it.
    pub producer: ProducerId,
    /// Sequence of the first message; message i has `sequence + i`.
    pub sequence: u64,
    /// The producer's wall time.
    pub produced: UnixMicros,
    /// Messages in the batch.
    pub count: u32,
    /// Bytes of the records region when unpacked.
    pub unpacked: u32,
}

impl BatchHeader {
    /// The offset after the last message.
    pub fn end(&self) -> Offset {
        self.base.plus(u64::from(self.count))
    }

    /// The sequence after the last message.
    pub fn next_sequence(&self) -> u64 {
        self.sequence + u64::from(self.count)
    }
}

/// Why bytes are not a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than a header, or than the header's length says.
    #[error("a batch is cut short: {found} bytes of {expected}")]
    Short {
        /// Bytes needed.
        expected: usize,
        /// Bytes there.
        found: usize,
    },
    /// More bytes than the header's length says.
    #[error("{extra} bytes follow the batch")]
    Trailing {
        /// Bytes too many.
        extra: usize,
    },
    /// The first four bytes are not the magic of this version.
    #[error("not a batch: it starts with {found:02x?}, expected {MAGIC:02x?}")]
    Magic {
        /// The bytes seen.
        found: [u8; 4],
    },
    /// The length lies outside what a batch may have.
    #[error("a batch of {found} bytes; allowed are {HEADER_BYTES} to {max}", max = limits::BATCH_BYTES)]
    Length {
        /// The length seen.
        found: usize,
    },
    /// The message count lies outside what a batch may have.
    #[error("a batch of {found} messages; allowed are 1 to {max}", max = limits::BATCH_MESSAGES)]
    Count {
        /// The count seen.
        found: u32,
    },
    /// The sequence range does not fit into 64 bits.
    #[error("the batch's sequences run past 2^64")]
    Sequence,
    /// The checksum does not fit the content.
    #[error("a batch's checksum is {found:08x}, its content has {computed:08x}")]
    Checksum {
        /// The stored checksum.
        found: u32,
        /// What the content gives.
        computed: u32,
    },
    /// Flags that this version does not know.
    #[error("a batch with unknown flags {found:#06x}")]
    Flags {
        /// The flags seen.
        found: u16,
    },
    /// A batch that does not continue where the one before ended.
    #[error("a batch with messages {first} to {end} (exclusive) came where {expected} was due")]
    Discontinuous {
        /// The offset that was due.
        expected: Offset,
        /// Its first offset.
        first: Offset,
        /// The offset after its last.
        end: Offset,
    },
    /// The records region does not hold `count` records.
    #[error("record {index} of the batch is malformed: {what}")]
    Record {
        /// Which record, from 0.
        index: u32,
        /// What is wrong with it.
        what: &'static str,
    },
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// Reads the header at the start of `bytes` and checks its bounds, not the checksum. `bytes` may
/// hold more than the batch, or only its header.
pub fn read_header(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    if bytes.len() < HEADER_BYTES {
        return Err(BatchError::Short {
            expected: HEADER_BYTES,
            found: bytes.len(),
        });
    }
    let magic = array(bytes, 0);
    if magic != MAGIC {
        return Err(BatchError::Magic { found: magic });
    }
    let header = BatchHeader {
        length: u32_at(bytes, 4),
        base: Offset(u64_at(bytes, 8)),
        epoch: Epoch::from_u64(u64_at(bytes, 16)),
        appended: UnixMicros(u64_at(bytes, 24) as i64),
        crc: u32_at(bytes, 32),
        flags: u16::from_le_bytes(array(bytes, 36)),
        topic: TopicId(array(bytes, 40)),
        producer: ProducerId(array(bytes, 56)),
        sequence: u64_at(bytes, 72),
        produced: UnixMicros(u64_at(bytes, 80) as i64),
        count: u32_at(bytes, 88),
        unpacked: u32_at(bytes, 92),
    };
    let length = header.length as usize;
    if !(HEADER_BYTES..=limits::BATCH_BYTES).contains(&length) {
        return Err(BatchError::Length { found: length });
    }
    if !(1..=limits::BATCH_MESSAGES).contains(&header.count) {
        return Err(BatchError::Count {
            found: header.count,
        });
    }
    if header
        .sequence
        .checked_add(u64::from(header.count))
        .is_none()
    {
        return Err(BatchError::Sequence);
    }
    Ok(header)
}

/// Checks a whole batch as a host must before it takes it: bounds, length, checksum and that the
/// records region holds exactly `count` records.
pub fn verify(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = read_header(bytes)?;
    let length = header.length as usize;
    if bytes.len() < length {
        return Err(BatchError::Short {
            expected: length,
            found: bytes.len(),
        });
    }
    if bytes.len() > length {
        return Err(BatchError::Trailing {
            extra: bytes.len() - length,
        });
    }
    let computed = crc32c::crc32c(&bytes[CHECKSUMMED_FROM..]);
    if computed != header.crc {
        return Err(BatchError::Checksum {
            found: header.crc,
            computed,
        });
    }
    if header.flags != 0 {
        return Err(BatchError::Flags {
            found: header.flags,
        });
    }
    let mut cursor = record::Cursor::new(&bytes[HEADER_BYTES..]);
    for index in 0..header.count {
        cursor
            .record()
            .map_err(|what| BatchError::Record { index, what })?;
    }
    if !cursor.is_at_end() {
        return Err(BatchError::Record {
            index: header.count,
            what: "bytes follow the last record",
        });
    }
    Ok(header)
}

/// Sets what the host owns: base offset, epoch and append time. The producer's checksum stays true.
///
/// # Panics
/// If `bytes` is shorter than a header; callers have verified the batch.
pub fn set_host_fields(bytes: &mut [u8], base: Offset, epoch: Epoch, appended: UnixMicros) {
    bytes[8..16].copy_from_slice(&base.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&epoch.as_u64().to_le_bytes());
    bytes[24..32].copy_from_slice(&appended.0.to_le_bytes());
}

/// The same records under another producer and sequence: for a batch that its producer knows was
/// never appended.
///
/// # Panics
/// If `bytes` is shorter than a header; callers have sealed the batch themselves.
pub fn renumber(bytes: &[u8], producer: ProducerId, sequence: u64) -> Bytes {
    let mut copy = BytesMut::from(bytes);
    copy[56..72].copy_from_slice(&producer.0);
    copy[72..80].copy_from_slice(&sequence.to_le_bytes());
    let crc = crc32c::crc32c(&copy[CHECKSUMMED_FROM..]);
    copy[32..36].copy_from_slice(&crc.to_le_bytes());
    copy.freeze()
}

/// Splits concatenated batches: the first batch's bytes and what follows, `None` at the end.
pub fn split_first(bytes: &Bytes) -> Result<Option<(Bytes, Bytes)>, BatchError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let length = read_header(bytes)?.length as usize;
    if bytes.len() < length {
        return Err(BatchError::Short {
            expected: length,
            found: bytes.len(),
        });
    }
    Ok(Some((bytes.slice(..length), bytes.slice(length..))))
}
