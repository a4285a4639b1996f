//! Pull: what is new since a position, at once or piece by piece; and setting positions.

use std::time::Duration;

mod host_pull;
mod stream;

use super::Client;
use super::error::ClientError;
use super::hosts::Doing;
use super::message::Delivery;
use crate::limits;
use crate::transport::{CallError, Connection};
use crate::types::{Group, Offset, TopicId, TopicName};
use crate::wire::ErrorReply;
use crate::wire::batch::BatchError;
use crate::wire::index::Route;
use crate::wire::peer::{Commit, PositionValue, PullStarted, ReadFrom, TopicState, TopicStatus};
pub(super) use host_pull::split_batches;
use host_pull::{HostPull, Verified};
pub use stream::PullStream;

/// A position in a topic: what is read next, and the sequence of the commit that set it.
pub type Position = PositionValue;

/// What to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullOptions {
    /// Where to start.
    pub from: ReadFrom,
    /// The consumer group whose position is read and later committed.
    pub group: Group,
    /// Messages at most.
    pub max_messages: u64,
    /// Bytes of batches at most, about; at least one batch comes if there is one.
    pub max_bytes: u64,
    /// How long to wait for a first message.
    pub wait: Duration,
}

impl Default for PullOptions {
    /// Everything since the default group's position, without waiting; at most [`limits::PULL_BYTES`] at a
    /// time.
    fn default() -> Self {
        PullOptions {
            from: ReadFrom::Position(Group::default()),
            group: Group::default(),
            max_messages: u64::MAX,
            max_bytes: limits::PULL_BYTES,
            wait: Duration::ZERO,
        }
    }
}

/// What a pull brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The messages.
    pub delivery: Delivery,
    /// The position as it was before; `None`: none was set yet.
    pub position: Option<Position>,
    /// Earliest offset kept.
    pub start: Offset,
    /// The group that was read.
    pub group: Group,
    /// The id of the topic that was read: a position is set for this life of the topic only.
    pub topic: TopicId,
}

impl Client {
    /// Reads what is there. The position stays until [`Client::commit`]. Repeats itself when the
    /// host is lost in the middle. Cancellation safe: nothing is changed anywhere.
    pub async fn pull(
        &self,
        topic: &TopicName,
        options: &PullOptions,
    ) -> Result<Pulled, ClientError> {
        let raw = self
            .on_host(
                topic,
                pulling(topic),
                options.wait,
                |connection, route| async move { pull_once(&connection, &route, topic, options).await },
            )
            .await?;
        raw.into_pulled(options)
            .map_err(|source| ClientError::BadData {
                topic: topic.clone(),
                source,
            })
    }

    /// Moves the position behind what was pulled. Answers the position as it stands then, which is
    /// another one if someone else of the same identity and group was further on.
    pub async fn commit(
        &self,
        topic: &TopicName,
        pulled: &Pulled,
    ) -> Result<Position, ClientError> {
        let sequence = pulled.position.map_or(0, |position| position.sequence);
        let position = Position {
            next: pulled.delivery.next,
            sequence: sequence + 1,
        };
        self.commit_position(topic, pulled.topic, &pulled.group, position, false)
            .await
    }

    /// Sets a position; `reset` allows it to go back. If another writer was later (its sequence is
    /// at or above ours) but lies behind, the commit is sent once more above its sequence.
    pub async fn commit_position(
        &self,
        topic: &TopicName,
        id: TopicId,
        group: &Group,
        position: Position,
        reset: bool,
    ) -> Result<Position, ClientError> {
        let mut wanted = position;
        let mut before = None;
        loop {
            let standing = self.commit_once(topic, id, group, wanted, reset).await?;
            if is_settled(wanted, standing, before, reset) {
                return Ok(standing);
            }
            before = Some(standing.next);
            wanted.sequence = standing.sequence.saturating_add(1);
        }
    }

    async fn commit_once(
        &self,
        topic: &TopicName,
        id: TopicId,
        group: &Group,
        position: Position,
        reset: bool,
    ) -> Result<Position, ClientError> {
        let doing = Doing {
            what: "committing the position in",
            topic,
        };
        let committed = self
            .on_host(
                topic,
                doing,
                Duration::ZERO,
                |connection, route| async move {
                    let request = Commit {
                        topic: id,
                        epoch: route.epoch,
                        group: group.clone(),
                        position,
                        reset,
                    };
                    connection.request(&request).await
                },
            )
            .await?;
        Ok(committed.position)
    }

