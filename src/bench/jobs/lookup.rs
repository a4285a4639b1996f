//! Evaluation 2: lookups against the number of peers, and against the number of topics.

use serde_json::json;

use crate::bench::error::BenchError;
use crate::bench::fleet::Fleet;
use crate::bench::lanes::Until;
use crate::bench::measure::Measurement;
use crate::bench::process::rss_kib;
use crate::bench::run::{self, Bench, Raw, RawLoad, params};
use crate::bench::settle::settled;
use crate::bench::side::{Baseline, Side, Trial};
use crate::bench::topics;
use crate::bench::work::{RawShape, Topics, Work};
use crate::limits;

/// Numbers of peers that evaluation 2 asks for.
const PEERS: &[usize] = &[1, 2, 4, 8, 16, 64];
/// The few topics against which the many are measured.
const FEW: u64 = 1_000;
/// Names of a batched lookup: a request is at most 64 KiB.
const NAMES: usize = 2_000;
/// Servers are done with fewer topics before the first run.
const SETTLED_FROM: u64 = 100_000;
const RAW: &str = "raw QUIC: requests and replies of the same sizes on as many connections; servers and load \
                   generators on processors of their own, as everywhere in this job";

/// A kind of lookups.
#[derive(Clone, Copy)]
struct Kind {
    peers: usize,
    in_flight: usize,
    names: usize,
    then_pull: bool,
}

/// Measures lookups.
pub async fn run(bench: &mut Bench<'_>) -> Result<(), BenchError> {
    let mut fleet = bench.fleet(1, limits::SEGMENT_BYTES).await?;
    all(bench, &mut fleet).await
}

async fn all(bench: &mut Bench<'_>, fleet: &mut Fleet) -> Result<(), BenchError> {
    let raw = Raw::start(fleet).await?;
    let topics = populate(bench, fleet).await?;
    if fleet.is_own() && topics.count >= SETTLED_FROM {
        bench.doing("waiting until the servers are done with the new topics");
        settled(&fleet.pids()).await;
    }
    for kind in kinds(bench) {
        let found = measure(bench, fleet, &raw, &topics, kind).await?;
        bench.found(found);
    }
    raw.end().await;
    if fleet.is_own() && !bench.options.then_pull {
        few_against_many(bench, fleet, &topics).await?;
        super::restart::index(bench, fleet, &topics).await?;
    }
    Ok(())
}

fn kinds(bench: &Bench<'_>) -> Vec<Kind> {
    let plain = Kind {
        peers: 1,
        in_flight: 1,
        names: 1,
        then_pull: false,
    };
    let peers = bench.options.list(&bench.options.peers, PEERS, &[1, 4]);
    let sequential = peers.iter().map(|&peers| Kind { peers, ..plain });
    let pulls = peers.iter().map(|&peers| Kind {
        peers,
        then_pull: true,
        ..plain
    });
    if bench.options.then_pull {
        return pulls.collect();
    }
    let deep = [(1, 64), (8, 16)].map(|(peers, in_flight)| Kind {
        peers,
        in_flight,
        ..plain
    });
    let batched = Kind {
        in_flight: 4,
        names: NAMES,
        ..plain
    };
    let all = sequential.chain(deep).chain([batched]).chain(pulls);
    all.collect()
}

/// Creates the topics and tells what one costs the index in memory.
async fn populate(bench: &mut Bench<'_>, fleet: &Fleet) -> Result<Topics, BenchError> {
    let count = bench.options.topics();
    let rss = || fleet.index_pid().and_then(rss_kib);
    let before = rss();
    let began = crate::clock::mono_now();
    let topics = topics::create(fleet, count, |made| {
        bench.doing(&format!("creating topics: {made} of {count}"));
    })
    .await?;
    let seconds = crate::clock::mono_now().since(began).as_secs_f64();
    if let Some((before, after)) = before.zip(rss()) {
        let mut found = Measurement::of("memory", params([("topics", json!(count))]), &[], false);
        let host = fleet.host_pids().into_iter().find_map(rss_kib);
        found.extra = params([
            (
                "bytes_per_topic",
                json!(after.saturating_sub(before) as f64 * 1024.0 / count as f64),
            ),
            ("index_rss_mib", json!(after as f64 / 1024.0)),
            ("peer_rss_mib", json!(host.unwrap_or(0) as f64 / 1024.0)),
            ("created_per_s", json!(count as f64 / seconds)),
        ]);
        found.figures.ops_per_s = count as f64 / seconds;
        bench.found(found);
    }
    Ok(topics)
}

