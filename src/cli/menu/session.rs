//! The operations of the menus, as a client of the index and of the hosts.

use crate::cli::context::Context;
use crate::cli::erase;
use crate::cli::error::{CliError, Exit};
use crate::cli::{notices, wait};
use crate::client::{
    Client, ClientError, Message, Publisher, PublisherOptions, PullOptions, Pulled, TopicFilter,
};
use crate::text::one_line;
use crate::transport::Identity;
use crate::types::{Group, PeerName, TopicName, TopicSettings};
use crate::wire::ErrorCode;
use crate::wire::index::{Notice, NoticeKind, TopicInfo};

use super::event::{Action, Login, Losses, Notices, Outcome, Page};
use super::host::Host;

/// Bytes of a page of pulled messages: a screen is read in pieces.
const PAGE_BYTES: u64 = 1 << 20;

/// The peer of this menu, once it is logged in.
pub(super) struct Session<'a> {
    ctx: &'a Context,
    peer: Option<Peer<'a>>,
}

struct Peer<'a> {
    ctx: &'a Context,
    name: PeerName,
    client: Client,
    publisher: Publisher,
    host: Host,
    /// The page that was printed last; its position is committed next.
    pulled: Option<Pulled>,
}

impl<'a> Session<'a> {
    pub(super) fn new(ctx: &'a Context) -> Session<'a> {
        Session { ctx, peer: None }
    }

    /// Does one thing. Whatever goes wrong is an outcome.
    pub(super) async fn perform(&mut self, action: Action) -> Outcome {
        let what = what(&action);
        let outcome = match (action, &mut self.peer) {
            (Action::Login(name), _) => wait::saying(what, self.login(name)).await,
            (action, Some(peer)) => wait::saying(what, peer.perform(action)).await,
            (_, None) => Err(CliError::new(
                "internal",
                Exit::Other,
                "nobody is logged in",
            )),
        };
        outcome.unwrap_or_else(Outcome::Failed)
    }

    /// Forgets notices that were printed; where that fails they come again.
    pub(super) async fn clear_notices(&self, serial: u64) {
        if let Some(peer) = &self.peer
            && let Err(error) = peer.client.clear_notices(serial).await
        {
            tracing::warn!(%error, "notices that were shown are not cleared");
        }
    }

    /// Completes if the peer in this process ends by itself, with what is to be said about that.
    pub(super) async fn host_ended(&mut self) -> String {
        match &mut self.peer {
            Some(peer) => peer.host.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Stops the peer in this process and closes all connections.
    pub(super) async fn close(self) -> Result<(), CliError> {
        let Some(mut peer) = self.peer else {
            return Ok(());
        };
        peer.publisher.close().await;
        peer.client.close().await;
        peer.host.stop().await
    }

    async fn login(&mut self, name: PeerName) -> Result<Outcome, CliError> {
        let certs = self.ctx.config.certs_dir();
        let (identity, _) = Identity::load_or_create(&certs, name.as_str())?;
        let client = self.ctx.client_as(identity, name.clone())?;
        // The first request registers.
        let (_, notices) = client.subscriptions().await?;
        let new = client.index().registered().is_some_and(|reply| reply.new);
        let host = Host::start(self.ctx, &name, &client).await?;
        let login = Login {
            new,
            remark: host.remark(),
            notices: tell(&notices),
        };
        self.peer = Some(Peer {
            ctx: self.ctx,
            publisher: client.publisher(PublisherOptions {
                hold: false,
                ..PublisherOptions::default()
            }),
            name,
            client,
            host,
            pulled: None,
        });
        Ok(Outcome::LoggedIn(login))
    }
}

impl Peer<'_> {
    async fn perform(&mut self, action: Action) -> Result<Outcome, CliError> {
        match action {
            Action::Create(topic) => self.create(&topic).await?,
            Action::Delete(topic) => {
                self.client.delete_topic(&topic, None).await?;
            }
            Action::Send(topic, message) => {
                drop(
                    self.publisher
                        .publish(&topic, Message::new(message))
                        .await?,
                );
            }
            Action::Subscribe(topic) => {
                self.client.subscribe(&topic, &Group::default()).await?;
            }
            Action::Commit(topic) => self.commit(&topic).await?,
            Action::Deregister(hosted) => {
                self.client.deregister(hosted).await?;
                self.host.has_left().await?;
                erase::journal(self.ctx, &self.name).await?;
            }
            Action::Pull(topic) => return self.pull(&topic).await.map(Outcome::Pulled),
            Action::ListCreated => return self.created().await.map(Outcome::Created),
            Action::ListSubscribed => return self.subscribed().await,
            Action::WouldLose => return self.losses().await.map(Outcome::WouldLose),
            // A menu logs in once.
            Action::Login(_) => {}
        }
        Ok(Outcome::Done)
    }

    async fn create(&self, topic: &TopicName) -> Result<(), CliError> {
        let settings = TopicSettings::default();
        match self.client.create_topic(topic, settings, None).await {
            Err(error) if error.code() == Some(ErrorCode::TopicExists) => {
                let message = format!("Topic '{topic}' already exists.");
                Err(CliError::new("topic-exists", Exit::Conflict, message)
                    .help("choose another name, or send messages to it"))
            }
            created => Ok(created.map(drop)?),
        }
    }

    async fn pull(&mut self, topic: &TopicName) -> Result<Page, CliError> {
        match self.read(topic).await {
            Err(error) if error.code() == Some(ErrorCode::TopicNotFound) => {
                Err(self.not_found(topic, error).await)
            }
            read => Ok(read?),
        }
    }

    async fn read(&mut self, topic: &TopicName) -> Result<Page, ClientError> {
        let known = self.client.subscribed_to(topic, &Group::default());
        let mut subscribed = known.is_none() && self.subscribe(topic).await?;
        let options = PullOptions {
            max_bytes: PAGE_BYTES,
            ..PullOptions::default()
        };
        let pulled = self.client.pull(topic, &options).await?;
        // A subscription to an earlier life of the topic ended with that.
        if known.is_some_and(|known| known != pulled.topic) {
            subscribed = self.subscribe(topic).await?;
        }
        let mut page = Page {
            messages: vec![],
            more: pulled.delivery.next < pulled.delivery.end,
            subscribed,
        };
        for message in pulled.delivery.messages() {
            let message = message.map_err(|source| ClientError::BadData {
                topic: topic.clone(),
                source,
            })?;
            page.messages
                .push((message.offset.0, message.body.to_vec()));
        }
        self.pulled = Some(pulled);
        Ok(page)
    }

    /// Whether it was not subscribed before. Reading needs no index: where it is away, nothing is.
    async fn subscribe(&self, topic: &TopicName) -> Result<bool, ClientError> {
        match self.client.subscribe(topic, &Group::default()).await {
            Ok(subscribed) => Ok(subscribed.new),
            Err(error) if matches!(error.code(), None | Some(ErrorCode::ShuttingDown)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn commit(&mut self, topic: &TopicName) -> Result<(), CliError> {
        if let Some(pulled) = self.pulled.take() {
            self.client.commit(topic, &pulled).await?;
        }
        Ok(())
    }

    /// A topic that is gone, in the words of the notice about that if there is one.
    async fn not_found(&self, topic: &TopicName, error: ClientError) -> CliError {
        let notices = self
            .client
            .subscriptions()
            .await
            .map(|(_, notices)| notices);
        let about = |notice: &&Notice| {
            let NoticeKind::TopicDeleted { name, .. } = &notice.what;
            name == topic
        };
        match notices.iter().flatten().rev().find(about) {
            Some(notice) => CliError::new("topic-not-found", Exit::NotFound, notices::text(notice)),
            None => error.into(),
        }
    }

    async fn topics(&self, filter: &TopicFilter) -> Result<Vec<TopicInfo>, CliError> {
        let (mut topics, mut next) = self.client.list_topics(filter, None).await?;
        while let Some(after) = next {
            let page = self.client.list_topics(filter, Some(&after)).await?;
            topics.extend(page.0);
            next = page.1;
        }
        Ok(topics)
    }

    async fn created(&self) -> Result<Vec<TopicName>, CliError> {
        let filter = TopicFilter {
            owner: Some(self.name.clone()),
            ..TopicFilter::default()
        };
        let topics = self.topics(&filter).await?;
        Ok(topics.into_iter().map(|topic| topic.name).collect())
    }

    async fn subscribed(&self) -> Result<Outcome, CliError> {
        let (subscriptions, notices) = self.client.subscriptions().await?;
        let mut topics: Vec<TopicName> = subscriptions.into_iter().map(|s| s.name).collect();
        // One per consumer group.
        topics.dedup();
        Ok(Outcome::Subscribed(topics, tell(&notices)))
    }

    async fn losses(&self) -> Result<Losses, CliError> {
        let filter = TopicFilter {
            host: Some(self.name.clone()),
            ..TopicFilter::default()
        };
        let topics = self.topics(&filter).await?;
        let mut losses = Losses {
            hosted: u32::try_from(topics.len()).unwrap_or(u32::MAX),
            with_messages: vec![],
        };
        for topic in topics {
            let reported = topic.reported.map_or(0, |report| report.metadata.count());
            let messages = match reported {
                // Reports lag; only the host knows that there is nothing.
                0 => {
                    let state = self
                        .client
                        .topic_state(&topic.name, &Group::default())
                        .await?;
                    state.end.0.saturating_sub(state.start.0)
                }
                reported => reported,
            };
            if messages > 0 {
                losses.with_messages.push((topic.name, messages));
            }
        }
        Ok(losses)
    }
}

/// What is waited for, as in `waiting for ...`.
fn what(action: &Action) -> String {
    match action {
        Action::Login(name) => format!("peer {name} to be logged in"),
        Action::Create(topic) => format!("topic '{topic}' to be created"),
        Action::Delete(topic) => format!("topic '{topic}' to be deleted"),
        Action::Send(topic, _) | Action::Pull(topic) | Action::Commit(topic) => {
            format!("the host of topic '{topic}'")
        }
        Action::Deregister(_) => "the peer to be deregistered".to_owned(),
        Action::Subscribe(_) | Action::ListCreated | Action::ListSubscribed | Action::WouldLose => {
            "the index".to_owned()
        }
    }
}

fn tell(notices: &[Notice]) -> Notices {
    Notices {
        lines: notices
            .iter()
            .map(|notice| one_line(&notices::text(notice)).into_owned())
            .collect(),
        serial: notices.iter().map(|notice| notice.serial).max(),
    }
}
