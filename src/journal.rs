//! The journal: everything that a peer stores, in one log.
//!
//! One journal per peer, all topics in it, one writer thread with group commit. What it guarantees:
//!
//! - An outcome is given only after the command's effect is synced; readers see it no earlier. Only
//!   [`Hooks::on_written`] sees a group that is not synced yet.
//! - After a failed write or sync nothing is acknowledged any more, ever ([`FatalError`]).
//! - What was acknowledged is there after a crash at any instant. A flipped bit is found by checksum
//!   and refused; it is never served and never silently dropped (docs/JOURNAL.md names the one
//!   exception).
//! - A full disk refuses appends; reads, positions, trims and tombstones go on.
//!
//! It must not know QUIC, the index, or who reads; positions are keyed values to it.
//!
//! | module | what it is |
//! |---|---|
//! | `disk`, [`faulty`] | the file layer: real, and fault-injecting for tests |
//! | `layout`, `record`, `footer`, `checkpoint`, `names` | formats, see docs/JOURNAL.md |
//! | `table`, `traffic`, `dedupe`, `epochs` | pure decisions: topics, epochs, producers, positions, retention |
//! | `queue`, `usual`, `writer`, `group`, `blocks`, `written`, `space` | the write path: bounded queue, group commit in whole blocks, space made ready ahead |
//! | `view`, `tail`, `index`, `reader` | the read path: what is committed, tail cache, reads from disk |
//! | `keeper`, `spare` | footers, checkpoints, recycling, behind everybody's back |
//! | `segments`, `rewrite`, `rewriter`, `sorted` | what of a segment is needed; rewriting those of which little is, and sorting by topic |
//! | `recovery`, `replay`, `later`, `continuity`, `scan` | opening a folder |
//! | [`lock`] | one process at a time |

mod blocks;
mod checkpoint;
mod command;
mod continuity;
mod dedupe;
mod disk;
mod epochs;
mod error;
#[doc(hidden)]
pub mod faulty;
mod footer;
mod fuzz;
mod group;
mod index;
mod keeper;
mod later;
mod layout;
pub mod lock;
mod names;
mod options;
mod queue;
mod reader;
mod recent;
mod record;
mod recovery;
mod replay;
mod report;
mod rewrite;
mod rewriter;
mod scan;
mod segments;
mod slice;
mod sorted;
mod space;
mod spare;
mod stats;
mod table;
mod tail;
mod traffic;
mod usual;
mod view;
mod writer;
mod written;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

pub use command::{Appended, Command, CompletionQueue, Done, Outcome, Refusal, Stopped};
pub use dedupe::Range as DedupeRange;
pub use disk::{Disk, DiskFile, RealDisk};
pub use error::{FatalError, OpenError, ReadError};
#[doc(hidden)]
pub use fuzz::fuzz_recover;
pub use options::{Committed, Hooks, OnCommit, OnFatal, OnWritten, Options};
pub use report::{DamageReport, RecoveryReport};
pub use slice::{CachedRead, Slice, TopicCopy, TopicStat};
#[doc(hidden)]
pub use sorted::sorted_segments;
pub use stats::JournalStats;
pub use table::{HostedTopic, KeptTopic, Position, PositionKey};
pub use written::{WrittenBatch, WrittenGroup};

use crate::clock;
use crate::limits;
use crate::types::{Incarnation, MonoNs, Offset, ProducerId, StorageId, TopicId};
use keeper::{Keeper, Task};
use queue::{Queue, Tell};
use reader::Reader;
use rewriter::{Rewriter, Wake};
use space::Space;
use spare::Spares;
use stats::Counters;
use table::Table;
use usual::Usual;
use view::View;
use writer::Writer;

