//! Checkpoints: the table and the segments as of some instant, `<number>.ckp`.
//!
//! A checkpoint says *from* which segment the journal is to be replayed, and for each topic up to
//! which group it is told (`as of`); entries up to that group are not applied to it again. So it can
//! be written a few topics at a time while the writer goes on. All integers are little-endian.
//!
//! ```text
//!   0  u32 magic "WPJC" · u16 version 1 · u16 zero · u64 number · [16] storage id
//!  32  u64 from segment · u64 from group (the last before that segment) · u64 as of (group)
//!  56  u32 incarnation
//!  60  u32 crc32c of bytes 0 .. 60
//!  64  blocks: u32 length · u32 crc32c · payload
//! payload: u8 kind
//!   1 segments  u32 count · (u64 sequence · u64 generation · u64 end · u8 quarantined)*
//!   2 topics    u32 count · topic*
//!   3 end       u64 topics · u64 as of (the highest of any topic)
//! topic: host (as in `record`) · u64 as of · u8 bits (1 = traffic, 2 = role, 4 = epochs)
//!   · [traffic] · [role] · [epochs]
//! role: u64 highest epoch heard of · u8 (0 keeps a copy, 1 hosts it and nobody has a copy, 2 hosts it);
//!   without it: hosts it, nobody has a copy, and it has heard of no epoch but of its grant and those
//!   of the log
//! epochs: u32 count · (u64 epoch · u64 first offset)*
//! traffic: u64 start · u64 end · u64 bytes · u8 has last · i64 last append · u8 suspect
//!   u32 marks     · (u64 base · u64 bytes · i64 first · i64 last)*
//!   u32 damaged   · (u64 from · u64 to)*
//!   u32 lost      · (u64 from · u64 to)*
//!   u32 positions · (as in `record`)*
//!   u32 producers · ([16] id · u32 ranges · (u64 sequence · u64 offset · u64 count)*)*
//!   u32 spans     · (u64 segment · u64 base · u64 end · u64 bytes)*
//! ```

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, BufMut};

use super::dedupe::Range;
use super::disk::{Disk, DiskFile};
use super::epochs::Epochs;
use super::layout::{VERSION, array, u16_at, u32_at, u64_at};
use super::names;
use super::record::{self, PartError};
use super::segments::Span;
use super::table::{Table, Topic, of_grant};
use super::traffic::{Mark, Traffic};
use crate::limits;
use crate::types::{Epoch, Incarnation, Offset, ProducerId, StorageId, TopicId, UnixMicros};

const MAGIC: [u8; 4] = *b"WPJC";
const HEADER_BYTES: usize = 64;
const SEGMENTS: u8 = 1;
const TOPICS: u8 = 2;
const END: u8 = 3;

/// What is told of a topic.
const TRAFFIC: u8 = 1;
const ROLE: u8 = 2;
/// Roles; without one: [`SOLE_HOST`].
const COPY: u8 = 0;
const SOLE_HOST: u8 = 1;
const HOST: u8 = 2;
const EPOCHS: u8 = 4;

/// Bytes that a topic takes, beside its name.
pub(super) const TOPIC_BYTES: u64 = 50;
/// Bytes that a position takes, beside the name of its group.
pub(super) const POSITION_BYTES: u64 = 49;
/// Bytes that a topic's batches in one more segment add: all counts, a mark, a producer, an epoch and the
/// role, the span.
pub(super) const SPAN_BYTES: u64 = 200;

/// A segment as a checkpoint lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListedSegment {
    pub(super) sequence: u64,
    pub(super) generation: u64,
    pub(super) end: u64,
    pub(super) quarantined: bool,
}

/// The header of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: u64,
    pub(super) storage: StorageId,
    pub(super) from_segment: u64,
    pub(super) from_group: u64,
    pub(super) as_of: u64,
    pub(super) incarnation: Incarnation,
}

impl Head {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.put_slice(&MAGIC);
        out.put_u16_le(VERSION);
        out.put_u16_le(0);
        out.put_u64_le(self.number);
        out.put_slice(&self.storage.0);
        out.put_u64_le(self.from_segment);
        out.put_u64_le(self.from_group);
        out.put_u64_le(self.as_of);
        out.put_u32_le(self.incarnation);
        out.put_u32_le(crc32c::crc32c(&out));
        array(&out, 0)
    }

    fn decode(raw: &[u8; HEADER_BYTES]) -> Result<Head, Unusable> {
        if raw[..4] != MAGIC || u32_at(raw, 60) != crc32c::crc32c(&raw[..60]) {
            return Err(Unusable::Damaged);
        }
        match u16_at(raw, 4) {
            VERSION => Ok(Head {
                number: u64_at(raw, 8),
                storage: StorageId(array(raw, 16)),
                from_segment: u64_at(raw, 32),
                from_group: u64_at(raw, 40),
                as_of: u64_at(raw, 48),
                incarnation: u32_at(raw, 56),
            }),
            other => Err(Unusable::Version(other)),
        }
    }
}

