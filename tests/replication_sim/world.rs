//! A simulated deployment: an index, peers, publishers, a reader, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};

use waypost::replication::configuration::Configuration;
use waypost::replication::members::PeerNo;

use super::held::Kept;
use super::history::{History, Sent};
use super::net::{Body, Clock, Event, INDEX, MS, Msg, Node, Time, Topic};
use super::peer::{Care, Peer, id};

pub const PEERS: u32 = 3;
pub const TOPICS: u8 = 2;
pub const PUBLISHERS: u8 = 3;
pub const MESSAGES: u64 = 16;
pub const WAIT: Time = 1_800 * MS;
/// How long things go wrong.
const STORM: Time = 12_000 * MS;
/// How long everything has to come right again.
const CALM: Time = 20_000 * MS;
/// By then all that was late has come; what is right after that, stays so. One seed in eight sees to that.
const SETTLED: Time = STORM + 6_000 * MS;

/// What the index knows of a peer.
pub struct Fact {
    pub live: bool,
    pub heard: Time,
    pub incarnation: u32,
    pub boot: u64,
    pub storage: Option<u64>,
}

pub struct Publisher {
    pub number: u64,
    pub acked: bool,
}

pub struct Stream {
    pub replica: Node,
    pub host: Node,
    /// When the last frame up and down arrives.
    last: [Time; 2],
}

pub struct World {
    pub clock: Clock,
    pub care: Care,
    pub peers: Vec<Peer>,
    pub streams: BTreeMap<u64, Stream>,
    pub index_up: bool,
    pub last_tick: Time,
    pub facts: Vec<Fact>,
    pub records: BTreeMap<Topic, Configuration>,
    pub publishers: Vec<Publisher>,
    pub history: History,
    pub quiet: bool,
    may_end_early: bool,
    pub wiped: bool,
    /// Whose disk loses or damages what it was given: one peer's, for what rests on two disks is to outlive one.
    pub harmed: Option<Node>,
    pub copies: usize,
    /// Who is to host, by somebody's wish.
    pub wishes: BTreeMap<Topic, Node>,
    /// Topics whose only copy was lost with its disk.
    pub given_up: BTreeSet<Topic>,
    /// What the index holds.
    pub held: BTreeMap<Topic, Kept>,
    pub answered_held: BTreeSet<(Topic, Body)>,
    /// What readers have seen, by offset; a reader that was overtaken by retention has gaps.
    pub shown: BTreeMap<Topic, Vec<Option<Body>>>,
}

pub fn sent(body: Body) -> Sent {
    Sent {
        publisher: format!("p{}", body.0),
        number: body.1,
    }
}

pub fn name(topic: Topic) -> String {
    format!("T{topic}")
}

impl World {
    pub fn new(seed: u64, care: Care) -> Self {
        let mut clock = Clock::new(seed);
        let peers = (0..PEERS).map(|no| Peer::new(no, care)).collect();
        let copies = clock.between(2, 3) as usize;
        let facts = (0..PEERS).map(|_| Fact {
            live: false,
            heard: 0,
            incarnation: 0,
            boot: 0,
            storage: None,
        });
        let mut records = BTreeMap::new();
        for topic in 1..=TOPICS {
            let host = clock.between(0, u64::from(PEERS) - 1) as u32;
            records.insert(topic, Configuration::created(PeerNo(host)));
        }
        let publishers = (0..PUBLISHERS).map(|_| Publisher {
            number: 0,
            acked: true,
        });
        let mut world = World {
            clock,
            care,
            peers,
            streams: BTreeMap::new(),
            index_up: true,
            last_tick: 0,
            facts: facts.collect(),
            records,
            publishers: publishers.collect(),
            history: History::default(),
            quiet: false,
            may_end_early: !seed.is_multiple_of(8),
            wiped: false,
            harmed: None,
            held: BTreeMap::new(),
            answered_held: BTreeSet::new(),
            shown: BTreeMap::new(),
            copies,
            wishes: BTreeMap::new(),
            given_up: BTreeSet::new(),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for no in 0..PEERS {
            self.clock.at(0, Event::Start(no));
        }
        self.clock.at(0, Event::IndexTick);
        for publisher in 0..PUBLISHERS {
            self.clock.at(200 * MS, Event::Publish(publisher));
        }
        self.clock.at(300 * MS, Event::Read);
        self.clock.at(500 * MS, Event::Fault);
        self.clock.at(STORM, Event::Quiet);
    }

    /// Runs to the end; answers what is wrong.
    pub fn run(&mut self) -> Result<(), String> {
        while let Some(event) = self.clock.next() {
            if self.clock.now > STORM + CALM {
                break;
            }
            let reads = matches!(event, Event::Read);
            self.step(event)?;
            if reads && self.may_end_early && self.clock.now > SETTLED && self.looks_right() {
                break;
            }
        }
        self.verdict()
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Deliver(msg) => self.deliver(msg)?,
            Event::Arrive(conn, way, msg) => self.arrive(conn, way, msg),
            Event::PeerTick(no, boot) => self.peer_tick(no, boot),
            Event::IndexTick => self.index_tick(),
            Event::Synced(no, boot, count) => self.synced(no, boot, count),
            Event::Publish(publisher) => self.publish(publisher),
            Event::Read => self.read()?,
            Event::Fault => self.fault(),
            Event::Start(no) => self.start(no),
            Event::Heal(cut) => self.clock.cuts.retain(|(id, ..)| *id != cut),
            Event::Quiet => self.calm(),
        }
        Ok(())
    }

