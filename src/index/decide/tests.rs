//! Exact decisions on small directories, and random ones against a plain model.

use super::*;
use crate::index::record::{Counters, PeerRecord, TopicRecord, TopicState};
use crate::limits;
use crate::wire::ErrorCode;
use crate::wire::index::{Notice, NoticeKind};

mod copies;
mod copies_model;
mod held;
mod model;
mod recovery;

const NOW: UnixMicros = UnixMicros(1_000_000);

fn key(n: u8) -> Fingerprint {
    Fingerprint([n; 32])
}

fn caller(n: u8) -> Caller {
    Caller {
        key: key(n),
        operator: n == 0,
    }
}

fn peer(n: u8) -> PeerName {
    PeerName::new(&n.to_string()).unwrap()
}

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn id(n: u8) -> TopicId {
    TopicId([n; 16])
}

fn from() -> SocketAddr {
    "10.0.0.4:5000".parse().unwrap()
}

fn register(n: u8) -> Event {
    Event::Register {
        caller: caller(n),
        name: peer(n),
        program: "test".into(),
        observed: from(),
        serial: 0,
    }
}

fn open(n: u8, boot: u8, storage: u8) -> Event {
    Event::OpenSession {
        caller: caller(n),
        session: SessionId([boot; 16]),
        boot: BootId([boot; 16]),
        storage: StorageId([storage; 16]),
        incarnation: 0,
        addresses: vec![from()],
        program: "test".into(),
        keeps_copies: false,
    }
}

/// As [`open`], by a peer that keeps copies of others' topics.
fn keep(n: u8, boot: u8, storage: u8) -> Event {
    let mut event = open(n, boot, storage);
    if let Event::OpenSession { keeps_copies, .. } = &mut event {
        *keeps_copies = true;
    }
    event
}

fn create(n: u8, topic: &str, topic_id: u8) -> Event {
    Event::CreateTopics {
        caller: caller(n),
        topics: vec![(
            NewTopic {
                name: name(topic),
                settings: TopicSettings::default(),
            },
            id(topic_id),
        )],
        host: None,
    }
}

fn subscribe(n: u8, topic: &str) -> Event {
    Event::Subscribe {
        caller: caller(n),
        name: name(topic),
        group: Group::default(),
    }
}

fn delete(n: u8, topic: &str) -> Event {
    Event::DeleteTopic {
        caller: caller(n),
        name: name(topic),
        topic: None,
    }
}

/// A directory on which every decision is applied at once.
struct Applied {
    directory: Directory,
    changes: Vec<Change>,
}

impl Applied {
    /// Peer 1 hosts and is live, peer 2 only reads.
    fn new() -> Self {
        let mut this = Applied {
            directory: Directory::new(7),
            changes: vec![],
        };
        for event in [register(1), register(2), open(1, 1, 1)] {
            this.decide(&event).answer.unwrap();
        }
        this
    }

    fn decide(&mut self, event: &Event) -> Decision {
        let decision = decide(&self.directory, &mut Overlay::default(), event, NOW);
        if decision.answer.is_err() {
            assert_eq!(
                (&decision.changes[..], &decision.effects[..]),
                (&[][..], &[][..])
            );
        }
        decision
            .changes
            .iter()
            .for_each(|change| self.directory.apply(change));
        self.changes.extend(decision.changes.clone());
        let effects = decision.effects.iter();
        effects.for_each(|effect| happen(&mut self.directory, effect));
        decision
    }

    fn refusal(&mut self, event: &Event) -> ErrorCode {
        self.decide(event).answer.unwrap_err().code()
    }
}

/// What the hub makes of effects, as far as the directory shows it.
fn happen(directory: &mut Directory, effect: &Effect) {
    match effect {
        Effect::SessionOpened {
            peer, keeps_copies, ..
        } => {
            directory.set_live(*peer, true);
            directory.set_willing(*peer, *keeps_copies);
            directory.set_leaving(*peer, false);
        }
        Effect::EndSession { peer, .. } => _ = directory.set_live(*peer, false),
        Effect::Leaving { peer } => directory.set_leaving(*peer, true),
        _ => {}
    }
}