/// Why a checkpoint cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    Damaged,
    Version(u16),
}

impl From<PartError> for Unusable {
    fn from(_: PartError) -> Self {
        Unusable::Damaged
    }
}

impl From<bytes::TryGetError> for Unusable {
    fn from(_: bytes::TryGetError) -> Self {
        Unusable::Damaged
    }
}

impl From<io::Error> for Unusable {
    fn from(_: io::Error) -> Self {
        Unusable::Damaged
    }
}

/// Writes a checkpoint block by block; its name appears when it is whole.
#[derive(Debug)]
pub(super) struct Writer {
    file: Arc<dyn DiskFile>,
    number: u64,
    at: u64,
    topics: u64,
    as_of: u64,
    block: Vec<u8>,
    in_block: u32,
}

impl Writer {
    /// Begins in a file of which nothing else is needed, named as unfinished.
    pub(super) fn begin(
        file: Arc<dyn DiskFile>,
        head: &Head,
        segments: &[ListedSegment],
    ) -> io::Result<Writer> {
        file.write_at(&head.encode(), 0)?;
        let mut writer = Writer {
            file,
            number: head.number,
            at: HEADER_BYTES as u64,
            topics: 0,
            as_of: head.as_of,
            block: Vec::new(),
            in_block: 0,
        };
        let mut payload = vec![SEGMENTS];
        payload.put_u32_le(segments.len() as u32);
        for segment in segments {
            payload.put_u64_le(segment.sequence);
            payload.put_u64_le(segment.generation);
            payload.put_u64_le(segment.end);
            payload.put_u8(u8::from(segment.quarantined));
        }
        writer.put(&payload)?;
        Ok(writer)
    }

    fn put(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut head = Vec::with_capacity(8);
        head.put_u32_le(payload.len() as u32);
        head.put_u32_le(crc32c::crc32c(payload));
        self.file.write_at(&head, self.at)?;
        self.file.write_at(payload, self.at + 8)?;
        self.at += 8 + payload.len() as u64;
        Ok(())
    }

    /// Adds a topic to the block in the making. No I/O: called under the table's lock.
    pub(super) fn add<'a>(
        &mut self,
        id: TopicId,
        topic: &Topic,
        as_of: u64,
        spans: impl ExactSizeIterator<Item = &'a Span>,
    ) {
        if self.block.is_empty() {
            self.block.push(TOPICS);
            self.block.put_u32_le(0);
        }
        encode_topic(id, topic, as_of, spans, &mut self.block);
        self.in_block += 1;
        self.topics += 1;
        self.as_of = self.as_of.max(as_of);
    }

    /// Writes the topics added.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.in_block == 0 {
            return Ok(());
        }
        let mut block = std::mem::take(&mut self.block);
        block[1..5].copy_from_slice(&self.in_block.to_le_bytes());
        self.in_block = 0;
        self.put(&block)
    }

    /// Makes it durable and gives it its name; answers its size.
    pub(super) fn finish(mut self, disk: &dyn Disk, dir: &Path) -> io::Result<u64> {
        self.flush()?;
        let mut payload = vec![END];
        payload.put_u64_le(self.topics);
        payload.put_u64_le(self.as_of);
        self.put(&payload)?;
        self.file.sync()?;
        let path = names::checkpoint(dir, self.number);
        disk.rename(&names::unfinished(&path), &path)?;
        disk.sync_dir(dir)?;
        Ok(self.at)
    }
}

fn encode_topic<'a>(
    id: TopicId,
    topic: &Topic,
    as_of: u64,
    spans: impl ExactSizeIterator<Item = &'a Span>,
    out: &mut Vec<u8>,
) {
    record::encode_host(&topic.hosted(id), out);
    out.put_u64_le(as_of);
    let traffic = topic.traffic.as_deref();
    let epochs = traffic.map(|t| &t.epochs).filter(|e| e.len() > 0);
    let last = epochs.and_then(Epochs::last).unwrap_or_default();
    let has_role = !topic.hosts || topic.shared || topic.heard != of_grant(topic.grant).max(last);
    let mut bits = 0;
    for (bit, is_there) in [
        (TRAFFIC, traffic.is_some()),
        (ROLE, has_role),
        (EPOCHS, epochs.is_some()),
    ] {
        bits |= if is_there { bit } else { 0 };
    }
    out.put_u8(bits);
    if let Some(traffic) = traffic {
        encode_traffic(traffic, out);
        encode_spans(spans, out);
    }
    if has_role {
        out.put_u64_le(topic.heard.as_u64());
        out.put_u8(match (topic.hosts, topic.shared) {
            (false, _) => COPY,
            (true, false) => SOLE_HOST,
            (true, true) => HOST,
        });
    }
    if let Some(epochs) = epochs {
        out.put_u32_le(epochs.len() as u32);
        for (epoch, first) in epochs.iter() {
            out.put_u64_le(epoch.as_u64());
            out.put_u64_le(first.0);
        }
    }
}

