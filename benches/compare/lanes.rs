//! The driver, the same for everybody: lanes that each start their next operation when the last one
//! is answered.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
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
            if self.0.is_empty() {
                return Err("no lanes".into());
            }
            let began = clock::mono_now();
            // One for all: one for each lane would be more than a cache holds.
            let sum = Arc::new(Mutex::new(empty()));
            let mut running = JoinSet::new();
            for lane in self.0.drain(..) {
                running.spawn(drive(lane, began, length, Arc::clone(&sum)));
            }
            while let Some(joined) = running.join_next().await {
                self.0.push(joined??);
            }
            let sum = std::mem::replace(&mut *sum.lock(), empty());
            Ok(sum)
        })
    }
}

fn empty() -> Sample {
    Sample {
        ops: 0,
        bytes: 0,
        elapsed: Duration::ZERO,
        times: histogram(),
        cpu: Duration::ZERO,
    }
}

async fn drive<L: Lane>(
    mut lane: L,
    began: MonoNs,
    length: Duration,
    sum: Arc<Mutex<Sample>>,
) -> Result<L> {
    let mut before = Duration::ZERO;
    while before < length {
        let did = lane.once().await?;
        let elapsed = clock::mono_now().since(began);
        let time = (elapsed - before).as_nanos() as u64;
        before = elapsed;
        let mut sum = sum.lock();
        sum.times.record(time.max(1))?;
        sum.elapsed = sum.elapsed.max(elapsed);
        sum.ops += did.ops;
        sum.bytes += did.bytes;
    }
    Ok(lane)
}
