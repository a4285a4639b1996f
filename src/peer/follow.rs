//! Follow: one stream per (subscriber, host) that carries any number of topics in slots.
//!
//! Each slot has credit in bytes; a slot without credit waits without costing anything. Followers at
//! the tip read from the journal's tail cache. Slots take turns, one Data frame each.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::host::{Caller, Host};
use super::read;
use super::tips::Watcher;
use super::traffic::Direction;
use crate::limits;
use crate::transport::{CallError, FrameReceiver, FrameSender};
use crate::types::{Offset, TopicId};
use crate::wire::peer::{Ack, Add, Added, Credit, FollowOpened, Remove, SlotEnded};
use crate::wire::{DecodeError, ErrorCode, ErrorReply, Frame, Message};

/// Serves a follow stream until the caller ends it or the connection is gone.
pub(super) async fn serve(
    host: &Host,
    caller: &Caller,
    sender: &mut FrameSender,
    receiver: &mut FrameReceiver,
) {
    receiver.set_max(limits::METADATA_REQUEST_BYTES);
    let mut stream = FollowStream {
        host,
        caller,
        watcher: Arc::new(Watcher::default()),
        slots: HashMap::new(),
        topics: HashSet::new(),
        ready: Ready::default(),
    };
    if let Err(error) = stream.run(sender, receiver).await {
        tracing::debug!(peer = %caller.name, %error, "follow stream ended");
    }
}

/// One followed topic.
struct Slot {
    topic: TopicId,
    next: Offset,
    credit: u64,
}

/// Slots that may have something to send, each once, in turn.
#[derive(Default)]
struct Ready {
    queue: VecDeque<u32>,
    queued: HashSet<u32>,
}

impl Ready {
    fn push(&mut self, slot: u32) {
        if self.queued.insert(slot) {
            self.queue.push_back(slot);
        }
    }

    fn pop(&mut self) -> Option<u32> {
        let slot = self.queue.pop_front()?;
        self.queued.remove(&slot);
        Some(slot)
    }
}

struct FollowStream<'a> {
    host: &'a Host,
    caller: &'a Caller,
    watcher: Arc<Watcher>,
    slots: HashMap<u32, Slot>,
    /// The topics of all slots.
    topics: HashSet<TopicId>,
    ready: Ready,
}

