//! `waypost status`: one look at everything that can be reached.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::CliError;

/// What `status` takes.
#[derive(Debug, Args)]
pub struct StatusArgs {}

/// Looks.
pub async fn run(_ctx: &Context, _args: StatusArgs) -> Result<(), CliError> {
    Err(super::unbuilt("status"))
}