/// What the threads share.
#[derive(Debug)]
struct Shared {
    options: Options,
    storage: StorageId,
    /// Highest incarnation that any boot has brought.
    incarnation: AtomicU32,
    /// Held by the writer from its first decision of a group until the view has been told, so that
    /// whoever holds it sees both at the same instant. Order: this before `view`.
    table: Arc<Mutex<Table>>,
    view: RwLock<View>,
    queue: Queue,
    space: Space,
    reader: Reader,
    counters: Counters,
    /// Held by whoever takes a segment's file away or replaces it. Order: this before `view`.
    files: Mutex<()>,
    /// The segment below which nothing is replayed, whichever checkpoint is used.
    floor: AtomicU64,
    /// When the sync in progress began; 0 if there is none.
    sync_since: AtomicU64,
    /// The table holds decisions that the view has not been told of. Seen as true by a holder of the
    /// table's lock other than the writer, it means that the writer has failed: the table must not
    /// be written to a checkpoint any more.
    table_ahead: AtomicBool,
    /// A group is begun and waits to be written, see [`Writer::commit_deferred`].
    group_begun: AtomicBool,
}

#[derive(Debug)]
struct Threads {
    writer: JoinHandle<()>,
    preparer: JoinHandle<()>,
    keeper: JoinHandle<()>,
    rewriter: JoinHandle<()>,
    tasks: SyncSender<Task>,
    wakes: SyncSender<Wake>,
    lock: Arc<dyn DiskFile>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    /// Held by whoever commits. Order: this before the table.
    writer: Arc<Mutex<Writer>>,
    threads: Mutex<Option<Threads>>,
}

/// An open journal. Clones share it; the last one to go closes it.
#[derive(Debug, Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

impl Journal {
    /// Opens the folder, or makes it: takes the lock, recovers, starts the threads.
    pub fn open(options: Options, hooks: Hooks) -> Result<(Journal, RecoveryReport), OpenError> {
        if options.segment_bytes < limits::SEGMENT_BYTES_MIN {
            return Err(OpenError::SegmentBytes {
                found: options.segment_bytes,
                least: limits::SEGMENT_BYTES_MIN,
            });
        }
        options
            .disk
            .make_dir(&options.dir)
            .map_err(|source| OpenError::Io {
                what: "make",
                path: options.dir.clone(),
                source,
            })?;
        let lock = lock::take(&*options.disk, &options.dir)?;
        let recovered = recovery::recover(&options)?;
        let report = recovered.report.clone();
        let journal = start(options, hooks, recovered, lock)?;
        Ok((journal, report))
    }

    /// The folder's id: random, made with it, durable.
    pub fn storage_id(&self) -> StorageId {
        self.inner.shared.storage
    }

    /// The highest incarnation that any boot has brought; 0 if there was none.
    pub fn last_incarnation(&self) -> Incarnation {
        self.inner.shared.incarnation.load(Ordering::Acquire)
    }

    /// Waits for room in the bounded queue, then queues. Commands submitted by one task one after
    /// the other take effect in that order.
    pub async fn submit(&self, command: Command, done: Done) -> Result<(), Stopped> {
        let queue = &self.inner.shared.queue;
        queue.push([(command, done)], Tell::Now).await
    }

    /// As [`Journal::submit`], but leaves a small command to [`Journal::commit_deferred`], which the same
    /// thread must call before it goes to sleep: between the thread's work and a quick disk no other thread
    /// need be woken. If it does not, or is busy, the journal's own writer commits within some milliseconds.
    pub async fn submit_deferred(&self, command: Command, done: Done) -> Result<(), Stopped> {
        let queue = &self.inner.shared.queue;
        queue.push([(command, done)], Tell::Later).await
    }

    /// As [`Journal::submit_deferred`], for commands that came together: all are queued, in their order, or none.
    pub async fn submit_all_deferred(&self, commands: Vec<(Command, Done)>) -> Result<(), Stopped> {
        let queue = &self.inner.shared.queue;
        queue.push(commands, Tell::Later).await
    }

