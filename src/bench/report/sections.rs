//! One section for each job: what was found in words, plots, the table, the goals. Pure.

mod against;
mod compare;
mod e2e;
mod failover;
mod lookup;
mod memory;
mod publish;
mod pull;
mod restart;
mod scale;
mod topics;

pub(super) use e2e::p99_without;

use super::amount::{Unit, ratio};
use super::goals::Judged;
use super::params::{Few, has_raw_baseline, of_job};
use super::plot::{Axis, Plot, Row, Series};
use super::table::Table;
use crate::bench::{Figures, Measurement};

/// A part of the report.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Section {
    /// The job.
    pub(super) job: String,
    /// Its heading.
    pub(super) title: String,
    /// What was found, the answer first.
    pub(super) findings: Vec<String>,
    /// Pictures.
    pub(super) plots: Vec<Plot>,
    /// All figures.
    pub(super) table: Table,
    /// What the baselines are.
    pub(super) baselines: Vec<String>,
    /// Goals that these measurements decide.
    pub(super) goals: Vec<Judged>,
}

/// What a job's own module adds to its figures.
type Shown = (Vec<String>, Vec<Option<Plot>>);
type Show = fn(&Few) -> Shown;

struct Kind {
    job: &'static str,
    title: &'static str,
    show: Show,
}

/// In the order of the report; jobs that are not here follow in the order of the measurements.
const KINDS: [Kind; 11] = [
    kind("lookup", "Concurrent topic querying", lookup::show),
    kind(
        "lookup-topics",
        "Lookups among many topics and among few",
        topics::show,
    ),
    kind("scale", "Scalability", scale::show),
    kind("failover", "Fault tolerance: fail-over", failover::show),
    kind("restart", "Fault tolerance: restart", restart::show),
    kind("publish", "Publish", publish::show),
    kind(
        "publish-against",
        "Publish to many topics, or copies, against one",
        against::show,
    ),
    kind("pull", "Read back", pull::show),
    kind("e2e", "From publisher to follower", e2e::show),
    kind("memory", "Memory of the index", memory::show),
    kind("compare", "Beside other systems", compare::show),
];

const fn kind(job: &'static str, title: &'static str, show: Show) -> Kind {
    Kind { job, title, show }
}

/// The sections for these measurements; a job that was not measured has none.
pub(super) fn sections(all: &[Measurement], goals: &[Judged]) -> Vec<Section> {
    let known = KINDS
        .iter()
        .map(|kind| (kind.job, kind.title.to_owned(), Some(kind.show)));
    let mut others: Vec<&str> = Vec::new();
    for found in all {
        let job = found.job.as_str();
        if KINDS.iter().all(|kind| kind.job != job) && !others.contains(&job) {
            others.push(job);
        }
    }
    let others = others
        .into_iter()
        .map(|job| (job, super::params::title(job), None));
    let section = |(job, title, show): (&str, String, Option<Show>)| {
        let few = of_job(all, job);
        let (findings, plots) = show.map_or_else(Default::default, |show| show(&few));
        (!few.is_empty()).then(|| Section {
            job: job.to_owned(),
            title,
            findings,
            plots: plots.into_iter().flatten().collect(),
            table: Table::of(&few),
            baselines: baselines(&few),
            goals: goals
                .iter()
                .filter(|goal| goal.job == job)
                .cloned()
                .collect(),
        })
    };
    known.chain(others).filter_map(section).collect()
}

fn baselines(few: &Few) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for found in few.iter().filter(|found| !found.baseline_is.is_empty()) {
        if !lines.contains(&found.baseline_is) {
            lines.push(found.baseline_is.clone());
        }
    }
    lines
}

/// One figure of each measurement along a parameter.
fn points(line: &[(f64, &Measurement)], figure: fn(&Figures) -> f64) -> Vec<(f64, f64)> {
    line.iter()
        .map(|(x, found)| (*x, figure(&found.figures)))
        .collect()
}

/// The same of the baselines.
fn base_points(line: &[(f64, &Measurement)], figure: fn(&Figures) -> f64) -> Vec<(f64, f64)> {
    let point = |(x, found): &(f64, &Measurement)| Some((*x, figure(found.baseline.as_ref()?)));
    line.iter().filter_map(point).collect()
}

/// Average, median, p99 and p99.9.
fn time_series(line: &[(f64, &Measurement)]) -> Vec<Series> {
    vec![
        Series::new("p99.9", 3, points(line, |of| of.p999_us)),
        Series::new("p99", 1, points(line, |of| of.p99_us)),
        Series::new("average", 2, points(line, |of| of.avg_us)),
        Series::new("median", 0, points(line, |of| of.p50_us)),
    ]
}

/// A logarithmic axis with a tick at each value that was measured.
fn measured_axis<'a>(label: &str, unit: Unit, lines: impl IntoIterator<Item = &'a Series>) -> Axis {
    let values = lines
        .into_iter()
        .flat_map(|series| &series.points)
        .map(|(x, _)| *x);
    Axis::log(label, unit).at(values)
}

/// A bar of a measurement beside its baseline.
fn bar(label: String, nth: usize, found: &Measurement, figure: fn(&Figures) -> f64) -> Row {
    Row {
        label,
        value: figure(&found.figures),
        baseline: found.baseline.as_ref().map(figure),
        ratio: found.ratio,
        ink: super::plot::Ink::Series(nth),
    }
}

/// `, 0.97 of raw QUIC in the same run`, where there is a ratio; `raw` is what a raw baseline is.
fn of_baseline(found: &Measurement, raw: &str) -> String {
    match found.ratio.filter(|value| value.is_finite()) {
        Some(value) => format!(
            ", {} of {} in the same run",
            ratio(value),
            base_name(found, raw)
        ),
        None => String::new(),
    }
}

/// Likewise of the medians of sequential jobs: `, 1.09 × a raw round trip in the same run`.
fn times_baseline(found: &Measurement, raw: &str) -> String {
    match found.p50_ratio.filter(|value| value.is_finite()) {
        Some(value) => format!(
            ", {} × {} in the same run",
            ratio(value),
            base_name(found, raw)
        ),
        None => String::new(),
    }
}

/// What to call the baseline.
fn base_name<'a>(found: &Measurement, raw: &'a str) -> &'a str {
    if has_raw_baseline(found) {
        raw
    } else {
        "the baseline"
    }
}

/// A line of baselines, called `raw` where they are.
fn base_series(line: &[(f64, &Measurement)], raw: &str, figure: fn(&Figures) -> f64) -> Series {
    let is_raw = line.iter().all(|(_, found)| has_raw_baseline(found));
    Series::baseline(
        if is_raw { raw } else { "baseline" },
        base_points(line, figure),
    )
}

fn micros(value: f64) -> String {
    Unit::Micros.text(value)
}

fn mb_per_second(value: f64) -> String {
    Unit::MbPerSecond.text(value)
}
