//! Several peers: who gets copies, who hosts when somebody goes.

use super::*;
use crate::types::Incarnation;
use crate::wire::index::copies::{
    AlterInSync, AlterRefusal, AlteredInSync, CopiesPhase, HandOver, MoveState,
};

impl Applied {
    /// Peers 1 to `peers` are live and keep copies.
    pub(super) fn keepers(peers: u8) -> Self {
        let mut this = Applied {
            directory: Directory::new(7),
            changes: vec![],
        };
        for n in 1..=peers {
            this.decide(&register(n)).answer.unwrap();
            this.decide(&keep(n, n, n)).answer.unwrap();
        }
        this
    }

    pub(super) fn topic(&self, topic: &str) -> TopicRecord {
        self.directory.topic(topic).unwrap()
    }

    fn wish(&self, topic: &str, members: &[(u8, Incarnation)]) -> AlterInSync {
        let record = self.topic(topic);
        let members = members
            .iter()
            .map(|&(n, incarnation)| (key(n), incarnation));
        AlterInSync {
            topic: record.topic,
            epoch: self.directory.route(topic).unwrap().epoch,
            version: record.version,
            members: members.collect(),
        }
    }

    fn ask(&mut self, n: u8, request: AlterInSync) -> AlteredInSync {
        let caller = caller(n);
        match self.decide(&Event::AlterInSync { caller, request }).answer {
            Ok(Answer::Altered(reply)) => reply,
            other => panic!("{other:?}"),
        }
    }

    /// The host asks for exactly these members, each under its first incarnation.
    pub(super) fn in_sync(&mut self, topic: &str, members: &[u8]) {
        let host = self.topic(topic).host.0[0];
        let members: Vec<_> = members.iter().map(|&n| (n, 1)).collect();
        let altered = self.ask(host, self.wish(topic, &members));
        assert_eq!(altered.refused, None);
    }

    pub(super) fn goes(&mut self, n: u8) -> Decision {
        self.directory.set_live(key(n), false);
        self.review(n)
    }

    pub(super) fn comes(&mut self, n: u8) -> Decision {
        self.directory.set_live(key(n), true);
        self.review(n)
    }

    fn review(&mut self, n: u8) -> Decision {
        self.decide(&Event::Review {
            peer: Some(key(n)),
            from: 0,
        })
    }

    fn moves(&mut self, topic: &str, to: u8) -> MoveState {
        let event = Event::MoveTopic {
            caller: caller(1),
            name: name(topic),
            to: Some(peer(to)),
        };
        match self.decide(&event).answer {
            Ok(Answer::Moving(reply)) => reply.state,
            other => panic!("{other:?}"),
        }
    }

    fn hand_over(&mut self, topic: &str, to: u8) {
        let record = self.topic(topic);
        let event = Event::HandOver {
            caller: caller(record.host.0[0]),
            request: HandOver {
                topic: record.topic,
                epoch: self.directory.route(topic).unwrap().epoch,
                to: key(to),
            },
        };
        self.decide(&event).answer.unwrap();
    }

    /// The peer says that it has erased all that it was to erase.
    fn erases(&mut self, n: u8) -> Decision {
        let host = key(n);
        let topics = self.directory.erasures_from(host, None, 1_000);
        self.decide(&Event::Erased { host, topics })
    }

    /// Its owner wants so many copies of a topic.
    fn wants(&self, topic: &str, replicas: u8) -> Event {
        Event::SetTopic {
            caller: caller(1),
            name: name(topic),
            version: self.topic(topic).version,
            settings: TopicSettings {
                replicas,
                ..TopicSettings::default()
            },
        }
    }

    fn deregister(&mut self, n: u8, delete_hosted: u32, discard: bool) -> (u32, u32) {
        let event = Event::Deregister {
            caller: caller(n),
            delete_hosted,
            discard,
        };
        match self.decide(&event).answer {
            Ok(Answer::Deregistered(reply)) => (reply.deleted, reply.left),
            other => panic!("{other:?}"),
        }
    }
}

fn keys<const N: usize>(of: [u8; N]) -> Vec<Fingerprint> {
    of.map(key).to_vec()
}

