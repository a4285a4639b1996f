//! What the index has held while nobody hosted a topic, on its way into the topic's log.
//!
//! A host that comes to a held topic takes no appends but these, in their order, page by page: fetched,
//! appended, committed by all copies in sync, settled with the index. Batches keep their producers' ids
//! and sequences, so that what a drain brings twice, or what the host of before had already, is dropped
//! as a duplicate. With the last the index opens the topic.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashSet;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use super::hosted::Settled;
use super::{Replication, records};
use crate::client::{ClientError, IndexLink, describe};
use crate::journal::{Appended, Command, Done, Journal, Outcome, Refusal};
use crate::limits;
use crate::peer::append::refused;
use crate::peer::host::journal_stopped;
use crate::types::{Epoch, ProducerId, TopicId};
use crate::wire::index::copies::{DrainHeld, HeldBatch, HeldSettled};
use crate::wire::{ErrorReply, batch};

/// Topics that wait to be drained, and those under way; each is there once.
#[derive(Debug, Default)]
pub(in crate::peer) struct Drains {
    state: Mutex<State>,
    some: Notify,
}

#[derive(Debug, Default)]
struct State {
    named: HashSet<TopicId>,
    waiting: Vec<TopicId>,
}

impl Drains {
    pub(super) fn push(&self, topic: TopicId) {
        let mut state = self.state.lock();
        if state.named.insert(topic) {
            state.waiting.push(topic);
            self.some.notify_one();
        }
    }

    fn done(&self, topic: TopicId) {
        self.state.lock().named.remove(&topic);
    }

    async fn wait(&self) -> Vec<TopicId> {
        loop {
            let waiting = std::mem::take(&mut self.state.lock().waiting);
            if !waiting.is_empty() {
                return waiting;
            }
            self.some.notified().await;
        }
    }
}

