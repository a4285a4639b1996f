//! Telling what happens, showing the log lines that prove it, and checking.

use std::cell::Cell;
use std::fmt::Debug;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use super::actor::{Log, LogLine};
use crate::cli::error::{CliError, Exit};
use crate::cli::output::Output;
use crate::text::one_line;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// What the audience sees.
pub(super) struct Script {
    output: Output,
    colour: bool,
    scene: Cell<u32>,
    checks: Cell<u32>,
}

impl Script {
    pub(super) fn new(output: Output) -> Script {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Script {
            output,
            colour: wanted && std::io::stdout().is_terminal(),
            scene: Cell::new(0),
            checks: Cell::new(0),
        }
    }

    /// The title of a scene.
    pub(super) fn scene(&self, title: &str) -> Result<(), CliError> {
        self.scene.set(self.scene.get() + 1);
        let text = format!("{}. {title}", self.scene.get());
        self.output
            .text(&format!("\n{}\n", self.paint(BOLD, &text)))
    }

    /// What is being done, or has happened.
    pub(super) fn say(&self, text: &str) -> Result<(), CliError> {
        self.output.text(&format!("   {}\n", one_line(text)))
    }

    /// Fails unless `found` is `expected`; says the claim otherwise.
    pub(super) fn claim<T: PartialEq + Debug>(
        &self,
        claim: &str,
        found: &T,
        expected: &T,
    ) -> Result<(), CliError> {
        if found != expected {
            return Err(
                CliError::new("demo", Exit::Other, format!("this does not hold: {claim}"))
                    .detail("expected", format!("{expected:?}"))
                    .detail("found", format!("{found:?}"))
                    .help("run it again with --keep and look into demo.log in its folder"),
            );
        }
        self.checks.set(self.checks.get() + 1);
        let ok = self.paint(GREEN, "ok");
        self.output.text(&format!("   {ok}: {}\n", one_line(claim)))
    }

    /// Shows the lines that were printed since line `after` and contain one of `texts`.
    pub(super) fn show(&self, log: &Log, after: usize, texts: &[&str]) -> Result<(), CliError> {
        for line in &log.lines()[after..] {
            if texts.iter().any(|text| line.text.contains(text)) {
                self.log_line(line)?;
            }
        }
        Ok(())
    }

    /// Shows one line with who printed it.
    pub(super) fn log_line(&self, line: &LogLine) -> Result<(), CliError> {
        let text = format!("{:<7} | {}", line.source, one_line(&short(&line.text)));
        self.output
            .text(&format!("   {}\n", self.paint(DIM, &text)))
    }

    /// The last words.
    pub(super) fn end(&self, took: Duration, kept: Option<&Path>) -> Result<(), CliError> {
        let text = format!(
            "All {} claims hold. It took {:.1} s.",
            self.checks.get(),
            took.as_secs_f64()
        );
        self.output
            .text(&format!("\n{}\n", self.paint(BOLD, &text)))?;
        match kept {
            Some(folder) => self
                .output
                .text(&format!("Everything is kept in {}\n", folder.display())),
            None => Ok(()),
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        match self.colour {
            true => format!("{colour}{text}{PLAIN}"),
            false => text.to_owned(),
        }
    }
}

/// Fields that repeat what the sentence says, or are long and of no use to an audience.
const LEFT_OUT: [&str; 7] = [
    "peer=", "topic=", "peers=", "remote=", "from=", "address=", "key=",
];

/// A log line as `15:04:05.123 Peer 1 created topic 'x' host=1`: without its date, module and the
/// fields that are left out; with its level if that is worth a look.
fn short(line: &str) -> String {
    let parts = line.split_once('T').filter(|(date, _)| date.len() == 10);
    let parts = parts.and_then(|(_, rest)| {
        let (time, rest) = rest.split_once("Z ")?;
        let (level, rest) = rest.split_once(' ')?;
        let (_module, text) = rest.split_once(": ")?;
        Some((time, level, text))
    });
    let Some((time, level, text)) = parts else {
        return line.to_owned();
    };
    let left_out = |word: &&str| LEFT_OUT.iter().any(|field| word.starts_with(field));
    let words: Vec<&str> = text.split(' ').filter(|word| !left_out(word)).collect();
    match level {
        "INFO" => format!("{time} {}", words.join(" ")),
        level => format!("{time} {level} {}", words.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::OutputFormat;

    #[test]
    fn log_lines_are_shortened_and_anything_else_stays() {
        let line =
            "2026-11-22T15:04:05.123Z INFO  index: Peer 1 created topic 'T' peer=1 topic=T host=1";
        assert_eq!(short(line), "15:04:05.123 Peer 1 created topic 'T' host=1");
        let line = "2026-11-22T15:04:05.123Z WARN  index: Peer 1 is away peer=1 key=SHA256:x";
        assert_eq!(short(line), "15:04:05.123 WARN Peer 1 is away");
        for line in ["error: The end", "", "2026-11-22T15:04:05.123Z"] {
            assert_eq!(short(line), line);
        }
    }

    #[test]
    fn a_claim_that_does_not_hold_says_what_was_seen() {
        let script = Script::new(Output {
            format: OutputFormat::Table,
        });
        let error = script.claim("two are two", &2, &3).unwrap_err();
        assert_eq!(error.exit(), Exit::Other);
        let text = error.to_string();
        assert!(
            text.contains("this does not hold: two are two\n  expected  3\n  found     2"),
            "{text}"
        );
    }
}
