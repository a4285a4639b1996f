//! Looking for entries in the bytes of a segment. Pure; nothing here can panic on any bytes.

use super::layout::{ENTRY_HEADER_BYTES, EntryHeader};

/// A block of space that was never written.
static ZEROS: [u8; 4096] = [0; 4096];

/// What stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At<'a> {
    /// A whole entry.
    Entry(EntryHeader, &'a [u8]),
    /// A true header whose body is not.
    BadBody(EntryHeader),
    /// No header of this segment and place.
    Nothing,
}

/// A segment's bytes and the seed of its checksums.
#[derive(Debug, Clone)]
pub(super) struct Bytes {
    pub(super) data: Vec<u8>,
    pub(super) generation: u64,
}

impl Bytes {
    /// What stands at `position`.
    pub(super) fn at(&self, position: u64) -> At<'_> {
        let Some(header) = self.header(position) else {
            return At::Nothing;
        };
        let from = position as usize + ENTRY_HEADER_BYTES;
        let body = self.data.get(from..from + header.length as usize);
        match body {
            Some(body) if crc32c::crc32c(body) == header.body_crc => At::Entry(header, body),
            _ => At::BadBody(header),
        }
    }

    fn header(&self, position: u64) -> Option<EntryHeader> {
        let rest = self.data.get(usize::try_from(position).ok()?..)?;
        EntryHeader::decode(rest, self.generation, position)
    }

    /// The first whole entry at or after `from` whose group is at least `group`.
    pub(super) fn next_entry(&self, from: u64, group: u64) -> Option<(u64, EntryHeader)> {
        self.places(from)
            .find_map(|position| match self.at(position) {
                At::Entry(header, _) if header.group >= group => Some((position, header)),
                _ => None,
            })
    }

    /// Whether a whole entry of a group above `group` stands at or after `from`.
    pub(super) fn has_later(&self, from: u64, group: u64) -> bool {
        let mut at = from;
        while let Some((position, header)) = self.next_entry(at, group) {
            if header.group > group {
                return true;
            }
            at = position + header.total();
        }
        false
    }

    /// The end of the last entry with a true header at or after `from`; `from` if there is none.
    pub(super) fn end_of_headers(&self, from: u64) -> u64 {
        self.places(from)
            .filter_map(|position| Some(position + self.header(position)?.total()))
            .max()
            .unwrap_or(from)
            .min(self.data.len() as u64)
            .max(from)
    }

    /// Where an entry may start: every 8 bytes, except in blocks of zeros, of which space that was
    /// made ready and not yet written consists. A header that starts at the very end of such a
    /// block could begin with zeros, so the last places of a block are never left out.
    fn places(&self, from: u64) -> impl Iterator<Item = u64> + '_ {
        let end = self.data.len() as u64;
        let mut next = from;
        std::iter::from_fn(move || {
            if next.is_multiple_of(ZEROS.len() as u64) && self.is_zero_block(next) {
                next += (ZEROS.len() - ENTRY_HEADER_BYTES) as u64;
            }
            let place = next;
            next += 8;
            (place < end).then_some(place)
        })
    }

    fn is_zero_block(&self, at: u64) -> bool {
        let at = at as usize;
        self.data.get(at..at + ZEROS.len()) == Some(&ZEROS[..])
    }
}

/// The headers of the entries between two places, if all of them are true and only bodies are not.
pub(super) fn struck_headers(bytes: &Bytes, from: u64, to: u64) -> Option<Vec<EntryHeader>> {
    let mut headers = Vec::new();
    let mut at = from;
    while at < to {
        let (At::BadBody(header) | At::Entry(header, _)) = bytes.at(at) else {
            return None;
        };
        headers.push(header);
        at += header.total();
    }
    (at == to).then_some(headers)
}
