//! All topics that this peer replicates, with one stream to each host. Pure.
//!
//! Effects that write carry a number that counts up; the journal takes them in that order, and one call
//! of [`Following::synced`] then gives one acknowledgement frame per host, which lists the topics that
//! changed and no other. Nothing here is done for topics that lie still, but at a stream's beginning
//! and end.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::acks::{AckQueue, JournalSeq};
use super::epochs::TopicLog;
use super::host::Ack;
use super::hosting::{Down, SlotNo, Up};
use super::members::PeerNo;
use super::replica::{ReplicaEffect, ReplicaEvent, ReplicaTopic};
use super::rules::Rules;
use crate::types::{Epoch, Offset, TopicId};

/// What is to be written to the journal about a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// This epoch is known (kind 18).
    Known(Epoch),
    /// Everything from here on goes (kind 16).
    Truncate(Offset),
    /// The whole log goes and begins anew here (kind 16, with the new start).
    Reset(Offset),
    /// Everything below goes (kind 6).
    Trim(Offset),
    /// The batch of this call, byte for byte (kind 1).
    Batch,
}

/// Something to do for replicated topics, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowingEffect {
    /// Send a frame to a host.
    Send(PeerNo, Up),
    /// Write, in the order of the numbers.
    Journal(JournalSeq, TopicId, Entry),
    /// Fetch the dedupe table and the positions as of the log's start (message FetchDedupe), write
    /// them (kinds 19 and 5), and call [`Following::dedupe`] with their number.
    FetchDedupe(PeerNo, TopicId),
    /// Ask the index to take this peer out of the topic's in-sync set; then [`Following::left`].
    LeaveSet(TopicId),
}

#[derive(Debug)]
struct Followed {
    topic: ReplicaTopic,
    host: PeerNo,
    grant: u32,
    slot: Option<SlotNo>,
}

#[derive(Debug, Default)]
struct Stream {
    next_slot: SlotNo,
    slots: HashMap<SlotNo, TopicId>,
    acks: AckQueue<SlotNo>,
}

/// See the module.
#[derive(Debug)]
pub struct Following {
    rules: Rules,
    topics: HashMap<TopicId, Followed>,
    streams: BTreeMap<PeerNo, Stream>,
    /// Topics by host, so that a stream's beginning need not look at all. Ordered, for replay.
    by_host: BTreeMap<PeerNo, std::collections::BTreeSet<TopicId>>,
    written: JournalSeq,
    durable: JournalSeq,
}

impl Following {
    /// Nothing is replicated yet. Production gives [`Rules::ALL`].
    pub fn new(rules: Rules) -> Self {
        Following {
            rules,
            topics: HashMap::new(),
            streams: BTreeMap::new(),
            by_host: BTreeMap::new(),
            written: 0,
            durable: 0,
        }
    }

    /// A replicated topic.
    pub fn topic(&self, id: TopicId) -> Option<&ReplicaTopic> {
        self.topics.get(&id).map(|followed| &followed.topic)
    }

    /// Whose copy it is, and under which grant.
    pub fn host_of(&self, id: TopicId) -> Option<(PeerNo, u32)> {
        let followed = self.topics.get(&id)?;
        Some((followed.host, followed.grant))
    }

    /// The topic on a slot of a host's stream.
    pub fn topic_on(&self, host: PeerNo, slot: SlotNo) -> Option<TopicId> {
        self.slot_topic(host, slot)
    }

    /// Whether the topic waits for [`Following::left`].
    pub fn is_leaving(&self, id: TopicId) -> bool {
        self.topic(id).is_some_and(ReplicaTopic::is_leaving)
    }

    /// The topic's slot on its host's stream.
    pub fn slot_of(&self, id: TopicId) -> Option<SlotNo> {
        self.topics.get(&id)?.slot
    }

    /// The number that the next entry gets, less one: what the shell counts its own entries about
    /// replicated topics by.
    pub fn written(&self) -> JournalSeq {
        self.written
    }

    /// Takes up a topic with its log as written, or the move of its host to another peer.
    pub fn follow(
        &mut self,
        id: TopicId,
        host: PeerNo,
        grant: u32,
        log: impl FnOnce() -> (TopicLog, Epoch, Offset),
    ) -> Vec<FollowingEffect> {
        if self.topics.get(&id).is_some_and(|f| f.grant > grant) {
            return vec![];
        }
        let (topic, mut out) = self.unfollow(id);
        let topic = match topic {
            Some(topic) => topic,
            None => {
                let (log, known, watermark) = log();
                ReplicaTopic::new(log, known, watermark)
            }
        };
        let followed = Followed {
            topic,
            host,
            grant,
            slot: None,
        };
        self.topics.insert(id, followed);
        self.by_host.entry(host).or_default().insert(id);
        if self.streams.contains_key(&host) {
            self.open(id, &mut out);
        }
        out
    }

