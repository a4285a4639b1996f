//! Opening a session: incarnations, and the return of a forgotten peer's topics.
//!
//! Decided alone ([`super::Event::stands_alone`]): a return rewrites every topic of the old key.

use std::net::SocketAddr;

use hashbrown::HashMap;

use super::copies::without_copy;
use super::overlay::View;
use super::recasting::{Recasting, Why, configuration};
use super::rights::{self, Caller};
use super::{Answer, Decision, Effect, Happened};
use crate::index::record::{Change, PeerRecord, TopicRecord, TopicState, WaitingRecord};
use crate::limits;
use crate::replication::manager::next_incarnation;
use crate::replication::rules::Rules;
use crate::types::{BootId, Fingerprint, Incarnation, SessionId, StorageId, TopicId};
use crate::wire::{ErrorCode, ErrorReply};

pub(super) struct Opening<'a> {
    pub(super) session: SessionId,
    pub(super) boot: BootId,
    pub(super) storage: StorageId,
    pub(super) incarnation: Incarnation,
    pub(super) addresses: &'a [SocketAddr],
    pub(super) program: &'a str,
    pub(super) keeps_copies: bool,
}

pub(super) fn open(
    view: &View<'_>,
    caller: Caller,
    opening: &Opening<'_>,
) -> Result<Decision, ErrorReply> {
    let before = rights::own(view, caller)?;
    if before.fenced.contains(&opening.boot) {
        return Err(ErrorReply::new(
            ErrorCode::Fenced,
            format!(
                "a newer process hosts as peer {}; this one was fenced",
                before.name
            ),
        ));
    }
    let lost = lost_copies(view, &before, opening)?;
    let peer = renewed(view, &before, opening);
    let mut decision = Decision::answered(Answer::SessionOpened {
        incarnation: peer.incarnation,
        advertised: peer.addresses.clone(),
    });
    decision.effects.push(Effect::Log(Happened::SessionOpened {
        peer: peer.name.clone(),
        incarnation: peer.incarnation,
    }));
    lost.finish(&mut decision, Why::Lost(peer.name.clone()));
    adopt(view, &mut decision, &peer, opening.storage);
    if peer != before {
        decision.changes.push(Change::PutPeer(PeerRecord {
            version: before.version + 1,
            last_seen: Some(view.now),
            ..peer
        }));
    }
    decision.effects.push(Effect::SessionOpened {
        peer: caller.key,
        session: opening.session,
        boot: opening.boot,
        keeps_copies: opening.keeps_copies,
    });
    Ok(decision)
}

/// A key that comes with another data folder does not have the messages of its topics: acting on them
/// would give their offsets a second content. It leaves every in-sync set before it is told anything
/// (rule 10). Refused, before anybody is fenced, where no other copy has everything.
fn lost_copies(
    view: &View<'_>,
    peer: &PeerRecord,
    opening: &Opening<'_>,
) -> Result<Recasting, ErrorReply> {
    let mut recasting = Recasting::default();
    let known = peer.storage.filter(|&known| known != opening.storage);
    let Some(known) = known.filter(|_| view.base.copies_count(peer.fingerprint) > 0) else {
        return Ok(recasting);
    };
    let kept = view.base.kept(peer.fingerprint);
    let alone = |topic: &&TopicRecord| topic.in_sync == [peer.fingerprint];
    let sole = kept.iter().filter(alone).count();
    if sole > 0 {
        return Err(ErrorReply::new(
            ErrorCode::StorageChanged,
            format!(
                "peer {} hosts {sole} topics that nobody else has, whose messages lie in data folder {known}, and this is {}; bring that folder back, or give the topics up: waypost deregister --id {}",
                peer.name, opening.storage, peer.name
            ),
        ));
    }
    for topic in kept {
        let record = configuration(view, &topic);
        if let Some(next) = without_copy(view, &record, peer.fingerprint) {
            recasting.next(view, topic, &next);
        }
    }
    Ok(recasting)
}

/// The peer's record as this opening makes it. Only another boot raises the incarnation.
fn renewed(view: &View<'_>, before: &PeerRecord, opening: &Opening<'_>) -> PeerRecord {
    let mut peer = before.clone();
    if peer.boot != Some(opening.boot) {
        peer.fenced.extend(peer.boot.replace(opening.boot));
        let over = peer.fenced.len().saturating_sub(limits::FENCED_BOOTS);
        peer.fenced.drain(..over);
        let kept = view.base.waiting(peer.fingerprint);
        let reached = kept
            .map_or(0, |waiting| waiting.incarnation)
            .max(peer.incarnation);
        peer.incarnation = next_incarnation(reached, opening.incarnation, false, Rules::ALL);
    }
    peer.storage = Some(opening.storage);
    peer.addresses = opening.addresses.to_vec();
    peer.program = opening.program.to_owned();
    peer
}

/// Gives the topics of forgotten keys to the key that registered their name and brought their
/// storage.
fn adopt(view: &View<'_>, decision: &mut Decision, peer: &PeerRecord, storage: StorageId) {
    let waiting = view.base.waiting_named(&peer.name).into_iter();
    let mut adopted = 0;
    for old in waiting.filter(|old| old.storage == Some(storage)) {
        adopted += view.base.hosted_count(old.fingerprint);
        take_over(view, decision, &old, peer.fingerprint);
    }
    if adopted > 0 {
        decision.effects.push(Effect::Log(Happened::Adopted {
            peer: peer.name.clone(),
            topics: adopted,
        }));
    }
}

fn take_over(view: &View<'_>, decision: &mut Decision, old: &WaitingRecord, new: Fingerprint) {
    let old = old.fingerprint;
    let swap = |key: Fingerprint| if key == old { new } else { key };
    let swapped = |keys: &[Fingerprint]| {
        let mut keys: Vec<_> = keys.iter().map(|&key| swap(key)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    };
    // A folder may come back under a key that has just lost another one: the loss was decided first.
    let lost: HashMap<TopicId, TopicRecord> = decision
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::PutTopic(topic) => Some((topic.topic, topic.clone())),
            _ => None,
        })
        .collect();
    for topic in view.base.kept_or_owned(old) {
        let topic = lost.get(&topic.topic).cloned().unwrap_or(topic);
        let moved = topic.host == old;
        for &replica in topic.replicas.iter().filter(|&&key| key != old) {
            decision.effects.push(Effect::Assign {
                host: replica,
                topics: vec![topic.topic],
            });
        }
        decision.changes.push(Change::PutTopic(TopicRecord {
            owner: swap(topic.owner),
            host: swap(topic.host),
            in_sync: swapped(&topic.in_sync),
            replicas: swapped(&topic.replicas),
            state: match topic.state {
                TopicState::HandingOver { to } => TopicState::HandingOver { to: swap(to) },
                other => other,
            },
            // Another key hosts: a higher epoch, whatever its incarnation.
            grant: topic.grant + u32::from(moved),
            version: topic.version + 1,
            ..topic
        }));
    }
    for (topic, _) in view.base.erasures_from(old, None, usize::MAX) {
        decision
            .changes
            .push(Change::DeleteErasure { host: old, topic });
        decision
            .changes
            .push(Change::PutErasure { host: new, topic });
    }
    decision
        .changes
        .push(Change::DeleteWaiting { fingerprint: old });
}
