//! What a durable append costs on this machine's temporary folder, alone, in company and while
//! segments are rewritten, and what opening a journal costs.

#![allow(clippy::disallowed_methods)] // time is what it measures

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use waypost::journal::{Command, Done, Hooks, HostedTopic, Journal, Options, Outcome};
use waypost::types::{BootId, Epoch, ProducerId, TopicId, TopicSettings, UnixMicros};
use waypost::wire::batch::{BatchBuilder, Record, renumber};

const IN_FLIGHT: u64 = 256;
const MESSAGE: &[u8] = &[7; 1024];

fn options(dir: &Path) -> Options {
    Options {
        segment_bytes: 16 << 20,
        extent_bytes: 1 << 20,
        ..Options::new(dir)
    }
}

/// A journal with a topic or two, and a producer that counts on.
struct Bench {
    journal: Journal,
    epoch: Epoch,
    /// Of the first topic and the last.
    batches: [Bytes; 2],
    sequences: [u64; 2],
}

const TOPIC: TopicId = TopicId([1; 16]);
/// Keeps more than the other.
const KEEPING: TopicId = TopicId([4; 16]);
const PRODUCER: ProducerId = ProducerId([2; 16]);

impl Bench {
    fn new(dir: &Path) -> Bench {
        // Old messages go, so that a long run does not fill the disk.
        Bench::with(options(dir), &[(TOPIC, 64 << 20)])
    }

    /// With topics that each keep so many bytes.
    fn with(options: Options, topics: &[(TopicId, u64)]) -> Bench {
        let (journal, _) = Journal::open(options, Hooks::default()).expect("a new journal");
        let boot = Command::Boot {
            incarnation: 1,
            boot: BootId([3; 16]),
        };
        let hosts = topics.iter().map(|&(topic, kept)| host(topic, kept));
        for command in [boot].into_iter().chain(hosts) {
            let outcome = journal.submit_blocking(command);
            assert_eq!(outcome, Ok(Outcome::Done));
        }
        let batch = |topic| {
            let mut builder = BatchBuilder::new();
            builder.push(&Record {
                key: None,
                headers: vec![],
                body: MESSAGE,
            });
            builder.seal(topic, PRODUCER, 0, UnixMicros(0))
        };
        Bench {
            journal,
            epoch: Epoch {
                grant: 1,
                incarnation: 1,
            },
            batches: [batch(TOPIC), batch(KEEPING)],
            sequences: [0; 2],
        }
    }

    fn next(&mut self, which: usize) -> Command {
        let batch = renumber(&self.batches[which], PRODUCER, self.sequences[which]);
        self.sequences[which] += 1;
        Command::Append {
            topic: [TOPIC, KEEPING][which],
            epoch: self.epoch,
            batch,
        }
    }

    fn one(&mut self) {
        let command = self.next(0);
        let outcome = self.journal.submit_blocking(command);
        assert!(matches!(outcome, Ok(Outcome::Appended(_))), "{outcome:?}");
    }

    async fn many(&mut self, count: u64) {
        let mut waiting = Vec::with_capacity(count as usize);
        for _ in 0..count {
            waiting.push(self.submit(0).await);
        }
        for receiver in waiting {
            appended(receiver).await;
        }
    }

    /// Messages to both topics at once, each fourth to the one that keeps more.
    async fn mixed(&mut self, count: u64, waits: &mut Vec<Duration>) {
        let mut waiting = Vec::with_capacity(count as usize);
        for n in 0..count {
            let which = usize::from(n % 4 == 0);
            waiting.push((Instant::now(), self.submit(which).await));
        }
        for (since, receiver) in waiting {
            appended(receiver).await;
            waits.push(since.elapsed());
        }
    }

    async fn submit(&mut self, which: usize) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        let command = self.next(which);
        let submitted = self.journal.submit(command, Done::Oneshot(sender)).await;
        submitted.expect("the journal runs");
        receiver
    }
}

fn host(topic: TopicId, retain_bytes: u64) -> Command {
    Command::Host(HostedTopic {
        id: topic,
        name: format!("T{}", topic.0[0]).parse().expect("a legal name"),
        settings: TopicSettings {
            retain_bytes: Some(retain_bytes),
            ..TopicSettings::default()
        },
        grant: 1,
    })
}

async fn appended(receiver: oneshot::Receiver<Outcome>) {
    let outcome = receiver.await.expect("an outcome");
    assert!(matches!(outcome, Outcome::Appended(_)), "{outcome:?}");
}

