//! What a failed command says and returns.
//!
//! An error has a code, what was being done, what was seen against what was expected, and the next
//! command to try; `-o json` prints the same as one object.

mod client;
mod from;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use crate::text::one_line;

pub use client::too_large;
pub use from::exit_of;

/// The exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done; also when whoever read standard output has had enough.
    Ok = 0,
    /// None of the others.
    Other = 1,
    /// The command line or the config does not say what to do.
    Usage = 2,
    /// Something named does not exist.
    NotFound = 3,
    /// Identity or rights.
    Refused = 4,
    /// Worth a retry.
    Unavailable = 5,
    /// A deadline passed.
    TimedOut = 6,
    /// Something exists already or was changed by somebody else.
    Conflict = 7,
    /// Data on a disk or on the way is damaged.
    Damaged = 8,
}

/// One line below the error: `expected  SHA256:...   registered 2026-11-22`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// What it is: `expected`, `found`, `cause` ...
    pub label: Cow<'static, str>,
    /// The value.
    pub value: String,
    /// Where the value comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A failed command. Boxed inside, for results carry it everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError(Box<Report>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Report {
    code: Cow<'static, str>,
    exit: Exit,
    message: String,
    doing: Option<String>,
    details: Vec<Detail>,
    help: Option<String>,
}

impl CliError {
    /// An error with a short stable code and one sentence.
    pub fn new(
        code: impl Into<Cow<'static, str>>,
        exit: Exit,
        message: impl Into<String>,
    ) -> CliError {
        CliError(Box::new(Report {
            code: code.into(),
            exit,
            message: message.into(),
            doing: None,
            details: Vec::new(),
            help: None,
        }))
    }

    /// Whoever read standard output has gone: nothing is said and the exit code is 0.
    pub fn reader_gone() -> CliError {
        CliError::new("reader-gone", Exit::Ok, "standard output was closed")
    }

    /// Adds what was being done, as in `publishing to topic "T1"`. The innermost caller's words stay.
    pub fn doing(mut self, doing: impl Into<String>) -> CliError {
        self.0.doing.get_or_insert_with(|| doing.into());
        self
    }

    /// Adds a line such as `expected`, `found` or `cause`.
    pub fn detail(
        mut self,
        label: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
    ) -> CliError {
        self.0.details.push(Detail {
            label: label.into(),
            value: value.to_string(),
            note: None,
        });
        self
    }

    /// Adds to the last line where its value comes from.
    pub fn note(mut self, note: impl fmt::Display) -> CliError {
        if let Some(last) = self.0.details.last_mut() {
            last.note = Some(note.to_string());
        }
        self
    }

    /// Adds to the line of this label and value where its value comes from, unless it says so.
    pub fn note_on(mut self, label: &str, value: &str, note: impl fmt::Display) -> CliError {
        let mut lines = self.0.details.iter_mut();
        if let Some(line) = lines.find(|line| line.label == label && line.value == value) {
            line.note.get_or_insert_with(|| note.to_string());
        }
        self
    }

    /// Adds a `cause` line for each source of `error`.
    pub fn causes(mut self, error: &dyn std::error::Error) -> CliError {
        let mut source = error.source();
        while let Some(cause) = source {
            self = self.detail("cause", cause);
            source = cause.source();
        }
        self
    }

    /// Sets the next command to try.
    pub fn help(mut self, help: impl Into<String>) -> CliError {
        self.0.help = Some(help.into());
        self
    }

    /// The code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.0.exit
    }

    /// The error as one JSON object, for standard error under `-o json`.
    pub fn to_json(&self) -> serde_json::Value {
        let report = &self.0;
        serde_json::json!({ "error": {
            "code": report.code,
            "exit": report.exit as u8,
            "message": report.message,
            "doing": report.doing,
            "details": report.details,
            "help": report.help,
        }})
    }

    fn lines(&self) -> Vec<Detail> {
        let doing = self.0.doing.iter().map(|doing| Detail {
            label: "while".into(),
            value: doing.clone(),
            note: None,
        });
        doing.chain(self.0.details.iter().cloned()).collect()
    }
}

impl std::error::Error for CliError {}

/// The form for people, over several lines. Parts may come from other machines, so each is made safe.
impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0;
        write!(f, "error[{}]: {}", report.code, one_line(&report.message))?;
        let lines = self.lines();
        let width = |of: fn(&Detail) -> &str| {
            let widths = lines.iter().map(|line| one_line(of(line)).chars().count());
            widths.max().unwrap_or(0)
        };
        let labels = width(|line| &line.label);
        let values = width(|line| if line.note.is_some() { &line.value } else { "" });
        for line in &lines {
            let value = one_line(&line.value);
            match &line.note {
                None => write!(f, "\n  {:labels$}  {value}", line.label)?,
                Some(note) => write!(
                    f,
                    "\n  {:labels$}  {value:values$}   {}",
                    line.label,
                    one_line(note)
                )?,
            }
        }
        match &report.help {
            Some(help) => write!(f, "\n  help: {}", one_line(help)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> CliError {
        CliError::new(
            "identity-mismatch",
            Exit::Refused,
            "peer name \"1\" is bound to another key",
        )
        .detail("expected", "SHA256:Jx3")
        .note("registered 2026-11-22 from 10.0.0.4")
        .detail("found", "SHA256:p9Q4")
        .note("in certs/1.key.pem")
        .help("choose another name with --id")
    }

    #[test]
    fn errors_read_as_documented() {
        let expected = "\
error[identity-mismatch]: peer name \"1\" is bound to another key
  expected  SHA256:Jx3    registered 2026-11-22 from 10.0.0.4
  found     SHA256:p9Q4   in certs/1.key.pem
  help: choose another name with --id";
        assert_eq!(sample().to_string(), expected);
        let doing = sample().doing("registering").doing("starting");
        assert!(doing.to_string().contains("\n  while     registering\n"));
    }

    #[test]
    fn json_has_the_same_parts() {
        let value = sample().doing("registering").to_json();
        let error = &value["error"];
        assert_eq!(error["code"], "identity-mismatch");
        assert_eq!(error["exit"], 4);
        assert_eq!(error["doing"], "registering");
        assert_eq!(error["details"][1]["note"], "in certs/1.key.pem");
        assert!(error["details"][0]["label"] == "expected");
    }

    #[test]
    fn words_from_elsewhere_cannot_forge_lines() {
        let error = CliError::new("internal", Exit::Other, "a\nhelp: run rm")
            .detail("found", "\x1b[2J")
            .help("x\ry");
        assert_eq!(error.to_string().lines().count(), 3);
        assert!(!error.to_string().contains('\x1b'));
    }
}
