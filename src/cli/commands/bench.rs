//! `waypost bench`: load, baselines, and a report.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::bench::{self, Event, Job, Measurement, Options, Verdict};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output::{Output, Sink, say};
use crate::cli::signals;
use crate::cli::units::{parse_bytes, parse_duration};
use crate::limits;

/// Topics in a running deployment from which on it must be confirmed.
const MANY_TOPICS: u64 = 10_000;

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Lookups against the number of peers (evaluation 2), batched, and with an empty pull
    Lookup,
    /// Durable publishing: one at a time, many in flight, in batches
    Publish,
    /// Reading what is stored: in batches, single messages, one topic of many; warm and cold
    Pull,
    /// From publisher to follower at fixed rates
    E2e,
    /// Register, create, publish and retrieve with 1 to 64 peers (evaluation 3)
    Scale,
    /// How soon a peer with 10 GB in its journal serves after kill -9
    Restart,
    /// How soon a topic takes messages again when its host is killed or hands it over
    Failover,
    /// All of them
    All,
}

/// What `bench` takes.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum)]
    pub what: What,
    /// Topics that the index holds [default: 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub topics: Option<u64>,
    /// Numbers of peers [default: 1,2,4,8,16,64]
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    pub peers: Vec<usize>,
    /// Lookups of each peer in a run [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,
    /// Follow each lookup by a pull that finds nothing new, and measure only that
    #[arg(long)]
    pub then_pull: bool,
    /// Sizes of messages [default: 100,1KiB,16KiB,1MiB]
    #[arg(long, value_name = "BYTES,...", value_delimiter = ',', value_parser = parse_bytes)]
    pub size: Vec<u64>,
    /// Unacknowledged messages [default: 1,256]
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    pub in_flight: Vec<usize>,
    /// Publishers side by side [default: 8]
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    pub publishers: Vec<usize>,
    /// Copies of a topic [default: 1,2]
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    pub replicas: Vec<usize>,
    /// Measured runs of each job and of its baseline [default: 5; lookups: 15, for each is
    /// short; fail-overs: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: Option<u32>,
    /// Length of a run [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// About a minute in all, to see that everything works
    #[arg(long)]
    pub quick: bool,
    /// Measure the running deployment of the config, not one of its own; as do --config FILE and
    /// --index ADDRESS
    #[arg(long)]
    pub running: bool,
    /// Where its temporary folder goes: a folder on the disk that is to be measured
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// Where the report goes
    #[arg(long, value_name = "FOLDER", default_value = bench::DEFAULT_DIR)]
    pub report: PathBuf,
    /// Create more than 10,000 topics in a running deployment without asking
    #[arg(long)]
    pub yes: bool,
}

/// Runs `bench`.
pub async fn run(ctx: &Context, args: BenchArgs) -> Result<(), CliError> {
    let options = args.options(ctx)?;
    let shutdown = signals::shutdown()?;
    let screen = Screen::new(ctx.output);
    if cfg!(debug_assertions) {
        screen.say("this is an unoptimised build: its figures mean nothing (cargo run --release)");
    }
    let tell = |event: Event<'_>| screen.tell(event);
    let line: Vec<_> = std::env::args().skip(1).collect();
    let command = format!("waypost {}", line.join(" "));
    let (report, measured) = bench::run(&options, command, shutdown, &tell).await;
    screen.done();
    if report.measurements.is_empty() {
        return Ok(measured?);
    }
    let written = bench::write(&report, &args.report)?;
    for judged in bench::judge(&report.measurements) {
        if judged.verdict != Verdict::NotMeasured {
            let (goal, verdict) = (judged.goal, judged.verdict.as_str());
            say(&format!("{verdict}: {goal}: {}", judged.found));
        }
    }
    say(&format!("report: {}", written.html.display()));
    Ok(measured?)
}

