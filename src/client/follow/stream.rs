//! The follow stream to one host: frames up and down, nothing decided here.
//!
//! A host that is found gone while it says nothing (`client::silence`) counts as a lost stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::client::error::ClientError;
use crate::client::pull::split_batches;
use crate::limits;
use crate::transport::{CallError, FrameReceiver, FrameSender};
use crate::types::{Fingerprint, Offset, TopicName};
use crate::wire::index::HostAddress;
use crate::wire::peer::{Add, Added, Credit, Data, Follow, FollowOpened, Remove, SlotEnded};
use crate::wire::{DecodeError, ErrorReply, Frame, Message};

/// Frames to a host that wait to be written.
const UP: usize = 1_024;

/// What the engine sends to a host.
#[derive(Debug)]
pub(super) enum Up {
    Add(Add),
    Remove(Remove),
    Credit(Credit),
}

/// What comes from a host's stream.
#[derive(Debug)]
pub(super) enum Down {
    Added(Added),
    Data {
        slot: u32,
        end: Offset,
        batches: Vec<Bytes>,
    },
    Ended {
        slot: u32,
        error: ErrorReply,
    },
    /// The stream is gone, with all its slots.
    Lost {
        host: Fingerprint,
        generation: u64,
        error: ClientError,
    },
}

/// The engine's end of a stream.
pub(super) struct HostStream {
    pub(super) generation: u64,
    up: mpsc::Sender<Up>,
}

impl HostStream {
    /// Starts a task that dials the host and carries frames until either side ends.
    pub(super) fn start(
        client: Client,
        topic: TopicName,
        host: Arc<HostAddress>,
        generation: u64,
        down: mpsc::Sender<Down>,
    ) -> HostStream {
        let (up, frames) = mpsc::channel(UP);
        tokio::spawn(async move {
            let fingerprint = host.fingerprint;
            if let Err(error) = carry(&client, &topic, &host, frames, &down).await {
                let lost = Down::Lost {
                    host: fingerprint,
                    generation,
                    error,
                };
                // The engine may be gone as well; then nobody needs to know.
                let _ = down.send(lost).await;
            }
        });
        HostStream { generation, up }
    }

    /// Queues a frame. A stream that is gone reports itself as lost, so an error is not one here.
    pub(super) async fn send(&self, up: Up) {
        let _ = self.up.send(up).await;
    }
}

/// Carries frames until either side ends, or the host is not the host any more.
async fn carry(
    client: &Client,
    topic: &TopicName,
    host: &HostAddress,
    up: mpsc::Receiver<Up>,
    down: &mpsc::Sender<Down>,
) -> Result<(), ClientError> {
    let heard = AtomicU64::new(0);
    tokio::select! {
        carried = carry_on(client, topic, host, up, down, &heard) => carried,
        after = client.lost_silently(topic, host, &heard) => Err(ClientError::TimedOut {
            doing: format!("following topics at peer {}", host.name),
            after,
            last: None,
        }),
    }
}

async fn carry_on(
    client: &Client,
    topic: &TopicName,
    host: &HostAddress,
    mut up: mpsc::Receiver<Up>,
    down: &mpsc::Sender<Down>,
    heard: &AtomicU64,
) -> Result<(), ClientError> {
    let broken =
        |error| ClientError::call(format!("following topics at peer {}", host.name), error);
    let connection = client.host_connection(topic, host).await?;
    let (mut sender, mut receiver) = connection.open(&Follow {}).await.map_err(broken)?;
    receiver.set_max(limits::FRAME_BYTES);
    receiver.expect::<FollowOpened>().await.map_err(broken)?;
    let carried = exchange(&mut sender, &mut receiver, &mut up, down, heard).await;
    sender.finish();
    carried.map_err(broken)
}

/// Carries both directions. While the engine does not take what came down, nothing more is read,
/// and QUIC's flow control holds the host back; frames up are carried all the same.
async fn exchange(
    sender: &mut FrameSender,
    receiver: &mut FrameReceiver,
    up: &mut mpsc::Receiver<Up>,
    down: &mpsc::Sender<Down>,
    heard: &AtomicU64,
) -> Result<(), CallError> {
    let mut pending: Option<Down> = None;
    loop {
        tokio::select! {
            frame = up.recv() => match frame {
                Some(Up::Add(add)) => sender.send(&add).await?,
                Some(Up::Remove(remove)) => sender.send(&remove).await?,
                Some(Up::Credit(credit)) => sender.send(&credit).await?,
                None => return Ok(()),
            },
            permit = down.reserve(), if pending.is_some() => match (permit, pending.take()) {
                (Ok(permit), Some(item)) => permit.send(item),
                _ => return Ok(()),
            },
            frame = receiver.next(), if pending.is_none() => match frame? {
                Some(frame) => {
                    heard.fetch_add(1, Ordering::Relaxed);
                    pending = Some(decode(&frame)?);
                }
                None => {
                    let expected = "the next frame of a follow stream";
                    return Err(DecodeError::Ended { expected }.into());
                }
            },
        }
    }
}

fn decode(frame: &Frame) -> Result<Down, CallError> {
    match frame.kind {
        Data::KIND => {
            let (Data { slot, end }, payload) = frame.decode_with_payload::<Data>()?;
            let batches = split_batches(payload)?;
            Ok(Down::Data { slot, end, batches })
        }
        Added::KIND => Ok(Down::Added(frame.decode()?)),
        SlotEnded::KIND => {
            let SlotEnded { slot, error } = frame.decode()?;
            Ok(Down::Ended { slot, error })
        }
        ErrorReply::KIND => Err(CallError::Remote(frame.decode()?)),
        found => Err(CallError::Decode(DecodeError::UnknownKind {
            found,
            expected: "a frame of a follow stream",
        })),
    }
}