fn appends(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut bench = Bench::new(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut group = c.benchmark_group("append 1 KiB");
    group.sample_size(20);
    group.throughput(Throughput::Elements(1));
    group.bench_function("sequential", |b| b.iter(|| bench.one()));
    group.throughput(Throughput::Elements(IN_FLIGHT));
    group.bench_function("256 in flight", |b| {
        b.iter(|| runtime.block_on(bench.many(IN_FLIGHT)))
    });
    group.finish();
    bench.journal.close();
}

fn opening(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut bench = Bench::new(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    for _ in 0..8 {
        runtime.block_on(bench.many(IN_FLIGHT));
    }
    // As a killed process leaves it: no marker, no checkpoint, all of it scanned.
    let killed = tempfile::tempdir().expect("a temporary folder");
    for file in std::fs::read_dir(folder.path()).expect("the journal's folder") {
        let file = file.expect("its files");
        std::fs::copy(file.path(), killed.path().join(file.file_name())).expect("a copy");
    }
    bench.journal.close();
    let mut group = c.benchmark_group("open 2,048 messages");
    group.sample_size(10);
    for (case, dir) in [("closed", folder.path()), ("killed", killed.path())] {
        group.bench_function(case, |b| {
            b.iter(|| {
                let opened = Journal::open(options(dir), Hooks::default());
                let (journal, report) = opened.expect("it opens");
                assert!(report.damage.is_empty(), "{report:?}");
                journal.close();
            })
        });
    }
    group.finish();
}

/// Messages appended while segments are rewritten: 1 GiB.
const UNDER_REWRITING: u64 = 1 << 20;

/// What a run under load came to.
struct Figures {
    took: Duration,
    /// From submitting to the outcome, ascending.
    waits: Vec<Duration>,
    rewritten_bytes: u64,
    given_back_bytes: u64,
    disk_bytes: u64,
}

impl Figures {
    fn print(&self, case: &str) {
        let seconds = self.took.as_secs_f64();
        let at = |part: f64| self.waits[(self.waits.len() as f64 * part) as usize];
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "rewriting/{case}: {:.0} messages/s, p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}; rewritten \
             {:.1} MiB/s, given back {:.1} MiB/s, on disk at the end {:.0} MiB",
            self.waits.len() as f64 / seconds,
            at(0.5),
            at(0.99),
            at(0.999),
            mib(self.rewritten_bytes) / seconds,
            mib(self.given_back_bytes) / seconds,
            mib(self.disk_bytes),
        );
    }
}

/// Every fourth message goes to a topic that keeps several times as much as the other, so that each
/// segment is soon a quarter full; `messages` a second if that is bounded.
fn mixed_load(
    runtime: &Runtime,
    live_percent: u8,
    in_flight: u64,
    a_second: Option<u64>,
) -> Figures {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut options = options(folder.path());
    options.rewrite_live_percent = live_percent;
    // As by default: one segment's worth.
    options.checkpoint_bytes = options.segment_bytes;
    // A bounded load would not reach what the other keeps within its time.
    let [less, more] = match a_second {
        None => [32 << 20, 256 << 20],
        Some(_) => [4 << 20, 24 << 20],
    };
    let mut bench = Bench::with(options, &[(TOPIC, less), (KEEPING, more)]);
    let began = Instant::now();
    let mut waits = Vec::new();
    let messages = a_second.map_or(UNDER_REWRITING, |rate| rate * 20);
    runtime.block_on(async {
        while (waits.len() as u64) < messages {
            if let Some(rate) = a_second {
                let due = Duration::from_secs_f64(waits.len() as f64 / rate as f64);
                tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
            }
            bench.mixed(in_flight, &mut waits).await;
        }
    });
    let took = began.elapsed();
    let stats = bench.journal.stats();
    let files = std::fs::read_dir(folder.path()).expect("the journal's folder");
    let sizes = files.map(|file| file.and_then(|file| file.metadata()).map_or(0, |m| m.len()));
    let disk_bytes = sizes.sum();
    bench.journal.close();
    waits.sort_unstable();
    Figures {
        took,
        waits,
        rewritten_bytes: stats.rewritten_bytes,
        given_back_bytes: stats.given_back_bytes,
        disk_bytes,
    }
}

/// Not a comparison with the last run, but of runs with and without; so it prints figures of its own.
fn rewriting(_: &mut Criterion) {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    if filter.is_some_and(|filter| !"rewriting".contains(&*filter)) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    for (load, in_flight, a_second) in [
        ("256 in flight", IN_FLIGHT, None),
        ("16 in flight, 8,000 a second", 16, Some(8_000)),
    ] {
        for (case, live_percent) in [("never", 0), ("at half", 50)] {
            let figures = mixed_load(&runtime, live_percent, in_flight, a_second);
            figures.print(&format!("{load}/{case}"));
        }
    }
}

criterion_group!(benches, appends, opening, rewriting);
criterion_main!(benches);
