//! Replicas' words that a higher epoch is known: each may be true, but none may hold a topic up for long.
//!
//! Guarantees: a replica's word is put to the index once. What the index has answered is not asked again
//! for the same epoch or a lower one, and at most one doubt of a replica is taken up in
//! [`limits::DOUBT_REST`], whatever epochs it names.

use crate::limits;
use crate::replication::members::{Members, PeerNo};
use crate::types::{Epoch, MonoNs};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    /// Not asked yet: what was asked before tells nothing about it.
    Raised,
    Asked,
    Settled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Doubt {
    peer: PeerNo,
    claimed: Epoch,
    raised: MonoNs,
    stage: Stage,
}

/// The doubts of one topic under one epoch of its host; one for each replica at most.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Doubts {
    doubts: Vec<Doubt>,
}

impl Doubts {
    /// A replica claims to know this epoch; whether that is to be put to the index.
    pub(super) fn raise(&mut self, peer: PeerNo, claimed: Epoch, now: MonoNs) -> bool {
        let raised = Doubt {
            peer,
            claimed,
            raised: now,
            stage: Stage::Raised,
        };
        let Some(known) = self.doubts.iter_mut().find(|doubt| doubt.peer == peer) else {
            self.doubts.push(raised);
            return true;
        };
        let rests = now.since(known.raised) < limits::DOUBT_REST;
        // The index knew of no such epoch, or the replica has had its say.
        if claimed <= known.claimed || rests {
            return false;
        }
        *known = raised;
        true
    }

    /// Whether the index has yet to speak.
    pub(super) fn are_open(&self) -> bool {
        self.doubts
            .iter()
            .any(|doubt| doubt.stage != Stage::Settled)
    }

    /// A question sets off to the index: its answer tells of all that was raised until now.
    pub(super) fn ask(&mut self) {
        let raised = self.doubts.iter_mut();
        raised
            .filter(|doubt| doubt.stage == Stage::Raised)
            .for_each(|doubt| doubt.stage = Stage::Asked);
    }

    /// The index has spoken.
    pub(super) fn settle(&mut self) {
        let asked = self.doubts.iter_mut();
        asked
            .filter(|doubt| doubt.stage == Stage::Asked)
            .for_each(|doubt| doubt.stage = Stage::Settled);
    }

    /// Who is no replica any more has no say.
    pub(super) fn keep(&mut self, replicas: Members) {
        self.doubts.retain(|doubt| replicas.contains(doubt.peer));
    }
}
