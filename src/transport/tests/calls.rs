//! Requests, replies and long streams.

use super::*;

#[tokio::test]
async fn a_request_is_answered() {
    let server = Server::start();
    let (client, connection) = dial(&server).await;
    assert_eq!(connection.peer(), server.key());
    assert_eq!(connection.request(&say("x")).await.unwrap(), said("x"));
    assert_ne!(client.identity().fingerprint(), server.key());
    assert!(!connection.is_closed());
}

#[tokio::test]
async fn an_error_reply_arrives_whole() {
    let server = Server::start();
    let (_client, connection) = dial(&server).await;
    let error = remote(connection.request(&say("fail")).await.unwrap_err());
    assert_eq!(error.code(), ErrorCode::TopicNotFound);
    assert_eq!(error.detail, "no topic of that name");
    assert_eq!(connection.request(&say("x")).await.unwrap(), said("x"));
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let server = Server::start();
    let (_client, connection) = dial(&server).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..500 {
        let connection = connection.clone();
        tasks.spawn(async move {
            let text = n.to_string();
            assert_eq!(connection.request(&say(&text)).await.unwrap(), said(&text));
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn payloads_pass_uncut() {
    let server = Server::start();
    let (_client, connection) = dial(&server).await;
    let payload = [Bytes::from(vec![7; 30_000]), Bytes::from(vec![8; 100])];
    let reply = connection
        .request_with(&say("x"), &payload, limits::REPLY_TIMEOUT)
        .await
        .unwrap();
    assert_eq!(reply.payload_bytes, 30_100);
}

#[tokio::test]
async fn a_long_stream_carries_frames_both_ways() {
    let server = Server::start();
    let (_client, connection) = dial(&server).await;
    let (mut sender, mut receiver) = connection.open(&Chat {}).await.unwrap();
    receiver.expect::<Chat>().await.unwrap();
    let payload = Bytes::from((0..3_000_000u32).map(|n| n as u8).collect::<Vec<_>>());
    sender.buffer(&say("more"));
    sender.buffer(&say("more"));
    sender
        .send_with(&say("big"), std::slice::from_ref(&payload))
        .await
        .unwrap();
    for text in ["more", "more"] {
        assert_eq!(receiver.expect::<Say>().await.unwrap(), say(text));
    }
    let (message, echoed) = receiver.expect_with::<Say>().await.unwrap();
    assert_eq!(message, say("big"));
    assert!(echoed == payload);
    sender.finish();
    assert_eq!(receiver.next().await.unwrap(), None);
    sender.stopped().await.unwrap();
}

#[tokio::test]
async fn reading_may_be_cancelled() {
    let server = Server::start();
    let (_client, connection) = dial(&server).await;
    let (mut sender, mut receiver) = connection.open(&Chat {}).await.unwrap();
    receiver.expect::<Chat>().await.unwrap();
    let frame = encode(&say("in two halves"));
    let (first, second) = frame.split_at(frame.len() / 2);
    sender.buffer_encoded(Bytes::copy_from_slice(first));
    sender.flush().await.unwrap();
    let early = receiver.next_within(Duration::from_millis(1)).await;
    assert!(matches!(early, Err(CallError::Timeout { .. })));
    sender.buffer_encoded(Bytes::copy_from_slice(second));
    sender.flush().await.unwrap();
    let message = receiver.expect::<Say>().await.unwrap();
    assert_eq!(message, say("in two halves"));
}

#[tokio::test]
async fn a_reply_that_does_not_come_is_not_awaited_for_ever() {
    let server = Server::start();
    let (_client, connection) = dial(&server).await;
    let after = Duration::from_millis(50);
    let error = connection.request_with(&say("wait"), &[], after).await;
    assert!(matches!(
        error,
        Err(CallError::Timeout { what: "Said", .. })
    ));
    server.service.gate.notify_one();
    assert_eq!(connection.request(&say("x")).await.unwrap(), said("x"));
}

#[tokio::test]
async fn a_handler_that_panics_resets_its_stream_only() {
    let server = Server::start();
    let (_client, connection) = dial(&server).await;
    let error = remote(connection.request(&say("panic")).await.unwrap_err());
    assert_eq!(error.code(), ErrorCode::Internal);
    assert_eq!(connection.request(&say("x")).await.unwrap(), said("x"));
}

#[tokio::test]
async fn a_closed_connection_says_why() {
    let server = Server::start();
    let (_client, connection) = dial(&server).await;
    let error = remote(connection.request(&say("close")).await.unwrap_err());
    assert_eq!(error.code(), ErrorCode::Fenced);
    assert_eq!(error.detail, "another session is newer");
    assert!(connection.is_closed());
    server.service.disconnected.notified().await;
}

#[tokio::test]
async fn the_first_frame_goes_once() {
    let server = Server::start();
    let (_client, connection) = dial(&server).await;
    connection.set_first_frame(encode(&Hello {}));
    let (a, b) = (say("a"), say("b"));
    let both = tokio::join!(connection.request(&a), connection.request(&b));
    assert_eq!((both.0.unwrap(), both.1.unwrap()), (said("a"), said("b")));
    assert_eq!(server.service.hellos.load(Ordering::SeqCst), 1);
}
