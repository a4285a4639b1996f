//! The machine of all hosted topics of which others keep copies, and what its effects do.
//!
//! It is called from the journal's writer, from replicas' streams and from whoever hears from the index,
//! under one lock and never across an await. Each call does only what concerns the topics that it names.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use super::Replication;
use super::asking::Ask;
use super::hosted::{Gate, Hosted};
use super::stream::{ReplicaStream, Serve};
use crate::clock;
use crate::journal::{PositionKey, WrittenGroup};
use crate::replication::configuration::{Altered, Configuration};
use crate::replication::epochs::TopicLog;
use crate::replication::host::{HostContext, HostEvent};
use crate::replication::hosting::{Hosting, HostingEffect, Up};
use crate::replication::members::PeerNo;
use crate::types::{Epoch, Incarnation, MonoNs, Offset, TopicId, Version};
use crate::wire::ErrorReply;
use crate::wire::index::CopyLag;

/// What the lock protects.
pub(super) struct Machine {
    hosting: Hosting,
    streams: HashMap<PeerNo, Arc<ReplicaStream>>,
    least: HashMap<TopicId, u8>,
    /// Versions of records of topics that are hosted no more.
    heard: HashMap<TopicId, Version>,
    /// The time at which the machine wants to look again, as it was last told to the timer.
    armed: Option<MonoNs>,
}

impl Machine {
    pub(super) fn new(me: PeerNo) -> Self {
        Machine {
            hosting: Hosting::new(HostContext::new(me)),
            streams: HashMap::new(),
            least: HashMap::new(),
            heard: HashMap::new(),
            armed: None,
        }
    }

    fn hear(&mut self, topic: TopicId, version: Version) {
        let heard = self.heard.entry(topic).or_insert(version);
        *heard = version.max(*heard);
    }
}

/// What this peer takes the host role of a topic with.
pub(in crate::peer) struct Beginning {
    pub(in crate::peer) epoch: Epoch,
    /// The durable log, as the journal has it after the role is durable.
    pub(in crate::peer) log: TopicLog,
    /// The watermark that was heard of, as replica or before.
    pub(in crate::peer) known_watermark: Offset,
    pub(in crate::peer) record: Configuration,
    pub(in crate::peer) min_in_sync: u8,
}

impl Replication {
    /// Hosts the topic as its only copy, from now on. The role must be durable in the journal.
    pub(in crate::peer) fn begin_alone(&self, topic: TopicId) {
        self.end(topic);
        self.roles.write().alone.insert(topic);
        self.changed.mark(&[topic]);
    }

    /// Hosts the topic with others, from now on. The role must be durable in the journal.
    ///
    /// `beginning` is called under the locks of the machine and of the roles: what the journal syncs after
    /// it has looked finds the topic with others, waits for the machine, and is told to it. What was
    /// answered as the only copy's before is in the log that it sees.
    pub(in crate::peer) fn begin(&self, topic: TopicId, beginning: impl FnOnce() -> Beginning) {
        let machine = &mut *self.machine.lock();
        // Where it was the only copy, nobody waits, and readers go on.
        if self.hosted(topic).is_some() {
            self.end_in(machine, topic);
        }
        let Beginning {
            epoch,
            log,
            known_watermark,
            record,
            min_in_sync,
        } = {
            let mut roles = self.roles.write();
            let beginning = beginning();
            let (log, known) = (&beginning.log, beginning.known_watermark);
            let watermark = known.clamp(log.start(), log.end());
            let hosted = Hosted::new(beginning.epoch, log.end(), watermark);
            roles.alone.remove(&topic);
            roles.copied.insert(topic, Arc::new(hosted));
            self.any_copied.store(true, Ordering::Release);
            beginning
        };
        machine.least.insert(topic, min_in_sync);
        let now = clock::mono_now();
        let effects = machine.hosting.begin(
            topic,
            epoch,
            log,
            known_watermark,
            &record,
            min_in_sync,
            now,
        );
        self.refresh(machine, topic);
        self.perform(machine, effects);
        self.changed.mark(&[topic]);
    }

