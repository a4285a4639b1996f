//! A real journal, and a host that is played by hand.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::client::{Client, ClientOptions};
use crate::journal::{Hooks, Journal, Options};
use crate::peer::host::HostState;
use crate::peer::replication::following::Copying;
use crate::peer::replication::following::link::What;
use crate::peer::replication::following::outbox::Outbox;
use crate::peer::replication::{Replication, Tips};
use crate::peer::reports::Changed;
use crate::replication::host::{Join, JoinAnswer};
use crate::replication::hosting::{Down, Up};
use crate::transport::{
    Connection, Endpoint, EndpointOptions, Expect, Identity, RequestStream, Service, serve,
};
use crate::types::{Epoch, TopicSettings, UnixMicros};
use crate::wire::batch::{self, BatchBuilder, Record};
use crate::wire::{ALPN_PEER, ErrorReply};

const TOPIC: TopicId = TopicId([1; 16]);
const HOST: Fingerprint = Fingerprint([9; 32]);
const EPOCH: Epoch = Epoch {
    grant: 3,
    incarnation: 7,
};

/// Takes connections and answers nothing.
struct Mute;

impl Service for Mute {
    type Conn = AtomicBool;

    fn connected(&self, _: &Connection, _: &[u8]) -> Result<AtomicBool, ErrorReply> {
        Ok(AtomicBool::new(true))
    }

    async fn stream(self: Arc<Self>, _: Arc<AtomicBool>, _: Connection, _: RequestStream) {}

    fn disconnected(&self, conn: &AtomicBool) {
        conn.store(false, Ordering::Relaxed);
    }

    fn known_at_once(&self) -> bool {
        true
    }
}

struct Rig {
    folder: tempfile::TempDir,
    journal: Journal,
    copying: Copying,
    events: mpsc::Sender<Event>,
    host: PeerNo,
    outbox: Arc<Outbox>,
    slot: SlotNo,
}

fn identity(folder: &std::path::Path, name: &str) -> Identity {
    Identity::load_or_create(folder, name).unwrap().0
}

fn endpoint(identity: Identity) -> Endpoint {
    let options = EndpointOptions {
        identity,
        bind: "127.0.0.1:0".parse().unwrap(),
        alpns: vec![ALPN_PEER],
    };
    Endpoint::bind(options).unwrap()
}

async fn connection(folder: &std::path::Path) -> Connection {
    let serving = endpoint(identity(folder, "h"));
    let address = serving.local_addr();
    tokio::spawn(serve(serving, Arc::new(Mute), pending()));
    let dialling = endpoint(identity(folder, "d"));
    let dialled = dialling.connect(address, ALPN_PEER, Expect::AnyKey).await;
    dialled.unwrap()
}

fn batch(base: u64, epoch: Epoch, body: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(&Record {
        key: None,
        headers: vec![],
        body,
    });
    let sealed = builder.seal(TOPIC, ProducerId([2; 16]), base - 1, UnixMicros(0));
    let mut bytes = sealed.to_vec();
    batch::set_host_fields(&mut bytes, Offset(base), epoch, UnixMicros(1));
    bytes.into()
}

/// An engine that does not run yet, with its journal, which knows the topic as a copy.
struct Parts {
    folder: tempfile::TempDir,
    journal: Journal,
    engine: Engine,
    host: PeerNo,
}

