//! The engine of a follower: routes, streams and cursors brought together.

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::mpsc;

use super::cursor::{Cursor, Join, Verdict};
use super::stream::{Down, HostStream, Up};
use super::{FollowEvent, FollowOptions, Standing, Standings};
use crate::client::Client;
use crate::client::backoff::Backoff;
use crate::client::error::{ClientError, describe};
use crate::client::message::Delivery;
use crate::types::{Fingerprint, Offset, TopicName};
use crate::wire::index::Route;
use crate::wire::peer::{Add, Added, Credit, Remove};
use crate::wire::{ErrorCode, ErrorReply, Retry};
use std::time::Duration;

/// What comes from streams and waits for the engine.
const DOWN: usize = 16;
/// A topic that does not exist is sought again after at most this long.
const SEEK_EVERY: Duration = Duration::from_millis(300);

/// One followed topic.
struct Followed {
    cursor: Cursor,
    backoff: Backoff,
    /// The slot it has on a host's stream.
    slot: Option<(u32, Fingerprint)>,
    /// Whether the host has confirmed the slot.
    joined: bool,
    /// What the application was last told to be waiting for.
    waiting: Option<String>,
}

/// The answer of a task that sought a route.
struct Found {
    topic: TopicName,
    route: Result<Route, ClientError>,
}

pub(super) struct Engine {
    client: Client,
    options: FollowOptions,
    events: mpsc::Sender<Result<FollowEvent, ClientError>>,
    standings: Standings,
    topics: HashMap<TopicName, Followed>,
    slots: HashMap<u32, TopicName>,
    hosts: HashMap<Fingerprint, HostStream>,
    next_slot: u32,
    next_generation: u64,
    found: (mpsc::Sender<Found>, mpsc::Receiver<Found>),
    down: (mpsc::Sender<Down>, mpsc::Receiver<Down>),
}

/// The application has dropped its follower.
struct Gone;

impl Engine {
    pub(super) fn new(
        client: Client,
        options: FollowOptions,
        events: mpsc::Sender<Result<FollowEvent, ClientError>>,
        standings: Standings,
    ) -> Self {
        Engine {
            client,
            options,
            events,
            standings,
            topics: HashMap::new(),
            slots: HashMap::new(),
            hosts: HashMap::new(),
            next_slot: 0,
            next_generation: 0,
            found: mpsc::channel(DOWN),
            down: mpsc::channel(DOWN),
        }
    }

    /// Follows until the application is gone or every topic has ended.
    pub(super) async fn run(mut self, topics: Vec<TopicName>) {
        for topic in topics {
            let followed = Followed {
                cursor: Cursor::new(self.options.from.clone()),
                backoff: Backoff::default(),
                slot: None,
                joined: false,
                waiting: None,
            };
            if self.topics.insert(topic.clone(), followed).is_none() {
                self.seek(&topic, Duration::ZERO, false);
            }
        }
        while !self.topics.is_empty() {
            let handled = tokio::select! {
                () = self.events.closed() => return,
                Some(found) = self.found.1.recv() => self.on_found(found).await,
                Some(down) = self.down.1.recv() => self.on_down(down).await,
            };
            if handled.is_err() {
                return;
            }
        }
    }

    async fn tell(&self, event: FollowEvent) -> Result<(), Gone> {
        self.events.send(Ok(event)).await.map_err(|_| Gone)
    }

    /// The topic cannot be followed any more.
    async fn fail(&mut self, topic: &TopicName, error: ClientError) -> Result<(), Gone> {
        self.leave(topic).await;
        self.topics.remove(topic);
        self.events.send(Err(error)).await.map_err(|_| Gone)
    }

    /// Tells once for what a topic waits.
    async fn wait(&mut self, topic: &TopicName, why: String) -> Result<(), Gone> {
        let Some(followed) = self.topics.get_mut(topic) else {
            return Ok(());
        };
        if followed.waiting.as_deref() == Some(&why) {
            return Ok(());
        }
        followed.waiting = Some(why.clone());
        let topic = topic.clone();
        self.tell(FollowEvent::Waiting { topic, why }).await
    }

