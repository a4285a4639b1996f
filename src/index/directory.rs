//! The directory: what the index knows, in memory, and nothing else. Pure.
//!
//! | module | subject |
//! |---|---|
//! | `topics` | the table of topics, found by name or id |
//! | `slots` | the hash table by which they are found |
//! | `copies` | who keeps copies of what, and who could |
//! | `arena`, `intern` | long names in chunks, shared values as numbers |
//! | `peers` | what is known of a key |
//! | `reports`, `lags` | what hosts reported: of logs, and of copies that are not in sync |
//! | `held` | what is held for topics without a host |
//! | `query` | records, routes and rights' facts read out of it |
//! | `info` | topics and peers as listings show them |
//! | `listing` | walks for assignments, deletions and pages |
//!
//! Guarantees: a sequence of [`Change`]s gives the same directory whether it was applied as it
//! happened or loaded from a store (volatile parts aside: who is live, how old a report is). A
//! change that does not fit asserts: the decider made it from this very directory. Must not know
//! tokio, connections or disks; time is an argument.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use super::record::{Change, Counters, PeerRecord, SubscriptionRecord, TopicRecord, WaitingRecord};
use crate::types::{
    Fingerprint, Group, MonoNs, PeerName, TopicId, TopicName, TopicSettings, UnixMicros,
};
use crate::wire::index::copies::CopyReport;
use crate::wire::index::{Notice, TopicMetadata};

mod arena;
mod copies;
mod held;
mod info;
mod intern;
mod lags;
mod listing;
mod peers;
mod query;
mod reports;
mod slots;
mod topics;

use copies::CopySet;
pub(crate) use copies::Tally;
use intern::Interner;
use lags::Lags;
use peers::PeerSlot;
use reports::Reports;
use topics::{Packed, Topics};

pub use lags::ToldLags;
pub use listing::TopicFilter;
pub use peers::ErasureNo;
pub(crate) use slots::Slot;

/// Everything that the index knows.
#[derive(Debug)]
pub struct Directory {
    topics: Topics,
    /// Under a lock of its own: hosts report while readers read.
    reports: Mutex<Reports>,
    /// As `reports`. Volatile: hosts report anew at each session.
    lags: Mutex<Lags>,
    /// Keys by number, one reference for everything that names them.
    keys: Interner<Fingerprint>,
    /// What is known of each number.
    peers: Vec<PeerSlot>,
    names: BTreeMap<PeerName, u32>,
    waiting: BTreeSet<u32>,
    copies: Interner<CopySet>,
    settings: Interner<TopicSettings>,
    groups: Interner<Group>,
    subscriptions: BTreeMap<(Slot, u32, u32), UnixMicros>,
    counters: Counters,
    held: BTreeMap<TopicId, held::HeldTopic>,
    /// Bytes of all held batches.
    held_bytes: u64,
    /// The index has just started, and does not know yet who is live. Volatile.
    in_doubt: bool,
    /// Topics of which peers know more than this index, by their word: nothing is decided about them.
    /// Volatile, for peers say so again.
    behind: BTreeMap<TopicId, BTreeMap<Fingerprint, CopyReport>>,
    /// The operator says that this index comes from a backup: nothing is decided about any topic.
    restored: bool,
    /// The number of the last erasure. Volatile: numbers tell the tombstones of one process apart.
    erasures: ErasureNo,
}

