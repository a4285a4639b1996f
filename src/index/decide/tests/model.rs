//! Random events, decided in commits of random sizes, against maps that do the obvious.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::*;
use crate::index::load::load;
use crate::index::store::{MemoryStore, Store};

/// Keys that take part; 0 is the operator.
const KEYS: u8 = 5;
const TOPICS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Debug, Clone, PartialEq)]
struct Peer {
    name: u8,
    incarnation: u32,
    boots: Vec<u8>,
    live: bool,
    storage: Option<u8>,
}

#[derive(Debug, Clone, PartialEq)]
struct Topic {
    id: u8,
    owner: u8,
    host: u8,
    version: u64,
    grant: u32,
}

/// The index as plain maps by key number and topic name.
#[derive(Debug, Default, PartialEq)]
struct Model {
    peers: BTreeMap<u8, Peer>,
    topics: BTreeMap<&'static str, Topic>,
    subscriptions: BTreeSet<(u8, &'static str)>,
    /// Ids of deleted topics that a peer is to be told of, oldest first.
    notices: BTreeMap<u8, Vec<u8>>,
    erasures: BTreeSet<(u8, u8)>,
    /// Key to (name, storage, incarnation).
    waiting: BTreeMap<u8, (u8, Option<u8>, u32)>,
}

#[derive(Debug, Clone)]
enum Op {
    Register { key: u8, name: u8 },
    Open { key: u8, boot: u8, storage: u8 },
    Create { key: u8, topic: usize },
    Delete { key: u8, topic: usize },
    Set { key: u8, topic: usize, version: u64 },
    Subscribe { key: u8, topic: usize },
    Unsubscribe { key: u8, topic: usize },
    Clear { key: u8 },
    Deregister { key: u8, confirmed: bool },
    Forget { name: u8, keep: bool },
    Erased { key: u8 },
    Reload,
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 1..KEYS;
    let topic = || 0..TOPICS.len();
    prop_oneof![
        4 => (key(), key()).prop_map(|(key, name)| Op::Register { key, name }),
        4 => key().prop_map(|key| Op::Register { key, name: key }),
        4 => (key(), 1..6u8, 1..3u8).prop_map(|(key, boot, storage)| Op::Open { key, boot, storage }),
        8 => (key(), topic()).prop_map(|(key, topic)| Op::Create { key, topic }),
        3 => (0..KEYS, topic()).prop_map(|(key, topic)| Op::Delete { key, topic }),
        2 => (key(), topic(), 1..4u64).prop_map(|(key, topic, version)| Op::Set { key, topic, version }),
        6 => (key(), topic()).prop_map(|(key, topic)| Op::Subscribe { key, topic }),
        2 => (key(), topic()).prop_map(|(key, topic)| Op::Unsubscribe { key, topic }),
        1 => key().prop_map(|key| Op::Clear { key }),
        1 => (key(), any::<bool>()).prop_map(|(key, confirmed)| Op::Deregister { key, confirmed }),
        2 => (key(), any::<bool>()).prop_map(|(name, keep)| Op::Forget { name, keep }),
        1 => key().prop_map(|key| Op::Erased { key }),
        2 => Just(Op::Reload),
    ]
}

impl Model {
    fn by_name(&self, name: u8) -> Option<u8> {
        self.peers
            .iter()
            .find(|(_, peer)| peer.name == name)
            .map(|(&key, _)| key)
    }

    fn remove_topic(&mut self, topic: &'static str, deleter: u8) {
        let gone = self.topics.remove(topic).unwrap();
        for key in 1..KEYS {
            if self.subscriptions.remove(&(key, topic)) && key != deleter {
                self.notices.entry(key).or_default().push(gone.id);
            }
        }
    }

    fn remove_hosted(&mut self, host: u8) {
        for topic in TOPICS {
            if self
                .topics
                .get(topic)
                .is_some_and(|found| found.host == host)
            {
                self.remove_topic(topic, host);
            }
        }
        self.subscriptions.retain(|&(key, _)| key != host);
        self.notices.remove(&host);
        self.erasures.retain(|&(key, _)| key != host);
    }

