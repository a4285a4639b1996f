//! How long a topic has no host.

use super::super::amount::{Unit, plural, whole};
use super::super::params::{Few, differing, flag, groups, with};
use super::super::plot::{Axis, Lines, Plot, Series};
use super::super::times::{distribution, quantile, times_ms};
use super::{Shown, micros};
use crate::bench::Measurement;

pub(super) fn show(few: &Few) -> Shown {
    let killed = with(few, |found| !flag(found, "planned"));
    let planned = with(few, |found| flag(found, "planned"));
    let findings = [
        told(
            &killed,
            "After its host is killed a topic takes messages again in",
        ),
        told(&planned, "A planned hand-over takes"),
    ];
    (findings.into_iter().flatten().collect(), vec![ecdf(few)])
}

fn told(few: &[&Measurement], what: &str) -> Option<String> {
    let times: Vec<f64> = few.iter().flat_map(|found| times_ms(found)).collect();
    let at = |share: f64| quantile(times.clone(), share).map(|ms| micros(ms * 1e3));
    let (median, p99, longest) = (at(0.5)?, at(0.99)?, at(1.0)?);
    let runs = plural(times.len() as f64, "time", "times");
    Some(format!(
        "{what} {median} (median; p99 {p99}, longest {longest}; {runs}).",
    ))
}

fn ecdf(few: &[&Measurement]) -> Option<Plot> {
    let names = differing(few, &[]);
    let series = |(nth, (label, group)): (usize, (String, Few))| {
        let times: Vec<f64> = group.iter().flat_map(|found| times_ms(found)).collect();
        let count = whole(times.len() as f64);
        let label = match label.is_empty() {
            true => format!("{count} times"),
            false => format!("{label} ({count} times)"),
        };
        let micros = times
            .into_iter()
            .filter(|ms| *ms > 0.0)
            .map(|ms| ms * 1e3)
            .collect();
        Series {
            dots: false,
            ..Series::new(&label, nth, distribution(micros))
        }
    };
    let lines = Lines {
        x: Axis::log(
            "time until the topic takes messages again, logarithmic",
            Unit::Micros,
        ),
        y: Axis::linear("share of fail-overs that were done by then", Unit::Share),
        series: groups(few, &names)
            .into_iter()
            .enumerate()
            .map(series)
            .collect(),
        marks: Vec::new(),
    };
    Plot::lines("failover", "How long fail-over takes", lines)
}
