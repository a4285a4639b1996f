//! What an operator brings back, with real processes: an index from a backup, and a topic whose copies in
//! sync are gone for good.

mod common;

use std::fs;
use std::path::Path;

use common::{Deployment, eventually};
use serde_json::Value;

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

fn is_in_phase(deployment: &Deployment, name: &str, phase: &str) {
    eventually(&format!("{name} to be {phase}"), || {
        let shown = topic(deployment, name)?;
        shown["phase"].as_str()?.starts_with(phase).then_some(())
    });
}

fn lines(from: u32, to: u32) -> String {
    (from..to).map(|n| format!("m{n}\n")).collect()
}

/// Publishes messages `from` to before `to`.
fn publish(deployment: &Deployment, name: &str, from: u32, to: u32) {
    let args = ["publish", name, "-", "--id", "writer"];
    let input = lines(from, to);
    deployment.run_with_input(args, input.as_bytes()).ok();
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

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for the backup");
    for entry in fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("its type").is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => _ = fs::copy(entry.path(), target).expect("a file is copied"),
        }
    }
}

/// Stops the index, and keeps its store as it is now.
fn back_up(deployment: &Deployment, index: common::Process) {
    index.terminate();
    copy_folder(
        &deployment.path().join("data/index"),
        &deployment.path().join("backup"),
    );
}

fn restore(deployment: &Deployment) {
    let store = deployment.path().join("data/index");
    fs::remove_dir_all(&store).expect("the store was there");
    copy_folder(&deployment.path().join("backup"), &store);
}

fn moved_and_restored(copies: &str, both: usize, told: bool) {
    let deployment = Deployment::new();
    let index = deployment.index();
    let _first = deployment.peer("a");
    let _second = deployment.peer("b");
    let create = [
        "topic",
        "create",
        "T1",
        "--replicas",
        copies,
        "--id",
        "a",
        "--host",
        "a",
    ];
    deployment.run(create).ok();
    in_sync(&deployment, "T1", both);
    publish(&deployment, "T1", 0, 100);
    back_up(&deployment, index);

    let index = deployment.index();
    let moving = ["topic", "move", "T1", "--to", "b", "--id", "a"];
    eventually("the topic to move", || {
        (deployment.run(moving).code == Some(0)).then_some(())
    });
    publish(&deployment, "T1", 100, 200);
    // A topic that the backup does not know.
    let create = [
        "topic",
        "create",
        "T2",
        "--replicas",
        copies,
        "--id",
        "a",
        "--host",
        "b",
    ];
    deployment.run(create).ok();
    publish(&deployment, "T2", 0, 10);
    index.kill();

    restore(&deployment);
    let _index = match told {
        true => deployment.spawn(["index", "--restored"]),
        false => deployment.index(),
    };
    is_in_phase(&deployment, "T1", "unknown");
    if told {
        let early = ["topic", "create", "T3", "--id", "a"];
        deployment.run(early).fails(5, &["index recover"]);
    }
    let dry = ["index", "recover", "--dry-run", "-o", "json"];
    let found = eventually("all peers to tell what they hold", || {
        let found: Value = serde_json::from_str(&deployment.run(dry).ok()).expect("JSON");
        (found["told"].as_array()?.len() == 2).then_some(found)
    });
    assert_eq!(
        (&found["behind"], &found["unknown"]),
        (&Value::from(1), &Value::from(1)),
        "{found}"
    );
    deployment.run(["index", "recover", "--owner", "a"]).ok();
    is_in_phase(&deployment, "T1", "serving");
    assert_eq!(topic(&deployment, "T1").expect("known")["host"], "b");
    publish(&deployment, "T1", 200, 210);
    assert_eq!(pulled(&deployment, "T1"), (0..210).collect::<Vec<_>>());
    assert_eq!(pulled(&deployment, "T2"), (0..10).collect::<Vec<_>>());
}

