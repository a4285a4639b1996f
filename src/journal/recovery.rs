//! Opening a folder: finding the newest sound checkpoint, replaying what follows, and telling a torn
//! tail from damage.
//!
//! Each group was written only after the one before was synced. So where an entry is bad in group
//! N: if a whole entry of a later group is found anywhere, group N had been synced, and this is
//! *damage*: it is reported, never cut off, never served, and its offsets are never given out
//! again. If none is found, the group was being written when the process died: a *torn tail*, cut
//! off and zeroed, for nothing in it was acknowledged. Damage to the very last group looks the same
//! as a torn tail unless a marker follows; markers are written when the journal falls idle.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Options;
use super::blocks::{BLOCK_BYTES, block_start};
use super::checkpoint::{self, ListedSegment, Loaded, Unusable};
use super::disk::DiskFile;
use super::error::OpenError;
use super::footer::Footer;
use super::group;
use super::layout::{FIRST_ENTRY, HeaderError, SegmentHeader, VERSION};
use super::names::{self, Kind};
use super::replay::Replay;
use super::report::RecoveryReport;
use super::scan::Bytes;
use super::space::{self, Prepared};
use super::table::Table;
use super::view::View;
use crate::clock;
use crate::limits;
use crate::types::StorageId;

/// A checkpoint that lies in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) number: u64,
    pub(super) from_segment: u64,
    pub(super) bytes: u64,
}

/// Everything that a journal goes on with.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) table: Table,
    pub(super) view: View,
    pub(super) storage: StorageId,
    pub(super) active: Prepared,
    /// Where the log ends in it.
    pub(super) tail: group::Tail,
    /// The last group in the log.
    pub(super) group: u64,
    /// The last group before the active segment.
    pub(super) active_from_group: u64,
    pub(super) free: Vec<u64>,
    pub(super) checkpoints: Vec<Kept>,
    pub(super) next_checkpoint: u64,
    /// The last entry is no marker.
    pub(super) needs_marker: bool,
    pub(super) report: RecoveryReport,
}

#[derive(Debug, Default)]
struct Listing {
    segments: Vec<u64>,
    free: Vec<u64>,
    checkpoints: Vec<u64>,
    footers: Vec<u64>,
}

fn io_error(what: &'static str, path: PathBuf) -> impl FnOnce(std::io::Error) -> OpenError {
    move |source| OpenError::Io { what, path, source }
}

/// A segment as found in the folder.
pub(super) struct Found {
    pub(super) sequence: u64,
    /// `None`: the file is missing or neither copy of its header is sound.
    pub(super) generation: Option<u64>,
    pub(super) footer: Option<Footer>,
}

/// Recovers the folder of `options`; makes it if there is none. The caller holds the lock.
pub(super) fn recover(options: &Options) -> Result<Recovered, OpenError> {
    let began = clock::mono_now();
    let listing = list(options)?;
    let mut report = RecoveryReport {
        is_new: listing.segments.is_empty() && listing.checkpoints.is_empty(),
        was_clean: true,
        ..RecoveryReport::default()
    };
    let (loaded, kept) = load_checkpoint(options, &listing, &mut report)?;
    let (storage, headers) = read_headers(options, &listing, loaded.as_ref())?;
    let first = first_segment(options, &listing, loaded.as_ref(), &headers)?;
    let mut replay = Replay::new(options, loaded, report);
    take_rewritten(options, &headers, &mut replay)?;
    let found = segments_to_replay(options, &headers, first, &replay);
    let tail = replay.run(&found)?;
    let mut recovered = finish(options, storage, &listing, replay, tail, &found)?;
    recovered.checkpoints = kept;
    recovered.next_checkpoint = listing.checkpoints.iter().max().map_or(1, |n| n + 1);
    recovered.report.took_ns = clock::mono_now().since(began).as_nanos() as u64;
    Ok(recovered)
}

fn list(options: &Options) -> Result<Listing, OpenError> {
    let (disk, dir) = (&*options.disk, &*options.dir);
    let names = disk.list(dir).map_err(io_error("list", dir.to_owned()))?;
    let mut listing = Listing::default();
    for name in names {
        match names::kind(&name) {
            Kind::Segment(n) => listing.segments.push(n),
            Kind::Footer(n) => listing.footers.push(n),
            Kind::Checkpoint(n) => listing.checkpoints.push(n),
            Kind::Free(n) => listing.free.push(n),
            Kind::Unfinished => {
                // Of no value; if it cannot be removed it is overwritten later.
                let _ = disk.remove(&dir.join(&name));
            }
            Kind::Other => {}
        }
    }
    listing.segments.sort_unstable();
    listing.checkpoints.sort_unstable_by(|a, b| b.cmp(a));
    Ok(listing)
}

