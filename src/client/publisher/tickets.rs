//! Numbers given out, which topic each outstanding ticket belongs to, and how many batches that are not
//! full a stream has unanswered. Pure.
//!
//! A publisher of many topics would send each message as a batch of its own, for no topic's window is
//! ever full. So a stream carries only some unanswered batches that are not full; topics beyond that
//! wait in turn, but not for long, and their batches grow meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;

use super::core::{LinkId, TopicKey};

/// Batches of a stream that are not full and not answered: enough for the host to have work while
/// answers travel, few enough that under load most batches are large.
pub(super) const PARTIAL_BATCHES: usize = 128;
/// How long a topic waits for its turn: batches of topics whose copies do not answer may hold all places.
pub(super) const TURN: Duration = Duration::from_millis(50);

/// A batch under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    topic: TopicKey,
    link: LinkId,
    is_full: bool,
}

/// What a stream carries.
#[derive(Debug, Default)]
struct Load {
    /// Batches that are not full.
    partial: usize,
    /// Topics that wait for room, each once, in turn.
    waiting: VecDeque<TopicKey>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tickets {
    /// How many batches that are not full a stream may carry.
    most_partial: usize,
    issued: u64,
    searches: u64,
    owners: HashMap<u64, Owner>,
    links: HashMap<LinkId, Load>,
}

impl Tickets {
    pub(super) fn new(most_partial: usize) -> Self {
        Tickets {
            most_partial,
            issued: 0,
            searches: 0,
            owners: HashMap::new(),
            links: HashMap::new(),
        }
    }

    /// A ticket for a batch that goes out now.
    pub(super) fn issue(&mut self, topic: TopicKey, link: LinkId, is_full: bool) -> u64 {
        self.issued += 1;
        let owner = Owner {
            topic,
            link,
            is_full,
        };
        self.owners.insert(self.issued, owner);
        self.links.entry(link).or_default().partial += usize::from(!is_full);
        self.issued
    }

    /// The batch is answered, or lost.
    pub(super) fn retire(&mut self, ticket: u64) {
        if let Some(owner) = self.owners.remove(&ticket)
            && let Some(load) = self.links.get_mut(&owner.link)
        {
            load.partial -= usize::from(!owner.is_full);
        }
    }

    pub(super) fn next_search(&mut self) -> u64 {
        self.searches += 1;
        self.searches
    }

    /// The owner of an outstanding ticket, if it went out on this stream.
    pub(super) fn owner(&self, ticket: u64, link: LinkId) -> Option<TopicKey> {
        let owner = self.owners.get(&ticket)?;
        (owner.link == link).then_some(owner.topic)
    }

    /// Whether the stream takes another batch that is not full, and nobody's turn comes first.
    pub(super) fn has_room(&self, link: LinkId) -> bool {
        let is_free = |load: &Load| load.partial < self.most_partial && load.waiting.is_empty();
        self.links.get(&link).is_none_or(is_free)
    }

    /// The topic's turn comes when there is room; once for each call.
    pub(super) fn wait(&mut self, topic: TopicKey, link: LinkId) {
        self.links.entry(link).or_default().waiting.push_back(topic);
    }

    /// Topics whose turn it is: one for each place that is free.
    pub(super) fn take_turns(&mut self, turns: &mut Vec<TopicKey>) {
        for load in self.links.values_mut() {
            let free = self.most_partial.saturating_sub(load.partial);
            let next = free.min(load.waiting.len());
            turns.extend(load.waiting.drain(..next));
        }
    }

    /// The stream is gone; what waited for it has been told.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    /// Checks that what is outstanding is what the topics say, and that nobody waits beside room.
    #[cfg(test)]
    pub(super) fn check(&self, outstanding: usize) {
        assert_eq!(outstanding, self.owners.len());
        for (link, load) in &self.links {
            let owners = self.owners.values();
            let partial = owners.filter(|owner| owner.link == *link && !owner.is_full);
            assert_eq!(load.partial, partial.count());
            let waits = !load.waiting.is_empty() && load.partial < self.most_partial;
            assert!(!waits, "topics wait for nothing");
        }
    }

    #[cfg(test)]
    pub(super) fn is_owned(&self, ticket: u64, topic: TopicKey, link: LinkId) -> bool {
        self.owner(ticket, link) == Some(topic)
    }
}
