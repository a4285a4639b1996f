//! What lives only in memory: sessions, the assignments of each, and creators that wait for hosts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, oneshot, watch};

use super::copies::Copies;
use crate::clock;
use crate::index::assign::{Difference, Feed};
use crate::index::decide::Effect;
use crate::index::directory::Directory;
use crate::index::log;
use crate::index::session::{Leases, SessionEffect, Sessions};
use crate::index::waiters::{Verdict, WaitId, Waiters};
use crate::types::{Fingerprint, MonoNs, SessionId, TopicId};
use crate::wire::ErrorReply;
use crate::wire::index::SessionEnd;
use crate::wire::index::copies::CopyReport;
use crate::wire::index::recovery::TellCopies;

/// How a session's streams end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With a word to the peer.
    Told(SessionEnd),
    /// Without: the same process has opened another session.
    Silent,
}

/// One session as its streams see it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer: Fingerprint,
    pub(super) feed: Mutex<Feed>,
    /// The feed has something new.
    pub(super) changed: Notify,
    ending: watch::Sender<Option<Ending>>,
    feed_claimed: AtomicBool,
}

impl Link {
    fn new(peer: Fingerprint) -> Arc<Link> {
        Arc::new(Link {
            peer,
            feed: Mutex::new(Feed::new(peer)),
            changed: Notify::new(),
            ending: watch::Sender::new(None),
            feed_claimed: AtomicBool::new(false),
        })
    }

    /// Whether this is the first stream that wants the assignments: there is one per session.
    pub(super) fn claim_feed(&self) -> bool {
        !self.feed_claimed.swap(true, Ordering::AcqRel)
    }

    /// Waits until the session is over.
    pub(super) async fn ended(&self) -> Ending {
        let mut ending = self.ending.subscribe();
        let ended = ending.wait_for(Option::is_some).await;
        // The sender lives in `self`, so that there is an end to wait for.
        ended.ok().and_then(|end| *end).unwrap_or(Ending::Silent)
    }

    pub(super) fn is_over(&self) -> bool {
        self.ending.borrow().is_some()
    }

    fn end(&self, ending: Ending) {
        self.ending.send_replace(Some(ending));
    }

    fn push(&self, differences: impl IntoIterator<Item = Difference>) {
        self.feed.lock().push(differences);
        self.changed.notify_one();
    }
}

#[derive(Debug)]
struct State {
    sessions: Sessions,
    links: HashMap<SessionId, Arc<Link>>,
    waiters: Waiters<oneshot::Sender<Verdict>>,
    stopping: bool,
}

/// Sessions and waits of one index.
#[derive(Debug)]
pub(super) struct Hub {
    directory: Arc<RwLock<Directory>>,
    pub(super) copies: Copies,
    state: Mutex<State>,
}

impl Hub {
    pub(super) fn new(
        directory: Arc<RwLock<Directory>>,
        leases: Leases,
        repair_after: Duration,
    ) -> Self {
        Hub {
            directory,
            copies: Copies::new(repair_after),
            state: Mutex::new(State {
                sessions: Sessions::new(leases, clock::mono_now()),
                links: HashMap::new(),
                waiters: Waiters::default(),
                stopping: false,
            }),
        }
    }

    pub(super) fn leases(&self) -> Leases {
        self.state.lock().sessions.leases()
    }

    /// Lets one effect of a committed decision happen.
    pub(super) fn happened(&self, effect: Effect) {
        match effect {
            Effect::Assign { host, topics } => {
                self.push(host, topics.into_iter().map(Difference::Host));
            }
            Effect::Erase { host, topics } => {
                self.push(host, topics.into_iter().map(Difference::Erase));
            }
            Effect::TopicGone { topic, why } => {
                self.copies.look_at(&self.directory, vec![topic]);
                self.settle([(topic, Some(why))]);
            }
            Effect::SessionOpened {
                peer,
                session,
                boot,
                keeps_copies,
            } => {
                let mut state = self.state.lock();
                let mut directory = self.directory.write();
                directory.set_willing(peer, keeps_copies);
                directory.set_leaving(peer, false);
                drop(directory);
                state.links.insert(session, Link::new(peer));
                let effects = state
                    .sessions
                    .opened(peer, session, boot, clock::mono_now());
                self.apply(&mut state, effects);
                if state.stopping {
                    let effects = state.sessions.end(peer, SessionEnd::ShuttingDown);
                    self.apply(&mut state, effects);
                }
            }
            Effect::EndSession { peer, end } => {
                let mut state = self.state.lock();
                let effects = state.sessions.end(peer, end);
                self.apply(&mut state, effects);
            }
            Effect::Leaving { peer } => self.directory.write().set_leaving(peer, true),
            Effect::LookAtCopies { topics } => self.copies.look_at(&self.directory, topics),
            Effect::PlaceCopies => self.copies.place(),
            Effect::RepairLater { topics } => self.copies.put_off(topics),
            Effect::Log(what) => log::happened(&what),
        }
    }

    fn push(&self, host: Fingerprint, differences: impl Iterator<Item = Difference>) {
        let state = self.state.lock();
        let link = state
            .sessions
            .of(host)
            .and_then(|id| state.links.get(&id))
            .cloned();
        drop(state);
        // Without a session, the next one begins with the full list.
        if let Some(link) = link {
            link.push(differences);
        }
    }