impl Directory {
    /// An empty directory; `seed` is a random number for the table of names.
    pub fn new(seed: u64) -> Self {
        Directory {
            topics: Topics::new(seed),
            reports: Mutex::default(),
            lags: Mutex::default(),
            keys: Interner::new(),
            peers: Vec::new(),
            names: BTreeMap::new(),
            waiting: BTreeSet::new(),
            copies: Interner::new(),
            in_doubt: false,
            behind: BTreeMap::new(),
            restored: false,
            erasures: 0,
            held: BTreeMap::new(),
            held_bytes: 0,
            settings: Interner::new(),
            groups: Interner::new(),
            subscriptions: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    /// Makes room for `more` topics.
    pub fn reserve_topics(&mut self, more: usize) {
        self.topics.reserve(more);
    }

    /// Applies one durable change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::PutPeer(peer) => self.put_peer(peer),
            Change::DeletePeer { name } => self.delete_peer(name),
            Change::PutWaiting(waiting) => self.put_waiting(waiting),
            Change::DeleteWaiting { fingerprint } => self.delete_waiting(*fingerprint),
            Change::PutTopic(topic) => self.put_topic(topic),
            Change::DeleteTopic { name, topic } => self.delete_topic(name, *topic),
            Change::PutSubscription(subscription) => self.put_subscription(subscription),
            Change::DeleteSubscription { peer, name, group } => {
                self.delete_subscription(*peer, name, group);
            }
            Change::PutNotice { peer, notice } => self.put_notice(*peer, notice),
            Change::DeleteNotice { peer, serial } => self.delete_notice(*peer, *serial),
            Change::PutErasure { host, topic } => self.put_erasure(*host, *topic),
            Change::DeleteErasure { host, topic } => self.delete_erasure(*host, *topic),
            Change::PutReport { topic, metadata } => self.put_report(*topic, *metadata, None),
            // The report went with its topic.
            Change::DeleteReport { .. } => {}
            Change::PutCounters(counters) => self.counters = *counters,
            Change::PutHeld(record) => self.put_held(record),
            Change::DeleteHeld { topic, held } => self.delete_held(*topic, *held),
            // Only the store has the bytes.
            Change::PutHeldBatch { .. } | Change::DeleteHeldBatch { .. } => {}
        }
    }

    /// Applies many in their order, as [`Directory::apply`] does. What they search the tables for is read for a
    /// group of them at once, so that waits for memory overlap.
    pub fn apply_all(&mut self, changes: &[Change]) {
        for group in changes.chunks(topics::GROUP) {
            topics::touch_all(group.iter().map(|change| match change {
                Change::PutTopic(topic) => self.topics.touch(topic.name.as_str(), topic.topic),
                Change::PutReport { topic, .. } => self.topics.touch_id(*topic),
                _ => 0,
            }));
            group.iter().for_each(|change| self.apply(change));
        }
    }

    // ---- peers ----

    fn put_peer(&mut self, record: &PeerRecord) {
        let number = self.acquire_key(record.fingerprint);
        let slot = &mut self.peers[number as usize];
        match slot.record.replace(record.clone()) {
            Some(old) => {
                assert_eq!(old.name, record.name, "a key's name never changes");
                self.release_key(number);
            }
            None => {
                let before = self.names.insert(record.name.clone(), number);
                assert_eq!(before, None, "{} is bound to another key", record.name);
            }
        }
        self.peers[number as usize].renew_address(record.fingerprint);
    }

    fn delete_peer(&mut self, name: &PeerName) {
        let Some(number) = self.names.remove(name) else {
            panic!("peer {name} to delete is not there");
        };
        let key = *self.keys.get(number);
        let slot = &mut self.peers[number as usize];
        slot.record = None;
        slot.live = false;
        slot.seen = false;
        slot.willing = false;
        slot.leaving = false;
        slot.renew_address(key);
        self.release_key(number);
    }

    fn put_waiting(&mut self, waiting: &WaitingRecord) {
        let number = self.acquire_key(waiting.fingerprint);
        let slot = &mut self.peers[number as usize];
        let before = slot.waiting.replace(waiting.clone());
        slot.renew_address(waiting.fingerprint);
        self.waiting.insert(number);
        if before.is_some() {
            self.release_key(number);
        }
    }

    fn delete_waiting(&mut self, fingerprint: Fingerprint) {
        let number = self.number(fingerprint);
        let slot = &mut self.peers[number as usize];
        assert!(
            slot.waiting.take().is_some(),
            "nobody waits for {fingerprint}"
        );
        slot.renew_address(fingerprint);
        self.waiting.remove(&number);
        self.release_key(number);
    }

    /// Marks a peer live or away; volatile. Whether that is news.
    pub fn set_live(&mut self, peer: Fingerprint, live: bool) -> bool {
        let Some(number) = self.keys.find(&peer) else {
            return false;
        };
        let slot = &mut self.peers[number as usize];
        let live = live && slot.record.is_some();
        let news = slot.live != live;
        slot.live = live;
        slot.seen |= live;
        slot.renew_address(peer);
        news
    }

    // ---- topics ----

