//! One UDP socket that serves and dials.
//!
//! Guarantees: the bind is exclusive (SO_REUSEPORT is never set); TLS 1.3 with both sides' keys, no
//! early data, no resumption (a resumed session would carry the key only in a ticket); a process
//! that is restarted on its port tells its old callers at once.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use parking_lot::Mutex;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt};
use quinn_proto::{HashedConnectionIdGenerator, TransportErrorCode};
use rustix::net::sockopt;
use rustls::client::Resumption;
use rustls::version::TLS13;

use super::budget::Budget;
use super::connection::{Connection, close_reason};
use super::error::{BindError, ConnectError, var_code};
use super::identity::Identity;
use super::verify::{AnyClient, PinnedServer, provider};
use crate::limits;
use crate::types::Fingerprint;
use crate::wire::{ErrorCode, ErrorReply};

/// QUIC wants a server name; ours are keys, and it is not sent.
const SERVER_NAME: &str = "waypost";
/// The TLS alert for "no common protocol" (RFC 7301 section 3.2).
const ALERT_NO_APPLICATION_PROTOCOL: u8 = 120;

/// How to bind.
#[derive(Debug, Clone)]
pub struct EndpointOptions {
    /// Our key.
    pub identity: Identity,
    /// Where to bind; port 0: any free one.
    pub bind: SocketAddr,
    /// Protocols accepted; empty: dial only.
    pub alpns: Vec<&'static [u8]>,
}

/// Time limits; the defaults are those of [`limits`], tests set shorter ones.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// For a handshake, either side.
    pub handshake: Duration,
    /// For the first byte of a request.
    pub request_header: Duration,
    /// For the whole first frame of a request; and for the sending of its reply.
    pub request_body: Duration,
    /// For the reply to [`Connection::request`].
    pub reply: Duration,
    /// Silence after which a connection is given up.
    pub idle: Duration,
    /// For streams in flight at shutdown.
    pub drain: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines {
            handshake: limits::HANDSHAKE_TIMEOUT,
            request_header: limits::REQUEST_HEADER_TIMEOUT,
            request_body: limits::REQUEST_BODY_TIMEOUT,
            reply: limits::REPLY_TIMEOUT,
            idle: limits::IDLE_TIMEOUT,
            drain: limits::DRAIN_TIMEOUT,
        }
    }
}

/// Whom a dial expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Exactly this key.
    Key(Fingerprint),
    /// Any key: trust on first use. The caller records [`Connection::peer`].
    AnyKey,
}

/// One UDP socket that serves and dials; cheap to clone.
#[derive(Clone)]
pub struct Endpoint(Arc<Inner>);

struct Inner {
    quinn: quinn::Endpoint,
    options: EndpointOptions,
    deadlines: Arc<Deadlines>,
    local_addr: SocketAddr,
    client_tls: rustls::ClientConfig,
    client_transport: Arc<TransportConfig>,
    budget: Arc<Mutex<Budget>>,
}

impl Endpoint {
    /// Binds exclusively. Must be called within the tokio runtime that is to do the I/O.
    pub fn bind(options: EndpointOptions) -> Result<Endpoint, BindError> {
        Endpoint::bind_with(options, Deadlines::default())
    }

    /// As [`Endpoint::bind`], with time limits of its own.
    pub fn bind_with(
        options: EndpointOptions,
        deadlines: Deadlines,
    ) -> Result<Endpoint, BindError> {
        Endpoint::build(options, Arc::new(deadlines), Arc::default())
    }

    /// Binds the first free port from `options.bind.port()` up, of [`limits::PROBED_PORTS`].
    pub fn bind_first_free(options: EndpointOptions) -> Result<Endpoint, BindError> {
        let first = options.bind;
        let last = first.port().saturating_add(limits::PROBED_PORTS - 1);
        for port in first.port()..=last {
            let mut options = options.clone();
            options.bind.set_port(port);
            match Endpoint::bind(options) {
                Err(BindError::InUse { .. }) => {}
                bound => return bound,
            }
        }
        Err(BindError::AllInUse { first, last })
    }

    /// A further endpoint for another I/O runtime: same key, protocols and time limits, and caps
    /// and budgets shared with this one.
    pub fn bind_beside(&self, bind: SocketAddr) -> Result<Endpoint, BindError> {
        let options = EndpointOptions {
            bind,
            ..self.0.options.clone()
        };
        Endpoint::build(options, self.0.deadlines.clone(), self.0.budget.clone())
    }

    /// Dials from the same socket under another key, and serves nobody. Closing either closes what both have
    /// dialled.
    pub fn under_key(&self, identity: Identity) -> Result<Endpoint, BindError> {
        let client_tls = client_tls(&identity).map_err(tls_failed)?;
        let options = EndpointOptions {
            identity,
            bind: self.0.options.bind,
            alpns: vec![],
        };
        Ok(Endpoint(Arc::new(Inner {
            quinn: self.0.quinn.clone(),
            options,
            deadlines: self.0.deadlines.clone(),
            local_addr: self.0.local_addr,
            client_tls,
            client_transport: self.0.client_transport.clone(),
            budget: self.0.budget.clone(),
        })))
    }

