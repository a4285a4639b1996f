//! The first evaluation: one index and several peers, every operation, many at the same time; and
//! what the logs of index and hosts hold of it.

mod common;

use std::time::Duration;

use common::{Deployment, PATIENCE, Process};
use tokio::task::{JoinSet, LocalSet};
use waypost::client::{
    Client, ClientOptions, FollowEvent, FollowOptions, IndexAddress, Message, PublisherOptions,
    PullOptions, ReadFrom, TopicFilter,
};
use waypost::transport::{Identity, KnownIndex};
use waypost::types::{Group, PeerName, TopicName, TopicSettings};
use waypost::wire::ErrorCode;
use waypost::wire::index::NoticeKind;

const PEERS: usize = 5;
const TOPICS: [&str; 3] = ["x", "y", "z"];
const MESSAGES: usize = 20;
/// Begins every body; no log line may hold it.
const BODY: &str = "the body of";

fn peer(number: usize) -> PeerName {
    number.to_string().parse().unwrap()
}

fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

fn client_with(deployment: &Deployment, identity: Identity, name: Option<PeerName>) -> Client {
    let index: IndexAddress = format!("127.0.0.1:{}", deployment.port).parse().unwrap();
    let mut options = ClientOptions::new(identity, peer(1), index);
    options.name = name;
    options.known_index = Some(KnownIndex::new(&deployment.path().join("certs")));
    options.host_patience = PATIENCE;
    options.index_patience = PATIENCE;
    Client::new(options).unwrap()
}

fn client(deployment: &Deployment, number: usize) -> Client {
    let certs = deployment.path().join("certs");
    let name = peer(number);
    let identity = Identity::load(&certs, name.as_str()).unwrap();
    client_with(deployment, identity, Some(name))
}

/// Runs all of them at once.
async fn at_once<F: Future<Output = ()> + 'static>(futures: impl IntoIterator<Item = F>) {
    let here = LocalSet::new();
    let mut tasks = JoinSet::new();
    for future in futures {
        tasks.spawn_local_on(future, &here);
    }
    while let Some(done) = here.run_until(tasks.join_next()).await {
        done.unwrap();
    }
}

/// Index, peers and their clients; those of a number stand at its place less one.
struct Cast {
    index: Process,
    peers: Vec<Process>,
    clients: Vec<Client>,
}

fn start(deployment: &Deployment) -> Cast {
    let index = deployment.index();
    let peers = (1..=PEERS)
        .map(|n| deployment.peer(peer(n).as_str()))
        .collect();
    let clients = (1..=PEERS).map(|n| client(deployment, n)).collect();
    Cast {
        index,
        peers,
        clients,
    }
}

async fn create(cast: &Cast) {
    for (owner, name) in cast.clients.iter().zip(TOPICS) {
        let settings = TopicSettings::default();
        let route = owner
            .create_topic(&topic(name), settings, None)
            .await
            .unwrap();
        assert_eq!(Some(&route.host.name), owner.name());
    }
    let all = cast.clients.iter().flat_map(|client| {
        TOPICS.map(|name| {
            let client = client.clone();
            async move {
                let settings = TopicSettings::default();
                let again = client.create_topic(&topic(name), settings, None).await;
                assert_eq!(again.unwrap_err().code(), Some(ErrorCode::TopicExists));
            }
        })
    });
    at_once(all).await;
}

async fn subscribe(cast: &Cast) {
    let all = cast.clients.iter().flat_map(|client| {
        TOPICS.map(|name| {
            let client = client.clone();
            async move {
                let group = Group::default();
                assert!(client.subscribe(&topic(name), &group).await.unwrap().new);
                assert!(!client.subscribe(&topic(name), &group).await.unwrap().new);
            }
        })
    });
    at_once(all).await;
    for client in &cast.clients {
        let (subscriptions, notices) = client.subscriptions().await.unwrap();
        let names: Vec<_> = subscriptions.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, TOPICS);
        assert_eq!(notices, []);
    }
}

/// Everybody publishes to every topic and pulls from it, at the same time, until each has it all.
async fn publish_and_pull(cast: &Cast) {
    let publishing = cast.clients.iter().flat_map(|client| {
        let publisher = client.publisher(PublisherOptions::default());
        let name = client.name().unwrap().clone();
        TOPICS.map(|to| {
            let (publisher, name) = (publisher.clone(), name.clone());
            let send = async move {
                for number in 1..=MESSAGES {
                    let message = Message::new(format!("{BODY} {number} from {name}"));
                    publisher.publish(&topic(to), message).await.unwrap();
                }
            };
            Box::pin(send) as std::pin::Pin<Box<dyn Future<Output = ()>>>
        })
    });
    let pulling = cast.clients.iter().flat_map(|client| {
        TOPICS.map(|from| {
            let client = client.clone();
            let read = async move { pull_all(&client, &topic(from)).await };
            Box::pin(read) as std::pin::Pin<Box<dyn Future<Output = ()>>>
        })
    });
    at_once(publishing.chain(pulling)).await;
}

