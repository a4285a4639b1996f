//! Topics and peers as people see them.

use std::ops::Bound;

use super::lags::Behind;
use super::{Directory, Slot};
use crate::limits;
use crate::replication::members::{Members, PeerNo};
use crate::types::{MonoNs, PeerName};
use crate::wire::index::{PeerInfo, PeerPage, ReportedTopic, ShownTopic, TopicInfo};

impl Directory {
    /// One topic as listings show it.
    pub fn topic_info(&self, name: &str, now: MonoNs) -> Option<TopicInfo> {
        Some(self.info_of(self.topics.find(name)?, now))
    }

    pub(super) fn info_of(&self, slot: Slot, now: MonoNs) -> TopicInfo {
        let packed = self.topics.packed(slot);
        let host = &self.peers[packed.host as usize];
        let owner = self.peers[packed.owner as usize].record.as_ref();
        let copies = self.copies.get(packed.copies);
        let count = |members: Members| members.len() as u8;
        TopicInfo {
            name: self.name_of(slot),
            topic: packed.topic,
            owner: owner.map(|record| record.name.clone()),
            host: host.address.as_ref().map(|address| address.name.clone()),
            host_live: host.live,
            epoch: self.epoch(packed.host, packed.grant),
            version: packed.version,
            settings: *self.settings.get(packed.settings),
            phase: self.phase_of(&packed),
            replicas: count(copies.replicas),
            in_sync: count(copies.in_sync),
            in_sync_live: count(self.live_of(copies.in_sync)),
            reported: self.reported_of(slot, now),
            largest_lag: self.largest_lag(slot),
        }
    }

    /// The last report with its age; also while the host is away.
    pub fn reported(&self, name: &str, now: MonoNs) -> Option<ReportedTopic> {
        self.reported_of(self.topics.find(name)?, now)
    }

    fn reported_of(&self, slot: Slot, now: MonoNs) -> Option<ReportedTopic> {
        let kept = self.reports.lock().get(slot)?;
        let age = |received| u64::try_from(now.since(received).as_millis()).unwrap_or(u64::MAX);
        Some(ReportedTopic {
            metadata: kept.metadata,
            age_ms: kept.received.map(age),
        })
    }

    /// One topic with its subscribers.
    pub fn shown_topic(&self, name: &str, now: MonoNs) -> Option<ShownTopic> {
        let slot = self.topics.find(name)?;
        let packed = self.topics.packed(slot);
        let name_of = |number: u32| -> Option<PeerName> {
            let record = self.peers[number as usize].record.as_ref()?;
            Some(record.name.clone())
        };
        let mut subscribers = Vec::new();
        let mut subscriber_count = 0;
        let mut last = None;
        // Keys are ordered by peer within a topic: a peer with several groups counts once.
        let range = (slot, 0, 0)..=(slot, u32::MAX, u32::MAX);
        for (&(_, peer, _), _) in self.subscriptions.range(range) {
            if last.replace(peer) == Some(peer) {
                continue;
            }
            subscriber_count += 1;
            if subscribers.len() < limits::PAGE_ENTRIES as usize {
                subscribers.extend(name_of(peer));
            }
        }
        let copies = self.copies.get(packed.copies);
        let names = |members: &Members| -> Vec<PeerName> {
            let mut names: Vec<_> = members.iter().filter_map(|no| name_of(no.0)).collect();
            names.sort();
            names
        };
        Some(ShownTopic {
            info: self.info_of(slot, now),
            host: self.peers[packed.host as usize].address.clone(),
            in_sync: names(&copies.in_sync),
            replicas: names(&copies.replicas),
            held: self.held_info(packed.topic),
            handing_to: copies.to.and_then(|to| name_of(to.0)),
            subscribers,
            subscriber_count,
            behind: self.behind_copies(&packed, slot, now),
        })
    }

    /// One peer as listings show it.
    pub fn peer_info(&self, name: &PeerName) -> Option<PeerInfo> {
        let number = *self.names.get(name)?;
        self.peer_info_with(number, self.behind_at(PeerNo(number)))
    }

    fn peer_info_with(&self, number: u32, behind: Behind) -> Option<PeerInfo> {
        let slot = &self.peers[number as usize];
        let record = slot.record.as_ref()?;
        Some(PeerInfo {
            name: record.name.clone(),
            fingerprint: record.fingerprint,
            live: slot.live,
            addresses: record.addresses.clone(),
            version: record.program.clone(),
            registered: record.registered,
            last_seen: record.last_seen,
            incarnation: record.incarnation,
            hosted: slot.hosted,
            copies: slot.copies,
            keeps_copies: slot.willing,
            owned: slot.owned,
            subscriptions: slot.subscriptions,
            behind: behind.copies,
            largest_lag: behind.largest_lag,
        })
    }

    /// A page of peers in the order of their names.
    pub fn peer_page(&self, after: Option<&PeerName>, limit: u32) -> PeerPage {
        let limit = limit.clamp(1, limits::PAGE_ENTRIES) as usize;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut names = self.names.range::<PeerName, _>((from, Bound::Unbounded));
        let page = names.by_ref().take(limit);
        let behind = self.behind_by_peer();
        let of = |number| behind.get(&PeerNo(number)).copied().unwrap_or_default();
        PeerPage {
            peers: page
                .filter_map(|(_, &number)| self.peer_info_with(number, of(number)))
                .collect(),
            more: names.next().is_some(),
        }
    }
}
