//! One append stream per host: a queue in, answers out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Mutex as SingleFlight;
use tokio::task::AbortHandle;

use super::core::{Event, LinkId};
use super::mailbox::Mailbox;
use super::shared::{Answers, Shared};
use super::shell::Input;
use crate::client::{Client, ClientError};
use crate::limits;
use crate::transport::{CallError, Connection, FrameReceiver, FrameSender};
use crate::types::{Fingerprint, TopicName};
use crate::wire::index::Route;
use crate::wire::peer::{
    AppendAck, AppendNack, AppendNext, AppendStream, AppendStreamOpened, Members,
};
use crate::wire::{ErrorCode, ErrorReply, Frame, Message};

/// Buffered bytes at which frames go out: large writes matter, and larger ones gain nothing.
const FLUSH_BYTES: usize = 256 << 10;

/// What goes out on a link.
type Outgoing = (AppendNext, Bytes);

/// An append stream to one host.
pub(super) struct Link {
    pub(super) id: LinkId,
    host: Fingerprint,
    queue: Mailbox<Outgoing>,
    /// Batches queued or sent and not answered: more answers than that are a fault of the host.
    owed: AtomicUsize,
    gone: AtomicBool,
    task: Mutex<Option<AbortHandle>>,
}

impl Link {
    /// Queues a batch.
    pub(super) fn transmit(&self, next: AppendNext, batch: Bytes) {
        self.owed.fetch_add(1, Ordering::Relaxed);
        self.queue.push((next, batch));
    }

    /// Whether it is of no further use. Set before the core hears of it.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
        self.queue.close();
    }

    /// Gives the stream up without a word to the core.
    pub(super) fn end(&self) {
        self.set_gone();
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }

    /// What a frame says.
    fn read(&self, frame: &Frame) -> Result<Event, CallError> {
        if frame.kind == Members::KIND {
            return Ok(Event::Copied(self.id, frame.decode()?));
        }
        self.take_off_owed()?;
        match frame.kind {
            ErrorReply::KIND => Err(CallError::Remote(frame.decode()?)),
            AppendNack::KIND => Ok(Event::Nacked(self.id, frame.decode()?)),
            _ => Ok(Event::Acked(self.id, frame.decode::<AppendAck>()?)),
        }
    }

    fn take_off_owed(&self) -> Result<(), CallError> {
        let less = |owed: usize| owed.checked_sub(1);
        let taken = self
            .owed
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map(drop).map_err(|_| {
            let detail = "the host answered more appends than it was sent";
            CallError::Remote(ErrorReply::new(ErrorCode::Malformed, detail))
        })
    }
}

type Slot = Arc<SingleFlight<Option<Arc<Link>>>>;

/// The links of one publisher, by host.
pub(super) struct Links {
    client: Client,
    shared: Arc<Shared>,
    hosts: Mutex<HashMap<Fingerprint, Slot>>,
    opened: AtomicU64,
}

