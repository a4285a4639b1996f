//! What was found: a table for people, and a JSON line for each measurement.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use waypost::bench::Measurement;

use crate::wire::Result;
use crate::work::Work;

const FOLDER: &str = "bench-report";
const FILE: &str = "compare.json";

/// Where it goes.
pub struct Output(File);

impl Output {
    /// An empty file.
    pub fn new() -> Result<Output> {
        fs::create_dir_all(FOLDER)?;
        println!(
            "Medians of runs that take turns. \"synced\": on the disk before it is acknowledged. \
             Waypost always syncs and always encrypts.\nThe ratio is Waypost's throughput over \
             theirs in the same rounds; p50 likewise (below 1: Waypost is quicker)."
        );
        Ok(Output(File::create(Path::new(FOLDER).join(FILE))?))
    }

    /// One job.
    pub fn show(&mut self, work: Work, found: Vec<Measurement>) -> Result<()> {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN).set_header([
            "system", "synced", "TLS", "per s", "MB/s", "p50 us", "p99 us", "CPU us", "spread",
            "ratio", "p50",
        ]);
        for column in table.column_iter_mut().skip(3) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for measurement in &found {
            table.add_row(row(measurement));
            writeln!(self.0, "{}", serde_json::to_string(measurement)?)?;
        }
        println!("\n{}\n{table}", work.title());
        Ok(())
    }

    /// Where the figures are.
    pub fn end(self) {
        println!("\nAll figures: {FOLDER}/{FILE}");
    }
}

fn row(found: &Measurement) -> Vec<String> {
    let text = |name: &str| match found.params.get(name) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Bool(true)) => "yes".to_owned(),
        _ => "no".to_owned(),
    };
    let inverse = |ratio: Option<f64>| ratio.map_or(String::new(), |r| format!("{:.2}", 1.0 / r));
    let figures = &found.figures;
    vec![
        text("system"),
        text("durable"),
        text("tls"),
        format!("{:.0}", figures.ops_per_s),
        format!("{:.1}", figures.mb_per_s),
        format!("{:.0}", figures.p50_us),
        format!("{:.0}", figures.p99_us),
        format!("{:.1}", figures.cpu_us_per_op),
        format!("{:.0} %", found.spread * 100.0),
        inverse(found.ratio),
        inverse(found.p50_ratio),
    ]
}
