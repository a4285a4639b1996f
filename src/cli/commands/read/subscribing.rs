//! Reading subscribes, unless it is known that the subscription stands. The index need not be there:
//! without it reading goes on, and the next reading subscribes.

use crate::cli::output;
use crate::client::{Client, ClientError};
use crate::types::{Group, TopicId, TopicName};
use crate::wire::ErrorCode;

/// Subscribes where it is not known that we do. An error is one that reading will meet as well, or
/// that forbids it; an absent index is none.
pub(super) async fn ensure(
    client: &Client,
    topic: &TopicName,
    group: &Group,
) -> Result<(), ClientError> {
    match client.subscribed_to(topic, group) {
        Some(_) => Ok(()),
        None => subscribe(client, topic, group).await,
    }
}

/// As [`ensure`], once it is known which life of the topic is read: the subscription to an earlier
/// one ended with that.
pub(super) async fn ensure_this_life(
    client: &Client,
    topic: &TopicName,
    group: &Group,
    id: TopicId,
) -> Result<(), ClientError> {
    match client.subscribed_to(topic, group) {
        Some(known) if known == id => Ok(()),
        _ => subscribe(client, topic, group).await,
    }
}

async fn subscribe(client: &Client, topic: &TopicName, group: &Group) -> Result<(), ClientError> {
    match client.subscribe(topic, group).await {
        Ok(subscribed) => {
            if subscribed.new {
                output::say(&format!("subscribed to topic '{topic}'"));
            }
            Ok(())
        }
        Err(error) if is_absence(&error) => {
            tracing::debug!(%topic, %error, "not subscribed, the index cannot be reached");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whether the index is merely not there.
pub(super) fn is_absence(error: &ClientError) -> bool {
    match error {
        ClientError::IndexUnreachable { .. } => error.code().is_none(),
        ClientError::Resolve { .. } | ClientError::Broken { .. } => true,
        error => error.code() == Some(ErrorCode::ShuttingDown),
    }
}
