//! What is asked beside the streams: a host, what it remembers of producers; the index, to take this peer out
//! of an in-sync set.

use super::{Brought, Engine};
use crate::client::describe;
use crate::journal::{Command, DedupeRange, Stopped};
use crate::limits;
use crate::peer::replication::following::dedupe;
use crate::replication::members::PeerNo;
use crate::types::{ProducerId, TopicId};
use crate::wire::index::copies::LeaveInSync;
use crate::wire::peer::replication::FetchDedupe;

impl Engine {
    pub(super) fn fetch_dedupe(&self, host: PeerNo, id: TopicId) {
        let open = self.links.get(&host).and_then(|link| link.open.as_ref());
        let topic = self.machine.topic(id);
        let slot = self.machine.slot_of(id);
        let (Some((connection, _)), Some(topic), Some(slot)) = (open, topic, slot) else {
            return;
        };
        // The answer's epoch was made known before this was asked for.
        let request = FetchDedupe {
            topic: id,
            epoch: topic.known(),
            below: topic.log().start(),
        };
        let (connection, brought) = (connection.clone(), self.brought.clone());
        tokio::spawn(async move {
            let fetched = dedupe::fetch(&connection, &request).await;
            // An engine that is gone needs it no more.
            let _ = brought.send(Brought::Dedupe(id, slot, fetched)).await;
        });
    }

    pub(super) fn leave_set(&mut self, id: TopicId) {
        let Some(kept) = self.topics.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut kept.leaving, true) {
            return;
        }
        let (index, brought) = (self.context.client.index().clone(), self.brought.clone());
        let session = self.context.state.session();
        tracing::warn!(topic = %id, name = %kept.name, "leaving the in-sync set, to fetch the copy anew");
        tokio::spawn(async move {
            let doing = "leaving a topic's in-sync set";
            let left = match session {
                Some(session) => {
                    let request = LeaveInSync { session, topic: id };
                    let asked = index.call(doing, &request, false).await;
                    let told = asked.inspect_err(|error| {
                        tracing::warn!(topic = %id, error = %describe(error), "{doing} failed; trying again");
                    });
                    told.is_ok()
                }
                None => false,
            };
            let _ = brought.send(Brought::Left(id, left)).await;
        });
    }

    pub(super) async fn on_brought(&mut self, brought: Brought) -> Result<(), Stopped> {
        match brought {
            Brought::Left(id, left) => {
                let Some(kept) = self.topics.get_mut(&id) else {
                    return Ok(());
                };
                kept.leaving = false;
                if !left {
                    self.later(id);
                    return Ok(());
                }
                let effects = self.machine.left(id);
                self.perform(effects, None).await
            }
            Brought::Dedupe(id, slot, fetched) => {
                // Asked for on a slot that is gone: asked for anew on the next.
                if self.machine.slot_of(id) != Some(slot) {
                    return Ok(());
                }
                match fetched {
                    Ok(ranges) => self.on_dedupe(id, &ranges).await,
                    Err(error) => {
                        tracing::warn!(topic = %id, %error, "could not fetch what a host remembers of producers");
                        match self.topics.get(&id).map(|kept| kept.host) {
                            Some(host) => self.end_slot(host, slot),
                            None => Ok(()),
                        }
                    }
                }
            }
        }
    }

    async fn on_dedupe(
        &mut self,
        topic: TopicId,
        ranges: &[(ProducerId, DedupeRange)],
    ) -> Result<(), Stopped> {
        let Some(below) = self.machine.topic(topic).map(|topic| topic.log().start()) else {
            return Ok(());
        };
        let mut parts = ranges.chunks(limits::RANGES_PER_FRAME).peekable();
        let mut first = true;
        loop {
            let part = parts.next().unwrap_or(&[]);
            let is_last = parts.peek().is_none();
            let number = is_last.then(|| self.machine.written() + 1);
            let command = Command::Dedupe {
                topic,
                below,
                first,
                ranges: part.to_vec(),
            };
            self.submit(topic, number, command).await?;
            if is_last {
                break;
            }
            first = false;
        }
        let effects = self.machine.dedupe(topic);
        self.perform(effects, None).await
    }
}
