use super::*;
use crate::clock;
use crate::transport::verify_pass;
use crate::wire::ErrorCode;

#[test]
fn the_first_key_gets_the_name_and_a_pass() {
    run_test(async {
        let index = TestIndex::start();
        let identity = Identity::ephemeral();
        let connection = index.connect(&identity).await;
        let first = register(&connection, "1").await.unwrap();
        let again = register(&connection, "1").await.unwrap();
        assert!(first.new && !again.new);
        assert!(first.observed.ip().is_loopback());
        let key = identity.fingerprint();
        let issuer = index.identity.fingerprint();
        let serial = |pass| {
            verify_pass(pass, issuer, key, clock::wall_now())
                .unwrap()
                .serial
        };
        assert!(serial(&again.pass) > serial(&first.pass));
    });
}

#[test]
fn a_stolen_name_is_refused_with_both_keys() {
    run_test(async {
        let index = TestIndex::start();
        let (owner, connection) = index.peer("1").await;
        let thief = Identity::ephemeral();
        let refused = register(&index.connect(&thief).await, "1")
            .await
            .unwrap_err();
        assert_eq!(refused.code(), ErrorCode::IdentityMismatch);
        let (expected, found) = (owner.fingerprint(), thief.fingerprint());
        let start =
            format!("peer name \"1\" is bound to another key; expected {expected}, registered ");
        assert!(refused.detail.starts_with(&start), "{refused}");
        let end = format!(" from 127.0.0.1; found {found}");
        assert!(refused.detail.ends_with(&end), "{refused}");
        let second = register(&connection, "2").await.unwrap_err();
        assert_eq!(second.code(), ErrorCode::NameTaken);
    });
}

#[test]
fn a_stranger_may_only_register() {
    run_test(async {
        let index = TestIndex::start();
        let connection = index.connect(&Identity::ephemeral()).await;
        let code = |result: Result<_, ErrorReply>| result.map(|_: Route| ()).unwrap_err().code();
        assert_eq!(
            code(call(&connection, &lookup("T1")).await),
            ErrorCode::NotRegistered
        );
        register(&connection, "1").await.unwrap();
        assert_eq!(
            code(call(&connection, &lookup("T1")).await),
            ErrorCode::TopicNotFound
        );
        call(
            &connection,
            &Deregister {
                delete_hosted: 0,
                discard: false,
            },
        )
        .await
        .unwrap();
        assert_eq!(
            code(call(&connection, &lookup("T1")).await),
            ErrorCode::NotRegistered
        );
    });
}

#[test]
fn a_restart_keeps_everything_and_passes_go_on_rising() {
    run_test(async {
        let index = TestIndex::start();
        let mut host = index.host("1").await;
        host.create(&["T1", "T2"]).await;
        call(&host.connection, &subscribe("T1")).await.unwrap();
        let before = call(&host.connection, &lookup("T1")).await.unwrap();
        let serial = register(&host.connection, "1").await.unwrap();
        let serial = serial.pass.read_body().unwrap().serial;
        let identity = host.identity.clone();

        let index = index.restart().await;
        assert_eq!(host.ended().await, SessionEnd::ShuttingDown);
        let connection = index.connect(&identity).await;
        let again = register(&connection, "1").await.unwrap();
        assert!(!again.new);
        assert!(again.pass.read_body().unwrap().serial > serial);
        let after = call(&connection, &lookup("T1")).await.unwrap();
        assert_eq!(after.host.addresses, before.host.addresses);
        assert_eq!((after.topic, after.epoch), (before.topic, before.epoch));
        assert!(before.host.live && !after.host.live);
        let mine = call(&connection, &my_subscriptions()).await.unwrap();
        assert_eq!(mine.subscriptions.len(), 1);
        let status = call(&connection, &IndexStatus {}).await.unwrap();
        assert_eq!(
            (
                status.peers,
                status.live,
                status.topics,
                status.subscriptions
            ),
            (1, 0, 2, 1)
        );

        let mut host = TestHost::open(identity, connection, [1; 16], [2; 16]).await;
        assert_eq!(
            host.opened.incarnation, before.epoch.incarnation,
            "the same boot"
        );
        assert_eq!(host.assignments().await.len(), 2);
    });
}
