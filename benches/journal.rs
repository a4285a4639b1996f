//! What a durable append costs on this machine's temporary folder, alone and in company, and what
//! opening a journal costs.

use std::path::Path;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
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

/// A journal with one topic, and a producer that counts on.
struct Bench {
    journal: Journal,
    epoch: Epoch,
    batch: Bytes,
    sequence: u64,
}

const TOPIC: TopicId = TopicId([1; 16]);
const PRODUCER: ProducerId = ProducerId([2; 16]);

impl Bench {
    fn new(dir: &Path) -> Bench {
        let (journal, _) = Journal::open(options(dir), Hooks::default()).expect("a new journal");
        let boot = Command::Boot {
            incarnation: 1,
            boot: BootId([3; 16]),
        };
        let host = Command::Host(HostedTopic {
            id: TOPIC,
            name: "T1".parse().expect("a legal name"),
            settings: TopicSettings {
                // Old messages go, so that a long run does not fill the disk.
                retain_bytes: Some(64 << 20),
                ..TopicSettings::default()
            },
            grant: 1,
        });
        for command in [boot, host] {
            let outcome = journal.submit_blocking(command);
            assert_eq!(outcome, Ok(Outcome::Done));
        }
        let mut builder = BatchBuilder::new();
        builder.push(&Record {
            key: None,
            headers: vec![],
            body: MESSAGE,
        });
        Bench {
            journal,
            epoch: Epoch {
                grant: 1,
                incarnation: 1,
            },
            batch: builder.seal(TOPIC, PRODUCER, 0, UnixMicros(0)),
            sequence: 0,
        }
    }

    fn next(&mut self) -> Command {
        let batch = renumber(&self.batch, PRODUCER, self.sequence);
        self.sequence += 1;
        Command::Append {
            topic: TOPIC,
            epoch: self.epoch,
            batch,
        }
    }

    fn one(&mut self) {
        let command = self.next();
        let outcome = self.journal.submit_blocking(command);
        assert!(matches!(outcome, Ok(Outcome::Appended(_))), "{outcome:?}");
    }

    async fn many(&mut self, count: u64) {
        let mut waiting = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let (sender, receiver) = oneshot::channel();
            let command = self.next();
            let submitted = self.journal.submit(command, Done::Oneshot(sender)).await;
            submitted.expect("the journal runs");
            waiting.push(receiver);
        }
        for receiver in waiting {
            let outcome = receiver.await.expect("an outcome");
            assert!(matches!(outcome, Outcome::Appended(_)), "{outcome:?}");
        }
    }
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

criterion_group!(benches, appends, opening);
criterion_main!(benches);
