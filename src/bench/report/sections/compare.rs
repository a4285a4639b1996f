//! The same work done by other systems.

use super::super::amount::{Unit, ratio};
use super::super::params::{Few, all_names, groups, label, with, word};
use super::super::plot::{Ink, Plot, Row, RowGroup, Rows};
use super::Shown;
use crate::bench::{Figures, Measurement};

/// What belongs to the system rather than to the work.
const OF_SYSTEM: [&str; 3] = ["system", "durable", "tls"];

pub(super) fn show(few: &Few) -> Shown {
    let works = works(few);
    let findings = works
        .iter()
        .filter_map(|(label, group)| told(label, group))
        .collect();
    let plots = vec![
        plot(
            &works,
            "compare-throughput",
            "Throughput beside other systems",
            Unit::PerSecond,
            |of| of.ops_per_s,
        ),
        plot(
            &works,
            "compare-median",
            "Median response time beside other systems",
            Unit::Micros,
            |of| of.p50_us,
        ),
    ];
    (findings, plots)
}

/// What was done, with who did it.
fn works<'a>(few: &[&'a Measurement]) -> Vec<(String, Few<'a>)> {
    let names: Vec<String> = all_names(few)
        .into_iter()
        .filter(|name| !OF_SYSTEM.contains(&name.as_str()))
        .collect();
    groups(few, &names)
}

fn is_waypost(found: &Measurement) -> bool {
    word(found, "system") == "waypost"
}

fn told(work: &str, group: &[&Measurement]) -> Option<String> {
    let ours = group.iter().find(|found| is_waypost(found))?;
    let others = with(group, |found| !is_waypost(found));
    let share = |other: &&Measurement| {
        let share = ours.figures.ops_per_s / other.figures.ops_per_s;
        share
            .is_finite()
            .then(|| format!("{} × {}", ratio(share), name(other)))
    };
    let shares: Vec<String> = others.iter().filter_map(share).collect();
    (!shares.is_empty()).then(|| format!("{}: Waypost does {}.", capital(work), shares.join(", ")))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars
        .next()
        .map(|first| first.to_uppercase().collect::<String>());
    first.unwrap_or_default() + chars.as_str()
}

/// The system, with what tells it from others of the same name.
fn name(found: &Measurement) -> String {
    let system = match word(found, "system") {
        "waypost" => "Waypost",
        "nats" => "NATS",
        "redis" => "Redis",
        "" => "unnamed",
        other => other,
    };
    let told: Vec<String> = ["durable", "tls"]
        .iter()
        .map(|&name| name.to_owned())
        .collect();
    let about = label(found, &told);
    match about.is_empty() {
        true => system.to_owned(),
        false => format!("{system} ({about})"),
    }
}

fn plot(
    works: &[(String, Few)],
    file: &str,
    heading: &str,
    unit: Unit,
    figure: fn(&Figures) -> f64,
) -> Option<Plot> {
    let group = |(work, group): &(String, Few)| {
        let row = |found: &&Measurement| Row {
            label: name(found),
            value: figure(&found.figures),
            baseline: None,
            ratio: None,
            ink: if is_waypost(found) {
                Ink::Series(0)
            } else {
                Ink::Series(1)
            },
        };
        RowGroup {
            label: work.clone(),
            rows: group.iter().map(row).collect(),
        }
    };
    let rows = Rows {
        unit,
        label: if unit == Unit::Micros {
            "lower is better"
        } else {
            "higher is better"
        }
        .to_owned(),
        groups: works.iter().map(group).collect(),
        baseline: String::new(),
        own_scales: true,
    };
    Plot::rows(file, heading, rows)
}
