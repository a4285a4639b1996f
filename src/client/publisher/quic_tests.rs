//! The publisher over real QUIC, against an index and a host that keep everything in memory.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::PublisherOptions;
use super::fake_host::Host;
use crate::client::{Client, ClientError, ClientOptions, IndexAddress, Message};
use crate::transport::{
    Connection, Endpoint, EndpointOptions, FrameReceiver, FrameSender, Identity, RequestStream,
    Service, serve,
};
use crate::types::{Offset, PeerName, TopicId, TopicName, TopicSettings, UnixMicros};
use crate::wire::index::{
    CreateOutcome, CreatedTopics, HostAddress, IndexRequest, Registered, Route,
};
use crate::wire::pass::PassBody;
use crate::wire::peer::{
    Achieved, AppendAck, AppendNack, AppendNext, AppendStream, AppendStreamOpened,
};
use crate::wire::{ALPN_INDEX, ALPN_PEER, ErrorCode, ErrorReply, Frame, Message as _, WireRequest};

/// What the index knows and the host has on disk.
struct Shared {
    identity: Identity,
    state: Mutex<State>,
}

struct State {
    exists: bool,
    host: Host,
    address: SocketAddr,
}

impl Shared {
    fn route(&self) -> Option<Route> {
        let state = self.state.lock();
        state.exists.then(|| Route {
            topic: TopicId([1; 16]),
            epoch: state.host.epoch(),
            host: Arc::new(HostAddress {
                fingerprint: self.identity.fingerprint(),
                name: PeerName::new("1").unwrap(),
                addresses: vec![state.address],
                live: true,
            }),
        })
    }
}

/// One process: an index and a host in one, at one port.
struct Process {
    shared: Arc<Shared>,
    incarnation: u32,
}

impl Service for Process {
    type Conn = bool;

    fn connected(&self, _: &Connection, alpn: &[u8]) -> Result<bool, ErrorReply> {
        Ok(alpn == ALPN_INDEX)
    }

    async fn stream(
        self: Arc<Self>,
        is_index: Arc<bool>,
        connection: Connection,
        mut request: RequestStream,
    ) {
        let Ok(first) = request.first().await else {
            return;
        };
        match *is_index {
            true => self.index(&connection, &first, request).await,
            false => self.host(first, request).await,
        }
    }

    fn disconnected(&self, _: &bool) {}

    fn known_at_once(&self) -> bool {
        true
    }
}

impl Process {
    async fn index(&self, connection: &Connection, first: &Frame, request: RequestStream) {
        match IndexRequest::decode(first).unwrap().0 {
            IndexRequest::Register(register) => {
                let body = PassBody {
                    fingerprint: connection.peer(),
                    name: register.name,
                    serial: 1,
                    issued: UnixMicros(0),
                    expires: UnixMicros(i64::MAX),
                };
                let registered = Registered {
                    new: true,
                    pass: self.shared.identity.sign_pass(&body),
                    observed: connection.remote_addr(),
                    notices: 0,
                };
                request.reply(&registered).await;
            }
            IndexRequest::Lookup(_) => match self.shared.route() {
                Some(route) => request.reply(&route).await,
                None => {
                    let error = ErrorReply::new(ErrorCode::TopicNotFound, "no topic");
                    request.reply_error(&error).await;
                }
            },
            IndexRequest::CreateTopics(_) => {
                self.shared.state.lock().exists = true;
                let route = self.shared.route().unwrap();
                let created = CreatedTopics {
                    host: Some(route.host),
                    outcomes: vec![CreateOutcome::Created {
                        topic: route.topic,
                        epoch: route.epoch,
                    }],
                };
                request.reply(&created).await;
            }
            other => panic!("{other:?}"),
        }
    }

    async fn host(&self, first: Frame, mut request: RequestStream) {
        let first = match first.kind {
            AppendStream::KIND => first,
            // The pass.
            _ => request.first().await.unwrap(),
        };
        first.decode::<AppendStream>().unwrap();
        let (mut sender, mut receiver) = request.into_parts();
        receiver.set_max(crate::limits::FRAME_BYTES);
        if sender.send(&AppendStreamOpened {}).await.is_err() {
            return;
        }
        while let Some(()) = self.answer_next(&mut sender, &mut receiver).await {}
    }

    async fn answer_next(
        &self,
        sender: &mut FrameSender,
        receiver: &mut FrameReceiver,
    ) -> Option<()> {
        let frame = receiver.next().await.ok()??;
        let (next, batch) = frame.decode_with_payload::<AppendNext>().unwrap();
        let appended = {
            let mut state = self.shared.state.lock();
            if state.host.incarnation != self.incarnation {
                // Another process has taken over; this one hangs, its connections look alive.
                return Some(());
            }
            state.host.append(next.epoch, &batch)
        };
        let ticket = next.ticket;
        let achieved = Achieved { durable: 1, of: 1 };
        let sent = match appended {
            Ok((base, duplicate)) => {
                let base = Offset(base);
                let ack = AppendAck {
                    ticket,
                    base,
                    duplicate,
                    achieved,
                };
                sender.send(&ack).await
            }
            Err(code) => {
                let error = ErrorReply::new(code, code.text());
                sender.send(&AppendNack { ticket, error }).await
            }
        };
        sent.ok()
    }
}

