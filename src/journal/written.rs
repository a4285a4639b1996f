//! A group that is being written and synced, for those who may send it on meanwhile.

use bytes::Bytes;

use super::layout::ENTRY_HEADER_BYTES;
use super::record::Record;
use super::view::Effect;
use crate::wire::batch::BatchHeader;

/// See the module. Nothing of it is durable here, and it may never be: whoever sees it must not take it
/// for more than bytes that stand under an offset and an epoch.
#[derive(Debug)]
pub struct WrittenGroup<'a> {
    pub(super) effects: &'a [Effect],
    /// The entries as they lie in the segment, from `start` on.
    pub(super) buffer: &'a Bytes,
    pub(super) start: u64,
}

/// A batch of such a group.
#[derive(Debug)]
pub struct WrittenBatch<'a> {
    /// Its header, with what the host has set.
    pub header: &'a BatchHeader,
    buffer: &'a Bytes,
    at: usize,
}

impl<'a> WrittenGroup<'a> {
    /// Its batches in order, of hosted topics and of copies.
    pub fn batches(&self) -> impl Iterator<Item = WrittenBatch<'a>> {
        let (buffer, start) = (self.buffer, self.start);
        self.effects.iter().filter_map(move |effect| {
            let Record::Batch(header) = &effect.record else {
                return None;
            };
            let at = (effect.place.position - start) as usize + ENTRY_HEADER_BYTES;
            Some(WrittenBatch { header, buffer, at })
        })
    }
}

impl WrittenBatch<'_> {
    /// Its bytes, shared with the group.
    pub fn bytes(&self) -> Bytes {
        let length = self.header.length as usize;
        self.buffer.slice(self.at..self.at + length)
    }
}
