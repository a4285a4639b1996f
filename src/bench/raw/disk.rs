//! What the disk can do: writes over space that is there already, each followed by `fdatasync`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::bench::error::BenchError;
use crate::bench::lanes::{Did, Lane};

/// Space that is overwritten in turns; large enough that a drive's cache of one block tells nothing.
const FILE_BYTES: usize = 64 << 20;

/// Writes and syncs, one after the other. Blocks its thread: it is to be alone there.
pub struct SyncLane {
    file: File,
    path: PathBuf,
    bytes: Vec<u8>,
    at: u64,
}

impl SyncLane {
    /// Makes the file and syncs its space once.
    pub fn new(folder: &Path, bytes: usize) -> Result<SyncLane, BenchError> {
        let path = folder.join(format!("raw-sync-{:016x}", rand::random::<u64>()));
        let doing = || format!("preparing {}", path.display());
        let file = prepare(&path).map_err(BenchError::io(doing()))?;
        Ok(SyncLane {
            file,
            path,
            bytes: vec![7; bytes],
            at: 0,
        })
    }
}

fn prepare(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..FILE_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, at as u64)?;
    }
    file.sync_all()?;
    Ok(file)
}

impl Lane for SyncLane {
    async fn once(&mut self, _: u64) -> Result<Did, BenchError> {
        if self.at as usize + self.bytes.len() > FILE_BYTES {
            self.at = 0;
        }
        self.file
            .write_all_at(&self.bytes, self.at)
            .and_then(|()| self.file.sync_data())
            .map_err(BenchError::io("syncing a raw file"))?;
        self.at += self.bytes.len() as u64;
        Ok(Did {
            ops: 1,
            bytes: self.bytes.len() as u64,
        })
    }
}

impl Drop for SyncLane {
    fn drop(&mut self) {
        // What stays behind lies in a temporary folder.
        let _ = std::fs::remove_file(&self.path);
    }
}
