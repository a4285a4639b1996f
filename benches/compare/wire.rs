//! A connection that many lanes share: what they send gathers and goes out together, what comes in
//! goes to whom it answers. Protocols say how.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// Whatever went wrong: a comparison ends with it.
pub type Fault = Box<dyn Error + Send + Sync>;
/// Or what was wanted.
pub type Result<T> = std::result::Result<T, Fault>;

/// How much is read at once.
const READ: usize = 256 << 10;

/// Bytes in both directions.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// What a protocol makes of bytes that come in.
pub trait Protocol: Send + 'static {
    /// Takes whatever is complete from the front of `input`; what it answers goes to `out`.
    fn take(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<()>;

    /// Nothing more will come: nobody may wait on.
    fn end(&mut self);
}

struct State<P> {
    protocol: P,
    out: BytesMut,
}

struct Shared<P> {
    state: Mutex<State<P>>,
    wake: Notify,
}

/// A connection. Clones share it; it closes with the last one.
pub struct Wire<P> {
    shared: Arc<Shared<P>>,
    tasks: Arc<JoinSet<()>>,
}

impl<P> Clone for Wire<P> {
    fn clone(&self) -> Self {
        Wire {
            shared: Arc::clone(&self.shared),
            tasks: Arc::clone(&self.tasks),
        }
    }
}

impl<P: Protocol> Wire<P> {
    /// Speaks `protocol` over `socket`.
    pub fn start(socket: Box<dyn Socket>, protocol: P) -> Wire<P> {
        let out = BytesMut::new();
        let shared = Arc::new(Shared {
            state: Mutex::new(State { protocol, out }),
            wake: Notify::new(),
        });
        let (reading, writing) = tokio::io::split(socket);
        let mut tasks = JoinSet::new();
        tasks.spawn(read(Arc::clone(&shared), reading));
        tasks.spawn(write(Arc::clone(&shared), writing));
        Wire {
            shared,
            tasks: Arc::new(tasks),
        }
    }

    /// Lets the protocol put something into what goes out.
    pub fn send<T>(&self, put: impl FnOnce(&mut P, &mut BytesMut) -> T) -> T {
        let mut state = self.shared.state.lock();
        let State { protocol, out } = &mut *state;
        let put = put(protocol, out);
        self.shared.wake.notify_one();
        put
    }
}

async fn read<P: Protocol>(shared: Arc<Shared<P>>, mut socket: impl AsyncRead + Unpin) {
    let mut input = BytesMut::with_capacity(READ);
    loop {
        input.reserve(READ);
        let came = socket.read_buf(&mut input).await;
        let mut state = shared.state.lock();
        let State { protocol, out } = &mut *state;
        let taken = match came {
            Ok(0) => Err("the server closed the connection".into()),
            Ok(_) => protocol.take(&mut input, out),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = taken {
            eprintln!("compare: a connection ended: {error}");
            return protocol.end();
        }
        if !out.is_empty() {
            shared.wake.notify_one();
        }
    }
}

async fn write<P: Protocol>(shared: Arc<Shared<P>>, mut socket: impl AsyncWrite + Unpin) {
    loop {
        shared.wake.notified().await;
        let gathered = shared.state.lock().out.split();
        let written = socket.write_all(&gathered).await;
        if written.is_err() || socket.flush().await.is_err() {
            // The reading side notices, too.
            return;
        }
    }
}

/// A plain connection to loopback.
pub async fn dial(port: u16) -> Result<TcpStream> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// TLS over a connection, to a server with this certificate.
pub async fn secure(socket: TcpStream, certificate: &Path) -> Result<Box<dyn Socket>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost")?;
    Ok(Box::new(connector.connect(name, socket).await?))
}
