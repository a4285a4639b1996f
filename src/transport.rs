//! QUIC with mutual TLS 1.3: identities, pinned keys, requests, frame streams and their limits.
//!
//! | module | subject |
//! |---|---|
//! | `identity` | key pair and certificate of one node, its files, signing of passes |
//! | `verify` | the certificate verifiers: handshake signature and pinned key |
//! | `known_index` | which key the index had at which address |
//! | `pass` | offline checking of a pass |
//! | `endpoint` | one UDP socket that serves and dials |
//! | `connection` | requests and long streams over one connection |
//! | `stream` | frames over one stream, either side |
//! | `probe` | whether anybody listens at an address at all |
//! | `pool` | one connection per peer, made again on loss |
//! | `request` | one request at the serving side, read within deadlines |
//! | `server` | the accept loop with its limits, and shutdown |
//! | `budget` | pure accounts of connections and receive windows |
//! | `error` | what can go wrong with a dial or a call |
//!
//! Guarantees: a [`Connection`]'s [`Connection::peer`] holds the private key of that fingerprint;
//! whatever a stranger sends costs bounded memory and time. Must not know topics or offsets.

mod budget;
mod connection;
mod endpoint;
mod error;
mod identity;
mod known_index;
mod pass;
mod pool;
mod probe;
mod request;
mod server;
mod stream;
mod verify;

pub use connection::Connection;
pub(crate) use endpoint::raw_tls;
pub use endpoint::{Deadlines, Endpoint, EndpointOptions, Expect};
pub use error::{BindError, CallError, ConnectError};
pub use identity::{INDEX_NAME, Identity, IdentityError, list_identities};
pub use known_index::{KnownIndex, KnownIndexError, Trust};
pub use pass::{PassError, verify_pass};
pub use pool::Pool;
pub use request::RequestStream;
pub use server::{Service, serve};
pub use stream::{FrameReceiver, FrameSender};

#[cfg(test)]
mod tests;
