//! Appends that come together on one stream, some of them bad.

use crate::common::Deployment;
use crate::hostile::*;
use bytes::Bytes;
use waypost::transport::FrameReceiver;
use waypost::types::{ProducerId, TopicId, UnixMicros};
use waypost::wire::batch::{BatchBuilder, Record};
use waypost::wire::peer::{AppendAck, AppendNack, AppendNext, AppendStream, AppendStreamOpened};
use waypost::wire::{ErrorCode, Message};

fn batch(topic: TopicId, producer: ProducerId, sequence: u64, body: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(&Record {
        key: None,
        headers: vec![],
        body,
    });
    builder.seal(topic, producer, sequence, UnixMicros(0))
}

/// The tickets that were taken, and those that were refused and why, in any order, until the stream ends.
async fn answers(receiver: &mut FrameReceiver) -> (Vec<u64>, Vec<(u64, ErrorCode)>) {
    let (mut taken, mut refused) = (vec![], vec![]);
    while let Ok(Some(frame)) = receiver.next().await {
        if frame.kind == AppendAck::KIND {
            taken.push(frame.decode::<AppendAck>().unwrap().ticket);
        } else if frame.kind == AppendNack::KIND {
            let nack: AppendNack = frame.decode().unwrap();
            refused.push((nack.ticket, nack.error.code()));
        }
    }
    taken.sort_unstable();
    refused.sort_unstable_by_key(|(ticket, _)| *ticket);
    (taken, refused)
}

#[tokio::test]
async fn bad_appends_take_nothing_along_that_came_with_them() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let _host = deployment.peer("owner");
    deployment
        .run(["topic", "create", "T1", "--id", "owner"])
        .ok();
    let caller = Caller::stranger();
    let (index, pass) = caller.register(&deployment, "caller").await;
    let route = lookup(&index, "T1").await;
    let host = caller.host(&route, Some(&pass)).await;
    let (mut sender, mut receiver) = host.open(&AppendStream {}).await.unwrap();
    receiver.expect::<AppendStreamOpened>().await.unwrap();

    let (topic, elsewhere) = (route.topic, TopicId([9; 16]));
    let producer = ProducerId::of(caller.key(), &mut rand::rng());
    let mut damaged = batch(topic, producer, 1, b"damaged").to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let sent = [
        (topic, batch(topic, producer, 0, b"one")),
        (topic, damaged.into()),
        (elsewhere, batch(elsewhere, producer, 0, b"elsewhere")),
        (topic, batch(elsewhere, producer, 1, b"misled")),
        (topic, batch(topic, producer, 1, b"two")),
        (topic, batch(topic, producer, 3, b"too soon")),
    ];
    for (ticket, (topic, batch)) in (0..).zip(sent) {
        let next = AppendNext {
            ticket,
            topic,
            epoch: route.epoch,
        };
        sender.buffer_with(&next, &[batch]);
    }
    // What is no append ends the stream, but not what came before it.
    sender.buffer(&AppendStream {});
    sender.flush().await.unwrap();

    let (taken, refused) = answers(&mut receiver).await;
    assert_eq!(taken, [0, 4]);
    let expected = [
        (1, ErrorCode::CorruptBatch),
        (2, ErrorCode::NotHost),
        (3, ErrorCode::CorruptBatch),
        (5, ErrorCode::SequenceGap),
    ];
    assert_eq!(refused, expected);
    let text = deployment
        .run(["pull", "T1", "--id", "reader", "-f", "%s\n"])
        .ok();
    assert_eq!(text, "one\ntwo\n");
}
