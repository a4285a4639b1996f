//! Lookups asked side by side: the first goes at once; what is asked until its answer comes gathers,
//! and goes in one request.
//!
//! A lone lookup waits for nothing. The more are asked at a time, the more share a stream, a packet
//! and a turn of the index, so that many cost little more than few: what Nagle's algorithm (RFC 896)
//! does for bytes.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::error::ClientError;
use super::{Client, Inner};
use crate::types::TopicName;
use crate::wire::index::{CompactRoute, Lookup, LookupMany, Route, Routes};

/// Names of one gathered request: the longest ones still make half of a metadata request.
const NAMES: usize = 128;
/// So many gathered names go beside a request that is on its way: then one side works while the other
/// does.
const NAMES_BESIDE: usize = 32;
/// How long others wait for a lookup that went alone. Its caller may have stopped to poll it.
const ALONE: Duration = Duration::from_millis(2);

type Found = Result<Option<Route>, ClientError>;

/// Who may ask, and what waits. Pure; `W` is who waits.
#[derive(Debug)]
pub(super) struct Gathering<W> {
    waiting: Vec<(TopicName, W)>,
    /// One has gone alone.
    alone: bool,
    /// Tasks that ask for what has gathered: two at most.
    tasks: usize,
}

/// How a lookup goes.
#[derive(Debug, PartialEq, Eq)]
enum Goes<T> {
    /// At once, by itself; [`Gathering::answered_alone`] follows.
    Alone,
    /// With others, which a task asks for.
    Later(T),
    /// With others; a task is to be begun that waits for the one that has gone alone.
    After(T),
    /// With others, for which a task is to be begun now.
    Now(T),
}

impl<W> Default for Gathering<W> {
    fn default() -> Self {
        Gathering {
            waiting: Vec::new(),
            alone: false,
            tasks: 0,
        }
    }
}

impl<W> Gathering<W> {
    fn ask<T>(&mut self, name: &TopicName, wait: impl FnOnce() -> (W, T)) -> Goes<T> {
        if !self.alone && self.tasks == 0 {
            self.alone = true;
            return Goes::Alone;
        }
        let (who, ticket) = wait();
        self.waiting.push((name.clone(), who));
        match self.tasks {
            0 => {
                self.tasks = 1;
                Goes::After(ticket)
            }
            1 if self.waiting.len() >= NAMES_BESIDE => {
                self.tasks = 2;
                Goes::Now(ticket)
            }
            _ => Goes::Later(ticket),
        }
    }

    fn answered_alone(&mut self) {
        self.alone = false;
    }

    /// What a task asks for now, in the order asked. `None`: nothing, or too little to go beside another
    /// request; the task ends.
    fn next(&mut self) -> Option<Vec<(TopicName, W)>> {
        let least = if self.tasks > 1 { NAMES_BESIDE } else { 1 };
        if self.waiting.len() < least {
            self.tasks -= 1;
            return None;
        }
        // Beside another request half of them go: the other half goes with the next answer.
        let wanted = match self.tasks {
            1 => self.waiting.len(),
            _ => (self.waiting.len() / 2).max(NAMES_BESIDE),
        };
        let rest = self.waiting.split_off(wanted.min(NAMES));
        Some(std::mem::replace(&mut self.waiting, rest))
    }

    /// A task has ended before its time. Nobody may wait for it.
    fn abandoned(&mut self) {
        self.tasks -= 1;
        self.waiting.clear();
    }
}

/// Lookups of one client.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    gathering: Mutex<Gathering<oneshot::Sender<Found>>>,
    /// The one that went alone is answered.
    answered: Notify,
}

/// A lookup on its way alone, until it is answered or its caller is cancelled.
struct Alone<'a>(&'a Lookups);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.gathering.lock().answered_alone();
        self.0.answered.notify_one();
    }
}

/// A task that asks for what has gathered.
struct Asking(Option<Arc<Inner>>);

impl Asking {
    /// What is to be asked now; `None`: the task ends.
    fn next(&mut self) -> Option<Vec<(TopicName, oneshot::Sender<Found>)>> {
        let inner = self.0.take()?;
        let mut asked = inner.lookups.gathering.lock().next()?;
        self.0 = Some(inner);
        asked.retain(|(_, who)| !who.is_closed());
        Some(asked)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(inner) = &self.0 {
            inner.lookups.gathering.lock().abandoned();
        }
    }
}

