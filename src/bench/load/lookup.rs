//! Evaluation 2: lookups, one name or many at a time, alone or followed by an empty pull.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::Peers;
use crate::bench::error::BenchError;
use crate::bench::lanes::{Did, Lane};
use crate::bench::work::Topics;
use crate::client::{Client, PullOptions, ReadFrom};
use crate::types::{Offset, TopicName};
use crate::wire::frame;
use crate::wire::index::{Lookup, LookupMany, Route};

/// Asks for topics at random.
pub struct LookupLane {
    client: Client,
    topics: Topics,
    names: usize,
    then_pull: bool,
    random: SmallRng,
}

impl LookupLane {
    /// `in_flight` lanes for each peer.
    pub fn all(
        peers: &Peers,
        topics: &Topics,
        in_flight: usize,
        names: usize,
        then_pull: bool,
    ) -> Vec<LookupLane> {
        let lanes = peers.clients.iter().flat_map(|client| {
            std::iter::repeat_with(|| LookupLane {
                client: client.clone(),
                topics: topics.clone(),
                names,
                then_pull,
                random: SmallRng::seed_from_u64(rand::random()),
            })
            .take(in_flight)
        });
        lanes.collect()
    }

    /// Bytes of a request and of its reply, frames included.
    pub async fn sizes(&mut self) -> Result<(usize, usize), BenchError> {
        let sizes = if self.names == 1 {
            let name = self.name()?;
            let reply = self.one(&name).await?;
            (encoded(&Lookup { name }), encoded(&reply))
        } else {
            let request = LookupMany {
                names: self.many()?,
            };
            let doing = "looking up topics";
            let reply = self.client.index().call(doing, &request, true).await;
            let reply = reply.map_err(BenchError::waypost(doing))?;
            (encoded(&request), encoded(&reply))
        };
        Ok(sizes)
    }

    fn name(&mut self) -> Result<TopicName, BenchError> {
        self.topics
            .name(self.random.random_range(0..self.topics.count))
    }

    fn many(&mut self) -> Result<Vec<TopicName>, BenchError> {
        (0..self.names).map(|_| self.name()).collect()
    }

    async fn one(&self, name: &TopicName) -> Result<Route, BenchError> {
        let route = self.client.lookup(name).await;
        route.map_err(BenchError::waypost("looking up a topic"))
    }

    async fn batch(&mut self) -> Result<(), BenchError> {
        let names = self.many()?;
        let doing = "looking up topics";
        let routes = self.client.routes(names).await;
        let routes = routes.map_err(BenchError::waypost(doing))?;
        let found = routes.iter().flatten().count();
        check("topics found", self.names, found)
    }

    /// What the earlier system called a query: a lookup and a pull that finds nothing new.
    async fn query(&mut self, name: &TopicName) -> Result<(), BenchError> {
        let doing = "looking up a topic";
        let route = self.client.route(name, true).await;
        route.map_err(BenchError::waypost(doing))?;
        let options = PullOptions {
            from: ReadFrom::Offset(Offset(1)),
            ..PullOptions::default()
        };
        let pulled = self.client.pull(name, &options).await;
        let pulled = pulled.map_err(BenchError::waypost("pulling from an empty topic"))?;
        check(
            "messages in an empty topic",
            0,
            pulled.delivery.messages().count(),
        )
    }
}

impl Lane for LookupLane {
    async fn once(&mut self, _: u64) -> Result<Did, BenchError> {
        if self.names != 1 {
            self.batch().await?;
        } else {
            let name = self.name()?;
            match self.then_pull {
                true => self.query(&name).await?,
                false => drop(self.one(&name).await?),
            }
        }
        Ok(Did {
            ops: self.names.max(1) as u64,
            bytes: 0,
        })
    }
}

fn encoded<M: crate::wire::Message>(message: &M) -> usize {
    frame::encode(message).len()
}

/// An error if what came is not what was asked for.
pub fn check<T: PartialEq + ToString>(
    what: &'static str,
    expected: T,
    found: T,
) -> Result<(), BenchError> {
    if expected == found {
        return Ok(());
    }
    Err(BenchError::Wrong {
        what,
        expected: expected.to_string(),
        found: found.to_string(),
    })
}
