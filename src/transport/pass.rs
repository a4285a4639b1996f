//! stub
use crate::types::{Fingerprint, UnixMicros};
use crate::wire::pass::{PassBody, SignedPass};

/// Why a pass is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// Not signed.
    #[error("the pass is signed by {found}, the index pinned here is {expected}")]
    OtherIndex {
        /// Pinned here.
        expected: Fingerprint,
        /// Signed by.
        found: Fingerprint,
    },
}

/// Checks a pass offline.
pub fn verify_pass(
    _pass: &SignedPass,
    _index: Fingerprint,
    _presenter: Fingerprint,
    _now: UnixMicros,
) -> Result<PassBody, PassError> {
    todo!()
}
