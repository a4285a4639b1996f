use super::*;
use crate::types::UnixMicros;
use crate::wire::ErrorCode;

#[test]
fn a_creation_waits_for_its_hosts_word() {
    run_test(async {
        let index = TestIndex::start();
        let mut host = index.host("1").await;
        let (_, other) = index.peer("2").await;
        let asking = other.clone();
        let creating = tokio::spawn(async move { call(&asking, &create(&["T1"], None)).await });
        let frame = host.assigned().await;
        assert!(!creating.is_finished());
        // It exists, durably, while its creator still waits.
        assert!(call(&other, &lookup("T1")).await.is_ok());
        host.accept(&frame, vec![]).await;
        let created = creating.await.unwrap().unwrap();
        assert_eq!(created.host.as_ref().unwrap().name, peer("1"));
        assert!(matches!(
            created.outcomes[..],
            [CreateOutcome::Created { .. }]
        ));

        let again = call(&other, &create(&["T1"], None)).await.unwrap();
        assert_eq!(again.host, None);
        assert_eq!(
            again.outcomes,
            [CreateOutcome::Exists {
                owner: Some(peer("2"))
            }]
        );
    });
}

#[test]
fn a_topic_that_its_host_refuses_is_gone_again() {
    run_test(async {
        let index = TestIndex::start();
        let mut host = index.host("1").await;
        let asking = host.connection.clone();
        let creating = tokio::spawn(async move { call(&asking, &create(&["a", "b"], None)).await });
        let frame = host.assigned().await;
        let Assignment::Host { topic: refused, .. } = &frame.assignments[1] else {
            panic!("{frame:?}");
        };
        let full = ErrorReply::new(ErrorCode::StorageFull, "no room");
        host.accept(&frame, vec![(*refused, full.clone())]).await;
        let created = creating.await.unwrap().unwrap();
        assert!(matches!(created.outcomes[0], CreateOutcome::Created { .. }));
        assert_eq!(created.outcomes[1], CreateOutcome::Refused(full));
        assert!(call(&host.connection, &lookup("a")).await.is_ok());
        let gone = call(&host.connection, &lookup("b")).await.unwrap_err();
        assert_eq!(gone.code(), ErrorCode::TopicNotFound);
    });
}

#[test]
fn a_host_that_says_nothing_leaves_the_topic_unconfirmed() {
    run_test(async {
        let short = Duration::from_millis(50);
        let index = TestIndex::start_with(|options| options.create_wait = short);
        let host = index.host("1").await;
        let created = call(&host.connection, &create(&["T1"], None))
            .await
            .unwrap();
        let CreateOutcome::Refused(why) = &created.outcomes[0] else {
            panic!("{created:?}");
        };
        assert_eq!(why.code(), ErrorCode::HostUnconfirmed);
        assert!(call(&host.connection, &lookup("T1")).await.is_ok());
    });
}

#[test]
fn nobody_live_is_said_with_the_remedy() {
    run_test(async {
        let index = TestIndex::start();
        let (_, connection) = index.peer("1").await;
        let refused = call(&connection, &create(&["T1"], None)).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::NoLiveHost);
        assert!(
            refused
                .detail
                .ends_with("start one: waypost peer --id NAME"),
            "{refused}"
        );
    });
}

#[test]
fn only_the_owner_or_the_operator_deletes_and_subscribers_are_told() {
    run_test(async {
        let index = TestIndex::start();
        let mut host = index.host("1").await;
        host.create(&["a", "b"]).await;
        let (_, reader) = index.peer("2").await;
        call(&reader, &subscribe("a")).await.unwrap();
        assert!(!call(&reader, &subscribe("a")).await.unwrap().new);
        call(&reader, &subscribe("b")).await.unwrap();
        let refused = call(&reader, &delete("a")).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Forbidden);

        assert_eq!(
            call(&host.connection, &delete("a"))
                .await
                .unwrap()
                .subscribers,
            1
        );
        let operator = index.connect(&index.identity).await;
        assert_eq!(call(&operator, &delete("b")).await.unwrap().subscribers, 1);
        let mine = call(&reader, &my_subscriptions()).await.unwrap();
        assert_eq!(mine.subscriptions, []);
        let told: Vec<_> = mine
            .notices
            .iter()
            .map(|notice| {
                let NoticeKind::TopicDeleted { name, by, .. } = &notice.what;
                (name.to_string(), by.clone())
            })
            .collect();
        assert_eq!(told, [("a".into(), Some(peer("1"))), ("b".into(), None)]);
        assert_eq!(register(&reader, "2").await.unwrap().notices, 2);
        let serial = mine.notices[0].serial;
        call(&reader, &ClearNotices { serial }).await.unwrap();
        let mine = call(&reader, &my_subscriptions()).await.unwrap();
        assert_eq!(mine.notices.len(), 1);
    });
}

