//! Creating, changing and deleting topics.

use std::collections::BTreeMap;

use hashbrown::HashSet;

use super::copies::{self, first_replicas, is_current, resized};
use super::held;
use super::overlay::View;
use super::recasting::{Places, Recasting, Why, configuration, recast};
use super::rights::{self, Action, Caller};
use super::{Answer, Decision, Effect, Happened};
use crate::index::directory::ErasureNo;
use crate::index::record::{Change, Counters, PeerRecord, TopicRecord, TopicState};
use crate::limits;
use crate::replication::configuration::Configuration;
use crate::types::{Epoch, Fingerprint, PeerName, TopicId, TopicName, TopicSettings, Version};
use crate::wire::index::{CreateOutcome, DeletedTopic, NewTopic, SetTopicDone};
use crate::wire::{ErrorCode, ErrorReply};

/// The grant of a topic's first host.
const FIRST_GRANT: u32 = 1;

/// The error for a topic that is not there.
pub(crate) fn not_found(name: &TopicName) -> ErrorReply {
    ErrorReply::new(
        ErrorCode::TopicNotFound,
        format!("there is no topic '{name}'"),
    )
}

pub(super) fn create(
    view: &View<'_>,
    caller: Caller,
    topics: &[(NewTopic, TopicId)],
    host: Option<&PeerName>,
) -> Result<Decision, ErrorReply> {
    let owner = rights::own(view, caller)?;
    if view.base.is_restored() {
        // It may exist where this index does not know of it.
        let why =
            "this index comes from a backup; no topics are created before: waypost index recover";
        return Err(ErrorReply::new(ErrorCode::NotReady, why));
    }
    let mut asked = HashSet::new();
    let plans: Vec<Plan> = topics
        .iter()
        .map(|(topic, _)| plan(view, &owner, topic, asked.insert(&topic.name)))
        .collect();
    let mut decision = Decision::answered(Answer::Done);
    let mut host_address = None;
    let mut outcomes = Vec::with_capacity(plans.len());
    if plans.iter().any(|plan| matches!(plan, Plan::Create)) {
        let host = choose_host(view, caller, host)?;
        let created = plans
            .iter()
            .zip(topics)
            .filter(|(plan, _)| matches!(plan, Plan::Create));
        add_creations(
            &mut decision,
            view,
            &owner,
            &host,
            created.map(|(_, topic)| topic),
        );
        host_address = view.base.host_address(host.fingerprint).cloned();
        outcomes = outcomes_of(plans, topics, host.incarnation);
    } else {
        outcomes.extend(outcomes_of(plans, topics, 0));
    }
    for ((topic, _), outcome) in topics.iter().zip(&outcomes) {
        if matches!(outcome, CreateOutcome::Exists { .. }) {
            decision.effects.push(Effect::Log(Happened::Existed {
                peer: owner.name.clone(),
                topic: topic.name.clone(),
            }));
        }
    }
    decision.answer = Ok(Answer::Created {
        host: host_address,
        outcomes,
    });
    Ok(decision)
}

enum Plan {
    Create,
    No(CreateOutcome),
}

fn plan(view: &View<'_>, owner: &PeerRecord, topic: &NewTopic, first: bool) -> Plan {
    if let Err(why) = check_settings(&topic.settings) {
        return Plan::No(CreateOutcome::Refused(why));
    }
    let taken_by = match view.topic(&topic.name) {
        Some(taken) => view.name_of(taken.owner),
        // Asked twice in one request.
        None if !first => Some(owner.name.clone()),
        None => return Plan::Create,
    };
    Plan::No(CreateOutcome::Exists { owner: taken_by })
}

fn outcomes_of(
    plans: Vec<Plan>,
    topics: &[(NewTopic, TopicId)],
    incarnation: u32,
) -> Vec<CreateOutcome> {
    let epoch = Epoch {
        grant: FIRST_GRANT,
        incarnation,
    };
    plans
        .into_iter()
        .zip(topics)
        .map(|(plan, &(_, topic))| match plan {
            Plan::Create => CreateOutcome::Created { topic, epoch },
            Plan::No(outcome) => outcome,
        })
        .collect()
}

