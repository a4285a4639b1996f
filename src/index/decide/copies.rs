//! What becomes of topics' copies: in-sync sets, elections, placement, repair. All rules are
//! `replication::manager`'s; here they meet the directory.
//!
//! A topic whose members are all away is not rewritten: it has the host that it had, and goes on as
//! soon as one of them is live. So a peer with a million topics comes and goes without a write.

use super::overlay::View;
use super::recasting::{Places, Recasting, Why, configuration};
use super::rights::Caller;
use super::{Answer, Decision, Effect};
use crate::index::directory::Slot;
use crate::index::record::TopicRecord;
use crate::limits;
use crate::replication::configuration::{self, Configuration, Phase, Refusal};
use crate::replication::manager;
use crate::replication::members::{COPIES, Members, PeerNo};
use crate::replication::rules::Rules;
use crate::types::{Epoch, Fingerprint, Incarnation, TopicId, TopicName};
use crate::wire::index::copies::{
    AlterInSync, AlterRefusal, AlteredInSync, HandOver, HandedOver, LeftInSync,
};
use crate::wire::{ErrorCode, ErrorReply};

/// A topic by its id.
pub(super) fn by_id(view: &View<'_>, topic: TopicId) -> Result<TopicRecord, ErrorReply> {
    let found = view.base.topic_by_id(topic).map(|found| found.name);
    let record = found.and_then(|name| view.topic(&name));
    record
        .filter(|record| record.topic == topic)
        .ok_or_else(|| {
            ErrorReply::new(
                ErrorCode::TopicNotFound,
                format!("there is no topic with the id {topic}"),
            )
        })
}

fn incarnation(view: &View<'_>, peer: PeerNo) -> Incarnation {
    let peer = view.peer(view.base.key_of(peer));
    peer.map_or(0, |peer| peer.incarnation)
}

/// The epoch that holds.
pub(super) fn epoch(view: &View<'_>, record: &TopicRecord) -> Epoch {
    Epoch {
        grant: record.grant,
        incarnation: view.peer(record.host).map_or(0, |peer| peer.incarnation),
    }
}

/// Copies that a topic is to have.
pub(super) fn wanted(record: &TopicRecord) -> usize {
    usize::from(record.settings.replicas).min(COPIES)
}

/// Nothing is decided about a topic of which a peer knows more than this index.
pub(super) fn is_current(view: &View<'_>, record: &TopicRecord) -> Result<(), ErrorReply> {
    if !view.base.is_behind(record.topic) {
        return Ok(());
    }
    Err(ErrorReply::new(
        ErrorCode::NotReady,
        format!(
            "a peer knows a later epoch of topic '{}' than this index, which comes from a backup; nothing is decided about it before: waypost index recover",
            record.name
        ),
    ))
}

/// As [`is_current`], of every topic of which a key keeps a copy.
pub(super) fn all_current(view: &View<'_>, key: Fingerprint) -> Result<(), ErrorReply> {
    let behind = view.base.behind_of(key);
    let record = behind.and_then(|topic| view.base.topic_by_id(topic));
    record.map_or(Ok(()), |record| is_current(view, &record))
}

// ---- a host's wishes ----

pub(super) fn alter(
    view: &View<'_>,
    caller: Caller,
    request: &AlterInSync,
) -> Result<Decision, ErrorReply> {
    let record = by_id(view, request.topic)?;
    is_current(view, &record)?;
    let now = configuration(view, &record);
    let altered = proposal(view, caller, request, &now).and_then(|proposal| {
        let current = |peer| incarnation(view, peer);
        manager::alter(&now, &proposal, current, Rules::ALL)
    });
    let mut decision = Decision::answered(Answer::Done);
    let reply = match altered {
        Ok(next) => {
            let next = trimmed(view, next, wanted(&record));
            let mut recasting = Recasting::default();
            let after = recasting.next(view, record, &next);
            recasting.finish(&mut decision, Why::Wished);
            AlteredInSync {
                copies: after.copies(),
                refused: None,
            }
        }
        Err(why) => AlteredInSync {
            copies: record.copies(),
            refused: Some(refusal(view, request, why)),
        },
    };
    decision.answer = Ok(Answer::Altered(reply));
    Ok(decision)
}

