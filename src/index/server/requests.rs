//! Requests that are answered once: from memory, from the store's pages, or by the decider.

use std::sync::Arc;

use bytes::Bytes;

use super::service::{Conn, Index};
use super::streams::no_session;
use crate::clock;
use crate::index::decide::{Answer, Caller, Event, peer_not_found, topic_not_found};
use crate::index::directory::Tally;
use crate::index::listing;
use crate::index::store::StoreError;
use crate::index::waiters::Verdict;
use crate::types::TopicId;
use crate::wire::index::copies::{
    AlterInSync, AlteredInSync, DrainHeld, DrainedHeld, HandOver, HandedOver, HeldMessages,
    HeldSettled, HoldMessages, LeaveInSync, LeftInSync, MoveTopic, MovingTopic, SettledHeld,
};
use crate::wire::index::{
    ClearNotices, CreateOutcome, CreateTopics, CreatedTopics, DeleteTopic, DeletedTopic,
    Deregister, Deregistered, Forget, Forgotten, IndexStatusReply, ListPeers, ListSubscriptions,
    ListTopics, Lookup, NoticesCleared, PeerPage, Register, Registered, Route, SetTopic,
    SetTopicDone, ShowPeer, ShowTopic, ShownPeer, ShownTopic, Subscribe, Subscribed,
    SubscriptionPage, TopicPage, Unsubscribe, Unsubscribed,
};
use crate::wire::{ErrorCode, ErrorReply};

/// The decider answers each event with its own kind of answer.
pub(super) fn odd_answer(answer: Answer) -> ErrorReply {
    tracing::error!(target: "waypost::index", ?answer, "an answer to another question");
    ErrorReply::new(ErrorCode::Internal, "the index's log says more")
}

fn store_failed(error: StoreError) -> ErrorReply {
    tracing::error!(target: "waypost::index", ?error, "cannot read the store");
    ErrorReply::new(
        ErrorCode::Internal,
        "the index cannot read its store; its log says more",
    )
}

fn panicked(_: tokio::task::JoinError) -> ErrorReply {
    ErrorReply::new(ErrorCode::Internal, "the index's log says more")
}

impl Index {
    pub(super) fn lookup(&self, request: &Lookup) -> Result<Route, ErrorReply> {
        let route = self.directory.read().route(request.name.as_str());
        route.ok_or_else(|| topic_not_found(&request.name))
    }

    pub(super) async fn register(
        &self,
        conn: &Conn,
        request: Register,
    ) -> Result<Registered, ErrorReply> {
        let event = Event::Register {
            caller: conn.caller,
            name: request.name,
            program: request.version,
            observed: conn.remote,
            serial: 0,
        };
        match self.decide(event).await? {
            Answer::Registered { new, pass, notices } => Ok(Registered {
                new,
                pass: self.identity.sign_pass(&pass),
                observed: conn.remote,
                notices,
            }),
            other => Err(odd_answer(other)),
        }
    }

