//! Looking past the segment that is being replayed.

use std::cell::RefCell;
use std::rc::Rc;

use super::Options;
use super::error::OpenError;
use super::layout::FIRST_ENTRY;
use super::recovery::{Found, is_blank, read_segment};
use super::scan::{At, Bytes};

/// One segment's bytes and its number.
pub(super) type Kept = RefCell<Option<(u64, Rc<Bytes>)>>;

/// A segment's bytes, kept until the next one is asked for: a segment is looked at from the end of
/// the one before, and then replayed.
pub(super) fn cached(
    options: &Options,
    found: &Found,
    kept: &Kept,
) -> Result<Rc<Bytes>, OpenError> {
    if let Some((sequence, bytes)) = &*kept.borrow()
        && *sequence == found.sequence
    {
        return Ok(bytes.clone());
    }
    let bytes = Rc::new(read_segment(options, found)?);
    *kept.borrow_mut() = Some((found.sequence, bytes.clone()));
    Ok(bytes)
}

/// The segments after the one at hand.
pub(super) struct Later<'a> {
    pub(super) options: &'a Options,
    pub(super) found: &'a [Found],
    pub(super) next: &'a Kept,
}

impl Later<'_> {
    /// Whether any of them holds, or may have held, a whole entry of a group above `group`.
    pub(super) fn has_later(&self, group: u64) -> Result<bool, OpenError> {
        for (at, found) in self.found.iter().enumerate() {
            if found.generation.is_none() {
                // Nobody can read it any more; only emptiness would show that nothing is lost.
                if !is_blank(self.options, found)? {
                    return Ok(true);
                }
                continue;
            }
            let bytes = match at {
                0 => cached(self.options, found, self.next)?,
                _ => Rc::new(read_segment(self.options, found)?),
            };
            if bytes.has_later(FIRST_ENTRY, group) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the next segment begins with the group.
    pub(super) fn begin_with(&self, group: u64) -> Result<bool, OpenError> {
        let Some(next) = self.found.first() else {
            return Ok(false);
        };
        let bytes = cached(self.options, next, self.next)?;
        let first = bytes.at(FIRST_ENTRY);
        Ok(matches!(first, At::Entry(header, _) if header.group == group))
    }
}
