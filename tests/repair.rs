//! Copies that are lost for good are made up for at other peers, by real processes; and copying leaves room
//! for what is published.

mod common;

use std::collections::BTreeSet;

use common::{Deployment, Process, eventually};
use serde_json::{Value, json};

fn topic(deployment: &Deployment, name: &str) -> Option<Value> {
    let shown = deployment.run(["topic", "show", name, "-o", "json", "--id", "watcher"]);
    serde_json::from_str(&shown.stdout).ok()
}

/// Who is in sync.
fn members(deployment: &Deployment, name: &str) -> Option<BTreeSet<String>> {
    let shown = topic(deployment, name)?;
    let members = shown["in_sync"].as_array()?.iter();
    members
        .map(|member| member.as_str().map(str::to_owned))
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Publishes lines; answers what was printed.
fn publish(deployment: &Deployment, name: &str, lines: impl Iterator<Item = String>) -> String {
    let lines: String = lines.map(|line| line + "\n").collect();
    let args = ["publish", name, "-", "--id", "writer"];
    deployment.run_with_input(args, lines.as_bytes()).ok()
}

fn numbered(from: u32, count: u32) -> impl Iterator<Item = String> {
    (from..from + count).map(|n| format!("m{n}"))
}

fn pulled(deployment: &Deployment, name: &str) -> Vec<u32> {
    let args = [
        "pull", name, "--from", "start", "--max", "5000", "--id", "reader",
    ];
    let pulled = deployment.run(args).ok();
    let words = pulled.split_whitespace();
    words
        .filter_map(|word| word.strip_prefix('m')?.parse().ok())
        .collect()
}

#[test]
fn a_copy_that_is_lost_for_good_is_made_up_for() {
    let deployment = Deployment::with_config(|config| {
        config["indexing_server"]["repair_after_s"] = json!(1);
    });
    let index = deployment.index();
    let host = deployment.peer("a");
    deployment.run(["topic", "create", "T1", "--id", "a"]).ok();
    let lost = deployment.peer("b");
    let both = set(&["a", "b"]);
    eventually("a second copy", || {
        (members(&deployment, "T1")? == both).then_some(())
    });
    publish(&deployment, "T1", numbered(0, 300));
    let third: Process = deployment.peer("c");
    lost.kill();
    publish(&deployment, "T1", numbered(300, 100));
    let both = set(&["a", "c"]);
    eventually("the copy at the third peer", || {
        let in_sync = members(&deployment, "T1")? == both;
        // The one that is lost goes when the new one is there.
        let kept = topic(&deployment, "T1")?["copies"].as_array()?.len();
        (in_sync && kept == 2).then_some(())
    });
    index.wait_for("a copy has been away for long");
    host.kill();
    let all: Vec<u32> = (0..400).collect();
    eventually("the third peer to host", || {
        let shown = topic(&deployment, "T1")?;
        (shown["host"] == "c" && shown["host_live"] == true).then_some(())
    });
    assert_eq!(pulled(&deployment, "T1"), all);
    drop(third);
}

#[test]
fn copying_keeps_to_its_rate_and_holds_up_no_copy_in_sync() {
    let deployment = Deployment::with_config(|config| {
        config["peer_node"]["repair_mb_per_s"] = json!(1);
    });
    let _index = deployment.index();
    let _host = deployment.peer("a");
    let _other = deployment.peer("b");
    deployment
        .run(["topic", "create", "small", "--id", "a"])
        .ok();
    let large = ["topic", "create", "large", "--replicas", "1", "--id", "a"];
    deployment.run(large).ok();
    let body = "x".repeat(10_000);
    publish(&deployment, "large", (0..600).map(|_| body.clone()));
    let both = set(&["a", "b"]);
    eventually("a second copy of the small one", || {
        (members(&deployment, "small")? == both).then_some(())
    });
    let began = waypost::clock::mono_now();
    let more = ["topic", "set", "large", "--replicas", "2", "--id", "a"];
    deployment.run(more).ok();
    // It takes messages while the large one is copied, and has them at both.
    let printed = publish(&deployment, "small", numbered(0, 200));
    assert!(printed.contains("durable on 2 of 2"), "{printed}");
    let still = members(&deployment, "large").expect("it is there");
    assert_eq!(still, set(&["a"]), "six seconds have not passed");
    eventually("a second copy of the large one", || {
        (members(&deployment, "large")? == both).then_some(())
    });
    let took = waypost::clock::mono_now().since(began);
    assert!(took.as_millis() >= 5_000, "6 MB came in {took:?}");
}