async fn pull_all(client: &Client, from: &TopicName) {
    let mut offsets = vec![];
    let mut bodies = vec![];
    let options = PullOptions {
        wait: Duration::from_millis(200),
        ..PullOptions::default()
    };
    while offsets.len() < PEERS * MESSAGES {
        let pulled = client.pull(from, &options).await.unwrap();
        if pulled.delivery.is_empty() {
            continue;
        }
        for message in pulled.delivery.messages() {
            let message = message.unwrap();
            offsets.push(message.offset.0);
            bodies.push(String::from_utf8(message.body.to_vec()).unwrap());
        }
        client.commit(from, &pulled).await.unwrap();
    }
    assert!(
        offsets.iter().copied().eq(1..=(PEERS * MESSAGES) as u64),
        "{offsets:?}"
    );
    for number in 1..=PEERS {
        let suffix = format!("from {number}");
        let of_peer = bodies.iter().filter(|body| body.ends_with(&suffix));
        let expected = (1..=MESSAGES).map(|n| format!("{BODY} {n} {suffix}"));
        assert!(
            of_peer.eq(expected.collect::<Vec<_>>().iter()),
            "{bodies:?}"
        );
    }
    let again = client.pull(from, &PullOptions::default()).await.unwrap();
    assert!(again.delivery.is_empty());
}

/// What only looks: lists, lookups, states, positions.
async fn look(cast: &Cast) {
    let one = &cast.clients[0];
    let (topics, next) = one
        .list_topics(&TopicFilter::default(), None)
        .await
        .unwrap();
    let names: Vec<_> = topics.iter().map(|t| t.name.as_str()).collect();
    assert_eq!((names, next), (TOPICS.to_vec(), None));
    let mine = TopicFilter {
        owner: Some(peer(2)),
        ..TopicFilter::default()
    };
    let (topics, _) = one.list_topics(&mine, None).await.unwrap();
    assert_eq!(topics.len(), 1);
    assert_eq!(
        (topics[0].name.as_str(), topics[0].host.as_ref()),
        ("y", Some(&peer(2)))
    );
    let shown = one.show_topic(&topic("x")).await.unwrap();
    assert_eq!(shown.subscriber_count, PEERS as u32);
    let routes = one.routes(vec![topic("z"), topic("absent")]).await.unwrap();
    assert_eq!(routes[0].as_ref().unwrap().host.name, peer(3));
    assert_eq!(routes[1], None);
    let state = one
        .topic_state(&topic("y"), &Group::default())
        .await
        .unwrap();
    let end = (PEERS * MESSAGES) as u64 + 1;
    assert_eq!((state.start.0, state.end.0), (1, end));
    assert_eq!(state.position.unwrap().next.0, end);
    let peers = one.peers().await.unwrap();
    assert_eq!(peers.len(), PEERS);
    assert!(
        peers
            .iter()
            .all(|peer| peer.live && peer.subscriptions == 3)
    );
    assert_eq!(one.show_peer(&peer(3)).await.unwrap().hosted, 1);
    let status = one.index_status().await.unwrap();
    assert_eq!(
        (status.peers, status.topics, status.subscriptions),
        (5, 3, 15)
    );
}

/// Follow, settings, taking a subscription back, a second group.
async fn change(cast: &Cast) {
    let [one, two] = [&cast.clients[0], &cast.clients[1]];
    let options = FollowOptions {
        from: ReadFrom::End,
        ..FollowOptions::default()
    };
    let mut follower = two.follow(vec![topic("x"), topic("z")], options);
    for _ in 0..2 {
        let event = follower.next().await.unwrap().unwrap();
        assert!(matches!(event, FollowEvent::Joined { .. }), "{event:?}");
    }
    let publisher = one.publisher(PublisherOptions::default());
    for name in ["x", "z"] {
        let receipt = publisher
            .publish(&topic(name), Message::new(BODY))
            .await
            .unwrap();
        let FollowEvent::Messages(delivery) = follower.next().await.unwrap().unwrap() else {
            panic!("something else than messages");
        };
        assert_eq!(
            (delivery.topic.as_str(), delivery.from),
            (name, receipt.offset)
        );
    }
    let info = one.show_topic(&topic("x")).await.unwrap().info;
    let settings = TopicSettings {
        retain_bytes: Some(1 << 30),
        ..info.settings
    };
    let version = one
        .set_topic(&info.name, info.version, settings)
        .await
        .unwrap();
    assert!(version > info.version);
    let stale = one.set_topic(&info.name, info.version, settings).await;
    assert_eq!(stale.unwrap_err().code(), Some(ErrorCode::VersionMismatch));
    let group: Group = "readers".parse().unwrap();
    assert!(two.subscribe(&topic("x"), &group).await.unwrap().new);
    two.unsubscribe(&topic("x"), &group).await.unwrap();
    let gone = two.unsubscribe(&topic("x"), &group).await;
    assert_eq!(gone.unwrap_err().code(), Some(ErrorCode::NotSubscribed));
}

