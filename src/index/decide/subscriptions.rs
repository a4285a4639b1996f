//! Subscriptions and what subscribers are to be told.

use super::overlay::View;
use super::rights::{self, Caller};
use super::topics::not_found;
use super::{Answer, Decision, Effect, Happened};
use crate::index::record::{Change, SubscriptionRecord, TopicRecord};
use crate::limits;
use crate::types::{Epoch, Group, TopicName, UnixMicros};
use crate::wire::index::{Route, Subscribed};
use crate::wire::{ErrorCode, ErrorReply};

pub(super) fn subscribe(
    view: &View<'_>,
    caller: Caller,
    name: &TopicName,
    group: &Group,
) -> Result<Decision, ErrorReply> {
    let peer = rights::own(view, caller)?;
    let topic = view.topic(name).ok_or_else(|| not_found(name))?;
    let new = !view.is_subscribed(caller.key, name, group);
    let route = route(view, &topic)?;
    let mut decision = Decision::answered(Answer::Subscribed(Subscribed { new, route }));
    if !new {
        return Ok(decision);
    }
    if view.subscription_count(caller.key) >= limits::SUBSCRIPTIONS_PER_PEER as i64 {
        return Err(ErrorReply::new(
            ErrorCode::QuotaExceeded,
            format!(
                "peer {} has {} subscriptions, which is the bound",
                peer.name,
                limits::SUBSCRIPTIONS_PER_PEER
            ),
        ));
    }
    decision
        .changes
        .push(Change::PutSubscription(SubscriptionRecord {
            peer: caller.key,
            name: name.clone(),
            group: group.clone(),
            topic: topic.topic,
            since: view.now,
        }));
    decision.effects.push(Effect::Log(Happened::Subscribed {
        peer: peer.name,
        topic: name.clone(),
    }));
    Ok(decision)
}

/// The route as it is before this commit: hosts and incarnations change only in commits of their
/// own.
fn route(view: &View<'_>, topic: &TopicRecord) -> Result<Route, ErrorReply> {
    let host = view.base.host_address(topic.host).cloned();
    let host = host.ok_or_else(|| not_found(&topic.name))?;
    let incarnation = view.peer(topic.host).map(|peer| peer.incarnation);
    let waiting = || {
        view.base
            .waiting(topic.host)
            .map(|waiting| waiting.incarnation)
    };
    Ok(Route {
        topic: topic.topic,
        epoch: Epoch {
            grant: topic.grant,
            incarnation: incarnation.or_else(waiting).unwrap_or(0),
        },
        host,
    })
}

pub(super) fn unsubscribe(
    view: &View<'_>,
    caller: Caller,
    name: &TopicName,
    group: &Group,
) -> Result<Decision, ErrorReply> {
    let peer = rights::own(view, caller)?;
    if !view.is_subscribed(caller.key, name, group) {
        return Err(ErrorReply::new(
            ErrorCode::NotSubscribed,
            format!("peer {} is not subscribed to topic '{name}'", peer.name),
        ));
    }
    let mut decision = Decision::answered(Answer::Done);
    decision.changes.push(Change::DeleteSubscription {
        peer: caller.key,
        name: name.clone(),
        group: group.clone(),
    });
    decision.effects.push(Effect::Log(Happened::Unsubscribed {
        peer: peer.name,
        topic: name.clone(),
    }));
    Ok(decision)
}

pub(super) fn clear(view: &View<'_>, caller: Caller, serial: u64) -> Result<Decision, ErrorReply> {
    rights::own(view, caller)?;
    let mut decision = Decision::answered(Answer::Done);
    let shown = view
        .notices(caller.key)
        .into_iter()
        .take_while(|&known| known <= serial);
    decision
        .changes
        .extend(shown.map(|serial| Change::DeleteNotice {
            peer: caller.key,
            serial,
        }));
    Ok(decision)
}

pub(super) fn prune(view: &View<'_>) -> Decision {
    let age = i64::try_from(limits::NOTICE_AGE.as_micros()).unwrap_or(i64::MAX);
    let before = UnixMicros(view.now.0.saturating_sub(age));
    let mut decision = Decision::answered(Answer::Done);
    decision.changes = view.base.old_notices(before, limits::CHANGES_PER_COMMIT);
    decision
}
