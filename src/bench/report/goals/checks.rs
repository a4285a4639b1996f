//! Which figure decides each goal: the one furthest from it, where there are several.

use super::super::params::{
    Few, differing, extra, flag, has_raw_baseline, in_words, label, largest, names, number, of_job,
    smallest, with, word,
};
use super::super::sections::p99_without;
use super::super::times::{quantile, times_ms};
use super::{Bound, Measurement};

/// A figure, and where it was found.
pub(super) type Found = Option<(f64, String)>;

/// A million topics.
const MANY: f64 = 1e6;

/// The ratio to plain QUIC or a plain disk.
fn raw_ratio(found: &Measurement) -> Option<f64> {
    found.ratio.filter(|_| has_raw_baseline(found))
}

/// Likewise of the medians.
fn raw_p50_ratio(found: &Measurement) -> Option<f64> {
    found.p50_ratio.filter(|_| has_raw_baseline(found))
}

pub(super) fn lookup_ratio(all: &[Measurement], bound: Bound) -> Found {
    worst(bound, &with(&plain_lookups(all), has_many), raw_ratio)
}

pub(super) fn lookup_p50(all: &[Measurement], bound: Bound) -> Found {
    worst(bound, &with(&plain_lookups(all), has_many), raw_p50_ratio)
}

pub(super) fn lookup_topics(all: &[Measurement], bound: Bound) -> Found {
    let few = with(&of_job(all, "lookup-topics"), |found| {
        has_many(found) && number(found, "against_topics") == Some(1e3)
    });
    worst(bound, &few, |found| found.ratio)
}

pub(super) fn lookup_names(all: &[Measurement], _: Bound) -> Found {
    most(&with(&of_job(all, "lookup"), |found| names(found) >= 100.0))
}

pub(super) fn lookup_then_pull(all: &[Measurement], bound: Bound) -> Found {
    let few = with(&of_job(all, "lookup"), |found| {
        flag(found, "then_pull") && number(found, "topics") >= Some(1e4)
    });
    worst(bound, &smallest(&few, "peers"), |found| {
        Some(found.figures.avg_us)
    })
}

pub(super) fn scale_publish(all: &[Measurement], bound: Bound) -> Found {
    let few = with(&of_job(all, "scale"), |found| {
        word(found, "step") == "publish" && number(found, "peers") == Some(8.0)
    });
    worst(bound, &few, |found| Some(ops(found)))
}

pub(super) fn publish_alone(all: &[Measurement], bound: Bound) -> Found {
    let few = with(&of_job(all, "publish"), |found| {
        is_alone(found) && !flag(found, "batched") && !is_copied(found)
    });
    worst(bound, &few, raw_p50_ratio)
}

pub(super) fn publish_deep(all: &[Measurement], _: Bound) -> Found {
    most(&with(&of_job(all, "publish"), |found| {
        is_deep(found) && is_size(found, 100.0) && !flag(found, "batched") && !is_copied(found)
    }))
}

pub(super) fn publish_batches(all: &[Measurement], bound: Bound) -> Found {
    let few = with(&of_job(all, "publish"), |found| {
        flag(found, "batched") && !is_copied(found)
    });
    worst(bound, &smallest(&few, "topics"), raw_ratio)
}

pub(super) fn publish_topics(all: &[Measurement], bound: Bound) -> Found {
    let few = with(&of_job(all, "publish-against"), |found| {
        flag(found, "batched") && number(found, "topics") == Some(1e3)
    });
    worst(bound, &few, |found| found.ratio)
}

pub(super) fn publish_replicas(all: &[Measurement], bound: Bound) -> Found {
    let few = with(&of_job(all, "publish-against"), |found| {
        number(found, "replicas") == Some(2.0)
    });
    worst(bound, &few, |found| found.p50_ratio)
}

pub(super) fn pull_batched(all: &[Measurement], bound: Bound) -> Found {
    worst(bound, &stored(all, "batched", "warm"), raw_ratio)
}

pub(super) fn pull_small(all: &[Measurement], _: Bound) -> Found {
    most(&with(&stored(all, "batched", "warm"), |found| {
        is_size(found, 100.0)
    }))
}

pub(super) fn pull_interleaved(all: &[Measurement], bound: Bound) -> Found {
    let is_kib = |found: &Measurement| is_size(found, 1024.0);
    let batched = with(&stored(all, "batched", "warm"), is_kib);
    let batched = batched.first()?.figures.mb_per_s;
    let few = with(&stored(all, "sorted", "cold"), is_kib);
    worst(bound, &few, |found| Some(found.figures.mb_per_s / batched))
}

pub(super) fn e2e_p50(all: &[Measurement], bound: Bound) -> Found {
    worst(bound, &steady(all), raw_p50_ratio)
}

pub(super) fn e2e_p99(all: &[Measurement], bound: Bound) -> Found {
    worst(bound, &steady(all), |found| {
        Some(found.figures.p99_us / found.figures.p50_us)
    })
}

pub(super) fn e2e_stalled(all: &[Measurement], bound: Bound) -> Found {
    let few = of_job(all, "e2e");
    let stalled = with(&few, |found| flag(found, "stalled"));
    worst(bound, &stalled, |found| {
        Some(found.figures.p99_us / p99_without(found, &few)?)
    })
}

pub(super) fn memory_bytes(all: &[Measurement], bound: Bound) -> Found {
    let few = with(&of_job(all, "memory"), has_many);
    worst(bound, &few, |found| extra(found, "bytes_per_topic"))
}

