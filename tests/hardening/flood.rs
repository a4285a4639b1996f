//! Callers that send too little, or too much: others are served meanwhile.

use crate::common::{Deployment, PATIENCE};
use crate::hostile::*;
use waypost::limits;
use waypost::wire::index::IndexStatus;
use waypost::wire::peer::PeerStatus;
use waypost::wire::{ALPN_INDEX, ErrorCode};

/// Opens streams that send `bytes` and nothing more; answers them so that they stay open.
async fn idle_streams(
    connection: &waypost::transport::Connection,
    count: usize,
    bytes: &[u8],
) -> Vec<(quinn::SendStream, quinn::RecvStream)> {
    let mut streams = vec![];
    for _ in 0..count {
        let (mut send, recv) = connection.quinn().open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        streams.push((send, recv));
    }
    streams
}

/// A stream that sends one byte and waits is ended by the other side, with the code.
#[tokio::test]
async fn slow_streams_are_ended_and_hold_up_nobody() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let slow = Caller::stranger();
    let (connection, _) = slow.register(&deployment, "slow").await;
    let mut streams = idle_streams(&connection, 200, &[5]).await;
    // A stream that was opened and never written to does not exist for the other side.
    connection.request(&IndexStatus {}).await.unwrap();
    let other = Caller::stranger();
    let (other, _) = other.register(&deployment, "quick").await;
    other.request(&IndexStatus {}).await.unwrap();
    let (send, _) = &mut streams[0];
    let stopped =
        tokio::time::timeout(limits::REQUEST_BODY_TIMEOUT + PATIENCE, send.stopped()).await;
    let code = stopped.expect("it is ended in time").unwrap().unwrap();
    assert_eq!(code.into_inner(), u64::from(ErrorCode::TimedOut.number()));
    connection.request(&IndexStatus {}).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_streams_holds_up_nobody() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let _host = deployment.peer("host");
    deployment.run(["publish", "T1", "hi", "--id", "host"]).ok();
    let caller = Caller::stranger();
    let (index, pass) = caller.register(&deployment, "flood").await;
    let route = lookup(&index, "T1").await;

    // Without a pass sixteen streams are all there are.
    let unknown = Caller::stranger().host(&route, None).await;
    let most = limits::STREAMS_BEFORE_PASS as usize;
    let held = idle_streams(&unknown, most, &[5]).await;
    let one_more = tokio::time::timeout(limits::KEEP_ALIVE, unknown.quinn().open_bi()).await;
    assert!(one_more.is_err(), "a stream beyond the bound");

    // With one there are many; QUIC renews the allowance in steps of an eighth.
    let most = limits::STREAMS_PER_CONNECTION as usize * 3 / 4;
    let flooding = idle_streams(&index, most, &[5]).await;
    let quick = Caller::stranger();
    let (index, _) = quick.register(&deployment, "quick").await;
    index.request(&IndexStatus {}).await.unwrap();
    let served = caller.host(&route, Some(&pass)).await;
    served.request(&PeerStatus {}).await.unwrap();
    drop((held, flooding));
}

#[tokio::test]
async fn a_flood_of_connections_under_one_key_is_capped() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let caller = Caller::stranger();
    let mut open = vec![];
    for _ in 0..limits::CONNECTIONS_PER_KEY {
        open.push(caller.index(&deployment).await);
    }
    let over = caller.index(&deployment).await;
    let reply = told(over.request(&register("flood")).await);
    assert_eq!(reply.code(), ErrorCode::Overloaded);
    assert!(reply.detail.contains(&caller.key().to_string()), "{reply}");
    // Others get in, and so does this key once it lets go.
    Caller::stranger().register(&deployment, "quick").await;
    drop(open);
    let again = tokio::time::timeout(PATIENCE, async {
        loop {
            let connection = caller.index(&deployment).await;
            if connection.request(&register("flood")).await.is_ok() {
                return;
            }
        }
    });
    again.await.expect("the key gets in again");
}

#[tokio::test]
async fn noise_on_the_ports_changes_nothing() {
    let deployment = Deployment::new();
    let _index = deployment.index();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
    for _ in 0..2_000 {
        let mut datagram = vec![0; rand::Rng::random_range(&mut random, 1..1_400)];
        rand::RngCore::fill_bytes(&mut random, &mut datagram);
        // A full socket buffer loses datagrams, as it may.
        let _ = socket.send_to(&datagram, index_address(&deployment));
    }
    let caller = Caller::stranger();
    let connection = caller.dial(index_address(&deployment), ALPN_INDEX).await;
    connection.request(&register("quick")).await.unwrap();
}
