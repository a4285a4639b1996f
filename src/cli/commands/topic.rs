//! `waypost topic`: topics and their settings.

pub(in crate::cli) mod change;
mod look;
mod recover;
mod relocate;

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::units::{UnitError, parse_bytes, parse_duration};
use crate::limits;
use crate::types::{PeerName, TopicName};

/// Commands about topics.
#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Create topics
    Create(CreateArgs),
    /// Change a topic's settings; those not named stay
    Set(SetArgs),
    /// Delete a topic with all its messages
    Delete(DeleteArgs),
    /// List topics
    List(ListArgs),
    /// Show one topic
    Show(ShowArgs),
    /// Move a topic to another host, without a message lost or out of order
    Move(MoveArgs),
    /// Open a topic again whose copies in sync are gone for good, with what is left of it
    Recover(RecoverArgs),
}

/// A setting that may be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit<T> {
    /// At most this.
    At(T),
    /// No limit.
    Unlimited,
}

fn limit<T>(text: &str, parse: fn(&str) -> Result<T, UnitError>) -> Result<Limit<T>, UnitError> {
    match text {
        "unlimited" => Ok(Limit::Unlimited),
        text => parse(text).map(Limit::At),
    }
}

fn limit_bytes(text: &str) -> Result<Limit<u64>, UnitError> {
    limit(text, parse_bytes)
}

fn limit_age(text: &str) -> Result<Limit<Duration>, UnitError> {
    limit(text, parse_duration)
}

/// How long messages are kept.
#[derive(Debug, Args)]
pub struct Retention {
    /// Keep at most this much, such as 10GiB, or unlimited [default: unlimited]
    #[arg(long, value_name = "SIZE", value_parser = limit_bytes)]
    pub retain_bytes: Option<Limit<u64>>,
    /// Keep at most this long, such as 12h or 7d, or unlimited [default: unlimited]
    #[arg(long, value_name = "DURATION", value_parser = limit_age)]
    pub retain_age: Option<Limit<Duration>>,
}

/// How many copies are kept.
#[derive(Debug, Args)]
pub struct Copies {
    /// Copies to keep, the host's included [default: 2]
    #[arg(long, value_name = "N", value_parser = copies())]
    pub replicas: Option<u8>,
    /// Take no messages while fewer copies than this are in sync [default: 1]
    #[arg(long, value_name = "N", value_parser = copies())]
    pub min_in_sync: Option<u8>,
}

fn copies() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(1..=limits::COPIES as i64)
}

/// What `topic create` takes.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The topics
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<TopicName>,
    /// How long messages are kept.
    #[command(flatten)]
    pub retention: Retention,
    /// How many copies are kept.
    #[command(flatten)]
    pub copies: Copies,
    /// The peer that is to host [default: my own if it runs, else the least loaded live one]
    #[arg(long, value_name = "PEER")]
    pub host: Option<PeerName>,
}

/// What `topic set` takes.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The topic
    pub topic: TopicName,
    /// How long messages are kept.
    #[command(flatten)]
    pub retention: Retention,
    /// How many copies are kept.
    #[command(flatten)]
    pub copies: Copies,
}

/// What `topic move` takes.
#[derive(Debug, Args)]
pub struct MoveArgs {
    /// The topic
    pub topic: TopicName,
    /// Who is to host it [default: whom the index chooses]
    #[arg(long, value_name = "PEER")]
    pub to: Option<PeerName>,
}

/// What `topic recover` takes.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The topic
    pub topic: TopicName,
    /// Give up the messages that no copy left has; without it, only say what is left
    #[arg(long)]
    pub accept_loss: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Act with the index's key instead of the owner's
    #[arg(long)]
    pub operator: bool,
}

/// What `topic delete` takes.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The topic
    pub topic: TopicName,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// What `topic list` takes.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those that I own
    #[arg(long)]
    pub mine: bool,
    /// Only names that begin so
    #[arg(long, default_value = "", hide_default_value = true)]
    pub prefix: String,
}

/// What `topic show` takes.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The topic
    pub topic: TopicName,
}

/// Runs one.
pub async fn run(ctx: &Context, command: TopicCommand) -> Result<(), CliError> {
    match command {
        TopicCommand::Create(args) => change::create(ctx, args).await,
        TopicCommand::Set(args) => change::set(ctx, args).await,
        TopicCommand::Delete(args) => change::delete(ctx, args).await,
        TopicCommand::List(args) => look::list(ctx, args).await,
        TopicCommand::Show(args) => look::show(ctx, args).await,
        TopicCommand::Move(args) => relocate::run(ctx, args).await,
        TopicCommand::Recover(args) => recover::run(ctx, args).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_can_be_switched_off() {
        assert_eq!(limit_bytes("1KiB"), Ok(Limit::At(1024)));
        assert_eq!(limit_bytes("unlimited"), Ok(Limit::Unlimited));
        assert_eq!(limit_age("7d"), Ok(Limit::At(Duration::from_secs(604_800))));
        assert!(limit_age("soon").is_err());
    }
}
