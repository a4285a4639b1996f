//! The thread that owns changes: it takes all that is queued, decides it over the published
//! directory and an overlay, commits once, applies, and only then lets effects happen and answers.
//!
//! Guarantees: whatever was answered, refusals included, rests on committed state. A conflict drops
//! the overlay and decides again; a failed commit is fatal, for nobody knows what the store holds.

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

use super::decide::{Answer, Decision, Effect, Event, Overlay, decide};
use super::directory::Directory;
use super::load::load;
use super::record::Change;
use super::store::{CommitError, Revision, Store, StoreError, Watched};
use crate::types::UnixMicros;
use crate::wire::{ErrorCode, ErrorReply};
use crate::{clock, limits};

/// Conflicts in a row after which something is wrong with the store.
const CONFLICTS: u32 = 64;

/// Why the decider stopped though nobody asked it to. The process must end.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The store failed: what it holds is only known after loading again.
    #[error("the index's store failed")]
    Store(#[from] StoreError),
    /// Every commit meets a conflict.
    #[error("{CONFLICTS} commits in a row met conflicts")]
    Conflicts,
    /// An invariant does not hold.
    #[error("the index's decider met a broken invariant; the log says which")]
    Broken,
}

/// What the decider tells the outside.
pub trait Outcomes: Send + 'static {
    /// Effects of one commit, which is durable and applied.
    fn happened(&mut self, effects: Vec<Effect>);
    /// The decider has stopped for good; called at most once, and nothing after it.
    fn failed(&mut self, why: Fatal);
}

/// What comes through the queue.
enum Message {
    Ask(Queued),
    /// Everything queued before is decided, nothing after.
    Stop,
}

struct Queued {
    event: Event,
    answer: oneshot::Sender<Result<Answer, ErrorReply>>,
}

/// Hands events to the decider.
#[derive(Debug, Clone)]
pub struct Deciding {
    queue: mpsc::Sender<Message>,
}

fn stopping() -> ErrorReply {
    ErrorReply::new(
        ErrorCode::ShuttingDown,
        "the index is stopping; try again later",
    )
}

impl Deciding {
    /// Has an event decided; the answer comes once it is durable.
    pub async fn decide(&self, event: Event) -> Result<Answer, ErrorReply> {
        let (answer, answered) = oneshot::channel();
        let sent = self
            .queue
            .send(Message::Ask(Queued { event, answer }))
            .await;
        sent.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }

    /// Ends the decider once it has done what was queued before.
    pub async fn stop(&self) {
        // It may have ended already.
        let _ = self.queue.send(Message::Stop).await;
    }
}

/// A running decider. It ends by [`Deciding::stop`] or when every [`Deciding`] is gone, after all
/// that was queued and the reports not yet written.
pub fn start(
    directory: Arc<RwLock<Directory>>,
    store: Arc<dyn Store>,
    revision: Revision,
    outcomes: impl Outcomes,
) -> std::io::Result<(Deciding, JoinHandle<()>)> {
    let (queue, queued) = mpsc::channel(limits::DECISIONS_QUEUED);
    let next_pass = directory.read().counters().passes;
    let decider = Decider {
        directory,
        store,
        revision,
        next_pass,
        queued,
        held_back: None,
    };
    let thread = std::thread::Builder::new().name("index-decider".into());
    let thread = thread.spawn(move || run(decider, outcomes))?;
    Ok((Deciding { queue }, thread))
}

/// Tells of a panic on the way out.
struct Watch<O: Outcomes>(O);

impl<O: Outcomes> Drop for Watch<O> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed(Fatal::Broken);
        }
    }
}

fn run(mut decider: Decider, outcomes: impl Outcomes) {
    let mut watch = Watch(outcomes);
    while let Some(first) = decider.next() {
        if let Err(why) = decider.commit_with(first, &mut watch.0) {
            watch.0.failed(why);
            return;
        }
    }
    if let Err(why) = decider.write_all_reports() {
        watch.0.failed(why);
    }
}

struct Decider {
    directory: Arc<RwLock<Directory>>,
    store: Arc<dyn Store>,
    revision: Revision,
    next_pass: u64,
    queued: mpsc::Receiver<Message>,
    /// An event that must be decided alone and came while others were decided.
    held_back: Option<Queued>,
}

/// A commit in the making.
#[derive(Default)]
struct Batch {
    queued: Vec<Queued>,
    decisions: Vec<Decision>,
    /// Reports, which are no decisions.
    reports: Vec<Change>,
    overlay: Overlay,
    changes: usize,
}

impl Batch {
    fn decide(&mut self, directory: &Directory, now: UnixMicros, queued: Queued) {
        let decision = decide(directory, &mut self.overlay, &queued.event, now);
        self.changes += decision.changes.len();
        self.decisions.push(decision);
        self.queued.push(queued);
    }

    fn is_full(&self) -> bool {
        self.queued.len() >= limits::DECISIONS_PER_COMMIT
            || self.changes >= limits::CHANGES_PER_COMMIT
    }

    /// All changes; reports first, so that a topic deleted by a decision takes its report along.
    fn all_changes(&self) -> Vec<Change> {
        let decided = self.decisions.iter().flat_map(|decision| &decision.changes);
        self.reports.iter().chain(decided).cloned().collect()
    }
}