    fn put_topic(&mut self, record: &TopicRecord) {
        self.thaw(record);
        let packed = self.pack(record);
        match self.topics.find(record.name.as_str()) {
            Some(slot) => {
                let old = self.topics.packed(slot);
                assert!(
                    record.version > old.version,
                    "{}: version falls",
                    record.name
                );
                self.topics.update(slot, packed);
                // Before numbers of keys are let go, which others would get.
                self.renew_lags(slot);
                self.release_packed(&old);
            }
            None => {
                self.topics.insert(record.name.as_str(), packed);
            }
        }
    }

    fn delete_topic(&mut self, name: &TopicName, topic: TopicId) {
        let Some(slot) = self.topics.find(name.as_str()) else {
            panic!("topic {name} to delete is not there");
        };
        let subscribers = self
            .subscriptions
            .range((slot, 0, 0)..=(slot, u32::MAX, u32::MAX));
        assert_eq!(
            subscribers.count(),
            0,
            "{name} goes before its subscriptions"
        );
        let packed = self.topics.remove(slot);
        self.behind.remove(&packed.topic);
        assert_eq!(packed.topic, topic, "another life of {name} goes");
        self.reports.get_mut().remove(slot);
        self.lags.get_mut().retain(slot, |_| false);
        self.release_packed(&packed);
    }

    /// Replaces what topics share by numbers, with one reference each.
    fn pack(&mut self, record: &TopicRecord) -> Packed {
        let owner = self.acquire_key(record.owner);
        let host = self.acquire_key(record.host);
        self.peers[owner as usize].owned += 1;
        self.peers[host as usize].hosted += 1;
        let copies = self.acquire_copies(record);
        Packed {
            topic: record.topic,
            version: record.version,
            created: record.created,
            owner,
            host,
            copies,
            settings: self.settings.acquire(&record.settings),
            grant: record.grant,
            lineage: record.lineage,
            phase: record.state.into(),
        }
    }

    fn release_packed(&mut self, packed: &Packed) {
        self.peers[packed.owner as usize].owned -= 1;
        self.peers[packed.host as usize].hosted -= 1;
        self.release_key(packed.owner);
        self.release_key(packed.host);
        self.settings.release(packed.settings);
        self.release_copies(packed.copies);
    }

    /// Keeps a report. `received: None` is one that comes from the store.
    fn put_report(&mut self, topic: TopicId, metadata: TopicMetadata, received: Option<MonoNs>) {
        // Written by the decider for a topic that it then still knew, or by a host that may be
        // behind: a report of a topic that is gone says nothing.
        let Some(slot) = self.topics.find_id(topic) else {
            return;
        };
        // A report that came after this one was taken for writing is newer.
        let reports = self.reports.get_mut();
        if received.is_none() && reports.get(slot).is_some() {
            return;
        }
        reports.put(slot, metadata, received);
    }

    /// Takes a host's report; advisory and volatile until it is written. Only topics that the peer
    /// hosts count.
    pub fn report(
        &self,
        host: Fingerprint,
        topics: &[(TopicId, TopicMetadata)],
        behind: &ToldLags,
        now: MonoNs,
    ) {
        let Some(number) = self.keys.find(&host) else {
            return;
        };
        let own = |&(topic, metadata): &(TopicId, TopicMetadata)| {
            let slot = self.topics.find_id(topic)?;
            let hosted = self.topics.packed(slot).host == number;
            hosted.then_some((slot, topic, metadata))
        };
        {
            let mut reports = self.reports.lock();
            for (slot, _, metadata) in topics.iter().filter_map(own) {
                reports.put(slot, metadata, Some(now));
            }
        }
        let told = topics.iter().filter_map(own);
        self.note_lags(told.map(|(slot, topic, _)| (slot, behind.of(topic))), now);
    }

    /// Whether reports wait to be written.
    pub fn has_unwritten_reports(&self) -> bool {
        self.reports.lock().has_dirty()
    }

    /// Changes that write at most `limit` reports; they count as written from now on.
    pub fn take_unwritten_reports(&self, limit: usize) -> Vec<Change> {
        let taken = self.reports.lock().take_dirty(limit);
        taken
            .into_iter()
            .map(|(slot, metadata)| Change::PutReport {
                topic: self.topics.packed(slot).topic,
                metadata,
            })
            .collect()
    }

    // ---- subscriptions, notices, erasures ----

