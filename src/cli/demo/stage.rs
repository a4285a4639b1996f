//! The folder, the processes and the clients of a demonstration; all of it gone when dropped.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::actor::{Actor, Log, PATIENCE};
use crate::cli::error::{CliError, Exit};
use crate::client::{Client, ClientOptions, Publisher, PublisherOptions};
use crate::scratch::Scratch;
use crate::transport::{Identity, KnownIndex};
use crate::types::{PeerName, TopicName};

/// The index's name in logs.
pub(super) const INDEX: &str = "index";

/// A peer's name of the demonstration.
pub(super) fn peer_name(number: usize) -> Result<PeerName, CliError> {
    Ok(PeerName::new(&number.to_string())?)
}

/// A topic's name of the demonstration.
pub(super) fn topic_name(name: &str) -> Result<TopicName, CliError> {
    Ok(TopicName::new(name)?)
}

/// A peer's name in logs.
pub(super) fn log_name(peer: &PeerName) -> String {
    format!("peer {peer}")
}

/// Everything that a demonstration has.
pub(super) struct Stage {
    // Dropped in this order: no process may write into the folder when it goes.
    actors: BTreeMap<String, Actor>,
    clients: BTreeMap<PeerName, (Client, Publisher)>,
    scratch: Scratch,
    /// What the processes print.
    pub(super) log: Arc<Log>,
}

impl Stage {
    /// A new folder with a config; nothing runs yet.
    pub(super) fn new(keep: bool) -> Result<Stage, CliError> {
        let failed = |what: &'static str| {
            move |error: std::io::Error| {
                CliError::new("demo", Exit::Other, what).detail("cause", error)
            }
        };
        let scratch = Scratch::new("demo", None, keep)
            .map_err(failed("cannot make a temporary folder with free ports"))?;
        // The smallest segments: room for a few messages is prepared and searched faster.
        let node = serde_json::json!({ "segment_bytes": 1 << 20 });
        let configured = scratch.configure(&node);
        configured.map_err(failed("cannot write a config"))?;
        Ok(Stage {
            actors: BTreeMap::new(),
            clients: BTreeMap::new(),
            scratch,
            log: Arc::default(),
        })
    }

    /// Where everything lies.
    pub(super) fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// The folder, if it stays.
    pub(super) fn kept(&self) -> Option<PathBuf> {
        self.scratch.kept()
    }

    /// Writes what all processes printed into the folder, if that stays.
    pub(super) fn keep_log(&self) -> Result<(), CliError> {
        if self.scratch.kept().is_none() {
            return Ok(());
        }
        let lines = self.log.lines().into_iter();
        let text: String = lines
            .map(|line| format!("{:<7} | {}\n", line.source, line.text))
            .collect();
        fs::write(self.path().join("demo.log"), text).map_err(|error| {
            CliError::new("demo", Exit::Other, "cannot write demo.log").detail("cause", error)
        })
    }

    /// Where the index is.
    pub(super) fn index_address(&self) -> String {
        format!("127.0.0.1:{}", self.scratch.port)
    }

    /// Starts the index; returns once it serves.
    pub(super) async fn start_index(&mut self) -> Result<(), CliError> {
        self.start(INDEX, &["index"], "Indexing server starting on")
            .await
    }

    /// Starts a peer; returns once its session with the index is open.
    pub(super) async fn start_peer(&mut self, name: &PeerName) -> Result<(), CliError> {
        let args = ["peer", "--id", name.as_str()];
        self.start(&log_name(name), &args, "session with the index")
            .await
    }

    async fn start(&mut self, name: &str, args: &[&str], ready: &str) -> Result<(), CliError> {
        let before = self.log.len();
        let mut actor = Actor::start(name, self.scratch.command(args), &self.log)?;
        tokio::select! {
            biased;
            ready = self.log.wait_for(name, ready, before) => ready?,
            () = actor.is_over() => {
                let message = format!("{name} ended as soon as it was started");
                let error = CliError::new("demo", Exit::Other, message);
                return Err(error.detail("found", self.log.last_of(name)));
            }
        }
        self.actors.insert(name.to_owned(), actor);
        Ok(())
    }

    /// Takes a process off the stage, to end it.
    pub(super) fn take(&mut self, name: &str) -> Result<Actor, CliError> {
        let actor = self.actors.remove(name);
        actor.ok_or_else(|| CliError::new("internal", Exit::Other, format!("{name} does not run")))
    }

    /// A client under the key of a peer, as any command on that machine is one.
    pub(super) fn client(&mut self, name: &PeerName) -> Result<Client, CliError> {
        Ok(self.both(name)?.0)
    }

    /// That client's publisher.
    pub(super) fn publisher(&mut self, name: &PeerName) -> Result<Publisher, CliError> {
        Ok(self.both(name)?.1)
    }

    fn both(&mut self, name: &PeerName) -> Result<(Client, Publisher), CliError> {
        if let Some(both) = self.clients.get(name) {
            return Ok(both.clone());
        }
        let certs = self.path().join("certs");
        let identity = Identity::load(&certs, name.as_str())?;
        let index = self.index_address().parse().map_err(|_| {
            CliError::new(
                "internal",
                Exit::Other,
                "the index's address does not parse",
            )
        })?;
        let mut options = ClientOptions::new(identity, name.clone(), index);
        options.known_index = Some(KnownIndex::new(&certs));
        options.index_patience = PATIENCE;
        options.host_patience = PATIENCE;
        let client = Client::new(options)?;
        let publisher = client.publisher(PublisherOptions {
            delivery_timeout: PATIENCE,
            hold: false,
            ..PublisherOptions::default()
        });
        let both = (client, publisher);
        self.clients.insert(name.clone(), both.clone());
        Ok(both)
    }

    /// Closes a peer's client.
    pub(super) async fn close_client(&mut self, name: &PeerName) {
        if let Some((client, publisher)) = self.clients.remove(name) {
            publisher.close().await;
            client.close().await;
        }
    }
}
