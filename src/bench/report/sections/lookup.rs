//! Lookups: response times and throughput against the number of peers.

use super::super::EARLIER_QUERY_US;
use super::super::amount::{Unit, plural, rate, ratio};
use super::super::params::{Few, along, flag, label, largest, names, number, smallest, with};
use super::super::plot::{Axis, Lines, Mark, Plot, RowGroup, Rows, Series};
use super::{
    Shown, bar, base_name, base_series, measured_axis, micros, of_baseline, points, time_series,
};
use crate::bench::Measurement;

pub(super) fn show(few: &Few) -> Shown {
    let plain = with(few, |found| {
        names(found) == 1.0 && !flag(found, "then_pull")
    });
    let most = largest(&largest(&plain, "requests"), "topics");
    let alone = smallest(&most, "in_flight");
    let pulled = with(few, |found| flag(found, "then_pull"));
    let pulled = smallest(&largest(&pulled, "requests"), "in_flight");
    let pulled = as_earlier(&pulled);
    let many = with(few, |found| names(found) >= 100.0);
    let findings = [headline(&most), many_names(&many), with_pull(&pulled)];
    let plots = vec![
        times(&alone),
        throughput(&alone),
        many_in_flight(&most),
        pull_times(&pulled),
    ];
    (findings.into_iter().flatten().collect(), plots)
}

/// Those with as many topics as the earlier system had, else with the most.
fn as_earlier<'a>(pulled: &[&'a Measurement]) -> Few<'a> {
    let exact = with(pulled, |found| number(found, "topics") == Some(1e4));
    if exact.is_empty() {
        largest(pulled, "topics")
    } else {
        exact
    }
}

/// `With 1,000,000 topics`, where it is known.
fn with_topics(found: &Measurement) -> String {
    match number(found, "topics") {
        Some(topics) => format!("With {} ", plural(topics, "topic", "topics")),
        None => String::new(),
    }
}

fn headline(most: &[&Measurement]) -> Option<String> {
    let alone = along(&smallest(most, "in_flight"), "peers");
    let (peers, first) = *alone.first()?;
    let took = format!(
        "{}a lookup takes {} (median; p99 {}) for {}",
        with_topics(first),
        micros(first.figures.p50_us),
        micros(first.figures.p99_us),
        plural(peers, "peer", "peers"),
    );
    let best = most
        .iter()
        .max_by(|a, b| a.figures.ops_per_s.total_cmp(&b.figures.ops_per_s))?;
    let peers = number(best, "peers").unwrap_or(peers);
    let depth = match number(best, "in_flight") {
        Some(depth) if depth > 1.0 => format!(" of {depth} requests in flight each"),
        _ => String::new(),
    };
    Some(format!(
        "{took}; throughput reaches {} with {}{depth}{}.",
        rate(best.figures.ops_per_s, "lookups"),
        plural(peers, "peer", "peers"),
        of_baseline(best, "raw QUIC"),
    ))
}

fn many_names(many: &[&Measurement]) -> Option<String> {
    let best = many
        .iter()
        .max_by(|a, b| a.figures.ops_per_s.total_cmp(&b.figures.ops_per_s))?;
    let peers =
        number(best, "peers").map(|peers| format!(" for {}", plural(peers, "peer", "peers")));
    Some(format!(
        "With {} in one request throughput reaches {}{}.",
        plural(names(best), "name", "names"),
        rate(best.figures.ops_per_s, "names"),
        peers.unwrap_or_default(),
    ))
}

fn with_pull(pulled: &[&Measurement]) -> Option<String> {
    let (peers, first) = *along(pulled, "peers").first()?;
    let average = first.figures.avg_us;
    let share = average / EARLIER_QUERY_US;
    share.is_finite().then(|| {
        format!(
            "{}a lookup with a pull that finds nothing new takes {} on average for {}; \
             the earlier system took {} with 10,000 topics ({} ×).",
            with_topics(first),
            micros(average),
            plural(peers, "peer", "peers"),
            micros(EARLIER_QUERY_US),
            ratio(share),
        )
    })
}

fn title(what: &str, few: &[&Measurement]) -> Option<String> {
    let topics = number(few.first()?, "topics");
    let topics = topics.map(|topics| format!(", {}", plural(topics, "topic", "topics")));
    Some(format!("{what}{}", topics.unwrap_or_default()))
}

fn by_peers(series: Vec<Series>, marks: Vec<Mark>) -> Lines {
    Lines {
        x: measured_axis("peers at the same time", Unit::Count, &series),
        y: Axis::log("time from request to answer, logarithmic", Unit::Micros),
        series,
        marks,
    }
}

fn times(few: &[&Measurement]) -> Option<Plot> {
    let line = along(few, "peers");
    let mut series = time_series(&line);
    series.push(base_series(&line, "raw QUIC,\nmedian", |of| of.p50_us));
    let title = title("Response time of a lookup", few)?;
    Plot::lines("lookup-times", &title, by_peers(series, Vec::new()))
}

fn pull_times(few: &[&Measurement]) -> Option<Plot> {
    let earlier = Mark {
        label: "earlier system, average,\n10,000 topics: 356 µs".to_owned(),
        from: EARLIER_QUERY_US,
        to: EARLIER_QUERY_US,
    };
    let series = time_series(&along(few, "peers"));
    let title = title("Lookup and pull of nothing new", few)?;
    Plot::lines("lookup-then-pull", &title, by_peers(series, vec![earlier]))
}

fn throughput(alone: &[&Measurement]) -> Option<Plot> {
    let line = along(alone, "peers");
    let series = vec![
        Series::new("Waypost", 0, points(&line, |of| of.ops_per_s)),
        base_series(&line, "raw QUIC", |of| of.ops_per_s),
    ];
    let lines = Lines {
        x: measured_axis("peers at the same time", Unit::Count, &series),
        y: Axis::log("lookups per second, logarithmic", Unit::PerSecond),
        series,
        marks: Vec::new(),
    };
    let title = title("Throughput, each peer with one lookup at a time", alone)?;
    Plot::lines("lookup-throughput", &title, lines)
}

/// Peers that have many requests on their way.
fn many_in_flight(most: &[&Measurement]) -> Option<Plot> {
    let deep = with(most, |found| number(found, "in_flight") > Some(1.0));
    let names = ["peers".to_owned(), "in_flight".to_owned()];
    let row = |found: &&Measurement| bar(label(found, &names), 0, found, |of| of.ops_per_s);
    let rows = Rows {
        unit: Unit::PerSecond,
        label: "lookups per second".to_owned(),
        groups: vec![RowGroup {
            label: String::new(),
            rows: deep.iter().map(row).collect(),
        }],
        baseline: base_name(deep.first()?, "raw QUIC").to_owned(),
        own_scales: false,
    };
    let title = title("Throughput, each peer with many lookups in flight", &deep)?;
    Plot::rows("lookup-in-flight", &title, rows)
}
