//! What a client keeps on disk between commands: its pass and the routes it learned, so that
//! publishing and pulling go on while the index is down.
//!
//! It is a cache: files are replaced whole by rename, the last writer wins, and what does not read
//! is as if it were not there.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::ClientError;
use crate::types::{Fingerprint, Group, TopicId, TopicName};
use crate::wire::index::Route;
use crate::wire::pass::SignedPass;

const FILE_VERSION: u8 = 1;

/// The pass on disk, with the index that signed it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredPass {
    version: u8,
    pub(super) index: Fingerprint,
    pub(super) pass: SignedPass,
}

impl StoredPass {
    pub(super) fn new(index: Fingerprint, pass: SignedPass) -> Self {
        StoredPass {
            version: FILE_VERSION,
            index,
            pass,
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct StoredRoutes {
    version: u8,
    routes: Vec<(TopicName, Route)>,
}

/// A subscription that this folder's identity made or met.
pub(super) type KnownSubscription = (TopicName, Group, TopicId);

#[derive(Debug, Default, Serialize, Deserialize)]
struct StoredSubscriptions {
    version: u8,
    known: Vec<KnownSubscription>,
}

/// The folder of one identity's cache; without a path nothing is kept.
#[derive(Debug, Clone)]
pub(super) struct StateDir {
    path: Option<PathBuf>,
}

impl StateDir {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        StateDir { path }
    }

    pub(super) fn pass(&self) -> Option<StoredPass> {
        self.read("pass")
            .filter(|stored: &StoredPass| stored.version == FILE_VERSION)
    }

    pub(super) fn save_pass(&self, pass: &StoredPass) -> Result<(), ClientError> {
        self.write("pass", pass)
    }

    pub(super) fn routes(&self) -> Vec<(TopicName, Route)> {
        self.read("routes")
            .filter(|stored: &StoredRoutes| stored.version == FILE_VERSION)
            .map(|stored| stored.routes)
            .unwrap_or_default()
    }

    pub(super) fn save_routes(&self, routes: Vec<(TopicName, Route)>) -> Result<(), ClientError> {
        let stored = StoredRoutes {
            version: FILE_VERSION,
            routes,
        };
        self.write("routes", &stored)
    }

    pub(super) fn subscriptions(&self) -> Vec<KnownSubscription> {
        self.read("subscriptions")
            .filter(|stored: &StoredSubscriptions| stored.version == FILE_VERSION)
            .map(|stored| stored.known)
            .unwrap_or_default()
    }

    pub(super) fn save_subscriptions(
        &self,
        known: Vec<KnownSubscription>,
    ) -> Result<(), ClientError> {
        let stored = StoredSubscriptions {
            version: FILE_VERSION,
            known,
        };
        self.write("subscriptions", &stored)
    }

    /// Removes all files, for what they say holds no more.
    pub(super) fn clear(&self) -> Result<(), ClientError> {
        let Some(folder) = &self.path else {
            return Ok(());
        };
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ClientError::State {
                path: folder.display().to_string(),
                source: Arc::new(error),
            }),
            _ => Ok(()),
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let bytes = fs::read(self.path.as_ref()?.join(name)).ok()?;
        postcard::from_bytes(&bytes).ok()
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), ClientError> {
        let Some(folder) = &self.path else {
            return Ok(());
        };
        let path = folder.join(name);
        let bytes = postcard::to_stdvec(value).map_err(io::Error::other);
        bytes
            .and_then(|bytes| replace(folder, &path, &bytes))
            .map_err(|source| ClientError::State {
                path: path.display().to_string(),
                source: Arc::new(source),
            })
    }
}

/// Writes beside and renames, so that a reader sees the old or the new file, never a part.
fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = fs::File::create(&beside)?;
    file.write_all(bytes)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read_and_noise_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(Some(folder.path().join("client")));
        assert!(state.pass().is_none());
        let pass = SignedPass {
            body: vec![1],
            issuer: vec![2],
            signature: vec![3],
        };
        let stored = StoredPass::new(Fingerprint([1; 32]), pass.clone());
        state.save_pass(&stored).unwrap();
        assert_eq!(state.pass().unwrap().pass, pass);
        fs::write(folder.path().join("client/pass"), b"noise").unwrap();
        assert!(state.pass().is_none());
        assert!(state.routes().is_empty());

        let known = vec![("T1".parse().unwrap(), Group::default(), TopicId([4; 16]))];
        state.save_subscriptions(known.clone()).unwrap();
        assert_eq!(state.subscriptions(), known);
        state.clear().unwrap();
        state.clear().unwrap();
        assert!(state.subscriptions().is_empty());
    }
}
