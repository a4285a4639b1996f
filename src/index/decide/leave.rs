//! Leaving: a peer by its own wish, or a name freed by the operator.
//!
//! These walk whole tables and are decided alone ([`super::Event::stands_alone`]).

use super::overlay::View;
use super::rights::{self, Action, Caller};
use super::topics::{gone, peer_not_found, remove};
use super::{Answer, Decision, Effect, Happened};
use crate::index::record::{Change, Counters, PeerRecord, TopicRecord, WaitingRecord};
use crate::types::{Fingerprint, PeerName};
use crate::wire::index::{Deregistered, Forgotten, SessionEnd};
use crate::wire::{ErrorCode, ErrorReply};

pub(super) fn deregister(
    view: &mut View<'_>,
    caller: Caller,
    delete_hosted: u32,
) -> Result<Decision, ErrorReply> {
    let peer = rights::own(view, caller)?;
    let hosted = view.base.hosted_count(caller.key);
    if hosted != delete_hosted {
        return Err(ErrorReply::new(
            ErrorCode::NeedsConfirmation,
            format!(
                "peer {} hosts {hosted} topics, which would be deleted; {delete_hosted} were confirmed",
                peer.name
            ),
        ));
    }
    let mut decision = Decision::answered(Answer::Deregistered(Deregistered { deleted: hosted }));
    let mut counters = view.counters();
    drop_hosted(
        view,
        &mut decision,
        caller.key,
        &[caller.key],
        Some(&peer.name),
        &mut counters,
    );
    drop_subscriptions(view, &mut decision, caller.key, &[caller.key]);
    drop_remains(view, &mut decision, caller.key);
    finish(view, &mut decision, &peer.name, caller.key, counters);
    decision.effects.push(Effect::Log(Happened::Unregistered {
        peer: peer.name,
        deleted: hosted,
    }));
    Ok(decision)
}

pub(super) fn forget(
    view: &mut View<'_>,
    caller: Caller,
    name: &PeerName,
    keep_topics: bool,
) -> Result<Decision, ErrorReply> {
    rights::check(view, caller, &Action::Forget)?;
    let peer = view.peer_named(name).cloned();
    let waiting = view.base.waiting_named(name);
    if peer.is_none() && (waiting.is_empty() || keep_topics) {
        return Err(peer_not_found(name));
    }
    let mut decision = Decision::answered(Answer::Done);
    let mut counters = view.counters();
    let (mut deleted, mut kept) = (0, 0);
    let going = keys_to_drop(view, peer.as_ref(), &waiting, keep_topics);
    for &key in &going {
        deleted += view.base.hosted_count(key);
        drop_hosted(view, &mut decision, key, &going, None, &mut counters);
        drop_subscriptions(view, &mut decision, key, &going);
        drop_remains(view, &mut decision, key);
    }
    if let Some(peer) = peer.as_ref().filter(|_| keep_topics) {
        kept = view.base.hosted_count(peer.fingerprint);
        keep(view, &mut decision, peer);
    }
    if !keep_topics {
        decision
            .changes
            .extend(waiting.iter().map(|record| Change::DeleteWaiting {
                fingerprint: record.fingerprint,
            }));
    }
    if let Some(peer) = peer {
        finish(view, &mut decision, name, peer.fingerprint, counters);
    } else if counters != view.counters() {
        decision.changes.push(Change::PutCounters(counters));
    }
    decision.effects.push(Effect::Log(Happened::Forgotten {
        peer: name.clone(),
        deleted,
        kept,
    }));
    decision.answer = Ok(Answer::Forgotten(Forgotten { deleted, kept }));
    Ok(decision)
}

/// The keys whose topics go with the name: the one bound to it and those forgotten earlier, unless
/// they are at home under another name by now.
fn keys_to_drop(
    view: &View<'_>,
    peer: Option<&PeerRecord>,
    waiting: &[WaitingRecord],
    keep_topics: bool,
) -> Vec<Fingerprint> {
    if keep_topics {
        return Vec::new();
    }
    let bound = peer.map(|peer| peer.fingerprint);
    let homeless = waiting.iter().map(|record| record.fingerprint);
    let homeless = homeless.filter(|&key| view.base.peer(key).is_none());
    bound.into_iter().chain(homeless).collect()
}

/// Lets a key's topics, and what it is to erase, wait for the name's next key. What it was to be
/// told and what it read goes, for positions belong to the key.
fn keep(view: &View<'_>, decision: &mut Decision, peer: &PeerRecord) {
    let key = peer.fingerprint;
    let own = view.base.subscriptions_of(key);
    decision.changes.extend(
        own.into_iter()
            .map(|(name, group)| Change::DeleteSubscription {
                peer: key,
                name,
                group,
            }),
    );
    decision.changes.extend(view.base.remains(key).0);
    decision.changes.push(Change::PutWaiting(WaitingRecord {
        fingerprint: key,
        name: peer.name.clone(),
        storage: peer.storage,
        incarnation: peer.incarnation,
    }));
}

/// Subscriptions of one of the keys that are going, except those to topics that go with any of
/// them: these end with their topics.
fn drop_subscriptions(
    view: &View<'_>,
    decision: &mut Decision,
    key: Fingerprint,
    going: &[Fingerprint],
) {
    let own = view.base.subscriptions_of(key).into_iter();
    let staying = own.filter(|(name, _)| {
        let topic = view.base.topic(name.as_str());
        topic.is_some_and(|topic| !going.contains(&topic.host))
    });
    decision
        .changes
        .extend(staying.map(|(name, group)| Change::DeleteSubscription {
            peer: key,
            name,
            group,
        }));
}

fn drop_hosted(
    view: &mut View<'_>,
    decision: &mut Decision,
    key: Fingerprint,
    going: &[Fingerprint],
    by: Option<&PeerName>,
    counters: &mut Counters,
) {
    let mut hosted: Vec<TopicRecord> = view.base.hosted(key);
    // By name: where topics lie in memory must not show in the order of notices.
    hosted.sort_by(|a, b| a.name.cmp(&b.name));
    for record in &hosted {
        remove(view, decision, record, going, by, counters);
        decision.effects.push(gone(record));
    }
}

/// Notices and erasures of a key that is not waited for.
fn drop_remains(view: &View<'_>, decision: &mut Decision, key: Fingerprint) {
    let (notices, erasures) = view.base.remains(key);
    decision.changes.extend(notices);
    let gone = erasures
        .into_iter()
        .map(|topic| Change::DeleteErasure { host: key, topic });
    decision.changes.extend(gone);
}

fn finish(
    view: &View<'_>,
    decision: &mut Decision,
    name: &PeerName,
    key: Fingerprint,
    counters: Counters,
) {
    if counters != view.counters() {
        decision.changes.push(Change::PutCounters(counters));
    }
    decision
        .changes
        .push(Change::DeletePeer { name: name.clone() });
    decision.effects.push(Effect::EndSession {
        peer: key,
        end: SessionEnd::Deregistered,
    });
}
