//! Replays the fuzz corpora through the functions that the fuzz targets run, and writes the seeds.

#[path = "wire_format/golden.rs"]
#[allow(dead_code)]
mod golden;
#[path = "wire_format/golden_copies.rs"]
mod golden_copies;
#[path = "wire_format/golden_index.rs"]
#[allow(dead_code)]
mod golden_index;
#[path = "wire_format/golden_peer.rs"]
mod golden_peer;
#[path = "wire_format/golden_recovery.rs"]
mod golden_recovery;
#[path = "wire_format/golden_replication.rs"]
mod golden_replication;
#[path = "wire_format/golden_session.rs"]
mod golden_session;

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use golden::Protocol;
use waypost::fuzzing;
use waypost::journal::faulty::FaultyDisk;
use waypost::journal::{Command, Hooks, HostedTopic, Journal, PositionKey};
use waypost::types::{
    BootId, Epoch, Fingerprint, Group, Offset, ProducerId, TopicId, TopicSettings, UnixMicros,
};
use waypost::wire::batch::{BatchBuilder, Record};

/// Bytes of all corpora together: they are cloned with the project.
const CORPORA_BYTES: u64 = 200 << 10;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

fn replay(target: &str, entry: fn(&[u8])) {
    let mut files: Vec<PathBuf> = fs::read_dir(corpus(target))
        .expect(target)
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no corpus");
    for file in files {
        println!("{target}: {}", file.file_name().unwrap().display());
        entry(&fs::read(&file).unwrap());
    }
}

#[test]
fn frame() {
    replay("frame", fuzzing::frame);
}

#[test]
fn index_request() {
    replay("index_request", fuzzing::index_request);
}

#[test]
fn peer_request() {
    replay("peer_request", fuzzing::peer_request);
}

#[test]
fn batch() {
    replay("batch", fuzzing::batch);
}

#[test]
fn journal_recovery() {
    replay("journal_recovery", fuzzing::journal_recovery);
}