    /// Answers once the host has durably accepted, or the wait is over.
    pub(super) async fn create(
        &self,
        caller: Caller,
        request: CreateTopics,
    ) -> Result<CreatedTopics, ErrorReply> {
        let with_id = |topic| (topic, TopicId::random(&mut rand::rng()));
        let topics: Vec<_> = request.topics.into_iter().map(with_id).collect();
        if topics.is_empty() {
            return Ok(CreatedTopics {
                host: None,
                outcomes: Vec::new(),
            });
        }
        let ids: Vec<TopicId> = topics.iter().map(|&(_, id)| id).collect();
        // Before the decision: the host may be faster than this task.
        let (wait, told) = self.hub.wait_for(&ids);
        let event = Event::CreateTopics {
            caller,
            topics,
            host: request.host,
        };
        let (host, mut outcomes) = match self.decide(event).await {
            Ok(Answer::Created { host, outcomes }) => (host, outcomes),
            Ok(other) => return Err(odd_answer(other)),
            Err(why) => {
                self.hub.give_up(wait, &ids);
                return Err(why);
            }
        };
        let created = |outcome: &CreateOutcome| matches!(outcome, CreateOutcome::Created { .. });
        let others = ids
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| !created(outcome));
        self.hub.settle(others.map(|(&id, _)| (id, None)));
        let verdict = match tokio::time::timeout(self.create_wait, told).await {
            Ok(told) => told.unwrap_or_default(),
            Err(_) => self.unconfirmed(wait, &ids),
        };
        for (topic, why) in verdict.refused {
            if let Some(at) = ids.iter().position(|&id| id == topic) {
                outcomes[at] = CreateOutcome::Refused(why);
            }
        }
        let host = host.filter(|_| outcomes.iter().any(created));
        Ok(CreatedTopics { host, outcomes })
    }

    /// The wait is over: what the host has not answered for exists, but nobody knows where it
    /// stands.
    fn unconfirmed(&self, wait: u64, ids: &[TopicId]) -> Verdict {
        let (open, mut verdict) = self.hub.give_up(wait, ids);
        let wait_ms = self.create_wait.as_millis();
        let why = ErrorReply::new(
            ErrorCode::HostUnconfirmed,
            format!("the topic exists, but its host has not confirmed it within {wait_ms} ms"),
        );
        verdict
            .refused
            .extend(open.into_iter().map(|topic| (topic, why.clone())));
        verdict
    }

    pub(super) async fn delete(
        &self,
        caller: Caller,
        request: DeleteTopic,
    ) -> Result<DeletedTopic, ErrorReply> {
        let event = Event::DeleteTopic {
            caller,
            name: request.name,
            topic: request.topic,
        };
        match self.decide(event).await? {
            Answer::Deleted(reply) => Ok(reply),
            other => Err(odd_answer(other)),
        }
    }

    pub(super) async fn set(
        &self,
        caller: Caller,
        request: SetTopic,
    ) -> Result<SetTopicDone, ErrorReply> {
        let event = Event::SetTopic {
            caller,
            name: request.name,
            version: request.version,
            settings: request.settings,
        };
        match self.decide(event).await? {
            Answer::Set(reply) => Ok(reply),
            other => Err(odd_answer(other)),
        }
    }

    /// Reads the disk, hence off the I/O thread.
    pub(super) async fn list_topics(
        self: &Arc<Self>,
        caller: Caller,
        request: ListTopics,
    ) -> Result<TopicPage, ErrorReply> {
        let index = Arc::clone(self);
        let now = clock::mono_now();
        let page = tokio::task::spawn_blocking(move || {
            listing::topics(&index.directory, &*index.store, &request, now)
        });
        let page = page.await.map_err(panicked)?.map_err(store_failed)?;
        let names = || {
            page.topics
                .iter()
                .map(|topic| topic.name.as_str())
                .collect::<Vec<_>>()
        };
        tracing::debug!(target: "waypost::index", key = %caller.key, "Viewed created topics: {:?}", names());
        Ok(page)
    }

    pub(super) fn show_topic(&self, request: &ShowTopic) -> Result<ShownTopic, ErrorReply> {
        let directory = self.directory.read();
        let shown = directory.shown_topic(request.name.as_str(), clock::mono_now());
        shown.ok_or_else(|| topic_not_found(&request.name))
    }

    pub(super) async fn subscribe(
        &self,
        caller: Caller,
        request: Subscribe,
    ) -> Result<Subscribed, ErrorReply> {
        let event = Event::Subscribe {
            caller,
            name: request.name,
            group: request.group,
        };
        match self.decide(event).await? {
            Answer::Subscribed(reply) => Ok(reply),
            other => Err(odd_answer(other)),
        }
    }

    pub(super) async fn unsubscribe(
        &self,
        caller: Caller,
        request: Unsubscribe,
    ) -> Result<Unsubscribed, ErrorReply> {
        let event = Event::Unsubscribe {
            caller,
            name: request.name,
            group: request.group,
        };
        self.decide(event).await?;
        Ok(Unsubscribed {})
    }

    pub(super) async fn list_subscriptions(
        self: &Arc<Self>,
        caller: Caller,
        request: ListSubscriptions,
    ) -> Result<SubscriptionPage, ErrorReply> {
        let index = Arc::clone(self);
        let now = clock::mono_now();
        let page = tokio::task::spawn_blocking(move || {
            listing::subscriptions(&index.directory, &*index.store, caller.key, &request, now)
        });
        page.await.map_err(panicked)?.map_err(store_failed)
    }

    pub(super) async fn clear_notices(
        &self,
        caller: Caller,
        request: &ClearNotices,
    ) -> Result<NoticesCleared, ErrorReply> {
        let event = Event::ClearNotices {
            caller,
            serial: request.serial,
        };
        self.decide(event).await?;
        Ok(NoticesCleared {})
    }

    pub(super) fn list_peers(&self, request: &ListPeers) -> PeerPage {
        listing::peers(
            &self.directory.read(),
            request.after.as_ref(),
            request.limit,
        )
    }

    pub(super) fn show_peer(&self, request: &ShowPeer) -> Result<ShownPeer, ErrorReply> {
        let info = self.directory.read().peer_info(&request.name);
        let info = info.ok_or_else(|| peer_not_found(&request.name))?;
        Ok(ShownPeer { info })
    }

    pub(super) async fn deregister(
        &self,
        caller: Caller,
        request: &Deregister,
    ) -> Result<Deregistered, ErrorReply> {
        let event = Event::Deregister {
            caller,
            delete_hosted: request.delete_hosted,
            discard: request.discard,
        };
        match self.decide(event).await? {
            Answer::Deregistered(reply) => Ok(reply),
            other => Err(odd_answer(other)),
        }
    }

    pub(super) async fn forget(
        &self,
        caller: Caller,
        request: Forget,
    ) -> Result<Forgotten, ErrorReply> {
        let event = Event::Forget {
            caller,
            name: request.name,
            keep_topics: request.keep_topics,
        };
        match self.decide(event).await? {
            Answer::Forgotten(reply) => Ok(reply),
            other => Err(odd_answer(other)),
        }
    }

    pub(super) async fn alter(
        &self,
        caller: Caller,
        request: AlterInSync,
    ) -> Result<AlteredInSync, ErrorReply> {
        match self.decide(Event::AlterInSync { caller, request }).await? {
            Answer::Altered(reply) => Ok(reply),
            other => Err(odd_answer(other)),
        }
    }

    pub(super) async fn hand_over(
        &self,
        caller: Caller,
        request: HandOver,
    ) -> Result<HandedOver, ErrorReply> {
        match self.decide(Event::HandOver { caller, request }).await? {
            Answer::HandedOver(reply) => Ok(reply),
            other => Err(odd_answer(other)),
        }
    }

    pub(super) async fn move_topic(
        &self,
        caller: Caller,
        request: MoveTopic,
    ) -> Result<MovingTopic, ErrorReply> {
        let MoveTopic { name, to } = request;
        match self.decide(Event::MoveTopic { caller, name, to }).await? {
            Answer::Moving(reply) => Ok(reply),
            other => Err(odd_answer(other)),
        }
    }

    /// Keeps a batch for a topic that nobody can host now.
    pub(super) async fn hold(
        &self,
        caller: Caller,
        request: HoldMessages,
    ) -> Result<HeldMessages, ErrorReply> {
        let HoldMessages { topic, batch } = request;
        let bytes = Bytes::from(batch);
        let batch = super::held::checked(topic, &bytes)?;
        let event = Event::HoldMessages {
            caller,
            topic,
            batch,
            bytes,
        };
        match self.decide(event).await? {
            Answer::Held(reply) => Ok(reply),
            other => Err(odd_answer(other)),
        }
    }

    /// Hands held batches to the host; reads the disk, hence off the I/O thread. That the caller is the
    /// host is decided behind all that was decided before.
    pub(super) async fn drain(
        &self,
        caller: Caller,
        request: DrainHeld,
    ) -> Result<DrainedHeld, ErrorReply> {
        let DrainHeld { topic, epoch } = request;
        let event = Event::DrainHeld {
            caller,
            topic,
            epoch,
        };
        match self.decide(event).await? {
            Answer::MayDrain => {}
            other => return Err(odd_answer(other)),
        }
        let page = self.directory.write().drain_page(topic, epoch);
        let store = Arc::clone(&self.store);
        let read = tokio::task::spawn_blocking(move || super::held::read(&*store, topic, &page));
        let batches = read.await.map_err(panicked)?.map_err(store_failed)?;
        Ok(DrainedHeld { batches })
    }

    /// Forgets what the host has committed.
    pub(super) async fn settle_held(
        &self,
        caller: Caller,
        request: HeldSettled,
    ) -> Result<SettledHeld, ErrorReply> {
        match self.decide(Event::HeldSettled { caller, request }).await? {
            Answer::Settled(reply) => Ok(reply),
            other => Err(odd_answer(other)),
        }
    }

    /// Of the session that stands only: a word of an earlier one may speak of another copy.
    pub(super) async fn leave_in_sync(
        &self,
        caller: Caller,
        request: &LeaveInSync,
    ) -> Result<LeftInSync, ErrorReply> {
        if self.hub.link(request.session, caller.key).is_none() {
            return Err(no_session());
        }
        let topic = request.topic;
        match self.decide(Event::LeaveInSync { caller, topic }).await? {
            Answer::LeftInSync(reply) => Ok(reply),
            other => Err(odd_answer(other)),
        }
    }

    pub(super) fn status(&self) -> IndexStatusReply {
        let mut tally = Tally::default();
        let mut from = Some(0);
        while let Some(slot) = from {
            from = self.directory.read().tally_from(slot, &mut tally);
        }
        let directory = self.directory.read();
        let behind = directory.behind_in_all();
        IndexStatusReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            peers: directory.peer_count() as u64,
            live: directory.live_count() as u64,
            topics: directory.topic_count() as u64,
            subscriptions: directory.subscription_count() as u64,
            under_replicated: tally.under_replicated,
            offline: tally.offline,
            behind: directory.behind_count() as u64,
            held: directory.held_count(),
            held_topics: directory.held_topics() as u64,
            copies_behind: u64::from(behind.copies),
            largest_lag: behind.largest_lag,
        }
    }
}