#[test]
fn a_topic_is_created_with_a_replica_which_joins_the_set_when_its_host_says_so() {
    let mut applied = Applied::keepers(3);
    let created = applied.decide(&create(1, "T1", 9));
    let record = applied.topic("T1");
    assert_eq!((record.in_sync, record.version), (keys([1]), 1));
    assert_eq!(record.replicas, keys([1, 2]));
    for n in [1, 2] {
        assert!(created.effects.contains(&Effect::Assign {
            host: key(n),
            topics: vec![id(9)],
        }));
    }
    // The next one goes to whom has less to do.
    applied.decide(&create(1, "T2", 8)).answer.unwrap();
    assert_eq!(applied.topic("T2").replicas, keys([1, 3]));

    let stale = AlterInSync {
        version: 7,
        ..applied.wish("T1", &[(1, 0), (2, 1)])
    };
    let refused = applied.ask(1, stale);
    assert_eq!(refused.refused, Some(AlterRefusal::StaleVersion));
    assert_eq!(refused.copies, applied.topic("T1").copies());
    for (n, members, why) in [
        (2, vec![(1, 0), (2, 1)], AlterRefusal::StaleEpoch),
        (1, vec![(1, 0), (2, 4)], AlterRefusal::StaleMember(key(2))),
        (1, vec![(1, 0), (3, 1)], AlterRefusal::NotReplica(key(3))),
        (1, vec![(2, 1)], AlterRefusal::LacksHost),
    ] {
        let wish = applied.wish("T1", &members);
        assert_eq!(applied.ask(n, wish).refused, Some(why));
    }
    let granted = applied.wish("T1", &[(1, 0), (2, 1)]);
    let granted = applied.ask(1, granted);
    assert_eq!(
        (granted.refused, granted.copies.in_sync),
        (None, keys([1, 2]))
    );
    assert_eq!(granted.copies.version, 2);
}

#[test]
fn a_host_that_goes_is_followed_by_a_member_and_comes_back_as_a_replica() {
    let mut applied = Applied::keepers(2);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    assert_eq!(applied.goes(1).changes, [], "nobody else has everything");
    assert_eq!(applied.comes(1).changes, []);
    applied.in_sync("T1", &[1, 2]);
    assert_eq!(applied.goes(2).changes, [], "its host goes on");
    applied.comes(2);
    let elected = applied.goes(1);
    let record = applied.topic("T1");
    assert_eq!((record.host, record.grant), (key(2), 2));
    assert_eq!(
        (&record.in_sync, &record.replicas),
        (&keys([2]), &keys([1, 2]))
    );
    for n in [1, 2] {
        assert!(elected.effects.contains(&Effect::Assign {
            host: key(n),
            topics: vec![id(9)],
        }));
    }
    applied.comes(1);
    assert_eq!(applied.topic("T1"), record);
    let replicate = applied.directory.assignment(key(1), id(9)).unwrap();
    let expected = record.copies();
    assert!(matches!(
        replicate,
        crate::wire::index::Assignment::Replicate { copies, .. } if copies == expected
    ));
}

#[test]
fn one_review_of_many_topics_is_cut_into_commits_and_goes_on() {
    let mut applied = Applied::keepers(2);
    let count = limits::CHANGES_PER_COMMIT as u32 + 5;
    for n in 0..count {
        let mut topic = [0; 16];
        topic[..4].copy_from_slice(&n.to_le_bytes());
        applied.directory.apply(&Change::PutTopic(TopicRecord {
            name: name(&format!("t{n}")),
            topic: TopicId(topic),
            version: 1,
            owner: key(1),
            host: key(1),
            grant: 1,
            in_sync: keys([1, 2]),
            replicas: keys([1, 2]),
            settings: TopicSettings::default(),
            state: TopicState::Serving,
            lineage: 0,
            created: NOW,
        }));
    }
    let first = applied.goes(1);
    let Ok(Answer::Walked { next: Some(from) }) = first.answer else {
        panic!("{:?}", first.answer);
    };
    let peer = Some(key(1));
    let rest = applied.decide(&Event::Review { peer, from });
    assert_eq!(rest.answer, Ok(Answer::Walked { next: None }));
    assert_eq!(
        first.changes.len() + rest.changes.len(),
        count as usize,
        "each topic moves once"
    );
    assert_eq!(applied.directory.hosted_count(key(2)), count);
}

