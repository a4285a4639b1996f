//! The world of the model: peers with disks, an index, messages in flight. Everything that decides is
//! the production machines; this file only carries things to and fro, and loses them.
//!
//! What is one step here: a question and its answer on one stream (a replica's join), one batch, one
//! sync, one decision of the index. A replica may be given a batch as soon as its host has written it. Acknowledgements, proposals and their answers are in flight for as
//! long as you like, in any order, and outlive their sender's process. A crash loses all that was not
//! synced. Time is nobody's: leases may run out at any moment.

use waypost::replication::acks::AckQueue;
use waypost::replication::configuration::{AlterInSync, Altered, Configuration};
use waypost::replication::epochs::TopicLog;
use waypost::replication::host::{Ack, HostContext, HostEffect, HostEvent, HostTopic, REPLICA_LAG};
use waypost::replication::manager::{self, Report, Standing};
use waypost::replication::members::PeerNo;
use waypost::replication::replica::{ReplicaEffect, ReplicaEvent, ReplicaTopic, may_host};
use waypost::replication::rules::{Rule, Rules};
use waypost::types::{Epoch, MonoNs, Offset};

/// The size of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bounds {
    pub peers: u32,
    /// Whether all peers begin in the in-sync set, or the host alone.
    pub all_in_sync: bool,
    pub entries: u8,
    pub crashes: u8,
    pub wipes: u8,
    /// Leases that run out.
    pub expiries: u8,
    /// Proposals whose outcome the host does not learn.
    pub unknown: u8,
    /// Proposals that reach the index.
    pub alters: u8,
    /// Times that the index comes back from the backup of the beginning.
    pub restores: u8,
    /// Streams that break while both processes live on.
    pub breaks: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub peers: Vec<Peer>,
    pub record: Configuration,
    /// What the index knows of each peer.
    pub known: Vec<Known>,
    /// In flight, sorted: any of them may arrive next, or never.
    pub net: Vec<Message>,
    /// Every message that was ever acknowledged or shown, by offset.
    pub committed: Vec<u8>,
    pub left: Bounds,
    pub written: u8,
    /// A promise that a step broke.
    pub broken: Option<&'static str>,
    pub restored: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Known {
    pub live: bool,
    pub incarnation: u32,
    pub storage: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    pub up: bool,
    pub incarnation: u32,
    pub storage: u8,
    pub disk: Disk,
    pub unsynced: Vec<Entry>,
    pub role: Role,
    pub acks: AckQueue<PeerNo>,
    /// The record as this peer has last heard of it.
    pub heard: Option<Configuration>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Disk {
    pub log: Vec<(Epoch, u8)>,
    pub known: Epoch,
    /// The grant under which this peer has hosted last; 0: never.
    pub own_grant: u32,
}

/// A journal entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Entry {
    Append(Epoch, u8),
    Known(Epoch),
    /// This peer hosts under this epoch.
    Host(Epoch),
    Truncate(Offset),
    Reset,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(clippy::large_enum_variant)]
pub enum Role {
    Nothing,
    Replica(ReplicaTopic),
    /// Told to host; its epoch is not durable yet.
    Becoming(Configuration, Epoch, Offset),
    Host(HostTopic),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    Ack(u32, u32, u32, Ack),
    Alter(Proposal),
    Answer(u32, u32, Said),
}

/// `AlterInSync` with an order, so that the net is a sorted list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Proposal(pub AlterInSync);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Said(pub Altered);

macro_rules! by_debug {
    ($($name:ident)*) => { $(
        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.key().cmp(&other.key())
            }
        }
    )* };
}
by_debug!(Proposal Said);

impl Proposal {
    fn key(&self) -> impl Ord + use<> {
        let p = self.0;
        (p.from, p.epoch, p.version, p.members, p.incarnations)
    }
}

