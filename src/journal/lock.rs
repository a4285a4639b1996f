//! The lock against a second process, through the file layer; the rules are [`crate::lock`]'s.

use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::error::OpenError;
use crate::lock;

/// Takes the lock for as long as the answer lives.
pub(super) fn take(disk: &dyn Disk, dir: &Path) -> Result<Arc<dyn DiskFile>, OpenError> {
    let path = dir.join(lock::FILE);
    let io = |source| OpenError::Io {
        what: "lock",
        path: path.clone(),
        source,
    };
    let Some(file) = disk.lock(&path).map_err(io)? else {
        return Err(OpenError::Locked {
            dir: dir.to_owned(),
            holder: read_holder(disk, &path),
        });
    };
    let text = format!("{}\n", std::process::id());
    // A pid that cannot be written on a full disk must not keep the journal from opening.
    let _ = file
        .set_length(0)
        .and_then(|()| file.write_at(text.as_bytes(), 0));
    Ok(file)
}

fn read_holder(disk: &dyn Disk, path: &Path) -> lock::Holder {
    let mut text = [0; lock::PID_BYTES];
    let read = disk.open(path).and_then(|file| file.read_at(&mut text, 0));
    lock::named_in(&text[..read.unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::RealDisk;

    #[test]
    fn a_second_journal_is_told_the_first_ones_pid() {
        let dir = tempfile::tempdir().unwrap();
        let held = take(&RealDisk, dir.path()).unwrap();
        match take(&RealDisk, dir.path()) {
            Err(OpenError::Locked { holder, .. }) => {
                assert_eq!(holder.pid, Some(std::process::id()));
            }
            other => panic!("{other:?}"),
        }
        drop(held);
        take(&RealDisk, dir.path()).unwrap();
    }
}
