//! Making and removing many topics through the public API.

use std::time::Duration;

use tokio::task::JoinSet;

use super::error::BenchError;
use super::fleet::Fleet;
use super::work::Topics;
use crate::client::{Client, TopicFilter};
use crate::types::{PeerName, TopicName, TopicSettings};
use crate::wire::index::{CreateOutcome, NewTopic};

/// What all topics of a measurement begin with.
pub const PREFIX: &str = "bench/";
/// Topics of one request.
const PER_REQUEST: u64 = 1_000;
/// Requests under way.
const REQUESTS: usize = 8;
/// Deletions under way.
const DELETIONS: usize = 64;
/// What is measured is one copy, where nothing else is said.
const ONE_COPY: TopicSettings = TopicSettings {
    retain_bytes: None,
    retain_age_ms: None,
    replicas: 1,
    min_in_sync: 1,
};
/// How long a topic's copies may take to be in sync.
const IN_SYNC_WITHIN: Duration = Duration::from_secs(30);

/// Creates `count` topics whose names nobody has, with one copy each, on the fleet's own hosts in
/// turns, or where the index chooses. `progress` is told how many are there.
pub async fn create(
    fleet: &Fleet,
    count: u64,
    progress: impl FnMut(u64),
) -> Result<Topics, BenchError> {
    create_with(fleet, count, ONE_COPY, progress).await
}

/// As [`create`], with `settings`.
pub async fn create_with(
    fleet: &Fleet,
    count: u64,
    settings: TopicSettings,
    mut progress: impl FnMut(u64),
) -> Result<Topics, BenchError> {
    let topics = Topics {
        prefix: format!("{PREFIX}{:08x}/", rand::random::<u32>()),
        count,
    };
    let hosts = fleet.hosts();
    let mut running = JoinSet::new();
    let mut made = 0;
    for (request, first) in (0..count).step_by(PER_REQUEST as usize).enumerate() {
        while running.len() >= REQUESTS {
            made += joined(running.join_next().await)?;
            progress(made);
        }
        let last = (first + PER_REQUEST).min(count);
        let names: Vec<TopicName> = (first..last)
            .map(|number| topics.name(number))
            .collect::<Result<_, _>>()?;
        let host = hosts.get(request % hosts.len().max(1)).cloned();
        running.spawn(create_some(fleet.client.clone(), names, settings, host));
    }
    while let Some(some) = running.join_next().await {
        made += joined(Some(some))?;
        progress(made);
    }
    Ok(topics)
}

/// Creates one topic for each host, so that number n lies at host n.
pub async fn create_one_per_host(fleet: &Fleet) -> Result<Topics, BenchError> {
    let hosts = fleet.hosts();
    let topics = Topics {
        prefix: format!("{PREFIX}{:08x}/", rand::random::<u32>()),
        count: hosts.len() as u64,
    };
    for (host, number) in hosts.into_iter().zip(0..) {
        let names = vec![topics.name(number)?];
        create_some(fleet.client.clone(), names, ONE_COPY, Some(host)).await?;
    }
    Ok(topics)
}

/// Waits until every topic has as many copies in sync as its settings say.
pub async fn in_sync(client: &Client, topics: &Topics, copies: u8) -> Result<(), BenchError> {
    for number in 0..topics.count {
        let name = topics.name(number)?;
        let shown = client.wait_in_sync(&name, copies.into(), IN_SYNC_WITHIN);
        let shown = shown.await;
        let shown = shown.map_err(BenchError::waypost("waiting for a topic's copies"))?;
        if shown.in_sync.len() < usize::from(copies) {
            return Err(BenchError::TimedOut {
                what: format!(
                    "{copies} copies of '{name}' to be in sync; {} are",
                    shown.in_sync.len()
                ),
                seconds: IN_SYNC_WITHIN.as_secs(),
            });
        }
    }
    Ok(())
}

fn joined<T>(
    joined: Option<Result<Result<T, BenchError>, tokio::task::JoinError>>,
) -> Result<T, BenchError> {
    match joined {
        Some(Ok(done)) => done,
        _ => Err(BenchError::Usage("a task of the bench died".to_owned())),
    }
}

async fn create_some(
    client: Client,
    names: Vec<TopicName>,
    settings: TopicSettings,
    host: Option<PeerName>,
) -> Result<u64, BenchError> {
    let wanted = names.len();
    let new = |name| NewTopic { name, settings };
    let created = client
        .create_topics(names.into_iter().map(new).collect(), host.as_ref())
        .await
        .map_err(BenchError::waypost("creating topics"))?;
    let outcomes = created.outcomes.iter();
    let made = outcomes.filter(|outcome| matches!(outcome, CreateOutcome::Created { .. }));
    super::load::check("topics created", wanted, made.count())?;
    Ok(wanted as u64)
}

/// Deletes every topic of ours: those that `client` owns below [`PREFIX`].
pub async fn delete_own(client: &Client) -> Result<u64, BenchError> {
    let filter = TopicFilter {
        prefix: PREFIX.to_owned(),
        owner: client.name().cloned(),
        ..TopicFilter::default()
    };
    let mut deleted = 0;
    let mut after = None;
    loop {
        let page = client.list_topics(&filter, after.as_ref()).await;
        let (topics, next) = page.map_err(BenchError::waypost("listing our topics"))?;
        let mut running = JoinSet::new();
        for topic in topics {
            if running.len() >= DELETIONS {
                joined(running.join_next().await)?;
            }
            let client = client.clone();
            running.spawn(async move {
                let gone = client.delete_topic(&topic.name, None).await;
                gone.map_err(BenchError::waypost("deleting a topic"))
            });
            deleted += 1;
        }
        while let Some(one) = running.join_next().await {
            joined(Some(one))?;
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(deleted),
        }
    }
}
