use serde_json::json;

use super::super::sample::{full, one};
use super::{Judged, Verdict, judge};
use crate::bench::Measurement;

fn of<'a>(judged: &'a [Judged], goal: &str) -> &'a Judged {
    judged.iter().find(|next| next.goal.contains(goal)).unwrap()
}

#[test]
fn nothing_is_measured_by_nothing() {
    let judged = judge(&[]);
    assert!(
        judged
            .iter()
            .all(|goal| goal.verdict == Verdict::NotMeasured && goal.found.is_empty())
    );
}

#[test]
fn the_worst_figure_decides() {
    let at = |peers: u64, ratio: f64| Measurement {
        ratio: Some(ratio),
        baseline_is: "raw QUIC".to_owned(),
        ..one("lookup", json!({"peers": peers, "topics": 1_000_000}))
    };
    let judged = judge(&[at(1, 0.98), at(8, 0.85), at(64, 0.91), at(2, f64::NAN)]);
    let goal = of(&judged, "0.9 of raw QUIC");
    assert_eq!(
        (goal.verdict, goal.found.as_str()),
        (Verdict::NotMet, "0.85 (8 peers)")
    );
    let judged = judge(&[at(1, 0.9)]);
    assert_eq!(of(&judged, "0.9 of raw QUIC").verdict, Verdict::Met);
    let few = Measurement {
        ratio: Some(0.5),
        baseline_is: "raw QUIC".to_owned(),
        ..one("lookup", json!({"peers": 1, "topics": 1_000}))
    };
    assert_eq!(
        of(&judge(&[few]), "0.9 of raw QUIC").verdict,
        Verdict::NotMeasured
    );
}

#[test]
fn only_raw_baselines_decide_what_is_told_of_raw_ones() {
    let found = Measurement {
        ratio: Some(0.99),
        baseline_is: "this deployment's own round trip".to_owned(),
        ..one("lookup", json!({"peers": 1, "topics": 1_000_000}))
    };
    let judged = judge(&[found]);
    assert_eq!(of(&judged, "0.9 of raw QUIC").verdict, Verdict::NotMeasured);
}

#[test]
fn the_sample_is_judged_as_it_was_made() {
    let judged = judge(&full().measurements);
    for (goal, verdict, found) in [
        ("0.95 of the throughput with 1,000", Verdict::Met, "0.98"),
        ("1,500,000 names/s", Verdict::Met, "1,900,000/s"),
        ("356 µs", Verdict::Met, "256 µs"),
        ("raw fdatasync + 15 %", Verdict::Met, "1.09"),
        ("200,000/s", Verdict::Met, "212,000/s"),
        ("0.8 of one topic", Verdict::NotMet, "0.78"),
        ("0.85 of raw QUIC bulk", Verdict::Met, "0.88"),
        ("4,000,000 messages/s", Verdict::Met, "4,700,000/s"),
        ("0.3 of stored in batches", Verdict::Met, "0.33"),
        ("p99 at most 3 ×", Verdict::Met, "1.90"),
        ("reads nothing", Verdict::Met, "1.03"),
        ("200 B", Verdict::Met, "172 B"),
        ("SIGKILL", Verdict::Met, "2.68 s"),
        ("2 × NATS", Verdict::Met, "2.88 ×"),
        ("1.5 × as long", Verdict::NotMet, "1.45 ×"),
        ("1.3 × NATS without", Verdict::Met, "1.75 ×"),
        ("40 × NATS with", Verdict::Met, "53 ×"),
        ("two replicas", Verdict::NotMeasured, ""),
        ("journal of 10 GB", Verdict::Met, "870 ms"),
        ("the index answers again", Verdict::Met, "870 ms"),
    ] {
        let judged = of(&judged, goal);
        assert_eq!(judged.verdict, verdict, "{judged:?}");
        assert!(judged.found.starts_with(found), "{judged:?}");
    }
}

#[test]
fn copies_are_compared_with_one_of_the_same_minutes() {
    let at = |job: &str, replicas: u64, p50_ratio: f64| {
        let mut found = one(
            job,
            json!({"size": 1_024, "in_flight": 1, "replicas": replicas}),
        );
        found.p50_ratio = Some(p50_ratio);
        found
    };
    let judged = judge(&[
        at("publish", 2, 9.0),
        at("publish-against", 2, 1.5),
        at("publish-against", 3, 2.0),
    ]);
    let goal = of(&judged, "two replicas");
    assert_eq!(goal.verdict, Verdict::Met);
    assert!(goal.found.starts_with("1.50"), "{goal:?}");
}
