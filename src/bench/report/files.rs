//! Files that are complete or not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ReportError;

/// A folder that a report goes to, and what was written to it.
pub(super) struct Folder {
    dir: PathBuf,
    written: Vec<PathBuf>,
}

impl Folder {
    /// Makes it if missing.
    pub(super) fn make(dir: &Path) -> Result<Folder, ReportError> {
        let failed = |source| ReportError::Folder {
            dir: dir.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(failed)?;
        Ok(Folder {
            dir: dir.to_owned(),
            written: Vec::new(),
        })
    }

    /// Writes a file beside its final place and moves it there, so that a reader, and a run that is
    /// cut short, find the old one or the new one.
    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), ReportError> {
        let path = self.dir.join(name);
        let partial = self.dir.join(format!(".{name}.partial"));
        replace(&partial, &path, bytes).map_err(|source| {
            // Best effort: the error to tell is the first one.
            let _ = fs::remove_file(&partial);
            ReportError::File {
                path: path.clone(),
                source,
            }
        })?;
        self.written.push(path);
        Ok(())
    }

    /// What was written, in order.
    pub(super) fn into_written(self) -> Vec<PathBuf> {
        self.written
    }
}

fn replace(partial: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(partial, bytes)?;
    fs::rename(partial, path)
}
