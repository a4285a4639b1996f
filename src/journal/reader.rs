//! Reading batches from the disk. Every entry is checked before it is handed out.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::Options;
use super::disk::DiskFile;
use super::error::ReadError;
use super::footer::{self, Footer};
use super::index::{IndexEntry, Place, SegmentIndex, select};
use super::layout::{ENTRY_HEADER_BYTES, EntryHeader, FIRST_ENTRY, SegmentHeader};
use super::names;
use super::recent::Recent;
use super::record::{Record, kind};
use super::recovery::read_all;
use super::scan::{self, At};
use super::slice::{CachedRead, Slice, range_check};
use super::view::{Located, View};
use crate::limits;
use crate::types::{Offset, TopicId};
use crate::wire::batch;

/// See the module.
#[derive(Debug)]
pub(super) struct Reader {
    files: Mutex<Recent<u64, OpenSegment>>,
    footers: Mutex<Recent<u64, Arc<Footer>>>,
    /// Long lists of entries, which take many reads to get through.
    lists: Mutex<Recent<(u64, TopicId), List>>,
    /// A segment whose file is about to be another, which has no name yet.
    replaced: Mutex<Option<(u64, OpenSegment)>>,
}

/// A segment's file, and the generation that it was opened as.
#[derive(Debug, Clone)]
struct OpenSegment {
    generation: u64,
    file: Arc<dyn DiskFile>,
}

/// A topic's entries in a segment of a generation.
#[derive(Debug, Clone)]
struct List {
    generation: u64,
    entries: Arc<[IndexEntry]>,
}

/// What one step of a read came to.
enum Step {
    Batches,
    /// An entry that should be there cannot be read.
    Bad {
        from: Offset,
        to: Offset,
    },
    /// The segment was taken away meanwhile.
    Moved,
}

impl Reader {
    pub(super) fn new() -> Reader {
        Reader {
            files: Mutex::new(Recent::new(limits::OPEN_SEGMENTS)),
            footers: Mutex::new(Recent::new(limits::FOOTER_CACHE_BYTES)),
            lists: Mutex::new(Recent::new(limits::LIST_CACHE_BYTES)),
            replaced: Mutex::new(None),
        }
    }

    /// A segment's file is about to become another's.
    pub(super) fn forget(&self, segment: u64) {
        self.files.lock().remove(segment);
        self.footers.lock().remove(segment);
    }

    /// A segment is about to be told of under another generation: until its file has its name, who
    /// asks for that generation gets this one.
    pub(super) fn replace(&self, segment: u64, generation: u64, file: Arc<dyn DiskFile>) {
        let open = OpenSegment { generation, file };
        *self.replaced.lock() = Some((segment, open));
        self.forget(segment);
    }

    /// The segment that was replaced has its new file under its name.
    pub(super) fn replaced(&self) {
        if let Some((segment, open)) = self.replaced.lock().take() {
            self.files.lock().put(segment, open, 1);
        }
    }

    /// The segment that was to be replaced keeps its file.
    pub(super) fn not_replaced(&self) {
        if let Some((segment, _)) = self.replaced.lock().take() {
            self.forget(segment);
        }
    }

    /// The file of a segment as of a generation.
    pub(super) fn file(
        &self,
        options: &Options,
        segment: u64,
        generation: u64,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let replaced = self.replaced.lock().clone();
        let replaced = replaced.filter(|(replaced, _)| *replaced == segment);
        let known = replaced.map(|(_, open)| open);
        let known = known.filter(|open| open.generation == generation);
        if let Some(open) = known.or_else(|| self.files.lock().get(segment))
            && open.generation == generation
        {
            return Ok(open.file);
        }
        let file = options.disk.open(&names::segment(&options.dir, segment))?;
        check_generation(&*file, segment, generation)?;
        let open = OpenSegment { generation, file };
        self.files.lock().put(segment, open.clone(), 1);
        Ok(open.file)
    }