impl Said {
    fn key(&self) -> impl Ord + use<> {
        let of = |c: Configuration| (c.version, c.grant, c.in_sync);
        match self.0 {
            Altered::Applied(c) => (0, Some(of(c)), String::new()),
            Altered::Refused(c, why) => (1, Some(of(c)), why.to_string()),
            Altered::Unknown => (2, None, String::new()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Append(u32),
    Sync(u32),
    Crash(u32),
    Wipe(u32),
    Restart(u32),
    /// The index calls a peer dead, rightly or not.
    Expire(u32),
    /// A peer that was called dead, and was not, is heard of again.
    Return(u32),
    /// A peer hears the record.
    Hear(u32),
    Join(u32),
    Fetch(u32),
    /// A replica's stream breaks; what it has acknowledged may still arrive.
    Break(u32),
    /// A host loses patience with those that lag.
    Wake(u32),
    Deliver(Message),
    /// A host's proposal has no outcome.
    Lose(u32),
    /// The index is restored from a backup; it decides nothing until it is rebuilt.
    Restore,
    /// It is rebuilt from the reports of all peers.
    Rebuild,
}

const NOW: MonoNs = MonoNs(0);
const LATER: MonoNs = MonoNs(u64::MAX);

fn first_record(bounds: Bounds) -> Configuration {
    let mut record = Configuration::created(PeerNo(0));
    record.replicas = (0..bounds.peers).map(PeerNo).collect();
    if bounds.all_in_sync {
        record.in_sync = record.replicas;
    }
    record
}

impl World {
    pub fn new(bounds: Bounds, rules: Rules) -> World {
        let record = first_record(bounds);
        let peer = Peer {
            up: true,
            incarnation: 1,
            storage: 0,
            disk: Disk::default(),
            unsynced: vec![],
            role: Role::Nothing,
            acks: AckQueue::default(),
            heard: None,
        };
        let known = Known {
            live: true,
            incarnation: 1,
            storage: 0,
        };
        let mut world = World {
            peers: vec![peer; bounds.peers as usize],
            record,
            known: vec![known; bounds.peers as usize],
            net: vec![],
            committed: vec![],
            left: bounds,
            written: 0,
            broken: None,
            restored: false,
        };
        for p in 0..bounds.peers {
            world.hear(p, rules);
            world.sync(p, rules);
        }
        world
    }

    pub fn actions(&self, actions: &mut Vec<Action>) {
        for p in 0..self.peers.len() as u32 {
            self.actions_of(p, actions);
        }
        if self.restored && self.peers.iter().all(|peer| peer.up) {
            actions.push(Action::Rebuild);
        }
        if self.left.restores > 0 && self.record.grant > 1 {
            actions.push(Action::Restore);
        }
        actions.extend(self.net.iter().map(|m| Action::Deliver(*m)));
    }

    fn actions_of(&self, p: u32, actions: &mut Vec<Action>) {
        let peer = &self.peers[p as usize];
        let known = &self.known[p as usize];
        if known.live && self.left.expiries > 0 {
            actions.push(Action::Expire(p));
        }
        if !peer.up {
            actions.push(Action::Restart(p));
            return;
        }
        if !known.live {
            actions.push(Action::Return(p));
        }
        if !peer.unsynced.is_empty() {
            actions.push(Action::Sync(p));
        }
        if self.left.crashes > 0 {
            actions.push(Action::Crash(p));
        }
        if self.left.wipes > 0 {
            actions.push(Action::Wipe(p));
        }
        if known.live && peer.heard != Some(self.record) {
            actions.push(Action::Hear(p));
        }
        match &peer.role {
            Role::Host(topic) => {
                if topic.takes_appends() && self.left.entries > 0 {
                    actions.push(Action::Append(p));
                }
                actions.push(Action::Wake(p));
                let mine = |m: &Message| match m {
                    Message::Alter(a) => a.0.from == PeerNo(p),
                    Message::Answer(to, ..) => *to == p,
                    Message::Ack(..) => false,
                };
                if self.left.unknown > 0 && self.net.iter().any(mine) {
                    actions.push(Action::Lose(p));
                }
            }
            Role::Replica(topic) => {
                let host = peer.heard.map_or(p, |record| record.host.0);
                if let Role::Host(hosted) = &self.peers[host as usize].role {
                    if topic.following() != Some(hosted.epoch()) {
                        actions.push(Action::Join(p));
                    } else {
                        if topic.log().end() < hosted.written() {
                            actions.push(Action::Fetch(p));
                        }
                        if self.left.breaks > 0 {
                            actions.push(Action::Break(p));
                        }
                    }
                }
            }
            Role::Nothing | Role::Becoming(..) => {}
        }
    }

    pub fn step(&mut self, action: Action, rules: Rules) {
        match action {
            Action::Append(p) => {
                self.left.entries -= 1;
                self.written += 1;
                let content = self.written;
                if let Role::Host(topic) = &self.peers[p as usize].role {
                    let entry = Entry::Append(topic.epoch(), content);
                    let peer = &mut self.peers[p as usize];
                    peer.unsynced.push(entry);
                    let end = Offset(peer.written().log.len() as u64 + 1);
                    self.host(p, HostEvent::Written { end }, NOW, rules);
                }
            }
            Action::Sync(p) => self.sync(p, rules),
            Action::Crash(p) => {
                self.left.crashes -= 1;
                self.crash(p);
            }
            Action::Wipe(p) => {
                self.left.wipes -= 1;
                self.crash(p);
                self.peers[p as usize].disk = Disk::default();
                self.peers[p as usize].storage += 1;
            }
            Action::Restart(p) => self.restart(p, rules),
            Action::Expire(p) => {
                self.left.expiries -= 1;
                self.known[p as usize].live = false;
                self.stand(rules);
            }
            Action::Return(p) => {
                self.known[p as usize].live = true;
                self.stand(rules);
            }
            Action::Hear(p) => self.hear(p, rules),
            Action::Join(p) => self.join(p, rules),
            Action::Fetch(p) => self.fetch(p, rules),
            Action::Break(p) => self.break_stream(p, rules),
            Action::Wake(p) => self.host(p, HostEvent::Wake, LATER, rules),
            Action::Deliver(message) => self.deliver(message, rules),
            Action::Restore => {
                self.left.restores -= 1;
                self.restored = true;
                self.record = first_record(self.left);
                for known in &mut self.known {
                    known.incarnation = 1;
                }
            }
            Action::Rebuild => self.rebuild(),
            Action::Lose(p) => {
                self.left.unknown -= 1;
                // The shell drops an answer that comes after it has given up.
                self.net
                    .retain(|m| !matches!(m, Message::Answer(to, ..) if *to == p));
                self.host(p, HostEvent::Altered(Altered::Unknown), NOW, rules);
            }
        }
    }

    fn send(&mut self, message: Message) {
        // On one stream a later acknowledgement takes the place of an earlier one.
        if let Message::Ack(from, to, incarnation, ack) = message {
            self.net.retain(|m| {
                !matches!(m, Message::Ack(f, t, i, a)
                    if (*f, *t, *i, a.epoch) == (from, to, incarnation, ack.epoch))
            });
        }
        if let Err(at) = self.net.binary_search(&message) {
            self.net.insert(at, message);
        }
    }

    // ---- the index ----

    fn rebuild(&mut self) {
        let reports = self.peers.iter().enumerate().map(|(p, peer)| Report {
            peer: PeerNo(p as u32),
            known: peer.written_known(),
            own_grant: peer.written().own_grant,
            end: Offset(peer.disk.log.len() as u64 + 1),
            lineage: 0,
        });
        if let Some(mut record) = manager::rebuild(&reports.collect::<Vec<_>>()) {
            record.replicas = first_record(self.left).replicas;
            self.record = record;
        }
        for (known, peer) in self.known.iter_mut().zip(&self.peers) {
            (known.live, known.incarnation) = (true, peer.incarnation);
        }
        self.restored = false;
    }

    fn stand(&mut self, rules: Rules) {
        if self.restored {
            return;
        }
        let standing = |peer: PeerNo| Standing {
            live: self.known[peer.0 as usize].live,
            load: 0,
        };
        if let Some(record) = manager::stand(&self.record, standing, rules) {
            self.record = record;
        }
    }

    fn restart(&mut self, p: u32, rules: Rules) {
        let storage = self.peers[p as usize].storage;
        let known = &mut self.known[p as usize];
        if known.storage != storage && rules.keeps(Rule::WipedLeavesSets) {
            let dropped = manager::drop_copy(&self.record, PeerNo(p));
            self.record = dropped.unwrap_or(self.record);
        }
        known.storage = storage;
        known.live = true;
        // The folder tells the highest incarnation that it has seen.
        let brought = self.peers[p as usize].incarnation;
        known.incarnation = manager::next_incarnation(known.incarnation, brought, false, rules);
        let incarnation = known.incarnation;
        let peer = &mut self.peers[p as usize];
        peer.up = true;
        peer.incarnation = incarnation;
        self.stand(rules);
    }

    fn alter(&mut self, proposal: AlterInSync, rules: Rules) {
        if self.left.alters == 0 || self.restored {
            return;
        }
        self.left.alters -= 1;
        let incarnation = |peer: PeerNo| self.known[peer.0 as usize].incarnation;
        let altered = manager::alter(&self.record, &proposal, incarnation, rules);
        let said = match altered {
            Ok(record) => {
                self.record = record;
                Altered::Applied(record)
            }
            Err(why) => Altered::Refused(self.record, why),
        };
        let to = proposal.from.0;
        let incarnation = proposal.epoch.incarnation;
        if self.peers[to as usize].up && self.peers[to as usize].incarnation == incarnation {
            self.send(Message::Answer(to, incarnation, Said(said)));
        }
    }

    // ---- a peer ----

    fn crash(&mut self, p: u32) {
        let peer = &mut self.peers[p as usize];
        peer.up = false;
        peer.unsynced.clear();
        peer.role = Role::Nothing;
        peer.acks = AckQueue::default();
        peer.heard = None;
        // Its connections are gone: no answer reaches the process that comes next.
        self.net
            .retain(|m| !matches!(m, Message::Answer(to, ..) if *to == p));
    }

    fn sync(&mut self, p: u32, rules: Rules) {
        let peer = &mut self.peers[p as usize];
        for entry in std::mem::take(&mut peer.unsynced) {
            if let Entry::Known(epoch) | Entry::Host(epoch) = entry
                && epoch < peer.disk.known
            {
                self.broken = Some("I8: a peer's epoch falls");
            }
            peer.disk.apply(&entry);
        }
        let acks = peer.acks.synced(u64::MAX);
        let incarnation = peer.incarnation;
        for (to, ack) in acks {
            self.send(Message::Ack(p, to.0, incarnation, ack));
        }
        let peer = &mut self.peers[p as usize];
        match &peer.role {
            Role::Host(_) => {
                let end = Offset(peer.disk.log.len() as u64 + 1);
                self.host(p, HostEvent::Synced { end }, NOW, rules);
            }
            Role::Becoming(record, epoch, watermark) => {
                let (record, epoch, watermark) = (*record, *epoch, *watermark);
                self.begin(p, record, epoch, watermark, rules);
            }
            Role::Replica(_) | Role::Nothing => {}
        }
    }

    fn context(p: u32, rules: Rules) -> HostContext {
        HostContext {
            me: PeerNo(p),
            lag: REPLICA_LAG,
            rules,
        }
    }

    fn begin(
        &mut self,
        p: u32,
        record: Configuration,
        epoch: Epoch,
        watermark: Offset,
        rules: Rules,
    ) {
        let context = World::context(p, rules);
        let log = self.peers[p as usize].disk.topic_log();
        let (topic, effects) = HostTopic::begin(&context, epoch, log, watermark, &record, 1, NOW);
        self.peers[p as usize].role = Role::Host(topic);
        self.host_effects(p, effects, rules);
    }

    fn hear(&mut self, p: u32, rules: Rules) {
        let record = self.record;
        let peer = &mut self.peers[p as usize];
        let (known, own_grant) = (peer.written_known(), peer.written().own_grant);
        let refuses = rules.keeps(Rule::RefuseLowerEpochs);
        let epoch = Epoch {
            grant: record.grant,
            incarnation: peer.incarnation,
        };
        let hosts = record.acting_host() == Some(PeerNo(p));
        if refuses && (record.grant < known.grant || hosts && !may_host(known, own_grant, epoch)) {
            return;
        }
        let before = peer.heard.replace(record);
        if let Role::Host(topic) = &peer.role
            && topic.epoch().grant == record.grant
        {
            self.host(p, HostEvent::Record(record), NOW, rules);
            return;
        }
        let of = |record: Configuration| (record.acting_host(), record.grant);
        let moved = before.is_none_or(|before| of(before) != of(record));
        if !moved {
            return;
        }
        let watermark = peer.watermark();
        peer.acks = AckQueue::default();
        if !hosts {
            let log = peer.written().topic_log();
            peer.role = Role::Replica(ReplicaTopic::new(log, known, watermark));
        } else {
            peer.unsynced.push(Entry::Host(epoch));
            peer.role = Role::Becoming(record, epoch, watermark);
        }
    }

    // ---- a host ----

    fn host(&mut self, p: u32, event: HostEvent, now: MonoNs, rules: Rules) {
        if let Role::Host(topic) = &mut self.peers[p as usize].role {
            let effects = topic.handle(&World::context(p, rules), event, now);
            self.host_effects(p, effects, rules);
        }
    }

    fn host_effects(&mut self, p: u32, effects: Vec<HostEffect>, rules: Rules) {
        for effect in effects {
            match effect {
                HostEffect::HighWatermark(end) => self.commit(p, end),
                HostEffect::Propose(proposal) => self.send(Message::Alter(Proposal(proposal))),
                HostEffect::Answer(to, answer) => {
                    let answered = ReplicaEvent::Answered(answer);
                    self.replica(to.0, p, answered, rules);
                }
                HostEffect::StepDown => {
                    let peer = &mut self.peers[p as usize];
                    let known = peer.written_known();
                    let log = peer.written().topic_log();
                    peer.role = Role::Replica(ReplicaTopic::new(log, known, peer.watermark()));
                }
                HostEffect::Refuse(_)
                | HostEffect::PositionsCommitted(_)
                | HostEffect::WakeAt(_)
                | HostEffect::Level(_)
                | HostEffect::Pause(_) => {}
            }
        }
    }

    /// The host acknowledges, and shows to readers, everything below `end`.
    fn commit(&mut self, p: u32, end: Offset) {
        let log = &self.peers[p as usize].disk.log;
        for at in 0..end.0 as usize - 1 {
            match (log.get(at), self.committed.get(at)) {
                (None, _) => self.broken = Some("I7: the high watermark is above the host's end"),
                (Some((_, content)), None) => self.committed.push(*content),
                (Some((_, content)), Some(known)) if content != known => {
                    self.broken = Some("I4: two messages were committed at one offset");
                }
                _ => {}
            }
        }
    }

    // ---- a replica ----

    fn join(&mut self, p: u32, rules: Rules) {
        let heard = self.peers[p as usize].heard;
        let Some(record) = heard else { return };
        let open = ReplicaEvent::Open {
            grant: record.grant,
        };
        self.replica(p, record.host.0, open, rules);
        // The first frame of the slot: the table of positions.
        let positions = ReplicaEvent::Positions { revision: 1 };
        self.replica(p, record.host.0, positions, rules);
    }

    fn break_stream(&mut self, p: u32, rules: Rules) {
        self.left.breaks -= 1;
        let heard = self.peers[p as usize].heard;
        let Some(record) = heard else { return };
        self.replica(p, record.host.0, ReplicaEvent::Closed, rules);
        self.host(record.host.0, HostEvent::Gone(PeerNo(p)), NOW, rules);
    }

    fn fetch(&mut self, p: u32, rules: Rules) {
        let peer = &self.peers[p as usize];
        let (Role::Replica(topic), Some(record)) = (&peer.role, peer.heard) else {
            return;
        };
        let base = topic.log().end();
        let host = &self.peers[record.host.0 as usize];
        let Role::Host(hosted) = &host.role else {
            return;
        };
        let (epoch, content) = host.written().log[base.0 as usize - 1];
        let watermark = ReplicaEvent::Watermark {
            high_watermark: hosted.high_watermark(),
            start: Offset::FIRST,
        };
        self.replica(p, record.host.0, watermark, rules);
        let batch = ReplicaEvent::Batch {
            base,
            end: base.plus(1),
            epoch,
        };
        self.replica_with(p, record.host.0, batch, Some((epoch, content)), rules);
    }

    fn replica(&mut self, p: u32, host: u32, event: ReplicaEvent, rules: Rules) {
        self.replica_with(p, host, event, None, rules);
    }

    fn replica_with(
        &mut self,
        p: u32,
        host: u32,
        event: ReplicaEvent,
        batch: Option<(Epoch, u8)>,
        rules: Rules,
    ) {
        let Role::Replica(topic) = &mut self.peers[p as usize].role else {
            return;
        };
        for effect in topic.handle(rules, event) {
            self.replica_effect(p, host, effect, batch, rules);
        }
    }

    fn replica_effect(
        &mut self,
        p: u32,
        host: u32,
        effect: ReplicaEffect,
        batch: Option<(Epoch, u8)>,
        rules: Rules,
    ) {
        let peer = &mut self.peers[p as usize];
        let incarnation = peer.incarnation;
        match effect {
            ReplicaEffect::Ask(join) => {
                let event = HostEvent::Join(PeerNo(p), incarnation, join);
                self.host(host, event, NOW, rules);
            }
            ReplicaEffect::Persist(epoch) => peer.unsynced.push(Entry::Known(epoch)),
            ReplicaEffect::Truncate { to } => peer.unsynced.push(Entry::Truncate(to)),
            ReplicaEffect::Reset { .. } => peer.unsynced.push(Entry::Reset),
            ReplicaEffect::Write => {
                let entry = batch.map(|(epoch, content)| Entry::Append(epoch, content));
                peer.unsynced.extend(entry);
            }
            ReplicaEffect::Ack(ack) => {
                let written = peer.unsynced.len() as u64;
                let now = peer.acks.push(rules, written, 0, PeerNo(host), ack);
                if let Some(ack) = now {
                    self.send(Message::Ack(p, host, incarnation, ack));
                }
            }
            ReplicaEffect::Leave => {
                if self.restored {
                    return;
                }
                if let Some(record) = manager::drop_copy(&self.record, PeerNo(p)) {
                    if rules == Rules::ALL {
                        self.broken = Some("a member of the set found its copy diverged");
                    }
                    self.record = record;
                }
                self.replica(p, host, ReplicaEvent::Left, rules);
            }
            ReplicaEffect::FetchDedupe
            | ReplicaEffect::Trim { .. }
            | ReplicaEffect::Refuse(_)
            | ReplicaEffect::Reopen => {}
        }
    }

    fn deliver(&mut self, message: Message, rules: Rules) {
        self.net.retain(|m| *m != message);
        match message {
            Message::Ack(from, to, incarnation, ack) => {
                let event = HostEvent::Acked(PeerNo(from), incarnation, ack);
                self.host(to, event, NOW, rules);
            }
            Message::Alter(proposal) => self.alter(proposal.0, rules),
            Message::Answer(to, _, said) => {
                self.host(to, HostEvent::Altered(said.0), NOW, rules);
            }
        }
    }
}

impl Disk {
    fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Append(epoch, content) => {
                self.log.push((*epoch, *content));
                self.known = self.known.max(*epoch);
            }
            Entry::Known(epoch) => self.known = self.known.max(*epoch),
            Entry::Host(epoch) => {
                self.known = self.known.max(*epoch);
                self.own_grant = epoch.grant;
            }
            Entry::Truncate(to) => self.log.truncate(to.0 as usize - 1),
            Entry::Reset => self.log.clear(),
        }
    }

    pub fn topic_log(&self) -> TopicLog {
        let mut log = TopicLog::default();
        for (epoch, _) in &self.log {
            log.append(*epoch, log.end().plus(1));
        }
        log
    }
}

impl Peer {
    /// The disk as it will be when all is synced.
    fn written(&self) -> Disk {
        let mut disk = self.disk.clone();
        self.unsynced.iter().for_each(|entry| disk.apply(entry));
        disk
    }

    fn written_known(&self) -> Epoch {
        let known = self.written().known;
        match &self.role {
            Role::Replica(topic) => known.max(topic.known()),
            Role::Host(topic) => known.max(topic.epoch()),
            Role::Becoming(_, epoch, _) => known.max(*epoch),
            Role::Nothing => known,
        }
    }

    fn watermark(&self) -> Offset {
        match &self.role {
            Role::Replica(topic) => topic.high_watermark(),
            Role::Host(topic) => topic.high_watermark(),
            Role::Becoming(_, _, watermark) => *watermark,
            Role::Nothing => Offset::FIRST,
        }
    }
}
