//! Deleting, leaving, stopping, and what the logs hold in the end.

use super::scenes::{as_created, owned_and_hosted, peers, pull};
use super::script::Script;
use super::stage::{INDEX, Stage, log_name, peer_name, topic_name};
use crate::cli::error::CliError;
use crate::client::Client;
use crate::types::{PeerName, TopicName};
use crate::wire::ErrorCode;
use crate::wire::index::NoticeKind;

/// What the logs of the index must hold, and the words for it.
const EVENTS: [(&str, &str); 9] = [
    ("started", "Indexing server starting on"),
    ("loaded", "Loaded "),
    ("connection", "New connection from"),
    ("registered", "New user"),
    ("created", "created topic"),
    ("subscribed", "subscribed to topic"),
    ("deleted", "deleted topic"),
    ("unregistered", "Unregistered peer"),
    ("exit", "Received exit signal. Shutting down..."),
];
/// What the logs of the hosts must hold.
const HOST_EVENTS: [(&str, &str); 2] = [
    ("sent", "sent message to topic"),
    ("retrieved", "retrieved messages from topic"),
];

pub(super) async fn a_topic_is_deleted(script: &Script, stage: &mut Stage) -> Result<(), CliError> {
    script.scene("Peer 3 deletes its topic z")?;
    let from = stage.log.len();
    let [one, two, three] = [peer_name(1)?, peer_name(2)?, peer_name(3)?];
    let z = topic_name("z")?;
    let refused = stage.client(&one)?.delete_topic(&z, None).await.err();
    let code = refused.and_then(|error| error.code());
    script.claim(
        "peer 1, who does not own it, may not",
        &code,
        &Some(ErrorCode::Forbidden),
    )?;
    let deleted = stage.client(&three)?.delete_topic(&z, None).await?;
    script.claim(
        "the two other subscribers are to be told",
        &deleted.subscribers,
        &2,
    )?;
    stage
        .log
        .wait_for(INDEX, "Peer 3 deleted topic 'z'", from)
        .await?;
    script.show(&stage.log, from, &["deleted topic"])?;
    for peer in [&one, &two] {
        let told = told(&stage.client(peer)?).await?;
        let claim = format!("peer {peer} is told: Topic 'z' was deleted by peer 3");
        script.claim(&claim, &told, &vec![(z.clone(), Some(three.clone()))])?;
    }
    let pulled = stage.client(&one)?.pull(&z, &Default::default()).await;
    let code = pulled.err().and_then(|error| error.code());
    script.claim(
        "nobody can pull from z",
        &code,
        &Some(ErrorCode::TopicNotFound),
    )?;
    let rest = owned_and_hosted(&stage.client(&one)?).await?;
    script.claim("x and y stand as before", &rest, &as_created(&["x", "y"])?)
}

/// The notices that wait for a peer, shown once.
async fn told(client: &Client) -> Result<Vec<(TopicName, Option<PeerName>)>, CliError> {
    let (_, notices) = client.subscriptions().await?;
    if let Some(last) = notices.last() {
        client.clear_notices(last.serial).await?;
    }
    let deleted = notices.into_iter().map(|notice| {
        let NoticeKind::TopicDeleted { name, by, .. } = notice.what;
        (name, by)
    });
    Ok(deleted.collect())
}

pub(super) async fn a_peer_leaves(script: &Script, stage: &mut Stage) -> Result<(), CliError> {
    script.scene("Peer 3 deregisters")?;
    let from = stage.log.len();
    let three = peer_name(3)?;
    stage.client(&three)?.deregister(0).await?;
    stage.close_client(&three).await;
    let status = stage.take(&log_name(&three))?.ends().await?;
    script.claim(
        "its process ends by itself with exit code 0",
        &status.code(),
        &Some(0),
    )?;
    stage
        .log
        .wait_for(INDEX, "Unregistered peer 3", from)
        .await?;
    script.show(&stage.log, from, &["Unregistered peer"])?;
    let client = stage.client(&peer_name(1)?)?;
    let left: Vec<PeerName> = client.peers().await?.into_iter().map(|p| p.name).collect();
    script.claim("peers 1 and 2 are left", &left, &peers()?[..2].to_vec())?;
    let again = pull(&client, &topic_name("x")?).await?;
    script.claim("topic x is served as before", &again, &vec![])
}

pub(super) async fn curtain(script: &Script, stage: &mut Stage) -> Result<(), CliError> {
    script.scene("Everything is stopped (SIGTERM)")?;
    let from = stage.log.len();
    let mut codes = vec![];
    for peer in &peers()?[..2] {
        stage.close_client(peer).await;
        codes.push(stage.take(&log_name(peer))?.stop().await?.code());
    }
    codes.push(stage.take(INDEX)?.stop().await?.code());
    stage
        .log
        .wait_for(INDEX, "Received exit signal", from)
        .await?;
    script.show(&stage.log, from, &["Received exit signal"])?;
    script.claim(
        "both peers and the index end with exit code 0",
        &codes,
        &vec![Some(0); 3],
    )
}

pub(super) fn the_logs(script: &Script, stage: &mut Stage) -> Result<(), CliError> {
    script.scene("What the logs hold")?;
    let lines = stage.log.lines();
    let count = |index: bool, text: &str| {
        let of = lines.iter().filter(|line| (line.source == INDEX) == index);
        of.filter(|line| line.text.contains(text)).count()
    };
    let events = EVENTS.map(|(event, text)| (event, count(true, text)));
    let host_events = HOST_EVENTS.map(|(event, text)| (event, count(false, text)));
    let carried = HOST_EVENTS.map(|(_, text)| count(true, text));
    let say = |who: &str, events: &[(&str, usize)]| {
        let parts: Vec<String> = events.iter().map(|(e, n)| format!("{e} {n}")).collect();
        script.say(&format!("{who}: {}", parts.join(", ")))
    };
    say("index", &events)?;
    say("hosts", &host_events)?;
    let missing: Vec<&str> = events
        .iter()
        .chain(&host_events)
        .filter(|(_, count)| *count == 0)
        .map(|(event, _)| *event)
        .collect();
    script.claim(
        "each kind of event is in the log where it belongs",
        &missing,
        &vec![],
    )?;
    script.claim("the index carried no messages", &carried, &[0, 0])
}
