use super::*;
use crate::index::record::TopicState;
use crate::limits;
use crate::wire::index::{Assignment, CopyLag};

fn key(n: u8) -> Fingerprint {
    Fingerprint([n; 32])
}

fn id(n: u32) -> TopicId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    TopicId(bytes)
}

fn record(n: u32, host: u8) -> TopicRecord {
    TopicRecord {
        name: TopicName::new(&format!("topic/{n}")).unwrap(),
        topic: id(n),
        version: 1,
        owner: key(1),
        host: key(host),
        grant: 1,
        in_sync: vec![key(host), key(9)],
        replicas: vec![key(host), key(9), key(10)],
        settings: TopicSettings {
            retain_bytes: Some(u64::from(n % 3)),
            ..TopicSettings::default()
        },
        state: TopicState::Serving,
        lineage: 0,
        created: UnixMicros(n.into()),
    }
}

fn gone(n: u32) -> Change {
    Change::DeleteTopic {
        name: record(n, 1).name,
        topic: id(n),
    }
}

fn metadata(end: u64) -> TopicMetadata {
    TopicMetadata {
        start: 1,
        end,
        bytes: 5,
        last_append: UnixMicros(6),
    }
}

#[test]
fn many_topics_come_and_go() {
    const COUNT: u32 = 20_000;
    let mut directory = Directory::new(3);
    (0..COUNT).for_each(|n| directory.apply(&Change::PutTopic(record(n, 1))));
    (0..COUNT)
        .step_by(2)
        .for_each(|n| directory.apply(&gone(n)));
    assert_eq!(directory.topic_count(), COUNT as usize / 2);
    for n in 0..COUNT {
        let expected = (n % 2 == 1).then(|| record(n, 1));
        assert_eq!(directory.topic(&format!("topic/{n}")), expected);
        assert_eq!(directory.topic_by_id(id(n)), expected);
    }
    let names: Vec<TopicName> = (0..COUNT).map(|n| record(n, 1).name).collect();
    let mut found = vec![];
    let topics = &directory.topics;
    topics.find_many(names.iter().map(TopicName::as_str), |place| {
        found.push(place.map(|place| place.topic));
    });
    let one_by_one = names.iter().map(|name| {
        let slot = topics.find(name.as_str());
        slot.map(|slot| topics.packed(slot).topic)
    });
    assert!(
        one_by_one.eq(found),
        "many at once are found like one by one"
    );
    let slots = directory.topics.end();
    (0..COUNT)
        .step_by(2)
        .for_each(|n| directory.apply(&Change::PutTopic(record(n, 2))));
    assert_eq!(directory.topics.end(), slots, "slots are used again");
    assert_eq!(
        (
            directory.hosted_count(key(1)),
            directory.hosted_count(key(2))
        ),
        (COUNT / 2, COUNT / 2)
    );
    (0..COUNT).for_each(|n| directory.apply(&gone(n)));
    assert_eq!(
        directory.keys.find(&key(1)),
        None,
        "nothing refers to the key"
    );
    assert_eq!(directory.keys.find(&key(9)), None);
}

#[test]
fn all_at_once_is_the_same_as_one_by_one() {
    // Within a group and beyond it: each comes, every third goes and comes back with another host.
    let changes: Vec<Change> = (0..100)
        .flat_map(|n| {
            let put = |host| Change::PutTopic(record(n, host));
            let report = Change::PutReport {
                topic: id(n),
                metadata: metadata(u64::from(n) + 2),
            };
            match n % 3 {
                0 => vec![put(1), gone(n), put(2), report],
                _ => vec![put(1), report],
            }
        })
        .collect();
    let (mut together, mut single) = (Directory::new(3), Directory::new(3));
    together.apply_all(&changes);
    changes.iter().for_each(|change| single.apply(change));
    for n in 0..100 {
        let expected = record(n, if n % 3 == 0 { 2 } else { 1 });
        for directory in [&together, &single] {
            assert_eq!(directory.topic_by_id(id(n)).as_ref(), Some(&expected));
            let name = expected.name.as_str();
            assert_eq!(directory.topic(name).as_ref(), Some(&expected));
            assert!(directory.has_report(id(n)));
        }
    }
    assert_eq!(together.topic_count(), 100);
    assert_eq!(together.hosted_count(key(2)), single.hosted_count(key(2)));
}

#[test]
fn a_changed_topic_moves_between_hosts() {
    let mut directory = Directory::new(3);
    directory.apply(&Change::PutTopic(record(1, 1)));
    let moved = TopicRecord {
        version: 2,
        grant: 2,
        ..record(1, 2)
    };
    directory.apply(&Change::PutTopic(moved.clone()));
    assert_eq!(directory.topic("topic/1"), Some(moved));
    assert_eq!(
        (
            directory.hosted_count(key(1)),
            directory.hosted_count(key(2))
        ),
        (0, 1)
    );
    assert_eq!(directory.assignment(key(1), id(1)), None);
    let keeps = |n| directory.keeps_copy(key(n), id(1));
    assert_eq!([1, 2, 9, 77].map(keeps), [false, true, true, false]);
    assert!(!directory.keeps_copy(key(2), id(2)));
    assert!(directory.assignment(key(2), id(1)).is_some());
}

