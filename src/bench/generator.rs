//! What a load generator is once it has connected: something that runs as often as it is told to.

use std::pin::Pin;

use super::error::BenchError;
use super::lanes::{self, Lane, Until};
use super::measure::Sample;

/// A run in progress.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Sample, BenchError>> + Send + 'a>>;

/// A load generator that has connected.
pub trait Generator: Send {
    /// Runs once. The sample lacks CPU time, which the asking side knows.
    fn run(&mut self) -> Running<'_>;
}

/// Closed-loop lanes.
pub struct Lanes<L> {
    lanes: Vec<L>,
    until: Until,
}

impl<L: Lane> Lanes<L> {
    /// Lanes that each run until `until`.
    pub fn boxed(lanes: Vec<L>, until: Until) -> Box<dyn Generator> {
        Box::new(Lanes { lanes, until })
    }
}

impl<L: Lane> Generator for Lanes<L> {
    fn run(&mut self) -> Running<'_> {
        Box::pin(async {
            let lanes = std::mem::take(&mut self.lanes);
            let (lanes, sample) = lanes::run(lanes, self.until).await?;
            self.lanes = lanes;
            Ok(sample)
        })
    }
}
