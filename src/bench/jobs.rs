//! The jobs: what is started, what is varied, what it is compared with.

mod e2e;
mod failover;
mod lookup;
mod publish;
mod pull;
mod restart;
mod scale;

use super::error::BenchError;
use super::options::Job;
use super::run::Bench;

/// Runs all jobs that were asked for.
pub async fn all(bench: &mut Bench<'_>) -> Result<(), BenchError> {
    for job in &bench.options.jobs {
        run(bench, *job).await?;
    }
    Ok(())
}

async fn run(bench: &mut Bench<'_>, job: Job) -> Result<(), BenchError> {
    match job {
        Job::Lookup => lookup::run(bench).await,
        Job::Publish => publish::run(bench).await,
        Job::Pull => pull::run(bench).await,
        Job::E2e => e2e::run(bench).await,
        Job::Scale => scale::run(bench).await,
        Job::Restart => restart::run(bench).await,
        Job::Failover => failover::run(bench).await,
    }
}
