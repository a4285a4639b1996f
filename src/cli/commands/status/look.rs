//! The looks of `status`: each bounded in time, peers side by side.

use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::online::own_name;
use crate::cli::output::Row;
use crate::cli::units;
use crate::cli::wait;
use crate::client::{Client, ClientError, TopicFilter};
use crate::clock;
use crate::types::{PeerName, UnixMicros};
use crate::wire::index::{HostAddress, IndexStatusReply, PeerInfo, TopicInfo};
use crate::wire::peer::PeerStatusReply;

/// How long any one look may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Peers that are looked at one by one.
const PEERS: usize = 100;

/// One thing, and what was seen of it.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    what: String,
    state: &'static str,
    took_ms: Option<f64>,
    detail: String,
}

impl Row for Line {
    const HEAD: &'static [&'static str] = &["what", "state", "took", "detail"];

    fn cells(&self) -> Vec<String> {
        let took = self
            .took_ms
            .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
        vec![
            self.what.clone(),
            self.state.to_owned(),
            took,
            self.detail.clone(),
        ]
    }
}

impl Line {
    fn new(what: impl Into<String>, state: &'static str, took: Duration, detail: String) -> Line {
        // Microseconds are as fine as a look is worth.
        let took_ms = Some((took.as_secs_f64() * 1e6).round() / 1e3);
        Line {
            what: what.into(),
            state,
            took_ms,
            detail,
        }
    }

    fn failed(what: impl Into<String>, took: Duration, error: &CliError) -> Line {
        let first = error.to_string();
        let first = first.lines().next().unwrap_or_default().to_owned();
        Line::new(what, "unreachable", took, first)
    }
}

/// Looks within the bound; answers how long it took.
async fn timed<T>(
    limit: Duration,
    what: &str,
    look: impl Future<Output = Result<T, ClientError>>,
) -> (Result<T, CliError>, Duration) {
    let started = clock::mono_now();
    let result = match wait::within(limit, what, look).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.into()),
        Err(late) => Err(late),
    };
    (result, clock::mono_now().since(started))
}

/// All lines; and, where the index is out of reach, the error for the end of the command.
pub(super) async fn everything(
    ctx: &Context,
    client: &Client,
) -> Result<(Vec<Line>, Option<CliError>), CliError> {
    let limit = ctx.timeout.unwrap_or(PATIENCE).min(PATIENCE);
    let name = own_name(client)?;
    let mut lines = vec![identity(client, &name)];
    let address = client.index().address();
    let what = format!("index {address}");
    let (index, took) = timed(
        limit,
        &format!("the index at {address}"),
        client.index_status(),
    )
    .await;
    let error = match index {
        Ok(status) => {
            lines.push(Line::new(
                what,
                "ok",
                took,
                index_detail(&status, clock::wall_now()),
            ));
            with_index(client, limit, &name, &mut lines).await;
            None
        }
        Err(error) => {
            lines.push(Line::failed(what, took, &error));
            let cached = client.cached_hosts();
            lines.extend(look_at_peers(client, limit, &name, cached).await);
            Some(error)
        }
    };
    Ok((lines, error))
}

fn identity(client: &Client, name: &PeerName) -> Line {
    let pass = match client.index().pass() {
        Some(_) => "with a pass",
        None => "without a pass yet",
    };
    let detail = format!("{}, {pass}", client.identity().fingerprint());
    Line {
        what: format!("identity {name}"),
        state: "ok",
        took_ms: None,
        detail,
    }
}

fn index_detail(status: &IndexStatusReply, now: UnixMicros) -> String {
    let up = Duration::from_micros(u64::try_from(now.0 - status.started.0).unwrap_or(0));
    let mut detail = format!(
        "version {}, up {}, {} of {} peers live, {}, {}",
        status.version,
        units::age(up),
        status.live,
        status.peers,
        units::count(status.topics, "topic"),
        units::count(status.subscriptions, "subscription")
    );
    for (count, what) in [
        (status.under_replicated, "with too few copies in sync"),
        (status.offline, "offline"),
        (status.behind, "of which peers know more than the index"),
    ] {
        if count > 0 {
            detail.push_str(&format!(", {count} {what}"));
        }
    }
    if status.copies_behind > 0 {
        let copies = match status.copies_behind {
            1 => "1 copy".to_owned(),
            count => format!("{count} copies"),
        };
        let lag = units::lag(status.largest_lag);
        detail.push_str(&format!(", {copies} behind{lag}"));
    }
    if status.held > 0 {
        let held = units::count(status.held, "message");
        detail.push_str(&format!(", {held} held"));
    }
    detail
}