/// The newest sound checkpoint, and what is known of those that lie in the folder, oldest first.
fn load_checkpoint(
    options: &Options,
    listing: &Listing,
    report: &mut RecoveryReport,
) -> Result<(Option<Loaded>, Vec<Kept>), OpenError> {
    let mut newest = None;
    let mut kept = Vec::new();
    for &number in &listing.checkpoints {
        let path = names::checkpoint(&options.dir, number);
        let file = options
            .disk
            .open(&path)
            .map_err(io_error("open", path.clone()))?;
        match checkpoint::load(&*file) {
            Ok(loaded) => {
                kept.push(Kept {
                    number,
                    from_segment: loaded.head.from_segment,
                    bytes: loaded.bytes,
                });
                newest = newest.or(Some(loaded));
            }
            Err(Unusable::Version(found)) => {
                return Err(OpenError::Version {
                    path,
                    found,
                    supported: VERSION,
                });
            }
            Err(Unusable::Damaged) => report.bad_checkpoints += 1,
        }
    }
    report.checkpoint = newest.as_ref().map(|loaded| loaded.head.number);
    kept.reverse();
    Ok((newest, kept))
}

/// The header of each segment in the folder; `None`: neither copy is sound.
type Headers = BTreeMap<u64, Option<SegmentHeader>>;

/// Reads the header of every segment. The folder's storage id is what the checkpoint or the headers
/// say; all must agree.
fn read_headers(
    options: &Options,
    listing: &Listing,
    loaded: Option<&Loaded>,
) -> Result<(StorageId, Headers), OpenError> {
    let mut storage = loaded.map(|loaded| loaded.head.storage);
    let mut headers = BTreeMap::new();
    for &sequence in &listing.segments {
        let path = names::segment(&options.dir, sequence);
        let file = options
            .disk
            .open(&path)
            .map_err(io_error("open", path.clone()))?;
        let mut block = vec![0; FIRST_ENTRY as usize];
        let count = file
            .read_at(&mut block, 0)
            .map_err(io_error("read", path.clone()))?;
        let header = match SegmentHeader::decode(&block[..count]) {
            Err(HeaderError::Version(found)) => {
                return Err(OpenError::Version {
                    path,
                    found,
                    supported: VERSION,
                });
            }
            Err(HeaderError::Damaged) => None,
            // A file under another's name has no entries of its own.
            Ok(header) if header.sequence != sequence => None,
            Ok(header) => {
                let expected = *storage.get_or_insert(header.storage);
                if expected != header.storage {
                    return Err(OpenError::Foreign {
                        path,
                        found: header.storage,
                        expected,
                    });
                }
                Some(header)
            }
        };
        headers.insert(sequence, header);
    }
    match storage {
        Some(storage) => Ok((storage, headers)),
        None if headers.is_empty() => Ok((StorageId::random(&mut rand::rng()), headers)),
        None => Err(OpenError::NoHeader {
            dir: options.dir.clone(),
        }),
    }
}

/// The segment from which to replay. What has been rewritten lies below it, whichever of the two
/// checkpoints is used.
fn first_segment(
    options: &Options,
    listing: &Listing,
    loaded: Option<&Loaded>,
    headers: &Headers,
) -> Result<u64, OpenError> {
    let first = first_to_replay(options, listing, loaded)?;
    let mut rewritten = headers
        .range(first..)
        .filter(|(_, header)| header.is_some_and(|header| header.rewritten));
    match rewritten.next() {
        None => Ok(first),
        Some((segment, _)) => Err(OpenError::Rewritten {
            dir: options.dir.clone(),
            segment: *segment,
        }),
    }
}

fn first_to_replay(
    options: &Options,
    listing: &Listing,
    loaded: Option<&Loaded>,
) -> Result<u64, OpenError> {
    if let Some(loaded) = loaded {
        return Ok(loaded.head.from_segment);
    }
    match listing.segments.first() {
        // The first segments were recycled, so a checkpoint stood for them.
        Some(&first) if first != 1 && !listing.checkpoints.is_empty() => {
            Err(OpenError::NoCheckpoint {
                dir: options.dir.clone(),
                first,
            })
        }
        _ => Ok(1),
    }
}

