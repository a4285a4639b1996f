//! Segments in which topics lie scattered, sorted by topic.

use super::rewriting::{by_hand, rewrite_now};
use super::*;

const TOPICS: u128 = 12;
const EACH: u64 = 60;

fn sorting(disk: &FaultyDisk) -> Options {
    Options {
        sort_bytes_per_s: 1 << 40,
        ..by_hand(disk)
    }
}

/// Topics that write in turns.
fn scattered(options: Options) -> Journal {
    let (journal, _) = open_with(options);
    let epoch = boot(&journal);
    (0..TOPICS).for_each(|n| host(&journal, n));
    for i in 0..EACH {
        for n in 0..TOPICS {
            let body = [i as u8, n as u8].repeat(350);
            base(put(&journal, epoch, n, 0, i, &[&body]));
        }
    }
    journal
}

fn contents(journal: &Journal) -> Vec<Vec<(u64, Vec<u8>)>> {
    let all = (0..TOPICS).map(|n| read_all(journal, n).expect("readable"));
    all.collect()
}

/// Sealed segments, and how many of them are sorted.
fn sealed(journal: &Journal) -> (usize, usize) {
    let view = journal.inner.shared.view.read();
    let sealed = view.segments.range(..view.active.sequence);
    let sorted = sealed.clone().filter(|(_, info)| info.rewritten).count();
    (sealed.count(), sorted)
}

fn sort_all(journal: &Journal) {
    until("all that is sealed is sorted", || {
        let (all, sorted) = sealed(journal);
        all > 5 && all == sorted
    });
}

/// How often a topic goes on elsewhere in a segment than where it left off.
fn jumps(disk: &FaultyDisk, journal: &Journal, n: u128) -> usize {
    let active = journal.inner.shared.view.read().active.sequence;
    let footers = (1..active).map(|sequence| {
        let footer = footer::Footer::open(disk, std::path::Path::new(DIR), sequence);
        let entries = footer.expect("a footer").entries(&topic(n));
        entries.expect("sound").unwrap_or_default()
    });
    let jumps = footers.map(|entries| {
        let apart = |pair: &&[index::IndexEntry]| {
            pair[0].position() + pair[0].bytes() != pair[1].position()
        };
        entries.windows(2).filter(apart).count()
    });
    jumps.sum()
}

#[test]
fn scattered_topics_are_sorted_once_it_is_quiet_and_nothing_else_changes() {
    let disk = FaultyDisk::new();
    let journal = scattered(sorting(&disk));
    let before = contents(&journal);
    let stats = journal.stats();
    sort_all(&journal);
    // The last one has its name and footer when the rewriter has counted it.
    until("the last one is counted", || {
        let sorted = sealed(&journal).1 as u64;
        journal.stats().segments_rewritten == sorted
    });
    assert_eq!(contents(&journal), before);
    assert_eq!(jumps(&disk, &journal, 3), 0);
    let after = journal.stats();
    assert_eq!(after.segments, stats.segments);
    assert!(after.checkpoints <= stats.checkpoints + 2 * stats.segments_sealed);
    for crash in [Crash::LosesUnsynced, Crash::TearsUnsynced(1)] {
        let after = disk.crash(crash);
        let (journal, report) = open_with(by_hand(&after));
        assert_eq!(report.damage, [], "{crash:?}");
        assert_eq!(contents(&journal), before, "{crash:?}");
        let (all, sorted) = sealed(&journal);
        assert_eq!(all, sorted, "what is sorted is known to be");
    }
}

#[test]
fn what_was_written_in_order_stays_as_it_is() {
    let disk = FaultyDisk::new();
    let (journal, _) = open_with(sorting(&disk));
    let epoch = boot(&journal);
    for n in 0..TOPICS {
        host(&journal, n);
        for i in 0..EACH {
            base(put(&journal, epoch, n, 0, i, &[&[7; 700]]));
        }
    }
    // Closed and opened twice, so that both checkpoints let all be sorted that wants to be.
    journal.close();
    open_with(by_hand(&disk)).0.close();
    let (journal, _) = open_with(sorting(&disk));
    until("the rewriter has looked", || {
        let floor = journal.inner.shared.floor.load(Ordering::Acquire);
        floor > 5 && sealed(&journal).0 > 5
    });
    journal.close();
    assert_eq!(journal.stats().segments_rewritten, 0);
}

#[test]
fn a_lost_footer_of_a_sorted_segment_is_made_anew() {
    let disk = FaultyDisk::new();
    let journal = scattered(sorting(&disk));
    sort_all(&journal);
    let before = contents(&journal);
    journal.close();
    for (path, _) in disk.files() {
        if path.extension().is_some_and(|extension| extension == "idx") {
            disk.remove(&path).expect("it is there");
        }
    }
    let (journal, report) = open_with(by_hand(&disk));
    assert_eq!(report.damage, []);
    assert_eq!(contents(&journal), before);
}

#[test]
fn what_is_sorted_gives_its_space_back_as_ever() {
    let disk = FaultyDisk::new();
    let journal = scattered(sorting(&disk));
    sort_all(&journal);
    for n in 1..TOPICS {
        let trim = Command::Trim {
            topic: topic(n),
            start: Offset(EACH),
        };
        submit(&journal, trim);
    }
    base(put(&journal, EPOCH, 0, 0, EACH, &[b"the last"]));
    let before = contents(&journal);
    let used = disk.used();
    assert!(rewrite_now(&journal) > 3);
    assert!(disk.used() < used);
    assert_eq!(contents(&journal), before);
}
