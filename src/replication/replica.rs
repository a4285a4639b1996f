//! One topic at a replica: finds where its log parts from its host's, is cut there, then takes batches in
//! order.
//!
//! The machine's state is the log *as written*. Its effects are journal entries in order, and
//! [`ReplicaEffect::Ack`] is sent only when everything written before it is durable: whoever holds the
//! machine puts it into an [`super::acks::AckQueue`]. After a crash the machine is made anew from what
//! the journal has kept.
//!
//! Guarantees: nothing is taken from a host below the highest epoch known, and that epoch is durable
//! before anything is acknowledged under it (rule 6); the log is never cut below what is known to be
//! committed (then the copy is damaged: it leaves the in-sync set first, rule 10).

use super::epochs::TopicLog;
use super::host::{Ack, Join, JoinAnswer};
use super::rules::{Rule, Rules};
use crate::types::{Epoch, Offset};

/// Whether a peer that has known `known` of a topic, and has itself hosted it last under `own_grant`
/// (0: never), may take it as host under `epoch` (rule 6).
///
/// The incarnation counts one peer's starts, so two peers could come to the same epoch if one grant
/// were given to both, as an index restored from a backup may do: a grant that was another peer's is
/// refused.
pub fn may_host(known: Epoch, own_grant: u32, epoch: Epoch) -> bool {
    epoch.grant > known.grant || (epoch.grant == own_grant && epoch >= known)
}

/// Something that happened to a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaEvent {
    /// There is a stream to the host of this grant.
    Open {
        /// The grant, as the index has told it.
        grant: u32,
    },
    /// The host answered the question.
    Answered(JoinAnswer),
    /// The host's dedupe table and positions are written: what lies below the log's start.
    Dedupe,
    /// A batch, whole.
    Batch {
        /// Its first offset.
        base: Offset,
        /// One past its last offset.
        end: Offset,
        /// The epoch under which it was appended.
        epoch: Epoch,
    },
    /// Changes of positions are written, up to this revision of the host's.
    Positions {
        /// The revision.
        revision: u64,
    },
    /// What the host says of its log.
    Watermark {
        /// Everything below is committed.
        high_watermark: Offset,
        /// Its earliest offset.
        start: Offset,
    },
    /// The stream broke, or the host ended the slot.
    Closed,
    /// The index has answered that this peer is in no in-sync set of the topic.
    Left,
    /// Committed messages of this copy cannot be read any more.
    Damaged,
}

/// Something to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaEffect {
    /// Ask the host.
    Ask(Join),
    /// Write that this epoch is known.
    Persist(Epoch),
    /// Write that everything at `to` and beyond goes.
    Truncate {
        /// The new end.
        to: Offset,
    },
    /// Write that the whole log goes and begins anew at `start`.
    Reset {
        /// The new start and end.
        start: Offset,
    },
    /// Fetch the dedupe table and positions as of the log's start, write them, then give
    /// [`ReplicaEvent::Dedupe`].
    FetchDedupe,
    /// Write the batch of this event.
    Write,
    /// Write that everything below goes.
    Trim {
        /// The new start.
        start: Offset,
    },
    /// When all of the above is durable, tell the host.
    Ack(Ack),
    /// Tell that host of a higher epoch, and end the slot.
    Refuse(Epoch),
    /// End the slot and open it anew: the host sent what does not follow.
    Reopen,
    /// Ask the index to take this peer out of the topic's in-sync set; then give
    /// [`ReplicaEvent::Left`].
    Leave,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    Asking,
    FetchingDedupe(Epoch),
    Following(Epoch),
    Leaving,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReplicaTopic {
    log: TopicLog,
    known: Epoch,
    /// The host's, as the index has told it last.
    grant: u32,
    high_watermark: Offset,
    positions: u64,
    phase: Phase,
}

impl ReplicaTopic {
    /// A replica with this log, which has known this epoch.
    pub fn new(log: TopicLog, known: Epoch, high_watermark: Offset) -> Self {
        let last = log.epochs().last().unwrap_or_default();
        ReplicaTopic {
            high_watermark: high_watermark.clamp(log.start(), log.end()),
            log,
            known: known.max(last),
            grant: 0,
            positions: 0,
            phase: Phase::Idle,
        }
    }

