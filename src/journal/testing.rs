//! What the journal's tests have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::faulty::FaultyDisk;
use super::*;
use crate::types::*;
use crate::wire::batch::{self, BatchBuilder};

/// The folder of tests on a disk in memory.
pub(super) const DIR: &str = "/journal";

/// Small segments on a disk in memory.
pub(super) fn options(disk: &FaultyDisk) -> Options {
    Options {
        segment_bytes: 64 << 10,
        extent_bytes: 8 << 10,
        checkpoint_bytes: 64 << 10,
        disk: Arc::new(disk.clone()),
        ..Options::new(DIR)
    }
}

pub(super) fn open(disk: &FaultyDisk) -> Journal {
    open_with(options(disk)).0
}

pub(super) fn open_with(options: Options) -> (Journal, RecoveryReport) {
    Journal::open(options, Hooks::default()).expect("the journal opens")
}

pub(super) fn topic(n: u128) -> TopicId {
    TopicId((n + 1).to_le_bytes())
}

pub(super) fn producer(n: u128) -> ProducerId {
    ProducerId((n + 1).to_le_bytes())
}

pub(super) fn hosted(n: u128) -> HostedTopic {
    HostedTopic {
        id: topic(n),
        name: TopicName::new(&format!("t{n}")).expect("a legal name"),
        settings: TopicSettings::default(),
        grant: 1,
    }
}

pub(super) const EPOCH: Epoch = Epoch {
    grant: 1,
    incarnation: 1,
};

pub(super) fn batch_of(n: u128, by: u128, sequence: u64, bodies: &[&[u8]]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for body in bodies {
        builder.push(&batch::Record {
            key: None,
            headers: Vec::new(),
            body,
        });
    }
    builder.seal(topic(n), producer(by), sequence, UnixMicros(0))
}

pub(super) fn append(n: u128, by: u128, sequence: u64, bodies: &[&[u8]]) -> Command {
    Command::Append {
        topic: topic(n),
        epoch: EPOCH,
        batch: batch_of(n, by, sequence, bodies),
    }
}

/// Boots with the next incarnation and answers the epoch of grant 1.
pub(super) fn boot(journal: &Journal) -> Epoch {
    let incarnation = journal.last_incarnation() + 1;
    let boot = BootId([incarnation as u8; 16]);
    let outcome = journal.submit_blocking(Command::Boot { incarnation, boot });
    assert_eq!(outcome, Ok(Outcome::Done));
    Epoch {
        grant: 1,
        incarnation,
    }
}

pub(super) fn host(journal: &Journal, n: u128) {
    let outcome = journal.submit_blocking(Command::Host(hosted(n)));
    assert_eq!(outcome, Ok(Outcome::Done));
}

/// Appends under an epoch and answers the outcome.
pub(super) fn put(
    journal: &Journal,
    epoch: Epoch,
    n: u128,
    by: u128,
    sequence: u64,
    bodies: &[&[u8]],
) -> Outcome {
    let batch = batch_of(n, by, sequence, bodies);
    let command = Command::Append {
        topic: topic(n),
        epoch,
        batch,
    };
    journal.submit_blocking(command).expect("the journal runs")
}

pub(super) fn base(outcome: Outcome) -> Offset {
    match outcome {
        Outcome::Appended(appended) => appended.base,
        other => panic!("not appended: {other:?}"),
    }
}

/// The bodies in a slice's batches, with offsets.
pub(super) fn bodies(slice: &Slice) -> Vec<(u64, Vec<u8>)> {
    let mut out = Vec::new();
    for bytes in &slice.batches {
        batch::verify(bytes).expect("a sound batch");
        for (offset, record) in batch::records(bytes).expect("records") {
            out.push((offset.0, record.body.to_vec()));
        }
    }
    out
}

/// Everything of a topic that can be read, from its start.
pub(super) fn read_all(journal: &Journal, n: u128) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
    let mut from = journal.topic(topic(n)).map_or(Offset::FIRST, |t| t.start);
    let mut out = Vec::new();
    loop {
        let slice = journal.read(topic(n), from, 1 << 16)?;
        if slice.next == from {
            return Ok(out);
        }
        out.extend(bodies(&slice));
        from = slice.next;
    }
}

/// Hosts topics 0 to `count`, as fast as groups go.
pub(super) fn host_many(journal: &Journal, count: u128) {
    let queue = Arc::new(CompletionQueue::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        for n in 0..count {
            let done = Done::Queue(queue.clone(), n as u64);
            let submitted = journal.submit(Command::Host(hosted(n)), done).await;
            submitted.expect("the journal runs");
        }
        let mut answers = 0;
        while answers < count {
            answers += queue.wait().await.len() as u128;
        }
    });
}

/// Waits for what the threads behind a journal bring about, also on a busy machine.
#[track_caller]
pub(super) fn until(what: &str, holds: impl Fn() -> bool) {
    let began = clock::mono_now();
    while !holds() {
        let waited = clock::mono_now().since(began);
        assert!(
            waited < std::time::Duration::from_secs(30),
            "waited for: {what}"
        );
        thread::yield_now();
    }
}

/// The only segment files on the disk, in order.
pub(super) fn segments(disk: &FaultyDisk) -> Vec<PathBuf> {
    let files = disk.files().into_iter().map(|(path, _)| path);
    files.filter(|path| is_segment(path)).collect()
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "seg")
}

/// The position that tests move.
pub(super) fn key() -> PositionKey {
    PositionKey {
        subscriber: Fingerprint([1; 32]),
        group: Group::default(),
    }
}

/// A batch as its host has appended it.
pub(super) fn replicated(batch: Bytes, base: Offset, epoch: Epoch) -> Bytes {
    let mut bytes = batch.to_vec();
    batch::set_host_fields(&mut bytes, base, epoch, UnixMicros(base.0 as i64));
    bytes.into()
}

/// Submits and waits; the journal must run.
pub(super) fn submit(journal: &Journal, command: Command) -> Outcome {
    journal.submit_blocking(command).expect("the journal runs")
}
