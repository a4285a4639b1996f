//! Starting, topics, subscriptions and messages.

use std::future::Future;

use tokio::task::{JoinSet, LocalSet};

use super::script::Script;
use super::stage::{INDEX, Stage, log_name, peer_name, topic_name};
use crate::cli::error::{CliError, Exit};
use crate::client::{
    Client, ClientError, ClientOptions, Message, Publisher, PullOptions, ReadFrom, TopicFilter,
};
use crate::transport::{Identity, KnownIndex};
use crate::types::{Group, PeerName, TopicName, TopicSettings};
use crate::wire::ErrorCode;

/// The peers of the demonstration.
pub(super) const PEERS: usize = 3;
/// Its topics; peer 1 creates the first, and so on.
pub(super) const TOPICS: [&str; PEERS] = ["x", "y", "z"];
/// These topics stay where they are, whoever is killed; another scene has a topic with two copies.
const ONE_COPY: TopicSettings = TopicSettings {
    retain_bytes: None,
    retain_age_ms: None,
    replicas: 1,
    min_in_sync: 1,
};
/// Messages that each peer publishes to each topic.
const MESSAGES: u64 = 5;
/// Begins the body of every message, so that a log that holds one can be told.
const GREETING: &str = "Greetings number";

/// A message as read: offset and body.
pub(super) type Read = (u64, String);

/// The peers' names.
pub(super) fn peers() -> Result<Vec<PeerName>, CliError> {
    (1..=PEERS).map(peer_name).collect()
}

/// Runs all of them at once; answers in their order, or the first failure.
pub(super) async fn at_once<T, F>(futures: impl IntoIterator<Item = F>) -> Result<Vec<T>, CliError>
where
    T: 'static,
    F: Future<Output = Result<T, CliError>> + 'static,
{
    let mut tasks = JoinSet::new();
    let here = LocalSet::new();
    for (place, future) in futures.into_iter().enumerate() {
        tasks.spawn_local_on(async move { (place, future.await) }, &here);
    }
    let mut done = vec![];
    while let Some(joined) = here.run_until(tasks.join_next()).await {
        let (place, result) = joined.map_err(|error| {
            CliError::new("internal", Exit::Other, "a task failed").detail("cause", error)
        })?;
        done.push((place, result?));
    }
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, value)| value).collect())
}

/// Everything in a topic.
pub(super) async fn read_all(client: &Client, topic: &TopicName) -> Result<Vec<Read>, CliError> {
    let mut options = PullOptions {
        from: ReadFrom::Start,
        ..PullOptions::default()
    };
    let mut all = vec![];
    loop {
        let pulled = client.pull(topic, &options).await?;
        if pulled.delivery.is_empty() {
            return Ok(all);
        }
        all.extend(messages_of(&pulled.delivery)?);
        options.from = ReadFrom::Offset(pulled.delivery.next);
    }
}

/// What is new for this peer, and its position moved on.
pub(super) async fn pull(client: &Client, topic: &TopicName) -> Result<Vec<Read>, CliError> {
    let pulled = client.pull(topic, &PullOptions::default()).await?;
    if !pulled.delivery.is_empty() {
        client.commit(topic, &pulled).await?;
    }
    messages_of(&pulled.delivery)
}

/// The messages of a delivery.
pub(super) fn messages_of(delivery: &crate::client::Delivery) -> Result<Vec<Read>, CliError> {
    let bad = |source| ClientError::BadData {
        topic: delivery.topic.clone(),
        source,
    };
    delivery
        .messages()
        .map(|message| {
            let message = message.map_err(bad)?;
            Ok((
                message.offset.0,
                String::from_utf8_lossy(&message.body).into_owned(),
            ))
        })
        .collect()
}

/// What the `number`th message of a peer says.
pub(super) fn greeting(number: u64, peer: &PeerName) -> String {
    format!("{GREETING} {number} from peer {peer}")
}

/// Sends messages `numbers`, all in flight together; answers their offsets.
pub(super) async fn publish(
    publisher: Publisher,
    peer: PeerName,
    topic: TopicName,
    numbers: std::ops::RangeInclusive<u64>,
) -> Result<Vec<u64>, CliError> {
    let mut pending = vec![];
    for number in numbers {
        let message = Message::new(greeting(number, &peer));
        pending.push(publisher.send(&topic, message).await?);
    }
    let mut offsets = vec![];
    for answer in pending {
        offsets.push(answer.await?.offset.0);
    }
    Ok(offsets)
}

pub(super) async fn opening(script: &Script, stage: &mut Stage) -> Result<(), CliError> {
    script.scene("The index starts")?;
    script.say(&format!(
        "Everything lies in {}, on loopback.",
        stage.path().display()
    ))?;
    stage.start_index().await?;
    stage
        .log
        .wait_for(INDEX, "Loaded 0 registered peers", 0)
        .await?;
    script.show(&stage.log, 0, &["Loaded ", "Indexing server starting on"])
}

