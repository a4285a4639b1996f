//! Records of topics whose copies change: to `replication::manager` and back, and who is told.

use std::collections::BTreeMap;

use super::overlay::View;
use super::{Decision, Effect, Happened};
use crate::index::record::{Change, TopicRecord, TopicState};
use crate::limits;
use crate::replication::configuration::{Configuration, Phase};
use crate::replication::manager::{Candidate, choose_replicas};
use crate::replication::members::{Members, PeerNo};
use crate::types::{Fingerprint, PeerName, TopicId, TopicName};

/// A record as the manager sees it. Keys of a record are known to the directory: whoever hosts or
/// keeps a copy had a session, which is decided alone.
pub(super) fn configuration(view: &View<'_>, record: &TopicRecord) -> Configuration {
    let no = |key: Fingerprint| number(view, key);
    Configuration {
        host: no(record.host),
        grant: record.grant,
        version: record.version,
        in_sync: record.in_sync.iter().map(|&key| no(key)).collect(),
        replicas: record.replicas.iter().map(|&key| no(key)).collect(),
        phase: match record.state {
            TopicState::Serving => Phase::Serving,
            TopicState::HandingOver { to } => Phase::HandingOver { to: no(to) },
            TopicState::Offline => Phase::Offline,
            TopicState::Held => Phase::Held,
        },
        lineage: record.lineage,
    }
}

fn number(view: &View<'_>, key: Fingerprint) -> PeerNo {
    match view.base.peer_no(key) {
        Some(number) => number,
        None => panic!("{key} keeps a copy and is not known"),
    }
}

/// The record with its copies as the manager wants them.
pub(super) fn recast(view: &View<'_>, record: TopicRecord, next: &Configuration) -> TopicRecord {
    TopicRecord {
        host: view.base.key_of(next.host),
        grant: next.grant,
        version: next.version,
        in_sync: view.base.keys_of(next.in_sync),
        replicas: view.base.keys_of(next.replicas),
        state: match next.phase {
            Phase::Serving => TopicState::Serving,
            Phase::HandingOver { to } => TopicState::HandingOver {
                to: view.base.key_of(to),
            },
            Phase::Offline => TopicState::Offline,
            Phase::Held => TopicState::Held,
        },
        lineage: next.lineage,
        ..record
    }
}

/// Keys as names, as far as they have one.
pub(super) fn names(view: &View<'_>, keys: &[Fingerprint]) -> Vec<PeerName> {
    let mut names: Vec<_> = keys.iter().filter_map(|&key| view.name_of(key)).collect();
    names.sort();
    names
}

/// Why the copies of a topic change, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // see `index::log`
pub enum Why {
    /// Its host wishes another in-sync set.
    Wished,
    Away(PeerName),
    Live(PeerName),
    /// Somebody is away or back.
    Reviewed,
    /// A peer has come that can keep a copy.
    Placed,
    /// A copy has been away for long.
    Repaired,
    /// The copies wanted have changed.
    Set,
    /// Somebody wishes another host.
    Moving,
    TakenOver,
    /// This peer's copy is not what it was.
    Lost(PeerName),
    Leaves(PeerName),
    /// Nobody can host it, and a message has come.
    Held,
    /// What was held is in its log.
    Drained,
    /// The index comes from a backup.
    Recovered,
    /// What other copies had is given up.
    LossAccepted,
}

/// What becomes of the copies of one topic, for the log.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // as in TopicRecord
pub struct Recast {
    pub topic: TopicName,
    pub host: Option<PeerName>,
    pub grant: u32,
    pub in_sync: Vec<PeerName>,
    pub replicas: Vec<PeerName>,
    pub state: &'static str,
}

/// Gathers changed records, and tells every peer that they concern once.
#[derive(Default)]
pub(super) struct Recasting {
    changes: Vec<Change>,
    assign: BTreeMap<Fingerprint, Vec<TopicId>>,
    erase: BTreeMap<Fingerprint, Vec<TopicId>>,
    topics: Vec<TopicId>,
    shown: Vec<Recast>,
    count: usize,
}

impl Recasting {
    /// How many changes there are.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Gives a record the copies that the manager wants.
    pub(super) fn next(
        &mut self,
        view: &View<'_>,
        before: TopicRecord,
        next: &Configuration,
    ) -> TopicRecord {
        let after = recast(view, before.clone(), next);
        self.put(view, &before, after.clone());
        after
    }

