//! Several hosting peers, driven by hand: who is told what when copies change.

use super::*;
use crate::index::session::Leases;
use crate::types::{Epoch, Fingerprint, Offset};
use crate::wire::index::copies::{
    AlterInSync, Copies, CopiesPhase, CopyReport, HandOver, LeaveInSync, MoveState, MoveTopic,
};
use crate::wire::index::{IndexStatus, ShowTopic, TopicPhase};

/// What a peer is told of a topic.
#[derive(Debug)]
enum Told {
    Host(Copies),
    Replicate(Copies),
    Erase,
}

impl TestIndex {
    async fn keeper(&self, name: &str) -> TestHost {
        let (identity, connection) = self.peer(name).await;
        let mut host = keeper(identity, connection, [1; 16]).await;
        host.assignments().await;
        host
    }
}

fn told(assignment: &Assignment) -> (TopicId, Told) {
    match assignment.clone() {
        Assignment::Host { topic, copies, .. } => (topic, Told::Host(copies)),
        Assignment::Replicate { topic, copies, .. } => (topic, Told::Replicate(copies)),
        Assignment::Erase { topic } => (topic, Told::Erase),
    }
}

impl TestHost {
    fn key(&self) -> Fingerprint {
        self.identity.fingerprint()
    }

    /// Takes assignments until one is as wished.
    async fn until<T>(&mut self, wished: impl Fn(&Told) -> Option<T>) -> T {
        loop {
            let frame = self.assigned().await;
            self.accept(&frame, vec![]).await;
            let found = frame.assignments.iter().map(|one| told(one).1);
            if let Some(found) = found.into_iter().find_map(|one| wished(&one)) {
                return found;
            }
        }
    }

    async fn hosts(&mut self, wished: impl Fn(&Copies) -> bool) -> Copies {
        self.until(|told| match told {
            Told::Host(copies) if wished(copies) => Some(copies.clone()),
            _ => None,
        })
        .await
    }

    async fn replicates(&mut self, wished: impl Fn(&Copies) -> bool) -> Copies {
        self.until(|told| match told {
            Told::Replicate(copies) if wished(copies) => Some(copies.clone()),
            _ => None,
        })
        .await
    }

    /// The host asks for a set.
    async fn in_sync(&self, topic: TopicId, copies: &Copies, members: &[&TestHost]) -> Copies {
        let request = AlterInSync {
            topic,
            epoch: self.epoch(copies),
            version: copies.version,
            members: members
                .iter()
                .map(|host| (host.key(), host.opened.incarnation))
                .collect(),
        };
        let altered = call(&self.connection, &request).await.unwrap();
        assert_eq!(altered.refused, None);
        altered.copies
    }

    fn epoch(&self, copies: &Copies) -> Epoch {
        Epoch {
            grant: copies.grant,
            incarnation: self.opened.incarnation,
        }
    }

    async fn goes(mut self) -> (Identity, Connection) {
        self.up.flush().await.unwrap();
        self.up.finish();
        (self.identity, self.connection)
    }
}

/// A topic hosted by the first, with the second in sync.
async fn two_copies(one: &mut TestHost, two: &mut TestHost) -> (TopicId, Copies) {
    let CreateOutcome::Created { topic, .. } = one.create(&["T1"]).await.outcomes[0] else {
        panic!("it is new");
    };
    let copies = two.replicates(|copies| copies.in_sync.len() == 1).await;
    assert_eq!(copies.host, one.key());
    let copies = one.in_sync(topic, &copies, &[one, two]).await;
    assert_eq!(copies.in_sync.len(), 2);
    let both = |copies: &Copies| copies.in_sync.len() == 2;
    assert_eq!(one.hosts(both).await, copies);
    assert_eq!(two.replicates(both).await, copies);
    (topic, copies)
}

