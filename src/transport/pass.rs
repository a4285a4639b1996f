//! Checking a pass offline: who signed it, for whom, until when. Pure.

use std::time::Duration;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use super::verify::{ED25519_SPKI_PREFIX, fingerprint_of_spki};
use crate::limits;
use crate::types::{Fingerprint, UnixMicros};
use crate::wire::pass::{PassBody, SignedPass};
use crate::wire::{ErrorCode, ErrorReply};

/// Why a pass is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// It is signed by another key than the pinned index's.
    #[error("the pass is issued by {found}, the index pinned here is {expected}")]
    OtherIndex {
        /// The index pinned here.
        expected: Fingerprint,
        /// The issuer.
        found: Fingerprint,
    },
    /// The signature does not fit the content.
    #[error("the pass does not carry a valid signature of the index {index}")]
    Signature {
        /// The index pinned here.
        index: Fingerprint,
    },
    /// It is signed, but does not decode.
    #[error("the pass does not decode: {source}")]
    Malformed {
        /// Postcard's reason.
        source: postcard::Error,
    },
    /// It is somebody else's.
    #[error("the pass is for {expected}, it is presented by {found}")]
    OtherPeer {
        /// Whom it is for.
        expected: Fingerprint,
        /// The key of the connection.
        found: Fingerprint,
    },
    /// It is over.
    #[error("the pass ended at {expired}, it is {now} here; register again")]
    Expired {
        /// Its end.
        expired: UnixMicros,
        /// The wall clock here.
        now: UnixMicros,
    },
}

impl From<PassError> for ErrorReply {
    fn from(error: PassError) -> Self {
        ErrorReply::new(ErrorCode::BadPass, error.to_string())
    }
}

/// Checks that `index` signed the pass for `presenter`, the key of the connection.
///
/// A pass is taken until [`limits::PASS_GRACE`] after its end. Its beginning is not checked: what
/// the index signed is genuine, and a host whose clock is behind must not turn newcomers away.
pub fn verify_pass(
    pass: &SignedPass,
    index: Fingerprint,
    presenter: Fingerprint,
    now: UnixMicros,
) -> Result<PassBody, PassError> {
    let issuer = fingerprint_of_spki(&pass.issuer);
    if issuer != index {
        return Err(PassError::OtherIndex {
            expected: index,
            found: issuer,
        });
    }
    let signed = SignedPass::signed_bytes(&pass.body);
    // An issuer that hashes to a pinned fingerprint is the pinned key, so the prefix is there.
    pass.issuer
        .strip_prefix(&ED25519_SPKI_PREFIX)
        .and_then(|key| {
            let key = UnparsedPublicKey::new(&ED25519, key);
            key.verify(&signed, &pass.signature).ok()
        })
        .ok_or(PassError::Signature { index })?;
    let body = pass
        .read_body()
        .map_err(|source| PassError::Malformed { source })?;
    if body.fingerprint != presenter {
        return Err(PassError::OtherPeer {
            expected: body.fingerprint,
            found: presenter,
        });
    }
    if now.0 > body.expires.0.saturating_add(micros(limits::PASS_GRACE)) {
        return Err(PassError::Expired {
            expired: body.expires,
            now,
        });
    }
    Ok(body)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