#[test]
fn a_second_peer_takes_copies_as_soon_as_it_is_live_and_only_if_it_is_willing() {
    let mut applied = Applied::keepers(1);
    applied.decide(&register(2)).answer.unwrap();
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.decide(&open(2, 2, 2)).answer.unwrap();
    let place = Event::Place { from: 0 };
    assert_eq!(applied.decide(&place).changes, []);
    applied.decide(&keep(2, 2, 2)).answer.unwrap();
    applied.decide(&place).answer.unwrap();
    assert_eq!(applied.topic("T1").replicas, keys([1, 2]));
    assert_eq!(applied.decide(&place).changes, []);
}

#[test]
fn another_storage_leaves_every_set_and_is_refused_where_nobody_else_has_everything() {
    let mut applied = Applied::keepers(2);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    assert_eq!(applied.refusal(&keep(1, 5, 66)), ErrorCode::StorageChanged);
    applied.in_sync("T1", &[1, 2]);
    applied.decide(&keep(1, 5, 66)).answer.unwrap();
    let record = applied.topic("T1");
    assert_eq!((record.host, record.grant), (key(2), 2));
    assert_eq!((record.in_sync, record.replicas), (keys([2]), keys([1, 2])));

    // The other one is away: the empty disk is named, and may not act.
    let mut applied = Applied::keepers(2);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.in_sync("T1", &[1, 2]);
    applied.directory.set_live(key(2), false);
    applied.decide(&keep(1, 5, 66)).answer.unwrap();
    let record = applied.topic("T1");
    assert_eq!((record.host, record.state), (key(1), TopicState::Offline));
    assert!(matches!(
        applied.directory.assignment(key(1), id(9)),
        Some(crate::wire::index::Assignment::Replicate { .. })
    ));
    applied.comes(2);
    let record = applied.topic("T1");
    assert_eq!((record.host, record.state), (key(2), TopicState::Serving));
}

#[test]
fn a_move_copies_first_then_pauses_then_hands_over_and_lets_the_old_copy_go() {
    let mut applied = Applied::keepers(3);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.in_sync("T1", &[1, 2]);
    assert!(matches!(applied.moves("T1", 3), MoveState::Copying { .. }));
    assert_eq!(applied.topic("T1").replicas, keys([1, 2, 3]));
    assert!(matches!(applied.moves("T1", 3), MoveState::Copying { .. }));
    applied.in_sync("T1", &[1, 2, 3]);
    assert_eq!(applied.moves("T1", 3), MoveState::HandingOver);
    let copies = applied.topic("T1").copies();
    assert_eq!(copies.phase, CopiesPhase::HandingOver { to: key(3) });
    applied.hand_over("T1", 3);
    let record = applied.topic("T1");
    assert_eq!((record.host, record.grant), (key(3), 2));
    assert_eq!(
        (&record.in_sync, &record.replicas),
        (&keys([2, 3]), &keys([2, 3]))
    );
    assert!(applied.directory.is_to_erase(key(1), id(9)));
    assert!(matches!(applied.moves("T1", 3), MoveState::Done { .. }));

    // It gets a copy again once it has erased the old one.
    assert!(matches!(applied.moves("T1", 1), MoveState::Copying { .. }));
    assert_eq!(applied.topic("T1").replicas, keys([2, 3]));
    assert!(applied.directory.is_to_erase(key(1), id(9)));
    applied.erases(1);
    applied.moves("T1", 1);
    assert_eq!(applied.topic("T1").replicas, keys([1, 2, 3]));
    let event = Event::MoveTopic {
        caller: caller(2),
        name: name("T1"),
        to: None,
    };
    assert_eq!(applied.refusal(&event), ErrorCode::Forbidden);
}

#[test]
fn a_target_that_dies_opens_the_topic_again() {
    let mut applied = Applied::keepers(2);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.in_sync("T1", &[1, 2]);
    applied.moves("T1", 2);
    applied.goes(2);
    assert_eq!(applied.topic("T1").state, TopicState::Serving);
}

