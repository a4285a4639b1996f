//! Finds the host of a topic and opens a stream to it; creates what is missing, if asked to.

use std::sync::Arc;

use super::PublisherOptions;
use super::core::Search;
use super::links::{Link, Links};
use crate::client::{Client, ClientError};
use crate::limits;
use crate::transport::ConnectError;
use crate::types::TopicName;
use crate::wire::index::Route;
use crate::wire::{ErrorCode, Retry};

/// Finds the host and the link to it. While that is dialled, the index is asked again and again
/// whether the topic is elsewhere by now: a host that restarts may do so at another port.
pub(super) async fn find(
    links: &Links,
    options: &PublisherOptions,
    topic: &TopicName,
    how: Search,
) -> Result<(Arc<Route>, Arc<Link>), ClientError> {
    let client = links.client();
    let mut route = find_route(client, options, topic, how).await?;
    loop {
        let linked = tokio::select! {
            linked = links.get(topic, &route, how.fresh_pass) => Some(linked),
            moved = moved(client, topic, &route) => { route = moved; None }
        };
        if let Some(linked) = linked {
            return Ok((Arc::new(route), linked?));
        }
    }
}

async fn find_route(
    client: &Client,
    options: &PublisherOptions,
    topic: &TopicName,
    how: Search,
) -> Result<Route, ClientError> {
    let found = client.route(topic, how.fresh_route).await;
    let missing = |error: &ClientError| error.code() == Some(ErrorCode::TopicNotFound);
    match (found, options.create_missing) {
        (Err(error), Some(settings)) if how.create && missing(&error) => {
            let host = options.host.as_ref();
            match client.create_topic(topic, settings, host).await {
                // Somebody else was faster.
                Err(error) if error.code() == Some(ErrorCode::TopicExists) => {
                    client.route(topic, true).await
                }
                created => created,
            }
        }
        (found, _) => found,
    }
}

/// Waits until the index points elsewhere.
async fn moved(client: &Client, topic: &TopicName, route: &Route) -> Route {
    loop {
        tokio::time::sleep(limits::SILENCE_BEFORE_PROBE).await;
        match client.route(topic, true).await {
            Ok(fresh) if fresh != *route => return fresh,
            _ => {}
        }
    }
}

/// What a search that failed so is worth trying again for.
pub(super) fn retry(error: &ClientError) -> Retry {
    match error {
        ClientError::Refused { reply, .. } => reply.retry,
        ClientError::IndexUnreachable { source, .. } => refusal(source).unwrap_or(Retry::Later),
        // A host that is away may come back elsewhere; one with another key than the route says is
        // looked up afresh, too.
        ClientError::HostUnreachable { source, .. } => refusal(source).unwrap_or(Retry::FreshRoute),
        ClientError::Broken { source, .. } => source.retry(),
        ClientError::Resolve { .. } | ClientError::TimedOut { .. } => Retry::Later,
        _ => Retry::Never,
    }
}

fn refusal(error: &ConnectError) -> Option<Retry> {
    match error {
        ConnectError::Refused { reply, .. } => Some(reply.retry),
        _ => None,
    }
}
