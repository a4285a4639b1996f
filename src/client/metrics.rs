//! The numbers that monitoring wants, gathered with the ordinary requests.

use std::time::Duration;

use tokio::task::JoinSet;

use super::error::ClientError;
use super::{Client, TopicFilter};
use crate::types::PeerName;
use crate::wire::index::{HostAddress, IndexStatusReply, PeerInfo, TopicInfo};
use crate::wire::peer::PeerStatusReply;

/// Peers that are asked at the same time.
const AT_ONCE: usize = 64;

/// What the index says of itself, of peers and of topics, and what live peers say.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// The index's own numbers.
    pub index: IndexStatusReply,
    /// Every registered peer, by name.
    pub peers: Vec<PeerMetrics>,
    /// Every topic, by name, if asked for.
    pub topics: Vec<TopicInfo>,
}

/// One peer.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerMetrics {
    /// What the index says.
    pub info: PeerInfo,
    /// What it says itself; `None`: it is away, or did not answer in time.
    pub status: Option<PeerStatusReply>,
}

impl Client {
    /// Gathers the numbers. Peers have `within` to answer, side by side; one that does not is no error.
    /// A listing of all topics is asked for only with `topics`: it may be long.
    pub async fn metrics(&self, topics: bool, within: Duration) -> Result<Metrics, ClientError> {
        let index = self.index_status().await?;
        let peers = self.peers().await?;
        let peers = self.ask_peers(peers, within).await;
        let topics = match topics {
            true => self.all_topics().await?,
            false => vec![],
        };
        Ok(Metrics {
            index,
            peers,
            topics,
        })
    }

    async fn all_topics(&self) -> Result<Vec<TopicInfo>, ClientError> {
        let filter = TopicFilter::default();
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let (mut page, next) = self.list_topics(&filter, after.as_ref()).await?;
            all.append(&mut page);
            match next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    async fn ask_peers(&self, peers: Vec<PeerInfo>, within: Duration) -> Vec<PeerMetrics> {
        let mut asked = Vec::with_capacity(peers.len());
        let mut peers = peers.into_iter();
        loop {
            let mut asking = JoinSet::new();
            for info in peers.by_ref().take(AT_ONCE) {
                let client = self.clone();
                asking.spawn(async move { client.ask_peer(info, within).await });
            }
            if asking.is_empty() {
                break;
            }
            asked.append(&mut asking.join_all().await);
        }
        let name = |peer: &PeerMetrics| -> PeerName { peer.info.name.clone() };
        asked.sort_by_key(name);
        asked
    }

    async fn ask_peer(self, info: PeerInfo, within: Duration) -> PeerMetrics {
        if !info.live || info.addresses.is_empty() {
            return PeerMetrics { info, status: None };
        }
        let host = HostAddress {
            fingerprint: info.fingerprint,
            name: info.name.clone(),
            addresses: info.addresses.clone(),
            live: true,
        };
        let answer = tokio::time::timeout(within, self.peer_status(&host)).await;
        let status = answer.ok().and_then(Result::ok);
        PeerMetrics { info, status }
    }
}