#[test]
fn an_index_from_a_backup_learns_where_topics_have_moved() {
    moved_and_restored("2", 2, false);
}

#[test]
fn an_index_from_a_backup_learns_of_the_only_copy() {
    moved_and_restored("1", 1, false);
}

#[test]
fn an_index_that_is_told_that_it_comes_from_a_backup_freezes_everything() {
    moved_and_restored("1", 1, true);
}

#[test]
fn recovery_waits_for_peers_that_may_hold_something() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let _first = deployment.peer("a");
    deployment.peer("b").terminate();
    let refused = deployment.run(["index", "recover"]);
    refused.fails(2, &["b is missing", "--without"]);
    deployment.run(["index", "recover", "--without", "b"]).ok();
    let other = deployment.run(["topic", "recover", "none", "--id", "a"]);
    other.fails(3, &["no topic 'none'"]);
}

#[test]
fn a_topic_whose_copies_are_gone_is_opened_with_what_is_left() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let peers = ["a", "b", "c"].map(|name| deployment.peer(name));
    let create = [
        "topic",
        "create",
        "T1",
        "--replicas",
        "3",
        "--id",
        "a",
        "--host",
        "a",
    ];
    deployment.run(create).ok();
    in_sync(&deployment, "T1", 3);
    publish(&deployment, "T1", 0, 100);
    let [first, second, third] = peers;
    third.kill();
    publish(&deployment, "T1", 100, 150);
    in_sync(&deployment, "T1", 2);
    let follower = deployment.spawn(["follow", "T1", "--from", "start", "--id", "reader"]);
    follower.wait_for("m149");
    let early = [
        "topic",
        "recover",
        "T1",
        "--accept-loss",
        "--yes",
        "--id",
        "a",
    ];
    deployment.run(early).fails(4, &["has lost nothing"]);
    first.kill();
    second.kill();
    for name in ["a", "b"] {
        let folder = deployment.path().join("data/peers").join(name);
        fs::remove_dir_all(folder).expect("its data");
    }
    let _third = deployment.peer("c");
    is_in_phase(&deployment, "T1", "offline");
    let unsure = deployment.run(["topic", "recover", "T1", "--accept-loss", "--operator"]);
    unsure.fails(2, &["peer c has a copy up to offset 100", "--yes"]);
    let recover = [
        "topic",
        "recover",
        "T1",
        "--accept-loss",
        "--yes",
        "--operator",
    ];
    deployment.run(recover).ok();
    is_in_phase(&deployment, "T1", "serving");
    assert_eq!(pulled(&deployment, "T1"), (0..100).collect::<Vec<_>>());

    assert_eq!(follower.wait().code(), Some(7));
    publish(&deployment, "T1", 1000, 1005);
    let expected = (0..100).chain(1000..1005);
    assert_eq!(pulled(&deployment, "T1"), expected.collect::<Vec<_>>());
}

/// The topic's host is away, so that the index holds what is published.
fn held_for(deployment: &Deployment, name: &str, from: u32, to: u32) {
    publish(deployment, name, from, to);
    let shown = topic(deployment, name).expect("known");
    assert_ne!(shown["held"], 0, "{shown}");
}

/// Waits until nobody is live who could host.
fn is_offline(deployment: &Deployment, name: &str) {
    eventually("nobody to be live", || {
        let shown = topic(deployment, name)?;
        let phase = shown["phase"].as_str()?;
        phase.starts_with("offline").then_some(())
    });
}

fn is_drained(deployment: &Deployment, name: &str) {
    eventually(&format!("{name} to take what was held"), || {
        let shown = topic(deployment, name)?;
        (shown["phase"] == "serving" && shown["held"] == 0).then_some(())
    });
}