#[test]
fn registering_binds_a_name_without_an_incarnation() {
    let mut directory = Directory::new(7);
    let decision = decide(&directory, &mut Overlay::default(), &register(1), NOW);
    let record = PeerRecord {
        name: peer(1),
        fingerprint: key(1),
        version: 1,
        incarnation: 0,
        boot: None,
        fenced: vec![],
        storage: None,
        addresses: vec![],
        program: "test".into(),
        registered: NOW,
        observed: from(),
        last_seen: None,
    };
    let counters = Counters {
        passes: limits::PASS_SERIALS_RESERVED,
        notices: 0,
    };
    let expected = [Change::PutPeer(record), Change::PutCounters(counters)];
    assert_eq!(decision.changes, expected);
    decision
        .changes
        .iter()
        .for_each(|change| directory.apply(change));
    let again = decide(&directory, &mut Overlay::default(), &register(1), NOW);
    assert_eq!(again.changes, [], "logging in writes nothing");
    assert!(matches!(
        again.answer,
        Ok(Answer::Registered { new: false, .. })
    ));
}

#[test]
fn creating_and_deleting_have_exactly_these_effects() {
    let mut applied = Applied::new();
    let created = applied.decide(&create(1, "T1", 9));
    let record = TopicRecord {
        name: name("T1"),
        topic: id(9),
        version: 1,
        owner: key(1),
        host: key(1),
        grant: 1,
        in_sync: vec![key(1)],
        replicas: vec![key(1)],
        settings: TopicSettings::default(),
        state: TopicState::Serving,
        lineage: 0,
        created: NOW,
    };
    assert_eq!(created.changes, [Change::PutTopic(record)]);
    let assign = Effect::Assign {
        host: key(1),
        topics: vec![id(9)],
    };
    assert!(created.effects.contains(&assign));
    applied.decide(&subscribe(2, "T1")).answer.unwrap();
    applied.decide(&subscribe(1, "T1")).answer.unwrap();

    let deleted = applied.decide(&delete(1, "T1"));
    let unsubscribed = |n| Change::DeleteSubscription {
        peer: key(n),
        name: name("T1"),
        group: Group::default(),
    };
    let notice = Notice {
        serial: 1,
        at: NOW,
        what: NoticeKind::TopicDeleted {
            name: name("T1"),
            topic: id(9),
            by: Some(peer(1)),
        },
    };
    let expected = [
        unsubscribed(1),
        unsubscribed(2),
        Change::PutNotice {
            peer: key(2),
            notice,
        },
        Change::DeleteTopic {
            name: name("T1"),
            topic: id(9),
        },
        Change::PutErasure {
            host: key(1),
            topic: id(9),
        },
        Change::PutCounters(Counters {
            passes: limits::PASS_SERIALS_RESERVED,
            notices: 1,
        }),
    ];
    assert_eq!(deleted.changes, expected);
    assert!(deleted.effects.contains(&Effect::Erase {
        host: key(1),
        topics: vec![id(9)]
    }));
    let erased = Event::Erased {
        host: key(1),
        topics: vec![(id(9), 1), (id(8), 1)],
    };
    let gone = [Change::DeleteErasure {
        host: key(1),
        topic: id(9),
    }];
    assert_eq!(applied.decide(&erased).changes, gone);
    assert_eq!(applied.refusal(&delete(1, "T1")), ErrorCode::TopicNotFound);
}

#[test]
fn rights_are_checked_on_the_target() {
    let mut applied = Applied::new();
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    assert_eq!(applied.refusal(&delete(2, "T1")), ErrorCode::Forbidden);
    assert_eq!(applied.refusal(&delete(9, "T1")), ErrorCode::NotRegistered);
    assert_eq!(
        applied.refusal(&create(9, "T2", 1)),
        ErrorCode::NotRegistered
    );
    assert_eq!(
        applied.refusal(&subscribe(0, "T1")),
        ErrorCode::NotRegistered
    );
    let forget = |n| Event::Forget {
        caller: caller(n),
        name: peer(1),
        keep_topics: true,
    };
    assert_eq!(applied.refusal(&forget(2)), ErrorCode::Forbidden);
    applied.decide(&delete(0, "T1")).answer.unwrap();
    applied.decide(&forget(0)).answer.unwrap();
}

