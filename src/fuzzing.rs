//! What the fuzz targets run: one entry per decoder of bytes that come from outside. The same
//! functions replay the committed corpora under `cargo test`.
//!
//! Each panics if the decoder breaks a promise; refusing the input is always fine.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::journal::faulty::FaultyDisk;
use crate::journal::{Hooks, Journal, Options, TopicStat};
use crate::types::{Epoch, Offset, UnixMicros};
use crate::wire::batch;
use crate::wire::frame::put_frame;
use crate::wire::index::copies;
use crate::wire::peer::replication;
use crate::wire::{ErrorReply, Frame, FrameDecoder, Message, WireRequest};
use crate::wire::{index, peer};

/// Bytes of frames; what the first two bytes say is how they are cut up and the bound.
pub fn frame(data: &[u8]) {
    let [step, bound, stream @ ..] = data else {
        return;
    };
    let max = (usize::from(*bound) + 1) * 16;
    let whole = cut(stream, stream.len().max(1), max);
    let pieces = cut(stream, usize::from(*step) + 1, max);
    assert_eq!(whole, pieces, "frames depend on how the stream was cut");
    let fed = fed(stream, usize::from(*step) + 1, max);
    assert_eq!(whole, fed, "frames depend on how the decoder is given them");
    assert!(whole.0.iter().all(|frame| frame.rest.len() < max));
    for frame in &whole.0 {
        again::<ErrorReply>(frame);
    }
}

