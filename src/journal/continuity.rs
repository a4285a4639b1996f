//! Whose messages damage has taken: topics whose batches do not follow one another. Pure.

use hashbrown::{HashMap, HashSet};

use super::record::Record;
use super::table::Table;
use super::traffic::clip;
use crate::types::{Offset, TopicId};

/// What a replay learns about the continuity of topics.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    /// For each topic met: the end of its last batch in the segments.
    ends: HashMap<TopicId, Offset>,
    /// Holes between batches. They count at the end of the replay: a tombstone that follows takes
    /// them back.
    holes: HashMap<TopicId, Vec<(Offset, Offset)>>,
    /// Topics whose loss was accepted: whatever comes next continues them.
    accepted: HashSet<TopicId>,
    /// Topics that damage may have cut short.
    doubted: HashSet<TopicId>,
    /// Copies of whose log a cut may have been lost: what a later batch continues need not be what lay
    /// below it.
    uncut: HashSet<TopicId>,
}

impl Continuity {
    /// The segments to be replayed must take a topic up at `end`.
    pub(super) fn begin(&mut self, id: TopicId, end: Offset) {
        self.ends.insert(id, end);
    }

    /// A batch must begin where its topic's last one ended; what lies between is lost. `told`: a
    /// checkpoint tells of the record, so that the table is ahead of it.
    pub(super) fn note(&mut self, record: &Record, told: bool, table: &Table) {
        match record {
            Record::Batch(header) => {
                let id = header.topic;
                let accepted = self.accepted.remove(&id);
                let known = self.ends.get(&id).copied();
                let known = known.or_else(|| if told { None } else { table.end(&id) });
                if let Some(end) = known.filter(|end| *end < header.base && !accepted) {
                    self.hole(id, end, header.base);
                }
                self.ends.insert(id, header.end());
                self.doubted.remove(&id);
            }
            Record::Forget(id) => self.begin_anew(*id, Offset::FIRST),
            Record::Reset(id, start) => self.begin_anew(*id, *start),
            Record::Truncate(id, to) => self.cut(*id, *to, told, table),
            Record::AcceptLoss(id, _) => {
                self.ends.remove(id);
                self.holes.remove(id);
                self.doubted.remove(id);
                self.uncut.remove(id);
                self.accepted.insert(*id);
            }
            _ => {}
        }
    }

    /// Nothing of what was before is left.
    fn begin_anew(&mut self, id: TopicId, start: Offset) {
        self.ends.insert(id, start);
        self.holes.remove(&id);
        self.doubted.remove(&id);
        self.uncut.remove(&id);
        self.accepted.remove(&id);
    }

    /// The log reached `to`, and what lay beyond is gone, holes too.
    fn cut(&mut self, id: TopicId, to: Offset, told: bool, table: &Table) {
        let known = self.ends.get(&id).copied();
        let known = known.or_else(|| if told { None } else { table.end(&id) });
        let accepted = self.accepted.remove(&id);
        if let Some(end) = known.filter(|end| *end < to && !accepted) {
            self.hole(id, end, to);
        }
        if let Some(holes) = self.holes.get_mut(&id) {
            clip(holes, to);
        }
        self.ends.insert(id, to);
        self.doubted.remove(&id);
    }

    /// A batch came where another one lies: the cut between them is lost.
    pub(super) fn contradict(&mut self, id: TopicId) {
        self.uncut.insert(id);
    }

    /// Something else proves that a topic reached `end` here.
    pub(super) fn reach(&mut self, id: TopicId, end: Offset, table: &Table) {
        let known = self.ends.get(&id).copied().or_else(|| table.end(&id));
        if let Some(seen) = known.filter(|seen| *seen < end && !self.accepted.contains(&id)) {
            self.hole(id, seen, end);
            self.ends.insert(id, end);
        }
    }

    fn hole(&mut self, id: TopicId, from: Offset, to: Offset) {
        self.holes.entry(id).or_default().push((from, to));
    }

    /// These topics may have had messages in a damaged place.
    pub(super) fn doubt(&mut self, ids: impl Iterator<Item = TopicId>) {
        self.doubted.extend(ids);
    }

    /// Damage may have taken cuts of these topics.
    pub(super) fn doubt_cuts(&mut self, ids: impl Iterator<Item = TopicId>) {
        self.uncut.extend(ids);
    }

    /// Puts the outcome into the table; answers the topics whose end cannot be proven.
    pub(super) fn settle(&mut self, table: &mut Table) -> Vec<TopicId> {
        for (id, holes) in std::mem::take(&mut self.holes) {
            for (from, to) in holes {
                table.damage(&id, from, to);
            }
        }
        let mut suspect = std::mem::take(&mut self.doubted);
        suspect.extend(std::mem::take(&mut self.uncut));
        let mut suspect: Vec<TopicId> = suspect.into_iter().collect();
        suspect.retain(|id| table.topics.contains_key(id));
        suspect.sort_unstable();
        for id in &suspect {
            table.suspect(id);
        }
        suspect
    }
}
