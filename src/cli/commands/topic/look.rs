//! `topic list` and `show`.

use std::time::Duration;

use serde::Serialize;

use super::{ListArgs, ShowArgs};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::nearest::explained;
use crate::cli::online::own_name;
use crate::cli::output::{self, Row};
use crate::cli::units;
use crate::client::{Client, TopicFilter};
use crate::types::{PeerName, TopicName, TopicSettings, UnixMicros};
use crate::wire::index::{BehindCopy, ReportedTopic, ShownTopic, TopicInfo, TopicPhase};

/// One topic in a listing.
#[derive(Debug, Serialize)]
struct Line {
    topic: TopicName,
    id: String,
    owner: Option<PeerName>,
    host: Option<PeerName>,
    host_live: bool,
    phase: &'static str,
    #[serde(flatten)]
    log: Log,
    #[serde(flatten)]
    settings: Settings,
}

/// What the host last reported; advisory.
#[derive(Debug, Default, Serialize)]
struct Log {
    start: Option<u64>,
    end: Option<u64>,
    messages: Option<u64>,
    bytes: Option<u64>,
    last_append: Option<String>,
    reported_age_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Settings {
    retain_bytes: Option<u64>,
    retain_age_ms: Option<u64>,
    replicas: u8,
    min_in_sync: u8,
}

impl From<Option<ReportedTopic>> for Log {
    fn from(reported: Option<ReportedTopic>) -> Log {
        let Some(ReportedTopic { metadata, age_ms }) = reported else {
            return Log::default();
        };
        Log {
            start: Some(metadata.start),
            end: Some(metadata.end),
            messages: Some(metadata.count()),
            bytes: Some(metadata.bytes),
            last_append: Some(metadata.last_append)
                .filter(|time| *time != UnixMicros(0))
                .map(units::rfc3339),
            reported_age_ms: age_ms,
        }
    }
}

impl From<TopicInfo> for Line {
    fn from(info: TopicInfo) -> Line {
        Line {
            topic: info.name,
            id: info.topic.to_string(),
            owner: info.owner,
            host: info.host,
            host_live: info.host_live,
            phase: phase(info.phase),
            log: info.reported.into(),
            settings: Settings {
                retain_bytes: info.settings.retain_bytes,
                retain_age_ms: info.settings.retain_age_ms,
                replicas: info.settings.replicas,
                min_in_sync: info.settings.min_in_sync,
            },
        }
    }
}

impl Line {
    fn host_text(&self) -> String {
        match &self.host {
            Some(host) if self.host_live => host.to_string(),
            Some(host) => format!("{host} (away)"),
            None => "-".to_owned(),
        }
    }
}

fn or_dash<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

impl Row for Line {
    const HEAD: &'static [&'static str] = &["topic", "owner", "host", "messages", "size"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.topic.to_string(),
            or_dash(self.owner.as_ref(), ToString::to_string),
            self.host_text(),
            or_dash(self.log.messages, |n| n.to_string()),
            or_dash(self.log.bytes, units::bytes),
        ]
    }
}

pub(super) async fn list(ctx: &Context, args: ListArgs) -> Result<(), CliError> {
    ctx.online(async |client| {
        let owner = args.mine.then(|| own_name(client)).transpose()?;
        let filter = TopicFilter {
            prefix: args.prefix,
            owner,
            host: None,
        };
        pages(ctx, client, &filter).await
    })
    .await
}

/// Prints page by page, so that a listing of a million topics costs the memory of a thousand.
async fn pages(ctx: &Context, client: &Client, filter: &TopicFilter) -> Result<(), CliError> {
    let mut listing = ctx.output.listing()?;
    let mut after = None;
    loop {
        let page = client.list_topics(filter, after.as_ref());
        let (topics, next) = ctx.index_answer(client, page).await?;
        let lines: Vec<Line> = topics.into_iter().map(Line::from).collect();
        listing.page(&lines)?;
        match next {
            Some(next) => after = Some(next),
            None => return listing.end::<Line>(),
        }
    }
}

