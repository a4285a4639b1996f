//! The rewriter thread: gives back the space of segments of which little is still needed, by writing
//! what is needed into a new file that takes the old one's name; and sorts what is needed by topic on the
//! way, which alone is worth it where topics lie scattered: the log has batches in the order in which they
//! came, and to read one topic of a thousand that write in turns is a read of the disk for each batch.
//!
//! Only segments below the floor of the checkpoints are taken: those are never replayed, so that
//! their other entries are not needed, nor the chain of their groups. At every instant the name
//! leads to a whole and durable file, the old or the new; both hold all that is needed.
//!
//! Order: new file, written and synced under a name of no meaning; readers are told; rename; folder
//! synced; footer. Readers are told first, and given the open file, because who still goes by the
//! old generation then finds out from the view that it has moved on.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use bytes::Bytes;

use super::Shared;
use super::disk::{self, DiskFile};
use super::footer::{self, Footer};
use super::index::{IndexEntry, Place, SegmentIndex};
use super::layout::{EntryHeader, SegmentHeader};
use super::names;
use super::reader::{fetch, rebuild, sound_entry};
use super::rewrite::{Pace, Policy, Why, is_scattered};
use super::segments::{SegmentInfo, Span};
use crate::clock;
use crate::limits;
use crate::types::{Offset, TopicId};

/// What the rewriter is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wake {
    /// There may be something to do.
    Look,
    /// Finish.
    Stop,
}

/// What came of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// It is smaller now, or sorted.
    Rewritten,
    /// It was recycled in the meantime, or is not worth it, seen from nearby.
    LeftAlone,
    /// It holds damage, and stays as it is.
    Damaged,
    /// The journal is closed.
    Stopped,
}

/// See the module.
pub(super) struct Rewriter {
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Receiver<Wake>,
}

