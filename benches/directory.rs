//! What the index's tables take: one lookup, many in one request, a change of a topic; with a thousand
//! topics and with a million.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use waypost::index::directory::Directory;
use waypost::index::record::{Change, PeerRecord, TopicRecord, TopicState};
use waypost::types::{Fingerprint, TopicId, TopicName, TopicSettings, UnixMicros};

const HOST: Fingerprint = Fingerprint([1; 32]);
const SIZES: [u32; 2] = [1_000, 1_000_000];
/// Names in one request, as a batched lookup carries them.
const NAMES: usize = 2_000;
/// A step that reaches every topic and follows no order of memory.
const STRIDE: u64 = 7_919;

fn name(n: u32) -> TopicName {
    TopicName::new(&format!("orders/region-{}/{n:07}", n % 97)).expect("a legal name")
}

/// Ids are random, as the index draws them.
fn id(n: u32) -> TopicId {
    let mut bytes = [0; 16];
    let spread = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes[..8].copy_from_slice(&spread.to_le_bytes());
    bytes[8..12].copy_from_slice(&n.to_le_bytes());
    TopicId(bytes)
}

fn topic(n: u32) -> TopicRecord {
    TopicRecord {
        name: name(n),
        topic: id(n),
        version: 1,
        owner: HOST,
        host: HOST,
        grant: 1,
        in_sync: vec![HOST],
        replicas: vec![HOST],
        settings: TopicSettings::default(),
        state: TopicState::Serving,
        lineage: 0,
        created: UnixMicros(1),
    }
}

fn directory(topics: u32) -> Directory {
    let mut directory = Directory::new(1);
    directory.apply(&Change::PutPeer(PeerRecord {
        name: "host".parse().expect("a legal name"),
        fingerprint: HOST,
        version: 1,
        incarnation: 1,
        boot: None,
        fenced: vec![],
        storage: None,
        addresses: vec![([127, 0, 0, 1], 6310).into()],
        program: String::new(),
        registered: UnixMicros(1),
        observed: ([127, 0, 0, 1], 6310).into(),
        last_seen: None,
    }));
    directory.reserve_topics(topics as usize);
    (0..topics).for_each(|n| directory.apply(&Change::PutTopic(topic(n))));
    directory
}

fn lookups(c: &mut Criterion) {
    let mut group = c.benchmark_group("directory");
    for topics in SIZES {
        let mut directory = directory(topics);
        // All of them, so that caches hold no more of a million than they would of those asked for in turn.
        let names: Vec<TopicName> = (0..u64::from(topics))
            .map(|n| name((n * STRIDE % u64::from(topics)) as u32))
            .collect();
        let texts: Vec<&str> = names.iter().map(TopicName::as_str).collect();
        let mut next = names.iter().cycle();
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("route", topics), |b| {
            b.iter(|| {
                let name = next.next().expect("a cycle does not end");
                black_box(directory.route(name.as_str())).expect("it exists")
            });
        });
        let together = NAMES.min(texts.len());
        let mut next = texts.chunks_exact(together).cycle();
        group.throughput(Throughput::Elements(together as u64));
        group.bench_function(BenchmarkId::new("routes", topics), |b| {
            b.iter(|| {
                let some = next.next().expect("a cycle does not end");
                black_box(directory.routes(black_box(some)))
            });
        });
        let mut changed = topic(topics / 2);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("put topic", topics), |b| {
            b.iter(|| {
                changed.version += 1;
                directory.apply(black_box(&Change::PutTopic(changed.clone())));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lookups);
criterion_main!(benches);
