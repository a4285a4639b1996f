//! The core against a small host that loses streams, refuses, restarts and forgets producers, with
//! everything in flight delayed at random.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::core::{Core, Effect, Event, LinkId, Moment};
use super::fake_host::Host;
use super::rig::ME;
use super::{PublisherOptions, Receipt};
use crate::client::{ClientError, Message};
use crate::replication::held::{Held, HeldQueue, Incoming, Quotas};
use crate::types::{Fingerprint, MonoNs, Offset, PeerName, TopicId, TopicName, UnixMicros};
use crate::wire::batch;
use crate::wire::index::copies::HeldInfo;
use crate::wire::index::{HostAddress, Route};
use crate::wire::peer::{Achieved, AppendAck, AppendNack, AppendNext};
use crate::wire::{ErrorCode, ErrorReply, Retry};

/// A stream: what is on its way up and down.
#[derive(Default)]
struct Stream {
    up: VecDeque<(AppendNext, Bytes)>,
    down: VecDeque<Event>,
}

/// What a held message is answered with.
const HELD: Offset = Offset(0);

struct World {
    core: Core<Vec<u32>>,
    host: Host,
    streams: HashMap<LinkId, Stream>,
    /// The stream that new searches get.
    current: Option<LinkId>,
    links: LinkId,
    searches: Vec<(u32, u64, bool)>,
    /// The host is away, and the index holds what comes.
    away: bool,
    /// On their way to the index.
    holds: Vec<(u32, u64, Bytes)>,
    /// At the index, in order.
    queue: Vec<Bytes>,
    judge: HeldQueue,
    outcomes: HashMap<u32, Result<Offset, ClientError>>,
    now: MonoNs,
    random: StdRng,
    trouble: u32,
    forgets: bool,
    with_index: bool,
    in_flight: usize,
}

impl World {
    fn new(seed: u64, options: PublisherOptions, trouble: u32, forgets: bool) -> World {
        World {
            in_flight: options.in_flight,
            // Seldom as many as production has: waiting for room is to be met as well.
            core: Core::with_room(ME, options, 1 + (seed % 40) as usize),
            host: Host {
                incarnation: 1,
                ..Host::default()
            },
            streams: HashMap::new(),
            current: None,
            links: 0,
            searches: vec![],
            away: false,
            holds: vec![],
            queue: vec![],
            judge: HeldQueue::new(),
            outcomes: HashMap::new(),
            now: MonoNs(1),
            random: StdRng::seed_from_u64(seed),
            trouble,
            forgets,
            with_index: false,
        }
    }

    fn send(&mut self, number: u32) {
        let topic = TopicName::new("T").unwrap();
        let message = Message::new(number.to_le_bytes().to_vec());
        let mut random = StdRng::from_rng(&mut self.random);
        let now = self.now;
        let batch = self
            .core
            .send(&topic, &message.record(), || now, &mut random);
        batch.push(number);
    }

    fn step(&mut self, event: Option<Event>) {
        let mut effects = vec![];
        let mut random = StdRng::from_rng(&mut self.random);
        let mut moment = Moment {
            now: self.now,
            wall: UnixMicros(0),
            random: &mut random,
        };
        if let Some(event) = event {
            self.core.handle(event, &mut moment, &mut effects);
        }
        self.core.pump(&mut moment, &mut effects);
        self.core.check();
        effects.into_iter().for_each(|effect| self.apply(effect));
    }

    fn apply(&mut self, effect: Effect<Vec<u32>>) {
        match effect {
            Effect::Find { topic, search, .. } => self.searches.push((topic, search, false)),
            Effect::Probe { topic, search, .. } => self.searches.push((topic, search, true)),
            Effect::Transmit { link, next, batch } => {
                if let Some(stream) = self.streams.get_mut(&link) {
                    stream.up.push_back((next, batch));
                }
            }
            // The host may go on reading what is on its way, and nobody hears of it.
            Effect::Abandon { link } => self.end(link),
            Effect::Answered { waiters, answer } => {
                for (index, waiter) in waiters.into_iter().enumerate() {
                    let counted = |receipt: &Receipt| match receipt.held {
                        None => receipt.offset.plus(index as u64),
                        Some(_) => HELD,
                    };
                    self.complete(
                        waiter,
                        answer
                            .as_ref()
                            .map(counted)
                            .map_err(|error| (**error).clone()),
                    );
                }
            }
            Effect::Waiting { .. } => {}
            Effect::Hold {
                topic,
                search,
                batch,
                ..
            } => self.holds.push((topic, search, batch)),
        }
    }

