//! A deployment for measuring: an index and peers as processes of their own, in a temporary folder
//! on free ports, all gone at the end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::error::BenchError;
use super::process::Process;
use super::work::Target;
use crate::client::{Client, ClientOptions};
use crate::clock;
use crate::peer::journal_dir;
use crate::scratch::Scratch;
use crate::transport::Identity;
use crate::types::{Incarnation, IndexAddress, MonoNs, PeerName};
use crate::wire::index::PeerInfo;

/// How long a deployment may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked whether it has.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// A running deployment: one of our own, or somebody else's, of which only the index is known.
pub struct Fleet {
    // Dropped in this order: no process may write into the folder when it goes.
    hosts: Vec<Host>,
    index: Option<Process>,
    /// A client of it, under a name of its own.
    pub client: Client,
    /// The folder of load generators and baselines, and of a deployment of our own.
    pub scratch: Scratch,
    address: String,
}

struct Host {
    name: PeerName,
    process: Process,
    /// Its incarnation must be above this one.
    before: Incarnation,
}

impl Fleet {
    /// Starts an index and so many peers, with `node` in their config, below `parent`.
    pub async fn start(
        parent: Option<&Path>,
        peers: usize,
        node: &Value,
    ) -> Result<Fleet, BenchError> {
        let scratch = scratch(parent)?;
        configure(&scratch, node)?;
        let index = Process::start(&scratch, "index", &["index"])?;
        let address = format!("127.0.0.1:{}", scratch.port);
        let mut fleet = Fleet {
            hosts: vec![],
            index: Some(index),
            client: own_client(&address)?,
            scratch,
            address,
        };
        fleet.connect().await?;
        for number in 1..=peers {
            fleet.start_host(peer_name(&format!("h{number}"))?, 0)?;
        }
        fleet.wait_for_hosts().await?;
        Ok(fleet)
    }

    /// Joins the running deployment whose index is at `address`.
    pub async fn join(parent: Option<&Path>, address: &str) -> Result<Fleet, BenchError> {
        let mut fleet = Fleet {
            hosts: vec![],
            index: None,
            client: own_client(address)?,
            scratch: scratch(parent)?,
            address: address.to_owned(),
        };
        fleet.connect().await?;
        Ok(fleet)
    }

    /// Whether its processes are ours.
    pub fn is_own(&self) -> bool {
        self.index.is_some()
    }

    /// A load generator's way to it: `count` peers, with names that nobody has.
    pub fn target(&self, count: usize) -> Result<Target, BenchError> {
        let run: u32 = rand::random();
        let name = |number| peer_name(&format!("bench-{run:08x}-{number}"));
        Ok(Target {
            index: self.address.clone(),
            names: (0..count).map(name).collect::<Result<_, _>>()?,
        })
    }

    /// The names of our hosting peers.
    pub fn hosts(&self) -> Vec<PeerName> {
        self.hosts.iter().map(|host| host.name.clone()).collect()
    }

    /// Where the first of our peers keeps its journal.
    pub fn host_folder(&self) -> PathBuf {
        let name = self.hosts.first().map_or("", |host| host.name.as_str());
        let peers = self.scratch.path().join("data/peers");
        journal_dir(&peers.join(name))
    }

    /// Fails unless so many peers that host topics are live: copies of one topic lie at different ones.
    pub async fn needs_hosts(&self, least: usize) -> Result<(), BenchError> {
        let known = self.known().await?;
        let hosts = |peer: &&PeerInfo| peer.live && peer.incarnation > 0;
        let live = known.iter().filter(hosts).count();
        if live >= least {
            return Ok(());
        }
        Err(BenchError::Usage(format!(
            "{least} copies of a topic need as many live peers, and the deployment has {live}; \
             start more (`waypost peer --id NAME`), or measure fewer: --replicas {}",
            live.max(1)
        )))
    }

    /// The process of the index, if it is ours.
    pub fn index_pid(&self) -> Option<u32> {
        self.index.as_ref().and_then(Process::pid)
    }

    /// The processes of our peers.
    pub fn host_pids(&self) -> Vec<u32> {
        let hosts = self.hosts.iter();
        hosts.filter_map(|host| host.process.pid()).collect()
    }

    /// All processes that are ours.
    pub fn pids(&self) -> Vec<u32> {
        let index = self.index_pid().into_iter();
        index.chain(self.host_pids()).collect()
    }