pub(super) async fn show(ctx: &Context, args: ShowArgs) -> Result<(), CliError> {
    let name = &args.topic;
    ctx.online(async |client| {
        let shown = async {
            match client.show_topic(name).await {
                Ok(shown) => Ok(shown),
                Err(error) => Err(explained(client, name, error).await),
            }
        };
        let shown = ctx.index_answer(client, shown).await?;
        let shown = Shown::from(shown);
        ctx.output.value(&shown, || shown.text())
    })
    .await
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    line: Line,
    epoch: String,
    version: u64,
    addresses: Vec<String>,
    in_sync: Vec<PeerName>,
    /// Copies that are not in sync.
    behind: Vec<Behind>,
    handing_to: Option<PeerName>,
    /// Messages that the index holds.
    held: u64,
    held_since: Option<String>,
    copies: Vec<PeerName>,
    subscribers: Vec<PeerName>,
    subscriber_count: u32,
    #[serde(skip)]
    keeps: String,
}

/// A copy that is not in sync.
#[derive(Debug, Serialize)]
struct Behind {
    peer: PeerName,
    /// Messages that it lacks, as far as known.
    messages: Option<u64>,
    behind_ms: Option<u64>,
}

impl From<BehindCopy> for Behind {
    fn from(copy: BehindCopy) -> Behind {
        let BehindCopy {
            peer,
            messages,
            behind_ms,
        } = copy;
        Behind {
            peer,
            messages,
            behind_ms,
        }
    }
}

impl Behind {
    fn text(&self) -> String {
        let peer = &self.peer;
        let since = self.behind_ms.map(Duration::from_millis).map(units::age);
        let since = since.map_or_else(String::new, |age| format!(", for {age}"));
        match self.messages {
            Some(messages) => format!("{peer} by {}{since}", units::count(messages, "message")),
            None => format!("{peer}{since}; by how much is not known"),
        }
    }
}

impl From<ShownTopic> for Shown {
    fn from(shown: ShownTopic) -> Shown {
        let addresses = shown.host.iter().flat_map(|host| &host.addresses);
        Shown {
            epoch: shown.info.epoch.to_string(),
            version: shown.info.version,
            addresses: addresses.map(ToString::to_string).collect(),
            in_sync: shown.in_sync,
            copies: shown.replicas,
            behind: shown.behind.into_iter().map(Behind::from).collect(),
            handing_to: shown.handing_to,
            held: shown.held.map_or(0, |held| held.messages),
            held_since: shown.held.map(|held| units::rfc3339(held.since)),
            subscribers: shown.subscribers,
            subscriber_count: shown.subscriber_count,
            keeps: retention(&shown.info.settings),
            line: shown.info.into(),
        }
    }
}

impl Shown {
    /// Peers that are getting a copy, or have fallen behind with it.
    fn behind_text(&self) -> String {
        let behind: Vec<String> = self.behind.iter().map(Behind::text).collect();
        match behind.is_empty() {
            true => "none".to_owned(),
            false => behind.join("; "),
        }
    }

    fn state(&self) -> String {
        match (&self.handing_to, &self.held_since) {
            (Some(to), _) => format!("{} to peer {to}", self.line.phase),
            (None, Some(since)) => {
                let held = units::count(self.held, "message");
                format!("{}; {held} since {since}", self.line.phase)
            }
            (None, None) => self.line.phase.to_owned(),
        }
    }

    fn text(&self) -> String {
        let log = &self.line.log;
        let messages = match (log.messages, log.start, log.end) {
            (Some(0), _, _) => "none".to_owned(),
            (Some(n), Some(start), Some(end)) => {
                format!("{n}, offsets {start} to {}", end.saturating_sub(1))
            }
            _ => "not reported yet".to_owned(),
        };
        let age = log
            .reported_age_ms
            .map(|ms| units::age(Duration::from_millis(ms)));
        let mut host = self.line.host_text();
        if !self.addresses.is_empty() {
            host.push_str(&format!(" at {}", self.addresses.join(", ")));
        }
        output::fields(&[
            ("topic", self.line.topic.to_string()),
            ("id", self.line.id.clone()),
            (
                "owner",
                or_dash(self.line.owner.as_ref(), ToString::to_string),
            ),
            ("host", host),
            ("state", self.state()),
            ("epoch", self.epoch.clone()),
            ("messages", messages),
            ("size", or_dash(log.bytes, units::bytes)),
            ("last append", or_dash(log.last_append.clone(), |time| time)),
            ("reported", or_dash(age, |age| format!("{age} ago"))),
            ("keeps", self.keeps.clone()),
            ("replicas", replicas(&self.line.settings)),
            ("in sync", names(&self.in_sync)),
            ("behind", self.behind_text()),
            (
                "subscribers",
                subscribers(self.subscriber_count, &self.subscribers),
            ),
            ("version", self.version.to_string()),
        ])
    }
}

