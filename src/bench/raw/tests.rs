use super::*;
use crate::bench::lanes::{self, Until};

async fn connected() -> quinn::Connection {
    let listener = RawListener::bind().unwrap();
    let client = RawClient::new(listener.at).unwrap();
    tokio::spawn(listener.serve());
    client.connect().await.unwrap()
}

#[test]
fn headers_come_back() {
    let header = Header {
        shape: RawShape::Upload,
        request: 1_000_000,
        reply: 5_000_000_000,
    };
    assert_eq!(Header::decode(&header.encode()).unwrap(), header);
    assert!(Header::decode(&[9; HEADER_BYTES]).is_err());
    assert!(Header::decode(&[0; 3]).is_err());
}

#[tokio::test]
async fn echoes_of_all_sizes_are_answered() {
    let connection = connected().await;
    let lane = |request, reply| EchoLane {
        connection: connection.clone(),
        request,
        reply,
        ops: 1,
    };
    let lanes = vec![lane(0, 1), lane(40, 60), lane(200_000, 300_000)];
    let (_, sample) = lanes::run(lanes, Until::Each(3)).await.unwrap();
    assert_eq!(sample.ops, 9);
}

#[tokio::test]
async fn bulk_goes_both_ways() {
    let connection = connected().await;
    let bytes = 1_000_003;
    let lane = |shape| BulkLane {
        connection: connection.clone(),
        shape,
        bytes,
        ops: 1,
    };
    let lanes = vec![lane(RawShape::Upload), lane(RawShape::Download)];
    let (_, sample) = lanes::run(lanes, Until::Each(2)).await.unwrap();
    assert_eq!(sample.bytes, 4 * bytes as u64);
}

#[tokio::test]
async fn pipelined_requests_are_all_answered() {
    let connection = connected().await;
    let sample = pipelined(&connection, 64, 100, 20, Until::Each(1000)).await;
    let sample = sample.unwrap();
    assert_eq!((sample.ops, sample.times.len()), (1000, 1000));
    let sample = pipelined(&connection, 3, 100, 20, Until::ElapsedMs(5)).await;
    assert!(sample.unwrap().ops > 0);
}

#[tokio::test]
async fn syncs_leave_no_file_behind() {
    let folder = tempfile::tempdir().unwrap();
    let lane = SyncLane::new(folder.path(), 1024).unwrap();
    let (lanes, sample) = lanes::run(vec![lane], Until::Each(3)).await.unwrap();
    assert_eq!(sample.ops, 3);
    drop(lanes);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
