//! `index recover`.

use clap::Args;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::{output, units, wait};
use crate::client::{Client, ClientError};
use crate::types::PeerName;
use crate::wire::index::recovery::{RecoverIndex, RecoveringIndex};

/// How often peers that are still telling are waited for; each wait is some seconds.
const WAITS: usize = 15;

/// What `index recover` takes.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Go on without what this peer holds; may be given several times
    #[arg(long, value_name = "PEER")]
    pub without: Vec<PeerName>,
    /// Who shall own topics that the index does not know [default: their hosts]
    #[arg(long, value_name = "PEER")]
    pub owner: Option<PeerName>,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

pub(super) async fn run(ctx: &Context, args: RecoverArgs) -> Result<(), CliError> {
    let client = ctx.operator_client()?;
    let recovered = recover(&client, args).await;
    client.close().await;
    let (value, text) = recovered?;
    ctx.output.value(&value, || text)
}

async fn recover(
    client: &Client,
    args: RecoverArgs,
) -> Result<(serde_json::Value, String), CliError> {
    let asked = ask(client, &args);
    let found = wait::saying("peers to tell what they hold", asked).await?;
    for line in lines(&found) {
        output::say(&line);
    }
    if !args.dry_run {
        if !found.missing.is_empty() {
            return Err(missing(&found));
        }
        rebuild(client, &args, &found).await?;
    }
    let value = json!({
        "dry_run": args.dry_run,
        "told": found.told,
        "missing": found.missing,
        "behind": found.behind,
        "unknown": found.unknown,
        "copied": found.copied,
        "offline": found.offline,
        "name_taken": found.taken,
    });
    let topics = units::count(found.left, "topic");
    let text = match args.dry_run {
        true => format!("Nothing was changed; {topics} would be rebuilt."),
        false => format!("The index is recovered; {topics} were rebuilt."),
    };
    Ok((value, text))
}

fn request(args: &RecoverArgs, round: Option<u64>, rebuild: bool) -> RecoverIndex {
    RecoverIndex {
        round,
        rebuild,
        without: args.without.clone(),
        owner: args.owner.clone(),
    }
}

/// Asks all peers, and waits for those that are there.
async fn ask(client: &Client, args: &RecoverArgs) -> Result<RecoveringIndex, ClientError> {
    let mut found = client.recover_index(&request(args, None, false)).await?;
    for _ in 0..WAITS {
        if found.telling == 0 {
            break;
        }
        let again = request(args, Some(found.round), false);
        found = client.recover_index(&again).await?;
    }
    Ok(found)
}

/// Takes step after step.
async fn rebuild(
    client: &Client,
    args: &RecoverArgs,
    found: &RecoveringIndex,
) -> Result<(), CliError> {
    let bar = wait::progress(Some(found.left), "rebuilding topics");
    let step = request(args, Some(found.round), true);
    let mut left = u64::MAX;
    while left > 0 {
        let done = client.recover_index(&step).await?;
        // Each step takes topics out of what was gathered, so that this ends.
        left = done.left;
        bar.set_position(found.left.saturating_sub(left));
    }
    bar.finish_and_clear();
    Ok(())
}

fn names(peers: &[PeerName]) -> String {
    let names: Vec<&str> = peers.iter().map(PeerName::as_str).collect();
    match names.is_empty() {
        true => "nobody".into(),
        false => names.join(", "),
    }
}

fn lines(found: &RecoveringIndex) -> Vec<String> {
    let told = format!("told what they hold: {}", names(&found.told));
    let missing = (!found.missing.is_empty())
        .then(|| format!("registered, but have not told: {}", names(&found.missing)));
    let counted = [
        (found.behind, "of which a peer knows more than the index"),
        (found.unknown, "that the index does not know"),
        (
            found.copied,
            "with several copies, which grow their in-sync sets anew",
        ),
        (
            found.offline,
            "which nobody can host: whoever hosted them last has not told",
        ),
        (
            found.taken.len() as u64,
            "left alone, for another topic has their name",
        ),
    ];
    let counted = counted.into_iter().filter(|(count, _)| *count > 0);
    let counted = counted.map(|(count, what)| format!("{}, {what}", units::count(count, "topic")));
    [told].into_iter().chain(missing).chain(counted).collect()
}

fn missing(found: &RecoveringIndex) -> CliError {
    let missing = names(&found.missing);
    let message =
        format!("not all registered peers have told what they hold: {missing} is missing");
    CliError::new("needs-confirmation", Exit::Usage, message).help(
        "start them and repeat; or, if they will not come: waypost index recover --without PEER",
    )
}
