//! Logs: tracing's subscriber as the command line and config ask for it.
//!
//! Guarantees: one event is one line, whatever its fields hold. A log that cannot be written never
//! stops the program.

mod filter;
mod human;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

pub use filter::{Filter, FilterError};

use crate::clock;

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people: time, level, message, `field=value`.
    #[default]
    Human,
    /// One JSON object a line, fields at its top.
    Json,
}

impl Format {
    /// The name in config and flags.
    pub fn text(self) -> &'static str {
        match self {
            Format::Human => "human",
            Format::Json => "json",
        }
    }
}

/// What to log, how and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What.
    pub filter: Filter,
    /// How.
    pub format: Format,
    /// Where; `None`: standard error.
    pub file: Option<PathBuf>,
}

/// Why logging was not set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log file cannot be opened.
    #[error("cannot open the log file {file}")]
    Open {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Something else in this process logs already.
    #[error("logging is set up already")]
    Twice,
}

/// Sets up logging for the whole process; once.
pub fn init(options: &Options) -> Result<(), TelemetryError> {
    let layer = match &options.file {
        Some(file) => layer(options.format, false, Arc::new(open(file)?)),
        None => layer(options.format, colour(), io::stderr),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(options.filter.to_env_filter()))
        .try_init()
        .map_err(|_| TelemetryError::Twice)
}

/// Colour for people only, and not for those who ask for none (no-color.org).
fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn open(file: &Path) -> Result<File, TelemetryError> {
    // One folder, such as data/; more would only follow a mistyped path.
    if let Some(folder) = file.parent() {
        // Opening says why it is not there.
        let _ = std::fs::create_dir(folder);
    }
    let opened = OpenOptions::new().create(true).append(true).open(file);
    opened.map_err(|source| TelemetryError::Open {
        file: file.to_owned(),
        source,
    })
}

fn layer<S, W>(format: Format, ansi: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // The layer reports a failed write with eprintln!, which panics where standard error is gone.
    let base = fmt::layer()
        .with_writer(writer)
        .with_ansi(ansi)
        .log_internal_errors(false);
    match format {
        Format::Human => base
            .fmt_fields(human::Fields)
            .event_format(human::Line)
            .boxed(),
        Format::Json => base
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(true)
            .with_timer(UtcTime)
            .boxed(),
    }
}

/// The wall clock in UTC with milliseconds, RFC 3339.
struct UtcTime;

impl FormatTime for UtcTime {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        let now = clock::wall_now();
        match jiff::Timestamp::from_microsecond(now.0) {
            Ok(time) => write!(w, "{time:.3}"),
            Err(_) => write!(w, "{}us", now.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let layer = layer(format, false, move || writer.clone());
        let subscriber = tracing_subscriber::registry()
            .with(layer.with_filter("info".parse::<Filter>().unwrap().to_env_filter()));
        tracing::subscriber::with_default(subscriber, log);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn hostile_event() {
        let span = tracing::info_span!("session", peer = "1\nINFO forged");
        let _guard = span.enter();
        let topic = "T1\x1b[2J\r\nINFO forged";
        tracing::info!(topic, offset = 42, shown = %topic, "created {topic}");
        tracing::debug!("not at this level");
    }

    #[test]
    fn human_lines_are_one_per_event_and_hold_the_fields() {
        let text = logged(Format::Human, hostile_event);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            !text
                .trim_end_matches('\n')
                .contains(|c: char| c.is_control())
        );
        assert!(text.contains(" INFO  "), "{text}");
        assert!(text.contains("offset=42"), "{text}");
        assert!(text.contains(r#"peer="1\nINFO forged""#), "{text}");
    }

    #[test]
    fn plain_fields_read_plainly() {
        let text = logged(Format::Human, || {
            tracing::info!(peer = "1", topic = "T1", offset = 7_u64, "appended");
        });
        let (time, rest) = text.split_once(" INFO  ").unwrap();
        assert!(time.ends_with('Z') && time.len() == 24, "{time}");
        assert_eq!(
            rest,
            "telemetry::tests: appended peer=1 topic=T1 offset=7\n"
        );
    }

    #[test]
    fn json_lines_have_the_fields_at_the_top() {
        let text = logged(Format::Json, hostile_event);
        assert_eq!(text.lines().count(), 1, "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["level"], "INFO");
        assert_eq!(value["offset"], 42);
        assert_eq!(value["spans"][0]["peer"], "1\nINFO forged");
        assert!(value["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn a_log_file_is_made_with_its_folder_and_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/b.log");
        for _ in 0..2 {
            let mut log = open(&file).unwrap();
            io::Write::write_all(&mut log, b"x").unwrap();
        }
        assert_eq!(std::fs::read(&file).unwrap(), b"xx");
        for bad in ["a", "mistyped/path/b.log"] {
            let error = open(&folder.path().join(bad)).unwrap_err();
            assert!(matches!(error, TelemetryError::Open { .. }), "{bad}");
        }
    }
}