fn encode_spans<'a>(spans: impl ExactSizeIterator<Item = &'a Span>, out: &mut Vec<u8>) {
    out.put_u32_le(spans.len() as u32);
    for span in spans {
        out.put_u64_le(span.segment);
        out.put_u64_le(span.base.0);
        out.put_u64_le(span.end.0);
        out.put_u64_le(span.bytes);
    }
}

fn encode_traffic(traffic: &Traffic, out: &mut Vec<u8>) {
    out.put_u64_le(traffic.start.0);
    out.put_u64_le(traffic.end.0);
    out.put_u64_le(traffic.bytes);
    out.put_u8(u8::from(traffic.last_append.is_some()));
    out.put_i64_le(traffic.last_append.map_or(0, |time| time.0));
    out.put_u8(u8::from(traffic.suspect));
    out.put_u32_le(traffic.marks.len() as u32);
    for mark in &traffic.marks {
        out.put_u64_le(mark.base.0);
        out.put_u64_le(mark.bytes);
        out.put_i64_le(mark.first.0);
        out.put_i64_le(mark.last.0);
    }
    for ranges in [&traffic.damaged, &traffic.lost] {
        out.put_u32_le(ranges.len() as u32);
        for (from, to) in ranges {
            out.put_u64_le(from.0);
            out.put_u64_le(to.0);
        }
    }
    out.put_u32_le(traffic.positions.len() as u32);
    for (key, position) in &traffic.positions {
        record::encode_position(key, position, out);
    }
    out.put_u32_le(traffic.dedupe.len() as u32);
    for (producer, ranges) in traffic.dedupe.iter() {
        out.put_slice(&producer.0);
        out.put_u32_le(ranges.len() as u32);
        for range in ranges {
            out.put_u64_le(range.sequence);
            out.put_u64_le(range.offset.0);
            out.put_u64_le(range.count);
        }
    }
}

/// A topic's part of a checkpoint that the table does not hold.
#[derive(Debug, Clone)]
pub(super) struct LoadedTopic {
    pub(super) as_of: u64,
    pub(super) spans: Vec<Span>,
}

/// A checkpoint, read and found sound.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) head: Head,
    /// The highest group that any part of it tells of.
    pub(super) as_of: u64,
    pub(super) bytes: u64,
    pub(super) segments: Vec<ListedSegment>,
    pub(super) table: Table,
    pub(super) topics: hashbrown::HashMap<TopicId, LoadedTopic>,
}

/// Reads a checkpoint; anything that is not exactly right makes it unusable.
pub(super) fn load(file: &dyn DiskFile) -> Result<Loaded, Unusable> {
    let length = file.length()?;
    let mut head = [0; HEADER_BYTES];
    if file.read_at(&mut head, 0)? != HEADER_BYTES {
        return Err(Unusable::Damaged);
    }
    let head = Head::decode(&head)?;
    let mut loaded = Loaded {
        head,
        as_of: head.as_of,
        bytes: length,
        segments: Vec::new(),
        table: Table::default(),
        topics: hashbrown::HashMap::new(),
    };
    loaded.table.incarnation = head.incarnation;
    let mut at = HEADER_BYTES as u64;
    loop {
        let block = read_block(file, at, length)?;
        at += 8 + block.len() as u64;
        if loaded.take_block(&block)? {
            // What follows is left of a larger file that it was written over.
            loaded.bytes = at;
            return Ok(loaded);
        }
    }
}

fn read_block(file: &dyn DiskFile, at: u64, length: u64) -> Result<Vec<u8>, Unusable> {
    let mut head = [0; 8];
    if file.read_at(&mut head, at)? != 8 {
        return Err(Unusable::Damaged);
    }
    let bytes = u32_at(&head, 0) as usize;
    if bytes == 0 || bytes > limits::CHECKPOINT_BLOCK_BYTES || at + 8 + bytes as u64 > length {
        return Err(Unusable::Damaged);
    }
    let mut block = vec![0; bytes];
    if file.read_at(&mut block, at + 8)? != bytes || crc32c::crc32c(&block) != u32_at(&head, 4) {
        return Err(Unusable::Damaged);
    }
    Ok(block)
}