#[test]
fn a_host_that_leaves_is_followed_by_its_replica_and_comes_back_as_one() {
    run_test(async {
        let index = TestIndex::start();
        let mut one = index.keeper("1").await;
        let mut two = index.keeper("2").await;
        let (_, before) = two_copies(&mut one, &mut two).await;
        let status = call(&two.connection, &IndexStatus {}).await.unwrap();
        assert_eq!((status.under_replicated, status.offline), (0, 0));

        let (identity, connection) = one.goes().await;
        let copies = two.hosts(|copies| copies.grant == 2).await;
        assert_eq!(copies.host, two.key());
        assert_eq!(copies.in_sync, [two.key()]);
        assert!(copies.version > before.version);
        let status = call(&two.connection, &IndexStatus {}).await.unwrap();
        assert_eq!((status.under_replicated, status.offline), (1, 0));

        let mut one = keeper(identity, connection, [9; 16]).await;
        let first = one.assignments().await;
        let [first] = &first[..] else {
            panic!("{first:?}");
        };
        assert!(matches!(told(first).1, Told::Replicate(found) if found == copies));
        let show = ShowTopic { name: topic("T1") };
        let shown = call(&one.connection, &show).await.unwrap();
        assert_eq!(shown.in_sync, [peer("2")]);
        assert_eq!(shown.replicas, [peer("1"), peer("2")]);
        assert_eq!(shown.info.phase, TopicPhase::Serving);
        index.stop().await;
    });
}

#[test]
fn a_second_peer_gets_the_copies_that_were_missing() {
    run_test(async {
        let index = TestIndex::start();
        let mut one = index.keeper("1").await;
        one.create(&["T1", "T2"]).await;
        let mut two = index.keeper("2").await;
        let copies = two.replicates(|_| true).await;
        assert_eq!(copies.replicas.len(), 2);
        assert_eq!(copies.in_sync, [one.key()]);
        one.hosts(|copies| copies.replicas.len() == 2).await;
        index.stop().await;
    });
}

#[test]
fn an_index_that_has_just_started_waits_before_it_calls_anybody_away() {
    run_test(async {
        let index = TestIndex::start();
        let mut one = index.keeper("1").await;
        let mut two = index.keeper("2").await;
        two_copies(&mut one, &mut two).await;
        let (identity, store, certs) = index.stop().await;
        let index = TestIndex::start_on(identity, store, certs, |options| {
            options.leases = Leases {
                wait: Duration::from_millis(600),
                ..Leases::default()
            };
        });
        let started = tokio::time::Instant::now();
        let connection = index.connect(&two.identity).await;
        let mut two = keeper(two.identity, connection, [3; 16]).await;
        let full = two.assignments().await;
        assert!(
            matches!(told(&full[0]).1, Told::Replicate(copies) if copies.grant == 1),
            "the host may be there"
        );
        let elected = async {
            let mut beat = 0;
            loop {
                // A session that is silent for W is over.
                tokio::select! {
                    copies = two.hosts(|copies| copies.grant == 2) => return copies,
                    () = tokio::time::sleep(Duration::from_millis(100)) => {}
                }
                beat += 1;
                two.heartbeat(beat).await.unwrap();
            }
        };
        let copies = elected.await;
        assert_eq!(copies.in_sync, [two.key()]);
        assert!(started.elapsed() >= Duration::from_millis(500));
        index.stop().await;
    });
}

#[test]
fn a_leaving_peer_hands_over_and_is_told_to_erase() {
    run_test(async {
        let index = TestIndex::start();
        let mut one = index.keeper("1").await;
        let mut two = index.keeper("2").await;
        let (topic, _) = two_copies(&mut one, &mut two).await;
        let leave = Deregister {
            delete_hosted: 0,
            discard: false,
        };
        let step = call(&one.connection, &leave).await.unwrap();
        assert_eq!((step.deleted, step.left), (0, 1));
        let to = two.key();
        let handing = |copies: &Copies| copies.phase == CopiesPhase::HandingOver { to };
        let copies = one.hosts(handing).await;
        let epoch = one.epoch(&copies);
        let over = HandOver { topic, epoch, to };
        let after = call(&one.connection, &over).await.unwrap().copies;
        assert_eq!((after.host, after.grant), (to, 2));
        assert_eq!(two.hosts(|copies| copies.grant == 2).await, after);
        one.until(|told| matches!(told, Told::Erase).then_some(()))
            .await;
        let late = call(&one.connection, &over).await.unwrap().copies;
        assert_eq!(late, after, "a second word changes nothing");
        let done = call(&one.connection, &leave).await.unwrap();
        assert_eq!((done.deleted, done.left), (0, 0));
        assert_eq!(one.ended().await, SessionEnd::Deregistered);
        let show = ShowTopic {
            name: super::topic("T1"),
        };
        let shown = call(&two.connection, &show).await.unwrap();
        assert_eq!(shown.info.owner, Some(peer("2")));
        index.stop().await;
    });
}

