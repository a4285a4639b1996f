//! Commands that their submitter commits itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::thread::ThreadId;

use super::*;

/// A journal that tells which thread has committed last, with a topic.
struct Watched {
    disk: FaultyDisk,
    journal: Journal,
    epoch: Epoch,
    last: Arc<Mutex<Option<ThreadId>>>,
    /// The next commit's hook panics.
    panics: Arc<AtomicBool>,
    /// Groups are sent on, by this thread.
    sent_on: Arc<AtomicBool>,
    fatal: Arc<AtomicU32>,
    sequence: AtomicUsize,
}

impl Watched {
    fn new() -> Watched {
        let disk = FaultyDisk::new();
        let last = Arc::new(Mutex::new(None));
        let panics = Arc::new(AtomicBool::new(false));
        let sent_on = Arc::new(AtomicBool::new(false));
        let fatal = Arc::new(AtomicU32::new(0));
        let hooks = Hooks {
            on_written: {
                let sent_on = sent_on.clone();
                Box::new(move |_| sent_on.load(Ordering::SeqCst))
            },
            on_commit: {
                let (last, panics) = (last.clone(), panics.clone());
                Box::new(move |_| {
                    assert!(!panics.load(Ordering::SeqCst), "as the test wants it");
                    *last.lock() = Some(thread::current().id());
                })
            },
            on_fatal: {
                let fatal = fatal.clone();
                Box::new(move |_| {
                    fatal.fetch_add(1, Ordering::SeqCst);
                })
            },
            ..Hooks::default()
        };
        let (journal, _) = Journal::open(options(&disk), hooks).expect("the journal opens");
        let epoch = boot(&journal);
        host(&journal, 0);
        Watched {
            disk,
            journal,
            epoch,
            last,
            panics,
            sent_on,
            fatal,
            sequence: AtomicUsize::new(0),
        }
    }

    /// Appends a message, deferred.
    fn defer(&self, body: &[u8]) -> oneshot::Receiver<Outcome> {
        let sequence = self.sequence.fetch_add(1, Ordering::SeqCst) as u64;
        let command = Command::Append {
            topic: topic(0),
            epoch: self.epoch,
            batch: batch_of(0, 0, sequence, &[body]),
        };
        let (done, outcome) = oneshot::channel();
        let submitted = self.journal.submit_deferred(command, Done::Oneshot(done));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let submitted = runtime.expect("a runtime").block_on(submitted);
        submitted.expect("the journal runs");
        outcome
    }

    fn wait_for_the_end(&self) {
        until("the writer ends", || {
            self.journal.submit_blocking(append(0, 9, 0, &[b"x"])) == Err(Stopped)
        });
    }

    fn committed_here(&self) -> bool {
        *self.last.lock() == Some(thread::current().id())
    }

    /// Appends until this thread commits by itself: whether it may depends on how quick writes have been.
    fn warm_up(&self) {
        until("this thread commits", || {
            let outcome = self.defer(b"warm");
            self.journal.commit_deferred();
            base(outcome.blocking_recv().expect("an answer"));
            self.committed_here()
        });
    }
}

#[test]
fn who_defers_commits_on_its_own_thread() {
    let watched = Watched::new();
    watched.warm_up();
    let stored = read_all(&watched.journal, 0).unwrap().len();
    assert_eq!(stored, watched.sequence.load(Ordering::SeqCst));
    // What was acknowledged is durable, whoever has committed it.
    let (after, report) = open_with(options(&watched.disk.crash(Crash::LosesUnsynced)));
    assert_eq!(report.damage, []);
    assert_eq!(read_all(&after, 0).unwrap().len(), stored);
}

#[test]
fn what_is_deferred_and_forgotten_is_committed_by_the_writer() {
    let watched = Watched::new();
    for round in 0..20 {
        watched.warm_up();
        let outcomes: Vec<_> = (0..=round % 6).map(|_| watched.defer(b"left")).collect();
        for outcome in outcomes {
            base(outcome.blocking_recv().expect("an answer"));
        }
    }
}

#[test]
fn a_large_command_is_left_to_the_writer() {
    let watched = Watched::new();
    watched.warm_up();
    let outcome = watched.defer(&vec![7; limits::DEFERRED_BYTES]);
    base(outcome.blocking_recv().expect("an answer"));
    assert!(!watched.committed_here());
}

