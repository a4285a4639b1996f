//! A simulated peer: the production machines, a disk that forgets what was not synced, and streams to
//! other peers. The shell that `peer` will be, in small.

use std::collections::{BTreeMap, VecDeque};

use waypost::replication::acks::JournalSeq;
use waypost::replication::configuration::{Altered, Configuration};
use waypost::replication::following::{Entry, Following, FollowingEffect};
use waypost::replication::host::{HostContext, HostEvent, REPLICA_LAG};
use waypost::replication::hosting::{Hosting, HostingEffect, SlotNo, Up};
use waypost::replication::members::PeerNo;
use waypost::replication::replica::may_host;
use waypost::replication::rules::Rules;
use waypost::types::{Epoch, MonoNs, Offset, TopicId};

use super::disk::{Copy, Rec};
use super::held::Drain;
use super::net::{Body, CLIENT, Clock, Event, INDEX, MS, Msg, Node, Time, Topic};

pub fn id(topic: Topic) -> TopicId {
    TopicId([topic; 16])
}

fn topic_of(id: TopicId) -> Topic {
    id.0[0]
}

/// What tests switch off to see it missed.
#[derive(Debug, Clone, Copy)]
pub struct Care {
    pub rules: Rules,
    pub fsync: bool,
    pub dedupe: bool,
    /// Damage is told from a torn write, and the copy is fetched anew.
    pub quarantine: bool,
    /// A new copy learns what its host remembers of producers.
    pub dedupe_transfer: bool,
    /// What was held and is drained twice is told from what is new.
    pub drain_dedupe: bool,
}

pub struct Peer {
    pub no: Node,
    pub up: bool,
    /// Counts the starts of its process.
    pub boot: u64,
    pub storage: u64,
    /// Percent of true time.
    pub rate: u64,
    pub paused_until: Time,
    pub incarnation: u32,
    pub brought: u32,
    pub full: bool,
    pub disk: BTreeMap<Topic, Copy>,
    written: BTreeMap<Topic, Copy>,
    unsynced: VecDeque<(JournalSeq, Topic, Rec)>,
    syncing: bool,
    pub hosting: Hosting,
    pub following: Following,
    /// Streams to hosts, from replicas.
    pub out: BTreeMap<Node, u64>,
    pub inward: BTreeMap<Node, u64>,
    serving: BTreeMap<(Node, SlotNo), (Topic, Offset)>,
    becoming: BTreeMap<Topic, (Configuration, Epoch, Offset)>,
    pub heard: BTreeMap<Topic, Configuration>,
    waiting: Vec<(Topic, Offset, Body)>,
    asked: BTreeMap<Topic, (u64, Time)>,
    /// Dedupe tables that were asked for: on which slot, and when to ask again.
    fetching: BTreeMap<Topic, (SlotNo, Time)>,
    pub drains: BTreeMap<Topic, Drain>,
    pub care: Care,
}

impl Peer {
    pub fn new(no: Node, care: Care) -> Self {
        let context = HostContext {
            me: PeerNo(no),
            lag: REPLICA_LAG,
            rules: care.rules,
        };
        Peer {
            no,
            up: false,
            boot: 0,
            storage: u64::from(no),
            rate: 100,
            paused_until: 0,
            incarnation: 0,
            brought: 0,
            full: false,
            disk: BTreeMap::new(),
            written: BTreeMap::new(),
            unsynced: VecDeque::new(),
            syncing: false,
            hosting: Hosting::new(context),
            following: Following::new(care.rules),
            out: BTreeMap::new(),
            inward: BTreeMap::new(),
            serving: BTreeMap::new(),
            becoming: BTreeMap::new(),
            heard: BTreeMap::new(),
            waiting: Vec::new(),
            asked: BTreeMap::new(),
            fetching: BTreeMap::new(),
            drains: BTreeMap::new(),
            care,
        }
    }

