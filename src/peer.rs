//! A hosting peer: keeps topics in its journal, serves them to others, and keeps a session with the
//! index.
//!
//! ```text
//!            publishers, subscribers                      index
//!                     | QUIC                                | QUIC
//!   I/O thread:   host ── append, pull, follow    control thread: control, session (pure)
//!                     |      position                       | assignments, reports
//!                     v                                     v
//!              journal (writer thread; readers) <───────────┘
//!                     └── commits ──> tips (who follows), reports (what changed)
//! ```
//!
//! | module | subject |
//! |---|---|
//! | `host` | which request goes where, and who may ask |
//! | `append`, `pull`, `follow`, `position`, `read` | the requests |
//! | `tips` | who waits at the tip of which topic |
//! | `traffic` | the log of what is sent and retrieved (pure) |
//! | `session` | heartbeats, lease and reconnecting (pure) |
//! | `control` | the session's shell |
//! | `assignments`, `reports` | what the index wants held; what it is told |
//! | `replication` | roles of topics, copies at other peers, copies of others' topics |
//!
//! Must not know how the index stores things.

mod append;
mod assignments;
mod control;
mod follow;
mod host;
mod position;
mod pull;
mod read;
mod replication;
mod reports;
mod session;
mod tips;
mod traffic;

use self::replication::Replication;
use self::replication::roles::Frame;
use self::replication::thread::ReplicationThread;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::client::{
    ClientError, ClientOptions, IndexAddress, IndexLink, IndexLinkOptions, dialling_endpoint,
};
use crate::clock;
use crate::journal::{self, FatalError, Hooks, Journal, OpenError};
use crate::limits;
use crate::transport::{BindError, Endpoint, EndpointOptions, Identity, KnownIndex, serve};
use crate::types::{BootId, Fingerprint, PeerName};
use crate::wire::index::SessionEnd;
use crate::wire::{ALPN_PEER, ErrorCode};

/// How a peer is run.
pub struct PeerOptions {
    /// The key it acts under.
    pub identity: Identity,
    /// The name bound to the key.
    pub name: PeerName,
    /// Where the index may be.
    pub index: Vec<IndexAddress>,
    /// Pins of indexes trusted on first use.
    pub known_index: Option<KnownIndex>,
    /// Where it listens.
    pub listen: Listen,
    /// The address that others are told; `None`: the bound one, or what the index observes.
    pub advertise: Option<IpAddr>,
    /// Whether it is willing to keep copies of topics that others host.
    pub keeps_copies: bool,
    /// How fast copies of topics that it hosts are brought up to date, all together, while they are not
    /// in sync.
    pub repair_bytes_per_s: u64,
    /// The journal's folder and sizes.
    pub journal: journal::Options,
}

/// Where a peer listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// At exactly this address.
    Exactly(SocketAddr),
    /// At the first free port from this one up.
    FirstFree(SocketAddr),
}

