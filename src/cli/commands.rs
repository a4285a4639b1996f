//! One file per group of commands: what they take and what they do.

pub mod bench;
pub mod completions;
pub mod config;
pub mod demo;
pub mod id;
pub mod index;
pub mod menu;
pub mod metrics;
pub mod node;
pub mod peers;
pub mod publish;
pub mod read;
pub mod status;
pub mod subscription;
pub mod topic;

use super::args::Command;
use super::context::{Context, Logs};
use super::error::CliError;

/// How a command logs.
pub fn logs_of(command: &Command) -> Logs {
    match command {
        Command::Up(_) | Command::Peer(_) => Logs::Daemon,
        Command::Index(index::IndexArgs { command: None, .. }) => Logs::Daemon,
        Command::Menu(_) => Logs::Menu,
        _ => Logs::OneShot,
    }
}

/// Runs a command.
pub async fn run(ctx: &Context, command: Command) -> Result<(), CliError> {
    match command {
        Command::Up(args) => node::up(ctx, args).await,
        Command::Demo(args) => demo::run(ctx, args).await,
        Command::Bench(args) => bench::run(ctx, args).await,
        Command::BenchAgent => Ok(crate::bench::run_agent().await?),
        Command::Index(args) => index::run(ctx, args).await,
        Command::Peer(args) => node::peer(ctx, args).await,
        Command::Menu(args) => menu::run(ctx, args).await,
        Command::Topic(command) => topic::run(ctx, command).await,
        Command::Publish(args) => publish::run(ctx, args).await,
        Command::Subscribe(args) => subscription::subscribe(ctx, args).await,
        Command::Unsubscribe(args) => subscription::unsubscribe(ctx, args).await,
        Command::Pull(args) => read::pull(ctx, args).await,
        Command::Follow(args) => read::follow(ctx, args).await,
        Command::Subscriptions(args) => subscription::list(ctx, args).await,
        Command::Peers(command) => peers::run(ctx, command).await,
        Command::Deregister(args) => peers::deregister(ctx, args).await,
        Command::Status(args) => status::run(ctx, args).await,
        Command::Metrics(args) => metrics::run(ctx, args).await,
        Command::Id(command) => id::run(ctx, command).await,
        Command::Config(command) => config::run(ctx, command).await,
        Command::Completions(args) => completions::run(&args),
    }
}