/// The request by numbers. A key that nobody knows is no replica.
fn proposal(
    view: &View<'_>,
    caller: Caller,
    request: &AlterInSync,
    record: &Configuration,
) -> Result<configuration::AlterInSync, Refusal> {
    let from = view.base.peer_no(caller.key).ok_or(Refusal::StaleEpoch)?;
    let mut members = Vec::with_capacity(request.members.len());
    for &(key, incarnation) in &request.members {
        let known = view.base.peer_no(key);
        // It may be about to be released while the proposal was on its way.
        members.push((known.ok_or(Refusal::StaleVersion)?, incarnation));
    }
    members.sort_unstable();
    members.dedup_by_key(|&mut (peer, _)| peer);
    if members.len() > COPIES {
        return Err(Refusal::NotReplica(record.host));
    }
    let mut incarnations = [0; COPIES];
    for (place, &(_, incarnation)) in incarnations.iter_mut().zip(&members) {
        *place = incarnation;
    }
    Ok(configuration::AlterInSync {
        from,
        epoch: request.epoch,
        version: request.version,
        members: members.iter().map(|&(peer, _)| peer).collect(),
        incarnations,
    })
}

fn refusal(view: &View<'_>, request: &AlterInSync, why: Refusal) -> AlterRefusal {
    let key = |peer: PeerNo| {
        let asked = request.members.iter().map(|&(key, _)| key);
        let found = asked
            .clone()
            .find(|&key| view.base.peer_no(key) == Some(peer));
        found.unwrap_or_else(|| view.base.key_of(peer))
    };
    match why {
        Refusal::StaleEpoch => AlterRefusal::StaleEpoch,
        Refusal::StaleVersion => AlterRefusal::StaleVersion,
        Refusal::StaleMember(peer) => AlterRefusal::StaleMember(key(peer)),
        Refusal::NotReplica(peer) => AlterRefusal::NotReplica(key(peer)),
        Refusal::LacksHost => AlterRefusal::LacksHost,
    }
}

/// Once enough live copies are in sync, those that are away and were made up for are let go.
fn trimmed(view: &View<'_>, record: Configuration, wanted: usize) -> Configuration {
    let live = |peer: PeerNo| view.base.standing(peer).live;
    let mut next = record;
    if record.in_sync.filter(live).len() < wanted {
        return next;
    }
    for peer in record.replicas.filter(|peer| !live(peer)).iter() {
        if next.replicas.len() > wanted {
            next = released(&next, peer).unwrap_or(next);
        }
    }
    next
}

/// As [`manager::release`], in the version of the change that it goes with.
fn released(record: &Configuration, peer: PeerNo) -> Option<Configuration> {
    let next = manager::release(record, peer)?;
    Some(Configuration {
        version: record.version,
        ..next
    })
}

pub(super) fn hand_over(
    view: &View<'_>,
    caller: Caller,
    request: &HandOver,
) -> Result<Decision, ErrorReply> {
    let before = by_id(view, request.topic)?;
    is_current(view, &before)?;
    let mut decision = Decision::answered(Answer::Done);
    let now = configuration(view, &before);
    let to = view
        .base
        .peer_no(request.to)
        .filter(|_| before.host == caller.key);
    let taken =
        to.and_then(|to| manager::taken_over(&now, request.epoch, epoch(view, &before), to));
    let mut after = before.clone();
    if let Some(taken) = taken {
        let leaves = view.base.is_leaving(before.host);
        let others = taken.in_sync.without(now.host);
        let live = others.filter(|peer| view.base.standing(peer).live);
        // The old host's copy goes where there are enough without it.
        let next = match leaves || live.len() >= wanted(&before) {
            true => released(&taken, now.host).unwrap_or(taken),
            false => taken,
        };
        let next = filled(view, &mut Places::new(view), &before, &next);
        let mut recasting = Recasting::default();
        let mut record = before.clone();
        if leaves && before.owner == before.host {
            record.owner = request.to;
        }
        after = recasting.next(view, record, &next);
        recasting.finish(&mut decision, Why::TakenOver);
    }
    decision.answer = Ok(Answer::HandedOver(HandedOver {
        copies: after.copies(),
    }));
    Ok(decision)
}

