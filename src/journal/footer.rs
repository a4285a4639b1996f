//! The footer file of a sealed segment, `<sequence>.idx`: its index on disk.
//!
//! Derived data: a footer that is missing or damaged is made anew from the segment. All integers
//! are little-endian.
//!
//! ```text
//!   0  u32  magic "WPJF" · u16 version 1 · u16 zero
//!   8  u64  sequence · u64 generation · u64 end (position after the last entry) · u64 last group
//!  40  u32  topics · u32 entries
//!  48  u32  crc32c of the topic table
//!  52  u32  crc32c of bytes 0 .. 52
//!  56  topic table, ascending by id:
//!        [16] topic · u64 first base · u64 end · u32 first entry · u32 count · u32 crc32c of its
//!        entries · u32 zero                                                        (48 bytes each)
//!  ..  entries, by topic, ascending by offset:
//!        u64 base · u32 position / 8 · u32 bytes / 8                               (16 bytes each)
//! ```

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::BufMut;

use super::disk::{Disk, DiskFile};
use super::index::{IndexEntry, SegmentIndex, TopicIndex};
use super::layout::{VERSION, array, u16_at, u32_at, u64_at};
use super::names;
use crate::types::{Offset, TopicId};

const MAGIC: [u8; 4] = *b"WPJF";
const HEADER_BYTES: usize = 56;
const TOPIC_BYTES: usize = 48;
const ENTRY_BYTES: usize = 16;

/// Encodes a footer.
pub(super) fn encode(index: &SegmentIndex) -> Vec<u8> {
    let mut topics: Vec<(&TopicId, &TopicIndex)> = index.topics.iter().collect();
    topics.sort_unstable_by_key(|(id, _)| **id);
    let count: usize = topics.iter().map(|(_, t)| t.entries.len()).sum();
    let table_bytes = topics.len() * TOPIC_BYTES;
    let mut table = Vec::with_capacity(table_bytes);
    let mut entries = Vec::with_capacity(count * ENTRY_BYTES);
    for (id, topic) in &topics {
        let at = entries.len();
        for entry in &topic.entries {
            entries.put_u64_le(entry.base.0);
            entries.put_u32_le(entry.position8);
            entries.put_u32_le(entry.bytes8);
        }
        table.put_slice(&id.0);
        table.put_u64_le(topic.entries.first().map_or(0, |entry| entry.base.0));
        table.put_u64_le(topic.end.0);
        table.put_u32_le((at / ENTRY_BYTES) as u32);
        table.put_u32_le(topic.entries.len() as u32);
        table.put_u32_le(crc32c::crc32c(&entries[at..]));
        table.put_u32_le(0);
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + table.len() + entries.len());
    out.put_slice(&MAGIC);
    out.put_u16_le(VERSION);
    out.put_u16_le(0);
    out.put_u64_le(index.sequence);
    out.put_u64_le(index.generation);
    out.put_u64_le(index.end);
    out.put_u64_le(index.last_group);
    out.put_u32_le(topics.len() as u32);
    out.put_u32_le(count as u32);
    out.put_u32_le(crc32c::crc32c(&table));
    out.put_u32_le(crc32c::crc32c(&out));
    out.put_slice(&table);
    out.put_slice(&entries);
    out
}

/// Writes the footer of a sealed segment durably.
pub(super) fn write(disk: &dyn Disk, dir: &Path, index: &SegmentIndex) -> io::Result<()> {
    let path = names::footer(dir, index.sequence);
    names::write_durably(disk, dir, &path, &[&encode(index)])
}

#[derive(Debug, Clone, Copy)]
struct FooterTopic {
    id: TopicId,
    end: Offset,
    first: u32,
    count: u32,
    crc: u32,
}

/// An open footer with its topic table; entries are read as they are asked for.
#[derive(Debug)]
pub(super) struct Footer {
    pub(super) sequence: u64,
    pub(super) generation: u64,
    pub(super) last_group: u64,
    topics: Vec<FooterTopic>,
    entries_at: u64,
    file: Arc<dyn DiskFile>,
}

