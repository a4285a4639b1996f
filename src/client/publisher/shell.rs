//! The task that owns the core.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;

use super::account::{Account, Flushed};
use super::core::{Core, Effect, Event, LinkId, Moment, Search, TopicKey};
use super::find;
use super::handle::Handle;
use super::links::{Link, Links};
use super::mailbox::Mailbox;
use super::{PublisherOptions, Receipt, Waiting};
use crate::client::{Client, ClientError, Message};
use crate::clock;
use crate::limits;
use crate::transport::CallError;
use crate::types::{Offset, PeerName, TopicId, TopicName};
use crate::wire::Retry;
use crate::wire::index::Route;
use crate::wire::index::copies::{HeldInfo, HeldMessages, HoldMessages};
use crate::wire::peer::Achieved;

pub(super) type Answer = Result<Receipt, ClientError>;

/// Who waits for a message.
pub(super) struct Waiter {
    pub(super) answer: oneshot::Sender<Answer>,
    /// Permits of the buffer.
    pub(super) bytes: u32,
    /// Which flush waits for it; set when the task takes it.
    pub(super) generation: u64,
}

/// What comes into the task.
pub(super) enum Input {
    Send {
        topic: TopicName,
        message: Message,
        waiter: Waiter,
    },
    Flush(oneshot::Sender<Flushed>),
    /// End when everything is answered.
    Close(Option<oneshot::Sender<()>>),
    Event(Event<Waiter>),
    Found {
        topic: TopicKey,
        search: u64,
        route: Arc<Route>,
        link: Arc<Link>,
    },
}

/// Starts the task of a publisher.
pub(super) fn start(client: Client, options: PublisherOptions) -> Handle {
    let inbox = Arc::new(Mailbox::new());
    let room = Arc::new(Semaphore::new(options.buffer_bytes));
    let (told, waiting) = watch::channel(None);
    let handle = Handle::new(&inbox, &room, options.buffer_bytes, waiting);
    let me = client.identity().fingerprint();
    let task = Task {
        links: Arc::new(Links::new(client, Arc::clone(&inbox))),
        inbox,
        room,
        core: Core::new(me, options.clone()),
        options: Arc::new(options),
        by_id: HashMap::new(),
        searches: JoinSet::new(),
        account: Account::new(),
        waits: HashMap::new(),
        told,
        closing: None,
    };
    tokio::spawn(task.run());
    handle
}

struct Task {
    links: Arc<Links>,
    inbox: Arc<Mailbox<Input>>,
    room: Arc<Semaphore>,
    core: Core<Waiter>,
    options: Arc<PublisherOptions>,
    by_id: HashMap<LinkId, Arc<Link>>,
    searches: JoinSet<()>,
    account: Account,
    /// What topics wait for.
    waits: HashMap<TopicName, String>,
    told: watch::Sender<Option<Waiting>>,
    closing: Option<Vec<oneshot::Sender<()>>>,
}

/// However the task ends, nobody is left waiting, and nothing runs on.
impl Drop for Task {
    fn drop(&mut self) {
        self.inbox.close();
        self.room.close();
    }
}

impl Task {
    async fn run(mut self) {
        let mut inputs = Vec::new();
        let mut effects = Vec::new();
        while !(self.closing.is_some() && self.account.is_settled()) {
            self.wait(&mut inputs).await;
            let mut random = rand::rng();
            let mut moment = Moment {
                now: clock::mono_now(),
                wall: clock::wall_now(),
                random: &mut random,
            };
            for input in inputs.drain(..) {
                if let Some(event) = self.take(input) {
                    self.core.handle(event, &mut moment, &mut effects);
                }
            }
            self.core.pump(&mut moment, &mut effects);
            for effect in effects.drain(..) {
                self.apply(effect);
            }
            self.account.settle();
            self.reap();
        }
        self.room.close();
        for closed in self.closing.take().unwrap_or_default() {
            // Fails only for a caller that waits no more.
            let _ = closed.send(());
        }
    }

    /// Waits for input or for the core's next timer.
    async fn wait(&self, inputs: &mut Vec<Input>) {
        let taking = self.inbox.take(inputs);
        match self.core.next_wake() {
            None => taking.await,
            Some(wake) => {
                let pause = wake.since(clock::mono_now());
                // Elapsed: the pump does what is due.
                let _ = tokio::time::timeout(pause, taking).await;
            }
        }
    }

