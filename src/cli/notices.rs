//! What the index kept for this peer to be told: topics that were deleted.

use std::time::Duration;

use serde_json::{Value, json};

use super::output;
use super::units;
use crate::client::{Client, ClientError};
use crate::wire::index::{Notice, NoticeKind};

/// How long a command that is done stays to fetch notices.
const PATIENCE: Duration = Duration::from_secs(1);

/// One notice in a sentence.
pub fn text(notice: &Notice) -> String {
    match &notice.what {
        NoticeKind::TopicDeleted { name, by, .. } => {
            let by = by.as_ref().map_or_else(
                || "the index's operator".to_owned(),
                |peer| format!("peer {peer}"),
            );
            format!("Topic '{name}' was deleted by {by} at {}", notice.at)
        }
    }
}

/// One notice for programs.
pub fn json(notice: &Notice) -> Value {
    match &notice.what {
        NoticeKind::TopicDeleted { name, by, .. } => json!({
            "what": "topic-deleted",
            "topic": name,
            "by": by,
            "at": units::rfc3339(notice.at),
        }),
    }
}

/// Tells the index that these were shown.
pub async fn clear(client: &Client, shown: &[Notice]) -> Result<(), ClientError> {
    match shown.iter().map(|notice| notice.serial).max() {
        Some(serial) => client.clear_notices(serial).await,
        None => Ok(()),
    }
}

/// Shows and clears notices on standard error, if this command met the index and the index said that
/// some wait. They are a courtesy here: a failure leaves them for the next time.
pub async fn show_waiting(client: &Client) {
    let waiting = client
        .index()
        .registered()
        .is_some_and(|known| known.notices > 0);
    if !waiting {
        return;
    }
    let show = async {
        let (_, notices) = client.subscriptions().await?;
        notices.iter().for_each(|notice| output::say(&text(notice)));
        clear(client, &notices).await
    };
    match tokio::time::timeout(PATIENCE, show).await {
        Ok(Err(error)) => tracing::debug!(%error, "notices are not shown"),
        Err(_) => tracing::debug!("notices did not come in time"),
        Ok(Ok(())) => {}
    }
}
