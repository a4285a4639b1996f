//! Room kept for checkpoints. On a full disk it is new checkpoints that let dead segments go, and with
//! very many topics they are large: so files of their size lie ready, to be written over.

use std::io;
use std::path::{Path, PathBuf};

use super::Options;
use crate::limits;

/// The spare files, `<n>.spare`.
#[derive(Debug)]
pub(super) struct Spares {
    /// Bytes of each; 0: there is none.
    bytes: [u64; limits::CHECKPOINTS_KEPT],
}

fn path(dir: &Path, at: usize) -> PathBuf {
    dir.join(format!("{at}.spare"))
}

impl Spares {
    /// What an earlier process has left.
    pub(super) fn open(options: &Options) -> Spares {
        let mut bytes = [0; limits::CHECKPOINTS_KEPT];
        for (at, bytes) in bytes.iter_mut().enumerate() {
            let file = options.disk.open(&path(&options.dir, at));
            *bytes = file.and_then(|file| file.length()).unwrap_or(0);
        }
        Spares { bytes }
    }

    /// Makes each of them large enough for a checkpoint of `bytes`, with a quarter to spare.
    pub(super) fn keep(&mut self, options: &Options, bytes: u64) -> io::Result<()> {
        for (at, known) in self.bytes.iter_mut().enumerate() {
            if *known >= bytes {
                continue;
            }
            let path = path(&options.dir, at);
            let file = match *known {
                0 => options.disk.create(&path)?,
                _ => options.disk.open(&path)?,
            };
            let wanted = bytes + bytes / 4;
            // A file system that cannot keep room has none to offer later either.
            if file.allocate(0, wanted)? {
                file.sync()?;
                *known = wanted;
            }
        }
        Ok(())
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.iter().all(|bytes| *bytes == 0)
    }

    /// Gives the largest one a new name, to be written over. `None`: there is none.
    pub(super) fn take(&mut self, options: &Options, to: &Path) -> io::Result<Option<()>> {
        let largest = (0..self.bytes.len()).max_by_key(|at| self.bytes[*at]);
        let Some(at) = largest.filter(|at| self.bytes[*at] > 0) else {
            return Ok(None);
        };
        options.disk.rename(&path(&options.dir, at), to)?;
        self.bytes[at] = 0;
        Ok(Some(()))
    }

    /// Makes a file that is not needed any more a spare one, if one is missing; else removes it. Its
    /// room is never anybody else's in between.
    pub(super) fn adopt(&mut self, options: &Options, from: &Path) -> io::Result<()> {
        let Some(at) = self.bytes.iter().position(|bytes| *bytes == 0) else {
            return options.disk.remove(from);
        };
        let path = path(&options.dir, at);
        options.disk.rename(from, &path)?;
        self.bytes[at] = options.disk.open(&path)?.length()?;
        Ok(())
    }
}
