//! Prints messages on a thread of its own: a reader that takes nothing must not keep the runtime from
//! answering hosts or from being interrupted.

use crate::cli::error::{CliError, Exit};
use crate::cli::output::Sink;

/// Standard output that is written beside the runtime.
pub(super) struct Printer {
    /// Away while a write is under way; one that was cancelled does not come back.
    sink: Option<Sink>,
}

impl Printer {
    pub(super) fn new() -> Result<Printer, CliError> {
        let sink = Some(Sink::stdout()?);
        Ok(Printer { sink })
    }

    /// Writes and flushes. Cancelled, it may or may not have written, and nothing more is printed.
    pub(super) async fn print(&mut self, bytes: Vec<u8>) -> Result<(), CliError> {
        let gone = || CliError::new("internal", Exit::Other, "the printing thread is gone");
        let mut sink = self.sink.take().ok_or_else(gone)?;
        let write = move || {
            let written = sink.write(&bytes).and_then(|()| sink.flush());
            (sink, written)
        };
        let (sink, written) = tokio::task::spawn_blocking(write)
            .await
            .map_err(|_| gone())?;
        self.sink = Some(sink);
        written
    }
}
