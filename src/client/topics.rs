//! What the index does for a client: topics, subscriptions, peers.

use std::time::Duration;

use super::error::ClientError;
use super::{Client, lookups};
use crate::clock;
use crate::limits;
use crate::types::{Group, PeerName, TopicId, TopicName, TopicSettings, Version};
use crate::wire::index::copies::{MoveState, MoveTopic, MovingTopic};
use crate::wire::index::recovery::{RecoverIndex, RecoverTopic, RecoveringIndex, RecoveringTopic};
use crate::wire::index::{
    ClearNotices, CreateOutcome, CreateTopics, CreatedTopics, DeleteTopic, DeletedTopic,
    Deregister, Deregistered, Forget, Forgotten, IndexStatus, IndexStatusReply, ListPeers,
    ListSubscriptions, ListTopics, LookupMany, NewTopic, Notice, PeerInfo, Route, SetTopic,
    ShowPeer, ShowTopic, ShownTopic, Subscribe, Subscribed, SubscriptionInfo, TopicInfo,
    Unsubscribe,
};
use crate::wire::{ErrorCode, ErrorReply};

/// How often the index is asked about something that is going on.
const ASKED_EVERY: Duration = Duration::from_millis(20);

/// Which topics to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicFilter {
    /// Only names that begin so.
    pub prefix: String,
    /// Only topics of this owner.
    pub owner: Option<PeerName>,
    /// Only topics hosted by this peer.
    pub host: Option<PeerName>,
}

impl Client {
    /// Creates one topic and answers once its host has durably accepted it. An existing one is an
    /// error with the code `topic-exists`.
    pub async fn create_topic(
        &self,
        name: &TopicName,
        settings: TopicSettings,
        host: Option<&PeerName>,
    ) -> Result<Route, ClientError> {
        let doing = format!("creating topic '{name}'");
        let topics = vec![NewTopic {
            name: name.clone(),
            settings,
        }];
        let CreatedTopics { host, mut outcomes } = self.create_topics(topics, host).await?;
        match (outcomes.pop(), host) {
            (Some(CreateOutcome::Created { topic, epoch }), Some(host)) => {
                let route = Route { topic, epoch, host };
                self.learn_route(name, &route);
                Ok(route)
            }
            (Some(CreateOutcome::Exists { owner }), _) => {
                Err(ClientError::refused(doing, exists(name, owner.as_ref())))
            }
            (Some(CreateOutcome::Refused(reply)), _) => Err(ClientError::refused(doing, reply)),
            _ => {
                let detail = "the index answered with no outcome";
                let reply = ErrorReply::new(ErrorCode::Internal, detail);
                Err(ClientError::refused(doing, reply))
            }
        }
    }

    /// Creates many topics on one host; the answer has one outcome per topic. As many topics as fit
    /// into [`limits::METADATA_REQUEST_BYTES`] can be sent at once.
    pub async fn create_topics(
        &self,
        topics: Vec<NewTopic>,
        host: Option<&PeerName>,
    ) -> Result<CreatedTopics, ClientError> {
        let request = CreateTopics {
            topics,
            host: host.cloned(),
        };
        self.inner
            .index
            .call("creating topics", &request, false)
            .await
    }

    /// Deletes a topic with all its data; with `id` only that life of it.
    pub async fn delete_topic(
        &self,
        name: &TopicName,
        id: Option<TopicId>,
    ) -> Result<DeletedTopic, ClientError> {
        let request = DeleteTopic {
            name: name.clone(),
            topic: id,
        };
        let doing = format!("deleting topic '{name}'");
        let deleted = self.inner.index.call(&doing, &request, false).await?;
        self.inner.routes.lock().forget(name);
        self.save_routes(false);
        Ok(deleted)
    }

    /// Sets a topic's settings if its record still has `version`; answers the new version.
    pub async fn set_topic(
        &self,
        name: &TopicName,
        version: Version,
        settings: TopicSettings,
    ) -> Result<Version, ClientError> {
        let request = SetTopic {
            name: name.clone(),
            version,
            settings,
        };
        let doing = format!("changing topic '{name}'");
        let done = self.inner.index.call(&doing, &request, false).await?;
        Ok(done.version)
    }

    /// Moves a topic to another host, `None`: to whom the index chooses, and answers when that one
    /// hosts it. A peer without a copy gets one first. Messages go on meanwhile, but for the moment of
    /// the hand-over itself. `progress` is told of each step.
    ///
    /// Cancelled, the index may finish the step that it is at.
    pub async fn move_topic(
        &self,
        name: &TopicName,
        to: Option<&PeerName>,
        mut progress: impl FnMut(&MovingTopic),
    ) -> Result<MovingTopic, ClientError> {
        let doing = format!("moving topic '{name}'");
        let mut to = to.cloned();
        loop {
            let request = MoveTopic {
                name: name.clone(),
                to: to.clone(),
            };
            let moving = self.inner.index.call(&doing, &request, true).await?;
            progress(&moving);
            if let MoveState::Done { .. } = moving.state {
                self.inner.routes.lock().forget(name);
                return Ok(moving);
            }
            to = Some(moving.to);
            tokio::time::sleep(ASKED_EVERY).await;
        }
    }

