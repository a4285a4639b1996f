//! `topic create`, `set` and `delete`.

use serde_json::json;

use super::{Copies, CreateArgs, DeleteArgs, Limit, Retention, SetArgs};
use crate::cli::ask;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::nearest::explained;
use crate::cli::output;
use crate::client::{Client, ClientError};
use crate::config::Config;
use crate::limits;
use crate::types::{PeerName, TopicName, TopicSettings};
use crate::wire::index::{CreateOutcome, CreatedTopics, NewTopic};
use crate::wire::{ErrorCode, ErrorReply};

/// Topics in one request: names of the greatest length fit.
const AT_ONCE: usize = limits::METADATA_REQUEST_BYTES / (limits::TOPIC_NAME_BYTES + 64);
/// How often a change is tried where others change the same topic.
const TRIES: usize = 5;

/// The settings of a topic that is created without any.
pub(in crate::cli) fn default_settings(config: &Config) -> TopicSettings {
    TopicSettings {
        replicas: config.peer_node.replicas,
        min_in_sync: config.peer_node.min_in_sync,
        ..TopicSettings::default()
    }
}

impl Retention {
    fn is_empty(&self) -> bool {
        self.retain_bytes.is_none() && self.retain_age.is_none()
    }

    fn apply(&self, settings: &mut TopicSettings) {
        if let Some(limit) = self.retain_bytes {
            settings.retain_bytes = match limit {
                Limit::At(bytes) => Some(bytes),
                Limit::Unlimited => None,
            };
        }
        if let Some(limit) = self.retain_age {
            settings.retain_age_ms = match limit {
                Limit::At(age) => Some(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
                Limit::Unlimited => None,
            };
        }
    }
}

impl Copies {
    fn is_empty(&self) -> bool {
        self.replicas.is_none() && self.min_in_sync.is_none()
    }