    /// Its log, as written.
    pub fn log(&self) -> &TopicLog {
        &self.log
    }

    /// The highest epoch that it knows, as written.
    pub fn known(&self) -> Epoch {
        self.known
    }

    /// What it knows to be committed.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark.min(self.log.end())
    }

    /// The epoch of the host whose batches it takes.
    pub fn following(&self) -> Option<Epoch> {
        match self.phase {
            Phase::Following(epoch) => Some(epoch),
            _ => None,
        }
    }

    /// Whether it waits for [`ReplicaEvent::Left`].
    pub fn is_leaving(&self) -> bool {
        self.phase == Phase::Leaving
    }

    /// Takes an event in; answers what to do.
    pub fn handle(&mut self, rules: Rules, event: ReplicaEvent) -> Vec<ReplicaEffect> {
        let before = self.known;
        let effects = match event {
            ReplicaEvent::Open { grant } => self.on_open(rules, grant),
            ReplicaEvent::Answered(answer) => self.on_answered(rules, answer),
            ReplicaEvent::Dedupe => self.on_dedupe(),
            ReplicaEvent::Batch { base, end, epoch } => self.on_batch(rules, base, end, epoch),
            ReplicaEvent::Positions { revision } => self.on_positions(revision),
            ReplicaEvent::Watermark {
                high_watermark,
                start,
            } => self.on_watermark(high_watermark, start),
            ReplicaEvent::Closed => self.on_closed(),
            ReplicaEvent::Left => self.on_left(),
            ReplicaEvent::Damaged => self.leave(),
        };
        assert!(self.known >= before, "the known epoch falls");
        assert!(
            self.log
                .epochs()
                .last()
                .is_none_or(|last| last <= self.known)
                || !rules.keeps(Rule::RefuseLowerEpochs),
            "the log has an epoch that is not known"
        );
        effects
    }

    fn on_open(&mut self, rules: Rules, grant: u32) -> Vec<ReplicaEffect> {
        self.grant = grant;
        if self.phase == Phase::Leaving {
            return vec![];
        }
        if grant < self.known.grant && rules.keeps(Rule::RefuseLowerEpochs) {
            return vec![ReplicaEffect::Refuse(self.known)];
        }
        vec![self.ask()]
    }

    fn ask(&mut self) -> ReplicaEffect {
        self.phase = Phase::Asking;
        self.positions = 0;
        ReplicaEffect::Ask(Join {
            known: self.known,
            last: self.log.epochs().last(),
            end: self.log.end(),
        })
    }

    fn on_answered(&mut self, rules: Rules, answer: JoinAnswer) -> Vec<ReplicaEffect> {
        if self.phase != Phase::Asking {
            return vec![];
        }
        let mut effects = Vec::new();
        if rules.keeps(Rule::RefuseLowerEpochs) {
            // A grant that the index has not named, nobody has: were it made known, every host that
            // the index does name would be refused for it.
            if answer.epoch < self.known || answer.epoch.grant > self.grant {
                self.phase = Phase::Idle;
                return vec![ReplicaEffect::Refuse(self.known)];
            }
            if answer.epoch > self.known {
                self.known = answer.epoch;
                effects.push(ReplicaEffect::Persist(answer.epoch));
            }
        }
        let end = self.log.end();
        match answer.common {
            _ if end == Offset::FIRST => self.begin_at(answer, &mut effects),
            // It begins where an earlier host's log began, below which all was committed: every later
            // host has that. The dedupe table may not have been written yet.
            _ if self.log.epochs().last().is_none() && end >= answer.start => {
                effects.push(self.fetch_dedupe(answer.epoch));
            }
            Some(common) if end >= answer.start => {
                self.reconcile(rules, answer, common, &mut effects);
            }
            // The host's log is whole and has none of these epochs: they part at the first message.
            None if answer.start == Offset::FIRST => {
                let first = (Epoch::default(), Offset::FIRST);
                self.reconcile(rules, answer, first, &mut effects);
            }
            // Without a common epoch nothing of this log can be told from another history.
            _ => effects.extend(self.leave()),
        }
        effects
    }

    /// A log that never held anything takes its host's start; what lies below was trimmed there.
    fn begin_at(&mut self, answer: JoinAnswer, effects: &mut Vec<ReplicaEffect>) {
        let start = answer.start;
        if start == Offset::FIRST {
            effects.push(self.follow(answer.epoch));
            return;
        }
        self.log = TopicLog::starting_at(start);
        self.high_watermark = start;
        effects.push(ReplicaEffect::Reset { start });
        effects.push(self.fetch_dedupe(answer.epoch));
    }

    fn fetch_dedupe(&mut self, epoch: Epoch) -> ReplicaEffect {
        self.phase = Phase::FetchingDedupe(epoch);
        ReplicaEffect::FetchDedupe
    }

    fn reconcile(
        &mut self,
        rules: Rules,
        answer: JoinAnswer,
        common: (Epoch, Offset),
        effects: &mut Vec<ReplicaEffect>,
    ) {
        let (mut to, mut equal) = self.log.cut(common);
        if !rules.keeps(Rule::ReconcileByEpoch) {
            (to, equal) = (self.high_watermark(), true);
        }
        // What it would lose is committed or trimmed at the host: this copy is not what it should be.
        if to < self.high_watermark() || to < self.log.start().max(answer.start) {
            effects.extend(self.leave());
            return;
        }
        if to < self.log.end() {
            self.log.truncate(to);
            effects.push(ReplicaEffect::Truncate { to });
        }
        effects.push(match equal {
            true => self.follow(answer.epoch),
            false => self.ask(),
        });
    }

    fn follow(&mut self, epoch: Epoch) -> ReplicaEffect {
        self.phase = Phase::Following(epoch);
        self.ack(epoch)
    }

    fn ack(&self, epoch: Epoch) -> ReplicaEffect {
        ReplicaEffect::Ack(Ack {
            epoch,
            end: self.log.end(),
            positions: self.positions,
        })
    }

    fn on_dedupe(&mut self) -> Vec<ReplicaEffect> {
        match self.phase {
            Phase::FetchingDedupe(epoch) => vec![self.follow(epoch)],
            _ => vec![],
        }
    }

    fn on_batch(
        &mut self,
        rules: Rules,
        base: Offset,
        end: Offset,
        epoch: Epoch,
    ) -> Vec<ReplicaEffect> {
        let Phase::Following(host) = self.phase else {
            return vec![];
        };
        if host < self.known && rules.keeps(Rule::RefuseLowerEpochs) {
            self.phase = Phase::Idle;
            return vec![ReplicaEffect::Refuse(self.known)];
        }
        let last = self.log.epochs().last();
        let follows = base == self.log.end() && end > base && epoch <= host;
        if !follows || last.is_some_and(|last| epoch < last) {
            self.phase = Phase::Idle;
            return vec![ReplicaEffect::Reopen];
        }
        self.log.append(epoch, end);
        vec![ReplicaEffect::Write, self.ack(host)]
    }

    fn on_positions(&mut self, revision: u64) -> Vec<ReplicaEffect> {
        match self.phase {
            Phase::Following(epoch) if revision > self.positions => {
                self.positions = revision;
                vec![self.ack(epoch)]
            }
            _ => vec![],
        }
    }

    fn on_watermark(&mut self, high_watermark: Offset, start: Offset) -> Vec<ReplicaEffect> {
        if self.following().is_none() {
            return vec![];
        }
        self.high_watermark = self.high_watermark.max(high_watermark);
        let start = start.min(self.high_watermark());
        if start <= self.log.start() {
            return vec![];
        }
        self.log.trim(start);
        vec![ReplicaEffect::Trim { start }]
    }

    fn on_closed(&mut self) -> Vec<ReplicaEffect> {
        if self.phase != Phase::Leaving {
            self.phase = Phase::Idle;
        }
        vec![]
    }

    fn leave(&mut self) -> Vec<ReplicaEffect> {
        self.phase = Phase::Leaving;
        vec![ReplicaEffect::Leave]
    }

    /// Out of the set: the copy is fetched anew from its beginning.
    fn on_left(&mut self) -> Vec<ReplicaEffect> {
        if self.phase != Phase::Leaving {
            return vec![];
        }
        self.log = TopicLog::default();
        self.high_watermark = Offset::FIRST;
        let reset = ReplicaEffect::Reset {
            start: Offset::FIRST,
        };
        vec![reset, self.ask()]
    }
}
