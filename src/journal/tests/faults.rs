//! Crashes, damage, failing and full disks, against a simple model of what was acknowledged.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// What was acknowledged: bodies by topic and offset.
pub(super) type Model = BTreeMap<(u128, u64), Vec<u8>>;

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
pub(super) fn check(disk: &FaultyDisk, model: &Model, may_lack: bool) -> Option<RecoveryReport> {
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
fn a_panic_where_space_is_made_ready_stops_the_journal_with_an_error() {
    let disk = FaultyDisk::new();
    let (told, fatal) = std::sync::mpsc::channel();
    let hooks = Hooks {
        on_fatal: Box::new(move |error| drop(told.send(error.source.to_string()))),
        ..Hooks::default()
    };
    let (journal, _) = Journal::open(options(&disk), hooks).unwrap();
    let epoch = boot(&journal);
    host(&journal, 0);
    disk.panic_in_allocate();
    for sequence in 0.. {
        let batch = batch_of(0, 0, sequence, &[&[1; 900]]);
        let command = Command::Append {
            topic: topic(0),
            epoch,
            batch,
        };
        match journal.submit_blocking(command) {
            Ok(outcome) => drop(base(outcome)),
            Err(Stopped) => break,
        }
    }
    let error = fatal.recv().expect("the hook is called");
    assert!(error.contains("panicked"), "{error}");
    journal.close();
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

/// With very many topics the checkpoint that lets dead segments go is larger than what is left.
#[test]
fn a_trim_makes_room_on_a_full_disk_with_very_many_topics() {
    let disk = FaultyDisk::new();
    disk.set_capacity(Some(16 << 20));
    let mut options = options(&disk);
    options.segment_bytes = 1 << 20;
    options.checkpoint_bytes = 1 << 40;
    let (journal, _) = open_with(options);
    let epoch = boot(&journal);
    host_many(&journal, 20_000);
    // Room is kept within a tick of the topics' coming.
    until("room is kept", || {
        let files = disk.files().into_iter();
        let spares = files.filter(|(path, _)| path.extension().is_some_and(|e| e == "spare"));
        spares.filter(|(_, bytes)| bytes.len() > 1 << 20).count() == limits::CHECKPOINTS_KEPT
    });
    let (mut next, mut trims) = (0, 0);
    while next < 4_000 {
        let outcome = put(&journal, epoch, 0, 0, next, &[&[1; 9_000]]);
        if matches!(outcome, Outcome::Appended(_)) {
            next += 1;
            continue;
        }
        assert_eq!(outcome, Outcome::Refused(Refusal::StorageFull));
        let trim = Command::Trim {
            topic: topic(0),
            start: Offset(next),
        };
        assert_eq!(journal.submit_blocking(trim), Ok(Outcome::Done));
        trims += 1;
        until("there is room", || !journal.is_full());
    }
    assert!(trims > 1, "twice the disk was written");
    journal.close();
    disk.set_capacity(None);
    let journal = open(&disk);
    assert_eq!(journal.topics().len(), 20_000);
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
