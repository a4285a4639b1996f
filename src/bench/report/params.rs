//! Reading what a measurement was made with, and choosing among measurements by it.

use serde_json::Value;

use super::amount::{Unit, plural, whole};
use crate::bench::Measurement;

/// Measurements of one job.
pub(super) type Few<'a> = Vec<&'a Measurement>;

/// A parameter that is a number.
pub(super) fn number(found: &Measurement, name: &str) -> Option<f64> {
    found.params.get(name)?.as_f64()
}

/// Whether a parameter is given and true.
pub(super) fn flag(found: &Measurement, name: &str) -> bool {
    found.params.get(name).and_then(Value::as_bool) == Some(true)
}

/// A parameter that is a word; "" where it is missing.
pub(super) fn word<'a>(found: &'a Measurement, name: &str) -> &'a str {
    let value = found.params.get(name);
    value.and_then(Value::as_str).unwrap_or_default()
}

/// A number among a measurement's extras.
pub(super) fn extra(found: &Measurement, name: &str) -> Option<f64> {
    let value = found.extra.get(name)?.as_f64();
    value.filter(|value| value.is_finite())
}

/// Whether its baseline is plain QUIC or plain disk, as the goals mean it. A running deployment has
/// only its own round trip to be compared with.
pub(super) fn has_raw_baseline(found: &Measurement) -> bool {
    found.baseline_is.contains("raw ")
}

/// Names in one lookup.
pub(super) fn names(found: &Measurement) -> f64 {
    number(found, "names").unwrap_or(1.0)
}

/// Those of one job.
pub(super) fn of_job<'a>(all: &'a [Measurement], job: &str) -> Few<'a> {
    all.iter().filter(|found| found.job == job).collect()
}

/// Those that `keep` keeps.
pub(super) fn with<'a>(few: &[&'a Measurement], keep: impl Fn(&Measurement) -> bool) -> Few<'a> {
    few.iter().copied().filter(|found| keep(found)).collect()
}

/// Those with the largest value of a parameter; all where none has it.
pub(super) fn largest<'a>(few: &[&'a Measurement], name: &str) -> Few<'a> {
    extreme(few, name, |value, best| value > best)
}

/// Those with the smallest value of a parameter; all where none has it.
pub(super) fn smallest<'a>(few: &[&'a Measurement], name: &str) -> Few<'a> {
    extreme(few, name, |value, best| value < best)
}

fn extreme<'a>(few: &[&'a Measurement], name: &str, better: fn(f64, f64) -> bool) -> Few<'a> {
    let values = few.iter().filter_map(|found| number(found, name));
    let best = values.reduce(|best, value| if better(value, best) { value } else { best });
    match best {
        Some(best) => with(few, |found| number(found, name) == Some(best)),
        None => few.to_vec(),
    }
}

/// By rising value of a parameter, the first of each value; those without it are left out.
pub(super) fn along<'a>(few: &[&'a Measurement], name: &str) -> Vec<(f64, &'a Measurement)> {
    let mut line: Vec<(f64, &Measurement)> = few
        .iter()
        .filter_map(|found| Some((number(found, name)?, *found)))
        .collect();
    line.sort_by(|a, b| a.0.total_cmp(&b.0));
    line.dedup_by(|later, first| later.0 == first.0);
    line
}

/// Groups of equal `names`, in order of appearance, each with what tells it from the others.
pub(super) fn groups<'a>(few: &[&'a Measurement], names: &[String]) -> Vec<(String, Few<'a>)> {
    let mut groups: Vec<(Vec<Option<&Value>>, Few)> = Vec::new();
    for found in few {
        let key: Vec<Option<&Value>> = names.iter().map(|name| found.params.get(name)).collect();
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, group)) => group.push(found),
            None => groups.push((key, vec![found])),
        }
    }
    let labelled = |(_, group): (_, Few<'a>)| (label(group[0], names), group);
    groups.into_iter().map(labelled).collect()
}

/// The names of the parameters that are not the same in all of `few`, but for `except`.
pub(super) fn differing(few: &[&Measurement], except: &[&str]) -> Vec<String> {
    let names = all_names(few).into_iter();
    names
        .filter(|name| !except.contains(&name.as_str()) && !is_constant(few, name))
        .collect()
}

/// Whether all of `few` have the same value of a parameter.
pub(super) fn is_constant(few: &[&Measurement], name: &str) -> bool {
    few.windows(2)
        .all(|pair| pair[0].params.get(name) == pair[1].params.get(name))
}