/// Asks for what has gathered, as long as there is something, `after` the one that went alone. Whoever is
/// just answered and asks again at once goes with the others.
fn ask_together(inner: &Arc<Inner>, after: bool) {
    let mut asking = Asking(Some(Arc::clone(inner)));
    let inner = Arc::clone(inner);
    let runtime = inner.runtime.clone();
    runtime.spawn(async move {
        if after {
            // Late or not, they go.
            let _ = tokio::time::timeout(ALONE, inner.lookups.answered.notified()).await;
        }
        while let Some(asked) = asking.next() {
            let (names, waiting): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
            if !names.is_empty() {
                let request = LookupMany { names };
                let answer = inner.index.call("looking up topics", &request, true).await;
                tell(waiting, answer);
            }
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
        let lookups = &self.inner.lookups;
        let goes = lookups.gathering.lock().ask(name, oneshot::channel);
        let answer = match goes {
            Goes::Alone => {
                let _alone = Alone(lookups);
                return self.lookup_alone(name).await;
            }
            Goes::Later(answer) => answer,
            Goes::After(answer) => {
                ask_together(&self.inner, true);
                answer
            }
            Goes::Now(answer) => {
                ask_together(&self.inner, false);
                answer
            }
        };
        let found = answer.await.unwrap_or(Err(ClientError::Closed));
        match found.map_err(|error| error.while_doing(doing(name)))? {
            Some(route) => Ok(route),
            // Asked alone the index says in its own words why not.
            None => self.lookup_alone(name).await,
        }
    }

    async fn lookup_alone(&self, name: &TopicName) -> Result<Route, ClientError> {
        let request = Lookup { name: name.clone() };
        let call = self.inner.index.call("looking up a topic", &request, true);
        call.await.map_err(|error| error.while_doing(doing(name)))
    }
}

fn doing(name: &TopicName) -> String {
    format!("looking up topic '{name}'")
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
        assert_eq!(ask(&mut gathering, 0), Goes::After(()));
        (1..3).for_each(|n| assert_eq!(ask(&mut gathering, n), Goes::Later(())));
        gathering.answered_alone();
        // Whoever asks again before the others go, goes with them.
        assert_eq!(ask(&mut gathering, 9), Goes::Later(()));
        assert_eq!(numbers(gathering.next()), [0, 1, 2, 9]);
        assert_eq!(ask(&mut gathering, 3), Goes::Later(()));
        assert_eq!(numbers(gathering.next()), [3]);
        assert_eq!(gathering.next(), None);
        assert_eq!(ask(&mut gathering, 4), Goes::Alone);
        gathering.answered_alone();
        assert_eq!(ask(&mut gathering, 5), Goes::Alone);
    }

    #[test]
    fn one_that_is_never_answered_holds_nobody_up() {
        let mut gathering = Gathering::default();
        assert_eq!(ask(&mut gathering, 9), Goes::Alone);
        for number in 0..3 {
            assert_eq!(ask(&mut gathering, number), Goes::After(()));
            assert_eq!(numbers(gathering.next()), [number]);
            assert_eq!(gathering.next(), None);
        }
    }

    #[test]
    fn many_go_beside_a_request_that_is_on_its_way() {
        let mut gathering = Gathering::default();
        assert_eq!(ask(&mut gathering, 0), Goes::Alone);
        assert_eq!(ask(&mut gathering, 1), Goes::After(()));
        assert_eq!(numbers(gathering.next()), [1]);
        (1..NAMES_BESIDE).for_each(|n| assert_eq!(ask(&mut gathering, n), Goes::Later(())));
        assert_eq!(ask(&mut gathering, NAMES_BESIDE), Goes::Now(()));
        assert_eq!(numbers(gathering.next()).len(), NAMES_BESIDE);
        assert_eq!(ask(&mut gathering, 1), Goes::Later(()));
        // Too few to go beside the one that is still on its way.
        assert_eq!(gathering.next(), None);
        assert_eq!(numbers(gathering.next()), [1]);
        assert_eq!(gathering.next(), None);
        assert_eq!(gathering.tasks, 0);
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
