//! Recovery of arbitrary segments, for fuzzing.

use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;

use super::Options;
use super::faulty::FaultyDisk;
use super::layout::{EntryHeader, FIRST_ENTRY, SegmentHeader, topic_mark};
use super::reader::Reader;
use super::record::kind;
use super::{names, recovery};
use crate::limits;
use crate::types::{Offset, StorageId, TopicId, UnixMicros};
use crate::wire::batch;

const GENERATION: u64 = 0;

/// Recovers a folder whose first segment is made of `bytes`, and reads what came of it. Nothing may
/// panic, and what is served must be whole batches in ascending order.
///
/// The bytes are instructions, so that noise gets past the checksums: `op, length, body`. The op's
/// low four bits are the kind of an entry with that body (13 to 15: the kinds of copies), its higher bits say whether the entry is its
/// group's last and whether the group jumps; an op from 0xf0 on lays the body as it is.
#[doc(hidden)]
pub fn fuzz_recover(bytes: &[u8]) {
    let dir = Path::new("/journal");
    let disk = FaultyDisk::holding([(names::segment(dir, 1), segment(bytes))]);
    let options = Options {
        segment_bytes: limits::SEGMENT_BYTES_MIN,
        extent_bytes: limits::SEGMENT_BYTES_MIN / 8,
        disk: Arc::new(disk),
        ..Options::new(dir)
    };
    let Ok(recovered) = recovery::recover(&options) else {
        return;
    };
    let position = recovered.tail.position();
    assert!(position >= FIRST_ENTRY && position.is_multiple_of(8));
    let view = RwLock::new(recovered.view);
    let reader = Reader::new();
    let topics: Vec<TopicId> = view.read().topics.keys().copied().collect();
    for topic in topics {
        let Some((start, end)) = view.read().range(&topic) else {
            continue;
        };
        assert!(start <= end, "{topic}: {start} to {end}");
        read_all(&options, &view, &reader, topic, start);
    }
}

fn read_all(
    options: &Options,
    view: &RwLock<super::view::View>,
    reader: &Reader,
    topic: TopicId,
    start: Offset,
) {
    let mut from = start;
    while let Ok(slice) = reader.read(options, view, topic, from, 1 << 20) {
        if slice.next <= from {
            break;
        }
        let mut next = from;
        for bytes in &slice.batches {
            let header = batch::read_header(bytes).expect("a served batch has a header");
            assert_eq!(header.topic, topic);
            assert!(header.end() > next);
            next = header.end();
        }
        from = slice.next;
    }
}

fn segment(mut bytes: &[u8]) -> Vec<u8> {
    let header = SegmentHeader {
        sequence: 1,
        generation: GENERATION,
        storage: StorageId([0; 16]),
        made: UnixMicros(0),
        rewritten: false,
    };
    let mut file = header.encode();
    let mut group = 1;
    while let [op, length, rest @ ..] = bytes {
        let (body, after) = rest.split_at(rest.len().min(usize::from(*length)));
        bytes = after;
        if *op >= 0xf0 {
            file.extend_from_slice(body);
        } else {
            lay(&mut file, *op, &mut group, body);
        }
        file.resize(file.len().next_multiple_of(8), 0);
    }
    file
}

fn lay(file: &mut Vec<u8>, op: u8, group: &mut u64, body: &[u8]) {
    let kind = kind_of(op);
    let body = match kind {
        kind::BATCH => batch_like(body),
        _ => body.to_vec(),
    };
    let topic = body.get(..16).and_then(|id| id.try_into().ok());
    let entry = EntryHeader {
        length: body.len() as u32,
        group: *group,
        body_crc: crc32c::crc32c(&body),
        kind,
        flags: u16::from(op >> 4 & 1),
        topic: topic.map_or(0, |id| topic_mark(&TopicId(id))),
    };
    let position = file.len() as u64;
    file.extend_from_slice(&entry.encode(GENERATION, position));
    file.extend_from_slice(&body);
    *group += u64::from(op >> 4 & 1) + 2 * u64::from(op >> 5 & 1);
}

/// The kind that an op asks for.
fn kind_of(op: u8) -> u16 {
    match op & 0x0f {
        13 => kind::TRUNCATE,
        14 => kind::KNOWN,
        15 => kind::DEDUPE,
        low => u16::from(low),
    }
}

/// A batch header from few bytes: base, count and sequence small or odd, one of two topics.
fn batch_like(body: &[u8]) -> Vec<u8> {
    let at = |index: usize| body.get(index).copied().unwrap_or(0);
    let mut out = vec![0; batch::HEADER_BYTES + body.len()];
    out[..4].copy_from_slice(b"WPB1");
    let length = out.len() as u32;
    out[4..8].copy_from_slice(&length.to_le_bytes());
    out[8] = at(0);
    out[15] = if at(1) == 0xff { 0xff } else { 0 };
    out[40] = at(2) & 1;
    out[72] = at(3);
    out[88] = at(4).max(1);
    out[24..28].copy_from_slice(&[at(5), at(6), at(7), at(8)]);
    out
}
