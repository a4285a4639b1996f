//! One invocation: the jobs in order, what they found, and a deployment that they share.

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::error::BenchError;
use super::fleet::Fleet;
use super::lanes::Until;
use super::measure::Measurement;
use super::options::Options;
use super::process::Remote;
use super::side::{Baseline, Side};
use super::topics;
use super::work::{RawServer, RawShape, Topics, Work};
use crate::client::Client;

/// What is told while measuring goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// What is being done.
    Doing(&'a str),
    /// A measurement is there.
    Found(&'a Measurement),
}

/// Who is told.
pub type Tell<'a> = dyn Fn(Event<'_>) + 'a;

/// The invocation as the jobs see it.
pub struct Bench<'a> {
    /// What was asked for.
    pub options: &'a Options,
    tell: &'a Tell<'a>,
    found: Vec<Measurement>,
    /// Clients of running deployments, in which nothing of ours may stay.
    guests: Mutex<Vec<Client>>,
}

impl<'a> Bench<'a> {
    /// Nothing found yet.
    pub fn new(options: &'a Options, tell: &'a Tell<'a>) -> Bench<'a> {
        Bench {
            options,
            tell,
            found: vec![],
            guests: Mutex::default(),
        }
    }

    /// Says what is being done.
    pub fn doing(&self, what: &str) {
        (self.tell)(Event::Doing(what));
    }

    /// Takes a measurement.
    pub fn found(&mut self, measurement: Measurement) {
        (self.tell)(Event::Found(&measurement));
        self.found.push(measurement);
    }

    /// Everything that was found.
    pub fn into_found(self) -> Vec<Measurement> {
        self.found
    }

    /// A deployment of our own with so many hosts, or the running one.
    pub async fn fleet(&self, hosts: usize, segment_bytes: u64) -> Result<Fleet, BenchError> {
        self.fleet_with(hosts, json!({ "segment_bytes": segment_bytes }))
            .await
    }

    /// As [`Bench::fleet`], with what else the config of our own peers is to say.
    pub async fn fleet_with(&self, hosts: usize, node: Value) -> Result<Fleet, BenchError> {
        let folder = self.options.folder.as_deref();
        match &self.options.running {
            Some(address) => {
                let fleet = Fleet::join(folder, address).await?;
                self.guests.lock().push(fleet.client.clone());
                Ok(fleet)
            }
            None => {
                self.doing(&format!("starting an index and {hosts} peers"));
                Fleet::start(folder, hosts, &node).await
            }
        }
    }

    /// Removes what is ours from running deployments: topics and names. Own ones are gone with
    /// their processes.
    pub async fn clean_up(&self) -> Result<(), BenchError> {
        let guests = std::mem::take(&mut *self.guests.lock());
        for client in guests {
            self.doing("deleting what was created");
            topics::delete_own(&client).await?;
            let left = client.deregister(0).await;
            left.map_err(BenchError::waypost("leaving the deployment"))?;
            client.close().await;
        }
        Ok(())
    }
}

/// The server of a fleet's raw baselines.
pub struct Raw {
    remote: Remote,
    server: RawServer,
}

impl Raw {
    /// Starts it.
    pub async fn start(fleet: &Fleet) -> Result<Raw, BenchError> {
        let (remote, ready) = Remote::start(&fleet.scratch, "raw server", &Work::RawServe).await?;
        let server = ready.server;
        let server = server.ok_or_else(|| BenchError::raw("the server has no address"))?;
        Ok(Raw { remote, server })
    }

    /// A load generator of it.
    pub async fn side(&self, fleet: &Fleet, load: &RawLoad) -> Result<Side, BenchError> {
        let work = Work::Raw {
            server: self.server,
            shape: load.shape,
            connections: load.connections,
            in_flight: load.in_flight,
            request: load.sizes.0,
            reply: load.sizes.1,
            ops: load.ops,
            until: load.until,
        };
        let server = self.remote.pid().into_iter().collect();
        Side::start(&fleet.scratch, &[work], server).await
    }

    /// A load generator of handshakes.
    pub async fn handshakes(
        &self,
        fleet: &Fleet,
        side_by_side: usize,
        until: Until,
    ) -> Result<Side, BenchError> {
        let work = Work::RawHandshake {
            server: self.server,
            side_by_side,
            until,
        };
        let server = self.remote.pid().into_iter().collect();
        Side::start(&fleet.scratch, &[work], server).await
    }

    /// Ends it.
    pub async fn end(self) {
        self.remote.end().await;
    }
}

/// What a raw load generator does; see [`Work::Raw`].
pub struct RawLoad {
    /// How.
    pub shape: RawShape,
    /// Connections.
    pub connections: usize,
    /// Lanes per connection.
    pub in_flight: usize,
    /// Bytes out and back.
    pub sizes: (usize, usize),
    /// What an operation counts for.
    pub ops: u64,
    /// When a run is over.
    pub until: Until,
}

impl RawLoad {
    /// Round trips, one at a time.
    pub fn round_trip(sizes: (usize, usize), until: Until) -> RawLoad {
        RawLoad {
            shape: RawShape::Echo,
            connections: 1,
            in_flight: 1,
            sizes,
            ops: 1,
            until,
        }
    }
}

/// The disk of a fleet, one sync after the other.
pub async fn raw_sync(fleet: &Fleet, bytes: usize, until: Until) -> Result<Side, BenchError> {
    let work = Work::RawSync {
        folder: fleet.scratch.path().to_owned(),
        bytes,
        until,
    };
    Side::start(&fleet.scratch, &[work], vec![]).await
}

/// What stands for raw QUIC where the servers are not ours.
pub async fn own_round_trip(
    fleet: &Fleet,
    peers: usize,
    in_flight: usize,
    until: Until,
) -> Result<(Baseline, &'static str), BenchError> {
    let ping = Work::Lookup {
        target: fleet.target(peers)?,
        topics: Topics {
            prefix: topics::PREFIX.to_owned(),
            count: 1,
        },
        in_flight,
        names: 0,
        then_pull: false,
        until,
    };
    let side = Side::start(&fleet.scratch, &[ping], vec![]).await?;
    let what = "this deployment's own round trip: an empty request to its index";
    Ok((Baseline::Of(side), what))
}

/// Parameters by name, in the order given.
pub fn params<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    let pairs = pairs.into_iter();
    pairs
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
