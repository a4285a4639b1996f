//! Which epoch wrote which stretch of a topic's log. Pure.
//!
//! The same as [`EpochTable`], for tables of very many topics: most logs are of one epoch, and such a one
//! takes no memory of its own. And it bears logs that damage has torn: what would not ascend is left out.

use crate::replication::epochs::EpochTable;
use crate::types::{Epoch, Offset};

/// The first offset of each epoch in a log, ascending in both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Epochs {
    earlier: Vec<(Epoch, Offset)>,
    last: Option<(Epoch, Offset)>,
}

impl Epochs {
    /// A batch of this epoch begins at `base`.
    pub(super) fn note(&mut self, epoch: Epoch, base: Offset) {
        match self.last {
            Some((last, start)) if epoch <= last || base <= start => {}
            last => {
                self.earlier.extend(last);
                self.last = Some((epoch, base));
            }
        }
    }

    /// The epoch of the last message.
    pub(super) fn last(&self) -> Option<Epoch> {
        self.last.map(|(epoch, _)| epoch)
    }

    /// Forgets what lies at `to` and beyond.
    pub(super) fn truncate(&mut self, to: Offset) {
        while self.last.is_some_and(|(_, start)| start >= to) {
            self.last = self.earlier.pop();
        }
    }

    /// Forgets epochs that ended before the message just below `start`: that one's epoch is what a
    /// copy that ends at `start` is compared by.
    pub(super) fn trim(&mut self, start: Offset) {
        let Some((_, last)) = self.last else {
            return;
        };
        if last < start {
            self.earlier = Vec::new();
            return;
        }
        let below = self.earlier.partition_point(|(_, first)| *first < start);
        self.earlier.drain(..below.saturating_sub(1));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.earlier.len() + usize::from(self.last.is_some())
    }

    /// All epochs with their first offsets.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Epoch, Offset)> + '_ {
        self.earlier.iter().copied().chain(self.last)
    }

    /// As the machines of replication have it.
    pub(super) fn table(&self) -> EpochTable {
        let mut table = EpochTable::default();
        for (epoch, start) in self.iter() {
            table.note(epoch, start);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::replication::epochs::TopicLog;

    fn epoch(grant: u32) -> Epoch {
        Epoch {
            grant,
            incarnation: 1,
        }
    }

    proptest! {
        /// Whatever is done to both, it stays what the machines' own table is.
        #[test]
        fn it_is_the_table_of_the_machines(
            acts in prop::collection::vec((0..4u8, 0..3u32, 0..9u64), 0..60)
        ) {
            let mut log = TopicLog::default();
            let mut epochs = Epochs::default();
            let mut grant = 0;
            for (what, more, by) in acts {
                let (start, end) = (log.start(), log.end());
                match what {
                    0 | 1 => {
                        grant = log.epochs().last().map_or(0, |last| last.grant).max(grant) + more;
                        log.append(epoch(grant), end.plus(by + 1));
                        epochs.note(epoch(grant), end);
                    }
                    2 => {
                        let to = Offset(end.0.saturating_sub(by).max(start.0));
                        log.truncate(to);
                        epochs.truncate(to);
                    }
                    _ => {
                        let start = start.plus(by).min(end);
                        log.trim(start);
                        if start > Offset::FIRST {
                            epochs.trim(start);
                        }
                    }
                }
                let kept: Vec<_> = epochs.iter().collect();
                prop_assert_eq!(kept, log.epochs().iter().collect::<Vec<_>>());
                prop_assert_eq!(epochs.last(), log.epochs().last());
                prop_assert_eq!(epochs.len(), log.epochs().iter().count());
                prop_assert_eq!(&epochs.table(), log.epochs());
            }
        }
    }

    #[test]
    fn what_does_not_ascend_is_left_out() {
        let mut epochs = Epochs::default();
        epochs.note(epoch(2), Offset(5));
        epochs.note(epoch(1), Offset(7));
        epochs.note(epoch(3), Offset(5));
        assert_eq!(epochs.iter().collect::<Vec<_>>(), [(epoch(2), Offset(5))]);
        epochs.truncate(Offset(5));
        assert_eq!(epochs, Epochs::default());
    }
}