#[test]
#[should_panic(expected = "version falls")]
fn an_older_version_is_never_applied() {
    let mut directory = Directory::new(3);
    directory.apply(&Change::PutTopic(record(1, 1)));
    directory.apply(&Change::PutTopic(record(1, 2)));
}

#[test]
fn assignments_are_walked_in_bounded_steps() {
    let mut directory = Directory::new(3);
    let last = limits::SLOTS_PER_LOCK + 10;
    (0..=last).for_each(|n| directory.apply(&Change::PutTopic(record(n, 1 + u8::from(n == last)))));
    let (none, next) = directory.hosted_from(key(2), 0, 100);
    assert_eq!((none.len(), next), (0, Some(limits::SLOTS_PER_LOCK)));
    let (found, next) = directory.hosted_from(key(2), next.unwrap(), 100);
    assert!(matches!(&found[..], [Assignment::Host { topic, .. }] if *topic == id(last)));
    assert_eq!(next, None);
    let (page, next) = directory.hosted_from(key(1), 5, 100);
    assert_eq!((page.len(), next), (100, Some(105)));
}

fn lag(topic: u32, peer: u8, messages: u64) -> CopyLag {
    CopyLag {
        topic: id(topic),
        peer: key(peer),
        messages: Some(messages),
    }
}

fn peer_record(n: u8) -> Change {
    Change::PutPeer(PeerRecord {
        name: PeerName::new(&n.to_string()).unwrap(),
        fingerprint: key(n),
        version: 1,
        incarnation: 1,
        fenced: vec![],
        observed: "127.0.0.1:1".parse().unwrap(),
        boot: None,
        storage: None,
        addresses: vec![],
        program: "0.1.0".into(),
        registered: UnixMicros(0),
        last_seen: None,
    })
}

#[test]
fn copies_behind_are_told_with_what_they_lack_and_counted() {
    let mut directory = Directory::new(3);
    for n in [1, 9, 10] {
        directory.apply(&peer_record(n));
    }
    let first = record(1, 1);
    directory.apply(&Change::PutTopic(first.clone()));
    directory.apply(&Change::PutTopic(record(2, 1)));
    let at = |seconds: u64| MonoNs(seconds * 1_000_000_000);
    let report = |directory: &Directory, behind: Vec<CopyLag>, now| {
        let topics = [(id(1), metadata(50)), (id(2), metadata(50))];
        directory.report(key(1), &topics, &ToldLags::new(behind), now);
    };
    let shown = |directory: &Directory| {
        let shown = directory.shown_topic("topic/1", at(7)).unwrap();
        let copies = shown.behind.into_iter();
        copies
            .map(|copy| (copy.peer.to_string(), copy.messages, copy.behind_ms))
            .collect::<Vec<_>>()
    };
    let behind = |copies, largest_lag| super::lags::Behind {
        copies,
        largest_lag,
    };
    let ten = "10".to_owned();
    assert_eq!(shown(&directory), [(ten.clone(), None, None)]);

    // One in sync, and one that keeps no copy, are not behind, whatever the host says.
    let told = vec![
        lag(1, 10, 30),
        lag(1, 9, 40),
        lag(1, 77, 50),
        lag(2, 10, 20),
    ];
    report(&directory, told, at(2));
    report(&directory, vec![lag(1, 10, 25), lag(2, 10, 20)], at(3));
    assert_eq!(
        shown(&directory),
        [(ten.clone(), Some(25), Some(5_000))],
        "since it was reported first"
    );
    assert_eq!(directory.behind_in_all(), behind(2, 25));
    let info = |directory: &Directory, n: &str| {
        let info = directory.peer_info(&n.parse().unwrap()).unwrap();
        (info.behind, info.largest_lag)
    };
    assert_eq!(info(&directory, "10"), (2, 25));
    assert_eq!(info(&directory, "9"), (0, 0));
    let page = directory.peer_page(None, 10).peers;
    let page: Vec<_> = page
        .iter()
        .map(|info| (info.behind, info.largest_lag))
        .collect();
    assert_eq!(page, [(0, 0), (2, 25), (0, 0)], "by name: 1, 10, 9");

    // A report without it ends it, and so does a record with it in the set.
    report(&directory, vec![lag(2, 10, 21)], at(4));
    assert_eq!(shown(&directory), [(ten, None, None)]);
    directory.apply(&Change::PutTopic(TopicRecord {
        in_sync: first.replicas.clone(),
        version: 2,
        ..first
    }));
    assert_eq!(shown(&directory), []);
    assert_eq!(directory.behind_in_all(), behind(1, 21));
    directory.apply(&gone(2));
    assert_eq!(directory.behind_in_all(), behind(0, 0));
}

