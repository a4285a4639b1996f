//! One topic that this peer hosts and others keep copies of: what readers see, who waits for the high
//! watermark, and what is written and not synced yet, which only replicas see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::journal::{self, Slice, WrittenBatch};
use crate::types::{Epoch, Fingerprint, Offset, TopicId};
use crate::wire::peer::Achieved;
use crate::wire::{ErrorCode, ErrorReply, Retry};

/// What became of an append: which peers have it durably, or why nobody knows.
pub(in crate::peer) type Settlement = Result<Arc<[Fingerprint]>, ErrorReply>;

/// What members of an in-sync set, all of which have a message, achieve.
pub(in crate::peer) fn achieved(members: &[Fingerprint]) -> Achieved {
    // A set has at most seven members.
    let count = members.len() as u8;
    Achieved {
        durable: count,
        of: count,
    }
}

/// Appends that were settled for one stream, under its tickets. It holds at most what its stream has
/// submitted and not answered.
#[derive(Debug, Default)]
pub(in crate::peer) struct Settled {
    done: Mutex<Vec<(u64, journal::Appended, Settlement)>>,
    some: Notify,
}

impl Settled {
    /// Waits until there is something and takes all of it. Cancellation safe.
    pub(in crate::peer) async fn wait(&self) -> Vec<(u64, journal::Appended, Settlement)> {
        loop {
            let done = std::mem::take(&mut *self.done.lock());
            if !done.is_empty() {
                return done;
            }
            self.some.notified().await;
        }
    }

    fn put(&self, ticket: u64, appended: journal::Appended, settlement: Settlement) {
        self.done.lock().push((ticket, appended, settlement));
        self.some.notify_one();
    }
}

/// Whether the topic takes appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Gate {
    Open,
    /// It is being handed over, waits for what the index holds, or may be another peer's by now.
    Paused,
    /// Too few copies are in sync.
    TooFew {
        in_sync: u8,
        least: u8,
    },
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    appended: journal::Appended,
    to: Arc<Settled>,
}

/// Room for batches of a group that a topic keeps.
const AHEAD_KEPT: usize = 16;

/// A batch that the journal has written and not synced yet.
#[derive(Debug)]
struct Ahead {
    base: Offset,
    end: Offset,
    bytes: Bytes,
}

/// Where a replica's next batches are.
#[derive(Debug)]
pub(super) enum More {
    /// It has been sent all that is written; it is told when there is more.
    Nothing,
    /// Written and not synced.
    InMemory(Slice),
    /// The journal has them to read.
    InJournal,
}

#[derive(Debug)]
struct Inner {
    watermark: Offset,
    members: Arc<[Fingerprint]>,
    gate: Gate,
    /// The role is over; nothing is acknowledged any more.
    over: bool,
    /// By the end of the append.
    appends: BTreeMap<Offset, Vec<Waiter>>,
    /// Changes of positions so far; 1 is the table as it stood at the beginning.
    revision: u64,
    revision_committed: u64,
    commits: BTreeMap<u64, Vec<oneshot::Sender<Result<(), ErrorReply>>>>,
    /// Of the group that is being synced; none between groups. What lies below is durable, and the
    /// journal's to read.
    ahead: Vec<Ahead>,
    /// The end of what replicas were told of.
    written: Offset,
}

impl Inner {
    /// A large group's list is not kept for small ones.
    fn forget_ahead(&mut self) {
        self.ahead.clear();
        self.ahead.shrink_to(AHEAD_KEPT);
    }
}

/// See the module.
#[derive(Debug)]
pub(in crate::peer) struct Hosted {
    pub(super) epoch: Epoch,
    /// Where the log ended when this peer began to host. Until the watermark is there, nobody here knows
    /// what had been committed before.
    began: Offset,
    watermark: AtomicU64,
    inner: Mutex<Inner>,
}

impl Hosted {
    pub(super) fn new(epoch: Epoch, began: Offset, watermark: Offset) -> Self {
        Hosted {
            epoch,
            began,
            watermark: AtomicU64::new(watermark.0),
            inner: Mutex::new(Inner {
                watermark,
                members: Arc::from([]),
                gate: Gate::Paused,
                over: false,
                appends: BTreeMap::new(),
                revision: 1,
                revision_committed: 0,
                commits: BTreeMap::new(),
                ahead: Vec::new(),
                written: began,
            }),
        }
    }

