//! What topics, positions and segments live through.

use bytes::Bytes;

use super::*;

fn key(n: u8) -> PositionKey {
    PositionKey {
        subscriber: Fingerprint([n; 32]),
        group: Group::default(),
    }
}

fn move_to(journal: &Journal, n: u128, next: u64, sequence: u64) -> Outcome {
    let command = Command::Position {
        topic: topic(n),
        key: key(1),
        next: Offset(next),
        sequence,
        reset: false,
    };
    journal.submit_blocking(command).unwrap()
}

#[test]
fn dedupe_and_positions_survive_restarts_with_and_without_checkpoint() {
    let disk = FaultyDisk::new();
    for round in 0..4u64 {
        let journal = open(&disk);
        let epoch = boot(&journal);
        host(&journal, 0);
        if round > 0 {
            let again = put(&journal, epoch, 0, 0, (round - 1) * 100, &[&[1; 800]]);
            match again {
                Outcome::Appended(a) => {
                    assert!(a.duplicate);
                    assert_eq!(a.base, Offset((round - 1) * 100 + 1));
                }
                other => panic!("{other:?}"),
            }
            let known = journal.position(topic(0), &key(1)).unwrap();
            assert_eq!(known.next, Offset(round * 100));
            assert_eq!(known.sequence, round);
        }
        // More than a segment a round, so that checkpoints come to be.
        for i in 0..100 {
            let sequence = round * 100 + i;
            assert_eq!(
                base(put(&journal, epoch, 0, 0, sequence, &[&[1; 800]])),
                Offset(sequence + 1)
            );
        }
        let outcome = move_to(&journal, 0, (round + 1) * 100, round + 1);
        let position = Position {
            next: Offset((round + 1) * 100),
            sequence: round + 1,
        };
        assert_eq!(outcome, Outcome::Position(position));
        match round {
            0 => journal.close(),
            _ => drop(journal),
        }
    }
    let journal = open(&disk);
    assert_eq!(read_all(&journal, 0).unwrap().len(), 400);
}

#[test]
fn replay_stops_where_a_checkpoint_tells() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    let epoch = boot(&journal);
    for n in 0..10 {
        host(&journal, n);
    }
    for i in 0..1_000u64 {
        put(&journal, epoch, u128::from(i % 10), 0, i / 10, &[&[1; 900]]);
    }
    let before = sorted(journal.topics());
    journal.close();
    let (journal, report) = open_with(options(&disk));
    assert!(report.checkpoint.is_some(), "{report:?}");
    assert!(report.entries < 200, "{report:?}");
    assert_eq!(sorted(journal.topics()), before);
    for n in 0..10 {
        assert_eq!(read_all(&journal, n).unwrap().len(), 100);
    }
}

fn sorted(mut topics: Vec<TopicStat>) -> Vec<TopicStat> {
    topics.sort_by_key(|topic| topic.id);
    topics
}

#[test]
fn retention_gives_segments_back() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    let epoch = boot(&journal);
    let mut kept = hosted(0);
    kept.settings.retain_bytes = Some(20_000);
    journal.submit_blocking(Command::Host(kept)).unwrap();
    for i in 0..3_000u64 {
        put(&journal, epoch, 0, 0, i, &[&[1; 900]]);
    }
    let stat = journal.topic(topic(0)).unwrap();
    assert!(stat.bytes <= 20_000 && stat.bytes > 18_000, "{stat:?}");
    assert_eq!(stat.end, Offset(3_001));
    let read = read_all(&journal, 0).unwrap();
    assert_eq!(read.len() as u64, stat.end.0 - stat.start.0);
    let gone = journal.read(topic(0), Offset(1), 1);
    assert!(matches!(gone, Err(ReadError::Gone { start, .. }) if start == stat.start));
    journal.close();
    let stats = journal.stats();
    assert!(stats.segments_reclaimed > 20, "{stats:?}");
    assert!(disk.used() < 20 * (64 << 10), "{} bytes", disk.used());
    let journal = open(&disk);
    assert_eq!(journal.topic(topic(0)).unwrap(), stat);
    assert_eq!(read_all(&journal, 0).unwrap(), read);
}

#[test]
fn forgotten_topics_stay_forgotten_and_can_come_back_empty() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    let epoch = boot(&journal);
    host(&journal, 0);
    put(&journal, epoch, 0, 0, 0, &[b"old"]);
    journal
        .submit_blocking(Command::Forget { topic: topic(0) })
        .unwrap();
    assert_eq!(journal.topic(topic(0)), None);
    assert!(matches!(
        journal.read_cached(topic(0), Offset(1), 1),
        CachedRead::Unknown
    ));
    host(&journal, 0);
    assert_eq!(base(put(&journal, epoch, 0, 1, 0, &[b"new"])), Offset(1));
    let expected = vec![(1, b"new".to_vec())];
    assert_eq!(read_all(&journal, 0).unwrap(), expected);
    journal.close();
    let (journal, report) = open_with(options(&disk));
    assert_eq!(report.damage, []);
    assert_eq!(read_all(&journal, 0).unwrap(), expected);
}