#[test]
fn decisions_of_one_commit_see_each_other() {
    let applied = Applied::new();
    let mut overlay = Overlay::default();
    let mut next = |event: &Event| decide(&applied.directory, &mut overlay, event, NOW);
    assert!(matches!(
        next(&create(1, "T1", 9)).answer,
        Ok(Answer::Created { .. })
    ));
    let twice = next(&create(2, "T1", 8));
    let exists = CreateOutcome::Exists {
        owner: Some(peer(1)),
    };
    assert_eq!(
        twice.answer,
        Ok(Answer::Created {
            host: None,
            outcomes: vec![exists]
        })
    );
    assert!(matches!(
        next(&subscribe(2, "T1")).answer,
        Ok(Answer::Subscribed(Subscribed { new: true, .. }))
    ));
    assert!(matches!(
        next(&subscribe(2, "T1")).answer,
        Ok(Answer::Subscribed(Subscribed { new: false, .. }))
    ));
    let deleted = next(&delete(1, "T1"));
    assert!(matches!(
        deleted.answer,
        Ok(Answer::Deleted(DeletedTopic { subscribers: 1, .. }))
    ));
    assert_eq!(
        next(&subscribe(2, "T1")).answer.unwrap_err().code(),
        ErrorCode::TopicNotFound
    );
    assert!(matches!(
        next(&create(2, "T1", 8)).answer,
        Ok(Answer::Created { host: Some(_), .. })
    ));
    let expected = overlay.expected();
    assert_eq!(expected.len(), 1);
    assert_eq!(
        (expected[0].key.as_slice(), expected[0].version),
        (b"T1".as_slice(), None)
    );
}

#[test]
fn topics_go_to_the_least_loaded_live_peer() {
    let mut applied = Applied::new();
    applied.decide(&register(3)).answer.unwrap();
    applied.decide(&open(3, 3, 3)).answer.unwrap();
    let host_of = |decision: Decision| match decision.answer {
        Ok(Answer::Created {
            host: Some(host), ..
        }) => host.fingerprint,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        host_of(applied.decide(&create(2, "a", 1))),
        key(1),
        "by name when equal"
    );
    assert_eq!(host_of(applied.decide(&create(2, "b", 2))), key(3));
    assert_eq!(
        host_of(applied.decide(&create(3, "c", 3))),
        key(3),
        "its own first"
    );
    assert_eq!(host_of(applied.decide(&create(2, "d", 4))), key(1));
    let mut named = create(1, "e", 5);
    let Event::CreateTopics { host, .. } = &mut named else {
        panic!()
    };
    *host = Some(peer(3));
    assert_eq!(host_of(applied.decide(&named)), key(3));
    applied.directory.set_live(key(3), false);
    let Event::CreateTopics { topics, .. } = &mut named else {
        panic!()
    };
    topics[0].0.name = name("f");
    assert_eq!(applied.refusal(&named), ErrorCode::NoLiveHost);
}

#[test]
fn incarnations_rise_with_boots_and_fenced_boots_stay_out() {
    let mut applied = Applied::new();
    let incarnation = |decision: Decision| match decision.answer {
        Ok(Answer::SessionOpened { incarnation, .. }) => incarnation,
        other => panic!("{other:?}"),
    };
    let again = applied.decide(&open(1, 1, 1));
    assert_eq!(again.changes, [], "a reconnect writes nothing");
    assert_eq!(incarnation(again), 1);
    for boot in 2..=20 {
        assert_eq!(
            incarnation(applied.decide(&open(1, boot, 1))),
            u32::from(boot)
        );
    }
    assert_eq!(applied.refusal(&open(1, 19, 1)), ErrorCode::Fenced);
    assert_eq!(
        applied.directory.peer(key(1)).unwrap().fenced.len(),
        limits::FENCED_BOOTS
    );
}

