//! Frames over one QUIC stream, either side.
//!
//! Guarantees: a frame goes out in one write, payload chunks uncopied; a frame that lies whole in
//! one received chunk comes out uncopied; a frame over the bound is refused by its length alone,
//! the stream is stopped with a code and the connection lives.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use quinn::{RecvStream, SendStream};
use tokio::time::error::Elapsed;

use super::error::{CallError, var_code};
use crate::limits;
use crate::wire::frame::{LENGTH_BYTES, put_frame};
use crate::wire::{DecodeError, ErrorCode, ErrorReply, Frame, FrameDecoder, Message};

/// Room for one ordinary frame, so that it is written without growing the buffer.
const FRAME_ROOM_BYTES: usize = 128;

/// Chunks that are taken at once from a stream that has not brought more: a request or its answer is one,
/// and a second place tells that nothing is behind it.
const FEW_CHUNKS: usize = 2;

/// Frames out.
///
/// Dropped without [`FrameSender::finish`]: the dialling side finishes, which says "no more"; the
/// serving side resets, so that a task that died never looks like the end of a reply. A frame half
/// sent is always reset.
#[derive(Debug)]
pub struct FrameSender {
    stream: SendStream,
    buffer: BytesMut,
    chunks: Vec<Bytes>,
    on_drop: Option<ErrorCode>,
    done: bool,
}

impl FrameSender {
    pub(super) fn new(stream: SendStream, on_drop: Option<ErrorCode>) -> Self {
        FrameSender {
            stream,
            buffer: BytesMut::new(),
            chunks: Vec::new(),
            on_drop,
            done: false,
        }
    }

    /// Puts an encoded frame before all that is buffered later.
    pub(super) fn buffer_encoded(&mut self, frame: Bytes) {
        self.seal_buffer();
        self.chunks.push(frame);
    }

    /// Sends what is buffered, then the message. Cancelled, the frame may be cut: go on with
    /// [`FrameSender::flush`], or drop the sender.
    pub async fn send<M: Message>(&mut self, message: &M) -> Result<(), CallError> {
        self.buffer(message);
        self.flush().await
    }

    /// As [`FrameSender::send`], with a payload, which is not copied unless it is small.
    pub async fn send_with<M: Message>(
        &mut self,
        message: &M,
        payload: &[Bytes],
    ) -> Result<(), CallError> {
        self.buffer_with(message, payload);
        self.flush().await
    }

    /// Adds a frame to what the next [`FrameSender::flush`] sends.
    pub fn buffer<M: Message>(&mut self, message: &M) {
        self.buffer_with(message, &[]);
    }

    /// As [`FrameSender::buffer`], with a payload.
    pub fn buffer_with<M: Message>(&mut self, message: &M, payload: &[Bytes]) {
        let payload_bytes: usize = payload.iter().map(Bytes::len).sum();
        self.buffer.reserve(FRAME_ROOM_BYTES);
        put_frame(&mut self.buffer, message, payload_bytes);
        let mut left = payload_bytes;
        for chunk in payload {
            if chunk.len() <= limits::COPIED_PAYLOAD_BYTES {
                self.copy(chunk, left);
            } else {
                self.seal_buffer();
                self.chunks.push(chunk.clone());
            }
            left -= chunk.len();
        }
    }

    /// Bytes buffered and not yet taken by QUIC.
    pub fn buffered(&self) -> usize {
        self.buffer.len() + self.chunks.iter().map(Bytes::len).sum::<usize>()
    }

    /// Sends what is buffered; waits while the other side's window is full. Cancellation safe:
    /// called again, it goes on where it was.
    pub async fn flush(&mut self) -> Result<(), CallError> {
        self.seal_buffer();
        // QUIC empties each chunk as it takes it, so that what is left after a cancellation is
        // what was not sent.
        self.stream.write_all_chunks(&mut self.chunks).await?;
        self.chunks.clear();
        Ok(())
    }

    /// Ends the stream after what was flushed.
    pub fn finish(&mut self) {
        debug_assert_eq!(self.buffered(), 0, "flush before finish");
        self.done = true;
        // Fails only if the stream is over already, and then there is nobody to tell.
        let _ = self.stream.finish();
    }

    /// Gives the stream up; the other side sees the code as [`CallError::Remote`].
    pub fn reset(&mut self, code: ErrorCode) {
        self.done = true;
        // As in `finish`.
        let _ = self.stream.reset(var_code(code));
    }