    fn footer(&self, options: &Options, segment: u64, generation: u64) -> Option<Arc<Footer>> {
        if let Some(footer) = self.footers.lock().get(segment)
            && footer.generation == generation
        {
            return Some(footer);
        }
        let footer = Footer::open(&*options.disk, &options.dir, segment)
            .filter(|footer| footer.generation == generation)?;
        let footer = Arc::new(footer);
        let bytes = footer.memory();
        self.footers.lock().put(segment, footer.clone(), bytes);
        Some(footer)
    }

    /// A topic's entries in a sealed segment; a footer that cannot be used is made anew.
    fn entries(
        &self,
        options: &Options,
        segment: u64,
        generation: u64,
        topic: &TopicId,
    ) -> io::Result<Arc<[IndexEntry]>> {
        let key = (segment, *topic);
        if let Some(list) = self.lists.lock().get(key)
            && list.generation == generation
        {
            return Ok(list.entries);
        }
        for _ in 0..2 {
            if let Some(footer) = self.footer(options, segment, generation)
                && let Ok(entries) = footer.entries(topic)
            {
                let entries: Arc<[IndexEntry]> = entries.unwrap_or_default().into();
                let bytes = size_of_val(&*entries);
                if bytes >= limits::LIST_KEPT_BYTES {
                    let entries = entries.clone();
                    let list = List {
                        generation,
                        entries,
                    };
                    self.lists.lock().put(key, list, bytes);
                }
                return Ok(entries);
            }
            self.footers.lock().remove(segment);
            let file = self.file(options, segment, generation)?;
            let index = rebuild(&*file, segment, generation)?;
            tracing::warn!(
                segment,
                "the segment's footer was missing or damaged: made anew"
            );
            if footer::write(&*options.disk, &options.dir, &index).is_err() {
                // A full disk: this read does without.
                let entries = index.topics.get(topic).map(|t| &*t.entries);
                return Ok(entries.unwrap_or_default().into());
            }
        }
        Ok(Arc::default())
    }

    /// See [`super::Journal::read`].
    pub(super) fn read(
        &self,
        options: &Options,
        view: &RwLock<View>,
        topic: TopicId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Slice, ReadError> {
        let mut slice = Slice {
            batches: Vec::new(),
            next: from,
            end: from,
        };
        let mut left = max_bytes;
        loop {
            if let Some(done) = check(view, topic, &mut slice, left)? {
                return Ok(done);
            }
            let from = slice.next;
            let count = slice.batches.len();
            let step = self.step(options, view, topic, &mut slice, left).map_err(
                |(segment, source)| ReadError::Io {
                    topic,
                    segment,
                    source,
                },
            )?;
            let taken: usize = slice.batches[count..].iter().map(Bytes::len).sum();
            left = left.saturating_sub(taken);
            match step {
                Step::Batches if slice.next > from => {}
                Step::Moved => {}
                // What was read before the bad place is good.
                _ if !slice.batches.is_empty() => return Ok(slice),
                Step::Batches => return Ok(slice),
                Step::Bad { from, to } => return Err(damaged(view, topic, from, to)),
            }
        }
    }

    /// Reads on from `slice.next` within one segment.
    fn step(
        &self,
        options: &Options,
        view: &RwLock<View>,
        topic: TopicId,
        slice: &mut Slice,
        left: usize,
    ) -> Result<Step, (u64, io::Error)> {
        let from = slice.next;
        let located = view.read().locate(&topic, from, left as u64);
        let (segment, generation, selected) = match located {
            Located::Nothing => return Ok(pass(view, topic, slice, None)),
            Located::Memory(segment, generation, selected) => (segment, generation, selected),
            Located::Footer(segment, generation, below) => {
                match self.entries(options, segment, generation, &topic) {
                    Ok(all) => (segment, generation, select(&all, from, below, left as u64)),
                    Err(_) if is_gone(view, segment, generation) => return Ok(Step::Moved),
                    Err(error) => return Err((segment, error)),
                }
            }
        };
        let fetched = self
            .file(options, segment, generation)
            .and_then(|file| fetch(&*file, &selected.entries));
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(_) if is_gone(view, segment, generation) => return Ok(Step::Moved),
            Err(error) => return Err((segment, error)),
        };
        for (at, (entry, bytes)) in selected.entries.iter().zip(fetched).enumerate() {
            let Some((_, body, end)) = sound_entry(&bytes, entry, generation, &topic) else {
                if is_gone(view, segment, generation) {
                    return Ok(Step::Moved);
                }
                let next = selected.entries.get(at + 1).map(|next| next.base);
                match pass(view, topic, slice, next.or(selected.then)) {
                    Step::Batches => continue,
                    bad => return Ok(bad),
                }
            };
            if end <= slice.next {
                continue;
            }
            if entry.base > slice.next {
                match pass(view, topic, slice, Some(entry.base)) {
                    Step::Batches => {}
                    bad => return Ok(bad),
                }
            }
            slice.batches.push(body);
            slice.next = end;
        }
        if slice.next == from {
            let end = view.read().span_end(&topic, from);
            return Ok(pass(view, topic, slice, end));
        }
        Ok(Step::Batches)
    }
}

