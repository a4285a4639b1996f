//! All topics of a publisher and their timers. Pure: events in, effects out, `now` and
//! randomness are arguments.
//!
//! A message or an event is only recorded; [`Core::pump`] then does for every touched topic what is
//! due. A shell that hands in all that has gathered before it pumps thus gets full batches.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use rand::RngCore;

use super::batches::Block;
use super::tickets::{PARTIAL_BATCHES, Tickets};
use super::topic::{Room, Topic};
use super::{PublisherOptions, Receipt};
use crate::client::ClientError;
use crate::types::{Fingerprint, MonoNs, TopicId, TopicName, UnixMicros};
use crate::wire::Retry;
use crate::wire::batch::Record;
use crate::wire::index::Route;
use crate::wire::index::copies::HeldInfo;
use crate::wire::peer::{AppendAck, AppendNack, AppendNext, Members};

/// A topic of this publisher, by its place in a table.
pub(super) type TopicKey = u32;
/// One append stream; never used twice.
pub(super) type LinkId = u64;

/// What a message is answered with. The error is boxed, for it is larger than a receipt, and receipts
/// are many.
pub(super) type Answer = Result<Receipt, Box<ClientError>>;

/// What the outside gives to each step.
pub(super) struct Moment<'a> {
    pub(super) now: MonoNs,
    /// Written into batches, for people.
    pub(super) wall: UnixMicros,
    /// For producer ids and the jitter of pauses.
    pub(super) random: &'a mut dyn RngCore,
}

/// What happened, besides messages to send.
pub(super) enum Event {
    /// Nothing shall linger.
    Flush,
    /// The search found the topic's host, and a stream to it is open.
    Found {
        topic: TopicKey,
        search: u64,
        route: Arc<Route>,
        link: LinkId,
    },
    /// The search, or the probe, failed.
    NotFound {
        topic: TopicKey,
        search: u64,
        error: ClientError,
        retry: Retry,
    },
    /// The topic's host cannot be reached, and the index says that nobody is live who could host it.
    Away {
        topic: TopicKey,
        search: u64,
        route: Arc<Route>,
        error: ClientError,
        retry: Retry,
    },
    /// The index holds the batch.
    Held {
        topic: TopicKey,
        search: u64,
        held: HeldInfo,
    },
    /// The index does not hold the batch; `sent`: for all that is known.
    NotHeld {
        topic: TopicKey,
        search: u64,
        error: ClientError,
        sent: bool,
    },
    /// What the index says now about a topic whose host is silent.
    Probed {
        topic: TopicKey,
        search: u64,
        route: Arc<Route>,
    },
    /// Who stands behind answers to come on a stream.
    Copied(LinkId, Members),
    /// An answer on a stream.
    Acked(LinkId, AppendAck),
    /// An answer on a stream.
    Nacked(LinkId, AppendNack),
    /// A stream is gone; what it has not answered may have been taken or not.
    Lost {
        link: LinkId,
        error: ClientError,
        retry: Retry,
    },
}

/// How to search for a topic's host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Search {
    /// Something spoke against the cached route.
    pub(super) fresh_route: bool,
    /// The pass was refused.
    pub(super) fresh_pass: bool,
    /// Create the topic if it does not exist.
    pub(super) create: bool,
}

/// What is to be done. `W` stands for all who wait for the messages of one batch.
#[derive(Debug)]
pub(super) enum Effect<W> {
    /// Find the host and open a stream: answered by `Found` or `NotFound`.
    Find {
        topic: TopicKey,
        name: TopicName,
        search: u64,
        how: Search,
    },
    /// Ask the index afresh where the topic is: answered by `Probed` or `NotFound`.
    Probe {
        topic: TopicKey,
        name: TopicName,
        search: u64,
    },
    /// Leave the batch with the index: answered by `Held` or `NotHeld`.
    Hold {
        topic: TopicKey,
        name: TopicName,
        search: u64,
        life: TopicId,
        batch: Bytes,
    },
    /// Send the batch.
    Transmit {
        link: LinkId,
        next: AppendNext,
        batch: Bytes,
    },
    /// The process behind the stream is gone for all that is known; the core has given it up.
    Abandon { link: LinkId },
    /// What the messages of a batch are answered with; for each, the offset is counted on from the
    /// first one's.
    Answered { waiters: W, answer: Answer },
    /// Tell people what a topic waits for; `None`: for nothing unusual any more.
    Waiting {
        topic: TopicName,
        why: Option<String>,
    },
}

