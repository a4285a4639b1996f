//! What a measurement is: samples of runs, their medians, and what they are compared with.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What one kind of operation cost. Times are microseconds, throughput is per second of wall time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Operations per second: lookups, messages, creations.
    pub ops_per_s: f64,
    /// Payload, in 10⁶ bytes per second; 0 where operations carry none.
    pub mb_per_s: f64,
    /// Average response time.
    pub avg_us: f64,
    /// Median response time.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// CPU time of all processes that took part, load generators included.
    pub cpu_us_per_op: f64,
}

/// One measurement: medians over its runs, beside a baseline that was measured in between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Which job: `lookup`, `publish`, `pull`, `e2e`, `scale`, ...
    pub job: String,
    /// What was varied, in the order in which people read it.
    pub params: Map<String, Value>,
    /// What was found.
    #[serde(flatten)]
    pub figures: Figures,
    /// The baseline, by the same keys.
    pub baseline: Option<Figures>,
    /// What the baseline is, one line for people.
    pub baseline_is: String,
    /// Throughput over the baseline's: the median of the runs' ratios.
    pub ratio: Option<f64>,
    /// Sequential jobs: median response time over the baseline's, likewise.
    pub p50_ratio: Option<f64>,
    /// (highest - lowest) / median of the runs' throughput.
    pub spread: f64,
    /// How many runs.
    pub runs: u32,
    /// What does not fit above, by name: memory, notes.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// What one run of a job brought, added up over its load generators.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Operations done.
    pub ops: u64,
    /// Payload bytes carried.
    pub bytes: u64,
    /// From the first operation's start to the last one's end.
    pub elapsed: Duration,
    /// Response times in nanoseconds.
    pub times: Histogram<u64>,
    /// CPU time of all that took part.
    pub cpu: Duration,
}

/// Significant figures of recorded times.
const FIGURES: u8 = 3;

/// A histogram of nanoseconds that grows as it must.
pub fn histogram() -> Histogram<u64> {
    // Fails only for more than five significant figures.
    Histogram::new(FIGURES).unwrap_or_else(|_| unreachable!("{FIGURES} significant figures"))
}

/// Records a time `count` times.
pub(super) fn note(times: &mut Histogram<u64>, nanoseconds: u64, count: u64) {
    // Such a histogram takes every value. (Its saturating methods would cut at what it has room for
    // now.)
    let _ = times.record_n(nanoseconds, count);
}

impl Sample {
    /// What these samples cost per operation.
    pub fn figures(&self) -> Figures {
        let seconds = self.elapsed.as_secs_f64().max(1e-9);
        let at = |quantile: f64| self.times.value_at_quantile(quantile) as f64 / 1e3;
        Figures {
            ops_per_s: self.ops as f64 / seconds,
            mb_per_s: self.bytes as f64 / seconds / 1e6,
            avg_us: self.times.mean() / 1e3,
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            cpu_us_per_op: self.cpu.as_secs_f64() * 1e6 / self.ops.max(1) as f64,
        }
    }

    /// What load generators brought that ran side by side.
    pub fn merged(samples: impl IntoIterator<Item = Sample>) -> Option<Sample> {
        samples.into_iter().reduce(|mut sum, sample| {
            sum.ops += sample.ops;
            sum.bytes += sample.bytes;
            sum.elapsed = sum.elapsed.max(sample.elapsed);
            sum.cpu += sample.cpu;
            // Both grow as they must.
            let _ = sum.times.add(&sample.times);
            sum
        })
    }
}

/// One run and the run of the baseline beside it.
pub type Pair = (Figures, Option<Figures>);

impl Measurement {
    /// The medians of `pairs`; `sequential` asks for the ratio of response times, too.
    pub fn of(job: &str, params: Map<String, Value>, pairs: &[Pair], sequential: bool) -> Self {
        let figures: Vec<Figures> = pairs.iter().map(|(found, _)| *found).collect();
        let baselines: Vec<Figures> = pairs.iter().filter_map(|(_, base)| *base).collect();
        let ratios = |of: fn(&Figures) -> f64| -> Option<f64> {
            let ratio = |(found, base): &Pair| base.map(|base| of(found) / of(&base));
            let ratios: Vec<f64> = pairs.iter().filter_map(ratio).collect();
            (!ratios.is_empty()).then(|| median(ratios))
        };
        let throughput: Vec<f64> = figures.iter().map(|run| run.ops_per_s).collect();
        Measurement {
            job: job.to_owned(),
            params,
            figures: Figures::medians(&figures),
            baseline: (!baselines.is_empty()).then(|| Figures::medians(&baselines)),
            baseline_is: String::new(),
            ratio: ratios(|figures| figures.ops_per_s),
            p50_ratio: ratios(|figures| figures.p50_us).filter(|_| sequential),
            spread: spread(&throughput),
            runs: pairs.len() as u32,
            extra: Map::new(),
        }
    }
}

