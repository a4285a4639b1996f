//! What every store must do. Each check opens stores with the `open` that it is given; opening again
//! after dropping must show the same records.

use super::*;
use crate::index::record::tests_support::samples;
use crate::index::record::{HeldRecord, TopicRecord, held_key};
use crate::replication::held::Incoming;
use crate::types::{Fingerprint, ProducerId, TopicId, UnixMicros};

/// Opens the store; called again after the last one was dropped.
pub(super) type Open<'a> = &'a dyn Fn() -> Box<dyn Store>;

/// A check, which is given a store's home.
pub(super) type Check<'a> = &'a dyn Fn(Open);

/// Runs all checks; `open_fresh` makes an empty home and a way to open it.
pub(super) fn run(with_home: &dyn Fn(Check)) {
    let checks: [fn(Open); 7] = [
        empty_store_is_at_revision_zero,
        records_survive_reopening,
        tables_load_in_order,
        conflicts_change_nothing,
        later_changes_win,
        scans_are_sorted_and_paged,
        held_batches_are_scanned_but_not_loaded,
    ];
    for check in checks {
        with_home(&|open| check(open));
    }
}

fn load(store: &dyn Store) -> (Revision, Vec<Change>) {
    let mut changes = vec![];
    let revision = store.load(&mut |change| changes.push(change)).unwrap();
    (revision, changes)
}

fn topic() -> TopicRecord {
    let topic = samples().into_iter().find_map(|change| match change {
        Change::PutTopic(topic) => Some(topic),
        _ => None,
    });
    topic.unwrap()
}

fn named(name: &str) -> Change {
    Change::PutTopic(TopicRecord {
        name: name.parse().unwrap(),
        ..topic()
    })
}

fn expect(name: &str, version: Option<u64>) -> Expected {
    Expected {
        table: Table::Topics,
        key: name.into(),
        version,
    }
}

fn empty_store_is_at_revision_zero(open: Open) {
    let store = open();
    assert_eq!(load(&*store), (0, vec![]));
    assert_eq!(store.watch(0).unwrap(), Watched::Changes(0, vec![]));
    assert_eq!(store.scan(Table::Topics, b"", None, 10).unwrap(), vec![]);
}

fn records_survive_reopening(open: Open) {
    let store = open();
    assert_eq!(store.commit(&[], &samples()).unwrap(), 1);
    let before = load(&*store);
    assert_eq!(before, (1, samples()));
    drop(store);
    let store = open();
    assert_eq!(load(&*store), before);
    let gone = Change::DeleteTopic {
        name: topic().name,
        topic: TopicId([0; 16]),
    };
    assert_eq!(store.commit(&[], &[gone]).unwrap(), 2);
    drop(store);
    let (revision, changes) = load(&*open());
    assert_eq!(revision, 2);
    assert_eq!(changes.len(), samples().len() - 1);
}

fn tables_load_in_order(open: Open) {
    let store = open();
    let mut backwards = samples();
    backwards.reverse();
    store.commit(&[], &backwards).unwrap();
    assert_eq!(load(&*store).1, samples());
}

fn conflicts_change_nothing(open: Open) {
    let store = open();
    store.commit(&[expect("T1", None)], &[named("T1")]).unwrap();
    let before = load(&*store);
    for wrong in [
        expect("T1", None),
        expect("T1", Some(6)),
        expect("T2", Some(5)),
    ] {
        let right = expect("T3", None);
        let error = store.commit(&[right, wrong], &[named("T3")]).unwrap_err();
        assert!(matches!(error, CommitError::Conflict { table: "topics" }));
        assert_eq!(load(&*store), before);
    }
    assert_eq!(store.watch(1).unwrap(), Watched::Changes(1, vec![]));
    store
        .commit(&[expect("T1", Some(5))], &[named("T3")])
        .unwrap();
    match store.watch(1).unwrap() {
        Watched::Changes(revision, changes) => {
            assert_eq!((revision, changes), (2, vec![named("T3")]))
        }
        Watched::Forgotten => assert_eq!(load(&*store).1.len(), 2),
    }
}

