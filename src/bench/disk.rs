//! What a job does to the disk below a deployment.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::{Advice, fadvise};

use super::error::BenchError;

/// Takes the journals out of the system's page cache.
pub fn forget_pages(folder: &Path) -> Result<(), BenchError> {
    let doing = || {
        BenchError::io(format!(
            "forgetting cached pages below {}",
            folder.display()
        ))
    };
    for entry in fs::read_dir(folder).map_err(doing())? {
        let path = entry.map_err(doing())?.path();
        if path.is_dir() {
            forget_pages(&path)?;
        } else if path.extension().is_some_and(|name| name == "seg") {
            let file = File::open(&path).map_err(doing())?;
            let forgotten = fadvise(&file, 0, None, Advice::DontNeed);
            forgotten.map_err(Into::into).map_err(doing())?;
        }
    }
    Ok(())
}
