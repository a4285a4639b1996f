//! The stream of a replica, at its host: joins and acknowledgements up; answers, batches, positions and
//! watermarks down.
//!
//! A replica is sent all that is written here, synced or not, committed or not: it is by its having it
//! that it becomes committed, and it syncs while this peer does. What is durable is read from the
//! journal, the group that is being synced from memory. Reading and writing go on beside each other, so
//! that a replica that takes its time with batches is still heard.
//!
//! Replicas that appends do not wait for share a rate ([`super::pace`]), so that copying large topics leaves
//! room for what is published; those that appends wait for are never held up by it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};

use super::frames::{self, FromReplica};
use super::hosted::{Hosted, More};
use super::stream::{Outbox, ReplicaStream, Unsent};
use super::{Replication, hosted};
use crate::clock;
use crate::journal::{Journal, PositionKey};
use crate::limits;
use crate::peer::host::{Caller, Host, journal_stopped};
use crate::peer::read;
use crate::peer::tips::Watcher;
use crate::replication::hosting::{Down, SlotNo, Up};
use crate::replication::members::PeerNo;
use crate::transport::{CallError, FrameReceiver, FrameSender};
use crate::types::{Epoch, MonoNs, Offset, TopicId};
use crate::wire::peer::replication::{
    DedupeTable, FetchDedupe, Positions, Replicate, ReplicateOpened, ReplicatedPosition,
    ReplicatedRange,
};
use crate::wire::{ErrorCode, ErrorReply};

/// Serves a replica until its stream ends or another of the same replica takes its place.
pub(in crate::peer) async fn serve(
    host: &Host,
    caller: &Caller,
    request: &Replicate,
    sender: &mut FrameSender,
    receiver: &mut FrameReceiver,
) {
    let replication = &*host.replication;
    replication.peers.named(caller.fingerprint, &caller.name);
    let peer = replication.peers.number(caller.fingerprint);
    let opened = Opened {
        replication,
        peer,
        stream: replication.stream_opened(peer, request.incarnation),
    };
    tracing::info!(replica = %caller.name, "a replica's stream stands");
    let sending = Sending {
        host,
        opened: &opened,
        watcher: Arc::new(Watcher::default()),
        slots: HashMap::new(),
        ready: VecDeque::new(),
        held_up: Vec::new(),
        look_at: MonoNs::default(),
        queued: HashSet::new(),
        watermarks: HashMap::new(),
        has_timer: false,
    };
    receiver.set_max(limits::METADATA_REQUEST_BYTES);
    let ended = tokio::select! {
        ended = receive(&opened, receiver) => ended,
        ended = sending.run(sender) => ended,
    };
    match ended {
        Ok(()) => tracing::info!(replica = %caller.name, "a replica's stream ended"),
        Err(error) => tracing::info!(replica = %caller.name, %error, "a replica's stream ended"),
    }
}

/// A stream that the machine knows; it is told of its end in any case.
struct Opened<'a> {
    replication: &'a Replication,
    peer: PeerNo,
    stream: Arc<ReplicaStream>,
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.replication.stream_closed(self.peer, &self.stream);
    }
}

// ---- what comes ----

async fn receive(opened: &Opened<'_>, receiver: &mut FrameReceiver) -> Result<(), CallError> {
    loop {
        // A replica that asks and does not read is not heard before it does.
        opened.stream.has_room().await;
        let Some(frame) = receiver.next().await? else {
            return Ok(());
        };
        let stream = &opened.stream;
        let up = match frames::read_up(&frame)? {
            FromReplica::Up(up) => {
                if let Up::Join(slot, ..) = up {
                    stream.joined(slot);
                }
                up
            }
            FromReplica::Ends(ends) => stream.ends(ends),
            FromReplica::Revisions(revisions) => stream.revisions(revisions),
        };
        opened.replication.stream_frame(opened.peer, stream, up);
    }
}

// ---- what goes ----

struct Slot {
    topic: TopicId,
    /// `None`: the role under which it was joined is over, and so is the slot soon.
    hosted: Option<Arc<Hosted>>,
    next: Offset,
}

impl Slot {
    /// Where its next batches are.
    fn more(&self) -> More {
        let hosted = self.hosted.as_ref();
        hosted.map_or(More::InJournal, |hosted| {
            hosted.more(self.next, limits::DATA_FRAME_BYTES)
        })
    }

    /// Whether there is more to send than what ends here.
    fn has_beyond(&self, end: Offset) -> bool {
        self.next < end
            || self
                .hosted
                .as_ref()
                .is_some_and(|h| self.next < h.written())
    }
}

struct Sending<'a> {
    host: &'a Host,
    opened: &'a Opened<'a>,
    watcher: Arc<Watcher>,
    slots: HashMap<SlotNo, Slot>,
    /// Slots that may have batches to send, each once, in turn.
    ready: VecDeque<SlotNo>,
    /// Slots whose turn it was, but not yet by the pace.
    held_up: Vec<SlotNo>,
    /// When those that are held up are looked at again, whatever happens until then.
    look_at: MonoNs,
    queued: HashSet<SlotNo>,
    /// Watermarks, with starts, that go with what is sent next.
    watermarks: HashMap<SlotNo, (Offset, Offset)>,
    /// They go by themselves when it elapses.
    has_timer: bool,
}

