//! How a journal is run, and whom it tells.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Disk, RealDisk};
use super::error::FatalError;
use super::written::WrittenGroup;
use crate::limits;
use crate::types::{Offset, TopicId};

/// How a journal is to be run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder; made if it is not there.
    pub dir: PathBuf,
    /// Bytes after which a segment is sealed; [`limits::SEGMENT_BYTES`] by default.
    pub segment_bytes: u64,
    /// Bytes made ready at once; [`limits::EXTENT_BYTES`] by default.
    pub extent_bytes: u64,
    /// Bytes of recent groups kept in memory; [`limits::TAIL_CACHE_BYTES`] by default.
    pub tail_cache_bytes: usize,
    /// Bytes of journal after which a checkpoint is written, or [`limits::CHECKPOINT_RATIO`] times
    /// the size of the last one if that is more; one segment by default.
    pub checkpoint_bytes: u64,
    /// Bytes of one group commit; [`limits::GROUP_BYTES`] by default.
    pub group_bytes: usize,
    /// Bytes of commands that may wait; [`limits::JOURNAL_QUEUE_BYTES`] by default.
    pub queue_bytes: usize,
    /// A sealed segment of which at most this many per cent are still kept is rewritten without the
    /// rest; [`limits::REWRITE_LIVE_PERCENT`] by default, 0: never.
    pub rewrite_live_percent: u8,
    /// Bytes a second that are rewritten in any case, beside as many as are appended;
    /// [`limits::REWRITE_IDLE_BYTES_PER_S`] by default. A full disk lifts the bound.
    pub rewrite_idle_bytes_per_s: u64,
    /// Bytes a second that are sorted by topic in sealed segments where topics lie scattered;
    /// [`limits::SORT_BYTES_PER_S`] by default, 0: never.
    pub sort_bytes_per_s: u64,
    /// The file layer.
    pub disk: Arc<dyn Disk>,
}

impl Options {
    /// The defaults, on the real disk.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Options {
            dir: dir.into(),
            segment_bytes: limits::SEGMENT_BYTES,
            extent_bytes: limits::EXTENT_BYTES,
            tail_cache_bytes: limits::TAIL_CACHE_BYTES,
            checkpoint_bytes: limits::SEGMENT_BYTES,
            group_bytes: limits::GROUP_BYTES,
            queue_bytes: limits::JOURNAL_QUEUE_BYTES,
            rewrite_live_percent: limits::REWRITE_LIVE_PERCENT,
            rewrite_idle_bytes_per_s: limits::REWRITE_IDLE_BYTES_PER_S,
            sort_bytes_per_s: limits::SORT_BYTES_PER_S,
            disk: Arc::new(RealDisk),
        }
    }
}

/// See [`Hooks::on_written`].
pub type OnWritten = Box<dyn Fn(&WrittenGroup<'_>) -> bool + Send + Sync>;
/// See [`Hooks::on_commit`].
pub type OnCommit = Box<dyn Fn(&[(TopicId, Offset)]) + Send + Sync>;
/// See [`Hooks::on_fatal`].
pub type OnFatal = Box<dyn Fn(&FatalError) + Send + Sync>;

/// See [`Hooks::committed`].
pub type Committed = Box<dyn Fn(&TopicId) -> Offset + Send + Sync>;

/// Whom the journal tells, and asks.
pub struct Hooks {
    /// Called by whoever commits for each group just before it is written and synced. If either
    /// fails, [`Hooks::on_commit`] does not come, nor any other group. The group waits for its sync
    /// meanwhile: must be quick, and must not call the journal's table. Answers whether somebody was woken
    /// who sends it on.
    pub on_written: OnWritten,
    /// Called by whoever commits once after each synced group with the topics whose start or end moved,
    /// each once, with its end now. Must be quick.
    pub on_commit: OnCommit,
    /// Called once when a write or sync failed. The journal is stopped for good; the process should
    /// exit.
    pub on_fatal: OnFatal,
    /// Below which offset a hosted topic that others have copies of is committed: retention drops nothing
    /// from there on, for a copy that still needs it could not be brought up to date. Asked by
    /// whoever commits when such a topic is over its bounds; must be quick and must not call the journal.
    pub committed: Committed,
}

impl Default for Hooks {
    /// Nobody is told, and all is committed.
    fn default() -> Self {
        Hooks {
            on_written: Box::new(|_| false),
            on_commit: Box::new(|_| {}),
            on_fatal: Box::new(|_| {}),
            committed: Box::new(|_| Offset(u64::MAX)),
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooks")
    }
}