pub(super) async fn peers_arrive(script: &Script, stage: &mut Stage) -> Result<(), CliError> {
    script.scene("Three peers start, each with a key of its own")?;
    let from = stage.log.len();
    let peers = peers()?;
    for peer in &peers {
        stage.start_peer(peer).await?;
        let registered = format!("New user {peer} registered");
        stage.log.wait_for(INDEX, &registered, from).await?;
    }
    script.show(
        &stage.log,
        from,
        &["New connection from", "New user", "listening on"],
    )?;
    let client = stage.client(&peers[0])?;
    let live = client.peers().await?.into_iter().filter(|peer| peer.live);
    let live: Vec<PeerName> = live.map(|peer| peer.name).collect();
    script.claim("the index knows peers 1, 2 and 3 as live", &live, &peers)?;
    let again = client.index().registered().map(|reply| reply.new);
    script.claim(
        "the same key under the same name logs in",
        &again,
        &Some(false),
    )?;
    script.say("Peer 1 already registered. Logging in.")?;
    let code = impostor(stage, &peers[0]).await?;
    let mismatch = Some(ErrorCode::IdentityMismatch);
    script.claim("another key under the name 1 is refused", &code, &mismatch)
}

/// What somebody with another key hears under a name that is taken.
async fn impostor(stage: &Stage, name: &PeerName) -> Result<Option<ErrorCode>, CliError> {
    let index = stage.index_address().parse();
    let index = index.map_err(|_| CliError::new("internal", Exit::Other, "no index address"))?;
    let mut options = ClientOptions::new(Identity::ephemeral(), name.clone(), index);
    options.known_index = Some(KnownIndex::new(&stage.path().join("certs")));
    let client = Client::new(options)?;
    let answer = client.index_status().await;
    client.close().await;
    Ok(answer.err().and_then(|error| error.code()))
}

pub(super) async fn topics(script: &Script, stage: &mut Stage) -> Result<(), CliError> {
    script.scene("Each peer creates a topic, then everybody tries to create all of them")?;
    let from = stage.log.len();
    for (peer, topic) in peers()?.iter().zip(TOPICS) {
        let client = stage.client(peer)?;
        client
            .create_topic(&topic_name(topic)?, ONE_COPY, None)
            .await?;
        let created = format!("Peer {peer} created topic '{topic}'");
        stage.log.wait_for(INDEX, &created, from).await?;
    }
    script.show(&stage.log, from, &["created topic"])?;
    let mut tries = vec![];
    for peer in peers()? {
        for topic in TOPICS {
            let (client, peer) = (stage.client(&peer)?, peer.clone());
            let topic = topic_name(topic)?;
            tries.push(async move {
                let result = client.create_topic(&topic, ONE_COPY, None).await;
                Ok((peer, topic, result.err().and_then(|error| error.code())))
            });
        }
    }
    let answers = at_once(tries).await?;
    for (peer, topic, code) in &answers {
        if *code == Some(ErrorCode::TopicExists) {
            script.say(&format!(
                "Peer {peer} tried to create {topic}, but it already exists."
            ))?;
        }
    }
    let codes: Vec<_> = answers.into_iter().map(|(_, _, code)| code).collect();
    let conflicts = vec![Some(ErrorCode::TopicExists); PEERS * TOPICS.len()];
    script.claim(
        "nine times it was a conflict, and nothing changed",
        &codes,
        &conflicts,
    )?;
    script.claim(
        "each topic is owned and hosted by the peer that created it",
        &owned_and_hosted(&stage.client(&peer_name(1)?)?).await?,
        &as_created(&TOPICS)?,
    )
}

/// Name, owner and host of all topics.
pub(super) async fn owned_and_hosted(
    client: &Client,
) -> Result<Vec<(TopicName, Option<PeerName>, Option<PeerName>)>, CliError> {
    let (topics, _) = client.list_topics(&TopicFilter::default(), None).await?;
    let topics = topics.into_iter();
    Ok(topics
        .map(|topic| (topic.name, topic.owner, topic.host))
        .collect())
}

/// What [`owned_and_hosted`] answers as long as nothing has moved.
#[allow(clippy::type_complexity)] // a row of a table
pub(super) fn as_created(
    topics: &[&str],
) -> Result<Vec<(TopicName, Option<PeerName>, Option<PeerName>)>, CliError> {
    let row =
        |(topic, peer): (&&str, PeerName)| Ok((topic_name(topic)?, Some(peer.clone()), Some(peer)));
    topics.iter().zip(peers()?).map(row).collect()
}

pub(super) async fn subscriptions(script: &Script, stage: &mut Stage) -> Result<(), CliError> {
    script.scene("All three subscribe to all topics at the same time")?;
    let from = stage.log.len();
    let mut all = vec![];
    for peer in peers()? {
        for topic in TOPICS {
            let (client, topic) = (stage.client(&peer)?, topic_name(topic)?);
            all.push(async move { Ok(client.subscribe(&topic, &Group::default()).await?.new) });
        }
    }
    let new = at_once(all).await?;
    script.claim(
        "nine subscriptions are new",
        &new,
        &vec![true; PEERS * TOPICS.len()],
    )?;
    for peer in peers()? {
        for topic in TOPICS {
            let subscribed = format!("Peer {peer} subscribed to topic '{topic}'");
            stage.log.wait_for(INDEX, &subscribed, from).await?;
        }
    }
    script.show(&stage.log, from, &["subscribed to topic"])?;
    subscribed(script, stage, &TOPICS).await
}

