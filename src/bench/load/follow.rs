//! Followers that tell how old messages were when they saw them.

use std::time::Duration;

use tokio::task::JoinSet;

use super::Peers;
use super::paced;
use crate::bench::error::BenchError;
use crate::bench::generator::{Generator, Running};
use crate::bench::lanes::nanos;
use crate::bench::measure::{Sample, histogram, note};
use crate::client::{FollowEvent, FollowOptions, Follower, ReadFrom};
use crate::clock;
use crate::types::TopicName;

/// Followers of one topic that have joined.
pub struct Following {
    followers: Vec<Follower>,
    messages: u64,
    stalled: bool,
}

impl Following {
    /// Joins at the end of the topic, once for each peer. In a run each sees so many messages; a
    /// stalled one takes nothing, and its runs are over at once.
    pub async fn join(
        peers: &Peers,
        topic: &TopicName,
        messages: u64,
        stalled: bool,
    ) -> Result<Self, BenchError> {
        let mut followers = vec![];
        for client in &peers.clients {
            let options = FollowOptions {
                from: ReadFrom::End,
                ..FollowOptions::default()
            };
            let mut follower = client.follow(vec![topic.clone()], options);
            joined(&mut follower).await?;
            followers.push(follower);
        }
        Ok(Following {
            followers,
            messages,
            stalled,
        })
    }

    async fn see(&mut self) -> Result<Sample, BenchError> {
        let began = clock::mono_now();
        let messages = if self.stalled { 0 } else { self.messages };
        let mut running = JoinSet::new();
        for follower in self.followers.drain(..) {
            running.spawn(see(follower, messages));
        }
        let mut samples = vec![];
        for seen in running.join_all().await {
            let (follower, sample) = seen?;
            self.followers.push(follower);
            samples.push(sample);
        }
        let mut sample =
            Sample::merged(samples).ok_or_else(|| BenchError::Usage("no followers".to_owned()))?;
        sample.elapsed = clock::mono_now().since(began);
        Ok(sample)
    }
}

impl Generator for Following {
    fn run(&mut self) -> Running<'_> {
        Box::pin(self.see())
    }
}

async fn joined(follower: &mut Follower) -> Result<(), BenchError> {
    let doing = "following a topic";
    while let Some(event) = follower.next().await.map_err(BenchError::waypost(doing))? {
        if matches!(event, FollowEvent::Joined { .. }) {
            return Ok(());
        }
    }
    Err(BenchError::Usage("the follower ended".to_owned()))
}

async fn see(mut follower: Follower, messages: u64) -> Result<(Follower, Sample), BenchError> {
    let doing = "following a topic";
    let mut times = histogram();
    let mut bytes = 0;
    while times.len() < messages {
        let event = follower.next().await.map_err(BenchError::waypost(doing))?;
        let Some(FollowEvent::Messages(delivery)) = event else {
            continue;
        };
        let now = clock::mono_now();
        for message in delivery.messages() {
            let message = message.map_err(BenchError::raw)?;
            bytes += message.body.len() as u64;
            let due = paced::stamp(&message.body).unwrap_or(now);
            note(&mut times, nanos(now.since(due)), 1);
        }
    }
    let sample = Sample {
        ops: times.len(),
        bytes,
        elapsed: Duration::ZERO,
        times,
        cpu: Duration::ZERO,
    };
    Ok((follower, sample))
}