    /// A new process over the same disk; answers how many copies are found to be damaged.
    pub fn start(&mut self, boot: u64) -> u64 {
        let fresh = Peer::new(self.no, self.care);
        let old = std::mem::replace(self, fresh);
        self.up = true;
        self.boot = boot;
        self.storage = old.storage;
        self.rate = old.rate;
        self.brought = old.brought;
        self.disk = old.disk;
        let copies = self.disk.values_mut();
        let damaged = copies.map(|copy| copy.check(self.care.quarantine));
        let damaged = damaged.filter(|damaged| *damaged).count();
        self.written = self.disk.clone();
        damaged as u64
    }

    /// The process dies; of what was not synced the disk keeps some first entries.
    pub fn crash(&mut self, clock: &mut Clock, torn: bool) {
        self.up = false;
        let mut keep = 0;
        if torn {
            clock.faults.torn += 1;
            keep = clock.between(0, self.unsynced.len() as u64);
            // A bit has flipped in what nobody was told of: the log ends before it.
            if keep > 0 && clock.chance(20) {
                clock.faults.tail_flips += 1;
                keep = clock.between(0, keep - 1);
            }
        }
        for (_, topic, rec) in self.unsynced.drain(..).take(keep as usize) {
            self.disk.entry(topic).or_default().apply(&rec);
        }
        if !self.care.fsync {
            for copy in self.disk.values_mut() {
                let lost = clock.between(0, 3).min(copy.end().0 - 1);
                copy.truncate(Offset(copy.end().0 - lost));
            }
        }
    }

    /// The disk is gone, and with it the folder's id.
    pub fn wipe(&mut self, storage: u64) {
        self.disk.clear();
        self.storage = storage;
        self.brought = 0;
    }

    pub fn local(&self, now: Time) -> MonoNs {
        MonoNs(now * 10 * self.rate)
    }

    // ---- the journal ----

    pub fn write(&mut self, clock: &mut Clock, seq: JournalSeq, topic: Topic, rec: Rec) {
        self.written.entry(topic).or_default().apply(&rec);
        self.unsynced.push_back((seq, topic, rec));
        self.start_sync(clock);
    }

    /// Positions came from a host.
    pub fn positions(&mut self, clock: &mut Clock, from: PeerNo, slot: SlotNo) {
        let effects = self.following.positions(from, slot, 1);
        self.write(clock, self.following.written(), 0, Rec::Positions);
        self.do_following(clock, effects, None);
    }

    fn start_sync(&mut self, clock: &mut Clock) {
        if !self.syncing && !self.unsynced.is_empty() {
            self.syncing = true;
            let slow = clock.lossy && clock.chance(2);
            let took = clock.between(100, if slow { 300 * MS } else { 2 * MS });
            let count = self.unsynced.len();
            clock.after(took, Event::Synced(self.no, self.boot, count));
        }
    }

