//! Evaluation 3: what it takes to register, to create, to publish and to retrieve, by 1 to 64 peers at
//! once, against as many hosts.

use serde_json::json;

use crate::bench::error::BenchError;
use crate::bench::fleet::Fleet;
use crate::bench::lanes::Until;
use crate::bench::measure::Measurement;
use crate::bench::run::{Bench, Raw, RawLoad, params, raw_sync};
use crate::bench::side::{Baseline, Side, Trial};
use crate::bench::topics::{self, PREFIX};
use crate::bench::work::{Topics, Work};
use crate::client::{Message, PublisherOptions};

/// Numbers of peers that evaluation 3 asks for.
const PEERS: &[usize] = &[1, 2, 4, 8, 64];
/// Bytes of a body.
const SIZE: usize = 100;
/// Each peer has a journal of its own: small segments, for many are made ready at once.
const SEGMENT_BYTES: u64 = 1 << 20;

/// Measures against the number of peers.
pub async fn run(bench: &mut Bench<'_>) -> Result<(), BenchError> {
    if bench.options.running.is_some() {
        bench.doing(
            "scale starts and registers peers: it is measured on deployments of its own only",
        );
        return Ok(());
    }
    for peers in bench.options.list(&bench.options.peers, PEERS, &[1, 2]) {
        let fleet = bench.fleet(peers, SEGMENT_BYTES).await?;
        steps(bench, &fleet, peers).await?;
    }
    Ok(())
}

async fn steps(bench: &mut Bench<'_>, fleet: &Fleet, peers: usize) -> Result<(), BenchError> {
    let raw = Raw::start(fleet).await?;
    let until = bench.options.until();
    let found = register(bench, fleet, &raw, peers).await?;
    bench.found(found);
    let topics = topics::create_one_per_host(fleet).await?;
    fill(fleet, &topics).await?;
    for step in ["create", "publish", "retrieve", "deliver"] {
        bench.doing(&format!("{peers} peers: {step}"));
        let work = work(fleet, step, peers, &topics, until)?;
        let mut side = Side::start(&fleet.scratch, &[work], fleet.pids()).await?;
        let (mut baseline, baseline_is) = baseline(fleet, &raw, step, until).await?;
        let trial = Trial {
            job: "scale",
            params: params([("peers", json!(peers)), ("step", json!(step))]),
            runs: bench.options.runs(),
            sequential: true,
            first_only: false,
            baseline_is,
        };
        let found = trial.measure(&mut side, &mut baseline).await?;
        bench.found(found);
        side.end().await;
        baseline.end().await;
    }
    raw.end().await;
    Ok(())
}

/// A message in each topic, for those who retrieve.
async fn fill(fleet: &Fleet, topics: &Topics) -> Result<(), BenchError> {
    let publisher = fleet.client.publisher(PublisherOptions::default());
    let doing = "storing a message in each topic";
    for number in 0..topics.count {
        let message = Message::new(vec![b'x'; SIZE]);
        let published = publisher.publish(&topics.name(number)?, message).await;
        published.map_err(BenchError::waypost(doing))?;
    }
    publisher.close().await;
    Ok(())
}

fn work(
    fleet: &Fleet,
    step: &str,
    peers: usize,
    topics: &Topics,
    until: Until,
) -> Result<Work, BenchError> {
    let target = fleet.target(peers)?;
    let topics = topics.clone();
    Ok(match step {
        "create" => Work::Create {
            target,
            prefix: PREFIX.to_owned(),
            hosts: fleet.hosts(),
            until,
        },
        "publish" => Work::Publish {
            target,
            topics,
            size: SIZE,
            in_flight: 1,
            batched: false,
            until,
        },
        step => Work::Retrieve {
            target,
            topics,
            size: SIZE,
            publish: step == "deliver",
            until,
        },
    })
}

/// What one peer alone would wait for at least.
async fn baseline(
    fleet: &Fleet,
    raw: &Raw,
    step: &str,
    until: Until,
) -> Result<(Baseline, &'static str), BenchError> {
    let round_trip = || async {
        let load = RawLoad::round_trip((SIZE + 120, 64), until);
        raw.side(fleet, &load).await
    };
    Ok(match step {
        "retrieve" => (Baseline::Of(round_trip().await?), "one raw QUIC round trip"),
        "deliver" => (
            Baseline::Chain(vec![
                round_trip().await?,
                raw_sync(fleet, SIZE + 120, until).await?,
                round_trip().await?,
            ]),
            "two raw QUIC round trips and a raw fdatasync, by one client",
        ),
        _ => (
            Baseline::Chain(vec![
                round_trip().await?,
                raw_sync(fleet, SIZE + 120, until).await?,
            ]),
            "a raw QUIC round trip and a raw fdatasync, by one client",
        ),
    })
}

/// New peers come, all at once; each run has its own, for a name registers once.
async fn register(
    bench: &Bench<'_>,
    fleet: &Fleet,
    raw: &Raw,
    peers: usize,
) -> Result<Measurement, BenchError> {
    bench.doing(&format!("{peers} peers: register"));
    let handshakes = raw.handshakes(fleet, peers, Until::Each(1)).await?;
    let mut baseline = Baseline::Of(handshakes);
    let mut pairs = vec![];
    for run in 0..=bench.options.runs() {
        let work = Work::Register {
            target: fleet.target(peers)?,
        };
        let servers = fleet.index_pid().into_iter().collect();
        let mut side = Side::start(&fleet.scratch, &[work], servers).await?;
        let found = side.sample().await?.figures();
        side.end().await;
        let base = baseline.figures().await?;
        if run > 0 {
            pairs.push((found, base));
        }
    }
    baseline.end().await;
    let params = params([("peers", json!(peers)), ("step", json!("register"))]);
    let mut found = Measurement::of("scale", params, &pairs, true);
    found.baseline_is =
        "raw handshakes with mutual TLS and a round trip, as many at once".to_owned();
    Ok(found)
}
