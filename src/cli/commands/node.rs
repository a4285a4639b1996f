//! `waypost peer` and `waypost up`: the daemons that host.

use clap::Args;
use tokio::sync::oneshot;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::hosting::Hosting;
use crate::cli::indexing::Indexing;
use crate::cli::who::{Role, Who};
use crate::cli::{output, signals};
use crate::types::PeerName;

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

/// Runs index and peer in one process: the index on a thread of its own, as every role has.
pub async fn up(ctx: &Context, args: UpArgs) -> Result<(), CliError> {
    let shutdown = signals::shutdown()?;
    let end_holder = args.take_over.take_over;
    let name = hosting_name(ctx, Role::Up)?;
    let index = Indexing::prepare(ctx, end_holder).await?;
    let mut address = ctx.config.index_address();
    address.fingerprint = Some(index.fingerprint());
    let (stop, stopped) = oneshot::channel::<()>();
    let (ended, mut has_ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("waypost-index".to_owned())
        .spawn(move || drop(ended.send(run_index(index, stopped))))
        .map_err(thread_failed)?;
    let hosting = Hosting::prepare(ctx, &name, address, end_holder).await?;
    let peer = hosting.run(
        async {
            tokio::select! {
                () = shutdown => {}
                _ = &mut has_ended, if !has_ended.is_terminated() => {}
            }
        },
        |_| say_what_next(&name),
    );
    let peer = peer.await;
    // The peer first, so that its leaving is recorded.
    drop(stop);
    let index = match has_ended.is_terminated() {
        true => Err(thread_failed("the index ended by itself; its log says why")),
        false => has_ended
            .await
            .map_err(thread_failed)
            .and_then(|ended| ended),
    };
    peer.map(drop).and(index)
}
/// Runs a peer.
pub async fn peer(ctx: &Context, args: PeerArgs) -> Result<(), CliError> {
    let shutdown = signals::shutdown()?;
    let name = hosting_name(ctx, Role::Peer)?;
    let index = ctx.config.index_address();
    let hosting = Hosting::prepare(ctx, &name, index, args.take_over.take_over).await?;
    hosting.run(shutdown, |_| {}).await.map(drop)
}

fn hosting_name(ctx: &Context, role: Role) -> Result<PeerName, CliError> {
    match ctx.who(role)? {
        Who::Known(name) | Who::Make(name) => Ok(name),
        Who::Ask => Err(
            CliError::new("usage", Exit::Usage, "which peer is this to be?")
                .help("name it with --id"),
        ),
    }
}

fn run_index(index: Indexing, stopped: oneshot::Receiver<()>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(thread_failed)?;
    // The sender is dropped when it is time.
    runtime.block_on(index.run(async { drop(stopped.await) }))
}

fn thread_failed(cause: impl std::fmt::Display) -> CliError {
    CliError::new("internal", Exit::Other, "the index's thread failed").detail("cause", cause)
}

fn say_what_next(name: &PeerName) {
    output::say(&format!(
        "index and peer {name} are up; in another terminal: waypost follow T1, and: waypost publish T1 hi"
    ));
}
