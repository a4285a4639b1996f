//! What every command works with.

use std::io;
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::args::Global;
use super::error::{CliError, Exit};
use super::output::Output;
use super::who::{self, Given, Role, Who};
use crate::config::{AddressError, Config, Origin};
use crate::limits;
use crate::telemetry::{self, Filter};
use crate::transport::{KnownIndex, list_identities};
use crate::types::PeerName;

/// The validated surroundings of one command.
#[derive(Debug, Clone)]
pub struct Context {
    /// The config with flags and environment applied.
    pub config: Config,
    /// Where data goes.
    pub output: Output,
    /// `--timeout`, if given.
    pub timeout: Option<Duration>,
    /// Whether `--config` stands on the command line.
    pub config_typed: bool,
    /// Whether `--index` stands on the command line, with an address or (`id show`) without.
    pub index_typed: bool,
}

impl Context {
    /// Loads the config and lays flags and environment over it.
    pub fn new(global: &Global, matches: &ArgMatches) -> Result<Context, CliError> {
        let mut config = Config::load(global.config.as_deref())?;
        overlay(&mut config, global, matches);
        let is_typed = |flag| matches.value_source(flag) == Some(ValueSource::CommandLine);
        let index_typed = is_typed("index");
        if index_typed && global.index.is_none() {
            // clap drops the environment's address in favour of the empty flag.
            overlay_index_of_env(&mut config, std::env::var("WAYPOST_INDEX").ok())?;
        }
        Ok(Context {
            config_typed: is_typed("config"),
            index_typed,
            config,
            output: Output {
                format: global.output,
            },
            timeout: global.timeout,
        })
    }

    /// The index with its key, as one text: pinned where the config or `certs/` knows it.
    pub fn pinned_index(&self) -> Result<String, CliError> {
        let index = self.config.index_address();
        let known = KnownIndex::new(&self.config.certs_dir());
        let key = match index.fingerprint {
            Some(key) => Some(key),
            None => known.get(&index.host_port())?,
        };
        Ok(match key {
            Some(key) => format!("{}#{key}", index.host_port()),
            None => index.host_port(),
        })
    }

    /// How long to wait for one answer.
    pub fn reply_timeout(&self) -> Duration {
        self.timeout.unwrap_or(limits::REPLY_TIMEOUT)
    }

    /// The peer identities in `certs/`; none where there is no such folder.
    pub fn identities(&self) -> Result<Vec<PeerName>, CliError> {
        let certs = self.config.certs_dir();
        match list_identities(&certs) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let message = "cannot look for identities";
                Err(CliError::new("identity", Exit::Other, message)
                    .detail("searched", certs.display())
                    .detail("cause", error))
            }
            found => Ok(found.unwrap_or_default()),
        }
    }

    /// The identity that a command of this role acts under.
    pub fn who(&self, role: Role) -> Result<Who, CliError> {
        let certs = self.config.certs_dir();
        let found = self.identities()?;
        who::decide(Given::of(&self.config).as_ref(), &found, role).map_err(|e| e.in_folder(&certs))
    }
}

/// Where a global flag's value came from.
fn origin(matches: &ArgMatches, id: &str, flag: &'static str, env: &'static str) -> Origin {
    match matches.value_source(id) {
        Some(ValueSource::EnvVariable) => Origin::Env(env),
        _ => Origin::Flag(flag),
    }
}

fn overlay_index_of_env(config: &mut Config, text: Option<String>) -> Result<(), CliError> {
    if let Some(text) = text {
        let index = text.parse().map_err(|error: AddressError| {
            CliError::new("usage", Exit::Usage, error.to_string()).detail("in", "WAYPOST_INDEX")
        })?;
        config.override_index(index, Origin::Env("WAYPOST_INDEX"));
    }
    Ok(())
}

