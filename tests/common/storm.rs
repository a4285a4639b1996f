//! Publishers that go on whatever is killed, and the history of what they were told.
#![allow(dead_code)] // each storm uses its part

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use waypost::client::{Client, Message, PublisherOptions};

use crate::clients::{client, runtime};
use crate::common::{Deployment, PATIENCE, eventually};
use crate::history::{History, Sent};

pub const PUBLISHERS: usize = 8;
pub const TOPICS: [&str; 4] = ["T1", "T2", "T3", "T4"];

/// One publisher: keeps some messages in flight to each topic until told to stop.
pub async fn publish(
    client: Client,
    name: String,
    history: Arc<Mutex<History>>,
    acks: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) {
    let publisher = client.publisher(PublisherOptions {
        delivery_timeout: PATIENCE,
        hold: false,
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

/// The publishers on a thread of their own, as one process of many tasks.
pub struct Storm {
    pub history: Arc<Mutex<History>>,
    acks: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Storm {
    pub fn start(deployment: &Deployment) -> Storm {
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

    pub fn acknowledged(&self) -> u64 {
        self.acks.load(Ordering::Relaxed)
    }

    /// Waits for `more` acknowledgements from now on.
    pub fn wait_for(&self, more: u64, when: &str) {
        let before = self.acknowledged();
        eventually(&format!("acknowledgements {when}"), || {
            (self.acknowledged() >= before + more).then_some(())
        });
    }

    /// Stops the publishers when all that they sent is answered.
    pub fn end(self) -> Arc<Mutex<History>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.history
    }
}

pub fn given(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

pub fn seed() -> u64 {
    let seed = given("WAYPOST_TEST_SEED").unwrap_or_else(rand::random);
    println!("WAYPOST_TEST_SEED={seed}");
    seed
}