/// Recovers once every peer that is there has told.
fn recover_index(deployment: &Deployment, peers: usize) {
    let dry = ["index", "recover", "--dry-run", "-o", "json"];
    eventually("all peers to tell what they hold", || {
        let found = deployment.run(dry);
        let found: Value = serde_json::from_str(&found.stdout).ok()?;
        (found["told"].as_array()?.len() == peers).then_some(())
    });
    deployment.run(["index", "recover"]).ok();
}

/// The backup has messages that the host has taken since: they must not come again.
fn held_in_the_backup_and_drained_since(copies: &str) {
    let deployment = Deployment::new();
    let index = deployment.index();
    let host = deployment.peer("a");
    let create = ["topic", "create", "T1", "--replicas", copies, "--id", "a"];
    deployment.run(create).ok();
    let other = (copies == "2").then(|| deployment.peer("b"));
    in_sync(&deployment, "T1", if copies == "2" { 2 } else { 1 });
    publish(&deployment, "T1", 0, 10);
    host.kill();
    drop(other);
    is_offline(&deployment, "T1");
    held_for(&deployment, "T1", 10, 20);
    back_up(&deployment, index);

    let index = deployment.index();
    let host = deployment.peer("a");
    let other = (copies == "2").then(|| deployment.peer("b"));
    is_drained(&deployment, "T1");
    publish(&deployment, "T1", 20, 30);
    index.kill();
    restore(&deployment);
    let _index = deployment.spawn(["index", "--restored"]);
    recover_index(&deployment, if copies == "2" { 2 } else { 1 });
    is_drained(&deployment, "T1");
    publish(&deployment, "T1", 30, 40);
    assert_eq!(pulled(&deployment, "T1"), (0..40).collect::<Vec<_>>());
    drop((host, other));
}

#[test]
fn what_was_drained_after_the_backup_does_not_come_again() {
    held_in_the_backup_and_drained_since("1");
}

#[test]
fn what_was_drained_after_the_backup_does_not_come_again_with_two_copies() {
    held_in_the_backup_and_drained_since("2");
}

/// What only the index has, is in its backup, and in nobody's log: recovery must not lose it.
#[test]
fn what_only_the_backup_has_comes_after_recovery() {
    let deployment = Deployment::new();
    let index = deployment.index();
    let host = deployment.peer("a");
    deployment.run(["topic", "create", "T1", "--id", "a"]).ok();
    publish(&deployment, "T1", 0, 10);
    host.kill();
    is_offline(&deployment, "T1");
    held_for(&deployment, "T1", 10, 20);
    back_up(&deployment, index);
    restore(&deployment);
    let _index = deployment.spawn(["index", "--restored"]);
    let _host = deployment.peer("a");
    is_in_phase(&deployment, "T1", "unknown");
    recover_index(&deployment, 1);
    is_drained(&deployment, "T1");
    publish(&deployment, "T1", 20, 30);
    assert_eq!(pulled(&deployment, "T1"), (0..30).collect::<Vec<_>>());
}

/// Held after the backup: gone with the index's disk, as docs/SAFETY.md says; but the publisher's next
/// messages come, and nothing comes twice.
#[test]
fn what_was_drained_of_messages_held_after_the_backup_stays() {
    let deployment = Deployment::new();
    let index = deployment.index();
    let host = deployment.peer("a");
    deployment.run(["topic", "create", "T1", "--id", "a"]).ok();
    publish(&deployment, "T1", 0, 10);
    back_up(&deployment, index);

    let index = deployment.index();
    host.kill();
    is_offline(&deployment, "T1");
    held_for(&deployment, "T1", 10, 20);
    let _host = deployment.peer("a");
    is_drained(&deployment, "T1");
    index.kill();
    restore(&deployment);
    let _index = deployment.spawn(["index", "--restored"]);
    recover_index(&deployment, 1);
    is_drained(&deployment, "T1");
    publish(&deployment, "T1", 20, 30);
    assert_eq!(pulled(&deployment, "T1"), (0..30).collect::<Vec<_>>());
}
