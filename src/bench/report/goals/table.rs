//! The goals, in the order of the report.

use super::super::EARLIER_PER_SECOND;
use super::super::EARLIER_QUERY_US;
use super::super::amount::{Unit, ratio};
use super::Bound::{AtLeast, AtMost};
use super::{Bound, Check, Goal, Written, checks};

pub(super) const GOALS: [Goal; 26] = [
    goal(
        "lookup",
        "with 1,000,000 topics at least 0.9 of raw QUIC, at every number of peers",
        AtLeast(0.9),
        ratio,
        checks::lookup_ratio,
    ),
    goal(
        "lookup",
        "with 1,000,000 topics a median of at most 1.1 × raw QUIC's",
        AtMost(1.1),
        ratio,
        checks::lookup_p50,
    ),
    goal(
        "lookup-topics",
        "with 1,000,000 topics at least 0.95 of the throughput with 1,000",
        AtLeast(0.95),
        ratio,
        checks::lookup_topics,
    ),
    goal(
        "lookup",
        "many names in one request: at least 1,500,000 names/s",
        AtLeast(1.5e6),
        per_second,
        checks::lookup_names,
    ),
    goal(
        "lookup",
        "lookup and pull of nothing new, 10,000 topics or more, one peer: average at most 356 µs",
        AtMost(EARLIER_QUERY_US),
        micros,
        checks::lookup_then_pull,
    ),
    goal(
        "scale",
        "8 peers publish more than the earlier system's 5,000 operations/s",
        AtLeast(EARLIER_PER_SECOND),
        per_second,
        checks::scale_publish,
    ),
    goal(
        "publish",
        "one at a time: median at most a raw QUIC round trip and a raw fdatasync + 15 %",
        AtMost(1.15),
        ratio,
        checks::publish_alone,
    ),
    goal(
        "publish",
        "256 in flight, 100 B, one message a frame: at least 200,000/s",
        AtLeast(2e5),
        per_second,
        checks::publish_deep,
    ),
    goal(
        "publish",
        "batches: at least 0.7 of raw QUIC bulk, fsync included",
        AtLeast(0.7),
        ratio,
        checks::publish_batches,
    ),
    goal(
        "publish-against",
        "batches to 1,000 topics: at least 0.8 of one topic",
        AtLeast(0.8),
        ratio,
        checks::publish_topics,
    ),
    goal(
        "publish-against",
        "two replicas: median at most 1.6 × that of one",
        AtMost(1.6),
        ratio,
        checks::publish_replicas,
    ),
    goal(
        "pull",
        "stored in batches: at least 0.85 of raw QUIC bulk framed the same way",
        AtLeast(0.85),
        ratio,
        checks::pull_batched,
    ),
    goal(
        "pull",
        "stored in batches, 100 B: at least 4,000,000 messages/s",
        AtLeast(4e6),
        per_second,
        checks::pull_small,
    ),
    goal(
        "pull",
        "one of 1,000 interleaved topics, 1 KiB, cold, once sorted: at least 0.3 of stored in batches",
        AtLeast(0.3),
        ratio,
        checks::pull_interleaved,
    ),
    goal(
        "e2e",
        "2,000 messages/s: median at most two raw round trips and an fdatasync",
        AtMost(1.0),
        ratio,
        checks::e2e_p50,
    ),
    goal(
        "e2e",
        "2,000 messages/s: p99 at most 3 × the median",
        AtMost(3.0),
        ratio,
        checks::e2e_p99,
    ),
    goal(
        "e2e",
        "beside a follower that reads nothing: the others' p99 at most 1.1 ×",
        AtMost(1.1),
        ratio,
        checks::e2e_stalled,
    ),
    goal(
        "memory",
        "1,000,000 topics: at most 200 B of the index's memory for each",
        AtMost(200.0),
        bytes,
        checks::memory_bytes,
    ),
    goal(
        "failover",
        "after SIGKILL of the host: p99 at most 2.7 s",
        AtMost(2.7e3),
        millis,
        checks::failover_killed,
    ),
    goal(
        "failover",
        "planned hand-over: p99 at most 300 ms",
        AtMost(300.0),
        millis,
        checks::failover_planned,
    ),
    goal(
        "restart",
        "1,000,000 topics: the index answers again at most 2 s after kill -9",
        AtMost(2e3),
        millis,
        checks::restart_index,
    ),
    goal(
        "restart",
        "a journal of 10 GB: ready at most 2 s after kill -9",
        AtMost(2e3),
        millis,
        checks::restart,
    ),
    goal(
        "compare",
        "lookups, many in flight: at least 2 × NATS",
        AtLeast(2.0),
        times,
        checks::nats_lookup,
    ),
    goal(
        "compare",
        "publish, durable, one at a time: NATS with fsync takes at least 1.5 × as long",
        AtLeast(1.5),
        times,
        checks::nats_alone,
    ),
    goal(
        "compare",
        "publish, durable, 256 in flight: at least 1.3 × NATS without fsync",
        AtLeast(1.3),
        times,
        checks::nats_deep,
    ),
    goal(
        "compare",
        "publish, durable, 256 in flight: at least 40 × NATS with fsync",
        AtLeast(40.0),
        times,
        checks::nats_deep_durable,
    ),
];

const fn goal(
    job: &'static str,
    goal: &'static str,
    bound: Bound,
    written: Written,
    check: Check,
) -> Goal {
    Goal {
        job,
        goal,
        bound,
        written,
        check,
    }
}

fn times(value: f64) -> String {
    format!("{} ×", ratio(value))
}

fn per_second(value: f64) -> String {
    Unit::PerSecond.text(value)
}

fn micros(value: f64) -> String {
    Unit::Micros.text(value)
}

fn millis(value: f64) -> String {
    Unit::Micros.text(value * 1e3)
}

fn bytes(value: f64) -> String {
    Unit::Bytes.text(value)
}
