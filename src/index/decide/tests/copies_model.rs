//! Random events of several peers with copies: what must hold of every record, after each of them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::model::sorted;
use super::*;
use crate::index::decide::recasting::configuration;
use crate::index::load::load;
use crate::index::store::{MemoryStore, Store};
use crate::wire::index::Assignment;
use crate::wire::index::copies::{AlterInSync, HandOver};

const KEYS: u8 = 5;
const TOPICS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Op {
    Open {
        key: u8,
        storage: u8,
    },
    Away {
        key: u8,
    },
    Create {
        key: u8,
        topic: usize,
        replicas: u8,
    },
    Delete {
        topic: usize,
    },
    Set {
        topic: usize,
        replicas: u8,
    },
    /// The host wishes a set; bits choose among the replicas.
    Alter {
        topic: usize,
        bits: u8,
        stale: bool,
    },
    Leave {
        key: u8,
        topic: usize,
    },
    Move {
        topic: usize,
        to: Option<u8>,
    },
    HandOver {
        topic: usize,
    },
    Place,
    Repair,
    Deregister {
        key: u8,
        discard: bool,
    },
    Forget {
        key: u8,
        keep: bool,
    },
    Erased {
        key: u8,
    },
    Reload,
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 1..KEYS;
    let topic = || 0..TOPICS.len();
    prop_oneof![
        6 => (key(), 1..3u8).prop_map(|(key, storage)| Op::Open { key, storage }),
        4 => key().prop_map(|key| Op::Away { key }),
        4 => (key(), topic(), 1..4u8)
            .prop_map(|(key, topic, replicas)| Op::Create { key, topic, replicas }),
        1 => topic().prop_map(|topic| Op::Delete { topic }),
        2 => (topic(), 1..5u8).prop_map(|(topic, replicas)| Op::Set { topic, replicas }),
        12 => (topic(), any::<u8>(), prop::bool::weighted(0.1))
            .prop_map(|(topic, bits, stale)| Op::Alter { topic, bits, stale }),
        1 => (key(), topic()).prop_map(|(key, topic)| Op::Leave { key, topic }),
        4 => (topic(), prop::option::of(key())).prop_map(|(topic, to)| Op::Move { topic, to }),
        4 => topic().prop_map(|topic| Op::HandOver { topic }),
        2 => Just(Op::Place),
        2 => Just(Op::Repair),
        2 => (key(), any::<bool>()).prop_map(|(key, discard)| Op::Deregister { key, discard }),
        1 => (key(), any::<bool>()).prop_map(|(key, keep)| Op::Forget { key, keep }),
        2 => key().prop_map(|key| Op::Erased { key }),
        1 => Just(Op::Reload),
    ]
}

/// The events of one operation, in the state that holds.
fn events(directory: &Directory, op: &Op, at: u8) -> Vec<Event> {
    let topic = |topic: usize| directory.topic(TOPICS[topic]);
    match *op {
        Op::Open { key, storage } => {
            let review = Event::Review {
                peer: Some(super::key(key)),
                from: 0,
            };
            vec![register(key), keep(key, at, storage), review]
        }
        Op::Away { key } => vec![Event::Review {
            peer: Some(super::key(key)),
            from: 0,
        }],
        Op::Create {
            key,
            topic,
            replicas,
        } => {
            let mut event = create(key, TOPICS[topic], at);
            if let Event::CreateTopics { topics, .. } = &mut event {
                topics[0].0.settings.replicas = replicas;
            }
            vec![event]
        }
        Op::Delete { topic } => vec![delete(0, TOPICS[topic])],
        Op::Set { topic: n, replicas } => {
            let set = topic(n).map(|record| Event::SetTopic {
                caller: caller(0),
                name: record.name,
                version: record.version,
                settings: TopicSettings {
                    replicas,
                    ..record.settings
                },
            });
            set.into_iter().collect()
        }
        Op::Alter {
            topic: n,
            bits,
            stale,
        } => {
            let altered = topic(n).map(|record| {
                let chosen = record.replicas.iter().enumerate();
                let chosen = chosen.filter(|(at, key)| bits >> at & 1 == 1 || **key == record.host);
                let incarnation = |key| directory.peer(key).map_or(0, |peer| peer.incarnation);
                Event::AlterInSync {
                    caller: Caller {
                        key: record.host,
                        operator: false,
                    },
                    request: AlterInSync {
                        topic: record.topic,
                        epoch: directory.route(TOPICS[n]).unwrap().epoch,
                        version: record.version - u64::from(stale),
                        members: chosen.map(|(_, &key)| (key, incarnation(key))).collect(),
                    },
                }
            });
            altered.into_iter().collect()
        }
        Op::Leave { key, topic: n } => {
            let left = topic(n).map(|record| Event::LeaveInSync {
                caller: caller(key),
                topic: record.topic,
            });
            left.into_iter().collect()
        }
        Op::Move { topic, to } => vec![Event::MoveTopic {
            caller: caller(0),
            name: name(TOPICS[topic]),
            to: to.map(peer),
        }],
        Op::HandOver { topic: n } => {
            let over = topic(n).and_then(|record| match record.state {
                TopicState::HandingOver { to } => Some(Event::HandOver {
                    caller: Caller {
                        key: record.host,
                        operator: false,
                    },
                    request: HandOver {
                        topic: record.topic,
                        epoch: directory.route(TOPICS[n]).unwrap().epoch,
                        to,
                    },
                }),
                _ => None,
            });
            over.into_iter().collect()
        }
        Op::Place => vec![Event::Place { from: 0 }],
        Op::Repair => {
            let topics = (0..TOPICS.len()).filter_map(topic);
            let topics = topics.map(|record| record.topic);
            let lacking = topics.filter(|&id| directory.needs_repair(id) == Some(true));
            vec![Event::Repair {
                topics: lacking.collect(),
            }]
        }
        Op::Deregister { key, discard } => vec![Event::Deregister {
            caller: caller(key),
            delete_hosted: 99,
            discard,
        }],
        Op::Forget { key, keep } => vec![Event::Forget {
            caller: caller(0),
            name: peer(key),
            keep_topics: keep,
        }],
        Op::Erased { key } => vec![Event::Erased {
            host: super::key(key),
            topics: directory.erasures_from(super::key(key), None, 1_000),
        }],
        Op::Reload => vec![],
    }
}

