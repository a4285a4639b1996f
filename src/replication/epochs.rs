//! Which epoch wrote which stretch of a topic's log, and how a replica finds where its log parts from
//! its host's. Pure.
//!
//! Two logs that have a message under the same (epoch, offset) are equal up to it: one peer writes
//! under an epoch, and nobody accepts a host's messages before its log ends where the host's log says.

use crate::types::{Epoch, Offset};

/// The first offset of each epoch in a log, ascending in both. Epochs without messages are not listed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct EpochTable {
    starts: Vec<(Epoch, Offset)>,
}

impl EpochTable {
    /// A batch of this epoch begins at `base`.
    ///
    /// Epochs never fall along a log; whoever writes has refused lower ones.
    pub fn note(&mut self, epoch: Epoch, base: Offset) {
        match self.starts.last() {
            Some(&(last, _)) if last == epoch => {}
            last => {
                assert!(
                    last.is_none_or(|&(last, start)| last < epoch && start < base),
                    "epoch {epoch} at {base} after {last:?}"
                );
                self.starts.push((epoch, base));
            }
        }
    }

    /// The epoch of the last message.
    pub fn last(&self) -> Option<Epoch> {
        self.starts.last().map(|&(epoch, _)| epoch)
    }

    /// The epoch of the message at `offset`, which must be below the log's end.
    pub fn at(&self, offset: Offset) -> Option<Epoch> {
        let after = self.starts.partition_point(|&(_, start)| start <= offset);
        Some(self.starts[after.checked_sub(1)?].0)
    }

    /// All epochs with their first offsets, for checkpoints.
    pub fn iter(&self) -> impl Iterator<Item = (Epoch, Offset)> + '_ {
        self.starts.iter().copied()
    }

    /// Forgets what lies at `to` and beyond.
    fn truncate(&mut self, to: Offset) {
        self.starts.retain(|&(_, start)| start < to);
    }

    /// Forgets epochs that ended before the message just below `start`: that one's epoch is what a
    /// replica that ends at `start` is compared by.
    fn trim(&mut self, start: Offset) {
        let kept = self.starts.partition_point(|&(_, first)| first < start);
        self.starts.drain(..kept.saturating_sub(1));
    }
}

/// A topic's log as far as replication needs it: where it begins and ends, and its epochs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicLog {
    start: Offset,
    end: Offset,
    epochs: EpochTable,
}

impl Default for TopicLog {
    fn default() -> Self {
        TopicLog::starting_at(Offset::FIRST)
    }
}

impl TopicLog {
    /// An empty log that begins at `start`.
    pub fn starting_at(start: Offset) -> Self {
        TopicLog {
            start,
            end: start,
            epochs: EpochTable::default(),
        }
    }

    /// The log as a journal has kept it.
    pub fn new(start: Offset, end: Offset, epochs: EpochTable) -> Self {
        assert!(start <= end, "a log ends before it begins");
        TopicLog { start, end, epochs }
    }

    /// Earliest kept offset.
    pub fn start(&self) -> Offset {
        self.start
    }

    /// One past the last offset.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Whether it holds no message.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Its epochs.
    pub fn epochs(&self) -> &EpochTable {
        &self.epochs
    }

    /// Messages of `epoch` are appended up to `end`.
    pub fn append(&mut self, epoch: Epoch, end: Offset) {
        assert!(end > self.end, "an append that does not lengthen the log");
        self.epochs.note(epoch, self.end);
        self.end = end;
    }

    /// Drops what lies at `to` and beyond.
    pub fn truncate(&mut self, to: Offset) {
        assert!(self.start <= to && to <= self.end, "{to} is not in the log");
        self.end = to;
        self.epochs.truncate(to);
    }

    /// Drops what lies below `start`.
    pub fn trim(&mut self, start: Offset) {
        let start = start.min(self.end);
        if start > self.start {
            self.start = start;
            self.epochs.trim(start);
        }
    }