pub(super) fn leave_in_sync(
    view: &View<'_>,
    peer: Fingerprint,
    topic: TopicId,
) -> Result<Decision, ErrorReply> {
    let record = by_id(view, topic)?;
    is_current(view, &record)?;
    let mut decision = Decision::answered(Answer::Done);
    let mut after = record.clone();
    if let Some(next) = without_copy(view, &configuration(view, &record), peer) {
        let mut recasting = Recasting::default();
        after = recasting.next(view, record, &next);
        recasting.finish(&mut decision, lost(view, peer));
    }
    decision.answer = Ok(Answer::LeftInSync(LeftInSync {
        copies: after.copies(),
    }));
    Ok(decision)
}

/// Rule 10: out of the set; another member stands if it was the host.
pub(super) fn without_copy(
    view: &View<'_>,
    record: &Configuration,
    peer: Fingerprint,
) -> Option<Configuration> {
    let dropped = manager::drop_copy(record, view.base.peer_no(peer)?)?;
    let stands = manager::stand(&dropped, |peer| view.base.standing(peer), Rules::ALL);
    Some(stands.unwrap_or(dropped))
}

pub(super) fn lost(view: &View<'_>, peer: Fingerprint) -> Why {
    view.name_of(peer).map_or(Why::Reviewed, Why::Lost)
}

// ---- who comes and goes ----

/// Looks at the topics that name a peer, or at all, from a slot on: each gets a host that stands.
pub(super) fn review(view: &View<'_>, peer: Option<Fingerprint>, from: Slot) -> Decision {
    let (named, mut next) = view.base.named_from(peer, from);
    let mut recasting = Recasting::default();
    let mut lacks = false;
    for named in named {
        if recasting.len() >= limits::CHANGES_PER_COMMIT {
            next = Some(named.slot);
            break;
        }
        if named.wanted > 1 && named.record.replicas.len() >= named.wanted {
            recasting.look_at(named.topic);
        }
        if let Some(stands) = stands(view, &named.record) {
            // Passed over as long as nobody hosted it.
            lacks |= named.record.replicas.len() < named.wanted;
            recasting.next(view, view.base.record_in(named.slot), &stands);
        }
    }
    let mut decision = Decision::answered(Answer::Walked { next });
    recasting.finish(&mut decision, whose(view, peer));
    if lacks {
        decision.effects.push(Effect::PlaceCopies);
    }
    decision
}

fn whose(view: &View<'_>, peer: Option<Fingerprint>) -> Why {
    let Some((key, name)) = peer.and_then(|key| Some((key, view.name_of(key)?))) else {
        return Why::Reviewed;
    };
    match view.base.is_live(key) {
        true => Why::Live(name),
        false => Why::Away(name),
    }
}

/// Another host or phase, if there must be one.
fn stands(view: &View<'_>, record: &Configuration) -> Option<Configuration> {
    let next = manager::stand(record, |peer| view.base.standing(peer), Rules::ALL)?;
    let only_away = next.phase == Phase::Offline && record.in_sync.contains(record.host);
    (!only_away).then_some(next)
}

// ---- placement and repair ----

/// Gives topics that never had their copies some, from a slot on and a bounded number at once.
pub(super) fn place(view: &View<'_>, from: Slot) -> Decision {
    let mut places = Places::new(view);
    let mut recasting = Recasting::default();
    if !places.others(None) {
        return Decision::answered(Answer::Walked { next: None });
    }
    let (named, mut next) = view.base.named_from(None, from);
    for named in named {
        if recasting.len() >= limits::PLACED_AT_ONCE {
            next = Some(named.slot);
            break;
        }
        let record = &named.record;
        let lacks = record.replicas.len() < named.wanted;
        if !lacks || !view.base.standing(record.host).live || record.acting_host().is_none() {
            continue;
        }
        let subscribed = |peer| view.base.subscribes(peer, named.slot);
        let replicas = places.choose(view, named.topic, record, named.wanted, subscribed);
        let replicas = more(record, replicas, named.wanted);
        if let Some(placed) = manager::with_replicas(record, replicas) {
            recasting.next(view, view.base.record_in(named.slot), &placed);
        }
    }
    let mut decision = Decision::answered(Answer::Walked { next });
    recasting.finish(&mut decision, Why::Placed);
    decision
}

