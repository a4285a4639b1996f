//! The index server: the pure parts, the store and the decider behind the transport.
//!
//! | module | subject |
//! |---|---|
//! | `service` | connections, who may ask at all, dispatch |
//! | `requests` | requests that are answered once |
//! | `streams` | the three long streams of a session |
//! | `copies` | when topics' copies are looked at |
//! | `held` | batches held for topics without a host |
//! | `hub` | sessions, their assignments, and creators that wait |
//!
//! I/O runs on the runtime of the caller, one thread; the decider has its own. Lookups are answered
//! in the stream's own task. Locks are taken in the order hub, feed, directory, and never held while
//! waiting.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use super::admission::{Admission, Policy};
use super::decide::{Effect, Event};
use super::decider::{self, Fatal, Outcomes};
use super::load::load;
use super::session::Leases;
use super::store::{RedbStore, Store, StoreError};
use crate::replication::manager::Presence;
use crate::transport::{self, Endpoint};
use crate::wire::ErrorCode;
use crate::{clock, limits};

mod copies;
mod held;
mod hub;
mod recovery;
mod requests;
mod service;
mod streams;

use hub::Hub;
use service::Index;

/// How to run an index.
pub struct ServerOptions {
    /// Bound, with the index's identity and [`crate::wire::ALPN_INDEX`].
    pub endpoint: Endpoint,
    /// Where the store lies.
    pub data_dir: PathBuf,
    /// Where `admitted` lies.
    pub certs: PathBuf,
    /// Who may come from other machines.
    pub admission: Policy,
    /// The waits of sessions.
    pub leases: Leases,
    /// How long creators wait for hosts.
    pub create_wait: Duration,
    /// How long a copy may be away before another peer makes up for it.
    pub repair_after: Duration,
    /// The store was restored from a backup: all topics are frozen until the index is recovered, also
    /// by later starts.
    pub restored: bool,
}

impl ServerOptions {
    /// The usual waits, and admission by list.
    pub fn new(endpoint: Endpoint, data_dir: PathBuf, certs: PathBuf) -> Self {
        ServerOptions {
            endpoint,
            data_dir,
            certs,
            admission: Policy::default(),
            leases: Leases::default(),
            create_wait: limits::CREATE_WAIT,
            repair_after: limits::REPAIR_AFTER,
            restored: false,
        }
    }
}

/// Why an index does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The store cannot be opened or read.
    #[error("cannot open the index's store")]
    Store(#[from] StoreError),
    /// The decider's thread cannot be started.
    #[error("cannot start the index's decider")]
    Thread(#[source] std::io::Error),
    /// The decider stopped.
    #[error("the index had to stop")]
    Fatal(#[from] Fatal),
    /// That it comes from a backup could not be written down.
    #[error("cannot write down that the index comes from a backup")]
    Marker(#[source] std::io::Error),
    /// A task of the index panicked.
    #[error("a task of the index panicked; the log says where")]
    Panicked,
}

/// Runs an index until `shutdown` is done: then no more is accepted, what is in flight is finished,
/// everything is written, and all sessions are told.
pub async fn run(
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
) -> Result<(), IndexError> {
    let folder = options.data_dir.clone();
    let opened = blocking(move || RedbStore::open(&folder)).await??;
    run_with(options, Arc::new(opened), shutdown).await
}

/// As [`run`], with a store of the caller's.
pub async fn run_with(
    options: ServerOptions,
    store: Arc<dyn Store>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), IndexError> {
    let loading = Arc::clone(&store);
    let (directory, revision) = blocking(move || load(&*loading)).await??;
    let address = options.endpoint.local_addr();
    let peers = directory.peer_count();
    tracing::info!(target: "waypost::index", peers, topics = directory.topic_count(), "Loaded {peers} registered peers from file");
    tracing::info!(target: "waypost::index", %address, "Indexing server starting on {address}");

    let directory = Arc::new(RwLock::new(directory));
    let presence = Presence::new(clock::mono_now(), options.leases.wait);
    directory.write().begin();
    directory.write().set_doubt(true);
    let marker = options.data_dir.join("restored");
    if options.restored {
        recovery::mark_restored(&marker, true).map_err(IndexError::Marker)?;
    }
    if marker.exists() {
        directory.write().set_restored(true);
        tracing::warn!(target: "waypost::index", "This index comes from a backup: all topics are frozen until: waypost index recover");
    }
    let hub = Hub::new(Arc::clone(&directory), options.leases, options.repair_after);
    let hub = Arc::new(hub);
    let (failed, mut failure) = oneshot::channel();
    let shell = Shell {
        hub: Arc::clone(&hub),
        failed: Some(failed),
    };
    let (deciding, thread) =
        decider::start(Arc::clone(&directory), Arc::clone(&store), revision, shell)
            .map_err(IndexError::Thread)?;
    let index = Arc::new(Index {
        directory,
        store,
        deciding,
        hub,
        identity: options.endpoint.identity().clone(),
        admission: Admission::new(options.admission, &options.certs),
        started: clock::wall_now(),
        create_wait: options.create_wait,
        recovery: recovery::Recovery::new(),
        restored: marker,
    });

    let mut why = None;
    let stopping = async {
        tokio::select! {
            () = shutdown => tracing::info!(target: "waypost::index", "Received exit signal. Shutting down..."),
            failed = &mut failure => why = failed.ok(),
        }
        // Long streams end, so that the others' end is not waited for in vain.
        index.hub.stop();
    };
    tokio::select! {
        () = transport::serve(options.endpoint.clone(), Arc::clone(&index), stopping) => {}
        () = keep_house(&index) => {}
        () = copies::keep_hosts(&index, presence) => {}
        () = copies::keep_copies(&index) => {}
    }
    index.deciding.stop().await;
    blocking(move || thread.join())
        .await?
        .map_err(|_| IndexError::Panicked)?;
    options
        .endpoint
        .close(ErrorCode::ShuttingDown, "the index is stopping")
        .await;
    let why = why.or_else(|| failure.try_recv().ok());
    why.map_or(Ok(()), |why| Err(why.into()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, IndexError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| IndexError::Panicked)
}

/// Looks for silent peers, writes reports, prunes notices. Never ends.
async fn keep_house(index: &Arc<Index>) {
    let mut tick = tokio::time::interval(limits::SESSION_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut flush = tokio::time::interval(limits::REPORT_FLUSH);
    flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut prune = tokio::time::interval(limits::NOTICE_PRUNE);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                for peer in index.hub.tick(clock::mono_now()) {
                    index.tell(Event::Seen { peer });
                }
            }
            _ = flush.tick() => {
                if index.directory.read().has_unwritten_reports() {
                    index.tell(Event::FlushReports);
                }
            }
            _ = prune.tick() => index.tell(Event::PruneNotices),
        }
    }
}

/// Lets effects happen, on the decider's thread.
struct Shell {
    hub: Arc<Hub>,
    failed: Option<oneshot::Sender<Fatal>>,
}

impl Outcomes for Shell {
    fn happened(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.hub.happened(effect);
        }
    }

    fn failed(&mut self, why: Fatal) {
        tracing::error!(target: "waypost::index", error = %why, "The index must stop");
        if let Some(failed) = self.failed.take() {
            // If nobody listens any more, the index is stopping already.
            let _ = failed.send(why);
        }
    }
}

#[cfg(test)]
mod tests;
