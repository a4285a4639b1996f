//! When the record is not to be trusted, or the set is gone: the index rebuilt from what peers report,
//! and the operator's acceptance of loss.

use super::changed;
use crate::replication::configuration::{Configuration, Phase};
use crate::replication::members::{Members, PeerNo};
use crate::types::{Epoch, Offset};

/// What a peer has of a topic, by its journal (message RecoverIndex).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Report {
    /// The peer.
    pub peer: PeerNo,
    /// The highest epoch that it knows of the topic.
    pub known: Epoch,
    /// The grant under which it has hosted the topic last; 0: never.
    pub own_grant: u32,
    /// Where its log ends.
    pub end: Offset,
    /// The lineage that it knows.
    pub lineage: u32,
}

/// Whether a report shows that the index knows too little: it came from a backup. Nothing may be decided
/// about the topic before [`rebuild`].
pub fn is_behind(record: &Configuration, report: &Report) -> bool {
    report.known.grant > record.grant || report.lineage > record.lineage
}

/// A topic's record from the reports of *all* peers that may hold it.
///
/// The host of the highest grant that anybody knows has everything that was ever acknowledged, for a
/// host is always in its own set; nobody else can be proven to. It becomes the host under a higher
/// grant, so that nothing of before can be applied any more, and grows its set anew. If it is not among
/// the reports, the topic is Offline with an empty set: it comes back when that peer reports, or when
/// the operator [`accept_loss`]es.
///
/// `None`: nobody holds the topic.
pub fn rebuild(reports: &[Report]) -> Option<Configuration> {
    let highest = reports.iter().map(|report| report.known.grant).max()?;
    let host = reports.iter().find(|report| report.own_grant == highest);
    let longest = reports.iter().max_by_key(|r| (r.known, r.end))?;
    let in_sync = host.map_or(Members::NONE, |host| Members::one(host.peer));
    let record = Configuration {
        host: host.unwrap_or(longest).peer,
        grant: highest.saturating_add(1),
        // Above whatever a proposal in flight expects: versions rise by one, and this is no such version.
        version: u64::from(highest.saturating_add(1)) << 32,
        in_sync,
        replicas: in_sync.with(host.unwrap_or(longest).peer),
        phase: match host {
            Some(_) => Phase::Serving,
            None => Phase::Offline,
        },
        lineage: reports.iter().map(|report| report.lineage).max()?,
    };
    record.check();
    Some(record)
}

/// The operator gives up what only lost copies had: `peer` becomes host of a new lineage with what it
/// has. Of all reports the best is (highest known epoch, longest log), see [`best_survivor`].
pub fn accept_loss(record: &Configuration, peer: PeerNo) -> Configuration {
    changed(Configuration {
        host: peer,
        grant: record.grant.saturating_add(1),
        in_sync: Members::one(peer),
        replicas: Members::one(peer),
        phase: Phase::Serving,
        lineage: record.lineage + 1,
        ..*record
    })
}

/// Whose copy has the most: the one that knows the highest epoch, among those the longest.
pub fn best_survivor(reports: &[Report]) -> Option<PeerNo> {
    let best = reports.iter().max_by_key(|r| (r.known, r.end, r.peer))?;
    Some(best.peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(peer: u32, known: u32, own_grant: u32, end: u64) -> Report {
        Report {
            peer: PeerNo(peer),
            known: Epoch {
                grant: known,
                incarnation: 1,
            },
            own_grant,
            end: Offset(end),
            lineage: 0,
        }
    }

    #[test]
    fn the_host_of_the_highest_grant_hosts_again_under_a_higher_one() {
        let reports = [report(1, 1, 1, 99), report(2, 3, 3, 5), report(3, 3, 2, 5)];
        let record = rebuild(&reports).unwrap();
        assert_eq!((record.host, record.grant), (PeerNo(2), 4));
        assert_eq!(record.in_sync, Members::one(PeerNo(2)));
        assert_eq!(record.phase, Phase::Serving);
        assert!(is_behind(&Configuration::created(PeerNo(1)), &reports[1]));
    }

    #[test]
    fn without_it_the_topic_waits_for_the_operator() {
        let reports = [report(1, 2, 1, 9), report(3, 3, 0, 5)];
        let record = rebuild(&reports).unwrap();
        assert_eq!(
            (record.phase, record.in_sync),
            (Phase::Offline, Members::NONE)
        );
        assert_eq!(best_survivor(&reports), Some(PeerNo(3)));
        let given_up = accept_loss(&record, PeerNo(3));
        assert_eq!((given_up.lineage, given_up.grant), (1, record.grant + 1));
        assert_eq!(rebuild(&[]), None);
    }
}
