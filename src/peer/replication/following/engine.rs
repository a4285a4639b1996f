//! The task that holds the machine of all topics that this peer keeps copies of, and does what it says.
//!
//! Everything that the machine has written is given to the journal before the next event is looked at, in
//! the order of the machine's numbers, so that one number says what is durable. Where the journal
//! refuses an entry (the disk is full, or damaged), the machine's log is not the journal's any more: the
//! topic is dropped, with all that it would have acknowledged, and taken up again from what the
//! journal has.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::mpsc;

use super::entries::Entries;
use super::link::{self, Dialling, Event, Link, What};
use super::{CopyingContext, Request, Requests, dedupe};
use crate::client::{Backoff, describe};
use crate::clock;
use crate::journal::{
    Command, CompletionQueue, DedupeRange, Done, KeptTopic, Outcome, Position, PositionKey, Stopped,
};
use crate::limits;
use crate::replication::acks::JournalSeq;
use crate::replication::following::{Entry, Following, FollowingEffect};
use crate::replication::hosting::{Down, SlotNo};
use crate::replication::members::PeerNo;
use crate::replication::rules::Rules;
use crate::transport::CallError;
use crate::types::{Fingerprint, MonoNs, Offset, ProducerId, TopicId, TopicName};
use crate::wire::batch;
use crate::wire::index::copies::LeaveInSync;
use crate::wire::peer::replication::{FetchDedupe, Positions};

/// What a task of the engine's brings back.
enum Brought {
    Dedupe(TopicId, SlotNo, Result<Ranges, CallError>),
    Left(TopicId, bool),
}

type Ranges = Vec<(ProducerId, DedupeRange)>;

/// A topic of which a copy is kept.
struct Kept {
    name: TopicName,
    host: PeerNo,
    grant: u32,
    backoff: Backoff,
    /// The machine does not have it: the journal refused something. What it knew to be committed.
    dropped: Option<Offset>,
    /// When it is looked at again.
    due: Option<MonoNs>,
    /// The index is being asked to take this peer out of the in-sync set.
    leaving: bool,
}

/// See the module.
pub(super) struct Engine {
    context: CopyingContext,
    requests: Arc<Requests>,
    machine: Following,
    topics: HashMap<TopicId, Kept>,
    links: HashMap<PeerNo, Link>,
    /// Links made so far.
    linked: u64,
    events: mpsc::Sender<Event>,
    inbox: mpsc::Receiver<Event>,
    brought: mpsc::Sender<Brought>,
    fetched: mpsc::Receiver<Brought>,
    done: Arc<CompletionQueue>,
    entries: Entries,
    wakes: BinaryHeap<Reverse<(MonoNs, TopicId)>>,
}

impl Engine {
    pub(super) fn new(context: CopyingContext, requests: Arc<Requests>) -> Engine {
        let (events, inbox) = mpsc::channel(limits::HOST_FRAMES_WAITING);
        let (brought, fetched) = mpsc::channel(limits::HOST_FRAMES_WAITING);
        Engine {
            context,
            requests,
            machine: Following::new(Rules::ALL),
            topics: HashMap::new(),
            links: HashMap::new(),
            linked: 0,
            events,
            inbox,
            brought,
            fetched,
            done: Arc::new(CompletionQueue::new()),
            entries: Entries::default(),
            wakes: BinaryHeap::new(),
        }
    }

    /// Runs until dropped, or until the journal stops.
    pub(super) async fn run(mut self) {
        let requests = Arc::clone(&self.requests);
        let done = Arc::clone(&self.done);
        loop {
            let due = self.wakes.peek().map(|Reverse((due, _))| *due);
            let wake = async {
                match due {
                    Some(due) => tokio::time::sleep(due.since(clock::mono_now())).await,
                    None => pending().await,
                }
            };
            let went_on = tokio::select! {
                biased;
                outcomes = done.wait() => self.on_outcomes(outcomes).await,
                request = requests.next() => self.on_request(request).await,
                // Both senders are kept here, so neither ever ends.
                Some(brought) = self.fetched.recv() => self.on_brought(brought).await,
                Some(event) = self.inbox.recv() => self.on_event(event).await,
                () = wake => self.on_wake().await,
            };
            if let Err(Stopped) = went_on {
                tracing::debug!("the journal has stopped, and so have copies");
                return;
            }
        }
    }

