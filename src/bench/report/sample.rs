//! A report as a run might bring it, for tests and for looking at.

use serde_json::{Value, json};

use crate::bench::{Figures, Machine, Measurement, Report};
use crate::types::UnixMicros;

/// A measurement with plain figures.
pub(super) fn one(job: &str, params: Value) -> Measurement {
    let found = Figures {
        ops_per_s: 8_000.0,
        mb_per_s: 0.0,
        avg_us: 125.0,
        p50_us: 118.0,
        p99_us: 190.0,
        p999_us: 420.0,
        cpu_us_per_op: 60.0,
    };
    let params = params.as_object().cloned().unwrap_or_default();
    Measurement::of(job, params, &[(found, None)], false)
}

/// The same with this throughput and median; the other times follow.
fn timed(job: &str, params: Value, ops_per_s: f64, p50_us: f64) -> Measurement {
    let mut found = one(job, params);
    let size = found
        .params
        .get("size")
        .and_then(Value::as_f64)
        .unwrap_or(0.0);
    found.figures = Figures {
        ops_per_s,
        mb_per_s: ops_per_s * size / 1e6,
        avg_us: p50_us * 1.08,
        p50_us,
        p99_us: p50_us * 1.9,
        p999_us: p50_us * 4.2,
        cpu_us_per_op: 1e6 / ops_per_s,
    };
    (found.runs, found.spread) = (5, 0.043);
    found
}

/// Beside a baseline at these shares of it.
fn beside(mut found: Measurement, ratio: f64, p50_ratio: Option<f64>, is: &str) -> Measurement {
    let mut base = found.figures;
    base.ops_per_s /= ratio;
    base.mb_per_s /= ratio;
    base.p50_us /= p50_ratio.unwrap_or(1.0 / ratio);
    found.baseline = Some(base);
    (found.ratio, found.p50_ratio, found.baseline_is) = (Some(ratio), p50_ratio, is.to_owned());
    found
}

fn lookups() -> Vec<Measurement> {
    let raw = "raw QUIC: requests and replies of the same sizes on as many connections";
    let params = |peers: u32, in_flight: u32, names: u32, then_pull: bool| {
        json!({
            "peers": peers, "topics": 1_000_000, "in_flight": in_flight, "names": names,
            "then_pull": then_pull,
        })
    };
    let mut all = Vec::new();
    for (peers, ops, p50) in [
        (1, 8_300.0, 120.0),
        (2, 15_800.0, 124.0),
        (4, 31_000.0, 127.0),
        (8, 63_000.0, 124.0),
        (16, 92_000.0, 168.0),
        (64, 141_000.0, 440.0),
    ] {
        let found = timed("lookup", params(peers, 1, 1, false), ops, p50);
        all.push(beside(found, 0.96, Some(1.04), raw));
    }
    for (peers, in_flight, ops) in [(1, 64, 171_000.0), (8, 16, 236_000.0)] {
        let p50 = f64::from(peers * in_flight) * 1e6 / ops;
        let found = timed("lookup", params(peers, in_flight, 1, false), ops, p50);
        all.push(beside(found, 0.93, None, raw));
    }
    all.push(timed("lookup", params(1, 4, 1_000, false), 1.9e6, 1_180.0));
    for (peers, p50) in [(1, 237.0), (2, 243.0), (4, 255.0), (8, 279.0)] {
        let ops = 4_000.0 * f64::from(peers);
        let found = timed("lookup", params(peers, 1, 1, true), ops, p50);
        all.push(beside(found, 0.9, Some(1.1), "raw QUIC: two round trips"));
    }
    let against = json!({"topics": 1_000_000, "against_topics": 1_000, "in_flight": 64});
    let found = timed("lookup-topics", against, 168_000.0, 370.0);
    let is = "the same lookups at an index with few topics";
    all.push(beside(found, 0.98, None, is));
    all
}

fn scale() -> Vec<Measurement> {
    let mut all = Vec::new();
    for peers in [1, 2, 4, 8, 64] {
        for (step, ops, p50) in [
            ("register", 640.0, 1_900.0),
            ("create", 2_900.0, 420.0),
            ("publish", 3_300.0, 296.0),
            ("retrieve", 7_900.0, 126.0),
            ("deliver", 2_300.0, 431.0),
        ] {
            let share = f64::from(peers).powf(0.7);
            let params = json!({"peers": peers, "step": step});
            all.push(timed(
                "scale",
                params,
                ops * share,
                p50 * f64::from(peers) / share,
            ));
        }
    }
    all
}

fn publishing() -> Vec<Measurement> {
    let mut all = Vec::new();
    for (size, alone, deep, batched) in [
        (100, 289.0, 212_000.0, 3_900_000.0),
        (1_024, 296.0, 148_000.0, 480_000.0),
        (65_536, 502.0, 7_100.0, 7_900.0),
    ] {
        let params = |depth: u64, batched: bool, topics: u64| json!({"size": size, "in_flight": depth, "batched": batched, "publishers": 1, "topics": topics});
        let found = timed("publish", params(1, false, 1), 1e6 / alone, alone);
        all.push(beside(
            found,
            0.92,
            Some(1.09),
            "a raw QUIC round trip, then a raw fdatasync",
        ));
        let is = "raw QUIC: one long stream of requests, nothing stored";
        let found = timed("publish", params(256, false, 1), deep, 1_900.0);
        all.push(beside(found, 0.41, None, is));
        let is = "raw QUIC bulk, one stream";
        all.push(beside(
            timed("publish", params(1, true, 1), batched, 4_200.0),
            0.74,
            None,
            is,
        ));
        all.push(beside(
            timed("publish", params(1, true, 1_000), batched * 0.78, 5_000.0),
            0.58,
            None,
            is,
        ));
    }
    let is = "the same to one topic with one copy";
    let many = json!({"size": 1_024, "in_flight": 1, "batched": true, "publishers": 1, "topics": 1_000, "replicas": 1});
    let found = timed("publish-against", many, 374_400.0, 5_000.0);
    all.push(beside(found, 0.78, None, is));
    all
}

