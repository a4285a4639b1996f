//! A group on its way to the segment: its entries, laid out as they will lie there.
//!
//! ```text
//!   blocks   ├─ begun ─┬─ entries of the group ──────────┬ zeros ┤
//!            at        start                             end
//! ```
//!
//! Disks write whole blocks. So a group begins with what the log has of the block that it goes on in, and ends
//! with zeros, in whose place the next one begins. Writing the begun block again is no risk to what was
//! synced: each of its sectors holds the same bytes before and after.

use bytes::Bytes;

use super::blocks::{BLOCK_BYTES, Blocks, block_start};
use super::index::Place;
use super::layout::{ENTRY_HEADER_BYTES, EntryHeader, FIRST_ENTRY, LAST_OF_GROUP, topic_mark};
use super::record::Record;
use super::space::Prepared;
use super::view::Effect;
use crate::limits;
use crate::wire::batch;

/// The end of the log, where the next group begins.
#[derive(Debug)]
pub(super) struct Tail {
    position: u64,
    /// What the log has of the block at its end, less than a whole one.
    begun: Vec<u8>,
    /// Memory of a group before, to be used again.
    spare: Option<Blocks>,
}

impl Tail {
    /// At `position`, whose block begins with `begun`.
    pub(super) fn new(position: u64, begun: Vec<u8>) -> Tail {
        debug_assert_eq!(block_start(position) + begun.len() as u64, position);
        Tail {
            position,
            begun,
            spare: None,
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Goes on in another segment, which has no entries yet.
    pub(super) fn begin_segment(&mut self) {
        self.position = FIRST_ENTRY;
        self.begun.clear();
    }

    /// Goes on behind a group that is written.
    pub(super) fn advance(&mut self, written: Written) {
        self.position = written.end;
        let at = block_start(written.end) - written.at;
        self.begun.clear();
        let end = (written.end - written.at) as usize;
        self.begun
            .extend_from_slice(&written.bytes()[at as usize..end]);
        self.keep(written.memory);
    }

    /// A group that came to nothing.
    pub(super) fn take_back(&mut self, group: Group) {
        self.keep(Memory::Own(group.blocks));
    }

    fn keep(&mut self, memory: Memory) {
        if let Memory::Own(blocks) = memory
            && blocks.capacity() <= limits::GROUP_COPY_BYTES * 2
        {
            self.spare = Some(blocks);
        }
    }

    fn blocks(&mut self, bytes: usize) -> Blocks {
        let bytes = self.begun.len() + bytes;
        let spare = self.spare.take();
        let mut blocks = match spare.filter(|spare| spare.capacity() >= bytes) {
            Some(spare) => spare,
            None => Blocks::with_capacity(bytes),
        };
        blocks.clear();
        blocks.extend_from_slice(&self.begun);
        blocks
    }
}

/// A group in the making.
pub(super) struct Group {
    number: u64,
    segment: u64,
    generation: u64,
    /// Position of the first block.
    at: u64,
    /// Position of the first entry.
    start: u64,
    blocks: Blocks,
    /// What was decided, in order.
    pub(super) effects: Vec<Effect>,
    last: Option<(usize, EntryHeader)>,
}

impl Group {
    /// One of up to about `bytes`, at the tail of the active segment.
    pub(super) fn begin(number: u64, active: &Prepared, tail: &mut Tail, bytes: usize) -> Group {
        Group {
            number,
            segment: active.sequence,
            generation: active.generation,
            at: block_start(tail.position),
            start: tail.position,
            blocks: tail.blocks(bytes),
            effects: Vec::new(),
            last: None,
        }
    }

    fn position(&self) -> u64 {
        self.at + self.blocks.len() as u64
    }

    /// Bytes of its entries.
    pub(super) fn bytes(&self) -> u64 {
        self.position() - self.start
    }

    /// Lays an entry.
    pub(super) fn lay(&mut self, record: &Record, bytes: Option<&[u8]>) -> Place {
        let at = self.blocks.len();
        let position = self.position();
        let body_at = at + ENTRY_HEADER_BYTES;
        self.blocks.resize(body_at);
        match (record, bytes) {
            (Record::Batch(header), Some(bytes)) => {
                self.blocks.extend_from_slice(bytes);
                let body = &mut self.blocks[body_at..];
                // Those of a copy are what they were.
                batch::set_host_fields(body, header.base, header.epoch, header.appended);
            }
            _ => self.blocks.append(|out| record.encode(out)),
        }
        let body = &self.blocks[body_at..];
        let header = EntryHeader {
            length: body.len() as u32,
            group: self.number,
            body_crc: crc32c::crc32c(body),
            kind: record.kind(),
            flags: 0,
            topic: record.topic().as_ref().map_or(0, topic_mark),
        };
        let raw = header.encode(self.generation, position);
        self.blocks[at..body_at].copy_from_slice(&raw);
        self.blocks.resize(at + header.total() as usize);
        self.last = Some((at, header));
        Place {
            segment: self.segment,
            position,
            bytes: header.total(),
        }
    }

    /// Marks the last entry as the group's last, and fills the last block up.
    pub(super) fn seal(mut self) -> SealedGroup {
        if let Some((at, mut header)) = self.last {
            header.flags = LAST_OF_GROUP;
            let raw = header.encode(self.generation, self.at + at as u64);
            self.blocks[at..at + ENTRY_HEADER_BYTES].copy_from_slice(&raw);
        }
        let end = self.position();
        let entries = (self.start - self.at) as usize..self.blocks.len();
        self.blocks
            .resize(self.blocks.len().next_multiple_of(BLOCK_BYTES));
        let (memory, shared) = if entries.len() <= limits::GROUP_COPY_BYTES {
            let shared = Bytes::copy_from_slice(&self.blocks[entries]);
            (Memory::Own(self.blocks), shared)
        } else {
            let all = self.blocks.into_bytes();
            let shared = all.slice(entries);
            (Memory::Shared(all), shared)
        };
        SealedGroup {
            number: self.number,
            effects: self.effects,
            start: self.start,
            shared,
            blocks: Written {
                at: self.at,
                end,
                memory,
            },
        }
    }
}

/// A group that is complete.
#[derive(Debug)]
pub(super) struct SealedGroup {
    pub(super) number: u64,
    pub(super) effects: Vec<Effect>,
    /// Position of the first entry.
    pub(super) start: u64,
    /// The entries, from the first to the end of the last.
    pub(super) shared: Bytes,
    /// What is written of it.
    pub(super) blocks: Written,
}

/// Its whole blocks.
#[derive(Debug)]
pub(super) struct Written {
    at: u64,
    end: u64,
    memory: Memory,
}

#[derive(Debug)]
enum Memory {
    /// A small group's, which is copied for those who keep it: its blocks may be much larger than it is.
    Own(Blocks),
    /// A large group's, kept as it is.
    Shared(Bytes),
}

impl Written {
    fn bytes(&self) -> &[u8] {
        match &self.memory {
            Memory::Own(blocks) => blocks,
            Memory::Shared(bytes) => bytes,
        }
    }

    /// Whole blocks, and where they go.
    pub(super) fn to_write(&self) -> (&[u8], u64) {
        (self.bytes(), self.at)
    }
}