    /// Hosts the topic no more, whatever the reason. Whoever waits is sent to the next host.
    pub(in crate::peer) fn end(&self, topic: TopicId) {
        self.end_in(&mut self.machine.lock(), topic);
    }

    /// This process has another incarnation: every role has to be given anew.
    pub(in crate::peer) fn end_all(&self) {
        let machine = &mut *self.machine.lock();
        let (alone, copied): (Vec<TopicId>, Vec<TopicId>) = {
            let mut roles = self.roles.write();
            let alone = roles.alone.drain().collect();
            (alone, roles.copied.keys().copied().collect())
        };
        copied.iter().for_each(|&topic| self.end_in(machine, topic));
        self.tips.moved(&alone);
    }

    /// Whether this peer hosts the topic as its only copy.
    pub(in crate::peer) fn is_alone(&self, topic: TopicId) -> bool {
        self.roles.read().alone.contains(&topic)
    }

    /// The epoch under which this peer hosts a topic with others.
    pub(in crate::peer) fn hosted_epoch(&self, topic: TopicId) -> Option<Epoch> {
        Some(self.roles.read().copied.get(&topic)?.epoch)
    }

    /// The epoch under which this peer hosts a topic that takes only what the index has held.
    pub(super) fn draining(&self, topic: TopicId) -> Option<Epoch> {
        let machine = self.machine.lock();
        let hosted = machine.hosting.topic(topic)?;
        hosted.is_draining().then(|| hosted.epoch())
    }

    /// The version of the newest record heard of a topic that this peer hosts with others, or has hosted:
    /// going back to an older one could mean a set that is not in sync any more. 0: none was.
    pub(in crate::peer) fn heard(&self, topic: TopicId) -> Version {
        let machine = self.machine.lock();
        let hosted = machine.hosting.topic(topic).map(|hosted| hosted.version());
        let before = machine.heard.get(&topic).copied();
        hosted.max(before).unwrap_or(0)
    }

    /// Nothing of the topic is left here.
    pub(in crate::peer) fn forget(&self, topic: TopicId) {
        let machine = &mut *self.machine.lock();
        self.end_in(machine, topic);
        machine.heard.remove(&topic);
    }

    /// The index's record of a hosted topic, by whatever way. Older ones change nothing.
    pub(in crate::peer) fn record(&self, topic: TopicId, record: Configuration) {
        self.event(topic, HostEvent::Record(record));
        self.changed.mark(&[topic]);
    }

    /// Copies of hosted topics that are not in sync.
    pub(in crate::peer) fn lags(&self, topics: &[TopicId]) -> Vec<CopyLag> {
        let machine = self.machine.lock();
        let hosted = |&topic: &TopicId| Some((topic, machine.hosting.topic(topic)?));
        let behind = topics
            .iter()
            .filter_map(hosted)
            .flat_map(|(topic, hosted)| {
                hosted.behind().filter_map(move |(peer, messages)| {
                    Some(CopyLag {
                        topic,
                        peer: self.peers.key(peer)?,
                        messages,
                    })
                })
            });
        behind.collect()
    }

    /// The owner has set another least number of in-sync copies.
    pub(in crate::peer) fn min_in_sync(&self, topic: TopicId, least: u8) {
        let machine = &mut *self.machine.lock();
        if machine
            .least
            .get(&topic)
            .is_none_or(|known| *known == least)
        {
            return;
        }
        machine.least.insert(topic, least);
        self.event_in(machine, topic, HostEvent::MinInSync(least));
    }

    /// The index answered a wish for another set, or will not.
    pub(in crate::peer) fn altered(&self, topic: TopicId, answer: Altered) {
        let machine = &mut *self.machine.lock();
        if let Altered::Applied(record) | Altered::Refused(record, _) = &answer {
            machine.hear(topic, record.version);
        }
        self.event_in(machine, topic, HostEvent::Altered(answer));
        self.changed.mark(&[topic]);
    }

    /// Looks at a topic again, for what it asked for has failed.
    pub(in crate::peer) fn look_again(&self, topic: TopicId) {
        self.event(topic, HostEvent::Wake);
    }