    /// The end of what readers see; `None`: not known yet.
    pub(in crate::peer) fn visible(&self) -> Option<Offset> {
        let watermark = Offset(self.watermark.load(Ordering::Acquire));
        (watermark >= self.began).then_some(watermark)
    }

    /// Everything below is committed.
    pub(super) fn watermark(&self) -> Offset {
        Offset(self.watermark.load(Ordering::Acquire))
    }

    pub(super) fn gate(&self) -> Gate {
        self.inner.lock().gate
    }

    pub(super) fn set(&self, members: Vec<Fingerprint>, gate: Gate) {
        let mut inner = self.inner.lock();
        inner.members = Arc::from(members);
        inner.gate = gate;
    }

    /// What becomes of an append that is durable here; `None`: `to` is told later.
    pub(super) fn settle(
        &self,
        ticket: u64,
        appended: journal::Appended,
        to: &Arc<Settled>,
    ) -> Option<Settlement> {
        let end = appended.base.plus(u64::from(appended.count));
        let mut inner = self.inner.lock();
        if inner.over || appended.epoch != self.epoch {
            return Some(Err(deposed(appended.topic)));
        }
        if end <= inner.watermark {
            return Some(Ok(Arc::clone(&inner.members)));
        }
        let waiter = Waiter {
            ticket,
            appended,
            to: Arc::clone(to),
        };
        inner.appends.entry(end).or_default().push(waiter);
        None
    }

    /// The journal has written a batch and is about to sync it; whether it is one that replicas are sent.
    pub(super) fn wrote(&self, batch: &WrittenBatch<'_>) -> bool {
        let (base, end) = (batch.header.base, batch.header.end());
        let mut inner = self.inner.lock();
        if inner.over || batch.header.epoch != self.epoch {
            return false;
        }
        inner.written = inner.written.max(end);
        let bytes = batch.bytes();
        inner.ahead.push(Ahead { base, end, bytes });
        true
    }

    /// All is durable here, and the journal's to read. Answers whether replicas are to be told, for they
    /// were not when it was written.
    pub(super) fn synced(&self, end: Offset) -> bool {
        let mut inner = self.inner.lock();
        inner.forget_ahead();
        let untold = end > inner.written;
        inner.written = inner.written.max(end);
        untold
    }

    /// Where to read on at `from`. A replica may have all that is written, and joins again, before this
    /// peer's journal shows that: it is sent nothing, and ends nothing.
    pub(super) fn more(&self, from: Offset, max_bytes: usize) -> More {
        if from >= self.written() {
            return More::Nothing;
        }
        // In this order: what is no more in memory is in the journal.
        match self.ahead(from, max_bytes) {
            Some(slice) => More::InMemory(slice),
            None => More::InJournal,
        }
    }

    /// Batches from `from` on that are written and not synced, if `from` lies among them; as for
    /// [`journal::Journal::read`].
    pub(super) fn ahead(&self, from: Offset, max_bytes: usize) -> Option<Slice> {
        let inner = self.inner.lock();
        let first = inner.ahead.partition_point(|batch| batch.end <= from);
        let ahead = inner.ahead.get(first..)?;
        ahead.first().filter(|batch| batch.base <= from)?;
        let mut slice = Slice {
            batches: Vec::new(),
            next: from,
            end: inner.written,
        };
        let mut bytes = 0;
        for batch in ahead {
            bytes += batch.bytes.len();
            if bytes > max_bytes && !slice.batches.is_empty() {
                break;
            }
            slice.batches.push(batch.bytes.clone());
            slice.next = batch.end;
        }
        Some(slice)
    }

    /// The end of what replicas were told of.
    pub(super) fn written(&self) -> Offset {
        self.inner.lock().written
    }

    /// Everything below is committed: answers who waits for it.
    pub(super) fn committed(&self, end: Offset) {
        let mut inner = self.inner.lock();
        inner.watermark = inner.watermark.max(end);
        self.watermark.store(inner.watermark.0, Ordering::Release);
        let later = inner.appends.split_off(&Offset(end.0 + 1));
        let due = std::mem::replace(&mut inner.appends, later);
        for waiter in due.into_values().flatten() {
            let members = Arc::clone(&inner.members);
            waiter.to.put(waiter.ticket, waiter.appended, Ok(members));
        }
    }

    /// A position of the topic is durable here: its revision, and what is told when it is committed.
    pub(super) fn position_synced(&self) -> (u64, oneshot::Receiver<Result<(), ErrorReply>>) {
        let (waiting, told) = oneshot::channel();
        let mut inner = self.inner.lock();
        inner.revision += 1;
        let revision = inner.revision;
        inner.commits.entry(revision).or_default().push(waiting);
        (revision, told)
    }

