//! `waypost menu`: the interactive menus.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::menu;

/// What `menu` takes.
#[derive(Debug, Args)]
pub struct MenuArgs {}

/// Runs the menus.
pub async fn run(ctx: &Context, _args: MenuArgs) -> Result<(), CliError> {
    menu::run(ctx).await
}
