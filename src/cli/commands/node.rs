//! `waypost peer` and `waypost up`: the daemons that host.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::CliError;

/// What daemons with a data folder take.
#[derive(Debug, Args)]
pub struct TakeOver {
    /// End the process that holds the data folder, if it is ours and suspended or stuck
    #[arg(long)]
    pub take_over: bool,
}

/// What `up` takes.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// About the data folder's holder.
    #[command(flatten)]
    pub take_over: TakeOver,
}

/// What `peer` takes.
#[derive(Debug, Args)]
pub struct PeerArgs {
    /// About the data folder's holder.
    #[command(flatten)]
    pub take_over: TakeOver,
}

/// Runs index and peer in one process.
pub async fn up(_ctx: &Context, _args: UpArgs) -> Result<(), CliError> {
    Err(super::unbuilt("up"))
}

/// Runs a peer.
pub async fn peer(_ctx: &Context, _args: PeerArgs) -> Result<(), CliError> {
    Err(super::unbuilt("peer"))
}
