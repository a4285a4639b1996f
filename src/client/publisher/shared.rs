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

/// Answers on their way, kept for its memory, and what the account is to know of them.
#[derive(Default)]
pub(super) struct Answers {
    /// Answers to be given.
    effects: Vec<Effect<Waiters>>,
    /// One for each batch that is answered.
    generations: Vec<u64>,
    failure: Option<Box<ClientError>>,
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
        self.wake(|state| {
            let random = &mut rand::rng();
            let waiters = state.core.send(topic, record, clock::mono_now, random);
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
        answers: &mut Answers,
        mut next: impl FnMut() -> Result<Option<Event>, E>,
    ) -> Result<(), E> {
        let read = self.with(|state| {
            let read = state.handle(&mut next);
            let is_answer = |effect: &mut _| matches!(effect, Effect::Answered { .. });
            let taken = state.effects.extract_if(.., is_answer);
            answers.effects.extend(taken);
            read
        });
        let mut effects = std::mem::take(&mut answers.effects);
        for effect in effects.drain(..) {
            if let Effect::Answered { waiters, answer } = effect {
                self.answer(waiters, answer, answers);
            }
        }
        answers.effects = effects;
        // Last, so that what is sent upon these answers goes with what the task does now.
        self.wake(|state| state.note(answers));
        read.unwrap_or(Ok(()))
    }

    /// Gives an answer to those who wait for it; [`State::note`] must hear of it.
    pub(super) fn answer(&self, waiters: Waiters, answer: Answer, answers: &mut Answers) {
        answers.generations.push(waiters.generation);
        if let (Err(error), None) = (&answer, &answers.failure) {
            answers.failure = Some(error.clone());
        }
        self.room.add_permits(waiters.bytes);
        waiters.answer(answer);
    }

    /// Answers the flushes for which everything is answered; whether everything is.
    pub(super) fn settle(&self, answers: &mut Answers) -> bool {
        loop {
            let settled = self.with(|state| {
                state.note(answers);
                (state.account.is_settled(), state.account.due())
            });
            // Without the state, nothing is left to answer.
            let (is_settled, due) = settled.unwrap_or((true, None));
            let Some((flushed, result)) = due else {
                return is_settled;
            };
            if let Err(Err(failure)) = flushed.send(result) {
                // Nobody waits any more: the next flush tells.
                answers.failure.get_or_insert(Box::new(failure));
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
    fn handle<E>(&mut self, next: &mut impl FnMut() -> Result<Option<Event>, E>) -> Result<(), E> {
        let mut random = rand::rng();
        let mut moment = Moment {
            now: clock::mono_now(),
            wall: clock::wall_now(),
            random: &mut random,
        };
        while let Some(event) = next()? {
            self.core.handle(event, &mut moment, &mut self.effects);
        }
        Ok(())
    }

    /// What was answered counts as such only now, so that a flush comes after the answers it waits for.
    fn note(&mut self, answers: &mut Answers) {
        for generation in answers.generations.drain(..) {
            self.account.answered(generation);
        }
        if let Some(failure) = answers.failure.take() {
            self.account.failed(&failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::super::PublisherOptions;
    use super::super::rig::ME;
    use super::*;
    use crate::client::Message;

    fn shared() -> Shared {
        Shared::new(Core::new(ME, PublisherOptions::default()), 1000)
    }

    fn send(shared: &Shared) -> Option<Waiter> {
        let topic = TopicName::new("T").unwrap();
        shared.send(&topic, &Message::new("x").record(), 1)
    }

    #[tokio::test]
    async fn a_panic_leaves_nobody_waiting_and_ends_the_task() {
        let shared = shared();
        let mut waiter = send(&shared).unwrap();
        shared.woken().await;
        let panics = || shared.with(|_| panic!("as it should"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        let answer = std::future::poll_fn(|context| waiter.poll(context)).await;
        assert!(matches!(answer, Err(ClientError::Closed)));
        assert!(send(&shared).is_none());
        shared.woken().await;
        assert!(shared.with(|_| ()).is_none());
    }

    #[tokio::test]
    async fn what_gathers_wakes_the_task_once() {
        let shared = shared();
        let _waiters: Vec<_> = (0..3).map(|_| send(&shared)).collect();
        shared.woken().await;
        let again = tokio::time::timeout(std::time::Duration::ZERO, shared.woken()).await;
        assert!(again.is_err());
        shared.with(|state| state.is_woken = false);
        let _waiter = send(&shared);
        shared.woken().await;
    }
}
