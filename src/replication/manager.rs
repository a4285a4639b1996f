//! The index's side: what becomes of a topic's record. Plain functions of plain data, for
//! `index::decide` to call; each answers the record as it is to be committed, or why not.
//!
//! | function | when |
//! |---|---|
//! | [`alter`] | a host proposes another in-sync set |
//! | [`stand`] | a peer came, went (for longer than the lease), or left a set |
//! | [`drop_copy`] | a peer brought another storage, or its copy is damaged (rule 10) |
//! | [`next_step`], [`taken_over`], [`release`] | somebody wishes another host |
//! | [`hold`], [`opened`] | nobody can host: messages are held; all of them are drained |
//! | [`choose_replicas`], [`Repairs`] | a topic has fewer copies than it wants |
//! | [`rebuild`], [`accept_loss`] | the index comes from a backup; a set is gone for good |
//! | [`next_incarnation`] | a session opens (rule 9) |
//!
//! Guarantees: a change raises the version; the grant rises whenever the host changes; failures never
//! empty an in-sync set; every answer has passed [`Configuration::check`].

mod handover;
mod place;
mod presence;
mod recover;
mod repair;

pub use handover::{Step, next_step, release, taken_over};
pub use place::{Candidate, choose_replicas};
pub use presence::Presence;
pub use recover::{Report, accept_loss, best_survivor, is_behind, rebuild};
pub use repair::{REPAIR_AFTER, REPAIRS_AT_ONCE, Repairs};

use super::configuration::{AlterInSync, Configuration, Phase, Refusal};
use super::members::{Members, PeerNo};
use super::rules::{Rule, Rules};
use crate::types::{Epoch, Incarnation};

/// What the index knows of a peer, beside its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Standing {
    /// It has a session, or its lease has not run out yet.
    pub live: bool,
    /// Topics that it hosts, or any other number by which hosts are to be spread.
    pub load: u32,
}

/// Raises the version; the last step of each change.
fn changed(mut record: Configuration) -> Configuration {
    record.version += 1;
    record.check();
    record
}

/// Applies a proposal (rule 5). `incarnation` answers a peer's current incarnation.
pub fn alter(
    record: &Configuration,
    proposal: &AlterInSync,
    incarnation: impl Fn(PeerNo) -> Incarnation,
    rules: Rules,
) -> Result<Configuration, Refusal> {
    let epoch = Epoch {
        grant: record.grant,
        incarnation: incarnation(record.host),
    };
    let checked = rules.keeps(Rule::CompareAndSet);
    if checked && (proposal.epoch != epoch || proposal.from != record.host) {
        return Err(Refusal::StaleEpoch);
    }
    if checked && proposal.version != record.version {
        return Err(Refusal::StaleVersion);
    }
    if !proposal.members.contains(record.host) {
        return Err(Refusal::LacksHost);
    }
    for (peer, acked) in proposal.members.iter().zip(proposal.incarnations) {
        if record.in_sync.contains(peer) {
            continue;
        }
        if !record.replicas.contains(peer) {
            return Err(Refusal::NotReplica(peer));
        }
        if rules.keeps(Rule::CurrentMembers) && acked != incarnation(peer) {
            return Err(Refusal::StaleMember(peer));
        }
    }
    Ok(changed(Configuration {
        in_sync: proposal.members,
        phase: phase_with(record.phase, proposal.members),
        ..*record
    }))
}

/// The phase of a record whose set becomes this one. A target that is out of the set is never called
/// level, however live it is: the topic opens again, and the wish takes its steps anew.
fn phase_with(phase: Phase, in_sync: Members) -> Phase {
    match phase {
        Phase::HandingOver { to } if !in_sync.contains(to) => Phase::Serving,
        _ => phase,
    }
}

