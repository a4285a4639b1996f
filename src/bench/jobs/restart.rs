//! How long until an index or a peer that was killed is of use again.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::pull::{Kind as Stored, Layout, fill};
use crate::bench::disk::forget_pages;
use crate::bench::error::BenchError;
use crate::bench::fleet::Fleet;
use crate::bench::measure::Measurement;
use crate::bench::run::{Bench, params};
use crate::bench::work::Topics;
use crate::client::PullOptions;
use crate::clock;
use crate::limits;
use crate::wire::index::Route;
use crate::wire::peer::ReadFrom;

/// Bytes of the journal that BENCH.md's goal names.
const JOURNAL_BYTES: u64 = 10_500_000_000;
/// Bytes of a message that fills it.
const BODY_BYTES: usize = 64 << 10;
/// How often one that is starting is asked.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures how soon a peer with a large journal serves after `kill -9`, with cold caches.
pub async fn run(bench: &mut Bench<'_>) -> Result<(), BenchError> {
    if bench.options.running.is_some() {
        bench.doing("restarts are measured in deployments of the bench's own only");
        return Ok(());
    }
    let mut fleet = bench.fleet(1, limits::SEGMENT_BYTES).await?;
    let bytes = bench.options.pick(JOURNAL_BYTES, 16 << 20);
    let count = bench.options.pick(1_000, 10);
    let stored = Stored {
        layout: Layout::Batched,
        size: BODY_BYTES,
        messages: bytes.div_ceil(BODY_BYTES as u64 * count),
        topics: count,
    };
    let topics = fill(bench, &fleet, stored).await?;
    let mut times = vec![];
    for run in 0..bench.options.runs() {
        bench.doing(&format!("restarting a peer: {run} times so far"));
        forget_pages(fleet.scratch.path())?;
        let began = clock::mono_now();
        fleet.restart_hosts().await?;
        pulls_one(&fleet, &topics).await?;
        times.push(clock::mono_now().since(began));
    }
    let parameters = [("of", json!("peer")), ("bytes", json!(bytes))];
    bench.found(measured(params(parameters), &times));
    Ok(())
}

/// Measures how soon the index answers a lookup correctly after `kill -9`.
pub async fn index(
    bench: &mut Bench<'_>,
    fleet: &mut Fleet,
    topics: &Topics,
) -> Result<(), BenchError> {
    let name = topics.name(topics.count / 2)?;
    let doing = "looking a topic up before the restart";
    let expected = fleet.client.routes(vec![name.clone()]).await;
    let expected = expected.map_err(BenchError::waypost(doing))?;
    let mut times = vec![];
    for _ in 0..bench.options.runs() {
        bench.doing("restarting the index");
        let began = clock::mono_now();
        fleet.restart_index().await?;
        loop {
            // The host may not have come back yet; the topic and who hosts it are what is asked.
            let found = fleet.client.routes(vec![name.clone()]).await;
            let same = found.is_ok_and(|found| same_topics(&found, &expected));
            let waited = clock::mono_now().since(began);
            if same {
                times.push(waited);
                break;
            }
            if waited > PATIENCE {
                return Err(BenchError::TimedOut {
                    what: "the restarted index to know its topics".to_owned(),
                    seconds: PATIENCE.as_secs(),
                });
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
    let parameters = [("of", json!("index")), ("topics", json!(topics.count))];
    bench.found(measured(params(parameters), &times));
    Ok(())
}

type Routes = [Option<Route>];

fn same_topics(found: &Routes, expected: &Routes) -> bool {
    let topics = |routes: &Routes| -> Vec<_> {
        let routes = routes.iter().flatten();
        routes
            .map(|route| (route.topic, route.host.fingerprint))
            .collect()
    };
    !found.is_empty() && topics(found) == topics(expected)
}

/// Serving means that a message can be read.
async fn pulls_one(fleet: &Fleet, topics: &Topics) -> Result<(), BenchError> {
    let name = topics.name(0)?;
    let options = PullOptions {
        from: ReadFrom::Start,
        max_messages: 1,
        ..PullOptions::default()
    };
    let pulled = fleet.client.pull(&name, &options).await;
    pulled.map_err(BenchError::waypost("reading after a restart"))?;
    Ok(())
}

/// The longest of the times is what counts as ready.
fn measured(of: Map<String, Value>, times: &[Duration]) -> Measurement {
    let ms: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    let mut found = Measurement::of("restart", of, &[], false);
    found.runs = times.len() as u32;
    let longest = ms.iter().copied().fold(0.0, f64::max);
    found.extra = params([("ready_ms", json!(longest)), ("times_ms", json!(ms))]);
    found
}
