//! Messages that the index takes while nobody can host a topic, and their way to the host that comes.
//!
//! A topic becomes Held with the first batch, in one commit with it: its grant rises, so that no host of
//! before acknowledges beside the index. It leaves Held in the commit that settles the last batch. In
//! between nobody but the draining host appends, and the index takes no batch while a member of the
//! in-sync set is live, so that a drain ends.

use super::overlay::View;
use super::recasting::{Recasting, Why, configuration};
use super::rights::Caller;
use super::{Answer, Decision, copies};
use crate::index::record::{Change, HeldRecord, TopicRecord, TopicState};
use crate::replication::configuration::{Configuration, Phase};
use crate::replication::held::{Held, Incoming, Refusal};
use crate::replication::manager;
use crate::replication::rules::Rules;
use crate::types::{Epoch, TopicId};
use crate::wire::index::copies::{HeldInfo, HeldMessages, HeldSettled, SettledHeld};
use crate::wire::{ErrorCode, ErrorReply};

/// Takes a batch, which was verified.
pub(super) fn hold(
    view: &View<'_>,
    caller: Caller,
    topic: TopicId,
    batch: Incoming,
    bytes: &bytes::Bytes,
) -> Result<Decision, ErrorReply> {
    let record = copies::by_id(view, topic)?;
    copies::is_current(view, &record)?;
    if !batch.producer.belongs_to(caller.key) {
        return Err(ErrorReply::foreign_producer(batch.producer, caller.key));
    }
    let now = configuration(view, &record);
    nobody_is_live(view, &record, &now)?;
    let place = view.base.judge_held(topic, batch);
    let place = place.map_err(|why| refused(&record, &why))?;
    let mut decision = Decision::answered(Answer::Done);
    let known = view.base.held_info(topic);
    let held = match place {
        // It was answered before, and the answer was lost.
        Held::Already(_) => known.unwrap_or(HeldInfo {
            messages: 0,
            bytes: 0,
            since: view.now,
        }),
        Held::Store(held) => {
            if let Some(next) = held_phase(view, &now) {
                let mut recasting = Recasting::default();
                recasting.next(view, record, &next);
                recasting.finish(&mut decision, Why::Held);
            }
            let since = view.now;
            decision.changes.push(Change::PutHeld(HeldRecord {
                topic,
                held,
                batch,
                since,
            }));
            decision.changes.push(Change::PutHeldBatch {
                topic,
                held,
                batch: bytes.clone(),
            });
            HeldInfo {
                messages: known.map_or(0, |known| known.messages) + batch.count,
                bytes: known.map_or(0, |known| known.bytes) + batch.bytes,
                since: known.map_or(since, |known| known.since),
            }
        }
    };
    decision.answer = Ok(Answer::Held(HeldMessages { held }));
    Ok(decision)
}

/// Refuses while a member of the set is live, or may be: it is, or will be, the host.
fn nobody_is_live(
    view: &View<'_>,
    record: &TopicRecord,
    now: &Configuration,
) -> Result<(), ErrorReply> {
    let name = &record.name;
    let why = if now.in_sync.is_empty() {
        format!(
            "no copy of topic '{name}' is known to be whole, so nothing is taken for it: waypost topic recover"
        )
    } else if now.in_sync.iter().any(|p| view.base.standing(p).live) {
        format!(
            "a peer that can host topic '{name}' is live, or was a moment ago; publish to it, or try again"
        )
    } else {
        return Ok(());
    };
    Err(ErrorReply::new(ErrorCode::NotReady, why))
}

/// The record as it is while messages are held; `None`: it is so already.
fn held_phase(view: &View<'_>, now: &Configuration) -> Option<Configuration> {
    let standing = |peer| view.base.standing(peer);
    let offline = manager::stand(now, standing, Rules::ALL).unwrap_or(*now);
    manager::hold(&offline)
}

/// A host by another way than its return drains what is held first, too.
pub(super) fn first(view: &View<'_>, topic: TopicId, next: Configuration) -> Configuration {
    match view.base.held_info(topic) {
        Some(_) if next.phase == Phase::Serving => Configuration {
            phase: Phase::Held,
            ..next
        },
        _ => next,
    }
}

fn refused(record: &TopicRecord, why: &Refusal) -> ErrorReply {
    let code = match why {
        Refusal::BatchTooLarge { .. } => ErrorCode::TooLarge,
        Refusal::Full => ErrorCode::HeldFull,
        Refusal::Gap { .. } => ErrorCode::SequenceGap,
    };
    let name = &record.name;
    ErrorReply::new(
        code,
        format!("nobody hosts topic '{name}' now, and the index does not hold this batch: {why}"),
    )
}

/// Who may drain: the host of the topic, under the epoch that holds.
pub(super) fn may_drain(
    view: &View<'_>,
    caller: Caller,
    topic: TopicId,
    epoch: Epoch,
) -> Result<TopicRecord, ErrorReply> {
    let record = copies::by_id(view, topic)?;
    copies::is_current(view, &record)?;
    let name = &record.name;
    if record.host != caller.key {
        return Err(ErrorReply::new(
            ErrorCode::NotHost,
            format!(
                "only its host drains what is held of topic '{name}'; that is not {}",
                caller.key
            ),
        ));
    }
    let current = copies::epoch(view, &record);
    if epoch != current {
        return Err(ErrorReply::new(
            ErrorCode::StaleEpoch,
            format!("topic '{name}' has epoch {current}, not {epoch}"),
        ));
    }
    Ok(record)
}

/// Hands out the next page.
pub(super) fn drain(
    view: &View<'_>,
    caller: Caller,
    topic: TopicId,
    epoch: Epoch,
) -> Result<Decision, ErrorReply> {
    may_drain(view, caller, topic, epoch)?;
    Ok(Decision::answered(Answer::MayDrain))
}

/// Forgets what the host has committed; after the last the topic opens.
pub(super) fn settled(
    view: &View<'_>,
    caller: Caller,
    request: &HeldSettled,
) -> Result<Decision, ErrorReply> {
    let topic = request.topic;
    let record = may_drain(view, caller, topic, request.epoch)?;
    let gone = match request.through {
        Some(through) => view.base.settles(topic, request.epoch, through),
        None => vec![],
    };
    let mut decision = Decision::answered(Answer::Done);
    for &held in &gone {
        forget(&mut decision, topic, held);
    }
    let queued = view.base.held_sequences(topic).len();
    let open = queued == gone.len() && record.state == TopicState::Held;
    let opened = open.then(|| manager::opened(&configuration(view, &record)));
    let after = match opened.flatten() {
        Some(next) => {
            debug_assert_eq!(next.phase, Phase::Serving);
            let mut recasting = Recasting::default();
            let after = recasting.next(view, record, &next);
            recasting.finish(&mut decision, Why::Drained);
            after
        }
        None => record,
    };
    decision.answer = Ok(Answer::Settled(SettledHeld {
        copies: after.copies(),
        left: (queued - gone.len()) as u64,
    }));
    Ok(decision)
}

fn forget(decision: &mut Decision, topic: TopicId, held: u64) {
    decision.changes.push(Change::DeleteHeld { topic, held });
    let batch = Change::DeleteHeldBatch { topic, held };
    decision.changes.push(batch);
}

/// What is held of a topic goes with it.
pub(super) fn delete_all(view: &View<'_>, decision: &mut Decision, topic: TopicId) {
    for held in view.base.held_sequences(topic) {
        forget(decision, topic, held);
    }
}
