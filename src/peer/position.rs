//! Positions, which are committed as appends are, and the state of topics.

use tokio::sync::oneshot;

use super::host::{Caller, Host, journal_stopped};
use super::{append, read};
use crate::journal::{Command, Done, Outcome, PositionKey, TopicStat};
use crate::types::Group;
use crate::wire::peer::{Commit, Committed, TopicState, TopicStatus, TopicStatuses};
use crate::wire::{ErrorCode, ErrorReply};

/// Sets the caller's own position; answered when durable.
pub(super) async fn commit(
    host: &Host,
    caller: &Caller,
    request: Commit,
) -> Result<Committed, ErrorReply> {
    let topic = request.topic;
    let key = PositionKey {
        subscriber: caller.fingerprint,
        group: request.group,
    };
    host.replication.hosts(topic)?;
    let command = Command::Position {
        topic,
        key: key.clone(),
        next: request.position.next,
        sequence: request.position.sequence,
        reset: request.reset,
    };
    let (done, outcome) = oneshot::channel();
    host.journal
        .submit_deferred(command, Done::Oneshot(done))
        .await
        .map_err(|_| journal_stopped())?;
    match outcome.await.map_err(|_| journal_stopped())? {
        Outcome::Position(position) => {
            host.replication.position_synced(topic, &key).await?;
            Ok(Committed {
                position: read::position_value(position),
            })
        }
        Outcome::Refused(refusal) => Err(append::refused(&refusal)),
        Outcome::Stopped => Err(journal_stopped()),
        other => Err(ErrorReply::new(
            ErrorCode::Internal,
            format!("the journal answered a commit with {other:?}"),
        )),
    }
}

/// The state of each topic asked, with the caller's position.
pub(super) fn statuses(host: &Host, caller: &Caller, request: &TopicStatus) -> TopicStatuses {
    let topics = request
        .topics
        .iter()
        .map(|(id, group)| {
            let topic = host.topic(*id).ok()?;
            Some(state(host, caller, &topic, group))
        })
        .collect();
    TopicStatuses { topics }
}

fn state(host: &Host, caller: &Caller, topic: &TopicStat, group: &Group) -> TopicState {
    TopicState {
        start: topic.start,
        end: topic.end,
        bytes: topic.bytes,
        last_append: topic.last_append,
        epoch: host.epoch(topic),
        position: read::position(host, caller, topic.id, group),
        damaged: topic.suspect || !topic.damaged.is_empty(),
    }
}