impl Sending<'_> {
    async fn run(mut self, sender: &mut FrameSender) -> Result<(), CallError> {
        sender.send(&ReplicateOpened {}).await?;
        let watcher = Arc::clone(&self.watcher);
        // Set when it is needed and has elapsed, for setting it is dear: seldom beside traffic.
        let mut timer = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            if !self.watermarks.is_empty() && !self.has_timer {
                timer.set(tokio::time::sleep(limits::WATERMARK_WAIT));
                self.has_timer = true;
            }
            if !self.held_up.is_empty() && self.look_at <= clock::mono_now() {
                self.ready.extend(self.held_up.drain(..));
            }
            tokio::select! {
                biased;
                outbox = self.opened.stream.wait() => match outbox {
                    Some(outbox) => self.send(outbox, sender).await?,
                    None => return Ok(()),
                },
                moved = watcher.wait() => moved.into_iter().for_each(|slot| self.push(slot)),
                () = std::future::ready(()), if !self.ready.is_empty() => {
                    self.serve_next(sender).await?;
                }
                () = self.pause(), if !self.held_up.is_empty() => {}
                () = &mut timer, if self.has_timer => {
                    self.has_timer = false;
                    self.buffer_watermarks(sender);
                    sender.flush().await?;
                }
            }
        }
    }

    /// Until the pace allows more; or, for that comes first where it does, until a replica that is held
    /// up may be one that appends wait for by now.
    async fn pause(&self) {
        tokio::time::sleep(self.look_at.since(clock::mono_now())).await;
    }

    /// The pace does not allow the slot's batches.
    fn hold_up(&mut self, slot: SlotNo) {
        if self.held_up.is_empty() {
            let now = clock::mono_now();
            let wait = self.opened.replication.pace.lock().wait(now);
            self.look_at = now.plus(wait.min(limits::REPAIR_LOOK));
        }
        self.held_up.push(slot);
    }

    /// Whether the replica may be sent a topic's batches now; and whether that counts.
    fn may_send(&self, topic: TopicId) -> (bool, bool) {
        let replication = self.opened.replication;
        if replication.waits_for(topic, self.opened.peer) {
            return (true, false);
        }
        (self.pace_allows(), true)
    }

    fn pace_allows(&self) -> bool {
        let pace = &self.opened.replication.pace;
        pace.lock().wait(clock::mono_now()).is_zero()
    }

    fn push(&mut self, slot: SlotNo) {
        if self.slots.contains_key(&slot) && self.queued.insert(slot) {
            self.ready.push_back(slot);
        }
    }

    async fn send(&mut self, outbox: Outbox, sender: &mut FrameSender) -> Result<(), CallError> {
        for frame in outbox.frames {
            if let Down::Ended(slot) = frame {
                self.forget(slot);
            }
            frames::buffer_down(sender, frame, ended);
        }
        for serve in outbox.serve {
            let watches = &self.opened.replication.replica_tips;
            watches.watch(serve.topic, &self.watcher, serve.slot);
            let hosted = self.opened.replication.hosted(serve.topic);
            let slot = Slot {
                topic: serve.topic,
                hosted: hosted.filter(|hosted| hosted.epoch == serve.epoch),
                next: serve.from,
            };
            self.slots.insert(serve.slot, slot);
            self.push(serve.slot);
        }
        for (slot, (topic, unsent)) in outbox.positions {
            if self.slots.contains_key(&slot) {
                buffer_positions(&self.host.journal, slot, topic, unsent, sender);
            }
        }
        self.watermarks.extend(outbox.watermarks);
        if sender.buffered() > 0 {
            self.buffer_watermarks(sender);
        }
        sender.flush().await
    }

    fn buffer_watermarks(&mut self, sender: &mut FrameSender) {
        if self.watermarks.is_empty() {
            return;
        }
        let moved = self.watermarks.drain();
        let moved = moved
            .map(|(slot, (end, start))| (slot, end, start))
            .collect();
        frames::buffer_down(sender, Down::Watermarks(moved), ended);
    }

    fn forget(&mut self, slot: SlotNo) {
        self.watermarks.remove(&slot);
        if let Some(Slot { topic, .. }) = self.slots.remove(&slot) {
            self.opened.stream.forget(topic, slot);
            let watches = &self.opened.replication.replica_tips;
            watches.unwatch(topic, &self.watcher, slot);
        }
    }

    /// Sends one frame's worth of the slot whose turn it is, and queues it again if there is more.
    async fn serve_next(&mut self, sender: &mut FrameSender) -> Result<(), CallError> {
        // However much there is to send to copies that are in sync, the others have their turn.
        if !self.held_up.is_empty() && self.pace_allows() {
            self.ready.extend(self.held_up.drain(..));
        }
        let Some(id) = self.ready.pop_front() else {
            return Ok(());
        };
        let Some(topic) = self.slots.get(&id).map(|slot| slot.topic) else {
            self.queued.remove(&id);
            return Ok(());
        };
        let (now, counts) = self.may_send(topic);
        if !now {
            self.hold_up(id);
            return Ok(());
        }
        self.queued.remove(&id);
        let Some(slot) = self.slots.get_mut(&id) else {
            return Ok(());
        };
        let read = match slot.more() {
            More::Nothing => return Ok(()),
            More::InMemory(slice) => Ok(slice),
            More::InJournal => {
                let wanted = limits::DATA_FRAME_BYTES;
                read::slice(&self.host.journal, slot.topic, slot.next, wanted).await
            }
        };
        match read {
            Ok(slice) if slice.batches.is_empty() => Ok(()),
            Ok(slice) => {
                slot.next = slice.next;
                if counts {
                    let bytes = slice.batches.iter().map(|batch| batch.len()).sum();
                    let pace = &self.opened.replication.pace;
                    pace.lock().sent(bytes, clock::mono_now());
                }
                if slot.has_beyond(slice.end) {
                    self.push(id);
                }
                self.buffer_watermarks(sender);
                read::send_slice(sender, id, &slice).await
            }
            // Retention was faster, or the batches are damaged: the replica joins again, and finds what
            // is there.
            Err(error) => {
                tracing::warn!(topic = %slot.topic, %error, "cannot send a topic to its replica");
                if error.code() == ErrorCode::Damaged {
                    self.host.replication.damaged(slot.topic);
                }
                let given_up = Up::Leave(id, Epoch::default());
                let opened = self.opened;
                opened
                    .replication
                    .stream_frame(opened.peer, &opened.stream, given_up);
                self.forget(id);
                frames::buffer_down(sender, Down::Ended(id), || error);
                sender.flush().await
            }
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let watches = &self.opened.replication.replica_tips;
        for (&id, slot) in &self.slots {
            watches.unwatch(slot.topic, &self.watcher, id);
        }
    }
}