/// Why a peer did not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The journal cannot be opened.
    #[error("cannot open the peer's journal")]
    Journal(#[from] OpenError),
    /// No port could be bound.
    #[error("cannot listen")]
    Bind(#[from] BindError),
    /// The index does not take this peer.
    #[error("the index does not take this peer")]
    Refused(#[source] Box<ClientError>),
    /// Another process hosts under the same key now.
    #[error("another process hosts under the key of peer {name} now; this one has stopped")]
    Fenced {
        /// The peer.
        name: PeerName,
    },
    /// Writing or syncing the journal failed; nothing was acknowledged after that.
    #[error("the journal failed")]
    JournalFailed(#[source] FatalError),
    /// A thread could not be started or has died.
    #[error("the {what} thread failed: {detail}")]
    Thread {
        /// Which.
        what: &'static str,
        /// How.
        detail: String,
    },
}

/// Why a peer ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It was told to.
    Shutdown,
    /// It was deregistered.
    Deregistered,
}

/// What a peer tells once it listens.
#[derive(Debug, Clone)]
pub struct Started {
    /// Where it listens.
    pub address: SocketAddr,
    /// What opening the journal found.
    pub recovery: journal::RecoveryReport,
}

/// Runs a peer until `shutdown` completes, the index ends its session for good, or the journal
/// fails. `started` is called once it listens; the session with the index opens in the background.
///
/// Dropping the future leaves threads running for a moment; let `shutdown` complete instead.
pub async fn run(
    options: PeerOptions,
    shutdown: impl Future<Output = ()>,
    started: impl FnOnce(&Started),
) -> Result<Stopped, PeerError> {
    let parts = Parts::open(&options)?;
    let journal = parts.journal.clone();
    let ended = parts.run(options, shutdown, started).await;
    let closing = tokio::task::spawn_blocking(move || journal.close());
    // Closing flushes and marks the log as clean; a failed journal has nothing left to flush.
    let _ = closing.await;
    ended
}

/// What is there before any thread runs.
struct Parts {
    journal: Journal,
    recovery: journal::RecoveryReport,
    tips: Arc<tips::Tips>,
    changed: Arc<reports::Changed>,
    replication: Arc<Replication>,
    fatal: mpsc::Receiver<FatalError>,
}

impl Parts {
    fn open(options: &PeerOptions) -> Result<Parts, PeerError> {
        let tips = Arc::new(tips::Tips::default());
        let changed = Arc::new(reports::Changed::default());
        let me = options.identity.fingerprint();
        let replication = Replication::new(me, Arc::clone(&tips), Arc::clone(&changed))
            .paced(options.repair_bytes_per_s);
        replication.peers.named(me, &options.name);
        let replication = Arc::new(replication);
        let (failed, fatal) = mpsc::channel(1);
        let hooks = Hooks {
            on_written: {
                let replication = Arc::clone(&replication);
                Box::new(move |group| replication.written(group))
            },
            on_commit: {
                let replication = Arc::clone(&replication);
                Box::new(move |ends| replication.synced(ends))
            },
            committed: {
                let replication = Arc::clone(&replication);
                Box::new(move |topic| replication.committed(*topic))
            },
            // The journal fails once; a full channel already holds the reason.
            on_fatal: Box::new(move |error| drop(failed.try_send(error.clone()))),
        };
        let (journal, recovery) = Journal::open(options.journal.clone(), hooks)?;
        replication.open(journal.clone());
        Ok(Parts {
            journal,
            recovery,
            tips,
            changed,
            replication,
            fatal,
        })
    }

    async fn run(
        mut self,
        options: PeerOptions,
        shutdown: impl Future<Output = ()>,
        started: impl FnOnce(&Started),
    ) -> Result<Stopped, PeerError> {
        let (stop, stopping) = watch::channel(false);
        let (index_key, key_known) = watch::channel(None);
        let state = Arc::new(host::HostState::default());
        let boot = BootId::random(&mut rand::rng());
        let io = IoThread {
            identity: options.identity.clone(),
            listen: options.listen,
            journal: self.journal.clone(),
            tips: Arc::clone(&self.tips),
            replication: Arc::clone(&self.replication),
            state: Arc::clone(&state),
            boot,
        };
        let (address, mut io_ended) = io.start(key_known, stopping.clone()).await?;
        started(&Started {
            address,
            recovery: self.recovery.clone(),
        });
        let (roles, frames) = mpsc::channel(limits::ASSIGN_FRAMES_WAITING);
        let replicating = ReplicationThread {
            client: ClientOptions {
                identity: options.identity.clone(),
                name: Some(options.name.clone()),
                index: options.index.clone(),
                known_index: options.known_index.clone(),
                state_dir: None,
                index_patience: Duration::ZERO,
                host_patience: Duration::ZERO,
            },
            replication: Arc::clone(&self.replication),
            journal: self.journal.clone(),
            state: Arc::clone(&state),
            frames,
        };
        let mut replicating_ended = replicating.start(stopping.clone())?;
        let control = ControlThread {
            link: IndexLinkOptions {
                addresses: options.index,
                known: options.known_index,
                name: Some(options.name.clone()),
                patience: Duration::ZERO,
            },
            name: options.name.clone(),
            identity: options.identity,
            addresses: vec![advertised(address, options.advertise)],
            keeps_copies: options.keeps_copies,
            journal: self.journal.clone(),
            boot,
            state,
            replication: self.replication,
            roles,
            changed: self.changed,
            index_key,
        };
        let mut control_ended = control.start(stopping)?;
        let ended = tokio::select! {
            () = shutdown => Ok(Stopped::Shutdown),
            end = &mut control_ended => judge(end, options.name),
            Some(error) = self.fatal.recv() => Err(PeerError::JournalFailed(error)),
            _ = &mut io_ended => Err(PeerError::Thread {
                what: "I/O",
                detail: "it ended by itself".to_owned(),
            }),
            _ = &mut replicating_ended => Err(PeerError::Thread {
                what: "replication",
                detail: "it ended by itself".to_owned(),
            }),
        };
        // First the session, so that the index sends nobody here any more; then what is in flight
        // is finished; the journal is closed last, by the caller.
        stop.send_replace(true);
        let _ = tokio::join!(
            async {
                if !control_ended.is_terminated() {
                    drop((&mut control_ended).await)
                }
            },
            async {
                if !io_ended.is_terminated() {
                    drop((&mut io_ended).await)
                }
            },
            async {
                if !replicating_ended.is_terminated() {
                    drop((&mut replicating_ended).await)
                }
            },
        );
        ended
    }
}

fn judge(
    end: Result<Option<control::ControlEnd>, oneshot::error::RecvError>,
    name: PeerName,
) -> Result<Stopped, PeerError> {
    match end {
        Ok(Some(control::ControlEnd::Session(SessionEnd::Deregistered))) => {
            Ok(Stopped::Deregistered)
        }
        Ok(Some(control::ControlEnd::Session(_))) => Err(PeerError::Fenced { name }),
        Ok(Some(control::ControlEnd::Refused(error))) => Err(PeerError::Refused(Box::new(error))),
        Ok(None) | Err(_) => Err(PeerError::Thread {
            what: "control",
            detail: "it ended by itself".to_owned(),
        }),
    }
}

fn advertised(bound: SocketAddr, configured: Option<IpAddr>) -> SocketAddr {
    SocketAddr::new(configured.unwrap_or(bound.ip()), bound.port())
}

/// Completes when the value becomes true or its sender is gone.
async fn becomes_true(mut flag: watch::Receiver<bool>) {
    let _ = flag.wait_for(|stop| *stop).await;
}

/// Runs `main` on a thread of its own with a runtime that keeps all I/O on it: measured, such a
/// runtime coalesces many requests into a packet, and one with several threads does not
/// (docs/ARCHITECTURE.md). `idle` is called whenever the thread has nothing else to do.
fn spawn_runtime<F>(
    what: &'static str,
    idle: impl Fn() + Send + Sync + 'static,
    main: impl FnOnce() -> F + Send + 'static,
) -> Result<(), PeerError>
where
    F: Future<Output = ()>,
{
    let failed = move |error: std::io::Error| PeerError::Thread {
        what,
        detail: error.to_string(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(idle)
        .build()
        .map_err(failed)?;
    let body = move || runtime.block_on(async move { main().await });
    thread::Builder::new()
        .name(format!("waypost-{what}"))
        .spawn(body)
        .map_err(failed)?;
    Ok(())
}

/// The thread that serves publishers and subscribers.
struct IoThread {
    identity: Identity,
    listen: Listen,
    journal: Journal,
    tips: Arc<tips::Tips>,
    replication: Arc<Replication>,
    state: Arc<host::HostState>,
    boot: BootId,
}

impl IoThread {
    /// Binds, then serves as soon as the index's key is known, until `stopping`. Answers where it
    /// listens and what completes at its end.
    async fn start(
        self,
        key_known: watch::Receiver<Option<Fingerprint>>,
        stopping: watch::Receiver<bool>,
    ) -> Result<(SocketAddr, oneshot::Receiver<()>), PeerError> {
        let (bound, is_bound) = oneshot::channel();
        let (ended, has_ended) = oneshot::channel();
        let journal = self.journal.clone();
        spawn_runtime(
            "io",
            move || journal.commit_deferred(),
            move || async move {
                match self.bind() {
                    Ok(endpoint) => {
                        let _ = bound.send(Ok(endpoint.local_addr()));
                        self.serve(endpoint, key_known, stopping).await;
                    }
                    Err(error) => drop(bound.send(Err(error))),
                }
                let _ = ended.send(());
            },
        )?;
        let address = is_bound.await.map_err(|_| PeerError::Thread {
            what: "I/O",
            detail: "it ended before it had bound a port".to_owned(),
        })??;
        Ok((address, has_ended))
    }

    fn bind(&self) -> Result<Endpoint, BindError> {
        let options = |bind| EndpointOptions {
            identity: self.identity.clone(),
            bind,
            alpns: vec![ALPN_PEER],
        };
        match self.listen {
            Listen::Exactly(address) => Endpoint::bind(options(address)),
            Listen::FirstFree(address) => Endpoint::bind_first_free(options(address)),
        }
    }

    async fn serve(
        self,
        endpoint: Endpoint,
        mut key_known: watch::Receiver<Option<Fingerprint>>,
        stopping: watch::Receiver<bool>,
    ) {
        let known = async {
            match key_known.wait_for(Option::is_some).await {
                Ok(key) => *key,
                // The control side has ended and says why; this one waits to be told to stop.
                Err(_) => std::future::pending().await,
            }
        };
        let key = tokio::select! {
            key = known => key,
            () = becomes_true(stopping.clone()) => None,
        };
        let Some(index) = key else { return };
        let host = Arc::new(host::Host {
            journal: self.journal,
            tips: self.tips,
            replication: self.replication,
            traffic: parking_lot::Mutex::default(),
            index,
            boot: self.boot,
            started: clock::wall_now(),
            state: self.state,
            stopping: stopping.clone(),
        });
        let flushing = tokio::spawn(flush_traffic(Arc::clone(&host)));
        serve(endpoint.clone(), Arc::clone(&host), becomes_true(stopping)).await;
        flushing.abort();
        host.flush_traffic();
        endpoint
            .close(ErrorCode::ShuttingDown, "the peer is stopping")
            .await;
    }
}

async fn flush_traffic(host: Arc<host::Host>) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        host.flush_traffic();
    }
}

/// The thread that keeps the session.
struct ControlThread {
    link: IndexLinkOptions,
    name: PeerName,
    identity: Identity,
    addresses: Vec<SocketAddr>,
    keeps_copies: bool,
    journal: Journal,
    boot: BootId,
    state: Arc<host::HostState>,
    replication: Arc<Replication>,
    roles: mpsc::Sender<Frame>,
    changed: Arc<reports::Changed>,
    index_key: watch::Sender<Option<Fingerprint>>,
}

impl ControlThread {
    /// Starts it; the receiver gets why it ended, `None` when it was told to.
    fn start(
        self,
        stopping: watch::Receiver<bool>,
    ) -> Result<oneshot::Receiver<Option<control::ControlEnd>>, PeerError> {
        let (ended, has_ended) = oneshot::channel();
        spawn_runtime(
            "control",
            || (),
            move || async move {
                let end = self.run(stopping).await;
                let _ = ended.send(end);
            },
        )?;
        Ok(has_ended)
    }

    async fn run(self, stopping: watch::Receiver<bool>) -> Option<control::ControlEnd> {
        let endpoint = match dialling_endpoint(self.identity) {
            Ok(endpoint) => endpoint,
            Err(error) => return Some(control::ControlEnd::Refused(error)),
        };
        let link = IndexLink::new(endpoint.clone(), self.link);
        match link.pinned() {
            // Known from before: data can be served before the index answers.
            Ok(Some(key)) => drop(self.index_key.send_replace(Some(key))),
            Ok(None) => {}
            Err(error) => return Some(control::ControlEnd::Refused(error)),
        }
        let control = control::Control {
            name: self.name,
            link,
            journal: self.journal,
            boot: self.boot,
            addresses: self.addresses,
            keeps_copies: self.keeps_copies,
            state: self.state,
            replication: self.replication,
            roles: self.roles,
            changed: self.changed,
            index_key: self.index_key,
        };
        let end = tokio::select! {
            end = control.run() => Some(end),
            () = becomes_true(stopping) => None,
        };
        endpoint
            .close(ErrorCode::ShuttingDown, "the peer is stopping")
            .await;
        end
    }
}

/// The folder of a peer's journal within its data folder.
pub fn journal_dir(peer_data_dir: &std::path::Path) -> PathBuf {
    peer_data_dir.join("journal")
}
