//! Lookups: response times and throughput against the number of peers.

use super::super::EARLIER_QUERY_US;
use super::super::amount::{Unit, plural, rate, ratio};
use super::super::params::{
    Few, along, differing, flag, groups, largest, names, number, same_but, smallest, with,
};
use super::super::plot::{Axis, Lines, Mark, Plot, Series};
use super::{Shown, base_points, measured_axis, micros, of_baseline, points, time_series};
use crate::bench::Measurement;

/// Fewest topics that count as few.
const FEW: f64 = 1e3;

pub(super) fn show(few: &Few) -> Shown {
    let plain = with(few, |found| {
        names(found) == 1.0 && !flag(found, "then_pull")
    });
    let plain = largest(&plain, "requests");
    let most = largest(&plain, "topics");
    let pulled = with(few, |found| flag(found, "then_pull"));
    let pulled = smallest(&largest(&pulled, "requests"), "in_flight");
    let many = with(few, |found| names(found) >= 100.0);
    let findings = [
        headline(&most),
        by_topics(&plain),
        many_names(&many),
        with_pull(&pulled),
    ];
    let plots = vec![
        times(
            "lookup-times",
            "Response time of a lookup",
            &smallest(&most, "in_flight"),
        ),
        throughput(&most),
        topics(&plain),
        pull_times(&pulled),
    ];
    (findings.into_iter().flatten().collect(), plots)
}

/// `with 1,000,000 topics`, where it is known.
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
        of_baseline(best.ratio, "raw QUIC"),
    ))
}

/// Pairs that differ in the number of topics only: few, many.
fn topic_pairs<'a>(plain: &[&'a Measurement]) -> Vec<(&'a Measurement, &'a Measurement)> {
    let many = largest(plain, "topics");
    let few = with(plain, |found| number(found, "topics") == Some(FEW));
    let pair = |many: &&'a Measurement| {
        let few = few.iter().find(|few| same_but(few, many, "topics"))?;
        (number(many, "topics") > Some(FEW)).then_some((*few, *many))
    };
    many.iter().filter_map(pair).collect()
}

fn by_topics(plain: &[&Measurement]) -> Option<String> {
    let pairs = topic_pairs(plain);
    let share =
        |(few, many): &(&Measurement, &Measurement)| many.figures.ops_per_s / few.figures.ops_per_s;
    let shares = || pairs.iter().map(share).filter(|share| share.is_finite());
    let worst = shares().reduce(f64::min)?;
    let best = shares().reduce(f64::max)?;
    let topics = number(pairs.first()?.1, "topics")?;
    let range = match ratio(worst) == ratio(best) {
        true => ratio(worst),
        false => format!("{} to {}", ratio(worst), ratio(best)),
    };
    Some(format!(
        "With {} the throughput is {range} of that with 1,000.",
        plural(topics, "topic", "topics"),
    ))
}

fn many_names(many: &[&Measurement]) -> Option<String> {
    let best = many
        .iter()
        .max_by(|a, b| a.figures.ops_per_s.total_cmp(&b.figures.ops_per_s))?;
    let peers = number(best, "peers").map(|peers| plural(peers, "peer", "peers"));
    Some(format!(
        "With {} in one request {} look up {}.",
        plural(names(best), "name", "names"),
        peers.unwrap_or_else(|| "peers".to_owned()),
        rate(best.figures.ops_per_s, "names"),
    ))
}

fn with_pull(pulled: &[&Measurement]) -> Option<String> {
    let few = with(pulled, |found| number(found, "topics") == Some(1e4));
    let (peers, first) = *along(&few, "peers").first()?;
    let average = first.figures.avg_us;
    let share = average / EARLIER_QUERY_US;
    share.is_finite().then(|| {
        format!(
            "A lookup with a pull that finds nothing new takes {} on average with 10,000 topics and {}; \
             the earlier system took {} ({} ×).",
            micros(average),
            plural(peers, "peer", "peers"),
            micros(EARLIER_QUERY_US),
            ratio(share),
        )
    })
}

fn times(name: &str, title: &str, few: &[&Measurement]) -> Option<Plot> {
    let line = along(few, "peers");
    let mut series = time_series(&line);
    series.push(Series::baseline(
        "raw QUIC,\nmedian",
        base_points(&line, |of| of.p50_us),
    ));
    let topics = number(few.first()?, "topics");
    let topics = topics.map_or_else(String::new, |topics| {
        format!(", {}", plural(topics, "topic", "topics"))
    });
    let lines = Lines {
        x: measured_axis("peers at the same time", Unit::Count, &series),
        y: Axis::log("time from request to answer, logarithmic", Unit::Micros),
        series,
        marks: Vec::new(),
    };
    Plot::lines(name, &format!("{title}{topics}"), lines)
}

fn pull_times(few: &[&Measurement]) -> Option<Plot> {
    let at_earlier = with(few, |found| number(found, "topics") == Some(1e4));
    let few = if at_earlier.is_empty() {
        largest(few, "topics")
    } else {
        at_earlier
    };
    let line = along(&few, "peers");
    let series = time_series(&line);
    let topics = number(few.first()?, "topics");
    let topics = topics.map_or_else(String::new, |topics| {
        format!(", {}", plural(topics, "topic", "topics"))
    });
    let lines = Lines {
        x: measured_axis("peers at the same time", Unit::Count, &series),
        y: Axis::log("time from request to answer, logarithmic", Unit::Micros),
        series,
        marks: vec![Mark {
            label: "earlier system, average,\n10,000 topics: 356 µs".to_owned(),
            from: EARLIER_QUERY_US,
            to: EARLIER_QUERY_US,
        }],
    };
    let title = format!("Lookup and pull of nothing new{topics}");
    Plot::lines("lookup-then-pull", &title, lines)
}

fn throughput(most: &[&Measurement]) -> Option<Plot> {
    let differing = differing(most, &["peers"]);
    let mut series = Vec::new();
    for (nth, (label, group)) in groups(most, &differing).into_iter().enumerate() {
        let line = along(&group, "peers");
        let (ours, raw) = match label.is_empty() {
            true => ("Waypost".to_owned(), "raw QUIC".to_owned()),
            false => (format!("Waypost,\n{label}"), format!("raw QUIC,\n{label}")),
        };
        series.push(Series::new(&ours, nth, points(&line, |of| of.ops_per_s)));
        series.push(Series::baseline(
            &raw,
            base_points(&line, |of| of.ops_per_s),
        ));
    }
    let lines = Lines {
        x: measured_axis("peers at the same time", Unit::Count, &series),
        y: Axis::log("lookups per second, logarithmic", Unit::PerSecond),
        series,
        marks: Vec::new(),
    };
    Plot::lines("lookup-throughput", "Throughput of lookups", lines)
}

fn topics(plain: &[&Measurement]) -> Option<Plot> {
    topic_pairs(plain).first()?;
    let few = smallest(plain, "in_flight");
    let names = vec!["topics".to_owned()];
    let line = |(nth, (label, group)): (usize, (String, Few))| {
        Series::new(&label, nth, points(&along(&group, "peers"), |of| of.p50_us))
    };
    let series: Vec<Series> = groups(&few, &names)
        .into_iter()
        .enumerate()
        .map(line)
        .collect();
    let lines = Lines {
        x: measured_axis("peers at the same time", Unit::Count, &series),
        y: Axis::linear("median response time", Unit::Micros),
        series,
        marks: Vec::new(),
    };
    Plot::lines(
        "lookup-topics",
        "Response time by the number of topics",
        lines,
    )
}
