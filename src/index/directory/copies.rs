//! Who keeps copies of which topic, and who could. Keys are `replication`'s peer numbers here: the
//! directory numbers them already.

use super::{Directory, Packed, Slot};
use crate::index::record::{TopicRecord, TopicState};
use crate::limits;
use crate::replication::configuration::{Configuration, Phase};
use crate::replication::manager::{Candidate, Report, Standing, is_behind};
use crate::replication::members::{Members, PeerNo};
use crate::types::{Fingerprint, TopicId};
use crate::wire::index::TopicPhase;
use crate::wire::index::copies::CopyReport;

/// Who keeps a topic's copies: kept once for all topics with the same ones, so that copies cost a
/// topic no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CopySet {
    pub(super) in_sync: Members,
    pub(super) replicas: Members,
    /// Whom the topic is being handed over to.
    pub(super) to: Option<PeerNo>,
}

/// What a topic is doing, in one byte; [`CopySet::to`] has the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // as in TopicState
pub(super) enum PackedPhase {
    Serving,
    HandingOver,
    Offline,
    Held,
}

impl From<TopicState> for PackedPhase {
    fn from(state: TopicState) -> Self {
        match state {
            TopicState::Serving => PackedPhase::Serving,
            TopicState::HandingOver { .. } => PackedPhase::HandingOver,
            TopicState::Offline => PackedPhase::Offline,
            TopicState::Held => PackedPhase::Held,
        }
    }
}

impl Directory {
    // ---- keeping ----

    /// The number of a record's set, with one reference more. A set refers to its keys once, however
    /// many topics share it.
    pub(super) fn acquire_copies(&mut self, record: &TopicRecord) -> u32 {
        let numbers: Vec<u32> = record
            .replicas
            .iter()
            .map(|&key| self.acquire_key(key))
            .collect();
        let set = CopySet {
            in_sync: record.in_sync.iter().map(|&key| self.no(key)).collect(),
            replicas: numbers.iter().map(|&number| PeerNo(number)).collect(),
            to: match record.state {
                TopicState::HandingOver { to } => Some(self.no(to)),
                _ => None,
            },
        };
        let known = self.copies.find(&set).is_some();
        let copies = self.copies.acquire(&set);
        for &number in &numbers {
            self.peers[number as usize].copies += 1;
            if known {
                self.release_key(number);
            }
        }
        copies
    }

    pub(super) fn release_copies(&mut self, copies: u32) {
        let set = *self.copies.get(copies);
        for peer in set.replicas.iter() {
            self.peers[peer.0 as usize].copies -= 1;
        }
        if let Some(set) = self.copies.release(copies) {
            set.replicas
                .iter()
                .for_each(|peer| self.release_key(peer.0));
        }
    }

    /// A key that the record names, which is a replica's.
    fn no(&self, key: Fingerprint) -> PeerNo {
        PeerNo(self.number(key))
    }

    // ---- reading ----

    /// The number of a key that the directory knows.
    pub(crate) fn peer_no(&self, key: Fingerprint) -> Option<PeerNo> {
        self.keys.find(&key).map(PeerNo)
    }

    /// The key of a number that is in use.
    pub(crate) fn key_of(&self, peer: PeerNo) -> Fingerprint {
        *self.keys.get(peer.0)
    }

