//! The file layer: what the journal asks of a disk, and the real one.
//!
//! One of the two trait seams of the project. Everything the journal does to files goes through
//! [`Disk`] and [`DiskFile`], so that tests can put [`super::faulty::FaultyDisk`] underneath.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, FallocateFlags, OFlags};
use rustix::io::Errno;

use super::blocks;

/// A folder tree with files in it.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a folder and its parents, readable by the owner only.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names of the files in a folder.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Opens a file that exists, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that exists for a log: whole blocks of 4,096 bytes, aligned in memory too, that are
    /// written to it pass the system's cache by, where the file system can do that. All else is as for [`Disk::open`].
    fn open_log(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that is new or emptied.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Opens or makes the file and locks it against every other holder, for as long as the answer
    /// lives. `None`: somebody else holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn DiskFile>>>;
}

/// An open file. All calls take positions; there is no cursor.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads up to `into.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;
    /// Reads `count` bytes; fewer only at the end of the file.
    fn read(&self, count: usize, at: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        let read = self.read_at(&mut bytes, at)?;
        bytes.truncate(read);
        Ok(bytes)
    }
    /// Writes all of `bytes`.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Takes space for a range and makes the file at least that long. `false`: this file system
    /// cannot; writing takes the space.
    fn allocate(&self, at: u64, length: u64) -> io::Result<bool>;
    /// Makes the content durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
    /// Bytes in the file.
    fn length(&self) -> io::Result<u64>;
    /// Cuts the file or fills it up with zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Says that a range will be read soon.
    fn will_need(&self, at: u64, length: u64);
}

/// Whether an error says that there is no space.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The operating system's files.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

/// A file, and the same without the page cache where that can be had.
#[derive(Debug)]
struct LogFile {
    file: RealFile,
    direct: Option<RealFile>,
    /// The file system opens files so, and then does not write them.
    refused: AtomicBool,
}

impl Disk for RealDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open_log(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let direct = OpenOptions::new()
            .write(true)
            .custom_flags(OFlags::DIRECT.bits() as i32)
            .open(path);
        Ok(Arc::new(LogFile {
            file: RealFile(file),
            direct: direct.ok().map(RealFile),
            refused: AtomicBool::new(false),
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = owner_only().truncate(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let file = owner_only().truncate(false).open(path)?;
        let locked = crate::lock::try_lock(&file)?;
        Ok(locked.then(|| Arc::new(RealFile(file)) as Arc<dyn DiskFile>))
    }
}

fn owner_only() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

impl DiskFile for RealFile {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match self.0.read_at(&mut into[done..], at + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Without clearing the memory first.
    fn read(&self, count: usize, at: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            let position = at + bytes.len() as u64;
            match rustix::io::pread(&self.0, spare_capacity(&mut bytes), position) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(count);
        Ok(bytes)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn allocate(&self, at: u64, length: u64) -> io::Result<bool> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), at, length) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        rustix::fs::fdatasync(&self.0).map_err(Into::into)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn will_need(&self, at: u64, length: u64) {
        // Advice only: a refusal costs nothing but time.
        let _ = rustix::fs::fadvise(
            &self.0,
            at,
            std::num::NonZeroU64::new(length),
            Advice::WillNeed,
        );
    }
}

impl DiskFile for LogFile {
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(into, at)
    }

    fn read(&self, count: usize, at: u64) -> io::Result<Vec<u8>> {
        self.file.read(count, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        if let Some(direct) = &self.direct
            && blocks::is_whole(bytes, at)
            && !self.refused.load(Ordering::Relaxed)
        {
            match direct.write_at(bytes, at) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    self.refused.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        self.file.write_at(bytes, at)
    }

    fn allocate(&self, at: u64, length: u64) -> io::Result<bool> {
        self.file.allocate(at, length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn will_need(&self, at: u64, length: u64) {
        self.file.will_need(at, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::blocks::{BLOCK_BYTES, Blocks};

    #[test]
    fn a_log_reads_what_was_written_either_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        RealDisk.create(&path).unwrap();
        let log = RealDisk.open_log(&path).unwrap();
        let mut blocks = Blocks::zeroed(2 * BLOCK_BYTES);
        blocks.fill(1);
        log.write_at(&blocks, 0).unwrap();
        log.write_at(&[2; 10], 4_090).unwrap();
        // The cache has the first block now.
        assert_eq!(
            log.read(BLOCK_BYTES, 0).unwrap()[4_089..],
            [1, 2, 2, 2, 2, 2, 2]
        );
        blocks.fill(3);
        log.write_at(&blocks[..BLOCK_BYTES], 0).unwrap();
        log.sync().unwrap();
        let read = RealDisk
            .open(&path)
            .unwrap()
            .read(3 * BLOCK_BYTES, 0)
            .unwrap();
        assert_eq!(read.len(), 2 * BLOCK_BYTES);
        assert!(read[..BLOCK_BYTES].iter().all(|byte| *byte == 3));
        assert_eq!(read[BLOCK_BYTES..][..5], [2, 2, 2, 2, 1]);
    }
}
