//! From publisher to follower at fixed rates, synced on the way; and beside a follower that reads
//! nothing.

use serde_json::json;

use crate::bench::error::BenchError;
use crate::bench::fleet::Fleet;
use crate::bench::run::{Bench, Raw, RawLoad, params, raw_sync};
use crate::bench::side::{Baseline, Side, Trial};
use crate::bench::topics;
use crate::bench::work::{Topics, Work};
use crate::limits;
use crate::types::TopicName;

/// Bytes of a body.
const SIZE: usize = 1 << 10;
/// Rates in messages per second, and followers.
const CASES: &[(u64, usize)] = &[(200, 1), (2_000, 1), (10_000, 1), (2_000, 10), (200, 100)];
/// The case beside which a follower stalls.
const STALLED: (u64, usize) = (2_000, 1);

/// Measures the way from publisher to follower.
pub async fn run(bench: &mut Bench<'_>) -> Result<(), BenchError> {
    let fleet = bench.fleet(1, limits::SEGMENT_BYTES).await?;
    all(bench, &fleet).await
}

async fn all(bench: &mut Bench<'_>, fleet: &Fleet) -> Result<(), BenchError> {
    let raw = Raw::start(fleet).await?;
    for &(rate, followers) in bench.options.pick(CASES, &[(500, 1), (200, 5)]) {
        delivery(bench, fleet, &raw, rate, followers).await?;
    }
    raw.end().await;
    stalled(bench, fleet, STALLED).await
}

/// A topic, its followers and its publisher; followers come first, so that they wait when it begins.
async fn side(
    bench: &Bench<'_>,
    fleet: &Fleet,
    (rate, followers): (u64, usize),
) -> Result<(TopicName, Side), BenchError> {
    let topics: Topics = topics::create(fleet, 1, |_| ()).await?;
    let topic = topics.name(0)?;
    let messages = (rate as f64 * seconds(bench)).ceil() as u64;
    let follow = Work::Follow {
        target: fleet.target(followers)?,
        topic: topic.clone(),
        messages,
        stalled: false,
    };
    let paced = Work::Paced {
        target: fleet.target(1)?,
        topic: topic.clone(),
        size: SIZE,
        rate,
        messages,
    };
    let side = Side::start(&fleet.scratch, &[follow, paced], fleet.host_pids()).await?;
    Ok((topic, side))
}

/// Seconds of a run; twice that of others, for 99.9th percentiles need messages.
fn seconds(bench: &Bench<'_>) -> f64 {
    let usual = bench.options.pick(2.0, 0.2);
    let given = bench.options.duration;
    given.map_or(usual, |duration| duration.as_secs_f64())
}

async fn delivery(
    bench: &mut Bench<'_>,
    fleet: &Fleet,
    raw: &Raw,
    rate: u64,
    followers: usize,
) -> Result<(), BenchError> {
    bench.doing(&format!("{rate} messages/s to {followers} followers"));
    let (_, mut side) = side(bench, fleet, (rate, followers)).await?;
    let until = bench.options.until();
    let mut baseline = if fleet.is_own() {
        let load = RawLoad::round_trip((SIZE + 120, 24), until);
        let legs = vec![
            raw.side(fleet, &load).await?,
            raw.side(fleet, &load).await?,
            raw_sync(fleet, SIZE + 120, until).await?,
        ];
        Baseline::Chain(legs, 1)
    } else {
        Baseline::None
    };
    let trial = Trial {
        job: "e2e",
        params: params([
            ("rate", json!(rate)),
            ("followers", json!(followers)),
            ("size", json!(SIZE)),
            ("stalled", json!(false)),
        ]),
        runs: bench.options.runs(),
        sequential: true,
        first_only: true,
        baseline_is: "two raw QUIC round trips and a raw fdatasync",
    };
    let mut found = trial.measure(&mut side, &mut baseline).await?;
    // A rate that was given is no throughput to compare.
    found.ratio = None;
    bench.found(found);
    side.end().await;
    baseline.end().await;
    Ok(())
}

/// The same beside a follower of the topic that reads nothing, and without one, in turns.
async fn stalled(
    bench: &mut Bench<'_>,
    fleet: &Fleet,
    case: (u64, usize),
) -> Result<(), BenchError> {
    bench.doing("messages beside a follower that reads nothing");
    let (topic, mut beside) = side(bench, fleet, case).await?;
    let stalled = Work::Follow {
        target: fleet.target(1)?,
        topic,
        messages: 0,
        stalled: true,
    };
    let stalled = Side::start(&fleet.scratch, &[stalled], vec![]).await?;
    let (_, alone) = side(bench, fleet, case).await?;
    let mut alone = Baseline::Of(alone);
    let trial = Trial {
        job: "e2e",
        params: params([
            ("rate", json!(case.0)),
            ("followers", json!(case.1)),
            ("size", json!(SIZE)),
            ("stalled", json!(true)),
        ]),
        runs: bench.options.runs(),
        sequential: true,
        first_only: true,
        baseline_is: "the same without a follower that reads nothing",
    };
    let mut found = trial.measure(&mut beside, &mut alone).await?;
    found.ratio = None;
    if let Some(base) = &found.baseline {
        let ratio = found.figures.p99_us / base.p99_us;
        found.extra.insert("p99_ratio".to_owned(), json!(ratio));
    }
    bench.found(found);
    beside.end().await;
    stalled.end().await;
    alone.end().await;
    Ok(())
}
