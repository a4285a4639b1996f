//! The client library: publish, pull, follow, and everything the index offers.
//!
//! | module | subject |
//! |---|---|
//! | `index_link` | the connection to the index: pinned, registered, made again on loss |
//! | `routes`, `state` | routes and passes, in memory and on disk, for when the index is down |
//! | `hosts` | calls to the host of a topic, with fresh routes and passes where needed |
//! | `silence` | whether a host that says nothing is still there |
//! | `lookups` | lookups asked side by side share requests |
//! | `known` | subscriptions known without asking the index |
//! | `ask` | questions to peers about themselves |
//! | `metrics` | the numbers that monitoring wants |
//! | `topics` | creating, deleting, listing; subscriptions; peers |
//! | `publisher` | appends: batching, pipelining, retry with dedupe |
//! | `pull`, `follow` | reading; positions |
//! | `backoff` | pauses between tries (pure) |
//!
//! Must not know segments or anything inside an index.

mod ask;
mod backoff;
mod error;
mod follow;
mod hosts;
mod index_link;
mod known;
mod lookups;
mod message;
mod metrics;
mod publisher;
mod pull;
mod routes;
mod silence;
mod state;
mod topics;
pub use topics::TopicFilter;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use crate::types::IndexAddress;
pub use crate::wire::peer::ReadFrom;
pub use backoff::Backoff;
pub use error::ClientError;
pub(crate) use error::describe;
pub use follow::{Committer, FollowEvent, FollowOptions, Follower};
pub use index_link::{IndexLink, IndexLinkOptions};
pub use message::{Delivery, Message, ReceivedMessage};
pub use metrics::{Metrics, PeerMetrics};
pub use publisher::{Pending, Publisher, PublisherOptions, Receipt, Waiting};
pub use pull::{Position, PullOptions, PullStream, Pulled};

use crate::clock;
use crate::transport::{Endpoint, EndpointOptions, Identity, KnownIndex, Pool};
use crate::types::{MonoNs, PeerName};
use crate::wire::ErrorCode;

/// How a [`Client`] finds the index and who it is.
#[derive(Clone)]
pub struct ClientOptions {
    /// The key that it acts under.
    pub identity: Identity,
    /// The name bound to the key; `None`: the index's operator.
    pub name: Option<PeerName>,
    /// Where the index may be; the first that answers is used.
    pub index: Vec<IndexAddress>,
    /// Pins of indexes trusted on first use.
    pub known_index: Option<KnownIndex>,
    /// Where passes and routes are kept for the time when the index is down.
    pub state_dir: Option<PathBuf>,
    /// How long a call keeps trying to reach an index that does not answer.
    pub index_patience: Duration,
    /// How long a call to a topic's host keeps trying: while the host restarts or moves.
    pub host_patience: Duration,
}

impl ClientOptions {
    /// The usual patience, nothing on disk, keys trusted on first use for this process.
    pub fn new(identity: Identity, name: PeerName, index: IndexAddress) -> Self {
        ClientOptions {
            identity,
            name: Some(name),
            index: vec![index],
            known_index: None,
            state_dir: None,
            index_patience: Duration::from_secs(2),
            host_patience: Duration::from_secs(10),
        }
    }
}

/// A client of a Waypost deployment. Clones share connections and caches.
///
/// Nothing is dialled before it is needed; publishing and pulling need no index while a route and a
/// pass are cached.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use waypost::client::{Client, ClientOptions, Message, PullOptions};
/// use waypost::transport::Identity;
///
/// let identity = Identity::load_or_create("certs".as_ref(), "1")?.0;
/// let options = ClientOptions::new(identity, "1".parse()?, "127.0.0.1:8088".parse()?);
/// let client = Client::new(options)?;
/// let topic = "T1".parse()?;
/// let pulled = client.pull(&topic, &PullOptions::default()).await?;
/// for message in pulled.delivery.messages() {
///     let message = message?;
///     println!("{}: {}", message.offset, String::from_utf8_lossy(&message.body));
/// }
/// client.commit(&topic, &pulled).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    endpoint: Endpoint,
    pool: Pool,
    index: IndexLink,
    state: state::StateDir,
    routes: Mutex<routes::Routes>,
    routes_saved: Mutex<MonoNs>,
    known: Mutex<known::Known>,
    lookups: lookups::Lookups,
    /// Where requests go on whose caller has gone.
    runtime: tokio::runtime::Handle,
    name: Option<PeerName>,
    host_patience: Duration,
}

