//! Whose messages damage has taken: topics whose batches do not follow one another. Pure.

use hashbrown::{HashMap, HashSet};

use super::record::Record;
use super::table::Table;
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
            Record::Forget(id) => {
                self.ends.insert(*id, Offset::FIRST);
                self.holes.remove(id);
                self.doubted.remove(id);
                self.accepted.remove(id);
            }
            Record::AcceptLoss(id, _) => {
                self.ends.remove(id);
                self.holes.remove(id);
                self.doubted.remove(id);
                self.accepted.insert(*id);
            }
            _ => {}
        }
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

    /// Puts the outcome into the table; answers the topics whose end cannot be proven.
    pub(super) fn settle(&mut self, table: &mut Table) -> Vec<TopicId> {
        for (id, holes) in std::mem::take(&mut self.holes) {
            for (from, to) in holes {
                table.damage(&id, from, to);
            }
        }
        let mut suspect: Vec<TopicId> = std::mem::take(&mut self.doubted).into_iter().collect();
        suspect.retain(|id| table.topics.contains_key(id));
        suspect.sort_unstable();
        for id in &suspect {
            table.suspect(id);
        }
        suspect
    }
}
