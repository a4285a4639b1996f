//! The deciding table: topics, epochs, producers, positions, retention. Pure: no file, no clock.
//!
//! [`Table::decide`] judges a command against the table and says what to write and what to answer;
//! [`Table::apply`] takes a record into the table. The writer applies each record as soon as it is
//! decided, so that the next command of the same group sees it; recovery applies the same records
//! from the disk. Nothing is ever taken back: a write that fails stops the journal. Readers see
//! [`super::view::View`] instead, which is told only after the sync.

mod append;
mod copies;

use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::command::{Command, Outcome, Refusal};
use super::dedupe::Range;
use super::record::Record;
use super::traffic::Traffic;
use crate::limits;
use crate::replication::replica::may_host;
use crate::types::{
    BootId, Epoch, Fingerprint, Group, Incarnation, Offset, TopicId, TopicName, TopicSettings,
    UnixMicros,
};
use crate::wire::batch;

/// A topic that this peer stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedTopic {
    /// Its id.
    pub id: TopicId,
    /// Its name, for people.
    pub name: TopicName,
    /// What the owner has set.
    pub settings: TopicSettings,
    /// The grant under which this peer hosts it.
    pub grant: u32,
}

/// A topic of which this peer keeps a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTopic {
    /// Its id.
    pub id: TopicId,
    /// Its name, for people.
    pub name: TopicName,
    /// What the owner has set.
    pub settings: TopicSettings,
}

/// Whose position.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PositionKey {
    /// The subscriber.
    pub subscriber: Fingerprint,
    /// Its consumer group.
    pub group: Group,
}

/// Where a subscriber stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The offset that it wants next.
    pub next: Offset,
    /// Commit sequence: the last writer wins.
    pub sequence: u64,
}

/// What is to be done about a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Write the record, apply it, and answer when it is durable.
    Write(Record, Outcome),
    /// The same with several records.
    WriteAll(Vec<Record>, Outcome),
    /// Nothing to write.
    Answer(Outcome),
}

impl Decision {
    fn refuse(refusal: Refusal) -> Decision {
        Decision::Answer(Outcome::Refused(refusal))
    }
}

/// One topic. Without traffic it is 48 bytes beside its name.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub(super) name: TopicName,
    /// `None`: the defaults, which most topics have.
    settings: Option<Box<TopicSettings>>,
    /// The grant under which this peer hosts it, or has hosted it last; 0: never.
    pub(super) grant: u32,
    /// The highest epoch heard of, see [`Topic::known`].
    pub(super) heard: Epoch,
    /// Whether this peer hosts it; otherwise it keeps a copy.
    pub(super) hosts: bool,
    /// Whether other peers have, or may get, copies.
    pub(super) shared: bool,
    pub(super) traffic: Option<Box<Traffic>>,
}

impl Topic {
    pub(super) fn new(hosted: &HostedTopic) -> Topic {
        Topic {
            name: hosted.name.clone(),
            settings: boxed(hosted.settings),
            grant: hosted.grant,
            heard: of_grant(hosted.grant),
            hosts: true,
            shared: false,
            traffic: None,
        }
    }

    fn copy(kept: &KeptTopic) -> Topic {
        Topic {
            name: kept.name.clone(),
            settings: boxed(kept.settings),
            grant: 0,
            heard: Epoch::default(),
            hosts: false,
            shared: true,
            traffic: None,
        }
    }

    /// Up to where retention may drop messages.
    fn committed(&self, id: &TopicId, committed: impl Fn(&TopicId) -> Offset) -> Offset {
        match self.shared {
            true => committed(id),
            false => Offset(u64::MAX),
        }
    }

    /// The highest epoch known, this peer's own included: `incarnation` is the highest that it had.
    pub(super) fn known(&self, incarnation: Incarnation) -> Epoch {
        let own = Epoch {
            grant: self.grant,
            incarnation,
        };
        match self.hosts {
            true => self.heard.max(own),
            false => self.heard,
        }
    }

    pub(super) fn settings(&self) -> TopicSettings {
        self.settings.as_deref().copied().unwrap_or_default()
    }

    pub(super) fn hosted(&self, id: TopicId) -> HostedTopic {
        HostedTopic {
            id,
            name: self.name.clone(),
            settings: self.settings(),
            grant: self.grant,
        }
    }

    /// In how many groups a subscriber has a position.
    fn groups_of(&self, subscriber: &Fingerprint) -> usize {
        let positions = self.traffic.iter().flat_map(|t| t.positions.keys());
        positions
            .filter(|key| key.subscriber == *subscriber)
            .count()
    }