/// What a topic needs of the core for one step.
pub(super) struct Turn<'a, W> {
    pub(super) now: MonoNs,
    pub(super) wall: UnixMicros,
    pub(super) random: &'a mut dyn RngCore,
    pub(super) me: Fingerprint,
    pub(super) options: &'a PublisherOptions,
    pub(super) tickets: &'a mut Tickets,
    pub(super) effects: &'a mut Vec<Effect<W>>,
}

/// The state of a publisher.
pub(super) struct Core<W> {
    /// The key that producer ids are made for.
    me: Fingerprint,
    options: PublisherOptions,
    topics: Vec<Topic<W>>,
    keys: HashMap<TopicName, TopicKey>,
    tickets: Tickets,
    block: Block,
    /// Topics that something happened to since the last pump.
    touched: Vec<TopicKey>,
    /// Always empty; kept for its memory.
    turns: Vec<TopicKey>,
    /// At most one entry per topic, never later than what is due there.
    wakes: BTreeSet<(MonoNs, TopicKey)>,
}

impl<W> Core<W> {
    pub(super) fn new(me: Fingerprint, options: PublisherOptions) -> Self {
        Core::with_room(me, options, PARTIAL_BATCHES)
    }

    /// With room for so many batches that are not full on each stream.
    pub(super) fn with_room(
        me: Fingerprint,
        options: PublisherOptions,
        most_partial: usize,
    ) -> Self {
        Core {
            me,
            options,
            topics: Vec::new(),
            keys: HashMap::new(),
            tickets: Tickets::new(most_partial),
            block: Block::default(),
            touched: Vec::new(),
            turns: Vec::new(),
            wakes: BTreeSet::new(),
        }
    }

    /// When [`Core::pump`] must be called even if nothing happens. May be too early, never late.
    pub(super) fn next_wake(&self) -> Option<MonoNs> {
        self.wakes.first().map(|&(at, _)| at)
    }

    /// Takes a message that fits into a batch. Whoever waits for it is to be added to those of its
    /// batch, which are given back. The time matters for the first message of a batch only.
    pub(super) fn send(
        &mut self,
        topic: &TopicName,
        record: &Record<'_>,
        now: impl FnOnce() -> MonoNs,
        random: &mut dyn RngCore,
    ) -> &mut W
    where
        W: Default,
    {
        let key = self.key(topic, random);
        self.touch(key);
        let gathered = &mut self.topics[key as usize].gathered;
        gathered.push(record, now, &mut self.block, &self.options)
    }

    /// Takes note of an event. Answers and failures come out at once, all else with the pump.
    pub(super) fn handle(
        &mut self,
        event: Event,
        moment: &mut Moment<'_>,
        effects: &mut Vec<Effect<W>>,
    ) {
        match event {
            Event::Flush => (0..self.topics.len() as TopicKey).for_each(|key| self.hurry(key)),
            Event::Found {
                topic,
                search,
                route,
                link,
            } => self.on(topic, moment, effects, |topic, turn| {
                topic.found(search, route, link, turn);
            }),
            Event::NotFound {
                topic,
                search,
                error,
                retry,
            } => self.on(topic, moment, effects, |topic, turn| {
                topic.not_found(search, error, retry, turn);
            }),
            Event::Away {
                topic,
                search,
                route,
                error,
                retry,
            } => self.on(topic, moment, effects, |topic, turn| {
                topic.away(search, route, error, retry, turn);
            }),
            Event::Held {
                topic,
                search,
                held,
            } => self.on(topic, moment, effects, |topic, turn| {
                topic.held(search, held, turn);
            }),
            Event::NotHeld {
                topic,
                search,
                error,
                sent,
            } => self.on(topic, moment, effects, |topic, turn| {
                topic.not_held(search, error, sent, turn);
            }),
            Event::Probed {
                topic,
                search,
                route,
            } => self.probed(topic, search, &route, moment, effects),
            Event::Copied(link, Members { ticket, peers }) => {
                if let Some(key) = self.tickets.owner(ticket, link) {
                    self.on(key, moment, effects, |topic, _| topic.copied(peers));
                }
            }
            Event::Acked(link, ack) => {
                if let Some(key) = self.tickets.owner(ack.ticket, link) {
                    self.on(key, moment, effects, |topic, turn| topic.acked(&ack, turn));
                }
            }
            Event::Nacked(link, nack) => {
                if let Some(key) = self.tickets.owner(nack.ticket, link) {
                    self.on(key, moment, effects, |topic, turn| topic.nacked(nack, turn));
                }
            }
            Event::Lost { link, error, retry } => self.lost(link, &error, retry, moment, effects),
        }
    }