/// Why a page is not settled: it is fetched again.
#[derive(Debug, thiserror::Error)]
enum Stuck {
    #[error("the index does not answer")]
    Index(#[from] ClientError),
    #[error("an append is not committed: {0}")]
    Append(#[from] ErrorReply),
    #[error("the index's record is not sound")]
    Record(#[from] records::Unsound),
}

/// Drains topics whenever there are some, until dropped.
pub(in crate::peer) async fn run(
    replication: Arc<Replication>,
    index: IndexLink,
    journal: Journal,
) {
    let mut draining = JoinSet::new();
    loop {
        for topic in replication.drains.wait().await {
            while draining.len() >= limits::DRAINS_AT_ONCE {
                // One that panicked has said so; the next one goes on.
                let _ = draining.join_next().await;
            }
            let drain = Drain {
                replication: Arc::clone(&replication),
                index: index.clone(),
                journal: journal.clone(),
                topic,
            };
            draining.spawn(drain.run());
        }
        while draining.try_join_next().is_some() {}
    }
}

/// One topic.
struct Drain {
    replication: Arc<Replication>,
    index: IndexLink,
    journal: Journal,
    topic: TopicId,
}

impl Drain {
    async fn run(self) {
        let topic = self.topic;
        while let Some(epoch) = self.replication.draining(topic) {
            if let Err(stuck) = self.page(epoch).await {
                tracing::debug!(%topic, error = %describe(&stuck), "what the index holds is fetched again");
                tokio::time::sleep(limits::ASK_AGAIN).await;
            }
        }
        self.replication.drains.done(topic);
        // The role may have come again since the look at it.
        if self.replication.draining(topic).is_some() {
            self.replication.drains.push(topic);
        }
    }

    /// Takes the next page into the log, and tells the index.
    async fn page(&self, epoch: Epoch) -> Result<(), Stuck> {
        let topic = self.topic;
        let doing = "fetching what the index holds for a topic";
        let request = DrainHeld { topic, epoch };
        let batches = self
            .index
            .call_beside_session(doing, &request, true)
            .await?
            .batches;
        let through = batches.last().map(|batch| batch.held);
        let count = batches.len();
        self.append_all(epoch, batches).await?;
        let doing = "telling the index that what it held is in the log";
        let request = HeldSettled {
            topic,
            epoch,
            through,
        };
        let settled = self
            .index
            .call_beside_session(doing, &request, true)
            .await?;
        tracing::info!(%topic, count, left = settled.left, "{count} batches that the index held are in the log");
        let record = records::configuration(&self.replication.peers, &settled.copies)?;
        self.replication.record(topic, record);
        Ok(())
    }

    /// Appends batches in their order and waits until all of them are committed.
    async fn append_all(&self, epoch: Epoch, batches: Vec<HeldBatch>) -> Result<(), Stuck> {
        let mut appending = Vec::with_capacity(batches.len());
        for HeldBatch { batch, .. } in batches {
            let batch = Bytes::from(batch);
            let outcome = self.submit(epoch, batch.clone()).await?;
            appending.push((batch, outcome));
        }
        let to = Arc::new(Settled::default());
        let mut waiting = 0;
        for (batch, outcome) in appending {
            let outcome = outcome.await.map_err(|_| journal_stopped())?;
            let Some(appended) = self.judge(epoch, batch, outcome).await? else {
                continue;
            };
            match self.replication.settle(0, appended, &to) {
                Some(settlement) => _ = settlement?,
                None => waiting += 1,
            }
        }
        while waiting > 0 {
            for (_, _, settlement) in to.wait().await {
                settlement?;
                waiting -= 1;
            }
        }
        Ok(())
    }

    async fn submit(
        &self,
        epoch: Epoch,
        batch: Bytes,
    ) -> Result<oneshot::Receiver<Outcome>, ErrorReply> {
        let topic = self.topic;
        let command = Command::Append {
            topic,
            epoch,
            batch,
        };
        let (done, outcome) = oneshot::channel();
        let submitted = self.journal.submit(command, Done::Oneshot(done)).await;
        submitted.map_err(|_| journal_stopped())?;
        Ok(outcome)
    }

    /// Where the batch is; `None`: the log had it long before.
    async fn judge(
        &self,
        epoch: Epoch,
        batch: Bytes,
        outcome: Outcome,
    ) -> Result<Option<Appended>, ErrorReply> {
        match outcome {
            Outcome::Appended(appended) => Ok(Some(appended)),
            // A producer's sequences have no holes: this one was taken before those remembered.
            Outcome::Refused(Refusal::SequenceTooOld) => Ok(None),
            Outcome::Refused(Refusal::UnknownProducer | Refusal::SequenceGap { .. }) => {
                self.append_renamed(epoch, &batch).await.map(Some)
            }
            Outcome::Refused(refusal) => Err(refused(&refusal)),
            _ => Err(journal_stopped()),
        }
    }

    /// The log does not remember the producer, or has lost messages before this one: the batch goes
    /// under an id of its own, the same one at each try. Nothing that was answered "held" is dropped.
    async fn append_renamed(&self, epoch: Epoch, batch: &Bytes) -> Result<Appended, ErrorReply> {
        let header = batch::read_header(batch).map_err(|_| journal_stopped())?;
        let producer = renamed(header.producer, header.sequence);
        tracing::warn!(
            topic = %self.topic, %producer, of = %header.producer, sequence = header.sequence,
            "the log does not know what came before a held batch; it is appended under another producer id"
        );
        let renamed = batch::renumber(batch, producer, 0);
        let outcome = self.submit(epoch, renamed).await?.await;
        match outcome.map_err(|_| journal_stopped())? {
            Outcome::Appended(appended) => Ok(appended),
            Outcome::Refused(refusal) => Err(refused(&refusal)),
            _ => Err(journal_stopped()),
        }
    }
}

/// A producer id for one batch, that follows from whose it was. It keeps the mark of its key.
fn renamed(producer: ProducerId, sequence: u64) -> ProducerId {
    // FNV-1a: no two batches of a publisher shall meet, nobody else can make them.
    let of = producer.0.into_iter().chain(sequence.to_be_bytes());
    let mark = of.fold(0xcbf2_9ce4_8422_2325_u64, |mark, byte| {
        (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut renamed = producer;
    renamed.0[8..].copy_from_slice(&mark.to_be_bytes());
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_renamed_the_same_way_each_time_and_stays_its_keys() {
        let of = ProducerId([7; 16]);
        assert_eq!(renamed(of, 5), renamed(of, 5));
        assert_ne!(renamed(of, 5), renamed(of, 6));
        assert_eq!(renamed(of, 5).key_mark(), of.key_mark());
    }
}
