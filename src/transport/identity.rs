//! stub
use std::io;
use std::path::{Path, PathBuf};

use crate::types::{Fingerprint, PeerName};
use crate::wire::pass::{PassBody, SignedPass};

/// Key pair, certificate and fingerprint of one node; cheap to clone.
#[derive(Clone)]
pub struct Identity {}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file operation failed.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no key file.
    #[error("no identity {name:?}: {path} does not exist")]
    Missing {
        /// The name.
        name: String,
        /// The key file.
        path: PathBuf,
    },
}

impl Identity {
    /// Loads.
    pub fn load(_certs: &Path, _name: &str) -> Result<Identity, IdentityError> {
        todo!()
    }
    /// Loads or makes; the flag says whether it was made by this call.
    pub fn load_or_create(_certs: &Path, _name: &str) -> Result<(Identity, bool), IdentityError> {
        todo!()
    }
    /// For tests and benchmarks.
    pub fn ephemeral() -> Identity {
        todo!()
    }
    /// SHA-256 of the SPKI DER.
    pub fn fingerprint(&self) -> Fingerprint {
        todo!()
    }
    /// Signs.
    pub fn sign_pass(&self, _body: &PassBody) -> SignedPass {
        todo!()
    }
}

/// Peer names with a key file in `certs`.
pub fn list_identities(_certs: &Path) -> io::Result<Vec<PeerName>> {
    todo!()
}
