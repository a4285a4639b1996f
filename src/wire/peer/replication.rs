//! Frames of a replica on its stream to a host: all topics of the pair in slots.
//!
//! [`ReplicaJoin`], [`super::Ack`], [`PositionsAck`], [`ReplicaLeave`] up; [`ReplicaJoined`],
//! [`super::Data`], [`Positions`], [`HighWatermark`], [`super::SlotEnded`] down. Slots are counted up by
//! the replica and never used twice on a stream. See docs/REPLICATION.md.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::types::{Epoch, Fingerprint, Group, Incarnation, Offset, ProducerId, TopicId};
use crate::wire::message::message;

/// Opens the stream of a pair of peers, from replica to host. Long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replicate {
    /// The replica's incarnation; its acknowledgements count under it.
    pub incarnation: Incarnation,
}
message!(0x09 Replicate);

/// The answer to [`Replicate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicateOpened {}
message!(0x09 ReplicateOpened);

/// Replicate this topic on this slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaJoin {
    /// The slot.
    pub slot: u32,
    /// The topic.
    pub topic: TopicId,
    /// The highest epoch that the replica knows.
    pub known: Epoch,
    /// The epoch of its last message; `None`: it has none.
    pub last: Option<Epoch>,
    /// Where its log ends, as written.
    pub end: Offset,
}
message!(0x1b ReplicaJoin);

/// What a host tells a replica that joins: where their logs part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaJoined {
    /// The slot.
    pub slot: u32,
    /// The host's epoch.
    pub epoch: Epoch,
    /// The largest epoch not above `last` that the host has, and its end there.
    pub common: Option<(Epoch, Offset)>,
    /// The host's earliest offset.
    pub start: Offset,
    /// Everything below is committed.
    pub high_watermark: Offset,
}
message!(0x1b ReplicaJoined);

/// Revisions of positions that are durable at the replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PositionsAck {
    /// (slot, revision).
    pub revisions: Vec<(u32, u64)>,
}
message!(0x1c PositionsAck);

/// Positions of subscribers that have changed at the host, or all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Positions {
    /// The slot.
    pub slot: u32,
    /// The revision that is reached with the last frame of it.
    pub revision: u64,
    /// More frames of this revision follow.
    pub more: bool,
    /// The entries.
    pub positions: Vec<ReplicatedPosition>,
}
message!(0x19 Positions, positions <= limits::POSITIONS_PER_FRAME);

/// One subscriber's position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicatedPosition {
    /// The subscriber.
    pub subscriber: Fingerprint,
    /// Its consumer group.
    pub group: Group,
    /// The offset that it wants next.
    pub next: Offset,
    /// Its commit sequence.
    pub sequence: u64,
}

/// High watermarks and starts that have moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HighWatermark {
    /// (slot, high watermark, start).
    pub moved: Vec<(u32, Offset, Offset)>,
}
message!(0x1a HighWatermark);

/// The replica gives the slot up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaLeave {
    /// The slot.
    pub slot: u32,
    /// The highest epoch that the replica knows.
    pub known: Epoch,
}
message!(0x1d ReplicaLeave);

/// Asks a host what it remembers of a topic's producers below an offset, before a replica takes batches
/// from there on. Answered by [`DedupeTable`] frames, the last without `more`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FetchDedupe {
    /// The topic.
    pub topic: TopicId,
    /// The host's epoch.
    pub epoch: Epoch,
    /// Only what was appended below.
    pub below: Offset,
}
message!(0x0a FetchDedupe);

/// An answer to [`FetchDedupe`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DedupeTable {
    /// What is remembered, one entry per producer and run of sequences.
    pub ranges: Vec<ReplicatedRange>,
    /// Another frame follows.
    pub more: bool,
}
message!(0x0a DedupeTable, ranges <= limits::RANGES_PER_FRAME);

/// Sequences of a producer that lie at consecutive offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicatedRange {
    /// The producer.
    pub producer: ProducerId,
    /// First sequence.
    pub sequence: u64,
    /// Its offset.
    pub offset: Offset,
    /// How many.
    pub count: u64,
}
