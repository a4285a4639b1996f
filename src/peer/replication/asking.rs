//! What hosts ask of the index: another in-sync set, the end of a hand-over, and to be in no set with a
//! damaged copy.
//!
//! A wish without an answer within a second is given back to the machine as unknown, and an answer that
//! comes later is not heard: until the record tells, the machine waits for the union of both sets.

use std::sync::Arc;

use hashbrown::HashSet;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Replication, records};
use crate::client::{ClientError, IndexLink, describe};
use crate::limits;
use crate::peer::host::HostState;
use crate::replication::configuration::{AlterInSync, Altered};
use crate::replication::members::PeerNo;
use crate::types::{Epoch, TopicId};
use crate::wire::index::copies::{HandOver, LeaveInSync};

/// A question for the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) enum Ask {
    /// Another in-sync set.
    Alter(TopicId, AlterInSync),
    /// That this peer, which has everything, takes the topic over.
    HandOver(TopicId, Epoch, PeerNo),
    /// To take this peer out of the in-sync set, for its copy is damaged (rule 10).
    Leave(TopicId),
}

#[derive(Debug, Default)]
struct Waiting {
    asks: Vec<Ask>,
    /// Topics whose hand-over is being told: the machine says it at every event.
    handing_over: HashSet<TopicId>,
    /// Topics whose set is being left: each read that meets the damage says so.
    leaving: HashSet<TopicId>,
}

/// Questions that wait to be asked: at most three for each topic, for the machine has one proposal at a
/// time.
#[derive(Debug, Default)]
pub(in crate::peer) struct Asks {
    waiting: Mutex<Waiting>,
    some: Notify,
}

impl Asks {
    pub(super) fn push(&self, ask: Ask) {
        {
            let mut waiting = self.waiting.lock();
            if let Ask::HandOver(topic, ..) = ask
                && !waiting.handing_over.insert(topic)
            {
                return;
            }
            if let Ask::Leave(topic) = ask
                && !waiting.leaving.insert(topic)
            {
                return;
            }
            waiting.asks.push(ask);
        }
        self.some.notify_one();
    }

    fn left(&self, topic: TopicId) {
        self.waiting.lock().leaving.remove(&topic);
    }

    fn handed_over(&self, topic: TopicId) {
        self.waiting.lock().handing_over.remove(&topic);
    }

    pub(super) async fn wait(&self) -> Vec<Ask> {
        loop {
            let asks = std::mem::take(&mut self.waiting.lock().asks);
            if !asks.is_empty() {
                return asks;
            }
            self.some.notified().await;
        }
    }
}

/// Asks the index whatever hosts want to know, until dropped.
pub(in crate::peer) async fn run(
    replication: Arc<Replication>,
    index: IndexLink,
    state: Arc<HostState>,
) {
    let mut asking = JoinSet::new();
    loop {
        for ask in replication.asks.wait().await {
            while asking.len() >= limits::ASKS_IN_FLIGHT {
                // A question that panicked has said so; the next one goes on.
                let _ = asking.join_next().await;
            }
            let (replication, index) = (Arc::clone(&replication), index.clone());
            let state = Arc::clone(&state);
            asking.spawn(async move {
                match ask {
                    Ask::Alter(topic, wish) => alter(&replication, &index, topic, &wish).await,
                    Ask::HandOver(topic, epoch, to) => {
                        hand_over(&replication, &index, topic, epoch, to).await;
                    }
                    Ask::Leave(topic) => {
                        leave(&index, &state, topic).await;
                        replication.asks.left(topic);
                    }
                }
            });
        }
        while asking.try_join_next().is_some() {}
    }
}

async fn alter(replication: &Replication, index: &IndexLink, topic: TopicId, wish: &AlterInSync) {
    let request = records::wish(&replication.peers, topic, wish);
    let doing = "asking for another in-sync set";
    let asked = index.call_beside_session(doing, &request, false);
    let answer = match within(doing, asked).await {
        Ok(answer) => match records::altered(&replication.peers, &answer) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(%topic, %error, "the index answered a wish for another in-sync set");
                Altered::Unknown
            }
        },
        Err(error) => {
            tracing::debug!(%topic, error = %describe(&error), "no answer to a wish for another in-sync set");
            Altered::Unknown
        }
    };
    tracing::debug!(%topic, ?wish, ?answer, "in-sync set");
    replication.altered(topic, answer);
}

async fn hand_over(
    replication: &Replication,
    index: &IndexLink,
    topic: TopicId,
    epoch: Epoch,
    to: PeerNo,
) {
    let told = match replication.peers.key(to) {
        Some(to) => {
            let request = HandOver { topic, epoch, to };
            let doing = "telling that a topic can be taken over";
            within(doing, index.call_beside_session(doing, &request, false)).await
        }
        None => Err(ClientError::Closed),
    };
    replication.asks.handed_over(topic);
    match told.map(|answer| records::configuration(&replication.peers, &answer.copies)) {
        Ok(Ok(record)) => replication.record(topic, record),
        Ok(Err(error)) => tracing::error!(%topic, %error, "the index answered a hand-over"),
        Err(error) => {
            tracing::debug!(%topic, error = %describe(&error), "no answer to a hand-over");
            tokio::time::sleep(limits::ASK_AGAIN).await;
            replication.look_again(topic);
        }
    }
}

/// Asks until the index has answered, in this session only: in the next one the index names this peer
/// host again, or not, and it is asked anew.
async fn leave(index: &IndexLink, state: &HostState, topic: TopicId) {
    let doing = "leaving the in-sync set of a topic whose copy is damaged here";
    let Some(session) = state.session() else {
        return;
    };
    while state.session() == Some(session) {
        let request = LeaveInSync { session, topic };
        match within(doing, index.call_beside_session(doing, &request, false)).await {
            // Another peer hosts it now, and this one is told to copy it.
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%topic, error = %describe(&error), "{doing}: no answer; trying again");
            }
        }
        tokio::time::sleep(limits::ASK_AGAIN).await;
    }
}

async fn within<T>(
    doing: &str,
    asked: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let after = limits::ASK_TIMEOUT;
    let answered = tokio::time::timeout(after, asked).await;
    answered.unwrap_or_else(|_| {
        Err(ClientError::TimedOut {
            doing: doing.to_owned(),
            after,
            last: None,
        })
    })
}
