//! Pull and follow: where they start, when positions move, and how they end.

#[path = "common/cli.rs"]
mod cli;
mod common;

use cli::{json, ok, one, run, running};
use common::eventually;
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn pull_reads_from_anywhere_and_moves_only_when_it_should() {
    let (d, _index, _peer) = running();
    d.run_with_input(["publish", "T1", "--id", "1"], b"a\nb\nc\nd\n")
        .ok();
    assert_eq!(
        ok(&d, "pull T1 --from -1"),
        "Messages from topic 'T1':\n  4: d\n"
    );
    assert_eq!(ok(&d, "pull T1 --from 2 --max 1 -f %o=%s"), "2=b\n");
    assert_eq!(
        ok(&d, "pull T1 --max 2"),
        "New messages from topic 'T1':\n  1: a\n  2: b\n"
    );
    assert_eq!(ok(&d, "pull T1 --raw --group g"), "abcd");
    assert_eq!(
        ok(&d, "pull T1 --from start --max 1 --commit"),
        "Messages from topic 'T1':\n  1: a\n"
    );
    assert_eq!(ok(&d, "pull T1 -f %s").lines().count(), 3);
    ok(&d, "pull T1 --from 1 --max 1 --commit");
    ok(&d, "pull T1 --from end --commit");
    assert_eq!(ok(&d, "pull T1"), "No new messages in topic 'T1'\n");
    assert_eq!(json(&d, "pull T1").len(), 0);
}

#[test]
fn a_waiting_pull_ends_with_the_first_message() {
    let (d, _index, _peer) = running();
    ok(&d, "topic create T1");
    let pull = d.spawn(["pull", "T1", "--wait", "--id", "1"]);
    pull.wait_for("waiting for new messages in topic 'T1'");
    ok(&d, "publish T1 now --id 2");
    pull.wait_for("  1: now");
    assert_eq!(pull.wait().code(), Some(0));
}

#[test]
fn follow_waits_for_its_topic_and_goes_on_where_it_stood() {
    let (d, _index, _peer) = running();
    let follow = d.spawn(["follow", "T1", "--id", "2"]);
    follow.wait_for("waiting for topic 'T1': the topic does not exist yet");
    ok(&d, "publish T1 one");
    follow.wait_for("1: one");
    follow.wait_for("subscribed to topic 'T1'");
    common::signal(follow.pid(), Signal::INT);
    assert_eq!(follow.wait().code(), Some(0));

    ok(&d, "publish T1 two");
    let follow = d.spawn(["follow", "T1", "--id", "2", "-o", "json"]);
    let line = follow.wait_for("two");
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["offset"], 2);
    assert!(
        !follow.lines().iter().any(|line| line.contains("one")),
        "{:?}",
        follow.lines()
    );
    assert_eq!(follow.terminate(), Some(0));

    // A kill may repeat, but what was committed while it ran is not read again.
    let follow = d.spawn(["follow", "T1", "--id", "2"]);
    ok(&d, "publish T1 three");
    follow.wait_for("3: three");
    eventually("the commit", || {
        let found = one(&d, "subscriptions --id 2");
        (found["subscriptions"][0]["lag"] == 0).then_some(())
    });
    follow.kill();
    assert_eq!(ok(&d, "pull T1 --id 2"), "No new messages in topic 'T1'\n");
}

#[test]
fn follow_takes_several_topics_and_formats() {
    let (d, _index, _peer) = running();
    ok(&d, "publish a 1");
    ok(&d, "publish b 2");
    let follow = d.spawn(["follow", "a", "b", "--id", "1"]);
    follow.wait_for("a 1: 1");
    follow.wait_for("b 1: 2");
    let formatted = d.spawn([
        "follow", "a", "--from", "start", "-f", "%t/%o/%s", "--id", "1",
    ]);
    formatted.wait_for("a/1/1");
    let missing = run(&d, "follow c --no-wait");
    missing.fails(3, &["error[topic-not-found]"]);
}

#[test]
fn a_reader_that_has_had_enough_is_no_error() {
    let (d, _index, _peer) = running();
    let lines = "line\n".repeat(100_000);
    d.run_with_input(["publish", "T1", "--id", "1"], lines.as_bytes())
        .ok();
    for line in [
        "pull T1 --from start --id 1",
        "follow T1 --from start --id 1",
    ] {
        let mut command = d.command(line.split(' '));
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert!(
            output.stderr.is_empty() || line.starts_with("pull"),
            "{line}: {output:?}"
        );
    }
}
