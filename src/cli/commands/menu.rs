//! `waypost menu`: the interactive menus.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::CliError;

/// What `menu` takes.
#[derive(Debug, Args)]
pub struct MenuArgs {}

/// Runs the menus.
pub async fn run(_ctx: &Context, _args: MenuArgs) -> Result<(), CliError> {
    Err(super::unbuilt("menu"))
}
