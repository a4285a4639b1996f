//! What Waypost sets out to reach, and whether measurements show it. Pure.
//!
//! Comparisons with other systems are read from the job `compare`: its parameter `job` is `lookup` or
//! `publish`, and the same parameters (`in_flight`, `size`, ...) on both sides make a pair. Times of
//! becoming ready again are `extra.ready_ms` of the job `restart` {of, topics or bytes}.

mod checks;
mod table;

use crate::bench::Measurement;

/// Whether a goal is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The measurements show it.
    Met,
    /// The measurements show that it is not.
    NotMet,
    /// No measurement tells.
    NotMeasured,
}

impl Verdict {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::NotMet => "not met",
            Verdict::NotMeasured => "not measured",
        }
    }
}

/// A goal, and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The job that it belongs to, as in [`Measurement::job`].
    pub job: &'static str,
    /// The goal.
    pub goal: &'static str,
    /// Whether it is reached.
    pub verdict: Verdict,
    /// The figure that decides, and where it was found; "" where nothing was measured.
    pub found: String,
}

/// Which way a figure has to lie.
#[derive(Debug, Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// How a figure is written.
type Written = fn(f64) -> String;
/// What decides.
type Check = fn(&[Measurement], Bound) -> checks::Found;

struct Goal {
    job: &'static str,
    goal: &'static str,
    bound: Bound,
    written: Written,
    check: Check,
}

/// Judges every goal, in the order of the report.
pub fn judge(all: &[Measurement]) -> Vec<Judged> {
    table::GOALS.iter().map(|goal| goal.judge(all)).collect()
}

impl Goal {
    fn judge(&self, all: &[Measurement]) -> Judged {
        let found = (self.check)(all, self.bound).filter(|(value, _)| value.is_finite());
        let (verdict, found) = match found {
            None => (Verdict::NotMeasured, String::new()),
            Some((value, at)) => (self.bound.verdict(value), told((self.written)(value), &at)),
        };
        Judged {
            job: self.job,
            goal: self.goal,
            verdict,
            found,
        }
    }
}

fn told(value: String, at: &str) -> String {
    if at.is_empty() {
        value
    } else {
        format!("{value} ({at})")
    }
}

impl Bound {
    fn verdict(self, value: f64) -> Verdict {
        let met = match self {
            Bound::AtLeast(least) => value >= least,
            Bound::AtMost(most) => value <= most,
        };
        if met { Verdict::Met } else { Verdict::NotMet }
    }

    /// Of several figures the one furthest from the goal.
    fn worst(self, figures: impl IntoIterator<Item = (f64, String)>) -> Option<(f64, String)> {
        let finite = figures.into_iter().filter(|(value, _)| value.is_finite());
        finite.reduce(|worst, next| {
            let is_worse = match self {
                Bound::AtLeast(_) => next.0 < worst.0,
                Bound::AtMost(_) => next.0 > worst.0,
            };
            if is_worse { next } else { worst }
        })
    }
}

#[cfg(test)]
mod tests;