    // ---- what the roles want ----

    async fn on_request(&mut self, request: Request) -> Result<(), Stopped> {
        match request {
            Request::Follow {
                topic,
                name,
                host,
                grant,
            } => self.follow(topic, name, host, grant).await,
            Request::Unfollow { topic, done } => {
                // Who no longer waits was dropped with the roles.
                let _ = done.send(self.unfollow(topic));
                Ok(())
            }
            Request::Reincarnated => {
                let hosts: Vec<PeerNo> = self.links.keys().copied().collect();
                for host in hosts {
                    self.machine.closed(host);
                    let names = self.links.remove(&host).map(|link| Arc::clone(&link.names));
                    self.link(host, names.unwrap_or_default());
                }
                Ok(())
            }
        }
    }

    async fn follow(
        &mut self,
        id: TopicId,
        name: TopicName,
        key: Fingerprint,
        grant: u32,
    ) -> Result<(), Stopped> {
        let host = self.context.replication.peers.number(key);
        let known = self.topics.get(&id).map(|kept| (kept.grant, kept.host));
        match known {
            Some((known, _)) if known > grant => return Ok(()),
            Some(known) if known == (grant, host) => return Ok(()),
            Some((_, before)) => self.unname(before, id),
            None => {}
        }
        let names = match self.links.get(&host) {
            Some(link) => Arc::clone(&link.names),
            None => self.link(host, link::Names::default()),
        };
        names.lock().insert(id, name.clone());
        let before = self.topics.remove(&id);
        let kept = Kept {
            name,
            host,
            grant,
            backoff: Backoff::default(),
            dropped: before.and_then(|kept| kept.dropped),
            due: None,
            leaving: false,
        };
        let was_dropped = kept.dropped.is_some();
        self.topics.insert(id, kept);
        if was_dropped && self.entries.has(id) {
            // Not before the journal has said what became of them.
            self.later(id);
            return Ok(());
        }
        self.take_up(id).await
    }

    /// Gives the machine a topic with its log as written.
    async fn take_up(&mut self, id: TopicId) -> Result<(), Stopped> {
        let Some(kept) = self.topics.get_mut(&id) else {
            return Ok(());
        };
        let Some(copy) = self.context.journal.copy(id).filter(|copy| !copy.hosts) else {
            tracing::error!(topic = %id, "a copy is to be kept of a topic that the journal does not know as one");
            return Ok(());
        };
        let watermark = kept.dropped.take().unwrap_or(Offset::FIRST);
        let (host, grant, damaged) = (kept.host, kept.grant, copy.damaged);
        let log = || (copy.log, copy.known, watermark);
        let mut effects = self.machine.follow(id, host, grant, log);
        if damaged {
            tracing::error!(topic = %id, "the copy is damaged: it is fetched anew");
            effects.extend(self.machine.damaged(id));
        }
        self.perform(effects, None).await
    }

    fn unfollow(&mut self, id: TopicId) -> Option<Offset> {
        let kept = self.topics.remove(&id)?;
        self.unname(kept.host, id);
        let topic = self.machine.unfollow(id);
        let watermark = topic.map(|topic| topic.high_watermark());
        watermark.or(kept.dropped)
    }

    /// A host's topic less. The link goes with the last.
    fn unname(&mut self, host: PeerNo, id: TopicId) {
        let Some(link) = self.links.get(&host) else {
            return;
        };
        link.names.lock().remove(&id);
        if link.names.lock().is_empty() {
            self.links.remove(&host);
            self.machine.closed(host);
        }
    }

