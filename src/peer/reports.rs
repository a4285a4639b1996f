//! Reports to the index: the metadata of topics that changed, at most once a second.

use std::time::Duration;

use hashbrown::HashSet;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::replication::Replication;
use crate::journal::{Journal, TopicStat};
use crate::limits;
use crate::transport::{CallError, Connection};
use crate::types::{SessionId, TopicId};
use crate::wire::index::{Report, ReportAck, ReportsOpened, SessionReports, TopicMetadata};

/// Reports go out at most so often.
const EVERY: Duration = Duration::from_secs(1);

/// Topics that changed since they were last reported.
#[derive(Default)]
pub(super) struct Changed {
    topics: Mutex<HashSet<TopicId>>,
    some: Notify,
}

impl Changed {
    /// Marks topics; called by the journal's writer.
    pub(super) fn mark(&self, topics: &[TopicId]) {
        self.topics.lock().extend(topics);
        self.some.notify_one();
    }

    fn take(&self) -> Vec<TopicId> {
        self.topics.lock().drain().collect()
    }

    /// Waits until there is something.
    async fn next(&self) -> Vec<TopicId> {
        loop {
            let topics = self.take();
            if !topics.is_empty() {
                return topics;
            }
            self.some.notified().await;
        }
    }
}

/// What the index is told of a topic.
fn metadata(topic: &TopicStat) -> TopicMetadata {
    TopicMetadata {
        start: topic.start.0,
        end: topic.end.0,
        bytes: topic.bytes,
        last_append: topic.last_append.unwrap_or_default(),
    }
}

/// Reports until the stream breaks: first every topic that holds messages, for this index may be
/// new to us, then what changes. Only what this peer hosts; a topic whose role begins later is marked as
/// changed then.
pub(super) async fn run(
    connection: Connection,
    session: SessionId,
    journal: Journal,
    replication: &Replication,
    changed: &Changed,
) -> Result<(), CallError> {
    let (mut sender, mut receiver) = connection.open(&SessionReports { session }).await?;
    receiver.expect::<ReportsOpened>().await?;
    let mut serial = 0;
    let mut topics: Vec<TopicId> = {
        changed.take();
        let known = journal.topics();
        known
            .iter()
            .filter(|topic| topic.end.0 > 1)
            .map(|topic| topic.id)
            .collect()
    };
    loop {
        for part in topics.chunks(limits::REPORTS_PER_FRAME) {
            serial += 1;
            let topics = part
                .iter()
                .filter_map(|id| replication.reported(journal.topic(*id)?))
                .map(|topic| (topic.id, metadata(&topic)))
                .collect();
            sender.send(&Report { serial, topics }).await?;
            receiver.expect::<ReportAck>().await?;
        }
        // The first change is reported at once, the next ones together a second later.
        tokio::time::sleep(EVERY).await;
        topics = changed.next().await;
    }
}
