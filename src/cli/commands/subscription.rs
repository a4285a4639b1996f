//! `waypost subscribe`, `unsubscribe` and `subscriptions`: the durable registrations.

mod standing;

use clap::Args;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::nearest::explained;
use crate::cli::notices;
use crate::types::{Group, TopicName};
use crate::wire::index::Notice;
use standing::Line;

/// What `subscribe` takes.
#[derive(Debug, Args)]
pub struct SubscribeArgs {
    /// The topics
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<TopicName>,
    /// Consumer group; positions are kept per group
    #[arg(long, default_value = "", hide_default_value = true)]
    pub group: Group,
}

/// What `unsubscribe` takes.
#[derive(Debug, Args)]
pub struct UnsubscribeArgs {
    /// The topics
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<TopicName>,
    /// Consumer group
    #[arg(long, default_value = "", hide_default_value = true)]
    pub group: Group,
}

/// What `subscriptions` takes.
#[derive(Debug, Args)]
pub struct SubscriptionsArgs {}

/// Subscribes.
pub async fn subscribe(ctx: &Context, args: SubscribeArgs) -> Result<(), CliError> {
    ctx.online(async |client| {
        for topic in &args.topics {
            let subscribed = async {
                match client.subscribe(topic, &args.group).await {
                    Ok(subscribed) => Ok(subscribed),
                    Err(error) => Err(explained(client, topic, error).await),
                }
            };
            let subscribed = ctx.index_answer(client, subscribed).await?;
            let host = subscribed.route.host;
            let value = json!({
                "topic": topic,
                "group": args.group,
                "new": subscribed.new,
                "host": host.name,
                "addresses": host.addresses,
                "fingerprint": host.fingerprint.to_string(),
            });
            ctx.output.value(&value, || match subscribed.new {
                true => format!("Subscribed to topic '{topic}'."),
                false => format!("Already subscribed to topic '{topic}'."),
            })?;
        }
        Ok(())
    })
    .await
}

/// Takes subscriptions back.
pub async fn unsubscribe(ctx: &Context, args: UnsubscribeArgs) -> Result<(), CliError> {
    ctx.online(async |client| {
        for topic in &args.topics {
            let done = client.unsubscribe(topic, &args.group);
            ctx.index_answer(client, done).await?;
            let value = json!({ "topic": topic, "group": args.group, "subscribed": false });
            ctx.output
                .value(&value, || format!("Unsubscribed from topic '{topic}'."))?;
        }
        Ok(())
    })
    .await
}

/// Lists subscriptions, and shows what waits to be told.
pub async fn list(ctx: &Context, _args: SubscriptionsArgs) -> Result<(), CliError> {
    ctx.online(async |client| {
        let found = ctx.index_answer(client, client.subscriptions()).await?;
        let (subscriptions, waiting) = found;
        let lines = standing::lines(client, subscriptions).await;
        show(ctx, &lines, &waiting)?;
        // Cleared only now: what was not shown is shown again.
        let cleared = notices::clear(client, &waiting);
        ctx.index_answer(client, cleared).await
    })
    .await
}

fn show(ctx: &Context, lines: &[Line], waiting: &[Notice]) -> Result<(), CliError> {
    if ctx.output.is_json() {
        let told: Vec<_> = waiting.iter().map(notices::json).collect();
        let value = json!({ "subscriptions": lines, "notices": told });
        return ctx.output.value(&value, String::new);
    }
    ctx.output.list(lines)?;
    let told: String = waiting
        .iter()
        .map(|notice| notices::text(notice) + "\n")
        .collect();
    ctx.output.text(&told)
}