#[test]
fn a_failed_sync_on_the_submitters_thread_stops_the_journal() {
    let watched = Watched::new();
    watched.warm_up();
    watched.disk.fail_syncs_after(0);
    let outcome = watched.defer(b"lost");
    watched.journal.commit_deferred();
    assert_eq!(outcome.blocking_recv(), Ok(Outcome::Stopped));
    watched.wait_for_the_end();
    assert_eq!(watched.fatal.load(Ordering::SeqCst), 1);
    watched.journal.close();
}

#[test]
fn a_panic_on_the_submitters_thread_stops_the_journal() {
    let watched = Watched::new();
    watched.warm_up();
    watched.panics.store(true, Ordering::SeqCst);
    let outcome = watched.defer(b"who knows");
    let _ = catch_unwind(AssertUnwindSafe(|| watched.journal.commit_deferred()));
    assert!(
        outcome
            .blocking_recv()
            .map_or(true, |outcome| outcome == Outcome::Stopped)
    );
    // Nothing is committed on top of half a group.
    watched.panics.store(false, Ordering::SeqCst);
    watched.wait_for_the_end();
    watched.journal.close();
}

#[test]
fn many_submitters_that_defer_get_all_their_answers() {
    let watched = Watched::new();
    thread::scope(|scope| {
        for by in 1..5u128 {
            let watched = &watched;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                let runtime = runtime.expect("a runtime");
                for sequence in 0..500 {
                    let (done, outcome) = oneshot::channel();
                    let command = Command::Append {
                        topic: topic(0),
                        epoch: watched.epoch,
                        batch: batch_of(0, by, sequence, &[b"m"]),
                    };
                    let done = Done::Oneshot(done);
                    let submitted = watched.journal.submit_deferred(command, done);
                    runtime.block_on(submitted).expect("the journal runs");
                    watched.journal.commit_deferred();
                    base(outcome.blocking_recv().expect("an answer"));
                }
            });
        }
    });
    assert_eq!(read_all(&watched.journal, 0).unwrap().len(), 2_000);
}

/// A group that is sent on is begun with one call and written with the next.
#[test]
fn what_is_sent_on_is_written_after_it_was_sent() {
    let watched = Watched::new();
    watched.warm_up();
    watched.sent_on.store(true, Ordering::SeqCst);
    let stored = read_all(&watched.journal, 0).unwrap().len();
    // Sooner or later this thread is quicker than the writer's, which looks every other millisecond.
    until("this thread begins a group and writes it", || {
        let before = watched.journal.stats().syncs;
        let mut outcome = watched.defer(b"to be sent");
        watched.journal.commit_deferred();
        let waited = watched.journal.stats().syncs == before && outcome.try_recv().is_err();
        watched.journal.commit_deferred();
        base(outcome.blocking_recv().expect("an answer"));
        waited && watched.committed_here()
    });
    assert!(read_all(&watched.journal, 0).unwrap().len() > stored);
}

#[test]
fn a_group_that_was_begun_and_forgotten_is_written_by_the_writer() {
    let watched = Watched::new();
    for _ in 0..20 {
        watched.sent_on.store(false, Ordering::SeqCst);
        watched.warm_up();
        watched.sent_on.store(true, Ordering::SeqCst);
        let first = watched.defer(b"begun");
        watched.journal.commit_deferred();
        let second = watched.defer(b"behind it");
        for outcome in [first, second] {
            base(outcome.blocking_recv().expect("an answer"));
        }
    }
}

#[test]
fn closing_writes_a_group_that_was_begun() {
    let watched = Watched::new();
    watched.warm_up();
    watched.sent_on.store(true, Ordering::SeqCst);
    let outcome = watched.defer(b"begun");
    watched.journal.commit_deferred();
    watched.journal.close();
    base(outcome.blocking_recv().expect("an answer"));
    let stored = watched.sequence.load(Ordering::SeqCst);
    let (after, _) = open_with(options(&watched.disk.crash(Crash::LosesUnsynced)));
    assert_eq!(read_all(&after, 0).unwrap().len(), stored);
}

#[test]
fn a_failed_write_of_a_group_that_was_begun_stops_the_journal() {
    let watched = Watched::new();
    watched.warm_up();
    watched.sent_on.store(true, Ordering::SeqCst);
    watched.disk.fail_syncs_after(0);
    let outcome = watched.defer(b"lost");
    watched.journal.commit_deferred();
    watched.journal.commit_deferred();
    assert_eq!(outcome.blocking_recv(), Ok(Outcome::Stopped));
    watched.wait_for_the_end();
    assert_eq!(watched.fatal.load(Ordering::SeqCst), 1);
}
