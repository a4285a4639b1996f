//! `waypost demo`: the mission in one command.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::CliError;

/// What `demo` takes.
#[derive(Debug, Args)]
pub struct DemoArgs {}

/// Runs the demonstration.
pub async fn run(_ctx: &Context, _args: DemoArgs) -> Result<(), CliError> {
    Err(super::unbuilt("demo"))
}
