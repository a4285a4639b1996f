//! The driver, the same for everybody: lanes that each start their next operation when the last one
//! is answered.

use std::pin::Pin;
use std::time::Duration;

use tokio::task::JoinSet;
use waypost::bench::{Sample, histogram};
use waypost::clock;
use waypost::types::MonoNs;

use crate::wire::Result;

/// What an operation did.
#[derive(Debug, Clone, Copy)]
pub struct Did {
    /// How many messages or answers.
    pub ops: u64,
    /// Payload.
    pub bytes: u64,
}

/// Operations one after the other.
pub trait Lane: Send + 'static {
    /// Does it once.
    fn once(&mut self) -> impl Future<Output = Result<Did>> + Send;
}

/// A run in progress.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Sample>> + 'a>>;

/// Lanes side by side, whatever they do.
pub trait Generator {
    /// Runs for so long; operations begun before are finished. The sample lacks CPU time.
    fn run(&mut self, length: Duration) -> Running<'_>;
}

/// Lanes of one kind.
pub struct Lanes<L>(Vec<L>);

impl<L: Lane> Lanes<L> {
    /// Any generator.
    pub fn boxed(lanes: impl IntoIterator<Item = L>) -> Box<dyn Generator> {
        Box::new(Lanes(lanes.into_iter().collect()))
    }
}

impl<L: Lane> Generator for Lanes<L> {
    fn run(&mut self, length: Duration) -> Running<'_> {
        Box::pin(async move {
            let began = clock::mono_now();
            let mut running = JoinSet::new();
            for lane in self.0.drain(..) {
                running.spawn(drive(lane, began, length));
            }
            let mut all = vec![];
            while let Some(joined) = running.join_next().await {
                let (lane, sample) = joined??;
                self.0.push(lane);
                all.push(sample);
            }
            Sample::merged(all).ok_or_else(|| "no lanes".into())
        })
    }
}

async fn drive<L: Lane>(mut lane: L, began: MonoNs, length: Duration) -> Result<(L, Sample)> {
    let mut sample = Sample {
        ops: 0,
        bytes: 0,
        elapsed: Duration::ZERO,
        times: histogram(),
        cpu: Duration::ZERO,
    };
    while sample.elapsed < length {
        let did = lane.once().await?;
        let elapsed = clock::mono_now().since(began);
        let time = (elapsed - sample.elapsed).as_nanos() as u64;
        sample.times.record(time.max(1))?;
        sample.elapsed = elapsed;
        sample.ops += did.ops;
        sample.bytes += did.bytes;
    }
    Ok((lane, sample))
}