impl Client {
    /// Opens a socket; dials nobody yet.
    pub fn new(options: ClientOptions) -> Result<Client, ClientError> {
        let endpoint = dialling_endpoint(options.identity.clone())?;
        Ok(Client::at(endpoint, options))
    }

    /// A client under another key on this one's socket, for programs that act for many. Closing either closes
    /// the connections of both.
    pub fn beside(&self, options: ClientOptions) -> Result<Client, ClientError> {
        let endpoint = self.inner.endpoint.under_key(options.identity.clone())?;
        Ok(Client::at(endpoint, options))
    }

    fn at(endpoint: Endpoint, options: ClientOptions) -> Client {
        let state = state::StateDir::new(options.state_dir);
        let link = IndexLinkOptions {
            addresses: options.index,
            known: options.known_index,
            name: options.name.clone(),
            patience: options.index_patience,
        };
        let routes = routes::Routes::new(state.routes());
        let known = known::Known::new(state.subscriptions());
        Client {
            inner: Arc::new(Inner {
                pool: Pool::new(endpoint.clone()),
                index: IndexLink::with_state(endpoint.clone(), link, state.clone()),
                endpoint,
                state,
                routes: Mutex::new(routes),
                routes_saved: Mutex::new(MonoNs::default()),
                known: Mutex::new(known),
                lookups: lookups::Lookups::default(),
                // The socket was opened in one.
                runtime: tokio::runtime::Handle::current(),
                name: options.name,
                host_patience: options.host_patience,
            }),
        }
    }

    /// The key that it acts under.
    pub fn identity(&self) -> &Identity {
        self.inner.endpoint.identity()
    }

    /// The name that it acts under; `None` for the operator.
    pub fn name(&self) -> Option<&PeerName> {
        self.inner.name.as_ref()
    }

    /// The link to the index.
    pub fn index(&self) -> &IndexLink {
        &self.inner.index
    }

    /// Writes what is worth keeping and closes all connections.
    pub async fn close(&self) {
        self.save_routes(true);
        self.inner
            .endpoint
            .close(ErrorCode::ShuttingDown, "done")
            .await;
    }

    /// Writes changed routes, at most once a second unless `now`. A cache that cannot be written is
    /// no reason to fail what it was learned for.
    pub(crate) fn save_routes(&self, now: bool) {
        const SAVE_EVERY: Duration = Duration::from_secs(1);
        let time = clock::mono_now();
        let mut saved = self.inner.routes_saved.lock();
        if !now && time.since(*saved) < SAVE_EVERY && *saved != MonoNs::default() {
            return;
        }
        *saved = time;
        let changed = self.inner.routes.lock().take_changed();
        if let Some(Err(error)) = changed.map(|routes| self.inner.state.save_routes(routes)) {
            tracing::warn!(%error, "routes are not kept");
        }
    }
}

/// A socket that only dials: dual-stack where the machine has IPv6, else IPv4.
pub(crate) fn dialling_endpoint(identity: Identity) -> Result<Endpoint, ClientError> {
    let bind = |bind: SocketAddr| {
        Endpoint::bind(EndpointOptions {
            identity: identity.clone(),
            bind,
            alpns: vec![],
        })
    };
    let any6 = SocketAddr::from(([0u16; 8], 0));
    let any4 = SocketAddr::from(([0u8; 4], 0));
    Ok(bind(any6).or_else(|_| bind(any4))?)
}