    // ---- peers ----

    pub fn start(&mut self, no: Node) {
        if self.peers[no as usize].up {
            return;
        }
        let boot = self.clock.number();
        let rate = self.clock.between(80, 120);
        let peer = &mut self.peers[no as usize];
        self.clock.faults.start_flips += peer.start(boot);
        peer.rate = rate;
        self.clock.after(0, Event::PeerTick(no, boot));
    }

    pub fn crash(&mut self, no: Node, torn: bool) {
        self.peers[no as usize].crash(&mut self.clock, torn);
        let streams = self.streams.iter();
        let broken = streams.filter(|(_, s)| s.replica == no || s.host == no);
        let broken: Vec<u64> = broken.map(|(conn, _)| *conn).collect();
        broken.into_iter().for_each(|conn| self.break_stream(conn));
        let back = self.clock.between(50 * MS, 4_000 * MS);
        self.clock.after(back, Event::Start(no));
    }

    /// Postpones what a paused peer cannot do now.
    pub fn is_paused(&mut self, no: Node, again: Event) -> bool {
        let until = self.peers[no as usize].paused_until;
        if until > self.clock.now {
            self.clock.at(until, again);
            return true;
        }
        false
    }

    fn peer_tick(&mut self, no: Node, boot: u64) {
        if self.peers[no as usize].boot != boot || !self.peers[no as usize].up {
            return;
        }
        if self.is_paused(no, Event::PeerTick(no, boot)) {
            return;
        }
        let peer = &mut self.peers[no as usize];
        let msg = match peer.incarnation {
            0 => Msg::Open {
                peer: no,
                boot,
                storage: peer.storage,
                brought: peer.brought,
            },
            _ => Msg::Beat { peer: no, boot },
        };
        self.clock.send(no, INDEX, msg);
        peer.tick(&mut self.clock);
        self.connect(no);
        let pause = 300 * MS * 100 / self.peers[no as usize].rate;
        self.clock.after(pause, Event::PeerTick(no, boot));
    }

    /// Opens streams to the hosts whose topics this peer is to replicate.
    fn connect(&mut self, no: Node) {
        let peer = &self.peers[no as usize];
        if peer.incarnation == 0 || peer.full {
            return;
        }
        let topics = (1..=TOPICS).filter_map(|topic| peer.following.host_of(id(topic)));
        let hosts: Vec<Node> = topics.map(|(host, _)| host.0).collect();
        for host in hosts {
            let there = self.peers[host as usize].up
                && self.peers[host as usize].paused_until <= self.clock.now;
            let cut = self.clock.is_cut(no, host) || self.clock.is_cut(host, no);
            if !there || cut || self.peers[no as usize].out.contains_key(&host) {
                continue;
            }
            let conn = self.clock.number();
            let stream = Stream {
                replica: no,
                host,
                last: [0; 2],
            };
            self.streams.insert(conn, stream);
            let incarnation = self.peers[no as usize].incarnation;
            let other = &mut self.peers[host as usize];
            if let Some(&old) = other.inward.get(&no) {
                other.closed(&mut self.clock, old);
            }
            other.inward.insert(no, conn);
            let now = other.local(self.clock.now);
            other.hosting.opened(PeerNo(no), incarnation, now);
            let peer = &mut self.peers[no as usize];
            peer.out.insert(host, conn);
            let effects = peer.following.opened(PeerNo(host));
            peer.do_following(&mut self.clock, effects, None);
        }
    }

    pub fn break_stream(&mut self, conn: u64) {
        let Some(stream) = self.streams.remove(&conn) else {
            return;
        };
        self.clock.faults.broken_streams += 1;
        for no in [stream.replica, stream.host] {
            let peer = &mut self.peers[no as usize];
            if peer.up {
                peer.closed(&mut self.clock, conn);
            }
        }
    }

    fn synced(&mut self, no: Node, boot: u64, count: usize) {
        let peer = &self.peers[no as usize];
        if peer.boot != boot || !peer.up {
            return;
        }
        if self.is_paused(no, Event::Synced(no, boot, count)) {
            return;
        }
        if self.clock.lossy && !self.quiet && self.clock.one_in(400) {
            // Nothing of the group is acknowledged; the process stops.
            self.clock.faults.failed_syncs += 1;
            self.crash(no, true);
            return;
        }
        self.peers[no as usize].synced(&mut self.clock, count);
    }

    // ---- messages ----

