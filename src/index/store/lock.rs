//! One process per data folder, told apart by a locked file with the holder's pid.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::StoreError;

/// Holds a data folder until dropped, or until the process ends in whatever way.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

/// The process that holds a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its pid, if it has written one.
    pub pid: Option<u32>,
    /// Whether it is stopped (^Z).
    pub suspended: bool,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, self.suspended) {
            (Some(pid), true) => {
                write!(
                    f,
                    "process {pid}, which is suspended; wake it: kill -CONT {pid}"
                )
            }
            (Some(pid), false) => write!(f, "process {pid}; stop it: kill {pid}"),
            (None, _) => write!(f, "another process"),
        }
    }
}

impl DataLock {
    /// Takes the folder, or says who has it. Makes the folder where it is missing.
    pub fn take(folder: &Path) -> Result<DataLock, StoreError> {
        let path = folder.join("lock");
        let io = |source| StoreError::Io {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(io)?;
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = options.map_err(io)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(StoreError::InUse {
                path: folder.to_owned(),
                holder: holder(&mut file),
            });
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(DataLock { _file: file })
    }
}

fn holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    let pid = read.ok().and_then(|_| text.trim().parse().ok());
    Holder {
        pid,
        suspended: pid.is_some_and(is_suspended),
    }
}

/// The state follows the command's name, which ends with the last parenthesis.
fn is_suspended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default();
    state.trim_start().starts_with('T')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataLock::take(folder.path()).unwrap();
        let error = DataLock::take(folder.path()).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(
            error.ends_with(&format!("in use by process {pid}; stop it: kill {pid}")),
            "{error}"
        );
        drop(first);
        DataLock::take(folder.path()).unwrap();
    }
}
