//! What can go wrong with measuring.

use std::io;
use std::path::PathBuf;

use crate::client::ClientError;
use crate::transport::BindError;

/// Why a measurement did not come about.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Waypost itself said no, or nothing.
    #[error("{doing} failed")]
    Waypost {
        /// What was being done.
        doing: String,
        /// What came of it.
        #[source]
        source: Box<ClientError>,
    },
    /// The system said no.
    #[error("{doing} failed")]
    Io {
        /// What was being done.
        doing: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The raw QUIC of a baseline failed.
    #[error("the raw QUIC baseline failed: {detail}")]
    Raw {
        /// How.
        detail: String,
    },
    /// A process that takes part ended, or said something that it should not.
    #[error("{name} {detail}")]
    Process {
        /// Which.
        name: String,
        /// What it did; its last words.
        detail: String,
    },
    /// Something never came about.
    #[error("waited {seconds} s in vain for {what}")]
    TimedOut {
        /// For what.
        what: String,
        /// For how long.
        seconds: u64,
    },
    /// What was measured is not what was asked for: a wrong answer is no figure.
    #[error("{what}: expected {expected}, found {found}")]
    Wrong {
        /// What.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What came.
        found: String,
    },
    /// It was told to stop.
    #[error("interrupted")]
    Interrupted,
    /// What was asked for cannot be measured.
    #[error("{0}")]
    Usage(String),
    /// The report cannot be written.
    #[error("cannot write the report to {path}")]
    Report {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl BenchError {
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
        let doing = doing.into();
        |source| BenchError::Io { doing, source }
    }

    pub(super) fn waypost(doing: impl Into<String>) -> impl FnOnce(ClientError) -> BenchError {
        let doing = doing.into();
        |source| BenchError::Waypost {
            doing,
            source: Box::new(source),
        }
    }

    pub(super) fn raw(error: impl std::fmt::Display) -> BenchError {
        let detail = error.to_string();
        BenchError::Raw { detail }
    }
}

impl From<BindError> for BenchError {
    fn from(error: BindError) -> Self {
        BenchError::raw(error)
    }
}
