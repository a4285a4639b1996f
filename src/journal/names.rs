//! The names of the journal's files. None of them comes from a topic or a peer.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;

/// What a file in the folder is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `<sequence>.seg`
    Segment(u64),
    /// `<sequence>.idx`
    Footer(u64),
    /// `<number>.ckp`
    Checkpoint(u64),
    /// `<sequence>.free`: a dead segment kept for its space.
    Free(u64),
    /// `*.tmp`: not finished, of no value.
    Unfinished,
    /// Not ours.
    Other,
}

pub(super) fn kind(name: &str) -> Kind {
    let Some((stem, extension)) = name.split_once('.') else {
        return Kind::Other;
    };
    if extension == "tmp" {
        return Kind::Unfinished;
    }
    let Some(number) = (stem.len() == 16)
        .then(|| u64::from_str_radix(stem, 16).ok())
        .flatten()
    else {
        return Kind::Other;
    };
    match extension {
        "seg" => Kind::Segment(number),
        "idx" => Kind::Footer(number),
        "ckp" => Kind::Checkpoint(number),
        "free" => Kind::Free(number),
        _ => Kind::Other,
    }
}

pub(super) fn segment(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:016x}.seg"))
}

pub(super) fn footer(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:016x}.idx"))
}

pub(super) fn checkpoint(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.ckp"))
}

/// The file that is to take a segment's place. Not [`unfinished`]: that name is its footer's.
pub(super) fn rewriting(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:016x}-new.tmp"))
}

pub(super) fn free(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:016x}.free"))
}

/// A name for a file that is not finished; the final name is given when it is.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

/// Writes a whole file so that its name appears only with all of its content.
pub(super) fn write_durably(
    disk: &dyn Disk,
    dir: &Path,
    path: &Path,
    parts: &[&[u8]],
) -> io::Result<()> {
    let unfinished = unfinished(path);
    let file = disk.create(&unfinished)?;
    let mut at = 0;
    for part in parts {
        file.write_at(part, at)?;
        at += part.len() as u64;
    }
    file.sync()?;
    disk.rename(&unfinished, path)?;
    disk.sync_dir(dir)
}
