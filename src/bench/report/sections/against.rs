//! Publishing to many topics, or with copies, in turns with the same to one topic with one copy.

use super::super::amount::{plural, ratio};
use super::super::params::{Few, number};
use super::Shown;
use crate::bench::Measurement;

pub(super) fn show(few: &Few) -> Shown {
    (few.iter().filter_map(|found| told(found)).collect(), vec![])
}

fn told(found: &Measurement) -> Option<String> {
    let copies = number(found, "replicas").filter(|&copies| copies > 1.0);
    if let Some(copies) = copies {
        let p50 = found.p50_ratio.filter(|value| value.is_finite())?;
        return Some(format!(
            "With {} a message takes {} × as long as with one, in the median.",
            plural(copies, "copy", "copies"),
            ratio(p50),
        ));
    }
    let throughput = found.ratio.filter(|value| value.is_finite())?;
    Some(format!(
        "To {} the throughput in batches is {} of that to one.",
        plural(number(found, "topics")?, "topic", "topics"),
        ratio(throughput),
    ))
}