impl Loaded {
    /// Takes a block in; whether it was the last.
    fn take_block(&mut self, block: &[u8]) -> Result<bool, Unusable> {
        let mut rest = &block[1..];
        match block[0] {
            SEGMENTS => {
                for _ in 0..rest.try_get_u32_le()? {
                    self.segments.push(ListedSegment {
                        sequence: rest.try_get_u64_le()?,
                        generation: rest.try_get_u64_le()?,
                        end: rest.try_get_u64_le()?,
                        quarantined: rest.try_get_u8()? != 0,
                    });
                }
                Ok(false)
            }
            TOPICS => {
                for _ in 0..rest.try_get_u32_le()? {
                    self.take_topic(&mut rest)?;
                }
                Ok(false)
            }
            END => {
                let topics = rest.try_get_u64_le()?;
                self.as_of = rest.try_get_u64_le()?;
                match topics == self.topics.len() as u64 {
                    true => Ok(true),
                    false => Err(Unusable::Damaged),
                }
            }
            _ => Err(Unusable::Damaged),
        }
    }

    fn take_topic(&mut self, rest: &mut &[u8]) -> Result<(), Unusable> {
        let hosted = record::take_host(rest)?;
        let as_of = rest.try_get_u64_le()?;
        let mut topic = Topic::new(&hosted);
        let mut spans = Vec::new();
        let bits = rest.try_get_u8()?;
        if bits & !(TRAFFIC | ROLE | EPOCHS) != 0 {
            return Err(Unusable::Damaged);
        }
        if bits & TRAFFIC != 0 {
            topic.traffic = Some(Box::new(take_traffic(rest)?));
            for _ in 0..rest.try_get_u32_le()? {
                spans.push(Span {
                    segment: rest.try_get_u64_le()?,
                    base: Offset(rest.try_get_u64_le()?),
                    end: Offset(rest.try_get_u64_le()?),
                    bytes: rest.try_get_u64_le()?,
                });
            }
        }
        if bits & ROLE != 0 {
            let heard = Epoch::from_u64(rest.try_get_u64_le()?);
            topic.heard = topic.heard.max(heard);
            let role = rest.try_get_u8()?;
            (topic.hosts, topic.shared) = (role != COPY, role != SOLE_HOST);
        }
        if bits & EPOCHS != 0 {
            take_epochs(rest, &mut topic)?;
        }
        self.table.topics.insert(hosted.id, topic);
        self.table.note_expiry(&hosted.id);
        self.topics.insert(hosted.id, LoadedTopic { as_of, spans });
        Ok(())
    }
}

fn take_epochs(rest: &mut &[u8], topic: &mut Topic) -> Result<(), Unusable> {
    for _ in 0..rest.try_get_u32_le()? {
        let epoch = Epoch::from_u64(rest.try_get_u64_le()?);
        let first = Offset(rest.try_get_u64_le()?);
        topic.heard = topic.heard.max(epoch);
        if let Some(traffic) = &mut topic.traffic {
            traffic.epochs.note(epoch, first);
        }
    }
    Ok(())
}

fn take_traffic(rest: &mut &[u8]) -> Result<Traffic, Unusable> {
    let mut traffic = Traffic {
        start: Offset(rest.try_get_u64_le()?),
        end: Offset(rest.try_get_u64_le()?),
        bytes: rest.try_get_u64_le()?,
        ..Traffic::default()
    };
    let has_last = rest.try_get_u8()? != 0;
    let last = UnixMicros(rest.try_get_i64_le()?);
    traffic.last_append = has_last.then_some(last);
    traffic.suspect = rest.try_get_u8()? != 0;
    for _ in 0..rest.try_get_u32_le()? {
        traffic.marks.push_back(Mark {
            base: Offset(rest.try_get_u64_le()?),
            bytes: rest.try_get_u64_le()?,
            first: UnixMicros(rest.try_get_i64_le()?),
            last: UnixMicros(rest.try_get_i64_le()?),
        });
    }
    for ranges in [&mut traffic.damaged, &mut traffic.lost] {
        for _ in 0..rest.try_get_u32_le()? {
            let from = Offset(rest.try_get_u64_le()?);
            ranges.push((from, Offset(rest.try_get_u64_le()?)));
        }
    }
    for _ in 0..rest.try_get_u32_le()? {
        let (key, position) = record::take_position(rest)?;
        traffic.positions.insert(key, position);
    }
    for _ in 0..rest.try_get_u32_le()? {
        let producer = ProducerId(record::take(rest)?);
        for _ in 0..rest.try_get_u32_le()? {
            let range = Range {
                sequence: rest.try_get_u64_le()?,
                offset: Offset(rest.try_get_u64_le()?),
                count: rest.try_get_u64_le()?,
            };
            traffic.dedupe.note(producer, range);
        }
    }
    Ok(traffic)
}