#[test]
fn a_leaving_peer_hands_its_topics_and_what_it_owns_over() {
    let mut applied = Applied::keepers(2);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.decide(&create(1, "T2", 8)).answer.unwrap();
    applied.in_sync("T1", &[1, 2]);
    assert_eq!(applied.deregister(1, 0, false), (0, 2));
    assert_eq!(
        applied.topic("T1").state,
        TopicState::HandingOver { to: key(2) }
    );
    assert_eq!(applied.topic("T2").state, TopicState::Serving);
    applied.hand_over("T1", 2);
    let moved = applied.topic("T1");
    assert_eq!((moved.owner, moved.host), (key(2), key(2)));
    assert_eq!(moved.replicas, keys([2]), "its copy goes with it");
    assert_eq!(applied.deregister(1, 0, false), (0, 1));
    applied.in_sync("T2", &[1, 2]);
    assert_eq!(applied.deregister(1, 0, false), (0, 1));
    applied.hand_over("T2", 2);
    assert_eq!(applied.deregister(1, 0, false), (0, 0));
    assert_eq!(applied.directory.peer(key(1)), None);
    assert_eq!(applied.topic("T2").owner, key(2));
}

#[test]
fn what_nobody_can_take_goes_after_a_confirmation() {
    let mut applied = Applied::keepers(1);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    let leave = |delete_hosted, discard| Event::Deregister {
        caller: caller(1),
        delete_hosted,
        discard,
    };
    let refused = applied.refusal(&leave(0, false));
    assert_eq!(refused, ErrorCode::NeedsConfirmation);
    applied.decide(&register(2)).answer.unwrap();
    applied.decide(&keep(2, 2, 2)).answer.unwrap();
    let refused = applied.refusal(&leave(0, true));
    assert_eq!(refused, ErrorCode::NeedsConfirmation);
    assert_eq!(applied.deregister(1, 1, true), (1, 0));
    assert_eq!(applied.directory.topic_count(), 0);
}

#[test]
fn nobody_leaves_an_index_that_is_not_recovered() {
    let mut applied = Applied::keepers(2);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.directory.set_restored(true);
    let leave = Event::Deregister {
        caller: caller(1),
        delete_hosted: 1,
        discard: true,
    };
    let forget = Event::Forget {
        caller: caller(0),
        name: peer(1),
        keep_topics: false,
    };
    assert_eq!(applied.refusal(&leave), ErrorCode::NotReady);
    assert_eq!(applied.refusal(&forget), ErrorCode::NotReady);
    applied.directory.set_restored(false);
    assert_eq!(applied.deregister(1, 1, true), (1, 0));
}

#[test]
fn forgetting_a_dead_peer_leaves_its_topics_to_the_other_members() {
    let mut applied = Applied::keepers(2);
    applied.decide(&create(1, "both", 9)).answer.unwrap();
    applied.decide(&create(1, "alone", 8)).answer.unwrap();
    applied.in_sync("both", &[1, 2]);
    applied.goes(1);
    let forget = Event::Forget {
        caller: caller(0),
        name: peer(1),
        keep_topics: false,
    };
    let Ok(Answer::Forgotten(forgotten)) = applied.decide(&forget).answer else {
        panic!("it is forgotten");
    };
    assert_eq!(forgotten.deleted, 1);
    let record = applied.topic("both");
    assert_eq!((record.host, record.replicas), (key(2), keys([2])));
    assert!(applied.directory.is_to_erase(key(2), id(8)));
}

#[test]
fn a_copy_that_is_long_away_is_made_up_for_and_let_go_when_the_new_one_is_in_sync() {
    let mut applied = Applied::keepers(3);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.in_sync("T1", &[1, 2]);
    let away = applied.goes(2);
    let look = Effect::LookAtCopies {
        topics: vec![id(9)],
    };
    assert!(away.effects.contains(&look));
    assert_eq!(applied.directory.needs_repair(id(9)), Some(true));
    let repair = Event::Repair {
        topics: vec![id(9)],
    };
    applied.decide(&repair).answer.unwrap();
    assert_eq!(applied.topic("T1").replicas, keys([1, 2, 3]));
    assert_eq!(applied.directory.needs_repair(id(9)), Some(false));
    applied.in_sync("T1", &[1, 2, 3]);
    let record = applied.topic("T1");
    assert_eq!(
        (record.in_sync, record.replicas),
        (keys([1, 3]), keys([1, 3]))
    );
    assert!(applied.directory.is_to_erase(key(2), id(9)));

    applied.goes(3);
    let none = applied.decide(&repair);
    assert!(none.changes.is_empty());
    let later = Effect::RepairLater {
        topics: vec![id(9)],
    };
    assert!(none.effects.contains(&later));
}

