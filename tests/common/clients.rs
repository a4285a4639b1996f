//! Clients under keys of their own, and what they read.

use waypost::client::{Client, ClientOptions, IndexAddress, PullOptions, ReadFrom};
use waypost::transport::{Identity, KnownIndex};
use waypost::types::TopicName;

use crate::common::{Deployment, PATIENCE};

/// A client that waits long for whoever is away.
pub fn client(deployment: &Deployment, name: &str) -> Client {
    let certs = deployment.path().join("certs");
    let (identity, _) = Identity::load_or_create(&certs, name).unwrap();
    let index: IndexAddress = format!("127.0.0.1:{}", deployment.port).parse().unwrap();
    let mut options = ClientOptions::new(identity, name.parse().unwrap(), index);
    options.known_index = Some(KnownIndex::new(&certs));
    options.host_patience = PATIENCE;
    options.index_patience = PATIENCE;
    Client::new(options).unwrap()
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// All that is in a topic.
pub async fn read_all(client: &Client, topic: &TopicName) -> Vec<(u64, Vec<u8>)> {
    let mut read = vec![];
    let mut options = PullOptions {
        from: ReadFrom::Start,
        ..PullOptions::default()
    };
    loop {
        let pulled = client.pull(topic, &options).await.unwrap();
        if pulled.delivery.is_empty() {
            return read;
        }
        for message in pulled.delivery.messages() {
            let message = message.unwrap();
            read.push((message.offset.0, message.body.to_vec()));
        }
        options.from = ReadFrom::Offset(pulled.delivery.next);
    }
}
