//! Every network command against a real index and real peers, for people and for programs; reading
//! stands in reading.rs.

#[path = "common/cli.rs"]
mod cli;
mod common;

use cli::{json, ok, one, run, running};
use common::eventually;
use serde_json::Value;

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
        ok(&d, "topic set T1 --replicas 3 --min-in-sync 2"),
        "Topic 'T1' keeps at most 1.0 GiB and 7d, in 3 copies, of which 2 must be in sync.\n"
    );
    ok(&d, "topic set T1 --replicas 1 --min-in-sync 1");
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
    peer.wait_for("Unregistered peer 1");
    assert_eq!(peer.wait().code(), Some(0));
    assert!(
        d.path().join("certs/1.key.pem").exists(),
        "the key is the person's"
    );
    assert!(
        !d.path().join("data/peers/1/client").exists(),
        "passes and routes hold no more"
    );
    assert!(
        !d.path().join("data/peers/1/journal").exists(),
        "the messages of deleted topics are gone"
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
    // A session counts once its first heartbeat was answered.
    eventually("everything to be ok", || {
        let seen = one(&d, "status");
        let lines = seen.as_array().expect("a list").clone();
        lines.iter().all(|line| line["state"] == "ok").then_some(())
    });

    index.kill();
    let ran = run(&d, "status");
    assert!(ran.stdout.contains("peer 1 (own)"), "{}", ran.stdout);
    ran.fails(5, &["error[index-unreachable]", "start it: waypost index"]);
    peer.kill();
    run(&d, "status").fails(5, &["error[index-unreachable]"]);
}