    /// Does what is due: for every topic that something happened to, and by time.
    pub(super) fn pump(&mut self, moment: &mut Moment<'_>, effects: &mut Vec<Effect<W>>) {
        while let Some(&(at, key)) = self.wakes.first() {
            if at > moment.now {
                break;
            }
            self.wakes.pop_first();
            self.topics[key as usize].wake = None;
            self.touch(key);
        }
        while !self.touched.is_empty() {
            for key in std::mem::take(&mut self.touched) {
                self.topics[key as usize].touched = false;
                self.with(key, moment, effects, |topic, turn| topic.advance(turn));
                self.schedule(key);
            }
            self.take_turns();
        }
    }

    /// Those that waited longest for room on their stream are looked at again.
    fn take_turns(&mut self) {
        let mut turns = std::mem::take(&mut self.turns);
        self.tickets.take_turns(&mut turns);
        for key in turns.drain(..) {
            self.topics[key as usize].room = Room::Given;
            self.touch(key);
        }
        self.turns = turns;
    }

    fn key(&mut self, name: &TopicName, random: &mut dyn RngCore) -> TopicKey {
        if let Some(&key) = self.keys.get(name) {
            return key;
        }
        let key = self.topics.len() as TopicKey;
        let topic = Topic::new(key, name.clone(), self.me, random);
        self.topics.push(topic);
        self.keys.insert(name.clone(), key);
        key
    }

    fn hurry(&mut self, key: TopicKey) {
        let topic = &mut self.topics[key as usize];
        if !topic.gathered.is_empty() {
            topic.hurry = true;
            self.touch(key);
        }
    }

    fn touch(&mut self, key: TopicKey) {
        let touched = &mut self.topics[key as usize].touched;
        if !std::mem::replace(touched, true) {
            self.touched.push(key);
        }
    }

    fn with<T>(
        &mut self,
        key: TopicKey,
        moment: &mut Moment<'_>,
        effects: &mut Vec<Effect<W>>,
        step: impl FnOnce(&mut Topic<W>, &mut Turn<'_, W>) -> T,
    ) -> T {
        let mut turn = Turn {
            now: moment.now,
            wall: moment.wall,
            random: moment.random,
            me: self.me,
            options: &self.options,
            tickets: &mut self.tickets,
            effects,
        };
        step(&mut self.topics[key as usize], &mut turn)
    }

    fn on(
        &mut self,
        key: TopicKey,
        moment: &mut Moment<'_>,
        effects: &mut Vec<Effect<W>>,
        step: impl FnOnce(&mut Topic<W>, &mut Turn<'_, W>),
    ) {
        self.with(key, moment, effects, step);
        self.touch(key);
    }

    /// If the index points elsewhere than where the silent stream leads, nobody is there any more.
    fn probed(
        &mut self,
        key: TopicKey,
        search: u64,
        route: &Route,
        moment: &mut Moment<'_>,
        effects: &mut Vec<Effect<W>>,
    ) {
        let gone = self.with(key, moment, effects, |topic, turn| {
            topic.probed(search, route, turn)
        });
        self.touch(key);
        if let Some((link, error)) = gone {
            effects.push(Effect::Abandon { link });
            self.lost(link, &error, Retry::FreshRoute, moment, effects);
        }
    }

    fn lost(
        &mut self,
        link: LinkId,
        error: &ClientError,
        retry: Retry,
        moment: &mut Moment<'_>,
        effects: &mut Vec<Effect<W>>,
    ) {
        for key in 0..self.topics.len() as TopicKey {
            if self.topics[key as usize].link() == Some(link) {
                self.on(key, moment, effects, |topic, turn| {
                    topic.lost(error, retry, turn);
                });
            }
        }
        self.tickets.forget(link);
    }

    /// Keeps the topic's wake at or before what is due there. One that is too early costs a look,
    /// and spares moving it with every answer.
    fn schedule(&mut self, key: TopicKey) {
        let topic = &mut self.topics[key as usize];
        let Some(due) = topic.due(&self.options) else {
            return;
        };
        match topic.wake {
            Some(wake) if wake <= due => return,
            Some(wake) => {
                self.wakes.remove(&(wake, key));
            }
            None => {}
        }
        topic.wake = Some(due);
        self.wakes.insert((due, key));
    }

    /// Checks all that must always hold.
    #[cfg(test)]
    pub(super) fn check(&self) {
        for (key, topic) in self.topics.iter().enumerate() {
            topic.check(&self.options);
            let tickets = topic.sealed.iter().filter_map(|batch| batch.ticket);
            for ticket in tickets {
                let link = topic.link().expect("a ticket without a stream");
                assert!(self.tickets.is_owned(ticket, key as TopicKey, link));
            }
        }
        let outstanding: usize = self.topics.iter().map(|topic| topic.outstanding).sum();
        self.tickets.check(outstanding);
        assert!(self.touched.is_empty());
    }
}
