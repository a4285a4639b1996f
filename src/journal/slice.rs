//! What reading answers.

use bytes::Bytes;

use crate::replication::epochs::TopicLog;
use crate::types::{Epoch, Offset, TopicId, TopicName, TopicSettings, UnixMicros};

/// A topic as its host reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicStat {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// What the owner has set.
    pub settings: TopicSettings,
    /// The grant under which this peer hosts it, or has hosted it last; 0: never.
    pub grant: u32,
    /// Whether this peer hosts it; otherwise it keeps a copy.
    pub hosts: bool,
    /// Offset of the earliest message kept.
    pub start: Offset,
    /// The offset that the next message gets.
    pub end: Offset,
    /// Bytes of the batches kept.
    pub bytes: u64,
    /// Time of the last append.
    pub last_append: Option<UnixMicros>,
    /// Ranges that cannot be read.
    pub damaged: Vec<(Offset, Offset)>,
    /// Damage may have taken messages at the end; appends are refused until the loss is accepted.
    pub suspect: bool,
}

/// A topic's copy as far as replication needs it: what is durable of it here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicCopy {
    /// Its name.
    pub name: TopicName,
    /// What the owner has set.
    pub settings: TopicSettings,
    /// Its log.
    pub log: TopicLog,
    /// The highest epoch known of it, this peer's own included.
    pub known: Epoch,
    /// The grant under which this peer hosts it, or has hosted it last; 0: never.
    pub own_grant: u32,
    /// Whether this peer hosts it; otherwise it keeps a copy.
    pub hosts: bool,
    /// Whether other peers have, or may get, copies, see [`super::Command::Share`].
    pub shared: bool,
    /// Damage may have taken some of it, and the loss was not accepted.
    pub damaged: bool,
}

/// The answer of [`super::Journal::read_cached`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachedRead {
    /// Batches from memory.
    Hit(Slice),
    /// There are such messages, on the disk.
    Miss,
    /// `from` is the end: nothing yet.
    End {
        /// The end.
        end: Offset,
    },
    /// `from` lies below the earliest message kept.
    Gone {
        /// Offset of the earliest message.
        start: Offset,
    },
    /// `from` lies beyond the end.
    OutOfRange {
        /// The end.
        end: Offset,
    },
    /// No such topic.
    Unknown,
}

/// Whole batches of one topic, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Each exactly one batch with the host's fields set.
    pub batches: Vec<Bytes>,
    /// The offset to go on from.
    pub next: Offset,
    /// The topic's end at the time.
    pub end: Offset,
}

/// The answers that need no message.
pub(super) fn range_check(from: Offset, start: Offset, end: Offset) -> Option<CachedRead> {
    if from > end {
        Some(CachedRead::OutOfRange { end })
    } else if from < start {
        Some(CachedRead::Gone { start })
    } else if from == end {
        Some(CachedRead::End { end })
    } else {
        None
    }
}
