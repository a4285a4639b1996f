//! Frames that are none, on both protocols.

use crate::common::{Deployment, PATIENCE};
use crate::hostile::*;
use waypost::limits;
use waypost::transport::{ConnectError, Connection, Expect};
use waypost::wire::frame::encode;
use waypost::wire::index::{IndexStatus, Lookup};
use waypost::wire::peer::PeerStatus;
use waypost::wire::{ALPN_INDEX, ALPN_PEER, ErrorCode, Request};

/// A length over the bound: the stream is refused with the code, the connection serves on.
async fn refuses_oversize<R: Request>(connection: &Connection, max: usize, then: &R) {
    let (mut send, mut recv) = connection.quinn().open_bi().await.unwrap();
    let length = max as u32 + 1;
    send.write_all(&length.to_le_bytes()).await.unwrap();
    let code = u64::from(ErrorCode::TooLarge.number());
    let stopped = tokio::time::timeout(PATIENCE, send.stopped()).await;
    assert_eq!(stopped.unwrap().unwrap().unwrap().into_inner(), code);
    // What comes back is an error frame or a reset with the same code.
    match recv.read_to_end(1 << 16).await {
        Ok(frame) => assert_eq!(frame[4], 0xff, "{frame:?}"),
        Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(reset))) => {
            assert_eq!(reset.into_inner(), code);
        }
        Err(other) => panic!("{other:?}"),
    }
    connection.request(then).await.unwrap();
}

async fn refuses_malformed<R: Request>(connection: &Connection, known: u8, good: &[u8], then: &R) {
    let unknown = raw(connection, &frame(0x7e, b"")).await;
    assert_eq!(unknown.code(), ErrorCode::Malformed);
    assert!(unknown.detail.contains("0x7e"), "{unknown}");

    let cut = raw(connection, &frame(known, &[0xff])).await;
    assert_eq!(cut.code(), ErrorCode::Malformed);
    assert!(cut.detail.contains("does not decode"), "{cut}");

    let trailing = raw(connection, &frame(good[4], &[&good[5..], b"zz"].concat())).await;
    assert_eq!(trailing.code(), ErrorCode::Malformed);
    assert!(trailing.detail.contains("2 bytes follow"), "{trailing}");

    let empty = raw(connection, &[0; 4]).await;
    assert_eq!(empty.code(), ErrorCode::Malformed);
    assert!(empty.detail.contains("empty frame"), "{empty}");

    let half = raw(connection, &good[..good.len() - 1]).await;
    assert_eq!(half.code(), ErrorCode::Malformed, "{half}");
    connection.request(then).await.unwrap();
}

#[tokio::test]
async fn the_index_refuses_what_is_no_request() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let caller = Caller::stranger();
    let (connection, _) = caller.register(&deployment, "x").await;
    refuses_oversize(&connection, limits::METADATA_REQUEST_BYTES, &IndexStatus {}).await;
    let good = encode(&Lookup { name: name("T1") });
    refuses_malformed(&connection, 0x02, &good, &IndexStatus {}).await;
    // Names that no client library would send.
    let long = "x".repeat(10_000);
    for hostile in ["../x y", "a\0b", "a\nb", "Т1", "", &long] {
        let rest = postcard::to_stdvec(hostile).unwrap();
        let refused = raw(&connection, &frame(0x02, &rest)).await;
        assert_eq!(refused.code(), ErrorCode::Malformed, "{hostile:?}");
        assert!(!refused.detail.contains('\n'), "{refused}");
    }
}

#[tokio::test]
async fn a_peer_refuses_what_is_no_request() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let _host = deployment.peer("host");
    deployment.run(["publish", "T1", "hi", "--id", "host"]).ok();
    let caller = Caller::stranger();
    let (index, pass) = caller.register(&deployment, "x").await;
    let route = lookup(&index, "T1").await;
    let connection = caller.host(&route, Some(&pass)).await;
    connection.request(&PeerStatus {}).await.unwrap();
    refuses_oversize(&connection, limits::FRAME_BYTES, &PeerStatus {}).await;
    let good = encode(&PeerStatus {});
    refuses_malformed(&connection, 0x04, &good, &PeerStatus {}).await;
}

#[tokio::test]
async fn the_wrong_protocol_is_refused_by_name() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let caller = Caller::stranger();
    let dialled = caller
        .endpoint
        .connect(index_address(&deployment), ALPN_PEER, Expect::AnyKey)
        .await;
    let error = dialled.unwrap_err();
    assert!(
        matches!(error, ConnectError::WrongProtocol { .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("does not speak waypost-peer/1"),
        "{error}"
    );
    caller.dial(index_address(&deployment), ALPN_INDEX).await;
}