async fn side(
    fleet: &Fleet,
    topics: &Topics,
    kind: Kind,
    until: Until,
) -> Result<Side, BenchError> {
    let work = Work::Lookup {
        target: fleet.target(kind.peers)?,
        topics: topics.clone(),
        in_flight: kind.in_flight,
        names: kind.names,
        then_pull: kind.then_pull,
        until,
    };
    let servers = match kind.then_pull {
        true => fleet.pids(),
        false => fleet.index_pid().into_iter().collect(),
    };
    Side::start(&fleet.scratch, &[work], servers).await
}

/// Lookups that carry many names or are many at once are fewer each, for runs of like length.
fn until(bench: &Bench<'_>, kind: Kind) -> Until {
    match bench.options.requests() {
        Until::Each(count) if kind.names > 1 => Until::Each((count / 10).max(10)),
        until => until,
    }
}

async fn baseline(
    fleet: &Fleet,
    raw: &Raw,
    kind: Kind,
    sizes: (usize, usize),
    until: Until,
) -> Result<(Baseline, &'static str), BenchError> {
    if !fleet.is_own() {
        return run::own_round_trip(fleet, kind.peers, kind.in_flight, until).await;
    }
    let load = RawLoad {
        shape: RawShape::Echo,
        connections: kind.peers,
        in_flight: kind.in_flight,
        sizes,
        ops: kind.names as u64,
        until,
    };
    let echo = raw.side(fleet, &load).await?;
    if !kind.then_pull {
        return Ok((Baseline::Of(echo), RAW));
    }
    let second = raw.side(fleet, &load).await?;
    Ok((
        Baseline::Chain(vec![echo, second], kind.peers * kind.in_flight),
        "raw QUIC: two round trips, one after the other",
    ))
}

async fn measure(
    bench: &Bench<'_>,
    fleet: &Fleet,
    raw: &Raw,
    topics: &Topics,
    kind: Kind,
) -> Result<Measurement, BenchError> {
    let until = until(bench, kind);
    bench.doing(&format!(
        "lookups by {} peers{}",
        kind.peers,
        if kind.then_pull {
            ", each with an empty pull"
        } else {
            ""
        }
    ));
    let mut side = side(fleet, topics, kind, until).await?;
    let sizes = side.ready.first().and_then(|ready| ready.sizes);
    let (mut baseline, baseline_is) =
        baseline(fleet, raw, kind, sizes.unwrap_or((64, 128)), until).await?;
    let trial = Trial {
        job: "lookup",
        params: params([
            ("peers", json!(kind.peers)),
            ("topics", json!(topics.count)),
            ("in_flight", json!(kind.in_flight)),
            ("names", json!(kind.names)),
            ("then_pull", json!(kind.then_pull)),
        ]),
        runs: match kind.then_pull {
            true => bench.options.runs(),
            false => bench.options.short_runs(),
        },
        sequential: kind.in_flight == 1,
        first_only: false,
        baseline_is,
    };
    side.keep_apart();
    baseline.keep_apart();
    let found = trial.measure(&mut side, &mut baseline).await;
    side.end().await;
    baseline.end().await;
    found
}

/// An index with few topics stands beside the one with many, and they take turns.
async fn few_against_many(
    bench: &mut Bench<'_>,
    fleet: &Fleet,
    topics: &Topics,
) -> Result<(), BenchError> {
    let small = bench.fleet(1, limits::SEGMENT_BYTES).await?;
    let few = topics::create(&small, FEW.min(topics.count), |_| ()).await?;
    let kind = Kind {
        peers: 1,
        in_flight: 64,
        names: 1,
        then_pull: false,
    };
    bench.doing("lookups among many topics and among few");
    let until = bench.options.requests();
    let mut many = side(fleet, topics, kind, until).await?;
    let mut baseline = Baseline::Of(side(&small, &few, kind, until).await?);
    let trial = Trial {
        job: "lookup-topics",
        params: params([
            ("topics", json!(topics.count)),
            ("against_topics", json!(few.count)),
            ("in_flight", json!(kind.in_flight)),
        ]),
        runs: bench.options.short_runs(),
        sequential: false,
        first_only: false,
        baseline_is: "the same lookups at an index with few topics",
    };
    many.keep_apart();
    baseline.keep_apart();
    let found = trial.measure(&mut many, &mut baseline).await?;
    many.end().await;
    baseline.end().await;
    bench.found(found);
    Ok(())
}
