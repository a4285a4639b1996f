//! Byte layouts of a segment: its header block and the header of each entry.
//!
//! All integers are little-endian. A segment begins with a block of 4,096 bytes that holds the
//! segment header twice, at 0 and at 2,048, so that one bad sector does not cost the segment:
//!
//! ```text
//!   0  u32   magic       "WPJS"
//!   4  u16   version     1
//!   6  u16   flags       1 = rewritten: holds only what was kept of it
//!   8  u64   sequence    number of the segment, from 1 without gaps
//!  16  u64   generation  random, new each time the file is used
//!  24  [16]  storage id  of the folder
//!  40  i64   made        wall time, µs
//!  48  [12]  zero
//!  60  u32   crc32c      of bytes 0 .. 60
//! ```
//!
//! Entries follow from 4,096 on, each at a multiple of 8, the body padded with zeros:
//!
//! ```text
//!   0  u32   crc32c      of generation (u64), file position of this header (u64), bytes 4 .. 32
//!   4  u32   length      bytes of the body, without padding
//!   8  u64   group       number of the group commit, from 1 without gaps
//!  16  u32   crc32c      of the body
//!  20  u16   kind        what the body is, see `record`
//!  22  u16   flags       1 = last entry of its group
//!  24  u64   topic       first 8 bytes of the topic id, 0 where no topic is meant
//!  32  ...   body
//! ```
//!
//! The seed makes that bytes left over from an earlier use of the file, or from another place in
//! it, never pass. The topic is repeated so that a damaged body accuses one topic only.

use crate::limits;
use crate::types::{StorageId, TopicId, UnixMicros};

/// The version of segment, footer and checkpoint that is written.
pub const VERSION: u16 = 1;
/// Where the first entry of a segment lies.
pub const FIRST_ENTRY: u64 = 4096;
/// Bytes of an entry's header.
pub const ENTRY_HEADER_BYTES: usize = 32;
/// Flag of the last entry of a group.
pub const LAST_OF_GROUP: u16 = 1;
/// Flag of a segment that was rewritten: its groups are no chain any more.
const REWRITTEN: u16 = 1;

const HEADER_BYTES: usize = 64;
const SECOND_COPY: usize = 2048;
const MAGIC: [u8; 4] = *b"WPJS";

/// Copies `N` bytes out of a slice that is long enough.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Number of the segment.
    pub sequence: u64,
    /// Random seed of its entry checksums.
    pub generation: u64,
    /// The folder that it belongs to.
    pub storage: StorageId,
    /// When it was made.
    pub made: UnixMicros,
    /// Holds only what was kept of the segment that it took the place of, and is never replayed.
    pub rewritten: bool,
}

/// Why a header block cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// Neither copy passes its checksum.
    Damaged,
    /// Sound, but of another version.
    Version(u16),
}

impl SegmentHeader {
    /// The whole block with both copies.
    pub fn encode(&self) -> Vec<u8> {
        let mut copy = [0; HEADER_BYTES];
        copy[0..4].copy_from_slice(&MAGIC);
        copy[4..6].copy_from_slice(&VERSION.to_le_bytes());
        let flags = if self.rewritten { REWRITTEN } else { 0 };
        copy[6..8].copy_from_slice(&flags.to_le_bytes());
        copy[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        copy[16..24].copy_from_slice(&self.generation.to_le_bytes());
        copy[24..40].copy_from_slice(&self.storage.0);
        copy[40..48].copy_from_slice(&self.made.0.to_le_bytes());
        let crc = crc32c::crc32c(&copy[..60]);
        copy[60..64].copy_from_slice(&crc.to_le_bytes());
        let mut block = vec![0; FIRST_ENTRY as usize];
        block[..HEADER_BYTES].copy_from_slice(&copy);
        block[SECOND_COPY..SECOND_COPY + HEADER_BYTES].copy_from_slice(&copy);
        block
    }

    /// Reads a header block; either copy will do.
    pub fn decode(block: &[u8]) -> Result<SegmentHeader, HeaderError> {
        let first = Self::decode_copy(block, 0);
        match first {
            Err(HeaderError::Damaged) => Self::decode_copy(block, SECOND_COPY),
            other => other,
        }
    }

    fn decode_copy(block: &[u8], at: usize) -> Result<SegmentHeader, HeaderError> {
        let copy = block
            .get(at..at + HEADER_BYTES)
            .ok_or(HeaderError::Damaged)?;
        if copy[..4] != MAGIC || u32_at(copy, 60) != crc32c::crc32c(&copy[..60]) {
            return Err(HeaderError::Damaged);
        }
        match u16_at(copy, 4) {
            VERSION => Ok(SegmentHeader {
                sequence: u64_at(copy, 8),
                generation: u64_at(copy, 16),
                storage: StorageId(array(copy, 24)),
                made: UnixMicros(u64_at(copy, 40) as i64),
                rewritten: u16_at(copy, 6) & REWRITTEN != 0,
            }),
            other => Err(HeaderError::Version(other)),
        }
    }
}

/// The header of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryHeader {
    /// Bytes of the body.
    pub length: u32,
    /// Group commit that it belongs to.
    pub group: u64,
    /// Checksum of the body.
    pub body_crc: u32,
    /// What the body is.
    pub kind: u16,
    /// [`LAST_OF_GROUP`] or nothing.
    pub flags: u16,
    /// See [`topic_mark`].
    pub topic: u64,
}

/// What an entry's header repeats of its topic.
pub fn topic_mark(topic: &TopicId) -> u64 {
    u64_at(&topic.0, 0)
}