fn add_creations<'t>(
    decision: &mut Decision,
    view: &View<'_>,
    owner: &PeerRecord,
    host: &PeerRecord,
    topics: impl Iterator<Item = &'t (NewTopic, TopicId)>,
) {
    let mut ids = Vec::new();
    let mut names = Vec::new();
    let mut copies: BTreeMap<Fingerprint, Vec<TopicId>> = BTreeMap::new();
    let mut places = Places::new(view);
    // A live host is in the directory.
    let number = view.base.peer_no(host.fingerprint).unwrap_or_default();
    for (topic, id) in topics {
        ids.push(*id);
        let wanted = usize::from(topic.settings.replicas);
        let replicas = view
            .base
            .keys_of(first_replicas(view, &mut places, *id, number, wanted));
        for &other in replicas.iter().filter(|&&key| key != host.fingerprint) {
            copies.entry(other).or_default().push(*id);
        }
        names.push(topic.name.clone());
        decision.changes.push(Change::PutTopic(TopicRecord {
            name: topic.name.clone(),
            topic: *id,
            version: 1,
            owner: owner.fingerprint,
            host: host.fingerprint,
            grant: FIRST_GRANT,
            in_sync: vec![host.fingerprint],
            replicas,
            settings: topic.settings,
            state: TopicState::Serving,
            lineage: 0,
            created: view.now,
        }));
    }
    decision.effects.push(Effect::Log(Happened::Created {
        peer: owner.name.clone(),
        topics: names,
        host: host.name.clone(),
    }));
    decision.effects.push(Effect::Assign {
        host: host.fingerprint,
        topics: ids,
    });
    let copies = copies.into_iter();
    decision
        .effects
        .extend(copies.map(|(host, topics)| Effect::Assign { host, topics }));
}

/// The named peer, else the caller's own, else the live one that hosts least.
fn choose_host(
    view: &View<'_>,
    caller: Caller,
    named: Option<&PeerName>,
) -> Result<PeerRecord, ErrorReply> {
    if let Some(name) = named {
        let peer = view.peer_named(name).ok_or_else(|| peer_not_found(name))?;
        if view.base.is_live(peer.fingerprint) {
            return Ok(peer.clone());
        }
        return Err(ErrorReply::new(
            ErrorCode::NoLiveHost,
            format!("peer {name} is not live; start it: waypost peer --id {name}"),
        ));
    }
    if let Some(own) = view
        .peer(caller.key)
        .filter(|_| view.base.is_live(caller.key))
    {
        return Ok(own.clone());
    }
    let live = view.base.live_peers().map(|(peer, _)| peer);
    let least = live.min_by_key(|peer| (view.hosted_count(peer.fingerprint), &peer.name));
    least.cloned().ok_or_else(|| {
        ErrorReply::new(
            ErrorCode::NoLiveHost,
            "no peer is live to host the topic; start one: waypost peer --id NAME",
        )
    })
}

pub(crate) fn peer_not_found(name: &PeerName) -> ErrorReply {
    ErrorReply::new(ErrorCode::PeerNotFound, format!("there is no peer {name}"))
}

fn check_settings(settings: &TopicSettings) -> Result<(), ErrorReply> {
    let TopicSettings {
        replicas,
        min_in_sync,
        ..
    } = *settings;
    if (1..=limits::COPIES).contains(&usize::from(replicas))
        && (1..=replicas).contains(&min_in_sync)
    {
        return Ok(());
    }
    Err(ErrorReply::new(
        ErrorCode::Malformed,
        format!(
            "replicas must be between 1 and {} and min_in_sync between 1 and replicas; \
             found replicas {replicas} and min_in_sync {min_in_sync}",
            limits::COPIES
        ),
    ))
}

pub(super) fn delete(
    view: &mut View<'_>,
    caller: Caller,
    name: &TopicName,
    topic: Option<TopicId>,
) -> Result<Decision, ErrorReply> {
    let record = view.topic(name).ok_or_else(|| not_found(name))?;
    let deleter = rights::check(view, caller, &Action::Change(&record))?;
    let by = deleter.map(|peer| peer.name.clone());
    if topic.is_some_and(|wanted| wanted != record.topic) {
        return Err(ErrorReply::new(
            ErrorCode::TopicNotFound,
            format!("the topic '{name}' of today is another one than the one to delete"),
        ));
    }
    let mut counters = view.counters();
    let mut decision = Decision::answered(Answer::Done);
    let told = remove(
        view,
        &mut decision,
        &record,
        &[caller.key],
        by.as_ref(),
        &mut counters,
    );
    decision.effects.push(gone(&record));
    let mut recasting = Recasting::default();
    for &peer in &record.replicas {
        recasting.erase(peer, record.topic);
    }
    recasting.finish(&mut decision, Why::Set);
    if counters != view.counters() {
        decision.changes.push(Change::PutCounters(counters));
    }
    decision.effects.push(Effect::Log(Happened::Deleted {
        peer: by,
        topic: name.clone(),
    }));
    decision.answer = Ok(Answer::Deleted(DeletedTopic {
        topic: record.topic,
        subscribers: told,
    }));
    Ok(decision)
}

