//! A load generator as a process: told what to do on standard input, answers on standard output, one
//! JSON value a line. It ends when its input does, so that none outlives who started it.
//!
//! ```text
//!   in:   Work                 out:  {"Ready": ...}
//!   in:   "Go"                 out:  {"Done": ...}      as often as wanted
//! ```

use std::io::Write;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

use super::error::BenchError;
use super::generator::Generator;
use super::load::{self, Peers};
use super::raw::{self, RawListener};
use super::work::{Outcome, Ready, Work};
use crate::memory;

/// What a load generator says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Said {
    /// It has connected and waits.
    Ready(Ready),
    /// A run is over.
    Done(Outcome),
    /// Something failed; it ends.
    Failed(String),
}

/// Runs a load generator until its standard input ends.
pub async fn run() -> Result<(), BenchError> {
    let mut agent = Agent {
        input: BufReader::new(tokio::io::stdin()).lines(),
    };
    let ended = match agent.line().await? {
        Some(line) => agent.work(&line).await,
        None => Ok(()),
    };
    if let Err(error) = &ended {
        say(&Said::Failed(chain(error)))?;
    }
    ended
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

fn say(said: &Said) -> Result<(), BenchError> {
    let doing = "answering on standard output";
    let mut line = serde_json::to_vec(said)
        .map_err(Into::into)
        .map_err(BenchError::io(doing))?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)
        .and_then(|()| out.flush())
        .map_err(BenchError::io(doing))
}

struct Agent {
    input: Lines<BufReader<Stdin>>,
}

impl Agent {
    async fn line(&mut self) -> Result<Option<String>, BenchError> {
        let line = self.input.next_line().await;
        line.map_err(BenchError::io("reading what to do"))
    }

    async fn work(&mut self, line: &str) -> Result<(), BenchError> {
        let work = serde_json::from_str(line)
            .map_err(|error| BenchError::Usage(format!("this is not work: {error}")))?;
        if matches!(work, Work::RawServe) {
            return self.raw_serve().await;
        }
        if matches!(work, Work::Pull { .. }) {
            // As `waypost pull` does.
            memory::keep_large_buffers();
        }
        let Some(target) = work.target() else {
            let generator = raw::prepare(work).await?;
            return self.runs(Ready::default(), generator).await;
        };
        let peers = match work {
            Work::Register { .. } => Peers::none(),
            _ => Peers::register(target).await?,
        };
        let worked = match load::prepare(work, &peers).await {
            Ok((ready, generator)) => self.runs(ready, generator).await,
            Err(error) => Err(error),
        };
        peers.leave().await;
        worked
    }

    async fn raw_serve(&mut self) -> Result<(), BenchError> {
        let listener = RawListener::bind()?;
        say(&Said::Ready(Ready {
            server: Some(listener.at),
            ..Ready::default()
        }))?;
        tokio::select! {
            () = listener.serve() => Ok(()),
            line = self.line() => line.map(drop),
        }
    }

    async fn runs(
        &mut self,
        ready: Ready,
        mut generator: Box<dyn Generator>,
    ) -> Result<(), BenchError> {
        say(&Said::Ready(ready))?;
        while self.line().await?.is_some() {
            let sample = generator.run().await?;
            say(&Said::Done(Outcome::of(&sample)))?;
        }
        Ok(())
    }
}