    fn deliver(&mut self, msg: Msg) -> Result<(), String> {
        match msg {
            Msg::Open { .. }
            | Msg::Hold { .. }
            | Msg::Drain { .. }
            | Msg::Settle { .. }
            | Msg::Beat { .. }
            | Msg::Alter { .. }
            | Msg::Level { .. }
            | Msg::Leave { .. } => {
                if self.index_up {
                    self.at_index(msg);
                }
            }
            Msg::Acked {
                topic,
                body,
                offset,
            } => {
                self.history
                    .acknowledged(&name(topic), sent(body), offset.0)?;
                let publisher = &mut self.publishers[usize::from(body.0)];
                publisher.acked |= publisher.number == body.1;
            }
            Msg::Held { topic, body } => {
                self.answered_held.insert((topic, body));
                let publisher = &mut self.publishers[usize::from(body.0)];
                publisher.acked |= publisher.number == body.1;
            }
            Msg::Up { conn, .. } => self.on_stream(conn, 0, msg),
            Msg::Down { conn, .. } | Msg::Batch { conn, .. } | Msg::Positions { conn, .. } => {
                self.on_stream(conn, 1, msg);
            }
            Msg::Opened { to, .. }
            | Msg::Assign { to, .. }
            | Msg::Altered { to, .. }
            | Msg::Left { to, .. }
            | Msg::FetchDedupe { to, .. }
            | Msg::Dedupe { to, .. }
            | Msg::Drained { to, .. }
            | Msg::Append { to, .. } => self.at_peer(to, msg),
        }
        Ok(())
    }

    /// A frame sets off; it arrives after all that set off before it.
    fn on_stream(&mut self, conn: u64, way: usize, msg: Msg) {
        let delay = self.clock.between(50, 3 * MS);
        let Some(stream) = self.streams.get_mut(&conn) else {
            return;
        };
        let ends = [stream.replica, stream.host];
        let (from, to) = (ends[way], ends[1 - way]);
        if self.clock.is_cut(from, to) {
            self.break_stream(conn);
            return;
        }
        let due = (self.clock.now + delay).max(stream.last[way] + 1);
        stream.last[way] = due;
        self.clock.at(due, Event::Arrive(conn, way, msg));
    }

    fn at_peer(&mut self, to: Node, msg: Msg) {
        if !self.peers[to as usize].up || self.is_paused(to, Event::Deliver(msg.clone())) {
            return;
        }
        let peer = &mut self.peers[to as usize];
        let clock = &mut self.clock;
        match msg {
            Msg::Opened {
                boot, incarnation, ..
            } if boot == peer.boot && peer.incarnation == 0 => {
                peer.incarnation = incarnation;
                peer.brought = incarnation;
            }
            Msg::Assign {
                boot,
                topic,
                record,
                ..
            } if boot == peer.boot => peer.hear(clock, topic, record),
            Msg::Altered {
                boot,
                topic,
                serial,
                answer,
                ..
            } if boot == peer.boot => peer.altered(clock, topic, serial, answer),
            Msg::Left { boot, topic, .. } if boot == peer.boot => {
                let effects = peer.following.left(id(topic));
                peer.do_following(clock, effects, None);
            }
            Msg::FetchDedupe {
                from,
                boot,
                topic,
                slot,
                below,
                ..
            } => peer.tell_dedupe(clock, (from, boot), topic, slot, below),
            Msg::Dedupe {
                boot,
                topic,
                slot,
                table,
                ..
            } if boot == peer.boot && !peer.full => peer.take_dedupe(clock, topic, slot, table),
            Msg::Drained {
                boot,
                topic,
                serial,
                page,
                ..
            } if boot == peer.boot => peer.take_drained(clock, topic, serial, &page),
            Msg::Append { topic, body, .. } => peer.append(clock, topic, body),
            _ => {}
        }
    }

    fn arrive(&mut self, conn: u64, way: usize, msg: Msg) {
        let Some(stream) = self.streams.get(&conn) else {
            return;
        };
        let ends = [stream.host, stream.replica];
        let (to, from) = (ends[way], PeerNo(ends[1 - way]));
        if self.is_paused(to, Event::Arrive(conn, way, msg.clone())) {
            return;
        }
        let now = self.peers[to as usize].local(self.clock.now);
        let peer = &mut self.peers[to as usize];
        match msg {
            Msg::Up { frame, .. } => {
                let effects = peer.hosting.frame(from, frame, now);
                peer.carry_out(&mut self.clock, effects);
            }
            Msg::Down { frame, .. } => {
                let effects = peer.following.frame(from, frame);
                peer.do_following(&mut self.clock, effects, None);
            }
            Msg::Positions { slot, .. } => {
                peer.positions(&mut self.clock, from, slot);
            }
            Msg::Batch {
                slot,
                base,
                epoch,
                body,
                ..
            } if !peer.full => {
                let effects = peer.following.batch(from, slot, base, base.plus(1), epoch);
                peer.do_following(&mut self.clock, effects, Some((epoch, body)));
            }
            // What cannot be written is not taken; the stream begins anew when there is room.
            Msg::Batch { .. } => self.break_stream(conn),
            _ => {}
        }
    }
}