    fn link(&mut self, host: PeerNo, names: link::Names) -> link::Names {
        self.linked += 1;
        let Some(key) = self.context.replication.peers.key(host) else {
            return names;
        };
        let dialling = Dialling {
            client: self.context.client.clone(),
            state: Arc::clone(&self.context.state),
            key,
            host,
            link: self.linked,
            names: Arc::clone(&names),
            events: self.events.clone(),
        };
        self.links.insert(host, Link::start(dialling));
        names
    }

    // ---- what hosts say ----

    async fn on_event(&mut self, event: Event) -> Result<(), Stopped> {
        let Event { host, link, what } = event;
        let Some(known) = self.links.get_mut(&host).filter(|l| l.number == link) else {
            return Ok(());
        };
        match what {
            What::Opened(connection, outbox) => {
                known.open = Some((connection, outbox));
                let effects = self.machine.opened(host);
                self.perform(effects, None).await
            }
            What::Closed => {
                known.open = None;
                self.machine.closed(host);
                Ok(())
            }
            What::Frame(Down::Ended(slot)) => self.end_slot(host, slot),
            What::Frame(frame) => {
                if let Down::Watermarks(moved) = &frame {
                    for (slot, ..) in moved {
                        self.goes_well(host, *slot);
                    }
                }
                let effects = self.machine.frame(host, frame);
                self.perform(effects, None).await
            }
            What::Batches(slot, bytes) => self.on_batches(host, slot, bytes).await,
            What::Positions(positions) => self.on_positions(host, positions).await,
        }
    }

    /// The host gave the slot up, or it is of no use: asked for again after a while.
    fn end_slot(&mut self, host: PeerNo, slot: SlotNo) -> Result<(), Stopped> {
        let topic = self.machine.topic_on(host, slot);
        // It has no effects: the slot is gone on both sides.
        let _ = self.machine.frame(host, Down::Ended(slot));
        if let Some(id) = topic {
            self.later(id);
        }
        Ok(())
    }

    fn goes_well(&mut self, host: PeerNo, slot: SlotNo) {
        if let Some(id) = self.machine.topic_on(host, slot)
            && let Some(kept) = self.topics.get_mut(&id)
        {
            kept.backoff.reset();
        }
    }

