//! The publisher: batches, pipelines, and sends again without gap or repeat.
//!
//! | module | subject |
//! |---|---|
//! | `batches` | messages that gather, and batches that are sealed (pure) |
//! | `topic` | what one topic does next: find its host, send, recover (pure) |
//! | `answers` | what an answer or a lost stream means for one topic (pure) |
//! | `tickets` | what is under way on which stream, and whose turn it is (pure) |
//! | `core` | all topics and their timers (pure) |
//! | `waiters` | who waits for the messages of a batch, and their answer |
//! | `account` | what `flush` waits for |
//! | `shared` | the core behind a lock: messages come in, answers go out |
//! | `handle` | what the clones of a publisher share |
//! | `shell` | the task that does what the core decides |
//! | `mailbox` | the queue into a task |
//! | `find` | finds hosts, creates missing topics |
//! | `holding` | messages left with the index while no host is there (pure) |
//! | `links` | one append stream per host |
//!
//! Guarantees: a message whose [`Pending`] answers with a [`Receipt`] is in the log exactly once (of a
//! held one: will be, once a host has come);
//! messages of one topic are there in the order of [`Publisher::send`]. Each batch is sent again
//! under its own sequences until the host answers, however often the host, its address or the
//! connection changes; the host drops what it has already. Where it cannot be known whether a
//! message was taken, its answer is [`ClientError::OutcomeUnknown`], and it is never sent again
//! under other sequences.

mod account;
mod answers;
mod batches;
mod core;
#[cfg(test)]
mod core_tests;
#[cfg(test)]
mod fake_host;
mod find;
mod handle;
mod holding;
#[cfg(test)]
mod holding_tests;
mod links;
mod mailbox;
#[cfg(test)]
mod quic_tests;
#[cfg(test)]
mod rig;
mod shared;
mod shell;
#[cfg(test)]
mod simulation;
mod tickets;
mod topic;
mod waiters;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;

use super::Client;
use super::error::ClientError;
use super::message::Message;
use crate::limits;
use crate::types::{Epoch, Offset, PeerName, TopicName, TopicSettings};
use crate::wire::batch::{BatchBuilder, Record};
use crate::wire::index::HostAddress;
use crate::wire::index::copies::HeldInfo;
use crate::wire::peer::Achieved;

/// How a [`Publisher`] batches and how long it tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherOptions {
    /// How long a batch waits for more messages. 0: it goes at once while the topic's window has room
    /// and not too many small batches are under way to the host; what gathers meanwhile goes together.
    pub linger: Duration,
    /// Bytes of a batch at which it is full; a larger message gets a batch of its own.
    pub batch_bytes: usize,
    /// Messages of a batch at which it is full. 1: each message is a batch, and a frame.
    pub batch_messages: u32,
    /// Batches of one topic that are sent and not answered; at most
    /// [`limits::RANGES_PER_PRODUCER`], which is what a host remembers for dedupe.
    pub in_flight: usize,
    /// Bytes of all messages that are not answered; [`Publisher::send`] waits for room.
    pub buffer_bytes: usize,
    /// How long a message may go unanswered before it fails.
    pub delivery_timeout: Duration,
    /// Creates topics that do not exist, with these settings.
    pub create_missing: Option<TopicSettings>,
    /// The peer that is to host created topics; `None`: as the index chooses.
    pub host: Option<PeerName>,
    /// While no peer that could host the topic is live, messages are left with the index, within its
    /// quotas; [`Receipt::held`] tells. `false`: they wait for a host.
    pub hold: bool,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        PublisherOptions {
            linger: Duration::ZERO,
            batch_bytes: 64 << 10,
            batch_messages: limits::BATCH_MESSAGES,
            in_flight: 256,
            buffer_bytes: 32 << 20,
            delivery_timeout: Duration::from_secs(30),
            create_missing: None,
            host: None,
            hold: true,
        }
    }
}

impl PublisherOptions {
    /// The options with every value inside what is possible.
    fn bounded(mut self) -> Self {
        let most = match self.hold {
            // What a host might not be there to take must fit into what the index holds.
            true => limits::HELD_BATCH_BYTES as usize,
            false => limits::BATCH_BYTES,
        };
        self.batch_bytes = self.batch_bytes.min(most);
        self.batch_messages = self.batch_messages.clamp(1, limits::BATCH_MESSAGES);
        self.in_flight = self.in_flight.clamp(1, limits::RANGES_PER_PRODUCER);
        self.buffer_bytes = self.buffer_bytes.clamp(1, limits::PUBLISH_BUFFER_BYTES);
        self
    }
}

/// Where a message is in its topic, and what was achieved for it.
///
/// One that the index holds is in no log yet: it is durable at the index alone, and will be appended,
/// once, before the topic takes anything else. Until then its offset is 0, which no message has, and
/// [`Receipt::achieved`] is none of none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The topic.
    pub topic: TopicName,
    /// The message's offset.
    pub offset: Offset,
    /// The epoch it was sent under.
    pub epoch: Epoch,
    /// Whether the host had it already from an earlier try.
    pub duplicate: bool,
    /// On how many of the wanted copies it is durable.
    pub achieved: Achieved,
    /// The peers that are known to hold it durably.
    pub peers: Arc<[PeerName]>,
    /// The host that took it; of a held one, the host that is away.
    pub host: Arc<HostAddress>,
    /// What the index holds of the topic, this message included. `None`: a host has taken it.
    pub held: Option<HeldInfo>,
}

