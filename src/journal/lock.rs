//! The lock against a second process: an exclusive flock on `lock`, with the holder's pid inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, RealDisk};
use super::error::OpenError;

const FILE: &str = "lock";
/// Bytes read of a lock file: a pid has ten digits at most.
const PID_BYTES: usize = 16;

/// Who holds a journal's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// What it is doing.
    pub state: HolderState,
    /// Its executable, if we may see it.
    pub exe: Option<PathBuf>,
}

/// What a holder is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderState {
    /// It runs or sleeps as processes do.
    Running,
    /// It is suspended (^Z, SIGSTOP) or traced.
    Stopped,
    /// It is not to be seen: another machine's, another namespace's, or just gone.
    Unknown,
}

/// Takes the lock for as long as the answer lives.
pub(super) fn take(disk: &dyn Disk, dir: &Path) -> Result<Arc<dyn DiskFile>, OpenError> {
    let path = dir.join(FILE);
    let io = |source| OpenError::Io {
        what: "lock",
        path: path.clone(),
        source,
    };
    let Some(file) = disk.lock(&path).map_err(io)? else {
        let pid = read_pid(disk, &path).unwrap_or(0);
        return Err(OpenError::Locked {
            dir: dir.to_owned(),
            pid,
            holder: (pid != 0).then(|| describe(pid)),
        });
    };
    let text = format!("{}\n", std::process::id());
    // A pid that cannot be written on a full disk must not keep the journal from opening.
    let _ = file
        .set_length(0)
        .and_then(|()| file.write_at(text.as_bytes(), 0));
    Ok(file)
}

/// Who holds the folder, if anybody does.
pub fn holder(dir: &Path) -> Option<Holder> {
    let path = dir.join(FILE);
    // Asking must not make the file, nor the folder.
    RealDisk.open(&path).ok()?;
    match RealDisk.lock(&path) {
        Ok(None) => read_pid(&RealDisk, &path).map(describe),
        _ => None,
    }
}

fn read_pid(disk: &dyn Disk, path: &Path) -> Option<u32> {
    let file = disk.open(path).ok()?;
    let mut text = [0; PID_BYTES];
    let count = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..count])
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn describe(pid: u32) -> Holder {
    let state = fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .map_or(HolderState::Unknown, |stat| state_of(&stat));
    Holder {
        pid,
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
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holder(dir.path()), None);
        let held = take(&RealDisk, dir.path()).unwrap();
        let found = holder(dir.path()).unwrap();
        assert_eq!(found.pid, std::process::id());
        assert_eq!(found.state, HolderState::Running);
        match take(&RealDisk, dir.path()) {
            Err(OpenError::Locked { pid, holder, .. }) => {
                assert_eq!(pid, std::process::id());
                assert_eq!(holder, Some(found));
            }
            other => panic!("{other:?}"),
        }
        drop(held);
        assert_eq!(holder(dir.path()), None);
        take(&RealDisk, dir.path()).unwrap();
    }
}
