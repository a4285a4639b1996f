use super::*;
use crate::client::{IndexLink, IndexLinkOptions};
use crate::wire::ErrorCode;

async fn is_live(connection: &Connection, name: &str) -> bool {
    call(connection, &ShowPeer { name: peer(name) })
        .await
        .unwrap()
        .info
        .live
}

#[test]
fn a_newer_boot_fences_the_older_one_for_good() {
    run_test(async {
        let index = TestIndex::start();
        let old = index.host("1").await;
        assert_eq!(old.opened.incarnation, 1);
        let identity = old.identity.clone();
        let connection = index.connect(&identity).await;
        let mut new = TestHost::open(identity.clone(), connection.clone(), [9; 16], [2; 16]).await;
        assert_eq!(new.opened.incarnation, 2);
        assert_eq!(old.ended().await, SessionEnd::Fenced);
        new.heartbeat(1).await.unwrap();
        let back = TestHost::try_open(identity, connection, [1; 16], [2; 16]).await;
        assert_eq!(back.err().unwrap().code(), ErrorCode::Fenced);
        new.heartbeat(2).await.unwrap();
    });
}

#[test]
fn a_reconnect_with_the_same_boot_keeps_the_incarnation() {
    run_test(async {
        let index = TestIndex::start();
        let first = index.host("1").await;
        let identity = first.identity.clone();
        let connection = index.connect(&identity).await;
        let mut second = TestHost::open(identity, connection, [1; 16], [2; 16]).await;
        assert_eq!(second.opened.incarnation, first.opened.incarnation);
        assert_ne!(second.session(), first.session());
        second.heartbeat(1).await.unwrap();
        let mut first = first;
        assert!(
            first.down.next().await.unwrap().is_none(),
            "ends without a word"
        );
    });
}

#[test]
fn silence_ends_a_session() {
    run_test(async {
        let leases = Leases {
            wait: Duration::from_millis(150),
            late: PATIENCE,
            ..Leases::default()
        };
        let index = TestIndex::start_with(|options| options.leases = leases);
        let host = index.host("1").await;
        let connection = host.connection.clone();
        assert_eq!(host.ended().await, SessionEnd::Expired);
        assert!(!is_live(&connection, "1").await);
    });
}

#[test]
fn streams_of_another_peers_session_are_refused() {
    run_test(async {
        let index = TestIndex::start();
        let host = index.host("1").await;
        let (_, other) = index.peer("2").await;
        let session = host.session();
        let (_up, mut down) = other.open(&SessionAssignments { session }).await.unwrap();
        assert!(
            matches!(down.next().await.unwrap().unwrap().decode::<ErrorReply>(), Ok(why) if why.code() == ErrorCode::Fenced)
        );
        let (_up, mut down) = other.open(&SessionReports { session }).await.unwrap();
        assert!(
            matches!(down.next().await.unwrap().unwrap().decode::<ErrorReply>(), Ok(why) if why.code() == ErrorCode::Fenced)
        );
    });
}

#[test]
fn deregistering_needs_the_right_count_and_ends_the_session() {
    run_test(async {
        let index = TestIndex::start();
        let mut host = index.host("1").await;
        host.create(&["a", "b"]).await;
        let (_, reader) = index.peer("2").await;
        call(&reader, &subscribe("a")).await.unwrap();
        let refused = call(
            &host.connection,
            &Deregister {
                delete_hosted: 1,
                discard: false,
            },
        )
        .await
        .unwrap_err();
        assert_eq!(refused.code(), ErrorCode::NeedsConfirmation);
        assert!(refused.detail.contains("hosts 2 topics"), "{refused}");
        let connection = host.connection.clone();
        let gone = call(
            &connection,
            &Deregister {
                delete_hosted: 2,
                discard: false,
            },
        )
        .await
        .unwrap();
        assert_eq!(gone.deleted, 2);
        assert_eq!(host.ended().await, SessionEnd::Deregistered);
        let mine = call(&reader, &my_subscriptions()).await.unwrap();
        assert_eq!((mine.subscriptions.len(), mine.notices.len()), (0, 1));
    });
}

#[test]
fn a_forgotten_name_takes_its_topics_back_with_its_storage() {
    run_test(async {
        let index = TestIndex::start();
        let mut host = index.host("1").await;
        host.create(&["a"]).await;
        let before = call(&host.connection, &lookup("a")).await.unwrap();
        let forget = Forget {
            name: peer("1"),
            keep_topics: true,
        };
        let refused = call(&host.connection, &forget).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Forbidden);
        let operator = index.connect(&index.identity).await;
        let forgotten = call(&operator, &forget).await.unwrap();
        assert_eq!((forgotten.deleted, forgotten.kept), (0, 1));
        assert_eq!(host.ended().await, SessionEnd::Deregistered);
        let waiting = call(&operator, &lookup("a")).await.unwrap();
        assert_eq!(
            (waiting.host.name.clone(), waiting.host.live),
            (peer("1"), false)
        );

        let index = index.restart().await;
        let (identity, connection) = index.peer("1").await;
        let other = TestHost::open(identity.clone(), connection.clone(), [5; 16], [7; 16]).await;
        let still = call(&connection, &lookup("a")).await.unwrap();
        assert_eq!(
            still.host.fingerprint, before.host.fingerprint,
            "another storage"
        );
        drop(other);
        let mut host = TestHost::open(identity.clone(), connection.clone(), [6; 16], [2; 16]).await;
        assert_eq!(host.assignments().await.len(), 1);
        let after = call(&connection, &lookup("a")).await.unwrap();
        assert_eq!(after.host.fingerprint, identity.fingerprint());
        assert!(after.epoch > before.epoch && after.epoch.grant == before.epoch.grant + 1);
        assert_eq!(
            call(&connection, &delete("a")).await.unwrap().topic,
            before.topic
        );
    });
}

#[test]
fn a_forgotten_peer_does_not_come_back_by_a_request_beside_its_session() {
    run_test(async {
        let index = TestIndex::start();
        let identity = Identity::ephemeral();
        let address = format!("{}#{}", index.address, index.identity.fingerprint());
        let options = IndexLinkOptions {
            addresses: vec![address.parse().unwrap()],
            known: None,
            name: Some(peer("1")),
            patience: PATIENCE,
        };
        let link = IndexLink::new(endpoint(&identity, vec![]), options);
        let request = lookup("a");
        let asked = link.call_beside_session("looking", &request, true).await;
        assert_eq!(asked.unwrap_err().code(), Some(ErrorCode::TopicNotFound));
        let operator = index.connect(&index.identity).await;
        let forget = Forget {
            name: peer("1"),
            keep_topics: false,
        };
        call(&operator, &forget).await.unwrap();
        let asked = link.call_beside_session("looking", &request, true).await;
        assert_eq!(asked.unwrap_err().code(), Some(ErrorCode::NotRegistered));
        let shown = call(&operator, &ShowPeer { name: peer("1") }).await;
        assert_eq!(shown.unwrap_err().code(), ErrorCode::PeerNotFound);
        // What a client asks for itself registers it, as ever.
        let asked = link.call("looking", &request, true).await;
        assert_eq!(asked.unwrap_err().code(), Some(ErrorCode::TopicNotFound));
        assert!(!is_live(&operator, "1").await);
    });
}
