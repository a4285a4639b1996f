//! The simulated index, publishers and reader; what goes wrong; and the verdict.

use waypost::replication::configuration::{Altered, Phase};
use waypost::replication::manager::{self, Candidate, Standing, Step};
use waypost::replication::members::PeerNo;
use waypost::replication::rules::Rule;
use waypost::types::{Epoch, Offset};

use super::disk::Copy;
use super::held::Kept;
use super::net::{Body, CLIENT, Event, INDEX, MS, Msg, Topic};
use super::peer::id;
use super::world::{MESSAGES, PEERS, TOPICS, WAIT, World, name, sent};

impl World {
    // ---- the index ----

    pub fn index_tick(&mut self) {
        let now = self.clock.now;
        self.clock.after(100 * MS, Event::IndexTick);
        if !self.index_up {
            return;
        }
        let late = now - self.last_tick > 500 * MS;
        self.last_tick = now;
        for fact in &mut self.facts {
            if late {
                fact.heard = now;
            } else if fact.live && now - fact.heard > WAIT {
                fact.live = false;
            }
        }
        for topic in 1..=TOPICS {
            self.stand(topic);
            self.place(topic);
            self.move_on(topic);
        }
        if (now / (100 * MS)).is_multiple_of(5) {
            (1..=TOPICS).for_each(|topic| self.assign(topic));
        }
    }

    fn stand(&mut self, topic: Topic) {
        let facts = &self.facts;
        let standing = |peer: PeerNo| Standing {
            live: facts[peer.0 as usize].live,
            load: 0,
        };
        // Nobody has been heard of yet.
        if self.clock.now < WAIT && facts.iter().any(|fact| !fact.live) {
            return;
        }
        if let Some(record) = manager::stand(&self.records[&topic], standing, self.care.rules) {
            self.records.insert(topic, record);
            self.assign(topic);
        }
    }

    fn place(&mut self, topic: Topic) {
        let candidates = (0..PEERS).map(|peer| Candidate {
            peer: PeerNo(peer),
            live: self.facts[peer as usize].live,
            willing: true,
            subscribed: false,
            load: 0,
        });
        let candidates: Vec<Candidate> = candidates.collect();
        let record = &self.records[&topic];
        if record.replicas.len() >= self.copies {
            return;
        }
        let chosen = manager::choose_replicas(record, self.copies, &candidates);
        if let Some(record) = manager::with_replicas(record, chosen.union(record.replicas)) {
            self.records.insert(topic, record);
            self.assign(topic);
        }
    }

    pub fn assign(&mut self, topic: Topic) {
        for to in 0..PEERS {
            let fact = &self.facts[to as usize];
            if fact.live {
                let msg = Msg::Assign {
                    to,
                    boot: fact.boot,
                    topic,
                    record: self.records[&topic],
                };
                self.clock.send(INDEX, to, msg);
            }
        }
    }

    pub fn at_index(&mut self, msg: Msg) {
        let now = self.clock.now;
        match msg {
            Msg::Open {
                peer,
                boot,
                storage,
                brought,
            } => self.open(peer, boot, storage, brought),
            Msg::Beat { peer, boot } => {
                let fact = &mut self.facts[peer as usize];
                if fact.boot == boot {
                    fact.live = true;
                    fact.heard = now;
                }
            }
            Msg::Alter {
                topic,
                serial,
                boot,
                proposal,
            } => {
                let facts = &self.facts;
                let incarnation = |peer: PeerNo| facts[peer.0 as usize].incarnation;
                let record = self.records[&topic];
                let answer = match manager::alter(&record, &proposal, incarnation, self.care.rules)
                {
                    Ok(record) => {
                        self.records.insert(topic, record);
                        Altered::Applied(record)
                    }
                    Err(why) => Altered::Refused(record, why),
                };
                let to = proposal.from.0;
                let msg = Msg::Altered {
                    to,
                    boot,
                    topic,
                    serial,
                    answer,
                };
                self.clock.send(INDEX, to, msg);
            }
            Msg::Level { topic, epoch, to } => self.take_over(topic, epoch, PeerNo(to)),
            Msg::Leave { topic, peer, boot } if self.facts[peer as usize].boot == boot => {
                let record = manager::drop_copy(&self.records[&topic], PeerNo(peer));
                if let Some(record) = record {
                    self.records.insert(topic, record);
                }
                self.clock.send(
                    INDEX,
                    peer,
                    Msg::Left {
                        to: peer,
                        boot,
                        topic,
                    },
                );
            }
            other => self.at_index_held(other),
        }
    }