fn overlay(config: &mut Config, global: &Global, matches: &ArgMatches) {
    let of = |id, flag, env| origin(matches, id, flag, env);
    if let Some(index) = &global.index {
        config.override_index(index.clone(), of("index", "--index", "WAYPOST_INDEX"));
    }
    if let Some(id) = &global.id {
        config.override_id(id.clone(), of("id", "--id", "WAYPOST_ID"));
    }
    let level = global.log.clone();
    let file = global.log_file.clone();
    config.override_log(
        level.map(|l| (l, of("log", "--log", "WAYPOST_LOG"))),
        global
            .log_format
            .map(|f| (f, of("log_format", "--log-format", "WAYPOST_LOG_FORMAT"))),
        file.map(|f| (f, of("log_file", "--log-file", "WAYPOST_LOG_FILE"))),
    );
}

/// The kinds of commands that log differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logs {
    /// Warnings on standard error; section `log` of the config is not for them.
    OneShot,
    /// Information on standard error.
    Daemon,
    /// Information into a file, for the screen belongs to the menu.
    Menu,
}

/// What to log, how and where, for a command of this kind.
pub fn log_options(config: &Config, logs: Logs) -> telemetry::Options {
    let asked = |key| matches!(config.origin(key), Origin::Flag(_) | Origin::Env(_));
    let holds = |key| logs != Logs::OneShot || asked(key);
    let level = config.log.level.clone().filter(|_| holds("log.level"));
    let file = config.log.file.as_ref().filter(|_| holds("log.file"));
    let file = file.map(|file| config.beside(file));
    telemetry::Options {
        filter: level.unwrap_or_else(|| match logs {
            Logs::OneShot => Filter::warn(),
            Logs::Daemon | Logs::Menu => Filter::info(),
        }),
        format: config.log.format,
        file: file.or_else(|| (logs == Logs::Menu).then(|| config.beside("data/menu.log"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, command};
    use crate::telemetry::Format;
    use clap::FromArgMatches;
    use std::path::Path;

    const TEXT: &str = r#"{"peer_node": {"id": "2"},
        "log": {"level": "debug", "format": "json", "file": "w.log"}}"#;

    fn config(line: &str) -> Config {
        let matches = command()
            .try_get_matches_from(line.split_whitespace())
            .unwrap();
        let cli = Cli::from_arg_matches(&matches).unwrap();
        let mut config = Config::parse(TEXT, Path::new("x/config.json")).unwrap();
        overlay(&mut config, &cli.global, &matches);
        config
    }

    #[test]
    fn flags_win_over_the_file_wherever_they_stand() {
        for line in [
            "waypost --id 7 --index h:1 config show",
            "waypost config show --id 7 --index h:1",
        ] {
            let config = config(line);
            assert_eq!(config.peer_node.id.as_ref().unwrap().as_str(), "7");
            assert_eq!(*config.origin("peer_node.id"), Origin::Flag("--id"));
            assert_eq!(config.index_address().to_string(), "h:1");
        }
        let config = config("waypost status");
        assert_eq!(*config.origin("peer_node.id"), Origin::File { line: 1 });
    }

    #[test]
    fn one_shot_commands_stay_quiet_whatever_the_config_logs() {
        let options = log_options(&config("waypost status"), Logs::OneShot);
        assert_eq!(options.filter, Filter::warn());
        assert_eq!(options.file, None);
        let options = log_options(&config("waypost status --log trace"), Logs::OneShot);
        assert_eq!(options.filter.as_str(), "trace");
    }

    #[test]
    fn daemons_follow_the_config_and_the_menu_has_a_file() {
        let options = log_options(&config("waypost peer"), Logs::Daemon);
        assert_eq!(options.filter.as_str(), "debug");
        assert_eq!(options.format, Format::Json);
        assert_eq!(options.file.as_deref(), Some(Path::new("x/w.log")));
        let options = log_options(&Config::default(), Logs::Menu);
        assert_eq!(options.file.as_deref(), Some(Path::new("data/menu.log")));
        assert_eq!(options.filter, Filter::info());
        let options = log_options(&Config::default(), Logs::Daemon);
        assert_eq!((options.file, options.format), (None, Format::Human));
    }

    #[test]
    fn a_log_file_of_a_flag_lies_in_the_current_folder() {
        let options = log_options(&config("waypost peer --log-file a.log"), Logs::Daemon);
        let expected = std::env::current_dir().unwrap().join("a.log");
        assert_eq!(options.file, Some(expected));
    }
}
