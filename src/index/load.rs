//! From a store to a directory: the store's thread reads and decodes while this one applies, for a
//! million topics shall be answered for within two seconds of a start.

use std::sync::mpsc;

use super::directory::Directory;
use super::record::{Change, Table};
use super::store::{Revision, Store, StoreError};

/// Changes handed over at once.
const PORTION: usize = 1_024;
/// Portions that may wait.
const PORTIONS: usize = 8;

/// Loads everything that the store holds.
pub fn load(store: &dyn Store) -> Result<(Directory, Revision), StoreError> {
    let mut directory = Directory::new(rand::random());
    let topics = store.count(Table::Topics)?;
    directory.reserve_topics(usize::try_from(topics).unwrap_or(usize::MAX));
    let (hand_over, portions) = mpsc::sync_channel::<Vec<Change>>(PORTIONS);
    let revision = std::thread::scope(|scope| {
        let reading = scope.spawn(move || read(store, &hand_over));
        for portion in portions {
            directory.apply_all(&portion);
        }
        match reading.join() {
            Ok(revision) => revision,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    Ok((directory, revision))
}

fn read(
    store: &dyn Store,
    hand_over: &mpsc::SyncSender<Vec<Change>>,
) -> Result<Revision, StoreError> {
    let mut portion = Vec::with_capacity(PORTION);
    let revision = store.load(&mut |change| {
        portion.push(change);
        if portion.len() == PORTION {
            let full = std::mem::replace(&mut portion, Vec::with_capacity(PORTION));
            // The other side takes all there is, unless it panicked, which ends this too.
            let _ = hand_over.send(full);
        }
    })?;
    let _ = hand_over.send(portion);
    Ok(revision)
}
