//! Segments of which little is kept, written anew.

use std::io;

use super::*;
use crate::journal::rewrite::{Policy, Why};
use crate::journal::rewriter::{self, Came};

/// Options under which nothing is rewritten but by [`rewrite_now`]: a journal has one rewriter.
pub(super) fn by_hand(disk: &FaultyDisk) -> Options {
    Options {
        rewrite_live_percent: 0,
        sort_bytes_per_s: 0,
        ..options(disk)
    }
}

/// Rewrites all of which at most nine tenths are kept; answers what came of each.
pub(super) fn try_rewriting(journal: &Journal) -> io::Result<Vec<Came>> {
    let shared = &journal.inner.shared;
    let policy = Policy::new(&Options {
        rewrite_live_percent: 90,
        ..shared.options.clone()
    });
    let mut all = Vec::new();
    while let Some((sequence, info)) = rewriter::pick(shared, |below| policy.pick(below)) {
        let came = rewriter::rewrite(shared, &policy, Why::Reclaim, sequence, info, &mut |_| true)?;
        all.push(came);
    }
    Ok(all)
}

pub(super) fn rewrite_now(journal: &Journal) -> usize {
    let came = try_rewriting(journal).expect("a disk without faults");
    came.iter().filter(|came| **came == Came::Rewritten).count()
}

/// Topic 0 keeps every message, topic 1 is nine times as large and keeps the newest. Closed and opened
/// again, so that two checkpoints are there.
fn mostly_dead() -> (FaultyDisk, Journal) {
    let disk = FaultyDisk::new();
    let (journal, _) = open_with(by_hand(&disk));
    let epoch = boot(&journal);
    host(&journal, 0);
    host(&journal, 1);
    for i in 0..60u64 {
        put(&journal, epoch, 0, 0, i, &[&i.to_le_bytes().repeat(20)]);
        for j in 0..9 {
            put(&journal, epoch, 1, 0, 9 * i + j, &[&[2; 700]]);
        }
    }
    let trim = Command::Trim {
        topic: topic(1),
        start: Offset(530),
    };
    journal.submit_blocking(trim).unwrap();
    journal.close();
    let (journal, report) = open_with(by_hand(&disk));
    assert!(report.was_clean, "{report:?}");
    fill_segment(&journal);
    (disk, journal)
}

/// Appends a segment's worth to a topic of its own, so that another checkpoint follows.
fn fill_segment(journal: &Journal) {
    let epoch = boot(journal);
    let before = journal.stats().checkpoints;
    host(journal, 9);
    let mut sequence = 0;
    while journal.stats().checkpoints == before {
        let by = u128::from(epoch.incarnation);
        base(put(journal, epoch, 9, by, sequence, &[&[9; 4_000]]));
        sequence += 1;
    }
    // The floor is told just after the checkpoint.
    let floor = &journal.inner.shared.floor;
    while floor.load(Ordering::Acquire) == 0 {
        thread::yield_now();
    }
}

/// Everything that can be read, by topic.
fn contents(journal: &Journal) -> Vec<Vec<(u64, Vec<u8>)>> {
    [0, 1, 9]
        .map(|n| read_all(journal, n).expect("readable"))
        .to_vec()
}

#[test]
fn what_is_kept_of_a_segment_stays_and_the_rest_is_given_back() {
    let (disk, journal) = mostly_dead();
    let before = contents(&journal);
    let (used, stats) = (disk.used(), journal.stats());
    let rewritten = rewrite_now(&journal);
    assert!(rewritten > 3, "{rewritten} segments");
    let freed = used - disk.used();
    assert!(freed > rewritten as u64 * (45 << 10), "{freed} bytes");
    let after = journal.stats();
    assert_eq!(after.segments_rewritten, rewritten as u64);
    assert!(after.bytes < stats.bytes - rewritten as u64 * (45 << 10));
    assert!(after.given_back_bytes > rewritten as u64 * (45 << 10));
    assert_eq!(contents(&journal), before);
    assert_eq!(rewrite_now(&journal), 0, "once is enough");
    journal.close();
    let (journal, report) = open_with(by_hand(&disk));
    assert!(report.was_clean && report.damage.is_empty(), "{report:?}");
    assert_eq!(contents(&journal), before);
    // Closing may have written a checkpoint that lets one more segment go, once the keeper has said so.
    rewrite_now(&journal);
    assert_eq!(contents(&journal), before);
}

