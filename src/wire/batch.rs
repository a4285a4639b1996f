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

use bytes::{BufMut, Bytes, BytesMut};

use crate::limits;
use crate::types::{Epoch, Offset, ProducerId, TopicId, UnixMicros};

/// Bytes of the fixed header.
pub const HEADER_BYTES: usize = 96;
const MAGIC: [u8; 4] = *b"WPB1";
const CHECKSUMMED_FROM: usize = 36;

const RECORD_HAS_KEY: u8 = 1;
const RECORD_HAS_HEADERS: u8 = 2;

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
    let mut cursor = Cursor::new(&bytes[HEADER_BYTES..]);
    for index in 0..header.count {
        cursor
            .record()
            .map_err(|what| BatchError::Record { index, what })?;
    }
    if !cursor.rest.is_empty() {
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

/// One message inside a batch, borrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// The key, if the message has one.
    pub key: Option<&'a [u8]>,
    /// Headers in the order given: name and value.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// The body; may be empty.
    pub body: &'a [u8],
}

impl Record<'_> {
    /// Bytes that count against [`limits::MESSAGE_BYTES`].
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(n, v)| n.len() + v.len()).sum();
        self.key.map_or(0, <[u8]>::len) + headers + self.body.len()
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Cursor { rest }
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let (&first, rest) = self.rest.split_first().ok_or("cut short")?;
        self.rest = rest;
        Ok(first)
    }

    fn varint(&mut self) -> Result<usize, &'static str> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value)
                    .map(|v| v as usize)
                    .map_err(|_| "a length over 32 bits");
            }
        }
        Err("a length over 32 bits")
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("cut short")?;
        self.rest = rest;
        Ok(taken)
    }

    fn sized(&mut self) -> Result<&'a [u8], &'static str> {
        let count = self.varint()?;
        self.bytes(count)
    }

    fn record(&mut self) -> Result<Record<'a>, &'static str> {
        let flags = self.byte()?;
        if flags & !(RECORD_HAS_KEY | RECORD_HAS_HEADERS) != 0 {
            return Err("unknown record flags");
        }
        let body_bytes = self.varint()?;
        let key = match flags & RECORD_HAS_KEY {
            0 => None,
            _ => Some(self.sized()?),
        };
        let mut headers = Vec::new();
        if flags & RECORD_HAS_HEADERS != 0 {
            for _ in 0..self.varint()? {
                let name =
                    std::str::from_utf8(self.sized()?).map_err(|_| "a header name is not UTF-8")?;
                headers.push((name, self.sized()?));
            }
        }
        let body = self.bytes(body_bytes)?;
        Ok(Record { key, headers, body })
    }
}

/// Reads the messages of a batch whose header was read before. Offsets run from `header.base`.
pub fn records(bytes: &[u8]) -> Result<Vec<(Offset, Record<'_>)>, BatchError> {
    let header = read_header(bytes)?;
    let mut cursor = Cursor::new(&bytes[HEADER_BYTES..]);
    (0..header.count)
        .map(|index| {
            let record = cursor
                .record()
                .map_err(|what| BatchError::Record { index, what })?;
            Ok((header.base.plus(u64::from(index)), record))
        })
        .collect()
}

