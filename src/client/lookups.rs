//! Lookups asked side by side: the first goes at once; what is asked until its answer comes gathers,
//! and goes in one request.
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

/// Names of one gathered request: the longest ones still make half of a metadata request.
const NAMES: usize = 128;
/// So many gathered names go beside a request that is on its way: then one side works while the other
/// does.
const NAMES_BESIDE: usize = 32;

type Found = Result<Option<Route>, ClientError>;

/// Who may ask, and what waits. Pure; `W` is who waits.
#[derive(Debug)]
pub(super) struct Gathering<W> {
    waiting: Vec<(TopicName, W)>,
    /// Requests on their way: two at most.
    requests: usize,
}

/// How a lookup goes.
#[derive(Debug, PartialEq, Eq)]
enum Goes<T> {
    /// At once, by itself.
    Alone,
    /// With others, later.
    Later(T),
    /// With others, for which somebody is to begin with [`Gathering::next`] now.
    Now(T),
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
    fn ask<T>(&mut self, name: &TopicName, wait: impl FnOnce() -> (W, T)) -> Goes<T> {
        if self.requests == 0 {
            self.requests = 1;
            return Goes::Alone;
        }
        let (who, ticket) = wait();
        self.waiting.push((name.clone(), who));
        if self.requests > 1 || self.waiting.len() < NAMES_BESIDE {
            return Goes::Later(ticket);
        }
        self.requests += 1;
        Goes::Now(ticket)
    }

    /// One that went alone is answered: whether somebody is to go on with [`Gathering::next`].
    fn answered_alone(&mut self) -> bool {
        let goes_on = !self.waiting.is_empty();
        self.requests -= usize::from(!goes_on);
        goes_on
    }

    /// What goes together now, in the order asked; `None`: nothing, or too little to go beside another
    /// request.
    fn next(&mut self) -> Option<Vec<(TopicName, W)>> {
        let least = if self.requests > 1 { NAMES_BESIDE } else { 1 };
        if self.waiting.len() < least {
            self.requests -= 1;
            return None;
        }
        // Beside another request half of them go: the other half goes with the next answer.
        let wanted = match self.requests {
            1 => self.waiting.len(),
            _ => (self.waiting.len() / 2).max(NAMES_BESIDE),
        };
        let rest = self.waiting.split_off(wanted.min(NAMES));
        Some(std::mem::replace(&mut self.waiting, rest))
    }
}

/// Lookups of one client.
pub(super) type Lookups = Gathering<oneshot::Sender<Found>>;

/// A lookup on its way alone. When it is answered, or its caller is cancelled, those that have gathered
/// meanwhile go.
struct Alone<'a>(&'a Arc<Inner>);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        if self.0.lookups.lock().answered_alone() {
            ask_together(self.0);
        }
    }
}

/// Asks for what has gathered, as long as there is something. It begins after all that is ready to run
/// now, so that whoever is just answered and asks again is with the others.
fn ask_together(inner: &Arc<Inner>) {
    let inner = Arc::clone(inner);
    let runtime = inner.runtime.clone();
    runtime.spawn(async move {
        loop {
            let asked = inner.lookups.lock().next();
            let Some(asked) = asked else { return };
            let (names, waiting): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
            let request = LookupMany { names };
            let answer = inner.index.call("looking up topics", &request, true).await;
            tell(waiting, answer);
            tokio::task::yield_now().await;
        }
    });
}

fn tell(waiting: Vec<oneshot::Sender<Found>>, answer: Result<Routes, ClientError>) {
    // Sending fails for whoever has gone and does not want it.
    match answer {
        Ok(routes) => {
            let found = expand(routes).chain(std::iter::repeat(None));
            for (who, route) in waiting.into_iter().zip(found) {
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
        let goes = self.inner.lookups.lock().ask(name, oneshot::channel);
        let answer = match goes {
            Goes::Alone => {
                let _alone = Alone(&self.inner);
                return self.lookup_alone(name).await;
            }
            Goes::Later(answer) => answer,
            Goes::Now(answer) => {
                ask_together(&self.inner);
                answer
            }
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

    fn ask(gathering: &mut Gathering<usize>, number: usize) -> Goes<()> {
        gathering.ask(&name(number), || (number, ()))
    }

    fn numbers(together: Option<Vec<(TopicName, usize)>>) -> Vec<usize> {
        let asked = together.into_iter().flatten();
        asked
            .map(|(asked, number)| {
                assert_eq!(asked, name(number));
                number
            })
            .collect()
    }

    #[test]
    fn a_lone_lookup_goes_at_once_and_others_gather() {
        let mut gathering = Gathering::default();
        assert_eq!(ask(&mut gathering, 9), Goes::Alone);
        (0..3).for_each(|n| assert_eq!(ask(&mut gathering, n), Goes::Later(())));
        assert!(gathering.answered_alone());
        // Whoever asks again before the others go, goes with them.
        assert_eq!(ask(&mut gathering, 9), Goes::Later(()));
        assert_eq!(numbers(gathering.next()), [0, 1, 2, 9]);
        assert_eq!(ask(&mut gathering, 3), Goes::Later(()));
        assert_eq!(numbers(gathering.next()), [3]);
        assert_eq!(gathering.next(), None);
        assert_eq!(ask(&mut gathering, 4), Goes::Alone);
        assert!(!gathering.answered_alone());
        assert_eq!(ask(&mut gathering, 5), Goes::Alone);
    }

    #[test]
    fn many_go_beside_a_request_that_is_on_its_way() {
        let mut gathering = Gathering::default();
        assert_eq!(ask(&mut gathering, 0), Goes::Alone);
        (1..NAMES_BESIDE).for_each(|n| assert_eq!(ask(&mut gathering, n), Goes::Later(())));
        assert_eq!(ask(&mut gathering, NAMES_BESIDE), Goes::Now(()));
        assert_eq!(numbers(gathering.next()).len(), NAMES_BESIDE);
        assert_eq!(ask(&mut gathering, 1), Goes::Later(()));
        // Too few to go beside the one that is still on its way.
        assert_eq!(gathering.next(), None);
        assert!(gathering.answered_alone());
        assert_eq!(numbers(gathering.next()), [1]);
        assert_eq!(gathering.next(), None);
        assert_eq!(gathering.requests, 0);
    }

    #[test]
    fn a_request_has_a_bound_and_the_order_is_kept() {
        let mut gathering = Gathering::default();
        assert_eq!(ask(&mut gathering, 0), Goes::Alone);
        for number in 0..2 * NAMES + 5 {
            assert_ne!(ask(&mut gathering, number), Goes::Alone);
        }
        let beside = numbers(gathering.next());
        assert_eq!((beside.len(), beside[0]), (NAMES, 0));
        let half = numbers(gathering.next());
        assert_eq!((half.len(), half[0]), ((NAMES + 5) / 2, NAMES));
        let others = numbers(gathering.next());
        assert_eq!(others[0], half[half.len() - 1] + 1);
    }
}