/// Claims that each peer subscribes to exactly these topics.
pub(super) async fn subscribed(
    script: &Script,
    stage: &mut Stage,
    topics: &[&str],
) -> Result<(), CliError> {
    let mut found = vec![];
    for peer in peers()? {
        let (subscriptions, _) = stage.client(&peer)?.subscriptions().await?;
        let names = subscriptions.iter().map(|s| s.name.to_string());
        found.push(names.collect::<Vec<_>>());
    }
    let expected = vec![topics.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>(); PEERS];
    script.claim(
        "the index lists the subscriptions of each peer",
        &found,
        &expected,
    )
}

pub(super) async fn messages(script: &Script, stage: &mut Stage) -> Result<(), CliError> {
    script.scene("All publish to all topics at the same time, then all pull")?;
    let from = stage.log.len();
    let mut sends = vec![];
    for peer in peers()? {
        for topic in TOPICS {
            let publisher = stage.publisher(&peer)?;
            sends.push(publish(
                publisher,
                peer.clone(),
                topic_name(topic)?,
                1..=MESSAGES,
            ));
        }
    }
    let offsets: Vec<u64> = at_once(sends).await?.concat();
    script.claim(
        "45 messages are acknowledged as durable",
        &offsets.len(),
        &45,
    )?;
    let mut reads = vec![];
    for peer in peers()? {
        for topic in TOPICS {
            let (client, topic) = (stage.client(&peer)?, topic_name(topic)?);
            reads.push(async move { pull(&client, &topic).await });
        }
    }
    let read = at_once(reads).await?;
    whole_and_in_order(script, &read)?;
    nothing_new(script, stage).await?;
    traffic_is_logged(stage, from).await?;
    script.show(
        &stage.log,
        from,
        &["sent message to topic", "retrieved messages from topic"],
    )?;
    let bodies = stage
        .log
        .lines()
        .iter()
        .filter(|line| line.text.contains(GREETING))
        .count();
    script.claim("no log line holds a message", &bodies, &0)
}

/// Claims about `read`: one entry for each peer and topic.
fn whole_and_in_order(script: &Script, read: &[Vec<Read>]) -> Result<(), CliError> {
    let per_topic = MESSAGES * PEERS as u64;
    let offsets: Vec<Vec<u64>> = read
        .iter()
        .map(|r| r.iter().map(|m| m.0).collect())
        .collect();
    let expected = vec![(1..=per_topic).collect::<Vec<u64>>(); PEERS * TOPICS.len()];
    script.claim(
        "each peer pulled offsets 1 to 15 of each topic",
        &offsets,
        &expected,
    )?;
    let of_peer = |read: &[Read], peer: &PeerName| -> Vec<String> {
        let suffix = format!("from peer {peer}");
        read.iter()
            .map(|m| m.1.clone())
            .filter(|body| body.ends_with(&suffix))
            .collect()
    };
    for peer in peers()? {
        let sent: Vec<String> = (1..=MESSAGES).map(|n| greeting(n, &peer)).collect();
        let found: Vec<_> = read.iter().map(|read| of_peer(read, &peer)).collect();
        let claim = format!("every message of peer {peer} is there once, in the order of sending");
        script.claim(&claim, &found, &vec![sent; read.len()])?;
    }
    let same = (0..TOPICS.len()).all(|topic| {
        let mut copies = read.iter().skip(topic).step_by(TOPICS.len());
        let first = copies.next();
        copies.all(|copy| Some(copy) == first)
    });
    script.claim("all peers read the same from a topic", &same, &true)
}

async fn nothing_new(script: &Script, stage: &mut Stage) -> Result<(), CliError> {
    let client = stage.client(&peer_name(1)?)?;
    for topic in TOPICS {
        let again = pull(&client, &topic_name(topic)?).await?;
        let claim = format!("peer 1 pulls again: No new messages in topic '{topic}'");
        script.claim(&claim, &again, &vec![])?;
    }
    Ok(())
}

/// Waits until each host has logged what each peer sent and retrieved.
async fn traffic_is_logged(stage: &Stage, from: usize) -> Result<(), CliError> {
    for (host, topic) in peers()?.iter().zip(TOPICS) {
        for peer in peers()? {
            let sent = format!("Peer {peer} sent message to topic '{topic}'");
            stage.log.wait_for(&log_name(host), &sent, from).await?;
            let read = format!("Peer {peer} retrieved messages from topic '{topic}'");
            stage.log.wait_for(&log_name(host), &read, from).await?;
        }
    }
    Ok(())
}
