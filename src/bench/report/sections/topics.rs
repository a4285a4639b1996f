//! The same lookups at an index with many topics and at one with few.

use super::super::amount::{Unit, plural, ratio};
use super::super::params::{Few, label, number};
use super::super::plot::{Ink, Plot, Row, RowGroup, Rows};
use super::Shown;
use crate::bench::Measurement;

pub(super) fn show(few: &Few) -> Shown {
    let findings = few.iter().filter_map(|found| told(found)).collect();
    (findings, vec![plot(few)])
}

fn told(found: &Measurement) -> Option<String> {
    let value = found.ratio.filter(|value| value.is_finite())?;
    Some(format!(
        "With {} the throughput of lookups is {} of that with {}.",
        plural(number(found, "topics")?, "topic", "topics"),
        ratio(value),
        plural(number(found, "against_topics")?, "topic", "topics"),
    ))
}

fn plot(few: &Few) -> Option<Plot> {
    let group = |found: &&Measurement| {
        let row = |name: &str, value: Option<f64>, nth: usize| {
            Some(Row {
                label: plural(number(found, name)?, "topic", "topics"),
                value: value?,
                baseline: None,
                ratio: None,
                ink: Ink::Series(nth),
            })
        };
        let theirs = found.baseline.map(|base| base.ops_per_s);
        let rows = [
            row("topics", Some(found.figures.ops_per_s), 0),
            row("against_topics", theirs, 1),
        ];
        RowGroup {
            label: label(found, &["in_flight".to_owned()]),
            rows: rows.into_iter().flatten().collect(),
        }
    };
    let rows = Rows {
        unit: Unit::PerSecond,
        label: "lookups per second".to_owned(),
        groups: few.iter().map(group).collect(),
        baseline: String::new(),
        own_scales: false,
    };
    Plot::rows("lookup-topics", "Lookups by the number of topics", rows)
}
