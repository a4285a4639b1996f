//! An index in this process, spoken to over real QUIC. Ports are the system's choice; nothing
//! sleeps: every wait is for something that happens.

mod admission;
mod copies;
mod lookups;
mod registering;
mod sessions;
mod topics;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::index::store::MemoryStore;
use crate::transport::{
    CallError, Connection, EndpointOptions, Expect, FrameReceiver, FrameSender, Identity,
};
use crate::types::{
    BootId, Group, PeerName, SessionId, StorageId, TopicId, TopicName, TopicSettings,
};
use crate::wire::index::*;
use crate::wire::{ALPN_INDEX, ErrorReply, Request};

/// Long enough never to matter, so that a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Runs a test on the runtime that production uses.
fn run_test(test: impl Future<Output = ()>) {
    runtime().block_on(async {
        tokio::time::timeout(PATIENCE, test)
            .await
            .expect("the test hangs")
    });
}

fn endpoint(identity: &Identity, alpns: Vec<&'static [u8]>) -> Endpoint {
    let bind = "127.0.0.1:0".parse().unwrap();
    let options = EndpointOptions {
        identity: identity.clone(),
        bind,
        alpns,
    };
    Endpoint::bind(options).unwrap()
}

struct TestIndex {
    address: SocketAddr,
    identity: Identity,
    store: MemoryStore,
    certs: Arc<TempDir>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), IndexError>>,
}

impl TestIndex {
    fn start() -> TestIndex {
        Self::start_with(|_| {})
    }

    fn start_with(change: impl FnOnce(&mut ServerOptions)) -> TestIndex {
        let certs = Arc::new(tempfile::tempdir().unwrap());
        Self::start_on(Identity::ephemeral(), MemoryStore::new(), certs, change)
    }

    fn start_on(
        identity: Identity,
        store: MemoryStore,
        certs: Arc<TempDir>,
        change: impl FnOnce(&mut ServerOptions),
    ) -> TestIndex {
        let endpoint = endpoint(&identity, vec![ALPN_INDEX]);
        let address = endpoint.local_addr();
        let mut options =
            ServerOptions::new(endpoint, certs.path().join("data"), certs.path().into());
        // The hosts of most tests send no heartbeats.
        options.leases.wait = PATIENCE;
        change(&mut options);
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { _ = stopped.await };
        let task = tokio::spawn(run_with(options, Arc::new(store.clone()), shutdown));
        TestIndex {
            address,
            identity,
            store,
            certs,
            stop: Some(stop),
            task,
        }
    }

    async fn stop(mut self) -> (Identity, MemoryStore, Arc<TempDir>) {
        drop(self.stop.take());
        self.task.await.unwrap().unwrap();
        (self.identity, self.store, self.certs)
    }

    async fn restart(self) -> TestIndex {
        let (identity, store, certs) = self.stop().await;
        Self::start_on(identity, store, certs, |_| {})
    }

    /// A key's connection; the key has not registered.
    async fn connect(&self, identity: &Identity) -> Connection {
        let expect = Expect::Key(self.identity.fingerprint());
        let endpoint = endpoint(identity, vec![]);
        endpoint
            .connect(self.address, ALPN_INDEX, expect)
            .await
            .unwrap()
    }

    /// A fresh key, registered.
    async fn peer(&self, name: &str) -> (Identity, Connection) {
        let identity = Identity::ephemeral();
        let connection = self.connect(&identity).await;
        register(&connection, name).await.unwrap();
        (identity, connection)
    }

    /// A fresh key that hosts.
    async fn host(&self, name: &str) -> TestHost {
        let (identity, connection) = self.peer(name).await;
        let mut host = TestHost::open(identity, connection, [1; 16], [2; 16]).await;
        host.assignments().await;
        host
    }
}

/// A host that keeps copies of others' topics.
async fn keeper(identity: Identity, connection: Connection, boot: [u8; 16]) -> TestHost {
    TestHost::try_open_as(identity, connection, boot, [2; 16], true)
        .await
        .unwrap()
}

async fn register(connection: &Connection, name: &str) -> Result<Registered, ErrorReply> {
    let request = Register {
        name: peer(name),
        version: "test".into(),
    };
    call(connection, &request).await
}

async fn call<R: Request>(connection: &Connection, request: &R) -> Result<R::Reply, ErrorReply> {
    match connection.request(request).await {
        Ok(reply) => Ok(reply),
        Err(CallError::Remote(why)) => Err(why),
        Err(other) => panic!("{other}"),
    }
}

