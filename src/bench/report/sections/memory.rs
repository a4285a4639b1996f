//! What the index and a peer keep in memory.

use super::super::amount::{Unit, number as figure, plural};
use super::super::params::{Few, along, extra};
use super::super::plot::{Axis, Lines, Plot, Series};
use super::{Shown, measured_axis};
use crate::bench::Measurement;

pub(super) fn show(few: &Few) -> Shown {
    let line = along(few, "topics");
    (headline(&line).into_iter().collect(), vec![resident(&line)])
}

fn headline(line: &[(f64, &Measurement)]) -> Option<String> {
    let (topics, found) = *line.last()?;
    let each = extra(found, "bytes_per_topic").map(|bytes| format!("{} B for each", figure(bytes)));
    let all = extra(found, "index_rss_mib").map(|mib| format!("{} MiB in all", figure(mib)));
    let peer =
        extra(found, "peer_rss_mib").map(|mib| format!("the hosting peer has {} MiB", figure(mib)));
    let told: Vec<String> = [each, all, peer].into_iter().flatten().collect();
    (!told.is_empty()).then(|| {
        format!(
            "With {} the index holds {}.",
            plural(topics, "topic", "topics"),
            told.join("; ")
        )
    })
}

fn resident(line: &[(f64, &Measurement)]) -> Option<Plot> {
    let of = |name: &str| -> Vec<(f64, f64)> {
        line.iter()
            .filter_map(|(topics, found)| Some((*topics, extra(found, name)?)))
            .collect()
    };
    let series = vec![
        Series::new("index", 0, of("index_rss_mib")),
        Series::new("hosting peer", 1, of("peer_rss_mib")),
    ];
    let lines = Lines {
        x: measured_axis("topics, logarithmic", Unit::Count, &series),
        y: Axis::log("resident memory, logarithmic", Unit::Mib),
        series,
        marks: Vec::new(),
    };
    Plot::lines("memory", "Memory by the number of topics", lines)
}
