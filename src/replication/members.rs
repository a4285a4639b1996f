//! Small sets of peers, without memory of their own: a topic's copies.

use std::fmt;

pub use crate::limits::COPIES;

/// A peer, by a number that whoever holds the machines has given its key: there are few peers and very
/// many topics, and a key has 32 bytes. The index's directory numbers keys already.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PeerNo(pub u32);

impl fmt::Debug for PeerNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A set of at most [`COPIES`] peers, ascending.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Members {
    len: u8,
    of: [PeerNo; COPIES],
}

impl Members {
    /// The empty set.
    pub const NONE: Members = Members {
        len: 0,
        of: [PeerNo(0); COPIES],
    };

    /// The set of one peer.
    pub fn one(peer: PeerNo) -> Self {
        Members::NONE.with(peer)
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PeerNo> + '_ {
        self.as_slice().iter().copied()
    }

    /// The members, ascending.
    pub fn as_slice(&self) -> &[PeerNo] {
        &self.of[..usize::from(self.len)]
    }

    /// How many.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is no room for another one.
    pub fn is_full(&self) -> bool {
        self.len() == COPIES
    }

    /// Whether `peer` is one of them.
    pub fn contains(&self, peer: PeerNo) -> bool {
        self.as_slice().contains(&peer)
    }

    /// Whether all of them are in `other`.
    pub fn is_subset(&self, other: &Members) -> bool {
        self.iter().all(|peer| other.contains(peer))
    }

    /// The set with `peer`. Beyond [`COPIES`] it asserts: whoever adds has looked at the bound.
    #[must_use]
    pub fn with(mut self, peer: PeerNo) -> Self {
        let Err(at) = self.as_slice().binary_search(&peer) else {
            return self;
        };
        assert!(!self.is_full(), "a topic has at most {COPIES} copies");
        let len = self.len();
        self.of.copy_within(at..len, at + 1);
        self.of[at] = peer;
        self.len += 1;
        self
    }

    /// The set without `peer`.
    #[must_use]
    pub fn without(self, peer: PeerNo) -> Self {
        self.filter(|member| member != peer)
    }

    /// The members for which `keep` holds.
    #[must_use]
    pub fn filter(self, mut keep: impl FnMut(PeerNo) -> bool) -> Self {
        // Unused places stay zero, so that equal sets have equal bytes.
        self.iter()
            .filter(|&peer| keep(peer))
            .fold(Members::NONE, Members::with)
    }

    /// The members of both. Asserts as [`Members::with`] does.
    #[must_use]
    pub fn union(self, other: Members) -> Self {
        other.iter().fold(self, Members::with)
    }
}

impl FromIterator<PeerNo> for Members {
    fn from_iter<I: IntoIterator<Item = PeerNo>>(peers: I) -> Self {
        peers.into_iter().fold(Members::NONE, Members::with)
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.as_slice()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_the_same_however_it_was_made() {
        let up: Members = (1..=5).map(PeerNo).collect();
        let down: Members = (1..=6).rev().map(PeerNo).collect();
        assert_eq!(up, down.without(PeerNo(6)));
        assert_eq!(up.with(PeerNo(3)), up);
        assert!(up.is_subset(&down) && !down.is_subset(&up));
        assert_eq!(up.union(down).len(), 6);
        assert_eq!(Members::one(PeerNo(9)).without(PeerNo(9)), Members::NONE);
    }
}