/// Segments that were rewritten around the time of the checkpoint are what their files say, not what
/// it lists. Where a header is lost, the footer may know.
fn take_rewritten(
    options: &Options,
    headers: &Headers,
    replay: &mut Replay<'_>,
) -> Result<(), OpenError> {
    for (&sequence, header) in headers {
        let footer = || Footer::open(&*options.disk, &options.dir, sequence);
        let generation = match header {
            Some(header) => Some(header.generation),
            None => footer().map(|footer| footer.generation),
        };
        if let Some(generation) = generation
            && replay
                .listed_generation(sequence)
                .is_some_and(|g| g != generation)
        {
            let path = names::segment(&options.dir, sequence);
            let length = options.disk.open(&path).and_then(|file| file.length());
            let end = length.map_err(io_error("open", path))?;
            replay.take_file(sequence, generation, end);
        }
        if header.is_some_and(|header| header.rewritten) {
            replay.note_rewritten(sequence);
        }
    }
    Ok(())
}

/// The segments from `first` to the last, missing ones included.
fn segments_to_replay(
    options: &Options,
    headers: &Headers,
    first: u64,
    replay: &Replay<'_>,
) -> Vec<Found> {
    let last = headers.keys().next_back().copied().unwrap_or(0);
    let last = last
        .max(replay.last_listed_segment())
        .min(first.saturating_add(1 << 20));
    (first..=last)
        .map(|sequence| {
            let header = headers.get(&sequence).copied();
            let footer = header.and_then(|_| Footer::open(&*options.disk, &options.dir, sequence));
            let generation = header.flatten().map(|header| header.generation);
            let known = footer.as_ref().map(|footer| footer.generation);
            Found {
                sequence,
                // A footer remembers the generation of a segment that lost both headers.
                generation: generation.or(header.and(known)),
                footer: footer.filter(|f| generation.is_none_or(|g| g == f.generation)),
            }
        })
        .collect()
}

/// Reads a whole segment; empty if it is missing or has no known generation.
pub(super) fn read_segment(options: &Options, found: &Found) -> Result<Bytes, OpenError> {
    let Some(generation) = found.generation else {
        return Ok(Bytes {
            data: Vec::new(),
            generation: 0,
        });
    };
    let path = names::segment(&options.dir, found.sequence);
    let file = options
        .disk
        .open(&path)
        .map_err(io_error("open", path.clone()))?;
    let data = read_all(&*file).map_err(io_error("read", path))?;
    Ok(Bytes { data, generation })
}

/// Whether a segment without a readable header is there and has never been written.
pub(super) fn is_blank(options: &Options, found: &Found) -> Result<bool, OpenError> {
    let path = names::segment(&options.dir, found.sequence);
    let Ok(file) = options.disk.open(&path) else {
        return Ok(false);
    };
    let data = read_all(&*file).map_err(io_error("read", path))?;
    let entries = data.get(FIRST_ENTRY as usize..).unwrap_or(&[]);
    Ok(entries.iter().all(|byte| *byte == 0))
}

pub(super) fn read_all(file: &dyn DiskFile) -> std::io::Result<Vec<u8>> {
    let length = file.length()?;
    file.will_need(0, length);
    let mut data = vec![0; length as usize];
    let mut at = 0;
    while at < data.len() {
        let end = (at + limits::SCAN_BYTES).min(data.len());
        match file.read_at(&mut data[at..end], at as u64)? {
            0 => break,
            count => at += count,
        }
    }
    data.truncate(at);
    Ok(data)
}

/// Where the log ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    /// `None`: there is no segment to go on in.
    pub(super) segment: Option<u64>,
    pub(super) position: u64,
    /// End of what has to be zeroed behind it.
    pub(super) torn_end: u64,
    pub(super) from_group: u64,
}

