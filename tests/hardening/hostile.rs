//! A caller with a key and no manners.

use std::net::SocketAddr;

use crate::common::{Deployment, PATIENCE};
use bytes::Bytes;
use waypost::transport::{CallError, Connection, Endpoint, EndpointOptions, Expect, Identity};
use waypost::types::{Fingerprint, PeerName, TopicName};
use waypost::wire::frame::encode;
use waypost::wire::index::{Lookup, Register, Registered, Route};
use waypost::wire::pass::SignedPass;
use waypost::wire::peer::Present;
use waypost::wire::{ALPN_INDEX, ALPN_PEER, ErrorReply, FrameDecoder};

pub fn name(text: &str) -> TopicName {
    text.parse().unwrap()
}

/// One key, one socket.
pub struct Caller {
    pub endpoint: Endpoint,
}

impl Caller {
    pub fn new(identity: Identity) -> Caller {
        let endpoint = Endpoint::bind(EndpointOptions {
            identity,
            bind: "0.0.0.0:0".parse().unwrap(),
            alpns: vec![],
        });
        Caller {
            endpoint: endpoint.unwrap(),
        }
    }

    /// A key that nobody knows.
    pub fn stranger() -> Caller {
        Caller::new(Identity::ephemeral())
    }

    pub fn key(&self) -> Fingerprint {
        self.endpoint.identity().fingerprint()
    }

    pub async fn dial(&self, to: SocketAddr, alpn: &'static [u8]) -> Connection {
        let dialled = self.endpoint.connect(to, alpn, Expect::AnyKey).await;
        dialled.unwrap()
    }

    pub async fn index(&self, deployment: &Deployment) -> Connection {
        self.dial(index_address(deployment), ALPN_INDEX).await
    }

    /// Registers under a name; answers the connection and the pass.
    pub async fn register(
        &self,
        deployment: &Deployment,
        as_name: &str,
    ) -> (Connection, SignedPass) {
        let connection = self.index(deployment).await;
        let registered: Registered = connection.request(&register(as_name)).await.unwrap();
        (connection, registered.pass)
    }

    /// A connection to the host of a route that shows `pass` first.
    pub async fn host(&self, route: &Route, pass: Option<&SignedPass>) -> Connection {
        let connection = self.dial(route.host.addresses[0], ALPN_PEER).await;
        if let Some(pass) = pass {
            connection.set_first_frame(encode(&Present { pass: pass.clone() }));
        }
        connection
    }
}

pub fn register(as_name: &str) -> Register {
    Register {
        name: as_name.parse::<PeerName>().unwrap(),
        version: "test".to_owned(),
    }
}

pub fn index_address(deployment: &Deployment) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], deployment.port))
}

pub async fn lookup(index: &Connection, topic: &str) -> Route {
    index.request(&Lookup { name: name(topic) }).await.unwrap()
}

/// The other side's words.
#[track_caller]
pub fn told<T>(result: Result<T, CallError>) -> ErrorReply {
    match result.map(drop) {
        Err(CallError::Remote(reply)) => reply,
        other => panic!("expected to be refused, got {other:?}"),
    }
}

/// Sends bytes on a stream of their own; answers the error frame that comes back.
pub async fn raw(connection: &Connection, bytes: &[u8]) -> ErrorReply {
    let (mut send, mut recv) = connection.quinn().open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    // The other side may have stopped it already.
    let _ = send.finish();
    let answer = tokio::time::timeout(PATIENCE, recv.read_to_end(1 << 16)).await;
    let answer = answer.expect("an answer in time").expect("an answer");
    let mut decoder = FrameDecoder::new(1 << 16);
    decoder.push(&answer);
    let frame = decoder.next().unwrap().expect("a whole frame");
    frame.decode().expect("an error frame")
}

/// A frame made by hand.
pub fn frame(kind: u8, rest: &[u8]) -> Bytes {
    let length = (rest.len() + 1) as u32;
    [&length.to_le_bytes()[..], &[kind], rest].concat().into()
}
