//! What may be asked of the journal, what it answers, and how answers travel.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::dedupe::Range;
use super::table::{HostedTopic, KeptTopic, Position, PositionKey};
use crate::limits;
use crate::types::{BootId, Epoch, Incarnation, Offset, ProducerId, TopicId};
use crate::wire::batch::BatchError;

/// A change to the journal. Commands take effect in the order in which they were submitted.
#[derive(Debug, Clone)]
pub enum Command {
    /// Append a batch that `wire::batch::verify` has passed.
    Append {
        /// The topic.
        topic: TopicId,
        /// The epoch under which the sender believes this peer to host it.
        epoch: Epoch,
        /// The batch; its host fields are ignored and set anew.
        batch: Bytes,
    },
    /// Host a topic, or take its new settings. Refused under a grant that may be another peer's, see
    /// [`crate::replication::replica::may_host`].
    Host(HostedTopic),
    /// Keep a copy of a topic that another peer hosts, and know this epoch of it. This peer hosts it no
    /// more, should it have done so; the highest epoch known never falls.
    Known {
        /// The topic.
        topic: KeptTopic,
        /// An epoch of it; the default one where none is known.
        epoch: Epoch,
    },
    /// Append a batch of the topic's host, which `wire::batch::verify` has passed, as it is: base, epoch
    /// and append time are kept. It must begin at the end. Noted by the dedupe, not judged by it.
    Replicate {
        /// The topic, which this peer must not host.
        topic: TopicId,
        /// The batch.
        batch: Bytes,
    },
    /// Drop all messages at an offset and beyond, for the topic's host has others there.
    Truncate {
        /// The topic, which this peer must not host.
        topic: TopicId,
        /// The new end, where a batch begins; an offset beyond the end changes nothing.
        to: Offset,
    },
    /// Drop all messages, producers and positions of a topic; its log begins anew.
    Reset {
        /// The topic, which this peer must not host.
        topic: TopicId,
        /// The new start and end.
        start: Offset,
    },
    /// What the host remembers of producers below an offset, before batches from there on are taken.
    Dedupe {
        /// The topic, which this peer must not host.
        topic: TopicId,
        /// All of it was appended below.
        below: Offset,
        /// Forget first what is remembered: set on the first command of a table.
        first: bool,
        /// Runs of sequences, those of one producer in their order; at most
        /// [`limits::RANGES_PER_FRAME`].
        ranges: Vec<(ProducerId, Range)>,
    },
    /// Positions as the topic's host has them, whatever is known of them here.
    ReplicatePositions {
        /// The topic, which this peer must not host.
        topic: TopicId,
        /// At most [`limits::POSITIONS_PER_FRAME`].
        positions: Vec<(PositionKey, Position)>,
    },
    /// Erase a topic: its messages, its producers and its positions.
    Forget {
        /// The topic.
        topic: TopicId,
    },
    /// A session has begun with a new incarnation: the new epoch of every topic becomes durable.
    Boot {
        /// The incarnation, higher than any before.
        incarnation: Incarnation,
        /// This process.
        boot: BootId,
    },
    /// Move a subscriber's position.
    Position {
        /// The topic.
        topic: TopicId,
        /// Whose position.
        key: PositionKey,
        /// The offset that it wants next; clamped to what the topic holds.
        next: Offset,
        /// Its commit sequence; one that is not higher than the known one changes nothing.
        sequence: u64,
        /// Whether the position may go back.
        reset: bool,
    },
    /// Drop all messages below an offset. Where the offset lies inside a batch, that batch is still
    /// served, and clients trim it.
    Trim {
        /// The topic.
        topic: TopicId,
        /// The new start; clamped to what the topic holds.
        start: Offset,
    },
    /// Say whether other peers have, or may get, copies of a topic that this one hosts. Of one that is not
    /// shared all that is durable is committed, whatever the index may say later; a topic that is
    /// taken is not, unless this peer kept a copy before.
    Share {
        /// The topic.
        topic: TopicId,
        /// Whether.
        shared: bool,
    },
    /// The operator accepts what damage took: the topic is open again, and reads pass over holes.
    AcceptLoss {
        /// The topic.
        topic: TopicId,
    },
}

impl Command {
    /// What it counts in the bounded queue.
    pub fn cost(&self) -> usize {
        match self {
            Command::Append { batch, .. } | Command::Replicate { batch, .. } => {
                limits::COMMAND_BYTES + batch.len()
            }
            Command::Dedupe { ranges, .. } => {
                limits::COMMAND_BYTES + size_of_val(ranges.as_slice())
            }
            Command::ReplicatePositions { positions, .. } => {
                limits::COMMAND_BYTES * (1 + positions.len())
            }
            _ => limits::COMMAND_BYTES,
        }
    }
}

/// Where an append came to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The topic.
    pub topic: TopicId,
    /// Offset of the first message.
    pub base: Offset,
    /// Messages.
    pub count: u32,
    /// The topic's epoch.
    pub epoch: Epoch,
    /// The messages were there before.
    pub duplicate: bool,
}