    fn take_over(&mut self, topic: Topic, epoch: Epoch, to: PeerNo) {
        let record = self.records[&topic];
        let current = Epoch {
            grant: record.grant,
            incarnation: self.facts[record.host.0 as usize].incarnation,
        };
        if let Some(record) = manager::taken_over(&record, epoch, current, to) {
            self.clock.faults.moved += 1;
            self.records.insert(topic, record);
            self.assign(topic);
        }
    }

    /// Goes on with a move that somebody wished for.
    fn move_on(&mut self, topic: Topic) {
        let Some(&to) = self.wishes.get(&topic) else {
            return;
        };
        match manager::next_step(&self.records[&topic], PeerNo(to)) {
            Step::Change(record) => {
                self.records.insert(topic, record);
                self.assign(topic);
            }
            Step::Wait => {}
            Step::Done | Step::Refused => drop(self.wishes.remove(&topic)),
        }
    }

    fn open(&mut self, peer: u32, boot: u64, storage: u64, brought: u32) {
        let rules = self.care.rules;
        let fact = &mut self.facts[peer as usize];
        // An older process' word that comes late; boots count up here.
        if boot < fact.boot {
            return;
        }
        let same = fact.boot == boot;
        let moved = fact.storage.is_some_and(|known| known != storage);
        fact.incarnation = manager::next_incarnation(fact.incarnation, brought, same, rules).max(1);
        fact.boot = boot;
        fact.storage = Some(storage);
        fact.live = true;
        fact.heard = self.clock.now;
        let incarnation = fact.incarnation;
        if moved && rules.keeps(Rule::WipedLeavesSets) {
            for topic in 1..=TOPICS {
                let record = manager::drop_copy(&self.records[&topic], PeerNo(peer));
                // A shrink to that peer alone was on its way when the disk was lost.
                if record.is_some_and(|record| record.in_sync.is_empty()) {
                    self.given_up.insert(topic);
                }
                record.and_then(|record| self.records.insert(topic, record));
            }
        }
        let msg = Msg::Opened {
            to: peer,
            boot,
            incarnation,
        };
        self.clock.send(INDEX, peer, msg);
    }

    // ---- clients ----

    pub fn publish(&mut self, no: u8) {
        let publisher = &mut self.publishers[usize::from(no)];
        if publisher.acked && publisher.number == MESSAGES {
            return;
        }
        let topic = no % TOPICS + 1;
        if publisher.acked {
            publisher.acked = false;
            publisher.number += 1;
            let message = sent((no, publisher.number));
            self.history.sent(&name(topic), message);
        }
        let to = self.records[&topic].host.0;
        let body = (no, self.publishers[usize::from(no)].number);
        match self.nobody_hosts(topic) && self.clock.chance(70) {
            true => self.clock.send(CLIENT, INDEX, Msg::Hold { topic, body }),
            false => self.clock.send(CLIENT, to, Msg::Append { to, topic, body }),
        }
        let pause = self.clock.between(20 * MS, 1_100 * MS);
        self.clock.after(pause, Event::Publish(no));
    }

    /// Looks at what each host shows to readers.
    pub fn read(&mut self) -> Result<(), String> {
        for peer in 0..PEERS {
            for topic in 1..=TOPICS {
                self.read_at(peer, topic)?;
            }
        }
        self.clock.after(100 * MS, Event::Read);
        Ok(())
    }

    fn read_at(&mut self, peer: u32, topic: Topic) -> Result<(), String> {
        let peer = &self.peers[peer as usize];
        let Some(hosted) = peer.hosting.topic(id(topic)).filter(|_| peer.up) else {
            return Ok(());
        };
        let shown = self.shown.entry(topic).or_default();
        for (offset, body) in peer.disk[&topic].until(hosted.high_watermark()) {
            let at = offset as usize - 1;
            if shown.len() <= at {
                shown.resize(at + 1, None);
            }
            // The history knows what was read already.
            if shown[at].replace(body) != Some(body) {
                self.history.observed(&name(topic), offset, sent(body))?;
            }
        }
        Ok(())
    }

    // ---- what goes wrong ----

