//! Crashes, damage, failing and full disks, against a simple model of what was acknowledged.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;

use super::*;

/// What was acknowledged: bodies by topic and offset.
type Model = BTreeMap<(u128, u64), Vec<u8>>;

/// A small journal, closed: some topics, batches of several sizes, positions, a trim.
fn small() -> (FaultyDisk, Model) {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    let epoch = boot(&journal);
    let mut model = Model::new();
    for n in 0..3 {
        host(&journal, n);
    }
    for i in 0..9u64 {
        let n = u128::from(i % 3);
        let body = vec![i as u8 + 1; 5 + 7 * i as usize];
        let at = base(put(&journal, epoch, n, 0, i / 3, &[&body]));
        model.insert((n, at.0), body);
    }
    journal.close();
    (disk, model)
}

/// Opens what is on the disk and checks it against the model. Whatever can be read must be what was
/// acknowledged; what cannot must be refused or, if `may_lack`, lie behind the end.
fn check(disk: &FaultyDisk, model: &Model, may_lack: bool) -> Option<RecoveryReport> {
    let (journal, report) = match Journal::open(options(disk), Hooks::default()) {
        Ok(opened) => opened,
        // Refused: said so, served nothing.
        Err(_) => return None,
    };
    for n in 0..3u128 {
        let known = journal.topic(topic(n));
        for (&(_, offset), body) in model.range((n, 0)..(n + 1, 0)) {
            let Some(stat) = &known else {
                assert!(
                    may_lack || report.damage_count > 0,
                    "topic {n} is gone: {report:?}"
                );
                continue;
            };
            let read = journal.read(topic(n), Offset(offset), 1);
            match read {
                Ok(slice) if !slice.batches.is_empty() => {
                    assert_eq!(bodies(&slice)[0], (offset, body.clone()));
                }
                Err(ReadError::Damaged { .. }) => {}
                _ => {
                    let told = stat.suspect || report.damage_count > 0;
                    assert!(
                        may_lack || told,
                        "{offset} of {n} is gone: {report:?} {stat:?}"
                    );
                }
            }
        }
        // Nothing that was acknowledged can be given out again without a word.
        let end = known.as_ref().map_or(1, |stat| stat.end.0);
        let expected = model
            .range((n, 0)..(n + 1, 0))
            .map(|((_, o), _)| o + 1)
            .max();
        let silent = end < expected.unwrap_or(1)
            && known.as_ref().is_some_and(|stat| !stat.suspect)
            && report.damage_count == 0;
        assert!(may_lack || !silent, "topic {n} ends at {end}: {report:?}");
    }
    journal.close();
    Some(report)
}

#[test]
fn every_flipped_byte_is_recovered_or_told() {
    let (disk, model) = small();
    let files = disk.files();
    let mut told = 0;
    for (path, bytes) in &files {
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        let is_segment = path.extension().is_some_and(|e| e == "seg");
        let is_first = path.ends_with("0000000000000001.seg");
        // The last entry is the marker that closed the journal: damage to it looks torn.
        let end = if is_first { used - 40 } else { used };
        // Bytes between and behind the two copies of a segment's header mean nothing.
        let header = 0..if is_segment { 64 } else { 0 };
        let content = if is_segment { 4096 } else { 0 }..end;
        for at in header.chain(content) {
            let bad = FaultyDisk::holding(files.clone());
            bad.flip(path, at, 0x10);
            let run = catch_unwind(AssertUnwindSafe(|| check(&bad, &model, false)));
            let report = run.unwrap_or_else(|_| panic!("{} byte {at}", path.display()));
            told += report.is_none_or(|report| report.damage_count > 0) as u32;
        }
    }
    assert!(told > 500, "{told} flips were told");
}

