//! Shared, single-flight, re-made connections.

use super::*;

async fn get(pool: &Pool, server: &Server) -> Connection {
    pool.get(server.key(), &[server.addr()], ALPN, None)
        .await
        .unwrap()
}

#[tokio::test]
async fn callers_share_one_dial() {
    let server = Server::start();
    let pool = Pool::new(client());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20 {
        let (pool, key, addr) = (pool.clone(), server.key(), server.addr());
        tasks.spawn(async move {
            let hello = Some(encode(&Hello {}));
            let connection = pool.get(key, &[addr], ALPN, hello).await.unwrap();
            let text = format!("{n}");
            assert_eq!(connection.request(&say(&text)).await.unwrap(), said(&text));
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    assert_eq!(server.connections(), 1);
    assert_eq!(server.service.hellos.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let server = Server::start();
    let pool = Pool::new(client());
    let first = get(&pool, &server).await;
    first.request(&say("close")).await.unwrap_err();
    first.closed().await;
    let second = get(&pool, &server).await;
    assert_eq!(second.request(&say("x")).await.unwrap(), said("x"));
    assert_eq!(server.connections(), 2);
    pool.forget(server.key());
    get(&pool, &server).await.request(&say("x")).await.unwrap();
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_dead_address_only_delays() {
    let server = Server::start();
    let pool = Pool::new(client());
    let silent = std::net::UdpSocket::bind(any_port()).unwrap();
    let dead = silent.local_addr().unwrap();
    let addrs = [dead, server.addr(), dead];
    let connection = pool.get(server.key(), &addrs, ALPN, None).await.unwrap();
    assert_eq!(connection.remote_addr(), server.addr());
}

#[tokio::test]
async fn callers_share_a_failed_dial() {
    let silent = std::net::UdpSocket::bind(any_port()).unwrap();
    let addrs = [silent.local_addr().unwrap()];
    let deadlines = Deadlines {
        handshake: Duration::from_millis(300),
        ..Deadlines::default()
    };
    let pool = Pool::new(endpoint_with(vec![], deadlines));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let pool = pool.clone();
        tasks.spawn(async move { pool.get(Fingerprint([1; 32]), &addrs, ALPN, None).await });
    }
    let all = async {
        while let Some(result) = tasks.join_next().await {
            let error = result.unwrap().unwrap_err();
            assert!(matches!(error, ConnectError::Timeout { .. }), "{error:?}");
        }
    };
    // One dial after the other would take six seconds.
    tokio::time::timeout(Duration::from_secs(3), all)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_error_that_tells_most_is_reported() {
    let other = Server::start();
    let silent = std::net::UdpSocket::bind(any_port()).unwrap();
    let deadlines = Deadlines {
        handshake: Duration::from_millis(300),
        ..Deadlines::default()
    };
    let pool = Pool::new(endpoint_with(vec![], deadlines));
    let addrs = [silent.local_addr().unwrap(), other.addr()];
    let error = pool
        .get(Fingerprint([1; 32]), &addrs, ALPN, None)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::KeyMismatch { .. }),
        "{error:?}"
    );
    let error = pool
        .get(Fingerprint([1; 32]), &[], ALPN, None)
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::NoAddress { .. }), "{error:?}");
}