    fn put_subscription(&mut self, record: &SubscriptionRecord) {
        let slot = self.topics.find(record.name.as_str());
        let Some(slot) = slot.filter(|&s| self.topics.packed(s).topic == record.topic) else {
            panic!("subscription to {}, which is not there", record.name);
        };
        let peer = self.acquire_key(record.peer);
        let group = self.groups.acquire(&record.group);
        let before = self.subscriptions.insert((slot, peer, group), record.since);
        assert_eq!(before, None, "{} is subscribed twice", record.name);
        self.peers[peer as usize].subscriptions += 1;
    }

    fn delete_subscription(&mut self, peer: Fingerprint, name: &TopicName, group: &Group) {
        let key = self.subscription_key(peer, name.as_str(), group);
        let Some(key) = key.filter(|key| self.subscriptions.remove(key).is_some()) else {
            panic!("subscription to {name} to delete is not there");
        };
        self.peers[key.1 as usize].subscriptions -= 1;
        self.groups.release(key.2);
        self.release_key(key.1);
    }

    fn put_notice(&mut self, peer: Fingerprint, notice: &Notice) {
        let number = self.acquire_key(peer);
        let notices = &mut self.peers[number as usize].notices;
        if let Some(last) = notices.back() {
            assert!(last.serial < notice.serial, "notices' serials rise");
        }
        notices.push_back(notice.clone());
    }

    fn delete_notice(&mut self, peer: Fingerprint, serial: u64) {
        let number = self.number(peer);
        let notices = &mut self.peers[number as usize].notices;
        // Nearly always the oldest one.
        let at = notices.iter().position(|notice| notice.serial == serial);
        let Some(at) = at else {
            panic!("notice {serial} to delete is not there");
        };
        notices.remove(at);
        self.release_key(number);
    }

    fn put_erasure(&mut self, host: Fingerprint, topic: TopicId) {
        let number = self.acquire_key(host);
        self.erasures += 1;
        let known = &mut self.peers[number as usize].erasures;
        if known.insert(topic, self.erasures).is_some() {
            self.release_key(number);
        }
    }

    fn delete_erasure(&mut self, host: Fingerprint, topic: TopicId) {
        let number = self.number(host);
        if self.peers[number as usize]
            .erasures
            .remove(&topic)
            .is_some()
        {
            self.release_key(number);
        }
    }

    /// What peers were told to erase goes by the old numbers.
    fn keep_erasures(&mut self, old: &Directory) {
        self.erasures += old.erasures;
        for (number, slot) in self.peers.iter_mut().enumerate() {
            if slot.erasures.is_empty() {
                continue;
            }
            let key = *self.keys.get(number as u32);
            for (&topic, known) in &mut slot.erasures {
                *known = old.erasure(key, topic).unwrap_or(*known + old.erasures);
            }
        }
    }

    // ---- numbers ----

    fn acquire_key(&mut self, key: Fingerprint) -> u32 {
        let number = self.keys.acquire(&key);
        if self.peers.len() <= number as usize {
            self.peers
                .resize_with(number as usize + 1, PeerSlot::default);
        }
        number
    }

    fn release_key(&mut self, number: u32) {
        if self.keys.release(number).is_some() {
            let slot = std::mem::take(&mut self.peers[number as usize]);
            assert!(slot.is_unused(), "a key that is in use was let go");
        }
    }

    /// The number of a key that something still refers to.
    fn number(&self, key: Fingerprint) -> u32 {
        match self.keys.find(&key) {
            Some(number) => number,
            None => panic!("{key} is not known"),
        }
    }

    /// Takes over what no store keeps: who is live and when reports came, and how erasures are numbered.
    pub fn keep_volatile(&mut self, old: &Directory) {
        self.in_doubt = old.in_doubt;
        self.behind = old.behind.clone();
        self.keep_erasures(old);
        for number in old.names.values() {
            let slot = &old.peers[*number as usize];
            let key = *old.keys.get(*number);
            if slot.live {
                self.set_live(key, true);
                self.set_willing(key, slot.willing);
            }
            if let Some(number) = self.keys.find(&key) {
                self.peers[number as usize].from_before = slot.from_before;
            }
        }
        self.take_over_lags(old);
        let reports = old.reports.lock();
        for (slot, packed) in old.topics.iter_from(0) {
            let kept = reports.get(slot);
            if let Some((kept, received)) = kept.and_then(|k| Some((k, k.received?))) {
                self.put_report(packed.topic, kept.metadata, Some(received));
            }
        }
    }
}

#[cfg(test)]
mod tests;