#[test]
fn a_host_that_was_away_erases_on_its_return() {
    run_test(async {
        let index = TestIndex::start();
        let mut host = index.host("1").await;
        let created = host.create(&["T1"]).await;
        let CreateOutcome::Created { topic: id, .. } = created.outcomes[0] else {
            panic!("{created:?}");
        };
        let index = index.restart().await;
        let connection = index.connect(&host.identity).await;
        call(&connection, &delete("T1")).await.unwrap();

        // Twice, for the first time the host does not acknowledge.
        let request = |session| SessionAssignments { session };
        let identity = host.identity.clone();
        let first = TestHost::open(identity.clone(), connection.clone(), [1; 16], [2; 16]).await;
        let (_up, mut down) = connection.open(&request(first.session())).await.unwrap();
        down.expect::<AssignmentsOpened>().await.unwrap();
        let frame = down.expect::<Assign>().await.unwrap();
        assert_eq!(frame.assignments, [Assignment::Erase { topic: id }]);

        let mut second =
            TestHost::open(identity.clone(), connection.clone(), [1; 16], [2; 16]).await;
        assert_eq!(
            second.assignments().await,
            [Assignment::Erase { topic: id }]
        );
        // The acknowledgements are taken in order: once this creation is confirmed, so is the erasure.
        second.create(&["T2"]).await;
        let mut third = TestHost::open(identity, connection, [1; 16], [2; 16]).await;
        let hosts = third.assignments().await;
        assert!(
            matches!(&hosts[..], [Assignment::Host { name, .. }] if *name == topic("T2")),
            "{hosts:?}"
        );
    });
}

#[test]
fn settings_change_by_version_and_reach_the_host() {
    run_test(async {
        let index = TestIndex::start();
        let mut host = index.host("1").await;
        host.create(&["T1"]).await;
        let settings = TopicSettings {
            retain_bytes: Some(9),
            ..TopicSettings::default()
        };
        let set = |version| SetTopic {
            name: topic("T1"),
            version,
            settings,
        };
        assert_eq!(call(&host.connection, &set(1)).await.unwrap().version, 2);
        let frame = host.assigned().await;
        assert!(
            matches!(&frame.assignments[..], [Assignment::Host { settings: found, .. }] if *found == settings)
        );
        let refused = call(&host.connection, &set(1)).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::VersionMismatch);
    });
}

#[test]
fn listings_are_paged_filtered_and_show_reports() {
    run_test(async {
        let index = TestIndex::start();
        let mut host = index.host("1").await;
        host.create(&["a/1", "a/2", "a/3", "b"]).await;
        let page = |prefix: &str, owner: Option<&str>, after: Option<&str>, limit| ListTopics {
            prefix: prefix.into(),
            owner: owner.map(peer),
            host: None,
            after: after.map(topic),
            limit,
        };
        let names = |page: &TopicPage| {
            page.topics
                .iter()
                .map(|t| t.name.to_string())
                .collect::<Vec<_>>()
        };
        let first = call(&host.connection, &page("a/", Some("1"), None, 2))
            .await
            .unwrap();
        assert_eq!(names(&first), ["a/1", "a/2"]);
        assert_eq!(first.next, Some(topic("a/2")));
        let second = call(&host.connection, &page("a/", None, Some("a/2"), 2))
            .await
            .unwrap();
        assert_eq!(
            (names(&second), second.next),
            (vec!["a/3".to_owned()], None)
        );
        let nobodys = call(&host.connection, &page("", Some("2"), None, 10))
            .await
            .unwrap();
        assert_eq!((names(&nobodys), nobodys.next), (vec![], None));

        let request = SessionReports {
            session: host.session(),
        };
        let (mut up, mut down) = host.connection.open(&request).await.unwrap();
        down.expect::<ReportsOpened>().await.unwrap();
        let metadata = TopicMetadata {
            start: 1,
            end: 43,
            bytes: 99,
            last_append: UnixMicros(7),
        };
        let id = first.topics[0].topic;
        up.send(&Report {
            serial: 1,
            topics: vec![(id, metadata), (TopicId([0; 16]), metadata)],
            behind: vec![],
        })
        .await
        .unwrap();
        down.expect::<ReportAck>().await.unwrap();
        let shown = call(&host.connection, &ShowTopic { name: topic("a/1") })
            .await
            .unwrap();
        assert_eq!(shown.info.reported.unwrap().metadata, metadata);
        assert!(shown.info.reported.unwrap().age_ms.is_some());
        assert_eq!(shown.in_sync, [peer("1")]);

        // Written at shutdown at the latest, and answered while the host is away.
        let identity = host.identity.clone();
        let index = index.restart().await;
        let connection = index.connect(&identity).await;
        let shown = call(&connection, &ShowTopic { name: topic("a/1") })
            .await
            .unwrap();
        let expected = ReportedTopic {
            metadata,
            age_ms: None,
        };
        assert_eq!(shown.info.reported, Some(expected));
    });
}

#[test]
fn many_routes_come_in_one_reply() {
    run_test(async {
        let index = TestIndex::start();
        let mut host = index.host("1").await;
        host.create(&["a", "b"]).await;
        let names = ["a", "none", "b"].map(topic).to_vec();
        let routes = call(&host.connection, &LookupMany { names }).await.unwrap();
        assert_eq!(routes.hosts.len(), 1);
        assert_eq!(
            routes.hosts[0].addresses,
            ["127.0.0.1:4000".parse().unwrap()]
        );
        let found: Vec<bool> = routes.routes.iter().map(Option::is_some).collect();
        assert_eq!(found, [true, false, true]);
    });
}
