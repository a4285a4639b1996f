//! `waypost metrics`: numbers for monitoring, in the OpenMetrics text format that Prometheus reads, for
//! node_exporter's textfile collector or a cron job. There is no port to scrape: one part less, and none
//! without authentication.

mod format;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::client::{Client, Metrics};

/// How long a peer may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What `metrics` takes.
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Also every topic: epoch, copies, lag, end, bytes; may be many series
    #[arg(long)]
    pub topics: bool,
    /// Write to this file instead of standard output, whole or not at all; for the textfile collector
    /// it has to end in .prom
    #[arg(long, value_name = "FILE")]
    pub textfile: Option<PathBuf>,
}

/// Gathers and prints. Where the index cannot be reached, that is printed, too: whoever reads a file
/// must not find the numbers of before, and the exit code is seen by nobody then.
pub async fn run(ctx: &Context, args: MetricsArgs) -> Result<(), CliError> {
    ctx.online_unattended(async |client| {
        let (metrics, error) = match gather(ctx, client, args.topics).await {
            Ok(metrics) => (Some(metrics), None),
            Err(error) => (None, Some(error)),
        };
        let text = format::text(metrics.as_ref(), env!("CARGO_PKG_VERSION"));
        match &args.textfile {
            Some(path) => replace(path, &text).map_err(|error| not_written(path, &error))?,
            None => print(&text)?,
        }
        error.map_or(Ok(()), Err)
    })
    .await
}

async fn gather(ctx: &Context, client: &Client, topics: bool) -> Result<Metrics, CliError> {
    // Of a limit on the whole, peers get half: what the index says is not to be lost with them.
    let within = ctx.timeout.map_or(PATIENCE, |limit| limit / 2);
    let within = within.min(PATIENCE);
    ctx.index_answer(client, client.metrics(topics, within))
        .await
}

fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        // Whoever reads has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(
                CliError::new("output", Exit::Other, "cannot write to standard output")
                    .detail("cause", error),
            )
        }
        _ => Ok(()),
    }
}

/// By a file beside it that takes its place: a collector sees the old text or the new one. The name does
/// not end as collectors' files do.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{:016x}.tmp", rand::random::<u64>()));
    let beside = path.with_file_name(beside);
    // A new file: what others may have put there is neither followed nor written to.
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&beside)?;
    let written = file.write_all(text.as_bytes());
    let replaced = written.and_then(|()| fs::rename(&beside, path));
    if replaced.is_err() {
        // Nothing may be there to remove.
        let _ = fs::remove_file(&beside);
    }
    replaced
}

fn not_written(path: &Path, error: &io::Error) -> CliError {
    let message = format!("cannot write the metrics to {}", path.display());
    CliError::new("output", Exit::Other, message)
        .detail("cause", error)
        .help("check the folder's owner, rights and free space")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waypost.prom");
        replace(&path, "old\n").unwrap();
        replace(&path, "new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        // A folder in its place: the rename fails.
        let taken = folder.path().join("taken.prom");
        fs::create_dir(&taken).unwrap();
        assert!(replace(&taken, "new\n").is_err());
        assert!(replace(Path::new("/"), "new\n").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
