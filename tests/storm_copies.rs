//! A publish storm on topics with two copies, while peers are killed and suspended: what was acknowledged
//! is there exactly once, in order, at every reader and in every copy.

#[path = "common/clients.rs"]
mod clients;
mod common;
#[path = "common/history.rs"]
mod history;
#[path = "common/storm.rs"]
mod storm;

use std::sync::Arc;

use clients::{client, read_all, runtime};
use common::{Deployment, PATIENCE, Process};
use history::{History, Sent, equal_copies};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use storm::{Storm, TOPICS, given, seed};
use waypost::client::{Client, FollowEvent, FollowOptions, ReadFrom};
use waypost::types::{PeerName, TopicName, TopicSettings};

/// More of them with `WAYPOST_TEST_FAULTS`.
const FAULTS: u64 = 25;
const PEERS: [&str; 4] = ["P1", "P2", "P3", "P4"];
const COPIES: u8 = 2;

fn topics() -> impl Iterator<Item = TopicName> {
    TOPICS.iter().map(|topic| topic.parse().unwrap())
}

async fn create_topics(client: &Client) {
    let settings = TopicSettings {
        replicas: COPIES,
        ..TopicSettings::default()
    };
    for (topic, host) in topics().zip(PEERS) {
        let host = host.parse().unwrap();
        client
            .create_topic(&topic, settings, Some(&host))
            .await
            .unwrap();
    }
}

async fn until_in_sync(client: &Client) {
    for topic in topics() {
        let shown = client.wait_in_sync(&topic, COPIES.into(), PATIENCE);
        let shown = shown.await.unwrap();
        assert_eq!(shown.in_sync.len(), usize::from(COPIES), "{shown:?}");
    }
}

/// Follows all topics for ever; offsets must rise by one, and all readers must see the same.
async fn follow(client: Client, history: Arc<Mutex<History>>) {
    let options = FollowOptions {
        from: ReadFrom::Start,
        ..FollowOptions::default()
    };
    let mut follower = client.follow(topics().collect(), options);
    let mut due = std::collections::HashMap::new();
    while let Some(event) = follower.next().await.unwrap() {
        let FollowEvent::Messages(delivery) = event else {
            continue;
        };
        let topic = delivery.topic.to_string();
        for message in delivery.messages() {
            let message = message.unwrap();
            let due = due.entry(topic.clone()).or_insert(1);
            assert_eq!(
                message.offset.0, *due,
                "a follower of {topic} skipped or repeated"
            );
            *due += 1;
            let sent = Sent::parse(&message.body).unwrap();
            let same = history.lock().observed(&topic, message.offset.0, sent);
            same.unwrap();
        }
    }
}

/// One fault, and its end. The others go on in the meantime, as acknowledgements show.
fn fault(
    deployment: &Deployment,
    peers: &mut [(&str, Process)],
    storm: &Storm,
    random: &mut StdRng,
    number: u64,
) {
    let at = random.random_range(0..peers.len());
    let name = peers[at].0;
    let acks = *[0, 1, 50, 400].choose(random).unwrap();
    match random.random_range(0..5) {
        0 => {
            let suspended = &peers[at].1;
            suspended.suspend();
            storm.wait_for(acks, &format!("while {name} is suspended (fault {number})"));
            suspended.resume();
        }
        _ => {
            let killed = std::mem::replace(&mut peers[at].1, deployment.spawn(["--version"]));
            killed.kill();
            storm.wait_for(acks, &format!("after {name} was killed (fault {number})"));
            peers[at].1 = deployment.peer(name);
        }
    }
}

#[test]
fn peers_die_and_nothing_acknowledged_is_lost() {
    let mut random = StdRng::seed_from_u64(seed());
    let deployment = Deployment::with_config(|config| {
        config["peer_node"]["segment_bytes"] = serde_json::json!(1 << 20);
    });
    let index = deployment.index();
    let mut peers: Vec<_> = PEERS.map(|name| (name, deployment.peer(name))).into();
    let runtime = runtime();
    let (reader, second) = {
        let _inside = runtime.enter();
        (client(&deployment, "reader"), client(&deployment, "second"))
    };
    runtime.block_on(async {
        create_topics(&reader).await;
        until_in_sync(&reader).await;
    });

    let storm = Storm::start(&deployment);
    let history = Arc::clone(&storm.history);
    let following = std::thread::spawn({
        let history = Arc::clone(&history);
        let runtime = self::runtime();
        let follower = {
            let _inside = runtime.enter();
            client(&deployment, "follower")
        };
        move || runtime.block_on(follow(follower, history))
    });
    let faults = given("WAYPOST_TEST_FAULTS").unwrap_or(FAULTS);
    for number in 1..=faults {
        storm.wait_for(
            random.random_range(1..400),
            &format!("before fault {number}"),
        );
        fault(&deployment, &mut peers, &storm, &mut random, number);
    }
    storm.end();
    runtime.block_on(async {
        until_in_sync(&reader).await;
        let acknowledged = history.lock().acknowledged_count();
        println!("{acknowledged} acknowledged, {faults} faults");
        for topic in topics() {
            let read = read_all(&reader, &topic).await;
            let sound = history.lock().check(topic.as_str(), &read);
            sound.unwrap();
            let host = second.show_topic(&topic).await.unwrap().info.host.unwrap();
            let moved = reader.move_topic(&topic, None, |_| ()).await.unwrap();
            let other = read_all(&second, &topic).await;
            let copies = [(host, read), (moved.to, other)];
            let copies = copies.map(|(host, read): (PeerName, Vec<_>)| (host.to_string(), read));
            equal_copies(topic.as_str(), copies).unwrap();
        }
    });
    assert!(!following.is_finished(), "the follower has failed");
    drop((index, peers));
}