fn later_changes_win(open: Open) {
    let store = open();
    let gone = |name: &str| Change::DeleteTopic {
        name: name.parse().unwrap(),
        topic: TopicId([0; 16]),
    };
    let newer = Change::PutTopic(TopicRecord {
        version: 6,
        ..topic()
    });
    let changes = [
        named("a"),
        gone("a"),
        gone("b"),
        named("b"),
        named("T1"),
        newer.clone(),
    ];
    store.commit(&[], &changes).unwrap();
    assert_eq!(load(&*store).1, vec![newer, named("b")]);
}

fn scans_are_sorted_and_paged(open: Open) {
    let store = open();
    let names = ["a", "a/1", "a/2", "a/3", "b", "a0"];
    store.commit(&[], &names.map(named)).unwrap();
    assert_eq!(store.count(Table::Topics).unwrap(), 6);
    assert_eq!(store.count(Table::Peers).unwrap(), 0);
    let keys = |prefix: &str, after: Option<&str>, limit| -> Vec<String> {
        let after = after.map(str::as_bytes);
        let rows = store
            .scan(Table::Topics, prefix.as_bytes(), after, limit)
            .unwrap();
        rows.into_iter()
            .map(|(key, _)| String::from_utf8(key).unwrap())
            .collect()
    };
    assert_eq!(keys("", None, 10), ["a", "a/1", "a/2", "a/3", "a0", "b"]);
    assert_eq!(keys("a/", None, 10), ["a/1", "a/2", "a/3"]);
    assert_eq!(keys("a/", None, 2), ["a/1", "a/2"]);
    assert_eq!(keys("a/", Some("a/2"), 2), ["a/3"]);
    assert_eq!(keys("a/", Some("a"), 2), ["a/1", "a/2"]);
    assert_eq!(keys("a/", Some("b"), 2), Vec::<String>::new());
    let rows = store.scan(Table::Topics, b"b", None, 1).unwrap();
    assert_eq!(
        Change::read(Table::Topics, b"b", &rows[0].1).unwrap(),
        Some(named("b"))
    );
    let nobody = Fingerprint([9; 32]);
    assert_eq!(
        store
            .scan(Table::Subscriptions, &nobody.0, None, 10)
            .unwrap(),
        vec![]
    );
}

fn held_batches_are_scanned_but_not_loaded(open: Open) {
    let store = open();
    let topic = topic().topic;
    let held = |held| HeldRecord {
        topic,
        held,
        batch: Incoming {
            producer: ProducerId([7; 16]),
            sequence: held,
            count: 1,
            bytes: 5,
        },
        since: UnixMicros(1),
    };
    let bytes = |held| Change::PutHeldBatch {
        topic,
        held,
        batch: bytes::Bytes::from(format!("batch {held}")),
    };
    let puts = [256, 1].map(|n| [Change::PutHeld(held(n)), bytes(n)]);
    store.commit(&[], puts.as_flattened()).unwrap();
    drop(store);
    let store = open();
    let loaded = load(&*store).1;
    assert_eq!(loaded, [1, 256].map(|n| Change::PutHeld(held(n))));
    let scan = |after: Option<&[u8]>| {
        let rows = store.scan(Table::HeldBatches, &topic.0, after, 10);
        let rows = rows.unwrap().into_iter();
        rows.map(|(_, batch)| String::from_utf8(batch).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(scan(None), ["batch 1", "batch 256"]);
    assert_eq!(scan(Some(&held_key(topic, 1))), ["batch 256"]);
    let gone = [
        Change::DeleteHeld { topic, held: 1 },
        Change::DeleteHeldBatch { topic, held: 1 },
    ];
    store.commit(&[], &gone).unwrap();
    assert_eq!(scan(None), ["batch 256"]);
    assert_eq!(load(&*store).1, [Change::PutHeld(held(256))]);
}