/// Bytes that an entry takes in the file.
pub fn entry_bytes(body: usize) -> usize {
    ENTRY_HEADER_BYTES + body.next_multiple_of(8)
}

fn seeded_crc(header: &[u8; ENTRY_HEADER_BYTES], generation: u64, position: u64) -> u32 {
    let mut seeded = [0; 44];
    seeded[0..8].copy_from_slice(&generation.to_le_bytes());
    seeded[8..16].copy_from_slice(&position.to_le_bytes());
    seeded[16..44].copy_from_slice(&header[4..]);
    crc32c::crc32c(&seeded)
}

impl EntryHeader {
    /// The bytes of the header for a place in a segment.
    pub fn encode(&self, generation: u64, position: u64) -> [u8; ENTRY_HEADER_BYTES] {
        let mut out = [0; ENTRY_HEADER_BYTES];
        out[4..8].copy_from_slice(&self.length.to_le_bytes());
        out[8..16].copy_from_slice(&self.group.to_le_bytes());
        out[16..20].copy_from_slice(&self.body_crc.to_le_bytes());
        out[20..22].copy_from_slice(&self.kind.to_le_bytes());
        out[22..24].copy_from_slice(&self.flags.to_le_bytes());
        out[24..32].copy_from_slice(&self.topic.to_le_bytes());
        let crc = seeded_crc(&out, generation, position);
        out[0..4].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The header at the start of `bytes`, if it is one for this place.
    pub fn decode(bytes: &[u8], generation: u64, position: u64) -> Option<EntryHeader> {
        let raw = bytes.first_chunk::<ENTRY_HEADER_BYTES>()?;
        let header = EntryHeader {
            length: u32_at(raw, 4),
            group: u64_at(raw, 8),
            body_crc: u32_at(raw, 16),
            kind: u16_at(raw, 20),
            flags: u16_at(raw, 22),
            topic: u64_at(raw, 24),
        };
        // The cheap refusals first: a search for the next entry calls this at every 8 bytes.
        let plausible = header.kind != 0
            && header.flags & !LAST_OF_GROUP == 0
            && header.group != 0
            && header.length as usize <= limits::BATCH_BYTES;
        (plausible && u32_at(raw, 0) == seeded_crc(raw, generation, position)).then_some(header)
    }

    /// Bytes of the whole entry in the file.
    pub fn total(&self) -> u64 {
        entry_bytes(self.length as usize) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    const SEGMENT: SegmentHeader = SegmentHeader {
        sequence: 3,
        generation: 0x1122_3344_5566_7788,
        storage: StorageId([9; 16]),
        made: UnixMicros(1_000_000),
        rewritten: false,
    };

    #[test]
    fn the_segment_header_is_frozen() {
        let block = SEGMENT.encode();
        assert_eq!(block.len(), 4096);
        assert_eq!(
            hex(&block[..64]),
            concat!(
                "57504a53",
                "0100",
                "0000",
                "0300000000000000",
                "8877665544332211",
                "09090909090909090909090909090909",
                "40420f0000000000",
                "000000000000000000000000",
                "3d91eb63"
            )
        );
        assert_eq!(block[..64], block[2048..2112]);
        let rewritten = SegmentHeader {
            rewritten: true,
            ..SEGMENT
        };
        let block = rewritten.encode();
        assert_eq!(hex(&block[4..8]), "01000100");
        assert_eq!(SegmentHeader::decode(&block), Ok(rewritten));
    }

    #[test]
    fn either_copy_of_the_header_will_do() {
        let block = SEGMENT.encode();
        for at in 0..block.len() {
            let mut bad = block.clone();
            bad[at] ^= 0x40;
            assert_eq!(SegmentHeader::decode(&bad), Ok(SEGMENT), "byte {at}");
        }
        let mut bad = block;
        bad[9] ^= 1;
        bad[2048 + 9] ^= 1;
        assert_eq!(SegmentHeader::decode(&bad), Err(HeaderError::Damaged));
        assert_eq!(SegmentHeader::decode(&[]), Err(HeaderError::Damaged));
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut block = SEGMENT.encode();
        block[4] = 2;
        let crc = crc32c::crc32c(&block[..60]);
        block[60..64].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&block), Err(HeaderError::Version(2)));
    }

    const ENTRY: EntryHeader = EntryHeader {
        length: 5,
        group: 7,
        body_crc: 0xdead_beef,
        kind: 1,
        flags: LAST_OF_GROUP,
        topic: 0x0807_0605_0403_0201,
    };

    #[test]
    fn the_entry_header_is_frozen() {
        assert_eq!(
            hex(&ENTRY.encode(0x1122, 4096)),
            concat!(
                "98402bf2",
                "05000000",
                "0700000000000000",
                "efbeadde",
                "0100",
                "0100",
                "0102030405060708"
            )
        );
        assert_eq!(ENTRY.total(), 40);
    }

    #[test]
    fn an_entry_passes_only_in_its_place_and_generation() {
        let bytes = ENTRY.encode(1, 4096);
        assert_eq!(EntryHeader::decode(&bytes, 1, 4096), Some(ENTRY));
        assert_eq!(EntryHeader::decode(&bytes, 2, 4096), None);
        assert_eq!(EntryHeader::decode(&bytes, 1, 4104), None);
        assert_eq!(EntryHeader::decode(&bytes[..31], 1, 4096), None);
        for at in 0..32 {
            for bit in 0..8 {
                let mut bad = bytes;
                bad[at] ^= 1 << bit;
                assert_eq!(EntryHeader::decode(&bad, 1, 4096), None, "byte {at}");
            }
        }
    }
}
