//! The writer: takes all that is queued, decides, tells who sends it on, writes it as one group and
//! syncs it, tells the view, and answers.
//!
//! It has a thread, and whoever deferred a command may do its work instead (`queue`); who does holds its lock.
//!
//! The order within [`Writer::commit`] is the contract of the journal: decide, send, write, sync, make
//! visible, notify, answer. A write or sync that fails ends the writer: nothing of the group is
//! acknowledged, and nothing ever after.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use parking_lot::{ArcMutexGuard, Mutex, RawMutex};

use super::command::{Command, Completions, Done, Outcome, Refusal};
use super::error::FatalError;
use super::group::{Group, SealedGroup, Tail};
use super::keeper::Task;
use super::layout::entry_bytes;
use super::queue::{Deferred, Item, Taken};
use super::record::Record;
use super::space::{Prepared, Room, SMALL_ENTRY_BYTES};
use super::table::{Decision, HostedTopic, KeptTopic, Table};
use super::usual::Usual;
use super::view::Effect;
use super::written::WrittenGroup;
use super::{Hooks, Shared};
use crate::clock;
use crate::limits;
use crate::types::{MonoNs, Offset, TopicId};

/// Bytes that a trim takes, which an append may bring about.
const TRIM_ENTRY_BYTES: u64 = 56;

/// Bytes that a run of a producer's sequences takes, see `record`.
const RANGE_BYTES: u64 = 40;

/// See the module.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) hooks: Hooks,
    pub(super) active: Prepared,
    /// Where the log ends.
    pub(super) tail: Tail,
    /// The last group written.
    pub(super) group: u64,
    /// The last entry is no marker.
    pub(super) needs_marker: bool,
    pub(super) keeper: SyncSender<Task>,
    /// When messages were last looked at for their age.
    pub(super) aged_at: MonoNs,
    /// When the last group was begun.
    pub(super) committed_at: MonoNs,
    pub(super) usual: Usual,
    /// A group that waits to be written until its submitter's thread has sent it on.
    pub(super) begun: Option<Begun>,
    /// A group is under way, or one has failed, be it by a panic.
    pub(super) broken: bool,
}

/// The table, for longer than a borrow.
type TableGuard = ArcMutexGuard<RawMutex, Table>;

/// A group that is decided and laid out, and not written yet.
pub(super) struct Begun {
    /// `None`: nothing came of its commands that is written.
    group: Option<SealedGroup>,
    /// Held until the group is synced: nobody else sees decisions that are not durable.
    table: TableGuard,
    answers: Vec<(Done, Outcome)>,
    commands: usize,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun")
            .field("group", &self.group)
            .field("commands", &self.commands)
            .finish_non_exhaustive()
    }
}

/// The writer's thread.
pub(super) fn run(writer: &Mutex<Writer>, shared: &Shared) {
    // Also when the thread panics: nobody must wait for ever.
    let _ended = Ended { shared };
    let (mut timeout, mut patrols) = (limits::JOURNAL_TICK, false);
    loop {
        let turn = match shared.queue.wait(timeout, patrols) {
            true => writer.lock().turn(),
            // Whoever holds it is at work, so that nothing is due.
            false => match writer.try_lock() {
                Some(mut writer) => writer.turn(),
                None => continue,
            },
        };
        match turn {
            Turn::Wait(next, patrol) => (timeout, patrols) = (next, patrol),
            Turn::End => return,
        }
    }
}

/// What comes after the writer has done what was due.
enum Turn {
    /// For so long at most, and whether to patrol meanwhile.
    Wait(Duration, bool),
    End,
}

impl Writer {
    /// Does what is due: commits what is queued, or what quiet times are for.
    fn turn(&mut self) -> Turn {
        if self.broken {
            return Turn::End;
        }
        match self.serve() {
            Ok(turn) => turn,
            Err(error) => {
                self.die(error);
                Turn::End
            }
        }
    }

    fn serve(&mut self) -> Result<Turn, FatalError> {
        self.finish_begun()?;
        match self.shared.queue.take(self.shared.options.group_bytes) {
            Taken::Items(items) => self.commit(items)?,
            Taken::Idle => {
                if let Some(error) = self.shared.space.failure() {
                    return Err(error);
                }
                if self.needs_marker && self.idle() >= limits::MARKER_IDLE {
                    self.mark(false)?;
                }
            }
            Taken::Closed => {
                self.mark(true)?;
                return Ok(Turn::End);
            }
        }
        self.trim_aged()?;
        if !self.needs_marker {
            return Ok(Turn::Wait(limits::JOURNAL_TICK, false));
        }
        let idle = self.idle();
        let until_marker = limits::MARKER_IDLE.saturating_sub(idle);
        Ok(Turn::Wait(until_marker, idle < limits::DEFERRED_PATROL))
    }

