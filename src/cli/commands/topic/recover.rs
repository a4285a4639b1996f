//! `topic recover`.

use serde_json::json;

use super::RecoverArgs;
use crate::cli::ask;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::nearest::explained;
use crate::cli::output;
use crate::client::Client;
use crate::types::{PeerName, TopicName};
use crate::wire::index::recovery::{RecoveringTopic, Survivor};

pub(super) async fn run(ctx: &Context, args: RecoverArgs) -> Result<(), CliError> {
    if args.operator {
        let client = ctx.operator_client()?;
        let recovered = recover(ctx, &client, &args).await;
        client.close().await;
        return recovered;
    }
    ctx.online(async |client| recover(ctx, client, &args).await)
        .await
}

async fn step(
    client: &Client,
    name: &TopicName,
    survivor: Option<&PeerName>,
) -> Result<RecoveringTopic, CliError> {
    match client.recover_topic(name, survivor).await {
        Ok(answer) => Ok(answer),
        Err(error) => Err(explained(client, name, error).await),
    }
}

async fn recover(ctx: &Context, client: &Client, args: &RecoverArgs) -> Result<(), CliError> {
    let name = &args.topic;
    let found = ctx.index_answer(client, step(client, name, None)).await?;
    lines(&found).iter().for_each(|line| output::say(line));
    let best = found.survivors.first().ok_or_else(|| nothing_left(name))?;
    if !args.accept_loss {
        return shown(ctx, name, &found, None);
    }
    if !args.yes {
        confirm(name, best)?;
    }
    let done = step(client, name, Some(&best.peer));
    let done = ctx.index_answer(client, done).await?;
    shown(ctx, name, &done, Some(best))
}

fn confirm(name: &TopicName, best: &Survivor) -> Result<(), CliError> {
    let what = format!(
        "open topic '{name}' with the copy of peer {}, which ends before offset {}, and give up what it lacks",
        best.peer, best.end
    );
    if ask::can_ask() {
        return ask::confirm(&format!("Really {what}?"));
    }
    let message = format!("to {what} needs a confirmation");
    Err(CliError::new("needs-confirmation", Exit::Usage, message)
        .help("look at what is left, then repeat with --yes"))
}

fn nothing_left(name: &TopicName) -> CliError {
    let message = format!("no live peer has a copy of topic '{name}'");
    CliError::new("no-live-host", Exit::Unavailable, message)
        .help("start the peers that may have one; or give the topic up: waypost topic delete")
}

fn lines(found: &RecoveringTopic) -> Vec<String> {
    let copies = found.survivors.iter().map(|copy| {
        let damaged = if copy.damaged { ", damaged" } else { "" };
        format!(
            "peer {} has a copy up to offset {} under epoch {}{damaged}",
            copy.peer,
            copy.end.0.saturating_sub(1),
            copy.known
        )
    });
    let lost = found.lost.iter().map(|peer| {
        format!("peer {peer} has every acknowledged message, and is not here; what only it has would be lost")
    });
    copies.chain(lost).chain(gap(found)).collect()
}

/// What is known to be missing.
fn gap(found: &RecoveringTopic) -> Option<String> {
    let reported = found.reported_end?;
    let best = found.survivors.first()?;
    let host = found.host.as_ref().map_or("-", PeerName::as_str);
    Some(match reported > best.end {
        true => format!(
            "its host {host} has reported offsets up to {}: {} to {} are lost, and any after the last report",
            reported.0 - 1,
            best.end,
            reported.0 - 1
        ),
        false => format!(
            "its host {host} has reported nothing beyond that, but may have taken more after its last report"
        ),
    })
}

fn shown(
    ctx: &Context,
    name: &TopicName,
    found: &RecoveringTopic,
    survivor: Option<&Survivor>,
) -> Result<(), CliError> {
    let copy = |copy: &Survivor| {
        json!({
            "peer": copy.peer,
            "end": copy.end.0,
            "known": copy.known.to_string(),
            "damaged": copy.damaged,
        })
    };
    let value = json!({
        "topic": name,
        "id": found.topic.to_string(),
        "copies": found.survivors.iter().map(copy).collect::<Vec<_>>(),
        "lost_copies": found.lost,
        "reported_end": found.reported_end.map(|end| end.0),
        "host": survivor.map(|survivor| &survivor.peer),
        "epoch": found.epoch.map(|epoch| epoch.to_string()),
    });
    ctx.output.value(&value, || match survivor {
        Some(survivor) => format!(
            "Topic '{name}' is hosted by peer {} now; its next message gets offset {}.",
            survivor.peer, survivor.end
        ),
        None => "Nothing was changed; to go on with the first of these: --accept-loss".into(),
    })
}