impl Rewriter {
    /// The thread.
    pub(super) fn run(self) {
        let (options, now) = (&self.shared.options, clock::mono_now());
        let mut work = Work {
            policy: Policy::new(options),
            reclaiming: Pace::new(options.rewrite_idle_bytes_per_s, now),
            sorting: Pace::new(options.sort_bytes_per_s, now),
            failed: BTreeSet::new(),
            in_order: BTreeSet::new(),
        };
        loop {
            if !self.rewrite_all(&mut work) {
                return;
            }
            match self.inbox.recv_timeout(limits::JOURNAL_TICK) {
                Ok(Wake::Look) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Rewrites all that is worth it; `false`: the journal is closed.
    fn rewrite_all(&self, work: &mut Work) -> bool {
        while let Some((why, sequence, info)) = work.pick(&self.shared) {
            let Work {
                policy,
                reclaiming,
                sorting,
                ..
            } = work;
            let mut pay = |bytes| match why {
                Why::Reclaim => {
                    self.pay(reclaiming, bytes, || self.shared.counters.appended_bytes())
                }
                // However much is appended, no more is sorted for it.
                Why::Sort => self.pay(sorting, bytes, || 0),
            };
            match rewrite(&self.shared, policy, why, sequence, info, &mut pay) {
                Ok(Came::Stopped) => return false,
                Ok(Came::LeftAlone) if why == Why::Sort => drop(work.in_order.insert(sequence)),
                Ok(_) => {}
                Err(error) if disk::is_full(&error) => {
                    tracing::debug!(sequence, "no room to rewrite a segment");
                    return true;
                }
                Err(error) => {
                    tracing::warn!(sequence, %error, "could not rewrite a segment");
                    work.failed.insert(sequence);
                }
            }
        }
        true
    }

    /// Waits until bytes that were written are paid for; `false`: the journal is closed. On a full
    /// disk appends are refused anyway, and nothing is waited for.
    fn pay(&self, pace: &mut Pace, bytes: u64, appended: impl Fn() -> u64) -> bool {
        pace.spend(bytes);
        loop {
            pace.earn(clock::mono_now(), appended());
            let wait = match pace.wait() {
                Some(wait) if !self.shared.space.is_full() => wait.min(limits::REWRITE_LOOK),
                _ => Duration::ZERO,
            };
            match self.inbox.recv_timeout(wait) {
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
                Ok(Wake::Look) => {}
                Err(RecvTimeoutError::Timeout) if wait.is_zero() => return true,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// What is done in which order, and how fast.
struct Work {
    policy: Policy,
    reclaiming: Pace,
    sorting: Pace,
    /// What could not be read or replaced is not tried again before the next start.
    failed: BTreeSet<u64>,
    /// Segments that turned out to need no sorting.
    in_order: BTreeSet<u64>,
}

impl Work {
    /// The next segment, those first that give space back.
    fn pick(&self, shared: &Shared) -> Option<(Why, u64, SegmentInfo)> {
        let passed =
            |sequence: &u64| self.failed.contains(sequence) || self.in_order.contains(sequence);
        let reclaimed = pick(shared, |below| {
            self.policy
                .pick(below.filter(|(sequence, _)| !self.failed.contains(sequence)))
        });
        let reclaimed = reclaimed.map(|(sequence, info)| (Why::Reclaim, sequence, info));
        reclaimed.or_else(|| {
            let sorted = pick(shared, |below| {
                self.policy
                    .pick_to_sort(below.filter(|(sequence, _)| !passed(sequence)))
            });
            sorted.map(|(sequence, info)| (Why::Sort, sequence, info))
        })
    }
}

/// Picks among the segments below the floor that have their index in a footer.
pub(super) fn pick(
    shared: &Shared,
    choose: impl FnOnce(&mut dyn Iterator<Item = (u64, SegmentInfo)>) -> Option<(u64, SegmentInfo)>,
) -> Option<(u64, SegmentInfo)> {
    let floor = shared.floor.load(Ordering::Acquire);
    let view = shared.view.read();
    let below = view.segments.range(..floor);
    let ready = below.filter(|(sequence, _)| !view.sealed.contains_key(*sequence));
    choose(&mut ready.map(|(sequence, info)| (*sequence, *info)))
}

/// A batch that is still needed, and the offset at which it must end.
struct Needed {
    topic: TopicId,
    entry: IndexEntry,
    end: Offset,
}

/// Rewrites one segment. `pay` is told of bytes written; when it answers `false` the segment stays
/// as it is.
pub(super) fn rewrite(
    shared: &Shared,
    policy: &Policy,
    why: Why,
    sequence: u64,
    info: SegmentInfo,
    pay: &mut dyn FnMut(u64) -> bool,
) -> io::Result<Came> {
    let Ok(old) = shared
        .reader
        .file(&shared.options, sequence, info.generation)
    else {
        return given_up(shared, sequence, &info);
    };
    let index = index_of(shared, &*old, sequence, info.generation)?;
    let Some(needed) = needed(shared, sequence, index) else {
        return Ok(quarantine(shared, sequence, &info));
    };
    let live_bytes = needed.iter().map(|needed| needed.entry.bytes()).sum();
    let is_worth = match why {
        Why::Reclaim => policy.is_worth(info.end, live_bytes),
        Why::Sort => is_scattered(needed.iter().map(|needed| (needed.topic, needed.entry))),
    };
    if !is_worth {
        if let Some(known) = shared.view.write().segments.get_mut(&sequence) {
            known.live_bytes = live_bytes;
        }
        return Ok(Came::LeftAlone);
    }
    let path = names::rewriting(&shared.options.dir, sequence);
    let came = write_anew(shared, &*old, sequence, &info, &needed, live_bytes, pay);
    drop(needed);
    let came = match came {
        Ok(Wrote::Fresh(fresh)) => put_in_place(shared, sequence, &info, fresh),
        Ok(Wrote::Not(came)) => Ok(came),
        Err(error) => Err(error),
    };
    if !matches!(came, Ok(Came::Rewritten)) {
        // Best effort: an unfinished file is removed at the next start too.
        let _ = shared.options.disk.remove(&path);
    }
    came
}

/// A segment whose file cannot be opened: an error, unless it was recycled.
fn given_up(shared: &Shared, sequence: u64, info: &SegmentInfo) -> io::Result<Came> {
    let view = shared.view.read();
    match view.segments.get(&sequence) {
        Some(known) if known.generation == info.generation => {
            Err(io::Error::other("its file cannot be opened"))
        }
        _ => Ok(Came::LeftAlone),
    }
}

/// Where the batches of each topic lie in a segment.
fn index_of(
    shared: &Shared,
    file: &dyn DiskFile,
    sequence: u64,
    generation: u64,
) -> io::Result<Vec<(TopicId, Vec<IndexEntry>)>> {
    let options = &shared.options;
    let footer = Footer::open(&*options.disk, &options.dir, sequence)
        .filter(|footer| footer.generation == generation);
    if let Some(Ok(topics)) = footer.map(|footer| footer.all()) {
        return Ok(topics);
    }
    let index = rebuild(file, sequence, generation)?;
    let topics = index.topics.into_iter();
    Ok(topics.map(|(id, topic)| (id, topic.entries)).collect())
}

/// The batches that topics still need, in the order of the file. `None`: some of them are not in the
/// index; damage has taken them, and what is left of them must stay.
fn needed(
    shared: &Shared,
    sequence: u64,
    index: Vec<(TopicId, Vec<IndexEntry>)>,
) -> Option<Vec<Needed>> {
    let mut needed = Vec::new();
    let mut topics = 0;
    for chunk in index.chunks(limits::CHECKPOINT_CHUNK_TOPICS) {
        let view = shared.view.read();
        for (topic, entries) in chunk {
            if let Some((span, start)) = view.span_in(topic, sequence) {
                let first = needed.len();
                needed.extend(still_needed(*topic, entries, &span, start));
                let reaches = needed.get(first)?.entry.base <= start.max(span.base);
                reaches.then_some(())?;
                topics += 1;
            }
        }
    }
    // Topics only ever stop to need a sealed segment.
    let view = shared.view.read();
    let live = view.segments.get(&sequence).map_or(0, |info| info.live);
    needed.sort_unstable_by_key(|needed| needed.entry.position8);
    (live <= topics).then_some(needed)
}

/// The entries of a topic that reach above its start. Each ends where the next begins.
fn still_needed<'a>(
    topic: TopicId,
    entries: &'a [IndexEntry],
    span: &'a Span,
    start: Offset,
) -> impl Iterator<Item = Needed> + 'a {
    entries.iter().enumerate().filter_map(move |(at, &entry)| {
        let end = entries.get(at + 1).map_or(span.end, |next| next.base);
        let within = entry.base >= span.base && entry.base < span.end;
        (within && end > start).then_some(Needed { topic, entry, end })
    })
}

/// A whole and durable file, still without its name.
struct Fresh {
    file: Arc<dyn DiskFile>,
    index: SegmentIndex,
}

enum Wrote {
    Fresh(Fresh),
    Not(Came),
}

fn write_anew(
    shared: &Shared,
    old: &dyn DiskFile,
    sequence: u64,
    info: &SegmentInfo,
    needed: &[Needed],
    live_bytes: u64,
    pay: &mut dyn FnMut(u64) -> bool,
) -> io::Result<Wrote> {
    let mut copy = Copy::begin(shared, sequence, live_bytes)?;
    let mut rest = needed;
    while !rest.is_empty() {
        let (window, after) = rest.split_at(stretch(rest, limits::SORT_WINDOW_BYTES));
        rest = after;
        let Some(mut kept) = read_window(old, info.generation, window)? else {
            return Ok(Wrote::Not(quarantine(shared, sequence, info)));
        };
        kept.sort_unstable_by_key(|(needed, ..)| (needed.topic, needed.entry.position8));
        for (needed, header, body) in kept {
            copy.add(header, needed, &body);
            if copy.buffer.len() as u64 >= limits::REWRITE_PIECE_BYTES && !pay(copy.flush()?) {
                return Ok(Wrote::Not(Came::Stopped));
            }
        }
        if !pay(copy.flush()?) {
            return Ok(Wrote::Not(Came::Stopped));
        }
    }
    if !pay(limits::REWRITE_COST_BYTES) {
        return Ok(Wrote::Not(Came::Stopped));
    }
    Ok(Wrote::Fresh(Fresh {
        file: copy.to,
        index: copy.index,
    }))
}

/// A batch as it is copied.
type Kept<'a> = (&'a Needed, EntryHeader, Bytes);

/// Reads batches in the order of the file. `None`: one of them does not read.
fn read_window<'a>(
    old: &dyn DiskFile,
    generation: u64,
    window: &'a [Needed],
) -> io::Result<Option<Vec<Kept<'a>>>> {
    let mut kept = Vec::with_capacity(window.len());
    let mut rest = window;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(stretch(rest, limits::REWRITE_PIECE_BYTES));
        rest = after;
        let entries: Vec<IndexEntry> = piece.iter().map(|needed| needed.entry).collect();
        for (needed, bytes) in piece.iter().zip(fetch(old, &entries)?) {
            let sound = sound_entry(&bytes, &needed.entry, generation, &needed.topic);
            // One that ends early is followed by a hole: damage that was taken out of the index.
            let Some((header, body, _)) = sound.filter(|(.., end)| *end == needed.end) else {
                return Ok(None);
            };
            kept.push((needed, header, body));
        }
    }
    Ok(Some(kept))
}

/// How many entries come to some `bytes`, at least one.
fn stretch(entries: &[Needed], bytes: u64) -> usize {
    let mut taken = 0;
    let fits = entries.iter().take_while(|needed| {
        let before = taken;
        taken += needed.entry.bytes();
        before == 0 || taken <= bytes
    });
    fits.count()
}

/// A file in the making.
struct Copy {
    to: Arc<dyn DiskFile>,
    /// What was added since the last flush.
    buffer: Vec<u8>,
    written: u64,
    index: SegmentIndex,
}

impl Copy {
    fn begin(shared: &Shared, sequence: u64, live_bytes: u64) -> io::Result<Copy> {
        let options = &shared.options;
        let header = SegmentHeader {
            sequence,
            generation: rand::random(),
            storage: shared.storage,
            made: clock::wall_now(),
            rewritten: true,
        };
        let to = options
            .disk
            .create(&names::rewriting(&options.dir, sequence))?;
        let buffer = header.encode();
        // A disk that is too full says so before anything is written.
        to.allocate(0, buffer.len() as u64 + live_bytes)?;
        Ok(Copy {
            to,
            buffer,
            written: 0,
            index: SegmentIndex::new(sequence, header.generation),
        })
    }

