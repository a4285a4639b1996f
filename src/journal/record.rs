//! What an entry says, and its bytes. All integers are little-endian, texts are UTF-8.
//!
//! ```text
//! kind  name         body
//!   1   batch        the batch, byte for byte (wire::batch)
//!   2   host         [16] topic · u32 grant · settings · u16 length · name
//!   3   forget       [16] topic
//!   4   boot         u32 incarnation · [16] boot id
//!   5   position     [16] topic · [32] subscriber · u64 next · u64 sequence · u8 length · group
//!   6   trim         [16] topic · u64 start
//!   7   accept loss  [16] topic · u32 count · (u64 from · u64 to)*
//!   8   marker       u64 why: 0 idle, 1 closed. All before it was synced
//!  16   truncate     [16] topic · u64 to · u64 start. start 0: all at `to` and beyond goes; else all
//!                    goes, and the log begins anew at start
//!  17   epoch start  reserved: first offset of an epoch
//!  18   replica      [16] topic · u64 epoch · settings · u16 length · name
//!  19   dedupe       [16] topic · u64 below · u8 first · u32 count
//!                    · ([16] producer · u64 sequence · u64 offset · u64 count)*
//!  20   storage      reserved: state of the folder as a whole
//! settings: u8 bits (1 = bytes, 2 = age) · u64 bytes · u64 age in ms · u8 replicas · u8 min in sync
//! ```

use bytes::{Buf, BufMut, TryGetError};

use super::dedupe::Range;
use super::table::{HostedTopic, KeptTopic, Position, PositionKey};
use crate::types::{
    BootId, Epoch, Fingerprint, Group, Incarnation, NameError, Offset, ProducerId, TopicId,
    TopicName, TopicSettings,
};
use crate::wire::batch::{self, BatchError, BatchHeader};

/// Stable numbers of the entry kinds; see the table above for the reserved ones.
pub mod kind {
    /// A batch of messages.
    pub const BATCH: u16 = 1;
    /// A topic was taken or changed.
    pub const HOST: u16 = 2;
    /// A topic and all of it goes.
    pub const FORGET: u16 = 3;
    /// A new incarnation.
    pub const BOOT: u16 = 4;
    /// A subscriber's position.
    pub const POSITION: u16 = 5;
    /// The oldest messages of a topic go.
    pub const TRIM: u16 = 6;
    /// The operator accepts what damage took.
    pub const ACCEPT_LOSS: u16 = 7;
    /// All before it was synced.
    pub const MARKER: u16 = 8;
    /// The newest messages of a copy go, or all of them.
    pub const TRUNCATE: u16 = 16;
    /// This peer keeps a copy and knows an epoch.
    pub const KNOWN: u16 = 18;
    /// What a topic's host remembers of its producers.
    pub const DEDUPE: u16 = 19;
    /// Whether others have, or may get, copies of a hosted topic.
    pub const SHARED: u16 = 20;
}

/// An entry's content. Applying it cannot fail: what it says was decided before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Messages, with the host's fields set.
    Batch(BatchHeader),
    /// A topic was taken or changed.
    Host(HostedTopic),
    /// A topic and all of it goes.
    Forget(TopicId),
    /// A new incarnation.
    Boot(Incarnation, BootId),
    /// A subscriber's position, as decided.
    Position(TopicId, PositionKey, Position),
    /// Messages below the offset go.
    Trim(TopicId, Offset),
    /// The operator accepts what damage took.
    AcceptLoss(TopicId, Vec<(Offset, Offset)>),
    /// All before it was synced; `true` when the journal was closed.
    Marker(bool),
    /// Messages at the offset and beyond go.
    Truncate(TopicId, Offset),
    /// All messages, producers and positions go; the log begins anew at the offset.
    Reset(TopicId, Offset),
    /// This peer keeps a copy, hosts the topic no more, and knows this epoch.
    Known(KeptTopic, Epoch),
    /// What a topic's host remembers of its producers.
    Dedupe(TopicId, HostRanges),
    /// Whether others have, or may get, copies.
    Shared(TopicId, bool),
}

/// A part of what a topic's host remembers of its producers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRanges {
    /// All of it was appended below.
    pub below: Offset,
    /// Takes the place of what was remembered before; otherwise it is added.
    pub first: bool,
    /// Runs of sequences, those of one producer in their order.
    pub ranges: Vec<(ProducerId, Range)>,
}

