//! The link to one host: found by the name of a topic, dialled, a stream opened, frames carried both
//! ways; and again when it breaks, until the link is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::outbox::Outbox;
use crate::client::{Backoff, Client, ClientError, describe};
use crate::limits;
use crate::peer::host::HostState;
use crate::peer::replication::frames;
use crate::replication::hosting::{Down, SlotNo};
use crate::replication::members::PeerNo;
use crate::transport::{CallError, Connection, FrameReceiver, FrameSender};
use crate::types::{Fingerprint, TopicId, TopicName};
use crate::wire::batch;
use crate::wire::peer::Data;
use crate::wire::peer::replication::{Positions, Replicate, ReplicateOpened};
use crate::wire::{DecodeError, ErrorCode, ErrorReply, Frame, Message};

/// What a link tells the engine, with the host's number and the link's.
pub(super) struct Event {
    pub(super) host: PeerNo,
    pub(super) link: u64,
    pub(super) what: What,
}

/// What happened on a link.
pub(super) enum What {
    /// A stream stands; what is to be sent on it goes into the outbox.
    Opened(Connection, Arc<Outbox>),
    /// The stream is gone.
    Closed,
    /// A frame for the machine.
    Frame(Down),
    /// Whole batches, not yet verified.
    Batches(SlotNo, Bytes),
    /// Changed positions.
    Positions(Positions),
}

/// Topics by whose names the host is found.
pub(super) type Names = Arc<Mutex<BTreeMap<TopicId, TopicName>>>;

/// What a link works with.
pub(super) struct Dialling {
    pub(super) client: Client,
    pub(super) state: Arc<HostState>,
    pub(super) key: Fingerprint,
    pub(super) host: PeerNo,
    /// Counted up, so that what an earlier link has left in the engine's inbox is told from this one's.
    pub(super) link: u64,
    pub(super) names: Names,
    pub(super) events: mpsc::Sender<Event>,
}

/// A link in the engine's hands; dropped, it ends.
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) names: Names,
    pub(super) open: Option<(Connection, Arc<Outbox>)>,
    task: JoinHandle<()>,
}

impl Link {
    pub(super) fn start(dialling: Dialling) -> Link {
        Link {
            number: dialling.link,
            names: Arc::clone(&dialling.names),
            open: None,
            task: tokio::spawn(dialling.run()),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dialling {
    async fn run(self) {
        let mut backoff = Backoff::default();
        loop {
            match self.open().await {
                Ok((connection, sender, receiver)) => {
                    backoff.reset();
                    tracing::info!(host = %self.key, "a stream for copies of topics stands");
                    if self.carry(connection, sender, receiver).await.is_err() {
                        return;
                    }
                }
                Err(error) if backoff.tries().is_power_of_two() => {
                    let error = describe(&error);
                    tracing::warn!(host = %self.key, %error, "no stream for copies of topics yet; trying again");
                }
                Err(error) => {
                    tracing::debug!(host = %self.key, error = %describe(&error), "no stream yet");
                }
            }
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
    }

    /// By the names of the host's topics, one after the other, until one leads there.
    async fn open(&self) -> Result<(Connection, FrameSender, FrameReceiver), ClientError> {
        let names: Vec<TopicName> = {
            let names = self.names.lock();
            let some = names.values().take(limits::NAMES_TRIED);
            some.cloned().collect()
        };
        let mut failed = ClientError::Closed;
        for name in names {
            match self.open_by(&name).await {
                Ok(opened) => return Ok(opened),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn open_by(
        &self,
        name: &TopicName,
    ) -> Result<(Connection, FrameSender, FrameReceiver), ClientError> {
        let key = self.key;
        let incarnation = self.state.incarnation();
        let doing = "opening a stream for copies of topics";
        self.client
            .on_host(
                name,
                doing,
                Duration::ZERO,
                |connection, route| async move {
                    if route.host.fingerprint != key {
                        // Whether the route is old or the host is, the index will tell.
                        return Err(CallError::Remote(elsewhere(name, key)));
                    }
                    let (sender, mut receiver) =
                        connection.open(&Replicate { incarnation }).await?;
                    receiver.set_max(limits::FRAME_BYTES);
                    receiver.expect::<ReplicateOpened>().await?;
                    Ok((connection, sender, receiver))
                },
            )
            .await
    }

    /// Carries frames until the stream breaks. `Err`: the engine is gone.
    async fn carry(
        &self,
        connection: Connection,
        mut sender: FrameSender,
        mut receiver: FrameReceiver,
    ) -> Result<(), mpsc::error::SendError<Event>> {
        let outbox = Arc::new(Outbox::default());
        self.tell(What::Opened(connection, Arc::clone(&outbox)))
            .await?;
        let ended = tokio::select! {
            ended = send_all(&outbox, &mut sender) => ended,
            ended = self.receive_all(&mut receiver) => ended,
        };
        if let Err(error) = ended {
            tracing::info!(host = %self.key, %error, "a stream for copies of topics ended");
        }
        self.tell(What::Closed).await
    }

    /// The engine takes a frame only when it has given the one before to the journal; until then
    /// nothing more is read, and QUIC's flow control holds the host back.
    async fn receive_all(&self, receiver: &mut FrameReceiver) -> Result<(), CallError> {
        while let Some(frame) = receiver.next().await? {
            if self.tell(read(frame)?).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn tell(&self, what: What) -> Result<(), mpsc::error::SendError<Event>> {
        let event = Event {
            host: self.host,
            link: self.link,
            what,
        };
        self.events.send(event).await
    }
}

fn elsewhere(name: &TopicName, key: Fingerprint) -> ErrorReply {
    ErrorReply::new(
        ErrorCode::NotHost,
        format!("topic '{name}' is not hosted by key {key} any more"),
    )
}

async fn send_all(outbox: &Outbox, sender: &mut FrameSender) -> Result<(), CallError> {
    // The last revision of positions that the host was told, by slot.
    let mut told: HashMap<SlotNo, u64> = HashMap::new();
    loop {
        for frame in outbox.wait().await {
            frames::buffer_up(sender, frame, |slot, revision| {
                revision > 0 && told.insert(slot, revision) != Some(revision)
            });
        }
        sender.flush().await?;
    }
}

fn read(frame: Frame) -> Result<What, CallError> {
    match frame.kind {
        Data::KIND => {
            let (Data { slot, .. }, batches) = frame.decode_with_payload::<Data>()?;
            Ok(What::Batches(slot, batches))
        }
        Positions::KIND => Ok(What::Positions(frame.decode()?)),
        ErrorReply::KIND => Err(CallError::Remote(frame.decode()?)),
        found => match frames::read_down(&frame)? {
            Some(down) => Ok(What::Frame(down)),
            None => Err(CallError::Decode(DecodeError::UnknownKind {
                found,
                expected: "a frame of a host",
            })),
        },
    }
}

/// The header of a host's batch, verified.
pub(super) fn verified(
    bytes: &Bytes,
    topic: TopicId,
) -> Result<batch::BatchHeader, batch::BatchError> {
    let header = batch::verify(bytes)?;
    match header.topic == topic {
        true => Ok(header),
        false => Err(batch::BatchError::Record {
            index: 0,
            what: "the batch is another topic's",
        }),
    }
}
