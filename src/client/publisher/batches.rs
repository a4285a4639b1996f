//! Messages that gather, and batches that are sealed. Pure.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::PublisherOptions;
use crate::types::{MonoNs, ProducerId, TopicId, UnixMicros};
use crate::wire::batch::{self, BatchBuilder, Record};

/// Room for a few small messages.
const LEAST_BYTES: usize = 1024;

/// Messages that will be one batch. Nothing of it was ever sent: it has no sequence yet.
struct Gathered<W> {
    builder: BatchBuilder,
    waiters: W,
    since: MonoNs,
}

impl<W> Gathered<W> {
    fn is_full(&self, options: &PublisherOptions) -> bool {
        self.builder.count() >= options.batch_messages || self.builder.len() >= options.batch_bytes
    }

    fn takes(&self, record: &Record<'_>, options: &PublisherOptions) -> bool {
        !self.is_full(options) && self.builder.fits(record, options.batch_bytes)
    }
}

/// Memory that batches of one message are cut from: to allocate and free a piece for each is a good
/// part of what it costs to send it.
#[derive(Default)]
pub(super) struct Block(BytesMut);

/// A block lives as long as any batch in it, so that one which is not answered for long keeps no more
/// than this.
const BLOCK_BYTES: usize = 16 << 10;

impl Block {
    /// A builder with room for a batch of so many bytes.
    fn builder(&mut self, bytes: usize) -> BatchBuilder {
        if bytes > BLOCK_BYTES / 4 {
            return BatchBuilder::with_capacity(bytes);
        }
        if self.0.capacity() < bytes {
            // Takes the old one again if nothing of it is in use.
            self.0.reserve(BLOCK_BYTES);
        }
        BatchBuilder::cut_from(&mut self.0, bytes)
    }
}

/// Messages that were not sent yet, cut into batches.
pub(super) struct Gathering<W> {
    /// Those before the last one.
    full: VecDeque<Gathered<W>>,
    /// The one that grows, in place: of many topics each message goes to another one's. `None`: there is none
    /// at all.
    last: Option<Gathered<W>>,
    /// Bytes of the batch before, which the next one may well have, too.
    usual_bytes: usize,
}

impl<W> Default for Gathering<W> {
    fn default() -> Self {
        Gathering {
            full: VecDeque::new(),
            last: None,
            usual_bytes: 0,
        }
    }
}

impl<W> Gathering<W> {
    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    fn first(&self) -> Option<&Gathered<W>> {
        self.full.front().or(self.last.as_ref())
    }

    fn pop_first(&mut self) -> Option<Gathered<W>> {
        self.full.pop_front().or_else(|| self.last.take())
    }

    /// Since when the oldest waits.
    pub(super) fn since(&self) -> Option<MonoNs> {
        self.first().map(|first| first.since)
    }

    /// Puts a message into the last batch; whoever waits for it is to be added to those of the batch.
    pub(super) fn push(
        &mut self,
        record: &Record<'_>,
        now: impl FnOnce() -> MonoNs,
        block: &mut Block,
        options: &PublisherOptions,
    ) -> &mut W
    where
        W: Default,
    {
        if let Some(full) = self.last.take_if(|last| !last.takes(record, options)) {
            self.usual_bytes = full.builder.len();
            self.full.push_back(full);
        }
        let usual_bytes = self.usual_bytes;
        let last = self.last.get_or_insert_with(|| Gathered {
            builder: match options.batch_messages {
                1 => block.builder(BatchBuilder::bytes_with(record)),
                _ => BatchBuilder::with_capacity(next_bytes(usual_bytes, options)),
            },
            waiters: W::default(),
            since: now(),
        });
        last.builder.push(record);
        &mut last.waiters
    }

    /// Whether the first batch grows no more.
    pub(super) fn has_full(&self, options: &PublisherOptions) -> bool {
        let is_full = |last: &Gathered<W>| last.is_full(options);
        !self.full.is_empty() || self.last.as_ref().is_some_and(is_full)
    }

    /// When the first batch is to be sealed: at once if it is full, or when it has lingered.
    pub(super) fn ripe_at(&self, options: &PublisherOptions) -> Option<MonoNs> {
        let since = self.since()?;
        if self.has_full(options) {
            return Some(since);
        }
        Some(since.plus(options.linger))
    }

    /// Seals the first batch.
    pub(super) fn seal(
        &mut self,
        topic: TopicId,
        producer: ProducerId,
        sequence: u64,
        produced: UnixMicros,
        options: &PublisherOptions,
    ) -> Option<Sealed<W>> {
        let is_full = self.has_full(options);
        let first = self.pop_first()?;
        self.usual_bytes = first.builder.len();
        Some(Sealed {
            sequence,
            count: first.builder.count(),
            bytes: first.builder.seal(topic, producer, sequence, produced),
            waiters: first.waiters,
            since: first.since,
            ticket: None,
            is_full,
            unsure: false,
        })
    }

    /// Takes out the waiters of the first batch, which will not be sent.
    pub(super) fn give_up_first(&mut self) -> Option<W> {
        self.pop_first().map(|first| first.waiters)
    }
}

/// What a batch that begins will take: behind a full one comes another full one.
fn next_bytes(before: usize, options: &PublisherOptions) -> usize {
    before.min(options.batch_bytes).max(LEAST_BYTES)
}

/// A batch with sequences, sent at least once and not answered.
pub(super) struct Sealed<W> {
    /// Of its first message.
    pub(super) sequence: u64,
    pub(super) count: u32,
    pub(super) bytes: Bytes,
    pub(super) waiters: W,
    /// When its first message was given.
    pub(super) since: MonoNs,
    /// Of the transmission that is under way.
    pub(super) ticket: Option<u64>,
    /// Whether it could not have grown further.
    pub(super) is_full: bool,
    /// Whether an earlier transmission may have been taken: it was lost, or its answer left it
    /// open.
    pub(super) unsure: bool,
}

impl<W> Sealed<W> {
    pub(super) fn next_sequence(&self) -> u64 {
        self.sequence + u64::from(self.count)
    }

    /// Puts a batch that certainly was not taken under another producer.
    pub(super) fn renumber(&mut self, producer: ProducerId, sequence: u64) {
        debug_assert!(!self.unsure && self.ticket.is_none());
        self.sequence = sequence;
        self.bytes = batch::renumber(&self.bytes, producer, sequence);
    }
}