/// A file under a segment's name may be another generation's: the segment was rewritten meanwhile.
/// One without a readable header is told by its entries.
fn check_generation(file: &dyn DiskFile, segment: u64, generation: u64) -> io::Result<()> {
    let mut block = [0; FIRST_ENTRY as usize];
    let count = file.read_at(&mut block, 0)?;
    match SegmentHeader::decode(&block[..count]) {
        Ok(header) if (header.sequence, header.generation) != (segment, generation) => {
            Err(io::Error::other("the file is of another generation"))
        }
        _ => Ok(()),
    }
}

/// Goes over a hole up to `to` (the end of the topic's span or of the topic, where that is not
/// known) if its loss was accepted.
fn pass(view: &RwLock<View>, topic: TopicId, slice: &mut Slice, to: Option<Offset>) -> Step {
    let view = view.read();
    let from = slice.next;
    let end = view.range(&topic).map_or(from, |(_, end)| end);
    let to = to.or(view.span_end(&topic, from)).unwrap_or(end);
    if to > from && view.is_lost(&topic, from, to) {
        slice.next = to;
        return Step::Batches;
    }
    Step::Bad { from, to }
}

/// The error for a place that cannot be read, noted for the topic's report.
fn damaged(view: &RwLock<View>, topic: TopicId, from: Offset, to: Offset) -> ReadError {
    let mut view = view.write();
    match view.range(&topic) {
        None => return ReadError::UnknownTopic(topic),
        Some((start, _)) if start > from => return ReadError::Gone { topic, from, start },
        Some(_) => {}
    }
    view.note_damage(&topic, from, to);
    tracing::error!(%topic, from = from.0, to = to.0, "damaged messages in the journal");
    ReadError::Damaged { topic, from, to }
}

/// What can be answered without reading: errors, the end, a slice that is full. `None`: go on.
fn check(
    view: &RwLock<View>,
    topic: TopicId,
    slice: &mut Slice,
    left: usize,
) -> Result<Option<Slice>, ReadError> {
    let view = view.read();
    let from = slice.next;
    let Some((start, end)) = view.range(&topic) else {
        return Err(ReadError::UnknownTopic(topic));
    };
    slice.end = end;
    if !slice.batches.is_empty() && (left == 0 || from >= end) {
        return Ok(Some(std::mem::replace(slice, empty(from, end))));
    }
    if let Some((bad, to)) = view.damage_from(&topic, from)
        && bad <= from
    {
        return match slice.batches.is_empty() {
            true => Err(ReadError::Damaged { topic, from, to }),
            false => Ok(Some(std::mem::replace(slice, empty(from, end)))),
        };
    }
    match range_check(from, start, end) {
        Some(CachedRead::Gone { start }) if slice.batches.is_empty() => {
            Err(ReadError::Gone { topic, from, start })
        }
        Some(CachedRead::OutOfRange { end }) => Err(ReadError::OutOfRange { topic, from, end }),
        Some(CachedRead::End { end }) => Ok(Some(empty(from, end))),
        _ => Ok(None),
    }
}