async fn with_index(client: &Client, limit: Duration, name: &PeerName, lines: &mut Vec<Line>) {
    let (peers, took) = timed(limit, "the list of peers", client.peers()).await;
    match peers {
        Ok(peers) => {
            let (hosts, others) = sort(peers);
            lines.extend(others);
            lines.extend(look_at_peers(client, limit, name, hosts).await);
        }
        Err(error) => lines.push(Line::failed("peers", took, &error)),
    }
    let filter = TopicFilter::default();
    let (topics, took) = timed(
        limit,
        "the list of topics",
        client.list_topics(&filter, None),
    )
    .await;
    lines.push(match topics {
        Ok((page, next)) => topics_line(&page, next.is_some(), took),
        Err(error) => Line::failed("topics", took, &error),
    });
}

/// Peers that listen somewhere are asked; the index's word stands for those that do not. Peers that
/// never hosted have nothing to be looked at.
fn sort(peers: Vec<PeerInfo>) -> (Vec<HostAddress>, Vec<Line>) {
    let hosting = peers.into_iter().filter(|peer| peer.incarnation > 0);
    let (live, away): (Vec<_>, Vec<_>) = hosting.partition(|peer| peer.live);
    let away = away.into_iter().take(PEERS).map(|peer| Line {
        what: format!("peer {}", peer.name),
        state: "away",
        took_ms: None,
        detail: format!(
            "hosts {}; start it: waypost peer --id {}",
            units::count(peer.hosted.into(), "topic"),
            peer.name
        ),
    });
    let host = |peer: PeerInfo| HostAddress {
        fingerprint: peer.fingerprint,
        name: peer.name,
        addresses: peer.addresses,
        live: true,
    };
    (live.into_iter().map(host).collect(), away.collect())
}

async fn look_at_peers(
    client: &Client,
    limit: Duration,
    own: &PeerName,
    mut hosts: Vec<HostAddress>,
) -> Vec<Line> {
    hosts.sort_by_key(|host| (host.name != *own, host.name.clone()));
    let mut looks = JoinSet::new();
    for (at, host) in hosts.into_iter().take(PEERS).enumerate() {
        let client = client.clone();
        let own = host.name == *own;
        looks.spawn(async move {
            let what = format!("peer {}", host.name);
            let (status, took) = timed(limit, &what, client.peer_status(&host)).await;
            let what = if own { format!("{what} (own)") } else { what };
            (at, peer_line(what, status, took))
        });
    }
    // A look that panicked was reported by its panic.
    let mut lines: Vec<_> = looks.join_all().await;
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn peer_line(what: String, status: Result<PeerStatusReply, CliError>, took: Duration) -> Line {
    let status = match status {
        Ok(status) => status,
        Err(error) => return Line::failed(what, took, &error),
    };
    let state = match (status.storage_full, status.session) {
        (true, _) => "disk full",
        (false, true) => "ok",
        (false, false) => "no session",
    };
    let detail = format!(
        "version {}, {}, journal {}",
        status.version,
        units::count(status.topics, "topic"),
        units::bytes(status.journal_bytes)
    );
    Line::new(what, state, took, detail)
}

fn topics_line(page: &[TopicInfo], more: bool, took: Duration) -> Line {
    let away = page.iter().filter(|topic| !topic.host_live).count();
    let count = page.len();
    let which = if more {
        format!("the first {count}")
    } else {
        format!("{count}")
    };
    let (state, detail) = match away {
        0 => ("ok", format!("{which} with a live host")),
        away => (
            "degraded",
            format!("{which}, {away} of them with their host away"),
        ),
    };
    Line::new("topics", state, took, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{BootId, StorageId};

    fn status(session: bool, storage_full: bool) -> PeerStatusReply {
        PeerStatusReply {
            version: "0.1.0".into(),
            boot: BootId([0; 16]),
            storage: StorageId([0; 16]),
            incarnation: 1,
            started: UnixMicros(0),
            topics: 2,
            journal_bytes: 1 << 20,
            storage_full,
            session,
        }
    }

    #[test]
    fn a_line_says_what_it_is_how_it_is_and_how_long_it_took() {
        let took = Duration::from_micros(1_500);
        let line = peer_line("peer 1".into(), Ok(status(true, false)), took);
        let cells = [
            "peer 1",
            "ok",
            "1.5 ms",
            "version 0.1.0, 2 topics, journal 1.0 MiB",
        ];
        assert_eq!(line.cells(), cells);
        let state = |session, full| peer_line("p".into(), Ok(status(session, full)), took).state;
        assert_eq!(state(false, false), "no session");
        assert_eq!(state(true, true), "disk full");
    }
}
