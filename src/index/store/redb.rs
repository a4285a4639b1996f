//! A store in a redb database, `index.redb` in the data folder.
//!
//! Every commit is synced before it is answered. It also saves redb's allocator state and commits in
//! two phases, so that the index is ready at once after a crash instead of walking the whole file
//! (docs/ARCHITECTURE.md has the figures).

use std::ops::Bound;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    TableError, WriteTransaction,
};

use super::{CommitError, FORMAT, Revision, Row, Store, StoreError, Watched};
use crate::index::record::{Change, Entry, Expected, Table, version_of};
use crate::limits;
use crate::lock::{FolderLock, LockError};

/// The database's file in the data folder.
const FILE: &str = "index.redb";
const FORMAT_KEY: &[u8] = b"format";
const REVISION_KEY: &[u8] = b"revision";

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
}

/// The index's database.
#[derive(Debug)]
pub struct RedbStore {
    database: Database,
    revision: Mutex<Revision>,
    _lock: FolderLock,
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Database(Box::new(error.into()))
}

impl RedbStore {
    /// Opens the store in `folder`, or makes one where there is none.
    pub fn open(folder: &Path) -> Result<RedbStore, StoreError> {
        let lock = take(folder)?;
        let path = folder.join(FILE);
        let database = Database::builder()
            .set_cache_size(limits::STORE_CACHE_BYTES)
            .create(&path)
            .map_err(failed)?;
        let revision = prepare(&database, &path)?;
        Ok(RedbStore {
            database,
            revision: Mutex::new(revision),
            _lock: lock,
        })
    }

    fn begin(&self) -> Result<WriteTransaction, StoreError> {
        begin(&self.database)
    }
}

/// Takes the folder, made where it is missing, for this process.
fn take(folder: &Path) -> Result<FolderLock, StoreError> {
    let io = |source| StoreError::Io {
        path: folder.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(io)?;
    FolderLock::take(folder).map_err(|error| match error {
        LockError::Held(holder) => StoreError::InUse {
            path: folder.to_owned(),
            holder,
        },
        LockError::Io(source) => io(source),
    })
}

fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(failed)?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Checks the format, or writes it into an empty database; the last revision.
fn prepare(database: &Database, path: &Path) -> Result<Revision, StoreError> {
    let reading = database.begin_read().map_err(failed)?;
    match reading.open_table(definition(Table::Meta)) {
        Ok(meta) => {
            let number = |key: &[u8]| -> Result<u64, StoreError> {
                let value = meta.get(key).map_err(failed)?;
                Ok(value.map_or(0, |value| read_number(value.value())))
            };
            check_format(number(FORMAT_KEY)?, path)?;
            let revision = number(REVISION_KEY)?;
            drop(meta);
            drop(reading);
            add_tables(database)?;
            return Ok(revision);
        }
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(failed(error)),
    }
    drop(reading);
    let transaction = begin(database)?;
    for table in Table::ALL {
        transaction.open_table(definition(table)).map_err(failed)?;
    }
    put_number(&transaction, FORMAT_KEY, FORMAT.into())?;
    transaction.commit().map_err(failed)?;
    Ok(0)
}

/// A store of an earlier version may lack tables.
fn add_tables(database: &Database) -> Result<(), StoreError> {
    let reading = database.begin_read().map_err(failed)?;
    let lacks = |table: &Table| {
        let opened = reading.open_table(definition(*table));
        matches!(opened, Err(TableError::TableDoesNotExist(_)))
    };
    let missing: Vec<Table> = Table::ALL.into_iter().filter(lacks).collect();
    drop(reading);
    if missing.is_empty() {
        return Ok(());
    }
    let transaction = begin(database)?;
    for table in missing {
        transaction.open_table(definition(table)).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

fn check_format(found: u64, path: &Path) -> Result<(), StoreError> {
    if found == u64::from(FORMAT) {
        return Ok(());
    }
    Err(StoreError::Format {
        path: PathBuf::from(path),
        found: u32::try_from(found).unwrap_or(u32::MAX),
    })
}

fn read_number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn put_number(transaction: &WriteTransaction, key: &[u8], number: u64) -> Result<(), StoreError> {
    let mut meta = transaction
        .open_table(definition(Table::Meta))
        .map_err(failed)?;
    meta.insert(key, number.to_le_bytes().as_slice())
        .map_err(failed)?;
    Ok(())
}

fn check_expected(
    transaction: &WriteTransaction,
    expected: &[Expected],
) -> Result<(), CommitError> {
    for table in Table::ALL.into_iter().filter(|table| table.is_versioned()) {
        let records = expected.iter().filter(|record| record.table == table);
        let rows = transaction.open_table(definition(table)).map_err(failed)?;
        for record in records {
            let found = rows.get(record.key.as_slice()).map_err(failed)?;
            if found.and_then(|value| version_of(value.value())) != record.version {
                return Err(CommitError::Conflict {
                    table: table.name(),
                });
            }
        }
    }
    Ok(())
}

fn write(transaction: &WriteTransaction, changes: &[Change]) -> Result<(), StoreError> {
    let mut entries: Vec<Entry> = changes.iter().map(Change::entry).collect();
    // Neighbours share pages. The sort is stable: later changes of one record still win.
    entries.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
    for entries in entries.chunk_by(|a, b| a.table == b.table) {
        let definition = definition(entries[0].table);
        let mut table = transaction.open_table(definition).map_err(failed)?;
        for entry in entries {
            let key = entry.key.as_slice();
            match &entry.value {
                Some(value) => _ = table.insert(key, value.as_slice()).map_err(failed)?,
                None => _ = table.remove(key).map_err(failed)?,
            }
        }
    }
    Ok(())
}

impl Store for RedbStore {
    fn load(&self, visit: &mut dyn FnMut(Change)) -> Result<Revision, StoreError> {
        let revision = *self.revision.lock();
        let reading = self.database.begin_read().map_err(failed)?;
        for table in Table::ALL {
            let rows = reading.open_table(definition(table)).map_err(failed)?;
            for row in rows.iter().map_err(failed)? {
                let (key, value) = row.map_err(failed)?;
                if let Some(change) = Change::read(table, key.value(), value.value())? {
                    visit(change);
                }
            }
        }
        Ok(revision)
    }

    fn count(&self, table: Table) -> Result<u64, StoreError> {
        let reading = self.database.begin_read().map_err(failed)?;
        let rows = reading.open_table(definition(table)).map_err(failed)?;
        rows.len().map_err(failed)
    }

    fn commit(&self, expected: &[Expected], changes: &[Change]) -> Result<Revision, CommitError> {
        let mut revision = self.revision.lock();
        let transaction = self.begin()?;
        check_expected(&transaction, expected)?;
        write(&transaction, changes)?;
        put_number(&transaction, REVISION_KEY, *revision + 1)?;
        transaction.commit().map_err(failed)?;
        *revision += 1;
        Ok(*revision)
    }

    /// Nobody else writes: the data folder is locked. Whoever knows the last revision knows all.
    fn watch(&self, revision: Revision) -> Result<Watched, StoreError> {
        let last = *self.revision.lock();
        Ok(if revision == last {
            Watched::Changes(last, Vec::new())
        } else {
            Watched::Forgotten
        })
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let reading = self.database.begin_read().map_err(failed)?;
        let rows = reading.open_table(definition(table)).map_err(failed)?;
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        let mut found = Vec::new();
        let range = rows
            .range::<&[u8]>((from, Bound::Unbounded))
            .map_err(failed)?;
        for row in range.take(limit) {
            let (key, value) = row.map_err(failed)?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