    /// Replicates it no more, for this peer hosts it or it is gone; answers it as it was, and what its
    /// host is told.
    pub fn unfollow(&mut self, id: TopicId) -> (Option<ReplicaTopic>, Vec<FollowingEffect>) {
        let Some(mut followed) = self.topics.remove(&id) else {
            return (None, vec![]);
        };
        let slot = self.close_slot(&mut followed);
        if let Some(topics) = self.by_host.get_mut(&followed.host) {
            topics.remove(&id);
        }
        let leave = slot.map(|slot| {
            let frame = Up::Leave(slot, followed.topic.known());
            FollowingEffect::Send(followed.host, frame)
        });
        (Some(followed.topic), leave.into_iter().collect())
    }

    /// There is a stream to this host.
    pub fn opened(&mut self, host: PeerNo) -> Vec<FollowingEffect> {
        self.closed(host);
        self.streams.insert(host, Stream::default());
        let topics = self.by_host.get(&host).cloned().unwrap_or_default();
        let mut out = Vec::new();
        for id in topics {
            self.open(id, &mut out);
        }
        out
    }

    /// The stream broke.
    pub fn closed(&mut self, host: PeerNo) {
        let Some(stream) = self.streams.remove(&host) else {
            return;
        };
        for id in stream.slots.into_values() {
            if let Some(followed) = self.topics.get_mut(&id) {
                followed.slot = None;
                followed.topic.handle(self.rules, ReplicaEvent::Closed);
            }
        }
    }

    /// A frame of a host.
    pub fn frame(&mut self, host: PeerNo, frame: Down) -> Vec<FollowingEffect> {
        let mut out = Vec::new();
        match frame {
            Down::Joined(slot, answer) => {
                self.slot_event(host, slot, ReplicaEvent::Answered(answer), &mut out);
            }
            Down::Watermarks(moved) => {
                for (slot, high_watermark, start) in moved {
                    let event = ReplicaEvent::Watermark {
                        high_watermark,
                        start,
                    };
                    self.slot_event(host, slot, event, &mut out);
                }
            }
            Down::Ended(slot) => {
                self.slot_event(host, slot, ReplicaEvent::Closed, &mut out);
                if let Some(id) = self.slot_topic(host, slot) {
                    self.drop_slot(id);
                }
            }
        }
        out
    }

    /// A batch came on a slot; it is to be written if the effects say so.
    pub fn batch(
        &mut self,
        host: PeerNo,
        slot: SlotNo,
        base: Offset,
        end: Offset,
        epoch: Epoch,
    ) -> Vec<FollowingEffect> {
        let mut out = Vec::new();
        let event = ReplicaEvent::Batch { base, end, epoch };
        self.slot_event(host, slot, event, &mut out);
        out
    }

    /// Positions came on a slot and were given to the journal; the number of that entry is the next.
    pub fn positions(&mut self, host: PeerNo, slot: SlotNo, revision: u64) -> Vec<FollowingEffect> {
        self.written += 1;
        let mut out = Vec::new();
        let event = ReplicaEvent::Positions { revision };
        self.slot_event(host, slot, event, &mut out);
        out
    }

    /// The dedupe table was given to the journal; the number of that entry is the next.
    pub fn dedupe(&mut self, id: TopicId) -> Vec<FollowingEffect> {
        self.written += 1;
        self.topic_event(id, ReplicaEvent::Dedupe)
    }

    /// The index has confirmed that this peer is in no in-sync set of the topic.
    pub fn left(&mut self, id: TopicId) -> Vec<FollowingEffect> {
        self.topic_event(id, ReplicaEvent::Left)
    }

    /// Committed messages of this copy cannot be read.
    pub fn damaged(&mut self, id: TopicId) -> Vec<FollowingEffect> {
        self.topic_event(id, ReplicaEvent::Damaged)
    }

    /// Opens the slot of a topic again whose host had ended it.
    pub fn retry(&mut self, id: TopicId) -> Vec<FollowingEffect> {
        let mut out = Vec::new();
        let followed = self.topics.get(&id);
        if followed.is_some_and(|f| f.slot.is_none() && self.streams.contains_key(&f.host)) {
            self.open(id, &mut out);
        }
        out
    }

    /// The journal is synced through this entry: one frame of acknowledgements per host.
    pub fn synced(&mut self, durable: JournalSeq) -> Vec<FollowingEffect> {
        assert!(durable <= self.written, "what was not written is synced");
        self.durable = self.durable.max(durable);
        let mut out = Vec::new();
        for (&host, stream) in &mut self.streams {
            let acks = stream.acks.synced(durable).into_iter();
            let acks: Vec<_> = acks
                .map(|(slot, ack)| (slot, ack.end, ack.positions))
                .collect();
            if !acks.is_empty() {
                out.push(FollowingEffect::Send(host, Up::Acks(acks)));
            }
        }
        out
    }