    pub fn fault(&mut self) {
        if self.quiet {
            return;
        }
        self.clock.lossy = true;
        let pause = self.clock.between(100 * MS, 1_500 * MS);
        self.clock.after(pause, Event::Fault);
        let no = self.clock.between(0, u64::from(PEERS) - 1) as u32;
        match self.clock.between(0, 14) {
            0..=2 if self.peers[no as usize].up => {
                self.clock.faults.crashes += 1;
                let torn = self.clock.chance(50);
                self.crash(no, torn);
            }
            3 if !self.wiped && self.may_harm(no) => {
                self.wiped = true;
                self.harmed = Some(no);
                self.clock.faults.wipes += 1;
                self.crash(no, false);
                let storage = self.clock.number() + 100;
                self.peers[no as usize].wipe(storage);
            }
            4 => {
                self.clock.faults.pauses += 1;
                let pause = self.clock.between(100 * MS, 4_000 * MS);
                self.peers[no as usize].paused_until = self.clock.now + pause;
            }
            5 | 6 => self.cut(no),
            7 => {
                self.clock.faults.index_restarts += 1;
                self.index_up = !self.index_up;
                self.held.values_mut().for_each(Kept::reload);
            }
            10 | 11 if self.may_harm(no) => self.flip(no),
            12 | 13 => self.trim(),
            9 => {
                self.clock.faults.moves += 1;
                let topic = self.clock.between(1, u64::from(TOPICS)) as Topic;
                self.wishes.insert(topic, no);
            }
            8 => {
                self.clock.faults.full += 1;
                let peer = &mut self.peers[no as usize];
                peer.full = !peer.full;
            }
            _ => {
                if let Some(conn) = self.streams.keys().next().copied() {
                    self.break_stream(conn);
                }
            }
        }
    }

    /// A one-way partition.
    fn cut(&mut self, no: u32) {
        self.clock.faults.partitions += 1;
        let cut = self.clock.number();
        let other = match self.clock.between(0, 4) {
            0 => INDEX,
            1 => CLIENT,
            n => (no + n as u32 % (PEERS - 1) + 1) % PEERS,
        };
        let (from, to) = match self.clock.chance(50) {
            true => (no, other),
            false => (other, no),
        };
        self.clock.cuts.push((cut, from, to));
        let heals = self.clock.between(200 * MS, 5_000 * MS);
        self.clock.after(heals, Event::Heal(cut));
    }

    /// A disk may be lost when nothing rests on it alone: what is promised is no more.
    fn may_harm(&self, no: u32) -> bool {
        let elsewhere = |topic: Topic| {
            let in_sync = self.records[&topic].in_sync;
            !in_sync.without(PeerNo(no)).is_empty()
        };
        self.peers[no as usize].up
            && self.harmed.is_none_or(|harmed| harmed == no)
            && (1..=TOPICS).all(elsewhere)
    }

    /// A bit flips; it is found by the next read or at the next start.
    fn flip(&mut self, no: u32) {
        let topic = self.clock.between(1, u64::from(TOPICS)) as Topic;
        let pick = self.clock.between(0, u64::MAX);
        let copy = self.peers[no as usize].disk.get_mut(&topic);
        if !copy.is_some_and(|copy| copy.flip(pick)) {
            return;
        }
        self.harmed = Some(no);
        self.clock.faults.flips += 1;
        if self.clock.chance(50) {
            self.clock.faults.crashes += 1;
            self.crash(no, false);
        }
    }

    /// Retention takes what readers have seen, or could have.
    fn trim(&mut self) {
        let topic = self.clock.between(1, u64::from(TOPICS)) as Topic;
        let host = self.records[&topic].host.0;
        // What goes unseen could come again, and nobody would know.
        if self.peers[host as usize].up && self.read_at(host, topic).is_ok() {
            let trimmed = self.peers[host as usize].trim(&mut self.clock, topic);
            self.clock.faults.trims += u64::from(trimmed);
        }
    }

    pub fn calm(&mut self) {
        self.quiet = true;
        self.clock.lossy = false;
        self.clock.cuts.clear();
        self.index_up = true;
        for peer in &mut self.peers {
            peer.full = false;
            peer.paused_until = 0;
        }
        (0..PEERS).for_each(|no| self.start(no));
    }

    // ---- the verdict ----

