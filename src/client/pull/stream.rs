//! A pull whose messages are taken as they come, however many they are.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::host_pull::{HostPull, Verified};
use super::{Position, PullOptions, Pulled, pulling};
use crate::client::Client;
use crate::client::error::ClientError;
use crate::transport::CallError;
use crate::types::{Offset, TopicId, TopicName};
use crate::wire::index::Route;
use crate::wire::peer::ReadFrom;
use crate::wire::{ErrorCode, ErrorReply};

/// The messages of a pull, piece by piece. Dropping it ends the pull.
pub struct PullStream {
    client: Client,
    topic: TopicName,
    /// What is wanted yet.
    wanted: PullOptions,
    /// What was learnt when it began.
    began: Option<Began>,
    /// The pull under way, and where.
    open: Option<(Route, HostPull)>,
}

struct Began {
    /// The topic's life that is read.
    topic: TopicId,
    /// The earliest offset kept.
    start: Offset,
    /// The next offset wanted.
    next: Offset,
    /// The end of the topic: who reads more slowly than others publish comes to an end all the same.
    end: Offset,
    /// The position as it was last heard of.
    position: Option<Position>,
}

impl Client {
    /// Reads what is there as [`Client::pull`] does, but hands messages over as they come: for much of it, which
    /// then need not fit in memory, nor wait at the host for one request after the other.
    /// [`PullOptions::max_bytes`] bounds all of it; give `u64::MAX` for a whole topic.
    ///
    /// ```no_run
    /// # async fn example(client: waypost::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use waypost::client::PullOptions;
    ///
    /// let topic = "T1".parse()?;
    /// let mut messages = client.pull_stream(&topic, PullOptions { max_bytes: u64::MAX, ..Default::default() });
    /// while let Some(pulled) = messages.next().await? {
    ///     for message in pulled.delivery.messages() {
    ///         println!("{:?}", message?.body);
    ///     }
    /// }
    /// messages.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn pull_stream(&self, topic: &TopicName, options: PullOptions) -> PullStream {
        PullStream {
            client: self.clone(),
            topic: topic.clone(),
            wanted: options,
            began: None,
            open: None,
        }
    }
}

impl PullStream {
    /// The messages that come next, some 64 KiB of them; `None` once all were given that were there when it began,
    /// or as many as are wanted. It goes on by itself when the host is lost in the middle. If retention has taken
    /// messages before they were read, [`Delivery::from`](crate::client::Delivery::from) lies above the `next` before. Cancellation safe.
    pub async fn next(&mut self) -> Result<Option<Pulled>, ClientError> {
        loop {
            if self.is_complete() {
                return Ok(None);
            }
            let came = match &mut self.open {
                Some(_) => self.read_on().await?,
                // What comes first comes with the asking, so that a host which sends nothing is the end.
                None => match self.begin().await? {
                    None => return Ok(None),
                    first => first,
                },
            };
            match came {
                Some(verified) => return self.give(verified),
                None => self.open = None,
            }
        }
    }

    /// Moves the position behind what was given so far, and answers as [`Client::commit`] does; `None`: nothing
    /// was given yet.
    pub async fn commit(&mut self) -> Result<Option<Position>, ClientError> {
        let Some(began) = &mut self.began else {
            return Ok(None);
        };
        let sequence = began.position.map_or(0, |position| position.sequence);
        let wanted = Position {
            next: began.next,
            sequence: sequence + 1,
        };
        let group = &self.wanted.group;
        let committed = self
            .client
            .commit_position(&self.topic, began.topic, group, wanted, false)
            .await?;
        began.position = Some(committed);
        Ok(began.position)
    }

    fn is_complete(&self) -> bool {
        let wanted = &self.wanted;
        let at_end = self.began.as_ref().is_some_and(|at| at.next >= at.end);
        at_end || wanted.max_messages == 0 || wanted.max_bytes == 0
    }

    /// Asks the topic's host, and waits for what comes first.
    async fn begin(&mut self) -> Result<Option<Verified>, ClientError> {
        let (topic, wanted) = (&self.topic, &self.wanted);
        let life = self.began.as_ref().map(|began| began.topic);
        let ask = |connection, route: Route| async move {
            if life.is_some_and(|life| life != route.topic) {
                return Err(CallError::Remote(made_anew(topic)));
            }
            let mut pull = HostPull::open(&connection, &route, topic, wanted).await?;
            let first = pull.next().await?;
            Ok((route, pull, first))
        };
        let doing = pulling(topic);
        let asked = self.client.on_host(topic, doing, wanted.wait, ask).await?;
        let (route, pull, first) = asked;
        let started = &pull.started;
        let end = self.began.as_ref().map_or(started.end, |began| began.end);
        self.began = Some(Began {
            topic: route.topic,
            start: started.start,
            next: started.from,
            end,
            position: started.position,
        });
        self.open = Some((route, pull));
        Ok(first)
    }

    /// `None`: the host has sent what was asked of it, or is lost.
    async fn read_on(&mut self) -> Result<Option<Verified>, ClientError> {
        let Some((route, pull)) = &mut self.open else {
            return Ok(None);
        };
        let came = match pull.next_here() {
            Ok(None) => {
                let heard = AtomicU64::new(0);
                tokio::select! {
                    came = pull.next() => came,
                    _ = self.client.lost_silently(&self.topic, &route.host, &heard) => Ok(None),
                }
            }
            here => here,
        };
        let error = match came {
            Ok(came) => return Ok(came),
            Err(error) => error,
        };
        tracing::debug!(topic = %self.topic, %error, "a pull broke off");
        let (route, doing) = (route.clone(), pulling(&self.topic));
        let again = self.client.may_go_on(&self.topic, &doing, &route, error);
        again.await.map(|()| None)
    }

    /// Hands out what came, as far as it is wanted.
    fn give(&mut self, verified: Verified) -> Result<Option<Pulled>, ClientError> {
        let Some(began) = &mut self.began else {
            return Ok(None);
        };
        let mut delivery = verified.map_err(|source| ClientError::BadData {
            topic: self.topic.clone(),
            source,
        })?;
        let wanted = &mut self.wanted;
        wanted.max_bytes = wanted.max_bytes.saturating_sub(delivery.bytes());
        let left = began.end.0.saturating_sub(delivery.from.0);
        delivery.limit(wanted.max_messages.min(left));
        wanted.max_messages -= delivery.count();
        wanted.from = ReadFrom::Offset(delivery.next);
        wanted.wait = Duration::ZERO;
        began.next = delivery.next;
        Ok(Some(Pulled {
            delivery,
            position: began.position,
            start: began.start,
            group: wanted.group.clone(),
            topic: began.topic,
        }))
    }
}

/// Its offsets mean other messages now.
fn made_anew(topic: &TopicName) -> ErrorReply {
    let detail = format!("topic '{topic}' was deleted and made anew while it was read");
    ErrorReply::new(ErrorCode::TopicNotFound, detail)
}