impl Links {
    pub(super) fn new(client: Client, shared: Arc<Shared>) -> Self {
        Links {
            client,
            shared,
            hosts: Mutex::new(HashMap::new()),
            opened: AtomicU64::new(0),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The link to a host, opened if there is none: one task opens, others wait for it.
    /// Cancellation safe: the next in line opens it.
    pub(super) async fn get(
        &self,
        topic: &TopicName,
        route: &Route,
        fresh_pass: bool,
    ) -> Result<Arc<Link>, ClientError> {
        let host = route.host.fingerprint;
        let slot = Arc::clone(self.hosts.lock().entry(host).or_default());
        let mut current = slot.lock().await;
        if let Some(link) = current.as_ref().filter(|link| !link.is_gone()) {
            // Whoever opened it has shown a pass that was taken.
            return Ok(Arc::clone(link));
        }
        if fresh_pass {
            self.client.show_fresh_pass(host).await?;
        }
        let connection = self.client.host_connection(topic, &route.host).await?;
        let opened = open(&connection).await;
        let (sender, receiver) = opened.map_err(|error| {
            if matches!(error, CallError::Timeout { .. }) {
                self.client.inner.pool.forget(host);
            }
            let doing = format!("opening an append stream to peer {}", route.host.name);
            ClientError::call(doing, error)
        })?;
        let link = self.start(host, sender, receiver);
        *current = Some(Arc::clone(&link));
        Ok(link)
    }

    fn start(&self, host: Fingerprint, sender: FrameSender, receiver: FrameReceiver) -> Arc<Link> {
        let link = Arc::new(Link {
            id: self.opened.fetch_add(1, Ordering::Relaxed),
            host,
            queue: Mailbox::new(),
            owed: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
            task: Mutex::new(None),
        });
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(run(Arc::clone(&link), sender, receiver, shared));
        *link.task.lock() = Some(task.abort_handle());
        link
    }

    /// Gives up a link whose process is gone, and the connection that only looks alive.
    pub(super) fn abandon(&self, link: &Link) {
        link.end();
        self.client.inner.pool.forget(link.host);
    }
}

/// Ends all links, those included that no topic has come to use.
impl Drop for Links {
    fn drop(&mut self) {
        for slot in self.hosts.get_mut().values() {
            // Nobody is opening: that borrows from here.
            if let Ok(current) = slot.try_lock()
                && let Some(link) = current.as_ref()
            {
                link.end();
            }
        }
    }
}

async fn open(connection: &Connection) -> Result<(FrameSender, FrameReceiver), CallError> {
    let opening = async {
        let (sender, mut receiver) = connection.open(&AppendStream {}).await?;
        receiver.expect::<AppendStreamOpened>().await?;
        receiver.set_max(limits::FRAME_HEADER_BYTES);
        Ok((sender, receiver))
    };
    let after = limits::APPEND_OPEN_TIMEOUT;
    match tokio::time::timeout(after, opening).await {
        Ok(opened) => opened,
        Err(_) => Err(CallError::Timeout {
            what: AppendStreamOpened::NAME,
            after,
        }),
    }
}

async fn run(
    link: Arc<Link>,
    mut sender: FrameSender,
    mut receiver: FrameReceiver,
    shared: Arc<Shared>,
) {
    let error = tokio::select! {
        error = write_all(&link, &mut sender) => error,
        error = read_all(&link, &mut receiver, &shared) => error,
    };
    link.set_gone();
    let retry = error.retry();
    let error = ClientError::call("sending to the host", error);
    shared.push(Input::Event(Event::Lost {
        link: link.id,
        error,
        retry,
    }));
}

/// Writes what is queued, all that has gathered in one flush, until the stream fails.
async fn write_all(link: &Link, sender: &mut FrameSender) -> CallError {
    let mut taken = Vec::new();
    loop {
        link.queue.take(&mut taken).await;
        for (next, batch) in taken.drain(..) {
            sender.buffer_with(&next, &[batch]);
            if sender.buffered() >= FLUSH_BYTES
                && let Err(error) = sender.flush().await
            {
                return error;
            }
        }
        if let Err(error) = sender.flush().await {
            return error;
        }
    }
}

/// Reads answers until the stream ends, all that are there at once.
async fn read_all(link: &Link, receiver: &mut FrameReceiver, shared: &Shared) -> CallError {
    let mut answers = Answers::default();
    loop {
        let mut first = match receiver.next().await {
            Ok(Some(frame)) => Some(frame),
            Ok(None) => return CallError::Cancelled,
            Err(error) => return error,
        };
        let read = shared.take(&mut answers, || {
            let frame = match first.take() {
                Some(frame) => Some(frame),
                None => receiver.next_here()?,
            };
            frame.map(|frame| link.read(&frame)).transpose()
        });
        if let Err(error) = read {
            return error;
        }
    }
}
