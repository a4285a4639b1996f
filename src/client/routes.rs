//! The cache of routes. Pure but for what [`super::state`] stores.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::types::TopicName;
use crate::wire::index::{HostAddress, Route};

/// Routes kept on disk; a one-shot command needs one, a script some.
const KEPT_ON_DISK: usize = 1_024;
/// Routes kept in memory; beyond it the cache starts over.
const KEPT: usize = 1 << 20;

/// A cached route.
#[derive(Debug, Clone)]
pub(super) struct Cached {
    pub(super) route: Route,
    /// Something spoke against it. It is still what there is while the index is down.
    pub(super) doubted: bool,
}

/// Routes by topic name.
#[derive(Debug, Default)]
pub(super) struct Routes {
    routes: HashMap<TopicName, Cached>,
    changed: bool,
}

impl Routes {
    pub(super) fn new(stored: Vec<(TopicName, Route)>) -> Self {
        let routes = stored
            .into_iter()
            .map(|(name, route)| {
                (
                    name,
                    Cached {
                        route,
                        doubted: false,
                    },
                )
            })
            .collect();
        Routes {
            routes,
            changed: false,
        }
    }

    pub(super) fn get(&self, topic: &TopicName) -> Option<&Cached> {
        self.routes.get(topic)
    }

    /// The route of a topic, unless something spoke against it.
    pub(super) fn undoubted(&self, topic: &TopicName) -> Option<&Route> {
        let cached = self.routes.get(topic)?;
        (!cached.doubted).then_some(&cached.route)
    }

    /// Remembers a route that the index gave just now. Whether something is to be written to disk.
    pub(super) fn learn(&mut self, topic: &TopicName, route: &Route) -> bool {
        match self.routes.get_mut(topic) {
            Some(known) if known.route == *route => known.doubted = false,
            known => {
                if known.is_none() && self.routes.len() >= KEPT {
                    self.routes.clear();
                }
                let learnt = Cached {
                    route: route.clone(),
                    doubted: false,
                };
                self.routes.insert(topic.clone(), learnt);
                self.changed = true;
            }
        }
        self.changed
    }

    /// The hosts that occur, each once.
    pub(super) fn hosts(&self) -> Vec<HostAddress> {
        let hosts = self.routes.values().map(|cached| &*cached.route.host);
        let by_key: BTreeMap<_, _> = hosts.map(|host| (host.fingerprint, host)).collect();
        by_key.into_values().cloned().collect()
    }

    /// Something spoke against the route: look it up afresh before the next use.
    pub(super) fn doubt(&mut self, topic: &TopicName) {
        if let Some(cached) = self.routes.get_mut(topic) {
            cached.doubted = true;
        }
    }

    /// The topic does not exist.
    pub(super) fn forget(&mut self, topic: &TopicName) {
        self.changed |= self.routes.remove(topic).is_some();
    }

    /// What is to be written to disk, if anything changed since the last call.
    pub(super) fn take_changed(&mut self) -> Option<Vec<(TopicName, Route)>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let routes = self.routes.iter().take(KEPT_ON_DISK);
        Some(
            routes
                .map(|(name, cached)| (name.clone(), cached.route.clone()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::types::{Epoch, Fingerprint, PeerName, TopicId};

    fn route(grant: u32) -> Route {
        Route {
            topic: TopicId([1; 16]),
            epoch: Epoch {
                grant,
                incarnation: 1,
            },
            host: Arc::new(HostAddress {
                fingerprint: Fingerprint([2; 32]),
                name: PeerName::new("1").unwrap(),
                addresses: vec![],
                live: true,
            }),
        }
    }

    #[test]
    fn only_changes_are_written() {
        let topic = TopicName::new("T1").unwrap();
        let mut routes = Routes::new(vec![(topic.clone(), route(1))]);
        assert!(!routes.learn(&topic, &route(1)));
        assert!(routes.take_changed().is_none());
        routes.doubt(&topic);
        assert_eq!(routes.undoubted(&topic), None);
        assert!(routes.get(&topic).unwrap().doubted);
        // The index says the same again.
        assert!(!routes.learn(&topic, &route(1)));
        assert_eq!(routes.undoubted(&topic), Some(&route(1)));
        routes.doubt(&topic);
        assert!(routes.learn(&topic, &route(2)));
        assert_eq!(routes.undoubted(&topic), Some(&route(2)));
        assert!(routes.learn(&topic, &route(2)), "it is not written yet");
        assert_eq!(
            routes.take_changed().unwrap(),
            vec![(topic.clone(), route(2))]
        );
        routes.forget(&topic);
        assert_eq!(routes.take_changed().unwrap(), vec![]);
    }
}
