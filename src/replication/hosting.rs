//! All topics that this peer hosts, and one stream to each peer that replicates some of them. Pure.
//!
//! Every call touches only the topics that it names: a group sync or an acknowledgement of a thousand
//! topics costs a thousand steps, however many topics lie still. A stream's beginning and end cost as
//! many steps as it has topics.
//!
//! Memory: a topic takes 272 bytes, 16 for each epoch in its log and 72 for each replica, beside its
//! id and slots in the tables; see the tests.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use hashbrown::HashMap;

use super::configuration::{AlterInSync, Altered, Configuration};
use super::epochs::TopicLog;
use super::host::{Ack, HostContext, HostEffect, HostEvent, HostTopic, Join, JoinAnswer};
use super::members::PeerNo;
use crate::types::{Epoch, Incarnation, MonoNs, Offset, TopicId};

/// A topic on a stream between two peers. The replica counts them up, and never uses one again on the
/// same stream, so that whatever comes late for an old slot is told from the new one's.
pub type SlotNo = u32;

/// From a replica to its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Up {
    /// Replicate this topic on this slot.
    Join(SlotNo, TopicId, Join),
    /// What is durable, per slot; once per group sync of the replica's journal.
    Acks(Vec<(SlotNo, Offset, u64)>),
    /// The replica gives the slot up; it knows this epoch.
    Leave(SlotNo, Epoch),
}

/// From a host to its replica. Batches and positions travel in between, see [`HostingEffect::Serve`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Down {
    /// The answer to a join.
    Joined(SlotNo, JoinAnswer),
    /// High watermarks and starts that have moved.
    Watermarks(Vec<(SlotNo, Offset, Offset)>),
    /// The slot is over. Ask again when the index says so, or after a pause.
    Ended(SlotNo),
}

/// Something to do for hosted topics, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostingEffect {
    /// Send a frame to a replica.
    Send(PeerNo, Down),
    /// The replica on this slot has told where it stands: send batches from there on, and the
    /// positions; it is sent what is written here.
    Serve(PeerNo, SlotNo, TopicId, Offset),
    /// Appends that end up to here are acknowledged, readers see them.
    Committed(TopicId, Offset),
    /// Position commits up to this revision are answered.
    PositionsCommitted(TopicId, u64),
    /// Send to the index.
    Propose(TopicId, AlterInSync),
    /// Take no appends, or take them again.
    Pause(TopicId, bool),
    /// Tell the index that this peer can take the topic over.
    Level(TopicId, Epoch, PeerNo),
    /// Refuse what waits; another hosts now.
    StepDown(TopicId),
}

#[derive(Debug)]
struct Slot {
    topic: TopicId,
    /// The epoch of the answer; what is acknowledged, is so under it.
    epoch: Epoch,
    /// Whether the first acknowledgement has come.
    served: bool,
}

#[derive(Debug, Default)]
struct Stream {
    incarnation: Incarnation,
    slots: HashMap<SlotNo, Slot>,
    by_topic: HashMap<TopicId, SlotNo>,
}

/// See the module.
#[derive(Debug)]
pub struct Hosting {
    context: HostContext,
    topics: HashMap<TopicId, HostTopic>,
    streams: BTreeMap<PeerNo, Stream>,
    wakes: BinaryHeap<Reverse<(MonoNs, TopicId)>>,
}

impl Hosting {
    /// Nothing is hosted yet.
    pub fn new(context: HostContext) -> Self {
        Hosting {
            context,
            topics: HashMap::new(),
            streams: BTreeMap::new(),
            wakes: BinaryHeap::new(),
        }
    }

    /// Begins to host, see [`HostTopic::begin`].
    #[allow(clippy::too_many_arguments)] // they are HostTopic::begin's
    pub fn begin(
        &mut self,
        id: TopicId,
        epoch: Epoch,
        log: TopicLog,
        known_watermark: Offset,
        record: &Configuration,
        min_in_sync: u8,
        now: MonoNs,
    ) -> Vec<HostingEffect> {
        let context = &self.context;
        let (topic, effects) = HostTopic::begin(
            context,
            epoch,
            log,
            known_watermark,
            record,
            min_in_sync,
            now,
        );
        self.topics.insert(id, topic);
        let mut out = Vec::new();
        self.carry_out(id, None, effects, &mut out);
        out
    }

    /// Hosts it no more; answers it as it was, and the ends of its slots.
    pub fn end(&mut self, id: TopicId) -> (Option<HostTopic>, Vec<HostingEffect>) {
        let peers: Vec<PeerNo> = self.streams.keys().copied().collect();
        let mut out = Vec::new();
        for peer in peers {
            self.end_slot(id, peer, &mut out);
        }
        (self.topics.remove(&id), out)
    }

    /// A hosted topic.
    pub fn topic(&self, id: TopicId) -> Option<&HostTopic> {
        self.topics.get(&id)
    }

