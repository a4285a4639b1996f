//! Single facts read out of the directory: records, routes, counts.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{Directory, Slot};
use crate::index::record::{Counters, PeerRecord, TopicRecord, WaitingRecord};
use crate::types::{Epoch, Fingerprint, Group, PeerName, TopicId, TopicName, UnixMicros};
use crate::wire::index::{CompactRoute, HostAddress, Notice, Route, Routes};

impl Directory {
    /// Where a topic is.
    pub fn route(&self, name: &str) -> Option<Route> {
        self.route_of(self.topics.find(name)?)
    }

    pub(super) fn route_of(&self, slot: Slot) -> Option<Route> {
        let place = self.topics.place(slot);
        Some(Route {
            topic: place.topic,
            epoch: self.epoch(place.host, place.grant),
            host: self.peers[place.host as usize].address.clone()?,
        })
    }

    /// The effective epoch: the record's grant and the host's incarnation of now, so that a host's
    /// restart changes one record, not one per topic.
    pub(super) fn epoch(&self, host: u32, grant: u32) -> Epoch {
        Epoch {
            grant,
            incarnation: self.peers[host as usize].incarnation(),
        }
    }

    /// Where many topics are; each host is named once.
    pub fn routes(&self, names: &[&str]) -> Routes {
        let mut hosts = Vec::new();
        let mut listed: HashMap<u32, u32> = HashMap::new();
        let mut last = None;
        let mut place_in_list = |number: u32| -> Option<u32> {
            if let Some((_, place)) = last.filter(|&(known, _)| known == number) {
                return Some(place);
            }
            let place = match listed.get(&number) {
                Some(&place) => place,
                None => {
                    hosts.push(self.peers[number as usize].address.clone()?);
                    let place = hosts.len() as u32 - 1;
                    listed.insert(number, place);
                    place
                }
            };
            last = Some((number, place));
            Some(place)
        };
        let mut routes = Vec::with_capacity(names.len());
        self.topics.find_many(names.iter().copied(), |found| {
            routes.push(found.and_then(|place| {
                Some(CompactRoute {
                    topic: place.topic,
                    epoch: self.epoch(place.host, place.grant),
                    host: place_in_list(place.host)?,
                })
            }));
        });
        Routes { hosts, routes }
    }

    /// A topic's record.
    pub fn topic(&self, name: &str) -> Option<TopicRecord> {
        Some(self.record_of(self.topics.find(name)?))
    }

    /// A topic's record by its id.
    pub fn topic_by_id(&self, topic: TopicId) -> Option<TopicRecord> {
        Some(self.record_of(self.topics.find_id(topic)?))
    }

    pub(super) fn record_of(&self, slot: Slot) -> TopicRecord {
        let packed = self.topics.packed(slot);
        let key = |number: u32| *self.keys.get(number);
        let copies = self.copies.get(packed.copies);
        TopicRecord {
            name: self.name_of(slot),
            topic: packed.topic,
            version: packed.version,
            owner: key(packed.owner),
            host: key(packed.host),
            grant: packed.grant,
            in_sync: self.keys_of(copies.in_sync),
            replicas: self.keys_of(copies.replicas),
            settings: *self.settings.get(packed.settings),
            state: self.state_of(&packed),
            lineage: packed.lineage,
            created: packed.created,
        }
    }

    pub(super) fn name_of(&self, slot: Slot) -> TopicName {
        // What lies in the table was a `TopicName` when it was put in.
        TopicName::new(self.topics.name(slot)).expect("a name in the table is a topic name")
    }

    /// Topics in all.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// Subscriptions in all.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }

    /// Registered peers.
    pub fn peer_count(&self) -> usize {
        self.names.len()
    }

    /// Peers with a live session.
    pub fn live_count(&self) -> usize {
        self.live_peers().count()
    }

    /// A registered peer by its key.
    pub fn peer(&self, key: Fingerprint) -> Option<&PeerRecord> {
        self.peers[self.keys.find(&key)? as usize].record.as_ref()
    }

    /// A registered peer by its name.
    pub fn peer_named(&self, name: &PeerName) -> Option<&PeerRecord> {
        self.peers[*self.names.get(name)? as usize].record.as_ref()
    }

    /// A forgotten key's remains.
    pub fn waiting(&self, key: Fingerprint) -> Option<&WaitingRecord> {
        self.peers[self.keys.find(&key)? as usize].waiting.as_ref()
    }

    /// Forgotten keys that wait for `name`'s next key.
    pub fn waiting_named(&self, name: &PeerName) -> Vec<WaitingRecord> {
        let records = self.waiting.iter().filter_map(|&number| {
            let waiting = self.peers[number as usize].waiting.as_ref();
            waiting.filter(|waiting| waiting.name == *name).cloned()
        });
        records.collect()
    }

    /// Whether the peer has a live session.
    pub fn is_live(&self, key: Fingerprint) -> bool {
        self.keys
            .find(&key)
            .is_some_and(|number| self.peers[number as usize].live)
    }

    /// Live peers with the number of topics that they host, by name.
    pub fn live_peers(&self) -> impl Iterator<Item = (&PeerRecord, u32)> {
        self.names.values().filter_map(|&number| {
            let slot = &self.peers[number as usize];
            Some((slot.record.as_ref().filter(|_| slot.live)?, slot.hosted))
        })
    }

    /// All registered peers, by name.
    pub(crate) fn all_peers(&self) -> impl Iterator<Item = &PeerRecord> {
        let numbers = self.names.values();
        numbers.filter_map(|&number| self.peers[number as usize].record.as_ref())
    }

    /// Where a peer listens.
    pub fn host_address(&self, key: Fingerprint) -> Option<&Arc<HostAddress>> {
        self.peers[self.keys.find(&key)? as usize].address.as_ref()
    }

    /// Topics that a key hosts.
    pub fn hosted_count(&self, key: Fingerprint) -> u32 {
        self.keys
            .find(&key)
            .map_or(0, |number| self.peers[number as usize].hosted)
    }

    /// Subscriptions of a key.
    pub fn subscription_count_of(&self, key: Fingerprint) -> u32 {
        self.keys
            .find(&key)
            .map_or(0, |number| self.peers[number as usize].subscriptions)
    }

    pub(super) fn subscription_key(
        &self,
        peer: Fingerprint,
        name: &str,
        group: &Group,
    ) -> Option<(Slot, u32, u32)> {
        Some((
            self.topics.find(name)?,
            self.keys.find(&peer)?,
            self.groups.find(group)?,
        ))
    }

    /// Since when a subscription exists.
    pub fn subscription(&self, peer: Fingerprint, name: &str, group: &Group) -> Option<UnixMicros> {
        let key = self.subscription_key(peer, name, group)?;
        self.subscriptions.get(&key).copied()
    }

    /// What a peer is to be told, oldest first.
    pub fn notices(&self, key: Fingerprint) -> impl Iterator<Item = &Notice> {
        let slot = self
            .keys
            .find(&key)
            .map(|number| &self.peers[number as usize]);
        slot.into_iter().flat_map(|slot| &slot.notices)
    }

    /// How much a peer is to be told.
    pub fn notice_count(&self, key: Fingerprint) -> usize {
        self.keys
            .find(&key)
            .map_or(0, |number| self.peers[number as usize].notices.len())
    }

    /// The numbers that must never be given twice.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether a host reported something of a topic that the store may hold.
    pub fn has_report(&self, topic: TopicId) -> bool {
        let slot = self.topics.find_id(topic);
        slot.is_some_and(|slot| self.reports.lock().kept(slot).is_some())
    }
}
