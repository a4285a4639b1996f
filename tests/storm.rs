//! A publish storm with `kill -9` of the host and of the index in the middle of it: everything that
//! was acknowledged is there exactly once, in order.

#[path = "common/clients.rs"]
mod clients;
mod common;
#[path = "common/history.rs"]
mod history;
#[path = "common/storm.rs"]
mod storm;

use clients::{client, read_all, runtime};
use common::Deployment;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use storm::{Storm, TOPICS, given, seed};
use waypost::client::Client;
use waypost::types::TopicSettings;

/// More of them with `WAYPOST_TEST_KILLS`.
const KILLS: u64 = 50;

async fn create_topics(client: &Client) {
    for topic in TOPICS {
        let (topic, host) = (topic.parse().unwrap(), "host".parse().unwrap());
        client
            .create_topic(&topic, TopicSettings::default(), Some(&host))
            .await
            .unwrap();
    }
}

#[test]
fn nothing_acknowledged_is_lost_doubled_or_out_of_order() {
    let mut random = StdRng::seed_from_u64(seed());
    let deployment = Deployment::with_config(|config| {
        config["peer_node"]["segment_bytes"] = serde_json::json!(1 << 20);
    });
    let mut index = Some(deployment.index());
    let mut host = Some(deployment.peer("host"));
    let runtime = runtime();
    let reader = {
        let _inside = runtime.enter();
        client(&deployment, "reader")
    };
    runtime.block_on(create_topics(&reader));

    let storm = Storm::start(&deployment);
    let kills = given("WAYPOST_TEST_KILLS").unwrap_or(KILLS);
    for kill in 1..=kills {
        storm.wait_for(random.random_range(1..400), &format!("before kill {kill}"));
        // The host, mostly; the index; both.
        let (kill_host, kill_index) = match random.random_range(0..10) {
            0 => (false, true),
            1 | 2 => (true, true),
            _ => (true, false),
        };
        if let Some(host) = host.take_if(|_| kill_host) {
            host.kill();
        }
        if let Some(killed) = index.take_if(|_| kill_index) {
            killed.kill();
            index = Some(deployment.index());
        }
        host.get_or_insert_with(|| deployment.peer("host"));
    }
    let history = storm.end();
    let history = history.lock();
    runtime.block_on(async {
        for topic in TOPICS {
            let read = read_all(&reader, &topic.parse().unwrap()).await;
            assert!(!read.is_empty());
            history.check(topic, &read).unwrap();
        }
    });
    println!(
        "{} acknowledged, {kills} kills",
        history.acknowledged_count()
    );
    assert!(history.acknowledged_count() as u64 > kills);
    drop((index, host));
}