    /// How long ago the last group was begun.
    fn idle(&self) -> Duration {
        clock::mono_now().since(self.committed_at)
    }

    /// Commits commands that their submitter deferred, on its thread, unless the writer's own had better;
    /// whether that was done.
    ///
    /// Where the group is sent on, by tasks of that very thread, it is only begun: what they send is under way
    /// before the thread blocks for the write, with the next call.
    pub(super) fn commit_deferred(&mut self, deferred: Deferred) -> bool {
        if self.broken {
            return false;
        }
        let result = match self.begun.is_some() {
            true => self.finish_begun(),
            false if !self.submitter_commits(deferred) => return false,
            false => self.begin_deferred(),
        };
        if let Err(error) = result {
            self.die(error);
        }
        true
    }

    fn submitter_commits(&self, deferred: Deferred) -> bool {
        // Costs count more than what a command takes in the log.
        let ready = self.shared.space.is_ready(deferred.cost);
        ready && self.usual.submitter_commits(deferred.commands)
    }

    fn begin_deferred(&mut self) -> Result<(), FatalError> {
        let Taken::Items(items) = self.shared.queue.take(limits::DEFERRED_BYTES) else {
            return Ok(());
        };
        let begun = self.decide_all(items)?;
        if !self.tell(&begun) {
            return self.finish(begun);
        }
        self.begun = Some(begun);
        self.shared.group_begun.store(true, Ordering::Release);
        self.broken = false;
        Ok(())
    }

    /// Writes the group that was begun and left, if there is one.
    fn finish_begun(&mut self) -> Result<(), FatalError> {
        let Some(begun) = self.begun.take() else {
            return Ok(());
        };
        self.broken = true;
        self.shared.group_begun.store(false, Ordering::Release);
        self.finish(begun)
    }

    /// The end after a failure. Whoever waits is answered by the thread, which ends.
    fn die(&mut self, error: FatalError) {
        self.broken = true;
        tracing::error!(%error, source = %error.source, "the journal has stopped");
        let shared = &self.shared;
        shared.queue.close();
        (self.hooks.on_fatal)(&error);
        shared.space.stop();
    }

    /// A group to be laid, and the table that it is decided by.
    fn begin(&mut self, room: Room, bytes: u64) -> (Group, TableGuard) {
        if room.roll
            && let Some(next) = self.shared.space.roll()
        {
            self.roll(next);
        }
        let bytes = bytes.min(room.all) as usize;
        let group = Group::begin(self.group + 1, &self.active, &mut self.tail, bytes);
        let table = self.shared.table.lock_arc();
        self.shared.table_ahead.store(true, Ordering::Release);
        (group, table)
    }

    fn roll(&mut self, next: Prepared) {
        let sealed = {
            let mut view = self.shared.view.write();
            view.active_from_group = self.group;
            view.roll(next.sequence, next.generation)
        };
        self.active = next;
        self.tail.begin_segment();
        self.shared
            .counters
            .segments_sealed
            .fetch_add(1, Ordering::Relaxed);
        // Waits while too many sealed segments hold their index in memory. If the keeper has gone,
        // the index stays in memory and is made anew at the next start.
        let _ = self.keeper.send(Task::Sealed(sealed));
    }

    fn commit(&mut self, items: Vec<Item>) -> Result<(), FatalError> {
        let begun = self.decide_all(items)?;
        self.tell(&begun);
        self.finish(begun)
    }

    /// Decides commands, one after the other, and lays the group out.
    fn decide_all(&mut self, items: Vec<Item>) -> Result<Begun, FatalError> {
        self.broken = true;
        let bytes = items.iter().map(|item| entry_bound(&item.command)).sum();
        let room = match self.shared.space.reserve(bytes) {
            Ok(room) => room,
            Err(error) => {
                stop_items(items);
                return Err(error);
            }
        };
        let (mut group, mut table) = self.begin(room, bytes);
        let wall = clock::wall_now();
        group.effects.reserve(items.len());
        let mut answers = Vec::with_capacity(items.len());
        for item in items {
            let outcome = self.decide(&mut table, &mut group, room, &item.command, wall);
            answers.push((item.done, outcome));
        }
        let commands = answers.len();
        Ok(self.laid(group, table, answers, commands))
    }

