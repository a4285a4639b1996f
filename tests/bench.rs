//! `waypost bench`: every job works, every figure is sane, nothing is left behind. How fast it was is
//! no test's business.

#[path = "common/cli.rs"]
mod cli;
mod common;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use common::{Deployment, run_within};
use serde_json::Value;

/// Far above what the quick form takes.
const LIMIT: Duration = Duration::from_secs(300);
/// The figures of a measurement that must be numbers above zero.
const FIGURES: &[&str] = &["ops_per_s", "avg_us", "p50_us", "p99_us", "p999_us"];

fn number(value: &Value, key: &str) -> f64 {
    let number = value[key].as_f64();
    number.unwrap_or_else(|| panic!("{key} is no number in {value:#}"))
}

fn check(found: &Value) {
    for key in FIGURES {
        let value = number(found, key);
        assert!(value.is_finite() && value > 0.0, "{key} in {found:#}");
    }
    for (less, more) in [("p50_us", "p99_us"), ("p99_us", "p999_us")] {
        assert!(number(found, less) <= number(found, more), "{found:#}");
    }
    assert!(number(found, "spread") >= 0.0);
    assert!(found["params"].is_object());
    if !found["baseline"].is_null() {
        check_baseline(&found["baseline"]);
        assert!(!found["baseline_is"].as_str().unwrap().is_empty());
    }
}

fn check_baseline(baseline: &Value) {
    for key in FIGURES {
        assert!(number(baseline, key) > 0.0, "{key} in {baseline:#}");
    }
}

/// Jobs that tell how long each of a few things took.
fn check_times(found: &Value) {
    let times = found["extra"]["times_ms"].as_array().unwrap();
    assert!(!times.is_empty(), "{found:#}");
    let is_time = |ms: &Value| ms.as_f64().is_some_and(|ms| ms > 0.0);
    assert!(times.iter().all(is_time), "{found:#}");
}

#[test]
fn the_quick_form_runs_every_job_and_writes_a_report() {
    let deployment = Deployment::new();
    let line = "bench all --quick --duration 50ms --peers 2 --size 1KiB -o json";
    // Some hundred processes start one after the other: on a busy machine that alone takes a while.
    let output = run_within(deployment.command(line.split(' ')), &[], LIMIT).ok();
    let found: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let jobs: BTreeSet<&str> = found.iter().filter_map(|f| f["job"].as_str()).collect();
    let expected = [
        "e2e",
        "failover",
        "lookup",
        "lookup-topics",
        "memory",
        "publish",
        "publish-against",
        "pull",
        "restart",
        "scale",
    ];
    assert_eq!(jobs, BTreeSet::from(expected));
    for measured in &found {
        match measured["job"].as_str().unwrap() {
            "memory" => {}
            "failover" | "restart" => check_times(measured),
            _ => check(measured),
        }
    }
    let of = |job: &str| found.iter().filter(|found| found["job"] == job).count();
    assert_eq!((of("failover"), of("restart")), (2, 2));
    let memory = found.iter().find(|found| found["job"] == "memory").unwrap();
    assert!(number(&memory["extra"], "bytes_per_topic") > 0.0);

    let folder = deployment.path().join("bench-report");
    let report: Value =
        serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    assert_eq!(
        report["measurements"].as_array().unwrap().len(),
        found.len()
    );
    for file in ["report.md", "report.html"] {
        assert!(
            fs::metadata(folder.join(file)).unwrap().len() > 1_000,
            "{file}"
        );
    }
    let pictures = fs::read_dir(&folder).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".png")
    });
    assert!(pictures.count() >= 4);
}

#[test]
fn a_running_deployment_is_left_as_it_was() {
    let (deployment, _index, _peer) = cli::running();
    let line = "bench lookup --running --quick --topics 300 --peers 1,2 --requests 20";
    let found = cli::json(&deployment, line);
    let lookups: Vec<&Value> = found.iter().filter(|f| f["job"] == "lookup").collect();
    assert!(lookups.len() >= 4, "{found:#?}");
    for measured in lookups {
        check(measured);
        assert!(
            measured["baseline_is"]
                .as_str()
                .unwrap()
                .contains("round trip")
        );
    }
    assert_eq!(cli::one(&deployment, "topic list"), serde_json::json!([]));
    let peers = cli::one(&deployment, "peers list");
    let names: Vec<&str> = peers
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|peer| peer["peer"].as_str())
        .collect();
    assert_eq!(names, ["1"]);
}

#[test]
fn many_topics_in_a_running_deployment_are_confirmed_first() {
    let (deployment, _index, _peer) = cli::running();
    for which in ["--running", "--config config.json"] {
        let refused = cli::run(&deployment, &format!("bench lookup {which} --topics 10001"));
        refused.fails(2, &["--yes"]);
    }
    assert_eq!(cli::one(&deployment, "topic list"), serde_json::json!([]));
}

#[test]
fn copies_need_as_many_peers() {
    let (deployment, _index, _peer) = cli::running();
    let refused = cli::run(&deployment, "bench publish --running --quick");
    refused.fails(2, &["2 copies", "has 1", "--replicas 1"]);
    let peers = cli::one(&deployment, "peers list");
    assert_eq!(peers.as_array().map(Vec::len), Some(1), "{peers}");
}

#[test]
fn an_index_that_is_not_there_is_named() {
    let deployment = Deployment::new();
    deployment
        .run(["bench", "publish", "--running", "--quick"])
        .fails(5, &["index"]);
    deployment
        .run(["bench", "publish", "--index", "127.0.0.1:9", "--quick"])
        .fails(5, &["127.0.0.1:9"]);
}