/// Why a body with a true checksum cannot be read: it was written by something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A kind of a later version.
    #[error("an entry of kind {0}, which this version does not know")]
    Kind(u16),
    /// The body ends early.
    #[error("an entry of kind {kind} ends early")]
    Short {
        /// The kind.
        kind: u16,
    },
    /// The body goes on after its end.
    #[error("an entry of kind {kind} has {extra} bytes too many")]
    Trailing {
        /// The kind.
        kind: u16,
        /// Bytes too many.
        extra: usize,
    },
    /// A text that is no name.
    #[error("an entry of kind {kind} with a bad name")]
    Name {
        /// The kind.
        kind: u16,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// A batch whose header does not hold.
    #[error("a batch entry with a bad header")]
    Batch(#[source] BatchError),
}

impl Record {
    /// The number of its kind.
    pub fn kind(&self) -> u16 {
        match self {
            Record::Batch(_) => kind::BATCH,
            Record::Host(_) => kind::HOST,
            Record::Forget(_) => kind::FORGET,
            Record::Boot(..) => kind::BOOT,
            Record::Position(..) => kind::POSITION,
            Record::Trim(..) => kind::TRIM,
            Record::AcceptLoss(..) => kind::ACCEPT_LOSS,
            Record::Marker(_) => kind::MARKER,
            Record::Truncate(..) | Record::Reset(..) => kind::TRUNCATE,
            Record::Known(..) => kind::KNOWN,
            Record::Dedupe(..) => kind::DEDUPE,
            Record::Shared(..) => kind::SHARED,
        }
    }

    /// The topic that it is about.
    pub fn topic(&self) -> Option<TopicId> {
        match self {
            Record::Batch(header) => Some(header.topic),
            Record::Host(topic) => Some(topic.id),
            Record::Forget(topic)
            | Record::Position(topic, ..)
            | Record::Trim(topic, _)
            | Record::Truncate(topic, _)
            | Record::Reset(topic, _)
            | Record::Dedupe(topic, _)
            | Record::Shared(topic, _)
            | Record::AcceptLoss(topic, _) => Some(*topic),
            Record::Known(topic, _) => Some(topic.id),
            Record::Boot(..) | Record::Marker(_) => None,
        }
    }

    /// Appends the body to `out`. A batch's bytes are laid by the writer, not here.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Record::Batch(_) => {}
            Record::Host(topic) => encode_host(topic, out),
            Record::Forget(topic) => out.put_slice(&topic.0),
            Record::AcceptLoss(topic, ranges) => {
                out.put_slice(&topic.0);
                out.put_u32_le(ranges.len() as u32);
                for (from, to) in ranges {
                    out.put_u64_le(from.0);
                    out.put_u64_le(to.0);
                }
            }
            Record::Boot(incarnation, boot) => {
                out.put_u32_le(*incarnation);
                out.put_slice(&boot.0);
            }
            Record::Position(topic, key, position) => {
                out.put_slice(&topic.0);
                encode_position(key, position, out);
            }
            Record::Trim(topic, start) => {
                out.put_slice(&topic.0);
                out.put_u64_le(start.0);
            }
            Record::Shared(topic, shared) => {
                out.put_slice(&topic.0);
                out.put_u8(u8::from(*shared));
            }
            Record::Marker(closed) => out.put_u64_le(u64::from(*closed)),
            Record::Truncate(topic, to) => {
                out.put_slice(&topic.0);
                out.put_u64_le(to.0);
                out.put_u64_le(0);
            }
            Record::Reset(topic, start) => {
                out.put_slice(&topic.0);
                out.put_u64_le(Offset::FIRST.0);
                out.put_u64_le(start.0);
            }
            Record::Known(topic, epoch) => {
                out.put_slice(&topic.id.0);
                out.put_u64_le(epoch.as_u64());
                encode_settings(&topic.settings, out);
                encode_name(&topic.name, out);
            }
            Record::Dedupe(topic, table) => {
                out.put_slice(&topic.0);
                encode_ranges(table, out);
            }
        }
    }

    /// Reads a body whose checksum was found true.
    pub fn decode(kind: u16, body: &[u8]) -> Result<Record, RecordError> {
        let mut rest = body;
        if kind == kind::BATCH {
            return decode_batch(body);
        }
        let record = decode_small(kind, &mut rest)?;
        match rest.len() {
            0 => Ok(record),
            extra => Err(RecordError::Trailing { kind, extra }),
        }
    }
}