    /// Waits until the other side has acknowledged everything after [`FrameSender::finish`]
    /// (`Ok`), or stops reading or is gone (`Err`). Cancellation safe.
    pub async fn stopped(&mut self) -> Result<(), CallError> {
        match self.stream.stopped().await? {
            None => Ok(()),
            Some(code) => Err(quinn::WriteError::Stopped(code).into()),
        }
    }

    /// Streams of a higher priority go first; 0 is usual.
    pub fn set_priority(&self, priority: i32) {
        // As in `finish`.
        let _ = self.stream.set_priority(priority);
    }

    /// Changes the code of a reset by dropping.
    pub(super) fn reset_on_drop(&mut self, code: ErrorCode) {
        self.on_drop = Some(code);
    }

    /// Copies a small chunk behind what is buffered, where some `left` bytes are still to come: into pieces of
    /// a size that the allocator keeps at hand.
    fn copy(&mut self, chunk: &[u8], left: usize) {
        if self.buffer.capacity() - self.buffer.len() < chunk.len() {
            self.seal_buffer();
            let (least, most) = limits::COPIED_ROOM_BYTES.into_inner();
            self.buffer.reserve(left.clamp(least, most));
        }
        self.buffer.extend_from_slice(chunk);
    }

    fn seal_buffer(&mut self) {
        if !self.buffer.is_empty() {
            self.chunks.push(self.buffer.split().freeze());
        }
    }

    fn is_cut(&self) -> bool {
        self.chunks.iter().any(|chunk| !chunk.is_empty())
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let code = self
            .on_drop
            .or(self.is_cut().then_some(ErrorCode::Internal));
        if let Some(code) = code {
            let _ = self.stream.reset(var_code(code));
        }
    }
}

/// Frames in. Dropped before the end of the stream, it tells the other side to stop.
///
/// A frame's bytes may share a receive buffer of the connection: copy what is kept for long.
#[derive(Debug)]
pub struct FrameReceiver {
    stream: RecvStream,
    decoder: FrameDecoder,
    /// The first chunk that came, as far as it is not in the decoder: frames are sliced off it.
    chunk: Bytes,
    /// Those behind it, the last one first.
    more: Vec<Bytes>,
    max: usize,
    /// Several chunks came at once: more may the next time.
    many: bool,
    at_end: bool,
}

impl FrameReceiver {
    pub(super) fn new(stream: RecvStream, max: usize) -> Self {
        FrameReceiver {
            stream,
            decoder: FrameDecoder::new(max),
            chunk: Bytes::new(),
            more: Vec::new(),
            max,
            many: false,
            at_end: false,
        }
    }

    /// The next frame; `None` if the stream ended between frames. Cancellation safe. A frame that
    /// does not decode stops the stream with a code.
    pub async fn next(&mut self) -> Result<Option<Frame>, CallError> {
        loop {
            if let Some(frame) = self.take_buffered()? {
                return Ok(Some(frame));
            }
            if !self.fill().await? {
                return match self.decoder.finish() {
                    Ok(()) => Ok(None),
                    Err(error) => Err(error.into()),
                };
            }
        }
    }

    /// The next frame if it came together with the one before: nothing is waited for. As
    /// [`FrameReceiver::next`] otherwise.
    pub fn next_here(&mut self) -> Result<Option<Frame>, CallError> {
        self.take_buffered()
    }

    /// The next frame as a message without payload; an error frame becomes [`CallError::Remote`],
    /// the end of the stream [`DecodeError::Ended`]. Cancellation safe.
    pub async fn expect<M: Message>(&mut self) -> Result<M, CallError> {
        let frame = self.frame_or_error(M::NAME).await?;
        frame.decode().map_err(|error| self.refuse(error))
    }

    /// As [`FrameReceiver::expect`], for a message with a payload.
    pub async fn expect_with<M: Message>(&mut self) -> Result<(M, Bytes), CallError> {
        let frame = self.frame_or_error(M::NAME).await?;
        frame
            .decode_with_payload()
            .map_err(|error| self.refuse(error))
    }

