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

/// Why there is no link to a host.
pub(super) struct NotFound {
    pub(super) error: ClientError,
    /// The route, if the index says that nobody is live who could host the topic.
    pub(super) away: Option<Arc<Route>>,
}

impl From<ClientError> for NotFound {
    fn from(error: ClientError) -> Self {
        NotFound { error, away: None }
    }
}

/// Finds the host and the link to it. While that is dialled, the index is asked again and again
/// whether the topic is elsewhere by now: a host that restarts may do so at another port; or whether
/// nobody is there any more.
pub(super) async fn find(
    links: &Links,
    options: &PublisherOptions,
    topic: &TopicName,
    how: Search,
) -> Result<(Arc<Route>, Arc<Link>), NotFound> {
    let client = links.client();
    let mut route = find_route(client, options, topic, how).await?;
    loop {
        let linked = tokio::select! {
            linked = links.get(topic, &route, how.fresh_pass) => Some(linked),
            fresh = moved(client, topic, &route, options.hold) => {
                if is_at(&fresh, &route) && !fresh.host.live {
                    return Err(away(topic, fresh));
                }
                route = fresh;
                None
            }
        };
        match linked {
            Some(Ok(link)) => return Ok((Arc::new(route), link)),
            Some(Err(error)) => return Err(judged(client, options, topic, error).await),
            None => {}
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

/// Whether a host that cannot be reached is so for the index, too.
async fn judged(
    client: &Client,
    options: &PublisherOptions,
    topic: &TopicName,
    error: ClientError,
) -> NotFound {
    let unreachable = matches!(error, ClientError::HostUnreachable { .. });
    let away = match options.hold && unreachable && retry(&error) != Retry::Never {
        true => client.route(topic, true).await.ok(),
        false => None,
    };
    NotFound {
        error,
        away: away.filter(|route| !route.host.live).map(Arc::new),
    }
}

fn away(topic: &TopicName, route: Route) -> NotFound {
    let error = ClientError::TimedOut {
        doing: format!(
            "reaching peer {}, which hosts topic '{topic}'",
            route.host.name
        ),
        after: limits::SILENCE_BEFORE_PROBE,
        last: None,
    };
    NotFound {
        error,
        away: Some(Arc::new(route)),
    }
}

/// Whether both lead to the same host, live or not.
fn is_at(one: &Route, other: &Route) -> bool {
    one.topic == other.topic
        && one.host.fingerprint == other.host.fingerprint
        && one.host.addresses == other.host.addresses
}

/// Waits until the index points elsewhere or, if `hold`, says that nobody is live.
async fn moved(client: &Client, topic: &TopicName, route: &Route, hold: bool) -> Route {
    loop {
        tokio::time::sleep(limits::SILENCE_BEFORE_PROBE).await;
        match client.route(topic, true).await {
            Ok(fresh) if !is_at(&fresh, route) || fresh.epoch != route.epoch => return fresh,
            Ok(fresh) if hold && !fresh.host.live => return fresh,
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
