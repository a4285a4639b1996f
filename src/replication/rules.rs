//! The ten rules of docs/REPLICATION.md, as a set from which tests may take one. Rules with two halves
//! have two entries, for each half is needed by itself.
//!
//! Production has [`Rules::ALL`] and no way to anything else: no setting reaches [`Rules::without`].

/// The rules that a machine keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    broken: u16,
}

/// One rule, or half of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rule {
    /// A replica syncs before it acknowledges.
    SyncBeforeAck = 1,
    /// An append waits for the committed set and for every proposal that may have been applied.
    WaitForProposals = 2,
    /// The index commits a shrink before the member is dropped (rule 3, first half).
    CommitShrinkFirst = 3,
    /// A member is added only when it has all that may be committed.
    GrowWhenCaughtUp = 4,
    /// A change of the set is applied only under its epoch and version (rule 5, first half).
    CompareAndSet = 5,
    /// A peer refuses replication below the highest epoch that it has ever known.
    RefuseLowerEpochs = 6,
    /// A host is elected only from the in-sync set.
    ElectFromInSync = 7,
    /// A replica is cut by epochs, never to its high watermark.
    ReconcileByEpoch = 8,
    /// A restarted host goes on under a new incarnation only.
    NewIncarnation = 9,
    /// A peer with another storage leaves every in-sync set before anything else.
    WipedLeavesSets = 10,
    /// A proposal without an outcome counts as one that may have been applied (rule 3, second half).
    KeepUnion = 11,
    /// Members are added only under their current incarnation (rule 5, second half).
    CurrentMembers = 12,
    /// A host acknowledges only what it has synced itself (rule 1, second half).
    HostSyncs = 13,
    /// A replica is not cut below what its host has written and may have sent (rule 8, second half).
    AnswerFromWritten = 14,
}

impl Rules {
    /// All ten.
    pub const ALL: Rules = Rules { broken: 0 };

    /// All but one: for tests that must then find a violation.
    #[doc(hidden)]
    pub const fn without(rule: Rule) -> Rules {
        Rules {
            broken: 1 << rule as u8,
        }
    }

    /// Whether this one is kept.
    pub const fn keeps(self, rule: Rule) -> bool {
        self.broken & 1 << rule as u8 == 0
    }
}
