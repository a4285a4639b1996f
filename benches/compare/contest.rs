//! Contenders take turns; medians over the rounds, and ratios to Waypost's run of the same round.

use std::time::Duration;

use serde_json::json;
use waypost::bench::{Figures, Measurement, Pair};

use crate::lanes::Generator;
use crate::options::Options;
use crate::server::Place;
use crate::wire::Result;
use crate::work::Work;
use waypost::bench::cpu_of;

/// Somebody who does the work.
pub struct Contender {
    /// `waypost`, `nats` or `redis`.
    pub system: &'static str,
    /// Whether messages are on the disk when they are acknowledged.
    pub durable: bool,
    /// Whether connections are encrypted.
    pub tls: bool,
    /// What it says of its version.
    pub version: String,
    /// Who asks.
    pub generator: Box<dyn Generator>,
    /// Whose CPU time counts besides the load generator's.
    pub servers: Vec<u32>,
}

/// Lets everybody run in turns, after one round to warm up. Waypost comes first.
pub async fn hold(
    place: &Place,
    work: Work,
    mut contenders: Vec<Contender>,
    options: &Options,
) -> Result<Vec<Measurement>> {
    let mut runs: Vec<Vec<Figures>> = vec![vec![]; contenders.len()];
    for round in 0..=options.runs() {
        for (contender, runs) in contenders.iter_mut().zip(&mut runs) {
            place.settle()?;
            let figures = contender.run(options.run_time()).await?;
            if round > 0 {
                runs.push(figures);
            }
        }
    }
    let ours = runs.first().cloned().unwrap_or_default();
    let found = contenders.iter().zip(&runs).enumerate();
    Ok(found
        .map(|(place, (contender, runs))| contender.found(work, runs, (place > 0).then_some(&ours)))
        .collect())
}

impl Contender {
    async fn run(&mut self, length: Duration) -> Result<Figures> {
        let before = self.cpu();
        let mut sample = self.generator.run(length).await?;
        sample.cpu = self.cpu().saturating_sub(before);
        Ok(sample.figures())
    }

    fn cpu(&self) -> Duration {
        let own = cpu_of(std::process::id());
        own + self.servers.iter().copied().map(cpu_of).sum::<Duration>()
    }

    fn found(&self, work: Work, runs: &[Figures], ours: Option<&Vec<Figures>>) -> Measurement {
        let of_round = |round: usize| ours.and_then(|ours| ours.get(round).copied());
        let pairs: Vec<Pair> = runs.iter().copied().zip((0..).map(of_round)).collect();
        let params = work.params(self.system, self.durable, self.tls);
        let mut found = Measurement::of("compare", params, &pairs, work.is_sequential());
        if ours.is_some() {
            found.baseline_is = "Waypost in the same rounds".to_owned();
        }
        found
            .extra
            .insert("version".to_owned(), json!(self.version));
        found
    }
}