    /// What a host tells a replica whose last message is of epoch `asked`: the largest epoch not above
    /// it that this log has, and where that one ends here. `None`: the two have nothing in common.
    pub fn common(&self, asked: Option<Epoch>) -> Option<(Epoch, Offset)> {
        let asked = asked?;
        let starts = &self.epochs.starts;
        let after = starts.partition_point(|&(epoch, _)| epoch <= asked);
        let (epoch, _) = starts[after.checked_sub(1)?];
        Some((
            epoch,
            starts.get(after).map_or(self.end, |&(_, start)| start),
        ))
    }

    /// Where this log is to be cut by what its host said, and whether the two are equal up to there;
    /// if not, the replica asks again with what is left.
    pub fn cut(&self, (epoch, end): (Epoch, Offset)) -> (Offset, bool) {
        let starts = &self.epochs.starts;
        let after = starts.partition_point(|&(own, _)| own <= epoch);
        let above = starts.get(after).map_or(self.end, |&(_, start)| start);
        let same = after.checked_sub(1).map(|at| starts[at].0) == Some(epoch);
        match same {
            true => (above.min(end), true),
            // Nothing is left that could differ.
            false => (above, above == Offset::FIRST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(grant: u32) -> Epoch {
        Epoch {
            grant,
            incarnation: 1,
        }
    }

    /// A log from (epoch, end) pairs.
    fn log(parts: &[(u32, u64)]) -> TopicLog {
        let mut log = TopicLog::default();
        for &(grant, end) in parts {
            log.append(epoch(grant), Offset(end));
        }
        log
    }

    /// Both ends of the protocol, until equal; how many questions it took.
    fn reconcile(replica: &mut TopicLog, host: &TopicLog) -> u32 {
        for asked in 1.. {
            let Some(common) = host.common(replica.epochs().last()) else {
                replica.truncate(replica.start());
                return asked;
            };
            let (to, equal) = replica.cut(common);
            replica.truncate(to);
            if equal {
                return asked;
            }
        }
        unreachable!()
    }

    #[test]
    fn a_replica_is_cut_to_the_end_of_the_largest_common_epoch() {
        let host = log(&[(1, 4), (3, 9)]);
        for (parts, end, questions) in [
            (&[(1, 4), (3, 7)][..], 7, 1),
            (&[(1, 4), (3, 9)], 9, 1),
            (&[(1, 6)], 4, 1),
            (&[(1, 5), (2, 7)], 4, 1),
            (&[(1, 3)], 3, 1),
            (&[(2, 3)], 1, 1),
        ] {
            let mut replica = log(parts);
            assert_eq!(reconcile(&mut replica, &host), questions, "{parts:?}");
            assert_eq!(replica.end(), Offset(end), "{parts:?}");
        }
    }

    #[test]
    fn it_asks_until_an_epoch_is_equal() {
        // KIP-279: both have epochs that the other has not.
        let host = log(&[(1, 3), (2, 6), (4, 9)]);
        let mut replica = log(&[(1, 5), (3, 8)]);
        assert_eq!(reconcile(&mut replica, &host), 2);
        assert_eq!(replica.end(), Offset(3));
    }

    #[test]
    fn a_trimmed_log_still_knows_the_epoch_below_its_start() {
        let mut host = log(&[(1, 4), (2, 6), (3, 9)]);
        host.trim(Offset(6));
        assert_eq!(host.epochs().iter().count(), 2);
        assert_eq!(host.common(Some(epoch(2))), Some((epoch(2), Offset(6))));
        assert_eq!(host.common(Some(epoch(1))), None);
        assert_eq!(host.epochs().at(Offset(5)), Some(epoch(2)));
        host.trim(Offset(99));
        assert_eq!((host.start(), host.end()), (Offset(9), Offset(9)));
        assert_eq!(host.common(Some(epoch(3))), Some((epoch(3), Offset(9))));
    }
}