struct World {
    shared: Arc<Shared>,
    index: IndexAddress,
    /// The index's process, then hosts'.
    tasks: Vec<JoinHandle<()>>,
}

impl World {
    fn new(exists: bool) -> World {
        let shared = Arc::new(Shared {
            identity: Identity::ephemeral(),
            state: Mutex::new(State {
                exists,
                host: Host::default(),
                address: ([127, 0, 0, 1], 0).into(),
            }),
        });
        let (index, task) = start(&shared, ALPN_INDEX);
        let mut world = World {
            shared,
            index: index.to_string().parse().unwrap(),
            tasks: vec![task],
        };
        world.start_host();
        world
    }

    /// A host process on a port of its own, with what is on the disk.
    fn start_host(&mut self) {
        self.shared.state.lock().host.incarnation += 1;
        let (address, task) = start(&self.shared, ALPN_PEER);
        self.shared.state.lock().address = address;
        self.tasks.push(task);
    }

    /// Ends the host's process; its connections are closed.
    fn stop_host(&mut self) {
        self.tasks.pop().unwrap().abort();
    }

    fn client(&self) -> Client {
        let name = PeerName::new("2").unwrap();
        let options = ClientOptions::new(Identity::ephemeral(), name, self.index.clone());
        Client::new(options).unwrap()
    }

    /// The messages in the log, which must be these numbers in order.
    fn assert_log(&self, messages: u32) {
        let log = self.shared.state.lock().host.log.clone();
        assert_eq!(log, (0..messages).collect::<Vec<_>>());
    }
}

fn start(shared: &Arc<Shared>, alpn: &'static [u8]) -> (SocketAddr, JoinHandle<()>) {
    let endpoint = Endpoint::bind(EndpointOptions {
        identity: shared.identity.clone(),
        bind: ([127, 0, 0, 1], 0).into(),
        alpns: vec![alpn],
    })
    .unwrap();
    let service = Process {
        shared: Arc::clone(shared),
        incarnation: shared.state.lock().host.incarnation,
    };
    let address = endpoint.local_addr();
    let serving = serve(endpoint, Arc::new(service), std::future::pending());
    (address, tokio::spawn(serving))
}

fn topic() -> TopicName {
    TopicName::new("T").unwrap()
}

fn message(number: u32) -> Message {
    Message::new(number.to_le_bytes().to_vec())
}

fn one_a_frame() -> PublisherOptions {
    PublisherOptions {
        batch_messages: 1,
        ..PublisherOptions::default()
    }
}

#[tokio::test]
async fn messages_are_appended_in_order_and_answered_with_their_offsets() {
    let world = World::new(true);
    for options in [one_a_frame(), PublisherOptions::default()] {
        let publisher = world.client().publisher(options);
        let first = world.shared.state.lock().host.log.len() as u32;
        let mut pending = vec![];
        for number in first..first + 2_000 {
            pending.push(publisher.send(&topic(), message(number)).await.unwrap());
        }
        for (number, pending) in (first..).zip(pending) {
            let receipt = pending.await.unwrap();
            assert_eq!(receipt.offset, Offset(u64::from(number) + 1));
            assert_eq!(receipt.peers[0].as_str(), "1");
        }
        publisher.close().await;
    }
    world.assert_log(4_000);
}

#[tokio::test]
async fn a_host_that_restarts_elsewhere_loses_and_repeats_nothing() {
    let mut world = World::new(true);
    let publisher = world.client().publisher(one_a_frame());
    for number in 0..3_000 {
        let pending = publisher.send(&topic(), message(number)).await.unwrap();
        if number % 1_000 == 500 {
            pending.await.unwrap();
            world.stop_host();
            world.start_host();
        }
    }
    publisher.flush().await.unwrap();
    world.assert_log(3_000);
}

#[tokio::test]
async fn a_host_that_hangs_is_left_for_the_process_that_took_over() {
    let mut world = World::new(true);
    let publisher = world.client().publisher(PublisherOptions::default());
    publisher.publish(&topic(), message(0)).await.unwrap();
    world.start_host();
    let receipt = publisher.publish(&topic(), message(1)).await.unwrap();
    assert_eq!(receipt.epoch.incarnation, 2);
    world.assert_log(2);
}

#[tokio::test]
async fn messages_go_on_while_the_index_is_down() {
    let mut world = World::new(true);
    let client = world.client();
    let publisher = client.publisher(PublisherOptions::default());
    publisher.publish(&topic(), message(0)).await.unwrap();
    world.tasks.remove(0).abort();
    publisher.publish(&topic(), message(1)).await.unwrap();
    publisher.close().await;
    // The route is cached with the client.
    let publisher = client.publisher(PublisherOptions::default());
    publisher.publish(&topic(), message(2)).await.unwrap();
    world.assert_log(3);
}

