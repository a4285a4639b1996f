//! One topic at its host: who has what, what may be acknowledged, and who belongs to the in-sync set.
//!
//! The host appends, writes and syncs; replicas fetch what is written, while the host syncs it, sync it
//! themselves and acknowledge. So they may have durably what the host does not yet: the log here is what
//! the host has durably, and up to where it is written beside it. The
//! *high watermark* is what every member of the committed in-sync set, and of every proposal that the
//! index may have applied, has durably (rule 2): below it appends are acknowledged and visible.
//! It is a minimum of ends of whole batches of one log, so it lies on a batch boundary.
//!
//! Positions go the same way, under a revision that counts their changes within an epoch: 1 is the
//! table as it stood when the epoch began.
//!
//! Guarantees: the high watermark never falls (asserted after every event) and rises only to what every
//! required member has; a deposed host advances and proposes nothing.

mod doubts;
mod follower;
mod messages;
mod proposals;

pub use messages::{Ack, HostEffect, HostEvent, Join, JoinAnswer};

use std::time::Duration;

use super::configuration::{Altered, Configuration, Phase, Refusal};
use super::epochs::TopicLog;
use super::members::{Members, PeerNo};
use super::rules::{Rule, Rules};
use crate::types::{Epoch, Incarnation, MonoNs, Offset, Version};
use doubts::Doubts;
use follower::Follower;

pub use crate::limits::REPLICA_LAG;

/// What all topics of a host have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostContext {
    /// This peer.
    pub me: PeerNo,
    /// See [`REPLICA_LAG`].
    pub lag: Duration,
    /// Always [`Rules::ALL`], but in tests.
    pub rules: Rules,
}