    fn add(&mut self, header: EntryHeader, needed: &Needed, body: &[u8]) {
        let at = self.buffer.len();
        let place = Place {
            segment: self.index.sequence,
            position: self.written + at as u64,
            bytes: header.total(),
        };
        let raw = header.encode(self.index.generation, place.position);
        self.buffer.extend_from_slice(&raw);
        self.buffer.extend_from_slice(body);
        self.buffer.resize(at + header.total() as usize, 0);
        self.index
            .add(needed.topic, needed.entry.base, needed.end, place);
        self.index.end = place.position + place.bytes;
        self.index.last_group = self.index.last_group.max(header.group);
    }

    /// Writes and syncs what was added. Each piece is synced, so that the writer's own sync never
    /// has to wait for many of them.
    fn flush(&mut self) -> io::Result<u64> {
        if self.buffer.is_empty() {
            return Ok(0);
        }
        self.to.write_at(&self.buffer, self.written)?;
        self.to.sync()?;
        let bytes = self.buffer.len() as u64;
        self.written += bytes;
        self.buffer.clear();
        Ok(bytes)
    }
}

/// A batch that does not read or is missing is damage, if the segment is still there.
fn quarantine(shared: &Shared, sequence: u64, info: &SegmentInfo) -> Came {
    let mut view = shared.view.write();
    match view.segments.get_mut(&sequence) {
        Some(known) if known.generation == info.generation => {
            known.quarantined = true;
            tracing::error!(
                segment = sequence,
                "damage in the journal: the segment stays as it is, and reading will tell what it struck"
            );
            Came::Damaged
        }
        _ => Came::LeftAlone,
    }
}

fn put_in_place(
    shared: &Shared,
    sequence: u64,
    old: &SegmentInfo,
    fresh: Fresh,
) -> io::Result<Came> {
    let options = &shared.options;
    let (disk, dir) = (&*options.disk, &*options.dir);
    // The keeper must not recycle it between here and the end.
    let _files = shared.files.lock();
    let index = Arc::new(fresh.index);
    if !tell_readers(shared, old, &index, fresh.file) {
        return Ok(Came::LeftAlone);
    }
    let path = names::segment(dir, sequence);
    if let Err(error) = disk.rename(&names::rewriting(dir, sequence), &path) {
        take_back(shared, sequence, old);
        return Err(error);
    }
    shared.reader.replaced();
    if let Err(error) = disk.sync_dir(dir) {
        // After a crash the old file may be back, which is as good.
        tracing::warn!(sequence, %error, "could not make a rewritten segment's name durable");
    }
    if footer::write(disk, dir, &index).is_err() {
        // The old one would only be found to be of another generation; the next read makes it anew.
        let _ = disk.remove(&names::footer(dir, sequence));
    }
    shared.view.write().sealed.remove(&sequence);
    let given_back = old.end.saturating_sub(index.end);
    shared.counters.note_rewrite(index.end, given_back);
    shared.space.try_again();
    tracing::info!(
        segment = sequence,
        from_bytes = old.end,
        to_bytes = index.end,
        given_back_bytes = given_back,
        "a segment has been rewritten, sorted by topic"
    );
    Ok(Came::Rewritten)
}

/// From here on reads go to the new file; `false`: the segment has been recycled.
fn tell_readers(
    shared: &Shared,
    old: &SegmentInfo,
    index: &Arc<SegmentIndex>,
    file: Arc<dyn DiskFile>,
) -> bool {
    let sequence = index.sequence;
    shared.reader.replace(sequence, index.generation, file);
    let mut view = shared.view.write();
    let known = view.segments.get_mut(&sequence);
    let Some(known) = known.filter(|known| known.generation == old.generation) else {
        shared.reader.not_replaced();
        return false;
    };
    // What topics gave up while it was copied.
    let since = old.live_bytes.saturating_sub(known.live_bytes);
    known.generation = index.generation;
    known.end = index.end;
    known.rewritten = true;
    known.live_bytes = (index.end - super::layout::FIRST_ENTRY).saturating_sub(since);
    view.sealed.insert(sequence, index.clone());
    true
}

/// The old file has kept its name.
fn take_back(shared: &Shared, sequence: u64, old: &SegmentInfo) {
    let mut view = shared.view.write();
    view.sealed.remove(&sequence);
    if let Some(known) = view.segments.get_mut(&sequence) {
        known.generation = old.generation;
        known.end = old.end;
        known.rewritten = old.rewritten;
    }
    drop(view);
    shared.reader.not_replaced();
}
