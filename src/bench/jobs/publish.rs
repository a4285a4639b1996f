//! Durable publishing: synced, on one copy or on several, before it is acknowledged.

use serde_json::json;

use crate::bench::error::BenchError;
use crate::bench::fleet::Fleet;
use crate::bench::measure::Measurement;
use crate::bench::run::{self, Bench, Raw, RawLoad, params, raw_sync};
use crate::bench::side::{Baseline, Side, Trial};
use crate::bench::topics;
use crate::bench::work::{RawShape, Work};
use crate::limits;
use crate::types::TopicSettings;

/// Sizes of bodies.
const SIZES: &[usize] = &[100, 1 << 10, 16 << 10, 1 << 20];
/// The size with which other things are varied, unless others are asked for.
const USUAL_SIZE: usize = 1 << 10;
/// Bytes of an acknowledgement's frame, about.
const ACK_BYTES: usize = 24;
/// Bytes that a message has around its body in a frame, about: frame, batch and record headers.
const AROUND_BYTES: usize = 120;
/// Bytes of a raw bulk transfer.
const BULK_BYTES: usize = 64 << 20;
/// Bytes in flight of large messages, at most: half of a publisher's buffer.
const IN_FLIGHT_BYTES: usize = 16 << 20;

#[derive(Clone, Copy)]
struct Kind {
    size: usize,
    in_flight: usize,
    batched: bool,
    publishers: usize,
    topics: u64,
    replicas: u8,
}

impl Kind {
    /// As many in flight, or as many as there is room for.
    fn with_in_flight(self, wanted: usize) -> Kind {
        let room = (IN_FLIGHT_BYTES / self.size.max(1)).max(1);
        Kind {
            in_flight: wanted.min(room),
            ..self
        }
    }

    fn in_words(self) -> String {
        let how = match self.batched {
            true => "in batches",
            false => "one in a frame",
        };
        format!(
            "{} byte messages {how}, {} in flight, {} publishers, {} topics, {} copies",
            self.size, self.in_flight, self.publishers, self.topics, self.replicas
        )
    }
}

/// Measures publishing.
pub async fn run(bench: &mut Bench<'_>) -> Result<(), BenchError> {
    let kinds = kinds(bench);
    let copies = kinds.iter().map(|kind| kind.replicas).max();
    let copies = usize::from(copies.unwrap_or(1));
    let fleet = bench.fleet(copies, limits::SEGMENT_BYTES).await?;
    fleet.needs_hosts(copies).await?;
    all(bench, &fleet, &kinds).await
}

async fn all(bench: &mut Bench<'_>, fleet: &Fleet, kinds: &[Kind]) -> Result<(), BenchError> {
    let raw = Raw::start(fleet).await?;
    for &kind in kinds {
        let found = measure(bench, fleet, &raw, kind).await?;
        bench.found(found);
    }
    raw.end().await;
    for &kind in kinds {
        if kind.topics > 1 && kind.batched || kind.replicas > 1 && kind.in_flight == 1 {
            let found = against_one(bench, fleet, kind).await?;
            bench.found(found);
        }
    }
    Ok(())
}

fn kinds(bench: &Bench<'_>) -> Vec<Kind> {
    let options = bench.options;
    let sizes = options.list(&options.sizes, SIZES, &[100, USUAL_SIZE]);
    let in_flight = options.list(&options.in_flight, &[1, 256], &[1, 64]);
    let (Some(&first), Some(&deepest)) = (sizes.first(), in_flight.last()) else {
        return vec![];
    };
    let usual = sizes.iter().find(|&&size| size == USUAL_SIZE);
    let plain = Kind {
        size: *usual.unwrap_or(&first),
        in_flight: 1,
        batched: false,
        publishers: 1,
        topics: 1,
        replicas: 1,
    };
    let many = options.pick(1_000, 50);
    let mut kinds = vec![];
    for &size in &sizes {
        let sized = Kind { size, ..plain };
        kinds.extend(in_flight.iter().map(|&depth| sized.with_in_flight(depth)));
        kinds.push(Kind {
            batched: true,
            ..sized
        });
    }
    let first = Kind {
        size: first,
        ..plain
    };
    let deep = first.with_in_flight(deepest);
    let publishers = options.list(&options.publishers, &[8], &[2]).into_iter();
    kinds.extend(publishers.map(|publishers| Kind { publishers, ..deep }));
    kinds.push(Kind {
        topics: many,
        ..deep
    });
    kinds.push(Kind {
        batched: true,
        topics: many,
        ..plain
    });
    for copies in options.list(&options.replicas, &[1, 2], &[1, 2]) {
        let copied = Kind {
            replicas: u8::try_from(copies).unwrap_or(u8::MAX),
            ..plain
        };
        if copied.replicas > 1 {
            kinds.extend(in_flight.iter().map(|&depth| copied.with_in_flight(depth)));
        }
    }
    kinds
}

