//! Which peer hosts a topic and who keeps copies, as the index assigns it: taken over durably, one frame
//! of assignments after the other.
//!
//! A frame that was begun is finished, also when the session breaks meanwhile: a role that is durable in
//! the journal but unknown to the machine would be nobody's. So the frames go to a task that lives as
//! long as the peer.
//!
//! Order, for each topic: it is followed no more; what it is now is written after all its earlier
//! entries; when that is durable, the role begins.

mod again;

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use tokio::sync::{mpsc, oneshot};

use super::asking::Ask;
use super::following::Copying;
use super::hosting::Beginning;
use super::{Replication, records};
use crate::clock;
use crate::journal::{Command, Done, HostedTopic, Journal, KeptTopic, Outcome, Refusal};
use crate::limits;
use crate::peer::append::refused;
use crate::peer::host::{call_error, journal_stopped};
use crate::replication::configuration::{Configuration, Phase};
use crate::transport::CallError;
use crate::types::{
    Epoch, Fingerprint, Incarnation, MonoNs, Offset, TopicId, TopicName, TopicSettings, Version,
};
use crate::wire::index::Assignment;
use crate::wire::index::copies::{Copies, CopiesPhase, CopyReport};
use crate::wire::{ErrorCode, ErrorReply};

/// A frame of assignments on its way.
pub(in crate::peer) struct Frame {
    pub(in crate::peer) assignments: Vec<Assignment>,
    /// Whether all that this peer is to hold has been named with it.
    pub(in crate::peer) full_list_ends: bool,
    /// The incarnation of the session, durable in the journal.
    pub(in crate::peer) incarnation: Incarnation,
    /// What the index wants to know when the assignments are done.
    pub(in crate::peer) tell: Option<Tell>,
    /// Told when all of it is durable.
    pub(in crate::peer) done: oneshot::Sender<Result<Taken, CallError>>,
}

/// Which of the journal's topics the index is to be told of.
pub(in crate::peer) enum Tell {
    All,
    One(TopicId),
    /// All but these.
    Unnamed(Vec<TopicId>),
}

/// What became of a frame.
#[derive(Debug, Default, PartialEq)]
pub(in crate::peer) struct Taken {
    /// What was not taken, and why.
    pub(in crate::peer) refused: Vec<(TopicId, ErrorReply)>,
    /// Topics of which the journal knows a higher grant than the index does.
    pub(in crate::peer) known: Vec<CopyReport>,
    /// What the journal holds, as far as it was to be told.
    pub(in crate::peer) held: Vec<CopyReport>,
}

/// The task's state.
pub(in crate::peer) struct Roles {
    replication: Arc<Replication>,
    journal: Journal,
    copying: Arc<Copying>,
    me: Fingerprint,
    incarnation: Incarnation,
    /// The version of the last record heard, of topics with other copies.
    heard: HashMap<TopicId, Version>,
    /// Assignments that the journal did not take, to be tried again.
    again: HashMap<TopicId, Assignment>,
    again_at: Option<MonoNs>,
}

/// What is to be done when the journal has answered.
struct Step {
    topic: TopicId,
    outcome: Option<oneshot::Receiver<Outcome>>,
    then: Then,
}

enum Then {
    Nothing,
    /// Take the host role.
    Host {
        role: HostRole,
        known_watermark: Offset,
    },
    /// It is the host already, under this epoch; the record may be new.
    GoOn(HostRole),
    /// Keep up with the host, if there is one.
    Follow {
        name: TopicName,
        host: Option<Fingerprint>,
        grant: u32,
    },
}

struct HostRole {
    name: TopicName,
    epoch: Epoch,
    record: Configuration,
    min_in_sync: u8,
    alone: bool,
}

impl Roles {
    pub(in crate::peer) fn new(
        replication: Arc<Replication>,
        journal: Journal,
        copying: Arc<Copying>,
    ) -> Self {
        Roles {
            me: replication.me,
            replication,
            journal,
            copying,
            incarnation: 0,
            heard: HashMap::new(),
            again: HashMap::new(),
            again_at: None,
        }
    }

