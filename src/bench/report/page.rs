//! What the report says, in order, for Markdown and HTML alike. Pure.

use super::amount::{number, whole};
use super::goals::{Judged, Verdict, judge};
use super::sections::{Section, sections};
use crate::bench::Report;

/// The whole report.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Page {
    /// What a reader must know before any figure; in red.
    pub(super) warnings: Vec<&'static str>,
    /// Machine, time, command: name and value.
    pub(super) facts: Vec<(&'static str, String)>,
    /// Every goal, met or not.
    pub(super) goals: Vec<Judged>,
    /// One for each job.
    pub(super) sections: Vec<Section>,
}

/// The heading.
pub(super) const TITLE: &str = "Waypost: what was measured";
/// Under the heading.
pub(super) const HOW_TO_READ: &str = "Ratio is the throughput over that of the baseline, which was measured \
    in turns with it (of medians: the median response time over the baseline's; below 1 is faster). \
    Spread is the distance from the lowest run to the highest over their median. Each figure is the \
    median of the runs.";
/// What stands for a report without measurements.
pub(super) const NOTHING: &str = "Nothing was measured.";

const UNOPTIMISED: &str = "Unoptimised build: figures mean nothing. Build with --release.";
const QUICK: &str =
    "Quick form: figures are for orientation; goals may look met or missed by chance.";

impl Page {
    /// What `report` says.
    pub(super) fn of(report: &Report) -> Page {
        let goals = judge(&report.measurements);
        Page {
            warnings: warnings(report),
            facts: facts(report),
            sections: sections(&report.measurements, &goals),
            goals,
        }
    }

    /// `12 of 26 goals met, 2 not met, 12 not measured`.
    pub(super) fn tally(&self) -> String {
        let count = |verdict| {
            self.goals
                .iter()
                .filter(|goal| goal.verdict == verdict)
                .count()
        };
        format!(
            "{} of {} goals met, {} not met, {} not measured",
            count(Verdict::Met),
            self.goals.len(),
            count(Verdict::NotMet),
            count(Verdict::NotMeasured),
        )
    }
}

fn warnings(report: &Report) -> Vec<&'static str> {
    let unoptimised = (!report.machine.optimised).then_some(UNOPTIMISED);
    let quick = report.quick.then_some(QUICK);
    [unoptimised, quick].into_iter().flatten().collect()
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let machine = &report.machine;
    let cores = super::amount::plural(machine.cores as f64, "core", "cores");
    let memory = number(machine.memory_mib as f64 / 1024.0);
    vec![
        (
            "Machine",
            format!(
                "{}, {cores}, {memory} GiB of memory, {}",
                machine.cpu, machine.kernel
            ),
        ),
        ("When", report.began.to_string()),
        ("Version", format!("Waypost {}", machine.version)),
        ("Command", report.command.clone()),
        (
            "Form",
            if report.quick { "quick" } else { "full" }.to_owned(),
        ),
        ("Measurements", whole(report.measurements.len() as f64)),
    ]
}
