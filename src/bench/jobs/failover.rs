//! Evaluation 4 in figures: the host of a topic is killed, or hands it over, while messages come.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bench::error::BenchError;
use crate::bench::fleet::Fleet;
use crate::bench::measure::Measurement;
use crate::bench::run::{Bench, params};
use crate::bench::topics;
use crate::bench::work::Topics;
use crate::client::{Message, Publisher, PublisherOptions};
use crate::clock;
use crate::limits;
use crate::types::{MonoNs, PeerName, TopicName, TopicSettings};

/// Two that keep copies, and one that makes up for a lost one.
const PEERS: usize = 3;
/// Copies of the topic.
const COPIES: u8 = 2;
/// How often each is done.
const RUNS: u32 = 50;
/// How long one may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures both.
pub async fn run(bench: &mut Bench<'_>) -> Result<(), BenchError> {
    if bench.options.running.is_some() {
        bench.doing("nobody is killed in a running deployment");
        return Ok(());
    }
    let mut fleet = bench.fleet(PEERS, limits::SEGMENT_BYTES).await?;
    let settings = TopicSettings {
        replicas: COPIES,
        ..TopicSettings::default()
    };
    let topics = topics::create_with(&fleet, 1, settings, |_| ()).await?;
    for planned in [false, true] {
        let runs = bench.options.runs.unwrap_or(bench.options.pick(RUNS, 2));
        let mut times = vec![];
        for run in 1..=runs {
            let what = if planned { "handing over" } else { "killing" };
            bench.doing(&format!("{what} the host of a topic, {run} of {runs}"));
            topics::in_sync(&fleet.client, &topics, COPIES).await?;
            times.push(match planned {
                true => hand_over(&fleet, &topics).await?,
                false => kill(&mut fleet, &topics).await?,
            });
        }
        bench.found(measured(planned, &times));
    }
    Ok(())
}

fn measured(planned: bool, times: &[Duration]) -> Measurement {
    let parameters = params([("replicas", json!(COPIES)), ("planned", json!(planned))]);
    let mut found = Measurement::of("failover", parameters, &[], false);
    let ms: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    found.runs = times.len() as u32;
    found.extra = params([("times_ms", json!(ms))]);
    found
}

/// From the signal to the first acknowledgement of another host.
async fn kill(fleet: &mut Fleet, topics: &Topics) -> Result<Duration, BenchError> {
    let name = topics.name(0)?;
    let mut stream = Stream::start(fleet, &name);
    let host = stream.first().await?.host;
    let killed = fleet.kill_host(&host).await?;
    let moved = stream.until(|ack| ack.host != host).await?;
    stream.end().await;
    let took = moved.at.since(killed.began);
    fleet.start_again(killed).await?;
    Ok(took)
}

/// The longest time between two acknowledgements while the topic moves.
async fn hand_over(fleet: &Fleet, topics: &Topics) -> Result<Duration, BenchError> {
    let name = topics.name(0)?;
    let mut stream = Stream::start(fleet, &name);
    let host = stream.first().await?.host;
    let doing = "handing a topic over";
    let moving = fleet.client.move_topic(&name, None, |_| ());
    moving.await.map_err(BenchError::waypost(doing))?;
    let moved = stream.until(|ack| ack.host != host).await?;
    stream.end().await;
    Ok(moved.longest)
}

/// What the last acknowledgement said.
#[derive(Debug, Clone)]
struct Ack {
    host: PeerName,
    at: MonoNs,
    /// Longest time between two of them so far.
    longest: Duration,
}

/// Messages one after the other, each sent when the one before is acknowledged.
struct Stream {
    last: watch::Receiver<Option<Ack>>,
    sending: JoinHandle<Result<(), BenchError>>,
    publisher: Publisher,
}

impl Stream {
    fn start(fleet: &Fleet, name: &TopicName) -> Stream {
        let publisher = fleet.client.publisher(PublisherOptions::default());
        let (told, last) = watch::channel(None);
        let sending = tokio::spawn(send(publisher.clone(), name.clone(), told));
        Stream {
            last,
            sending,
            publisher,
        }
    }

    async fn first(&mut self) -> Result<Ack, BenchError> {
        self.until(|_| true).await
    }

    async fn until(&mut self, is: impl Fn(&Ack) -> bool) -> Result<Ack, BenchError> {
        let told = self.last.wait_for(|ack| ack.as_ref().is_some_and(&is));
        let told = tokio::time::timeout(PATIENCE, told).await;
        match told.map(|told| told.ok().and_then(|ack| ack.clone())) {
            Ok(Some(ack)) => Ok(ack),
            // The task has ended, with an error.
            Ok(None) => Err(self.failed().await),
            Err(_) => Err(BenchError::TimedOut {
                what: "an acknowledgement of another host".to_owned(),
                seconds: PATIENCE.as_secs(),
            }),
        }
    }

    async fn failed(&mut self) -> BenchError {
        match (&mut self.sending).await {
            Ok(Err(error)) => error,
            _ => BenchError::Usage("a publisher of the bench died".to_owned()),
        }
    }

    async fn end(self) {
        drop(self.last);
        // It ends with its next message.
        let _ = self.sending.await;
        self.publisher.close().await;
    }
}

async fn send(
    publisher: Publisher,
    name: TopicName,
    told: watch::Sender<Option<Ack>>,
) -> Result<(), BenchError> {
    let body = Bytes::from_static(&[b'x'; 1 << 10]);
    let (mut before, mut longest) = (None::<MonoNs>, Duration::ZERO);
    while !told.is_closed() {
        let receipt = publisher.publish(&name, Message::new(body.clone())).await;
        let receipt = receipt.map_err(BenchError::waypost("publishing while a host goes"))?;
        let at = clock::mono_now();
        longest = longest.max(before.map_or(Duration::ZERO, |before| at.since(before)));
        before = Some(at);
        told.send_replace(Some(Ack {
            host: receipt.host.name.clone(),
            at,
            longest,
        }));
    }
    Ok(())
}
