//! What is decided and applied about topics of which this peer keeps a copy.

use super::append::whole_batch;
use super::{Decision, KeptTopic, Position, PositionKey, Table, Topic, boxed};
use crate::journal::command::{Outcome, Refusal};
use crate::journal::dedupe::{Dedupe, Range};
use crate::journal::record::{HostRanges, Record};
use crate::types::{Epoch, Offset, ProducerId, TopicId};
use crate::wire::batch::BatchHeader;

impl Table {
    pub(super) fn decide_known(&self, kept: &KeptTopic, epoch: Epoch) -> Decision {
        let Some(topic) = self.topics.get(&kept.id) else {
            return Decision::Write(Record::Known(kept.clone(), epoch), Outcome::Done);
        };
        // Under its own epochs it may have written what nobody else has.
        let known = topic.known(self.incarnation).max(epoch);
        let is_known = !topic.hosts
            && topic.heard >= known
            && topic.name == kept.name
            && topic.settings() == kept.settings;
        match is_known {
            true => Decision::Answer(Outcome::Done),
            false => Decision::Write(Record::Known(kept.clone(), known), Outcome::Done),
        }
    }

    pub(super) fn decide_replicate(&self, id: &TopicId, bytes: &[u8]) -> Decision {
        match self.judge_replicate(id, bytes) {
            Ok(header) => Decision::Write(Record::Batch(header), Outcome::Done),
            Err(refusal) => Decision::refuse(refusal),
        }
    }

    fn judge_replicate(&self, id: &TopicId, bytes: &[u8]) -> Result<BatchHeader, Refusal> {
        let header = whole_batch(id, bytes)?;
        let topic = self.copied(id)?;
        if topic.traffic.as_ref().is_some_and(|t| t.suspect) {
            return Err(Refusal::Damaged);
        }
        let (_, expected) = topic.range();
        if header.base != expected {
            return Err(Refusal::NotNext {
                expected,
                found: header.base,
            });
        }
        let last = topic.traffic.as_ref().and_then(|t| t.epochs.last());
        match last.filter(|last| header.epoch < *last) {
            Some(current) => Err(Refusal::StaleEpoch { current }),
            None => Ok(header),
        }
    }

    pub(super) fn decide_truncate(&self, id: &TopicId, to: Offset) -> Decision {
        let topic = match self.copied(id) {
            Ok(topic) => topic,
            Err(refusal) => return Decision::refuse(refusal),
        };
        let (start, end) = topic.range();
        match to.max(start) {
            to if to < end => Decision::Write(Record::Truncate(*id, to), Outcome::Done),
            _ => Decision::Answer(Outcome::Done),
        }
    }

    pub(super) fn decide_reset(&self, id: &TopicId, start: Offset) -> Decision {
        match self.copied(id) {
            Ok(_) => {
                let start = start.max(Offset::FIRST);
                Decision::Write(Record::Reset(*id, start), Outcome::Done)
            }
            Err(refusal) => Decision::refuse(refusal),
        }
    }

    pub(super) fn decide_dedupe(
        &self,
        id: &TopicId,
        below: Offset,
        first: bool,
        ranges: &[(ProducerId, Range)],
    ) -> Decision {
        if let Err(refusal) = self.copied(id) {
            return Decision::refuse(refusal);
        }
        let table = HostRanges {
            below,
            first,
            ranges: ranges.to_vec(),
        };
        Decision::Write(Record::Dedupe(*id, table), Outcome::Done)
    }

    pub(super) fn decide_positions(
        &self,
        id: &TopicId,
        positions: &[(PositionKey, Position)],
    ) -> Decision {
        let topic = match self.copied(id) {
            Ok(topic) => topic,
            Err(refusal) => return Decision::refuse(refusal),
        };
        let known = topic.traffic.as_ref().map(|traffic| &traffic.positions);
        let news = positions
            .iter()
            .filter(|(key, position)| known.and_then(|k| k.get(key)) != Some(position));
        let records: Vec<Record> = news
            .map(|(key, position)| Record::Position(*id, key.clone(), *position))
            .collect();
        match records.is_empty() {
            true => Decision::Answer(Outcome::Done),
            false => Decision::WriteAll(records, Outcome::Done),
        }
    }

    /// See [`crate::journal::Journal::dedupe_below`].
    pub(in crate::journal) fn dedupe_below(
        &self,
        id: &TopicId,
        to: Offset,
    ) -> Vec<(ProducerId, Range)> {
        let traffic = self.topics.get(id).and_then(|t| t.traffic.as_ref());
        traffic.map_or(Vec::new(), |traffic| traffic.dedupe.below(to))
    }

    /// A topic of which this peer keeps a copy.
    fn copied(&self, id: &TopicId) -> Result<&Topic, Refusal> {
        let topic = self.topics.get(id).ok_or(Refusal::UnknownTopic)?;
        match topic.hosts {
            true => Err(Refusal::Hosted),
            false => Ok(topic),
        }
    }

    pub(super) fn apply_known(&mut self, kept: &KeptTopic, epoch: Epoch) {
        let topic = self
            .topics
            .entry(kept.id)
            .or_insert_with(|| Topic::copy(kept));
        topic.name = kept.name.clone();
        topic.settings = boxed(kept.settings);
        topic.heard = topic.heard.max(epoch);
        topic.hosts = false;
        topic.shared = true;
    }

    pub(super) fn apply_dedupe(&mut self, id: &TopicId, table: &HostRanges) {
        let Some(traffic) = self.traffic(id) else {
            return;
        };
        if table.first {
            traffic.dedupe = Dedupe::default();
        }
        for (producer, range) in &table.ranges {
            traffic.dedupe.note(*producer, *range);
        }
    }
}
