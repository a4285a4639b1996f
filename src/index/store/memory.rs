//! A store in memory: the same bytes in a sorted map. Clones share it, as two indexes would share a
//! database.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{CommitError, Revision, Row, Store, StoreError, Watched};
use crate::index::record::{Change, Expected, Table, version_of};

/// Commits remembered for [`Store::watch`]: what a test needs to see.
const REMEMBERED: usize = 64;

/// A store that lives as long as its last clone.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    revision: Revision,
    log: VecDeque<Vec<Change>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn load(&self, visit: &mut dyn FnMut(Change)) -> Result<Revision, StoreError> {
        let state = self.state.lock();
        for ((table, key), value) in &state.rows {
            if let Some(change) = Change::read(*table, key, value)? {
                visit(change);
            }
        }
        Ok(state.revision)
    }

    fn count(&self, table: Table) -> Result<u64, StoreError> {
        let state = self.state.lock();
        Ok(state
            .rows
            .keys()
            .filter(|(found, _)| *found == table)
            .count() as u64)
    }

    fn commit(&self, expected: &[Expected], changes: &[Change]) -> Result<Revision, CommitError> {
        let mut state = self.state.lock();
        for record in expected {
            let found = state.rows.get(&(record.table, record.key.clone()));
            if found.and_then(|value| version_of(value)) != record.version {
                return Err(CommitError::Conflict {
                    table: record.table.name(),
                });
            }
        }
        for change in changes {
            let entry = change.entry();
            match entry.value {
                Some(value) => _ = state.rows.insert((entry.table, entry.key), value),
                None => _ = state.rows.remove(&(entry.table, entry.key)),
            }
        }
        state.revision += 1;
        state.log.push_back(changes.to_vec());
        if state.log.len() > REMEMBERED {
            state.log.pop_front();
        }
        Ok(state.revision)
    }

    fn watch(&self, revision: Revision) -> Result<Watched, StoreError> {
        let state = self.state.lock();
        let missed = state.revision.saturating_sub(revision) as usize;
        if missed > state.log.len() {
            return Ok(Watched::Forgotten);
        }
        let commits = state.log.iter().skip(state.log.len() - missed);
        Ok(Watched::Changes(
            state.revision,
            commits.flatten().cloned().collect(),
        ))
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let state = self.state.lock();
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded((table, after.to_vec())),
            None => Bound::Included((table, prefix.to_vec())),
        };
        let rows = state.rows.range((from, Bound::Unbounded));
        let rows = rows.take_while(|((found, key), _)| *found == table && key.starts_with(prefix));
        Ok(rows
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;
    use crate::index::record::tests_support::samples;

    #[test]
    fn conforms() {
        conformance::run(&|check| {
            let store = MemoryStore::new();
            check(&|| Box::new(store.clone()));
        });
    }

    #[test]
    fn forgets_commits_long_ago() {
        let store = MemoryStore::new();
        for _ in 0..=REMEMBERED {
            store.commit(&[], &samples()).unwrap();
        }
        assert_eq!(store.watch(0).unwrap(), Watched::Forgotten);
        assert!(matches!(store.watch(1).unwrap(), Watched::Changes(65, _)));
    }
}