#[test]
fn reports_count_from_the_host_only_and_are_written_once() {
    let mut directory = Directory::new(3);
    directory.apply(&Change::PutTopic(record(1, 1)));
    let at = |seconds: u64| MonoNs(seconds * 1_000_000_000);
    directory.report(key(2), &[(id(1), metadata(7))], &ToldLags::default(), at(1));
    assert_eq!(directory.reported("topic/1", at(1)), None);
    directory.report(key(9), &[(id(1), metadata(7))], &ToldLags::default(), at(1));
    assert_eq!(
        directory.reported("topic/1", at(1)),
        None,
        "a replica is no host"
    );
    directory.report(
        key(1),
        &[(id(1), metadata(7)), (id(5), metadata(7))],
        &ToldLags::default(),
        at(1),
    );
    let reported = directory.reported("topic/1", at(3)).unwrap();
    assert_eq!(
        (reported.metadata, reported.age_ms),
        (metadata(7), Some(2_000))
    );

    let change = Change::PutReport {
        topic: id(1),
        metadata: metadata(7),
    };
    assert_eq!(
        directory.take_unwritten_reports(10),
        std::slice::from_ref(&change)
    );
    assert_eq!(directory.take_unwritten_reports(10), []);
    directory.report(key(1), &[(id(1), metadata(8))], &ToldLags::default(), at(4));
    directory.apply(&change);
    assert_eq!(
        directory.reported("topic/1", at(4)).unwrap().metadata,
        metadata(8),
        "newer than what was written"
    );
    directory.report(key(1), &[(id(1), metadata(8))], &ToldLags::default(), at(5));
    assert_eq!(directory.take_unwritten_reports(10).len(), 1);
    assert!(!directory.has_unwritten_reports());

    let mut loaded = Directory::new(4);
    loaded.apply(&Change::PutTopic(record(1, 1)));
    loaded.apply(&change);
    let reported = loaded.reported("topic/1", at(9)).unwrap();
    assert_eq!((reported.metadata, reported.age_ms), (metadata(7), None));
    loaded.keep_volatile(&directory);
    assert_eq!(
        loaded.reported("topic/1", at(9)).unwrap().age_ms,
        Some(4_000)
    );
    loaded.apply(&gone(1));
    loaded.apply(&Change::PutTopic(record(1, 1)));
    assert_eq!(
        loaded.reported("topic/1", at(9)),
        None,
        "a report goes with its topic"
    );
    assert_eq!(loaded.take_unwritten_reports(10), []);
}

/// Short names lie with their topics, long ones elsewhere; either kind gets slots and holes of the other.
#[test]
fn names_of_every_length_are_kept_and_found() {
    let named = |n: u32, first: char| TopicRecord {
        name: TopicName::new(&format!("{first}{}", "n".repeat(n as usize))).unwrap(),
        topic: id(n),
        ..record(n, 1)
    };
    let lengths = 0..limits::TOPIC_NAME_BYTES as u32;
    let mut directory = Directory::new(3);
    for first in ['a', 'b'] {
        let records: Vec<_> = lengths.clone().map(|n| named(n, first)).collect();
        // The second time in the reverse order, so that each slot holds another kind.
        let puts: Vec<_> = match first {
            'a' => records.iter().collect(),
            _ => records.iter().rev().collect(),
        };
        for record in puts {
            directory.apply(&Change::PutTopic(record.clone()));
        }
        let names: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
        assert_eq!(directory.topic_count(), names.len());
        for record in &records {
            let name = record.name.as_str();
            assert_eq!(directory.topic(name).as_ref(), Some(record));
            let other = format!("{}x", &name[..name.len() - 1]);
            assert_eq!(directory.topic(&other), None, "{other}");
        }
        let mut found = vec![];
        directory.topics.find_many(names.into_iter(), |place| {
            found.push(place.map(|place| place.topic));
        });
        assert!(found.into_iter().eq(lengths.clone().map(|n| Some(id(n)))));
        for record in records {
            directory.apply(&Change::DeleteTopic {
                name: record.name,
                topic: record.topic,
            });
        }
    }
}

#[test]
fn nobody_is_live_without_a_name() {
    let mut directory = Directory::new(3);
    directory.apply(&Change::PutTopic(record(1, 1)));
    assert!(
        !directory.set_live(key(1), true),
        "hosts a topic, but is not registered"
    );
    assert!(!directory.set_live(key(5), true));
    assert_eq!(directory.live_count(), 0);
}

#[test]
fn erasures_keep_their_numbers_over_a_reload_and_new_ones_get_others() {
    let erase = |n| Change::PutErasure {
        host: key(1),
        topic: id(n),
    };
    let mut directory = Directory::new(3);
    directory.apply(&erase(1));
    directory.apply(&erase(2));
    let mut loaded = Directory::new(4);
    [erase(2), erase(3)].iter().for_each(|it| loaded.apply(it));
    loaded.keep_volatile(&directory);
    loaded.apply(&erase(4));
    let numbers = loaded.erasures_from(key(1), None, 9).into_iter();
    let mut numbers: Vec<_> = numbers.map(|(_, number)| number).collect();
    assert_eq!(
        loaded.erasure(key(1), id(2)),
        directory.erasure(key(1), id(2))
    );
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 3);
    assert!(!numbers.contains(&directory.erasure(key(1), id(1)).unwrap()));
}
