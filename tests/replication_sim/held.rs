//! Messages that the index takes while nobody can host, and their way into the log. As in `index::decide::held`
//! and `peer::replication::draining`.

use std::collections::BTreeMap;

use waypost::replication::configuration::Phase;
use waypost::replication::held::{Held, HeldQueue, Incoming, Quotas};
use waypost::replication::manager::{self, Standing};
use waypost::replication::members::PeerNo;
use waypost::types::{Epoch, Offset, ProducerId};

use super::net::{Body, CLIENT, Clock, INDEX, MS, Msg, Time, Topic};
use super::peer::{Peer, id};
use super::world::{WAIT, World};

/// Messages of one answer.
const PAGE: usize = 3;

/// What the index holds of one topic: the queue, and what the store has of it.
#[derive(Default)]
pub struct Kept {
    queue: HeldQueue,
    batches: BTreeMap<u64, Body>,
}

fn incoming(body: Body) -> Incoming {
    Incoming {
        producer: ProducerId([body.0; 16]),
        sequence: body.1,
        count: 1,
        bytes: 1,
    }
}

impl Kept {
    /// The index starts again: the queue is made from the store.
    pub fn reload(&mut self) {
        self.queue = HeldQueue::new();
        for (&held, &body) in &self.batches {
            self.queue.restore(held, incoming(body));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

impl World {
    /// Nobody of the in-sync set is live, nor may be.
    pub fn nobody_hosts(&self, topic: Topic) -> bool {
        let in_sync = self.records[&topic].in_sync;
        let live = |peer: PeerNo| self.facts[peer.0 as usize].live;
        self.clock.now > WAIT && !in_sync.is_empty() && in_sync.filter(live).is_empty()
    }

    pub fn hold(&mut self, topic: Topic, body: Body) {
        if !self.nobody_hosts(topic) {
            return;
        }
        let kept = self.held.entry(topic).or_default();
        match kept.queue.hold(&Quotas::default(), 0, incoming(body)) {
            Ok(Held::Store(held)) => {
                kept.batches.insert(held, body);
                self.clock.faults.held += 1;
                self.hold_record(topic);
            }
            Ok(Held::Already(_)) => {}
            Err(_) => return,
        }
        self.clock.send(INDEX, CLIENT, Msg::Held { topic, body });
    }

    fn hold_record(&mut self, topic: Topic) {
        let nobody = |_| Standing {
            live: false,
            load: 0,
        };
        let record = self.records[&topic];
        let offline = manager::stand(&record, nobody, self.care.rules).unwrap_or(record);
        if let Some(record) = manager::hold(&offline) {
            self.records.insert(topic, record);
        }
    }

    fn may_drain(&self, topic: Topic, peer: u32, epoch: Epoch) -> bool {
        let record = &self.records[&topic];
        let incarnation = self.facts[peer as usize].incarnation;
        let grant = record.grant;
        record.host == PeerNo(peer) && epoch == Epoch { grant, incarnation }
    }

    pub fn at_index_held(&mut self, msg: Msg) {
        match msg {
            Msg::Hold { topic, body } => self.hold(topic, body),
            Msg::Drain {
                topic,
                peer,
                boot,
                epoch,
                serial,
            } if self.may_drain(topic, peer, epoch) => {
                let kept = self.held.entry(topic).or_default();
                kept.queue.drain(epoch);
                let next = std::iter::from_fn(|| kept.queue.next_for(epoch));
                let page = next.take(PAGE).collect::<Vec<_>>().into_iter();
                let page = page.map(|held| (held, kept.batches[&held])).collect();
                let msg = Msg::Drained {
                    to: peer,
                    boot,
                    topic,
                    serial,
                    page,
                };
                self.clock.send(INDEX, peer, msg);
            }
            Msg::Settle {
                topic,
                peer,
                epoch,
                through,
            } if self.may_drain(topic, peer, epoch) => self.settled(topic, epoch, through),
            _ => {}
        }
    }

    fn settled(&mut self, topic: Topic, epoch: Epoch, through: Option<u64>) {
        let kept = self.held.entry(topic).or_default();
        if let Some(through) = through {
            for held in kept.queue.settled(epoch, through) {
                kept.batches.remove(&held);
                self.clock.faults.drained += 1;
            }
        }
        if kept.queue.is_empty()
            && let Some(record) = manager::opened(&self.records[&topic])
        {
            self.records.insert(topic, record);
            self.assign(topic);
        }
    }

    /// I10: what was answered "held" is in the queue or in the log, and in the end in the log.
    pub fn check_held(&self, topic: Topic, read: &[(u64, Body)]) -> Result<(), String> {
        if let Some(kept) = self.held.get(&topic)
            && (!kept.is_empty() || self.records[&topic].phase == Phase::Held)
        {
            return Err(format!("T{topic} is not drained: {:?}", kept.batches));
        }
        let shown = self.shown.get(&topic);
        let of_topic = self.answered_held.iter().filter(|(of, _)| *of == topic);
        for (_, body) in of_topic {
            let found = read.iter().any(|(_, found)| found == body)
                || shown.is_some_and(|shown| shown.contains(&Some(*body)));
            if !found {
                return Err(format!("T{topic}: {body:?} was held and is not in the log"));
            }
        }
        Ok(())
    }
}

/// A host's page of held messages.
pub struct Drain {
    serial: u64,
    /// When to ask again.
    due: Time,
    epoch: Epoch,
    /// The last of the page, and where all of it ends; `None`: it has not come.
    page: Option<(Option<u64>, Offset)>,
}

impl Peer {
    /// Goes on with a topic that waits for what is held.
    pub fn drain(&mut self, clock: &mut Clock, topic: Topic) {
        let hosted = self.hosting.topic(id(topic));
        let Some(hosted) = hosted.filter(|hosted| hosted.is_draining()) else {
            self.drains.remove(&topic);
            return;
        };
        let (epoch, committed) = (hosted.epoch(), hosted.high_watermark());
        if let Some(drain) = self.drains.get(&topic).filter(|drain| drain.epoch == epoch) {
            if drain.page.is_none() && drain.due > clock.now {
                return;
            }
            if drain.page.is_some_and(|(_, end)| end > committed) {
                return;
            }
        }
        let serial = clock.number();
        let drain = Drain {
            serial,
            due: clock.now + 500 * MS,
            epoch,
            page: None,
        };
        self.drains.insert(topic, drain);
        let msg = Msg::Drain {
            topic,
            peer: self.no,
            boot: self.boot,
            epoch,
            serial,
        };
        clock.send(self.no, INDEX, msg);
    }

    pub fn take_drained(
        &mut self,
        clock: &mut Clock,
        topic: Topic,
        serial: u64,
        page: &[(u64, Body)],
    ) {
        let asked = self.drains.get(&topic);
        let asked = asked.is_some_and(|drain| drain.serial == serial && drain.page.is_none());
        let hosted = self.hosting.topic(id(topic));
        let draining = hosted.is_some_and(|hosted| hosted.is_draining());
        if !asked || !draining || self.full {
            return;
        }
        let mut end = Offset::FIRST;
        for &(_, body) in page {
            let (found, _) = self.copy(topic).find(body);
            let found = found.filter(|_| self.care.dedupe && self.care.drain_dedupe);
            clock.faults.drained_again += u64::from(found.is_some());
            end = end.max(match found {
                Some(at) => at.plus(1),
                None => self.append_new(clock, topic, body),
            });
        }
        if let Some(drain) = self.drains.get_mut(&topic) {
            drain.page = Some((page.last().map(|(held, _)| *held), end));
        }
        let committed = self.hosting.topic(id(topic)).map(|t| t.high_watermark());
        self.settle_drain(clock, topic, committed.unwrap_or(Offset::FIRST));
    }

    /// Tells that a page is committed.
    pub fn settle_drain(&mut self, clock: &mut Clock, topic: Topic, committed: Offset) {
        let Some(drain) = self.drains.get(&topic) else {
            return;
        };
        let Some((through, _)) = drain.page.filter(|(_, end)| *end <= committed) else {
            return;
        };
        let msg = Msg::Settle {
            topic,
            peer: self.no,
            epoch: drain.epoch,
            through,
        };
        clock.send(self.no, INDEX, msg);
    }
}