#[test]
fn a_wished_move_is_asked_for_until_it_is_done() {
    run_test(async {
        let index = TestIndex::start();
        let mut one = index.keeper("1").await;
        let mut two = index.keeper("2").await;
        let (id, _) = two_copies(&mut one, &mut two).await;
        let wish = MoveTopic {
            name: topic("T1"),
            to: None,
        };
        let stranger = call(&two.connection, &wish).await.unwrap_err();
        assert_eq!(stranger.code(), ErrorCode::Forbidden);
        let moving = call(&one.connection, &wish).await.unwrap();
        assert_eq!(
            (moving.to, moving.state),
            (peer("2"), MoveState::HandingOver)
        );
        let to = two.key();
        let copies = one
            .hosts(|copies| copies.phase == CopiesPhase::HandingOver { to })
            .await;
        let epoch = one.epoch(&copies);
        let over = HandOver {
            topic: id,
            epoch,
            to,
        };
        call(&one.connection, &over).await.unwrap();
        let wish = MoveTopic {
            to: Some(peer("2")),
            ..wish
        };
        let moved = call(&one.connection, &wish).await.unwrap();
        assert!(matches!(moved.state, MoveState::Done { epoch } if epoch.grant == 2));
        index.stop().await;
    });
}

#[test]
fn a_topic_of_which_a_peer_knows_more_is_frozen() {
    run_test(async {
        let index = TestIndex::start();
        let mut one = index.keeper("1").await;
        let mut two = index.keeper("2").await;
        let CreateOutcome::Created { topic: id, .. } = one.create(&["T1"]).await.outcomes[0] else {
            panic!("it is new");
        };
        let frame = two.assigned().await;
        let word = Assigned {
            revision: frame.revision,
            refused: vec![],
            known: vec![CopyReport {
                topic: id,
                name: topic("T1"),
                known: Epoch {
                    grant: 3,
                    incarnation: 1,
                },
                own_grant: 3,
                end: Offset(5),
                version: 0,
                settings: TopicSettings::default(),
                damaged: false,
            }],
        };
        let (up, _) = two.assign.as_mut().unwrap();
        up.send(&word).await.unwrap();
        let copies = one.replicates(|_| true).await;
        assert_eq!(copies.host, one.key(), "it may not act any more");
        let request = AlterInSync {
            topic: id,
            epoch: one.epoch(&copies),
            version: copies.version,
            members: vec![(one.key(), 0)],
        };
        let refused = call(&one.connection, &request).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::NotReady);
        let status = call(&one.connection, &IndexStatus {}).await.unwrap();
        assert_eq!(status.behind, 1);
        let show = ShowTopic { name: topic("T1") };
        let shown = call(&one.connection, &show).await.unwrap();
        assert_eq!(shown.info.phase, TopicPhase::Behind);
        index.stop().await;
    });
}

#[test]
fn a_damaged_copy_leaves_the_set_in_its_own_session_only() {
    run_test(async {
        let index = TestIndex::start();
        let mut one = index.keeper("1").await;
        let mut two = index.keeper("2").await;
        let (topic, copies) = two_copies(&mut one, &mut two).await;
        let other = LeaveInSync {
            session: one.session(),
            topic,
        };
        let refused = call(&two.connection, &other).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Fenced);
        let own = LeaveInSync {
            session: two.session(),
            topic,
        };
        let left = call(&two.connection, &own).await.unwrap().copies;
        assert_eq!(left.in_sync, [one.key()]);
        assert_eq!(left.version, copies.version + 1);
        one.hosts(|found| *found == left).await;
        index.stop().await;
    });
}
