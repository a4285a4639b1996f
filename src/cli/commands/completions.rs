//! `waypost completions`.

use clap::Args;
use clap_complete::Shell;

use crate::cli::args;
use crate::cli::error::CliError;
use crate::cli::output::{Output, OutputFormat};

/// What `completions` takes.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "waypost", &mut script);
    let output = Output {
        format: OutputFormat::Table,
    };
    output.text(&String::from_utf8_lossy(&script))
}
