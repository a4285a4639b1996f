//! stub
use std::path::{Path, PathBuf};

use crate::types::Fingerprint;

/// certs/known_index.
#[derive(Debug, Clone)]
pub struct KnownIndex {
    _path: PathBuf,
}

/// What is known of a key at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The recorded key.
    Known,
    /// The first key seen there; it is recorded now.
    First,
}

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum KnownIndexError {
    /// Another key than the recorded one.
    #[error("the index at {address} has another key: expected {expected}, found {found}")]
    Mismatch {
        /// HOST:PORT as configured.
        address: String,
        /// Recorded.
        expected: Fingerprint,
        /// Seen.
        found: Fingerprint,
        /// The file.
        path: PathBuf,
    },
}

impl KnownIndex {
    /// In this folder.
    pub fn new(_certs: &Path) -> KnownIndex {
        todo!()
    }
    /// The key recorded for HOST:PORT.
    pub fn get(&self, _address: &str) -> Result<Option<Fingerprint>, KnownIndexError> {
        todo!()
    }
    /// Records the key, or finds it recorded; another key is a [`KnownIndexError::Mismatch`].
    pub fn record(&self, _address: &str, _found: Fingerprint) -> Result<Trust, KnownIndexError> {
        todo!()
    }
    /// The error for a key that a dial refused ([`super::ConnectError::KeyMismatch`]), with the remedy.
    pub fn mismatch(
        &self,
        _address: &str,
        _expected: Fingerprint,
        _found: Fingerprint,
    ) -> KnownIndexError {
        todo!()
    }
}
