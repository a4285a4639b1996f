//! Creators that wait until a host has accepted their topics. Pure bookkeeping; whoever waits gets
//! the result through the value that it left.

use hashbrown::HashMap;

use crate::types::TopicId;
use crate::wire::ErrorReply;

/// Names one wait.
pub type WaitId = u64;

/// What the hosts have said about the topics of one creator.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Topics that were not taken, and why. All others were.
    pub refused: Vec<(TopicId, ErrorReply)>,
}

#[derive(Debug)]
struct Wait<T> {
    left: usize,
    verdict: Verdict,
    tell: T,
}

/// All creators that wait; `T` is how to tell one.
#[derive(Debug)]
pub struct Waiters<T> {
    next: WaitId,
    waits: HashMap<WaitId, Wait<T>>,
    topics: HashMap<TopicId, WaitId>,
}

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Waiters {
            next: 0,
            waits: HashMap::new(),
            topics: HashMap::new(),
        }
    }
}

impl<T> Waiters<T> {
    /// Waits for all `topics`, of which there is at least one.
    pub fn add(&mut self, topics: &[TopicId], tell: T) -> WaitId {
        assert!(!topics.is_empty(), "a wait for nothing never ends");
        let id = self.next;
        self.next += 1;
        self.topics.extend(topics.iter().map(|&topic| (topic, id)));
        self.waits.insert(
            id,
            Wait {
                left: topics.len(),
                verdict: Verdict::default(),
                tell,
            },
        );
        id
    }

    /// Whether somebody waits for this topic.
    pub fn waits_for(&self, topic: TopicId) -> bool {
        self.topics.contains_key(&topic)
    }

    /// A topic was accepted, or was not; the creator to tell, if it was its last.
    pub fn settle(&mut self, topic: TopicId, refused: Option<ErrorReply>) -> Option<(T, Verdict)> {
        let id = self.topics.remove(&topic)?;
        let wait = self.waits.get_mut(&id)?;
        wait.verdict.refused.extend(refused.map(|why| (topic, why)));
        wait.left -= 1;
        if wait.left > 0 {
            return None;
        }
        self.waits.remove(&id).map(|wait| (wait.tell, wait.verdict))
    }

    /// A creator waits no longer: those of its `topics` that nobody has answered for, and what was
    /// said of the others.
    pub fn give_up(&mut self, id: WaitId, topics: &[TopicId]) -> (Vec<TopicId>, Verdict) {
        let Some(wait) = self.waits.remove(&id) else {
            return (Vec::new(), Verdict::default());
        };
        let open = topics
            .iter()
            .filter(|topic| self.topics.remove(*topic).is_some());
        (open.copied().collect(), wait.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ErrorCode;

    fn id(n: u8) -> TopicId {
        TopicId([n; 16])
    }

    #[test]
    fn a_creator_is_told_once_all_its_topics_are_settled() {
        let mut waiters = Waiters::default();
        waiters.add(&[id(1), id(2)], "a");
        let gave_up = waiters.add(&[id(3)], "b");
        assert_eq!(waiters.settle(id(1), None), None);
        assert_eq!(waiters.settle(id(1), None), None, "settled before");
        let why = ErrorReply::new(ErrorCode::StorageFull, "full");
        let verdict = Verdict {
            refused: vec![(id(2), why.clone())],
        };
        assert_eq!(waiters.settle(id(2), Some(why)), Some(("a", verdict)));
        assert!(waiters.waits_for(id(3)));
        assert_eq!(waiters.give_up(gave_up, &[id(3)]).0, [id(3)]);
        assert_eq!(waiters.settle(id(3), None), None);
        assert!(waiters.waits.is_empty() && waiters.topics.is_empty());
    }
}
