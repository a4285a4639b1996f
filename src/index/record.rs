//! The durable records of the index and the changes made of them.
//!
//! Every record has a frozen byte form: one byte that names the form, for topics and peers the
//! record's version (u64, little-endian, so that a store compares it without decoding), then the
//! postcard form of a struct that never changes once released; a change is another form byte.
//!
//! ```text
//! table          key                                value
//! meta           "format" | "revision" | "counters"
//! peers          name                               form · version · PeerV1
//! waiting        fingerprint                        form · WaitingV1
//! topics         name                               form · version · TopicV2
//! subscriptions  fingerprint · topic · 0 · group    form · SubscriptionV1
//! notices        fingerprint · serial (big-endian)  form · Notice
//! erasures       fingerprint · topic id             form
//! reports        topic id                           form · TopicMetadata
//! held           topic id · held (big-endian)       form · HeldV1
//! held_batches   topic id · held (big-endian)       the batch; read when a host drains, not loaded
//! ```

use std::net::SocketAddr;

use bytes::Bytes;

use crate::replication::held::Incoming;
use crate::types::{
    BootId, Fingerprint, Group, Incarnation, PeerName, StorageId, TopicId, TopicName,
    TopicSettings, UnixMicros, Version,
};
use crate::wire::index::copies::{Copies, CopiesPhase};
use crate::wire::index::{Notice, TopicMetadata};

mod codec;

pub use codec::{Entry, RecordError, Table, version_of};
pub(crate) use codec::{held_key, subscription_key, subscription_prefix};

/// A name and the key that it is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRecord {
    /// The name.
    pub name: PeerName,
    /// The key.
    pub fingerprint: Fingerprint,
    /// Rises with every change of this record.
    pub version: Version,
    /// Counts the starts of its hosting process; 0: never hosted.
    pub incarnation: Incarnation,
    /// The last start's id.
    pub boot: Option<BootId>,
    /// Earlier starts' ids, oldest first, at most [`crate::limits::FENCED_BOOTS`].
    pub fenced: Vec<BootId>,
    /// Its data folder.
    pub storage: Option<StorageId>,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Its program's version.
    pub program: String,
    /// When the name was bound.
    pub registered: UnixMicros,
    /// From where.
    pub observed: SocketAddr,
    /// When it was last heard of, as far as recorded.
    pub last_seen: Option<UnixMicros>,
}

/// What remains of a forgotten peer whose topics are kept for the next key under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRecord {
    /// The key that was forgotten; topics still name it.
    pub fingerprint: Fingerprint,
    /// The name that the next key must register.
    pub name: PeerName,
    /// The data folder that it must bring.
    pub storage: Option<StorageId>,
    /// The incarnation that it had reached.
    pub incarnation: Incarnation,
}

/// What a topic is doing. See `replication::configuration::Phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum TopicState {
    /// Its host serves it whenever the host is there.
    Serving,
    /// Its host pauses appends until the next one has everything and takes over.
    HandingOver {
        /// The next host, a member of the in-sync set.
        to: Fingerprint,
    },
    /// Its host may not act, and no member of the in-sync set was live to take its place.
    Offline,
    /// The index takes messages until a host has come and drained them.
    Held,
}

/// One life of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRecord {
    /// Its name.
    pub name: TopicName,
    /// Names this life.
    pub topic: TopicId,
    /// Rises with every change of this record.
    pub version: Version,
    /// Who created it.
    pub owner: Fingerprint,
    /// Who hosts it.
    pub host: Fingerprint,
    /// Rises when the host role moves; starts at 1.
    pub grant: u32,
    /// Who has every acknowledged message, ascending.
    pub in_sync: Vec<Fingerprint>,
    /// Who keeps a copy or is to get one, the host and the in-sync set included, ascending.
    pub replicas: Vec<Fingerprint>,
    /// What the owner set.
    pub settings: TopicSettings,
    /// What it is doing.
    pub state: TopicState,
    /// Rises when an operator gives up lost messages.
    pub lineage: u32,
    /// When it was created.
    pub created: UnixMicros,
}

impl TopicRecord {
    /// The record as hosts and replicas are told it.
    pub fn copies(&self) -> Copies {
        Copies {
            host: self.host,
            grant: self.grant,
            version: self.version,
            in_sync: self.in_sync.clone(),
            replicas: self.replicas.clone(),
            phase: match self.state {
                TopicState::Serving => CopiesPhase::Serving,
                TopicState::HandingOver { to } => CopiesPhase::HandingOver { to },
                TopicState::Offline => CopiesPhase::Offline,
                TopicState::Held => CopiesPhase::Held,
            },
            lineage: self.lineage,
        }
    }
}

/// A peer's wish to read a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRecord {
    /// Who.
    pub peer: Fingerprint,
    /// What, by name.
    pub name: TopicName,
    /// In which of its groups.
    pub group: Group,
    /// Which life of the topic.
    pub topic: TopicId,
    /// Since when.
    pub since: UnixMicros,
}

/// A batch that the index holds, but for its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldRecord {
    /// For which topic.
    pub topic: TopicId,
    /// Its place in the topic's queue.
    pub held: u64,
    /// Whose it is, and how large.
    pub batch: Incoming,
    /// When it came.
    pub since: UnixMicros,
}

/// Numbers that must never be given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Serials of passes below this one may have been given.
    pub passes: u64,
    /// The serial of the last notice.
    pub notices: u64,
}

/// One durable change: a record put in place, or taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are the records' keys
pub enum Change {
    /// Binds a name to a key, or changes what is known of it.
    PutPeer(PeerRecord),
    /// Frees a name.
    DeletePeer { name: PeerName },
    /// Keeps a forgotten peer's topics for its name's next key.
    PutWaiting(WaitingRecord),
    /// The next key has come, or nobody waits any more.
    DeleteWaiting { fingerprint: Fingerprint },
    /// Creates or changes a topic.
    PutTopic(TopicRecord),
    /// Ends a topic; its subscriptions are taken away before.
    DeleteTopic { name: TopicName, topic: TopicId },
    /// Records a subscription.
    PutSubscription(SubscriptionRecord),
    /// Takes one back.
    DeleteSubscription {
        peer: Fingerprint,
        name: TopicName,
        group: Group,
    },
    /// Keeps something that a peer is to be told.
    PutNotice { peer: Fingerprint, notice: Notice },
    /// It was told, or is too old.
    DeleteNotice { peer: Fingerprint, serial: u64 },
    /// A host is to erase a topic.
    PutErasure { host: Fingerprint, topic: TopicId },
    /// It has.
    DeleteErasure { host: Fingerprint, topic: TopicId },
    /// What a host reported.
    PutReport {
        topic: TopicId,
        metadata: TopicMetadata,
    },
    /// The topic is gone.
    DeleteReport { topic: TopicId },
    /// Numbers given.
    PutCounters(Counters),
    /// A batch is held.
    PutHeld(HeldRecord),
    /// It is settled, or its topic is gone; of a topic, the oldest goes first.
    DeleteHeld { topic: TopicId, held: u64 },
    /// The bytes of a held batch.
    PutHeldBatch {
        topic: TopicId,
        held: u64,
        batch: Bytes,
    },
    /// They go with it.
    DeleteHeldBatch { topic: TopicId, held: u64 },
}

/// A record that must still be as it was when the decision was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Expected {
    /// Where.
    pub table: Table,
    /// Under which key.
    pub key: Vec<u8>,
    /// Its version; `None`: it is not there.
    pub version: Option<Version>,
}

#[cfg(test)]
pub(crate) mod tests_support {
    pub(crate) use super::codec::tests::samples;
}