#[test]
fn the_corpora_are_small_and_each_has_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut total = 0;
    for folder in fs::read_dir(root.join("corpus")).unwrap() {
        let folder = folder.unwrap();
        let target = folder.file_name().into_string().unwrap();
        let source = fs::read_to_string(root.join(format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(source.contains(&format!("waypost::fuzzing::{target}(data)")));
        for file in fs::read_dir(folder.path()).unwrap() {
            total += file.unwrap().metadata().unwrap().len();
        }
    }
    assert!(total <= CORPORA_BYTES, "{total} bytes");
}

// ---- writing seeds ----

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = corpus(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

#[test]
#[ignore = "writes the corpora anew"]
fn write_seeds() {
    let mut stream = vec![];
    for (number, golden) in golden::all().iter().enumerate() {
        let target = match golden.protocol {
            Protocol::Index => "index_request",
            Protocol::Peer => "peer_request",
        };
        write(
            target,
            &format!("{}-{number}", golden.name),
            &golden.frozen[4..],
        );
        if number % 7 == 0 {
            stream.extend_from_slice(&golden.frozen);
        }
    }
    frame_seeds(&stream);
    malformed_messages();
    batch_seeds();
    journal_seeds();
}

fn frame_seeds(stream: &[u8]) {
    let cut = |step: u8, bound: u8, stream: &[u8]| [&[step, bound][..], stream].concat();
    write("frame", "some-messages", &cut(2, 255, stream));
    write("frame", "a-byte-at-a-time", &cut(0, 255, stream));
    write("frame", "over-the-bound", &cut(7, 0, stream));
    write("frame", "cut", &cut(3, 255, &stream[..stream.len() - 1]));
    write("frame", "empty-frame", &cut(1, 1, &[0, 0, 0, 0]));
    write("frame", "longest-length", &cut(1, 255, &[0xff; 8]));
    write("frame", "half-a-length", &cut(1, 255, &[9, 0]));
}

fn malformed_messages() {
    for target in ["index_request", "peer_request"] {
        write(target, "no-header", &[1]);
        write(target, "unknown-number", &[0x7f, 0, 0]);
        write(
            target,
            "endless-list",
            &[&[3][..], &[0xff; 9], &[1]].concat(),
        );
        write(target, "varint-too-long", &[&[2][..], &[0x80; 12]].concat());
        write(
            target,
            "trailing",
            &[&[2][..], &[2, b'T', b'1', 0, 0, 0]].concat(),
        );
    }
    write("index_request", "name-of-a-path", b"\x01\x04../x\x050.1.0");
    write("index_request", "name-with-nul", b"\x02\x03a\0b");
    write("index_request", "name-not-utf8", b"\x02\x02\xff\xfe");
}

fn sample_batch() -> Bytes {
    let mut builder = BatchBuilder::new();
    for body in [&b"hello"[..], b"", &[0; 40]] {
        builder.push(&Record {
            key: body.first().map(|_| &b"k"[..]),
            headers: vec![("trace", b"\x01\x02")],
            body,
        });
    }
    builder.seal(TopicId([1; 16]), ProducerId([2; 16]), 7, UnixMicros(1_000))
}

fn batch_seeds() {
    let good = sample_batch();
    let with = |at: usize, bytes: &[u8]| {
        let mut bent = good.to_vec();
        bent[at..at + bytes.len()].copy_from_slice(bytes);
        bent
    };
    write("batch", "good", &good);
    write("batch", "two", &[&good[..], &good[..]].concat());
    write("batch", "cut", &good[..good.len() - 3]);
    write("batch", "header-only", &good[..96]);
    write("batch", "flipped", &with(100, &[0xff]));
    write(
        "batch",
        "most-messages",
        &with(88, &(1u32 << 17).to_le_bytes()),
    );
    write("batch", "no-messages", &with(88, &[0; 4]));
    write("batch", "last-sequence", &with(72, &[0xff; 8]));
    write("batch", "length-too-large", &with(4, &[0xff; 4]));
    write("batch", "record-over-32-bits", &with(97, &[0xff; 6]));
    write("batch", "compressed", &with(36, &[1, 0]));
}

/// A journal with a topic of some messages, a deleted one and a position.
fn sample_journal(disk: &FaultyDisk) -> Journal {
    let options = fuzzing::journal_options(disk);
    let (journal, _) = Journal::open(options, Hooks::default()).unwrap();
    let submit = |command| journal.submit_blocking(command).unwrap();
    submit(Command::Boot {
        incarnation: 1,
        boot: BootId([4; 16]),
    });
    for (id, name) in [(1, "T1"), (2, "T2")] {
        submit(Command::Host(HostedTopic {
            id: TopicId([id; 16]),
            name: name.parse().unwrap(),
            settings: TopicSettings::default(),
            grant: 1,
        }));
    }
    for sequence in 0..6 {
        let mut builder = BatchBuilder::new();
        builder.push(&Record {
            key: None,
            headers: vec![],
            body: &[sequence as u8; 100],
        });
        let topic = TopicId([1; 16]);
        let batch = builder.seal(topic, ProducerId([2; 16]), sequence, UnixMicros(0));
        let epoch = Epoch {
            grant: 1,
            incarnation: 1,
        };
        submit(Command::Append {
            topic,
            epoch,
            batch,
        });
    }
    submit(Command::Position {
        topic: TopicId([1; 16]),
        key: PositionKey {
            subscriber: Fingerprint([3; 32]),
            group: Group::default(),
        },
        next: Offset(3),
        sequence: 1,
        reset: false,
    });
    submit(Command::Forget {
        topic: TopicId([2; 16]),
    });
    journal
}

fn journal_seeds() {
    use waypost::journal::faulty::Crash;
    let disk = FaultyDisk::new();
    let journal = sample_journal(&disk);
    let pack = |disk: &FaultyDisk| fuzzing::pack_files(&disk.files());
    write(
        "journal_recovery",
        "killed",
        &pack(&disk.crash(Crash::KeepsAll)),
    );
    write(
        "journal_recovery",
        "torn",
        &pack(&disk.crash(Crash::TearsUnsynced(1))),
    );
    journal.close();
    let closed = pack(&disk);
    write("journal_recovery", "closed", &closed);
    write("journal_recovery", "cut", &closed[..closed.len() / 2]);
    write("journal_recovery", "nothing", &[]);
    write(
        "journal_recovery",
        "empty-segment",
        &fuzzing::pack_files(&[(first_segment(&disk), vec![])]),
    );
    write(
        "journal_recovery",
        "zeros",
        &fuzzing::pack_files(&[(first_segment(&disk), vec![0; 65_536])]),
    );
    for (number, quarter) in [1, 2, 3].into_iter().enumerate() {
        let bent = disk.crash(Crash::KeepsAll);
        for (path, bytes) in disk.files() {
            let used = bytes.iter().rposition(|b| *b != 0).unwrap_or(0);
            if used > 0 {
                bent.flip(&path, used * quarter / 4, 0x10);
            }
        }
        write(
            "journal_recovery",
            &format!("flipped-{number}"),
            &pack(&bent),
        );
    }
}

fn first_segment(disk: &FaultyDisk) -> PathBuf {
    let files = disk.files().into_iter().map(|(path, _)| path);
    let mut segments = files.filter(|path| path.extension().is_some_and(|e| e == "seg"));
    segments.next().expect("a segment")
}

// ---- a little fuzzing on stable ----

use proptest::prelude::*;

/// Where in a file, and what stands there then.
fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Bytes change behind the journal's back, the packing left alone.
    #[test]
    fn bent_journals_open_or_are_refused(which in 0..2, changes in changes()) {
        let name = ["closed", "killed"][which as usize];
        let packed = fs::read(corpus("journal_recovery").join(name)).unwrap();
        let mut files = fuzzing::unpack_files(&packed);
        let used: Vec<usize> = files
            .iter()
            .map(|(_, bytes)| bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1))
            .collect();
        for (at, value) in changes {
            let mut at = at.index(used.iter().sum());
            let file = used.iter().position(|n| *n > at || { at -= n; false }).unwrap();
            files[file].1[at] = value;
        }
        fuzzing::journal_recovery(&fuzzing::pack_files(&files));
    }
}
