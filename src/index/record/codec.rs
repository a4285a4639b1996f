//! Records to bytes and back.

use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{
    Change, Counters, HeldRecord, PeerRecord, SubscriptionRecord, TopicRecord, TopicState,
    WaitingRecord,
};
use crate::replication::held::Incoming;
use crate::types::{
    BootId, Fingerprint, Group, Incarnation, PeerName, ProducerId, StorageId, TopicId, TopicName,
    TopicSettings, UnixMicros, Version,
};
use crate::wire::index::{Notice, TopicMetadata};

/// The form byte of everything that this version writes, but topics.
const FORM: u8 = 1;
/// The form byte of topics: form 1 knew no copies but the host's.
const TOPIC_FORM: u8 = 2;
/// Key of the counters in [`Table::Meta`].
const COUNTERS: &[u8] = b"counters";

/// The tables of a store, in the order in which they are loaded: what refers comes after what it
/// refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // named after the records they hold
pub enum Table {
    Meta,
    Peers,
    Waiting,
    Topics,
    Subscriptions,
    Notices,
    Erasures,
    Reports,
    Held,
    HeldBatches,
}

impl Table {
    /// All tables, in loading order.
    pub const ALL: [Table; 10] = [
        Table::Meta,
        Table::Peers,
        Table::Waiting,
        Table::Topics,
        Table::Subscriptions,
        Table::Notices,
        Table::Erasures,
        Table::Reports,
        Table::Held,
        Table::HeldBatches,
    ];

    /// The table's name in a store.
    pub fn name(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Peers => "peers",
            Table::Waiting => "waiting",
            Table::Topics => "topics",
            Table::Subscriptions => "subscriptions",
            Table::Notices => "notices",
            Table::Erasures => "erasures",
            Table::Reports => "reports",
            Table::Held => "held",
            Table::HeldBatches => "held_batches",
        }
    }

    /// Whether its records carry a version to compare.
    pub fn is_versioned(self) -> bool {
        matches!(self, Table::Peers | Table::Topics)
    }
}

/// A change as a store sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub table: Table,
    /// Under which key.
    pub key: Vec<u8>,
    /// The record; `None`: it goes.
    pub value: Option<Vec<u8>>,
}

/// Bytes in a store that are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer program.
    #[error(
        "a record of table {table} has form {found}, which this program does not know; use the version of waypost that wrote it"
    )]
    Form {
        /// The table.
        table: &'static str,
        /// The form seen.
        found: u8,
    },
    /// The key is not one of this table.
    #[error("a key of table {table} is malformed")]
    Key {
        /// The table.
        table: &'static str,
    },
    /// The value is cut short.
    #[error("a record of table {table} is cut short")]
    Cut {
        /// The table.
        table: &'static str,
    },
    /// The value does not decode.
    #[error("a record of table {table} does not decode")]
    Body {
        /// The table.
        table: &'static str,
        /// Postcard's reason.
        #[source]
        source: postcard::Error,
    },
}

// Frozen: PeerV1 and the other V1 structs never change; a change is a V2 under form byte 2.

#[derive(Serialize, Deserialize)]
struct PeerV1 {
    fingerprint: Fingerprint,
    incarnation: Incarnation,
    boot: Option<BootId>,
    fenced: Vec<BootId>,
    storage: Option<StorageId>,
    addresses: Vec<SocketAddr>,
    program: String,
    registered: UnixMicros,
    observed: SocketAddr,
    last_seen: Option<UnixMicros>,
}

#[derive(Serialize, Deserialize)]
struct WaitingV1 {
    name: PeerName,
    storage: Option<StorageId>,
    incarnation: Incarnation,
}

#[derive(Serialize, Deserialize)]
struct TopicV2 {
    topic: TopicId,
    owner: Fingerprint,
    host: Fingerprint,
    grant: u32,
    in_sync: Vec<Fingerprint>,
    /// Those that are not in the in-sync set.
    others: Vec<Fingerprint>,
    settings: TopicSettings,
    state: TopicState,
    lineage: u32,
    created: UnixMicros,
}

#[derive(Deserialize)]
struct TopicV1 {
    topic: TopicId,
    owner: Fingerprint,
    host: Fingerprint,
    grant: u32,
    in_sync: Vec<Fingerprint>,
    settings: TopicSettings,
    state: TopicState,
    lineage: u32,
    created: UnixMicros,
}