    fn complete(&mut self, waiter: u32, outcome: Result<Offset, ClientError>) {
        let earlier = self.outcomes.insert(waiter, outcome);
        assert!(earlier.is_none(), "message {waiter} was answered twice");
    }

    fn route(&self) -> Arc<Route> {
        Arc::new(Route {
            topic: TopicId([1; 16]),
            epoch: self.host.epoch(),
            host: Arc::new(HostAddress {
                fingerprint: Fingerprint([1; 32]),
                name: PeerName::new("1").unwrap(),
                addresses: vec![],
                live: true,
            }),
        })
    }

    /// One of the things that can happen on their own.
    fn happen(&mut self) {
        match self.random.random_range(0..100) {
            0..10 if !self.holds.is_empty() => self.index_reads(),
            0..35 => self.host_reads(),
            35..70 => self.core_reads(),
            70..85 => self.answer_search(),
            85..95 => {
                let pause = self.random.random_range(0..40_000_000);
                self.now = MonoNs(self.now.0 + pause);
                self.step(None);
            }
            _ if self.random.random_range(0..100) < self.trouble => self.break_something(),
            _ => {}
        }
    }

    fn any_link(&mut self) -> Option<LinkId> {
        let mut links: Vec<_> = self.streams.keys().copied().collect();
        links.sort_unstable();
        let any = self.random.random_range(0..links.len().max(1));
        links.get(any).copied()
    }

    fn host_reads(&mut self) {
        let Some(link) = self.any_link() else { return };
        let refused = self.random.random_range(0..100) < self.trouble / 4;
        let stream = self.streams.get_mut(&link).unwrap();
        let Some((next, bytes)) = stream.up.pop_front() else {
            return;
        };
        let appended = match refused {
            true => Err(ErrorCode::StorageFull),
            false => self.host.append(next.epoch, &bytes),
        };
        let ticket = next.ticket;
        stream.down.push_back(match appended {
            Ok((base, duplicate)) => Event::Acked(
                link,
                AppendAck {
                    ticket,
                    base: Offset(base),
                    duplicate,
                    achieved: Achieved { durable: 1, of: 1 },
                },
            ),
            Err(code) => {
                let error = ErrorReply::new(code, code.text());
                Event::Nacked(link, AppendNack { ticket, error })
            }
        });
    }

    fn core_reads(&mut self) {
        let Some(link) = self.any_link() else { return };
        let event = self.streams.get_mut(&link).unwrap().down.pop_front();
        if event.is_some() {
            self.step(event);
        }
    }

    fn answer_search(&mut self) {
        if self.searches.is_empty() {
            return;
        }
        let any = self.random.random_range(0..self.searches.len());
        let (topic, search, probe) = self.searches.swap_remove(any);
        let route = self.route();
        if self.random.random_range(0..100) < self.trouble {
            let error = ClientError::Closed;
            return self.step(Some(Event::NotFound {
                topic,
                search,
                error,
                retry: Retry::Later,
            }));
        }
        if self.away {
            let error = ClientError::Closed;
            let retry = Retry::FreshRoute;
            return self.step(Some(match probe {
                true => Event::NotFound {
                    topic,
                    search,
                    error,
                    retry,
                },
                false => Event::Away {
                    topic,
                    search,
                    route,
                    error,
                    retry,
                },
            }));
        }
        if probe {
            return self.step(Some(Event::Probed {
                topic,
                search,
                route,
            }));
        }
        let link = *self.current.get_or_insert_with(|| {
            self.links += 1;
            self.links
        });
        self.streams.entry(link).or_default();
        self.step(Some(Event::Found {
            topic,
            search,
            route,
            link,
        }));
    }