    fn range(&self) -> (Offset, Offset) {
        self.traffic
            .as_ref()
            .map_or((Offset::FIRST, Offset::FIRST), |t| (t.start, t.end))
    }
}

/// The least epoch of a grant.
pub(super) fn of_grant(grant: u32) -> Epoch {
    Epoch {
        grant,
        incarnation: 0,
    }
}

fn boxed(settings: TopicSettings) -> Option<Box<TopicSettings>> {
    (settings != TopicSettings::default()).then(|| Box::new(settings))
}

/// See the module.
#[derive(Debug, Default)]
pub struct Table {
    pub(super) topics: HashMap<TopicId, Topic>,
    /// Highest incarnation seen.
    pub(super) incarnation: Incarnation,
    /// Incarnation of this process, once its session has begun.
    booted: Option<Incarnation>,
    /// When a topic's oldest messages may be past their age. An entry may be early or stale, never
    /// late.
    expiries: BinaryHeap<Reverse<(i64, TopicId)>>,
}

impl Table {
    /// Judges a command. `wall` stamps an append.
    pub fn decide(&self, command: &Command, wall: UnixMicros) -> Decision {
        match command {
            Command::Append {
                topic,
                epoch,
                batch,
            } => self.decide_append(topic, *epoch, batch, wall),
            Command::Host(hosted) => self.decide_host(hosted),
            Command::Known { topic, epoch } => self.decide_known(topic, *epoch),
            Command::Replicate { topic, batch } => self.decide_replicate(topic, batch),
            Command::Truncate { topic, to } => self.decide_truncate(topic, *to),
            Command::Reset { topic, start } => self.decide_reset(topic, *start),
            Command::Dedupe {
                topic,
                below,
                first,
                ranges,
            } => self.decide_dedupe(topic, *below, *first, ranges),
            Command::ReplicatePositions { topic, positions } => {
                self.decide_positions(topic, positions)
            }
            Command::Forget { topic } => match self.topics.contains_key(topic) {
                true => Decision::Write(Record::Forget(*topic), Outcome::Done),
                false => Decision::Answer(Outcome::Done),
            },
            Command::Boot { incarnation, boot } => self.decide_boot(*incarnation, *boot),
            Command::Position {
                topic,
                key,
                next,
                sequence,
                reset,
            } => self.decide_position(topic, key, *next, *sequence, *reset),
            Command::Trim { topic, start } => self.decide_trim(topic, *start),
            Command::Share { topic, shared } => match self.topics.get(topic) {
                None => Decision::refuse(Refusal::UnknownTopic),
                Some(t) if t.shared == *shared => Decision::Answer(Outcome::Done),
                Some(_) => Decision::Write(Record::Shared(*topic, *shared), Outcome::Done),
            },
            Command::AcceptLoss { topic } => match self.topics.get(topic) {
                None => Decision::refuse(Refusal::UnknownTopic),
                Some(t) => match t.traffic.as_deref().filter(|t| t.is_damaged()) {
                    Some(traffic) => {
                        let record = Record::AcceptLoss(*topic, traffic.given_up());
                        Decision::Write(record, Outcome::Done)
                    }
                    None => Decision::Answer(Outcome::Done),
                },
            },
        }
    }

    fn decide_host(&self, hosted: &HostedTopic) -> Decision {
        if let Some(topic) = self.topics.get(&hosted.id) {
            if topic.hosts && topic.hosted(hosted.id) == *hosted {
                return Decision::Answer(Outcome::Done);
            }
            let epoch = Epoch {
                grant: hosted.grant,
                incarnation: self.incarnation,
            };
            if !may_host(topic.heard, topic.grant, epoch) {
                let known = topic.known(self.incarnation);
                return Decision::refuse(Refusal::LowerGrant { known });
            }
        }
        Decision::Write(Record::Host(hosted.clone()), Outcome::Done)
    }

    fn decide_boot(&self, incarnation: Incarnation, boot: BootId) -> Decision {
        match self.booted {
            // A reconnect, or an answer that comes late: never lowered.
            Some(booted) if incarnation <= booted => Decision::Answer(Outcome::Done),
            // A new process must not go on under an incarnation that an earlier one may have used.
            None if incarnation <= self.incarnation => Decision::refuse(Refusal::StaleBoot {
                known: self.incarnation,
                found: incarnation,
            }),
            _ => Decision::Write(Record::Boot(incarnation, boot), Outcome::Done),
        }
    }