fn finish(
    options: &Options,
    storage: StorageId,
    listing: &Listing,
    mut replay: Replay<'_>,
    tail: Tail,
    found: &[Found],
) -> Result<Recovered, OpenError> {
    let mut free = listing.free.clone();
    retire_unused(options, tail, found, &mut free)?;
    let generation = |sequence: u64| {
        let found = found.iter().find(|f| f.sequence == sequence);
        found.and_then(|f| f.generation)
    };
    let path = |sequence| names::segment(&options.dir, sequence);
    let (active, end) = match tail.segment.and_then(|s| Some((s, generation(s)?))) {
        Some((sequence, generation)) => {
            let active = open_active(options, sequence, generation, tail)?;
            let begun =
                read_begun(&active, tail.position).map_err(io_error("read", path(sequence)))?;
            (active, group::Tail::new(tail.position, begun))
        }
        None => {
            let sequence = found.last().map_or(1, |found| found.sequence + 1);
            let extent = options.extent_bytes.min(options.segment_bytes);
            let made = space::make_segment(options, storage, sequence, None, extent, false)
                .map_err(io_error("make", path(sequence)))?;
            (made, group::Tail::new(FIRST_ENTRY, Vec::new()))
        }
    };
    replay.settle(active.sequence, active.generation, &listing.segments);
    remove_strays(options, listing, &replay);
    let group = replay.group();
    let from_group = match end.position() {
        FIRST_ENTRY => group,
        _ => tail.from_group,
    };
    let (table, view, report, needs_marker) = replay.into_parts();
    Ok(Recovered {
        table,
        view,
        storage,
        active,
        tail: end,
        group,
        active_from_group: from_group,
        free,
        checkpoints: Vec::new(),
        next_checkpoint: 1,
        needs_marker,
        report,
    })
}

/// Segments that were made ready and never written go back to the pool.
fn retire_unused(
    options: &Options,
    tail: Tail,
    found: &[Found],
    free: &mut Vec<u64>,
) -> Result<(), OpenError> {
    let (disk, dir) = (&*options.disk, &*options.dir);
    let Some(last) = tail.segment else {
        return Ok(());
    };
    for found in found.iter().filter(|f| f.sequence > last) {
        let path = names::segment(dir, found.sequence);
        if disk.open(&path).is_err() {
            continue;
        }
        if free.len() < limits::POOL_SEGMENTS {
            disk.rename(&path, &names::free(dir, found.sequence))
                .map_err(io_error("rename", path))?;
            free.push(found.sequence);
        } else {
            disk.remove(&path).map_err(io_error("remove", path))?;
        }
        // A stale footer would speak for a segment to come.
        let _ = disk.remove(&names::footer(dir, found.sequence));
    }
    disk.sync_dir(dir).map_err(io_error("sync", dir.to_owned()))
}

/// Opens the segment that is written next, and zeroes a torn group so that nothing of it can ever
/// pass for an entry of the group that takes its place.
fn open_active(
    options: &Options,
    sequence: u64,
    generation: u64,
    tail: Tail,
) -> Result<Prepared, OpenError> {
    let path = names::segment(&options.dir, sequence);
    let open = || -> std::io::Result<Prepared> {
        let file = options.disk.open_log(&path)?;
        if tail.torn_end > tail.position {
            let zeros = vec![0; (tail.torn_end - tail.position) as usize];
            file.write_at(&zeros, tail.position)?;
        }
        // Also makes durable what the process before had written and not synced: from here on it
        // counts as accepted.
        file.sync()?;
        // A file that ends within the padding of its last entry is no reason to write there again.
        let end = file.length()?.max(tail.position);
        let ready = end.next_multiple_of(BLOCK_BYTES as u64);
        Ok(Prepared {
            sequence,
            generation,
            file,
            ready,
        })
    };
    // A stale footer would speak for entries that are still to come.
    let _ = options.disk.remove(&names::footer(&options.dir, sequence));
    open().map_err(io_error("open", path.clone()))
}

/// What the log has of the block that it ends in; what a file is too short for are an entry's zeros.
fn read_begun(active: &Prepared, position: u64) -> std::io::Result<Vec<u8>> {
    let from = block_start(position);
    let mut begun = vec![0; (position - from) as usize];
    active.file.read_at(&mut begun, from)?;
    Ok(begun)
}

/// Segments that no topic needs and no checkpoint lists, and footers whose segment is gone.
fn remove_strays(options: &Options, listing: &Listing, replay: &Replay<'_>) {
    for segment in &listing.segments {
        let path = names::segment(&options.dir, *segment);
        if !replay.has_segment(*segment) && options.disk.open(&path).is_ok() {
            // If it cannot be removed now, it can at the next start.
            let _ = options.disk.remove(&path);
        }
    }
    for footer in &listing.footers {
        if !replay.has_segment(*footer) {
            // Derived data: left lying it would only take space.
            let _ = options.disk.remove(&names::footer(&options.dir, *footer));
        }
    }
}

/// For the view: segments below the replay, as a checkpoint lists them.
pub(super) fn listed(loaded: &Loaded) -> impl Iterator<Item = &ListedSegment> {
    let from = loaded.head.from_segment;
    loaded.segments.iter().filter(move |s| s.sequence < from)
}
