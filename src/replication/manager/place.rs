//! Who keeps a topic's copies.

use crate::replication::configuration::Configuration;
use crate::replication::members::{COPIES, Members, PeerNo};

/// A peer that could keep a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The peer.
    pub peer: PeerNo,
    /// It has a session.
    pub live: bool,
    /// It does not decline to keep copies, and its disk is not full.
    pub willing: bool,
    /// It subscribes to the topic, so that the messages travel to it anyway.
    pub subscribed: bool,
    /// Copies that it keeps, hosted topics included.
    pub load: u32,
}

/// The replicas of a topic that is to have `wanted` copies, the host's included: those that there are,
/// as far as they are needed, then subscribers, then the least loaded. Never two copies on one peer,
/// for a set has a peer once.
///
/// Members of the in-sync set and the host always stay: they go only when the host proposes it, so a
/// smaller `wanted` takes copies that are not in sync, and shrinks the set by
/// [`super::alter`]ing it later.
pub fn choose_replicas(record: &Configuration, wanted: usize, candidates: &[Candidate]) -> Members {
    let wanted = wanted.min(COPIES);
    let kept = record.in_sync.with(record.host);
    let usable = |c: &&Candidate| c.live && c.willing && !kept.contains(c.peer);
    let mut usable: Vec<&Candidate> = candidates.iter().filter(usable).collect();
    usable.sort_by_key(|c| {
        let has_begun = record.replicas.contains(c.peer);
        (!has_begun, !c.subscribed, c.load, c.peer)
    });
    let room = wanted.saturating_sub(kept.len());
    usable
        .iter()
        .take(room)
        .fold(kept, |set, c| set.with(c.peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u32) -> Candidate {
        Candidate {
            peer: PeerNo(n),
            live: true,
            willing: true,
            subscribed: false,
            load: n,
        }
    }

    fn chosen(wanted: usize, candidates: &[Candidate]) -> Vec<u32> {
        let record = Configuration::created(PeerNo(9));
        let set = choose_replicas(&record, wanted, candidates);
        set.iter().map(|p| p.0).collect()
    }

    #[test]
    fn subscribers_come_first_then_the_least_loaded() {
        let subscriber = Candidate {
            subscribed: true,
            load: 99,
            ..peer(5)
        };
        assert_eq!(chosen(2, &[peer(1), peer(2), subscriber]), [5, 9]);
        assert_eq!(chosen(3, &[peer(2), peer(1), subscriber]), [1, 5, 9]);
        assert_eq!(chosen(1, &[peer(1)]), [9]);
    }

    #[test]
    fn who_declines_or_is_away_or_is_the_host_gets_none() {
        let declines = Candidate {
            willing: false,
            ..peer(1)
        };
        let away = Candidate {
            live: false,
            ..peer(2)
        };
        assert_eq!(chosen(3, &[declines, away, peer(9)]), [9]);
        assert_eq!(
            chosen(99, &(1..20).map(peer).collect::<Vec<_>>()).len(),
            COPIES
        );
    }

    #[test]
    fn in_sync_copies_stay_and_begun_ones_come_before_others() {
        let mut record = Configuration::created(PeerNo(9));
        record.replicas = [9, 3, 4].map(PeerNo).into_iter().collect();
        record.in_sync = [9, 3].map(PeerNo).into_iter().collect();
        let set = |wanted| choose_replicas(&record, wanted, &[peer(1), peer(4)]);
        assert_eq!(set(1), record.in_sync);
        assert_eq!(set(3), record.replicas);
        assert_eq!(set(4).len(), 4);
    }
}