/// The frames, and the error that ended them.
fn cut(stream: &[u8], step: usize, max: usize) -> (Vec<Frame>, Option<String>) {
    let mut decoder = FrameDecoder::new(max);
    let mut frames = Vec::new();
    for chunk in stream.chunks(step) {
        decoder.push(chunk);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    let end = decoder.finish().err().map(|error| error.to_string());
    (frames, end)
}

/// As [`cut`], with each frame given no more than it lacks.
fn fed(stream: &[u8], step: usize, max: usize) -> (Vec<Frame>, Option<String>) {
    let mut decoder = FrameDecoder::new(max);
    let mut frames = Vec::new();
    for chunk in stream.chunks(step) {
        let mut chunk = Bytes::copy_from_slice(chunk);
        while !chunk.is_empty() {
            match decoder.feed(&mut chunk).and_then(|()| decoder.next()) {
                Ok(frame) => frames.extend(frame),
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    let end = decoder.finish().err().map(|error| error.to_string());
    (frames, end)
}

/// A number and a header: whatever decodes from it is the same once more through the codec.
fn again<M: Message>(frame: &Frame) {
    if frame.kind != M::KIND {
        return;
    }
    let Ok((message, payload)) = frame.decode_with_payload::<M>() else {
        return;
    };
    let mut bytes = BytesMut::new();
    put_frame(&mut bytes, &message, payload.len());
    bytes.extend_from_slice(&payload);
    let copy = Frame {
        kind: M::KIND,
        rest: bytes.freeze().slice(5..),
    };
    let (message, same) = copy
        .decode_with_payload::<M>()
        .expect("what was encoded decodes");
    assert_eq!(payload, same, "the payload of {}", M::NAME);
    let mut more = BytesMut::new();
    put_frame(&mut more, &message, payload.len());
    more.extend_from_slice(&payload);
    assert_eq!(more.freeze().slice(5..), copy.rest, "{}", M::NAME);
}

macro_rules! every {
    ($frame:expr, $module:ident: $($message:ident)*) => {
        $(again::<$module::$message>($frame);)*
    };
}

fn numbered(data: &[u8]) -> Option<Frame> {
    let (&kind, rest) = data.split_first()?;
    let rest = Bytes::copy_from_slice(rest);
    Some(Frame { kind, rest })
}

/// A message number and what follows it: every message of the index protocol, both directions.
pub fn index_request(data: &[u8]) {
    let Some(frame) = numbered(data) else { return };
    if let Ok((request, payload)) = index::IndexRequest::decode(&frame) {
        assert!(!request.name().is_empty() && payload.len() < data.len());
    }
    again::<ErrorReply>(&frame);
    every!(&frame, index:
        Register Registered Lookup Route LookupMany Routes CreateTopics CreatedTopics DeleteTopic
        DeletedTopic SetTopic SetTopicDone ListTopics TopicPage ShowTopic ShownTopic Subscribe
        Subscribed Unsubscribe Unsubscribed ListSubscriptions SubscriptionPage ClearNotices
        NoticesCleared ListPeers PeerPage ShowPeer ShownPeer Deregister Deregistered Forget
        Forgotten IndexStatus IndexStatusReply SessionOpen SessionOpened Heartbeat HeartbeatAck
        SessionEnd SessionAssignments AssignmentsOpened Assign Assigned SessionReports
        ReportsOpened Report ReportAck);
    every!(&frame, copies:
        AlterInSync AlteredInSync HandOver HandedOver MoveTopic MovingTopic LeaveInSync LeftInSync);
}

/// As [`index_request`], for the peer protocol.
pub fn peer_request(data: &[u8]) {
    let Some(frame) = numbered(data) else { return };
    if let Ok((request, payload)) = peer::PeerRequest::decode(&frame) {
        assert!(!request.name().is_empty() && payload.len() < data.len());
    }
    again::<ErrorReply>(&frame);
    every!(&frame, peer:
        Present Append Appended AppendStream AppendStreamOpened AppendNext AppendAck AppendNack
        Pull PullStarted Data Follow FollowOpened Add Added Remove Credit Ack SlotEnded Commit
        Committed TopicStatus TopicStatuses PeerStatus PeerStatusReply Members);
    every!(&frame, replication:
        Replicate ReplicateOpened ReplicaJoin ReplicaJoined PositionsAck Positions HighWatermark
        ReplicaLeave FetchDedupe DedupeTable);
}

/// A batch: as it is, and once more with magic, length and checksum put right, so that noise gets
/// as far as the records.
pub fn batch(data: &[u8]) {
    check_batch(data);
    if data.len() >= batch::HEADER_BYTES {
        let mut repaired = data.to_vec();
        let length = data.len() as u32;
        repaired[..4].copy_from_slice(b"WPB1");
        repaired[4..8].copy_from_slice(&length.to_le_bytes());
        repaired[36..38].fill(0);
        let crc = crc32c::crc32c(&repaired[36..]);
        repaired[32..36].copy_from_slice(&crc.to_le_bytes());
        check_batch(&repaired);
    }
}

fn check_batch(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let records = batch::records(data);
    if let Ok(Some((first, rest))) = batch::split_first(&bytes) {
        assert_eq!(first.len() + rest.len(), data.len());
    }
    let Ok(header) = batch::verify(data) else {
        return;
    };
    let records = records.expect("a verified batch has records");
    assert_eq!(records.len(), header.count as usize);
    assert_eq!(header.length as usize, data.len());
    let bodies: usize = records.iter().map(|(_, record)| record.size()).sum();
    assert!(bodies <= data.len());
    let mut placed = data.to_vec();
    let epoch = Epoch {
        grant: 1,
        incarnation: 2,
    };
    batch::set_host_fields(&mut placed, Offset(7), epoch, UnixMicros(3));
    let placed = batch::verify(&placed).expect("host fields leave the checksum true");
    assert_eq!((placed.base, placed.epoch), (Offset(7), epoch));
}

/// The folder that [`journal_recovery`] opens.
pub const JOURNAL_DIR: &str = "/journal";

/// Bytes of all files that one input may unpack to.
const JOURNAL_BYTES: usize = 4 << 20;

/// The options of [`journal_recovery`]: the smallest journal there is.
pub fn journal_options(disk: &FaultyDisk) -> Options {
    Options {
        segment_bytes: 64 << 10,
        extent_bytes: 8 << 10,
        checkpoint_bytes: 64 << 10,
        disk: Arc::new(disk.clone()),
        ..Options::new(JOURNAL_DIR)
    }
}

/// The files of a journal's folder (see [`pack_files`]): opening it never panics, what it serves
/// verifies, and a second opening tells the same story as the first.
pub fn journal_recovery(data: &[u8]) {
    let disk = FaultyDisk::holding(unpack_files(data));
    let Some(before) = open_and_read(&disk) else {
        return;
    };
    let after = open_and_read(&disk).expect("what was opened once opens again");
    assert_eq!(before, after, "the second opening tells another story");
}

fn open_and_read(disk: &FaultyDisk) -> Option<Vec<TopicStat>> {
    let (journal, _) = Journal::open(journal_options(disk), Hooks::default()).ok()?;
    let mut topics = journal.topics();
    topics.sort_by_key(|topic| topic.id);
    for topic in &topics {
        let mut from = topic.start;
        while let Ok(slice) = journal.read(topic.id, from, 1 << 16) {
            if slice.next <= from {
                break;
            }
            for bytes in &slice.batches {
                batch::verify(bytes).expect("what is served verifies");
            }
            from = slice.next;
        }
    }
    journal.close();
    Some(topics)
}

/// Files in one piece: per file `u8 name bytes · name · u32 length · u32 stored · stored bytes`, the
/// rest of the length being zeros.
pub fn pack_files(files: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut packed = Vec::new();
    for (path, bytes) in files {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let stored = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        packed.push(name.len() as u8);
        packed.extend_from_slice(name);
        packed.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        packed.extend_from_slice(&(stored as u32).to_le_bytes());
        packed.extend_from_slice(&bytes[..stored]);
    }
    packed
}

/// The inverse of [`pack_files`], as far as `data` goes.
pub fn unpack_files(data: &[u8]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut rest = data;
    let mut total = 0;
    while let Some((path, bytes)) = unpack_file(&mut rest) {
        total += bytes.len();
        if total > JOURNAL_BYTES {
            break;
        }
        files.push((path, bytes));
    }
    files
}

fn unpack_file(rest: &mut &[u8]) -> Option<(PathBuf, Vec<u8>)> {
    let name_bytes = usize::from(*rest.split_off_first()?);
    let name = rest.split_off(..name_bytes)?;
    let name = std::str::from_utf8(name).ok().filter(|n| !n.is_empty())?;
    let length = u32::from_le_bytes(rest.split_off(..4)?.try_into().ok()?) as usize;
    let stored = u32::from_le_bytes(rest.split_off(..4)?.try_into().ok()?) as usize;
    let stored = rest.split_off(..stored.min(rest.len()))?;
    if length > JOURNAL_BYTES {
        return None;
    }
    let mut bytes = stored.to_vec();
    bytes.resize(length, 0);
    Some((PathBuf::from(JOURNAL_DIR).join(name), bytes))
}
