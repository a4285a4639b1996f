//! `waypost index`: the index server, and what only its operator may do.

mod recover;

use clap::{Args, Subcommand};
use serde_json::json;

use super::node::TakeOver;
use crate::cli::ask;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::indexing::Indexing;
use crate::cli::signals;
use crate::index::admission;
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
    /// The data folder was restored from a backup: freeze all topics until `index recover`
    #[arg(long)]
    pub restored: bool,
}

/// Commands of the holder of the index's key.
#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// Let a key register under a name from another machine
    Admit(AdmitArgs),
    /// Free a peer's name
    Forget(ForgetArgs),
    /// After a restore from a backup: learn from the peers what the backup lacks
    Recover(recover::RecoverArgs),
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
pub async fn run(ctx: &Context, args: IndexArgs) -> Result<(), CliError> {
    match args.command {
        None => serve(ctx, args.take_over.take_over, args.restored).await,
        Some(IndexCommand::Admit(args)) => admit(ctx, &args),
        Some(IndexCommand::Forget(args)) => forget(ctx, args).await,
        Some(IndexCommand::Recover(args)) => recover::run(ctx, args).await,
    }
}

async fn serve(ctx: &Context, end_holder: bool, restored: bool) -> Result<(), CliError> {
    let shutdown = signals::shutdown()?;
    let mut index = Indexing::prepare(ctx, end_holder).await?;
    index.restored = restored;
    index.run(shutdown).await
}

/// The list is a file that the index reads again when it changes: no index need be running.
fn admit(ctx: &Context, args: &AdmitArgs) -> Result<(), CliError> {
    let certs = ctx.config.certs_dir();
    let AdmitArgs { name, fingerprint } = args;
    let new = admission::admit(&certs, name, *fingerprint).map_err(|error| {
        CliError::new(
            "storage",
            Exit::Other,
            "cannot change the list of admitted keys",
        )
        .detail("file", certs.join("admitted").display())
        .detail("cause", error)
    })?;
    let value = json!({ "name": name, "fingerprint": fingerprint.to_string(), "new": new });
    ctx.output.value(&value, || match new {
        true => format!("Peer {name} is admitted with {fingerprint}."),
        false => format!("Peer {name} was admitted with {fingerprint} already."),
    })
}

fn confirm_loss(name: &PeerName) -> Result<(), CliError> {
    if ask::can_ask() {
        return ask::confirm(&format!(
            "Forget peer {name} and delete the topics that it hosts?"
        ));
    }
    let what = format!("forgetting peer {name} deletes the topics that it hosts");
    Err(CliError::new("needs-confirmation", Exit::Usage, what)
        .help("repeat with --yes, or keep them: --keep-topics"))
}

async fn forget(ctx: &Context, args: ForgetArgs) -> Result<(), CliError> {
    let name = &args.name;
    if !args.yes && !args.keep_topics {
        confirm_loss(name)?;
    }
    let client = ctx.operator_client()?;
    let forgotten = client.forget_peer(name, args.keep_topics).await?;
    client.close().await;
    let value = json!({
        "name": name, "deleted": forgotten.deleted, "kept": forgotten.kept,
    });
    ctx.output.value(&value, || {
        let (deleted, kept) = (forgotten.deleted, forgotten.kept);
        format!(
            "The name {name} is free. Topics deleted: {deleted}; waiting for its next key: {kept}."
        )
    })
}