/// What the acknowledgement of such messages waits for at least.
async fn baseline(
    bench: &Bench<'_>,
    fleet: &Fleet,
    raw: &Raw,
    kind: Kind,
) -> Result<(Baseline, &'static str), BenchError> {
    let until = bench.options.until();
    let sizes = (kind.size + AROUND_BYTES, ACK_BYTES);
    if !fleet.is_own() {
        return run::own_round_trip(fleet, 1, kind.in_flight, until).await;
    }
    if kind.batched {
        let bulk = (BULK_BYTES / kind.size).max(1) * kind.size;
        let load = RawLoad {
            shape: RawShape::Upload,
            connections: kind.publishers,
            in_flight: 1,
            sizes: (bench.options.pick(bulk, bulk / 4), 0),
            ops: (bench.options.pick(bulk, bulk / 4) / kind.size) as u64,
            until,
        };
        let side = raw.side(fleet, &load).await?;
        return Ok((Baseline::Of(side), "raw QUIC bulk, nothing stored"));
    }
    if kind.in_flight == 1 && kind.publishers == 1 {
        let round_trip = raw.side(fleet, &RawLoad::round_trip(sizes, until)).await?;
        let sync = raw_sync(fleet, kind.size + AROUND_BYTES, until).await?;
        let what = "raw QUIC round trip, then raw fdatasync";
        return Ok((Baseline::Chain(vec![round_trip, sync], 1), what));
    }
    let load = RawLoad {
        shape: RawShape::Pipelined,
        connections: kind.publishers,
        in_flight: kind.in_flight,
        sizes,
        ops: 1,
        until,
    };
    let side = raw.side(fleet, &load).await?;
    Ok((
        Baseline::Of(side),
        "raw QUIC: one long stream of requests, nothing stored",
    ))
}

async fn side(bench: &Bench<'_>, fleet: &Fleet, kind: Kind) -> Result<Side, BenchError> {
    let settings = TopicSettings {
        replicas: kind.replicas,
        ..TopicSettings::default()
    };
    let topics = topics::create_with(fleet, kind.topics, settings, |_| ()).await?;
    if kind.replicas > 1 {
        topics::in_sync(&fleet.client, &topics, kind.replicas).await?;
    }
    let work = Work::Publish {
        target: fleet.target(kind.publishers)?,
        topics,
        size: kind.size,
        in_flight: kind.in_flight,
        batched: kind.batched,
        until: bench.options.until(),
    };
    Side::start(&fleet.scratch, &[work], fleet.host_pids()).await
}

async fn measure(
    bench: &Bench<'_>,
    fleet: &Fleet,
    raw: &Raw,
    kind: Kind,
) -> Result<Measurement, BenchError> {
    bench.doing(&format!("publishing {}", kind.in_words()));
    let side = side(bench, fleet, kind).await?;
    let (baseline, baseline_is) = baseline(bench, fleet, raw, kind).await?;
    in_turns(bench, "publish", kind, side, baseline, baseline_is).await
}

/// Many topics against one, copies against one: in turns, for figures of different minutes say as much of the minutes.
async fn against_one(
    bench: &Bench<'_>,
    fleet: &Fleet,
    kind: Kind,
) -> Result<Measurement, BenchError> {
    let one = Kind {
        topics: 1,
        replicas: 1,
        ..kind
    };
    let (of_kind, of_one) = (kind.in_words(), one.in_words());
    bench.doing(&format!("publishing {of_kind}, and {of_one}"));
    let many = side(bench, fleet, kind).await?;
    let baseline = Baseline::Of(side(bench, fleet, one).await?);
    let what = "the same to one topic with one copy";
    in_turns(bench, "publish-against", kind, many, baseline, what).await
}

async fn in_turns(
    bench: &Bench<'_>,
    job: &str,
    kind: Kind,
    mut side: Side,
    mut baseline: Baseline,
    baseline_is: &str,
) -> Result<Measurement, BenchError> {
    let trial = Trial {
        job,
        params: params([
            ("size", json!(kind.size)),
            ("in_flight", json!(kind.in_flight)),
            ("batched", json!(kind.batched)),
            ("publishers", json!(kind.publishers)),
            ("topics", json!(kind.topics)),
            ("replicas", json!(kind.replicas)),
        ]),
        runs: bench.options.runs(),
        sequential: kind.in_flight == 1 && !kind.batched,
        first_only: false,
        baseline_is,
    };
    let found = trial.measure(&mut side, &mut baseline).await;
    side.end().await;
    baseline.end().await;
    found
}
