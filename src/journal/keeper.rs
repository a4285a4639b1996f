//! The keeper thread: footers of sealed segments, checkpoints, and recycling of dead segments.
//! Nothing here is on the way of an append, and nothing here can lose one: what fails is tried
//! again later.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};

use parking_lot::MutexGuard;

use super::Shared;
use super::checkpoint::{Head, ListedSegment, Writer};
use super::disk::{self, DiskFile};
use super::footer;
use super::index::SegmentIndex;
use super::names;
use super::recovery::Kept;
use super::rewrite::Policy;
use super::rewriter::Wake;
use super::spare::Spares;
use super::table::Table;
use crate::clock;
use crate::limits;
use crate::types::{MonoNs, TopicId};

/// What the keeper is told.
#[derive(Debug)]
pub(super) enum Task {
    /// A segment has been sealed.
    Sealed(Arc<SegmentIndex>),
    /// Topics have shrunk: segments may be dead.
    Reclaim,
    /// Finish.
    Stop,
}

/// See the module.
pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    /// Sealed segments that still need their footer.
    pub(super) sealed: VecDeque<Arc<SegmentIndex>>,
    /// Checkpoints in the folder, oldest first.
    pub(super) checkpoints: Vec<Kept>,
    pub(super) next_checkpoint: u64,
    pub(super) rewriter: SyncSender<Wake>,
    pub(super) spares: Spares,
    /// [`super::view::View::growth`] at the last checkpoint.
    pub(super) grown: u64,
    /// Bytes appended when it last looked, and since when there have been no more.
    pub(super) quiet: (u64, MonoNs),
}

impl Keeper {
    /// The thread.
    pub(super) fn run(mut self, tasks: Receiver<Task>) {
        loop {
            self.write_footers();
            self.checkpoint_if_due(false);
            self.make_room();
            self.settle();
            self.reclaim();
            self.tell_floor();
            self.keep_spares();
            match self.next_task(&tasks) {
                Some(Task::Sealed(index)) => self.sealed.push_back(index),
                Some(Task::Reclaim) => {}
                Some(Task::Stop) | None => break,
            }
        }
        self.write_footers();
        self.checkpoint_if_due(true);
    }

    /// Tells how far the checkpoints go, and the rewriter that there may be something to do.
    fn tell_floor(&self) {
        let floor = self.floor();
        self.shared.floor.store(floor, Ordering::Release);
        // If it is busy it will look again by itself.
        let _ = self.rewriter.try_send(Wake::Look);
    }

