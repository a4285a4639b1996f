//! What can go wrong with the journal as a whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::RecordError;
use crate::lock::Holder;
use crate::types::{Offset, StorageId, TopicId};

/// A write or sync failed. The journal is stopped for good: after a failed sync nobody can say what
/// is on the disk until it is read again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("could not {what} in {}; the journal has stopped", dir.display())]
pub struct FatalError {
    /// What was being done.
    pub what: &'static str,
    /// The journal's folder.
    pub dir: PathBuf,
    /// What the disk said.
    #[source]
    pub source: Arc<io::Error>,
}

impl FatalError {
    pub(super) fn new(what: &'static str, dir: &Path, source: io::Error) -> FatalError {
        FatalError {
            what,
            dir: dir.to_owned(),
            source: Arc::new(source),
        }
    }
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is in use by {holder}", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// Who that is.
        holder: Holder,
    },
    /// The disk refused something.
    #[error("could not {what} {}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// A file of another version.
    #[error("{} has format version {found}; this program reads version {supported}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The version that is read.
        supported: u16,
    },
    /// An entry that is sound but says nothing this version knows.
    #[error("{} holds an unknown entry at {position}; was it written by a newer version?", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Where.
        position: u64,
        /// What about it.
        #[source]
        source: RecordError,
    },
    /// All checkpoints are damaged, and segments that they stood for have been reused.
    #[error("{} has no sound checkpoint, and its first segment is {first}, not 1", dir.display())]
    NoCheckpoint {
        /// The folder.
        dir: PathBuf,
        /// The lowest segment.
        first: u64,
    },
    /// All checkpoints that allowed a segment to be rewritten are gone or damaged.
    #[error(
        "{} has no sound checkpoint for segment {segment}, which holds only the messages that were kept; \
         put a .ckp file back from a backup",
        dir.display()
    )]
    Rewritten {
        /// The folder.
        dir: PathBuf,
        /// The segment.
        segment: u64,
    },
    /// A segment of another folder.
    #[error("{} belongs to folder {found}, not {expected}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The folder it names.
        found: StorageId,
        /// The folder it lies in.
        expected: StorageId,
    },
    /// Segments are there, but none says which folder this is.
    #[error("{} has segments, but no header of them is readable", dir.display())]
    NoHeader {
        /// The folder.
        dir: PathBuf,
    },
    /// Options that cannot work.
    #[error("a segment of {found} bytes; at least {least} are needed")]
    SegmentBytes {
        /// Bytes asked for.
        found: u64,
        /// The least.
        least: u64,
    },
}

/// Why messages cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such topic.
    #[error("this peer holds no topic {0}")]
    UnknownTopic(TopicId),
    /// The offset lies below the earliest message kept.
    #[error("offset {from} of topic {topic} is gone; the earliest is {start}")]
    Gone {
        /// The topic.
        topic: TopicId,
        /// The offset asked for.
        from: Offset,
        /// The earliest.
        start: Offset,
    },
    /// The offset lies beyond the end.
    #[error("offset {from} of topic {topic} lies beyond its end {end}")]
    OutOfRange {
        /// The topic.
        topic: TopicId,
        /// The offset asked for.
        from: Offset,
        /// The end.
        end: Offset,
    },
    /// The messages are damaged on the disk.
    #[error("offsets {from} to before {to} of topic {topic} are damaged on the disk")]
    Damaged {
        /// The topic.
        topic: TopicId,
        /// First damaged offset.
        from: Offset,
        /// The offset after the last damaged one.
        to: Offset,
    },
    /// The disk refused to read.
    #[error("could not read segment {segment} for topic {topic}")]
    Io {
        /// The topic.
        topic: TopicId,
        /// The segment.
        segment: u64,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
}
