//! Drives the core in tests and shows its effects as text.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::PublisherOptions;
use super::core::{Core, Effect, Event, Moment};
use crate::client::{ClientError, Message};
use crate::types::{
    Epoch, Fingerprint, MonoNs, Offset, PeerName, ProducerId, TopicId, TopicName, UnixMicros,
};
use crate::wire::batch;
use crate::wire::index::{HostAddress, Route};
use crate::wire::peer::{Achieved, AppendAck, AppendNack};
use crate::wire::{ErrorCode, ErrorReply, Retry};

/// A core with one topic, its clock and its effects as text: `send 0 #1 p0:0+1` is a transmission
/// on link 0 under ticket 1 of producer p0, sequence 0, one message.
pub(super) struct Rig {
    pub(super) core: Core<Vec<u32>>,
    pub(super) now: MonoNs,
    random: StdRng,
    producers: Vec<ProducerId>,
}

/// What is done with the core.
pub(super) enum Step {
    Send(TopicName, u32),
    Event(Event),
}

impl From<Event> for Step {
    fn from(event: Event) -> Self {
        Step::Event(event)
    }
}

/// The key of the publisher under test.
pub(super) const ME: Fingerprint = Fingerprint([7; 32]);

pub(super) fn route(life: u8, incarnation: u32) -> Arc<Route> {
    Arc::new(Route {
        topic: TopicId([life; 16]),
        epoch: Epoch {
            grant: 1,
            incarnation,
        },
        host: Arc::new(HostAddress {
            fingerprint: Fingerprint([1; 32]),
            name: PeerName::new("1").unwrap(),
            addresses: vec![],
            live: true,
        }),
    })
}

pub(super) fn single() -> PublisherOptions {
    PublisherOptions {
        batch_messages: 1,
        ..PublisherOptions::default()
    }
}

impl Rig {
    pub(super) fn new(options: PublisherOptions) -> Rig {
        Rig {
            core: Core::new(ME, options),
            now: MonoNs(1),
            random: StdRng::seed_from_u64(1),
            producers: vec![],
        }
    }

    /// One with usual options whose streams carry at most so many batches that are not full.
    pub(super) fn with_room(most_partial: usize) -> Rig {
        let options = PublisherOptions::default();
        Rig {
            core: Core::with_room(ME, options.clone(), most_partial),
            ..Rig::new(options)
        }
    }

    /// One that has found its host, on link 0, and has sent `messages` single ones.
    pub(super) fn sending(options: PublisherOptions, messages: u32) -> Rig {
        let mut rig = Rig::new(options);
        rig.send(0);
        rig.found(1, 0, 1, 1);
        for n in 1..messages {
            rig.send(n);
        }
        rig
    }

    pub(super) fn steps(&mut self, steps: Vec<Step>) -> Vec<String> {
        let mut effects = vec![];
        let mut moment = Moment {
            now: self.now,
            wall: UnixMicros(0),
            random: &mut self.random,
        };
        for step in steps {
            match step {
                Step::Event(event) => self.core.handle(event, &mut moment, &mut effects),
                Step::Send(topic, waiter) => {
                    let message = Message::new("x");
                    let (now, random) = (moment.now, &mut *moment.random);
                    let batch = self.core.send(&topic, &message.record(), || now, random);
                    batch.push(waiter);
                }
            }
        }
        self.core.pump(&mut moment, &mut effects);
        self.core.check();
        effects.iter().map(|effect| self.text(effect)).collect()
    }

    pub(super) fn step(&mut self, step: impl Into<Step>) -> Vec<String> {
        self.steps(vec![step.into()])
    }

    pub(super) fn wait(&mut self, time: Duration) -> Vec<String> {
        self.now = self.now.plus(time);
        self.steps(vec![])
    }

    /// Until the next timer.
    pub(super) fn wake(&mut self) -> Vec<String> {
        self.now = self.core.next_wake().unwrap();
        self.steps(vec![])
    }

    pub(super) fn send(&mut self, waiter: u32) -> Vec<String> {
        self.step(send(waiter))
    }

    pub(super) fn found(
        &mut self,
        search: u64,
        link: u64,
        life: u8,
        incarnation: u32,
    ) -> Vec<String> {
        self.step(found(0, search, link, route(life, incarnation)))
    }

