//! What the index and hosts say to each other about a topic's copies: who keeps them, who is in sync,
//! who is host next. See docs/REPLICATION.md.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::types::{
    Epoch, Fingerprint, Incarnation, Offset, PeerName, SessionId, TopicId, TopicName,
    TopicSettings, UnixMicros, Version,
};
use crate::wire::message::message;

/// A topic's record as far as it concerns its copies; peers by their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// Who hosts it.
    pub host: Fingerprint,
    /// Rises when the host role moves.
    pub grant: u32,
    /// Rises with every change of the record: what is not above the last one heard is late.
    pub version: Version,
    /// Who has every acknowledged message.
    pub in_sync: Vec<Fingerprint>,
    /// Who keeps a copy or is to get one, the host included.
    pub replicas: Vec<Fingerprint>,
    /// What the topic is doing.
    pub phase: CopiesPhase,
    /// Rises when an operator gives up lost messages.
    pub lineage: u32,
}

/// What a topic is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopiesPhase {
    /// Its host serves it whenever the host is there.
    Serving,
    /// Its host pauses appends until `to` has everything and takes over.
    HandingOver {
        /// The next host.
        to: Fingerprint,
    },
    /// No member of the in-sync set is live.
    Offline,
    /// As Offline, and the index takes messages meanwhile; the host drains them first.
    Held,
}

/// A host's wish for another in-sync set. It is applied only under the record's epoch and version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlterInSync {
    /// The topic.
    pub topic: TopicId,
    /// The epoch under which the caller hosts it.
    pub epoch: Epoch,
    /// The record's version that the caller has seen.
    pub version: Version,
    /// The set wished, the caller included, each with the incarnation under which it has
    /// acknowledged; 0 for those that are in the set already.
    pub members: Vec<(Fingerprint, Incarnation)>,
}
message!(0x30 AlterInSync, members <= limits::COPIES);

/// What became of [`AlterInSync`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlteredInSync {
    /// The record as it is now.
    pub copies: Copies,
    /// Why the wish was not granted and never will be; `None`: it was.
    pub refused: Option<AlterRefusal>,
}
message!(0x30 AlteredInSync);

/// Why a wish for another in-sync set was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlterRefusal {
    /// The caller is not the host any more, or is another process.
    StaleEpoch,
    /// The record has changed since.
    StaleVersion,
    /// An added member has restarted since it acknowledged.
    StaleMember(Fingerprint),
    /// An added member is not to keep a copy.
    NotReplica(Fingerprint),
    /// The set lacks the host.
    LacksHost,
}

/// A host that hands a topic over says that `to` has everything: the index gives `to` the next grant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandOver {
    /// The topic.
    pub topic: TopicId,
    /// The epoch under which the caller hosts it.
    pub epoch: Epoch,
    /// Who takes over.
    pub to: Fingerprint,
}
message!(0x31 HandOver);

/// The answer to [`HandOver`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandedOver {
    /// The record as it is now; another epoch than the one sent, or another phase: it was late.
    pub copies: Copies,
}
message!(0x31 HandedOver);

/// A wish of the topic's owner or the operator: this peer shall host the topic. Each call takes the
/// next step, so it is repeated until the answer is [`MoveState::Done`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveTopic {
    /// The topic.
    pub name: TopicName,
    /// Who shall host it. `None`: whoever of the in-sync set, else of the willing live peers, has the least
    /// to do, but not the present host.
    pub to: Option<PeerName>,
}
message!(0x32 MoveTopic);

/// The answer to [`MoveTopic`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MovingTopic {
    /// The topic's id.
    pub topic: TopicId,
    /// Who is to host it.
    pub to: PeerName,
    /// How far it is.
    pub state: MoveState,
}
message!(0x32 MovingTopic);

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveState {
    /// The target is getting its copy.
    Copying {
        /// End of the host's log, as last reported.
        end: Offset,
    },
    /// Appends are paused until the target has everything.
    HandingOver,
    /// It hosts the topic.
    Done {
        /// The new epoch.
        epoch: Epoch,
    },
}

/// A replica whose copy is damaged wants to be in no in-sync set before it fetches the copy anew
/// (rule 10). Valid in the caller's session only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeaveInSync {
    /// The session.
    pub session: SessionId,
    /// The topic.
    pub topic: TopicId,
}
message!(0x37 LeaveInSync);

/// The answer to [`LeaveInSync`]: the caller is in no in-sync set of the topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftInSync {
    /// The record as it is now.
    pub copies: Copies,
}
message!(0x37 LeftInSync);

/// Leaves a batch at the index while no member of the topic's in-sync set is live. It is refused
/// with `not-ready` while one is, or may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HoldMessages {
    /// The topic.
    pub topic: TopicId,
    /// A sealed batch under a producer id of the caller's key, as a host would be sent it.
    pub batch: Vec<u8>,
}
message!(0x33 HoldMessages, batch <= limits::HELD_BATCH_BYTES as usize);

/// The answer to [`HoldMessages`]: the batch is durable at the index, and will be appended before the
/// topic takes anything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldMessages {
    /// What is held of the topic now, this batch included.
    pub held: HeldInfo,
}
message!(0x33 HeldMessages);

/// What the index holds of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldInfo {
    /// Messages.
    pub messages: u64,
    /// Bytes of their batches.
    pub bytes: u64,
    /// When the oldest of them came.
    pub since: UnixMicros,
}

/// A host fetches what the index holds of a topic, from the first batch that is not settled; it
/// appends the batches in their order, tells with [`HeldSettled`] that they are committed, and asks
/// again, until nothing comes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrainHeld {
    /// The topic.
    pub topic: TopicId,
    /// The epoch under which the caller hosts it.
    pub epoch: Epoch,
}
message!(0x34 DrainHeld);

/// The answer to [`DrainHeld`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrainedHeld {
    /// Batches under their held sequences, ascending. None: nothing is held any more.
    pub batches: Vec<HeldBatch>,
}
message!(0x34 DrainedHeld, batches <= limits::DRAIN_PAGE_BATCHES);

/// One held batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBatch {
    /// Its place in the topic's queue.
    pub held: u64,
    /// The batch as its publisher sealed it.
    pub batch: Vec<u8>,
}

/// A host has committed held batches: the index forgets them, and opens the topic after the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldSettled {
    /// The topic.
    pub topic: TopicId,
    /// The epoch under which the caller hosts it.
    pub epoch: Epoch,
    /// The held sequence up to and with which all that was handed out is committed. `None`: nothing was
    /// held.
    pub through: Option<u64>,
}
message!(0x38 HeldSettled);

/// The answer to [`HeldSettled`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettledHeld {
    /// The record as it is now; serving, if everything is settled.
    pub copies: Copies,
    /// Batches that are still held.
    pub left: u64,
}
message!(0x38 SettledHeld);

/// What a peer's journal has of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyReport {
    /// The topic.
    pub topic: TopicId,
    /// Its name.
    pub name: TopicName,
    /// The highest epoch that the peer knows of it.
    pub known: Epoch,
    /// The grant under which the peer has hosted it last; 0: never.
    pub own_grant: u32,
    /// Where its log ends, as written.
    pub end: Offset,
    /// The version of the last record that the peer's process has heard; 0: none.
    pub version: Version,
    /// The settings that it has.
    pub settings: TopicSettings,
    /// Whether damage was found in it, and the loss not accepted.
    pub damaged: bool,
}