    /// Carries out what the sessions' rules say; the peers that went away.
    fn apply(&self, state: &mut State, effects: Vec<SessionEffect>) -> Vec<Fingerprint> {
        let mut away = Vec::new();
        for effect in effects {
            match effect {
                SessionEffect::Live(peer) => {
                    self.directory.write().set_live(peer, true);
                    self.copies.came(peer);
                }
                SessionEffect::Away(peer) => {
                    self.directory.write().set_live(peer, false);
                    self.copies.went(peer);
                    away.push(peer);
                }
                SessionEffect::End(id, end) => {
                    self.end(state, id, Ending::Told(end));
                }
                SessionEffect::Replaced(id) => self.end(state, id, Ending::Silent),
            }
        }
        away
    }

    fn end(&self, state: &mut State, id: SessionId, ending: Ending) {
        let Some(link) = state.links.remove(&id) else {
            return;
        };
        link.end(ending);
        let name = self
            .directory
            .read()
            .peer(link.peer)
            .map(|peer| peer.name.clone());
        let name = name.as_ref().map_or("", |name| name.as_str());
        match ending {
            Ending::Told(SessionEnd::Expired) => log::away(name, link.peer),
            Ending::Told(SessionEnd::Fenced) => log::fenced(name, link.peer),
            _ => {}
        }
    }

    /// The session, if it is the caller's and not over.
    pub(super) fn link(&self, id: SessionId, peer: Fingerprint) -> Option<Arc<Link>> {
        let state = self.state.lock();
        let link = state.links.get(&id).filter(|link| link.peer == peer);
        link.cloned()
    }

    /// Takes a heartbeat; whether it is to be answered.
    pub(super) fn heartbeat(&self, id: SessionId) -> bool {
        self.state.lock().sessions.heartbeat(id, clock::mono_now())
    }

    /// Looks for silent peers; those that are away from now on.
    pub(super) fn tick(&self, now: MonoNs) -> Vec<Fingerprint> {
        let mut state = self.state.lock();
        let effects = state.sessions.tick(now);
        self.apply(&mut state, effects)
    }

    /// The peer of a session has stopped in order; answers it, if the session was still its own.
    pub(super) fn leave(&self, id: SessionId) -> Vec<Fingerprint> {
        let mut state = self.state.lock();
        let effects = state.sessions.leave(id);
        self.apply(&mut state, effects)
    }

    /// The index stops: all sessions end, and those that are about to open end at once.
    pub(super) fn stop(&self) {
        // Sessions that end now say nothing of the peers.
        self.directory.write().set_doubt(true);
        let mut state = self.state.lock();
        state.stopping = true;
        let effects = state.sessions.end_all(SessionEnd::ShuttingDown);
        self.apply(&mut state, effects);
    }

    /// Has every peer tell what its journal holds, once in each session.
    pub(super) fn ask(&self, ask: TellCopies, asked: &mut BTreeSet<SessionId>) {
        for (&session, link) in &self.state.lock().links {
            if asked.insert(session) {
                link.feed.lock().ask(ask);
                link.changed.notify_one();
            }
        }
    }

    /// Nothing is frozen any more for the sake of the backup: every peer is told all that it is to
    /// hold, and topics get hosts that stand.
    pub(super) fn recovered(&self) {
        self.directory.write().set_restored(false);
        let state = self.state.lock();
        for link in state.links.values() {
            link.feed.lock().restart();
            link.changed.notify_one();
            self.copies.came(link.peer);
        }
    }

    /// Peers with a session.
    pub(super) fn linked(&self) -> BTreeSet<Fingerprint> {
        let state = self.state.lock();
        state.links.values().map(|link| link.peer).collect()
    }

    /// Takes a peer's word that it knows later epochs than the index. Whoever hosts such a topic by the
    /// index's record is told to follow.
    pub(super) fn known(&self, peer: Fingerprint, reports: &[CopyReport]) {
        for report in reports {
            let record = {
                let mut directory = self.directory.write();
                let news = directory.note_known(peer, report);
                news.then(|| directory.topic_by_id(report.topic)).flatten()
            };
            let Some(record) = record else { continue };
            log::behind(&record.name, record.grant, report.known.grant, peer);
            for replica in record.replicas {
                self.push(replica, [Difference::Host(report.topic)].into_iter());
            }
        }
    }

    /// Begins to wait for the acceptance of topics about to be created.
    pub(super) fn wait_for(&self, topics: &[TopicId]) -> (WaitId, oneshot::Receiver<Verdict>) {
        let (tell, told) = oneshot::channel();
        let id = self.state.lock().waiters.add(topics, tell);
        (id, told)
    }

    /// Whether somebody waits for a topic's acceptance.
    pub(super) fn waits_for(&self, topic: TopicId) -> bool {
        self.state.lock().waiters.waits_for(topic)
    }

    /// Topics were accepted, or not.
    pub(super) fn settle(&self, topics: impl IntoIterator<Item = (TopicId, Option<ErrorReply>)>) {
        let mut state = self.state.lock();
        for (topic, refused) in topics {
            if let Some((tell, verdict)) = state.waiters.settle(topic, refused) {
                // Whoever asked may be gone.
                let _ = tell.send(verdict);
            }
        }
    }

    /// A creator waits no longer; the topics that nobody has answered for, and what was heard.
    pub(super) fn give_up(&self, id: WaitId, topics: &[TopicId]) -> (Vec<TopicId>, Verdict) {
        self.state.lock().waiters.give_up(id, topics)
    }
}
