//! The task that holds the machine of all topics that this peer keeps copies of, and does what it says.
//!
//! Everything that the machine has written is given to the journal before the next event is looked at, in
//! the order of the machine's numbers, so that one number says what is durable. Where the journal
//! refuses an entry (the disk is full, or damaged), the machine's log is not the journal's any more: the
//! topic is dropped, with all that it would have acknowledged, and taken up again from what the
//! journal has.

mod asking;
mod frames;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::mpsc;

use super::entries::Entries;
use super::link::{self, Dialling, Event, Link};
use super::{CopyingContext, Request, Requests};
use crate::client::Backoff;
use crate::clock;
use crate::journal::{Command, CompletionQueue, DedupeRange, Done, KeptTopic, Outcome, Stopped};
use crate::limits;
use crate::replication::acks::JournalSeq;
use crate::replication::following::{Entry, Following, FollowingEffect};
use crate::replication::hosting::SlotNo;
use crate::replication::members::PeerNo;
use crate::replication::rules::Rules;
use crate::transport::CallError;
use crate::types::{Fingerprint, MonoNs, Offset, ProducerId, TopicId, TopicName};

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
                let _ = done.send(self.unfollow(topic).await?);
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
        let kept = self.topics.entry(id).insert(kept).into_mut();
        // What the journal shows is not yet what was written to it, and acknowledging that could be
        // acknowledging what is being cut: not before it has said what became of the entries.
        if self.machine.topic(id).is_none() && self.entries.has(id) {
            kept.dropped.get_or_insert(Offset::FIRST);
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

    async fn unfollow(&mut self, id: TopicId) -> Result<Option<Offset>, Stopped> {
        let Some(kept) = self.topics.remove(&id) else {
            return Ok(None);
        };
        let (topic, effects) = self.machine.unfollow(id);
        self.perform(effects, None).await?;
        self.unname(kept.host, id);
        let watermark = topic.map(|topic| topic.high_watermark());
        Ok(watermark.or(kept.dropped))
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
        self.context.journal.submit_deferred(command, done).await
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
            let (topic, effects) = self.machine.unfollow(id);
            if let Some(topic) = topic {
                kept.dropped = Some(topic.high_watermark());
            }
            self.perform(effects, None).await?;
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

#[cfg(test)]
mod tests;
