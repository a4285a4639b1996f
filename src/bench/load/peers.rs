//! Clients that act as peers of a deployment, each with a key and a connection of its own.

use crate::bench::error::BenchError;
use crate::bench::work::Target;
use crate::client::{Client, ClientOptions};
use crate::limits;
use crate::transport::Identity;
use crate::types::{IndexAddress, PeerName};

/// Some registered clients.
pub struct Peers {
    /// One per name.
    pub clients: Vec<Client>,
}

impl Peers {
    /// Nobody.
    pub fn none() -> Peers {
        Peers { clients: vec![] }
    }

    /// Makes keys and registers.
    pub async fn register(target: &Target) -> Result<Peers, BenchError> {
        let mut clients = vec![];
        for name in &target.names {
            clients.push(registered(target, name).await?);
        }
        Ok(Peers { clients })
    }

    /// Gives the names back.
    pub async fn leave(self) {
        for client in self.clients {
            // A deployment that was made for the measurement may be gone by now.
            let _ = client.deregister(0).await;
            client.close().await;
        }
    }
}

/// A new peer: connected and registered.
pub async fn registered(target: &Target, name: &PeerName) -> Result<Client, BenchError> {
    let index: IndexAddress = target
        .index
        .parse()
        .map_err(|error| BenchError::Usage(format!("{}: {error}", target.index)))?;
    let mut options = ClientOptions::new(Identity::ephemeral(), name.clone(), index);
    options.index_patience = limits::REPLY_TIMEOUT;
    let client = Client::new(options).map_err(BenchError::waypost("opening a socket"))?;
    client
        .index()
        .connection()
        .await
        .map_err(BenchError::waypost(format!("registering peer {name}")))?;
    Ok(client)
}
