//! Reading back what is stored.

use super::super::amount::{Unit, rate, ratio};
use super::super::params::{Few, differing, groups, in_words, number, with, word};
use super::super::plot::{Plot, RowGroup, Rows};
use super::{Shown, bar, mb_per_second, of_baseline};
use crate::bench::Measurement;

pub(super) fn show(few: &Few) -> Shown {
    let findings = [
        batched(few),
        interleaved(few, "interleaved", "as they were written"),
        interleaved(few, "sorted", "once the host has sorted them by topic"),
    ];
    (findings.into_iter().flatten().collect(), vec![volume(few)])
}

fn fastest<'a>(few: &[&'a Measurement]) -> Option<&'a Measurement> {
    let best = few
        .iter()
        .max_by(|a, b| a.figures.mb_per_s.total_cmp(&b.figures.mb_per_s));
    best.copied()
}

fn size_of(found: &Measurement) -> String {
    let size = found.params.get("size").map(|size| in_words("size", size));
    size.unwrap_or_else(|| "this size".to_owned())
}

fn batched(few: &[&Measurement]) -> Option<String> {
    let stored = with(few, |found| word(found, "layout") == "batched");
    let best = fastest(&stored)?;
    Some(format!(
        "Messages of {} that were stored in batches are read back at {} ({}){}.",
        size_of(best),
        mb_per_second(best.figures.mb_per_s),
        rate(best.figures.ops_per_s, "messages"),
        of_baseline(best, "raw QUIC bulk"),
    ))
}

fn interleaved(few: &[&Measurement], layout: &str, when: &str) -> Option<String> {
    let cold = with(few, |found| {
        word(found, "layout") == layout && word(found, "cache") == "cold"
    });
    let found = fastest(&cold)?;
    let size = number(found, "size");
    let same = with(few, |other| {
        word(other, "layout") == "batched"
            && word(other, "cache") == "warm"
            && number(other, "size") == size
    });
    let beside = match fastest(&same).map(|best| found.figures.mb_per_s / best.figures.mb_per_s) {
        Some(share) if share.is_finite() => {
            format!(", {} of those stored in batches", ratio(share))
        }
        _ => String::new(),
    };
    Some(format!(
        "One topic's messages of {} that were written in turns with those of others are read from disk, {when}, at {}{beside}.",
        size_of(found),
        mb_per_second(found.figures.mb_per_s),
    ))
}

fn volume(few: &[&Measurement]) -> Option<Plot> {
    let ways = differing(few, &["size"]);
    let group = |(label, group): (String, Few)| {
        let rows = groups(&group, &ways).into_iter().map(|(label, few)| {
            let nth = usize::from(word(few[0], "cache") == "cold");
            bar(label, nth, few[0], |of| of.mb_per_s)
        });
        RowGroup {
            label,
            rows: rows.collect(),
        }
    };
    let rows = Rows {
        unit: Unit::MbPerSecond,
        label: "payload, by size of a message and how it is stored".to_owned(),
        groups: groups(few, &["size".to_owned()])
            .into_iter()
            .map(group)
            .collect(),
        baseline: "raw QUIC bulk".to_owned(),
        own_scales: false,
    };
    Plot::rows("pull", "Payload read back per second", rows)
}
