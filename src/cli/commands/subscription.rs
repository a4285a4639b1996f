//! `waypost subscribe`, `unsubscribe` and `subscriptions`: the durable registrations.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::types::{Group, TopicName};

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
pub async fn subscribe(_ctx: &Context, _args: SubscribeArgs) -> Result<(), CliError> {
    Err(super::unbuilt("subscribe"))
}

/// Takes subscriptions back.
pub async fn unsubscribe(_ctx: &Context, _args: UnsubscribeArgs) -> Result<(), CliError> {
    Err(super::unbuilt("unsubscribe"))
}

/// Lists subscriptions.
pub async fn list(_ctx: &Context, _args: SubscriptionsArgs) -> Result<(), CliError> {
    Err(super::unbuilt("subscriptions"))
}