#[tokio::test]
async fn a_missing_topic_is_an_error_or_created() {
    let world = World::new(false);
    let client = world.client();
    let publisher = client.publisher(PublisherOptions::default());
    let error = publisher.publish(&topic(), message(0)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TopicNotFound));
    assert!(publisher.flush().await.is_err());
    assert!(publisher.flush().await.is_ok());

    let publisher = client.publisher(PublisherOptions {
        create_missing: Some(TopicSettings::default()),
        ..PublisherOptions::default()
    });
    publisher.publish(&topic(), message(0)).await.unwrap();
    world.assert_log(1);
}

#[tokio::test]
async fn a_full_buffer_makes_send_wait_and_a_cancelled_send_queues_nothing() {
    let world = World::new(true);
    let publisher = world.client().publisher(PublisherOptions {
        buffer_bytes: 1,
        ..PublisherOptions::default()
    });
    let first = publisher.send(&topic(), message(0)).await.unwrap();
    let (topic, second) = (topic(), message(1));
    // Nothing runs between the two: the first is unanswered, so that there is no room.
    tokio::select! {
        biased;
        _ = publisher.send(&topic, second) => panic!("there is no room"),
        () = std::future::ready(()) => {}
    }
    first.await.unwrap();
    publisher.publish(&topic, message(1)).await.unwrap();
    world.assert_log(2);
}

#[tokio::test]
async fn closing_and_dropping_deliver_what_was_sent() {
    let world = World::new(true);
    let publisher = world.client().publisher(PublisherOptions::default());
    let pending = publisher.send(&topic(), message(0)).await.unwrap();
    drop(publisher);
    pending.await.unwrap();

    let publisher = world.client().publisher(PublisherOptions::default());
    let pending = publisher.send(&topic(), message(1)).await.unwrap();
    let clone = publisher.clone();
    publisher.close().await;
    pending.await.unwrap();
    let late = clone.send(&topic(), message(2)).await;
    assert!(matches!(late, Err(ClientError::Closed)));
    world.assert_log(2);
}

#[tokio::test]
async fn a_message_over_the_bound_is_refused_at_once() {
    let world = World::new(true);
    let publisher = world.client().publisher(PublisherOptions::default());
    let body = vec![0; crate::limits::MESSAGE_BYTES + 1];
    let refused = publisher.send(&topic(), Message::new(body)).await;
    assert!(matches!(refused, Err(ClientError::MessageTooLarge { .. })));
    let message = Message {
        headers: vec![Default::default(); crate::limits::BATCH_BYTES / 10],
        ..Message::default()
    };
    let refused = publisher.send(&topic(), message).await;
    assert!(matches!(refused, Err(ClientError::MessageTooLarge { .. })));
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

#[test]
fn when_the_runtime_ends_nobody_is_left_waiting() {
    let first = runtime();
    let (publisher, pending) = first.block_on(async {
        let world = World::new(true);
        let publisher = world.client().publisher(PublisherOptions::default());
        // Nothing else runs before the end.
        let pending = publisher.send(&topic(), message(0)).await.unwrap();
        (publisher, pending)
    });
    drop(first);
    runtime().block_on(async {
        assert!(matches!(pending.await, Err(ClientError::Closed)));
        let late = publisher.send(&topic(), message(1)).await;
        assert!(matches!(late, Err(ClientError::Closed)));
        assert!(matches!(publisher.flush().await, Err(ClientError::Closed)));
        publisher.close().await;
    });
}

#[tokio::test]
async fn callers_on_several_threads_each_keep_their_order() {
    const EACH: u32 = 1_000;
    let world = World::new(true);
    for options in [one_a_frame(), PublisherOptions::default()] {
        let before = world.shared.state.lock().host.log.len();
        let publisher = world.client().publisher(options);
        let callers = (0..4).map(|caller| {
            let publisher = publisher.clone();
            let caller = async move {
                let mut pending = vec![];
                for number in 0..EACH {
                    let message = message(caller * EACH + number);
                    pending.push(publisher.send(&topic(), message).await.unwrap());
                }
                // What was sent before is answered, whoever answers it.
                publisher.flush().await.unwrap();
                let mut offsets = vec![];
                for mut pending in pending {
                    let now = poll_fn(|context| Poll::Ready(Pin::new(&mut pending).poll(context)));
                    let Poll::Ready(answer) = now.await else {
                        panic!("flushed, and not answered");
                    };
                    offsets.push(answer.unwrap().offset);
                }
                offsets
            };
            tokio::task::spawn_blocking(|| runtime().block_on(caller))
        });
        for (caller, offsets) in (0..).zip(callers.collect::<Vec<_>>()) {
            let offsets = offsets.await.unwrap();
            assert!(offsets.is_sorted());
            let log = world.shared.state.lock().host.log.clone();
            let at = |offset: &Offset| log[offset.0 as usize - 1];
            let numbers: Vec<_> = offsets.iter().map(at).collect();
            let sent = caller * EACH..(caller + 1) * EACH;
            assert_eq!(numbers, sent.collect::<Vec<_>>());
        }
        let after = world.shared.state.lock().host.log.len();
        assert_eq!(after - before, 4 * EACH as usize);
    }
}
