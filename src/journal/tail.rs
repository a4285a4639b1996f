//! The tail cache: the buffers of recent groups, within a budget of bytes. Topics hold where in them
//! their batches lie.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::types::{Offset, TopicId};

/// A batch in the tail cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cached {
    pub(super) base: Offset,
    pub(super) end: Offset,
    /// Which cached group.
    pub(super) group: u64,
    /// Where in the group's buffer.
    pub(super) at: u32,
    pub(super) length: u32,
}

/// A group's buffer.
#[derive(Debug)]
pub(super) struct CachedGroup {
    pub(super) buffer: Bytes,
    /// The topic of each batch in it, in order.
    pub(super) topics: Vec<TopicId>,
}

impl CachedGroup {
    fn cost(&self) -> usize {
        self.buffer.len() + self.topics.len() * (size_of::<Cached>() + size_of::<TopicId>())
    }
}

/// Recent groups, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Tail {
    groups: VecDeque<CachedGroup>,
    /// Number of the first group in `groups`.
    first: u64,
    bytes: usize,
}

impl Tail {
    /// The number that the next group gets.
    pub(super) fn next(&self) -> u64 {
        self.first + self.groups.len() as u64
    }

    pub(super) fn push(&mut self, group: CachedGroup) {
        self.bytes += group.cost();
        self.groups.push_back(group);
    }

    /// Takes the oldest group and its number out, if all together are over the budget.
    pub(super) fn pop_over(&mut self, budget: usize) -> Option<(u64, CachedGroup)> {
        if self.bytes <= budget {
            return None;
        }
        let group = self.groups.pop_front()?;
        let number = self.first;
        self.first += 1;
        self.bytes -= group.cost();
        Some((number, group))
    }

    /// The bytes of a batch, if its group is still there.
    pub(super) fn slice(&self, cached: &Cached) -> Option<Bytes> {
        let group = cached.group.checked_sub(self.first)?;
        let at = cached.at as usize;
        let buffer = &self.groups.get(group as usize)?.buffer;
        Some(buffer.slice(at..at + cached.length as usize))
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