/// Gives the topic a host that stands: the present one if it is live and in the set, else the least
/// loaded live member (rule 7). Without any the topic is Offline and keeps its set. `None`: all is well.
///
/// A host is to be called dead only when its lease has run out (see the docs, "Leases"): electing
/// earlier is safe, but moves topics for nothing.
pub fn stand(
    record: &Configuration,
    standing: impl Fn(PeerNo) -> Standing,
    rules: Rules,
) -> Option<Configuration> {
    let live = |peer: PeerNo| standing(peer).live;
    if record.in_sync.contains(record.host) && live(record.host) {
        let stuck = match record.phase {
            Phase::Serving | Phase::Held => false,
            Phase::HandingOver { to } => !live(to) || !record.in_sync.contains(to),
            Phase::Offline => true,
        };
        return stuck.then(|| {
            changed(Configuration {
                phase: Phase::Serving,
                ..*record
            })
        });
    }
    let pool = match rules.keeps(Rule::ElectFromInSync) {
        true => record.in_sync,
        false => record.replicas,
    };
    let next = pool
        .iter()
        .filter(|&peer| live(peer) && peer != record.host)
        .min_by_key(|&peer| (standing(peer).load, peer));
    match (next, record.phase) {
        (Some(next), _) => Some(elected(record, next, live)),
        (None, Phase::Offline | Phase::Held) => None,
        (None, _) => Some(changed(Configuration {
            phase: Phase::Offline,
            ..*record
        })),
    }
}

/// Members that are away leave the set with the host's change: the new host would have to wait for
/// them, and propose the same.
fn elected(record: &Configuration, next: PeerNo, live: impl Fn(PeerNo) -> bool) -> Configuration {
    changed(Configuration {
        host: next,
        // One grant a second reaches the end of u32 after 136 years.
        grant: record.grant.saturating_add(1),
        in_sync: record
            .in_sync
            .filter(|peer| live(peer) && peer != record.host)
            .with(next),
        phase: match record.phase {
            // The queue is drained by the new host before the topic opens.
            Phase::Held => Phase::Held,
            _ => Phase::Serving,
        },
        ..*record
    })
}

/// Nobody can host, and the index is to take messages meanwhile. The grant rises, so that the host of
/// before, should it still be alive somewhere, cannot take them as well.
pub fn hold(record: &Configuration) -> Option<Configuration> {
    (record.phase == Phase::Offline).then(|| {
        changed(Configuration {
            phase: Phase::Held,
            grant: record.grant.saturating_add(1),
            ..*record
        })
    })
}

/// Everything held is settled: the topic opens.
pub fn opened(record: &Configuration) -> Option<Configuration> {
    (record.phase == Phase::Held).then(|| {
        changed(Configuration {
            phase: Phase::Serving,
            ..*record
        })
    })
}

/// Gives the topic these replicas, see [`choose_replicas`]. Members of the in-sync set stay.
pub fn with_replicas(record: &Configuration, replicas: Members) -> Option<Configuration> {
    let replicas = replicas.union(record.in_sync).with(record.host);
    (replicas != record.replicas).then(|| {
        changed(Configuration {
            replicas,
            ..*record
        })
    })
}

/// Rule 10: this peer's copy is not what it was. It leaves the in-sync set, even as its last member,
/// but stays a replica. To be committed before anything else is told to the peer; then [`stand`].
pub fn drop_copy(record: &Configuration, peer: PeerNo) -> Option<Configuration> {
    if !record.in_sync.contains(peer) {
        return None;
    }
    let in_sync = record.in_sync.without(peer);
    let phase = match record.host == peer {
        true if record.phase != Phase::Held => Phase::Offline,
        _ => phase_with(record.phase, in_sync),
    };
    Some(changed(Configuration {
        in_sync,
        phase,
        ..*record
    }))
}

/// Rule 9: what a session's opening makes of a peer's incarnation. `brought` is the highest one that the
/// peer's folder has seen; the same process keeps its incarnation.
pub fn next_incarnation(
    known: Incarnation,
    brought: Incarnation,
    same_boot: bool,
    rules: Rules,
) -> Incarnation {
    match same_boot || !rules.keeps(Rule::NewIncarnation) {
        true => known.max(brought),
        false => known.max(brought).saturating_add(1),
    }
}
