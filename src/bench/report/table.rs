//! The figures of one job as a table. Pure; cells are plain text.

use serde_json::Value;

use super::amount::{number, ratio, whole};
use super::params::{all_names, in_words, is_constant, plain, title};
use crate::bench::{Figures, Measurement};

/// A table of plain text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    /// What is the same in all rows: `1,000 requests each, 1 in flight`.
    pub(super) common: Vec<String>,
    /// The columns' names.
    pub(super) head: Vec<String>,
    /// As many cells in each row as the head has.
    pub(super) rows: Vec<Vec<String>>,
}

/// A measurement's cell; nothing where it has none.
type Cell = Box<dyn Fn(&Measurement) -> Option<String>>;
/// One figure.
type Figure = fn(&Figures) -> f64;

/// A column: its name, and its cells.
struct Column {
    name: String,
    cell: Cell,
}

impl Table {
    /// Everything about these measurements; columns without any figure are left out.
    pub(super) fn of(few: &[&Measurement]) -> Table {
        let names = all_names(few);
        let is_common = |name: &&String| few.len() > 1 && is_constant(few, name);
        let common = names
            .iter()
            .filter(is_common)
            .filter_map(|name| Some(in_words(name, few.first()?.params.get(name)?)));
        let varied = names
            .iter()
            .filter(|name| !is_common(name))
            .map(|name| param(name));
        let columns = varied
            .chain(figures())
            .chain(comparisons())
            .chain(extras(few));
        let filled: Vec<(String, Vec<Option<String>>)> = columns
            .map(|column| {
                (
                    column.name,
                    few.iter().map(|found| (column.cell)(found)).collect(),
                )
            })
            .filter(|(_, cells): &(String, Vec<Option<String>>)| cells.iter().any(Option::is_some))
            .collect();
        let row = |nth: usize| {
            let cell = |(_, cells): &(String, Vec<Option<String>>)| cells[nth].clone();
            filled
                .iter()
                .map(|column| cell(column).unwrap_or_default())
                .collect()
        };
        Table {
            common: common.collect(),
            rows: (0..few.len()).map(row).collect(),
            head: filled.iter().map(|(name, _)| name.clone()).collect(),
        }
    }
}

fn column(name: &str, cell: impl Fn(&Measurement) -> Option<String> + 'static) -> Column {
    Column {
        name: name.to_owned(),
        cell: Box::new(cell),
    }
}

fn param(name: &str) -> Column {
    let key = name.to_owned();
    column(&title(name), move |found| found.params.get(&key).map(plain))
}

/// A figure that is told unless it is nothing.
fn told(value: f64, write: fn(f64) -> String) -> Option<String> {
    (value.is_finite() && value != 0.0).then(|| write(value))
}

fn figures() -> impl Iterator<Item = Column> {
    let of: [(&str, Figure); 7] = [
        ("per second", |of| of.ops_per_s),
        ("MB/s", |of| of.mb_per_s),
        ("average µs", |of| of.avg_us),
        ("median µs", |of| of.p50_us),
        ("p99 µs", |of| of.p99_us),
        ("p99.9 µs", |of| of.p999_us),
        ("CPU µs each", |of| of.cpu_us_per_op),
    ];
    of.into_iter()
        .map(|(name, figure)| column(name, move |found| told(figure(&found.figures), number)))
}

fn comparisons() -> impl Iterator<Item = Column> {
    let base = |name: &str, figure: Figure| {
        column(name, move |found| {
            told(figure(found.baseline.as_ref()?), number)
        })
    };
    [
        base("baseline per second", |of| of.ops_per_s),
        base("baseline MB/s", |of| of.mb_per_s),
        base("baseline median µs", |of| of.p50_us),
        column("ratio", |found| told(found.ratio?, ratio)),
        column("ratio of medians", |found| told(found.p50_ratio?, ratio)),
        column("spread", spread),
        column("runs", |found| told(f64::from(found.runs), whole)),
    ]
    .into_iter()
}

fn spread(found: &Measurement) -> Option<String> {
    let is_told = found.spread.is_finite() && found.runs > 1;
    is_told.then(|| format!("{} %", number(found.spread * 100.0)))
}

/// What measurements carry beside their figures; of lists only how long they are.
fn extras(few: &[&Measurement]) -> impl Iterator<Item = Column> + use<> {
    let mut names: Vec<String> = Vec::new();
    for name in few.iter().flat_map(|found| found.extra.keys()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names.into_iter().map(|name| {
        let key = name.clone();
        column(&title(&name), move |found| found.extra.get(&key).map(brief))
    })
}

fn brief(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("{} values", list.len()),
        other => plain(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::sample::one;
    use serde_json::json;

    #[test]
    fn what_is_common_stands_above_and_empty_columns_are_left_out() {
        let mut all = [
            one("lookup", json!({"peers": 1, "topics": 1000})),
            one("lookup", json!({"peers": 2, "topics": 1000})),
        ];
        all[1].extra.insert("note".to_owned(), json!("a | b"));
        let table = Table::of(&all.iter().collect::<Vec<_>>());
        assert_eq!(table.common, ["1,000 topics"]);
        assert_eq!(table.head[0], "peers");
        assert!(!table.head.iter().any(|name| name == "MB/s"));
        assert_eq!(table.rows[1].last().map(String::as_str), Some("a | b"));
        assert!(table.rows.iter().all(|row| row.len() == table.head.len()));
    }
}
