//! The command line: arguments in, data on standard output, an exit code out.
//!
//! | module | subject |
//! |---|---|
//! | [`args`] | global flags and the list of commands |
//! | [`commands`] | one file per group of commands: arguments and what they do |
//! | [`context`] | config, output and identity as a command finds them |
//! | [`demo`] | the demonstration |
//! | [`error`] | errors for people and programs, exit codes |
//! | [`menu`] | the interactive menus |
//! | [`output`] | tables and JSON |
//! | [`who`] | which identity a command acts under |
//! | [`online`] | clients of index and hosts, and how long they are waited for |
//! | [`notices`] | what the index kept to be told |
//! | [`nearest`] | the topic that was probably meant |
//! | [`received`] | messages in the forms in which they are printed |
//! | [`ask`] | questions to the person at the terminal |
//! | [`wait`] | waiting that says for what |
//! | [`hosting`] | running a peer: for `peer`, `up` and the menu |
//! | [`indexing`] | running the index: for `index` and `up` |
//! | [`erase`] | erasing what a deregistered peer has stored |
//! | [`takeover`] | ending the process that holds a data folder |
//! | [`signals`] | SIGINT and SIGTERM |
//! | [`units`] | bytes and durations |

pub mod args;
pub mod ask;
pub mod commands;
pub mod context;
pub mod demo;
pub mod erase;
pub mod error;
pub mod hosting;
pub mod indexing;
pub mod menu;
pub mod nearest;
pub mod notices;
pub mod online;
pub mod output;
pub mod received;
pub mod signals;
pub mod takeover;
pub mod units;
pub mod wait;
pub mod who;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches};

use crate::{memory, telemetry};
use args::{Cli, Command};
use context::Context;
use error::{CliError, Exit};

/// Runs the process's command line.
pub fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    let (cli, matches) = match parse(&line) {
        Ok(parsed) => parsed,
        Err(error) => return report_usage(&error, wants_json(&line)),
    };
    let json = cli.global.output == output::OutputFormat::Json;
    match run(cli, &matches) {
        Ok(()) => code(Exit::Ok),
        Err(error) => report(&error, json),
    }
}

fn parse(line: &[OsString]) -> Result<(Cli, ArgMatches), clap::Error> {
    let matches = args::command().try_get_matches_from(line)?;
    Ok((Cli::from_arg_matches(&matches)?, matches))
}

fn run(cli: Cli, matches: &ArgMatches) -> Result<(), CliError> {
    // Needs neither a config nor a runtime, and is sourced by shells in any folder.
    if let Command::Completions(args) = &cli.command {
        return commands::completions::run(args);
    }
    match &cli.command {
        Command::Index(args) if args.command.is_none() => memory::on_huge_pages(),
        Command::Pull(_) => memory::keep_large_buffers(),
        _ => {}
    }
    let context = Context::new(&cli.global, matches)?;
    telemetry::init(&context::log_options(
        &context.config,
        commands::logs_of(&cli.command),
    ))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            CliError::new("runtime", Exit::Other, "cannot start").detail("cause", error)
        })?;
    let result = runtime.block_on(commands::run(&context, cli.command));
    let result = result.map_err(|error| context.with_identity(error));
    // A thread that reads standard input would keep the process until the next line.
    runtime.shutdown_background();
    result
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}

fn report(error: &CliError, json: bool) -> ExitCode {
    if error.exit() != Exit::Ok {
        output::say_error(error, json);
    }
    code(error.exit())
}

/// Help and versions are data; anything else is a usage error in clap's words.
fn report_usage(error: &clap::Error, json: bool) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return code(Exit::Ok);
    }
    let text = error.to_string();
    match (text.strip_prefix("error: "), json) {
        (Some(rest), true) => {
            let message = rest.lines().next().unwrap_or_default();
            let usage = CliError::new("usage", Exit::Usage, message).help("waypost --help");
            report(&usage, true)
        }
        (Some(rest), false) => {
            let _ = write!(std::io::stderr(), "error[usage]: {rest}");
            code(Exit::Usage)
        }
        // The help in place of a missing command.
        (None, _) => {
            let _ = error.print();
            code(Exit::Usage)
        }
    }
}

/// Whether a line that does not parse asks for JSON.
fn wants_json(line: &[OsString]) -> bool {
    let words: Vec<_> = line.iter().map(|word| word.to_string_lossy()).collect();
    let asked = words
        .iter()
        .any(|w| *w == "-ojson" || *w == "-o=json" || *w == "--output=json")
        || words
            .windows(2)
            .any(|pair| matches!(&*pair[0], "-o" | "--output") && pair[1] == "json");
    asked || std::env::var_os("WAYPOST_OUTPUT").is_some_and(|value| value == "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_found_in_lines_that_do_not_parse() {
        let line = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        for text in [
            "w x -o json",
            "w -ojson",
            "w --output=json x",
            "w --output json",
        ] {
            assert!(wants_json(&line(text)), "{text}");
        }
        assert!(!wants_json(&line("w -o table json")));
    }
}
