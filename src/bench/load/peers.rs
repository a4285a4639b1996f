//! Clients that act as peers of a deployment, each with a key and a connection of its own.

use crate::bench::error::BenchError;
use crate::bench::work::Target;
use crate::client::{Client, ClientError, ClientOptions};
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

    /// Makes keys and registers. All share a socket, as the connections of the baseline do.
    pub async fn register(target: &Target) -> Result<Peers, BenchError> {
        let mut clients: Vec<Client> = vec![];
        for name in &target.names {
            let options = options(target, name)?;
            let client = match clients.first() {
                Some(first) => first.beside(options),
                None => Client::new(options),
            };
            clients.push(introduced(client, name).await?);
        }
        Ok(Peers { clients })
    }

    /// Gives the names back.
    pub async fn leave(self) {
        for client in &self.clients {
            // A deployment that was made for the measurement may be gone by now.
            let _ = client.deregister(0).await;
        }
        // And with it the connections of all.
        if let Some(first) = self.clients.first() {
            first.close().await;
        }
    }
}

/// A new peer, with a socket of its own: connected and registered.
pub async fn registered(target: &Target, name: &PeerName) -> Result<Client, BenchError> {
    introduced(Client::new(options(target, name)?), name).await
}

fn options(target: &Target, name: &PeerName) -> Result<ClientOptions, BenchError> {
    let index: IndexAddress = target
        .index
        .parse()
        .map_err(|error| BenchError::Usage(format!("{}: {error}", target.index)))?;
    let mut options = ClientOptions::new(Identity::ephemeral(), name.clone(), index);
    options.index_patience = limits::REPLY_TIMEOUT;
    Ok(options)
}

async fn introduced(
    client: Result<Client, ClientError>,
    name: &PeerName,
) -> Result<Client, BenchError> {
    let client = client.map_err(BenchError::waypost("opening a socket"))?;
    client
        .index()
        .connection()
        .await
        .map_err(BenchError::waypost(format!("registering peer {name}")))?;
    Ok(client)
}
