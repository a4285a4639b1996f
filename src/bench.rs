//! Measuring: load generation, baselines and the report.
//!
//! | module | subject |
//! |---|---|
//! | `measure` | figures, medians, ratios |
//! | `machine` | what a report says of the machine |
//! | `report` | what measurements say: findings, plots, goals |
//!
//! Every figure is a ratio to a baseline of the same run, taken in turns with it. May touch the
//! public API only.

mod machine;
mod measure;
mod report;

pub use machine::Machine;
pub use measure::{Figures, Measurement, Pair, Sample, histogram, median};
pub use report::{DEFAULT_DIR, DrawError, Judged, ReportError, Verdict, Written, judge, write};

use serde::{Deserialize, Serialize};

use crate::types::UnixMicros;

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
