//! What is killed and comes back.

use std::time::Duration;

use super::actor::PATIENCE;
use super::scenes::{
    Read, TOPICS, as_created, at_once, greeting, messages_of, owned_and_hosted, peers, publish,
    pull, read_all, subscribed,
};
use super::script::Script;
use super::stage::{INDEX, Stage, log_name, peer_name, topic_name};
use crate::cli::error::{CliError, Exit};
use crate::client::{Client, FollowEvent, FollowOptions, Follower};
use crate::types::PeerName;

/// Messages that each of two peers publishes while the index is down.
const DURING_OUTAGE: u64 = 10;
/// How often the index is asked about who is live.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Waits until exactly these peers are live.
pub(super) async fn until_live(client: &Client, live: &[PeerName]) -> Result<(), CliError> {
    let seen = async {
        loop {
            let peers = client.peers().await?;
            let now = peers
                .into_iter()
                .filter(|peer| peer.live)
                .map(|peer| peer.name);
            if now.collect::<Vec<_>>() == live {
                return Ok(());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, seen).await;
    waited.unwrap_or_else(|_| {
        let message = "the index does not see who is live";
        Err(CliError::new("demo", Exit::Other, message).detail("expected", format!("{live:?}")))
    })
}

pub(super) async fn a_peer_is_killed(script: &Script, stage: &mut Stage) -> Result<(), CliError> {
    script.scene("Peer 2 is killed without warning (kill -9) and comes back")?;
    let from = stage.log.len();
    let [one, two, three] = [peer_name(1)?, peer_name(2)?, peer_name(3)?];
    let (x, y) = (topic_name("x")?, topic_name("y")?);
    let client = stage.client(&one)?;
    let before = read_all(&client, &y).await?;
    let key = client.show_peer(&two).await?.fingerprint;

    stage.take(&log_name(&two))?.kill()?;
    let publisher = stage.publisher(&three)?;
    let sent = publish(publisher, three.clone(), x.clone(), 6..=6).await?;
    script.claim("meanwhile topic x goes on", &sent, &vec![16])?;
    until_live(&client, &[one.clone(), three.clone()]).await?;
    script.say("The index has seen that peer 2 is away.")?;

    stage.start_peer(&two).await?;
    until_live(&client, &peers()?).await?;
    script.show(
        &stage.log,
        from,
        &["is away", "listening on", "session with the index"],
    )?;
    let after = client.show_peer(&two).await?.fingerprint;
    script.claim("it is the same peer under the same key", &after, &key)?;
    script.claim(
        "topic y holds all its messages",
        &read_all(&client, &y).await?,
        &before,
    )?;
    let publisher = stage.publisher(&one)?;
    let sent = publish(publisher, one.clone(), y.clone(), 6..=6).await?;
    script.claim("the next message in y has offset 16", &sent, &vec![16])?;
    let new = pull(&stage.client(&three)?, &y).await?;
    let expected: Vec<Read> = vec![(16, greeting(6, &one))];
    script.claim(
        "peer 3's position was kept: it pulls only that one",
        &new,
        &expected,
    )
}

pub(super) async fn the_index_is_killed(
    script: &Script,
    stage: &mut Stage,
) -> Result<(), CliError> {
    script.scene("The index is killed (kill -9) while messages flow")?;
    let [one, two, three] = [peer_name(1)?, peer_name(2)?, peer_name(3)?];
    let x = topic_name("x")?;
    let mut follower = stage
        .client(&two)?
        .follow(vec![x.clone()], FollowOptions::default());
    let caught_up = follow(&mut follower, 1).await?;
    let offsets: Vec<u64> = caught_up.iter().map(|message| message.0).collect();
    script.claim("peer 2 follows x from where it stood", &offsets, &vec![16])?;

    stage.take(INDEX)?.kill()?;
    let from = stage.log.len();
    script.say("There is no index now.")?;
    let numbers = 7..=6 + DURING_OUTAGE;
    let mut sends = vec![];
    for peer in [&one, &three] {
        let publisher = stage.publisher(peer)?;
        sends.push(publish(publisher, peer.clone(), x.clone(), numbers.clone()));
    }
    let sent = at_once(sends).await?.concat().len();
    script.claim("20 messages are acknowledged without an index", &sent, &20)?;
    let followed = follow(&mut follower, 20).await?;
    let offsets: Vec<u64> = followed.iter().map(|message| message.0).collect();
    let expected: Vec<u64> = (17..=36).collect();
    script.claim(
        "peer 2 has followed all of them without a gap",
        &offsets,
        &expected,
    )?;
    drop(follower);
    let pulled: Vec<u64> = pull(&stage.client(&one)?, &x)
        .await?
        .iter()
        .map(|m| m.0)
        .collect();
    let expected: Vec<u64> = (16..=36).collect();
    script.claim("peer 1 pulls them as well", &pulled, &expected)?;

    stage.start_index().await?;
    stage
        .log
        .wait_for(INDEX, "Loaded 3 registered peers", from)
        .await?;
    let client = stage.client(&one)?;
    until_live(&client, &peers()?).await?;
    let shown = [
        "Loaded ",
        "Indexing server starting on",
        "session with the index",
    ];
    script.show(&stage.log, from, &shown)?;
    let topics = owned_and_hosted(&client).await?;
    script.claim(
        "the index is back with all topics",
        &topics,
        &as_created(&TOPICS)?,
    )?;
    subscribed(script, stage, &TOPICS).await
}

/// Follows until `count` messages have come, and commits.
pub(super) async fn follow(follower: &mut Follower, count: usize) -> Result<Vec<Read>, CliError> {
    let mut messages: Vec<Read> = vec![];
    let following = async {
        while messages.len() < count {
            match follower.next().await? {
                Some(FollowEvent::Messages(delivery)) => {
                    messages.extend(messages_of(&delivery)?);
                    follower.commit(&delivery.topic, delivery.next).await?;
                }
                Some(_) => {}
                None => break,
            }
        }
        Ok(())
    };
    match tokio::time::timeout(PATIENCE, following).await {
        Ok(followed) => followed.map(|()| messages),
        Err(_) => Err(
            CliError::new("demo", Exit::Other, "what was followed did not come")
                .detail("expected", format!("{count} messages"))
                .detail("found", format!("{} messages", messages.len())),
        ),
    }
}