    /// Takes frames until dropped.
    pub(in crate::peer) async fn run(mut self, mut frames: mpsc::Receiver<Frame>) {
        loop {
            let frame = match self.again_at {
                None => Ok(frames.recv().await),
                Some(due) => {
                    let pause = due.since(clock::mono_now());
                    tokio::time::timeout(pause, frames.recv()).await
                }
            };
            let frame = match frame {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => {
                    self.try_again().await;
                    continue;
                }
            };
            self.reincarnate(frame.incarnation);
            let mut taken = self.take(frame.assignments).await;
            if let (Ok(taken), Some(tell)) = (&mut taken, frame.tell) {
                taken.held = self.held(tell);
            }
            if taken.is_ok() && frame.full_list_ends {
                self.replication.told_all();
            }
            // A session that has broken does not want it.
            let _ = frame.done.send(taken);
        }
        // The control side has ended and says why; this one waits to be told to stop.
        std::future::pending().await
    }

    fn reincarnate(&mut self, incarnation: Incarnation) {
        if self.incarnation != incarnation {
            if self.incarnation != 0 {
                self.replication.end_all();
                self.copying.reincarnated();
                self.again.clear();
            }
            self.incarnation = incarnation;
        }
    }

    /// Writes all assignments of a frame in as few groups as the journal makes of them.
    pub(super) async fn take(&mut self, assignments: Vec<Assignment>) -> Result<Taken, CallError> {
        let mut taken = Taken::default();
        let mut steps = Vec::with_capacity(assignments.len());
        let mut named = HashSet::new();
        for assignment in &assignments {
            let topic = topic_of(assignment);
            // The newer word counts.
            self.again.remove(&topic);
            // What is to be done depends on what was done before.
            if !named.insert(topic) {
                self.finish(std::mem::take(&mut steps), &mut taken).await?;
                named = HashSet::from([topic]);
            }
            match self.begin(assignment, &mut taken).await? {
                Some(step) => steps.push(step),
                None => continue,
            }
        }
        self.finish(steps, &mut taken).await?;
        self.keep_refused(assignments, &taken);
        Ok(taken)
    }

    async fn begin(
        &mut self,
        assignment: &Assignment,
        taken: &mut Taken,
    ) -> Result<Option<Step>, CallError> {
        match assignment {
            Assignment::Erase { topic } => self.erase(*topic).await.map(Some),
            Assignment::Host {
                topic,
                name,
                settings,
                copies,
            } => {
                let Some(record) = self.sound(*topic, name, copies, taken) else {
                    return Ok(None);
                };
                let (name, settings) = (name.clone(), *settings);
                self.host(*topic, name, settings, copies, record).await
            }
            Assignment::Replicate {
                topic,
                name,
                settings,
                copies,
            } => {
                let Some(record) = self.sound(*topic, name, copies, taken) else {
                    return Ok(None);
                };
                let (name, settings) = (name.clone(), *settings);
                let kept = self.replicate(*topic, name, settings, copies, record);
                kept.await
            }
        }
    }

    /// The record, if it is sound and not late.
    fn sound(
        &mut self,
        topic: TopicId,
        name: &TopicName,
        copies: &Copies,
        taken: &mut Taken,
    ) -> Option<Configuration> {
        let known = self.journal.copy(topic).map(|copy| copy.known.grant);
        if known.is_some_and(|known| known > copies.grant) {
            taken.known.extend(self.report(topic, name));
            return None;
        }
        if copies.version < self.heard(topic) {
            // Late, or of an index that comes from a backup: that one knows.
            taken.known.extend(self.word_on(topic));
            return None;
        }
        match records::configuration(&self.replication.peers, copies) {
            Ok(record) => {
                if copies.replicas != [self.me] {
                    self.heard.insert(topic, copies.version);
                }
                Some(record)
            }
            Err(error) => {
                tracing::error!(%topic, %error, "an assignment was left aside");
                let error = ErrorReply::new(ErrorCode::Malformed, error.to_string());
                taken.refused.push((topic, error));
                None
            }
        }
    }

    async fn submit(&self, command: Command) -> Result<oneshot::Receiver<Outcome>, CallError> {
        let (done, outcome) = oneshot::channel();
        let submitted = self.journal.submit(command, Done::Oneshot(done)).await;
        submitted.map_err(|_| CallError::Remote(journal_stopped()))?;
        Ok(outcome)
    }

    async fn erase(&mut self, topic: TopicId) -> Result<Step, CallError> {
        self.heard.remove(&topic);
        self.replication.forget(topic);
        self.copying.unfollow(topic).await;
        Ok(Step {
            topic,
            outcome: Some(self.submit(Command::Forget { topic }).await?),
            then: Then::Nothing,
        })
    }

    // ---- hosting ----