#[test]
fn every_cut_leaves_a_prefix() {
    let (disk, model) = small();
    let files = disk.files();
    let path = &segments(&disk)[0];
    let bytes = &files.iter().find(|(p, _)| p == path).unwrap().1;
    let used = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
    for at in (4096..used).rev() {
        for zeros in [true, false] {
            let cut = FaultyDisk::holding(files.clone());
            cut.edit(path, |bytes| match zeros {
                true => bytes[at..].fill(0),
                false => bytes.truncate(at),
            });
            let run = catch_unwind(AssertUnwindSafe(|| check(&cut, &model, true)));
            let report = run.unwrap_or_else(|_| panic!("cut at {at}"));
            assert_eq!(report.expect("opens").damage, [], "cut at {at}");
            if at % 5 != 0 {
                continue;
            }
            // A second start finds nothing more to mend.
            let (again, report) = open_with(options(&cut));
            assert_eq!(
                (report.torn_bytes, report.damage),
                (0, vec![]),
                "cut at {at}"
            );
            drop(again);
        }
    }
}

#[test]
fn a_failing_sync_acknowledges_nothing_ever_again() {
    for syncs in 0..6 {
        let disk = FaultyDisk::new();
        let fatal = Arc::new(AtomicU32::new(0));
        let told = fatal.clone();
        let hooks = Hooks {
            on_fatal: Box::new(move |_| {
                told.fetch_add(1, Ordering::SeqCst);
            }),
            ..Hooks::default()
        };
        let (journal, _) = Journal::open(options(&disk), hooks).unwrap();
        let epoch = boot(&journal);
        host(&journal, 0);
        disk.fail_syncs_after(syncs);
        let mut acknowledged = 0;
        for i in 0.. {
            let command = Command::Append {
                topic: topic(0),
                epoch,
                batch: batch_of(0, 0, i, &[b"a"]),
            };
            match journal.submit_blocking(command) {
                Ok(outcome) => acknowledged = base(outcome).0,
                Err(Stopped) => break,
            }
        }
        assert!(acknowledged <= syncs);
        assert_eq!(
            journal.submit_blocking(append(0, 1, 0, &[b"a"])),
            Err(Stopped)
        );
        assert_eq!(journal.topic(topic(0)).unwrap().end.0, acknowledged + 1);
        journal.close();
        assert_eq!(fatal.load(Ordering::SeqCst), 1);
        let after = disk.crash(Crash::LosesUnsynced);
        let journal = open(&after);
        assert_eq!(journal.topic(topic(0)).unwrap().end.0, acknowledged + 1);
    }
}

#[test]
fn a_failing_write_stops_everybody_who_waits() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    boot(&journal);
    host(&journal, 0);
    disk.fail_writes_after(0);
    let queue = Arc::new(CompletionQueue::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut sent = 0;
        for i in 0..50 {
            let done = Done::Queue(queue.clone(), i);
            match journal.submit(append(0, 0, i, &[b"a"]), done).await {
                Ok(()) => sent += 1,
                Err(Stopped) => break,
            }
        }
        let mut answers = Vec::new();
        while answers.len() < sent {
            answers.extend(queue.wait().await);
        }
        assert!(
            answers
                .iter()
                .all(|(_, outcome)| *outcome == Outcome::Stopped)
        );
    });
}

/// Room that is made by trimming is used at once: checkpoints, without which dead segments are kept,
/// are not waited for until they are due by size.
#[test]
fn a_trim_makes_room_on_a_full_disk() {
    let disk = FaultyDisk::new();
    disk.set_capacity(Some(1 << 20));
    let mut options = options(&disk);
    options.checkpoint_bytes = 1 << 40;
    let (journal, _) = open_with(options);
    let epoch = boot(&journal);
    host(&journal, 0);
    let mut next = 0;
    while matches!(
        put(&journal, epoch, 0, 0, next, &[&[1; 900]]),
        Outcome::Appended(_)
    ) {
        next += 1;
    }
    assert!(journal.is_full());
    let trim = Command::Trim {
        topic: topic(0),
        start: Offset(next),
    };
    assert_eq!(journal.submit_blocking(trim), Ok(Outcome::Done));
    while journal.is_full() {
        std::thread::yield_now();
    }
    for _ in 0..200 {
        base(put(&journal, epoch, 0, 0, next, &[&[1; 900]]));
        next += 1;
    }
    journal.close();
    let journal = open(&disk);
    assert_eq!(journal.topic(topic(0)).unwrap().end, Offset(next + 1));
}