async fn delete(cast: &Cast) {
    let [one, two, three] = [&cast.clients[0], &cast.clients[1], &cast.clients[2]];
    let refused = one.delete_topic(&topic("z"), None).await;
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::Forbidden));
    let deleted = three.delete_topic(&topic("z"), None).await.unwrap();
    assert_eq!(deleted.subscribers as usize, PEERS - 1);
    let (subscriptions, notices) = two.subscriptions().await.unwrap();
    assert_eq!(subscriptions.len(), 2);
    let NoticeKind::TopicDeleted { name, by, .. } = &notices[0].what;
    assert_eq!((name, by.as_ref()), (&topic("z"), Some(&peer(3))));
    two.clear_notices(notices[0].serial).await.unwrap();
    assert_eq!(two.subscriptions().await.unwrap().1, []);
    let pulled = two.pull(&topic("z"), &PullOptions::default()).await;
    assert_eq!(pulled.unwrap_err().code(), Some(ErrorCode::TopicNotFound));
}

/// A peer leaves; another's name is freed by the operator; a third is impersonated in vain.
async fn leave(cast: &Cast, deployment: &Deployment) {
    let one = &cast.clients[0];
    let thief = client_with(deployment, Identity::ephemeral(), Some(peer(1)));
    let refused = thief.index_status().await;
    assert_eq!(
        refused.unwrap_err().code(),
        Some(ErrorCode::IdentityMismatch)
    );
    let key = Identity::load(&deployment.path().join("certs"), "index").unwrap();
    let operator = client_with(deployment, key, None);
    operator.forget_peer(&peer(4), false).await.unwrap();
    // Others can take its topics: they move, and none is lost.
    let leaving = one.deregister_step(0, false).await.unwrap();
    assert_eq!((leaving.deleted, leaving.left > 0), (0, true));
    assert_eq!(cast.clients[2].deregister(0).await.unwrap().deleted, 0);
    let left = one.peers().await.unwrap();
    let left: Vec<_> = left.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(left, ["1", "2", "5"]);
}

/// The log lines that the evaluation asks for.
fn check_logs(cast: &Cast) {
    for text in [
        "Loaded 0 registered peers",
        "Indexing server starting on",
        "New connection from",
        "Peer 2 tried to create x, but it already exists.",
        "Peer 3 deleted topic 'z'",
        "Unregistered peer 3",
        "Connection closed for",
    ] {
        cast.index.wait_for(text);
    }
    for number in 1..=PEERS {
        cast.index
            .wait_for(&format!("New user {number} registered from"));
        for name in TOPICS {
            cast.index
                .wait_for(&format!("Peer {number} subscribed to topic '{name}'"));
        }
    }
    for (host, name) in TOPICS.iter().enumerate() {
        cast.index
            .wait_for(&format!("Peer {} created topic '{name}'", host + 1));
        for number in 1..=PEERS {
            let sent = format!("Peer {number} sent message to topic '{name}'");
            assert!(cast.peers[host].wait_for(&sent).contains("first="));
            let read = format!("Peer {number} retrieved messages from topic '{name}'");
            assert!(cast.peers[host].wait_for(&read).contains("last="));
        }
    }
}

#[test]
fn every_operation_by_many_peers_at_once_and_its_log() {
    let deployment = Deployment::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let cast = start(&deployment);
    runtime.block_on(async {
        create(&cast).await;
        subscribe(&cast).await;
        publish_and_pull(&cast).await;
        look(&cast).await;
        change(&cast).await;
        delete(&cast).await;
        leave(&cast, &deployment).await;
        for client in &cast.clients {
            client.close().await;
        }
    });
    check_logs(&cast);
    let lines = cast
        .peers
        .iter()
        .chain([&cast.index])
        .flat_map(Process::lines);
    let lines: Vec<String> = lines.collect();
    assert!(
        !lines.iter().any(|line| line.contains(BODY)),
        "a body in the log"
    );
    let index = cast.index.lines();
    let carried = index
        .iter()
        .find(|l| l.contains("sent message") || l.contains("retrieved"));
    assert_eq!(carried, None, "the index carries no messages");

    // Those that left have ended by themselves.
    for (number, process) in (1..).zip(cast.peers) {
        let code = match number {
            3 | 4 => process.wait().code(),
            _ => process.terminate(),
        };
        assert_eq!(code, Some(0), "peer {number}");
    }
    let index = cast.index;
    common::signal(index.pid(), rustix::process::Signal::TERM);
    index.wait_for("Received exit signal. Shutting down...");
    assert_eq!(index.wait().code(), Some(0));
}
