//! Space ahead of the writer: segments and extents made ready by a thread of their own.
//!
//! An extent is allocated, zeroed and synced before the writer may use it, so that the writer's
//! sync writes no metadata. Running out of space happens here, where nothing is lost by it; the
//! writer then refuses appends and lives on one extent kept in reserve.

use std::io;
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

use super::Options;
use super::blocks::{BLOCK_BYTES, Blocks, block_start};
use super::disk::{self, DiskFile};
use super::error::FatalError;
use super::layout::{FIRST_ENTRY, SegmentHeader};
use super::names;
use crate::clock;
use crate::limits;
use crate::types::StorageId;

/// Bytes zeroed between two syncs: what the writer's own sync may have to wait for.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes that no entry exceeds but a batch or what a host remembers of producers.
pub(super) const SMALL_ENTRY_BYTES: u64 = 512;

/// A segment file that may be written up to `ready`.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) sequence: u64,
    pub(super) generation: u64,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) ready: u64,
}

#[derive(Debug)]
struct State {
    active: Prepared,
    /// Where the writer stands in the active segment.
    position: u64,
    next: Option<Prepared>,
    /// Bytes of the group that the writer waits to place.
    wanted: u64,
    /// How often yet space is taken in a hurry, for the writer has caught up.
    hurried: u32,
    /// Dead segments whose files can be used again.
    free: Vec<u64>,
    full: bool,
    failed: Option<FatalError>,
    stopped: bool,
}

/// What the writer may do with its next group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// It goes into the next segment.
    pub(super) roll: bool,
    /// Bytes for all of it.
    pub(super) all: u64,
    /// Bytes within which appends must stay.
    pub(super) appends: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Space {
    state: Mutex<State>,
    to_preparer: Condvar,
    to_writer: Condvar,
    segment_bytes: u64,
    extent_bytes: u64,
}

/// Rounded up to whole blocks: a group is written in such.
fn blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES as u64)
}

enum Job {
    Extend {
        next: bool,
        file: Arc<dyn DiskFile>,
        from: u64,
        to: u64,
    },
    Make {
        sequence: u64,
        free: Option<u64>,
        bytes: u64,
    },
    Wait,
}

impl Space {
    pub(super) fn new(active: Prepared, position: u64, free: Vec<u64>, options: &Options) -> Space {
        Space {
            state: Mutex::new(State {
                active,
                position,
                next: None,
                wanted: 0,
                hurried: 0,
                free,
                full: false,
                failed: None,
                stopped: false,
            }),
            to_preparer: Condvar::new(),
            to_writer: Condvar::new(),
            segment_bytes: blocks(options.segment_bytes),
            extent_bytes: blocks(options.extent_bytes.min(options.segment_bytes)),
        }
    }

    fn ahead(&self) -> u64 {
        self.extent_bytes * (limits::EXTENTS_AHEAD + limits::EXTENTS_RESERVED)
    }

    /// The end of what may be written into the active segment; a segment that is still empty takes
    /// a group of any size.
    fn limit(&self, state: &State, bytes: u64) -> u64 {
        match state.position {
            FIRST_ENTRY => self.segment_bytes.max(blocks(FIRST_ENTRY + bytes)),
            _ => self.segment_bytes,
        }
    }

    /// Finds room for a group of up to `bytes`, waiting for the preparer unless the disk is full.
    pub(super) fn reserve(&self, bytes: u64) -> Result<Room, FatalError> {
        let mut state = self.state.lock();
        loop {
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.full {
                state.wanted = 0;
                return Ok(self.scarce(&state));
            }
            let (fits, ready) = self.ready(&state, bytes);
            if ready {
                state.wanted = 0;
                return Ok(Room {
                    roll: !fits,
                    all: bytes,
                    appends: bytes,
                });
            }
            state.wanted = bytes;
            if bytes >= limits::HURRY_BYTES {
                state.hurried = limits::HURRIED_TIMES;
            }
            self.to_preparer.notify_one();
            self.to_writer.wait(&mut state);
        }
    }

