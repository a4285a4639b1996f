//! What a publisher's handle, its task and the readers of its links have in common: the core behind a
//! lock. A message goes straight into its batch, and an answer straight to those who wait for it; the
//! task, woken once for all that has gathered, then does what is due.
//!
//! Nobody is answered under the lock, and nothing is awaited.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::account::Account;
use super::core::{Answer, Core, Effect, Event, Moment};
use super::shell::Input;
use super::waiters::{Waiter, Waiters};
use crate::client::ClientError;
use crate::clock;
use crate::types::TopicName;
use crate::wire::batch::Record;

/// See the module.
pub(super) struct Shared {
    /// `None` once the task is gone.
    state: Mutex<Option<Box<State>>>,
    work: Arc<Notify>,
    /// Bytes that messages may still take.
    pub(super) room: Semaphore,
}

/// What is behind the lock.
pub(super) struct State {
    pub(super) core: Core<Waiters>,
    pub(super) account: Account,
    /// What only the task can take.
    pub(super) inputs: Vec<Input>,
    /// What the task is to do.
    pub(super) effects: Vec<Effect<Waiters>>,
    /// Whether the task has been told that there is something.
    pub(super) is_woken: bool,
    work: Arc<Notify>,
}

/// Without the state there is nothing for the task to do but to end.
impl Drop for State {
    fn drop(&mut self) {
        self.work.notify_one();
    }
}

/// What was answered, for the account.
#[derive(Default)]
pub(super) struct Answered {
    /// One for each batch.
    generations: Vec<u64>,
    failure: Option<ClientError>,
}

impl Shared {
    pub(super) fn new(core: Core<Waiters>, room: usize) -> Self {
        let work = Arc::new(Notify::new());
        let state = State {
            core,
            account: Account::new(),
            inputs: Vec::new(),
            effects: Vec::new(),
            is_woken: false,
            work: Arc::clone(&work),
        };
        Shared {
            state: Mutex::new(Some(Box::new(state))),
            work,
            room: Semaphore::new(room),
        }
    }

    /// Does something with the state; `None`: it is gone. What panics takes it along, so that nobody
    /// is left waiting for what will not come.
    pub(super) fn with<T>(&self, step: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut place = self.state.lock();
        let mut state = place.take()?;
        let done = step(&mut state);
        *place = Some(state);
        Some(done)
    }

    /// As [`Shared::with`]; afterwards, the task looks what there is to do.
    pub(super) fn wake<T>(&self, step: impl FnOnce(&mut State) -> T) -> Option<T> {
        let (done, is_woken) = self.with(|state| {
            let done = step(state);
            (done, std::mem::replace(&mut state.is_woken, true))
        })?;
        if !is_woken {
            self.work.notify_one();
        }
        Some(done)
    }

    /// Waits until the task is woken. Cancellation safe.
    pub(super) async fn woken(&self) {
        self.work.notified().await;
    }

    /// Gathers a message; `None`: the task is gone.
    pub(super) fn send(
        &self,
        topic: &TopicName,
        record: &Record<'_>,
        bytes: u32,
    ) -> Option<Waiter> {
        let now = clock::mono_now();
        self.wake(|state| {
            let waiters = state.core.send(topic, record, now, &mut rand::rng());
            if waiters.is_empty() {
                waiters.generation = state.account.begun();
            }
            waiters.add(bytes)
        })
    }

    /// Hands something to the task; drops it if that is gone.
    pub(super) fn push(&self, input: Input) {
        self.wake(|state| state.inputs.push(input));
    }

    /// Takes what came on a stream, as long as there is more, and answers those who wait for it.
    pub(super) fn take<E>(
        &self,
        mut next: impl FnMut() -> Result<Option<Event>, E>,
    ) -> Result<(), E> {
        let mut answers = Vec::new();
        let read = self.with(|state| {
            let mut random = rand::rng();
            let mut moment = Moment {
                now: clock::mono_now(),
                wall: clock::wall_now(),
                random: &mut random,
            };
            let read = loop {
                match next() {
                    Ok(Some(event)) => {
                        let effects = &mut state.effects;
                        state.core.handle(event, &mut moment, effects);
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            let is_answer = |effect: &mut _| matches!(effect, Effect::Answered { .. });
            answers.extend(state.effects.extract_if(.., is_answer));
            read
        });
        let mut answered = Answered::default();
        for effect in answers {
            if let Effect::Answered { waiters, answer } = effect {
                self.answer(waiters, answer, &mut answered);
            }
        }
        // Last, so that what is sent upon these answers goes with what the task does now.
        self.wake(|state| state.note(&mut answered));
        read.unwrap_or(Ok(()))
    }

    /// Gives an answer to those who wait for it; [`State::note`] must hear of it.
    pub(super) fn answer(&self, waiters: Waiters, answer: Answer, answered: &mut Answered) {
        answered.generations.push(waiters.generation);
        if let (Err(error), None) = (&answer, &answered.failure) {
            answered.failure = Some(error.clone());
        }
        self.room.add_permits(waiters.bytes);
        waiters.answer(answer);
    }

    /// Answers the flushes for which everything is answered.
    pub(super) fn settle(&self) {
        let due = || self.with(|state| state.account.due()).flatten();
        while let Some((flushed, result)) = due() {
            if let Err(Err(failure)) = flushed.send(result) {
                // Nobody waits any more: the next flush tells.
                self.with(|state| state.account.failed(&failure));
            }
        }
    }

    /// The task is gone: nobody is left waiting.
    pub(super) fn end(&self) {
        self.room.close();
        let state = self.state.lock().take();
        // Outside of the lock: those who wait wake.
        drop(state);
    }
}

impl State {
    /// What was answered counts as such only now, so that a flush comes after the answers it waits for.
    pub(super) fn note(&mut self, answered: &mut Answered) {
        for generation in answered.generations.drain(..) {
            self.account.answered(generation);
        }
        if let Some(failure) = answered.failure.take() {
            self.account.failed(&failure);
        }
    }
}
