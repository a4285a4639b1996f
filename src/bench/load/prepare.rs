//! From what is wanted to load generators that are peers.

use super::Peers;
use super::follow::Following;
use super::lookup::LookupLane;
use super::paced::Pacing;
use super::publish::{self, PublishLane, Streaming};
use super::pull::PullLane;
use super::scale::{CreateLane, RegisterLane, RetrieveLane};
use crate::bench::error::BenchError;
use crate::bench::generator::{Generator, Lanes};
use crate::bench::lanes::Until;
use crate::bench::work::{Ready, Work};

/// Makes the load generator; `peers` are registered.
pub async fn prepare(work: Work, peers: &Peers) -> Result<(Ready, Box<dyn Generator>), BenchError> {
    let mut ready = Ready::default();
    let generator: Box<dyn Generator> = match work {
        Work::Lookup {
            topics,
            in_flight,
            names,
            then_pull,
            until,
            ..
        } => {
            let mut lanes = LookupLane::all(peers, &topics, in_flight, names, then_pull);
            if let Some(lane) = lanes.first_mut() {
                ready.sizes = Some(lane.sizes().await?);
            }
            Lanes::boxed(lanes, until)
        }
        Work::Publish {
            topics,
            size,
            in_flight,
            batched,
            until,
            ..
        } => {
            let topics = publish::names(&topics)?;
            let publishers = publish::publishers(peers, in_flight, batched);
            match batched {
                true => Box::new(Streaming {
                    publishers,
                    topics,
                    size,
                    until,
                }),
                false => {
                    let lanes = PublishLane::all(&publishers, &topics, in_flight, size);
                    Lanes::boxed(lanes, until)
                }
            }
        }
        Work::Pull {
            topics,
            size,
            messages,
            until,
            ..
        } => Lanes::boxed(PullLane::all(peers, &topics, size, messages), until),
        Work::Follow {
            topic,
            messages,
            stalled,
            ..
        } => Box::new(Following::join(peers, &topic, messages, stalled).await?),
        Work::Paced {
            topic,
            size,
            rate,
            messages,
            ..
        } => Box::new(Pacing {
            publishers: publish::publishers(peers, 1, true),
            topic,
            size,
            rate,
            messages,
        }),
        // A name can be registered once: a second run finds its peers registered.
        Work::Register { target } => Lanes::boxed(RegisterLane::all(&target), Until::Each(1)),
        Work::Create {
            prefix,
            hosts,
            until,
            ..
        } => Lanes::boxed(CreateLane::all(peers, &prefix, &hosts), until),
        Work::Retrieve {
            topics,
            size,
            publish,
            until,
            ..
        } => Lanes::boxed(RetrieveLane::all(peers, &topics, size, publish)?, until),
        _ => return Err(BenchError::Usage("this is no peer's work".to_owned())),
    };
    Ok((ready, generator))
}
