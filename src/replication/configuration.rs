//! A topic's record as far as it concerns its copies, and proposals to change its in-sync set.

use super::members::{Members, PeerNo};
use crate::types::{Epoch, Incarnation, Version};

/// What a topic is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Its host serves it whenever the host is there.
    Serving,
    /// Its host pauses appends until `to` has everything and takes over.
    HandingOver {
        /// The next host.
        to: PeerNo,
    },
    /// No member of the in-sync set is live; the set is kept, for the next host comes from it.
    Offline,
    /// As Offline, and the index takes messages meanwhile. The grant was raised for it, so that no
    /// host of before acknowledges beside it.
    Held,
}

/// The record of a topic as far as it concerns its copies. The epoch is (grant, incarnation of host).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Configuration {
    /// Who hosts it.
    pub host: PeerNo,
    /// Rises when the host role moves.
    pub grant: u32,
    /// Rises with every change of the record.
    pub version: Version,
    /// Who has every acknowledged message. Failures never empty it.
    pub in_sync: Members,
    /// Who keeps a copy or is to get one, the host included.
    pub replicas: Members,
    /// What it is doing.
    pub phase: Phase,
    /// Rises when an operator gives up lost messages.
    pub lineage: u32,
}

impl Configuration {
    /// A topic that was just created at `host`.
    pub fn created(host: PeerNo) -> Self {
        Configuration {
            host,
            grant: 1,
            version: 1,
            in_sync: Members::one(host),
            replicas: Members::one(host),
            phase: Phase::Serving,
            lineage: 0,
        }
    }

    /// Who may act as host, if anybody: the host, as long as it is in the in-sync set. One that has lost
    /// its disk is still named by the record when nobody else is there, and must be told to replicate.
    pub fn acting_host(&self) -> Option<PeerNo> {
        self.in_sync.contains(self.host).then_some(self.host)
    }

    /// Asserts what holds of every record.
    pub fn check(&self) {
        assert!(
            self.in_sync.is_subset(&self.replicas),
            "an in-sync member is not a replica: {self:?}"
        );
        assert!(
            self.phase != Phase::Serving || self.in_sync.contains(self.host),
            "a host serves outside of the in-sync set: {self:?}"
        );
        if let Phase::HandingOver { to } = self.phase {
            assert!(
                self.in_sync.contains(to),
                "it is handed over to a peer out of the set: {self:?}"
            );
        }
    }
}

/// A host's wish for another in-sync set: a compare-and-set on (epoch, version).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AlterInSync {
    /// The host.
    pub from: PeerNo,
    /// The epoch under which it acts.
    pub epoch: Epoch,
    /// The record's version that it has seen.
    pub version: Version,
    /// The set that it wishes, itself included.
    pub members: Members,
    /// The incarnations under which added members have acknowledged, in the order of `members`;
    /// 0 for members that are in the set already.
    pub incarnations: [Incarnation; super::members::COPIES],
}

/// What the index says to a proposal. It names the record as it is now, in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Altered {
    /// Applied: the record has the proposed set.
    Applied(Configuration),
    /// Not applied, and it never will be.
    Refused(Configuration, Refusal),
    /// Nobody knows: the answer was lost, or the index could not commit in time.
    Unknown,
}

/// Why a proposal was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Another epoch holds: the proposer is not the host any more, or is another process.
    #[error("the topic's epoch is another one")]
    StaleEpoch,
    /// The record has changed since.
    #[error("the record has changed since")]
    StaleVersion,
    /// An added member has restarted since it acknowledged.
    #[error("peer {0:?} has restarted since")]
    StaleMember(PeerNo),
    /// An added member is not to keep a copy.
    #[error("peer {0:?} is not a replica of the topic")]
    NotReplica(PeerNo),
    /// The proposed set lacks the host.
    #[error("the set lacks the host")]
    LacksHost,
}