fn decode_batch(body: &[u8]) -> Result<Record, RecordError> {
    let header = batch::read_header(body).map_err(RecordError::Batch)?;
    match body.len().cmp(&(header.length as usize)) {
        std::cmp::Ordering::Less => Err(RecordError::Short { kind: kind::BATCH }),
        std::cmp::Ordering::Greater => Err(RecordError::Trailing {
            kind: kind::BATCH,
            extra: body.len() - header.length as usize,
        }),
        std::cmp::Ordering::Equal => Ok(Record::Batch(header)),
    }
}

fn decode_small(kind: u16, rest: &mut &[u8]) -> Result<Record, RecordError> {
    let short = |_: TryGetError| RecordError::Short { kind };
    Ok(match kind {
        kind::HOST => Record::Host(take_host(rest).map_err(|e| e.of_kind(kind))?),
        kind::FORGET => Record::Forget(TopicId(take(rest).map_err(short)?)),
        kind::BOOT => Record::Boot(
            rest.try_get_u32_le().map_err(short)?,
            BootId(take(rest).map_err(short)?),
        ),
        kind::POSITION => {
            let topic = TopicId(take(rest).map_err(short)?);
            let (key, position) = take_position(rest).map_err(|e| e.of_kind(kind))?;
            Record::Position(topic, key, position)
        }
        kind::TRIM => Record::Trim(
            TopicId(take(rest).map_err(short)?),
            Offset(rest.try_get_u64_le().map_err(short)?),
        ),
        kind::ACCEPT_LOSS => {
            let topic = TopicId(take(rest).map_err(short)?);
            let mut ranges = Vec::new();
            for _ in 0..rest.try_get_u32_le().map_err(short)? {
                let from = Offset(rest.try_get_u64_le().map_err(short)?);
                ranges.push((from, Offset(rest.try_get_u64_le().map_err(short)?)));
            }
            Record::AcceptLoss(topic, ranges)
        }
        kind::MARKER => Record::Marker(rest.try_get_u64_le().map_err(short)? != 0),
        kind::TRUNCATE => {
            let topic = TopicId(take(rest).map_err(short)?);
            let to = Offset(rest.try_get_u64_le().map_err(short)?);
            match rest.try_get_u64_le().map_err(short)? {
                0 => Record::Truncate(topic, to),
                start => Record::Reset(topic, Offset(start)),
            }
        }
        kind::KNOWN => {
            let (topic, epoch) = take_known(rest).map_err(|e| e.of_kind(kind))?;
            Record::Known(topic, epoch)
        }
        kind::DEDUPE => {
            let topic = TopicId(take(rest).map_err(short)?);
            Record::Dedupe(topic, take_ranges(rest).map_err(short)?)
        }
        kind::SHARED => {
            let topic = TopicId(take(rest).map_err(short)?);
            Record::Shared(topic, rest.try_get_u8().map_err(short)? != 0)
        }
        other => return Err(RecordError::Kind(other)),
    })
}

/// What can go wrong in a part of a body.
#[derive(Debug)]
pub(super) enum PartError {
    Short,
    Name(NameError),
}

impl PartError {
    fn of_kind(self, kind: u16) -> RecordError {
        match self {
            PartError::Short => RecordError::Short { kind },
            PartError::Name(source) => RecordError::Name { kind, source },
        }
    }
}

impl From<TryGetError> for PartError {
    fn from(_: TryGetError) -> Self {
        PartError::Short
    }
}

impl From<NameError> for PartError {
    fn from(error: NameError) -> Self {
        PartError::Name(error)
    }
}

pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], TryGetError> {
    let mut out = [0; N];
    rest.try_copy_to_slice(&mut out)?;
    Ok(out)
}

fn take_text<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a str, PartError> {
    let (text, after) = rest.split_at_checked(length).ok_or(PartError::Short)?;
    *rest = after;
    // A text that is not UTF-8 is no name; the first bad byte shows as the name rule's complaint.
    Ok(std::str::from_utf8(text).unwrap_or("\u{fffd}"))
}

pub(super) fn encode_host(topic: &HostedTopic, out: &mut Vec<u8>) {
    out.put_slice(&topic.id.0);
    out.put_u32_le(topic.grant);
    encode_settings(&topic.settings, out);
    encode_name(&topic.name, out);
}

