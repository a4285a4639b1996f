//! Topics of which this peer keeps a copy: one stream to each of their hosts.
//!
//! ```text
//!   roles ──follow, unfollow──►  engine (the machine)  ──entries, in order──► journal
//!                                 ▲            │  ▲                             │
//!                        frames   │    frames  │  └──────── what is synced ─────┘
//!                                 └── links ◄──┘   one for each host: dials, carries, dials again
//! ```
//!
//! | module | subject |
//! |---|---|
//! | `engine` | the task that holds [`crate::replication::following::Following`] and does what it says |
//! | `entries` | what was given to the journal and is not synced yet |
//! | `link` | the stream to one host, for as long as a topic of that host is kept |
//! | `outbox` | what waits to be sent on it |
//! | `dedupe` | fetching what a host remembers of producers |
//!
//! A link hands over a frame only when the one before was given to the journal, and the journal's queue
//! is bounded: so a host sends as fast as the disk here takes it. Batches are verified before they
//! are written.

mod dedupe;
mod engine;
mod entries;
mod link;
mod outbox;

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::Replication;
use crate::client::Client;
use crate::journal::Journal;
use crate::peer::host::HostState;
use crate::types::{Fingerprint, Offset, TopicId, TopicName};

/// What keeping copies works with.
#[derive(Clone)]
pub(in crate::peer) struct CopyingContext {
    /// Finds hosts, dials them and shows them this peer's pass; asks the index. On the runtime of
    /// replication, where [`Copying::new`] is called, too.
    pub(in crate::peer) client: Client,
    /// For the numbers of peers.
    pub(in crate::peer) replication: Arc<Replication>,
    pub(in crate::peer) journal: Journal,
    /// For the incarnation and the session.
    pub(in crate::peer) state: Arc<HostState>,
}

/// What is asked of the engine.
enum Request {
    Follow {
        topic: TopicId,
        name: TopicName,
        host: Fingerprint,
        grant: u32,
    },
    Unfollow {
        topic: TopicId,
        done: oneshot::Sender<Option<Offset>>,
    },
    Reincarnated,
}

/// Requests in their order: at most those of one frame of assignments wait, for the next frame follows
/// their being heard or waits for an answer.
#[derive(Default)]
struct Requests {
    waiting: Mutex<VecDeque<Request>>,
    some: Notify,
}

impl Requests {
    fn push(&self, request: Request) {
        self.waiting.lock().push_back(request);
        self.some.notify_one();
    }

    /// The next request. Cancellation safe.
    async fn next(&self) -> Request {
        loop {
            if let Some(request) = self.waiting.lock().pop_front() {
                return request;
            }
            self.some.notified().await;
        }
    }
}

/// See the module.
pub(in crate::peer) struct Copying {
    requests: Arc<Requests>,
    engine: JoinHandle<()>,
}

impl Copying {
    /// Follows nobody yet.
    pub(in crate::peer) fn new(context: CopyingContext) -> Self {
        let requests = Arc::new(Requests::default());
        let engine = engine::Engine::new(context, Arc::clone(&requests));
        Copying {
            requests,
            engine: tokio::spawn(engine.run()),
        }
    }

    /// Keeps the copy of a topic up with `host`, which has the role under `grant`. The journal knows the
    /// topic (`Command::Known`), does not host it, and has no entry of it on its way. Does nothing if
    /// that host is followed under that grant already.
    pub(in crate::peer) fn follow(
        &self,
        topic: TopicId,
        name: &TopicName,
        host: Fingerprint,
        grant: u32,
    ) {
        self.requests.push(Request::Follow {
            topic,
            name: name.clone(),
            host,
            grant,
        });
    }

    /// Stops keeping up, for this peer hosts the topic now, or nobody does. Completes when every entry of
    /// the topic was given to the journal, so that whatever is submitted next comes after them. Answers
    /// the high watermark that was heard of; `None`: it was not followed.
    pub(in crate::peer) async fn unfollow(&self, topic: TopicId) -> Option<Offset> {
        let (done, answer) = oneshot::channel();
        self.requests.push(Request::Unfollow { topic, done });
        // An engine that has ended gives nothing to the journal any more.
        answer.await.unwrap_or(None)
    }

    /// This process has another incarnation: what it acknowledges, it does under that one. Streams to
    /// hosts are opened anew.
    pub(in crate::peer) fn reincarnated(&self) {
        self.requests.push(Request::Reincarnated);
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        self.engine.abort();
    }
}
