//! How soon something that was killed is of use again.

use super::super::params::{Few, extra, word};
use super::super::times::times_ms;
use super::{Shown, micros};
use crate::bench::Measurement;

pub(super) fn show(few: &Few) -> Shown {
    let findings = few.iter().filter_map(|found| told(found)).collect();
    (findings, Vec::new())
}

fn told(found: &Measurement) -> Option<String> {
    let who = match word(found, "of") {
        "index" => "A killed index answers lookups correctly again after",
        "peer" => "A killed peer serves what its journal holds again after",
        _ => return None,
    };
    let longest = micros(extra(found, "ready_ms")? * 1e3);
    let runs = times_ms(found).len();
    Some(format!("{who} {longest} (the longest of {runs} times)."))
}
