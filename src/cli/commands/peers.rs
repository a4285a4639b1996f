//! `waypost peers` and `waypost deregister`: who is there, and leaving.

mod leave;

use std::net::SocketAddr;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::output::{self, Row};
use crate::cli::units;
use crate::client::TopicFilter;
use crate::clock;
use crate::types::{PeerName, TopicName, UnixMicros};
use crate::wire::index::PeerInfo;

/// Commands about peers.
#[derive(Debug, Subcommand)]
pub enum PeersCommand {
    /// List peers
    List,
    /// Show one peer
    Show(ShowArgs),
}

/// What `peers show` takes.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The peer's name
    pub name: PeerName,
}

/// What `deregister` takes.
#[derive(Debug, Args)]
pub struct DeregisterArgs {
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Lose topics that nobody else has a copy of, even where others could take them first
    #[arg(long)]
    pub discard: bool,
}

/// Runs one.
pub async fn run(ctx: &Context, command: PeersCommand) -> Result<(), CliError> {
    match command {
        PeersCommand::List => list(ctx).await,
        PeersCommand::Show(args) => show(ctx, &args.name).await,
    }
}

/// Leaves.
pub async fn deregister(ctx: &Context, args: DeregisterArgs) -> Result<(), CliError> {
    leave::run(ctx, args).await
}

/// One peer in a listing.
#[derive(Debug, Serialize)]
struct Line {
    peer: PeerName,
    live: bool,
    addresses: Vec<SocketAddr>,
    version: String,
    registered: String,
    last_seen: Option<String>,
    incarnation: u32,
    hosted: u32,
    copies: u32,
    /// Of the copies, those that are not in sync.
    behind: u32,
    largest_lag: u64,
    keeps_copies: bool,
    owned: u32,
    subscriptions: u32,
    fingerprint: String,
    #[serde(skip)]
    seen: String,
}

impl Line {
    fn new(info: PeerInfo, now: UnixMicros) -> Line {
        let seen = match (info.live, info.last_seen) {
            (true, _) => "now".to_owned(),
            (false, Some(then)) => units::ago(now, then),
            (false, None) => "-".to_owned(),
        };
        Line {
            peer: info.name,
            live: info.live,
            addresses: info.addresses,
            version: info.version,
            registered: units::rfc3339(info.registered),
            last_seen: info.last_seen.map(units::rfc3339),
            incarnation: info.incarnation,
            hosted: info.hosted,
            copies: info.copies,
            behind: info.behind,
            largest_lag: info.largest_lag,
            keeps_copies: info.keeps_copies,
            owned: info.owned,
            subscriptions: info.subscriptions,
            fingerprint: info.fingerprint.to_string(),
            seen,
        }
    }

    fn state(&self) -> &'static str {
        match (self.live, self.incarnation) {
            (true, _) => "live",
            (false, 0) => "never hosted",
            (false, _) => "away",
        }
    }

    fn places(&self) -> String {
        let places: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        match places.is_empty() {
            true => "-".to_owned(),
            false => places.join(", "),
        }
    }
}

impl Row for Line {
    const HEAD: &'static [&'static str] = &[
        "peer",
        "state",
        "address",
        "seen",
        "version",
        "hosts",
        "copies",
        "behind",
        "owns",
        "subscribes",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.peer.to_string(),
            self.state().to_owned(),
            self.places(),
            self.seen.clone(),
            self.version.clone(),
            self.hosted.to_string(),
            self.copies.to_string(),
            self.behind.to_string(),
            self.owned.to_string(),
            self.subscriptions.to_string(),
        ]
    }
}

async fn list(ctx: &Context) -> Result<(), CliError> {
    ctx.online(async |client| {
        let peers = ctx.index_answer(client, client.peers()).await?;
        let now = clock::wall_now();
        let lines: Vec<Line> = peers.into_iter().map(|peer| Line::new(peer, now)).collect();
        ctx.output.list(&lines)
    })
    .await
}