    /// Whether a topic's appends wait for this replica.
    pub fn waits_for(&self, id: TopicId, peer: PeerNo) -> bool {
        let topic = self.topics.get(&id);
        topic.is_some_and(|topic| topic.waits_for(&self.context, peer))
    }

    /// All hosted topics, in no particular order.
    pub fn topics(&self) -> impl Iterator<Item = (&TopicId, &HostTopic)> {
        self.topics.iter()
    }

    /// Something happened to one topic.
    pub fn handle(&mut self, id: TopicId, event: HostEvent, now: MonoNs) -> Vec<HostingEffect> {
        let mut out = Vec::new();
        self.step(id, None, event, now, &mut out);
        out
    }

    /// A group is written, and about to be synced: the ends of the topics with batches in it. Before
    /// replicas are sent any of it.
    pub fn written(&mut self, ends: &[(TopicId, Offset)], now: MonoNs) -> Vec<HostingEffect> {
        let mut out = Vec::new();
        for &(id, end) in ends {
            self.step(id, None, HostEvent::Written { end }, now, &mut out);
        }
        out
    }

    /// A group is synced: the new ends of the topics in it.
    pub fn synced(&mut self, ends: &[(TopicId, Offset)], now: MonoNs) -> Vec<HostingEffect> {
        let mut out = Vec::new();
        for &(id, end) in ends {
            self.step(id, None, HostEvent::Synced { end }, now, &mut out);
        }
        gather_watermarks(out)
    }

    /// The index's word on a proposal.
    pub fn altered(&mut self, id: TopicId, answer: Altered, now: MonoNs) -> Vec<HostingEffect> {
        self.handle(id, HostEvent::Altered(answer), now)
    }

    /// A peer's stream stands.
    pub fn opened(&mut self, peer: PeerNo, incarnation: Incarnation, now: MonoNs) {
        self.closed(peer, now);
        let stream = Stream {
            incarnation,
            ..Stream::default()
        };
        self.streams.insert(peer, stream);
    }

    /// A peer's stream broke.
    pub fn closed(&mut self, peer: PeerNo, now: MonoNs) -> Vec<HostingEffect> {
        let mut out = Vec::new();
        let Some(stream) = self.streams.remove(&peer) else {
            return out;
        };
        let slots = stream.slots.into_values();
        let mut topics: Vec<TopicId> = slots.map(|slot| slot.topic).collect();
        // Ordered, for replay.
        topics.sort_unstable();
        for topic in topics {
            self.step(topic, None, HostEvent::Gone(peer), now, &mut out);
        }
        out
    }

    /// A frame of a replica.
    pub fn frame(&mut self, peer: PeerNo, frame: Up, now: MonoNs) -> Vec<HostingEffect> {
        let mut out = Vec::new();
        match frame {
            Up::Join(slot, topic, join) => self.join(peer, slot, topic, join, now, &mut out),
            Up::Acks(acks) => {
                for (slot, end, positions) in acks {
                    self.ack(peer, slot, end, positions, now, &mut out);
                }
            }
            Up::Leave(slot, known) => {
                if let Some(id) = self.forget_slot(peer, slot) {
                    out.push(HostingEffect::Send(peer, Down::Ended(slot)));
                    self.step(id, None, HostEvent::Gone(peer), now, &mut out);
                    self.step(id, None, HostEvent::Fenced(peer, known), now, &mut out);
                }
            }
        }
        gather_watermarks(out)
    }

    /// When [`Hosting::wake`] is due.
    pub fn wake_at(&self) -> Option<MonoNs> {
        self.wakes.peek().map(|Reverse((due, _))| *due)
    }

    /// Looks at the topics whose replicas' patience is over by now.
    pub fn wake(&mut self, now: MonoNs) -> Vec<HostingEffect> {
        let mut out = Vec::new();
        while let Some(Reverse((due, id))) = self.wakes.peek().copied() {
            if due > now {
                break;
            }
            self.wakes.pop();
            self.step(id, None, HostEvent::Wake, now, &mut out);
        }
        gather_watermarks(out)
    }

    fn join(
        &mut self,
        peer: PeerNo,
        slot: SlotNo,
        id: TopicId,
        join: Join,
        now: MonoNs,
        out: &mut Vec<HostingEffect>,
    ) {
        let Some(stream) = self.streams.get_mut(&peer) else {
            return;
        };
        let incarnation = stream.incarnation;
        let Some(topic) = self.topics.get(&id) else {
            out.push(HostingEffect::Send(peer, Down::Ended(slot)));
            return;
        };
        // Asking again, on the same or another slot, takes the place of the first.
        if let Some(old) = stream.by_topic.insert(id, slot) {
            stream.slots.remove(&old);
            out.push(HostingEffect::Send(peer, Down::Ended(old)));
        }
        let opened = Slot {
            topic: id,
            epoch: topic.epoch(),
            served: false,
        };
        stream.slots.insert(slot, opened);
        let event = HostEvent::Join(peer, incarnation, join);
        self.step(id, Some((peer, slot)), event, now, out);
    }