    /// A page of topics in the order of their names, and where the next page starts.
    pub async fn list_topics(
        &self,
        filter: &TopicFilter,
        after: Option<&TopicName>,
    ) -> Result<(Vec<TopicInfo>, Option<TopicName>), ClientError> {
        let request = ListTopics {
            prefix: filter.prefix.clone(),
            owner: filter.owner.clone(),
            host: filter.host.clone(),
            after: after.cloned(),
            limit: limits::PAGE_ENTRIES,
        };
        let page = self
            .inner
            .index
            .call("listing topics", &request, true)
            .await?;
        Ok((page.topics, page.next))
    }

    /// One topic with its subscribers.
    pub async fn show_topic(&self, name: &TopicName) -> Result<ShownTopic, ClientError> {
        let request = ShowTopic { name: name.clone() };
        let doing = format!("showing topic '{name}'");
        self.inner.index.call(&doing, &request, true).await
    }

    /// Waits until at least `copies` of the topic are in sync, but no longer than `within`; the answer
    /// shows how many are.
    pub async fn wait_in_sync(
        &self,
        name: &TopicName,
        copies: usize,
        within: Duration,
    ) -> Result<ShownTopic, ClientError> {
        let until = clock::mono_now().plus(within);
        loop {
            let shown = self.show_topic(name).await?;
            if shown.in_sync.len() >= copies || clock::mono_now() > until {
                return Ok(shown);
            }
            tokio::time::sleep(ASKED_EVERY).await;
        }
    }

    /// The routes of many topics in one request; `None` for one that does not exist. As many names
    /// as fit into [`limits::METADATA_REQUEST_BYTES`] can be asked at once.
    pub async fn routes(&self, names: Vec<TopicName>) -> Result<Vec<Option<Route>>, ClientError> {
        let request = LookupMany { names };
        let reply = self
            .inner
            .index
            .call("looking up topics", &request, true)
            .await?;
        Ok(lookups::expand(reply).collect())
    }

    /// Records a durable subscription.
    pub async fn subscribe(
        &self,
        name: &TopicName,
        group: &Group,
    ) -> Result<Subscribed, ClientError> {
        let request = Subscribe {
            name: name.clone(),
            group: group.clone(),
        };
        let doing = format!("subscribing to topic '{name}'");
        let subscribed = self.inner.index.call(&doing, &request, true).await?;
        self.learn_route(name, &subscribed.route);
        self.learn_subscription(name, group, subscribed.route.topic);
        Ok(subscribed)
    }

    /// Takes a subscription back.
    pub async fn unsubscribe(&self, name: &TopicName, group: &Group) -> Result<(), ClientError> {
        let request = Unsubscribe {
            name: name.clone(),
            group: group.clone(),
        };
        let doing = format!("unsubscribing from topic '{name}'");
        // What is known here goes first: a pull must not take it for standing afterwards.
        self.forget_subscription(name, group);
        self.inner
            .index
            .call(&doing, &request, false)
            .await
            .map(drop)
    }

    /// All subscriptions and waiting notices of the caller.
    pub async fn subscriptions(&self) -> Result<(Vec<SubscriptionInfo>, Vec<Notice>), ClientError> {
        let mut subscriptions: Vec<SubscriptionInfo> = vec![];
        let mut notices = vec![];
        loop {
            let request = ListSubscriptions {
                after: subscriptions
                    .last()
                    .map(|s| (s.name.clone(), s.group.clone())),
                limit: limits::PAGE_ENTRIES,
            };
            let doing = "listing subscriptions";
            let page = self.inner.index.call(doing, &request, true).await?;
            notices.extend(page.notices);
            let empty = page.subscriptions.is_empty();
            subscriptions.extend(page.subscriptions);
            if !page.more || empty {
                return Ok((subscriptions, notices));
            }
        }
    }

    /// Clears notices that were shown.
    pub async fn clear_notices(&self, serial: u64) -> Result<(), ClientError> {
        let request = ClearNotices { serial };
        self.inner
            .index
            .call("clearing notices", &request, true)
            .await
            .map(drop)
    }