impl FollowStream<'_> {
    async fn run(
        &mut self,
        sender: &mut FrameSender,
        receiver: &mut FrameReceiver,
    ) -> Result<(), CallError> {
        sender.send(&FollowOpened {}).await?;
        let watcher = Arc::clone(&self.watcher);
        loop {
            // Frames of the caller first: a Remove or a Credit changes what is sent next.
            tokio::select! {
                biased;
                frame = receiver.next() => match frame? {
                    Some(frame) => self.handle(&frame, sender).await?,
                    None => return Ok(()),
                },
                moved = watcher.wait() => moved.into_iter().for_each(|slot| self.ready.push(slot)),
                () = std::future::ready(()), if !self.ready.queue.is_empty() => {
                    self.serve_next(sender).await?;
                }
            }
        }
    }

    async fn handle(&mut self, frame: &Frame, sender: &mut FrameSender) -> Result<(), CallError> {
        match frame.kind {
            Add::KIND => {
                let add: Add = frame.decode()?;
                let slot = add.slot;
                match self.add(add) {
                    Ok(added) => sender.send(&added).await?,
                    Err(error) => sender.send(&SlotEnded { slot, error }).await?,
                }
            }
            Remove::KIND => self.remove(frame.decode::<Remove>()?.slot),
            Credit::KIND => {
                let Credit { slot, bytes } = frame.decode()?;
                if let Some(state) = self.slots.get_mut(&slot) {
                    state.credit = state.credit.saturating_add(bytes);
                    self.ready.push(slot);
                }
            }
            // What replicas will use; a plain follower's acknowledgement changes nothing here.
            Ack::KIND => drop(frame.decode::<Ack>()?),
            found => {
                return Err(CallError::Decode(DecodeError::UnknownKind {
                    found,
                    expected: "a frame of a follow stream",
                }));
            }
        }
        Ok(())
    }

    fn add(&mut self, add: Add) -> Result<Added, ErrorReply> {
        if self.slots.contains_key(&add.slot) {
            return Err(ErrorReply::new(
                ErrorCode::Malformed,
                format!("slot {} is in use on this stream", add.slot),
            ));
        }
        // Or one stream could make each commit of a topic wake a million slots.
        if self.topics.contains(&add.topic) {
            return Err(ErrorReply::new(
                ErrorCode::Malformed,
                format!("topic {} is followed on this stream already", add.topic),
            ));
        }
        if self.slots.len() >= limits::SLOTS_PER_STREAM {
            return Err(ErrorReply::new(
                ErrorCode::QuotaExceeded,
                format!(
                    "a follow stream has at most {} slots",
                    limits::SLOTS_PER_STREAM
                ),
            ));
        }
        let topic = self.host.topic(add.topic)?;
        read::continues(self.host, &topic, &add.from, add.after)?;
        let from = read::resolve(self.host, self.caller, &topic, &add.from)?;
        self.host.tips.watch(topic.id, &self.watcher, add.slot);
        let slot = Slot {
            topic: topic.id,
            next: from,
            credit: add.credit,
        };
        self.slots.insert(add.slot, slot);
        self.topics.insert(topic.id);
        self.ready.push(add.slot);
        Ok(Added {
            slot: add.slot,
            from,
            start: topic.start,
            end: topic.end,
            position: read::position(self.host, self.caller, topic.id, &add.group),
        })
    }

    fn remove(&mut self, slot: u32) {
        if let Some(state) = self.slots.remove(&slot) {
            self.topics.remove(&state.topic);
            self.host.tips.unwatch(state.topic, &self.watcher, slot);
        }
    }

    /// Sends one frame's worth of the slot whose turn it is, and queues it again if there may be
    /// more.
    async fn serve_next(&mut self, sender: &mut FrameSender) -> Result<(), CallError> {
        let Some((id, slot)) = self
            .ready
            .pop()
            .and_then(|id| self.slots.get_mut(&id).map(|slot| (id, slot)))
        else {
            return Ok(());
        };
        if slot.credit == 0 {
            return Ok(());
        }
        let wanted = usize::try_from(slot.credit).unwrap_or(usize::MAX);
        let wanted = wanted.min(limits::DATA_FRAME_BYTES);
        match read::visible(self.host, slot.topic, slot.next, wanted).await {
            Ok(slice) if slice.batches.is_empty() => Ok(()),
            Ok(slice) => {
                let bytes: usize = slice.batches.iter().map(bytes::Bytes::len).sum();
                // A batch larger than the credit is sent all the same, or it never would be.
                slot.credit = slot.credit.saturating_sub(bytes as u64);
                let first = slot.next;
                slot.next = slice.next;
                if slice.next < slice.end {
                    self.ready.push(id);
                }
                read::send_slice(sender, id, &slice).await?;
                self.record(id, first, &slice);
                Ok(())
            }
            Err(error) => {
                self.remove(id);
                sender.send(&SlotEnded { slot: id, error }).await
            }
        }
    }

    fn record(&self, slot: u32, first: Offset, slice: &crate::journal::Slice) {
        let topic = self
            .slots
            .get(&slot)
            .and_then(|s| self.host.journal.topic(s.topic));
        if let Some(topic) = topic {
            let count = read::messages_from(&slice.batches, first);
            let direction = Direction::Retrieved;
            self.host
                .record_traffic(direction, self.caller, &topic, first, count);
        }
    }
}

impl Drop for FollowStream<'_> {
    fn drop(&mut self) {
        for (&id, slot) in &self.slots {
            self.host.tips.unwatch(slot.topic, &self.watcher, id);
        }
    }
}