    async fn host(
        &mut self,
        topic: TopicId,
        name: TopicName,
        settings: TopicSettings,
        copies: &Copies,
        record: Configuration,
    ) -> Result<Option<Step>, CallError> {
        let known = self.journal.topic(topic);
        let alone = copies.replicas == [self.me]
            && copies.in_sync == [self.me]
            && copies.phase == CopiesPhase::Serving
            && settings.min_in_sync <= 1;
        let role = HostRole {
            name: name.clone(),
            epoch: Epoch {
                grant: copies.grant,
                incarnation: self.incarnation,
            },
            record,
            min_in_sync: settings.min_in_sync,
            alone,
        };
        let same_grant = known
            .as_ref()
            .is_some_and(|known| known.hosts && known.grant == copies.grant);
        // So that a peer with a million topics does not write them all again at each session.
        let same = same_grant && known.is_some_and(|known| known.settings == settings);
        let hosts = (same_grant && self.replication.is_alone(topic))
            || self.replication.hosted_epoch(topic) == Some(role.epoch);
        let then = match hosts {
            true => Then::GoOn(role),
            false => {
                self.replication.end(topic);
                let known_watermark = self.copying.unfollow(topic).await;
                Then::Host {
                    role,
                    known_watermark: known_watermark.unwrap_or(Offset::FIRST),
                }
            }
        };
        let hosted = HostedTopic {
            id: topic,
            name,
            settings,
            grant: copies.grant,
        };
        let outcome = match same {
            true => None,
            false => Some(self.submit(Command::Host(hosted)).await?),
        };
        Ok(Some(Step {
            topic,
            outcome,
            then,
        }))
    }

    /// Makes durable whether others have, or may get, copies: before they do, for what a sole host has is
    /// committed, and it serves it after its next start without asking the index.
    async fn share(&self, topic: TopicId, shared: bool) -> Result<(), ErrorReply> {
        if self
            .journal
            .copy(topic)
            .is_some_and(|copy| copy.shared == shared)
        {
            return Ok(());
        }
        let command = Command::Share { topic, shared };
        let outcome = self.submit(command).await.map_err(call_error)?;
        match outcome.await {
            Ok(Outcome::Refused(refusal)) => Err(refused(&refusal)),
            Ok(Outcome::Stopped) | Err(_) => Err(journal_stopped()),
            Ok(_) => Ok(()),
        }
    }

    async fn begin_hosting(
        &self,
        topic: TopicId,
        role: HostRole,
        known_watermark: Offset,
        taken: &mut Taken,
    ) {
        let sound = self.journal.copy(topic).is_some_and(|copy| {
            let last = copy.log.epochs().last();
            copy.hosts && last.is_none_or(|last| last <= role.epoch)
        });
        let me = self.replication.peers.number(self.me);
        if !sound || role.record.acting_host() != Some(me) {
            taken.known.extend(self.report(topic, &role.name));
            return;
        }
        if self.is_damaged(topic) && role.record.in_sync.len() > 1 {
            // Its log may end before what is committed, and a good copy would be cut to it (rule 10).
            tracing::error!(%topic, "the copy of topic '{}' is damaged here; another peer is to host it", role.name);
            self.replication.asks.push(Ask::Leave(topic));
            return;
        }
        if let Err(error) = self.share(topic, !role.alone).await {
            taken.refused.push((topic, error));
            return;
        }
        if role.alone {
            self.replication.begin_alone(topic);
            return;
        }
        self.replication.begin(topic, || Beginning {
            epoch: role.epoch,
            // It was there a moment ago, and this task alone takes topics away.
            log: self
                .journal
                .copy(topic)
                .map(|copy| copy.log)
                .unwrap_or_default(),
            known_watermark,
            record: role.record,
            min_in_sync: role.min_in_sync,
        });
    }

    fn is_damaged(&self, topic: TopicId) -> bool {
        self.journal.copy(topic).is_some_and(|copy| copy.damaged)
    }

    async fn go_on_hosting(&self, topic: TopicId, role: HostRole, taken: &mut Taken) {
        match (self.replication.is_alone(topic), role.alone) {
            (true, true) => {}
            // Of the only copy all that is durable is committed.
            (true, false) => {
                self.begin_hosting(topic, role, Offset(u64::MAX), taken)
                    .await;
            }
            (false, _) => {
                self.replication.min_in_sync(topic, role.min_in_sync);
                self.replication.record(topic, role.record);
            }
        }
    }

    // ---- keeping a copy ----

