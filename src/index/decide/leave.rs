//! Leaving: a peer by its own wish, or a name freed by the operator.
//!
//! These walk whole tables and are decided alone ([`super::Event::stands_alone`]).

use hashbrown::HashSet;

use super::copies::{all_current, wanted};
use super::moves::{self, can_move};
use super::overlay::View;
use super::recasting::{Places, Recasting, Why};
use super::rights::{self, Action, Caller};
use super::topics::{gone, peer_not_found, remove};
use super::{Answer, Decision, Effect, Happened};
use crate::index::record::{Change, Counters, PeerRecord, TopicRecord, TopicState, WaitingRecord};
use crate::limits;
use crate::replication::members::Members;
use crate::types::{Fingerprint, Group, PeerName, TopicName};
use crate::wire::index::{Deregistered, Forgotten, SessionEnd};
use crate::wire::{ErrorCode, ErrorReply};

/// A live peer's topics move to others first, as long as there are any who can take them: the caller
/// repeats the request until none is left. Those that nobody can take go with the peer, if it agrees.
pub(super) fn deregister(
    view: &mut View<'_>,
    caller: Caller,
    delete_hosted: u32,
    discard: bool,
) -> Result<Decision, ErrorReply> {
    let peer = rights::own(view, caller)?;
    all_current(view, caller.key)?;
    let some = match view.base.is_live(caller.key) {
        true => moving(view, caller.key, discard),
        false => Vec::new(),
    };
    if !some.is_empty() {
        let left = view.base.hosted_count(caller.key);
        let mut decision =
            Decision::answered(Answer::Deregistered(Deregistered { deleted: 0, left }));
        moves::away_from(view, &mut decision, &peer.name, &some);
        decision.effects.push(Effect::Leaving { peer: caller.key });
        return Ok(decision);
    }
    let kept = view.base.kept(caller.key);
    let going = [caller.key];
    let sole = kept.iter().filter(|topic| is_sole(topic, &going)).count() as u32;
    if sole > delete_hosted {
        return Err(ErrorReply::new(
            ErrorCode::NeedsConfirmation,
            format!(
                "peer {} hosts {sole} topics that nobody else has, which would be deleted; {delete_hosted} were confirmed",
                peer.name
            ),
        ));
    }
    let mut counters = view.counters();
    let done = Deregistered {
        deleted: sole,
        left: 0,
    };
    let mut decision = Decision::answered(Answer::Deregistered(done));
    drop_kept(
        view,
        &mut decision,
        caller.key,
        &going,
        Some(&peer.name),
        &mut counters,
    );
    drop_subscriptions(view, &mut decision, caller.key);
    drop_remains(view, &mut decision, caller.key);
    finish(view, &mut decision, &peer.name, caller.key, counters);
    decision.effects.push(Effect::Log(Happened::Unregistered {
        peer: peer.name,
        deleted: sole,
    }));
    Ok(decision)
}

/// The next topics of a live peer that others can take. Asked at each poll: it copies no more records
/// than it answers, and looks no further than it must.
fn moving(view: &View<'_>, key: Fingerprint, discard: bool) -> Vec<TopicRecord> {
    let me = view.base.peer_no(key);
    let places = Places::new(view);
    let mut found = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from.filter(|_| found.len() < limits::MOVES_AT_ONCE) {
        let (named, next) = view.base.named_from(Some(key), at);
        let movable = named.filter(|named| {
            let record = &named.record;
            let hosts = Some(record.host) == me;
            let sole = record.in_sync == Members::one(record.host);
            hosts && !(discard && sole) && can_move(view, record, &places)
        });
        let room = limits::MOVES_AT_ONCE - found.len();
        let movable = movable.take(room);
        found.extend(movable.map(|named| view.base.record_in(named.slot)));
        from = next;
    }
    found
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
    // What only this peer has may be all that is left: the record does not say.
    going.iter().try_for_each(|&key| all_current(view, key))?;
    for &key in &going {
        deleted += drop_kept(view, &mut decision, key, &going, None, &mut counters);
    }
    // After all topics: subscriptions to topics that go end with these, whosever they are.
    for &key in &going {
        drop_subscriptions(view, &mut decision, key);
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

/// Subscriptions of one of the keys that are going, except those that end with their topics.
fn drop_subscriptions(view: &View<'_>, decision: &mut Decision, key: Fingerprint) {
    let ended: HashSet<(Fingerprint, TopicName, Group)> = decision
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::DeleteSubscription { peer, name, group } => {
                Some((*peer, name.clone(), group.clone()))
            }
            _ => None,
        })
        .collect();
    let own = view.base.subscriptions_of(key).into_iter();
    let staying = own.map(|(name, group)| (key, name, group));
    let staying = staying.filter(|entry| !ended.contains(entry));
    decision.changes.extend(
        staying.map(|(peer, name, group)| Change::DeleteSubscription { peer, name, group }),
    );
}