fn granted(decision: Decision) -> u32 {
    match decision.answer.unwrap() {
        Answer::SessionOpened { incarnation, .. } => incarnation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_host_without_its_data_folder_is_refused_before_anybody_is_fenced() {
    let mut applied = Applied::new();
    // Without topics any folder will do.
    assert_eq!(granted(applied.decide(&open(1, 2, 2))), 2);
    applied.decide(&create(1, "T", 1)).answer.unwrap();
    assert_eq!(applied.refusal(&open(1, 3, 1)), ErrorCode::StorageChanged);
    // The process that has the messages goes on under the same incarnation.
    assert_eq!(granted(applied.decide(&open(1, 2, 2))), 2);
    assert_eq!(granted(applied.decide(&open(1, 3, 2))), 3);
}

#[test]
fn the_incarnation_rises_above_what_the_data_folder_has_seen() {
    let mut applied = Applied::new();
    let mut returning = open(1, 2, 1);
    if let Event::OpenSession { incarnation, .. } = &mut returning {
        *incarnation = 7;
    }
    assert_eq!(granted(applied.decide(&returning)), 8);
}

#[test]
fn a_forgotten_key_that_registers_again_does_not_fall_behind_its_epochs() {
    let mut applied = Applied::new();
    applied.decide(&open(1, 2, 1)).answer.unwrap();
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    let before = applied.directory.route("T1").unwrap().epoch;
    let forget = Event::Forget {
        caller: caller(0),
        name: peer(1),
        keep_topics: true,
    };
    applied.decide(&forget).answer.unwrap();
    assert_eq!(applied.directory.route("T1").unwrap().epoch, before);
    let other_name = Event::Register {
        caller: caller(1),
        name: peer(7),
        program: "test".into(),
        observed: from(),
        serial: 1,
    };
    applied.decide(&other_name).answer.unwrap();
    applied.decide(&open(1, 3, 1)).answer.unwrap();
    assert!(applied.directory.route("T1").unwrap().epoch > before);
}

#[test]
fn the_oldest_notice_makes_room() {
    let mut applied = Applied::new();
    applied.decide(&create(1, "kept", 200)).answer.unwrap();
    let notice = |serial: u64| Change::PutNotice {
        peer: key(2),
        notice: Notice {
            serial,
            at: UnixMicros(0),
            what: NoticeKind::TopicDeleted {
                name: name("x"),
                topic: id(1),
                by: None,
            },
        },
    };
    for serial in 1..=limits::NOTICES_PER_PEER as u64 {
        applied.directory.apply(&notice(serial));
    }
    let last = Counters {
        passes: 1,
        notices: limits::NOTICES_PER_PEER as u64,
    };
    applied.directory.apply(&Change::PutCounters(last));
    for topic in ["a", "b"] {
        applied
            .decide(&create(1, topic, topic.as_bytes()[0]))
            .answer
            .unwrap();
        applied.decide(&subscribe(2, topic)).answer.unwrap();
    }
    // Both in one commit.
    let mut overlay = Overlay::default();
    let mut changes = vec![];
    for topic in ["a", "b"] {
        changes.extend(decide(&applied.directory, &mut overlay, &delete(1, topic), NOW).changes);
    }
    for serial in [1, 2] {
        assert!(changes.contains(&Change::DeleteNotice {
            peer: key(2),
            serial
        }));
    }
    changes
        .iter()
        .for_each(|change| applied.directory.apply(change));
    assert_eq!(
        applied.directory.notice_count(key(2)),
        limits::NOTICES_PER_PEER
    );

    let late = UnixMicros(limits::NOTICE_AGE.as_micros() as i64 + 1);
    let pruned = decide(
        &applied.directory,
        &mut Overlay::default(),
        &Event::PruneNotices,
        late,
    );
    pruned
        .changes
        .iter()
        .for_each(|change| applied.directory.apply(change));
    assert_eq!(applied.directory.notice_count(key(2)), 2);
}

#[test]
fn a_refused_creation_goes_unless_somebody_changed_it() {
    let mut applied = Applied::new();
    applied.decide(&create(1, "a", 1)).answer.unwrap();
    applied.decide(&create(1, "b", 2)).answer.unwrap();
    let set = Event::SetTopic {
        caller: caller(1),
        name: name("b"),
        version: 1,
        settings: TopicSettings {
            retain_bytes: Some(1),
            ..TopicSettings::default()
        },
    };
    applied.decide(&set).answer.unwrap();
    let why = ErrorReply::new(ErrorCode::StorageFull, "full");
    let refused = Event::HostRefused {
        host: key(1),
        topics: vec![
            (id(1), why.clone()),
            (id(2), why.clone()),
            (id(3), why.clone()),
        ],
    };
    let decision = applied.decide(&refused);
    assert_eq!(
        decision.changes,
        [Change::DeleteTopic {
            name: name("a"),
            topic: id(1)
        }]
    );
    assert!(
        decision
            .effects
            .contains(&Effect::TopicGone { topic: id(1), why })
    );
    assert!(applied.directory.topic("b").is_some());
}

#[test]
fn odd_settings_are_refused_one_by_one() {
    let mut applied = Applied::new();
    let mut event = create(1, "good", 1);
    let Event::CreateTopics { topics, .. } = &mut event else {
        panic!()
    };
    let mut odd = topics[0].clone();
    odd.0.name = name("odd");
    odd.0.settings.min_in_sync = 3;
    odd.1 = id(2);
    topics.push(odd);
    let Ok(Answer::Created { outcomes, .. }) = applied.decide(&event).answer else {
        panic!()
    };
    assert!(matches!(outcomes[0], CreateOutcome::Created { .. }));
    assert!(
        matches!(&outcomes[1], CreateOutcome::Refused(why) if why.code() == ErrorCode::Malformed)
    );
}
