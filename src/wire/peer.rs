//! Messages of the peer protocol, ALPN `waypost-peer/1`.
//!
//! The first stream of a connection starts with [`Present`], then carries its request like any
//! other stream; streams that arrive earlier wait for it.

use serde::{Deserialize, Serialize};

pub mod replication;

use self::replication::{DedupeTable, FetchDedupe, Replicate, ReplicateOpened};
use super::message::{message, requests};
use super::pass::SignedPass;
use crate::limits;
use crate::types::{
    BootId, Epoch, Fingerprint, Group, Incarnation, Offset, PeerName, StorageId, TopicId,
    UnixMicros,
};

requests! {
    /// Every request of the peer protocol.
    pub enum PeerRequest {
        Append => Appended,
        AppendStream => AppendStreamOpened,
        Pull => PullStarted,
        Follow => FollowOpened,
        Commit => Committed,
        TopicStatus => TopicStatuses,
        PeerStatus => PeerStatusReply,
        Replicate => ReplicateOpened,
        FetchDedupe => DedupeTable,
    }
}

/// Shows the pass. Stands before the request on a connection's first stream and has no answer of
/// its own; a bad pass is answered with an error instead of the reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Present {
    /// The pass.
    pub pass: SignedPass,
}
message!(0x01 Present);

// ---- append ----

/// Appends the batch in the payload. A producer has one outstanding per topic; for more, see
/// [`AppendStream`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Append {
    /// The topic.
    pub topic: TopicId,
    /// The host's epoch as the route gave it.
    pub epoch: Epoch,
}
message!(0x02 Append);

/// The batch is durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Appended {
    /// Offset of its first message.
    pub base: Offset,
    /// Whether the host had it already; `base` is then where.
    pub duplicate: bool,
    /// What was achieved.
    pub achieved: Achieved,
    /// The peers that hold it durably.
    pub durable_on: Vec<Fingerprint>,
}
message!(0x02 Appended);

/// On how many of the wanted copies a batch is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Achieved {
    /// Copies that are durable.
    pub durable: u8,
    /// Members of the in-sync set.
    pub of: u8,
}

/// Opens a stream of appends: [`AppendNext`] up, [`AppendAck`] and [`AppendNack`] down. Frames are
/// processed in order and answered each when durable; topics do not wait for each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppendStream {}
message!(0x03 AppendStream);

/// The answer to [`AppendStream`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppendStreamOpened {}
message!(0x03 AppendStreamOpened);

/// One batch, in the payload, on an append stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppendNext {
    /// Chosen by the sender, comes back in the answer.
    pub ticket: u64,
    /// The topic.
    pub topic: TopicId,
    /// The host's epoch as the route gave it.
    pub epoch: Epoch,
}
message!(0x10 AppendNext);

/// The batch of `ticket` is durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppendAck {
    /// The ticket.
    pub ticket: u64,
    /// Offset of the first message.
    pub base: Offset,
    /// Whether the host had it already.
    pub duplicate: bool,
    /// What was achieved.
    pub achieved: Achieved,
}
message!(0x10 AppendAck);

/// The peers behind [`AppendAck::achieved`] of `ticket`, sent before it; they stand behind the later ones
/// of its topic on this stream as well, until others are told. None told: the host alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Members {
    /// The ticket.
    pub ticket: u64,
    /// Who has the batch durably.
    pub peers: Vec<PeerName>,
}
message!(0x17 Members, peers <= limits::COPIES);

/// The batch of `ticket` was not taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppendNack {
    /// The ticket.
    pub ticket: u64,
    /// Why.
    pub error: super::ErrorReply,
}
message!(0x11 AppendNack);

// ---- reading ----

/// Where to start reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadFrom {
    /// At the caller's position in this group; the earliest kept message if there is none.
    Position(Group),
    /// At the earliest kept message.
    Start,
    /// After the last message.
    End,
    /// At this offset.
    Offset(Offset),
    /// So many messages before the end.
    Last(u64),
}

/// Reads what is there. Answered by [`PullStarted`], then [`Data`] frames, then FIN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pull {
    /// The topic.
    pub topic: TopicId,
    /// The host's epoch as the route gave it.
    pub epoch: Epoch,
    /// Where to start.
    pub from: ReadFrom,
    /// About how many bytes at most; whole batches are sent, at least one.
    pub max_bytes: u64,
    /// About how many messages at most; whole batches are sent, at least one.
    pub max_messages: u64,
    /// How long to wait for a first message, ms; 0: not at all.
    pub wait_ms: u32,
    /// The group whose position is answered, whatever `from` is.
    pub group: Group,
}
message!(0x04 Pull);

/// The answer to [`Pull`]; batches follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PullStarted {
    /// The first offset wanted, after `from` was resolved; batches may begin below it.
    pub from: Offset,
    /// Earliest kept offset.
    pub start: Offset,
    /// End of what is visible: one past the last offset.
    pub end: Offset,
    /// The caller's position in the group.
    pub position: Option<PositionValue>,
}
message!(0x04 PullStarted);

