//! Long names in large chunks instead of one allocation each.
//!
//! A name takes its length rounded up to 8 bytes; a name that goes leaves a hole that the next name
//! of the same class takes, so nothing is ever moved and no hold of the lock grows with the table.

use crate::limits;

/// Bytes of a chunk; a name never crosses chunks.
const CHUNK: usize = 64 << 10;
/// Granularity of places, so that a u32 reaches 32 GiB.
const GRAIN: usize = 8;
const CLASSES: usize = limits::TOPIC_NAME_BYTES.div_ceil(GRAIN) + 1;

/// Where a name lies, in units of [`GRAIN`] bytes. A number as bytes, so that it fits in anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameAt([u8; 4]);

impl NameAt {
    fn new(start: usize) -> Self {
        let grains = u32::try_from(start / GRAIN).expect("the name arena is full");
        NameAt(grains.to_le_bytes())
    }

    /// The first byte.
    fn start(self) -> usize {
        u32::from_le_bytes(self.0) as usize * GRAIN
    }
}

#[derive(Debug)]
pub(super) struct NameArena {
    chunks: Vec<Box<[u8]>>,
    /// Bytes used in the last chunk.
    used: usize,
    holes: [Vec<NameAt>; CLASSES],
}

impl NameArena {
    pub(super) fn new() -> Self {
        NameArena {
            chunks: Vec::new(),
            used: CHUNK,
            holes: std::array::from_fn(|_| Vec::new()),
        }
    }

    pub(super) fn insert(&mut self, name: &str) -> NameAt {
        let class = name.len().div_ceil(GRAIN);
        let at = match self.holes[class].pop() {
            Some(at) => at,
            None => self.grow(class * GRAIN),
        };
        let start = at.start();
        self.chunks[start / CHUNK][start % CHUNK..][..name.len()].copy_from_slice(name.as_bytes());
        at
    }

    fn grow(&mut self, bytes: usize) -> NameAt {
        if self.used + bytes > CHUNK {
            self.chunks.push(vec![0; CHUNK].into_boxed_slice());
            self.used = 0;
        }
        let start = (self.chunks.len() - 1) * CHUNK + self.used;
        self.used += bytes;
        NameAt::new(start)
    }

    pub(super) fn remove(&mut self, at: NameAt, len: usize) {
        self.holes[len.div_ceil(GRAIN)].push(at);
    }

    pub(super) fn bytes(&self, at: NameAt, len: usize) -> &[u8] {
        let start = at.start();
        &self.chunks[start / CHUNK][start % CHUNK..][..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_bytes_and_holes_are_used_again() {
        let mut arena = NameArena::new();
        let names: Vec<String> = (0..20_000).map(|n| "n".repeat(n % 249 + 1)).collect();
        let places: Vec<NameAt> = names.iter().map(|name| arena.insert(name)).collect();
        for (name, &at) in names.iter().zip(&places) {
            assert_eq!(arena.bytes(at, name.len()), name.as_bytes());
        }
        let chunks = arena.chunks.len();
        for (name, &at) in names.iter().zip(&places) {
            arena.remove(at, name.len());
        }
        for name in &names {
            arena.insert(name);
        }
        assert_eq!(arena.chunks.len(), chunks);
    }
}
