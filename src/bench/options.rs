//! What is to be measured.

use std::path::PathBuf;
use std::time::Duration;

use super::lanes::Until;

/// The jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Job {
    /// Evaluation 2: lookups.
    Lookup,
    /// Durable publishing.
    Publish,
    /// Reading what is stored.
    Pull,
    /// From publisher to follower.
    E2e,
    /// Evaluation 3: 1 to 64 peers.
    Scale,
    /// A peer with a large journal that was killed.
    Restart,
    /// Evaluation 4: the host of a topic is killed, or hands it over.
    Failover,
}

impl Job {
    /// All of them, in the order of the report.
    pub const ALL: [Job; 7] = [
        Job::Lookup,
        Job::Publish,
        Job::Pull,
        Job::E2e,
        Job::Scale,
        Job::Restart,
        Job::Failover,
    ];
}

/// How measuring is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// What.
    pub jobs: Vec<Job>,
    /// Topics that the index holds; `None`: 1,000,000, or 2,000 in the quick form.
    pub topics: Option<u64>,
    /// Numbers of peers; empty: as the job's evaluation says.
    pub peers: Vec<usize>,
    /// Lookups for each peer.
    pub requests: Option<u64>,
    /// Sizes of bodies; empty: 100 B to 1 MiB.
    pub sizes: Vec<usize>,
    /// Messages in flight; empty: 1 and 256.
    pub in_flight: Vec<usize>,
    /// Publishers; empty: 1 and 8.
    pub publishers: Vec<usize>,
    /// Copies of a topic; empty: 1 and 2.
    pub replicas: Vec<usize>,
    /// Measured runs of each job and its baseline, after one to warm up. `None`: as many as the job needs.
    pub runs: Option<u32>,
    /// Length of a run, where time ends it.
    pub duration: Option<Duration>,
    /// Whether lookups are followed by an empty pull, and only that is measured.
    pub then_pull: bool,
    /// A minute in all, to see that everything works; its figures are for orientation.
    pub quick: bool,
    /// Where temporary folders go: on the disk that is to be measured. `None`: the system's place.
    pub folder: Option<PathBuf>,
    /// The index of a running deployment, `HOST:PORT#SHA256:...`; `None`: one of our own is started.
    pub running: Option<String>,
}

impl Options {
    /// What is measured where nothing else is said.
    pub fn new(jobs: Vec<Job>) -> Options {
        Options {
            jobs,
            topics: None,
            peers: vec![],
            requests: None,
            sizes: vec![],
            in_flight: vec![],
            publishers: vec![],
            replicas: vec![],
            runs: None,
            duration: None,
            then_pull: false,
            quick: false,
            folder: None,
            running: None,
        }
    }

    /// Topics that the index holds.
    pub fn topics(&self) -> u64 {
        self.topics.unwrap_or(self.pick(1_000_000, 2_000))
    }

    pub(super) fn runs(&self) -> u32 {
        self.runs.unwrap_or(self.pick(5, 1))
    }

    /// As [`Options::runs`], where a run is over in some tenths of a second.
    pub(super) fn short_runs(&self) -> u32 {
        self.runs.unwrap_or(self.pick(15, 1))
    }

    /// One thing for the full form, another for the quick one.
    pub(super) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// As given, or else one list for the full form and another for the quick one.
    pub(super) fn list(&self, given: &[usize], full: &[usize], quick: &[usize]) -> Vec<usize> {
        match given {
            [] => self.pick(full, quick).to_vec(),
            given => given.to_vec(),
        }
    }

    pub(super) fn requests(&self) -> Until {
        Until::Each(self.requests.unwrap_or(self.pick(1_000, 100)))
    }

    pub(super) fn until(&self) -> Until {
        let usual = self.pick(Duration::from_secs(1), Duration::from_millis(150));
        Until::ElapsedMs(self.duration.unwrap_or(usual).as_millis() as u64)
    }
}
