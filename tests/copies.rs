//! Copies of topics, with real processes: taken up by themselves, kept up through restarts of either
//! side, and as good as the original when the host's disk is gone.

mod common;

use common::{Deployment, eventually};
use serde_json::{Value, json};

fn topic(deployment: &Deployment, name: &str) -> Option<Value> {
    let shown = deployment.run(["topic", "show", name, "-o", "json", "--id", "watcher"]);
    serde_json::from_str(&shown.stdout).ok()
}

fn in_sync(deployment: &Deployment, name: &str, copies: usize) {
    eventually(&format!("{copies} copies of {name} in sync"), || {
        let shown = topic(deployment, name)?;
        let members = shown["in_sync"].as_array()?;
        (members.len() == copies).then_some(())
    });
}

fn publish(deployment: &Deployment, name: &str, from: u32, count: u32) {
    let lines: String = (from..from + count).map(|n| format!("m{n}\n")).collect();
    let args = ["publish", name, "-", "--id", "writer"];
    deployment.run_with_input(args, lines.as_bytes()).ok();
}

/// Everything of the topic from message `from` to before `to`, in order, once each.
fn holds(deployment: &Deployment, name: &str, from: u32, to: u32) {
    let expected: Vec<u32> = (from..to).collect();
    assert_eq!(pulled(deployment, name), expected);
}

/// The numbers of all messages that are kept.
fn pulled(deployment: &Deployment, name: &str) -> Vec<u32> {
    let args = [
        "pull", name, "--from", "start", "--max", "5000", "--id", "reader",
    ];
    let pulled = deployment.run(args).ok();
    let numbers = pulled.split_whitespace().filter_map(|word| {
        let number = word.strip_prefix('m')?;
        number.parse().ok()
    });
    numbers.collect()
}

fn create(deployment: &Deployment, name: &str, host: &str) {
    deployment.run(["topic", "create", name, "--id", host]).ok();
}

#[test]
fn a_topic_survives_its_host() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let first = deployment.peer("a");
    create(&deployment, "T1", "a");
    publish(&deployment, "T1", 0, 200);
    let _second = deployment.peer("b");
    in_sync(&deployment, "T1", 2);
    publish(&deployment, "T1", 200, 100);
    first.kill();
    publish(&deployment, "T1", 300, 50);
    holds(&deployment, "T1", 0, 350);
}

#[test]
fn a_copy_that_was_away_catches_up_and_takes_over() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let first = deployment.peer("a");
    create(&deployment, "T1", "a");
    let second = deployment.peer("b");
    in_sync(&deployment, "T1", 2);
    publish(&deployment, "T1", 0, 100);
    second.kill();
    publish(&deployment, "T1", 100, 100);
    let _second = deployment.peer("b");
    in_sync(&deployment, "T1", 2);
    first.kill();
    publish(&deployment, "T1", 200, 10);
    // The host of before comes back as a copy.
    let _first = deployment.peer("a");
    in_sync(&deployment, "T1", 2);
    holds(&deployment, "T1", 0, 210);
}

#[test]
fn a_host_that_lost_its_disk_gets_everything_back() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let first = deployment.peer("a");
    create(&deployment, "T1", "a");
    let second = deployment.peer("b");
    in_sync(&deployment, "T1", 2);
    publish(&deployment, "T1", 0, 100);
    first.kill();
    let journal = deployment.path().join("data/peers/a/journal");
    std::fs::remove_dir_all(&journal).expect("the journal lies there");
    let _first = deployment.peer("a");
    in_sync(&deployment, "T1", 2);
    second.kill();
    publish(&deployment, "T1", 100, 10);
    holds(&deployment, "T1", 0, 110);
}

#[test]
fn a_copy_of_a_trimmed_topic_begins_where_the_topic_does() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let first = deployment.peer("a");
    create(&deployment, "T1", "a");
    let set = ["topic", "set", "T1", "--retain-bytes", "4096", "--id", "a"];
    deployment.run(set).ok();
    for n in 0..40 {
        publish(&deployment, "T1", 10 * n, 10);
    }
    let _second = deployment.peer("b");
    in_sync(&deployment, "T1", 2);
    first.kill();
    publish(&deployment, "T1", 400, 1);
    let kept = pulled(&deployment, "T1");
    // What retention has dropped is told with a lag, but is at least this.
    assert!(kept[0] > 100, "retention has dropped most of it: {kept:?}");
    let expected: Vec<u32> = (kept[0]..401).collect();
    assert_eq!(kept, expected);
}

#[test]
fn how_far_a_copy_is_behind_is_shown() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let _first = deployment.peer("a");
    create(&deployment, "T1", "a");
    let second = deployment.peer("b");
    in_sync(&deployment, "T1", 2);
    let shown = topic(&deployment, "T1").expect("it is there");
    assert_eq!(shown["behind"], json!([]));
    second.suspend();
    publish(&deployment, "T1", 0, 50);
    eventually("the copy's lag", || {
        let shown = topic(&deployment, "T1")?;
        let behind = shown["behind"].as_array()?.first()?;
        let known = behind["peer"] == "b" && behind["messages"] == 50;
        (known && behind["behind_ms"].is_u64()).then_some(())
    });
    let text = deployment
        .run(["topic", "show", "T1", "--id", "watcher"])
        .ok();
    assert!(
        text.contains("behind       b by 50 messages, for "),
        "{text}"
    );
    let peers = deployment.run(["peers", "list", "-o", "json", "--id", "watcher"]);
    let peers: Vec<Value> = serde_json::from_str(&peers.ok()).expect("a list");
    let lags = |name: &str| {
        let peer = peers.iter().find(|peer| peer["peer"] == name).expect(name);
        (peer["behind"].as_u64(), peer["largest_lag"].as_u64())
    };
    assert_eq!(
        (lags("a"), lags("b")),
        ((Some(0), Some(0)), (Some(1), Some(50)))
    );
    let status = deployment.run(["status", "--id", "watcher"]);
    let told = "1 copy behind by up to 50 messages";
    assert!(status.stdout.contains(told), "{}", status.stdout);
    second.resume();
    in_sync(&deployment, "T1", 2);
    let shown = topic(&deployment, "T1").expect("it is there");
    assert_eq!(shown["behind"], json!([]));
}
