//! One-shot commands while the index is down, and with routes that have become stale.

mod common;

use common::{Deployment, Ran, free_port};

fn run(deployment: &Deployment, line: &str) -> Ran {
    deployment.run(line.split(' '))
}

#[test]
fn publishing_and_pulling_go_on_while_the_index_is_down() {
    let d = Deployment::new();
    let index = d.index();
    let _peer = d.peer("1");
    run(&d, "publish T1 one --id 2").ok();
    run(&d, "pull T1 --id 3").ok();
    index.kill();

    for n in 2..=4 {
        let published = run(&d, &format!("publish T1 {n} --id 2")).ok();
        assert_eq!(published, format!("T1 @ {n}, durable on 1 of 1 (peer 1)\n"));
    }
    let pulled = run(&d, "pull T1 --id 3").ok();
    assert_eq!(
        pulled,
        "New messages from topic 'T1':\n  2: 2\n  3: 3\n  4: 4\n"
    );
    assert_eq!(
        run(&d, "pull T1 --id 3").ok(),
        "No new messages in topic 'T1'\n"
    );

    // Never subscribed: reading needs no subscription, and the next one makes it.
    let first = run(&d, "pull T1 --id 2 -f %o");
    assert!(!first.stderr.contains("subscribed"), "{}", first.stderr);
    assert_eq!(first.ok(), "1\n2\n3\n4\n");
    run(&d, "publish T2 x --id 2").fails(5, &["error[index-unreachable]"]);

    let _index = d.index();
    let next = run(&d, "pull T1 --id 2");
    assert!(
        next.stderr.contains("subscribed to topic 'T1'"),
        "{}",
        next.stderr
    );
    assert_eq!(next.ok(), "No new messages in topic 'T1'\n");
}

#[test]
fn the_only_copy_is_read_after_a_restart_without_an_index() {
    let d = Deployment::new();
    let index = d.index();
    let peer = d.peer("1");
    run(&d, "publish T1 one --id 2").ok();
    run(&d, "publish T1 two --id 2").ok();
    run(&d, "pull T1 --id 3").ok();
    index.kill();
    peer.kill();
    let peer = d.spawn(["peer", "--id", "1"]);
    peer.wait_for("listening on");
    assert_eq!(
        run(&d, "pull T1 --id 3 --from start").ok(),
        "Messages from topic 'T1':\n  1: one\n  2: two\n"
    );
    let next = run(&d, "publish T1 three --id 2 --timeout 500ms");
    assert_ne!(
        next.code,
        Some(0),
        "nothing is appended before the index has granted an epoch"
    );
}

#[test]
fn a_peer_that_comes_back_on_another_port_is_found() {
    let d = Deployment::new();
    let _index = d.index();
    let peer = d.peer("1");
    run(&d, "publish T1 one --id 2").ok();
    run(&d, "pull T1 --id 2").ok();
    peer.kill();

    let text = std::fs::read_to_string(d.config()).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["peer_node"]["port"] = free_port().into();
    std::fs::write(d.config(), config.to_string()).unwrap();
    let _peer = d.peer("1");
    assert_eq!(
        run(&d, "publish T1 two --id 2").ok(),
        "T1 @ 2, durable on 1 of 1 (peer 1)\n"
    );
    assert_eq!(
        run(&d, "pull T1 --id 2").ok(),
        "New messages from topic 'T1':\n  2: two\n"
    );
}

#[test]
fn a_topic_that_was_deleted_and_created_again_is_another_one() {
    let d = Deployment::new();
    let (_index, _peer) = (d.index(), d.peer("1"));
    run(&d, "topic create T1 --id 1").ok();
    run(&d, "publish T1 old --id 2").ok();
    run(&d, "pull T1 --id 2").ok();
    run(&d, "topic delete T1 --id 1").ok();
    run(&d, "topic create T1 --id 1").ok();

    // Routes, positions and subscriptions of the earlier life are of no use.
    let published = run(&d, "publish T1 new --id 2");
    assert!(
        published
            .stderr
            .contains("Topic 'T1' was deleted by peer 1"),
        "{}",
        published.stderr
    );
    assert_eq!(published.ok(), "T1 @ 1, durable on 1 of 1 (peer 1)\n");
    let pulled = run(&d, "pull T1 --id 2");
    assert!(
        pulled.stderr.contains("subscribed to topic 'T1'"),
        "{}",
        pulled.stderr
    );
    assert_eq!(pulled.ok(), "New messages from topic 'T1':\n  1: new\n");
}

#[test]
fn a_topic_that_was_deleted_says_by_whom() {
    let d = Deployment::new();
    let (_index, _peer) = (d.index(), d.peer("1"));
    run(&d, "publish T1 x --id 1").ok();
    run(&d, "pull T1 --id 2").ok();
    run(&d, "topic delete T1 --id 1").ok();
    let ran = run(&d, "pull T1 --id 2");
    ran.fails(
        3,
        &[
            "error[topic-not-found]",
            "Topic 'T1' was deleted by peer 1 at",
        ],
    );
}
