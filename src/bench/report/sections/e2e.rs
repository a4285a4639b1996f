//! From a publisher to its followers, the sync to disk included.

use super::super::amount::{Unit, plural, ratio, whole};
use super::super::params::{Few, along, flag, number, same_but, smallest, with};
use super::super::plot::{Axis, Lines, Plot, Series};
use super::{Shown, base_series, measured_axis, micros, points, times_baseline};
use crate::bench::Measurement;

/// The rate that the goals are about, messages per second.
const RATE: f64 = 2e3;

pub(super) fn show(few: &Few) -> Shown {
    let free = smallest(&with(few, |found| !flag(found, "stalled")), "size");
    let findings = [headline(&free), beside_stalled(few)];
    let plots = vec![
        by_rate(&smallest(&free, "followers")),
        by_followers(&at_rate(&free)),
    ];
    (findings.into_iter().flatten().collect(), plots)
}

/// Those at the goals' rate, else at the lowest.
fn at_rate<'a>(few: &[&'a Measurement]) -> Few<'a> {
    let exact = with(few, |found| number(found, "rate") == Some(RATE));
    if exact.is_empty() {
        smallest(few, "rate")
    } else {
        exact
    }
}

fn headline(free: &[&Measurement]) -> Option<String> {
    let few = at_rate(free);
    let (followers, found) = *along(&few, "followers").first()?;
    let rate = number(found, "rate");
    let rate = rate.map_or_else(String::new, |rate| {
        format!("At {} messages/s ", whole(rate))
    });
    let beside = times_baseline(found, "two raw round trips and a raw fdatasync");
    Some(format!(
        "{rate}a message is synced to disk and with {} after {} (median; p99 {}){beside}.",
        plural(followers, "follower", "followers"),
        micros(found.figures.p50_us),
        micros(found.figures.p99_us),
    ))
}

/// The p99 without a stalled follower: what its runs took turns with, else a measurement of its own.
pub(in super::super) fn p99_without(stalled: &Measurement, few: &[&Measurement]) -> Option<f64> {
    let apart = || {
        let is_free =
            |other: &&&Measurement| !flag(other, "stalled") && same_but(stalled, other, "stalled");
        few.iter().find(is_free).map(|free| free.figures.p99_us)
    };
    stalled.baseline.map(|base| base.p99_us).or_else(apart)
}

fn beside_stalled(few: &[&Measurement]) -> Option<String> {
    let stalled = with(few, |found| flag(found, "stalled"));
    let pair = |found: &&Measurement| Some((found.figures.p99_us, p99_without(found, few)?));
    let (with_it, without) = stalled.iter().find_map(pair)?;
    let share = with_it / without;
    share.is_finite().then(|| {
        format!(
            "Beside a follower that reads nothing the others' p99 is {} instead of {} ({} ×).",
            micros(with_it),
            micros(without),
            ratio(share),
        )
    })
}

fn by_rate(few: &[&Measurement]) -> Option<Plot> {
    let line = along(few, "rate");
    plot(
        "e2e-rate",
        "From publisher to follower, by rate",
        &line,
        ("messages per second, logarithmic", Unit::PerSecond),
    )
}

fn by_followers(few: &[&Measurement]) -> Option<Plot> {
    let line = along(few, "followers");
    let about = ("followers of the topic, logarithmic", Unit::Count);
    // One number of followers says what the plot by rate says already.
    (line.len() > 1).then(|| {
        plot(
            "e2e-followers",
            "From publisher to followers, by their number",
            &line,
            about,
        )
    })?
}

fn plot(
    name: &str,
    title: &str,
    line: &[(f64, &Measurement)],
    (about, unit): (&str, Unit),
) -> Option<Plot> {
    let series = vec![
        Series::new("p99", 1, points(line, |of| of.p99_us)),
        Series::new("median", 0, points(line, |of| of.p50_us)),
        base_series(line, "two raw round trips\nand fdatasync, median", |of| {
            of.p50_us
        }),
    ];
    let lines = Lines {
        x: measured_axis(about, unit, &series),
        y: Axis::log("time from publishing to arrival, logarithmic", Unit::Micros),
        series,
        marks: Vec::new(),
    };
    Plot::lines(name, title, lines)
}