    fn decide_position(
        &self,
        id: &TopicId,
        key: &PositionKey,
        next: Offset,
        sequence: u64,
        reset: bool,
    ) -> Decision {
        let Some(topic) = self.topics.get(id) else {
            return Decision::refuse(Refusal::UnknownTopic);
        };
        if !topic.hosts {
            return Decision::refuse(Refusal::NotHosted);
        }
        let (start, end) = topic.range();
        let known = topic.traffic.as_ref().and_then(|t| t.positions.get(key));
        let mut next = next.clamp(start, end);
        // Positions stay until the topic goes, and anybody may commit one.
        let max = limits::GROUPS_PER_SUBSCRIBER;
        if known.is_none() && topic.groups_of(&key.subscriber) >= max {
            return Decision::refuse(Refusal::TooManyGroups { max });
        }
        if let Some(known) = known {
            if sequence <= known.sequence {
                return Decision::Answer(Outcome::Position(*known));
            }
            if !reset {
                next = next.max(known.next);
            }
        }
        let position = Position { next, sequence };
        Decision::Write(
            Record::Position(*id, key.clone(), position),
            Outcome::Position(position),
        )
    }

    fn decide_trim(&self, id: &TopicId, start: Offset) -> Decision {
        let Some(topic) = self.topics.get(id) else {
            return Decision::refuse(Refusal::UnknownTopic);
        };
        let (known, end) = topic.range();
        match start.min(end) {
            start if start > known => Decision::Write(Record::Trim(*id, start), Outcome::Done),
            _ => Decision::Answer(Outcome::Done),
        }
    }

    fn epoch_of(&self, topic: &Topic) -> Option<Epoch> {
        self.booted.map(|incarnation| Epoch {
            grant: topic.grant,
            incarnation,
        })
    }

    /// Takes a record in; answers the bytes that its topic then holds.
    ///
    /// A record of a topic that is not known changes nothing: the topic was forgotten.
    pub fn apply(&mut self, record: &Record) -> u64 {
        match record {
            Record::Host(hosted) => self.apply_host(hosted),
            Record::Forget(id) => {
                self.topics.remove(id);
            }
            Record::Boot(incarnation, _) => {
                self.incarnation = self.incarnation.max(*incarnation);
                self.booted = self.booted.max(Some(*incarnation));
            }
            Record::Batch(header) => self.apply_batch(header),
            Record::Position(id, key, position) => {
                if let Some(traffic) = self.traffic(id) {
                    traffic.positions.insert(key.clone(), *position);
                }
            }
            Record::Trim(id, start) => {
                if let Some(traffic) = self.traffic(id) {
                    traffic.trim(*start);
                }
            }
            Record::AcceptLoss(id, ranges) => {
                if let Some(traffic) = self.traffic(id) {
                    traffic.accept_loss(ranges);
                }
            }
            Record::Known(kept, epoch) => self.apply_known(kept, *epoch),
            Record::Truncate(id, to) => {
                if let Some(traffic) = self.traffic(id) {
                    traffic.truncate(*to);
                }
            }
            Record::Reset(id, start) => {
                if let Some(traffic) = self.traffic(id) {
                    *traffic = Traffic::starting_at(*start);
                }
            }
            Record::Dedupe(id, table) => self.apply_dedupe(id, table),
            Record::Shared(id, shared) => {
                if let Some(topic) = self.topics.get_mut(id) {
                    topic.shared = *shared;
                }
            }
            Record::Marker(_) => {}
        }
        let traffic = record.topic().and_then(|id| self.topics.get(&id));
        traffic
            .and_then(|topic| topic.traffic.as_ref())
            .map_or(0, |t| t.bytes)
    }

    fn apply_host(&mut self, hosted: &HostedTopic) {
        match self.topics.get_mut(&hosted.id) {
            None => {
                self.topics.insert(hosted.id, Topic::new(hosted));
            }
            Some(topic) => {
                topic.name = hosted.name.clone();
                topic.settings = boxed(hosted.settings);
                topic.grant = topic.grant.max(hosted.grant);
                topic.heard = topic.heard.max(of_grant(hosted.grant));
                if !std::mem::replace(&mut topic.hosts, true)
                    && let Some(traffic) = &mut topic.traffic
                {
                    traffic.clamp_positions();
                }
                self.note_expiry(&hosted.id);
            }
        }
    }