#[test]
fn a_full_disk_refuses_appends_and_recovers_by_itself() {
    let disk = FaultyDisk::new();
    disk.set_capacity(Some(200 << 10));
    let journal = open(&disk);
    let epoch = boot(&journal);
    host(&journal, 0);
    let mut next = 0;
    let mut fill = || loop {
        match put(&journal, epoch, 0, 0, next, &[&[1; 900]]) {
            Outcome::Appended(_) => next += 1,
            Outcome::Refused(Refusal::StorageFull) => return next,
            other => panic!("{other:?}"),
        }
    };
    let stored = fill();
    assert!(stored > 50 && journal.is_full());
    // Topics are smaller than messages: a few may still fit.
    let refused = (1..20).any(|n| {
        let create = journal.submit_blocking(Command::Host(hosted(n))).unwrap();
        create == Outcome::Refused(Refusal::StorageFull)
    });
    assert!(refused);
    assert_eq!(read_all(&journal, 0).unwrap().len() as u64, stored);
    let key = PositionKey {
        subscriber: Fingerprint([1; 32]),
        group: Group::default(),
    };
    for sequence in 1..20 {
        let command = Command::Position {
            topic: topic(0),
            key: key.clone(),
            next: Offset(sequence),
            sequence,
            reset: false,
        };
        let outcome = journal.submit_blocking(command).unwrap();
        assert!(matches!(outcome, Outcome::Position(_)), "{outcome:?}");
    }
    disk.set_capacity(None);
    while journal.is_full() {
        std::thread::yield_now();
    }
    assert_eq!(
        base(put(&journal, epoch, 0, 0, stored, &[b"x"])),
        Offset(stored + 1)
    );
    journal.close();
    let journal = open(&disk);
    assert_eq!(read_all(&journal, 0).unwrap().len() as u64, stored + 1);
    assert_eq!(journal.position(topic(0), &key).unwrap().sequence, 19);
}

#[test]
fn damage_in_the_middle_is_refused_and_the_rest_is_served() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    let epoch = boot(&journal);
    host(&journal, 0);
    host(&journal, 1);
    for i in 0..10 {
        put(&journal, epoch, 0, 0, i, &[&[i as u8; 100]]);
    }
    put(&journal, epoch, 1, 0, 0, &[b"other"]);
    journal.close();
    let path = &segments(&disk)[0];
    let bytes = disk.files().into_iter().find(|(p, _)| p == path).unwrap().1;
    // Two batches in the middle and the last one of topic 0.
    for body in [4u8, 5, 9] {
        let at = bytes.windows(100).position(|w| w == [body; 100]).unwrap();
        disk.flip(path, at, 1);
    }
    let (journal, report) = open_with(options(&disk));
    assert_eq!(report.damage_count, 2);
    assert_eq!(report.suspect, [topic(0)], "only the topic that was struck");
    assert_eq!(report.torn_bytes, 0);
    let stat = journal.topic(topic(0)).unwrap();
    assert!(stat.suspect);
    assert_eq!(stat.damaged, [(Offset(5), Offset(7))]);
    assert_eq!(read_all(&journal, 1).unwrap().len(), 1);
    let first = journal.read(topic(0), Offset(1), 1 << 20).unwrap();
    assert_eq!(first.next, Offset(5));
    let error = journal.read(topic(0), Offset(5), 1 << 20).unwrap_err();
    assert!(matches!(
        error,
        ReadError::Damaged {
            from: Offset(5),
            to: Offset(7),
            ..
        }
    ));
    assert_eq!(
        journal.read(topic(0), Offset(7), 1 << 20).unwrap().next,
        Offset(10)
    );
    let epoch = boot(&journal);
    let refused = Outcome::Refused(Refusal::Damaged);
    assert_eq!(put(&journal, epoch, 0, 7, 0, &[b"x"]), refused);
    assert!(matches!(
        put(&journal, epoch, 1, 7, 0, &[b"x"]),
        Outcome::Appended(_)
    ));
    let accept = Command::AcceptLoss { topic: topic(0) };
    assert_eq!(journal.submit_blocking(accept), Ok(Outcome::Done));
    assert_eq!(base(put(&journal, epoch, 0, 7, 0, &[b"x"])), Offset(10));
    assert_eq!(read_all(&journal, 0).unwrap().len(), 8);
    journal.close();
    let journal = open(&disk);
    let stat = journal.topic(topic(0)).unwrap();
    assert!(!stat.suspect && stat.damaged.is_empty(), "{stat:?}");
    assert_eq!(read_all(&journal, 0).unwrap().len(), 8);
}

