//! A registered peer that acts for another.

use crate::common::Deployment;
use crate::hostile::*;
use waypost::transport::Connection;
use waypost::types::{Group, Offset, TopicSettings};
use waypost::wire::ErrorCode;
use waypost::wire::index::{
    ClearNotices, DeleteTopic, Deregister, Forget, ListSubscriptions, SessionReports, SetTopic,
    ShowTopic,
};
use waypost::wire::peer::{Commit, PositionValue, TopicStatus};

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
        .request(&Deregister { delete_hosted: 0 })
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