fn names(peers: &[PeerName]) -> String {
    match peers {
        [] => "none".to_owned(),
        peers => {
            let names: Vec<&str> = peers.iter().map(PeerName::as_str).collect();
            names.join(", ")
        }
    }
}

fn phase(phase: TopicPhase) -> &'static str {
    match phase {
        TopicPhase::Serving => "serving",
        TopicPhase::HandingOver => "handing over",
        TopicPhase::Offline => "offline: nobody who has every message is live",
        TopicPhase::Held => "held: the index keeps messages until a host has taken them",
        TopicPhase::Behind => "unknown: the index is behind; waypost index recover",
    }
}

fn replicas(settings: &Settings) -> String {
    let Settings {
        replicas,
        min_in_sync,
        ..
    } = settings;
    format!("{replicas} wanted, at least {min_in_sync} in sync")
}

fn subscribers(count: u32, names: &[PeerName]) -> String {
    const NAMED: usize = 20;
    let named: Vec<&str> = names.iter().take(NAMED).map(PeerName::as_str).collect();
    match (count, named.len() < count as usize) {
        (0, _) => "none".to_owned(),
        (_, false) => named.join(", "),
        (_, true) => format!("{} and more, {count} in all", named.join(", ")),
    }
}

/// How many copies are kept, in words.
pub(super) fn copies(settings: &TopicSettings) -> String {
    let TopicSettings {
        replicas,
        min_in_sync,
        ..
    } = settings;
    let copies = match replicas {
        1 => "1 copy".to_owned(),
        count => format!("{count} copies"),
    };
    match min_in_sync {
        0 | 1 => copies,
        least => format!("{copies}, of which {least} must be in sync"),
    }
}

/// How long messages are kept, in words.
pub(super) fn retention(settings: &TopicSettings) -> String {
    let age = settings
        .retain_age_ms
        .map(Duration::from_millis)
        .map(units::age);
    match (settings.retain_bytes.map(units::bytes), age) {
        (None, None) => "everything".to_owned(),
        (Some(bytes), None) => format!("at most {bytes}"),
        (None, Some(age)) => format!("at most {age}"),
        (Some(bytes), Some(age)) => format!("at most {bytes} and {age}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_and_who_subscribes_reads_well() {
        let mut settings = TopicSettings::default();
        assert_eq!(retention(&settings), "everything");
        assert_eq!(copies(&settings), "2 copies");
        settings.min_in_sync = 2;
        assert_eq!(copies(&settings), "2 copies, of which 2 must be in sync");
        settings.retain_bytes = Some(1 << 30);
        settings.retain_age_ms = Some(3_600_000);
        assert_eq!(retention(&settings), "at most 1.0 GiB and 1h00m");
        let names: Vec<PeerName> = vec!["1".parse().unwrap(), "2".parse().unwrap()];
        assert_eq!(subscribers(2, &names), "1, 2");
        assert_eq!(subscribers(5, &names), "1, 2 and more, 5 in all");
        assert_eq!(subscribers(0, &[]), "none");
    }

    #[test]
    fn a_copy_that_is_behind_says_by_how_much_and_since_when() {
        let text = |messages, behind_ms| {
            let peer = "2".parse().unwrap();
            Behind {
                peer,
                messages,
                behind_ms,
            }
            .text()
        };
        assert_eq!(text(Some(1), Some(5_000)), "2 by 1 message, for 5s");
        assert_eq!(text(Some(7), None), "2 by 7 messages");
        assert_eq!(text(None, None), "2; by how much is not known");
    }
}