#[test]
fn damage_in_sealed_segments_is_found_by_the_read() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    let epoch = boot(&journal);
    host(&journal, 0);
    for i in 0..500u64 {
        put(&journal, epoch, 0, 0, i, &[&i.to_le_bytes().repeat(100)]);
    }
    journal.close();
    let path = &segments(&disk)[1];
    disk.flip(path, 20_000, 1);
    let mut options = options(&disk);
    options.tail_cache_bytes = 0;
    let (journal, report) = open_with(options);
    assert_eq!(report.damage, [], "not scanned");
    let Err(ReadError::Damaged { from, to, .. }) = read_all(&journal, 0) else {
        panic!("served");
    };
    assert_eq!(to.0, from.0 + 1);
    assert_eq!(journal.topic(topic(0)).unwrap().damaged, [(from, to)]);
    let rest = journal.read(topic(0), to, 1).unwrap();
    assert_eq!(bodies(&rest)[0].0, to.0);
    journal
        .submit_blocking(Command::AcceptLoss { topic: topic(0) })
        .unwrap();
    assert_eq!(read_all(&journal, 0).unwrap().len(), 499);
    journal.close();
    let journal = open(&disk);
    assert_eq!(read_all(&journal, 0).unwrap().len(), 499);
}

#[test]
fn lost_derived_files_are_made_anew() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    let epoch = boot(&journal);
    host(&journal, 0);
    for i in 0..500u64 {
        put(&journal, epoch, 0, 0, i, &[&[1; 900]]);
    }
    journal.close();
    let derived = |extension: &str| {
        let files = disk.files().into_iter().map(|(path, _)| path);
        let wanted = files.filter(|p| p.extension().is_some_and(|e| e == extension));
        wanted.collect::<Vec<_>>()
    };
    for path in derived("idx") {
        disk.edit(&path, |bytes| bytes[60..].fill(0xee));
    }
    let journal = open(&disk);
    assert_eq!(read_all(&journal, 0).unwrap().len(), 500);
    journal.close();
    for path in derived("idx").into_iter().chain(derived("ckp")) {
        disk.remove(&path).unwrap();
    }
    let (journal, report) = open_with(options(&disk));
    assert_eq!((report.checkpoint, &*report.damage), (None, &[][..]));
    assert_eq!(read_all(&journal, 0).unwrap().len(), 500);
    journal.close();
    let newest = derived("ckp").pop().unwrap();
    disk.edit(&newest, |bytes| bytes[100] ^= 1);
    let (journal, report) = open_with(options(&disk));
    assert_eq!((report.bad_checkpoints, &*report.damage), (1, &[][..]));
    assert_eq!(read_all(&journal, 0).unwrap().len(), 500);
}

#[test]
fn a_missing_segment_is_told() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    let epoch = boot(&journal);
    host(&journal, 0);
    for i in 0..500u64 {
        put(&journal, epoch, 0, 0, i, &[&[1; 900]]);
    }
    journal.close();
    let all = segments(&disk);
    for gone in [&all[2], &all[all.len() - 2], &all[all.len() - 1]] {
        let bad = FaultyDisk::holding(disk.files());
        bad.remove(gone).unwrap();
        let (journal, report) = open_with(options(&bad));
        let stat = journal.topic(topic(0)).unwrap();
        let unused = !stat.suspect && stat.damaged.is_empty();
        // Only a segment that was made ready and never written may go unnoticed.
        assert!(
            report.damage_count > 0 || unused && stat.end.0 == 501,
            "{report:?}"
        );
        if !unused {
            assert!(read_all(&journal, 0).is_err() || stat.suspect);
        }
    }
}