#[test]
fn a_rewritten_segment_dies_like_any_other() {
    let (disk, journal) = mostly_dead();
    assert!(rewrite_now(&journal) > 3);
    let before = journal.stats();
    for n in [0, 1] {
        let topic = topic(n);
        journal.submit_blocking(Command::Forget { topic }).unwrap();
    }
    fill_segment(&journal);
    fill_segment(&journal);
    journal.close();
    let reclaimed = journal.stats().segments_reclaimed - before.segments_reclaimed;
    assert!(reclaimed > 3, "{reclaimed}");
    let (_, report) = open_with(by_hand(&disk));
    assert_eq!(report.damage, []);
}

#[test]
fn who_reads_meanwhile_notices_nothing() {
    let (_, journal) = mostly_dead();
    let expected = contents(&journal);
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (journal, stop) = (journal.clone(), stop.clone());
            let expected = expected[0].clone();
            thread::spawn(move || {
                let mut rounds = 0;
                while !stop.load(Ordering::Acquire) || rounds == 0 {
                    assert_eq!(read_all(&journal, 0).expect("readable"), expected);
                    rounds += 1;
                }
            })
        })
        .collect();
    // Each round gives up a little more of what the segments hold.
    for start in [10, 20, 30, 40, 50] {
        rewrite_now(&journal);
        let trim = Command::Trim {
            topic: topic(1),
            start: Offset(530 + start / 5),
        };
        journal.submit_blocking(trim).unwrap();
    }
    stop.store(true, Ordering::Release);
    for reader in readers {
        reader.join().expect("the reader found what it expected");
    }
    assert!(journal.stats().segments_rewritten > 3);
}

#[test]
fn a_crash_at_any_step_leaves_all_that_is_kept() {
    for steps in 0.. {
        let (disk, journal) = mostly_dead();
        let before = contents(&journal);
        disk.fail_changes_after(steps);
        let came = try_rewriting(&journal);
        // While it fails, readers find what they found before.
        assert_eq!(contents(&journal), before, "after {steps} steps");
        for crash in [
            Crash::LosesUnsynced,
            Crash::KeepsAll,
            Crash::TearsUnsynced(2 * steps),
            Crash::TearsUnsynced(2 * steps + 1),
        ] {
            let after = disk.crash(crash);
            let (journal, report) = open_with(by_hand(&after));
            assert_eq!(report.damage, [], "{crash:?} after {steps} steps");
            assert_eq!(contents(&journal), before, "{crash:?} after {steps} steps");
            rewrite_now(&journal);
            assert_eq!(contents(&journal), before, "{crash:?} after {steps} steps");
            journal.close();
            let (journal, report) = open_with(by_hand(&after));
            assert_eq!(report.damage, [], "{crash:?} after {steps} steps");
            assert_eq!(contents(&journal), before, "{crash:?} after {steps} steps");
        }
        if came.is_ok() {
            assert!(steps > 30, "{steps} steps");
            return;
        }
    }
}

#[test]
fn the_checkpoint_before_will_do_and_none_will_not() {
    let (disk, journal) = mostly_dead();
    let before = contents(&journal);
    assert!(rewrite_now(&journal) > 3);
    journal.close();
    let checkpoints = || {
        let files = disk.files().into_iter().map(|(path, _)| path);
        let wanted = files.filter(|path| path.extension().is_some_and(|e| e == "ckp"));
        wanted.collect::<Vec<_>>()
    };
    assert_eq!(checkpoints().len(), limits::CHECKPOINTS_KEPT);
    disk.flip(&checkpoints()[1], 100, 1);
    let (journal, report) = open_with(by_hand(&disk));
    assert_eq!((report.bad_checkpoints, &*report.damage), (1, &[][..]));
    assert_eq!(contents(&journal), before);
    drop(journal);
    let without = FaultyDisk::holding(disk.files());
    for path in checkpoints() {
        without.remove(&path).unwrap();
    }
    match Journal::open(by_hand(&without), Hooks::default()) {
        Err(OpenError::Rewritten { segment: 1, .. }) => {}
        other => panic!("{:?}", other.map(|(_, report)| report)),
    }
}

