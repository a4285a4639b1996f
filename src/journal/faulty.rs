//! A disk in memory that fails on demand: lost unsynced data, torn writes, bit flips, failing
//! writes and syncs, a full disk. For tests; nothing in production makes one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::blocks;
use super::disk::{Disk, DiskFile};
use super::layout::FIRST_ENTRY;

/// Bytes that reach the disk together or not at all.
const SECTOR_BYTES: usize = 512;

/// What a crash leaves of writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Nothing.
    LosesUnsynced,
    /// Each sector by chance, and each new name by chance.
    TearsUnsynced(u64),
    /// All of it: the process died, the machine did not.
    KeepsAll,
}

#[derive(Debug, Default)]
struct Content {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Ranges written since the last sync.
    unsynced: Vec<(usize, usize)>,
}

/// Number of a file's content; names point to it.
type Node = u64;

#[derive(Debug, Default)]
struct State {
    contents: HashMap<Node, Content>,
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    locked: HashSet<PathBuf>,
    capacity: Option<u64>,
    used: u64,
    fail_writes_after: Option<u64>,
    fail_syncs_after: Option<u64>,
    fail_changes_after: Option<u64>,
    panics_in_allocate: bool,
    writes: u64,
    syncs: u64,
    changes: u64,
    /// Writes of entries to a log that were not whole blocks.
    ragged: u64,
}

impl State {
    /// Every call that changes something counts here first.
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match self.fail_changes_after {
            Some(most) if self.changes > most => Err(injected("change")),
            _ => Ok(()),
        }
    }

    fn add(&mut self, path: &Path, content: Content) -> Node {
        let node = self.contents.len() as Node;
        self.contents.insert(node, content);
        if let Some(old) = self.names.insert(path.to_owned(), node) {
            self.release(old);
        }
        node
    }

    fn release(&mut self, node: Node) {
        let bytes = self.content(node).current.len() as u64;
        self.used = self.used.saturating_sub(bytes);
    }

    /// Contents are never removed, so that open files stay readable as on a real disk.
    fn content(&mut self, node: Node) -> &mut Content {
        self.contents.entry(node).or_default()
    }

    fn resize(&mut self, node: Node, length: usize) -> io::Result<()> {
        let old = self.content(node).current.len();
        let used = (self.used + length as u64).saturating_sub(old as u64);
        if length > old && self.capacity.is_some_and(|capacity| used > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.used = used;
        self.content(node).current.resize(length, 0);
        Ok(())
    }
}

/// See the module. All calls take one lock, so that a crash sees one instant.
#[derive(Clone, Default)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

/// Without the content, which is all that the disk holds.
impl fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        let mut out = f.debug_struct("FaultyDisk");
        out.field("names", &state.names.keys())
            .field("used", &state.used);
        out.finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct FaultyFile {
    node: Node,
    disk: FaultyDisk,
    /// Set for a lock file: released when dropped.
    locks: Option<PathBuf>,
    is_log: bool,
}

fn injected(what: &str) -> io::Error {
    io::Error::other(format!("injected failure of a {what}"))
}

impl FaultyDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a machine finds after a crash now. This disk lives on, unaware.
    pub fn crash(&self, crash: Crash) -> FaultyDisk {
        let state = self.state.lock();
        let mut random = match crash {
            Crash::TearsUnsynced(seed) => Some(StdRng::seed_from_u64(seed)),
            _ => None,
        };
        let new_names = match (&mut random, crash) {
            (Some(random), _) => random.random_bool(0.5),
            (None, crash) => crash == Crash::KeepsAll,
        };
        let names = match new_names {
            true => &state.names,
            false => &state.durable_names,
        };
        let after = names.iter().map(|(path, node)| {
            let bytes = survivors(&state.contents[node], crash, random.as_mut());
            (path.clone(), bytes)
        });
        FaultyDisk::holding(after.collect::<Vec<_>>())
    }

    /// A disk with these files, all durable.
    pub fn holding(files: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) -> FaultyDisk {
        let disk = FaultyDisk::new();
        {
            let mut state = disk.state.lock();
            for (path, bytes) in files {
                state.used += bytes.len() as u64;
                let content = Content {
                    durable: bytes.clone(),
                    current: bytes,
                    unsynced: Vec::new(),
                };
                state.add(&path, content);
            }
            state.durable_names = state.names.clone();
        }
        disk
    }

    /// Every file with its present content.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state.lock();
        let names = state.names.iter();
        names
            .map(|(path, node)| (path.clone(), state.contents[node].current.clone()))
            .collect()
    }

    /// Flips bits of one byte of a file, durably.
    pub fn flip(&self, path: &Path, at: usize, mask: u8) {
        self.edit(path, |bytes| bytes[at] ^= mask);
    }

    /// Changes a file behind the journal's back, durably.
    pub fn edit(&self, path: &Path, change: impl Fn(&mut Vec<u8>)) {
        let mut state = self.state.lock();
        if let Some(node) = state.names.get(path).copied() {
            let content = state.content(node);
            change(&mut content.current);
            change(&mut content.durable);
        }
    }

    /// Bytes that the disk has room for; `None`: no bound.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.state.lock().capacity = capacity;
    }

    /// Bytes taken.
    pub fn used(&self) -> u64 {
        self.state.lock().used
    }

    /// From now on this many writes pass, then all fail.
    pub fn fail_writes_after(&self, count: u64) {
        let mut state = self.state.lock();
        state.fail_writes_after = Some(state.writes + count);
    }

    /// From now on this many syncs pass, then all fail.
    pub fn fail_syncs_after(&self, count: u64) {
        let mut state = self.state.lock();
        state.fail_syncs_after = Some(state.syncs + count);
    }

    /// From now on this many changes of any kind pass, then all fail: what a process that is killed
    /// at that step has done.
    pub fn fail_changes_after(&self, count: u64) {
        let mut state = self.state.lock();
        state.fail_changes_after = Some(state.changes + count);
    }

    /// From now on whoever takes space in advance panics.
    pub fn panic_in_allocate(&self) {
        self.state.lock().panics_in_allocate = true;
    }

    /// Writes of entries to a log that were not whole blocks, which a real disk takes by way of the
    /// page cache.
    pub fn ragged_writes(&self) -> u64 {
        self.state.lock().ragged
    }

    fn file(&self, node: Node, is_log: bool) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile {
            node,
            disk: self.clone(),
            locks: None,
            is_log,
        })
    }

    fn named(&self, path: &Path, is_log: bool) -> io::Result<Arc<dyn DiskFile>> {
        let node = self.state.lock().names.get(path).copied();
        Ok(self.file(node.ok_or(io::ErrorKind::NotFound)?, is_log))
    }
}