    pub fn synced(&mut self, clock: &mut Clock, count: usize) {
        self.syncing = false;
        let mut durable = 0;
        let mut topics = Vec::new();
        let mut begin = Vec::new();
        let mut trimmed = Vec::new();
        for (seq, topic, rec) in self.unsynced.drain(..count) {
            self.disk.entry(topic).or_default().apply(&rec);
            durable = durable.max(seq);
            match rec {
                Rec::Host(epoch) => begin.push((topic, epoch)),
                Rec::Trim(start) => trimmed.push((topic, start)),
                _ => {}
            }
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        let now = self.local(clock.now);
        let hosted = topics
            .iter()
            .filter(|topic| self.hosting.topic(id(**topic)).is_some());
        let ends: Vec<_> = hosted
            .map(|topic| (id(*topic), self.disk[topic].end()))
            .collect();
        let effects = self.hosting.synced(&ends, now);
        self.carry_out(clock, effects);
        for (topic, start) in trimmed {
            let event = HostEvent::Trimmed { start };
            let effects = self.hosting.handle(id(topic), event, now);
            self.carry_out(clock, effects);
        }
        if durable > 0 {
            let effects = self.following.synced(durable);
            self.do_following(clock, effects, None);
        }
        for (topic, epoch) in begin {
            self.begin(clock, topic, epoch);
        }
        self.pump(clock);
        self.start_sync(clock);
    }

    // ---- roles ----

    /// A topic as written.
    pub fn copy(&mut self, topic: Topic) -> &Copy {
        self.written.entry(topic).or_default()
    }

    pub fn hear(&mut self, clock: &mut Clock, topic: Topic, record: Configuration) {
        let heard = self.heard.get(&topic);
        if heard.is_some_and(|heard| heard.version >= record.version) {
            return;
        }
        self.heard.insert(topic, record);
        self.consider(clock, topic);
    }

    /// Takes the role that the record gives.
    pub fn consider(&mut self, clock: &mut Clock, topic: Topic) {
        let Some(&record) = self.heard.get(&topic) else {
            return;
        };
        if self.incarnation == 0 {
            return;
        }
        if self.hosting.topic(id(topic)).is_some() {
            let now = self.local(clock.now);
            let effects = self
                .hosting
                .handle(id(topic), HostEvent::Record(record), now);
            self.carry_out(clock, effects);
            return;
        }
        let no = PeerNo(self.no);
        let copy = self.written.entry(topic).or_default();
        let (known, own_grant, damaged) = (copy.known, copy.own_grant, copy.damaged);
        let epoch = Epoch {
            grant: record.grant,
            incarnation: self.incarnation,
        };
        if let Some(becoming) = self.becoming.get_mut(&topic) {
            if becoming.1.grant == record.grant && record.acting_host() == Some(PeerNo(self.no)) {
                becoming.0 = record;
                return;
            }
            self.becoming.remove(&topic);
        }
        match record.acting_host() {
            Some(PeerNo(host)) if host == self.no => {
                if !may_host(known, own_grant, epoch) {
                    return;
                }
                // Nobody may be cut to it, nor wait for it (rule 10).
                if damaged {
                    if record.in_sync.len() > 1 {
                        self.leave(clock, topic);
                    }
                    return;
                }
                let (followed, effects) = self.following.unfollow(id(topic));
                self.do_following(clock, effects, None);
                let watermark = followed.map_or(Offset::FIRST, |t| t.high_watermark());
                self.becoming.insert(topic, (record, epoch, watermark));
                self.write(clock, 0, topic, Rec::Host(epoch));
            }
            Some(host)
                if record.replicas.contains(no)
                    && self.following.host_of(id(topic)) != Some((host, record.grant)) =>
            {
                let log = || (copy.log().clone(), known, Offset::FIRST);
                let mut effects = self.following.follow(id(topic), host, record.grant, log);
                if damaged {
                    effects.extend(self.following.damaged(id(topic)));
                }
                self.do_following(clock, effects, None);
            }
            _ => {}
        }
    }

    fn begin(&mut self, clock: &mut Clock, topic: Topic, epoch: Epoch) {
        let Some((record, due, watermark)) = self.becoming.get(&topic).copied() else {
            return;
        };
        if due != epoch {
            return;
        }
        self.becoming.remove(&topic);
        let log = self.disk[&topic].log().clone();
        let now = self.local(clock.now);
        let (id, least) = (id(topic), 1);
        let effects = self
            .hosting
            .begin(id, epoch, log, watermark, &record, least, now);
        self.carry_out(clock, effects);
    }

    // ---- effects ----

    pub fn carry_out(&mut self, clock: &mut Clock, effects: Vec<HostingEffect>) {
        for effect in effects {
            match effect {
                HostingEffect::Send(PeerNo(to), frame) => {
                    if let Some(&conn) = self.inward.get(&to) {
                        let msg = Msg::Down { conn, frame };
                        clock.after(0, Event::Deliver(msg));
                    }
                }
                HostingEffect::Serve(PeerNo(to), slot, topic, from) => {
                    let topic = topic_of(topic);
                    self.serving
                        .retain(|(peer, _), (served, _)| (*peer, *served) != (to, topic));
                    self.serving.insert((to, slot), (topic, from));
                    if let Some(&conn) = self.inward.get(&to) {
                        clock.after(0, Event::Deliver(Msg::Positions { conn, slot }));
                    }
                }
                HostingEffect::Committed(topic, end) => {
                    let topic = topic_of(topic);
                    self.answer(clock, topic, end);
                    self.settle_drain(clock, topic, end);
                }
                HostingEffect::Propose(topic, proposal) => {
                    let topic = topic_of(topic);
                    let serial = clock.number();
                    self.asked.insert(topic, (serial, clock.now + 500 * MS));
                    let msg = Msg::Alter {
                        topic,
                        serial,
                        boot: self.boot,
                        proposal,
                    };
                    clock.send(self.no, INDEX, msg);
                }
                HostingEffect::StepDown(topic) => {
                    let (_, effects) = self.hosting.end(topic);
                    let topic = topic_of(topic);
                    self.waiting.retain(|(waiting, ..)| *waiting != topic);
                    self.asked.remove(&topic);
                    self.drains.remove(&topic);
                    self.carry_out(clock, effects);
                    self.consider(clock, topic);
                }
                HostingEffect::Level(topic, epoch, to) => {
                    let msg = Msg::Level {
                        topic: topic_of(topic),
                        epoch,
                        to: to.0,
                    };
                    clock.send(self.no, INDEX, msg);
                }
                HostingEffect::PositionsCommitted(..) | HostingEffect::Pause(..) => {}
            }
        }
        self.pump(clock);
    }

    /// Asks to be in no set with a damaged copy.
    fn leave(&mut self, clock: &mut Clock, topic: Topic) {
        let (peer, boot) = (self.no, self.boot);
        clock.after(MS, Event::Deliver(Msg::Leave { topic, peer, boot }));
    }

    fn answer(&mut self, clock: &mut Clock, topic: Topic, end: Offset) {
        let done = |w: &(Topic, Offset, Body)| w.0 == topic && w.1 <= end;
        let due: Vec<_> = self.waiting.iter().copied().filter(done).collect();
        self.waiting.retain(|w| !done(w));
        for (topic, end, body) in due {
            let offset = Offset(end.0 - 1);
            let msg = Msg::Acked {
                topic,
                body,
                offset,
            };
            clock.send(self.no, CLIENT, msg);
        }
    }

    fn pump(&mut self, clock: &mut Clock) {
        let mut over = Vec::new();
        for (&(to, slot), (topic, next)) in &mut self.serving {
            let Some(hosted) = self.hosting.topic(id(*topic)) else {
                continue;
            };
            let Some(&conn) = self.inward.get(&to) else {
                continue;
            };
            // Synced or not.
            while *next < hosted.written() {
                // Retention was faster, or the message does not read: the replica joins again.
                let copy = match *next < hosted.log().end() {
                    true => &self.disk[topic],
                    false => &self.written[topic],
                };
                let Some((epoch, body)) = copy.at(*next).filter(|_| !copy.is_flipped_at(*next))
                else {
                    over.push((to, slot, *topic, *next));
                    break;
                };
                let msg = Msg::Batch {
                    conn,
                    slot,
                    base: *next,
                    epoch,
                    body,
                };
                clock.faults.sent_early += u64::from(*next >= hosted.log().end());
                clock.after(0, Event::Deliver(msg));
                *next = next.plus(1);
            }
        }
        for (to, slot, topic, at) in over {
            self.serving.remove(&(to, slot));
            let now = self.local(clock.now);
            let given_up = Up::Leave(slot, Epoch::default());
            let effects = self.hosting.frame(PeerNo(to), given_up, now);
            self.carry_out(clock, effects);
            if self.disk[&topic].is_flipped_at(at) {
                self.found(clock, topic);
            }
        }
    }

    /// A read has met damage.
    fn found(&mut self, clock: &mut Clock, topic: Topic) {
        let Some(hosted) = self.hosting.topic(id(topic)) else {
            return;
        };
        let others = hosted.in_sync().without(PeerNo(self.no));
        let there = others.iter().any(|peer| self.inward.contains_key(&peer.0));
        if there && self.care.quarantine {
            clock.faults.read_flips += 1;
            for copies in [&mut self.disk, &mut self.written] {
                copies.entry(topic).or_default().damaged = true;
            }
            self.leave(clock, topic);
        }
    }

    pub fn do_following(
        &mut self,
        clock: &mut Clock,
        effects: Vec<FollowingEffect>,
        batch: Option<(Epoch, Body)>,
    ) {
        for effect in effects {
            match effect {
                FollowingEffect::Send(PeerNo(host), frame) => {
                    if let Some(&conn) = self.out.get(&host) {
                        clock.after(0, Event::Deliver(Msg::Up { conn, frame }));
                    }
                }
                FollowingEffect::Journal(seq, topic, entry) => {
                    let rec = match entry {
                        Entry::Known(epoch) => Rec::Known(epoch),
                        Entry::Truncate(to) => Rec::Truncate(to),
                        Entry::Reset(start) => Rec::Reset(start),
                        Entry::Trim(start) => Rec::Trim(start),
                        Entry::Batch => {
                            let (epoch, body) = batch.expect("a batch is written when one came");
                            Rec::Append(epoch, body)
                        }
                    };
                    self.write(clock, seq, topic_of(topic), rec);
                }
                FollowingEffect::LeaveSet(topic) => self.leave(clock, topic_of(topic)),
                FollowingEffect::FetchDedupe(_, topic) => self.fetch_dedupe(clock, topic_of(topic)),
            }
        }
    }

    // ---- what a host remembers of producers ----

    fn fetch_dedupe(&mut self, clock: &mut Clock, topic: Topic) {
        let of = id(topic);
        let host = self.following.host_of(of);
        let log = self.following.topic(of).map(|topic| topic.log().start());
        let slot = self.following.slot_of(of);
        let (Some((PeerNo(host), _)), Some(below), Some(slot)) = (host, log, slot) else {
            self.fetching.remove(&topic);
            return;
        };
        self.fetching.insert(topic, (slot, clock.now + 500 * MS));
        let msg = Msg::FetchDedupe {
            to: host,
            from: self.no,
            boot: self.boot,
            topic,
            slot,
            below,
        };
        clock.send(self.no, host, msg);
    }

    /// Answers what is durable here.
    pub fn tell_dedupe(
        &self,
        clock: &mut Clock,
        (to, boot): (Node, u64),
        topic: Topic,
        slot: SlotNo,
        below: Offset,
    ) {
        if self.hosting.topic(id(topic)).is_none() {
            return;
        }
        let table = match self.care.dedupe_transfer {
            true => self.disk[&topic].dedupe_below(below),
            false => Vec::new(),
        };
        let msg = Msg::Dedupe {
            to,
            boot,
            topic,
            slot,
            table,
        };
        clock.send(self.no, to, msg);
    }

    pub fn take_dedupe(
        &mut self,
        clock: &mut Clock,
        topic: Topic,
        slot: SlotNo,
        table: Vec<(Body, Offset)>,
    ) {
        let asked = self
            .fetching
            .get(&topic)
            .is_some_and(|(asked, _)| *asked == slot);
        if !asked || self.following.slot_of(id(topic)) != Some(slot) {
            return;
        }
        self.fetching.remove(&topic);
        clock.faults.dedupe_tables += 1;
        let effects = self.following.dedupe(id(topic));
        self.write(clock, self.following.written(), topic, Rec::Dedupe(table));
        self.do_following(clock, effects, None);
    }

    // ---- from outside ----

    pub fn append(&mut self, clock: &mut Clock, topic: Topic, body: Body) {
        let Some(hosted) = self.hosting.topic(id(topic)) else {
            return;
        };
        if !hosted.takes_appends() || self.full {
            return;
        }
        let watermark = hosted.high_watermark();
        let (found, last) = self.copy(topic).find(body);
        if let Some(at) = found.filter(|_| self.care.dedupe) {
            self.waiting.push((topic, at.plus(1), body));
            self.answer(clock, topic, watermark);
        } else if body.1 == last + 1 || !self.care.dedupe {
            let end = self.append_new(clock, topic, body);
            self.waiting.push((topic, end, body));
        }
    }

    /// Writes a message at the end; answers the end.
    pub fn append_new(&mut self, clock: &mut Clock, topic: Topic, body: Body) -> Offset {
        let hosted = self.hosting.topic(id(topic));
        let epoch = hosted
            .map(|hosted| hosted.epoch())
            .expect("the caller has looked");
        self.write(clock, 0, topic, Rec::Append(epoch, body));
        let end = self.copy(topic).end();
        let now = self.local(clock.now);
        let effects = self.hosting.written(&[(id(topic), end)], now);
        self.carry_out(clock, effects);
        end
    }

    /// Retention: drops committed messages; answers whether there were any.
    pub fn trim(&mut self, clock: &mut Clock, topic: Topic) -> bool {
        let Some(hosted) = self.hosting.topic(id(topic)) else {
            return false;
        };
        let (start, committed) = (self.disk[&topic].start(), hosted.high_watermark());
        if start >= committed {
            return false;
        }
        let start = match clock.chance(60) {
            true => committed,
            false => Offset(clock.between(start.0 + 1, committed.0)),
        };
        self.write(clock, 0, topic, Rec::Trim(start));
        true
    }

    pub fn altered(&mut self, clock: &mut Clock, topic: Topic, serial: u64, answer: Altered) {
        if self
            .asked
            .get(&topic)
            .is_some_and(|(asked, _)| *asked == serial)
        {
            self.asked.remove(&topic);
            let now = self.local(clock.now);
            let effects = self.hosting.altered(id(topic), answer, now);
            self.carry_out(clock, effects);
        }
    }

    pub fn tick(&mut self, clock: &mut Clock) {
        let late = self.asked.iter().filter(|(_, (_, due))| *due < clock.now);
        let late: Vec<(Topic, u64)> = late.map(|(topic, (serial, _))| (*topic, *serial)).collect();
        for (topic, serial) in late {
            self.altered(clock, topic, serial, Altered::Unknown);
        }
        let effects = self.hosting.wake(self.local(clock.now));
        self.carry_out(clock, effects);
        let topics: Vec<Topic> = self.heard.keys().copied().collect();
        for topic in topics {
            self.consider(clock, topic);
            if !self.full {
                let effects = match self.following.is_leaving(id(topic)) {
                    true => self.following.damaged(id(topic)),
                    false => self.following.retry(id(topic)),
                };
                self.do_following(clock, effects, None);
            }
            if self
                .fetching
                .get(&topic)
                .is_some_and(|(_, due)| *due < clock.now)
            {
                self.fetch_dedupe(clock, topic);
            }
            self.drain(clock, topic);
        }
    }

    pub fn closed(&mut self, clock: &mut Clock, conn: u64) {
        if let Some((&host, _)) = self.out.iter().find(|(_, known)| **known == conn) {
            self.out.remove(&host);
            self.following.closed(PeerNo(host));
        }
        if let Some((&peer, _)) = self.inward.iter().find(|(_, known)| **known == conn) {
            self.inward.remove(&peer);
            self.serving.retain(|(to, _), _| *to != peer);
            let now = self.local(clock.now);
            let effects = self.hosting.closed(PeerNo(peer), now);
            self.carry_out(clock, effects);
        }
    }
}