    fn build(
        options: EndpointOptions,
        deadlines: Arc<Deadlines>,
        budget: Arc<Mutex<Budget>>,
    ) -> Result<Endpoint, BindError> {
        let bind = options.bind;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { addr: bind },
            _ => BindError::Io {
                addr: bind,
                detail: error.to_string(),
            },
        };
        let client_tls = client_tls(&options.identity).map_err(tls_failed)?;
        let server = match options.alpns.is_empty() {
            true => None,
            false => Some(server_config(&options, &deadlines).map_err(tls_failed)?),
        };
        let socket = UdpSocket::bind(bind).map_err(failed)?;
        // The system gives what it allows; less only means more packets sent twice.
        let _ = sockopt::set_socket_recv_buffer_size(&socket, limits::SOCKET_BUFFER_BYTES);
        let local_addr = socket.local_addr().map_err(failed)?;
        let config = endpoint_config(&options.identity, local_addr.port());
        let runtime = Arc::new(quinn::TokioRuntime);
        let quinn = quinn::Endpoint::new(config, server, socket, runtime).map_err(failed)?;
        let mut transport = transport(&deadlines);
        transport
            .keep_alive_interval(Some(limits::KEEP_ALIVE.min(deadlines.idle / 3)))
            .max_concurrent_bidi_streams(VarInt::from_u32(0));
        Ok(Endpoint(Arc::new(Inner {
            quinn,
            options,
            deadlines,
            local_addr,
            client_tls,
            client_transport: Arc::new(transport),
            budget,
        })))
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local_addr
    }

    /// Our key.
    pub fn identity(&self) -> &Identity {
        &self.0.options.identity
    }

    /// Dials one address, within the handshake's deadline. Cancelled, the dial is given up.
    ///
    /// A server that does not want our key says so only after the handshake: the first call then
    /// fails with [`super::CallError::Remote`].
    pub async fn connect(
        &self,
        addr: SocketAddr,
        alpn: &'static [u8],
        expect: Expect,
    ) -> Result<Connection, ConnectError> {
        let local = |detail: String| ConnectError::Local { addr, detail };
        let verifier = Arc::new(PinnedServer::new(
            expect,
            self.0.client_tls.crypto_provider(),
        ));
        let mut tls = self.0.client_tls.clone();
        tls.alpn_protocols = vec![alpn.to_vec()];
        tls.dangerous().set_certificate_verifier(verifier.clone());
        let crypto = QuicClientConfig::try_from(tls).map_err(|e| local(e.to_string()))?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(self.0.client_transport.clone());
        let connecting = self
            .0
            .quinn
            .connect_with(config, addr, SERVER_NAME)
            .map_err(|e| local(e.to_string()))?;
        let after = self.0.deadlines.handshake;
        let connected = tokio::select! {
            biased;
            connected = tokio::time::timeout(after, connecting) => connected,
            () = super::probe::nobody_listens(addr) => {
                return Err(ConnectError::NobodyListens { addr });
            }
        };
        let connection = match connected {
            Err(_) | Ok(Err(quinn::ConnectionError::TimedOut)) => {
                return Err(ConnectError::Timeout { addr, after });
            }
            Ok(Err(error)) => return Err(dial_error(addr, alpn, &verifier, error)),
            Ok(Ok(connection)) => connection,
        };
        Connection::new(connection, self.0.deadlines.clone(), None)
            .ok_or_else(|| local("the handshake left no certificate".to_owned()))
    }

    /// Closes all connections and waits, at most [`limits::CLOSE_TIMEOUT`], until peers have been
    /// told. Cancelled, they may not have been.
    pub async fn close(&self, code: ErrorCode, reason: &str) {
        self.0.quinn.close(var_code(code), close_reason(reason));
        // Late or not, there is nothing more to do.
        let _ = tokio::time::timeout(limits::CLOSE_TIMEOUT, self.0.quinn.wait_idle()).await;
    }

    pub(super) fn quinn(&self) -> &quinn::Endpoint {
        &self.0.quinn
    }

    pub(super) fn deadlines(&self) -> &Arc<Deadlines> {
        &self.0.deadlines
    }

    pub(super) fn budget(&self) -> &Arc<Mutex<Budget>> {
        &self.0.budget
    }

    /// The protocols served, for messages.
    pub(super) fn spoken(&self) -> String {
        let names: Vec<_> = self.0.options.alpns.iter().map(|a| alpn_text(a)).collect();
        names.join(", ")
    }
}

fn tls_failed(error: rustls::Error) -> BindError {
    BindError::Tls {
        detail: error.to_string(),
    }
}