    /// Puts a record in another's place. Who keeps no copy any more is to erase it.
    pub(super) fn put(&mut self, view: &View<'_>, before: &TopicRecord, after: TopicRecord) {
        let topic = after.topic;
        for &peer in &after.replicas {
            self.assign.entry(peer).or_default().push(topic);
            // `Places` chooses nobody who is still to erase it; a tombstone never outlives a copy that
            // counts, whoever named it.
            if !before.replicas.contains(&peer) && view.is_to_erase(peer, topic) {
                self.changes
                    .push(Change::DeleteErasure { host: peer, topic });
            }
        }
        for &peer in &before.replicas {
            // What is not registered any more has nobody to tell.
            if !after.replicas.contains(&peer) && view.base.host_address(peer).is_some() {
                self.erase(peer, topic);
            }
        }
        self.topics.push(topic);
        self.count += 1;
        if self.shown.len() < limits::CREATIONS_LOGGED {
            self.shown.push(shown(view, &after));
        }
        self.changes.push(Change::PutTopic(after));
    }

    /// A peer is to erase its copy.
    pub(super) fn erase(&mut self, peer: Fingerprint, topic: TopicId) {
        self.changes.push(Change::PutErasure { host: peer, topic });
        self.erase.entry(peer).or_default().push(topic);
    }

    /// Looks whether this topic needs another copy, though it has not changed.
    pub(super) fn look_at(&mut self, topic: TopicId) {
        self.topics.push(topic);
    }

    /// Adds all of it to a decision.
    pub(super) fn finish(self, decision: &mut Decision, why: Why) {
        decision.changes.extend(self.changes);
        let effects = &mut decision.effects;
        let erase = self.erase.into_iter();
        effects.extend(erase.map(|(host, topics)| Effect::Erase { host, topics }));
        let assign = self.assign.into_iter();
        effects.extend(assign.map(|(host, topics)| Effect::Assign { host, topics }));
        if !self.topics.is_empty() {
            effects.push(Effect::LookAtCopies {
                topics: self.topics,
            });
        }
        if self.count > 0 {
            effects.push(Effect::Log(Happened::Recast {
                topics: self.shown,
                count: self.count,
                why,
            }));
        }
    }
}

fn shown(view: &View<'_>, record: &TopicRecord) -> Recast {
    Recast {
        topic: record.name.clone(),
        host: view.name_of(record.host),
        grant: record.grant,
        in_sync: names(view, &record.in_sync),
        replicas: names(view, &record.replicas),
        state: match record.state {
            TopicState::Serving => "serving",
            TopicState::HandingOver { .. } => "handing over",
            TopicState::Offline => "offline",
            TopicState::Held => "held",
        },
    }
}

/// Replicas chosen for a topic; the loads count on, so that many topics spread.
pub(super) struct Places {
    candidates: Vec<Candidate>,
}

impl Places {
    pub(super) fn new(view: &View<'_>) -> Self {
        Places {
            candidates: view.base.candidates(),
        }
    }

    /// Whether anybody but `peer` could keep a copy.
    pub(super) fn others(&self, peer: Option<PeerNo>) -> bool {
        self.candidates.iter().any(|c| Some(c.peer) != peer)
    }

    /// The replicas of a topic with this record; `subscribed` says who subscribes to it. Who is still to
    /// erase a copy of it gets none: what is on its way would take the new one.
    pub(super) fn choose(
        &mut self,
        view: &View<'_>,
        topic: TopicId,
        record: &Configuration,
        wanted: usize,
        subscribed: impl Fn(PeerNo) -> bool,
    ) -> Members {
        let mut usable = self.candidates.clone();
        usable.retain(|c| !view.is_to_erase(view.base.key_of(c.peer), topic));
        for candidate in &mut usable {
            candidate.subscribed = subscribed(candidate.peer);
        }
        let chosen = choose_replicas(record, wanted, &usable);
        for candidate in &mut self.candidates {
            let new = chosen.contains(candidate.peer) && !record.replicas.contains(candidate.peer);
            candidate.load += u32::from(new);
        }
        chosen
    }
}