#[test]
fn fewer_copies_wanted_are_let_go_and_more_are_taken_up() {
    let mut applied = Applied::keepers(3);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.in_sync("T1", &[1, 2]);
    let mut set = |replicas: u8| {
        let record = applied.topic("T1");
        let event = applied.wants("T1", replicas);
        applied.decide(&event).answer.map(|_| {
            let after = applied.topic("T1");
            assert_eq!(after.version, record.version + 1);
            after.replicas
        })
    };
    assert_eq!(set(3), Ok(keys([1, 2, 3])));
    assert_eq!(set(2), Ok(keys([1, 2])));
    assert_eq!(set(1), Ok(keys([1])));
    assert_eq!(set(8).unwrap_err().code(), ErrorCode::Malformed);
}

#[test]
fn who_has_yet_to_erase_a_copy_gets_no_new_one() {
    let mut applied = Applied::keepers(2);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.in_sync("T1", &[1, 2]);
    applied.decide(&applied.wants("T1", 1)).answer.unwrap();
    assert!(applied.directory.is_to_erase(key(2), id(9)));
    // The erasure is on its way: peer 2 still follows, and would be in sync until it comes.
    applied.decide(&applied.wants("T1", 2)).answer.unwrap();
    let place = Event::Place { from: 0 };
    assert_eq!(applied.decide(&place).changes, []);
    assert!(matches!(applied.moves("T1", 2), MoveState::Copying { .. }));
    assert_eq!(applied.topic("T1").replicas, keys([1]));
    let erased = applied.erases(2);
    assert!(erased.effects.contains(&Effect::PlaceCopies));
    applied.decide(&place).answer.unwrap();
    assert_eq!(applied.topic("T1").replicas, keys([1, 2]));
    assert_eq!(applied.erases(2).effects, [], "nothing lacks");
}

#[test]
fn a_late_word_on_an_earlier_erasure_leaves_the_later_one() {
    let mut applied = Applied::keepers(2);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.in_sync("T1", &[1, 2]);
    applied.decide(&applied.wants("T1", 1)).answer.unwrap();
    // Told twice, as after a full list; the first word comes before the next copy, the other after it.
    let told = |applied: &Applied| Event::Erased {
        host: key(2),
        topics: applied.directory.erasures_from(key(2), None, 1_000),
    };
    let first = told(&applied);
    assert_eq!(applied.decide(&first).changes.len(), 1);
    applied.decide(&applied.wants("T1", 2)).answer.unwrap();
    let place = Event::Place { from: 0 };
    applied.decide(&place).answer.unwrap();
    assert_eq!(applied.topic("T1").replicas, keys([1, 2]));
    let release = applied.wants("T1", 1);
    // In the commit that lets the copy go, too.
    let mut overlay = Overlay::default();
    let released = decide(&applied.directory, &mut overlay, &release, NOW);
    released.answer.unwrap();
    let early = decide(&applied.directory, &mut overlay, &first, NOW);
    assert_eq!(early.changes, []);
    applied.decide(&release).answer.unwrap();
    assert_eq!(applied.decide(&first).changes, []);
    assert!(applied.directory.is_to_erase(key(2), id(9)));
    let second = told(&applied);
    applied.decide(&second).answer.unwrap();
    assert!(!applied.directory.is_to_erase(key(2), id(9)));
}

#[test]
fn a_copy_let_go_is_not_taken_up_again_in_the_same_commit() {
    let mut applied = Applied::keepers(2);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.in_sync("T1", &[1, 2]);
    let mut overlay = Overlay::default();
    let mut changes = vec![];
    let mut again = applied.wants("T1", 1);
    for replicas in [1, 2] {
        if let Event::SetTopic {
            version, settings, ..
        } = &mut again
        {
            *version += u64::from(replicas) - 1;
            settings.replicas = replicas;
        }
        let decision = decide(&applied.directory, &mut overlay, &again, NOW);
        decision.answer.unwrap();
        changes.extend(decision.changes);
    }
    changes
        .iter()
        .for_each(|change| applied.directory.apply(change));
    assert_eq!(applied.topic("T1").replicas, keys([1]));
    assert!(applied.directory.is_to_erase(key(2), id(9)));
}

