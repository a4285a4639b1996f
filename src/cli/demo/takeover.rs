//! A topic with two copies loses its host.

use super::actor::PATIENCE;
use super::faults::{follow, until_live};
use super::scenes::{peers, publish, read_all};
use super::script::Script;
use super::stage::{Stage, log_name, peer_name, topic_name};
use crate::cli::error::{CliError, Exit};
use crate::client::{Client, FollowOptions, Message};
use crate::types::{PeerName, TopicName, TopicSettings};

/// Copies of the topic.
const COPIES: u8 = 2;

pub(super) async fn a_host_is_killed(script: &Script, stage: &mut Stage) -> Result<(), CliError> {
    script.scene("A topic has two copies; its host is killed (kill -9) and another takes over")?;
    let from = stage.log.len();
    let [one, two, three] = [peer_name(1)?, peer_name(2)?, peer_name(3)?];
    let w = topic_name("w")?;
    let client = stage.client(&one)?;
    let settings = TopicSettings {
        replicas: COPIES,
        ..TopicSettings::default()
    };
    client.create_topic(&w, settings, Some(&two)).await?;
    in_sync(&client, &w, &[]).await?;
    let publisher = stage.publisher(&one)?;
    let receipt = publisher.publish(&w, Message::new("the first")).await?;
    let achieved = (receipt.achieved.durable, receipt.achieved.of);
    script.claim(
        "a message in w is durable on 2 of 2 copies",
        &achieved,
        &(COPIES, COPIES),
    )?;
    let before = publish(publisher.clone(), one.clone(), w.clone(), 1..=9).await?;
    script.claim(
        "nine more are acknowledged",
        &before,
        &(2..=10).collect::<Vec<u64>>(),
    )?;
    let mut follower = stage
        .client(&three)?
        .follow(vec![w.clone()], FollowOptions::default());
    let followed = follow(&mut follower, 10).await?.len();
    script.claim("peer 3 follows all ten", &followed, &10)?;

    stage.take(&log_name(&two))?.kill()?;
    script.say("Peer 2, which hosts w, is dead. Peer 1 goes on publishing.")?;
    let after = publish(publisher, one.clone(), w.clone(), 10..=19).await?;
    script.claim(
        "the next ten are acknowledged, one after the other",
        &after,
        &(11..=20).collect::<Vec<u64>>(),
    )?;
    let host = client.show_topic(&w).await?.info.host;
    script.claim(
        "another peer hosts w now",
        &host.is_some_and(|host| host != two),
        &true,
    )?;
    let followed = follow(&mut follower, 10).await?;
    let offsets: Vec<u64> = followed.iter().map(|message| message.0).collect();
    script.claim(
        "peer 3 has moved over by itself: no gap, no repeat",
        &offsets,
        &after,
    )?;
    drop(follower);

    stage.start_peer(&two).await?;
    until_live(&client, &peers()?).await?;
    in_sync(&client, &w, &[two]).await?;
    script.show(&stage.log, from, &["is away", "topic 'w'"])?;
    script.say("Peer 2 is back and keeps a copy of w again.")?;
    let all: Vec<u64> = read_all(&client, &w).await?.iter().map(|m| m.0).collect();
    script.claim("nothing is missing", &all, &(1..=20).collect::<Vec<u64>>())?;
    client.delete_topic(&w, None).await?;
    Ok(())
}

/// Waits until all copies of a topic are in sync, those of `peers` among them.
async fn in_sync(client: &Client, topic: &TopicName, peers: &[PeerName]) -> Result<(), CliError> {
    let seen = async {
        loop {
            let copies = usize::from(COPIES);
            let shown = client.wait_in_sync(topic, copies, PATIENCE).await?;
            let has_all = peers.iter().all(|peer| shown.in_sync.contains(peer));
            if shown.in_sync.len() >= copies && has_all {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, seen).await;
    waited.unwrap_or_else(|_| {
        let message = format!("the copies of topic '{topic}' do not come to be in sync");
        Err(CliError::new("demo", Exit::Other, message).detail("expected", format!("{peers:?}")))
    })
}