    /// Whether [`Space::reserve`] would answer at once, with room in the active segment.
    pub(super) fn is_ready(&self, bytes: u64) -> bool {
        let state = self.state.lock();
        state.failed.is_none() && !state.full && self.ready(&state, bytes) == (true, true)
    }

    /// Whether a group fits into the active segment, and whether its room is ready, there or in the next one.
    fn ready(&self, state: &State, bytes: u64) -> (bool, bool) {
        let (fits, here, there) = self.room(state, bytes);
        let reserve = self.reserve_bytes();
        // Appends never touch the reserve, so it is whole when the disk is found to be full.
        let ready = match fits {
            true => here >= bytes && here + there >= bytes + reserve,
            false => there >= bytes + reserve,
        };
        (fits, ready)
    }

    fn reserve_bytes(&self) -> u64 {
        self.extent_bytes * limits::EXTENTS_RESERVED
    }

    /// Whether a group fits into the active segment, and the bytes that are ready there and in the
    /// next one.
    fn room(&self, state: &State, bytes: u64) -> (bool, u64, u64) {
        let limit = self.limit(state, bytes);
        let fits = state.position + bytes <= limit;
        let here = state.active.ready.min(limit).saturating_sub(state.position);
        let next = state.next.as_ref();
        (fits, here, next.map_or(0, |next| next.ready - FIRST_ENTRY))
    }

    /// Room on a full disk: appends leave one extent untouched.
    fn scarce(&self, state: &State) -> Room {
        let (_, here, there) = self.room(state, 0);
        let appends = (here + there).saturating_sub(self.reserve_bytes());
        let roll = here < SMALL_ENTRY_BYTES && there > 0;
        let all = if roll { there } else { here };
        Room {
            roll,
            all,
            appends: appends.min(all),
        }
    }

    /// The writer goes over to the next segment.
    pub(super) fn roll(&self) -> Option<Prepared> {
        let mut state = self.state.lock();
        let next = state.next.take()?;
        state.active = next.clone();
        state.position = FIRST_ENTRY;
        self.to_preparer.notify_one();
        Some(next)
    }

    /// The writer has moved on.
    pub(super) fn advance(&self, position: u64) {
        let mut state = self.state.lock();
        state.position = position;
        if !matches!(self.job(&state), Job::Wait) {
            self.to_preparer.notify_one();
        }
    }

    /// A dead segment's file may be used again; answers whether the pool takes it. On a full disk it
    /// does not: other files may need the room.
    pub(super) fn pool_takes(&self) -> bool {
        let state = self.state.lock();
        !state.full && state.free.len() < limits::POOL_SEGMENTS
    }

    pub(super) fn add_free(&self, sequence: u64) {
        self.state.lock().free.push(sequence);
        self.to_preparer.notify_one();
    }

    /// Space was given back otherwise: a full disk is tried again.
    pub(super) fn try_again(&self) {
        self.to_preparer.notify_one();
    }