    /// The state of a topic at its host, with the caller's position in `group`.
    pub async fn topic_state(
        &self,
        topic: &TopicName,
        group: &Group,
    ) -> Result<TopicState, ClientError> {
        let doing = Doing {
            what: "asking for the state of",
            topic,
        };
        self.on_host(
            topic,
            doing,
            Duration::ZERO,
            |connection, route| async move {
                let request = TopicStatus {
                    topics: vec![(route.topic, group.clone())],
                };
                let reply = connection.request(&request).await?;
                let state = reply.topics.first().copied().flatten();
                state.ok_or_else(|| {
                    let detail = "the peer does not host the topic";
                    CallError::Remote(ErrorReply::new(crate::wire::ErrorCode::NotHost, detail))
                })
            },
        )
        .await
    }
}

fn pulling(topic: &TopicName) -> Doing<'_> {
    Doing {
        what: "pulling from",
        topic,
    }
}

/// Whether a commit needs no other try. `before`: where the try before it left the position.
fn is_settled(wanted: Position, standing: Position, before: Option<Offset>, reset: bool) -> bool {
    let overtaken = standing.sequence >= wanted.sequence && standing != wanted;
    // A host moves what lies outside of the topic to its edge. Once may have been another writer with
    // our sequence; the same place again, under the next sequence, is the edge.
    let at_edge = standing.sequence == wanted.sequence && before == Some(standing.next);
    !overtaken || at_edge || (standing.next >= wanted.next && !reset)
}

/// What came over the wire.
struct RawPull {
    started: PullStarted,
    topic: TopicId,
    delivery: Verified,
}

impl RawPull {
    fn into_pulled(self, options: &PullOptions) -> Result<Pulled, BatchError> {
        let mut delivery = self.delivery?;
        // Batches come whole; what is over the wish is left for the next pull.
        delivery.limit(options.max_messages);
        Ok(Pulled {
            delivery,
            position: self.started.position,
            start: self.started.start,
            group: options.group.clone(),
            topic: self.topic,
        })
    }
}

async fn pull_once(
    connection: &Connection,
    route: &Route,
    topic: &TopicName,
    options: &PullOptions,
) -> Result<RawPull, CallError> {
    let mut pull = HostPull::open(connection, route, topic, options).await?;
    let delivery = Delivery::at(topic, pull.started.from, pull.started.end);
    // What is asked for, and a batch that begins within it.
    let most = options.max_bytes.saturating_add(limits::FRAME_BYTES as u64);
    let delivery = read_all(&mut pull, delivery, most).await?;
    Ok(RawPull {
        started: pull.started,
        topic: route.topic,
        delivery,
    })
}

async fn read_all(
    pull: &mut HostPull,
    mut all: Delivery,
    most: u64,
) -> Result<Verified, CallError> {
    let mut bytes = 0;
    while let Some(verified) = pull.next().await? {
        let Ok(came) = verified else {
            return Ok(verified);
        };
        bytes += came.bytes();
        within(bytes, most)?;
        all.join(came);
    }
    Ok(Ok(all))
}

/// A host must not fill our memory.
fn within(bytes: u64, most: u64) -> Result<(), CallError> {
    if bytes <= most {
        return Ok(());
    }
    let detail = format!("the host sent {bytes} bytes where {most} were the most");
    let code = crate::wire::ErrorCode::TooLarge;
    Err(CallError::Remote(ErrorReply::new(code, detail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(next: u64, sequence: u64) -> Position {
        Position {
            next: Offset(next),
            sequence,
        }
    }

    #[test]
    fn a_position_moved_to_the_edge_of_the_topic_is_not_sent_for_ever() {
        for reset in [true, false] {
            assert!(!is_settled(at(50, 1), at(20, 1), None, reset));
            let before = Some(Offset(20));
            assert!(is_settled(at(50, 2), at(20, 2), before, reset));
        }
        // Retention took what was to be read again.
        assert!(!is_settled(at(5, 1), at(20, 1), None, true));
        assert!(is_settled(at(5, 2), at(20, 2), Some(Offset(20)), true));
    }

    #[test]
    fn a_host_that_sends_without_end_is_left() {
        assert!(within(10, 10).is_ok());
        let error = within(11, 10).unwrap_err();
        assert_eq!(error.retry(), crate::wire::Retry::Never);
    }

    #[test]
    fn an_overtaken_commit_is_sent_again() {
        assert!(is_settled(at(9, 3), at(9, 3), None, false));
        assert!(is_settled(at(9, 3), at(12, 7), None, false));
        assert!(!is_settled(at(9, 3), at(5, 7), None, false));
        assert!(!is_settled(at(9, 3), at(12, 7), None, true));
        assert!(!is_settled(at(9, 8), at(5, 9), Some(Offset(5)), false));
    }
}