/// Whether nobody but those who are going has everything of a topic.
fn is_sole(topic: &TopicRecord, going: &[Fingerprint]) -> bool {
    let gone = |peers: &[Fingerprint]| peers.iter().all(|peer| going.contains(peer));
    // Where nobody is in sync, any copy is as good as another.
    match topic.in_sync.is_empty() {
        true => gone(&topic.replicas),
        false => gone(&topic.in_sync),
    }
}

/// Takes one of the keys that are going out of its topics; those of which nobody else has everything
/// are deleted. How many were. Those of several keys go with the first of them.
fn drop_kept(
    view: &mut View<'_>,
    decision: &mut Decision,
    key: Fingerprint,
    going: &[Fingerprint],
    by: Option<&PeerName>,
    counters: &mut Counters,
) -> u32 {
    let earlier = |topic: &TopicRecord| {
        let mut earlier = going.iter().take_while(|&&other| other != key);
        earlier.any(|other| topic.replicas.contains(other) || topic.owner == *other)
    };
    let mut kept: Vec<TopicRecord> = view.base.kept_or_owned(key);
    kept.retain(|topic| !earlier(topic));
    // By name: where topics lie in memory must not show in the order of notices.
    kept.sort_by(|a, b| a.name.cmp(&b.name));
    let mut recasting = Recasting::default();
    let (mut deleted, mut lacks) = (0, false);
    for record in &kept {
        if !is_sole(record, going) {
            if let Some(after) = without(view, record, going, by.is_some()) {
                lacks |= after.replicas.len() < wanted(&after);
                recasting.put(view, record, after);
            }
            continue;
        }
        deleted += 1;
        remove(view, decision, record, going, by, counters);
        for &peer in record.replicas.iter().filter(|peer| !going.contains(peer)) {
            recasting.erase(peer, record.topic);
        }
        decision.effects.push(gone(record));
    }
    let why = view.name_of(key).map_or(Why::Reviewed, Why::Leaves);
    recasting.finish(decision, why);
    if lacks {
        decision.effects.push(Effect::PlaceCopies);
    }
    deleted
}

/// The record without those who are going. If the host is one of them, another member takes its place,
/// a live one if there is any. One that leaves by its own wish passes on what it owns.
fn without(
    view: &View<'_>,
    record: &TopicRecord,
    going: &[Fingerprint],
    passes_on: bool,
) -> Option<TopicRecord> {
    let stays = |keys: &[Fingerprint]| -> Vec<Fingerprint> {
        let keys = keys.iter().copied();
        keys.filter(|key| !going.contains(key)).collect()
    };
    let in_sync = stays(&record.in_sync);
    let replicas = stays(&record.replicas);
    let moves = going.contains(&record.host);
    let host = match moves {
        false => record.host,
        true => *if in_sync.is_empty() {
            &replicas
        } else {
            &in_sync
        }
        .iter()
        .min_by_key(|&&key| (!view.base.is_live(key), view.base.hosted_count(key)))?,
    };
    let owner = match passes_on && going.contains(&record.owner) {
        true => host,
        false => record.owner,
    };
    if owner == record.owner && replicas == record.replicas {
        return None;
    }
    let state = match record.state {
        TopicState::HandingOver { to } if !moves && !going.contains(&to) => record.state,
        TopicState::Held => TopicState::Held,
        _ if in_sync.contains(&host) => TopicState::Serving,
        _ => TopicState::Offline,
    };
    Some(TopicRecord {
        version: record.version + 1,
        grant: record.grant + u32::from(moves),
        owner,
        host,
        in_sync,
        replicas,
        state,
        ..record.clone()
    })
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