fn ended() -> ErrorReply {
    ErrorReply::new(
        ErrorCode::NotHost,
        "this peer does not host the topic for this replica",
    )
}

fn buffer_positions(
    journal: &Journal,
    slot: SlotNo,
    topic: TopicId,
    unsent: Unsent,
    sender: &mut FrameSender,
) {
    let positions: Vec<ReplicatedPosition> = match unsent.keys {
        None => journal
            .positions(topic)
            .into_iter()
            .map(replicated)
            .collect(),
        Some(keys) => keys
            .into_iter()
            .filter_map(|key| Some((journal.position(topic, &key)?, key)))
            .map(|(position, key)| replicated((key, position)))
            .collect(),
    };
    let mut parts = positions.chunks(limits::POSITIONS_PER_FRAME).peekable();
    if parts.peek().is_none() {
        sender.buffer(&Positions {
            slot,
            revision: unsent.revision,
            more: false,
            positions: vec![],
        });
    }
    while let Some(part) = parts.next() {
        sender.buffer(&Positions {
            slot,
            revision: unsent.revision,
            more: parts.peek().is_some(),
            positions: part.to_vec(),
        });
    }
}

fn replicated((key, position): (PositionKey, crate::journal::Position)) -> ReplicatedPosition {
    ReplicatedPosition {
        subscriber: key.subscriber,
        group: key.group,
        next: position.next,
        sequence: position.sequence,
    }
}

/// Answers what is remembered of a topic's producers below an offset.
pub(in crate::peer) async fn fetch_dedupe(
    host: &Host,
    request: &FetchDedupe,
    sender: &mut FrameSender,
) -> Result<(), CallError> {
    let hosts = host.replication.hosted_epoch(request.topic);
    if hosts != Some(request.epoch) {
        return sender
            .send(&hosted::stale(request.topic, request.epoch))
            .await;
    }
    let (journal, topic, below) = (host.journal.clone(), request.topic, request.below);
    // It waits for a sync of the journal, which the other streams must not.
    let table = tokio::task::spawn_blocking(move || journal.dedupe_below(topic, below));
    let Ok(table) = table.await else {
        return sender.send(&journal_stopped()).await;
    };
    let ranges: Vec<ReplicatedRange> = table
        .into_iter()
        .map(|(producer, range)| ReplicatedRange {
            producer,
            sequence: range.sequence,
            offset: range.offset,
            count: range.count,
        })
        .collect();
    let mut parts = ranges.chunks(limits::RANGES_PER_FRAME).peekable();
    if parts.peek().is_none() {
        let nothing = DedupeTable {
            ranges: vec![],
            more: false,
        };
        return sender.send(&nothing).await;
    }
    while let Some(part) = parts.next() {
        let table = DedupeTable {
            ranges: part.to_vec(),
            more: parts.peek().is_some(),
        };
        sender.send(&table).await?;
    }
    Ok(())
}