impl Decider {
    fn next(&mut self) -> Option<Queued> {
        match self.held_back.take() {
            Some(queued) => Some(queued),
            None => match self.queued.blocking_recv()? {
                Message::Ask(queued) => Some(queued),
                Message::Stop => self.refuse_more(),
            },
        }
    }

    fn refuse_more(&mut self) -> Option<Queued> {
        self.queued.close();
        None
    }

    fn commit_with(&mut self, first: Queued, outcomes: &mut impl Outcomes) -> Result<(), Fatal> {
        let mut batch = self.take_batch(first);
        let mut conflicts = 0;
        let changes = loop {
            let changes = batch.all_changes();
            if changes.is_empty() {
                break changes;
            }
            match self.store.commit(&batch.overlay.expected(), &changes) {
                Ok(revision) => {
                    self.revision = revision;
                    break changes;
                }
                Err(CommitError::Store(error)) => return Err(error.into()),
                Err(CommitError::Conflict { table }) => {
                    tracing::warn!(target: "waypost::index", table, "a commit met a conflict; deciding again");
                    conflicts += 1;
                    if conflicts == CONFLICTS {
                        return Err(Fatal::Conflicts);
                    }
                    self.catch_up()?;
                    self.decide_again(&mut batch);
                }
            }
        };
        apply(&self.directory, &changes);
        let mut effects = Vec::new();
        let mut answers = Vec::with_capacity(batch.queued.len());
        for (decision, queued) in batch.decisions.into_iter().zip(batch.queued) {
            effects.extend(decision.effects);
            answers.push((queued.answer, decision.answer));
        }
        outcomes.happened(effects);
        for (requester, answer) in answers {
            // Whoever has gone away meanwhile needs no answer.
            let _ = requester.send(answer);
        }
        Ok(())
    }

    /// Decides the first event and all that is queued behind it, as far as one commit goes.
    fn take_batch(&mut self, mut first: Queued) -> Batch {
        let mut batch = Batch {
            reports: self.reports_for(&first.event),
            ..Batch::default()
        };
        let now = clock::wall_now();
        self.number_pass(&mut first.event);
        let alone = first.event.stands_alone();
        let directory = Arc::clone(&self.directory);
        let directory = directory.read();
        batch.decide(&directory, now, first);
        while !alone && !batch.is_full() {
            let mut queued = match self.queued.try_recv() {
                Ok(Message::Ask(queued)) => queued,
                Ok(Message::Stop) => {
                    // This batch is the last one.
                    self.queued.close();
                    break;
                }
                Err(_) => break,
            };
            // Reports are collected before all decisions, so that event starts a commit too.
            if queued.event.stands_alone() || queued.event == Event::FlushReports {
                self.held_back = Some(queued);
                break;
            }
            self.number_pass(&mut queued.event);
            batch.decide(&directory, now, queued);
        }
        batch
    }

    fn reports_for(&self, event: &Event) -> Vec<Change> {
        if *event != Event::FlushReports {
            return Vec::new();
        }
        self.directory
            .read()
            .take_unwritten_reports(limits::CHANGES_PER_COMMIT)
    }

    /// Each pass gets a number of its own; numbers of refused registrations are left out.
    fn number_pass(&mut self, event: &mut Event) {
        if let Event::Register { serial, .. } = event {
            *serial = self.next_pass;
            self.next_pass += 1;
        }
    }

    fn decide_again(&mut self, batch: &mut Batch) {
        let queued = std::mem::take(&mut batch.queued);
        let reports = std::mem::take(&mut batch.reports);
        let now = clock::wall_now();
        *batch = Batch {
            reports,
            ..Batch::default()
        };
        let directory = self.directory.read();
        for queued in queued {
            batch.decide(&directory, now, queued);
        }
    }

    /// Takes in what another index has committed.
    fn catch_up(&mut self) -> Result<(), Fatal> {
        match self.store.watch(self.revision)? {
            Watched::Changes(revision, changes) => {
                apply(&self.directory, &changes);
                self.revision = revision;
            }
            Watched::Forgotten => {
                let (mut fresh, revision) = load(&*self.store)?;
                self.revision = revision;
                let mut published = self.directory.write();
                fresh.keep_volatile(&published);
                *published = fresh;
            }
        }
        Ok(())
    }

    fn write_all_reports(&mut self) -> Result<(), Fatal> {
        loop {
            let reports = self.reports_for(&Event::FlushReports);
            if reports.is_empty() {
                return Ok(());
            }
            match self.store.commit(&[], &reports) {
                Ok(revision) => self.revision = revision,
                Err(CommitError::Store(error)) => return Err(error.into()),
                // Nothing was expected of the store.
                Err(CommitError::Conflict { .. }) => return Err(Fatal::Conflicts),
            }
        }
    }
}

/// Applies committed changes in parts, so that readers wait for microseconds.
fn apply(directory: &RwLock<Directory>, changes: &[Change]) {
    for part in changes.chunks(limits::CHANGES_PER_LOCK) {
        let mut directory = directory.write();
        part.iter().for_each(|change| directory.apply(change));
    }
}

#[cfg(test)]
mod tests;