/// What a publisher is waiting for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The topic whose messages wait.
    pub topic: TopicName,
    /// Why, one sentence for people.
    pub why: String,
}

/// Publishes messages. Clones share batches, connections and the buffer.
///
/// Messages of one topic are appended in the order in which [`Publisher::send`] took them; topics
/// do not wait for each other. When the last clone is dropped, what was sent is still delivered in
/// the background, as long as the runtime lives; [`Publisher::close`] waits for it.
///
/// ```no_run
/// # async fn example(client: waypost::client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use waypost::client::{Message, PublisherOptions};
///
/// let publisher = client.publisher(PublisherOptions::default());
/// let topic = "T1".parse()?;
///
/// // One message, acknowledged when durable.
/// let receipt = publisher.publish(&topic, Message::new("Hello")).await?;
/// println!("offset {} on {}", receipt.offset, receipt.host.name);
///
/// // Many messages: they travel in batches, many in flight.
/// for n in 0..1_000 {
///     publisher.send(&topic, Message::new(format!("message {n}"))).await?;
/// }
/// publisher.flush().await?;
/// publisher.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<handle::Handle>,
}

impl Client {
    /// A publisher. It connects to nobody before the first message.
    ///
    /// # Panics
    /// Outside of a tokio runtime: the publisher is a task there.
    pub fn publisher(&self, options: PublisherOptions) -> Publisher {
        Publisher {
            shared: Arc::new(shell::start(self.clone(), options.bounded())),
        }
    }
}

impl Publisher {
    /// Queues a message, waiting only for room in the buffer. The answer comes through the
    /// [`Pending`]; dropping that does not cancel the message.
    ///
    /// Cancellation safe: cancelled, the message is not queued; returned, it is.
    ///
    /// ```no_run
    /// # async fn example(publisher: waypost::client::Publisher) -> Result<(), Box<dyn std::error::Error>> {
    /// # use waypost::client::Message;
    /// let topic = "T1".parse()?;
    /// let first = publisher.send(&topic, Message::new("one")).await?;
    /// let second = publisher.send(&topic, Message::new("two")).await?;
    /// assert!(first.await?.offset < second.await?.offset);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send(&self, topic: &TopicName, message: Message) -> Result<Pending, ClientError> {
        let record = message.record();
        let bytes = check_size(&record)?;
        let waiter = self.shared.send(topic, &record, bytes).await?;
        Ok(Pending { waiter })
    }

    /// Queues a message and waits until it is durable.
    ///
    /// Cancellation: cancelled while it waits for room, the message is not sent; later, it may be.
    /// Use [`Publisher::send`] to know which.
    pub async fn publish(
        &self,
        topic: &TopicName,
        message: Message,
    ) -> Result<Receipt, ClientError> {
        self.send(topic, message).await?.await
    }

    /// Waits until all that was sent before is answered. The error is the first failure of any
    /// message since the last flush that completed; each [`Pending`] has its own answer besides.
    /// Batches that linger go at once.
    ///
    /// Cancellation safe: cancelled, messages go on, and the failure is kept for the next flush.
    pub async fn flush(&self) -> Result<(), ClientError> {
        self.shared.flush().await
    }

    /// Waits until all that was sent is answered, at most
    /// [`PublisherOptions::delivery_timeout`], and ends the publisher, its clones included: they
    /// answer [`ClientError::Closed`] from then on. Failures are in each [`Pending`] and, before,
    /// in [`Publisher::flush`].
    ///
    /// Cancelled, the publisher closes nevertheless, in the background.
    pub async fn close(self) {
        self.shared.close().await;
    }

    /// What it is waiting for, if messages wait for something else than their usual answer: a host
    /// that is away, an index that does not answer. For telling people.
    ///
    /// ```no_run
    /// # async fn example(publisher: waypost::client::Publisher) {
    /// let mut waiting = publisher.waiting();
    /// while waiting.changed().await.is_ok() {
    ///     if let Some(waiting) = &*waiting.borrow_and_update() {
    ///         eprintln!("topic '{}' waits: {}", waiting.topic, waiting.why);
    ///     }
    /// }
    /// # }
    /// ```
    pub fn waiting(&self) -> watch::Receiver<Option<Waiting>> {
        self.shared.waiting()
    }
}

/// The answer to one message, to come. Dropping it does not cancel the message.
#[derive(Debug)]
#[must_use = "it tells whether the message was taken; `flush` tells for all"]
pub struct Pending {
    waiter: waiters::Waiter,
}

impl Future for Pending {
    type Output = Result<Receipt, ClientError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.waiter.poll(cx)
    }
}

/// The message's bytes as they count against the bound of a message.
fn check_size(record: &Record<'_>) -> Result<usize, ClientError> {
    let found = record.size();
    // Lengths of many tiny headers count as well: what is sealed must fit into a batch.
    let encoded = BatchBuilder::bytes_with(record);
    if found > limits::MESSAGE_BYTES || encoded > limits::BATCH_BYTES {
        return Err(ClientError::MessageTooLarge {
            found: found.max(encoded),
            max: limits::MESSAGE_BYTES,
        });
    }
    Ok(encoded)
}
