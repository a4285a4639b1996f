//! Wishes for another host: the owner's or operator's, and those of a peer that leaves.

use super::copies::{epoch, is_current};
use super::overlay::View;
use super::recasting::{Places, Recasting, Why, configuration};
use super::rights::{self, Action, Caller};
use super::topics::{not_found, peer_not_found};
use super::{Answer, Decision};
use crate::index::record::{TopicRecord, TopicState};
use crate::replication::configuration::{Configuration, Phase};
use crate::replication::manager::{self, Step};
use crate::replication::members::{Members, PeerNo};
use crate::types::{Offset, PeerName, TopicId, TopicName};
use crate::wire::index::copies::{MoveState, MovingTopic};
use crate::wire::{ErrorCode, ErrorReply};

/// Takes the next step of a move.
pub(super) fn move_topic(
    view: &View<'_>,
    caller: Caller,
    name: &TopicName,
    to: Option<&PeerName>,
) -> Result<Decision, ErrorReply> {
    let record = view.topic(name).ok_or_else(|| not_found(name))?;
    rights::check(view, caller, &Action::Change(&record))?;
    is_current(view, &record)?;
    let to = match to {
        Some(to) => named(view, &record, to)?,
        None => anybody(view, &record)?,
    };
    let target = view.name_of(view.base.key_of(to));
    let target = target.ok_or_else(|| nobody(&record))?;
    let now = configuration(view, &record);
    let mut decision = Decision::answered(Answer::Done);
    let mut after = record.clone();
    match manager::next_step(&now, to) {
        Step::Change(_) if is_to_erase(view, &record, to) => {}
        Step::Change(next) => {
            let mut recasting = Recasting::default();
            after = recasting.next(view, record, &next);
            recasting.finish(&mut decision, Why::Moving);
        }
        Step::Wait | Step::Done => {}
        Step::Refused => {
            return Err(ErrorReply::new(
                ErrorCode::NoLiveHost,
                format!(
                    "topic '{name}' cannot move to peer {target} now: it has no acting host, or as many copies as there can be"
                ),
            ));
        }
    }
    decision.answer = Ok(Answer::Moving(MovingTopic {
        topic: after.topic,
        to: target,
        state: state(view, &after, to),
    }));
    Ok(decision)
}

/// Whether a target has yet to erase the copy that it had: it gets a new one after that.
fn is_to_erase(view: &View<'_>, record: &TopicRecord, to: PeerNo) -> bool {
    view.is_to_erase(view.base.key_of(to), record.topic)
}

fn state(view: &View<'_>, record: &TopicRecord, to: PeerNo) -> MoveState {
    if configuration(view, record).acting_host() == Some(to) {
        return MoveState::Done {
            epoch: epoch(view, record),
        };
    }
    match record.state {
        TopicState::HandingOver { .. } => MoveState::HandingOver,
        _ => MoveState::Copying {
            end: Offset(view.base.last_end(record.topic).unwrap_or(0)),
        },
    }
}

/// A peer that is named must be there, unless it hosts already.
fn named(view: &View<'_>, record: &TopicRecord, to: &PeerName) -> Result<PeerNo, ErrorReply> {
    let peer = view.peer_named(to).ok_or_else(|| peer_not_found(to))?;
    let key = peer.fingerprint;
    let number = view.base.peer_no(key);
    let there = record.host == key || view.base.is_live(key);
    number.filter(|_| there).ok_or_else(|| {
        ErrorReply::new(
            ErrorCode::NoLiveHost,
            format!("peer {to} is not live; start it: waypost peer --id {to}"),
        )
    })
}

fn nobody(record: &TopicRecord) -> ErrorReply {
    ErrorReply::new(
        ErrorCode::NoLiveHost,
        format!(
            "no other live peer can host topic '{}'; start one that keeps copies: waypost peer --id NAME",
            record.name
        ),
    )
}

fn anybody(view: &View<'_>, record: &TopicRecord) -> Result<PeerNo, ErrorReply> {
    let now = configuration(view, record);
    next_host(view, record.topic, &now, &mut Places::new(view)).ok_or_else(|| nobody(record))
}

/// Who shall host next: whom it is handed over to, else the least loaded live member of the set, else
/// a live replica, else whoever is willing.
fn next_host(
    view: &View<'_>,
    topic: TopicId,
    record: &Configuration,
    places: &mut Places,
) -> Option<PeerNo> {
    let standing = |peer: PeerNo| view.base.standing(peer);
    if let Phase::HandingOver { to } = record.phase {
        return Some(to);
    }
    let usable = |peer: &PeerNo| *peer != record.host && standing(*peer).live;
    let least = |peers: Members| {
        let usable: Vec<_> = peers.iter().filter(usable).collect();
        usable
            .into_iter()
            .min_by_key(|&peer| (standing(peer).load, peer))
    };
    least(record.in_sync)
        .or_else(|| least(record.replicas))
        .or_else(|| {
            let wanted = record.replicas.len() + 1;
            let chosen = places.choose(view, topic, record, wanted, |_| false);
            chosen.iter().find(usable)
        })
}

/// Takes the next steps of the topics that a leaving peer hosts; how many still move.
pub(super) fn away_from(
    view: &View<'_>,
    decision: &mut Decision,
    leaver: &PeerName,
    topics: &[TopicRecord],
) {
    let mut places = Places::new(view);
    let mut recasting = Recasting::default();
    for record in topics {
        let now = configuration(view, record);
        let Some(to) = next_host(view, record.topic, &now, &mut places) else {
            continue;
        };
        if let Step::Change(next) = manager::next_step(&now, to) {
            recasting.next(view, record.clone(), &next);
        }
    }
    recasting.finish(decision, Why::Leaves(leaver.clone()));
}

/// Whether somebody else can take a topic over from its host.
pub(super) fn can_move(view: &View<'_>, record: &Configuration, places: &Places) -> bool {
    let others = record.replicas.without(record.host);
    let live = |peer: PeerNo| view.base.is_live(view.base.key_of(peer));
    others.iter().any(live) || places.others(Some(record.host))
}
