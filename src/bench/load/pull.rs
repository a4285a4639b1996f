//! Reading back what is stored, verified and counted.

use super::Peers;
use super::lookup::check;
use crate::bench::error::BenchError;
use crate::bench::lanes::{Did, Lane};
use crate::bench::work::Topics;
use crate::client::{Client, PullOptions, ReadFrom};

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
}

impl Lane for PullLane {
    /// Reads one topic to its end.
    async fn once(&mut self, _: u64) -> Result<Did, BenchError> {
        let topic = self.topics.name(self.next)?;
        self.next += 1;
        let options = PullOptions {
            from: ReadFrom::Start,
            max_bytes: u64::MAX,
            max_messages: self.messages,
            ..PullOptions::default()
        };
        let (mut stream, mut read) = (self.client.pull_stream(&topic, options), 0);
        while let Some(pulled) = stream
            .next()
            .await
            .map_err(BenchError::waypost("pulling"))?
        {
            // The first one's size stands for all: batches are verified by their checksums.
            if read == 0
                && let Some(Ok(first)) = pulled.delivery.messages().next()
            {
                check("bytes of a body", self.size, first.body.len())?;
            }
            read += pulled.delivery.count();
        }
        check("messages read", self.messages, read)?;
        Ok(Did {
            ops: self.messages,
            bytes: self.messages * self.size as u64,
        })
    }
}
