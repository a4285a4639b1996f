//! Topics with two copies, with real processes: what is acknowledged outlives any one peer, and publishers
//! and readers move to the next host by themselves.

#[path = "common/clients.rs"]
mod clients;
mod common;
#[path = "common/history.rs"]
mod history;
#[path = "replication/load.rs"]
mod load;

use clients::{client, read_all, runtime};
use common::{Deployment, Process, eventually};
use load::Load;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use waypost::client::{Client, PullOptions, ReadFrom};
use waypost::types::{PeerName, TopicName, TopicSettings};
use waypost::wire::index::ShownTopic;

const TOPICS: [&str; 3] = ["T1", "T2", "T3"];

/// An index, three peers and someone who looks.
struct Stage {
    deployment: Deployment,
    index: Option<Process>,
    peers: Vec<(String, Option<Process>)>,
    runtime: tokio::runtime::Runtime,
    eyes: Client,
}

fn name(topic: &str) -> TopicName {
    topic.parse().unwrap()
}

impl Stage {
    /// Each topic is hosted by `a` and has a second copy, which is in sync.
    fn new() -> Stage {
        let deployment = Deployment::with_config(|config| {
            config["peer_node"]["segment_bytes"] = serde_json::json!(1 << 20);
        });
        let index = deployment.index();
        let peers = ["a", "b", "c"].map(|name| {
            let peer = deployment.peer(name);
            (name.to_owned(), Some(peer))
        });
        let runtime = runtime();
        let eyes = {
            let _inside = runtime.enter();
            client(&deployment, "eyes")
        };
        let stage = Stage {
            deployment,
            index: Some(index),
            peers: peers.into(),
            runtime,
            eyes,
        };
        let host: PeerName = "a".parse().unwrap();
        for topic in TOPICS {
            let settings = TopicSettings::default();
            let topic = name(topic);
            let created = stage.eyes.create_topic(&topic, settings, Some(&host));
            stage.runtime.block_on(created).unwrap();
        }
        stage.wait_full("at first");
        stage
    }

    fn show(&self, topic: &str) -> Option<ShownTopic> {
        let name = name(topic);
        self.runtime.block_on(self.eyes.show_topic(&name)).ok()
    }

    fn wait_for(&self, what: &str, topic: &str, is: impl Fn(&ShownTopic) -> bool) -> ShownTopic {
        eventually(&format!("{topic}: {what}"), || {
            self.show(topic).filter(|shown| is(shown))
        })
    }

    /// Waits until every topic has two copies in sync.
    fn wait_full(&self, when: &str) {
        for topic in TOPICS {
            let full = |shown: &ShownTopic| shown.in_sync.len() >= 2 && shown.info.host_live;
            self.wait_for(&format!("two copies {when}"), topic, full);
        }
    }

    fn peer(&self, name: &str) -> &Process {
        let peer = self.peers.iter().find(|(known, _)| known == name);
        peer.and_then(|(_, peer)| peer.as_ref()).expect("it runs")
    }

    fn kill(&mut self, name: &str) {
        let peer = self.peers.iter_mut().find(|(known, _)| known == name);
        peer.and_then(|(_, peer)| peer.take())
            .expect("it runs")
            .kill();
    }

    fn start(&mut self, name: &str) {
        let started = self.deployment.peer(name);
        let peer = self.peers.iter_mut().find(|(known, _)| known == name);
        peer.expect("known").1 = Some(started);
    }

    fn restart_index(&mut self) {
        self.index.take().expect("it runs").kill();
        self.index = Some(self.deployment.index());
    }

    fn host_of(&self, topic: &str) -> Option<String> {
        Some(self.show(topic)?.info.host?.to_string())
    }

    /// The peer that keeps the second copy of a topic.
    fn replica_of(&self, topic: &str) -> String {
        let shown = self.show(topic).expect("shown");
        let host = shown.info.host;
        let other = shown
            .in_sync
            .iter()
            .find(|peer| Some(*peer) != host.as_ref());
        other.expect("a second copy").to_string()
    }

    /// Ends the load and holds what everybody was told against what is there.
    fn check(&self, load: Load) {
        let history = load.end();
        let history = history.lock();
        for topic in TOPICS {
            let read = self.runtime.block_on(read_all(&self.eyes, &name(topic)));
            assert!(!read.is_empty(), "{topic}");
            history.check(topic, &read).unwrap();
        }
        println!("{} acknowledged", history.acknowledged_count());
    }
}

#[test]
fn a_message_is_durable_on_both_copies() {
    let stage = Stage::new();
    let published = stage
        .deployment
        .run(["publish", "T1", "x", "--id", "writer"]);
    let told = published.ok();
    assert!(told.contains("durable on 2 of 2"), "{told}");
    let pulled = stage.deployment.run(["pull", "T1", "--id", "reader"]).ok();
    assert!(pulled.contains("1: x"), "{pulled}");
}

#[test]
fn a_killed_host_is_followed_by_another_and_comes_back_as_a_copy() {
    let mut stage = Stage::new();
    let load = Load::start(&stage.deployment, &TOPICS);
    load.wait_for(500, "before the host is killed");
    stage.kill("a");
    for topic in TOPICS {
        let moved = |shown: &ShownTopic| {
            let host = shown.info.host.as_ref().map(PeerName::to_string);
            shown.info.host_live && host.as_deref() != Some("a")
        };
        stage.wait_for("another host", topic, moved);
    }
    load.wait_for(500, "after the host was killed");
    load.wait_read(500, "after the host was killed");
    stage.start("a");
    stage.wait_full("when the old host has come back");
    load.wait_for(500, "when the old host has come back");
    stage.check(load);
}

