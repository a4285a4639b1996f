//! What the decisions of the commit in the making have changed, over the published directory.
//!
//! It knows what single records look like now; events that walk whole tables are decided with an
//! empty overlay ([`super::Event::stands_alone`]).

use hashbrown::{HashMap, HashSet};

use crate::index::directory::{Directory, ErasureNo};
use crate::index::record::{
    Change, Counters, Expected, PeerRecord, SubscriptionRecord, Table, TopicRecord,
};
use crate::limits;
use crate::types::{Fingerprint, Group, PeerName, TopicId, TopicName, UnixMicros};
use crate::wire::index::{Notice, NoticeKind};

/// The changes of a commit in the making.
#[derive(Debug, Default)]
pub struct Overlay {
    peers: HashMap<PeerName, Option<PeerRecord>>,
    names: HashMap<Fingerprint, Option<PeerName>>,
    topics: HashMap<TopicName, Option<TopicRecord>>,
    subscriptions: HashMap<(Fingerprint, TopicName, Group), Option<UnixMicros>>,
    subscription_counts: HashMap<Fingerprint, i64>,
    hosted_counts: HashMap<Fingerprint, i64>,
    notices: HashMap<Fingerprint, NoticeChanges>,
    /// Whether a peer is to erase a topic.
    erasures: HashMap<(Fingerprint, TopicId), bool>,
    counters: Option<Counters>,
    expected: HashMap<(Table, Vec<u8>), Expected>,
}

/// Notices of one peer that came, and those that went.
#[derive(Debug, Default)]
struct NoticeChanges {
    added: Vec<u64>,
    removed: HashSet<u64>,
}

impl Overlay {
    /// What the store must still hold for this commit to be right.
    pub fn expected(&self) -> Vec<Expected> {
        self.expected.values().cloned().collect()
    }

    /// Adds a decision's changes.
    pub(super) fn add(&mut self, base: &Directory, changes: &[Change]) {
        for change in changes {
            self.add_one(base, change);
        }
    }

    fn add_one(&mut self, base: &Directory, change: &Change) {
        match change {
            Change::PutPeer(peer) => {
                self.expect_peer(base, &peer.name);
                self.names.insert(peer.fingerprint, Some(peer.name.clone()));
                self.peers.insert(peer.name.clone(), Some(peer.clone()));
            }
            Change::DeletePeer { name } => {
                self.expect_peer(base, name);
                let known = self.peers.insert(name.clone(), None).flatten();
                if let Some(peer) = known.as_ref().or_else(|| base.peer_named(name)) {
                    self.names.insert(peer.fingerprint, None);
                }
            }
            Change::PutTopic(topic) => {
                let before = self.forget_topic(base, &topic.name);
                if before.is_none_or(|host| host != topic.host) {
                    *self.hosted_counts.entry(topic.host).or_default() += 1;
                    if let Some(host) = before {
                        *self.hosted_counts.entry(host).or_default() -= 1;
                    }
                }
                self.topics.insert(topic.name.clone(), Some(topic.clone()));
            }
            Change::DeleteTopic { name, .. } => {
                if let Some(host) = self.forget_topic(base, name) {
                    *self.hosted_counts.entry(host).or_default() -= 1;
                }
                self.topics.insert(name.clone(), None);
            }
            Change::PutSubscription(SubscriptionRecord {
                peer,
                name,
                group,
                since,
                ..
            }) => {
                let key = (*peer, name.clone(), group.clone());
                self.subscriptions.insert(key, Some(*since));
                *self.subscription_counts.entry(*peer).or_default() += 1;
            }
            Change::DeleteSubscription { peer, name, group } => {
                self.subscriptions
                    .insert((*peer, name.clone(), group.clone()), None);
                *self.subscription_counts.entry(*peer).or_default() -= 1;
            }
            Change::PutNotice { peer, notice } => {
                let added = &mut self.notices.entry(*peer).or_default().added;
                // `View::note` has counted those that one event adds.
                if added.last().is_none_or(|&last| last < notice.serial) {
                    added.push(notice.serial);
                }
            }
            Change::DeleteNotice { peer, serial } => {
                self.notices
                    .entry(*peer)
                    .or_default()
                    .removed
                    .insert(*serial);
            }
            Change::PutCounters(counters) => self.counters = Some(*counters),
            Change::PutErasure { host, topic } => {
                self.erasures.insert((*host, *topic), true);
            }
            Change::DeleteErasure { host, topic } => {
                self.erasures.insert((*host, *topic), false);
            }
            Change::PutWaiting(_)
            | Change::DeleteWaiting { .. }
            | Change::PutHeld(_)
            | Change::DeleteHeld { .. }
            | Change::PutHeldBatch { .. }
            | Change::DeleteHeldBatch { .. }
            | Change::PutReport { .. }
            | Change::DeleteReport { .. } => {}
        }
    }