    /// The keys of a set, ascending: numbers differ from one start to the next.
    pub(crate) fn keys_of(&self, members: Members) -> Vec<Fingerprint> {
        let mut keys: Vec<_> = members.iter().map(|peer| self.key_of(peer)).collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn state_of(&self, packed: &Packed) -> TopicState {
        match packed.phase {
            PackedPhase::Serving => TopicState::Serving,
            PackedPhase::Offline => TopicState::Offline,
            PackedPhase::Held => TopicState::Held,
            PackedPhase::HandingOver => match self.copies.get(packed.copies).to {
                Some(to) => TopicState::HandingOver {
                    to: self.key_of(to),
                },
                None => TopicState::Serving,
            },
        }
    }

    fn configuration_of(&self, packed: &Packed) -> Configuration {
        let set = self.copies.get(packed.copies);
        Configuration {
            host: PeerNo(packed.host),
            grant: packed.grant,
            version: packed.version,
            in_sync: set.in_sync,
            replicas: set.replicas,
            phase: match (packed.phase, set.to) {
                (PackedPhase::Offline, _) => Phase::Offline,
                (PackedPhase::Held, _) => Phase::Held,
                (PackedPhase::HandingOver, Some(to)) => Phase::HandingOver { to },
                _ => Phase::Serving,
            },
            lineage: packed.lineage,
        }
    }

    /// The topics from `from` on whose copies name `peer` (all topics if `None`), as far as one look
    /// goes; where to go on.
    pub(crate) fn named_from(
        &self,
        peer: Option<Fingerprint>,
        from: Slot,
    ) -> (impl Iterator<Item = Named> + '_, Option<Slot>) {
        let number = peer.map(|peer| self.keys.find(&peer).unwrap_or(u32::MAX));
        let none = number.is_some_and(|number| {
            let slot = self.peers.get(number as usize);
            slot.is_none_or(|slot| slot.copies == 0)
        });
        let end = if none { from } else { self.topics.end() };
        let until = end.min(from.saturating_add(limits::SLOTS_PER_LOCK));
        let found = (from..until).filter_map(move |slot| {
            let packed = self.topics.get(slot)?;
            if self.is_behind(packed.topic) {
                return None;
            }
            let replicas = &self.copies.get(packed.copies).replicas;
            let named = number.is_none_or(|number| replicas.contains(PeerNo(number)));
            named.then(|| Named {
                slot,
                topic: packed.topic,
                record: self.configuration_of(&packed),
                wanted: self.wanted(&packed),
            })
        });
        (found, (until < end).then_some(until))
    }

    /// Copies that a topic is to have.
    fn wanted(&self, packed: &Packed) -> usize {
        usize::from(self.settings.get(packed.settings).replicas).min(limits::COPIES)
    }

    /// The record in a slot.
    pub(crate) fn record_in(&self, slot: Slot) -> TopicRecord {
        self.record_of(slot)
    }

    // ---- who is there ----

    /// Whether a peer keeps copies of others' topics; volatile.
    pub fn set_willing(&mut self, peer: Fingerprint, willing: bool) {
        if let Some(number) = self.keys.find(&peer) {
            let slot = &mut self.peers[number as usize];
            slot.willing = willing && slot.record.is_some();
        }
    }

    /// Whether a peer is leaving: it gives its topics to others; volatile.
    pub fn set_leaving(&mut self, peer: Fingerprint, leaving: bool) {
        if let Some(number) = self.keys.find(&peer) {
            let slot = &mut self.peers[number as usize];
            slot.leaving = leaving && slot.record.is_some();
        }
    }

    /// See [`Directory::set_leaving`].
    pub(crate) fn is_leaving(&self, peer: Fingerprint) -> bool {
        let number = self.keys.find(&peer);
        number.is_some_and(|number| self.peers[number as usize].leaving)
    }

    /// The end of a topic's log, as last reported.
    pub(crate) fn last_end(&self, topic: TopicId) -> Option<u64> {
        let slot = self.topics.find_id(topic)?;
        let reports = self.reports.lock();
        reports.get(slot).map(|kept| kept.metadata.end)
    }

    /// While the index is in doubt nobody counts as away who has not been live since that began;
    /// volatile.
    pub fn set_doubt(&mut self, in_doubt: bool) {
        self.in_doubt = in_doubt;
        self.peers.iter_mut().for_each(|slot| slot.seen = false);
    }

    /// What elections go by.
    pub(crate) fn standing(&self, peer: PeerNo) -> Standing {
        let slot = &self.peers[peer.0 as usize];
        Standing {
            live: slot.live || self.in_doubt && !slot.seen && slot.record.is_some(),
            load: slot.hosted,
        }
    }

    /// Live peers that keep copies of others' topics.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let peers = self.names.values().map(|&number| {
            let slot = &self.peers[number as usize];
            Candidate {
                peer: PeerNo(number),
                live: slot.live,
                willing: slot.willing && !slot.leaving,
                subscribed: false,
                load: slot.copies,
            }
        });
        peers.filter(|peer| peer.live && peer.willing).collect()
    }

    /// Whether a peer subscribes to the topic in a slot.
    pub(crate) fn subscribes(&self, peer: PeerNo, slot: Slot) -> bool {
        let range = (slot, peer.0, 0)..=(slot, peer.0, u32::MAX);
        self.subscriptions.range(range).next().is_some()
    }

    pub(super) fn live_of(&self, members: Members) -> Members {
        members.filter(|peer| self.peers[peer.0 as usize].live)
    }

    /// What a topic is doing, for people: the record is not rewritten when peers come and go.
    pub(super) fn phase_of(&self, packed: &Packed) -> TopicPhase {
        let in_sync = self.copies.get(packed.copies).in_sync;
        match packed.phase {
            _ if self.is_behind(packed.topic) => TopicPhase::Behind,
            PackedPhase::Held => TopicPhase::Held,
            _ if self.live_of(in_sync).is_empty() => TopicPhase::Offline,
            PackedPhase::HandingOver => TopicPhase::HandingOver,
            PackedPhase::Serving | PackedPhase::Offline => TopicPhase::Serving,
        }
    }

    /// Counts topics that lack copies, from a slot on as far as one look goes; where to go on.
    pub(crate) fn tally_from(&self, from: Slot, tally: &mut Tally) -> Option<Slot> {
        let until = self
            .topics
            .end()
            .min(from.saturating_add(limits::SLOTS_PER_LOCK));
        for packed in (from..until).filter_map(|slot| self.topics.get(slot)) {
            let live = self.live_of(self.copies.get(packed.copies).in_sync).len();
            tally.under_replicated += u64::from(live < self.wanted(&packed));
            tally.offline += u64::from(live == 0);
        }
        (until < self.topics.end()).then_some(until)
    }

    /// Topics of which a key keeps a copy or is to get one, hosted ones included.
    pub fn copies_count(&self, key: Fingerprint) -> u32 {
        let number = self.keys.find(&key);
        number.map_or(0, |number| self.peers[number as usize].copies)
    }

    /// Keeps a peer's word on a topic if it shows that this index comes from a backup; whether that is
    /// news, so that nothing is decided about the topic from now on.
    pub fn note_known(&mut self, peer: Fingerprint, report: &CopyReport) -> bool {
        let Some(slot) = self.topics.find_id(report.topic) else {
            return false;
        };
        let Some(no) = self.peer_no(peer) else {
            return false;
        };
        let record = self.configuration_of(&self.topics.packed(slot));
        let word = Report {
            peer: no,
            known: report.known,
            own_grant: report.own_grant,
            end: report.end,
            lineage: 0,
        };
        // Of two records of one grant the later one was committed here: the index has told it.
        if !is_behind(&record, &word) && report.version <= record.version {
            return false;
        }
        let words = self.behind.entry(report.topic).or_default();
        let news = words.is_empty();
        words.insert(peer, report.clone());
        news
    }

    /// The index has started with this directory: whoever had a session by then may come from a time that
    /// a restored store does not know.
    pub fn begin(&mut self) {
        for slot in &mut self.peers {
            let record = slot.record.as_ref();
            slot.from_before = record.is_some_and(|record| record.storage.is_some());
        }
    }

    /// Whether a peer that was not asked may freeze a topic by its word. Who keeps a copy by the record may.
    /// So may, of a later grant, who had a session before this index started: the topic may have
    /// been moved there after the backup. A stranger's word waits until all are asked.
    pub fn may_freeze(&self, peer: Fingerprint, report: &CopyReport) -> bool {
        if self.restored || self.keeps_copy(peer, report.topic) {
            return true;
        }
        let slot = self.topics.find_id(report.topic);
        let grant = slot.map(|slot| self.topics.packed(slot).grant);
        let later = grant.is_some_and(|grant| report.known.grant > grant);
        let number = self.keys.find(&peer);
        later && number.is_some_and(|number| self.peers[number as usize].from_before)
    }

    /// Whether a peer knows more of a topic than this index; see [`Directory::note_known`].
    pub fn is_behind(&self, topic: TopicId) -> bool {
        self.restored || self.behind.contains_key(&topic)
    }

    /// Whether a peer has said that it knows more of a topic.
    pub(crate) fn has_words_on(&self, topic: TopicId) -> bool {
        self.behind.contains_key(&topic)
    }

    /// Freezes all topics until the index is recovered, or ends that.
    pub fn set_restored(&mut self, restored: bool) {
        self.restored = restored;
    }

    /// See [`Directory::set_restored`].
    pub fn is_restored(&self) -> bool {
        self.restored
    }

    /// What peers have said of a topic that is frozen.
    pub(crate) fn words_on(&self, topic: TopicId) -> Vec<(Fingerprint, CopyReport)> {
        let words = self.behind.get(&topic).into_iter().flatten();
        words.map(|(&peer, word)| (peer, word.clone())).collect()
    }

    /// A record that is above all that peers know ends the freeze.
    pub(super) fn thaw(&mut self, record: &TopicRecord) {
        let Some(words) = self.behind.get(&record.topic) else {
            return;
        };
        let above =
            |word: &CopyReport| record.grant > word.known.grant && record.version > word.version;
        if words.values().all(above) {
            self.behind.remove(&record.topic);
        }
    }

    /// A topic that is frozen and of which a key keeps a copy, if there is any.
    pub(crate) fn behind_of(&self, key: Fingerprint) -> Option<TopicId> {
        if self.restored {
            let no = self.peer_no(key)?;
            let mut all = self.topics.iter_from(0).map(|(_, packed)| packed);
            let kept = all.find(|packed| self.copies.get(packed.copies).replicas.contains(no));
            return kept.map(|packed| packed.topic);
        }
        let mut behind = self.behind.keys().copied();
        behind.find(|&topic| self.keeps_copy(key, topic))
    }

    /// How many such topics there are.
    pub fn behind_count(&self) -> usize {
        if self.restored {
            return self.topic_count();
        }
        self.behind.len()
    }

    /// Whether a topic has its copies by name, but one of them is away while the host is there: another
    /// peer shall make up for it. `None`: no such topic.
    pub(crate) fn needs_repair(&self, topic: TopicId) -> Option<bool> {
        let packed = self.topics.packed(self.topics.find_id(topic)?);
        let live = |number: u32| self.peers[number as usize].live;
        let replicas = &self.copies.get(packed.copies).replicas;
        let alive = replicas.iter().filter(|peer| live(peer.0)).count();
        let wanted = self.wanted(&packed);
        Some(live(packed.host) && replicas.len() >= wanted && alive < wanted)
    }
}

/// Topics that lack copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Fewer live copies in sync than they are to have.
    pub(crate) under_replicated: u64,
    /// No live copy in sync.
    pub(crate) offline: u64,
}

/// A topic that names a peer among its copies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    pub(crate) slot: Slot,
    pub(crate) topic: TopicId,
    pub(crate) record: Configuration,
    /// Copies that it is to have.
    pub(crate) wanted: usize,
}
