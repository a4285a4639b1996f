//! Lookups asked side by side: a few go each in a request of its own, at once; what is asked
//! meanwhile gathers, and goes in one request when an answer comes.
//!
//! A lone lookup waits for nothing. The more are asked at a time, the more share a stream, a packet
//! and a turn of the index, so that many cost little more than few: what Nagle's algorithm (RFC 896)
//! does for bytes.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::error::ClientError;
use super::{Client, Inner};
use crate::types::TopicName;
use crate::wire::index::{CompactRoute, Lookup, LookupMany, Route, Routes};

/// Requests on their way at a time: with two, one side works while the other does.
const REQUESTS: usize = 2;
/// Names of one gathered request: the longest ones still make half of a metadata request.
const NAMES: usize = 128;

type Found = Result<Option<Route>, ClientError>;

/// Who may ask, and what waits. Pure; `W` is who waits.
#[derive(Debug)]
pub(super) struct Gathering<W> {
    waiting: Vec<(TopicName, W)>,
    /// Requests on their way.
    requests: usize,
}

impl<W> Default for Gathering<W> {
    fn default() -> Self {
        Gathering {
            waiting: Vec::new(),
            requests: 0,
        }
    }
}

impl<W> Gathering<W> {
    /// A place on the way, to be given back by [`Gathering::answered`]; or, where there is none, the
    /// topic waits for the next request.
    fn begin_or_wait<T>(&mut self, name: &TopicName, wait: impl FnOnce() -> (W, T)) -> Option<T> {
        if self.requests < REQUESTS {
            self.requests += 1;
            return None;
        }
        let (who, ticket) = wait();
        self.waiting.push((name.clone(), who));
        Some(ticket)
    }

    /// A place has become free: what goes now, in the order asked, and keeps the place.
    fn answered(&mut self) -> Option<Vec<(TopicName, W)>> {
        if self.waiting.is_empty() {
            self.requests -= 1;
            return None;
        }
        let rest = self.waiting.split_off(self.waiting.len().min(NAMES));
        Some(std::mem::replace(&mut self.waiting, rest))
    }
}

/// Lookups of one client.
pub(super) type Lookups = Gathering<oneshot::Sender<Found>>;

/// A place on the way. Given back when dropped, also by a caller that is cancelled; what gathered
/// meanwhile goes then.
struct Place<'a>(&'a Arc<Inner>);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let next = self.0.lookups.lock().answered();
        if let Some(next) = next {
            let asking = ask_gathered(Arc::clone(self.0), next);
            self.0.runtime.spawn(asking);
        }
    }
}

/// Asks for what has gathered, and goes on as long as more does.
async fn ask_gathered(inner: Arc<Inner>, asked: Vec<(TopicName, oneshot::Sender<Found>)>) {
    let _place = Place(&inner);
    let (names, waiting): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let request = LookupMany { names };
    match inner.index.call("looking up topics", &request, true).await {
        Ok(routes) => {
            let found = expand(routes).chain(std::iter::repeat(None));
            for (who, route) in waiting.into_iter().zip(found) {
                // Whoever has gone does not want it.
                let _ = who.send(Ok(route));
            }
        }
        Err(error) => {
            for who in waiting {
                let _ = who.send(Err(error.clone()));
            }
        }
    }
}

/// The routes of a batched answer, each with its host.
pub(super) fn expand(routes: Routes) -> impl Iterator<Item = Option<Route>> {
    let Routes { hosts, routes } = routes;
    routes.into_iter().map(move |found| {
        let CompactRoute { topic, epoch, host } = found?;
        let host = hosts.get(host as usize)?.clone();
        Some(Route { topic, epoch, host })
    })
}

impl Client {
    /// Where a topic is, as the index knows it now. Lookups that are asked side by side share
    /// requests.
    pub async fn lookup(&self, name: &TopicName) -> Result<Route, ClientError> {
        let lookups = &self.inner.lookups;
        let gathered = lookups.lock().begin_or_wait(name, oneshot::channel);
        let Some(answer) = gathered else {
            let _place = Place(&self.inner);
            return self.lookup_alone(name).await;
        };
        match answer.await.unwrap_or(Err(ClientError::Closed))? {
            Some(route) => Ok(route),
            // Asked alone the index says in its own words why not.
            None => self.lookup_alone(name).await,
        }
    }

    async fn lookup_alone(&self, name: &TopicName) -> Result<Route, ClientError> {
        let request = Lookup { name: name.clone() };
        let call = self.inner.index.call("looking up a topic", &request, true);
        let doing = || format!("looking up topic '{name}'");
        call.await.map_err(|error| error.while_doing(doing()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> TopicName {
        format!("T{number}").parse().unwrap()
    }

    fn goes_at_once(gathering: &mut Gathering<usize>, number: usize) -> bool {
        let waits = gathering.begin_or_wait(&name(number), || (number, ()));
        waits.is_none()
    }

    #[test]
    fn a_lone_lookup_goes_at_once_and_others_gather() {
        let mut gathering = Gathering::default();
        assert!(goes_at_once(&mut gathering, 8));
        assert!(goes_at_once(&mut gathering, 9));
        (0..3).for_each(|n| assert!(!goes_at_once(&mut gathering, n)));
        let together = gathering.answered().unwrap();
        assert_eq!(together, [(name(0), 0), (name(1), 1), (name(2), 2)]);
        assert!(!goes_at_once(&mut gathering, 3), "the three keep the place");
        assert_eq!(gathering.answered().unwrap(), [(name(3), 3)]);
        assert_eq!(gathering.answered(), None);
        assert!(goes_at_once(&mut gathering, 4));
        assert_eq!(gathering.answered(), None);
        assert_eq!(gathering.answered(), None);
        assert_eq!(gathering.requests, 0);
    }

    #[test]
    fn a_request_has_a_bound_and_the_order_is_kept() {
        let mut gathering = Gathering::default();
        (0..REQUESTS).for_each(|n| assert!(goes_at_once(&mut gathering, n)));
        (0..NAMES + 5).for_each(|n| assert!(!goes_at_once(&mut gathering, n)));
        let first = gathering.answered().unwrap();
        assert_eq!((first.len(), first[0].1), (NAMES, 0));
        let rest = gathering.answered().unwrap();
        assert_eq!((rest.len(), rest[0].1), (5, NAMES));
    }
}