type Seen = BTreeMap<TopicId, TopicRecord>;

/// What holds of every record, and from one to the next of the same topic.
fn check(directory: &Directory, seen: &mut Seen, may_empty: bool) {
    let mut overlay = Overlay::default();
    let view = View {
        base: directory,
        overlay: &mut overlay,
        now: NOW,
    };
    let mut copies: BTreeMap<Fingerprint, u32> = BTreeMap::new();
    for name in TOPICS {
        let Some(record) = directory.topic(name) else {
            continue;
        };
        configuration(&view, &record).check();
        let before = seen.insert(record.topic, record.clone());
        let had = before
            .as_ref()
            .is_none_or(|before| !before.in_sync.is_empty());
        assert!(
            !record.in_sync.is_empty() || may_empty || !had,
            "I9: a set is emptied: {record:?}"
        );
        if let Some(before) = before {
            assert!(record.grant >= before.grant, "the grant falls: {record:?}");
            assert!(record.host == before.host || record.grant > before.grant);
            assert!(record == before || record.version > before.version);
            // Only who has everything may host next.
            assert!(
                record.host == before.host
                    || before.in_sync.contains(&record.host)
                    || before.in_sync.is_empty()
                    || directory.waiting(before.host).is_none() && record.grant > before.grant
            );
        }
        assert!(record.replicas.contains(&record.host));
        assert!(record.replicas.is_sorted() && record.in_sync.is_sorted());
        for n in 1..KEYS {
            let peer = key(n);
            let keeps = record.replicas.contains(&peer);
            *copies.entry(peer).or_default() += u32::from(keeps);
            assert!(
                !keeps || !directory.is_to_erase(peer, record.topic),
                "a copy that counts is to be erased: {record:?}"
            );
            let acts = record.host == peer && record.in_sync.contains(&peer);
            match directory.assignment(peer, record.topic) {
                Some(Assignment::Host { copies, .. }) => {
                    assert!(acts);
                    assert_eq!(copies, record.copies());
                }
                Some(Assignment::Replicate { .. }) => assert!(keeps && !acts),
                Some(Assignment::Erase { .. }) | None => assert!(!keeps),
            }
        }
    }
    for (peer, count) in copies {
        assert_eq!(directory.copies_count(peer), count);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn copies_keep_their_promises(ops in prop::collection::vec(op(), 1..120)) {
        let store = MemoryStore::new();
        let mut directory = Directory::new(7);
        let mut seen = Seen::new();
        for (at, op) in ops.iter().enumerate() {
            if let Op::Away { key } = op {
                directory.set_live(super::key(*key), false);
            }
            for event in events(&directory, op, at as u8 + 1) {
                let mut overlay = Overlay::default();
                let decision = decide(&directory, &mut overlay, &event, NOW);
                let chosen = matches!(
                    op,
                    Op::Place | Op::Repair | Op::Set { .. } | Op::Move { .. } | Op::HandOver { .. }
                );
                let forgets = |change: &Change| matches!(change, Change::DeleteErasure { .. });
                prop_assert!(
                    !chosen || !decision.changes.iter().any(forgets),
                    "who has yet to erase a copy gets a new one: {:?}",
                    decision.changes
                );
                store.commit(&overlay.expected(), &decision.changes).unwrap();
                decision.changes.iter().for_each(|change| directory.apply(change));
                decision.effects.iter().for_each(|effect| happen(&mut directory, effect));
                check(&directory, &mut seen, matches!(op, Op::Leave { .. }));
            }
            if matches!(op, Op::Reload) {
                let (mut loaded, _) = load(&store).unwrap();
                prop_assert_eq!(sorted(&loaded), sorted(&directory));
                loaded.keep_volatile(&directory);
                directory = loaded;
            }
        }
    }
}