    /// The journal's writer has written a group and is about to sync it: replicas are sent what is theirs
    /// of it, and sync it at the same time.
    ///
    /// Only batches of the epoch under which this peer hosts the topic now, so that the entries that make
    /// the epoch durable lie in an earlier group, which is synced (rules 6 and 9).
    ///
    /// Answers whether a replica's stream was woken.
    pub(in crate::peer) fn written(&self, group: &WrittenGroup<'_>) -> bool {
        if !self.any_copied.load(Ordering::Acquire) || !self.concerns_replicas(group) {
            return false;
        }
        let topics = self.wrote(group);
        // The machine is let go by now: who wakes needs it.
        self.replica_tips.moved(&topics)
    }

    /// Notes what of a group replicas may be sent, and tells the machine before any of it is: no
    /// acknowledgement may come in before it knows. Answers the topics.
    fn wrote(&self, group: &WrittenGroup<'_>) -> Vec<TopicId> {
        let machine = &mut *self.machine.lock();
        let mut ends: Vec<(TopicId, Offset)> = {
            let roles = self.roles.read();
            let sent = group.batches().filter(|batch| {
                let hosted = roles.copied.get(&batch.header.topic);
                hosted.is_some_and(|hosted| hosted.wrote(batch))
            });
            sent.map(|batch| (batch.header.topic, batch.header.end()))
                .collect()
        };
        // Of each topic the last.
        ends.sort_unstable();
        ends.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = later.1;
            }
            same
        });
        let effects = machine.hosting.written(&ends, clock::mono_now());
        if !effects.is_empty() {
            self.perform(machine, effects);
        }
        ends.into_iter().map(|(topic, _)| topic).collect()
    }

    fn concerns_replicas(&self, group: &WrittenGroup<'_>) -> bool {
        let roles = self.roles.read();
        let mut batches = group.batches();
        batches.any(|batch| roles.copied.contains_key(&batch.header.topic))
    }

    /// The journal's writer has synced a group: the ends of the topics in it.
    pub(in crate::peer) fn synced(&self, ends: &[(TopicId, Offset)]) {
        let (copied, others) = self.split(ends);
        self.tips.moved(&others);
        self.changed.mark(&others);
        if copied.is_empty() {
            return;
        }
        let topics: Vec<TopicId> = copied.iter().map(|(topic, _)| *topic).collect();
        let machine = &mut *self.machine.lock();
        let now = clock::mono_now();
        let effects = machine.hosting.synced(&copied, now);
        self.perform(machine, effects);
        self.trimmed(machine, &topics, now);
        let untold = copied.iter().filter(|(topic, end)| {
            let hosted = self.hosted(*topic);
            hosted.is_some_and(|hosted| hosted.synced(*end))
        });
        let untold: Vec<TopicId> = untold.map(|(topic, _)| *topic).collect();
        self.replica_tips.moved(&untold);
    }

    /// Topics of which others have copies, and the other ones.
    fn split(&self, ends: &[(TopicId, Offset)]) -> (Vec<(TopicId, Offset)>, Vec<TopicId>) {
        let roles = self.roles.read();
        if roles.copied.is_empty() {
            return (vec![], ends.iter().map(|(topic, _)| *topic).collect());
        }
        let (copied, others): (Vec<_>, Vec<_>) = ends
            .iter()
            .partition(|(topic, _)| roles.copied.contains_key(topic));
        (copied, others.into_iter().map(|(topic, _)| topic).collect())
    }

    /// Retention may have dropped messages of these.
    fn trimmed(&self, machine: &mut Machine, topics: &[TopicId], now: MonoNs) {
        let Some(journal) = self.journal.get() else {
            return;
        };
        for &topic in topics {
            let known = machine.hosting.topic(topic).map(|t| t.log().start());
            let start = journal.topic(topic).map(|stat| stat.start);
            if let (Some(known), Some(start)) = (known, start)
                && known < start
            {
                let event = HostEvent::Trimmed { start };
                let effects = machine.hosting.handle(topic, event, now);
                self.perform(machine, effects);
            }
        }
    }

    /// A position is durable here: waits until it is so at all copies. Of a topic without other copies
    /// there is nothing to wait for.
    pub(in crate::peer) async fn position_synced(
        &self,
        topic: TopicId,
        key: &PositionKey,
    ) -> Result<(), ErrorReply> {
        let told = {
            let machine = &mut *self.machine.lock();
            let hosted = {
                let roles = self.roles.read();
                if roles.alone.contains(&topic) {
                    return Ok(());
                }
                match roles.copied.get(&topic) {
                    Some(hosted) => Arc::clone(hosted),
                    None if self.is_surely_alone(topic) => return Ok(()),
                    None => return Err(self.not_host(topic)),
                }
            };
            let (revision, told) = hosted.position_synced();
            for stream in machine.streams.values() {
                stream.position(topic, key, revision);
            }
            let event = HostEvent::PositionsSynced { revision };
            let effects = machine.hosting.handle(topic, event, clock::mono_now());
            self.perform(machine, effects);
            told
        };
        // The sender goes only when the role does, and says so before.
        told.await.unwrap_or_else(|_| Err(self.not_host(topic)))
    }

    /// A read has met damage. Where another member of the set is connected, that one is to host, and this
    /// peer gets its copy anew (rule 10). Alone it goes on with what it has.
    pub(in crate::peer) fn damaged(&self, topic: TopicId) {
        let machine = self.machine.lock();
        let Some(hosted) = machine.hosting.topic(topic) else {
            return;
        };
        let others = hosted.in_sync().without(self.peers.number(self.me));
        if others
            .iter()
            .any(|peer| machine.streams.contains_key(&peer))
        {
            tracing::error!(%topic, "the copy is damaged here; another peer is to host it");
            self.asks.push(Ask::Leave(topic));
        }
    }

    // ---- replicas' streams ----

    /// A replica's stream stands. An earlier one of the same replica ends.
    pub(super) fn stream_opened(
        &self,
        peer: PeerNo,
        incarnation: Incarnation,
    ) -> Arc<ReplicaStream> {
        let stream = Arc::new(ReplicaStream::default());
        let machine = &mut *self.machine.lock();
        let now = clock::mono_now();
        if let Some(earlier) = machine.streams.insert(peer, Arc::clone(&stream)) {
            earlier.replace();
            let effects = machine.hosting.closed(peer, now);
            self.perform(machine, effects);
        }
        machine.hosting.opened(peer, incarnation, now);
        stream
    }

    /// A replica's stream is over, unless another has taken its place.
    pub(super) fn stream_closed(&self, peer: PeerNo, stream: &Arc<ReplicaStream>) {
        let machine = &mut *self.machine.lock();
        let current = machine.streams.get(&peer);
        if current.is_some_and(|current| Arc::ptr_eq(current, stream)) {
            machine.streams.remove(&peer);
            let effects = machine.hosting.closed(peer, clock::mono_now());
            self.perform(machine, effects);
        }
    }

    /// Whether a topic's appends wait for this replica.
    pub(super) fn waits_for(&self, topic: TopicId, peer: PeerNo) -> bool {
        self.machine.lock().hosting.waits_for(topic, peer)
    }

    /// A frame of a replica.
    pub(super) fn stream_frame(&self, peer: PeerNo, stream: &Arc<ReplicaStream>, frame: Up) {
        let machine = &mut *self.machine.lock();
        let current = machine.streams.get(&peer);
        if current.is_some_and(|current| Arc::ptr_eq(current, stream)) {
            let effects = machine.hosting.frame(peer, frame, clock::mono_now());
            self.perform(machine, effects);
        }
    }

    // ---- time ----

    /// Gives the machine the time whenever it has asked for it. Ends with its caller.
    pub(in crate::peer) async fn keep_time(&self) {
        loop {
            let due = self.machine.lock().hosting.wake_at();
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep(due.since(clock::mono_now())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {
                    let machine = &mut *self.machine.lock();
                    machine.armed = None;
                    let effects = machine.hosting.wake(clock::mono_now());
                    self.perform(machine, effects);
                }
                () = self.sooner.notified() => {}
            }
        }
    }

    // ---- the machine ----

    fn event(&self, topic: TopicId, event: HostEvent) {
        self.event_in(&mut self.machine.lock(), topic, event);
    }

    fn event_in(&self, machine: &mut Machine, topic: TopicId, event: HostEvent) {
        let effects = machine.hosting.handle(topic, event, clock::mono_now());
        self.refresh(machine, topic);
        self.perform(machine, effects);
    }

    pub(super) fn hosted(&self, topic: TopicId) -> Option<Arc<Hosted>> {
        self.roles.read().copied.get(&topic).map(Arc::clone)
    }

    /// Tells the topic's own state who is in sync and whether it takes appends. Before the effects are
    /// carried out, which answer under it.
    fn refresh(&self, machine: &Machine, topic: TopicId) {
        let (Some(hosted), Some(state)) = (self.hosted(topic), machine.hosting.topic(topic)) else {
            return;
        };
        let least = machine.least.get(&topic).copied().unwrap_or(1);
        let in_sync = state.in_sync();
        let gate = match state.takes_appends() {
            true => Gate::Open,
            false if in_sync.len() < usize::from(least) => Gate::TooFew {
                in_sync: in_sync.len() as u8,
                least,
            },
            false => Gate::Paused,
        };
        hosted.set(self.peers.keys(in_sync), gate);
        if state.is_draining() {
            self.drains.push(topic);
        }
    }

    fn perform(&self, machine: &mut Machine, effects: Vec<HostingEffect>) {
        let mut due = VecDeque::from(effects);
        let mut moved = Vec::new();
        while let Some(effect) = due.pop_front() {
            match effect {
                HostingEffect::Send(peer, frame) => {
                    if let Some(stream) = machine.streams.get(&peer) {
                        stream.send(frame);
                    }
                }
                HostingEffect::Serve(peer, slot, topic, from) => {
                    let hosted = self.hosted(topic);
                    if let (Some(stream), Some(hosted)) = (machine.streams.get(&peer), hosted) {
                        let serve = Serve {
                            slot,
                            topic,
                            epoch: hosted.epoch,
                            from,
                        };
                        stream.serve(serve, hosted.revision());
                    }
                }
                HostingEffect::Committed(topic, end) => {
                    if let Some(hosted) = self.hosted(topic) {
                        hosted.committed(end);
                    }
                    moved.push(topic);
                }
                HostingEffect::PositionsCommitted(topic, revision) => {
                    if let Some(hosted) = self.hosted(topic) {
                        hosted.positions_committed(revision);
                    }
                }
                HostingEffect::Propose(topic, wish) => self.asks.push(Ask::Alter(topic, wish)),
                HostingEffect::Level(topic, epoch, to) => {
                    self.asks.push(Ask::HandOver(topic, epoch, to));
                }
                HostingEffect::Pause(topic, _) => self.refresh(machine, topic),
                HostingEffect::StepDown(topic) => {
                    tracing::info!(%topic, "another peer hosts the topic now");
                    due.extend(self.cease(machine, topic));
                    moved.push(topic);
                }
            }
        }
        self.tips.moved(&moved);
        self.changed.mark(&moved);
        let next = machine.hosting.wake_at();
        if next.is_some_and(|next| machine.armed.is_none_or(|armed| next < armed)) {
            machine.armed = next;
            self.sooner.notify_one();
        }
    }

    fn end_in(&self, machine: &mut Machine, topic: TopicId) {
        let effects = self.cease(machine, topic);
        self.perform(machine, effects);
        self.tips.moved(&[topic]);
    }

    /// Takes the role away; answers what replicas are to be told.
    fn cease(&self, machine: &mut Machine, topic: TopicId) -> Vec<HostingEffect> {
        let hosted = {
            let mut roles = self.roles.write();
            roles.alone.remove(&topic);
            let hosted = roles.copied.remove(&topic);
            let any = !roles.copied.is_empty();
            self.any_copied.store(any, Ordering::Release);
            hosted
        };
        if let Some(hosted) = hosted {
            hosted.end();
        }
        machine.least.remove(&topic);
        let (ended, effects) = machine.hosting.end(topic);
        if let Some(ended) = ended {
            machine.hear(topic, ended.version());
        }
        effects
    }
}