fn encode_settings(settings: &TopicSettings, out: &mut Vec<u8>) {
    let bits =
        u8::from(settings.retain_bytes.is_some()) | u8::from(settings.retain_age_ms.is_some()) << 1;
    out.put_u8(bits);
    out.put_u64_le(settings.retain_bytes.unwrap_or(0));
    out.put_u64_le(settings.retain_age_ms.unwrap_or(0));
    out.put_u8(settings.replicas);
    out.put_u8(settings.min_in_sync);
}

fn encode_name(name: &TopicName, out: &mut Vec<u8>) {
    // At most 249 bytes, see types::TopicName.
    out.put_u16_le(name.as_str().len() as u16);
    out.put_slice(name.as_str().as_bytes());
}

fn encode_ranges(table: &HostRanges, out: &mut Vec<u8>) {
    out.put_u64_le(table.below.0);
    out.put_u8(u8::from(table.first));
    out.put_u32_le(table.ranges.len() as u32);
    for (producer, range) in &table.ranges {
        out.put_slice(&producer.0);
        out.put_u64_le(range.sequence);
        out.put_u64_le(range.offset.0);
        out.put_u64_le(range.count);
    }
}

fn take_ranges(rest: &mut &[u8]) -> Result<HostRanges, TryGetError> {
    let below = Offset(rest.try_get_u64_le()?);
    let first = rest.try_get_u8()? != 0;
    // Not more is allocated than the body can hold.
    let mut ranges = Vec::new();
    for _ in 0..rest.try_get_u32_le()? {
        let producer = ProducerId(take(rest)?);
        let range = Range {
            sequence: rest.try_get_u64_le()?,
            offset: Offset(rest.try_get_u64_le()?),
            count: rest.try_get_u64_le()?,
        };
        ranges.push((producer, range));
    }
    Ok(HostRanges {
        below,
        first,
        ranges,
    })
}

pub(super) fn take_host(rest: &mut &[u8]) -> Result<HostedTopic, PartError> {
    let id = TopicId(take(rest)?);
    let grant = rest.try_get_u32_le()?;
    let settings = take_settings(rest)?;
    Ok(HostedTopic {
        id,
        name: take_name(rest)?,
        settings,
        grant,
    })
}

fn take_known(rest: &mut &[u8]) -> Result<(KeptTopic, Epoch), PartError> {
    let id = TopicId(take(rest)?);
    let epoch = Epoch::from_u64(rest.try_get_u64_le()?);
    let settings = take_settings(rest)?;
    let topic = KeptTopic {
        id,
        name: take_name(rest)?,
        settings,
    };
    Ok((topic, epoch))
}

fn take_settings(rest: &mut &[u8]) -> Result<TopicSettings, TryGetError> {
    let bits = rest.try_get_u8()?;
    let (bytes, age) = (rest.try_get_u64_le()?, rest.try_get_u64_le()?);
    Ok(TopicSettings {
        retain_bytes: (bits & 1 != 0).then_some(bytes),
        retain_age_ms: (bits & 2 != 0).then_some(age),
        replicas: rest.try_get_u8()?,
        min_in_sync: rest.try_get_u8()?,
    })
}

fn take_name(rest: &mut &[u8]) -> Result<TopicName, PartError> {
    let length = usize::from(rest.try_get_u16_le()?);
    Ok(TopicName::new(take_text(rest, length)?)?)
}

pub(super) fn encode_position(key: &PositionKey, position: &Position, out: &mut Vec<u8>) {
    out.put_slice(&key.subscriber.0);
    out.put_u64_le(position.next.0);
    out.put_u64_le(position.sequence);
    // At most 64 bytes, see types::Group.
    out.put_u8(key.group.as_str().len() as u8);
    out.put_slice(key.group.as_str().as_bytes());
}

pub(super) fn take_position(rest: &mut &[u8]) -> Result<(PositionKey, Position), PartError> {
    let subscriber = Fingerprint(take(rest)?);
    let next = Offset(rest.try_get_u64_le()?);
    let sequence = rest.try_get_u64_le()?;
    let length = usize::from(rest.try_get_u8()?);
    let group = Group::new(take_text(rest, length)?)?;
    Ok((
        PositionKey { subscriber, group },
        Position { next, sequence },
    ))
}