#[derive(Serialize, Deserialize)]
struct SubscriptionV1 {
    topic: TopicId,
    since: UnixMicros,
}

#[derive(Serialize, Deserialize)]
struct HeldV1 {
    producer: ProducerId,
    sequence: u64,
    count: u64,
    bytes: u64,
    since: UnixMicros,
}

#[derive(Serialize, Deserialize)]
struct CountersV1 {
    passes: u64,
    notices: u64,
}

/// The version of a versioned record's bytes.
pub fn version_of(value: &[u8]) -> Option<Version> {
    let bytes = value.get(1..9)?;
    Some(Version::from_le_bytes(bytes.try_into().ok()?))
}

fn plain(body: &impl Serialize) -> Vec<u8> {
    extend(vec![FORM], body)
}

fn versioned(form: u8, version: Version, body: &impl Serialize) -> Vec<u8> {
    let mut value = Vec::with_capacity(160);
    value.push(form);
    value.extend_from_slice(&version.to_le_bytes());
    extend(value, body)
}

fn extend(value: Vec<u8>, body: &impl Serialize) -> Vec<u8> {
    // Our own structs serialise into memory: they hold no sequence of unknown length.
    postcard::to_io(body, value).expect("a record serialises into memory")
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// What the keys of one peer's subscriptions begin with.
pub(crate) fn subscription_prefix(peer: Fingerprint) -> [u8; 32] {
    peer.0
}

/// The key of a subscription.
pub(crate) fn subscription_key(peer: Fingerprint, name: &TopicName, group: &Group) -> Vec<u8> {
    joined(&[
        &peer.0,
        name.as_str().as_bytes(),
        &[0],
        group.as_str().as_bytes(),
    ])
}

/// The key of a held batch.
pub(crate) fn held_key(topic: TopicId, held: u64) -> Vec<u8> {
    joined(&[&topic.0, &held.to_be_bytes()])
}

/// The topic and group of a subscription's key.
fn read_subscription_key(key: &[u8]) -> Option<(Fingerprint, TopicName, Group)> {
    let (peer, rest) = key.split_first_chunk::<32>()?;
    let zero = rest.iter().position(|&byte| byte == 0)?;
    let name = std::str::from_utf8(&rest[..zero]).ok()?;
    let group = std::str::from_utf8(&rest[zero + 1..]).ok()?;
    Some((
        Fingerprint(*peer),
        TopicName::new(name).ok()?,
        Group::new(group).ok()?,
    ))
}

impl Change {
    /// The bytes that a store keeps.
    pub fn entry(&self) -> Entry {
        let (table, key, value) = match self {
            Change::PutPeer(peer) => (
                Table::Peers,
                peer.name.as_str().into(),
                Some(versioned(FORM, peer.version, &PeerV1::from(peer))),
            ),
            Change::DeletePeer { name } => (Table::Peers, name.as_str().into(), None),
            Change::PutWaiting(waiting) => (
                Table::Waiting,
                waiting.fingerprint.0.to_vec(),
                Some(plain(&WaitingV1 {
                    name: waiting.name.clone(),
                    storage: waiting.storage,
                    incarnation: waiting.incarnation,
                })),
            ),
            Change::DeleteWaiting { fingerprint } => (Table::Waiting, fingerprint.0.to_vec(), None),
            Change::PutTopic(topic) => (
                Table::Topics,
                topic.name.as_str().into(),
                Some(versioned(TOPIC_FORM, topic.version, &TopicV2::from(topic))),
            ),
            Change::DeleteTopic { name, .. } => (Table::Topics, name.as_str().into(), None),
            Change::PutSubscription(subscription) => (
                Table::Subscriptions,
                subscription_key(subscription.peer, &subscription.name, &subscription.group),
                Some(plain(&SubscriptionV1 {
                    topic: subscription.topic,
                    since: subscription.since,
                })),
            ),
            Change::DeleteSubscription { peer, name, group } => (
                Table::Subscriptions,
                subscription_key(*peer, name, group),
                None,
            ),
            Change::PutNotice { peer, notice } => (
                Table::Notices,
                joined(&[&peer.0, &notice.serial.to_be_bytes()]),
                Some(plain(notice)),
            ),
            Change::DeleteNotice { peer, serial } => (
                Table::Notices,
                joined(&[&peer.0, &serial.to_be_bytes()]),
                None,
            ),
            Change::PutErasure { host, topic } => (
                Table::Erasures,
                joined(&[&host.0, &topic.0]),
                Some(vec![FORM]),
            ),
            Change::DeleteErasure { host, topic } => {
                (Table::Erasures, joined(&[&host.0, &topic.0]), None)
            }
            Change::PutReport { topic, metadata } => {
                (Table::Reports, topic.0.to_vec(), Some(plain(metadata)))
            }
            Change::DeleteReport { topic } => (Table::Reports, topic.0.to_vec(), None),
            Change::PutHeld(record) => (
                Table::Held,
                held_key(record.topic, record.held),
                Some(plain(&HeldV1 {
                    producer: record.batch.producer,
                    sequence: record.batch.sequence,
                    count: record.batch.count,
                    bytes: record.batch.bytes,
                    since: record.since,
                })),
            ),
            Change::DeleteHeld { topic, held } => (Table::Held, held_key(*topic, *held), None),
            Change::PutHeldBatch { topic, held, batch } => (
                Table::HeldBatches,
                held_key(*topic, *held),
                Some(batch.to_vec()),
            ),
            Change::DeleteHeldBatch { topic, held } => {
                (Table::HeldBatches, held_key(*topic, *held), None)
            }
            Change::PutCounters(counters) => (
                Table::Meta,
                COUNTERS.to_vec(),
                Some(plain(&CountersV1 {
                    passes: counters.passes,
                    notices: counters.notices,
                })),
            ),
        };
        Entry { table, key, value }
    }

    /// The change that puts a stored record in place; `None` for a store's own entries.
    pub fn read(table: Table, key: &[u8], value: &[u8]) -> Result<Option<Change>, RecordError> {
        let name = table.name();
        let bad_key = || RecordError::Key { table: name };
        let change = match table {
            Table::Meta if key == COUNTERS => {
                let body: CountersV1 = read_plain(table, value)?;
                Change::PutCounters(Counters {
                    passes: body.passes,
                    notices: body.notices,
                })
            }
            // Batches stay on disk until a host drains them.
            Table::Meta | Table::HeldBatches => return Ok(None),
            Table::Peers => {
                let (version, body): (_, PeerV1) = read_versioned(table, value)?;
                let name = text(key).and_then(|t| PeerName::new(t).ok());
                Change::PutPeer(body.into_record(name.ok_or_else(bad_key)?, version))
            }
            Table::Waiting => {
                let body: WaitingV1 = read_plain(table, value)?;
                Change::PutWaiting(WaitingRecord {
                    fingerprint: Fingerprint(key.try_into().map_err(|_| bad_key())?),
                    name: body.name,
                    storage: body.storage,
                    incarnation: body.incarnation,
                })
            }
            Table::Topics => {
                let (version, body) = read_topic(value)?;
                let name = text(key).and_then(|t| TopicName::new(t).ok());
                Change::PutTopic(body.into_record(name.ok_or_else(bad_key)?, version))
            }
            Table::Subscriptions => {
                let body: SubscriptionV1 = read_plain(table, value)?;
                let (peer, name, group) = read_subscription_key(key).ok_or_else(bad_key)?;
                Change::PutSubscription(SubscriptionRecord {
                    peer,
                    name,
                    group,
                    topic: body.topic,
                    since: body.since,
                })
            }
            Table::Notices => Change::PutNotice {
                peer: Fingerprint(*key.first_chunk().ok_or_else(bad_key)?),
                notice: read_plain::<Notice>(table, value)?,
            },
            Table::Erasures => {
                check_form(table, value)?;
                let (host, topic) = key.split_first_chunk().ok_or_else(bad_key)?;
                Change::PutErasure {
                    host: Fingerprint(*host),
                    topic: TopicId(topic.try_into().map_err(|_| bad_key())?),
                }
            }
            Table::Reports => Change::PutReport {
                topic: TopicId(key.try_into().map_err(|_| bad_key())?),
                metadata: read_plain::<TopicMetadata>(table, value)?,
            },
            Table::Held => {
                let body: HeldV1 = read_plain(table, value)?;
                let (topic, held) = key.split_first_chunk().ok_or_else(bad_key)?;
                Change::PutHeld(HeldRecord {
                    topic: TopicId(*topic),
                    held: u64::from_be_bytes(held.try_into().map_err(|_| bad_key())?),
                    batch: Incoming {
                        producer: body.producer,
                        sequence: body.sequence,
                        count: body.count,
                        bytes: body.bytes,
                    },
                    since: body.since,
                })
            }
        };
        Ok(Some(change))
    }
}

fn text(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key).ok()
}