impl BenchArgs {
    fn options(&self, ctx: &Context) -> Result<Options, CliError> {
        let jobs = match self.what {
            What::Lookup => vec![Job::Lookup],
            What::Publish => vec![Job::Publish],
            What::Pull => vec![Job::Pull],
            What::E2e => vec![Job::E2e],
            What::Scale => vec![Job::Scale],
            What::Restart => vec![Job::Restart],
            What::Failover => vec![Job::Failover],
            What::All => Job::ALL.to_vec(),
        };
        let options = Options {
            topics: self.topics,
            peers: positive("--peers", &self.peers)?,
            requests: self.requests,
            sizes: positive(
                "--size",
                &self.size.iter().map(|&s| s as usize).collect::<Vec<_>>(),
            )?,
            in_flight: positive("--in-flight", &self.in_flight)?,
            publishers: positive("--publishers", &self.publishers)?,
            replicas: copies(&self.replicas)?,
            runs: self.runs,
            duration: self.duration,
            then_pull: self.then_pull,
            quick: self.quick,
            folder: self.folder.clone(),
            running: None,
            ..Options::new(jobs)
        };
        // Of a deployment of its own neither says anything.
        if !self.running && !ctx.config_typed && !ctx.index_typed {
            return Ok(options);
        }
        if options.topics() > MANY_TOPICS && options.jobs.contains(&Job::Lookup) && !self.yes {
            let message = format!(
                "measuring would create {} topics in a running deployment",
                options.topics()
            );
            return Err(CliError::new("confirm", Exit::Usage, message)
                .help("waypost bench ... --topics 10000, or --yes"));
        }
        Ok(Options {
            running: Some(ctx.pinned_index()?),
            ..options
        })
    }
}

fn positive(flag: &str, values: &[usize]) -> Result<Vec<usize>, CliError> {
    if values.contains(&0) {
        let message = format!("{flag}: 0 is nothing to measure with");
        return Err(CliError::new("usage", Exit::Usage, message));
    }
    Ok(values.to_vec())
}

fn copies(values: &[usize]) -> Result<Vec<usize>, CliError> {
    match values.iter().find(|&&count| count > limits::COPIES) {
        Some(count) => {
            let message = format!(
                "--replicas: {count} copies; a topic has at most {}",
                limits::COPIES
            );
            Err(CliError::new("usage", Exit::Usage, message))
        }
        None => positive("--replicas", values),
    }
}

/// Progress on standard error, measurements as data.
struct Screen {
    output: Output,
    bar: ProgressBar,
}

impl Screen {
    fn new(output: Output) -> Screen {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Screen { output, bar }
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }

    fn tell(&self, event: Event<'_>) {
        match event {
            Event::Doing(what) => self.bar.set_message(what.to_owned()),
            // A reader that went away is told at the end, by the summary.
            Event::Found(found) => self.bar.suspend(|| drop(self.print(found))),
        }
    }

    fn print(&self, found: &Measurement) -> Result<(), CliError> {
        let mut sink = Sink::stdout()?;
        match self.output.is_json() {
            true => sink.json(found)?,
            false => sink.write(line(found).as_bytes())?,
        }
        sink.flush()
    }

    fn done(&self) {
        self.bar.finish_and_clear();
    }
}

/// A measurement in one line.
fn line(found: &Measurement) -> String {
    use std::fmt::Write;
    let mut line = format!("{:<16}", found.job);
    let of = |map: &serde_json::Map<String, serde_json::Value>| {
        let pairs = map.iter().map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}={text}"),
            None => match value.as_f64().filter(|_| value.is_f64()) {
                Some(number) => format!("{name}={number:.1}"),
                None => format!("{name}={value}"),
            },
        });
        pairs.collect::<Vec<_>>().join(" ")
    };
    line.push_str(&of(&found.params));
    let f = &found.figures;
    let _ = write!(line, "\n    {:>11.0}/s", f.ops_per_s);
    if f.mb_per_s > 0.0 {
        let _ = write!(line, " {:>7.1} MB/s", f.mb_per_s);
    }
    if f.p50_us > 0.0 {
        let _ = write!(
            line,
            "  avg {:.0}  p50 {:.0}  p99 {:.0}  p99.9 {:.0} µs  cpu {:.1} µs",
            f.avg_us, f.p50_us, f.p99_us, f.p999_us, f.cpu_us_per_op
        );
    }
    if let Some(ratio) = found.ratio {
        let _ = write!(line, "  ratio {ratio:.2}");
    }
    if let Some(ratio) = found.p50_ratio {
        let _ = write!(line, "  p50 ratio {ratio:.2}");
    }
    if found.runs > 1 {
        let _ = write!(line, "  spread {:.0} %", found.spread * 100.0);
    }
    if let Some(base) = &found.baseline {
        let _ = write!(
            line,
            "\n    {:>11.0}/s  p50 {:.0}  p99 {:.0} µs  cpu {:.1} µs  {}",
            base.ops_per_s, base.p50_us, base.p99_us, base.cpu_us_per_op, found.baseline_is
        );
    }
    if !found.extra.is_empty() {
        let _ = write!(line, "\n    {}", of(&found.extra));
    }
    line.push('\n');
    line
}
