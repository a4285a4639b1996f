//! The connection to the index: dialled when needed, pinned, registered, made again on loss.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Mutex as SingleFlight;

use super::backoff::Backoff;
use super::error::ClientError;
use super::state::{StateDir, StoredPass};
use crate::clock;
use crate::transport::{CallError, ConnectError, Connection, Endpoint, Expect, KnownIndex};
use crate::types::{Fingerprint, IndexAddress, PeerName, UnixMicros};
use crate::wire::Request;
use crate::wire::index::{Register, Registered};
use crate::wire::pass::SignedPass;
use crate::wire::{ALPN_INDEX, ErrorCode, Retry};
use std::time::Duration;

/// Where to find the index and who calls.
#[derive(Debug, Clone)]
pub struct IndexLinkOptions {
    /// Addresses to try, in order.
    pub addresses: Vec<IndexAddress>,
    /// Pins made on first use; `None`: an index without a pinned key is trusted for this process.
    pub known: Option<KnownIndex>,
    /// The name to register under; `None`: the operator, who does not register.
    pub name: Option<PeerName>,
    /// How long a call keeps trying to reach an index that does not answer.
    pub patience: Duration,
}

/// The index as one client sees it. Clones share the connection.
#[derive(Clone)]
pub struct IndexLink {
    inner: Arc<Inner>,
}

struct Inner {
    endpoint: Endpoint,
    options: IndexLinkOptions,
    state: StateDir,
    /// One dial at a time: whoever comes second waits for the first and uses its connection.
    connection: SingleFlight<Option<Connection>>,
    pass: Mutex<Option<Pass>>,
    registered: Mutex<Option<Registered>>,
}

/// What a caller does whom the index does not know.
#[derive(Debug, Clone, Copy)]
enum Unknown {
    Registers,
    Fails,
}

/// A pass of our own key.
struct Pass {
    signed: SignedPass,
    ends: UnixMicros,
}

impl Pass {
    /// `None`: it is another key's, or none at all.
    fn read(signed: &SignedPass, ours: Fingerprint) -> Option<Pass> {
        let body = signed.read_body().ok()?;
        (body.fingerprint == ours).then(|| Pass {
            signed: signed.clone(),
            ends: body.expires,
        })
    }

    fn is_valid(&self) -> bool {
        self.ends > clock::wall_now()
    }
}

impl IndexLink {
    /// A link that keeps no state on disk.
    pub fn new(endpoint: Endpoint, options: IndexLinkOptions) -> Self {
        Self::with_state(endpoint, options, StateDir::new(None))
    }

    pub(super) fn with_state(
        endpoint: Endpoint,
        options: IndexLinkOptions,
        state: StateDir,
    ) -> Self {
        let ours = endpoint.identity().fingerprint();
        let stored = state.pass();
        let pass = stored.and_then(|stored| Pass::read(&stored.pass, ours));
        IndexLink {
            inner: Arc::new(Inner {
                endpoint,
                options,
                state,
                connection: SingleFlight::new(None),
                pass: Mutex::new(pass),
                registered: Mutex::new(None),
            }),
        }
    }

    /// The reply to this link's last registration.
    pub fn registered(&self) -> Option<Registered> {
        self.inner.registered.lock().clone()
    }

    /// The index's key as far as it is pinned.
    pub fn pinned(&self) -> Result<Option<Fingerprint>, ClientError> {
        for address in &self.inner.options.addresses {
            if let Some(expected) = self.expected(address)? {
                return Ok(Some(expected));
            }
        }
        Ok(None)
    }

