//! Questions to peers themselves: how they are, and where topics and positions stand.

use super::Client;
use super::error::ClientError;
use crate::limits;
use crate::transport::Connection;
use crate::types::{Group, TopicId};
use crate::wire::index::HostAddress;
use crate::wire::peer::{PeerStatus, PeerStatusReply, TopicState, TopicStatus};

impl Client {
    /// Asks a peer about itself. One try.
    pub async fn peer_status(&self, peer: &HostAddress) -> Result<PeerStatusReply, ClientError> {
        let connection = self.peer_connection(peer).await?;
        let doing = format!("asking peer {} for its status", peer.name);
        let reply = connection.request(&PeerStatus {}).await;
        reply.map_err(|error| ClientError::call(doing, error))
    }

    /// The states of topics of one host with the caller's positions, in the order asked; `None`:
    /// not hosted there. One try.
    pub async fn topic_states(
        &self,
        host: &HostAddress,
        topics: &[(TopicId, Group)],
    ) -> Result<Vec<Option<TopicState>>, ClientError> {
        let connection = self.peer_connection(host).await?;
        let mut states = Vec::with_capacity(topics.len());
        for page in topics.chunks(limits::PAGE_ENTRIES as usize) {
            let request = TopicStatus {
                topics: page.to_vec(),
            };
            let doing = format!("asking peer {} for the state of topics", host.name);
            let reply = connection.request(&request).await;
            let reply = reply.map_err(|error| ClientError::call(doing, error))?;
            let mut answered = reply.topics;
            answered.resize(page.len(), None);
            states.append(&mut answered);
        }
        Ok(states)
    }

    async fn peer_connection(&self, peer: &HostAddress) -> Result<Connection, ClientError> {
        let connection = self.shown_pass(peer).await?;
        connection.map_err(|source| ClientError::PeerUnreachable {
            peer: peer.name.clone(),
            source,
        })
    }

    /// The hosts of cached routes, each once: who can be asked while the index is down.
    pub fn cached_hosts(&self) -> Vec<HostAddress> {
        self.inner.routes.lock().hosts()
    }
}
