//! Publishing: one message at a time, many in flight, or in batches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::Peers;
use crate::bench::error::BenchError;
use crate::bench::generator::{Generator, Running};
use crate::bench::lanes::{Did, Lane, Until, nanos};
use crate::bench::measure::{Sample, histogram, note};
use crate::bench::work::Topics;
use crate::client::{Client, ClientError, Message, Pending, Publisher, PublisherOptions};
use crate::clock;
use crate::types::{MonoNs, TopicName};

/// One message at a time.
pub struct PublishLane {
    publisher: Publisher,
    topics: Arc<[TopicName]>,
    body: Bytes,
    first: u64,
}

/// The publishers of a run.
pub fn publishers(peers: &Peers, in_flight: usize, batched: bool) -> Vec<Publisher> {
    let of = |client: &Client| client.publisher(options(in_flight, batched));
    peers.clients.iter().map(of).collect()
}

fn options(in_flight: usize, batched: bool) -> PublisherOptions {
    let usual = PublisherOptions::default();
    PublisherOptions {
        batch_messages: if batched { usual.batch_messages } else { 1 },
        in_flight: in_flight.max(usual.in_flight),
        hold: false,
        ..usual
    }
}

/// Names of the topics, made before the clock runs.
pub fn names(topics: &Topics) -> Result<Vec<TopicName>, BenchError> {
    (0..topics.count)
        .map(|number| topics.name(number))
        .collect()
}

impl PublishLane {
    /// `in_flight` lanes for each publisher, over `topics` in turns.
    pub fn all(
        publishers: &[Publisher],
        topics: &[TopicName],
        in_flight: usize,
        size: usize,
    ) -> Vec<PublishLane> {
        let topics: Arc<[TopicName]> = Arc::from(topics);
        let body = Bytes::from(vec![b'x'; size]);
        let all = publishers.len() * in_flight;
        let each = publishers
            .iter()
            .flat_map(|publisher| std::iter::repeat_n(publisher, in_flight));
        let lanes = each.enumerate().map(|(lane, publisher)| PublishLane {
            publisher: publisher.clone(),
            topics: Arc::clone(&topics),
            body: body.clone(),
            // Lanes begin at different topics.
            first: (lane * topics.len() / all) as u64,
        });
        lanes.collect()
    }
}

impl Lane for PublishLane {
    async fn once(&mut self, number: u64) -> Result<Did, BenchError> {
        let turn = (self.first + number) as usize % self.topics.len();
        let message = Message::new(self.body.clone());
        let receipt = self.publisher.publish(&self.topics[turn], message).await;
        receipt.map_err(BenchError::waypost("publishing"))?;
        Ok(Did {
            ops: 1,
            bytes: self.body.len() as u64,
        })
    }
}

/// Response times of messages, in nanoseconds, as they are answered.
pub type Answers = JoinSet<Result<u64, ClientError>>;

/// The time from `since` to a message's answer.
pub async fn answer(pending: Pending, since: MonoNs) -> Result<u64, ClientError> {
    pending.await?;
    Ok(nanos(clock::mono_now().since(since)))
}

/// All of them, once all are answered.
pub async fn answered(answers: Answers) -> Result<Histogram<u64>, BenchError> {
    let mut times = histogram();
    for time in answers.join_all().await {
        let time = time.map_err(BenchError::waypost("publishing"))?;
        note(&mut times, time, 1);
    }
    Ok(times)
}

/// Of how many streamed messages one is timed: timing each would cost as much as sending it.
const SAMPLED: u64 = 64;

/// Sends as fast as the publisher takes messages, which then travel in batches. A response time is
/// from a message's being taken to its acknowledgement.
async fn stream(
    publisher: Publisher,
    topics: Vec<TopicName>,
    size: usize,
    until: Until,
) -> Result<Sample, BenchError> {
    let body = Bytes::from(vec![b'x'; size]);
    let began = clock::mono_now();
    let mut timed = Answers::new();
    let mut sent = 0u64;
    let mut now = began;
    while until.goes_on(sent, now.since(began)) {
        let topic = &topics[sent as usize % topics.len()];
        let pending = publisher.send(topic, Message::new(body.clone())).await;
        let pending = pending.map_err(BenchError::waypost("publishing"))?;
        if sent.is_multiple_of(SAMPLED) {
            now = clock::mono_now();
            timed.spawn(answer(pending, now));
        }
        sent += 1;
    }
    let flushed = publisher.flush().await;
    flushed.map_err(BenchError::waypost("publishing"))?;
    let elapsed = clock::mono_now().since(began);
    let times = answered(timed).await?;
    Ok(Sample {
        ops: sent,
        bytes: sent * size as u64,
        elapsed,
        times,
        cpu: Duration::ZERO,
    })
}

/// Publishers that each stream, side by side.
pub struct Streaming {
    /// Who sends.
    pub publishers: Vec<Publisher>,
    /// Where to, in turns.
    pub topics: Vec<TopicName>,
    /// Bytes of a body.
    pub size: usize,
    /// When a run is over.
    pub until: Until,
}

impl Generator for Streaming {
    fn run(&mut self) -> Running<'_> {
        let mut running = JoinSet::new();
        for publisher in &self.publishers {
            let topics = self.topics.clone();
            running.spawn(stream(publisher.clone(), topics, self.size, self.until));
        }
        Box::pin(async {
            let samples: Result<Vec<_>, _> = running.join_all().await.into_iter().collect();
            Sample::merged(samples?).ok_or_else(|| BenchError::Usage("no publishers".to_owned()))
        })
    }
}