#[test]
fn a_second_open_is_refused_with_the_pid() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    match Journal::open(options(&disk), Hooks::default()) {
        Err(OpenError::Locked { holder, .. }) => assert_eq!(holder.pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    journal.close();
    journal.close();
    open(&disk);
    assert_eq!(
        journal.submit_blocking(append(0, 0, 0, &[b"a"])),
        Err(Stopped)
    );
}

#[test]
fn many_topics_cost_their_entry_only() {
    let disk = FaultyDisk::new();
    let mut options = options(&disk);
    options.segment_bytes = 8 << 20;
    options.extent_bytes = 1 << 20;
    let (journal, _) = open_with(options.clone());
    boot(&journal);
    host_many(&journal, 50_000);
    let stats = journal.stats();
    assert_eq!(stats.topics, 50_000);
    assert!(stats.syncs < 10_000, "group commit: {stats:?}");
    journal.close();
    let (journal, _) = open_with(options);
    assert_eq!(journal.topics().len(), 50_000);
}

#[test]
fn the_tail_is_read_from_memory_and_shared() {
    let disk = FaultyDisk::new();
    let mut options = options(&disk);
    options.tail_cache_bytes = 4_000;
    let (journal, _) = open_with(options);
    let epoch = boot(&journal);
    host(&journal, 0);
    for i in 0..20 {
        put(&journal, epoch, 0, 0, i, &[&[i as u8; 500]]);
    }
    assert!(journal.stats().cached_bytes <= 4_000);
    assert!(matches!(
        journal.read_cached(topic(0), Offset(1), 1),
        CachedRead::Miss
    ));
    let CachedRead::Hit(slice) = journal.read_cached(topic(0), Offset(19), 1 << 20) else {
        panic!("not cached");
    };
    assert_eq!(
        bodies(&slice).iter().map(|b| b.0).collect::<Vec<_>>(),
        [19, 20]
    );
    let CachedRead::Hit(again) = journal.read_cached(topic(0), Offset(19), 1 << 20) else {
        panic!("not cached");
    };
    assert_eq!(slice.batches[0].as_ptr(), again.batches[0].as_ptr());
    let end = Offset(21);
    assert_eq!(
        journal.read_cached(topic(0), end, 1),
        CachedRead::End { end }
    );
    assert_eq!(
        journal.read_cached(topic(0), Offset(22), 1),
        CachedRead::OutOfRange { end }
    );
    assert!(matches!(
        journal.read(topic(0), Offset(22), 1),
        Err(ReadError::OutOfRange { .. })
    ));
    assert_eq!(read_all(&journal, 0).unwrap().len(), 20);
    let one = journal.read(topic(0), Offset(1), 1).unwrap();
    assert_eq!((one.batches.len(), one.next), (1, Offset(2)));
}

#[test]
fn batches_are_served_whole_and_commits_are_announced_once() {
    let disk = FaultyDisk::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let hooks = Hooks {
        on_commit: Box::new(move |topics| told.lock().extend_from_slice(topics)),
        ..Hooks::default()
    };
    let (journal, _) = Journal::open(options(&disk), hooks).unwrap();
    let epoch = boot(&journal);
    host(&journal, 0);
    put(&journal, epoch, 0, 0, 0, &[b"a", b"b", b"c"]);
    let slice = journal.read(topic(0), Offset(2), 1).unwrap();
    assert_eq!(bodies(&slice)[0].0, 1);
    assert_eq!(slice.next, Offset(4));
    assert_eq!(*seen.lock(), [(topic(0), Offset(4))]);
}

/// What hooks were told, in order.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Written(Vec<Bytes>),
    Synced,
    Stopped,
}

/// A journal that tells; `before_write` is called when a group with batches is about to be written.
fn telling(
    disk: &FaultyDisk,
    before_write: impl Fn() + Send + Sync + 'static,
) -> (Journal, Arc<Mutex<Vec<Told>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let (written, synced, stopped) = (told.clone(), told.clone(), told.clone());
    let hooks = Hooks {
        on_written: Box::new(move |group| {
            let batches: Vec<Bytes> = group.batches().map(|batch| batch.bytes()).collect();
            if !batches.is_empty() {
                written.lock().push(Told::Written(batches));
                before_write();
            }
            false
        }),
        on_commit: Box::new(move |_| synced.lock().push(Told::Synced)),
        on_fatal: Box::new(move |_| stopped.lock().push(Told::Stopped)),
        ..Hooks::default()
    };
    (Journal::open(options(disk), hooks).unwrap().0, told)
}

#[test]
fn a_group_is_shown_before_it_is_synced() {
    let disk = FaultyDisk::new();
    let (journal, told) = telling(&disk, || {});
    let epoch = boot(&journal);
    host(&journal, 0);
    put(&journal, epoch, 0, 0, 0, &[b"a", b"b"]);
    let read = journal.read(topic(0), Offset(1), 1).unwrap();
    journal.close();
    assert_eq!(*told.lock(), [Told::Written(read.batches), Told::Synced]);
}