/// Builds one batch.
#[derive(Debug)]
pub struct BatchBuilder {
    buffer: BytesMut,
    count: u32,
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
        let mut buffer = BytesMut::with_capacity(bytes.max(HEADER_BYTES));
        buffer.put_bytes(0, HEADER_BYTES);
        BatchBuilder { buffer, count: 0 }
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
        // Ten bytes for flags and lengths, ten more a header: never less than what is written.
        let after = self.len() + record.size() + 20 + 10 * record.headers.len();
        self.is_empty()
            || (after <= target_bytes.min(limits::BATCH_BYTES)
                && self.count < limits::BATCH_MESSAGES)
    }

    /// Adds a message. Callers check [`limits::MESSAGE_BYTES`] and [`BatchBuilder::fits`] before.
    pub fn push(&mut self, record: &Record<'_>) {
        let mut flags = 0;
        if record.key.is_some() {
            flags |= RECORD_HAS_KEY;
        }
        if !record.headers.is_empty() {
            flags |= RECORD_HAS_HEADERS;
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
        self.buffer.put_slice(record.body);
        self.count += 1;
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
        let crc = crc32c::crc32c(&self.buffer[CHECKSUMMED_FROM..]);
        self.buffer[32..36].copy_from_slice(&crc.to_le_bytes());
        self.buffer.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(body: &[u8]) -> Record<'_> {
        Record {
            key: None,
            headers: vec![],
            body,
        }
    }

    fn sample() -> Bytes {
        let mut builder = BatchBuilder::new();
        builder.push(&body(b"hello"));
        builder.push(&Record {
            key: Some(b"k"),
            headers: vec![("trace", b"\x01\x02")],
            body: b"",
        });
        builder.seal(TopicId([1; 16]), ProducerId([2; 16]), 7, UnixMicros(1_000))
    }

    #[test]
    fn the_layout_is_frozen() {
        let hex: String = sample().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            concat!(
                "57504231",
                "75000000",
                "0000000000000000",
                "0000000000000000",
                "0000000000000000",
                "2d8187d3",
                "0000",
                "0000",
                "01010101010101010101010101010101",
                "02020202020202020202020202020202",
                "0700000000000000",
                "e803000000000000",
                "02000000",
                "15000000",
                "0005",
                "68656c6c6f",
                "0300",
                "016b",
                "0105",
                "7472616365",
                "020102"
            )
        );
    }

    #[test]
    fn host_fields_leave_the_checksum_true() {
        let mut bytes = sample().to_vec();
        let epoch = Epoch {
            grant: 3,
            incarnation: 4,
        };
        set_host_fields(&mut bytes, Offset(42), epoch, UnixMicros(-5));
        let header = verify(&bytes).unwrap();
        assert_eq!((header.base, header.end()), (Offset(42), Offset(44)));
        assert_eq!((header.epoch, header.appended), (epoch, UnixMicros(-5)));
        assert_eq!(header.next_sequence(), 9);
        let messages = records(&bytes).unwrap();
        assert_eq!(messages[0], (Offset(42), body(b"hello")));
        assert_eq!(messages[1].1.key, Some(b"k".as_slice()));
    }

    #[test]
    fn a_renumbered_batch_is_the_one_sealed_so_from_the_start() {
        let mut builder = BatchBuilder::new();
        builder.push(&body(b"hello"));
        let bytes = builder.seal(TopicId([1; 16]), ProducerId([2; 16]), 7, UnixMicros(1_000));
        let mut builder = BatchBuilder::new();
        builder.push(&body(b"hello"));
        let other = builder.seal(TopicId([1; 16]), ProducerId([3; 16]), 0, UnixMicros(1_000));
        assert_eq!(renumber(&bytes, ProducerId([3; 16]), 0), other);
    }

    #[test]
    fn every_flipped_bit_of_the_producers_part_is_noticed() {
        let good = sample();
        for at in 0..good.len() {
            // The host's fields are not under the producer's checksum.
            if (8..32).contains(&at) {
                continue;
            }
            for bit in 0..8 {
                let mut bad = good.to_vec();
                bad[at] ^= 1 << bit;
                assert!(verify(&bad).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn a_count_that_lies_is_refused() {
        let mut builder = BatchBuilder::new();
        builder.push(&body(b"x"));
        builder.count = 2;
        let bytes = builder.seal(TopicId([0; 16]), ProducerId([0; 16]), 0, UnixMicros(0));
        assert_eq!(
            verify(&bytes),
            Err(BatchError::Record {
                index: 1,
                what: "cut short"
            })
        );
    }

    proptest! {
        #[test]
        fn what_is_built_is_read(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20),
            key in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
        ) {
            let mut builder = BatchBuilder::new();
            for b in &bodies {
                builder.push(&Record { key: key.as_deref(), headers: vec![("h", b)], body: b });
            }
            let bytes = builder.seal(TopicId([1; 16]), ProducerId([2; 16]), 0, UnixMicros(0));
            prop_assert!(verify(&bytes).is_ok());
            let read = records(&bytes).unwrap();
            prop_assert_eq!(read.len(), bodies.len());
            for ((_, record), b) in read.iter().zip(&bodies) {
                prop_assert_eq!(record.body, &b[..]);
                prop_assert_eq!(record.key, key.as_deref());
            }
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = verify(&bytes);
            let _ = records(&bytes);
        }
    }
}