    fn index_reads(&mut self) {
        let (topic, search, batch) = self.holds.remove(0);
        let taken = self.hold(&batch);
        let lost = self.random.random_range(0..100) < self.trouble;
        let event = match taken {
            Ok(held) if !lost => Event::Held {
                topic,
                search,
                held,
            },
            taken => {
                let code = taken.err().filter(|_| !lost).unwrap_or(ErrorCode::Internal);
                let error = ClientError::refused("holding", ErrorReply::new(code, code.text()));
                Event::NotHeld {
                    topic,
                    search,
                    error,
                    sent: true,
                }
            }
        };
        self.step(Some(event));
    }

    fn hold(&mut self, batch: &Bytes) -> Result<HeldInfo, ErrorCode> {
        if !self.away {
            return Err(ErrorCode::NotReady);
        }
        let header = batch::verify(batch).unwrap();
        let incoming = Incoming {
            producer: header.producer,
            sequence: header.sequence,
            count: header.count.into(),
            bytes: batch.len() as u64,
        };
        match self.judge.hold(&Quotas::default(), 0, incoming) {
            Ok(Held::Store(_)) => self.queue.push(batch.clone()),
            Ok(Held::Already(_)) => {}
            Err(_) => return Err(ErrorCode::SequenceGap),
        }
        let (messages, bytes) = self.judge.size();
        Ok(HeldInfo {
            messages,
            bytes,
            since: UnixMicros(0),
        })
    }

    fn goes(&mut self) {
        self.away = true;
        self.host.incarnation += 1;
        if let Some(link) = self.current {
            self.lose(link);
        }
    }

    /// The host drains what is held before it takes anything else, sometimes twice.
    fn comes(&mut self) {
        self.away = false;
        for _ in 0..self.random.random_range(1..3) {
            for batch in &self.queue {
                let epoch = self.host.epoch();
                self.host.append(epoch, batch).unwrap();
            }
        }
        self.queue.clear();
        self.judge = HeldQueue::new();
    }

    fn break_something(&mut self) {
        if self.with_index {
            match self.random.random_range(0..4) {
                0 if self.away => return self.comes(),
                0 => return self.goes(),
                _ if self.away => return,
                _ => {}
            }
        }
        match self.random.random_range(0..10) {
            0..5 => {
                let Some(link) = self.current else { return };
                self.lose(link);
            }
            5..8 => {
                self.host.incarnation += 1;
                if let Some(link) = self.current {
                    self.lose(link);
                }
            }
            // A connection that only looks alive.
            8 => {
                if let Some(stream) = self.current.and_then(|link| self.streams.get_mut(&link)) {
                    stream.up.clear();
                    stream.down.clear();
                }
                self.host.incarnation += 1;
            }
            // A host forgets the producers that 1,024 others came after. One whose first batch
            // is in doubt is among them only in theory; the protocol could not help it. Later batches
            // may be answered before the first: those that the host has already.
            _ if self.forgets => {
                let Host { producers, log, .. } = &mut self.host;
                let (in_flight, outcomes) = (self.in_flight, &self.outcomes);
                producers.retain(|_, (ranges, _)| {
                    let first = ranges.first().map(|(_, base)| log[*base as usize - 1]);
                    let in_doubt = first.is_some_and(|first| !outcomes.contains_key(&first));
                    in_doubt || ranges.len() <= in_flight
                });
            }
            _ => {}
        }
    }

    /// The core hears of the loss at once; the host still reads some of what was on its way.
    fn lose(&mut self, link: LinkId) {
        self.end(link);
        self.step(Some(Event::Lost {
            link,
            error: ClientError::Closed,
            retry: Retry::Later,
        }));
    }

    fn end(&mut self, link: LinkId) {
        if self.current == Some(link) {
            self.current = None;
        }
        let Some(mut stream) = self.streams.remove(&link) else {
            return;
        };
        let read = self.random.random_range(0..=stream.up.len());
        for (next, bytes) in stream.up.drain(..read) {
            let _ = self.host.append(next.epoch, &bytes);
        }
    }

