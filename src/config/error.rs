//! What can be wrong with a config file. Each error names the file and, where there is one, the line
//! and the key.

use std::path::{Path, PathBuf};

/// Why there is no valid config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named does not exist.
    #[error("{file} does not exist")]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {file}")]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The file is over the bound.
    #[error("{file} has more than {max} bytes, so it is not a config file")]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Bytes allowed.
        max: u64,
    },
    /// The file is not JSON with an object at its top.
    #[error("{file}:{line}: {problem}")]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was seen and expected.
        problem: String,
    },
    /// A key that nothing reads.
    #[error("{file}:{line}: unknown key {key}; the nearest known one is {nearest}")]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key with its section.
        key: String,
        /// The known key that is spelled most alike.
        nearest: &'static str,
    },
    /// A key that stands twice.
    #[error("{file}:{line}: {key} is given twice, first in line {first_line}")]
    DuplicateKey {
        /// The file.
        file: PathBuf,
        /// The line of the second, from 1.
        line: usize,
        /// The key with its section.
        key: String,
        /// The line of the first.
        first_line: usize,
    },
    /// A value of the wrong type or out of its range.
    #[error("{file}:{line}: {key} is {found}; expected {expected}")]
    Value {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key with its section.
        key: String,
        /// The value as it stands in the file, shortened.
        found: String,
        /// What would be right.
        expected: String,
    },
}

impl ConfigError {
    /// The file.
    pub fn file(&self) -> &Path {
        match self {
            ConfigError::Missing { file }
            | ConfigError::Read { file, .. }
            | ConfigError::TooLarge { file, .. }
            | ConfigError::Syntax { file, .. }
            | ConfigError::UnknownKey { file, .. }
            | ConfigError::DuplicateKey { file, .. }
            | ConfigError::Value { file, .. } => file,
        }
    }

    /// The line, from 1, if the error has a place.
    pub fn line(&self) -> Option<usize> {
        match self {
            ConfigError::Syntax { line, .. }
            | ConfigError::UnknownKey { line, .. }
            | ConfigError::DuplicateKey { line, .. }
            | ConfigError::Value { line, .. } => Some(*line),
            _ => None,
        }
    }

    /// The key with its section, if the error is about one.
    pub fn key(&self) -> Option<&str> {
        match self {
            ConfigError::UnknownKey { key, .. }
            | ConfigError::DuplicateKey { key, .. }
            | ConfigError::Value { key, .. } => Some(key),
            _ => None,
        }
    }
}
