//! What one message costs on the way through the codec.

use std::hint::black_box;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use waypost::limits;
use waypost::types::{Epoch, Fingerprint, ProducerId, TopicId, UnixMicros};
use waypost::wire::batch::{self, BatchBuilder, Record};
use waypost::wire::frame::{encode, put_frame};
use waypost::wire::index::{HostAddress, IndexRequest, Lookup, Route};
use waypost::wire::peer::{AppendNext, PeerRequest, Pull, ReadFrom};
use waypost::wire::{FrameDecoder, WireRequest};

const TOPIC: TopicId = TopicId([1; 16]);
const EPOCH: Epoch = Epoch {
    grant: 1,
    incarnation: 2,
};
const KIB: &[u8] = &[7; 1024];

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("request");
    let lookup = Lookup {
        name: "orders/eu-central/2026".parse().expect("a legal name"),
    };
    group.bench_function("encode lookup", |b| b.iter(|| encode(black_box(&lookup))));
    let bytes = encode(&lookup);
    group.bench_function("decode lookup", |b| {
        b.iter(|| {
            let mut decoder = FrameDecoder::new(limits::METADATA_REQUEST_BYTES);
            decoder.push(black_box(&bytes));
            let frame = decoder.next().expect("sound").expect("whole");
            IndexRequest::decode(&frame).expect("a request")
        })
    });
    let pull = Pull {
        topic: TOPIC,
        epoch: EPOCH,
        from: ReadFrom::Position(Default::default()),
        max_bytes: 1 << 20,
        max_messages: 1_000,
        wait_ms: 0,
        group: Default::default(),
    };
    let bytes = encode(&pull);
    group.bench_function("decode pull", |b| {
        b.iter(|| {
            let mut decoder = FrameDecoder::new(limits::METADATA_REQUEST_BYTES);
            decoder.push(black_box(&bytes));
            let frame = decoder.next().expect("sound").expect("whole");
            PeerRequest::decode(&frame).expect("a request")
        })
    });
    let route = Route {
        topic: TOPIC,
        epoch: EPOCH,
        host: Arc::new(HostAddress {
            fingerprint: Fingerprint([2; 32]),
            name: "1".parse().expect("a legal name"),
            addresses: vec!["10.0.0.1:12347".parse().expect("an address")],
            live: true,
        }),
    };
    group.bench_function("encode route", |b| b.iter(|| encode(black_box(&route))));
    group.finish();
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    let next = AppendNext {
        ticket: 1,
        topic: TOPIC,
        epoch: EPOCH,
    };
    let mut stream = BytesMut::new();
    for _ in 0..64 {
        put_frame(&mut stream, &next, KIB.len());
        stream.extend_from_slice(KIB);
    }
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("64 appends of 1 KiB in datagrams", |b| {
        b.iter(|| {
            let mut decoder = FrameDecoder::new(limits::FRAME_BYTES);
            let mut seen = 0;
            for chunk in stream.chunks(1_200) {
                decoder.push(chunk);
                while let Some(frame) = decoder.next().expect("sound") {
                    let (next, payload) = frame.decode_with_payload::<AppendNext>().expect("sound");
                    seen += next.ticket as usize + payload.len();
                }
            }
            seen
        })
    });
    group.finish();
}

fn batch_of(messages: usize, body: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for _ in 0..messages {
        builder.push(&Record {
            key: None,
            headers: vec![],
            body,
        });
    }
    builder.seal(TOPIC, ProducerId([3; 16]), 0, UnixMicros(0))
}

fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch");
    for (messages, body) in [(1, KIB), (64, KIB), (1_000, &KIB[..100])] {
        let bytes = batch_of(messages, body);
        let case = format!("{messages} × {} B", body.len());
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("build {case}"), |b| {
            b.iter(|| batch_of(messages, black_box(body)))
        });
        group.bench_function(format!("verify {case}"), |b| {
            b.iter(|| batch::verify(black_box(&bytes)).expect("sound"))
        });
        group.bench_function(format!("records {case}"), |b| {
            b.iter(|| batch::records(black_box(&bytes)).expect("sound").len())
        });
        group.bench_function(format!("host fields {case}"), |b| {
            b.iter_batched_ref(
                || bytes.to_vec(),
                |bytes| {
                    batch::set_host_fields(bytes, waypost::types::Offset(9), EPOCH, UnixMicros(1))
                },
                BatchSize::SmallInput,
            )
        });
    }
    group.finish();
}

criterion_group!(benches, requests, frames, batches);
criterion_main!(benches);