/// Makes up for copies that have been away for long. Those stay until the new ones are in sync.
pub(super) fn repair(view: &View<'_>, topics: &[TopicId]) -> Decision {
    let mut places = Places::new(view);
    let mut recasting = Recasting::default();
    let mut put_off = Vec::new();
    for &topic in topics {
        let record = by_id(view, topic);
        let Some(record) = record.ok().filter(|found| is_current(view, found).is_ok()) else {
            continue;
        };
        let now = configuration(view, &record);
        let away = |peer: PeerNo| !view.base.standing(peer).live;
        let away = now.in_sync.with(now.host).filter(away).len();
        let subscribed = subscribed(view, &record.name);
        let replicas = places.choose(view, topic, &now, wanted(&record) + away, subscribed);
        let new = replicas.iter().any(|peer| !now.replicas.contains(peer));
        match manager::with_replicas(&now, replicas).filter(|_| new) {
            Some(next) => _ = recasting.next(view, record, &next),
            None => put_off.push(topic),
        }
    }
    let mut decision = Decision::answered(Answer::Done);
    recasting.finish(&mut decision, Why::Repaired);
    if !put_off.is_empty() {
        decision
            .effects
            .push(Effect::RepairLater { topics: put_off });
    }
    decision
}

/// The replicas of a topic that is created at `host`.
pub(super) fn first_replicas(
    view: &View<'_>,
    places: &mut Places,
    topic: TopicId,
    host: PeerNo,
    wanted: usize,
) -> Members {
    let record = Configuration::created(host);
    places.choose(view, topic, &record, wanted.min(COPIES), |_| false)
}

fn subscribed(view: &View<'_>, name: &TopicName) -> impl Fn(PeerNo) -> bool {
    let keys = view.subscribers(name).into_iter();
    let subscribers: Vec<_> = keys.filter_map(|(key, _)| view.base.peer_no(key)).collect();
    move |peer| subscribers.contains(&peer)
}

/// The replicas that there are and, up to `wanted`, the new ones of those chosen.
fn more(record: &Configuration, chosen: Members, wanted: usize) -> Members {
    let new = chosen.filter(|peer| !record.replicas.contains(peer));
    let room = wanted.saturating_sub(record.replicas.len());
    new.iter()
        .take(room)
        .fold(record.replicas, |set, peer| set.with(peer))
}

/// A change of a topic with the copies that it leaves missing, as far as somebody can keep them.
fn filled(
    view: &View<'_>,
    places: &mut Places,
    topic: &TopicRecord,
    next: &Configuration,
) -> Configuration {
    let wanted = wanted(topic);
    if next.replicas.len() >= wanted {
        return *next;
    }
    let subscribed = subscribed(view, &topic.name);
    let replicas = places.choose(view, topic.topic, next, wanted, subscribed);
    Configuration {
        replicas: more(next, replicas, wanted),
        ..*next
    }
}

/// Whether a topic, if there is such a one, lacks copies by name.
pub(super) fn lacks(view: &View<'_>, topic: TopicId) -> bool {
    let record = by_id(view, topic);
    record.is_ok_and(|record| record.replicas.len() < wanted(&record))
}

/// The record with as many copies as its settings now want. Of copies in sync that are too many, those
/// away go first, then the most loaded; the host's stays.
pub(super) fn resized(view: &View<'_>, record: &TopicRecord) -> Configuration {
    let now = configuration(view, record);
    let wanted = wanted(record);
    let subscribed = subscribed(view, &record.name);
    let replicas = Places::new(view).choose(view, record.topic, &now, wanted, subscribed);
    let mut next = manager::with_replicas(&now, replicas).unwrap_or(now);
    if now.phase == Phase::Serving {
        let mut extra: Vec<PeerNo> = next.in_sync.without(now.host).iter().collect();
        extra.sort_by_key(|&peer| {
            let standing = view.base.standing(peer);
            (standing.live, std::cmp::Reverse(standing.load), peer)
        });
        for peer in extra {
            if next.replicas.len() > wanted {
                next = released(&next, peer).unwrap_or(next);
            }
        }
    }
    Configuration {
        version: now.version,
        ..next
    }
}