#[test]
fn a_host_that_was_asleep_for_long_is_deposed_and_loses_nothing() {
    let stage = Stage::new();
    let load = Load::start(&stage.deployment, &TOPICS);
    load.wait_for(300, "before the host sleeps");
    stage.peer("a").suspend();
    let awake = |topic: &str| stage.host_of(topic).filter(|host| host != "a");
    for topic in TOPICS {
        eventually(&format!("another host of {topic}"), || awake(topic));
    }
    load.wait_for(300, "while the old host sleeps");
    stage.peer("a").resume();
    stage.wait_full("when the old host is awake");
    load.wait_for(300, "when the old host is awake");
    stage.check(load);
}

#[test]
fn a_killed_copy_holds_appends_up_for_a_moment_only() {
    let mut stage = Stage::new();
    let load = Load::start(&stage.deployment, &TOPICS);
    load.wait_for(300, "before the copy is killed");
    let replica = stage.replica_of("T1");
    stage.kill(&replica);
    load.wait_for(300, "without the copy");
    let alone = |shown: &ShownTopic| {
        let gone = replica.parse().unwrap();
        !shown.in_sync.contains(&gone)
    };
    stage.wait_for("the copy is out of the set", "T1", alone);
    load.wait_for(300, "with what is left");
    stage.start(&replica);
    stage.wait_full("when the copy has come back");
    load.wait_for(300, "when the copy has come back");
    stage.check(load);
}

#[test]
fn positions_and_what_producers_sent_outlive_the_host() {
    let mut stage = Stage::new();
    let run = |stage: &Stage, line: &str| stage.deployment.run(line.split(' ')).ok();
    run(&stage, "publish T1 one --id writer");
    let pulled = run(&stage, "pull T1 --id reader");
    assert!(pulled.contains("1: one"), "{pulled}");
    run(&stage, "publish T1 two --id writer");
    stage.kill("a");
    let pulled = run(&stage, "pull T1 --id reader");
    assert!(!pulled.contains("1: one"), "{pulled}");
    assert!(pulled.contains("2: two"), "{pulled}");
    run(&stage, "publish T1 three --id writer");
    let options = PullOptions {
        from: ReadFrom::Start,
        ..PullOptions::default()
    };
    let topic = name("T1");
    let all = stage.eyes.pull(&topic, &options);
    let all = stage.runtime.block_on(all).unwrap();
    assert_eq!(all.delivery.messages().count(), 3);
}

#[test]
fn a_planned_move_keeps_the_order() {
    let stage = Stage::new();
    let load = Load::start(&stage.deployment, &TOPICS);
    load.wait_for(300, "before the move");
    for to in ["b", "c", "a"] {
        for topic in TOPICS {
            let (topic, peer) = (name(topic), to.parse().unwrap());
            let moved = stage.eyes.move_topic(&topic, Some(&peer), |_| {});
            stage.runtime.block_on(moved).unwrap();
            assert_eq!(stage.host_of(topic.as_str()).as_deref(), Some(to));
        }
        load.wait_for(300, &format!("at {to}"));
    }
    stage.check(load);
}

/// More of them with `WAYPOST_TEST_KILLS`; the order with `WAYPOST_TEST_SEED`.
const TROUBLES: u64 = 8;

#[test]
fn whoever_is_killed_or_asleep_nothing_acknowledged_is_lost() {
    let given = |variable: &str| std::env::var(variable).ok()?.parse::<u64>().ok();
    let seed = given("WAYPOST_TEST_SEED").unwrap_or_else(rand::random);
    println!("WAYPOST_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut stage = Stage::new();
    let load = Load::start(&stage.deployment, &TOPICS);
    for trouble in 1..=given("WAYPOST_TEST_KILLS").unwrap_or(TROUBLES) {
        let messages = random.random_range(1..300);
        load.wait_for(messages, &format!("before trouble {trouble}"));
        let peer = ["a", "b", "c"][random.random_range(0..3)];
        match random.random_range(0..8) {
            0 => stage.restart_index(),
            1 | 2 => {
                stage.peer(peer).suspend();
                // Where it has the only copy that is in sync, the topic waits for it.
                let moved = |shown: &ShownTopic| {
                    let host = shown.info.host.as_ref().map(PeerName::to_string);
                    host.as_deref() != Some(peer) || shown.in_sync.len() == 1
                };
                stage.wait_for("another host, if there can be one", "T1", moved);
                stage.peer(peer).resume();
            }
            3 => {
                let other = ["b", "c", "a"][random.random_range(0..3)];
                stage.kill(peer);
                if other != peer {
                    stage.kill(other);
                    stage.start(other);
                }
                stage.start(peer);
            }
            // The others do without it, if they can.
            4 => {
                stage.wait_full("before one does without");
                stage.kill(peer);
                load.wait_for(messages, &format!("without {peer}"));
                stage.start(peer);
            }
            _ => {
                stage.kill(peer);
                stage.start(peer);
            }
        }
    }
    stage.wait_full("after all troubles");
    load.wait_for(100, "after all troubles");
    stage.check(load);
}