    fn ack(
        &mut self,
        peer: PeerNo,
        slot: SlotNo,
        end: Offset,
        positions: u64,
        now: MonoNs,
        out: &mut Vec<HostingEffect>,
    ) {
        let Some(stream) = self.streams.get_mut(&peer) else {
            return;
        };
        let Some(joined) = stream.slots.get_mut(&slot) else {
            return;
        };
        let (id, epoch) = (joined.topic, joined.epoch);
        if !std::mem::replace(&mut joined.served, true) {
            out.push(HostingEffect::Serve(peer, slot, id, end));
        }
        let ack = Ack {
            epoch,
            end,
            positions,
        };
        let event = HostEvent::Acked(peer, stream.incarnation, ack);
        self.step(id, None, event, now, out);
    }

    fn step(
        &mut self,
        id: TopicId,
        asker: Option<(PeerNo, SlotNo)>,
        event: HostEvent,
        now: MonoNs,
        out: &mut Vec<HostingEffect>,
    ) {
        if let Some(topic) = self.topics.get_mut(&id) {
            let effects = topic.handle(&self.context, event, now);
            self.carry_out(id, asker, effects, out);
        }
    }

    fn carry_out(
        &mut self,
        id: TopicId,
        asker: Option<(PeerNo, SlotNo)>,
        effects: Vec<HostEffect>,
        out: &mut Vec<HostingEffect>,
    ) {
        for effect in effects {
            match effect {
                HostEffect::Answer(peer, answer) => {
                    let slot = asker.filter(|(asking, _)| *asking == peer);
                    let joined = slot.map(|(_, slot)| Down::Joined(slot, answer));
                    out.extend(joined.map(|frame| HostingEffect::Send(peer, frame)));
                }
                HostEffect::Refuse(peer) => self.end_slot(id, peer, out),
                HostEffect::HighWatermark(end) => {
                    out.push(HostingEffect::Committed(id, end));
                    self.tell_watermark(id, end, out);
                }
                HostEffect::PositionsCommitted(revision) => {
                    out.push(HostingEffect::PositionsCommitted(id, revision));
                }
                HostEffect::Propose(proposal) => out.push(HostingEffect::Propose(id, proposal)),
                HostEffect::WakeAt(due) => self.wakes.push(Reverse((due, id))),
                HostEffect::Pause(paused) => out.push(HostingEffect::Pause(id, paused)),
                HostEffect::Level(to) => {
                    let epoch = self.topics.get(&id).map(HostTopic::epoch);
                    out.extend(epoch.map(|epoch| HostingEffect::Level(id, epoch, to)));
                }
                HostEffect::StepDown => out.push(HostingEffect::StepDown(id)),
            }
        }
    }

    fn tell_watermark(&self, id: TopicId, end: Offset, out: &mut Vec<HostingEffect>) {
        let start = self
            .topics
            .get(&id)
            .map_or(end, |topic| topic.log().start());
        for (&peer, stream) in &self.streams {
            let Some(&slot) = stream.by_topic.get(&id) else {
                continue;
            };
            if stream.slots.get(&slot).is_some_and(|slot| slot.served) {
                let frame = Down::Watermarks(vec![(slot, end, start)]);
                out.push(HostingEffect::Send(peer, frame));
            }
        }
    }

    fn end_slot(&mut self, id: TopicId, peer: PeerNo, out: &mut Vec<HostingEffect>) {
        let stream = self.streams.get(&peer);
        let slot = stream.and_then(|stream| stream.by_topic.get(&id).copied());
        if let Some(slot) = slot {
            self.forget_slot(peer, slot);
            out.push(HostingEffect::Send(peer, Down::Ended(slot)));
        }
    }

    fn forget_slot(&mut self, peer: PeerNo, slot: SlotNo) -> Option<TopicId> {
        let stream = self.streams.get_mut(&peer)?;
        let id = stream.slots.remove(&slot)?.topic;
        if stream.by_topic.get(&id) == Some(&slot) {
            stream.by_topic.remove(&id);
        }
        Some(id)
    }
}

/// All watermarks for a peer in one frame, at the place of the last: the many topics of a group sync
/// or of an acknowledgement must not become as many frames.
fn gather_watermarks(effects: Vec<HostingEffect>) -> Vec<HostingEffect> {
    let mut gathered: BTreeMap<PeerNo, Vec<(SlotNo, Offset, Offset)>> = BTreeMap::new();
    let mut out = Vec::with_capacity(effects.len());
    for effect in effects {
        match effect {
            HostingEffect::Send(peer, Down::Watermarks(moved)) => {
                gathered.entry(peer).or_default().extend(moved);
            }
            other => out.push(other),
        }
    }
    let frames = gathered.into_iter();
    out.extend(frames.map(|(peer, moved)| HostingEffect::Send(peer, Down::Watermarks(moved))));
    out
}