    async fn replicate(
        &mut self,
        topic: TopicId,
        name: TopicName,
        settings: TopicSettings,
        copies: &Copies,
        record: Configuration,
    ) -> Result<Option<Step>, CallError> {
        // What deposes the machine's host also tells its replicas; whatever is left, the index has said
        // that another is to host.
        self.replication.record(topic, record);
        self.replication.end(topic);
        let copy = self.journal.copy(topic);
        let host = record.acting_host().map(|_| copies.host);
        let host = host.filter(|_| record.phase != Phase::Offline);
        let same = copy.is_some_and(|copy| !copy.hosts && copy.settings == settings);
        let kept = KeptTopic {
            id: topic,
            name: name.clone(),
            settings,
        };
        let epoch = Epoch::default();
        let outcome = match same {
            true => None,
            false => Some(self.submit(Command::Known { topic: kept, epoch }).await?),
        };
        Ok(Some(Step {
            topic,
            outcome,
            then: Then::Follow {
                name,
                host,
                grant: copies.grant,
            },
        }))
    }

    fn report(&self, topic: TopicId, name: &TopicName) -> Option<CopyReport> {
        let word = self.word_on(topic)?;
        tracing::error!(
            %topic, known = %word.known,
            "the index knows an older record of topic '{name}' than this peer: was it restored from a backup?"
        );
        Some(word)
    }

    // ---- telling ----

    /// The version of the last record heard, 0 if this process has heard none.
    fn heard(&self, topic: TopicId) -> Version {
        let heard = self.heard.get(&topic).copied().unwrap_or(0);
        heard.max(self.replication.heard(topic))
    }

    /// What the journal holds of a topic.
    fn word_on(&self, topic: TopicId) -> Option<CopyReport> {
        let copy = self.journal.copy(topic)?;
        Some(CopyReport {
            topic,
            name: copy.name,
            known: copy.known,
            own_grant: copy.own_grant,
            end: copy.log.end(),
            version: self.heard(topic),
            settings: copy.settings,
            damaged: copy.damaged,
        })
    }

    fn held(&self, tell: Tell) -> Vec<CopyReport> {
        let all = || self.journal.topics().into_iter().map(|topic| topic.id);
        match tell {
            Tell::All => all().filter_map(|topic| self.word_on(topic)).collect(),
            Tell::One(topic) => self.word_on(topic).into_iter().collect(),
            Tell::Unnamed(mut named) => {
                named.sort_unstable();
                let unnamed = all().filter(|topic| named.binary_search(topic).is_err());
                unnamed.filter_map(|topic| self.word_on(topic)).collect()
            }
        }
    }

    // ---- when it is durable ----

    async fn finish(&mut self, steps: Vec<Step>, taken: &mut Taken) -> Result<(), CallError> {
        for step in steps {
            if let Some(outcome) = step.outcome {
                let outcome = outcome
                    .await
                    .map_err(|_| CallError::Remote(journal_stopped()))?;
                match outcome {
                    Outcome::Stopped => return Err(CallError::Remote(journal_stopped())),
                    // Erasing what is not there is done.
                    Outcome::Refused(Refusal::UnknownTopic) => {}
                    Outcome::Refused(Refusal::LowerGrant { .. }) => {
                        let name = step.then.name();
                        let report = name.and_then(|name| self.report(step.topic, name));
                        taken.known.extend(report);
                        continue;
                    }
                    Outcome::Refused(refusal) => {
                        taken.refused.push((step.topic, refused(&refusal)));
                        continue;
                    }
                    _ => {}
                }
            }
            self.follow_up(step.topic, step.then, taken).await;
        }
        debug_assert!(taken.refused.len() <= limits::ASSIGNMENTS_PER_FRAME);
        Ok(())
    }

    async fn follow_up(&mut self, topic: TopicId, then: Then, taken: &mut Taken) {
        match then {
            Then::Nothing => {}
            Then::Host {
                role,
                known_watermark,
            } => {
                self.begin_hosting(topic, role, known_watermark, taken)
                    .await;
            }
            Then::GoOn(role) => self.go_on_hosting(topic, role, taken).await,
            Then::Follow { name, host, grant } => match host {
                Some(host) => self.copying.follow(topic, &name, host, grant),
                None => drop(self.copying.unfollow(topic).await),
            },
        }
    }
}

impl Then {
    fn name(&self) -> Option<&TopicName> {
        match self {
            Then::Nothing => None,
            Then::Host { role, .. } | Then::GoOn(role) => Some(&role.name),
            Then::Follow { name, .. } => Some(name),
        }
    }
}

pub(in crate::peer) fn topic_of(assignment: &Assignment) -> TopicId {
    match assignment {
        Assignment::Host { topic, .. }
        | Assignment::Replicate { topic, .. }
        | Assignment::Erase { topic } => *topic,
    }
}
