//! A registered peer that acts for another.

use crate::common::{Deployment, PATIENCE};
use crate::hostile::*;
use bytes::Bytes;
use waypost::transport::{CallError, Connection};
use waypost::types::{Group, Offset, ProducerId, TopicSettings, UnixMicros};
use waypost::wire::ErrorCode;
use waypost::wire::batch::{BatchBuilder, Record};
use waypost::wire::index::{
    ClearNotices, DeleteTopic, Deregister, Forget, ListSubscriptions, Route, SessionReports,
    SetTopic, ShowTopic,
};
use waypost::wire::peer::{Append, Appended, Commit, PositionValue, TopicStatus};

async fn forbidden<R: waypost::wire::Request>(connection: &Connection, request: R) {
    let reply = told(connection.request(&request).await);
    assert_eq!(reply.code(), ErrorCode::Forbidden, "{}: {reply}", R::NAME);
}

#[tokio::test]
async fn nobody_changes_what_belongs_to_another() {
    let deployment = Deployment::new();
    let index_process = deployment.index();
    let _host = deployment.peer("owner");
    deployment
        .run(["publish", "T1", "hi", "--id", "owner"])
        .ok();
    deployment.run(["subscribe", "T1", "--id", "owner"]).ok();
    let caller = Caller::stranger();
    let (index, _) = caller.register(&deployment, "other").await;

    let name = name("T1");
    forbidden(
        &index,
        DeleteTopic {
            name: name.clone(),
            topic: None,
        },
    )
    .await;
    let version = index
        .request(&ShowTopic { name: name.clone() })
        .await
        .unwrap()
        .info
        .version;
    let settings = TopicSettings::default();
    forbidden(
        &index,
        SetTopic {
            name: name.clone(),
            version,
            settings,
        },
    )
    .await;
    let owner = "owner".parse().unwrap();
    forbidden(
        &index,
        Forget {
            name: owner,
            keep_topics: false,
        },
    )
    .await;

    // Requests about oneself reach only oneself.
    let page = ListSubscriptions {
        after: None,
        limit: 10,
    };
    assert!(index.request(&page).await.unwrap().subscriptions.is_empty());
    index
        .request(&ClearNotices { serial: u64::MAX })
        .await
        .unwrap();
    let session = waypost::types::SessionId([1; 16]);
    let (_sender, mut receiver) = index.open(&SessionReports { session }).await.unwrap();
    let opened = receiver
        .expect::<waypost::wire::index::ReportsOpened>()
        .await;
    assert_eq!(told(opened).code(), ErrorCode::Fenced);
    index
        .request(&Deregister {
            delete_hosted: 0,
            discard: false,
        })
        .await
        .unwrap();

    let text = deployment.run(["pull", "T1", "--id", "owner"]).ok();
    assert!(text.contains("hi"), "{text}");
    deployment
        .run(["topic", "delete", "T1", "--id", "third"])
        .fails(4, &["owner"]);
    deployment
        .run(["topic", "delete", "T1", "--id", "owner", "--yes"])
        .ok();
    drop(index_process);
}

#[tokio::test]
async fn positions_are_the_callers_own() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let _host = deployment.peer("owner");
    deployment
        .run_with_input(["publish", "T1", "-", "--id", "owner"], b"a\nb\nc\n")
        .ok();
    deployment
        .run(["pull", "T1", "--max", "1", "--id", "reader"])
        .ok();
    let caller = Caller::stranger();
    let (index, pass) = caller.register(&deployment, "other").await;
    let route = lookup(&index, "T1").await;
    let host = caller.host(&route, Some(&pass)).await;
    // A request has no room for another's key: what moves is the caller's own.
    let commit = Commit {
        topic: route.topic,
        epoch: route.epoch,
        group: Group::default(),
        position: PositionValue {
            next: Offset(4),
            sequence: u64::MAX,
        },
        reset: true,
    };
    let committed = host.request(&commit).await.unwrap();
    assert_eq!(committed.position.next, Offset(4));
    let asked = TopicStatus {
        topics: vec![(route.topic, Group::default())],
    };
    let states = host.request(&asked).await.unwrap().topics;
    assert_eq!(states[0].unwrap().position.unwrap().next, Offset(4));
    let text = deployment.run(["pull", "T1", "--id", "reader"]).ok();
    assert!(text.contains('b') && text.contains('c'), "{text}");
}

/// Appends one message under a producer id of the caller's choice.
async fn append(
    host: &Connection,
    route: &Route,
    producer: ProducerId,
    sequence: u64,
    body: &[u8],
) -> Result<Appended, CallError> {
    let mut builder = BatchBuilder::new();
    builder.push(&Record {
        key: None,
        headers: vec![],
        body,
    });
    let batch: Bytes = builder.seal(route.topic, producer, sequence, UnixMicros(0));
    let request = Append {
        topic: route.topic,
        epoch: route.epoch,
    };
    host.request_with(&request, &[batch], PATIENCE).await
}

/// Whoever reads a topic sees the producer ids in it. Under another's id and next sequence a message
/// of the other's would be answered as a duplicate, and be lost.
#[tokio::test]
async fn nobody_publishes_under_anothers_producer_id() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let _host = deployment.peer("owner");
    deployment
        .run(["publish", "T1", "hi", "--id", "owner"])
        .ok();
    let (victim, forger) = (Caller::stranger(), Caller::stranger());
    let (index, pass) = victim.register(&deployment, "victim").await;
    let route = lookup(&index, "T1").await;
    let victims = victim.host(&route, Some(&pass)).await;
    let (_index, pass) = forger.register(&deployment, "forger").await;
    let forgers = forger.host(&route, Some(&pass)).await;

    let producer = ProducerId::of(victim.key(), &mut rand::rng());
    let first = append(&victims, &route, producer, 0, b"one").await.unwrap();
    for sequence in [0, 1, 2] {
        let forged = append(&forgers, &route, producer, sequence, b"forged").await;
        let reply = told(forged);
        assert_eq!(reply.code(), ErrorCode::Forbidden, "{reply}");
    }
    let second = append(&victims, &route, producer, 1, b"two").await.unwrap();
    assert!(!second.duplicate);
    assert_eq!(second.base, first.base.plus(1));
    let again = append(&victims, &route, producer, 1, b"two").await.unwrap();
    assert!(again.duplicate);
    assert_eq!(again.base, second.base);
    let text = deployment.run(["pull", "T1", "--id", "reader"]).ok();
    assert!(text.contains("two") && !text.contains("forged"), "{text}");
}