    /// Does what the event should do; whether it should be allowed. `id` is what a creation gets.
    fn apply(&mut self, op: &Op, id: u8) -> bool {
        match *op {
            Op::Register { key, name } => {
                let bound = self.by_name(name);
                let own = self.peers.get(&key).map(|peer| peer.name);
                if bound.is_some_and(|other| other != key) || own.is_some_and(|own| own != name) {
                    return false;
                }
                let incarnation = self.waiting.get(&key).map_or(0, |waiting| waiting.2);
                self.peers.entry(key).or_insert(Peer {
                    name,
                    incarnation,
                    boots: vec![],
                    live: false,
                    storage: None,
                });
                true
            }
            Op::Open { key, boot, storage } => self.open(key, boot, storage),
            Op::Create { key, topic } => {
                if !self.peers.contains_key(&key) {
                    return false;
                }
                if self.topics.contains_key(TOPICS[topic]) {
                    return true;
                }
                let hosted = |host| {
                    self.topics
                        .values()
                        .filter(|topic| topic.host == host)
                        .count()
                };
                let live = self.peers.iter().filter(|(_, peer)| peer.live);
                let least = live.min_by_key(|&(&host, peer)| (hosted(host), peer.name));
                let own = self.peers.get(&key).filter(|peer| peer.live).map(|_| key);
                let Some(host) = own.or(least.map(|(&host, _)| host)) else {
                    return false;
                };
                self.topics.insert(
                    TOPICS[topic],
                    Topic {
                        id,
                        owner: key,
                        host,
                        version: 1,
                        grant: 1,
                    },
                );
                true
            }
            Op::Delete { key, topic } => {
                let allowed = key == 0 || self.peers.contains_key(&key);
                let found = self.topics.get(TOPICS[topic]);
                let Some(found) = found.filter(|found| allowed && (key == 0 || found.owner == key))
                else {
                    return false;
                };
                self.erasures.insert((found.host, found.id));
                self.remove_topic(TOPICS[topic], key);
                true
            }
            Op::Set {
                key,
                topic,
                version,
            } => {
                let registered = self.peers.contains_key(&key);
                let found = self.topics.get_mut(TOPICS[topic]);
                let found = found
                    .filter(|found| registered && found.owner == key && found.version == version);
                found.map(|found| found.version += 1).is_some()
            }
            Op::Subscribe { key, topic } => {
                let possible =
                    self.peers.contains_key(&key) && self.topics.contains_key(TOPICS[topic]);
                if possible {
                    self.subscriptions.insert((key, TOPICS[topic]));
                }
                possible
            }
            Op::Unsubscribe { key, topic } => self.subscriptions.remove(&(key, TOPICS[topic])),
            Op::Clear { key } => {
                self.notices.remove(&key);
                self.peers.contains_key(&key)
            }
            Op::Deregister { key, confirmed } => {
                let hosts = self.topics.values().any(|topic| topic.host == key);
                if !self.peers.contains_key(&key) || hosts && !confirmed {
                    return false;
                }
                self.remove_hosted(key);
                // What it owns elsewhere is its host's from now on.
                for topic in self.topics.values_mut().filter(|topic| topic.owner == key) {
                    topic.owner = topic.host;
                    topic.version += 1;
                }
                self.peers.remove(&key);
                true
            }
            Op::Forget { name, keep } => self.forget(name, keep),
            Op::Erased { key } => {
                self.erasures.retain(|&(host, _)| host != key);
                true
            }
            Op::Reload => true,
        }
    }

