//! The journal as a whole, on a disk in memory.

use super::faulty::{Crash, FaultyDisk};
use super::testing::*;
use super::*;
use crate::types::*;

mod copies;
mod deferred;
mod faults;
mod format;
mod life;
mod random;
mod rewriting;
mod sorting;

#[test]
fn what_is_appended_is_read_also_after_a_restart() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    let epoch = boot(&journal);
    host(&journal, 0);
    assert_eq!(
        base(put(&journal, epoch, 0, 0, 0, &[b"a", b"b"])),
        Offset(1)
    );
    assert_eq!(base(put(&journal, epoch, 0, 0, 2, &[b"c"])), Offset(3));
    let expected = vec![(1, b"a".to_vec()), (2, b"b".to_vec()), (3, b"c".to_vec())];
    assert_eq!(read_all(&journal, 0).unwrap(), expected);
    let before = journal.topic(topic(0)).unwrap();
    let storage = journal.storage_id();
    journal.close();
    let (journal, report) = open_with(options(&disk));
    assert!(report.was_clean, "{report:?}");
    assert_eq!(report.damage, []);
    assert_eq!(journal.topic(topic(0)).unwrap(), before);
    assert_eq!(journal.storage_id(), storage);
    assert_eq!(read_all(&journal, 0).unwrap(), expected);
    assert_eq!(journal.last_incarnation(), 1);
}

#[test]
fn a_crash_loses_nothing_that_was_acknowledged() {
    let disk = FaultyDisk::new();
    let journal = open(&disk);
    let epoch = boot(&journal);
    host(&journal, 0);
    for i in 0..300u64 {
        put(&journal, epoch, 0, 0, i, &[&[7; 700]]);
    }
    for (n, crash) in [Crash::LosesUnsynced, Crash::KeepsAll]
        .into_iter()
        .chain((0..20).map(Crash::TearsUnsynced))
        .enumerate()
    {
        let after = disk.crash(crash);
        let (journal, report) = open_with(options(&after));
        assert_eq!(report.damage, [], "{n} {crash:?}");
        assert_eq!(read_all(&journal, 0).unwrap().len(), 300, "{crash:?}");
        let epoch = boot(&journal);
        assert_eq!(base(put(&journal, epoch, 0, 0, 300, &[b"x"])), Offset(301));
    }
}