pub(super) fn restart_index(all: &[Measurement], bound: Bound) -> Found {
    let few = with(&of_job(all, "restart"), has_many);
    worst(bound, &few, |found| extra(found, "ready_ms"))
}

pub(super) fn failover_killed(all: &[Measurement], bound: Bound) -> Found {
    failover(all, bound, false)
}

pub(super) fn failover_planned(all: &[Measurement], bound: Bound) -> Found {
    failover(all, bound, true)
}

fn failover(all: &[Measurement], bound: Bound, planned: bool) -> Found {
    let few = with(&of_job(all, "failover"), |found| {
        flag(found, "planned") == planned
    });
    worst(bound, &few, |found| quantile(times_ms(found), 0.99))
}

/// Of a journal of the goal's size; a smaller one tells nothing.
pub(super) fn restart(all: &[Measurement], bound: Bound) -> Found {
    let few = with(&of_job(all, "restart"), |found| {
        number(found, "bytes").is_some_and(|bytes| bytes >= 1e10)
    });
    worst(bound, &few, |found| extra(found, "ready_ms"))
}

pub(super) fn nats_lookup(all: &[Measurement], bound: Bound) -> Found {
    let is_many = |found: &Measurement| number(found, "in_flight").is_none_or(|depth| depth > 1.0);
    versus(all, bound, "lookup", &is_many, throughput)
}

pub(super) fn nats_alone(all: &[Measurement], bound: Bound) -> Found {
    let is_pair = |found: &Measurement| is_alone(found) && flag(found, "durable");
    versus(all, bound, "publish", &is_pair, |ours, theirs| {
        theirs.figures.p50_us / ours.figures.p50_us
    })
}

pub(super) fn nats_deep(all: &[Measurement], bound: Bound) -> Found {
    let is_pair = |found: &Measurement| is_deep(found) && !flag(found, "durable");
    versus(all, bound, "publish", &is_pair, throughput)
}

pub(super) fn nats_deep_durable(all: &[Measurement], bound: Bound) -> Found {
    let is_pair = |found: &Measurement| is_deep(found) && flag(found, "durable");
    versus(all, bound, "publish", &is_pair, throughput)
}

/// NATS where `is_pair`, each beside Waypost (which is durable always) at whatever else both were
/// given alike.
fn versus(
    all: &[Measurement],
    bound: Bound,
    job: &str,
    is_pair: &dyn Fn(&Measurement) -> bool,
    figure: fn(&Measurement, &Measurement) -> f64,
) -> Found {
    let few = with(&of_job(all, "compare"), |found| word(found, "job") == job);
    let ours = with(&few, |found| word(found, "system") == "waypost");
    let theirs = with(&few, |found| {
        word(found, "system") == "nats" && is_pair(found)
    });
    worst(bound, &theirs, |theirs| {
        let ours = ours.iter().find(|ours| is_same_work(ours, theirs))?;
        Some(figure(ours, theirs))
    })
}

fn is_same_work(one: &Measurement, other: &Measurement) -> bool {
    let of_system = ["system", "durable", "tls"];
    let mut names = one.params.keys();
    names.all(|name| {
        of_system.contains(&name.as_str()) || one.params.get(name) == other.params.get(name)
    })
}

fn throughput(ours: &Measurement, theirs: &Measurement) -> f64 {
    ops(ours) / ops(theirs)
}

fn worst(
    bound: Bound,
    few: &[&Measurement],
    figure: impl Fn(&Measurement) -> Option<f64>,
) -> Found {
    bound.worst(
        few.iter()
            .filter_map(|found| Some((figure(found)?, at(found, few)))),
    )
}

/// The highest throughput.
fn most(few: &[&Measurement]) -> Found {
    let figures = few.iter().map(|found| (ops(found), at(found, few)));
    figures.max_by(|a, b| a.0.total_cmp(&b.0))
}

/// What tells this measurement from the others that were looked at.
fn at(found: &Measurement, few: &[&Measurement]) -> String {
    let told = label(found, &differing(few, &[]));
    match found.params.get("peers") {
        Some(peers) if told.is_empty() => in_words("peers", peers),
        _ => told,
    }
}

fn ops(found: &Measurement) -> f64 {
    found.figures.ops_per_s
}

fn has_many(found: &Measurement) -> bool {
    number(found, "topics").is_some_and(|topics| topics >= MANY)
}

fn is_alone(found: &Measurement) -> bool {
    number(found, "in_flight") == Some(1.0)
}

fn is_deep(found: &Measurement) -> bool {
    number(found, "in_flight") == Some(256.0)
}

/// Whether it has more than one copy.
fn is_copied(found: &Measurement) -> bool {
    number(found, "replicas").is_some_and(|replicas| replicas > 1.0)
}

fn is_size(found: &Measurement, bytes: f64) -> bool {
    number(found, "size") == Some(bytes)
}

/// Lookups of one name each, without a pull; of each number of peers those with the most requests.
fn plain_lookups(all: &[Measurement]) -> Few<'_> {
    let few = with(&of_job(all, "lookup"), |found| {
        names(found) == 1.0 && !flag(found, "then_pull")
    });
    largest(&few, "requests")
}

fn stored<'a>(all: &'a [Measurement], layout: &str, cache: &str) -> Few<'a> {
    with(&of_job(all, "pull"), |found| {
        word(found, "layout") == layout && word(found, "cache") == cache
    })
}

/// Followers that keep up with 2,000 messages a second; the fewest that were measured.
fn steady(all: &[Measurement]) -> Few<'_> {
    let few = with(&of_job(all, "e2e"), |found| {
        number(found, "rate") == Some(2e3) && !flag(found, "stalled")
    });
    smallest(&few, "followers")
}
