use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::runtime::Builder;

use super::*;
use crate::index::decide::Caller;
use crate::index::directory::ToldLags;
use crate::index::record::{Expected, Table, TopicRecord};
use crate::index::store::{MemoryStore, Row};
use crate::types::{Fingerprint, PeerName};

/// A store whose commits wait for permission and may fail.
#[derive(Clone)]
struct GatedStore {
    inner: MemoryStore,
    gate: Arc<Mutex<std::sync::mpsc::Receiver<Verdict>>>,
    commits: Arc<Mutex<Vec<usize>>>,
    /// Told when a commit begins to wait.
    waiting: Arc<tokio::sync::Notify>,
}

enum Verdict {
    Commit,
    Conflict(Vec<Change>),
    Fail,
}

impl Store for GatedStore {
    fn load(&self, visit: &mut dyn FnMut(Change)) -> Result<Revision, StoreError> {
        self.inner.load(visit)
    }

    fn count(&self, table: Table) -> Result<u64, StoreError> {
        self.inner.count(table)
    }

    fn commit(&self, expected: &[Expected], changes: &[Change]) -> Result<Revision, CommitError> {
        self.waiting.notify_one();
        match self.gate.lock().recv().unwrap() {
            Verdict::Commit => {
                self.commits.lock().push(changes.len());
                self.inner.commit(expected, changes)
            }
            Verdict::Conflict(others) => {
                self.inner.commit(&[], &others).unwrap();
                self.inner.commit(expected, changes)
            }
            Verdict::Fail => {
                let source = std::io::Error::other("the disk is gone");
                Err(StoreError::Io {
                    path: "index.redb".into(),
                    source,
                }
                .into())
            }
        }
    }

    fn watch(&self, revision: Revision) -> Result<Watched, StoreError> {
        self.inner.watch(revision)
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.inner.scan(table, prefix, after, limit)
    }
}

/// Notes what happened, in order.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<VecDeque<String>>>);

impl Outcomes for Noted {
    fn happened(&mut self, effects: Vec<Effect>) {
        self.0
            .lock()
            .push_back(format!("{} effects", effects.len()));
    }

    fn failed(&mut self, why: Fatal) {
        self.0.lock().push_back(why.to_string());
    }
}

struct Bench {
    directory: Arc<RwLock<Directory>>,
    store: GatedStore,
    gate: std::sync::mpsc::Sender<Verdict>,
    noted: Noted,
    deciding: Deciding,
    thread: JoinHandle<()>,
}

fn bench() -> Bench {
    let (gate, gated) = std::sync::mpsc::channel();
    let store = GatedStore {
        inner: MemoryStore::new(),
        gate: Arc::new(Mutex::new(gated)),
        commits: Arc::default(),
        waiting: Arc::default(),
    };
    let directory = Arc::new(RwLock::new(Directory::new(1)));
    let noted = Noted::default();
    let shared: Arc<dyn Store> = Arc::new(store.clone());
    let (deciding, thread) = start(Arc::clone(&directory), shared, 0, noted.clone()).unwrap();
    Bench {
        directory,
        store,
        gate,
        noted,
        deciding,
        thread,
    }
}

fn register(n: u8) -> Event {
    Event::Register {
        caller: Caller {
            key: Fingerprint([n; 32]),
            operator: false,
        },
        name: PeerName::new(&format!("p{n}")).unwrap(),
        program: "test".into(),
        observed: "127.0.0.1:1".parse().unwrap(),
        serial: 0,
    }
}

fn run_test(test: impl Future<Output = ()>) {
    Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(test);
}

