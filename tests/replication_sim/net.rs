//! Virtual time, and what travels: each stream keeps its order; what goes to and from the index is
//! delayed, lost, doubled and overtaken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use waypost::replication::configuration::{AlterInSync, Altered, Configuration};
use waypost::replication::hosting::{Down, SlotNo, Up};
use waypost::types::{Epoch, Offset};

use super::faults::Faults;

/// Microseconds.
pub type Time = u64;
pub const MS: Time = 1_000;

/// A message: who sent it, and the how-manieth of that sender's to the topic it is.
pub type Body = (u8, u64);
pub type Topic = u8;
pub type Node = u32;

#[derive(Debug, Clone)]
pub enum Msg {
    // to the index
    Open {
        peer: Node,
        boot: u64,
        storage: u64,
        brought: u32,
    },
    Beat {
        peer: Node,
        boot: u64,
    },
    Alter {
        topic: Topic,
        serial: u64,
        boot: u64,
        proposal: AlterInSync,
    },
    /// A host's target of a hand-over is level.
    Level {
        topic: Topic,
        epoch: Epoch,
        to: Node,
    },
    Leave {
        topic: Topic,
        peer: Node,
        boot: u64,
    },
    /// A publisher leaves a message while nobody can host.
    Hold {
        topic: Topic,
        body: Body,
    },
    Drain {
        topic: Topic,
        peer: Node,
        boot: u64,
        epoch: Epoch,
        serial: u64,
    },
    Settle {
        topic: Topic,
        peer: Node,
        epoch: Epoch,
        through: Option<u64>,
    },
    // to a peer, from the index
    Drained {
        to: Node,
        boot: u64,
        topic: Topic,
        serial: u64,
        page: Vec<(u64, Body)>,
    },
    Opened {
        to: Node,
        boot: u64,
        incarnation: u32,
    },
    Assign {
        to: Node,
        boot: u64,
        topic: Topic,
        record: Configuration,
    },
    Altered {
        to: Node,
        boot: u64,
        topic: Topic,
        serial: u64,
        answer: Altered,
    },
    Left {
        to: Node,
        boot: u64,
        topic: Topic,
    },
    // on a stream between two peers
    Up {
        conn: u64,
        frame: Up,
    },
    Down {
        conn: u64,
        frame: Down,
    },
    Batch {
        conn: u64,
        slot: SlotNo,
        base: Offset,
        epoch: Epoch,
        body: Body,
    },
    Positions {
        conn: u64,
        slot: SlotNo,
    },
    // between two peers, beside their streams
    FetchDedupe {
        to: Node,
        from: Node,
        boot: u64,
        topic: Topic,
        slot: SlotNo,
        below: Offset,
    },
    Dedupe {
        to: Node,
        boot: u64,
        topic: Topic,
        slot: SlotNo,
        table: Vec<(Body, Offset)>,
    },
    // of publishers
    Held {
        topic: Topic,
        body: Body,
    },
    Append {
        to: Node,
        topic: Topic,
        body: Body,
    },
    Acked {
        topic: Topic,
        body: Body,
        offset: Offset,
    },
}

#[derive(Debug, Clone)]
pub enum Event {
    /// Arrives; or, of what goes over a stream, sets off.
    Deliver(Msg),
    /// A frame of this stream arrives; 0: at the host, 1: at the replica.
    Arrive(u64, usize, Msg),
    PeerTick(Node, u64),
    IndexTick,
    Synced(Node, u64, usize),
    Publish(u8),
    Read,
    Fault,
    Start(Node),
    Heal(u64),
    Quiet,
}

/// Who is at an end of a message.
pub const INDEX: Node = 99;
pub const CLIENT: Node = 98;

/// Events in the order of their time.
pub struct Clock {
    pub now: Time,
    serial: u64,
    /// When, in which order, and in which place the event lies.
    queue: BinaryHeap<Reverse<(Time, u64, u32)>>,
    events: Vec<Option<Event>>,
    free: Vec<u32>,
    pub random: SmallRng,
    /// One-way: from, to.
    pub cuts: Vec<(u64, Node, Node)>,
    pub faults: Faults,
    pub lossy: bool,
}

impl Clock {
    pub fn new(seed: u64) -> Self {
        Clock {
            now: 0,
            serial: 0,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            random: SmallRng::seed_from_u64(seed),
            cuts: Vec::new(),
            faults: Faults::default(),
            lossy: false,
        }
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    pub fn one_in(&mut self, many: u32) -> bool {
        self.random.random_range(0..many) == 0
    }

    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        self.random.random_range(from..=to)
    }

    pub fn number(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub fn at(&mut self, time: Time, event: Event) {
        let serial = self.number();
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() as u32 - 1
        });
        self.events[place as usize] = Some(event);
        self.queue
            .push(Reverse((time.max(self.now), serial, place)));
    }

    pub fn after(&mut self, delay: Time, event: Event) {
        self.at(self.now + delay, event);
    }

    pub fn next(&mut self) -> Option<Event> {
        let Reverse((time, _, place)) = self.queue.pop()?;
        self.now = time;
        self.free.push(place);
        self.events[place as usize].take()
    }

    pub fn is_cut(&self, from: Node, to: Node) -> bool {
        self.cuts.iter().any(|&(_, f, t)| (f, t) == (from, to))
    }

    /// Sends something that may be lost, doubled and overtaken.
    pub fn send(&mut self, from: Node, to: Node, msg: Msg) {
        if self.is_cut(from, to) {
            self.faults.dropped += 1;
            return;
        }
        if self.lossy && self.chance(3) {
            self.faults.dropped += 1;
            return;
        }
        if self.lossy && self.chance(3) {
            self.faults.doubled += 1;
            let late = self.between(MS, 3_000 * MS);
            self.after(late, Event::Deliver(msg.clone()));
        }
        let slow = self.lossy && self.chance(3);
        let most = if slow { 2_000 * MS } else { 5 * MS };
        let delay = self.between(100, most);
        self.after(delay, Event::Deliver(msg));
    }
}