fn empty(next: Offset, end: Offset) -> Slice {
    Slice {
        batches: Vec::new(),
        next,
        end,
    }
}

fn is_gone(view: &RwLock<View>, segment: u64, generation: u64) -> bool {
    let view = view.read();
    view.segments.get(&segment).map(|info| info.generation) != Some(generation)
}

/// Fetches entries, several with one read where they lie close together.
pub(super) fn fetch(file: &dyn DiskFile, entries: &[IndexEntry]) -> io::Result<Vec<Bytes>> {
    let runs = runs(entries);
    if runs.len() > 1 {
        for run in &runs {
            let (from, to) = bounds(&entries[run.clone()]);
            file.will_need(from, to - from);
        }
    }
    let mut out = Vec::with_capacity(entries.len());
    for run in runs {
        let run = &entries[run];
        let (from, to) = bounds(run);
        let length = (to - from) as usize;
        let mut buffer = file.read(length, from)?;
        // What lies beyond the end of the file fails its checksum.
        buffer.resize(length, 0);
        let buffer = Bytes::from(buffer);
        for entry in run {
            let at = (entry.position() - from) as usize;
            out.push(buffer.slice(at..at + entry.bytes() as usize));
        }
    }
    Ok(out)
}

fn bounds(run: &[IndexEntry]) -> (u64, u64) {
    let from = run.first().map_or(0, IndexEntry::position);
    let to = run.last().map_or(0, |last| last.position() + last.bytes());
    (from, to)
}

/// Runs of entries that one read fetches.
fn runs(entries: &[IndexEntry]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        if let Some(run) = runs.last_mut() {
            let (from, to) = bounds(&entries[run.clone()]);
            let end = entry.position() + entry.bytes();
            let near = entry.position() >= to
                && entry.position() - to < limits::READ_MERGE_BYTES
                && end - from <= limits::READ_CHUNK_BYTES;
            if near {
                run.end = at + 1;
                continue;
            }
        }
        runs.push(at..at + 1);
    }
    runs
}

/// An entry's header, its batch and the batch's end, if every byte of it is what was written there.
pub(super) fn sound_entry(
    bytes: &Bytes,
    entry: &IndexEntry,
    generation: u64,
    topic: &TopicId,
) -> Option<(EntryHeader, Bytes, Offset)> {
    let header = EntryHeader::decode(bytes, generation, entry.position())?;
    let body = ENTRY_HEADER_BYTES..ENTRY_HEADER_BYTES + header.length as usize;
    let body = (body.end <= bytes.len()).then(|| bytes.slice(body))?;
    let sound = header.kind == kind::BATCH && crc32c::crc32c(&body) == header.body_crc;
    let batch = sound.then(|| batch::read_header(&body).ok()).flatten()?;
    (batch.topic == *topic && batch.base == entry.base).then(|| (header, body, batch.end()))
}

/// The index of a sealed segment from its entries. What is damaged is left out: reads of it fail.
pub(super) fn rebuild(
    file: &dyn DiskFile,
    sequence: u64,
    generation: u64,
) -> io::Result<SegmentIndex> {
    let bytes = scan::Bytes {
        data: read_all(file)?,
        generation,
    };
    let mut index = SegmentIndex::new(sequence, generation);
    let mut at = FIRST_ENTRY;
    while let Some((position, header)) = bytes.next_entry(at, 1) {
        at = position + header.total();
        index.end = at;
        // In a segment that was sorted by topic the last entry is not the newest.
        index.last_group = index.last_group.max(header.group);
        let At::Entry(_, body) = bytes.at(position) else {
            break;
        };
        let place = Place {
            segment: sequence,
            position,
            bytes: header.total(),
        };
        match Record::decode(header.kind, body) {
            Ok(Record::Batch(batch)) => {
                index.add(batch.topic, batch.base, batch.end(), place);
            }
            Ok(Record::Forget(topic) | Record::Reset(topic, _)) => {
                index.topics.remove(&topic);
            }
            Ok(Record::Truncate(topic, to)) => index.truncate(&topic, to),
            _ => {}
        }
    }
    Ok(index)
}
