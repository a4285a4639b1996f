//! What a golden message is, and the values that the lists are made of.

use bytes::{Bytes, BytesMut};
use waypost::types::{
    BootId, Epoch, Fingerprint, Group, PeerName, SessionId, StorageId, TopicId, TopicName,
    TopicSettings, UnixMicros,
};
use waypost::wire::frame::put_frame;
use waypost::wire::{DecodeError, ErrorCode, ErrorReply, Frame, FrameDecoder, Message};

/// The two protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Index,
    Peer,
}

/// From the caller, or to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    Up,
    Down,
}

type Check = Box<dyn Fn(&Frame) -> Result<(), DecodeError>>;

/// One message with the bytes that it must have for ever.
pub struct Golden {
    pub protocol: Protocol,
    pub direction: Direction,
    pub name: &'static str,
    pub kind: u8,
    /// What the code makes of the value now.
    pub encoded: Bytes,
    /// What it made of it when the format was frozen.
    pub frozen: Bytes,
    /// Bytes of raw payload at the end; messages without one refuse any.
    pub payload: Option<usize>,
    /// Decodes and compares with the value.
    pub check: Check,
}

/// A message without payload.
pub fn golden<M: Message + PartialEq + std::fmt::Debug>(
    protocol: Protocol,
    direction: Direction,
    value: M,
    frozen: &str,
) -> Golden {
    let mut encoded = BytesMut::new();
    put_frame(&mut encoded, &value, 0);
    Golden {
        protocol,
        direction,
        name: M::NAME,
        kind: M::KIND,
        encoded: encoded.freeze(),
        frozen: unhex(frozen),
        payload: None,
        check: Box::new(move |frame| {
            let decoded = frame.decode::<M>()?;
            assert_eq!(decoded, value);
            Ok(())
        }),
    }
}

/// A message with a payload behind it.
pub fn with_payload<M: Message + PartialEq + std::fmt::Debug>(
    protocol: Protocol,
    direction: Direction,
    value: M,
    payload: &'static [u8],
    frozen: &str,
) -> Golden {
    let mut encoded = BytesMut::new();
    put_frame(&mut encoded, &value, payload.len());
    encoded.extend_from_slice(payload);
    Golden {
        protocol,
        direction,
        name: M::NAME,
        kind: M::KIND,
        encoded: encoded.freeze(),
        frozen: unhex(frozen),
        payload: Some(payload.len()),
        check: Box::new(move |frame| {
            let (decoded, found) = frame.decode_with_payload::<M>()?;
            assert_eq!((&decoded, &found[..]), (&value, payload));
            Ok(())
        }),
    }
}

/// Every golden message.
pub fn all() -> Vec<Golden> {
    let mut all = super::golden_index::list();
    all.extend(super::golden_session::list());
    all.extend(super::golden_recovery::list());
    all.extend(super::golden_copies::list());
    all.extend(super::golden_replication::list());
    all.extend(super::golden_peer::list());
    all
}

/// The only frame in `bytes`.
pub fn only_frame(bytes: &[u8]) -> Frame {
    let mut decoder = FrameDecoder::new(1 << 20);
    decoder.push(bytes);
    let frame = decoder.next().unwrap().expect("a whole frame");
    decoder.finish().unwrap();
    frame
}

pub fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn peer(name: &str) -> PeerName {
    name.parse().unwrap()
}

pub fn name() -> TopicName {
    "T1".parse().unwrap()
}

pub fn group() -> Group {
    "g".parse().unwrap()
}

pub const TOPIC: TopicId = TopicId([0x11; 16]);
pub const KEY: Fingerprint = Fingerprint([0x22; 32]);
pub const BOOT: BootId = BootId([0x44; 16]);
pub const STORAGE: StorageId = StorageId([0x55; 16]);
pub const SESSION: SessionId = SessionId([0x66; 16]);
pub const EPOCH: Epoch = Epoch {
    grant: 3,
    incarnation: 300,
};
/// A negative time too: the zigzag form is part of the format.
pub const TIME: UnixMicros = UnixMicros(1_700_000_000_000_000);
pub const BEFORE: UnixMicros = UnixMicros(-1);

pub fn settings() -> TopicSettings {
    TopicSettings {
        retain_bytes: Some(1 << 20),
        retain_age_ms: None,
        replicas: 2,
        min_in_sync: 1,
    }
}

pub fn error() -> ErrorReply {
    ErrorReply::new(ErrorCode::NotHost, "no")
}