/// The answer to a command. All of them are given only when what they say is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// To an append.
    Appended(Appended),
    /// To a command that has nothing to tell.
    Done,
    /// To a position: what holds now.
    Position(Position),
    /// Nothing was changed.
    Refused(Refusal),
    /// The journal has stopped. Whether the command took effect is not known.
    Stopped,
}

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such topic in this journal.
    #[error("this peer holds no such topic")]
    UnknownTopic,
    /// The sender knows another epoch.
    #[error("the topic's epoch is {current}")]
    StaleEpoch {
        /// The epoch that holds.
        current: Epoch,
    },
    /// This peer only keeps a copy of the topic.
    #[error("this peer keeps a copy of the topic and does not host it")]
    NotHosted,
    /// This peer hosts the topic: nobody else says what is in it.
    #[error("this peer hosts the topic itself")]
    Hosted,
    /// The grant is not above the known one, nor this peer's own: an index that was restored from a
    /// backup may have given it to another peer before.
    #[error("the topic was given to another peer: epoch {known} of it is known")]
    LowerGrant {
        /// The highest epoch known.
        known: Epoch,
    },
    /// A host's batch does not begin where the copy ends.
    #[error("a batch at {found} came where {expected} is next")]
    NotNext {
        /// The end of the copy.
        expected: Offset,
        /// Where the batch begins.
        found: Offset,
    },
    /// No session has begun since the process started.
    #[error("no session has begun since this peer started")]
    NotBooted,
    /// A new process came with an incarnation that is not higher than the last one.
    #[error("incarnation {found} was offered, but {known} has been used")]
    StaleBoot {
        /// Highest incarnation known.
        known: Incarnation,
        /// Incarnation offered.
        found: Incarnation,
    },
    /// The producer left out sequences, or overlaps what is stored.
    #[error("sequence {found} was sent where {expected} comes next")]
    SequenceGap {
        /// What comes next.
        expected: u64,
        /// What was sent.
        found: u64,
    },
    /// A sequence other than 0 from a producer that is not remembered.
    #[error("the producer is not known any more")]
    UnknownProducer,
    /// A sequence older than what is remembered of the producer.
    #[error("the sequence is older than what is remembered")]
    SequenceTooOld,
    /// The disk is full.
    #[error("the disk is full")]
    StorageFull,
    /// The subscriber has a position in too many groups of the topic.
    #[error("a subscriber has a position in at most {max} groups of a topic")]
    TooManyGroups {
        /// The bound.
        max: usize,
    },
    /// Messages of the topic were damaged, and how many there were cannot be proven.
    #[error("the end of the topic is damaged; `topic recover --accept-loss` opens it again")]
    Damaged,
    /// The batch was made for another topic.
    #[error("the batch is for topic {found}, not {expected}")]
    WrongTopic {
        /// Topic of the command.
        expected: TopicId,
        /// Topic in the batch.
        found: TopicId,
    },
    /// The bytes are no batch.
    #[error(transparent)]
    Corrupt(#[from] BatchError),
}

/// The journal has stopped: it was closed, or a write or sync failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal has stopped")]
pub struct Stopped;

/// Where an outcome goes.
#[derive(Debug)]
pub enum Done {
    /// To one waiting task.
    Oneshot(oneshot::Sender<Outcome>),
    /// To a queue, under a token of the submitter's.
    Queue(Arc<CompletionQueue>, u64),
    /// Nowhere.
    Ignore,
}

/// Outcomes for one reader, delivered a group at a time with one wake-up. It holds at most what its
/// reader has submitted and not yet taken, so the submitter bounds it.
#[derive(Debug, Default)]
pub struct CompletionQueue {
    outcomes: Mutex<Vec<(u64, Outcome)>>,
    notify: Notify,
}

impl CompletionQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until there is something and takes all of it. May be cancelled at any time; nothing
    /// is lost.
    pub async fn wait(&self) -> Vec<(u64, Outcome)> {
        loop {
            let taken = self.try_take();
            if !taken.is_empty() {
                return taken;
            }
            // A permit left by an earlier delivery makes this return at once; then the loop looks again.
            self.notify.notified().await;
        }
    }

    /// Takes what is there, perhaps nothing.
    pub fn try_take(&self) -> Vec<(u64, Outcome)> {
        std::mem::take(&mut *self.outcomes.lock())
    }

    fn deliver(&self, outcomes: Vec<(u64, Outcome)>) {
        {
            let mut queue = self.outcomes.lock();
            if queue.is_empty() {
                *queue = outcomes;
            } else {
                queue.extend(outcomes);
            }
        }
        self.notify.notify_one();
    }
}

/// Outcomes with their tokens.
type Tokens = Vec<(u64, Outcome)>;

/// The outcomes of one group, gathered so that each queue is woken once.
#[derive(Debug, Default)]
pub(super) struct Completions {
    queues: Vec<(Arc<CompletionQueue>, Tokens)>,
    singles: Vec<(oneshot::Sender<Outcome>, Outcome)>,
}

impl Completions {
    pub(super) fn add(&mut self, done: Done, outcome: Outcome) {
        match done {
            Done::Ignore => {}
            Done::Oneshot(sender) => self.singles.push((sender, outcome)),
            Done::Queue(queue, token) => {
                let known = self
                    .queues
                    .iter_mut()
                    .find(|(other, _)| Arc::ptr_eq(other, &queue));
                match known {
                    Some((_, outcomes)) => outcomes.push((token, outcome)),
                    None => self.queues.push((queue, vec![(token, outcome)])),
                }
            }
        }
    }

    /// Delivers everything.
    pub(super) fn deliver(self) {
        for (queue, outcomes) in self.queues {
            queue.deliver(outcomes);
        }
        for (sender, outcome) in self.singles {
            // A receiver that has gone away does not want it.
            let _ = sender.send(outcome);
        }
    }

    /// Tells everybody that the journal has stopped instead.
    pub(super) fn stop(self) {
        for (queue, outcomes) in self.queues {
            let stopped = outcomes
                .into_iter()
                .map(|(token, _)| (token, Outcome::Stopped));
            queue.deliver(stopped.collect());
        }
        for (sender, _) in self.singles {
            let _ = sender.send(Outcome::Stopped);
        }
    }
}