fn check_form(table: Table, value: &[u8]) -> Result<&[u8], RecordError> {
    let table = table.name();
    match value.split_first() {
        Some((&FORM, rest)) => Ok(rest),
        Some((&found, _)) => Err(RecordError::Form { table, found }),
        None => Err(RecordError::Cut { table }),
    }
}

fn decode<T: DeserializeOwned>(table: Table, body: &[u8]) -> Result<T, RecordError> {
    postcard::from_bytes(body).map_err(|source| RecordError::Body {
        table: table.name(),
        source,
    })
}

fn read_plain<T: DeserializeOwned>(table: Table, value: &[u8]) -> Result<T, RecordError> {
    decode(table, check_form(table, value)?)
}

fn read_versioned<T: DeserializeOwned>(
    table: Table,
    value: &[u8],
) -> Result<(Version, T), RecordError> {
    let rest = check_form(table, value)?;
    let (version, body) = split_version(table, rest)?;
    Ok((version, decode(table, body)?))
}

fn split_version(table: Table, rest: &[u8]) -> Result<(Version, &[u8]), RecordError> {
    let (version, body) = rest.split_first_chunk().ok_or(RecordError::Cut {
        table: table.name(),
    })?;
    Ok((Version::from_le_bytes(*version), body))
}

/// A topic in either form.
fn read_topic(value: &[u8]) -> Result<(Version, TopicV2), RecordError> {
    let table = Table::Topics;
    match value.split_first() {
        Some((&TOPIC_FORM, rest)) => {
            let (version, body) = split_version(table, rest)?;
            Ok((version, decode(table, body)?))
        }
        _ => {
            let (version, body): (_, TopicV1) = read_versioned(table, value)?;
            Ok((version, body.into()))
        }
    }
}

