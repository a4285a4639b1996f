//! Planned moves of the host role: copy if need be, pause, take over, release.
//!
//! ```text
//!  wish ─► target no replica: make it one ─► in sync? ─► HandingOver: host pauses appends
//!       ─► host: target has all I have ─► TakenOver: host = target, grant + 1 ─► Released
//! ```
//!
//! Nothing is lost when any step never comes: until TakenOver the host hosts, and the topic opens again
//! if the target dies ([`super::stand`]) or leaves the in-sync set.

use super::{changed, phase_with};
use crate::replication::configuration::{Configuration, Phase};
use crate::replication::members::PeerNo;
use crate::types::Epoch;

/// The next step of a wished move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Commit this; the target begins to copy, or the host to pause.
    Change(Configuration),
    /// Wait for the target to be in the in-sync set, or for the host to say that it is level.
    Wait,
    /// The target hosts.
    Done,
    /// It cannot be: the topic has as many copies as there can be, or no host.
    Refused,
}

/// What to do next to make `to` the host. To be asked again whenever the record changes.
pub fn next_step(record: &Configuration, to: PeerNo) -> Step {
    if record.acting_host() == Some(to) {
        return Step::Done;
    }
    let change = |record| Step::Change(changed(record));
    match record.phase {
        Phase::HandingOver { .. } => Step::Wait,
        Phase::Offline | Phase::Held => Step::Refused,
        Phase::Serving if record.in_sync.contains(to) => change(Configuration {
            phase: Phase::HandingOver { to },
            ..*record
        }),
        Phase::Serving if record.replicas.contains(to) => Step::Wait,
        Phase::Serving if record.replicas.is_full() => Step::Refused,
        Phase::Serving => change(Configuration {
            replicas: record.replicas.with(to),
            ..*record
        }),
    }
}

/// The host says, under `epoch`, that `to` is level with it and that it takes nothing more. `current` is
/// the epoch that holds. The old host stays a member: it has everything.
pub fn taken_over(
    record: &Configuration,
    epoch: Epoch,
    current: Epoch,
    to: PeerNo,
) -> Option<Configuration> {
    let level = record.phase == (Phase::HandingOver { to }) && record.in_sync.contains(to);
    (level && epoch == current).then(|| {
        changed(Configuration {
            host: to,
            grant: record.grant.saturating_add(1),
            phase: Phase::Serving,
            ..*record
        })
    })
}

/// A peer that does not host keeps its copy no more: it leaves, or another copy takes its place.
/// Refused where the set would be left empty.
pub fn release(record: &Configuration, peer: PeerNo) -> Option<Configuration> {
    let in_sync = record.in_sync.without(peer);
    let may = record.host != peer && record.replicas.contains(peer) && !in_sync.is_empty();
    may.then(|| {
        changed(Configuration {
            in_sync,
            replicas: record.replicas.without(peer),
            phase: phase_with(record.phase, in_sync),
            ..*record
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerNo = PeerNo(1);
    const B: PeerNo = PeerNo(2);

    fn epoch(grant: u32) -> Epoch {
        Epoch {
            grant,
            incarnation: 3,
        }
    }

    fn stepped(record: &Configuration) -> Configuration {
        match next_step(record, B) {
            Step::Change(record) => record,
            other => panic!("{other:?}"),
        }
    }

    /// A hosts, B is to take over, C is a member too.
    fn handing_over() -> Configuration {
        let all = [A, B, PeerNo(3)].into_iter().collect();
        Configuration {
            in_sync: all,
            replicas: all,
            phase: Phase::HandingOver { to: B },
            ..Configuration::created(A)
        }
    }

    #[test]
    fn a_target_that_leaves_the_set_opens_the_topic_again() {
        use crate::replication::configuration::AlterInSync;
        use crate::replication::manager::{Standing, alter, drop_copy, stand};
        use crate::replication::rules::Rules;

        let handing = handing_over();
        let without = |peer| {
            let proposal = AlterInSync {
                from: A,
                epoch: epoch(1),
                version: handing.version,
                members: handing.in_sync.without(peer),
                incarnations: [0; crate::replication::members::COPIES],
            };
            alter(&handing, &proposal, |_| 3, Rules::ALL).unwrap()
        };
        assert_eq!(without(B).phase, Phase::Serving);
        assert_eq!(next_step(&without(B), B), Step::Wait, "to be in sync again");
        assert_eq!(without(PeerNo(3)).phase, handing.phase);
        let dropped = |peer| drop_copy(&handing, peer).unwrap().phase;
        assert_eq!(dropped(B), Phase::Serving);
        assert_eq!(dropped(PeerNo(3)), handing.phase);
        let released = |peer| release(&handing, peer).unwrap().phase;
        assert_eq!(released(B), Phase::Serving);
        assert_eq!(released(PeerNo(3)), handing.phase);

        // As an index of before may have stored it.
        let stuck = Configuration {
            in_sync: handing.in_sync.without(B),
            ..handing
        };
        let live = |_| Standing {
            live: true,
            load: 0,
        };
        let stands = stand(&stuck, live, Rules::ALL).unwrap();
        assert_eq!(stands.phase, Phase::Serving);
        assert_eq!(stand(&handing, live, Rules::ALL), None);
    }

    #[test]
    fn a_sole_copy_is_copied_first_then_moves_and_the_old_host_is_released() {
        let alone = Configuration::created(A);
        let mut copying = stepped(&alone);
        assert_eq!(next_step(&copying, B), Step::Wait);
        assert_eq!(taken_over(&copying, epoch(1), epoch(1), B), None);
        copying.in_sync = copying.replicas;
        let handing = stepped(&copying);
        assert_eq!(handing.phase, Phase::HandingOver { to: B });
        assert_eq!(next_step(&handing, B), Step::Wait);
        assert_eq!(taken_over(&handing, epoch(1), epoch(2), B), None, "stale");
        let moved = taken_over(&handing, epoch(1), epoch(1), B).unwrap();
        assert_eq!((moved.host, moved.grant, moved.in_sync.len()), (B, 2, 2));
        assert_eq!(next_step(&moved, B), Step::Done);
        assert_eq!(release(&moved, B), None, "it hosts");
        let released = release(&moved, A).unwrap();
        assert_eq!(released.replicas.as_slice(), [B]);
        assert_eq!(release(&released, B), None);
    }
}