    pub(super) fn is_full(&self) -> bool {
        self.state.lock().full
    }

    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.to_preparer.notify_one();
    }

    /// What the preparer has to do. Pure.
    fn job(&self, state: &State) -> Job {
        let wanted = state.wanted;
        let (fits, here, _) = self.room(state, wanted);
        let need = wanted + self.reserve_bytes();
        let limit = self.limit(state, wanted);
        let active = &state.active;
        let goal = (state.position + self.ahead().max(if fits { need } else { 0 })).min(limit);
        if active.ready < goal {
            return Job::Extend {
                next: false,
                file: active.file.clone(),
                from: active.ready,
                to: (active.ready + self.extent_bytes).min(limit),
            };
        }
        // What the group at hand needs there, and what is to lie ahead, for which one segment will do.
        let need = if fits {
            need.saturating_sub(here)
        } else {
            need
        };
        let ahead = self.ahead().saturating_sub(here);
        let goal = blocks(FIRST_ENTRY + need.max(ahead.min(self.segment_bytes - FIRST_ENTRY)));
        match &state.next {
            _ if goal == FIRST_ENTRY => Job::Wait,
            None => Job::Make {
                sequence: active.sequence + 1,
                free: state.free.last().copied(),
                bytes: self.extent_bytes,
            },
            Some(next) if next.ready < goal => Job::Extend {
                next: true,
                file: next.file.clone(),
                from: next.ready,
                to: (next.ready + self.extent_bytes).min(self.segment_bytes.max(goal)),
            },
            Some(_) => Job::Wait,
        }
    }

    /// The preparer thread.
    pub(super) fn prepare(&self, options: &Options, storage: StorageId) {
        let _witness = Witness {
            space: self,
            options,
        };
        loop {
            let (job, hurried) = {
                let mut state = self.state.lock();
                loop {
                    if state.stopped || state.failed.is_some() {
                        return;
                    }
                    match self.job(&state) {
                        Job::Wait => {
                            state.full = false;
                            self.to_writer.notify_one();
                            self.to_preparer.wait(&mut state);
                        }
                        job => {
                            let hurried = state.hurried > 0;
                            state.hurried = state.hurried.saturating_sub(1);
                            break (job, hurried);
                        }
                    }
                }
            };
            let (job, result) = self.attempt(job, hurried, options, storage);
            self.settle(&job, result, options);
        }
    }

    /// In a hurry much is taken at once, and not zeroed: a stream of large groups that has caught up
    /// with the preparer gains more by not writing everything twice than its syncs lose by writing
    /// metadata. Where there is not that much, as usual.
    fn attempt(
        &self,
        job: Job,
        hurried: bool,
        options: &Options,
        storage: StorageId,
    ) -> (Job, io::Result<Option<Prepared>>) {
        if hurried {
            let larger = self.larger(&job);
            match self.perform(&larger, true, options, storage) {
                Err(error) if disk::is_full(&error) => {}
                result => return (larger, result),
            }
        }
        let result = self.perform(&job, false, options, storage);
        (job, result)
    }

    /// The same for several extents; a new segment wholly.
    fn larger(&self, job: &Job) -> Job {
        match job {
            Job::Extend {
                next,
                file,
                from,
                to,
            } => {
                let far = from + self.extent_bytes * limits::HURRIED_EXTENTS;
                Job::Extend {
                    next: *next,
                    file: file.clone(),
                    from: *from,
                    to: far.min(self.segment_bytes).max(*to),
                }
            }
            Job::Make {
                sequence,
                free,
                bytes,
            } => Job::Make {
                sequence: *sequence,
                free: *free,
                bytes: self.segment_bytes.max(*bytes),
            },
            Job::Wait => Job::Wait,
        }
    }

    fn perform(
        &self,
        job: &Job,
        hurried: bool,
        options: &Options,
        storage: StorageId,
    ) -> io::Result<Option<Prepared>> {
        match job {
            Job::Extend { file, from, to, .. } => {
                extend(&**file, *from, *to, hurried).map(|()| None)
            }
            Job::Make {
                sequence,
                free,
                bytes,
            } => make_segment(options, storage, *sequence, *free, *bytes, hurried).map(Some),
            Job::Wait => Ok(None),
        }
    }

    fn settle(&self, job: &Job, result: io::Result<Option<Prepared>>, options: &Options) {
        let mut state = self.state.lock();
        match result {
            Ok(made) => {
                match job {
                    Job::Extend {
                        next: false, to, ..
                    } => state.active.ready = *to,
                    Job::Extend {
                        next: true,
                        to,
                        file,
                        ..
                    } => {
                        // The writer may have gone over to it in the meantime.
                        if let Some(next) = &mut state.next {
                            next.ready = *to;
                        } else if Arc::ptr_eq(&state.active.file, file) {
                            state.active.ready = *to;
                        }
                    }
                    Job::Make { free, .. } => {
                        state.next = made;
                        state.free.retain(|sequence| Some(*sequence) != *free);
                    }
                    Job::Wait => {}
                }
                self.to_writer.notify_one();
            }
            Err(error) if disk::is_full(&error) => {
                // Dead segments' files are room, too.
                if let Some(free) = state.free.pop() {
                    drop(state);
                    // One that is gone has given its room back already.
                    let _ = options.disk.remove(&names::free(&options.dir, free));
                    return;
                }
                if !state.full {
                    tracing::warn!(dir = %options.dir.display(), "the disk is full: appends are refused");
                }
                state.full = true;
                self.to_writer.notify_one();
                if !state.stopped {
                    self.to_preparer.wait_for(&mut state, limits::FULL_RETRY);
                }
            }
            Err(error) => {
                state.failed = Some(FatalError::new("prepare space", &options.dir, error));
                self.to_writer.notify_one();
            }
        }
    }

    /// A failure of the preparer, for a writer that is idle.
    pub(super) fn failure(&self) -> Option<FatalError> {
        self.state.lock().failed.clone()
    }
}

