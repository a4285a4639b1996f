//! The pass: what the index signs so that hosts can check a stranger's registration offline.

use serde::{Deserialize, Serialize};

use crate::types::{Fingerprint, PeerName, UnixMicros};

/// Separates signatures of passes from any other signature under the index key.
pub const SIGNATURE_DOMAIN: &[u8] = b"waypost pass v1\0";

/// What a pass says. Frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassBody {
    /// The key that it is for; must be the key of the connection.
    pub fingerprint: Fingerprint,
    /// The name bound to the key.
    pub name: PeerName,
    /// Counts the index's passes.
    pub serial: u64,
    /// When it was issued, by the index's wall clock.
    pub issued: UnixMicros,
    /// When it ends.
    pub expires: UnixMicros,
}

/// A pass as it travels and lies on disk: the postcard form of [`PassBody`] and the ed25519
/// signature (64 bytes) over [`SIGNATURE_DOMAIN`] and that form.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedPass {
    /// Postcard form of [`PassBody`].
    pub body: Vec<u8>,
    /// The index's public key, SubjectPublicKeyInfo DER: a host that pins only the fingerprint
    /// checks that this key has it, then the signature.
    pub issuer: Vec<u8>,
    /// ed25519 signature (RFC 8032).
    pub signature: Vec<u8>,
}

impl SignedPass {
    /// Reads the body, unverified.
    pub fn read_body(&self) -> Result<PassBody, postcard::Error> {
        postcard::from_bytes(&self.body)
    }

    /// The bytes that the signature covers.
    pub fn signed_bytes(body: &[u8]) -> Vec<u8> {
        [SIGNATURE_DOMAIN, body].concat()
    }
}

impl std::fmt::Debug for SignedPass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.read_body() {
            Ok(body) => write!(f, "SignedPass({} #{})", body.name, body.serial),
            Err(_) => write!(f, "SignedPass(malformed)"),
        }
    }
}
