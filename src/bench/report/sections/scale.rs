//! From one peer to many: registering, creating topics, publishing, retrieving.

use super::super::amount::{self, Unit, number as figure, plural, ratio};
use super::super::params::{Few, along, number, with, word};
use super::super::plot::{Axis, Lines, Mark, Plot, Series};
use super::super::{EARLIER_DELIVERY_US, EARLIER_PER_SECOND};
use super::{Shown, measured_axis, micros, points};
use crate::bench::{Figures, Measurement};

/// The steps, as people say them.
const STEPS: [(&str, &str, &str); 5] = [
    ("register", "register", "registering"),
    ("create", "create a topic", "creating a topic"),
    ("publish", "publish", "publishing a message"),
    ("retrieve", "retrieve", "retrieving a message"),
    (
        "deliver",
        "publish and retrieve",
        "publishing one and retrieving it",
    ),
];

pub(super) fn show(few: &Few) -> Shown {
    let findings = [headline(few), earlier(few)]
        .into_iter()
        .flatten()
        .collect();
    (findings, vec![latency(few), throughput(few)])
}

fn step<'a>(few: &[&'a Measurement], name: &str) -> Vec<(f64, &'a Measurement)> {
    along(&with(few, |found| word(found, "step") == name), "peers")
}

fn headline(few: &[&Measurement]) -> Option<String> {
    let peers = few
        .iter()
        .filter_map(|found| number(found, "peers"))
        .reduce(f64::max)?;
    let told = STEPS.iter().filter_map(|(name, _, words)| {
        let (_, found) = *step(few, name).iter().find(|(at, _)| *at == peers)?;
        Some(format!("{words} takes {}", micros(found.figures.p50_us)))
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| {
        format!(
            "With {} at the same time {} (medians).",
            plural(peers, "peer", "peers"),
            listed(&told)
        )
    })
}

/// `a, b and c`.
fn listed(parts: &[String]) -> String {
    match parts {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => parts.concat(),
    }
}

fn earlier(few: &[&Measurement]) -> Option<String> {
    let line = step(few, "publish");
    let (peers, found) = line
        .iter()
        .find(|(peers, _)| *peers == 8.0)
        .or(line.last())?;
    let rate = found.figures.ops_per_s;
    let (low, high) = EARLIER_DELIVERY_US;
    (rate > 0.0).then(|| {
        format!(
            "{} publish {} in all, {} × the earlier system's {} with 8 peers; \
             its messages took {} to {} ms to arrive.",
            plural(*peers, "peer", "peers"),
            amount::rate(rate, "messages"),
            ratio(rate / EARLIER_PER_SECOND),
            amount::rate(EARLIER_PER_SECOND, "operations"),
            figure(low / 1e3),
            figure(high / 1e3),
        )
    })
}

fn series(few: &[&Measurement], of: fn(&Figures) -> f64) -> Vec<Series> {
    let line = |(nth, (name, label, _)): (usize, &(&str, &str, &str))| {
        Series::new(label, nth, points(&step(few, name), of))
    };
    STEPS.iter().enumerate().map(line).collect()
}

fn latency(few: &[&Measurement]) -> Option<Plot> {
    let series = series(few, |of| of.p50_us);
    let (from, to) = EARLIER_DELIVERY_US;
    let lines = Lines {
        x: measured_axis("peers at the same time", Unit::Count, &series),
        y: Axis::log("median time, logarithmic", Unit::Micros),
        series,
        marks: vec![Mark {
            label: "earlier system, delivery\nwith 8 peers: 294–538 ms".to_owned(),
            from,
            to,
        }],
    };
    Plot::lines("scale-latency", "Time for each step", lines)
}

fn throughput(few: &[&Measurement]) -> Option<Plot> {
    let series = series(few, |of| of.ops_per_s);
    let lines = Lines {
        x: measured_axis("peers at the same time", Unit::Count, &series),
        y: Axis::log(
            "operations per second of all peers, logarithmic",
            Unit::PerSecond,
        ),
        series,
        marks: vec![Mark {
            label: "earlier system,\n8 peers: 5,000/s".to_owned(),
            from: EARLIER_PER_SECOND,
            to: EARLIER_PER_SECOND,
        }],
    };
    Plot::lines("scale-throughput", "Throughput of each step", lines)
}