/// A journal whose disk fails as a group is shown.
fn shown_and_never_answered(fail: impl Fn(&FaultyDisk) + Send + Sync + 'static) {
    let disk = FaultyDisk::new();
    let failing = disk.clone();
    let (journal, told) = telling(&disk, move || fail(&failing));
    let epoch = boot(&journal);
    host(&journal, 0);
    let outcome = journal.submit_blocking(Command::Append {
        topic: topic(0),
        epoch,
        batch: batch_of(0, 0, 0, &[b"a"]),
    });
    assert_eq!(outcome, Err(Stopped));
    journal.close();
    let told = told.lock();
    assert!(
        matches!(told[..], [Told::Written(_), Told::Stopped]),
        "{told:?}"
    );
    assert_eq!(journal.topic(topic(0)).unwrap().end, Offset::FIRST);
}

#[test]
fn a_group_that_is_not_synced_is_never_more_than_shown() {
    shown_and_never_answered(|disk| disk.fail_syncs_after(0));
}

#[test]
fn a_group_that_is_not_written_is_never_more_than_shown() {
    shown_and_never_answered(|disk| disk.fail_writes_after(0));
}

/// Small and large groups, over several segments and starts: a block that the log ends in is written
/// again with what it had.
#[test]
fn groups_are_written_in_whole_blocks() {
    let disk = FaultyDisk::new();
    let sizes = [1, 100, 3_000, 5_000, 70_000, 9, 30_000, 4_000];
    let mut sequence = 0;
    let mut expected = Vec::new();
    for _ in 0..3 {
        let journal = open(&disk);
        let epoch = boot(&journal);
        host(&journal, 0);
        for size in sizes {
            let body = vec![sequence as u8 + 1; size];
            put(&journal, epoch, 0, 0, sequence, &[&body]);
            expected.push((sequence + 1, body));
            sequence += 1;
        }
        journal.close();
    }
    assert_eq!(disk.ragged_writes(), 0);
    let journal = open(&disk);
    let mut found = Vec::new();
    let mut from = Offset::FIRST;
    while from < Offset(sequence + 1) {
        let slice = journal.read(topic(0), from, 1).unwrap();
        found.extend(bodies(&slice));
        from = slice.next;
    }
    assert_eq!(found, expected);
}

#[test]
fn a_group_larger_than_a_segment_is_stored() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    let epoch = boot(&journal);
    host(&journal, 0);
    let large = vec![5; 300 << 10];
    for i in 0..3 {
        put(&journal, epoch, 0, 0, i, &[&large]);
    }
    journal.close();
    let journal = open(&disk);
    let read = read_all(&journal, 0).unwrap();
    assert_eq!(read.len(), 3);
    assert!(read.iter().all(|(_, body)| *body == large));
}

#[test]
fn commands_of_one_group_see_each_other() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    let queue = Arc::new(CompletionQueue::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let boot = Command::Boot {
            incarnation: 1,
            boot: BootId([1; 16]),
        };
        let commands = [
            boot,
            Command::Host(hosted(0)),
            append(0, 0, 0, &[b"a"]),
            append(0, 0, 1, &[b"b"]),
            append(0, 0, 0, &[b"a"]),
        ];
        let mut answers = Vec::new();
        for (token, command) in commands.into_iter().enumerate() {
            let done = Done::Queue(queue.clone(), token as u64);
            journal.submit(command, done).await.unwrap();
        }
        while answers.len() < 5 {
            answers.extend(queue.wait().await);
        }
        answers.sort_by_key(|(token, _)| *token);
        let bases: Vec<_> = answers.drain(2..).map(|(_, o)| base(o).0).collect();
        assert_eq!(bases, [1, 2, 1]);
    });
}

#[test]
fn trims_by_age_are_told_to_who_reports_them() {
    let (told, trimmed) = std::sync::mpsc::channel();
    let hooks = Hooks {
        on_commit: Box::new(move |ends: &[(TopicId, Offset)]| drop(told.send(ends.to_vec()))),
        ..Hooks::default()
    };
    let disk = FaultyDisk::new();
    let (journal, _) = Journal::open(options(&disk), hooks).unwrap();
    let epoch = boot(&journal);
    let mut aged = hosted(0);
    aged.settings.retain_age_ms = Some(1);
    journal.submit_blocking(Command::Host(aged)).unwrap();
    put(&journal, epoch, 0, 0, 0, &[b"a"]);
    let soon = limits::JOURNAL_TICK * 10;
    let end = [(topic(0), Offset(2))];
    assert_eq!(trimmed.recv_timeout(soon).unwrap(), end, "appended");
    assert_eq!(trimmed.recv_timeout(soon).unwrap(), end, "trimmed");
    let stat = journal.topic(topic(0)).unwrap();
    assert_eq!(stat.start, stat.end);
    journal.close();
}
