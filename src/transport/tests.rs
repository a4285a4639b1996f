//! Real QUIC over loopback, ports chosen by the system, no sleeps.

mod calls;
mod files;
mod handshakes;
mod hostile;
mod passes;
mod pooling;
mod restarts;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::limits;
use crate::types::Fingerprint;
use crate::wire::frame::encode;
use crate::wire::{DecodeError, ErrorCode, ErrorReply, Frame, Message, Request};

const ALPN: &[u8] = b"waypost-test/1";

/// A request whose text says what the server is to do with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Say {
    text: String,
}

impl Message for Say {
    const KIND: u8 = 1;
    const NAME: &'static str = "Say";
}

impl Request for Say {
    type Reply = Said;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Said {
    text: String,
    payload_bytes: u64,
}

impl Message for Said {
    const KIND: u8 = 1;
    const NAME: &'static str = "Said";
}

/// Opens a stream on which every frame comes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Chat {}

impl Message for Chat {
    const KIND: u8 = 2;
    const NAME: &'static str = "Chat";
}

impl Request for Chat {
    type Reply = Chat;
}

/// Stands before the first request, as a pass does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Hello {}

impl Message for Hello {
    const KIND: u8 = 3;
    const NAME: &'static str = "Hello";
}

fn say(text: &str) -> Say {
    Say {
        text: text.to_owned(),
    }
}

fn said(text: &str) -> Said {
    Said {
        text: text.to_owned(),
        payload_bytes: 0,
    }
}

/// What the tests see of the server's inside.
struct Tester {
    /// Requests of "wait" wait for it.
    gate: Notify,
    /// Told when a "wait" has come.
    waiting: Notify,
    connected: AtomicUsize,
    disconnected: Notify,
    hellos: AtomicUsize,
    /// Failed reads of requests.
    errors: mpsc::Sender<CallError>,
    refuse: Option<ErrorReply>,
    known_at_once: bool,
}

impl Tester {
    fn new() -> (Tester, mpsc::Receiver<CallError>) {
        let (errors, seen) = mpsc::channel(100);
        let tester = Tester {
            gate: Notify::new(),
            waiting: Notify::new(),
            connected: AtomicUsize::new(0),
            disconnected: Notify::new(),
            hellos: AtomicUsize::new(0),
            errors,
            refuse: None,
            known_at_once: true,
        };
        (tester, seen)
    }

    async fn first(&self, request: &mut RequestStream) -> Result<Frame, CallError> {
        let frame = request.first().await?;
        if frame.kind != Hello::KIND {
            return Ok(frame);
        }
        self.hellos.fetch_add(1, Ordering::SeqCst);
        request.first().await
    }

    async fn answer(
        &self,
        connection: Connection,
        mut request: RequestStream,
        say: Say,
        payload: Bytes,
    ) {
        match say.text.as_str() {
            "fail" => {
                let error = ErrorReply::new(ErrorCode::TopicNotFound, "no topic of that name");
                return request.reply_error(&error).await;
            }
            "panic" => panic!("as the test wants"),
            "wait" => {
                self.waiting.notify_one();
                self.gate.notified().await;
            }
            "raise" => connection.raise_limits(),
            "close" => connection.close(ErrorCode::Fenced, "another session is newer"),
            "one more" => {
                if let Err(error) = request.first().await {
                    self.errors.try_send(error).unwrap();
                    return;
                }
            }
            _ => {}
        }
        let reply = Said {
            payload_bytes: payload.len() as u64,
            ..said(&say.text)
        };
        request.reply(&reply).await;
    }

    async fn chat(&self, request: RequestStream) -> Result<(), CallError> {
        let (mut sender, mut receiver) = request.into_parts();
        sender.send(&Chat {}).await?;
        receiver.set_max(limits::FRAME_BYTES);
        while let Some(frame) = receiver.next().await? {
            let (say, payload) = frame.decode_with_payload::<Say>()?;
            sender.buffer_with(&say, &[payload]);
            if say.text != "more" {
                sender.flush().await?;
            }
        }
        sender.finish();
        Ok(())
    }
}

impl Service for Tester {
    type Conn = ();

    fn connected(&self, _connection: &Connection, alpn: &[u8]) -> Result<(), ErrorReply> {
        assert_eq!(alpn, ALPN);
        self.connected.fetch_add(1, Ordering::SeqCst);
        self.refuse.clone().map_or(Ok(()), Err)
    }

    async fn stream(
        self: Arc<Self>,
        _conn: Arc<()>,
        connection: Connection,
        mut request: RequestStream,
    ) {
        request.set_max(limits::METADATA_REQUEST_BYTES);
        let frame = match self.first(&mut request).await {
            Ok(frame) => frame,
            Err(error) => {
                self.errors.try_send(error).unwrap();
                return;
            }
        };
        if frame.kind == Chat::KIND {
            if let Err(error) = self.chat(request).await {
                self.errors.try_send(error).unwrap();
            }
            return;
        }
        match frame.decode_with_payload::<Say>() {
            Ok((say, payload)) => self.answer(connection, request, say, payload).await,
            Err(error) => request.reply_error(&error.into()).await,
        }
    }

    fn disconnected(&self, _conn: &()) {
        self.disconnected.notify_one();
    }

    fn known_at_once(&self) -> bool {
        self.known_at_once
    }
}

struct Server {
    endpoint: Endpoint,
    service: Arc<Tester>,
    errors: mpsc::Receiver<CallError>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    fn start() -> Server {
        Server::start_with(|_| {}, Deadlines::default())
    }

    fn start_with(change: impl FnOnce(&mut Tester), deadlines: Deadlines) -> Server {
        let (mut service, errors) = Tester::new();
        change(&mut service);
        let service = Arc::new(service);
        let endpoint = endpoint_with(vec![ALPN], deadlines);
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(endpoint.clone(), service.clone(), shutdown));
        Server {
            endpoint,
            service,
            errors,
            stop,
            task,
        }
    }

    fn addr(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }

    fn key(&self) -> Fingerprint {
        self.endpoint.identity().fingerprint()
    }

    fn connections(&self) -> usize {
        self.service.connected.load(Ordering::SeqCst)
    }
}

fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn endpoint_with(alpns: Vec<&'static [u8]>, deadlines: Deadlines) -> Endpoint {
    let options = EndpointOptions {
        identity: Identity::ephemeral(),
        bind: any_port(),
        alpns,
    };
    Endpoint::bind_with(options, deadlines).unwrap()
}

fn client() -> Endpoint {
    endpoint_with(vec![], Deadlines::default())
}

/// A connection and the endpoint that it needs to live.
async fn dial(server: &Server) -> (Endpoint, Connection) {
    let endpoint = client();
    let expect = Expect::Key(server.key());
    let connection = endpoint.connect(server.addr(), ALPN, expect).await.unwrap();
    (endpoint, connection)
}

fn remote(error: CallError) -> ErrorReply {
    match error {
        CallError::Remote(reply) => reply,
        other => panic!("expected an error of the other side, got {other:?}"),
    }
}
