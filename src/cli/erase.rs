//! Erasing what a deregistered peer has stored here: its topics are deleted, so their data goes too.

use std::fs;
use std::time::Duration;

use super::context::Context;
use super::error::{CliError, Exit};
use super::{output, wait};
use crate::lock::{self, FolderLock};
use crate::peer::journal_dir;
use crate::types::PeerName;

/// How long a running peer has to notice that it was deregistered, and to stop.
const STOPPING: Duration = Duration::from_secs(10);
/// How often it is looked whether it has stopped.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits for the peer's process to end, if it runs on this folder, and removes its journal. One that
/// does not end keeps its data, and that is said.
pub async fn journal(ctx: &Context, name: &PeerName) -> Result<(), CliError> {
    let dir = journal_dir(&ctx.config.peer_data_dir(name));
    if !dir.exists() {
        return Ok(());
    }
    let stopped = async {
        while lock::holder(&dir).is_some() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let what = format!("peer {name} to stop");
    let stopped = wait::saying(what, tokio::time::timeout(STOPPING, stopped)).await;
    // Locked while it is removed, so that a peer which starts just now finds an empty folder.
    let taken = stopped.ok().and_then(|()| FolderLock::take(&dir).ok());
    if taken.is_none() {
        output::say(&format!(
            "peer {name} still runs; its data stays in {}",
            dir.display()
        ));
        return Ok(());
    }
    fs::remove_dir_all(&dir).map_err(|error| {
        CliError::new(
            "storage",
            Exit::Other,
            format!("cannot erase the data of peer {name}"),
        )
        .detail("cause", error)
        .help(format!("remove it by hand: rm -r {}", dir.display()))
    })
}