impl Footer {
    /// Opens a footer; `None` if there is no sound one.
    pub(super) fn open(disk: &dyn Disk, dir: &Path, sequence: u64) -> Option<Footer> {
        let file = disk.open(&names::footer(dir, sequence)).ok()?;
        Footer::read(file).filter(|footer| footer.sequence == sequence)
    }

    fn read(file: Arc<dyn DiskFile>) -> Option<Footer> {
        let mut header = [0; HEADER_BYTES];
        (file.read_at(&mut header, 0).ok()? == HEADER_BYTES).then_some(())?;
        let sound = header[..4] == MAGIC
            && u16_at(&header, 4) == VERSION
            && u32_at(&header, 52) == crc32c::crc32c(&header[..52]);
        sound.then_some(())?;
        let table_bytes = u32_at(&header, 40) as usize * TOPIC_BYTES;
        let entries_at = (HEADER_BYTES + table_bytes) as u64;
        let entries = u64::from(u32_at(&header, 44)) * ENTRY_BYTES as u64;
        // Before anything is allocated: the file must be as long as the header says.
        (file.length().ok()? == entries_at + entries).then_some(())?;
        let mut table = vec![0; table_bytes];
        (file.read_at(&mut table, HEADER_BYTES as u64).ok()? == table_bytes).then_some(())?;
        (crc32c::crc32c(&table) == u32_at(&header, 48)).then_some(())?;
        let topics = table.chunks_exact(TOPIC_BYTES).map(|raw| FooterTopic {
            id: TopicId(array(raw, 0)),
            end: Offset(u64_at(raw, 24)),
            first: u32_at(raw, 32),
            count: u32_at(raw, 36),
            crc: u32_at(raw, 40),
        });
        Some(Footer {
            sequence: u64_at(&header, 8),
            generation: u64_at(&header, 16),
            last_group: u64_at(&header, 32),
            topics: topics.collect(),
            entries_at,
            file,
        })
    }

    /// The entries of a topic. `Ok(None)`: it has none here. `Err`: the footer is damaged.
    pub(super) fn entries(&self, topic: &TopicId) -> Result<Option<Vec<IndexEntry>>, ()> {
        let Ok(at) = self.topics.binary_search_by_key(topic, |t| t.id) else {
            return Ok(None);
        };
        let topic = self.topics[at];
        let mut raw = vec![0; topic.count as usize * ENTRY_BYTES];
        let position = self.entries_at + u64::from(topic.first) * ENTRY_BYTES as u64;
        match self.file.read_at(&mut raw, position) {
            Ok(count) if count == raw.len() && crc32c::crc32c(&raw) == topic.crc => {}
            _ => return Err(()),
        }
        let entries = raw.chunks_exact(ENTRY_BYTES).map(|raw| IndexEntry {
            base: Offset(u64_at(raw, 0)),
            position8: u32_at(raw, 8),
            bytes8: u32_at(raw, 12),
        });
        Ok(Some(entries.collect()))
    }

    /// The entries of all topics. `Err`: the footer is damaged.
    pub(super) fn all(&self) -> Result<Vec<(TopicId, Vec<IndexEntry>)>, ()> {
        let topics = self.topics.iter();
        let entries = topics.map(|topic| match self.entries(&topic.id) {
            Ok(entries) => Ok((topic.id, entries.unwrap_or_default())),
            Err(()) => Err(()),
        });
        entries.collect()
    }

    /// The topics in the segment with the end that each had when it was sealed.
    pub(super) fn ends(&self) -> impl Iterator<Item = (TopicId, Offset)> {
        self.topics.iter().map(|topic| (topic.id, topic.end))
    }

    /// Bytes that it takes in memory.
    pub(super) fn memory(&self) -> usize {
        size_of::<Footer>() + self.topics.len() * size_of::<FooterTopic>()
    }
}