    /// Notes what the store must hold of a topic; the host that it had until now.
    fn forget_topic(&mut self, base: &Directory, name: &TopicName) -> Option<Fingerprint> {
        if let Some(known) = self.topics.get(name) {
            return known.as_ref().map(|topic| topic.host);
        }
        let before = base.topic(name.as_str());
        self.expect(
            Table::Topics,
            name.as_str(),
            before.as_ref().map(|topic| topic.version),
        );
        before.map(|topic| topic.host)
    }

    fn expect_peer(&mut self, base: &Directory, name: &PeerName) {
        let version = base.peer_named(name).map(|peer| peer.version);
        self.expect(Table::Peers, name.as_str(), version);
    }

    fn expect(&mut self, table: Table, key: &str, version: Option<u64>) {
        let key = key.as_bytes().to_vec();
        self.expected
            .entry((table, key.clone()))
            .or_insert(Expected {
                table,
                key,
                version,
            });
    }
}

/// The directory as the next decision must see it.
pub(super) struct View<'a> {
    pub(super) base: &'a Directory,
    pub(super) overlay: &'a mut Overlay,
    pub(super) now: UnixMicros,
}

impl View<'_> {
    pub(super) fn peer_named(&self, name: &PeerName) -> Option<&PeerRecord> {
        match self.overlay.peers.get(name) {
            Some(known) => known.as_ref(),
            None => self.base.peer_named(name),
        }
    }

    pub(super) fn peer(&self, key: Fingerprint) -> Option<&PeerRecord> {
        match self.overlay.names.get(&key) {
            Some(name) => self.peer_named(name.as_ref()?),
            None => self.base.peer(key),
        }
    }

    pub(super) fn name_of(&self, key: Fingerprint) -> Option<PeerName> {
        self.peer(key).map(|peer| peer.name.clone())
    }

    pub(super) fn topic(&self, name: &TopicName) -> Option<TopicRecord> {
        match self.overlay.topics.get(name) {
            Some(known) => known.clone(),
            None => self.base.topic(name.as_str()),
        }
    }

    pub(super) fn hosted_count(&self, key: Fingerprint) -> i64 {
        let change = self.overlay.hosted_counts.get(&key).copied().unwrap_or(0);
        i64::from(self.base.hosted_count(key)) + change
    }

    pub(super) fn subscription_count(&self, key: Fingerprint) -> i64 {
        let change = self
            .overlay
            .subscription_counts
            .get(&key)
            .copied()
            .unwrap_or(0);
        i64::from(self.base.subscription_count_of(key)) + change
    }

    pub(super) fn is_subscribed(&self, key: Fingerprint, name: &TopicName, group: &Group) -> bool {
        let entry = (key, name.clone(), group.clone());
        match self.overlay.subscriptions.get(&entry) {
            Some(known) => known.is_some(),
            None => self.base.subscription(key, name.as_str(), group).is_some(),
        }
    }

    /// All subscriptions to a topic. A topic that the overlay made has only the overlay's.
    pub(super) fn subscribers(&self, name: &TopicName) -> Vec<(Fingerprint, Group)> {
        let known = |peer: &Fingerprint, group: &Group| {
            let entry = (*peer, name.clone(), group.clone());
            self.overlay.subscriptions.contains_key(&entry)
        };
        let mut all = self.base.subscribers(name.as_str());
        all.retain(|(peer, group)| !known(peer, group));
        let added = self.overlay.subscriptions.iter();
        all.extend(
            added
                .filter(|((_, topic, _), since)| topic == name && since.is_some())
                .map(|((peer, _, group), _)| (*peer, group.clone())),
        );
        all.sort();
        all
    }

    /// Whether a peer is still to erase a copy: it must get none of this topic before it has, or that
    /// is what it erases.
    pub(super) fn is_to_erase(&self, peer: Fingerprint, topic: TopicId) -> bool {
        match self.overlay.erasures.get(&(peer, topic)) {
            Some(&known) => known,
            None => self.base.is_to_erase(peer, topic),
        }
    }

    /// The order by which a peer is still to erase a copy, if it may have been told of it: one that this
    /// commit gives or takes back has no number yet.
    pub(super) fn erasure(&self, peer: Fingerprint, topic: TopicId) -> Option<ErasureNo> {
        match self.overlay.erasures.get(&(peer, topic)) {
            Some(_) => None,
            None => self.base.erasure(peer, topic),
        }
    }

    pub(super) fn counters(&self) -> Counters {
        self.overlay
            .counters
            .unwrap_or_else(|| self.base.counters())
    }

    /// The serials of a peer's notices, oldest first.
    pub(super) fn notices(&self, key: Fingerprint) -> Vec<u64> {
        let changes = self.overlay.notices.get(&key);
        let base = self.base.notices(key).map(|notice| notice.serial);
        let added = changes
            .iter()
            .flat_map(|changes| changes.added.iter().copied());
        let gone = |serial: &u64| changes.is_some_and(|changes| changes.removed.contains(serial));
        base.chain(added).filter(|serial| !gone(serial)).collect()
    }

    /// How many notices a peer has, and the oldest.
    fn notice_state(&self, key: Fingerprint) -> (usize, Option<u64>) {
        if self.overlay.notices.contains_key(&key) {
            let serials = self.notices(key);
            return (serials.len(), serials.first().copied());
        }
        let oldest = self.base.notices(key).next().map(|notice| notice.serial);
        (self.base.notice_count(key), oldest)
    }

    /// Changes that tell `peers` that a topic was deleted; the oldest notice makes room.
    pub(super) fn notify_deleted(
        &mut self,
        peers: &[Fingerprint],
        topic: &TopicRecord,
        by: Option<&PeerName>,
        counters: &mut Counters,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for &peer in peers {
            counters.notices += 1;
            let notice = Notice {
                serial: counters.notices,
                at: self.now,
                what: NoticeKind::TopicDeleted {
                    name: topic.name.clone(),
                    topic: topic.topic,
                    by: by.cloned(),
                },
            };
            let (count, oldest) = self.notice_state(peer);
            if let Some(serial) = oldest.filter(|_| count >= limits::NOTICES_PER_PEER) {
                self.note(&mut changes, Change::DeleteNotice { peer, serial });
            }
            self.note(&mut changes, Change::PutNotice { peer, notice });
        }
        changes
    }

    /// Notices count at once, for one event may add several for one peer.
    fn note(&mut self, changes: &mut Vec<Change>, change: Change) {
        let notices = match &change {
            Change::PutNotice { peer, .. } | Change::DeleteNotice { peer, .. } => {
                self.overlay.notices.entry(*peer).or_default()
            }
            _ => return,
        };
        match &change {
            Change::PutNotice { notice, .. } => notices.added.push(notice.serial),
            Change::DeleteNotice { serial, .. } => _ = notices.removed.insert(*serial),
            _ => {}
        }
        changes.push(change);
    }
}
