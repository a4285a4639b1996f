//! The thread of replication: roles as the index assigns them, questions to the index, time, and streams to
//! the hosts of topics that this peer keeps copies of.
//!
//! It is a thread of its own, with a socket of its own: heartbeats go out whatever it is doing, and
//! publishers are answered whatever it is catching up with.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::following::{Copying, CopyingContext};
use super::roles::{Frame, Roles};
use super::{Replication, asking, draining};
use crate::client::{Client, ClientError, ClientOptions};
use crate::journal::Journal;
use crate::peer::host::HostState;
use crate::peer::{PeerError, becomes_true, spawn_runtime};

/// What it works with.
pub(in crate::peer) struct ReplicationThread {
    pub(in crate::peer) client: ClientOptions,
    pub(in crate::peer) replication: Arc<Replication>,
    pub(in crate::peer) journal: Journal,
    pub(in crate::peer) state: Arc<HostState>,
    pub(in crate::peer) frames: mpsc::Receiver<Frame>,
}

impl ReplicationThread {
    /// Starts it; the receiver completes at its end.
    pub(in crate::peer) fn start(
        self,
        stopping: watch::Receiver<bool>,
    ) -> Result<oneshot::Receiver<()>, PeerError> {
        let (ended, has_ended) = oneshot::channel();
        let journal = self.journal.clone();
        spawn_runtime(
            "replication",
            move || journal.commit_deferred(),
            move || async move {
                if let Err(error) = self.run(stopping).await {
                    tracing::error!(%error, "copies of topics are not kept");
                }
                let _ = ended.send(());
            },
        )?;
        Ok(has_ended)
    }

    async fn run(self, stopping: watch::Receiver<bool>) -> Result<(), ClientError> {
        let client = Client::new(self.client)?;
        let copying = Arc::new(Copying::new(CopyingContext {
            client: client.clone(),
            replication: Arc::clone(&self.replication),
            journal: self.journal.clone(),
            state: Arc::clone(&self.state),
        }));
        let roles = Roles::new(Arc::clone(&self.replication), self.journal.clone(), copying);
        let draining = draining::run(
            Arc::clone(&self.replication),
            client.index().clone(),
            self.journal.clone(),
        );
        let asking = asking::run(
            Arc::clone(&self.replication),
            client.index().clone(),
            self.state,
        );
        tokio::select! {
            () = roles.run(self.frames) => {}
            () = asking => {}
            () = draining => {}
            () = self.replication.keep_time() => {}
            () = becomes_true(stopping) => {}
        }
        client.close().await;
        Ok(())
    }
}