    /// Commits what was submitted as deferred: on this thread, which then blocks for as long as a sync takes, if
    /// groups have been small and syncs short of late; otherwise by the writer's thread, which is woken.
    /// Does nothing, quickly, if nothing waits. Must not be called from a hook.
    ///
    /// A group that others are to be sent meanwhile ([`Hooks::on_written`]) is only begun: the thread has to do
    /// its sending first, and then to call again.
    pub fn commit_deferred(&self) {
        let begun = self.inner.shared.group_begun.load(Ordering::Acquire);
        let deferred = self.inner.shared.queue.deferred();
        if !begun && deferred.commands == 0 {
            return;
        }
        let writer = self.inner.writer.try_lock();
        let committed = writer.is_some_and(|mut writer| writer.commit_deferred(deferred));
        if !committed {
            self.inner.shared.queue.tell();
        }
    }

    /// Submits and waits for the outcome. Blocks the thread: for start-up and tests.
    pub fn submit_blocking(&self, command: Command) -> Result<Outcome, Stopped> {
        let (sender, receiver) = oneshot::channel();
        let done = Done::Oneshot(sender);
        self.inner.shared.queue.push_now(command, done)?;
        match receiver.blocking_recv() {
            Ok(Outcome::Stopped) | Err(_) => Err(Stopped),
            Ok(outcome) => Ok(outcome),
        }
    }

    /// What is known of a topic.
    pub fn topic(&self, id: TopicId) -> Option<TopicStat> {
        self.inner.shared.view.read().stat(&id)
    }

    /// All topics, in no particular order.
    pub fn topics(&self) -> Vec<TopicStat> {
        let view = self.inner.shared.view.read();
        view.topics.keys().filter_map(|id| view.stat(id)).collect()
    }

    /// A subscriber's position.
    pub fn position(&self, topic: TopicId, key: &PositionKey) -> Option<Position> {
        self.inner.shared.view.read().position(&topic, key)
    }

    /// All positions of a topic, in no particular order.
    pub fn positions(&self, topic: TopicId) -> Vec<(PositionKey, Position)> {
        self.inner.shared.view.read().positions(&topic)
    }

    /// What of a topic replication needs: its log, the epochs known, whether this peer hosts it.
    pub fn copy(&self, topic: TopicId) -> Option<TopicCopy> {
        let view = self.inner.shared.view.read();
        view.copy(&topic, self.last_incarnation())
    }

    /// What is remembered of a topic's producers, as far as it was appended below `to`, in the order of
    /// the appends: what a copy that begins there must know. Empty for an unknown topic.
    ///
    /// Blocks for as long as a group takes to sync.
    pub fn dedupe_below(&self, topic: TopicId, to: Offset) -> Vec<(ProducerId, DedupeRange)> {
        // Whoever holds the lock sees nothing that is not synced, unless the writer has failed; then
        // nobody is acknowledged any more.
        let table = self.inner.shared.table.lock();
        table.dedupe_below(&topic, to)
    }

    /// Reads from memory; never touches the disk. Batches as for [`Journal::read`].
    pub fn read_cached(&self, topic: TopicId, from: Offset, max_bytes: usize) -> CachedRead {
        let view = self.inner.shared.view.read();
        view.read_cached(&topic, from, max_bytes)
    }

    /// Reads whole batches from `from` on, up to `max_bytes` but at least one if there is any; the
    /// first may begin below `from`. At the end the answer is empty. Every entry's checksum is
    /// verified. Blocks on the disk.
    pub fn read(&self, topic: TopicId, from: Offset, max_bytes: usize) -> Result<Slice, ReadError> {
        if let CachedRead::Hit(slice) = self.read_cached(topic, from, max_bytes) {
            return Ok(slice);
        }
        let shared = &self.inner.shared;
        let (options, view) = (&shared.options, &shared.view);
        shared.reader.read(options, view, topic, from, max_bytes)
    }

    /// Since when a sync has been in progress.
    pub fn sync_outstanding_since(&self) -> Option<MonoNs> {
        match self.inner.shared.sync_since.load(Ordering::Acquire) {
            0 => None,
            since => Some(MonoNs(since)),
        }
    }

    /// Whether the disk is full, so that appends are, or soon will be, refused.
    pub fn is_full(&self) -> bool {
        self.inner.shared.space.is_full()
    }

