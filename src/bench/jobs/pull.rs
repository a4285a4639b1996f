//! Reading what is stored: in batches, single messages, one topic out of many; warm and cold.

use std::time::Duration;

use serde_json::json;

use crate::bench::disk::forget_pages;
use crate::bench::error::BenchError;
use crate::bench::fleet::Fleet;
use crate::bench::lanes::Until;
use crate::bench::measure::Measurement;
use crate::bench::run::{Bench, Raw, RawLoad, params};
use crate::bench::side::{Baseline, Side, Trial};
use crate::bench::topics;
use crate::bench::work::{RawShape, Topics, Work};
use crate::client::{Message, PublisherOptions};
use crate::clock;
use crate::journal;
use crate::limits;

/// Topics that are interleaved.
const INTERLEAVED: u64 = 1_000;
/// Messages stored between two looks at how far it is.
const PER_LOOK: u64 = 4_096;
/// How fast the host sorts while it is waited for: as fast as it can.
const SORT_MB_PER_S: u64 = 1_000;
/// How long that may take, and how often it is looked at.
const SORTED_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Bytes of a raw bulk transfer.
const BULK_BYTES: usize = 64 << 20;

/// How the messages lie in the journal.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Layout {
    /// As a publisher that sends many makes them: batches of 64 KiB.
    Batched,
    /// A batch each.
    Single,
    /// A batch each, and between two of one topic one of each other topic.
    Interleaved,
    /// The same, after the host has sorted them by topic.
    Sorted,
}

impl Layout {
    fn name(self) -> &'static str {
        match self {
            Layout::Batched => "batched",
            Layout::Single => "single",
            Layout::Interleaved => "interleaved",
            Layout::Sorted => "sorted",
        }
    }
}

/// What is stored.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) layout: Layout,
    /// Bytes of a message.
    pub(super) size: usize,
    /// Of each topic.
    pub(super) messages: u64,
    pub(super) topics: u64,
}

/// Measures pulls.
pub async fn run(bench: &mut Bench<'_>) -> Result<(), BenchError> {
    let mut fleet = bench.fleet(1, limits::SEGMENT_BYTES).await?;
    let raw = Raw::start(&fleet).await?;
    for kind in kinds(bench) {
        stored(bench, &mut fleet, &raw, kind).await?;
    }
    if !fleet.is_own() {
        // When it sorts is its own affair.
        stored(bench, &mut fleet, &raw, interleaved(bench)).await?;
        raw.end().await;
        return Ok(());
    }
    raw.end().await;
    drop(fleet);
    before_and_after_sorting(bench).await
}

/// Topics that were written in turns: as they were written, and as the host has sorted them.
async fn before_and_after_sorting(bench: &mut Bench<'_>) -> Result<(), BenchError> {
    let segment_bytes = bench.options.pick(limits::SEGMENT_BYTES, 1 << 20);
    let sorting = |mb_per_s: u64| {
        json!({
            "segment_bytes": segment_bytes,
            "sort_mb_per_s": mb_per_s,
        })
    };
    let mut fleet = bench.fleet_with(1, sorting(0)).await?;
    let raw = Raw::start(&fleet).await?;
    let kind = interleaved(bench);
    let topics = stored(bench, &mut fleet, &raw, kind).await?;
    fleet.configure_hosts(&sorting(SORT_MB_PER_S))?;
    fleet.restart_hosts().await?;
    wait_until_sorted(bench, &fleet).await?;
    let kind = Kind {
        layout: Layout::Sorted,
        ..kind
    };
    let found = measure(bench, &mut fleet, &raw, &topics, kind, true).await?;
    bench.found(found);
    raw.end().await;
    Ok(())
}

