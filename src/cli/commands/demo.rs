//! `waypost demo`: the mission in one command.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::demo;
use crate::cli::error::CliError;

/// What `demo` takes.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave the folder with everything in it, and say where it is
    #[arg(long)]
    pub keep: bool,
}

/// Runs the demonstration.
pub async fn run(ctx: &Context, args: DemoArgs) -> Result<(), CliError> {
    demo::run(ctx, args.keep).await
}