    fn apply(&self, settings: &mut TopicSettings) {
        if let Some(replicas) = self.replicas {
            settings.replicas = replicas;
        }
        if let Some(least) = self.min_in_sync {
            settings.min_in_sync = least;
        }
    }
}

pub(super) async fn create(ctx: &Context, args: CreateArgs) -> Result<(), CliError> {
    let mut settings = default_settings(&ctx.config);
    args.retention.apply(&mut settings);
    args.copies.apply(&mut settings);
    ctx.online(async |client| {
        let mut failed = None;
        for names in args.topics.chunks(AT_ONCE) {
            let topics = names.iter().map(|name| NewTopic {
                name: name.clone(),
                settings,
            });
            let created = client.create_topics(topics.collect(), args.host.as_ref());
            let created = ctx.index_answer(client, created).await;
            let created = created.map_err(|error| error.doing(doing(names)))?;
            for error in report(ctx, names, created)? {
                // The first one ends the command in the end; the others are told at once.
                match failed {
                    None => failed = Some(error),
                    Some(_) => output::say_error(&error, ctx.output.is_json()),
                }
            }
        }
        failed.map_or(Ok(()), Err)
    })
    .await
}

fn doing(names: &[TopicName]) -> String {
    match names {
        [name] => format!("creating topic '{name}'"),
        names => format!("creating {} topics", names.len()),
    }
}

/// Prints those that were created; answers the errors of the others.
fn report(
    ctx: &Context,
    names: &[TopicName],
    created: CreatedTopics,
) -> Result<Vec<CliError>, CliError> {
    let host = created.host.map(|host| host.name.clone());
    let mut errors = vec![];
    for (name, outcome) in names.iter().zip(created.outcomes) {
        match outcome {
            CreateOutcome::Created { topic, epoch } => ctx.output.value(
                &json!({
                    "topic": name,
                    "id": topic.to_string(),
                    "host": host,
                    "epoch": epoch.to_string(),
                }),
                || format!("Topic '{name}' created successfully."),
            )?,
            CreateOutcome::Exists { owner } => errors.push(exists(name, owner.as_ref())),
            CreateOutcome::Refused(reply) => {
                errors.push(CliError::from(reply).doing(format!("creating topic '{name}'")));
            }
        }
    }
    Ok(errors)
}

fn exists(name: &TopicName, owner: Option<&PeerName>) -> CliError {
    let message = format!("topic '{name}' already exists");
    let error = CliError::from(ErrorReply::new(ErrorCode::TopicExists, message));
    match owner {
        Some(owner) => error.detail("owner", format!("peer {owner}")),
        None => error,
    }
    .help(format!("look at it: waypost topic show {name}"))
}

pub(super) async fn set(ctx: &Context, args: SetArgs) -> Result<(), CliError> {
    if args.retention.is_empty() && args.copies.is_empty() {
        let message = "nothing to set";
        return Err(CliError::new("usage", Exit::Usage, message).help(
            "name a setting: --retain-bytes SIZE or --retain-age DURATION, or unlimited; \
             --replicas N, --min-in-sync N",
        ));
    }
    let name = &args.topic;
    ctx.online(async |client| {
        let changed = ctx.index_answer(client, change(client, &args));
        let settings = changed.await?;
        let value = json!({
            "topic": name,
            "retain_bytes": settings.retain_bytes,
            "retain_age_ms": settings.retain_age_ms,
            "replicas": settings.replicas,
            "min_in_sync": settings.min_in_sync,
        });
        ctx.output.value(&value, || {
            let mut kept = super::look::retention(&settings);
            if !args.copies.is_empty() {
                kept = format!("{kept}, in {}", super::look::copies(&settings));
            }
            format!("Topic '{name}' keeps {kept}.")
        })
    })
    .await
}

/// Reads, changes and writes; again where somebody else was faster.
async fn change(client: &Client, args: &SetArgs) -> Result<TopicSettings, CliError> {
    let name = &args.topic;
    let mut tries = 0;
    loop {
        tries += 1;
        let shown = client.show_topic(name).await;
        let info = match shown {
            Ok(shown) => shown.info,
            Err(error) => return Err(explained(client, name, error).await),
        };
        let mut settings = info.settings;
        args.retention.apply(&mut settings);
        args.copies.apply(&mut settings);
        match client.set_topic(name, info.version, settings).await {
            Ok(_) => return Ok(settings),
            Err(error) if is_race(&error) && tries < TRIES => {}
            Err(error) => return Err(explained(client, name, error).await),
        }
    }
}

fn is_race(error: &ClientError) -> bool {
    error.code() == Some(ErrorCode::VersionMismatch)
}

pub(super) async fn delete(ctx: &Context, args: DeleteArgs) -> Result<(), CliError> {
    let name = &args.topic;
    // Naming a topic is explicit enough for a script; a person may have mistyped.
    if !args.yes && ask::can_ask() {
        ask::confirm(&format!("Delete topic '{name}' with all its messages?"))?;
    }
    ctx.online(async |client| {
        let deleted = async {
            match client.delete_topic(name, None).await {
                Ok(deleted) => Ok(deleted),
                Err(error) => Err(explained(client, name, error).await),
            }
        };
        let deleted = ctx.index_answer(client, deleted).await?;
        let value = json!({
            "topic": name,
            "id": deleted.topic.to_string(),
            "subscribers_told": deleted.subscribers,
        });
        ctx.output
            .value(&value, || format!("Topic '{name}' deleted successfully."))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_what_is_named_changes() {
        let mut settings = TopicSettings {
            retain_bytes: Some(5),
            retain_age_ms: Some(6),
            ..TopicSettings::default()
        };
        let retention = |retain_bytes, retain_age| Retention {
            retain_bytes,
            retain_age,
        };
        retention(Some(Limit::Unlimited), None).apply(&mut settings);
        assert_eq!(
            (settings.retain_bytes, settings.retain_age_ms),
            (None, Some(6))
        );
        let day = Limit::At(Duration::from_secs(86_400));
        retention(None, Some(day)).apply(&mut settings);
        assert_eq!(settings.retain_age_ms, Some(86_400_000));
        assert!(retention(None, None).is_empty());
    }
}
