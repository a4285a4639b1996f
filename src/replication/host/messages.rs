//! What a host's topic is told, what it tells, and what its replicas say.

use crate::replication::configuration::{AlterInSync, Altered, Configuration};
use crate::replication::members::PeerNo;
use crate::types::{Epoch, Incarnation, MonoNs, Offset};

/// A replica's first word about a topic on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Join {
    /// The highest epoch that it knows of the topic.
    pub known: Epoch,
    /// The epoch of its last message.
    pub last: Option<Epoch>,
    /// Its end.
    pub end: Offset,
}

/// The host's answer: where the replica's log is to be cut, see [`crate::replication::epochs::TopicLog::cut`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JoinAnswer {
    /// The host's epoch.
    pub epoch: Epoch,
    /// The largest epoch of the host's log that is not above `last`, and its end there.
    pub common: Option<(Epoch, Offset)>,
    /// The host's earliest offset.
    pub start: Offset,
    /// The host's high watermark.
    pub high_watermark: Offset,
}

/// What a replica has durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ack {
    /// The epoch of the host that it follows.
    pub epoch: Epoch,
    /// Its end.
    pub end: Offset,
    /// The revision of positions that it has.
    pub positions: u64,
}

/// Something that happened at or to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostEvent {
    /// Its own log is written up to here under its epoch, and being synced. Before any of it is sent.
    Written {
        /// The end.
        end: Offset,
    },
    /// Its own log is durable up to here.
    Synced {
        /// The end.
        end: Offset,
    },
    /// Its own positions are durable up to this revision.
    PositionsSynced {
        /// The revision.
        revision: u64,
    },
    /// Messages below were dropped by retention.
    Trimmed {
        /// The new start; never above the high watermark.
        start: Offset,
    },
    /// A replica wants to follow.
    Join(PeerNo, Incarnation, Join),
    /// A replica has something durably.
    Acked(PeerNo, Incarnation, Ack),
    /// A replica's stream broke.
    Gone(PeerNo),
    /// The index answered a proposal, or will not.
    Altered(Altered),
    /// The record as the index has it, by whatever way.
    Record(Configuration),
    /// The owner has set another least number of in-sync copies.
    MinInSync(u8),
    /// A replica says that it knows this epoch; whether that is right if it is a higher one, the index
    /// tells.
    Fenced(PeerNo, Epoch),
    /// The time of [`HostEffect::WakeAt`] has come.
    Wake,
}

/// Something to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostEffect {
    /// Answer a join.
    Answer(PeerNo, JoinAnswer),
    /// End the replica's slot: it is no replica of this topic (any more).
    Refuse(PeerNo),
    /// Everything below is committed: acknowledge it, show it to readers, tell replicas.
    HighWatermark(Offset),
    /// Position commits up to this revision may be answered.
    PositionsCommitted(u64),
    /// Send this to the index and answer with [`HostEvent::Altered`].
    Propose(AlterInSync),
    /// Give [`HostEvent::Wake`] at this time.
    WakeAt(MonoNs),
    /// Take no appends from now on, or take them again: the topic is being handed over, or whether this
    /// peer still hosts it is being asked.
    Pause(bool),
    /// This peer has everything that is written here: tell the index, which makes it the host. Appends
    /// that come to be written after this are not lost: they were not acknowledged, and are sent again.
    Level(PeerNo),
    /// This peer is not the host any more: refuse what waits, with the retry class FreshRoute.
    StepDown,
}
