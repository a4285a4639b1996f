//! Messages that the index holds while nobody can host a topic, with real processes: each is in the log once,
//! in its publisher's order, whatever is killed in between.

#[path = "common/cli.rs"]
mod cli;
mod common;

use std::collections::BTreeMap;

use cli::{json, ok, one, run};
use common::{Deployment, PATIENCE, eventually};
use waypost::client::{Client, ClientOptions, IndexAddress, Message, PublisherOptions};
use waypost::transport::{Identity, KnownIndex};
use waypost::types::TopicName;

fn show(d: &Deployment, field: &str) -> serde_json::Value {
    one(d, "topic show T1 --id eyes")[field].clone()
}

fn wait_open(d: &Deployment) {
    eventually("the topic opens", || {
        let open = show(d, "phase") == "serving" && show(d, "held") == 0;
        open.then_some(())
    });
}

#[test]
fn what_is_published_without_a_host_outlives_the_index_and_is_read_once() {
    let d = Deployment::new();
    let index = d.index();
    let peer = d.peer("1");
    ok(&d, "publish T1 first --host 1");
    peer.kill();
    for n in 1..=3 {
        let said = ok(&d, &format!("publish T1 held{n} --id 2"));
        let noun = if n == 1 { "message" } else { "messages" };
        let expected =
            format!("T1: held by the index (peer 1, its host, is away); {n} {noun} held\n");
        assert_eq!(said, expected);
    }
    assert_eq!(show(&d, "held"), 3);
    index.kill();
    let _index = d.index();
    assert_eq!(show(&d, "held"), 3);
    assert!(ok(&d, "status --id 2").contains("3 messages held"));
    let receipt = one(&d, "publish T1 held4 --id 2");
    assert_eq!(
        (&receipt["offset"], &receipt["held"]),
        (&serde_json::Value::Null, &4.into())
    );
    // Whoever wants it on a copy waits.
    run(&d, "publish T1 not-held --id 2 --no-hold --timeout 1s").fails(5, &["T1"]);
    run(&d, "publish T1 not-held --id 2 --min-ack 1 --timeout 1s").fails(5, &["T1"]);

    let peer = d.peer("1");
    wait_open(&d);
    ok(&d, "publish T1 after --id 2");
    let expected = "first\nheld1\nheld2\nheld3\nheld4\nafter\n";
    assert_eq!(ok(&d, "pull T1 --from start -f %s --id eyes"), expected);
    // And once more, with the same host.
    peer.kill();
    assert!(ok(&d, "publish T1 again --id 2").contains("1 message held"));
    let _peer = d.peer("1");
    wait_open(&d);
    let all = ok(&d, "pull T1 --from start -f %s --id eyes");
    assert_eq!(all, format!("{expected}again\n"));
}

#[test]
fn a_topic_takes_what_is_held_of_it_along() {
    let d = Deployment::new();
    let _index = d.index();
    let peer = d.peer("1");
    ok(&d, "publish T1 first --host 1");
    peer.kill();
    assert!(ok(&d, "publish T1 held").contains("1 message held"));
    ok(&d, "topic delete T1 --yes");
    assert!(!ok(&d, "status --id 2").contains("held"));
    let _peer = d.peer("1");
    ok(&d, "publish T1 anew");
    assert_eq!(ok(&d, "pull T1 --from start -f %s --id eyes"), "anew\n");
}

fn client(d: &Deployment, name: &str) -> Client {
    let certs = d.path().join("certs");
    let (identity, _) = Identity::load_or_create(&certs, name).unwrap();
    let index: IndexAddress = format!("127.0.0.1:{}", d.port).parse().unwrap();
    let mut options = ClientOptions::new(identity, name.parse().unwrap(), index);
    options.known_index = Some(KnownIndex::new(&certs));
    options.host_patience = PATIENCE;
    options.index_patience = PATIENCE;
    Client::new(options).unwrap()
}

const PUBLISHERS: [&str; 2] = ["pub1", "pub2"];
const EACH: usize = 1_000;

/// Each publisher leaves its messages with the index, a batch for each.
async fn leave_all(d: &Deployment) {
    let mut publishing = tokio::task::JoinSet::new();
    for name in PUBLISHERS {
        let client = client(d, name);
        publishing.spawn(async move {
            let publisher = client.publisher(PublisherOptions {
                batch_messages: 1,
                delivery_timeout: 4 * PATIENCE,
                ..PublisherOptions::default()
            });
            let topic: TopicName = "T1".parse().unwrap();
            let mut pending = vec![];
            for n in 0..EACH {
                let message = Message::new(format!("{name} {n}"));
                pending.push(publisher.send(&topic, message).await.unwrap());
            }
            for pending in pending {
                assert!(pending.await.unwrap().held.is_some());
            }
            publisher.close().await;
        });
    }
    while let Some(done) = publishing.join_next().await {
        done.unwrap();
    }
}

#[test]
fn a_drain_that_is_killed_again_and_again_loses_and_repeats_nothing() {
    let d = Deployment::new();
    let _index = d.index();
    let peer = d.peer("1");
    ok(&d, "publish T1 first --host 1");
    peer.kill();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(leave_all(&d));
    assert_eq!(show(&d, "held"), PUBLISHERS.len() * EACH);
    // In the first page, and behind it.
    d.peer("1").kill();
    let peer = d.peer("1");
    peer.wait_for("that the index held are in the log");
    peer.kill();
    let left = show(&d, "held").as_u64().unwrap();
    println!("{left} left");
    let _peer = d.peer("1");
    wait_open(&d);
    ok(&d, "publish T1 after --id 2");

    let read = json(&d, "pull T1 --from start --id eyes");
    let mut by: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut plain = vec![];
    for message in &read {
        let text = message["body"].as_str().unwrap();
        match text.split_once(' ') {
            Some((name, n)) => by.entry(name.into()).or_default().push(n.parse().unwrap()),
            None => plain.push(text),
        }
    }
    assert_eq!(plain, ["first", "after"]);
    for name in PUBLISHERS {
        assert_eq!(by[name], (0..EACH).collect::<Vec<_>>(), "{name}");
    }
    assert_eq!(read.len(), PUBLISHERS.len() * EACH + 2);
}
