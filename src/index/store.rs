//! Where the index's changes become durable.
//!
//! A store keeps sorted tables of records and counts revisions. It knows nothing of connections and
//! decides nothing: `commit` compares versions, so that of two indexes that share a store (later:
//! etcd) one learns that it decided on something old.
//!
//! | module | subject |
//! |---|---|
//! | `redb` | a redb database in the data folder |
//! | `memory` | a map, for tests and `waypost demo` |
//! | `lock` | one process per data folder |
//! | `conformance` | what every store must do, run against each |

use std::path::PathBuf;

use super::record::{Change, Expected, RecordError, Table};

mod memory;
mod redb;

pub use self::redb::RedbStore;
pub use memory::MemoryStore;

/// Counts the commits of a store.
pub type Revision = u64;

/// The version of a store's layout, kept in the store itself.
pub const FORMAT: u32 = 1;

/// A durable home for the index's records.
pub trait Store: Send + Sync + 'static {
    /// Visits every record as the change that puts it in place, in the order of [`Table::ALL`];
    /// answers the revision that this is.
    fn load(&self, visit: &mut dyn FnMut(Change)) -> Result<Revision, StoreError>;

    /// How many records a table has, to make room for them.
    fn count(&self, table: Table) -> Result<u64, StoreError>;

    /// Makes all changes durable, or none: `Conflict` if a record is not at the version expected.
    /// Later changes of one record win.
    fn commit(&self, expected: &[Expected], changes: &[Change]) -> Result<Revision, CommitError>;

    /// What was committed after `revision`, by whomever.
    fn watch(&self, revision: Revision) -> Result<Watched, StoreError>;

    /// Records whose keys begin with `prefix` and follow `after`, in the order of their keys.
    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;
}

/// A record's key and bytes.
pub type Row = (Vec<u8>, Vec<u8>);

/// What a store tells of commits after a revision.
#[derive(Debug, Clone, PartialEq)]
pub enum Watched {
    /// These changes, up to and with this revision; none if there was no commit.
    Changes(Revision, Vec<Change>),
    /// It does not remember: load again.
    Forgotten,
}

/// Why nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A record is not as expected; nothing was changed.
    #[error("a record of table {table} was changed by another index")]
    Conflict {
        /// The table.
        table: &'static str,
    },
    /// The store failed; what it holds is only known after loading again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder cannot be used.
    #[error("cannot use the data folder file {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Another process holds the data folder.
    #[error("the data folder {path} is in use by {holder}")]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who holds it.
        holder: crate::lock::Holder,
    },
    /// Written by another version of the program.
    #[error(
        "the store {path} has format {found}; this program reads format {FORMAT}: use the version of waypost that wrote it"
    )]
    Format {
        /// The store.
        path: PathBuf,
        /// The format seen.
        found: u32,
    },
    /// A record does not decode.
    #[error("a stored record is damaged")]
    Record(#[from] RecordError),
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] Box<::redb::Error>),
}

#[cfg(test)]
mod conformance;
