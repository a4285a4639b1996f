//! The messages inside a batch.

use super::{BatchError, HEADER_BYTES, read_header};
use crate::types::Offset;

/// A record has a key.
pub(super) const HAS_KEY: u8 = 1;
/// A record has headers.
pub(super) const HAS_HEADERS: u8 = 2;

/// One message inside a batch, borrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// The key, if the message has one.
    pub key: Option<&'a [u8]>,
    /// Headers in the order given: name and value.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// The body; may be empty.
    pub body: &'a [u8],
}

impl Record<'_> {
    /// Bytes that count against [`crate::limits::MESSAGE_BYTES`].
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(n, v)| n.len() + v.len()).sum();
        self.key.map_or(0, <[u8]>::len) + headers + self.body.len()
    }
}

/// Reads records one after the other.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Cursor { rest }
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let (&first, rest) = self.rest.split_first().ok_or("cut short")?;
        self.rest = rest;
        Ok(first)
    }

    fn varint(&mut self) -> Result<usize, &'static str> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value)
                    .map(|v| v as usize)
                    .map_err(|_| "a length over 32 bits");
            }
        }
        Err("a length over 32 bits")
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("cut short")?;
        self.rest = rest;
        Ok(taken)
    }

    fn sized(&mut self) -> Result<&'a [u8], &'static str> {
        let count = self.varint()?;
        self.bytes(count)
    }

    /// Whether all bytes have been read.
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn record(&mut self) -> Result<Record<'a>, &'static str> {
        let flags = self.byte()?;
        if flags & !(HAS_KEY | HAS_HEADERS) != 0 {
            return Err("unknown record flags");
        }
        let body_bytes = self.varint()?;
        let key = match flags & HAS_KEY {
            0 => None,
            _ => Some(self.sized()?),
        };
        let mut headers = Vec::new();
        if flags & HAS_HEADERS != 0 {
            for _ in 0..self.varint()? {
                let name =
                    std::str::from_utf8(self.sized()?).map_err(|_| "a header name is not UTF-8")?;
                headers.push((name, self.sized()?));
            }
        }
        let body = self.bytes(body_bytes)?;
        Ok(Record { key, headers, body })
    }
}

/// Reads the messages of a batch whose header was read before. Offsets run from `header.base`.
pub fn records(bytes: &[u8]) -> Result<Vec<(Offset, Record<'_>)>, BatchError> {
    let header = read_header(bytes)?;
    let mut cursor = Cursor::new(&bytes[HEADER_BYTES..]);
    (0..header.count)
        .map(|index| {
            let record = cursor
                .record()
                .map_err(|what| BatchError::Record { index, what })?;
            Ok((header.base.plus(u64::from(index)), record))
        })
        .collect()
}
