//! When topics' copies are looked at: somebody comes or goes, a copy has been away for long. What
//! becomes of them, the decider says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::service::Index;
use crate::clock;
use crate::index::decide::{Answer, Event};
use crate::index::directory::{Directory, Slot};
use crate::limits;
use crate::replication::manager::{Presence, Repairs};
use crate::types::{Fingerprint, TopicId};

/// What waits to be looked at.
#[derive(Debug)]
pub(super) struct Copies {
    changed: Mutex<BTreeSet<Fingerprint>>,
    somebody: Notify,
    /// Topics that lack copies by name may get them.
    lacking: Notify,
    repairs: Mutex<Repairs<TopicId>>,
}

impl Copies {
    pub(super) fn new(repair_after: Duration) -> Self {
        Copies {
            changed: Mutex::default(),
            somebody: Notify::new(),
            lacking: Notify::new(),
            repairs: Mutex::new(Repairs::new(repair_after, limits::REPAIRS_AT_ONCE)),
        }
    }

    /// A peer is live.
    pub(super) fn came(&self, peer: Fingerprint) {
        self.went(peer);
        self.place();
    }

    /// Topics that lack copies by name may get them.
    pub(super) fn place(&self) {
        self.lacking.notify_one();
    }

    /// A peer is away.
    pub(super) fn went(&self, peer: Fingerprint) {
        self.changed.lock().insert(peer);
        self.somebody.notify_one();
    }

    /// Looks whether these topics need other copies, now that their change is applied.
    pub(super) fn look_at(&self, directory: &RwLock<Directory>, topics: Vec<TopicId>) {
        let now = clock::mono_now();
        for part in topics.chunks(limits::CHANGES_PER_LOCK) {
            let directory = directory.read();
            let mut repairs = self.repairs.lock();
            for &topic in part {
                let lacks = directory.needs_repair(topic).unwrap_or(false);
                repairs.note(topic, lacks, now);
            }
        }
    }

    /// Nobody could be found for these.
    pub(super) fn put_off(&self, topics: Vec<TopicId>) {
        let now = clock::mono_now();
        let mut repairs = self.repairs.lock();
        topics
            .into_iter()
            .for_each(|topic| repairs.put_off(topic, now));
    }

    fn due(&self) -> Vec<TopicId> {
        self.repairs.lock().due(clock::mono_now())
    }
}

/// Has topics stand under hosts that are there. Never ends.
pub(super) async fn keep_hosts(index: &Arc<Index>, presence: Presence) {
    let wait = presence.doubt_until().since(clock::mono_now());
    let doubt_ends = tokio::time::sleep(wait);
    tokio::pin!(doubt_ends);
    let mut in_doubt = true;
    loop {
        let copies = &index.hub.copies;
        tokio::select! {
            () = &mut doubt_ends, if in_doubt => {
                in_doubt = false;
                index.directory.write().set_doubt(false);
                walk(index, |from| Event::Review { peer: None, from }).await;
            }
            () = copies.somebody.notified() => {
                let peers = std::mem::take(&mut *copies.changed.lock());
                for peer in peers {
                    walk(index, |from| Event::Review { peer: Some(peer), from }).await;
                }
            }
        }
    }
}

/// Has topics get the copies that they want. Never ends.
pub(super) async fn keep_copies(index: &Arc<Index>) {
    let mut tick = tokio::time::interval(limits::SESSION_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let copies = &index.hub.copies;
    loop {
        tokio::select! {
            () = copies.lacking.notified() => place(index, &mut tick).await,
            _ = tick.tick() => {
                let topics = copies.due();
                if !topics.is_empty() {
                    // Refused only while stopping.
                    let _ = index.decide(Event::Repair { topics }).await;
                }
            }
        }
    }
}

/// A bounded number of topics each tick, until all have been looked at.
async fn place(index: &Arc<Index>, tick: &mut tokio::time::Interval) {
    let mut from = 0;
    while let Some(next) = step(index, Event::Place { from }).await {
        from = next;
        tick.tick().await;
    }
}

async fn walk(index: &Arc<Index>, event: impl Fn(Slot) -> Event) {
    let mut from = 0;
    while let Some(next) = step(index, event(from)).await {
        from = next;
    }
}

/// Where a walk goes on; it ends when the index stops, too.
async fn step(index: &Arc<Index>, event: Event) -> Option<Slot> {
    match index.decide(event).await {
        Ok(Answer::Walked { next }) => next,
        _ => None,
    }
}
