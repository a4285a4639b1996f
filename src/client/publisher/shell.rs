//! The task that does what the core decides, and keeps its links and searches.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::core::{Core, Effect, Event, LinkId, Moment, Search, TopicKey};
use super::find;
use super::handle::Handle;
use super::links::{Link, Links};
use super::shared::{Answers, Shared, State};
use super::waiters::Waiters;
use super::{PublisherOptions, Waiting};
use crate::client::{Client, ClientError};
use crate::clock;
use crate::limits;
use crate::transport::CallError;
use crate::types::{MonoNs, TopicId, TopicName};
use crate::wire::Retry;
use crate::wire::index::Route;
use crate::wire::index::copies::{HeldMessages, HoldMessages};

/// What only the task can take: it keeps the links.
pub(super) enum Input {
    /// End when everything is answered.
    Close(Option<oneshot::Sender<()>>),
    Event(Event),
    Found {
        topic: TopicKey,
        search: u64,
        route: Arc<Route>,
        link: Arc<Link>,
    },
}

/// Starts the task of a publisher.
pub(super) fn start(client: Client, options: PublisherOptions) -> Handle {
    let me = client.identity().fingerprint();
    let core = Core::new(me, options.clone());
    let shared = Arc::new(Shared::new(core, options.buffer_bytes));
    let (told, waiting) = watch::channel(None);
    let handle = Handle::new(&shared, options.buffer_bytes, waiting);
    let task = Task {
        links: Arc::new(Links::new(client, Arc::clone(&shared))),
        shared,
        options: Arc::new(options),
        by_id: HashMap::new(),
        searches: JoinSet::new(),
        waits: HashMap::new(),
        told,
        closing: None,
    };
    tokio::spawn(task.run());
    handle
}

struct Task {
    links: Arc<Links>,
    shared: Arc<Shared>,
    options: Arc<PublisherOptions>,
    by_id: HashMap<LinkId, Arc<Link>>,
    searches: JoinSet<()>,
    /// What topics wait for.
    waits: HashMap<TopicName, String>,
    told: watch::Sender<Option<Waiting>>,
    closing: Option<Vec<oneshot::Sender<()>>>,
}

/// However the task ends, nobody is left waiting, and nothing runs on.
impl Drop for Task {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Task {
    async fn run(mut self) {
        let mut effects = Vec::new();
        let mut answers = Answers::default();
        let mut wake = None;
        loop {
            self.wait(wake).await;
            let shared = Arc::clone(&self.shared);
            // None: a step has panicked elsewhere.
            let Some(next) = shared.with(|state| self.step(state, &mut effects)) else {
                break;
            };
            wake = next;
            for effect in effects.drain(..) {
                self.apply(effect, &mut answers);
            }
            let is_settled = shared.settle(&mut answers);
            self.reap();
            if self.closing.is_some() && is_settled {
                break;
            }
        }
        self.shared.room.close();
        for closed in self.closing.take().unwrap_or_default() {
            // Fails only for a caller that waits no more.
            let _ = closed.send(());
        }
    }

    /// Waits for something to do, or for the core's next timer.
    async fn wait(&self, wake: Option<MonoNs>) {
        let woken = self.shared.woken();
        match wake {
            None => woken.await,
            Some(wake) => {
                let pause = wake.since(clock::mono_now());
                // Elapsed: the pump does what is due.
                let _ = tokio::time::timeout(pause, woken).await;
            }
        }
    }

    /// Takes what there is and lets the core do what is due; when it has to do so next.
    fn step(&mut self, state: &mut State, effects: &mut Vec<Effect<Waiters>>) -> Option<MonoNs> {
        state.is_woken = false;
        std::mem::swap(&mut state.effects, effects);
        let mut random = rand::rng();
        let mut moment = Moment {
            now: clock::mono_now(),
            wall: clock::wall_now(),
            random: &mut random,
        };
        for input in state.inputs.drain(..) {
            let event = self.take(input);
            state.core.handle(event, &mut moment, effects);
        }
        state.core.pump(&mut moment, effects);
        state.core.next_wake()
    }

    /// Notes an input down and says what it means to the core.
    fn take(&mut self, input: Input) -> Event {
        match input {
            Input::Close(closed) => {
                self.closing.get_or_insert_default().extend(closed);
                Event::Flush
            }
            Input::Found {
                topic,
                search,
                route,
                link,
            } => self.found(topic, search, route, link),
            Input::Event(event) => {
                if let Event::Lost { link, .. } = &event {
                    self.by_id.remove(link);
                }
                event
            }
        }
    }

