//! Publishers and a follower that go on whatever happens, and what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clients::{client, runtime};
use crate::common::{Deployment, PATIENCE, eventually};
use crate::history::{History, Sent};
use parking_lot::Mutex;
use waypost::client::{Client, FollowEvent, FollowOptions, Message, PublisherOptions, ReadFrom};
use waypost::types::TopicName;

const PUBLISHERS: usize = 2;
/// Messages of one publisher that are not answered yet.
const IN_FLIGHT: usize = 100;

#[derive(Default)]
struct Told {
    history: Arc<Mutex<History>>,
    acks: AtomicU64,
    reads: AtomicU64,
    stop: AtomicBool,
}

/// See the module.
pub struct Load {
    told: Arc<Told>,
    thread: std::thread::JoinHandle<()>,
}

impl Load {
    pub fn start(deployment: &Deployment, topics: &[&'static str]) -> Load {
        let told = Arc::new(Told::default());
        let topics = topics.to_vec();
        let runtime = runtime();
        let (publishers, follower) = {
            let _inside = runtime.enter();
            let publishers: Vec<Client> = (0..PUBLISHERS)
                .map(|i| client(deployment, &format!("publisher-{i}")))
                .collect();
            (publishers, client(deployment, "follower"))
        };
        let shared = Arc::clone(&told);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let following = tokio::spawn(follow(follower, topics.clone(), Arc::clone(&shared)));
                let mut publishing = tokio::task::JoinSet::new();
                for (i, client) in publishers.into_iter().enumerate() {
                    let name = format!("publisher-{i}");
                    publishing.spawn(publish(client, name, topics.clone(), Arc::clone(&shared)));
                }
                while let Some(done) = publishing.join_next().await {
                    done.unwrap();
                }
                if following.is_finished() {
                    following.await.unwrap();
                } else {
                    following.abort();
                }
            });
        });
        Load { told, thread }
    }

    /// Waits for `more` acknowledgements from now on.
    pub fn wait_for(&self, more: u64, when: &str) {
        let count = || self.told.acks.load(Ordering::Relaxed);
        let before = count();
        eventually(&format!("acknowledgements {when}"), || {
            (count() >= before + more).then_some(())
        });
    }

    /// Waits until the follower has read `more` messages from now on.
    pub fn wait_read(&self, more: u64, when: &str) {
        let count = || self.told.reads.load(Ordering::Relaxed);
        let before = count();
        eventually(&format!("messages followed {when}"), || {
            (count() >= before + more).then_some(())
        });
    }

    /// Stops the publishers when all that they sent is answered.
    pub fn end(self) -> Arc<Mutex<History>> {
        self.told.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        Arc::clone(&self.told.history)
    }
}

async fn publish(client: Client, name: String, topics: Vec<&'static str>, told: Arc<Told>) {
    let publisher = client.publisher(PublisherOptions {
        delivery_timeout: PATIENCE,
        hold: false,
        ..PublisherOptions::default()
    });
    let mut waiting = tokio::task::JoinSet::new();
    let mut number = 0;
    while !told.stop.load(Ordering::Relaxed) {
        number += 1;
        for topic in &topics {
            let topic = *topic;
            let sent = Sent {
                publisher: name.clone(),
                number,
            };
            told.history.lock().sent(topic, sent.clone());
            let message = Message::new(sent.body());
            let name: TopicName = topic.parse().unwrap();
            let pending = publisher.send(&name, message).await.unwrap();
            let told = Arc::clone(&told);
            waiting.spawn(async move {
                // An unknown outcome is allowed; the checker then takes either.
                if let Ok(receipt) = pending.await {
                    let offset = receipt.offset.0;
                    told.history
                        .lock()
                        .acknowledged(topic, sent, offset)
                        .unwrap();
                    told.acks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while waiting.len() > IN_FLIGHT {
            waiting.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(done) = waiting.join_next().await {
        done.unwrap();
    }
    client.close().await;
}

/// Reads everything once, in order, whoever hosts it.
async fn follow(client: Client, topics: Vec<&'static str>, told: Arc<Told>) {
    let names = topics.iter().map(|topic| topic.parse().unwrap()).collect();
    let options = FollowOptions {
        from: ReadFrom::Start,
        ..FollowOptions::default()
    };
    let mut follower = client.follow(names, options);
    let mut due: std::collections::HashMap<TopicName, u64> = std::collections::HashMap::new();
    while let Some(event) = follower.next().await.unwrap() {
        let FollowEvent::Messages(delivery) = event else {
            continue;
        };
        let next = due.entry(delivery.topic.clone()).or_insert(1);
        for message in delivery.messages() {
            let message = message.unwrap();
            assert_eq!(
                message.offset.0, *next,
                "{}: a gap or a repeat",
                delivery.topic
            );
            *next += 1;
            let sent = Sent::parse(&message.body).expect("a message of the load");
            let mut history = told.history.lock();
            history
                .observed(delivery.topic.as_str(), message.offset.0, sent)
                .unwrap();
            told.reads.fetch_add(1, Ordering::Relaxed);
        }
    }
}