    /// Waits for a task. Nobody tells of a full disk, nor of a growing table, so one looks by itself.
    fn next_task(&self, tasks: &Receiver<Task>) -> Option<Task> {
        match tasks.recv_timeout(limits::JOURNAL_TICK) {
            Ok(task) => Some(task),
            Err(RecvTimeoutError::Timeout) => Some(Task::Reclaim),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Keeps room for the checkpoints that a full disk would need. Also on one that is full: what has
    /// just come back must not all go to appends.
    fn keep_spares(&mut self) {
        let last = self.checkpoints.last().map_or(0, |kept| kept.bytes);
        let grown = self.shared.view.read().growth.saturating_sub(self.grown);
        let bytes = last + grown + limits::CHECKPOINT_LEAST_BYTES;
        if let Err(error) = self.spares.keep(&self.shared.options, bytes) {
            tracing::debug!(%error, bytes, "could not keep room for checkpoints");
        }
    }

    fn write_footers(&mut self) {
        let options = &self.shared.options;
        while let Some(index) = self.sealed.front() {
            if let Err(error) = footer::write(&*options.disk, &options.dir, index) {
                tracing::warn!(segment = index.sequence, %error, "could not write a footer");
                return;
            }
            self.shared.view.write().sealed.remove(&index.sequence);
            self.sealed.pop_front();
        }
    }

    /// Bytes of journal since the last checkpoint.
    fn since_checkpoint(&self) -> u64 {
        let from = self.checkpoints.last().map_or(0, |kept| kept.from_segment);
        let view = self.shared.view.read();
        let sealed = view.segments.range(from..view.active.sequence);
        sealed.map(|(_, info)| info.end).sum()
    }

    fn checkpoint_if_due(&mut self, closing: bool) {
        let since = self.since_checkpoint();
        let own = self.checkpoints.last().map_or(0, |kept| kept.bytes);
        let due = (own * limits::CHECKPOINT_RATIO).max(self.shared.options.checkpoint_bytes);
        // At the end any sealed segment is worth it: it saves the next start the replay.
        let due = if closing { own.max(1) } else { due };
        if since < due {
            return;
        }
        match self.checkpoint() {
            Ok(kept) => self.keep(kept),
            Err(error) => tracing::warn!(%error, "could not write a checkpoint"),
        }
    }

    /// On a full disk dead segments do not wait until checkpoints are due by size: what is deleted
    /// or past its retention makes room now. A checkpoint itself takes a little of what is left, or
    /// of what the dead segments' footers give back.
    fn make_room(&mut self) {
        for _ in 0..limits::CHECKPOINTS_KEPT {
            let (dead, worth) = self.reclaimable_above_floor();
            if !self.shared.space.is_full() || dead.is_empty() && worth == 0 {
                return;
            }
            let written = self.checkpoint().or_else(|_| {
                self.drop_footers(&dead);
                self.checkpoint()
            });
            match written {
                Ok(kept) => self.keep(kept),
                Err(error) => {
                    tracing::debug!(%error, "no room for a checkpoint that would make room");
                    return;
                }
            }
        }
    }

    /// When nothing has been appended for a while, checkpoints are written although they are not due by
    /// size, so that all that is sealed can be sorted by topic: two, whatever else happens, until
    /// another segment is sealed.
    fn settle(&mut self) {
        let (appended, now) = (self.shared.counters.appended_bytes(), clock::mono_now());
        if self.quiet.0 != appended {
            self.quiet = (appended, now);
        }
        for _ in 0..limits::CHECKPOINTS_KEPT {
            let is_quiet = now.since(self.quiet.1) >= limits::SORT_QUIET;
            if !is_quiet || !self.may_sort_above_floor() || self.shared.space.is_full() {
                return;
            }
            match self.checkpoint() {
                Ok(kept) => self.keep(kept),
                Err(error) => {
                    tracing::warn!(%error, "could not write a checkpoint");
                    // Tried again when it has been quiet for as long again.
                    self.quiet.1 = now;
                    return;
                }
            }
        }
    }

    fn may_sort_above_floor(&self) -> bool {
        let policy = Policy::new(&self.shared.options);
        let view = self.shared.view.read();
        let mut above = view.segments.range(self.floor()..view.active.sequence);
        above.any(|(_, info)| policy.may_sort(info))
    }

    /// Dead segments that a checkpoint would let go, and how many it would let be rewritten.
    fn reclaimable_above_floor(&self) -> (Vec<u64>, usize) {
        let policy = Policy::new(&self.shared.options);
        let view = self.shared.view.read();
        let above = view.segments.range(self.floor()..view.active.sequence);
        let worth = above.clone().filter(|(_, info)| policy.takes(info)).count();
        let dead = above.filter(|(_, info)| info.live == 0 && !info.quarantined);
        (dead.map(|(sequence, _)| *sequence).collect(), worth)
    }

    /// Nobody reads a dead segment; a start that misses a footer makes it anew.
    fn drop_footers(&self, dead: &[u64]) {
        let options = &self.shared.options;
        for sequence in dead {
            // Absent where it was dropped before.
            let _ = options.disk.remove(&names::footer(&options.dir, *sequence));
        }
    }

    fn keep(&mut self, written: Kept) {
        self.checkpoints.push(written);
        self.prune();
    }

    fn checkpoint(&mut self) -> io::Result<Kept> {
        let number = self.next_checkpoint;
        self.next_checkpoint += 1;
        let shared = self.shared.clone();
        let options = &shared.options;
        let path = names::unfinished(&names::checkpoint(&options.dir, number));
        let created = options.disk.create(&path);
        let written = created.and_then(|file| self.write_checkpoint(number, file));
        match &written {
            Err(error) => {
                // Best effort: an unfinished file is removed at the next start too.
                let _ = options.disk.remove(&path);
                match disk::is_full(error) {
                    true => self.checkpoint_in_spare(number, &path).unwrap_or(written),
                    false => written,
                }
            }
            Ok(_) => written,
        }
    }

    /// Writes a checkpoint over a spare file, or, as the last resort, over the older checkpoint: the
    /// newer one alone stands for the journal until it is done. `None`: there is nothing to write over.
    fn checkpoint_in_spare(&mut self, number: u64, path: &Path) -> Option<io::Result<Kept>> {
        let shared = self.shared.clone();
        let options = &shared.options;
        if self.spares.is_empty() && self.checkpoints.len() >= limits::CHECKPOINTS_KEPT {
            let older = self.checkpoints.remove(0);
            let older = names::checkpoint(&options.dir, older.number);
            self.spares.adopt(options, &older).ok()?;
        }
        self.spares.take(options, path).ok()??;
        let opened = options.disk.open(path);
        let written = opened.and_then(|file| self.write_checkpoint(number, file));
        if written.is_err()
            && let Err(error) = self.spares.adopt(options, path)
        {
            tracing::debug!(%error, "could not keep the room for a checkpoint");
        }
        Some(written)
    }

    fn write_checkpoint(&mut self, number: u64, file: Arc<dyn DiskFile>) -> io::Result<Kept> {
        let shared = self.shared.clone();
        let (disk, dir) = (&*shared.options.disk, &*shared.options.dir);
        let (head, segments, ids) = self.snapshot(number)?;
        let grown = shared.view.read().growth;
        let mut writer = Writer::begin(file, &head, &segments)?;
        for chunk in ids.chunks(limits::CHECKPOINT_CHUNK_TOPICS) {
            self.add_topics(&mut writer, chunk)?;
            writer.flush()?;
        }
        let bytes = writer.finish(disk, dir)?;
        self.grown = grown;
        shared.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        Ok(Kept {
            number,
            from_segment: head.from_segment,
            bytes,
        })
    }

    /// What the head of a checkpoint says, at one instant between two groups.
    fn snapshot(&self, number: u64) -> io::Result<(Head, Vec<ListedSegment>, Vec<TopicId>)> {
        let table = self.settled_table()?;
        let view = self.shared.view.read();
        let head = Head {
            number,
            storage: self.shared.storage,
            from_segment: view.active.sequence,
            from_group: view.active_from_group,
            as_of: view.group,
            incarnation: table.incarnation,
        };
        let segments = view.segments.iter().map(|(sequence, info)| ListedSegment {
            sequence: *sequence,
            generation: info.generation,
            end: info.end,
            quarantined: info.quarantined,
        });
        let ids = table.topics.keys().copied().collect();
        Ok((head, segments.collect(), ids))
    }

    /// Adds some topics as of one instant between two groups: the writer holds the table's lock
    /// from its first decision until the view has been told.
    fn add_topics(&self, writer: &mut Writer, ids: &[TopicId]) -> io::Result<()> {
        let table = self.settled_table()?;
        let view = self.shared.view.read();
        let none = std::collections::VecDeque::new();
        for id in ids {
            // Forgotten in the meantime: the journal says so after the checkpoint's start.
            let Some(topic) = table.topics.get(id) else {
                continue;
            };
            let log = view.topics.get(id).and_then(|seen| seen.log.as_deref());
            let spans = log.map_or(&none, |log| &log.spans);
            writer.add(*id, topic, view.group, spans.iter());
        }
        Ok(())
    }

    /// The table, unless the writer has failed and left decisions in it that are not durable.
    fn settled_table(&self) -> io::Result<MutexGuard<'_, Table>> {
        let table = self.shared.table.lock();
        match self.shared.table_ahead.load(Ordering::Acquire) {
            true => Err(io::Error::other("the writer has failed")),
            false => Ok(table),
        }
    }

    fn prune(&mut self) {
        let shared = self.shared.clone();
        let options = &shared.options;
        while self.checkpoints.len() > limits::CHECKPOINTS_KEPT {
            let oldest = self.checkpoints.remove(0);
            let path = names::checkpoint(&options.dir, oldest.number);
            if let Err(error) = self.spares.adopt(options, &path) {
                tracing::warn!(%error, path = %path.display(), "could not remove a checkpoint");
            }
        }
    }

    /// The segment below which every kept checkpoint tells all that entries other than batches say.
    fn floor(&self) -> u64 {
        match self.checkpoints.len() >= limits::CHECKPOINTS_KEPT {
            true => self.checkpoints[0].from_segment,
            false => 0,
        }
    }

    fn reclaim(&mut self) {
        // A rewritten segment must not take the name of one that is recycled here.
        let shared = self.shared.clone();
        let _files = shared.files.lock();
        let floor = self.floor();
        let dead: Vec<u64> = {
            let mut view = self.shared.view.write();
            let below = view.segments.range(..floor);
            let dead = below.filter(|(_, info)| info.live == 0 && !info.quarantined);
            let dead: Vec<u64> = dead.map(|(sequence, _)| *sequence).collect();
            for sequence in &dead {
                view.segments.remove(sequence);
                view.sealed.remove(sequence);
            }
            dead
        };
        // A full disk may not have had room for their footers.
        self.sealed.retain(|index| !dead.contains(&index.sequence));
        for sequence in dead {
            if let Err(error) = self.retire(sequence) {
                // It is removed at the next start.
                tracing::warn!(sequence, %error, "could not recycle a segment");
            }
        }
    }

    fn retire(&self, sequence: u64) -> io::Result<()> {
        let shared = &self.shared;
        let (disk, dir) = (&*shared.options.disk, &*shared.options.dir);
        let path = names::segment(dir, sequence);
        shared.reader.forget(sequence);
        shared
            .counters
            .segments_reclaimed
            .fetch_add(1, Ordering::Relaxed);
        if shared.space.pool_takes() {
            disk.rename(&path, &names::free(dir, sequence))?;
            disk.sync_dir(dir)?;
            shared.space.add_free(sequence);
        } else {
            disk.remove(&path)?;
            shared.space.try_again();
        }
        // Absent where it was never written; a stray one is removed at the next start.
        let _ = disk.remove(&names::footer(dir, sequence));
        Ok(())
    }
}
