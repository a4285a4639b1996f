//! Opening a session: incarnations, and the return of a forgotten peer's topics.
//!
//! Decided alone ([`super::Event::stands_alone`]): a return rewrites every topic of the old key.

use std::net::SocketAddr;

use super::overlay::View;
use super::rights::{self, Caller};
use super::{Answer, Decision, Effect, Happened};
use crate::index::record::{Change, PeerRecord, TopicRecord, WaitingRecord};
use crate::limits;
use crate::types::{BootId, Fingerprint, Incarnation, SessionId, StorageId};
use crate::wire::{ErrorCode, ErrorReply};

pub(super) struct Opening<'a> {
    pub(super) session: SessionId,
    pub(super) boot: BootId,
    pub(super) storage: StorageId,
    pub(super) incarnation: Incarnation,
    pub(super) addresses: &'a [SocketAddr],
    pub(super) program: &'a str,
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
    keeps_its_storage(view, &before, opening)?;
    let peer = renewed(view, &before, opening);
    let mut decision = Decision::answered(Answer::SessionOpened {
        incarnation: peer.incarnation,
        advertised: peer.addresses.clone(),
    });
    decision.effects.push(Effect::Log(Happened::SessionOpened {
        peer: peer.name.clone(),
        incarnation: peer.incarnation,
    }));
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
    });
    Ok(decision)
}

/// A key that comes with another data folder does not have the messages of the topics that it hosts:
/// appending to them would give their offsets a second content. Refused before anybody is fenced.
fn keeps_its_storage(
    view: &View<'_>,
    peer: &PeerRecord,
    opening: &Opening<'_>,
) -> Result<(), ErrorReply> {
    let hosted = view.base.hosted_count(peer.fingerprint);
    match peer.storage {
        Some(known) if known != opening.storage && hosted > 0 => Err(ErrorReply::new(
            ErrorCode::StorageChanged,
            format!(
                "peer {} hosts {hosted} topics whose messages lie in data folder {known}, and this is {}; bring that folder back, or give the topics up: waypost deregister --id {}",
                peer.name, opening.storage, peer.name
            ),
        )),
        _ => Ok(()),
    }
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
            .max(peer.incarnation)
            .max(opening.incarnation);
        // A restart a second reaches the end of u32 after 136 years.
        peer.incarnation = reached.saturating_add(1);
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
    for topic in view.base.hosted_or_owned(old) {
        let moved = topic.host == old;
        decision.changes.push(Change::PutTopic(TopicRecord {
            owner: swap(topic.owner),
            host: swap(topic.host),
            in_sync: topic.in_sync.iter().map(|&key| swap(key)).collect(),
            // Another key hosts: a higher epoch, whatever its incarnation.
            grant: topic.grant + u32::from(moved),
            version: topic.version + 1,
            ..topic
        }));
    }
    for topic in view.base.erasures_from(old, None, usize::MAX) {
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
