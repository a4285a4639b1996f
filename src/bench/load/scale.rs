//! Evaluation 3: to register, to create, to publish and to retrieve, by many peers at once.

use bytes::Bytes;

use super::Peers;
use super::lookup::check;
use super::peers::registered;
use crate::bench::error::BenchError;
use crate::bench::lanes::{Did, Lane};
use crate::bench::work::{Target, Topics};
use crate::client::{Client, Message, Publisher, PublisherOptions, PullOptions, ReadFrom};
use crate::types::{Offset, PeerName, TopicName, TopicSettings};

/// Registers one new peer.
pub struct RegisterLane {
    target: Target,
    name: PeerName,
    /// The peer, once it is there.
    pub client: Option<Client>,
}

impl RegisterLane {
    /// A lane for each name.
    pub fn all(target: &Target) -> Vec<RegisterLane> {
        let lane = |name: &PeerName| RegisterLane {
            target: target.clone(),
            name: name.clone(),
            client: None,
        };
        target.names.iter().map(lane).collect()
    }
}

impl Lane for RegisterLane {
    async fn once(&mut self, _: u64) -> Result<Did, BenchError> {
        self.client = Some(registered(&self.target, &self.name).await?);
        Ok(Did { ops: 1, bytes: 0 })
    }
}

/// Creates topics, one at a time.
pub struct CreateLane {
    client: Client,
    prefix: String,
    host: Option<PeerName>,
    /// Topics created so far, in all runs.
    made: u64,
}

impl CreateLane {
    /// A lane for each peer.
    pub fn all(peers: &Peers, prefix: &str, hosts: &[PeerName]) -> Vec<CreateLane> {
        let lanes = peers
            .clients
            .iter()
            .enumerate()
            .map(|(lane, client)| CreateLane {
                client: client.clone(),
                prefix: format!("{prefix}{lane}-{:08x}-", rand::random::<u32>()),
                host: hosts.get(lane % hosts.len().max(1)).cloned(),
                made: 0,
            });
        lanes.collect()
    }
}

impl Lane for CreateLane {
    async fn once(&mut self, _: u64) -> Result<Did, BenchError> {
        let name = TopicName::new(&format!("{}{}", self.prefix, self.made))
            .map_err(|error| BenchError::Usage(error.to_string()))?;
        let settings = TopicSettings::default();
        let created = self
            .client
            .create_topic(&name, settings, self.host.as_ref())
            .await;
        created.map_err(BenchError::waypost("creating a topic"))?;
        self.made += 1;
        Ok(Did { ops: 1, bytes: 0 })
    }
}

/// Retrieves one message; or publishes one and retrieves that.
pub struct RetrieveLane {
    client: Client,
    publisher: Option<Publisher>,
    topic: TopicName,
    body: Bytes,
}

impl RetrieveLane {
    /// A lane for each peer, each with a topic of its own, which has a message unless `publish`.
    pub fn all(
        peers: &Peers,
        topics: &Topics,
        size: usize,
        publish: bool,
    ) -> Result<Vec<RetrieveLane>, BenchError> {
        let lane = |(client, number): (&Client, u64)| {
            let publisher = || client.publisher(PublisherOptions::default());
            Ok(RetrieveLane {
                publisher: publish.then(publisher),
                client: client.clone(),
                topic: topics.name(number)?,
                body: Bytes::from(vec![b'x'; size]),
            })
        };
        peers.clients.iter().zip(0..).map(lane).collect()
    }
}

impl Lane for RetrieveLane {
    async fn once(&mut self, _: u64) -> Result<Did, BenchError> {
        let mut from = Offset(1);
        if let Some(publisher) = &self.publisher {
            let message = Message::new(self.body.clone());
            let receipt = publisher.publish(&self.topic, message).await;
            from = receipt.map_err(BenchError::waypost("publishing"))?.offset;
        }
        let options = PullOptions {
            from: ReadFrom::Offset(from),
            max_messages: 1,
            ..PullOptions::default()
        };
        let pulled = self.client.pull(&self.topic, &options).await;
        let pulled = pulled.map_err(BenchError::waypost("pulling"))?;
        check("messages pulled", 1, pulled.delivery.messages().count())?;
        Ok(Did {
            ops: 1,
            bytes: self.body.len() as u64,
        })
    }
}