    /// Kills one of our peers without warning; [`Fleet::start_again`] starts it again.
    pub async fn kill_host(&mut self, name: &PeerName) -> Result<Killed, BenchError> {
        let known = self.known().await?;
        let at = self.hosts.iter().position(|host| host.name == *name);
        let at = at.ok_or_else(|| BenchError::Usage(format!("{name} is no peer of the bench")))?;
        let host = self.hosts.swap_remove(at);
        let began = clock::mono_now();
        host.process.kill().await?;
        Ok(Killed {
            incarnation: incarnation(&known, name),
            name: host.name,
            began,
        })
    }

    /// Starts a killed peer again and waits until it is live.
    pub async fn start_again(&mut self, killed: Killed) -> Result<(), BenchError> {
        self.start_host(killed.name, killed.incarnation)?;
        self.wait_for_hosts().await
    }

    /// Kills the index without warning and starts it again, without waiting for it.
    pub async fn restart_index(&mut self) -> Result<(), BenchError> {
        if let Some(index) = self.index.take() {
            index.kill().await?;
            self.index = Some(Process::start(&self.scratch, "index", &["index"])?);
        }
        Ok(())
    }

    /// Kills our peers without warning and starts them again: what they had in memory is gone.
    pub async fn restart_hosts(&mut self) -> Result<(), BenchError> {
        let known = self.known().await?;
        for host in std::mem::take(&mut self.hosts) {
            let before = incarnation(&known, &host.name);
            host.process.kill().await?;
            self.start_host(host.name, before)?;
        }
        self.wait_for_hosts().await
    }

    /// Changes the config of our peers; [`Fleet::restart_hosts`] makes it hold.
    pub fn configure_hosts(&self, node: &Value) -> Result<(), BenchError> {
        configure(&self.scratch, node)
    }

    fn start_host(&mut self, name: PeerName, before: Incarnation) -> Result<(), BenchError> {
        let args = ["peer", "--id", name.as_str()];
        let process = Process::start(&self.scratch, &format!("peer {name}"), &args)?;
        self.hosts.push(Host {
            name,
            process,
            before,
        });
        Ok(())
    }

    /// Waits for the index and takes its key.
    async fn connect(&mut self) -> Result<(), BenchError> {
        let began = clock::mono_now();
        loop {
            let error = match self.client.index().connection().await {
                Ok(connection) if self.is_own() => {
                    self.address = format!("{}#{}", self.address, connection.peer());
                    return Ok(());
                }
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if let Some(index) = &mut self.index {
                index.check()?;
            }
            if !self.is_own() || clock::mono_now().since(began) > PATIENCE {
                return Err(BenchError::waypost("reaching the index")(error));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn known(&self) -> Result<Vec<PeerInfo>, BenchError> {
        let known = self.client.peers().await;
        known.map_err(BenchError::waypost("asking for the peers"))
    }

    async fn wait_for_hosts(&mut self) -> Result<(), BenchError> {
        let began = clock::mono_now();
        loop {
            let known = self.known().await?;
            if self.hosts.iter().all(|host| host.is_live(&known)) {
                return Ok(());
            }
            for host in &mut self.hosts {
                host.process.check()?;
            }
            if clock::mono_now().since(began) > PATIENCE {
                return Err(BenchError::TimedOut {
                    what: format!("{} peers to be live", self.hosts.len()),
                    seconds: PATIENCE.as_secs(),
                });
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

/// A peer that was killed.
pub struct Killed {
    name: PeerName,
    incarnation: Incarnation,
    /// When the signal was sent.
    pub began: MonoNs,
}

fn incarnation(known: &[PeerInfo], name: &PeerName) -> Incarnation {
    let peer = known.iter().find(|peer| peer.name == *name);
    peer.map_or(0, |peer| peer.incarnation)
}

impl Host {
    fn is_live(&self, known: &[PeerInfo]) -> bool {
        let mut known = known.iter();
        known.any(|peer| peer.name == self.name && peer.live && peer.incarnation > self.before)
    }
}

fn configure(scratch: &Scratch, node: &Value) -> Result<(), BenchError> {
    let configured = scratch.configure(node);
    configured.map_err(BenchError::io("configuring a temporary deployment"))
}

fn scratch(parent: Option<&Path>) -> Result<Scratch, BenchError> {
    Scratch::new("bench", parent, false).map_err(BenchError::io("making a temporary folder"))
}

fn own_client(address: &str) -> Result<Client, BenchError> {
    let index: IndexAddress = address
        .parse()
        .map_err(|error| BenchError::Usage(format!("{address}: {error}")))?;
    let name = peer_name(&format!("bench-{:08x}", rand::random::<u32>()))?;
    let options = ClientOptions::new(Identity::ephemeral(), name, index);
    Client::new(options).map_err(BenchError::waypost("opening a socket"))
}

fn peer_name(text: &str) -> Result<PeerName, BenchError> {
    PeerName::new(text).map_err(|error| BenchError::Usage(error.to_string()))
}