    fn open(&mut self, key: u8, boot: u8, storage: u8) -> bool {
        let kept = self.waiting.get(&key).map_or(0, |waiting| waiting.2);
        let hosts = self.topics.values().any(|topic| topic.host == key);
        let Some(peer) = self.peers.get_mut(&key) else {
            return false;
        };
        if hosts && peer.storage.is_some_and(|known| known != storage) {
            return false;
        }
        if peer.boots.last() != Some(&boot) {
            if peer.boots.contains(&boot) {
                return false;
            }
            peer.boots.push(boot);
            peer.incarnation = peer.incarnation.max(kept) + 1;
        }
        peer.live = true;
        peer.storage = Some(storage);
        let name = peer.name;
        let back: Vec<u8> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.0 == name && waiting.1 == Some(storage))
            .map(|(&old, _)| old)
            .collect();
        for old in back {
            self.waiting.remove(&old);
            for topic in self.topics.values_mut() {
                let hosted = topic.host == old;
                if hosted || topic.owner == old {
                    topic.version += 1;
                    topic.grant += u32::from(hosted);
                }
                topic.host = if hosted { key } else { topic.host };
                topic.owner = if topic.owner == old { key } else { topic.owner };
            }
            let moved = self.erasures.clone().into_iter();
            self.erasures = moved
                .map(|(host, id)| (if host == old { key } else { host }, id))
                .collect();
        }
        true
    }

    fn forget(&mut self, name: u8, keep: bool) -> bool {
        let bound = self.by_name(name);
        let waiting: Vec<u8> = self
            .waiting
            .iter()
            .filter(|(_, w)| w.0 == name)
            .map(|(&key, _)| key)
            .collect();
        let Some(key) = bound else {
            if keep || waiting.is_empty() {
                return false;
            }
            self.give_up(&waiting);
            return true;
        };
        if keep {
            let peer = self.peers.remove(&key).unwrap();
            self.subscriptions
                .retain(|&(subscriber, _)| subscriber != key);
            self.notices.remove(&key);
            self.waiting
                .insert(key, (name, peer.storage, peer.incarnation));
            return true;
        }
        self.remove_hosted(key);
        self.peers.remove(&key);
        self.give_up(&waiting);
        true
    }

    fn give_up(&mut self, waiting: &[u8]) {
        for &old in waiting {
            if !self.peers.contains_key(&old) {
                self.remove_hosted(old);
            }
            self.waiting.remove(&old);
        }
    }

    /// What the directory shows, read back into a model.
    fn of(directory: &Directory) -> Model {
        let mut model = Model::default();
        for key in 1..KEYS {
            let fingerprint = super::key(key);
            let number = |bytes: &[u8]| bytes[0];
            if let Some(peer) = directory.peer(fingerprint) {
                let boots = peer.fenced.iter().chain(&peer.boot);
                model.peers.insert(
                    key,
                    Peer {
                        name: peer.name.as_str().parse().unwrap(),
                        incarnation: peer.incarnation,
                        boots: boots.map(|boot| number(&boot.0)).collect(),
                        live: directory.is_live(fingerprint),
                        storage: peer.storage.map(|storage| number(&storage.0)),
                    },
                );
            }
            if let Some(waiting) = directory.waiting(fingerprint) {
                let name = waiting.name.as_str().parse().unwrap();
                let storage = waiting.storage.map(|storage| number(&storage.0));
                model
                    .waiting
                    .insert(key, (name, storage, waiting.incarnation));
            }
            let told = directory.notices(fingerprint).map(|notice| {
                let NoticeKind::TopicDeleted { topic, .. } = notice.what;
                topic.0[0]
            });
            let told: Vec<u8> = told.collect();
            if !told.is_empty() {
                model.notices.insert(key, told);
            }
            let erasures = directory.erasures_from(fingerprint, None, 1_000);
            model
                .erasures
                .extend(erasures.iter().map(|(topic, _)| (key, topic.0[0])));
            for topic in TOPICS {
                if directory
                    .subscription(fingerprint, topic, &Group::default())
                    .is_some()
                {
                    model.subscriptions.insert((key, topic));
                }
            }
        }
        for name in TOPICS {
            if let Some(topic) = directory.topic(name) {
                assert_eq!(topic.in_sync, [topic.host]);
                assert_eq!(directory.route(name).unwrap().host.fingerprint, topic.host);
                model.topics.insert(
                    name,
                    Topic {
                        id: topic.topic.0[0],
                        owner: topic.owner.0[0],
                        host: topic.host.0[0],
                        version: topic.version,
                        grant: topic.grant,
                    },
                );
            }
        }
        model
    }
}

