//! Copies of topics at this peer: those that it hosts for others, those that it keeps of others' topics.
//!
//! ```text
//!   assignments ──► roles ──► Replication ◄── journal (what is written, what is synced)
//!                    │            │  ▲
//!          following ◄            │  └── serving: streams of replicas
//!     (streams to hosts)          ▼
//!                         asking: wishes to the index, patience
//! ```
//!
//! | module | subject |
//! |---|---|
//! | `hosting` | the machine of all hosted topics, and what its effects do |
//! | `hosted`, `stream` | one hosted topic: who waits for its watermark; one replica: what waits to be sent |
//! | `serving` | the stream of a replica |
//! | `pace` | how fast copies that are not in sync are brought up to date |
//! | `asking` | what hosts ask of the index, and the time at which they look again |
//! | `draining` | what the index has held while nobody hosted, on its way into the log |
//! | `roles` | what the index assigns: hosting begun and ended, copies kept |
//! | `following` | streams to the hosts of topics of which this peer keeps copies |
//! | `thread` | where all of it runs, but for the streams of replicas |
//! | `records`, `frames`, `peers` | records and frames to and from the machines; numbers for keys |
//!
//! A topic of which this peer has the only copy is none of the machine's business: all that is durable
//! here is committed, and appends are answered as if there were no replication. The decisions are
//! [`crate::replication`]'s; here is what carries them out.

pub(in crate::peer) mod asking;
pub(in crate::peer) mod draining;
pub(in crate::peer) mod following;
pub(in crate::peer) mod frames;
pub(in crate::peer) mod hosted;
mod hosting;
mod pace;
pub(in crate::peer) mod peers;
pub(in crate::peer) mod records;
pub(in crate::peer) mod roles;
pub(in crate::peer) mod serving;
mod stream;
#[cfg(test)]
mod tests;
pub(in crate::peer) mod thread;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use self::asking::Asks;
use self::draining::Drains;
use self::hosted::{Gate, Hosted, Settled, Settlement};
use self::pace::Pace;
use self::peers::Peers;
use super::reports::Changed;
use super::tips::Tips;
use crate::journal::{self, Journal, TopicStat};
use crate::limits;
use crate::types::{Fingerprint, Offset, TopicId};
use crate::wire::{ErrorCode, ErrorReply};

/// Which topics this peer hosts, as the index has told this process.
#[derive(Debug, Default)]
struct Roles {
    /// No other peer keeps, or is to get, a copy.
    alone: HashSet<TopicId>,
    copied: HashMap<TopicId, Arc<Hosted>>,
}

/// See the module.
pub(super) struct Replication {
    me: Fingerprint,
    /// What an append to a topic without other copies achieves.
    only_me: Arc<[Fingerprint]>,
    pub(super) peers: Peers,
    roles: RwLock<Roles>,
    /// Whether this peer hosts any topic with others. What is missed while it changes is told when it is
    /// synced.
    any_copied: AtomicBool,
    /// Order: this before `roles`, and both before the locks of a topic or a stream.
    machine: Mutex<hosting::Machine>,
    pub(super) asks: Asks,
    drains: Drains,
    /// The machine's next look at the time may have come nearer.
    sooner: Notify,
    /// Readers at the tips.
    tips: Arc<Tips>,
    /// Replicas at the tips: of what is written here.
    replica_tips: Tips,
    changed: Arc<Changed>,
    /// Of all copies together that are not in sync.
    pace: Mutex<Pace>,
    journal: OnceLock<Journal>,
    /// The index has told this process all that it is to hold.
    told: AtomicBool,
}

impl Replication {
    /// Hosts nothing yet.
    pub(super) fn new(me: Fingerprint, tips: Arc<Tips>, changed: Arc<Changed>) -> Self {
        let peers = Peers::default();
        let machine = Mutex::new(hosting::Machine::new(peers.number(me)));
        Replication {
            me,
            only_me: Arc::from([me]),
            peers,
            roles: RwLock::default(),
            any_copied: AtomicBool::new(false),
            machine,
            asks: Asks::default(),
            drains: Drains::default(),
            sooner: Notify::new(),
            tips,
            replica_tips: Tips::default(),
            changed,
            pace: Mutex::new(Pace::new(limits::REPAIR_BYTES_PER_S)),
            journal: OnceLock::new(),
            told: AtomicBool::new(false),
        }
    }

    /// Brings copies that are not in sync up to date at this rate, all together.
    pub(super) fn paced(self, bytes_per_s: u64) -> Self {
        *self.pace.lock() = Pace::new(bytes_per_s);
        self
    }

    /// The journal is open. Its hooks call [`Replication::written`] and [`Replication::synced`], so it
    /// comes second.
    pub(super) fn open(&self, journal: Journal) {
        // Only the first counts; there is one.
        let _ = self.journal.set(journal);
    }

