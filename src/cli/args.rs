//! The command line's grammar: global flags and the list of commands. What a command takes stands
//! with the command.
//!
//! Every flag is also an environment variable, WAYPOST_ and the flag's name; [`command`] sees to it.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Arg, ArgAction, Args, Command as ClapCommand, CommandFactory, Parser, Subcommand};

use super::commands as c;
use super::output::OutputFormat;
use super::units::parse_duration;
use crate::config::IndexAddress;
use crate::telemetry::{Filter, Format};
use crate::types::PeerName;

/// Durable publish/subscribe over QUIC without a broker in the data path
#[derive(Debug, Parser)]
#[command(
    name = "waypost",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = "First message, in one empty folder:\n  \
    waypost up              # index and a peer in one process\n  \
    waypost follow T1       # second terminal; waits for the topic\n  \
    waypost publish T1 hi   # third; creates the topic")]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Config file [default: ./config.json if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Peer name to act under [default: the only identity in certs/]
    #[arg(long, global = true, value_name = "NAME")]
    pub id: Option<PeerName>,
    /// The index: HOST:PORT or HOST:PORT#SHA256:... as `waypost id show --index` prints it
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub index: Option<IndexAddress>,
    /// Form of the data on standard output; json is one value a line on streams
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// What to log: a level, or directives such as warn,waypost::journal=debug
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<Filter>,
    /// Form of log lines
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub log_format: Option<Format>,
    /// Log to this file instead of standard error
    #[arg(long, global = true, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Give up after this long, such as 500ms, 10s, 1h
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Index and a peer in one process, for a first look
    Up(c::node::UpArgs),
    /// The whole mission in one command, in a temporary folder on free ports
    Demo(c::demo::DemoArgs),
    /// Measure: lookups, publishing, pulling, delivery, scaling; with baselines and a report
    Bench(c::bench::BenchArgs),
    /// A load generator of `bench`
    #[command(name = crate::bench::AGENT, hide = true)]
    BenchAgent,
    /// Run the index server, or change who may register
    Index(c::index::IndexArgs),
    /// Run a peer in the foreground
    Peer(c::node::PeerArgs),
    /// The interactive menus
    Menu(c::menu::MenuArgs),
    /// Create, change, delete, list and show topics
    #[command(subcommand)]
    Topic(c::topic::TopicCommand),
    /// Publish to a topic; creates it if it is missing
    Publish(c::publish::PublishArgs),
    /// Subscribe durably to topics
    Subscribe(c::subscription::SubscribeArgs),
    /// Take subscriptions back
    Unsubscribe(c::subscription::UnsubscribeArgs),
    /// Read what is new since my position
    Pull(c::read::PullArgs),
    /// Read messages as they come
    Follow(c::read::FollowArgs),
    /// My subscriptions with position, end and lag
    Subscriptions(c::subscription::SubscriptionsArgs),
    /// Who is live, where, since when, hosting what
    #[command(subcommand)]
    Peers(c::peers::PeersCommand),
    /// Leave: this peer, its subscriptions and what nobody takes over
    Deregister(c::peers::DeregisterArgs),
    /// One look at everything I can reach
    Status(c::status::StatusArgs),
    /// Numbers for monitoring, as Prometheus reads them
    Metrics(c::metrics::MetricsArgs),
    /// Identities
    #[command(subcommand)]
    Id(c::id::IdCommand),
    /// The config as it takes effect
    #[command(subcommand)]
    Config(c::config::ConfigCommand),
    /// Completions for a shell, to be sourced by it
    Completions(c::completions::CompletionsArgs),
}

/// The grammar with an environment variable for every flag.
pub fn command() -> ClapCommand {
    with_env(Cli::command())
}

fn with_env(command: ClapCommand) -> ClapCommand {
    command.mut_args(env_of).mut_subcommands(with_env)
}

fn env_of(arg: Arg) -> Arg {
    let Some(long) = arg.get_long() else {
        return arg;
    };
    let name = format!("WAYPOST_{}", long.replace('-', "_").to_uppercase());
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let arg = arg.env(name).hide_env_values(true);
    if is_switch {
        // WAYPOST_YES=1 is what people write; clap alone takes only `true`.
        return arg.value_parser(FalseyValueParser::new());
    }
    arg
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;
    use clap::error::ErrorKind;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let matches = command().try_get_matches_from(line.split_whitespace())?;
        Cli::from_arg_matches(&matches)
    }

    #[test]
    fn the_grammar_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_flag_is_an_environment_variable() {
        fn check(command: &ClapCommand) {
            for arg in command
                .get_arguments()
                .filter(|arg| arg.get_long().is_some())
            {
                let env = arg.get_env().and_then(|env| env.to_str());
                assert!(env.is_some_and(|env| env.starts_with("WAYPOST_")), "{arg}");
            }
            command.get_subcommands().for_each(check);
        }
        check(&command());
    }

    #[test]
    fn every_documented_line_parses() {
        let pin = crate::types::Fingerprint([1; 32]);
        let lines = [
            "up",
            "demo",
            "bench all --quick",
            "bench lookup --topics 1000 --peers 1,2,4 --requests 100 --then-pull -o json",
            "bench publish --size 100,1KiB --in-flight 1,256 --publishers 8 --runs 3 --duration 1s",
            "bench pull --running --yes --report r --folder /x",
            "index",
            &format!("index admit 2 {pin}"),
            "index forget 2 --keep-topics",
            "index recover --without 2 --without 3 --owner 1 --dry-run",
            "topic recover T1 --accept-loss --yes --operator",
            "peer",
            "peer --id 2",
            "menu --id 2",
            "topic create T1 --retain-bytes 1GiB --retain-age 7d",
            "topic set T1 --retain-age 7d",
            "topic delete T1",
            "topic list --mine --prefix a/",
            "topic show T1",
            "publish T1 hi",
            "publish T1 -",
            "publish T1 --file x --key k -H a:b -H c:d --min-ack 2 --no-create",
            "publish T1 hi --host 3",
            "publish T1 hi --count 100 --rate 10",
            "subscribe T1",
            "unsubscribe T1",
            "pull T1 --from -5 --max 10 --wait --group g",
            "pull T1 --from 7 --commit",
            "follow T1 T2 --from end -f %s --no-wait",
            "follow T1 --raw",
            "subscriptions",
            "peers list",
            "peers show 1",
            "deregister",
            "status",
            "metrics",
            "metrics --topics --textfile /x/waypost.prom",
            "id show",
            "id show --index",
            "config show",
            "config validate",
            "completions bash",
            &format!("--config c.json status --id 1 --index [::1]:1#{pin} -o json"),
            "status --log debug --log-format json --log-file x --timeout 5s",
        ];
        for line in lines {
            let parsed = parse(&format!("waypost {line}"));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }

    #[test]
    fn bad_lines_are_usage_errors() {
        let lines = [
            "peer --id ../x",
            "bench",
            "bench lookup --topics 0",
            "peer --id index",
            "peers show a/b",
            "topic show a\u{7f}b",
            "status --index ::1:8088",
            "status --timeout soon",
            "status --log inof",
            "publish T1 hi --file x",
            "publish T1 hi --no-create --host 3",
            "pull T1 --from 0",
            "index admit 2 abc",
            "pulish T1",
        ];
        for line in lines {
            let error = parse(&format!("waypost {line}")).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}: {error}");
        }
        let error = parse("waypost pulish T1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSubcommand);
        assert!(error.to_string().contains("'publish'"), "{error}");
    }
}