    fn open(&mut self, id: TopicId, out: &mut Vec<FollowingEffect>) {
        let Some(followed) = self.topics.get_mut(&id) else {
            return;
        };
        let event = ReplicaEvent::Open {
            grant: followed.grant,
        };
        let effects = followed.topic.handle(self.rules, event);
        self.carry_out(id, effects, out);
    }

    fn topic_event(&mut self, id: TopicId, event: ReplicaEvent) -> Vec<FollowingEffect> {
        let mut out = Vec::new();
        if let Some(followed) = self.topics.get_mut(&id) {
            let effects = followed.topic.handle(self.rules, event);
            self.carry_out(id, effects, &mut out);
        }
        out
    }

    fn slot_topic(&self, host: PeerNo, slot: SlotNo) -> Option<TopicId> {
        self.streams.get(&host)?.slots.get(&slot).copied()
    }

    fn slot_event(
        &mut self,
        host: PeerNo,
        slot: SlotNo,
        event: ReplicaEvent,
        out: &mut Vec<FollowingEffect>,
    ) {
        // Frames of a slot that was given up still arrive for a while.
        let Some(id) = self.slot_topic(host, slot) else {
            return;
        };
        out.extend(self.topic_event(id, event));
    }

    fn carry_out(
        &mut self,
        id: TopicId,
        effects: Vec<ReplicaEffect>,
        out: &mut Vec<FollowingEffect>,
    ) {
        let Some(host) = self.topics.get(&id).map(|followed| followed.host) else {
            return;
        };
        for effect in effects {
            match effect {
                ReplicaEffect::Ask(join) => {
                    if let Some(slot) = self.new_slot(id) {
                        out.push(FollowingEffect::Send(host, Up::Join(slot, id, join)));
                    }
                }
                ReplicaEffect::Persist(epoch) => self.write(id, Entry::Known(epoch), out),
                ReplicaEffect::Truncate { to } => self.write(id, Entry::Truncate(to), out),
                ReplicaEffect::Reset { start } => self.write(id, Entry::Reset(start), out),
                ReplicaEffect::Trim { start } => self.write(id, Entry::Trim(start), out),
                ReplicaEffect::Write => self.write(id, Entry::Batch, out),
                ReplicaEffect::FetchDedupe => out.push(FollowingEffect::FetchDedupe(host, id)),
                ReplicaEffect::Ack(ack) => self.ack(id, host, ack, out),
                ReplicaEffect::Refuse(known) => {
                    if let Some(slot) = self.drop_slot(id) {
                        out.push(FollowingEffect::Send(host, Up::Leave(slot, known)));
                    }
                }
                ReplicaEffect::Reopen => {
                    let known = self.topics.get(&id).map(|f| f.topic.known());
                    if let Some((slot, known)) = self.drop_slot(id).zip(known) {
                        out.push(FollowingEffect::Send(host, Up::Leave(slot, known)));
                    }
                    self.open(id, out);
                }
                ReplicaEffect::Leave => out.push(FollowingEffect::LeaveSet(id)),
            }
        }
    }

    fn write(&mut self, id: TopicId, entry: Entry, out: &mut Vec<FollowingEffect>) {
        self.written += 1;
        out.push(FollowingEffect::Journal(self.written, id, entry));
    }

    fn ack(&mut self, id: TopicId, host: PeerNo, ack: Ack, out: &mut Vec<FollowingEffect>) {
        let slot = self.topics.get(&id).and_then(|followed| followed.slot);
        let Some((slot, stream)) = slot.zip(self.streams.get_mut(&host)) else {
            return;
        };
        let (rules, written, durable) = (self.rules, self.written, self.durable);
        if let Some(ack) = stream.acks.push(rules, written, durable, slot, ack) {
            let acks = vec![(slot, ack.end, ack.positions)];
            out.push(FollowingEffect::Send(host, Up::Acks(acks)));
        }
    }

    /// Gives the topic a new slot on its host's stream.
    fn new_slot(&mut self, id: TopicId) -> Option<SlotNo> {
        self.drop_slot(id);
        let followed = self.topics.get_mut(&id)?;
        let stream = self.streams.get_mut(&followed.host)?;
        stream.next_slot += 1;
        stream.slots.insert(stream.next_slot, id);
        followed.slot = Some(stream.next_slot);
        followed.slot
    }

    fn drop_slot(&mut self, id: TopicId) -> Option<SlotNo> {
        let followed = self.topics.get_mut(&id)?;
        let slot = followed.slot.take()?;
        let stream = self.streams.get_mut(&followed.host)?;
        stream.slots.remove(&slot);
        stream.acks.retain(|waiting| waiting != slot);
        Some(slot)
    }

    /// Answers the slot on which the host still serves it.
    fn close_slot(&mut self, followed: &mut Followed) -> Option<SlotNo> {
        followed.topic.handle(self.rules, ReplicaEvent::Closed);
        let slot = followed.slot.take()?;
        let stream = self.streams.get_mut(&followed.host)?;
        stream.slots.remove(&slot);
        stream.acks.retain(|waiting| waiting != slot);
        Some(slot)
    }
}