    /// The index has told all that this peer is to hold: what it has not named, this peer does not host.
    pub(super) fn told_all(&self) {
        self.told.store(true, Ordering::Release);
    }

    /// Whether an append to the topic may be given to the journal now.
    pub(super) fn takes_append(&self, topic: TopicId) -> Result<(), ErrorReply> {
        let roles = self.roles.read();
        if roles.alone.contains(&topic) {
            return Ok(());
        }
        match roles.copied.get(&topic).map(|hosted| hosted.gate()) {
            Some(Gate::Open) => Ok(()),
            Some(Gate::Paused) => Err(ErrorReply::new(
                ErrorCode::NotReady,
                format!(
                    "topic {topic} is being handed over to another host, or this peer waits for the index \
                     to tell whether it still hosts it; try again"
                ),
            )),
            Some(Gate::TooFew { in_sync, least }) => Err(ErrorReply::new(
                ErrorCode::NotEnoughInSync,
                format!(
                    "{in_sync} copies of topic {topic} are in sync, but it takes appends only with \
                     at least {least}; start a peer that keeps a copy, or lower min_in_sync"
                ),
            )),
            None => Err(self.not_host(topic)),
        }
    }

    /// What becomes of an append that is durable here; `None`: `to` is told under the ticket.
    pub(super) fn settle(
        &self,
        ticket: u64,
        appended: journal::Appended,
        to: &Arc<Settled>,
    ) -> Option<Settlement> {
        let roles = self.roles.read();
        if roles.alone.contains(&appended.topic) {
            return Some(Ok(Arc::clone(&self.only_me)));
        }
        match roles.copied.get(&appended.topic) {
            Some(hosted) => hosted.settle(ticket, appended, to),
            None => Some(Err(hosted::deposed(appended.topic))),
        }
    }

    /// Whether this process has just started, the index has told it nothing yet, and nobody else can have
    /// the topic: all that is there was committed, and nobody can have taken the role meanwhile.
    pub(super) fn is_surely_alone(&self, topic: TopicId) -> bool {
        if self.told.load(Ordering::Acquire) {
            return false;
        }
        let copy = self.journal.get().and_then(|journal| journal.copy(topic));
        copy.is_some_and(|copy| copy.hosts && !copy.shared)
    }

    /// Whether this peer hosts the topic, so that it may be read here.
    pub(super) fn hosts(&self, topic: TopicId) -> Result<(), ErrorReply> {
        let roles = self.roles.read();
        let told = roles.alone.contains(&topic) || roles.copied.contains_key(&topic);
        match told || self.is_surely_alone(topic) {
            true => Ok(()),
            false => Err(self.not_host(topic)),
        }
    }

    /// The end of what readers of a hosted topic see; `None`: all that is durable here.
    pub(super) fn visible(&self, topic: TopicId) -> Result<Option<Offset>, ErrorReply> {
        let roles = self.roles.read();
        if roles.alone.contains(&topic) {
            return Ok(None);
        }
        let hosted = match roles.copied.get(&topic) {
            Some(hosted) => hosted,
            None if self.is_surely_alone(topic) => return Ok(None),
            None => return Err(self.not_host(topic)),
        };
        hosted.visible().map(Some).ok_or_else(|| {
            ErrorReply::new(
                ErrorCode::NotYetVisible,
                format!(
                    "this peer has just become host of topic {topic} and waits to hear from the other \
                     copies how far it is committed; try again"
                ),
            )
        })
    }

    /// Below which offset a topic that others have copies of is committed; nothing is known to be before
    /// this process has the role.
    pub(super) fn committed(&self, topic: TopicId) -> Offset {
        let roles = self.roles.read();
        if roles.alone.contains(&topic) {
            return Offset(u64::MAX);
        }
        let hosted = roles.copied.get(&topic);
        hosted.map_or(Offset::FIRST, |hosted| hosted.watermark())
    }

    /// The topic as readers may see it.
    pub(super) fn readable(&self, mut stat: TopicStat) -> Result<TopicStat, ErrorReply> {
        if let Some(visible) = self.visible(stat.id)? {
            stat.end = stat.end.min(visible).max(stat.start);
        }
        Ok(stat)
    }

    /// The topic as the index is told of it; `None`: another one is to tell.
    pub(super) fn reported(&self, stat: TopicStat) -> Option<TopicStat> {
        self.readable(stat).ok()
    }

    pub(super) fn not_host(&self, topic: TopicId) -> ErrorReply {
        let held = self.journal.get().and_then(|j| j.topic(topic)).is_some();
        if held && !self.told.load(Ordering::Acquire) {
            return ErrorReply::new(
                ErrorCode::NotReady,
                format!(
                    "this peer has just started and waits for the index to tell whether it hosts the \
                     topic with id {topic}"
                ),
            );
        }
        ErrorReply::new(
            ErrorCode::NotHost,
            format!("this peer does not host the topic with id {topic}"),
        )
    }
}