    /// A link that was lost before the core knew it would never be reported again.
    fn found(&mut self, topic: TopicKey, search: u64, route: Arc<Route>, link: Arc<Link>) -> Event {
        if link.is_gone() {
            let error = ClientError::Broken {
                doing: format!("opening an append stream to peer {}", route.host.name),
                source: CallError::Cancelled,
            };
            return Event::NotFound {
                topic,
                search,
                error,
                retry: Retry::FreshRoute,
            };
        }
        let id = link.id;
        self.by_id.insert(id, link);
        Event::Found {
            topic,
            search,
            route,
            link: id,
        }
    }

    fn apply(&mut self, effect: Effect<Waiters>, answers: &mut Answers) {
        match effect {
            Effect::Transmit { link, next, batch } => {
                if let Some(link) = self.by_id.get(&link) {
                    link.transmit(next, batch);
                }
            }
            Effect::Answered { waiters, answer } => {
                self.shared.answer(waiters, answer, answers);
            }
            Effect::Hold {
                topic,
                name,
                search,
                life,
                batch,
            } => self.hold(topic, &name, search, life, &batch),
            Effect::Find {
                topic,
                name,
                search,
                how,
            } => self.find(topic, name, search, how),
            Effect::Probe {
                topic,
                name,
                search,
            } => self.probe(topic, name, search),
            Effect::Abandon { link } => {
                if let Some(link) = self.by_id.remove(&link) {
                    self.links.abandon(&link);
                }
            }
            Effect::Waiting { topic, why } => self.tell(topic, why),
        }
    }

    fn hold(
        &mut self,
        topic: TopicKey,
        name: &TopicName,
        search: u64,
        life: TopicId,
        batch: &Bytes,
    ) {
        let index = self.links.client().index().clone();
        let shared = Arc::clone(&self.shared);
        let doing = format!("leaving messages for topic '{name}' with the index");
        let request = HoldMessages {
            topic: life,
            batch: batch.to_vec(),
        };
        self.searches.spawn(async move {
            let asked = index.call_once(&doing, &request, limits::HOLD_TIMEOUT);
            shared.push(Input::Event(match asked.await {
                Ok(HeldMessages { held }) => Event::Held {
                    topic,
                    search,
                    held,
                },
                Err((error, sent)) => Event::NotHeld {
                    topic,
                    search,
                    error,
                    sent,
                },
            }));
        });
    }

    fn find(&mut self, topic: TopicKey, name: TopicName, search: u64, how: Search) {
        let links = Arc::clone(&self.links);
        let shared = Arc::clone(&self.shared);
        let options = Arc::clone(&self.options);
        self.searches.spawn(async move {
            shared.push(match find::find(&links, &options, &name, how).await {
                Ok((route, link)) => Input::Found {
                    topic,
                    search,
                    route,
                    link,
                },
                Err(failed) => absent(topic, search, failed),
            });
        });
    }

    fn probe(&mut self, topic: TopicKey, name: TopicName, search: u64) {
        let client = self.links.client().clone();
        let shared = Arc::clone(&self.shared);
        self.searches.spawn(async move {
            shared.push(match client.route(&name, true).await {
                Ok(route) => Input::Event(Event::Probed {
                    topic,
                    search,
                    route: Arc::new(route),
                }),
                Err(error) => not_found(topic, search, error),
            });
        });
    }

    /// Forgets searches that are done. One that panicked would be waited for in vain.
    fn reap(&mut self) {
        while let Some(done) = self.searches.try_join_next() {
            if let Err(error) = done
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }

    /// Shows one of the topics that wait, the same one as long as it does.
    fn tell(&mut self, topic: TopicName, why: Option<String>) {
        match why {
            Some(why) => drop(self.waits.insert(topic, why)),
            None => drop(self.waits.remove(&topic)),
        }
        let shown = self.told.borrow().as_ref().map(|told| told.topic.clone());
        let shown = shown.and_then(|topic| self.waits.get_key_value(&topic));
        let next = shown.or_else(|| self.waits.iter().next());
        let next = next.map(|(topic, why)| Waiting {
            topic: topic.clone(),
            why: why.clone(),
        });
        self.told.send_if_modified(|told| {
            let changed = *told != next;
            *told = next;
            changed
        });
    }
}

fn absent(topic: TopicKey, search: u64, failed: find::NotFound) -> Input {
    let find::NotFound { error, away } = failed;
    match away {
        None => not_found(topic, search, error),
        Some(route) => Input::Event(Event::Away {
            topic,
            search,
            route,
            retry: find::retry(&error),
            error,
        }),
    }
}

fn not_found(topic: TopicKey, search: u64, error: ClientError) -> Input {
    Input::Event(Event::NotFound {
        topic,
        search,
        retry: find::retry(&error),
        error,
    })
}
