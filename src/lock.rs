//! One process per data folder: an exclusive lock on a file in it, with the holder's pid inside.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// The lock file's name within a data folder.
pub const FILE: &str = "lock";
/// Bytes read of a lock file: a pid has ten digits at most.
pub(crate) const PID_BYTES: usize = 16;

/// Who holds a data folder; the default is somebody of whom nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// Its process id, if it has written one.
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: HolderState,
    /// Its executable, if we may see it.
    pub exe: Option<PathBuf>,
}

/// What a holder is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HolderState {
    /// It runs or sleeps as processes do.
    Running,
    /// It is suspended (^Z, SIGSTOP) or traced.
    Stopped,
    /// It is not to be seen: another machine's, another namespace's, or just gone.
    #[default]
    Unknown,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.pid, self.state) {
            (Some(pid), HolderState::Stopped) => write!(f, "process {pid}, which is suspended"),
            (Some(pid), _) => write!(f, "process {pid}"),
            (None, _) => f.write_str("another process"),
        }
    }
}

/// Why a folder was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("in use by {0}")]
    Held(Holder),
    /// The lock file cannot be used.
    #[error("the lock file cannot be used")]
    Io(#[from] io::Error),
}

/// Holds a data folder until dropped, or until the process ends in whatever way.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the folder, which must exist, or says who has it.
    pub fn take(folder: &Path) -> Result<FolderLock, LockError> {
        let path = folder.join(FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        if !try_lock(&file)? {
            return Err(LockError::Held(holder_in(&file)));
        }
        let pid = format!("{}\n", std::process::id());
        // A pid that cannot be written on a full disk must not keep the folder from opening.
        let _ = file
            .set_len(0)
            .and_then(|()| file.write_all(pid.as_bytes()));
        Ok(FolderLock { _file: file })
    }
}

/// Locks the file against every other holder; `false`: somebody else holds it. [`holder`] locks for
/// the moment of its question, so that one refusal proves nothing.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    for pause in [
        Duration::ZERO,
        Duration::from_millis(5),
        Duration::from_millis(25),
    ] {
        std::thread::sleep(pause);
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Who holds the folder, if anybody does. Asking makes neither the file nor the folder.
pub fn holder(folder: &Path) -> Option<Holder> {
    let file = File::open(folder.join(FILE)).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => Some(holder_in(&file)),
        _ => None,
    }
}

fn holder_in(file: &File) -> Holder {
    let mut text = vec![];
    // What cannot be read leaves the holder nameless.
    let _ = file.take(PID_BYTES as u64).read_to_end(&mut text);
    named_in(&text)
}

/// The process that a lock file's content names.
pub(crate) fn named_in(text: &[u8]) -> Holder {
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.trim().parse().map(describe).unwrap_or_default()
}

fn describe(pid: u32) -> Holder {
    let state = fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .map_or(HolderState::Unknown, |stat| state_of(&stat));
    Holder {
        pid: Some(pid),
        state,
        exe: fs::read_link(format!("/proc/{pid}/exe")).ok(),
    }
}

/// The state in a line of proc(5)'s stat: the first letter after the command, which stands in
/// parentheses and may contain anything.
fn state_of(stat: &str) -> HolderState {
    let letter = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    match letter {
        Some('T' | 't') => HolderState::Stopped,
        Some(_) => HolderState::Running,
        None => HolderState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_read_past_any_command() {
        assert_eq!(state_of("7 (a) R 1 2"), HolderState::Running);
        assert_eq!(state_of("7 (a) T (b) T 1 2"), HolderState::Stopped);
        assert_eq!(state_of("7 (a) S) t 1 2"), HolderState::Stopped);
        assert_eq!(state_of(""), HolderState::Unknown);
    }

    #[test]
    fn a_second_holder_is_told_the_first_ones_pid() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(holder(folder.path()), None);
        let held = FolderLock::take(folder.path()).unwrap();
        let found = holder(folder.path()).unwrap();
        assert_eq!(found.pid, Some(std::process::id()));
        assert_eq!(found.state, HolderState::Running);
        match FolderLock::take(folder.path()) {
            Err(LockError::Held(holder)) => assert_eq!(holder, found),
            other => panic!("{other:?}"),
        }
        drop(held);
        assert_eq!(holder(folder.path()), None);
        FolderLock::take(folder.path()).unwrap();
    }
}
