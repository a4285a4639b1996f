//! Reading back what is stored, verified and counted.

use super::Peers;
use super::lookup::check;
use crate::bench::error::BenchError;
use crate::bench::lanes::{Did, Lane};
use crate::bench::work::Topics;
use crate::client::{Client, PullOptions, ReadFrom};
use crate::types::{Offset, TopicName};

/// Reads topics from their start to their end, one after the other.
pub struct PullLane {
    client: Client,
    topics: Topics,
    /// Bytes of a body.
    size: usize,
    /// Messages in a topic.
    messages: u64,
    /// The topic that is read next.
    next: u64,
}

impl PullLane {
    /// One lane for each peer; they begin at different topics.
    pub fn all(peers: &Peers, topics: &Topics, size: usize, messages: u64) -> Vec<PullLane> {
        let share = topics.count / peers.clients.len().max(1) as u64;
        let lanes = peers
            .clients
            .iter()
            .zip(0..)
            .map(|(client, lane)| PullLane {
                client: client.clone(),
                topics: topics.clone(),
                size,
                messages,
                next: lane * share,
            });
        lanes.collect()
    }

    async fn pull(&self, topic: &TopicName, from: Offset) -> Result<Offset, BenchError> {
        let options = PullOptions {
            from: ReadFrom::Offset(from),
            ..PullOptions::default()
        };
        let pulled = self.client.pull(topic, &options).await;
        let delivery = pulled.map_err(BenchError::waypost("pulling"))?.delivery;
        // The first one's size stands for all: batches are verified by their checksums.
        if let Some(Ok(first)) = delivery.messages().next() {
            check("bytes of a body", self.size, first.body.len())?;
        }
        Ok(delivery.next)
    }
}

impl Lane for PullLane {
    /// Reads one topic to its end.
    async fn once(&mut self, _: u64) -> Result<Did, BenchError> {
        let topic = self.topics.name(self.next)?;
        self.next += 1;
        let mut next = Offset(1);
        while next <= Offset(self.messages) {
            let before = next;
            next = self.pull(&topic, before).await?;
            if next == before {
                check("messages stored", self.messages, before.0 - 1)?;
            }
        }
        Ok(Did {
            ops: self.messages,
            bytes: self.messages * self.size as u64,
        })
    }
}
