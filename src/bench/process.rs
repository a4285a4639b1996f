//! Processes that take part: servers, which are only watched, and load generators, which are told
//! what to do.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::agent::Said;
use super::error::BenchError;
use super::work::{Outcome, Ready, Work};
use crate::scratch::Scratch;

/// How long a process may take for one answer. Runs are shorter; one that is stuck must end.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running process of this program; a daemon is killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a daemon; what it prints goes to a file in the folder.
    pub fn start(scratch: &Scratch, name: &str, args: &[&str]) -> Result<Process, BenchError> {
        Process::spawn(scratch, name, args, Stdio::null(), None)
    }

    fn spawn(
        scratch: &Scratch,
        name: &str,
        args: &[&str],
        stdin: Stdio,
        stdout: Option<Stdio>,
    ) -> Result<Process, BenchError> {
        let doing = || BenchError::io(format!("starting {name}"));
        let log = scratch
            .path()
            .join(format!("{}.log", name.replace(' ', "-")));
        let file = File::create(&log).map_err(doing())?;
        // A load generator ends with its input, and gives back its names before that.
        let is_daemon = stdout.is_none();
        let mut command = Command::from(scratch.command(args));
        command
            .stdin(stdin)
            .stdout(match stdout {
                Some(stdout) => stdout,
                None => Stdio::from(file.try_clone().map_err(doing())?),
            })
            .stderr(file)
            .kill_on_drop(is_daemon);
        Ok(Process {
            name: name.to_owned(),
            child: command.spawn().map_err(doing())?,
            log,
        })
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// An error if it has ended, with its last words.
    pub fn check(&mut self) -> Result<(), BenchError> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(self.failed(&format!("ended: {status}"))),
            _ => Ok(()),
        }
    }

    /// Ends it without warning and waits until it is gone.
    pub async fn kill(mut self) -> Result<(), BenchError> {
        let killed = self.child.kill().await;
        killed.map_err(BenchError::io(format!("killing {}", self.name)))
    }

    fn failed(&self, what: &str) -> BenchError {
        BenchError::Process {
            name: self.name.clone(),
            detail: match last_line(&self.log) {
                Some(words) => format!("{what}; its last words: {words}"),
                None => what.to_owned(),
            },
        }
    }
}

fn last_line(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().to_owned())
}

/// A load generator.
pub struct Remote {
    process: Process,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Remote {
    /// Starts it and waits until it has connected.
    pub async fn start(
        scratch: &Scratch,
        name: &str,
        work: &Work,
    ) -> Result<(Remote, Ready), BenchError> {
        let args = [super::AGENT];
        let mut process =
            Process::spawn(scratch, name, &args, Stdio::piped(), Some(Stdio::piped()))?;
        let pipes = process.child.stdin.take().zip(process.child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| process.failed("has no pipes"))?;
        let mut remote = Remote {
            process,
            input,
            output: BufReader::new(output).lines(),
        };
        let line = serde_json::to_string(work)
            .map_err(Into::into)
            .map_err(BenchError::io(format!("telling {name} what to do")))?;
        remote.tell(&line).await?;
        match remote.said().await? {
            Said::Ready(ready) => Ok((remote, ready)),
            other => Err(remote.unexpected(&other)),
        }
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Tells it to run once; [`Remote::done`] waits for the outcome.
    pub async fn go(&mut self) -> Result<(), BenchError> {
        self.tell("\"Go\"").await
    }

    /// What the run brought.
    pub async fn done(&mut self) -> Result<Outcome, BenchError> {
        match self.said().await? {
            Said::Done(outcome) => Ok(outcome),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Lets it give back its names, and waits until it has ended.
    pub async fn end(self) {
        let Remote {
            mut process, input, ..
        } = self;
        drop(input);
        // One that is slow to end is waited for no longer.
        let _ = tokio::time::timeout(Duration::from_secs(5), process.child.wait()).await;
    }

    async fn tell(&mut self, line: &str) -> Result<(), BenchError> {
        let line = format!("{line}\n");
        let told = self.input.write_all(line.as_bytes()).await;
        told.map_err(|error| self.process.failed(&format!("takes no orders: {error}")))
    }

    async fn said(&mut self) -> Result<Said, BenchError> {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await;
        let line = line.map_err(|_| BenchError::TimedOut {
            what: self.process.name.clone(),
            seconds: PATIENCE.as_secs(),
        })?;
        let Ok(Some(line)) = line else {
            return Err(self.process.failed("ended without an answer"));
        };
        let said = serde_json::from_str(&line);
        said.map_err(|error| {
            self.process
                .failed(&format!("said what is not known: {error}"))
        })
    }

    fn unexpected(&self, said: &Said) -> BenchError {
        match said {
            Said::Failed(why) => self.process.failed(&format!("failed: {why}")),
            _ => self
                .process
                .failed("answered something else than was asked"),
        }
    }
}

/// CPU time that a process and its threads have used so far.
pub fn cpu_of(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    // Nanoseconds come first. Threads that have ended are not counted; servers keep theirs.
    let used = tasks.filter_map(|task| {
        let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(used.sum())
}

/// Resident memory of a process, KiB.
pub fn rss_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    super::machine::kib(&status, "VmRSS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_cpu_and_memory() {
        let began = cpu_of(std::process::id());
        let mut sum = 0u64;
        while cpu_of(std::process::id()) <= began {
            sum = sum.wrapping_add(std::hint::black_box(1));
        }
        assert!(
            rss_kib(std::process::id()).is_some_and(|kib| kib > 100),
            "{sum}"
        );
    }
}
