//! Questions to the person at the terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use super::error::{CliError, Exit};

/// Whether there is a person to ask.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks; anything but yes is an error, so that nothing happens by mistake.
pub fn confirm(question: &str) -> Result<(), CliError> {
    let mut stderr = io::stderr();
    // Where standard error is gone nobody sees the question, and the answer is no.
    let _ = write!(stderr, "{question} [y/N] ");
    let _ = stderr.flush();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    match (read, answer.trim().to_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(CliError::new(
            "cancelled",
            Exit::Other,
            "cancelled; nothing was changed",
        )),
    }
}