/// Hosted topics that are named; `topic list` knows all.
const NAMED: usize = 20;

async fn show(ctx: &Context, name: &PeerName) -> Result<(), CliError> {
    ctx.online(async |client| {
        let info = ctx.index_answer(client, client.show_peer(name)).await?;
        let filter = TopicFilter {
            host: Some(name.clone()),
            ..TopicFilter::default()
        };
        let page = client.list_topics(&filter, None);
        let (page, _) = ctx.index_answer(client, page).await?;
        let topics: Vec<TopicName> = page.into_iter().map(|topic| topic.name).collect();
        let line = Line::new(info, clock::wall_now());
        let mut value = json!(line);
        value["topics"] = json!(topics);
        ctx.output.value(&value, || text(&line, &topics))
    })
    .await
}

fn text(line: &Line, topics: &[TopicName]) -> String {
    let named: Vec<&str> = topics.iter().take(NAMED).map(TopicName::as_str).collect();
    let hosts = match (line.hosted as usize, named.len()) {
        (0, _) => "nothing".to_owned(),
        (all, shown) if all > shown => format!("{} and more, {all} in all", named.join(", ")),
        _ => named.join(", "),
    };
    output::fields(&[
        ("peer", line.peer.to_string()),
        ("state", line.state().to_owned()),
        ("address", line.places()),
        ("seen", line.seen.clone()),
        ("version", line.version.clone()),
        ("fingerprint", line.fingerprint.clone()),
        ("registered", line.registered.clone()),
        ("incarnation", line.incarnation.to_string()),
        ("hosts", hosts),
        ("copies", copies(line)),
        ("owns", line.owned.to_string()),
        ("subscribes", line.subscriptions.to_string()),
    ])
}

/// Copies that it keeps, hosted topics included.
fn copies(line: &Line) -> String {
    let mut kept = units::count(line.copies.into(), "topic");
    if line.behind > 0 {
        kept.push_str(&format!(", {} behind", line.behind));
        kept.push_str(&units::lag(line.largest_lag));
    }
    match line.keeps_copies {
        true => kept,
        false => format!("{kept}; it keeps none of topics that others host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Fingerprint;

    fn info(live: bool, incarnation: u32) -> PeerInfo {
        PeerInfo {
            copies: 5,
            keeps_copies: true,
            name: "1".parse().unwrap(),
            fingerprint: Fingerprint([1; 32]),
            live,
            addresses: vec!["127.0.0.1:1".parse().unwrap()],
            version: "0.1.0".into(),
            registered: UnixMicros(0),
            last_seen: Some(UnixMicros(1_000_000)),
            incarnation,
            hosted: 2,
            owned: 3,
            subscriptions: 4,
            behind: 1,
            largest_lag: 7,
        }
    }

    #[test]
    fn live_away_and_never_are_told_apart() {
        let now = UnixMicros(6_000_000);
        let cells = Line::new(info(true, 1), now).cells();
        assert_eq!(
            cells,
            [
                "1",
                "live",
                "127.0.0.1:1",
                "now",
                "0.1.0",
                "2",
                "5",
                "1",
                "3",
                "4"
            ]
        );
        assert_eq!(
            Line::new(info(false, 1), now).cells()[1..4],
            ["away", "127.0.0.1:1", "5s ago"]
        );
        assert_eq!(Line::new(info(false, 0), now).state(), "never hosted");
    }

    #[test]
    fn hosted_topics_are_named() {
        let line = Line::new(info(true, 1), UnixMicros(0));
        let topics = vec!["a".parse().unwrap(), "b".parse().unwrap()];
        assert!(text(&line, &topics).contains("hosts        a, b\n"));
        assert!(text(&line, &topics[..1]).contains("a and more, 2 in all"));
        let copies = "copies       5 topics, 1 behind by up to 7 messages\n";
        assert!(text(&line, &topics).contains(copies));
    }
}
