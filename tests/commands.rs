//! Every network command against a real index and real peers, for people and for programs.

mod common;

use common::{Deployment, Process, eventually};
use rustix::process::Signal;
use serde_json::Value;

/// A deployment with an index and peer 1.
fn running() -> (Deployment, Process, Process) {
    let deployment = Deployment::new();
    let index = deployment.index();
    let peer = deployment.peer("1");
    (deployment, index, peer)
}

/// Runs a line of words under identity 1 unless it names another.
fn run(deployment: &Deployment, line: &str) -> common::Ran {
    let mut words: Vec<&str> = line.split(' ').collect();
    if !words.contains(&"--id") {
        words.extend(["--id", "1"]);
    }
    deployment.run(words)
}

fn ok(deployment: &Deployment, line: &str) -> String {
    run(deployment, line).ok()
}

/// The JSON values on standard output, one a line.
fn json(deployment: &Deployment, line: &str) -> Vec<Value> {
    let output = ok(deployment, &format!("{line} -o json"));
    output
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn one(deployment: &Deployment, line: &str) -> Value {
    let mut values = json(deployment, line);
    assert_eq!(values.len(), 1, "{values:?}");
    values.remove(0)
}

#[test]
fn topics_are_created_changed_shown_listed_and_deleted() {
    let (d, _index, _peer) = running();
    let created = ok(&d, "topic create T1 T2 --retain-age 7d");
    assert_eq!(
        created,
        "Topic 'T1' created successfully.\nTopic 'T2' created successfully.\n"
    );
    assert_eq!(one(&d, "topic create T3")["host"], "1");

    assert_eq!(
        ok(&d, "topic set T1 --retain-bytes 1GiB"),
        "Topic 'T1' keeps at most 1.0 GiB and 7d.\n"
    );
    assert_eq!(
        one(&d, "topic set T1 --retain-age unlimited")["retain_age_ms"],
        Value::Null
    );

    let shown = ok(&d, "topic show T1");
    for text in [
        "topic        T1",
        "owner        1",
        "keeps        at most 1.0 GiB",
    ] {
        assert!(shown.contains(text), "{shown}");
    }
    let shown = one(&d, "topic show T1");
    assert_eq!(shown["retain_bytes"], 1 << 30);
    assert_eq!(shown["host_live"], true);
    assert_eq!(shown["addresses"].as_array().unwrap().len(), 1);

    let list = ok(&d, "topic list");
    assert!(list.starts_with("TOPIC"), "{list}");
    assert_eq!(list.lines().count(), 4, "{list}");
    assert_eq!(one(&d, "topic list --prefix T2")[0]["topic"], "T2");
    assert_eq!(one(&d, "topic list --mine").as_array().unwrap().len(), 3);
    assert_eq!(one(&d, "topic list --mine --id 2"), serde_json::json!([]));

    assert_eq!(
        ok(&d, "topic delete T2"),
        "Topic 'T2' deleted successfully.\n"
    );
    assert_eq!(one(&d, "topic delete T3 --yes")["subscribers_told"], 0);
    assert_eq!(ok(&d, "topic list").lines().count(), 2);
}

#[test]
fn the_first_message_needs_no_preparation() {
    let (d, _index, _peer) = running();
    let ran = run(&d, "publish T1 Hello");
    assert!(
        ran.stderr.contains("created topic 'T1', hosted by peer 1"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.ok(), "T1 @ 1, durable on 1 of 1 (peer 1)\n");

    let ran = run(&d, "pull T1 --id 2");
    assert!(
        ran.stderr.contains("subscribed to topic 'T1'"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.ok(), "New messages from topic 'T1':\n  1: Hello\n");
    let ran = run(&d, "pull T1 --id 2");
    assert!(!ran.stderr.contains("subscribed"), "{}", ran.stderr);
    assert_eq!(ran.ok(), "No new messages in topic 'T1'\n");
}

#[test]
fn publish_takes_arguments_lines_files_and_bytes() {
    let (d, _index, _peer) = running();
    let published = one(&d, "publish T1 x --key k -H a:b --min-ack 1");
    assert_eq!(
        (&published["offset"], &published["durable"]),
        (&1.into(), &1.into())
    );
    assert_eq!(
        d.run(["publish", "T1", "", "--id", "1"]).ok(),
        "T1 @ 2, durable on 1 of 1 (peer 1)\n"
    );
    let lines = d
        .run_with_input(["publish", "T1", "-", "--id", "1"], b"a\n\n\xff\0\n")
        .ok();
    assert!(
        lines.starts_with("T1 @ 3 to 5, 3 messages, durable on 1 of 1 (peer 1)"),
        "{lines}"
    );
    std::fs::write(d.path().join("file"), b"a\nb\0\xff").unwrap();
    ok(&d, "publish T1 --file file");
    assert_eq!(json(&d, "publish T1 again --count 3 --rate 1000").len(), 3);

    let read = json(&d, "pull T1");
    assert_eq!(read.len(), 9);
    assert_eq!(read[0]["key"], "k");
    assert_eq!(
        read[0]["headers"][0],
        serde_json::json!({"name": "a", "value": "b"})
    );
    assert_eq!(read[1]["body"], "");
    assert_eq!(read[4]["body_base64"], "/wA=");
    assert_eq!(read[5]["body_base64"], "YQpiAP8=");
    let offsets: Vec<u64> = read.iter().map(|m| m["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, (1..=9).collect::<Vec<_>>());
    assert_eq!(
        d.run_with_input(["publish", "T1", "--id", "1"], b"").ok(),
        ""
    );
}

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
fn subscriptions_show_position_end_lag_and_deleted_topics() {
    let (d, _index, peer) = running();
    ok(&d, "topic create T1 T2");
    assert_eq!(
        ok(&d, "subscribe T1 T2 --id 2"),
        "Subscribed to topic 'T1'.\nSubscribed to topic 'T2'.\n"
    );
    assert_eq!(
        ok(&d, "subscribe T1 --id 2"),
        "Already subscribed to topic 'T1'.\n"
    );
    let again = one(&d, "subscribe T1 --id 2");
    assert_eq!(
        (&again["new"], &again["host"]),
        (&false.into(), &"1".into())
    );
    d.run_with_input(["publish", "T1", "--id", "1"], b"a\nb\nc\n")
        .ok();
    ok(&d, "pull T1 --max 1 --id 2");
    let standing = one(&d, "subscriptions --id 2");
    let first = &standing["subscriptions"][0];
    assert_eq!(
        (&first["position"], &first["end"], &first["lag"]),
        (&2.into(), &4.into(), &2.into())
    );

    ok(&d, "topic delete T2");
    let told = ok(&d, "subscriptions --id 2");
    assert!(
        told.contains("Topic 'T2' was deleted by peer 1 at 2"),
        "{told}"
    );
    let told = ok(&d, "subscriptions --id 2");
    assert!(!told.contains("was deleted"), "cleared once shown: {told}");
    assert_eq!(
        ok(&d, "unsubscribe T1 --id 2"),
        "Unsubscribed from topic 'T1'.\n"
    );
    let ran = run(&d, "pull T1 --id 2");
    assert!(
        ran.stderr.contains("subscribed to topic 'T1'"),
        "{}",
        ran.stderr
    );

    // While the host is away its last report stands, with its age.
    let reported = || {
        let shown = one(&d, "topic show T1");
        (shown["end"] == 4).then_some(())
    };
    eventually("the report of the host", reported);
    peer.kill();
    let away = one(&d, "subscriptions --id 2");
    let away = &away["subscriptions"][0];
    assert_eq!(
        (&away["end"], &away["from_host"]),
        (&4.into(), &false.into())
    );
    assert!(ok(&d, "subscriptions --id 2").contains("host away"));
}

#[test]
fn peers_are_listed_and_shown() {
    let (d, _index, _peer) = running();
    ok(&d, "publish T1 x");
    ok(&d, "topic list --id 2");
    let list = ok(&d, "peers list");
    assert!(
        list.lines().nth(1).unwrap().starts_with("1     live"),
        "{list}"
    );
    assert!(list.contains("never hosted"), "{list}");
    let list = one(&d, "peers list");
    assert_eq!(
        (&list[0]["peer"], &list[0]["hosted"]),
        (&"1".into(), &1.into())
    );
    assert!(ok(&d, "peers show 1").contains("hosts        T1"));
    let shown = one(&d, "peers show 1");
    assert_eq!(
        (&shown["live"], &shown["topics"][0]),
        (&true.into(), &"T1".into())
    );
}

#[test]
fn deregistering_says_what_goes_and_takes_only_what_was_confirmed() {
    let (d, _index, peer) = running();
    ok(&d, "publish T1 x");
    eventually("the report of the host", || {
        (one(&d, "topic show T1")["messages"] == 1).then_some(())
    });
    let refused = run(&d, "deregister");
    refused.fails(
        2,
        &[
            "error[needs-confirmation]",
            "  T1: 1 message",
            "1 topic with 1 message",
            "--yes",
        ],
    );
    assert_eq!(
        ok(&d, "deregister --yes"),
        "Successfully deregistered peer 1\n"
    );
    peer.wait_for("deregistered");
    assert!(
        d.path().join("certs/1.key.pem").exists(),
        "the key is the person's"
    );
    assert!(
        !d.path().join("data/peers/1/client").exists(),
        "passes and routes hold no more"
    );
    let list = one(&d, "peers list --id 2");
    assert_eq!(list.as_array().unwrap().len(), 1);
    let left = one(&d, "deregister --yes --id 2");
    assert_eq!(
        (&left["peer"], &left["topics_deleted"]),
        (&"2".into(), &0.into())
    );
}

#[test]
fn status_looks_at_everything_and_ends_when_things_are_down() {
    let (d, index, peer) = running();
    ok(&d, "publish T1 x");
    let status = ok(&d, "status");
    for text in ["identity 1", "index 127.0.0.1", "peer 1 (own)", "topics"] {
        assert!(status.contains(text), "{status}");
    }
    let seen = one(&d, "status");
    assert!(
        seen.as_array()
            .unwrap()
            .iter()
            .all(|line| line["state"] == "ok"),
        "{seen}"
    );

    index.kill();
    let ran = run(&d, "status");
    assert!(ran.stdout.contains("peer 1 (own)"), "{}", ran.stdout);
    ran.fails(5, &["error[index-unreachable]", "start it: waypost index"]);
    peer.kill();
    run(&d, "status").fails(5, &["error[index-unreachable]"]);
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
