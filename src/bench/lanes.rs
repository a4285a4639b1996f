//! Closed-loop load: lanes that each start their next operation when the last one is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::error::BenchError;
use super::measure::{Sample, histogram, note};
use crate::clock;
use crate::types::MonoNs;

/// When a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// Each lane has done so many operations.
    Each(u64),
    /// Milliseconds have passed; operations begun before are finished.
    ElapsedMs(u64),
}

/// What an operation did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Did {
    /// How many operations it counts for.
    pub ops: u64,
    /// Payload bytes carried.
    pub bytes: u64,
}

/// One lane's operation. Called again and again with the number of the call.
pub trait Lane: Send + 'static {
    /// Does it once.
    fn once(&mut self, number: u64) -> impl Future<Output = Result<Did, BenchError>> + Send;
}

/// Runs `lanes` side by side until each is over; the sample lacks only CPU time.
pub async fn run<L: Lane>(lanes: Vec<L>, until: Until) -> Result<(Vec<L>, Sample), BenchError> {
    let began = clock::mono_now();
    let totals = Arc::new(Totals::new());
    let mut running = JoinSet::new();
    for lane in lanes {
        let totals = Arc::clone(&totals);
        running.spawn(async move { drive(lane, until, began, &totals).await });
    }
    let mut lanes = vec![];
    while let Some(joined) = running.join_next().await {
        let lane = joined.map_err(|panic| BenchError::Process {
            name: "a load generator's lane".to_owned(),
            detail: panic.to_string(),
        })??;
        lanes.push(lane);
    }
    let times = std::mem::replace(&mut *totals.times.lock(), histogram());
    let sample = Sample {
        ops: totals.ops.load(Ordering::Relaxed),
        bytes: totals.bytes.load(Ordering::Relaxed),
        elapsed: clock::mono_now().since(began),
        times,
        cpu: Duration::ZERO,
    };
    Ok((lanes, sample))
}

/// What all lanes did.
struct Totals {
    ops: AtomicU64,
    bytes: AtomicU64,
    /// One for all: hundreds of them are more than a cache holds, and recording then costs as much as
    /// sending a small message.
    times: Mutex<Histogram<u64>>,
}

impl Totals {
    fn new() -> Totals {
        Totals {
            ops: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            times: Mutex::new(histogram()),
        }
    }
}

async fn drive<L: Lane>(
    mut lane: L,
    until: Until,
    began: MonoNs,
    totals: &Totals,
) -> Result<L, BenchError> {
    let mut number = 0;
    let mut sum = Did::default();
    let mut start = clock::mono_now();
    while until.goes_on(number, start.since(began)) {
        let did = lane.once(number).await?;
        let end = clock::mono_now();
        note(&mut totals.times.lock(), nanos(end.since(start)), 1);
        start = end;
        sum.ops += did.ops;
        sum.bytes += did.bytes;
        number += 1;
    }
    totals.ops.fetch_add(sum.ops, Ordering::Relaxed);
    totals.bytes.fetch_add(sum.bytes, Ordering::Relaxed);
    Ok(lane)
}

impl Until {
    /// Whether another operation begins after `done` ones.
    pub fn goes_on(self, done: u64, elapsed: Duration) -> bool {
        match self {
            Until::Each(count) => done < count,
            // A run of nothing would have no figures.
            Until::ElapsedMs(limit) => done == 0 || elapsed < Duration::from_millis(limit),
        }
    }
}

/// A duration for a histogram, which takes nothing below 1.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos())
        .unwrap_or(u64::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(u64);
    impl Lane for Counting {
        async fn once(&mut self, number: u64) -> Result<Did, BenchError> {
            assert_eq!(number, self.0);
            self.0 += 1;
            tokio::task::yield_now().await;
            Ok(Did { ops: 2, bytes: 10 })
        }
    }

    #[tokio::test]
    async fn every_lane_does_its_share() {
        let lanes = vec![Counting(0), Counting(0), Counting(0)];
        let (lanes, sample) = run(lanes, Until::Each(5)).await.unwrap();
        assert!(lanes.iter().all(|lane| lane.0 == 5));
        assert_eq!((sample.ops, sample.bytes), (30, 150));
        assert_eq!(sample.times.len(), 15);
    }

    #[tokio::test]
    async fn time_ends_a_run() {
        let (lanes, sample) = run(vec![Counting(0)], Until::ElapsedMs(1)).await.unwrap();
        assert!(lanes[0].0 > 0);
        assert!(sample.elapsed >= Duration::from_millis(1));
    }
}
