//! Measuring: load generation, baselines and the report.
//!
//! ```text
//!   run ── jobs ──► fleet (index, peers)      processes of this program in a scratch folder
//!            │ └──► side: load generators ◄── Work, Go / Ready, Done ──► agent ── load | raw
//!            ▼
//!        measure (figures, medians, ratios) ──► report (Markdown, HTML, plots, JSON)
//! ```
//!
//! | module | subject |
//! |---|---|
//! | `options`, `jobs` | what is measured, what is varied, what it is compared with |
//! | `run` | one invocation; baselines by name |
//! | `fleet`, `topics`, `process`, `disk`, `settle` | a deployment to measure, what it holds, its processes and files; when it is quiet |
//! | `side`, `placement` | both sides of a comparison, taking turns; which processors they run on |
//! | `work`, `agent`, `generator` | what a load generator is told; the process; what it becomes |
//! | `lanes`, `load` | closed loop and open loop; peers that do one kind of operation |
//! | `raw` | baselines: plain quinn and plain `fdatasync` |
//! | `measure`, `machine` | figures, medians, ratios; what a report says of the machine |
//! | `report` | what measurements say: findings, plots, goals |
//!
//! Every figure is a ratio to a baseline of the same run, taken in turns with it. Latency is
//! measured open-loop where a rate is given, throughput closed-loop. Touches the public API only.

mod agent;
mod disk;
mod error;
mod fleet;
mod generator;
mod jobs;
mod lanes;
mod load;
mod machine;
mod measure;
mod options;
mod placement;
mod process;
mod raw;
mod report;
mod run;
mod settle;
mod side;
mod topics;
mod work;

pub use agent::run as run_agent;
pub use error::BenchError;
pub use machine::Machine;
pub use measure::{Figures, Measurement, Pair, Sample, histogram, median};
pub use options::{Job, Options};
pub use process::cpu_of;
pub use report::{DEFAULT_DIR, DrawError, Judged, ReportError, Verdict, Written, judge, write};
pub use run::{Event, Tell};

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::types::UnixMicros;

/// The hidden command as which load generators run: standard input and output are as
/// [`run_agent`] says.
pub const AGENT: &str = "bench-agent";

/// Everything that one invocation measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// When it began.
    pub began: UnixMicros,
    /// Whether it was the quick form, whose figures are for orientation.
    pub quick: bool,
    /// The command line that makes it again.
    pub command: String,
    /// What was measured, in order.
    pub measurements: Vec<Measurement>,
}

/// Measures. `command` is what a report says makes it again. This program must be the `waypost`
/// program: it is started again for servers and load generators.
///
/// When `stop` is done before the jobs are, they end, and so does this, with an error. Either way
/// processes of its own are ended, and in a running deployment nothing of it stays. The report has
/// what was measured until an error.
pub async fn run(
    options: &Options,
    command: String,
    stop: impl Future<Output = ()>,
    tell: &Tell<'_>,
) -> (Report, Result<(), BenchError>) {
    let began = clock::wall_now();
    let mut bench = run::Bench::new(options, tell);
    let measured = tokio::select! {
        measured = jobs::all(&mut bench) => measured,
        () = stop => Err(BenchError::Interrupted),
    };
    let cleaned = bench.clean_up().await;
    let report = Report {
        machine: Machine::read(),
        began,
        quick: options.quick,
        command,
        measurements: bench.into_found(),
    };
    (report, measured.and(cleaned))
}
