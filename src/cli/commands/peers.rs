//! `waypost peers` and `waypost deregister`: who is there, and leaving.

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::types::PeerName;

/// Commands about peers.
#[derive(Debug, Subcommand)]
pub enum PeersCommand {
    /// List peers
    List,
    /// Show one peer
    Show(ShowArgs),
}

/// What `peers show` takes.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The peer's name
    pub name: PeerName,
}

/// What `deregister` takes.
#[derive(Debug, Args)]
pub struct DeregisterArgs {
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// Runs one.
pub async fn run(_ctx: &Context, command: PeersCommand) -> Result<(), CliError> {
    match command {
        PeersCommand::List => Err(super::unbuilt("peers list")),
        PeersCommand::Show(_) => Err(super::unbuilt("peers show")),
    }
}

/// Leaves.
pub async fn deregister(_ctx: &Context, _args: DeregisterArgs) -> Result<(), CliError> {
    Err(super::unbuilt("deregister"))
}
