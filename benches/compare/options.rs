//! What is asked for on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::work::Work;

/// Compares Waypost with nats-server and redis-server.
#[derive(Debug, Parser)]
#[command(name = "compare")]
pub struct Options {
    /// Short runs, for orientation.
    #[arg(long)]
    pub quick: bool,
    /// Where temporary data lies; the system's temporary folder unless given.
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// The program to compare with.
    #[arg(long, value_name = "PROGRAM", default_value = "nats-server")]
    pub nats_server: String,
    /// The program to compare with.
    #[arg(long, value_name = "PROGRAM", default_value = "redis-server")]
    pub redis_server: String,
    /// What to compare with, and which jobs; everything unless given.
    #[arg(value_parser = ["nats", "redis", "publish", "lookup", "pull"])]
    only: Vec<String>,
    /// Serves requests of a comparison with NATS: the server's address, and its certificate.
    #[arg(long, hide = true, num_args = 1..=2)]
    pub respond: Option<Vec<String>>,
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true)]
    test: bool,
}

impl Options {
    /// `None` when there is nothing to do: `cargo bench` says `--bench`, and `cargo test` does not.
    pub fn read() -> Option<Options> {
        let arguments: Vec<String> = std::env::args().collect();
        let is_asked = |name: &str| arguments.iter().any(|argument| argument == name);
        if is_asked("--test") || !(is_asked("--bench") || is_asked("--respond")) {
            return None;
        }
        Some(Options::parse())
    }

    /// Whether a system is to be compared with.
    pub fn wants(&self, system: &str) -> bool {
        self.is_among(system, &["nats", "redis"])
    }

    /// The jobs, in order.
    pub fn works(&self) -> Vec<Work> {
        let jobs = ["publish", "lookup", "pull"];
        let mut works = Work::all(if self.quick { 8 << 20 } else { 64 << 20 });
        works.retain(|work| self.is_among(work.job(), &jobs));
        works
    }

    /// How long a run takes.
    pub fn run_time(&self) -> Duration {
        Duration::from_millis(if self.quick { 300 } else { 2_000 })
    }

    /// How many runs count.
    pub fn runs(&self) -> usize {
        if self.quick { 3 } else { 5 }
    }

    /// Whether `name` was named, or none of its kind was.
    fn is_among(&self, name: &str, kind: &[&str]) -> bool {
        let mut named = self
            .only
            .iter()
            .filter(|only| kind.contains(&only.as_str()));
        let mut all = named.clone();
        all.next().is_none() || named.any(|only| only == name)
    }
}