    pub(super) fn revision(&self) -> u64 {
        self.inner.lock().revision
    }

    pub(super) fn positions_committed(&self, revision: u64) {
        let mut inner = self.inner.lock();
        inner.revision_committed = inner.revision_committed.max(revision);
        let later = inner.commits.split_off(&(revision + 1));
        let due = std::mem::replace(&mut inner.commits, later);
        for waiting in due.into_values().flatten() {
            // Whoever has gone does not want it.
            let _ = waiting.send(Ok(()));
        }
    }

    /// The role is over: whoever waits is sent to the next host.
    pub(super) fn end(&self) {
        let mut inner = self.inner.lock();
        inner.over = true;
        inner.forget_ahead();
        inner.gate = Gate::Paused;
        for waiter in std::mem::take(&mut inner.appends).into_values().flatten() {
            let error = deposed(waiter.appended.topic);
            waiter.to.put(waiter.ticket, waiter.appended, Err(error));
        }
        for waiting in std::mem::take(&mut inner.commits).into_values().flatten() {
            let _ = waiting.send(Err(position_in_doubt()));
        }
    }
}

/// What is told of an append that was written, but not at all copies when this peer ceased to host. It
/// must not read as "not taken": the next host may have it.
pub(super) fn deposed(topic: TopicId) -> ErrorReply {
    ErrorReply {
        code: ErrorCode::NotCommitted.number(),
        retry: Retry::FreshRoute,
        detail: format!(
            "the host of topic {topic} changed before all copies had the message; the next host knows \
             whether it is there"
        ),
    }
}

/// What a caller is told that goes by another epoch than this peer.
pub(super) fn stale(topic: TopicId, epoch: Epoch) -> ErrorReply {
    ErrorReply::new(
        ErrorCode::StaleEpoch,
        format!("this peer does not host topic {topic} under epoch {epoch}"),
    )
}

fn position_in_doubt() -> ErrorReply {
    ErrorReply::new(
        ErrorCode::NotCommitted,
        "the topic's host changed before all copies had the position; commit it again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: TopicId = TopicId([1; 16]);
    const EPOCH: Epoch = Epoch {
        grant: 2,
        incarnation: 3,
    };

    fn appended(base: u64, count: u32) -> journal::Appended {
        journal::Appended {
            topic: TOPIC,
            base: Offset(base),
            count,
            epoch: EPOCH,
            duplicate: false,
        }
    }

    #[tokio::test]
    async fn an_append_waits_for_the_watermark_and_a_known_one_does_not() {
        let hosted = Hosted::new(EPOCH, Offset(1), Offset(1));
        let (a, b) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        hosted.set(vec![a, b], Gate::Open);
        let to = Arc::new(Settled::default());
        assert_eq!(hosted.settle(7, appended(1, 2), &to), None);
        assert_eq!(hosted.settle(8, appended(3, 1), &to), None);
        hosted.committed(Offset(3));
        let done = to.wait().await;
        assert_eq!(done.len(), 1);
        assert_eq!((done[0].0, done[0].2.as_ref().unwrap().len()), (7, 2));
        assert_eq!(hosted.visible(), Some(Offset(3)));
        let known = hosted.settle(9, appended(1, 2), &to);
        assert!(known.is_some_and(|known| known.is_ok()));
        hosted.end();
        let done = to.wait().await;
        let error = done[0].2.as_ref().unwrap_err();
        assert_eq!((done[0].0, error.retry), (8, Retry::FreshRoute));
        assert!(hosted.settle(10, appended(1, 2), &to).unwrap().is_err());
    }

    #[test]
    fn a_new_host_shows_nothing_before_it_knows_what_was_committed() {
        let hosted = Hosted::new(EPOCH, Offset(9), Offset(4));
        assert_eq!(hosted.visible(), None);
        hosted.committed(Offset(9));
        assert_eq!(hosted.visible(), Some(Offset(9)));
    }

    #[tokio::test]
    async fn a_position_is_answered_with_its_revision_or_in_doubt() {
        let hosted = Hosted::new(EPOCH, Offset(1), Offset(1));
        let (first, told) = hosted.position_synced();
        let (second, later) = hosted.position_synced();
        assert_eq!((first, second), (2, 3));
        hosted.positions_committed(2);
        assert_eq!(told.await.unwrap(), Ok(()));
        hosted.end();
        assert!(later.await.unwrap().is_err());
    }
}