    fn apply_batch(&mut self, header: &batch::BatchHeader) {
        let Some(topic) = self.topics.get_mut(&header.topic) else {
            return;
        };
        topic.heard = topic.heard.max(header.epoch);
        if topic.hosts {
            // Own batches repeat their epoch: a lost entry of a boot or a grant is made up for.
            self.incarnation = self.incarnation.max(header.epoch.incarnation);
            topic.grant = topic.grant.max(header.epoch.grant);
        }
        let settings = topic.settings();
        let traffic = topic.traffic.get_or_insert_default();
        let range = Range {
            sequence: header.sequence,
            offset: header.base,
            count: u64::from(header.count),
        };
        traffic.dedupe.note(header.producer, range);
        let first = traffic.append(header, &settings);
        if first {
            self.note_expiry(&header.topic);
        }
    }

    fn traffic(&mut self, id: &TopicId) -> Option<&mut Traffic> {
        self.topics
            .get_mut(id)
            .map(|topic| &mut **topic.traffic.get_or_insert_default())
    }

    pub(super) fn note_expiry(&mut self, id: &TopicId) {
        let due = self.topics.get(id).and_then(|topic| {
            let traffic = topic.traffic.as_ref()?;
            traffic.expiry(&topic.settings())
        });
        if let Some(due) = due {
            self.expiries.push(Reverse((due, *id)));
        }
    }

    /// Where the topic's retained size would have its start, if that lies above the present one.
    /// Worth asking after each append.
    /// `committed`: see [`super::Hooks::committed`].
    pub fn size_trim(
        &self,
        id: &TopicId,
        committed: impl Fn(&TopicId) -> Offset,
    ) -> Option<Record> {
        // A copy begins where its host's log does.
        let topic = self.topics.get(id).filter(|topic| topic.hosts)?;
        let limit = topic.settings.as_ref()?.retain_bytes?;
        let traffic = topic.traffic.as_ref()?;
        let start = traffic.size_start(limit)?;
        let start = traffic.trimmable(start, topic.committed(id, committed))?;
        Some(Record::Trim(*id, start))
    }

    /// Trims of topics with messages past their age, at most [`limits::TRIMS_PER_GROUP`].
    /// `committed`: see [`super::Hooks::committed`].
    pub fn age_trims(
        &mut self,
        wall: UnixMicros,
        committed: impl Fn(&TopicId) -> Offset,
    ) -> Vec<Record> {
        let mut trims = Vec::new();
        let mut waiting = Vec::new();
        while trims.len() < limits::TRIMS_PER_GROUP {
            match self.expiries.peek() {
                Some(Reverse((due, _))) if *due < wall.0 => {}
                _ => break,
            }
            let Some(Reverse((_, id))) = self.expiries.pop() else {
                break;
            };
            // A copy begins where its host's log does; it is looked at again when this peer hosts it.
            let Some(topic) = self.topics.get(&id).filter(|topic| topic.hosts) else {
                continue;
            };
            let Some(traffic) = topic.traffic.as_ref() else {
                continue;
            };
            let Some(start) = traffic.age_start(&topic.settings(), wall) else {
                self.note_expiry(&id);
                continue;
            };
            match traffic.trimmable(start, topic.committed(&id, &committed)) {
                Some(start) => trims.push(Record::Trim(id, start)),
                // Due, but others do not have it yet: at the next look.
                None => waiting.push(id),
            }
        }
        waiting.iter().for_each(|id| self.note_expiry(id));
        trims
    }

    /// Queues a topic anew after its trim was applied.
    pub fn after_trim(&mut self, id: &TopicId) {
        self.note_expiry(id);
    }

    /// Marks a range of a topic as damaged. Its offsets are never given out again.
    pub(super) fn damage(&mut self, id: &TopicId, from: Offset, to: Offset) {
        if let Some(traffic) = self.traffic(id) {
            traffic.damage(from, to);
        }
    }

    /// Marks a topic whose end cannot be proven.
    pub(super) fn suspect(&mut self, id: &TopicId) {
        if let Some(traffic) = self.traffic(id) {
            traffic.suspect = true;
        }
    }

    /// The end of a topic.
    pub(super) fn end(&self, id: &TopicId) -> Option<Offset> {
        self.topics.get(id).map(|topic| topic.range().1)
    }

    /// The start of a topic.
    pub(super) fn start(&self, id: &TopicId) -> Option<Offset> {
        self.topics.get(id).map(|topic| topic.range().0)
    }

    /// Forgets what recovery saw of sessions: each process must boot anew.
    pub(super) fn begin_life(&mut self) {
        self.booted = None;
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
