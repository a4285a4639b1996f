//! Measuring: one side is Waypost, the other a baseline, and they take turns.

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::BenchError;
use super::measure::{Figures, Measurement, Pair, Sample};
use super::placement;
use super::process::{Remote, cpu_of};
use super::work::{Ready, Work};
use crate::scratch::Scratch;

/// Load generators that run together, and the servers whose CPU time counts.
pub struct Side {
    remotes: Vec<Remote>,
    servers: Vec<u32>,
    /// What the load generators said when they had connected.
    pub ready: Vec<Ready>,
}

impl Side {
    /// Starts a load generator for each work.
    pub async fn start(
        scratch: &Scratch,
        works: &[Work],
        servers: Vec<u32>,
    ) -> Result<Side, BenchError> {
        let mut side = Side {
            remotes: vec![],
            servers,
            ready: vec![],
        };
        for (number, work) in works.iter().enumerate() {
            let name = format!("load generator {number}-{:08x}", rand::random::<u32>());
            let (remote, ready) = Remote::start(scratch, &name, work).await?;
            side.remotes.push(remote);
            side.ready.push(ready);
        }
        Ok(side)
    }

    /// Keeps servers and load generators on processors of their own, see [`placement`].
    pub fn keep_apart(&self) {
        let generators: Vec<u32> = self.remotes.iter().filter_map(Remote::pid).collect();
        placement::keep_apart(&self.servers, &generators);
    }

    /// One run of all load generators: a sample each.
    pub async fn run(&mut self) -> Result<Vec<Sample>, BenchError> {
        let before = self.cpu();
        // Followers, which come first, wait before the publishers begin.
        for remote in &mut self.remotes {
            remote.go().await?;
        }
        let mut samples = vec![];
        for remote in &mut self.remotes {
            samples.push(remote.done().await?.into_sample());
        }
        let used = self.cpu().saturating_sub(before);
        if let Some(first) = samples.first_mut() {
            first.cpu = used;
        }
        Ok(samples)
    }

    /// One run, added up.
    pub async fn sample(&mut self) -> Result<Sample, BenchError> {
        let samples = self.run().await?;
        Sample::merged(samples).ok_or_else(|| BenchError::Usage("nothing runs".to_owned()))
    }

    /// One run, of which only the first load generator's times count; all CPU time does.
    pub async fn first(&mut self) -> Result<Sample, BenchError> {
        let first = self.run().await?.into_iter().next();
        first.ok_or_else(|| BenchError::Usage("nothing runs".to_owned()))
    }

    /// Ends the load generators, which then leave the deployment.
    pub async fn end(self) {
        for remote in self.remotes {
            remote.end().await;
        }
    }

    fn cpu(&self) -> Duration {
        let remotes = self.remotes.iter().filter_map(Remote::pid);
        let all = remotes.chain(self.servers.iter().copied());
        all.map(cpu_of).sum()
    }
}

/// What a job is compared with.
pub enum Baseline {
    /// Nothing.
    None,
    /// One kind of operation.
    Of(Side),
    /// Several, one after the other, on so many lanes: times add up.
    Chain(Vec<Side>, usize),
}

impl Baseline {
    /// As [`Side::keep_apart`].
    pub fn keep_apart(&self) {
        match self {
            Baseline::None => {}
            Baseline::Of(side) => side.keep_apart(),
            Baseline::Chain(sides, _) => sides.iter().for_each(Side::keep_apart),
        }
    }

    /// One run.
    pub async fn figures(&mut self) -> Result<Option<Figures>, BenchError> {
        match self {
            Baseline::None => Ok(None),
            Baseline::Of(side) => Ok(Some(side.sample().await?.figures())),
            Baseline::Chain(sides, lanes) => {
                let mut sum: Option<Figures> = None;
                for side in sides {
                    let next = side.sample().await?.figures();
                    sum = Some(sum.map_or(next, |sum| sum.then(&next)));
                }
                Ok(sum.map(|sum| Figures {
                    ops_per_s: *lanes as f64 * sum.ops_per_s,
                    ..sum
                }))
            }
        }
    }

    /// Ends its load generators.
    pub async fn end(self) {
        match self {
            Baseline::None => {}
            Baseline::Of(side) => side.end().await,
            Baseline::Chain(sides, _) => {
                for side in sides {
                    side.end().await;
                }
            }
        }
    }
}

/// A measurement to be made.
pub struct Trial<'a> {
    /// Which job.
    pub job: &'a str,
    /// What is varied.
    pub params: Map<String, Value>,
    /// How often.
    pub runs: u32,
    /// Whether response times are compared, too.
    pub sequential: bool,
    /// Whether only the first load generator's times count.
    pub first_only: bool,
    /// What the baseline is.
    pub baseline_is: &'a str,
}

impl Trial<'_> {
    /// Runs both sides in turns, after one run each to warm up.
    pub async fn measure(
        self,
        side: &mut Side,
        baseline: &mut Baseline,
    ) -> Result<Measurement, BenchError> {
        self.measure_each(|| Ok(()), side, baseline).await
    }

    /// As [`Trial::measure`], with something to do before each run.
    pub async fn measure_each(
        self,
        before: impl Fn() -> Result<(), BenchError>,
        side: &mut Side,
        baseline: &mut Baseline,
    ) -> Result<Measurement, BenchError> {
        let mut pairs: Vec<Pair> = vec![];
        for run in 0..=self.runs {
            before()?;
            let found = match self.first_only {
                true => side.first().await?,
                false => side.sample().await?,
            };
            let figures = found.figures();
            let base = baseline.figures().await?;
            let pair = (figures, base.map(|base| base.with_payload_of(&figures)));
            if run > 0 {
                pairs.push(pair);
            }
        }
        let mut found = Measurement::of(self.job, self.params, &pairs, self.sequential);
        found.baseline_is = self.baseline_is.to_owned();
        Ok(found)
    }
}
