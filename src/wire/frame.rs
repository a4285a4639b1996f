//! Frames: `u32 length (little-endian, of what follows) · u8 kind · postcard header · raw payload`.
//!
//! The header's end is known from postcard itself; whatever follows it is the payload, which never
//! passes through serde.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::message::Message;
use crate::limits;

/// Bytes of the length prefix.
pub const LENGTH_BYTES: usize = 4;

/// One frame as it came: its kind, and header and payload still in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The message number; its meaning depends on protocol and direction.
    pub kind: u8,
    /// Header and payload.
    pub rest: Bytes,
}

/// Why bytes are not the message that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The frame says that it is longer than this place allows.
    #[error("a frame of {found} bytes, at most {max} are taken here")]
    TooLong {
        /// Length seen.
        found: usize,
        /// Length allowed.
        max: usize,
    },
    /// A frame without even a kind.
    #[error("an empty frame")]
    Empty,
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame, {missing} bytes short")]
    Cut {
        /// Bytes that did not come.
        missing: usize,
    },
    /// The stream ended where a frame had to come.
    #[error("the stream ended before {expected} came")]
    Ended {
        /// The message awaited.
        expected: &'static str,
    },
    /// A message number that this protocol version does not have here.
    #[error("message number {found:#04x} is not known here, expected {expected}")]
    UnknownKind {
        /// Number seen.
        found: u8,
        /// What was awaited.
        expected: &'static str,
    },
    /// The header is not the postcard form of the message.
    #[error("the header of {message} does not decode: {source}")]
    Header {
        /// The message.
        message: &'static str,
        /// Postcard's reason.
        source: postcard::Error,
    },
    /// Bytes follow the header of a message without a payload.
    #[error("{extra} bytes follow {message}")]
    Trailing {
        /// The message.
        message: &'static str,
        /// Bytes too many.
        extra: usize,
    },
    /// A list is longer than its bound.
    #[error("{message} lists {found} entries, at most {max} are taken")]
    TooMany {
        /// The message.
        message: &'static str,
        /// Entries seen.
        found: usize,
        /// Entries allowed.
        max: usize,
    },
}

impl Frame {
    /// Decodes a message that has no payload.
    pub fn decode<M: Message>(&self) -> Result<M, DecodeError> {
        let (message, payload) = self.decode_with_payload::<M>()?;
        if payload.is_empty() {
            Ok(message)
        } else {
            Err(DecodeError::Trailing {
                message: M::NAME,
                extra: payload.len(),
            })
        }
    }

    /// Decodes a message and splits off its payload, without copying it.
    pub fn decode_with_payload<M: Message>(&self) -> Result<(M, Bytes), DecodeError> {
        if self.kind != M::KIND {
            return Err(DecodeError::UnknownKind {
                found: self.kind,
                expected: M::NAME,
            });
        }
        let (message, payload) =
            postcard::take_from_bytes::<M>(&self.rest).map_err(|source| DecodeError::Header {
                message: M::NAME,
                source,
            })?;
        message.check_bounds()?;
        let payload = self.rest.slice_ref(payload);
        Ok((message, payload))
    }
}

/// Appends the frame of `message` with `payload_bytes` of payload to `out`; the caller appends or
/// sends the payload itself.
pub fn put_frame<M: Message>(out: &mut BytesMut, message: &M, payload_bytes: usize) {
    put_raw_frame(out, M::KIND, message, payload_bytes);
}

