//! Readers that wait at a host that is killed go to the next one before QUIC gives the connection up.

mod common;

use common::{Deployment, Process, eventually};
use serde_json::Value;

fn topic(deployment: &Deployment, name: &str) -> Option<Value> {
    let shown = deployment.run(["topic", "show", name, "-o", "json", "--id", "watcher"]);
    serde_json::from_str(&shown.stdout).ok()
}

/// An index, two peers, and a topic hosted by the first with a copy at the second.
fn staged() -> (Deployment, [Process; 3]) {
    let deployment = Deployment::new();
    let index = deployment.index();
    let host = deployment.peer("a");
    deployment.run(["topic", "create", "T1", "--id", "a"]).ok();
    let copy = deployment.peer("b");
    eventually("a second copy", || {
        let shown = topic(&deployment, "T1")?;
        (shown["in_sync"].as_array()?.len() == 2).then_some(())
    });
    (deployment, [index, host, copy])
}

fn hosted_by(deployment: &Deployment, name: &str, host: &str) {
    eventually("another host", || {
        let shown = topic(deployment, name)?;
        (shown["host"] == host && shown["host_live"] == true).then_some(())
    });
}

const LEFT: &str = "the host says nothing, and is not there or not the host any more";

#[test]
fn a_waiting_pull_goes_to_the_next_host() {
    let (deployment, [_index, host, _copy]) = staged();
    let pull = ["pull", "T1", "--wait", "--id", "reader", "--log", "info"];
    let pull = deployment.spawn(pull);
    pull.wait_for("waiting for new messages");
    host.kill();
    let killed = waypost::clock::mono_now();
    hosted_by(&deployment, "T1", "b");
    deployment.run(["publish", "T1", "on", "--id", "b"]).ok();
    pull.wait_for("  1: on");
    let took = waypost::clock::mono_now().since(killed);
    assert!(took < waypost::limits::IDLE_TIMEOUT, "{took:?}");
    pull.wait_for(LEFT);
    assert_eq!(pull.wait().code(), Some(0));
}

/// Two topics on one stream; of one nobody else has a copy, so that the index names the dead host still.
#[test]
fn a_follower_leaves_a_dead_host_that_still_hosts_another_topic() {
    let (deployment, [_index, host, _copy]) = staged();
    let alone = ["topic", "create", "alone", "--replicas", "1", "--id", "a"];
    deployment.run(alone).ok();
    let follow = ["follow", "alone", "T1", "--id", "reader", "--log", "info"];
    let follow = deployment.spawn(follow);
    deployment
        .run(["publish", "alone", "one", "--id", "a"])
        .ok();
    deployment.run(["publish", "T1", "one", "--id", "a"]).ok();
    follow.wait_for_nth("1: one", 2);
    host.kill();
    let killed = waypost::clock::mono_now();
    hosted_by(&deployment, "T1", "b");
    deployment.run(["publish", "T1", "two", "--id", "b"]).ok();
    follow.wait_for("2: two");
    let took = waypost::clock::mono_now().since(killed);
    assert!(took < waypost::limits::IDLE_TIMEOUT, "{took:?}");
    follow.wait_for(LEFT);
}