fn peer(name: &str) -> PeerName {
    PeerName::new(name).unwrap()
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn create(names: &[&str], host: Option<&str>) -> CreateTopics {
    let new = |name: &&str| NewTopic {
        name: topic(name),
        settings: TopicSettings::default(),
    };
    CreateTopics {
        topics: names.iter().map(new).collect(),
        host: host.map(peer),
    }
}

fn subscribe(name: &str) -> Subscribe {
    Subscribe {
        name: topic(name),
        group: Group::default(),
    }
}

fn delete(name: &str) -> DeleteTopic {
    DeleteTopic {
        name: topic(name),
        topic: None,
    }
}

fn lookup(name: &str) -> Lookup {
    Lookup { name: topic(name) }
}

fn my_subscriptions() -> ListSubscriptions {
    ListSubscriptions {
        after: None,
        limit: 100,
    }
}

/// The hosting side of a peer, driven by hand.
struct TestHost {
    identity: Identity,
    connection: Connection,
    opened: SessionOpened,
    up: FrameSender,
    down: FrameReceiver,
    assign: Option<(FrameSender, FrameReceiver)>,
}

impl TestHost {
    async fn open(
        identity: Identity,
        connection: Connection,
        boot: [u8; 16],
        storage: [u8; 16],
    ) -> TestHost {
        Self::try_open(identity, connection, boot, storage)
            .await
            .unwrap()
    }

    async fn try_open(
        identity: Identity,
        connection: Connection,
        boot: [u8; 16],
        storage: [u8; 16],
    ) -> Result<TestHost, ErrorReply> {
        Self::try_open_as(identity, connection, boot, storage, false).await
    }

    async fn try_open_as(
        identity: Identity,
        connection: Connection,
        boot: [u8; 16],
        storage: [u8; 16],
        keeps_copies: bool,
    ) -> Result<TestHost, ErrorReply> {
        let request = SessionOpen {
            boot: BootId(boot),
            storage: StorageId(storage),
            incarnation: 0,
            addresses: vec!["0.0.0.0:4000".parse().unwrap()],
            version: "test".into(),
            keeps_copies,
        };
        let (up, mut down) = connection.open(&request).await.unwrap();
        match down.expect::<SessionOpened>().await {
            Ok(opened) => Ok(TestHost {
                identity,
                connection,
                opened,
                up,
                down,
                assign: None,
            }),
            Err(CallError::Remote(why)) => Err(why),
            Err(other) => panic!("{other}"),
        }
    }

    /// Opens the assignments and acknowledges the full list; what stood in it.
    async fn assignments(&mut self) -> Vec<Assignment> {
        let request = SessionAssignments {
            session: self.opened.session,
        };
        let (up, mut down) = self.connection.open(&request).await.unwrap();
        down.expect::<AssignmentsOpened>().await.unwrap();
        self.assign = Some((up, down));
        let mut all = vec![];
        loop {
            let frame = self.assigned().await;
            self.accept(&frame, vec![]).await;
            all.extend(frame.assignments);
            if frame.full_list_ends {
                return all;
            }
        }
    }

    async fn assigned(&mut self) -> Assign {
        let (_, down) = self.assign.as_mut().unwrap();
        down.expect::<Assign>().await.unwrap()
    }

    async fn accept(&mut self, frame: &Assign, refused: Vec<(TopicId, ErrorReply)>) {
        let (up, _) = self.assign.as_mut().unwrap();
        let word = Assigned {
            revision: frame.revision,
            refused,
            known: vec![],
        };
        up.send(&word).await.unwrap();
    }

    /// Creates topics and accepts them.
    async fn create(&mut self, names: &[&str]) -> CreatedTopics {
        let connection = self.connection.clone();
        let request = create(names, None);
        let creating = tokio::spawn(async move { call(&connection, &request).await });
        let frame = self.assigned().await;
        assert_eq!(frame.assignments.len(), names.len());
        self.accept(&frame, vec![]).await;
        creating.await.unwrap().unwrap()
    }

    async fn heartbeat(&mut self, serial: u64) -> Result<(), SessionEnd> {
        self.up.send(&Heartbeat { serial }).await.unwrap();
        let frame = self.down.next().await.unwrap().unwrap();
        match frame.decode::<HeartbeatAck>() {
            Ok(ack) => {
                assert_eq!(ack.serial, serial);
                Ok(())
            }
            Err(_) => Err(frame.decode::<SessionEnd>().unwrap()),
        }
    }

    /// Waits for the index's last word.
    async fn ended(mut self) -> SessionEnd {
        self.down.expect::<SessionEnd>().await.unwrap()
    }

    fn session(&self) -> SessionId {
        self.opened.session
    }
}