/// As [`put_frame`], with an explicit message number.
pub fn put_raw_frame(out: &mut BytesMut, kind: u8, header: &impl Serialize, payload_bytes: usize) {
    let start = out.len();
    out.put_u32_le(0);
    out.put_u8(kind);
    put_header(out, header);
    let length = out.len() - start - LENGTH_BYTES + payload_bytes;
    out[start..start + LENGTH_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
}

/// Most headers are short: put together on the stack, a key or an id of many bytes is not appended byte by
/// byte to a buffer that may have to grow.
fn put_header(out: &mut BytesMut, header: &impl Serialize) {
    let mut short = [0; 256];
    match postcard::to_slice(header, &mut short) {
        Ok(encoded) => out.extend_from_slice(encoded),
        // Serialising our own structs into a growing buffer fails only for unbounded sequences of
        // unknown length, which no message has.
        Err(_) => {
            postcard::to_io(header, out.writer()).expect("a message serialises into memory");
        }
    }
}

/// The frame of `message` without payload.
pub fn encode<M: Message>(message: &M) -> Bytes {
    let mut out = BytesMut::with_capacity(128);
    put_frame(&mut out, message, 0);
    out.freeze()
}

/// Cuts a stream of bytes into frames. Pure: bytes go in with [`FrameDecoder::push`], frames come
/// out of [`FrameDecoder::next`].
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    max: usize,
    /// Bytes of the last frame that was put together here.
    last: usize,
}

impl FrameDecoder {
    /// A decoder that refuses frames of more than `max` bytes (after the length).
    pub fn new(max: usize) -> Self {
        debug_assert!(max <= limits::FRAME_BYTES);
        FrameDecoder {
            buffer: BytesMut::new(),
            max,
            last: 0,
        }
    }

    /// Changes the bound for frames to come.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// Adds bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes from what came as much as the frame at hand lacks, and no more: so the next one begins in memory
    /// of its own, and nothing is moved to make room behind it.
    pub fn feed(&mut self, came: &mut Bytes) -> Result<(), DecodeError> {
        loop {
            let length = self.pending_length()?;
            let whole = LENGTH_BYTES + length.unwrap_or(0);
            let missing = whole.saturating_sub(self.buffer.len());
            if missing == 0 || came.is_empty() {
                return Ok(());
            }
            self.push(&came.split_to(missing.min(came.len())));
        }
    }

    /// Whether nothing of a frame is here.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next whole frame. The bound is checked as soon as the length is there, before anything
    /// is allocated for it.
    #[allow(clippy::should_implement_trait)] // fallible, and not an end when `None`
    pub fn next(&mut self) -> Result<Option<Frame>, DecodeError> {
        let Some(length) = self.pending_length()? else {
            return Ok(None);
        };
        if self.buffer.len() < LENGTH_BYTES + length {
            // A length is only a claim: room is made for as much again as has come, or as the frame
            // before had, so that idle streams cost nothing.
            let missing = LENGTH_BYTES + length - self.buffer.len();
            let ahead = self.buffer.len().max(limits::FRAME_AHEAD_BYTES);
            self.buffer.reserve(missing.min(ahead.max(self.last)));
            return Ok(None);
        }
        self.last = length.min(limits::DATA_FRAME_BYTES);
        self.buffer.advance(LENGTH_BYTES);
        let mut rest = self.buffer.split_to(length).freeze();
        let kind = rest.get_u8();
        Ok(Some(Frame { kind, rest }))
    }

    fn pending_length(&self) -> Result<Option<usize>, DecodeError> {
        let Some(prefix) = self.buffer.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length == 0 {
            return Err(DecodeError::Empty);
        }
        if length > self.max {
            return Err(DecodeError::TooLong {
                found: length,
                max: self.max,
            });
        }
        Ok(Some(length))
    }