/// Adds the changes that end a topic: subscriptions, notices, its report and itself. How many peers
/// are told; `untold` hear it by the answer, or leave.
pub(super) fn remove(
    view: &mut View<'_>,
    decision: &mut Decision,
    record: &TopicRecord,
    untold: &[Fingerprint],
    by: Option<&PeerName>,
    counters: &mut Counters,
) -> u32 {
    let subscribers = view.subscribers(&record.name);
    let mut told: Vec<Fingerprint> = subscribers.iter().map(|&(peer, _)| peer).collect();
    told.dedup();
    told.retain(|peer| !untold.contains(peer));
    let gone = subscribers
        .into_iter()
        .map(|(peer, group)| Change::DeleteSubscription {
            peer,
            name: record.name.clone(),
            group,
        });
    decision.changes.extend(gone);
    decision
        .changes
        .extend(view.notify_deleted(&told, record, by, counters));
    if view.base.has_report(record.topic) {
        decision.changes.push(Change::DeleteReport {
            topic: record.topic,
        });
    }
    held::delete_all(view, decision, record.topic);
    decision.changes.push(Change::DeleteTopic {
        name: record.name.clone(),
        topic: record.topic,
    });
    told.len() as u32
}

/// For whoever waits for the topic's acceptance while it is deleted.
pub(super) fn gone(record: &TopicRecord) -> Effect {
    Effect::TopicGone {
        topic: record.topic,
        why: ErrorReply::new(
            ErrorCode::TopicNotFound,
            format!("the topic '{}' was deleted meanwhile", record.name),
        ),
    }
}

pub(super) fn set(
    view: &View<'_>,
    caller: Caller,
    name: &TopicName,
    version: Version,
    settings: &TopicSettings,
) -> Result<Decision, ErrorReply> {
    let record = view.topic(name).ok_or_else(|| not_found(name))?;
    let by = rights::check(view, caller, &Action::Change(&record))?;
    let peer = by.map(|peer| peer.name.clone());
    check_settings(settings)?;
    is_current(view, &record)?;
    if record.version != version {
        return Err(ErrorReply::new(
            ErrorCode::VersionMismatch,
            format!(
                "topic '{name}' was changed meanwhile; expected version {version}, found {}",
                record.version
            ),
        ));
    }
    let changed = TopicRecord {
        settings: *settings,
        ..record.clone()
    };
    let next = match settings.replicas == record.settings.replicas {
        true => configuration(view, &record),
        false => resized(view, &changed),
    };
    let next = Configuration {
        version: version + 1,
        ..next
    };
    let mut decision = Decision::answered(Answer::Set(SetTopicDone {
        version: version + 1,
    }));
    let mut recasting = Recasting::default();
    recasting.put(view, &record, recast(view, changed, &next));
    recasting.finish(&mut decision, Why::Set);
    decision.effects.push(Effect::Log(Happened::Set {
        peer,
        topic: name.clone(),
    }));
    Ok(decision)
}

/// A host has not taken topics whose creator still waits: they go again, unless they have changed
/// since (then somebody relies on them).
pub(super) fn host_refused(
    view: &mut View<'_>,
    host: Fingerprint,
    topics: &[(TopicId, ErrorReply)],
) -> Result<Decision, ErrorReply> {
    let mut decision = Decision::answered(Answer::Done);
    let mut recasting = Recasting::default();
    let mut counters = view.counters();
    for (topic, why) in topics {
        let record = view
            .base
            .topic_by_id(*topic)
            .and_then(|found| view.topic(&found.name));
        let untouched = |record: &TopicRecord| {
            record.topic == *topic && record.host == host && record.version == 1
        };
        let Some(record) = record.filter(untouched) else {
            continue;
        };
        remove(
            view,
            &mut decision,
            &record,
            &[record.owner],
            None,
            &mut counters,
        );
        for &peer in record.replicas.iter().filter(|&&peer| peer != host) {
            recasting.erase(peer, *topic);
        }
        decision.effects.push(Effect::TopicGone {
            topic: *topic,
            why: why.clone(),
        });
        decision.effects.push(Effect::Log(Happened::Refused {
            host,
            topic: record.name,
            why: why.clone(),
        }));
    }
    if counters != view.counters() {
        decision.changes.push(Change::PutCounters(counters));
    }
    recasting.finish(&mut decision, Why::Set);
    Ok(decision)
}

/// The host's word that data is gone: its tombstones go, but for those that it has been given since,
/// which are of a later copy.
pub(super) fn erased(
    view: &View<'_>,
    host: Fingerprint,
    topics: &[(TopicId, ErasureNo)],
) -> Decision {
    let mut decision = Decision::answered(Answer::Done);
    let known = topics
        .iter()
        .filter(|&&(topic, order)| view.erasure(host, topic) == Some(order));
    let gone = known.map(|&(topic, _)| Change::DeleteErasure { host, topic });
    decision.changes.extend(gone);
    // It was not to get a new copy before.
    if topics.iter().any(|&(topic, _)| copies::lacks(view, topic)) {
        decision.effects.push(Effect::PlaceCopies);
    }
    decision
}
