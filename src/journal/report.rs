//! What opening a journal found.

use crate::types::TopicId;

/// A place of the journal that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamageReport {
    /// The segment.
    pub segment: u64,
    /// Where the damage begins in its file.
    pub from: u64,
    /// Where the next sound entry stands, or the end of the file.
    pub to: u64,
    /// What was found.
    pub what: &'static str,
}

/// What opening a journal found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Entries replayed.
    pub entries: u64,
    /// Bytes of segments read.
    pub scanned_bytes: u64,
    /// Bytes of a group that was being written when the process died. Nothing in it was
    /// acknowledged.
    pub torn_bytes: u64,
    /// Damaged places, at most [`crate::limits::DAMAGE_REPORTS`].
    pub damage: Vec<DamageReport>,
    /// Damaged places in all.
    pub damage_count: u64,
    /// Topics whose end cannot be proven.
    pub suspect: Vec<TopicId>,
    /// Number of the checkpoint that was used.
    pub checkpoint: Option<u64>,
    /// Checkpoints that were damaged and passed over.
    pub bad_checkpoints: u64,
    /// Nanoseconds that it took.
    pub took_ns: u64,
    /// The journal had been closed properly, or is new.
    pub was_clean: bool,
    /// The folder was made now.
    pub is_new: bool,
}
