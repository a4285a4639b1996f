//! Walks over many entries, each cut into parts so that no hold of the lock grows with the table.

use std::ops::Bound;

use super::{Directory, ErasureNo, Packed, Slot};
use crate::index::record::{Change, TopicRecord};
use crate::limits;
use crate::replication::members::PeerNo;
use crate::types::{Fingerprint, Group, PeerName, TopicId, TopicName};
use crate::wire::index::Assignment;

/// Which topics a listing wants.
#[derive(Debug, Clone, Default)]
pub struct TopicFilter {
    /// Only of this owner.
    pub owner: Option<PeerName>,
    /// Only hosted by this peer.
    pub host: Option<PeerName>,
}

impl Directory {
    /// Whether a topic passes a filter; `None`: no such topic.
    pub fn passes(&self, name: &str, filter: &TopicFilter) -> Option<bool> {
        let packed = self.topics.packed(self.topics.find(name)?);
        let is = |number: u32, wanted: &Option<PeerName>| {
            let Some(wanted) = wanted else { return true };
            let address = self.peers[number as usize].address.as_ref();
            address.is_some_and(|address| address.name == *wanted)
        };
        Some(is(packed.owner, &filter.owner) && is(packed.host, &filter.host))
    }

    /// Assignments of a host from slot `from` on, at most `limit` and perhaps none; where to go on,
    /// if there may be more.
    pub(crate) fn hosted_from(
        &self,
        host: Fingerprint,
        from: Slot,
        limit: usize,
    ) -> (Vec<Assignment>, Option<Slot>) {
        let Some(number) = self.keys.find(&host) else {
            return (Vec::new(), None);
        };
        let mut assignments = Vec::new();
        if self.peers[number as usize].copies == 0 {
            return (assignments, None);
        }
        let until = self
            .topics
            .end()
            .min(from.saturating_add(limits::SLOTS_PER_LOCK));
        for slot in from..until {
            if self
                .topics
                .get(slot)
                .is_none_or(|packed| !self.keeps(&packed, number))
            {
                continue;
            }
            if assignments.len() == limit {
                return (assignments, Some(slot));
            }
            assignments.push(self.assignment_of(slot, number));
        }
        (assignments, (until < self.topics.end()).then_some(until))
    }

    /// What a peer is told of a topic, while it keeps a copy.
    pub(crate) fn assignment(&self, peer: Fingerprint, topic: TopicId) -> Option<Assignment> {
        let slot = self.topics.find_id(topic)?;
        let number = self.keys.find(&peer)?;
        self.keeps(&self.topics.packed(slot), number)
            .then(|| self.assignment_of(slot, number))
    }

    /// Whether a key keeps a copy of a topic, or is to get one.
    pub(crate) fn keeps_copy(&self, key: Fingerprint, topic: TopicId) -> bool {
        let slot = self.topics.find_id(topic);
        let number = self.keys.find(&key);
        let both = slot.zip(number);
        both.is_some_and(|(slot, number)| self.keeps(&self.topics.packed(slot), number))
    }

    fn keeps(&self, packed: &Packed, number: u32) -> bool {
        let replicas = &self.copies.get(packed.copies).replicas;
        replicas.contains(PeerNo(number))
    }

    /// Only a host that is in the in-sync set may act as one, and none of a topic of which a peer knows
    /// more than the index.
    fn assignment_of(&self, slot: Slot, number: u32) -> Assignment {
        let record = self.record_of(slot);
        let copies = record.copies();
        let TopicRecord {
            topic,
            name,
            settings,
            ..
        } = record;
        let packed = self.topics.packed(slot);
        let in_sync = &self.copies.get(packed.copies).in_sync;
        let acts = packed.host == number && in_sync.contains(PeerNo(number));
        match acts && !self.is_behind(topic) {
            true => Assignment::Host {
                topic,
                name,
                settings,
                copies,
            },
            false => Assignment::Replicate {
                topic,
                name,
                settings,
                copies,
            },
        }
    }