impl Figures {
    /// The median of each figure.
    pub fn medians(runs: &[Figures]) -> Figures {
        let of = |field: fn(&Figures) -> f64| median(runs.iter().map(field).collect());
        Figures {
            ops_per_s: of(|f| f.ops_per_s),
            mb_per_s: of(|f| f.mb_per_s),
            avg_us: of(|f| f.avg_us),
            p50_us: of(|f| f.p50_us),
            p99_us: of(|f| f.p99_us),
            p999_us: of(|f| f.p999_us),
            cpu_us_per_op: of(|f| f.cpu_us_per_op),
        }
    }

    /// The same with the payload of another's operations, for bytes of headers and acknowledgements, which
    /// a baseline counts, too, are not what is compared.
    pub fn with_payload_of(&self, other: &Figures) -> Figures {
        let mb = match other.ops_per_s > 0.0 {
            true => other.mb_per_s / other.ops_per_s,
            false => 0.0,
        };
        Figures {
            mb_per_s: self.ops_per_s * mb,
            ..*self
        }
    }

    /// One after the other: times add up, as for a round trip and then a sync.
    pub fn then(&self, next: &Figures) -> Figures {
        let p50_us = self.p50_us + next.p50_us;
        let avg_us = self.avg_us + next.avg_us;
        Figures {
            ops_per_s: 1e6 / avg_us,
            mb_per_s: self.mb_per_s.max(next.mb_per_s),
            avg_us,
            p50_us,
            p99_us: self.p99_us + next.p99_us,
            p999_us: self.p999_us + next.p999_us,
            cpu_us_per_op: self.cpu_us_per_op + next.cpu_us_per_op,
        }
    }
}

/// The median; of an even number the mean of the middle two. 0 of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        even if even % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

fn spread(values: &[f64]) -> f64 {
    let highest = values.iter().copied().fold(f64::MIN, f64::max);
    let lowest = values.iter().copied().fold(f64::MAX, f64::min);
    let median = median(values.to_vec());
    if median > 0.0 {
        (highest - lowest) / median
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(ops_per_s: f64, p50_us: f64) -> Figures {
        Figures {
            ops_per_s,
            p50_us,
            ..Figures::default()
        }
    }

    #[test]
    fn medians_and_ratios_are_taken_by_run() {
        let pairs = [
            (figures(90.0, 12.0), Some(figures(100.0, 10.0))),
            (figures(40.0, 30.0), Some(figures(50.0, 20.0))),
            (figures(95.0, 11.0), Some(figures(100.0, 10.0))),
        ];
        let found = Measurement::of("lookup", Map::new(), &pairs, true);
        assert_eq!(found.figures.ops_per_s, 90.0);
        assert_eq!(found.baseline.map(|base| base.ops_per_s), Some(100.0));
        assert_eq!(found.ratio, Some(0.9));
        assert_eq!(found.p50_ratio, Some(1.2));
        assert!((found.spread - 55.0 / 90.0).abs() < 1e-9);
    }

    #[test]
    fn a_baseline_is_told_in_payload() {
        let ours = Figures {
            mb_per_s: 8.0,
            ..figures(4_000.0, 10.0)
        };
        // Its own bytes are not those of the messages.
        let base = Figures {
            mb_per_s: 77.0,
            ..figures(5_000.0, 9.0)
        };
        let told = base.with_payload_of(&ours);
        assert_eq!((told.mb_per_s, told.ops_per_s), (10.0, 5_000.0));
        assert_eq!(base.with_payload_of(&Figures::default()).mb_per_s, 0.0);
    }

    #[test]
    fn a_sample_tells_rates_and_quantiles() {
        let mut times = histogram();
        for micros in 1..=1000u64 {
            times.record(micros * 1000).unwrap();
        }
        let sample = Sample {
            ops: 1000,
            bytes: 2_000_000,
            elapsed: Duration::from_millis(500),
            times,
            cpu: Duration::from_millis(10),
        };
        let both = Sample::merged([sample.clone(), sample]).unwrap().figures();
        assert_eq!(both.ops_per_s.round(), 4000.0);
        assert_eq!(both.mb_per_s.round(), 8.0);
        assert!((both.p50_us - 500.0).abs() < 2.0, "{both:?}");
        assert!((both.p99_us - 990.0).abs() < 2.0, "{both:?}");
        assert_eq!(both.cpu_us_per_op.round(), 10.0);
    }

    #[test]
    fn the_json_has_the_keys_that_programs_read() {
        let found = Measurement::of("lookup", Map::new(), &[(figures(1.0, 2.0), None)], false);
        let json = serde_json::to_value(&found).unwrap();
        for key in [
            "job",
            "params",
            "ops_per_s",
            "mb_per_s",
            "avg_us",
            "p50_us",
            "p99_us",
            "p999_us",
            "cpu_us_per_op",
            "baseline",
            "ratio",
            "spread",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
    }
}