fn event(op: &Op, model: &Model, directory: &Directory, id_number: u8) -> Event {
    let group = Group::default();
    let topic_name = |topic: usize| name(TOPICS[topic]);
    match *op {
        Op::Register { key, name } => Event::Register {
            caller: caller(key),
            name: peer(name),
            program: "test".into(),
            observed: from(),
            serial: 0,
        },
        Op::Open { key, boot, storage } => open(key, boot, storage),
        Op::Create { key, topic } => create(key, TOPICS[topic], id_number),
        Op::Delete { key, topic } => delete(key, TOPICS[topic]),
        Op::Set {
            key,
            topic,
            version,
        } => Event::SetTopic {
            caller: caller(key),
            name: topic_name(topic),
            version,
            settings: TopicSettings::default(),
        },
        Op::Subscribe { key, topic } => subscribe(key, TOPICS[topic]),
        Op::Unsubscribe { key, topic } => Event::Unsubscribe {
            caller: caller(key),
            name: topic_name(topic),
            group,
        },
        Op::Clear { key } => Event::ClearNotices {
            caller: caller(key),
            serial: u64::MAX,
        },
        Op::Deregister { key, confirmed } => {
            let hosted = model
                .topics
                .values()
                .filter(|topic| topic.host == key)
                .count() as u32;
            Event::Deregister {
                caller: caller(key),
                delete_hosted: if confirmed { hosted } else { 0 },
                discard: false,
            }
        }
        Op::Forget { name, keep } => Event::Forget {
            caller: caller(0),
            name: peer(name),
            keep_topics: keep,
        },
        Op::Erased { key } => {
            let host = super::key(key);
            let topics = directory.erasures_from(host, None, 1_000);
            Event::Erased { host, topics }
        }
        Op::Reload => Event::FlushReports,
    }
}

/// One commit in the making, as the decider would make it.
#[derive(Default)]
struct Pending {
    overlay: Overlay,
    changes: Vec<Change>,
    effects: Vec<Effect>,
}

impl Pending {
    fn commit(&mut self, directory: &mut Directory, store: &MemoryStore) {
        let pending = std::mem::take(self);
        store
            .commit(&pending.overlay.expected(), &pending.changes)
            .unwrap();
        pending
            .changes
            .iter()
            .for_each(|change| directory.apply(change));
        let effects = pending.effects.iter();
        effects.for_each(|effect| happen(directory, effect));
    }
}

pub(super) fn sorted(directory: &Directory) -> Vec<String> {
    let mut dump: Vec<String> = directory
        .dump()
        .iter()
        .map(|change| format!("{change:?}"))
        .collect();
    dump.sort();
    dump
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_directory_does_the_obvious(ops in prop::collection::vec((op(), any::<bool>()), 1..120)) {
        let store = MemoryStore::new();
        let mut directory = Directory::new(7);
        let mut model = Model::default();
        let mut pending = Pending::default();
        for (at, (op, commit)) in ops.iter().enumerate() {
            let id = at as u8 + 1;
            // What a peer confirms, it has been told after it was committed.
            if matches!(op, Op::Reload | Op::Erased { .. }) {
                pending.commit(&mut directory, &store);
            }
            let event = event(op, &model, &directory, id);
            if event.stands_alone() {
                pending.commit(&mut directory, &store);
            }
            let decision = decide(&directory, &mut pending.overlay, &event, NOW);
            prop_assert_eq!(decision.answer.is_ok(), model.apply(op, id), "{:?}: {:?}", op, decision.answer);
            pending.changes.extend(decision.changes);
            pending.effects.extend(decision.effects);
            if *commit || event.stands_alone() || matches!(op, Op::Reload) {
                pending.commit(&mut directory, &store);
                prop_assert_eq!(&Model::of(&directory), &model, "after {:?}", op);
            }
            if matches!(op, Op::Reload) {
                let (mut loaded, _) = load(&store).unwrap();
                prop_assert_eq!(sorted(&loaded), sorted(&directory));
                loaded.keep_volatile(&directory);
                directory = loaded;
            }
        }
        pending.commit(&mut directory, &store);
        prop_assert_eq!(Model::of(&directory), model);
    }
}
