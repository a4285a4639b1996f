//! The account that `flush` waits on: unanswered batches by the flush that covers them. All messages of
//! a batch are answered at once, so it does not matter if some of them were sent after the flush.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::client::ClientError;

/// What a flush answers: the first failure since the last one.
pub(super) type Flushed = Result<(), ClientError>;

/// Counts unanswered batches by the flush that waits for them.
pub(super) struct Account {
    /// Unanswered batches per generation; each flush ends one.
    unanswered: VecDeque<u64>,
    /// Number of the first generation in `unanswered`.
    first: u64,
    flushes: VecDeque<oneshot::Sender<Flushed>>,
    failure: Option<ClientError>,
}

impl Account {
    pub(super) fn new() -> Self {
        Account {
            unanswered: VecDeque::from([0]),
            first: 0,
            flushes: VecDeque::new(),
            failure: None,
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.unanswered.iter().all(|&count| count == 0)
    }

    /// A batch begins to gather: its generation.
    pub(super) fn begun(&mut self) -> u64 {
        let last = self.unanswered.len() - 1;
        self.unanswered[last] += 1;
        self.first + last as u64
    }

    pub(super) fn answered(&mut self, generation: u64) {
        self.unanswered[(generation - self.first) as usize] -= 1;
    }

    pub(super) fn failed(&mut self, error: &ClientError) {
        self.failure.get_or_insert_with(|| error.clone());
    }

    pub(super) fn flush(&mut self, flushed: oneshot::Sender<Flushed>) {
        self.flushes.push_back(flushed);
        self.unanswered.push_back(0);
    }

    /// The next flush for which everything is answered, and its answer. A failure that it cannot be
    /// told is to be handed back.
    pub(super) fn due(&mut self) -> Option<(oneshot::Sender<Flushed>, Flushed)> {
        if self.unanswered.len() == 1 || self.unanswered[0] > 0 {
            return None;
        }
        self.unanswered.pop_front();
        self.first += 1;
        let flushed = self.flushes.pop_front()?;
        Some((flushed, self.failure.take().map_or(Ok(()), Err)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(account: &mut Account) {
        while let Some((flushed, result)) = account.due() {
            if let Err(Err(failure)) = flushed.send(result) {
                account.failed(&failure);
            }
        }
    }

    #[test]
    fn a_flush_waits_for_what_was_sent_before_it_only() {
        let mut account = Account::new();
        let before = account.begun();
        let (flushed, mut done) = oneshot::channel();
        account.flush(flushed);
        let after = account.begun();
        settle(&mut account);
        assert!(done.try_recv().is_err());
        account.answered(before);
        settle(&mut account);
        assert!(done.try_recv().unwrap().is_ok());
        assert!(!account.is_settled());
        account.answered(after);
        assert!(account.is_settled());
    }

    #[test]
    fn a_failure_is_told_once_and_not_to_a_flush_that_was_cancelled() {
        let mut account = Account::new();
        account.failed(&ClientError::Closed);
        let (cancelled, _) = oneshot::channel();
        account.flush(cancelled);
        settle(&mut account);
        let flush = |account: &mut Account| {
            let (flushed, mut done) = oneshot::channel();
            account.flush(flushed);
            settle(account);
            done.try_recv().unwrap()
        };
        assert!(flush(&mut account).is_err());
        assert!(flush(&mut account).is_ok());
    }
}
