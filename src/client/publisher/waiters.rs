//! Those who wait for the messages of one batch. All of a batch are answered at once, so there is one
//! answer, of which each makes its own: a message that nobody waits for costs nothing here.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::core::Answer;
use crate::client::ClientError;

/// Where the answer will be.
#[derive(Debug, Default)]
struct Place {
    /// As the first message of the batch is answered.
    answer: Option<Answer>,
    /// Most batches that somebody waits for have one message.
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Place {
    /// Notes who waits, over its earlier note; says where.
    fn note(&mut self, at: Option<usize>, waker: &Waker) -> usize {
        let at = at.unwrap_or_else(|| usize::from(self.first.is_some()) + self.more.len());
        let known = match at.checked_sub(1) {
            None => self.first.as_mut(),
            Some(at) => self.more.get_mut(at),
        };
        match known {
            Some(known) => known.clone_from(waker),
            None if at == 0 => self.first = Some(waker.clone()),
            None => self.more.push(waker.clone()),
        }
        at
    }
}

/// The end that answers: all that waits for one batch. Dropped, it answers [`ClientError::Closed`].
pub(super) struct Waiters {
    /// `None` once answered.
    place: Option<Arc<Mutex<Place>>>,
    messages: u32,
    /// Permits of the buffer.
    pub(super) bytes: usize,
    /// Which flush waits for it.
    pub(super) generation: u64,
}

impl Default for Waiters {
    fn default() -> Self {
        Waiters {
            place: Some(Arc::default()),
            messages: 0,
            bytes: 0,
            generation: 0,
        }
    }
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// For the next message of the batch.
    pub(super) fn add(&mut self, bytes: u32) -> Waiter {
        let waiter = Waiter {
            // There is one until it is answered, and that takes this end away.
            place: self.place.clone().unwrap_or_default(),
            index: self.messages,
            noted: None,
        };
        self.messages += 1;
        self.bytes += bytes as usize;
        waiter
    }

    /// Answers all. For each, the offset is counted on from the first one's.
    pub(super) fn answer(mut self, answer: Answer) {
        self.settle(answer);
    }

    fn settle(&mut self, answer: Answer) {
        let Some(place) = self.place.take() else {
            return;
        };
        let (first, more) = {
            let mut place = place.lock();
            place.answer = Some(answer);
            (place.first.take(), std::mem::take(&mut place.more))
        };
        // Before they wake: who finds itself alone with the answer need not copy it.
        drop(place);
        first.into_iter().chain(more).for_each(Waker::wake);
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.settle(Err(ClientError::Closed));
        }
    }
}

/// The end of one message.
#[derive(Debug)]
pub(super) struct Waiter {
    place: Arc<Mutex<Place>>,
    /// The message's place in its batch.
    index: u32,
    /// Where its waker is.
    noted: Option<usize>,
}

impl Waiter {
    /// The answer, once: it may be taken away.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        let is_last = Arc::strong_count(&self.place) == 1;
        let mut place = self.place.lock();
        let answer = match is_last {
            true => place.answer.take(),
            false => place.answer.clone(),
        };
        match answer {
            Some(answer) => Poll::Ready(self.own(answer)),
            None => {
                self.noted = Some(place.note(self.noted, context.waker()));
                Poll::Pending
            }
        }
    }

    /// What the first one's answer is for this one.
    fn own(&self, answer: Answer) -> Answer {
        let mut receipt = answer?;
        // What is held has no offset yet.
        if receipt.held.is_none() {
            receipt.offset = receipt.offset.plus(u64::from(self.index));
        }
        Ok(receipt)
    }
}