/// A position: the next offset to read, and the sequence of the commit that set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionValue {
    /// The next offset to read.
    pub next: Offset,
    /// Last writer wins by this.
    pub sequence: u64,
}

/// Whole batches, in the payload. On pull streams `slot` is 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Data {
    /// The slot of a follow stream.
    pub slot: u32,
    /// End of what is visible now.
    pub end: Offset,
}
message!(0x18 Data);

/// Opens a follow stream, one per (subscriber, host): [`Add`], [`Remove`], [`Credit`], [`Ack`] up;
/// [`Added`], [`Data`], [`SlotEnded`] down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Follow {}
message!(0x05 Follow);

/// The answer to [`Follow`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FollowOpened {}
message!(0x05 FollowOpened);

/// Adds a topic to the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Add {
    /// Chosen by the follower; unique on the stream.
    pub slot: u32,
    /// The topic.
    pub topic: TopicId,
    /// The host's epoch as the route gave it.
    pub epoch: Epoch,
    /// Where to start.
    pub from: ReadFrom,
    /// The group whose position is answered.
    pub group: Group,
    /// Bytes of batches that may be sent before more credit is given.
    pub credit: u64,
    /// The epoch of the message before the offset wanted, as the caller has read it: a host whose log
    /// has another one there, or ends before, answers [`super::ErrorCode::Diverged`].
    pub after: Option<Epoch>,
}
message!(0x12 Add);

/// The slot is open; data follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Added {
    /// The slot.
    pub slot: u32,
    /// The first offset wanted, after `from` was resolved; batches may begin below it.
    pub from: Offset,
    /// Earliest kept offset.
    pub start: Offset,
    /// End of what is visible.
    pub end: Offset,
    /// The caller's position in the group.
    pub position: Option<PositionValue>,
}
message!(0x12 Added);

/// Takes a topic off the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remove {
    /// The slot.
    pub slot: u32,
}
message!(0x13 Remove);

/// Allows so many more bytes on the slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Credit {
    /// The slot.
    pub slot: u32,
    /// Bytes more.
    pub bytes: u64,
}
message!(0x14 Credit);

/// What the follower has durably, per slot. Reserved for replicas; hosts ignore it for others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    /// (slot, end of what it has).
    pub ends: Vec<(u32, Offset)>,
}
message!(0x15 Ack);

/// The host ends a slot; the stream lives on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotEnded {
    /// The slot.
    pub slot: u32,
    /// Why.
    pub error: super::ErrorReply,
}
message!(0x13 SlotEnded);

/// Sets the caller's position. Answered when durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// The topic.
    pub topic: TopicId,
    /// The host's epoch as the route gave it.
    pub epoch: Epoch,
    /// The caller's group.
    pub group: Group,
    /// The position, its sequence one above the last one seen.
    pub position: PositionValue,
    /// Allows the position to go back.
    pub reset: bool,
}
message!(0x06 Commit);

/// The position as it stands now; another sequence than the one sent: another writer was later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Committed {
    /// The position.
    pub position: PositionValue,
}
message!(0x06 Committed);

/// Asks for the state of some topics and the caller's positions there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopicStatus {
    /// The topics.
    pub topics: Vec<(TopicId, Group)>,
}
message!(0x07 TopicStatus, topics <= limits::PAGE_ENTRIES as usize);

/// The answer to [`TopicStatus`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopicStatuses {
    /// One entry per topic asked, in its order; `None`: not hosted here.
    pub topics: Vec<Option<TopicState>>,
}
message!(0x07 TopicStatuses);

/// A topic as its host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicState {
    /// Earliest kept offset.
    pub start: Offset,
    /// End of what is visible.
    pub end: Offset,
    /// Bytes kept.
    pub bytes: u64,
    /// The last append's time.
    pub last_append: Option<UnixMicros>,
    /// The host's epoch.
    pub epoch: Epoch,
    /// The caller's position in the group asked.
    pub position: Option<PositionValue>,
    /// Whether part of the log is damaged.
    pub damaged: bool,
}

/// Asks a peer about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {}
message!(0x08 PeerStatus);

/// The answer to [`PeerStatus`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerStatusReply {
    /// The program's version.
    pub version: String,
    /// This start of the process.
    pub boot: BootId,
    /// The data folder.
    pub storage: StorageId,
    /// The incarnation; 0 until the first session of this process.
    pub incarnation: Incarnation,
    /// When the process started.
    pub started: UnixMicros,
    /// Topics hosted.
    pub topics: u64,
    /// Bytes of the journal on disk.
    pub journal_bytes: u64,
    /// Whether the disk is full.
    pub storage_full: bool,
    /// Whether the session with the index is alive.
    pub session: bool,
}
message!(0x08 PeerStatusReply);