/// Tells the writer when the preparer's thread ends by a panic: it would wait for ever.
struct Witness<'a> {
    space: &'a Space,
    options: &'a Options,
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let error =
            io::Error::other("the thread that makes space ready has panicked; this is a bug");
        let mut state = self.space.state.lock();
        state.failed = Some(FatalError::new("prepare space", &self.options.dir, error));
        self.space.to_writer.notify_one();
    }
}

/// Makes an extent ready; in a hurry its space is only taken.
fn extend(file: &dyn DiskFile, from: u64, to: u64, hurried: bool) -> io::Result<()> {
    match hurried && file.allocate(from, to - from)? {
        true => Ok(()),
        false => zero(file, from, to),
    }
}

/// Takes and zeroes a range, durably.
fn zero(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    file.allocate(from, to - from)?;
    let zeros = Blocks::zeroed(PIECE_BYTES.min((to - from) as usize));
    let mut at = from;
    while at < to {
        let piece = zeros.len().min((to - at) as usize);
        file.write_at(&zeros[..piece], at)?;
        file.sync()?;
        at += piece as u64;
    }
    Ok(())
}

/// Makes a segment, of a dead one's file if there is one. Its name appears only when its header is
/// durable, so a segment without a sound header is damaged, never half-made.
pub(super) fn make_segment(
    options: &Options,
    storage: StorageId,
    sequence: u64,
    free: Option<u64>,
    bytes: u64,
    hurried: bool,
) -> io::Result<Prepared> {
    let (disk, dir) = (&*options.disk, &*options.dir);
    let path = names::segment(dir, sequence);
    let header = SegmentHeader {
        sequence,
        generation: rand::random(),
        storage,
        made: clock::wall_now(),
        rewritten: false,
    };
    let from = match free {
        Some(free) => names::free(dir, free),
        None => names::unfinished(&path),
    };
    if free.is_none() {
        disk.create(&from)?;
    }
    let file = disk.open_log(&from)?;
    if let Err(error) = fill(&*file, &header, free.is_none().then_some(bytes), hurried) {
        if free.is_none() {
            // Best effort: an unfinished file is removed at the next start too.
            let _ = disk.remove(&from);
        }
        return Err(error);
    }
    disk.rename(&from, &path)?;
    disk.sync_dir(dir)?;
    let ready = block_start(file.length()?);
    Ok(Prepared {
        sequence,
        generation: header.generation,
        file,
        ready,
    })
}

fn fill(
    file: &dyn DiskFile,
    header: &SegmentHeader,
    bytes: Option<u64>,
    hurried: bool,
) -> io::Result<()> {
    if let Some(bytes) = bytes {
        extend(file, 0, bytes.max(FIRST_ENTRY * 2), hurried)?;
    }
    file.write_at(&header.encode(), 0)?;
    file.sync()
}
