//! Shutdown, sudden death and coming back.

use super::*;

#[tokio::test]
async fn shutdown_lets_a_stream_in_flight_finish() {
    let server = Server::start();
    let (client, connection) = dial(&server).await;
    let asking = {
        let connection = connection.clone();
        tokio::spawn(async move { connection.request(&say("wait")).await })
    };
    server.service.waiting.notified().await;
    server.stop.send(()).unwrap();
    let expect = Expect::Key(server.endpoint.identity().fingerprint());
    let refused = client
        .connect(server.endpoint.local_addr(), ALPN, expect)
        .await;
    assert!(
        matches!(refused, Err(ConnectError::Refused { .. })),
        "{refused:?}"
    );
    server.service.gate.notify_one();
    assert_eq!(asking.await.unwrap().unwrap(), said("wait"));
    assert_eq!(
        remote(connection.closed().await).code(),
        ErrorCode::ShuttingDown
    );
    server.task.await.unwrap();
    server.service.disconnected.notified().await;
    server.endpoint.close(ErrorCode::ShuttingDown, "over").await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let deadlines = Deadlines {
        drain: Duration::from_millis(50),
        ..Deadlines::default()
    };
    let server = Server::start_with(|_| {}, deadlines);
    let (_client, connection) = dial(&server).await;
    let (_sender, mut receiver) = connection.open(&say("wait")).await.unwrap();
    server.service.waiting.notified().await;
    server.stop.send(()).unwrap();
    server.task.await.unwrap();
    let error = remote(receiver.expect::<Said>().await.unwrap_err());
    assert_eq!(error.code(), ErrorCode::ShuttingDown);
}

/// A server in a runtime of its own, which can die without a word.
struct Process {
    addr: SocketAddr,
    kill: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Process {
    fn start(identity: Identity, bind: SocketAddr) -> Process {
        let (kill, killed) = oneshot::channel();
        let (bound, addr) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let alpns = vec![ALPN];
                let options = EndpointOptions {
                    identity,
                    bind,
                    alpns,
                };
                let endpoint = Endpoint::bind(options).unwrap();
                bound.send(endpoint.local_addr()).unwrap();
                let (service, _errors) = Tester::new();
                tokio::select! {
                    () = serve(endpoint, Arc::new(service), std::future::pending()) => {}
                    _ = killed => {}
                }
            });
            // The runtime ends here, and with it the socket; nothing is sent any more.
        });
        Process {
            addr: addr.recv().unwrap(),
            kill,
            thread,
        }
    }

    fn kill(self) {
        self.kill.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

#[tokio::test]
async fn a_restart_on_the_same_port_is_noticed_at_once() {
    let identity = Identity::ephemeral();
    let process = Process::start(identity.clone(), any_port());
    let addr = process.addr;
    let pool = Pool::new(client());
    let key = identity.fingerprint();
    let connection = pool.get(key, &[addr], ALPN, None).await.unwrap();
    connection.request(&say("x")).await.unwrap();

    process.kill();
    assert!(!connection.is_closed(), "it died without a word");
    let process = Process::start(identity, addr);

    let question = say("x");
    let request = connection.request(&question);
    let limit = limits::IDLE_TIMEOUT / 5;
    let error = tokio::time::timeout(limit, request)
        .await
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(
            &error,
            CallError::ConnectionLost {
                source: quinn::ConnectionError::Reset
            }
        ),
        "{error:?}"
    );
    let connection = pool.get(key, &[addr], ALPN, None).await.unwrap();
    assert_eq!(connection.request(&say("x")).await.unwrap(), said("x"));
    process.kill();
}
