//! Memory that a disk takes directly: whole blocks, at addresses that are multiples of a block's size.
//!
//! What is written so passes the system's page cache by: the disk fetches it from where it lies. Through
//! the cache each byte is copied once more, into pages that have to be found, cleared and given back.

use std::ops::{Deref, DerefMut};

use bytes::Bytes;

/// Bytes of a block: the page of a file system, and a multiple of any disk's own.
pub(super) const BLOCK_BYTES: usize = 4096;

/// Where the block that holds `position` begins.
pub(super) fn block_start(position: u64) -> u64 {
    position - position % BLOCK_BYTES as u64
}

/// Whether `bytes` can be written at `at` of a file without the page cache.
pub(super) fn is_whole(bytes: &[u8], at: u64) -> bool {
    let address = bytes.as_ptr().addr();
    [address, bytes.len(), (at % BLOCK_BYTES as u64) as usize]
        .iter()
        .all(|number| number.is_multiple_of(BLOCK_BYTES))
}

/// Bytes in such memory, growing at their end.
#[derive(Debug)]
pub(super) struct Blocks {
    /// What lies before the first whole address, then the bytes.
    memory: Vec<u8>,
    skip: usize,
}

impl Blocks {
    /// With room for so many bytes, rounded up to blocks.
    pub(super) fn with_capacity(bytes: usize) -> Blocks {
        let bytes = bytes.next_multiple_of(BLOCK_BYTES);
        let mut memory: Vec<u8> = Vec::with_capacity(bytes + BLOCK_BYTES);
        let skip = memory.as_ptr().align_offset(BLOCK_BYTES);
        memory.resize(skip, 0);
        Blocks { memory, skip }
    }

    /// So many zeros, rounded up to blocks.
    pub(super) fn zeroed(bytes: usize) -> Blocks {
        let mut blocks = Blocks::with_capacity(bytes);
        blocks.resize(bytes.next_multiple_of(BLOCK_BYTES));
        blocks
    }

    /// Bytes that fit in before the memory has to move.
    pub(super) fn capacity(&self) -> usize {
        self.memory.capacity() - self.skip
    }

    pub(super) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.memory.extend_from_slice(bytes);
    }

    /// Appends what `write` appends.
    pub(super) fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.extend_from_slice(&bytes);
    }

    /// Cuts it, or fills it up with zeros.
    pub(super) fn resize(&mut self, length: usize) {
        self.make_room(length.saturating_sub(self.len()));
        self.memory.resize(self.skip + length, 0);
    }

    pub(super) fn clear(&mut self) {
        self.memory.truncate(self.skip);
    }

    /// The same memory, shared from now on.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from(self.memory).slice(self.skip..)
    }

    /// A vector that grows by itself would lose its whole address.
    fn make_room(&mut self, more: usize) {
        let length = self.len() + more;
        if length > self.capacity() {
            let mut larger = Blocks::with_capacity(length.max(self.capacity() * 2));
            larger.memory.extend_from_slice(self);
            *self = larger;
        }
    }
}

impl Deref for Blocks {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.skip..]
    }
}

impl DerefMut for Blocks {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.skip..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_stays_whole_while_it_grows() {
        for capacity in [0, 1, 4_096, 5_000] {
            let mut blocks = Blocks::with_capacity(capacity);
            let mut expected = Vec::new();
            for step in 0..2_000u32 {
                blocks.extend_from_slice(&step.to_le_bytes());
                expected.extend_from_slice(&step.to_le_bytes());
            }
            blocks.append(|bytes| bytes.push(7));
            expected.push(7);
            blocks.resize(expected.len().next_multiple_of(BLOCK_BYTES));
            expected.resize(blocks.len(), 0);
            assert_eq!(&blocks[..], &expected[..]);
            assert!(is_whole(&blocks, 8_192));
            assert!(!is_whole(&blocks, 8_191) && !is_whole(&blocks[1..], 8_192));
            let shared = blocks.into_bytes();
            assert!(is_whole(&shared, 0));
            assert_eq!(shared, expected);
        }
        assert!(is_whole(&Blocks::zeroed(1), 0));
        assert_eq!(block_start(8_191), 4_096);
    }
}