/// The parameters that occur, in order of appearance.
pub(super) fn all_names(few: &[&Measurement]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in few.iter().flat_map(|found| found.params.keys()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Whether two measurements differ in nothing but `name`.
pub(super) fn same_but(one: &Measurement, other: &Measurement, name: &str) -> bool {
    let rest = |found: &Measurement| {
        let mut params = found.params.clone();
        params.remove(name);
        params
    };
    one.job == other.job && rest(one) == rest(other)
}

/// The values of `names` in words: `64 peers, 16 in flight`. One publisher, topic or replica goes without
/// saying where something else is said.
pub(super) fn label(found: &Measurement, names: &[String]) -> String {
    let told = |tells: fn(&str, &Value) -> bool| {
        let words = names.iter().filter_map(|name| {
            let value = found.params.get(name).filter(|value| tells(name, value))?;
            Some(in_words(name, value)).filter(|words| !words.is_empty())
        });
        words.collect::<Vec<_>>().join(", ")
    };
    let unusual = told(|name, value| !is_usual(name, value));
    match unusual.is_empty() {
        true => told(|_, _| true),
        false => unusual,
    }
}

fn is_usual(name: &str, value: &Value) -> bool {
    matches!(name, "publishers" | "topics" | "replicas") && value.as_f64() == Some(1.0)
}

/// One parameter in words.
pub(super) fn in_words(name: &str, value: &Value) -> String {
    match value {
        Value::Bool(yes) => flag_in_words(name, *yes),
        Value::String(text) if matches!(name, "layout" | "cache" | "system" | "job" | "step") => {
            text.clone()
        }
        _ => match (name, value.as_f64()) {
            ("peers", Some(count)) => plural(count, "peer", "peers"),
            ("topics", Some(count)) => plural(count, "topic", "topics"),
            ("publishers", Some(count)) => plural(count, "publisher", "publishers"),
            ("followers", Some(count)) => plural(count, "follower", "followers"),
            ("replicas", Some(count)) => plural(count, "replica", "replicas"),
            ("names", Some(count)) => plural(count, "name a request", "names a request"),
            ("requests", Some(count)) => format!("{} requests each", whole(count)),
            ("in_flight", Some(count)) => format!("{} in flight", whole(count)),
            ("size", Some(bytes)) => Unit::Bytes.text(bytes),
            ("rate", Some(rate)) => format!("{}/s", whole(rate)),
            _ => format!("{} {}", title(name), plain(value)),
        },
    }
}

fn flag_in_words(name: &str, yes: bool) -> String {
    let (on, off) = match name {
        "then_pull" => ("lookup and pull", "lookup"),
        "batched" => ("batches", "one by one"),
        "stalled" => ("beside a stalled follower", "no stalled follower"),
        "planned" => ("planned", "killed"),
        "durable" => ("durable", "not durable"),
        "tls" => ("encrypted", "plain"),
        _ => return format!("{} {}", title(name), if yes { "yes" } else { "no" }),
    };
    if yes { on } else { off }.to_owned()
}

/// A parameter's name as words.
pub(super) fn title(name: &str) -> String {
    name.replace('_', " ")
}

/// A JSON value as a table shows it.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Null => String::new(),
        Value::Number(number) => match number.as_f64() {
            Some(value) if value.fract() == 0.0 => whole(value),
            Some(value) => super::amount::number(value),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample::one;
    use serde_json::json;

    #[test]
    fn groups_are_told_apart_by_what_differs() {
        let all = [
            one("publish", json!({"size": 100, "in_flight": 1, "topics": 1})),
            one(
                "publish",
                json!({"size": 1024, "in_flight": 1, "topics": 1}),
            ),
            one(
                "publish",
                json!({"size": 100, "in_flight": 256, "topics": 1}),
            ),
        ];
        let few = of_job(&all, "publish");
        let names = differing(&few, &["size"]);
        assert_eq!(names, ["in_flight"]);
        let groups = groups(&few, &names);
        assert_eq!(groups[0].0, "1 in flight");
        assert_eq!(along(&groups[0].1, "size").len(), 2);
        assert!(same_but(&all[0], &all[1], "size") && !same_but(&all[1], &all[2], "size"));
        assert_eq!(smallest(&few, "size").len(), 2);
        assert_eq!(largest(&few, "unknown").len(), 3);
    }

    #[test]
    fn what_there_is_one_of_goes_without_saying_beside_something_else() {
        let names = ["in_flight", "publishers", "replicas"].map(str::to_owned);
        let of = |replicas| {
            let params = json!({"in_flight": 256, "publishers": 1, "replicas": replicas});
            one("publish", params)
        };
        assert_eq!(label(&of(1), &names), "256 in flight");
        assert_eq!(label(&of(2), &names), "256 in flight, 2 replicas");
        assert_eq!(label(&of(1), &names[2..]), "1 replica");
    }
}