fn alpn_text(alpn: &[u8]) -> String {
    String::from_utf8_lossy(alpn).into_owned()
}

fn dial_error(
    addr: SocketAddr,
    alpn: &[u8],
    verifier: &PinnedServer,
    error: quinn::ConnectionError,
) -> ConnectError {
    use quinn::ConnectionError as E;
    if let Some((expected, found)) = verifier.mismatch() {
        return ConnectError::KeyMismatch {
            addr,
            expected,
            found,
        };
    }
    let code = match &error {
        E::ConnectionClosed(close) => Some(close.error_code),
        E::TransportError(error) => Some(error.code),
        _ => None,
    };
    if code == Some(TransportErrorCode::crypto(ALERT_NO_APPLICATION_PROTOCOL)) {
        return ConnectError::WrongProtocol {
            addr,
            spoken: alpn_text(alpn),
        };
    }
    if code == Some(TransportErrorCode::CONNECTION_REFUSED) {
        let detail = "it has as many connections as it takes, or is stopping";
        let reply = ErrorReply::new(ErrorCode::Overloaded, detail);
        return ConnectError::Refused { addr, reply };
    }
    match super::CallError::from(error) {
        super::CallError::Remote(reply) => ConnectError::Refused { addr, reply },
        super::CallError::ConnectionLost { source } => ConnectError::Handshake { addr, source },
        other => ConnectError::Local {
            addr,
            detail: other.to_string(),
        },
    }
}

/// Reset tokens and connection ids come from the identity and the port, so that a restarted process
/// knows a packet of its predecessor's connections and answers with a valid stateless reset
/// (RFC 9000 section 10.3): callers reconnect at once and not after the idle timeout. The port is
/// part of it, for otherwise one endpoint could be made to end connections of another one.
fn endpoint_config(identity: &Identity, port: u16) -> EndpointConfig {
    let derive = |purpose: &[u8]| identity.derive(&[purpose, &port.to_be_bytes()].concat());
    let reset = hmac::Key::new(hmac::HMAC_SHA256, &derive(b"waypost stateless reset v1"));
    let ids = derive(b"waypost connection id v1");
    let mut id_key = [0; 8];
    id_key.copy_from_slice(&ids[..8]);
    let id_key = u64::from_be_bytes(id_key);
    let mut config = EndpointConfig::new(Arc::new(reset));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    config
}

/// What both directions have in common. MTU and segmentation offload stay at quinn's defaults,
/// which were the fastest of those measured.
fn transport(deadlines: &Deadlines) -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = VarInt::from_u64(deadlines.idle.as_millis() as u64).unwrap_or(VarInt::MAX);
    transport
        .max_idle_timeout(Some(IdleTimeout::from(idle)))
        .initial_rtt(limits::INITIAL_RTT)
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(limits::STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(limits::CONNECTION_WINDOW_BYTES))
        .send_window(limits::SEND_WINDOW_BYTES);
    transport
}

fn client_tls(identity: &Identity) -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = provider();
    // Replaced at each dial by one with the dial's pin.
    let verifier = Arc::new(PinnedServer::new(
        Expect::Key(identity.fingerprint()),
        &provider,
    ));
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(vec![identity.certificate()], identity.private_key())?;
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Ok(config)
}

fn server_tls(
    identity: &Identity,
    alpns: &[&'static [u8]],
) -> Result<rustls::ServerConfig, rustls::Error> {
    let provider = provider();
    let verifier = Arc::new(AnyClient::new(&provider));
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![identity.certificate()], identity.private_key())?;
    tls.alpn_protocols = alpns.iter().map(|a| a.to_vec()).collect();
    tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    tls.max_early_data_size = 0;
    Ok(tls)
}

/// The TLS of both sides without anything else of this module: for baselines of plain QUIC. The
/// dialling side takes any key.
pub(crate) fn raw_tls(
    identity: &Identity,
    alpn: &'static [u8],
) -> Result<(rustls::ServerConfig, rustls::ClientConfig), rustls::Error> {
    let mut client = client_tls(identity)?;
    client.alpn_protocols = vec![alpn.to_vec()];
    let any = PinnedServer::new(Expect::AnyKey, client.crypto_provider());
    client.dangerous().set_certificate_verifier(Arc::new(any));
    Ok((server_tls(identity, &[alpn])?, client))
}

/// Accepted connections start with little; the server raises it as it learns who they are.
fn server_config(
    options: &EndpointOptions,
    deadlines: &Deadlines,
) -> Result<ServerConfig, rustls::Error> {
    let tls = server_tls(&options.identity, &options.alpns)?;
    let crypto = QuicServerConfig::try_from(tls)
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut transport = transport(deadlines);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits::STREAMS_BEFORE_PASS))
        .receive_window(VarInt::from_u32(limits::CONNECTION_WINDOW_MIN_BYTES));
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(limits::HANDSHAKES);
    Ok(config)
}