    /// Everybody has been answered, and every topic has its copies: the verdict may be asked for.
    pub fn looks_right(&self) -> bool {
        let mut publishers = self.publishers.iter();
        let answered = publishers.all(|p| p.acked && p.number == MESSAGES);
        let whole = |topic: &Topic| {
            let record = &self.records[topic];
            let copies = record.in_sync.iter();
            let mut ends = copies.map(|peer| self.end_at(peer, *topic));
            let first = ends.next();
            let drained = self.held.get(topic).is_none_or(Kept::is_empty);
            record.in_sync.len() >= self.copies
                && record.phase == Phase::Serving
                && drained
                && ends.all(|end| Some(end) == first)
                && self.shown_by_host(*topic) == first.flatten()
        };
        answered && (1..=TOPICS).all(|topic| whole(&topic))
    }

    fn end_at(&self, peer: PeerNo, topic: Topic) -> Option<Offset> {
        let copy = self.peers[peer.0 as usize].disk.get(&topic);
        copy.map(Copy::end)
    }

    fn shown_by_host(&self, topic: Topic) -> Option<Offset> {
        let host = &self.peers[self.records[&topic].host.0 as usize];
        let hosted = host.hosting.topic(id(topic)).filter(|_| host.up);
        hosted.map(|hosted| hosted.high_watermark())
    }

    pub fn verdict(&mut self) -> Result<(), String> {
        self.read()?;
        for topic in 1..=TOPICS {
            // A shrink to the peer was on its way when its copy was damaged.
            let record = &self.records[&topic];
            let damaged = |peer: PeerNo| {
                let copy = self.peers[peer.0 as usize].disk.get(&topic);
                copy.is_some_and(Copy::is_harmed)
            };
            if record.in_sync.len() == 1 && damaged(record.host) {
                self.given_up.insert(topic);
            }
        }
        for topic in (1..=TOPICS).filter(|topic| !self.given_up.contains(topic)) {
            self.judge(topic)?;
        }
        let stuck = self
            .publishers
            .iter()
            .position(|p| !p.acked || p.number < MESSAGES)
            .filter(|_| self.given_up.is_empty());
        stuck.map_or(Ok(()), |no| {
            let topic = no as u8 % TOPICS + 1;
            let told = self.told(topic);
            Err(format!("publisher {no} got no answer\n{told}"))
        })
    }

    fn judge(&self, topic: Topic) -> Result<(), String> {
        let record = self.records[&topic];
        let host = &self.peers[record.host.0 as usize];
        let hosted = host.hosting.topic(id(topic));
        let hosted = hosted.ok_or_else(|| {
            let told = self.told(topic);
            format!("T{topic} has no host: {record:?}\n{told}")
        })?;
        let disk = &host.disk[&topic];
        let log: Vec<(u64, Body)> = disk.until(hosted.high_watermark()).collect();
        let read = log.iter();
        let read: Vec<_> = read
            .map(|&(at, body)| (at, sent(body).body().into_bytes()))
            .collect();
        self.history
            .check_from(&name(topic), disk.start().0, &read)?;
        self.check_held(topic, &log)?;
        let copy_of = |peer: PeerNo| self.peers[peer.0 as usize].disk.get(&topic);
        // Retention reaches other copies, and other hosts, with the next message.
        let starts = record.in_sync.iter().filter_map(copy_of).map(Copy::start);
        let kept_by_all = starts.max().unwrap_or(Offset::FIRST).0;
        let copies = record.in_sync.iter().map(|peer| {
            let log = copy_of(peer).map(|copy| {
                let kept = copy.until(copy.end());
                let kept = kept.filter(|&(at, _)| at >= kept_by_all);
                (copy.end(), kept.collect::<Vec<_>>())
            });
            (format!("peer {}", peer.0), log)
        });
        super::history::equal_copies(&name(topic), copies)?;
        if record.in_sync.len() < self.copies {
            let told = self.told(topic);
            return Err(format!(
                "T{topic} has not come back to its copies: {record:?}\n{told}"
            ));
        }
        Ok(())
    }

    /// What each peer thinks of a topic.
    fn told(&self, topic: Topic) -> String {
        let peers = self.peers.iter().map(|peer| {
            format!(
                "peer {}: up {} incarnation {} heard {:?}\n  hosts {:?}\n  follows {:?} {:?} streams {:?} {:?}\n",
                peer.no,
                peer.up,
                peer.incarnation,
                peer.heard.get(&topic),
                peer.hosting.topic(id(topic)),
                peer.following.host_of(id(topic)),
                peer.following.topic(id(topic)),
                peer.out,
                peer.inward,
            )
        });
        peers.collect()
    }
}