/// What a random run does.
#[derive(Debug, Clone)]
enum Act {
    Append(u128, usize, usize),
    Position(u128, u64),
    Forget(u128),
    Trim(u128, u64),
    Crash(u64),
    Close,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        20 => (0..3u128, 1..4usize, 0..6_000usize).prop_map(|(n, c, b)| Act::Append(n, c, b)),
        4 => (0..3u128, 0..60u64).prop_map(|(n, o)| Act::Position(n, o)),
        1 => (0..3u128).prop_map(Act::Forget),
        2 => (0..3u128, 0..60u64).prop_map(|(n, o)| Act::Trim(n, o)),
        2 => any::<u64>().prop_map(Act::Crash),
        1 => Just(Act::Close),
    ]
}

/// The state that was acknowledged.
#[derive(Debug, Clone, Default)]
struct Expected {
    start: u64,
    bodies: Vec<Vec<u8>>,
    position: Option<Position>,
    sequence: u64,
    life: u128,
}

fn agree(journal: &Journal, topics: &[Expected; 3]) {
    let key = PositionKey {
        subscriber: Fingerprint([1; 32]),
        group: Group::default(),
    };
    for (n, expected) in topics.iter().enumerate() {
        let n = n as u128;
        let stat = journal.topic(topic(n)).expect("hosted");
        assert_eq!(stat.end.0, expected.bodies.len() as u64 + 1);
        assert_eq!(stat.start.0, expected.start.max(1));
        assert_eq!(journal.position(topic(n), &key), expected.position);
        let mut read = read_all(journal, n).expect("readable");
        read.retain(|(offset, _)| *offset >= stat.start.0);
        let wanted = expected
            .bodies
            .iter()
            .enumerate()
            .skip(stat.start.0 as usize - 1);
        let wanted: Vec<_> = wanted.map(|(i, b)| (i as u64 + 1, b.clone())).collect();
        assert_eq!(read, wanted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, what was acknowledged is there, in order, once.
    #[test]
    fn acknowledged_survives(acts in prop::collection::vec(act(), 1..120)) {
        let mut disk = FaultyDisk::new();
        let mut journal = open(&disk);
        let mut epoch = boot(&journal);
        let mut topics: [Expected; 3] = Default::default();
        for n in 0..3 {
            host(&journal, n);
        }
        let mut commit = 0;
        for act in acts {
            match act {
                Act::Append(n, count, size) => {
                    let topic = &mut topics[n as usize];
                    let fill = topic.bodies.len() as u8;
                    let body = vec![fill; size];
                    let by = n + 3 * topic.life;
                    let sequence = topic.sequence;
                    let outcome = put(&journal, epoch, n, by, sequence, &vec![&*body; count]);
                    prop_assert_eq!(base(outcome).0, topic.bodies.len() as u64 + 1);
                    topic.sequence += count as u64;
                    topic.bodies.extend(std::iter::repeat_n(body, count));
                }
                Act::Position(n, next) => {
                    commit += 1;
                    let key = PositionKey { subscriber: Fingerprint([1; 32]), group: Group::default() };
                    let command = Command::Position {
                        topic: topic(n), key, next: Offset(next), sequence: commit, reset: true,
                    };
                    match journal.submit_blocking(command).unwrap() {
                        Outcome::Position(position) => topics[n as usize].position = Some(position),
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
                Act::Forget(n) => {
                    journal.submit_blocking(Command::Forget { topic: topic(n) }).unwrap();
                    host(&journal, n);
                    let life = topics[n as usize].life + 1;
                    topics[n as usize] = Expected { life, ..Expected::default() };
                }
                Act::Trim(n, start) => {
                    let command = Command::Trim { topic: topic(n), start: Offset(start) };
                    journal.submit_blocking(command).unwrap();
                    let expected = &mut topics[n as usize];
                    let start = start.min(expected.bodies.len() as u64 + 1);
                    expected.start = expected.start.max(start);
                }
                Act::Crash(seed) => {
                    let crash = match seed % 4 {
                        0 => Crash::LosesUnsynced,
                        1 => Crash::KeepsAll,
                        _ => Crash::TearsUnsynced(seed),
                    };
                    let after = disk.crash(crash);
                    journal.close();
                    disk = after;
                    let (opened, report) = open_with(options(&disk));
                    prop_assert_eq!(report.damage, vec![]);
                    journal = opened;
                    agree(&journal, &topics);
                    epoch = boot(&journal);
                }
                Act::Close => {
                    journal.close();
                    let (opened, report) = open_with(options(&disk));
                    prop_assert!(report.was_clean && report.damage.is_empty(), "{:?}", report);
                    journal = opened;
                    epoch = boot(&journal);
                }
            }
        }
        agree(&journal, &topics);
    }

    /// Bits may flip anywhere, several at once: nothing wrong is served.
    #[test]
    fn flips_are_never_served(flips in prop::collection::vec((0..3usize, any::<prop::sample::Index>(), 1..=255u8), 1..6)) {
        let disk = FaultyDisk::new();
        let journal = open(&disk);
        let epoch = boot(&journal);
        let mut model = Model::new();
        for n in 0..3 {
            host(&journal, n);
        }
        for i in 0..150u64 {
            let n = u128::from(i % 3);
            let body = vec![i as u8; 900];
            let at = base(put(&journal, epoch, n, 0, i / 3, &[&body]));
            model.insert((n, at.0), body);
        }
        journal.close();
        let files: Vec<_> = disk.files().into_iter().filter(|(_, bytes)| bytes.len() > 64).collect();
        for (file, at, mask) in flips {
            let (path, bytes) = &files[file % files.len()];
            disk.flip(path, at.index(bytes.len()), mask);
        }
        check(&disk, &model, true);
    }

    /// Noise where segments should be never panics.
    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..9_000)) {
        crate::journal::fuzz_recover(&bytes);
    }

    /// Nor do entries that are sound and make no sense.
    #[test]
    fn nonsense_never_panics(
        entries in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)), 0..60)
    ) {
        let mut bytes = Vec::new();
        for (op, body) in entries {
            // Mostly batches, hosts and their like, whole groups.
            bytes.extend_from_slice(&[op & 0x39 | 0x10, body.len() as u8]);
            bytes.extend_from_slice(&body);
        }
        crate::journal::fuzz_recover(&bytes);
    }

    /// The same for entries that could be: a topic, batches with odd offsets, trims, tombstones.
    #[test]
    fn odd_logs_never_panic(
        entries in prop::collection::vec((0..8u8, 0..2u8, any::<u8>(), any::<u8>(), 0..12u8), 0..80)
    ) {
        let mut bytes = Vec::new();
        for (what, n, a, b, group) in entries {
            let mut id = [0; 16];
            id[0] = n;
            let number = u64::from(a) << (b % 60);
            let trim = [&id[..], &number.to_le_bytes()].concat();
            let position = [&id[..], &[1; 32], &number.to_le_bytes(), &[b; 8], &[0]].concat();
            let lost = [&id[..], &[1, 0, 0, 0], &number.to_le_bytes(), &[b; 8]].concat();
            let (kind, body) = match what {
                0 => (3, id.to_vec()),
                1 => (6, trim),
                2 => (5, position),
                3 => (7, lost),
                _ => (1, vec![a, b, n, a, b % 5, b, a, 0, 0]),
            };
            let flags = if group == 0 { 0x20 } else { 0x10 };
            bytes.extend_from_slice(&[kind | flags, body.len() as u8]);
            bytes.extend_from_slice(&body);
        }
        crate::journal::fuzz_recover(&bytes);
    }
}
