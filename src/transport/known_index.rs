//! Which key the index had at which address: `certs/known_index`, lines of `HOST:PORT SHA256:...`
//! as in ssh's known_hosts. The first key seen is recorded; another one later is refused.
//!
//! Guarantees: the file is replaced whole; two processes that record at once lose neither line.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::limits;
use crate::types::{Fingerprint, ParseFingerprintError};

/// `certs/known_index`.
#[derive(Debug, Clone)]
pub struct KnownIndex {
    path: PathBuf,
}

/// What was known of a key at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It is the recorded key.
    Known,
    /// It is the first key seen there, and recorded now.
    First,
}

/// Why a key is not trusted, or the file not usable.
#[derive(Debug, thiserror::Error)]
pub enum KnownIndexError {
    /// Another key than the recorded one.
    #[error(
        "the index at {address} has another key than before\n  expected  {expected}  \
         in {path}\n  found     {found}\n  help: if the index was set up anew on purpose, remove the \
         line of {address} from {path}; otherwise somebody else answers there"
    )]
    Mismatch {
        /// HOST:PORT as configured.
        address: String,
        /// The recorded key.
        expected: Fingerprint,
        /// The key seen.
        found: Fingerprint,
        /// The file.
        path: PathBuf,
    },
    /// A line is not `HOST:PORT SHA256:...`.
    #[error("{path}:{line}: expected HOST:PORT and a fingerprint, found {found:?}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// The line.
        found: String,
    },
    /// A line's fingerprint does not parse.
    #[error("{path}:{line}")]
    Fingerprint {
        /// The file.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// What is wrong with it.
        source: ParseFingerprintError,
    },
    /// The address cannot stand in the file.
    #[error("{address:?} is not an address HOST:PORT")]
    Address {
        /// What was given.
        address: String,
    },
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
}

impl KnownIndex {
    /// The file in the folder `certs`; neither needs to exist yet.
    pub fn new(certs: &Path) -> KnownIndex {
        KnownIndex {
            path: certs.join("known_index"),
        }
    }

    /// Where the file lies, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key recorded for `address`, HOST:PORT as configured.
    pub fn get(&self, address: &str) -> Result<Option<Fingerprint>, KnownIndexError> {
        self.find(&self.read()?, address)
    }

    /// Records `found` for `address`, or checks it against what is recorded.
    pub fn record(&self, address: &str, found: Fingerprint) -> Result<Trust, KnownIndexError> {
        if address.is_empty() || address.contains(char::is_whitespace) || address.starts_with('#') {
            return Err(KnownIndexError::Address {
                address: address.to_owned(),
            });
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(self.io("create the folder of"))?;
        let lock = File::open(folder).map_err(self.io("open the folder of"))?;
        // Held until `lock` is dropped; on the folder, for the file itself is replaced.
        flock(&lock, FlockOperation::LockExclusive).map_err(|e| self.io("lock")(e.into()))?;
        let mut text = self.read()?;
        match self.find(&text, address)? {
            Some(expected) if expected == found => Ok(Trust::Known),
            Some(expected) => Err(self.mismatch(address, expected, found)),
            None => {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                text.push_str(&format!("{address} {found}\n"));
                self.replace(&text, &lock).map_err(self.io("write"))?;
                Ok(Trust::First)
            }
        }
    }

    /// The error, with its remedy, for a key that a dial refused
    /// ([`super::ConnectError::KeyMismatch`]).
    pub fn mismatch(
        &self,
        address: &str,
        expected: Fingerprint,
        found: Fingerprint,
    ) -> KnownIndexError {
        KnownIndexError::Mismatch {
            address: address.to_owned(),
            expected,
            found,
            path: self.path.clone(),
        }
    }

    fn find(&self, text: &str, address: &str) -> Result<Option<Fingerprint>, KnownIndexError> {
        for (number, line) in (1..).zip(text.lines()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                [known, key] if known == address => {
                    return key
                        .parse()
                        .map(Some)
                        .map_err(|source| KnownIndexError::Fingerprint {
                            path: self.path.clone(),
                            line: number,
                            source,
                        });
                }
                [_, _] => {}
                _ => {
                    return Err(KnownIndexError::Line {
                        path: self.path.clone(),
                        line: number,
                        found: line.to_owned(),
                    });
                }
            }
        }
        Ok(None)
    }

    fn read(&self) -> Result<String, KnownIndexError> {
        let read = || -> io::Result<String> {
            let mut text = String::new();
            File::open(&self.path)?
                .take(limits::CERTS_FILE_BYTES)
                .read_to_string(&mut text)?;
            Ok(text)
        };
        match read() {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(self.io("read")(error)),
        }
    }

    /// The caller holds the lock, so the temporary file's name is ours alone.
    fn replace(&self, text: &str, folder: &File) -> io::Result<()> {
        let temporary = self.path.with_extension("new");
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        folder.sync_all()
    }

    fn io(&self, doing: &'static str) -> impl Fn(io::Error) -> KnownIndexError {
        let path = self.path.clone();
        move |source| KnownIndexError::Io {
            doing,
            path: path.clone(),
            source,
        }
    }
}
