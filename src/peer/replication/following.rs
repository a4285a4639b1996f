//! Topics of which this peer keeps a copy: one stream to each of their hosts.
//!
//! To come: the shell around [`crate::replication::following::Following`]. What is here is what the
//! roles of topics need of it.

use std::sync::Arc;

use super::Replication;
use crate::client::Client;
use crate::journal::Journal;
use crate::peer::host::HostState;
use crate::types::{Fingerprint, Offset, TopicId, TopicName};

/// What keeping copies works with.
#[derive(Clone)]
#[allow(dead_code)] // until it is done
pub(in crate::peer) struct CopyingContext {
    /// Finds hosts, dials them and shows them this peer's pass; asks the index. On the runtime of
    /// replication, where [`Copying::new`] is called, too.
    pub(in crate::peer) client: Client,
    /// For the numbers of peers.
    pub(in crate::peer) replication: Arc<Replication>,
    pub(in crate::peer) journal: Journal,
    /// For the incarnation.
    pub(in crate::peer) state: Arc<HostState>,
}

/// See the module.
pub(in crate::peer) struct Copying {
    #[allow(dead_code)] // until it is done
    context: CopyingContext,
}

impl Copying {
    /// Follows nobody yet.
    pub(in crate::peer) fn new(context: CopyingContext) -> Self {
        Copying { context }
    }

    /// Keeps the copy of a topic up with `host`, which has the role under `grant`. The journal knows the
    /// topic (`Command::Known`), does not host it, and has no entry of it on its way. Does nothing if
    /// that host is followed under that grant already.
    pub(in crate::peer) fn follow(
        &self,
        topic: TopicId,
        name: &TopicName,
        host: Fingerprint,
        grant: u32,
    ) {
        let _ = (topic, name, host, grant);
    }

    /// Stops keeping up, for this peer hosts the topic now, or nobody does. Completes when every entry of
    /// the topic was given to the journal, so that whatever is submitted next comes after them. Answers
    /// the high watermark that was heard of; `None`: it was not followed.
    pub(in crate::peer) async fn unfollow(&self, topic: TopicId) -> Option<Offset> {
        let _ = topic;
        None
    }

    /// This process has another incarnation: what it acknowledges, it does under that one. Streams to
    /// hosts are opened anew.
    pub(in crate::peer) fn reincarnated(&self) {}
}