fn reading() -> Vec<Measurement> {
    let mut all = Vec::new();
    let is = "raw QUIC bulk framed the same way";
    for (size, fastest) in [(100, 470.0), (1_024, 640.0)] {
        for (layout, cache, share) in [
            ("batched", "warm", 0.88),
            ("batched", "cold", 0.81),
            ("single", "warm", 0.62),
            ("interleaved", "cold", 0.12),
            ("sorted", "cold", 0.29),
        ] {
            let topics = match layout {
                "interleaved" | "sorted" => 1_000,
                _ => 1,
            };
            let params = json!({"size": size, "layout": layout, "cache": cache, "topics": topics});
            let ops = fastest * share / 0.88 * 1e6 / f64::from(size);
            all.push(beside(timed("pull", params, ops, 900.0), share, None, is));
        }
    }
    for (rate, p50) in [(500, 330.0), (2_000, 352.0), (10_000, 510.0)] {
        for (followers, more) in [(1, 1.0), (8, 1.4), (64, 3.9)] {
            let params =
                json!({"rate": rate, "followers": followers, "size": 100, "stalled": false});
            let found = timed("e2e", params, f64::from(rate), p50 * more);
            all.push(beside(
                found,
                1.0,
                Some(0.98 * more),
                "two raw QUIC round trips and a raw fdatasync",
            ));
        }
    }
    let params = json!({"rate": 2_000, "followers": 8, "size": 100, "stalled": true});
    all.push(timed("e2e", params, 2_000.0, 352.0 * 1.44));
    all
}

fn other_jobs() -> Vec<Measurement> {
    let mut all = Vec::new();
    for (topics, each, index, peer) in [
        (1_000, 410.0, 12.0, 14.0),
        (100_000, 190.0, 31.0, 16.0),
        (1_000_000, 172.0, 176.0, 22.0),
    ] {
        let mut found = one("memory", json!({"topics": topics}));
        found.figures = Figures::default();
        let extra = json!({"bytes_per_topic": each, "index_rss_mib": index, "peer_rss_mib": peer});
        found.extra = extra.as_object().cloned().unwrap_or_default();
        all.push(found);
    }
    for of in [
        json!({"of": "index", "topics": 1_000_000}),
        json!({"of": "peer", "bytes": 10_500_000_000_u64}),
    ] {
        let mut found = one("restart", of);
        found.figures = Figures::default();
        let extra = json!({"ready_ms": 870.0, "times_ms": [640.0, 870.0]});
        found.extra = extra.as_object().cloned().unwrap_or_default();
        all.push(found);
    }
    for (planned, base) in [(false, 2_050.0), (true, 96.0)] {
        let mut found = one("failover", json!({"replicas": 2, "planned": planned}));
        found.figures = Figures::default();
        let times: Vec<f64> = (0..50)
            .map(|nth| base * (1.0 + f64::from(nth * 37 % 50) / 160.0))
            .collect();
        found.extra.insert("times_ms".to_owned(), json!(times));
        all.push(found);
    }
    let mut versus = |system: &str, work: Value, durable: bool, tls: bool, ops: f64, p50: f64| {
        let mut params = json!({"system": system, "durable": durable, "tls": tls});
        if let (Some(params), Some(work)) = (params.as_object_mut(), work.as_object()) {
            params.extend(work.clone());
        }
        all.push(timed("compare", params, ops, p50));
    };
    let lookup = json!({"job": "lookup", "peers": 8, "in_flight": 16});
    versus("waypost", lookup.clone(), true, true, 236_000.0, 520.0);
    versus("nats", lookup.clone(), false, true, 82_000.0, 1_500.0);
    versus("redis", lookup, false, false, 897_000.0, 140.0);
    let alone = json!({"job": "publish", "size": 1_024, "in_flight": 1});
    versus("waypost", alone.clone(), true, true, 3_350.0, 296.0);
    versus("nats", alone.clone(), true, true, 1_300.0, 430.0);
    versus("redis", alone, true, false, 4_300.0, 215.0);
    let deep = json!({"job": "publish", "size": 100, "in_flight": 256});
    versus("waypost", deep.clone(), true, true, 212_000.0, 1_150.0);
    versus("nats", deep.clone(), false, true, 121_000.0, 2_100.0);
    versus("nats", deep, true, true, 4_000.0, 61_000.0);
    all.push(one(
        "warm_up",
        json!({"note": "<script>alert(1)</script> | *bold*", "count": 3}),
    ));
    all
}

/// A report with these measurements.
pub(super) fn report(measurements: Vec<Measurement>) -> Report {
    Report {
        machine: Machine {
            cpu: "Example CPU @ 2.5 GHz".to_owned(),
            cores: 2,
            memory_mib: 7_960,
            kernel: "Linux 6.1.0".to_owned(),
            version: "0.1.0".to_owned(),
            optimised: true,
        },
        began: UnixMicros(1_760_000_000_000_000),
        quick: false,
        command: "waypost bench all --runs 5".to_owned(),
        measurements,
    }
}

/// Every job that the report knows, and one that it does not.
pub(super) fn full() -> Report {
    let parts = [lookups(), scale(), publishing(), reading(), other_jobs()];
    report(parts.concat())
}
