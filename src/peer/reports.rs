//! Reports to the index: the metadata of topics that changed, and which of their copies are not in
//! sync, at most once a second.

use std::collections::BTreeMap;
use std::time::Duration;

use hashbrown::HashSet;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::replication::Replication;
use crate::journal::{Journal, TopicStat};
use crate::limits;
use crate::transport::{CallError, Connection};
use crate::types::{SessionId, TopicId};
use crate::wire::index::{
    CopyLag, Report, ReportAck, ReportsOpened, SessionReports, TopicMetadata,
};

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
    let mut lagging = Lagging::default();
    loop {
        for part in topics.chunks(TOPICS_PER_REPORT) {
            serial += 1;
            let report = report(serial, part, &journal, replication);
            lagging.told(part, &report.behind);
            sender.send(&report).await?;
            receiver.expect::<ReportAck>().await?;
        }
        // The first change is reported at once, the next ones together a second later.
        tokio::time::sleep(EVERY).await;
        topics = next(changed, &lagging, replication).await;
    }
}

/// However many copies of them are behind, all fit into a frame.
const TOPICS_PER_REPORT: usize = limits::LAGS_PER_FRAME / limits::COPIES;
const _: () = assert!(TOPICS_PER_REPORT <= limits::REPORTS_PER_FRAME);

fn report(serial: u64, topics: &[TopicId], journal: &Journal, replication: &Replication) -> Report {
    let stats = topics.iter().filter_map(|&id| journal.topic(id));
    let stats = stats.filter_map(|stat| replication.reported(stat));
    Report {
        serial,
        topics: stats.map(|stat| (stat.id, metadata(&stat))).collect(),
        behind: replication.lags(topics),
    }
}

/// Waits for something to report. A copy that catches up changes nothing in the log: as long as some are
/// behind, they are looked at again and again.
async fn next(changed: &Changed, lagging: &Lagging, replication: &Replication) -> Vec<TopicId> {
    loop {
        let topics = match lagging.is_empty() {
            true => changed.next().await,
            false => tokio::select! {
                topics = changed.next() => topics,
                () = tokio::time::sleep(EVERY) => vec![],
            },
        };
        let mut due: HashSet<TopicId> = topics.into_iter().collect();
        due.extend(lagging.changed(replication));
        if !due.is_empty() {
            return due.into_iter().collect();
        }
    }
}

/// What the index was last told of copies that are not in sync; nothing of topics without such.
#[derive(Default)]
struct Lagging(BTreeMap<TopicId, Vec<CopyLag>>);

impl Lagging {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The index was told of these topics.
    fn told(&mut self, topics: &[TopicId], behind: &[CopyLag]) {
        for topic in topics {
            self.0.remove(topic);
        }
        for lag in behind {
            self.0.entry(lag.topic).or_default().push(*lag);
        }
    }

    /// Topics of which it would be told something else now.
    fn changed(&self, replication: &Replication) -> Vec<TopicId> {
        let told: Vec<TopicId> = self.0.keys().copied().collect();
        let mut now = Lagging::default();
        now.told(&[], &replication.lags(&told));
        let differs = |topic: &TopicId| self.0.get(topic) != now.0.get(topic);
        told.into_iter().filter(differs).collect()
    }
}