    /// The host of another topic.
    pub(super) fn found_for(&mut self, topic: u32, search: u64, link: u64) -> Vec<String> {
        self.step(found(topic, search, link, route(topic as u8, 1)))
    }

    pub(super) fn not_found(&mut self, search: u64, code: ErrorCode) -> Vec<String> {
        let reply = ErrorReply::new(code, code.text());
        let retry = reply.retry;
        let error = ClientError::refused("looking", reply);
        self.step(Event::NotFound {
            topic: 0,
            search,
            error,
            retry,
        })
    }

    pub(super) fn ack(&mut self, link: u64, ticket: u64, base: u64) -> Vec<String> {
        self.step(Event::Acked(
            link,
            AppendAck {
                ticket,
                base: Offset(base),
                duplicate: false,
                achieved: Achieved { durable: 1, of: 1 },
            },
        ))
    }

    pub(super) fn nack(&mut self, link: u64, ticket: u64, code: ErrorCode) -> Vec<String> {
        let error = ErrorReply::new(code, code.text());
        self.step(Event::Nacked(link, AppendNack { ticket, error }))
    }

    pub(super) fn lost(&mut self, link: u64) -> Vec<String> {
        self.step(Event::Lost {
            link,
            error: ClientError::Closed,
            retry: Retry::Later,
        })
    }

    pub(super) fn producer(&mut self, id: ProducerId) -> usize {
        let known = self.producers.iter().position(|&known| known == id);
        known.unwrap_or_else(|| {
            self.producers.push(id);
            self.producers.len() - 1
        })
    }

    pub(super) fn text(&mut self, effect: &Effect<Vec<u32>>) -> String {
        match effect {
            Effect::Find { search, how, .. } => {
                let mut text = format!("find {search}");
                for (set, word) in [
                    (how.fresh_route, " fresh"),
                    (how.fresh_pass, " pass"),
                    (how.create, " create"),
                ] {
                    text.push_str(if set { word } else { "" });
                }
                text
            }
            Effect::Probe { search, .. } => format!("probe {search}"),
            Effect::Transmit { link, next, batch } => {
                let header = batch::verify(batch).unwrap();
                assert_eq!(header.topic, next.topic);
                assert!(header.producer.belongs_to(ME));
                let producer = self.producer(header.producer);
                let (sequence, count) = (header.sequence, header.count);
                let ticket = next.ticket;
                format!("send {link} #{ticket} p{producer}:{sequence}+{count}")
            }
            Effect::Abandon { link } => format!("abandon {link}"),
            Effect::Answered {
                waiters,
                answer: Ok(receipt),
            } => match receipt.held {
                None => format!("ok {waiters:?} at {}", receipt.offset),
                Some(held) => format!("held {waiters:?} of {}", held.messages),
            },
            Effect::Hold { search, batch, .. } => {
                let header = batch::verify(batch).unwrap();
                let producer = self.producer(header.producer);
                let (sequence, count) = (header.sequence, header.count);
                format!("hold {search} p{producer}:{sequence}+{count}")
            }
            Effect::Answered {
                waiters,
                answer: Err(error),
            } => {
                let kind = match &**error {
                    ClientError::OutcomeUnknown { .. } => "unknown".to_owned(),
                    ClientError::TimedOut { .. } => "timed out".to_owned(),
                    ClientError::Refused { reply, .. } => reply.detail.clone(),
                    other => other.to_string(),
                };
                format!("fail {waiters:?} {kind}")
            }
            Effect::Waiting { why: Some(_), .. } => "waiting".to_owned(),
            Effect::Waiting { why: None, .. } => "waiting no more".to_owned(),
        }
    }
}

fn found(topic: u32, search: u64, link: u64, route: Arc<Route>) -> Event {
    Event::Found {
        topic,
        search,
        route,
        link,
    }
}

pub(super) fn send(waiter: u32) -> Step {
    send_to("T", waiter)
}

pub(super) fn send_to(topic: &str, waiter: u32) -> Step {
    Step::Send(TopicName::new(topic).unwrap(), waiter)
}