impl Parts {
    async fn new() -> Parts {
        let folder = tempfile::tempdir().unwrap();
        let certs = folder.path().join("certs");
        let me = identity(&certs, "1");
        let replication = Replication::new(
            me.fingerprint(),
            Arc::new(Tips::default()),
            Arc::new(Changed::default()),
        );
        let options = Options {
            segment_bytes: 1 << 20,
            extent_bytes: 1 << 16,
            ..Options::new(folder.path().join("journal"))
        };
        let (journal, _) = Journal::open(options, Hooks::default()).unwrap();
        let host = replication.peers.number(HOST);
        // Nobody is there: the links find no host, and this test plays it.
        let index = "127.0.0.1:1".parse().unwrap();
        let client = ClientOptions::new(me, "1".parse().unwrap(), index);
        let requests = Arc::new(Requests::default());
        let engine = Engine::new(
            CopyingContext {
                client: Client::new(client).unwrap(),
                replication: Arc::new(replication),
                journal: journal.clone(),
                state: Arc::new(HostState::default()),
            },
            requests,
        );
        let topic = KeptTopic {
            id: TOPIC,
            name: "T1".parse().unwrap(),
            settings: TopicSettings::default(),
        };
        let epoch = Epoch::default();
        write(&journal, Command::Known { topic, epoch }).await;
        Parts {
            folder,
            journal,
            engine,
            host,
        }
    }
}

async fn write(journal: &Journal, command: Command) {
    let (done, outcome) = tokio::sync::oneshot::channel();
    let submitted = journal.submit(command, Done::Oneshot(done)).await;
    submitted.unwrap();
    assert_eq!(outcome.await.unwrap(), Outcome::Done);
}

impl Rig {
    async fn start() -> Rig {
        let Parts {
            folder,
            journal,
            engine,
            host,
        } = Parts::new().await;
        let certs = folder.path().join("certs");
        let (events, requests) = (engine.events.clone(), Arc::clone(&engine.requests));
        let rig = Rig {
            journal,
            copying: Copying {
                requests,
                engine: tokio::spawn(engine.run()),
            },
            events,
            host,
            outbox: Arc::new(Outbox::default()),
            slot: 0,
            folder,
        };
        let name = "T1".parse().unwrap();
        rig.copying.follow(TOPIC, &name, HOST, EPOCH.grant);
        let connection = connection(&certs).await;
        let opened = What::Opened(connection, Arc::clone(&rig.outbox));
        rig.say(opened).await;
        rig
    }

    async fn write(&self, command: Command) {
        write(&self.journal, command).await;
    }

    async fn say(&self, what: What) {
        let (host, link) = (self.host, 1);
        let told = self.events.send(Event { host, link, what }).await;
        assert!(told.is_ok(), "the engine runs");
    }

    /// The next join, answered.
    async fn joined(&mut self, common: Option<(Epoch, Offset)>) -> Join {
        let join = loop {
            let mut frames = self.outbox.wait().await.into_iter();
            let join = frames.find_map(|frame| match frame {
                Up::Join(slot, _, join) => Some((slot, join)),
                _ => None,
            });
            if let Some((slot, join)) = join {
                assert!(slot > self.slot, "slots are counted up");
                self.slot = slot;
                break join;
            }
        };
        let answer = JoinAnswer {
            epoch: EPOCH,
            common,
            start: Offset::FIRST,
            high_watermark: Offset::FIRST,
        };
        self.say(What::Frame(Down::Joined(self.slot, answer))).await;
        join
    }

    async fn batches(&self, batches: &[Bytes]) {
        self.say(What::Batches(self.slot, batches.concat().into()))
            .await;
    }