    /// As [`FrameReceiver::next`], with a deadline. Cancellation safe, also after the deadline.
    pub async fn next_within(&mut self, timeout: Duration) -> Result<Option<Frame>, CallError> {
        match within(timeout, self.next()).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Timeout {
                what: "a frame",
                after: timeout,
            }),
        }
    }

    /// Changes the bound of frames to come, at most [`limits::FRAME_BYTES`].
    pub fn set_max(&mut self, bytes: usize) {
        self.max = bytes.min(limits::FRAME_BYTES);
        self.decoder.set_max(self.max);
    }

    /// Tells the other side to stop sending; it sees the code as [`CallError::Remote`].
    pub fn stop(&mut self, code: ErrorCode) {
        // Fails only if the stream is over already, and then there is nobody to tell.
        let _ = self.stream.stop(var_code(code));
    }

    /// Whether bytes of the next frame have come.
    pub(super) fn has_begun(&self) -> bool {
        !self.chunk.is_empty() || !self.more.is_empty() || !self.decoder.is_empty()
    }

    /// Notices the end of the stream if it is here already: a stream dropped at its end needs no
    /// message to the other side.
    pub(super) fn poll_end(&mut self) -> bool {
        if !self.at_end && !self.has_begun() {
            let mut context = Context::from_waker(Waker::noop());
            // An error is an end as well.
            let failed = matches!(self.poll_fill(&mut context), Poll::Ready(Err(_)));
            self.at_end |= failed;
        }
        self.at_end
    }

    async fn frame_or_error(&mut self, expected: &'static str) -> Result<Frame, CallError> {
        let frame = self.next().await?;
        let frame = frame.ok_or(DecodeError::Ended { expected })?;
        if frame.kind == ErrorReply::KIND {
            return Err(CallError::Remote(frame.decode()?));
        }
        Ok(frame)
    }

    fn take_buffered(&mut self) -> Result<Option<Frame>, CallError> {
        loop {
            if self.chunk.is_empty() {
                match self.more.pop() {
                    Some(next) => self.chunk = next,
                    None => return Ok(None),
                }
            }
            if self.decoder.is_empty()
                && let Some(frame) = slice_frame(&mut self.chunk, self.max)
            {
                return Ok(Some(frame));
            }
            let fed = self.decoder.feed(&mut self.chunk);
            let frame = fed.and_then(|()| self.decoder.next());
            if let Some(frame) = frame.map_err(|error| self.refuse(error))? {
                return Ok(Some(frame));
            }
        }
    }

    /// Takes what came, once all that came before was taken; `false` at the end of the stream.
    async fn fill(&mut self) -> Result<bool, CallError> {
        poll_fn(|context| self.poll_fill(context)).await
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, CallError>> {
        if self.at_end {
            Poll::Ready(Ok(false))
        } else if self.many {
            self.poll_chunks::<{ limits::CHUNKS_PER_READ }>(context)
        } else {
            self.poll_chunks::<FEW_CHUNKS>(context)
        }
    }

    /// Takes up to `N` chunks at once, which also notices an end that came with the data.
    fn poll_chunks<const N: usize>(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<bool, CallError>> {
        let mut chunks = [const { Bytes::new() }; N];
        // Nothing is lost with a read that is still pending: the next one begins where it did.
        let Some(count) = ready!(pin!(self.stream.read_chunks(&mut chunks)).poll(context))? else {
            self.at_end = true;
            return Poll::Ready(Ok(false));
        };
        self.many = count >= FEW_CHUNKS;
        let mut came = chunks.into_iter().take(count);
        self.chunk = came.next().unwrap_or_default();
        self.more.extend(came.rev());
        Poll::Ready(Ok(true))
    }

    fn refuse(&mut self, error: DecodeError) -> CallError {
        self.stop(ErrorReply::from(error.clone()).code());
        error.into()
    }
}

/// A deadline for what is usually done at once: no clock is read unless it is not.
pub(super) async fn within<F: Future>(limit: Duration, doing: F) -> Result<F::Output, Elapsed> {
    let mut doing = pin!(doing);
    match poll_fn(|context| Poll::Ready(doing.as_mut().poll(context))).await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => tokio::time::timeout(limit, doing).await,
    }
}

/// Slices the first frame off `chunk` if it lies there whole and within the bound; every other
/// case is the decoder's.
fn slice_frame(chunk: &mut Bytes, max: usize) -> Option<Frame> {
    let length = u32::from_le_bytes(*chunk.first_chunk::<LENGTH_BYTES>()?) as usize;
    if length == 0 || length > max || chunk.len() < LENGTH_BYTES + length {
        return None;
    }
    chunk.advance(LENGTH_BYTES);
    let mut rest = chunk.split_to(length);
    let kind = rest.get_u8();
    Some(Frame { kind, rest })
}
