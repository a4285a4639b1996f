//! Follow: messages of any number of topics as they become durable, across loss of hosts and index.
//!
//! An engine task owns one [`cursor::Cursor`] per topic and one stream per host. What went wrong
//! with a topic sends it back to finding its route; its cursor stays, so nothing is delivered twice
//! and nothing is left out.

mod cursor;
mod engine;
mod stream;

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Client;
use super::error::ClientError;
use super::message::Delivery;
use super::pull::Position;
use crate::types::{Group, Offset, TopicId, TopicName};
use crate::wire::peer::ReadFrom;

/// Events that wait for the application; behind them flow control holds the hosts back.
const EVENTS: usize = 16;

/// What to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowOptions {
    /// Where to start; after a loss it goes on where it stood.
    pub from: ReadFrom,
    /// The consumer group whose position is used.
    pub group: Group,
    /// Whether to wait for topics that do not exist (yet, or any more); otherwise it is an error.
    pub wait_for_topic: bool,
    /// Bytes per topic that a host may send ahead of the application.
    pub credit_bytes: u64,
}

impl Default for FollowOptions {
    fn default() -> Self {
        FollowOptions {
            from: ReadFrom::Position(Group::default()),
            group: Group::default(),
            wait_for_topic: true,
            credit_bytes: 4 << 20,
        }
    }
}

/// What a [`Follower`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowEvent {
    /// New messages, in order and without gaps within a topic.
    Messages(Delivery),
    /// The topic is being followed (again), from `next` on.
    Joined {
        /// The topic.
        topic: TopicName,
        /// The next offset that will come.
        next: Offset,
        /// The end of the topic now.
        end: Offset,
    },
    /// The topic cannot be followed right now; it is tried again and again.
    Waiting {
        /// The topic.
        topic: TopicName,
        /// For what.
        why: String,
    },
    /// Retention took messages before they were read.
    Skipped {
        /// The topic.
        topic: TopicName,
        /// The first one missing.
        from: Offset,
        /// The first one that is there.
        to: Offset,
    },
    /// The topic was deleted.
    Deleted {
        /// The topic.
        topic: TopicName,
    },
}

/// The position of one followed topic as last seen.
#[derive(Debug, Clone, Copy)]
struct Standing {
    topic: TopicId,
    sequence: u64,
}

type Standings = Arc<Mutex<HashMap<TopicName, Standing>>>;

/// Follows topics. Dropping it ends the streams.
pub struct Follower {
    events: mpsc::Receiver<Result<FollowEvent, ClientError>>,
    committer: Committer,
}

impl Client {
    /// Starts to follow `topics`. Must be called within a tokio runtime.
    ///
    /// ```no_run
    /// # async fn example(client: waypost::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use waypost::client::{FollowEvent, FollowOptions};
    ///
    /// let mut follower = client.follow(vec!["T1".parse()?], FollowOptions::default());
    /// while let Some(event) = follower.next().await? {
    ///     if let FollowEvent::Messages(delivery) = event {
    ///         for message in delivery.messages() {
    ///             println!("{:?}", message?.body);
    ///         }
    ///         follower.commit(&delivery.topic, delivery.next).await?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn follow(&self, topics: Vec<TopicName>, options: FollowOptions) -> Follower {
        let (sender, events) = mpsc::channel(EVENTS);
        let standings = Standings::default();
        let group = options.group.clone();
        let engine = engine::Engine::new(self.clone(), options, sender, Arc::clone(&standings));
        tokio::spawn(engine.run(topics));
        let committer = Committer {
            client: self.clone(),
            group,
            standings,
        };
        Follower { events, committer }
    }
}

impl Follower {
    /// The next event; `None` when every topic has ended. Cancellation safe.
    pub async fn next(&mut self) -> Result<Option<FollowEvent>, ClientError> {
        self.events.recv().await.transpose()
    }

    /// Moves the position of a followed topic to `next`, durably. Cancellation: the position may or
    /// may not have moved.
    pub async fn commit(&self, topic: &TopicName, next: Offset) -> Result<(), ClientError> {
        self.committer.commit(topic, next).await
    }

    /// What commits beside the reading, so that a host that is slow to commit holds up nothing.
    pub fn committer(&self) -> Committer {
        self.committer.clone()
    }
}

/// Commits positions of a [`Follower`]'s topics.
#[derive(Clone)]
pub struct Committer {
    client: Client,
    group: Group,
    standings: Standings,
}

impl Committer {
    /// As [`Follower::commit`].
    pub async fn commit(&self, topic: &TopicName, next: Offset) -> Result<(), ClientError> {
        let standing = self.standings.lock().get(topic).copied();
        let Some(Standing {
            topic: id,
            sequence,
        }) = standing
        else {
            return Ok(());
        };
        let position = Position {
            next,
            sequence: sequence + 1,
        };
        let group = &self.group;
        let now = self
            .client
            .commit_position(topic, id, group, position, false)
            .await?;
        if let Some(standing) = self
            .standings
            .lock()
            .get_mut(topic)
            .filter(|s| s.topic == id)
        {
            standing.sequence = standing.sequence.max(now.sequence);
        }
        Ok(())
    }
}