    /// Where the index is sought, for messages.
    pub fn address(&self) -> String {
        let addresses = &self.inner.options.addresses;
        addresses
            .iter()
            .map(IndexAddress::host_port)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// A pass that is still valid, from a registration or from disk.
    pub fn pass(&self) -> Option<SignedPass> {
        let held = self.inner.pass.lock();
        let valid = held.as_ref().filter(|pass| pass.is_valid());
        valid.map(|pass| pass.signed.clone())
    }

    /// Whether there is such a pass.
    pub(super) fn has_pass(&self) -> bool {
        self.inner.pass.lock().as_ref().is_some_and(Pass::is_valid)
    }

    /// Registers anew, for a fresh pass.
    pub async fn renew_pass(&self) -> Result<SignedPass, ClientError> {
        let connection = self.connection().await?;
        self.register(&connection).await?;
        self.pass().ok_or(ClientError::Closed)
    }

    /// The connection, dialled and registered. Cancellation safe.
    pub async fn connection(&self) -> Result<Connection, ClientError> {
        let mut current = self.inner.connection.lock().await;
        if let Some(connection) = current.as_ref().filter(|c| !c.is_closed()) {
            return Ok(connection.clone());
        }
        *current = None;
        let connection = self.dial().await?;
        self.register(&connection).await?;
        *current = Some(connection.clone());
        Ok(connection)
    }

    /// Sends a request. One that may be repeated without harm is sent again when the connection
    /// breaks, within the patience; any other only if it certainly has not been sent.
    pub async fn call<R: Request>(
        &self,
        doing: &str,
        request: &R,
        repeatable: bool,
    ) -> Result<R::Reply, ClientError> {
        self.call_as(Unknown::Registers, doing, request, repeatable)
            .await
    }

    /// As [`IndexLink::call`], for what a hosting peer asks beside its session, which it is that registers: a
    /// peer that is forgotten meanwhile must not come back by such a request.
    pub(crate) async fn call_beside_session<R: Request>(
        &self,
        doing: &str,
        request: &R,
        repeatable: bool,
    ) -> Result<R::Reply, ClientError> {
        self.call_as(Unknown::Fails, doing, request, repeatable)
            .await
    }

    async fn call_as<R: Request>(
        &self,
        unknown: Unknown,
        doing: &str,
        request: &R,
        repeatable: bool,
    ) -> Result<R::Reply, ClientError> {
        let deadline = clock::mono_now().plus(self.inner.options.patience);
        let mut backoff = Backoff::default();
        loop {
            let failed = match self.connection().await {
                Ok(connection) => match connection.request(request).await {
                    Ok(reply) => return Ok(reply),
                    Err(error) => {
                        let again = self.may_repeat(unknown, &error, repeatable, &connection);
                        let again = again.await?;
                        let error = ClientError::call(doing, error);
                        if !again {
                            return Err(error);
                        }
                        error
                    }
                },
                Err(error) if is_unreachable(&error) => error,
                Err(error) => return Err(error),
            };
            let pause = backoff.next(rand::random());
            if clock::mono_now().plus(pause) > deadline {
                return Err(failed);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends a request at most once, and waits `within` for the connection, and as long for the answer.
    /// An error tells whether the request was sent, for all that is known.
    pub(crate) async fn call_once<R: Request>(
        &self,
        doing: &str,
        request: &R,
        within: Duration,
    ) -> Result<R::Reply, (ClientError, bool)> {
        let connection = match tokio::time::timeout(within, self.connection()).await {
            Ok(connection) => connection.map_err(|error| (error, false))?,
            Err(_) => {
                let error = ClientError::TimedOut {
                    doing: doing.to_owned(),
                    after: within,
                    last: None,
                };
                return Err((error, false));
            }
        };
        let answered = connection.request_with(request, &[], within).await;
        answered.map_err(|error| (ClientError::call(doing, error), true))
    }

    async fn may_repeat(
        &self,
        unknown: Unknown,
        error: &CallError,
        repeatable: bool,
        connection: &Connection,
    ) -> Result<bool, ClientError> {
        Ok(match error {
            CallError::Remote(reply) if reply.code() == ErrorCode::NotRegistered => match unknown {
                Unknown::Registers => {
                    self.register(connection).await?;
                    true
                }
                Unknown::Fails => false,
            },
            CallError::Remote(reply) if reply.code() == ErrorCode::ShuttingDown => repeatable,
            CallError::Remote(reply) => repeatable && reply.retry == Retry::Later,
            error => repeatable && error.is_connection_lost(),
        })
    }

    fn expected(&self, address: &IndexAddress) -> Result<Option<Fingerprint>, ClientError> {
        match (&address.fingerprint, &self.inner.options.known) {
            (Some(fingerprint), _) => Ok(Some(*fingerprint)),
            (None, Some(known)) => Ok(known.get(&address.host_port())?),
            (None, None) => Ok(None),
        }
    }

    async fn dial(&self) -> Result<Connection, ClientError> {
        let mut failed = None;
        for address in &self.inner.options.addresses {
            match self.dial_address(address).await {
                Ok(connection) => return Ok(connection),
                // Another address may do: also where this one's name is not known just now.
                Err(error)
                    if is_unreachable(&error) || matches!(error, ClientError::Resolve { .. }) =>
                {
                    failed = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(failed.unwrap_or(ClientError::Closed))
    }

    async fn dial_address(&self, address: &IndexAddress) -> Result<Connection, ClientError> {
        let expected = self.expected(address)?;
        let mut failed = None;
        for resolved in resolve(address).await? {
            let expect = expected.map_or(Expect::AnyKey, Expect::Key);
            match self
                .inner
                .endpoint
                .connect(resolved, ALPN_INDEX, expect)
                .await
            {
                Ok(connection) => {
                    self.pin(address, expected, &connection)?;
                    return Ok(connection);
                }
                Err(ConnectError::KeyMismatch {
                    expected, found, ..
                }) if address.fingerprint.is_none() => {
                    return Err(self.changed_key(address, expected, found));
                }
                Err(error) => failed = Some(error),
            }
        }
        Err(ClientError::IndexUnreachable {
            address: address.host_port(),
            source: failed.unwrap_or(ConnectError::Local {
                addr: SocketAddr::from(([0, 0, 0, 0], address.port)),
                detail: format!("{} resolves to no address", address.host),
            }),
        })
    }

    /// Records a key that was trusted on first use.
    fn pin(
        &self,
        address: &IndexAddress,
        expected: Option<Fingerprint>,
        connection: &Connection,
    ) -> Result<(), ClientError> {
        match &self.inner.options.known {
            Some(known) if expected.is_none() => {
                known.record(&address.host_port(), connection.peer())?;
                tracing::info!(
                    index = %address.host_port(), key = %connection.peer(),
                    "trusting the index's key on first use; recorded in certs/known_index"
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn changed_key(
        &self,
        address: &IndexAddress,
        expected: Fingerprint,
        found: Fingerprint,
    ) -> ClientError {
        let known = self.inner.options.known.clone();
        let known = known.unwrap_or_else(|| KnownIndex::new(std::path::Path::new("certs")));
        known.mismatch(&address.host_port(), expected, found).into()
    }

    async fn register(&self, connection: &Connection) -> Result<(), ClientError> {
        let Some(name) = &self.inner.options.name else {
            return Ok(());
        };
        let request = Register {
            name: name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let registered = connection
            .request(&request)
            .await
            .map_err(|error| ClientError::call(format!("registering peer {name}"), error))?;
        let stored = StoredPass::new(connection.peer(), registered.pass.clone());
        self.inner.state.save_pass(&stored)?;
        let ours = self.inner.endpoint.identity().fingerprint();
        *self.inner.pass.lock() = Pass::read(&registered.pass, ours);
        *self.inner.registered.lock() = Some(registered);
        Ok(())
    }
}

fn is_unreachable(error: &ClientError) -> bool {
    match error {
        ClientError::IndexUnreachable { source, .. } => match source {
            ConnectError::Refused { reply, .. } => reply.retry != Retry::Never,
            // Not the key that was pinned in a config or on the command line.
            ConnectError::KeyMismatch { .. } => false,
            _ => true,
        },
        ClientError::Broken { source, .. } => source.is_connection_lost(),
        _ => false,
    }
}

async fn resolve(address: &IndexAddress) -> Result<Vec<SocketAddr>, ClientError> {
    let resolved = tokio::net::lookup_host(address.host_port()).await;
    resolved
        .map(Iterator::collect)
        .map_err(|source| ClientError::Resolve {
            host: address.host.to_string(),
            source: Arc::new(source),
        })
}