impl From<&PeerRecord> for PeerV1 {
    fn from(peer: &PeerRecord) -> Self {
        PeerV1 {
            fingerprint: peer.fingerprint,
            incarnation: peer.incarnation,
            boot: peer.boot,
            fenced: peer.fenced.clone(),
            storage: peer.storage,
            addresses: peer.addresses.clone(),
            program: peer.program.clone(),
            registered: peer.registered,
            observed: peer.observed,
            last_seen: peer.last_seen,
        }
    }
}

impl PeerV1 {
    fn into_record(self, name: PeerName, version: Version) -> PeerRecord {
        PeerRecord {
            name,
            version,
            fingerprint: self.fingerprint,
            incarnation: self.incarnation,
            boot: self.boot,
            fenced: self.fenced,
            storage: self.storage,
            addresses: self.addresses,
            program: self.program,
            registered: self.registered,
            observed: self.observed,
            last_seen: self.last_seen,
        }
    }
}

impl From<TopicV1> for TopicV2 {
    fn from(topic: TopicV1) -> Self {
        TopicV2 {
            topic: topic.topic,
            owner: topic.owner,
            host: topic.host,
            grant: topic.grant,
            in_sync: topic.in_sync,
            others: Vec::new(),
            settings: topic.settings,
            state: topic.state,
            lineage: topic.lineage,
            created: topic.created,
        }
    }
}

impl From<&TopicRecord> for TopicV2 {
    fn from(topic: &TopicRecord) -> Self {
        let others = topic.replicas.iter().copied();
        TopicV2 {
            topic: topic.topic,
            owner: topic.owner,
            host: topic.host,
            grant: topic.grant,
            in_sync: topic.in_sync.clone(),
            others: others
                .filter(|peer| !topic.in_sync.contains(peer))
                .collect(),
            settings: topic.settings,
            state: topic.state,
            lineage: topic.lineage,
            created: topic.created,
        }
    }
}

impl TopicV2 {
    fn into_record(self, name: TopicName, version: Version) -> TopicRecord {
        let mut replicas = self.others;
        replicas.extend(&self.in_sync);
        replicas.sort_unstable();
        TopicRecord {
            name,
            version,
            topic: self.topic,
            owner: self.owner,
            host: self.host,
            grant: self.grant,
            in_sync: self.in_sync,
            replicas,
            settings: self.settings,
            state: self.state,
            lineage: self.lineage,
            created: self.created,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