fn survivors(content: &Content, crash: Crash, random: Option<&mut StdRng>) -> Vec<u8> {
    let mut bytes = content.durable.clone();
    match (crash, random) {
        (Crash::KeepsAll, _) => bytes.clone_from(&content.current),
        (_, Some(random)) => {
            bytes.resize(content.current.len(), 0);
            for &(from, to) in &content.unsynced {
                let mut at = from;
                while at < to {
                    let end = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(to);
                    if random.random_bool(0.5) && end <= content.current.len() {
                        bytes[at..end].copy_from_slice(&content.current[at..end]);
                    }
                    at = end;
                }
            }
        }
        _ => {}
    }
    bytes
}

impl Disk for FaultyDisk {
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        Ok(names.collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.named(path, false)
    }

    fn open_log(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.named(path, true)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.change()?;
        let node = state.add(path, Content::default());
        drop(state);
        Ok(self.file(node, false))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        let node = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        if let Some(old) = state.names.insert(to.to_owned(), node) {
            state.release(old);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        let node = state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        state.release(node);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let mut state = self.state.lock();
        if !state.locked.insert(path.to_owned()) {
            return Ok(None);
        }
        let node = match state.names.get(path) {
            Some(node) => *node,
            None => state.add(path, Content::default()),
        };
        Ok(Some(Arc::new(FaultyFile {
            node,
            disk: self.clone(),
            locks: Some(path.to_owned()),
            is_log: false,
        })))
    }
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        if let Some(path) = &self.locks {
            self.disk.state.lock().locked.remove(path);
        }
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let mut state = self.disk.state.lock();
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        let rest = state.content(self.node).current.get(from..).unwrap_or(&[]);
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.change()?;
        state.writes += 1;
        if state.fail_writes_after.is_some_and(|n| state.writes > n) {
            return Err(injected("write"));
        }
        if self.is_log && at >= FIRST_ENTRY && !blocks::is_whole(bytes, at) {
            state.ragged += 1;
        }
        let (from, to) = (at as usize, at as usize + bytes.len());
        let length = state.content(self.node).current.len().max(to);
        state.resize(self.node, length)?;
        let content = state.content(self.node);
        content.current[from..to].copy_from_slice(bytes);
        content.unsynced.push((from, to));
        Ok(())
    }

    fn allocate(&self, at: u64, length: u64) -> io::Result<bool> {
        let mut state = self.disk.state.lock();
        assert!(!state.panics_in_allocate, "an injected panic");
        state.change()?;
        let old = state.content(self.node).current.len();
        state.resize(self.node, old.max((at + length) as usize))?;
        Ok(true)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.change()?;
        state.syncs += 1;
        if state.fail_syncs_after.is_some_and(|n| state.syncs > n) {
            return Err(injected("sync"));
        }
        let content = state.content(self.node);
        let length = content.current.len();
        content.durable.resize(length, 0);
        for (from, to) in content.unsynced.drain(..) {
            let to = to.min(length);
            if from < to {
                content.durable[from..to].copy_from_slice(&content.current[from..to]);
            }
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.state.lock().content(self.node).current.len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.change()?;
        state.resize(self.node, length as usize)
    }

    fn will_need(&self, _: u64, _: u64) {}
}