async fn wait_until_sorted(bench: &Bench<'_>, fleet: &Fleet) -> Result<(), BenchError> {
    let began = clock::mono_now();
    let doing = "looking which segments are sorted";
    loop {
        let folder = fleet.host_folder();
        let (sorted, all) = journal::sorted_segments(&folder).map_err(BenchError::io(doing))?;
        bench.doing(&format!(
            "the host sorts by topic: {sorted} of {all} segments"
        ));
        // The one being written and the next one are not.
        if sorted > 0 && all <= sorted + 2 {
            return Ok(());
        }
        if clock::mono_now().since(began) > SORTED_WITHIN {
            return Err(BenchError::Usage(format!(
                "the host has sorted only {sorted} of {all} segments within {} s",
                SORTED_WITHIN.as_secs()
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Stores messages and reads them, warm and, where the host is ours, cold.
async fn stored(
    bench: &mut Bench<'_>,
    fleet: &mut Fleet,
    raw: &Raw,
    kind: Kind,
) -> Result<Topics, BenchError> {
    let topics = fill(bench, fleet, kind).await?;
    if fleet.is_own() {
        let found = measure(bench, fleet, raw, &topics, kind, true).await?;
        bench.found(found);
    }
    let found = measure(bench, fleet, raw, &topics, kind, false).await?;
    bench.found(found);
    Ok(topics)
}

fn kinds(bench: &Bench<'_>) -> Vec<Kind> {
    let options = bench.options;
    let volume = options.pick(256u64 << 20, 4 << 20);
    let sizes = options.list(&options.sizes, &[100, 1 << 10, 16 << 10], &[1 << 10]);
    let kind = |layout, size: usize, volume: u64| Kind {
        layout,
        size,
        messages: (volume / size.max(1) as u64).max(1),
        topics: 1,
    };
    let mut kinds: Vec<Kind> = sizes
        .iter()
        .map(|&size| kind(Layout::Batched, size, volume))
        .collect();
    kinds.push(kind(Layout::Single, 1 << 10, volume / 2));
    kinds
}

fn interleaved(bench: &Bench<'_>) -> Kind {
    let topics = bench.options.pick(INTERLEAVED, 20);
    let bytes = bench.options.pick(1u64 << 30, 4 << 20);
    Kind {
        layout: Layout::Interleaved,
        size: 1 << 10,
        messages: (bytes / 1024 / topics).max(1),
        topics,
    }
}

/// Stores the messages.
pub(super) async fn fill(
    bench: &Bench<'_>,
    fleet: &Fleet,
    kind: Kind,
) -> Result<Topics, BenchError> {
    let topics = topics::create(fleet, kind.topics, |_| ()).await?;
    let publisher = fleet.client.publisher(PublisherOptions {
        batch_messages: match kind.layout {
            Layout::Batched => limits::BATCH_MESSAGES,
            _ => 1,
        },
        hold: false,
        ..PublisherOptions::default()
    });
    let body = bytes::Bytes::from(vec![b'x'; kind.size]);
    let names: Result<Vec<_>, _> = (0..kind.topics).map(|n| topics.name(n)).collect();
    let names = names?;
    let doing = "storing messages to read";
    let mut stored = 0u64;
    for _ in 0..kind.messages {
        for name in &names {
            if stored.is_multiple_of(PER_LOOK) {
                bench.doing(&format!(
                    "storing messages of {} bytes: {stored} of {}",
                    kind.size,
                    kind.messages * kind.topics
                ));
            }
            stored += 1;
            let sent = publisher.send(name, Message::new(body.clone())).await;
            drop(sent.map_err(BenchError::waypost(doing))?);
        }
        // A publisher sends what has gathered of a topic together, and in turns it shall be.
        if kind.layout == Layout::Interleaved {
            let flushed = publisher.flush().await;
            flushed.map_err(BenchError::waypost(doing))?;
        }
    }
    publisher
        .flush()
        .await
        .map_err(BenchError::waypost(doing))?;
    publisher.close().await;
    Ok(topics)
}

async fn measure(
    bench: &Bench<'_>,
    fleet: &mut Fleet,
    raw: &Raw,
    topics: &Topics,
    kind: Kind,
    cold: bool,
) -> Result<Measurement, BenchError> {
    if cold {
        // What the host has in memory goes; what the system has, goes before each run.
        fleet.restart_hosts().await?;
    }
    bench.doing(&format!(
        "pulling {} byte messages, {}",
        kind.size,
        if cold { "cold" } else { "warm" }
    ));
    let mut side = pulls(bench, fleet, topics, kind, cold).await?;
    let (mut baseline, baseline_is) = baseline(bench, fleet, raw, kind).await?;
    let trial = Trial {
        job: "pull",
        params: params([
            ("size", json!(kind.size)),
            ("layout", json!(kind.layout.name())),
            ("topics", json!(kind.topics)),
            ("cache", json!(if cold { "cold" } else { "warm" })),
        ]),
        runs: bench.options.runs(),
        sequential: false,
        first_only: false,
        baseline_is,
    };
    let folder = fleet.scratch.path().to_owned();
    let before = || if cold { forget_pages(&folder) } else { Ok(()) };
    let found = trial.measure_each(before, &mut side, &mut baseline).await;
    side.end().await;
    baseline.end().await;
    found
}

async fn pulls(
    bench: &Bench<'_>,
    fleet: &Fleet,
    topics: &Topics,
    kind: Kind,
    cold: bool,
) -> Result<Side, BenchError> {
    // A topic that was read is not cold any more. Of interleaved ones each is small.
    let warm = bench.options.pick(if kind.topics > 1 { 200 } else { 2 }, 2);
    let work = Work::Pull {
        target: fleet.target(1)?,
        topics: topics.clone(),
        size: kind.size,
        messages: kind.messages,
        until: Until::Each(if cold { 1 } else { warm }),
    };
    Side::start(&fleet.scratch, &[work], fleet.host_pids()).await
}

async fn baseline(
    bench: &Bench<'_>,
    fleet: &Fleet,
    raw: &Raw,
    kind: Kind,
) -> Result<(Baseline, &'static str), BenchError> {
    if !fleet.is_own() {
        let what = "nothing: a deployment's bulk cannot be had without its disks";
        return Ok((Baseline::None, what));
    }
    let bytes = bench.options.pick(BULK_BYTES, BULK_BYTES / 16);
    let ops = (bytes / kind.size).max(1);
    let load = RawLoad {
        shape: RawShape::Download,
        connections: 1,
        in_flight: 1,
        sizes: (0, ops * kind.size),
        ops: ops as u64,
        until: bench.options.until(),
    };
    let side = raw.side(fleet, &load).await?;
    Ok((Baseline::Of(side), "raw QUIC bulk, framed in 64 KiB"))
}