/// Where the index of a segment is lost too, it is made anew without what does not read: be that a
/// topic's first batch in the segment, its last, or one between.
#[test]
fn damage_that_the_index_does_not_know_is_not_dropped_either() {
    for which in [0, 1, 2] {
        let (disk, journal) = mostly_dead();
        let path = &segments(&disk)[1];
        let bytes = disk.files().into_iter().find(|(p, _)| p == path).unwrap().1;
        let kept: Vec<usize> = (1..60u64)
            .filter_map(|i| {
                let body = i.to_le_bytes().repeat(20);
                bytes.windows(body.len()).position(|w| w == body)
            })
            .collect();
        disk.flip(path, kept[which * (kept.len() - 1) / 2], 1);
        disk.remove(&path.with_extension("idx")).unwrap();
        let came = try_rewriting(&journal).unwrap();
        let damaged = came.iter().filter(|came| **came == Came::Damaged).count();
        assert_eq!(damaged, 1, "{which} of {kept:?}");
        let error = read_all(&journal, 0).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
    }
}

#[test]
fn damage_is_neither_copied_nor_dropped() {
    let (disk, journal) = mostly_dead();
    let path = &segments(&disk)[1];
    let bytes = disk.files().into_iter().find(|(p, _)| p == path).unwrap().1;
    let kept = 10u64.to_le_bytes().repeat(20);
    let at = bytes.windows(kept.len()).position(|w| w == kept).unwrap();
    disk.flip(path, at, 1);
    let came = try_rewriting(&journal).unwrap();
    let damaged = came.iter().filter(|came| **came == Came::Damaged).count();
    assert_eq!(damaged, 1);
    assert!(came.len() > 3, "the others are rewritten");
    assert!(
        disk.files()
            .iter()
            .any(|(p, b)| p == path && b.len() == bytes.len())
    );
    let error = read_all(&journal, 0).unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::Damaged {
                from: Offset(11),
                to: Offset(12),
                ..
            }
        ),
        "{error}"
    );
    let rest = journal.read(topic(0), Offset(12), 1).unwrap();
    assert_eq!(bodies(&rest)[0].0, 12);
}

/// A slow topic whose few messages would pin every segment must not keep what others have given up:
/// the disk takes twice what is kept and a fixed number of segments, however much is written.
#[test]
fn retention_bounds_the_disk_under_load() {
    const TOPICS: u128 = 5;
    const KEPT: u64 = 64 << 10;
    let disk = FaultyDisk::new();
    let mut options = options(&disk);
    // The machine's load must not decide the outcome.
    options.rewrite_idle_bytes_per_s = 1 << 40;
    let segment_bytes = options.segment_bytes;
    // Twice what is kept; segments above the older checkpoint, two and two by rounding; the active one and
    // the next; the pool; one being rewritten; footers and checkpoints.
    let bound = 2 * KEPT * TOPICS as u64 + (4 + 2 + 4 + 1 + 2) * segment_bytes;
    let (journal, _) = open_with(options);
    let epoch = boot(&journal);
    for n in 0..TOPICS {
        let mut topic = hosted(n);
        topic.settings.retain_bytes = Some(KEPT);
        journal.submit_blocking(Command::Host(topic)).unwrap();
    }
    let mut sequences = [0; TOPICS as usize];
    for i in 0..10_000u64 {
        let n = if i % 70 == 0 { 0 } else { 1 + i % 4 };
        let sequence = &mut sequences[n as usize];
        base(put(
            &journal,
            epoch,
            u128::from(n),
            0,
            *sequence,
            &[&[1; 900]],
        ));
        *sequence += 1;
        if i % 70 == 0 {
            until("the disk use is within its bound", || disk.used() <= bound);
        }
    }
    let stats = journal.stats();
    assert!(stats.segments_rewritten > 50, "{stats:?}");
    for n in 0..TOPICS {
        let stat = journal.topic(topic(n)).unwrap();
        let read = read_all(&journal, n).unwrap();
        assert_eq!(read.len() as u64, stat.end.0 - stat.start.0);
    }
    journal.close();
    let (journal, report) = open_with(by_hand(&disk));
    assert_eq!(report.damage, []);
    for n in 0..TOPICS {
        let stat = journal.topic(topic(n)).unwrap();
        let read = read_all(&journal, n).unwrap();
        assert_eq!(read.len() as u64, stat.end.0 - stat.start.0);
    }
}

/// A file under the name of one in the making is of no value.
#[test]
fn what_was_not_finished_is_removed() {
    let disk = FaultyDisk::new();
    open(&disk).close();
    let left = std::path::Path::new(DIR).join("0000000000000001-new.tmp");
    disk.create(&left).unwrap().write_at(&[1; 99], 0).unwrap();
    open(&disk).close();
    assert!(disk.files().iter().all(|(path, _)| *path != left));
}
