//! Subscriptions that are known to stand without asking the index, so that a pull by a one-shot
//! command goes to the host at once, and goes on while the index is down.
//!
//! It is a cache: another machine under the same key may have unsubscribed meanwhile.

use std::collections::BTreeMap;

use super::Client;
use super::error::ClientError;
use super::state::KnownSubscription;
use crate::types::{Group, TopicId, TopicName};

/// Subscriptions kept; a script reads some, and what is not kept costs one question.
const KEPT: usize = 1_024;

/// Known subscriptions by topic and group. Pure.
#[derive(Debug, Default)]
pub(super) struct Known {
    topics: BTreeMap<(TopicName, Group), TopicId>,
    changed: bool,
}

impl Known {
    pub(super) fn new(stored: Vec<KnownSubscription>) -> Self {
        let entry = |(name, group, topic)| ((name, group), topic);
        Known {
            topics: stored.into_iter().map(entry).collect(),
            changed: false,
        }
    }

    fn get(&self, name: &TopicName, group: &Group) -> Option<TopicId> {
        self.topics.get(&(name.clone(), group.clone())).copied()
    }

    fn learn(&mut self, name: &TopicName, group: &Group, topic: TopicId) {
        if self.topics.len() >= KEPT {
            self.topics.clear();
        }
        let before = self.topics.insert((name.clone(), group.clone()), topic);
        self.changed |= before != Some(topic);
    }

    fn forget(&mut self, name: &TopicName, group: &Group) {
        self.changed |= self.topics.remove(&(name.clone(), group.clone())).is_some();
    }

    fn take_changed(&mut self) -> Option<Vec<KnownSubscription>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let entry = |((name, group), topic): (&(TopicName, Group), &TopicId)| {
            (name.clone(), group.clone(), *topic)
        };
        Some(self.topics.iter().map(entry).collect())
    }
}

impl Client {
    /// The life of the topic that this identity subscribes to in `group`, as far as known here.
    pub fn subscribed_to(&self, name: &TopicName, group: &Group) -> Option<TopicId> {
        self.inner.known.lock().get(name, group)
    }

    pub(super) fn learn_subscription(&self, name: &TopicName, group: &Group, topic: TopicId) {
        self.inner.known.lock().learn(name, group, topic);
        self.save_known();
    }

    pub(super) fn forget_subscription(&self, name: &TopicName, group: &Group) {
        self.inner.known.lock().forget(name, group);
        self.save_known();
    }

    /// A cache that cannot be written is no reason to fail what it was learned for.
    fn save_known(&self) {
        let changed = self.inner.known.lock().take_changed();
        if let Some(Err(error)) = changed.map(|known| self.inner.state.save_subscriptions(known)) {
            tracing::warn!(%error, "subscriptions are not kept");
        }
    }

    /// Forgets everything that was kept for the time when the index is down: passes, routes and
    /// subscriptions, on disk too.
    pub fn forget_state(&self) -> Result<(), ClientError> {
        *self.inner.known.lock() = Known::default();
        *self.inner.routes.lock() = super::routes::Routes::new(vec![]);
        self.inner.state.clear()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_life_of_a_topic_is_another_subscription() {
        let topic: TopicName = "T1".parse().unwrap();
        let group = Group::default();
        let mut known = Known::default();
        known.learn(&topic, &group, TopicId([1; 16]));
        assert_eq!(known.get(&topic, &group), Some(TopicId([1; 16])));
        let stored = known.take_changed().unwrap();
        assert!(known.take_changed().is_none());
        let mut known = Known::new(stored);
        known.learn(&topic, &group, TopicId([1; 16]));
        assert!(known.take_changed().is_none());
        known.learn(&topic, &group, TopicId([2; 16]));
        assert_eq!(known.take_changed().unwrap().len(), 1);
        known.forget(&topic, &group);
        assert_eq!(known.take_changed(), Some(vec![]));
        assert_eq!(known.get(&topic, &group), None);
    }
}
