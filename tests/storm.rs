//! A publish storm with `kill -9` of the host and of the index in the middle of it: everything that
//! was acknowledged is there exactly once, in order.

mod common;
#[path = "common/history.rs"]
mod history;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{Deployment, PATIENCE, eventually};
use history::{History, Sent};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use waypost::client::{
    Client, ClientOptions, IndexAddress, Message, PublisherOptions, PullOptions, ReadFrom,
};
use waypost::transport::{Identity, KnownIndex};
use waypost::types::{TopicName, TopicSettings};

/// More of them with `WAYPOST_TEST_KILLS`.
const KILLS: u64 = 50;
const PUBLISHERS: usize = 8;
const TOPICS: [&str; 4] = ["T1", "T2", "T3", "T4"];

fn client(deployment: &Deployment, name: &str) -> Client {
    let certs = deployment.path().join("certs");
    let (identity, _) = Identity::load_or_create(&certs, name).unwrap();
    let index: IndexAddress = format!("127.0.0.1:{}", deployment.port).parse().unwrap();
    let mut options = ClientOptions::new(identity, name.parse().unwrap(), index);
    options.known_index = Some(KnownIndex::new(&certs));
    options.host_patience = PATIENCE;
    options.index_patience = PATIENCE;
    Client::new(options).unwrap()
}

/// One publisher: keeps some messages in flight to each topic until told to stop.
async fn publish(
    client: Client,
    name: String,
    history: Arc<Mutex<History>>,
    acks: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) {
    let publisher = client.publisher(PublisherOptions {
        delivery_timeout: PATIENCE,
        ..PublisherOptions::default()
    });
    let mut waiting = tokio::task::JoinSet::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        for topic in TOPICS {
            let sent = Sent {
                publisher: name.clone(),
                number,
            };
            history.lock().sent(topic, sent.clone());
            let message = Message::new(sent.body());
            let pending = publisher
                .send(&topic.parse().unwrap(), message)
                .await
                .unwrap();
            let (history, acks) = (Arc::clone(&history), Arc::clone(&acks));
            waiting.spawn(async move {
                // An unknown outcome is allowed; the checker then takes either.
                if let Ok(receipt) = pending.await {
                    let told = history.lock().acknowledged(topic, sent, receipt.offset.0);
                    told.unwrap();
                    acks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while waiting.len() > 200 {
            waiting.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(done) = waiting.join_next().await {
        done.unwrap();
    }
    client.close().await;
}

async fn read_all(client: &Client, topic: &TopicName) -> Vec<(u64, Vec<u8>)> {
    let mut read = vec![];
    let mut options = PullOptions {
        from: ReadFrom::Start,
        ..PullOptions::default()
    };
    loop {
        let pulled = client.pull(topic, &options).await.unwrap();
        if pulled.delivery.is_empty() {
            return read;
        }
        for message in pulled.delivery.messages() {
            let message = message.unwrap();
            read.push((message.offset.0, message.body.to_vec()));
        }
        options.from = ReadFrom::Offset(pulled.delivery.next);
    }
}

/// The publishers on a thread of their own, as one process of many tasks.
struct Storm {
    history: Arc<Mutex<History>>,
    acks: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Storm {
    fn start(deployment: &Deployment) -> Storm {
        let history = Arc::new(Mutex::new(History::default()));
        let acks = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let runtime = runtime();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|i| {
                let _inside = runtime.enter();
                let name = format!("publisher-{i}");
                let client = client(deployment, &name);
                let (history, acks) = (Arc::clone(&history), Arc::clone(&acks));
                runtime.spawn(publish(client, name, history, acks, Arc::clone(&stop)))
            })
            .collect();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                for publisher in publishers {
                    publisher.await.unwrap();
                }
            });
        });
        Storm {
            history,
            acks,
            stop,
            thread,
        }
    }

    fn acknowledged(&self) -> u64 {
        self.acks.load(Ordering::Relaxed)
    }

    /// Waits for `more` acknowledgements from now on.
    fn wait_for(&self, more: u64, when: &str) {
        let before = self.acknowledged();
        eventually(&format!("acknowledgements {when}"), || {
            (self.acknowledged() >= before + more).then_some(())
        });
    }

    /// Stops the publishers when all that they sent is answered.
    fn end(self) -> Arc<Mutex<History>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.history
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn given(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn seed() -> u64 {
    let seed = given("WAYPOST_TEST_SEED").unwrap_or_else(rand::random);
    println!("WAYPOST_TEST_SEED={seed}");
    seed
}

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