    fn seek(&self, topic: &TopicName, pause: Duration, fresh: bool) {
        let client = self.client.clone();
        let found = self.found.0.clone();
        let topic = topic.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let route = client.route(&topic, fresh).await;
            // An error here means that the engine has ended.
            let _ = found.send(Found { topic, route }).await;
        });
    }

    fn seek_again(&mut self, topic: &TopicName, longest: Duration) {
        self.client.doubt_route(topic);
        if let Some(followed) = self.topics.get_mut(topic) {
            let pause = followed.backoff.next(rand::random()).min(longest);
            self.seek(topic, pause, false);
        }
    }

    async fn on_found(&mut self, found: Found) -> Result<(), Gone> {
        let Found { topic, route } = found;
        match route {
            Ok(route) => self.join(&topic, route).await,
            Err(error) if error.code() == Some(ErrorCode::TopicNotFound) => {
                self.on_missing(&topic, error).await
            }
            Err(error) => {
                let again = match &error {
                    ClientError::Refused { reply, .. } => reply.retry != Retry::Never,
                    ClientError::KnownIndex(_) => false,
                    _ => error.code().is_none(),
                };
                if !again {
                    return self.fail(&topic, error).await;
                }
                self.wait(&topic, describe(&error)).await?;
                self.seek_again(&topic, Duration::MAX);
                Ok(())
            }
        }
    }

    async fn on_missing(&mut self, topic: &TopicName, error: ClientError) -> Result<(), Gone> {
        let followed = self.topics.get_mut(topic);
        if followed.is_some_and(|followed| followed.cursor.missing()) {
            let topic = topic.clone();
            self.tell(FollowEvent::Deleted { topic }).await?;
        }
        if !self.options.wait_for_topic {
            return self.fail(topic, error).await;
        }
        self.wait(topic, "the topic does not exist yet".to_owned())
            .await?;
        self.seek_again(topic, SEEK_EVERY);
        Ok(())
    }

    async fn join(&mut self, topic: &TopicName, route: Route) -> Result<(), Gone> {
        let Some(followed) = self.topics.get_mut(topic) else {
            return Ok(());
        };
        let host = route.host.fingerprint;
        let slot = self.next_slot;
        self.next_slot = self.next_slot.wrapping_add(1);
        let replaced = followed.cursor.found(route.topic);
        followed.slot = Some((slot, host));
        followed.joined = false;
        let add = Add {
            slot,
            topic: route.topic,
            epoch: route.epoch,
            from: followed.cursor.wanted(),
            group: self.options.group.clone(),
            credit: self.options.credit_bytes,
            after: followed.cursor.after(),
        };
        let standing = Standing {
            topic: route.topic,
            sequence: 0,
        };
        self.standings
            .lock()
            .entry(topic.clone())
            .and_modify(|known| {
                if known.topic != route.topic {
                    *known = standing;
                }
            })
            .or_insert(standing);
        self.slots.insert(slot, topic.clone());
        if replaced {
            let topic = topic.clone();
            self.tell(FollowEvent::Deleted { topic }).await?;
        }
        self.stream(topic, route).send(Up::Add(add)).await;
        Ok(())
    }

    fn stream(&mut self, topic: &TopicName, route: Route) -> &HostStream {
        let (client, down) = (&self.client, &self.down.0);
        let generation = &mut self.next_generation;
        self.hosts.entry(route.host.fingerprint).or_insert_with(|| {
            *generation += 1;
            let (client, down) = (client.clone(), down.clone());
            HostStream::start(client, topic.clone(), route.host, *generation, down)
        })
    }

    async fn on_down(&mut self, down: Down) -> Result<(), Gone> {
        match down {
            Down::Added(added) => self.on_added(added).await,
            Down::Data { slot, end, batches } => self.on_data(slot, end, batches).await,
            Down::Ended { slot, error } => self.on_ended(slot, error).await,
            Down::Lost {
                host,
                generation,
                error,
            } => self.on_lost(host, generation, error).await,
        }
    }

    async fn on_added(&mut self, added: Added) -> Result<(), Gone> {
        let Some(topic) = self.slots.get(&added.slot).cloned() else {
            return Ok(());
        };
        let Some(followed) = self.topics.get_mut(&topic) else {
            return Ok(());
        };
        followed.joined = true;
        followed.waiting = None;
        followed.backoff.reset();
        let join = followed.cursor.joined(added.from);
        if let Some(standing) = self.standings.lock().get_mut(&topic) {
            let sequence = added.position.map_or(0, |position| position.sequence);
            standing.sequence = standing.sequence.max(sequence);
        }
        if let Join::Skipped { from, to } = join {
            let topic = topic.clone();
            self.tell(FollowEvent::Skipped { topic, from, to }).await?;
        }
        let (next, end) = (added.from, added.end);
        self.tell(FollowEvent::Joined { topic, next, end }).await
    }

    async fn on_data(&mut self, slot: u32, end: Offset, batches: Vec<Bytes>) -> Result<(), Gone> {
        let Some(topic) = self.slots.get(&slot).cloned() else {
            return Ok(());
        };
        let Some(followed) = self.topics.get_mut(&topic) else {
            return Ok(());
        };
        let Some(next) = followed.cursor.next() else {
            return Ok(());
        };
        let bytes = batches.iter().map(|batch| batch.len() as u64).sum();
        match Delivery::verified(&topic, next, end, batches) {
            Ok(delivery) => {
                followed
                    .cursor
                    .delivered(delivery.next, delivery.last_epoch());
                self.tell(FollowEvent::Messages(delivery)).await?;
                if let Some(stream) = self.stream_of(&topic) {
                    stream.send(Up::Credit(Credit { slot, bytes })).await;
                }
                Ok(())
            }
            Err(source) => {
                let error = ClientError::BadData {
                    topic: topic.clone(),
                    source,
                };
                self.fail(&topic, error).await
            }
        }
    }

    fn stream_of(&self, topic: &TopicName) -> Option<&HostStream> {
        let (_, host) = self.topics.get(topic)?.slot?;
        self.hosts.get(&host)
    }

    async fn on_ended(&mut self, slot: u32, error: ErrorReply) -> Result<(), Gone> {
        let Some(topic) = self.slots.remove(&slot) else {
            return Ok(());
        };
        let Some(followed) = self.topics.get_mut(&topic) else {
            return Ok(());
        };
        followed.slot = None;
        match followed.cursor.ended(&error, followed.joined) {
            Verdict::Rejoin => {
                self.wait(&topic, error.detail).await?;
                self.seek_again(&topic, Duration::MAX);
                Ok(())
            }
            Verdict::Fail => {
                let doing = format!("following topic '{topic}'");
                self.fail(&topic, ClientError::refused(doing, error)).await
            }
        }
    }

    async fn on_lost(
        &mut self,
        host: Fingerprint,
        generation: u64,
        error: ClientError,
    ) -> Result<(), Gone> {
        if self
            .hosts
            .get(&host)
            .is_none_or(|stream| stream.generation != generation)
        {
            return Ok(());
        }
        self.hosts.remove(&host);
        let lost: Vec<TopicName> = self
            .topics
            .iter()
            .filter(|(_, followed)| followed.slot.is_some_and(|(_, at)| at == host))
            .map(|(topic, _)| topic.clone())
            .collect();
        self.renew_pass_if_refused(&error, host).await;
        let why = describe(&error);
        for topic in lost {
            let slot = self
                .topics
                .get_mut(&topic)
                .and_then(|followed| followed.slot.take());
            if let Some((slot, _)) = slot {
                self.slots.remove(&slot);
            }
            self.wait(&topic, why.clone()).await?;
            self.seek_again(&topic, Duration::MAX);
        }
        Ok(())
    }

    /// A host that does not take our pass: a fresh one helps, or the next try says what does not.
    async fn renew_pass_if_refused(&self, error: &ClientError, host: Fingerprint) {
        if let ClientError::Refused { reply, .. } = error
            && reply.retry == Retry::FreshPass
        {
            let renewed = self.client.show_fresh_pass(host).await;
            tracing::debug!(ok = renewed.is_ok(), "renewed the pass");
        }
    }

    async fn leave(&mut self, topic: &TopicName) {
        let Some((slot, _)) = self.topics.get(topic).and_then(|followed| followed.slot) else {
            return;
        };
        self.slots.remove(&slot);
        if let Some(stream) = self.stream_of(topic) {
            stream.send(Up::Remove(Remove { slot })).await;
        }
    }
}
