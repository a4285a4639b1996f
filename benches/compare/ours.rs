//! Waypost: an index and a peer as processes of the built program, driven through the public client.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use waypost::client::{Client, ClientOptions, Message, Publisher, PublisherOptions};
use waypost::client::{PullOptions, ReadFrom};
use waypost::transport::Identity;
use waypost::types::{IndexAddress, PeerName, TopicName, TopicSettings};
use waypost::wire::index::NewTopic;

use crate::contest::Contender;
use crate::lanes::{Did, Generator, Lane, Lanes};
use crate::server::{Place, Server};
use crate::wire::Result;
use crate::work::{TOPICS, Work};

const HOST: &str = "h1";

/// A running deployment.
pub struct Ours {
    index: Server,
    host: Server,
    address: String,
}

impl Ours {
    /// Starts it.
    pub async fn start(place: &Place) -> Result<Ours> {
        let folder = place.folder("waypost")?;
        // Bound at once, so that they differ.
        let ports = [
            UdpSocket::bind("127.0.0.1:0")?,
            UdpSocket::bind("127.0.0.1:0")?,
        ];
        let port = |nth: usize| -> Result<u16> { Ok(ports[nth].local_addr()?.port()) };
        let (port, base_port) = (port(0)?, port(1)?.min(65_000));
        drop(ports);
        let config = json!({
            "indexing_server": { "ip": "127.0.0.1", "port": port },
            "peer_node": { "ip": "127.0.0.1", "base_port": base_port },
        });
        fs::write(folder.join("config.json"), config.to_string())?;
        let address = format!("127.0.0.1:{port}");
        let command = |args: &[&str]| command(&folder, args);
        let mut index = Server::start(place, "waypost-index", command(&["index"]))?;
        let client = client(&address)?;
        let dial = async || Ok(client.index().connection().await.map(drop)?);
        index.ready(dial).await?;
        let mut host = Server::start(place, "waypost-peer", command(&["peer", "--id", HOST]))?;
        let see = async || match client.peers().await?.iter().any(|peer| peer.live) {
            true => Ok(()),
            false => Err("it has no session".into()),
        };
        host.ready(see).await?;
        Ok(Ours {
            index,
            host,
            address,
        })
    }

    /// Who does the work.
    pub async fn contender(&self, work: Work) -> Result<Contender> {
        Ok(Contender {
            system: "waypost",
            durable: !matches!(work, Work::Lookup { .. }),
            tls: true,
            version: format!("waypost {}", env!("CARGO_PKG_VERSION")),
            generator: self.generator(work).await?,
            servers: match work {
                Work::Lookup { .. } => vec![self.index.pid()],
                _ => vec![self.host.pid()],
            },
        })
    }

    async fn generator(&self, work: Work) -> Result<Box<dyn Generator>> {
        let client = client(&self.address)?;
        match work {
            Work::Publish { size, in_flight } => {
                let topic = create(&client, 1).await?.remove(0);
                let publisher = client.publisher(PublisherOptions {
                    batch_messages: 1,
                    ..PublisherOptions::default()
                });
                let lane = || Publish {
                    publisher: publisher.clone(),
                    topic: topic.clone(),
                    message: Message::new(vec![b'x'; size]),
                };
                Ok(Lanes::boxed((0..in_flight).map(|_| lane())))
            }
            Work::Lookup { peers, in_flight } => self.lookups(&client, peers, in_flight).await,
            Work::Pull { size, messages } => {
                let topic = create(&client, 1).await?.remove(0);
                fill(&client, &topic, size, messages).await?;
                Ok(Lanes::boxed([Pull {
                    client,
                    topic,
                    size,
                    messages,
                }]))
            }
        }
    }

    async fn lookups(
        &self,
        owner: &Client,
        peers: usize,
        in_flight: usize,
    ) -> Result<Box<dyn Generator>> {
        let topics = create(owner, TOPICS).await?;
        let mut lanes = vec![];
        for _ in 0..peers {
            let client = client(&self.address)?;
            lanes.extend((0..in_flight).map(|lane| Lookup {
                client: client.clone(),
                topics: topics.clone(),
                next: lane,
            }));
        }
        Ok(Lanes::boxed(lanes))
    }
}

/// The built program in the folder, without the caller's settings.
fn command(folder: &PathBuf, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WAYPOST_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).args(args);
    command
}

fn client(address: &str) -> Result<Client> {
    let index: IndexAddress = address.parse()?;
    let name = PeerName::new(&format!("compare-{:08x}", rand::random::<u32>()))?;
    let options = ClientOptions::new(Identity::ephemeral(), name, index);
    Ok(Client::new(options)?)
}

/// Creates topics with names that nobody has.
async fn create(client: &Client, count: usize) -> Result<Vec<TopicName>> {
    let prefix = format!("compare/{:08x}", rand::random::<u32>());
    let name = |number| TopicName::new(&format!("{prefix}/{number:07}"));
    let names: Vec<TopicName> = (0..count)
        .map(name)
        .collect::<std::result::Result<_, _>>()?;
    let new = |name: &TopicName| NewTopic {
        name: name.clone(),
        settings: TopicSettings::default(),
    };
    let host = PeerName::new(HOST)?;
    let topics = names.iter().map(new).collect();
    client.create_topics(topics, Some(&host)).await?;
    Ok(names)
}

async fn fill(client: &Client, topic: &TopicName, size: usize, messages: u64) -> Result<()> {
    let publisher = client.publisher(PublisherOptions::default());
    let message = Message::new(vec![b'x'; size]);
    for _ in 0..messages {
        drop(publisher.send(topic, message.clone()).await?);
    }
    publisher.flush().await?;
    publisher.close().await;
    Ok(())
}

struct Publish {
    publisher: Publisher,
    topic: TopicName,
    message: Message,
}

impl Lane for Publish {
    async fn once(&mut self) -> Result<Did> {
        let message = self.message.clone();
        let bytes = message.body.len() as u64;
        self.publisher.publish(&self.topic, message).await?;
        Ok(Did { ops: 1, bytes })
    }
}

/// Asks for one topic after the other.
struct Lookup {
    client: Client,
    topics: Vec<TopicName>,
    next: usize,
}

impl Lane for Lookup {
    async fn once(&mut self) -> Result<Did> {
        self.next = (self.next + 1) % self.topics.len();
        self.client.lookup(&self.topics[self.next]).await?;
        Ok(Did { ops: 1, bytes: 0 })
    }
}

/// Reads a topic from its start, and every message of it.
struct Pull {
    client: Client,
    topic: TopicName,
    size: usize,
    messages: u64,
}

impl Lane for Pull {
    async fn once(&mut self) -> Result<Did> {
        let mut did = Did { ops: 0, bytes: 0 };
        let options = PullOptions {
            from: ReadFrom::Start,
            max_bytes: u64::MAX,
            max_messages: self.messages,
            ..PullOptions::default()
        };
        let mut stream = self.client.pull_stream(&self.topic, options);
        while let Some(pulled) = stream.next().await? {
            for message in pulled.delivery.messages() {
                did.ops += 1;
                did.bytes += message?.body.len() as u64;
            }
        }
        if (did.ops, did.bytes) != (self.messages, self.messages * self.size as u64) {
            return Err(format!("{} messages of {} bytes came", did.ops, did.bytes).into());
        }
        Ok(did)
    }
}