    /// Waits until the copy is acknowledged up to `end`.
    async fn acked(&self, end: u64) {
        loop {
            for frame in self.outbox.wait().await {
                if let Up::Acks(acks) = frame {
                    assert!(acks.iter().all(|(slot, ..)| *slot == self.slot));
                    let durable = self.journal.copy(TOPIC).unwrap().log.end();
                    assert!(acks.iter().all(|(_, acked, _)| *acked <= durable));
                    if acks.iter().any(|(_, acked, _)| acked.0 == end) {
                        return;
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn what_a_host_sends_is_written_as_it_is_and_acknowledged_when_durable() {
    let mut rig = Rig::start().await;
    let join = rig.joined(None).await;
    assert_eq!((join.last, join.end), (None, Offset::FIRST));
    let sent = [batch(1, EPOCH, b"a"), batch(2, EPOCH, b"b")];
    rig.batches(&sent).await;
    rig.acked(3).await;
    let slice = rig.journal.read(TOPIC, Offset(1), 1 << 20).unwrap();
    assert_eq!(slice.batches, sent);
    let copy = rig.journal.copy(TOPIC).unwrap();
    assert_eq!((copy.known, copy.hosts), (EPOCH, false));
    let moved = vec![(rig.slot, Offset(2), Offset(1))];
    rig.say(What::Frame(Down::Watermarks(moved))).await;
    rig.batches(&[batch(3, EPOCH, b"c")]).await;
    rig.acked(4).await;
    assert_eq!(rig.copying.unfollow(TOPIC).await, Some(Offset(2)));
    assert_eq!(rig.copying.unfollow(TOPIC).await, None);
    rig.journal.close();
    drop(rig.folder);
}

#[tokio::test]
async fn a_batch_that_does_not_read_ends_the_slot_and_nothing_of_it_is_written() {
    let mut rig = Rig::start().await;
    rig.joined(None).await;
    let mut flipped = batch(2, EPOCH, b"bad").to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    rig.batches(&[batch(1, EPOCH, b"good"), flipped.into()])
        .await;
    let join = rig.joined(Some((EPOCH, Offset(2)))).await;
    assert_eq!((join.last, join.end), (Some(EPOCH), Offset(2)));
    rig.batches(&[batch(2, EPOCH, b"better")]).await;
    rig.acked(3).await;
    rig.journal.close();
}

#[tokio::test]
async fn what_the_journal_refuses_is_not_acknowledged_and_fetched_again() {
    let mut rig = Rig::start().await;
    rig.joined(None).await;
    rig.batches(&[batch(1, EPOCH, b"a"), batch(2, EPOCH, b"b")])
        .await;
    rig.acked(3).await;
    // As if the entries since had been refused: the journal is behind the machine.
    let to = Offset(2);
    rig.write(Command::Truncate { topic: TOPIC, to }).await;
    rig.batches(&[batch(3, EPOCH, b"c")]).await;
    let join = rig.joined(Some((EPOCH, Offset(3)))).await;
    assert_eq!(join.end, Offset(2), "from what the journal has");
    rig.batches(&[batch(2, EPOCH, b"b"), batch(3, EPOCH, b"c")])
        .await;
    rig.acked(4).await;
    rig.journal.close();
}

#[tokio::test]
async fn a_copy_is_not_taken_up_again_while_something_of_it_is_on_its_way() {
    let mut parts = Parts::new().await;
    let engine = &mut parts.engine;
    let name: TopicName = "T1".parse().unwrap();
    let followed = engine.follow(TOPIC, name.clone(), HOST, EPOCH.grant);
    followed.await.unwrap();
    assert!(engine.machine.topic(TOPIC).is_some());
    // The journal has not said yet what became of this one.
    let to = Offset::FIRST;
    let command = Command::Truncate { topic: TOPIC, to };
    engine.submit(TOPIC, Some(0), command).await.unwrap();
    engine.unfollow(TOPIC).await.unwrap();
    let other = Fingerprint([8; 32]);
    let followed = engine.follow(TOPIC, name, other, EPOCH.grant + 1);
    followed.await.unwrap();
    assert!(engine.machine.topic(TOPIC).is_none());
    let outcomes = engine.done.wait().await;
    engine.on_outcomes(outcomes).await.unwrap();
    engine.wakes.clear();
    let now = clock::mono_now();
    engine.topics.get_mut(&TOPIC).unwrap().due = Some(now);
    engine.wakes.push(Reverse((now, TOPIC)));
    engine.on_wake().await.unwrap();
    assert!(engine.machine.topic(TOPIC).is_some());
    assert_ne!(engine.machine.host_of(TOPIC).unwrap().0, parts.host);
    parts.journal.close();
}
