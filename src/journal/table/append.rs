//! Judging an append to a topic that this peer hosts.

use super::{Decision, Table};
use crate::journal::command::{Appended, Outcome, Refusal};
use crate::journal::dedupe::{Dedupe, Verdict};
use crate::journal::record::Record;
use crate::types::{Epoch, TopicId, UnixMicros};
use crate::wire::batch;

impl Table {
    pub(super) fn decide_append(
        &self,
        id: &TopicId,
        epoch: Epoch,
        bytes: &[u8],
        wall: UnixMicros,
    ) -> Decision {
        match self.judge_append(id, epoch, bytes, wall) {
            Ok((record, appended)) => Decision::Write(record, Outcome::Appended(appended)),
            Err(outcome) => Decision::Answer(outcome),
        }
    }

    /// The record to write and its answer, or the answer alone.
    fn judge_append(
        &self,
        id: &TopicId,
        epoch: Epoch,
        bytes: &[u8],
        wall: UnixMicros,
    ) -> Result<(Record, Appended), Outcome> {
        let mut header = whole_batch(id, bytes).map_err(Outcome::Refused)?;
        let topic = self
            .topics
            .get(id)
            .ok_or(Outcome::Refused(Refusal::UnknownTopic))?;
        if !topic.hosts {
            return Err(Outcome::Refused(Refusal::NotHosted));
        }
        let current = self
            .epoch_of(topic)
            .ok_or(Outcome::Refused(Refusal::NotBooted))?;
        if epoch != current {
            return Err(Outcome::Refused(Refusal::StaleEpoch { current }));
        }
        let appended = |base, duplicate| Appended {
            topic: *id,
            base,
            count: header.count,
            epoch: current,
            duplicate,
        };
        let traffic = topic.traffic.as_deref();
        if traffic.is_some_and(|t| t.suspect) {
            return Err(Outcome::Refused(Refusal::Damaged));
        }
        let fresh = Dedupe::default();
        let dedupe = traffic.map_or(&fresh, |t| &t.dedupe);
        match dedupe.judge(&header.producer, header.sequence, header.count) {
            Verdict::New => {}
            Verdict::Duplicate(base) => {
                return Err(Outcome::Appended(appended(base, true)));
            }
            Verdict::Gap { expected } => {
                return Err(Outcome::Refused(Refusal::SequenceGap {
                    expected,
                    found: header.sequence,
                }));
            }
            Verdict::UnknownProducer => return Err(Outcome::Refused(Refusal::UnknownProducer)),
            Verdict::TooOld => return Err(Outcome::Refused(Refusal::SequenceTooOld)),
        }
        let answer = appended(topic.range().1, false);
        header.base = answer.base;
        header.epoch = current;
        header.appended = traffic.map_or(wall, |t| wall.max(t.last_append.unwrap_or(wall)));
        Ok((Record::Batch(header), answer))
    }
}

/// The header of a batch for this topic, if the bytes are one.
pub(super) fn whole_batch(id: &TopicId, bytes: &[u8]) -> Result<batch::BatchHeader, Refusal> {
    let header = batch::read_header(bytes)?;
    let (expected, found) = (header.length as usize, bytes.len());
    if found != expected {
        return Err(batch::BatchError::Short { expected, found }.into());
    }
    match header.topic == *id {
        true => Ok(header),
        false => Err(Refusal::WrongTopic {
            expected: *id,
            found: header.topic,
        }),
    }
}
