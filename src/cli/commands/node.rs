//! `waypost peer` and `waypost up`: the daemons that host.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::hosting::Hosting;
use crate::cli::signals;
use crate::cli::who::{Role, Who};

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
pub async fn peer(ctx: &Context, args: PeerArgs) -> Result<(), CliError> {
    let shutdown = signals::shutdown()?;
    let name = match ctx.who(Role::Peer)? {
        Who::Known(name) | Who::Make(name) => name,
        // Only the menu asks.
        Who::Ask => return Err(super::unbuilt("peer")),
    };
    let index = ctx.config.index_address();
    let hosting = Hosting::prepare(ctx, &name, index, args.take_over.take_over).await?;
    hosting.run(shutdown, |_| {}).await.map(drop)
}
