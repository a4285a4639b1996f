//! `publish --min-ack`: how many copies a message must be on before it counts as sent.

use std::num::NonZeroU8;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::nearest::explained;
use crate::cli::wait;
use crate::client::{Client, Receipt};
use crate::limits;
use crate::types::TopicName;
use crate::wire::ErrorCode;

/// Refuses what no topic can achieve.
pub(super) fn check(wanted: Option<NonZeroU8>) -> Result<(), CliError> {
    match wanted.map(NonZeroU8::get) {
        Some(wanted) if usize::from(wanted) > limits::COPIES => {
            let message = format!("{wanted} durable copies cannot be achieved");
            Err(CliError::new("usage", Exit::Usage, message)
                .detail("expected", format!("at most {}", limits::COPIES))
                .detail("found", format!("--min-ack {wanted}")))
        }
        _ => Ok(()),
    }
}

/// Waits until so many copies of the topic are in sync, as they are soon after it was created.
pub(super) async fn wait(
    ctx: &Context,
    client: &Client,
    topic: &TopicName,
    wanted: Option<NonZeroU8>,
) -> Result<(), CliError> {
    let Some(wanted) = wanted.map(NonZeroU8::get).filter(|&wanted| wanted > 1) else {
        return Ok(());
    };
    let shown = match client.show_topic(topic).await {
        Ok(shown) => shown,
        Err(error) => return Err(explained(client, topic, error).await),
    };
    let kept = shown.info.settings.replicas;
    if kept < wanted {
        let message = format!("topic '{topic}' keeps {kept} of the {wanted} copies wanted");
        return Err(CliError::new("unsupported", Exit::Usage, message)
            .detail("expected", format!("--min-ack {kept} or less"))
            .detail("found", format!("--min-ack {wanted}"))
            .help(format!("waypost topic set {topic} --replicas {wanted}")));
    }
    let what = format!("{wanted} copies of topic '{topic}' to be in sync");
    let waited = client.wait_in_sync(topic, wanted.into(), ctx.host_patience());
    let shown = match wait::saying(&what, waited).await {
        Ok(shown) => shown,
        Err(error) => return Err(explained(client, topic, error).await),
    };
    let found = shown.in_sync.len();
    match found >= usize::from(wanted) {
        true => Ok(()),
        false => Err(too_few(topic, wanted, found)
            .note("nothing was sent")
            .help("another peer must run that keeps copies: waypost peers")),
    }
}

/// An error if a message that was taken is on too few copies.
pub(super) fn achieved(receipt: &Receipt, wanted: Option<NonZeroU8>) -> Result<(), CliError> {
    let durable = receipt.achieved.durable;
    match wanted.map(NonZeroU8::get) {
        Some(wanted) if durable < wanted => Err(too_few(&receipt.topic, wanted, durable.into())
            .note(format!(
                "the message is stored at offset {}; sending it again stores it twice",
                receipt.offset
            ))),
        _ => Ok(()),
    }
}

fn too_few(topic: &TopicName, wanted: u8, found: usize) -> CliError {
    let code = ErrorCode::NotEnoughInSync.text();
    let message = format!("topic '{topic}' has too few copies in sync");
    CliError::new(code, Exit::Unavailable, message)
        .detail("expected", format!("{wanted}, by --min-ack"))
        .detail("found", found.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_cannot_be_are_refused_at_once() {
        assert!(check(None).is_ok());
        assert!(check(NonZeroU8::new(7)).is_ok());
        assert_eq!(check(NonZeroU8::new(8)).unwrap_err().exit(), Exit::Usage);
    }
}