    fn laid(
        &mut self,
        group: Group,
        table: TableGuard,
        answers: Vec<(Done, Outcome)>,
        commands: usize,
    ) -> Begun {
        let group = match group.effects.is_empty() {
            true => {
                self.tail.take_back(group);
                None
            }
            false => Some(group.seal()),
        };
        Begun {
            group,
            table,
            answers,
            commands,
        }
    }

    /// Tells who sends a group on; whether somebody does.
    fn tell(&self, begun: &Begun) -> bool {
        begun.group.as_ref().is_some_and(|group| {
            (self.hooks.on_written)(&WrittenGroup {
                effects: &group.effects,
                buffer: &group.shared,
                start: group.start,
            })
        })
    }

    /// Writes and syncs a group, tells the view and those who wait.
    fn finish(&mut self, begun: Begun) -> Result<(), FatalError> {
        let Begun {
            group,
            table,
            answers,
            commands,
        } = begun;
        let result = match group {
            Some(group) => self.write(&table, group, commands),
            None => Ok(Vec::new()),
        };
        if result.is_ok() {
            self.shared.table_ahead.store(false, Ordering::Release);
        }
        // Let the keeper in if it waits for its next few topics.
        ArcMutexGuard::unlock_fair(table);
        let mut completions = Completions::default();
        for (done, outcome) in answers {
            completions.add(done, outcome);
        }
        match &result {
            Ok(topics) => {
                if !topics.is_empty() {
                    (self.hooks.on_commit)(topics);
                }
                completions.deliver();
            }
            Err(_) => completions.stop(),
        }
        result?;
        self.broken = false;
        Ok(())
    }

    fn decide(
        &self,
        table: &mut Table,
        group: &mut Group,
        room: Room,
        command: &Command,
        wall: crate::types::UnixMicros,
    ) -> Outcome {
        let grows = match command {
            Command::Append { .. } | Command::Replicate { .. } | Command::Dedupe { .. } => true,
            Command::Host(HostedTopic { id, .. })
            | Command::Known {
                topic: KeptTopic { id, .. },
                ..
            } => table.end(id).is_none(),
            _ => false,
        };
        if let Command::AcceptLoss { topic } = command {
            // Reads may have found damage that the table has not heard of.
            for (from, to) in self.shared.view.read().damaged(topic) {
                table.damage(topic, from, to);
            }
        }
        let decision = table.decide(command, wall);
        let limit = if grows { room.appends } else { room.all };
        let is_full = group.bytes() + entry_bound(command) > limit;
        let full = Outcome::Refused(Refusal::StorageFull);
        let bytes = match command {
            Command::Append { batch, .. } | Command::Replicate { batch, .. } => Some(&**batch),
            _ => None,
        };
        let outcome = match decision {
            Decision::Answer(outcome) => return outcome,
            Decision::Write(..) | Decision::WriteAll(..) if is_full => return full,
            Decision::Write(record, outcome) => {
                self.take(table, group, record, bytes);
                outcome
            }
            Decision::WriteAll(records, outcome) => {
                for record in records {
                    self.take(table, group, record, None);
                }
                outcome
            }
        };
        if let Command::Append { topic, .. } | Command::Host(HostedTopic { id: topic, .. }) =
            command
            && let Some(trim) = table.size_trim(topic, &self.hooks.committed)
        {
            self.take(table, group, trim, None);
        }
        outcome
    }

    fn take(&self, table: &mut Table, group: &mut Group, record: Record, bytes: Option<&[u8]>) {
        let place = group.lay(&record, bytes);
        let kept = table.apply(&record);
        group.effects.push(Effect {
            record,
            place,
            kept,
        });
    }

    /// Writes and syncs a group, and tells the view; answers the topics whose start or end moved, with their
    /// ends.
    fn write(
        &mut self,
        table: &Table,
        group: SealedGroup,
        commands: usize,
    ) -> Result<Vec<(TopicId, Offset)>, FatalError> {
        let shared = &self.shared;
        self.committed_at = clock::mono_now();
        shared
            .sync_since
            .store(self.committed_at.0.max(1), Ordering::Release);
        let synced = self.put(&group);
        shared.sync_since.store(0, Ordering::Release);
        synced?;
        let took = clock::mono_now().since(self.committed_at);
        self.usual.note(took, commands);
        self.group = group.number;
        let topics = moved(table, &group.effects);
        let shrunk = group.effects.iter().any(|effect| shrinks(&effect.record));
        shared
            .incarnation
            .fetch_max(table.incarnation, Ordering::AcqRel);
        let last = group.effects.last().map(|effect| &effect.record);
        self.needs_marker = !matches!(last, Some(Record::Marker(_)));
        shared
            .counters
            .note_group(&group.effects, group.shared.len());
        let evicted = shared.view.write().commit(
            &group.effects,
            group.number,
            group.shared,
            shared.options.tail_cache_bytes,
        );
        drop(evicted);
        self.tail.advance(group.blocks);
        shared.space.advance(self.tail.position());
        if shrunk {
            // If the keeper is busy it will look again by itself.
            let _ = self.keeper.try_send(Task::Reclaim);
        }
        Ok(topics)
    }