    /// All peers in the order of their names.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, ClientError> {
        let mut peers: Vec<PeerInfo> = vec![];
        loop {
            let request = ListPeers {
                after: peers.last().map(|peer| peer.name.clone()),
                limit: limits::PAGE_ENTRIES,
            };
            let page = self
                .inner
                .index
                .call("listing peers", &request, true)
                .await?;
            let empty = page.peers.is_empty();
            peers.extend(page.peers);
            if !page.more || empty {
                return Ok(peers);
            }
        }
    }

    /// One peer.
    pub async fn show_peer(&self, name: &PeerName) -> Result<PeerInfo, ClientError> {
        let request = ShowPeer { name: name.clone() };
        let doing = format!("showing peer {name}");
        let shown = self.inner.index.call(&doing, &request, true).await?;
        Ok(shown.info)
    }

    /// Leaves: name, subscriptions and copies go. Topics that the caller's peer hosts move to others
    /// first, which takes as long as copying them does. `delete_hosted` is the number of topics that the
    /// caller agrees to lose, where nobody can take them.
    ///
    /// Fails with `TimedOut` when no topic has moved for [`limits::MOVE_STUCK`]; the peer then still
    /// hosts them, and another call goes on.
    pub async fn deregister(&self, delete_hosted: u32) -> Result<Deregistered, ClientError> {
        self.leave(delete_hosted, false, |_| ()).await
    }

    /// As [`Client::deregister`]. With `discard`, topics of which only the caller's peer has a copy are
    /// not copied first. `progress` is told how many topics have not moved yet.
    pub async fn leave(
        &self,
        delete_hosted: u32,
        discard: bool,
        mut progress: impl FnMut(u32),
    ) -> Result<Deregistered, ClientError> {
        let mut least = u32::MAX;
        let mut moved_at = clock::mono_now();
        loop {
            let step = self.deregister_step(delete_hosted, discard).await?;
            if step.left == 0 {
                return Ok(step);
            }
            progress(step.left);
            let now = clock::mono_now();
            if step.left < least {
                (least, moved_at) = (step.left, now);
            } else if now.since(moved_at) > limits::MOVE_STUCK {
                return Err(stuck(step.left));
            }
            tokio::time::sleep(limits::MOVE_POLL).await;
        }
    }

    /// One step of [`Client::deregister`]: to be repeated until nothing is left. With `discard`, topics
    /// of which only the caller's peer has a copy are not copied first.
    pub async fn deregister_step(
        &self,
        delete_hosted: u32,
        discard: bool,
    ) -> Result<Deregistered, ClientError> {
        let request = Deregister {
            delete_hosted,
            discard,
        };
        self.inner
            .index
            .call("deregistering", &request, false)
            .await
    }

    /// Operator only: frees a peer's name.
    pub async fn forget_peer(
        &self,
        name: &PeerName,
        keep_topics: bool,
    ) -> Result<Forgotten, ClientError> {
        let request = Forget {
            name: name.clone(),
            keep_topics,
        };
        let doing = format!("forgetting peer {name}");
        self.inner.index.call(&doing, &request, false).await
    }

    /// What is left of a topic; with a `survivor`, the survivor hosts it from now on, and what its copy
    /// lacks is given up. Owner or operator only.
    pub async fn recover_topic(
        &self,
        name: &TopicName,
        survivor: Option<&PeerName>,
    ) -> Result<RecoveringTopic, ClientError> {
        let request = RecoverTopic {
            name: name.clone(),
            survivor: survivor.cloned(),
        };
        let doing = format!("recovering topic '{name}'");
        let answer = self.inner.index.call(&doing, &request, false).await?;
        if survivor.is_some() {
            self.inner.routes.lock().forget(name);
        }
        Ok(answer)
    }

    /// One step of recovering an index that comes from a backup, see [`RecoverIndex`]. Operator only.
    pub async fn recover_index(
        &self,
        request: &RecoverIndex,
    ) -> Result<RecoveringIndex, ClientError> {
        let doing = "recovering the index";
        self.inner.index.call(doing, request, false).await
    }

    /// The index about itself.
    pub async fn index_status(&self) -> Result<IndexStatusReply, ClientError> {
        let request = IndexStatus {};
        self.inner
            .index
            .call("asking the index for its status", &request, true)
            .await
    }
}

fn stuck(left: u32) -> ClientError {
    let detail = format!(
        "{left} topics are still to move to other peers, and none has moved for {} s; try again, or lose \
         those that nobody else has: waypost deregister --discard",
        limits::MOVE_STUCK.as_secs()
    );
    ClientError::refused(
        "deregistering",
        ErrorReply::new(ErrorCode::TimedOut, detail),
    )
}

fn exists(name: &TopicName, owner: Option<&PeerName>) -> ErrorReply {
    let detail = match owner {
        Some(owner) => format!("topic '{name}' already exists; its owner is peer {owner}"),
        None => format!("topic '{name}' already exists"),
    };
    ErrorReply::new(ErrorCode::TopicExists, detail)
}
