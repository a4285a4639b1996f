//! One process of the demonstration, and the log lines that it prints.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::Notify;

use crate::cli::error::{CliError, Exit};

/// How long anything may take before the demonstration fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A line that a process printed.
#[derive(Debug, Clone)]
pub(super) struct LogLine {
    /// Which process.
    pub(super) source: String,
    /// The line as printed.
    pub(super) text: String,
}

/// The lines of all processes in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Log {
    lines: Mutex<Vec<LogLine>>,
    more: Notify,
}

impl Log {
    /// All lines so far.
    pub(super) fn lines(&self) -> Vec<LogLine> {
        self.lines.lock().clone()
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lines.lock().len()
    }

    /// Waits until `source` has printed a line with `text`, from line `after` on.
    pub(super) async fn wait_for(
        &self,
        source: &str,
        text: &str,
        after: usize,
    ) -> Result<(), CliError> {
        let seen = async {
            loop {
                // Made before looking, so that no line slips between the two.
                let more = self.more.notified();
                if self.has(source, text, after) {
                    return;
                }
                more.await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.map_err(|_| {
            let message = format!("the log of {source} does not say what it should");
            CliError::new("demo", Exit::Other, message)
                .detail("expected", text)
                .detail("found", self.last_of(source))
        })
    }

    fn has(&self, source: &str, text: &str, after: usize) -> bool {
        let lines = self.lines.lock();
        let mut later = lines.iter().skip(after);
        later.any(|line| line.source == source && line.text.contains(text))
    }

    /// The last line of `source`, for errors.
    pub(super) fn last_of(&self, source: &str) -> String {
        let lines = self.lines.lock();
        let last = lines.iter().rev().find(|line| line.source == source);
        last.map_or("nothing".to_owned(), |line| line.text.clone())
    }

    fn collect(self: &Arc<Self>, source: &str, stream: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        let source = source.to_owned();
        // Ends with the process that writes.
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = vec![];
            while reader
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                log.lines.lock().push(LogLine {
                    source: source.clone(),
                    text,
                });
                log.more.notify_waiters();
                line.clear();
            }
        });
    }
}

/// A running process; killed when dropped.
pub(super) struct Actor {
    name: String,
    child: Child,
}

impl Actor {
    /// Starts `command`; what it prints goes into `log` under `name`.
    pub(super) fn start(
        name: &str,
        mut command: Command,
        log: &Arc<Log>,
    ) -> Result<Actor, CliError> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            CliError::new("demo", Exit::Other, format!("cannot start {name}"))
                .detail("cause", error)
        })?;
        if let Some(stdout) = child.stdout.take() {
            log.collect(name, stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            log.collect(name, stderr);
        }
        Ok(Actor {
            name: name.to_owned(),
            child,
        })
    }

    /// `kill -9`.
    pub(super) fn kill(mut self) -> Result<(), CliError> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed
            .map(drop)
            .map_err(|error| self.failed("cannot be killed", error))
    }

    /// SIGTERM, and its end.
    pub(super) async fn stop(mut self) -> Result<ExitStatus, CliError> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM)
                .map_err(|error| self.failed("cannot be stopped", error.into()))?;
        }
        self.end().await
    }

    /// Waits for its end.
    pub(super) async fn ends(mut self) -> Result<ExitStatus, CliError> {
        self.end().await
    }

    /// Completes if it has ended.
    pub(super) async fn is_over(&mut self) {
        while let Ok(None) = self.child.try_wait() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn end(&mut self) -> Result<ExitStatus, CliError> {
        let ended = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.child.try_wait() {
                    Ok(Some(status)) => return Ok(status),
                    Ok(None) => tokio::time::sleep(LOOK_EVERY).await,
                    Err(error) => return Err(error),
                }
            }
        });
        match ended.await {
            Ok(status) => status.map_err(|error| self.failed("cannot be waited for", error)),
            Err(_) => Err(CliError::new(
                "demo",
                Exit::Other,
                format!("{} did not end within {PATIENCE:?}", self.name),
            )),
        }
    }

    fn failed(&self, what: &str, error: std::io::Error) -> CliError {
        CliError::new("demo", Exit::Other, format!("{} {what}", self.name)).detail("cause", error)
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // Both fail harmlessly if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