    /// Writes and syncs a group.
    fn put(&self, group: &SealedGroup) -> Result<(), FatalError> {
        let dir = &self.shared.options.dir;
        let fatal = |what| move |source| FatalError::new(what, dir, source);
        let file = &self.active.file;
        let (blocks, at) = group.blocks.to_write();
        file.write_at(blocks, at).map_err(fatal("write"))?;
        file.sync().map_err(fatal("sync"))
    }

    /// Commits records of the journal's own making.
    fn commit_records(&mut self, records: Vec<Record>) -> Result<(), FatalError> {
        self.broken = true;
        let commands = records.len();
        // Trims and markers only.
        let bytes = records.len() as u64 * TRIM_ENTRY_BYTES;
        let room = self.shared.space.reserve(bytes)?;
        let (mut group, mut table) = self.begin(room, bytes);
        for record in records {
            let topic = record.topic();
            // On a full disk what does not fit is tried again at the next look.
            if group.bytes() + TRIM_ENTRY_BYTES <= room.all {
                self.take(&mut table, &mut group, record, None);
            }
            if let Some(topic) = topic {
                table.after_trim(&topic);
            }
        }
        let begun = self.laid(group, table, Vec::new(), commands);
        self.tell(&begun);
        self.finish(begun)
    }

    fn mark(&mut self, closed: bool) -> Result<(), FatalError> {
        self.needs_marker = false;
        self.commit_records(vec![Record::Marker(closed)])
    }

    fn trim_aged(&mut self) -> Result<(), FatalError> {
        let now = clock::mono_now();
        if now.since(self.aged_at) < limits::JOURNAL_TICK {
            return Ok(());
        }
        self.aged_at = now;
        let trims = self
            .shared
            .table
            .lock()
            .age_trims(clock::wall_now(), &self.hooks.committed);
        match trims.is_empty() {
            true => Ok(()),
            false => self.commit_records(trims),
        }
    }
}

/// Bytes that a command takes in the journal at most, a trim that it may bring about included.
fn entry_bound(command: &Command) -> u64 {
    match command {
        Command::Append { batch, .. } => entry_bytes(batch.len()) as u64 + TRIM_ENTRY_BYTES,
        Command::Replicate { batch, .. } => entry_bytes(batch.len()) as u64,
        Command::Dedupe { ranges, .. } => SMALL_ENTRY_BYTES + RANGE_BYTES * ranges.len() as u64,
        Command::ReplicatePositions { positions, .. } => SMALL_ENTRY_BYTES * positions.len() as u64,
        _ => SMALL_ENTRY_BYTES,
    }
}

/// Whether less is needed of the segments after it.
fn shrinks(record: &Record) -> bool {
    matches!(
        record,
        Record::Trim(..) | Record::Forget(_) | Record::Truncate(..) | Record::Reset(..)
    )
}

fn moved(table: &Table, effects: &[Effect]) -> Vec<(TopicId, Offset)> {
    let mut topics: Vec<TopicId> = effects
        .iter()
        .filter_map(|effect| match &effect.record {
            Record::Batch(header) => Some(header.topic),
            Record::Trim(topic, _) | Record::Truncate(topic, _) | Record::Reset(topic, _) => {
                Some(*topic)
            }
            _ => None,
        })
        .collect();
    topics.sort_unstable();
    topics.dedup();
    // One that was forgotten in the same group has no end.
    let ends = topics.into_iter();
    ends.filter_map(|topic| Some((topic, table.end(&topic)?)))
        .collect()
}

fn stop_items(items: Vec<Item>) {
    let mut completions = Completions::default();
    for item in items {
        completions.add(item.done, Outcome::Stopped);
    }
    completions.stop();
}

/// Answers those who wait when the writer's thread ends.
struct Ended<'a> {
    shared: &'a Shared,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.shared.queue.close();
        while let Taken::Items(items) = self.shared.queue.take(usize::MAX) {
            stop_items(items);
        }
    }
}