    /// What the end of the stream means here: fine between frames, an error inside one.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let wanted = self.pending_length()?.map_or(1, |length| length) + LENGTH_BYTES;
        Err(DecodeError::Cut {
            missing: wanted - self.buffer.len().min(wanted),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error::ErrorReply;
    use crate::wire::{ErrorCode, Retry};
    use proptest::prelude::*;

    fn sample() -> ErrorReply {
        ErrorReply::new(ErrorCode::Internal, "x")
    }

    #[test]
    fn frames_survive_any_cutting() {
        let mut bytes = BytesMut::new();
        put_frame(&mut bytes, &sample(), 3);
        bytes.extend_from_slice(b"abc");
        put_frame(&mut bytes, &sample(), 0);
        for step in 1..bytes.len() {
            let mut decoder = FrameDecoder::new(1000);
            let mut frames = vec![];
            for chunk in bytes.chunks(step) {
                decoder.push(chunk);
                while let Some(frame) = decoder.next().unwrap() {
                    frames.push(frame);
                }
            }
            decoder.finish().unwrap();
            assert_eq!(frames.len(), 2);
            let (message, payload) = frames[0].decode_with_payload::<ErrorReply>().unwrap();
            assert_eq!((message, &payload[..]), (sample(), b"abc".as_slice()));
            assert_eq!(
                frames[1].decode::<ErrorReply>().unwrap().retry,
                Retry::Never
            );
        }
    }

    #[test]
    fn frames_are_fed_no_more_than_they_lack() {
        let mut bytes = BytesMut::new();
        for size in [3, 0, 40_000, 40_000, 1] {
            put_frame(&mut bytes, &sample(), size);
            bytes.extend_from_slice(&vec![7; size]);
        }
        let bytes = bytes.freeze();
        for step in [1, 2, 3, 5, 1_400, 50_000, bytes.len()] {
            let mut decoder = FrameDecoder::new(limits::FRAME_BYTES);
            let mut sizes = vec![];
            for at in (0..bytes.len()).step_by(step) {
                let mut came = bytes.slice(at..bytes.len().min(at + step));
                while !came.is_empty() {
                    decoder.feed(&mut came).unwrap();
                    if let Some(frame) = decoder.next().unwrap() {
                        assert!(decoder.is_empty(), "nothing of the next one was taken");
                        let (_, payload) = frame.decode_with_payload::<ErrorReply>().unwrap();
                        assert!(payload.iter().all(|byte| *byte == 7));
                        sizes.push(payload.len());
                    }
                }
            }
            assert_eq!(sizes, [3, 0, 40_000, 40_000, 1]);
        }
    }

    #[test]
    fn a_long_frame_is_refused_by_its_length_alone() {
        let mut decoder = FrameDecoder::new(100);
        decoder.push(&101u32.to_le_bytes());
        assert_eq!(
            decoder.next(),
            Err(DecodeError::TooLong {
                found: 101,
                max: 100
            })
        );
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        let mut decoder = FrameDecoder::new(limits::FRAME_BYTES);
        decoder.push(&(limits::FRAME_BYTES as u32).to_le_bytes());
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.buffer.capacity() < 4 * limits::FRAME_AHEAD_BYTES);
        let mut decoder = FrameDecoder::new(limits::FRAME_BYTES);
        let claim = (limits::FRAME_BYTES as u32).to_le_bytes();
        decoder
            .feed(&mut Bytes::copy_from_slice(&[&claim[..], &[1]].concat()))
            .unwrap();
        assert!(decoder.buffer.capacity() < 4 * limits::FRAME_AHEAD_BYTES);
    }

    #[test]
    fn odd_frames_say_what_is_wrong() {
        let mut decoder = FrameDecoder::new(100);
        decoder.push(&[0, 0, 0, 0]);
        assert_eq!(decoder.next(), Err(DecodeError::Empty));
        let mut decoder = FrameDecoder::new(100);
        decoder.push(&[9, 0, 0, 0, 1]);
        assert_eq!(decoder.next(), Ok(None));
        assert_eq!(decoder.finish(), Err(DecodeError::Cut { missing: 8 }));
        let frame = Frame {
            kind: 0x55,
            rest: Bytes::new(),
        };
        let error = frame.decode::<ErrorReply>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "message number 0x55 is not known here, expected Error"
        );
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = FrameDecoder::new(150);
            decoder.push(&bytes);
            while let Ok(Some(frame)) = decoder.next() {
                let _ = frame.decode::<ErrorReply>();
            }
            let _ = decoder.finish();
        }
    }
}
