//! `waypost index`: the index server, and what only its operator may do.

use clap::{Args, Subcommand};

use super::node::TakeOver;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::types::{Fingerprint, PeerName};

/// What `index` takes.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct IndexArgs {
    /// An operator command instead of the server.
    #[command(subcommand)]
    pub command: Option<IndexCommand>,
    /// About the data folder's holder.
    #[command(flatten)]
    pub take_over: TakeOver,
}

/// Commands of the holder of the index's key.
#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// Let a key register under a name from another machine
    Admit(AdmitArgs),
    /// Free a peer's name
    Forget(ForgetArgs),
}

/// What `index admit` takes.
#[derive(Debug, Args)]
pub struct AdmitArgs {
    /// The peer's name
    pub name: PeerName,
    /// Its key, SHA256:... as `waypost id show` prints it
    pub fingerprint: Fingerprint,
}

/// What `index forget` takes.
#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// The peer's name
    pub name: PeerName,
    /// Keep its topics for the next key that registers the name from the same storage
    #[arg(long)]
    pub keep_topics: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// Runs the server or an operator command.
pub async fn run(_ctx: &Context, args: IndexArgs) -> Result<(), CliError> {
    match args.command {
        None => Err(super::unbuilt("index")),
        Some(IndexCommand::Admit(_)) => Err(super::unbuilt("index admit")),
        Some(IndexCommand::Forget(_)) => Err(super::unbuilt("index forget")),
    }
}
