//! `waypost status`: one look at everything that can be reached.

mod look;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::CliError;

/// What `status` takes.
#[derive(Debug, Args)]
pub struct StatusArgs {}

/// Looks.
pub async fn run(ctx: &Context, _args: StatusArgs) -> Result<(), CliError> {
    ctx.online(async |client| {
        let (lines, unreachable) = look::everything(ctx, client).await?;
        ctx.output.list(&lines)?;
        unreachable.map_or(Ok(()), Err)
    })
    .await
}