    /// Counts and sizes.
    pub fn stats(&self) -> JournalStats {
        let shared = &self.inner.shared;
        shared.counters.stats(&shared.view.read())
    }

    /// Commits what is queued, writes a marker, and a checkpoint if there is something new to be
    /// told, ends the threads, and releases the lock. Calling it again does nothing. Must not be
    /// called from a hook.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        self.shared.queue.close();
        let Some(threads) = self.threads.lock().take() else {
            return;
        };
        // A thread that panicked has said so, and there is nothing to be done about it here.
        let _ = threads.writer.join();
        self.shared.space.stop();
        let _ = threads.wakes.send(Wake::Stop);
        let _ = threads.rewriter.join();
        let _ = threads.tasks.send(Task::Stop);
        let _ = threads.keeper.join();
        let _ = threads.preparer.join();
        drop(threads.lock);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

fn start(
    options: Options,
    hooks: Hooks,
    recovered: recovery::Recovered,
    lock: Arc<dyn DiskFile>,
) -> Result<Journal, OpenError> {
    let mut view = recovered.view;
    view.group = recovered.group;
    view.active_from_group = recovered.active_from_group;
    let sealed = view.sealed.values().cloned().collect();
    let space = Space::new(
        recovered.active.clone(),
        recovered.tail.position(),
        recovered.free,
        &options,
    );
    let dir = options.dir.clone();
    let shared = Arc::new(Shared {
        queue: Queue::new(options.queue_bytes),
        space,
        storage: recovered.storage,
        incarnation: AtomicU32::new(recovered.table.incarnation),
        table: Arc::new(Mutex::new(recovered.table)),
        view: RwLock::new(view),
        reader: Reader::new(),
        counters: Counters::default(),
        files: Mutex::new(()),
        floor: AtomicU64::new(0),
        sync_since: AtomicU64::new(0),
        table_ahead: AtomicBool::new(false),
        group_begun: AtomicBool::new(false),
        options,
    });
    let (tasks, inbox) = sync_channel(limits::SEALED_WAITING);
    let (wakes, woken) = sync_channel(limits::REWRITE_WAKES);
    let writer = Writer {
        shared: shared.clone(),
        hooks,
        active: recovered.active,
        tail: recovered.tail,
        group: recovered.group,
        needs_marker: recovered.needs_marker,
        keeper: tasks.clone(),
        aged_at: clock::mono_now(),
        committed_at: clock::mono_now(),
        usual: Usual::default(),
        begun: None,
        broken: false,
    };
    let writer = Arc::new(Mutex::new(writer));
    let keeper = Keeper {
        shared: shared.clone(),
        sealed,
        checkpoints: recovered.checkpoints,
        next_checkpoint: recovered.next_checkpoint,
        rewriter: wakes.clone(),
        spares: Spares::open(&shared.options),
        grown: 0,
        quiet: (0, clock::mono_now()),
    };
    let rewriter = Rewriter {
        shared: shared.clone(),
        inbox: woken,
    };
    let preparing = shared.clone();
    let (writing, committing) = (shared.clone(), writer.clone());
    let threads = Threads {
        preparer: spawn("journal-space", &dir, move || {
            preparing
                .space
                .prepare(&preparing.options, preparing.storage);
        })?,
        keeper: spawn("journal-keeper", &dir, move || keeper.run(inbox))?,
        rewriter: spawn("journal-rewriter", &dir, move || rewriter.run())?,
        writer: spawn("journal-writer", &dir, move || {
            writer::run(&committing, &writing);
        })?,
        tasks,
        wakes,
        lock,
    };
    let inner = Inner {
        shared,
        writer,
        threads: Mutex::new(Some(threads)),
    };
    Ok(Journal {
        inner: Arc::new(inner),
    })
}

fn spawn(
    name: &str,
    dir: &std::path::Path,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|source| OpenError::Io {
            what: "start a thread for",
            path: dir.to_owned(),
            source,
        })
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
