//! Bad input and callers that mean harm.

use super::*;
use std::pin::pin;
use std::task::{Context, Waker};

/// Deadlines short enough for a test to wait for.
fn short() -> Deadlines {
    Deadlines {
        request_header: Duration::from_millis(30),
        request_body: Duration::from_millis(60),
        ..Deadlines::default()
    }
}

async fn reset_code(mut recv: quinn::RecvStream) -> u64 {
    match recv.read_to_end(1_000).await {
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => code.into_inner(),
        other => panic!("expected a reset, got {other:?}"),
    }
}

fn number(code: ErrorCode) -> u64 {
    u64::from(code.number())
}

#[tokio::test]
async fn an_oversize_frame_resets_its_stream_only() {
    let mut server = Server::start();
    let (_client, connection) = dial(&server).await;
    let (mut send, recv) = connection.quinn().open_bi().await.unwrap();
    let length = limits::METADATA_REQUEST_BYTES as u32 + 1;
    send.write_all(&length.to_le_bytes()).await.unwrap();
    let error = server.errors.recv().await.unwrap();
    assert!(
        matches!(error, CallError::Decode(DecodeError::TooLong { .. })),
        "{error:?}"
    );
    assert_eq!(reset_code(recv).await, number(ErrorCode::TooLarge));
    let stopped = send.stopped().await.unwrap().unwrap();
    assert_eq!(stopped.into_inner(), number(ErrorCode::TooLarge));
    assert_eq!(connection.request(&say("x")).await.unwrap(), said("x"));
}

#[tokio::test]
async fn a_request_over_the_bound_fails_with_its_code() {
    let server = Server::start();
    let (_client, connection) = dial(&server).await;
    let payload = [Bytes::from(vec![0; 4 << 20])];
    let error = connection
        .request_with(&say("x"), &payload, limits::REPLY_TIMEOUT)
        .await
        .unwrap_err();
    assert_eq!(remote(error).code(), ErrorCode::TooLarge);
    assert_eq!(connection.request(&say("x")).await.unwrap(), said("x"));
}

#[tokio::test]
async fn malformed_frames_are_answered() {
    let server = Server::start();
    let (_client, connection) = dial(&server).await;
    let trailing = [&encode(&say("x"))[..], b"z"].concat();
    let cases: [(&[u8], &str); 3] = [
        (&[3, 0, 0, 0, 1, 9, b'a'], "Say does not decode"),
        (&[1, 0, 0, 0, 0x77], "0x77 is not known"),
        (&[2, 0, 0, 0, 1, 0xff], "Say does not decode"),
    ];
    for (bytes, expected) in cases {
        let (mut send, recv) = connection.quinn().open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        let mut receiver = crate::transport::stream::FrameReceiver::new(recv, 1_000);
        let error = remote(receiver.expect::<Said>().await.unwrap_err());
        assert_eq!(error.code(), ErrorCode::Malformed);
        assert!(error.detail.contains(expected), "{}", error.detail);
    }
    // What follows a whole request is not read.
    let (mut send, recv) = connection.quinn().open_bi().await.unwrap();
    send.write_all(&trailing).await.unwrap();
    let mut receiver = crate::transport::stream::FrameReceiver::new(recv, 1_000);
    assert_eq!(receiver.expect::<Said>().await.unwrap(), said("x"));
}

#[tokio::test]
async fn a_stream_cut_inside_a_frame_is_noticed() {
    let mut server = Server::start();
    let (_client, connection) = dial(&server).await;
    let (mut send, recv) = connection.quinn().open_bi().await.unwrap();
    send.write_all(&[9, 0, 0, 0, 1]).await.unwrap();
    send.finish().unwrap();
    let error = server.errors.recv().await.unwrap();
    assert!(
        matches!(error, CallError::Decode(DecodeError::Cut { .. })),
        "{error:?}"
    );
    assert_eq!(reset_code(recv).await, number(ErrorCode::Malformed));
}

#[tokio::test]
async fn a_request_that_comes_too_slowly_is_given_up() {
    let mut server = Server::start_with(|_| {}, short());
    let (_client, connection) = dial(&server).await;
    let (mut send, recv) = connection.quinn().open_bi().await.unwrap();
    send.write_all(&[9]).await.unwrap();
    let error = server.errors.recv().await.unwrap();
    assert!(
        matches!(
            error,
            CallError::Timeout {
                what: "the rest of a request",
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(reset_code(recv).await, number(ErrorCode::TimedOut));
}

#[tokio::test]
async fn a_request_that_does_not_begin_is_given_up() {
    let mut server = Server::start_with(|_| {}, short());
    let (_client, connection) = dial(&server).await;
    let (mut send, recv) = connection.quinn().open_bi().await.unwrap();
    // QUIC shows a stream with its first byte, so the missing request is the second frame.
    send.write_all(&encode(&Hello {})).await.unwrap();
    let error = server.errors.recv().await.unwrap();
    assert!(
        matches!(
            error,
            CallError::Timeout {
                what: "the first byte of a request",
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(reset_code(recv).await, number(ErrorCode::TimedOut));
    assert_eq!(connection.request(&say("x")).await.unwrap(), said("x"));
}

#[tokio::test]
async fn streams_are_few_until_the_pass_is_checked() {
    let server = Server::start_with(|s| s.known_at_once = false, Deadlines::default());
    let (_client, connection) = dial(&server).await;
    let quinn = connection.quinn();
    let mut held = Vec::new();
    for _ in 1..limits::STREAMS_BEFORE_PASS {
        let (mut send, recv) = quinn.open_bi().await.unwrap();
        send.write_all(&[9]).await.unwrap();
        held.push((send, recv));
    }
    let (mut sender, mut receiver) = connection.open(&say("raise")).await.unwrap();
    let mut context = Context::from_waker(Waker::noop());
    {
        let one_more = pin!(quinn.open_bi());
        assert!(one_more.poll(&mut context).is_pending());
    }
    assert_eq!(receiver.expect::<Said>().await.unwrap(), said("raise"));
    for _ in 0..100 {
        held.push(quinn.open_bi().await.unwrap());
    }
    sender.finish();
}

#[tokio::test]
async fn a_silent_reader_costs_one_window() {
    let server = Server::start_with(|s| s.known_at_once = false, Deadlines::default());
    let (_client, connection) = dial(&server).await;
    let (mut sender, _receiver) = connection.open(&say("wait")).await.unwrap();
    server.service.waiting.notified().await;
    // The handler reads no further; QUIC takes the window's bytes and then no more.
    let chunk = Bytes::from(vec![0; limits::WINDOW_BEFORE_PASS_BYTES as usize + 1]);
    sender.buffer_encoded(chunk);
    let flushed = tokio::time::timeout(Duration::from_millis(500), sender.flush()).await;
    assert!(flushed.is_err());
    assert!(
        connection
            .request_with(&say("x"), &[], Duration::from_millis(1))
            .await
            .is_err()
    );
    assert!(!connection.is_closed());
    sender.reset(ErrorCode::Internal);
}