#[test]
fn copies_that_go_with_a_peer_are_made_up_for() {
    // The host leaves: its copy is replaced as it hands over.
    let mut applied = Applied::keepers(3);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.in_sync("T1", &[1, 2]);
    applied.deregister(1, 0, false);
    applied.hand_over("T1", 2);
    let record = applied.topic("T1");
    assert_eq!((record.in_sync, record.replicas), (keys([2]), keys([2, 3])));

    // A replica leaves, or is forgotten: topics are looked at again.
    let leaves = Event::Deregister {
        caller: caller(2),
        delete_hosted: 0,
        discard: false,
    };
    let forgotten = Event::Forget {
        caller: caller(0),
        name: peer(2),
        keep_topics: false,
    };
    for goes in [leaves, forgotten] {
        let mut applied = Applied::keepers(3);
        applied.decide(&create(1, "T1", 9)).answer.unwrap();
        applied.in_sync("T1", &[1, 2]);
        let gone = applied.decide(&goes);
        assert_eq!(applied.topic("T1").replicas, keys([1]));
        assert!(gone.effects.contains(&Effect::PlaceCopies));
        applied.decide(&Event::Place { from: 0 }).answer.unwrap();
        assert_eq!(applied.topic("T1").replicas, keys([1, 3]));
    }
}

#[test]
fn a_topic_that_lacked_copies_without_a_host_gets_them_under_the_next_one() {
    let mut applied = Applied::keepers(2);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.in_sync("T1", &[1, 2]);
    applied.decide(&applied.wants("T1", 3)).answer.unwrap();
    applied.directory.set_live(key(1), false);
    applied.decide(&register(3)).answer.unwrap();
    applied.decide(&keep(3, 3, 3)).answer.unwrap();
    let place = Event::Place { from: 0 };
    assert_eq!(applied.decide(&place).changes, []);
    let elected = applied.review(1);
    assert!(elected.effects.contains(&Effect::PlaceCopies));
    applied.decide(&place).answer.unwrap();
    assert_eq!(applied.topic("T1").replicas, keys([1, 2, 3]));
}

#[test]
fn a_damaged_copy_leaves_the_set_and_somebody_else_stands() {
    let mut applied = Applied::keepers(2);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.in_sync("T1", &[1, 2]);
    let event = Event::LeaveInSync {
        caller: caller(1),
        topic: id(9),
    };
    let Ok(Answer::LeftInSync(left)) = applied.decide(&event).answer else {
        panic!("it leaves");
    };
    assert_eq!((left.copies.host, left.copies.in_sync), (key(2), keys([2])));
    assert_eq!(applied.decide(&event).changes, [], "it has left");
}

#[test]
fn an_index_in_doubt_calls_nobody_away() {
    let mut applied = Applied::keepers(2);
    applied.decide(&create(1, "T1", 9)).answer.unwrap();
    applied.in_sync("T1", &[1, 2]);
    applied.directory.set_doubt(true);
    assert_eq!(applied.goes(1).changes, []);
    applied.directory.set_doubt(false);
    let all = Event::Review {
        peer: None,
        from: 0,
    };
    applied.decide(&all).answer.unwrap();
    assert_eq!(applied.topic("T1").host, key(2));
}

#[test]
#[ignore = "measures one poll of a leaving peer with 100,000 topics"]
fn measure_one_step_of_leaving() {
    const TOPICS: u32 = 100_000;
    let mut applied = Applied::keepers(5);
    for n in 0..TOPICS {
        let mut topic = [0; 16];
        topic[..4].copy_from_slice(&n.to_le_bytes());
        applied.directory.apply(&Change::PutTopic(TopicRecord {
            name: name(&format!("t{n}")),
            topic: TopicId(topic),
            version: 1,
            owner: key(1),
            host: key(1),
            grant: 1,
            in_sync: keys([1, 2]),
            replicas: keys([1, 2]),
            settings: TopicSettings::default(),
            state: TopicState::Serving,
            lineage: 0,
            created: NOW,
        }));
    }
    let event = Event::Deregister {
        caller: caller(1),
        delete_hosted: 0,
        discard: false,
    };
    let began = crate::clock::mono_now();
    let decision = decide(&applied.directory, &mut Overlay::default(), &event, NOW);
    let took = crate::clock::mono_now().since(began);
    println!("one step of {TOPICS} topics: {took:?}");
    assert_eq!(decision.changes.len(), limits::MOVES_AT_ONCE);
}
