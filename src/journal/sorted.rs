//! How far a journal's folder is sorted, seen from outside.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::layout::{FIRST_ENTRY, SegmentHeader};
use super::names::{self, Kind};

/// How many segments in a journal's folder are sorted by topic, and how many there are; the one being written
/// and the one made ready after it never are. For who waits for it from outside.
pub fn sorted_segments(dir: &Path) -> io::Result<(usize, usize)> {
    let (mut sorted, mut all) = (0, 0);
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !matches!(names::kind(&name), Kind::Segment(_)) {
            continue;
        }
        let mut block = vec![0; FIRST_ENTRY as usize];
        fs::File::open(&path)?.read_exact(&mut block)?;
        all += 1;
        sorted += usize::from(SegmentHeader::decode(&block).is_ok_and(|header| header.rewritten));
    }
    Ok((sorted, all))
}