    async fn on_batches(
        &mut self,
        host: PeerNo,
        slot: SlotNo,
        mut rest: Bytes,
    ) -> Result<(), Stopped> {
        while let Some(id) = self.machine.topic_on(host, slot) {
            let (bytes, header) = match first_batch(&mut rest, id) {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(topic = %id, %error, "a host sent what is no batch of the topic");
                    return self.end_slot(host, slot);
                }
            };
            self.goes_well(host, slot);
            let (base, end, epoch) = (header.base, header.end(), header.epoch);
            let effects = self.machine.batch(host, slot, base, end, epoch);
            self.perform(effects, Some(bytes)).await?;
        }
        Ok(())
    }

    async fn on_positions(&mut self, host: PeerNo, frame: Positions) -> Result<(), Stopped> {
        let Some(topic) = self.machine.topic_on(host, frame.slot) else {
            return Ok(());
        };
        let positions = frame.positions.into_iter().map(|entry| {
            let key = PositionKey {
                subscriber: entry.subscriber,
                group: entry.group,
            };
            let at = Position {
                next: entry.next,
                sequence: entry.sequence,
            };
            (key, at)
        });
        let command = Command::ReplicatePositions {
            topic,
            positions: positions.collect(),
        };
        let number = (!frame.more).then(|| self.machine.written() + 1);
        self.submit(topic, number, command).await?;
        if frame.more {
            return Ok(());
        }
        let effects = self.machine.positions(host, frame.slot, frame.revision);
        self.perform(effects, None).await
    }

    // ---- what the machine says ----

    /// `batch`: the one that the machine was asked about.
    async fn perform(
        &mut self,
        effects: Vec<FollowingEffect>,
        batch: Option<Bytes>,
    ) -> Result<(), Stopped> {
        for effect in effects {
            match effect {
                FollowingEffect::Send(host, frame) => {
                    let link = self.links.get(&host).and_then(|link| link.open.as_ref());
                    if let Some((_, outbox)) = link {
                        outbox.push(frame);
                    }
                }
                FollowingEffect::Journal(number, id, entry) => {
                    if let Some(command) = self.command(id, entry, batch.as_ref()) {
                        self.submit(id, Some(number), command).await?;
                    }
                }
                FollowingEffect::FetchDedupe(host, id) => self.fetch_dedupe(host, id),
                FollowingEffect::LeaveSet(id) => self.leave_set(id),
            }
        }
        Ok(())
    }

    fn command(&self, topic: TopicId, entry: Entry, batch: Option<&Bytes>) -> Option<Command> {
        Some(match entry {
            Entry::Known(epoch) => {
                let copy = self.context.journal.copy(topic)?;
                let topic = KeptTopic {
                    id: topic,
                    name: copy.name,
                    settings: copy.settings,
                };
                Command::Known { topic, epoch }
            }
            Entry::Truncate(to) => Command::Truncate { topic, to },
            Entry::Reset(start) => Command::Reset { topic, start },
            Entry::Trim(start) => Command::Trim { topic, start },
            Entry::Batch => Command::Replicate {
                topic,
                batch: batch?.clone(),
            },
        })
    }

    /// Waits for room in the journal's queue: what comes after waits with it.
    async fn submit(
        &mut self,
        topic: TopicId,
        number: Option<JournalSeq>,
        command: Command,
    ) -> Result<(), Stopped> {
        self.entries.push(topic, number);
        let done = Done::Queue(Arc::clone(&self.done), number.unwrap_or(0));
        self.context.journal.submit(command, done).await
    }

    fn fetch_dedupe(&self, host: PeerNo, id: TopicId) {
        let open = self.links.get(&host).and_then(|link| link.open.as_ref());
        let topic = self.machine.topic(id);
        let slot = self.machine.slot_of(id);
        let (Some((connection, _)), Some(topic), Some(slot)) = (open, topic, slot) else {
            return;
        };
        // The answer's epoch was made known before this was asked for.
        let request = FetchDedupe {
            topic: id,
            epoch: topic.known(),
            below: topic.log().start(),
        };
        let (connection, brought) = (connection.clone(), self.brought.clone());
        tokio::spawn(async move {
            let fetched = dedupe::fetch(&connection, &request).await;
            // An engine that is gone needs it no more.
            let _ = brought.send(Brought::Dedupe(id, slot, fetched)).await;
        });
    }

    fn leave_set(&mut self, id: TopicId) {
        let Some(kept) = self.topics.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut kept.leaving, true) {
            return;
        }
        let (index, brought) = (self.context.client.index().clone(), self.brought.clone());
        let session = self.context.state.session();
        tracing::warn!(topic = %id, name = %kept.name, "leaving the in-sync set, to fetch the copy anew");
        tokio::spawn(async move {
            let doing = "leaving a topic's in-sync set";
            let left = match session {
                Some(session) => {
                    let request = LeaveInSync { session, topic: id };
                    let asked = index.call(doing, &request, false).await;
                    let told = asked.inspect_err(|error| {
                        tracing::warn!(topic = %id, error = %describe(error), "{doing} failed; trying again");
                    });
                    told.is_ok()
                }
                None => false,
            };
            let _ = brought.send(Brought::Left(id, left)).await;
        });
    }

    async fn on_brought(&mut self, brought: Brought) -> Result<(), Stopped> {
        match brought {
            Brought::Left(id, left) => {
                let Some(kept) = self.topics.get_mut(&id) else {
                    return Ok(());
                };
                kept.leaving = false;
                if !left {
                    self.later(id);
                    return Ok(());
                }
                let effects = self.machine.left(id);
                self.perform(effects, None).await
            }
            Brought::Dedupe(id, slot, fetched) => {
                // Asked for on a slot that is gone: asked for anew on the next.
                if self.machine.slot_of(id) != Some(slot) {
                    return Ok(());
                }
                match fetched {
                    Ok(ranges) => self.on_dedupe(id, &ranges).await,
                    Err(error) => {
                        tracing::warn!(topic = %id, %error, "could not fetch what a host remembers of producers");
                        match self.topics.get(&id).map(|kept| kept.host) {
                            Some(host) => self.end_slot(host, slot),
                            None => Ok(()),
                        }
                    }
                }
            }
        }
    }

    async fn on_dedupe(
        &mut self,
        topic: TopicId,
        ranges: &[(ProducerId, DedupeRange)],
    ) -> Result<(), Stopped> {
        let Some(below) = self.machine.topic(topic).map(|topic| topic.log().start()) else {
            return Ok(());
        };
        let mut parts = ranges.chunks(limits::RANGES_PER_FRAME).peekable();
        let mut first = true;
        loop {
            let part = parts.next().unwrap_or(&[]);
            let is_last = parts.peek().is_none();
            let number = is_last.then(|| self.machine.written() + 1);
            let command = Command::Dedupe {
                topic,
                below,
                first,
                ranges: part.to_vec(),
            };
            self.submit(topic, number, command).await?;
            if is_last {
                break;
            }
            first = false;
        }
        let effects = self.machine.dedupe(topic);
        self.perform(effects, None).await
    }

    // ---- what is durable ----

    async fn on_outcomes(&mut self, outcomes: Vec<(u64, Outcome)>) -> Result<(), Stopped> {
        let synced = self
            .entries
            .take(outcomes.into_iter().map(|(_, outcome)| outcome));
        if synced.stopped {
            return Err(Stopped);
        }
        for (id, refusal) in synced.refused {
            let Some(kept) = self.topics.get_mut(&id) else {
                continue;
            };
            tracing::warn!(topic = %id, name = %kept.name, %refusal, "a copy could not be kept up; trying again");
            // With it go its acknowledgements that wait for a sync.
            if let Some(topic) = self.machine.unfollow(id) {
                kept.dropped = Some(topic.high_watermark());
            }
            self.later(id);
        }
        match synced.through {
            Some(through) => {
                let effects = self.machine.synced(through);
                self.perform(effects, None).await
            }
            None => Ok(()),
        }
    }

    // ---- time ----

    /// Looks at a topic again after a pause.
    fn later(&mut self, id: TopicId) {
        if let Some(kept) = self.topics.get_mut(&id)
            && kept.due.is_none()
        {
            let due = clock::mono_now().plus(kept.backoff.next(rand::random()));
            kept.due = Some(due);
            self.wakes.push(Reverse((due, id)));
        }
    }

    async fn on_wake(&mut self) -> Result<(), Stopped> {
        let now = clock::mono_now();
        while let Some(Reverse((due, id))) = self.wakes.peek().copied()
            && due <= now
        {
            self.wakes.pop();
            let Some(kept) = self.topics.get_mut(&id).filter(|k| k.due == Some(due)) else {
                continue;
            };
            kept.due = None;
            if kept.dropped.is_some() {
                match self.entries.has(id) {
                    true => self.later(id),
                    false => self.take_up(id).await?,
                }
                continue;
            }
            let effects = match self.machine.is_leaving(id) {
                true => self.machine.damaged(id),
                false => self.machine.retry(id),
            };
            self.perform(effects, None).await?;
        }
        Ok(())
    }
}

/// Takes the first batch off a frame's payload, verified. Its bytes share the frame's buffer until the
/// journal has copied them.
fn first_batch(
    rest: &mut Bytes,
    topic: TopicId,
) -> Result<Option<(Bytes, batch::BatchHeader)>, batch::BatchError> {
    let Some((first, after)) = batch::split_first(rest)? else {
        return Ok(None);
    };
    *rest = after;
    let header = link::verified(&first, topic)?;
    Ok(Some((first, header)))
}

#[cfg(test)]
mod tests;