    /// Topics that a host is still to erase, after `after`.
    pub(crate) fn erasures_from(
        &self,
        host: Fingerprint,
        after: Option<TopicId>,
        limit: usize,
    ) -> Vec<(TopicId, ErasureNo)> {
        let Some(number) = self.keys.find(&host) else {
            return Vec::new();
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let erasures = &self.peers[number as usize].erasures;
        erasures
            .range((from, Bound::Unbounded))
            .take(limit)
            .map(|(&topic, &number)| (topic, number))
            .collect()
    }

    /// The order by which a host is still to erase a topic.
    pub fn erasure(&self, host: Fingerprint, topic: TopicId) -> Option<ErasureNo> {
        let number = self.keys.find(&host)?;
        let erasures = &self.peers[number as usize].erasures;
        erasures.get(&topic).copied()
    }

    /// Whether a host is still to erase a topic.
    pub fn is_to_erase(&self, host: Fingerprint, topic: TopicId) -> bool {
        self.erasure(host, topic).is_some()
    }

    /// Subscriptions to a topic, by peer.
    pub fn subscribers(&self, name: &str) -> Vec<(Fingerprint, Group)> {
        let Some(slot) = self.topics.find(name) else {
            return Vec::new();
        };
        let range = (slot, 0, 0)..=(slot, u32::MAX, u32::MAX);
        let entries = self.subscriptions.range(range);
        entries
            .map(|(&(_, peer, group), _)| (*self.keys.get(peer), self.groups.get(group).clone()))
            .collect()
    }

    /// All topics of which a key keeps a copy, or is to get one. Looks at every topic: for departures,
    /// not for requests.
    pub fn kept(&self, key: Fingerprint) -> Vec<TopicRecord> {
        self.matching(key, |kept, _| kept)
    }

    /// All topics of which a key keeps a copy, or which it owns. Looks at every topic.
    pub fn kept_or_owned(&self, key: Fingerprint) -> Vec<TopicRecord> {
        self.matching(key, |kept, owned| kept || owned)
    }

    fn matching(&self, key: Fingerprint, wanted: fn(bool, bool) -> bool) -> Vec<TopicRecord> {
        let Some(number) = self.keys.find(&key) else {
            return Vec::new();
        };
        let slots = self.topics.iter_from(0);
        slots
            .filter(|(_, packed)| wanted(self.keeps(packed, number), packed.owner == number))
            .map(|(slot, _)| self.record_of(slot))
            .collect()
    }

    /// All subscriptions of a peer. Looks at every subscription: for departures.
    pub fn subscriptions_of(&self, key: Fingerprint) -> Vec<(TopicName, Group)> {
        let Some(number) = self.keys.find(&key) else {
            return Vec::new();
        };
        let own = self
            .subscriptions
            .keys()
            .filter(|&&(_, peer, _)| peer == number);
        own.map(|&(slot, _, group)| (self.name_of(slot), self.groups.get(group).clone()))
            .collect()
    }

    /// Changes that take everything a departing key left besides its name and topics: notices and
    /// erasures.
    pub(crate) fn remains(&self, key: Fingerprint) -> (Vec<Change>, Vec<TopicId>) {
        let notices = self.notices(key).map(|notice| Change::DeleteNotice {
            peer: key,
            serial: notice.serial,
        });
        let erasures = self.erasures_from(key, None, usize::MAX).into_iter();
        (
            notices.collect(),
            erasures.map(|(topic, _)| topic).collect(),
        )
    }

    /// Notices older than `before`, at most `limit`.
    pub(crate) fn old_notices(
        &self,
        before: crate::types::UnixMicros,
        limit: usize,
    ) -> Vec<Change> {
        let peers = self.names.values();
        let old = peers.flat_map(|&number| {
            let notices = self.peers[number as usize].notices.iter();
            notices
                .take_while(move |notice| notice.at < before)
                .map(move |notice| Change::DeleteNotice {
                    peer: *self.keys.get(number),
                    serial: notice.serial,
                })
        });
        old.take(limit).collect()
    }

    /// Every durable fact as the change that puts it in place, in loading order: for tests that
    /// compare directories.
    #[cfg(test)]
    pub(crate) fn dump(&self) -> Vec<Change> {
        use crate::index::record::SubscriptionRecord;
        let mut all = vec![Change::PutCounters(self.counters)];
        let number_of = |number: &u32| &self.peers[*number as usize];
        all.extend(
            self.names
                .values()
                .filter_map(|n| number_of(n).record.clone())
                .map(Change::PutPeer),
        );
        all.extend(
            self.waiting
                .iter()
                .filter_map(|n| number_of(n).waiting.clone())
                .map(Change::PutWaiting),
        );
        all.extend(
            self.topics
                .iter_from(0)
                .map(|(slot, _)| Change::PutTopic(self.record_of(slot))),
        );
        all.extend(
            self.subscriptions
                .iter()
                .map(|(&(slot, peer, group), &since)| {
                    Change::PutSubscription(SubscriptionRecord {
                        peer: *self.keys.get(peer),
                        name: self.name_of(slot),
                        group: self.groups.get(group).clone(),
                        topic: self.topics.packed(slot).topic,
                        since,
                    })
                }),
        );
        for (number, slot) in self.peers.iter().enumerate() {
            let Some(&key) = (!slot.notices.is_empty() || !slot.erasures.is_empty())
                .then(|| self.keys.get(number as u32))
            else {
                continue;
            };
            all.extend(slot.notices.iter().map(|notice| Change::PutNotice {
                peer: key,
                notice: notice.clone(),
            }));
            all.extend(
                slot.erasures
                    .keys()
                    .map(|&topic| Change::PutErasure { host: key, topic }),
            );
        }
        all
    }
}