    fn run(&mut self, messages: u32) {
        for number in 0..messages {
            self.send(number);
            self.step(None);
            for _ in 0..self.random.random_range(0..8) {
                self.happen();
            }
        }
        for step in 0..40_000 {
            if self.outcomes.len() == messages as usize {
                return;
            }
            // Progress under endless trouble may take any time; without it, it must not.
            if step == 20_000 {
                self.trouble = 0;
                self.comes();
            }
            self.happen();
        }
        panic!("{} of {messages} answered", self.outcomes.len());
    }

    /// Every acknowledged message lies exactly once in the log, at its offset, in order; what was
    /// not acknowledged lies there once at most, and only if its outcome is unknown.
    fn judge(&self) {
        let mut last = Offset(0);
        let mut numbers: Vec<_> = self.outcomes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let places: Vec<usize> = (0..self.host.log.len())
                .filter(|&at| self.host.log[at] == number)
                .collect();
            match &self.outcomes[&number] {
                Ok(offset) => {
                    assert_eq!(places.len(), 1, "message {number}: {places:?}");
                    let found = Offset(places[0] as u64 + 1);
                    assert!([found, HELD].contains(offset), "message {number}: {offset}");
                    assert!(found > last, "message {number} is out of order");
                    last = found;
                }
                Err(ClientError::OutcomeUnknown { .. }) => assert!(places.len() <= 1),
                Err(error) => assert_eq!(places, [0usize; 0], "message {number}: {error}"),
            }
        }
    }
}

fn options(in_flight: usize, batch_messages: u32, linger_ms: u64) -> PublisherOptions {
    PublisherOptions {
        in_flight,
        batch_messages,
        linger: Duration::from_millis(linger_ms),
        delivery_timeout: Duration::from_secs(3600),
        ..PublisherOptions::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_lost_or_repeated_and_the_order_holds(
        seed in any::<u64>(),
        messages in 1u32..120,
        in_flight in 1usize..20,
        batch_messages in 1u32..5,
        linger_ms in 0u64..20,
        trouble in 0u32..60,
    ) {
        let options = options(in_flight, batch_messages, linger_ms);
        let mut world = World::new(seed, options, trouble, false);
        world.run(messages);
        world.judge();
        // A host that forgets nothing leaves nothing open.
        for (number, outcome) in &world.outcomes {
            prop_assert!(outcome.is_ok(), "message {}: {:?}", number, outcome);
        }
    }

    #[test]
    fn what_is_held_is_in_the_log_once_and_in_order_with_all_else(
        seed in any::<u64>(),
        messages in 1u32..120,
        in_flight in 1usize..20,
        batch_messages in 1u32..5,
        trouble in 10u32..60,
    ) {
        let mut world = World::new(seed, options(in_flight, batch_messages, 0), trouble, false);
        world.with_index = true;
        world.run(messages);
        world.comes();
        world.judge();
        for (number, outcome) in &world.outcomes {
            prop_assert!(outcome.is_ok(), "message {}: {:?}", number, outcome);
        }
    }

    #[test]
    fn what_may_have_been_taken_is_never_sent_anew_nor_said_to_have_failed(
        seed in any::<u64>(),
        messages in 1u32..80,
        in_flight in 1usize..20,
        batch_messages in 1u32..5,
        trouble in 20u32..80,
        timeout_ms in 100u64..2_000,
    ) {
        let options = PublisherOptions {
            delivery_timeout: Duration::from_millis(timeout_ms),
            ..options(in_flight, batch_messages, 0)
        };
        let mut world = World::new(seed, options, trouble, true);
        world.run(messages);
        world.judge();
    }
}

/// Without it, the simulation of the index could say nothing.
#[test]
fn messages_come_to_be_held_in_the_simulation() {
    let held = (0..20).map(|seed| {
        let mut world = World::new(seed, options(4, 2, 0), 40, false);
        world.with_index = true;
        world.run(100);
        let outcomes = world.outcomes.values();
        outcomes
            .filter(|outcome| matches!(outcome, Ok(HELD)))
            .count()
    });
    assert!(held.sum::<usize>() > 100);
}
