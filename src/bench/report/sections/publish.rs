//! Publishing: what one acknowledgement takes, and how many messages a second are kept.

use super::super::amount::{Unit, rate};
use super::super::params::{Few, along, differing, flag, groups, in_words, number, smallest, with};
use super::super::plot::{Axis, Lines, Plot, Row, RowGroup, Rows, Series};
use super::{
    Shown, bar, base_series, mb_per_second, measured_axis, micros, of_baseline, points,
    times_baseline,
};
use crate::bench::{Figures, Measurement};

pub(super) fn show(few: &Few) -> Shown {
    let alone = with(few, |found| {
        number(found, "in_flight") == Some(1.0) && !flag(found, "batched")
    });
    let alone = smallest(
        &smallest(&smallest(&alone, "publishers"), "topics"),
        "replicas",
    );
    let findings = [one_at_a_time(&alone), fastest(few)];
    let plots = vec![
        latency(&alone),
        rates(
            few,
            "publish-messages",
            "Messages published per second",
            Unit::PerSecond,
            |of| of.ops_per_s,
        ),
        rates(
            few,
            "publish-volume",
            "Payload published per second",
            Unit::MbPerSecond,
            |of| of.mb_per_s,
        ),
    ];
    (findings.into_iter().flatten().collect(), plots)
}

fn one_at_a_time(alone: &[&Measurement]) -> Option<String> {
    let (size, found) = *along(alone, "size").first()?;
    let beside = times_baseline(found, "a raw round trip and a raw fdatasync");
    Some(format!(
        "A message of {} is on disk and acknowledged after {} (median; p99 {}){beside}.",
        Unit::Bytes.text(size),
        micros(found.figures.p50_us),
        micros(found.figures.p99_us),
    ))
}

fn fastest(few: &[&Measurement]) -> Option<String> {
    let best = |few: &[&Measurement], figure: fn(&Figures) -> f64| -> Option<String> {
        let best = few
            .iter()
            .max_by(|a, b| figure(&a.figures).total_cmp(&figure(&b.figures)))?;
        let size = best.params.get("size").map(|size| in_words("size", size));
        Some(format!(
            "{} ({}) of {}{}",
            rate(best.figures.ops_per_s, "messages"),
            mb_per_second(best.figures.mb_per_s),
            size.unwrap_or_else(|| "this size".to_owned()),
            of_baseline(best, "raw QUIC"),
        ))
    };
    let singles = with(few, |found| {
        !flag(found, "batched") && number(found, "in_flight") > Some(1.0)
    });
    let batched = with(few, |found| flag(found, "batched"));
    let singles = best(&singles, |of| of.ops_per_s)
        .map(|told| format!("One message a frame and many in flight: {told}"));
    let batched = best(&batched, |of| of.mb_per_s).map(|told| format!("in batches: {told}"));
    match (singles, batched) {
        (Some(singles), Some(batched)) => Some(format!("{singles}; {batched}.")),
        (Some(one), None) => Some(format!("{one}.")),
        (None, Some(one)) => Some(format!("Published {one}.")),
        (None, None) => None,
    }
}

fn latency(alone: &[&Measurement]) -> Option<Plot> {
    let line = along(alone, "size");
    let series = vec![
        Series::new("p99", 1, points(&line, |of| of.p99_us)),
        Series::new("median", 0, points(&line, |of| of.p50_us)),
        base_series(&line, "raw round trip\nand fdatasync,\nmedian", |of| {
            of.p50_us
        }),
    ];
    let lines = Lines {
        x: measured_axis("size of a message, logarithmic", Unit::Bytes, &series),
        y: Axis::log(
            "time from publishing to the acknowledgement, logarithmic",
            Unit::Micros,
        ),
        series,
        marks: Vec::new(),
    };
    Plot::lines(
        "publish-latency",
        "Publish one message at a time, durably",
        lines,
    )
}

/// A bar for each way to publish, by size.
fn rates(
    few: &[&Measurement],
    name: &str,
    title: &str,
    unit: Unit,
    figure: fn(&Figures) -> f64,
) -> Option<Plot> {
    let ways = differing(few, &["size"]);
    let group = |(label, group): (String, Few)| {
        let row = |(label, few): (String, Few)| -> Row {
            bar(label, usize::from(flag(few[0], "batched")), few[0], figure)
        };
        let rows = groups(&group, &ways).into_iter().map(row).collect();
        RowGroup { label, rows }
    };
    let groups = groups(few, &["size".to_owned()])
        .into_iter()
        .map(group)
        .collect();
    let rows = Rows {
        unit,
        label: "by the size of a message and how it is sent".to_owned(),
        groups,
        baseline: "baseline of the same run".to_owned(),
        own_scales: false,
    };
    Plot::rows(name, title, rows)
}