impl HostContext {
    /// The context of a production host.
    pub fn new(me: PeerNo) -> Self {
        HostContext {
            me,
            lag: REPLICA_LAG,
            rules: Rules::ALL,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Role {
    Serving,
    HandingOver(PeerNo),
    Draining,
    Deposed,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostTopic {
    epoch: Epoch,
    /// Where the log ended when the epoch began.
    began: Offset,
    /// What is durable here.
    log: TopicLog,
    /// Up to here it is written here, under this epoch, and may have been sent; at least the log's end.
    written: Offset,
    high_watermark: Offset,
    positions: u64,
    positions_committed: u64,
    version: Version,
    in_sync: Members,
    replicas: Members,
    min_in_sync: u8,
    role: Role,
    /// Replicas know higher epochs: nothing is taken or acknowledged until the index has said who hosts.
    doubts: Doubts,
    /// A proposal is on its way.
    asking: bool,
    /// The outcome of an earlier proposal under this version is not known.
    unknown: bool,
    /// Every set that was proposed under this version and may have been applied, in one.
    pending: Option<Members>,
    /// The earliest [`HostEffect::WakeAt`] that has not come yet.
    wake_at: Option<MonoNs>,
    followers: Vec<Follower>,
}

impl HostTopic {
    /// Begins to host under `epoch`, which must be durable here (rule 6), with the durable log.
    ///
    /// `known_watermark` is the high watermark that this peer had heard of, as replica or before.
    pub fn begin(
        context: &HostContext,
        epoch: Epoch,
        log: TopicLog,
        known_watermark: Offset,
        record: &Configuration,
        min_in_sync: u8,
        now: MonoNs,
    ) -> (Self, Vec<HostEffect>) {
        assert_eq!(
            record.grant, epoch.grant,
            "the record's grant is the epoch's"
        );
        assert_eq!(
            record.acting_host(),
            Some(context.me),
            "the record names this host, in its set"
        );
        let last = log.epochs().last();
        assert!(last.is_none_or(|last| last <= epoch), "an epoch falls");
        let mut topic = HostTopic {
            epoch,
            began: log.end(),
            written: log.end(),
            high_watermark: known_watermark.clamp(log.start(), log.end()),
            log,
            positions: 1,
            positions_committed: 0,
            version: record.version,
            in_sync: record.in_sync,
            replicas: record.replicas,
            min_in_sync,
            role: Role::Serving,
            doubts: Doubts::default(),
            asking: false,
            unknown: false,
            pending: None,
            wake_at: None,
            followers: Vec::new(),
        };
        let mut effects = Vec::new();
        topic.take_phase(record.phase, &mut effects);
        topic.renew_followers(context, now);
        topic.settle(context, now, &mut effects);
        (topic, effects)
    }

    /// The epoch under which it hosts.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Its durable log.
    pub fn log(&self) -> &TopicLog {
        &self.log
    }

    /// Where it ends as written; replicas are sent what lies below.
    pub fn written(&self) -> Offset {
        self.written
    }

    /// Everything below is committed.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The committed in-sync set, as far as this host knows.
    pub fn in_sync(&self) -> Members {
        self.in_sync
    }

    /// The record's version, as far as this host knows.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether it has learned that another peer or process hosts.
    pub fn is_deposed(&self) -> bool {
        self.role == Role::Deposed
    }

    /// Whether appends may come in: it hosts, is not handing over, and enough copies are in sync.
    pub fn takes_appends(&self) -> bool {
        self.role == Role::Serving
            && !self.doubts.are_open()
            && self.in_sync.len() >= usize::from(self.min_in_sync)
    }

    /// Whether it waits for what the index holds, and takes that only.
    pub fn is_draining(&self) -> bool {
        self.role == Role::Draining
    }

    /// On how many of the in-sync copies everything below `end` is durable, and which.
    pub fn durable_on(&self, context: &HostContext, end: Offset) -> Members {
        let has = |peer| self.end_of(context, peer).is_some_and(|known| known >= end);
        self.in_sync.filter(has)
    }

    /// Whether appends wait for this replica, so that nothing must hold it up: it is in sync, or may be.
    pub fn waits_for(&self, context: &HostContext, peer: PeerNo) -> bool {
        self.required(context).contains(peer)
    }

    /// The replicas that are not in sync, and how many messages of the log each lacks; `None`: it has not
    /// told yet.
    pub fn behind(&self) -> impl Iterator<Item = (PeerNo, Option<u64>)> + '_ {
        let behind = self.replicas.filter(|peer| !self.in_sync.contains(peer));
        let (start, end) = (self.log.start(), self.log.end());
        let lacks = move |peer| {
            let follower = self.followers.iter().find(|f| f.peer == peer)?;
            let has = follower.end?.max(start);
            Some(end.0.saturating_sub(has.0))
        };
        let peers: Vec<PeerNo> = behind.iter().collect();
        peers.into_iter().map(move |peer| (peer, lacks(peer)))
    }

    /// Takes an event in; answers what to do.
    pub fn handle(
        &mut self,
        context: &HostContext,
        event: HostEvent,
        now: MonoNs,
    ) -> Vec<HostEffect> {
        let mut effects = Vec::new();
        let before = self.high_watermark;
        match event {
            HostEvent::Written { end } => self.written = self.written.max(end),
            HostEvent::Synced { end } => self.on_synced(end),
            HostEvent::PositionsSynced { revision } => {
                self.positions = self.positions.max(revision);
            }
            HostEvent::Trimmed { start } => self.log.trim(start.min(self.high_watermark)),
            HostEvent::Join(peer, incarnation, join) => {
                self.on_join(context, peer, incarnation, join, now, &mut effects);
            }
            HostEvent::Acked(peer, incarnation, ack) => {
                self.on_acked(peer, incarnation, ack, &mut effects);
            }
            HostEvent::Gone(peer) => self.on_gone(peer, now),
            HostEvent::Altered(answer) => self.on_altered(context, answer, &mut effects),
            HostEvent::Record(record) => self.learn(context, &record, &mut effects),
            HostEvent::Fenced(peer, epoch) => self.doubt(peer, epoch, now, &mut effects),
            HostEvent::MinInSync(least) => self.min_in_sync = least,
            HostEvent::Wake => self.wake_at = None,
        }
        self.renew_followers(context, now);
        self.settle(context, now, &mut effects);
        assert!(self.high_watermark >= before, "the high watermark falls");
        effects
    }

    fn on_synced(&mut self, end: Offset) {
        if end > self.log.end() {
            self.log.append(self.epoch, end);
            self.written = self.written.max(end);
        }
    }

    /// Where a replica's log parts from the one here. What is written counts: a replica may have it
    /// durably and have said so, and would be cut below what it has acknowledged.
    fn common(&self, rules: Rules, last: Option<Epoch>) -> Option<(Epoch, Offset)> {
        if self.written == self.log.end() || !rules.keeps(Rule::AnswerFromWritten) {
            return self.log.common(last);
        }
        let mut written = self.log.clone();
        written.append(self.epoch, self.written);
        written.common(last)
    }

    fn on_join(
        &mut self,
        context: &HostContext,
        peer: PeerNo,
        incarnation: Incarnation,
        join: Join,
        now: MonoNs,
        effects: &mut Vec<HostEffect>,
    ) {
        let is_replica = self.replicas.contains(peer);
        self.doubt(peer, join.known, now, effects);
        if self.is_deposed() || !is_replica || join.known > self.epoch {
            effects.push(HostEffect::Refuse(peer));
            return;
        }
        let follower = self.follower(peer);
        if incarnation < follower.incarnation {
            effects.push(HostEffect::Refuse(peer));
            return;
        }
        // What it has acknowledged stays true, unless it is another process or has lost something.
        let lost = follower.end.is_some_and(|end| join.end < end);
        if incarnation > follower.incarnation || lost {
            follower.end = None;
            follower.positions = 0;
        }
        follower.incarnation = incarnation;
        follower.gone = None;
        let answer = JoinAnswer {
            epoch: self.epoch,
            common: self.common(context.rules, join.last),
            start: self.log.start(),
            high_watermark: self.high_watermark,
        };
        effects.push(HostEffect::Answer(peer, answer));
    }

    fn on_acked(
        &mut self,
        peer: PeerNo,
        incarnation: Incarnation,
        ack: Ack,
        effects: &mut Vec<HostEffect>,
    ) {
        let (epoch, written) = (self.epoch, self.written);
        let known = self.followers.iter_mut().find(|f| f.peer == peer);
        let Some(follower) = known.filter(|f| f.incarnation == incarnation) else {
            return;
        };
        if ack.epoch != epoch {
            return;
        }
        // It claims what it cannot have: nothing that it says is worth anything.
        if ack.end > written {
            follower.end = None;
            effects.push(HostEffect::Refuse(peer));
            return;
        }
        follower.end = follower.end.max(Some(ack.end));
        follower.positions = follower.positions.max(ack.positions);
    }

    fn on_gone(&mut self, peer: PeerNo, now: MonoNs) {
        if let Some(follower) = self.followers.iter_mut().find(|f| f.peer == peer) {
            follower.gone = follower.gone.or(Some(now));
        }
    }

    fn on_altered(
        &mut self,
        context: &HostContext,
        answer: Altered,
        effects: &mut Vec<HostEffect>,
    ) {
        self.asking = false;
        if self.doubts.are_open() && answer != Altered::Unknown {
            self.doubts.settle();
            if !self.doubts.are_open() {
                effects.push(HostEffect::Pause(self.role != Role::Serving));
            }
        }
        match answer {
            Altered::Applied(record) => self.learn(context, &record, effects),
            Altered::Refused(record, why) => {
                if why == Refusal::StaleEpoch {
                    self.step_down(effects);
                    return;
                }
                if let Refusal::StaleMember(stale) = why {
                    let stale = self.followers.iter_mut().find(|f| f.peer == stale);
                    stale.into_iter().for_each(|f| f.end = None);
                }
                // Nothing else that was proposed under this version can come any more.
                if record.version == self.version && !self.unknown {
                    self.pending = None;
                }
                self.learn(context, &record, effects);
            }
            Altered::Unknown if context.rules.keeps(Rule::KeepUnion) => {
                self.unknown = true;
            }
            Altered::Unknown => self.pending = None,
        }
    }

    /// Takes in the record. A version above the known one ends every proposal made under that: each
    /// was applied and is in the record, or never will be.
    fn learn(
        &mut self,
        context: &HostContext,
        record: &Configuration,
        effects: &mut Vec<HostEffect>,
    ) {
        if record.grant > self.epoch.grant {
            self.step_down(effects);
        }
        // A grant has one host, but an index from a backup may give it again, to another peer and in any
        // version: two would write under one epoch.
        if record.grant == self.epoch.grant && record.host != context.me {
            self.step_down(effects);
            return;
        }
        if record.grant != self.epoch.grant || record.version <= self.version {
            return;
        }
        self.version = record.version;
        self.in_sync = record.in_sync;
        self.pending = None;
        self.unknown = false;
        let leaving = self.replicas.filter(|peer| !record.replicas.contains(peer));
        effects.extend(leaving.iter().map(HostEffect::Refuse));
        self.followers.retain(|f| record.replicas.contains(f.peer));
        self.let_go_doubts(record.replicas, effects);
        self.replicas = record.replicas;
        self.take_phase(record.phase, effects);
        // Its copy is damaged (rule 10).
        if record.acting_host().is_none() {
            self.step_down(effects);
        }
    }

    fn take_phase(&mut self, phase: Phase, effects: &mut Vec<HostEffect>) {
        let role = match phase {
            _ if self.is_deposed() => return,
            Phase::HandingOver { to } => Role::HandingOver(to),
            // The held messages come first.
            Phase::Held => Role::Draining,
            Phase::Serving | Phase::Offline => Role::Serving,
        };
        if role != self.role {
            self.role = role;
            effects.push(HostEffect::Pause(role != Role::Serving));
        }
    }

    fn step_down(&mut self, effects: &mut Vec<HostEffect>) {
        if !self.is_deposed() {
            self.role = Role::Deposed;
            effects.push(HostEffect::StepDown);
        }
    }

    /// A replica's word does not end the role, for it may be wrong, and then the topic would have no host.
    /// But while it may be right, this peer acknowledges nothing. The set that holds is proposed
    /// again: the index applies it, or tells that another peer hosts. Who is no replica has no say.
    fn doubt(&mut self, peer: PeerNo, claimed: Epoch, now: MonoNs, effects: &mut Vec<HostEffect>) {
        if self.is_deposed() || !self.replicas.contains(peer) || claimed <= self.epoch {
            return;
        }
        let doubted = self.doubts.are_open();
        if self.doubts.raise(peer, claimed, now) && !doubted {
            self.unknown = true;
            effects.push(HostEffect::Pause(true));
        }
    }

    fn let_go_doubts(&mut self, replicas: Members, effects: &mut Vec<HostEffect>) {
        let doubted = self.doubts.are_open();
        self.doubts.keep(replicas);
        if doubted && !self.doubts.are_open() && self.role == Role::Serving {
            effects.push(HostEffect::Pause(false));
        }
    }

    fn follower(&mut self, peer: PeerNo) -> &mut Follower {
        let known = self.followers.iter().position(|f| f.peer == peer);
        let at = known.unwrap_or_else(|| {
            self.followers.push(Follower {
                peer,
                incarnation: 0,
                end: None,
                positions: 0,
                gone: Some(MonoNs(0)),
                lag: None,
            });
            self.followers.len() - 1
        });
        &mut self.followers[at]
    }

    /// Every other member of the set is watched, whether it has come or not; each one's lag is
    /// brought up to date.
    fn renew_followers(&mut self, context: &HostContext, now: MonoNs) {
        for peer in self.in_sync.without(context.me).iter() {
            if !self.followers.iter().any(|f| f.peer == peer) {
                self.follower(peer).gone = Some(now);
            }
        }
        let (end, positions) = (self.log.end(), self.positions);
        for follower in &mut self.followers {
            follower.renew_lag(end, positions, now);
        }
    }

    /// What must have an append durably before it is acknowledged.
    fn required(&self, context: &HostContext) -> Members {
        let committed = self.in_sync.with(context.me);
        match self.pending {
            None => committed,
            Some(_) if !context.rules.keeps(Rule::WaitForProposals) => committed,
            Some(pending) if !context.rules.keeps(Rule::CommitShrinkFirst) => pending,
            Some(pending) => committed.union(pending),
        }
    }

    fn end_of(&self, context: &HostContext, peer: PeerNo) -> Option<Offset> {
        if peer == context.me {
            // Only what is synced: the others may be the ones who fail.
            return Some(match context.rules.keeps(Rule::HostSyncs) {
                true => self.log.end(),
                false => self.written,
            });
        }
        let follower = self.followers.iter().find(|f| f.peer == peer)?;
        follower.end
    }

    fn positions_of(&self, context: &HostContext, peer: PeerNo) -> u64 {
        if peer == context.me {
            return self.positions;
        }
        let follower = self.followers.iter().find(|f| f.peer == peer);
        follower.map_or(0, |follower| follower.positions)
    }

    /// Draws the consequences of whatever was learned.
    fn settle(&mut self, context: &HostContext, now: MonoNs, effects: &mut Vec<HostEffect>) {
        if self.is_deposed() {
            return;
        }
        self.advance(context, effects);
        self.propose(context, now, effects);
        self.hand_over(context, effects);
        self.wake(context, now, effects);
    }

    fn advance(&mut self, context: &HostContext, effects: &mut Vec<HostEffect>) {
        if self.doubts.are_open() || self.in_sync.len() < usize::from(self.min_in_sync) {
            return;
        }
        let required = self.required(context);
        let ends = required.iter().map(|peer| self.end_of(context, peer));
        // `None` is less than any offset: one that has not acknowledged holds all back.
        if let Some(end) = ends
            .min()
            .flatten()
            .filter(|end| *end > self.high_watermark)
        {
            self.high_watermark = end;
            effects.push(HostEffect::HighWatermark(end));
        }
        let revisions = required.iter().map(|peer| self.positions_of(context, peer));
        let revision = revisions.min().unwrap_or(0);
        if revision > self.positions_committed {
            self.positions_committed = revision;
            effects.push(HostEffect::PositionsCommitted(revision));
        }
    }
}