    /// Notes an input down and says what it means to the core.
    fn take(&mut self, input: Input) -> Option<Event<Waiter>> {
        match input {
            Input::Send {
                topic,
                message,
                mut waiter,
            } => {
                waiter.generation = self.account.sent();
                Some(Event::Send {
                    topic,
                    message,
                    waiter,
                })
            }
            Input::Flush(flushed) => {
                self.account.flush(flushed);
                Some(Event::Flush)
            }
            Input::Close(closed) => {
                self.closing.get_or_insert_default().extend(closed);
                Some(Event::Flush)
            }
            Input::Found {
                topic,
                search,
                route,
                link,
            } => Some(self.found(topic, search, route, link)),
            Input::Event(event) => {
                if let Event::Lost { link, .. } = &event {
                    self.by_id.remove(link);
                }
                Some(event)
            }
        }
    }

    /// A link that was lost before the core knew it would never be reported again.
    fn found(
        &mut self,
        topic: TopicKey,
        search: u64,
        route: Arc<Route>,
        link: Arc<Link>,
    ) -> Event<Waiter> {
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

    fn apply(&mut self, effect: Effect<Waiter>) {
        match effect {
            Effect::Transmit { link, next, batch } => {
                if let Some(link) = self.by_id.get(&link) {
                    link.transmit(next, batch);
                }
            }
            Effect::Appended { .. } => self.appended(effect),
            Effect::Hold {
                topic,
                name,
                search,
                life,
                batch,
            } => self.hold(topic, &name, search, life, &batch),
            Effect::Held {
                waiters,
                topic,
                held,
                route,
            } => self.held(waiters, &topic, held, &route),
            Effect::Failed { waiters, error } => {
                self.account.failed(&error);
                for waiter in waiters {
                    self.answer(waiter, Err(error.clone()));
                }
            }
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

    fn appended(&mut self, effect: Effect<Waiter>) {
        let Effect::Appended {
            waiters,
            topic,
            base,
            duplicate,
            achieved,
            epoch,
            host,
            peers,
        } = effect
        else {
            return;
        };
        for (index, waiter) in waiters.into_iter().enumerate() {
            let receipt = Receipt {
                topic: topic.clone(),
                offset: base.plus(index as u64),
                epoch,
                duplicate,
                achieved,
                peers: Arc::clone(&peers),
                host: Arc::clone(&host),
                held: None,
            };
            self.answer(waiter, Ok(receipt));
        }
    }

    fn held(&mut self, waiters: Vec<Waiter>, topic: &TopicName, held: HeldInfo, route: &Route) {
        let host = Arc::new(route.host.clone());
        let peers: Arc<[PeerName]> = Arc::from([]);
        for waiter in waiters {
            let receipt = Receipt {
                topic: topic.clone(),
                offset: Offset(0),
                epoch: route.epoch,
                duplicate: false,
                achieved: Achieved { durable: 0, of: 0 },
                peers: Arc::clone(&peers),
                host: Arc::clone(&host),
                held: Some(held),
            };
            self.answer(waiter, Ok(receipt));
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
        let inbox = Arc::clone(&self.inbox);
        let doing = format!("leaving messages for topic '{name}' with the index");
        let request = HoldMessages {
            topic: life,
            batch: batch.to_vec(),
        };
        self.searches.spawn(async move {
            let asked = index.call_once(&doing, &request, limits::HOLD_TIMEOUT);
            inbox.push(Input::Event(match asked.await {
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

    fn answer(&mut self, waiter: Waiter, answer: Answer) {
        self.account.answered(waiter.generation);
        self.room.add_permits(waiter.bytes as usize);
        // A dropped `Pending` wants no answer.
        let _ = waiter.answer.send(answer);
    }

    fn find(&mut self, topic: TopicKey, name: TopicName, search: u64, how: Search) {
        let links = Arc::clone(&self.links);
        let inbox = Arc::clone(&self.inbox);
        let options = Arc::clone(&self.options);
        self.searches.spawn(async move {
            inbox.push(match find::find(&links, &options, &name, how).await {
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
        let inbox = Arc::clone(&self.inbox);
        self.searches.spawn(async move {
            inbox.push(match client.route(&name, true).await {
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
