//! From what is wanted to load generators of the baselines.

use tokio::task::JoinSet;

use super::{BulkLane, EchoLane, Handshakes, RawClient, SyncLane, pipelined};
use crate::bench::error::BenchError;
use crate::bench::generator::{Generator, Lanes, Running};
use crate::bench::lanes::Until;
use crate::bench::measure::Sample;
use crate::bench::work::{RawShape, Work};

/// Connects.
pub async fn prepare(work: Work) -> Result<Box<dyn Generator>, BenchError> {
    match work {
        Work::Raw {
            server,
            shape,
            connections,
            in_flight,
            request,
            reply,
            ops,
            until,
        } => {
            let client = RawClient::new(server)?;
            let mut open = vec![];
            for _ in 0..connections {
                open.push(client.connect().await?);
            }
            let lanes = open.iter().flat_map(|c| std::iter::repeat_n(c, in_flight));
            let lanes = lanes.cloned();
            Ok(match shape {
                RawShape::Echo => {
                    let lane = |connection| EchoLane {
                        connection,
                        request,
                        reply,
                        ops,
                    };
                    Lanes::boxed(lanes.map(lane).collect(), until)
                }
                RawShape::Download | RawShape::Upload => {
                    let lane = |connection| BulkLane {
                        connection,
                        shape,
                        bytes: request.max(reply),
                        ops,
                    };
                    Lanes::boxed(lanes.map(lane).collect(), until)
                }
                RawShape::Pipelined => Box::new(Pipelines {
                    connections: open,
                    in_flight,
                    request,
                    reply,
                    until,
                }),
            })
        }
        Work::RawHandshake {
            server,
            side_by_side,
            until,
        } => {
            let client = RawClient::new(server)?;
            let lanes = (0..side_by_side).map(|_| Handshakes(client.clone()));
            Ok(Lanes::boxed(lanes.collect(), until))
        }
        Work::RawSync {
            folder,
            bytes,
            until,
        } => Ok(Lanes::boxed(vec![SyncLane::new(&folder, bytes)?], until)),
        _ => Err(BenchError::Usage("this is no baseline's work".to_owned())),
    }
}

/// One long stream for each connection.
struct Pipelines {
    connections: Vec<quinn::Connection>,
    in_flight: usize,
    request: usize,
    reply: usize,
    until: Until,
}

impl Generator for Pipelines {
    fn run(&mut self) -> Running<'_> {
        let (in_flight, request, reply) = (self.in_flight, self.request, self.reply);
        let until = self.until;
        let mut running = JoinSet::new();
        for connection in self.connections.clone() {
            running.spawn(
                async move { pipelined(&connection, in_flight, request, reply, until).await },
            );
        }
        Box::pin(async {
            let samples: Result<Vec<_>, _> = running.join_all().await.into_iter().collect();
            Sample::merged(samples?).ok_or_else(|| BenchError::Usage("no connections".to_owned()))
        })
    }
}