#[test]
fn what_queues_during_a_commit_shares_the_next_one() {
    run_test(async {
        let bench = bench();
        let ask = |n| {
            let deciding = bench.deciding.clone();
            tokio::spawn(async move { deciding.decide(register(n)).await })
        };
        let first = ask(1);
        bench.store.waiting.notified().await;
        let others: Vec<_> = (2..=9).map(ask).collect();
        while bench.deciding.queue.capacity() > limits::DECISIONS_QUEUED - 8 {
            tokio::task::yield_now().await;
        }
        assert!(
            !first.is_finished(),
            "nothing is answered before it is durable"
        );
        assert_eq!(bench.directory.read().peer_count(), 0, "nor visible");
        bench.gate.send(Verdict::Commit).unwrap();
        bench.gate.send(Verdict::Commit).unwrap();
        first.await.unwrap().unwrap();
        for other in others {
            other.await.unwrap().unwrap();
        }
        // One peer and the counters; then eight peers.
        assert_eq!(*bench.store.commits.lock(), [2, 8]);
        bench.deciding.stop().await;
        bench.thread.join().unwrap();
    });
}

#[test]
fn a_conflict_is_decided_again_on_what_the_other_did() {
    run_test(async {
        let bench = bench();
        let mut stolen = vec![];
        let mut directory = Directory::new(1);
        let mut other = register(2);
        if let Event::Register { name, .. } = &mut other {
            *name = PeerName::new("p1").unwrap();
        }
        let decision = decide(&directory, &mut Overlay::default(), &other, UnixMicros(1));
        decision
            .changes
            .iter()
            .for_each(|change| directory.apply(change));
        stolen.extend(decision.changes);
        bench.gate.send(Verdict::Conflict(stolen)).unwrap();
        let refused = bench.deciding.decide(register(1)).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::IdentityMismatch);
        assert_eq!(bench.directory.read().peer_count(), 1);
        bench.deciding.stop().await;
        bench.thread.join().unwrap();
    });
}

#[test]
fn a_failed_commit_answers_nobody_and_stops() {
    run_test(async {
        let bench = bench();
        bench.gate.send(Verdict::Fail).unwrap();
        let answer = bench.deciding.decide(register(1)).await.unwrap_err();
        assert_eq!(answer.code(), ErrorCode::ShuttingDown);
        bench.thread.join().unwrap();
        assert_eq!(*bench.noted.0.lock(), ["the index's store failed"]);
        assert_eq!(bench.directory.read().peer_count(), 0);
        let later = bench.deciding.decide(register(2)).await.unwrap_err();
        assert_eq!(later.code(), ErrorCode::ShuttingDown);
    });
}

#[test]
fn what_was_queued_before_the_end_is_done_and_reports_are_written() {
    use crate::index::record::{Change, TopicState};
    use crate::types::{MonoNs, TopicId, TopicSettings};
    use crate::wire::index::TopicMetadata;
    run_test(async {
        let bench = bench();
        let host = Fingerprint([1; 32]);
        let topic = Change::PutTopic(TopicRecord {
            name: "t".parse().unwrap(),
            topic: TopicId([9; 16]),
            version: 1,
            owner: host,
            host,
            grant: 1,
            in_sync: vec![host],
            replicas: vec![host],
            settings: TopicSettings::default(),
            state: TopicState::Serving,
            lineage: 0,
            created: UnixMicros(0),
        });
        let metadata = TopicMetadata {
            end: 9,
            ..TopicMetadata::default()
        };
        {
            let mut directory = bench.directory.write();
            directory.apply(&topic);
            directory.report(
                host,
                &[(TopicId([9; 16]), metadata)],
                &ToldLags::default(),
                MonoNs(1),
            );
        }
        bench.gate.send(Verdict::Commit).unwrap();
        bench.gate.send(Verdict::Commit).unwrap();
        let deciding = bench.deciding.clone();
        let last = tokio::spawn(async move { deciding.decide(register(1)).await });
        tokio::task::yield_now().await;
        bench.deciding.stop().await;
        last.await.unwrap().unwrap();
        bench.thread.join().unwrap();
        assert_eq!(bench.store.inner.count(Table::Reports).unwrap(), 1);
        assert!(!bench.directory.read().has_unwritten_reports());
    });
}
