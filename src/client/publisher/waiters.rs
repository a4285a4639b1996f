//! Those who wait for the messages of one batch. All of a batch are answered at once, so there is one
//! answer, of which each makes its own: a message that nobody waits for costs nothing here.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::Receipt;
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
            self.settle(Err(Box::new(ClientError::Closed)));
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
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Receipt, ClientError>> {
        // Then it is answered, and nobody else can ask for it.
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
    fn own(&self, answer: Answer) -> Result<Receipt, ClientError> {
        let mut receipt = answer.map_err(|error| *error)?;
        // What is held has no offset yet.
        if receipt.held.is_none() {
            receipt.offset = receipt.offset.plus(u64::from(self.index));
        }
        Ok(receipt)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::types::{Epoch, Fingerprint, Offset, PeerName, TopicName, UnixMicros};
    use crate::wire::index::HostAddress;
    use crate::wire::index::copies::HeldInfo;
    use crate::wire::peer::Achieved;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn receipt(offset: u64, held: Option<HeldInfo>) -> Answer {
        Ok(Receipt {
            topic: TopicName::new("T").unwrap(),
            offset: Offset(offset),
            epoch: Epoch::from_u64(1),
            duplicate: false,
            achieved: Achieved { durable: 1, of: 1 },
            peers: Arc::from([]),
            host: Arc::new(HostAddress {
                fingerprint: Fingerprint([1; 32]),
                name: PeerName::new("1").unwrap(),
                addresses: vec![],
                live: true,
            }),
            held,
        })
    }

    fn poll(waiter: &mut Waiter, woken: &Arc<Woken>) -> Poll<Result<Receipt, ClientError>> {
        let waker = Waker::from(Arc::clone(woken));
        waiter.poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn each_makes_its_own_answer_of_one_and_is_woken_once() {
        let mut batch = Waiters::default();
        let mut waiters: Vec<_> = (0..4).map(|_| batch.add(10)).collect();
        assert_eq!(batch.bytes, 40);
        // Nobody waits for one of them.
        drop(waiters.remove(1));
        let woken: Vec<Arc<Woken>> = (0..3).map(|_| Arc::default()).collect();
        for _ in 0..2 {
            for (waiter, woken) in waiters.iter_mut().zip(&woken) {
                assert!(poll(waiter, woken).is_pending());
            }
        }
        // The task that waits may be another one in the end.
        let last = Arc::default();
        assert!(poll(&mut waiters[2], &last).is_pending());
        batch.answer(receipt(7, None));
        let counts = woken.iter().chain([&last]);
        let counts: Vec<_> = counts
            .map(|woken| woken.0.load(Ordering::Relaxed))
            .collect();
        assert_eq!(counts, [1, 1, 0, 1]);
        let answers = waiters
            .into_iter()
            .map(|mut waiter| poll(&mut waiter, &last));
        let offsets: Vec<_> = answers
            .map(|answer| match answer {
                Poll::Ready(Ok(receipt)) => receipt.offset.0,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(offsets, [7, 9, 10]);
    }

    #[test]
    fn what_is_held_has_no_offset() {
        let mut batch = Waiters::default();
        let (_, mut second) = (batch.add(1), batch.add(1));
        let held = HeldInfo {
            messages: 2,
            bytes: 2,
            since: UnixMicros(0),
        };
        batch.answer(receipt(0, Some(held)));
        let Poll::Ready(Ok(receipt)) = poll(&mut second, &Arc::default()) else {
            panic!("answered");
        };
        assert_eq!((receipt.offset, receipt.held), (Offset(0), Some(held)));
    }

    #[test]
    fn a_batch_that_is_dropped_answers_that_all_is_closed() {
        let mut batch = Waiters::default();
        let (mut asked, mut other) = (batch.add(1), batch.add(1));
        let woken = Arc::default();
        assert!(poll(&mut asked, &woken).is_pending());
        drop(batch);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        for waiter in [&mut asked, &mut other] {
            let answer = poll(waiter, &woken);
            assert!(matches!(answer, Poll::Ready(Err(ClientError::Closed))));
        }
    }
}
